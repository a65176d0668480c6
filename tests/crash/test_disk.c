/* The model of the disk is tested on a story whose possible endings are known. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "record.h"

#include "cleanup.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static const char *victim;
struct story { char base[64]; char root[80], park[80]; struct disk *disk; };

/* Before the story: keep (some bytes), dir/inside, two names of one file. */
static int setup(void **state) {
    struct story *story = calloc(1, sizeof(*story));
    const char *parent = getenv("TMPDIR");
    assert_non_null(story);
    snprintf(story->base, sizeof(story->base), "%.40s/disk-XXXXXX", parent && *parent ? parent : "/tmp");
    assert_non_null(mkdtemp(story->base));
    snprintf(story->root, sizeof(story->root), "%s/root", story->base);
    snprintf(story->park, sizeof(story->park), "%s/park", story->base);
    assert_int_equal(mkdir(story->root, 0755), 0);
    _close_ int root = open(story->root, O_RDONLY | O_DIRECTORY);
    assert_int_equal(mkdirat(root, "dir", 0750), 0);
    _close_ int keep = openat(root, "keep", O_WRONLY | O_CREAT, 0640);
    assert_int_equal(write(keep, "kept", 4), 4);
    assert_int_equal(linkat(root, "keep", root, "dir/also", 0), 0);
    assert_int_equal(symlinkat("keep", root, "pointer"), 0);
    *state = story;
    return 0;
}

static int teardown(void **state) {
    struct story *story = *state;
    disk_close(story->disk);
    int result = remove_tree(AT_FDCWD, story->base);
    free(story);
    return result;
}

/* Runs the story up to an event. */
static void tell(struct story *story, size_t stop) {
    const char *roots[] = { story->root, NULL };
    char *words[] = { (char *)victim, (char *)"disk", story->root, NULL };
    struct trace_program program = { victim, words, NULL, NULL, -1, -1, 30 };
    int status = 0;
    story->disk = disk_open(roots);
    assert_non_null(story->disk);
    int code = record_run(story->disk, story->base, stop, &program, &status);
    if (code == -ENOSYS || code == -EPERM)
        skip();
    assert_int_equal(code, 0);
    assert_true(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
}

static void build(struct story *story, size_t kept, enum disk_loss loss) {
    struct disk_crash crash = { disk_events(story->disk), kept, loss, 1 };
    assert_int_equal(disk_build(story->disk, &crash, story->park), 0);
}

static void content(struct story *story, const char *name, char ret[64]) {
    _close_ int root = open(story->root, O_RDONLY | O_DIRECTORY);
    _close_ int fd = openat(root, name, O_RDONLY | O_NOFOLLOW);
    strcpy(ret, "absent");
    if (fd < 0)
        return;
    ssize_t got = read(fd, ret, 63);
    assert_true(got >= 0);
    for (ssize_t i = 0; i < got; i++)
        ret[i] = ret[i] ? ret[i] : '0';
    ret[got] = 0;
}

static void expect(struct story *story, const char *name, const char *want) {
    char have[64];
    content(story, name, have);
    if (strcmp(have, want) != 0)
        fail_msg("%s is '%s', should be '%s'", name, have, want);
}

static size_t event_named(const struct story *story, const char *what, unsigned which) {
    for (size_t i = 0; i < disk_events(story->disk); i++) {
        if (!strncmp(disk_event_name(story->disk, i), what, strlen(what)) && !which--)
            return i;
    }
    fail_msg("no %s", what);
    return 0;
}

static void what_was_kept_entirely_is_what_was_there(void **state) {
    struct story *story = *state;
    tell(story, SIZE_MAX);
    struct listing *before = listing_read_path(story->root);
    build(story, SIZE_MAX, DISK_KEEPS_ALL);
    struct listing *after = listing_read_path(story->root);
    assert_int_equal(listing_differs(before, after, 0, NULL, stderr), 0);
    for (size_t i = 0; i < before->count; i++)
        assert_int_equal(before->nodes[i].ino, after->nodes[i].ino);
    listing_free(before), listing_free(after);
    expect(story, "a", "Third");
    expect(story, "d", "fourth");
    expect(story, "b", "absent");
}

static void events_come_in_order_with_their_flushes(void **state) {
    struct story *story = *state;
    tell(story, SIZE_MAX);
    size_t first = event_named(story, "fsync", 0), rename = event_named(story, "rename", 0), second = event_named(story, "fsync", 1);
    assert_true(first < rename && rename < second);
    assert_true(disk_event_flushes(story->disk, first));
    assert_false(disk_event_flushes(story->disk, rename));
    assert_int_equal(disk_marks_before(story->disk, second), 0);
    assert_int_equal(disk_marks_before(story->disk, disk_events(story->disk)), 7);
}

static void unflushed_bytes_are_lost_and_flushed_ones_are_not(void **state) {
    struct story *story = *state;
    char b[64];
    tell(story, SIZE_MAX);
    size_t unlink = event_named(story, "unlink", 0);
    build(story, unlink, DISK_LOSES_UNFLUSHED);
    content(story, "b", b);
    assert_true(!strcmp(b, "") || !strcmp(b, "000000"));
    expect(story, "keep", "kept");
}

static void names_after_the_last_kept_are_lost(void **state) {
    struct story *story = *state;
    tell(story, 8);            /* a, written and flushed; b, written; c, written, renamed */
    build(story, 0, DISK_KEEPS_ALL);
    expect(story, "a", "first");
    expect(story, "b", "absent");
    expect(story, "c", "absent");
}

static void a_rename_is_kept_whole_or_not_at_all(void **state) {
    struct story *story = *state;
    tell(story, 8);
    assert_int_equal(event_named(story, "rename", 0), 7);
    build(story, 7, DISK_KEEPS_ALL);
    expect(story, "a", "first");
    expect(story, "c", "third");
}

static void hard_links_directories_and_symlinks_survive(void **state) {
    struct story *story = *state;
    tell(story, SIZE_MAX);
    build(story, 0, DISK_LOSES_SOME);
    struct listing *listing = listing_read_path(story->root);
    const struct node *keep = listing_find(listing, "keep"), *also = listing_find(listing, "dir/also"), *dir = listing_find(listing, "dir");
    assert_non_null(keep), assert_non_null(also), assert_non_null(dir);
    assert_int_equal(keep->ino, also->ino);
    assert_int_equal(dir->mode & 07777, 0750);
    assert_string_equal(listing_find(listing, "pointer")->target, "keep");
    listing_free(listing);
}

int main(int argc, char **argv) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_was_kept_entirely_is_what_was_there),
        TEST(events_come_in_order_with_their_flushes),
        TEST(unflushed_bytes_are_lost_and_flushed_ones_are_not),
        TEST(names_after_the_last_kept_are_lost),
        TEST(a_rename_is_kept_whole_or_not_at_all),
        TEST(hard_links_directories_and_symlinks_survive),
    };
    if (argc < 2)
        return 2;
    victim = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
