/* SQLite for this room: the connection, prepared statements, one translation of errors, commits that do or do not flush.
 * Knows no table; who may write and when is store.c's business. SPDX-License-Identifier: GPL-2.0-or-later */
#include "db.h"

#include "hook.h"
#include "map.h"
#include "quote.h"

#include <assert.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    BUSY_MS = 5000,            /* only a checkpoint, recovery after a crash, or a foreign program holds the file, and not for long */
    WAL_MANY = 1000,           /* pages after which a commit that flushes anyway also empties the log */
    WAL_TOO_MANY = 4000,       /* and any other commit: every opener reads the log, some 1.5 us a page */
    RECENT = 64,
};

struct prepared {
    const char *sql;
    sqlite3_stmt *statement;
    bool busy;
};

/* The write-ahead log's file as SQLite sees it: commits always ask for a sync (then a sync that fails rolls back),
 * and this answers without one where the caller did not want it. */
struct wal {
    sqlite3_io_methods methods;
    const sqlite3_io_methods *real;
    int fd, error;             /* error: of the last flush or write; SQLite loses the cause on its way */
    bool skip;                 /* this commit need not be flushed */
    bool header;               /* the log was begun anew: frames must not reach the disk before its header does */
};

struct db {
    sqlite3 *connection;
    struct wal wal;
    int dirfd;                 /* the store's; borrowed */
    int pages;                 /* in the log at the last commit */
    int no_room;               /* negative errno: there was none for the index of the log, and this connection can only read */
    struct prepared *all;
    size_t count, room, last;
    uint32_t recent[RECENT];   /* by the address of the text: where it was found last, plus one */
    struct map *unplaced;      /* int64_t -> anything; NULL: none were added yet */
};

/* Errors. */

static int errno_of(sqlite3 *connection, int otherwise) {
    int error = connection ? sqlite3_system_errno(connection) : 0;
    return error > 0 ? -error : otherwise;
}

static int code_of(sqlite3 *connection, int result) {
    switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_IOERR:
        if (result == SQLITE_IOERR_SHORT_READ || result == SQLITE_IOERR_CORRUPTFS)
            return -EUCLEAN;
        if (result == SQLITE_IOERR_NOMEM)
            return -ENOMEM;
        return errno_of(connection, -EIO);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return errno_of(connection, -EACCES);
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_INTERRUPT:
        return -ECANCELED;
    case SQLITE_TOOBIG:
        return -EFBIG;
    case SQLITE_CONSTRAINT:
        if (result == SQLITE_CONSTRAINT_UNIQUE || result == SQLITE_CONSTRAINT_PRIMARYKEY || result == SQLITE_CONSTRAINT_ROWID)
            return -EEXIST;
        return -EUCLEAN;
    case SQLITE_MISUSE:
        return -EINVAL;
    default:                   /* CORRUPT, NOTADB, and ERROR: our statements are right, so tables are missing */
        return -EUCLEAN;
    }
}

static const char *show(const char *path, struct buf *space) {
    quote_display(space, path, strlen(path));
    return space->data && !space->failed ? space->data : "";
}

/* `path`: the store's directory. */
static int translate(sqlite3 *connection, const char *path, int result, struct snap_err *err) {
    if (connection && (result & 0xff) == result && (sqlite3_extended_errcode(connection) & 0xff) == result)
        result = sqlite3_extended_errcode(connection);
    int code = code_of(connection, result);
    const char *words = connection ? sqlite3_errmsg(connection) : sqlite3_errstr(result);
    _buf_ struct buf space = {0};
    const char *shown = show(path, &space);
    if (code == -EUCLEAN)
        err_damage(err, "cannot use the database '%s/store.db': %s", shown, words);
    else if ((result & 0xff) == SQLITE_IOERR || (result & 0xff) == SQLITE_CANTOPEN)
        err_errno(err, code, "cannot use the database '%s/store.db': %s", shown, words);
    else
        err_set(err, code, "cannot use the database '%s/store.db': %s", shown, words);
    return code;
}

static int db_error(struct store *store, int result, struct snap_err *err) {
    int error = store_database(store)->wal.error;
    if ((result & 0xff) == SQLITE_IOERR && error < 0)
        return err_path(err, error, store_path(store), "write to the database of the store");
    return translate(store_db(store), store_path(store), result, err);
}

/* Opening. */

