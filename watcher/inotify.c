/* Watching by inotify: one watch a directory, and a map of which watch is which directory, by inode and by place.
 * Directories are opened beneath the root and watched through their descriptors, so a path that is swapped leads nowhere else.
 *
 * A directory that moves keeps its watch; only its place in the map changes, whatever is below it. One that left is kept
 * until the queue was read to its end once more, for the other half of the move may still come.
 * Cost: memory about 250 bytes and the name a directory; a move is O(1). SPDX-License-Identifier: GPL-2.0-or-later */
#include "backend.h"
#include "fs.h"
#include "map.h"
#include <dirent.h>
#include <fcntl.h>
#include <inotifytools/inotify.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define EVENTS (IN_CREATE | IN_DELETE | IN_MODIFY | IN_OPEN | IN_CLOSE_WRITE | IN_CLOSE_NOWRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF \
                | IN_MOVE_SELF | IN_EXCL_UNLINK)

struct wdir {                             /* a directory below the root */
    int wd;                               /* -1: not covered */
    struct watch_inode inode;
    int64_t birth;                        /* ns; tells it from one that gets its number later */
    struct wdir *parent;                  /* NULL: the root, or floating */
    char *name;
    struct wdir *child, *next, **link;    /* children, siblings, and what points here */
    bool floating;                        /* moved away; where to, nobody has said yet */
    unsigned left_at;                     /* the reading in which it left */
};
/* A file that was opened: how often, less how often it was closed since. */
struct opened { struct watch_inode dir; unsigned count; char name[]; };
struct inotify {
    struct watch watch;
    struct map *by_wd, *by_inode, *by_place;
    struct map *opened;                   /* (directory, name) -> struct opened */
    struct { uint32_t cookie; unsigned count; } moving;   /* a name that left, and how often it was open */
    struct wdir *root, *floating;         /* `floating`: a list by `next` */
    unsigned readings;
};

static struct inotify *of(struct watch *watch) {
    return (struct inotify *)(void *)watch;
}

/* The map. */

static void place_key(struct buf *key, const struct wdir *parent, const char *name) {
    buf_add(key, &parent, sizeof(parent));
    buf_str(key, name);
}

static void unlink_dir(struct inotify *in, struct wdir *dir) {
    if (dir->parent) {
        _buf_ struct buf key = {0};
        place_key(&key, dir->parent, dir->name);
        if (!key.failed && map_get(in->by_place, key.data, key.size) == dir)
            (void)map_remove(in->by_place, key.data, key.size);
    }
    if (dir->link) {
        *dir->link = dir->next;
        if (dir->next)
            dir->next->link = dir->link;
    }
    dir->parent = dir->next = NULL;
    dir->link = NULL;
}

static void link_into(struct wdir **list, struct wdir *dir) {
    dir->next = *list;
    dir->link = list;
    if (dir->next)
        dir->next->link = &dir->next;
    *list = dir;
}

static int put_at(struct inotify *in, struct wdir *dir, struct wdir *parent, const char *name) {
    _buf_ struct buf key = {0};
    _free_ char *copy = strdup(name);
    place_key(&key, parent, name);
    if (key.failed || !copy || map_put(in->by_place, key.data, key.size, dir, NULL) < 0)
        return -ENOMEM;
    free(dir->name);
    dir->name = TAKE_PTR(copy);
    dir->parent = parent;
    dir->floating = false;
    link_into(&parent->child, dir);
    return 0;
}

static struct wdir *find_at(struct inotify *in, const struct wdir *parent, const char *name) {
    _buf_ struct buf key = {0};
    place_key(&key, parent, name);
    return key.failed ? NULL : map_get(in->by_place, key.data, key.size);
}

static struct wdir *find_inode(struct inotify *in, struct watch_inode inode) {
    return map_get(in->by_inode, &inode, sizeof(inode));
}

static void dir_free(void *value) {
    struct wdir *dir = value;
    free(dir->name);
    free(dir);
}

