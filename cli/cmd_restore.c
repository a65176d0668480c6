/* snapctl restore: copies a past file or tree elsewhere.
 * Replaces nothing unless told to. SPDX-License-Identifier: GPL-2.0-or-later */
#include "project.h"

struct restore_options { bool overwrite; };

static const struct option_row options[] = {
    ROW_FLAG(0, "overwrite", struct restore_options, overwrite, "replace DEST if it exists"),
    ROW_END,
};

static void show(struct call *call, const struct snap_rollback_result *result) {
    out_text(&call->out, "restored ");
    out_path(&call->out, call->words[0]);
    out_text(&call->out, " to ");
    out_path(&call->out, call->words[1]);
    show_restored(&call->out, result);
    show_undo(call, result->operation);
}

static int run(struct call *call, struct snap_err *err) {
    const struct restore_options *given = call->options;
    struct snap_rollback_result result = {0};
    int r = snap_restore(call->project, call->words[0], call->words[1], given->overwrite, &result, err);
    if (r < 0)
        return r;
    if (call->globals.json) {
        json_object *object = json_message("restore");
        json_restored(object, &result);
        r = json_print(&call->out, object);
    } else if (!call->globals.quiet) {
        show(call, &result);
    }
    return r < 0 ? r : exit_code(result.failed);
}

const struct cmd cmd_restore = {
    .name = "restore", .summary = "Copy a past file or tree elsewhere", .usage = "SNAP:PATH DEST", .group = "Go back",
    .manual = "snapctl-restore", .options = options, .options_size = sizeof(struct restore_options),
    .words_min = 2, .words_max = 2, .operand = OPERAND_SNAPSHOT, .needs_project = true, .open = SNAP_OPEN_WRITE, .run = run,
};
