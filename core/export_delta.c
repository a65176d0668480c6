/* What differs between two snapshots, as entries and whiteouts that turn the older tree into the newer one.
 *
 * Begins with the rows of the index that differ, and reads nothing else of either tree. A directory that keeps its identity and
 * its place is merged; one that is new where it stands, be it made or moved there, comes whole, and covers what was there
 * (opaque). A hard link group of which one name comes, comes with all its names: a layer cannot link to what lies below it.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "exporter.h"

#include <string.h>

struct row { int64_t dir; char *name; int64_t before, after; };
struct place {                 /* a directory of the newer tree */
    int64_t dir, parent;
    char *name, *path;         /* path: NULL until it is known */
    bool fresh;                /* it, or a directory above it, comes whole */
};

enum action_kind { ACTION_WHITEOUT, ACTION_ENTRY, ACTION_WHOLE };
struct action {
    enum action_kind kind;
    char *path;
    struct object *object;     /* NULL: WHITEOUT */
    bool opaque;
};

struct delta {
    struct exporter *exporter;
    struct point from;
    struct row *rows;
    size_t count, room;
    struct map *by_key;        /* directory and name -> 1 + index in rows */
    struct map *groups;        /* ids of objects all of whose names are rows */
    struct map *fresh;         /* directories that are new where they stand */
    struct map *places;        /* directory -> struct place; of the newer tree */
    struct action *actions;
    size_t action_count, action_room;
};

static void place_free(void *data) {
    struct place *place = data;
    free(place->name);
    free(place->path);
    free(place);
}

static void delta_done(struct delta *delta) {
    for (size_t i = 0; i < delta->count; i++)
        free(delta->rows[i].name);
    for (size_t i = 0; i < delta->action_count; i++) {
        free(delta->actions[i].path);
        object_free(delta->actions[i].object);
    }
    free(delta->rows);
    free(delta->actions);
    map_free(delta->by_key, NULL);
    map_free(delta->groups, NULL);
    map_free(delta->fresh, NULL);
    map_free(delta->places, place_free);
}
#define _delta_ _cleanup_(delta_done)

static int nomem(struct delta *delta) {
    return err_nomem(delta->exporter->err);
}

/* Rows. */

static int add_row(struct delta *delta, int64_t dir, const char *name, int64_t before, int64_t after) {
    char key[ENTRY_KEY_MAX];
    size_t size = entry_key(key, dir, name);
    if (map_get(delta->by_key, key, size))
        return 0;
    if (MAKE_ROOM(delta->rows, delta->count, delta->room) < 0 ||
        map_put(delta->by_key, key, size, (void *)(uintptr_t)(delta->count + 1), NULL) < 0)
        return nomem(delta);
    char *copy = strdup(name);
    if (!copy)
        return nomem(delta);
    delta->rows[delta->count++] = (struct row){ dir, copy, before, after };
    return 0;
}

static int on_change(void *data, const struct index_change *change) {
    return add_row(data, change->dir, change->name, change->before, change->after);
}

struct grouping { struct delta *delta; int64_t object; };

static int on_name(void *data, int64_t dir, const char *name) {
    struct grouping *grouping = data;
    return add_row(grouping->delta, dir, name, 0, grouping->object);
}

static int add_group(struct delta *delta, const struct object *object) {
    if (object_is_dir(object) || !(object->flags & OBJECT_LINKED) || map_get(delta->groups, &object->id, sizeof(object->id)))
        return 0;
    if (map_put(delta->groups, &object->id, sizeof(object->id), delta, NULL) < 0)
        return nomem(delta);
    struct exporter *exporter = delta->exporter;
    struct grouping grouping = { delta, object->id };
    return index_names(exporter->project->store, exporter->at, object->id, on_name, &grouping, exporter->err);
}

static int on_node(void *data, const struct tree_node *node) {
    return add_group(data, node->object);
}

/* A directory where another one, or none, was before. */
static int add_fresh(struct delta *delta, const struct object *object) {
    struct exporter *exporter = delta->exporter;
    if (map_put(delta->fresh, &object->dir, sizeof(object->dir), delta, NULL) < 0)
        return nomem(delta);
    return tree_walk(exporter->project->store, exporter->at, object->dir, NULL, true, on_node, delta, exporter->err);
}

