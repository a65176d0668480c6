/* snapctl redo: does again what was undone last.
 * Leaves alone what others changed since, unless forced. SPDX-License-Identifier: GPL-2.0-or-later */
#include "again.h"

struct redo_options { bool force; };

static const struct option_row options[] = {
    ROW_FLAG(0, "force", struct redo_options, force, "also what was changed since; that is captured first"),
    ROW_END,
};

static int run(struct call *call, struct snap_err *err) {
    const struct redo_options *given = call->options;
    struct snap_rollback_result result = {0};
    int r = snap_redo(call->project, given->force, &result, err);
    return r < 0 ? r : again_show(call, false, &result);
}

const struct cmd cmd_redo = {
    .name = "redo", .summary = "Do again what was undone last", .usage = "", .group = "Go back", .manual = "snapctl-undo",
    .options = options, .options_size = sizeof(struct redo_options),
    .needs_project = true, .open = SNAP_OPEN_WRITE | SNAP_OPEN_WORKSPACE, .run = run,
};
