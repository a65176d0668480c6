/* rename: which deleted file is which added one, and where the search ends. SPDX-License-Identifier: GPL-2.0-or-later */
#include "scratch.h"
#include "changes.h"
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void take(struct scratch *scratch) {
    struct snap_take_result result = {0};
    struct snap_err err = {0};
    if (take_run(scratch->project, &(struct take_request){ .options = { .no_sync = true } }, &result, &err) < 0)
        fail_msg("%s", err.message);
}

/* "old>new similarity,..." of the newest two snapshots after `before` and `after` were done. */
static char *renames(struct scratch *scratch, const char *before, const char *after) {
    struct snap_err err = {0};
    _changes_ struct changes changes = {0};
    struct buf text = {0};
    scratch_run(scratch, before);
    take(scratch);
    scratch_run(scratch, after);
    take(scratch);
    int64_t newest = index_newest_number(scratch->project->store, INDEX_PROJECT_LINE, &err);
    struct point from = { INDEX_PROJECT_LINE, newest - 1 }, to = { INDEX_PROJECT_LINE, newest };
    if (changes_between(scratch->project, from, to, NULL, NULL, 0, &changes, &err) < 0)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < changes.count; i++)
        if (changes.rows[i].letter == 'R')
            buf_fmt(&text, "%s>%s %u,", changes.rows[i].old_path, changes.rows[i].path, changes.rows[i].similarity);
    return buf_take(&text);
}

static void expect(void **state, const char *before, const char *after, const char *right) {
    _free_ char *got = renames(*state, before, after);
    assert_string_equal(got, right);
}

/* A new inode, so that content alone tells. */
#define COPY "f() { cat \"$1\" >\"$2\"; rm \"$1\"; }; "

static void equal_content_prefers_the_same_name(void **state) {
    expect(state, "mkdir a b; for i in 1 2 3; do echo same >a/$i; done", COPY "f a/3 b/3; f a/1 b/x; f a/2 b/2",
           "a/2>b/2 100,a/3>b/3 100,a/1>b/x 100,");
}

static void equal_content_falls_to_byte_order(void **state) {
    expect(state, "for i in q w e; do echo same >$i; done", COPY "f q 1; f w 2; f e 3", "e>1 100,q>2 100,w>3 100,");
}

static void the_inode_comes_before_the_content(void **state) {
    expect(state, "echo same >a; echo same >b", "mv a y; mv b x", "b>x 100,a>y 100,");
}

static void a_copy_leaves_its_origin(void **state) {
    expect(state, "echo same >a; echo same >gone", COPY "cp a b; f gone c", "gone>b 100,");
}

static void the_best_likeness_wins(void **state) {
    expect(state, "seq 100 >a; seq 90 >b", "(seq 92; seq 1000 1002) >new; rm a b", "b>new 92,");
}

static void less_than_half_is_no_rename(void **state) {
    expect(state, "seq 100 199 >a", "(seq 100 148; seq 500 550) >b; rm a", "");
    expect(state, "rm b; seq 100 199 >c", "(seq 100 150; seq 500 548) >d; rm c", "c>d 51,");
}

static void sizes_twice_apart_are_not_compared(void **state) {
    expect(state, "seq 100 199 >a", "(seq 100 199; seq 100 199) >b; rm a", "");
}

static void binary_content_is_renamed_only_if_equal(void **state) {
    expect(state, "printf 'a\\0bcdefgh' >a; printf 'x\\0y' >x", COPY "printf 'a\\0bcdefgX' >b; rm a; f x y", "x>y 100,");
}

static void a_symlink_is_renamed_by_its_target(void **state) {
    expect(state, "ln -s one a; ln -s two b", "rm a b; ln -s two c; ln -s three d", "b>c 100,");
}

static void types_are_not_mixed(void **state) {
    expect(state, "printf there >a", "rm a; ln -s there b", "");
}

static void too_many_candidates_are_not_compared(void **state) {
    expect(state, "for i in $(seq 110); do (seq 100 130; echo $i) >old$i; done",
           "for i in $(seq 110); do (seq 100 130; echo new $i) >new$i; done; rm old*", "");
}

static void exact_renames_have_no_limit(void **state) {
    struct scratch *scratch = *state;
    _free_ char *got = renames(scratch, "mkdir a; for i in $(seq 3000); do echo $i >a/$i; done", "mkdir b; cp a/* b/; rm -r a");
    unsigned count = 0;
    for (const char *at = got; (at = strstr(at, " 100,")); at++)
        count++;
    assert_int_equal(count, 3000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
        TEST(equal_content_prefers_the_same_name),
        TEST(equal_content_falls_to_byte_order),
        TEST(the_inode_comes_before_the_content),
        TEST(a_copy_leaves_its_origin),
        TEST(the_best_likeness_wins),
        TEST(less_than_half_is_no_rename),
        TEST(sizes_twice_apart_are_not_compared),
        TEST(binary_content_is_renamed_only_if_equal),
        TEST(a_symlink_is_renamed_by_its_target),
        TEST(types_are_not_mixed),
        TEST(too_many_candidates_are_not_compared),
        TEST(exact_renames_have_no_limit),
    };
    return cmocka_run_group_tests_name("rename", tests, NULL, NULL);
}
