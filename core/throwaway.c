/* Workspaces that exist for one command.
 * Knows nothing of the command. SPDX-License-Identifier: GPL-2.0-or-later */
#include "throwaway.h"

#include "mounts.h"
#include "workspaces.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int is_taken(struct snap_project *project, const char *name, struct snap_err *err) {
    _workspace_ struct workspace *workspace = NULL;
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = workspace_named(project->store, name, &workspace, err);
    return r != 0 ? r : index_snapshot_named(project->store, name, &snapshot, err);
}

int throwaway_name(struct snap_project *project, char **ret, struct snap_err *err) {
    int r = 1;
    char name[32];
    for (uint64_t number = 1; r > 0; number++) {
        (void)snprintf(name, sizeof(name), "run-%" PRIu64, number);
        r = is_taken(project, name, err);
    }
    if (r < 0)
        return r;
    *ret = strdup(name);
    return *ret ? 0 : err_nomem(err);
}

/* The session's own directory if there is one: unprivileged mounts are allowed there also where few places are. */
int throwaway_dir(const char *name, char **ret, struct snap_err *err) {
    const char *runtime = getenv("XDG_RUNTIME_DIR"), *temporary = getenv("TMPDIR");
    const char *parents[] = { runtime, temporary, "/tmp" };
    int r = -ENOENT;
    for (size_t i = 0; i < ELEMENTS(parents); i++) {
        _free_ char *dir = NULL;
        if (!parents[i] || *parents[i] != '/')
            continue;
        if (asprintf(&dir, "%s/snapctl-%s-XXXXXX", parents[i], name) < 0)
            return err_nomem(err);
        if (mkdtemp(dir)) {
            *ret = TAKE_PTR(dir);
            return 0;
        }
        r = -errno;
    }
    return err_errno(err, r, "cannot make a directory to mount on");
}

void throwaway_forget_dir(const struct workspace *workspace) {
    if (workspace->flags & WORKSPACE_OWN_DIR)
        (void)rmdir(workspace->dir);      /* something was put there, or it has gone: neither is ours */
}

/* Going without a trace. */

static int forget(struct snap_project *project, const struct workspace *workspace, struct snap_err *err) {
    int r = store_begin(project->store, err);
    if (r < 0)
        return r;
    if ((r = workspace_forget(project->store, workspace->id, err)) < 0) {
        store_abort(project->store);
        return r;
    }
    if ((r = store_commit(project->store, false, err)) < 0 || (r = workspace_unlink(project->store, workspace->id, err)) < 0)
        return r;
    throwaway_forget_dir(workspace);
    return 0;
}

int snap_workspace_forget(struct snap_project *project, const char *name, struct snap_err *error) {
    struct snap_err *err = error ? error : &(struct snap_err){0};
    _workspace_ struct workspace *workspace = NULL;
    int64_t newest, operation;
    int r = project_need_lock(project, err);
    if (r == 0)
        r = workspaces_find(project, name, &workspace, err);
    if (r == 0)
        r = mounts_check_unused(project, workspace, err);
    if (r < 0)
        return r;
    if ((newest = index_newest_number(project->store, workspace->line, err)) < 0)
        return (int)newest;
    return newest ? snap_workspace_remove(project, name, &operation, err) : forget(project, workspace, err);
}
