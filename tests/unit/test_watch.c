/* Watching: what is told of changes below a directory, by both backends, and that nothing is missed.
 * Skips fanotify where it is not permitted, and says so. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "can_fanotify.h"
#include "fs.h"
#include "hook.h"
#include "tempdir.h"
#include "watch.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static enum watch_backend backend = WATCH_INOTIFY;

struct heard { struct buf text; struct watch *watch; unsigned lost, uncovered, gone; };

static int hear(void *data, const struct watch_change *change) {
    struct heard *heard = data;
    static const char *const kinds[] = { "entry", "below", "self", "uncovered", "linked", "lost", "gone" };
    _buf_ struct buf path = {0};
    heard->lost += change->kind == WATCH_LOST;
    heard->uncovered += change->kind == WATCH_UNCOVERED;
    heard->gone += change->kind == WATCH_ROOT_GONE;
    int found = heard->watch ? watch_path(heard->watch, change->dir, &path) : 0;
    buf_fmt(&heard->text, "|%s %s%s%s", kinds[change->kind], found ? (path.size ? path.data : ".") : "?",
            change->name ? "/" : "", change->name ? change->name : "");
    return 0;
}

static void begin_with(void **state, struct heard *heard, unsigned watches_max) {
    struct snap_err err = {0};
    *heard = (struct heard){0};
    struct watch_options options = { .root = openat(tempdir_at(state), "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                                     .backend = backend, .watches_max = watches_max };
    assert_true(options.root >= 0);
    int r = watch_open(&options, hear, heard, &heard->watch, &err);
    close(options.root);
    if (r < 0)
        fail_msg("%s", err.message);
}

static void begin(void **state, struct heard *heard) {
    begin_with(state, heard, 0);
}

static void listen_now(struct heard *heard) {
    struct snap_err err = {0};
    buf_clear(&heard->text);
    buf_str(&heard->text, "");
    if (watch_read(heard->watch, hear, heard, &err) < 0)
        fail_msg("%s", err.message);
    buf_char(&heard->text, '|');
    assert_int_equal(heard->text.failed, 0);
}

static void end(struct heard *heard) {
    heard->watch = watch_close(heard->watch);
    buf_done(&heard->text);
}

static void assert_told(const struct heard *heard, const char *what) {
    char with[512];
    snprintf(with, sizeof(with), "|%s|", what);
    if (!strstr(heard->text.data, with))
        fail_msg("'%s' was not told: %s", what, heard->text.data);
}

static void assert_silent(const struct heard *heard) {
    assert_string_equal(heard->text.data, "|");
}

static void make(void **state, const char *path) {
    assert_int_equal(mkdirat(tempdir_at(state), path, 0755), 0);
}

static void write_to(void **state, const char *path, const char *text) {
    _close_ int fd = openat(tempdir_at(state), path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

static void move(void **state, const char *from, const char *to) {
    assert_int_equal(renameat(tempdir_at(state), from, tempdir_at(state), to), 0);
}

static int setup(void **state) {
    if (tempdir_setup(state) != 0)
        return -1;
    make(state, "root");
    make(state, "root/a");
    make(state, "root/a/b");
    write_to(state, "root/a/b/file", "old");
    return 0;
}

static void writing_a_file_is_told(void **state) {
    struct heard heard;
    begin(state, &heard);
    listen_now(&heard);
    write_to(state, "root/a/b/file", "new");
    listen_now(&heard);
    assert_told(&heard, "entry a/b/file");
    listen_now(&heard);
    assert_silent(&heard);
    end(&heard);
}

static void metadata_is_told_of_files_and_directories(void **state) {
    struct heard heard;
    begin(state, &heard);
    assert_int_equal(fchmodat(tempdir_at(state), "root/a/b/file", 0600, 0), 0);
    assert_int_equal(fchmodat(tempdir_at(state), "root/a/b", 0700, 0), 0);
    assert_int_equal(fchmodat(tempdir_at(state), "root", 0700, 0), 0);
    listen_now(&heard);
    assert_told(&heard, "entry a/b/file");
    assert_told(&heard, "self a/b");
    assert_told(&heard, "self .");
    end(&heard);
}

static void making_removing_and_renaming_are_told(void **state) {
    struct heard heard;
    begin(state, &heard);
    write_to(state, "root/new", "");
    move(state, "root/new", "root/a/newer");
    assert_int_equal(unlinkat(tempdir_at(state), "root/a/b/file", 0), 0);
    listen_now(&heard);
    assert_told(&heard, "entry ./new");
    assert_told(&heard, "entry a/newer");
    assert_told(&heard, "entry a/b/file");
    end(&heard);
}

static void what_was_made_in_a_new_directory_before_its_watch_is_in_doubt(void **state) {
    struct heard heard;
    begin(state, &heard);
    make(state, "root/x");
    make(state, "root/x/y");
    make(state, "root/x/y/z");
    write_to(state, "root/x/y/z/deep", "1");
    listen_now(&heard);
    assert_told(&heard, backend == WATCH_INOTIFY ? "below ./x" : "entry x/y/z/deep");
    write_to(state, "root/x/y/z/deep", "2");
    listen_now(&heard);
    assert_told(&heard, "entry x/y/z/deep");
    end(&heard);
}

static void a_directory_that_moved_is_told_under_its_new_place(void **state) {
    struct heard heard;
    begin(state, &heard);
    make(state, "root/c");
    listen_now(&heard);
    move(state, "root/a", "root/c/a2");
    listen_now(&heard);
    assert_told(&heard, "entry ./a");
    assert_told(&heard, "entry c/a2");
    write_to(state, "root/c/a2/b/file", "new");
    listen_now(&heard);
    assert_told(&heard, "entry c/a2/b/file");
    end(&heard);
}

static void a_directory_that_left_is_told_no_more(void **state) {
    struct heard heard;
    begin(state, &heard);
    move(state, "root/a", "away");
    listen_now(&heard);
    assert_told(&heard, "entry ./a");
    listen_now(&heard);
    listen_now(&heard);
    write_to(state, "away/b/file", "new");
    listen_now(&heard);
    assert_silent(&heard);
    struct watch_info info;
    watch_info(heard.watch, &info);
    assert_int_equal(info.watches, backend == WATCH_INOTIFY ? 1 : 0);
    end(&heard);
}

static void a_directory_that_comes_back_changed_is_in_doubt(void **state) {
    struct heard heard;
    begin(state, &heard);
    move(state, "root/a", "away");
    listen_now(&heard);
    listen_now(&heard);
    listen_now(&heard);
    write_to(state, "away/b/file", "new");
    move(state, "away", "root/a");
    listen_now(&heard);
    assert_told(&heard, "below ./a");
    write_to(state, "root/a/b/file", "newer");
    listen_now(&heard);
    assert_told(&heard, "entry a/b/file");
    end(&heard);
}

static void a_directory_that_was_replaced_is_watched_anew(void **state) {
    struct heard heard;
    begin(state, &heard);
    for (unsigned i = 0; i < 50; i++) {   /* inode numbers are given away again */
        assert_int_equal(unlinkat(tempdir_at(state), "root/a/b/file", 0), 0);
        assert_int_equal(unlinkat(tempdir_at(state), "root/a/b", AT_REMOVEDIR), 0);
        make(state, "root/a/b");
        if (i % 3 == 0)
            listen_now(&heard);
        write_to(state, "root/a/b/file", "x");
        if (i % 2 == 0)
            listen_now(&heard);
    }
    listen_now(&heard);
    write_to(state, "root/a/b/file", "last");
    listen_now(&heard);
    assert_told(&heard, "entry a/b/file");
    end(&heard);
}

