/* Handles: open files and directories, and the data that goes through them.
 * A handle follows its object from the lower tree into the current layer. SPDX-License-Identifier: GPL-2.0-or-later */
#include "file.h"

#include "attr.h"
#include "list.h"
#include "below.h"

#include <fcntl.h>

enum { MOVES = 4 };            /* lower, reflinked or metadata alone, whole: more descriptors a handle never had */

struct overlay_handle {
    struct overlay *overlay;
    struct node *node;         /* a reference */
    int flags;                 /* as open(2) */
    atomic_int fd;             /* of the bytes; -1: a directory */
    atomic_uint copies;        /* the node's, when `fd` was opened */
    int old[MOVES];            /* perhaps still read from; under the stripe's mutex */
    unsigned old_count;
    pthread_mutex_t mutex;     /* the listing */
    struct listing *listing;
    struct overlay_handle *next;   /* of the same node, where something is followed */
    unsigned keep;             /* enum overlay_keep, when it was opened */
};

int handle_fd(struct overlay_handle *handle) {
    return handle ? atomic_load(&handle->fd) : -1;
}

struct overlay_handle *handle_next(const struct overlay_handle *handle) {
    return handle->next;
}

void handle_link(struct overlay_handle *handle, struct overlay_handle *next) {
    handle->next = next;
}

void handle_unlink(struct overlay_handle *first, const struct overlay_handle *handle) {
    while (first && first->next != handle)
        first = first->next;
    if (first)
        first->next = handle->next;
}

int handle_new(struct overlay *overlay, struct node *node, int flags, int fd, struct overlay_handle **ret) {
    struct overlay_handle *handle = calloc(1, sizeof(*handle));
    int r = handle ? -pthread_mutex_init(&handle->mutex, NULL) : -ENOMEM;
    if (r < 0) {
        free(handle);
        return r;
    }
    node_ref(overlay, node);
    handle->overlay = overlay;
    handle->node = node;
    handle->flags = flags;
    atomic_store(&handle->fd, fd);
    atomic_store(&handle->copies, atomic_load(&node->copies));
    atomic_fetch_add(&overlay->handles, 1);
    handle->keep = OVERLAY_KEEP_DATA;
    if (overlay->below && fd >= 0)
        below_opened(overlay, handle, node->number);
    *ret = handle;
    return 0;
}

void overlay_release(struct overlay *overlay, struct overlay_handle *handle) {
    if (overlay->below && !node_is_dir(handle->node))
        below_released(overlay, handle, handle->node->number);
    (void)fd_close(atomic_load(&handle->fd));
    for (unsigned i = 0; i < handle->old_count; i++)
        (void)fd_close(handle->old[i]);
    handle->listing = listing_free(handle->listing);
    (void)pthread_mutex_destroy(&handle->mutex);
    node_unref(overlay, handle->node);
    free(handle);
    atomic_fetch_sub(&overlay->handles, 1);
}

/* Opening. */

enum { KEPT = O_ACCMODE | O_APPEND | O_DIRECT | O_SYNC | O_DSYNC | O_NOATIME | O_NONBLOCK };

/* What a name below leads to may be another file by now. */
static int check_opened(struct overlay *overlay, struct node *node, const struct lower_place *place, int fd) {
    struct stat stat;
    if (!overlay->below || overlay->lowers[place->lower]->immutable)
        return 0;
    _lower_place_ struct lower_place_ref meta = { .overlay = overlay, .place = node_meta(overlay, node) };
    if (meta.place != place)
        return 0;                          /* bytes alone: those of whatever has the name */
    if (fstat(fd, &stat) < 0)
        return -errno;
    return stat.st_ino == node->real && (stat.st_mode & S_IFMT) == node->type ? 0 : -ESTALE;
}

