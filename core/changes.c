/* From entries that differ to rows that people read: paths, letters, renames.
 * Entries are known by directory identity, so a directory that moved is one row; where that row would not tell the whole
 * (it changed places with another, or only one of its places is asked for) it is expanded into what is in it.
 * Reads no content but for likeness (rename.c). SPDX-License-Identifier: GPL-2.0-or-later */
#include "changes.h"

#include "compare.h"
#include "partners.h"
#include "rename.h"
#include "tree.h"
#include <string.h>

static void row_done(struct change_row *row) {
    free(row->name);
    free(row->path);
    free(row->old_path);
    object_free(row->before);
    object_free(row->after);
}

void changes_done(struct changes *changes) {
    for (size_t i = 0; i < changes->count; i++)
        row_done(&changes->rows[i]);
    free(changes->rows);
    *changes = (struct changes){0};
}

void change_publish(const struct change_row *row, struct public_change *ret) {
    *ret = (struct public_change){ .change = { .letter = row->letter, .what = row->what, .path = row->path,
                                               .old_path = row->old_path, .similarity = row->similarity } };
    if (row->before) {
        tree_entry(row->before, &ret->before);
        ret->change.before = &ret->before;
    }
    if (row->after) {
        tree_entry(row->after, &ret->after);
        ret->change.after = &ret->after;
    }
}

/* Which paths are asked for. */

static bool below(const char *path, const char *above) {
    size_t size = strlen(above);
    return size == 0 ? *path : strncmp(path, above, size) == 0 && path[size] == '/';
}

static bool covers(const char *const *paths, const char *path) {
    if (!paths || !*paths)
        return true;
    for (; *paths; paths++)
        if (strcmp(path, *paths) == 0 || below(path, *paths))
            return true;
    return false;
}

/* Directories that moved: of one identity, in both trees, at different paths. */

struct move {
    int64_t id;
    size_t left, came;         /* indexes of the rows where it was and is */
    char *old_path, *new_path;
};
struct moves {
    struct move *at;
    size_t count, room;
    struct map *were;          /* identity -> 1 + index of the row it left */
    struct map *old_paths, *new_paths;    /* of all directories that left, that came: sets */
};

static void moves_done(struct moves *moves) {
    for (size_t i = 0; i < moves->count; i++) {
        free(moves->at[i].old_path);
        free(moves->at[i].new_path);
    }
    free(moves->at);
    map_free(moves->were, NULL);
    map_free(moves->old_paths, NULL);
    map_free(moves->new_paths, NULL);
}

static const struct object *directory_left(const struct entry_row *row) {
    bool left = row->before && object_is_dir(row->before) && !(row->after && row->after->dir == row->before->dir);
    return left ? row->before : NULL;
}

static const struct object *directory_came(const struct entry_row *row) {
    bool came = row->after && object_is_dir(row->after) && !(row->before && row->before->dir == row->after->dir);
    return came ? row->after : NULL;
}

static int note_path(struct map *set, const char *path) {
    return map_put(set, path, strlen(path), set, NULL) < 0 ? -ENOMEM : 0;
}

static int note_left(struct comparison *comparison, struct moves *moves, size_t index) {
    const struct object *dir = directory_left(&comparison->rows[index]);
    return dir ? MIN(map_put(moves->were, &dir->dir, sizeof(dir->dir), (void *)(uintptr_t)(index + 1), NULL), 0) : 0;
}

static int add_move(struct moves *moves, struct move move, struct snap_err *err) {
    if (MAKE_ROOM(moves->at, moves->count, moves->room) < 0)
        return err_nomem(err);
    moves->at[moves->count++] = move;
    return 0;
}

static int note_came(struct comparison *comparison, struct moves *moves, size_t index, struct snap_err *err) {
    const struct entry_row *row = &comparison->rows[index];
    const struct object *dir = directory_came(row);
    uintptr_t was = dir ? (uintptr_t)map_get(moves->were, &dir->dir, sizeof(dir->dir)) : 0;
    _free_ char *old_path = NULL, *new_path = NULL;
    if (!was)
        return 0;
    const struct entry_row *left = &comparison->rows[was - 1];
    int r = side_path(&comparison->to, row->dir, row->name, &new_path, err);
    if (r >= 0)
        r = side_path(&comparison->from, left->dir, left->name, &old_path, err);
    if (r < 0 || strcmp(old_path, new_path) == 0)
        return r;
    r = add_move(moves, (struct move){ dir->dir, was - 1, index, old_path, new_path }, err);
    if (r >= 0)
        old_path = new_path = NULL;
    return r;
}

