/* Objects that are not where they were, underneath: found again if they only moved, else what is answered about them.
 *
 * The kernel asks a path anew, from its beginning, when it is told -ESTALE, once. So that is what a request gets that came by a name which
 * shows something else by now, and the program gets what the name shows. Who holds an object that has no name any more, by a
 * descriptor or as its directory, comes again with the same object, and is answered as POSIX has it for what was removed.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "below.h"

#include "at.h"
#include "attr.h"
#include "file.h"
#include "map.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Finding again. */

struct pending { struct event **at; size_t count, room; };

static void pending_done(struct pending *pending) {
    for (size_t i = 0; i < pending->count; i++)
        free(pending->at[i]);
    free(pending->at);
}

static int collect(const struct map *names, struct pending *pending) {
    for (struct map_iter i = {0}; map_next(names, &i);) {
        const struct event *event = i.value;
        if (!(event->what & WATCH_EACH_NAME))
            continue;
        size_t size = sizeof(*event) + strlen(event->name) + 1;
        struct event *copy = MAKE_ROOM(pending->at, pending->count, pending->room) < 0 ? NULL : malloc(size);
        if (!copy)
            return -ENOMEM;
        pending->at[pending->count++] = memcpy(copy, event, size);
    }
    return 0;
}

/* 1 = the name shows this node (or somebody who is known, where `node` is NULL), which is there from now on. */
static int meet(struct overlay *overlay, struct node *parent, const char *name, const struct node *node) {
    _found_ struct found_ref at = { .overlay = overlay };
    int r = resolve(overlay, parent, name, &at.found);
    if (r < 0 || !at.found.is)
        return is_gone_error(r) ? 0 : r;
    struct node *met = node_meet(overlay, parent, name, &at.found);
    if (met)
        node_unref(overlay, met);
    return met && (!node || met == node);
}

/* Whoever moved, as far as it was seen, is where it moved to. `tree` is held for writing. */
static int settle(struct overlay *overlay) {
    _cleanup_(pending_done) struct pending pending = {0};
    struct below *below = overlay->below;
    below_lock(below);
    below_overhear(overlay);
    int r = collect(below->telling.names, &pending);
    if (r == 0)
        r = collect(below->now.names, &pending);
    below_unlock(below);
    for (size_t i = 0; r >= 0 && i < pending.count; i++) {
        _node_ struct node_ref dir = { .overlay = overlay };
        if (node_find_dir(overlay, pending.at[i]->node, &dir.node) == 0)
            r = meet(overlay, dir.node, pending.at[i]->name, NULL);
    }
    return MIN(r, 0);
}

/* By one of its names; a place may go while it is met again. */
static int find_at(struct overlay *overlay, struct node *node, struct place *place) {
    _free_ char *name = strdup(place->name);
    return name ? meet(overlay, place->parent, name, node) : -ENOMEM;
}

/* From the root down to the directory. */
static int find_dirs(struct overlay *overlay, struct node *dir) {
    _free_ struct node **chain = NULL;
    size_t count = 0, room = 0;
    for (struct place *place; (place = atomic_load(&dir->places)); dir = place->parent) {
        if (MAKE_ROOM(chain, count, room) < 0)
            return -ENOMEM;
        chain[count++] = dir;
    }
    int r = dir == overlay->root;
    while (r > 0 && count > 0) {
        struct node *at = chain[--count];
        r = find_at(overlay, at, atomic_load(&at->places));
    }
    return r;
}

static int find_file(struct overlay *overlay, struct node *node) {
    int r = 0;
    for (struct place *place = atomic_load(&node->places), *next; place && r == 0; place = next) {
        next = atomic_load(&place->next);
        r = find_dirs(overlay, place->parent);
        if (r > 0)
            r = find_at(overlay, node, place);
    }
    return r;
}

int below_find_again(struct overlay *overlay, struct node *node) {
    tree_write(overlay);
    int r = settle(overlay);
    if (r == 0)
        r = node_is_dir(node) ? find_dirs(overlay, node) : find_file(overlay, node);
    tree_unlock(overlay);
    return r < 0 ? r : r ? 0 : -ESTALE;
}

/* Answers. */

static __thread pid_t asking;

void overlay_asked_by(pid_t pid) {
    asking = pid;
}

int below_lost_error(struct overlay *overlay, struct node *node) {
    bool again = atomic_fetch_or(&node->flags, NODE_LOST) & NODE_LOST;
    int before = atomic_exchange(&node->missed_by, (int)asking);
    atomic_store(&overlay->below->contended, CONTENDED);
    return again && before == asking ? -ENOENT : -ESTALE;
}

/* What was remembered. */

static int remember_file(struct overlay *overlay, struct node *node) {
    _lower_place_ struct lower_place_ref at = { .overlay = overlay, .place = node_meta(overlay, node) };
    struct lower *lower = at.place ? overlay->lowers[at.place->lower] : NULL;
    if (!lower || !lower->ops->hold)
        return 0;
    _close_ int fd = lower->ops->hold(lower, at.place->dir, at.place->name);
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) < 0)
        return fd < 0 ? fd : -errno;
    if (stat.st_ino != node->real)
        return -ESTALE;
    struct below *below = overlay->below;
    below_lock(below);
    struct recent *recent = &below->recent[below->recent_next++ % RECENT];
    int old = recent->fd;
    *recent = (struct recent){ .node = node->number, .fd = TAKE_FD(fd) };
    below_unlock(below);
    (void)fd_close(old);
    return 0;
}

