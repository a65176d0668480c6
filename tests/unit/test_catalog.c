/* catalog and tree: snapshots by name, age and path; what is in them. SPDX-License-Identifier: GPL-2.0-or-later */
#include "scratch.h"
#include "catalog.h"
#include "op.h"
#include "tree.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int64_t take_as(struct scratch *scratch, const char *name, bool automatic) {
    struct snap_take_result result = {0};
    struct snap_err err = {0};
    struct take_request request = { .options = { .no_sync = true, .name = name, .message = "why" }, .automatic = automatic };
    if (take_run(scratch->project, &request, &result, &err) < 0)
        fail_msg("%s", err.message);
    return result.number;
}

static int64_t find(struct scratch *scratch, const char *spec) {
    struct snap_err err = {0};
    struct snap_snapshot *snapshot = NULL;
    int r = snap_find(scratch->project, spec, &snapshot, &err);
    int64_t number = r < 0 ? r : snapshot->number;
    snap_snapshot_free(snapshot);
    return number;
}

static void expect_missing(struct scratch *scratch, const char *spec, const char *message, const char *hint) {
    struct snap_err err = {0};
    struct snap_snapshot *snapshot = NULL;
    assert_int_equal(snap_find(scratch->project, spec, &snapshot, &err), -ENOENT);
    assert_null(snapshot);
    assert_int_equal(err.failure, SNAP_FAILURE_GENERIC);
    assert_string_equal(err.message, message);
    if (strcmp(err.hint, hint) != 0)
        fail_msg("'%s' instead of '%s'", err.hint, hint);
}

static void a_snapshot_is_found_by_number_name_and_age(void **state) {
    struct scratch *scratch = *state;
    take_as(scratch, "first one", false);
    take_as(scratch, NULL, false);
    take_as(scratch, NULL, true);
    take_as(scratch, "fourth", false);
    take_as(scratch, NULL, true);
    assert_int_equal(find(scratch, "1"), 1);
    assert_int_equal(find(scratch, "3"), 3);
    assert_int_equal(find(scratch, "first one"), 1);
    assert_int_equal(find(scratch, "fourth"), 4);
    assert_int_equal(find(scratch, "latest"), 4);
    assert_int_equal(find(scratch, "latest~0"), 4);
    assert_int_equal(find(scratch, "latest~1"), 2);
    assert_int_equal(find(scratch, "latest~2"), 1);
    assert_int_equal(find(scratch, "latest~3"), -ENOENT);
    assert_int_equal(find(scratch, "latest~"), -ENOENT);
    assert_int_equal(find(scratch, "latest~x"), -ENOENT);
    assert_int_equal(find(scratch, "latest~99999999999999999999999"), -ENOENT);
    assert_int_equal(find(scratch, "99999999999999999999999999"), -ENOENT);
    assert_int_equal(find(scratch, "9223372036854775806"), -ENOENT);
    assert_int_equal(find(scratch, "0"), -ENOENT);
    assert_int_equal(find(scratch, "-1"), -ENOENT);
    assert_int_equal(find(scratch, "#1"), -ENOENT);
    assert_int_equal(find(scratch, ""), -ENOENT);
}

static void what_is_almost_a_name_is_answered_with_it(void **state) {
    struct scratch *scratch = *state;
    expect_missing(scratch, "latest", "there is no snapshot 'latest'", "nothing was captured yet; 'snapctl take' makes the first snapshot");
    take_as(scratch, "before-upgrade", false);
    expect_missing(scratch, "7", "there is no snapshot '7'", "the only snapshot is 1");
    take_as(scratch, "release", false);
    expect_missing(scratch, "before-upgarde", "there is no snapshot 'before-upgarde'", "did you mean 'before-upgrade'?");
    expect_missing(scratch, "lates", "there is no snapshot 'lates'", "did you mean 'latest'?");
    expect_missing(scratch, "relase", "there is no snapshot 'relase'", "did you mean 'release'?");
    expect_missing(scratch, "something else", "there is no snapshot 'something else'", "snapshots are numbered from 1 to 2");
    expect_missing(scratch, "12", "there is no snapshot '12'", "snapshots are numbered from 1 to 2");
    expect_missing(scratch, "a\nb", "there is no snapshot 'a\\nb'", "snapshots are numbered from 1 to 2");
}

