/* The removal of a workspace, taken back and done again. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"

/* -ENOENT, and how they are listed. */
int workspaces_find(struct snap_project *project, const char *name, struct workspace **ret, struct snap_err *err);
/* Removes it, as an operation of its own; nobody serves it. */
int workspaces_hide(struct snap_project *project, const struct workspace *workspace, int64_t *ret_operation, struct snap_err *err);
/* It did not come to that: there again, and the operation failed. */
void workspaces_unhide(struct snap_project *project, const struct workspace *workspace, int64_t operation);

bool workspaces_removed_by(const struct op *op);          /* it is such an operation */
int workspaces_again(struct snap_project *project, const struct op *meant, bool undo, struct snap_rollback_result *ret, struct snap_err *err);
