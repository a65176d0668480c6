/* Mounting, listing and unmounting: which, where, and by whom; what is served is in serving.c.
 * Keeps no lock and no connection over a fork. SPDX-License-Identifier: GPL-2.0-or-later */
#include "mounts.h"

#include "catalog.h"
#include "mountinfo.h"
#include "search.h"
#include "throwaway.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

DEFINE_CLEANUP(struct snap_project *, snap_project_close)

static const char TYPE[] = "fuse.snapctl";

/* Where. */

/* The directory that holds the last name, resolved, and that name: a dead mount cannot be looked at itself. */
static int resolve_parent(const char *path, char **ret, struct snap_err *err) {
    _free_ char *copy = strdup(path);
    if (!copy)
        return err_nomem(err);
    size_t size = strlen(copy);
    while (size > 1 && copy[size - 1] == '/')
        copy[--size] = '\0';
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy;
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return err_path(err, -ENOTCONN, path, "look at");
    _free_ char *parent = slash ? strndup(copy, slash == copy ? 1 : (size_t)(slash - copy)) : strdup(".");
    _free_ char *real = parent ? realpath(parent, NULL) : NULL;
    if (!real)
        return err_path(err, parent ? -errno : -ENOMEM, path, "look at");
    if (asprintf(ret, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name) < 0)
        return err_nomem(err);
    return 0;
}

/* Absolute, without symlinks. 1 = it is the mount point of a mount that does not answer. */
static int resolve(const struct snap_env *env, const char *typed, char **ret, struct snap_err *err) {
    _free_ char *joined = NULL;
    if (!*typed) {
        err_set(err, -EINVAL, "an empty path names nothing");
        return err_failure(err, SNAP_FAILURE_USAGE);
    }
    if (env->dir && *typed != '/' && asprintf(&joined, "%s/%s", env->dir, typed) < 0)
        return err_nomem(err);
    const char *path = joined ? joined : typed;
    char *real = realpath(path, NULL);
    if (real) {
        *ret = real;
        return 0;
    }
    if (errno != ENOTCONN && errno != EIO)
        return err_path(err, -errno, typed, "look at");
    int r = resolve_parent(path, ret, err);
    return r < 0 ? r : 1;
}

static int hint_umount(struct snap_err *err, const char *typed) {
    return err_hint(err, "unmount it first: snapctl umount %s", typed);
}

static int check_free(const char *dir, const char *typed, struct snap_err *err) {
    _mountinfo_ struct mountinfo info = {0};
    int r = mountinfo_find(dir, &info);
    if (r < 0)
        return err_errno(err, r, "cannot read what is mounted");
    if (r == 0 || strcmp(info.type, TYPE) != 0)
        return 0;
    bool served = mounted_is_served(info.source);
    err_set(err, -EBUSY, served ? "'%s' is a mount of snapctl already" : "'%s' is a dead mount of snapctl", typed);
    return hint_umount(err, typed);
}

/* In the store nothing is anybody's to see. A workspace may lie over the project, for who serves it holds on to what is below;
 * but not over the store. */
static int check_outside(const struct snap_project *project, bool workspace, const char *dir, const char *typed, struct snap_err *err) {
    const char *rest;
    _free_ char *real = realpath(project->info.store, NULL);
    if (search_below(real ? real : project->info.store, dir, &rest))
        err_set(err, -EINVAL, "'%s' lies in the store, which is no place for mounts", typed);
    else if (!workspace && strcmp(dir, project->info.root) == 0)
        err_set(err, -EINVAL, "'%s' is the project itself; mount on another directory", typed);
    else if (search_below(dir, real ? real : project->info.store, &rest))
        err_set(err, -EINVAL, "the store lies in '%s' and would be hidden; mount on another directory", typed);
    else
        return 0;
    return err_failure(err, SNAP_FAILURE_USAGE);
}

int mounts_place(const struct snap_project *project, bool workspace, const char *typed, char **ret, struct snap_err *err) {
    _free_ char *dir = NULL;
    struct stat stat;
    int r = resolve(&project->env, typed, &dir, err);
    if (r == -ENOENT)
        return err_hint(err, "a mount needs a directory; make it with: mkdir %s", typed);
    if (r < 0)
        return r;
    if (r > 0) {
        err_set(err, -ENOTCONN, "'%s' is a dead mount", typed);
        return hint_umount(err, typed);
    }
    if (lstat(dir, &stat) < 0)
        return err_path(err, -errno, typed, "mount on");
    if (!S_ISDIR(stat.st_mode))
        return err_path(err, -ENOTDIR, typed, "mount on");
    if ((r = check_free(dir, typed, err)) < 0 || (r = check_outside(project, workspace, dir, typed, err)) < 0)
        return r;
    *ret = TAKE_PTR(dir);
    return 0;
}

