/* Making and removing workspaces.
 * What is in one is the overlay's matter; mounting is in mounts.c. SPDX-License-Identifier: GPL-2.0-or-later */
#include "workspaces.h"

#include "catalog.h"
#include "fs.h"
#include "mounts.h"
#include "op.h"
#include "take.h"
#include "throwaway.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

DEFINE_CLEANUP(struct snap_project *, snap_project_close)
#define _project_ _cleanup_(snap_project_closep)

static const char REMOVE[] = "workspace remove";       /* as an operation's kind */

/* Making. */

static int choose_name(struct snap_project *project, const struct snap_workspace_options *options, char **ret, struct snap_err *err) {
    if (!options->name)
        return throwaway_name(project, ret, err);
    int r = snap_name_check(options->name, err);
    if (r < 0 || (r = catalog_check_free(project, options->name, 0, err)) < 0)
        return r;
    *ret = strdup(options->name);
    return *ret ? 0 : err_nomem(err);
}

static int choose_dir(struct snap_project *project, const struct snap_workspace_options *options, struct workspace *workspace, struct snap_err *err) {
    if (options->dir)
        return mounts_place(project, true, options->dir, &workspace->dir, err);
    _free_ char *dir = NULL;
    int r = throwaway_dir(workspace->name, &dir, err);
    if (r == 0 && (r = mounts_place(project, true, dir, &workspace->dir, err)) < 0)
        (void)rmdir(dir);
    workspace->flags = r == 0 ? WORKSPACE_OWN_DIR : 0;
    return r;
}

/* The snapshot to stand on; 0: the project. */
static int find_base(struct snap_project *project, const struct snap_workspace_options *options, int64_t *ret,
                     struct snap_take_result *ret_taken, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    if (options->follow) {
        *ret = 0;
        return 0;
    }
    if (options->from) {
        int r = catalog_find(project, options->from, &snapshot, err);
        if (r == 0)
            *ret = snapshot->public.number;
        return r;
    }
    if (!options->name)
        return take_safety(project, "before run", ret, err);
    int r = take_run(project, &(struct take_request){0}, ret_taken, err);
    if (r == 0)
        *ret = ret_taken->number;
    return r;
}

static int log_operation(struct snap_project *project, const char *kind, int64_t id, const char *old_name, const char *new_name,
                         int64_t *ret, struct snap_err *err) {
    struct op op = { .kind = (char *)(uintptr_t)kind, .state = (char *)(uintptr_t)"done", .target = id,
                     .command = (char *)(uintptr_t)project->env.command, .old_text = (char *)(uintptr_t)old_name,
                     .new_text = (char *)(uintptr_t)new_name };
    int r = op_begin(project->store, &op, NULL, err);
    if (r == 0 && ret)
        *ret = op.id;
    return r;
}

static int add_row(struct snap_project *project, struct workspace *workspace, int64_t *ret_operation, struct snap_err *err) {
    (void)clock_gettime(CLOCK_REALTIME, &workspace->created);
    int r = store_begin(project->store, err);
    if (r < 0)
        return r;
    if ((r = workspace_add(project->store, workspace, err)) < 0
        || (r = log_operation(project, "workspace add", workspace->id, NULL, workspace->name, ret_operation, err)) < 0) {
        store_abort(project->store);
        return r;
    }
    return store_commit(project->store, true, err);
}

/* The root of a tree is what its uppermost layer says. */
static int root_meta(struct snap_project *project, const struct workspace *workspace, struct meta *ret, struct snap_err *err) {
    _snapshot_ struct snapshot *base = NULL;
    _object_ struct object *root = NULL;
    struct statx stat;
    int r;
    if (workspace->follow) {
        r = fs_statx(project->root, "", &stat);
        if (r == 0)
            r = meta_read(project->root, "", project->root, &stat, ret);
        return r < 0 ? err_path(err, r, project->info.root, "look at") : 0;
    }
    r = index_snapshot(project->store, workspace->base, &base, err);
    if (r > 0)
        r = index_lookup(project->store, snapshot_point(base), 0, "", &root, err);
    if (r <= 0)
        return r < 0 ? r : err_damage(err, "the index is damaged: snapshot %" PRId64 " has no root", workspace->base);
    return meta_copy(ret, &root->meta) < 0 ? err_nomem(err) : 0;
}

