/* apply: what was changed in a workspace, done to the project.
 *
 * The present is captured, so that the newest entries are the project, and the workspace, so that its newest entries are that. The
 * decision is a list of entries that the project shall get (merge.c); from it a snapshot is made behind the newest one; then the
 * project goes there as it would go back (transition.c). So it is one operation, undone and finished after a crash as
 * any other. On a conflict nothing is made. Touches no file of the project itself. SPDX-License-Identifier: GPL-2.0-or-later */
#include "applied.h"
#include "changes.h"
#include "current.h"
#include "fs.h"
#include "merge.h"
#include "mounts.h"
#include "seal.h"
#include "take.h"
#include "throwaway.h"
#include "transition.h"
#include "tree.h"
#include "workspaces.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct applying {
    struct snap_project *project;
    const struct snap_apply_options *options;
    struct workspace *workspace;
    struct workspace_dirs dirs;
    struct scan *theirs;
    struct merge merge;
    int64_t captured;          /* the workspace as it is now: a snapshot of its line, or what it stands on */
    snap_change_fn fn;
    void *data;
    struct snap_err *err;
};

static void applying_done(struct applying *applying) {
    merge_done(&applying->merge);
    scan_free(applying->theirs);
    workspace_close(&applying->dirs);
    workspace_free(applying->workspace);
}

static int open_workspace(struct applying *applying) {
    struct store *store = applying->project->store;
    int r = workspaces_find(applying->project, applying->options->workspace, &applying->workspace, applying->err);
    if (r == 0 && applying->options->remove)
        r = mounts_check_unused(applying->project, applying->workspace, applying->err);
    return r < 0 ? r : workspace_open(store, applying->workspace->id, &applying->dirs, applying->err);
}

/* Deciding. */

static int tell_conflicts(struct applying *applying) {
    const struct merge *merge = &applying->merge;
    for (size_t i = 0; i < merge->conflicts_count; i++) {
        const struct merge_conflict *conflict = &merge->conflicts[i];
        const char *text = !strcmp(conflict->kind, "UU") ? "changed in both" : !strcmp(conflict->kind, "AA") ? "added in both"
            : !strcmp(conflict->kind, "DU") ? "deleted in the project, changed in the workspace" : "deleted in the workspace, changed in the project";
        project_notice(applying->project, SNAP_NOTICE_CONFLICT, conflict->path, "%s %s", conflict->kind, text);
    }
    if (!merge->conflicts_count)
        return 0;
    err_set(applying->err, -EBUSY, "%zu %s in conflict; nothing was written", merge->conflicts_count,
            merge->conflicts_count == 1 ? "path is" : "paths are");
    err_hint(applying->err, "--ours keeps the project's, --theirs takes the workspace's%s, -- PATH... applies others first",
             applying->options->merge ? "" : ", --merge merges texts");
    return err_failure(applying->err, SNAP_FAILURE_CONFLICT);
}

/* `ours` and `now`: the project and the workspace where nothing is captured; NULL = both are what their newest snapshots say. */
static int decide(struct applying *applying, const struct scan *ours, const struct scan *now) {
    struct point from;
    struct merge_options options = { .paths = applying->options->paths, .prefer = (enum merge_side)applying->options->prefer,
                                     .root = now ? applying->dirs.upper : -1, .texts = applying->options->merge };
    int r = applied_point(applying->project, applying->workspace, &from, applying->err);
    if (r == 0)
        r = applied_since(applying->project, applying->workspace, from, now, &applying->theirs, applying->err);
    if (r == 0)
        r = merge_decide(applying->project, applying->theirs, ours, &options, &applying->merge, applying->err);
    return r < 0 ? r : tell_conflicts(applying);
}

/* The result, as a scan over the newest entries. */

static int write_merged(struct applying *applying, struct scan *scan, const struct merge_row *row, struct object *object) {
    struct copy_options options = { .want_digest = true, .cancel = applying->project->env.cancel };
    _dir_ struct dir *stage = stage_dir(scan->stage, row->dir);
    if (!stage)
        return err_nomem(applying->err);
    _close_ int fd = stage_create(scan->stage, stage, row->name, object->meta.mode);
    int r = fd < 0 ? fd : fs_write_all(fd, row->bytes.data, row->bytes.size);
    if (r == 0)
        r = MIN(copy_digest(fd, &options, &object->meta.size, &object->digest), 0);
    if (r == 0)
        r = stage_apply_open(scan->stage, fd, &object->meta);
    return r < 0 ? err_path(applying->err, r, row->path, "store") : 0;
}

static int add_merged(struct applying *applying, struct scan *scan, const struct merge_row *row) {
    struct delta_row how = { .staged = row->merged->meta.size > 0, .how = COPY_COPIED };
    struct object *object = tree_object_copy(row->merged);
    if (object)
        object->id = scan->next_object++;
    if (!object || scan_own(scan, object) < 0)
        return err_nomem(applying->err);
    int r = how.staged ? write_merged(applying, scan, row, object) : 0;
    return r < 0 ? r : scan_differ(scan, row->dir, row->name, object, &how) < 0 ? err_nomem(applying->err) : 0;
}