static int note_paths(struct comparison *comparison, struct moves *moves, size_t index, struct snap_err *err) {
    const struct entry_row *row = &comparison->rows[index];
    _free_ char *old_path = NULL, *new_path = NULL;
    int r = directory_left(row) ? side_path(&comparison->from, row->dir, row->name, &old_path, err) : 0;
    if (r >= 0 && directory_came(row))
        r = side_path(&comparison->to, row->dir, row->name, &new_path, err);
    if (r < 0)
        return r;
    if ((old_path && note_path(moves->old_paths, old_path) < 0) || (new_path && note_path(moves->new_paths, new_path) < 0))
        return err_nomem(err);
    return 0;
}

/* The paths of all that left or came are asked for where something moved, and only there: of a deep tree they are long. */
static int find_moves(struct comparison *comparison, struct moves *moves, struct snap_err *err) {
    *moves = (struct moves){ .were = map_new(), .old_paths = map_new(), .new_paths = map_new() };
    if (!moves->were || !moves->old_paths || !moves->new_paths)
        return err_nomem(err);
    int r = 0;
    for (size_t i = 0; i < comparison->count; i++)
        if (note_left(comparison, moves, i) < 0)
            return err_nomem(err);
    for (size_t i = 0; r >= 0 && i < comparison->count; i++)
        r = note_came(comparison, moves, i, err);
    for (size_t i = 0; r >= 0 && moves->count && i < comparison->count; i++)
        r = note_paths(comparison, moves, i, err);
    return r;
}

/* One row tells a move only if no other directory was where it went or is where it was. */
static bool changed_places(const struct moves *moves, const struct move *move) {
    return map_get(moves->old_paths, move->new_path, strlen(move->new_path))
        || map_get(moves->new_paths, move->old_path, strlen(move->old_path));
}

static bool asked_in_part(const char *const *paths, const struct move *move) {
    if (covers(paths, move->old_path) != covers(paths, move->new_path))
        return true;
    for (; paths && *paths; paths++)
        if (below(*paths, move->old_path) || below(*paths, move->new_path))
            return true;
    return false;
}

static bool must_expand(const struct moves *moves, const char *const *paths, unsigned flags) {
    if (flags & (CHANGES_NO_RENAMES | CHANGES_EXPAND))
        return true;
    for (size_t i = 0; i < moves->count; i++)
        if (changed_places(moves, &moves->at[i]) || asked_in_part(paths, &moves->at[i]))
            return true;
    return false;
}

/* Rows. */

struct building {
    struct comparison *comparison;
    struct changes changes;
    size_t room;
};

static void building_done(struct building *building) {
    changes_done(&building->changes);
}

/* Takes what `row` owns, also on failure. */
static int add_row(struct building *building, struct change_row row, struct snap_err *err) {
    struct changes *changes = &building->changes;
    if (!row.name || !row.path || MAKE_ROOM(changes->rows, changes->count, building->room) < 0) {
        row_done(&row);
        return err_nomem(err);
    }
    changes->rows[changes->count++] = row;
    return 0;
}

static int add_half(struct building *building, struct entry_row *entry, char **path, bool after, bool last, struct snap_err *err) {
    struct change_row row = { .dir = entry->dir, .name = last ? TAKE_PTR(entry->name) : strdup(entry->name), .path = TAKE_PTR(*path) };
    if (after)
        row.after = TAKE_PTR(entry->after);
    else
        row.before = TAKE_PTR(entry->before);
    return add_row(building, row, err);
}

static int add_entry(struct building *building, struct entry_row *entry, struct snap_err *err) {
    struct comparison *comparison = building->comparison;
    _free_ char *old_path = NULL, *new_path = NULL;
    int r = entry->before ? side_path(&comparison->from, entry->dir, entry->name, &old_path, err) : 0;
    if (r >= 0 && entry->after)
        r = side_path(&comparison->to, entry->dir, entry->name, &new_path, err);
    if (r < 0)
        return r;
    if (old_path && new_path && (!entry->split || strcmp(old_path, new_path) == 0))
        return add_row(building, (struct change_row){ .dir = entry->dir, .name = TAKE_PTR(entry->name), .path = TAKE_PTR(new_path),
                       .before = TAKE_PTR(entry->before), .after = TAKE_PTR(entry->after) }, err);
    if (old_path)
        r = add_half(building, entry, &old_path, false, !new_path, err);
    if (r >= 0 && new_path)
        r = add_half(building, entry, &new_path, true, true, err);
    return r;
}

