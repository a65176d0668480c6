/* The index: what a take writes, and taking the newest snapshot back.
 * Walks nothing: each verb changes the one place it is given. SPDX-License-Identifier: GPL-2.0-or-later */
#include "index_rows.h"

#include <string.h>

/* No object's number may be one that a directory ever had as its identity: that outlives the object which began it. */
int index_next_ids(struct store *store, struct index_ids *ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err,
        "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'snapshot'), 0), coalesce((SELECT max(id) FROM snapshot), 0)),"
        " max(1, coalesce((SELECT max(id) FROM object), 0),"
        " coalesce((SELECT max((SELECT max(id) FROM dir WHERE line = l.id)) FROM line l), 0),"
        " coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'given.object'), 0)),"
        " max(coalesce((SELECT max(id) FROM content), 0),"
        " coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'given.content'), 0))", "");
    if (r == 0)
        r = db_step(&row, err);
    if (r < 0)
        return r;
    if (db_int(&row, 0) >= INDEX_NEWEST - 1 || db_int(&row, 1) == INT64_MAX || db_int(&row, 2) == INT64_MAX)
        return err_damage(err, "the index is damaged: its numbers have run out");
    *ret = (struct index_ids){ db_int(&row, 0) + 1, db_int(&row, 1) + 1, db_int(&row, 2) + 1 };
    return 0;
}

int index_add_content(struct store *store, const struct content *content, struct snap_err *err) {
    return db_run(store, err, "INSERT INTO content(" CONTENT_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?)", "iiiinb", content->id,
                  content->layer, content->dir, (int64_t)content->size, content->name,
                  content->digest.bytes, sizeof(content->digest.bytes));
}

int index_add_object(struct store *store, const struct object *object, struct snap_err *err) {
    const struct meta *meta = &object->meta;
    bool digested = S_ISREG(meta->mode) && (!(object->flags & OBJECT_UNREAD) || object->flags & OBJECT_LOST);
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "INSERT INTO object(id, dir, mode, uid, gid, size, mtime_sec, mtime_nsec, rdev, flags, content,"
                    " target, xattrs, xxh128) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, ?, ?)", "iiiiiiiiiiinbb",
                    object->id, object->dir, (int64_t)meta->mode, (int64_t)meta->uid, (int64_t)meta->gid, (int64_t)meta->size,
                    (int64_t)meta->mtime.tv_sec, (int64_t)meta->mtime.tv_nsec,
                    (int64_t)((uint64_t)meta->rdev_major << 32 | meta->rdev_minor), (int64_t)object->flags, object->content,
                    meta->target, meta->xattrs_size ? meta->xattrs : NULL, meta->xattrs_size,
                    digested ? object->digest.bytes : NULL, sizeof(object->digest.bytes));
    if (r < 0 || (r = db_step(&row, err)) < 0)
        return r;
    return unplaced_add(store, object->id) < 0 ? err_nomem(err) : 0;
}

/* A place in the tree of a line and the snapshot from which on something is otherwise there. */
struct place { struct store *store; int64_t line, from, dir; const char *name; };
/* The latest row of a place. */
struct row { int64_t born, died, object, identity; unsigned flags; };

/* 1 found, 0 = nothing ever was there. */
static int read_latest(const struct place *place, struct row *ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, place->store, err, "SELECT e.born, e.died, e.object, o.dir, o.flags FROM entry e"
                    " LEFT JOIN object o ON o.id = e.object WHERE e.line = ? AND e.dir = ? AND e.name = ?"
                    " ORDER BY e.born DESC LIMIT 1", "iin", place->line, place->dir, place->name);
    if (r == 0)
        r = db_step(&row, err);
    if (r <= 0)
        return r;
    *ret = (struct row){ db_int(&row, 0), db_int(&row, 1), db_int(&row, 2), db_int(&row, 3), (unsigned)db_int(&row, 4) };
    return 1;
}

/* A row that began with this very snapshot was never seen by anybody: it goes. */
static int end_entry(const struct place *place, const struct row *row, struct snap_err *err) {
    if (row->born == place->from)
        return db_run(place->store, err, "DELETE FROM entry WHERE line = ? AND dir = ? AND name = ? AND born = ?", "iini",
                      place->line, place->dir, place->name, row->born);
    return db_run(place->store, err, "UPDATE entry SET died = ? WHERE line = ? AND dir = ? AND name = ? AND born = ?", "iiini",
                  place->from, place->line, place->dir, place->name, row->born);
}

