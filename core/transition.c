/* The protocol by which the project is made equal to a snapshot.
 *
 *     plan      what differs, from the index (plan.c)
 *     validate  each path is what the state before says, and nobody is writing it; else nothing is done
 *     begin     the operation is in the log, durably
 *     stage     whatever is new is built, out of sight (places.c, staging.c)
 *     mark      from here on something may have changed; all that was built is on disk
 *     swap      each path in turn, checked again, can be taken back (swap.c)
 *     settle    all is on disk; the operation is done and the live index follows, in one transaction (settle.c)
 *
 * Stopped before the mark, nothing has happened. Stopped after it, the next command goes on: each path is found as it was
 * before, as it shall be, or on its way in the staging directory. Where going on is impossible everything is put back.
 * Never removes a displaced file before the commit. SPDX-License-Identifier: GPL-2.0-or-later */
#include "applied.h"
#include "transition.h"
#include "fs.h"
#include "here.h"
#include "hook.h"
#include "restore.h"
#include "take.h"
#include "work.h"
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* An operation's new_text: all is done, or put back, but for what lies in the project for staging. */
#define SETTLED "settled"
#define PUT_BACK "put back"

static void work_done(struct work *work) {
    for (size_t i = 0; i < work->relinked_count; i++)
        free(work->relinked[i].name);
    free(work->relinked);
    free(work->steps);
    map_free(work->groups, NULL);
    staging_close(&work->staging);
    plan_free(work->plan);
    dirs_close(work->tree);
}
#define _work_ _cleanup_(work_done)

static struct work work_new(struct snap_project *project, int64_t before, int64_t after) {
    return (struct work){ .project = project, .store = project->store, .staging = { .store = -1 },
                          .from = { project_line(project), before }, .to = { project_line(project), after } };
}

enum { OPEN_DIRECTORIES = 256, LAYOUT_MATTERS = 64 * 1024 };

static int work_open(struct work *work, const struct plan_request *request, struct snap_err *err) {
    int r = plan_make(work->project, request, &work->plan, err);
    if (r < 0)
        return r;
    work->groups = map_new();
    if (!work->groups)
        return err_nomem(err);
    r = dirs_open(work->project->root, OPEN_DIRECTORIES, &work->tree);
    return r < 0 ? err_path(err, r, work->project->info.root, "open") : 0;
}

/* Deciding. */

static void tell_row(struct work *work, struct plan_row *row, enum snap_notice kind, const char *text) {
    _buf_ struct buf path = {0};
    plan_row_path(row, !row->before, &path);
    project_notice(work->project, kind, path.failed || !path.data ? "" : path.data, "%s", text);
}

static void refuse(struct work *work, struct plan_row *row, const char *text) {
    row->state = PLAN_FAILED;
    tell_row(work, row, SNAP_NOTICE_FAILED_PATH, text);
}

static bool is_unread(const struct object *object) {
    return object && object->flags & OBJECT_UNREAD;
}

static bool same_content(const struct object *before, const struct object *after) {
    const struct meta *a = &before->meta, *b = &after->meta;
    if ((a->mode ^ b->mode) & S_IFMT || is_unread(before) || is_unread(after))
        return false;
    if (S_ISREG(a->mode))
        return a->size == b->size && (!a->size || digest_equal(&before->digest, &after->digest));
    return !(meta_differs(a, b) & (SNAP_WHAT_TARGET | SNAP_WHAT_DEVICE));
}

static bool is_file_to_file(const struct plan_row *row) {
    return row->before && row->after && !object_is_dir(row->before) && !object_is_dir(row->after);
}

bool work_looks_same(const struct plan_row *row) {
    return is_file_to_file(row) && same_content(row->before, row->after) && meta_equal(&row->before->meta, &row->after->meta);
}

/* How many names go from this object to that one, and how many each has; asked for once, however many there are. */
struct pair { int64_t before, after; };
struct pair_names { size_t count; bool asked, all; };

