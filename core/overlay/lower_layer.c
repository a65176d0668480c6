/* A lower tree that is a directory: a layer in overlayfs' format, or a plain directory without marks.
 * Holds directories by descriptor within a budget; follows nothing, writes nothing.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "lower.h"

#include "at.h"
#include "by_handle.h"
#include "dirs.h"
#include "fs.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/statvfs.h>

enum { DESCRIPTORS = 256, SHARE = 32 };      /* at most so many directories kept open, and such a part of what we may have */

struct lower_dir {
    struct dir *dir;
    atomic_uint refs;
    bool marked;               /* whiteouts may be files with an xattr */
};

struct layer {
    struct lower lower;
    struct dirs *dirs;
    struct lower_dir root;
    bool marks;
    bool handles;              /* those of the file system last */
};

static struct layer *layer_of(struct lower *lower) {
    return (struct layer *)lower;
}

static void layer_close(struct lower *lower) {
    struct layer *layer = layer_of(lower);
    (void)dirs_close(layer->dirs);
    free(layer);
}

static struct lower_dir *layer_ref(struct lower_dir *dir) {
    atomic_fetch_add_explicit(&dir->refs, 1, memory_order_relaxed);
    return dir;
}

static void layer_unref(struct lower *lower, struct lower_dir *dir) {
    (void)lower;
    if (!dir || atomic_fetch_sub_explicit(&dir->refs, 1, memory_order_acq_rel) != 1)
        return;
    (void)dir_unref(dir->dir);
    free(dir);
}

/* Takes `dir`. */
static struct lower_dir *new_dir(struct dir *dir, bool marked) {
    struct lower_dir *new = dir ? malloc(sizeof(*new)) : NULL;
    if (!new) {
        (void)dir_unref(dir);
        return NULL;
    }
    *new = (struct lower_dir){ .dir = dir, .refs = 1, .marked = marked };
    return new;
}

/* Looking. */

static int read_marks(struct layer *layer, int dirfd, const char *name, struct marks *ret) {
    *ret = (struct marks){0};
    return layer->marks ? marks_read(dirfd, name, ret) : 0;
}

/* A whiteout only where the format counts. */
static int is_whiteout(struct layer *layer, struct lower_dir *dir, int fd, const char *name, const struct stat *stat) {
    return layer->marks ? marks_is_whiteout(fd, name, stat, dir->marked) : 0;
}

static int look_at_dir(struct layer *layer, struct lower_dir *dir, int fd, const char *name, struct lower_entry *entry) {
    struct marks marks;
    int r = read_marks(layer, fd, name, &marks);
    if (r < 0)
        return r;
    entry->opaque = marks.opaque;
    entry->redirect = marks.redirect;
    entry->dir = new_dir(dir_child(dir->dir, name), marks.has_whiteouts);
    return entry->dir ? LOWER_ENTRY : -ENOMEM;
}

static int look_at_file(struct layer *layer, int fd, const char *name, struct lower_entry *entry) {
    struct marks marks;
    int r = may_be_metacopy(&entry->stat) ? read_marks(layer, fd, name, &marks) : 1;
    if (r != 0)
        return r < 0 ? r : LOWER_ENTRY;
    entry->metacopy = marks.metacopy;
    entry->redirect = marks.redirect;
    return LOWER_ENTRY;
}

static void entry_done(struct layer *layer, struct lower_entry *entry) {
    layer_unref(&layer->lower, entry->dir);
    free(entry->redirect);
}

static int layer_lookup(struct lower *lower, struct lower_dir *dir, const char *name, struct lower_entry *ret) {
    struct layer *layer = layer_of(lower);
    _pinned_ struct dir_pinned at = dir_pinned(dir->dir);
    if (at.fd < 0)
        return at.fd;
    struct lower_entry entry = {0};
    int r = fs_is_mount_point(at.fd, name);        /* perhaps our own: it would wait for itself */
    if (r == 0)
        r = at_stat(at.fd, name, &entry.stat, &entry.birth);
    if (r != 0)
        return r > 0 || r == -ENOENT ? LOWER_ABSENT : r;
    r = is_whiteout(layer, dir, at.fd, name, &entry.stat);
    if (r != 0)
        return r < 0 ? r : LOWER_WHITEOUT;
    entry.generation = at_generation(at.fd, name, &entry.birth, layer->handles);
    r = S_ISDIR(entry.stat.st_mode) ? look_at_dir(layer, dir, at.fd, name, &entry) : look_at_file(layer, at.fd, name, &entry);
    if (r < 0)
        entry_done(layer, &entry);
    else
        *ret = entry;
    return r;
}

