/* Tests of the store: its directory, its database, its lock, its commits. SPDX-License-Identifier: GPL-2.0-or-later */
#include "db.h"
#include "fs.h"
#include "hook.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <cmocka.h>

static char where[64], path[128];
static struct snap_err err;

static int setup(void **state) {
    (void)state;
    strcpy(where, "/tmp/test_store.XXXXXX");
    if (!mkdtemp(where))
        return -1;
    snprintf(path, sizeof(path), "%s/store", where);
    memset(&err, 0, sizeof(err));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    hook_function = NULL;
    return fs_remove_tree(AT_FDCWD, where);
}

static struct store *made(void) {
    struct store *store = NULL;
    if (store_create(path, &err) < 0 || store_open(path, &store, &err) < 0)
        fail_msg("%s", err.message);
    return store;
}

static struct store *locked(void) {
    struct store *store = made();
    assert_int_equal(store_lock(store, STORE_LOCK_TRY, "test", NULL, &err), 0);
    return store;
}

static struct store *reopened(struct store *store) {
    store_close(store);
    assert_int_equal(store_open(path, &store, &err), 0);
    return store;
}

static void set(struct store *store, const char *key, const char *value, bool durable) {
    assert_int_equal(store_begin(store, &err), 0);
    assert_int_equal(store_set_fact(store, key, value, &err), 0);
    assert_int_equal(store_commit(store, durable, &err), 0);
}

static bool has(struct store *store, const char *key, const char *value) {
    _free_ char *found = NULL;
    int code = store_fact(store, key, &found, &err);
    assert_true(code >= 0);
    return code > 0 && strcmp(found, value) == 0;
}

static const char *inside(const char *name) {
    static char space[256];
    snprintf(space, sizeof(space), "%s/%s", path, name);
    return space;
}

static mode_t mode_of(const char *name) {
    struct stat stat;
    assert_int_equal(lstat(name, &stat), 0);
    return stat.st_mode & 07777;
}

static void write_file(const char *name, const char *text, size_t size) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), (ssize_t)size);
    close(fd);
}

static int opening(void) {
    _cleanup_(store_closep) struct store *store = NULL;
    memset(&err, 0, sizeof(err));
    return store_open(path, &store, &err);
}

/* The directory. */

static void a_new_store_is_for_its_owner_alone(void **state) {
    (void)state;
    mode_t before = umask(0);
    _cleanup_(store_closep) struct store *store = made();
    umask(before);
    assert_int_equal(mode_of(path), 0700);
    assert_int_equal(mode_of(inside("layers")), 0700);
    assert_int_equal(mode_of(inside("work")), 0700);
    assert_int_equal(mode_of(inside("run")), 0700);
    assert_int_equal(mode_of(inside("store.db")), 0600);
    assert_string_equal(store_path(store), path);
    assert_int_equal(faccessat(store_fd(store), "layers", F_OK, 0), 0);
    assert_false(store_locked(store));
}

static void its_parents_are_made(void **state) {
    (void)state;
    snprintf(path, sizeof(path), "%s/a//b/c/", where);
    store_close(made());
    snprintf(path, sizeof(path), "%s/a/b", where);
    assert_int_equal(mode_of(path), 0700);
}

static void a_store_is_not_made_twice(void **state) {
    (void)state;
    store_close(made());
    assert_int_equal(store_create(path, &err), -EEXIST);
    assert_int_equal(opening(), 0);
}

static void what_a_killed_creation_left_does_not_hinder_the_next(void **state) {
    (void)state;
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mkdir(inside("layers"), 0700), 0);
    assert_int_equal(mkdir(inside("work"), 0700), 0);
    char name[64];
    snprintf(name, sizeof(name), "work/new-%ld.db", (long)getpid());
    write_file(inside(name), "half", 4);
    assert_int_equal(opening(), -ENOENT);
    store_close(made());
}

static void a_directory_in_use_does_not_become_a_store(void **state) {
    (void)state;
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(inside("letter.txt"), "x", 1);
    assert_int_equal(store_create(path, &err), -ENOTEMPTY);
    assert_int_equal(access(inside("store.db"), F_OK), -1);
    assert_int_equal(access(inside("layers"), F_OK), -1);
}

