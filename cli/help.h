/* Help from the option rows. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "cmd.h"

void help_overview(struct out *out);
void help_command(struct out *out, const struct cmd *cmd);
/* The commands that begin with this word: "op". */
void help_family(struct out *out, const char *word);