static int add_move_row(struct building *building, struct move *move, struct snap_err *err) {
    struct entry_row *left = &building->comparison->rows[move->left], *came = &building->comparison->rows[move->came];
    struct change_row row = { .dir = came->dir, .name = strdup(came->name), .letter = 'R', .similarity = 100 };
    row.path = TAKE_PTR(move->new_path);
    row.old_path = TAKE_PTR(move->old_path);
    row.before = TAKE_PTR(left->before);
    row.after = TAKE_PTR(came->after);
    return add_row(building, row, err);
}

static int add_rows(struct building *building, struct moves *moves, bool expanded, struct snap_err *err) {
    int r = 0;
    for (size_t i = 0; r >= 0 && !expanded && i < moves->count; i++)
        r = add_move_row(building, &moves->at[i], err);
    for (size_t i = 0; r >= 0 && i < building->comparison->count; i++)
        r = add_entry(building, &building->comparison->rows[i], err);
    return r;
}

/* A directory that was made anew in another's place: what has the same path on both sides is compared. */
static int join_paths(struct changes *changes, struct snap_err *err) {
    bool any_gone = false, any_new = false;
    for (size_t i = 0; i < changes->count; i++) {
        any_gone |= !changes->rows[i].after;
        any_new |= !changes->rows[i].before;
    }
    if (!any_gone || !any_new)
        return 0;
    struct map *gone = map_new();
    int r = gone ? 0 : -ENOMEM;
    for (size_t i = 0; r >= 0 && i < changes->count; i++) {
        struct change_row *row = &changes->rows[i];
        if (row->before && !row->after)
            r = MIN(map_put(gone, row->path, strlen(row->path), row, NULL), 0);
    }
    for (size_t i = 0; r >= 0 && i < changes->count; i++) {
        struct change_row *row = &changes->rows[i];
        struct change_row *old = row->after && !row->before ? map_remove(gone, row->path, strlen(row->path)) : NULL;
        if (old)
            row->before = TAKE_PTR(old->before);
    }
    map_free(gone, NULL);
    return r < 0 ? err_nomem(err) : 0;
}

/* Digests that a look did not need, where they decide: equal sizes on both sides of a row, or of a pair that may be a rename. */

static bool is_undigested(const struct object *object) {
    return object && object->flags & OBJECT_UNDIGESTED;
}

static int add_size(struct map *sizes, const struct change_row *row) {
    if (!row->before || row->after || !S_ISREG(row->before->meta.mode))
        return 0;
    uint64_t size = row->before->meta.size;
    return MIN(map_put(sizes, &size, sizeof(size), sizes, NULL), 0);
}

static bool is_decisive(const struct map *gone_sizes, const struct change_row *row) {
    if (row->before)
        return S_ISREG(row->before->meta.mode) && row->before->meta.size == row->after->meta.size;
    return map_get(gone_sizes, &row->after->meta.size, sizeof(row->after->meta.size)) != NULL;
}

static int learn_digests(struct comparison *comparison, struct changes *changes, struct snap_err *err) {
    struct map *gone_sizes = map_new();
    int r = gone_sizes ? 0 : err_nomem(err);
    for (size_t i = 0; r >= 0 && i < changes->count; i++)
        if (add_size(gone_sizes, &changes->rows[i]) < 0)
            r = err_nomem(err);
    for (size_t i = 0; r >= 0 && i < changes->count; i++) {
        struct change_row *row = &changes->rows[i];
        if (is_undigested(row->after) && is_decisive(gone_sizes, row))
            r = side_digest(&comparison->to, row->path, row->after, err);
    }
    map_free(gone_sizes, NULL);
    return r;
}

/* Letters. */

static bool content_differs(const struct object *before, const struct object *after) {
    bool readable = !((before->flags | after->flags) & OBJECT_UNREAD);
    return S_ISREG(before->meta.mode) && S_ISREG(after->meta.mode) && readable && before->content != after->content
        && (before->meta.size != after->meta.size || !digest_equal(&before->digest, &after->digest));
}

static unsigned differences(const struct object *before, const struct object *after) {
    if (!before || !after || before->id == after->id)
        return 0;
    return meta_differs(&before->meta, &after->meta) | (content_differs(before, after) ? SNAP_WHAT_CONTENT : 0u);
}

