/* Making the k-th change that a program makes go wrong. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "trace.h"

enum fault_mode {
    FAULT_NONE = 0,            /* only count */
    FAULT_KILL_BEFORE, FAULT_KILL_AFTER,
    FAULT_ONCE,                /* the call returns the error and does nothing */
    FAULT_FROM,                /* so do all later ones; ENOSPC: those that need room */
};
struct fault {
    enum fault_mode mode;
    int error;                 /* positive errno */
    uint64_t at;               /* from 1 */
    const char *const *roots;  /* NULL: anywhere */
    uint64_t seen;             /* how many there were */
    bool fired;
    char where[300];           /* the call and its path */
};
int fault_run(struct fault *fault, const struct trace_program *program, int *ret_status);    /* as trace_run */
/* "count", "kill-before", "kill-after", "ENOSPC", "EIO-from"...: false: not such a word. */
bool fault_parse(const char *word, struct fault *ret);
