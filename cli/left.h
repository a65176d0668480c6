/* Processes that a command left running. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include "err.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

struct left_process { pid_t pid; int fd; char name[32]; };          /* fd: a pidfd */
struct left { struct left_process *at; size_t count, room; };
void left_done(struct left *left);
#define _left_ _cleanup_(left_done)

/* All that descend from this process, but for `but` and what descends from that: who lost a parent has come to us, for child.c made
 * this process the one that such processes come to. */
int left_find(pid_t but, struct left *ret, struct snap_err *err);
void left_name(const struct left *left, struct buf *out);           /* "pid 1234 (sleep), pid 1235 (sh)" */
/* Until none is left, those included that appear meanwhile. -EINTR once *cancel is set. */
int left_wait(pid_t but, const volatile sig_atomic_t *cancel, struct snap_err *err);
/* SIGTERM, and SIGKILL to those that are still there five seconds later. */
int left_kill(pid_t but, const volatile sig_atomic_t *cancel, struct snap_err *err);
