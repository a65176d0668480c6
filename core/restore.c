/* `restore`: a past file or tree copied elsewhere, as an operation that can be undone, redone and finished after a crash.
 *
 * The copy is built beside its destination, under a name that the operation knows (old_text), then takes the
 * destination's name (new_text) in one rename. What was there goes to STORE/held/<op>, or stays beside where the store is
 * on another file system; from then on old_text says where. Never removes what it displaced, nor anything that it cannot
 * show to be what it made itself. SPDX-License-Identifier: GPL-2.0-or-later */
#include "restore.h"
#include "build.h"
#include "fs.h"
#include "hook.h"
#include "spot.h"
#include "take.h"
#include "tree.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define HELD "held"            /* in the store: what restores displaced */
#define MARK "swapping"        /* in work/op-<id>: the inode that was built; made before anything is renamed. No device
                                * number, which may be another one after a reboot: all names are in one directory. */
#define OLD ".replaced"        /* ends the name under which the displaced tree waits beside */

struct restoring {
    struct snap_project *project;
    struct store *store;
    int64_t op;
    struct spot dest;
    char *temporary;                      /* name beside dest, of what is built or taken away */
    char *old;                            /* of what is displaced */
    bool overwrite;                       /* what has the name may be displaced */
    bool marked;
    uint64_t ino;                         /* of what was built; 0: nothing was */
};

static void restoring_done(struct restoring *restoring) {
    spot_done(&restoring->dest);
    free(restoring->temporary);
    free(restoring->old);
}
#define _restoring_ _cleanup_(restoring_done)

/* Places. */

static bool exists(int dirfd, const char *name) {
    struct stat stat;
    return fstatat(dirfd, name, &stat, AT_SYMLINK_NOFOLLOW) == 0;
}

static int refuse_place(const struct spot *dest, const char *why, struct snap_err *err) {
    err_set(err, -EINVAL, "cannot restore to '%s': %s", dest->path, why);
    return err ? err_failure(err, SNAP_FAILURE_USAGE) : -EINVAL;
}

