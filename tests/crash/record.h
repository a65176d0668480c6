/* Watching a program, and telling a struct disk what it does. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "disk.h"
#include "trace.h"

/* `base`: changes below it are recorded; a directory made as base/mark-N is mark N, and no change.
 * `stop`: kills everything before the event of this number, counted from 0. As trace_run. */
int record_run(struct disk *disk, const char *base, size_t stop, const struct trace_program *program, int *ret_status);
