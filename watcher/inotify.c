/* Watching by inotify: one watch a directory, and a map of which watch is which directory (wdirs.h).
 * Directories are opened beneath the root and watched through their descriptors, so a path that is swapped leads nowhere else.
 *
 * An event says that something happened to a name, some time ago; what is there is looked at now, and the map follows what was seen, not
 * what was said. So it is right once the queue was read to its end, in whatever order things were moved, removed and made again
 * meanwhile. A directory that is not where the map has it (the event that says so is still to come) cannot be looked at: it is put
 * among the unsettled ones, which are listed anew at the end of the reading, from the top down as their places become known.
 *
 * A directory that moves keeps its watch; only its place in the map changes, whatever is below it. One that left is kept
 * until the queue was read to its end once more, for the other half of the move may still come.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "backend.h"
#include "fs.h"
#include "hook.h"
#include "opened.h"
#include "wdirs.h"
#include <dirent.h>
#include <fcntl.h>
#include <inotifytools/inotify.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define EVENTS (IN_CREATE | IN_DELETE | IN_MODIFY | IN_OPEN | IN_CLOSE_WRITE | IN_CLOSE_NOWRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO \
                | IN_DELETE_SELF | IN_MOVE_SELF | IN_EXCL_UNLINK)
#define LISTINGS_MAX 4096                 /* of unsettled directories, in one reading: somebody may go on moving them */

struct inotify {
    struct watch watch;
    struct wdirs dirs;
    struct opened opened;
    unsigned readings, listings;
    bool begun;                           /* everything was covered once: what comes now is told */
};

static struct inotify *of(struct watch *watch) {
    return (struct inotify *)(void *)watch;
}

/* Looking. */