/* Not into the store, and not over what holds the store or the project. */
static int check_place(struct snap_project *project, const struct spot *dest, bool overwrite, struct snap_err *err) {
    struct stat there, store;
    if (fstat(store_fd(project->store), &store) < 0)
        return err_errno(err, -errno, "cannot look at the store");
    int r = spot_is_within(dest->parent, &store);
    if (r != 0)
        return r < 0 ? err_path(err, r, dest->path, "look at") : refuse_place(dest, "that is inside the store", err);
    if (fstatat(dest->parent, dest->name, &there, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_path(err, -errno, dest->path, "look at");
    if (!overwrite) {
        err_path(err, -EEXIST, dest->path, "restore to");
        return err_hint(err, "choose another destination, or replace it with --overwrite");
    }
    if (!S_ISDIR(there.st_mode))
        return 0;
    int holds = spot_is_within(project->root, &there);
    if (holds == 0)
        holds = spot_is_within(store_fd(project->store), &there);
    if (holds < 0)
        return err_path(err, holds, dest->path, "look at");
    return holds ? refuse_place(dest, "the project or its store is in it; snapctl rollback goes back in place", err) : 0;
}

/* The operation's own directory in work/. */

static int work_dir(const struct restoring *restoring, bool make, struct snap_err *err) {
    char name[32];
    (void)snprintf(name, sizeof(name), "op-%" PRId64, restoring->op);
    if (make && mkdirat(store_work_fd(restoring->store), name, 0700) < 0 && errno != EEXIST)
        return err_errno(err, -errno, "cannot make the operation's directory in the store");
    int fd = openat(store_work_fd(restoring->store), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? make ? err_errno(err, -errno, "cannot open the operation's directory in the store") : -errno : fd;
}

static int remove_work(const struct restoring *restoring, struct snap_err *err) {
    char name[32];
    (void)snprintf(name, sizeof(name), "op-%" PRId64, restoring->op);
    int r = fs_remove_tree(store_work_fd(restoring->store), name);
    return r < 0 ? err_errno(err, r, "cannot remove the operation's directory in the store") : 0;
}

/* Flushed: after this, what is renamed is told apart by its inode, also after a power loss. */
static int mark(struct restoring *restoring, struct snap_err *err) {
    _close_ int dir = work_dir(restoring, true, err);
    if (dir < 0)
        return dir;
    struct stat stat;
    if (fstatat(restoring->dest.parent, restoring->temporary, &stat, AT_SYMLINK_NOFOLLOW) == 0)
        restoring->ino = stat.st_ino;
    else if (errno != ENOENT)
        return err_path(err, -errno, restoring->dest.path, "look beside");
    restoring->marked = true;
    char text[32];
    int size = snprintf(text, sizeof(text), "%" PRIu64 "\n", restoring->ino);
    int r = fs_replace_file(dir, MARK, text, (size_t)size, 0600);
    if (r < 0)
        return err_errno(err, r, "cannot write in the store");
    r = hook("restore.marked", restoring->dest.path);
    if (r < 0)
        return err_errno(err, r, "stopped at restore.marked");
    return syncfs(restoring->dest.parent) < 0 ? err_path(err, -errno, restoring->dest.path, "flush") : 0;
}

/* 1 = marked, 0 = not. */
static int read_mark(struct restoring *restoring, struct snap_err *err) {
    _close_ int dir = work_dir(restoring, false, NULL);
    _buf_ struct buf text = {0};
    if (dir < 0)
        return dir == -ENOENT ? 0 : err_errno(err, dir, "cannot open the operation's directory in the store");
    int r = fs_read_file(dir, MARK, 64, &text);
    if (r == -ENOENT)
        return 0;
    if (r < 0 || sscanf(text.data ? text.data : "", "%" SCNu64, &restoring->ino) != 1)
        return err_errno(err, r < 0 ? r : -EUCLEAN, "cannot read the mark of operation %" PRId64, restoring->op);
    restoring->marked = true;
    return 1;
}

static bool is_built(const struct restoring *restoring, const char *name) {
    struct stat stat;
    return restoring->ino && fstatat(restoring->dest.parent, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && stat.st_ino == restoring->ino;
}

/* Renaming. */

static int rename_in(int from, const char *old, int to, const char *new, unsigned flags) {
    int r = renameat2(from, old, to, new, flags) < 0 ? -errno : 0;
    if (r != -EINVAL && r != -ENOSYS)
        return r;
    if (flags == RENAME_EXCHANGE)
        return r;
    if (exists(to, new))
        return -EEXIST;
    return renameat(from, old, to, new) < 0 ? -errno : 0;
}

/* What is built takes the name; what had it ends as `old`. */
static int take_name(struct restoring *restoring, struct snap_err *err) {
    struct spot *dest = &restoring->dest;
    int r = hook("restore.swap", dest->path);
    if (r >= 0)
        r = rename_in(dest->parent, restoring->temporary, dest->parent, dest->name, restoring->overwrite ? RENAME_EXCHANGE : RENAME_NOREPLACE);
    if (r == 0 && !restoring->overwrite)
        return 0;
    if (r == 0)
        r = rename_in(dest->parent, restoring->temporary, dest->parent, restoring->old, RENAME_NOREPLACE);
    else if (r == -ENOENT)
        r = rename_in(dest->parent, restoring->temporary, dest->parent, dest->name, RENAME_NOREPLACE);
    else if (r == -EINVAL || r == -ENOSYS) {
        r = rename_in(dest->parent, dest->name, dest->parent, restoring->old, RENAME_NOREPLACE);
        if (r == 0 || r == -ENOENT)
            r = rename_in(dest->parent, restoring->temporary, dest->parent, dest->name, RENAME_NOREPLACE);
    }
    return r < 0 ? err_path(err, r, dest->path, "put the restored files in the place of") : 0;
}

/* Into the store; where that is another file system it stays beside, and is told. *ret: NULL = there is nothing. */
static int hold(struct restoring *restoring, char **ret, struct snap_err *err) {
    struct spot *dest = &restoring->dest;
    _buf_ struct buf held = {0};
    buf_fmt(&held, HELD "/%" PRId64, restoring->op);
    if (held.failed)
        return err_nomem(err);
    if (!exists(dest->parent, restoring->old)) {
        if (!exists(store_fd(restoring->store), held.data))
            return 0;
        *ret = buf_take(&held);            /* before the crash */
        return 0;
    }
    if (mkdirat(store_fd(restoring->store), HELD, 0700) < 0 && errno != EEXIST)
        return err_errno(err, -errno, "cannot make a directory in the store");
    int r = rename_in(dest->parent, restoring->old, store_fd(restoring->store), held.data, RENAME_NOREPLACE);
    if (r < 0 && r != -EXDEV && r != -EPERM && r != -EACCES)
        return err_path(err, r, dest->path, "keep what was at");
    if (r < 0) {
        buf_clear(&held);
        buf_add(&held, dest->logged, strlen(dest->logged) - strlen(dest->name));
        buf_str(&held, restoring->old);
        if (held.failed)
            return err_nomem(err);
        project_notice(restoring->project, SNAP_NOTICE_INFO, dest->path,
                       "what was there is kept beside it as %s, because the store is on another file system", restoring->old);
    }
    *ret = buf_take(&held);
    return *ret ? 0 : err_nomem(err);
}

/* What the operation put away is where `held` says, which the caller knows not to be NULL. */
static int open_held(struct restoring *restoring, const char *held, struct spot *ret, struct snap_err *err) {
    if (*held == '/' || *held == '.')
        return spot_recorded(restoring->project, held, ret, err);
    _spot_ struct spot spot = { .parent = fcntl(store_fd(restoring->store), F_DUPFD_CLOEXEC, 3) };
    spot.name = strdup(held);
    spot.path = strdup(held);
    if (spot.parent < 0 || !spot.name || !spot.path)
        return spot.parent < 0 ? err_errno(err, -errno, "cannot open the store") : err_nomem(err);
    *ret = spot;
    spot = (struct spot){ .parent = -1 };
    return 0;
}

/* The log. */

struct wanted {
    const char *kind;                     /* restore, undo, redo */
    int64_t target;                       /* of undo and redo */
    int64_t snapshot;
    const char *path;
};

static int begin(struct restoring *restoring, const struct wanted *wanted, struct snap_err *err) {
    _buf_ struct buf beside = {0};
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) < 0)
        return err_errno(err, -errno, "cannot get random bytes");
    _buf_ struct buf name = {0}, old = {0};
    buf_fmt(&name, ".snapctl-restore-%016" PRIx64, random);
    buf_fmt(&old, "%s" OLD, name.data ? name.data : "");
    buf_add(&beside, restoring->dest.logged, strlen(restoring->dest.logged) - strlen(restoring->dest.name));
    buf_str(&beside, name.data ? name.data : "");
    restoring->temporary = buf_take(&name);
    restoring->old = buf_take(&old);
    if (!restoring->temporary || !restoring->old || beside.failed)
        return err_nomem(err);
    const char *paths[] = { wanted->path, NULL };
    struct op op = { .kind = (char *)(uintptr_t)wanted->kind, .state = (char *)(uintptr_t)"begun", .after = wanted->snapshot,
                     .target = wanted->target, .command = (char *)(uintptr_t)restoring->project->env.command,
                     .old_text = beside.data, .new_text = restoring->dest.logged };
    int r = store_begin(restoring->store, err);
    if (r < 0)
        return r;
    if ((r = op_begin(restoring->store, &op, paths, err)) < 0) {
        store_abort(restoring->store);
        return r;
    }
    if ((r = store_commit(restoring->store, true, err)) < 0)
        return r;
    restoring->op = op.id;
    return 0;
}

/* `held`: where what was displaced is, NULL = nothing was. The operation that was undone or done again learns its state.
 * `state` NULL: there is something left to do, and the operation goes on to say where. */
static int record(struct restoring *restoring, const char *state, const char *held, const struct op *target, bool undo, struct snap_err *err) {
    int r = state ? op_set_texts(restoring->store, restoring->op, held, restoring->dest.logged, err) : 0;
    if (r >= 0 && state)
        r = op_set_state(restoring->store, restoring->op, state, err);
    if (r >= 0 && target && !undo)
        r = op_set_texts(restoring->store, target->id, held, restoring->dest.logged, err);
    if (r >= 0 && target)
        r = op_set_state(restoring->store, target->id, undo ? "undone" : "done", err);
    return r;
}

static int commit(struct restoring *restoring, const char *state, const char *held, const struct op *target, bool undo, struct snap_err *err) {
    int r = hook("restore.commit", restoring->dest.path);
    if (r < 0)
        return err_errno(err, r, "stopped before the commit");
    if (syncfs(restoring->dest.parent) < 0)
        return err_path(err, -errno, restoring->dest.path, "flush");
    if ((r = store_begin(restoring->store, err)) < 0)
        return r;
    if ((r = record(restoring, state, held, target, undo, err)) < 0) {
        store_abort(restoring->store);
        return r;
    }
    return store_commit(restoring->store, true, err);
}

static int end(struct restoring *restoring, const char *state, struct snap_err *err) {
    int r = store_begin(restoring->store, err);
    if (r < 0)
        return r;
    if ((r = op_set_state(restoring->store, restoring->op, state, err)) < 0) {
        store_abort(restoring->store);
        return r;
    }
    return store_commit(restoring->store, false, err);
}

/* What was there has its name again; of two that changed places each is told by its inode. */
static int rename_back(struct restoring *restoring) {
    struct spot *dest = &restoring->dest;
    if (is_built(restoring, dest->name) && exists(dest->parent, restoring->temporary))
        return rename_in(dest->parent, restoring->temporary, dest->parent, dest->name, RENAME_EXCHANGE);
    if (exists(dest->parent, restoring->old) && !exists(dest->parent, dest->name))
        return rename_in(dest->parent, restoring->old, dest->parent, dest->name, RENAME_NOREPLACE);
    return 0;
}

/* Somebody took the name meanwhile, so that what had it cannot have it again. */
static void tell_beside(struct restoring *restoring) {
    const char *name = exists(restoring->dest.parent, restoring->old) ? restoring->old : restoring->temporary;
    project_notice(restoring->project, SNAP_NOTICE_INFO, restoring->dest.path,
                   "was made by somebody else meanwhile; what was there before is beside it as %s", name);
}

/* As before: what was built goes, and the operation with it. */
static int put_back(struct restoring *restoring, struct snap_err *err) {
    struct spot *dest = &restoring->dest;
    int r = rename_back(restoring);
    if (r < 0)
        return err_path(err, r, dest->path, "put back what was at");
    bool ours = !restoring->marked || is_built(restoring, restoring->temporary);
    if (ours && (r = fs_remove_tree(dest->parent, restoring->temporary)) < 0)
        return err_path(err, r, dest->path, "remove what was built beside");
    if (exists(dest->parent, restoring->old) || exists(dest->parent, restoring->temporary))
        tell_beside(restoring);
    r = remove_work(restoring, err);
    return r < 0 ? r : end(restoring, "failed", err);
}

/* Restoring. */

static int finish_restore(struct restoring *restoring, const struct op *target, struct snap_err *err) {
    _free_ char *held = NULL;
    int r = hold(restoring, &held, err);
    if (r < 0 || (r = commit(restoring, "done", held, target, false, err)) < 0)
        return r;
    struct snap_err ignored = {0};
    (void)remove_work(restoring, &ignored);                 /* else the next command does */
    return 0;
}

/* A snapshot may be a workspace's. */
static int point_of(struct snap_project *project, int64_t number, struct point *ret, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = index_snapshot(project->store, number, &snapshot, err);
    if (r == 0)
        return err_set(err, -ENOENT, "there is no snapshot %" PRId64 " any more", number);
    if (r > 0)
        *ret = snapshot_point(snapshot);
    return MIN(r, 0);
}

static int carry_out(struct restoring *restoring, const struct wanted *wanted, const struct object *object, struct build_result *ret,
                     struct snap_err *err) {
    struct point at;
    int r = hook("restore.begun", restoring->dest.path);
    if (r < 0)
        return err_errno(err, r, "stopped at restore.begun");
    if ((r = point_of(restoring->project, wanted->snapshot, &at, err)) < 0 || (r = build_tree(restoring->project, at, object, wanted->path, restoring->dest.parent, restoring->temporary, ret, err)) < 0)
        return r;
    if (project_cancelled(restoring->project))
        return project_cancelled_error(err);
    return (r = mark(restoring, err)) < 0 ? r : take_name(restoring, err);
}

/* What the project has there is in a snapshot before it is replaced. */
static int save_project(struct snap_project *project, const struct spot *dest, int64_t *ret_safety, struct snap_err *err) {
    struct stat root;
    if (fstat(project->root, &root) < 0)
        return err_path(err, -errno, project->info.root, "look at");
    int inside = spot_is_within(dest->parent, &root);
    if (inside <= 0 || !exists(dest->parent, dest->name))
        return inside < 0 ? err_path(err, inside, dest->path, "look at") : 0;
    return take_safety(project, "before restore", ret_safety, err);
}

/* dest is taken. */
static int run(struct snap_project *project, const struct wanted *wanted, const struct object *object, struct spot dest, bool overwrite,
               const struct op *target, struct snap_rollback_result *ret, struct snap_err *err) {
    _restoring_ struct restoring restoring = { .project = project, .store = project->store, .dest = dest, .overwrite = overwrite };
    struct snap_rollback_result result = { .to = wanted->snapshot };
    struct build_result built = {0};
    int r = check_place(project, &restoring.dest, overwrite, err);
    if (r < 0 || (r = save_project(project, &restoring.dest, &result.safety, err)) < 0 || (r = begin(&restoring, wanted, err)) < 0)
        return r;
    r = carry_out(&restoring, wanted, object, &built, err);
    if (r < 0) {
        struct snap_err why = {0};
        if (put_back(&restoring, &why) < 0)
            err_hint(err, "cleaning up failed too: %s; the next snapctl command does it", why.message);
        return r;
    }
    if ((r = finish_restore(&restoring, target, err)) < 0)
        return err_hint(err, "everything is in place; the next snapctl command finishes the operation");
    result.operation = restoring.op;
    result.restored = built.entries;
    result.bytes = built.bytes;
    *ret = result;
    return 0;
}

int snap_restore(struct snap_project *project, const char *spec, const char *dest, bool overwrite,
                 struct snap_rollback_result *ret, struct snap_err *err) {
    double start = project_seconds();
    _snapshot_ struct snapshot *snapshot = NULL;
    _object_ struct object *object = NULL;
    _free_ char *path = NULL;
    struct spot spot = { .parent = -1 };
    struct snap_rollback_result result = {0};
    uint64_t failed = project->failed;
    int r = project_need_lock(project, err);
    if (r < 0 || (r = tree_spec(project, spec, &snapshot, &path, err)) < 0 || (r = tree_find(project, snapshot, path, NULL, NULL, &object, err)) < 0
        || (r = spot_typed(project, dest, &spot, err)) < 0)
        return r;
    struct wanted wanted = { .kind = "restore", .snapshot = snapshot->public.number, .path = path };
    if ((r = run(project, &wanted, object, spot, overwrite, NULL, &result, err)) < 0)
        return r;
    result.operation_kind = "restore";
    result.failed = project->failed - failed;
    result.seconds = project_seconds() - start;
    *ret = result;
    return 0;
}

/* Undoing. */

/* What the operation restored. */
static int meant_object(struct snap_project *project, const struct op *meant, char ***ret_paths, struct object **ret, struct snap_err *err) {
    struct point at;
    int r = op_paths(project->store, meant->id, ret_paths, err);
    if (r < 0 || (r = point_of(project, meant->after, &at, err)) < 0)
        return r;
    const char *path = *ret_paths ? (*ret_paths)[0] : "";
    r = index_resolve(project->store, at, path, NULL, NULL, ret, err);
    return r == 0 ? err_set(err, -ENOENT, "snapshot %" PRId64 " no longer has what was restored", meant->after) : MIN(r, 0);
}

static int count_changes(struct restoring *restoring, const struct op *meant, const char *name, uint64_t *ret, struct snap_err *err) {
    _op_paths_ char **paths = NULL;
    _object_ struct object *object = NULL;
    int r = meant_object(restoring->project, meant, &paths, &object, err);
    struct point at;
    if (r < 0 || !exists(restoring->dest.parent, name) || (r = point_of(restoring->project, meant->after, &at, err)) < 0)
        return r;
    return build_check(restoring->project, at, object, restoring->dest.path, restoring->dest.parent, name, ret, err);
}

static int check_unchanged(struct restoring *restoring, const struct op *meant, struct snap_err *err) {
    uint64_t conflicts = 0;
    int r = count_changes(restoring, meant, restoring->dest.name, &conflicts, err);
    if (r < 0 || !conflicts)
        return r;
    err_set(err, -EBUSY, "%" PRIu64 " path%s in '%s' %s changed since that operation; nothing was written", conflicts,
            conflicts == 1 ? "" : "s", restoring->dest.path, conflicts == 1 ? "was" : "were");
    err_hint(err, "--force goes on, and keeps what is there now");
    return err ? err_failure(err, SNAP_FAILURE_CONFLICT) : -EBUSY;
}

/* The way back, each step only if it was not made yet. */
static int swap_undo(struct restoring *restoring, const struct op *meant, struct snap_err *err) {
    struct spot *dest = &restoring->dest;
    int r = hook("restore.swap", dest->path);
    if (r >= 0 && exists(dest->parent, dest->name) && !exists(dest->parent, restoring->old))
        r = rename_in(dest->parent, dest->name, dest->parent, restoring->old, RENAME_NOREPLACE);
    if (r < 0)
        return err_path(err, r, dest->path, "remove");
    if (!meant->old_text)
        return 0;
    _spot_ struct spot held = { .parent = -1 };
    if ((r = open_held(restoring, meant->old_text, &held, err)) < 0)
        return r;
    r = rename_in(held.parent, held.name, dest->parent, dest->name, RENAME_NOREPLACE);
    if (r == -ENOENT && exists(dest->parent, dest->name))
        return 0;                          /* before the crash */
    return r < 0 ? err_path(err, r, dest->path, "bring back what was at") : 0;
}

/* The undo is settled: what it took away goes. Cut short or in vain, the next command goes on. */
static int discard(struct restoring *restoring, struct snap_err *err) {
    int r = fs_remove_tree(restoring->dest.parent, restoring->old);
    if (r < 0)
        return err_path(err, r, restoring->old, "remove");
    if ((r = remove_work(restoring, err)) < 0)
        return r;
    return end(restoring, "done", err);
}

/* Between the check and the renaming somebody may still have changed it. What cannot be looked at counts as changed. */
static bool was_changed(struct restoring *restoring, const struct op *meant) {
    struct snap_err ignored = {0};
    uint64_t conflicts = 0;
    if (count_changes(restoring, meant, restoring->old, &conflicts, &ignored) == 0 && !conflicts)
        return false;
    project_notice(restoring->project, SNAP_NOTICE_INFO, restoring->dest.path, "was changed while the command ran; what was there is kept");
    return true;
}

/* What a restore made is in a snapshot, and goes, unless it may have been changed. */
static int finish_undo(struct restoring *restoring, const struct op *meant, bool keep, struct snap_err *err) {
    struct snap_err why = {0};
    if (keep) {
        _free_ char *held = NULL;
        int r = hold(restoring, &held, err);
        if (r < 0 || (r = commit(restoring, "done", held, meant, true, err)) < 0)
            return r;
        (void)remove_work(restoring, &why);                 /* else the next command does */
        return 0;
    }
    int r = commit(restoring, NULL, NULL, meant, true, err);
    if (r >= 0 && discard(restoring, &why) < 0)
        project_notice(restoring->project, SNAP_NOTICE_INFO, restoring->old, "%s; the next command tries again", why.message);
    return r;
}

int restore_undo(struct snap_project *project, const struct op *meant, bool force, struct snap_rollback_result *ret, struct snap_err *err) {
    _restoring_ struct restoring restoring = { .project = project, .store = project->store, .dest = { .parent = -1 } };
    struct wanted wanted = { .kind = "undo", .target = meant->id, .path = "" };
    int64_t safety = 0;
    int r = meant->new_text ? spot_recorded(project, meant->new_text, &restoring.dest, err)
                            : err_damage(err, "the index is damaged: operation %" PRId64 " has no destination", meant->id);
    if (r < 0 || (!force && (r = check_unchanged(&restoring, meant, err)) < 0)
        || (force && (r = save_project(project, &restoring.dest, &safety, err)) < 0) || (r = begin(&restoring, &wanted, err)) < 0)
        return r;
    bool was_there = exists(restoring.dest.parent, restoring.dest.name);
    r = mark(&restoring, err);
    if (r >= 0)
        r = swap_undo(&restoring, meant, err);
    if (r < 0) {
        struct snap_err why = {0};
        if (put_back(&restoring, &why) < 0)
            err_hint(err, "putting everything back failed too: %s; the next snapctl command does it", why.message);
        return r;
    }
    if ((r = finish_undo(&restoring, meant, force || was_changed(&restoring, meant), err)) < 0)
        return err_hint(err, "everything is in place; the next snapctl command finishes the operation");
    *ret = (struct snap_rollback_result){ .to = meant->after, .operation = restoring.op, .safety = safety, .removed = was_there,
                                          .restored = meant->old_text != NULL };
    return 0;
}

int restore_redo(struct snap_project *project, const struct op *meant, bool force, struct snap_rollback_result *ret, struct snap_err *err) {
    _op_paths_ char **paths = NULL;
    _object_ struct object *object = NULL;
    struct spot spot = { .parent = -1 };
    int r = meant_object(project, meant, &paths, &object, err);
    if (r < 0)
        return r;
    if (!meant->new_text)
        return err_damage(err, "the index is damaged: operation %" PRId64 " has no destination", meant->id);
    if ((r = spot_recorded(project, meant->new_text, &spot, err)) < 0)
        return r;
    struct wanted wanted = { .kind = "redo", .target = meant->id, .snapshot = meant->after, .path = paths ? paths[0] : "" };
    return run(project, &wanted, object, spot, force || meant->old_text, meant, ret, err);
}

/* After a crash. */

static int open_recorded(struct restoring *restoring, const struct op *op, struct snap_err *err) {
    if (!op->new_text || !op->old_text)
        return err_damage(err, "the index is damaged: operation %" PRId64 " does not say where it was", op->id);
    int r = spot_recorded(restoring->project, op->new_text, &restoring->dest, err);
    const char *slash = strrchr(op->old_text, '/');
    if (r < 0)
        return r;
    _buf_ struct buf old = {0};
    buf_fmt(&old, "%s" OLD, slash ? slash + 1 : op->old_text);
    restoring->temporary = strdup(slash ? slash + 1 : op->old_text);
    restoring->old = buf_take(&old);
    restoring->op = op->id;
    return restoring->temporary && restoring->old ? 0 : err_nomem(err);
}

static bool is_held(const struct restoring *restoring) {
    char held[32];
    (void)snprintf(held, sizeof(held), HELD "/%" PRId64, restoring->op);
    return exists(store_fd(restoring->store), held);
}

/* The new files have their name, or have not; what stood there is under one of two names. */
static int recover_restore(struct restoring *restoring, const struct op *target, int marked, struct snap_err *err) {
    struct spot *dest = &restoring->dest;
    if (!marked || is_built(restoring, restoring->temporary))
        return put_back(restoring, err);
    if (exists(dest->parent, restoring->temporary)) {
        int r = rename_in(dest->parent, restoring->temporary, dest->parent, restoring->old, RENAME_NOREPLACE);
        if (r < 0)
            return err_path(err, r, dest->path, "keep what was at");
    }
    if (!is_built(restoring, dest->name) && !exists(dest->parent, restoring->old) && !is_held(restoring))
        return put_back(restoring, err);   /* somebody removed what was built */
    int r = finish_restore(restoring, target, err);
    return r < 0 ? r : 1;
}

/* What the restore had displaced is at its place again, where nothing else had to go first. */
static bool came_back(struct restoring *restoring, const struct op *target) {
    _spot_ struct spot held = { .parent = -1 };
    struct snap_err ignored = {0};
    return target->old_text && exists(restoring->dest.parent, restoring->dest.name)
        && open_held(restoring, target->old_text, &held, &ignored) == 0 && !exists(held.parent, held.name);
}

/* The destination's directory is gone, and what was built in it with it; not what the store holds. */
static int abandon(struct restoring *restoring, const struct op *op, struct snap_err *err) {
    char held[32];
    bool kept = is_held(restoring);
    (void)snprintf(held, sizeof(held), HELD "/%" PRId64, restoring->op);
    int r = store_begin(restoring->store, err);
    if (r < 0)
        return r;
    if ((kept && (r = op_set_texts(restoring->store, op->id, held, op->new_text, err)) < 0)
        || (r = op_set_state(restoring->store, op->id, kept ? "done" : "failed", err)) < 0) {
        store_abort(restoring->store);
        return r;
    }
    if ((r = store_commit(restoring->store, true, err)) < 0)
        return r;
    project_notice(restoring->project, SNAP_NOTICE_RECOVERED, NULL, "the %s of operation %" PRId64
                   " had been cut short, and the directory of its destination is gone%s%s", op->kind, op->id,
                   kept ? "; what was at the destination is in the store as " : "", kept ? held : "");
    return remove_work(restoring, err);
}

static int recover_undo(struct restoring *restoring, const struct op *target, int marked, struct snap_err *err) {
    int r = 0;
    if (!strcmp(target->state, "undone"))                   /* by this operation: all but the end of it is done */
        return (r = discard(restoring, err)) < 0 ? r : 1;
    if (!marked || (!exists(restoring->dest.parent, restoring->old) && !came_back(restoring, target)))
        return put_back(restoring, err);
    r = swap_undo(restoring, target, err);
    if (r < 0 || (r = finish_undo(restoring, target, true, err)) < 0)
        return r;
    return 1;
}

int restore_recover(struct snap_project *project, struct op *op, struct snap_err *err) {
    _restoring_ struct restoring restoring = { .project = project, .store = project->store, .dest = { .parent = -1 } };
    _op_ struct op *target = NULL;
    int r = op->target ? op_get(project->store, op->target, &target, err) : 0;
    if (r < 0)
        return r;
    if ((r = open_recorded(&restoring, op, err)) < 0) {
        restoring.op = op->id;
        return r == -ENOENT || r == -ENOTDIR || r == -ELOOP ? abandon(&restoring, op, err) : r;
    }
    int marked = read_mark(&restoring, err);
    if (marked < 0)
        return marked;
    bool undo = !strcmp(op->kind, "undo");
    r = undo && target ? recover_undo(&restoring, target, marked, err) : recover_restore(&restoring, target, marked, err);
    if (r < 0)
        return err ? err_wrap(err, "operation %" PRId64 " (%s) was cut short and cannot be finished", op->id, op->kind) : r;
    project_notice(project, SNAP_NOTICE_RECOVERED, NULL, "the %s of operation %" PRId64 " had been cut short; %s", op->kind, op->id,
                   r > 0 ? "it was finished" : "it was put back");
    return 0;
}