/* 1: the same directory was there before. */
static int keeps_identity(struct delta *delta, const struct row *row, const struct object *after, bool *ret_was_dir) {
    _object_ struct object *before = NULL;
    int r = row->before ? index_object(delta->exporter->project->store, row->before, &before, delta->exporter->err) : 0;
    *ret_was_dir = before && object_is_dir(before);
    return r < 0 ? r : before && object_is_dir(after) && before->dir == after->dir;
}

/* What comes along with a row. Rows are added meanwhile: `row` does not last. */
static int extend(struct delta *delta, size_t index) {
    struct row row = delta->rows[index];
    _object_ struct object *after = NULL;
    bool was_dir;
    if (!row.after)
        return 0;
    int r = index_object(delta->exporter->project->store, row.after, &after, delta->exporter->err);
    if (r < 0 || !object_is_dir(after))
        return r < 0 ? r : add_group(delta, after);
    r = keeps_identity(delta, &row, after, &was_dir);
    return r != 0 ? MIN(r, 0) : add_fresh(delta, after);
}

static int gather(struct delta *delta) {
    struct exporter *exporter = delta->exporter;
    int r = index_diff(exporter->project->store, delta->from, exporter->at, on_change, delta, exporter->err);
    for (size_t i = 0; i < delta->count && r >= 0; i++)
        r = extend(delta, i);
    return MIN(r, 0);
}

/* Places. */

static struct place *known_place(const struct delta *delta, int64_t dir) {
    return map_get(delta->places, &dir, sizeof(dir));
}

static int add_place(struct delta *delta, int64_t dir, int64_t parent, char *name) {
    struct place *place = calloc(1, sizeof(*place));
    if (!place || map_put(delta->places, &dir, sizeof(dir), place, NULL) < 0) {
        free(place);
        free(name);
        return nomem(delta);
    }
    *place = (struct place){ .dir = dir, .parent = parent, .name = name };
    return 0;
}

/* Everything between a known place and `dir`. 0 absent from the newer tree, 1 found. */
static int climb(struct delta *delta, int64_t dir) {
    struct exporter *exporter = delta->exporter;
    while (!known_place(delta, dir)) {
        int64_t parent = 0;
        char *name = NULL;
        int r = index_dir_place(exporter->project->store, exporter->at, dir, &parent, &name, exporter->err);
        if (r <= 0)
            return r;
        r = add_place(delta, dir, parent, name);
        if (r < 0 || dir == INDEX_ROOT)
            return r < 0 ? r : 1;
        dir = parent;
    }
    return 1;
}

/* From the top down, without recursion: up to a place whose path is known, then back. */
static int fill_path(struct delta *delta, struct place *place) {
    struct place **way = NULL;
    size_t count = 0, room = 0;
    int r = 0;
    while (!place->path && r == 0) {
        if ((r = MAKE_ROOM(way, count, room)) == 0)
            way[count++] = place;
        struct place *above = known_place(delta, place->parent);
        if (!above)
            break;
        place = above;
    }
    while (count > 0 && r == 0) {
        struct place *below = way[--count], *above = known_place(delta, below->parent);
        _buf_ struct buf path = {0};
        tree_join(&path, above && above->path ? above->path : "", below->name);
        below->path = buf_take(&path);
        below->fresh = map_get(delta->fresh, &below->dir, sizeof(below->dir)) || (above && above->fresh);
        r = below->path ? 0 : -ENOMEM;
    }
    free(way);
    return r < 0 ? nomem(delta) : 0;
}

/* NULL: the directory is not in the newer tree. */
static int find_place(struct delta *delta, int64_t dir, struct place **ret) {
    *ret = NULL;
    int r = climb(delta, dir);
    if (r <= 0)
        return r;
    struct place *place = known_place(delta, dir);
    r = place->path ? 0 : fill_path(delta, place);
    if (r == 0)
        *ret = place;
    return r;
}

/* Actions. */

static int add_action(struct delta *delta, enum action_kind kind, const char *above, const char *name, struct object *object, bool opaque) {
    _object_ struct object *owned = object;
    _buf_ struct buf path = {0};
    tree_join(&path, above, name);
    if (MAKE_ROOM(delta->actions, delta->action_count, delta->action_room) < 0)
        return nomem(delta);
    struct action action = { .kind = kind, .path = buf_take(&path), .opaque = opaque };
    if (!action.path)
        return nomem(delta);
    action.object = TAKE_PTR(owned);
    delta->actions[delta->action_count++] = action;
    return 0;
}

