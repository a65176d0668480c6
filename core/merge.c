/* Three-way, path by path.
 *
 * Everything is known by directory identity and name, so that what was renamed on one side and changed on the other is still
 * one thing. A change of the workspace is taken where the project has what the base had; it is nothing where both are equal
 * already; all else is a conflict. Times alone are no change. Writes nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "merge.h"

#include "ignore.h"
#include "map.h"
#include "merge_file.h"

#include <string.h>

struct deciding {
    struct snap_project *project;
    const struct scan *theirs, *ours;
    struct point base, newest;
    const struct merge_options *options;
    struct merge_sides sides;  /* for content */
    struct ignore *ignore;     /* what the project leaves out; NULL = nothing */
    struct map *same;          /* a new directory of the workspace -> the project's new one of the same name (int64_t in the pointer) */
    struct map *came, *refused;           /* directories of the workspace that the project gets, or does not: sets */
    struct map *groups;        /* object of the workspace with several names -> struct group */
    struct map *touched;       /* directories in which the project differs from the base: a set, made on first use */
    struct merge *merge;
    struct snap_err *err;
};

static void free_rows(struct merge *merge) {
    for (; merge->count; merge->count--) {
        struct merge_row *row = &merge->rows[merge->count - 1];
        object_free(row->base);
        object_free(row->ours);
        object_free(row->merged);
        buf_done(&row->bytes);
        free(row->path);
    }
}

void merge_done(struct merge *merge) {
    free_rows(merge);
    for (size_t i = 0; i < merge->conflicts_count; i++)
        free(merge->conflicts[i].path);
    free(merge->rows);
    free(merge->conflicts);
    *merge = (struct merge){0};
}

/* The three. */

struct three { struct object *base, *ours; const struct object *theirs; int64_t dir; };

static void three_done(struct three *three) {
    object_free(three->base);
    object_free(three->ours);
}

static int64_t project_dir(const struct deciding *deciding, int64_t dir) {
    int64_t same = (int64_t)(intptr_t)map_get(deciding->same, &dir, sizeof(dir));
    return same ? same : dir;
}

static int copy_object(const struct object *object, struct object **ret) {
    struct object *copy = calloc(1, sizeof(*copy));
    if (!copy || meta_copy(&copy->meta, &object->meta) < 0) {
        free(copy);
        return -ENOMEM;
    }
    copy->id = object->id;
    copy->dir = object->dir;
    copy->content = object->content;
    copy->digest = object->digest;
    copy->flags = object->flags;
    *ret = copy;
    return 0;
}

static int ours_at(struct deciding *deciding, int64_t dir, const char *name, struct object **ret) {
    const struct delta_entry *entry = deciding->ours ? scan_find(deciding->ours, dir, name) : NULL;
    if (entry)
        return entry->after && copy_object(entry->after, ret) < 0 ? err_nomem(deciding->err) : 0;
    if (deciding->ours && !scan_has_dir(deciding->ours, dir))
        return 0;
    return MIN(index_lookup(deciding->project->store, deciding->newest, dir, name, ret, deciding->err), 0);
}

static int find_three(struct deciding *deciding, const struct delta_entry *entry, struct three *ret) {
    ret->theirs = entry->after;
    ret->dir = project_dir(deciding, entry->dir);
    int r = index_lookup(deciding->project->store, deciding->base, entry->dir, entry->name, &ret->base, deciding->err);
    return r < 0 ? r : ours_at(deciding, ret->dir, entry->name, &ret->ours);
}

static bool same_content(const struct object *a, const struct object *b) {
    if (!S_ISREG(a->meta.mode))
        return true;
    if ((a->flags | b->flags) & (OBJECT_UNREAD | OBJECT_UNDIGESTED))
        return a->id == b->id;
    return a->meta.size == b->meta.size && (!a->meta.size || digest_equal(&a->digest, &b->digest));
}

/* Times aside. */
static bool is_same(const struct object *a, const struct object *b) {
    if (!a || !b)
        return a == b;
    if (object_is_dir(a) && a->dir != b->dir)
        return false;
    return !(meta_differs(&a->meta, &b->meta) & ~(unsigned)SNAP_WHAT_TIME) && same_content(a, b);
}

