/* Watches that are asked for one by one. Keeps nothing but the instance: which watch means what, its caller knows.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "watch_each.h"

#include "fs.h"

#include <fcntl.h>
#include <inotifytools/inotify.h>
#include <stdio.h>
#include <sys/ioctl.h>

/* IN_CLOSE_WRITE: stores through a mapping are told by nothing else, and by this when the last of them is gone. */
#define EVENTS (IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF \
                | IN_MOVE_SELF)

enum { LEAST_SHARE = 1024 };

struct watch_each { int fd; };

int watch_each_open(struct watch_each **ret) {
    struct watch_each *each = malloc(sizeof(*each));
    if (!each)
        return -ENOMEM;
    each->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (each->fd < 0) {
        int r = -errno;
        free(each);
        return r;
    }
    *ret = each;
    return 0;
}

struct watch_each *watch_each_close(struct watch_each *each) {
    if (each)
        fd_close(each->fd);
    free(each);
    return NULL;
}

int watch_each_fd(const struct watch_each *each) {
    return each->fd;
}

unsigned watch_each_share(void) {
    _buf_ struct buf text = {0};
    int r = fs_read_file(AT_FDCWD, "/proc/sys/fs/inotify/max_user_watches", 64, &text);
    unsigned long all = r < 0 || !text.data ? 0 : strtoul(text.data, NULL, 10);
    unsigned long share = MAX(all / 2, (unsigned long)LEAST_SHARE);
    return (unsigned)MIN(share, (unsigned long)INT32_MAX);
}

int watch_each_add(struct watch_each *each, int fd) {
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int watch = inotify_add_watch(each->fd, path, EVENTS);
    return watch < 0 ? -errno : watch;
}

void watch_each_drop(struct watch_each *each, int watch) {
    (void)inotify_rm_watch(each->fd, watch);      /* it is gone already where its object is */
}

static unsigned what_of(uint32_t mask) {
    static const struct { uint32_t mask; unsigned what; } meanings[] = {
        { IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO, WATCH_EACH_NAME },
        { IN_MODIFY | IN_CLOSE_WRITE, WATCH_EACH_DATA },
        { IN_ATTRIB, WATCH_EACH_METADATA },
        { IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT, WATCH_EACH_PLACE },
        { IN_ISDIR, WATCH_EACH_IS_DIR },
        { IN_IGNORED, WATCH_EACH_ENDED },
        { IN_Q_OVERFLOW, WATCH_EACH_LOST },
    };
    unsigned what = 0;
    for (size_t i = 0; i < ELEMENTS(meanings); i++)
        what |= mask & meanings[i].mask ? meanings[i].what : 0;
    return what;
}

static int tell(const struct inotify_event *event, watch_each_fn fn, void *data) {
    bool lost = event->mask & IN_Q_OVERFLOW;
    const struct watch_each_event told = {
        .watch = lost ? 0 : event->wd, .what = what_of(event->mask), .name = event->len && event->name[0] ? event->name : NULL,
    };
    return fn(data, &told);
}

/* As much as was there at the beginning, so that a writer who never stops holds nobody up. */
int watch_each_read(struct watch_each *each, watch_each_fn fn, void *data) {
    char block[16 * 1024] __attribute__((aligned(8)));
    int left;
    if (ioctl(each->fd, FIONREAD, &left) < 0)
        return -errno;
    while (left > 0) {
        ssize_t got = read(each->fd, block, sizeof(block));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 || errno == EAGAIN ? 0 : -errno;
        left -= (int)got;
        for (const char *at = block; at < block + got;) {
            const struct inotify_event *event = (const void *)at;
            at += sizeof(*event) + event->len;
            int r = tell(event, fn, data);
            if (r < 0)
                return r;
        }
    }
    return 0;
}
