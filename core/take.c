/* Capturing the project: scan and copy in rounds, seal, flush, commit.
 * Order is everything: the layer is whole and in its place before the index speaks of it, and flushed before the commit
 * is; killed anywhere before the commit, what was built is litter that the next command removes.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "take.h"
#include "catalog.h"
#include "changes.h"
#include "cut.h"
#include "flusher.h"
#include "hook.h"
#include "seal.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS 3       /* a live tree is not one point in time: what changed meanwhile is captured again */

int take_check_name(struct snap_project *project, const char *name, struct snap_err *err) {
    if (!name)
        return 0;
    int r = snap_name_check(name, err);
    return r < 0 ? r : catalog_check_free(project, name, 0, err);
}

static void tell_unsettled(struct scan *scan) {
    project_notice(scan->project, SNAP_NOTICE_INFO, NULL,
                   "the project went on changing: %" PRIu64 " %s changed again while captured a third time",
                   scan->changed_this_round, scan->changed_this_round == 1 ? "entry" : "entries");
}

static int capture(struct scan *scan, struct snap_err *err) {
    for (unsigned round = 1; round <= ROUNDS; round++) {
        int r = scan_round(scan, err);
        if (r < 0)
            return r;
        if (!scan->changed_this_round)
            return 0;
        if ((r = hook("take.round", "")) < 0)
            return err_errno(err, r, "stopped after round %u", round);
    }
    tell_unsettled(scan);
    return 0;
}

static int capture_project(struct snap_project *project, struct stage *stage, struct scan **ret, struct snap_err *err) {
    _scan_ struct scan *scan = NULL;
    int r = scan_new(project, stage, &scan, err);
    if (r == 0)
        r = capture(scan, err);
    if (r < 0)
        return r;
    scan_end(scan);
    *ret = TAKE_PTR(scan);
    return 0;
}

/* The snapshot that the project, or the workspace, was last equal to, as a fact. */
static const char *parent_fact(const struct snap_project *project, char (*room)[40]) {
    if (!project->workspace)
        return "project.parent";
    (void)snprintf(*room, sizeof(*room), "workspace.%" PRId64 ".parent", project->workspace->id);
    return *room;
}

static int find_parent(struct snap_project *project, int64_t *ret, struct snap_err *err) {
    _free_ char *text = NULL;
    char room[40];
    int r = store_fact(project->store, parent_fact(project, &room), &text, err);
    if (r > 0)
        *ret = strtoll(text, NULL, 10);
    else if (r == 0 && project->workspace)
        *ret = project->workspace->base;
    return MIN(r, 0);
}

int take_set_parent(struct snap_project *project, int64_t snapshot, struct snap_err *err) {
    char text[24], room[40];
    (void)snprintf(text, sizeof(text), "%" PRId64, snapshot);
    return store_set_fact(project->store, parent_fact(project, &room), text, err);
}

int take_describe(struct snap_project *project, const struct take_request *request, int64_t number, struct snapshot **ret,
                  struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (!snapshot)
        return err_nomem(err);
    const struct snap_take_options *options = &request->options;
    *snapshot = (struct snapshot){ .line = project_line(project), .layer = number, .public = { .number = number } };
    snapshot->flags = (request->automatic ? SNAPSHOT_AUTO : 0) | (request->foreign ? SNAPSHOT_FOREIGN : 0)
        | (options->no_sync ? SNAPSHOT_UNSYNCED : 0);
    snapshot->base = project->workspace ? project->workspace->base : 0;
    snapshot->public.automatic = request->automatic;
    snapshot->public.foreign = request->foreign;
    snapshot->public.synced = !options->no_sync;
    snapshot->public.name = strdup(options->name ? options->name : "");
    snapshot->public.message = strdup(options->message ? options->message : "");
    if (!snapshot->public.name || !snapshot->public.message)
        return err_nomem(err);
    if (clock_gettime(CLOCK_REALTIME, &snapshot->public.created) < 0)
        return err_errno(err, -errno, "cannot read the clock");
    int r = request->foreign ? 0 : find_parent(project, &snapshot->public.parent, err);
    if (r == 0)
        *ret = TAKE_PTR(snapshot);
    return r;
}

