/* take: what a capture stores, notices and leaves alone. Runs the library's inside on a scratch project; opens no registry.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "db.h"
#include "scratch.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cmocka.h>

static struct snap_take_result take(struct scratch *scratch) {
    struct snap_take_result result = {0};
    struct snap_err err = {0};
    if (take_run(scratch->project, &(struct take_request){ .options = { .if_changed = true, .no_sync = true } }, &result, &err) < 0)
        fail_msg("%s", err.message);
    return result;
}

static void the_first_take_has_every_entry(void **state) {
    struct scratch *scratch = *state;
    scratch_write(scratch, "a", "one");
    scratch_mkdir(scratch, "d");
    scratch_write(scratch, "d/b", "two");
    scratch_write(scratch, "d/empty", "");
    assert_return_code(symlinkat("nowhere", scratch->root, "link"), errno);
    struct snap_take_result result = take(scratch);
    assert_int_equal(result.number, 1);
    assert_int_equal(result.added, 5);
    assert_int_equal(result.failed, 0);
    scratch_expect(scratch, 1, "a", "one");
    scratch_expect(scratch, 1, "d/b", "two");
    scratch_expect(scratch, 1, "d/empty", "");
}

static void a_take_of_nothing_new_makes_no_snapshot(void **state) {
    struct scratch *scratch = *state;
    scratch_write(scratch, "a", "one");
    assert_int_equal(take(scratch).number, 1);
    assert_int_equal(take(scratch).number, 0);
    assert_int_equal(take(scratch).number, 0);
}

static void a_take_stores_only_what_changed(void **state) {
    struct scratch *scratch = *state;
    scratch_mkdir(scratch, "d");
    scratch_write(scratch, "d/a", "one");
    scratch_write(scratch, "d/b", "two");
    take(scratch);
    scratch_write(scratch, "d/b", "TWO");
    struct snap_take_result result = take(scratch);
    assert_int_equal(result.number, 2);
    assert_int_equal(result.added, 0);
    assert_int_equal(result.changed, 1);
    assert_int_equal(result.bytes, 3);
    scratch_expect(scratch, 1, "d/b", "two");
    scratch_expect(scratch, 2, "d/b", "TWO");
    scratch_expect(scratch, 2, "d/a", "one");
}

static void a_change_of_the_same_size_and_mtime_is_noticed(void **state) {
    struct scratch *scratch = *state;
    scratch_write(scratch, "a", "one");
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1000, .tv_nsec = 5 } };
    utimensat(scratch->root, "a", times, 0);
    take(scratch);
    scratch_write(scratch, "a", "ONE");
    utimensat(scratch->root, "a", times, 0);
    assert_int_equal(take(scratch).number, 2);
    scratch_expect(scratch, 2, "a", "ONE");
}

static void a_store_through_a_mapping_is_noticed(void **state) {
    struct scratch *scratch = *state;
    scratch_write(scratch, "a", "one");
    _close_ int fd = openat(scratch->root, "a", O_RDWR);
    char *map = mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    map[0] = 'O';
    take(scratch);
    scratch_expect(scratch, 1, "a", "One");
    map[1] = 'N';                           /* into a page that is dirty: no time changes */
    assert_int_equal(take(scratch).number, 2);
    scratch_expect(scratch, 2, "a", "ONe");
    munmap(map, 3);
}

static void a_deleted_directory_takes_all_below_along(void **state) {
    struct scratch *scratch = *state;
    scratch_mkdir(scratch, "d");
    scratch_mkdir(scratch, "d/e");
    scratch_write(scratch, "d/e/f", "x");
    take(scratch);
    scratch_run(scratch, "rm -r d");
    struct snap_take_result result = take(scratch);
    assert_int_equal(result.deleted, 3);
    scratch_expect(scratch, 1, "d/e/f", "x");
    scratch_expect(scratch, 2, "d/e/f", NULL);
    scratch_expect(scratch, 2, "d", NULL);
}

static void a_moved_directory_costs_one_entry(void **state) {
    struct scratch *scratch = *state;
    scratch_mkdir(scratch, "d");
    scratch_mkdir(scratch, "d/e");
    for (int i = 0; i < 50; i++) {
        char name[32];
        snprintf(name, sizeof(name), "d/e/f%d", i);
        scratch_write(scratch, name, name);
    }
    take(scratch);
    scratch_mkdir(scratch, "to");
    scratch_run(scratch, "mv d/e to/E && echo more >to/E/f7");
    struct snap_take_result result = take(scratch);
    assert_int_equal(result.added, 1);       /* to */
    assert_int_equal(result.deleted, 0);
    assert_int_equal(result.changed, 2);     /* d/e -> to/E, f7 */
    scratch_expect(scratch, 1, "d/e/f7", "d/e/f7");
    scratch_expect(scratch, 2, "to/E/f7", "more\n");
    scratch_expect(scratch, 2, "to/E/f8", "d/e/f8");
    scratch_expect(scratch, 2, "d/e/f8", NULL);
}