/* Forgets one directory that has no children any more. */
static void forget(struct inotify *in, struct wdir *dir) {
    unlink_dir(in, dir);
    if (find_inode(in, dir->inode) == dir)
        (void)map_remove(in->by_inode, &dir->inode, sizeof(dir->inode));
    if (dir->wd >= 0) {
        (void)map_remove(in->by_wd, &dir->wd, sizeof(dir->wd));
        (void)inotify_rm_watch(in->watch.fd, dir->wd);     /* it is gone already where the directory is */
        in->watch.info.watches--;
    }
    dir_free(dir);
}

/* And all below it, without recursion. */
static void forget_all(struct inotify *in, struct wdir *top) {
    for (struct wdir *at = top;;) {
        while (at->child)
            at = at->child;
        struct wdir *up = at->parent;
        bool last = at == top;
        forget(in, at);
        if (last)
            return;
        at = up;
    }
}

/* 1, 0 where a directory above left, or -ENOMEM. */
static int path_of(const struct wdir *dir, const struct wdir *root, struct buf *ret) {
    size_t size = 0;
    const struct wdir *at = dir;
    for (; at && at != root; at = at->parent)
        size += at->name ? strlen(at->name) + 1 : 0;
    if (!at)
        return 0;
    _free_ char *path = malloc(size + 1);
    if (!path)
        return -ENOMEM;
    char *end = path + size;
    *end = '\0';
    for (at = dir; at != root; at = at->parent) {
        size_t length = strlen(at->name);
        if (*end)
            *--end = '/';
        end -= length;
        memcpy(end, at->name, length);
    }
    buf_str(ret, end);
    return ret->failed ? -ENOMEM : 1;
}

/* It is no longer where it was; where it is, another event may say. */
static void let_float(struct inotify *in, struct wdir *dir) {
    unlink_dir(in, dir);
    dir->floating = true;
    dir->left_at = in->readings;
    link_into(&in->floating, dir);
}

/* Watching one directory. */

static bool is_left_out(struct inotify *in, const struct wdir *parent, const char *name) {
    if (!in->watch.options.left_out)
        return false;
    _buf_ struct buf path = {0};
    if (path_of(parent, in->root, &path) <= 0)
        return false;
    if (path.size)
        buf_char(&path, '/');
    buf_str(&path, name);
    return !path.failed && in->watch.options.left_out(in->watch.options.data, path.data);
}

static int open_dir(struct inotify *in, const struct wdir *dir) {
    _buf_ struct buf path = {0};
    int r = path_of(dir, in->root, &path);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    return fs_open_beneath(in->watch.options.root, path.size ? path.data : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
}

/* Returns the watch, or a negative errno. */
static int add_watch(struct inotify *in, int fd) {
    if (in->watch.options.watches_max && in->watch.info.watches >= in->watch.options.watches_max)
        return -ENOSPC;
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int wd = inotify_add_watch(in->watch.fd, path, EVENTS | IN_ONLYDIR);
    return wd < 0 ? -errno : wd;
}

/* A new member of the map, not watched yet. */
static int new_dir(struct inotify *in, struct wdir *parent, const char *name, const struct watch_seen *seen, struct wdir **ret) {
    struct wdir *dir = calloc(1, sizeof(*dir));
    if (!dir)
        return -ENOMEM;
    *dir = (struct wdir){ .wd = -1, .inode = seen->inode, .birth = seen->birth };
    int r = map_put(in->by_inode, &dir->inode, sizeof(dir->inode), dir, NULL);
    if (r >= 0 && parent && (r = put_at(in, dir, parent, name)) < 0)
        (void)map_remove(in->by_inode, &dir->inode, sizeof(dir->inode));
    if (r < 0) {
        dir_free(dir);
        return r;
    }
    *ret = dir;
    return 0;
}

/* A directory was seen under a name. 1 = it is new: *ret is to be covered; 0 = known, maybe from another place, or left out. */
static int admit(struct inotify *in, struct wdir *parent, const char *name, const struct watch_seen *seen, struct wdir **ret) {
    struct wdir *there = find_at(in, parent, name), *known = find_inode(in, seen->inode);
    if (known && known->birth != seen->birth) {     /* its number was given away again */
        there = there == known ? NULL : there;
        forget_all(in, known);
        known = NULL;
    }
    if (there && there == known)
        return 0;
    if (there)
        let_float(in, there);
    if (is_left_out(in, parent, name)) {
        if (known)
            forget_all(in, known);
        return 0;
    }
    if (!known)
        return MIN(new_dir(in, parent, name, seen, ret), 0) ?: 1;
    unlink_dir(in, known);
    return put_at(in, known, parent, name);
}

struct pending { struct wdir **at; size_t count, room; };

static int consider(struct inotify *in, struct wdir *parent, int fd, const struct dirent *entry, struct pending *pending) {
    struct watch_seen seen;
    struct wdir *dir = NULL;
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN))
        return 0;
    if (watch_look(fd, entry->d_name, &seen) < 0 || !seen.is_dir || seen.mount != in->watch.mount)
        return 0;
    int r = MAKE_ROOM(pending->at, pending->count, pending->room);
    if (r == 0)
        r = admit(in, parent, entry->d_name, &seen, &dir);
    if (r > 0)
        pending->at[pending->count++] = dir;
    return MIN(r, 0);
}

