/* Identity through the overlay's door: objects by number alone, while things move; generations; a damaged map; what it costs.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "cleanup.h"
#include "fs.h"
#include "hook.h"
#include "overlay.h"
#include "tempdir.h"
#include "../property/rng.h"
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct overlay *overlay;
static int temp, lower, upper, work;
static unsigned flags;
static char sentence[256];

static int room(const char *name) {
    assert_int_equal(mkdirat(temp, name, 0755), 0);
    int fd = openat(temp, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void hear(void *data, const char *said) {
    (void)data;
    (void)snprintf(sentence, sizeof(sentence), "%s", said);
}

static void open_overlay(void) {
    struct snap_err err = {0};
    struct lower *tree = NULL;
    *sentence = '\0';
    assert_int_equal(lower_layer_open(lower, true, &tree), 0);
    const struct overlay_options options = { .upper = upper, .work = work, .lowers = &tree, .lower_count = 1, .flags = flags, .log = hear };
    if (overlay_open(&options, &overlay, &err) < 0)
        fail_msg("%s", err.message);
}

static void remount(void) {
    overlay = overlay_close(overlay);
    open_overlay();
}

static int setup(void **state) {
    assert_int_equal(tempdir_setup(state), 0);
    temp = tempdir_at(state);
    lower = room("lower");
    upper = room("upper");
    work = room("work");
    flags = OVERLAY_STILL;
    open_overlay();
    return 0;
}

static int teardown(void **state) {
    hook_function = NULL;
    overlay = overlay_close(overlay);
    (void)close(lower);
    (void)close(upper);
    (void)close(work);
    return tempdir_teardown(state);
}

static const struct overlay_caller nobody = { .umask = 022 };
static struct overlay_caller us(void) {
    struct overlay_caller caller = nobody;
    caller.uid = geteuid();
    caller.gid = getegid();
    return caller;
}

static uint64_t look(uint64_t parent, const char *name) {
    struct overlay_entry entry;
    assert_int_equal(overlay_lookup(overlay, parent, name, &entry), 0);
    return entry.node;
}

static uint64_t make_dir(uint64_t parent, const char *name) {
    struct overlay_caller caller = us();
    struct overlay_entry entry;
    assert_int_equal(overlay_mkdir(overlay, &caller, parent, name, 0755, &entry), 0);
    return entry.node;
}

static struct overlay_entry make_file(uint64_t parent, const char *name) {
    struct overlay_caller caller = us();
    struct overlay_entry entry;
    assert_int_equal(overlay_mknod(overlay, &caller, parent, name, S_IFREG | 0644, 0, &entry), 0);
    return entry;
}

static void write_lower(const char *path, const char *text) {
    _close_ int fd = openat(lower, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

static int by_number(uint64_t number) {
    struct overlay_entry entry;
    int r = overlay_lookup(overlay, number, ".", &entry);
    if (r == 0) {
        assert_int_equal(entry.node, number);
        overlay_forget(overlay, number, 1);
    }
    return r;
}

/* Generations. */

static void what_takes_a_number_of_the_current_layer_has_another_generation(void **state) {
    (void)state;
    struct overlay_entry first = make_file(OVERLAY_ROOT, "foo");
    for (unsigned i = 0; i < 100; i++) {
        overlay_forget(overlay, first.node, 1);
        assert_int_equal(overlay_unlink(overlay, OVERLAY_ROOT, "foo"), 0);
        struct overlay_entry next = make_file(OVERLAY_ROOT, "foo");
        if (next.node == first.node)
            assert_int_not_equal((uint32_t)next.generation, (uint32_t)first.generation);
        first = next;
    }
}

static void what_takes_a_number_below_has_another_generation(void **state) {
    (void)state;
    struct overlay_entry first, next;
    flags = 0;
    write_lower("foo", "");
    remount();
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(overlay_lookup(overlay, OVERLAY_ROOT, "foo", &first), 0);
        assert_int_equal(unlinkat(lower, "foo", 0), 0);
        write_lower("foo", "");
        assert_int_equal(overlay_lookup(overlay, OVERLAY_ROOT, "foo", &next), 0);
        if (next.node == first.node)
            assert_int_not_equal((uint32_t)next.generation, (uint32_t)first.generation);
        overlay_forget(overlay, first.node, UINT64_MAX);
        overlay_forget(overlay, next.node, UINT64_MAX);
    }
}

