/* What undo and redo have in common: they say what came back and how to go the other way.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "again.h"
#include "format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The row of an undo or redo knows which operation was meant. */
struct search { int64_t id, target; };

static int look(void *data, const struct snap_operation *operation) {
    struct search *search = data;
    if (operation->id != search->id)
        return 0;
    search->target = operation->target;
    return -ECANCELED;         /* found: no need to list the rest */
}

/* 0 = not known. */
static int64_t find_target(struct call *call, int64_t id) {
    struct search search = { .id = id };
    struct snap_err ignored = {0};
    if (id)
        (void)snap_operations(call->project, look, &search, &ignored);
    return search.target;
}

/* An undo is not undone but redone, and the other way round. */
static void show_way_back(struct call *call, bool undone, int64_t target) {
    char rest[40] = "redo";
    if (!undone && !target)
        return;
    if (!undone)
        (void)snprintf(rest, sizeof(rest), "undo %" PRId64, target);
    _buf_ struct buf command = {0};
    add_snapctl(&command, call, rest);
    if (!command.failed)
        out_text(&call->out, "%s with: %s\n", undone ? "redo" : "undo", command.data);
}

static void show(struct call *call, bool undone, const struct snap_rollback_result *result) {
    struct out *out = &call->out;
    int64_t target = find_target(call, result->operation);
    out_text(out, undone ? "undid " : "redid ");
    if (target)
        out_text(out, "operation %" PRId64 ", ", target);
    const char *kind = result->operation_kind ? result->operation_kind : "an operation";
    out_text(out, "%s", kind);
    if (strcmp(kind, "rm") == 0 || strcmp(kind, "prune") == 0)
        out_text(out, ": %" PRIu64 " %s %s\n", result->restored + result->removed, plural(result->restored + result->removed, "snapshot", "snapshots"),
                 undone ? "shown again" : "removed");
    else if (strcmp(kind, "tag") == 0 || strcmp(kind, "workspace remove") == 0)
        out_text(out, "\n");              /* no file was touched */
    else
        show_restored(out, result);
    if (result->safety)
        out_text(out, "what stood there before is in snapshot %" PRId64 "\n", result->safety);
    show_way_back(call, undone, target);
}

int again_show(struct call *call, bool undone, const struct snap_rollback_result *result) {
    int r = 0;
    if (call->globals.json) {
        json_object *object = json_message(call->cmd->name);
        json_id(object, "target", find_target(call, result->operation));
        json_restored(object, result);
        r = json_print(&call->out, object);
    } else if (!call->globals.quiet) {
        show(call, undone, result);
    }
    return r < 0 ? r : exit_code(result->failed);
}