static int list(struct inotify *in, struct wdir *dir, int fd, struct pending *pending) {
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (!stream) {
        int r = -errno;
        fd_close(copy);
        return r;
    }
    int r = 0;
    for (struct dirent *entry; r == 0 && (errno = 0, entry = readdir(stream));)
        r = consider(in, dir, fd, entry, pending);
    return r ? r : -errno;
}

/* 0, or why it cannot be watched. -ESTALE: another one has its place by now, whose event comes. */
static int watch_one(struct inotify *in, struct wdir *dir, int fd) {
    struct watch_seen seen;
    int r = watch_look(fd, "", &seen);
    if (r < 0)
        return r;
    if (!watch_same(seen.inode, dir->inode) || seen.birth != dir->birth)
        return -ESTALE;
    int wd = add_watch(in, fd);
    if (wd < 0)
        return wd;
    if ((r = map_put(in->by_wd, &wd, sizeof(wd), dir, NULL)) < 0)
        return r;
    dir->wd = wd;
    in->watch.info.watches++;
    return 0;
}

/* Watches it first and lists it then: what comes in between is found, or told, or both. */
static int cover(struct inotify *in, struct wdir *dir, struct pending *pending) {
    _close_ int fd = open_dir(in, dir);
    int r = fd < 0 ? fd : watch_one(in, dir, fd);
    if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -ESTALE) {
        forget(in, dir);
        return 0;
    }
    if (r < 0)
        return r == -ENOMEM ? r : watch_tell(&in->watch, WATCH_UNCOVERED, dir->inode, NULL);
    r = list(in, dir, fd, pending);
    return r == -ENOENT || r == -EIO ? watch_tell(&in->watch, WATCH_UNCOVERED, dir->inode, NULL) : r;
}

/* A directory and all below it. */
static int cover_all(struct inotify *in, struct wdir *top) {
    struct pending pending = {0};
    int r = cover(in, top, &pending);
    while (r == 0 && pending.count)
        r = cover(in, pending.at[--pending.count], &pending);
    free(pending.at);
    return r;
}

/* Open files. */

static void opened_key(struct buf *key, struct watch_inode dir, const char *name) {
    buf_add(key, &dir, sizeof(dir));
    buf_str(key, name);
}

static int add_opened(struct inotify *in, struct watch_inode dir, const char *name, unsigned count) {
    _buf_ struct buf key = {0};
    opened_key(&key, dir, name);
    struct opened *opened = key.failed ? NULL : map_get(in->opened, key.data, key.size);
    if (opened) {
        opened->count += count;
        return 0;
    }
    opened = key.failed ? NULL : malloc(sizeof(*opened) + strlen(name) + 1);
    if (!opened)
        return -ENOMEM;
    *opened = (struct opened){ .dir = dir, .count = count };
    strcpy(opened->name, name);
    int r = map_put(in->opened, key.data, key.size, opened, NULL);
    if (r < 0)
        free(opened);
    return MIN(r, 0);
}

/* How often it was open, and is no more; `all`: whatever that was. */
static unsigned remove_opened(struct inotify *in, struct watch_inode dir, const char *name, bool all) {
    _buf_ struct buf key = {0};
    opened_key(&key, dir, name);
    struct opened *opened = key.failed ? NULL : map_get(in->opened, key.data, key.size);
    if (!opened)
        return 0;
    unsigned count = opened->count;
    if (!all && --opened->count > 0)
        return 0;
    free(map_remove(in->opened, key.data, key.size));
    return count;
}

