/* What undo and redo have in common. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"

/* Shows what was undone, or redone: the text or the object. Returns the exit code. */
int again_show(struct call *call, bool undone, const struct snap_rollback_result *result);
