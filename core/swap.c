/* The changes a transition makes in the project, one entry at a time, each so that it can be taken back.
 * Overwrites nothing: what is replaced or removed goes into the staging directory first, is looked at there, where nobody
 * else can reach it any more, and comes back if it is not what the index says it was.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "swap.h"
#include "fs.h"
#include "hook.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Steps. */

/* So that no step can be made which is then not remembered. */
static int reserve(struct work *work) {
    size_t count = work->steps_count;
    if (count & (count - 1))
        return 0;
    struct step *more = reallocarray(work->steps, count ? 2 * count : 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    work->steps = more;
    return 0;
}

int swap_ready(struct work *work, struct plan_row *row, int fd, const char *point) {
    int r = reserve(work);
    if (r >= 0)
        r = swap_touch(row->dir, fd);
    return r < 0 ? r : hook(point, row->name);
}

void swap_remember(struct work *work, enum step_kind kind, bool after, struct plan_row *row) {
    work->steps[work->steps_count++] = (struct step){ kind, after, row };
}

int swap_rename(int from, const char *old, int to, const char *new, unsigned flags) {
    return renameat2(from, old, to, new, flags) < 0 ? -errno : 0;
}

bool swap_is_missing(int code) {
    return code == -EINVAL || code == -ENOSYS;
}

/* Puts it where nothing is. Where the kernel cannot promise that, a file is linked, which can; a directory replaces at
 * most an empty one. */
static int put(int from, const char *old, int to, const char *new) {
    int r = swap_rename(from, old, to, new, RENAME_NOREPLACE);
    if (!swap_is_missing(r))
        return r;
    struct stat stat;
    if (fstatat(from, old, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!S_ISDIR(stat.st_mode) && linkat(from, old, to, new, 0) == 0)
        return unlinkat(from, old, 0) < 0 ? -errno : 0;
    if (!S_ISDIR(stat.st_mode) && errno != EPERM && errno != EOPNOTSUPP)
        return -errno;
    if (fstatat(to, new, &stat, AT_SYMLINK_NOFOLLOW) == 0)
        return -EEXIST;
    return errno == ENOENT ? swap_rename(from, old, to, new, 0) : -errno;
}

/* Where a row's displaced directory or file waits. */
static int displaced_at(const struct work *work, const struct plan_row *row) {
    return row->leaves && plan_dir_moves(row->leaves) ? place_of(work, row)->root : place_of(work, row)->at;
}

static struct staged_name displaced_name(const struct plan_row *row) {
    return row->leaves && plan_dir_moves(row->leaves) ? staged_dir(row->leaves) : staged_old(row);
}

/* Somebody's new entry stands where a directory belongs, which may hold what no snapshot has: it goes beside it. */
static int put_beside(struct work *work, struct plan_row *row, const struct plan_dir *dir, int from, int fd) {
    _buf_ struct buf name = {0};
    buf_fmt(&name, "%.200s.snapctl-%lld", row->name, (long long)work->op);
    int r = name.failed ? name.failed : put(from, staged_dir(dir).text, fd, name.data);
    if (r >= 0)
        work_leave(work, row, "is taken by somebody's new entry; the directory was put beside it, with .snapctl- and a number in its name");
    return r;
}

/* Another inode than the live index knows, with the same metadata once its turn comes. */
static int make_again(struct plan_row *row, int fd) {
    struct plan_dir *dir = row->leaves;
    if (mkdirat(fd, row->name, 0700) < 0)
        return -errno;
    dir->identified = dir->finished = true;
    dir->ino = 0;
    return 0;
}

/* Takes one step back. */
static int back(struct work *work, const struct step *step) {
    struct plan_row *row = step->row;
    _pinned_ struct dir_pinned at = work_pin(work, row->dir, step->after);
    int r;
    if (at.fd < 0)
        return at.fd;
    if ((r = swap_touch(row->dir, at.fd)) < 0)
        return r;
    switch (step->kind) {
    case STEP_EXCHANGED:
        r = swap_rename(place_of(work, row)->at, staged_new(row).text, at.fd, row->name, RENAME_EXCHANGE);
        return r == -ENOENT ? put(place_of(work, row)->at, staged_new(row).text, at.fd, row->name) : r;
    case STEP_DISPLACED:
        r = put(displaced_at(work, row), displaced_name(row).text, at.fd, row->name);
        return r == -EEXIST && row->leaves && plan_dir_moves(row->leaves) ? put_beside(work, row, row->leaves, displaced_at(work, row), at.fd) : r;
    case STEP_REMOVED:
        return make_again(row, at.fd);
    case STEP_RETURNED:
        return put(at.fd, row->name, displaced_at(work, row), displaced_name(row).text);
    case STEP_PLACED:
        if (row->arrives)
            return put(at.fd, row->name, place_of_dir(work, row->arrives)->root, staged_dir(row->arrives).text);
        return put(at.fd, row->name, place_of(work, row)->at, staged_new(row).text);
    case STEP_MADE:
        return unlinkat(at.fd, row->name, AT_REMOVEDIR) < 0 ? -errno : 0;
    case STEP_META:
        return meta_apply(at.fd, row->name, &row->before->meta, 0, NULL);
    }
    return -EINVAL;
}

/* The newest step, and the row with it: it did not happen. */
int swap_back_one(struct work *work) {
    struct step *step = &work->steps[work->steps_count - 1];
    int r = back(work, step);
    if (r < 0)
        return r;
    swap_forget_place(step->row->leaves, false);
    swap_forget_place(step->row->arrives, true);
    work->steps_count--;
    return 0;
}

int swap_back(struct work *work, struct snap_err *err) {
    int failed = 0;
    while (work->steps_count > 0) {
        const struct step *step = &work->steps[work->steps_count - 1];
        struct plan_row *row = step->row;
        int r = hook("transition.back", row->name);
        if (r >= 0)
            r = swap_back_one(work);
        if (r >= 0)
            continue;
        if (!swap_is_change(r))
            return swap_fatal(row, r, "put back", err);
        /* Something new stands there: it stays, and what was there is in the snapshot taken before. */
        work_leave(work, row, "was made by somebody else meanwhile; what was there before is in the newest snapshot");
        work->steps_count--;
        failed++;
    }
    return swap_finish(work, false, err);
}

/* Into its place. */

static int place(struct work *work, struct plan_row *row, int fd, struct snap_err *err) {
    int r = swap_ready(work, row, fd, "transition.place");
    if (r >= 0)
        r = put(place_of(work, row)->at, staged_new(row).text, fd, row->name);
    if (r < 0)
        return swap_judge(work, row, r, "restore", err);
    swap_remember(work, STEP_PLACED, true, row);
    row->state = PLAN_DONE;
    return 0;
}

/* The new one and the old one change places in one step, so that the name never is without a file. */
static int exchange(struct work *work, struct plan_row *row, int fd, const struct statx *stat, bool sure, struct snap_err *err) {
    struct staged_name new = staged_new(row);
    int r = swap_ready(work, row, fd, "transition.exchange");
    if (r >= 0)
        r = swap_rename(place_of(work, row)->at, new.text, fd, row->name, RENAME_EXCHANGE);
    if (swap_is_missing(r)) {
        r = swap_displace_file(work, row, true, fd, stat, sure, err);
        return r < 0 || row->state != PLAN_TODO ? r : place(work, row, fd, err);
    }
    if (r < 0)
        return swap_judge(work, row, r, "replace", err);
    swap_remember(work, STEP_EXCHANGED, true, row);
    if (swap_was_changed(work, row, place_of(work, row)->at, new.text, stat, sure))
        return swap_undo_changed(work, row, err);
    row->state = PLAN_DONE;
    return 0;
}

static int fill(struct work *work, struct plan_row *row, int fd, struct snap_err *err) {
    struct statx stat;
    bool sure = false;
    if (!row->before || row->cleared)
        return place(work, row, fd, err);
    int r = work_known(work, row, err);
    if (r >= 0)
        r = inspect_entry(fd, row->name, row->before, &row->known, &stat, &sure);
    if (r < 0)
        return swap_judge(work, row, r, "look at", err);
    if (r == INSPECT_SAME)
        return exchange(work, row, fd, &stat, sure, err);
    if (!work->recovering)
        return swap_changed(work, row, err);
    r = swap_already(work, row, fd, r, err);
    return r < 0 || !row->cleared ? r : place(work, row, fd, err);
}

/* Another name of the inode has been seen to. */
static bool is_done_by_link(const struct plan_row *row, int fd) {
    return row->links > 1 && inspect_entry(fd, row->name, row->after, NULL, NULL, NULL) == INSPECT_SAME;
}

static int change_meta(struct work *work, struct plan_row *row, int fd, struct snap_err *err) {
    unsigned missing = 0;
    int r = work_known(work, row, err);
    if (r >= 0)
        r = inspect_entry(fd, row->name, row->before, &row->known, NULL, NULL);
    if (r == INSPECT_OTHER && is_done_by_link(row, fd)) {
        row->state = PLAN_DONE;
        return 0;
    }
    if (r >= 0 && r != INSPECT_SAME && work->recovering)
        r = inspect_content(fd, row->name, row->after) == 1 ? (int)INSPECT_SAME : r;
    if (r < 0)
        return swap_judge(work, row, r, "look at", err);
    if (r != INSPECT_SAME)
        return swap_changed(work, row, err);
    if (row->how == PLAN_META) {
        if ((r = reserve(work)) >= 0 && (r = hook("transition.meta", row->name)) >= 0) {
            swap_remember(work, STEP_META, true, row);
            r = meta_apply(fd, row->name, &row->after->meta, 0, &missing);
            if (r == -EROFS)
                work->steps_count--;      /* nothing was done, and nothing could be taken back */
        }
        if (r < 0)
            return swap_judge(work, row, r, "change", err);
        work_missing(work, row, missing);
    }
    row->state = PLAN_DONE;
    return 0;
}

/* 1 = a directory that was on its way stands here already. */
static int has_arrived(struct work *work, struct plan_row *row, int fd) {
    struct statx stat;
    struct fingerprint print;
    int r = swap_identify(work, row->arrives);
    if (r < 0 || (r = fs_statx(fd, row->name, &stat)) < 0)
        return r == -ENOENT ? 0 : r;
    fingerprint_from(&stat, &print);
    return S_ISDIR(stat.stx_mode) && (!row->arrives->ino || print.ino == row->arrives->ino);
}

static int arrive(struct work *work, struct plan_row *row, int fd, struct snap_err *err) {
    struct plan_dir *dir = row->arrives;
    int from = staging_find_dir(work, dir);
    if (from < 0) {
        int r = work->recovering ? has_arrived(work, row, fd) : 0;
        if (r < 0)
            return swap_judge(work, row, r, "look at", err);
        if (r > 0)
            row->state = PLAN_DONE;
        else
            work_leave(work, row, "cannot be moved here, because the directory could not be moved away from its place");
        return 0;
    }
    int r = swap_ready(work, row, fd, "transition.place");
    if (r >= 0)
        r = put(from, staged_dir(dir).text, fd, row->name);
    if (r == -EEXIST && work->recovering) {
        r = put_beside(work, row, dir, from, fd);
        return r < 0 ? swap_fatal(row, r, "put back", err) : 0;
    }
    if (r < 0)                            /* it must not stay where it is now */
        return swap_is_change(r) ? swap_changed(work, row, err) : swap_fatal(row, r, "move", err);
    swap_remember(work, STEP_PLACED, true, row);
    row->state = PLAN_DONE;
    return 0;
}

/* Where a directory stays for what is left out in it, the one that belongs there is that one, with another inside. */
static bool adopt(struct plan_row *row) {
    struct plan_dir *dir = row->arrives, *old = dir->instead_of;
    if (old && old->from_row != row && row->dir && row->dir->adopted && old->from_row->state == PLAN_SKIP) {
        old->from_row->state = PLAN_DONE;
        dir->adopted = true;
    }
    if (dir->adopted)
        row->state = PLAN_DONE;
    return dir->adopted;
}

/* What stays in the place of this row, in a directory that stays; NULL: nothing. */
static const struct plan_row *in_the_way(const struct work *work, const struct plan_row *row) {
    const struct plan_row *old = row->dir && row->dir->adopted ? plan_find(work->plan, row->dir->instead_of, row->name) : NULL;
    return old && (old->state == PLAN_SKIP || old->state == PLAN_FAILED) ? old : NULL;
}

static int make(struct work *work, struct plan_row *row, int fd, struct snap_err *err) {
    if (adopt(row))
        return 0;
    int r = swap_ready(work, row, fd, "transition.make");
    if (r >= 0 && mkdirat(fd, row->name, 0700) < 0)
        r = -errno;
    struct stat stat;
    if (r == -EEXIST && work->recovering && fstatat(fd, row->name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(stat.st_mode))
        r = 0;
    else if (r == -EEXIST)
        r = swap_stands(work, row, fd) > 0 ? 0 : r;
    else if (r >= 0)
        swap_remember(work, STEP_MADE, true, row);
    if (r < 0)
        return swap_judge(work, row, r, "make", err);
    row->state = PLAN_DONE;
    return 0;
}

static int fill_row(struct work *work, struct plan_row *row, struct snap_err *err) {
    if (work_is_lost(row->dir)) {
        work_leave(work, row, "cannot be restored, because its directory could not");
        return 0;
    }
    if (row->how == PLAN_DIR && row->before && !row->leaves && !row->cleared) {
        int r = swap_clear_file(work, row, true, err);
        if (r < 0 || row->state != PLAN_TODO)
            return r;
    }
    if (in_the_way(work, row) && !(row->how == PLAN_DIR && row->arrives->instead_of)) {
        work_leave(work, row, "cannot be restored, because something stays in its place");
        return 0;
    }
    _pinned_ struct dir_pinned at = work_pin(work, row->dir, true);
    if (at.fd < 0)
        return swap_judge(work, row, at.fd, "reach", err);
    if (row->how == PLAN_FILL)
        return fill(work, row, at.fd, err);
    if (row->how == PLAN_DIR)
        return row->arrives->in_from ? arrive(work, row, at.fd, err) : make(work, row, at.fd, err);
    return change_meta(work, row, at.fd, err);
}

/* In order. */

static int deepest_first(const void *a, const void *b) {
    const struct plan_row *x = *(struct plan_row *const *)a, *y = *(struct plan_row *const *)b;
    if (x->dir->from_depth != y->dir->from_depth)
        return x->dir->from_depth > y->dir->from_depth ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

static int top_first(const void *a, const void *b) {
    const struct plan_row *x = *(struct plan_row *const *)a, *y = *(struct plan_row *const *)b;
    if (x->dir->to_depth != y->dir->to_depth)
        return x->dir->to_depth < y->dir->to_depth ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

static bool clears(const struct plan_row *row) {
    return row->state == PLAN_TODO && row->before && (row->leaves || row->how == PLAN_CLEAR || row->how == PLAN_DIR);
}

static bool fills(const struct plan_row *row) {
    return row->state == PLAN_TODO && row->after && !row->self;
}

static int swap_phase(struct work *work, bool (*wanted)(const struct plan_row *), int (*order)(const void *, const void *),
                      int (*one)(struct work *, struct plan_row *, struct snap_err *), struct snap_err *err) {
    struct plan *plan = work->plan;
    _free_ struct plan_row **rows = malloc(MAX(plan->count, (size_t)1) * sizeof(*rows));
    if (!rows)
        return err_nomem(err);
    size_t count = 0;
    for (size_t i = 0; i < plan->count; i++)
        if (wanted(&plan->rows[i]))
            rows[count++] = &plan->rows[i];
    qsort(rows, count, sizeof(*rows), order);
    for (size_t i = 0; i < count; i++) {
        if (project_cancelled(work->project))
            return project_cancelled_error(err);
        int r = one(work, rows[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int clear_row(struct work *work, struct plan_row *row, struct snap_err *err) {
    int r = row->leaves ? swap_clear_dir(work, row, err) : swap_clear_file(work, row, false, err);
    if (r == 0 && row->state == PLAN_TODO && row->cleared && !row->after)
        row->state = PLAN_DONE;
    return r;
}

/* It stays where it was: what is left out in it is nowhere else. */
static int give_back(struct work *work, struct plan_row *row, struct snap_err *err) {
    _pinned_ struct dir_pinned at = work_pin(work, row->dir, false);
    int r = row->after ? -EBUSY : at.fd < 0 ? at.fd : reserve(work);
    if (r >= 0)
        r = put(displaced_at(work, row), displaced_name(row).text, at.fd, row->name);
    if (r < 0)
        return swap_fatal(row, r, "move", err);
    swap_remember(work, STEP_RETURNED, false, row);
    work_leave(work, row, "stays where it is, because its place is taken");
    return 0;
}

/* Directories on their way that cannot arrive. */
static int give_back_stranded(struct work *work, struct snap_err *err) {
    for (size_t i = 0; i < work->plan->dirs_count; i++) {
        const struct plan_dir *dir = work->plan->dirs[i];
        if (!plan_dir_moves(dir) || dir->to_row->state == PLAN_DONE || staging_find_dir(work, dir) < 0)
            continue;
        int r = give_back(work, dir->from_row, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int swap_all(struct work *work, struct snap_err *err) {
    int r = swap_phase(work, clears, deepest_first, clear_row, err);
    if (r < 0 || (r = swap_phase(work, fills, top_first, fill_row, err)) < 0)
        return r;
    return give_back_stranded(work, err);
}

/* Metadata of directories. */

static const struct object *wanted_object(const struct plan_dir *dir, bool after) {
    const struct plan_row *own = dir->own;
    if (after)
        return dir->to_row ? dir->to_row->after : own && (own->state == PLAN_TODO || own->state == PLAN_DONE) ? own->after : NULL;
    return !dir->finished ? NULL : dir->from_row ? dir->from_row->before : own ? own->before : NULL;
}

int swap_untouch(const struct plan_dir *dir, int fd) {
    if (!dir->touched)
        return 0;
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, dir->mtime };
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (futimens(fd, times) < 0 && (errno != EBADF || utimensat(AT_FDCWD, path, times, 0) < 0) && errno != EPERM && errno != EACCES)
        return -errno;
    return dir->opened_up ? swap_chmod(fd, dir->mode) : 0;
}

int swap_finish_dir(struct work *work, struct plan_dir *dir, bool after) {
    _pinned_ struct dir_pinned at = work_pin(work, dir, after);
    if (at.fd < 0)
        return at.fd;
    const struct object *object = wanted_object(dir, after);
    if (!object)
        return swap_untouch(dir, at.fd);
    unsigned missing = 0;
    int r = hook("transition.meta", dir_name(at.dir));
    if (r >= 0)
        r = meta_apply(at.fd, "", &object->meta, 0, &missing);
    struct plan_row *row = dir->to_row ? dir->to_row : dir->own;
    if (r >= 0 && after && row && !dir->finished)
        work_missing(work, row, missing);
    dir->finished = after;
    dir->shut = true;
    if (dir->adopted)
        dir->instead_of->finished = after;   /* its metadata has to come back when this is taken back */
    return r;
}

static int by_from(const void *a, const void *b) {
    const struct plan_dir *x = *(struct plan_dir *const *)a, *y = *(struct plan_dir *const *)b;
    return x->from_depth != y->from_depth ? x->from_depth > y->from_depth ? -1 : 1 : 0;
}

static int by_to(const void *a, const void *b) {
    const struct plan_dir *x = *(struct plan_dir *const *)a, *y = *(struct plan_dir *const *)b;
    return x->to_depth != y->to_depth ? x->to_depth > y->to_depth ? -1 : 1 : 0;
}

static bool needs_finish(struct plan_dir *dir, bool after) {
    if (after ? !dir->in_to || work_is_lost(dir) : !dir->in_from)
        return false;
    return dir->touched || (after ? dir->own || dir->to_row : dir->finished);
}

static int finish_one(struct work *work, struct plan_dir *dir, bool after, struct snap_err *err) {
    int r = swap_finish_dir(work, dir, after);
    struct plan_row *row = dir->own;
    if (r >= 0) {
        if (after && row && row->state == PLAN_TODO)
            row->state = PLAN_DONE;
        return 0;
    }
    _buf_ struct buf path = {0};
    plan_dir_path(dir, after, &path);
    if (!swap_is_change(r) && !swap_is_about_path(r))
        return err_path(err, r, path.failed || !path.data ? "" : path.data, "give its metadata to");
    if (after && row && row->state == PLAN_TODO)
        work_fail(work, row, r, "change");
    else
        project_notice(work->project, SNAP_NOTICE_FAILED_PATH, path.failed || !path.data ? "" : path.data,
                       "cannot give it its metadata: %s", strerror(-r));
    return 0;
}

int swap_finish(struct work *work, bool after, struct snap_err *err) {
    struct plan *plan = work->plan;
    _free_ struct plan_dir **dirs = malloc(MAX(plan->dirs_count, (size_t)1) * sizeof(*dirs));
    if (!dirs)
        return err_nomem(err);
    size_t count = 0;
    for (size_t i = 0; i < plan->dirs_count; i++)
        if (needs_finish(plan->dirs[i], after))
            dirs[count++] = plan->dirs[i];
    qsort(dirs, count, sizeof(*dirs), after ? by_to : by_from);
    for (size_t i = 0; i < count; i++) {
        int r = finish_one(work, dirs[i], after, err);
        if (r < 0)
            return r;
    }
    return 0;
}
