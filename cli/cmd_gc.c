/* snapctl gc: frees what removed and automatic snapshots alone hold.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "format.h"
#include "project.h"

#include <inttypes.h>

struct gc_options { bool now; };

static const struct option_row options[] = {
    ROW_FLAG(0, "now", struct gc_options, now, "also what undo could still bring back"),
    ROW_END,
};

static void show_kept(struct call *call, const struct snap_gc_result *result) {
    struct out *out = &call->out;
    if (result->pinned)
        out_text(out, "%" PRIu64 " %s in use and %s\n", result->pinned, plural(result->pinned, "snapshot is", "snapshots are"),
                 plural(result->pinned, "stays", "stay"));
    if (!result->held)
        return;
    _buf_ struct buf command = {0};
    add_snapctl(&command, call, "gc --now");
    out_text(out, "%" PRIu64 " %s kept for undo; free %s, too, with: %s\n", result->held,
             plural(result->held, "removed or automatic snapshot is", "removed or automatic snapshots are"),
             plural(result->held, "it", "them"), command.failed ? "" : command.data);
}

static void show(struct call *call, const struct snap_gc_result *result) {
    struct out *out = &call->out;
    char size[FORMAT_SIZE];
    if (!result->operation)
        out_text(out, "nothing to free\n");
    else
        out_text(out, "freed %" PRIu64 " %s: %s in %" PRIu64 " %s and %" PRIu64 " %s\n", result->snapshots,
                 plural(result->snapshots, "snapshot", "snapshots"), format_size(result->bytes, size), result->layers,
                 plural(result->layers, "layer", "layers"), result->files, plural(result->files, "other name", "other names"));
    if (result->ended)
        out_text(out, "%" PRIu64 " %s can no longer be undone\n", result->ended, plural(result->ended, "operation", "operations"));
    show_kept(call, result);
}

static int run(struct call *call, struct snap_err *err) {
    const struct gc_options *given = call->options;
    struct snap_gc_result result = {0};
    int r = snap_gc(call->project, given->now, &result, err);
    if (r < 0)
        return r;
    if (call->globals.json) {
        json_object *object = json_message("gc");
        json_id(object, "operation", result.operation);
        json_count(object, "snapshots", result.snapshots);
        json_count(object, "bytes", result.bytes);
        json_count(object, "layers", result.layers);
        json_count(object, "files", result.files);
        json_count(object, "held", result.held);
        json_count(object, "pinned", result.pinned);
        json_count(object, "ended", result.ended);
        json_add(object, "seconds", json_object_new_double(result.seconds));
        return json_print(&call->out, object);
    }
    if (!call->globals.quiet)
        show(call, &result);
    return 0;
}

const struct cmd cmd_gc = {
    .name = "gc", .summary = "Free what removed snapshots alone hold", .usage = "", .group = "Space", .manual = "snapctl-gc",
    .options = options, .options_size = sizeof(struct gc_options), .needs_project = true, .open = SNAP_OPEN_WRITE, .run = run,
};
