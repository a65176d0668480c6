/* Unmounting: with the right to do so by a system call, else by fusermount3. SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

#include <spawn.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

extern char **environ;

/* Quiet: a sentence of our own says it. */
static int run_fusermount(const char *point, bool lazy) {
    const char *const words[] = { "fusermount3", "-u", lazy ? "-qz" : "-q", "--", point, NULL };
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status;
    int r = posix_spawn_file_actions_init(&actions);
    if (r)
        return -r;
    r = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", 1 /* O_WRONLY */, 0);
    if (r == 0)
        r = posix_spawnp(&pid, words[0], &actions, NULL, (char *const *)(uintptr_t)words, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (r)
        return -r;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

static int unmount(const char *point, bool lazy) {
    if (umount2(point, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        return 0;
    return errno == EPERM ? run_fusermount(point, lazy) : -errno;
}

/* Only what we mounted: something may lie over it, or have taken its place. */
int unmount_here(const struct mount *mount, bool lazy) {
    struct stat root;
    bool dead = stat(mount->point, &root) < 0;
    if (dead && errno != ENOTCONN)
        return -errno;
    if (!dead && mount->device && root.st_dev != mount->device)
        return -EBUSY;
    return unmount(mount->point, lazy);
}

int mount_end_at(const char *mountpoint, bool lazy, struct snap_err *err) {
    int r = unmount(mountpoint, lazy);
    return r < 0 ? err_path(err, r, mountpoint, "unmount") : 0;
}
