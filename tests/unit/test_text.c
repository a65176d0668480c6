/* text: hunks and likeness. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "hook.h"
#include "text.h"
#include <string.h>

#include <cmocka.h>

static struct text_side side(const char *text) {
    return (struct text_side){ text, text ? strlen(text) : 0 };
}

static void expect_diff(const char *old, const char *new, const char *hunks, uint64_t added, uint64_t deleted) {
    _buf_ struct buf out = {0};
    struct snap_err err = {0};
    struct text_counts counts, only = {0};
    buf_add(&out, "", 0);
    assert_int_equal(text_diff(side(old), side(new), &out, &counts, &err), 0);
    assert_string_equal(out.data, hunks);
    assert_false(counts.binary);
    assert_int_equal(counts.added, added);
    assert_int_equal(counts.deleted, deleted);
    assert_int_equal(text_diff(side(old), side(new), NULL, &only, &err), 0);
    assert_int_equal(only.added, added);
    assert_int_equal(only.deleted, deleted);
}

static void hunks_are_unified(void **state) {
    (void)state;
    expect_diff("a\nb\nc\n", "a\nB\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n", 1, 1);
    expect_diff("a\n", "a\n", "", 0, 0);
    expect_diff("", "a\nb\n", "@@ -0,0 +1,2 @@\n+a\n+b\n", 2, 0);
    expect_diff("a\n", "", "@@ -1 +0,0 @@\n-a\n", 0, 1);
    expect_diff(NULL, "", "", 0, 0);
}

static void a_missing_newline_is_said(void **state) {
    (void)state;
    expect_diff("a", "a\n", "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n", 1, 1);
    expect_diff("a\n", "a", "@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n", 1, 1);
    expect_diff("a\nx", "b\nx", "@@ -1,2 +1,2 @@\n-a\n+b\n x\n\\ No newline at end of file\n", 1, 1);
    expect_diff("x\r\n", "x\n", "@@ -1 +1 @@\n-x\r\n+x\n", 1, 1);
}

static void a_nul_near_the_beginning_makes_it_binary(void **state) {
    (void)state;
    struct snap_err err = {0};
    struct text_counts counts = {0};
    _buf_ struct buf out = {0};
    char late[9001];
    memset(late, 'x', sizeof(late));
    late[9000] = '\0';
    assert_true(text_is_binary("a\0b", 3));
    assert_false(text_is_binary("a\0b", 1));
    assert_false(text_is_binary(NULL, 0));
    assert_false(text_is_binary(late, sizeof(late)));
    assert_int_equal(text_diff((struct text_side){ "a\0b", 3 }, side("x\n"), &out, &counts, &err), 0);
    assert_true(counts.binary);
    assert_int_equal(out.size, 0);
}

static int refuse(const char *point, const char *what) {
    (void)what;
    return strcmp(point, "library.load") == 0 ? -ENOENT : 0;
}

/* 0 to 100, or a negative errno. */
static int similarity(struct text_side a, struct text_side b, struct snap_err *err) {
    _cleanup_(text_print_freep) struct text_print *left = NULL, *right = NULL;
    int r = text_print_new(a, &left, err);
    if (r >= 0)
        r = text_print_new(b, &right, err);
    return r < 0 ? r : (int)text_print_similarity(left, right);
}

static void without_libgit2_there_are_no_hunks_but_likeness(void **state) {
    (void)state;
    struct snap_err err = {0};
    struct text_counts counts = { .added = 7 };
    hook_function = refuse;
    int r = text_diff(side("a\n"), side("b\n"), NULL, &counts, &err);
    int alike = similarity(side("a\n"), side("a\n"), &err);
    hook_function = NULL;
    assert_int_equal(r, -ENOSYS);
    assert_int_equal(counts.added, 7);
    assert_int_equal(alike, 100);
}

static void likeness_is_the_share_of_common_lines(void **state) {
    (void)state;
    struct snap_err err = {0};
    assert_int_equal(similarity(side("aaaa\nbbbb\n"), side("aaaa\nbbbb\n"), &err), 100);
    assert_int_equal(similarity(side("aaaa\nbbbb\n"), side("bbbb\naaaa\n"), &err), 100);
    assert_int_equal(similarity(side("aaaa\nbbbb\n"), side("aaaa\ncccc\n"), &err), 50);
    assert_int_equal(similarity(side("aaaa\n"), side("bbbb\n"), &err), 0);
    assert_int_equal(similarity(side("aaaa\n"), side("aaaa\naaaa\naaaa\naaaa\n"), &err), 25);
    assert_int_equal(similarity(side(""), side(""), &err), 100);
    assert_int_equal(similarity(side(""), side("a\n"), &err), 0);
    assert_int_equal(similarity((struct text_side){ "\0", 1 }, side("a\n"), &err), -ENOTSUP);
}

static void a_long_line_counts_by_its_pieces(void **state) {
    (void)state;
    struct snap_err err = {0};
    char a[641], b[641];
    for (unsigned i = 0; i < 640; i++)
        a[i] = b[i] = (char)('a' + i / 64);
    a[640] = b[640] = '\0';
    b[0] = '!';
    assert_int_equal(similarity(side(a), side(b), &err), 90);
}

static void a_text_has_the_name_that_git_gives_it(void **state) {
    (void)state;
    struct snap_err err = {0};
    struct text_hash hash;
    assert_int_equal(text_hash(side(NULL), &hash, &err), 0);
    assert_memory_equal(hash.bytes, "\xe6\x9d\xe2\x9b\xb2\xd1\xd6\x43\x4b\x8b\x29\xae\x77\x5a\xd8\xc2\xe4\x8c\x53\x91", 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hunks_are_unified),
        cmocka_unit_test(a_missing_newline_is_said),
        cmocka_unit_test(a_nul_near_the_beginning_makes_it_binary),
        cmocka_unit_test(without_libgit2_there_are_no_hunks_but_likeness),
        cmocka_unit_test(likeness_is_the_share_of_common_lines),
        cmocka_unit_test(a_long_line_counts_by_its_pieces),
        cmocka_unit_test(a_text_has_the_name_that_git_gives_it),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
