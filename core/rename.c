/* Renames of files: pairs of a deletion and an addition.
 * Sure signs first, likeness of text last and only as far as it stays cheap. Reads content for likeness alone; what cannot
 * be read is no rename. SPDX-License-Identifier: GPL-2.0-or-later */
#include "rename.h"

#include "text.h"
#include <string.h>

#define SIMILAR_ENOUGH 50
#define SIDES_MAX 1000                    /* candidates of a side, and */
#define COMPARISONS_MAX 10000             /* pairs of them, beyond which likeness is not looked for */
#define TEXT_MAX (1 << 20)
#define TEXTS_MAX (48 << 20)              /* bytes read in all, so that memory stays bounded */

static bool deleted(const struct change_row *row) {
    return row->before && !row->after && !object_is_dir(row->before);
}

static bool added(const struct change_row *row) {
    return row->after && !row->before && !object_is_dir(row->after);
}

static const char *base_name(const struct change_row *row) {
    const char *slash = strrchr(row->path, '/');
    return slash ? slash + 1 : row->path;
}

/* `new` becomes the rename; what is left of `old` says nothing and is dropped at the end. */
static void pair(struct change_row *old, struct change_row *new, unsigned similarity) {
    new->before = TAKE_PTR(old->before);
    new->old_path = TAKE_PTR(old->path);
    new->letter = 'R';
    new->similarity = similarity;
}

static void drop_paired(struct changes *changes) {
    size_t kept = 0;
    for (size_t i = 0; i < changes->count; i++) {
        struct change_row *row = &changes->rows[i];
        if (row->before || row->after) {
            changes->rows[kept++] = *row;
            continue;
        }
        free(row->name);
        free(row->path);
        free(row->old_path);
    }
    changes->count = kept;
}

/* Exact pairs: rows of both sides under one key, as lists in order of preference. */

typedef bool (*key_fn)(const struct change_row *row, const struct object *object, struct buf *key);

static bool key_by_place(const struct change_row *row, const struct object *object, struct buf *key) {
    uint32_t type = object->meta.mode & S_IFMT;
    buf_add(key, &row->dir, sizeof(row->dir));
    buf_add(key, &type, sizeof(type));
    buf_str(key, row->name);
    return true;
}

static bool key_by_object(const struct change_row *row, const struct object *object, struct buf *key) {
    (void)row;
    buf_add(key, &object->id, sizeof(object->id));
    return true;
}

/* Equal content. Nothing is learnt from two empty files. */
static bool key_by_content(const struct change_row *row, const struct object *object, struct buf *key) {
    (void)row;
    if (object->flags & (OBJECT_UNREAD | OBJECT_UNDIGESTED) || object->meta.size == 0)
        return false;
    buf_char(key, S_ISLNK(object->meta.mode) ? 'l' : 'f');
    if (S_ISLNK(object->meta.mode) && object->meta.target)
        buf_str(key, object->meta.target);
    else if (S_ISREG(object->meta.mode))
        buf_add(key, &object->digest, sizeof(object->digest));
    else
        return false;
    return true;
}

struct list { struct change_row **rows; size_t count, room; };
struct group { struct list old, new; };

static void group_free(void *value) {
    struct group *group = value;
    free(group->old.rows);
    free(group->new.rows);
    free(group);
}

static void groups_done(struct map **groups) {
    *groups = map_free(*groups, group_free);
}

static void list_done(struct list *list) {
    free(list->rows);
}

static int list_add(struct list *list, struct change_row *row) {
    if (MAKE_ROOM(list->rows, list->count, list->room) < 0)
        return -ENOMEM;
    list->rows[list->count++] = row;
    return 0;
}

/* `more`: a key that no group has yet makes one. */
static int group_add(struct map *groups, const struct buf *key, struct change_row *row, bool more) {
    struct group *group = map_get(groups, key->data, key->size);
    if (!group && !more)
        return 0;
    if (!group) {
        group = calloc(1, sizeof(*group));
        if (!group || map_put(groups, key->data, key->size, group, NULL) < 0) {
            free(group);
            return -ENOMEM;
        }
    }
    return list_add(row->before ? &group->old : &group->new, row);
}

typedef bool (*side_fn)(const struct change_row *row);

static size_t count_rows(const struct changes *changes, side_fn wanted) {
    size_t count = 0;
    for (size_t i = 0; i < changes->count; i++)
        count += wanted(&changes->rows[i]);
    return count;
}