static void a_moved_file_is_linked_not_copied(void **state) {
    struct scratch *scratch = *state;
    scratch_write(scratch, "a", "some content");
    take(scratch);
    scratch_run(scratch, "mv a b");
    struct snap_take_result result = take(scratch);
    assert_int_equal(result.linked, 1);
    assert_int_equal(result.bytes, 0);
    scratch_expect(scratch, 2, "b", "some content");
    scratch_expect(scratch, 2, "a", NULL);
}

static void hard_links_stay_one_object(void **state) {
    struct scratch *scratch = *state;
    scratch_write(scratch, "a", "linked");
    scratch_run(scratch, "mkdir d && ln a b && ln a d/c && echo solo >s");
    take(scratch);
    assert_int_equal(scratch_object(scratch, 1, "a"), scratch_object(scratch, 1, "b"));
    assert_int_equal(scratch_object(scratch, 1, "a"), scratch_object(scratch, 1, "d/c"));
    scratch_run(scratch, "ln s t");
    take(scratch);
    assert_int_equal(scratch_object(scratch, 2, "s"), scratch_object(scratch, 2, "t"));
    scratch_run(scratch, "cp --remove-destination d/c tmp && mv tmp b");
    take(scratch);
    assert_int_equal(scratch_object(scratch, 3, "a"), scratch_object(scratch, 3, "d/c"));
    assert_int_not_equal(scratch_object(scratch, 3, "a"), scratch_object(scratch, 3, "b"));
    scratch_expect(scratch, 3, "b", "linked");
}

static void a_file_becomes_a_directory_and_back(void **state) {
    struct scratch *scratch = *state;
    scratch_write(scratch, "x", "file");
    take(scratch);
    scratch_run(scratch, "rm x && mkdir -p x/y && echo z >x/y/z");
    take(scratch);
    scratch_run(scratch, "rm -r x && echo back >x");
    take(scratch);
    scratch_expect(scratch, 1, "x", "file");
    scratch_expect(scratch, 2, "x/y/z", "z\n");
    scratch_expect(scratch, 3, "x", "back\n");
    scratch_expect(scratch, 3, "x/y/z", NULL);
}

static void an_ignored_path_is_not_captured(void **state) {
    struct scratch *scratch = *state;
    scratch_write(scratch, ".snapctlignore", "build/\n*.o\n!keep.o\n");
    scratch_run(scratch, "mkdir build && echo x >build/x && echo o >a.o && echo k >keep.o");
    take(scratch);
    scratch_expect(scratch, 1, "build/x", NULL);
    scratch_expect(scratch, 1, "a.o", NULL);
    scratch_expect(scratch, 1, "keep.o", "k\n");
}

static void a_file_that_is_no_longer_ignored_is_captured(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p d/e && echo o >d/e/a.o && echo '*.o' >.snapctlignore");
    take(scratch);
    assert_int_equal(take(scratch).number, 0);
    scratch_expect(scratch, 1, "d/e/a.o", NULL);
    scratch_run(scratch, "rm .snapctlignore");
    take(scratch);
    scratch_expect(scratch, 2, "d/e/a.o", "o\n");
    scratch_write(scratch, ".snapctlignore", "*.o\n");
    take(scratch);
    scratch_expect(scratch, 3, "d/e/a.o", NULL);
}

static void names_made_and_removed_in_a_listed_directory_are_noticed(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p d/e && echo 1 >d/e/one && mkdir d/empty");
    take(scratch);
    scratch_run(scratch, "echo 2 >d/e/two && echo x >d/empty/x");
    assert_int_equal(take(scratch).added, 2);
    scratch_run(scratch, "mv d/e/one d/e/three && rm d/empty/x");
    take(scratch);
    scratch_expect(scratch, 3, "d/e/one", NULL);
    scratch_expect(scratch, 3, "d/e/three", "1\n");
    scratch_expect(scratch, 3, "d/empty/x", NULL);
    assert_int_equal(take(scratch).number, 0);
}

static void a_mode_change_alone_is_captured_once(void **state) {
    struct scratch *scratch = *state;
    scratch_write(scratch, "a", "one");
    take(scratch);
    assert_return_code(fchmodat(scratch->root, "a", 04755, 0), errno);
    assert_return_code(setxattr(scratch_path(scratch, "a"), "user.note", "n", 1, 0), errno);
    assert_int_equal(take(scratch).changed, 1);
    assert_int_equal(take(scratch).number, 0);
}

