/* rm: snapshots are hidden by one operation, which undo takes back until gc frees them.
 * Frees nothing, touches no layer. SPDX-License-Identifier: GPL-2.0-or-later */
#include "removal.h"
#include "catalog.h"
#include "facts.h"
#include <inttypes.h>
#include <string.h>

bool removal_is(const struct op *op) {
    return strcmp(op->kind, "rm") == 0 || strcmp(op->kind, "prune") == 0;
}

static int hide_one(struct snap_project *project, int64_t operation, int64_t number, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = index_snapshot(project->store, number, &snapshot, err);
    if (r == 0)
        return err_set(err, -ENOENT, "there is no snapshot %" PRId64, number);
    if (r > 0)
        r = op_add_snapshot(project->store, operation, number, snapshot->public.name, err);
    return r < 0 ? r : index_change_snapshot(project->store, number, "", SNAPSHOT_HIDDEN, 0, err);
}

static int hide_all(struct snap_project *project, struct op *op, const int64_t *numbers, size_t count, struct snap_err *err) {
    int r = op_begin(project->store, op, NULL, err);
    for (size_t i = 0; i < count && r >= 0; i++)
        r = hide_one(project, op->id, numbers[i], err);
    return r;
}

static int commit_or_abort(struct snap_project *project, int r, struct snap_err *err) {
    if (r >= 0)
        return store_commit(project->store, true, err);
    store_abort(project->store);
    return r;
}

int removal_hide(struct snap_project *project, const char *kind, const int64_t *numbers, size_t count, int64_t *ret_operation,
                 struct snap_err *err) {
    struct op op = { .kind = (char *)(uintptr_t)kind, .state = (char *)(uintptr_t)"done",
                     .command = (char *)(uintptr_t)project->env.command };
    int r = store_begin(project->store, err);
    if (r < 0)
        return r;
    r = commit_or_abort(project, hide_all(project, &op, numbers, count, err), err);
    if (r < 0)
        return r;
    facts_settle(project->store);
    *ret_operation = op.id;
    return 0;
}

/* rm. */

struct chosen { int64_t *at; size_t count, room; };

static void chosen_done(struct chosen *chosen) {
    free(chosen->at);
}

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool is_chosen(const struct chosen *chosen, int64_t number) {
    for (size_t i = 0; i < chosen->count; i++)
        if (chosen->at[i] == number)
            return true;
    return false;
}

static int choose(struct snap_project *project, const char *spec, struct chosen *chosen, snap_snapshot_fn fn, void *data, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = catalog_find(project, spec, &snapshot, err);
    if (r < 0 || is_chosen(chosen, snapshot->public.number))
        return r;
    if (MAKE_ROOM(chosen->at, chosen->count, chosen->room) < 0)
        return err_nomem(err);
    chosen->at[chosen->count++] = snapshot->public.number;
    return fn ? MIN(fn(data, &snapshot->public), 0) : 0;
}

int snap_remove(struct snap_project *project, const char *const *specs, snap_snapshot_fn fn, void *data,
                struct snap_remove_result *ret, struct snap_err *err) {
    _cleanup_(chosen_done) struct chosen chosen = {0};
    struct snap_remove_result result = {0};
    int r = project_need_lock(project, err);
    for (size_t i = 0; specs[i] && r == 0; i++)
        r = choose(project, specs[i], &chosen, NULL, NULL, err);
    if (r < 0)
        return r;
    if (chosen.count)
        qsort(chosen.at, chosen.count, sizeof(*chosen.at), by_number);
    for (size_t i = 0; specs[i] && fn && r == 0; i++) {
        struct chosen one = {0};
        r = choose(project, specs[i], &one, fn, data, err);
        chosen_done(&one);
    }
    if (r == 0 && chosen.count > 0)
        r = removal_hide(project, "rm", chosen.at, chosen.count, &result.operation, err);
    if (r < 0)
        return r;
    result.removed = chosen.count;
    *ret = result;
    return 0;
}

/* Undo and redo. */

struct again { struct snap_project *project; bool undo; uint64_t done, freed; struct snap_err *err; };

/* 1 = somebody else has the name now. */
static int is_taken(struct snap_project *project, int64_t number, const char *name, struct snap_err *err) {
    _snapshot_ struct snapshot *other = NULL;
    int r = *name ? index_snapshot_named(project->store, name, &other, err) : 0;
    if (r <= 0 || other->public.number == number)
        return MIN(r, 0);
    project_notice(project, SNAP_NOTICE_INFO, NULL, "snapshot %" PRId64 " was called '%s'; snapshot %" PRId64 " has that name now",
                   number, name, other->public.number);
    return 1;
}

static int show_again(struct again *again, int64_t number, const char *name) {
    int taken = is_taken(again->project, number, name, again->err);
    if (taken < 0)
        return taken;
    return index_change_snapshot(again->project->store, number, taken || !*name ? NULL : name, 0, SNAPSHOT_HIDDEN, again->err);
}

static int change_one(void *data, int64_t number, const char *name) {
    struct again *again = data;
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = index_snapshot(again->project->store, number, &snapshot, again->err);
    if (r == 0)
        again->freed++;
    if (r <= 0 || again->undo == !(snapshot->flags & SNAPSHOT_HIDDEN))
        return MIN(r, 0);
    again->done++;
    if (again->undo)
        return show_again(again, number, name);
    return index_change_snapshot(again->project->store, number, "", SNAPSHOT_HIDDEN, 0, again->err);
}

static int change_all(struct again *again, const struct op *meant, struct op *op) {
    struct store *store = again->project->store;
    int r = op_snapshots(store, meant->id, change_one, again, again->err);
    if (r >= 0)
        r = op_begin(store, op, NULL, again->err);
    return r < 0 ? r : op_set_state(store, meant->id, again->undo ? "undone" : "done", again->err);
}

int removal_again(struct snap_project *project, const struct op *meant, bool undo, struct snap_rollback_result *ret, struct snap_err *err) {
    struct again again = { .project = project, .undo = undo, .err = err };
    struct op op = { .kind = (char *)(uintptr_t)(undo ? "undo" : "redo"), .state = (char *)(uintptr_t)"done", .target = meant->id,
                     .command = (char *)(uintptr_t)project->env.command };
    int r = store_begin(project->store, err);
    if (r < 0 || (r = commit_or_abort(project, change_all(&again, meant, &op), err)) < 0)
        return r;
    facts_settle(project->store);
    if (again.freed)
        project_notice(project, SNAP_NOTICE_INFO, NULL, "%" PRIu64 " of its snapshots %s freed by gc and cannot come back", again.freed,
                       again.freed == 1 ? "was" : "were");
    *ret = (struct snap_rollback_result){ .operation = op.id, .restored = undo ? again.done : 0, .removed = undo ? 0 : again.done };
    return 0;
}