static int remember(struct deciding *deciding, struct map *set, int64_t dir) {
    return map_put(set, &dir, sizeof(dir), deciding, NULL) < 0 ? err_nomem(deciding->err) : 0;
}

/* With the times, and whether it has other names. */
static bool is_equal(const struct object *a, const struct object *b) {
    return is_same(a, b) && (!a || (meta_equal(&a->meta, &b->meta) && (a->flags & OBJECT_LINKED) == (b->flags & OBJECT_LINKED)));
}

/* The names of one file in the workspace are nothing to do only if they are the names of one file in the project. */
struct group { int64_t ours; int64_t names; bool differs; };

static int add_to_group(struct deciding *deciding, const struct delta_entry *entry) {
    _cleanup_(three_done) struct three three = {0};
    struct group *group = map_get(deciding->groups, &entry->after->id, sizeof(entry->after->id));
    int r = find_three(deciding, entry, &three);
    if (r < 0)
        return r;
    if (!group && !((group = calloc(1, sizeof(*group))) && map_put(deciding->groups, &entry->after->id, sizeof(int64_t), group, NULL) == 0)) {
        free(group);
        return err_nomem(deciding->err);
    }
    group->names++;
    group->differs |= !is_equal(three.ours, three.theirs) || (group->ours && group->ours != three.ours->id);
    group->ours = three.ours ? three.ours->id : group->ours;
    return 0;
}

static int find_groups(struct deciding *deciding) {
    int r = 0;
    for (struct scan_iter i = {0}; r == 0 && scan_next(deciding->theirs, &i);)
        if (i.entry->after && i.entry->after->flags & OBJECT_LINKED)
            r = add_to_group(deciding, i.entry);
    for (struct map_iter i = {0}; r == 0 && !deciding->ours && map_next(deciding->groups, &i);) {
        struct group *group = i.value;
        int64_t names = group->differs ? group->names : index_links(deciding->project->store, deciding->newest, group->ours, deciding->err);
        r = names < 0 ? (int)names : 0;
        group->differs |= names != group->names;
    }
    return r;
}

static bool is_done(const struct deciding *deciding, const struct three *three) {
    const struct group *group = three->theirs && three->theirs->flags & OBJECT_LINKED
        ? map_get(deciding->groups, &three->theirs->id, sizeof(three->theirs->id)) : NULL;
    return is_equal(three->ours, three->theirs) && !(group && group->differs);
}

/* Whether the project changed something below a directory that the workspace deleted. */

/* The newest entries may say more than the project: after going back they are something else. */
static int touch(void *data, const struct index_change *change) {
    struct deciding *deciding = data;
    _object_ struct object *base = NULL, *ours = NULL;
    if (map_get(deciding->touched, &change->dir, sizeof(change->dir)))
        return 0;
    int r = index_lookup(deciding->project->store, deciding->base, change->dir, change->name, &base, deciding->err);
    if (r >= 0)
        r = ours_at(deciding, change->dir, change->name, &ours);
    return r < 0 || is_same(base, ours) ? r : remember(deciding, deciding->touched, change->dir);
}

static int find_touched(struct deciding *deciding) {
    if (deciding->touched)
        return 0;
    if (!(deciding->touched = map_new()))
        return err_nomem(deciding->err);
    int r = index_diff(deciding->project->store, deciding->base, deciding->newest, touch, deciding, deciding->err);
    for (struct scan_iter i = {0}; r == 0 && deciding->ours && scan_next(deciding->ours, &i);)
        r = touch(deciding, &(struct index_change){ .dir = i.entry->dir, .name = i.entry->name });
    return MIN(r, 0);
}

struct below { struct deciding *deciding; int64_t *dirs; size_t count, room; };

static void below_done(struct below *below) {
    free(below->dirs);
}

/* Directories that the workspace has elsewhere were not deleted. */
static int add_below(void *data, const char *name, const struct object *object) {
    struct below *below = data;
    (void)name;
    if (!object_is_dir(object) || scan_has_dir(below->deciding->theirs, object->dir))
        return 0;
    if (MAKE_ROOM(below->dirs, below->count, below->room) < 0)
        return err_nomem(below->deciding->err);
    below->dirs[below->count++] = object->dir;
    return 0;
}