/* Mounting. */

void mounting_done(struct mounting *mounting) {
    free(mounting->name);
    free(mounting->workspace);
    *mounting = (struct mounting){0};
}

static int tell(const struct mounting *mounting, const struct mounted *mounted) {
    const struct snap_mount row = {
        .kind = mounting->kind, .state = SNAP_MOUNT_SERVED, .workspace = mounting->workspace, .dir = mounted->dir,
        .snapshot = mounted->snapshot, .name = mounting->name ? mounting->name : "", .pid = mounted->pid, .since = mounted->since,
    };
    return mounting->fn ? mounting->fn(mounting->data, &row) : 0;
}

static int tell_answers(void *data, const struct mounted *mounted, struct snap_err *err) {
    int r = tell(data, mounted);
    return r < 0 && !(err && err->code) ? err_errno(err, r, "cannot tell about the mount") : r;
}

static int name_snapshot(struct snap_project *project, int64_t number, char **ret, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = number ? index_snapshot(project->store, number, &snapshot, err) : 0;
    if (r < 0)
        return r;
    *ret = strdup(snapshot ? snapshot->public.name : "");
    return *ret ? 0 : err_nomem(err);
}

static int prepare(struct snap_project *project, const char *options, struct serving *serving, struct mounting *mounting, struct snap_err *err) {
    serving->store = realpath(project->info.store, NULL);
    if (!serving->store)
        return err_path(err, -errno, project->info.store, "look at the store");
    int r = name_snapshot(project, serving->snapshot, &mounting->name, err);
    return r < 0 ? r : serving_set_options(serving, options, err);
}

int mounts_prepare_view(struct snap_project *project, int64_t snapshot, const char *options, struct serving *serving,
                        struct mounting *mounting, struct snap_err *err) {
    serving->snapshot = snapshot;
    mounting->kind = SNAP_MOUNT_VIEW;
    return prepare(project, options, serving, mounting, err);
}

int mounts_prepare_workspace(struct snap_project *project, const struct workspace *workspace, const char *options,
                             struct serving *serving, struct mounting *mounting, struct snap_err *err) {
    serving->workspace = workspace->id;
    serving->snapshot = workspace->base;
    serving->follow = workspace->follow;
    serving->below = fcntl(project->root, F_DUPFD_CLOEXEC, 0);
    mounting->kind = workspace->follow ? SNAP_MOUNT_FOLLOW : SNAP_MOUNT_FROZEN;
    mounting->workspace = strdup(workspace->name);
    if (!mounting->workspace)
        return err_nomem(err);
    if (serving->below < 0)
        return err_errno(err, -errno, "cannot hold on to the project's directory");
    return prepare(project, options, serving, mounting, err);
}

static int serve_there(struct serving *serving, const struct mounting *mounting, struct snap_err *err) {
    struct mounted mounted = { .snapshot = serving->snapshot, .workspace = serving->workspace, .dir = serving->dir, .since = serving->since,
                               .below = -1 };
    int r = detach(serving_run, serving, &mounted.pid, err);
    return r < 0 ? r : tell(mounting, &mounted);
}

static int serve_here(struct serving *serving, struct mounting *mounting, struct snap_err *err) {
    serving->answers = tell_answers;
    serving->data = mounting;
    return serving_run(serving, NULL, err);
}

int mounts_start(struct serving *serving, struct mounting *mounting, bool foreground, struct snap_err *err) {
    (void)clock_gettime(CLOCK_REALTIME, &serving->since);
    int r = foreground ? serve_here(serving, mounting, err) : serve_there(serving, mounting, err);
    if (r >= 0)
        return 0;
    return mounting->workspace ? err_wrap(err, "cannot mount workspace '%s' on '%s'", mounting->workspace, serving->dir)
        : err_wrap(err, "cannot mount snapshot %lld on '%s'", (long long)serving->snapshot, serving->dir);
}

struct search_mounted { int64_t workspace; char *dir; };

static int is_of_workspace(void *data, const struct mounted *mounted) {
    struct search_mounted *search = data;
    if (!mounted->served || mounted->workspace != search->workspace)
        return 0;
    search->dir = strdup(mounted->dir);
    return 1;
}