/* Of a large layer, all but the manifest is flushed beside the inserts: neither needs the other, the commit needs both. */
enum { ROWS_WORTH_A_FLUSH = 1000 };

static int log_operation(struct snap_project *project, const struct snapshot *snapshot, int64_t before, struct snap_err *err) {
    bool foreign = snapshot->flags & SNAPSHOT_FOREIGN;
    int r = foreign ? 0 : take_set_parent(project, snapshot->public.number, err);
    struct op op = { .kind = (char *)(foreign ? "import" : "take"), .state = (char *)"done", .before = before, .after = snapshot->public.number };
    op.command = (char *)(uintptr_t)(project->env.command ? project->env.command : "");
    op.target = project->workspace ? project->workspace->id : 0;
    return r < 0 ? r : op_begin(project->store, &op, NULL, err);
}

static void count_row(struct snap_snapshot *counts, char letter) {
    *(letter == 'A' ? &counts->added : letter == 'D' ? &counts->deleted : &counts->changed) += 1;
}

/* What diff would list from the latest snapshot to this one. All of the first is new but the root, which needs no question. */
static int count(struct snap_project *project, struct seal *seal, int64_t newest, struct snapshot *snapshot, struct snap_err *err) {
    if (!newest && snapshot->line == INDEX_PROJECT_LINE) {
        snapshot->public.added = seal_count(seal) - 1;
        return 0;
    }
    _snapshot_ struct snapshot *latest = NULL;
    _changes_ struct changes changes = {0};
    struct point from = { .line = snapshot->line }, to = { .line = snapshot->line, .snap = snapshot->public.number };
    int r = index_latest(project->store, snapshot->line, 0, &latest, err);
    if (r < 0)
        return r;
    from.snap = latest ? latest->public.number : 0;
    if (newest && from.snap == newest && (r = seal_counts(seal, &snapshot->public)) != 0)
        return r < 0 ? err_errno(err, r, "cannot count what changed") : 0;
    if ((r = changes_between(project, from, to, NULL, NULL, 0, &changes, err)) < 0)
        return r;
    for (size_t i = 0; i < changes.count; i++)
        count_row(&snapshot->public, changes.rows[i].letter);
    return 0;
}

static int insert(struct snap_project *project, const struct take_request *request, struct seal *seal, struct scan *scan,
                  struct snapshot *snapshot, struct sealed *ret, struct snap_err *err) {
    int64_t before = index_newest_number(project->store, snapshot->line, err);
    int r = before < 0 ? (int)before : seal_index(seal, ret, err);
    if (r < 0)
        return r;
    snapshot->public.bytes = ret->bytes;
    if ((r = count(project, seal, before, snapshot, err)) < 0 || (r = index_add_snapshot(project->store, snapshot, err)) < 0
        || (r = seal_live(scan, err)) < 0)
        return r;
    if (!request->automatic && (r = log_operation(project, snapshot, before, err)) < 0)
        return r;
    return request->options.no_sync ? store_mark_unsynced(project->store, err) : store_mark_synced(project->store, err);
}

/* From here on the layer is in its place; the commit makes it a snapshot. */
int take_commit(struct snap_project *project, const struct take_request *request, struct seal *seal, struct scan *scan,
                struct snapshot *snapshot, struct sealed *ret, struct snap_err *err) {
    struct flusher *flusher = stage_flusher(scan->stage);
    bool sync = !request->options.no_sync;
    int r = store_begin(project->store, err);
    if (r < 0)
        return r;
    if (sync && seal_count(seal) > ROWS_WORTH_A_FLUSH)
        flusher_begin(flusher);
    r = insert(project, request, seal, scan, snapshot, ret, err);
    int flushed = flusher_wait(flusher, r < 0 ? NULL : err);
    if (r == 0 && (r = flushed) == 0)
        r = seal_manifest(seal, snapshot, err);
    if (r == 0 && sync)
        r = store_flush(project->store, err);
    if (r == 0 && (r = hook("take.commit", "")) < 0)
        err_errno(err, r, "stopped before the commit");
    if (r == 0)
        return store_commit(project->store, sync, err);
    store_abort(project->store);
    return r;
}

/* Nothing to record, but what was read need not be read again. Where the newest entries say something else than the project
 * (it is equal to an older snapshot), the records that know it must stay. */