/* 1 = it did. */
static int is_touched_below(struct deciding *deciding, const struct object *dir) {
    _cleanup_(below_done) struct below below = { .deciding = deciding };
    int r = find_touched(deciding);
    if (r == 0)
        r = add_below(&below, "", dir);
    while (r == 0 && below.count) {
        int64_t id = below.dirs[--below.count];
        if (map_get(deciding->touched, &id, sizeof(id)))
            return 1;
        r = index_list(deciding->project->store, deciding->base, id, add_below, &below, deciding->err);
    }
    return MIN(r, 0);
}

/* Deciding one. */

static int conflict(struct deciding *deciding, const char *path, const char *kind) {
    struct merge *merge = deciding->merge;
    if (MAKE_ROOM(merge->conflicts, merge->conflicts_count, merge->conflicts_room) < 0)
        return err_nomem(deciding->err);
    struct merge_conflict *added = &merge->conflicts[merge->conflicts_count];
    memcpy(added->kind, kind, sizeof(added->kind));
    if (!(added->path = strdup(path)))
        return err_nomem(deciding->err);
    merge->conflicts_count++;
    return 0;
}

static int accept(struct deciding *deciding, struct three *three, const struct delta_entry *entry, const char *path) {
    struct merge *merge = deciding->merge;
    if (MAKE_ROOM(merge->rows, merge->count, merge->room) < 0)
        return err_nomem(deciding->err);
    struct merge_row row = { .dir = three->dir, .name = entry->name, .theirs = entry, .path = strdup(path) };
    if (!row.path)
        return err_nomem(deciding->err);
    row.base = TAKE_PTR(three->base);
    row.ours = TAKE_PTR(three->ours);
    merge->rows[merge->count++] = row;
    return entry->after && object_is_dir(entry->after) ? remember(deciding, deciding->came, entry->after->dir) : 0;
}

/* 1 = the project has the directory in which this lies, or gets it. */
static int has_parent(struct deciding *deciding, int64_t dir) {
    int64_t parent;
    _free_ char *name = NULL;
    if (dir == 0 || dir == INDEX_ROOT || map_get(deciding->came, &dir, sizeof(dir)))
        return 1;
    if (deciding->ours)
        return scan_has_dir(deciding->ours, dir);
    return index_dir_place(deciding->project->store, deciding->newest, dir, &parent, &name, deciding->err);
}

/* 1 = a directory that the workspace moved is no longer where it was in the base: both moved it, or the project deleted it. */
static int moved_by_both(struct deciding *deciding, const struct object *theirs) {
    int64_t before = 0, now = 0;
    _free_ char *name_before = NULL, *name_now = NULL;
    _buf_ struct buf path_before = {0}, path_now = {0};
    struct store *store = deciding->project->store;
    int r = theirs && object_is_dir(theirs) ? index_dir_place(store, deciding->base, theirs->dir, &before, &name_before, deciding->err) : 0;
    if (r <= 0 || theirs->dir == INDEX_ROOT)
        return r < 0 ? r : 0;
    if (deciding->ours) {
        r = index_dir_path(store, deciding->base, theirs->dir, &path_before, deciding->err);
        if (r < 0 || (r = scan_dir_path(deciding->ours, theirs->dir, &path_now)) < 0)
            return r;
        return r == 0 || strcmp(path_before.data ? path_before.data : "", path_now.data ? path_now.data : "") != 0;
    }
    r = index_dir_place(store, deciding->newest, theirs->dir, &now, &name_now, deciding->err);
    return r < 0 ? r : r == 0 || now != before || strcmp(name_now, name_before) != 0;
}

