/* Files below a directory that some process has mapped to be written to: stores into such a mapping are told by nothing.
 * Reads /proc/PID/maps of every process that we may look at. SPDX-License-Identifier: GPL-2.0-or-later */
#include "backend.h"
#include "fs.h"
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* As maps writes it: a newline as \012, nothing else. */
static void unescape(char *path) {
    for (char *at = path; (at = strstr(at, "\\012")); at++) {
        *at = '\n';
        memmove(at + 1, at + 4, strlen(at + 4) + 1);
    }
}

static int tell_path(struct watch *watch, char *path) {
    char *name = strrchr(path, '/');
    struct watch_seen seen;
    const char *above = name ? path : ".";
    if (name)
        *name++ = '\0';
    _close_ int dir = fs_open_beneath(watch->options.root, above, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (dir < 0 || watch_look(dir, "", &seen) < 0)
        return 0;                         /* it has no such name any more */
    return watch_tell(watch, WATCH_ENTRY, seen.inode, name ? name : path);
}

/* ADDRESSES rw-s OFFSET DEVICE INODE    /path */
static int tell_line(struct watch *watch, char *line, const char *root, size_t root_size) {
    const char *mode = strchr(line, ' ');
    char *path = strchr(line, '/');
    if (!mode || !path || mode[2] != 'w' || mode[4] != 's' || strncmp(path, root, root_size) != 0 || path[root_size] != '/')
        return 0;
    unescape(path);
    return tell_path(watch, path + root_size + 1);
}

static int tell_process(struct watch *watch, int proc, const char *pid, const char *root, size_t root_size) {
    char name[64];
    _buf_ struct buf maps = {0};
    snprintf(name, sizeof(name), "%.32s/maps", pid);
    if (fs_read_file(proc, name, 64 << 20, &maps) < 0 || !maps.size)
        return 0;                         /* another's, or gone */
    int r = 0;
    for (char *line = maps.data, *end; r >= 0 && (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        r = tell_line(watch, line, root, root_size);
    }
    return r;
}

int watch_mapped(struct watch *watch) {
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
            r = tell_process(watch, proc, entry->d_name, root, size == 1 ? 0 : (size_t)size);
    return MIN(r, 0);
}
