/* Watching by fanotify: one mark on the whole file system, directories told by file handle. Takes CAP_SYS_ADMIN.
 * What happens outside of the root is told as well, and dropped after one look in a table of directories met so far.
 *
 * Whether a directory lies below the root is found by going up from it; the answers hold until some directory moves.
 * Cost: nothing a directory that nobody touches; memory about 300 bytes for each that somebody did, as long as it is there.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "backend.h"
#include "fs.h"
#include "map.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>

#define EVENTS (FAN_CREATE | FAN_DELETE | FAN_MODIFY | FAN_CLOSE_WRITE | FAN_ATTRIB | FAN_MOVED_FROM | FAN_MOVED_TO | FAN_ONDIR)
#define KNOWN_MAX (1u << 20)              /* directories remembered: without them nobody can say where the ones told of are */
#define KNOWN_LEAST 4096                  /* before it is worth looking which of them are gone */

struct met {                              /* a directory, by its handle */
    struct watch_inode inode;
    int64_t birth;                        /* its number may be given to another one */
    bool below;                           /* the root, or below it and on its mount */
    unsigned moves;                       /* when that was found out */
    char handle[];
};
struct fanotify {
    struct watch watch;
    struct map *by_handle;                /* owns */
    struct map *by_inode;
    unsigned moves;                       /* of directories so far: each may have changed what lies where */
    size_t room;                          /* how many are remembered before those that are gone are looked for */
};

static struct fanotify *of(struct watch *watch) {
    return (struct fanotify *)(void *)watch;
}

static void forget_all(struct fanotify *fan) {
    fan->by_inode = map_free(fan->by_inode, NULL);
    fan->by_handle = map_free(fan->by_handle, free);
    fan->by_handle = map_new();
    fan->by_inode = map_new();
}

