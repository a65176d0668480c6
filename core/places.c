/* Where a transition puts what it builds and what it displaces: in the store, and in the project where no rename leads there.
 * Changes nothing else in the project; the directories in which it makes its own look as before afterwards.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "work.h"
#include "fs.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define MARK "swapping"
enum { ATTEMPTS = 1 << 20 };

/* Names. */

struct staged_name staged_new(const struct plan_row *row) {
    struct staged_name name;
    (void)snprintf(name.text, sizeof(name.text), "n%zu", row->number);
    return name;
}

struct staged_name staged_old(const struct plan_row *row) {
    struct staged_name name;
    (void)snprintf(name.text, sizeof(name.text), "o%zu", row->number);
    return name;
}

struct staged_name staged_dir(const struct plan_dir *dir) {
    struct staged_name name;
    (void)snprintf(name.text, sizeof(name.text), "d%" PRId64, dir->id);
    return name;
}

static struct staged_name op_name(const struct work *work) {
    struct staged_name name;
    (void)snprintf(name.text, sizeof(name.text), "op-%" PRId64, work->op);
    return name;
}

const struct place *place_of(const struct work *work, const struct plan_row *row) {
    const struct staging *staging = &work->staging;
    return &staging->places[row->dir && row->dir->place ? row->dir->place - 1 : 0];
}

const struct place *place_of_dir(const struct work *work, const struct plan_dir *dir) {
    return place_of(work, dir->from_row);
}

bool staging_is_outside(const struct staging *staging) {
    for (size_t i = 0; i < staging->count; i++)
        if (staging->places[i].outside)
            return true;
    return false;
}

bool staging_has_name(const struct staging *staging, const char *name) {
    for (size_t i = 0; i < staging->count; i++) {
        const char *path = staging->places[i].outside, *slash = path ? strrchr(path, '/') : NULL;
        if (path && !strcmp(slash ? slash + 1 : path, name))
            return true;
    }
    return false;
}

static int find_dir(const struct work *work, const struct plan_dir *dir, struct stat *ret) {
    const struct staging *staging = &work->staging;
    for (size_t i = 0; i < staging->count; i++)
        if (staging->places[i].root >= 0 && fstatat(staging->places[i].root, staged_dir(dir).text, ret, AT_SYMLINK_NOFOLLOW) == 0)
            return staging->places[i].root;
    return -1;
}

int staging_find_dir(const struct work *work, const struct plan_dir *dir) {
    struct stat stat;
    return find_dir(work, dir, &stat);
}

