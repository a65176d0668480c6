/* The index: how much one snapshot shows, and how much of it nothing else does.
 * The one question that reads a whole line in order; asked by people, never by work.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "index_rows.h"

/* What counts once however often it is met: an object with several names, a content. */
struct counted { int64_t id; uint64_t size; bool shared; };
struct set { struct counted *at; size_t count, room; };

static void set_done(struct set *set) {
    free(set->at);
}

static int set_add(struct set *set, int64_t id, uint64_t size) {
    if (MAKE_ROOM(set->at, set->count, set->room) < 0)
        return -ENOMEM;
    set->at[set->count++] = (struct counted){ .id = id, .size = size };
    return 0;
}

static int by_id(const void *a, const void *b) {
    int64_t x = ((const struct counted *)a)->id, y = ((const struct counted *)b)->id;
    return (x > y) - (x < y);
}

static void set_unify(struct set *set) {
    size_t kept = 0;
    if (set->count)
        qsort(set->at, set->count, sizeof(*set->at), by_id);
    for (size_t i = 0; i < set->count; i++)
        if (kept == 0 || set->at[kept - 1].id != set->at[i].id)
            set->at[kept++] = set->at[i];
    set->count = kept;
}

static struct counted *set_find(const struct set *set, int64_t id) {
    struct counted key = { .id = id };
    return set->count ? bsearch(&key, set->at, set->count, sizeof(key), by_id) : NULL;
}

static uint64_t set_size(const struct set *set) {
    uint64_t size = 0;
    for (size_t i = 0; i < set->count; i++)
        size += set->at[i].shared ? 0 : set->at[i].size;
    return size;
}

/* A snapshot and the neighbours between which a row is its own. */
struct window { int64_t line, before, at, after; };

static int find_window(struct store *store, const struct snapshot *snapshot, struct window *ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int64_t number = snapshot->public.number;
    int r = db_bind(&row, store, err, "SELECT (SELECT max(id) FROM snapshot WHERE line = ?1 AND id < ?2),"
                    " coalesce((SELECT min(id) FROM snapshot WHERE line = ?1 AND id > ?2), " NEVER_SQL ")", "ii",
                    snapshot->line, number);
    if (r == 0)
        r = db_step(&row, err);
    if (r > 0)
        *ret = (struct window){ snapshot->line, db_int(&row, 0), number, db_int(&row, 1) };
    return r < 0 ? r : 0;
}

/* Contents of rows that no other snapshot of the line shows. */
static int read_own(struct store *store, const struct window *window, struct set *own, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT o.content, o.size FROM entry e INDEXED BY entry_by_born CROSS JOIN object o"
                    " ON o.id = e.object WHERE e.line = ?1 AND e.born > ?2 AND e.born <= ?3 AND e.died > ?3 AND e.died <= ?4"
                    " AND o.content IS NOT NULL", "iiii", window->line, window->before, window->at, window->after);
    while (r >= 0 && (r = db_step(&row, err)) > 0)
        if (set_add(own, db_int(&row, 0), (uint64_t)db_int(&row, 1)) < 0)
            return err_nomem(err);
    set_unify(own);
    return r;
}

struct tally { struct window window; struct snap_counts counts; struct set own, linked; };

static void tally_done(struct tally *tally) {
    set_done(&tally->own);
    set_done(&tally->linked);
}

static int count_entry(struct tally *tally, uint32_t mode, uint64_t size, unsigned flags, int64_t object) {
    struct snap_counts *counts = &tally->counts;
    bool linked = S_ISREG(mode) && flags & OBJECT_LINKED;
    counts->files += S_ISREG(mode);
    counts->directories += S_ISDIR(mode);
    counts->symlinks += S_ISLNK(mode);
    counts->others += !S_ISREG(mode) && !S_ISDIR(mode) && !S_ISLNK(mode);
    counts->lost += (flags & OBJECT_LOST) != 0;
    counts->unread += flags & OBJECT_UNREAD && !(flags & OBJECT_LOST);
    if (linked)
        return set_add(&tally->linked, object, size);
    counts->bytes += S_ISREG(mode) ? size : 0;
    return 0;
}

/* `shown`: rows of this line are what it shows. */
static int count_row(struct tally *tally, struct db_statement *row, bool shown) {
    const struct window *window = &tally->window;
    int64_t born = db_int(row, 1), died = db_int(row, 2), content = db_int(row, 7);
    bool ours = db_int(row, 0) == window->line;
    bool elsewhere = !ours || born <= window->before || died > window->after;
    struct counted *counted = elsewhere && content ? set_find(&tally->own, content) : NULL;
    if (counted)
        counted->shared = true;
    if (!shown || !ours || born > window->at || window->at >= died)
        return 0;
    return count_entry(tally, (uint32_t)db_int(row, 4), (uint64_t)db_int(row, 5), (unsigned)db_int(row, 6), db_int(row, 3));
}

struct below { struct tally *tally; int64_t *dirs; size_t count, room; };

static int count_below(void *data, const char *name, const struct object *object) {
    struct below *below = data;
    (void)name;
    if (object_is_dir(object)) {
        if (MAKE_ROOM(below->dirs, below->count, below->room) < 0)
            return -ENOMEM;
        below->dirs[below->count++] = object->dir;
    }
    return count_entry(below->tally, object->meta.mode, object->meta.size, object->flags, object->id);
}

/* A line that stands on another one shows what its own rows do not say: its tree is walked. */
static int count_tree(struct store *store, const struct snapshot *snapshot, struct tally *tally, struct snap_err *err) {
    struct below below = { .tally = tally };
    int r = index_list(store, (struct point){ snapshot->line, snapshot->public.number }, 0, count_below, &below, err);
    while (r == 0 && below.count)
        r = index_list(store, (struct point){ snapshot->line, snapshot->public.number }, below.dirs[--below.count], count_below, &below, err);
    free(below.dirs);
    return r == -ENOMEM ? err_nomem(err) : r;
}

int index_counts(struct store *store, const struct snapshot *snapshot, struct snap_counts *ret, struct snap_err *err) {
    _cleanup_(tally_done) struct tally tally = {0};
    int r = find_window(store, snapshot, &tally.window, err);
    if (r == 0)
        r = read_own(store, &tally.window, &tally.own, err);
    if (r < 0)
        return r;
    _statement_ struct db_statement row = {0};
    r = db_bind(&row, store, err, "SELECT e.line, e.born, e.died, e.object, o.mode, o.size, o.flags, o.content"
                " FROM entry e CROSS JOIN object o ON o.id = e.object", "");
    bool alone = snapshot->line == INDEX_PROJECT_LINE;
    while (r >= 0 && (r = db_step(&row, err)) > 0)
        if (count_row(&tally, &row, alone) < 0)
            return err_nomem(err);
    if (r == 0 && !alone)
        r = count_tree(store, snapshot, &tally, err);
    if (r < 0)
        return r;
    set_unify(&tally.linked);
    tally.counts.bytes += set_size(&tally.linked);
    tally.counts.own_bytes = set_size(&tally.own);
    *ret = tally.counts;
    return 0;
}