static int count_pairs(struct work *work, struct map *pairs, struct snap_err *err) {
    for (size_t i = 0; i < work->plan->count; i++) {
        const struct plan_row *row = &work->plan->rows[i];
        if (!is_file_to_file(row) || !same_content(row->before, row->after))
            continue;
        struct pair key = { row->before->id, row->after->id };
        struct pair_names *names = map_get(pairs, &key, sizeof(key));
        if (names) {
            names->count++;
            continue;
        }
        if (!(names = calloc(1, sizeof(*names))))
            return err_nomem(err);
        names->count = 1;
        if (map_put(pairs, &key, sizeof(key), names, NULL) < 0) {
            free(names);
            return err_nomem(err);
        }
    }
    return 0;
}

static int ask_for_names(struct work *work, const struct plan_row *row, struct pair_names *names, struct snap_err *err) {
    int64_t before = index_links(work->store, work->from, row->before->id, err);
    int64_t after = before < 0 ? before : index_links(work->store, work->to, row->after->id, err);
    if (after < 0)
        return (int)after;
    names->all = before == (int64_t)names->count && after == (int64_t)names->count;
    names->asked = true;
    return 0;
}

/* The inode may stay if all its names stay its names. 1, 0 or a negative errno. */
static int stays_one_inode(struct work *work, const struct map *pairs, struct plan_row *row, struct snap_err *err) {
    struct pair key = { row->before->id, row->after->id };
    struct pair_names *names = map_get(pairs, &key, sizeof(key));
    if (!names)
        return 0;
    int r = names->asked ? 0 : ask_for_names(work, row, names, err);
    row->links = (uint32_t)names->count;
    return r < 0 ? r : names->all;
}

/* Blocks that a stored content takes; -1: it cannot be told. */
static int64_t blocks_of(struct work *work, const struct object *object) {
    struct snap_err ignored = {0};
    struct stat stat;
    _close_ int fd = project_open_content(work->project, object, &ignored);
    return fd < 0 || fstat(fd, &stat) < 0 ? -1 : stat.st_blocks;
}

/* Equal bytes may still lie differently: with holes, or without. Where that can make a difference, the file is made anew. */
static bool same_layout(struct work *work, const struct plan_row *row) {
    const struct object *before = row->before, *after = row->after;
    if (!S_ISREG(after->meta.mode) || after->meta.size < LAYOUT_MATTERS || before->content == after->content)
        return true;
    int64_t had = blocks_of(work, before), has = blocks_of(work, after);
    return had < 0 || has < 0 || had == has;
}

static int decide_file(struct work *work, const struct map *pairs, struct plan_row *row, struct snap_err *err) {
    if (is_unread(row->after)) {
        refuse(work, row, row->after->flags & OBJECT_LOST ? "cannot be restored, because what the store had of it was damaged and is lost"
               : "cannot be restored, because it could not be read when the snapshot was taken");
        return 0;
    }
    row->how = PLAN_FILL;
    if (!is_file_to_file(row))
        return 0;
    int r = stays_one_inode(work, pairs, row, err);
    if (r > 0 && same_layout(work, row))
        row->how = meta_equal(&row->before->meta, &row->after->meta) ? PLAN_KEEP : PLAN_META;
    return MIN(r, 0);
}

static int decide_row(struct work *work, const struct map *pairs, struct plan_row *row, struct snap_err *err) {
    bool stays = row->leaves ? plan_dir_moves(row->leaves) : row->before && object_is_dir(row->before);
    if (is_unread(row->before) && !stays) {
        refuse(work, row, row->before->flags & OBJECT_LOST ? "stays as it is, because what was saved of it is lost"
               : "stays as it is, because it could not be read and so was not saved before");
        return 0;
    }
    if (row->after && !object_is_dir(row->after))
        return decide_file(work, pairs, row, err);
    row->how = !row->after ? PLAN_CLEAR : row->arrives ? PLAN_DIR : PLAN_META;
    if (row->arrives && !row->arrives->in_from && is_unread(row->after))
        tell_row(work, row, SNAP_NOTICE_FAILED_PATH, "is restored without what was in it, which could not be read when the snapshot was taken");
    return 0;
}

static int decide(struct work *work, struct snap_err *err) {
    struct map *pairs = map_new();
    int r = pairs ? count_pairs(work, pairs, err) : err_nomem(err);
    for (size_t i = 0; r == 0 && i < work->plan->count; i++)
        r = decide_row(work, pairs, &work->plan->rows[i], err);
    map_free(pairs, free);
    return r;
}

