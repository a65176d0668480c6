/* The index, built anew from layers. Reads no tree, writes nothing but the index that it is given.
 *
 * A manifest says what differs from the snapshot before: what is under a name now, what is gone. What was below a directory
 * that is gone is not said: it goes with it, but for directories that the same manifest has elsewhere.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "rebuild.h"

#include "check.h"
#include "db.h"
#include "sheet.h"

#include <stdio.h>
#include <string.h>

struct pending { int64_t *dirs; size_t count, room; };     /* directories that may be gone */

/* Directories that a layer of a freed snapshot has only because something in them is still needed. Where they went later is
 * no longer said: from the next snapshot on they are gone unless it, or what came between, has them somewhere. */
struct adrift { int64_t line, dir; };
struct adrifts { struct adrift *at; size_t count, room; };

static void adrifts_done(struct adrifts *adrift) {
    free(adrift->at);
}

struct apply {
    struct store *into;
    const struct sheet *sheet;
    struct adrifts *adrift;
    struct pending gone;
    int64_t in;                /* the directory being emptied */
    bool incomplete;           /* an earlier manifest is damaged */
    bool first;                /* the line has nothing yet */
    int64_t known;             /* the highest number of an object that earlier manifests name */
    struct snap_err *err;
};

static int64_t number_of(const struct apply *apply) { return apply->sheet->snapshot->public.number; }
static int64_t line_of(const struct apply *apply) { return apply->sheet->snapshot->line; }

static int may_be_gone(struct apply *apply, int64_t dir) {
    if (sheet_dir(apply->sheet, dir))
        return 0;
    if (MAKE_ROOM(apply->gone.dirs, apply->gone.count, apply->gone.room) < 0)
        return err_nomem(apply->err);
    apply->gone.dirs[apply->gone.count++] = dir;
    return 0;
}

/* What stood under the name before: a directory that is not elsewhere now is gone. */
static int leave(struct apply *apply, const struct sheet_entry *entry) {
    if (apply->first)
        return 0;
    _object_ struct object *before = NULL;
    int r = index_lookup(apply->into, index_newest(line_of(apply)), entry->in, entry->name, &before, apply->err);
    bool stays = r > 0 && !(entry->flags & MANIFEST_DELETED) && before->dir == entry->object.dir;
    return r <= 0 || !object_is_dir(before) || stays ? MIN(r, 0) : may_be_gone(apply, before->dir);
}

static int has_row(struct store *store, const char *sql, int64_t id, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, sql, "i", id);
    return r < 0 ? r : db_step(&row, err);
}

/* `is_new`: nobody named the object before, so nobody named its content. 1 = it is known where it lies. */
static int add_content(struct apply *apply, const struct sheet_entry *entry, bool is_new) {
    const struct object *object = &entry->object;
    struct content content = { .id = object->content, .layer = apply->sheet->layer, .dir = entry->in, .name = entry->name,
                               .size = object->meta.size, .digest = object->digest };
    int r = is_new && !entry->content_layer ? 0 : has_row(apply->into, "SELECT 1 FROM content WHERE id = ?", object->content, apply->err);
    if (r != 0 || entry->content_layer)
        return r;
    r = index_add_content(apply->into, &content, apply->err);
    return r == -EEXIST || r == 0 ? 1 : r;
}

/* An object is written by the first manifest that names it. */
static int add_object(struct apply *apply, const struct sheet_entry *entry) {
    bool is_new = entry->object.id > apply->known && !(entry->object.flags & OBJECT_LINKED);
    int r = is_new ? 0 : has_row(apply->into, "SELECT 1 FROM object WHERE id = ?", entry->object.id, apply->err);
    if (r != 0)
        return MIN(r, 0);
    struct object object = entry->object;        /* borrowed */
    if (object.content && sheet_is_lost(apply->sheet, object.content))
        object.flags |= OBJECT_UNREAD | OBJECT_LOST;
    r = object.content ? add_content(apply, entry, is_new) : 1;
    if (r == 0) {                                /* the manifest that would say where it lies is damaged */
        object.content = 0;
        object.flags |= OBJECT_UNREAD | OBJECT_LOST;
    }
    r = r < 0 ? r : index_add_object(apply->into, &object, apply->err);
    return r == -EEXIST ? 0 : r;
}

/* A directory that only leads to what changed is known already, unless the manifest that had it is damaged. Of a snapshot that
 * was freed nobody needs to know it. */
static int is_known(struct apply *apply, const struct sheet_entry *entry) {
    if (!apply->incomplete || apply->sheet->snapshot->flags & SNAPSHOT_GONE)
        return 1;
    int64_t id = index_lookup_id(apply->into, index_newest(line_of(apply)), entry->in, entry->name, apply->err);
    return id < 0 ? (int)id : id == entry->object.id;
}

