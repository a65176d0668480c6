/* Commands in a mount of ours: which store serves it, which project and workspace that is.
 * Asks the kernel and the record of the mount, never the process that serves it. SPDX-License-Identifier: GPL-2.0-or-later */
#include "here.h"

#include "following.h"
#include "fs.h"
#include "mounted.h"
#include "mountinfo.h"
#include "search.h"
#include "workspace.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

void here_done(struct here *here) {
    free(here->dir);
    free(here->point);
    free(here->store);
    free(here->project);
    *here = (struct here){0};
}

static int find_mount(struct here *here, struct mountinfo *info) {
    struct statx stat;
    int r = fs_statx(AT_FDCWD, here->dir, &stat);
    if (r < 0)
        return r;
    r = mountinfo_by_id(stat.stx_mnt_id, info);
    return r > 0 && strcmp(info->type, "fuse.snapctl") != 0 ? 0 : r;
}

static int read_project(struct here *here, struct snap_err *err) {
    _cleanup_(store_closep) struct store *store = NULL;
    int r = store_open(here->store, &store, err);
    if (r == 0)
        r = store_fact(store, "project.path", &here->project, err);
    if (r == 0)
        return err_damage(err, "the store '%s' does not know its project", here->store);
    return MIN(r, 0);
}

/* A record of another user's store, or none: then it is no mount of ours. */
static int read_record(struct here *here, const char *source) {
    _mounted_ struct mounted mounted = {0};
    int r = mounted_find(source, &mounted, &here->store);
    if (r <= 0)
        return r == -EACCES || r == -EPERM ? 0 : r;
    here->workspace = mounted.workspace;
    return 1;
}

static int dead(const char *dir, struct snap_err *err) {
    err_set(err, -ENOTCONN, "'%s' is a dead mount", dir);
    return err_hint(err, "unmount it first: snapctl umount %s", dir);
}

int here_find(const struct snap_env *env, struct here *ret, struct snap_err *err) {
    _here_ struct here here = {0};
    _mountinfo_ struct mountinfo info = {0};
    struct statfs fs;
    here.dir = realpath(env->dir ? env->dir : ".", NULL);      /* by its path: the working directory may be below what is mounted there */
    if (here.dir && statfs(here.dir, &fs) < 0 && errno == ENOTCONN)
        return dead(here.dir, err);
    if (!here.dir || statfs(here.dir, &fs) < 0 || fs.f_type != FUSE_SUPER_MAGIC)
        return 0;
    int r = find_mount(&here, &info);
    if (r > 0)
        r = read_record(&here, info.source);
    if (r < 0)
        return err_path(err, r, env->dir ? env->dir : ".", "find out what is mounted on");
    if (r == 0)
        return 0;
    here.point = TAKE_PTR(info.dir);
    r = read_project(&here, err);
    if (r < 0)
        return r;
    *ret = here;
    here = (struct here){0};
    return 1;
}

/* What lies below a mount. */

