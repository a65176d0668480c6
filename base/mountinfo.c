/* What is mounted, as this process sees it, and who uses it: read from /proc.
 * Touches no mounted file system. SPDX-License-Identifier: GPL-2.0-or-later */
#include "mountinfo.h"
#include "fs.h"
#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { NAMED = 8 };            /* so many are named, no more */

void mountinfo_done(struct mountinfo *info) {
    free(info->dir);
    free(info->type);
    free(info->source);
    *info = (struct mountinfo){0};
}

static void close_stream(FILE **stream) {
    if (*stream)
        (void)fclose(*stream);
}

/* proc(5) escapes space, tab, newline and backslash as \ooo. */
static char *unescape(const char *text, size_t size) {
    char *out = malloc(size + 1);
    size_t length = 0;
    for (size_t i = 0; out && i < size; i++) {
        bool escaped = text[i] == '\\' && i + 3 < size && isdigit((unsigned char)text[i + 1]);
        out[length++] = escaped ? (char)((text[i + 1] - '0') << 6 | (text[i + 2] - '0') << 3 | (text[i + 3] - '0')) : text[i];
        i += escaped ? 3 : 0;
    }
    if (out)
        out[length] = '\0';
    return out;
}

/* The field after `count` others; NULL: there are not so many. */
static const char *skip_fields(const char *line, unsigned count) {
    while (line && count--)
        line = (line = strchr(line, ' ')) ? line + 1 : NULL;
    return line;
}

static char *field(const char *at) {
    return unescape(at, strcspn(at, " \n"));
}

/* "36 35 98:0 /root /dir options optional... - type source options" */
static int parse(const char *line, struct mountinfo *ret) {
    const char *dir = skip_fields(line, 4), *rest = dir ? strstr(dir, " - ") : NULL;
    const char *type = rest ? rest + 3 : NULL, *source = skip_fields(type, 1);
    if (!source)
        return -EINVAL;
    _mountinfo_ struct mountinfo info = { field(dir), field(type), field(source) };
    if (!info.dir || !info.type || !info.source)
        return -ENOMEM;
    *ret = info;
    info = (struct mountinfo){0};
    return 0;
}

/* The last one with this directory or, where that is NULL, this number: it lies over the others. */
static int find_last(const char *dir, uint64_t id, struct mountinfo *ret) {
    _cleanup_(close_stream) FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return -errno;
    _free_ char *line = NULL;
    _mountinfo_ struct mountinfo found = {0};
    for (size_t room = 0; getline(&line, &room, file) > 0; ) {
        _mountinfo_ struct mountinfo info = {0};
        int r = parse(line, &info);
        if (r == -ENOMEM)
            return r;
        if (r < 0 || (dir ? strcmp(info.dir, dir) != 0 : strtoull(line, NULL, 10) != id))
            continue;
        mountinfo_done(&found);
        found = info;
        info = (struct mountinfo){0};
    }
    if (!found.dir)
        return ferror(file) ? -EIO : 0;
    *ret = found;
    found = (struct mountinfo){0};
    return 1;
}

int mountinfo_find(const char *dir, struct mountinfo *ret) {
    return find_last(dir, 0, ret);
}

int mountinfo_by_id(uint64_t id, struct mountinfo *ret) {
    return find_last(NULL, id, ret);
}

static bool lies_below(const char *path, const char *dir) {
    size_t size = strlen(dir);
    return strncmp(path, dir, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

int mountinfo_below(const char *dir, struct buf *ret) {
    _cleanup_(close_stream) FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return -errno;
    _free_ char *line = NULL;
    for (size_t room = 0; getline(&line, &room, file) > 0; ) {
        _mountinfo_ struct mountinfo info = {0};
        int r = parse(line, &info);
        if (r == -ENOMEM)
            return r;
        if (r == 0 && lies_below(info.dir, dir) && strcmp(info.dir, dir) != 0)
            buf_add(ret, info.dir, strlen(info.dir) + 1);
    }
    return ferror(file) ? -EIO : ret->failed;
}

/* Who uses it. */

static bool leads_below(int dirfd, const char *name, const char *dir) {
    char path[PATH_MAX];
    ssize_t size = readlinkat(dirfd, name, path, sizeof(path) - 1);
    if (size <= 0)
        return false;
    path[size] = '\0';
    return lies_below(path, dir);
}

static bool has_link_below(int process, const char *folder, const char *dir) {
    _close_ int fd = openat(process, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream)
        return false;
    (void)TAKE_FD(fd);
    for (struct dirent *entry; (entry = readdir(stream)); )
        if (*entry->d_name != '.' && leads_below(dirfd(stream), entry->d_name, dir))
            return true;
    return false;
}

static bool is_user(int process, const char *dir) {
    return leads_below(process, "cwd", dir) || leads_below(process, "root", dir) || leads_below(process, "exe", dir)
        || has_link_below(process, "fd", dir) || has_link_below(process, "map_files", dir);
}

static bool has_own_mounts(int process) {
    char own[64], its[64];
    ssize_t a = readlink("/proc/self/ns/mnt", own, sizeof(own)), b = readlinkat(process, "ns/mnt", its, sizeof(its));
    return a > 0 && b > 0 && (a != b || memcmp(own, its, (size_t)a) != 0);
}

/* What merely appears in another namespace is there once, and goes with the mount here. */
static bool has_bound(int process, const char *source) {
    _close_ int fd = has_own_mounts(process) ? openat(process, "mountinfo", O_RDONLY | O_CLOEXEC) : -1;
    _cleanup_(close_stream) FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    _free_ char *line = NULL;
    if (!file)
        return false;
    (void)TAKE_FD(fd);
    unsigned count = 0;
    for (size_t room = 0; count < 2 && getline(&line, &room, file) > 0; ) {
        _mountinfo_ struct mountinfo info = {0};
        count += parse(line, &info) == 0 && strcmp(info.source, source) == 0;
    }
    return count == 2;
}

static void name_users(const char *source, const char *dir, struct buf *out) {
    _closedir_ DIR *proc = opendir("/proc");
    unsigned found = 0;
    for (struct dirent *entry; proc && found <= NAMED && (entry = readdir(proc)); ) {
        _close_ int process = isdigit((unsigned char)*entry->d_name)
            ? openat(dirfd(proc), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
        if (process < 0 || atol(entry->d_name) == (long)getpid() || (dir ? !is_user(process, dir) : !has_bound(process, source)))
            continue;
        if (found++)
            buf_str(out, ", ");
        if (found <= NAMED)
            fs_name_process(process, entry->d_name, out);
        else
            buf_str(out, "others");
    }
}

void mountinfo_who_uses(const char *dir, struct buf *out) {
    name_users(NULL, dir, out);
}

void mountinfo_who_bound(const char *source, struct buf *out) {
    name_users(source, NULL, out);
}