/* Validating. */

struct writers { struct buf first; size_t count; struct buf path; };

static void writers_done(struct writers *writers) {
    buf_done(&writers->first);
    buf_done(&writers->path);
}
#define _writers_ _cleanup_(writers_done)

static void note_writer(struct writers *writers, struct plan_row *row, int fd) {
    struct stat stat;
    if (writers->count++ == 0 && fstatat(fd, row->name, &stat, AT_SYMLINK_NOFOLLOW) == 0) {
        fs_who_writes(&stat, &writers->first);
        plan_row_path(row, false, &writers->path);
    }
}

static int refuse_writers(const struct writers *writers, struct snap_err *err) {
    const char *path = writers->path.failed || !writers->path.data ? "" : writers->path.data;
    _buf_ struct buf more = {0};
    if (writers->count > 1)
        buf_fmt(&more, ", and so are %zu other files", writers->count - 1);
    const char *who = writers->first.size && !writers->first.failed ? writers->first.data : "another process";
    err_path(err, -ETXTBSY, path, "go back: it is open for writing by %s%s:", who, more.data ? more.data : "");
    return err_hint(err, "end that program, or go on with --force: what it writes afterwards goes into a file that has no name any more");
}

static bool displaces_file(const struct plan_row *row) {
    return row->before && S_ISREG(row->before->meta.mode)
        && (row->how == PLAN_FILL || row->how == PLAN_CLEAR || row->how == PLAN_DIR);
}

/* A directory's own metadata, times aside: those change with what is in it. */
static int is_dir_as_before(const struct plan_row *row, int fd) {
    struct statx stat;
    _meta_ struct meta meta = {0};
    int r = fs_statx(fd, "", &stat);
    if (r < 0 || (r = meta_read(fd, "", -1, &stat, &meta)) < 0)
        return r;
    unsigned ignored = SNAP_WHAT_TIME;
    const struct live_entry *known = &row->known;
    if (known->name && known->object == row->before->id && known->print.mode == stat.stx_mode
        && known->print.uid == stat.stx_uid && known->print.gid == stat.stx_gid)
        ignored |= SNAP_WHAT_OWNER | SNAP_WHAT_MODE;      /* what could not be given to it then is no change since */
    return !(meta_differs(&meta, &row->before->meta) & ~ignored)
        || (row->self && !(meta_differs(&meta, &row->after->meta) & ~ignored));
}

/* What the path is now. 1 = as before, 0 = something else, 2 = as after already. */
enum { NOW_OTHER = 0, NOW_BEFORE = 1, NOW_AFTER = 2 };

static int state_now(struct work *work, struct plan_row *row, int fd, struct snap_err *err) {
    /* Where the present was captured just now, a directory that goes may be as it likes. */
    struct plan_dir *dir = row->self ? row->self : work->tolerant ? row->leaves : NULL;
    int r = work_known(work, row, err);
    if (r < 0)
        return r;
    if (dir) {
        _pinned_ struct dir_pinned at = work_pin(work, dir, false);
        if (at.fd == -EACCES && geteuid() != 0)
            return at.fd;
        if (at.fd >= 0 || row->self)
            return at.fd < 0 ? (int)NOW_OTHER : is_dir_as_before(row, at.fd);
    }
    const struct object *expected = row->before ? row->before : row->after;
    struct statx stat;
    r = inspect_entry(fd, row->name, expected, &row->known, &stat, NULL);
    if (r < 0)
        return r;
    if (r != INSPECT_ABSENT && (row->how == PLAN_META || row->how == PLAN_KEEP) && stat.stx_nlink != row->links)
        row->how = PLAN_FILL;             /* it has names that no snapshot knows */
    if (row->before ? r == INSPECT_SAME : r == INSPECT_ABSENT)
        return NOW_BEFORE;
    int stands = row->before ? 0 : swap_stands(work, row, fd);
    if (stands != 0)
        return stands < 0 ? stands : (int)NOW_BEFORE;
    if (!row->after)
        return r == INSPECT_ABSENT && !(row->leaves && plan_dir_moves(row->leaves)) ? NOW_AFTER : NOW_OTHER;
    if (row->before)
        r = inspect_entry(fd, row->name, row->after, &row->known, NULL, NULL);
    return r < 0 ? r : r == INSPECT_SAME && !object_is_dir(row->after) ? NOW_AFTER : NOW_OTHER;
}