static void a_generation_stays_over_copy_up_and_remount(void **state) {
    (void)state;
    struct overlay_entry before, after;
    const struct stat wanted = { .st_mode = 0600 };
    struct overlay_caller caller = us();
    write_lower("foo", "x");
    assert_int_equal(overlay_lookup(overlay, OVERLAY_ROOT, "foo", &before), 0);
    assert_int_equal(overlay_setattr(overlay, &caller, before.node, NULL, &wanted, OVERLAY_SET_MODE, &after), 0);
    assert_int_equal(after.generation, before.generation);
    remount();
    assert_int_equal(overlay_lookup(overlay, OVERLAY_ROOT, "foo", &after), 0);
    assert_int_equal(after.generation, before.generation);
}

static void what_was_removed_is_not_found_by_who_still_remembers_it(void **state) {
    (void)state;
    struct overlay_entry entry = make_file(OVERLAY_ROOT, "foo");
    assert_int_equal(overlay_unlink(overlay, OVERLAY_ROOT, "foo"), 0);
    assert_int_equal(by_number(entry.node), -ESTALE);
}

/* Finding. */

static atomic_uint listed;
static unsigned when;

/* As for somebody who may not open handles. */
static int unprivileged(const char *point, const char *what) {
    (void)what;
    return strcmp(point, "by_handle") == 0 ? -EPERM : 0;
}

static int count_listings(const char *point, const char *what) {
    if (strcmp(point, "find.listed") == 0)
        atomic_fetch_add(&listed, 1);
    return unprivileged(point, what);
}

static void after_one_walk_nothing_is_listed_again(void **state) {
    (void)state;
    uint64_t a = make_dir(OVERLAY_ROOT, "a"), b = make_dir(a, "b"), file = make_file(b, "file").node;
    remount();
    atomic_store(&listed, 0);
    hook_function = count_listings;
    assert_int_equal(by_number(file), 0);
    assert_int_equal(atomic_load(&listed), 3);
    assert_int_equal(by_number(b), 0);
    assert_int_equal(by_number(12345678901), -ESTALE);
    uint64_t c = make_dir(OVERLAY_ROOT, "c"), new = make_file(c, "new").node;
    assert_int_equal(overlay_rename(overlay, OVERLAY_ROOT, "c", look(OVERLAY_ROOT, "a"), "moved", 0), 0);
    overlay_forget(overlay, new, UINT64_MAX);
    overlay_forget(overlay, c, UINT64_MAX);
    assert_int_equal(by_number(new), 0);
    assert_int_equal(overlay_unlink(overlay, look(look(OVERLAY_ROOT, "a"), "moved"), "new"), 0);
    assert_int_equal(by_number(new), -ESTALE);
    assert_int_equal(atomic_load(&listed), 3);
}

static int move_back_and_forth(const char *point, const char *what) {
    if (strcmp(point, "find.listed") != 0)
        return unprivileged(point, what);
    unsigned at = atomic_fetch_add(&listed, 1);
    if (at == when)
        assert_int_equal(overlay_rename(overlay, look(OVERLAY_ROOT, "a"), "x", look(OVERLAY_ROOT, "b"), "x", 0), 0);
    if (at == when + 1)
        assert_int_equal(overlay_rename(overlay, look(OVERLAY_ROOT, "b"), "x", look(OVERLAY_ROOT, "c"), "y", 0), 0);
    return 0;
}

/* At each step of the walk an ancestor goes somewhere else, and again at the next. */
static void an_ancestor_that_moves_during_the_walk_is_followed(void **state) {
    (void)state;
    uint64_t a = make_dir(OVERLAY_ROOT, "a"), x = make_dir(a, "x"), deep = make_dir(make_dir(x, "p"), "q"), file = make_file(deep, "file").node;
    (void)make_dir(OVERLAY_ROOT, "b");
    (void)make_dir(OVERLAY_ROOT, "c");
    for (when = 0; when < 5; when++) {
        struct overlay_entry entry;
        remount();
        atomic_store(&listed, 0);
        hook_function = move_back_and_forth;
        assert_int_equal(by_number(file), 0);
        assert_int_equal(by_number(deep), 0);
        assert_int_equal(overlay_lookup(overlay, x, "..", &entry), 0);
        hook_function = NULL;
        if (overlay_rename(overlay, look(OVERLAY_ROOT, "c"), "y", look(OVERLAY_ROOT, "a"), "x", 0) < 0)
            assert_int_equal(overlay_rename(overlay, look(OVERLAY_ROOT, "b"), "x", look(OVERLAY_ROOT, "a"), "x", 0), 0);
    }
}

