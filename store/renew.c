/* A new database in the place of a damaged one: what only the old one knew, the file, the exchange.
 * Never removes the old one. SPDX-License-Identifier: GPL-2.0-or-later */
#include "renew.h"

#include "db.h"
#include "index.h"
#include "live.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NEW_NAME "renewed.db"

/* What the layers do not know. */

/* 1 = SQLite finds nothing wrong with the table, 0 = it does, or there is none. */
static int is_whole(struct store *apart, const char *table) {
    char sql[96];
    sqlite3_stmt *statement = NULL;
    snprintf(sql, sizeof(sql), "PRAGMA stored.integrity_check('%s')", table);
    bool whole = sqlite3_prepare_v2(store_db(apart), sql, -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW
        && strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0;
    sqlite3_finalize(statement);
    return whole;
}

/* All rows or none. */
static bool take_over(struct store *apart, const char *table) {
    char sql[256];
    if (!is_whole(apart, table))
        return false;
    snprintf(sql, sizeof(sql), "SAVEPOINT taking; INSERT OR REPLACE INTO main.\"%s\" SELECT * FROM stored.\"%s\"; RELEASE taking", table, table);
    if (sqlite3_exec(store_db(apart), sql, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    (void)sqlite3_exec(store_db(apart), "ROLLBACK TO taking; RELEASE taking", NULL, NULL, NULL);
    return false;
}

/* Numbers of operations name what is held. */
static int skip_held(struct store *store, struct store *apart, struct snap_err *err) {
    int64_t highest = 0;
    int fd = openat(store_fd(store), "held", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        highest = MAX(highest, (int64_t)strtoll(entry->d_name, NULL, 10));
    return db_run(apart, err, "INSERT INTO sqlite_sequence(name, seq) VALUES ('operation', ?)", "i", highest);
}

static int keep_operation_numbers(struct store *apart, struct snap_err *err) {
    int r = db_run(apart, err, "DELETE FROM main.sqlite_sequence WHERE name = 'operation'", "");
    return r < 0 ? r : db_run(apart, err, "INSERT INTO main.sqlite_sequence(name, seq) SELECT 'operation', max(coalesce(max(seq), 0),"
                              " coalesce((SELECT max(id) FROM main.operation), 0)) FROM stored.sqlite_sequence WHERE name = 'operation'", "");
}

/* An operation that speaks of a snapshot which is not there can be neither undone nor redone. */
static int end_operations(struct store *apart, struct snap_err *err) {
    return db_run(apart, err, "UPDATE main.operation SET state = 'failed' WHERE state IN ('done', 'undone') AND"
                  " ((before > 0 AND before NOT IN (SELECT id FROM main.snapshot)) OR (after > 0 AND after NOT IN (SELECT id FROM main.snapshot)))", "");
}

/* What operations hid, where the schema knows it. */
static bool take_over_if_known(struct store *apart, const char *table) {
    sqlite3_stmt *statement = NULL;
    bool known = sqlite3_prepare_v2(store_db(apart), "SELECT 1 FROM main.sqlite_schema WHERE name = ?", -1, &statement, NULL) == SQLITE_OK
        && sqlite3_bind_text(statement, 1, table, -1, SQLITE_STATIC) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW;
    sqlite3_finalize(statement);
    return !known || take_over(apart, table);
}

static int take_operations(struct store *store, struct store *apart, bool attached, struct renewed *ret, struct snap_err *err) {
    bool whole = attached && is_whole(apart, "operation_path") && is_whole(apart, "temporary") && take_over(apart, "operation");
    ret->operations_lost = !(whole && take_over(apart, "operation_path") && take_over(apart, "temporary")
                             && take_over_if_known(apart, "operation_snapshot"));
    if (ret->operations_lost)
        return skip_held(store, apart, err);
    int r = keep_operation_numbers(apart, err);
    return r < 0 ? r : end_operations(apart, err);
}

/* Facts about layers that are to be written or removed are those of the old index. */
static int take_facts(struct store *apart, bool attached, const char *project, const char *identity, struct renewed *ret, struct snap_err *err) {
    ret->facts_lost = !(attached && take_over(apart, "meta"));
    int r = db_run(apart, err, "DELETE FROM main.meta WHERE key IN ('facts', 'unsynced', 'dropped', 'lost')", "");
    if (r == 0)
        r = store_set_fact(apart, "project.path", project, err);
    if (r == 0)
        r = store_set_fact(apart, "project.identity", identity, err);
    if (r == 0)
        r = db_run(apart, err, "INSERT INTO main.meta(key, value) SELECT 'lost', '1' FROM main.object WHERE flags & ? LIMIT 1", "i",
                   (int64_t)OBJECT_LOST);
    return r;
}

static int complete(struct store *store, struct store *apart, bool attached, const char *project, const char *identity,
                    struct renewed *ret, struct snap_err *err) {
    int r = take_facts(apart, attached, project, identity, ret, err);
    if (r == 0 && attached) {                    /* what workspaces stand on, which most layers do not say */
        (void)take_over_if_known(apart, "line");
        (void)(take_over_if_known(apart, "workspace") && take_over_if_known(apart, "current"));
    }
    if (r == 0)
        r = take_operations(store, apart, attached, ret, err);
    return r < 0 ? r : live_reset(apart, err);
}

static int complete_at_once(struct store *store, struct store *apart, const char *project, const char *identity, struct renewed *ret,
                            struct snap_err *err) {
    struct snap_err ignored = {0};
    bool attached = faccessat(store_fd(store), "store.db", F_OK, AT_SYMLINK_NOFOLLOW) == 0 && db_attach(apart, store, &ignored) == 0;
    int r = db_begin(apart, err);
    if (r == 0 && (r = complete(store, apart, attached, project, identity, ret, err)) < 0)
        db_rollback(apart);
    if (r == 0)
        r = db_commit(apart, false, err);
    (void)sqlite3_exec(store_db(apart), "DETACH stored", NULL, NULL, NULL);
    return r;
}

/* The exchange. */

static int move(int from, const char *name, int to, const char *as) {
    return renameat2(from, name, to, as, RENAME_NOREPLACE) < 0 && errno != ENOENT ? -errno : 0;
}

static bool exists(int dirfd, const char *name) {
    return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The log of the old one would be believed to be the new one's: it goes before that comes. */
static int put_aside(int fd, unsigned *ret_kept) {
    char name[64], log[64];
    unsigned n = 0;
    do {
        snprintf(name, sizeof(name), "store.db.damaged-%u", ++n);
        snprintf(log, sizeof(log), "store.db.damaged-%u-wal", n);
    } while (exists(fd, name) || exists(fd, log));
    if (!exists(fd, "store.db") && !exists(fd, "store.db-wal"))
        n = 0;
    int r = n ? move(fd, "store.db", fd, name) : 0;
    if (r == 0 && n)
        r = move(fd, "store.db-wal", fd, log);
    if (r == 0 && unlinkat(fd, "store.db-shm", 0) < 0 && errno != ENOENT)
        r = -errno;
    if (r == 0)
        *ret_kept = n;
    return r;
}

int renew_database(struct store *store, struct store *apart, const char *project, const char *identity, struct renewed *ret,
                   struct snap_err *err) {
    struct renewed renewed = {0};
    if (!store_locked(store))
        return err_set(err, -ENOLCK, "the store is repaired without its lock");
    int r = complete_at_once(store, apart, project, identity, &renewed, err);
    if (r == 0 && unlinkat(store_work_fd(store), NEW_NAME, 0) < 0 && errno != ENOENT)
        r = err_path(err, -errno, store_path(store), "clear the work area of the store");
    if (r == 0)
        r = db_save(apart, store_work_fd(store), NEW_NAME, err);
    if (r < 0)
        return r;
    store_forget_database(store);
    r = put_aside(store_fd(store), &renewed.kept);
    if (r == 0 && renameat(store_work_fd(store), NEW_NAME, store_fd(store), "store.db") < 0)
        r = -errno;
    if (r == 0 && fsync(store_fd(store)) < 0)
        r = -errno;
    if (r < 0)
        return err_path(err, r, store_path(store), "put the new database into the store");
    if ((r = store_reopen_database(store, err)) == 0)
        *ret = renewed;
    return r;
}
