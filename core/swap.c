/* The changes a transition makes in the project, one entry at a time, each so that it can be taken back.
 * Overwrites nothing: what is replaced or removed goes into the staging directory first, is looked at there, where nobody
 * else can reach it any more, and comes back if it is not what the index says it was.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "work.h"
#include "build.h"
#include "fs.h"
#include "hook.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Telling. */

void work_fail(struct work *work, struct plan_row *row, int code, const char *doing) {
    _buf_ struct buf path = {0};
    plan_row_path(row, !row->before, &path);
    row->state = PLAN_FAILED;
    if (row->arrives)
        row->arrives->lost = true;
    project_notice(work->project, SNAP_NOTICE_FAILED_PATH, path.failed || !path.data ? "" : path.data, "cannot %s it: %s",
                   doing, strerror(-code));
}

static void tell_row_failed(struct work *work, const struct plan_row *row, const char *text) {
    _buf_ struct buf path = {0};
    plan_row_path(row, !row->before, &path);
    project_notice(work->project, SNAP_NOTICE_FAILED_PATH, path.failed || !path.data ? "" : path.data, "%s", text);
}

/* Not done, for a reason that is no error of the system. */
void work_leave(struct work *work, struct plan_row *row, const char *text) {
    row->state = PLAN_FAILED;
    if (row->arrives)
        row->arrives->lost = true;
    tell_row_failed(work, row, text);
}

void work_missing(struct work *work, struct plan_row *row, unsigned missing) {
    _buf_ struct buf text = {0}, path = {0};
    build_missing_words(missing, &text);
    plan_row_path(row, true, &path);
    row->lacking |= missing != 0;
    if (text.size && !text.failed && !path.failed)
        project_notice(work->project, SNAP_NOTICE_FAILED_PATH, path.data ? path.data : "",
                       "is back, but what is not permitted here is missing: %s", text.data);
}

void work_conflict(struct work *work, struct plan_row *row, const char *text) {
    _buf_ struct buf path = {0};
    plan_row_path(row, !row->before, &path);
    work->conflicts++;
    project_notice(work->project, SNAP_NOTICE_CONFLICT, path.failed || !path.data ? "" : path.data, "%s", text);
}

static int conflict(struct work *work, struct plan_row *row, const char *text, struct snap_err *err) {
    work_conflict(work, row, text);
    err_set(err, -EBUSY, "something changed in the project meanwhile");
    return err ? err_failure(err, SNAP_FAILURE_CONFLICT) : -EBUSY;
}

/* Somebody changed the entry: an answer for all when the work is new; when it goes on after a crash, the entry stays. */
static int changed(struct work *work, struct plan_row *row, struct snap_err *err) {
    if (!work->recovering)
        return conflict(work, row, "was changed by somebody else while the command ran", err);
    work_leave(work, row, "was changed by somebody else since and stays as it is");
    return 0;
}

static int fatal(struct plan_row *row, int code, const char *doing, struct snap_err *err) {
    _buf_ struct buf path = {0};
    plan_row_path(row, !row->before, &path);
    return err_path(err, code, path.failed || !path.data ? "" : path.data, "%s", doing);
}

static bool is_change(int code) {
    return code == -ENOENT || code == -EEXIST || code == -ENOTDIR || code == -EISDIR || code == -ESTALE || code == -ENOTEMPTY
        || code == -ELOOP;
}

static bool is_about_path(int code) {
    return code == -EBUSY || code == -EPERM || code == -EACCES || code == -ETXTBSY || code == -EXDEV || code == -EOPNOTSUPP
        || code == -ENAMETOOLONG || code == -EILSEQ || code == -EINVAL || code == -EMLINK || code == -EROFS;
}

/* What a failed change means. */
static int judge(struct work *work, struct plan_row *row, int code, const char *doing, struct snap_err *err) {
    if (is_change(code))
        return changed(work, row, err);
    if (!is_about_path(code))
        return fatal(row, code, doing, err);
    work_fail(work, row, code, doing);
    return 0;
}

/* Directories. */

static struct dir *node_new(struct work *work, const struct plan_dir *dir, struct dir *above, bool after) {
    return above ? dir_child(above, after ? dir->to_name : dir->from_name) : dir_ref(dirs_root(work->tree));
}

