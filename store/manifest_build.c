/* A layer's manifest from the index: what a take wrote, written again where it was damaged.
 * Asks only; touches no layer. SPDX-License-Identifier: GPL-2.0-or-later */
#include "manifest.h"

#include "index_rows.h"
#include "map.h"

#include <string.h>

struct needed { int64_t id, parent; char *name; unsigned depth; };

struct building {
    struct store *store;
    const struct snapshot *snapshot;
    struct point now, before;
    struct map *dirs;                     /* identity -> struct needed */
    struct needed **order;
    size_t count;
    struct buf *out;
    struct snap_err *err;
};

static void needed_free(void *value) {
    struct needed *needed = value;
    free(needed->name);
    free(needed);
}

/* The directory and all above it; 0 = it is not in the snapshot. */
static int need(struct building *building, int64_t id) {
    while (id && !map_get(building->dirs, &id, sizeof(id))) {
        struct needed *needed = calloc(1, sizeof(*needed));
        if (!needed)
            return err_nomem(building->err);
        needed->id = id;
        int r = index_dir_place(building->store, building->now, id, &needed->parent, &needed->name, building->err);
        if (r > 0 && map_put(building->dirs, &id, sizeof(id), needed, NULL) < 0)
            r = err_nomem(building->err);
        if (r <= 0) {
            needed_free(needed);
            return r;
        }
        id = needed->parent;
    }
    return 1;
}

/* What is under a name from then on, or 0; names in the order of the manifest. */
#define ROWS "SELECT e.dir, e.name, e.object, coalesce(o.dir, 0) FROM entry e LEFT JOIN object o ON o.id = e.object WHERE e.line = ?1 AND e.born = ?2" \
    " UNION ALL SELECT a.dir, a.name, 0, 0 FROM entry a INDEXED BY entry_by_died WHERE a.line = ?1 AND a.died = ?2 AND a.died < " NEVER_SQL \
    " AND NOT EXISTS (SELECT 1 FROM entry b WHERE b.line = a.line AND b.dir = a.dir AND b.name = a.name AND b.born = a.died)" \
    " ORDER BY 1, 2"

static int rows(struct building *building, struct db_statement *ret) {
    return db_bind(ret, building->store, building->err, ROWS, "ii", building->now.line, building->now.snap);
}

static int need_dirs(struct building *building) {
    _statement_ struct db_statement row = {0};
    int r = need(building, INDEX_ROOT);
    if (r >= 0)
        r = rows(building, &row);
    while (r >= 0 && (r = db_step(&row, building->err)) > 0) {
        r = need(building, db_int(&row, 0));
        if (r >= 0)
            r = need(building, db_int(&row, 3));
    }
    return MIN(r, 0);
}

static unsigned depth_of(const struct building *building, const struct needed *needed) {
    unsigned depth = 0;
    while (needed && needed->parent) {
        needed = map_get(building->dirs, &needed->parent, sizeof(needed->parent));
        depth++;
    }
    return depth;
}

static int by_depth(const void *a, const void *b) {
    const struct needed *left = *(struct needed *const *)a, *right = *(struct needed *const *)b;
    if (left->depth != right->depth)
        return left->depth < right->depth ? -1 : 1;
    return left->id < right->id ? -1 : left->id > right->id;
}

static int sort_dirs(struct building *building) {
    building->order = calloc(map_count(building->dirs), sizeof(struct needed *));
    if (!building->order)
        return err_nomem(building->err);
    for (struct map_iter i = {0}; map_next(building->dirs, &i);) {
        struct needed *needed = i.value;
        needed->depth = depth_of(building, needed);
        building->order[building->count++] = needed;
    }
    qsort(building->order, building->count, sizeof(struct needed *), by_depth);
    return 0;
}

