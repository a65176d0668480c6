/* A workspace at its project's own path, for one process and what it starts: a mount namespace in which the workspace's mount
 * lies over the project, so that absolute paths, build caches and virtual environments work.
 *
 * The mount itself is made outside, as any other, and bound here. Made inside it would be seen by nobody else: no `mount` would
 * list it, no `umount` clear it after a crash, and the process that serves it would live in the namespace of the command that it
 * has to outlive. What is mounted outside later still appears inside; nothing leads the other way.
 * Starts nothing, and goes nowhere: the caller changes its directory. SPDX-License-Identifier: GPL-2.0-or-later */
#include "err.h"
#include "fs.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

static int write_map(const char *path, const char *text, struct snap_err *err) {
    _close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : fs_write_all(fd, text, strlen(text));
    return r < 0 ? err_path(err, r, path, "write") : 0;
}

/* The caller's own ids and no others: files that the command makes belong to who called it. */
static int map_own_ids(uid_t user, gid_t group, struct snap_err *err) {
    char users[40], groups[40];
    (void)snprintf(users, sizeof(users), "%u %u 1", (unsigned)user, (unsigned)user);
    (void)snprintf(groups, sizeof(groups), "%u %u 1", (unsigned)group, (unsigned)group);
    int r = write_map("/proc/self/setgroups", "deny", err);         /* or groups could be dropped that forbid something */
    if (r == 0)
        r = write_map("/proc/self/uid_map", users, err);
    return r < 0 ? r : write_map("/proc/self/gid_map", groups, err);
}

/* Who may mount needs no other user namespace, and keeps all rights. */
static int leave_namespaces(struct snap_err *err) {
    uid_t user = geteuid();
    gid_t group = getegid();
    if (unshare(CLONE_NEWNS) == 0)
        return 0;
    if (errno != EPERM)
        return err_errno(err, -errno, "cannot make a mount namespace");
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return err_errno(err, -errno, "cannot make a user namespace");
    return map_own_ids(user, group, err);
}

/* The workspace at the project's path, and the project where the workspace is mounted outside: there `--project` finds it. */
static int exchange(const char *dir, const char *root, struct snap_err *err) {
    char below[40];
    _close_ int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_path(err, -errno, root, "open the project");
    (void)snprintf(below, sizeof(below), "/proc/self/fd/%d", fd);
    if (mount(dir, root, NULL, MS_BIND, NULL) < 0)
        return err_path(err, -errno, root, "mount the workspace on");
    if (mount(below, dir, NULL, MS_BIND, NULL) < 0)
        return err_path(err, -errno, dir, "mount the project on");
    return 0;
}

int snap_workspace_enter(const char *dir, const char *root, struct snap_err *error) {
    struct snap_err *err = error ? error : &(struct snap_err){0};
    int r = leave_namespaces(err);
    if (r < 0)
        return r;
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return err_errno(err, -errno, "cannot keep mounts apart from those outside");
    return exchange(dir, root, err);
}
