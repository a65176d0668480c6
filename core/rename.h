/* Which deleted file is which added one. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "changes.h"
#include "side.h"

/* Makes one row (with old_path, before and after; letter R, similarity) of a row that has only `before` and one that has
 * only `after`, where they are the same file: by place in a moved directory, object, digest, symlink's target, or similar
 * text. Directories are not looked at. The order of rows is not kept. */
int rename_find(struct side *from, struct side *to, struct changes *changes, struct snap_err *err);
