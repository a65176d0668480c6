/* What goes, or makes way: displaced, looked at where nobody else can reach it any more, and put back if it is not what it
 * has to be. SPDX-License-Identifier: GPL-2.0-or-later */
#include "swap.h"
#include "fs.h"
#include "hook.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Looks at what was displaced: nobody reaches it by a name any more. */
bool swap_was_changed(struct work *work, const struct plan_row *row, int dirfd, const char *name, const struct statx *before, bool sure) {
    struct statx stat;
    if (hook("transition.look", row->name) < 0 || (!work->force && S_ISREG(before->stx_mode) && inspect_is_written(dirfd, name)))
        return true;
    if (fs_statx(dirfd, name, &stat) < 0 || !inspect_stayed(before, &stat))
        return true;
    return !sure && inspect_content(dirfd, name, row->before) != 1;
}

/* The displaced entry is not what the index says: it goes back. */
int swap_undo_changed(struct work *work, struct plan_row *row, struct snap_err *err) {
    if (!work->recovering)
        return swap_changed(work, row, err);   /* all is taken back, this too */
    int r = swap_back_one(work);
    return r < 0 ? swap_fatal(row, r, "put back", err) : swap_changed(work, row, err);
}

int swap_displace_file(struct work *work, struct plan_row *row, bool after, int fd, const struct statx *stat, bool sure,
                       struct snap_err *err) {
    struct staged_name old = staged_old(row);
    int r = swap_ready(work, row, fd, "transition.displace");
    if (r >= 0)
        r = swap_rename(fd, row->name, place_of(work, row)->at, old.text, 0);
    if (r < 0)
        return swap_judge(work, row, r, "remove", err);
    swap_remember(work, STEP_DISPLACED, after, row);
    row->cleared = true;
    return swap_was_changed(work, row, place_of(work, row)->at, old.text, stat, sure) ? swap_undo_changed(work, row, err) : 0;
}

/* After a crash: what was put here may belong to the directory that takes the place of this one. It makes way for what was
 * staged now, which others may be links of. 1, 0 or a negative errno. */
static int displace_heir(struct work *work, struct plan_row *row, int fd, struct snap_err *err) {
    const struct plan_row *heir = row->dir && row->dir->replaced_by ? plan_find(work->plan, row->dir->replaced_by, row->name) : NULL;
    struct statx stat;
    if (!heir || !heir->after || heir->state != PLAN_TODO)
        return 0;
    int r = inspect_entry(fd, heir->name, heir->after, NULL, &stat, NULL);
    if (r != INSPECT_SAME)
        return r < 0 ? swap_fatal(row, r, "look at", err) : 0;
    if (object_is_dir(heir->after))
        row->cleared = true;              /* made already, it is filled when its turn comes */
    else
        r = swap_displace_file(work, row, false, fd, &stat, true, err);
    return r < 0 ? r : 1;
}

/* After a crash: an entry that is not as it was before. */
int swap_already(struct work *work, struct plan_row *row, int fd, enum inspected found, struct snap_err *err) {
    if (found == INSPECT_ABSENT) {
        row->cleared = true;
        return 0;
    }
    int r = displace_heir(work, row, fd, err);
    if (r != 0)
        return MIN(r, 0);
    r = row->after ? inspect_entry(fd, row->name, row->after, NULL, NULL, NULL) : 0;
    if (r < 0)
        return swap_fatal(row, r, "look at", err);
    if (r == INSPECT_SAME)
        row->state = PLAN_DONE;
    else
        work_leave(work, row, "was changed by somebody else since and stays as it is");
    return 0;
}

int swap_clear_file(struct work *work, struct plan_row *row, bool after, struct snap_err *err) {
    _pinned_ struct dir_pinned at = work_pin(work, row->dir, after);
    struct statx stat;
    bool sure = false;
    int r = at.fd < 0 ? at.fd : work_known(work, row, err);
    if (r >= 0)
        r = inspect_entry(at.fd, row->name, row->before, &row->known, &stat, &sure);
    if (r < 0 && work->recovering && swap_is_change(r)) {
        row->cleared = true;
        return 0;
    }
    if (r < 0)
        return swap_judge(work, row, r, "look at", err);
    if (r == INSPECT_SAME)
        return swap_displace_file(work, row, after, at.fd, &stat, sure, err);
    return work->recovering ? swap_already(work, row, at.fd, r, err) : swap_changed(work, row, err);
}

