/* snapctl apply: what was changed in a workspace, done to the project.
 * Decides no conflict. SPDX-License-Identifier: GPL-2.0-or-later */
#include "format.h"
#include "project.h"
#include "view.h"

#include <inttypes.h>

struct apply_options { bool dry_run, merge, ours, theirs, force; };

static const struct option_row options[] = {
    ROW_FLAG(0, "dry-run", struct apply_options, dry_run, "show what would change, write nothing"),
    ROW_FLAG(0, "merge", struct apply_options, merge, "where both changed a text, merge it by lines"),
    ROW_FLAG(0, "ours", struct apply_options, ours, "where both changed something, keep the project's"),
    ROW_FLAG(0, "theirs", struct apply_options, theirs, "where both changed something, take the workspace's"),
    ROW_FLAG(0, "force", struct apply_options, force, "also over files that a program has open for writing"),
    ROW_END,
};

static int show_json(struct call *call, const struct snap_rollback_result *result, bool dry_run) {
    json_object *object = json_message("apply");
    json_text(object, "workspace", call->words[0]);
    json_flag(object, "dry_run", dry_run);
    json_restored(object, result);
    return json_print(&call->out, object);
}

static void show_text(struct call *call, const struct snap_rollback_result *result, bool dry_run) {
    struct out *out = &call->out;
    if (!result->restored && !result->removed && !result->failed) {
        out_text(out, "nothing to do: the project has what was changed in the workspace\n");
        return;
    }
    out_text(out, dry_run ? "would apply workspace \"" : "applied workspace \"");
    out_path(out, call->words[0]);
    out_text(out, "\"");
    if (dry_run) {
        out_text(out, ": %" PRIu64 " to change, %" PRIu64 " to remove; nothing was written\n", result->restored, result->removed);
        return;
    }
    show_restored(out, result);
    show_undo(call, result->operation);
}

static int run(struct call *call, struct snap_err *err) {
    const struct apply_options *given = call->options;
    _view_ struct view view = { .call = call, .format = call->globals.json ? VIEW_JSON : VIEW_TEXT };
    _paths_ char **paths = NULL;
    if (given->ours && given->theirs) {
        err_set(err, -EINVAL, "--ours and --theirs exclude each other");
        return err_failure(err, SNAP_FAILURE_USAGE);
    }
    int r = project_paths(call, &paths, err);
    if (r < 0)
        return r;
    struct snap_apply_options wanted = {
        .workspace = call->words[0], .paths = (const char *const *)paths, .dry_run = given->dry_run, .force = given->force, .merge = given->merge,
        .prefer = given->ours ? SNAP_APPLY_OURS : given->theirs ? SNAP_APPLY_THEIRS : SNAP_APPLY_NEITHER,
    };
    struct snap_rollback_result result = {0};
    r = snap_apply(call->project, &wanted, given->dry_run || call->globals.verbose ? view_change : NULL, &view, &result, err);
    if (r < 0)
        return r;
    if (call->globals.json)
        r = show_json(call, &result, given->dry_run);
    else if (!call->globals.quiet)
        show_text(call, &result, given->dry_run);
    return r < 0 ? r : exit_code(result.failed);
}

const struct cmd cmd_apply = {
    .name = "apply", .summary = "Do to the project what was changed in a workspace", .usage = "WORKSPACE [-- PATH...]", .group = "Mount",
    .manual = "snapctl-apply", .options = options, .options_size = sizeof(struct apply_options), .words_min = 1, .words_max = 1,
    .takes_paths = true, .operand = OPERAND_WORKSPACE, .needs_project = true, .open = SNAP_OPEN_WRITE, .run = run,
};