/* The node of a directory, by its place before or after; made from the root down. NULL: no memory. */
static struct dir *node_of(struct work *work, struct plan_dir *dir, bool after) {
    size_t count = 0, room = 0;
    _free_ struct plan_dir **chain = NULL;
    struct plan_dir *at = dir;
    for (; at && !(after ? at->to_at : at->from_at); at = after ? at->to_parent : at->from_parent) {
        if (count == room) {
            room = room ? 2 * room : 8;
            struct plan_dir **more = reallocarray(chain, room, sizeof(*more));
            if (!more)
                return NULL;
            chain = more;
        }
        chain[count++] = at;
    }
    struct dir *above = at ? after ? at->to_at : at->from_at : NULL;
    while (count > 0) {
        at = chain[--count];
        struct dir *node = node_new(work, at, above, after);
        if (!node)
            return NULL;
        *(after ? &at->to_at : &at->from_at) = above = node;
    }
    return above;
}

static int identify(struct work *work, struct plan_dir *dir);

/* Those above it first, from the nearest that is known down, so that depth costs no recursion to speak of. */
static int identify_above(struct work *work, struct plan_dir *dir) {
    for (;;) {
        struct plan_dir *top = dir;
        while (top->from_parent && !top->from_parent->identified && top->from_parent->from_parent)
            top = top->from_parent;
        if (top == dir)
            return 0;
        int r = identify(work, top);
        if (r < 0)
            return r;
    }
}

/* Which inode it was, as far as the live index knows; that may know another directory by this identity, and this one not. */
static int identify(struct work *work, struct plan_dir *dir) {
    if (dir->identified || !dir->in_from || !dir->from_parent)
        return 0;
    if (work->project->workspace) {           /* no record tells of it */
        dir->identified = true;
        return 0;
    }
    int r = identify_above(work, dir);
    struct live_entry known = {0};
    if (r < 0 || (r = work_live(work, dir->from_parent->id, dir->from_name, &known, NULL)) < 0)
        return r;
    dir->foreign = dir->from_parent->foreign || r == 0 || known.dir != dir->id || known.flags & LIVE_GONE;
    if (!dir->foreign) {
        dir->ino = known.print.ino;
        dir->birth = known.print.size;
    }
    dir->identified = true;
    return 0;
}

/* 0, or -ESTALE: another directory is there. */
static int check_identity(struct work *work, struct plan_dir *dir, int fd) {
    struct statx stat;
    struct fingerprint print;
    int r = identify(work, dir);
    if (r < 0 || !dir->ino)
        return r;
    if ((r = fs_statx(fd, "", &stat)) < 0)
        return r;
    fingerprint_from(&stat, &print);
    return print.ino == dir->ino && print.size == dir->birth ? 0 : -ESTALE;
}

static int change_mode(int fd, uint32_t mode) {
    if (fchmod(fd, mode & 07777) == 0)
        return 0;
    if (errno != EBADF)
        return -errno;
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return chmod(path, mode & 07777) < 0 ? -errno : 0;
}

/* Remembers what it was like, and gives us these permissions until it is finished. */
static int open_up(struct plan_dir *dir, int fd, mode_t need) {
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return -errno;
    if (!dir->touched) {
        dir->mode = stat.st_mode;
        dir->mtime = stat.st_mtim;
    }
    dir->touched = true;
    if (geteuid() == 0 || (stat.st_mode & need) == need)
        return 0;
    int r = change_mode(fd, stat.st_mode | 0700);
    dir->opened_up |= r == 0;
    return r == -EPERM ? 0 : r;           /* another's: what we may do shows itself */
}

int swap_touch(struct plan_dir *dir, int fd) {
    return dir->touched && !dir->shut ? 0 : open_up(dir, fd, 0300);
}

/* Nothing in a directory that may not be searched can be looked at, be it our own. */
static bool is_to_enter(const struct work *work, const struct plan_dir *dir) {
    return work->opens && !dir->entered && geteuid() != 0;
}