/* Where the map has it. -ESTALE: another one is there by now. */
static int open_dir(struct inotify *in, const struct wdir *dir) {
    _buf_ struct buf path = {0};
    struct watch_seen seen;
    int r = wdirs_path(&in->dirs, dir, &path);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    _close_ int fd = fs_open_beneath(in->watch.options.root, path.size ? path.data : ".", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    if ((r = watch_look(fd, "", &seen)) < 0)
        return r;
    return watch_same(seen.inode, dir->inode) && seen.birth == dir->birth ? TAKE_FD(fd) : -ESTALE;
}

/* It is elsewhere, or gone: an event says so, or will. */
static bool is_elsewhere(int code) {
    return code == -ENOENT || code == -ENOTDIR || code == -ELOOP || code == -ESTALE;
}

static bool is_left_out(struct inotify *in, const struct wdir *parent, const char *name) {
    if (!in->watch.options.left_out)
        return false;
    _buf_ struct buf path = {0};
    if (wdirs_path(&in->dirs, parent, &path) <= 0)
        return false;
    if (path.size)
        buf_char(&path, '/');
    buf_str(&path, name);
    return !path.failed && in->watch.options.left_out(in->watch.options.data, path.data);
}

enum admitted { ADMIT_NOTHING = 0, ADMIT_CAME };

/* A directory was seen under a name. CAME: it was not there before; new ones are pending. NOTHING: it was, or it is left out. */
static int admit(struct inotify *in, struct wdir *parent, const char *name, const struct watch_seen *seen) {
    struct wdirs *dirs = &in->dirs;
    struct wdir *there = wdirs_at(dirs, parent, name), *known = wdirs_by_inode(dirs, seen->inode);
    if (known && known->birth != seen->birth) {     /* its number was given away again */
        there = there == known ? NULL : there;
        wdirs_lose(dirs, known, in->readings);
        known = NULL;
    }
    if (there && there == known) {
        there->seen_at = in->listings;
        return ADMIT_NOTHING;
    }
    if (there)
        wdirs_float(dirs, there, in->readings);
    if (known)
        wdirs_untie(dirs, known, parent, in->readings);
    if (is_left_out(in, parent, name)) {
        parent->hides = dirs->hides = true;
        if (known)
            wdirs_forget(dirs, known);
        return ADMIT_NOTHING;
    }
    int r = known ? wdirs_move(dirs, known, parent, name) : wdirs_add(dirs, parent, name, seen->inode, seen->birth, &known);
    if (r < 0)
        return r;
    if (known->wd < 0)
        wdirs_queue(&dirs->pending, known);
    wdirs_unsettle_hiding(dirs, known);   /* other rules may hold here */
    known->seen_at = in->listings;
    known->came_at = in->listings;
    return ADMIT_CAME;
}

static int consider(struct inotify *in, struct wdir *parent, int fd, const struct dirent *entry, bool with_files) {
    struct watch_seen seen = { .is_dir = entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN };
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
        return 0;
    int r = seen.is_dir ? watch_look(fd, entry->d_name, &seen) : 0;
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (!seen.is_dir)
        return with_files ? MIN(watch_came(&in->watch, fd, parent->inode, entry->d_name), 0) : 0;
    return seen.mount == in->watch.mount ? MIN(admit(in, parent, entry->d_name, &seen), 0) : 0;
}

static int list(struct inotify *in, struct wdir *dir, int fd, bool with_files) {
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (!stream) {
        int r = -errno;
        fd_close(copy);
        return r;
    }
    int r = 0;
    for (struct dirent *entry; r == 0 && (errno = 0, entry = readdir(stream));)
        r = consider(in, dir, fd, entry, with_files);
    return r ? r : -errno;
}

/* Watching. */

/* Returns the watch, or a negative errno. */
static int add_watch(struct inotify *in, int fd) {
    if (in->watch.options.watches_max && in->dirs.watches >= in->watch.options.watches_max)
        return -ENOSPC;
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int wd = inotify_add_watch(in->watch.fd, path, EVENTS | IN_ONLYDIR);
    return wd < 0 ? -errno : wd;
}

/* Its directory is listed once more. */
static void lose_sight(struct inotify *in, struct wdir *dir) {
    struct wdir *parent = dir->parent;
    wdirs_forget(&in->dirs, dir);
    if (parent)
        wdirs_queue(&in->dirs.unsettled, parent);
}

/* Watches it first and lists it then: what comes in between is found, or told, or both. */
static int cover(struct inotify *in, struct wdir *dir) {
    int r = hook("watch.cover", dir->name ? dir->name : "");
    _close_ int fd = r < 0 ? r : open_dir(in, dir);
    if (is_elsewhere(fd)) {
        lose_sight(in, dir);
        return 0;
    }
    int wd = fd < 0 ? fd : add_watch(in, fd);
    if (wd < 0)
        return wd == -ENOMEM ? wd : watch_tell(&in->watch, WATCH_UNCOVERED, dir->inode, NULL);
    if ((r = wdirs_watch(&in->dirs, dir, wd)) < 0)
        return r;
    if ((r = hook("watch.list", dir->name ? dir->name : "")) == 0)
        r = list(in, dir, fd, in->begun);
    if (r == -ENOENT)                     /* removed meanwhile: there is nothing in it */
        return 0;
    return r < 0 && r != -ENOMEM ? watch_tell(&in->watch, WATCH_UNCOVERED, dir->inode, NULL) : r;
}

static int cover_pending(struct inotify *in) {
    int r = 0;
    for (struct wdir *dir; r >= 0 && (dir = wdirs_next(&in->dirs.pending));)
        r = cover(in, dir);
    return r;
}

/* Unsettled directories. */

static int list_again(struct inotify *in, struct wdir *dir, int fd) {
    in->listings++;
    int r = list(in, dir, fd, dir->files_came);
    dir->files_came = false;
    for (struct wdir *child = r < 0 ? NULL : dir->child, *next; child; child = next) {
        next = child->next;
        if (child->seen_at != in->listings)
            wdirs_float(&in->dirs, child, in->readings);
    }
    return r;
}

/* What came is in doubt. The directory itself may have been forgotten while others were covered. */
static int tell_what_came(struct inotify *in, struct watch_inode inode) {
    struct wdir *dir = wdirs_by_inode(&in->dirs, inode);
    int r = 0;
    for (struct wdir *child = dir ? dir->child : NULL; r >= 0 && child; child = child->next) {
        if (child->came_at == in->listings)
            r = watch_tell(&in->watch, WATCH_BELOW, inode, child->name);
    }
    return r;
}

/* 1 = it was listed, 0 = it is not where the map has it. */
static int settle_one(struct inotify *in, struct wdir *dir) {
    struct watch_inode inode = dir->inode;
    _close_ int fd = open_dir(in, dir);
    if (is_elsewhere(fd))
        return 0;
    int r = fd < 0 ? fd : list_again(in, dir, fd);
    if (r < 0 && r != -ENOMEM && r != -ENOENT)
        r = watch_tell(&in->watch, WATCH_UNCOVERED, inode, NULL);
    if (r >= 0 && (r = cover_pending(in)) >= 0)
        r = tell_what_came(in, inode);
    return r < 0 && r != -ENOENT ? r : 1;
}

/* Each pass finds those whose place became known by the one before. */
static int settle_all(struct inotify *in) {
    struct wdirs *dirs = &in->dirs;
    unsigned left = LISTINGS_MAX;
    for (bool found = true; found && dirs->unsettled;) {
        int r = 0;
        found = false;
        for (struct wdir *dir; r >= 0 && left > 0 && (dir = wdirs_next(&dirs->unsettled)); left--) {
            r = settle_one(in, dir);
            if (r == 0)
                wdirs_queue(&dirs->waiting, dir);
            found |= r > 0;
        }
        if (r < 0)
            return r;
        for (struct wdir *dir; (dir = wdirs_next(&dirs->waiting));)
            wdirs_queue(&dirs->unsettled, dir);
        found &= left > 0;
    }
    return 0;
}

/* Those that are not found yet may have anything in them; who has left will be told when it comes back. */
static int tell_unsettled(struct inotify *in) {
    int r = 0;
    for (const struct wdir *dir = in->dirs.unsettled; r >= 0 && dir; dir = dir->queued)
        if (dir->parent)
            r = watch_tell(&in->watch, WATCH_BELOW, dir->parent->inode, dir->name);
    return r;
}

static int settle(struct inotify *in) {
    int r = in->dirs.unsettled ? settle_all(in) : 0;
    if (r >= 0)
        r = tell_unsettled(in);
    in->watch.info.watches = in->dirs.watches;
    in->watch.info.uncovered = map_count(in->dirs.by_inode) - in->dirs.watches;
    return r;
}

/* Events. */

static int inotify_writable(struct watch *watch) {
    return opened_tell(&of(watch)->opened, watch);
}

static int was_mapped(struct watch *watch, int dirfd, const struct watch_seen *dir, const char *name) {
    (void)dirfd;
    return opened_add(&of(watch)->opened, dir->inode, name, 1);
}

/* A directory may have come to the name, left it, or both. */
static int look_at_name(struct inotify *in, struct wdir *parent, const char *name) {
    struct watch_inode inode = parent->inode;     /* covering others may forget it */
    struct watch_seen seen = {0};
    _close_ int fd = open_dir(in, parent);
    int r = fd < 0 ? fd : watch_look(fd, name, &seen);
    if (fd < 0 || (r < 0 && r != -ENOENT)) {
        wdirs_queue(&in->dirs.unsettled, parent);
        return watch_tell(&in->watch, WATCH_BELOW, inode, name);
    }
    if (r < 0 || !seen.is_dir || seen.mount != in->watch.mount) {
        struct wdir *there = wdirs_at(&in->dirs, parent, name);
        if (there)
            wdirs_float(&in->dirs, there, in->readings);
        return 0;
    }
    r = admit(in, parent, name, &seen);
    if (r == ADMIT_CAME && (r = cover_pending(in)) >= 0)
        r = watch_tell(&in->watch, WATCH_BELOW, inode, name);
    return r;
}

static int file_came(struct inotify *in, struct wdir *dir, const char *name) {
    _close_ int fd = open_dir(in, dir);
    if (fd >= 0)
        return watch_came(&in->watch, fd, dir->inode, name);
    dir->files_came = true;
    wdirs_queue(&in->dirs.unsettled, dir);
    return 0;
}

/* The kernel dropped the watch with the directory. One that got its number since may be taken for it: the name is looked at again. */
static int directory_ended(struct inotify *in, struct wdir *dir) {
    struct wdir *parent = dir->parent;
    _free_ char *name = parent ? TAKE_PTR(dir->name) : NULL;
    if (parent && !(dir->name = strdup(name)))
        return -ENOMEM;
    wdirs_lose(&in->dirs, dir, in->readings);
    return parent ? look_at_name(in, parent, name) : 0;
}

/* Those whose other half did not come with all that was in the queue when, and after, they left. */
static bool drop_floating(struct inotify *in) {
    bool dropped = false;
    for (struct wdir *dir = in->dirs.floating, *next; dir; dir = next) {
        next = dir->next;
        if (in->readings - dir->left_at < 2)
            continue;
        wdirs_forget(&in->dirs, dir);
        dropped = true;
    }
    return dropped;
}

static bool is_watched(void *data, struct watch_inode inode) {
    return wdirs_by_inode(data, inode) != NULL;
}

static int self_event(struct inotify *in, struct wdir *dir, uint32_t mask) {
    int r = 0;
    if (dir == in->dirs.root && mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED))
        r = watch_tell(&in->watch, WATCH_ROOT_GONE, dir->inode, NULL);
    if (r == 0 && mask & (IN_ATTRIB | IN_MODIFY))
        r = watch_tell(&in->watch, WATCH_DIRECTORY, dir->inode, NULL);
    return r == 0 && mask & IN_IGNORED && dir != in->dirs.root ? directory_ended(in, dir) : r;
}

