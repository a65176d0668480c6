/* Which entries differ between two trees, by directory identity and name.
 * Asks the index for what was born or died between, and lays over it what the scan found. Knows no paths and no letters.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "compare.h"

#include "tree.h"
#include <string.h>

int comparison_init(struct comparison *comparison, struct snap_project *project, struct point from, struct point to,
                    const struct scan *scan, struct snap_err *err) {
    *comparison = (struct comparison){ .project = project, .by_key = map_new() };
    side_init(&comparison->from, project, from, NULL);
    side_init(&comparison->to, project, scan ? scan_ground(scan) : to, scan);
    return comparison->by_key ? 0 : err_nomem(err);
}

void comparison_done(struct comparison *comparison) {
    for (size_t i = 0; i < comparison->count; i++) {
        free(comparison->rows[i].name);
        object_free(comparison->rows[i].before);
        object_free(comparison->rows[i].after);
    }
    free(comparison->rows);
    comparison->by_key = map_free(comparison->by_key, NULL);
    side_done(&comparison->from);
    side_done(&comparison->to);
}

void comparison_close(struct comparison *comparison) {
    comparison->by_key = map_free(comparison->by_key, NULL);
}

/* Rows by key. */

static struct entry_row *find_row(struct comparison *comparison, int64_t dir, const char *name) {
    char key[ENTRY_KEY_MAX];
    uintptr_t at = (uintptr_t)map_get(comparison->by_key, key, entry_key(key, dir, name));
    return at ? &comparison->rows[at - 1] : NULL;
}

/* NULL: no memory. Valid until the next row is added. */
static struct entry_row *add_row(struct comparison *comparison, int64_t dir, const char *name) {
    char key[ENTRY_KEY_MAX];
    if (MAKE_ROOM(comparison->rows, comparison->count, comparison->room) < 0)
        return NULL;
    struct entry_row row = { .dir = dir, .name = strdup(name) };
    void *at = (void *)(uintptr_t)(comparison->count + 1);
    if (!row.name || map_put(comparison->by_key, key, entry_key(key, dir, name), at, NULL) < 0) {
        free(row.name);
        return NULL;
    }
    comparison->rows[comparison->count] = row;
    return &comparison->rows[comparison->count++];
}

static int set_copy(struct object **where, const struct object *object) {
    struct object *copy = object ? tree_object_copy(object) : NULL;
    if (object && !copy)
        return -ENOMEM;
    object_free(*where);
    *where = copy;
    return 0;
}

/* What the index says. */

struct gathering { struct comparison *comparison; struct snap_err *err; };

static int add_difference(void *data, const struct index_change *change) {
    struct gathering *gathering = data;
    struct store *store = gathering->comparison->project->store;
    if (project_cancelled(gathering->comparison->project))
        return project_cancelled_error(gathering->err);
    struct entry_row *row = add_row(gathering->comparison, change->dir, change->name);
    if (!row)
        return err_nomem(gathering->err);
    int r = change->before ? index_object(store, change->before, &row->before, gathering->err) : 0;
    if (r >= 0 && change->after)
        r = index_object(store, change->after, &row->after, gathering->err);
    return r;
}

/* What the scan says. A removed directory is one entry of its delta; all that was below it went with it, but for
 * directories that the project has elsewhere. */

struct worklist { int64_t *dirs; size_t count, room; };

static void worklist_done(struct worklist *list) {
    free(list->dirs);
}

static int worklist_add(struct worklist *list, int64_t dir) {
    if (MAKE_ROOM(list->dirs, list->count, list->room) < 0)
        return -ENOMEM;
    list->dirs[list->count++] = dir;
    return 0;
}

static bool is_gone(const struct scan *scan, const struct object *newest, const struct object *after) {
    return newest && object_is_dir(newest) && !(after && after->dir == newest->dir) && !scan_has_dir(scan, newest->dir);
}

/* Where the index saw no difference, the state at `from` is the newest one. */
static int lay_over(struct comparison *comparison, const struct delta_entry *entry, struct worklist *gone, struct snap_err *err) {
    struct entry_row *row = find_row(comparison, entry->dir, entry->name);
    if (!row) {
        row = add_row(comparison, entry->dir, entry->name);
        if (!row)
            return err_nomem(err);
        int r = index_lookup(comparison->project->store, comparison->to.at, entry->dir, entry->name, &row->before, err);
        if (r < 0)
            return r;
        if (set_copy(&row->after, row->before) < 0)
            return err_nomem(err);
    }
    if (is_gone(comparison->to.scan, row->after, entry->after) && worklist_add(gone, row->after->dir) < 0)
        return err_nomem(err);
    if (row->before && entry->after && row->before->id == entry->after->id) {      /* it went back: no difference */
        row->before = object_free(row->before);
        row->after = object_free(row->after);
        return 0;
    }
    return set_copy(&row->after, entry->after) < 0 ? err_nomem(err) : 0;
}

