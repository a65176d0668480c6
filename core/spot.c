/* Places that the user names outside of what descriptors of the project reach.
 * Makes and removes nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "spot.h"

#include "fs.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void spot_done(struct spot *spot) {
    close_fd(&spot->parent);
    free(spot->name);
    free(spot->path);
    free(spot->logged);
}

static int path_of(int fd, const char *name, char **ret, struct snap_err *err) {
    char link[32], path[PATH_MAX];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof(path));
    if (size < 0 || (size_t)size == sizeof(path))
        return err_errno(err, size < 0 ? -errno : -ENAMETOOLONG, "cannot tell the absolute path of the destination");
    _buf_ struct buf full = {0};
    buf_add(&full, path, (size_t)size);
    if (size > 1)
        buf_char(&full, '/');
    buf_str(&full, name);
    *ret = buf_take(&full);
    return *ret ? 0 : err_nomem(err);
}

static int log_spot(const struct snap_project *project, struct spot *spot, struct snap_err *err) {
    _free_ char *root = NULL;
    _buf_ struct buf logged = {0};
    int r = path_of(project->root, "", &root, err);
    if (r < 0)
        return r;
    size_t size = strlen(root);
    bool inside = strncmp(spot->path, root, size) == 0;
    buf_fmt(&logged, "%s%s", inside ? "./" : "", spot->path + (inside ? size : 0));
    spot->logged = buf_take(&logged);
    return spot->logged ? 0 : err_nomem(err);
}

int spot_typed(struct snap_project *project, const char *typed, struct spot *ret, struct snap_err *err) {
    _spot_ struct spot spot = { .parent = -1 };
    _close_ int base = open(project->env.dir ? project->env.dir : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (base < 0)
        return err_path(err, -errno, project->env.dir ? project->env.dir : ".", "open");
    size_t size = strlen(typed);
    while (size > 1 && typed[size - 1] == '/')
        size--;
    size_t start = size;
    while (start > 0 && typed[start - 1] != '/')
        start--;
    spot.name = strndup(typed + start, size - start);
    _free_ char *above = start ? strndup(typed, start) : strdup(".");
    if (!spot.name || !above)
        return err_nomem(err);
    if (!*spot.name || !strcmp(spot.name, ".") || !strcmp(spot.name, "..") || !strcmp(spot.name, "/")) {
        err_set(err, -EINVAL, "the destination must end in a name");
        return err ? err_failure(err, SNAP_FAILURE_USAGE) : -EINVAL;
    }
    spot.parent = openat(base, above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (spot.parent < 0)
        return err_path(err, -errno, above, "open the destination's directory");
    int r = path_of(spot.parent, spot.name, &spot.path, err);
    if (r < 0 || (r = log_spot(project, &spot, err)) < 0)
        return r;
    *ret = spot;
    spot = (struct spot){ .parent = -1 };
    return 0;
}

int spot_recorded(const struct snap_project *project, const char *logged, struct spot *ret, struct snap_err *err) {
    _spot_ struct spot spot = { .parent = -1 };
    bool inside = logged[0] == '.';
    _close_ int top = inside ? fcntl(project->root, F_DUPFD_CLOEXEC, 3) : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const char *slash = strrchr(logged, '/'), *start = logged + (inside ? 2 : 1);
    if (top < 0 || !slash || !slash[1])
        return err_path(err, top < 0 ? -errno : -EINVAL, logged, "open");
    _free_ char *above = slash < start ? strdup("") : strndup(start, (size_t)(slash - start));
    _buf_ struct buf path = {0};
    buf_fmt(&path, "%s/%s", inside && strcmp(project->info.root, "/") != 0 ? project->info.root : "", start);
    spot.name = strdup(slash + 1);
    spot.path = buf_take(&path);
    spot.logged = strdup(logged);
    if (!above || !spot.name || !spot.path || !spot.logged)
        return err_nomem(err);
    spot.parent = fs_open_beneath(top, above, O_RDONLY | O_DIRECTORY, 0);
    if (spot.parent < 0)
        return err_path(err, spot.parent, spot.path, "open the directory of");
    *ret = spot;
    spot = (struct spot){ .parent = -1 };
    return 0;
}

int spot_is_within(int fd, const struct stat *what) {
    _close_ int at = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    struct stat here, above;
    if (at < 0 || fstat(at, &here) < 0)
        return -errno;
    for (;;) {
        if (here.st_dev == what->st_dev && here.st_ino == what->st_ino)
            return 1;
        int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (up < 0)
            return -errno;
        close_fd(&at);
        at = up;
        if (fstat(at, &above) < 0)
            return -errno;
        if (above.st_dev == here.st_dev && above.st_ino == here.st_ino)
            return 0;
        here = above;
    }
}
