/* Which directories a tree has, and where: from the tree that a delta lies over, and the delta.
 * For scans whose delta somebody else filled; a scan of the project meets its directories itself.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "sweep.h"

#include <string.h>

struct spot { int64_t parent; char name[]; };
struct placing {
    struct scan *scan;
    struct map *spots;         /* identity of a directory -> struct spot: where it is, if what is above it is there */
};

static void placing_done(struct placing *placing) {
    map_free(placing->spots, free);
}

static int note(struct placing *placing, int64_t identity, int64_t parent, const char *name) {
    struct spot *spot = malloc(sizeof(*spot) + strlen(name) + 1);
    void *old = NULL;
    if (!spot)
        return -ENOMEM;
    spot->parent = parent;
    strcpy(spot->name, name);
    if (map_put(placing->spots, &identity, sizeof(identity), spot, &old) < 0) {
        free(spot);
        return -ENOMEM;
    }
    free(old);
    return 0;
}

/* The delta says where a directory came to, or that it is no longer where it was. */
static int note_below(void *data, int64_t id, int64_t parent, const char *name) {
    struct placing *placing = data;
    return id == INDEX_ROOT || scan_row(placing->scan, parent, name) ? 0 : note(placing, id, parent, name);
}

static int note_delta(struct placing *placing) {
    int r = 0;
    for (struct map_iter i = {0}; r == 0 && map_next(placing->scan->delta, &i);) {
        const struct delta_row *row = i.value;
        const struct object *after = row->entry.after;
        if (after && object_is_dir(after) && after->dir != INDEX_ROOT)
            r = note(placing, after->dir, row->entry.dir, row->entry.name);
    }
    return r;
}

/* Takes `at`. */
static int add(struct scan *scan, int64_t id, int64_t parent, struct dir *at) {
    struct scan_dir *dir = at ? calloc(1, sizeof(*dir)) : NULL;
    if (!dir) {
        (void)dir_unref(at);
        return -ENOMEM;
    }
    dir->id = id;
    dir->parent = parent;
    dir->at = at;
    dir->known = scan->live ? live_dir(scan->live, id) : NULL;
    if (map_put(scan->dirs, &id, sizeof(id), dir, NULL) == 0)
        return 0;
    scan_dir_free(dir);
    return -ENOMEM;
}

struct climb { int64_t *ids; size_t count, room; };

static void climb_done(struct climb *climb) {
    free(climb->ids);
}

/* Up to a directory that is placed already, then down again; nothing where the way up ends elsewhere. */
static int place(struct placing *placing, int64_t id) {
    _cleanup_(climb_done) struct climb climb = {0};
    struct scan_dir *above;
    while (!(above = scan_dir_of(placing->scan, id))) {
        const struct spot *spot = map_get(placing->spots, &id, sizeof(id));
        if (!spot || climb.count > map_count(placing->spots))
            return 0;
        if (MAKE_ROOM(climb.ids, climb.count, climb.room) < 0)
            return -ENOMEM;
        climb.ids[climb.count++] = id;
        id = spot->parent;
    }
    while (climb.count) {
        id = climb.ids[--climb.count];
        const struct spot *spot = map_get(placing->spots, &id, sizeof(id));
        int r = add(placing->scan, id, above->id, dir_child(above->at, spot->name));
        if (r < 0)
            return r;
        above = scan_dir_of(placing->scan, id);
    }
    return 0;
}

static int place_all(struct placing *placing) {
    struct scan *scan = placing->scan;
    int r = add(scan, 0, 0, dir_ref(dirs_root(scan->tree)));        /* where the root hangs */
    if (r == 0)
        r = add(scan, INDEX_ROOT, 0, dir_ref(dirs_root(scan->tree)));
    for (struct map_iter i = {0}; r == 0 && map_next(placing->spots, &i);) {
        int64_t id;
        memcpy(&id, i.key, sizeof(id));
        r = place(placing, id);
    }
    return r;
}

int scan_place(struct scan *scan, struct snap_err *err) {
    _cleanup_(placing_done) struct placing placing = { .scan = scan, .spots = map_new() };
    int r = placing.spots ? index_dirs(scan->store, scan->ground, note_below, &placing, err) : -ENOMEM;
    if (r == 0)
        r = note_delta(&placing);
    if (r == 0)
        r = place_all(&placing);
    return r == -ENOMEM ? err_nomem(err) : r;
}
