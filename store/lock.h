/* The store's lock: one writing command at a time, and who it is. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "store.h"

/* Takes run/lock below `run_fd`. The descriptor in *ret_fd holds it until lock_give or the end of the process, however
 * it ends. Failures as of store_lock. */
int lock_take(int run_fd, enum store_lock how, const char *command, const volatile sig_atomic_t *cancel, int *ret_fd, struct snap_err *err);
int lock_give(int fd);                       /* accepts -1; returns -1 */
