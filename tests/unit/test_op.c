/* Tests of the operation log and of the order of undo and redo. SPDX-License-Identifier: GPL-2.0-or-later */
#include "db.h"
#include "fs.h"
#include "op.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char where[64], path[128];
static struct snap_err err;
static struct store *store;

static int setup(void **state) {
    (void)state;
    strcpy(where, "/tmp/test_op.XXXXXX");
    if (!mkdtemp(where))
        return -1;
    snprintf(path, sizeof(path), "%s/store", where);
    memset(&err, 0, sizeof(err));
    if (store_create(path, &err) < 0 || store_open(path, &store, &err) < 0 ||
        store_lock(store, STORE_LOCK_TRY, "test", NULL, &err) < 0 || store_begin(store, &err) < 0)
        return -1;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    store_abort(store);
    store = store_close(store);
    return fs_remove_tree(AT_FDCWD, where);
}

static int64_t begin(const char *kind, const char *state, int64_t target) {
    struct op op = { .kind = (char *)kind, .state = (char *)state, .target = target };
    assert_int_equal(op_begin(store, &op, NULL, &err), 0);
    return op.id;
}

static int64_t did(const char *kind) {
    return begin(kind, "done", 0);
}

/* What the two commands do: the candidate's id, 0 = nothing to do. */
static int64_t undo(void) {
    _op_ struct op *op = NULL;
    int code = op_undo_candidate(store, 0, &op, &err);
    assert_true(code >= 0);
    if (code == 0)
        return 0;
    begin("undo", "done", op->id);
    assert_int_equal(op_set_state(store, op->id, "undone", &err), 0);
    return op->id;
}

static int64_t redo(void) {
    _op_ struct op *op = NULL;
    int code = op_redo_candidate(store, 0, &op, &err);
    assert_true(code >= 0);
    if (code == 0)
        return 0;
    begin("redo", "done", op->id);
    assert_int_equal(op_set_state(store, op->id, "done", &err), 0);
    return op->id;
}

static void nothing_done_is_nothing_to_undo(void **state) {
    (void)state;
    assert_int_equal(undo(), 0);
    assert_int_equal(redo(), 0);
}

static void undo_repeats_further_back_and_redo_comes_forth_again(void **state) {
    (void)state;
    int64_t a = did("rollback"), b = did("restore"), c = did("tag");
    assert_int_equal(undo(), c);
    assert_int_equal(undo(), b);
    assert_int_equal(undo(), a);
    assert_int_equal(undo(), 0);
    assert_int_equal(redo(), a);
    assert_int_equal(redo(), b);
    assert_int_equal(redo(), c);
    assert_int_equal(redo(), 0);
    assert_int_equal(undo(), c);
    assert_int_equal(redo(), c);
}

static void undo_and_redo_may_alternate(void **state) {
    (void)state;
    int64_t a = did("rollback"), b = did("rollback"), c = did("restore");
    assert_int_equal(undo(), c);
    assert_int_equal(undo(), b);
    assert_int_equal(redo(), b);
    assert_int_equal(undo(), b);
    assert_int_equal(undo(), a);
    assert_int_equal(redo(), a);
    assert_int_equal(redo(), b);
    assert_int_equal(undo(), b);
    assert_int_equal(redo(), b);
    assert_int_equal(redo(), c);
    assert_int_equal(redo(), 0);
}

static void something_new_ends_the_way_forth(void **state) {
    (void)state;
    int64_t a = did("rollback"), b = did("rollback");
    assert_int_equal(undo(), b);
    int64_t c = did("rollback");
    assert_int_equal(redo(), 0);
    assert_int_equal(undo(), c);
    assert_int_equal(undo(), a);
    assert_int_equal(undo(), 0);
    assert_int_equal(redo(), a);
    assert_int_equal(redo(), c);
    assert_int_equal(redo(), 0);
}

static void what_was_left_behind_does_not_come_back_when_the_new_is_undone(void **state) {
    (void)state;
    int64_t a = did("rollback");
    assert_int_equal(undo(), a);
    int64_t b = did("restore");
    assert_int_equal(undo(), b);
    assert_int_equal(redo(), b);
    assert_int_equal(redo(), 0);
    assert_int_equal(undo(), b);
    assert_int_equal(undo(), 0);
}

static void takes_are_neither_undone_nor_in_the_way(void **state) {
    (void)state;
    did("init");
    did("take");
    int64_t a = did("rollback");
    did("take");
    assert_int_equal(undo(), a);
    did("take");
    assert_int_equal(redo(), a);
    did("take");
    assert_int_equal(undo(), a);
    assert_int_equal(undo(), 0);
}

