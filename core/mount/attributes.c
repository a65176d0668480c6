/* Requests about attributes: stat, chmod and the like, xattrs, statfs. SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

#include <string.h>
#include <sys/sysmacros.h>

static struct overlay_handle *handle_of(const struct fuse_file_info *info) {
    return info ? (struct overlay_handle *)(uintptr_t)info->fh : NULL;
}

void attr_to_wire(const struct overlay_entry *entry, struct fuse_attr *ret) {
    const struct stat *stat = &entry->stat;
    *ret = (struct fuse_attr){
        .ino = stat->st_ino, .size = (uint64_t)stat->st_size, .blocks = (uint64_t)stat->st_blocks, .blksize = (uint32_t)stat->st_blksize,
        .atime = (uint64_t)stat->st_atim.tv_sec, .atimensec = (uint32_t)stat->st_atim.tv_nsec,
        .mtime = (uint64_t)stat->st_mtim.tv_sec, .mtimensec = (uint32_t)stat->st_mtim.tv_nsec,
        .ctime = (uint64_t)stat->st_ctim.tv_sec, .ctimensec = (uint32_t)stat->st_ctim.tv_nsec,
        .mode = stat->st_mode, .nlink = (uint32_t)stat->st_nlink, .uid = stat->st_uid, .gid = stat->st_gid, .rdev = (uint32_t)stat->st_rdev,
    };
}

static void do_getattr(fuse_req_t request, fuse_ino_t node, struct fuse_file_info *info) {
    const struct mount *mount = mount_of(request);
    struct overlay_entry entry;
    int r = overlay_getattr(mount->overlay, node, handle_of(info), &entry);
    if (r < 0)
        reply_result(request, r);
    else
        (void)fuse_reply_attr(request, &entry.stat, keep_for(mount, &entry, OVERLAY_KEEP_ATTRIBUTES));
}

static unsigned wanted_changes(int valid, uint32_t raw) {
    static const struct { int fuse; unsigned overlay; } names[] = {
        { FUSE_SET_ATTR_MODE, OVERLAY_SET_MODE }, { FUSE_SET_ATTR_UID, OVERLAY_SET_UID }, { FUSE_SET_ATTR_GID, OVERLAY_SET_GID },
        { FUSE_SET_ATTR_SIZE, OVERLAY_SET_SIZE }, { FUSE_SET_ATTR_ATIME, OVERLAY_SET_ATIME }, { FUSE_SET_ATTR_MTIME, OVERLAY_SET_MTIME },
        { FUSE_SET_ATTR_ATIME_NOW, OVERLAY_SET_ATIME_NOW }, { FUSE_SET_ATTR_MTIME_NOW, OVERLAY_SET_MTIME_NOW },
    };
    unsigned set = 0;
    for (size_t i = 0; i < ELEMENTS(names); i++)
        set |= valid & names[i].fuse ? names[i].overlay : 0;
    /* A change of owner always drops them (fuse.h, FUSE_HANDLE_KILLPRIV_V2). */
    if ((raw & FATTR_KILL_SUIDGID) || (valid & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)))
        set |= OVERLAY_KILL_SUID;
    return set;
}

static void do_setattr(fuse_req_t request, fuse_ino_t node, struct stat *wanted, int valid, struct fuse_file_info *info) {
    const struct mount *mount = mount_of(request);
    struct overlay_caller caller = caller_of(request);
    struct overlay_entry entry;
    unsigned set = wanted_changes(valid, ((const struct fuse_setattr_in *)request_body())->valid);
    int r = overlay_setattr(mount->overlay, &caller, node, handle_of(info), wanted, set, &entry);
    if (r < 0)
        reply_result(request, r);
    else
        (void)fuse_reply_attr(request, &entry.stat, keep_for(mount, &entry, OVERLAY_KEEP_ATTRIBUTES));
}

static void reply_bytes(fuse_req_t request, ssize_t r, const void *value, size_t room) {
    if (r < 0)
        reply_result(request, (int)r);
    else if (room == 0)
        (void)fuse_reply_xattr(request, (size_t)r);
    else
        (void)fuse_reply_buf(request, value, (size_t)r);
}

static void do_getxattr(fuse_req_t request, fuse_ino_t node, const char *name, size_t size) {
    if (mount_of(request)->follow && node == OVERLAY_ROOT && strcmp(name, MOUNT_BARRIER) == 0) {
        follow_barrier(mount_of(request), request, size);
        return;
    }
    void *value = size > 0 ? reply_room() : NULL;
    if (size > 0 && !value) {
        reply_result(request, -ENOMEM);
        return;
    }
    reply_bytes(request, overlay_get_xattr(mount_of(request)->overlay, node, name, value, MIN(size, (size_t)REPLY_ROOM)), value, size);
}

static void do_listxattr(fuse_req_t request, fuse_ino_t node, size_t size) {
    char *list = size > 0 ? reply_room() : NULL;
    if (size > 0 && !list) {
        reply_result(request, -ENOMEM);
        return;
    }
    reply_bytes(request, overlay_list_xattr(mount_of(request)->overlay, node, list, MIN(size, (size_t)REPLY_ROOM)), list, size);
}

static void do_setxattr(fuse_req_t request, fuse_ino_t node, const char *name, const char *value, size_t size, int flags) {
    struct overlay_caller caller = caller_of(request);
    reply_result(request, overlay_set_xattr(mount_of(request)->overlay, &caller, node, name, value, size, flags));
}

static void do_removexattr(fuse_req_t request, fuse_ino_t node, const char *name) {
    reply_result(request, overlay_remove_xattr(mount_of(request)->overlay, node, name));
}

static void do_statfs(fuse_req_t request, fuse_ino_t node) {
    struct statvfs answer;
    int r = overlay_statfs(mount_of(request)->overlay, &answer);
    (void)node;
    if (r < 0)
        reply_result(request, r);
    else
        (void)fuse_reply_statfs(request, &answer);
}

void attributes_operations(struct fuse_lowlevel_ops *operations) {
    operations->getattr = do_getattr;
    operations->setattr = do_setattr;
    operations->getxattr = do_getxattr;
    operations->listxattr = do_listxattr;
    operations->setxattr = do_setxattr;
    operations->removexattr = do_removexattr;
    operations->statfs = do_statfs;
}
