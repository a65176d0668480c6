/* A store on disk: making and opening its directory, transactions under its lock, small facts.
 * Knows no snapshot; recovery is in recover.c, SQL in db.c. SPDX-License-Identifier: GPL-2.0-or-later */
#include "store.h"

#include "db.h"
#include "lock.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum folder { LAYERS, WORK, RUN, FOLDERS };
static const char *const folder_names[FOLDERS] = { "layers", "work", "run" };

struct store {
    char *path;
    int fd, folders[FOLDERS], lock;
    struct db *db;
    char *damage;              /* why there is no database; NULL = there is */
    bool in_transaction;
};

/* Without slashes at the end: they would lead through a symbolic link. */
static char *copy_path(const char *path) {
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    return strndup(path, size);
}

static struct store *new_store(const char *path) {
    struct store *store = calloc(1, sizeof(*store));
    char *copy = copy_path(path);
    if (!store || !copy) {
        free(store);
        free(copy);
        return NULL;
    }
    store->path = copy;
    store->fd = store->lock = -1;
    for (int i = 0; i < FOLDERS; i++)
        store->folders[i] = -1;
    return store;
}

struct store *store_close(struct store *store) {
    if (!store)
        return NULL;
    db_close(store->db);
    lock_give(store->lock);                  /* after the database: closing it rolls back what is open */
    for (int i = 0; i < FOLDERS; i++)
        fd_close(store->folders[i]);
    fd_close(store->fd);
    free(store->damage);
    free(store->path);
    free(store);
    return NULL;
}

/* The directory. */

static int check_ours(int fd, const char *path, struct snap_err *err) {
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return err_path(err, -errno, path, "look at the store");
    if (stat.st_uid != geteuid()) {
        err_path(err, -EPERM, path, "use the store");
        return err_hint(err, "it belongs to user %u; run the command as that user", (unsigned)stat.st_uid);
    }
    if (stat.st_mode & 077) {
        err_path(err, -EPERM, path, "use the store");
        return err_hint(err, "others may enter it (mode %04o); if they changed nothing in it, run chmod 700 on it",
                        (unsigned)stat.st_mode & 07777);
    }
    return 0;
}

static int open_directory(const char *path, struct snap_err *err) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    struct stat stat;
    int code = -errno;
    if (code == -ENOTDIR && lstat(path, &stat) == 0 && S_ISLNK(stat.st_mode)) {
        err_path(err, -EPERM, path, "use the store");
        return err_hint(err, "it is a symbolic link; name the directory that it leads to");
    }
    err_path(err, code, path, "open the store");
    return code == -ENOENT ? err_failure(err, SNAP_FAILURE_NO_PROJECT) : code;
}

static int flush_directory(int fd, const char *path, struct snap_err *err) {
    return fsync(fd) < 0 ? err_path(err, -errno, path, "flush the directory") : 0;
}

/* A directory that we may write to but not read cannot be flushed; then the whole file system is. */
static int flush_name(int parent, const char *name, const char *path, struct snap_err *err) {
    _close_ int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        return flush_directory(fd, path, err);
    fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 || syncfs(fd) < 0 ? err_path(err, -errno, path, "flush the directory") : 0;
}

/* Makes `path` and what leads to it. The last name is not opened: open_directory does so, following no link. */
static int make_directories(const char *path, struct snap_err *err) {
    _free_ char *upto = strdup(path);
    if (!upto)
        return err_nomem(err);
    _close_ int parent = open(*path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (char *name = upto + strspn(upto, "/"), *next; *name; name = next) {
        if (parent < 0)
            return err_path(err, -errno, path, "reach the store");
        char *end = name + strcspn(name, "/");
        next = end + strspn(end, "/");
        *end = '\0';
        bool made = mkdirat(parent, name, 0700) == 0;
        if (!made && errno != EEXIST)
            return err_path(err, -errno, path, "create the store");
        int code = made ? flush_name(parent, name, path, err) : 0;
        if (code < 0)
            return code;
        int fd = *next ? openat(parent, name, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
        fd_close(parent);
        parent = fd;
    }
    return 0;
}

static bool is_our_name(const char *name) {
    for (int i = 0; i < FOLDERS; i++)
        if (strcmp(name, folder_names[i]) == 0)
            return true;
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0;
}

/* A directory that somebody uses for something else does not become a store. */
static int check_unused(int fd, const char *path, struct snap_err *err) {
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        int code = -errno;
        fd_close(copy);
        return err_path(err, code, path, "read the directory");
    }
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir)); errno = 0) {
        if (strcmp(entry->d_name, "store.db") == 0)
            return err_path(err, -EEXIST, path, "create the store");
        if (is_our_name(entry->d_name))
            continue;
        err_path(err, -ENOTEMPTY, path, "create the store");
        return err_hint(err, "give it a directory of its own");
    }
    return errno ? err_path(err, -errno, path, "read the directory") : 0;
}