/* What the workspace has is in the store: nothing is copied that is there already. */
static int add_row(struct applying *applying, struct scan *scan, const struct merge_row *row) {
    struct object *object = NULL;
    if (row->merged)
        return add_merged(applying, scan, row);
    int r = row->theirs->after ? applied_own(scan, row->theirs->after, &object) : 0;
    return r < 0 || scan_differ(scan, row->dir, row->name, object, NULL) < 0 ? err_nomem(applying->err) : 0;
}

static int make_scan(struct applying *applying, struct stage *stage, struct scan **ret) {
    _scan_ struct scan *scan = NULL;
    int r = scan_new_whole(applying->project, stage, &scan, applying->err);
    if (r < 0)
        return r;
    if (scan->first_object != applying->theirs->first_object)
        return err_set(applying->err, -EBUSY, "another command wrote meanwhile");
    scan->foreign = true;
    scan->next_object = applying->theirs->next_object;
    scan->dirs = map_new();
    if (!scan->dirs)
        return err_nomem(applying->err);
    for (size_t i = 0; i < applying->merge.count && r == 0; i++)
        r = add_row(applying, scan, &applying->merge.rows[i]);
    if (r == 0)
        r = scan_place(scan, applying->err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(scan);
    return 0;
}

/* And as a snapshot; *ret 0: nothing would change. */
static int make_snapshot(struct applying *applying, int64_t *ret) {
    struct snap_project *project = applying->project;
    char message[300];
    (void)snprintf(message, sizeof(message), "what applying workspace '%.255s' makes", applying->workspace->name);
    struct take_request request = { .automatic = true, .options = { .message = message } };
    struct index_ids ids;
    _cleanup_(stage_freep) struct stage *stage = NULL;
    _scan_ struct scan *scan = NULL;
    _seal_ struct seal *seal = NULL;
    _snapshot_ struct snapshot *snapshot = NULL;
    struct sealed sealed = {0};
    int r = index_next_ids(project->store, &ids, applying->err);
    if (r < 0 || (r = stage_open(project->store, ids.snapshot, &stage, applying->err)) < 0 || (r = make_scan(applying, stage, &scan)) < 0
        || (r = seal_plan(scan, ids.snapshot, &seal, applying->err)) < 0)
        return r;
    *ret = 0;
    if (!seal_count(seal))
        return 0;
    if ((r = take_describe(project, &request, ids.snapshot, &snapshot, applying->err)) < 0 || (r = seal_layer(seal, applying->err)) < 0
        || (r = stage_publish(stage, applying->err)) < 0
        || (r = take_commit(project, &request, seal, scan, snapshot, &sealed, applying->err)) < 0)
        return r;
    stage_keep(stage);
    *ret = snapshot->public.number;
    return 0;
}

/* Telling. */

static int tell_changes(struct applying *applying, struct point from, struct point to) {
    _changes_ struct changes changes = {0};
    int r = applying->fn ? changes_between(applying->project, from, to, NULL, NULL, CHANGES_TIMES, &changes, applying->err) : 0;
    for (size_t i = 0; i < changes.count && r >= 0; i++) {
        struct public_change public;
        change_publish(&changes.rows[i], &public);
        r = applying->fn(applying->data, &public.change);
    }
    return MIN(r, 0);
}

static char letter_of(const struct object *before, const struct object *after, unsigned what) {
    if (!before || !after)
        return after ? 'A' : 'D';
    if ((before->meta.mode ^ after->meta.mode) & S_IFMT)
        return 'T';
    if (what & (SNAP_WHAT_CONTENT | SNAP_WHAT_TARGET | SNAP_WHAT_DEVICE))
        return 'M';
    return what & ~(unsigned)SNAP_WHAT_TIME ? 'm' : 't';
}

static unsigned what_differs(const struct object *before, const struct object *after) {
    if (!before || !after)
        return 0;
    unsigned what = meta_differs(&before->meta, &after->meta);
    bool files = S_ISREG(before->meta.mode) && S_ISREG(after->meta.mode);
    return files && !digest_equal(&before->digest, &after->digest) ? what | SNAP_WHAT_CONTENT : what;
}

/* As it would be told: a directory that moved is one row, and so is one that goes, with all that is in it. */
static int preview_row(struct applying *applying, const struct merge_row *row, struct snap_rollback_result *ret) {
    const struct object *after = merge_row_after(row);
    _buf_ struct buf old_path = {0};
    _object_ struct object *moved = NULL;
    bool came = after && object_is_dir(after) && !(row->ours && row->ours->dir == after->dir);
    if (!after && row->base && object_is_dir(row->base) && scan_has_dir(applying->theirs, row->base->dir))
        return 0;
    int r = came && after->dir < applying->theirs->first_object
        ? index_dir_path(applying->project->store, scan_ground(applying->theirs), after->dir, &old_path, applying->err) : 0;
    if (r < 0)
        return r;
    struct snap_entry before_entry, after_entry;
    struct snap_change change = { .path = row->path, .what = what_differs(row->ours, after), .old_path = r > 0 ? old_path.data : NULL,
                                  .similarity = r > 0 ? 100 : 0 };
    change.letter = r > 0 ? 'R' : letter_of(row->ours, after, change.what);
    if (change.letter == 't' && object_is_dir(after))
        return 0;
    if (r > 0 && (r = index_resolve(applying->project->store, scan_ground(applying->theirs), old_path.data, NULL, NULL, &moved, applying->err)) < 0)
        return r;
    if (moved || row->ours) {
        tree_entry(moved ? moved : row->ours, &before_entry);
        change.before = &before_entry;
    }
    if (after) {
        tree_entry(after, &after_entry);
        change.after = &after_entry;
    }
    *(after ? &ret->restored : &ret->removed) += change.letter != 't';
    return applying->fn ? applying->fn(applying->data, &change) : 0;
}

/* The verb. */

static int dry_run(struct applying *applying, struct snap_rollback_result *ret) {
    _scan_ struct scan *ours = NULL, *now = NULL;
    int r = scan_look(applying->project, &ours, applying->err);
    if (r == 0)
        r = current_compare_from(applying->project, applying->workspace, applying->dirs.upper, ours->next_object, &now, applying->err);
    if (r == 0)
        r = decide(applying, ours, now);
    for (size_t i = 0; r == 0 && i < applying->merge.count; i++)
        r = MIN(preview_row(applying, &applying->merge.rows[i], ret), 0);
    return r;
}

/* The removal goes first, so that a bare undo means what was done to the files. */
static int move_project(struct applying *applying, int64_t newest, int64_t after, struct snap_rollback_result *ret) {
    bool all = !applying->options->paths || !*applying->options->paths;
    struct transition_request request = { .kind = "apply", .before = newest, .after = after, .force = applying->options->force,
                                          .workspace = applying->workspace->id, .applied = all ? applying->captured : 0 };
    int64_t removal = 0;
    int r = applying->options->remove ? workspaces_hide(applying->project, applying->workspace, &removal, applying->err) : 0;
    if (r < 0 || !after)
        return r;
    if ((r = transition_run(applying->project, &request, ret, applying->err)) < 0 && removal)
        workspaces_unhide(applying->project, applying->workspace, removal);
    return r;
}

/* The workspace as it is now, on its own line. */
static int capture_workspace(struct applying *applying) {
    struct snap_project *project = applying->project;
    struct workspace *before = project->workspace;
    project->workspace = applying->workspace;
    int r = take_safety(project, "as it was applied", &applying->captured, applying->err);
    project->workspace = before;
    project->layers = layers_close(project->layers);      /* a layer that it met before its snapshot was there seemed to be the project's */
    return r;
}

/* From now on what was changed in the workspace is what was changed since. That it is shown is no part of what was done to the project. */
static void show_captured(struct applying *applying) {
    struct store *store = applying->project->store;
    struct snap_err ignored = {0};
    if (applying->captured == applying->workspace->base || applying->options->remove || (applying->options->paths && *applying->options->paths)
        || store_begin(store, &ignored) < 0)
        return;
    if (index_change_snapshot(store, applying->captured, NULL, 0, SNAPSHOT_AUTO, &ignored) < 0)
        store_abort(store);
    else
        (void)store_commit(store, false, &ignored);
}

static int carry_out(struct applying *applying, struct snap_rollback_result *ret) {
    int64_t newest, after;
    int r = take_safety(applying->project, "before apply", &newest, applying->err);
    if (r == 0)
        r = capture_workspace(applying);
    if (r < 0 || (r = decide(applying, NULL, NULL)) < 0 || (r = make_snapshot(applying, &after)) < 0
        || (r = move_project(applying, newest, after, ret)) < 0)
        return r;
    if (applying->options->remove)
        throwaway_forget_dir(applying->workspace);
    if (!after)
        return 0;
    show_captured(applying);
    struct point from = { INDEX_PROJECT_LINE, newest }, to = { INDEX_PROJECT_LINE, after };
    ret->safety = newest;
    return tell_changes(applying, from, to);
}

int snap_apply(struct snap_project *project, const struct snap_apply_options *options, snap_change_fn fn, void *data,
               struct snap_rollback_result *ret, struct snap_err *error) {
    struct snap_err *err = error ? error : &(struct snap_err){0};
    double start = project_seconds();
    struct snap_rollback_result result = {0};
    uint64_t failed = project->failed;
    _cleanup_(applying_done) struct applying applying = { .project = project, .options = options, .dirs = { -1, -1, -1 },
                                                          .fn = fn, .data = data, .err = err };
    int r = options->dry_run ? 0 : project_need_lock(project, err);
    if (r == 0)
        r = open_workspace(&applying);
    if (r >= 0)
        r = options->dry_run ? dry_run(&applying, &result) : carry_out(&applying, &result);
    if (r < 0)
        return err_wrap(err, "cannot apply workspace '%s'", options->workspace);
    result.failed = project->failed - failed;
    result.operation_kind = "apply";
    result.seconds = project_seconds() - start;
    *ret = result;
    return 0;
}
