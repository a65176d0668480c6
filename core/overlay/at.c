/* Looking at one inode of a tree: status, listing, marks, xattrs.
 * Refuses to follow, and to write anything but xattrs. SPDX-License-Identifier: GPL-2.0-or-later */
#include "at.h"

#include "fs.h"
#include "hook.h"
#include "xattr.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define USER "user.overlay."
#define TRUSTED "trusted.overlay."
#define NESTED "overlay."

static struct timespec time_of(const struct statx_timestamp *time) {
    return (struct timespec){ .tv_sec = time->tv_sec, .tv_nsec = time->tv_nsec };
}

int at_stat(int dirfd, const char *name, struct stat *ret, struct timespec *ret_birth) {
    struct statx from;
    int r = fs_statx(dirfd, name, &from);
    if (r < 0)
        return r;
    *ret = (struct stat){
        .st_dev = makedev(from.stx_dev_major, from.stx_dev_minor), .st_ino = from.stx_ino, .st_mode = from.stx_mode,
        .st_nlink = from.stx_nlink, .st_uid = from.stx_uid, .st_gid = from.stx_gid,
        .st_rdev = makedev(from.stx_rdev_major, from.stx_rdev_minor), .st_size = (off_t)from.stx_size,
        .st_blksize = from.stx_blksize, .st_blocks = (blkcnt_t)from.stx_blocks,
        .st_atim = time_of(&from.stx_atime), .st_mtim = time_of(&from.stx_mtime), .st_ctim = time_of(&from.stx_ctime),
    };
    *ret_birth = from.stx_mask & STATX_BTIME ? time_of(&from.stx_btime) : (struct timespec){0};
    return 0;
}

/* Those of vfat, exFAT and FUSE are other ones after another mount; overlayfs' too where it has any. */
bool at_handles_last(int fd) {
    enum { VFAT = 0x4d44, EXFAT = 0x2011bab0, FUSE = 0x65735546, OVERLAYFS = 0x794c7630 };       /* linux/magic.h */
    struct statfs stat;
    unsigned long type = fstatfs(fd, &stat) < 0 ? FUSE : (unsigned long)stat.f_type & 0xffffffff;
    return type != VFAT && type != EXFAT && type != FUSE && type != OVERLAYFS;
}

uint64_t at_generation(int dirfd, const char *name, const struct timespec *birth, bool handles) {
    union { struct file_handle handle; char room[sizeof(struct file_handle) + MAX_HANDLE_SZ]; } at;
    uint64_t hash = (uint64_t)birth->tv_sec << 30 ^ (uint64_t)birth->tv_nsec;
    int mount;
    at.handle.handle_bytes = MAX_HANDLE_SZ;
    if (handles && name_to_handle_at(dirfd, name, &at.handle, &mount, *name ? 0 : AT_EMPTY_PATH) == 0) {
        hash = 0xcbf29ce484222325U;
        for (unsigned i = 0; i < at.handle.handle_bytes; i++)
            hash = (hash ^ (unsigned char)at.room[sizeof(struct file_handle) + i]) * 0x100000001b3U;
    }
    hash ^= hash >> 32;            /* a handle of ours holds the lower half */
    return hash ? hash : 1;
}

int at_list(int dirfd, DIR **ret) {
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    _close_ int fd = openat(dirfd, ".", flags | O_NOATIME);
    if (fd < 0 && errno == EPERM)
        fd = openat(dirfd, ".", flags);
    if (fd < 0)
        return -errno;
    DIR *stream = fdopendir(fd);
    if (!stream)
        return -errno;
    (void)TAKE_FD(fd);
    *ret = stream;
    return 0;
}

int at_read_link(int dirfd, const char *name, struct buf *ret) {
    char small[512];
    ssize_t got = readlinkat(dirfd, name, small, sizeof(small));
    if (got >= 0 && (size_t)got < sizeof(small)) {
        buf_add(ret, small, (size_t)got);
        return ret->failed;
    }
    _free_ char *target = got < 0 ? NULL : malloc(64 << 10);
    if (got >= 0 && !target)
        return -ENOMEM;
    if (target)
        got = readlinkat(dirfd, name, target, 64 << 10);
    if (got < 0)
        return -errno;
    buf_add(ret, target, (size_t)got);
    return ret->failed;
}