static atomic_bool stop;

static void *move_on(void *data) {
    (void)data;
    uint64_t a = look(OVERLAY_ROOT, "a"), b = look(OVERLAY_ROOT, "b");
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        uint64_t from = i % 2 ? b : a, to = i % 2 ? a : b;
        assert_int_equal(overlay_rename(overlay, from, "x", to, "x", 0), 0);
        assert_int_equal(overlay_rename(overlay, look(to, "x"), i % 2 ? "q" : "p", look(to, "x"), i % 2 ? "p" : "q", 0), 0);
    }
    return NULL;
}

static void find_while_ancestors_move(bool privileged) {
    pthread_t mover;
    uint64_t a = make_dir(OVERLAY_ROOT, "a"), p = make_dir(make_dir(a, "x"), "p"), deep = make_dir(p, "r"), file = make_file(deep, "file").node;
    (void)make_dir(OVERLAY_ROOT, "b");
    remount();
    hook_function = privileged ? NULL : unprivileged;
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&mover, NULL, move_on, NULL), 0);
    for (unsigned i = 0; i < 300; i++) {
        struct overlay_entry entry;
        assert_int_equal(by_number(file), 0);
        assert_int_equal(overlay_lookup(overlay, deep, "..", &entry), 0);
        assert_int_equal(entry.node, p);
        overlay_forget(overlay, p, 1);
    }
    atomic_store(&stop, true);
    assert_int_equal(pthread_join(mover, NULL), 0);
}

static void ancestors_may_move_all_the_time(void **state) {
    (void)state;
    find_while_ancestors_move(false);
}

static void also_where_handles_are_opened(void **state) {
    (void)state;
    find_while_ancestors_move(true);
}

static void find_what_moves_below(bool privileged) {
    flags = 0;
    assert_int_equal(mkdirat(lower, "a", 0755), 0);
    assert_int_equal(mkdirat(lower, "a/b", 0755), 0);
    write_lower("a/b/file", "x");
    remount();
    uint64_t a = look(OVERLAY_ROOT, "a"), b = look(a, "b"), file = look(b, "file");
    remount();
    hook_function = privileged ? NULL : unprivileged;
    assert_int_equal(by_number(file), 0);
    assert_int_equal(renameat(lower, "a", lower, "moved"), 0);
    assert_int_equal(by_number(file), 0);
    assert_int_equal(by_number(b), 0);
    assert_int_equal(renameat(lower, "moved/b/file", lower, "file"), 0);
    assert_int_equal(by_number(file), 0);
    assert_int_equal(unlinkat(lower, "file", 0), 0);
    assert_int_equal(by_number(file), -ESTALE);
}

static void what_moves_below_is_found_where_it_is_now(void **state) {
    (void)state;
    find_what_moves_below(false);
}

static void by_handles_too(void **state) {
    (void)state;
    find_what_moves_below(true);
}

static nlink_t links_of(const char *name) {
    struct overlay_entry entry;
    assert_int_equal(overlay_lookup(overlay, OVERLAY_ROOT, name, &entry), 0);
    return entry.stat.st_nlink;
}