static int change_while_reading(const char *point, const char *what) {
    static int times;
    if (strcmp(point, "capture.read") || strcmp(what, "busy") || times++ > 0)
        return 0;
    scratch_write(scratch_now, "busy", "second version");
    return 0;
}

static void a_file_that_changes_while_it_is_read_is_read_again(void **state) {
    struct scratch *scratch = *state;
    scratch_write(scratch, "busy", "first");
    hook_function = change_while_reading;
    struct snap_take_result result = take(scratch);
    hook_function = NULL;
    assert_int_equal(result.failed, 0);
    scratch_expect(scratch, 1, "busy", "second version");
    assert_int_equal(take(scratch).number, 0);
}

static int change_after_the_first_round(const char *point, const char *what) {
    (void)what;
    static int times;
    if (strcmp(point, "take.round") || times++ > 0)
        return 0;
    scratch_run(scratch_now, "mv d e && rm gone && echo new >e/new && echo changed >e/f && mkdir late && echo late >late/l");
    return 0;
}

static void what_changes_meanwhile_is_captured_again(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p d/sub && echo f >d/f && echo s >d/sub/s && echo g >gone");
    hook_function = change_after_the_first_round;
    take(scratch);
    hook_function = NULL;
    scratch_expect(scratch, 1, "e/f", "changed\n");
    scratch_expect(scratch, 1, "e/new", "new\n");
    scratch_expect(scratch, 1, "e/sub/s", "s\n");
    scratch_expect(scratch, 1, "late/l", "late\n");
    scratch_expect(scratch, 1, "gone", NULL);
    scratch_expect(scratch, 1, "d/f", NULL);
    assert_int_equal(take(scratch).number, 0);
}

/* One of its names was looked at already, the other is met with two. */
static int link_on_the_way(const char *point, const char *what) {
    static int times;
    if (!strcmp(point, "scan.visit") && !strcmp(what, "y") && times++ == 0)
        scratch_run(scratch_now, "ln g z/y/h");
    return 0;
}

static void a_name_that_comes_meanwhile_is_one_of_the_same_object(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p z/y && echo g >g");
    hook_function = link_on_the_way;
    take(scratch);
    hook_function = NULL;
    assert_int_equal(scratch_object(scratch, 1, "g"), scratch_object(scratch, 1, "z/y/h"));
    scratch_expect(scratch, 1, "z/y/h", "g\n");
    assert_int_equal(take(scratch).number, 0);
}

static int link_and_leave(const char *point, const char *what) {
    static const char *const shell[] = { "ln g a", "rm g h" };
    static unsigned times;
    (void)what;
    if (!strcmp(point, "take.round") && times < 2)
        scratch_run(scratch_now, shell[times++]);
    return 0;
}

static void the_bytes_stay_though_the_name_goes_under_which_they_were_captured(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo bytes >g && ln g h");
    hook_function = link_and_leave;
    take(scratch);
    hook_function = NULL;
    scratch_expect(scratch, 1, "a", "bytes\n");
    scratch_expect(scratch, 1, "g", NULL);
    assert_int_equal(take(scratch).number, 0);
}

/* Nothing in the newest entries may lie in a directory that has no place there. */
static void expect_whole_index(struct scratch *scratch) {
    struct snap_err err = {0};
    _statement_ struct db_statement row = {0};
    assert_int_equal(db_bind(&row, scratch->project->store, &err,
        "SELECT count(*) FROM entry e WHERE e.died = 9223372036854775807 AND e.dir > 1 AND NOT EXISTS"
        " (SELECT 1 FROM dir d WHERE d.line = e.line AND d.id = e.dir AND d.died = e.died)", ""), 0);
    assert_int_equal(db_step(&row, &err), 1);
    assert_int_equal(db_int(&row, 0), 0);
}

/* The directory is gone under its name whenever somebody has just met it. */
static int swap_names_when_met(const char *point, const char *what) {
    if (!strcmp(point, "scan.visit") && !strcmp(what, ""))
        scratch_run(scratch_now, "echo >>e/x");       /* so that there is another round */
    if (strcmp(point, "scan.directory") != 0)
        return 0;
    if (!strcmp(what, "d"))
        scratch_run(scratch_now, "mv d d.real");
    else if (!strcmp(what, "d.real"))
        scratch_run(scratch_now, "mv d.real d");
    return 0;
}