static int apply_entry(struct apply *apply, const struct sheet_entry *entry) {
    int r = entry->flags & MANIFEST_CONTEXT ? is_known(apply, entry) : 0;
    if (r != 0)
        return MIN(r, 0);
    r = leave(apply, entry);
    if (r < 0)
        return r;
    if (entry->flags & MANIFEST_DELETED)
        return index_died(apply->into, line_of(apply), number_of(apply), entry->in, entry->name, apply->err);
    if ((r = add_object(apply, entry)) < 0)
        return r;
    return index_born(apply->into, line_of(apply), number_of(apply), entry->in, entry->name, &entry->object, apply->err);
}

/* Unless it is somewhere else by now. */
static int sink(struct apply *apply, int64_t dir) {
    int64_t parent;
    _free_ char *name = NULL;
    int r = index_dir_place(apply->into, index_newest(line_of(apply)), dir, &parent, &name, apply->err);
    return r != 0 ? MIN(r, 0) : may_be_gone(apply, dir);
}

static int empty_entry(void *data, const char *name, const struct object *object) {
    struct apply *apply = data;
    int r = index_died(apply->into, line_of(apply), number_of(apply), apply->in, name, apply->err);
    return r < 0 || !object_is_dir(object) ? r : sink(apply, object->dir);
}

