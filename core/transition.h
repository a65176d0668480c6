/* Making the project equal to a snapshot, wholly or in part: rollback, undo, redo, and finishing them after a crash.
 * One protocol in one place: plan, stage, check, swap, metadata, commit (transition.c).
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"

struct transition_request {
    const char *kind;                     /* rollback, apply, undo, redo */
    int64_t before, after;                /* snapshots of the project's line: what the project equals where they differ, and what it shall */
    const char *const *paths;             /* NULL-terminated, NULL = all */
    int64_t target;                       /* undo, redo: the operation meant; else 0 */
    int64_t also_before, also_after;      /* not 0: only entries in which these two differ, too */
    int64_t workspace, applied;           /* apply: of all of this workspace, as this snapshot of it shows it; else 0 */
    bool force;                           /* also over files that somebody has open for writing */
};
/* Needs the lock. *ret is filled but for `safety` and `seconds`; operation 0: nothing differs. */
int transition_run(struct snap_project *project, const struct transition_request *request, struct snap_rollback_result *ret,
                   struct snap_err *err);
/* Finishes or puts back what an unfinished operation left; needs the lock; tells each as SNAP_NOTICE_RECOVERED. */
int transition_recover(struct snap_project *project, struct snap_err *err);