static int enter(const struct work *work, struct plan_dir *dir, int fd) {
    struct stat stat;
    if (!is_to_enter(work, dir))
        return 0;
    dir->entered = true;
    if (fstat(fd, &stat) < 0)
        return -errno;
    return stat.st_mode & 0100 ? 0 : open_up(dir, fd, 0100);
}

/* Once it was the right one it stays so: a node that is opened again must be the same inode. */
static int check_one(struct work *work, struct plan_dir *dir, bool after) {
    struct dir *node = after ? dir->to_at : dir->from_at;
    struct dir_pinned at = dir_pinned(node);
    int r = at.fd < 0 ? at.fd : check_identity(work, dir, at.fd);
    if (r >= 0)
        r = enter(work, dir, at.fd);
    if (at.fd >= 0)
        dir_unpin(node);
    if (r < 0)
        dir_forget(node);                 /* the right one may be put here yet */
    else
        *(after ? &dir->to_checked : &dir->from_checked) = true;
    return r;
}

/* From the root down, so that nothing is looked for in a directory that only has the right name. */
static int check_chain(struct work *work, struct plan_dir *dir, bool after) {
    for (;;) {
        struct plan_dir *first = NULL;
        for (struct plan_dir *at = dir; at; at = after ? at->to_parent : at->from_parent)
            first = !(after ? at->to_checked : at->from_checked) || is_to_enter(work, at) ? at : first;
        if (!first)
            return 0;
        int r = check_one(work, first, after);
        if (r < 0)
            return r;
    }
}

struct dir_pinned work_pin(struct work *work, struct plan_dir *dir, bool after) {
    struct dir *node = node_of(work, dir, after);
    int r = node ? check_chain(work, dir, after) : -ENOMEM;
    return r < 0 ? (struct dir_pinned){ .fd = r } : dir_pinned(node);
}

/* It was moved away, or back. */
static void forget_place(struct plan_dir *dir, bool after) {
    struct dir *node = dir ? after ? dir->to_at : dir->from_at : NULL;
    if (node)
        dir_forget(node);
    if (dir)
        *(after ? &dir->to_checked : &dir->from_checked) = false;
}

bool work_is_lost(struct plan_dir *dir) {
    for (const struct plan_dir *at = dir; at && !dir->lost; at = at->to_parent)
        dir->lost = at->lost;
    return dir->lost;
}

int work_live(const struct work *work, int64_t dir, const char *name, struct live_entry *ret, struct snap_err *err) {
    return work->project->workspace ? 0 : live_find(work->store, dir, name, ret, err);
}

int work_known(struct work *work, struct plan_row *row, struct snap_err *err) {
    if (row->looked_up)
        return 0;
    struct live_entry known = {0};
    int r = row->dir ? identify(work, row->dir) : 0;
    bool unknown = row->dir && (row->dir->clone || row->dir->foreign);
    if (r >= 0)
        r = unknown ? 0 : work_live(work, row->dir ? row->dir->id : 0, row->name, &known, err);
    if (r < 0)
        return r;
    row->known = known;
    row->known.name = r > 0 ? row->name : NULL;
    row->looked_up = true;
    return 0;
}

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

static void remember(struct work *work, enum step_kind kind, bool after, struct plan_row *row) {
    work->steps[work->steps_count++] = (struct step){ kind, after, row };
}

static int rename_flags(int from, const char *old, int to, const char *new, unsigned flags) {
    return renameat2(from, old, to, new, flags) < 0 ? -errno : 0;
}

static bool is_missing(int code) {
    return code == -EINVAL || code == -ENOSYS;
}

/* Puts it where nothing is. Where the kernel cannot promise that, a file is linked, which can; a directory replaces at
 * most an empty one. */
static int put(int from, const char *old, int to, const char *new) {
    int r = rename_flags(from, old, to, new, RENAME_NOREPLACE);
    if (!is_missing(r))
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
    return errno == ENOENT ? rename_flags(from, old, to, new, 0) : -errno;
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
        r = rename_flags(place_of(work, row)->at, staged_new(row).text, at.fd, row->name, RENAME_EXCHANGE);
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
static int back_one(struct work *work) {
    struct step *step = &work->steps[work->steps_count - 1];
    int r = back(work, step);
    if (r < 0)
        return r;
    forget_place(step->row->leaves, false);
    forget_place(step->row->arrives, true);
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
            r = back_one(work);
        if (r >= 0)
            continue;
        if (!is_change(r))
            return fatal(row, r, "put back", err);
        /* Something new stands there: it stays, and what was there is in the snapshot taken before. */
        work_leave(work, row, "was made by somebody else meanwhile; what was there before is in the newest snapshot");
        work->steps_count--;
        failed++;
    }
    return swap_finish(work, false, err);
}