static int empty_dirs(struct apply *apply) {
    while (apply->gone.count) {
        apply->in = apply->gone.dirs[--apply->gone.count];
        int r = index_list(apply->into, index_newest(line_of(apply)), apply->in, empty_entry, apply, apply->err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The layer of a snapshot that was freed: where its directories lay then is asked for by what it still holds. */

static int place_dir(struct apply *apply, const struct sheet_dir *dir) {
    int64_t id = dir->self->object.dir, parent;
    _free_ char *name = NULL;
    struct point at = { line_of(apply), number_of(apply) };
    if (id == INDEX_ROOT)
        return 0;
    int r = db_run(apply->into, apply->err, "INSERT INTO gone_dir(dir, layer) VALUES (?, ?)", "ii", id, apply->sheet->layer);
    if (r == 0)
        r = index_dir_place(apply->into, at, id, &parent, &name, apply->err);
    if (r != 0)
        return MIN(r, 0);
    if (MAKE_ROOM(apply->adrift->at, apply->adrift->count, apply->adrift->room) < 0)
        return err_nomem(apply->err);
    apply->adrift->at[apply->adrift->count++] = (struct adrift){ at.line, id };
    return db_run(apply->into, apply->err, "INSERT INTO dir(line, id, born, died, parent, name) VALUES (?, ?, ?, ?, ?, ?)", "iiiiin",
                  at.line, id, at.snap, at.snap + 1, dir->self->in, dir->self->name);
}

static int place_dirs(struct apply *apply) {
    int r = db_run(apply->into, apply->err, "INSERT INTO gone(layer, line) VALUES (?, ?)", "ii", apply->sheet->layer, line_of(apply));
    for (size_t i = 0; i < apply->sheet->dirs_count && r == 0; i++)
        r = place_dir(apply, apply->sheet->dirs[i]);
    return r;
}

static int sink_adrift(struct apply *apply) {
    size_t left = 0;
    int r = 0;
    for (size_t i = 0; i < apply->adrift->count && r == 0; i++) {
        if (apply->adrift->at[i].line == line_of(apply))
            r = sink(apply, apply->adrift->at[i].dir);
        else
            apply->adrift->at[left++] = apply->adrift->at[i];
    }
    apply->adrift->count = left;
    return r < 0 ? r : empty_dirs(apply);
}

/* The snapshot's row: the manifest's, with what changed since. */

static int add_snapshot(struct store *into, const struct sheet *sheet, struct rebuilt *rebuilt, struct snap_err *err) {
    struct snapshot snapshot = *sheet->snapshot;         /* its strings are borrowed */
    if (sheet->facts.has_snapshot) {
        snapshot.flags = sheet->facts.flags;
        snapshot.public.name = sheet->facts.name ? sheet->facts.name : "";
    }
    snapshot.flags &= ~(unsigned)SNAPSHOT_UNSYNCED;      /* whoever uses what is built here flushes it */
    int r = index_add_snapshot(into, &snapshot, err);
    if (r != -EEXIST)
        return r;
    rebuilt->names_lost++;
    snapshot.public.name = "";
    return index_add_snapshot(into, &snapshot, err);
}

/* What it stands on may be of a manifest that is damaged: then the project's line is the likeliest. */
static int add_line(struct store *into, const struct snapshot *snapshot, struct snap_err *err) {
    return db_run(into, err, "INSERT OR IGNORE INTO line(id, base_line, base_snapshot) SELECT ?1, CASE WHEN ?2 THEN"
                  " coalesce((SELECT line FROM snapshot WHERE id = ?2), 1) END, nullif(?2, 0)", "ii", snapshot->line, snapshot->base);
}

static int apply_sheet(struct store *into, const struct sheet *sheet, struct adrifts *adrift, struct rebuilt *rebuilt, struct snap_err *err) {
    struct apply apply = { .into = into, .sheet = sheet, .adrift = adrift, .err = err, .incomplete = rebuilt->skipped,
                           .first = rebuilt->layers == 1, .known = rebuilt->objects };
    int r = add_line(into, sheet->snapshot, err);
    for (size_t i = 0; i < sheet->count && r >= 0; i++)
        r = apply_entry(&apply, sheet->entries[i]);
    for (size_t i = 0; i < sheet->count; i++)
        rebuilt->objects = MAX(rebuilt->objects, sheet->entries[i]->object.id);
    if (r >= 0)
        r = empty_dirs(&apply);
    bool gone = sheet->snapshot->flags & SNAPSHOT_GONE;
    if (r >= 0)
        r = gone ? place_dirs(&apply) : sink_adrift(&apply);
    free(apply.gone.dirs);
    return r < 0 || gone ? r : add_snapshot(into, sheet, rebuilt, err);
}

/* Facts that are damaged say nothing; whoever checks the layer tells. */
static int read_facts(struct store *store, struct sheet *sheet, struct snap_err *err) {
    struct snap_err why = {0};
    int r = facts_read(store, sheet->layer, &sheet->facts, &why);
    if (r < 0 && r != -EUCLEAN && err)
        *err = why;
    return r == -EUCLEAN ? 0 : MIN(r, 0);
}

static int apply_layer(struct store *store, struct store *into, int64_t layer, struct adrifts *adrift, struct rebuilt *rebuilt,
                       struct snap_err *err) {
    struct snap_err why = {0};
    _sheet_ struct sheet *sheet = NULL;
    int r = sheet_read(store, layer, &sheet, &why);
    if (r == -EUCLEAN || r == -ENOENT || r == -EISDIR || r == -ELOOP || r == -EIO || r == -ENOTDIR) {
        rebuilt->skipped++;
        return 0;
    }
    if (r < 0) {
        if (err)
            *err = why;
        return r;
    }
    rebuilt->layers++;
    if ((r = read_facts(store, sheet, err)) < 0)
        return r;
    return apply_sheet(into, sheet, adrift, rebuilt, err);
}

/* Numbers are never given twice, also those of snapshots that are gone. */
static int set_next(struct store *into, int64_t highest, struct snap_err *err) {
    int r = db_run(into, err, "DELETE FROM sqlite_sequence WHERE name = 'snapshot'", "");
    if (r < 0 || !highest)
        return r;
    return db_run(into, err, "INSERT INTO sqlite_sequence(name, seq) VALUES ('snapshot', ?)", "i", highest);
}

static int apply_all(struct store *store, struct store *into, int64_t last, const volatile sig_atomic_t *cancel, struct rebuilt *ret,
                     struct snap_err *err) {
    _free_ int64_t *layers = NULL;
    _cleanup_(adrifts_done) struct adrifts adrift = {0};
    size_t count = 0;
    int r = check_layers(store, &layers, &count, err);
    for (size_t i = 0; i < count && r >= 0 && layers[i] <= last; i++) {
        if (cancel && *cancel) {
            err_set(err, -ECANCELED, "interrupted");
            return err ? err_failure(err, SNAP_FAILURE_INTERRUPTED) : -ECANCELED;
        }
        ret->highest = layers[i];
        r = apply_layer(store, into, layers[i], &adrift, ret, err);
    }
    return r < 0 ? r : set_next(into, ret->highest, err);
}

int rebuild_index(struct store *store, struct store *into, int64_t last, const volatile sig_atomic_t *cancel, struct rebuilt *ret,
                  struct snap_err *err) {
    struct rebuilt rebuilt = {0};
    int r = db_begin(into, err);
    if (r < 0)
        return r;
    r = apply_all(store, into, last, cancel, &rebuilt, err);
    if (r < 0) {
        db_rollback(into);
        return r;
    }
    if ((r = db_commit(into, false, err)) == 0)
        *ret = rebuilt;
    return r;
}