/* 1 = both changes were made into one. */
static int merge_both(struct deciding *deciding, struct three *three, const struct delta_entry *entry, const char *path) {
    struct merge *merge = deciding->merge;
    _object_ struct object *merged = NULL;
    _buf_ struct buf bytes = {0};
    if (!deciding->options->texts)
        return 0;
    const struct merge_file file = { .base = three->base, .ours = three->ours, .theirs = three->theirs, .dir = three->dir,
                                     .name = entry->name, .path = path };
    int r = merge_file(&deciding->sides, &file, &merged, &bytes, deciding->err);
    if (r <= 0 || (r = accept(deciding, three, entry, path)) < 0)
        return r;
    merge->rows[merge->count - 1].merged = TAKE_PTR(merged);
    merge->rows[merge->count - 1].bytes = bytes;
    bytes = (struct buf){0};
    project_notice(deciding->project, SNAP_NOTICE_INFO, path, "both changed it, and both changes are in it now");
    return 1;
}

static const char *kind_of(const struct three *three) {
    return !three->base ? "AA" : !three->ours ? "DU" : !three->theirs ? "UD" : "UU";
}

static int in_conflict(struct deciding *deciding, struct three *three, const struct delta_entry *entry, const char *path,
                       const char *kind, bool possible) {
    if (deciding->options->prefer == MERGE_THEIRS && possible)
        return accept(deciding, three, entry, path);
    int r = deciding->options->prefer == MERGE_OURS ? 0 : conflict(deciding, path, kind);
    return r == 0 && three->theirs && object_is_dir(three->theirs) ? remember(deciding, deciding->refused, three->theirs->dir) : r;
}

/* Both made a directory here: what is in them is merged, name by name. */
static bool is_dir(const struct object *object, int64_t but) {
    return object && object_is_dir(object) && object->dir != but;
}

static bool both_made_it(const struct three *three) {
    int64_t old = three->base && object_is_dir(three->base) ? three->base->dir : 0;
    return is_dir(three->theirs, old) && is_dir(three->ours, old) && three->theirs->dir != three->ours->dir;
}

static int decide_unchanged(struct deciding *deciding, struct three *three, const struct delta_entry *entry, const char *path) {
    bool goes = three->base && object_is_dir(three->base) && !(three->theirs && three->theirs->dir == three->base->dir);
    bool comes = three->theirs && object_is_dir(three->theirs) && !(three->base && three->base->dir == three->theirs->dir);
    int r = goes ? is_touched_below(deciding, three->base) : 0;
    if (r != 0)
        return r < 0 ? r : in_conflict(deciding, three, entry, path, "UD", true);
    r = comes ? moved_by_both(deciding, three->theirs) : 0;
    if (r != 0)
        return r < 0 ? r : in_conflict(deciding, three, entry, path, "UU", false);
    return accept(deciding, three, entry, path);
}

/* What is in a directory that was refused is refused with it, and that was said. */
static int without_parent(struct deciding *deciding, struct three *three, const struct delta_entry *entry, const char *path) {
    if (!three->theirs)
        return 0;
    if (!map_get(deciding->refused, &entry->dir, sizeof(entry->dir)))
        return in_conflict(deciding, three, entry, path, "DU", false);
    return object_is_dir(three->theirs) ? remember(deciding, deciding->refused, three->theirs->dir) : 0;
}

static int decide(struct deciding *deciding, const struct delta_entry *entry, const char *path) {
    _cleanup_(three_done) struct three three = {0};
    int r = find_three(deciding, entry, &three);
    if (r < 0 || is_done(deciding, &three))
        return r;
    if (both_made_it(&three)) {
        void *same = (void *)(intptr_t)three.ours->dir;
        return map_put(deciding->same, &three.theirs->dir, sizeof(three.theirs->dir), same, NULL) < 0 ? err_nomem(deciding->err) : 0;
    }
    if ((r = has_parent(deciding, three.dir)) <= 0)
        return r < 0 ? r : without_parent(deciding, &three, entry, path);
    if (is_same(three.ours, three.base))
        return decide_unchanged(deciding, &three, entry, path);
    if (is_same(three.ours, three.theirs) || is_same(three.theirs, three.base))
        return 0;
    r = merge_both(deciding, &three, entry, path);
    return r ? MIN(r, 0) : in_conflict(deciding, &three, entry, path, kind_of(&three), true);
}

/* All of them, by path. */

struct listed { const struct delta_entry *entry; char *path; };
struct list { struct listed *at; size_t count, room; };

static void list_done(struct list *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->at[i].path);
    free(list->at);
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct listed *)a)->path, ((const struct listed *)b)->path);
}

