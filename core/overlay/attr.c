/* Metadata of objects: status, changes of it, symlinks' targets.
 * Copies up before it changes anything; decides no permission: that was done by whoever asks.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "attr.h"

#include "at.h"
#include "below.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int stat_upper(struct overlay *overlay, struct node *node, struct stat *ret, struct timespec *ret_birth) {
    _upper_ struct upper_at at = {0};
    int r = upper_reach(overlay, node, &at);
    return r < 0 ? r : at_stat(at.fd, at.name, ret, ret_birth);
}

static int stat_lower_dir(struct overlay *overlay, struct node *node, struct stat *ret, struct timespec *ret_birth) {
    int r = -ENOENT;
    for (unsigned i = 0; i < node->dir.part_count; i++) {
        struct lower *lower = overlay->lowers[node->dir.parts[i].lower];
        struct lower_entry entry = {0};
        r = lower->ops->stat_dir(lower, node->dir.parts[i].dir, &entry);
        if (r >= 0) {
            *ret = entry.stat;
            *ret_birth = entry.birth;
            return 0;
        }
    }
    return r;
}

static int stat_lower_file(struct overlay *overlay, struct node *node, struct stat *ret, struct timespec *ret_birth) {
    _lower_place_ struct lower_place_ref at = { .overlay = overlay, .place = node_meta(overlay, node) };
    if (!at.place)
        return -ESTALE;
    struct lower *lower = overlay->lowers[at.place->lower];
    struct lower_entry entry = {0};
    int r = lower->ops->lookup(lower, at.place->dir, at.place->name, &entry);
    if (r < 0)
        return r;
    lower->ops->unref(lower, entry.dir);
    free(entry.redirect);
    if (r != LOWER_ENTRY || (entry.stat.st_mode & S_IFMT) != node->type || entry.stat.st_ino != node->real)
        return -ESTALE;
    *ret = entry.stat;
    *ret_birth = entry.birth;
    return 0;
}

int node_stat(struct overlay *overlay, struct node *node, struct stat *ret, struct timespec *ret_birth) {
    if (node_is(node, NODE_UPPER))
        return stat_upper(overlay, node, ret, ret_birth);
    return node_is_dir(node) ? stat_lower_dir(overlay, node, ret, ret_birth) : stat_lower_file(overlay, node, ret, ret_birth);
}

/* `tree` is held. A file that went away underneath is still what an open handle of it shows. */
static int get_entry(struct overlay *overlay, struct node *node, struct overlay_handle *handle, struct overlay_entry *ret) {
    struct stat stat;
    struct timespec birth;
    int r = node_stat(overlay, node, &stat, &birth);
    if (r >= 0 && below_wants_watch(overlay, node, stat.st_nlink)) {
        below_watch_file(overlay, node);
        r = node_stat(overlay, node, &stat, &birth);
    }
    int fd = r == -ESTALE || r == -ENOENT ? handle_fd(handle) : -1;
    if (fd >= 0)
        r = at_stat(fd, "", &stat, &birth);
    if (r < 0)
        return r;
    fill_entry(overlay, node, &stat, &birth, ret);
    return 0;
}

static int get_now(struct overlay *overlay, struct node *node, struct overlay_handle *handle, struct overlay_entry *ret) {
    tree_read(overlay);
    if (overlay->below && node_is_dir(node))
        (void)below_cover(overlay, node);           /* asked for, and so kept */
    int r = get_entry(overlay, node, handle, ret);
    tree_unlock(overlay);
    return r;
}

/* Of something that is not where it was, underneath. */
static int get_followed(struct overlay *overlay, struct node *node, struct overlay_handle *handle, struct overlay_entry *ret) {
    struct stat stat;
    struct timespec birth;
    int r = below_find_again(overlay, node);
    if (r == 0)
        r = get_now(overlay, node, handle, ret);
    if (!is_gone_error(r))
        return r;
    r = below_stat_lost(overlay, node, &stat, &birth);
    if (r < 0)
        return r;
    tree_read(overlay);
    fill_entry(overlay, node, &stat, &birth, ret);
    ret->keep = 0;
    tree_unlock(overlay);
    return 0;
}