static int note_open(struct inotify *in, const struct wdir *dir, const struct inotify_event *event) {
    uint32_t mask = event->mask;
    if (mask & IN_OPEN)
        return add_opened(in, dir->inode, event->name, 1);
    if (mask & (IN_CLOSE_WRITE | IN_CLOSE_NOWRITE))
        (void)remove_opened(in, dir->inode, event->name, false);
    if (mask & IN_MOVED_TO) {             /* what had the name before is gone */
        (void)remove_opened(in, dir->inode, event->name, true);
        if (in->moving.cookie == event->cookie && in->moving.count)
            return add_opened(in, dir->inode, event->name, in->moving.count);
    }
    if (mask & (IN_MOVED_FROM | IN_DELETE)) {
        in->moving.count = remove_opened(in, dir->inode, event->name, true);
        in->moving.cookie = event->cookie;
    }
    return 0;
}

static int inotify_writable(struct watch *watch) {
    struct inotify *in = of(watch);
    int r = 0;
    for (struct map_iter i = {0}; r >= 0 && map_next(in->opened, &i);)
        r = watch_tell(watch, WATCH_ENTRY, ((const struct opened *)i.value)->dir, ((const struct opened *)i.value)->name);
    return r;
}

static int was_mapped(void *data, const struct watch_change *change) {
    return add_opened(data, change->dir, change->name, 1);
}

/* What was mapped before anybody counted. */
static int find_mapped(struct inotify *in) {
    watch_fn fn = in->watch.fn;
    void *data = in->watch.data;
    in->watch.fn = was_mapped;
    in->watch.data = in;
    int r = watch_mapped(&in->watch);
    in->watch.fn = fn;
    in->watch.data = data;
    return r;
}

/* Events. */

/* The name leads to a directory now: new, or one that came from elsewhere. */
static int directory_came(struct inotify *in, struct wdir *parent, const char *name) {
    _close_ int fd = open_dir(in, parent);
    struct watch_seen seen;
    if (fd < 0 || watch_look(fd, name, &seen) < 0 || !seen.is_dir || seen.mount != in->watch.mount)
        return 0;                         /* gone again, which is told as well */
    struct wdir *dir = NULL;
    int r = admit(in, parent, name, &seen, &dir);
    if (r > 0 && (r = cover_all(in, dir)) == 0)
        r = watch_tell(&in->watch, WATCH_BELOW, parent->inode, name);
    return r;
}

/* Of two that changed places, the one that came may be known to be here already. */
static void directory_left(struct inotify *in, struct wdir *parent, const char *name) {
    struct wdir *dir = find_at(in, parent, name);
    _close_ int fd = dir ? open_dir(in, parent) : -1;
    struct watch_seen seen;
    bool is_here = fd >= 0 && watch_look(fd, name, &seen) == 0 && watch_same(seen.inode, dir->inode) && seen.birth == dir->birth;
    if (dir && !is_here)
        let_float(in, dir);
}

/* Those whose other half did not come with all that was in the queue when, and after, they left. */
static void drop_floating(struct inotify *in) {
    for (struct wdir *dir = in->floating, *next; dir; dir = next) {
        next = dir->next;
        if (in->readings - dir->left_at >= 2)
            forget_all(in, dir);
    }
}

static int root_event(struct inotify *in, uint32_t mask) {
    if (mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED))
        return watch_tell(&in->watch, WATCH_ROOT_GONE, in->root->inode, NULL);
    return 0;
}

static int self_event(struct inotify *in, struct wdir *dir, uint32_t mask) {
    int r = dir == in->root ? root_event(in, mask) : 0;
    if (r == 0 && mask & IN_ATTRIB)
        r = watch_tell(&in->watch, WATCH_DIRECTORY, dir->inode, NULL);
    if (mask & IN_IGNORED && dir != in->root)     /* the kernel dropped the watch with the directory */
        forget_all(in, dir);
    return r;
}

static int file_came(struct inotify *in, const struct wdir *dir, const char *name) {
    _close_ int fd = open_dir(in, dir);
    return fd < 0 ? 0 : watch_came(&in->watch, fd, dir->inode, name);
}

