/* diff: two points found, compared and told.
 * Decides nothing about what changed (changes.c) or how a patch looks (patch.c). SPDX-License-Identifier: GPL-2.0-or-later */
#include "catalog.h"
#include "changes.h"
#include "current.h"
#include "ignore.h"
#include "patch.h"
#include "reading.h"
#include "tree.h"
#include "workspaces.h"
#include <string.h>

struct telling {
    struct snap_project *project;
    const struct snap_diff_options *options;
    const struct workspace *workspace;    /* meant instead of the project; NULL = none */
    struct ignore *ignore;                /* of a workspace, whose layer has also what is left out; NULL = no rules */
    struct workspace_dirs dirs;           /* of one that is not opened: it is read where its current layer lies */
    struct side from, to;                 /* for content */
    snap_change_fn fn;
    void *data;
    struct snap_diff_result result;
    struct snap_err *err;
};

static void telling_done(struct telling *telling) {
    side_done(&telling->from);
    side_done(&telling->to);
    workspace_close(&telling->dirs);
    ignore_free(telling->ignore);
}

/* These end the whole; anything else concerns one path, and the others are still told. */
static bool is_fatal(int code) {
    return code == -ENOMEM || code == -ENOSYS || code == -ECANCELED || code == -EUCLEAN;
}

static int compare_content(struct telling *telling, const struct change_row *row, struct buf *patch, struct snap_change *change) {
    struct text_counts counts = {0};
    struct snap_err reason = {0};
    int r = patch_make(&telling->from, &telling->to, row, telling->options->patch ? patch : NULL, &counts, &reason);
    if (r < 0 && is_fatal(r)) {
        if (telling->err)
            *telling->err = reason;
        return r;
    }
    if (r < 0) {
        project_notice(telling->project, SNAP_NOTICE_FAILED_PATH, row->path, "cannot compare its content: %s", reason.message);
        return 0;
    }
    change->binary = counts.binary;
    change->lines_added = counts.added;
    change->lines_deleted = counts.deleted;
    change->patch = patch->size ? patch->data : NULL;
    change->patch_size = patch->size;
    return 0;
}

static uint64_t *counter(struct snap_diff_result *result, char letter) {
    switch (letter) {
    case 'A': return &result->added;
    case 'D': return &result->deleted;
    case 'M': return &result->modified;
    case 'T': return &result->type_changed;
    case 'R': return &result->renamed;
    default: return &result->metadata;
    }
}

static bool is_left_out(const struct telling *telling, const struct snap_change *change) {
    const struct snap_entry *entry = change->after ? change->after : change->before;
    return telling->ignore && ignore_covers(telling->ignore, change->path, S_ISDIR(entry->mode));
}

static int tell_row(struct telling *telling, const struct change_row *row) {
    _buf_ struct buf patch = {0};
    struct public_change public;
    if (project_cancelled(telling->project))
        return project_cancelled_error(telling->err);
    change_publish(row, &public);
    if (is_left_out(telling, &public.change)) {
        telling->result.left_out++;
        return 0;
    }
    int r = telling->options->patch || telling->options->stat ? compare_content(telling, row, &patch, &public.change) : 0;
    if (r < 0)
        return r;
    *counter(&telling->result, row->letter) += 1;
    r = telling->fn ? telling->fn(telling->data, &public.change) : 0;
    return r < 0 && telling->err && telling->err->code != r ? err_errno(telling->err, r, "cannot tell what changed") : MIN(r, 0);
}

static int tell_rows(struct telling *telling, const struct changes *changes) {
    bool reads = telling->options->patch || telling->options->stat;
    int r = 0;
    for (size_t i = 0; r >= 0 && i < changes->count; i++) {
        r = tell_row(telling, &changes->rows[i]);
        if (reads)
            project_progress(telling->project, &(struct snap_progress){ .doing = "comparing", .entries = i + 1,
                                                                       .entries_total = changes->count });
    }
    return r;
}

static unsigned flags_of(const struct snap_diff_options *options) {
    return (options->no_renames ? CHANGES_NO_RENAMES : 0) | (options->patch ? CHANGES_EXPAND : 0)
        | (options->times ? CHANGES_TIMES : 0);
}

