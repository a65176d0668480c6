/* snapctl tag: gives a snapshot a name.
 * Changes nothing that it shows. SPDX-License-Identifier: GPL-2.0-or-later */
#include "project.h"

#include <string.h>

static void show(struct call *call, const struct snap_snapshot *snapshot, const char *old) {
    _buf_ struct buf title = {0};
    add_snapshot(&title, snapshot->number, call->words[1]);
    out_text(&call->out, "%s%s", title.failed ? "snapshot" : title.data, *call->words[1] ? "" : " has no name now");
    if (old && strcmp(old, call->words[1]) != 0) {
        out_text(&call->out, ", was \"");
        out_path(&call->out, old);
        out_text(&call->out, "\"");
    }
    out_text(&call->out, "\n");
}

static int run(struct call *call, struct snap_err *err) {
    _free_ char *old = NULL;
    _snapshot_ struct snap_snapshot *snapshot = NULL;
    int r = snap_find(call->project, call->words[0], &snapshot, err);
    if (r == 0)
        r = snap_tag(call->project, call->words[0], call->words[1], &old, err);
    if (r < 0)
        return r;
    if (call->globals.json) {
        json_object *object = json_message("tag");
        json_number(object, "number", snapshot->number);
        json_optional(object, "name", call->words[1]);
        json_optional(object, "old_name", old);
        return json_print(&call->out, object);
    }
    if (!call->globals.quiet)
        show(call, snapshot, old);
    return 0;
}

const struct cmd cmd_tag = {
    .name = "tag", .summary = "Give a snapshot a name", .usage = "SNAP NAME", .group = "More", .manual = "snapctl-tag",
    .words_min = 2, .words_max = 2, .operand = OPERAND_SNAPSHOT, .needs_project = true, .open = SNAP_OPEN_WRITE, .run = run,
};
