/* Named points at which a test may step in: force a race, fail, or stop. Costs one load where no test is running.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Returns 0, or a negative errno that the point passes on as its failure. */
typedef int (*hook_fn)(const char *point, const char *what);
extern hook_fn hook_function;                 /* NULL outside tests */
static inline int hook(const char *point, const char *what) { return hook_function ? hook_function(point, what) : 0; }