static int refresh(struct scan *scan, const struct seal *seal, struct snap_err *err) {
    if ((!map_count(scan->records) && !scan->watching && !scan->rows) || seal_count(seal))
        return 0;
    int r = store_begin(scan->store, err);
    if (r < 0 || (r = seal_live(scan, err)) < 0) {
        store_abort(scan->store);
        return r;
    }
    return store_commit(scan->store, false, err);
}

/* A safety snapshot asks whether the newest entries are the project; people ask whether the latest of theirs is. */
static int nothing_changed(struct snap_project *project, const struct take_request *request, struct seal *seal, struct snap_err *err) {
    if (request->automatic)
        return !seal_count(seal);
    _snapshot_ struct snapshot *latest = NULL;
    int r = index_latest(project->store, project_line(project), 0, &latest, err);
    if (r < 0 || (r == 0 && !project->workspace))
        return r;
    return seal_equals(seal, latest ? latest->public.number : 0, err);
}

static void fill(struct snap_take_result *ret, const struct snapshot *snapshot, const struct sealed *sealed) {
    ret->number = snapshot->public.number;
    ret->parent = snapshot->public.parent;
    ret->added = snapshot->public.added;
    ret->changed = snapshot->public.changed;
    ret->deleted = snapshot->public.deleted;
    ret->reflinked = sealed->reflinked;
    ret->copied = sealed->copied;
    ret->linked = sealed->linked;
    ret->bytes = sealed->bytes;
}

static int take(struct snap_project *project, const struct take_request *request, struct snap_take_result *ret, struct snap_err *err) {
    struct index_ids ids;
    int r = take_check_name(project, request->options.name, err);
    if (r < 0 || (r = index_next_ids(project->store, &ids, err)) < 0)
        return r;
    _cleanup_(stage_freep) struct stage *stage = NULL;
    _scan_ struct scan *scan = NULL;
    _seal_ struct seal *seal = NULL;
    _snapshot_ struct snapshot *snapshot = NULL;
    if ((r = stage_open(project->store, ids.snapshot, &stage, err)) < 0)
        return r;
    if (!request->options.no_sync)
        stage_flush_early(stage);
    if ((r = project->workspace ? cut_capture(project, stage, &scan, err) : capture_project(project, stage, &scan, err)) < 0)
        return r;
    if ((r = seal_plan(scan, ids.snapshot, &seal, err)) < 0)
        return r;
    if (request->options.if_changed && (r = nothing_changed(project, request, seal, err)) != 0)
        return r < 0 ? r : refresh(scan, seal, err);
    struct sealed sealed = {0};
    if ((r = take_describe(project, request, ids.snapshot, &snapshot, err)) < 0 || (r = seal_layer(seal, err)) < 0
        || (r = stage_publish(stage, err)) < 0 || (r = take_commit(project, request, seal, scan, snapshot, &sealed, err)) < 0)
        return r;
    stage_keep(stage);
    fill(ret, snapshot, &sealed);
    return 0;
}

int take_run(struct snap_project *project, const struct take_request *request, struct snap_take_result *ret, struct snap_err *err) {
    double start = project_seconds();
    uint64_t failed = project->failed;
    struct snap_take_result result = {0};
    int r = take(project, request, &result, err);
    if (r < 0)
        return err_wrap(err, "cannot take a snapshot of '%s'", project->info.root);
    result.failed = project->failed - failed;
    result.seconds = project_seconds() - start;
    *ret = result;
    return 0;
}

int take_safety(struct snap_project *project, const char *message, int64_t *ret, struct snap_err *err) {
    struct snap_take_result result = {0};
    struct take_request request = { .options = { .message = message, .if_changed = true }, .automatic = true };
    int r = take_run(project, &request, &result, err);
    int64_t newest = r < 0 ? r : index_newest_number(project->store, project_line(project), err);
    if (newest < 0)
        return (int)newest;
    *ret = newest == 0 && project->workspace ? project->workspace->base : newest;
    return 0;
}

int snap_take(struct snap_project *project, const struct snap_take_options *options, struct snap_take_result *ret, struct snap_err *err) {
    return take_run(project, &(struct take_request){ .options = *options }, ret, err);
}
