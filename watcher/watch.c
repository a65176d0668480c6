/* Watching a directory, by whichever way works here: the choice, and what both ways share.
 * Reads no events itself. SPDX-License-Identifier: GPL-2.0-or-later */
#include "backend.h"
#include "fs.h"
#include "map.h"
#include <fcntl.h>
#include <sys/sysmacros.h>

int watch_tell(struct watch *watch, enum watch_kind kind, struct watch_inode dir, const char *name) {
    if (kind == WATCH_LOST)
        watch->info.lost++;
    return watch->fn ? watch->fn(watch->data, &(struct watch_change){ .kind = kind, .dir = dir, .name = name }) : 0;
}

int watch_look(int dirfd, const char *name, struct watch_seen *ret) {
    struct statx stat;
    int r = fs_statx(dirfd, name, &stat);
    if (r < 0)
        return r;
    *ret = (struct watch_seen){
        .inode = { .device = makedev(stat.stx_dev_major, stat.stx_dev_minor), .ino = stat.stx_ino },
        .birth = stat.stx_mask & STATX_BTIME ? stat.stx_btime.tv_sec * 1000000000 + stat.stx_btime.tv_nsec : 0,
        .mount = stat.stx_mnt_id,
        .is_dir = S_ISDIR(stat.stx_mode),
        .links = stat.stx_nlink,
    };
    return 0;
}

#define FRESH_MAX 65536

int watch_came(struct watch *watch, int dirfd, struct watch_inode dir, const char *name) {
    struct watch_seen seen;
    if (watch_look(dirfd, name, &seen) < 0 || seen.is_dir)
        return 0;
    if (seen.links > 1)
        return map_get(watch->fresh, &seen.inode, sizeof(seen.inode)) ? 0 : watch_tell(watch, WATCH_LINKED, dir, NULL);
    if (map_count(watch->fresh) >= FRESH_MAX)
        watch_settle(watch);
    return watch->fresh ? MIN(map_put(watch->fresh, &seen.inode, sizeof(seen.inode), watch, NULL), 0) : -ENOMEM;
}

void watch_settle(struct watch *watch) {
    map_free(watch->fresh, NULL);
    watch->fresh = map_new();
}

static int look_at_root(struct watch *watch, const struct watch_options *options, struct snap_err *err) {
    struct watch_seen seen;
    watch->options = *options;
    watch->options.root = fcntl(options->root, F_DUPFD_CLOEXEC, 3);
    int r = watch->options.root < 0 ? -errno : watch_look(watch->options.root, "", &seen);
    if (r == 0 && !seen.is_dir)
        r = -ENOTDIR;
    if (r < 0)
        return err_errno(err, r, "cannot watch the directory");
    watch->root = seen.inode;
    watch->mount = seen.mount;
    return 0;
}

static int try_backend(struct watch *new, const struct watch_options *options, watch_fn fn, void *data, struct watch **ret,
                       struct snap_err *err) {
    _watch_ struct watch *watch = new;
    if (!watch)
        return err_nomem(err);
    watch_settle(watch);
    int r = watch->fresh ? look_at_root(watch, options, err) : err_nomem(err);
    watch->fn = fn;
    watch->data = data;
    if (r == 0)
        r = watch->ops->open(watch, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(watch);
    return 0;
}

int watch_open(const struct watch_options *options, watch_fn fn, void *data, struct watch **ret, struct snap_err *err) {
    if (options->backend != WATCH_FANOTIFY) {
        int r = try_backend(watch_inotify_new(), options, fn, data, ret, err);
        if (r == 0 || r == -ENOMEM || options->backend == WATCH_INOTIFY)
            return r;
    }
    return try_backend(watch_fanotify_new(), options, fn, data, ret, err);
}

struct watch *watch_close(struct watch *watch) {
    if (!watch)
        return NULL;
    watch->ops->close(watch);
    map_free(watch->fresh, NULL);
    fd_close(watch->fd);
    fd_close(watch->options.root);
    free(watch);
    return NULL;
}

int watch_fd(const struct watch *watch) {
    return watch->fd;
}

/* Nothing tells that the root was removed while we hold it open. */
static int look_after_root(struct watch *watch) {
    struct stat stat;
    if (fstat(watch->options.root, &stat) == 0 && stat.st_nlink > 0)
        return 0;
    return watch_tell(watch, WATCH_ROOT_GONE, watch->root, NULL);
}

int watch_read(struct watch *watch, watch_fn fn, void *data, struct snap_err *err) {
    watch->fn = fn;
    watch->data = data;
    int r = watch->ops->read(watch, err);
    if (r == 0 && (r = look_after_root(watch)) < 0)
        err_errno(err, r, "cannot tell that the directory is gone");
    return r;
}

int watch_writable(struct watch *watch, watch_fn fn, void *data) {
    watch->fn = fn;
    watch->data = data;
    return watch->ops->writable(watch);
}

int watch_path(struct watch *watch, struct watch_inode dir, struct buf *ret) {
    return watch_same(dir, watch->root) ? 1 : watch->ops->path(watch, dir, ret);
}

void watch_info(const struct watch *watch, struct watch_info *ret) {
    *ret = watch->info;
}
