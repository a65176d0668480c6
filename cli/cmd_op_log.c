/* snapctl op log: what commands did, newest first.
 * Changes nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "format.h"
#include "json.h"
#include "project.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct listing { struct call *call; int width; uint64_t count; };

static int show_json(struct call *call, const struct snap_operation *operation) {
    json_object *object = json_message("operation");
    json_number(object, "id", operation->id);
    json_text(object, "kind", operation->kind);
    json_text(object, "state", operation->state);
    json_time(object, "created", operation->created);
    json_optional(object, "command", operation->command);
    json_id(object, "before", operation->before);
    json_id(object, "after", operation->after);
    json_id(object, "target", operation->target);
    json_flag(object, "undoable", operation->undoable);
    return json_print(&call->out, object);
}

static enum paint state_paint(const char *state) {
    if (strcmp(state, "done") == 0)
        return PAINT_GREEN;
    return strcmp(state, "undone") == 0 ? PAINT_DIM : PAINT_RED;
}

static void show_text(struct listing *listing, const struct snap_operation *operation) {
    struct out *out = &listing->call->out;
    char time[FORMAT_SIZE], id[24], state[16];
    (void)snprintf(id, sizeof(id), "%*" PRId64, listing->width, operation->id);
    if (!listing->width)
        listing->width = (int)strlen(id);
    (void)snprintf(state, sizeof(state), "%-6s", operation->state);
    out_painted(out, PAINT_YELLOW, id);
    out_text(out, "  %s  %-8s  ", format_time(operation->created, time), operation->kind);
    out_painted(out, state_paint(operation->state), state);
    out_text(out, "  ");
    if (operation->target)
        out_text(out, "of %" PRId64 "  ", operation->target);
    out_path(out, operation->command ? operation->command : "");
    out_text(out, "\n");
}

static int show(void *data, const struct snap_operation *operation) {
    struct listing *listing = data;
    listing->count++;
    if (listing->call->globals.json)
        return show_json(listing->call, operation);
    show_text(listing, operation);
    return out_check(&listing->call->out);
}

static int run(struct call *call, struct snap_err *err) {
    struct listing listing = { .call = call };
    int r = snap_operations(call->project, show, &listing, err);
    if (r < 0)
        return r;
    if (call->globals.json) {
        json_object *object = json_message("op log");
        json_count(object, "operations", listing.count);
        return json_print(&call->out, object);
    }
    if (!listing.count && !call->globals.quiet)
        out_text(&call->out, "no operations\n");
    return 0;
}

const struct cmd cmd_op_log = {
    .name = "op log", .summary = "List what commands did, newest first", .usage = "", .group = "Go back", .manual = "snapctl-undo",
    .needs_project = true, .open = SNAP_OPEN_READ, .paged = true, .run = run,
};