static void what_failed_never_was(void **state) {
    (void)state;
    int64_t a = did("rollback");
    begin("rollback", "failed", 0);
    assert_int_equal(undo(), a);
    begin("rollback", "failed", 0);
    assert_int_equal(redo(), a);
    begin("undo", "failed", a);
    assert_int_equal(redo(), 0);
    assert_int_equal(undo(), a);
    begin("redo", "failed", a);
    assert_int_equal(redo(), a);
}

static void an_older_one_undone_by_number_is_the_first_to_come_back(void **state) {
    (void)state;
    int64_t a = did("rollback"), b = did("rollback");
    begin("undo", "done", a);
    assert_int_equal(op_set_state(store, a, "undone", &err), 0);
    assert_int_equal(redo(), a);
    assert_int_equal(undo(), b);
    assert_int_equal(undo(), a);
}

/* Many random walks against the model that every editor has: two stacks. */
static void random_walks_equal_an_editors_two_stacks(void **state) {
    (void)state;
    unsigned seed = 20240229;
    for (int walk = 0; walk < 20; walk++) {
        int64_t done[64], undone[64];
        size_t dones = 0, undones = 0;
        assert_int_equal(store_commit(store, false, &err), 0);
        assert_int_equal(store_begin(store, &err), 0);
        while (undo())                       /* leaves nothing of the walk before but what something new ends */
            ;
        done[dones++] = did("rollback");
        for (int step = 0; step < 60; step++) {
            switch (rand_r(&seed) % 6) {
            case 0:
                done[dones++] = did(rand_r(&seed) % 2 ? "rollback" : "restore");
                undones = 0;
                break;
            case 1:
                did("take");
                break;
            case 2:
            case 3:
                assert_int_equal(undo(), dones ? done[dones - 1] : 0);
                if (dones)
                    undone[undones++] = done[--dones];
                break;
            default:
                assert_int_equal(redo(), undones ? undone[undones - 1] : 0);
                if (undones)
                    done[dones++] = undone[--undones];
            }
        }
    }
}

static void an_operation_is_read_as_it_was_written(void **state) {
    (void)state;
    struct op op = { .kind = "restore", .state = "begun", .created = { .tv_sec = 1234567890123, .tv_nsec = 999999999 },
                     .command = "snapctl restore 1:a b", .before = 3, .after = 4, .target = 5, .old_text = "\xff kept", .new_text = "b" };
    const char *const paths[] = { "", "a\nb", "\xff\xfe", NULL };
    assert_int_equal(op_begin(store, &op, paths, &err), 0);
    assert_true(op.id > 0);
    _op_ struct op *found = NULL;
    assert_int_equal(op_get(store, op.id, &found, &err), 1);
    assert_string_equal(found->kind, "restore");
    assert_string_equal(found->state, "begun");
    assert_true(found->created.tv_sec == 1234567890123 && found->created.tv_nsec == 999999999);
    assert_string_equal(found->command, op.command);
    assert_true(found->before == 3 && found->after == 4 && found->target == 5);
    assert_string_equal(found->old_text, "\xff kept");
    assert_string_equal(found->new_text, "b");
    char **read = NULL;
    assert_int_equal(op_paths(store, op.id, &read, &err), 0);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(read[i], paths[i]);
        free(read[i]);
    }
    assert_null(read[3]);
    free(read);
}

static void texts_may_be_set_later(void **state) {
    (void)state;
    int64_t id = begin("rollback", "begun", 0);
    assert_int_equal(op_set_texts(store, id, NULL, "new", &err), 0);
    _op_ struct op *op = NULL;
    assert_int_equal(op_get(store, id, &op, &err), 1);
    assert_null(op->old_text);
    assert_string_equal(op->new_text, "new");
    assert_true(op->created.tv_sec > 0);
    assert_string_equal(op->command, "");
}

static void an_operation_that_is_not_there_is_told(void **state) {
    (void)state;
    struct op *op = NULL;
    assert_int_equal(op_get(store, 99, &op, &err), 0);
    assert_null(op);
    assert_int_equal(op_set_state(store, 99, "done", &err), -ENOENT);
    char **paths = NULL;
    assert_int_equal(op_paths(store, 99, &paths, &err), 0);
    assert_null(paths);
}

static void what_was_begun_and_not_ended_is_found(void **state) {
    (void)state;
    struct op *op = NULL;
    did("take");
    assert_int_equal(op_unfinished(store, 0, &op, &err), 0);
    int64_t id = begin("rollback", "begun", 0);
    did("take");
    assert_int_equal(op_unfinished(store, 0, &op, &err), 1);
    assert_int_equal(op->id, id);
    op_free(op);
    assert_int_equal(op_set_state(store, id, "done", &err), 0);
    assert_int_equal(op_unfinished(store, 0, &op, &err), 0);
}