static int end_link(const struct place *place, const struct row *row, struct snap_err *err) {
    if (!(row->flags & OBJECT_LINKED))
        return 0;
    if (row->born == place->from)
        return db_run(place->store, err, "DELETE FROM link WHERE object = ? AND line = ? AND dir = ? AND name = ? AND born = ?",
                      "iiini", row->object, place->line, place->dir, place->name, row->born);
    return db_run(place->store, err, "UPDATE link SET died = ? WHERE object = ? AND line = ? AND dir = ? AND name = ? AND born = ?",
                  "iiiini", place->from, row->object, place->line, place->dir, place->name, row->born);
}

/* The directory's latest place: 1 = it is this one, 2 = it is another one, 0 = it has none. *ret_born: since when. */
static int read_dir(const struct place *place, int64_t identity, int64_t *ret_born, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, place->store, err, "SELECT born, died, parent = ? AND name = ? FROM dir WHERE line = ? AND id = ?"
                    " ORDER BY born DESC LIMIT 1", "inii", place->dir, place->name, place->line, identity);
    if (r == 0)
        r = db_step(&row, err);
    if (r <= 0 || db_int(&row, 1) != NEVER)
        return r < 0 ? r : 0;
    *ret_born = db_int(&row, 0);
    return db_int(&row, 2) ? 1 : 2;
}

static int end_dir_row(const struct place *place, int64_t identity, int64_t born, struct snap_err *err) {
    if (born == place->from)
        return db_run(place->store, err, "DELETE FROM dir WHERE line = ? AND id = ? AND born = ?", "iii",
                      place->line, identity, born);
    return db_run(place->store, err, "UPDATE dir SET died = ? WHERE line = ? AND id = ? AND born = ?", "iiii",
                  place->from, place->line, identity, born);
}

/* The directory is no longer here. It may have been given another place already: then that one stands. */
static int leave_dir(const struct place *place, int64_t identity, struct snap_err *err) {
    int64_t born;
    int r = identity ? read_dir(place, identity, &born, err) : 0;
    return r == 1 ? end_dir_row(place, identity, born, err) : MIN(r, 0);
}

/* The directory is here now. */
static int enter_dir(const struct place *place, int64_t identity, struct snap_err *err) {
    int64_t born;
    int r = read_dir(place, identity, &born, err);
    if (r == 2)
        r = end_dir_row(place, identity, born, err);
    if (r != 0)
        return MIN(r, 0);
    return db_run(place->store, err, "INSERT INTO dir(line, id, born, died, parent, name) VALUES (?, ?, ?, " NEVER_SQL ", ?, ?)",
                  "iiiin", place->line, identity, place->from, place->dir, place->name);
}

/* `next`: the directory that comes here, or 0. */
static int end(const struct place *place, const struct row *row, int64_t next, struct snap_err *err) {
    int r = end_entry(place, row, err);
    if (r == 0)
        r = end_link(place, row, err);
    if (r == 0 && row->identity != next)
        r = leave_dir(place, row->identity, err);
    return r;
}

/* An object's first row stands for it: gc asks for others only when that one goes. */
static int begin(const struct place *place, const struct object *object, struct snap_err *err) {
    int64_t again = !unplaced_take(place->store, object->id);
    int r = db_run(place->store, err, "INSERT INTO entry(line, dir, name, born, died, object, again) VALUES (?, ?, ?, ?, " NEVER_SQL ", ?, ?)",
                   "iiniii", place->line, place->dir, place->name, place->from, object->id, again);
    if (r < 0 || !(object->flags & OBJECT_LINKED))
        return r;
    return db_run(place->store, err, "INSERT INTO link(object, line, dir, name, born, died) VALUES (?, ?, ?, ?, ?, " NEVER_SQL ")",
                  "iiini", object->id, place->line, place->dir, place->name, place->from);
}

/* It had ended with this very snapshot: nothing happened after all. */
static int resume(const struct place *place, const struct row *row, struct snap_err *err) {
    int r = db_run(place->store, err, "UPDATE entry SET died = " NEVER_SQL " WHERE line = ? AND dir = ? AND name = ? AND born = ?",
                   "iini", place->line, place->dir, place->name, row->born);
    if (r < 0 || !(row->flags & OBJECT_LINKED))
        return r;
    return db_run(place->store, err, "UPDATE link SET died = " NEVER_SQL
                  " WHERE object = ? AND line = ? AND dir = ? AND name = ? AND born = ?", "iiini",
                  row->object, place->line, place->dir, place->name, row->born);
}

int index_born(struct store *store, int64_t line, int64_t born, int64_t dir, const char *name, const struct object *object,
               struct snap_err *err) {
    const struct place place = { store, line, born, dir, name };
    struct row row;
    int r = read_latest(&place, &row, err);
    if (r > 0 && row.died == NEVER) {
        if (row.object == object->id)
            return object->dir ? enter_dir(&place, object->dir, err) : 0;
        r = end(&place, &row, object->dir, err);
        if (r == 0)
            r = read_latest(&place, &row, err);
    }
    if (r < 0)
        return r;
    bool resumes = r > 0 && row.died == born && row.object == object->id;
    r = resumes ? resume(&place, &row, err) : begin(&place, object, err);
    return r == 0 && object->dir ? enter_dir(&place, object->dir, err) : r;
}