/* Out of the way. */

/* Looks at what was displaced: nobody reaches it by a name any more. */
static bool was_changed(struct work *work, const struct plan_row *row, int dirfd, const char *name, const struct statx *before, bool sure) {
    struct statx stat;
    if (hook("transition.look", row->name) < 0 || (!work->force && S_ISREG(before->stx_mode) && inspect_is_written(dirfd, name)))
        return true;
    if (fs_statx(dirfd, name, &stat) < 0 || !inspect_stayed(before, &stat))
        return true;
    return !sure && inspect_content(dirfd, name, row->before) != 1;
}

/* The displaced entry is not what the index says: it goes back. */
static int undo_changed(struct work *work, struct plan_row *row, struct snap_err *err) {
    if (!work->recovering)
        return changed(work, row, err);   /* all is taken back, this too */
    int r = back_one(work);
    return r < 0 ? fatal(row, r, "put back", err) : changed(work, row, err);
}

static int displace_file(struct work *work, struct plan_row *row, bool after, int fd, const struct statx *stat, bool sure,
                         struct snap_err *err) {
    struct staged_name old = staged_old(row);
    int r = reserve(work);
    if (r >= 0)
        r = swap_touch(row->dir, fd);
    if (r >= 0)
        r = hook("transition.displace", row->name);
    if (r >= 0)
        r = rename_flags(fd, row->name, place_of(work, row)->at, old.text, 0);
    if (r < 0)
        return judge(work, row, r, "remove", err);
    remember(work, STEP_DISPLACED, after, row);
    row->cleared = true;
    return was_changed(work, row, place_of(work, row)->at, old.text, stat, sure) ? undo_changed(work, row, err) : 0;
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
        return r < 0 ? fatal(row, r, "look at", err) : 0;
    if (object_is_dir(heir->after))
        row->cleared = true;              /* made already, it is filled when its turn comes */
    else
        r = displace_file(work, row, false, fd, &stat, true, err);
    return r < 0 ? r : 1;
}

/* After a crash: an entry that is not as it was before. */
static int already(struct work *work, struct plan_row *row, int fd, enum inspected found, struct snap_err *err) {
    if (found == INSPECT_ABSENT) {
        row->cleared = true;
        return 0;
    }
    int r = displace_heir(work, row, fd, err);
    if (r != 0)
        return MIN(r, 0);
    r = row->after ? inspect_entry(fd, row->name, row->after, NULL, NULL, NULL) : 0;
    if (r < 0)
        return fatal(row, r, "look at", err);
    if (r == INSPECT_SAME)
        row->state = PLAN_DONE;
    else
        work_leave(work, row, "was changed by somebody else since and stays as it is");
    return 0;
}