int mounts_check_unused(struct snap_project *project, const struct workspace *workspace, struct snap_err *err) {
    struct search_mounted search = { .workspace = workspace->id };
    int r = workspace_is_locked(project->store, workspace->id, err);
    if (r <= 0)
        return r;
    r = mounted_list(project->store, is_of_workspace, &search, err);
    if (r < 0)
        return r;
    _free_ char *dir = search.dir;
    err_set(err, -EBUSY, "workspace '%s' is mounted on '%s'", workspace->name ? workspace->name : "", dir ? dir : workspace->dir);
    return err_hint(err, "unmount it first: snapctl umount %s", dir ? dir : workspace->dir);
}

/* Where it is left this time. */
static int note_dir(struct snap_project *project, const struct workspace *workspace, const char *dir, struct snap_err *err) {
    if (strcmp(workspace->dir, dir) == 0)
        return 0;
    int r = store_lock(project->store, project->env.wait ? STORE_LOCK_WAIT : STORE_LOCK_TRY, project->env.command, project->env.cancel, err);
    if (r < 0 || (r = store_begin(project->store, err)) < 0)
        return r;
    r = workspace_set_dir(project->store, workspace->id, dir, err);
    if (r == 0)
        r = store_commit(project->store, false, err);
    else
        store_abort(project->store);
    if (r == 0)
        throwaway_forget_dir(workspace);
    return r;
}

static int prepare_either(struct snap_project *project, const struct snap_mount_options *options, struct serving *serving,
                          struct mounting *mounting, struct snap_err *err) {
    _workspace_ struct workspace *workspace = NULL;
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = workspace_named(project->store, options->what, &workspace, err);
    if (r == 0)
        r = catalog_find(project, options->what, &snapshot, err);
    if (r >= 0)
        r = mounts_place(project, workspace, options->dir, &serving->dir, err);
    if (r < 0)
        return r;
    if (!workspace)
        return mounts_prepare_view(project, snapshot->public.number, options->options, serving, mounting, err);
    r = mounts_check_unused(project, workspace, err);
    if (r == 0)
        r = mounts_prepare_workspace(project, workspace, options->options, serving, mounting, err);
    return r < 0 ? r : note_dir(project, workspace, serving->dir, err);
}

static int prepare_project(const struct snap_env *env, const struct snap_mount_options *options, struct serving *serving,
                           struct mounting *mounting, struct snap_err *err) {
    _cleanup_(snap_project_closep) struct snap_project *project = NULL;
    int r = snap_project_open(env, SNAP_OPEN_READ, &project, err);
    return r < 0 ? r : prepare_either(project, options, serving, mounting, err);
}

int snap_mount(const struct snap_env *env, const struct snap_mount_options *options, snap_mount_fn fn, void *data, struct snap_err *error) {
    struct snap_err *err = error ? error : &(struct snap_err){0};
    _serving_ struct serving serving = SERVING_INIT;
    _mounting_ struct mounting mounting = { .fn = fn, .data = data };
    int r = prepare_project(env, options, &serving, &mounting, err);
    return r < 0 ? r : mounts_start(&serving, &mounting, options->foreground, err);
}

/* Listing. */

struct listing {
    struct snap_project *project;
    bool workspaces;                      /* those alone */
    int64_t only;                         /* what shows this snapshot or stands on it; 0 = all */
    int64_t *seen;                        /* workspaces that are mounted */
    size_t count, room;
    snap_mount_fn fn;
    void *data;
    struct snap_err *err;
};

static void listing_done(struct listing *listing) {
    free(listing->seen);
}

/* 1 = it is mounted here. */
static int is_mounted(struct store *store, const struct mounted *mounted) {
    _mountinfo_ struct mountinfo info = {0};
    _buf_ struct buf path = {0};
    int r = mountinfo_find(mounted->dir, &info);
    if (r <= 0)
        return r;
    r = mounted_path(store, mounted->id, &path);
    return r < 0 ? r : strcmp(info.source, path.data) == 0;
}

static int give(struct listing *listing, struct snap_mount *row, const struct workspace *workspace) {
    _free_ char *name = NULL;
    if (listing->only && row->snapshot != listing->only)
        return 0;
    row->kind = !workspace ? SNAP_MOUNT_VIEW : workspace->follow ? SNAP_MOUNT_FOLLOW : SNAP_MOUNT_FROZEN;
    row->workspace = workspace ? workspace->name : NULL;
    int r = name_snapshot(listing->project, row->snapshot, &name, listing->err);
    if (r < 0)
        return r;
    row->name = name;
    return listing->fn(listing->data, row);
}

static int see(struct listing *listing, int64_t workspace) {
    if (MAKE_ROOM(listing->seen, listing->count, listing->room) < 0)
        return err_nomem(listing->err);
    listing->seen[listing->count++] = workspace;
    return 0;
}

