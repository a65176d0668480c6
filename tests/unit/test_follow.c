/* Following through the overlay's door, without a mount: what is watched, what may be kept, what is told and in which order.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "cleanup.h"
#include "fs.h"
#include "overlay.h"
#include "tempdir.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { ALL = OVERLAY_KEEP_NAME | OVERLAY_KEEP_ATTRIBUTES | OVERLAY_KEEP_DATA };

static struct overlay *overlay;
static int lower, upper, work;
static struct buf told;
static struct overlay_caller caller = { .umask = 022 };

static int room(void **state, const char *name) {
    assert_int_equal(mkdirat(tempdir_at(state), name, 0755), 0);
    int fd = openat(tempdir_at(state), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void put(const char *path, const char *text) {
    _close_ int fd = openat(lower, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

static void begin(unsigned watches_max) {
    struct snap_err err = {0};
    struct lower *tree = NULL;
    assert_int_equal(lower_layer_open(lower, false, &tree), 0);
    const struct overlay_options options = { .upper = upper, .work = work, .lowers = &tree, .lower_count = 1, .flags = OVERLAY_FOLLOW,
                                             .watches_max = watches_max };
    assert_int_equal(overlay_open(&options, &overlay, &err), 0);
}

static int setup(void **state) {
    assert_int_equal(tempdir_setup(state), 0);
    caller.uid = geteuid();
    caller.gid = getegid();
    lower = room(state, "lower");
    upper = room(state, "upper");
    work = room(state, "work");
    assert_int_equal(mkdirat(lower, "d", 0755), 0);
    put("f", "file");
    put("d/g", "deep");
    begin(0);
    return 0;
}

static int teardown(void **state) {
    overlay = overlay_close(overlay);
    buf_done(&told);
    told = (struct buf){0};
    (void)close(lower);
    (void)close(upper);
    (void)close(work);
    return tempdir_teardown(state);
}

static struct overlay_entry look(uint64_t parent, const char *name) {
    struct overlay_entry entry;
    assert_int_equal(overlay_lookup(overlay, parent, name, &entry), 0);
    return entry;
}

static const char *kind_name(enum overlay_stale_kind kind) {
    switch (kind) {
    case OVERLAY_STALE_NAME: return "name";
    case OVERLAY_STALE_DROP: return "drop";
    case OVERLAY_STALE_ATTRIBUTES: return "attributes";
    case OVERLAY_STALE_DATA: return "data";
    case OVERLAY_STALE_ALL_NAMES: return "all";
    }
    return "?";
}

static int hear(void *data, const struct overlay_stale *stale) {
    const uint64_t *f = data;
    buf_fmt(&told, "%s %s;", kind_name(stale->kind), stale->name ? stale->name : stale->node == *f ? "f" : stale->node == OVERLAY_ROOT ? "/" : "else");
    return 0;
}

static const char *tell(uint64_t f) {
    buf_clear(&told);
    buf_str(&told, "");
    assert_int_equal(overlay_tell(overlay, hear, &f), 0);
    return told.data;
}

static uint64_t watches(void) {
    struct overlay_following now;
    overlay_following(overlay, &now);
    return now.watches;
}

static void nothing_is_watched_before_somebody_asks(void **state) {
    (void)state;
    assert_int_equal(watches(), 0);
    assert_int_equal(look(OVERLAY_ROOT, "f").keep, 0);
    assert_int_equal(overlay_cover(overlay, OVERLAY_ROOT), 1);
    assert_int_equal(watches(), 1);
    assert_int_equal(look(OVERLAY_ROOT, "f").keep, ALL);
}

static void a_watch_goes_with_its_directory(void **state) {
    (void)state;
    uint64_t d = look(OVERLAY_ROOT, "d").node;
    assert_int_equal(overlay_cover(overlay, d), 1);
    assert_int_equal(watches(), 2);
    overlay_forget(overlay, d, 1);
    assert_int_equal(watches(), 1);
}

static void what_was_written_is_told_by_its_object_alone(void **state) {
    (void)state;
    assert_int_equal(overlay_cover(overlay, OVERLAY_ROOT), 1);
    uint64_t f = look(OVERLAY_ROOT, "f").node;
    put("f", "more");
    assert_string_equal(tell(f), "data f;");
    assert_string_equal(tell(f), "");
    assert_int_equal(fchmodat(lower, "f", 0600, 0), 0);
    assert_string_equal(tell(f), "attributes f;");
}

static void a_name_comes_before_its_object_and_the_listing(void **state) {
    (void)state;
    assert_int_equal(overlay_cover(overlay, OVERLAY_ROOT), 1);
    uint64_t f = look(OVERLAY_ROOT, "f").node;
    assert_int_equal(unlinkat(lower, "f", 0), 0);
    assert_string_equal(tell(f), "drop f;data f;data /;");
}

static void a_name_that_shows_the_same_is_only_asked_for_again(void **state) {
    (void)state;
    assert_int_equal(overlay_cover(overlay, OVERLAY_ROOT), 1);
    uint64_t d = look(OVERLAY_ROOT, "d").node;
    assert_int_equal(renameat(lower, "d", lower, "e"), 0);
    assert_int_equal(renameat(lower, "e", lower, "d"), 0);
    const char *what = tell(d);
    assert_non_null(strstr(what, "name d;"));
    assert_null(strstr(what, "drop d;"));
}

static void who_reads_the_queue_calls_who_tells(void **state) {
    (void)state;
    assert_int_equal(overlay_cover(overlay, OVERLAY_ROOT), 1);
    uint64_t f = look(OVERLAY_ROOT, "f").node;
    put("f", "more");
    assert_int_equal(overlay_is_doubtful(overlay, f), 1);
    struct pollfd polled = { .fd = overlay_follow_fd(overlay), .events = POLLIN };
    assert_int_equal(poll(&polled, 1, 0), 1);
    assert_string_equal(tell(f), "data f;");
    assert_int_equal(overlay_is_doubtful(overlay, f), 0);
    assert_int_equal(poll(&polled, 1, 0), 0);
}

static void what_cannot_be_watched_is_not_kept(void **state) {
    (void)state;
    overlay = overlay_close(overlay);
    begin(1);
    assert_int_equal(overlay_cover(overlay, OVERLAY_ROOT), 1);
    struct overlay_entry d = look(OVERLAY_ROOT, "d");
    assert_int_equal(overlay_cover(overlay, d.node), 0);
    assert_int_equal(look(d.node, "g").keep, 0);
    struct overlay_following now;
    overlay_following(overlay, &now);
    assert_int_equal(now.uncovered, 1);
}

static void a_directory_that_comes_to_one_of_ours_is_told_with_all_in_it(void **state) {
    (void)state;
    struct overlay_entry own;
    assert_int_equal(overlay_cover(overlay, OVERLAY_ROOT), 1);
    assert_int_equal(overlay_mkdir(overlay, &caller, OVERLAY_ROOT, "own", 0755, &own), 0);
    assert_int_equal(mkdirat(lower, "own", 0755), 0);
    put("own/x", "below");
    const char *what = tell(own.node);
    assert_non_null(strstr(what, "all "));
    assert_int_equal(look(own.node, "x").stat.st_size, 5);
}

static void who_finds_other_trees_first_does_not_keep_it_from_the_others(void **state) {
    (void)state;
    struct overlay_entry own;
    assert_int_equal(overlay_cover(overlay, OVERLAY_ROOT), 1);
    uint64_t d = look(OVERLAY_ROOT, "d").node;
    assert_int_equal(overlay_cover(overlay, d), 1);
    assert_int_equal(overlay_mkdir(overlay, &caller, d, "own", 0755, &own), 0);
    assert_int_equal(look(d, "g").stat.st_size, 4);
    assert_int_equal(renameat(lower, "d", lower, "e"), 0);
    assert_int_equal(look(OVERLAY_ROOT, "d").node, d);
    assert_non_null(strstr(tell(d), "all "));
}

static void an_open_file_answers_for_itself_when_its_name_is_gone(void **state) {
    (void)state;
    struct overlay_handle *handle = NULL;
    struct overlay_entry entry;
    char text[8];
    assert_int_equal(overlay_cover(overlay, OVERLAY_ROOT), 1);
    uint64_t f = look(OVERLAY_ROOT, "f").node;
    assert_int_equal(overlay_open_file(overlay, f, O_RDONLY, &handle), 0);
    put("new", "another");
    assert_int_equal(renameat(lower, "new", lower, "f"), 0);
    assert_int_equal(overlay_getattr(overlay, f, NULL, &entry), 0);
    assert_int_equal(entry.stat.st_size, 4);
    assert_int_equal(entry.keep, 0);
    assert_int_equal(pread(overlay_data_begin(handle, false), text, sizeof(text), 0), 4);
    overlay_data_end(handle);
    assert_int_equal(look(OVERLAY_ROOT, "f").stat.st_size, 7);
    overlay_release(overlay, handle);
}

static void what_is_opened_is_what_the_name_shows(void **state) {
    (void)state;
    struct overlay_handle *handle = NULL;
    assert_int_equal(overlay_cover(overlay, OVERLAY_ROOT), 1);
    uint64_t f = look(OVERLAY_ROOT, "f").node;
    assert_int_equal(overlay_open_file(overlay, f, O_RDONLY, &handle), 0);
    assert_int_equal(overlay_kept(handle) & OVERLAY_KEEP_DATA, OVERLAY_KEEP_DATA);
    overlay_release(overlay, handle);
    put("f", "other");
    assert_int_equal(overlay_open_file(overlay, f, O_RDONLY, &handle), 0);
    assert_int_equal(overlay_kept(handle), 0);
    overlay_release(overlay, handle);
    put("new", "another");
    assert_int_equal(renameat(lower, "new", lower, "f"), 0);
    assert_int_equal(overlay_open_file(overlay, f, O_RDONLY, &handle), -ESTALE);      /* and the kernel looks the name up again */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_watched_before_somebody_asks, setup, teardown),
        cmocka_unit_test_setup_teardown(a_watch_goes_with_its_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_written_is_told_by_its_object_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_comes_before_its_object_and_the_listing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_that_shows_the_same_is_only_asked_for_again, setup, teardown),
        cmocka_unit_test_setup_teardown(who_reads_the_queue_calls_who_tells, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_watched_is_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_directory_that_comes_to_one_of_ours_is_told_with_all_in_it, setup, teardown),
        cmocka_unit_test_setup_teardown(who_finds_other_trees_first_does_not_keep_it_from_the_others, setup, teardown),
        cmocka_unit_test_setup_teardown(an_open_file_answers_for_itself_when_its_name_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_opened_is_what_the_name_shows, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