/* `tree` is held. The descriptor of the bytes as they are now. */
static int open_bytes(struct overlay *overlay, struct node *node, int flags) {
    if (node_is(node, NODE_UPPER) && !node_is(node, NODE_METACOPY)) {
        _upper_ struct upper_at at = {0};
        int r = upper_reach(overlay, node, &at);
        return r < 0 ? r : upper_open(&at, flags);
    }
    _lower_place_ struct lower_place_ref at = { .overlay = overlay, .place = node_data(overlay, node) };
    if (!at.place)
        return -ESTALE;
    struct lower *lower = overlay->lowers[at.place->lower];
    _close_ int fd = lower->ops->open(lower, at.place->dir, at.place->name);
    int r = fd < 0 ? (overlay->below && is_gone_error(fd) ? -ESTALE : fd) : check_opened(overlay, node, at.place, fd);
    return r < 0 ? r : TAKE_FD(fd);
}

static int check_open(const struct node *node) {
    return S_ISREG(node->type) ? 0 : S_ISDIR(node->type) ? -EISDIR : S_ISLNK(node->type) ? -ELOOP : -ENXIO;
}

static bool wants_writing(int flags) {
    return (flags & O_ACCMODE) != O_RDONLY;
}

static int open_handle(struct overlay *overlay, struct node *node, int flags, struct overlay_handle **ret) {
    unsigned copies = atomic_load(&node->copies);
    _close_ int fd = open_bytes(overlay, node, flags & KEPT);
    if (fd < 0)
        return fd;
    int r = handle_new(overlay, node, flags & KEPT, fd, ret);
    if (r < 0)
        return r;
    (void)TAKE_FD(fd);
    atomic_store(&(*ret)->copies, copies);
    return 0;
}

static int open_now(struct overlay *overlay, struct node *node, int flags, struct overlay_handle **ret) {
    tree_read(overlay);
    struct stat stat;
    int r = open_handle(overlay, node, flags, ret);
    if (r >= 0)
        (*ret)->keep = below_keep(overlay, node, 1);
    if (r >= 0 && overlay->below && (fstat(handle_fd(*ret), &stat) < 0 || below_see(node, &stat)))
        (*ret)->keep = 0;
    tree_unlock(overlay);
    return r;
}

/* What is opened is what the name shows at this moment, whatever the kernel still takes it for. */
static int open_followed(struct overlay *overlay, struct node *node, int flags, struct overlay_handle **ret) {
    unsigned tries = 0;
    int doubtful = overlay_is_doubtful(overlay, node->number);
    int r = doubtful > 0 ? below_find_again(overlay, node) : doubtful;
    if (r == 0)
        r = open_now(overlay, node, flags, ret);
    while ((r = below_again(overlay, node, r, &tries)) > 0)
        r = open_now(overlay, node, flags, ret);
    bool held = r == -ENOENT || (r == -ESTALE && below_is_recent(overlay, node));      /* by a descriptor of it, or looked up just before */
    if (held && !node_is(node, NODE_UPPER)) {
        _close_ int fd = below_reopen(overlay, node);
        int opened = fd < 0 ? r : handle_new(overlay, node, flags & KEPT, fd, ret);
        if (opened == 0)
            (void)TAKE_FD(fd);
        r = opened;
        doubtful = 1;
    }
    if (r == 0 && doubtful)
        (*ret)->keep = 0;
    return r;
}

unsigned overlay_kept(const struct overlay_handle *handle) {
    return handle->keep;
}

int overlay_open_file(struct overlay *overlay, uint64_t number, int flags, struct overlay_handle **ret) {
    _node_ struct node_ref of = { .overlay = overlay };
    struct overlay_handle *handle = NULL;
    int r = node_find(overlay, number, &of.node);
    if (r >= 0)
        r = check_open(of.node);
    if (r >= 0 && !overlay->upper && (wants_writing(flags) || flags & O_TRUNC))
        r = -EROFS;
    if (r >= 0 && flags & O_TRUNC)
        r = copy_up(overlay, of.node, COPY_UP_EMPTY);
    if (r < 0)
        return r;
    r = overlay->below ? open_followed(overlay, of.node, flags, &handle) : open_now(overlay, of.node, flags, &handle);
    if (r >= 0 && flags & O_TRUNC && ftruncate(handle_fd(handle), 0) < 0) {
        r = -errno;
        overlay_release(overlay, handle);
    }
    if (r >= 0)
        *ret = handle;
    return r;
}