/* What the line stands on has something there: a row of object 0 says that the line has not. */
static int hide(const struct place *place, struct snap_err *err) {
    struct point base;
    struct row row;
    int r = index_base(place->store, place->line, &base, err);
    int64_t below = r > 0 ? index_lookup_id(place->store, base, place->dir, place->name, err) : r;
    if (below <= 0 || (r = read_latest(place, &row, err)) < 0)
        return below < 0 ? (int)below : MIN(r, 0);
    if (r > 0 && row.died == place->from && row.object == 0)
        return resume(place, &row, err);
    return db_run(place->store, err, "INSERT INTO entry(line, dir, name, born, died, object) VALUES (?, ?, ?, ?, " NEVER_SQL ", 0)",
                  "iini", place->line, place->dir, place->name, place->from);
}

int index_died(struct store *store, int64_t line, int64_t died, int64_t dir, const char *name, struct snap_err *err) {
    const struct place place = { store, line, died, dir, name };
    struct row row;
    int r = read_latest(&place, &row, err);
    bool is_there = r > 0 && row.died == NEVER;
    if (r < 0 || (is_there && row.object == 0))
        return MIN(r, 0);
    if (is_there && (r = end(&place, &row, 0, err)) < 0)
        return r;
    return line == INDEX_PROJECT_LINE ? 0 : hide(&place, err);
}

/* Each: what began with snapshot ?2 of line ?1 goes, what ended with it lives again. Places and links first, while the
 * entries still tell which they are; then what only those entries held. */
static const char *const drop_steps[] = {
    "DELETE FROM dir WHERE line = ?1 AND born = ?2 AND id IN (SELECT o.dir FROM entry e INDEXED BY entry_by_born"
    " CROSS JOIN object o ON o.id = e.object WHERE e.line = ?1 AND e.born = ?2 AND o.dir <> 0)",
    "UPDATE dir SET died = " NEVER_SQL " WHERE line = ?1 AND died = ?2 AND id IN (SELECT o.dir FROM entry e INDEXED BY entry_by_died"
    " CROSS JOIN object o ON o.id = e.object WHERE e.line = ?1 AND e.died = ?2 AND e.died < " NEVER_SQL " AND o.dir <> 0)",
    "DELETE FROM link WHERE line = ?1 AND born = ?2 AND object IN (SELECT object FROM entry INDEXED BY entry_by_born"
    " WHERE line = ?1 AND born = ?2)",
    "UPDATE link SET died = " NEVER_SQL " WHERE line = ?1 AND died = ?2 AND object IN (SELECT object FROM entry"
    " INDEXED BY entry_by_died WHERE line = ?1 AND died = ?2 AND died < " NEVER_SQL ")",
    /* an object that the snapshot only used again is still held by an older row, which stands for it */
    "DELETE FROM object WHERE id IN (SELECT object FROM entry INDEXED BY entry_by_born WHERE line = ?1 AND born = ?2 AND again = 0)",
    "DELETE FROM entry INDEXED BY entry_by_born WHERE line = ?1 AND born = ?2",
    "UPDATE entry INDEXED BY entry_by_died SET died = " NEVER_SQL " WHERE line = ?1 AND died = ?2 AND died < " NEVER_SQL,
};

static int check_newest(struct store *store, const struct snapshot *snapshot, struct snap_err *err) {
    int64_t newest = index_newest_number(store, snapshot->line, err);
    if (newest < 0)
        return (int)newest;
    if (newest == snapshot->public.number)
        return 0;
    return err_set(err, -EINVAL, "snapshot %lld is not the newest: %lld is", (long long)snapshot->public.number, (long long)newest);
}

int index_drop_newest(struct store *store, int64_t number, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = index_snapshot(store, number, &snapshot, err);
    if (r == 0)
        return err_set(err, -ENOENT, "there is no snapshot %lld", (long long)number);
    if (r > 0)
        r = check_newest(store, snapshot, err);
    for (size_t i = 0; i < ELEMENTS(drop_steps) && r == 0; i++)
        r = db_run(store, err, drop_steps[i], "ii", snapshot->line, number);
    /* content lies in the layer of the snapshot that brought it, and only that one and later ones can have used it */
    if (r == 0)
        r = db_run(store, err, "DELETE FROM content WHERE layer = ?", "i", snapshot->layer);
    return r < 0 ? r : db_run(store, err, "DELETE FROM snapshot WHERE id = ?", "i", number);
}
