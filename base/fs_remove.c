/* Removing a tree, whatever its depth, width and modes.
 * Refuses to follow symlinks, to cross mounts, and to open up what is not in the tree.
 *
 * The way down is a stack of names and identities; the last KEEP directories of it stay open, so that a wide directory
 * is read once. An outer one is reached again through "..", which must lead to the one that was left.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { KEEP = 16, PASSES = 100 };

struct level {
    DIR *dir;                  /* NULL = closed meanwhile */
    dev_t dev;
    ino_t ino;
    unsigned passes;
    char name[NAME_MAX + 1];   /* in the level above; the lowest: in the caller's directory */
};

struct removal {
    int dirfd;
    struct level *levels;
    size_t count, room;
};

static void shut(struct level *level) {
    closedir_ptr(&level->dir);
    level->dir = NULL;
}

static void removal_done(struct removal *removal) {
    for (size_t i = 0; i < removal->count; i++)
        shut(&removal->levels[i]);
    free(removal->levels);
}
#define _removal_ _cleanup_(removal_done)

/* Of the directory that holds the entries of level `depth`; 0 is the caller's own. */
static int holder(const struct removal *removal, size_t depth) {
    return depth ? dirfd(removal->levels[depth - 1].dir) : removal->dirfd;
}

/* Ours to remove, so also ours to open up. False: not possible, `errno` tells. */
static bool open_up(int fd) {
    struct stat stat;
    return fstat(fd, &stat) == 0 && (stat.st_mode & S_IRWXU) != S_IRWXU && fchmod(fd, (stat.st_mode & 07777) | S_IRWXU) == 0;
}

/* 0 = gone, 1 = a directory that is not empty. */
static int try_unlink(int fd, const char *name, bool directory) {
    if (unlinkat(fd, name, directory ? AT_REMOVEDIR : 0) == 0 || errno == ENOENT)
        return 0;
    if (directory)
        return errno == ENOTEMPTY || errno == EEXIST ? 1 : -errno;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    int error = errno;
    int r = try_unlink(fd, name, true);
    return r == -ENOTDIR ? -error : r;
}

/* Of level `depth`. The caller's own directory is not ours to open up. */
static int remove_entry(const struct removal *removal, size_t depth, const char *name, unsigned char type) {
    int fd = holder(removal, depth);
    int r = try_unlink(fd, name, type == DT_DIR);
    if (r == -EACCES && depth && open_up(fd))
        r = try_unlink(fd, name, type == DT_DIR);
    if (r == -ENOTDIR && type == DT_DIR)       /* replaced meanwhile */
        r = try_unlink(fd, name, false);
    return r;
}

static int open_directory(int fd, const char *name) {
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int opened = openat(fd, name, flags);
    if (opened < 0 && errno == EACCES && fchmodat(fd, name, S_IRWXU, AT_SYMLINK_NOFOLLOW) == 0)
        opened = openat(fd, name, flags);
    return opened < 0 ? -errno : opened;
}

static int set_dir(struct level *level, int fd) {
    _close_ int owned = fd;
    level->dir = fdopendir(owned);
    if (!level->dir)
        return -errno;
    (void)TAKE_FD(owned);
    return 0;
}

static int make_level_room(struct removal *removal) {
    if (removal->count < removal->room)
        return 0;
    size_t room = removal->room ? 2 * removal->room : KEEP;
    struct level *levels = reallocarray(removal->levels, room, sizeof(*levels));
    if (!levels)
        return -ENOMEM;
    removal->levels = levels;
    removal->room = room;
    return 0;
}

static int go_down(struct removal *removal, const char *name) {
    _close_ int fd = -1;
    int r = make_level_room(removal);
    if (r >= 0)
        r = fd = open_directory(holder(removal, removal->count), name);
    if (r < 0)
        return r;
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return -errno;
    struct level *level = &removal->levels[removal->count];
    *level = (struct level){ .dev = stat.st_dev, .ino = stat.st_ino };
    (void)snprintf(level->name, sizeof(level->name), "%s", name);
    r = set_dir(level, TAKE_FD(fd));
    if (r < 0)
        return r;
    removal->count++;
    if (removal->count > KEEP)
        shut(&removal->levels[removal->count - 1 - KEEP]);
    return 0;
}

/* The level above the innermost was closed: opens it again, to be read from its start. */
static int reopen_above(struct removal *removal) {
    struct level *level = &removal->levels[removal->count - 2];
    _close_ int fd = openat(holder(removal, removal->count), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return -errno;
    if (stat.st_dev != level->dev || stat.st_ino != level->ino)
        return -ESTALE;
    return set_dir(level, TAKE_FD(fd));
}

/* The innermost level was emptied; what came into it meanwhile, or was skipped by its file system, is read again. */
static int go_up(struct removal *removal) {
    size_t depth = removal->count - 1;
    if (depth && !removal->levels[depth - 1].dir) {
        int r = reopen_above(removal);
        if (r < 0)
            return r;
    }
    struct level *level = &removal->levels[depth];
    int r = remove_entry(removal, depth, level->name, DT_DIR);
    if (r > 0 && level->passes++ < PASSES) {
        rewinddir(level->dir);
        return 0;
    }
    shut(level);
    removal->count--;
    return r > 0 ? -ENOTEMPTY : r;
}

static bool is_dot(const char *name) {
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* 1 = the innermost level is empty, as far as it could be read. */
static int remove_next(struct removal *removal) {
    errno = 0;
    struct dirent *entry = readdir(removal->levels[removal->count - 1].dir);
    if (!entry)
        return errno ? -errno : 1;
    if (is_dot(entry->d_name))
        return 0;
    int r = remove_entry(removal, removal->count, entry->d_name, entry->d_type);
    return r > 0 ? go_down(removal, entry->d_name) : r;
}

int fs_remove_tree(int dirfd, const char *name) {
    _removal_ struct removal removal = { .dirfd = dirfd };
    int r = remove_entry(&removal, 0, name, DT_UNKNOWN);
    if (r > 0)
        r = go_down(&removal, name);
    while (r >= 0 && removal.count) {
        r = remove_next(&removal);
        if (r > 0)
            r = go_up(&removal);
    }
    return r;
}
