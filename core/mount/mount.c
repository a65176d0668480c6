/* One mount from its beginning to its end: mounted, answering, stopped, unmounted.
 *
 * The calling thread waits: for the end that a worker saw (the kernel closed the connection: unmounted), for a signal, for mount_stop,
 * and now and then asks whether what is served is still there. SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

enum { IDLE_FILES = 128, WORKERS_MOST = 64, ASK_EVERY_MS = 2000, DRAIN_MS = 10000 };

/* What libfuse has to say goes into the error that is being made, or to the log. One mount is being made at a time. */
static pthread_mutex_t said_lock = PTHREAD_MUTEX_INITIALIZER;
static char said[512];
static bool debugging;

__attribute__((format(printf, 2, 0))) static void hear(enum fuse_log_level level, const char *format, va_list arguments) {
    if (level == FUSE_LOG_DEBUG || debugging) {
        (void)vfprintf(stderr, format, arguments);
        return;
    }
    pthread_mutex_lock(&said_lock);
    int size = vsnprintf(said, sizeof(said), format, arguments);
    if (size > 0 && (size_t)size < sizeof(said) && said[size - 1] == '\n')
        said[size - 1] = '\0';
    pthread_mutex_unlock(&said_lock);
}

static int fail_as_heard(struct snap_err *err, int code, const char *doing) {
    char sentence[sizeof(said)];
    pthread_mutex_lock(&said_lock);
    memcpy(sentence, said, sizeof(said));
    pthread_mutex_unlock(&said_lock);
    const char *what = strncmp(sentence, "fuse: ", 6) == 0 ? sentence + 6 : sentence;
    return *what ? err_set(err, code, "%s: %s", doing, what) : err_set(err, code, "%s", doing);
}

struct ends {                             /* what the calling thread waits for */
    int signals, event;
    sigset_t caught, before;
};

static void add_signal(sigset_t *set, int number) {
    struct sigaction action;
    if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
        (void)sigaddset(set, number);
}

static int ends_open(struct ends *ends, struct snap_err *err) {
    (void)sigemptyset(&ends->caught);
    add_signal(&ends->caught, SIGTERM);
    add_signal(&ends->caught, SIGINT);
    add_signal(&ends->caught, SIGHUP);
    ends->event = eventfd(0, EFD_CLOEXEC);
    ends->signals = signalfd(-1, &ends->caught, SFD_CLOEXEC);
    if (ends->event < 0 || ends->signals < 0)
        return err_errno(err, -errno, "cannot wait for signals");
    int r = pthread_sigmask(SIG_BLOCK, &ends->caught, &ends->before);
    return r ? err_errno(err, -r, "cannot hold signals back") : 0;
}

static void ends_close(struct ends *ends) {
    struct timespec at_once = {0};
    while (sigtimedwait(&ends->caught, NULL, &at_once) > 0)
        continue;                         /* a second SIGTERM while it ended: that is done */
    (void)pthread_sigmask(SIG_SETMASK, &ends->before, NULL);
    ends->event = fd_close(ends->event);
    ends->signals = fd_close(ends->signals);
}

static int make_session(struct mount *mount, struct snap_err *err) {
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    struct fuse_lowlevel_ops operations = { .init = init_connection };
    names_operations(&operations);
    attributes_operations(&operations);
    listing_operations(&operations);
    files_operations(&operations);
    fuse_set_log_func(hear);
    said[0] = '\0';
    debugging = mount->options->flags & MOUNT_DEBUG;
    int r = init_arguments(mount, &args);
    if (r == 0)
        mount->session = fuse_session_new(&args, &operations, sizeof(operations), mount);
    fuse_opt_free_args(&args);
    if (r < 0)
        return err_nomem(err);
    return mount->session ? 0 : fail_as_heard(err, -EINVAL, "the mount options are not understood");
}

static int find_point(struct mount *mount, struct snap_err *err) {
    struct stat there;
    struct statfs asked;                  /* attributes may still be remembered of a mount that answers no more */
    const char *given = mount->options->mountpoint;
    int r = stat(given, &there) < 0 || statfs(given, &asked) < 0 ? -errno : S_ISDIR(there.st_mode) ? 0 : -ENOTDIR;
    if (r < 0)
        err_path(err, r, given, "mount on");
    if (r == -ENOTCONN)
        err_hint(err, "a mount whose program is gone; clear it with: umount %s", given);
    if (r < 0)
        return r;
    mount->point = realpath(given, NULL);
    return mount->point ? 0 : err_path(err, -errno, given, "mount on");
}

static int attach(struct mount *mount, struct snap_err *err) {
    if (fuse_session_mount(mount->session, mount->point) < 0) {
        _buf_ struct buf doing = {0};
        buf_fmt(&doing, "cannot mount on '%s'", mount->options->mountpoint);
        return fail_as_heard(err, -EPERM, doing.failed ? "cannot mount" : doing.data);
    }
    mount->device_fd = fuse_session_fd(mount->session);
    return init_io(mount, err);
}

/* It answers when its root does. */
static int see_answer(struct mount *mount, struct snap_err *err) {
    struct stat root;
    _close_ int fd = open(mount->point, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &root) < 0)
        return err_path(err, -errno, mount->point, "reach the new mount on");
    mount->device = root.st_dev;
    return 0;
}

static int begin(struct mount *mount, struct snap_err *err) {
    const struct mount_options *options = mount->options;
    int r = loop_start(mount, err);
    if (r == 0)
        r = see_answer(mount, err);
    if (r == 0 && mount->follow)
        r = follow_start(mount, err);
    if (r == 0 && options->on_ready)
        r = options->on_ready(options->data, mount, err);
    if (r == 0 && options->ready)
        r = detach_tell(options->ready, err);
    return r;
}