static void where_there_is_no_store_none_is_opened(void **state) {
    (void)state;
    assert_int_equal(opening(), -ENOENT);
    assert_int_equal(err.failure, SNAP_FAILURE_NO_PROJECT);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(opening(), -ENOENT);
    assert_int_equal(err.failure, SNAP_FAILURE_NO_PROJECT);
}

static void a_symbolic_link_is_refused(void **state) {
    (void)state;
    char link[160];
    store_close(made());
    snprintf(link, sizeof(link), "%s/link", where);
    assert_int_equal(symlink(path, link), 0);
    strcpy(path, link);
    assert_int_equal(opening(), -EPERM);
    strcat(path, "/");
    assert_int_equal(opening(), -EPERM);
    assert_non_null(strstr(err.hint, "symbolic link"));
    assert_int_equal(store_create(path, &err), -EPERM);
}

static void a_store_that_others_may_enter_is_refused(void **state) {
    (void)state;
    store_close(made());
    assert_int_equal(chmod(path, 0750), 0);
    assert_int_equal(opening(), -EPERM);
    assert_non_null(strstr(err.hint, "chmod 700"));
    assert_int_equal(mode_of(path), 0750);
}

static void a_store_of_another_user_is_refused(void **state) {
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: needs root to give a directory away\n");
        skip();
    }
    store_close(made());
    assert_int_equal(chown(path, 12345, 12345), 0);
    assert_int_equal(opening(), -EPERM);
    assert_non_null(strstr(err.hint, "12345"));
}

