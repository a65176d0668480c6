/* Into the background: the parent returns when the mount answers. SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

#include "fs.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

struct mount_ready { int pipe; };         /* a whole struct snap_err, code 0: ready */

static int null_onto(int first, int last, struct snap_err *err) {
    _close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = first; fd <= last; fd++)
        if (null < 0 || dup2(null, fd) < 0)
            return err_path(err, -errno, "/dev/null", "open");
    return 0;
}

/* The parent is told last: from then on a failure could be told to nobody. */
int ready_tell(struct mount_ready *ready, struct snap_err *err) {
    struct snap_err fine = {0};
    if (chdir("/") < 0)
        return err_path(err, -errno, "/", "change to");
    int r = null_onto(STDERR_FILENO, STDERR_FILENO, err);
    if (r < 0)
        return r;
    r = fs_write_all(ready->pipe, &fine, sizeof(fine));
    ready->pipe = fd_close(ready->pipe);
    return r < 0 ? err_errno(err, r, "whoever mounts is gone") : 0;
}

__attribute__((noreturn)) static void be_child(int (*serve)(void *data, struct mount_ready *ready, struct snap_err *err), void *data, int pipe) {
    struct mount_ready ready = { .pipe = pipe };
    struct snap_err err = {0};
    int r = setsid() < 0 ? err_errno(&err, -errno, "cannot start a session") : null_onto(STDIN_FILENO, STDOUT_FILENO, &err);
    if (r == 0)
        r = serve(data, &ready, &err);
    if (r < 0 && ready.pipe >= 0) {
        if (!err.code)
            err_errno(&err, r, "cannot mount");
        (void)fs_write_all(ready.pipe, &err, sizeof(err));     /* fails: nobody listens any more */
    }
    exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int hear_child(int pipe, pid_t child, struct snap_err *err) {
    struct snap_err said;
    _buf_ struct buf heard = {0};
    int status, r = fs_read_all(pipe, sizeof(said), &heard);
    if (r < 0)
        return err_errno(err, r, "cannot listen to the mount's program");
    if (heard.size == sizeof(said)) {
        memcpy(&said, heard.data, sizeof(said));
        if (said.code == 0)
            return 0;
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (heard.size != sizeof(said))
        return err_set(err, -EIO, "the mount's program ended before it was ready");
    if (err)
        *err = said;
    return said.code;
}

int mount_detach(int (*serve)(void *data, struct mount_ready *ready, struct snap_err *err), void *data, pid_t *ret_pid, struct snap_err *err) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, -errno, "cannot make a pipe");
    pid_t child = fork();
    if (child == 0) {
        (void)close(ends[0]);
        be_child(serve, data, ends[1]);
    }
    int failed = -errno;
    (void)close(ends[1]);
    int r = child < 0 ? err_errno(err, failed, "cannot start a process") : hear_child(ends[0], child, err);
    (void)close(ends[0]);
    if (r == 0 && ret_pid)
        *ret_pid = child;
    return r;
}
