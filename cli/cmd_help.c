/* snapctl help: the commands, or one of them.
 * Needs no project. SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd.h"
#include "help.h"
#include "options.h"

#include <stdio.h>

static int run(struct call *call, struct snap_err *err) {
    if (!call->word_count) {
        help_overview(&call->out);
        return 0;
    }
    _buf_ struct buf name = {0};
    for (size_t i = 0; i < call->word_count; i++)
        buf_fmt(&name, "%s%s", i ? " " : "", call->words[i]);
    if (name.failed)
        return err_nomem(err);
    const struct cmd *cmd = command_find(name.data);
    if (cmd)
        help_command(&call->out, cmd);
    else if (command_is_family(name.data))
        help_family(&call->out, name.data);
    else
        return command_unknown(name.data, err);
    return 0;
}

const struct cmd cmd_help = {
    .name = "help", .summary = "Show the help of a command", .usage = "[COMMAND]", .group = "More", .manual = "snapctl",
    .words_max = 2, .operand = OPERAND_COMMAND, .paged = true, .run = run,
};