/* Until there is a reason to end. */
static enum mount_end wait_for_end(const struct mount *mount, const struct ends *ends) {
    struct pollfd polled[2] = { { .fd = ends->event, .events = POLLIN }, { .fd = ends->signals, .events = POLLIN } };
    for (;;) {
        int n = poll(polled, 2, mount->options->still_there ? ASK_EVERY_MS : -1);
        if (n == 0 && mount->options->still_there(mount->options->data) == 0)
            return MOUNT_GONE;
        if (n < 0 && errno != EINTR)
            return MOUNT_STOPPED;
        if (n > 0 && (polled[1].revents & POLLIN))
            return MOUNT_STOPPED;
        if (n > 0 && (polled[0].revents & POLLIN))
            return fuse_session_exited(mount->session) ? MOUNT_UNMOUNTED : MOUNT_STOPPED;
    }
}

/* Whether the kernel has ended the connection, after `timeout` milliseconds at most. */
static bool is_over(const struct mount *mount, int timeout) {
    struct pollfd polled = { .fd = mount->device_fd, .events = 0 };
    int n;
    do
        n = poll(&polled, 1, timeout);
    while (n < 0 && errno == EINTR);
    return n > 0 && (polled.revents & POLLERR);
}

/* How many requests wait for an answer; 0 where that cannot be known. */
static unsigned long pending(const struct mount *mount) {
    char path[64], text[32] = {0};
    (void)snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/waiting", minor(mount->device));
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
        return 0;
    return strtoul(text, NULL, 10);
}

/* Busy: off the tree at once, so that nobody new comes; what programs wrote is collected; then those inside lose the connection. */
static void detach_busy(struct mount *mount) {
    _close_ int fd = open(mount->point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (unmount_here(mount, true) < 0)
        return;
    if (fd >= 0)
        (void)syncfs(fd);                 /* the workers go on answering; what fails here, fsync would have told */
    for (int waited = 0; pending(mount) > 0 && waited < DRAIN_MS && !is_over(mount, 10); waited += 10)
        continue;
}

/* While the workers go on answering: unmounting writes what the kernel has collected. */
static void release_mount(struct mount *mount) {
    if (is_over(mount, 0) && mount->device == 0)
        return;
    if (unmount_here(mount, false) == 0)
        (void)is_over(mount, DRAIN_MS);
    else
        detach_busy(mount);
}

static void log_failure(const struct mount *mount, int failure) {
    _buf_ struct buf sentence = {0};
    if (failure == 0 || !mount->options->log)
        return;
    buf_fmt(&sentence, "the connection with the kernel failed: %s", strerror(-failure));
    if (!sentence.failed)
        mount->options->log(mount->options->data, sentence.data);
}

static int run(struct mount *mount, const struct ends *ends, enum mount_end *ret_end, struct snap_err *err) {
    int r = attach(mount, err);
    if (r < 0)
        return r;
    r = begin(mount, err);
    enum mount_end end = r == 0 ? wait_for_end(mount, ends) : MOUNT_STOPPED;
    if (mount->options->on_end)
        mount->options->on_end(mount->options->data);
    if (end != MOUNT_UNMOUNTED || !is_over(mount, 0) || mount->failure)
        release_mount(mount);
    follow_stop(mount);
    loop_join(mount);
    log_failure(mount, mount->failure);
    if (r == 0 && ret_end)
        *ret_end = end;
    return r;
}

/* libfuse unmounts by path, whatever lies there: only once there is nothing left to unmount. */
static void mount_done(struct mount *mount) {
    mount->files = open_files_free(mount->files);
    listings_done(mount);
    follow_free(mount);
    if (mount->device_fd >= 0 && is_over(mount, 0))
        fuse_session_unmount(mount->session);
    if (mount->session)
        fuse_session_destroy(mount->session);
    free(mount->point);
}

static void mount_init(struct mount *mount, const struct mount_options *options) {
    bool read_only = options->flags & MOUNT_READ_ONLY;
    *mount = (struct mount){
        .options = options, .overlay = options->overlay, .device_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER,
        .gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER },
        .call = PTHREAD_COND_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER,
        .worker_limit = options->threads ? options->threads : WORKERS_MOST,
        .immutable = read_only && (options->flags & MOUNT_IMMUTABLE), .frozen = options->flags & MOUNT_FROZEN,
    };
    mount->keep = mount->immutable || mount->frozen ? KEEP_FOR_EVER : 0;
    mount->keep_absent = options->flags & MOUNT_FOLLOW ? KEEP_FOR_EVER : mount->keep;
    mount->openless = mount->immutable || mount->frozen;
}

int mount_serve(const struct mount_options *options, enum mount_end *ret_end, struct snap_err *err) {
    struct ends ends = { .signals = -1, .event = -1 };
    struct mount mount;
    mount_init(&mount, options);
    mount.files = open_files_new(options->overlay, IDLE_FILES, options->flags & MOUNT_READ_ONLY);
    int r = mount.files ? find_point(&mount, err) : err_nomem(err);
    if (r == 0 && options->flags & MOUNT_FOLLOW && (r = follow_new(&mount)) < 0)
        err_errno(err, r, "cannot follow what changes below");
    if (r == 0)
        r = make_session(&mount, err);
    if (r == 0)
        r = ends_open(&ends, err);
    mount.end_event = ends.event;
    if (r == 0)
        r = run(&mount, &ends, ret_end, err);
    ends_close(&ends);
    mount_done(&mount);
    return r;
}

int mount_stop(struct mount *mount) {
    return eventfd_write(mount->end_event, 1) < 0 ? -errno : 0;
}
