/* snapctl umount: ends a mount, also one whose process is gone.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "project.h"

static int run(struct call *call, struct snap_err *err) {
    int r = snap_unmount(&call->env, call->words[0], err);
    if (r < 0)
        return r;
    if (call->globals.json) {
        json_object *object = json_message("umount");
        json_path(object, "dir", call->words[0]);
        return json_print(&call->out, object);
    }
    if (call->globals.quiet)
        return 0;
    out_path(&call->out, call->words[0]);
    out_text(&call->out, " is unmounted\n");
    return 0;
}

const struct cmd cmd_umount = {
    .name = "umount", .summary = "End a mount", .usage = "DIR", .group = "Mount", .manual = "snapctl-mount",
    .words_min = 1, .words_max = 1, .operand = OPERAND_DIRECTORY, .run = run,
};
