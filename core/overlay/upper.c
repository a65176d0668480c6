/* The current layer: reaching what is in it, making things in the work directory, and giving them their place in one step.
 * Decides nothing: which marks and whiteouts are wanted is said by the callers. SPDX-License-Identifier: GPL-2.0-or-later */
#include "node.h"

#include "at.h"
#include "fs.h"
#include "hook.h"
#include "numbers.h"
#include "records.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Reaching. */

/* No name of it is known but those that lead through the index. */
static int reach_by_index(struct overlay *overlay, struct node *node, struct upper_at *ret) {
    struct record record;
    if (!records_find(overlay->records, node->real, &record) || !record.indexed)
        return -ESTALE;
    *ret = (struct upper_at){ .fd = overlay->index };
    index_name(record.number, &ret->index_name);
    ret->name = ret->index_name;
    return 0;
}

int upper_reach(struct overlay *overlay, struct node *node, struct upper_at *ret) {
    int held = atomic_load(&node->fd);
    if (node_is_dir(node) && held < 0) {
        int fd = dir_pin(node->dir.upper);
        if (fd < 0)
            return fd;
        *ret = (struct upper_at){ .pinned = node->dir.upper, .fd = fd, .name = "" };
        return 0;
    }
    struct place *place = node_is_dir(node) ? NULL : place_upper(node);
    if (!place && held < 0)
        return reach_by_index(overlay, node, ret);
    if (!place) {
        *ret = (struct upper_at){ .fd = held, .name = "" };
        return 0;
    }
    int fd = dir_pin(place->parent->dir.upper);
    if (fd < 0)
        return fd;
    *ret = (struct upper_at){ .pinned = place->parent->dir.upper, .fd = fd, .name = place->name };
    return 0;
}

void upper_leave(struct upper_at *at) {
    if (at->pinned)
        dir_unpin(at->pinned);
    at->pinned = NULL;
}

