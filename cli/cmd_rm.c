/* snapctl rm: removes snapshots from the list.
 * Frees nothing: undo brings them back until gc. SPDX-License-Identifier: GPL-2.0-or-later */
#include "project.h"

#include <limits.h>

static int show(void *data, const struct snap_snapshot *snapshot) {
    struct call *call = data;
    if (call->globals.json) {
        json_object *object = json_message("removed");
        json_snapshot(object, snapshot);
        return json_print(&call->out, object);
    }
    if (call->globals.quiet)
        return 0;
    _buf_ struct buf title = {0};
    add_snapshot(&title, snapshot->number, snapshot->name);
    out_text(&call->out, "removed %s\n", title.failed ? "snapshot" : title.data);
    return out_check(&call->out);
}

static int run(struct call *call, struct snap_err *err) {
    struct snap_remove_result result = {0};
    int r = snap_remove(call->project, (const char *const *)call->words, show, call, &result, err);
    if (r < 0)
        return r;
    if (call->globals.json) {
        json_object *object = json_message("rm");
        json_count(object, "snapshots", result.removed);
        json_id(object, "operation", result.operation);
        return json_print(&call->out, object);
    }
    if (!call->globals.quiet)
        show_undo(call, result.operation);
    return 0;
}

const struct cmd cmd_rm = {
    .name = "rm", .summary = "Remove snapshots; gc frees their space", .usage = "SNAP...", .group = "Space", .manual = "snapctl-rm",
    .words_min = 1, .words_max = UINT_MAX, .operand = OPERAND_SNAPSHOT, .needs_project = true, .open = SNAP_OPEN_WRITE, .run = run,
};