static void a_hidden_snapshot_is_not_the_latest(void **state) {
    struct scratch *scratch = *state;
    struct snap_err err = {0};
    take_as(scratch, NULL, false);
    take_as(scratch, NULL, false);
    assert_int_equal(store_begin(scratch->project->store, &err), 0);
    assert_int_equal(index_change_snapshot(scratch->project->store, 2, NULL, SNAPSHOT_HIDDEN, 0, &err), 0);
    assert_int_equal(store_commit(scratch->project->store, false, &err), 0);
    assert_int_equal(find(scratch, "latest"), 1);
}

static void names_that_mean_something_else_are_refused(void **state) {
    (void)state;
    char longest[257];
    memset(longest, 'x', 256);
    longest[255] = '\0';
    static const char *const good[] = { "a", "before-upgrade", "v1.2", "12a", "with space", "ümlaut", "latest2", "LATEST", "1.0", "+1", "#1" };
    static const char *const bad[] = { "", "1", "0012", "latest", "a/b", "a:b", "a~1", "-n", " a", "a ", "a\nb", "a\tb",
                                       "\x7f", "caf\xe9", "\x1b[31m" };
    for (size_t i = 0; i < ELEMENTS(good); i++)
        if (snap_name_check(good[i], NULL) != 0)
            fail_msg("'%s' was refused", good[i]);
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        struct snap_err err = {0};
        if (snap_name_check(bad[i], &err) != -EINVAL || err.failure != SNAP_FAILURE_USAGE || !*err.message)
            fail_msg("'%s' was accepted", bad[i]);
    }
    assert_int_equal(snap_name_check(longest, NULL), 0);
    strcat(longest, "x");
    assert_int_equal(snap_name_check(longest, NULL), -EINVAL);
}

static int last_op(void *data, const struct op *op) {
    char *text = data;
    sprintf(text, "%s %s %lld '%s' '%s'", op->kind, op->state, (long long)op->target, op->old_text ? op->old_text : "",
            op->new_text ? op->new_text : "");
    return 1;
}

static void expect_op(struct scratch *scratch, const char *right) {
    char text[512] = "";
    struct snap_err err = {0};
    assert_true(op_list(scratch->project->store, last_op, text, &err) >= 0);
    assert_string_equal(text, right);
}

static void a_tag_names_a_snapshot_and_is_an_operation(void **state) {
    struct scratch *scratch = *state;
    struct snap_err err = {0};
    char *old = NULL;
    take_as(scratch, NULL, false);
    take_as(scratch, "two", false);
    assert_int_equal(snap_tag(scratch->project, "1", "one", &old, &err), 0);
    assert_null(old);
    expect_op(scratch, "tag done 1 '' 'one'");
    assert_int_equal(find(scratch, "one"), 1);
    assert_int_equal(snap_tag(scratch->project, "one", "eins", &old, &err), 0);
    assert_string_equal(old, "one");
    free(old);
    expect_op(scratch, "tag done 1 'one' 'eins'");
    assert_int_equal(find(scratch, "one"), -ENOENT);
    assert_int_equal(snap_tag(scratch->project, "eins", "", NULL, &err), 0);
    expect_op(scratch, "tag done 1 'eins' ''");
    assert_int_equal(find(scratch, "eins"), -ENOENT);
}

static void a_tag_that_cannot_be_leaves_all_as_it_was(void **state) {
    struct scratch *scratch = *state;
    struct snap_err err = {0};
    char *old = NULL;
    take_as(scratch, NULL, false);
    take_as(scratch, "two", false);
    assert_int_equal(snap_tag(scratch->project, "1", "two", &old, &err), -EEXIST);
    assert_non_null(strstr(err.message, "snapshot 2"));
    assert_int_equal(snap_tag(scratch->project, "1", "17", &old, &err), -EINVAL);
    assert_int_equal(snap_tag(scratch->project, "9", "nine", &old, &err), -ENOENT);
    assert_null(old);
    assert_int_equal(find(scratch, "two"), 2);
    assert_int_equal(snap_tag(scratch->project, "2", "two", &old, &err), 0);
    assert_string_equal(old, "two");
    free(old);
}