static int group_side(struct changes *changes, side_fn wanted, key_fn key_of, struct map *groups, bool more) {
    _buf_ struct buf key = {0};
    for (size_t i = 0; i < changes->count; i++) {
        struct change_row *row = &changes->rows[i];
        if (!wanted(row))
            continue;
        buf_clear(&key);
        bool has_key = key_of(row, row->before ? row->before : row->after, &key);
        int r = key.failed ? key.failed : has_key ? group_add(groups, &key, row, more) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

/* The smaller side makes the groups, so that a tree that only came or only went makes none. */
static int group_rows(struct changes *changes, key_fn key_of, struct map *groups) {
    bool old_first = count_rows(changes, deleted) < count_rows(changes, added);
    int r = group_side(changes, old_first ? deleted : added, key_of, groups, true);
    return r < 0 ? r : group_side(changes, old_first ? added : deleted, key_of, groups, false);
}

/* By base name, then by path: with both sides in this order, equal names meet by a merge. */
static int by_name_then_path(const void *a, const void *b) {
    const struct change_row *x = *(struct change_row *const *)a, *y = *(struct change_row *const *)b;
    int order = strcmp(base_name(x), base_name(y));
    return order ? order : strcmp(x->path, y->path);
}

static int by_path(const void *a, const void *b) {
    return strcmp((*(struct change_row *const *)a)->path, (*(struct change_row *const *)b)->path);
}

static void pair_same_names(struct group *group) {
    for (size_t i = 0, j = 0; i < group->old.count && j < group->new.count;) {
        int order = strcmp(base_name(group->old.rows[i]), base_name(group->new.rows[j]));
        if (order == 0)
            pair(group->old.rows[i], group->new.rows[j], 100);
        i += order <= 0;
        j += order >= 0;
    }
}

static void pair_the_rest(struct group *group) {
    for (size_t i = 0, j = 0; i < group->old.count && j < group->new.count;) {
        struct change_row *old = group->old.rows[i], *new = group->new.rows[j];
        bool skip_old = !deleted(old), skip_new = !added(new);
        if (!skip_old && !skip_new)
            pair(old, new, 100);
        i += skip_old || !skip_new;
        j += skip_new || !skip_old;
    }
}

static int pair_exact(struct changes *changes, key_fn key_of, struct snap_err *err) {
    _cleanup_(groups_done) struct map *groups = map_new();
    if (!groups || group_rows(changes, key_of, groups) < 0)
        return err_nomem(err);
    for (struct map_iter i = {0}; map_next(groups, &i);) {
        struct group *group = i.value;
        if (!group->old.count || !group->new.count)
            continue;
        qsort(group->old.rows, group->old.count, sizeof(*group->old.rows), by_name_then_path);
        qsort(group->new.rows, group->new.count, sizeof(*group->new.rows), by_name_then_path);
        pair_same_names(group);
        pair_the_rest(group);
    }
    return 0;
}

/* Likeness. */

/* What a text is made of; NULL where it is binary, too large or cannot be read. Running out of memory fails. */
static int print_of(struct side *side, const char *path, const struct object *object, struct text_print **ret, struct snap_err *err) {
    _buf_ struct buf content = {0};
    struct snap_err reason = {0};
    *ret = NULL;
    int r = side_read(side, path, object, TEXT_MAX, &content, &reason);
    if (r >= 0)
        r = text_print_new((struct text_side){ content.data, content.size }, ret, &reason);
    return r == -ENOMEM ? err_nomem(err) : 0;
}

static bool comparable(const struct object *object) {
    return S_ISREG(object->meta.mode) && !(object->flags & OBJECT_UNREAD) && object->meta.size && object->meta.size <= TEXT_MAX;
}

static bool sizes_alike(const struct object *a, const struct object *b) {
    return MAX(a->meta.size, b->meta.size) < 2 * MIN(a->meta.size, b->meta.size);
}

struct candidate { struct change_row *row; struct text_print *print; bool read; };
struct score { unsigned similarity; bool same_name; uint32_t old, new; };
struct search {
    struct side *from, *to;
    struct candidate *old, *new;
    size_t olds, news;
    struct score *scores;
    size_t count;
    uint64_t bytes;            /* read so far */
    struct snap_err *err;
};

static void search_done(struct search *search) {
    for (size_t i = 0; i < search->olds; i++)
        text_print_free(search->old[i].print);
    for (size_t i = 0; i < search->news; i++)
        text_print_free(search->new[i].print);
    free(search->old);
    free(search->new);
    free(search->scores);
}

static int gather(struct changes *changes, side_fn wanted, struct candidate **ret, size_t *ret_count) {
    _cleanup_(list_done) struct list list = {0};
    for (size_t i = 0; i < changes->count; i++) {
        struct change_row *row = &changes->rows[i];
        if (wanted(row) && comparable(row->before ? row->before : row->after) && list_add(&list, row) < 0)
            return -ENOMEM;
    }
    if (!list.count || list.count > SIDES_MAX)
        return 0;
    qsort(list.rows, list.count, sizeof(*list.rows), by_path);
    *ret = calloc(list.count, sizeof(**ret));
    if (!*ret)
        return -ENOMEM;
    for (size_t i = 0; i < list.count; i++)
        (*ret)[i].row = list.rows[i];
    *ret_count = list.count;
    return 0;
}

/* The pairs worth reading; none where they are too many. */
static int choose_pairs(struct search *search) {
    for (size_t i = 0; i < search->olds; i++)
        for (size_t j = 0; j < search->news; j++)
            search->count += sizes_alike(search->old[i].row->before, search->new[j].row->after);
    if (search->count == 0 || search->count > COMPARISONS_MAX) {
        search->count = 0;
        return 0;
    }
    search->scores = calloc(search->count, sizeof(*search->scores));
    if (!search->scores)
        return -ENOMEM;
    size_t at = 0;
    for (uint32_t i = 0; i < search->olds; i++)
        for (uint32_t j = 0; j < search->news; j++)
            if (sizes_alike(search->old[i].row->before, search->new[j].row->after))
                search->scores[at++] = (struct score){
                    .same_name = !strcmp(base_name(search->old[i].row), base_name(search->new[j].row)), .old = i, .new = j };
    return 0;
}

static int read_candidate(struct search *search, struct candidate *candidate, struct side *side) {
    const struct object *object = candidate->row->before ? candidate->row->before : candidate->row->after;
    if (candidate->read || search->bytes + object->meta.size > TEXTS_MAX)
        return 0;
    candidate->read = true;
    search->bytes += object->meta.size;
    return print_of(side, candidate->row->path, object, &candidate->print, search->err);
}

static int by_score(const void *a, const void *b) {
    const struct score *x = a, *y = b;
    if (x->similarity != y->similarity)
        return x->similarity > y->similarity ? -1 : 1;
    if (x->same_name != y->same_name)
        return x->same_name ? -1 : 1;
    if (x->old != y->old)
        return x->old < y->old ? -1 : 1;
    return x->new < y->new ? -1 : x->new > y->new;
}

static int compare_pairs(struct search *search) {
    for (size_t i = 0; i < search->count; i++) {
        struct score *score = &search->scores[i];
        struct candidate *old = &search->old[score->old], *new = &search->new[score->new];
        if (project_cancelled(search->from->project))
            return project_cancelled_error(search->err);
        int r = read_candidate(search, old, search->from);
        if (r >= 0)
            r = read_candidate(search, new, search->to);
        if (r < 0)
            return r;
        if (old->print && new->print)
            score->similarity = text_print_similarity(old->print, new->print);
    }
    return 0;
}

static void pair_best(struct search *search) {
    if (search->count)
        qsort(search->scores, search->count, sizeof(*search->scores), by_score);
    for (size_t i = 0; i < search->count && search->scores[i].similarity >= SIMILAR_ENOUGH; i++) {
        struct change_row *old = search->old[search->scores[i].old].row, *new = search->new[search->scores[i].new].row;
        /* 100 is said of equal content alone, which was looked for before. */
        if (deleted(old) && added(new))
            pair(old, new, MIN(search->scores[i].similarity, 99u));
    }
}

static int pair_similar(struct side *from, struct side *to, struct changes *changes, struct snap_err *err) {
    _cleanup_(search_done) struct search search = { .from = from, .to = to, .err = err };
    if (gather(changes, deleted, &search.old, &search.olds) < 0 || gather(changes, added, &search.new, &search.news) < 0
        || choose_pairs(&search) < 0)
        return err_nomem(err);
    int r = compare_pairs(&search);
    if (r >= 0)
        pair_best(&search);
    return r;
}

/* A file that kept its name in a directory that moved is the same file, however much of it changed. */
static int measure_kept(struct side *from, struct side *to, struct change_row *row, struct snap_err *err) {
    _cleanup_(text_print_freep) struct text_print *old = NULL;
    _cleanup_(text_print_freep) struct text_print *new = NULL;
    const struct object *before = row->before, *after = row->after;
    if (before->id == after->id || !S_ISREG(before->meta.mode))
        return 0;
    if (before->meta.size == after->meta.size && digest_equal(&before->digest, &after->digest))
        return 0;
    row->similarity = 0;
    if (!comparable(before) || !comparable(after))
        return 0;
    int r = print_of(from, row->old_path, before, &old, err);
    if (r >= 0)
        r = print_of(to, row->path, after, &new, err);
    if (r >= 0 && old && new)
        row->similarity = MIN(text_print_similarity(old, new), 99u);
    return r;
}

static int measure_all_kept(struct side *from, struct side *to, struct changes *changes, struct snap_err *err) {
    int r = 0;
    for (size_t i = 0; r >= 0 && i < changes->count; i++) {
        struct change_row *row = &changes->rows[i];
        if (row->letter == 'R' && row->old_path && !object_is_dir(row->after))
            r = measure_kept(from, to, row, err);
    }
    return r;
}

int rename_find(struct side *from, struct side *to, struct changes *changes, struct snap_err *err) {
    int r = pair_exact(changes, key_by_place, err);
    if (r >= 0)
        r = measure_all_kept(from, to, changes, err);
    if (r >= 0)
        r = pair_exact(changes, key_by_object, err);
    if (r >= 0)
        r = pair_exact(changes, key_by_content, err);
    if (r >= 0)
        r = pair_similar(from, to, changes, err);
    drop_paired(changes);
    return r;
}
