/* What undo and redo have in common. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"

/* Shows the result of `done` ("undid", "redid"): the text or the object, and the exit code. */
int again_show(struct call *call, const char *done, const struct snap_rollback_result *result);