int overlay_getattr(struct overlay *overlay, uint64_t number, struct overlay_handle *handle, struct overlay_entry *ret) {
    _node_ struct node_ref at = { .overlay = overlay };
    int r = node_find(overlay, number, &at.node);
    if (r < 0)
        return r;
    r = get_now(overlay, at.node, handle, ret);
    return overlay->below && is_gone_error(r) ? get_followed(overlay, at.node, handle, ret) : r;
}

/* Changing. */

/* A path that leads to what `at` holds, following only our own descriptors. */
struct reached { int fd; char path[40]; };

static void reached_done(struct reached *reached) {
    reached->fd = fd_close(reached->fd);
}
#define _reached_ _cleanup_(reached_done)

static int reach(const struct upper_at *at, struct reached *ret) {
    int fd = *at->name ? openat(at->fd, at->name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : fcntl(at->fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return -errno;
    ret->fd = fd;
    (void)snprintf(ret->path, sizeof(ret->path), "/proc/self/fd/%d", fd);
    return 0;
}

static int set_owner(const struct reached *to, const struct stat *wanted, unsigned set) {
    uid_t uid = set & OVERLAY_SET_UID ? wanted->st_uid : (uid_t)-1;
    gid_t gid = set & OVERLAY_SET_GID ? wanted->st_gid : (gid_t)-1;
    return fchownat(to->fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int set_times(const struct reached *to, const struct stat *wanted, unsigned set) {
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };
    if (set & OVERLAY_SET_ATIME)
        times[0] = wanted->st_atim;
    if (set & OVERLAY_SET_ATIME_NOW)
        times[0].tv_nsec = UTIME_NOW;
    if (set & OVERLAY_SET_MTIME)
        times[1] = wanted->st_mtim;
    if (set & OVERLAY_SET_MTIME_NOW)
        times[1].tv_nsec = UTIME_NOW;
    return utimensat(to->fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* What a write by somebody else than root takes away. */
static int kill_privileges(const struct reached *to) {
    struct stat stat;
    if (fstat(to->fd, &stat) < 0)
        return -errno;
    if (!S_ISREG(stat.st_mode))
        return 0;
    mode_t mode = stat.st_mode & 07777 & ~(mode_t)S_ISUID;
    if (mode & S_IXGRP)
        mode &= ~(mode_t)S_ISGID;
    if (mode != (stat.st_mode & 07777) && chmod(to->path, mode) < 0)
        return -errno;
    int r = at_remove_xattr(to->fd, "", "security.capability");
    return r == -ENODATA || r == -EOPNOTSUPP || r == -EPERM ? 0 : r;
}

static int set_size(const struct upper_at *at, off_t size) {
    _close_ int fd = upper_open(at, O_WRONLY | O_NONBLOCK);
    if (fd < 0)
        return fd;
    return ftruncate(fd, size) < 0 ? -errno : 0;
}

/* The size before owner and mode, which could forbid it; the mode after the owner, which clears bits of it; the times last. */
static int apply(const struct upper_at *at, const struct stat *wanted, unsigned set) {
    _reached_ struct reached to = { .fd = -1 };
    int r = reach(at, &to);
    if (r >= 0 && set & OVERLAY_SET_SIZE)
        r = set_size(at, wanted->st_size);
    if (r >= 0 && set & OVERLAY_KILL_SUID)
        r = kill_privileges(&to);
    if (r >= 0 && set & (OVERLAY_SET_UID | OVERLAY_SET_GID))
        r = set_owner(&to, wanted, set);
    if (r >= 0 && set & OVERLAY_SET_MODE)
        r = chmod(to.path, wanted->st_mode & 07777) < 0 ? -errno : 0;
    if (r >= 0 && set & (OVERLAY_SET_ATIME | OVERLAY_SET_MTIME | OVERLAY_SET_ATIME_NOW | OVERLAY_SET_MTIME_NOW))
        r = set_times(&to, wanted, set);
    return r;
}

int node_raise(struct overlay *overlay, struct node *node, enum copy_up what) {
    if (!overlay->upper)
        return -EROFS;
    if (!node_is_dir(node))
        return copy_up(overlay, node, what);
    if (node_is(node, NODE_UPPER))
        return 0;
    unsigned tries = 0;
    int r;
    do {
        tree_write(overlay);
        r = copy_up_dir(overlay, node);
        tree_unlock(overlay);
    } while ((r = below_again(overlay, node, r, &tries)) > 0);
    return r;
}

bool claim_metacopy(struct overlay *overlay, struct node *node) {
    bool wanted = node_is(node, NODE_METACOPY);
    if (wanted)
        copy_claim(overlay, node);
    return wanted;
}


static int check_set(const struct node *node, const struct stat *wanted, unsigned set) {
    if (set & OVERLAY_SET_SIZE)
        return S_ISDIR(node->type) ? -EISDIR : !S_ISREG(node->type) || wanted->st_size < 0 ? -EINVAL : 0;
    return set & OVERLAY_SET_MODE && S_ISLNK(node->type) ? -EOPNOTSUPP : 0;
}

int overlay_setattr(struct overlay *overlay, const struct overlay_caller *caller, uint64_t number, struct overlay_handle *handle,
                    const struct stat *wanted, unsigned set, struct overlay_entry *ret) {
    _node_ struct node_ref of = { .overlay = overlay };
    (void)caller;
    int r = node_find(overlay, number, &of.node);
    if (r >= 0)
        r = check_set(of.node, wanted, set);
    enum copy_up what = !(set & OVERLAY_SET_SIZE) ? COPY_UP_META : wanted->st_size ? COPY_UP_ALL : COPY_UP_EMPTY;
    if (r >= 0)
        r = node_raise(overlay, of.node, what);
    if ((r == -ESTALE || r == -ENOENT) && of.node && S_ISREG(of.node->type) && handle)
        r = copy_up_open(overlay, of.node, what, handle_fd(handle));
    else if (overlay->below && of.node && is_gone_error(r))
        r = below_raise_lost(overlay, of.node, what, r);
    if (r < 0)
        return r;
    bool claimed = claim_metacopy(overlay, of.node);
    tree_read(overlay);
    struct upper_at at = {0};
    r = upper_reach(overlay, of.node, &at);
    if (r >= 0) {
        struct stripe *stripe = node_lock(overlay, of.node);
        r = apply(&at, wanted, set);
        node_unlock(stripe);
    }
    upper_leave(&at);
    if (r >= 0)
        r = get_entry(overlay, of.node, handle, ret);
    tree_unlock(overlay);
    if (claimed)
        copy_release(overlay, of.node);
    return r;
}

static int read_link(struct overlay *overlay, struct node *node, struct buf *ret) {
    if (node_is(node, NODE_UPPER)) {
        _upper_ struct upper_at at = {0};
        int r = upper_reach(overlay, node, &at);
        return r < 0 ? r : at_read_link(at.fd, at.name, ret);
    }
    _lower_place_ struct lower_place_ref at = { .overlay = overlay, .place = node_meta(overlay, node) };
    if (!at.place)
        return -ESTALE;
    struct lower *lower = overlay->lowers[at.place->lower];
    struct stat stat;
    struct timespec birth;
    int r = lower->ops->read_link(lower, at.place->dir, at.place->name, ret);
    if (r < 0)
        return overlay->below && (is_gone_error(r) || r == -EINVAL) ? -ESTALE : r;
    r = overlay->below ? stat_lower_file(overlay, node, &stat, &birth) : 0;         /* still that one, so it was when it was read */
    return is_gone_error(r) ? -ESTALE : r;
}

int overlay_read_link(struct overlay *overlay, uint64_t number, struct buf *ret) {
    _node_ struct node_ref of = { .overlay = overlay };
    int r = node_find(overlay, number, &of.node);
    if (r < 0 || !S_ISLNK(of.node->type))
        return r < 0 ? r : -EINVAL;
    unsigned tries = 0;
    do {
        buf_clear(ret);
        tree_read(overlay);
        r = read_link(overlay, of.node, ret);
        tree_unlock(overlay);
    } while ((r = below_again(overlay, of.node, r, &tries)) > 0);
    if (overlay->below && is_gone_error(r)) {
        _close_ int fd = below_borrow(overlay, of.node);
        buf_clear(ret);
        r = fd < 0 ? r : at_read_link(fd, "", ret);
    }
    return r;
}