/* The name is /proc/self/fd/N/...: beneath a descriptor, of any depth; it must not be made into a path of its own. */
static int keep_name(sqlite3_vfs *vfs, const char *name, int room, char *ret) {
    (void)vfs;
    int size = snprintf(ret, (size_t)room, "%s", name);
    return size < 0 || size >= room ? SQLITE_CANTOPEN : SQLITE_OK;
}

static const char VFS_NAME[] = "snapctl";

static int register_vfs(void) {
    static sqlite3_vfs beneath;
    if (sqlite3_vfs_find(VFS_NAME))
        return SQLITE_OK;
    sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix");
    if (!unix_vfs)
        return SQLITE_ERROR;
    beneath = *unix_vfs;
    beneath.zName = VFS_NAME;
    beneath.xFullPathname = keep_name;
    beneath.pNext = NULL;
    return sqlite3_vfs_register(&beneath, 0);
}

enum connect_flags { CONNECT_NO_SHM = 1 /* only to read: nothing is written into the file of the log's index */ };

static int connect_to(int dirfd, const char *name, unsigned flags, sqlite3 **ret) {
    int result = register_vfs();
    if (result != SQLITE_OK)
        return result;
    char path[sizeof("file:/proc/self/fd//?readonly_shm=1") + 3 * sizeof(int) + NAME_MAX];
    bool no_shm = flags & CONNECT_NO_SHM;
    int size = snprintf(path, sizeof(path), "%s/proc/self/fd/%d/%s%s", no_shm ? "file:" : "", dirfd, name, no_shm ? "?readonly_shm=1" : "");
    if (size < 0 || (size_t)size >= sizeof(path))
        return SQLITE_CANTOPEN;
    return sqlite3_open_v2(path, ret, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE
                           | (no_shm ? SQLITE_OPEN_URI : 0), VFS_NAME);
}

static int note_pages(void *data, sqlite3 *connection, const char *schema, int pages) {
    (void)connection;
    (void)schema;
    ((struct db *)data)->pages = pages;
    return SQLITE_OK;
}

