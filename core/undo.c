/* Operations taken back and done again: `undo`, `redo`, `op log`.
 * Brings files back only where they still are what the operation left, unless forced; never scans the project for that.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "removal.h"
#include "restore.h"
#include "take.h"
#include "transition.h"
#include "facts.h"
#include "index.h"
#include "workspaces.h"
#include <inttypes.h>
#include <string.h>

static bool can_be_undone(const struct op *op) {
    return !strcmp(op->state, "done") && (!strcmp(op->kind, "rollback") || !strcmp(op->kind, "restore") || !strcmp(op->kind, "tag")
                                          || removal_is(op) || !strcmp(op->kind, "apply") || workspaces_removed_by(op));
}

static bool is_of_another(const struct op *op) {
    return !strcmp(op->kind, "undo") || !strcmp(op->kind, "redo");
}

/* `op log`. */

struct listing { snap_operation_fn fn; void *data; };

static int list_one(void *data, const struct op *op) {
    struct listing *listing = data;
    const char *command = op->command ? op->command : "";
    return MIN(listing->fn(listing->data, &(struct snap_operation){ .id = op->id, .kind = op->kind, .state = op->state,
        .created = op->created, .command = command, .before = op->before, .after = op->after,
        .target = is_of_another(op) ? op->target : 0, .undoable = can_be_undone(op) }), 0);
}

int snap_operations(struct snap_project *project, snap_operation_fn fn, void *data, struct snap_err *err) {
    struct listing listing = { fn, data };
    return op_list(project->store, list_one, &listing, err);
}

/* Which one. */

static int refuse_undo(const struct op *op, struct snap_err *err) {
    if (!strcmp(op->state, "undone"))
        return err_set(err, -EALREADY, "operation %" PRId64 " (%s) is undone already", op->id, op->kind);
    if (!strcmp(op->state, "freed")) {
        err_set(err, -ENOENT, "operation %" PRId64 " (%s) can no longer be undone: gc freed what it needs", op->id, op->kind);
        return err_hint(err, "snapctl op log shows which operations can be undone");
    }
    if (!strcmp(op->state, "failed"))
        return err_set(err, -EINVAL, "operation %" PRId64 " (%s) failed and changed nothing", op->id, op->kind);
    err_set(err, -EINVAL, "undo does not take back operation %" PRId64 ", which is: %s", op->id, op->kind);
    if (!strcmp(op->kind, "undo"))
        return err_hint(err, "to do it again: snapctl redo");
    return err_hint(err, "snapctl op log shows which operations can be undone");
}

/* What was done to the files of a workspace is undone there, what was done to the project's in the project. */
static int refuse_elsewhere(struct snap_project *project, const struct op *op, struct snap_err *err) {
    _workspace_ struct workspace *workspace = NULL;
    if (strcmp(op->kind, "rollback") != 0 || !op->target) {
        err_set(err, -EINVAL, "operation %" PRId64 " (%s) is one of the project", op->id, op->kind);
        return err_hint(err, "--project means the project that it stands on");
    }
    int r = workspace_get(project->store, op->target, &workspace, err);
    if (r < 0)
        return r;
    err_set(err, -EINVAL, "operation %" PRId64 " (%s) is one of workspace '%s'", op->id, op->kind, workspace && workspace->name ? workspace->name : "");
    return err_hint(err, "undo it in its mount");
}

static int find_undo(struct snap_project *project, int64_t id, struct op **ret, struct snap_err *err) {
    _op_ struct op *op = NULL;
    int64_t workspace = project->workspace ? project->workspace->id : 0;
    int r = id ? op_get(project->store, id, &op, err) : op_undo_candidate(project->store, workspace, &op, err);
    if (r < 0)
        return r;
    if (r == 0 && id) {
        err_set(err, -ENOENT, "there is no operation %" PRId64, id);
        return err_hint(err, "snapctl op log lists them");
    }
    if (r == 0)
        return err_set(err, -ENOENT, "there is nothing to undo");
    if (!can_be_undone(op))
        return refuse_undo(op, err);
    if ((!strcmp(op->kind, "rollback") && op->target != workspace) || (!strcmp(op->kind, "apply") && workspace))
        return refuse_elsewhere(project, op, err);
    *ret = TAKE_PTR(op);
    return 0;
}

static int find_redo(struct snap_project *project, struct op **ret, struct snap_err *err) {
    int r = op_redo_candidate(project->store, project->workspace ? project->workspace->id : 0, ret, err);
    return r == 0 ? err_set(err, -ENOENT, "there is nothing to redo") : MIN(r, 0);
}

/* Names. */

static int conflict(struct snap_project *project, const char *text, struct snap_err *err) {
    project_notice(project, SNAP_NOTICE_CONFLICT, NULL, "%s", text);
    err_set(err, -EBUSY, "%s", text);
    return err ? err_failure(err, SNAP_FAILURE_CONFLICT) : -EBUSY;
}

static const char *or_empty(const char *text) {
    return text ? text : "";
}