static int validate_row(struct work *work, struct plan_row *row, struct writers *writers, struct snap_err *err) {
    if (row->dir && !row->dir->in_from)
        return 0;
    _pinned_ struct dir_pinned at = { .fd = work->project->root };
    if (row->dir)
        at = work_pin(work, row->dir, false);
    bool hidden = at.fd == -EACCES;       /* in a directory that may not be searched: it is looked at when that is opened up */
    int now = hidden ? (int)NOW_BEFORE : at.fd < 0 ? work->tolerant && !row->after ? (int)NOW_AFTER : (int)NOW_OTHER
        : state_now(work, row, at.fd, err);
    if (now == -EACCES && geteuid() != 0)
        now = NOW_BEFORE;
    if (now < 0)
        return err && err->code ? now : err_path(err, now, row->name, "look at");
    if (now == NOW_AFTER && work->tolerant) {
        row->how = PLAN_KEEP;
        row->state = PLAN_DONE;
    } else if (now != NOW_BEFORE)
        work_conflict(work, row, work->tolerant ? "was changed since" : "was changed by somebody else while the command ran");
    else if (!work->force && displaces_file(row) && inspect_is_written(at.fd, row->name))
        note_writer(writers, row, at.fd);
    return 0;
}

/* Where a directory takes the place of this one, those in it that stayed for what is left out are looked at in their turn. */
static bool comes_as_directory(const struct work *work, const struct plan_dir *dir, const char *name) {
    const struct plan_row *row = dir->replaced_by ? plan_find(work->plan, dir->replaced_by, name) : NULL;
    return row && row->after && object_is_dir(row->after);
}

/* Something new in a directory that would go is a conflict as well, where the present was not captured just now. */
static int validate_inside(struct work *work, struct plan_dir *dir) {
    _pinned_ struct dir_pinned at = work_pin(work, dir, false);
    if (at.fd < 0)
        return 0;
    _buf_ struct buf base = {0};
    plan_dir_path(dir, false, &base);
    int copy = openat(at.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *list = copy < 0 ? NULL : fdopendir(copy);
    if (!list)
        return copy < 0 ? errno == EACCES ? 0 : -errno : -ENOMEM;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(list)); errno = 0) {
        _buf_ struct buf path = {0};
        buf_fmt(&path, "%s%s%s", base.data ? base.data : "", base.size ? "/" : "", entry->d_name);
        if (path.failed || base.failed)
            return -ENOMEM;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || plan_find(work->plan, dir, entry->d_name)
            || comes_as_directory(work, dir, entry->d_name)
            || plan_excludes(work->plan, path.data, entry->d_type == DT_DIR))
            continue;
        work->conflicts++;
        project_notice(work->project, SNAP_NOTICE_CONFLICT, path.data, "was made since, in a directory that would be removed");
    }
    return -errno;
}

static int validate(struct work *work, struct snap_err *err) {
    _writers_ struct writers writers = {0};
    struct plan *plan = work->plan;
    for (size_t i = 0; i < plan->count; i++) {
        int r = plan->rows[i].state == PLAN_TODO ? validate_row(work, &plan->rows[i], &writers, err) : 0;
        if (r < 0)
            return r;
    }
    for (size_t i = 0; work->tolerant && i < plan->dirs_count; i++) {
        struct plan_dir *dir = plan->dirs[i];
        int r = !dir->in_to && !dir->optional && dir->from_row && dir->from_row->state == PLAN_TODO ? validate_inside(work, dir) : 0;
        if (r < 0)
            return err_path(err, r, dir->from_name, "list");
    }
    if (work->conflicts) {
        err_set(err, -EBUSY, "%" PRIu64 " path%s changed %s; nothing was written", work->conflicts, work->conflicts == 1 ? " was" : "s were",
                work->tolerant ? "since that operation" : "while the command ran");
        if (work->tolerant)
            err_hint(err, "--force takes a snapshot of them first and then goes on");
        return err ? err_failure(err, SNAP_FAILURE_CONFLICT) : -EBUSY;
    }
    return writers.count ? refuse_writers(&writers, err) : 0;
}

