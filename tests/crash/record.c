/* From calls to events: after each call that succeeded, what it touched is looked at.
 * Trusts no argument further than to find the file. SPDX-License-Identifier: GPL-2.0-or-later */
#include "record.h"

#include "cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

struct recorder { struct disk *disk; const char *roots[2]; size_t stop; };

static int open_descriptor(const struct trace_call *call, int fd) {
    char link[64];
    snprintf(link, sizeof(link), fd == AT_FDCWD ? "/proc/%d/cwd" : "/proc/%d/fd/%d", call->tid, fd);
    return open(link, O_PATH | O_CLOEXEC);
}

/* The directory of a path argument, and the name in it; "" = the descriptor itself is meant. */
static int open_parent(const struct trace_call *call, int dirfd_argument, int path_argument, char ret_name[NAME_MAX + 1]) {
    char path[PATH_MAX + 1] = "";
    int fd = dirfd_argument < 0 ? AT_FDCWD : (int)call->args[dirfd_argument], used = 0;
    if (call->args[path_argument] && !trace_string(call, path_argument, path, sizeof(path)))
        return -1;
    char *rest = path;
    bool absolute = *path == '/';
    if (sscanf(path, "/proc/self/fd/%d%n", &fd, &used) == 1 || sscanf(path, "/proc/thread-self/fd/%d%n", &fd, &used) == 1) {
        rest = path + used + (path[used] == '/');
        absolute = false;
    }
    char *slash = strrchr(rest, '/');
    snprintf(ret_name, NAME_MAX + 1, "%.255s", slash ? slash + 1 : rest);
    _close_ int start = absolute ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : open_descriptor(call, fd);
    if (!slash || start < 0)
        return TAKE_FD(start);
    *slash = 0;
    while (*rest == '/')
        rest++;
    return *rest ? openat(start, rest, O_PATH | O_DIRECTORY | O_CLOEXEC) : TAKE_FD(start);
}

static void saw_path(struct recorder *recorder, const struct trace_call *call, int dirfd_argument, int path_argument, bool fresh) {
    char name[NAME_MAX + 1];
    _close_ int parent = open_parent(call, dirfd_argument, path_argument, name);
    if (parent >= 0 && *name)
        disk_saw_name(recorder->disk, parent, name, fresh);
}

static void saw_attributes(struct recorder *recorder, const struct trace_call *call) {
    char name[NAME_MAX + 1];
    _close_ int parent = call->fd >= 0 ? open_descriptor(call, (int)call->args[call->fd]) : open_parent(call, call->dirfd, call->path, name);
    _close_ int file = parent < 0 || call->fd >= 0 || !*name ? TAKE_FD(parent) : openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (file >= 0)
        disk_saw_file(recorder->disk, file, false);
}

static void saw_descriptor(struct recorder *recorder, const struct trace_call *call, int fd, bool fresh) {
    _close_ int file = open_descriptor(call, fd);
    if (file < 0)
        return;
    if (call->kind == TRACE_SIZE)
        disk_saw_size(recorder->disk, file);
    else
        disk_saw_file(recorder->disk, file, fresh);
}

static bool has_no_name(const struct trace_call *call, int64_t fd) {
    char path[PATH_MAX + 32], link[64];
    snprintf(link, sizeof(link), "/proc/%d/fd/%d", call->tid, (int)fd);
    ssize_t size = readlink(link, path, sizeof(path) - 1);
    path[MAX(size, 0)] = 0;
    return size > 10 && !strcmp(path + size - 10, " (deleted)");
}

static void saw_rename(struct recorder *recorder, const struct trace_call *call) {
    if (call->dirfd < 0)
        saw_path(recorder, call, -1, 0, false);
    else
        saw_path(recorder, call, 0, 1, false);
    saw_path(recorder, call, call->dirfd, call->path, false);
}

static void saw_flush(struct recorder *recorder, const struct trace_call *call) {
    if (!strcmp(call->name, "sync_file_range"))        /* promises nothing */
        return;
    bool all = call->fd < 0 || !strcmp(call->name, "syncfs");
    _close_ int file = all ? -1 : open_descriptor(call, (int)call->args[call->fd]);
    if (all || file >= 0)
        disk_saw_flush(recorder->disk, file);
}

static unsigned mark_of(struct recorder *recorder, const struct trace_call *call) {
    char path[2 * PATH_MAX];
    size_t size = strlen(recorder->roots[0]);
    unsigned mark = 0;
    if (call->kind == TRACE_MAKE && trace_path(call, call->dirfd, call->path, path, sizeof(path)) && !strncmp(path, recorder->roots[0], size))
        (void)sscanf(path + size, "/mark-%u", &mark);
    return mark;
}

static void tell(struct recorder *recorder, const struct trace_call *call, int64_t result) {
    switch (call->kind) {
    case TRACE_CREATE:
        if (has_no_name(call, result))
            saw_descriptor(recorder, call, (int)result, true);
        else
            saw_path(recorder, call, call->dirfd, call->path, true);
        break;
    case TRACE_WRITE:
    case TRACE_SIZE:
        if (call->fd >= 0)
            saw_descriptor(recorder, call, (int)call->args[call->fd], false);
        else
            saw_path(recorder, call, call->dirfd, call->path, false);
        break;
    case TRACE_MAKE:
        saw_path(recorder, call, call->dirfd, call->path, strncmp(call->name, "link", 4) != 0);
        break;
    case TRACE_REMOVE:
        saw_path(recorder, call, call->dirfd, call->path, false);
        break;
    case TRACE_RENAME:
        saw_rename(recorder, call);
        break;
    case TRACE_META:
        saw_attributes(recorder, call);
        break;
    case TRACE_FLUSH:
        saw_flush(recorder, call);
        break;
    }
}

static int enter(void *data, const struct trace_call *call) {
    struct recorder *recorder = data;
    if (!trace_concerns(call, recorder->roots))
        return TRACE_GO;
    return disk_events(recorder->disk) >= recorder->stop ? TRACE_KILL : TRACE_WATCH;
}

static bool leave(void *data, const struct trace_call *call, int64_t result) {
    struct recorder *recorder = data;
    char path[2 * PATH_MAX] = "", what[400];
    if (result < 0)
        return true;
    (void)(call->fd >= 0 ? trace_fd_path(call, call->fd, path, sizeof(path))
           : call->path >= 0 && trace_path(call, call->dirfd, call->path, path, sizeof(path)));
    snprintf(what, sizeof(what), "%s %.350s", call->name, path);
    disk_event(recorder->disk, what);
    unsigned mark = mark_of(recorder, call);
    if (mark)
        disk_saw_mark(recorder->disk, mark);
    else
        tell(recorder, call, result);
    return true;
}

int record_run(struct disk *disk, const char *base, size_t stop, const struct trace_program *program, int *ret_status) {
    struct recorder recorder = { disk, { base, NULL }, stop };
    struct trace_handler handler = { enter, leave, &recorder };
    return trace_run(program, &handler, ret_status);
}