static int clear_file(struct work *work, struct plan_row *row, bool after, struct snap_err *err) {
    _pinned_ struct dir_pinned at = work_pin(work, row->dir, after);
    struct statx stat;
    bool sure = false;
    int r = at.fd < 0 ? at.fd : work_known(work, row, err);
    if (r >= 0)
        r = inspect_entry(at.fd, row->name, row->before, &row->known, &stat, &sure);
    if (r < 0 && work->recovering && is_change(r)) {
        row->cleared = true;
        return 0;
    }
    if (r < 0)
        return judge(work, row, r, "look at", err);
    if (r == INSPECT_SAME)
        return displace_file(work, row, after, at.fd, &stat, sure, err);
    return work->recovering ? already(work, row, at.fd, r, err) : changed(work, row, err);
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
        remember(work, STEP_REMOVED, false, row);
        forget_place(row->leaves, false);
        row->cleared = true;
        return 0;
    }
    if (errno != ENOTEMPTY && errno != EEXIST)
        return judge(work, row, -errno, "remove", err);
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
        return judge(work, row, rest, "remove", err);
    if (rest != LEFT_NOTHING && row->arrives && row->arrives->instead_of == dir) {
        if (rest == LEFT_OTHER)
            tell_row_failed(work, row, "keeps something in it that the snapshot does not have");
        row->arrives->adopted = row->cleared = true;
        return 0;
    }
    if (rest != LEFT_NOTHING) {
        tell_kept(work, row, rest);
        return 0;
    }
    int r = reserve(work);
    if (r >= 0)
        r = swap_touch(row->dir, fd);
    if (r >= 0)
        r = hook("transition.displace", row->name);
    if (r >= 0)
        r = rename_flags(fd, row->name, place_of(work, row)->at, staged_old(row).text, 0);
    if (r == -EXDEV)
        return remove_empty(work, row, fd, err);
    if (r < 0)
        return judge(work, row, r, "remove", err);
    remember(work, STEP_DISPLACED, false, row);
    forget_place(dir, false);
    row->cleared = true;
    _close_ int gone = openat(place_of(work, row)->at, staged_old(row).text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    rest = gone < 0 ? -errno : look_for_rest(work, dir, gone);
    if (rest == LEFT_NOTHING)
        return 0;
    if ((r = back_one(work)) < 0)
        return fatal(row, r, "put back", err);
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
        r = reserve(work);
    if (r >= 0)
        r = swap_touch(row->dir, fd);
    if (r >= 0)
        r = hook("transition.displace", row->name);
    if (r >= 0)
        r = rename_flags(fd, row->name, place_of(work, row)->root, staged_dir(dir).text, RENAME_NOREPLACE);
    if (is_missing(r))
        r = rename_flags(fd, row->name, place_of(work, row)->root, staged_dir(dir).text, 0);
    if (r < 0)
        return judge(work, row, r, "move", err);
    remember(work, STEP_DISPLACED, false, row);
    forget_place(dir, false);
    row->cleared = true;
    return 0;
}

static int clear_dir(struct work *work, struct plan_row *row, struct snap_err *err) {
    _pinned_ struct dir_pinned at = work_pin(work, row->dir, false);
    int r = at.fd < 0 ? at.fd : work_known(work, row, err);
    if (r >= 0)
        r = inspect_entry(at.fd, row->name, row->before, &row->known, NULL, NULL);
    if (work->recovering && (is_change(r) || r == INSPECT_ABSENT || r == INSPECT_OTHER)) {
        row->cleared = true;
        return r == INSPECT_OTHER && !plan_dir_moves(row->leaves) ? MIN(displace_heir(work, row, at.fd, err), 0) : 0;
    }
    if (r < 0)
        return judge(work, row, r, "look at", err);
    if (r != INSPECT_SAME)
        return changed(work, row, err);
    return plan_dir_moves(row->leaves) ? displace_moving(work, row, at.fd, err) : displace_empty(work, row, at.fd, err);
}

/* Into its place. */

static int place(struct work *work, struct plan_row *row, int fd, struct snap_err *err) {
    int r = reserve(work);
    if (r >= 0)
        r = swap_touch(row->dir, fd);
    if (r >= 0)
        r = hook("transition.place", row->name);
    if (r >= 0)
        r = put(place_of(work, row)->at, staged_new(row).text, fd, row->name);
    if (r < 0)
        return judge(work, row, r, "restore", err);
    remember(work, STEP_PLACED, true, row);
    row->state = PLAN_DONE;
    return 0;
}

