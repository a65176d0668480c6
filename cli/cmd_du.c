/* snapctl du: where the store's space goes.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "format.h"
#include "mounts.h"

#include <inttypes.h>

static int show_json(struct call *call, const struct snap_snapshot *snapshot, uint64_t own, bool removed, bool pinned, struct users *users) {
    json_object *object = json_message("usage");
    json_count(object, "own_bytes", own);
    json_flag(object, "removed", removed);
    json_flag(object, "pinned", pinned);
    json_add(object, "used_by", TAKE_PTR(users->array));
    json_snapshot(object, snapshot);
    return json_print(&call->out, object);
}

static int show(void *data, const struct snap_snapshot *snapshot, uint64_t own, bool removed, bool pinned) {
    struct call *call = data;
    char size[FORMAT_SIZE];
    _users_ struct users users = {0};
    int r = users_find(call, snapshot->number, &users, NULL);
    if (r < 0)
        return r;
    if (call->globals.json)
        return show_json(call, snapshot, own, removed, pinned, &users);
    _buf_ struct buf title = {0};
    add_snapshot(&title, snapshot->number, snapshot->name);
    bool known = users.text.size && !users.text.failed;
    out_text(&call->out, "%10s  %s%s%s%s%s%s\n", format_size(own, size), title.failed ? "snapshot" : title.data,
             removed ? ", removed" : "", snapshot->automatic ? ", automatic" : "", pinned ? ", in use" : "", known ? " by " : "",
             known ? users.text.data : "");
    return out_check(&call->out);
}

static void show_line(struct call *call, uint64_t bytes, const char *what) {
    char size[FORMAT_SIZE];
    out_text(&call->out, "%10s  %s\n", format_size(bytes, size), what);
}

static void show_sums(struct call *call, const struct snap_usage *usage) {
    out_text(&call->out, "content\n");
    show_line(call, usage->shown_bytes, "shown by snapshots");
    show_line(call, usage->automatic_bytes, "shown only by automatic ones, which undo may need");
    show_line(call, usage->removed_bytes, "shown only by removed ones");
    out_text(&call->out, "on disk\n");
    show_line(call, usage->layers_allocated, "layers");
    show_line(call, usage->database_allocated, "database");
    show_line(call, usage->held_allocated, "held for undo of restore");
    show_line(call, usage->work_allocated, "work");
}

static int run(struct call *call, struct snap_err *err) {
    struct snap_usage usage = {0};
    if (!call->globals.json)
        out_text(&call->out, "alone in\n");
    int r = snap_usage(call->project, show, call, &usage, err);
    if (r < 0)
        return r;
    if (!call->globals.json) {
        show_sums(call, &usage);
        return 0;
    }
    json_object *object = json_message("du");
    json_count(object, "snapshots", usage.snapshots);
    json_count(object, "automatic", usage.automatic);
    json_count(object, "removed", usage.removed);
    json_count(object, "shown_bytes", usage.shown_bytes);
    json_count(object, "automatic_bytes", usage.automatic_bytes);
    json_count(object, "removed_bytes", usage.removed_bytes);
    json_count(object, "layers_allocated", usage.layers_allocated);
    json_count(object, "database_allocated", usage.database_allocated);
    json_count(object, "held_allocated", usage.held_allocated);
    json_count(object, "work_allocated", usage.work_allocated);
    return json_print(&call->out, object);
}

const struct cmd cmd_du = {
    .name = "du", .summary = "Show where the store's space goes", .usage = "", .group = "Space", .manual = "snapctl-gc",
    .needs_project = true, .open = SNAP_OPEN_READ, .paged = true, .run = run,
};
