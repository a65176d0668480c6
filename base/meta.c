/* What an inode is besides its content: read, compared, applied.
 * Refuses to follow: a name is one component, and what it names is pinned by a descriptor before it is changed.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "meta.h"
#include "xattr.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

enum { TRIES = 8 };            /* for a target that grows between asking for its size and reading it */

#define OVERLAY "user.overlay."

void meta_done(struct meta *meta) {
    free(meta->target);
    free(meta->xattrs);
    *meta = (struct meta){0};
}

int meta_copy(struct meta *ret, const struct meta *meta) {
    _meta_ struct meta copy = *meta;
    copy.target = NULL;
    copy.xattrs = NULL;
    if (meta->target && !(copy.target = strdup(meta->target)))
        return -ENOMEM;
    if (meta->xattrs_size) {
        copy.xattrs = malloc(meta->xattrs_size);
        if (!copy.xattrs)
            return -ENOMEM;
        memcpy(copy.xattrs, meta->xattrs, meta->xattrs_size);
    }
    *ret = copy;
    copy = (struct meta){0};
    return 0;
}

static bool same_xattrs(const struct meta *a, const struct meta *b) {
    return a->xattrs_size == b->xattrs_size
        && (!a->xattrs_size || memcmp(a->xattrs, b->xattrs, a->xattrs_size) == 0);
}

static bool same_target(const struct meta *a, const struct meta *b) {
    return a->target && b->target ? strcmp(a->target, b->target) == 0 : a->target == b->target;
}

unsigned meta_differs(const struct meta *a, const struct meta *b) {
    unsigned what = 0;
    if ((a->mode ^ b->mode) & S_IFMT || (S_ISREG(a->mode) && a->size != b->size))
        what |= SNAP_WHAT_CONTENT;
    if ((a->mode ^ b->mode) & ~(uint32_t)S_IFMT)
        what |= SNAP_WHAT_MODE;
    if (a->uid != b->uid || a->gid != b->gid)
        what |= SNAP_WHAT_OWNER;
    if (!same_xattrs(a, b))
        what |= SNAP_WHAT_XATTR;
    if (!same_target(a, b))
        what |= SNAP_WHAT_TARGET;
    if (a->rdev_major != b->rdev_major || a->rdev_minor != b->rdev_minor)
        what |= SNAP_WHAT_DEVICE;
    if (a->mtime.tv_sec != b->mtime.tv_sec || a->mtime.tv_nsec != b->mtime.tv_nsec)
        what |= SNAP_WHAT_TIME;
    return what;
}

bool meta_equal(const struct meta *a, const struct meta *b) {
    return meta_differs(a, b) == 0 && (S_ISDIR(a->mode) || a->size == b->size);
}

void fingerprint_from(const struct statx *stat, struct fingerprint *ret) {
    bool born = S_ISDIR(stat->stx_mode) && stat->stx_mask & STATX_BTIME;
    uint64_t birth = born ? (uint64_t)stat->stx_btime.tv_sec * 1000000000u + stat->stx_btime.tv_nsec : 0;
    *ret = (struct fingerprint){
        .ino = stat->stx_ino,
        .size = S_ISDIR(stat->stx_mode) ? birth : stat->stx_size,
        .mtime_sec = stat->stx_mtime.tv_sec, .mtime_nsec = stat->stx_mtime.tv_nsec,
        .ctime_sec = stat->stx_ctime.tv_sec, .ctime_nsec = stat->stx_ctime.tv_nsec,
        .mode = stat->stx_mode, .uid = stat->stx_uid, .gid = stat->stx_gid,
        .rdev = stat->stx_rdev_major << 20 | stat->stx_rdev_minor,
    };
}

bool fingerprint_equal(const struct fingerprint *a, const struct fingerprint *b) {
    return a->ino == b->ino && a->size == b->size
        && a->mtime_sec == b->mtime_sec && a->mtime_nsec == b->mtime_nsec
        && a->ctime_sec == b->ctime_sec && a->ctime_nsec == b->ctime_nsec
        && a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->rdev == b->rdev;
}