static int name_event(struct inotify *in, struct wdir *dir, const struct inotify_event *event) {
    uint32_t mask = event->mask;
    struct watch_inode inode = dir->inode;
    int r = mask & IN_ISDIR ? 0 : opened_note(&in->opened, inode, event);
    if (r < 0 || !(mask & ~(uint32_t)(IN_OPEN | IN_CLOSE_NOWRITE | IN_ISDIR)))
        return r;
    if (mask & IN_ISDIR && mask & (IN_MOVED_FROM | IN_DELETE | IN_MOVED_TO | IN_CREATE))
        r = look_at_name(in, dir, event->name);
    else if (mask & IN_CREATE)
        r = file_came(in, dir, event->name);
    return r < 0 ? r : watch_tell(&in->watch, WATCH_ENTRY, inode, event->name);
}

static int handle(struct inotify *in, const struct inotify_event *event) {
    in->watch.info.events++;
    if (event->mask & IN_Q_OVERFLOW)
        return watch_tell(&in->watch, WATCH_LOST, in->watch.root, NULL);
    struct wdir *dir = wdirs_by_wd(&in->dirs, event->wd);
    if (!dir)
        return 0;                         /* of a directory that was forgotten meanwhile */
    if (event->len && event->name[0])
        return name_event(in, dir, event);
    return self_event(in, dir, event->mask);
}