/* What is left in a directory that is to go: names that are left out alone, or others too. 0: it is empty. */
enum leftover { LEFT_NOTHING = 0, LEFT_EXCLUDED, LEFT_OTHER };

static bool is_left_for_good(const struct work *work, const struct plan_dir *dir, const char *name, const char *path, bool is_dir) {
    if (plan_excludes(work->plan, path, is_dir))
        return true;
    const struct plan_row *row = plan_find(work->plan, dir, name);
    if (row && row->leaves && row->state == PLAN_SKIP)        /* it holds such things */
        return true;
    const struct plan_row *heir = dir->replaced_by ? plan_find(work->plan, dir->replaced_by, name) : NULL;
    return heir && heir->after && (work->recovering || (is_dir && object_is_dir(heir->after)));
}

/* The worst that fn says of the names in `fd`, whose path is `base`. */
typedef int (*rest_fn)(const struct work *work, const struct plan_dir *dir, const char *name, const char *path, bool is_dir);

static int most_of_rest(const struct work *work, const struct plan_dir *dir, const struct buf *base, int fd, rest_fn fn) {
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *list = copy < 0 ? NULL : fdopendir(copy);
    if (!list)
        return copy < 0 ? -errno : -ENOMEM;
    int found = LEFT_NOTHING;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(list)); errno = 0) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || staging_has_name(&work->staging, entry->d_name))
            continue;
        _buf_ struct buf path = {0};
        buf_fmt(&path, "%s%s%s", base->data ? base->data : "", base->size ? "/" : "", entry->d_name);
        if (path.failed || base->failed)
            return -ENOMEM;
        found = MAX(found, fn(work, dir, entry->d_name, path.data, entry->d_type == DT_DIR));
    }
    return errno ? -errno : found;
}

static int judge_left(const struct work *work, const struct plan_dir *dir, const char *name, const char *path, bool is_dir) {
    return is_left_for_good(work, dir, name, path, is_dir) ? LEFT_EXCLUDED : LEFT_OTHER;
}

static int look_for_rest(struct work *work, const struct plan_dir *dir, int fd) {
    _buf_ struct buf base = {0};
    plan_dir_path(dir, false, &base);
    return most_of_rest(work, dir, &base, fd, judge_left);
}

/* A directory that comes is looked at when its turn is. */
static int judge_found(const struct work *work, const struct plan_dir *dir, const char *name, const char *path, bool is_dir) {
    const struct plan_row *row = plan_find(work->plan, dir, name);
    bool belongs = row && row->after && (work->recovering || (is_dir && object_is_dir(row->after)));
    return belongs || plan_excludes(work->plan, path, is_dir) ? LEFT_EXCLUDED : LEFT_OTHER;
}