static int add_entry(struct list *list, const struct scan *theirs, const struct delta_entry *entry) {
    _buf_ struct buf path = {0};
    if (MAKE_ROOM(list->at, list->count, list->room) < 0 || scan_dir_path(theirs, entry->dir, &path) < 0)
        return -ENOMEM;
    if (path.size)
        buf_char(&path, '/');
    buf_str(&path, entry->name);
    struct listed listed = { entry, buf_take(&path) };
    if (!listed.path)
        return -ENOMEM;
    list->at[list->count++] = listed;
    return 0;
}

static bool is_below(const char *path, const char *above) {
    size_t size = strlen(above);
    return !size || (strncmp(path, above, size) == 0 && (path[size] == '/' || !path[size]));
}

static bool covers(const char *const *paths, const char *path) {
    if (!paths || !*paths)
        return true;
    for (; *paths; paths++)
        if (is_below(path, *paths))
            return true;
    return false;
}

/* A directory that came in the workspace, on the way to a path that is asked for. */
static bool leads(const struct deciding *deciding, const struct listed *listed) {
    const struct object *after = listed->entry->after;
    if (!after || !object_is_dir(after) || after->dir != after->id)
        return false;
    for (const char *const *path = deciding->options->paths; *path; path++)
        if (is_below(*path, listed->path))
            return true;
    return false;
}

static int decide_all(struct deciding *deciding) {
    _cleanup_(list_done) struct list list = {0};
    for (struct scan_iter i = {0}; scan_next(deciding->theirs, &i);)
        if (add_entry(&list, deciding->theirs, i.entry) < 0)
            return err_nomem(deciding->err);
    if (list.count)
        qsort(list.at, list.count, sizeof(*list.at), by_path);
    int r = 0;
    for (size_t i = 0; r == 0 && i < list.count; i++) {
        if (project_cancelled(deciding->project))
            return project_cancelled_error(deciding->err);
        const struct object *after = list.at[i].entry->after;
        if (ignore_covers(deciding->ignore, list.at[i].path, after && object_is_dir(after)))
            continue;
        bool meant = covers(deciding->options->paths, list.at[i].path) || leads(deciding, &list.at[i]);
        r = meant ? decide(deciding, list.at[i].entry, list.at[i].path) : 0;
    }
    return r;
}

/* The times of directories follow what is in them, and alone are no reason to do anything. */
static void drop_mere_times(struct merge *merge) {
    for (size_t i = 0; i < merge->count; i++)
        if (!merge->rows[i].ours || !object_is_dir(merge->rows[i].ours) || !is_same(merge->rows[i].ours, merge->rows[i].theirs->after))
            return;
    free_rows(merge);
}

static void deciding_done(struct deciding *deciding) {
    map_free(deciding->same, NULL);
    map_free(deciding->came, NULL);
    map_free(deciding->refused, NULL);
    map_free(deciding->touched, NULL);
    map_free(deciding->groups, free);
    merge_sides_done(&deciding->sides);
    ignore_free(deciding->ignore);
}

int merge_decide(struct snap_project *project, const struct scan *theirs, const struct scan *ours, const struct merge_options *options,
                 struct merge *ret, struct snap_err *err) {
    _merge_ struct merge merge = {0};
    _cleanup_(deciding_done) struct deciding deciding = {
        .project = project, .theirs = theirs, .ours = ours, .base = scan_ground(theirs), .newest = index_newest(INDEX_PROJECT_LINE),
        .options = options, .same = map_new(), .came = map_new(), .refused = map_new(), .groups = map_new(), .merge = &merge, .err = err,
    };
    merge_sides_init(&deciding.sides, project, theirs, options->root, ours);
    int loaded = ignore_load(project->root, &deciding.ignore, err);
    if (loaded < 0)
        return loaded;
    int r = deciding.same && deciding.came && deciding.refused && deciding.groups ? find_groups(&deciding) : err_nomem(err);
    if (r == 0)
        r = decide_all(&deciding);
    if (r < 0)
        return r;
    drop_mere_times(&merge);
    *ret = merge;
    merge = (struct merge){0};
    return 0;
}
