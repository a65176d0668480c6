/* Writing pax archives (POSIX.1-2008, pax, "pax Interchange Format"), as GNU tar and libarchive read them: extended attributes as
 * SCHILY.xattr, ACLs as SCHILY.acl, holes as GNU.sparse 1.0. The same entries give the same bytes: numeric owners, times of
 * modification alone, nothing of the process or its locale. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "archive_sink.h"
#include "copy.h"
#include "meta.h"

enum tar_flags {
    TAR_SPARSE = 1,            /* holes stay holes; else they are zeros */
    TAR_ACL_RAW = 2,           /* ACLs as the extended attributes that Linux has them in */
    TAR_OVERLAY = 4,           /* a layer for overlayfs: user.overlay.* of an entry is escaped, as in the store's layers */
};
struct tar_entry {
    const char *path;          /* "" = the root, which the archive calls "./" */
    const struct meta *meta;
    const char *link;          /* it is a hard link to this path; NULL = it is not */
    bool opaque;               /* a directory of TAR_OVERLAY under which nothing of older layers shows */
};

struct tar;
int tar_open(struct sink *sink, unsigned flags, struct tar **ret, struct snap_err *err);      /* borrows the sink */
struct tar *tar_free(struct tar *tar);                           /* accepts NULL, returns NULL */
DEFINE_CLEANUP(struct tar *, tar_free)
#define _tar_ _cleanup_(tar_freep)
/* All but regular files with content. -EINVAL: a socket, which archives cannot hold. */
int tar_add(struct tar *tar, const struct tar_entry *entry, struct snap_err *err);
/* A regular file, with all of `fd`, which has as many bytes as its metadata says. What is written cannot be taken back: whether
 * the digest is right is for the caller to see. -EUCLEAN: it has not that many. */
int tar_add_file(struct tar *tar, const struct tar_entry *entry, int fd, const struct copy_options *options, struct digest *ret,
                 struct snap_err *err);
int tar_end(struct tar *tar, struct snap_err *err);              /* the mark of the end; the sink has to be ended after */
