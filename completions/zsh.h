/* Texts as zsh wants them. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* On standard output, for use inside '...', where _arguments and _values give [, ], : and \ a meaning. */
void zsh_text(const char *text);
