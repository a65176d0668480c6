/* Snapshots hidden by one operation, and shown again. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "index.h"
#include "project.h"

/* Hides these (ascending, each once), durably; *ret_operation undoes it. */
int removal_hide(struct snap_project *project, const char *kind, const int64_t *numbers, size_t count, int64_t *ret_operation,
                 struct snap_err *err);
bool removal_is(const struct op *op);                /* an rm or prune */
/* Undo: what gc left is shown again, under the names that nobody has taken since. Redo: hides it again. */
int removal_again(struct snap_project *project, const struct op *meant, bool undo, struct snap_rollback_result *ret, struct snap_err *err);
