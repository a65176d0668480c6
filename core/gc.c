/* gc: which snapshots are freed, and the one transaction that does it.
 * What is freed with them is the store's matter (store/gc.h). SPDX-License-Identifier: GPL-2.0-or-later */
#include "gc.h"
#include "hook.h"
#include "pin.h"
#include "project.h"
#include "workspace.h"
#include <inttypes.h>
#include <time.h>

enum { HELD_OPERATIONS = 20, HELD_SECONDS = 14 * 24 * 3600 };

struct choice {
    struct snap_project *project;
    struct pins *pins;
    uint64_t operations;               /* the last so many are held */
    int64_t since;                     /* and those since then */
    int64_t *held, *freed;             /* ascending */
    size_t held_count, held_room, freed_count, freed_room;
    struct snap_gc_result result;
    struct snap_err *err;
};

static void choice_done(struct choice *choice) {
    pins_free(choice->pins);
    free(choice->held);
    free(choice->freed);
}

static int add_held(void *data, int64_t number) {
    struct choice *choice = data;
    if (MAKE_ROOM(choice->held, choice->held_count, choice->held_room) < 0)
        return err_nomem(choice->err);
    choice->held[choice->held_count++] = number;
    return 0;
}

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool is_held(const struct choice *choice, const struct snapshot *snapshot) {
    int64_t number = snapshot->public.number;
    if (choice->held_count && bsearch(&number, choice->held, choice->held_count, sizeof(*choice->held), by_number))
        return true;
    return !(snapshot->flags & SNAPSHOT_HIDDEN) && snapshot->public.created.tv_sec >= choice->since;
}

/* 1 = somebody looks at it, or stands on it. */
static int is_used(struct choice *choice, int64_t number) {
    return pins_have(choice->pins, number) ? 1 : index_is_base(choice->project->store, number, choice->err);
}

static int consider(void *data, const struct snapshot *snapshot) {
    struct choice *choice = data;
    int64_t number = snapshot->public.number;
    if (is_held(choice, snapshot)) {
        choice->result.held++;
        return 0;
    }
    int r = is_used(choice, number);
    if (r != 0) {
        choice->result.pinned += r > 0;
        return MIN(r, 0);
    }
    if (MAKE_ROOM(choice->freed, choice->freed_count, choice->freed_room) < 0)
        return err_nomem(choice->err);
    choice->freed[choice->freed_count++] = number;
    return 0;
}

static int choose(struct choice *choice) {
    struct store *store = choice->project->store;
    int r = pins_freeze(store, &choice->pins, choice->err);
    if (r == 0)
        r = op_held(store, choice->operations, choice->since, add_held, choice, choice->err);
    if (r == 0 && choice->held_count)
        qsort(choice->held, choice->held_count, sizeof(*choice->held), by_number);
    if (r == 0)
        r = index_disposable(store, consider, choice, choice->err);
    return r < 0 ? r : MIN(hook("gc.chosen", ""), 0);
}

/* The transaction. */

struct dooming { struct store *store; uint64_t count; struct snap_err *err; };

static int doom(void *data, const char *path) {
    struct dooming *dooming = data;
    dooming->count++;
    return gc_doom(dooming->store, path, dooming->err);
}

static int log_operation(struct choice *choice) {
    struct op op = { .kind = (char *)(uintptr_t)"gc", .state = (char *)(uintptr_t)"done",
                     .command = (char *)(uintptr_t)choice->project->env.command };
    int r = op_begin(choice->project->store, &op, NULL, choice->err);
    choice->result.operation = op.id;
    return r;
}

static int free_in_transaction(struct choice *choice) {
    struct store *store = choice->project->store;
    struct snap_gc_result *result = &choice->result;
    struct dooming dooming = { .store = store, .err = choice->err };
    struct gc_freed freed = {0};
    uint64_t restores = 0, workspaces = 0, others = 0;
    int r = op_expire_restores(store, choice->operations, choice->since, doom, &dooming, &restores, choice->err);
    if (r == 0)
        r = workspace_expire(store, choice->operations, choice->since, doom, &dooming, &workspaces, choice->err);
    if (r < 0 || (!choice->freed_count && !dooming.count))
        return r;
    if ((r = gc_free(store, choice->freed, choice->freed_count, &freed, choice->err)) < 0
        || (r = op_expire(store, choice->freed, choice->freed_count, &others, choice->err)) < 0
        || (r = store_mark_synced(store, choice->err)) < 0)
        return r;
    result->snapshots = freed.snapshots;
    result->bytes = freed.bytes;
    result->layers = freed.layers;
    result->files = freed.files + dooming.count;
    result->ended = restores + workspaces + others;
    return log_operation(choice);
}

/* What remains may now stand where it was not flushed to yet; so that is flushed before the rest is forgotten. */
static int free_chosen(struct choice *choice) {
    struct store *store = choice->project->store;
    int r = choice->freed_count ? store_flush(store, choice->err) : 0;
    if (r < 0 || (r = store_begin(store, choice->err)) < 0)
        return r;
    r = free_in_transaction(choice);
    if (r >= 0 && choice->result.operation)
        return store_commit(store, true, choice->err);
    store_abort(store);
    return r;
}

static void tell_progress(void *data, uint64_t done, uint64_t total) {
    project_progress(data, &(struct snap_progress){ .doing = "freeing", .entries = done, .entries_total = total });
}

static int since(bool now, int64_t *ret, struct snap_err *err) {
    struct timespec time;
    if (clock_gettime(CLOCK_REALTIME, &time) < 0)
        return err_errno(err, -errno, "cannot read the clock");
    *ret = now ? INT64_MAX : time.tv_sec - HELD_SECONDS;
    return 0;
}

int snap_gc(struct snap_project *project, bool now, struct snap_gc_result *ret, struct snap_err *err) {
    double start = project_seconds();
    _cleanup_(choice_done) struct choice choice = { .project = project, .operations = now ? 0 : HELD_OPERATIONS, .err = err };
    int r = project_need_lock(project, err);
    if (r < 0 || (r = since(now, &choice.since, err)) < 0 || (r = choose(&choice)) < 0 || (r = free_chosen(&choice)) < 0)
        return r < 0 ? err ? err_wrap(err, "cannot free snapshots") : r : 0;
    choice.pins = pins_free(choice.pins);
    if ((r = hook("gc.freed", "")) < 0)
        return err_errno(err, r, "stopped before the files were removed");
    struct gc_watch watch = { .progress = tell_progress, .data = project, .cancel = project->env.cancel };
    if ((r = gc_finish(project->store, &watch, err)) < 0)
        return err ? err_wrap(err, "the snapshots are freed, but not all of their files are removed yet") : r;
    choice.result.seconds = project_seconds() - start;
    *ret = choice.result;
    return 0;
}
