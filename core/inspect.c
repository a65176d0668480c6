/* Whether an entry of the project still is what the index says it is.
 * Changes nothing. A directory is known by its identity; what is in it is none of its business here.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "inspect.h"
#include "copy.h"
#include "fs.h"
#include <fcntl.h>
#include <string.h>

static bool is_trusted(const struct live_entry *known, const struct object *object) {
    return known && known->name && known->object == object->id && !(known->flags & (LIVE_HOT | LIVE_GONE | LIVE_UNREAD));
}

static bool same_inode(const struct live_entry *known, const struct fingerprint *print) {
    return !known || !known->name || !known->print.ino || known->flags & LIVE_GONE
        || (known->print.ino == print->ino && known->print.size == print->size);
}

static int same_bytes(int dirfd, const char *name, const struct object *object) {
    _close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES || errno == EPERM || errno == ENOENT || errno == ELOOP ? 0 : -errno;
    uint64_t size;
    struct digest digest;
    int r = copy_digest(fd, NULL, &size, &digest);
    return r < 0 ? r : size == object->meta.size && digest_equal(&digest, &object->digest);
}

/* What a comparison of metadata cannot see. */
static int same_content(int dirfd, const char *name, const struct object *object) {
    if (object->flags & OBJECT_UNREAD)
        return 0;
    return S_ISREG(object->meta.mode) && object->meta.size ? same_bytes(dirfd, name, object) : 1;
}

enum { OTHER_CONTENT = SNAP_WHAT_CONTENT | SNAP_WHAT_TARGET | SNAP_WHAT_DEVICE };

/* `ignored`: which differences do not matter. */
static int compare(int dirfd, const char *name, const struct statx *stat, const struct object *object, unsigned ignored) {
    _meta_ struct meta meta = {0};
    int r = meta_read(dirfd, name, -1, stat, &meta);
    if (r < 0)
        return r == -ENOENT || r == -EINVAL ? 0 : r;
    unsigned differs = meta_differs(&meta, &object->meta);
    return differs & ~ignored ? 0 : same_content(dirfd, name, object);
}

int inspect_compare(int dirfd, const char *name, const struct object *object, unsigned ignored) {
    struct statx stat;
    int r = fs_statx(dirfd, name, &stat);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if ((stat.stx_mode ^ object->meta.mode) & S_IFMT)
        return 0;
    return compare(dirfd, name, &stat, object, ignored);
}

int inspect_content(int dirfd, const char *name, const struct object *object) {
    return inspect_compare(dirfd, name, object, ~(unsigned)OTHER_CONTENT);
}

int inspect_entry(int dirfd, const char *name, const struct object *object,
                  const struct live_entry *known, struct statx *ret_stat, bool *ret_sure) {
    struct statx stat;
    int r = fs_statx(dirfd, name, &stat);
    if (r < 0)
        return r == -ENOENT ? INSPECT_ABSENT : r;
    if (ret_stat)
        *ret_stat = stat;
    struct fingerprint print;
    fingerprint_from(&stat, &print);
    if ((stat.stx_mode ^ object->meta.mode) & S_IFMT)
        return INSPECT_OTHER;
    if (S_ISDIR(stat.stx_mode))
        return same_inode(known, &print) ? INSPECT_SAME : INSPECT_OTHER;
    bool sure = is_trusted(known, object) && fingerprint_equal(&known->print, &print);
    if (ret_sure)
        *ret_sure = sure;
    if (sure)
        return INSPECT_SAME;
    r = compare(dirfd, name, &stat, object, 0);
    return r < 0 ? r : r ? INSPECT_SAME : INSPECT_OTHER;
}

bool inspect_stayed(const struct statx *before, const struct statx *after) {
    struct fingerprint a, b;
    fingerprint_from(before, &a);
    fingerprint_from(after, &b);
    b.ctime_sec = a.ctime_sec;
    b.ctime_nsec = a.ctime_nsec;
    return fingerprint_equal(&a, &b);
}

bool inspect_is_written(int dirfd, const char *name) {
    _close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    /* Who opens it for writing while the lease is held makes the kernel signal us, by default with SIGIO, which kills. */
    if (fd < 0 || fcntl(fd, F_SETSIG, SIGURG) < 0)
        return false;
    if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
        return fcntl(fd, F_SETLEASE, F_UNLCK) < 0;
    return errno == EAGAIN;
}