static int list_mounted(void *data, const struct mounted *mounted) {
    struct listing *listing = data;
    struct store *store = listing->project->store;
    _workspace_ struct workspace *workspace = NULL;
    int here = mounted->served ? 1 : is_mounted(store, mounted);
    if (here < 0)
        return err_errno(listing->err, here, "cannot read what is mounted");
    if (!here)
        return mounted_forget(store, mounted->id, listing->err);
    if (!mounted->workspace && listing->workspaces)
        return 0;
    int r = mounted->workspace ? workspace_get(store, mounted->workspace, &workspace, listing->err) : 0;
    if (r < 0 || (r > 0 && (r = see(listing, workspace->id)) < 0))
        return r;
    struct snap_mount row = {
        .state = mounted->served ? SNAP_MOUNT_SERVED : SNAP_MOUNT_DEAD, .dir = mounted->dir, .snapshot = mounted->snapshot,
        .pid = mounted->pid, .since = mounted->since,
    };
    return give(listing, &row, workspace);
}

static int list_workspace(void *data, const struct workspace *workspace) {
    struct listing *listing = data;
    for (size_t i = 0; i < listing->count; i++)
        if (listing->seen[i] == workspace->id)
            return 0;
    struct snap_mount row = { .state = SNAP_MOUNT_NONE, .dir = workspace->dir, .snapshot = workspace->base, .since = workspace->created };
    return give(listing, &row, workspace);
}

static int list_all(struct listing *listing) {
    int r = mounted_list(listing->project->store, list_mounted, listing, listing->err);
    if (r == 0)
        r = workspace_list(listing->project->store, list_workspace, listing, listing->err);
    struct snap_err *err = listing->err;
    listing_done(listing);
    return r < 0 && err && err->code != r ? err_errno(err, r, "cannot list mounts") : r;
}

int snap_mounts(struct snap_project *project, snap_mount_fn fn, void *data, struct snap_err *err) {
    return list_all(&(struct listing){ .project = project, .fn = fn, .data = data, .err = err });
}

int snap_workspaces(struct snap_project *project, snap_mount_fn fn, void *data, struct snap_err *err) {
    return list_all(&(struct listing){ .project = project, .workspaces = true, .fn = fn, .data = data, .err = err });
}

int snap_users(struct snap_project *project, int64_t snapshot, snap_mount_fn fn, void *data, struct snap_err *err) {
    return list_all(&(struct listing){ .project = project, .only = snapshot, .fn = fn, .data = data, .err = err });
}

/* Unmounting. */

static int in_use(const struct buf *users, const char *typed, struct snap_err *err) {
    bool seen = users->size && !users->failed;
    err_set(err, -EBUSY, "'%s' is in use%s%s", typed, seen ? " by pid " : "", seen ? users->data : "");
    return err_hint(err, "leave it (cd elsewhere, close its files) and try again");
}

static int busy(const char *dir, const char *typed, struct snap_err *err) {
    _buf_ struct buf users = {0};
    mountinfo_who_uses(dir, &users);
    return in_use(&users, typed, err);
}

/* Where it is mounted in another namespace, too, its process would go on after it is unmounted here. */
static int check_not_bound(const struct mountinfo *info, const char *typed, struct snap_err *err) {
    _buf_ struct buf users = {0};
    mountinfo_who_bound(info->source, &users);
    return users.size ? in_use(&users, typed, err) : 0;
}

static int end_mount(const char *dir, const char *typed, bool dead, struct snap_err *err) {
    int r = mount_end_at(dir, false, err);
    if (r == -EBUSY && dead)
        r = mount_end_at(dir, true, err);
    return r == -EBUSY ? busy(dir, typed, err) : r;
}

int snap_unmount(const struct snap_env *env, const char *typed, struct snap_err *error) {
    struct snap_err *err = error ? error : &(struct snap_err){0};
    _free_ char *dir = NULL;
    _mountinfo_ struct mountinfo info = {0};
    int r = resolve(env, typed, &dir, err);
    if (r < 0)
        return r;
    r = mountinfo_find(dir, &info);
    if (r < 0)
        return err_errno(err, r, "cannot read what is mounted");
    if (r == 0 || strcmp(info.type, TYPE) != 0) {
        err_set(err, -EINVAL, "'%s' is no mount of snapctl", typed);
        return err_hint(err, "'snapctl mount' lists those of a project");
    }
    bool served = mounted_is_served(info.source) > 0;
    r = served ? check_not_bound(&info, typed, err) : 0;
    if (r == 0)
        r = end_mount(dir, typed, !served, err);
    return r < 0 ? r : mounted_wait(info.source, env->cancel, err);
}