bool meta_xattr_is_overlay(const char *name) {
    size_t size = strlen(OVERLAY);
    return strncmp(name, OVERLAY, size) == 0 && strncmp(name + size, "overlay.", strlen("overlay.")) != 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of a list, sorted; they point into it. NULL with *ret_count 0: none. */
static int sort_names(const struct xattr_value *list, const char ***ret, size_t *ret_count) {
    size_t count = 0;
    for (size_t at = 0; at < list->size; at++)
        count += list->data[at] == '\0';
    const char **names = NULL;
    if (count && !(names = malloc(count * sizeof(*names))))
        return -ENOMEM;
    size_t i = 0;
    for (const char *at = list->data; i < count; at += strlen(at) + 1)
        names[i++] = at;
    if (count)
        qsort(names, count, sizeof(*names), by_name);
    *ret = names;
    *ret_count = count;
    return 0;
}

/* It went away meanwhile, or is none of ours to read: then it is not part of the snapshot. */
static bool is_not_to_be_read(int r) {
    return r == -ENODATA || r == -EPERM || r == -EACCES || r == -EOPNOTSUPP;
}

/* How xfs shows an ACL to root a second time. */
static bool is_alias(const char *name) {
    return strncmp(name, "trusted.SGI_ACL_", strlen("trusted.SGI_ACL_")) == 0;
}

static int pack_one(const struct xattr_at *inode, const char *name, struct buf *out) {
    _xattr_value_ struct xattr_value value = {0};
    int r = xattr_get(inode, name, &value);
    if (r < 0)
        return is_not_to_be_read(r) ? 0 : r;
    size_t size = strlen(name);
    buf_u16(out, (uint16_t)size);
    buf_u32(out, (uint32_t)value.size);
    buf_add(out, name, size);
    buf_add(out, value.data, value.size);
    return out->failed;
}

static int read_xattrs(const struct xattr_at *inode, void **ret, size_t *ret_size) {
    _xattr_value_ struct xattr_value list = {0};
    int r = xattr_list(inode, &list);
    if (r < 0 || list.size == 0)
        return r;
    _free_ const char **names = NULL;
    size_t count;
    r = sort_names(&list, &names, &count);
    if (r < 0)
        return r;
    _buf_ struct buf packed = {0};
    for (size_t i = 0; i < count; i++) {
        if (is_alias(names[i]))
            continue;
        r = pack_one(inode, names[i], &packed);
        if (r < 0)
            return r;
    }
    size_t size = packed.size;
    if (size == 0)
        return 0;
    *ret = buf_take(&packed);
    if (!*ret)
        return -ENOMEM;
    *ret_size = size;
    return 0;
}

static int read_target(int dirfd, const char *name, size_t hint, char **ret) {
    size_t room = hint ? hint + 1 : PATH_MAX;
    for (int i = 0; i < TRIES; i++, room = MAX(2 * room, (size_t)PATH_MAX)) {
        _free_ char *target = malloc(room);
        if (!target)
            return -ENOMEM;
        ssize_t got = readlinkat(dirfd, name, target, room);
        if (got < 0)
            return -errno;
        if ((size_t)got == room)
            continue;
        target[got] = '\0';
        *ret = TAKE_PTR(target);
        return 0;
    }
    return -EAGAIN;
}

int meta_read(int dirfd, const char *name, int fd, const struct statx *stat, struct meta *ret) {
    _meta_ struct meta meta = {
        .mode = stat->stx_mode, .uid = stat->stx_uid, .gid = stat->stx_gid,
        .mtime = { stat->stx_mtime.tv_sec, stat->stx_mtime.tv_nsec },
    };
    int r = 0;
    if (S_ISREG(meta.mode) || S_ISLNK(meta.mode))
        meta.size = stat->stx_size;
    if (S_ISCHR(meta.mode) || S_ISBLK(meta.mode)) {
        meta.rdev_major = stat->stx_rdev_major;
        meta.rdev_minor = stat->stx_rdev_minor;
    }
    if (S_ISLNK(meta.mode))
        r = read_target(dirfd, name, stat->stx_size, &meta.target);
    if (r < 0)
        return r;
    if (meta.target)
        meta.size = strlen(meta.target);
    struct xattr_at inode = { .fd = fd };
    r = fd < 0 ? xattr_find(dirfd, name, &inode) : 0;
    if (r < 0)
        return r;
    r = read_xattrs(&inode, &meta.xattrs, &meta.xattrs_size);
    if (r < 0)
        return r;
    *ret = meta;
    meta = (struct meta){0};
    return 0;
}

/* Packed xattrs, one after the other. */
struct packed_xattr { const char *name; size_t name_size; const void *value; size_t value_size; };

/* 1 = one was read, 0 = the end, -EINVAL = not such a record. */
static int next_xattr(struct bufread *reader, struct packed_xattr *ret) {
    if (reader->at == reader->end)
        return 0;
    ret->name_size = bufread_u16(reader);
    ret->value_size = bufread_u32(reader);
    ret->name = bufread_bytes(reader, ret->name_size);
    ret->value = bufread_bytes(reader, ret->value_size);
    return reader->failed || ret->name_size == 0 ? -EINVAL : 1;
}

static struct bufread xattr_reader(const struct meta *meta) {
    const uint8_t *at = meta->xattrs;
    return (struct bufread){ .at = at, .end = at + meta->xattrs_size };
}

unsigned meta_xattr_count(const struct meta *meta) {
    if (!meta->xattrs_size)
        return 0;
    struct bufread reader = xattr_reader(meta);
    struct packed_xattr xattr;
    unsigned count = 0;
    while (next_xattr(&reader, &xattr) > 0)
        count++;
    return count;
}

/* Applying. */

struct apply {
    int fd;                    /* the inode; perhaps O_PATH */
    struct xattr_at inode;
    const struct meta *meta;
    unsigned flags;
    unsigned missing;
    struct stat now;           /* as far as we know */
    bool acl_changed;
};

/* What a privilege, a file system or a namespace does not let us set, as against what failed. */
static bool is_refused(int r) {
    return r == -EPERM || r == -EACCES || r == -EOPNOTSUPP || r == -EINVAL || r == -ERANGE || r == -E2BIG
        || r == -EOVERFLOW;
}

static int skip_if_refused(struct apply *apply, int r, unsigned what) {
    if (r >= 0 || !is_refused(r))
        return r;
    if (!(apply->flags & META_STORE))
        apply->missing |= what;
    return 0;
}

static int refresh(struct apply *apply) {
    return fstat(apply->fd, &apply->now) < 0 ? -errno : 0;
}

static int change_owner(struct apply *apply) {
    uid_t uid = apply->meta->uid == apply->now.st_uid ? (uid_t)-1 : apply->meta->uid;
    gid_t gid = apply->meta->gid == apply->now.st_gid ? (gid_t)-1 : apply->meta->gid;
    if (uid == (uid_t)-1 && gid == (gid_t)-1)
        return 0;
    int r = fchownat(apply->fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
    if (r < 0 && is_refused(r) && uid != (uid_t)-1 && gid != (gid_t)-1)       /* one's own other group is allowed */
        (void)(fchownat(apply->fd, "", (uid_t)-1, gid, AT_EMPTY_PATH) == 0);
    r = skip_if_refused(apply, r, SNAP_WHAT_OWNER);
    return r < 0 ? r : refresh(apply);
}

/* Without the right owner a set-id bit would give away somebody else's rights. The store is out of reach anyway. */
static mode_t wanted_mode(struct apply *apply) {
    mode_t mode = apply->meta->mode & 07777;
    if (apply->flags & META_STORE || S_ISDIR(apply->meta->mode))
        return mode;
    if (apply->meta->uid != apply->now.st_uid)
        mode &= ~(mode_t)S_ISUID;
    if (apply->meta->gid != apply->now.st_gid)
        mode &= ~(mode_t)S_ISGID;
    if (mode != (apply->meta->mode & 07777))
        apply->missing |= SNAP_WHAT_MODE;
    return mode;
}

static int set_mode(struct apply *apply, mode_t mode) {
    if (S_ISLNK(apply->now.st_mode) || (apply->now.st_mode & 07777) == mode)
        return 0;
    int r = apply->inode.fd >= 0 ? fchmod(apply->fd, mode) : chmod(apply->inode.path, mode);
    r = r < 0 ? xattr_error(&apply->inode) : 0;
    if (r == 0)
        apply->now.st_mode = (apply->now.st_mode & S_IFMT) | mode;
    return skip_if_refused(apply, r, SNAP_WHAT_MODE);
}

/* chmod drops the set-group bit silently where the group is not ours, and an ACL changes the group's bits. */
static int change_mode(struct apply *apply) {
    mode_t mode = wanted_mode(apply);
    int r = apply->acl_changed ? refresh(apply) : 0;
    if (r >= 0)
        r = set_mode(apply, mode);
    if (r < 0 || S_ISLNK(apply->meta->mode) || !(mode & S_ISGID))
        return r;
    r = refresh(apply);
    if (r >= 0 && (apply->now.st_mode & 07777) != mode && !(apply->flags & META_STORE))
        apply->missing |= SNAP_WHAT_MODE;
    return r;
}

/* An ACL or a label that does not fit beside the others is ENOSPC on ext4, with any amount of room on the disk. */
static int is_disk_full(const struct apply *apply) {
    struct statvfs stat;
    if (fstatvfs(apply->fd, &stat) < 0)
        return -errno;
    return stat.f_bavail == 0 || (stat.f_files && stat.f_favail == 0);
}

static bool is_acl(const char *name) {
    return strncmp(name, "system.posix_acl", strlen("system.posix_acl")) == 0;
}

static int after_xattr(struct apply *apply, const char *name, int r) {
    if (r >= 0 && is_acl(name))
        apply->acl_changed = true;
    if (r == -ENOSPC) {
        int full = is_disk_full(apply);
        if (full < 0)
            return full;
        r = full ? r : -E2BIG;
    }
    return skip_if_refused(apply, r, SNAP_WHAT_XATTR);
}

/* The name under which the xattr is kept; -ERANGE: it does not fit. */
static int stored_name(unsigned flags, const struct packed_xattr *xattr, char ret[XATTR_NAME_MAX + 1]) {
    char name[XATTR_NAME_MAX + 1];
    if (xattr->name_size > XATTR_NAME_MAX)
        return -ERANGE;
    memcpy(name, xattr->name, xattr->name_size);
    name[xattr->name_size] = '\0';
    bool escape = flags & META_STORE && strncmp(name, OVERLAY, strlen(OVERLAY)) == 0;
    int size = escape ? snprintf(ret, XATTR_NAME_MAX + 1, OVERLAY "overlay.%s", name + strlen(OVERLAY))
                      : snprintf(ret, XATTR_NAME_MAX + 1, "%s", name);
    return size > XATTR_NAME_MAX ? -ERANGE : 0;
}

static bool is_listed(const struct xattr_value *list, const char *name) {
    for (const char *at = list->data; at < list->data + list->size; at += strlen(at) + 1)
        if (strcmp(at, name) == 0)
            return true;
    return false;
}

static bool has_value(const struct apply *apply, const char *name, const struct packed_xattr *xattr) {
    _xattr_value_ struct xattr_value value = {0};
    return xattr_get(&apply->inode, name, &value) == 0 && value.size == xattr->value_size
        && memcmp(value.data, xattr->value, value.size) == 0;
}

/* Sets what is wanted and not there, and gathers the names, as a list, in `wanted`: any others are extras.
 * ACLs are set in a pass of their own, the last: one that makes the file read-only would keep user xattrs out. */
static int set_xattrs(struct apply *apply, struct xattr_value *list, bool acls, struct buf *wanted) {
    struct bufread reader = xattr_reader(apply->meta);
    struct packed_xattr xattr;
    int more;
    while ((more = next_xattr(&reader, &xattr)) > 0) {
        char name[XATTR_NAME_MAX + 1];
        int r = stored_name(apply->flags, &xattr, name);
        if (r == 0 && !acls)
            buf_add(wanted, name, strlen(name) + 1);
        if (r == 0 && is_acl(name) != acls)
            continue;
        if (r == 0) {
            if (is_listed(list, name) && has_value(apply, name, &xattr))
                continue;
            r = xattr_set(&apply->inode, name, xattr.value, xattr.value_size);
        }
        r = after_xattr(apply, name, r);
        if (r < 0)
            return r;
    }
    return more < 0 ? more : wanted->failed;
}

/* Labels that the system gives by itself are no extras, and neither is what makes the layer a layer. */
static bool stays(unsigned flags, const char *name) {
    return is_alias(name) || strcmp(name, "security.selinux") == 0 || strcmp(name, "security.evm") == 0
        || strcmp(name, "security.ima") == 0 || strncmp(name, "security.SMACK64", strlen("security.SMACK64")) == 0
        || (flags & META_STORE && meta_xattr_is_overlay(name));
}

static int remove_extras(struct apply *apply, const struct xattr_value *list, const struct buf *wanted) {
    const struct xattr_value names = { .data = wanted->data, .size = wanted->size };
    for (const char *at = list->data; at < list->data + list->size; at += strlen(at) + 1) {
        if (stays(apply->flags, at) || is_listed(&names, at))
            continue;
        int r = xattr_remove(&apply->inode, at);
        r = r == -ENODATA ? 0 : after_xattr(apply, at, r);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Our own read-only file refuses user xattrs; the mode comes last. */
static int make_writable(struct apply *apply) {
    mode_t mode = apply->now.st_mode & 07777;
    if (S_ISLNK(apply->now.st_mode) || (mode & 0600) == 0600 || geteuid() == 0)
        return 0;
    unsigned missing = apply->missing;
    int r = set_mode(apply, mode | 0600);
    apply->missing = missing;
    return r;
}

static int change_xattrs(struct apply *apply) {
    _xattr_value_ struct xattr_value list = {0};
    _buf_ struct buf wanted = {0};
    int r = xattr_list(&apply->inode, &list);
    if (r < 0 || (list.size == 0 && apply->meta->xattrs_size == 0))
        return r;
    r = make_writable(apply);
    if (r >= 0 && apply->meta->xattrs_size)
        r = set_xattrs(apply, &list, false, &wanted);
    if (r >= 0)
        r = remove_extras(apply, &list, &wanted);
    return r < 0 || !apply->meta->xattrs_size ? r : set_xattrs(apply, &list, true, &wanted);
}

static int change_times(struct apply *apply) {
    if (apply->flags & META_NO_TIMES)
        return 0;
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, apply->meta->mtime };
    int r = apply->inode.fd >= 0 ? futimens(apply->fd, times) : utimensat(AT_FDCWD, apply->inode.path, times, 0);
    return skip_if_refused(apply, r < 0 ? xattr_error(&apply->inode) : 0, SNAP_WHAT_TIME);
}

/* chown clears set-id bits and capabilities, so it comes first; an ACL is part of the mode, so the mode comes after. */
static int apply_all(struct apply *apply) {
    int r = refresh(apply);
    if (r < 0)
        return r;
    if ((apply->now.st_mode ^ apply->meta->mode) & S_IFMT)
        return -EINVAL;
    r = change_owner(apply);
    if (r >= 0)
        r = change_xattrs(apply);
    if (r >= 0)
        r = change_mode(apply);
    return r < 0 ? r : change_times(apply);
}

/* By the descriptor itself, unless it is one that only holds a place. */
static int choose_access(struct apply *apply, bool only_path) {
    int mode = only_path ? O_PATH : fcntl(apply->fd, F_GETFL);
    if (mode < 0)
        return -errno;
    apply->inode.fd = mode & O_PATH ? -1 : apply->fd;
    return snprintf(apply->inode.path, sizeof(apply->inode.path), "/proc/self/fd/%d", apply->fd) < 0 ? -EIO : 0;
}

int meta_apply(int dirfd, const char *name, const struct meta *meta, unsigned flags, unsigned *ret_missing) {
    _close_ int opened = -1;
    if (*name) {
        opened = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (opened < 0)
            return -errno;
    }
    struct apply apply = { .fd = *name ? opened : dirfd, .meta = meta, .flags = flags };
    int r = choose_access(&apply, *name);
    if (r >= 0)
        r = apply_all(&apply);
    if (r < 0)
        return r;
    if (ret_missing)
        *ret_missing = apply.missing;
    return 0;
}

/* Comparing with what was applied. */

/* With more than this beside each other some may not have found room. */
enum { XATTRS_SURELY_HELD = 1024 };

static bool find_stored(const struct meta *stored, const char *name, struct packed_xattr *ret) {
    struct bufread reader = xattr_reader(stored);
    while (stored->xattrs_size && next_xattr(&reader, ret) > 0)
        if (ret->name_size == strlen(name) && memcmp(ret->name, name, ret->name_size) == 0)
            return true;
    return false;
}

static bool is_surely_held(const struct meta *meta, const char *name) {
    return strncmp(name, "user.", 5) == 0 && (S_ISREG(meta->mode) || S_ISDIR(meta->mode)) && meta->xattrs_size < XATTRS_SURELY_HELD;
}

/* Without privilege an owner's own rights are given to a file of a layer, and so stand in its ACL. */
static bool is_widened(const char *name) {
    return geteuid() != 0 && strcmp(name, "system.posix_acl_access") == 0;
}

static bool misses_xattrs(const struct meta *stored, const struct meta *meta) {
    struct bufread reader = xattr_reader(meta);
    struct packed_xattr xattr, found;
    while (meta->xattrs_size && next_xattr(&reader, &xattr) > 0) {
        char name[XATTR_NAME_MAX + 1];
        if (stored_name(META_STORE, &xattr, name) < 0)
            continue;
        if (!find_stored(stored, name, &found)) {
            if (is_surely_held(meta, name))
                return true;
        } else if (found.value_size != xattr.value_size
                   || (!is_widened(name) && memcmp(found.value, xattr.value, xattr.value_size) != 0))
            return true;
    }
    return false;
}

/* By what namespaces hold beside these the system keeps accounts of its own. */
static bool could_be_extra(const char *name) {
    return strncmp(name, "user.", 5) == 0 || is_acl(name) || strcmp(name, "security.capability") == 0;
}

static bool is_wanted(const struct meta *meta, const char *stored) {
    struct bufread reader = xattr_reader(meta);
    struct packed_xattr xattr;
    while (meta->xattrs_size && next_xattr(&reader, &xattr) > 0) {
        char name[XATTR_NAME_MAX + 1];
        if (stored_name(META_STORE, &xattr, name) == 0 && strcmp(name, stored) == 0)
            return true;
    }
    return false;
}

static bool has_extra_xattrs(const struct meta *stored, const struct meta *meta) {
    struct bufread reader = xattr_reader(stored);
    struct packed_xattr xattr;
    while (stored->xattrs_size && next_xattr(&reader, &xattr) > 0) {
        char name[XATTR_NAME_MAX + 1];
        snprintf(name, sizeof(name), "%.*s", (int)MIN(xattr.name_size, (size_t)XATTR_NAME_MAX), xattr.name);
        if (could_be_extra(name) && !stays(META_STORE, name) && !is_wanted(meta, name))
            return true;
    }
    return false;
}

/* A file system may keep whole seconds only. */
static bool same_time(const struct timespec *stored, const struct timespec *wanted) {
    return stored->tv_sec == wanted->tv_sec && (stored->tv_nsec == wanted->tv_nsec || stored->tv_nsec == 0);
}

unsigned meta_stored_differs(const struct meta *stored, const struct meta *meta) {
    unsigned differs = 0;
    mode_t bits = geteuid() == 0 ? 07777 : 07777 & ~(mode_t)S_ISGID;
    if (!S_ISLNK(meta->mode) && (stored->mode ^ meta->mode) & bits)
        differs |= SNAP_WHAT_MODE;
    bool group = stored->gid == meta->gid || stored->gid == getegid() || geteuid() != 0;
    if ((stored->uid != meta->uid && stored->uid != geteuid()) || !group)
        differs |= SNAP_WHAT_OWNER;
    if (misses_xattrs(stored, meta) || has_extra_xattrs(stored, meta))
        differs |= SNAP_WHAT_XATTR;
    if (!same_time(&stored->mtime, &meta->mtime))
        differs |= SNAP_WHAT_TIME;
    return differs;
}
