/* Operations and the snapshots that they speak of: what rm and prune hid, what undo still needs, what it does no more.
 * Frees nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "op.h"

#include "db.h"

#include <string.h>

int op_add_snapshot(struct store *store, int64_t id, int64_t snapshot, const char *name, struct snap_err *err) {
    return db_run(store, err, "INSERT INTO operation_snapshot(operation, snapshot, name) VALUES (?, ?, ?)", "iis", id, snapshot,
                  name && *name ? name : NULL);
}

int op_snapshots(struct store *store, int64_t id, op_snapshot_fn fn, void *data, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT snapshot, coalesce(name, '') FROM operation_snapshot WHERE operation = ? ORDER BY snapshot", "i", id);
    while (r >= 0 && (r = db_step(&row, err)) > 0) {
        _free_ char *name = db_text(&row, 1);
        if (!name)
            return err_nomem(err);
        if ((r = fn(data, db_int(&row, 0), name)) < 0)
            return r;
    }
    return r;
}

int64_t op_that_hid(struct store *store, int64_t snapshot, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT o.id FROM operation_snapshot s CROSS JOIN operation o ON o.id = s.operation"
                    " WHERE s.snapshot = ? AND o.state = 'done' ORDER BY o.id DESC LIMIT 1", "i", snapshot);
    if (r == 0)
        r = db_step(&row, err);
    return r > 0 ? db_int(&row, 0) : r;
}

/* Expiring. */

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool is_among(const int64_t *snapshots, size_t count, int64_t number) {
    return count > 0 && bsearch(&number, snapshots, count, sizeof(*snapshots), by_number);
}

static int has_any_left(struct store *store, int64_t id, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT 1 FROM operation_snapshot s CROSS JOIN snapshot n ON n.id = s.snapshot"
                    " WHERE s.operation = ? LIMIT 1", "i", id);
    return r < 0 ? r : db_step(&row, err);
}

/* Columns id, kind, state, before, after, target. 1 = it can be neither undone nor redone any more. */
static int is_expired(struct store *store, struct db_statement *row, const int64_t *snapshots, size_t count, struct snap_err *err) {
    _free_ char *kind = db_text(row, 1), *state = db_text(row, 2);
    if (!kind || !state)
        return err_nomem(err);
    if (strcmp(kind, "rm") == 0 || strcmp(kind, "prune") == 0) {
        int r = has_any_left(store, db_int(row, 0), err);
        return r < 0 ? r : !r;
    }
    if (strcmp(kind, "tag") == 0)
        return is_among(snapshots, count, db_int(row, 5));
    if (strcmp(kind, "restore") == 0 && strcmp(state, "done") == 0)
        return 0;                            /* its undo needs what it displaced, not what it restored */
    return is_among(snapshots, count, db_int(row, 3)) || is_among(snapshots, count, db_int(row, 4));
}

static int expire(struct store *store, int64_t id, struct snap_err *err) {
    int r = db_run(store, err, "DELETE FROM operation_left WHERE operation IN (SELECT id FROM operation WHERE id = ?1 OR target = ?1)", "i", id);
    return r < 0 ? r : db_run(store, err, "UPDATE operation SET state = 'freed' WHERE id = ?", "i", id);
}

int op_expire(struct store *store, const int64_t *snapshots, size_t count, uint64_t *ret, struct snap_err *err) {
    uint64_t expired = 0;
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT id, kind, state, before, after, target FROM operation WHERE state IN ('done', 'undone')"
                    " AND kind NOT IN ('init', 'take', 'import', 'undo', 'redo', 'gc')", "");
    while (r >= 0 && (r = db_step(&row, err)) > 0) {
        r = is_expired(store, &row, snapshots, count, err);
        if (r > 0 && (r = expire(store, db_int(&row, 0), err)) == 0)
            expired++;
    }
    if (r == 0)
        *ret = expired;
    return r;
}

/* What is held. */

#define RECENT "(SELECT coalesce(min(id), 9223372036854775807) FROM (SELECT id FROM operation WHERE kind <> 'gc' ORDER BY id DESC LIMIT ?1))"

int op_held(struct store *store, uint64_t count, int64_t since, op_held_fn fn, void *data, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "WITH recent AS (SELECT id, before, after FROM operation WHERE id >= " RECENT " OR created_sec >= ?2)"
                    " SELECT before FROM recent UNION SELECT after FROM recent"
                    " UNION SELECT s.snapshot FROM recent r CROSS JOIN operation_snapshot s ON s.operation = r.id", "ii", (int64_t)count, since);
    while (r >= 0 && (r = db_step(&row, err)) > 0)
        if (db_int(&row, 0) && (r = fn(data, db_int(&row, 0))) < 0)
            return r;
    return r;
}

int op_expire_restores(struct store *store, uint64_t count, int64_t since, op_kept_fn fn, void *data, uint64_t *ret, struct snap_err *err) {
    uint64_t expired = 0;
    _statement_ struct db_statement row = {0};
    /* what operation N put away is held/N; others may speak of it, too */
    int r = db_bind(&row, store, err, "SELECT o.id, o.old_text, o.kind FROM operation o LEFT JOIN operation n"
                    " ON n.id = CAST(substr(CAST(o.old_text AS TEXT), 6) AS INTEGER) WHERE o.kind IN ('restore', 'undo', 'redo')"
                    " AND o.state IN ('done', 'undone') AND CAST(o.old_text AS TEXT) GLOB 'held/[0-9]*'"
                    " AND NOT (coalesce(n.id, 0) >= " RECENT " OR coalesce(n.created_sec, 0) >= ?2)", "ii", (int64_t)count, since);
    while (r >= 0 && (r = db_step(&row, err)) > 0) {
        _free_ char *path = db_text(&row, 1), *kind = db_text(&row, 2);
        if (!path || !kind)
            return err_nomem(err);
        r = fn(data, path);
        if (r == 0)
            r = db_run(store, err, "UPDATE operation SET old_text = NULL WHERE id = ?", "i", db_int(&row, 0));
        if (r == 0 && strcmp(kind, "restore") == 0 && (r = expire(store, db_int(&row, 0), err)) == 0)
            expired++;
    }
    if (r == 0)
        *ret = expired;
    return r;
}
