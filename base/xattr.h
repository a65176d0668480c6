/* Xattrs of one inode, by its descriptor or by a path through /proc that follows nothing in the tree.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "cleanup.h"
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct xattr_at {
    int fd;                    /* -1 = by path */
    bool nofollow;             /* the path ends in a name of the tree, not in a descriptor's */
    char path[sizeof("/proc/self/fd/") + 11 + NAME_MAX + 1];
};
/* `name` in dirfd, or what dirfd itself holds when name is "": -ENAMETOOLONG. */
int xattr_find(int dirfd, const char *name, struct xattr_at *ret);
/* -errno of a call on it. Such a path leads to what the descriptor holds, so one that leads nowhere means that /proc is
 * not mounted (-ENOSYS). */
int xattr_error(const struct xattr_at *inode);

/* A list of names or a value, mostly small. Begins as {0}. */
struct xattr_value {
    char *data;                /* `small`, or allocated */
    size_t size;
    char small[1024];
};
void xattr_value_done(struct xattr_value *value);
#define _xattr_value_ _cleanup_(xattr_value_done)

/* One call in the common case; -EAGAIN if it keeps growing. A file system without xattrs has an empty list. */
int xattr_list(const struct xattr_at *inode, struct xattr_value *ret);
int xattr_get(const struct xattr_at *inode, const char *name, struct xattr_value *ret);
int xattr_set(const struct xattr_at *inode, const char *name, const void *value, size_t size);
int xattr_remove(const struct xattr_at *inode, const char *name);
