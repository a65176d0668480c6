/* The witness is tested before it testifies: it must notice every planted difference, and a seed must give the same tree.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "listing.h"
#include "model.h"
#include "mutate.h"

#include "cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

struct pair { char base[64]; int base_fd, a, b; };

static void write_file(int dirfd, const char *name, const char *text) {
    _close_ int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void set_time(int dirfd, const char *name) {
    struct timespec times[2] = { { 1000000000, 5 }, { 1000000000, 5 } };
    assert_int_equal(utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* a, a2 (the same file), d/f, l -> a, p: a pipe */
static void fill(int fd) {
    static const char *const names[] = { "a", "d/f", "l", "p", "d", "." };
    write_file(fd, "a", "hello\n");
    assert_int_equal(linkat(fd, "a", fd, "a2", 0), 0);
    assert_int_equal(mkdirat(fd, "d", 0755), 0);
    write_file(fd, "d/f", "f\n");
    assert_int_equal(symlinkat("a", fd, "l"), 0);
    assert_int_equal(mknodat(fd, "p", S_IFIFO | 0600, 0), 0);
    for (size_t i = 0; i < ELEMENTS(names); i++)
        set_time(fd, names[i]);
}

static int setup(void **state) {
    struct pair *pair = calloc(1, sizeof(*pair));
    const char *parent = getenv("TMPDIR");
    assert_non_null(pair);
    snprintf(pair->base, sizeof(pair->base), "%.40s/listing-XXXXXX", parent && *parent ? parent : "/tmp");
    assert_non_null(mkdtemp(pair->base));
    pair->base_fd = open(pair->base, O_RDONLY | O_DIRECTORY);
    assert_int_equal(mkdirat(pair->base_fd, "a", 0755), 0);
    assert_int_equal(mkdirat(pair->base_fd, "b", 0755), 0);
    pair->a = openat(pair->base_fd, "a", O_RDONLY | O_DIRECTORY);
    pair->b = openat(pair->base_fd, "b", O_RDONLY | O_DIRECTORY);
    *state = pair;
    return 0;
}

static int teardown(void **state) {
    struct pair *pair = *state;
    close(pair->a), close(pair->b), close(pair->base_fd);
    int result = remove_tree(AT_FDCWD, pair->base);
    free(pair);
    return result;
}

static unsigned differences(struct pair *pair, unsigned leave_out) {
    struct listing *a = listing_read(pair->base_fd, "a"), *b = listing_read(pair->base_fd, "b");
    assert_non_null(a);
    assert_non_null(b);
    unsigned found = listing_differs(a, b, leave_out, NULL, NULL);
    listing_free(a), listing_free(b);
    return found;
}

static void equal_trees_are_equal(void **state) {
    struct pair *pair = *state;
    fill(pair->a), fill(pair->b);
    assert_int_equal(differences(pair, 0), 0);
}

static void plant_content(int fd) { write_file(fd, "d/f", "g\n"); set_time(fd, "d/f"); }
static void plant_size(int fd) { write_file(fd, "d/f", "f\n\n"); set_time(fd, "d/f"); }
static void plant_mode(int fd) { assert_int_equal(fchmodat(fd, "d/f", 0600, 0), 0); }
static void plant_time(int fd) { struct timespec t[2] = { { 1, 0 }, { 1000000000, 6 } }; assert_int_equal(utimensat(fd, "d/f", t, 0), 0); }
static void plant_dir_time(int fd) { struct timespec t[2] = { { 1, 0 }, { 1000000000, 6 } }; assert_int_equal(utimensat(fd, "d", t, 0), 0); }
static void plant_missing(int fd) { assert_int_equal(unlinkat(fd, "p", 0), 0); set_time(fd, "."); }
static void plant_more(int fd) { write_file(fd, "z", ""); set_time(fd, "z"); set_time(fd, "."); }
static void plant_target(int fd) {
    assert_int_equal(unlinkat(fd, "l", 0), 0);
    assert_int_equal(symlinkat("b", fd, "l"), 0);
    set_time(fd, "l");
    set_time(fd, ".");
}
static void plant_type(int fd) { assert_int_equal(unlinkat(fd, "p", 0), 0); write_file(fd, "p", ""); set_time(fd, "p"); set_time(fd, "."); }
static void plant_link(int fd) { assert_int_equal(unlinkat(fd, "a2", 0), 0); write_file(fd, "a2", "hello\n"); set_time(fd, "a2"); set_time(fd, "."); }
static void plant_other_link(int fd) {
    assert_int_equal(unlinkat(fd, "d/f", 0), 0);
    assert_int_equal(linkat(fd, "a", fd, "d/f", 0), 0);
    set_time(fd, "d");
}
static void plant_space(int fd) {
    _close_ int file = openat(fd, "d/f", O_WRONLY);
    assert_int_equal(fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 4 << 20), 0);
    set_time(fd, "d/f");
}

