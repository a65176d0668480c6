/* The store's lock: flock on run/lock, whose text names the holder for whoever fails to get it.
 * The text is a courtesy: who holds the lock is the kernel's word alone. SPDX-License-Identifier: GPL-2.0-or-later */
#include "lock.h"

#include "quote.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

static const char NAME[] = "lock";
enum { COMMAND_SHOWN = 200, TEXT_MAX = 1024 };

static int open_lock(int run_fd, struct snap_err *err) {
    int fd = openat(run_fd, NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? err_errno(err, -errno, "cannot open the store's lock file") : fd;
}

/* Somebody may have removed the file and made another: then this lock excludes nobody. */
static bool still_there(int run_fd, int fd) {
    struct stat held, named;
    return fstat(fd, &held) == 0 && fstatat(run_fd, NAME, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

/* "1234 (snapctl take)"; nothing if the text is not that of a running process: the new holder has not written his yet. */
static void read_holder(int fd, struct buf *ret) {
    char text[TEXT_MAX + 1];
    ssize_t size = pread(fd, text, TEXT_MAX, 0);
    if (size <= 0)
        return;
    text[size] = '\0';
    text[strcspn(text, "\n")] = '\0';
    char *command = NULL;
    long pid = strtol(text, &command, 10);
    if (pid <= 0 || pid != (pid_t)pid || *command != ' ' || (kill((pid_t)pid, 0) < 0 && errno == ESRCH))
        return;
    buf_fmt(ret, "%ld (", pid);
    quote_display(ret, command + 1, MIN(strlen(command + 1), (size_t)COMMAND_SHOWN));
    buf_char(ret, ')');
}

static int held_by_another(int fd, struct snap_err *err) {
    _buf_ struct buf holder = {0};
    read_holder(fd, &holder);
    if (holder.size > 0 && !holder.failed)
        err_set(err, -EBUSY, "the store is locked by pid %s", holder.data);
    else
        err_set(err, -EBUSY, "the store is locked by another command");
    err_failure(err, SNAP_FAILURE_LOCKED);
    err_hint(err, "wait for it, or use --wait");
    return -EBUSY;
}

static int cancelled(struct snap_err *err) {
    err_set(err, -ECANCELED, "interrupted while waiting for the store's lock");
    err_failure(err, SNAP_FAILURE_INTERRUPTED);
    return -ECANCELED;
}

static int take(int fd, enum store_lock how, const volatile sig_atomic_t *cancel, struct snap_err *err) {
    for (;;) {
        if (cancel && *cancel)
            return cancelled(err);
        if (flock(fd, how == STORE_LOCK_WAIT ? LOCK_EX : LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno == EWOULDBLOCK)
            return held_by_another(fd, err);
        if (errno != EINTR)
            return err_errno(err, -errno, "cannot lock the store");
    }
}

/* Best effort: without the text the next one only learns less. The line goes in at once, so that nobody reads half of it. */
static void write_holder(int fd, const char *command) {
    _buf_ struct buf text = {0};
    buf_fmt(&text, "%ld %.*s", (long)getpid(), TEXT_MAX / 2, command ? command : "snapctl");
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == '\n')
            text.data[i] = ' ';
    buf_char(&text, '\n');
    if (text.failed || ftruncate(fd, 0) < 0)
        return;
    if (pwrite(fd, text.data, text.size, 0) != (ssize_t)text.size)
        (void)!ftruncate(fd, 0);
}

int lock_take(int run_fd, enum store_lock how, const char *command, const volatile sig_atomic_t *cancel, int *ret_fd, struct snap_err *err) {
    for (;;) {
        _close_ int fd = open_lock(run_fd, err);
        if (fd < 0)
            return fd;
        int code = take(fd, how, cancel, err);
        if (code < 0)
            return code;
        if (!still_there(run_fd, fd))
            continue;
        write_holder(fd, command);
        *ret_fd = TAKE_FD(fd);
        return 0;
    }
}

int lock_give(int fd) {
    if (fd < 0)
        return -1;
    (void)!ftruncate(fd, 0);                 /* a stale name is told from a true one anyway */
    return fd_close(fd);
}