static int add_number(void *data, const struct snap_snapshot *snapshot) {
    buf_fmt(data, "%lld ", (long long)snapshot->number);
    return 0;
}

static void expect_log(struct scratch *scratch, const struct snap_log_options *options, const char *right) {
    _buf_ struct buf text = {0};
    struct snap_err err = {0};
    buf_add(&text, "", 0);
    assert_int_equal(snap_log(scratch->project, options, add_number, &text, &err), 0);
    assert_string_equal(text.data, right);
}

static void the_log_is_newest_first_and_can_be_limited(void **state) {
    struct scratch *scratch = *state;
    expect_log(scratch, NULL, "");
    scratch_run(scratch, "mkdir d; echo 1 >d/a; echo 1 >b");
    take_as(scratch, NULL, false);
    scratch_run(scratch, "echo 22 >d/a");
    take_as(scratch, NULL, false);
    scratch_run(scratch, "echo 333 >b");
    take_as(scratch, NULL, true);
    scratch_run(scratch, "echo 4444 >b");
    take_as(scratch, NULL, false);
    expect_log(scratch, NULL, "4 2 1 ");
    expect_log(scratch, &(struct snap_log_options){ .automatic = true }, "4 3 2 1 ");
    expect_log(scratch, &(struct snap_log_options){ .limit = 2 }, "4 2 ");
    expect_log(scratch, &(struct snap_log_options){ .path = "d" }, "2 1 ");
    expect_log(scratch, &(struct snap_log_options){ .path = "d/a", .limit = 1 }, "2 ");
    expect_log(scratch, &(struct snap_log_options){ .path = "b" }, "4 1 ");
    expect_log(scratch, &(struct snap_log_options){ .path = "b", .automatic = true }, "4 3 1 ");
    expect_log(scratch, &(struct snap_log_options){ .path = "never" }, "");
    expect_log(scratch, &(struct snap_log_options){ .since = time(NULL) + 100 }, "");
    expect_log(scratch, &(struct snap_log_options){ .until = time(NULL) - 100 }, "");
    expect_log(scratch, &(struct snap_log_options){ .since = time(NULL) - 100, .until = time(NULL) + 100 }, "4 2 1 ");
}

static void show_counts_what_is_in_a_snapshot(void **state) {
    struct scratch *scratch = *state;
    struct snap_err err = {0};
    struct snap_counts counts = {0};
    struct snap_snapshot *snapshot = NULL;
    scratch_run(scratch, "mkdir d; echo 12345 >d/a; ln d/a b; ln -s d l; mkfifo p");
    take_as(scratch, "x", false);
    assert_int_equal(snap_show(scratch->project, "x", &snapshot, &counts, &err), 0);
    assert_int_equal(snapshot->number, 1);
    assert_string_equal(snapshot->message, "why");
    assert_int_equal(counts.files, 2);
    assert_int_equal(counts.symlinks, 1);
    assert_int_equal(counts.others, 1);
    assert_int_equal(counts.bytes, 6);
    snap_snapshot_free(snapshot);
}

static int add_entry(void *data, const char *path, const struct snap_entry *entry) {
    buf_fmt(data, "%s%s%s %u,", path, entry->target ? ">" : "", entry->target ? entry->target : "", entry->links);
    return 0;
}

static void expect_list(struct scratch *scratch, const char *spec, bool recursive, const char *right) {
    _buf_ struct buf text = {0};
    struct snap_err err = {0};
    buf_add(&text, "", 0);
    int r = snap_list(scratch->project, spec, recursive, add_entry, &text, &err);
    assert_string_equal(r < 0 ? err.message : text.data, right);
}