/* Marks. */

/* The mark's name without its namespace; NULL: no mark. */
static const char *mark_of(const char *xattr) {
    const char *mark = NULL;
    if (strncmp(xattr, USER, strlen(USER)) == 0)
        mark = xattr + strlen(USER);
    else if (strncmp(xattr, TRUSTED, strlen(TRUSTED)) == 0)
        mark = xattr + strlen(TRUSTED);
    return mark && strncmp(mark, NESTED, strlen(NESTED)) != 0 ? mark : NULL;
}

static int read_mark(const struct xattr_at *inode, const char *xattr, const char *mark, struct marks *marks) {
    bool opaque = strcmp(mark, "opaque") == 0, redirect = strcmp(mark, "redirect") == 0;
    marks->metacopy |= strcmp(mark, "metacopy") == 0;
    if (!opaque && !redirect)
        return 0;
    _xattr_value_ struct xattr_value value = {0};
    int r = xattr_get(inode, xattr, &value);
    if (r < 0)
        return r == -ENODATA ? 0 : r;
    if (opaque && value.size == 1) {
        marks->opaque |= value.data[0] == 'y';
        marks->has_whiteouts |= value.data[0] == 'x';
    }
    if (redirect && !marks->redirect && !(marks->redirect = strndup(value.data, value.size)))
        return -ENOMEM;
    return 0;
}

bool may_be_metacopy(const struct stat *stat) {
    return S_ISREG(stat->st_mode) && stat->st_size > 0 && (uint64_t)stat->st_blocks * 512 < (uint64_t)stat->st_size;
}

int marks_read(int dirfd, const char *name, struct marks *ret) {
    struct xattr_at inode;
    _xattr_value_ struct xattr_value list = {0};
    struct marks marks = {0};
    int r = xattr_find(dirfd, name, &inode);
    if (r >= 0)
        r = xattr_list(&inode, &list);
    for (const char *at = list.data; r >= 0 && at < list.data + list.size; at += strlen(at) + 1) {
        const char *mark = mark_of(at);
        r = mark ? read_mark(&inode, at, mark, &marks) : 0;
    }
    if (r < 0)
        free(marks.redirect);
    else
        *ret = marks;
    return r < 0 ? r : 0;
}

static int mark_name(const char *mark, char (*ret)[XATTR_NAME_MAX + 1]) {
    return snprintf(*ret, sizeof(*ret), USER "%s", mark) >= (int)sizeof(*ret) ? -ERANGE : 0;
}

int marks_set(int dirfd, const char *name, const char *mark, const char *value) {
    struct xattr_at inode;
    char xattr[XATTR_NAME_MAX + 1];
    int r = hook("marks.set", mark);
    if (r >= 0)
        r = mark_name(mark, &xattr);
    if (r >= 0)
        r = xattr_find(dirfd, name, &inode);
    return r < 0 ? r : xattr_set(&inode, xattr, value, strlen(value));
}

int marks_clear(int dirfd, const char *name, const char *mark) {
    struct xattr_at inode;
    char xattr[XATTR_NAME_MAX + 1];
    int r = hook("marks.clear", mark);
    if (r >= 0)
        r = mark_name(mark, &xattr);
    if (r >= 0)
        r = xattr_find(dirfd, name, &inode);
    r = r < 0 ? r : xattr_remove(&inode, xattr);
    return r == -ENODATA ? 0 : r;
}