static int open_dir(int dirfd, const char *name) {
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int make_dir(int dirfd, const char *name) {
    if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    return open_dir(dirfd, name);
}

/* In the project. */

/* The directory in which a place is, or comes: a descriptor without access, and how it looks. */
static int open_anchor(const struct work *work, const char *path, struct plan_dir *ret_found, const char **ret_name) {
    const char *slash = strrchr(path, '/');
    _free_ char *above = strndup(path, slash ? (size_t)(slash - path) : 0);
    if (!above)
        return -ENOMEM;
    _close_ int fd = fs_open_beneath(work->project->root, above, O_PATH | O_DIRECTORY, 0);
    int r = fd < 0 ? fd : swap_touch(ret_found, fd);
    if (r < 0)
        return r;
    *ret_name = slash ? slash + 1 : path;
    return TAKE_FD(fd);
}

static int make_outside(const struct work *work, const char *path) {
    struct plan_dir found = {0};
    const char *name;
    _close_ int above = open_anchor(work, path, &found, &name);
    if (above < 0)
        return above;
    _close_ int made = make_dir(above, name);
    int r = swap_untouch(&found, above);
    return made < 0 ? made : r < 0 ? r : TAKE_FD(made);
}

/* 0 also where it is not there, or where it was is not. */
static int remove_outside(const struct work *work, const char *path) {
    struct plan_dir found = {0};
    const char *name;
    _close_ int above = open_anchor(work, path, &found, &name);
    if (above < 0)
        return above == -ENOENT || above == -ENOTDIR || above == -ELOOP ? 0 : above;
    int removed = fs_remove_tree(above, name);
    int r = swap_untouch(&found, above);
    return removed < 0 ? removed : r;
}

/* Known to the operation, durably, before it is there. */
static int name_outside(struct work *work, const struct plan_dir *anchor, char **ret, struct snap_err *err) {
    uint64_t random;
    _buf_ struct buf path = {0};
    if (getrandom(&random, sizeof(random), 0) < 0)
        return err_errno(err, -errno, "cannot get random bytes");
    plan_dir_path(anchor, false, &path);
    buf_fmt(&path, "%s.snapctl-%" PRId64 "-%016" PRIx64, path.size ? "/" : "", work->op, random);
    if (path.failed)
        return err_nomem(err);
    int r = store_begin(work->store, err);
    if (r < 0)
        return r;
    if ((r = op_add_temporary(work->store, work->op, path.data, err)) < 0) {
        store_abort(work->store);
        return r;
    }
    if ((r = store_commit(work->store, true, err)) < 0)
        return r;
    *ret = buf_take(&path);
    return 0;
}

/* Devices. */

/* What is nearer to being there. A subvolume that another directory takes the place of becomes that one (swap.c). */
static struct plan_dir *next_above(const struct plan_dir *dir) {
    return dir->in_from ? dir->from_parent : dir->instead_of ? dir->instead_of : dir->to_parent;
}

/* Where it is: in its place; when an earlier attempt moved it, in the other one, or on its way. 1, 0 = not there. */
static int look_at_device(struct work *work, struct plan_dir *dir, uint64_t *ret) {
    struct stat stat;
    for (int after = 0; dir->in_from && after <= (work->recovering && dir->in_to); after++) {
        _pinned_ struct dir_pinned at = work_pin(work, dir, after);
        if (at.fd == -ENOMEM || (at.fd >= 0 && fstat(at.fd, &stat) < 0))
            return at.fd < 0 ? at.fd : -errno;
        if (at.fd >= 0) {
            *ret = stat.st_dev;
            return 1;
        }
    }
    if (!plan_dir_moves(dir) || find_dir(work, dir, &stat) < 0)
        return 0;
    *ret = stat.st_dev;
    return 1;
}

/* What lies in a directory, or comes into it, is on the device of the nearest directory that exists. */
static int device_of(struct work *work, struct plan_dir *dir, uint64_t *ret) {
    for (struct plan_dir *at = dir; at; at = next_above(at)) {
        if (at->place) {
            *ret = work->staging.places[at->place - 1].device;
            return 0;
        }
        int r = look_at_device(work, at, ret);
        if (r != 0)
            return MIN(r, 0);
    }
    return -ESTALE;
}

/* In the same place before and after. */
static bool is_steady(const struct plan_dir *dir) {
    return dir->in_from && (dir->in_to || dir->replaced_by) && !dir->clone && !plan_dir_moves(dir);
}

/* The topmost directory of the device above `dir`, and whether it stays where it is. */
static int find_anchor(struct work *work, struct plan_dir *dir, uint64_t device, struct plan_dir **ret, bool *ret_steady) {
    struct plan_dir *top = dir;
    bool steady = true;
    for (struct plan_dir *at = dir; at; at = next_above(at)) {
        uint64_t its;
        int r = device_of(work, at, &its);
        if (r < 0)
            return r;
        if (its == device) {
            top = at;
            steady = true;
        }
        steady &= is_steady(at);
    }
    *ret = top;
    *ret_steady = steady;
    return 0;
}

/* Places. */

static int add_place(struct staging *staging, uint64_t device, int root, char *outside) {
    struct place *more = reallocarray(staging->places, staging->count + 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    staging->places = more;
    more[staging->count++] = (struct place){ .device = device, .root = root, .at = -1, .outside = outside };
    return 0;
}

static unsigned find_place(const struct staging *staging, uint64_t device) {
    for (size_t i = 0; i < staging->count; i++)
        if (staging->places[i].device == device)
            return (unsigned)i + 1;
    return 0;
}

static int open_attempt(struct place *place) {
    for (; place->attempt < ATTEMPTS; place->attempt++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%u", place->attempt);
        if (mkdirat(place->root, name, 0700) == 0)
            return place->at = open_dir(place->root, name);
        if (errno != EEXIST)
            return -errno;
    }
    return -EEXIST;
}

/* Fails with what is told of the device's rows, unless it is about the whole work. */
static bool is_about_device(int code) {
    return code == -EACCES || code == -EPERM || code == -EROFS || code == -EDQUOT;
}

static void fail_quietly(struct plan_row *row) {
    if (!row || row->state != PLAN_TODO)
        return;
    row->state = PLAN_FAILED;
    if (row->arrives)
        row->arrives->lost = true;
}

static void tell_device(struct work *work, const struct plan_dir *top, const char *text) {
    _buf_ struct buf path = {0};
    plan_dir_path(top, !top->in_from, &path);
    project_notice(work->project, SNAP_NOTICE_FAILED_PATH, path.failed || !path.data ? "" : path.data, "%s", text);
}

/* What is displaced from a file system of its own has to wait in it, in a directory that stays where it is. */
static int make_none(struct work *work, struct plan_dir *top, uint64_t device, int why, struct snap_err *err) {
    char text[160];
    if (why < 0)
        (void)snprintf(text, sizeof(text), "cannot be changed within, and stays as it is: %s", strerror(-why));
    else if (top->in_to)
        (void)snprintf(text, sizeof(text), "is a subvolume that moves: what changed in it stays as it is; the same command again brings that back");
    else {
        (void)snprintf(text, sizeof(text), "is a subvolume, which is not removed: it stays, with all that is in it");
        fail_quietly(top->from_row);
    }
    tell_device(work, top, text);
    return add_place(&work->staging, device, -1, NULL) < 0 ? err_nomem(err) : 0;
}

static int make_place(struct work *work, struct plan_dir *dir, uint64_t device, struct snap_err *err) {
    struct plan_dir *top;
    bool steady;
    int r = find_anchor(work, dir, device, &top, &steady);
    if (r < 0)
        return err_errno(err, r, "cannot look through the project");
    if (!steady)
        return make_none(work, top, device, 0, err);
    _free_ char *path = NULL;
    if ((r = name_outside(work, top, &path, err)) < 0)
        return r;
    _close_ int root = make_outside(work, path);
    if (is_about_device(root) && top != work->plan->root)
        return make_none(work, top, device, root, err);
    if (root < 0)
        return err_path(err, root, path, "make the staging directory");
    if (add_place(&work->staging, device, root, path) < 0)
        return err_nomem(err);
    (void)TAKE_FD(root);
    (void)TAKE_PTR(path);
    return 0;
}

static int place_dir(struct work *work, struct plan_dir *dir, struct snap_err *err) {
    uint64_t device;
    if (dir->place)
        return 0;
    int r = device_of(work, dir, &device);
    if (r < 0)
        return err_errno(err, r, "cannot look through the project");
    if (!find_place(&work->staging, device) && (r = make_place(work, dir, device, err)) < 0)
        return r;
    dir->place = find_place(&work->staging, device);
    return 0;
}

/* Those that earlier attempts made, or were to make. What is not there any more, and cannot be, is missed by nobody. */
static int open_known(struct work *work, struct snap_err *err) {
    char **paths = NULL;
    int r = op_temporaries(work->store, work->op, &paths, err);
    for (size_t i = 0; paths && paths[i]; i++) {
        _free_ char *path = paths[i];
        struct stat stat;
        _close_ int root = r < 0 ? -1 : make_outside(work, path);
        if (root < 0 || fstat(root, &stat) < 0)
            continue;
        if (add_place(&work->staging, stat.st_dev, root, path) < 0)
            r = err_nomem(err);
        else {
            (void)TAKE_FD(root);
            (void)TAKE_PTR(path);
        }
    }
    free(paths);
    return r;
}

/* Whether a rename leads from the store into the project. 1, 0 or a negative errno. */
static int is_one_mount(const struct work *work) {
    struct statx here, there;
    int r = fs_statx(store_work_fd(work->store), "", &here);
    if (r < 0 || (r = fs_statx(work->project->root, "", &there)) < 0)
        return r;
    bool known = here.stx_mask & there.stx_mask & STATX_MNT_ID;
    return here.stx_dev_major == there.stx_dev_major && here.stx_dev_minor == there.stx_dev_minor
        && known && here.stx_mnt_id == there.stx_mnt_id;
}

static int open_store(struct work *work, struct snap_err *err) {
    struct staging *staging = &work->staging;
    struct stat stat;
    staging->store = make_dir(store_work_fd(work->store), op_name(work).text);
    if (staging->store < 0)
        return err_errno(err, staging->store, "cannot make the operation's staging directory");
    int one = is_one_mount(work);
    if (one <= 0)
        return one < 0 ? err_errno(err, one, "cannot look at the store's file system") : 0;
    _close_ int root = fcntl(staging->store, F_DUPFD_CLOEXEC, 3);
    if (root < 0 || fstat(root, &stat) < 0)
        return err_errno(err, -errno, "cannot open the operation's staging directory");
    if (add_place(staging, stat.st_dev, root, NULL) < 0)
        return err_nomem(err);
    (void)TAKE_FD(root);
    return 0;
}

/* The project's root comes first, whatever was made first. */
static int open_first(struct work *work, struct snap_err *err) {
    struct staging *staging = &work->staging;
    int r = place_dir(work, work->plan->root, err);
    if (r < 0)
        return r;
    struct place *first = &staging->places[work->plan->root->place - 1], other = *staging->places;
    *staging->places = *first;
    *first = other;
    work->plan->root->place = 1;
    return 0;
}

/* A directory moves as a whole or not at all: on its way it must not be left. */
static void hold_back(struct work *work) {
    for (size_t i = 0; i < work->plan->dirs_count; i++) {
        const struct plan_dir *dir = work->plan->dirs[i];
        if (!plan_dir_moves(dir) || !dir->from_row || (dir->from_row->state == PLAN_FAILED) == (dir->to_row->state == PLAN_FAILED))
            continue;
        struct plan_row *other = dir->from_row->state == PLAN_FAILED ? dir->to_row : dir->from_row;
        if (other->state == PLAN_TODO)
            work_leave(work, other, "cannot be moved without the subvolume, and stays where it is");
    }
}

static int place_rows(struct work *work, struct snap_err *err) {
    struct plan *plan = work->plan;
    for (size_t i = 0; i < plan->count; i++) {
        struct plan_row *row = &plan->rows[i];
        if (row->state != PLAN_TODO || !row->dir || row->self || row->how == PLAN_KEEP || row->how == PLAN_META)
            continue;
        int r = place_dir(work, row->dir, err);
        if (r < 0)
            return r;
        if (place_of(work, row)->root < 0)
            fail_quietly(row);
    }
    hold_back(work);
    return 0;
}

int staging_open(struct work *work, struct snap_err *err) {
    struct staging *staging = &work->staging;
    int r = open_store(work, err);
    if (r < 0 || (r = open_known(work, err)) < 0 || (r = open_first(work, err)) < 0 || (r = place_rows(work, err)) < 0)
        return r;
    for (size_t i = 0; i < staging->count; i++)
        if (staging->places[i].root >= 0 && (r = open_attempt(&staging->places[i])) < 0)
            return err_errno(err, r, "cannot make the operation's staging directory");
    return 0;
}

void staging_close(struct staging *staging) {
    for (size_t i = 0; i < staging->count; i++) {
        close_fd(&staging->places[i].at);
        close_fd(&staging->places[i].root);
        free(staging->places[i].outside);
    }
    free(TAKE_PTR(staging->places));
    staging->count = 0;
    close_fd(&staging->store);
}

int staging_remove(struct work *work, struct snap_err *err) {
    char **paths = NULL;
    int r = op_temporaries(work->store, work->op, &paths, err);
    for (size_t i = 0; paths && paths[i]; i++) {
        _free_ char *path = paths[i];
        int removed = r < 0 ? 0 : remove_outside(work, path);
        if (removed < 0)
            r = err_path(err, removed, path, "remove the staging directory");
    }
    free(paths);
    if (r >= 0 && (r = fs_remove_tree(store_work_fd(work->store), op_name(work).text)) < 0)
        err_errno(err, r, "cannot remove the operation's staging directory");
    return r;
}

/* The mark. */

bool staging_marked(struct work *work) {
    _buf_ struct buf path = {0};
    buf_fmt(&path, "%s/" MARK, op_name(work).text);
    return !path.failed && faccessat(store_work_fd(work->store), path.data, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int staging_mark(struct work *work, struct snap_err *err) {
    _close_ int fd = openat(work->staging.store, MARK, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? err_errno(err, -errno, "cannot write in the store") : 0;
}
