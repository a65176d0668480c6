/* What a transition builds before it changes anything, and where it puts what it displaces.
 * Changes nothing in the project, but for the staging directory itself where the store is on another mount.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "work.h"
#include "build.h"
#include "fs.h"
#include "hook.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define MARK "swapping"
enum { ATTEMPTS = 1 << 20 };

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

/* The directory. */

static int open_dir(int dirfd, const char *name) {
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int make_dir(int dirfd, const char *name) {
    if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    return open_dir(dirfd, name);
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

/* Known to the operation, durably, before it is there. */
static int name_outside(struct work *work, struct snap_err *err) {
    uint64_t random;
    char name[80];
    if (getrandom(&random, sizeof(random), 0) < 0)
        return err_errno(err, -errno, "cannot get random bytes");
    (void)snprintf(name, sizeof(name), ".snapctl-%" PRId64 "-%016" PRIx64, work->op, random);
    int r = store_begin(work->store, err);
    if (r < 0)
        return r;
    if ((r = op_add_temporary(work->store, work->op, name, err)) < 0) {
        store_abort(work->store);
        return r;
    }
    if ((r = store_commit(work->store, true, err)) < 0)
        return r;
    work->staging.outside = strdup(name);
    return work->staging.outside ? 0 : err_nomem(err);
}

static int find_outside(struct work *work, struct snap_err *err) {
    char **paths = NULL;
    int r = op_temporaries(work->store, work->op, &paths, err);
    if (r < 0 || !paths)
        return r;
    for (size_t i = 0; paths[i]; i++) {
        if (i == 0)
            work->staging.outside = paths[i];
        else
            free(paths[i]);
    }
    free(paths);
    return 0;
}

static int open_root(struct work *work, struct snap_err *err) {
    struct staging *staging = &work->staging;
    int r = find_outside(work, err);
    if (r < 0)
        return r;
    int one = is_one_mount(work);
    if (one < 0)
        return err_errno(err, one, "cannot look at the store's file system");
    if (!one && !staging->outside && (r = name_outside(work, err)) < 0)
        return r;
    if (!staging->outside) {
        staging->root = fcntl(staging->store, F_DUPFD_CLOEXEC, 3);
        return staging->root < 0 ? err_errno(err, -errno, "cannot open the operation's staging directory") : 0;
    }
    if ((r = swap_touch(work, work->plan->root, work->project->root)) >= 0)
        r = staging->root = make_dir(work->project->root, staging->outside);
    return r < 0 ? err_path(err, r, staging->outside, "make the staging directory") : 0;
}

int staging_open(struct work *work, struct snap_err *err) {
    struct staging *staging = &work->staging;
    *staging = (struct staging){ .store = -1, .root = -1, .at = -1 };
    staging->store = make_dir(store_work_fd(work->store), op_name(work).text);
    if (staging->store < 0)
        return err_errno(err, staging->store, "cannot make the operation's staging directory");
    int r = open_root(work, err);
    for (unsigned i = 0; r == 0 && i < ATTEMPTS; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%u", i);
        if (mkdirat(staging->root, name, 0700) < 0) {
            r = errno == EEXIST ? 0 : err_errno(err, -errno, "cannot make the operation's staging directory");
            continue;
        }
        staging->attempt = i;
        staging->at = open_dir(staging->root, name);
        return staging->at < 0 ? err_errno(err, staging->at, "cannot open the operation's staging directory") : 0;
    }
    return r < 0 ? r : err_errno(err, -EEXIST, "cannot make the operation's staging directory");
}

bool staging_marked(struct work *work) {
    _buf_ struct buf path = {0};
    buf_fmt(&path, "%s/" MARK, op_name(work).text);
    return !path.failed && faccessat(store_work_fd(work->store), path.data, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int staging_mark(struct work *work, struct snap_err *err) {
    _close_ int fd = openat(work->staging.store, MARK, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? err_errno(err, -errno, "cannot write in the store") : 0;
}

bool staging_has_dir(struct work *work, const struct plan_dir *dir) {
    return faccessat(work->staging.root, staged_dir(dir).text, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void staging_close(struct staging *staging) {
    close_fd(&staging->at);
    close_fd(&staging->root);
    close_fd(&staging->store);
    free(TAKE_PTR(staging->outside));
}

int staging_remove(struct work *work, struct snap_err *err) {
    int r = work->staging.outside ? 0 : find_outside(work, err);
    if (r < 0)
        return r;
    if (work->staging.outside && (r = fs_remove_tree(work->project->root, work->staging.outside)) < 0)
        return err_path(err, r, work->staging.outside, "remove the staging directory");
    r = fs_remove_tree(store_work_fd(work->store), op_name(work).text);
    return r < 0 ? err_errno(err, r, "cannot remove the operation's staging directory") : 0;
}

/* Building. */

static int build(struct work *work, struct plan_row *row, struct snap_err *err) {
    struct staged_name name = staged_new(row);
    unsigned missing = 0;
    int r = build_entry(work->project, work->staging.at, name.text, row->after, &work->bytes, &missing, err);
    if (r >= 0)
        work_missing(work, row, missing);
    return r;
}

/* Names of one inode. */

struct link_search { struct work *work; struct plan_row *row; struct snap_err *err; bool linked; };

/* 1 = linked, 0 = not from there, or a negative errno. */
static int link_from(struct work *work, int dirfd, const char *name, struct plan_row *row, const struct live_entry *known) {
    struct statx stat, linked;
    int r = inspect_entry(dirfd, name, row->after, known, &stat, NULL);
    if (r != INSPECT_SAME)
        return MIN(r, 0);
    struct staged_name new = staged_new(row);
    if (linkat(dirfd, name, work->staging.at, new.text, 0) < 0)
        return errno == ENOSPC || errno == EDQUOT || errno == EIO ? -errno : 0;
    r = fs_statx(work->staging.at, new.text, &linked);
    if (r < 0 || !inspect_stayed(&stat, &linked))
        return unlinkat(work->staging.at, new.text, 0) < 0 ? -errno : MIN(r, 0);
    return 1;
}

static int remember_relinked(struct work *work, int64_t dir, const char *name, int64_t object) {
    struct relinked *more = reallocarray(work->relinked, work->relinked_count + 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    work->relinked = more;
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    more[work->relinked_count++] = (struct relinked){ .dir = dir, .object = object, .name = copy };
    return 0;
}

/* 0 = another directory has its path. Where no record tells, the path is believed. */
static int is_dir(struct work *work, struct point at, int64_t dir, int fd, struct snap_err *err) {
    _free_ char *name = NULL;
    int64_t parent;
    struct live_entry known = {0};
    struct statx stat;
    struct fingerprint print;
    int r = index_dir_place(work->store, at, dir, &parent, &name, err);
    if (r <= 0 || (r = live_find(work->store, parent, name, &known, err)) < 0)
        return r;
    if (r == 0 || known.dir != dir || known.flags & LIVE_GONE || !known.print.ino)
        return 1;
    if ((r = fs_statx(fd, "", &stat)) < 0)
        return err_path(err, r, name, "look at");
    fingerprint_from(&stat, &print);
    return print.ino == known.print.ino && print.size == known.print.size;
}

/* A name that the plan leaves alone, where its directory is at that point. */
static int link_from_place(struct work *work, struct point at, int64_t dir, const char *name, struct plan_row *row, struct snap_err *err) {
    _buf_ struct buf path = {0};
    int r = index_dir_path(work->store, at, dir, &path, err);
    if (r <= 0)
        return r;
    _close_ int fd = fs_open_beneath(work->project->root, path.data ? path.data : "", O_PATH | O_DIRECTORY, 0);
    if (fd < 0 || (r = is_dir(work, at, dir, fd, err)) <= 0)
        return fd < 0 ? 0 : r;
    struct live_entry known = {0};
    if ((r = live_find(work->store, dir, name, &known, err)) < 0)
        return r;
    r = link_from(work, fd, name, row, r > 0 ? &known : NULL);
    return r > 0 && (r = remember_relinked(work, dir, name, row->after->id)) == 0 ? 1 : r;
}

static int on_name(void *data, int64_t dir, const char *name) {
    struct link_search *search = data;
    struct work *work = search->work;
    struct plan_row *row = search->row;
    if (search->linked || plan_find_id(work->plan, dir, name))
        return 0;
    int64_t there = index_lookup_id(work->store, work->ground, dir, name, search->err);
    if (there != row->after->id)
        return (int)MIN(there, (int64_t)0);
    /* Its directory may be on its way from one place to the other; outside of the paths it is where the ground has it. */
    int r = link_from_place(work, work->from, dir, name, row, search->err);
    if (r == 0)
        r = link_from_place(work, work->ground, dir, name, row, search->err);
    if (r == 0 && work->recovering)
        r = link_from_place(work, work->to, dir, name, row, search->err);
    search->linked = r > 0;
    return MIN(r, 0);
}

/* 1 = the row's name stands in the staging directory as a link to an inode that it must share. */
static int link_to_group(struct work *work, struct plan_row *row, struct snap_err *err) {
    int64_t id = row->after->id;
    if (!(row->after->flags & OBJECT_LINKED))
        return 0;                         /* of equal rows, each is a file of its own */
    struct plan_row *first = map_get(work->groups, &id, sizeof(id));
    if (first && first->staged) {
        if (linkat(work->staging.at, staged_new(first).text, work->staging.at, staged_new(row).text, 0) == 0)
            return 1;
        return errno == EMLINK || errno == EPERM || errno == EOPNOTSUPP ? 0 : -errno;
    }
    if (first) {                          /* done by an earlier attempt */
        _pinned_ struct dir_pinned at = work_pin(work, first->dir, true);
        int r = at.fd < 0 ? 0 : link_from(work, at.fd, first->name, row, NULL);
        if (r != 0)
            return r;
    }
    int64_t links = index_links(work->store, work->to, id, err);
    if (links <= 1)
        return (int)MIN(links, (int64_t)0);
    struct link_search search = { work, row, err, false };
    int r = index_names(work->store, work->to, id, on_name, &search, err);
    return r < 0 ? r : search.linked;
}

/* What an earlier attempt built, or displaced, and is just that. 1, 0 or a negative errno. */
static int reuse(struct work *work, struct plan_row *row) {
    if (work_looks_same(row))
        return 0;
    for (unsigned i = 0; i < work->staging.attempt; i++) {
        char attempt[16];
        (void)snprintf(attempt, sizeof(attempt), "%u", i);
        _close_ int dir = open_dir(work->staging.root, attempt);
        if (dir < 0)
            continue;
        const struct staged_name names[] = { staged_new(row), staged_old(row) };
        for (size_t j = 0; j < ELEMENTS(names); j++) {
            int r = inspect_entry(dir, names[j].text, row->after, NULL, NULL, NULL);
            if (r != INSPECT_SAME)
                continue;
            return renameat(dir, names[j].text, work->staging.at, names[0].text) < 0 ? -errno : 1;
        }
    }
    return 0;
}

static int stage_row(struct work *work, struct plan_row *row, struct snap_err *err) {
    struct snap_err why = {0};
    int64_t id = row->after->id;
    int r = hook("transition.stage", row->name);
    if (r >= 0)
        r = link_to_group(work, row, &why);
    if (r == 0 && work->recovering)
        r = reuse(work, row);
    if (r == 0)
        r = build(work, row, &why);
    if (r >= 0) {
        row->staged = true;
        return map_put(work->groups, &id, sizeof(id), row, NULL) < 0 ? err_nomem(err) : 0;
    }
    if (r == -ECANCELED)
        return project_cancelled_error(err);
    if (build_is_about_entry(r)) {
        (void)fs_remove_tree(work->staging.at, staged_new(row).text);
        if (why.message[0])
            work_leave(work, row, why.message);
        else
            work_fail(work, row, r, "restore");
        return 0;
    }
    _buf_ struct buf path = {0};
    plan_row_path(row, true, &path);
    return err_path(err, r, path.data ? path.data : "", "prepare");
}

int staging_fill(struct work *work, struct snap_err *err) {
    for (size_t i = 0; i < work->plan->count; i++) {
        struct plan_row *row = &work->plan->rows[i];
        if (row->state != PLAN_TODO || row->how != PLAN_FILL)
            continue;
        if (project_cancelled(work->project))
            return project_cancelled_error(err);
        int r = stage_row(work, row, err);
        if (r < 0)
            return r;
    }
    return 0;
}
