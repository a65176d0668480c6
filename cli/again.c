/* What undo and redo have in common: they say what came back and how to go the other way.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "again.h"

static void show(struct call *call, const char *done, const struct snap_rollback_result *result) {
    out_text(&call->out, "%s %s", done, result->operation_kind ? result->operation_kind : "operation");
    show_restored(&call->out, result);
    show_undo(call, result->operation);
}

int again_show(struct call *call, const char *done, const struct snap_rollback_result *result) {
    int r = 0;
    if (call->globals.json) {
        json_object *object = json_message(call->cmd->name);
        json_restored(object, result);
        r = json_print(&call->out, object);
    } else if (!call->globals.quiet) {
        show(call, done, result);
    }
    return r < 0 ? r : exit_code(result->failed);
}
