/* The metadata of something in a lower tree, in the form in which it is applied to a copy.
 * Reads through the tree's own verbs. SPDX-License-Identifier: GPL-2.0-or-later */
#include "node.h"

#include <string.h>
#include <sys/sysmacros.h>

enum { XATTR_ROOM = 64 << 10 };            /* the kernel's limit, for a value and for a list */

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int pack_xattr(struct lower *lower, struct lower_dir *dir, const char *name, const char *xattr, char *value, struct buf *out) {
    ssize_t size = lower->ops->get_xattr(lower, dir, name, xattr, value, XATTR_ROOM);
    if (size < 0)
        return size == -ENODATA || size == -EPERM || size == -EACCES || size == -EOPNOTSUPP ? 0 : (int)size;
    buf_u16(out, (uint16_t)strlen(xattr));
    buf_u32(out, (uint32_t)size);
    buf_str(out, xattr);
    buf_add(out, value, (size_t)size);
    return out->failed;
}

static int pack_xattrs(struct lower *lower, struct lower_dir *dir, const char *name, struct buf *out) {
    _free_ char *list = NULL, *value = NULL;
    ssize_t size = lower->ops->list_xattr(lower, dir, name, NULL, 0);
    if (size <= 0)
        return size == -EOPNOTSUPP ? 0 : (int)size;
    list = malloc(XATTR_ROOM);
    value = malloc(XATTR_ROOM);
    if (!list || !value)
        return -ENOMEM;
    size = lower->ops->list_xattr(lower, dir, name, list, XATTR_ROOM);
    if (size < 0)
        return (int)size;
    size_t count = 0;
    for (ssize_t i = 0; i < size; i++)
        count += list[i] == '\0';
    _free_ const char **names = count ? malloc(count * sizeof(*names)) : NULL;
    if (count && !names)
        return -ENOMEM;
    const char *at = list;
    for (size_t i = 0; i < count; i++, at += strlen(at) + 1)
        names[i] = at;
    if (count)
        qsort(names, count, sizeof(*names), by_name);
    int r = 0;
    for (size_t i = 0; r >= 0 && i < count; i++)
        r = pack_xattr(lower, dir, name, names[i], value, out);
    return r;
}

int lower_meta(struct overlay *overlay, unsigned at, struct lower_dir *dir, const char *name, const struct stat *stat, struct meta *ret) {
    struct lower *lower = overlay->lowers[at];
    _buf_ struct buf xattrs = {0}, target = {0};
    int r = pack_xattrs(lower, dir, name, &xattrs);
    if (r >= 0 && S_ISLNK(stat->st_mode))
        r = lower->ops->read_link(lower, dir, name, &target);
    if (r < 0)
        return r;
    struct meta meta = {
        .mode = stat->st_mode, .uid = stat->st_uid, .gid = stat->st_gid, .mtime = stat->st_mtim,
        .size = S_ISREG(stat->st_mode) || S_ISLNK(stat->st_mode) ? (uint64_t)stat->st_size : 0,
        .rdev_major = major(stat->st_rdev), .rdev_minor = minor(stat->st_rdev), .xattrs_size = xattrs.size,
    };
    if (S_ISLNK(stat->st_mode) && !(meta.target = buf_take(&target)))
        return -ENOMEM;
    if (xattrs.size && !(meta.xattrs = buf_take(&xattrs))) {
        meta_done(&meta);
        return -ENOMEM;
    }
    *ret = meta;
    return 0;
}
