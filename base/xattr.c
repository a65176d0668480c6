/* Xattrs of one inode, whatever their size.
 * Refuses to follow, to judge names, and to loop for ever.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "xattr.h"
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

enum { TRIES = 8 };            /* for what grows between asking for its size and reading it */

int xattr_find(int dirfd, const char *name, struct xattr_at *ret) {
    *ret = (struct xattr_at){ .fd = -1, .nofollow = *name };
    return snprintf(ret->path, sizeof(ret->path), "/proc/self/fd/%d%s%s", dirfd, *name ? "/" : "", name) >= (int)sizeof(ret->path) ? -ENAMETOOLONG : 0;
}

int xattr_error(const struct xattr_at *inode) {
    int error = errno;
    if (inode->fd < 0 && error == ENOENT && access("/proc/self/fd", F_OK) < 0)
        return -ENOSYS;
    return -error;
}

static ssize_t list_names(const struct xattr_at *inode, char *list, size_t size) {
    ssize_t got = inode->fd >= 0 ? flistxattr(inode->fd, list, size)
        : inode->nofollow ? llistxattr(inode->path, list, size) : listxattr(inode->path, list, size);
    return got < 0 ? xattr_error(inode) : got;
}

static ssize_t get_value(const struct xattr_at *inode, const char *name, void *value, size_t size) {
    ssize_t got = inode->fd >= 0 ? fgetxattr(inode->fd, name, value, size)
        : inode->nofollow ? lgetxattr(inode->path, name, value, size) : getxattr(inode->path, name, value, size);
    return got < 0 ? xattr_error(inode) : got;
}

int xattr_set(const struct xattr_at *inode, const char *name, const void *value, size_t size) {
    int r = inode->fd >= 0 ? fsetxattr(inode->fd, name, value, size, 0)
        : inode->nofollow ? lsetxattr(inode->path, name, value, size, 0) : setxattr(inode->path, name, value, size, 0);
    return r < 0 ? xattr_error(inode) : 0;
}

int xattr_remove(const struct xattr_at *inode, const char *name) {
    int r = inode->fd >= 0 ? fremovexattr(inode->fd, name)
        : inode->nofollow ? lremovexattr(inode->path, name) : removexattr(inode->path, name);
    return r < 0 ? xattr_error(inode) : 0;
}

void xattr_value_done(struct xattr_value *value) {
    if (value->data != value->small)
        free(value->data);
    value->data = NULL;
}

/* `name` NULL: the list. */
static ssize_t ask(const struct xattr_at *inode, const char *name, void *data, size_t size) {
    return name ? get_value(inode, name, data, size) : list_names(inode, data, size);
}

int xattr_get(const struct xattr_at *inode, const char *name, struct xattr_value *ret) {
    ssize_t got = ask(inode, name, ret->small, sizeof(ret->small));
    ret->data = ret->small;
    for (int i = 0; got == -ERANGE && i < TRIES; i++) {
        xattr_value_done(ret);
        ssize_t room = ask(inode, name, NULL, 0);
        if (room < 0)
            return (int)room;
        ret->data = malloc(MAX(room, (ssize_t)1));
        if (!ret->data)
            return -ENOMEM;
        got = room ? ask(inode, name, ret->data, (size_t)room) : 0;
    }
    if (got < 0)
        return got == -ERANGE ? -EAGAIN : (int)got;
    ret->size = (size_t)got;
    return 0;
}

int xattr_list(const struct xattr_at *inode, struct xattr_value *ret) {
    int r = xattr_get(inode, NULL, ret);
    if (r == -EOPNOTSUPP) {
        ret->size = 0;
        return 0;
    }
    return r;
}