/* New to the snapshots before: opaque. Elsewhere there: a redirect to where it was. */
static int mark(struct building *building, const struct needed *needed, struct manifest_entry *entry, struct buf *redirect) {
    int64_t parent = 0;
    _free_ char *name = NULL;
    int r = index_dir_place(building->store, building->before, needed->id, &parent, &name, building->err);
    if (r == 0 && needed->id != INDEX_ROOT)
        entry->flags |= MANIFEST_OPAQUE;
    if (r <= 0 || needed->id == INDEX_ROOT || (parent == needed->parent && strcmp(name, needed->name) == 0))
        return MIN(r, 0);
    buf_char(redirect, '/');
    r = index_dir_path(building->store, building->before, needed->id, redirect, building->err);
    entry->redirect = redirect->data;
    return MIN(r, 0);
}

static int add_dir(struct building *building, const struct needed *needed) {
    _object_ struct object *object = NULL;
    _buf_ struct buf redirect = {0};
    int r = index_lookup(building->store, building->now, needed->parent, needed->name, &object, building->err);
    if (r <= 0)
        return r < 0 ? r : err_damage(building->err, "the index is damaged: directory %lld has no entry", (long long)needed->id);
    int64_t then = index_lookup_id(building->store, building->before, needed->parent, needed->name, building->err);
    struct manifest_entry entry = { .in = needed->parent, .name = needed->name, .object = object,
                                    .flags = then == object->id ? MANIFEST_CONTEXT : 0 };
    r = then < 0 ? (int)then : mark(building, needed, &entry, &redirect);
    if (r == 0)
        manifest_add(building->out, &entry);
    return r;
}

static int add_entry(struct building *building, struct db_statement *row) {
    _object_ struct object *object = NULL;
    _buf_ struct buf name = {0};
    struct content content = {0};
    size_t start;
    if (db_int(row, 3))
        return 0;                            /* a directory */
    int r = name_row(row, 1, db_int(row, 0), &name, &start, building->err);
    if (r == 0)
        r = index_object(building->store, db_int(row, 2), &object, building->err);
    if (r == 0 && object->content)
        r = index_content(building->store, object->content, &content, building->err);
    if (r < 0)
        return r;
    free(content.name);
    bool elsewhere = object->content && content.layer != building->snapshot->layer;
    manifest_add(building->out, &(struct manifest_entry){ .in = db_int(row, 0), .name = name.data, .object = object,
        .content_layer = elsewhere ? content.layer : 0 });
    return 0;
}

static int add_deleted(struct building *building, struct db_statement *row) {
    _buf_ struct buf name = {0};
    size_t start;
    int64_t dir = db_int(row, 0);
    if (dir && !map_get(building->dirs, &dir, sizeof(dir)))
        return 0;                            /* gone with its directory */
    int r = name_row(row, 1, dir, &name, &start, building->err);
    if (r == 0)
        manifest_add(building->out, &(struct manifest_entry){ .in = dir, .name = name.data, .flags = MANIFEST_DELETED });
    return r;
}

static int add_rows(struct building *building) {
    _statement_ struct db_statement row = {0};
    int r = rows(building, &row);
    while (r >= 0 && (r = db_step(&row, building->err)) > 0)
        r = db_int(&row, 2) ? add_entry(building, &row) : add_deleted(building, &row);
    return r;
}

static int build(struct building *building) {
    int r = need_dirs(building);
    if (r == 0)
        r = sort_dirs(building);
    if (r < 0)
        return r;
    manifest_begin(building->out, building->snapshot);
    for (size_t i = 0; i < building->count && r >= 0; i++)
        r = add_dir(building, building->order[i]);
    if (r >= 0)
        r = add_rows(building);
    manifest_end(building->out);
    return r < 0 ? r : building->out->failed ? err_nomem(building->err) : 0;
}

int manifest_from_index(struct store *store, int64_t number, struct buf *out, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = index_snapshot(store, number, &snapshot, err);
    if (r <= 0)
        return r;
    struct point base = {0};
    if ((r = index_base(store, snapshot->line, &base, err)) < 0)
        return r;
    snapshot->base = base.snap;
    struct building building = { .store = store, .snapshot = snapshot, .out = out, .err = err, .dirs = map_new(),
        .now = { snapshot->line, number }, .before = { snapshot->line, number - 1 } };
    r = building.dirs ? build(&building) : err_nomem(err);
    map_free(building.dirs, needed_free);
    free(building.order);
    return r < 0 ? r : 1;
}