static int layer_stat_dir(struct lower *lower, struct lower_dir *dir, struct lower_entry *ret) {
    (void)lower;
    _pinned_ struct dir_pinned at = dir_pinned(dir->dir);
    struct lower_entry entry = {0};
    int r = at.fd < 0 ? at.fd : at_stat(at.fd, "", &entry.stat, &entry.birth);
    if (r < 0)
        return r;
    *ret = entry;
    return 0;
}

static int layer_root(struct lower *lower, struct lower_entry *ret) {
    struct layer *layer = layer_of(lower);
    struct lower_entry entry = {0};
    int r = layer_stat_dir(lower, &layer->root, &entry);
    if (r < 0)
        return r;
    entry.dir = layer_ref(&layer->root);
    *ret = entry;
    return 0;
}

/* Listing. */

/* The type of an entry as a listing tells it, whiteouts found out. */
static int name_type(struct layer *layer, struct lower_dir *dir, int fd, const struct dirent *entry) {
    bool doubtful = entry->d_type == DT_UNKNOWN
        || (layer->marks && (entry->d_type == DT_CHR || (entry->d_type == DT_REG && dir->marked)));
    if (!doubtful)
        return entry->d_type;
    struct stat stat;
    struct timespec birth;
    int r = at_stat(fd, entry->d_name, &stat, &birth);
    if (r < 0)
        return r;
    r = is_whiteout(layer, dir, fd, entry->d_name, &stat);
    return r < 0 ? r : r ? DT_WHT : (int)IFTODT(stat.st_mode);
}

