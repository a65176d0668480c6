/* Hard links that were made or cut.
 * A file has the same partners if each of its names that both trees have belongs to it in both. Looks only at objects that
 * may have several names, each pair of them once, however many names there are. SPDX-License-Identifier: GPL-2.0-or-later */
#include "partners.h"

#include "tree.h"
#include <string.h>

struct partners {
    struct comparison *comparison;
    struct changes *changes;
    struct map *rows;          /* path -> 1 + index of its row */
    struct map *gone, *new;    /* paths that are a file in one tree only: sets */
    struct map *verdicts;      /* (object before, object after) -> &same or &other */
};
static char same, other;

static void partners_done(struct partners *partners) {
    map_free(partners->rows, NULL);
    map_free(partners->gone, NULL);
    map_free(partners->new, NULL);
    map_free(partners->verdicts, NULL);
}

static bool is_candidate(const struct change_row *row) {
    return row->before && row->after && row->before->id != row->after->id && !object_is_dir(row->before)
        && !object_is_dir(row->after) && (row->before->flags | row->after->flags) & OBJECT_LINKED;
}

static bool any_candidate(const struct changes *changes) {
    for (size_t i = 0; i < changes->count; i++)
        if (is_candidate(&changes->rows[i]))
            return true;
    return false;
}

static int add_to_set(struct map *set, const char *path) {
    return MIN(map_put(set, path, strlen(path), set, NULL), 0);
}

static int note_row(struct partners *partners, size_t index) {
    const struct change_row *row = &partners->changes->rows[index];
    if (!row->before && !row->after)
        return 0;
    bool was_file = row->before && !object_is_dir(row->before), is_file = row->after && !object_is_dir(row->after);
    bool stayed = was_file && is_file && !row->old_path;
    int r = MIN(map_put(partners->rows, row->path, strlen(row->path), (void *)(uintptr_t)(index + 1), NULL), 0);
    if (r >= 0 && was_file && !stayed)
        r = add_to_set(partners->gone, row->old_path ? row->old_path : row->path);
    if (r >= 0 && is_file && !stayed)
        r = add_to_set(partners->new, row->path);
    return r;
}

static int partners_init(struct partners *partners, struct snap_err *err) {
    partners->rows = map_new();
    partners->gone = map_new();
    partners->new = map_new();
    partners->verdicts = map_new();
    int r = partners->rows && partners->gone && partners->new && partners->verdicts ? 0 : -ENOMEM;
    for (size_t i = 0; r >= 0 && i < partners->changes->count; i++)
        r = note_row(partners, i);
    return r < 0 ? err_nomem(err) : 0;
}

/* A name is known by its path, and in a directory that moved by its key, which begins with NUL as no path does. */
static void add_key(struct buf *key, const struct side_name *name) {
    buf_clear(key);
    buf_char(key, '\0');
    buf_add(key, &name->dir, sizeof(name->dir));
    buf_str(key, name->name);
}

static int index_names_of(const struct side_names *names, struct map *set) {
    _buf_ struct buf key = {0};
    for (size_t i = 0; i < names->count; i++) {
        add_key(&key, &names->at[i]);
        if (key.failed || map_put(set, key.data, key.size, set, NULL) < 0 || add_to_set(set, names->at[i].path) < 0)
            return -ENOMEM;
    }
    return 0;
}

static bool has_name(const struct map *set, const struct side_name *name) {
    _buf_ struct buf key = {0};
    if (map_get(set, name->path, strlen(name->path)))
        return true;
    add_key(&key, name);
    return key.failed || map_get(set, key.data, key.size);
}