static int open_at(const struct upper_at *at, int flags) {
    if (*at->name) {
        int fd = openat(at->fd, at->name, flags | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
    }
    char path[40];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", at->fd);
    int fd = open(path, flags);
    return fd < 0 ? -errno : fd;
}

/* The mode may be narrower than what an earlier open was granted: the owner widens it for an instant. */
static int open_in_spite(const struct upper_at *at, int flags) {
    _close_ int holder = *at->name ? openat(at->fd, at->name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : fcntl(at->fd, F_DUPFD_CLOEXEC, 3);
    struct stat stat;
    if (holder < 0 || fstat(holder, &stat) < 0)
        return -errno;
    if (stat.st_uid != geteuid() || !S_ISREG(stat.st_mode))
        return -EACCES;
    char path[40];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", holder);
    if (chmod(path, (stat.st_mode & 07777) | 0600) < 0)
        return -errno;
    int fd = open(path, flags);
    int r = fd < 0 ? -errno : fd;
    if (chmod(path, stat.st_mode & 07777) < 0) {
        r = -errno;
        (void)fd_close(fd);
    }
    return r;
}

int upper_open(const struct upper_at *at, int flags) {
    flags |= O_CLOEXEC | O_NOCTTY;
    int fd = open_at(at, flags);
    if (fd == -EPERM && flags & O_NOATIME)
        fd = open_at(at, flags & ~O_NOATIME);
    return fd == -EACCES ? open_in_spite(at, flags & ~O_NOATIME) : fd;
}

int upper_keep_times(int dirfd, const struct stat *before) {
    struct timespec times[2] = { before->st_atim, before->st_mtim };
    return utimensat(dirfd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* Making. */

void made_name(struct overlay *overlay, char (*ret)[24]) {
    (void)snprintf(*ret, sizeof(*ret), "#%lx", atomic_fetch_add(&overlay->names, 1));
}

void made_done(struct made *made) {
    if (*made->name && made->is_dir)
        (void)fs_remove_tree(made->overlay->work, made->name);      /* what stays is removed at the next start */
    else if (*made->name)
        (void)unlinkat(made->overlay->work, made->name, 0);
    made->fd = fd_close(made->fd);
    *made->name = '\0';
}

int open_unnamed(struct overlay *overlay, int dirfd, int flags, mode_t mode) {
    int r = atomic_load(&overlay->no_unnamed) ? -EOPNOTSUPP : hook("upper.unnamed", "");
    if (r < 0)
        return r;
    int fd = openat(dirfd, ".", flags | O_TMPFILE | O_CLOEXEC, mode);
    if (fd >= 0)
        return fd;
    if (errno != EOPNOTSUPP && errno != EISDIR)
        return -errno;
    atomic_store(&overlay->no_unnamed, true);
    return -EOPNOTSUPP;
}

int make_file(struct overlay *overlay, struct made *ret) {
    struct made made = { .overlay = overlay, .fd = -1 };
    int r = hook("upper.make", "file");
    if (r < 0)
        return r;
    r = open_unnamed(overlay, overlay->work, O_RDWR, 0600);
    if (r < 0 && r != -EOPNOTSUPP)
        return r;
    made.fd = MAX(r, -1);
    if (made.fd < 0) {
        made_name(overlay, &made.name);
        made.fd = openat(overlay->work, made.name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (made.fd < 0)
            return -errno;
    }
    *ret = made;
    return 0;
}

int make_dir(struct overlay *overlay, struct made *ret) {
    _made_ struct made made = { .overlay = overlay, .fd = -1, .is_dir = true };
    char name[sizeof(made.name)];
    made_name(overlay, &name);
    int r = hook("upper.make", "directory");
    if (r < 0)
        return r;
    if (mkdirat(overlay->work, name, 0700) < 0)
        return -errno;
    memcpy(made.name, name, sizeof(name));
    made.fd = openat(overlay->work, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (made.fd < 0)
        return -errno;
    *ret = made;
    made = (struct made){ .overlay = overlay, .fd = -1 };
    return 0;
}

int make_special(struct overlay *overlay, mode_t mode, dev_t device, const char *target, struct made *ret) {
    struct made made = { .overlay = overlay, .fd = -1 };
    made_name(overlay, &made.name);
    int r = hook("upper.make", "special");
    if (r < 0)
        return r;
    r = S_ISLNK(mode) ? symlinkat(target, overlay->work, made.name) : mknodat(overlay->work, made.name, mode, device);
    if (r < 0)
        return -errno;
    *ret = made;
    return 0;
}

int made_take(struct made *nest, const char *name, bool is_dir, struct made *ret) {
    struct made made = { .overlay = nest->overlay, .fd = -1, .is_dir = is_dir };
    made_name(nest->overlay, &made.name);
    if (renameat2(nest->fd, name, nest->overlay->work, made.name, RENAME_NOREPLACE) < 0)
        return -errno;
    *ret = made;
    return 0;
}

static bool refused(int error) {
    return error == EPERM || error == EACCES || error == EOPNOTSUPP || error == ENOSYS || error == EINVAL;
}

int make_whiteout(struct overlay *overlay, struct made *ret) {
    struct made made = { .overlay = overlay, .fd = -1 };
    int r = hook("upper.make", "whiteout");
    if (r < 0)
        return r;
    made_name(overlay, &made.name);
    if (!atomic_load(&overlay->plain_marks)) {
        if (mknodat(overlay->work, made.name, S_IFCHR, makedev(0, 0)) == 0) {
            *ret = made;
            return 0;
        }
        if (!refused(errno))
            return -errno;
        atomic_store(&overlay->plain_marks, true);
    }
    _close_ int fd = openat(overlay->work, made.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    *ret = made;
    r = marks_set(overlay->work, made.name, "whiteout", "y");
    if (r < 0)
        made_done(ret);
    return r;
}

/* Giving a place. */

static int link_unnamed(const struct made *made, int dirfd, const char *name) {
    char path[40];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", made->fd);
    return linkat(AT_FDCWD, path, dirfd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int made_link(struct made *made, int dirfd, const char *name) {
    int r = hook("upper.link", name);
    if (r < 0)
        return r;
    if (!*made->name)
        return link_unnamed(made, dirfd, name);
    return linkat(made->overlay->work, made->name, dirfd, name, 0) < 0 ? -errno : 0;
}

/* Only something with a name can take a place that is taken. */
static int give_name(struct made *made) {
    char name[sizeof(made->name)];
    made_name(made->overlay, &name);
    int r = link_unnamed(made, made->overlay->work, name);
    if (r >= 0)
        memcpy(made->name, name, sizeof(name));
    return r;
}

int made_place(struct made *made, int dirfd, const char *name, unsigned flags) {
    int r = hook("upper.place", name);
    if (r < 0)
        return r;
    if (!*made->name && flags == RENAME_NOREPLACE)
        return link_unnamed(made, dirfd, name);
    if (!*made->name)
        r = give_name(made);
    if (r < 0)
        return r;
    if (renameat2(made->overlay->work, made->name, dirfd, name, flags) < 0)
        return -errno;
    if (!(flags & RENAME_EXCHANGE)) {
        *made->name = '\0';
        return 0;
    }
    made->fd = fd_close(made->fd);         /* what was there is what is made now, and goes */
    struct stat stat;
    made->is_dir = fstatat(made->overlay->work, made->name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(stat.st_mode);
    return 0;
}

/* Whiteouts that are files are looked for only in directories that say so. */
int upper_announce_whiteouts(struct overlay *overlay, int dirfd) {
    if (!atomic_load(&overlay->plain_marks))
        return 0;
    struct marks marks = {0};
    int r = marks_read(dirfd, "", &marks);
    free(marks.redirect);
    return r < 0 || marks.opaque || marks.has_whiteouts ? r : marks_set(dirfd, "", "opaque", "x");
}

int upper_hide(struct overlay *overlay, int dirfd, const char *name, bool is_there, bool is_dir) {
    int r = hook("upper.hide", name);
    if (r < 0)
        return r;
    if (!is_there && !atomic_load(&overlay->plain_marks) && mknodat(dirfd, name, S_IFCHR, makedev(0, 0)) == 0)
        return 0;
    _made_ struct made whiteout = { .overlay = overlay, .fd = -1 };
    r = make_whiteout(overlay, &whiteout);
    if (r >= 0)
        r = upper_announce_whiteouts(overlay, dirfd);
    return r < 0 ? r : made_place(&whiteout, dirfd, name, !is_there ? RENAME_NOREPLACE : is_dir ? RENAME_EXCHANGE : 0);
}

int upper_discard(struct overlay *overlay, int dirfd, const char *name, bool is_dir) {
    int r = hook("upper.discard", name);
    if (r < 0)
        return r;
    if (unlinkat(dirfd, name, is_dir ? AT_REMOVEDIR : 0) == 0)
        return 0;
    if (!is_dir || (errno != ENOTEMPTY && errno != EEXIST))
        return -errno;
    _made_ struct made gone = { .overlay = overlay, .fd = -1, .is_dir = true };
    char moved[sizeof(gone.name)];
    made_name(overlay, &moved);
    if (renameat2(dirfd, name, overlay->work, moved, RENAME_NOREPLACE) < 0)
        return -errno;
    memcpy(gone.name, moved, sizeof(moved));
    return 0;
}

void work_clear(int workfd) {
    DIR *stream = NULL;
    if (at_list(workfd, &stream) < 0)
        return;
    for (struct dirent *entry; (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)fs_remove_tree(workfd, entry->d_name);     /* tried again at the next start */
    }
    (void)closedir(stream);
}