static int layer_list(struct lower *lower, struct lower_dir *dir, lower_name_fn fn, void *data) {
    struct layer *layer = layer_of(lower);
    _pinned_ struct dir_pinned at = dir_pinned(dir->dir);
    if (at.fd < 0)
        return at.fd;
    _closedir_ DIR *stream = NULL;
    int r = at_list(at.fd, &stream);
    if (r < 0)
        return r;
    for (struct dirent *entry; errno = 0, (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int type = name_type(layer, dir, at.fd, entry);
        if (type == -ENOENT || (type == DT_DIR && fs_is_mount_point(at.fd, entry->d_name) == 1))
            continue;
        r = type < 0 ? type : fn(data, entry->d_name, (unsigned char)type, entry->d_ino);
        if (r != 0)
            return r;
    }
    return -errno;
}

/* Reading. */

static int layer_open_file(struct lower *lower, struct lower_dir *dir, const char *name) {
    (void)lower;
    _pinned_ struct dir_pinned at = dir_pinned(dir->dir);
    if (at.fd < 0)
        return at.fd;
    int fd = openat(at.fd, *name ? name : ".", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOATIME);
    if (fd < 0 && errno == EPERM)
        fd = openat(at.fd, *name ? name : ".", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int layer_hold(struct lower *lower, struct lower_dir *dir, const char *name) {
    (void)lower;
    _pinned_ struct dir_pinned at = dir_pinned(dir->dir);
    if (at.fd < 0)
        return at.fd;
    int fd = openat(at.fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int layer_read_link(struct lower *lower, struct lower_dir *dir, const char *name, struct buf *ret) {
    (void)lower;
    _pinned_ struct dir_pinned at = dir_pinned(dir->dir);
    return at.fd < 0 ? at.fd : at_read_link(at.fd, name, ret);
}

static ssize_t layer_get_xattr(struct lower *lower, struct lower_dir *dir, const char *name, const char *xattr, void *value, size_t size) {
    _pinned_ struct dir_pinned at = dir_pinned(dir->dir);
    return at.fd < 0 ? at.fd : at_get_xattr(at.fd, name, xattr, value, size, layer_of(lower)->marks);
}

static ssize_t layer_list_xattr(struct lower *lower, struct lower_dir *dir, const char *name, char *list, size_t size) {
    _pinned_ struct dir_pinned at = dir_pinned(dir->dir);
    return at.fd < 0 ? at.fd : at_list_xattr(at.fd, name, list, size, layer_of(lower)->marks);
}

/* Handles are the file system's own: a privileged process can open them, everybody can compare them. */
static int layer_handle(struct lower *lower, struct lower_dir *dir, const char *name, struct lower_handle *ret) {
    (void)lower;
    _pinned_ struct dir_pinned at = dir_pinned(dir->dir);
    if (at.fd < 0)
        return at.fd;
    union { struct file_handle handle; char room[sizeof(struct file_handle) + sizeof(ret->bytes)]; } at_most = {0};
    at_most.handle.handle_bytes = sizeof(ret->bytes);
    int mount;
    if (name_to_handle_at(at.fd, name, &at_most.handle, &mount, *name ? 0 : AT_EMPTY_PATH) < 0)
        return errno == EOVERFLOW ? -EOPNOTSUPP : -errno;
    *ret = (struct lower_handle){ .type = (uint32_t)at_most.handle.handle_type, .size = at_most.handle.handle_bytes };
    memcpy(ret->bytes, at_most.handle.f_handle, ret->size);
    return 0;
}

/* Only who may open handles is told. */
static int layer_find(struct lower *lower, uint64_t ino, const struct lower_handle *handle, struct lower_dir **ret_dir, char **ret_name) {
    struct layer *layer = layer_of(lower);
    _buf_ struct buf path = {0};
    _pinned_ struct dir_pinned root = dir_pinned(layer->root.dir);
    int r = root.fd < 0 || handle ? -EAGAIN : by_handle(root.fd, ino, &path);
    if (r <= 0)
        return r;
    struct dir *dir = dir_ref(layer->root.dir);
    char *name = path.data;
    for (char *slash; dir && (slash = strchr(name, '/')); name = slash + 1) {
        *slash = '\0';
        struct dir *child = dir_child(dir, name);
        (void)dir_unref(dir);
        dir = child;
    }
    struct lower_dir *found = new_dir(dir, false);
    char *kept = strdup(name);
    if (!found || !kept) {
        layer_unref(lower, found);
        free(kept);
        return -ENOMEM;
    }
    *ret_dir = found;
    *ret_name = kept;
    return 1;
}

static int layer_where(struct lower *lower, struct lower_dir *dir, struct buf *ret) {
    (void)lower;
    dir_path(dir->dir, NULL, ret);
    return ret->failed;
}

static int layer_statfs(struct lower *lower, struct statvfs *ret) {
    _pinned_ struct dir_pinned at = dir_pinned(layer_of(lower)->root.dir);
    return at.fd < 0 ? at.fd : fstatvfs(at.fd, ret) < 0 ? -errno : 0;
}

static const struct lower_ops operations = {
    .close = layer_close, .ref = layer_ref, .unref = layer_unref, .root = layer_root, .lookup = layer_lookup,
    .stat_dir = layer_stat_dir, .list = layer_list, .open = layer_open_file, .hold = layer_hold, .read_link = layer_read_link,
    .get_xattr = layer_get_xattr, .list_xattr = layer_list_xattr, .handle = layer_handle, .find = layer_find, .where = layer_where,
    .statfs = layer_statfs,
};

int lower_layer_open(int dirfd, bool marks, struct lower **ret) {
    _free_ struct layer *layer = calloc(1, sizeof(*layer));
    if (!layer)
        return -ENOMEM;
    struct stat stat;
    if (fstat(dirfd, &stat) < 0)
        return -errno;
    if (!S_ISDIR(stat.st_mode))
        return -ENOTDIR;
    int limit = fs_raise_descriptor_limit();
    int r = limit < 0 ? limit : dirs_open(dirfd, MIN((unsigned)limit / SHARE, (unsigned)DESCRIPTORS), &layer->dirs);
    if (r < 0)
        return r;
    layer->lower = (struct lower){ .ops = &operations, .device = stat.st_dev };
    layer->marks = marks;
    layer->handles = at_handles_last(dirfd);
    layer->root = (struct lower_dir){ .dir = dirs_root(layer->dirs), .refs = 1 };
    struct marks root;
    r = read_marks(layer, dirfd, "", &root);
    if (r < 0) {
        (void)dirs_close(layer->dirs);
        return r;
    }
    layer->root.marked = root.has_whiteouts;
    free(root.redirect);
    *ret = &TAKE_PTR(layer)->lower;
    return 0;
}