static int make_layer(struct snap_project *project, const struct workspace *workspace, struct snap_err *err) {
    struct workspace_dirs dirs = { -1, -1, -1 };
    _meta_ struct meta meta = {0};
    int r = root_meta(project, workspace, &meta, err);
    if (r == 0)
        r = workspace_open(project->store, workspace->id, &dirs, err);
    if (r == 0 && (r = meta_apply(dirs.upper, "", &meta, META_STORE, NULL)) < 0)
        err_errno(err, r, "cannot make the current layer");
    workspace_close(&dirs);
    return r;
}

static int make(struct snap_project *project, const struct snap_workspace_options *options, struct workspace *workspace,
                int64_t *ret_operation, struct snap_take_result *ret_taken, struct snap_err *err) {
    int64_t base = 0;
    int r = choose_name(project, options, &workspace->name, err);
    if (r == 0)
        r = choose_dir(project, options, workspace, err);
    if (r == 0)
        r = find_base(project, options, &base, ret_taken, err);
    if (r < 0)
        return r;
    workspace->base = base;
    workspace->follow = options->follow;
    r = add_row(project, workspace, ret_operation, err);
    return r < 0 ? r : make_layer(project, workspace, err);
}

static int make_and_prepare(const struct snap_env *env, const struct snap_workspace_options *options, struct workspace *workspace,
                            int64_t *ret_operation, struct snap_take_result *ret_taken, struct serving *serving, struct mounting *mounting, struct snap_err *err) {
    _project_ struct snap_project *project = NULL;
    int r = snap_project_open(env, SNAP_OPEN_WRITE | SNAP_OPEN_CREATE, &project, err);
    if (r == 0)
        r = make(project, options, workspace, ret_operation, ret_taken, err);
    if (r == 0)
        r = mounts_prepare_workspace(project, workspace, options->options, serving, mounting, err);
    if (r == 0 && !(serving->dir = strdup(workspace->dir)))
        r = err_nomem(err);
    return r;
}

/* As if it had never been, but for the log. */
static void take_back(const struct snap_env *env, const struct workspace *workspace, int64_t operation) {
    struct snap_err ignored = {0};            /* the failure before is the one to tell */
    _project_ struct snap_project *project = NULL;
    throwaway_forget_dir(workspace);
    if (!workspace->id || snap_project_open(env, SNAP_OPEN_WRITE, &project, &ignored) < 0 || store_begin(project->store, &ignored) < 0)
        return;
    int r = workspace_forget(project->store, workspace->id, &ignored);
    if (r == 0)
        r = op_set_state(project->store, operation, "failed", &ignored);
    if (r == 0)
        r = store_commit(project->store, false, &ignored);
    else
        store_abort(project->store);
    if (r == 0)
        (void)workspace_unlink(project->store, workspace->id, &ignored);
}

int snap_workspace_add(const struct snap_env *env, const struct snap_workspace_options *options, struct snap_take_result *ret_taken,
                       snap_mount_fn fn, void *data, struct snap_err *error) {
    struct snap_err *err = error ? error : &(struct snap_err){0};
    _workspace_ struct workspace *workspace = calloc(1, sizeof(*workspace));
    _serving_ struct serving serving = SERVING_INIT;
    _mounting_ struct mounting mounting = { .fn = fn, .data = data };
    struct snap_take_result taken = {0};
    int64_t operation = 0;
    if (!workspace)
        return err_nomem(err);
    int r = make_and_prepare(env, options, workspace, &operation, &taken, &serving, &mounting, err);
    *ret_taken = taken;
    if (r == 0)
        r = mounts_start(&serving, &mounting, false, err);
    if (r < 0)
        take_back(env, workspace, operation);
    return r;
}

