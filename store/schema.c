/* The database's schema, its versions and the way from one to the next.
 * Documented for people in snapctl-store(5). SPDX-License-Identifier: GPL-2.0-or-later */
#include "db.h"

#include <stdio.h>

/* 9223372036854775807 in `died` means: still there. link repeats the entries of objects that may have several names.
 * entry.object and object.content are no foreign keys: without an index on them, which every insertion would pay for,
 * each row deleted from object or content would read all that could refer to it. What refers to an object is known all the
 * same: one of its rows in entry stands for it (again = 0), the others, which are few, are in an index of their own. */

/* What removing needs (schema 2). operation_snapshot: the snapshots that an rm or prune hid, and the names they had.
 * gone: layers of freed snapshots, which still hold what others show; gone_dir: the directories in them, whose places of that
 * time must stay known. stale: layers whose manifests are to be written anew. doomed: what is to be unlinked, below the store. */
#define REMOVAL_TABLES \
    "CREATE INDEX entry_again ON entry(object) WHERE again = 1;" \
    "CREATE TABLE operation_snapshot(operation INTEGER NOT NULL REFERENCES operation, snapshot INTEGER NOT NULL, name TEXT," \
    " PRIMARY KEY(operation, snapshot)) STRICT, WITHOUT ROWID;" \
    "CREATE INDEX operation_of_snapshot ON operation_snapshot(snapshot);" \
    "CREATE TABLE gone(layer INTEGER PRIMARY KEY, line INTEGER NOT NULL REFERENCES line) STRICT;" \
    "CREATE TABLE stale(layer INTEGER PRIMARY KEY, line INTEGER NOT NULL REFERENCES line) STRICT;" \
    "CREATE TABLE gone_dir(dir INTEGER NOT NULL, layer INTEGER NOT NULL, PRIMARY KEY(dir, layer)) STRICT, WITHOUT ROWID;" \
    "CREATE TABLE doomed(path BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;"

/* What a watcher needs (schema 2): paths that it cannot vouch for. */
#define WATCHING_TABLES "CREATE TABLE doubt(path BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;"

/* Workspaces (schema 2). A removed one has no name. */
#define WORKSPACE_TABLE \
    "CREATE TABLE workspace(id INTEGER PRIMARY KEY AUTOINCREMENT, line INTEGER NOT NULL REFERENCES line, name TEXT UNIQUE," \
    " follow INTEGER NOT NULL, dir BLOB NOT NULL, created_sec INTEGER NOT NULL, created_nsec INTEGER NOT NULL," \
    " flags INTEGER NOT NULL) STRICT;"

/* What the current layer of a workspace looked like when it was captured last (schema 2), by inode: which object it was, and, of a
 * directory, its identity. `changed` 0: the object is to be compared with. */
#define CURRENT_TABLE \
    "CREATE TABLE current(line INTEGER NOT NULL REFERENCES line, inode INTEGER NOT NULL, birth INTEGER NOT NULL, changed INTEGER NOT NULL," \
    " object INTEGER NOT NULL, dir INTEGER NOT NULL, PRIMARY KEY(line, inode)) STRICT, WITHOUT ROWID;"

/* What an operation left of an entry where not all was permitted that the snapshot says (schema 2). */
#define LEFT_TABLE \
    "CREATE TABLE operation_left(operation INTEGER NOT NULL REFERENCES operation, dir INTEGER NOT NULL, name BLOB NOT NULL," \
    " mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL, mtime_sec INTEGER NOT NULL, mtime_nsec INTEGER NOT NULL," \
    " xattrs BLOB, PRIMARY KEY(operation, dir, name)) STRICT, WITHOUT ROWID;"

