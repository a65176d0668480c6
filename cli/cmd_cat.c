/* snapctl cat: the bytes of a file in a snapshot.
 * Adds nothing to them, also with --json. SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd.h"

static int run(struct call *call, struct snap_err *err) {
    return snap_cat(call->project, call->words[0], STDOUT_FILENO, err);
}

const struct cmd cmd_cat = {
    .name = "cat", .summary = "Write a file of a snapshot to stdout", .usage = "SNAP:PATH", .group = "Look", .manual = "snapctl-ls",
    .words_min = 1, .words_max = 1, .operand = OPERAND_SNAPSHOT, .needs_project = true, .open = SNAP_OPEN_READ, .run = run,
};
