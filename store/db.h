/* SQLite for this room: prepared statements kept by address, binding, one translation of errors.
 * The only way to the database; no other room sees it. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "store.h"
#include <sqlite3.h>

/* The connection to STORE/store.db, opened beneath the store's descriptor. Wrong or newer databases are refused with a
 * sentence; *ret_version is the schema's, at most SCHEMA_VERSION. */
struct db;
int db_open(struct store *store, struct db **ret, int *ret_version, struct snap_err *err);
int db_version(struct store *store, int *ret, struct snap_err *err);           /* checked again, as by db_open */
struct db *db_close(struct db *db);                                            /* accepts NULL; flushes nothing */
DEFINE_CLEANUP(struct db *, db_close)
/* Makes a new, empty, flushed database file; `name` in dirfd must not exist. */
int db_create(int dirfd, const char *name, struct snap_err *err);
/* An empty one that lasts as long as it is open, and another store's database beside it, as "stored". */
int db_open_apart(struct store *store, struct db **ret, struct snap_err *err);
/* Writes all of an apart database to a new, flushed file that db_open accepts. */
int db_save(struct store *apart, int dirfd, const char *name, struct snap_err *err);
int db_attach(struct store *apart, struct store *store, struct snap_err *err);
struct db *store_database(const struct store *store);
sqlite3 *store_db(struct store *store);

/* Transactions without any look at the lock; store.h is what others call. */
int db_begin(struct store *store, struct snap_err *err);
int db_commit(struct store *store, bool durable, struct snap_err *err);        /* failed = rolled back, also for the next opener */
void db_rollback(struct store *store);                                         /* nothing if no transaction is open */

/* A statement, prepared once a store and reset for reuse. `sql` must be a string literal: its address is the key.
 * Two uses of one statement at a time (a callback that queries) get two statements.
 * BUSY/LOCKED -EBUSY, FULL -ENOSPC, IOERR -EIO (errno of the system call if known), NOMEM -ENOMEM, READONLY -EROFS,
 * a second row of one key -EEXIST, every other constraint, CORRUPT, NOTADB and a missing table -EUCLEAN with
 * SNAP_FAILURE_DAMAGE; the sentence has SQLite's words. */
void db_release(struct store *store, sqlite3_stmt *statement);     /* resets, clears bindings, gives it back */
struct db_statement { struct store *store; sqlite3_stmt *at; };
static inline void db_statement_done(struct db_statement *statement) { if (statement->at) db_release(statement->store, statement->at); }
#define _statement_ _cleanup_(db_statement_done)

/* Prepares and binds in order: 'i' int64_t, 's' const char * (TEXT, NULL = NULL), 'b' const void *, size_t (BLOB; NULL pointer = NULL),
 * 'n' const char * as BLOB (a name). Example: db_bind(&s, store, err, "SELECT ... WHERE dir = ? AND name = ?", "in", dir, name) */
int db_bind(struct db_statement *ret, struct store *store, struct snap_err *err, const char *sql, const char *types, ...);
int db_step(struct db_statement *statement, struct snap_err *err);             /* 1 row, 0 done, negative errno */
/* bind, step until done, release */
int db_run(struct store *store, struct snap_err *err, const char *sql, const char *types, ...);
int db_exec(struct store *store, const char *sql, struct snap_err *err);       /* plain text, several statements */

int64_t db_int(struct db_statement *statement, int column);
char *db_text(struct db_statement *statement, int column);                     /* strdup; NULL column = NULL; also BLOB names, NUL appended */
const void *db_blob(struct db_statement *statement, int column, size_t *ret_size);   /* valid until the next step; NULL if NULL */

/* Objects that were added and have no row in entry yet (index_write.c). unplaced_take: true once for each. */
int unplaced_add(struct store *store, int64_t object);                         /* -ENOMEM */
bool unplaced_take(struct store *store, int64_t object);

extern const char schema_sql[];             /* the whole of the newest schema */
#define SCHEMA_APPLICATION_ID 0x736e6170    /* "snap" */
#define SCHEMA_VERSION 2
int schema_migrate(struct store *store, int from, struct snap_err *err);       /* one transaction, all or nothing; needs the lock */
int schema_migrate_by(struct store *store, const char *const *way, int from, int to, struct snap_err *err);   /* the same by other steps */