struct removal { struct comparison *comparison; struct worklist *gone; int64_t dir; };

static int remove_entry(void *data, const char *name, const struct object *object) {
    struct removal *removal = data;
    const struct scan *scan = removal->comparison->to.scan;
    if (is_gone(scan, object, NULL) && worklist_add(removal->gone, object->dir) < 0)
        return -ENOMEM;
    if (scan_find(scan, removal->dir, name))
        return 0;
    struct entry_row *row = find_row(removal->comparison, removal->dir, name);
    if (row)
        return set_copy(&row->after, NULL);
    row = add_row(removal->comparison, removal->dir, name);
    return row ? set_copy(&row->before, object) : -ENOMEM;
}

static int remove_gone(struct comparison *comparison, struct worklist *gone, struct snap_err *err) {
    int r = 0;
    while (r >= 0 && gone->count) {
        struct removal removal = { comparison, gone, gone->dirs[--gone->count] };
        r = index_list(comparison->project->store, comparison->to.at, removal.dir, remove_entry, &removal, err);
    }
    return r == -ENOMEM ? err_nomem(err) : MIN(r, 0);
}

static int lay_scan_over(struct comparison *comparison, struct snap_err *err) {
    _cleanup_(worklist_done) struct worklist gone = {0};
    for (struct scan_iter i = {0}; scan_next(comparison->to.scan, &i);) {
        int r = lay_over(comparison, i.entry, &gone, err);
        if (r < 0)
            return r;
    }
    return remove_gone(comparison, &gone, err);
}

int gather_entries(struct comparison *comparison, struct snap_err *err) {
    struct gathering gathering = { comparison, err };
    int r = index_diff(comparison->project->store, comparison->from.at, comparison->to.at, add_difference, &gathering, err);
    if (r >= 0 && comparison->to.scan)
        r = lay_scan_over(comparison, err);
    return MIN(r, 0);
}

/* Expanding directories that moved. */

void expansion_done(struct expansion *expansion) {
    expansion->before = map_free(expansion->before, NULL);
    expansion->after = map_free(expansion->after, NULL);
}

struct below {
    struct comparison *comparison;
    struct worklist *dirs;
    int64_t dir;
    bool after;
};

static int split_entry(void *data, const char *name, const struct object *object) {
    struct below *below = data;
    struct entry_row *row = find_row(below->comparison, below->dir, name);
    if (!row && !(row = add_row(below->comparison, below->dir, name)))
        return -ENOMEM;
    row->split = true;
    struct object **where = below->after ? &row->after : &row->before;
    if (!*where && set_copy(where, object) < 0)
        return -ENOMEM;
    return object_is_dir(object) ? worklist_add(below->dirs, object->dir) : 0;
}

static int below_side(struct comparison *comparison, struct map *visited, bool after, int64_t dir, struct snap_err *err) {
    _cleanup_(worklist_done) struct worklist dirs = {0};
    struct side *side = after ? &comparison->to : &comparison->from;
    int r = worklist_add(&dirs, dir) < 0 ? err_nomem(err) : 0;
    while (r >= 0 && dirs.count) {
        struct below below = { comparison, &dirs, dirs.dirs[--dirs.count], after };
        if (project_cancelled(comparison->project))
            return project_cancelled_error(err);
        if (map_get(visited, &below.dir, sizeof(below.dir)))
            continue;
        if (map_put(visited, &below.dir, sizeof(below.dir), comparison, NULL) < 0)
            return err_nomem(err);
        r = side_list(side, below.dir, split_entry, &below, err);
    }
    return r == -ENOMEM ? err_nomem(err) : MIN(r, 0);
}

int gather_below(struct comparison *comparison, struct expansion *expansion, int64_t dir, struct snap_err *err) {
    if (!expansion->before && !(expansion->before = map_new()))
        return err_nomem(err);
    if (!expansion->after && !(expansion->after = map_new()))
        return err_nomem(err);
    int r = below_side(comparison, expansion->before, false, dir, err);
    return r < 0 ? r : below_side(comparison, expansion->after, true, dir, err);
}
