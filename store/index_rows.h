/* Rows of the index as structs, for the files of the index alone.
 * Asks nothing: whoever has a statement hands its columns in. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "db.h"
#include "index.h"

#define NEVER INT64_MAX                    /* as `died`: still there */
#define NEVER_SQL "9223372036854775807"    /* spelled out where the partial index is to be used */

#define OBJECT_COLUMNS "o.id, o.dir, o.mode, o.uid, o.gid, o.size, o.mtime_sec, o.mtime_nsec, o.rdev, o.flags, o.content," \
    " o.target, o.xattrs, o.xxh128"
#define CONTENT_COLUMNS "id, layer, dir, size, name, xxh128"
#define SNAPSHOT_COLUMNS "id, line, parent, layer, created_sec, created_nsec, flags, name, message, added, changed, deleted, bytes"

/* The columns above, beginning at `column`; *ret untouched on failure. */
int object_row(struct db_statement *row, int column, struct object *ret, struct snap_err *err);
int content_row(struct db_statement *row, struct content *ret, struct snap_err *err);
int snapshot_row(struct db_statement *row, struct snapshot **ret, struct snap_err *err);
/* A name, adding it and a NUL to `names`: never "." or "..", without '/' and NUL, "" only for the root. Its offset in *ret. */
int name_row(struct db_statement *row, int column, int64_t dir, struct buf *names, size_t *ret, struct snap_err *err);