static void names_that_come_and_go_below_are_counted(void **state) {
    (void)state;
    const struct stat wanted = { .st_mode = 0600 };
    struct overlay_caller caller = us();
    struct overlay_entry entry;
    flags = 0;
    write_lower("a", "x");
    assert_int_equal(linkat(lower, "a", lower, "b", 0), 0);
    remount();
    uint64_t number = look(OVERLAY_ROOT, "a");
    for (unsigned copied = 0; copied < 2; copied++) {
        assert_int_equal(linkat(lower, "b", lower, "c", 0), 0);
        assert_int_equal(links_of("c"), 3);
        assert_int_equal(links_of("a"), 3);
        assert_int_equal(unlinkat(lower, "c", 0), 0);
        assert_int_equal(links_of("b"), 2);
        assert_int_equal(links_of("a"), 2);
        assert_int_equal(overlay_setattr(overlay, &caller, number, NULL, &wanted, OVERLAY_SET_MODE, &entry), 0);
        assert_int_equal(entry.stat.st_nlink, 2);
    }
    assert_int_equal(linkat(lower, "b", lower, "c", 0), 0);
    assert_int_equal(overlay_unlink(overlay, OVERLAY_ROOT, "b"), 0);
    assert_int_equal(links_of("c"), 2);
    remount();
    assert_int_equal(look(OVERLAY_ROOT, "c"), number);
    assert_int_equal(links_of("a"), 2);
    assert_int_equal(overlay_link(overlay, number, OVERLAY_ROOT, "d", &entry), 0);
    assert_int_equal(entry.stat.st_nlink, 3);
    struct overlay_counters counters;
    overlay_counters(overlay, &counters);
    assert_int_equal(counters.bytes_copied, 0);            /* all of that was one copy, of another time */
}

/* Damage. */

struct known { const char *path; uint64_t number; char text[16]; };
static struct known known[] = { { "f0", 0, "0" }, { "f1", 0, "1" }, { "d/f2", 0, "2" }, { "d/link", 0, "1" }, { "e/f3", 0, "3" }, { "new", 0, "" } };

static struct overlay_entry at_path(const char *path) {
    struct overlay_entry entry;
    char first[16];
    const char *slash = strchr(path, '/');
    (void)snprintf(first, sizeof(first), "%.*s", (int)strcspn(path, "/"), path);
    assert_int_equal(overlay_lookup(overlay, OVERLAY_ROOT, first, &entry), 0);
    if (slash)
        assert_int_equal(overlay_lookup(overlay, entry.node, slash + 1, &entry), 0);
    return entry;
}

static void change_some(void) {
    const struct stat wanted = { .st_mode = 0600 };
    struct overlay_caller caller = us();
    struct overlay_entry entry;
    assert_int_equal(mkdirat(lower, "d", 0755), 0);
    write_lower("f0", "0");
    write_lower("f1", "1");
    write_lower("d/f2", "2");
    write_lower("d/f3", "3");
    assert_int_equal(linkat(lower, "f1", lower, "d/link", 0), 0);
    (void)make_dir(OVERLAY_ROOT, "e");
    (void)make_file(OVERLAY_ROOT, "new");
    assert_int_equal(overlay_rename(overlay, look(OVERLAY_ROOT, "d"), "f3", look(OVERLAY_ROOT, "e"), "f3", 0), 0);
    static const char *const changed[] = { "f1", "d/f2" };
    for (size_t i = 0; i < ELEMENTS(changed); i++)
        assert_int_equal(overlay_setattr(overlay, &caller, at_path(changed[i]).node, NULL, &wanted, OVERLAY_SET_MODE, &entry), 0);
    for (size_t i = 0; i < ELEMENTS(known); i++)
        known[i].number = at_path(known[i].path).node;
}

static void check_known(void) {
    for (size_t i = 0; i < ELEMENTS(known); i++) {
        struct overlay_entry entry = at_path(known[i].path);
        struct overlay_handle *handle = NULL;
        char text[16] = "";
        assert_int_equal(entry.node, known[i].number);
        assert_int_equal(overlay_open_file(overlay, entry.node, O_RDONLY, &handle), 0);
        int fd = overlay_data_begin(handle, false);
        assert_true(fd >= 0 && pread(fd, text, sizeof(text) - 1, 0) >= 0);
        overlay_data_end(handle);
        overlay_release(overlay, handle);
        assert_string_equal(text, known[i].text);
    }
    assert_int_equal(at_path("f1").stat.st_nlink, 2);
}

static void damage(struct rng *rng) {
    struct stat stat;
    char bytes[64];
    _close_ int fd = openat(work, "identity", O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &stat) == 0);
    unsigned how = (unsigned)rng_below(rng, 5);
    if (how == 0)
        assert_int_equal(ftruncate(fd, (off_t)rng_below(rng, (uint64_t)stat.st_size)), 0);
    else if (how == 1)
        assert_int_equal(unlinkat(work, "identity", 0), 0);
    for (unsigned i = 0; how > 1 && i < how * how; i++) {
        for (size_t j = 0; j < sizeof(bytes); j++)
            bytes[j] = (char)rng_next(rng);
        assert_true(pwrite(fd, bytes, 1 + rng_below(rng, sizeof(bytes)), (off_t)rng_below(rng, (uint64_t)stat.st_size + 64)) > 0);
    }
}

