/* Into the background: a function goes on in a process of its own, and the parent returns when that says that it is ready.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "err.h"
#include <sys/types.h>

struct detach_ready;
typedef int (*detach_fn)(void *data, struct detach_ready *ready, struct snap_err *err);
/* Forks; `serve` runs in a session of its own with no terminal, working directory / and standard descriptors at /dev/null (standard
 * error too, once it is ready). Returns in the parent when the child is ready, or failed: then with the child's error.
 * Call it while there is only one thread and nothing is open that must not cross a fork. *ret_pid may be NULL. */
int detach(detach_fn serve, void *data, pid_t *ret_pid, struct snap_err *err);
/* In the child: the parent is told, last of all, for from then on a failure can be told to nobody. */
int detach_tell(struct detach_ready *ready, struct snap_err *err);