/* Data. */

/* The bytes moved since the handle was opened. The old descriptor stays, for who reads from it at this moment. */
static int follow(struct overlay_handle *handle) {
    struct overlay *overlay = handle->overlay;
    struct node *node = handle->node;
    tree_read(overlay);
    unsigned copies = atomic_load(&node->copies);
    _close_ int fd = open_bytes(overlay, node, handle->flags);
    int r = fd < 0 ? fd : 0;
    struct stripe *stripe = node_lock(overlay, node);
    if (r >= 0 && atomic_load(&handle->copies) != copies) {
        if (handle->old_count < MOVES)
            handle->old[handle->old_count++] = atomic_exchange(&handle->fd, TAKE_FD(fd));
        atomic_store(&handle->copies, copies);
    }
    node_unlock(stripe);
    tree_unlock(overlay);
    return r;
}

int overlay_data_begin(struct overlay_handle *handle, bool write) {
    struct node *node = handle->node;
    if (write && !wants_writing(handle->flags))
        return -EBADF;
    if (node_is_dir(node))
        return -EISDIR;
    int r = write ? copy_up_open(handle->overlay, node, COPY_UP_ALL, atomic_load(&handle->fd)) : 0;
    while (r >= 0 && atomic_load(&handle->copies) != atomic_load(&node->copies))
        r = follow(handle);
    return r < 0 ? r : atomic_load(&handle->fd);
}

void overlay_data_end(struct overlay_handle *handle) {
    (void)handle;              /* a descriptor lives as long as its handle */
}

int overlay_is_settled(struct overlay *overlay, uint64_t number) {
    _node_ struct node_ref of = { .overlay = overlay };
    int r = node_find(overlay, number, &of.node);
    if (r < 0)
        return r;
    return !overlay->upper || (node_is(of.node, NODE_UPPER) && !node_is(of.node, NODE_METACOPY));
}

