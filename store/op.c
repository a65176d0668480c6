/* Operations as rows: begun, done, undone; which one undo and redo mean.
 * Does nothing to a project and opens no transaction. SPDX-License-Identifier: GPL-2.0-or-later */
#include "op.h"

#include "db.h"

#include <stddef.h>
#include <string.h>

#define COLUMNS "o.id, o.kind, o.state, o.created_sec, o.created_nsec, o.command, o.before, o.after, o.target, o.old_text, o.new_text"
#define UNDOABLE "('rollback', 'restore', 'tag', 'rm', 'prune', 'apply', 'workspace remove')"

struct op *op_free(struct op *op) {
    if (!op)
        return NULL;
    free(op->kind);
    free(op->state);
    free(op->command);
    free(op->old_text);
    free(op->new_text);
    free(op);
    return NULL;
}

/* Writing. */

static int add_path(struct store *store, int64_t id, const char *path, struct snap_err *err) {
    return db_run(store, err, "INSERT INTO operation_path(operation, path) VALUES (?, ?)", "in", id, path);
}

int op_begin(struct store *store, struct op *op, const char *const *paths, struct snap_err *err) {
    struct timespec created = op->created;
    if (created.tv_sec == 0 && created.tv_nsec == 0 && clock_gettime(CLOCK_REALTIME, &created) < 0)
        return err_errno(err, -errno, "cannot read the clock");
    int code = db_run(store, err, "INSERT INTO operation(kind, state, created_sec, created_nsec, command, before, after, target,"
                      " old_text, new_text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", "ssiisiiinn", op->kind, op->state,
                      (int64_t)created.tv_sec, (int64_t)created.tv_nsec, op->command ? op->command : "",
                      op->before, op->after, op->target, op->old_text, op->new_text);
    if (code < 0)
        return code;
    int64_t id = sqlite3_last_insert_rowid(store_db(store));
    for (size_t i = 0; paths && paths[i]; i++)
        if ((code = add_path(store, id, paths[i], err)) < 0)
            return code;
    op->id = id;
    op->created = created;
    return 0;
}

/* An UPDATE of the operation just ran: it must have met one. */
static int check_met(struct store *store, int code, int64_t id, struct snap_err *err) {
    if (code < 0 || sqlite3_changes(store_db(store)) > 0)
        return code;
    return err_set(err, -ENOENT, "there is no operation %lld", (long long)id);
}

int op_set_state(struct store *store, int64_t id, const char *state, struct snap_err *err) {
    return check_met(store, db_run(store, err, "UPDATE operation SET state = ? WHERE id = ?", "si", state, id), id, err);
}

int op_set_texts(struct store *store, int64_t id, const char *old_text, const char *new_text, struct snap_err *err) {
    return check_met(store, db_run(store, err, "UPDATE operation SET old_text = ?, new_text = ? WHERE id = ?", "nni", old_text, new_text, id),
                     id, err);
}

/* Reading. */

/* A NULL where the schema has none is a damaged database's doing: "" will be no known kind or state. */
static char *text_or_empty(struct db_statement *row, int column) {
    return sqlite3_column_type(row->at, column) == SQLITE_NULL ? strdup("") : db_text(row, column);
}

static bool lost(struct db_statement *row, int column, const char *text) {
    return !text && sqlite3_column_type(row->at, column) != SQLITE_NULL;
}

static int read_op(struct db_statement *row, struct op **ret, struct snap_err *err) {
    _op_ struct op *op = calloc(1, sizeof(*op));
    if (!op)
        return err_nomem(err);
    op->id = db_int(row, 0);
    op->kind = text_or_empty(row, 1);
    op->state = text_or_empty(row, 2);
    op->created = (struct timespec){ .tv_sec = db_int(row, 3), .tv_nsec = db_int(row, 4) };
    op->command = text_or_empty(row, 5);
    op->before = db_int(row, 6);
    op->after = db_int(row, 7);
    op->target = db_int(row, 8);
    op->old_text = db_text(row, 9);
    op->new_text = db_text(row, 10);
    if (!op->kind || !op->state || !op->command || lost(row, 9, op->old_text) || lost(row, 10, op->new_text))
        return err_nomem(err);
    *ret = TAKE_PTR(op);
    return 1;
}

static int read_one(struct db_statement *row, struct op **ret, struct snap_err *err) {
    int code = db_step(row, err);
    return code <= 0 ? code : read_op(row, ret, err);
}

int op_get(struct store *store, int64_t id, struct op **ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int code = db_bind(&row, store, err, "SELECT " COLUMNS " FROM operation o WHERE o.id = ?", "i", id);
    return code < 0 ? code : read_one(&row, ret, err);
}

/* A damaged index finds what it should not, and would find it again for ever. */
static int not_begun(const struct op *op, struct snap_err *err) {
    return err_damage(err, "the store's database is damaged: operation %lld is listed as begun and is not", (long long)op->id);
}

