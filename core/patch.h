/* One row of a comparison as a patch that `git apply` and `patch -p1` take. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "changes.h"
#include "side.h"
#include "text.h"

/* Appends the row's patch to `out` (NULL: count only) and counts its lines. Nothing is appended for what a patch cannot
 * tell: directories, special files, owners, permissions beyond "executable". Content is read as it is now. */
int patch_make(struct side *from, struct side *to, const struct change_row *row, struct buf *out,
               struct text_counts *ret, struct snap_err *err);