/* The names that lead to the object, as far as they may be new. */
static int sync_names(struct overlay *overlay, struct node *node) {
    int r = 0;
    tree_read(overlay);
    for (struct place *place; r >= 0 && node_is(node, NODE_FRESH) && (place = atomic_load(&node->places)); node = place->parent) {
        if (!place->parent->dir.upper)
            break;
        node_unmark(node, NODE_FRESH);
        _pinned_ struct dir_pinned at = dir_pinned(place->parent->dir.upper);
        _close_ int fd = at.fd < 0 ? -1 : openat(at.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = at.fd < 0 ? at.fd : fd < 0 || fsync(fd) < 0 ? -errno : 0;
        if (r < 0)
            node_mark(node, NODE_FRESH);
    }
    tree_unlock(overlay);
    return r == -EACCES ? 0 : r;       /* a directory that we may not read: its own fsync is the caller's to ask for, and as refused */
}

/* The descriptor to the object in the current layer, where the bytes are elsewhere. */
static int sync_metadata(struct overlay_handle *handle) {
    struct upper_at at = {0};
    tree_read(handle->overlay);
    int r = upper_reach(handle->overlay, handle->node, &at);
    _close_ int fd = r < 0 ? r : upper_open(&at, O_RDONLY);
    upper_leave(&at);
    tree_unlock(handle->overlay);
    return fd < 0 ? fd : fsync(fd) < 0 ? -errno : 0;
}

int overlay_fsync(struct overlay_handle *handle, bool data_only) {
    int fd = overlay_data_begin(handle, false);
    if (fd < 0)
        return fd;
    int r = node_is(handle->node, NODE_METACOPY) ? sync_metadata(handle) : (data_only ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
    if (r == -EROFS || !node_is(handle->node, NODE_UPPER))
        return 0;
    return r < 0 ? r : sync_names(handle->overlay, handle->node);
}

int overlay_fallocate(struct overlay_handle *handle, int mode, off_t offset, off_t size) {
    int fd = overlay_data_begin(handle, true);
    return fd < 0 ? fd : fallocate(fd, mode, offset, size) < 0 ? -errno : 0;
}

off_t overlay_lseek(struct overlay_handle *handle, off_t offset, int whence) {
    int fd = overlay_data_begin(handle, false);
    if (fd < 0)
        return fd;
    off_t at = lseek(fd, offset, whence);
    return at < 0 ? -errno : at;
}

ssize_t overlay_copy_range(struct overlay_handle *from, off_t from_offset, struct overlay_handle *to, off_t to_offset, size_t size) {
    int to_fd = overlay_data_begin(to, true);
    int from_fd = to_fd < 0 ? to_fd : overlay_data_begin(from, false);
    if (from_fd < 0)
        return from_fd;
    ssize_t got = copy_file_range(from_fd, &from_offset, to_fd, &to_offset, size, 0);
    return got < 0 ? -errno : got;
}

/* Directories. */

/* A directory that is not there any more is empty for who holds it, and looked up again by who came by its name. */
static int check_listed(struct overlay *overlay, struct node *node) {
    struct stat stat;
    struct timespec birth;
    unsigned tries = 0;
    int r = overlay_is_doubtful(overlay, node->number) > 0 ? below_find_again(overlay, node) : 0;
    if (r == -ESTALE)
        r = below_lost_error(overlay, node);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    do {
        tree_read(overlay);
        r = node_stat(overlay, node, &stat, &birth);
        tree_unlock(overlay);
        r = below_again(overlay, node, is_gone_error(r) ? -ESTALE : r, &tries);
    } while (r > 0);
    return r == -ENOENT ? 0 : r;
}

int overlay_open_dir(struct overlay *overlay, uint64_t number, struct overlay_handle **ret) {
    _node_ struct node_ref of = { .overlay = overlay };
    int r = node_find_dir(overlay, number, &of.node);
    if (r < 0 || (overlay->below && (r = check_listed(overlay, of.node)) < 0))
        return r;
    bool moved = node_is(of.node, NODE_MOVED);
    node_unmark(of.node, NODE_MOVED);
    int doubtful = overlay->below ? overlay_is_doubtful(overlay, number) : 0;
    r = handle_new(overlay, of.node, O_RDONLY | O_DIRECTORY, -1, ret);
    if (r < 0)
        return r;
    tree_read(overlay);
    (*ret)->keep = doubtful ? 0 : below_keep(overlay, of.node, 1);
    tree_unlock(overlay);
    return moved;
}

int overlay_read_dir(struct overlay_handle *handle, off_t offset, overlay_name_fn fn, void *data) {
    int r = 0;
    if (!node_is_dir(handle->node))
        return -ENOTDIR;
    if (pthread_mutex_lock(&handle->mutex) != 0)
        abort();
    if (offset == 0 || !handle->listing) {
        struct listing *fresh = NULL;
        r = listing_make(handle->overlay, handle->node, &fresh);
        if (r >= 0) {
            (void)listing_free(handle->listing);
            handle->listing = fresh;
        }
    }
    if (r >= 0)
        r = listing_read(handle->listing, offset, fn, data);
    if (pthread_mutex_unlock(&handle->mutex) != 0)
        abort();
    return r;
}

int overlay_sync_dir(struct overlay_handle *handle, bool data_only) {
    struct overlay *overlay = handle->overlay;
    struct node *node = handle->node;
    tree_read(overlay);
    int r = 0;
    if (node_is_dir(node) && node->dir.upper && !node_is(node, NODE_GONE)) {
        _pinned_ struct dir_pinned at = dir_pinned(node->dir.upper);
        _close_ int fd = at.fd < 0 ? -1 : openat(at.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = at.fd < 0 ? at.fd : fd < 0 ? -errno : (data_only ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
    }
    tree_unlock(overlay);
    return r < 0 ? r : sync_names(overlay, node);
}