static void a_damaged_map_is_made_again_from_the_files(void **state) {
    (void)state;
    struct rng rng = { .state = 11 };
    change_some();
    for (unsigned i = 0; i < 200; i++) {
        overlay = overlay_close(overlay);
        damage(&rng);
        open_overlay();
        check_known();
    }
}

static void what_is_no_map_is_replaced(void **state) {
    (void)state;
    change_some();
    overlay = overlay_close(overlay);
    assert_int_equal(unlinkat(work, "identity", 0), 0);
    assert_int_equal(mkdirat(work, "identity", 0755), 0);
    open_overlay();
    check_known();
    assert_string_not_equal(sentence, "");
    overlay = overlay_close(overlay);
    assert_int_equal(unlinkat(work, "identity", 0), 0);
    assert_int_equal(symlinkat("/etc/passwd", work, "identity"), 0);
    open_overlay();
    check_known();
}

/* Cost. */

enum { DIRS = 100, EACH = 1000 };

static int fill_lower(void) {
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < DIRS; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%u", i);
        r = mkdirat(lower, name, 0755);
        _close_ int dir = openat(lower, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (unsigned j = 0; r >= 0 && j < EACH; j++) {
            (void)snprintf(name, sizeof(name), "%u", j);
            r = mknodat(dir, name, S_IFREG | 0644, 0);
        }
    }
    return r;
}

static void walk(void) {
    char name[16];
    for (unsigned i = 0; i < DIRS; i++) {
        (void)snprintf(name, sizeof(name), "%u", i);
        uint64_t dir = look(OVERLAY_ROOT, name);
        for (unsigned j = 0; j < EACH; j++) {
            (void)snprintf(name, sizeof(name), "%u", j);
            (void)look(dir, name);
        }
    }
}

static void a_hundred_thousand_files_cost_no_query_and_little_memory(void **state) {
    (void)state;
    struct overlay_counters counters;
    char path[] = "/dev/shm/snapctl-test-XXXXXX";         /* in memory, where there is such a place: they are many */
    if (mkdtemp(path)) {
        (void)close(lower);
        lower = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    assert_return_code(fill_lower(), errno);
    remount();
    struct mallinfo2 before = mallinfo2();
    walk();
    struct mallinfo2 after = mallinfo2();
    overlay_counters(overlay, &counters);
    assert_int_equal(counters.nodes, DIRS * EACH + DIRS);
    assert_int_equal(counters.records, 0);
    assert_int_equal(counters.record_queries, 0);
    size_t each = (after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / counters.nodes;
    print_message("%zu bytes an object, names and all\n", each);
    if (before.uordblks)                   /* a sanitizer's allocator counts elsewhere */
        assert_true(each <= 300);
    struct stat stat;
    assert_int_equal(fstatat(work, "identity", &stat, 0), 0);
    assert_int_equal(stat.st_size, 64);    /* its header: looking writes nothing */
    overlay = overlay_close(overlay);
    assert_int_equal(fs_remove_tree(AT_FDCWD, path), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(what_takes_a_number_of_the_current_layer_has_another_generation),
        CASE(what_takes_a_number_below_has_another_generation), CASE(a_generation_stays_over_copy_up_and_remount),
        CASE(what_was_removed_is_not_found_by_who_still_remembers_it), CASE(after_one_walk_nothing_is_listed_again),
        CASE(an_ancestor_that_moves_during_the_walk_is_followed), CASE(ancestors_may_move_all_the_time),
        CASE(also_where_handles_are_opened), CASE(what_moves_below_is_found_where_it_is_now), CASE(by_handles_too),
        CASE(names_that_come_and_go_below_are_counted), CASE(a_damaged_map_is_made_again_from_the_files), CASE(what_is_no_map_is_replaced),
        CASE(a_hundred_thousand_files_cost_no_query_and_little_memory),
    };
    return cmocka_run_group_tests_name("handles", tests, NULL, NULL);
}