static void a_tree_is_listed_in_byte_order(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p d/e z; echo x >d/e/f; echo y >d.a; ln d.a d/b; ln -s there l; echo >ä");
    take_as(scratch, "x", false);
    expect_list(scratch, "1", false, "d 0,d.a 2,l>there 1,z 0,ä 1,");
    expect_list(scratch, "x:", true, "d 0,d/b 2,d/e 0,d/e/f 1,d.a 2,l>there 1,z 0,ä 1,");
    expect_list(scratch, "latest:d", false, "d/b 2,d/e 0,");
    expect_list(scratch, "1:./d//e/", true, "d/e/f 1,");
    expect_list(scratch, "1:d/e/f", true, "d/e/f 1,");
    expect_list(scratch, "1:z", true, "");
    expect_list(scratch, "1:d/nothing", true, "snapshot 1 has no 'd/nothing'");
    expect_list(scratch, "1:d/../z", true, "'..' cannot be part of a path in a snapshot");
    expect_list(scratch, "7:d", true, "there is no snapshot '7'");
}

static void a_deep_tree_is_listed(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf text = {0};
    struct snap_err err = {0};
    scratch_deep(scratch, 4000);
    take_as(scratch, NULL, false);
    assert_int_equal(snap_list(scratch->project, "1", true, add_entry, &text, &err), 0);
    assert_string_equal(text.data + text.size - strlen("/d/bottom 1,"), "/d/bottom 1,");
}

static void expect_cat(struct scratch *scratch, const char *spec, const char *right) {
    struct snap_err err = {0};
    char got[256] = "";
    int pipes[2];
    assert_return_code(pipe(pipes), errno);
    int r = snap_cat(scratch->project, spec, pipes[1], &err);
    close(pipes[1]);
    assert_true(read(pipes[0], got, sizeof(got) - 1) >= 0);
    close(pipes[0]);
    assert_string_equal(r < 0 ? err.message : got, right);
}

static void a_file_of_the_past_can_be_read(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir d; echo old >d/a; : >empty; ln -s there l; mkfifo p");
    take_as(scratch, NULL, false);
    scratch_run(scratch, "echo new >d/a");
    take_as(scratch, NULL, false);
    expect_cat(scratch, "1:d/a", "old\n");
    expect_cat(scratch, "2:d/a", "new\n");
    expect_cat(scratch, "1:empty", "");
    expect_cat(scratch, "1:l", "there");
    expect_cat(scratch, "1:d", "'d' is a directory and has no content to show");
    expect_cat(scratch, "1", "'.' is a directory and has no content to show");
    expect_cat(scratch, "1:p", "'p' is a named pipe and has no content to show");
    expect_cat(scratch, "1:nothing", "snapshot 1 has no 'nothing'");
}

static void a_reader_that_went_away_is_told_by_its_error(void **state) {
    struct scratch *scratch = *state;
    struct snap_err err = {0};
    int pipes[2];
    scratch_run(scratch, "seq 100000 >a");
    take_as(scratch, NULL, false);
    assert_return_code(pipe(pipes), errno);
    close(pipes[0]);
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(snap_cat(scratch->project, "1:a", pipes[1], &err), -EPIPE);
    close(pipes[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
        TEST(a_snapshot_is_found_by_number_name_and_age),
        TEST(what_is_almost_a_name_is_answered_with_it),
        TEST(a_hidden_snapshot_is_not_the_latest),
        TEST(names_that_mean_something_else_are_refused),
        TEST(a_tag_names_a_snapshot_and_is_an_operation),
        TEST(a_tag_that_cannot_be_leaves_all_as_it_was),
        TEST(the_log_is_newest_first_and_can_be_limited),
        TEST(show_counts_what_is_in_a_snapshot),
        TEST(a_tree_is_listed_in_byte_order),
        TEST(a_deep_tree_is_listed),
        TEST(a_file_of_the_past_can_be_read),
        TEST(a_reader_that_went_away_is_told_by_its_error),
    };
    return cmocka_run_group_tests_name("catalog", tests, NULL, NULL);
}
