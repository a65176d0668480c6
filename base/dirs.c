/* Directories of one tree, held by descriptor, in a bounded cache.
 * Refuses paths: every step is one name, opened without following anything.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "dirs.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

struct dir {
    struct dirs *dirs;
    struct dir *parent;        /* a reference; NULL: the root */
    atomic_uint refs;
    /* the rest under the tree's mutex */
    int fd;                    /* -1 = not open */
    unsigned pins;
    bool known;                /* dev and ino are those of the first opening */
    bool forgotten;            /* the descriptor goes at the last unpin */
    dev_t dev;
    ino_t ino;
    struct dir *newer, *older; /* among the open and unpinned */
    char *name;                /* `first`, or allocated after a move */
    char first[];
};

struct dirs {
    pthread_mutex_t mutex;
    struct dir *root;          /* its descriptor is not counted and never evicted */
    struct dir *newest, *oldest;
    unsigned budget, open;
};

enum { BUDGET_LEAST = 8, CHAIN = 32 };

static void lock(struct dirs *dirs) {
    if (pthread_mutex_lock(&dirs->mutex) != 0)
        abort();
}

static void unlock(struct dirs *dirs) {
    if (pthread_mutex_unlock(&dirs->mutex) != 0)
        abort();
}

static struct dir *node_new(struct dirs *dirs, struct dir *parent, const char *name) {
    size_t size = strlen(name) + 1;
    struct dir *dir = malloc(sizeof(*dir) + size);
    if (!dir)
        return NULL;
    *dir = (struct dir){ .dirs = dirs, .parent = parent, .refs = 1, .fd = -1 };
    dir->name = memcpy(dir->first, name, size);
    return dir;
}

static void node_free(struct dir *dir) {
    if (dir->name != dir->first)
        free(dir->name);
    free(dir);
}

/* The list of what may be evicted. */

static void idle_add(struct dir *dir) {
    struct dirs *dirs = dir->dirs;
    dir->newer = NULL;
    dir->older = dirs->newest;
    *(dirs->newest ? &dirs->newest->newer : &dirs->oldest) = dir;
    dirs->newest = dir;
}

static void idle_remove(struct dir *dir) {
    struct dirs *dirs = dir->dirs;
    *(dir->newer ? &dir->newer->older : &dirs->newest) = dir->older;
    *(dir->older ? &dir->older->newer : &dirs->oldest) = dir->newer;
    dir->newer = dir->older = NULL;
}

/* Of an idle node. */
static void shut(struct dir *dir) {
    idle_remove(dir);
    dir->fd = fd_close(dir->fd);
    dir->dirs->open--;
}

static void evict_down_to(struct dirs *dirs, unsigned count) {
    while (dirs->open > count && dirs->oldest)
        shut(dirs->oldest);
}

static void pin(struct dir *dir) {
    if (dir->pins++ == 0 && dir->parent)
        idle_remove(dir);
}

static void unpin(struct dir *dir) {
    if (--dir->pins > 0 || !dir->parent)
        return;
    idle_add(dir);
    if (dir->forgotten)
        shut(dir);
    dir->forgotten = false;
    evict_down_to(dir->dirs, dir->dirs->budget);
}

/* Trees. */

int dirs_open(int rootfd, unsigned budget, struct dirs **ret) {
    _dirs_ struct dirs *dirs = calloc(1, sizeof(*dirs));
    if (!dirs)
        return -ENOMEM;
    dirs->budget = MAX(budget, (unsigned)BUDGET_LEAST);
    int r = pthread_mutex_init(&dirs->mutex, NULL);
    if (r != 0) {
        free(TAKE_PTR(dirs));
        return -r;
    }
    dirs->root = node_new(dirs, NULL, "");
    if (!dirs->root)
        return -ENOMEM;
    dirs->root->fd = fcntl(rootfd, F_DUPFD_CLOEXEC, 3);
    if (dirs->root->fd < 0)
        return -errno;
    *ret = TAKE_PTR(dirs);
    return 0;
}

struct dirs *dirs_close(struct dirs *dirs) {
    if (!dirs)
        return NULL;
    if (dirs->root)
        dirs->root->fd = fd_close(dirs->root->fd);
    free(dirs->root);
    (void)pthread_mutex_destroy(&dirs->mutex);
    free(dirs);
    return NULL;
}

struct dir *dirs_root(struct dirs *dirs) {
    return dirs->root;
}

/* Nodes. */

struct dir *dir_child(struct dir *parent, const char *name) {
    struct dir *dir = node_new(parent->dirs, parent, name);
    if (dir)
        dir_ref(parent);
    return dir;
}

struct dir *dir_ref(struct dir *dir) {
    atomic_fetch_add_explicit(&dir->refs, 1, memory_order_relaxed);
    return dir;
}

struct dir *dir_unref(struct dir *dir) {
    /* The root's own reference belongs to the tree, so its count does not come to 0 here. */
    while (dir && atomic_fetch_sub_explicit(&dir->refs, 1, memory_order_acq_rel) == 1) {
        struct dir *parent = dir->parent;
        lock(dir->dirs);
        if (dir->fd >= 0)
            shut(dir);
        unlock(dir->dirs);
        node_free(dir);
        dir = parent;
    }
    return NULL;
}

struct dir *dir_parent(const struct dir *dir) {
    return dir->parent;
}

const char *dir_name(const struct dir *dir) {
    return dir->name;
}

/* Opening. */

