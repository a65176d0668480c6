/* snapctl take: captures the project.
 * Changes nothing in it. SPDX-License-Identifier: GPL-2.0-or-later */
#include "project.h"

#include "format.h"

#include <inttypes.h>

struct take_options { const char *message, *name; bool if_changed, no_sync; };

static const struct option_row options[] = {
    { 'm', NULL, "TEXT", "a message, what the snapshot is for", OPTION_TEXT, offsetof(struct take_options, message), NULL, OPERAND_TEXT },
    { 'n', NULL, "NAME", "a name for the snapshot", OPTION_TEXT, offsetof(struct take_options, name), NULL, OPERAND_TEXT },
    ROW_FLAG(0, "if-changed", struct take_options, if_changed, "make no snapshot if nothing changed since the newest"),
    ROW_FLAG(0, "no-sync", struct take_options, no_sync, "do not wait until the disk has it"),
    ROW_END,
};

static void show(struct call *call, const struct take_options *given, const struct snap_take_result *result) {
    char size[FORMAT_SIZE];
    struct out *out = &call->out;
    if (!result->number) {
        out_text(out, "nothing changed: no snapshot was made\n");
        return;
    }
    _buf_ struct buf title = {0};
    add_snapshot(&title, result->number, given->name);
    out_text(out, "%s: %" PRIu64 " added, %" PRIu64 " changed, %" PRIu64 " deleted; %s (%" PRIu64 " reflinked, %" PRIu64
             " copied, %" PRIu64 " linked) in %.2f s\n", title.failed ? "snapshot" : title.data, result->added, result->changed,
             result->deleted, format_size(result->bytes, size), result->reflinked, result->copied, result->linked, result->seconds);
}

static int show_json(struct call *call, const struct take_options *given, const struct snap_take_result *result) {
    json_object *object = json_message("take");
    json_id(object, "number", result->number);
    json_optional(object, "name", result->number ? given->name : NULL);
    json_id(object, "parent", result->parent);
    json_count(object, "added", result->added);
    json_count(object, "changed", result->changed);
    json_count(object, "deleted", result->deleted);
    json_count(object, "bytes", result->bytes);
    json_count(object, "reflinked", result->reflinked);
    json_count(object, "copied", result->copied);
    json_count(object, "linked", result->linked);
    json_count(object, "failed", result->failed);
    json_add(object, "seconds", json_object_new_double(result->seconds));
    return json_print(&call->out, object);
}

static int run(struct call *call, struct snap_err *err) {
    const struct take_options *given = call->options;
    struct snap_take_options wanted = {
        .message = given->message, .name = given->name, .if_changed = given->if_changed, .no_sync = given->no_sync,
    };
    struct snap_take_result result = {0};
    int r = snap_take(call->project, &wanted, &result, err);
    if (r < 0)
        return r;
    if (call->globals.json)
        r = show_json(call, given, &result);
    else if (!call->globals.quiet)
        show(call, given, &result);
    return r < 0 ? r : exit_code(result.failed);
}

const struct cmd cmd_take = {
    .name = "take", .summary = "Capture the project as a new snapshot", .usage = "", .group = "Capture", .manual = "snapctl-take",
    .options = options, .options_size = sizeof(struct take_options),
    .needs_project = true, .open = SNAP_OPEN_WRITE | SNAP_OPEN_CREATE | SNAP_OPEN_WORKSPACE, .run = run,
};
