/* What an inode is besides its content: metadata as snapshots keep it, and the fingerprint by which
 * a change is noticed without reading. Reads and applies through descriptors, never through paths.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include "err.h"
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

struct statx;

struct meta {
    uint32_t mode;             /* type and permission bits */
    uint32_t uid, gid;
    uint64_t size;             /* regular files: bytes; symlinks: length of the target; else 0 */
    struct timespec mtime;
    uint32_t rdev_major, rdev_minor;
    char *target;              /* symlinks: NUL-terminated, else NULL */
    void *xattrs;              /* packed, sorted by name: (u16 name size, u32 value size, name, value)*; NULL = none */
    size_t xattrs_size;
};
void meta_done(struct meta *meta);
#define _meta_ _cleanup_(meta_done)
int meta_copy(struct meta *ret, const struct meta *meta);        /* -ENOMEM */
bool meta_equal(const struct meta *a, const struct meta *b);     /* everything; directories: all but size */
unsigned meta_differs(const struct meta *a, const struct meta *b);   /* enum snap_what bits, CONTENT only where size or type differ */
unsigned meta_xattr_count(const struct meta *meta);

/* By which a change is noticed without reading. Two equal fingerprints: nothing changed that the file system told. */
struct fingerprint {
    uint64_t ino;
    uint64_t size;             /* directories: birth time in ns (0 = not known), so that a reused inode number is noticed */
    int64_t mtime_sec, ctime_sec;
    uint32_t mtime_nsec, ctime_nsec;
    uint32_t mode, uid, gid;
    uint32_t rdev;             /* makedev-like, major << 20 | minor */
};
void fingerprint_from(const struct statx *stat, struct fingerprint *ret);
bool fingerprint_equal(const struct fingerprint *a, const struct fingerprint *b);
#define META_STATX (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

/* Metadata from a statx of `name` in `dirfd` (or of `dirfd` itself when name is "") plus its xattrs and target.
 * `fd` is an open descriptor of it, O_PATH not enough, or -1 (then xattrs are read through /proc/self/fd of an
 * O_PATH descriptor, not following; -ENOSYS where /proc is not mounted). Times, mode and so on come from `stat`, so that
 * one statx describes both. An xattr that we may not read is left out. */
int meta_read(int dirfd, const char *name, int fd, const struct statx *stat, struct meta *ret);

enum meta_apply {
    META_STORE = 1,            /* into a layer: user.overlay.* of the project is escaped as user.overlay.overlay.*;
                                * what cannot be held (foreign owner, trusted.*, ...) is left out silently */
    META_NO_TIMES = 2,
};
/* Gives `name` in `dirfd` (or the open directory or file `dirfd` itself when name is "") this owner, mode, xattrs
 * (exactly these: others are removed) and mtime (atime untouched), in an order that keeps set-id bits and capabilities.
 * The type must be right already. What the file system or a missing privilege refuses is skipped and told in
 * *ret_missing (SNAP_WHAT_* bits; NULL allowed); a real error (EIO, ENOSPC) is returned. Outside a layer, set-id bits are
 * not given to a file whose owner they could not be given for (SNAP_WHAT_MODE is missing then). Another type: -EINVAL.
 * An unprivileged caller may always write and list what it made itself: call it last. */
int meta_apply(int dirfd, const char *name, const struct meta *meta, unsigned flags, unsigned *ret_missing);

/* Of an inode in a layer: what is not as meta_apply with META_STORE leaves it (SNAP_WHAT_MODE, OWNER, XATTR, TIME). What a
 * privilege or a file system may have refused then is no difference. */
unsigned meta_stored_differs(const struct meta *stored, const struct meta *meta);

/* The overlay's own and the project's xattr names. True: the xattr belongs to the layer format, not to the project. */
bool meta_xattr_is_overlay(const char *name);
