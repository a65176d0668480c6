/* A pager between stdout and the terminal, as git has one. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

struct pager {
    pid_t pid;                 /* 0 = none runs */
    int saved_stderr;          /* -1 = stderr was not led through it */
};

/* Leads stdout, and stderr if it is a terminal, into $SNAPCTL_PAGER, $PAGER or less. True: it runs. */
bool pager_start(struct pager *pager);
/* After the last byte was flushed: closes stdout, waits until the reader has seen enough, gives stderr back. */
void pager_end(struct pager *pager);
