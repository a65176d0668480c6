/* snapctl rollback: makes the project, or paths of it, equal to a snapshot.
 * Loses nothing: what it overwrites was captured first. SPDX-License-Identifier: GPL-2.0-or-later */
#include "project.h"
#include "view.h"

#include <inttypes.h>

struct rollback_options { bool dry_run, force; };

static const struct option_row options[] = {
    ROW_FLAG(0, "dry-run", struct rollback_options, dry_run, "show what would change, write nothing"),
    ROW_FLAG(0, "force", struct rollback_options, force, "also over files that a process has open for writing"),
    ROW_END,
};

static void show_nothing(struct call *call, int64_t to) {
    const char *what = call->path_count ? "these paths equal"
        : snap_project_info(call->project)->workspace ? "the workspace equals" : "the project equals";
    out_text(&call->out, "nothing to do: %s snapshot %" PRId64 "\n", what, to);
}

static void show(struct call *call, const struct snap_rollback_result *result) {
    struct out *out = &call->out;
    if (!result->operation && !result->restored && !result->removed && !result->failed) {
        show_nothing(call, result->to);
        return;
    }
    _buf_ struct buf title = {0};
    add_snapshot_found(&title, call, result->to);
    out_text(out, "rolled back to %s", title.failed ? "it" : title.data);
    show_restored(out, result);
    show_undo(call, result->operation);
}

static void show_dry(struct call *call, const struct view *view, const struct snap_rollback_result *result) {
    if (!view->rows && !result->failed) {
        show_nothing(call, result->to);
        return;
    }
    out_text(&call->out, "would go back to snapshot %" PRId64 ": %" PRIu64 " to restore, %" PRIu64 " to remove; nothing was written\n",
             result->to, result->restored, result->removed);
}

static int show_json(struct call *call, bool dry_run, const struct snap_rollback_result *result) {
    json_object *object = json_message("rollback");
    json_flag(object, "dry_run", dry_run);
    json_restored(object, result);
    return json_print(&call->out, object);
}

/* The rows are shown where they are asked for: as a list they are the dry run's answer, else too much. */
static int skip_change(void *data, const struct snap_change *change) {
    (void)data, (void)change;
    return 0;
}

static int run(struct call *call, struct snap_err *err) {
    const struct rollback_options *given = call->options;
    bool rows = given->dry_run || call->globals.verbose;
    _view_ struct view view = { .call = call, .format = call->globals.json ? VIEW_JSON : VIEW_TEXT };
    _paths_ char **paths = NULL;
    int r = call->words[0] ? project_check_snapshot(call, call->words[0], err) : 0;
    if (r == 0)
        r = project_paths(call, &paths, err);
    if (r < 0)
        return r;

    struct snap_rollback_options wanted = {
        .to = call->words[0], .paths = (const char *const *)paths, .dry_run = given->dry_run, .force = given->force,
    };
    struct snap_rollback_result result = {0};
    r = snap_rollback(call->project, &wanted, rows ? view_change : skip_change, &view, &result, err);
    if (r < 0)
        return r;
    if (call->globals.json)
        r = show_json(call, given->dry_run, &result);
    else if (given->dry_run)
        show_dry(call, &view, &result);
    else if (!call->globals.quiet)
        show(call, &result);
    return r < 0 ? r : exit_code(result.failed);
}

const struct cmd cmd_rollback = {
    .name = "rollback", .summary = "Make the project, or paths of it, equal to a snapshot", .usage = "[SNAP] [-- PATH...]",
    .group = "Go back", .manual = "snapctl-rollback", .options = options, .options_size = sizeof(struct rollback_options),
    .words_max = 1, .takes_paths = true, .operand = OPERAND_SNAPSHOT,
    .needs_project = true, .open = SNAP_OPEN_WRITE | SNAP_OPEN_WORKSPACE, .run = run,
};