static void a_store_lies_as_deep_as_its_owner_likes(void **state) {
    (void)state;
    _free_ char *deep = malloc(2048);
    size_t size = (size_t)sprintf(deep, "%s", where);
    while (size < 1500)
        size += (size_t)sprintf(deep + size, "/a directory of a long name, as some people like them to be");
    _cleanup_(store_closep) struct store *store = NULL;
    if (store_create(deep, &err) < 0 || store_open(deep, &store, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(store_lock(store, STORE_LOCK_TRY, "test", NULL, &err), 0);
    set(store, "key", "value", true);
    assert_true(has(store, "key", "value"));
}

static void a_store_that_is_moved_while_it_is_open_is_still_the_same(void **state) {
    (void)state;
    struct store *store = locked();
    char moved[160];
    snprintf(moved, sizeof(moved), "%s/moved", where);
    assert_int_equal(rename(path, moved), 0);
    set(store, "key", "value", true);
    strcpy(path, moved);
    store = reopened(store);
    assert_true(has(store, "key", "value"));
    store_close(store);
}

static void a_missing_folder_is_damage(void **state) {
    (void)state;
    store_close(made());
    assert_int_equal(rmdir(inside("layers")), 0);
    assert_int_equal(opening(), -EUCLEAN);
    assert_int_equal(err.failure, SNAP_FAILURE_DAMAGE);
}

/* Hostile and foreign databases. */

static void a_file_that_is_no_database_is_damage(void **state) {
    (void)state;
    store_close(made());
    char noise[8192];
    memset(noise, 'x', sizeof(noise));
    unlink(inside("store.db-wal"));
    write_file(inside("store.db"), noise, sizeof(noise));
    assert_int_equal(opening(), -EUCLEAN);
    assert_int_equal(err.failure, SNAP_FAILURE_DAMAGE);
    assert_non_null(strstr(err.message, "store.db"));
}

static void an_empty_file_is_not_our_database(void **state) {
    (void)state;
    store_close(made());
    unlink(inside("store.db-wal"));
    write_file(inside("store.db"), "", 0);
    assert_int_equal(opening(), -EUCLEAN);
    assert_int_equal(err.failure, SNAP_FAILURE_DAMAGE);
}

static void a_symbolic_link_is_not_followed_to_a_database(void **state) {
    (void)state;
    store_close(made());
    char elsewhere[160];
    snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere.db", where);
    assert_int_equal(rename(inside("store.db"), elsewhere), 0);
    assert_int_equal(symlink(elsewhere, inside("store.db")), 0);
    assert_true(opening() < 0);
}

static void a_truncated_database_fails_and_never_crashes(void **state) {
    (void)state;
    struct store *store = locked();
    for (int i = 0; i < 3000; i++) {
        char key[32];
        snprintf(key, sizeof(key), "key %d", i);
        set(store, key, "some value that takes its room in a page of the database", false);
    }
    assert_int_equal(sqlite3_wal_checkpoint_v2(store_db(store), NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL), SQLITE_OK);
    store_close(store);
    struct stat whole;
    assert_int_equal(stat(inside("store.db"), &whole), 0);
    for (off_t size = whole.st_size; size >= 0; size -= 4096 + 1000) {
        assert_int_equal(truncate(inside("store.db"), size), 0);
        _cleanup_(store_closep) struct store *cut = NULL;
        _free_ char *value = NULL;
        int code = store_open(path, &cut, &err);
        if (code == 0)
            code = store_fact(cut, "key 2999", &value, &err);
        assert_true(code >= 0 || code == -EUCLEAN);
        assert_true(code >= 0 || err.failure == SNAP_FAILURE_DAMAGE);
        assert_true(code < 0 || size > whole.st_size / 2);
    }
}

static void run_sql(const char *sql) {
    sqlite3 *connection = NULL;
    assert_int_equal(sqlite3_open(inside("store.db"), &connection), SQLITE_OK);
    assert_int_equal(sqlite3_exec(connection, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(connection), SQLITE_OK);
}

static void a_database_of_another_program_is_refused(void **state) {
    (void)state;
    store_close(made());
    run_sql("PRAGMA application_id = 7");
    assert_int_equal(opening(), -EUCLEAN);
    assert_non_null(strstr(err.message, "not a database of snapctl"));
}

static void a_newer_schema_is_refused_with_a_sentence(void **state) {
    (void)state;
    store_close(made());
    run_sql("PRAGMA user_version = 99");
    assert_int_equal(opening(), -EPROTONOSUPPORT);
    assert_non_null(strstr(err.message, "was written by a newer snapctl (schema 99, this one knows 2)"));
    assert_string_equal(err.hint, "upgrade snapctl");
}

static void a_schema_that_no_release_wrote_is_refused(void **state) {
    (void)state;
    store_close(made());
    run_sql("PRAGMA user_version = 0");
    assert_int_equal(opening(), -EPROTONOSUPPORT);
}

static void a_missing_table_is_damage(void **state) {
    (void)state;
    store_close(made());
    run_sql("DROP TABLE meta");
    _cleanup_(store_closep) struct store *store = NULL;
    assert_int_equal(store_open(path, &store, &err), 0);
    _free_ char *value = NULL;
    assert_int_equal(store_fact(store, "key", &value, &err), -EUCLEAN);
    assert_int_equal(err.failure, SNAP_FAILURE_DAMAGE);
}

static void the_schema_is_what_sqlite_calls_whole(void **state) {
    (void)state;
    _cleanup_(store_closep) struct store *store = made();
    _statement_ struct db_statement row = {0};
    assert_int_equal(db_bind(&row, store, &err, "PRAGMA integrity_check", ""), 0);
    assert_int_equal(db_step(&row, &err), 1);
    _free_ char *text = db_text(&row, 0);
    assert_string_equal(text, "ok");
}

/* Migration. */

static void a_migration_takes_every_step_or_none(void **state) {
    (void)state;
    static const char *const good[] = { NULL, "CREATE TABLE two(x)", "INSERT INTO two VALUES (2); CREATE TABLE three(x)" };
    static const char *const bad[] = { NULL, "CREATE TABLE two(x)", "INSERT INTO nowhere VALUES (2)" };
    struct store *store = locked();
    assert_true(schema_migrate_by(store, bad, 1, 3, &err) < 0);
    store = reopened(store);
    assert_true(db_exec(store, "SELECT * FROM two", &err) < 0);
    assert_int_equal(store_lock(store, STORE_LOCK_TRY, "test", NULL, &err), 0);
    assert_int_equal(schema_migrate_by(store, good, 1, 3, &err), 0);
    assert_int_equal(db_exec(store, "SELECT * FROM two, three", &err), 0);
    store_close(store);
    assert_int_equal(opening(), -EPROTONOSUPPORT);
    assert_non_null(strstr(err.message, "schema 3"));
}

/* As version 1 left it: without what came later. */
static void a_store_of_version_1_is_brought_forward(void **state) {
    (void)state;
    store_close(made());
    run_sql("DROP TABLE current; DROP TABLE workspace; DROP TABLE operation_snapshot; DROP TABLE gone; DROP TABLE gone_dir; DROP TABLE stale; DROP TABLE doomed; DROP TABLE doubt; DROP TABLE operation_left; DROP INDEX entry_again;"
            "ALTER TABLE entry DROP COLUMN again; PRAGMA user_version = 1;"
            "INSERT INTO entry VALUES (1, 1, CAST('b' AS BLOB), 1, 3, 7), (1, 1, CAST('a' AS BLOB), 4, 9, 7), (1, 1, CAST('b' AS BLOB), 5, 9, 7),"
            " (1, 1, CAST('c' AS BLOB), 2, 3, 8)");
    _cleanup_(store_closep) struct store *store = NULL;
    assert_int_equal(store_open(path, &store, &err), 0);
    _statement_ struct db_statement row = {0};
    assert_int_equal(db_bind(&row, store, &err, "SELECT group_concat(object || '@' || born || '=' || again, ' ') FROM"
                             " (SELECT * FROM entry ORDER BY object, born)", ""), 0);
    assert_int_equal(db_step(&row, &err), 1);
    _free_ char *text = db_text(&row, 0);
    assert_string_equal(text, "7@1=0 7@4=1 7@5=1 8@2=0");
    assert_int_equal(db_exec(store, "SELECT * FROM operation_snapshot, gone, gone_dir, stale, doomed, doubt, workspace, current", &err), 0);
}

static void there_is_no_way_from_a_schema_without_a_step(void **state) {
    (void)state;
    static const char *const way[] = { NULL, "CREATE TABLE two(x)" };
    _cleanup_(store_closep) struct store *store = locked();
    assert_int_equal(schema_migrate_by(store, way, 0, 2, &err), -EPROTONOSUPPORT);
    assert_int_equal(schema_migrate_by(store, way, -5, 2, &err), -EPROTONOSUPPORT);
}

/* Facts and statements. */

static void facts_are_set_changed_and_removed(void **state) {
    (void)state;
    struct store *store = locked();
    char *value = NULL;
    assert_int_equal(store_fact(store, "key", &value, &err), 0);
    assert_null(value);
    set(store, "key", "one", true);
    set(store, "key", "two", true);
    store = reopened(store);
    assert_true(has(store, "key", "two"));
    assert_int_equal(store_lock(store, STORE_LOCK_TRY, "test", NULL, &err), 0);
    set(store, "key", NULL, true);
    assert_int_equal(store_fact(store, "key", &value, &err), 0);
    store_close(store);
}

static void one_statement_may_be_used_while_it_is_used(void **state) {
    (void)state;
    static const char sql[] = "WITH RECURSIVE n(x) AS (VALUES (?) UNION ALL SELECT x + 1 FROM n LIMIT 3) SELECT x FROM n";
    _cleanup_(store_closep) struct store *store = made();
    int64_t sum = 0;
    for (int round = 0; round < 3; round++) {
        _statement_ struct db_statement outer = {0};
        assert_int_equal(db_bind(&outer, store, &err, sql, "i", (int64_t)10), 0);
        while (db_step(&outer, &err) > 0) {
            _statement_ struct db_statement inner = {0};
            assert_int_equal(db_bind(&inner, store, &err, sql, "i", (int64_t)100), 0);
            while (db_step(&inner, &err) > 0)
                sum += db_int(&outer, 0) * db_int(&inner, 0);
        }
    }
    assert_int_equal(sum, 3 * (10 + 11 + 12) * (100 + 101 + 102));
}

static void values_come_back_as_they_went(void **state) {
    (void)state;
    _cleanup_(store_closep) struct store *store = made();
    _statement_ struct db_statement row = {0};
    assert_int_equal(db_bind(&row, store, &err, "SELECT ?, ?, ?, ?, ?, ?, ?, typeof(?), typeof(?)", "isbnnsbns", INT64_MIN, "text",
                             "a\0b", (size_t)3, "na\xffme", "", (const char *)NULL, (const void *)"", (size_t)0, "name", "text"), 0);
    assert_int_equal(db_step(&row, &err), 1);
    size_t size = 99;
    assert_true(db_int(&row, 0) == INT64_MIN);
    assert_memory_equal(db_blob(&row, 2, &size), "a\0b", 3);
    assert_int_equal(size, 3);
    _free_ char *text = db_text(&row, 1), _free_ *name = db_text(&row, 3), _free_ *empty = db_text(&row, 4),
         _free_ *null = db_text(&row, 5), _free_ *type = db_text(&row, 7), _free_ *other = db_text(&row, 8);
    assert_string_equal(text, "text");
    assert_string_equal(name, "na\xffme");
    assert_string_equal(empty, "");
    assert_null(null);
    assert_non_null(db_blob(&row, 6, &size));
    assert_int_equal(size, 0);
    assert_string_equal(type, "blob");
    assert_string_equal(other, "text");
    assert_int_equal(db_step(&row, &err), 0);
}

static void a_second_row_of_one_key_is_told_from_damage(void **state) {
    (void)state;
    _cleanup_(store_closep) struct store *store = locked();
    assert_int_equal(store_begin(store, &err), 0);
    assert_int_equal(db_run(store, &err, "INSERT INTO meta VALUES (?, ?)", "ss", "key", "value"), 0);
    assert_int_equal(db_run(store, &err, "INSERT INTO meta VALUES (?, ?)", "ss", "key", "value"), -EEXIST);
    assert_int_equal(err.failure, SNAP_FAILURE_GENERIC);
    assert_int_equal(db_run(store, &err, "INSERT INTO entry VALUES (7, 1, x'61', 1, 2, 99)", ""), -EUCLEAN);
    assert_int_equal(db_run(store, &err, "INSERT INTO meta VALUES (?, ?)", "ss", "other", "value"), 0);
    assert_int_equal(store_commit(store, true, &err), 0);
    assert_true(has(store, "other", "value"));
}

/* Commits. */

static void writing_needs_the_lock(void **state) {
    (void)state;
    _cleanup_(store_closep) struct store *store = made();
    assert_int_equal(store_begin(store, &err), -ENOLCK);
}

static void transactions_do_not_nest(void **state) {
    (void)state;
    _cleanup_(store_closep) struct store *store = locked();
    assert_int_equal(store_begin(store, &err), 0);
    assert_true(store_begin(store, &err) < 0);
    assert_int_equal(store_commit(store, false, &err), 0);
    assert_true(store_commit(store, false, &err) < 0);
}

static void a_transaction_that_sqlite_took_back_is_not_committed(void **state) {
    (void)state;
    _cleanup_(store_closep) struct store *store = locked();
    assert_int_equal(store_begin(store, &err), 0);
    assert_int_equal(store_set_fact(store, "key", "value", &err), 0);
    assert_int_equal(db_exec(store, "ROLLBACK", &err), 0);
    assert_int_equal(store_commit(store, true, &err), -EIO);
    set(store, "other", "value", true);
    assert_false(has(store, "key", "value"));
}

static void what_is_aborted_or_closed_was_never_there(void **state) {
    (void)state;
    struct store *store = locked();
    assert_int_equal(store_begin(store, &err), 0);
    assert_int_equal(store_set_fact(store, "key", "value", &err), 0);
    store_abort(store);
    store_abort(store);
    assert_false(has(store, "key", "value"));
    assert_int_equal(store_begin(store, &err), 0);
    assert_int_equal(store_set_fact(store, "key", "value", &err), 0);
    store = reopened(store);
    assert_false(has(store, "key", "value"));
    store_close(store);
}

static void readers_see_the_last_commit_and_wait_for_nobody(void **state) {
    (void)state;
    _cleanup_(store_closep) struct store *writer = locked(), _cleanup_(store_closep) *reader = NULL;
    assert_int_equal(store_open(path, &reader, &err), 0);
    set(writer, "key", "one", true);
    assert_int_equal(store_begin(writer, &err), 0);
    assert_int_equal(store_set_fact(writer, "key", "two", &err), 0);
    assert_true(has(reader, "key", "one"));
    assert_int_equal(store_commit(writer, false, &err), 0);
    assert_true(has(reader, "key", "two"));
}

static void in_child(void (*run)(struct store *)) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct store *store = NULL;
        if (store_open(path, &store, &err) < 0 || store_lock(store, STORE_LOCK_TRY, "child", NULL, &err) < 0 ||
            store_begin(store, &err) < 0)
            _exit(1);
        run(store);
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void set_only(struct store *store) {
    (void)store_set_fact(store, "only set", "value", &err);
}

static void set_and_commit(struct store *store) {
    (void)store_set_fact(store, "committed", "value", &err);
    (void)store_commit(store, false, &err);
}

static void a_commit_without_a_flush_survives_a_kill_and_nothing_less_does(void **state) {
    (void)state;
    store_close(made());
    in_child(set_only);
    in_child(set_and_commit);
    _cleanup_(store_closep) struct store *store = NULL;
    assert_int_equal(store_open(path, &store, &err), 0);
    assert_false(has(store, "only set", "value"));
    assert_true(has(store, "committed", "value"));
    assert_int_equal(store_lock(store, STORE_LOCK_TRY, "test", NULL, &err), 0);
}

static int flushes, flush_result;

static int count_flushes(const char *point, const char *what) {
    (void)what;
    if (strcmp(point, "db.flush") != 0)
        return 0;
    flushes++;
    return flush_result;
}

static void only_a_durable_commit_flushes(void **state) {
    (void)state;
    _cleanup_(store_closep) struct store *store = locked();
    set(store, "first", "begins the log", false);
    flushes = flush_result = 0;
    hook_function = count_flushes;
    set(store, "key", "one", false);
    assert_int_equal(flushes, 0);
    set(store, "key", "two", true);
    assert_int_equal(flushes, 1);
}

static void a_commit_that_cannot_be_flushed_is_gone_for_everybody(void **state) {
    (void)state;
    struct store *store = locked();
    set(store, "key", "before", true);
    hook_function = count_flushes;
    flush_result = -ENOSPC;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_begin(store, &err), 0);
        assert_int_equal(store_set_fact(store, "key", "after", &err), 0);
        assert_int_equal(store_commit(store, true, &err), -ENOSPC);
        assert_true(has(store, "key", "before"));
    }
    hook_function = NULL;
    store = reopened(store);
    assert_true(has(store, "key", "before"));
    assert_int_equal(store_lock(store, STORE_LOCK_TRY, "test", NULL, &err), 0);
    set(store, "key", "later", true);
    store = reopened(store);
    assert_true(has(store, "key", "later"));
    store_close(store);
}

static off_t log_size(void) {
    struct stat stat;
    assert_int_equal(lstat(inside("store.db-wal"), &stat), 0);
    return stat.st_size;
}

static void fill(struct store *store, const char *key, size_t size) {
    _free_ char *value = malloc(size + 1);
    memset(value, 'v', size);
    value[size] = '\0';
    assert_int_equal(store_set_fact(store, key, value, &err), 0);
}

static void a_long_log_is_emptied_by_who_flushes_anyway(void **state) {
    (void)state;
    struct store *store = locked();
    assert_int_equal(store_begin(store, &err), 0);
    fill(store, "big", 1500 * 4096);
    assert_int_equal(store_commit(store, false, &err), 0);
    assert_true(log_size() > 1500 * 4096);
    set(store, "key", "value", true);
    assert_int_equal(log_size(), 0);
    set(store, "key", "other", false);
    store = reopened(store);
    assert_true(has(store, "key", "other"));
    store_close(store);
}

static void a_reader_keeps_the_log_from_being_emptied_but_not_the_commit(void **state) {
    (void)state;
    _cleanup_(store_closep) struct store *writer = locked(), _cleanup_(store_closep) *reader = NULL;
    set(writer, "key", "old", true);
    assert_int_equal(store_open(path, &reader, &err), 0);
    assert_int_equal(db_exec(reader, "BEGIN", &err), 0);
    assert_true(has(reader, "key", "old"));
    assert_int_equal(store_begin(writer, &err), 0);
    fill(writer, "big", 1500 * 4096);
    assert_int_equal(store_set_fact(writer, "key", "new", &err), 0);
    assert_int_equal(store_commit(writer, true, &err), 0);
    assert_true(log_size() > 0);
    assert_true(has(reader, "key", "old"));
    assert_int_equal(db_exec(reader, "COMMIT", &err), 0);
    assert_true(has(reader, "key", "new"));
    set(writer, "key", "newer", true);
    assert_int_equal(log_size(), 0);
}

static void a_journal_mode_that_somebody_changed_costs_time_and_nothing_else(void **state) {
    (void)state;
    store_close(made());
    run_sql("PRAGMA journal_mode = DELETE");
    struct store *store = NULL;
    assert_int_equal(store_open(path, &store, &err), 0);
    assert_int_equal(store_lock(store, STORE_LOCK_TRY, "test", NULL, &err), 0);
    set(store, "key", "one", false);
    set(store, "key", "two", true);
    store = reopened(store);
    assert_true(has(store, "key", "two"));
    store_close(store);
}

/* The lock. */

static void the_second_is_told_who_is_first(void **state) {
    (void)state;
    _cleanup_(store_closep) struct store *first = made(), _cleanup_(store_closep) *second = NULL;
    assert_int_equal(store_lock(first, STORE_LOCK_TRY, "snapctl take -m \"a\nb\033\"", NULL, &err), 0);
    assert_int_equal(store_lock(first, STORE_LOCK_TRY, "again", NULL, &err), 0);
    assert_int_equal(store_open(path, &second, &err), 0);
    assert_int_equal(store_lock(second, STORE_LOCK_TRY, "snapctl take", NULL, &err), -EBUSY);
    assert_int_equal(err.failure, SNAP_FAILURE_LOCKED);
    assert_non_null(strstr(err.hint, "--wait"));
    char expected[128];
    snprintf(expected, sizeof(expected), "the store is locked by pid %d (snapctl take -m \"a b\\033\")", (int)getpid());
    assert_string_equal(err.message, expected);
    assert_false(store_locked(second));
    first = store_close(first);
    assert_int_equal(store_lock(second, STORE_LOCK_TRY, "snapctl take", NULL, &err), 0);
}

static void a_name_that_is_nobodys_is_not_told(void **state) {
    (void)state;
    _cleanup_(store_closep) struct store *first = locked(), _cleanup_(store_closep) *second = NULL;
    assert_int_equal(store_open(path, &second, &err), 0);
    static const char *const texts[] = { "", "nonsense", "-5 x\n", "99999999999999999999 x\n", "4194305 gone\n", "12" };
    for (size_t i = 0; i < ELEMENTS(texts); i++) {
        write_file(inside("run/lock"), texts[i], strlen(texts[i]));
        assert_int_equal(store_lock(second, STORE_LOCK_TRY, "test", NULL, &err), -EBUSY);
        assert_string_equal(err.message, "the store is locked by another command");
    }
    assert_true(store_locked(first));
}

static void whoever_waits_gets_the_lock_of_one_who_dies(void **state) {
    (void)state;
    int ready[2], go[2];
    char c;
    store_close(made());
    assert_true(pipe(ready) == 0 && pipe(go) == 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct store *store = NULL;
        close(go[1]);
        if (store_open(path, &store, &err) < 0 || store_lock(store, STORE_LOCK_TRY, "child", NULL, &err) < 0 || write(ready[1], "r", 1) != 1)
            _exit(1);
        (void)!read(go[0], &c, 1);
        kill(getpid(), SIGKILL);
    }
    close(go[0]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    _cleanup_(store_closep) struct store *store = NULL;
    assert_int_equal(store_open(path, &store, &err), 0);
    assert_int_equal(store_lock(store, STORE_LOCK_TRY, "test", NULL, &err), -EBUSY);
    close(go[1]);
    assert_int_equal(store_lock(store, STORE_LOCK_WAIT, "test", NULL, &err), 0);
    assert_true(store_locked(store));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(ready[0]);
    close(ready[1]);
}

static volatile sig_atomic_t cancel;

static void on_alarm(int signal) {
    (void)signal;
    cancel = 1;
}

static void waiting_ends_when_it_is_cancelled(void **state) {
    (void)state;
    _cleanup_(store_closep) struct store *first = locked(), _cleanup_(store_closep) *second = NULL;
    assert_int_equal(store_open(path, &second, &err), 0);
    struct sigaction action = { .sa_handler = on_alarm }, before;
    struct itimerval often = { { 0, 5000 }, { 0, 5000 } }, never = {0};
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    cancel = 0;
    int code = store_lock(second, STORE_LOCK_WAIT, "test", &cancel, &err);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    assert_int_equal(code, -ECANCELED);
    assert_int_equal(err.failure, SNAP_FAILURE_INTERRUPTED);
    assert_true(store_locked(first));
}

static void a_lock_file_that_is_a_link_is_not_followed(void **state) {
    (void)state;
    _cleanup_(store_closep) struct store *store = made();
    char target[160];
    snprintf(target, sizeof(target), "%s/victim", where);
    write_file(target, "precious", 8);
    assert_int_equal(symlink(target, inside("run/lock")), 0);
    assert_true(store_lock(store, STORE_LOCK_TRY, "test", NULL, &err) < 0);
    struct stat stat;
    assert_int_equal(lstat(target, &stat), 0);
    assert_int_equal(stat.st_size, 8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_new_store_is_for_its_owner_alone),
        TEST(its_parents_are_made),
        TEST(a_store_is_not_made_twice),
        TEST(what_a_killed_creation_left_does_not_hinder_the_next),
        TEST(a_directory_in_use_does_not_become_a_store),
        TEST(where_there_is_no_store_none_is_opened),
        TEST(a_symbolic_link_is_refused),
        TEST(a_store_that_others_may_enter_is_refused),
        TEST(a_store_of_another_user_is_refused),
        TEST(a_store_lies_as_deep_as_its_owner_likes),
        TEST(a_store_that_is_moved_while_it_is_open_is_still_the_same),
        TEST(a_missing_folder_is_damage),
        TEST(a_file_that_is_no_database_is_damage),
        TEST(an_empty_file_is_not_our_database),
        TEST(a_symbolic_link_is_not_followed_to_a_database),
        TEST(a_truncated_database_fails_and_never_crashes),
        TEST(a_database_of_another_program_is_refused),
        TEST(a_newer_schema_is_refused_with_a_sentence),
        TEST(a_schema_that_no_release_wrote_is_refused),
        TEST(a_missing_table_is_damage),
        TEST(the_schema_is_what_sqlite_calls_whole),
        TEST(a_migration_takes_every_step_or_none),
        TEST(a_store_of_version_1_is_brought_forward),
        TEST(there_is_no_way_from_a_schema_without_a_step),
        TEST(facts_are_set_changed_and_removed),
        TEST(one_statement_may_be_used_while_it_is_used),
        TEST(values_come_back_as_they_went),
        TEST(a_second_row_of_one_key_is_told_from_damage),
        TEST(writing_needs_the_lock),
        TEST(transactions_do_not_nest),
        TEST(a_transaction_that_sqlite_took_back_is_not_committed),
        TEST(what_is_aborted_or_closed_was_never_there),
        TEST(readers_see_the_last_commit_and_wait_for_nobody),
        TEST(a_commit_without_a_flush_survives_a_kill_and_nothing_less_does),
        TEST(only_a_durable_commit_flushes),
        TEST(a_commit_that_cannot_be_flushed_is_gone_for_everybody),
        TEST(a_long_log_is_emptied_by_who_flushes_anyway),
        TEST(a_reader_keeps_the_log_from_being_emptied_but_not_the_commit),
        TEST(a_journal_mode_that_somebody_changed_costs_time_and_nothing_else),
        TEST(the_second_is_told_who_is_first),
        TEST(a_name_that_is_nobodys_is_not_told),
        TEST(whoever_waits_gets_the_lock_of_one_who_dies),
        TEST(waiting_ends_when_it_is_cancelled),
        TEST(a_lock_file_that_is_a_link_is_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
