/* Where an export goes. A file is built without a name where the file system can do that, so that nothing is left of it
 * whatever happens; else, as a directory, under a name of ours beside its place.
 * Replaces nothing unless told to, and never a directory. SPDX-License-Identifier: GPL-2.0-or-later */
#include "target.h"

#include "fs.h"
#include "hook.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

static void remove_temporary(const struct target *target) {
    int r = fs_remove_tree(target->spot.parent, target->temporary);
    if (r < 0)
        project_notice(target->project, SNAP_NOTICE_INFO, target->spot.path, "beside it %s is left over, and could not be removed: %s",
                       target->temporary, strerror(-r));
}

void target_done(struct target *target) {
    if (!target->borrowed)
        close_fd(&target->fd);
    if (target->temporary)
        remove_temporary(target);
    free(target->temporary);
    spot_done(&target->spot);
}

static int name_temporary(struct target *target, struct snap_err *err) {
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) < 0)
        return err_errno(err, -errno, "cannot get random bytes");
    char *name = NULL;
    if (asprintf(&name, ".snapctl-export-%016" PRIx64, random) < 0)
        return err_nomem(err);
    target->temporary = name;
    return 0;
}

static int find_spot(struct snap_project *project, const char *typed, struct target *target, struct snap_err *err) {
    struct stat store;
    target->project = project;
    int r = spot_typed(project, typed, &target->spot, err);
    if (r < 0)
        return r;
    if (fstat(store_fd(project->store), &store) < 0)
        return err_errno(err, -errno, "cannot look at the store");
    r = spot_is_within(target->spot.parent, &store);
    if (r < 0)
        return err_path(err, r, target->spot.path, "look at");
    if (r == 0)
        return 0;
    err_path(err, -EINVAL, target->spot.path, "export into the store, to");
    return err_failure(err, SNAP_FAILURE_USAGE);
}

static int refuse_taken(const struct target *target, struct snap_err *err) {
    err_path(err, -EEXIST, target->spot.path, "export to");
    return err_hint(err, "choose another name, or replace the file with --overwrite");
}

