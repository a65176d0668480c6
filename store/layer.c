/* Layers on disk: whiteouts, opaque directories, redirects, and a layer being built in work/.
 * Knows nothing of stacks or snapshots, decides no metadata; what a file cannot hold is left to the manifest.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "layer.h"

#include "flusher.h"
#include "fs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define XATTR_WHITEOUT "user.overlay.whiteout"
#define XATTR_OPAQUE "user.overlay.opaque"
#define XATTR_REDIRECT "user.overlay.redirect"

enum { STAGE_DESCRIPTORS = 256 };

/* The marks. */

/* overlayfs looks for whiteouts in xattr form only in directories whose opaque mark is "x" (6.8); opaque ones need none. */
static int mark_xattr_whiteouts(int dirfd) {
    if (fsetxattr(dirfd, XATTR_OPAQUE, "x", 1, XATTR_CREATE) < 0 && errno != EEXIST)
        return -errno;
    return 0;
}

static int whiteout_by_xattr(int dirfd, const char *name) {
    _close_ int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int result = fsetxattr(fd, XATTR_WHITEOUT, "y", 1, 0) < 0 ? -errno : mark_xattr_whiteouts(dirfd);
    if (result < 0)
        (void)unlinkat(dirfd, name, 0);       /* the failure above is the one to tell */
    return result;
}

static bool refused(int error) {
    return error == EPERM || error == EACCES || error == EOPNOTSUPP || error == ENOSYS || error == EINVAL;
}

int layer_whiteout(int dirfd, const char *name) {
    if (mknodat(dirfd, name, S_IFCHR, makedev(0, 0)) == 0)
        return 0;
    return refused(errno) ? whiteout_by_xattr(dirfd, name) : -errno;
}

static int has_whiteout_xattr(int dirfd, const char *name) {
    _close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fgetxattr(fd, XATTR_WHITEOUT, NULL, 0) >= 0)
        return 1;
    return errno == ENODATA || errno == EOPNOTSUPP ? 0 : -errno;
}