static int plan_after(struct delta *delta, const struct row *row, const struct place *place) {
    _object_ struct object *after = NULL;
    bool was_dir = false;
    struct place *own;
    int r = index_object(delta->exporter->project->store, row->after, &after, delta->exporter->err);
    if (r < 0)
        return r;
    if (!object_is_dir(after))
        return add_action(delta, ACTION_ENTRY, place->path, row->name, TAKE_PTR(after), false);
    r = keeps_identity(delta, row, after, &was_dir);
    if (r != 0)
        return r < 0 ? r : find_place(delta, after->dir, &own);
    return add_action(delta, ACTION_WHOLE, place->path, row->name, TAKE_PTR(after), was_dir);
}

static int plan_row(struct delta *delta, const struct row *row) {
    struct place *place;
    if (row->dir == 0) {       /* the root itself */
        int r = find_place(delta, INDEX_ROOT, &place);
        return r;
    }
    int r = find_place(delta, row->dir, &place);
    if (r < 0 || !place || place->fresh)
        return r;
    return row->after ? plan_after(delta, row, place) : add_action(delta, ACTION_WHITEOUT, place->path, row->name, NULL, false);
}

/* Directories on the way: what lies below them takes their metadata from here. */
static int plan_places(struct delta *delta) {
    struct exporter *exporter = delta->exporter;
    for (struct map_iter i = {0}; map_next(delta->places, &i);) {
        struct place *place = i.value;
        _object_ struct object *object = NULL;
        int r = place->path ? 0 : fill_path(delta, place);
        if (r < 0 || place->fresh) {
            if (r < 0)
                return r;
            continue;
        }
        r = index_lookup(exporter->project->store, exporter->at, place->parent, place->name, &object, exporter->err);
        if (r == 0)
            return err_damage(exporter->err, "the index is damaged: directory %lld is not where it lies", (long long)place->dir);
        if (r > 0)
            r = add_action(delta, ACTION_ENTRY, "", place->path, TAKE_PTR(object), false);
        if (r < 0)
            return r;
    }
    return 0;
}

/* By components; of those in one directory whiteouts first, which is how the OCI wants it. */
static int by_path(const void *left, const void *right) {
    const struct action *a = left, *b = right;
    const char *x = a->path, *y = b->path;
    while (*x && *x == *y)
        x++, y++;
    while (x > a->path && x[-1] != '/')
        x--, y--;
    size_t x_size = strcspn(x, "/"), y_size = strcspn(y, "/");
    if (!*x || !*y)
        return (*x != 0) - (*y != 0);
    bool x_out = a->kind == ACTION_WHITEOUT && !x[x_size], y_out = b->kind == ACTION_WHITEOUT && !y[y_size];
    if (x_out != y_out)
        return x_out ? -1 : 1;
    int order = memcmp(x, y, MIN(x_size, y_size));
    if (order == 0 && x_size == y_size)
        return (x[x_size] != 0) - (y[y_size] != 0);
    return order ? order : x_size < y_size ? -1 : 1;
}

static int carry_out(struct delta *delta, const struct action *action) {
    struct exporter *exporter = delta->exporter;
    if (action->kind == ACTION_WHITEOUT)
        return export_whiteout(exporter, action->path);
    int r = export_entry(exporter, action->path, action->object, action->opaque);
    return r != 0 || action->kind == ACTION_ENTRY ? MIN(r, 0) : export_below(exporter, action->path, action->object->dir);
}

int export_delta(struct exporter *exporter, struct point from) {
    _delta_ struct delta delta = { .exporter = exporter, .from = from, .by_key = map_new(), .groups = map_new(), .fresh = map_new(), .places = map_new() };
    struct place *root;
    if (!delta.by_key || !delta.groups || !delta.fresh || !delta.places)
        return nomem(&delta);
    int r = gather(&delta);
    if (r == 0)
        r = find_place(&delta, INDEX_ROOT, &root);
    for (size_t i = 0; i < delta.count && r == 0; i++)
        r = plan_row(&delta, &delta.rows[i]);
    if (r == 0)
        r = plan_places(&delta);
    if (r < 0)
        return r;
    if (delta.action_count)
        qsort(delta.actions, delta.action_count, sizeof(*delta.actions), by_path);
    for (size_t i = 0; i < delta.action_count && r == 0; i++)
        r = carry_out(&delta, &delta.actions[i]);
    return r;
}