/* Log entries. */

static int set_state(struct work *work, const char *state, struct snap_err *err) {
    int r = store_begin(work->store, err);
    if (r < 0)
        return r;
    if ((r = op_set_state(work->store, work->op, state, err)) < 0 || (r = op_clear_temporaries(work->store, work->op, err)) < 0) {
        store_abort(work->store);
        return r;
    }
    return store_commit(work->store, false, err);
}

static int begin(struct work *work, const struct transition_request *request, struct snap_err *err) {
    struct op op = { .kind = (char *)(uintptr_t)request->kind, .state = (char *)(uintptr_t)"begun",
                     .command = (char *)(uintptr_t)work->project->env.command,
                     .before = request->before, .after = request->after, .target = request->target };
    if (!op.target && work->project->workspace)
        op.target = work->project->workspace->id;
    int r = store_begin(work->store, err);
    if (r < 0)
        return r;
    r = op_begin(work->store, &op, request->paths, err);
    if (r == 0 && request->applied)
        r = applied_note(work->project, op.id, request->workspace, request->applied, err);
    if (r < 0) {
        store_abort(work->store);
        return r;
    }
    if ((r = store_commit(work->store, true, err)) < 0)
        return r;
    work->op = op.id;
    return 0;
}

/* Where the project stands after going to `number`: the next snapshot's parent. Safety snapshots are nobody's. */
static int set_parent(struct work *work, int64_t number, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = index_snapshot(work->store, number, &snapshot, err);
    if (r <= 0)
        return r;
    return take_set_parent(work->project, snapshot->flags & SNAPSHOT_AUTO ? snapshot->public.parent : number, err);
}

static const char *state_of_target(const char *kind) {
    return !strcmp(kind, "undo") ? "undone" : !strcmp(kind, "redo") ? "done" : NULL;
}

static int close_op(struct work *work, const char *state, const char *text, struct snap_err *err) {
    return staging_is_outside(&work->staging) ? op_set_texts(work->store, work->op, NULL, text, err)
        : op_set_state(work->store, work->op, state, err);
}

static int record(struct work *work, const struct transition_request *request, struct snap_err *err) {
    const char *state = state_of_target(request->kind);
    int r = work->project->workspace ? 0 : settle_live(work, err);
    if (r >= 0)
        r = left_note(work, err);
    if (r >= 0 && (!request->paths || !*request->paths))
        r = set_parent(work, request->after, err);
    if (r >= 0 && state)
        r = op_set_state(work->store, request->target, state, err);
    if (r < 0)
        return r;
    return close_op(work, "done", SETTLED, err);
}

static int commit(struct work *work, const struct transition_request *request, struct snap_err *err) {
    int r = store_begin(work->store, err);
    if (r < 0)
        return r;
    r = record(work, request, err);
    if (r >= 0 && (r = hook("transition.commit", "")) < 0)
        err_errno(err, r, "stopped before the commit");
    if (r < 0) {
        store_abort(work->store);
        return r;
    }
    return store_commit(work->store, true, err);
}

/* Flushing. */

static int flush(struct work *work, struct snap_err *err) {
    int r = hook("transition.flush", "");
    if (r < 0)
        return err_errno(err, r, "cannot flush the project's file system");
    if (work->project->info.same_file_system || work->project->workspace)      /* whose layer is in the store */
        return store_flush(work->store, err);
    return syncfs(work->project->root) < 0 ? err_errno(err, -errno, "cannot flush the project's file system") : 0;
}

/* Carrying out. */

static int after_hook(const char *point, struct snap_err *err) {
    int r = hook(point, "");
    return r < 0 ? err_errno(err, r, "stopped at %s", point) : 0;
}