/* Removing. */

int workspaces_find(struct snap_project *project, const char *name, struct workspace **ret, struct snap_err *err) {
    int r = workspace_named(project->store, name, ret, err);
    if (r != 0)
        return MIN(r, 0);
    err_set(err, -ENOENT, "there is no workspace '%s'", name);
    return err_hint(err, "'snapctl workspace list' lists them");
}

int workspaces_hide(struct snap_project *project, const struct workspace *workspace, int64_t *ret_operation, struct snap_err *err) {
    int r = store_begin(project->store, err);
    if (r < 0)
        return r;
    if ((r = workspace_hide(project->store, workspace->id, err)) < 0
        || (r = log_operation(project, REMOVE, workspace->id, workspace->name, NULL, ret_operation, err)) < 0) {
        store_abort(project->store);
        return r;
    }
    return store_commit(project->store, true, err);
}

void workspaces_unhide(struct snap_project *project, const struct workspace *workspace, int64_t operation) {
    struct snap_err ignored = {0};            /* the failure before is the one to tell; undo brings it back, too */
    if (store_begin(project->store, &ignored) < 0)
        return;
    if (workspace_show(project->store, workspace->id, workspace->name, &ignored) < 0
        || op_set_state(project->store, operation, "failed", &ignored) < 0)
        store_abort(project->store);
    else
        (void)store_commit(project->store, true, &ignored);
}

int snap_workspace_remove(struct snap_project *project, const char *name, int64_t *ret_operation, struct snap_err *err) {
    _workspace_ struct workspace *workspace = NULL;
    int r = project_need_lock(project, err);
    if (r == 0)
        r = workspaces_find(project, name, &workspace, err);
    if (r < 0 || (r = mounts_check_unused(project, workspace, err)) < 0 || (r = workspaces_hide(project, workspace, ret_operation, err)) < 0)
        return r;
    throwaway_forget_dir(workspace);
    return 0;
}

/* Taking that back. */

bool workspaces_removed_by(const struct op *op) {
    return strcmp(op->kind, REMOVE) == 0;
}

static int show_or_hide(struct snap_project *project, const struct op *meant, bool undo, int64_t *ret_operation, struct snap_err *err) {
    struct op op = { .kind = (char *)(uintptr_t)(undo ? "undo" : "redo"), .state = (char *)(uintptr_t)"done", .target = meant->id,
                     .command = (char *)(uintptr_t)project->env.command };
    int r = undo ? workspace_show(project->store, meant->target, meant->old_text, err) : workspace_hide(project->store, meant->target, err);
    if (r == 0)
        r = op_begin(project->store, &op, NULL, err);
    *ret_operation = op.id;
    return r < 0 ? r : op_set_state(project->store, meant->id, undo ? "undone" : "done", err);
}

int workspaces_again(struct snap_project *project, const struct op *meant, bool undo, struct snap_rollback_result *ret, struct snap_err *err) {
    _workspace_ struct workspace *workspace = NULL;
    int64_t operation = 0;
    int r = workspace_get(project->store, meant->target, &workspace, err);
    if (r == 0 || (r > 0 && !meant->old_text))
        return err_set(err, -ENOENT, "the workspace is no longer there");
    if (r > 0 && !undo)
        r = mounts_check_unused(project, workspace, err);
    if (r < 0 || (r = store_begin(project->store, err)) < 0)
        return r;
    if ((r = show_or_hide(project, meant, undo, &operation, err)) < 0) {
        store_abort(project->store);
        return r;
    }
    if ((r = store_commit(project->store, true, err)) == 0)
        *ret = (struct snap_rollback_result){ .operation = operation };
    return r;
}