/* Its descriptor is among those that are kept open, so it is reached whatever has its name. */
static int remember_dir(struct overlay *overlay, const struct node *dir) {
    for (unsigned i = 0; i < dir->dir.part_count; i++) {
        struct lower *lower = overlay->lowers[dir->dir.parts[i].lower];
        struct lower_entry entry = {0};
        int r = lower->ops->stat_dir(lower, dir->dir.parts[i].dir, &entry);
        if (r < 0 || entry.stat.st_ino != dir->dir.parts[i].ino)
            return r < 0 ? r : -ESTALE;
    }
    return 0;
}

int below_remember(struct overlay *overlay, struct node *node, bool *ret_held) {
    struct below *below = overlay->below;
    *ret_held = false;
    if (!below || node_is(node, NODE_UPPER) || atomic_load(&below->contended) == 0)
        return 0;
    atomic_fetch_sub(&below->contended, 1);        /* one more or less for two who come at once is no matter */
    int r = node_is_dir(node) ? remember_dir(overlay, node) : remember_file(overlay, node);
    *ret_held = r == 0;
    return is_gone_error(r) ? -ESTALE : r;
}

static const struct recent *find_recent(const struct below *below, uint64_t node) {
    for (size_t i = 0; i < RECENT; i++)
        if (below->recent[i].fd >= 0 && below->recent[i].node == node)
            return &below->recent[i];
    return NULL;
}

bool below_is_recent(struct overlay *overlay, const struct node *node) {
    below_lock(overlay->below);
    bool is = find_recent(overlay->below, node->number);
    below_unlock(overlay->below);
    return is;
}

int below_again(struct overlay *overlay, struct node *node, int r, unsigned *tries) {
    if (!overlay->below || r != -ESTALE)
        return MIN(r, 0);
    if ((*tries)++ < TRIES_MOST && below_find_again(overlay, node) == 0)
        return 1;
    return below_lost_error(overlay, node);
}

/* Open files. */

void below_opened(struct overlay *overlay, struct overlay_handle *handle, uint64_t node) {
    struct below *below = overlay->below;
    void *first = NULL;
    below_lock(below);
    if (map_put(below->handles, &node, sizeof(node), handle, &first) > 0)
        handle_link(handle, first);
    below_unlock(below);
}

void below_released(struct overlay *overlay, struct overlay_handle *handle, uint64_t node) {
    struct below *below = overlay->below;
    below_lock(below);
    struct overlay_handle *first = map_get(below->handles, &node, sizeof(node));
    if (first == handle && !handle_next(handle))
        (void)map_remove(below->handles, &node, sizeof(node));
    else if (first == handle)
        (void)map_put(below->handles, &node, sizeof(node), handle_next(handle), NULL);     /* in its place: takes no memory */
    else if (first)
        handle_unlink(first, handle);
    below_unlock(below);
}

int below_borrow(struct overlay *overlay, const struct node *node) {
    struct below *below = overlay->below;
    below_lock(below);
    struct overlay_handle *handle = map_get(below->handles, &node->number, sizeof(node->number));
    const struct recent *recent = handle ? NULL : find_recent(below, node->number);
    int held = handle ? handle_fd(handle) : recent ? recent->fd : -1;
    int fd = held < 0 ? -1 : fcntl(held, F_DUPFD_CLOEXEC, 3);
    int r = held < 0 ? -ESTALE : fd < 0 ? -errno : fd;
    below_unlock(below);
    return r;
}

int below_reopen(struct overlay *overlay, const struct node *node) {
    char path[40];
    _close_ int fd = below_borrow(overlay, node);
    if (fd < 0)
        return fd;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int again = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    return again < 0 ? -errno : again;
}

/* Without being asked for by a path that leads elsewhere by now: then the kernel asks again. */
int below_raise_lost(struct overlay *overlay, struct node *node, enum copy_up what, int r) {
    if (!S_ISREG(node->type) || (r == -ESTALE && !below_is_recent(overlay, node)))
        return r;
    _close_ int fd = below_reopen(overlay, node);
    return fd < 0 ? r : copy_up_open(overlay, node, what, fd);
}

int below_stat_lost(struct overlay *overlay, struct node *node, struct stat *ret, struct timespec *ret_birth) {
    _close_ int fd = below_borrow(overlay, node);
    if (fd >= 0)
        return at_stat(fd, "", ret, ret_birth);
    int r = below_lost_error(overlay, node);
    if (r != -ENOENT)
        return r;
    *ret = (struct stat){ .st_ino = node->real, .st_mode = node->type | (node_is_dir(node) ? 0755 : 0644), .st_uid = overlay->uid,
                          .st_gid = overlay->gid, .st_blksize = 4096 };
    *ret_birth = (struct timespec){0};
    return 0;
}