static int prepare(struct work *work, struct snap_err *err) {
    int r = after_hook("transition.begun", err);
    if (r < 0 || (!work->recovering && (r = staging_open(work, err)) < 0) || (r = staging_fill(work, err)) < 0
        || (r = after_hook("transition.staged", err)) < 0 || (r = staging_mark(work, err)) < 0 || (r = flush(work, err)) < 0)
        return r;
    return after_hook("transition.marked", err);
}

static int carry_out(struct work *work, struct snap_err *err) {
    work->opens = true;
    int r = swap_all(work, err);
    if (r < 0 || (r = after_hook("transition.swapped", err)) < 0 || (r = swap_finish(work, true, err)) < 0)
        return r;
    work->opens = false;
    return flush(work, err);
}

static int forget(struct work *work, const char *state, struct snap_err *err) {
    int r = staging_remove(work, err);
    return r < 0 ? r : set_state(work, state, err);
}

/* After the commit: nothing of this can fail the operation, and what stays is removed by the next command. */
static void clean_up(struct work *work, const char *state) {
    struct snap_err err = {0};
    if (after_hook("transition.committed", &err) >= 0)
        (void)(staging_is_outside(&work->staging) ? forget(work, state, &err) : staging_remove(work, &err));
}

/* Everything as it was, and the operation with it. The first failure is what the caller hears of. */
static int put_back(struct work *work, struct snap_err *err) {
    struct snap_err why = {0};
    int r = work->staging.store >= 0 ? swap_back(work, &why) : 0;
    if (r >= 0)
        r = forget(work, "failed", &why);
    if (r >= 0)
        return 0;
    return err_hint(err, "putting everything back failed too: %s; the next snapctl command goes on with it", why.message);
}

/* A directory's time follows what is in it: nobody calls that a change of its own. */
static bool is_time_of_directory(const struct plan_row *row) {
    return row->self && !(meta_differs(&row->before->meta, &row->after->meta) & ~(unsigned)SNAP_WHAT_TIME);
}

static void count(struct work *work) {
    for (size_t i = 0; i < work->plan->count; i++) {
        const struct plan_row *row = &work->plan->rows[i];
        if (row->state != PLAN_DONE || row->how == PLAN_KEEP || is_time_of_directory(row))
            continue;
        if (row->after)
            work->restored++;
        else if (!row->leaves || !plan_dir_moves(row->leaves))
            work->removed++;
    }
}

static void fill_result(struct work *work, const struct transition_request *request, uint64_t failed_before, struct snap_rollback_result *ret) {
    count(work);
    ret->to = request->after;
    ret->operation = work->op;
    ret->restored = work->restored;
    ret->removed = work->removed;
    ret->bytes = work->bytes;
    ret->failed = work->project->failed - failed_before;
}

/* Outside of the paths the project is as it was before the operation that is meant. An undo, and a way back, also removes
 * the directories that were made only to hold what came. */
static struct plan_request plan_of(const struct work *work, const struct transition_request *request, bool backwards) {
    bool undo = !strcmp(request->kind, "undo"), also = request->also_before;
    struct plan_request plan = { .from = work->from, .to = work->to, .paths = request->paths,
                                 .prune = undo != backwards, .ground_after = (undo && !also) != backwards };
    if (also) {
        plan.also_from = (struct point){ work->from.line, request->also_before };
        plan.also_to = (struct point){ work->from.line, request->also_after };
    }
    return plan;
}

int transition_run(struct snap_project *project, const struct transition_request *request, struct snap_rollback_result *ret,
                   struct snap_err *err) {
    _work_ struct work work = work_new(project, request->before, request->after);
    struct plan_request plan = plan_of(&work, request, false);
    uint64_t failed = project->failed;
    work.ground = plan.ground_after ? work.to : work.from;
    work.force = request->force;
    work.tolerant = request->target != 0 && !request->also_before;
    int r = work_open(&work, &plan, err);
    if (r >= 0 && work.tolerant)
        r = left_expect(&work, request->target, err);
    if (r < 0 || (r = decide(&work, err)) < 0 || (r = validate(&work, err)) < 0)
        return r;
    if (work.plan->count > 0 || request->target) {
        if ((r = begin(&work, request, err)) < 0)
            return r;
        if ((r = prepare(&work, err)) < 0 || (r = carry_out(&work, err)) < 0 || (r = commit(&work, request, err)) < 0) {
            put_back(&work, err);
            return r;
        }
        clean_up(&work, "done");
    }
    fill_result(&work, request, failed, ret);
    return 0;
}

