/* Room that trees take: allocated blocks, each inode once. Changes nothing; reflinks look like copies, as stat shows them.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs_usage.h"

#include "fs.h"

#include <fcntl.h>
#include <string.h>

struct walk {
    int dirfd;
    struct map *inodes;
    char **dirs;               /* still to be read: paths from dirfd */
    size_t count, room;
    uint64_t bytes;
};

static void walk_done(struct walk *walk) {
    while (walk->count > 0)
        free(walk->dirs[--walk->count]);
    free(walk->dirs);
}

/* 1 = met before. */
static int is_known(struct walk *walk, const struct stat *stat) {
    uint64_t key[2] = { stat->st_dev, stat->st_ino };
    if (S_ISDIR(stat->st_mode) || stat->st_nlink < 2)
        return 0;
    if (map_get(walk->inodes, key, sizeof(key)))
        return 1;
    char *mark = malloc(1);
    int r = mark ? map_put(walk->inodes, key, sizeof(key), mark, NULL) : -ENOMEM;
    if (r < 0)
        free(mark);
    return MIN(r, 0);
}

static int add(struct walk *walk, int fd, const char *in, const char *name) {
    struct stat stat;
    if (fstatat(fd, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    int r = is_known(walk, &stat);
    if (r != 0)
        return MIN(r, 0);
    walk->bytes += (uint64_t)stat.st_blocks * 512;
    if (!S_ISDIR(stat.st_mode))
        return 0;
    if (MAKE_ROOM(walk->dirs, walk->count, walk->room) < 0)
        return -ENOMEM;
    _buf_ struct buf path = {0};
    buf_fmt(&path, "%s%s%s", in, *in ? "/" : "", name);
    char *kept = buf_take(&path);
    if (!kept)
        return -ENOMEM;
    walk->dirs[walk->count++] = kept;
    return 0;
}

static int read_dir(struct walk *walk, const char *path) {
    int fd = fs_open_beneath(walk->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    _closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int code = fd < 0 ? fd : -errno;
        fd_close(fd);
        return code == -ENOENT ? 0 : code;
    }
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir)); errno = 0) {
        int r = strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") ? add(walk, dirfd(dir), path, entry->d_name) : 0;
        if (r < 0)
            return r;
    }
    return -errno;
}

int fs_usage(int dirfd, const char *name, struct map *inodes, uint64_t *ret) {
    _cleanup_(walk_done) struct walk walk = { .dirfd = dirfd, .inodes = inodes };
    int r = add(&walk, dirfd, "", name);
    while (r == 0 && walk.count > 0) {
        _free_ char *path = walk.dirs[--walk.count];
        r = read_dir(&walk, path);
    }
    if (r == 0)
        *ret += walk.bytes;
    return r;
}