/* Recovery asks until nothing is found. */
static void an_index_that_finds_what_was_not_begun_is_damage(void **state) {
    (void)state;
    struct op *op = NULL;
    sqlite3 *other = NULL;
    char file[160];
    did("take");
    assert_int_equal(store_commit(store, false, &err), 0);
    snprintf(file, sizeof(file), "%s/store.db", path);
    assert_int_equal(sqlite3_open(file, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "PRAGMA writable_schema = ON;"
        "UPDATE sqlite_schema SET sql = replace(sql, '''begun''', '''done''') WHERE name = 'operation_begun';"
        "PRAGMA writable_schema = RESET; REINDEX operation_begun; PRAGMA writable_schema = ON;"
        "UPDATE sqlite_schema SET sql = replace(sql, '''done''', '''begun''') WHERE name = 'operation_begun';"
        "PRAGMA writable_schema = RESET", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_int_equal(op_unfinished(store, 0, &op, &err), -EUCLEAN);
    assert_int_equal(err.failure, SNAP_FAILURE_DAMAGE);
    assert_null(op);
}

static void numbers_of_operations_are_not_given_twice(void **state) {
    (void)state;
    int64_t id = did("take");
    assert_true(did("take") > id);
}

struct seen { int64_t ids[8]; size_t count, most; int result; };

static int see(void *data, const struct op *op) {
    struct seen *seen = data;
    seen->ids[seen->count++] = op->id;
    struct op *candidate = NULL;             /* a callback may query */
    assert_true(op_undo_candidate(store, 0, &candidate, &err) >= 0);
    op_free(candidate);
    return seen->count == seen->most ? seen->result : 0;
}

static void the_list_is_newest_first_and_ends_when_told(void **state) {
    (void)state;
    int64_t a = did("init"), b = did("take"), c = did("rollback");
    struct seen all = {0}, two = { .most = 2, .result = 1 }, broken = { .most = 1, .result = -EPIPE };
    assert_int_equal(op_list(store, see, &all, &err), 0);
    assert_int_equal(all.count, 3);
    assert_true(all.ids[0] == c && all.ids[1] == b && all.ids[2] == a);
    assert_int_equal(op_list(store, see, &two, &err), 0);
    assert_int_equal(two.count, 2);
    assert_int_equal(op_list(store, see, &broken, &err), -EPIPE);
}

static void temporary_names_are_kept_until_they_are_cleared(void **state) {
    (void)state;
    int64_t id = begin("rollback", "begun", 0), other = begin("rollback", "begun", 0);
    assert_int_equal(op_add_temporary(store, id, "dir/.tmp-\xff", &err), 0);
    assert_int_equal(op_add_temporary(store, id, "dir/.tmp2", &err), 0);
    assert_int_equal(op_add_temporary(store, other, "x", &err), 0);
    char **paths = NULL;
    assert_int_equal(op_temporaries(store, id, &paths, &err), 0);
    assert_string_equal(paths[0], "dir/.tmp-\xff");
    assert_string_equal(paths[1], "dir/.tmp2");
    assert_null(paths[2]);
    free(paths[0]);
    free(paths[1]);
    free(paths);
    paths = NULL;
    assert_int_equal(op_clear_temporaries(store, id, &err), 0);
    assert_int_equal(op_temporaries(store, id, &paths, &err), 0);
    assert_null(paths);
    assert_int_equal(op_temporaries(store, other, &paths, &err), 0);
    assert_string_equal(paths[0], "x");
    free(paths[0]);
    free(paths);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(nothing_done_is_nothing_to_undo),
        TEST(undo_repeats_further_back_and_redo_comes_forth_again),
        TEST(undo_and_redo_may_alternate),
        TEST(something_new_ends_the_way_forth),
        TEST(what_was_left_behind_does_not_come_back_when_the_new_is_undone),
        TEST(takes_are_neither_undone_nor_in_the_way),
        TEST(what_failed_never_was),
        TEST(an_older_one_undone_by_number_is_the_first_to_come_back),
        TEST(random_walks_equal_an_editors_two_stacks),
        TEST(an_operation_is_read_as_it_was_written),
        TEST(texts_may_be_set_later),
        TEST(an_operation_that_is_not_there_is_told),
        TEST(what_was_begun_and_not_ended_is_found),
        TEST(an_index_that_finds_what_was_not_begun_is_damage),
        TEST(numbers_of_operations_are_not_given_twice),
        TEST(the_list_is_newest_first_and_ends_when_told),
        TEST(temporary_names_are_kept_until_they_are_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