/* After a crash. */

/* What the directories were like, which the earlier attempt may have changed: as the index says. */
static int found_by_index(struct work *work, struct plan_dir *dir, struct snap_err *err) {
    if (dir->touched || !dir->in_from || !dir->in_to)
        return 0;
    _object_ struct object *object = NULL;
    int64_t parent = dir->from_parent ? dir->from_parent->id : 0;
    int r = index_lookup(work->store, dir->context ? work->ground : work->from, parent, dir->from_parent ? dir->from_name : "", &object, err);
    if (r <= 0)
        return r;
    dir->mode = object->meta.mode;
    dir->mtime = object->meta.mtime;
    dir->touched = dir->opened_up = true;
    return 0;
}

/* Which rows the earlier attempt did, so that others find the inodes they share. */
static int find_done(struct work *work, struct plan_row *row, struct snap_err *err) {
    if (row->state != PLAN_TODO || row->how != PLAN_FILL || work_looks_same(row))
        return 0;
    if (row->dir && row->dir->instead_of && plan_find(work->plan, row->dir->instead_of, row->name))
        return 0;                         /* whose it is, is seen when that one is cleared */
    _pinned_ struct dir_pinned at = work_pin(work, row->dir, true);
    if (at.fd < 0)
        return at.fd == -ENOMEM || at.fd == -EIO ? err_errno(err, at.fd, "cannot look through the project") : 0;
    int r = inspect_entry(at.fd, row->name, row->after, NULL, NULL, NULL);
    if (r != INSPECT_SAME)
        return r < 0 ? err_path(err, r, row->name, "look at") : 0;
    row->state = PLAN_DONE;
    return map_put(work->groups, &row->after->id, sizeof(row->after->id), row, NULL) < 0 ? err_nomem(err) : 0;
}

static int find_progress(struct work *work, struct snap_err *err) {
    for (size_t i = 0; i < work->plan->count; i++) {
        struct plan_row *row = &work->plan->rows[i];
        int r = row->dir ? found_by_index(work, row->dir, err) : 0;
        if (r < 0 || (r = find_done(work, row, err)) < 0)
            return r;
    }
    return 0;
}

static int commit_back(struct work *work, struct snap_err *err) {
    int r = store_begin(work->store, err);
    if (r < 0)
        return r;
    r = work->project->workspace ? 0 : settle_live(work, err);
    if (r >= 0 && (r = close_op(work, "failed", PUT_BACK, err)) >= 0)
        return store_commit(work->store, true, err);
    store_abort(work->store);
    return r;
}

/* `backwards`: to what was before. 0, or the operation stays begun. */
static int go_on(struct snap_project *project, const struct op *op, const struct transition_request *request, bool backwards, struct snap_err *err) {
    struct transition_request there = *request;
    if (backwards) {
        there.before = request->after;
        there.after = request->before;
    }
    _work_ struct work work = work_new(project, there.before, there.after);
    struct plan_request plan = plan_of(&work, &there, backwards);
    work.op = op->id;
    work.recovering = work.opens = true;
    work.ground = plan.ground_after ? work.to : work.from;
    int r = work_open(&work, &plan, err);
    if (r < 0 || (r = decide(&work, err)) < 0)
        return r;
    struct dir_pinned root = work_pin(&work, work.plan->root, false);
    if (root.fd < 0)
        return err_path(err, root.fd, project->info.root, "open");
    dir_unpin(root.dir);
    if ((r = found_by_index(&work, work.plan->root, err)) < 0 || (r = staging_open(&work, err)) < 0 || (r = find_progress(&work, err)) < 0)
        return r;
    if ((r = prepare(&work, err)) < 0 || (r = carry_out(&work, err)) < 0) {
        (void)swap_back(&work, NULL);
        return r;
    }
    if ((r = backwards ? commit_back(&work, err) : commit(&work, request, err)) < 0)
        return r;
    clean_up(&work, backwards ? "failed" : "done");
    return 0;
}

