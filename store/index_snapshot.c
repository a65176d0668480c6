/* The index: snapshots as rows, found, listed, added and changed.
 * Looks at no entry and no layer. SPDX-License-Identifier: GPL-2.0-or-later */
#include "facts.h"
#include "index_rows.h"

static int one_snapshot(struct db_statement *row, struct snapshot **ret, struct snap_err *err) {
    int r = db_step(row, err);
    if (r <= 0)
        return r;
    r = snapshot_row(row, ret, err);
    return r < 0 ? r : 1;
}

int index_snapshot(struct store *store, int64_t number, struct snapshot **ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT " SNAPSHOT_COLUMNS " FROM snapshot WHERE id = ?", "i", number);
    return r < 0 ? r : one_snapshot(&row, ret, err);
}

int index_snapshot_named(struct store *store, const char *name, struct snapshot **ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT " SNAPSHOT_COLUMNS " FROM snapshot WHERE name = ?", "s", name);
    return r < 0 ? r : one_snapshot(&row, ret, err);
}

int index_latest(struct store *store, int64_t line, uint64_t back, struct snapshot **ret, struct snap_err *err) {
    if (back > INT64_MAX)
        return 0;
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT " SNAPSHOT_COLUMNS " FROM snapshot WHERE line = ? AND flags & ? = 0"
                    " ORDER BY id DESC LIMIT 1 OFFSET ?", "iii",
                    line, (int64_t)(SNAPSHOT_AUTO | SNAPSHOT_HIDDEN | SNAPSHOT_FOREIGN), (int64_t)back);
    return r < 0 ? r : one_snapshot(&row, ret, err);
}

int64_t index_newest_number(struct store *store, int64_t line, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT id FROM snapshot WHERE line = ? ORDER BY id DESC LIMIT 1", "i", line);
    if (r == 0)
        r = db_step(&row, err);
    return r > 0 ? db_int(&row, 0) : r;
}

static int give_all(struct db_statement *row, snapshot_fn fn, void *data, struct snap_err *err) {
    for (;;) {
        _snapshot_ struct snapshot *snapshot = NULL;
        int r = one_snapshot(row, &snapshot, err);
        if (r <= 0)
            return r;
        r = fn(data, snapshot);
        if (r != 0)
            return MIN(r, 0);
    }
}

int index_snapshots(struct store *store, int64_t line, snapshot_fn fn, void *data, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT " SNAPSHOT_COLUMNS " FROM snapshot WHERE line = ? AND flags & ? = 0"
                    " ORDER BY id DESC", "ii", line, (int64_t)SNAPSHOT_HIDDEN);
    return r < 0 ? r : give_all(&row, fn, data, err);
}

int index_disposable(struct store *store, snapshot_fn fn, void *data, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT " SNAPSHOT_COLUMNS " FROM snapshot WHERE flags & ? <> 0 ORDER BY id", "i",
                    (int64_t)(SNAPSHOT_AUTO | SNAPSHOT_HIDDEN));
    return r < 0 ? r : give_all(&row, fn, data, err);
}

int index_snapshots_with(struct store *store, snapshot_fn fn, void *data, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT " SNAPSHOT_COLUMNS " FROM snapshot", "");
    return r < 0 ? r : give_all(&row, fn, data, err);
}

int index_contents_shown(struct store *store, content_shown_fn fn, void *data, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT e.line, e.born, e.died, o.content, o.size FROM entry e CROSS JOIN object o ON o.id = e.object"
                    " WHERE o.content IS NOT NULL", "");
    while (r >= 0 && (r = db_step(&row, err)) > 0)
        if ((r = fn(data, db_int(&row, 0), db_int(&row, 1), db_int(&row, 2), db_int(&row, 3), (uint64_t)db_int(&row, 4))) < 0)
            return r;
    return r;
}

