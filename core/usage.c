/* du: what the store holds, and for whom. One pass over the index and one over the store's directories; asked by people.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "catalog.h"
#include "fs_usage.h"
#include "map.h"
#include <string.h>

/* For whom a content is there: the strongest reason that any snapshot gives. */
enum claim { CLAIM_REMOVED = 0, CLAIM_AUTOMATIC, CLAIM_SHOWN };
struct held { uint64_t size; enum claim claim; size_t first; bool shared; };

struct usage {
    struct snap_project *project;
    struct snapshot **snapshots;           /* ascending */
    uint64_t *own;                         /* of the same */
    size_t count, room;
    struct map *contents;                  /* id -> struct held */
    struct snap_err *err;
};

static void usage_done(struct usage *usage) {
    for (size_t i = 0; i < usage->count; i++)
        snapshot_free(usage->snapshots[i]);
    free(usage->snapshots);
    free(usage->own);
    map_free(usage->contents, free);
}

static int add_snapshot(void *data, const struct snapshot *snapshot) {
    struct usage *usage = data;
    if (MAKE_ROOM(usage->snapshots, usage->count, usage->room) < 0)
        return err_nomem(usage->err);
    _snapshot_ struct snapshot *copy = NULL;
    int r = index_snapshot(usage->project->store, snapshot->public.number, &copy, usage->err);
    if (r > 0)
        usage->snapshots[usage->count++] = TAKE_PTR(copy);
    return MIN(r, 0);
}

static int by_number(const void *a, const void *b) {
    int64_t x = (*(struct snapshot *const *)a)->public.number, y = (*(struct snapshot *const *)b)->public.number;
    return (x > y) - (x < y);
}

static enum claim claim_of(const struct snapshot *snapshot) {
    return snapshot->flags & SNAPSHOT_HIDDEN ? CLAIM_REMOVED : snapshot->flags & SNAPSHOT_AUTO ? CLAIM_AUTOMATIC : CLAIM_SHOWN;
}

static struct held *held_of(struct usage *usage, int64_t content, uint64_t size) {
    struct held *held = map_get(usage->contents, &content, sizeof(content));
    if (held)
        return held;
    held = calloc(1, sizeof(*held));
    if (!held || map_put(usage->contents, &content, sizeof(content), held, NULL) < 0) {
        free(held);
        return NULL;
    }
    *held = (struct held){ .size = size, .first = SIZE_MAX };
    return held;
}

/* The first snapshot from this number on. */
static size_t search(const struct usage *usage, int64_t number) {
    size_t low = 0, high = usage->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (usage->snapshots[middle]->public.number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int add_row(void *data, int64_t line, int64_t born, int64_t died, int64_t content, uint64_t size) {
    struct usage *usage = data;
    struct held *held = held_of(usage, content, size);
    if (!held)
        return err_nomem(usage->err);
    for (size_t i = search(usage, born); i < usage->count && usage->snapshots[i]->public.number < died; i++) {
        if (usage->snapshots[i]->line != line)
            continue;
        held->shared |= held->first != SIZE_MAX && held->first != i;
        held->first = i;
        held->claim = MAX(held->claim, claim_of(usage->snapshots[i]));
        if (held->shared && held->claim == CLAIM_SHOWN)
            break;
    }
    return 0;
}

static void sum_up(struct usage *usage, struct snap_usage *ret) {
    for (struct map_iter i = {0}; map_next(usage->contents, &i);) {
        const struct held *held = i.value;
        *(held->claim == CLAIM_SHOWN ? &ret->shown_bytes : held->claim == CLAIM_AUTOMATIC ? &ret->automatic_bytes : &ret->removed_bytes)
            += held->size;
        if (!held->shared && held->first != SIZE_MAX)
            usage->own[held->first] += held->size;
    }
    for (size_t i = 0; i < usage->count; i++) {
        enum claim claim = claim_of(usage->snapshots[i]);
        *(claim == CLAIM_SHOWN ? &ret->snapshots : claim == CLAIM_AUTOMATIC ? &ret->automatic : &ret->removed) += 1;
    }
}

static int measure(struct store *store, struct snap_usage *ret) {
    static const char *const database[] = { "store.db", "store.db-wal", "store.db-shm" };
    struct map *inodes = map_new();
    int r = inodes ? fs_usage(store_fd(store), "layers", inodes, &ret->layers_allocated) : -ENOMEM;
    if (r == 0)
        r = fs_usage(store_fd(store), "held", inodes, &ret->held_allocated);
    if (r == 0)
        r = fs_usage(store_fd(store), "work", inodes, &ret->work_allocated);
    for (size_t i = 0; i < ELEMENTS(database) && r == 0; i++)
        r = fs_usage(store_fd(store), database[i], inodes, &ret->database_allocated);
    map_free(inodes, free);
    return r;
}

static int tell(struct usage *usage, snap_usage_fn fn, void *data) {
    int r = 0;
    for (size_t i = usage->count; i-- > 0 && fn && r >= 0;) {
        const struct snapshot *snapshot = usage->snapshots[i];
        int pinned = catalog_is_used(usage->project, snapshot->public.number, usage->err);
        r = pinned < 0 ? pinned : fn(data, &snapshot->public, usage->own[i], snapshot->flags & SNAPSHOT_HIDDEN, pinned);
    }
    return MIN(r, 0);
}

int snap_usage(struct snap_project *project, snap_usage_fn fn, void *data, struct snap_usage *ret, struct snap_err *err) {
    _cleanup_(usage_done) struct usage usage = { .project = project, .contents = map_new(), .err = err };
    struct snap_usage result = {0};
    if (!usage.contents)
        return err_nomem(err);
    int r = index_snapshots_with(project->store, add_snapshot, &usage, err);
    if (r < 0)
        return r;
    if (usage.count)
        qsort(usage.snapshots, usage.count, sizeof(*usage.snapshots), by_number);
    if (!(usage.own = calloc(usage.count + 1, sizeof(*usage.own))))
        return err_nomem(err);
    if ((r = index_contents_shown(project->store, add_row, &usage, err)) < 0)
        return r;
    sum_up(&usage, &result);
    if ((r = measure(project->store, &result)) < 0)
        return err_path(err, r, project->info.store, "measure the store");
    if ((r = tell(&usage, fn, data)) < 0)
        return err && err->code != r ? err_errno(err, r, "cannot list snapshots") : r;
    *ret = result;
    return 0;
}
