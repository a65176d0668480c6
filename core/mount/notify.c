/* What the kernel keeps is taken from it. SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

#include <string.h>
#include <sys/uio.h>

static int unknown_is_fine(int r) { return r == -ENOENT || r == -ENOTDIR ? 0 : r; }

int mount_flush(struct mount *mount, uint64_t node) { return mount_forget_data(mount, node); }

int mount_forget_data(struct mount *mount, uint64_t node) {
    return unknown_is_fine(fuse_lowlevel_notify_inval_inode(mount->session, node, 0, 0));
}

int flush_read_files(struct mount *mount) {
    _free_ uint64_t *nodes = NULL;
    size_t count = 0;
    int r = open_files_take_used(mount->files, &nodes, &count);
    for (size_t i = 0; i < count && r == 0; i++)
        r = mount_flush(mount, nodes[i]);
    return r;
}

int mount_forget_attributes(struct mount *mount, uint64_t node) {
    return unknown_is_fine(fuse_lowlevel_notify_inval_inode(mount->session, node, -1, 0));
}

int mount_forget_name(struct mount *mount, uint64_t parent, const char *name) {
    return unknown_is_fine(fuse_lowlevel_notify_inval_entry(mount->session, parent, name, strlen(name)));
}

/* Before Linux 6.2 the flag is not known, and it is dropped. */
int mount_expire_name(struct mount *mount, uint64_t parent, const char *name) {
    size_t size = strlen(name) + 1;
    const struct protocol_inval_entry expire = { .parent = parent, .namelen = (uint32_t)(size - 1), .flags = PROTOCOL_EXPIRE_ONLY };
    const struct fuse_out_header out = { .len = (uint32_t)(sizeof(out) + sizeof(expire) + size), .error = FUSE_NOTIFY_INVAL_ENTRY };
    const struct iovec iov[3] = { { (void *)(uintptr_t)&out, sizeof(out) }, { (void *)(uintptr_t)&expire, sizeof(expire) },
                                  { (void *)(uintptr_t)name, size } };
    return writev(mount->device_fd, iov, 3) < 0 ? -errno : 0;
}

int mount_forget_names(struct mount *mount) {
    struct fuse_out_header out = { .len = sizeof(out), .error = PROTOCOL_NOTIFY_INC_EPOCH };
    if (write(mount->device_fd, &out, sizeof(out)) == sizeof(out))
        return 0;
    return errno == EINVAL ? -ENOSYS : -errno;
}