static void directories_that_change_places_are_both_told_of(void **state) {
    struct heard heard;
    make(state, "root/c");
    make(state, "root/c/d");
    begin(state, &heard);
    assert_int_equal(renameat2(tempdir_at(state), "root/a", tempdir_at(state), "root/c", RENAME_EXCHANGE), 0);
    for (unsigned i = 0; i < 4; i++) {
        write_to(state, "root/c/b/file", "new");
        write_to(state, "root/a/d/file", "new");
        listen_now(&heard);
        assert_told(&heard, "entry c/b/file");
        assert_told(&heard, "entry a/d/file");
    }
    end(&heard);
}

/* The watcher reads late: the tree is another one already. */

static void a_directory_made_in_one_that_moved_on_is_watched(void **state) {
    struct heard heard;
    begin(state, &heard);
    make(state, "root/a/new");
    move(state, "root/a", "root/c");
    listen_now(&heard);
    write_to(state, "root/c/new/file", "1");
    listen_now(&heard);
    assert_told(&heard, "entry c/new/file");
    end(&heard);
}

static void a_name_is_not_looked_up_in_another_directory_that_took_the_place(void **state) {
    struct heard heard;
    make(state, "root/c");
    make(state, "root/c/n");
    begin(state, &heard);
    make(state, "root/a/n");
    assert_int_equal(unlinkat(tempdir_at(state), "root/a/n", AT_REMOVEDIR), 0);
    move(state, "root/a", "root/d");
    move(state, "root/c", "root/a");
    listen_now(&heard);
    write_to(state, "root/a/n/file", "1");
    listen_now(&heard);
    assert_told(&heard, "entry a/n/file");
    end(&heard);
}

