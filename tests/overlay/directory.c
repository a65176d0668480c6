/* The world of system calls.
 * Follows no symlink but through what the kernel itself does with a path's inner components.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "world.h"

#include "cleanup.h"
#include "fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum { HANDLES = 8 };

struct directory {
    struct world world;
    int fd;
    bool raw;
    int handles[HANDLES];
};

static int result(int r) {
    return r < 0 ? -errno : 0;
}

static const char *xattr_path(struct directory *dir, const char *path, char (*ret)[4200]) {
    (void)snprintf(*ret, sizeof(*ret), "/proc/self/fd/%d/%s", dir->fd, path);
    return *ret;
}

/* Of files, directories and symlinks; a fifo would wait for somebody. */
static int open_it(struct directory *dir, const char *path, int flags) {
    struct stat stat;
    if ((flags & O_TMPFILE) != O_TMPFILE && fstatat(dir->fd, path, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISFIFO(stat.st_mode))
        return -ENXIO;
    int fd = openat(dir->fd, path, flags | O_NOFOLLOW | O_CLOEXEC, 0644);
    return fd < 0 ? -errno : fd;
}

static int write_file(struct directory *dir, const char *path, const char *text, int flags) {
    _buf_ struct buf bytes = {0};
    _close_ int fd = open_it(dir, path, O_WRONLY | flags);
    if (fd < 0)
        return fd;
    int r = expand_text(text, &bytes);
    return r < 0 || !bytes.size ? r : fs_write_all(fd, bytes.data, bytes.size);
}

static int compare(int fd, off_t offset, const char *text) {
    _buf_ struct buf bytes = {0};
    int r = expand_text(text, &bytes);
    char *got = malloc(bytes.size + 1);
    if (r < 0 || !got)
        return -ENOMEM;
    ssize_t size = pread(fd, got, bytes.size + 1, offset);
    r = size < 0 ? -errno : (size_t)size == bytes.size && (!size || memcmp(got, bytes.data, bytes.size) == 0) ? 0 : -EBADMSG;
    free(got);
    return r;
}

static int read_file(struct directory *dir, const char *path, const char *text) {
    _close_ int fd = open_it(dir, path, O_RDONLY);
    return fd < 0 ? fd : compare(fd, 0, text);
}

static int list(struct directory *dir, const char *path) {
    _close_ int fd = openat(dir->fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *stream = fdopendir(TAKE_FD(fd));
    int count = 0;
    while (stream && readdir(stream))
        count++;
    (void)closedir(stream);
    return count;
}

static int truncate_file(struct directory *dir, const char *path, off_t size) {
    _close_ int fd = open_it(dir, path, O_WRONLY);
    return fd < 0 ? fd : result(ftruncate(fd, size));
}

static int change_mode(struct directory *dir, const char *path, mode_t mode) {
    struct stat stat;
    if (fstatat(dir->fd, path, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return S_ISLNK(stat.st_mode) ? -EOPNOTSUPP : result(fchmodat(dir->fd, path, mode, 0));
}

static int handle_act(struct directory *dir, char *const *w, unsigned count) {
    int *fd = &dir->handles[strtoul(w[1], NULL, 10) % HANDLES];
    if (strcmp(w[0], "open") == 0 || strcmp(w[0], "tmpfile") == 0) {
        *fd = fd_close(*fd);
        int opened = open_it(dir, w[2], *w[0] == 't' ? O_TMPFILE | O_RDWR : open_flags(w[3]));
        *fd = MAX(opened, -1);
        return MIN(opened, 0);
    }
    if (*fd < 0)
        return -EBADF;
    if (strcmp(w[0], "pread") == 0)
        return compare(*fd, atol(w[2]), w[3]);
    if (strcmp(w[0], "fallocate") == 0 && count == 4)
        return result(fallocate(*fd, 0, atol(w[2]), atol(w[3])));
    if (strcmp(w[0], "pwrite") == 0) {
        _buf_ struct buf bytes = {0};
        int r = expand_text(w[3], &bytes);
        return r < 0 ? r : pwrite(*fd, bytes.data, bytes.size, atol(w[2])) < 0 ? -errno : 0;
    }
    if (strcmp(w[0], "fstat") == 0) {
        struct stat stat;
        return fstat(*fd, &stat) < 0 ? -errno : S_ISDIR(stat.st_mode) ? 0 : (int)(stat.st_nlink * 1000 + (size_t)stat.st_size % 1000);
    }
    if (strcmp(w[0], "linkfd") == 0) {
        char path[40];
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", *fd);
        return result(linkat(AT_FDCWD, path, dir->fd, w[2], AT_SYMLINK_FOLLOW));
    }
    *fd = fd_close(*fd);
    return 0;
}

static int make(struct directory *dir, char *const *w) {
    if (strcmp(w[0], "mkdir") == 0)
        return result(mkdirat(dir->fd, w[1], (mode_t)strtoul(w[2], NULL, 8)));
    if (strcmp(w[0], "fifo") == 0)
        return result(mknodat(dir->fd, w[1], S_IFIFO | (mode_t)strtoul(w[2], NULL, 8), 0));
    if (strcmp(w[0], "symlink") == 0)
        return result(symlinkat(w[2], dir->fd, w[1]));
    if (strcmp(w[0], "whiteout") == 0)
        return result(mknodat(dir->fd, w[1], S_IFCHR, 0));
    if (strcmp(w[0], "write") == 0 || strcmp(w[0], "append") == 0)
        return write_file(dir, w[1], w[2], *w[0] == 'w' ? O_CREAT | O_TRUNC : O_APPEND);
    return -ENOSYS;
}

static int move(struct directory *dir, char *const *w) {
    if (strcmp(w[0], "rename") == 0)
        return result(renameat2(dir->fd, w[1], dir->fd, w[2], 0));
    if (strcmp(w[0], "exchange") == 0)
        return result(renameat2(dir->fd, w[1], dir->fd, w[2], RENAME_EXCHANGE));
    if (strcmp(w[0], "renew") == 0)
        return result(renameat2(dir->fd, w[1], dir->fd, w[2], RENAME_NOREPLACE));
    if (strcmp(w[0], "link") == 0)
        return result(linkat(dir->fd, w[1], dir->fd, w[2], 0));
    if (strcmp(w[0], "unlink") == 0)
        return result(unlinkat(dir->fd, w[1], 0));
    return strcmp(w[0], "rmdir") == 0 ? result(unlinkat(dir->fd, w[1], AT_REMOVEDIR)) : -ENOSYS;
}

static int change(struct directory *dir, char *const *w, unsigned count) {
    char path[4200];
    if (strcmp(w[0], "truncate") == 0)
        return truncate_file(dir, w[1], atol(w[2]));
    if (strcmp(w[0], "chmod") == 0)
        return change_mode(dir, w[1], (mode_t)strtoul(w[2], NULL, 8));
    if (strcmp(w[0], "chown") == 0 && count == 4)
        return result(fchownat(dir->fd, w[1], (uid_t)atol(w[2]), (gid_t)atol(w[3]), AT_SYMLINK_NOFOLLOW));
    if (strcmp(w[0], "utimens") == 0) {
        struct timespec times[2] = { { atol(w[2]), 0 }, { atol(w[2]), 0 } };
        return result(utimensat(dir->fd, w[1], times, AT_SYMLINK_NOFOLLOW));
    }
    if (strcmp(w[0], "setxattr") == 0 && count == 4)
        return result(lsetxattr(xattr_path(dir, w[1], &path), w[2], w[3], strlen(w[3]), 0));
    return strcmp(w[0], "unsetxattr") == 0 ? result(lremovexattr(xattr_path(dir, w[1], &path), w[2])) : -ENOSYS;
}

static int act(struct world *world, char *const *w, unsigned count) {
    struct directory *dir = (struct directory *)world;
    if (strcmp(w[0], "remount") == 0)
        return 0;
    if (count < 2)
        return -EINVAL;
    if (is_of_handle(w[0]))
        return handle_act(dir, w, count);
    if (strcmp(w[0], "list") == 0)
        return list(dir, w[1]);
    if (strcmp(w[0], "read") == 0)
        return read_file(dir, w[1], count > 2 ? w[2] : "");
    int r = make(dir, w);
    if (r == -ENOSYS)
        r = move(dir, w);
    return r == -ENOSYS ? change(dir, w, count) : r;
}

/* Dumping. */

static ssize_t get(void *data, const char *name, void *value, size_t size) {
    ssize_t got = lgetxattr(data, name, value, size);
    return got < 0 ? -errno : got;
}

static int dump_entry(struct directory *dir, const char *path, const struct stat *stat, struct buf *out) {
    char real[4200], names[8192];
    _cleanup_(shown_done) struct shown shown = { .path = path, .stat = stat };
    if (S_ISREG(stat->st_mode)) {
        _close_ int fd = openat(dir->fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        int r = fd < 0 ? -errno : fs_read_all(fd, 64 << 20, &shown.content);
        if (r < 0)
            return r;
    } else if (S_ISLNK(stat->st_mode)) {
        ssize_t size = readlinkat(dir->fd, path, real, sizeof(real));
        if (size < 0)
            return -errno;
        buf_add(&shown.content, real, (size_t)size);
    }
    ssize_t size = llistxattr(xattr_path(dir, path, &real), names, sizeof(names));
    if (size < 0)
        return -errno;
    int r = show_xattrs(&shown.xattrs, names, (size_t)size, dir->raw, get, real);
    if (r >= 0)
        show(out, &shown);
    return r;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int dump_dir(struct directory *dir, const char *path, struct buf *out) {
    char *names[1024];
    size_t count = 0;
    int fd = openat(dir->fd, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream)
        return -errno;
    for (struct dirent *entry; count < ELEMENTS(names) && (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            names[count++] = strdup(entry->d_name);
    }
    (void)closedir(stream);
    qsort(names, count, sizeof(*names), by_name);
    int r = 0;
    for (size_t i = 0; i < count; i++) {
        char child[4096];
        struct stat stat;
        (void)snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "", names[i]);
        if (r >= 0)
            r = fstatat(dir->fd, child, &stat, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : dump_entry(dir, child, &stat, out);
        if (r >= 0 && S_ISDIR(stat.st_mode))
            r = dump_dir(dir, child, out);
        free(names[i]);
    }
    return r;
}

static int dump(struct world *world, struct buf *ret) {
    return dump_dir((struct directory *)world, "", ret);
}

static int identify(struct world *world, const char *path, struct world_id *ret) {
    struct statx stat;
    int r = fs_statx(((struct directory *)world)->fd, path, &stat);
    if (r < 0)
        return r;
    *ret = (struct world_id){ .number = stat.stx_ino, .generation = (uint64_t)stat.stx_btime.tv_sec << 30 ^ stat.stx_btime.tv_nsec };
    return 0;
}

static void close_world(struct world *world) {
    struct directory *dir = (struct directory *)world;
    for (size_t i = 0; i < HANDLES; i++)
        dir->handles[i] = fd_close(dir->handles[i]);
    dir->fd = fd_close(dir->fd);
    free(dir);
}

int world_open_directory(int dirfd, bool raw, struct world **ret) {
    struct directory *dir = calloc(1, sizeof(*dir));
    if (!dir)
        return -ENOMEM;
    *dir = (struct directory){ .world = { .act = act, .dump = dump, .identify = identify, .close = close_world }, .raw = raw };
    for (size_t i = 0; i < HANDLES; i++)
        dir->handles[i] = -1;
    dir->fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
    if (dir->fd < 0) {
        free(dir);
        return -errno;
    }
    *ret = &dir->world;
    return 0;
}
