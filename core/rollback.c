/* `rollback`: the verb. Captures the present, then hands the work to the transition.
 * Touches no file of the project itself. SPDX-License-Identifier: GPL-2.0-or-later */
#include "changes.h"
#include "current.h"
#include "take.h"
#include "transition.h"
#include "tree.h"
#include <inttypes.h>
#include <string.h>

static int find_target(struct snap_project *project, const char *spec, struct snapshot **ret, struct snap_err *err) {
    if (spec || project->workspace)
        return catalog_find(project, spec ? spec : "latest", ret, err);
    int r = index_latest(project->store, INDEX_PROJECT_LINE, 0, ret, err);
    if (r != 0)
        return MIN(r, 0);
    err_set(err, -ENOENT, "there is no snapshot to go back to");
    return err_hint(err, "take one first: snapctl take");
}

/* Telling the changes as the project will see them. */

static int tell_all(const struct changes *changes, snap_change_fn fn, void *data) {
    for (size_t i = 0; fn && i < changes->count; i++) {
        struct public_change public;
        change_publish(&changes->rows[i], &public);
        int r = fn(data, &public.change);
        if (r < 0)
            return r;
    }
    return 0;
}

static int by_path(const void *a, const void *b) {
    const struct change_row *x = a, *y = b;
    return strcmp(x->path, y->path);
}

/* What led from the snapshot to the project, read the other way round. */
static void turn_round(struct changes *changes) {
    for (size_t i = 0; i < changes->count; i++) {
        struct change_row *row = &changes->rows[i];
        struct object *before = row->before;
        row->before = row->after;
        row->after = before;
        if (row->letter == 'A' || row->letter == 'D')
            row->letter = row->letter == 'A' ? 'D' : 'A';
        if (row->old_path) {
            char *path = row->path;
            row->path = row->old_path;
            row->old_path = path;
        }
    }
    if (changes->count)
        qsort(changes->rows, changes->count, sizeof(*changes->rows), by_path);
}

/* As transition.c counts. */
static void count_row(struct snap_rollback_result *result, const struct change_row *row) {
    if (row->letter == 't' && object_is_dir(row->after))
        return;
    if (row->after)
        result->restored++;
    else
        result->removed++;
}

static struct point point_of(const struct snap_project *project, const struct snapshot *snapshot) {
    return (struct point){ project_line(project), snapshot->public.number };      /* also what a workspace stands on */
}

static int dry_run(struct snap_project *project, const struct snapshot *target, const struct snap_rollback_options *options,
                   snap_change_fn fn, void *data, struct snap_rollback_result *ret, struct snap_err *err) {
    _scan_ struct scan *scan = NULL;
    _changes_ struct changes changes = {0};
    uint64_t failed = project->failed;
    int r = project->workspace ? current_compare(project, project->workspace, project->root, &scan, err) : scan_look(project, &scan, err);
    if (r < 0 || (r = changes_between(project, point_of(project, target), index_newest(project_line(project)), scan, options->paths,
                                      CHANGES_TIMES, &changes, err)) < 0)
        return r;
    turn_round(&changes);
    struct snap_rollback_result result = { .to = target->public.number, .operation_kind = "rollback" };
    for (size_t i = 0; i < changes.count; i++)
        count_row(&result, &changes.rows[i]);
    result.failed = project->failed - failed;
    r = tell_all(&changes, fn, data);
    if (r < 0)
        return r;
    *ret = result;
    return 0;
}

/* Going back. */

static int check_line(const struct snap_project *project, const struct snapshot *target, struct snap_err *err) {
    const struct workspace *workspace = project->workspace;
    if (target->line == project_line(project) || (workspace && target->public.number == workspace->base))
        return 0;
    if (!workspace)
        return err_set(err, -EINVAL, "snapshot %" PRId64 " is not one of the project", target->public.number);
    return err_set(err, -EINVAL, "snapshot %" PRId64 " is not one of workspace '%s'", target->public.number, workspace->name);
}

static int roll_back(struct snap_project *project, const struct snapshot *target, const struct snap_rollback_options *options,
                     snap_change_fn fn, void *data, struct snap_rollback_result *ret, struct snap_err *err) {
    int64_t newest;
    int r = take_safety(project, "before rollback", &newest, err);
    if (r < 0)
        return r;
    struct transition_request request = { .kind = "rollback", .before = newest, .after = target->public.number,
                                          .paths = options->paths, .force = options->force };
    _changes_ struct changes changes = {0};
    struct point from = { project_line(project), newest };
    if (fn && (r = changes_between(project, from, point_of(project, target), NULL, options->paths, CHANGES_TIMES, &changes, err)) < 0)
        return r;
    struct snap_rollback_result result = {0};
    if ((r = transition_run(project, &request, &result, err)) < 0 || (r = tell_all(&changes, fn, data)) < 0)
        return r;
    result.safety = result.operation ? newest : 0;
    *ret = result;
    return 0;
}

int snap_rollback(struct snap_project *project, const struct snap_rollback_options *options,
                  snap_change_fn fn, void *data, struct snap_rollback_result *ret, struct snap_err *err) {
    double start = project_seconds();
    _snapshot_ struct snapshot *target = NULL;
    struct snap_rollback_result result = {0};
    uint64_t failed = project->failed;
    int r = find_target(project, options->to, &target, err);
    if (r < 0 || (r = check_line(project, target, err)) < 0)
        return r;
    if (options->dry_run) {
        r = dry_run(project, target, options, fn, data, &result, err);
    } else if ((r = project_need_lock(project, err)) == 0) {
        r = roll_back(project, target, options, fn, data, &result, err);
        result.failed = project->failed - failed;
    }
    if (r < 0)
        return err ? err_wrap(err, "cannot roll '%s' back to snapshot %" PRId64, project->info.root, target->public.number) : r;
    result.to = target->public.number;
    result.operation_kind = "rollback";
    result.seconds = project_seconds() - start;
    *ret = result;
    return 0;
}
