/* Small file-system verbs over directory descriptors.
 * Refuses to follow symlinks, to leave the directory it was given, and to cross mounts.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs.h"
#include "meta.h"
#include "quote.h"
#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

/* Opening. */

enum { TRIES = 16 };

static bool has_mode(int flags) {
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

static int open_at_once(int dirfd, const char *path, int flags, mode_t mode) {
    struct open_how how = {
        .flags = (uint64_t)flags, .mode = has_mode(flags) ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    long fd = -1;
    for (int i = 0; i < TRIES; i++) {          /* EAGAIN: something was renamed meanwhile */
        fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return fd < 0 ? -errno : (int)fd;
}

/* A component of `path`: its size, and what follows it. */
static size_t next_component(const char *path, const char **ret_rest) {
    size_t size = strcspn(path, "/");
    *ret_rest = path + size + strspn(path + size, "/");
    return size;
}

static int open_component(int dirfd, const char *path, size_t size, int flags, mode_t mode) {
    char name[NAME_MAX + 1];
    if (size > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(name, path, size);
    name[size] = '\0';
    int fd = openat(dirfd, name, flags | O_NOFOLLOW, mode);
    return fd < 0 ? -errno : fd;
}

static int open_by_walk(int dirfd, const char *path, int flags, mode_t mode) {
    _close_ int at = -1;
    for (const char *rest; ; path = rest) {
        size_t size = next_component(path, &rest);
        if (*rest == '\0')
            return open_component(at < 0 ? dirfd : at, path, size, path[size] == '/' ? flags | O_DIRECTORY : flags, mode);
        int next = open_component(at < 0 ? dirfd : at, path, size, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
        if (next < 0)
            return next;
        close_fd(&at);
        at = next;
    }
}

/* No way up, so that both ways of opening refuse the same. */
static bool leads_out(const char *path) {
    if (*path == '/')
        return true;
    for (const char *rest; *path; path = rest)
        if (next_component(path, &rest) == 2 && path[0] == '.' && path[1] == '.')
            return true;
    return false;
}

int fs_open_beneath(int dirfd, const char *path, int flags, mode_t mode) {
    if (leads_out(path))
        return -EXDEV;
    if (*path == '\0')
        path = ".";
    flags |= O_CLOEXEC;
    int fd = strlen(path) < PATH_MAX ? open_at_once(dirfd, path, flags, mode) : -ENAMETOOLONG;
    if (fd == -ENOSYS || fd == -EPERM || fd == -ENAMETOOLONG)
        return open_by_walk(dirfd, path, flags, mode);
    return fd;
}

/* Files as a whole. */

int fs_read_all(int fd, size_t limit, struct buf *out) {
    char data[16 << 10];
    for (;;) {
        ssize_t got = read(fd, data, sizeof(data));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return out->failed;
        buf_add(out, data, (size_t)got);
        if (out->size > limit)
            return -EFBIG;
    }
}

int fs_read_file(int dirfd, const char *name, size_t limit, struct buf *out) {
    _close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return -errno;
    if (!S_ISREG(stat.st_mode))
        return S_ISDIR(stat.st_mode) ? -EISDIR : -EINVAL;
    _buf_ struct buf content = {0};
    int r = fs_read_all(fd, limit, &content);
    if (r < 0)
        return r;
    buf_add(out, content.data, content.size);
    return out->failed;
}

int fs_write_all(int fd, const void *data, size_t size) {
    const char *at = data;
    while (size) {
        ssize_t put = write(fd, at, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? -errno : -EIO;
        at += put;
        size -= (size_t)put;
    }
    return 0;
}

/* A file that is there only for us, removed again unless `name` was emptied. */
struct temporary {
    int dirfd, fd;
    char name[64];
};

static void temporary_done(struct temporary *temporary) {
    temporary->fd = fd_close(temporary->fd);
    if (*temporary->name)
        (void)unlinkat(temporary->dirfd, temporary->name, 0);
}
#define _temporary_ _cleanup_(temporary_done)

static int temporary_open(int dirfd, struct temporary *ret) {
    for (int i = 0; i < TRIES; i++) {
        uint64_t random;
        if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
            random = (uint64_t)getpid() << 32 | (unsigned)i;
        struct temporary made = { .dirfd = dirfd };
        (void)snprintf(made.name, sizeof(made.name), ".snapctl-%016llx.tmp", (unsigned long long)random);
        made.fd = openat(dirfd, made.name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (made.fd >= 0) {
            *ret = made;
            return 0;
        }
        if (errno != EEXIST)
            return -errno;
    }
    return -EEXIST;
}

static int sync_directory(int dirfd) {
    _close_ int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fsync(fd) < 0 ? -errno : 0;
}

int fs_replace_file(int dirfd, const char *name, const void *data, size_t size, mode_t mode) {
    _temporary_ struct temporary new = { .fd = -1 };
    int r = temporary_open(dirfd, &new);
    if (r >= 0)
        r = fs_write_all(new.fd, data, size);
    if (r < 0)
        return r;
    if (fchmod(new.fd, mode) < 0 || fsync(new.fd) < 0 || renameat(dirfd, new.name, dirfd, name) < 0)
        return -errno;
    *new.name = '\0';
    return sync_directory(dirfd);
}

/* A directory of a lower layer is born again when overlayfs copies it up. Asked once for each device in turn. */
static bool changes_birth(int dirfd, const char *name, const struct statx *stat) {
    static _Atomic uint64_t last;      /* device number + 1, and in the lowest bit whether it is overlayfs */
    uint64_t device = (uint64_t)stat->stx_dev_minor + 1, known = last;
    struct statfs fs;
    if (stat->stx_dev_major != 0)      /* that of a disk */
        return false;
    if (known >> 1 == device)
        return known & 1;
    _close_ int fd = *name ? openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fstatfs(*name ? fd : dirfd, &fs) < 0)
        return false;
    bool overlay = (uint32_t)fs.f_type == OVERLAYFS_SUPER_MAGIC;
    last = device << 1 | overlay;
    return overlay;
}

int fs_statx(int dirfd, const char *name, struct statx *ret) {
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);
    struct statx stat;
    if (statx(dirfd, name, flags, META_STATX, &stat) < 0)
        return -errno;
    if (S_ISDIR(stat.stx_mode) && changes_birth(dirfd, name, &stat))
        stat.stx_mask &= ~(unsigned)STATX_BTIME;
    *ret = stat;
    return 0;
}

int fs_is_mount_point(int dirfd, const char *name) {
    struct statx stat;
    if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0, &stat) < 0)
        return -errno;
    return (stat.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

/* Limits and clocks. */

int fs_raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    rlim_t most = MIN(limit.rlim_max, (rlim_t)1 << 20);
    if (limit.rlim_cur >= most)
        return (int)MIN(limit.rlim_cur, (rlim_t)INT_MAX);
    struct rlimit raised = { .rlim_cur = most, .rlim_max = limit.rlim_max };
    return (int)(setrlimit(RLIMIT_NOFILE, &raised) < 0 ? limit.rlim_cur : most);
}

/* Without a name where that is possible. */
static int probe_open(int dirfd, struct temporary *ret) {
    int fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) {
        *ret = (struct temporary){ .dirfd = dirfd, .fd = fd };
        return 0;
    }
    return errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL || errno == ENOENT ? temporary_open(dirfd, ret) : -errno;
}

static int stamp(const struct temporary *probe, struct timespec *ret) {
    struct stat stat;
    ssize_t put = pwrite(probe->fd, "", 1, 0);
    if (put != 1)
        return put < 0 ? -errno : -EIO;
    if (fstat(probe->fd, &stat) < 0)
        return -errno;
    *ret = stat.st_ctim;
    return 0;
}

int fs_now(int dirfd, struct timespec *ret) {
    _temporary_ struct temporary probe = { .fd = -1 };
    int r = probe_open(dirfd, &probe);
    return r < 0 ? r : stamp(&probe, ret);
}

static int64_t to_ns(const struct timespec *time) {
    return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

/* A clock that ticks at most 1000 times a second cannot give so many different times in so short a while. */
enum { STAMPS = 16, STAMPS_NS = 8 * 1000 * 1000, ROUNDS = 3 };

static int all_differ(const struct temporary *probe, int64_t *ret_took) {
    int64_t first = 0, last = 0;
    for (int i = 0; i < STAMPS; i++) {
        struct timespec time;
        int r = stamp(probe, &time);
        if (r < 0)
            return r;
        int64_t now = to_ns(&time);
        if (i && now <= last)
            return 0;
        first = i ? first : now;
        last = now;
    }
    *ret_took = last - first;
    return 1;
}

int fs_has_fine_timestamps(int dirfd) {
    _temporary_ struct temporary probe = { .fd = -1 };
    int r = probe_open(dirfd, &probe);
    if (r < 0)
        return r;
    for (int i = 0; i < ROUNDS; i++) {         /* we may have been held up in one */
        int64_t took = 0;
        r = all_differ(&probe, &took);
        if (r <= 0 || took < STAMPS_NS)
            return r;
    }
    return 0;
}

/* Who writes. What we may not look at is left out: the answer is for a message, the lease decides. */

struct sought { unsigned major, minor; uint64_t ino; };

enum { NAMED = 8 };            /* so many are named, no more */

static bool is_sought(int dirfd, const char *name, const struct sought *file) {
    struct statx stat;         /* of what may lie on a server that does not answer */
    return statx(dirfd, name, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_INO, &stat) == 0 && stat.stx_ino == file->ino
        && stat.stx_dev_major == file->major && stat.stx_dev_minor == file->minor;
}

static bool is_open_for_writing(int process, const char *fd) {
    char name[sizeof("fdinfo/") + NAME_MAX];
    (void)snprintf(name, sizeof(name), "fdinfo/%s", fd);
    _buf_ struct buf info = {0};
    if (fs_read_file(process, name, 1 << 20, &info) < 0 || !info.size)
        return false;
    const char *flags = strstr(info.data, "flags:");
    return flags && (strtoul(flags + strlen("flags:"), NULL, 8) & O_ACCMODE) != O_RDONLY;
}

static bool has_descriptor(int process, const struct sought *file) {
    _close_ int fd = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return false;
    (void)TAKE_FD(fd);
    for (struct dirent *entry; (entry = readdir(dir)); )
        if (*entry->d_name != '.' && is_sought(dirfd(dir), entry->d_name, file) && is_open_for_writing(process, entry->d_name))
            return true;
    return false;
}

/* A line of proc(5) maps. btrfs shows another device there than stat does, so the file itself has the last word. */
static bool is_written_mapping(int process, const char *line, const struct sought *file) {
    char range[64], modes[8], name[sizeof("map_files/") + sizeof(range)];
    unsigned major, minor;
    unsigned long long ino;
    if (sscanf(line, "%63s %7s %*s %x:%x %llu", range, modes, &major, &minor, &ino) != 5)
        return false;
    if (ino != file->ino || modes[1] != 'w' || modes[3] != 's')
        return false;
    (void)snprintf(name, sizeof(name), "map_files/%s", range);
    return (major == file->major && minor == file->minor) || is_sought(process, name, file);
}

static void close_stream(FILE **stream) {
    if (*stream)
        (void)fclose(*stream);
}

static bool has_mapping(int process, const struct sought *file) {
    _close_ int fd = openat(process, "maps", O_RDONLY | O_CLOEXEC);
    _cleanup_(close_stream) FILE *maps = fd < 0 ? NULL : fdopen(fd, "r");
    if (!maps)
        return false;
    (void)TAKE_FD(fd);
    _free_ char *line = NULL;
    for (size_t room = 0; getline(&line, &room, maps) > 0; )
        if (is_written_mapping(process, line, file))
            return true;
    return false;
}

void fs_name_process(int process, const char *pid, struct buf *out) {
    _buf_ struct buf command = {0};
    if (fs_read_file(process, "comm", 256, &command) < 0 || !command.size)
        buf_str(&command, "?\n");
    buf_fmt(out, "%s (", pid);
    quote_display(out, command.data, command.size - 1);
    buf_char(out, ')');
}

void fs_who_writes(const struct stat *file, struct buf *out) {
    const struct sought sought = { major(file->st_dev), minor(file->st_dev), file->st_ino };
    _closedir_ DIR *proc = opendir("/proc");
    unsigned found = 0;
    for (struct dirent *entry; proc && (entry = readdir(proc)); ) {
        _close_ int process = isdigit((unsigned char)*entry->d_name)
            ? openat(dirfd(proc), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
        if (process < 0 || (!has_descriptor(process, &sought) && !has_mapping(process, &sought)))
            continue;
        if (found++)
            buf_str(out, ", ");
        if (found > NAMED) {
            buf_str(out, "others");
            break;
        }
        fs_name_process(process, entry->d_name, out);
    }
}
