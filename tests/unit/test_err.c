/* Errors: the sentence, the path, the hint.
 * Asks nothing of the file system. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "err.h"

#include <errno.h>
#include <string.h>

static void a_sentence_is_kept_with_its_code(void **state) {
    (void)state;
    struct snap_err err = {0};
    assert_int_equal(err_set(&err, -EINVAL, "there is no snapshot '%s'", "x"), -EINVAL);
    assert_int_equal(err.code, -EINVAL);
    assert_string_equal(err.message, "there is no snapshot 'x'");
    assert_int_equal(err.failure, SNAP_FAILURE_GENERIC);
}

static void a_cause_is_appended(void **state) {
    (void)state;
    struct snap_err err = {0};
    assert_int_equal(err_errno(&err, -ENOSPC, "cannot write %d bytes", 5), -ENOSPC);
    assert_string_equal(err.message, "cannot write 5 bytes: No space left on device");
}

static void a_path_is_escaped_in_the_sentence_and_raw_in_the_field(void **state) {
    (void)state;
    struct snap_err err = {0};
    assert_int_equal(err_path(&err, -EACCES, "a\n\377/ü", "open %s", "the file"), -EACCES);
    assert_string_equal(err.message, "cannot open the file 'a\\n\\377/ü': Permission denied");
    assert_string_equal(err.path, "a\n\377/ü");
}

static void a_caller_that_wants_no_error_still_gets_the_code(void **state) {
    (void)state;
    assert_int_equal(err_set(NULL, -EINVAL, "x"), -EINVAL);
    assert_int_equal(err_errno(NULL, -EPERM, "x"), -EPERM);
    assert_int_equal(err_path(NULL, -ENOENT, "p", "x"), -ENOENT);
    assert_int_equal(err_nomem(NULL), -ENOMEM);
    assert_true(err_wrap(NULL, "x") < 0);
    assert_true(err_hint(NULL, "x") < 0);
    assert_true(err_failure(NULL, SNAP_FAILURE_USAGE) < 0);
}

static void damage_says_what_to_do_and_is_a_failure_of_its_own(void **state) {
    (void)state;
    struct snap_err err = {0};
    assert_int_equal(err_damage(&err, "layer %d is damaged", 3), -EUCLEAN);
    assert_int_equal(err.code, -EUCLEAN);
    assert_int_equal(err.failure, SNAP_FAILURE_DAMAGE);
    assert_string_equal(err.message, "layer 3 is damaged");
    assert_non_null(strstr(err.hint, "snapctl verify"));
    assert_int_equal(err_damage(NULL, "x"), -EUCLEAN);
}

static void a_code_that_is_no_failure_becomes_one(void **state) {
    (void)state;
    struct snap_err err = {0};
    assert_int_equal(err_set(&err, 0, "x"), -EIO);
    assert_int_equal(err_errno(&err, 7, "x"), -EIO);
    assert_string_equal(err.message, "x: Input/output error");
    assert_int_equal(err_path(NULL, 0, "p", "x"), -EIO);
}

static void a_wrap_comes_first_and_keeps_the_rest(void **state) {
    (void)state;
    struct snap_err err = {0};
    err_path(&err, -EACCES, "x/y", "read");
    err_hint(&err, "ask the owner of %s", "x");
    err_failure(&err, SNAP_FAILURE_DAMAGE);
    assert_int_equal(err_wrap(&err, "cannot take a snapshot of '%s'", "x"), -EACCES);
    assert_string_equal(err.message, "cannot take a snapshot of 'x': cannot read 'x/y': Permission denied");
    assert_string_equal(err.path, "x/y");
    assert_string_equal(err.hint, "ask the owner of x");
    assert_int_equal(err.failure, SNAP_FAILURE_DAMAGE);
}

static void a_new_error_forgets_the_old_one(void **state) {
    (void)state;
    struct snap_err err = {0};
    err_path(&err, -EACCES, "x", "read");
    err_hint(&err, "hint");
    err_failure(&err, SNAP_FAILURE_LOCKED);
    err_nomem(&err);
    assert_int_equal(err.code, -ENOMEM);
    assert_int_equal(err.failure, SNAP_FAILURE_GENERIC);
    assert_string_equal(err.path, "");
    assert_string_equal(err.hint, "");
}

static void arguments_may_point_into_the_error_itself(void **state) {
    (void)state;
    struct snap_err err = {0};
    err_path(&err, -EACCES, "x", "read");
    err_path(&err, -EIO, err.path, "also %s", err.message);
    assert_string_equal(err.message, "cannot also cannot read 'x': Permission denied 'x': Input/output error");
    assert_string_equal(err.path, "x");
}

static void assert_ends_with(const char *text, const char *end) {
    assert_true(strlen(text) >= strlen(end));
    assert_string_equal(text + strlen(text) - strlen(end), end);
}

static void a_path_that_is_too_long_loses_its_beginning_and_not_the_cause(void **state) {
    (void)state;
    struct snap_err err = {0};
    for (size_t size = 1; size < 9000; size += 7) {
        char path[9001];
        memset(path, '\001', size);
        memcpy(path + size - 1, "z", 2);
        err_path(&err, -EACCES, path, "read");
        assert_ends_with(err.message, "z': Permission denied");
        assert_int_equal(strlen(err.path), size < sizeof(err.path) ? size : sizeof(err.path) - 1);
        memset(path, 'a', size);
        err_path(&err, -EACCES, path, "read");
        assert_ends_with(err.message, "a': Permission denied");
    }
}

static void a_plain_path_that_fits_is_shown_whole(void **state) {
    (void)state;
    struct snap_err err = {0};
    char path[1901];
    memset(path, 'a', sizeof(path) - 1);
    path[0] = 'b';
    path[sizeof(path) - 1] = '\0';
    err_path(&err, -EACCES, path, "read");
    assert_int_equal(strncmp(err.message, "cannot read 'baaa", 17), 0);
    assert_ends_with(err.message, "aaa': Permission denied");
}

static void a_sentence_that_is_too_long_keeps_its_cause(void **state) {
    (void)state;
    struct snap_err err = {0};
    char text[4001];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    err_errno(&err, -ENOSPC, "%s", text);
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
    assert_ends_with(err.message, "x: No space left on device");
    for (int i = 0; i < 20; i++)
        err_wrap(&err, "level %d of something deep %.300s", i, text);
    assert_int_equal(strncmp(err.message, "level 19 of", 11), 0);
    assert_ends_with(err.message, "x: No space left on device");
    err_wrap(&err, "%s", text);
    assert_ends_with(err.message, "x: No space left on device");
    err_hint(&err, "%s", text);
    assert_int_equal(strlen(err.hint), sizeof(err.hint) - 1);
}

static void a_cut_never_splits_a_character(void **state) {
    (void)state;
    struct snap_err err = {0};
    char text[3001];
    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'a', 3);
        for (size_t i = shift; i + 3 <= sizeof(text) - 1; i += 3)
            memcpy(text + i, "\342\202\254", 4);
        err_set(&err, -EINVAL, "%s", text);
        size_t size = strlen(err.message);
        assert_true(size > sizeof(err.message) - 6);
        assert_memory_equal(err.message + size - 3, "\342\202\254", 3);
        err_path(&err, -EINVAL, text, "read");
        size = strlen(err.path);
        assert_memory_equal(err.path + size - 3, "\342\202\254", 3);
        assert_null(strchr(err.message, '\\'));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sentence_is_kept_with_its_code),
        cmocka_unit_test(a_cause_is_appended),
        cmocka_unit_test(a_path_is_escaped_in_the_sentence_and_raw_in_the_field),
        cmocka_unit_test(a_caller_that_wants_no_error_still_gets_the_code),
        cmocka_unit_test(damage_says_what_to_do_and_is_a_failure_of_its_own),
        cmocka_unit_test(a_code_that_is_no_failure_becomes_one),
        cmocka_unit_test(a_wrap_comes_first_and_keeps_the_rest),
        cmocka_unit_test(a_new_error_forgets_the_old_one),
        cmocka_unit_test(arguments_may_point_into_the_error_itself),
        cmocka_unit_test(a_path_that_is_too_long_loses_its_beginning_and_not_the_cause),
        cmocka_unit_test(a_plain_path_that_fits_is_shown_whole),
        cmocka_unit_test(a_sentence_that_is_too_long_keeps_its_cause),
        cmocka_unit_test(a_cut_never_splits_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