/* In the namespace of a command that is run in a workspace, the project is where the workspace is mounted outside. */
static int open_exchanged(const struct mounted *mounted, const char *source) {
    _mountinfo_ struct mountinfo there = {0};
    int r = mountinfo_find(mounted->dir, &there);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    if (strcmp(there.source, source) == 0)
        return -ENOENT;
    int fd = open(mounted->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int open_held(const struct mounted *mounted) {
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%ld/fd/%d", (long)mounted->pid, mounted->below);
    int fd = mounted->below < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return mounted->below < 0 ? -ENOENT : fd < 0 ? -errno : fd;
}

int here_below(const struct here *here, int *ret, struct snap_err *err) {
    _mountinfo_ struct mountinfo info = {0};
    _mounted_ struct mounted mounted = {0};
    _free_ char *store = NULL;
    int r = mountinfo_find(here->project, &info);
    if (r > 0)
        r = strcmp(info.type, "fuse.snapctl") == 0 ? mounted_find(info.source, &mounted, &store) : 0;
    if (r <= 0) {
        *ret = -1;
        return r < 0 ? err_path(err, r, here->project, "find out what is mounted on") : 0;
    }
    int fd = open_exchanged(&mounted, info.source);
    if (fd < 0)
        fd = open_held(&mounted);
    if (fd < 0) {
        err_path(err, fd, here->project, "reach what lies below the mount on");
        return err_hint(err, "snapctl umount uncovers it");
    }
    *ret = fd;
    return 0;
}

/* Entering. */

static int replace(const char **where, const char *text, struct snap_err *err) {
    char *copy = strdup(text);
    if (!copy)
        return err_nomem(err);
    free((char *)(uintptr_t)*where);
    *where = copy;
    return 0;
}

static int load_workspace(struct snap_project *project, int64_t id, struct workspace **ret, struct snap_err *err) {
    int r = workspace_get(project->store, id, ret, err);
    if (r == 0)
        return err_damage(err, "the store's database is damaged: workspace %lld is mounted and missing", (long long)id);
    return MIN(r, 0);
}

/* Takes `workspace`, which is mounted on `point`. */
static int stand_in(struct snap_project *project, struct workspace *workspace, const char *point, struct snap_err *err) {
    struct statx stat;
    project->workspace = workspace;
    project->info.workspace = workspace->name;
    project->info.base = workspace->base;
    project->root = open(point, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = project->root < 0 ? -errno : fs_statx(project->root, "", &stat);
    if (r < 0)
        return err_path(err, r, point, "open");
    project->device = (uint64_t)stat.stx_dev_major << 32 | stat.stx_dev_minor;
    project->mount = stat.stx_mnt_id;
    return replace(&project->info.root, point, err);
}

static int enter_workspace(struct snap_project *project, const struct here *here, struct snap_err *err) {
    const char *inside = "";
    struct workspace *workspace = NULL;
    int r = load_workspace(project, here->workspace, &workspace, err);
    if (r < 0)
        return r;
    project->root = fd_close(project->root);
    if ((r = stand_in(project, workspace, here->point, err)) < 0)
        return r;
    struct snap_following unused;
    if (workspace->follow && (r = following_sync(project->root, &unused)) < 0)
        return err_path(err, r, here->point, "ask the workspace on");
    (void)search_below(here->point, here->dir, &inside);
    return replace(&project->info.inside, inside, err);
}

int here_enter(struct snap_project *project, const struct here *here, bool workspace, struct snap_err *err) {
    const char *inside = "";
    int r = replace(&project->env.dir, here->dir, err);
    if (r < 0)
        return r;
    if (workspace && here->workspace)
        return enter_workspace(project, here, err);
    (void)search_below(here->project, here->dir, &inside);     /* where the project is the mount point, it may */
    return replace(&project->info.inside, inside, err);
}

/* A visit. */

struct search_mount { int64_t workspace; char *dir; };

static int is_of_workspace(void *data, const struct mounted *mounted) {
    struct search_mount *search = data;
    if (!mounted->served || mounted->workspace != search->workspace)
        return 0;
    search->dir = strdup(mounted->dir);
    return 1;
}

/* 1 = what is mounted there is ours. */
static int is_reachable(const char *dir) {
    _mountinfo_ struct mountinfo info = {0};
    int r = dir ? mountinfo_find(dir, &info) : 0;
    return r > 0 ? strcmp(info.type, "fuse.snapctl") == 0 : r;
}

int here_visit(struct snap_project *project, int64_t id, struct visit *ret, struct snap_err *err) {
    struct search_mount search = { .workspace = id };
    struct workspace *workspace = NULL;
    int r = mounted_list(project->store, is_of_workspace, &search, err);
    _free_ char *dir = search.dir;
    if (r == 0 && (r = is_reachable(dir)) < 0)
        err_errno(err, r, "cannot read what is mounted");
    if (r <= 0 || (r = load_workspace(project, id, &workspace, err)) < 0)
        return r;
    *ret = (struct visit){ .workspace = project->workspace, .root = project->root, .device = project->device, .mount = project->mount,
                           .path = project->info.root, .name = project->info.workspace, .base = project->info.base };
    project->info.root = NULL;
    if ((r = stand_in(project, workspace, dir, err)) == 0)
        return 1;
    here_leave(project, ret);
    return r;
}

void here_leave(struct snap_project *project, struct visit *visit) {
    fd_close(project->root);
    workspace_free(project->workspace);
    free((char *)(uintptr_t)project->info.root);
    project->workspace = visit->workspace;
    project->root = visit->root;
    project->device = visit->device;
    project->mount = visit->mount;
    project->info.root = visit->path;
    project->info.workspace = visit->name;
    project->info.base = visit->base;
}
