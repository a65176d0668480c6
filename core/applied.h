/* What of a workspace was applied already, and what was changed in it since. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "scan.h"
#include "workspace.h"

/* The tree that the workspace was when all of it was applied last, and that is not undone; before, what it stands on. */
int applied_point(struct snap_project *project, const struct workspace *workspace, struct point *ret, struct snap_err *err);
/* What differs from there, as a scan over it: up to the newest snapshot of the workspace, and on to what `now` says over that, NULL =
 * nothing more. New objects of `now` keep their numbers. */
int applied_since(struct snap_project *project, const struct workspace *workspace, struct point from, const struct scan *now, struct scan **ret,
                  struct snap_err *err);
/* In a transaction: all of the workspace, as this snapshot shows it, is what the operation applies. */
int applied_note(struct snap_project *project, int64_t operation, int64_t workspace, int64_t snapshot, struct snap_err *err);

/* A copy of an object as the scan's own, made once. */
int applied_own(struct scan *scan, const struct object *object, struct object **ret);