int swap_stands(const struct work *work, const struct plan_row *row, int dirfd) {
    _buf_ struct buf base = {0};
    if (!row->arrives || row->arrives->in_from)
        return 0;
    _close_ int fd = openat(dirfd, row->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOTDIR || errno == ELOOP || errno == ENOENT ? 0 : -errno;
    plan_row_path(row, true, &base);
    int r = most_of_rest(work, row->arrives, &base, fd, judge_found);
    return r < 0 ? r : r == LEFT_EXCLUDED;
}

static void tell_kept(struct work *work, struct plan_row *row, int rest) {
    _buf_ struct buf path = {0};
    plan_row_path(row, false, &path);
    if (row->leaves->touched)
        (void)swap_finish_dir(work, row->leaves, false);
    if (row->leaves->optional) {
        row->state = PLAN_SKIP;
        return;
    }
    if (rest == LEFT_OTHER || row->after) {
        work_leave(work, row, "stays, because it is not empty");
        return;
    }
    row->state = PLAN_SKIP;
    if (row->leaves->replaced_by)
        return;                           /* it becomes that one */
    project_notice(work->project, SNAP_NOTICE_INFO, path.failed || !path.data ? "" : path.data,
                   "stays, because what is left out of snapshots is in it");
}

static bool is_own_device(int above, int fd) {
    struct stat outer, inner;
    return fstat(above, &outer) == 0 && fstat(fd, &inner) == 0 && outer.st_dev != inner.st_dev;
}

/* One that does not move: of a lower layer of overlayfs, for example. */
static int remove_empty(struct work *work, struct plan_row *row, int fd, struct snap_err *err) {
    if (unlinkat(fd, row->name, AT_REMOVEDIR) == 0) {
        swap_remember(work, STEP_REMOVED, false, row);
        swap_forget_place(row->leaves, false);
        row->cleared = true;
        return 0;
    }
    if (errno != ENOTEMPTY && errno != EEXIST)
        return swap_judge(work, row, -errno, "remove", err);
    tell_kept(work, row, LEFT_OTHER);
    return 0;
}

/* An emptied directory goes the way of a file: it can come back as the same inode. */
static int displace_empty(struct work *work, struct plan_row *row, int fd, struct snap_err *err) {
    struct plan_dir *dir = row->leaves;
    int rest;
    {
        _pinned_ struct dir_pinned inside = work_pin(work, dir, false);
        int r = inside.fd < 0 ? inside.fd : swap_touch(dir, inside.fd);
        rest = r < 0 ? r : look_for_rest(work, dir, inside.fd);
        if (rest == LEFT_NOTHING && dir->replaced_by && is_own_device(fd, inside.fd))
            rest = LEFT_EXCLUDED;         /* our own staging directory, and the subvolume as such */
    }
    if (rest < 0)
        return swap_judge(work, row, rest, "remove", err);
    if (rest != LEFT_NOTHING && row->arrives && row->arrives->instead_of == dir) {
        if (rest == LEFT_OTHER)
            swap_tell(work, row, "keeps something in it that the snapshot does not have");
        row->arrives->adopted = row->cleared = true;
        return 0;
    }
    if (rest != LEFT_NOTHING) {
        tell_kept(work, row, rest);
        return 0;
    }
    int r = swap_ready(work, row, fd, "transition.displace");
    if (r >= 0)
        r = swap_rename(fd, row->name, place_of(work, row)->at, staged_old(row).text, 0);
    if (r == -EXDEV)
        return remove_empty(work, row, fd, err);
    if (r < 0)
        return swap_judge(work, row, r, "remove", err);
    swap_remember(work, STEP_DISPLACED, false, row);
    swap_forget_place(dir, false);
    row->cleared = true;
    _close_ int gone = openat(place_of(work, row)->at, staged_old(row).text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    rest = gone < 0 ? -errno : look_for_rest(work, dir, gone);
    if (rest == LEFT_NOTHING)
        return 0;
    if ((r = swap_back_one(work)) < 0)
        return swap_fatal(row, r, "put back", err);
    row->cleared = false;
    tell_kept(work, row, LEFT_OTHER);
    return 0;
}

static int displace_moving(struct work *work, struct plan_row *row, int fd, struct snap_err *err) {
    struct plan_dir *dir = row->leaves;
    int r = 0;
    if (geteuid() != 0) {                 /* its "..", too, is written */
        _pinned_ struct dir_pinned inside = work_pin(work, dir, false);
        r = inside.fd < 0 ? inside.fd : swap_touch(dir, inside.fd);
    }
    if (r >= 0)
        r = swap_ready(work, row, fd, "transition.displace");
    if (r >= 0)
        r = swap_rename(fd, row->name, place_of(work, row)->root, staged_dir(dir).text, RENAME_NOREPLACE);
    if (swap_is_missing(r))
        r = swap_rename(fd, row->name, place_of(work, row)->root, staged_dir(dir).text, 0);
    if (r < 0)
        return swap_judge(work, row, r, "move", err);
    swap_remember(work, STEP_DISPLACED, false, row);
    swap_forget_place(dir, false);
    row->cleared = true;
    return 0;
}

int swap_clear_dir(struct work *work, struct plan_row *row, struct snap_err *err) {
    _pinned_ struct dir_pinned at = work_pin(work, row->dir, false);
    int r = at.fd < 0 ? at.fd : work_known(work, row, err);
    if (r >= 0)
        r = inspect_entry(at.fd, row->name, row->before, &row->known, NULL, NULL);
    if (work->recovering && (swap_is_change(r) || r == INSPECT_ABSENT || r == INSPECT_OTHER)) {
        row->cleared = true;
        return r == INSPECT_OTHER && !plan_dir_moves(row->leaves) ? MIN(displace_heir(work, row, at.fd, err), 0) : 0;
    }
    if (r < 0)
        return swap_judge(work, row, r, "look at", err);
    if (r != INSPECT_SAME)
        return swap_changed(work, row, err);
    return plan_dir_moves(row->leaves) ? displace_moving(work, row, at.fd, err) : displace_empty(work, row, at.fd, err);
}