/* A workspace that was named rather than entered is compared with what it stands on. */
static bool is_entered(const struct telling *telling) {
    return telling->workspace && telling->workspace == telling->project->workspace;
}

/* Without a name: the newest snapshot; before there is one, the empty tree, or what the workspace stands on. */
static int find_from(const struct telling *telling, struct point *ret) {
    _snapshot_ struct snapshot *snapshot = NULL;
    struct snap_project *project = telling->project;
    const char *spec = telling->options->from;
    int r = spec ? catalog_find(project, spec, &snapshot, telling->err)
        : telling->workspace && !is_entered(telling) ? index_snapshot(project->store, telling->workspace->base, &snapshot, telling->err)
        : catalog_latest(project, &snapshot, telling->err);
    if (r < 0)
        return r;
    *ret = snapshot ? snapshot_point(snapshot) : (struct point){ project_line(project), project->workspace ? project->workspace->base : 0 };
    return 0;
}

static int root_of(const struct telling *telling) {
    return telling->dirs.upper >= 0 ? telling->dirs.upper : telling->project->root;
}

static int find_to(const struct telling *telling, struct point *ret) {
    _snapshot_ struct snapshot *snapshot = NULL;
    const char *spec = telling->options->to;
    int r = spec ? catalog_find(telling->project, spec, &snapshot, telling->err) : 0;
    if (r >= 0 && spec)
        *ret = snapshot_point(snapshot);
    return r;
}

static int look_at_workspace(struct telling *telling, struct scan **ret) {
    struct snap_project *project = telling->project;
    if (is_entered(telling))
        return current_compare(project, telling->workspace, project->root, ret, telling->err);
    int r = workspace_open(project->store, telling->workspace->id, &telling->dirs, telling->err);
    return r < 0 ? r : current_look(project, telling->workspace, root_of(telling), 0, ret, telling->err);
}

static int look(struct telling *telling, struct point *ret, struct scan **ret_scan) {
    if (telling->workspace) {
        int loaded = ignore_load(telling->project->root, &telling->ignore, telling->err);
        if (loaded < 0)
            return loaded;
    }
    int r = telling->workspace ? look_at_workspace(telling, ret_scan) : scan_look(telling->project, ret_scan, telling->err);
    if (r == 0)
        *ret = scan_ground(*ret_scan);
    return r;
}

static int compare_and_tell(struct telling *telling, struct point from, struct point to, struct scan *scan) {
    _changes_ struct changes changes = {0};
    side_init(&telling->from, telling->project, from, NULL);
    side_init(&telling->to, telling->project, to, scan);
    telling->to.root = root_of(telling);
    int r = changes_between(telling->project, from, to, scan, telling->options->paths, flags_of(telling->options), &changes, telling->err);
    return r < 0 ? r : tell_rows(telling, &changes);
}

int snap_diff(struct snap_project *project, const struct snap_diff_options *options,
              snap_change_fn fn, void *data, struct snap_diff_result *ret, struct snap_err *err) {
    static const struct snap_diff_options standard;
    _cleanup_(telling_done) struct telling telling = { .project = project, .options = options ? options : &standard,
                                                      .dirs = { -1, -1, -1 }, .fn = fn, .data = data, .err = err };
    _workspace_ struct workspace *named = NULL;
    _scan_ struct scan *scan = NULL;
    struct point from, to;
    uint64_t failed = project->failed;
    int r = telling.options->workspace ? workspaces_find(project, telling.options->workspace, &named, err) : 0;
    telling.workspace = named ? named : project->workspace;
    if (r >= 0)
        r = find_from(&telling, &from);
    if (r >= 0)
        r = find_to(&telling, &to);
    if (r < 0 || (r = reading_begin(project, err)) < 0)
        return r;
    if (!telling.options->to)
        r = look(&telling, &to, &scan);
    if (r >= 0)
        r = compare_and_tell(&telling, from, to, scan);
    if ((r = reading_end(project, r, err)) < 0)
        return r;
    telling.result.from = from.snap;
    telling.result.to = scan ? 0 : to.snap;
    telling.result.failed = project->failed - failed;
    if (ret)
        *ret = telling.result;
    return 0;
}
