/* prune: hides the snapshots that a policy does not keep, as one operation.
 * Which ones is decided in prune_policy.c. SPDX-License-Identifier: GPL-2.0-or-later */
#include "prune.h"
#include "index.h"
#include "project.h"
#include "removal.h"
#include <string.h>

struct pruning {
    struct snap_project *project;
    struct snapshot **snapshots;           /* newest first */
    struct prune_item *items;              /* of the same */
    size_t count, room;
    struct snap_err *err;
};

static void pruning_done(struct pruning *pruning) {
    for (size_t i = 0; i < pruning->count; i++)
        snapshot_free(pruning->snapshots[i]);
    free(pruning->snapshots);
    free(pruning->items);
}

/* Automatic ones belong to undo, not to a policy. */
static int add(void *data, const struct snapshot *snapshot) {
    struct pruning *pruning = data;
    if (snapshot->flags & SNAPSHOT_AUTO)
        return 0;
    if (MAKE_ROOM(pruning->snapshots, pruning->count, pruning->room) < 0)
        return err_nomem(pruning->err);
    _snapshot_ struct snapshot *copy = NULL;
    int r = index_snapshot(pruning->project->store, snapshot->public.number, &copy, pruning->err);
    if (r > 0)
        pruning->snapshots[pruning->count++] = TAKE_PTR(copy);
    return MIN(r, 0);
}

static int describe(struct pruning *pruning) {
    pruning->items = calloc(pruning->count + 1, sizeof(*pruning->items));
    if (!pruning->items)
        return err_nomem(pruning->err);
    for (size_t i = 0; i < pruning->count; i++) {
        const struct snap_snapshot *public = &pruning->snapshots[i]->public;
        pruning->items[i] = (struct prune_item){ .number = public->number, .created = public->created.tv_sec, .named = *public->name };
    }
    return 0;
}

/* A content counts for the last snapshot that shows it, and so for all before that. */
static int add_held(void *data, int64_t until, uint64_t size) {
    struct pruning *pruning = data;
    for (size_t i = 0; i < pruning->count; i++)
        if (pruning->items[i].number < until)
            pruning->items[i].held += size;
    return 0;
}

static int tell(struct pruning *pruning, snap_prune_fn fn, void *data) {
    int r = 0;
    for (size_t i = 0; i < pruning->count && fn && r >= 0; i++)
        r = fn(data, &pruning->snapshots[i]->public, pruning->items[i].reason);
    return MIN(r, 0);
}

static int hide(struct pruning *pruning, struct snap_prune_result *result, bool dry_run) {
    _free_ int64_t *numbers = calloc(pruning->count + 1, sizeof(*numbers));
    if (!numbers)
        return err_nomem(pruning->err);
    size_t count = 0;
    for (size_t i = pruning->count; i-- > 0;)
        if (!pruning->items[i].reason)
            numbers[count++] = pruning->items[i].number;
    result->removed = count;
    result->kept = pruning->count - count;
    return count == 0 || dry_run ? 0 : removal_hide(pruning->project, "prune", numbers, count, &result->operation, pruning->err);
}

static int refuse_empty(struct snap_err *err) {
    err_set(err, -EINVAL, "nothing says which snapshots to keep");
    err_hint(err, "name a policy, as in: snapctl prune --keep-last 10 --keep-daily 7");
    return err ? err_failure(err, SNAP_FAILURE_USAGE) : -EINVAL;
}

int snap_prune(struct snap_project *project, const struct snap_prune_options *options, snap_prune_fn fn, void *data,
               struct snap_prune_result *ret, struct snap_err *err) {
    _cleanup_(pruning_done) struct pruning pruning = { .project = project, .err = err };
    struct snap_prune_result result = {0};
    if (prune_is_empty(options))
        return refuse_empty(err);
    int r = options->dry_run ? 0 : project_need_lock(project, err);
    if (r < 0 || (r = index_snapshots(project->store, INDEX_PROJECT_LINE, add, &pruning, err)) < 0 || (r = describe(&pruning)) < 0)
        return r;
    if (options->size && (r = index_last_shown(project->store, INDEX_PROJECT_LINE, add_held, &pruning, err)) < 0)
        return r;
    prune_decide(options, pruning.items, pruning.count);
    if ((r = tell(&pruning, fn, data)) < 0)
        return err && err->code != r ? err_errno(err, r, "cannot list snapshots") : r;
    if ((r = hide(&pruning, &result, options->dry_run)) < 0)
        return r;
    *ret = result;
    return 0;
}