/* The new one and the old one change places in one step, so that the name never is without a file. */
static int exchange(struct work *work, struct plan_row *row, int fd, const struct statx *stat, bool sure, struct snap_err *err) {
    struct staged_name new = staged_new(row);
    int r = reserve(work);
    if (r >= 0)
        r = swap_touch(row->dir, fd);
    if (r >= 0)
        r = hook("transition.exchange", row->name);
    if (r >= 0)
        r = rename_flags(place_of(work, row)->at, new.text, fd, row->name, RENAME_EXCHANGE);
    if (is_missing(r)) {
        r = displace_file(work, row, true, fd, stat, sure, err);
        return r < 0 || row->state != PLAN_TODO ? r : place(work, row, fd, err);
    }
    if (r < 0)
        return judge(work, row, r, "replace", err);
    remember(work, STEP_EXCHANGED, true, row);
    if (was_changed(work, row, place_of(work, row)->at, new.text, stat, sure))
        return undo_changed(work, row, err);
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
        return judge(work, row, r, "look at", err);
    if (r == INSPECT_SAME)
        return exchange(work, row, fd, &stat, sure, err);
    if (!work->recovering)
        return changed(work, row, err);
    r = already(work, row, fd, r, err);
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
        return judge(work, row, r, "look at", err);
    if (r != INSPECT_SAME)
        return changed(work, row, err);
    if (row->how == PLAN_META) {
        if ((r = reserve(work)) >= 0 && (r = hook("transition.meta", row->name)) >= 0) {
            remember(work, STEP_META, true, row);
            r = meta_apply(fd, row->name, &row->after->meta, 0, &missing);
            if (r == -EROFS)
                work->steps_count--;      /* nothing was done, and nothing could be taken back */
        }
        if (r < 0)
            return judge(work, row, r, "change", err);
        work_missing(work, row, missing);
    }
    row->state = PLAN_DONE;
    return 0;
}

/* 1 = a directory that was on its way stands here already. */
static int has_arrived(struct work *work, struct plan_row *row, int fd) {
    struct statx stat;
    struct fingerprint print;
    int r = identify(work, row->arrives);
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
            return judge(work, row, r, "look at", err);
        if (r > 0)
            row->state = PLAN_DONE;
        else
            work_leave(work, row, "cannot be moved here, because the directory could not be moved away from its place");
        return 0;
    }
    int r = reserve(work);
    if (r >= 0)
        r = swap_touch(row->dir, fd);
    if (r >= 0)
        r = hook("transition.place", row->name);
    if (r >= 0)
        r = put(from, staged_dir(dir).text, fd, row->name);
    if (r == -EEXIST && work->recovering) {
        r = put_beside(work, row, dir, from, fd);
        return r < 0 ? fatal(row, r, "put back", err) : 0;
    }
    if (r < 0)                            /* it must not stay where it is now */
        return is_change(r) ? changed(work, row, err) : fatal(row, r, "move", err);
    remember(work, STEP_PLACED, true, row);
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
    int r = reserve(work);
    if (r >= 0)
        r = swap_touch(row->dir, fd);
    if (r >= 0)
        r = hook("transition.make", row->name);
    if (r >= 0 && mkdirat(fd, row->name, 0700) < 0)
        r = -errno;
    struct stat stat;
    if (r == -EEXIST && work->recovering && fstatat(fd, row->name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(stat.st_mode))
        r = 0;
    else if (r == -EEXIST)
        r = swap_stands(work, row, fd) > 0 ? 0 : r;
    else if (r >= 0)
        remember(work, STEP_MADE, true, row);
    if (r < 0)
        return judge(work, row, r, "make", err);
    row->state = PLAN_DONE;
    return 0;
}

static int fill_row(struct work *work, struct plan_row *row, struct snap_err *err) {
    if (work_is_lost(row->dir)) {
        work_leave(work, row, "cannot be restored, because its directory could not");
        return 0;
    }
    if (row->how == PLAN_DIR && row->before && !row->leaves && !row->cleared) {
        int r = clear_file(work, row, true, err);
        if (r < 0 || row->state != PLAN_TODO)
            return r;
    }
    if (in_the_way(work, row) && !(row->how == PLAN_DIR && row->arrives->instead_of)) {
        work_leave(work, row, "cannot be restored, because something stays in its place");
        return 0;
    }
    _pinned_ struct dir_pinned at = work_pin(work, row->dir, true);
    if (at.fd < 0)
        return judge(work, row, at.fd, "reach", err);
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
    int r = row->leaves ? clear_dir(work, row, err) : clear_file(work, row, false, err);
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
        return fatal(row, r, "move", err);
    remember(work, STEP_RETURNED, false, row);
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
    return dir->opened_up ? change_mode(fd, dir->mode) : 0;
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
    if (!is_change(r) && !is_about_path(r))
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
