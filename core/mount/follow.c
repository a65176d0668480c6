/* Following: one thread hears from the overlay what changed underneath, and takes it from the kernel. It answers no request but one,
 * the barrier, and holds no lock while the kernel is told: the kernel may wait for answers that others are giving.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

enum { AGAIN_MS = 100 };                  /* after what did not succeed for want of memory */

/* Somebody who waits until everything that happened before is told. */
struct barrier { fuse_req_t request; size_t room; struct barrier *next; };

struct follow {
    struct mount *mount;
    pthread_t thread;
    bool started;
    int wake;                             /* eventfd */
    pthread_mutex_t lock;                 /* what follows. A leaf */
    struct barrier *waiting;
    bool stop;
};

static int forget_one(struct mount *mount, const struct overlay_stale *stale) {
    switch (stale->kind) {
    case OVERLAY_STALE_NAME: return mount_expire_name(mount, stale->node, stale->name);
    case OVERLAY_STALE_DROP: return fuse_lowlevel_notify_inval_entry(mount->session, stale->node, stale->name, strlen(stale->name));
    case OVERLAY_STALE_ATTRIBUTES: return fuse_lowlevel_notify_inval_inode(mount->session, stale->node, -1, 0);
    case OVERLAY_STALE_DATA: return fuse_lowlevel_notify_inval_inode(mount->session, stale->node, 0, 0);
    case OVERLAY_STALE_ALL_NAMES: return mount_forget_names(mount);
    }
    return -EINVAL;
}

static int forget(void *data, const struct overlay_stale *stale) {
    int r = forget_one(data, stale);
    return r == -ENOENT || r == -ENOTDIR ? 1 : r;
}

static void answer(const struct mount *mount, const struct barrier *barrier, int result) {
    struct overlay_following now;
    char text[128];
    overlay_following(mount->overlay, &now);
    size_t size = (size_t)snprintf(text, sizeof(text), "watches=%llu uncovered=%llu lost=%llu events=%llu", (unsigned long long)now.watches,
                                   (unsigned long long)now.uncovered, (unsigned long long)now.lost, (unsigned long long)now.events);
    if (result < 0)
        reply_result(barrier->request, result);
    else if (barrier->room == 0)
        (void)fuse_reply_xattr(barrier->request, size);
    else if (barrier->room < size)
        reply_result(barrier->request, -ERANGE);
    else
        (void)fuse_reply_buf(barrier->request, text, size);
}

static void answer_all(const struct mount *mount, struct barrier *barriers, int result) {
    for (struct barrier *barrier = barriers, *next; barrier; barrier = next) {
        next = barrier->next;
        answer(mount, barrier, result);
        free(barrier);
    }
}

static struct barrier *take_waiting(struct follow *follow, bool *ret_stop) {
    pthread_mutex_lock(&follow->lock);
    struct barrier *barriers = TAKE_PTR(follow->waiting);
    *ret_stop = follow->stop;
    pthread_mutex_unlock(&follow->lock);
    return barriers;
}

static bool is_over(int r) { return r == -ENOTCONN || r == -ENODEV || r == -EBADF; }

static void *run(void *data) {
    struct follow *follow = data;
    struct mount *mount = follow->mount;
    struct pollfd polled[2] = { { .fd = overlay_follow_fd(mount->overlay), .events = POLLIN }, { .fd = follow->wake, .events = POLLIN } };
    bool stop = false;
    int r = 0;
    while (!stop && !is_over(r)) {
        bool again = r < 0;                    /* what is readable stays so */
        if (poll(again ? &polled[1] : polled, again ? 1 : 2, again ? AGAIN_MS : -1) < 0 && errno != EINTR)
            break;
        eventfd_t count;
        (void)eventfd_read(follow->wake, &count);      /* before those who woke us are taken */
        struct barrier *barriers = take_waiting(follow, &stop);
        if (!stop)
            r = overlay_tell(mount->overlay, forget, mount);
        answer_all(mount, barriers, stop ? -ENOTCONN : r);
    }
    return NULL;
}

void follow_barrier(struct mount *mount, fuse_req_t request, size_t room) {
    struct follow *follow = mount->follow;
    struct barrier *barrier = malloc(sizeof(*barrier));
    if (!barrier) {
        reply_result(request, -ENOMEM);
        return;
    }
    *barrier = (struct barrier){ .request = request, .room = room };
    pthread_mutex_lock(&follow->lock);
    bool stop = follow->stop;
    barrier->next = follow->waiting;
    if (!stop)
        follow->waiting = barrier;
    pthread_mutex_unlock(&follow->lock);
    if (stop) {
        reply_result(request, -ENOTCONN);
        free(barrier);
        return;
    }
    (void)eventfd_write(follow->wake, 1);
}

int follow_start(struct mount *mount, struct snap_err *err) {
    struct follow *follow = mount->follow;
    /* What was absent cannot be enumerated: without this, what may have been missed is not remembered for long. */
    if (mount_forget_names(mount) == -ENOSYS)
        mount->keep_absent = KEEP_ABSENT_S;
    int r = loop_create_thread(&follow->thread, run, follow);
    follow->started = r == 0;
    return r < 0 ? err_errno(err, r, "cannot start a thread") : 0;
}

void follow_stop(struct mount *mount) {
    struct follow *follow = mount->follow;
    if (!follow)
        return;
    pthread_mutex_lock(&follow->lock);
    follow->stop = true;
    pthread_mutex_unlock(&follow->lock);
    if (!follow->started)
        return;
    (void)eventfd_write(follow->wake, 1);
    (void)pthread_join(follow->thread, NULL);
    follow->started = false;
}

int follow_new(struct mount *mount) {
    struct follow *follow = calloc(1, sizeof(*follow));
    if (!follow)
        return -ENOMEM;
    *follow = (struct follow){ .mount = mount, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
    if (follow->wake < 0) {
        int r = -errno;
        free(follow);
        return r;
    }
    mount->follow = follow;
    return 0;
}

void follow_free(struct mount *mount) {
    struct follow *follow = TAKE_PTR(mount->follow);
    if (!follow)
        return;
    answer_all(mount, TAKE_PTR(follow->waiting), -ENOTCONN);
    fd_close(follow->wake);
    free(follow);
}