/* Is this open directory the root, or below it? 1, 0, negative errno. Goes up to the root of the file system at most. */
static int is_below(struct fanotify *fan, int fd, const struct watch_seen *seen) {
    struct watch_seen at = *seen;
    _close_ int up = -1;
    while (!watch_same(at.inode, fan->watch.root)) {
        const struct met *met = map_get(fan->by_inode, &at.inode, sizeof(at.inode));
        if (met && met->moves == fan->moves && met->birth == at.birth)
            return met->below;
        struct watch_seen above;
        int next = openat(up < 0 ? fd : up, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (next < 0)
            return -errno;
        fd_close(up);
        up = next;
        int r = watch_look(up, "", &above);
        if (r < 0)
            return r;
        if (watch_same(above.inode, at.inode) || above.inode.device != at.inode.device)
            return 0;
        at = above;
    }
    return 1;
}

static int open_handle(struct fanotify *fan, const void *handle) {
    int fd = open_by_handle_at(fan->watch.options.root, (struct file_handle *)(uintptr_t)handle, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* 1 and what it is, 0 = it is gone: that is told in the directory above. */
static int look_up(struct fanotify *fan, const struct file_handle *handle, struct watch_seen *ret, bool *ret_below) {
    struct watch_seen seen;
    _close_ int fd = open_handle(fan, handle);
    int below = fd < 0 || watch_look(fd, "", &seen) < 0 ? -ENOENT : is_below(fan, fd, &seen);
    if (below < 0)
        return 0;
    *ret = seen;
    *ret_below = below;
    return 1;
}

static int start_over(struct fanotify *fan) {
    forget_all(fan);
    return watch_tell(&fan->watch, WATCH_LOST, fan->watch.root, NULL);
}

static bool is_needed(struct fanotify *fan, const struct met *met) {
    _close_ int fd = met->below ? open_handle(fan, met->handle) : -1;
    return fd >= 0;
}

static void drop(struct fanotify *fan, const void *handle, size_t size) {
    struct met *met = map_remove(fan->by_handle, handle, size);
    if (met && map_get(fan->by_inode, &met->inode, sizeof(met->inode)) == met)
        (void)map_remove(fan->by_inode, &met->inode, sizeof(met->inode));
    free(met);
}

/* What was removed since, or lies elsewhere, nobody asks for. Two passes: nothing may be removed during one. */
static int make_room(struct fanotify *fan) {
    _buf_ struct buf gone = {0};
    for (struct map_iter i = {0}; map_next(fan->by_handle, &i);) {
        if (is_needed(fan, i.value))
            continue;
        buf_u32(&gone, (uint32_t)i.key_size);
        buf_add(&gone, i.key, i.key_size);
    }
    struct bufread at = { .at = (uint8_t *)gone.data, .end = (uint8_t *)gone.data + gone.size };
    while (!gone.failed && at.at && at.at < at.end) {
        uint32_t size = bufread_u32(&at);
        drop(fan, bufread_bytes(&at, size), size);
    }
    fan->room = MAX((size_t)KNOWN_LEAST, 2 * map_count(fan->by_handle));
    return map_count(fan->by_handle) >= KNOWN_MAX ? start_over(fan) : 0;
}

static int remember(struct fanotify *fan, const struct file_handle *handle, const struct watch_seen *seen, struct met **ret) {
    size_t size = sizeof(*handle) + handle->handle_bytes;
    int r = map_count(fan->by_handle) >= fan->room ? make_room(fan) : 0;
    if (r < 0)
        return r;
    struct met *met = calloc(1, sizeof(*met) + size);
    if (!met || !fan->by_handle || !fan->by_inode || map_put(fan->by_handle, handle, size, met, NULL) < 0) {
        free(met);
        return -ENOMEM;
    }
    met->inode = seen->inode;
    met->birth = seen->birth;
    memcpy(met->handle, handle, size);
    *ret = met;
    return map_put(fan->by_inode, &met->inode, sizeof(met->inode), met, NULL) < 0 ? -ENOMEM : 0;
}

/* The directory of a handle: 1 and *ret, 0 = it is gone, or -ENOMEM. */
static int meet(struct fanotify *fan, const struct file_handle *handle, const struct met **ret) {
    struct met *met = map_get(fan->by_handle, handle, sizeof(*handle) + handle->handle_bytes);
    if (met && met->moves == fan->moves) {
        *ret = met;
        return 1;
    }
    struct watch_seen seen;
    bool below = false;
    int r = look_up(fan, handle, &seen, &below);
    if (r > 0 && !met)
        r = remember(fan, handle, &seen, &met) < 0 ? -ENOMEM : 1;
    if (r <= 0)
        return r;
    met->below = below;
    met->moves = fan->moves;
    *ret = met;
    return 1;
}

/* Events. */

static int tell_name(struct fanotify *fan, uint64_t mask, const struct met *dir, const char *name) {
    int r = 0;
    if (!strcmp(name, "."))
        return watch_tell(&fan->watch, WATCH_DIRECTORY, dir->inode, NULL);
    if (mask & FAN_ONDIR && mask & FAN_MOVED_TO)     /* from where, is not known: it may have been changed there */
        r = watch_tell(&fan->watch, WATCH_BELOW, dir->inode, name);
    if (mask & FAN_CREATE && !(mask & FAN_ONDIR)) {
        _close_ int fd = open_handle(fan, dir->handle);
        r = fd < 0 ? 0 : watch_came(&fan->watch, fd, dir->inode, name);
    }
    return r < 0 ? r : watch_tell(&fan->watch, WATCH_ENTRY, dir->inode, name);
}

static int handle_record(struct fanotify *fan, uint64_t mask, const struct fanotify_event_info_fid *record) {
    const struct file_handle *handle = (const void *)record->handle;
    const char *name = (const char *)handle->f_handle + handle->handle_bytes;
    const struct met *met = NULL;
    int r = meet(fan, handle, &met);
    return r <= 0 || !met->below ? MIN(r, 0) : tell_name(fan, mask, met, name);
}

/* `records`: what follows the event's own header, up to `end`. */
static int handle_event(struct fanotify *fan, const struct fanotify_event_metadata *event, const char *records, const char *end) {
    fan->watch.info.events++;
    if (event->mask & FAN_Q_OVERFLOW)
        return start_over(fan);
    int r = 0;
    for (const char *at = records; r >= 0 && at < end;) {
        const struct fanotify_event_info_header *header = (const void *)at;
        if (header->info_type == FAN_EVENT_INFO_TYPE_DFID_NAME)
            r = handle_record(fan, event->mask, (const void *)at);
        at += header->len ? header->len : (size_t)(end - at);
    }
    if (event->mask & FAN_ONDIR && event->mask & (FAN_MOVED_FROM | FAN_MOVED_TO))
        fan->moves++;
    return r;
}

/* How many of them were read, or a negative errno. They are copied: events stand at multiples of 4. */
static int handle_block(struct fanotify *fan, const char *block, size_t size, struct snap_err *err) {
    struct fanotify_event_metadata event;
    int r = 0, count = 0;
    for (const char *at = block; r >= 0 && at + sizeof(event) <= block + size; at += event.event_len, count++) {
        memcpy(&event, at, sizeof(event));
        if (event.event_len < sizeof(event) || at + event.event_len > block + size)
            return err_errno(err, -EBADMSG, "cannot read what fanotify tells");
        r = handle_event(fan, &event, at + event.metadata_len, at + event.event_len);
    }
    return r < 0 ? err_errno(err, r, "cannot read what fanotify tells") : count;
}

/* What is in the queue now. Who changes things faster than they are read must not keep it up. FIONREAD counts no more than the fixed part
 * of each event, or all of it. */
static int fanotify_read(struct watch *watch, struct snap_err *err) {
    static _Thread_local char block[64 * 1024] __attribute__((aligned(8)));
    int queued = 0;
    if (ioctl(watch->fd, FIONREAD, &queued) < 0)
        return err_errno(err, -errno, "cannot read what fanotify tells");
    for (int left = queued / (int)sizeof(struct fanotify_event_metadata); left > 0;) {
        ssize_t got = read(watch->fd, block, sizeof(block));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 || errno == EAGAIN ? 0 : err_errno(err, -errno, "cannot read what fanotify tells");
        int count = handle_block(of(watch), block, (size_t)got, err);
        if (count < 0)
            return count;
        left -= count;
    }
    return 0;
}

/* The path of an open directory as this process sees it; its size, 0 = it was removed, or a negative errno. */
static ssize_t full_path(int fd, char path[static PATH_MAX]) {
    char link[32];
    struct stat stat;
    if (fstat(fd, &stat) < 0 || stat.st_nlink == 0)
        return 0;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX);
    if (size == PATH_MAX)
        return -ENAMETOOLONG;
    return size < 0 ? -errno : size;
}

static int fanotify_path(struct watch *watch, struct watch_inode inode, struct buf *ret) {
    struct fanotify *fan = of(watch);
    const struct met *met = map_get(fan->by_inode, &inode, sizeof(inode));
    _close_ int fd = met ? open_handle(fan, met->handle) : -1;
    if (fd < 0)
        return 0;
    char path[PATH_MAX], root[PATH_MAX];
    ssize_t size = full_path(fd, path), root_size = full_path(watch->options.root, root);
    if (size <= 0 || root_size <= 0)
        return (int)MIN(size, root_size);
    root_size = root_size == 1 ? 0 : root_size;      /* "/" */
    if (size <= root_size || memcmp(path, root, (size_t)root_size) != 0 || path[root_size] != '/')
        return 0;
    buf_add(ret, path + root_size + 1, (size_t)(size - root_size - 1));
    return ret->failed ? -ENOMEM : 1;
}

static int fanotify_open(struct watch *watch, struct snap_err *err) {
    struct fanotify *fan = of(watch);
    watch->info.backend = WATCH_FANOTIFY;
    forget_all(fan);
    fan->room = KNOWN_LEAST;
    if (!fan->by_handle || !fan->by_inode)
        return err_nomem(err);
    watch->fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_CLOEXEC);
    if (watch->fd < 0)
        return err_errno(err, -errno, "cannot make a fanotify instance");
    if (fanotify_mark(watch->fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, EVENTS, watch->options.root, ".") < 0)
        return err_errno(err, -errno, "cannot watch the file system");
    return 0;
}

static void fanotify_close(struct watch *watch) {
    struct fanotify *fan = of(watch);
    fan->by_inode = map_free(fan->by_inode, NULL);
    fan->by_handle = map_free(fan->by_handle, free);
}

/* Its directory may be one of which nothing was told so far. */
static int tell_mapped(struct watch *watch, int dirfd, const struct watch_seen *dir, const char *name) {
    struct fanotify *fan = of(watch);
    union { struct file_handle handle; char room[sizeof(struct file_handle) + MAX_HANDLE_SZ]; } at = { .room = {0} };
    const struct met *met = map_get(fan->by_inode, &dir->inode, sizeof(dir->inode));
    int mount;
    at.handle.handle_bytes = MAX_HANDLE_SZ;
    if (!met || met->birth != dir->birth) {
        if (name_to_handle_at(dirfd, "", &at.handle, &mount, AT_EMPTY_PATH) < 0)
            return errno == ENOMEM ? -ENOMEM : 0;
        int r = meet(fan, &at.handle, &met);
        if (r <= 0)
            return r;
    }
    return watch_tell(watch, WATCH_ENTRY, dir->inode, name);
}

static int fanotify_writable(struct watch *watch) {
    return watch_mapped(watch, tell_mapped);
}

const struct watch_ops watch_fanotify = { fanotify_open, fanotify_close, fanotify_read, fanotify_path, fanotify_writable };

struct watch *watch_fanotify_new(void) {
    struct fanotify *fan = calloc(1, sizeof(*fan));
    if (!fan)
        return NULL;
    fan->watch = (struct watch){ .ops = &watch_fanotify, .fd = -1, .options.root = -1 };
    return &fan->watch;
}