static int name_event(struct inotify *in, struct wdir *dir, const struct inotify_event *event) {
    uint32_t mask = event->mask;
    const char *name = event->name;
    int r = mask & IN_ISDIR ? 0 : note_open(in, dir, event);
    if (r < 0 || !(mask & ~(uint32_t)(IN_OPEN | IN_CLOSE_NOWRITE | IN_ISDIR)))
        return r;
    if (mask & IN_ISDIR && mask & (IN_MOVED_FROM | IN_DELETE))
        directory_left(in, dir, name);
    if (mask & IN_ISDIR && mask & (IN_MOVED_TO | IN_CREATE))
        r = directory_came(in, dir, name);
    else if (mask & IN_CREATE)
        r = file_came(in, dir, name);
    return r < 0 ? r : watch_tell(&in->watch, WATCH_ENTRY, dir->inode, name);
}

static int handle(struct inotify *in, const struct inotify_event *event) {
    in->watch.info.events++;
    if (event->mask & IN_Q_OVERFLOW)
        return watch_tell(&in->watch, WATCH_LOST, in->root->inode, NULL);
    struct wdir *dir = map_get(in->by_wd, &event->wd, sizeof(event->wd));
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

static int read_queue(struct inotify *in, bool *ret_lost) {
    char block[64 * 1024] __attribute__((aligned(8)));
    for (;;) {
        ssize_t got = read(in->watch.fd, block, sizeof(block));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 || errno == EAGAIN ? 0 : -errno;
        for (const char *at = block; at < block + got;) {
            const struct inotify_event *event = (const void *)at;
            at += sizeof(*event) + event->len;
            *ret_lost |= (event->mask & IN_Q_OVERFLOW) != 0;
            int r = handle(in, event);
            if (r < 0)
                return r;
        }
    }
}

static int inotify_read(struct watch *watch, struct snap_err *err) {
    struct inotify *in = of(watch);
    bool lost = false;
    in->readings++;
    int r = read_queue(in, &lost);
    if (r < 0)
        return err_errno(err, r, "cannot read what inotify tells");
    drop_floating(in);
    in->watch.info.uncovered = map_count(in->by_inode) - in->watch.info.watches;
    return lost ? start_over(in, err) : 0;
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

static int inotify_open(struct watch *watch, struct snap_err *err) {
    struct inotify *in = of(watch);
    watch->info.backend = WATCH_INOTIFY;
    in->by_wd = map_new();
    in->by_inode = map_new();
    in->by_place = map_new();
    in->opened = map_new();
    if (!in->by_wd || !in->by_inode || !in->by_place || !in->opened)
        return err_nomem(err);
    struct watch_seen seen;
    int r = make_instance(in);
    if (r < 0)
        return err_errno(err, r, "cannot make an inotify instance");
    if ((r = watch_look(watch->options.root, "", &seen)) == 0 && (r = new_dir(in, NULL, NULL, &seen, &in->root)) == 0)
        r = cover_all(in, in->root);
    if (r == 0)
        r = find_mapped(in);
    watch->info.uncovered = map_count(in->by_inode) - watch->info.watches;
    return r < 0 ? err_errno(err, r, "cannot watch the directory") : 0;
}

static void inotify_close(struct watch *watch) {
    struct inotify *in = of(watch);
    in->by_wd = map_free(in->by_wd, NULL);
    in->by_place = map_free(in->by_place, NULL);
    in->opened = map_free(in->opened, free);
    in->by_inode = map_free(in->by_inode, dir_free);
    in->root = in->floating = NULL;
}

static int inotify_path(struct watch *watch, struct watch_inode inode, struct buf *ret) {
    struct inotify *in = of(watch);
    const struct wdir *dir = find_inode(in, inode);
    return dir ? path_of(dir, in->root, ret) : 0;
}

const struct watch_ops watch_inotify = { inotify_open, inotify_close, inotify_read, inotify_path, inotify_writable };

struct watch *watch_inotify_new(void) {
    struct inotify *in = calloc(1, sizeof(*in));
    if (!in)
        return NULL;
    in->watch = (struct watch){ .ops = &watch_inotify, .fd = -1, .options.root = -1 };
    return &in->watch;
}
