/* What the current layer of a workspace looked like when it was captured last, by inode, so that the next look at it reads only
 * what changed, and knows the directories that were made in it. Losing it costs a comparison by content, and the identity of
 * directories that were moved since. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "store.h"
#include <stdbool.h>

struct current_row {
    uint64_t inode;
    int64_t birth;             /* in ns; 0 = not known */
    int64_t changed;           /* st_ctime in ns; 0 = compare by content */
    int64_t object;            /* what it is in the newest entries of the line, or was */
    int64_t dir;               /* directories: identity; else 0 */
};
/* inode -> struct current_row; values are freed with free. */
struct map;
int current_rows_read(struct store *store, int64_t line, struct map **ret, struct snap_err *err);
/* In a transaction: exactly these, given what was read before. */
int current_rows_write(struct store *store, int64_t line, const struct map *before, const struct map *now, struct snap_err *err);
int current_rows_forget(struct store *store, int64_t line, struct snap_err *err);
