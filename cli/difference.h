/* What status and diff have in common. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "json.h"
#include "view.h"

struct forms { bool porcelain, zero, patch, stat; };   /* as given */

/* At most one of them and --json. */
int forms_choose(const struct call *call, const struct forms *given, enum view_format *ret, struct snap_err *err);
/* "3 changes: 1 added, 2 changed" */
void show_counts(struct out *out, const struct snap_diff_result *result, uint64_t rows);
void json_counts(json_object *object, const struct snap_diff_result *result);
/* The exit code of a comparison. */
int difference_code(const struct snap_diff_result *result, uint64_t rows, bool tell);