int marks_is_whiteout(int dirfd, const char *name, const struct stat *stat, bool files) {
    if (S_ISCHR(stat->st_mode))
        return stat->st_rdev == makedev(0, 0);
    if (!files || !S_ISREG(stat->st_mode) || stat->st_size != 0)
        return 0;
    struct xattr_at inode;
    int r = xattr_find(dirfd, name, &inode);
    if (r < 0)
        return r;
    static const char *const whiteouts[] = { USER "whiteout", TRUSTED "whiteout" };
    for (size_t i = 0; i < ELEMENTS(whiteouts); i++) {
        _xattr_value_ struct xattr_value value = {0};
        r = xattr_get(&inode, whiteouts[i], &value);
        if (r >= 0)
            return 1;
        if (r != -ENODATA && r != -EOPNOTSUPP && r != -EPERM)
            return r;
    }
    return 0;
}

/* Xattrs. */

/* The name under which `xattr` of a user lies. */
static int stored_name(const char *xattr, bool marks, char (*ret)[XATTR_NAME_MAX + 1]) {
    bool escaped = marks && strncmp(xattr, USER, strlen(USER)) == 0;
    int size = escaped ? snprintf(*ret, sizeof(*ret), USER NESTED "%s", xattr + strlen(USER)) : snprintf(*ret, sizeof(*ret), "%s", xattr);
    return size >= (int)sizeof(*ret) ? -ERANGE : 0;
}

/* The name that users see; NULL: none. Unescaping moves the namespace to the right, in place. */
static const char *seen_name(char *xattr) {
    static const char nested[] = USER NESTED;
    if (mark_of(xattr))
        return NULL;
    if (strncmp(xattr, nested, strlen(nested)) != 0)
        return xattr;
    return memcpy(xattr + strlen(NESTED), USER, strlen(USER)) ? xattr + strlen(NESTED) : NULL;
}

static ssize_t hand_out(const void *data, size_t have, void *value, size_t size) {
    if (size == 0)
        return (ssize_t)have;
    if (have > size)
        return -ERANGE;
    if (have)
        memcpy(value, data, have);
    return (ssize_t)have;
}

ssize_t at_get_xattr(int dirfd, const char *name, const char *xattr, void *value, size_t size, bool marks) {
    struct xattr_at inode;
    char stored[XATTR_NAME_MAX + 1];
    int r = stored_name(xattr, marks, &stored);
    if (r >= 0)
        r = xattr_find(dirfd, name, &inode);
    _xattr_value_ struct xattr_value got = {0};
    if (r >= 0)
        r = marks && mark_of(stored) ? -ENODATA : xattr_get(&inode, stored, &got);
    return r < 0 ? r : hand_out(got.data, got.size, value, size);
}

ssize_t at_list_xattr(int dirfd, const char *name, char *list, size_t size, bool marks) {
    struct xattr_at inode;
    _xattr_value_ struct xattr_value all = {0};
    int r = xattr_find(dirfd, name, &inode);
    if (r >= 0)
        r = xattr_list(&inode, &all);
    if (r < 0 || !marks)
        return r < 0 ? r : hand_out(all.data, all.size, list, size);
    _buf_ struct buf seen = {0};
    for (char *at = all.data, *next; at < all.data + all.size; at = next) {
        next = at + strlen(at) + 1;
        const char *name_seen = seen_name(at);
        if (name_seen)
            buf_add(&seen, name_seen, strlen(name_seen) + 1);
    }
    return seen.failed ? seen.failed : hand_out(seen.data, seen.size, list, size);
}

int at_set_xattr(int dirfd, const char *name, const char *xattr, const void *value, size_t size, int flags) {
    struct xattr_at inode;
    char stored[XATTR_NAME_MAX + 1];
    int r = stored_name(xattr, true, &stored);
    if (r >= 0)
        r = xattr_find(dirfd, name, &inode);
    if (r < 0)
        return r;
    r = inode.nofollow ? lsetxattr(inode.path, stored, value, size, flags) : setxattr(inode.path, stored, value, size, flags);
    return r < 0 ? xattr_error(&inode) : 0;
}

int at_remove_xattr(int dirfd, const char *name, const char *xattr) {
    struct xattr_at inode;
    char stored[XATTR_NAME_MAX + 1];
    int r = stored_name(xattr, true, &stored);
    if (r >= 0)
        r = xattr_find(dirfd, name, &inode);
    return r < 0 ? r : xattr_remove(&inode, stored);
}
