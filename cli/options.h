/* The command line as typed, taken apart by the option rows. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "cmd.h"

/* Fills cmd, globals, options, words and paths of *call, which starts out empty; on failure it holds what was understood so
 * far. call->cmd stays NULL if no command was named. The words point into argv. */
int options_parse(struct call *call, char *const argv[], struct snap_err *err);
/* How many operands there are is right, unless help is asked for: 0, or a failure that says what is missing. */
int options_check(const struct call *call, struct snap_err *err);
void options_done(struct call *call);

/* "op" is the first word of "op log". */
bool command_begins_with(const struct cmd *cmd, const char *word);
bool command_is_family(const char *word);                    /* some command begins with it */
const struct cmd *command_find(const char *name);            /* NULL = none */
/* -EINVAL, and what was meant perhaps. `name` is no command. */
int command_unknown(const char *name, struct snap_err *err);
