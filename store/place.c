/* Where a new store lies, in shared places by the rules of the freedesktop trash specification.
 * Makes at most the .snapctl-$UID directory; never uses one that somebody else could have put there.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "place.h"

#include "buf.h"
#include "fs.h"
#include "meta.h"
#include "registry.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <xxhash.h>

void place_done(struct place *place) {
    free(place->path);
    *place = (struct place){0};
}

struct project {
    const char *root;
    struct statx stat;
    char id[64];               /* name of the store's directory: readable, and one for each path */
};

static void name_store(struct project *project) {
    const char *base = strrchr(project->root, '/') + 1;
    char readable[41] = "";
    for (size_t i = 0; i < sizeof(readable) - 1 && base[i]; i++) {
        char c = base[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || (c == '.' && i);
        readable[i] = plain ? c : '_';
    }
    uint64_t hash = XXH3_64bits(project->root, strlen(project->root));
    snprintf(project->id, sizeof(project->id), "%s-%016llx", *readable ? readable : "root", (unsigned long long)hash);
}

static bool same_device(const struct statx *a, const struct statx *b) {
    return a->stx_dev_major == b->stx_dev_major && a->stx_dev_minor == b->stx_dev_minor;
}

/* The same file system, and the same mount of it: rename(2) does not cross mounts. */
static bool same_mount(const struct statx *a, const struct statx *b) {
    bool told = a->stx_mask & b->stx_mask & STATX_MNT_ID;
    return same_device(a, b) && (!told || a->stx_mnt_id == b->stx_mnt_id);
}

/* Whether `fd` is the root of the project or below it, by whatever path: goes up until it meets it. */
static int lies_in(int fd, const struct project *project) {
    _close_ int at = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    struct statx stat, last = {0};
    for (;;) {
        int result = at < 0 ? -errno : fs_statx(at, "", &stat);
        if (result < 0)
            return result;
        if (same_device(&stat, &project->stat) && stat.stx_ino == project->stat.stx_ino)
            return 1;
        if (same_mount(&stat, &last) && stat.stx_ino == last.stx_ino)
            return 0;
        last = stat;
        int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close_fd(&at);
        at = up;
    }
}

/* The nearest ancestor of `path` that exists, or itself. */
static int open_existing(const char *path) {
    _free_ char *at = strdup(path);
    if (!at)
        return -ENOMEM;
    for (;;) {
        int fd = open(at, O_PATH | O_DIRECTORY | O_CLOEXEC);
        char *slash = strrchr(at, '/');
        if (fd >= 0 || errno != ENOENT || !slash || at[1] == '\0')
            return fd < 0 ? -errno : fd;
        slash[slash == at] = '\0';
    }
}

static int settle(const struct project *project, const char *dir, const struct statx *stat, bool inside, struct place *ret) {
    char *path = NULL;
    if (asprintf(&path, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, project->id) < 0)
        return -ENOMEM;
    *ret = (struct place){ .path = path, .inside = inside, .same_file_system = same_device(stat, &project->stat) };
    return 1;
}

/* The state directory: 1 = taken, 0 = not fit, negative errno. `anyhow`: also on another file system or in the project. */
static int try_state(const struct project *project, bool anyhow, struct place *ret, struct snap_err *err) {
    _free_ char *state = NULL;
    struct statx stat;
    int result = registry_state_dir(geteuid(), &state, err);
    if (result < 0)
        return anyhow ? result : 0;
    _close_ int fd = open_existing(state);
    result = fd < 0 ? fd : fs_statx(fd, "", &stat);
    if (result == 0 && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
        result = -errno;
    int inside = result < 0 ? result : lies_in(fd, project);
    if (inside < 0)
        return anyhow ? err_path(err, inside, state, "keep a store in") : 0;
    if (!anyhow && (inside || !same_device(&stat, &project->stat)))
        return 0;
    result = settle(project, state, &stat, inside, ret);
    return result < 0 ? err_nomem(err) : result;
}

/* A directory of ours alone, not a link to one: else somebody set a trap. */
static bool is_ours(int fd, struct statx *ret) {
    if (fs_statx(fd, "", ret) < 0)
        return false;
    return S_ISDIR(ret->stx_mode) && ret->stx_uid == geteuid() && (ret->stx_mode & 07777) == 0700;
}

/* PARENT/.snapctl-$UID, made if it can be: 1 = taken, 0 = not fit, negative errno. */
static int try_shared(const struct project *project, int parent, const char *parent_path, bool inside, struct place *ret) {
    char name[40];
    struct statx stat;
    snprintf(name, sizeof(name), ".snapctl-%u", (unsigned)geteuid());
    bool made = mkdirat(parent, name, 0700) == 0;
    if (!made && errno != EEXIST)
        return 0;
    _close_ int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    /* a default ACL or an odd umask may have given other bits than asked */
    if (fd >= 0 && made && fchmod(fd, 0700) < 0)
        return 0;
    if (fd < 0 || !is_ours(fd, &stat) || !same_mount(&stat, &project->stat))
        return 0;
    _free_ char *path = NULL;
    if (asprintf(&path, "%s/%s", strcmp(parent_path, "/") == 0 ? "" : parent_path, name) < 0)
        return -ENOMEM;
    return settle(project, path, &stat, inside, ret);
}

/* The highest directory of the project's mount, as a prefix of its path; its length. */
static size_t top_of(const struct project *project) {
    size_t top = strlen(project->root);
    for (size_t end = top; end > 0;) {
        while (end > 0 && project->root[--end] != '/') {}
        _free_ char *path = strndup(project->root, end ? end : 1);
        struct statx stat;
        if (!path || fs_statx(AT_FDCWD, path, &stat) < 0 || !same_mount(&stat, &project->stat))
            break;
        top = end ? end : 1;
    }
    return top;
}

static int try_prefix(const struct project *project, size_t size, bool inside, struct place *ret) {
    _free_ char *path = strndup(project->root, size);
    if (!path)
        return -ENOMEM;
    _close_ int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? 0 : try_shared(project, fd, path, inside, ret);
}

static size_t parent_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == path ? 1 : (size_t)(slash - path);
}

static int choose(const struct project *project, struct place *ret, struct snap_err *err) {
    int result = try_state(project, false, ret, err);
    if (result != 0)
        return result;
    size_t whole = strlen(project->root), top = top_of(project), parent = parent_of(project->root);
    if (top < whole)
        result = try_prefix(project, top, false, ret);
    if (result == 0 && top < whole && parent != top)
        result = try_prefix(project, parent, false, ret);
    if (result == 0 && top == whole)
        result = try_prefix(project, whole, true, ret);
    if (result < 0)
        return err_nomem(err);
    return result ? result : try_state(project, true, ret, err);
}

int place_choose(const char *root, struct place *ret, struct snap_err *err) {
    struct project project = { .root = root };
    if (root[0] != '/')
        return err_path(err, -EINVAL, root, "choose a store for");
    int result = fs_statx(AT_FDCWD, root, &project.stat);
    if (result < 0)
        return err_path(err, result, root, "examine");
    name_store(&project);
    result = choose(&project, ret, err);
    if (result < 0)
        err_wrap(err, "cannot choose a place for snapshots of '%s'", root);
    return MIN(result, 0);
}
