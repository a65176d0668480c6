/* Files below a directory that some process has mapped to be written to: stores into such a mapping are told by nothing.
 * Reads /proc/PID/maps of every process that we may look at. SPDX-License-Identifier: GPL-2.0-or-later */
#include "backend.h"
#include "fs.h"
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* maps writes a newline as \012, and a backslash as it is; the link beside it tells them apart. */
static bool read_link(int proc, const char *pid, const char *line, char path[static PATH_MAX]) {
    char link[128];
    snprintf(link, sizeof(link), "%.32s/map_files/%.*s", pid, (int)MIN(strcspn(line, " "), sizeof(link) - 64), line);
    ssize_t size = readlinkat(proc, link, path, PATH_MAX);
    if (size < 0 || size >= PATH_MAX)
        return false;
    path[size] = '\0';
    return true;
}

static int tell_path(struct watch *watch, watch_mapped_fn fn, char *path) {
    char *name = strrchr(path, '/');
    struct watch_seen seen;
    const char *above = name ? path : ".";
    if (name)
        *name++ = '\0';
    if (strlen(name ? name : path) > NAME_MAX)
        return 0;                         /* with " (deleted)" behind it */
    _close_ int dir = fs_open_beneath(watch->options.root, above, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (dir < 0 || watch_look(dir, "", &seen) < 0)
        return 0;                         /* it has no such name any more */
    return fn(watch, dir, &seen, name ? name : path);
}

struct process { int proc; const char *pid; const char *root; size_t root_size; watch_mapped_fn fn; };

/* ADDRESSES rw-s OFFSET DEVICE INODE    /path */
static int tell_line(struct watch *watch, const struct process *process, char *line) {
    const char *mode = strchr(line, ' ');
    char *path = strchr(line, '/'), exact[PATH_MAX];
    if (!mode || !path || mode[2] != 'w' || mode[4] != 's')
        return 0;
    if (strstr(path, "\\012") && read_link(process->proc, process->pid, line, exact))
        path = exact;
    if (strncmp(path, process->root, process->root_size) != 0 || path[process->root_size] != '/')
        return 0;
    return tell_path(watch, process->fn, path + process->root_size + 1);
}

static int tell_process(struct watch *watch, const struct process *process) {
    char name[64];
    _buf_ struct buf maps = {0};
    snprintf(name, sizeof(name), "%.32s/maps", process->pid);
    if (fs_read_file(process->proc, name, 64 << 20, &maps) < 0 || !maps.size)
        return 0;                         /* another's, or gone */
    int r = 0;
    for (char *line = maps.data, *end; r >= 0 && (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        r = tell_line(watch, process, line);
    }
    return r;
}

int watch_mapped(struct watch *watch, watch_mapped_fn fn) {
    char link[32], root[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", watch->options.root);
    ssize_t size = readlink(link, root, sizeof(root) - 1);
    int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *dir = proc < 0 ? NULL : fdopendir(proc);
    if (size <= 0 || !dir)
        return 0;
    root[size] = '\0';
    int r = 0;
    for (const struct dirent *entry; r >= 0 && (entry = readdir(dir));)
        if (isdigit((unsigned char)entry->d_name[0]))
            r = tell_process(watch, &(struct process){ proc, entry->d_name, root, size == 1 ? 0 : (size_t)size, fn });
    return MIN(r, 0);
}