int layer_is_whiteout(int dirfd, const char *name) {
    struct stat stat;
    if (fstatat(dirfd, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISCHR(stat.st_mode))
        return stat.st_rdev == makedev(0, 0);
    if (!S_ISREG(stat.st_mode) || stat.st_size != 0)
        return 0;
    return has_whiteout_xattr(dirfd, name);
}

int layer_set_opaque(int dirfd) {
    return fsetxattr(dirfd, XATTR_OPAQUE, "y", 1, 0) < 0 ? -errno : 0;
}

/* The value of the opaque mark, 0 = none. */
static int opaque_mark(int dirfd) {
    char value;
    ssize_t size = fgetxattr(dirfd, XATTR_OPAQUE, &value, 1);
    if (size < 0)
        return errno == ENODATA || errno == EOPNOTSUPP || errno == ERANGE ? 0 : -errno;
    return size == 1 ? (unsigned char)value : 0;
}

int layer_is_opaque(int dirfd) {
    int mark = opaque_mark(dirfd);
    return mark < 0 ? mark : mark == 'y';
}

int layer_has_marks(int dirfd) {
    return fgetxattr(dirfd, XATTR_OPAQUE, NULL, 0) >= 0 || errno != EOPNOTSUPP;
}

int layer_set_redirect(int dirfd, const char *path) {
    return fsetxattr(dirfd, XATTR_REDIRECT, path, strlen(path), 0) < 0 ? -errno : 0;
}

int layer_redirect(int dirfd, char **ret) {
    ssize_t size = fgetxattr(dirfd, XATTR_REDIRECT, NULL, 0);
    if (size < 0)
        return errno == ENODATA || errno == EOPNOTSUPP ? 0 : -errno;
    _free_ char *path = malloc((size_t)size + 1);
    if (!path)
        return -ENOMEM;
    size = fgetxattr(dirfd, XATTR_REDIRECT, path, (size_t)size);
    if (size < 0)
        return -errno;
    path[size] = '\0';
    *ret = TAKE_PTR(path);
    return 1;
}

/* A layer being built. */

struct stage {
    int work, layers;          /* borrowed from the store */
    int fd;                    /* work/<id>, then layers/<id> */
    char id[24];
    struct dirs *dirs;         /* of work/<id>/dirs */
    struct store *store;
    struct flusher *flusher;   /* NULL: nothing is flushed before the end */
    bool published, kept;
};

struct stage *stage_free(struct stage *stage) {
    if (!stage)
        return NULL;
    flusher_free(stage->flusher);
    dirs_close(stage->dirs);
    fd_close(stage->fd);
    /* what cannot be removed now, recovery removes */
    if (stage->id[0] && !stage->kept)
        (void)fs_remove_tree(stage->published ? stage->layers : stage->work, stage->id);
    free(stage);
    return NULL;
}

static int make_fresh(int dirfd, const char *name) {
    if (mkdirat(dirfd, name, 0700) == 0)
        return 0;
    if (errno != EEXIST)
        return -errno;
    int result = fs_remove_tree(dirfd, name);
    if (result < 0)
        return result;
    return mkdirat(dirfd, name, 0700) < 0 ? -errno : 0;
}

static int build(struct stage *stage, int64_t id) {
    char name[sizeof(stage->id)];
    snprintf(name, sizeof(name), "%lld", (long long)id);
    int result = make_fresh(stage->work, name);
    if (result < 0)
        return result;
    memcpy(stage->id, name, sizeof(name));
    stage->fd = openat(stage->work, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (stage->fd < 0)
        return -errno;
    if (mkdirat(stage->fd, "dirs", 0700) < 0)
        return -errno;
    _close_ int dirs = openat(stage->fd, "dirs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dirs < 0)
        return -errno;
    return dirs_open(dirs, STAGE_DESCRIPTORS, &stage->dirs);
}

int stage_open(struct store *store, int64_t id, struct stage **ret, struct snap_err *err) {
    _cleanup_(stage_freep) struct stage *stage = calloc(1, sizeof(*stage));
    if (!stage)
        return err_nomem(err);
    stage->fd = -1;
    stage->store = store;
    stage->work = store_work_fd(store);
    stage->layers = store_layers_fd(store);
    int result = build(stage, id);
    if (result < 0)
        return err_errno(err, result, "cannot begin layer %lld in the store '%s'", (long long)id, store_path(store));
    *ret = TAKE_PTR(stage);
    return 0;
}

void stage_flush_early(struct stage *stage) {
    if (!stage->flusher)
        stage->flusher = flusher_new(stage->store);
}

struct flusher *stage_flusher(struct stage *stage) {
    return stage ? stage->flusher : NULL;
}

int stage_renumber(struct stage *stage, int64_t id) {
    char name[sizeof(stage->id)];
    snprintf(name, sizeof(name), "%lld", (long long)id);
    if (strcmp(name, stage->id) == 0)
        return 0;
    int result = fs_remove_tree(stage->work, name);
    if (result < 0)
        return result;
    if (renameat(stage->work, stage->id, stage->work, name) < 0)
        return -errno;
    memcpy(stage->id, name, sizeof(name));
    return 0;
}

int stage_rename_dir(struct stage *stage, int64_t id, int64_t new_id) {
    char from[24], to[24];
    snprintf(from, sizeof(from), "%lld", (long long)id);
    snprintf(to, sizeof(to), "%lld", (long long)new_id);
    _pinned_ struct dir_pinned flat = dir_pinned(dirs_root(stage->dirs));
    if (flat.fd < 0)
        return flat.fd;
    return renameat(flat.fd, from, flat.fd, to) < 0 ? -errno : 0;
}

struct dir *stage_dir(struct stage *stage, int64_t id) {
    char name[24];
    snprintf(name, sizeof(name), "%lld", (long long)id);
    struct dir *dir = dir_child(dirs_root(stage->dirs), name);
    int result = dir ? dir_make(dir) : -ENOMEM;
    if (result >= 0)
        return dir;
    errno = -result;
    return dir_unref(dir);
}

int stage_create(struct stage *stage, struct dir *dir, const char *name, mode_t mode) {
    (void)stage;
    _pinned_ struct dir_pinned at = dir_pinned(dir);
    if (at.fd < 0)
        return at.fd;
    int fd = openat(at.fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0777);
    return fd < 0 ? -errno : fd;
}

static int make_node(int dirfd, const char *name, const struct meta *meta) {
    if (S_ISLNK(meta->mode))
        return symlinkat(meta->target, dirfd, name) < 0 ? -errno : 0;
    dev_t device = makedev(meta->rdev_major, meta->rdev_minor);
    if (S_ISCHR(meta->mode) && device == makedev(0, 0))
        return -EPERM;                       /* in a layer it would be a whiteout */
    return mknodat(dirfd, name, (meta->mode & S_IFMT) | 0600, device) < 0 ? -errno : 0;
}

int layer_make_special(int dirfd, const char *name, const struct meta *meta) {
    int result = make_node(dirfd, name, meta);
    if (result == 0 || !refused(-result))
        return result;
    _close_ int placeholder = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return placeholder < 0 ? -errno : 0;
}

int stage_make_special(struct stage *stage, struct dir *dir, const char *name, const struct meta *meta) {
    (void)stage;
    _pinned_ struct dir_pinned at = dir_pinned(dir);
    return at.fd < 0 ? at.fd : layer_make_special(at.fd, name, meta);
}

int stage_link(struct stage *stage, struct dir *from_dir, const char *from, struct dir *dir, const char *name) {
    (void)stage;
    _pinned_ struct dir_pinned source = dir_pinned(from_dir);
    if (source.fd < 0)
        return source.fd;
    _pinned_ struct dir_pinned at = dir_pinned(dir);
    if (at.fd < 0)
        return at.fd;
    return linkat(source.fd, from, at.fd, name, 0) < 0 ? -errno : 0;
}

int stage_remove(struct stage *stage, struct dir *dir, const char *name) {
    (void)stage;
    _pinned_ struct dir_pinned at = dir_pinned(dir);
    if (at.fd < 0)
        return at.fd;
    if (unlinkat(at.fd, name, 0) == 0)
        return 0;
    return errno == EISDIR || errno == EPERM ? fs_remove_tree(at.fd, name) : -errno;
}

struct meta layer_storable(const struct meta *meta, mode_t stored) {
    struct meta storable = *meta;
    storable.mode = (stored & S_IFMT) | (meta->mode & 07777);
    if (geteuid() != 0)
        storable.mode |= S_ISDIR(stored) ? 0700 : 0400;
    return storable;
}

int stage_apply(struct stage *stage, struct dir *dir, const char *name, const struct meta *meta) {
    (void)stage;
    _pinned_ struct dir_pinned at = dir_pinned(dir);
    if (at.fd < 0)
        return at.fd;
    struct stat stat;
    if (fstatat(at.fd, name, &stat, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
        return -errno;
    struct meta wanted = layer_storable(meta, stat.st_mode);
    return meta_apply(at.fd, name, &wanted, META_STORE, NULL);
}

/* A store without user xattrs holds no marks; the manifest and the index do. */
static int optional(int result) {
    return result == -EOPNOTSUPP || result == -ENOTSUP ? 0 : result;
}

static int set_marks(int fd, bool opaque, bool has_xattr_whiteouts, const char *redirect) {
    int result = 0;
    if (opaque)
        result = optional(layer_set_opaque(fd));
    else if (has_xattr_whiteouts)
        result = mark_xattr_whiteouts(fd);
    if (result == 0 && redirect)
        result = optional(layer_set_redirect(fd, redirect));
    return result;
}

int stage_apply_open(struct stage *stage, int fd, const struct meta *meta) {
    (void)stage;
    struct meta wanted = layer_storable(meta, S_IFREG);
    return meta_apply(fd, "", &wanted, META_STORE, NULL);
}

static int finish_dir(int fd, const struct meta *meta, bool opaque, const char *redirect) {
    int mark = opaque_mark(fd);
    if (mark < 0)
        return mark;
    struct meta wanted = layer_storable(meta, S_IFDIR);
    int result = meta_apply(fd, "", &wanted, META_STORE, NULL);
    return result < 0 ? result : set_marks(fd, opaque, mark == 'x', redirect);
}

static int remove_mark(int fd, const char *mark) {
    return fremovexattr(fd, mark) < 0 && errno != ENODATA && errno != EOPNOTSUPP ? -errno : 0;
}

int layer_restore_dir(int fd, const struct meta *meta, bool opaque, const char *redirect) {
    int result = opaque || opaque_mark(fd) == 'x' ? 0 : remove_mark(fd, XATTR_OPAQUE);
    if (result == 0 && !redirect)
        result = remove_mark(fd, XATTR_REDIRECT);
    return result < 0 ? result : finish_dir(fd, meta, opaque, redirect);
}

static int move_dir(struct stage *stage, struct dir *dir, int64_t parent, const char *name) {
    _pinned_ struct dir_pinned flat = dir_pinned(dirs_root(stage->dirs));
    if (flat.fd < 0)
        return flat.fd;
    if (parent == 0)
        return renameat(flat.fd, dir_name(dir), stage->fd, "tree") < 0 ? -errno : 0;
    _dir_ struct dir *above = stage_dir(stage, parent);
    if (!above)
        return -errno;
    _pinned_ struct dir_pinned to = dir_pinned(above);
    if (to.fd < 0)
        return to.fd;
    return renameat(flat.fd, dir_name(dir), to.fd, name) < 0 ? -errno : 0;
}

/* Moved before it gets its mode: without write permission on it, a directory cannot be moved. */
int stage_place_dir(struct stage *stage, int64_t id, int64_t parent, const char *name,
                    const struct meta *meta, bool opaque, const char *redirect) {
    _dir_ struct dir *dir = stage_dir(stage, id);
    if (!dir)
        return -errno;
    _pinned_ struct dir_pinned at = dir_pinned(dir);
    if (at.fd < 0)
        return at.fd;
    int result = move_dir(stage, dir, parent, name);
    if (result < 0)
        return result;
    result = finish_dir(at.fd, meta, opaque, redirect);
    dir_forget(dir);
    return result;
}

/* What is left in it was captured and then vanished from the project before the capture ended. */
static int remove_flat_root(struct stage *stage) {
    return fs_remove_tree(stage->fd, "dirs");
}

int stage_create_manifest(struct stage *stage) {
    int fd = openat(stage->fd, "manifest", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

static int publish(struct stage *stage) {
    int result = remove_flat_root(stage);
    if (result < 0)
        return result;
    if (renameat(stage->work, stage->id, stage->layers, stage->id) == 0)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return -errno;
    result = fs_remove_tree(stage->layers, stage->id);
    if (result < 0)
        return result;
    return renameat(stage->work, stage->id, stage->layers, stage->id) < 0 ? -errno : 0;
}

int stage_publish(struct stage *stage, struct snap_err *err) {
    int result = publish(stage);
    if (result < 0)
        return err_errno(err, result, "cannot put layer %s in its place", stage->id);
    stage->published = true;
    return 0;
}

void stage_keep(struct stage *stage) {
    stage->kept = true;
}