const char schema_sql[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) STRICT, WITHOUT ROWID;"
    "CREATE TABLE line(id INTEGER PRIMARY KEY, base_line INTEGER REFERENCES line, base_snapshot INTEGER) STRICT;"
    "INSERT INTO line(id) VALUES (1);"
    "CREATE TABLE snapshot(id INTEGER PRIMARY KEY AUTOINCREMENT, line INTEGER NOT NULL REFERENCES line,"
    " parent INTEGER NOT NULL, layer INTEGER NOT NULL, created_sec INTEGER NOT NULL, created_nsec INTEGER NOT NULL,"
    " flags INTEGER NOT NULL, name TEXT UNIQUE, message TEXT NOT NULL DEFAULT '', added INTEGER NOT NULL,"
    " changed INTEGER NOT NULL, deleted INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;"
    "CREATE INDEX snapshot_of_line ON snapshot(line);"
    "CREATE TABLE content(id INTEGER PRIMARY KEY, layer INTEGER NOT NULL, dir INTEGER NOT NULL, name BLOB NOT NULL,"
    " size INTEGER NOT NULL, xxh128 BLOB NOT NULL) STRICT;"
    "CREATE TABLE object(id INTEGER PRIMARY KEY, dir INTEGER NOT NULL, mode INTEGER NOT NULL, uid INTEGER NOT NULL,"
    " gid INTEGER NOT NULL, size INTEGER NOT NULL, mtime_sec INTEGER NOT NULL, mtime_nsec INTEGER NOT NULL,"
    " rdev INTEGER NOT NULL, flags INTEGER NOT NULL, content INTEGER, target BLOB, xattrs BLOB,"
    " xxh128 BLOB) STRICT;"
    "CREATE TABLE entry(line INTEGER NOT NULL REFERENCES line, dir INTEGER NOT NULL, name BLOB NOT NULL,"
    " born INTEGER NOT NULL, died INTEGER NOT NULL, object INTEGER NOT NULL, again INTEGER NOT NULL DEFAULT 0,"
    " PRIMARY KEY(line, dir, name, born)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX entry_by_born ON entry(line, born);"
    "CREATE INDEX entry_by_died ON entry(line, died) WHERE died < 9223372036854775807;"
    "CREATE TABLE dir(line INTEGER NOT NULL REFERENCES line, id INTEGER NOT NULL, born INTEGER NOT NULL,"
    " died INTEGER NOT NULL, parent INTEGER NOT NULL, name BLOB NOT NULL, PRIMARY KEY(line, id, born)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX dir_by_place ON dir(line, parent, name);"
    "CREATE TABLE link(object INTEGER NOT NULL, line INTEGER NOT NULL REFERENCES line, dir INTEGER NOT NULL, name BLOB NOT NULL,"
    " born INTEGER NOT NULL, died INTEGER NOT NULL, PRIMARY KEY(object, line, dir, name, born)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE live(dir INTEGER NOT NULL, first BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY(dir, first)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE operation(id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, state TEXT NOT NULL,"
    " created_sec INTEGER NOT NULL, created_nsec INTEGER NOT NULL, command TEXT NOT NULL, before INTEGER NOT NULL,"
    " after INTEGER NOT NULL, target INTEGER NOT NULL, old_text BLOB, new_text BLOB) STRICT;"
    "CREATE INDEX operation_begun ON operation(id) WHERE state = 'begun';"
    "CREATE TABLE operation_path(operation INTEGER NOT NULL REFERENCES operation, path BLOB NOT NULL) STRICT;"
    "CREATE INDEX operation_path_of ON operation_path(operation);"
    "CREATE TABLE temporary(operation INTEGER NOT NULL REFERENCES operation, path BLOB NOT NULL) STRICT;"
    REMOVAL_TABLES WATCHING_TABLES WORKSPACE_TABLE CURRENT_TABLE LEFT_TABLE;

/* From 1 to 2: of the rows of one object, the first made stands for it. */
static const char to_2[] =
    "ALTER TABLE entry ADD COLUMN again INTEGER NOT NULL DEFAULT 0;"
    "UPDATE entry SET again = 1 FROM (SELECT line, dir, name, born, row_number() OVER (PARTITION BY object"
    " ORDER BY born, line, dir, name) AS place FROM entry) AS e WHERE e.place > 1 AND entry.line = e.line AND entry.dir = e.dir"
    " AND entry.name = e.name AND entry.born = e.born;"
    REMOVAL_TABLES WATCHING_TABLES WORKSPACE_TABLE CURRENT_TABLE LEFT_TABLE;

/* steps[N]: from schema N to N + 1; NULL: no released version wrote N. */
static const char *const steps[SCHEMA_VERSION] = { NULL, to_2 };

static int migrate_in_transaction(struct store *store, const char *const *way, int from, int to, struct snap_err *err) {
    for (int version = from; version < to; version++) {
        if (!way[version])
            return err_set(err, -EPROTONOSUPPORT, "the store's database has schema %d, which no released version wrote", version);
        int code = db_exec(store, way[version], err);
        if (code < 0)
            return code;
    }
    char sql[64];
    snprintf(sql, sizeof(sql), "PRAGMA user_version=%d", to);
    return db_exec(store, sql, err);
}

int schema_migrate_by(struct store *store, const char *const *way, int from, int to, struct snap_err *err) {
    if (from < 0 || from >= to)
        return err_set(err, -EPROTONOSUPPORT, "the store's database has schema %d, which no released version wrote", from);
    int code = db_begin(store, err);
    if (code < 0)
        return code;
    code = migrate_in_transaction(store, way, from, to, err);
    if (code < 0) {
        db_rollback(store);
        return code;
    }
    return db_commit(store, true, err);
}

int schema_migrate(struct store *store, int from, struct snap_err *err) {
    return schema_migrate_by(store, steps, from, SCHEMA_VERSION, err);
}