static void a_directory_made_in_one_that_was_away_is_watched(void **state) {
    struct heard heard;
    begin(state, &heard);
    move(state, "root/a", "away");
    listen_now(&heard);
    make(state, "away/new");
    listen_now(&heard);
    move(state, "away", "root/a");
    listen_now(&heard);
    assert_told(&heard, "below ./a");
    write_to(state, "root/a/new/file", "1");
    listen_now(&heard);
    assert_told(&heard, "entry a/new/file");
    end(&heard);
}

static void what_changed_outside_is_in_doubt_wherever_it_ends(void **state) {
    struct heard heard;
    begin(state, &heard);
    move(state, "root/a", "away");
    for (unsigned i = 0; i < 3; i++)
        listen_now(&heard);
    write_to(state, "away/b/file", "new");
    move(state, "away", "root/x");
    listen_now(&heard);
    assert_told(&heard, "below ./x");
    move(state, "root/x", "root/a");
    listen_now(&heard);
    assert_told(&heard, "below ./a");
    end(&heard);
}

/* What a test point does, once: moves the one directory to the other. */
static struct { const char *point, *name, *from, *to; int at; } moving;

static int move_meanwhile(const char *point, const char *name) {
    if (!moving.point || strcmp(point, moving.point) != 0 || strcmp(name, moving.name) != 0)
        return 0;
    moving.point = NULL;
    return renameat(moving.at, moving.from, moving.at, moving.to) < 0 ? -errno : 0;
}

static void move_at(void **state, const char *point, const char *name, const char *from, const char *to) {
    moving.point = point;
    moving.name = name;
    moving.from = from;
    moving.to = to;
    moving.at = tempdir_at(state);
    hook_function = move_meanwhile;
}

static void a_directory_whose_parent_moves_before_it_is_watched_is_found_again(void **state) {
    struct heard heard;
    if (backend != WATCH_INOTIFY)
        skip();                           /* fanotify covers nothing directory by directory */
    begin(state, &heard);
    make(state, "root/a/new");
    make(state, "root/a/new/deep");
    move_at(state, "watch.cover", "deep", "root/a", "root/c");
    listen_now(&heard);
    hook_function = NULL;
    assert_null(moving.point);
    listen_now(&heard);
    write_to(state, "root/c/new/deep/file", "1");
    listen_now(&heard);
    assert_told(&heard, "entry c/new/deep/file");
    end(&heard);
}

static void a_directory_that_moves_while_it_is_listed_is_watched_with_all_in_it(void **state) {
    struct heard heard;
    if (backend != WATCH_INOTIFY)
        skip();
    begin(state, &heard);
    make(state, "root/a/new");
    make(state, "root/a/new/deep");
    make(state, "root/a/new/deep/deeper");
    move_at(state, "watch.list", "deep", "root/a/new/deep", "root/c");
    listen_now(&heard);
    hook_function = NULL;
    assert_null(moving.point);
    listen_now(&heard);
    write_to(state, "root/c/deeper/file", "1");
    listen_now(&heard);
    assert_told(&heard, "entry c/deeper/file");
    end(&heard);
}

