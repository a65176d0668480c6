/* The tracer is tested before it is trusted: it counts every change, kills and fails exactly where it should, and follows
 * threads and children. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fault.h"
#include "listing.h"

#include "cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

static const char *victim;
struct sandbox { char path[64]; };

static int setup(void **state) {
    struct sandbox *sandbox = calloc(1, sizeof(*sandbox));
    const char *parent = getenv("TMPDIR");
    assert_non_null(sandbox);
    snprintf(sandbox->path, sizeof(sandbox->path), "%.40s/trace-XXXXXX", parent && *parent ? parent : "/tmp");
    assert_non_null(mkdtemp(sandbox->path));
    *state = sandbox;
    return 0;
}

static int teardown(void **state) {
    struct sandbox *sandbox = *state;
    int result = remove_tree(AT_FDCWD, sandbox->path);
    free(sandbox);
    return result;
}

/* How the victim ended: its exit code, or 128 + signal. */
static int run(struct sandbox *sandbox, struct fault *fault, const char *what, const char *count) {
    char *words[] = { (char *)victim, (char *)what, sandbox->path, (char *)count, NULL };
    const char *roots[] = { sandbox->path, NULL };
    _close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct trace_program program = { victim, words, NULL, NULL, null, null, 30 };
    int status = 0;
    fault->roots = roots;
    int code = fault_run(fault, &program, &status);
    fault->roots = NULL;
    if (code == -ENOSYS || code == -EPERM)
        skip();
    assert_int_equal(code, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Files made, and how many of them have their byte. */
static void look(struct sandbox *sandbox, unsigned *ret_files, unsigned *ret_full) {
    struct listing *listing = listing_read_path(sandbox->path);
    assert_non_null(listing);
    *ret_files = *ret_full = 0;
    for (size_t i = 1; i < listing->count; i++) {
        ++*ret_files;
        *ret_full += listing->nodes[i].size == 1;
    }
    listing_free(listing);
}

static void start_again(struct sandbox *sandbox) {
    assert_int_equal(remove_tree(AT_FDCWD, sandbox->path), 0);
    assert_int_equal(mkdir(sandbox->path, 0755), 0);
}

static void every_change_is_counted(void **state) {
    struct fault fault = { .mode = FAULT_NONE };
    assert_int_equal(run(*state, &fault, "files", "5"), 0);
    assert_int_equal(fault.seen, 10);
}

static void reading_and_talking_are_no_changes(void **state) {
    struct sandbox *sandbox = *state;
    struct fault fault = { .mode = FAULT_NONE };
    _close_ int dir = open(sandbox->path, O_RDONLY | O_DIRECTORY);
    _close_ int fd = openat(dir, "there", O_WRONLY | O_CREAT, 0644);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(run(sandbox, &fault, "read", NULL), 0);
    assert_int_equal(fault.seen, 0);
}

static void a_kill_before_the_kth_change_leaves_k_minus_one(void **state) {
    struct sandbox *sandbox = *state;
    for (unsigned k = 1; k <= 6; k++) {
        unsigned files, full;
        struct fault fault = { .mode = FAULT_KILL_BEFORE, .at = k };
        start_again(sandbox);
        assert_int_equal(run(sandbox, &fault, "files", "3"), 128 + SIGKILL);
        assert_true(fault.fired);
        look(sandbox, &files, &full);
        assert_int_equal(files, k / 2);
        assert_int_equal(full, (k - 1) / 2);
    }
}

static void a_kill_after_the_kth_change_leaves_k(void **state) {
    struct sandbox *sandbox = *state;
    for (unsigned k = 1; k <= 6; k++) {
        unsigned files, full;
        struct fault fault = { .mode = FAULT_KILL_AFTER, .at = k };
        start_again(sandbox);
        assert_int_equal(run(sandbox, &fault, "files", "3"), 128 + SIGKILL);
        look(sandbox, &files, &full);
        assert_int_equal(files, (k + 1) / 2);
        assert_int_equal(full, k / 2);
    }
}

static void a_change_that_fails_does_not_happen_and_the_next_ones_do(void **state) {
    struct sandbox *sandbox = *state;
    unsigned files, full;
    struct fault fault = { .mode = FAULT_ONCE, .error = EIO, .at = 4 };
    assert_int_equal(run(sandbox, &fault, "files", "3"), 1);
    look(sandbox, &files, &full);
    assert_int_equal(files, 3);
    assert_int_equal(full, 2);
    assert_non_null(strstr(fault.where, "write"));
    assert_non_null(strstr(fault.where, "/1"));
}

static void what_fails_from_k_on_goes_on_failing(void **state) {
    struct sandbox *sandbox = *state;
    unsigned files, full;
    struct fault fault = { .mode = FAULT_FROM, .error = ENOSPC, .at = 3 };
    assert_int_equal(run(sandbox, &fault, "files", "3"), 4);
    look(sandbox, &files, &full);
    assert_int_equal(files, 1);
}

static void threads_and_children_are_followed_and_killed(void **state) {
    static const char *const kinds[] = { "threads", "children" };
    struct sandbox *sandbox = *state;
    for (size_t i = 0; i < ELEMENTS(kinds); i++) {
        unsigned files, full;
        struct fault count = { .mode = FAULT_NONE }, kill = { .mode = FAULT_KILL_BEFORE, .at = 9 };
        start_again(sandbox);
        assert_int_equal(run(sandbox, &count, kinds[i], "8"), 0);
        assert_int_equal(count.seen, 16);
        start_again(sandbox);
        assert_int_equal(run(sandbox, &kill, kinds[i], "8"), 128 + SIGKILL);
        look(sandbox, &files, &full);
        assert_true(files + full <= 8 + 1);
        assert_true(files >= 4);
    }
}

static void a_change_beyond_the_last_never_goes_wrong(void **state) {
    struct fault fault = { .mode = FAULT_KILL_BEFORE, .at = 7 };
    assert_int_equal(run(*state, &fault, "files", "3"), 0);
    assert_false(fault.fired);
    assert_int_equal(fault.seen, 6);
}

static void modes_are_read_from_words(void **state) {
    (void)state;
    struct fault fault = {0};
    assert_true(fault_parse("kill-after", &fault));
    assert_int_equal(fault.mode, FAULT_KILL_AFTER);
    assert_true(fault_parse("ENOSPC-from", &fault));
    assert_int_equal(fault.mode, FAULT_FROM);
    assert_int_equal(fault.error, ENOSPC);
    assert_true(fault_parse("EIO", &fault));
    assert_int_equal(fault.mode, FAULT_ONCE);
    assert_false(fault_parse("EIOX", &fault));
}

int main(int argc, char **argv) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_change_is_counted),
        TEST(reading_and_talking_are_no_changes),
        TEST(a_kill_before_the_kth_change_leaves_k_minus_one),
        TEST(a_kill_after_the_kth_change_leaves_k),
        TEST(a_change_that_fails_does_not_happen_and_the_next_ones_do),
        TEST(what_fails_from_k_on_goes_on_failing),
        TEST(threads_and_children_are_followed_and_killed),
        TEST(a_change_beyond_the_last_never_goes_wrong),
        TEST(modes_are_read_from_words),
    };
    if (argc < 2)
        return 2;
    victim = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
