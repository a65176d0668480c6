/* Past trees copied elsewhere, as operations. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"

/* In place of transition_recover, for operations of kind restore, and undo or redo of one. */
int restore_recover(struct snap_project *project, struct op *op, struct snap_err *err);
/* What a restore made goes, if it still is what it made, and what was there before comes back. */
int restore_undo(struct snap_project *project, const struct op *meant, bool force, struct snap_rollback_result *ret, struct snap_err *err);
int restore_redo(struct snap_project *project, const struct op *meant, bool force, struct snap_rollback_result *ret, struct snap_err *err);
