/* Hard links that were made or cut between two trees. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "changes.h"
#include "compare.h"

/* Marks rows SNAP_WHAT_LINKS whose file shares its inode with other names than before, and appends rows for files of
 * which nothing else differs. Names that one of the trees does not have are rows of their own and do not count. */
int partners_find(struct comparison *comparison, struct changes *changes, struct snap_err *err);
