/* What operations left where they were not permitted to do all that a snapshot says, so that undo compares with that.
 * Decides nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "op.h"

#include "db.h"
#include "meta.h"

#include <string.h>

int op_add_left(struct store *store, int64_t id, int64_t dir, const char *name, const struct meta *meta, struct snap_err *err) {
    return db_run(store, err, "INSERT OR REPLACE INTO operation_left(operation, dir, name, mode, uid, gid, mtime_sec, mtime_nsec, xattrs)"
                  " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", "iiniiiiib", id, dir, name, (int64_t)meta->mode, (int64_t)meta->uid,
                  (int64_t)meta->gid, (int64_t)meta->mtime.tv_sec, (int64_t)meta->mtime.tv_nsec, meta->xattrs, meta->xattrs_size);
}

int64_t op_that_left(struct store *store, int64_t target, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int code = db_bind(&row, store, err, "SELECT max(id) FROM operation WHERE (id = ?1 OR (target = ?1 AND kind IN ('undo', 'redo')))"
                       " AND state IN ('done', 'undone') AND EXISTS (SELECT 1 FROM operation_left)", "i", target);
    if (code >= 0)
        code = db_step(&row, err);
    return code < 0 ? code : db_int(&row, 0);
}

static int read_xattrs(struct db_statement *row, void **ret, size_t *ret_size, struct snap_err *err) {
    size_t size = 0;
    const void *bytes = db_blob(row, 5, &size);
    void *copy = size ? malloc(size) : NULL;
    if (size && !copy)
        return err_nomem(err);
    if (size)
        memcpy(copy, bytes, size);
    *ret = copy;
    *ret_size = size;
    return 0;
}

int op_left(struct store *store, int64_t id, int64_t dir, const char *name, struct meta *meta, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    void *xattrs = NULL;
    size_t size = 0;
    int code = db_bind(&row, store, err, "SELECT mode, uid, gid, mtime_sec, mtime_nsec, xattrs FROM operation_left"
                       " WHERE operation = ? AND dir = ? AND name = ?", "iin", id, dir, name);
    if (code < 0 || (code = db_step(&row, err)) <= 0 || (code = read_xattrs(&row, &xattrs, &size, err)) < 0)
        return code;
    meta->mode = (uint32_t)db_int(&row, 0);
    meta->uid = (uint32_t)db_int(&row, 1);
    meta->gid = (uint32_t)db_int(&row, 2);
    meta->mtime = (struct timespec){ .tv_sec = db_int(&row, 3), .tv_nsec = db_int(&row, 4) };
    free(meta->xattrs);
    meta->xattrs = xattrs;
    meta->xattrs_size = size;
    return 1;
}