static int set_up(struct db *db) {
    static const struct { int option, value; } options[] = {
        { SQLITE_DBCONFIG_DEFENSIVE, 1 },
        { SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
        { SQLITE_DBCONFIG_ENABLE_FKEY, 1 },
        { SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1 },     /* the end of a command must not flush */
    };
    for (size_t i = 0; i < ELEMENTS(options); i++) {
        int result = sqlite3_db_config(db->connection, options[i].option, options[i].value, NULL);
        if (result != SQLITE_OK)
            return result;
    }
    sqlite3_busy_timeout(db->connection, BUSY_MS);
    sqlite3_wal_hook(db->connection, note_pages, db);      /* also ends automatic checkpoints */
    /* FULL, so that a commit whose flush fails is rolled back; see struct wal */
    return sqlite3_exec(db->connection, "PRAGMA synchronous=FULL; PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY;"
                        "PRAGMA mmap_size=0; PRAGMA cache_size=-24576", NULL, NULL, NULL);
}

static int read_number(sqlite3 *connection, const char *sql, int *ret) {
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(connection, sql, -1, &statement, NULL);
    if (result != SQLITE_OK)
        return result;
    result = sqlite3_step(statement);
    int value = result == SQLITE_ROW ? sqlite3_column_int(statement, 0) : 0;
    sqlite3_finalize(statement);
    if (result != SQLITE_ROW)
        return result == SQLITE_DONE ? SQLITE_CORRUPT : result;
    *ret = value;
    return SQLITE_OK;
}

static int check_version(struct db *db, const char *path, int *ret_version, struct snap_err *err) {
    int application = 0, version = 0;
    int result = read_number(db->connection, "PRAGMA application_id", &application);
    if (result == SQLITE_OK)
        result = read_number(db->connection, "PRAGMA user_version", &version);
    if (result != SQLITE_OK)
        return translate(db->connection, path, result, err);
    _buf_ struct buf space = {0};
    const char *shown = show(path, &space);
    if (application != SCHEMA_APPLICATION_ID)
        return err_damage(err, "'%s/store.db' is not a database of snapctl", shown);
    if (version > SCHEMA_VERSION) {
        err_set(err, -EPROTONOSUPPORT, "the store '%s' was written by a newer snapctl (schema %d, this one knows %d)",
                shown, version, SCHEMA_VERSION);
        err_hint(err, "upgrade snapctl");
        return -EPROTONOSUPPORT;
    }
    *ret_version = version;
    return 0;
}

/* The first to open it makes the index of the log anew, as a file. */
static int connect_and_look(struct db *db, unsigned flags) {
    int ignored, result = connect_to(db->dirfd, "store.db", flags, &db->connection);
    if (result == SQLITE_OK)
        result = set_up(db);
    return result == SQLITE_OK ? read_number(db->connection, "PRAGMA schema_version", &ignored) : result;
}

static bool is_about_shm(int result) {
    return result == SQLITE_IOERR_SHMSIZE || result == SQLITE_IOERR_SHMMAP || result == SQLITE_IOERR_SHMOPEN || (result & 0xff) == SQLITE_FULL;
}

/* Looking must work on a full disk: then the index of the log is kept in memory, which is enough for who only reads. */
static int connect_in_memory(struct db *db, const char *path, struct snap_err *err) {
    int extended = sqlite3_extended_errcode(db->connection);
    int code = translate(db->connection, path, extended, err);
    if (!is_about_shm(extended))
        return code;
    sqlite3_close_v2(TAKE_PTR(db->connection));
    if (connect_and_look(db, CONNECT_NO_SHM) != SQLITE_OK)
        return code;
    db->no_room = code;
    return 0;
}

int db_open(struct store *store, struct db **ret, int *ret_version, struct snap_err *err) {
    _cleanup_(db_closep) struct db *db = calloc(1, sizeof(*db));
    struct snap_err why = {0};
    if (!db)
        return err_nomem(err);
    db->dirfd = store_fd(store);
    db->wal.fd = -1;
    int code = connect_and_look(db, 0) == SQLITE_OK ? 0 : connect_in_memory(db, store_path(store), &why);
    if (code < 0) {
        if (err)
            *err = why;
        return code;
    }
    code = check_version(db, store_path(store), ret_version, err);
    if (code < 0)
        return code;
    *ret = TAKE_PTR(db);
    return 0;
}

int db_version(struct store *store, int *ret, struct snap_err *err) {
    return check_version(store_database(store), store_path(store), ret, err);
}

struct db *db_close(struct db *db) {
    if (!db)
        return NULL;
    for (size_t i = 0; i < db->count; i++)
        sqlite3_finalize(db->all[i].statement);
    free(db->all);
    map_free(db->unplaced, NULL);
    sqlite3_close_v2(db->connection);
    fd_close(db->wal.fd);
    free(db);
    return NULL;
}

static int build(sqlite3 *connection, void *data) {
    (void)data;
    char identity[96];
    snprintf(identity, sizeof(identity), "PRAGMA application_id=%d; PRAGMA user_version=%d", SCHEMA_APPLICATION_ID, SCHEMA_VERSION);
    const char *const steps[] = {
        "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY; BEGIN", schema_sql, identity, "COMMIT; PRAGMA journal_mode=WAL",
    };
    for (size_t i = 0; i < ELEMENTS(steps); i++) {
        int result = sqlite3_exec(connection, steps[i], NULL, NULL, NULL);
        if (result != SQLITE_OK)
            return result;
    }
    return SQLITE_OK;
}

/* A new database file, filled by `fill` and flushed. `doing`: "create" or "write". */
typedef int (*fill_fn)(sqlite3 *connection, void *data);

static int make_file(int dirfd, const char *name, const char *doing, fill_fn fill, void *data, struct snap_err *err) {
    _close_ int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, -errno, "cannot create the database");
    sqlite3 *connection = NULL;
    int result = connect_to(dirfd, name, 0, &connection);
    if (result == SQLITE_OK)
        result = fill(connection, data);
    int code = result == SQLITE_OK ? 0 : code_of(connection, result);
    if (code < 0)
        err_set(err, code, "cannot %s the database: %s", doing, connection ? sqlite3_errmsg(connection) : sqlite3_errstr(result));
    if (sqlite3_close(connection) != SQLITE_OK && code == 0)
        code = err_set(err, -EIO, "cannot %s the database: it cannot be closed", doing);
    if (code == 0 && fsync(fd) < 0)
        code = err_errno(err, -errno, "cannot flush the new database");
    return code;
}

int db_create(int dirfd, const char *name, struct snap_err *err) {
    return make_file(dirfd, name, "create", build, NULL, err);
}