/* An undo that was forced started from another state than the operation had left. */
static int request_of(struct snap_project *project, const struct op *op, char **paths, struct transition_request *ret, struct snap_err *err) {
    *ret = (struct transition_request){ .kind = op->kind, .before = op->before, .after = op->after, .target = op->target,
                                        .paths = (const char *const *)paths };
    _op_ struct op *target = NULL;
    if (!state_of_target(op->kind))
        ret->target = 0;
    int r = op->target && state_of_target(op->kind) ? op_get(project->store, op->target, &target, err) : 0;
    if (r <= 0)
        return r;
    bool undo = !strcmp(op->kind, "undo");
    int64_t left = undo ? target->after : target->before;
    if (op->before == left)
        return 0;
    ret->also_before = left;
    ret->also_after = op->after;
    return 0;
}

static int finish(struct snap_project *project, struct op *op, struct snap_err *err) {
    _work_ struct work work = work_new(project, op->before, op->after);
    work.op = op->id;
    if (op->new_text && !strcmp(op->new_text, SETTLED))
        return forget(&work, "done", err);
    if (op->new_text && !strcmp(op->new_text, PUT_BACK))
        return forget(&work, "failed", err);
    if (!staging_marked(&work)) {
        int r = forget(&work, "failed", err);
        if (r >= 0)
            project_notice(project, SNAP_NOTICE_RECOVERED, NULL, "the %s of operation %" PRId64
                           " had been cut short before it changed anything; it was cleaned up", op->kind, op->id);
        return r;
    }
    _op_paths_ char **paths = NULL;
    struct transition_request request;
    int r = op_paths(project->store, op->id, &paths, err);
    if (r < 0 || (r = request_of(project, op, paths, &request, err)) < 0)
        return r;
    r = go_on(project, op, &request, false, err);
    if (r >= 0) {
        project_notice(project, SNAP_NOTICE_RECOVERED, NULL, "the %s of operation %" PRId64 " had been cut short; it was finished",
                       op->kind, op->id);
        return 0;
    }
    struct snap_err why = {0};
    if (r == -ECANCELED || go_on(project, op, &request, true, &why) < 0)
        return err ? err_wrap(err, "operation %" PRId64 " (%s) was cut short and cannot be finished", op->id, op->kind) : r;
    project_notice(project, SNAP_NOTICE_RECOVERED, NULL, "the %s of operation %" PRId64
                   " had been cut short and could not be finished (%s); everything was put back", op->kind, op->id, err ? err->message : "");
    if (err)
        *err = (struct snap_err){0};
    return 0;
}

/* The operation itself, or the one that an undo or redo means. */
static int recover_here(struct snap_project *project, struct op *op, const char *kind, struct snap_err *err) {
    if (!strcmp(kind, "rollback") || !strcmp(kind, "apply"))
        return finish(project, op, err);
    if (!strcmp(kind, "restore"))
        return restore_recover(project, op, err);
    _work_ struct work work = work_new(project, op->before, op->after);     /* others are one transaction: none has begun */
    work.op = op->id;
    return forget(&work, "failed", err);
}

/* One of a workspace waits until that is mounted where we can reach it. */
static int recover(struct snap_project *project, struct op *op, struct snap_err *err) {
    _op_ struct op *target = NULL;
    int r = op->target && state_of_target(op->kind) ? op_get(project->store, op->target, &target, err) : 0;
    if (r < 0)
        return r;
    const struct op *meant = target ? target : op;
    int64_t workspace = !strcmp(meant->kind, "rollback") ? meant->target : 0;
    if (!workspace)
        return recover_here(project, op, meant->kind, err);
    struct visit visit;
    if ((r = here_visit(project, workspace, &visit, err)) <= 0)
        return r;
    r = recover_here(project, op, meant->kind, err);
    here_leave(project, &visit);
    return r;
}

int transition_recover(struct snap_project *project, struct snap_err *err) {
    for (int64_t after = 0;;) {
        _op_ struct op *op = NULL;
        int r = op_unfinished(project->store, after, &op, err);
        if (r <= 0 || (r = recover(project, op, err)) < 0)
            return r;
        after = op->id;
    }
}
