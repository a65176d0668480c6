/* The removal of a workspace, taken back and done again. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"

bool workspaces_removed_by(const struct op *op);          /* it is such an operation */
int workspaces_again(struct snap_project *project, const struct op *meant, bool undo, struct snap_rollback_result *ret, struct snap_err *err);