/* After an overflow the map may be wrong anywhere: it is made anew. */
static int start_over(struct inotify *in, struct snap_err *err) {
    uint64_t lost = in->watch.info.lost, events = in->watch.info.events;
    watch_inotify.close(&in->watch);
    in->watch.info = (struct watch_info){ .lost = lost, .events = events };
    return watch_inotify.open(&in->watch, err);
}

/* What is in the queue now. Who changes things faster than they are read must not keep it up. */
static int read_queue(struct inotify *in, bool *ret_lost) {
    char block[64 * 1024] __attribute__((aligned(8)));
    int queued = 0;
    if (ioctl(in->watch.fd, FIONREAD, &queued) < 0)
        return -errno;
    while (queued > 0) {
        ssize_t got = read(in->watch.fd, block, sizeof(block));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 || errno == EAGAIN ? 0 : -errno;
        queued -= (int)got;
        for (const char *at = block; at < block + got;) {
            const struct inotify_event *event = (const void *)at;
            at += sizeof(*event) + event->len;
            *ret_lost |= (event->mask & IN_Q_OVERFLOW) != 0;
            int r = handle(in, event);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int inotify_read(struct watch *watch, struct snap_err *err) {
    struct inotify *in = of(watch);
    bool lost = false;
    in->readings++;
    int r = read_queue(in, &lost);
    if (r >= 0 && lost)
        return start_over(in, err);
    if (r >= 0)
        r = settle(in);
    if (r >= 0 && drop_floating(in))
        r = opened_drop(&in->opened, is_watched, &in->dirs);
    return r < 0 ? err_errno(err, r, "cannot read what inotify tells") : 0;
}

/* Opening and closing. */

/* Under the number that it had before, for those who poll it. */
static int make_instance(struct inotify *in) {
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (in->watch.fd < 0) {
        in->watch.fd = fd;
        return 0;
    }
    int r = dup3(fd, in->watch.fd, O_CLOEXEC) < 0 ? -errno : 0;
    fd_close(fd);
    return r;
}

static int cover_root(struct inotify *in) {
    struct watch_seen seen;
    int r = watch_look(in->watch.options.root, "", &seen);
    if (r == 0)
        r = wdirs_add(&in->dirs, NULL, NULL, seen.inode, seen.birth, &in->dirs.root);
    if (r < 0)
        return r;
    wdirs_queue(&in->dirs.pending, in->dirs.root);
    if ((r = cover_pending(in)) < 0 || (r = settle(in)) < 0)
        return r;
    in->begun = true;
    return watch_mapped(&in->watch, was_mapped);     /* before anybody counted */
}

static int inotify_open(struct watch *watch, struct snap_err *err) {
    struct inotify *in = of(watch);
    watch->info.backend = WATCH_INOTIFY;
    in->begun = false;
    int r = make_instance(in);
    if (r < 0)
        return err_errno(err, r, "cannot make an inotify instance");
    if ((r = wdirs_new(watch->fd, &in->dirs)) < 0 || (r = opened_new(&in->opened)) < 0)
        return err_nomem(err);
    r = cover_root(in);
    return r < 0 ? err_errno(err, r, "cannot watch the directory") : 0;
}

static void inotify_close(struct watch *watch) {
    struct inotify *in = of(watch);
    wdirs_done(&in->dirs);
    opened_done(&in->opened);
}

static int inotify_path(struct watch *watch, struct watch_inode inode, struct buf *ret) {
    struct inotify *in = of(watch);
    const struct wdir *dir = wdirs_by_inode(&in->dirs, inode);
    return dir ? wdirs_path(&in->dirs, dir, ret) : 0;
}

const struct watch_ops watch_inotify = { inotify_open, inotify_close, inotify_read, inotify_path, inotify_writable };

struct watch *watch_inotify_new(void) {
    struct inotify *in = calloc(1, sizeof(*in));
    if (!in)
        return NULL;
    in->watch = (struct watch){ .ops = &watch_inotify, .fd = -1, .options.root = -1 };
    return &in->watch;
}