/* 1 = there is nothing to make: it is written in place. */
static int look_there(struct target *target, struct snap_err *err) {
    struct stat there;
    const char *path = target->spot.path;
    int r = fstatat(target->spot.parent, target->spot.name, &there, 0);
    if (r < 0 && errno == ENOENT)         /* or a symlink to nothing */
        r = fstatat(target->spot.parent, target->spot.name, &there, AT_SYMLINK_NOFOLLOW);
    if (r < 0)
        return errno == ENOENT ? 0 : err_path(err, -errno, path, "look at");
    if (S_ISDIR(there.st_mode)) {
        err_path(err, -EISDIR, path, "export to");
        return err_hint(err, "choose a name in it");
    }
    if (S_ISREG(there.st_mode) || S_ISLNK(there.st_mode))
        return target->overwrite ? 0 : refuse_taken(target, err);
    target->fd = openat(target->spot.parent, target->spot.name, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    target->in_place = true;
    return target->fd < 0 ? err_path(err, -errno, path, "open") : 1;
}

/* The directory itself may be unable to hold unnamed files, or the kernel to name them later. */
static int make_file(struct target *target, struct snap_err *err) {
    target->fd = openat(target->spot.parent, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    if (target->fd >= 0 && access("/proc/self/fd", X_OK) == 0)
        return 0;
    close_fd(&target->fd);
    int r = name_temporary(target, err);
    if (r < 0)
        return r;
    target->fd = openat(target->spot.parent, target->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (target->fd >= 0)
        return 0;
    r = -errno;
    free(TAKE_PTR(target->temporary));
    return err_path(err, r, target->spot.path, "create");
}

int target_open(struct snap_project *project, const char *typed, bool overwrite, struct target *ret, struct snap_err *err) {
    _target_ struct target target = TARGET_NONE;
    target.overwrite = overwrite;
    int r = find_spot(project, typed, &target, err);
    if (r == 0)
        r = look_there(&target, err);
    if (r == 0)
        r = make_file(&target, err);
    if (r < 0)
        return r;
    *ret = target;
    target = (struct target)TARGET_NONE;
    return 0;
}

static int make_directory(struct target *target, mode_t mode, struct snap_err *err) {
    int r = name_temporary(target, err);
    if (r < 0)
        return r;
    if (mkdirat(target->spot.parent, target->temporary, mode) < 0) {
        r = -errno;
        free(TAKE_PTR(target->temporary));
        return err_path(err, r, target->spot.path, "create");
    }
    target->fd = openat(target->spot.parent, target->temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return target->fd < 0 ? err_path(err, -errno, target->spot.path, "create") : 0;
}

int target_open_directory(struct snap_project *project, const char *typed, struct target *ret, struct snap_err *err) {
    _target_ struct target target = TARGET_NONE;
    struct stat there;
    int r = find_spot(project, typed, &target, err);
    if (r < 0)
        return r;
    if (fstatat(target.spot.parent, target.spot.name, &there, AT_SYMLINK_NOFOLLOW) == 0) {
        err_path(err, -EEXIST, target.spot.path, "export to");
        return err_hint(err, "choose another name, or remove what is there");
    }
    if ((r = make_directory(&target, 0777, err)) < 0)
        return r;
    *ret = target;
    target = (struct target)TARGET_NONE;
    return 0;
}

int target_open_scratch(struct snap_project *project, const char *typed, struct target *ret, struct snap_err *err) {
    _target_ struct target target = TARGET_NONE;
    _buf_ struct buf place = {0};
    const char *temporary = getenv("TMPDIR");
    buf_fmt(&place, "%s/image", temporary && *temporary ? temporary : "/tmp");
    if (place.failed)
        return err_nomem(err);
    int r = find_spot(project, typed ? typed : place.data, &target, err);
    if (r == 0)
        r = make_directory(&target, 0700, err);
    if (r < 0)
        return r;
    *ret = target;
    target = (struct target)TARGET_NONE;
    return 0;
}

void target_borrow(int fd, struct target *ret) {
    *ret = (struct target)TARGET_NONE;
    ret->fd = fd;
    ret->borrowed = true;
}

/* Gives an unnamed file a name. */
static int link_as(const struct target *target, const char *name) {
    char link[40];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", target->fd);
    return linkat(AT_FDCWD, link, target->spot.parent, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int rename_temporary(struct target *target, struct snap_err *err) {
    const struct spot *spot = &target->spot;
    int r = renameat2(spot->parent, target->temporary, spot->parent, spot->name, target->overwrite ? 0 : RENAME_NOREPLACE) < 0 ? -errno : 0;
    if (r == -EINVAL || r == -ENOSYS) {        /* the file system cannot look and rename at once */
        struct stat there;
        bool taken = !target->overwrite && fstatat(spot->parent, spot->name, &there, AT_SYMLINK_NOFOLLOW) == 0;
        r = taken ? -EEXIST : renameat(spot->parent, target->temporary, spot->parent, spot->name) < 0 ? -errno : 0;
    }
    if (r < 0)
        return r == -EEXIST ? refuse_taken(target, err) : err_path(err, r, spot->path, "put the export in the place of");
    free(TAKE_PTR(target->temporary));
    return 0;
}

static int take_name(struct target *target, struct snap_err *err) {
    if (target->temporary)
        return rename_temporary(target, err);
    int r = link_as(target, target->spot.name);
    if (r == -EEXIST && !target->overwrite)
        return refuse_taken(target, err);
    if (r == -EEXIST) {
        r = name_temporary(target, err);
        if (r < 0)
            return r;
        r = link_as(target, target->temporary);
        if (r == 0)
            return rename_temporary(target, err);
        free(TAKE_PTR(target->temporary));
    }
    return r < 0 ? err_path(err, r, target->spot.path, "name the export") : 0;
}

static int sync_place(const struct target *target) {
    return fsync(target->spot.parent) < 0 && errno != EINVAL && errno != EROFS ? -errno : 0;
}

int target_commit(struct target *target, struct snap_err *err) {
    if (target->borrowed || target->in_place)
        return 0;
    struct stat stat;
    bool directory = fstat(target->fd, &stat) == 0 && S_ISDIR(stat.st_mode);
    if ((directory ? syncfs(target->fd) : fsync(target->fd)) < 0)
        return err_path(err, -errno, target->spot.path, "flush");
    int r = hook("export.flushed", target->spot.path);
    if (r < 0)
        return err_errno(err, r, "stopped at export.flushed");
    r = take_name(target, err);
    if (r < 0)
        return r;
    r = sync_place(target);
    return r < 0 ? err_path(err, r, target->spot.path, "flush the directory of") : 0;
}