static void a_tree_that_is_moved_while_it_is_first_watched_is_watched(void **state) {
    struct heard heard;
    if (backend != WATCH_INOTIFY)
        skip();
    move_at(state, "watch.cover", "b", "root/a", "root/c");
    begin(state, &heard);
    hook_function = NULL;
    assert_null(moving.point);
    listen_now(&heard);
    write_to(state, "root/c/b/file", "new");
    listen_now(&heard);
    assert_told(&heard, "entry c/b/file");
    end(&heard);
}

static bool is_a_b(void *data, const char *path) {
    (void)data;
    return strcmp(path, "a/b") == 0;
}

static void what_was_left_out_is_watched_where_no_rule_leaves_it_out(void **state) {
    struct snap_err err = {0};
    struct heard heard = {0};
    struct watch_options options = { .root = openat(tempdir_at(state), "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC), .backend = backend,
                                     .left_out = is_a_b };
    assert_int_equal(watch_open(&options, hear, &heard, &heard.watch, &err), 0);
    close(options.root);
    move(state, "root/a", "root/c");
    listen_now(&heard);
    write_to(state, "root/c/b/file", "new");
    listen_now(&heard);
    assert_told(&heard, "entry c/b/file");
    end(&heard);
}

static void times_of_the_root_are_told(void **state) {
    struct heard heard;
    const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1 } };
    begin(state, &heard);
    assert_int_equal(utimensat(tempdir_at(state), "root", times, 0), 0);
    listen_now(&heard);
    assert_told(&heard, "self .");
    end(&heard);
}

static void a_second_name_in_a_new_directory_is_told(void **state) {
    struct heard heard;
    begin(state, &heard);
    make(state, "root/new");
    assert_int_equal(linkat(tempdir_at(state), "root/a/b/file", tempdir_at(state), "root/new/other", 0), 0);
    listen_now(&heard);
    assert_told(&heard, "linked new");
    end(&heard);
}

/* Nobody told of anything in its directory before. */
static void what_is_mapped_is_told(void **state) {
    static const char *const names[] = { "root/a/b/file", "root/a/new\nline", "root/a/\\012" };
    struct heard heard;
    for (size_t i = 1; i < ELEMENTS(names); i++)
        write_to(state, names[i], "old");
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        char what[64];
        int fd = openat(tempdir_at(state), names[i], O_RDWR | O_CLOEXEC);
        char *map = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(map != MAP_FAILED);
        close(fd);
        begin(state, &heard);
        listen_now(&heard);
        *map = 'n';
        buf_clear(&heard.text);
        buf_str(&heard.text, "");
        assert_true(watch_writable(heard.watch, hear, &heard) >= 0);
        buf_char(&heard.text, '|');
        snprintf(what, sizeof(what), "entry %s", names[i] + strlen("root/"));
        assert_told(&heard, what);
        assert_int_equal(munmap(map, 1), 0);
        listen_now(&heard);
        assert_told(&heard, what);
        end(&heard);
    }
}

static void outside_of_the_root_nothing_is_told(void **state) {
    struct heard heard;
    make(state, "beside");
    begin(state, &heard);
    listen_now(&heard);
    write_to(state, "beside/file", "1");
    listen_now(&heard);
    assert_silent(&heard);
    end(&heard);
}

static void a_root_that_is_removed_is_said(void **state) {
    struct heard heard;
    begin(state, &heard);
    assert_int_equal(fs_remove_tree(tempdir_at(state), "root"), 0);
    listen_now(&heard);
    assert_true(heard.gone > 0);
    end(&heard);
}