/* Nothing in it outlives the connection; what does not fit into memory goes to a temporary file of SQLite's. */
int db_open_apart(struct store *store, struct db **ret, struct snap_err *err) {
    _cleanup_(db_closep) struct db *db = calloc(1, sizeof(*db));
    if (!db)
        return err_nomem(err);
    db->dirfd = store_fd(store);
    db->wal.fd = -1;
    int result = register_vfs();
    if (result == SQLITE_OK)
        result = sqlite3_open_v2("", &db->connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
                                 | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE, VFS_NAME);
    if (result == SQLITE_OK)
        result = sqlite3_exec(db->connection, "PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF; PRAGMA cache_size=-65536;"
                              "PRAGMA mmap_size=0", NULL, NULL, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_exec(db->connection, schema_sql, NULL, NULL, NULL);
    if (result != SQLITE_OK)
        return translate(db->connection, store_path(store), result, err);
    *ret = TAKE_PTR(db);
    return 0;
}

static int copy_database(sqlite3 *to, void *data) {
    sqlite3 *from = data;
    char identity[96];
    snprintf(identity, sizeof(identity), "PRAGMA application_id=%d; PRAGMA user_version=%d", SCHEMA_APPLICATION_ID, SCHEMA_VERSION);
    int result = sqlite3_exec(from, identity, NULL, NULL, NULL);
    sqlite3_backup *backup = result == SQLITE_OK ? sqlite3_backup_init(to, "main", from, "main") : NULL;
    if (!backup)
        return result == SQLITE_OK ? sqlite3_errcode(to) : result;
    result = sqlite3_backup_step(backup, -1);
    int finished = sqlite3_backup_finish(backup);
    if (result != SQLITE_DONE)
        return result;
    return finished != SQLITE_OK ? finished : sqlite3_exec(to, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
}

int db_save(struct store *apart, int dirfd, const char *name, struct snap_err *err) {
    return make_file(dirfd, name, "write", copy_database, store_db(apart), err);
}

int db_attach(struct store *apart, struct store *store, struct snap_err *err) {
    char sql[96];
    snprintf(sql, sizeof(sql), "ATTACH '/proc/self/fd/%d/store.db' AS stored", store_fd(store));
    return db_exec(apart, sql, err);
}

sqlite3 *store_db(struct store *store) {
    return store_database(store)->connection;
}

/* Statements. */

static size_t slot_of(const char *sql) {
    uint64_t hash = (uint64_t)(uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15);
    return hash >> 58;
}

static struct prepared *find(struct db *db, const char *sql) {
    static_assert(RECENT == 1 << (64 - 58), "slot_of gives the slots of `recent`");
    size_t slot = slot_of(sql);
    if (db->recent[slot]) {
        struct prepared *prepared = &db->all[db->recent[slot] - 1];
        if (prepared->sql == sql && !prepared->busy)
            return prepared;
    }
    for (size_t i = 0; i < db->count; i++) {
        if (db->all[i].sql != sql || db->all[i].busy)
            continue;
        db->recent[slot] = (uint32_t)i + 1;
        return &db->all[i];
    }
    return NULL;
}

static struct prepared *add(struct store *store, const char *sql, struct snap_err *err) {
    struct db *db = store_database(store);
    if (MAKE_ROOM(db->all, db->count, db->room) < 0)
        return err_nomem(err), NULL;
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v3(db->connection, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
    if (result != SQLITE_OK || !statement)
        return db_error(store, result == SQLITE_OK ? SQLITE_MISUSE : result, err), NULL;
    db->all[db->count] = (struct prepared){ .sql = sql, .statement = statement };
    return &db->all[db->count++];
}

/* `sql` must be a string literal: its address is the key. */
static int prepare(struct store *store, const char *sql, sqlite3_stmt **ret, struct snap_err *err) {
    struct db *db = store_database(store);
    struct prepared *prepared = find(db, sql);
    struct snap_err failed = {0};
    if (!prepared)
        prepared = add(store, sql, &failed);
    if (!prepared) {
        if (err)
            *err = failed;
        return failed.code;
    }
    prepared->busy = true;
    db->last = (size_t)(prepared - db->all);
    *ret = prepared->statement;
    return 0;
}

void db_release(struct store *store, sqlite3_stmt *statement) {
    struct db *db = store_database(store);
    (void)sqlite3_reset(statement);          /* repeats the failure of the last step, which was told then */
    (void)sqlite3_clear_bindings(statement);
    size_t at = db->last < db->count && db->all[db->last].statement == statement ? db->last : 0;
    while (at < db->count && db->all[at].statement != statement)
        at++;
    if (at < db->count)
        db->all[at].busy = false;
}

static int bind_one(sqlite3_stmt *statement, int at, char type, va_list *args, sqlite3_destructor_type keep) {
    const char *text;
    const void *bytes;
    switch (type) {
    case 'i':
        return sqlite3_bind_int64(statement, at, va_arg(*args, int64_t));
    case 's':
        text = va_arg(*args, const char *);
        return text ? sqlite3_bind_text(statement, at, text, -1, keep) : sqlite3_bind_null(statement, at);
    case 'n':
        text = va_arg(*args, const char *);
        return text ? sqlite3_bind_blob64(statement, at, text, strlen(text), keep) : sqlite3_bind_null(statement, at);
    case 'b':
        bytes = va_arg(*args, const void *);
        size_t size = va_arg(*args, size_t);
        return bytes ? sqlite3_bind_blob64(statement, at, bytes, size, keep) : sqlite3_bind_null(statement, at);
    default:
        return SQLITE_MISUSE;
    }
}

static int bind_all(struct db_statement *ret, struct store *store, struct snap_err *err, const char *sql, const char *types,
                    va_list *args, sqlite3_destructor_type keep) {
    struct db_statement statement = { .store = store };
    int code = prepare(store, sql, &statement.at, err);
    if (code < 0)
        return code;
    int result = SQLITE_OK;
    for (int i = 0; types[i] && result == SQLITE_OK; i++)
        result = bind_one(statement.at, i + 1, types[i], args, keep);
    if (result != SQLITE_OK) {
        code = db_error(store, result, err);
        db_release(store, statement.at);
        return code;
    }
    *ret = statement;
    return 0;
}

int db_bind(struct db_statement *ret, struct store *store, struct snap_err *err, const char *sql, const char *types, ...) {
    va_list args;
    va_start(args, types);
    int code = bind_all(ret, store, err, sql, types, &args, SQLITE_TRANSIENT);
    va_end(args);
    return code;
}

int db_step(struct db_statement *statement, struct snap_err *err) {
    int result = sqlite3_step(statement->at);
    if (result == SQLITE_ROW)
        return 1;
    return result == SQLITE_DONE ? 0 : db_error(statement->store, result, err);
}

int db_run(struct store *store, struct snap_err *err, const char *sql, const char *types, ...) {
    _statement_ struct db_statement statement = {0};
    va_list args;
    va_start(args, types);
    int code = bind_all(&statement, store, err, sql, types, &args, SQLITE_STATIC);
    va_end(args);
    while (code >= 0 && (code = db_step(&statement, err)) > 0)
        ;
    return code;
}

int db_exec(struct store *store, const char *sql, struct snap_err *err) {
    int result = sqlite3_exec(store_db(store), sql, NULL, NULL, NULL);
    return result == SQLITE_OK ? 0 : db_error(store, result, err);
}

int64_t db_int(struct db_statement *statement, int column) {
    return sqlite3_column_int64(statement->at, column);
}

const void *db_blob(struct db_statement *statement, int column, size_t *ret_size) {
    if (sqlite3_column_type(statement->at, column) == SQLITE_NULL)
        return NULL;
    const void *bytes = sqlite3_column_blob(statement->at, column);
    *ret_size = (size_t)sqlite3_column_bytes(statement->at, column);
    return bytes ? bytes : "";
}

char *db_text(struct db_statement *statement, int column) {
    size_t size = 0;
    const void *bytes = db_blob(statement, column, &size);
    char *text = bytes ? malloc(size + 1) : NULL;
    if (!text)
        return NULL;
    memcpy(text, bytes, size);
    text[size] = '\0';
    return text;
}

/* Commits. */

static int wal_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 at) {
    struct wal *wal = (struct wal *)file->pMethods;
    if (at == 0)
        wal->header = true;
    int result = wal->real->xWrite(file, data, size, at);
    if (result != SQLITE_OK)
        wal->error = errno > 0 ? -errno : -EIO;
    return result;
}

/* SQLite's own would flush the directory, too, once in each process. */
static int wal_sync(sqlite3_file *file, int flags) {
    struct wal *wal = (struct wal *)file->pMethods;
    (void)flags;
    if (wal->skip && !wal->header)
        return SQLITE_OK;
    wal->error = hook("db.flush", "store.db-wal");
    if (wal->error == 0 && fdatasync(wal->fd) < 0)
        wal->error = -errno;
    if (wal->error < 0)
        return SQLITE_IOERR_FSYNC;
    wal->header = false;
    return SQLITE_OK;
}

/* An empty log may be a new file: its name must last before anything in it is said to last. */
static int flush_name(struct db *db) {
    struct stat stat;
    if (fstat(db->wal.fd, &stat) < 0)
        return -errno;
    return stat.st_size > 0 || fsync(db->dirfd) == 0 ? 0 : -errno;
}

/* The log is open once a transaction is. Without one (somebody changed the journal mode) every commit flushes. */
static int watch_wal(struct db *db) {
    sqlite3_file *file = NULL;
    if (sqlite3_file_control(db->connection, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file) != SQLITE_OK || !file || !file->pMethods)
        return 0;
    if (file->pMethods == &db->wal.methods)
        return flush_name(db);
    db->wal.fd = fd_close(db->wal.fd);
    db->wal.fd = openat(db->dirfd, "store.db-wal", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (db->wal.fd < 0)
        return -errno;
    db->wal.real = file->pMethods;
    db->wal.methods = *file->pMethods;
    db->wal.methods.xWrite = wal_write;
    db->wal.methods.xSync = wal_sync;
    file->pMethods = &db->wal.methods;
    return flush_name(db);
}

int db_begin(struct store *store, struct snap_err *err) {
    int no_room = store_database(store)->no_room;
    if (no_room < 0)
        return err_path(err, no_room, store_path(store), "make room for a change of the database in");
    store_database(store)->wal.error = 0;
    int code = db_exec(store, "BEGIN IMMEDIATE", err);
    if (code < 0)
        return code;
    code = watch_wal(store_database(store));
    if (code == 0)
        return 0;
    db_rollback(store);
    return err_path(err, code, store_path(store), "flush the store");
}

void db_rollback(struct store *store) {
    if (!sqlite3_get_autocommit(store_db(store)))
        (void)sqlite3_exec(store_db(store), "ROLLBACK", NULL, NULL, NULL);     /* the connection's end would do the same */
}

/* A commit that failed late has left a commit record in the log, which the next opener would believe. Overwrites it. */
static void bury(struct store *store) {
    char sql[96];
    snprintf(sql, sizeof(sql), "BEGIN IMMEDIATE; PRAGMA application_id=%d; COMMIT", SCHEMA_APPLICATION_ID);
    store_database(store)->wal.skip = true;
    (void)sqlite3_exec(store_db(store), sql, NULL, NULL, NULL);
    store_database(store)->wal.skip = false;
    db_rollback(store);
}

/* Empties the log into the database. TRUNCATE, because a log that was only copied would be copied again by every
 * command that follows; without waiting for readers. Its failure is nobody's loss: the log keeps all of it. */
static void checkpoint(struct db *db) {
    sqlite3_busy_timeout(db->connection, 0);
    (void)sqlite3_wal_checkpoint_v2(db->connection, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sqlite3_busy_timeout(db->connection, BUSY_MS);
    db->pages = 0;
}

int db_commit(struct store *store, bool durable, struct snap_err *err) {
    struct db *db = store_database(store);
    /* a full disk makes SQLite roll back by itself; whoever went on regardless must not learn of it as success */
    if (sqlite3_get_autocommit(db->connection))
        return err_set(err, -EIO, "the transaction was taken back because of an earlier failure");
    db->wal.skip = !durable;
    db->wal.error = 0;
    int code = db_exec(store, "COMMIT", err);
    db->wal.skip = false;
    if (code < 0) {
        if (db->wal.error < 0)
            code = err_path(err, db->wal.error, store_path(store), "flush the database of the store");
        db_rollback(store);
        bury(store);
        return code;
    }
    if (db->pages > (durable ? WAL_MANY : WAL_TOO_MANY))
        checkpoint(db);
    return 0;
}

/* Objects without a row. */

int unplaced_add(struct store *store, int64_t object) {
    struct db *db = store_database(store);
    if (!db->unplaced && !(db->unplaced = map_new()))
        return -ENOMEM;
    return MIN(map_put(db->unplaced, &object, sizeof(object), db, NULL), 0);
}

bool unplaced_take(struct store *store, int64_t object) {
    struct db *db = store_database(store);
    return db->unplaced && map_remove(db->unplaced, &object, sizeof(object));
}
