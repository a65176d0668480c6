/* Texts as zsh wants them. SPDX-License-Identifier: GPL-2.0-or-later */
#include "zsh.h"

#include <stdio.h>
#include <string.h>

void zsh_text(const char *text) {
    for (; *text; text++) {
        if (*text == '\'')
            printf("'\\''");
        else if (strchr("[]:\\", *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}