int index_last_shown(struct store *store, int64_t line, last_shown_fn fn, void *data, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT max(e.died), o.size FROM entry e CROSS JOIN object o ON o.id = e.object"
                    " WHERE e.line = ? AND o.content IS NOT NULL GROUP BY o.content", "i", line);
    while (r >= 0 && (r = db_step(&row, err)) > 0)
        if ((r = fn(data, db_int(&row, 0), (uint64_t)db_int(&row, 1))) < 0)
            return r;
    return r;
}

int64_t index_line_of_layer(struct store *store, int64_t layer, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT line FROM snapshot WHERE id = ?1 UNION ALL SELECT line FROM gone WHERE layer = ?1", "i", layer);
    if (r == 0)
        r = db_step(&row, err);
    return r > 0 ? db_int(&row, 0) : r;
}

int index_is_base(struct store *store, int64_t number, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT 1 FROM line WHERE base_snapshot = ?", "i", number);
    return r < 0 ? r : db_step(&row, err);
}

int64_t index_next_shown(struct store *store, int64_t line, int64_t number, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT id FROM snapshot WHERE line = ? AND id >= ? AND flags & ? = 0 ORDER BY id LIMIT 1", "iii",
                    line, number, (int64_t)SNAPSHOT_HIDDEN);
    if (r == 0)
        r = db_step(&row, err);
    return r > 0 ? db_int(&row, 0) : r;
}

/* -EEXIST: another snapshot, or a workspace, has it. */
static int check_name_free(struct store *store, const char *name, int64_t number, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT id FROM snapshot WHERE name = ? AND id <> ?", "si", name, number);
    if (r == 0)
        r = db_step(&row, err);
    if (r < 0)
        return r;
    if (r > 0)
        return err_set(err, -EEXIST, "snapshot %lld already has this name", (long long)db_int(&row, 0));
    _statement_ struct db_statement workspace = {0};
    r = db_bind(&workspace, store, err, "SELECT id FROM workspace WHERE name = ?", "s", name);
    if (r == 0)
        r = db_step(&workspace, err);
    return r > 0 ? err_set(err, -EEXIST, "a workspace already has this name") : r;
}

static const char *name_or_null(const char *name) {
    return name && *name ? name : NULL;
}

int index_add_snapshot(struct store *store, const struct snapshot *snapshot, struct snap_err *err) {
    const struct snap_snapshot *public = &snapshot->public;
    const char *name = name_or_null(public->name), *message = public->message ? public->message : "";
    int r = name ? check_name_free(store, name, public->number, err) : 0;
    if (r < 0)
        return r;
    return db_run(store, err, "INSERT INTO snapshot(" SNAPSHOT_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                  "iiiiiiissiiii", public->number, snapshot->line, public->parent, snapshot->layer,
                  (int64_t)public->created.tv_sec, (int64_t)public->created.tv_nsec, (int64_t)snapshot->flags, name, message,
                  (int64_t)public->added, (int64_t)public->changed, (int64_t)public->deleted, (int64_t)public->bytes);
}

int index_change_snapshot(struct store *store, int64_t number, const char *name, unsigned set_flags, unsigned clear_flags,
                          struct snap_err *err) {
    int r = name_or_null(name) ? check_name_free(store, name, number, err) : 0;
    if (r < 0)
        return r;
    _statement_ struct db_statement row = {0};
    r = db_bind(&row, store, err, "UPDATE snapshot SET flags = (flags & ~?2) | ?3, name = CASE WHEN ?4 THEN ?5 ELSE name END"
                " WHERE id = ?1 RETURNING layer", "iiiis", number, (int64_t)clear_flags, (int64_t)set_flags,
                (int64_t)(name != NULL), name_or_null(name));
    if (r == 0)
        r = db_step(&row, err);
    if (r == 0)
        return err_set(err, -ENOENT, "there is no snapshot %lld", (long long)number);
    int64_t layer = r > 0 ? db_int(&row, 0) : 0;
    if (r > 0)
        r = db_step(&row, err);
    return r < 0 ? r : facts_remember(store, layer, err);
}