int op_unfinished(struct store *store, int64_t after, struct op **ret, struct snap_err *err) {
    _op_ struct op *op = NULL;
    _statement_ struct db_statement row = {0};
    int code = db_bind(&row, store, err, "SELECT " COLUMNS " FROM operation o WHERE o.state = 'begun' AND o.id > ? ORDER BY o.id LIMIT 1", "i", after);
    if (code >= 0)
        code = read_one(&row, &op, err);
    if (code <= 0)
        return code;
    if (strcmp(op->state, "begun") != 0)
        return not_begun(op, err);
    *ret = TAKE_PTR(op);
    return 1;
}

int op_list(struct store *store, op_fn fn, void *data, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int code = db_bind(&row, store, err, "SELECT " COLUMNS " FROM operation o ORDER BY o.id DESC", "");
    while (code >= 0) {
        _op_ struct op *op = NULL;
        if ((code = read_one(&row, &op, err)) <= 0)
            break;
        code = fn(data, op);
        if (code > 0)
            return 0;
    }
    return code;
}

char **op_paths_free(char **paths) {
    for (size_t i = 0; paths && paths[i]; i++)
        free(paths[i]);
    free(paths);
    return NULL;
}

/* All values of the first column; NULL if there is none. */
static int read_paths(struct db_statement *row, char ***ret, struct snap_err *err) {
    _op_paths_ char **paths = NULL;
    size_t count = 0;
    int code;
    while ((code = db_step(row, err)) > 0) {
        char **more = reallocarray(paths, count + 2, sizeof(*more));
        if (!more)
            return err_nomem(err);
        paths = more;
        paths[count] = db_text(row, 0);
        paths[count + 1] = NULL;
        if (!paths[count++])
            return err_nomem(err);
    }
    if (code < 0)
        return code;
    *ret = TAKE_PTR(paths);
    return 0;
}

int op_paths(struct store *store, int64_t id, char ***ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int code = db_bind(&row, store, err, "SELECT path FROM operation_path WHERE operation = ? ORDER BY rowid", "i", id);
    return code < 0 ? code : read_paths(&row, ret, err);
}

/* Which one is meant. */

/* A rollback belongs to where it was done, what was applied to the project; all else may be undone anywhere. */
#define OF_WORKSPACE(op) "(CASE " op ".kind WHEN 'rollback' THEN " op ".target = ?1 WHEN 'apply' THEN ?1 = 0 ELSE 1 END)"

int op_undo_candidate(struct store *store, int64_t workspace, struct op **ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int code = db_bind(&row, store, err, "SELECT " COLUMNS " FROM operation o WHERE o.state = 'done' AND o.kind IN " UNDOABLE
                       " AND " OF_WORKSPACE("o") " ORDER BY o.id DESC LIMIT 1", "i", workspace);
    return code < 0 ? code : read_one(&row, ret, err);
}

/* What was undone last comes back first, as in an editor; whoever did something new after that undo has left that way. */
int op_redo_candidate(struct store *store, int64_t workspace, struct op **ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int code = db_bind(&row, store, err,
                       "WITH undo AS (SELECT target, max(id) AS id FROM operation"
                       "  WHERE kind = 'undo' AND state IN ('begun', 'done') GROUP BY target)"
                       " SELECT " COLUMNS " FROM undo JOIN operation o ON o.id = undo.target"
                       " WHERE o.state = 'undone' AND undo.id > (SELECT coalesce(max(n.id), 0) FROM operation n"
                       "  WHERE n.kind IN " UNDOABLE " AND n.state <> 'failed' AND " OF_WORKSPACE("n") ") AND " OF_WORKSPACE("o")
                       " ORDER BY undo.id DESC LIMIT 1", "i", workspace);
    return code < 0 ? code : read_one(&row, ret, err);
}

int64_t op_applied(struct store *store, int64_t workspace, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int code = db_bind(&row, store, err, "SELECT CAST(substr(m.value, instr(m.value, ' ') + 1) AS INTEGER) FROM operation o"
                       " JOIN meta m ON m.key = 'apply.' || o.id WHERE o.kind = 'apply' AND o.state IN ('done', 'freed')"
                       " AND CAST(m.value AS INTEGER) = ? ORDER BY o.id DESC LIMIT 1", "i", workspace);
    if (code >= 0)
        code = db_step(&row, err);
    return code > 0 ? db_int(&row, 0) : code;
}

/* Temporary names. */

int op_add_temporary(struct store *store, int64_t id, const char *path, struct snap_err *err) {
    return db_run(store, err, "INSERT INTO temporary(operation, path) VALUES (?, ?)", "in", id, path);
}

int op_temporaries(struct store *store, int64_t id, char ***ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int code = db_bind(&row, store, err, "SELECT path FROM temporary WHERE operation = ? ORDER BY rowid", "i", id);
    return code < 0 ? code : read_paths(&row, ret, err);
}

int op_clear_temporaries(struct store *store, int64_t id, struct snap_err *err) {
    return db_run(store, err, "DELETE FROM temporary WHERE operation = ?", "i", id);
}
