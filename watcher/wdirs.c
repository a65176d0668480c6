/* The map of inotify's watches. Memory: about 300 bytes and the name a directory; a move is O(1).
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "wdirs.h"
#include <string.h>
#include <sys/inotify.h>

static void dir_free(void *value) {
    struct wdir *dir = value;
    free(dir->name);
    free(dir);
}

int wdirs_new(int fd, struct wdirs *ret) {
    *ret = (struct wdirs){ .fd = fd, .by_wd = map_new(), .by_inode = map_new(), .by_place = map_new() };
    return ret->by_wd && ret->by_inode && ret->by_place ? 0 : -ENOMEM;
}

void wdirs_done(struct wdirs *dirs) {
    map_free(dirs->by_wd, NULL);
    map_free(dirs->by_place, NULL);
    map_free(dirs->by_inode, dir_free);
    *dirs = (struct wdirs){ .fd = -1 };
}

/* Finding. */

static void place_key(struct buf *key, const struct wdir *parent, const char *name) {
    buf_add(key, &parent, sizeof(parent));
    buf_str(key, name);
}

struct wdir *wdirs_by_wd(const struct wdirs *dirs, int wd) {
    return map_get(dirs->by_wd, &wd, sizeof(wd));
}

struct wdir *wdirs_by_inode(const struct wdirs *dirs, struct watch_inode inode) {
    return map_get(dirs->by_inode, &inode, sizeof(inode));
}

struct wdir *wdirs_at(const struct wdirs *dirs, const struct wdir *parent, const char *name) {
    _buf_ struct buf key = {0};
    place_key(&key, parent, name);
    return key.failed ? NULL : map_get(dirs->by_place, key.data, key.size);
}

int wdirs_path(const struct wdirs *dirs, const struct wdir *dir, struct buf *ret) {
    size_t size = 0;
    const struct wdir *at = dir;
    for (; at && at != dirs->root; at = at->parent)
        size += at->name ? strlen(at->name) + 1 : 0;
    if (!at)
        return 0;
    _free_ char *path = malloc(size + 1);
    if (!path)
        return -ENOMEM;
    char *end = path + size;
    *end = '\0';
    for (at = dir; at != dirs->root; at = at->parent) {
        size_t length = strlen(at->name);
        if (*end)
            *--end = '/';
        end -= length;
        memcpy(end, at->name, length);
    }
    buf_str(ret, end);
    return ret->failed ? -ENOMEM : 1;
}

/* Queues. */

void wdirs_queue(struct wdir **queue, struct wdir *dir) {
    if (dir->queue_link)
        return;
    dir->queued = *queue;
    dir->queue_link = queue;
    if (dir->queued)
        dir->queued->queue_link = &dir->queued;
    *queue = dir;
}

static void unqueue(struct wdir *dir) {
    if (!dir->queue_link)
        return;
    *dir->queue_link = dir->queued;
    if (dir->queued)
        dir->queued->queue_link = dir->queue_link;
    dir->queued = NULL;
    dir->queue_link = NULL;
}

struct wdir *wdirs_next(struct wdir **queue) {
    struct wdir *dir = *queue;
    if (dir)
        unqueue(dir);
    return dir;
}

/* The one after it below `top`, in some order, its own children first; NULL: all were visited. */
static struct wdir *after(struct wdir *at, const struct wdir *top) {
    if (at->child)
        return at->child;
    while (at != top && !at->next)
        at = at->parent;
    return at == top ? NULL : at->next;
}

void wdirs_unsettle_hiding(struct wdirs *dirs, struct wdir *top) {
    for (struct wdir *at = dirs->hides ? top : NULL; at; at = after(at, top))
        if (at->hides)
            wdirs_queue(&dirs->unsettled, at);
}

/* Places. */

static void unlink_dir(struct wdirs *dirs, struct wdir *dir) {
    if (dir->parent) {
        _buf_ struct buf key = {0};
        place_key(&key, dir->parent, dir->name);
        if (!key.failed && map_get(dirs->by_place, key.data, key.size) == dir)
            (void)map_remove(dirs->by_place, key.data, key.size);
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

int wdirs_move(struct wdirs *dirs, struct wdir *dir, struct wdir *parent, const char *name) {
    _buf_ struct buf key = {0};
    _free_ char *copy = strdup(name);
    unlink_dir(dirs, dir);
    place_key(&key, parent, name);
    if (key.failed || !copy || map_put(dirs->by_place, key.data, key.size, dir, NULL) < 0)
        return -ENOMEM;
    free(dir->name);
    dir->name = TAKE_PTR(copy);
    dir->parent = parent;
    dir->floating = false;
    link_into(&parent->child, dir);
    return 0;
}

int wdirs_add(struct wdirs *dirs, struct wdir *parent, const char *name, struct watch_inode inode, int64_t birth, struct wdir **ret) {
    struct wdir *dir = calloc(1, sizeof(*dir));
    if (!dir)
        return -ENOMEM;
    *dir = (struct wdir){ .wd = -1, .inode = inode, .birth = birth };
    int r = map_put(dirs->by_inode, &inode, sizeof(inode), dir, NULL);
    if (r >= 0 && parent && (r = wdirs_move(dirs, dir, parent, name)) < 0)
        (void)map_remove(dirs->by_inode, &inode, sizeof(inode));
    if (r < 0) {
        dir_free(dir);
        return r;
    }
    *ret = dir;
    return 0;
}

int wdirs_watch(struct wdirs *dirs, struct wdir *dir, int wd) {
    int r = map_put(dirs->by_wd, &wd, sizeof(wd), dir, NULL);
    if (r < 0)
        return r;
    dir->wd = wd;
    dirs->watches++;
    return 0;
}

void wdirs_float(struct wdirs *dirs, struct wdir *dir, unsigned reading) {
    unlink_dir(dirs, dir);
    dir->floating = true;
    dir->left_at = reading;
    link_into(&dirs->floating, dir);
}

void wdirs_untie(struct wdirs *dirs, const struct wdir *dir, struct wdir *parent, unsigned reading) {
    for (struct wdir *at = parent; at; at = at->parent) {
        if (at->parent != dir)
            continue;
        wdirs_float(dirs, at, reading);
        return;
    }
}

/* Forgetting. */

/* One that has no children any more. Its watch is gone already where the directory is. */
static void forget(struct wdirs *dirs, struct wdir *dir) {
    unlink_dir(dirs, dir);
    unqueue(dir);
    if (wdirs_by_inode(dirs, dir->inode) == dir)
        (void)map_remove(dirs->by_inode, &dir->inode, sizeof(dir->inode));
    if (dir->wd >= 0) {
        (void)map_remove(dirs->by_wd, &dir->wd, sizeof(dir->wd));
        (void)inotify_rm_watch(dirs->fd, dir->wd);
        dirs->watches--;
    }
    dir_free(dir);
}

void wdirs_lose(struct wdirs *dirs, struct wdir *dir, unsigned reading) {
    while (dir->child)
        wdirs_float(dirs, dir->child, reading);
    forget(dirs, dir);
}

/* Without recursion. */
void wdirs_forget(struct wdirs *dirs, struct wdir *top) {
    for (struct wdir *at = top;;) {
        while (at->child)
            at = at->child;
        struct wdir *up = at->parent;
        bool last = at == top;
        forget(dirs, at);
        if (last)
            return;
        at = up;
    }
}