static int open_below(int parentfd, const char *name) {
    int flags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parentfd, name, O_RDONLY | flags);
    if (fd < 0 && errno == EACCES)
        fd = openat(parentfd, name, O_PATH | flags);
    return fd < 0 ? -errno : fd;
}

/* Out of descriptors: gives up every idle one, and keeps fewer from now on. True: some were freed. */
static bool make_room(struct dirs *dirs) {
    lock(dirs);
    unsigned before = dirs->open;
    evict_down_to(dirs, 0);
    bool freed = dirs->open < before;
    unsigned fewer = MAX(before - before / 4, (unsigned)BUDGET_LEAST);
    if (freed)
        dirs->budget = MIN(dirs->budget, fewer);
    unlock(dirs);
    return freed;
}

static int open_node(struct dir *dir, struct stat *ret) {
    _close_ int fd = open_below(dir->parent->fd, dir->name);
    if ((fd == -EMFILE || fd == -ENFILE) && make_room(dir->dirs))
        fd = open_below(dir->parent->fd, dir->name);
    if (fd < 0)
        return fd;
    if (fstat(fd, ret) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* Hands `fd` to the node, pins it, and lets go of its parent. Another thread may have been faster. */
static int settle(struct dir *dir, int fd, const struct stat *stat) {
    if (dir->known && (dir->dev != stat->st_dev || dir->ino != stat->st_ino)) {
        (void)fd_close(fd);
        return -ESTALE;
    }
    dir->known = true;
    dir->dev = stat->st_dev;
    dir->ino = stat->st_ino;
    if (dir->fd >= 0) {
        (void)fd_close(fd);
        pin(dir);
        return 0;
    }
    dir->fd = fd;
    dir->pins = 1;
    dir->dirs->open++;
    return 0;
}

/* Opens `dir`, whose parent is pinned; the parent's pin becomes this one's, or is let go. */
static int step_down(struct dir *dir) {
    struct dirs *dirs = dir->dirs;
    struct stat stat;
    int fd = open_node(dir, &stat);
    lock(dirs);
    int r = fd < 0 ? fd : settle(dir, fd, &stat);
    unpin(dir->parent);
    evict_down_to(dirs, dirs->budget);
    unlock(dirs);
    return r;
}

/* Pins the nearest open node, `dir` itself or an ancestor; *ret_steps: how far up. */
static struct dir *pin_nearest(struct dir *dir, size_t *ret_steps) {
    size_t steps = 0;
    lock(dir->dirs);
    struct dir *near = dir;
    for (; near->fd < 0; near = near->parent)
        steps++;
    pin(near);
    unlock(dir->dirs);
    *ret_steps = steps;
    return near;
}

int dir_pin(struct dir *dir) {
    size_t steps;
    struct dir *near = pin_nearest(dir, &steps);
    if (steps == 0)
        return dir->fd;
    _free_ struct dir **many = NULL;
    struct dir *few[CHAIN], **chain = few;
    if (steps > CHAIN && !(chain = many = malloc(steps * sizeof(*many)))) {
        dir_unpin(near);
        return -ENOMEM;
    }
    size_t at = steps;
    for (struct dir *i = dir; i != near; i = i->parent)
        chain[--at] = i;
    for (; at < steps; at++) {
        int r = step_down(chain[at]);
        if (r < 0)
            return r;
    }
    return dir->fd;
}

void dir_unpin(struct dir *dir) {
    lock(dir->dirs);
    unpin(dir);
    unlock(dir->dirs);
}

void dir_path(const struct dir *dir, const char *name_or_null, struct buf *out) {
    size_t size = name_or_null ? strlen(name_or_null) + 1 : 0;
    for (const struct dir *i = dir; i->parent; i = i->parent)
        size += strlen(i->name) + 1;
    if (size == 0)
        return;
    _free_ char *path = malloc(size);
    if (!path) {
        out->failed = -ENOMEM;
        return;
    }
    char *at = path + size;    /* every piece is followed by a slash, the last one's is not added */
    if (name_or_null) {
        *--at = '/';
        at -= strlen(name_or_null);
        memcpy(at, name_or_null, strlen(name_or_null));
    }
    for (const struct dir *i = dir; i->parent; i = i->parent) {
        *--at = '/';
        at -= strlen(i->name);
        memcpy(at, i->name, strlen(i->name));
    }
    buf_add(out, path, size - 1);
}

int dir_make(struct dir *dir) {
    if (!dir->parent)
        return 0;
    _pinned_ struct dir_pinned parent = dir_pinned(dir->parent);
    if (parent.fd < 0)
        return parent.fd;
    if (mkdirat(parent.fd, dir->name, 0700) == 0) {
        dir_forget(dir);
        return 1;
    }
    if (errno != EEXIST)
        return -errno;
    struct stat stat;
    if (fstatat(parent.fd, dir->name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return S_ISDIR(stat.st_mode) ? 0 : -ENOTDIR;
}

void dir_forget(struct dir *dir) {
    if (!dir->parent)
        return;
    lock(dir->dirs);
    dir->known = false;
    if (dir->fd >= 0 && dir->pins == 0)
        shut(dir);
    else if (dir->fd >= 0)
        dir->forgotten = true;
    unlock(dir->dirs);
}

void dir_move(struct dir *dir, struct dir *parent, char *name) {
    struct dir *old = dir->parent;
    lock(dir->dirs);
    if (dir->name != dir->first)
        free(dir->name);
    dir->name = name;
    dir->parent = dir_ref(parent);
    unlock(dir->dirs);
    (void)dir_unref(old);
}