/* A row for a name of which only the partners differ: its object is the same in both trees. */
static int append(struct partners *partners, const struct side_name *name, const struct object *object, struct snap_err *err) {
    struct changes *changes = partners->changes;
    struct change_row row = { .dir = name->dir, .what = SNAP_WHAT_LINKS };
    if (map_get(partners->rows, name->path, strlen(name->path)))
        return 0;
    int r = side_path(&partners->comparison->to, name->dir, name->name, &row.path, err);
    if (r < 0)
        return r;
    if (map_get(partners->rows, row.path, strlen(row.path))) {
        free(row.path);
        return 0;
    }
    struct change_row *rows = realloc(changes->rows, (changes->count + 1) * sizeof(*rows));
    if (rows)
        changes->rows = rows;
    row.name = strdup(name->name);
    row.before = tree_object_copy(object);
    row.after = tree_object_copy(object);
    bool complete = rows && row.name && row.before && row.after;
    if (complete)
        complete = map_put(partners->rows, row.path, strlen(row.path), (void *)(uintptr_t)(changes->count + 1), NULL) >= 0;
    if (complete) {
        changes->rows[changes->count++] = row;
        return 0;
    }
    free(row.path);
    free(row.name);
    object_free(row.before);
    object_free(row.after);
    return err_nomem(err);
}

/* The names of one side that stay and belong to another object on the other side. 1 = there are some. */
static int strangers(struct partners *partners, const struct side_names *names, const struct side_names *others,
                     const struct map *one_sided, const struct object *object, struct snap_err *err) {
    struct map *set = map_new();
    bool any = false;
    int r = set && index_names_of(others, set) >= 0 ? 0 : err_nomem(err);
    for (size_t i = 0; r >= 0 && i < names->count; i++) {
        const struct side_name *name = &names->at[i];
        if (map_get(one_sided, name->path, strlen(name->path)) || has_name(set, name))
            continue;
        any = true;
        r = append(partners, name, object, err);
    }
    map_free(set, NULL);
    return r < 0 ? r : any;
}

/* An object that has no mark of several names has this one. */
static int names_of(struct side *side, const struct object *object, const struct change_row *row, const char *path,
                    struct side_names *ret, struct snap_err *err) {
    if (object->flags & OBJECT_LINKED)
        return side_names(side, object, ret, err);
    struct side_name *only = calloc(1, sizeof(*only));
    if (!only)
        return err_nomem(err);
    *ret = (struct side_names){ .at = only, .count = 1, .room = 1 };
    *only = (struct side_name){ row->dir, strdup(row->name), strdup(path) };
    return only->name && only->path ? 0 : err_nomem(err);
}

static int judge(struct partners *partners, size_t index, const char **ret, struct snap_err *err) {
    _cleanup_(side_names_done) struct side_names before = {0}, after = {0};
    struct change_row row = partners->changes->rows[index];    /* the array may move; what the row points to does not */
    int r = names_of(&partners->comparison->from, row.before, &row, row.old_path ? row.old_path : row.path, &before, err);
    if (r >= 0)
        r = names_of(&partners->comparison->to, row.after, &row, row.path, &after, err);
    int cut = r < 0 ? r : strangers(partners, &before, &after, partners->gone, row.before, err);
    int made = cut < 0 ? cut : strangers(partners, &after, &before, partners->new, row.after, err);
    if (made < 0)
        return made;
    *ret = cut || made ? &other : &same;
    return 0;
}

static int mark(struct partners *partners, size_t index, struct snap_err *err) {
    const struct change_row *row = &partners->changes->rows[index];
    int64_t key[2] = { row->before->id, row->after->id };
    const char *verdict = map_get(partners->verdicts, key, sizeof(key));
    if (!verdict) {
        int r = judge(partners, index, &verdict, err);
        if (r < 0)
            return r;
        if (map_put(partners->verdicts, key, sizeof(key), (void *)(uintptr_t)verdict, NULL) < 0)
            return err_nomem(err);
    }
    if (verdict == &other)
        partners->changes->rows[index].what |= SNAP_WHAT_LINKS;
    return 0;
}

int partners_find(struct comparison *comparison, struct changes *changes, struct snap_err *err) {
    _cleanup_(partners_done) struct partners partners = { .comparison = comparison, .changes = changes };
    size_t count = changes->count;
    if (!any_candidate(changes))
        return 0;
    int r = partners_init(&partners, err);
    for (size_t i = 0; r >= 0 && i < count; i++)
        if (is_candidate(&changes->rows[i]))
            r = mark(&partners, i, err);
    return r;
}