static void a_directory_that_is_never_where_it_was_met_leaves_a_whole_index(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p d/sub/deep e && echo f >d/f && echo s >d/sub/s && echo t >d/sub/deep/t");
    take(scratch);
    for (unsigned i = 0; i < 4; i++) {
        scratch_run(scratch, "touch d");
        hook_function = swap_names_when_met;
        take(scratch);
        hook_function = NULL;
        expect_whole_index(scratch);
        scratch_run(scratch, "test -d d || mv d.real d; rm -f d/f; echo >d/sub/g");
        struct snap_take_result after = take(scratch);
        expect_whole_index(scratch);
        scratch_expect(scratch, after.number, "d/f", NULL);
        scratch_expect(scratch, after.number, "d/sub/g", "\n");
        scratch_expect(scratch, after.number, "d/sub/deep/t", "t\n");
        scratch_run(scratch, "rm d/sub/g; echo f >d/f");
        take(scratch);
    }
}

/* A change in each round, and at the last the directory goes while it is walked. */
static int take_away_at_last(const char *point, const char *what) {
    static unsigned visits;
    if (strcmp(point, "scan.visit") != 0)
        return 0;
    if (!*what && ++visits < 3)
        scratch_run(scratch_now, visits == 1 ? "echo 1 >d/sub/changed" : "echo 2 >d/sub/changed");
    if (visits == 3 && !strcmp(what, "d"))
        scratch_run(scratch_now, "mv d ../away");
    return 0;
}

static void what_lies_below_a_directory_that_goes_meanwhile_stays_known(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p d/sub && echo s >d/sub/s && echo x >x");
    take(scratch);
    hook_function = take_away_at_last;
    take(scratch);
    hook_function = NULL;
    expect_whole_index(scratch);
    scratch_run(scratch, "mv ../away d; rm d/sub/s");
    struct snap_take_result after = take(scratch);
    assert_int_equal(after.deleted, 1);
    scratch_expect(scratch, after.number, "d/sub/s", NULL);
    scratch_expect(scratch, after.number, "d/sub/changed", "2\n");
    expect_whole_index(scratch);
}

static int fail_at_commit(const char *point, const char *what) {
    (void)what;
    return strcmp(point, "take.commit") ? 0 : -ENOSPC;
}

static void a_failed_take_leaves_nothing_behind(void **state) {
    struct scratch *scratch = *state;
    scratch_write(scratch, "a", "one");
    hook_function = fail_at_commit;
    struct snap_take_result result = {0};
    struct snap_err err = {0};
    assert_int_equal(take_run(scratch->project, &(struct take_request){0}, &result, &err), -ENOSPC);
    hook_function = NULL;
    assert_int_equal(scratch_count(store_work_fd(scratch->project->store)), 0);
    assert_int_equal(scratch_count(store_layers_fd(scratch->project->store)), 0);
    assert_int_equal(take(scratch).added, 1);
}

static void a_deep_tree_is_captured(void **state) {
    struct scratch *scratch = *state;
    scratch_deep(scratch, 4000);
    struct snap_take_result result = take(scratch);
    assert_int_equal(result.failed, 0);
    assert_int_equal(result.added, 4001);
    assert_int_equal(take(scratch).number, 0);
}

static void layers_pass_their_own_check(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p a/b && echo x >a/b/x && ln a/b/x a/y && ln -s x a/z && mkfifo p && truncate -s 1G sparse");
    take(scratch);
    scratch_run(scratch, "mv a/b c && rm a/y && chmod 555 c && mv sparse a/ && echo more >>c/x");
    take(scratch);
    for (int layer = 1; layer <= 2; layer++) {
        struct snap_err err = {0};
        if (manifest_check_layer(scratch->project->store, layer, true, &err) != 1)
            fail_msg("layer %d: %s", layer, err.message);
    }
}

#define T(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        T(the_first_take_has_every_entry), T(a_take_of_nothing_new_makes_no_snapshot), T(a_take_stores_only_what_changed),
        T(a_change_of_the_same_size_and_mtime_is_noticed), T(a_store_through_a_mapping_is_noticed),
        T(a_deleted_directory_takes_all_below_along), T(a_moved_directory_costs_one_entry), T(a_moved_file_is_linked_not_copied),
        T(hard_links_stay_one_object), T(a_file_becomes_a_directory_and_back), T(an_ignored_path_is_not_captured),
        T(a_file_that_is_no_longer_ignored_is_captured), T(names_made_and_removed_in_a_listed_directory_are_noticed),
        T(a_mode_change_alone_is_captured_once), T(a_file_that_changes_while_it_is_read_is_read_again),
        T(a_name_that_comes_meanwhile_is_one_of_the_same_object), T(the_bytes_stay_though_the_name_goes_under_which_they_were_captured),
        T(what_changes_meanwhile_is_captured_again), T(a_directory_that_is_never_where_it_was_met_leaves_a_whole_index),
        T(what_lies_below_a_directory_that_goes_meanwhile_stays_known), T(a_failed_take_leaves_nothing_behind), T(a_deep_tree_is_captured),
        T(layers_pass_their_own_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
