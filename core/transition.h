/* Making the project equal to a snapshot, wholly or in part: rollback, undo, redo, and finishing them after a crash.
 * One protocol in one place: plan, stage, check, swap, metadata, commit (design.md section 6).
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"

/* Finishes or puts back what an unfinished operation left; needs the lock; tells each as SNAP_NOTICE_RECOVERED. */
int transition_recover(struct snap_project *project, struct snap_err *err);
