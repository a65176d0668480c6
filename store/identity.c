/* Who a directory is, whatever its path: file system and file handle, else inode number and time of birth.
 * Trusts no device number and no handle that is only good for one mount. SPDX-License-Identifier: GPL-2.0-or-later */
#include "identity.h"

#include "buf.h"
#include "fs.h"
#include "meta.h"
#include "quote.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

/* linux/fs.h has it since 6.9 */
struct fs_uuid { uint8_t size, uuid[16]; };
#define GET_FS_UUID _IOR(0x15, 0, struct fs_uuid)

#define FUSE_MAGIC 0x65735546        /* FUSE_SUPER_MAGIC of linux/magic.h, as a value that fits f_type everywhere */

static int add_uuid(int dirfd, struct buf *out) {
    /* dirfd may be an O_PATH descriptor, which takes no ioctl */
    _close_ int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct fs_uuid uuid = {0};
    static const uint8_t none[sizeof(uuid.uuid)];
    if (fd < 0 || ioctl(fd, GET_FS_UUID, &uuid) < 0)
        return 0;
    if (uuid.size == 0 || uuid.size > sizeof(uuid.uuid) || memcmp(uuid.uuid, none, uuid.size) == 0)
        return 0;
    buf_str(out, "uuid-");
    hex_encode(out, uuid.uuid, uuid.size);
    return 1;
}

static void add_file_system(int dirfd, const struct statfs *stat, struct buf *out) {
    int fsid[2];
    if (add_uuid(dirfd, out))
        return;
    memcpy(fsid, &stat->f_fsid, sizeof(fsid));
    if (fsid[0] || fsid[1])
        buf_fmt(out, "fsid-%08x%08x", (unsigned)fsid[0], (unsigned)fsid[1]);
    else
        buf_fmt(out, "type-%lx", (unsigned long)stat->f_type);
}

/* 1 = added, 0 = there are no handles here. */
static int add_handle(int dirfd, struct buf *out) {
    union { struct file_handle handle; char room[sizeof(struct file_handle) + MAX_HANDLE_SZ]; } at = {0};
    int mount = 0;
    at.handle.handle_bytes = MAX_HANDLE_SZ;
    if (name_to_handle_at(dirfd, "", &at.handle, &mount, AT_EMPTY_PATH) < 0)
        return errno == ENOMEM || errno == EIO || errno == EBADF || errno == ESTALE ? -errno : 0;
    buf_fmt(out, ":handle:%x:", (unsigned)at.handle.handle_type);
    hex_encode(out, at.room + sizeof(struct file_handle), at.handle.handle_bytes);
    return 1;
}

static int add_birth(int dirfd, struct buf *out) {
    struct statx stat;
    int result = fs_statx(dirfd, "", &stat);
    if (result < 0)
        return result;
    bool known = stat.stx_mask & STATX_BTIME;
    buf_fmt(out, ":birth:%llu:%lld.%09u", (unsigned long long)stat.stx_ino,
            known ? (long long)stat.stx_btime.tv_sec : 0, known ? stat.stx_btime.tv_nsec : 0);
    return 0;
}

static int describe(int dirfd, struct buf *out) {
    struct statfs stat;
    if (fstatfs(dirfd, &stat) < 0)
        return -errno;
    add_file_system(dirfd, &stat, out);
    /* the handles of a FUSE file system are those of one mount */
    int result = stat.f_type == FUSE_MAGIC ? 0 : add_handle(dirfd, out);
    if (result == 0)
        result = add_birth(dirfd, out);
    return result < 0 ? result : out->failed;
}

int identity_of(int dirfd, char **ret, struct snap_err *err) {
    _buf_ struct buf out = {0};
    int result = describe(dirfd, &out);
    if (result < 0)
        return err_errno(err, result, "cannot find out the identity of the directory");
    char *identity = buf_take(&out);
    if (!identity)
        return err_nomem(err);
    *ret = identity;
    return 0;
}

/* The part behind the file system's name. */
static const char *inode_part(const char *identity) {
    const char *colon = strchr(identity, ':');
    return colon ? colon : identity;
}

bool identity_same_inode(const char *a, const char *b) {
    size_t scheme = strcspn(a, "-:");
    if (strcmp(a, b) == 0)
        return true;
    bool one_scheme = scheme == strcspn(b, "-:") && memcmp(a, b, scheme) == 0;
    return !one_scheme && strcmp(inode_part(a), inode_part(b)) == 0;
}