static void every_planted_difference_is_noticed(void **state) {
    static void (*const plants[])(int) = { plant_content, plant_size, plant_mode, plant_time, plant_dir_time, plant_missing, plant_more, plant_target,
                                           plant_type, plant_link, plant_other_link, plant_space };
    struct pair *pair = *state;
    fill(pair->a);
    for (size_t i = 0; i < ELEMENTS(plants); i++) {
        assert_int_equal(remove_tree(pair->base_fd, "b"), 0);
        assert_int_equal(mkdirat(pair->base_fd, "b", 0755), 0);
        close(pair->b);
        pair->b = openat(pair->base_fd, "b", O_RDONLY | O_DIRECTORY);
        fill(pair->b);
        assert_int_equal(differences(pair, 0), 0);
        plants[i](pair->b);
        if (!differences(pair, 0))
            fail_msg("plant %zu was not noticed", i);
    }
}

static void extended_attributes_are_compared_by_name_and_value(void **state) {
    struct pair *pair = *state;
    char a[96], b[96];
    fill(pair->a), fill(pair->b);
    snprintf(a, sizeof(a), "%s/a/a", pair->base);
    snprintf(b, sizeof(b), "%s/b/a", pair->base);
    if (setxattr(a, "user.x", "1", 1, 0) < 0)
        skip();
    assert_true(differences(pair, 0) > 0);
    assert_int_equal(setxattr(b, "user.x", "2", 1, 0), 0);
    assert_true(differences(pair, 0) > 0);
    assert_int_equal(setxattr(b, "user.x", "1", 1, 0), 0);
    assert_int_equal(differences(pair, 0), 0);
}

static void what_is_left_out_is_not_compared(void **state) {
    struct pair *pair = *state;
    fill(pair->a), fill(pair->b);
    plant_dir_time(pair->b);
    assert_int_equal(differences(pair, DIFFER_DIR_TIMES), 0);
    plant_time(pair->b);
    assert_true(differences(pair, DIFFER_DIR_TIMES) > 0);
    assert_int_equal(differences(pair, DIFFER_TIMES), 0);
}

static void a_part_of_a_listing_has_its_own_link_groups(void **state) {
    struct pair *pair = *state;
    fill(pair->a);
    struct listing *all = listing_read(pair->base_fd, "a"), *part = listing_below(all, "a");
    assert_int_equal(part->count, 1);
    assert_string_equal(part->nodes[0].path, "");
    assert_int_equal(part->nodes[0].first, 0);
    assert_null(listing_below(all, "absent"));
    listing_free(all), listing_free(part);
}

static void the_letters_are_those_of_the_manual(void **state) {
    struct pair *pair = *state;
    bool may_miss;
    fill(pair->a), fill(pair->b);
    plant_mode(pair->b), plant_type(pair->b), plant_target(pair->b), plant_more(pair->b);
    struct listing *a = listing_read(pair->base_fd, "a"), *b = listing_read(pair->base_fd, "b");
    assert_int_equal(model_letter(a, b, "d/f", &may_miss), 'm');
    assert_int_equal(model_letter(a, b, "p", &may_miss), 'T');
    assert_int_equal(model_letter(a, b, "l", &may_miss), 'M');
    assert_int_equal(model_letter(a, b, "z", &may_miss), 'A');
    assert_int_equal(model_letter(b, a, "z", &may_miss), 'D');
    assert_int_equal(model_letter(a, b, "a", &may_miss), 0);
    assert_false(may_miss);
    listing_free(a), listing_free(b);
}

static void the_same_seed_gives_the_same_tree(void **state) {
    struct pair *pair = *state;
    int roots[] = { pair->a, pair->b };
    for (size_t i = 0; i < 2; i++) {
        struct mutator mutator;
        mutate_init(&mutator, roots[i], 42, geteuid() == 0, NULL);
        for (unsigned step = 0; step < 400; step++) {
            if (step % 10 == 0)
                mutate_look(&mutator);
            mutate_step(&mutator);
        }
        assert_true(mutator.done > 200);
        mutate_done(&mutator);
    }
    assert_int_equal(differences(pair, DIFFER_TIMES | DIFFER_SPACE), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(equal_trees_are_equal),
        TEST(every_planted_difference_is_noticed),
        TEST(extended_attributes_are_compared_by_name_and_value),
        TEST(what_is_left_out_is_not_compared),
        TEST(a_part_of_a_listing_has_its_own_link_groups),
        TEST(the_letters_are_those_of_the_manual),
        TEST(the_same_seed_gives_the_same_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
