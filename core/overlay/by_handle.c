/* Inodes by number: a handle is made of the number, as the file system itself would, and opened.
 *
 * ext4, f2fs and btrfs take generation 0 as "any", as they do for parents; others want to have seen the object. A directory has
 * a path then; another object only while the kernel remembers a name of it. SPDX-License-Identifier: GPL-2.0-or-later */
#include "by_handle.h"

#include "hook.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

/* linux/exportfs.h, which programs do not have */
enum { INO32_GEN = 1, BTRFS_WITHOUT_PARENT = 0x4d };
enum { EXT4 = 0xef53 };
#define F2FS 0xf2f52010U
#define BTRFS 0x9123683eU

union handle { struct file_handle handle; char room[sizeof(struct file_handle) + MAX_HANDLE_SZ]; };

/* Of the root, with another number in it. */
static int make_handle(int rootfd, uint64_t ino, union handle *ret) {
    struct statfs stat;
    uint32_t short_number = (uint32_t)ino, any = 0;
    int mount;
    ret->handle.handle_bytes = MAX_HANDLE_SZ;
    if (fstatfs(rootfd, &stat) < 0 || name_to_handle_at(rootfd, "", &ret->handle, &mount, AT_EMPTY_PATH) < 0)
        return -EAGAIN;
    unsigned type = (unsigned)stat.f_type;
    unsigned char *bytes = ret->handle.f_handle;
    if ((type == EXT4 || type == F2FS) && ret->handle.handle_type == INO32_GEN && ino == short_number) {
        memcpy(bytes, &short_number, sizeof(short_number));
        memcpy(bytes + 4, &any, sizeof(any));
        return 0;
    }
    if (type != BTRFS || ret->handle.handle_type != BTRFS_WITHOUT_PARENT)
        return -EAGAIN;
    memcpy(bytes, &ino, sizeof(ino));          /* then the subvolume's, which stays */
    memcpy(bytes + 16, &any, sizeof(any));
    return 0;
}

static int path_of(int fd, char (*ret)[PATH_MAX]) {
    char link[40];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, *ret, sizeof(*ret) - 1);
    if (size < 0 || size == (ssize_t)sizeof(*ret) - 1)
        return -EAGAIN;
    (*ret)[size] = '\0';
    return 0;
}

int by_handle(int rootfd, uint64_t ino, struct buf *ret_path) {
    union handle handle;
    struct stat stat;
    char root[PATH_MAX], path[PATH_MAX];
    int r = hook("by_handle", "") < 0 ? -EAGAIN : make_handle(rootfd, ino, &handle);
    _close_ int fd = r < 0 ? -1 : open_by_handle_at(rootfd, &handle.handle, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return r < 0 || errno != ESTALE ? -EAGAIN : 0;
    r = fstat(fd, &stat) < 0 || stat.st_ino != ino ? -EAGAIN : path_of(rootfd, &root);
    if (r >= 0 && stat.st_nlink == 0)
        return 0;
    if (r >= 0)
        r = path_of(fd, &path);
    if (r < 0)
        return r;
    size_t size = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(path, root, size) != 0 || path[size] != '/')
        return S_ISDIR(stat.st_mode) ? 0 : -EAGAIN;
    buf_str(ret_path, path + size + 1);
    return ret_path->failed ? ret_path->failed : 1;
}