static void too_few_watches_leave_directories_uncovered_and_say_which(void **state) {
    struct heard heard;
    if (backend != WATCH_INOTIFY)
        skip();                           /* fanotify has no limit a directory */
    begin_with(state, &heard, 2);
    struct watch_info info;
    watch_info(heard.watch, &info);
    assert_int_equal(info.watches, 2);
    assert_int_equal(info.uncovered, 1);
    assert_int_equal(heard.uncovered, 1);
    write_to(state, "root/a/f", "1");
    listen_now(&heard);
    assert_told(&heard, "entry a/f");
    end(&heard);
}

static void an_overflow_is_said_and_watching_goes_on(void **state) {
    struct heard heard;
    begin(state, &heard);
    make(state, "root/many");
    listen_now(&heard);
    assert_int_equal(heard.lost, 0);
    for (unsigned i = 0; i < 20000; i++) {     /* more than the 16 384 that a queue holds, no two alike */
        char name[64];
        snprintf(name, sizeof(name), "root/many/%u", i);
        assert_int_equal(mknodat(tempdir_at(state), name, S_IFREG | 0600, 0), 0);
    }
    make(state, "root/many/during");
    listen_now(&heard);
    assert_true(heard.lost > 0);
    write_to(state, "root/many/during/file", "1");
    listen_now(&heard);
    assert_told(&heard, "entry many/during/file");
    end(&heard);
}

static void names_of_any_bytes_are_told(void **state) {
    struct heard heard;
    begin(state, &heard);
    write_to(state, "root/a/\n\xff", "1");
    listen_now(&heard);
    assert_told(&heard, "entry a/\n\xff");
    end(&heard);
}

static void a_chain_longer_than_a_path_is_watched(void **state) {
    struct heard heard;
    int at = openat(tempdir_at(state), "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; i < 600; i++) {
        assert_int_equal(mkdirat(at, "a-directory", 0755), 0);
        int next = openat(at, "a-directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    begin(state, &heard);
    listen_now(&heard);
    close(openat(at, "deep", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    close(at);
    listen_now(&heard);
    assert_non_null(strstr(heard.text.data, "/deep|"));
    end(&heard);
}

#define CASES \
    cmocka_unit_test_setup_teardown(writing_a_file_is_told, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(metadata_is_told_of_files_and_directories, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(making_removing_and_renaming_are_told, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(what_was_made_in_a_new_directory_before_its_watch_is_in_doubt, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(a_directory_that_moved_is_told_under_its_new_place, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(a_directory_that_left_is_told_no_more, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(a_directory_that_comes_back_changed_is_in_doubt, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(a_directory_that_was_replaced_is_watched_anew, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(directories_that_change_places_are_both_told_of, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(a_directory_made_in_one_that_moved_on_is_watched, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(a_name_is_not_looked_up_in_another_directory_that_took_the_place, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(a_directory_made_in_one_that_was_away_is_watched, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(what_changed_outside_is_in_doubt_wherever_it_ends, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(a_directory_whose_parent_moves_before_it_is_watched_is_found_again, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(a_directory_that_moves_while_it_is_listed_is_watched_with_all_in_it, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(a_tree_that_is_moved_while_it_is_first_watched_is_watched, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(what_was_left_out_is_watched_where_no_rule_leaves_it_out, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(times_of_the_root_are_told, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(a_second_name_in_a_new_directory_is_told, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(what_is_mapped_is_told, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(outside_of_the_root_nothing_is_told, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(a_root_that_is_removed_is_said, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(too_few_watches_leave_directories_uncovered_and_say_which, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(an_overflow_is_said_and_watching_goes_on, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(names_of_any_bytes_are_told, setup, tempdir_teardown), \
    cmocka_unit_test_setup_teardown(a_chain_longer_than_a_path_is_watched, setup, tempdir_teardown)

int main(void) {
    const struct CMUnitTest with_inotify[] = { CASES }, with_fanotify[] = { CASES };
    int failed = cmocka_run_group_tests(with_inotify, NULL, NULL);
    if (!can_fanotify())
        return failed;
    backend = WATCH_FANOTIFY;
    return failed + cmocka_run_group_tests(with_fanotify, NULL, NULL);
}