static int make_folders(int fd, const char *path, struct snap_err *err) {
    for (int i = 0; i < FOLDERS; i++)
        if (mkdirat(fd, folder_names[i], 0700) < 0 && errno != EEXIST)
            return err_path(err, -errno, path, "create the folder '%s' of the store", folder_names[i]);
    return 0;
}

static int rename_new(int from_fd, const char *from, int fd, const char *to) {
    if (renameat2(from_fd, from, fd, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == ENOENT && faccessat(fd, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return -EEXIST;                      /* another command made the store, and its recovery swept ours away */
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (linkat(from_fd, from, fd, to, 0) < 0)
        return -errno;
    return unlinkat(from_fd, from, 0) < 0 ? -errno : 0;
}

/* Built in work/ under a name of its own: the store has a whole database or none, also when two make it at a time. */
static int make_database(int fd, int work, const char *path, struct snap_err *err) {
    char name[64];
    snprintf(name, sizeof(name), "new-%ld.db", (long)getpid());
    if (unlinkat(work, name, 0) < 0 && errno != ENOENT)
        return err_path(err, -errno, path, "clear the work area of the store");
    int code = db_create(work, name, err);
    if (code == 0) {
        code = rename_new(work, name, fd, "store.db");
        if (code == 0)
            return flush_directory(fd, path, err);
        err_path(err, code, path, "create the store");
    }
    (void)unlinkat(work, name, 0);           /* recovery empties work/ anyway */
    return code;
}

int store_create(const char *given, struct snap_err *err) {
    _free_ char *path = copy_path(given);
    if (!path)
        return err_nomem(err);
    int code = make_directories(path, err);
    if (code < 0)
        return code;
    _close_ int fd = open_directory(path, err);
    if (fd < 0)
        return fd;
    if ((code = check_ours(fd, path, err)) < 0 || (code = check_unused(fd, path, err)) < 0 ||
        (code = make_folders(fd, path, err)) < 0)
        return code;
    _close_ int work = openat(fd, folder_names[WORK], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (work < 0)
        return err_path(err, -errno, path, "open the work area of the store");
    return make_database(fd, work, path, err);
}

static int open_folders(struct store *store, struct snap_err *err) {
    for (int i = 0; i < FOLDERS; i++) {
        store->folders[i] = openat(store->fd, folder_names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (store->folders[i] >= 0)
            continue;
        int code = -errno;
        if (code == -ENOENT || code == -ENOTDIR)
            return err_damage(err, "the store '%s' is damaged: its folder '%s' is missing", store->path, folder_names[i]);
        return err_path(err, code, store->path, "open the folder '%s' of the store", folder_names[i]);
    }
    return 0;
}

static int check_there(struct store *store, struct snap_err *err) {
    if (faccessat(store->fd, "store.db", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    int code = -errno;
    err_path(err, code, store->path, "find a database in the store");
    return code == -ENOENT ? err_failure(err, SNAP_FAILURE_NO_PROJECT) : code;
}

static int open_database(struct store *store, struct snap_err *err) {
    int version = 0, code = db_open(store, &store->db, &version, err);
    if (code < 0 || version == SCHEMA_VERSION)
        return code;
    /* somebody else may have migrated it before we had the lock */
    if ((code = store_lock(store, STORE_LOCK_TRY, "snapctl (upgrading the store)", NULL, err)) == 0)
        code = db_version(store, &version, err);
    if (code == 0 && version < SCHEMA_VERSION)
        code = schema_migrate(store, version, err);
    store->lock = lock_give(store->lock);
    return code;
}

int store_open(const char *path, struct store **ret, struct snap_err *err) {
    _cleanup_(store_closep) struct store *store = new_store(path);
    if (!store)
        return err_nomem(err);
    int code = store->fd = open_directory(store->path, err);
    if (code < 0 || (code = check_ours(store->fd, store->path, err)) < 0 || (code = check_there(store, err)) < 0 ||
        (code = open_folders(store, err)) < 0 || (code = open_database(store, err)) < 0)
        return code;
    *ret = TAKE_PTR(store);
    return 0;
}

/* What a damaged database is is known by the failure; everything else is no damage and stays one. */
static int open_or_do_without(struct store *store, struct snap_err *err) {
    struct snap_err why = {0};
    int code = check_there(store, &why);
    if (code == 0)
        code = open_database(store, &why);
    if (code == 0)
        return 0;
    if (code != -ENOENT && why.failure != SNAP_FAILURE_DAMAGE) {
        if (err)
            *err = why;
        return code;
    }
    store->db = db_close(store->db);
    store->damage = strdup(code == -ENOENT ? "is missing" : why.message);
    return store->damage ? 0 : err_nomem(err);
}

static bool has_layers(const struct store *store) {
    return faccessat(store->fd, folder_names[LAYERS], F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int store_open_damaged(const char *path, bool make, struct store **ret, struct snap_err *err) {
    _cleanup_(store_closep) struct store *store = new_store(path);
    if (!store)
        return err_nomem(err);
    int code = store->fd = open_directory(store->path, err);
    if (code < 0 || (code = check_ours(store->fd, store->path, err)) < 0)
        return code;
    if (!has_layers(store) && (code = check_there(store, err)) < 0)      /* neither: no store at all */
        return code;
    if ((make && (code = make_folders(store->fd, store->path, err)) < 0) || (code = open_folders(store, err)) < 0 ||
        (code = open_or_do_without(store, err)) < 0)
        return code;
    *ret = TAKE_PTR(store);
    return 0;
}

void store_forget_database(struct store *store) {
    store->db = db_close(store->db);
    store->in_transaction = false;
}

int store_reopen_database(struct store *store, struct snap_err *err) {
    int version;
    store_forget_database(store);
    int code = db_open(store, &store->db, &version, err);
    if (code == 0)
        free(TAKE_PTR(store->damage));
    return code;
}

const char *store_damage(const struct store *store) { return store->damage; }

int store_open_apart(struct store *store, struct store **ret, struct snap_err *err) {
    _cleanup_(store_closep) struct store *apart = new_store(store->path);
    if (!apart)
        return err_nomem(err);
    apart->fd = fcntl(store->fd, F_DUPFD_CLOEXEC, 3);
    int code = apart->fd < 0 ? err_path(err, -errno, store->path, "open the store") : open_folders(apart, err);
    if (code == 0)
        code = db_open_apart(apart, &apart->db, err);
    if (code < 0)
        return code;
    *ret = TAKE_PTR(apart);
    return 0;
}

/* What it holds. */

struct db *store_database(const struct store *store) { return store->db; }
const char *store_path(const struct store *store) { return store->path; }
int store_fd(const struct store *store) { return store->fd; }
int store_layers_fd(const struct store *store) { return store->folders[LAYERS]; }
int store_work_fd(const struct store *store) { return store->folders[WORK]; }
int store_run_fd(const struct store *store) { return store->folders[RUN]; }
bool store_locked(const struct store *store) { return store->lock >= 0; }

int store_lock(struct store *store, enum store_lock how, const char *command, const volatile sig_atomic_t *cancel, struct snap_err *err) {
    if (store_locked(store))
        return 0;
    return lock_take(store_run_fd(store), how, command, cancel, &store->lock, err);
}

bool store_is_idle(struct store *store) {
    if (store_locked(store))
        return false;
    int lock = -1;
    bool idle = lock_take(store_run_fd(store), STORE_LOCK_TRY, "snapctl", NULL, &lock, NULL) == 0;
    lock_give(lock);
    return idle;
}

int64_t store_version(struct store *store) {
    _statement_ struct db_statement row = {0};
    int code = db_bind(&row, store, NULL, "PRAGMA data_version", "");
    return code == 0 && db_step(&row, NULL) > 0 ? db_int(&row, 0) : -1;
}

/* Transactions. */

int store_begin(struct store *store, struct snap_err *err) {
    if (!store_locked(store))
        return err_set(err, -ENOLCK, "the store is written to without its lock");
    if (store->in_transaction)
        return err_set(err, -EINVAL, "a transaction of the store is open already");
    int code = db_begin(store, err);
    store->in_transaction = code == 0;
    return code;
}

int store_read_begin(struct store *store, struct snap_err *err) {
    if (store->in_transaction)
        return err_set(err, -EINVAL, "a transaction of the store is open already");
    return db_exec(store, "BEGIN", err);
}

void store_read_end(struct store *store) {
    if (!store->in_transaction)
        db_rollback(store);
}

int store_commit(struct store *store, bool durable, struct snap_err *err) {
    if (!store->in_transaction)
        return err_set(err, -EINVAL, "no transaction of the store is open");
    store->in_transaction = false;
    return db_commit(store, durable, err);
}

void store_abort(struct store *store) {
    store->in_transaction = false;
    db_rollback(store);
}

int store_flush(struct store *store, struct snap_err *err) {
    return syncfs(store->fd) < 0 ? err_path(err, -errno, store->path, "flush the file system of the store") : 0;
}

/* Facts. */

int store_fact(struct store *store, const char *key, char **ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int code = db_bind(&row, store, err, "SELECT value FROM meta WHERE key = ?", "s", key);
    if (code < 0 || (code = db_step(&row, err)) <= 0)
        return code;
    char *value = db_text(&row, 0);
    if (!value)
        return err_nomem(err);
    *ret = value;
    return 1;
}

int store_set_fact(struct store *store, const char *key, const char *value, struct snap_err *err) {
    if (!value)
        return db_run(store, err, "DELETE FROM meta WHERE key = ?", "s", key);
    return db_run(store, err, "INSERT INTO meta(key, value) VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value",
                  "ss", key, value);
}
