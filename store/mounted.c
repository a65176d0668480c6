/* Running mounts: records as locked files, so that the end of a process, however it comes, is the end of its claim.
 * Trusts no text of a record: what makes no sense is passed over. SPDX-License-Identifier: GPL-2.0-or-later */
#include "mounted.h"

#include "fs.h"
#include "quote.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

static const char FOLDER[] = "mounts";
enum { TEXT_MAX = 64 * 1024, NAME_SIZE = 40 };

void mounted_done(struct mounted *mounted) {
    free(mounted->dir);
    *mounted = (struct mounted){0};
}

static int cannot(struct store *store, int code, struct snap_err *err) {
    return err_path(err, code, store_path(store), "use the records of mounts in the store");
}

static int open_folder(struct store *store, bool make) {
    if (make && mkdirat(store_run_fd(store), FOLDER, 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = openat(store_run_fd(store), FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int try_lock(int fd, int how) {
    while (flock(fd, how | LOCK_NB) < 0)
        if (errno != EINTR)
            return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    return 0;
}

/* The text. */

static void write_record(const struct mounted *mounted, struct buf *out) {
    buf_fmt(out, "snapshot %" PRId64 "\nworkspace %" PRId64 "\npid %ld\nsince %lld.%09ld\ndir ", mounted->snapshot, mounted->workspace,
            (long)mounted->pid, (long long)mounted->since.tv_sec, mounted->since.tv_nsec);
    quote_mtree(out, mounted->dir, strlen(mounted->dir));
    buf_fmt(out, "\nbelow %d\n", mounted->below);
}

static int read_record(int folder, int64_t id, struct mounted *ret) {
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof(name), "%" PRId64, id);
    _buf_ struct buf text = {0}, dir = {0};
    long long pid, seconds;
    int at = 0;
    int r = fs_read_file(folder, name, TEXT_MAX, &text);
    if (r < 0)
        return r;
    _mounted_ struct mounted mounted = { .id = id };
    if (!text.data || sscanf(text.data, "snapshot %" SCNd64 " workspace %" SCNd64 " pid %lld since %lld.%9ld dir %n", &mounted.snapshot,
                             &mounted.workspace, &pid, &seconds, &mounted.since.tv_nsec, &at) != 5 || !at)
        return -EINVAL;
    size_t size = strcspn(text.data + at, "\n");
    r = unquote_mtree(&dir, text.data + at, size);
    if (r < 0)
        return r;
    if (sscanf(text.data + at + size, " below %d", &mounted.below) != 1)
        mounted.below = -1;
    mounted.pid = (pid_t)pid;
    mounted.since.tv_sec = seconds;
    if (!(mounted.dir = buf_take(&dir)))
        return -ENOMEM;
    *ret = mounted;
    mounted = (struct mounted){0};
    return 0;
}

/* Beginning and ending. */

/* Named only once it is locked and whole: who finds a record without a lock may remove it. */
static int publish(int folder, const char *hidden, int64_t *ret_id) {
    for (int64_t id = 1; id < INT_MAX; id++) {
        char name[NAME_SIZE];
        (void)snprintf(name, sizeof(name), "%" PRId64, id);
        if (linkat(folder, hidden, folder, name, 0) == 0) {
            *ret_id = id;
            return 0;
        }
        if (errno != EEXIST)
            return -errno;
    }
    return -EMFILE;
}

static int make_record(int folder, struct mounted *mounted, int *ret_fd) {
    char hidden[NAME_SIZE];
    (void)snprintf(hidden, sizeof(hidden), ".%ld", (long)getpid());
    _buf_ struct buf text = {0};
    write_record(mounted, &text);
    if (text.failed)
        return text.failed;
    if (unlinkat(folder, hidden, 0) < 0 && errno != ENOENT)
        return -errno;
    _close_ int fd = openat(folder, hidden, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : try_lock(fd, LOCK_EX);
    if (r == 0)
        r = fs_write_all(fd, text.data, text.size);
    if (r == 0)
        r = publish(folder, hidden, &mounted->id);
    if (fd >= 0 && unlinkat(folder, hidden, 0) < 0 && r == 0)
        r = -errno;
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

int mounted_begin(struct store *store, struct mounted *mounted, int *ret_fd, struct snap_err *err) {
    mounted->pid = getpid();
    if (!mounted->since.tv_sec)
        (void)clock_gettime(CLOCK_REALTIME, &mounted->since);
    _close_ int folder = open_folder(store, true);
    int r = folder < 0 ? folder : make_record(folder, mounted, ret_fd);
    return r < 0 ? cannot(store, r, err) : 0;
}

static void log_name(int64_t id, char name[static NAME_SIZE]) {
    (void)snprintf(name, NAME_SIZE, "%" PRId64 ".log", id);
}

int mounted_log(struct store *store, int64_t id, struct snap_err *err) {
    char name[NAME_SIZE];
    log_name(id, name);
    _close_ int folder = open_folder(store, true);
    int fd = folder < 0 ? folder : openat(folder, name, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? cannot(store, folder < 0 ? folder : -errno, err) : fd;
}

static void socket_name(int64_t id, char name[static NAME_SIZE]) {
    (void)snprintf(name, NAME_SIZE, "%" PRId64 ".cut", id);
}

/* By way of the descriptor: a store's path may be longer than an address. */
int mounted_address(struct store *store, int64_t id, struct sockaddr_un *ret) {
    char name[NAME_SIZE];
    int folder = open_folder(store, false);
    if (folder < 0)
        return folder;
    socket_name(id, name);
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    (void)snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", folder, name);
    return folder;
}

/* Whose lock we hold, or whose process is no more. What is left over is a file of a few bytes that the next look removes. */
static void remove_record(int folder, int64_t id) {
    char name[NAME_SIZE], log[NAME_SIZE], address[NAME_SIZE];
    struct stat stat;
    (void)snprintf(name, sizeof(name), "%" PRId64, id);
    log_name(id, log);
    socket_name(id, address);
    (void)unlinkat(folder, address, 0);
    if (fstatat(folder, log, &stat, AT_SYMLINK_NOFOLLOW) == 0 && stat.st_size == 0)
        (void)unlinkat(folder, log, 0);
    (void)unlinkat(folder, name, 0);
}

void mounted_end(struct store *store, const struct mounted *mounted, int fd) {
    _close_ int folder = open_folder(store, false);
    if (folder >= 0)
        remove_record(folder, mounted->id);
    fd_close(fd);
}

/* Looking. */

static int open_record(int folder, int64_t id) {
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof(name), "%" PRId64, id);
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* 1 = its process runs, 0 = not. */
static int is_served(int folder, int64_t id) {
    _close_ int fd = open_record(folder, id);
    int r = fd < 0 ? fd : try_lock(fd, LOCK_SH);
    return r == -EAGAIN ? 1 : r;
}

static int by_id(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

static int read_ids(int folder, int64_t **ret, size_t *ret_count) {
    size_t room = 0;
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        fd_close(copy);
        return -errno;
    }
    for (struct dirent *entry; (entry = readdir(dir)); ) {
        char *end = NULL;
        long long id = strtoll(entry->d_name, &end, 10);
        if (id <= 0 || *end)
            continue;
        if (MAKE_ROOM(*ret, *ret_count, room) < 0)
            return -ENOMEM;
        (*ret)[(*ret_count)++] = id;
    }
    if (*ret_count)
        qsort(*ret, *ret_count, sizeof(**ret), by_id);
    return 0;
}

int mounted_list(struct store *store, mounted_fn fn, void *data, struct snap_err *err) {
    _close_ int folder = open_folder(store, false);
    if (folder == -ENOENT)
        return 0;
    _free_ int64_t *ids = NULL;
    size_t count = 0;
    int r = folder < 0 ? folder : read_ids(folder, &ids, &count);
    if (r < 0)
        return cannot(store, r, err);
    for (size_t i = 0; i < count && r == 0; i++) {
        _mounted_ struct mounted mounted = {0};
        int served = is_served(folder, ids[i]);
        if (served < 0 || read_record(folder, ids[i], &mounted) < 0)
            continue;                        /* it ended meanwhile */
        mounted.served = served;
        r = fn(data, &mounted);
    }
    return MIN(r, 0);
}

int mounted_forget(struct store *store, int64_t id, struct snap_err *err) {
    _close_ int folder = open_folder(store, false);
    if (folder < 0)
        return folder == -ENOENT ? 0 : cannot(store, folder, err);
    if (is_served(folder, id) == 0)
        remove_record(folder, id);
    return 0;
}

int mounted_path(struct store *store, int64_t id, struct buf *ret) {
    _free_ char *real = realpath(store_path(store), NULL);
    buf_fmt(ret, "%s/run/%s/%" PRId64, real ? real : store_path(store), FOLDER, id);
    return ret->failed;
}

/* A source that is not ours leads nowhere or to something else, which is left alone. */
static int open_waited(const char *path, int *ret_folder, int64_t *ret_id) {
    const char *name = strrchr(path, '/');
    char *end = NULL;
    if (!name || !name[1])
        return -ENOENT;
    _free_ char *parent = strndup(path, (size_t)(name - path));
    if (!parent)
        return -ENOMEM;
    *ret_id = strtoll(name + 1, &end, 10);
    const char *above = strrchr(parent, '/');
    if (*end || *ret_id <= 0 || !above || strcmp(above + 1, FOLDER) != 0)
        return -ENOENT;
    *ret_folder = open(parent, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *ret_folder < 0 ? -errno : open_record(*ret_folder, *ret_id);
}

int mounted_find(const char *path, struct mounted *ret, char **ret_store) {
    static const char below[] = "/run/mounts/";
    _close_ int folder = -1;
    int64_t id = 0;
    const char *end = strstr(path, below);
    for (const char *next; end && (next = strstr(end + 1, below)); end = next) {}
    _close_ int fd = open_waited(path, &folder, &id);
    if (fd < 0 || !end)
        return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd >= 0 ? 0 : fd;
    _free_ char *store = strndup(path, (size_t)(end - path));
    int r = store ? read_record(folder, id, ret) : -ENOMEM;
    if (r < 0)
        return r == -EINVAL ? 0 : r;
    *ret_store = TAKE_PTR(store);
    return 1;
}

int mounted_is_served(const char *path) {
    _close_ int folder = -1;
    int64_t id = 0;
    _close_ int fd = open_waited(path, &folder, &id);
    return fd >= 0 && try_lock(fd, LOCK_SH) == -EAGAIN;
}

int mounted_wait(const char *path, const volatile sig_atomic_t *cancel, struct snap_err *err) {
    _close_ int folder = -1;
    int64_t id = 0;
    _close_ int fd = open_waited(path, &folder, &id);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
        return 0;
    if (fd < 0)
        return err_path(err, fd, path, "look at the record of the mount");
    while (flock(fd, LOCK_SH) < 0) {
        if (errno != EINTR)
            return err_path(err, -errno, path, "wait for the process of the mount");
        if (cancel && *cancel) {
            err_set(err, -ECANCELED, "interrupted while waiting for the process of the mount to end");
            err_failure(err, SNAP_FAILURE_INTERRUPTED);
            return -ECANCELED;
        }
    }
    struct stat ours, named;
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof(name), "%" PRId64, id);
    if (fstat(fd, &ours) == 0 && fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && ours.st_ino == named.st_ino)
        remove_record(folder, id);
    return 0;
}