static char letter(const struct change_row *row) {
    if (row->letter == 'R')
        return 'R';
    if (!row->before || !row->after)
        return row->after ? 'A' : 'D';
    if ((row->before->meta.mode ^ row->after->meta.mode) & S_IFMT)
        return 'T';
    if (row->what & (SNAP_WHAT_CONTENT | SNAP_WHAT_TARGET | SNAP_WHAT_DEVICE))
        return 'M';
    if (row->what & ~(unsigned)SNAP_WHAT_TIME)
        return 'm';
    return row->what ? 't' : 0;
}

bool changes_listed(const struct object *before, const struct object *after) {
    return (before->meta.mode ^ after->meta.mode) & S_IFMT || differences(before, after) & ~(unsigned)SNAP_WHAT_TIME;
}

static bool wanted(const struct change_row *row, const char *const *paths, unsigned flags) {
    if (!row->letter || (row->letter == 't' && !(flags & CHANGES_TIMES)))
        return false;
    /* The root is in every tree but the empty one, which is no change of its own. */
    if (!*row->path && (row->letter == 'A' || row->letter == 'D'))
        return false;
    return covers(paths, row->path) || (row->old_path && covers(paths, row->old_path));
}

/* What is left of a row that was paired with another has neither side. */
static void settle(struct changes *changes, const char *const *paths, unsigned flags) {
    size_t kept = 0;
    for (size_t i = 0; i < changes->count; i++) {
        struct change_row *row = &changes->rows[i];
        row->letter = row->before || row->after ? letter(row) : 0;
        if (wanted(row, paths, flags))
            changes->rows[kept++] = *row;
        else
            row_done(row);
    }
    changes->count = kept;
}

static int classify(struct comparison *comparison, struct changes *changes, const char *const *paths, unsigned flags, struct snap_err *err) {
    for (size_t i = 0; i < changes->count; i++)
        changes->rows[i].what = differences(changes->rows[i].before, changes->rows[i].after);
    int r = partners_find(comparison, changes, err);
    if (r >= 0)
        settle(changes, paths, flags);
    return r;
}

static int by_path(const void *a, const void *b) {
    const struct change_row *x = a, *y = b;
    int order = strcmp(x->path, y->path);
    return order ? order : (int)y->letter - (int)x->letter;
}

static int expand_moves(struct comparison *comparison, const struct moves *moves, struct snap_err *err) {
    _cleanup_(expansion_done) struct expansion expansion = {0};
    int r = 0;
    for (size_t i = 0; r >= 0 && i < moves->count; i++)
        r = gather_below(comparison, &expansion, moves->at[i].id, err);
    return r;
}

static int build(struct building *building, const char *const *paths, unsigned flags, struct snap_err *err) {
    _cleanup_(moves_done) struct moves moves = {0};
    struct comparison *comparison = building->comparison;
    int r = find_moves(comparison, &moves, err);
    if (r < 0)
        return r;
    bool expanded = must_expand(&moves, paths, flags);
    r = expanded ? expand_moves(comparison, &moves, err) : 0;
    comparison_close(comparison);
    if (r >= 0)
        r = add_rows(building, &moves, expanded, err);
    if (r >= 0)
        r = join_paths(&building->changes, err);
    if (r >= 0)
        r = learn_digests(comparison, &building->changes, err);
    if (r >= 0 && !(flags & CHANGES_NO_RENAMES))
        r = rename_find(&comparison->from, &comparison->to, &building->changes, err);
    return r < 0 ? r : classify(comparison, &building->changes, paths, flags, err);
}

int changes_between(struct snap_project *project, struct point from, struct point to, struct scan *scan,
                    const char *const *paths, unsigned flags, struct changes *ret, struct snap_err *err) {
    _cleanup_(comparison_done) struct comparison comparison = {0};
    _cleanup_(building_done) struct building building = { .comparison = &comparison };
    int r = comparison_init(&comparison, project, from, to, scan, err);
    if (r >= 0)
        r = gather_entries(&comparison, err);
    if (r >= 0)
        r = build(&building, paths, flags, err);
    if (r < 0)
        return r;
    if (building.changes.count)
        qsort(building.changes.rows, building.changes.count, sizeof(*building.changes.rows), by_path);
    *ret = building.changes;
    building.changes = (struct changes){0};
    return 0;
}