/* A safe change: the name that the operation left must still be there, unless forced. */
static int check_name(struct snap_project *project, int64_t number, const char *left, bool force, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = index_snapshot(project->store, number, &snapshot, err);
    if (r < 0)
        return r;
    if (r == 0)
        return err_set(err, -ENOENT, "snapshot %" PRId64 " is no longer there", number);
    if (!force && strcmp(or_empty(snapshot->public.name), left))
        return conflict(project, "the snapshot was given another name since", err);
    return 0;
}

static int log_name(struct snap_project *project, const struct op *meant, bool undo, struct op *ret, struct snap_err *err) {
    *ret = (struct op){ .kind = (char *)(uintptr_t)(undo ? "undo" : "redo"), .state = (char *)(uintptr_t)"done", .target = meant->id,
                        .command = (char *)(uintptr_t)project->env.command, .before = meant->before, .after = meant->after };
    int r = op_begin(project->store, ret, NULL, err);
    return r < 0 ? r : op_set_state(project->store, meant->id, undo ? "undone" : "done", err);
}

static int change_name(struct snap_project *project, const struct op *meant, bool undo, bool force, struct snap_rollback_result *ret,
                       struct snap_err *err) {
    const char *left = or_empty(undo ? meant->new_text : meant->old_text), *name = or_empty(undo ? meant->old_text : meant->new_text);
    int r = check_name(project, meant->target, left, force, err);
    if (r < 0 || (r = store_begin(project->store, err)) < 0)
        return r;
    struct op op;
    r = index_change_snapshot(project->store, meant->target, name, 0, 0, err);
    if (r >= 0)
        r = log_name(project, meant, undo, &op, err);
    if (r < 0) {
        store_abort(project->store);
        return r;
    }
    if ((r = store_commit(project->store, true, err)) < 0)
        return r;
    facts_settle(project->store);
    *ret = (struct snap_rollback_result){ .operation = op.id };
    return 0;
}

/* Files. */

/* Where the operation left the project, and where it came from; a redo goes the other way. */
static int change_files(struct snap_project *project, const struct op *meant, bool undo, bool force, struct snap_rollback_result *ret,
                        struct snap_err *err) {
    _op_paths_ char **paths = NULL;
    int r = op_paths(project->store, meant->id, &paths, err);
    if (r < 0)
        return r;
    struct transition_request request = { .kind = undo ? "undo" : "redo", .target = meant->id, .force = force,
        .before = undo ? meant->after : meant->before, .after = undo ? meant->before : meant->after,
        .paths = (const char *const *)paths };
    struct snap_rollback_result result = {0};
    if (force) {
        int64_t newest;
        if ((r = take_safety(project, undo ? "before undo" : "before redo", &newest, err)) < 0)
            return r;
        request.also_before = request.before;
        request.also_after = request.after;
        request.before = newest;
    }
    if ((r = transition_run(project, &request, &result, err)) < 0)
        return r;
    result.safety = force ? request.before : 0;
    *ret = result;
    return 0;
}

static int carry_out(struct snap_project *project, const struct op *meant, bool undo, bool force, struct snap_rollback_result *ret,
                     struct snap_err *err) {
    if (!strcmp(meant->kind, "tag"))
        return change_name(project, meant, undo, force, ret, err);
    if (removal_is(meant))
        return removal_again(project, meant, undo, ret, err);
    if (workspaces_removed_by(meant))
        return workspaces_again(project, meant, undo, ret, err);
    if (!strcmp(meant->kind, "restore"))
        return undo ? restore_undo(project, meant, force, ret, err) : restore_redo(project, meant, force, ret, err);
    return change_files(project, meant, undo, force, ret, err);
}

static const char *static_kind(const struct op *op) {
    static const char *const kinds[] = { "tag", "restore", "rm", "prune", "apply", "workspace remove" };
    for (size_t i = 0; i < ELEMENTS(kinds); i++)
        if (!strcmp(op->kind, kinds[i]))
            return kinds[i];
    return "rollback";
}

static int run(struct snap_project *project, const struct op *meant, bool undo, bool force, struct snap_rollback_result *ret,
               struct snap_err *err) {
    double start = project_seconds();
    uint64_t failed = project->failed;
    struct snap_rollback_result result = {0};
    int r = carry_out(project, meant, undo, force, &result, err);
    if (r < 0)
        return err ? err_wrap(err, "cannot %s operation %" PRId64 " (%s)", undo ? "undo" : "redo", meant->id, meant->kind) : r;
    result.operation_kind = static_kind(meant);
    result.failed = project->failed - failed;
    result.seconds = project_seconds() - start;
    *ret = result;
    return 0;
}

int snap_undo(struct snap_project *project, int64_t operation, bool force, struct snap_rollback_result *ret, struct snap_err *err) {
    _op_ struct op *meant = NULL;
    int r = project_need_lock(project, err);
    if (r < 0 || (r = find_undo(project, operation, &meant, err)) < 0)
        return r;
    return run(project, meant, true, force, ret, err);
}

int snap_redo(struct snap_project *project, bool force, struct snap_rollback_result *ret, struct snap_err *err) {
    _op_ struct op *meant = NULL;
    int r = project_need_lock(project, err);
    if (r < 0 || (r = find_redo(project, &meant, err)) < 0)
        return r;
    return run(project, meant, false, force, ret, err);
}
