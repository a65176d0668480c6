/* Directories by descriptor: depth, budget, replacement, threads.
 * Refuses paths longer than a name, as the module does.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "dirs.h"
#include "fs.h"
#include "tempdir.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

static struct dirs *tree(void **state, unsigned budget) {
    struct tempdir *temp = *state;
    struct dirs *dirs = NULL;
    assert_int_equal(dirs_open(temp->fd, budget, &dirs), 0);
    return dirs;
}

static unsigned open_descriptors(void) {
    _closedir_ DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    unsigned count = 0;
    while (readdir(dir))
        count++;
    return count - 3;          /* ".", ".." and itself */
}

static void assert_identity(struct dir *dir, ino_t ino) {
    _pinned_ struct dir_pinned at = dir_pinned(dir);
    struct stat stat;
    assert_true(at.fd >= 0);
    assert_int_equal(fstat(at.fd, &stat), 0);
    assert_int_equal(stat.st_ino, ino);
}

static ino_t inode_of(struct dir *dir) {
    _pinned_ struct dir_pinned at = dir_pinned(dir);
    struct stat stat;
    assert_true(at.fd >= 0);
    assert_int_equal(fstat(at.fd, &stat), 0);
    return stat.st_ino;
}

/* Makes and opens a chain; the node of its deepest directory. */
static struct dir *make_chain(struct dirs *dirs, unsigned depth) {
    struct dir *at = dir_ref(dirs_root(dirs));
    for (unsigned i = 0; i < depth; i++) {
        struct dir *child = dir_child(at, "d");
        assert_non_null(child);
        assert_int_equal(dir_make(child), 1);
        (void)dir_unref(at);
        at = child;
    }
    return at;
}

static void the_root_is_the_directory_that_was_given(void **state) {
    struct tempdir *temp = *state;
    _dirs_ struct dirs *dirs = tree(state, 8);
    struct stat stat;
    assert_int_equal(fstat(temp->fd, &stat), 0);
    assert_identity(dirs_root(dirs), stat.st_ino);
    assert_string_equal(dir_name(dirs_root(dirs)), "");
    assert_null(dir_parent(dirs_root(dirs)));
    assert_int_equal(dir_make(dirs_root(dirs)), 0);
}

static void a_moved_directory_is_found_at_its_new_place(void **state) {
    struct tempdir *temp = *state;
    _dirs_ struct dirs *dirs = tree(state, 8);
    _dir_ struct dir *from = dir_child(dirs_root(dirs), "from"), *to = dir_child(dirs_root(dirs), "to");
    assert_int_equal(dir_make(from), 1);
    assert_int_equal(dir_make(to), 1);
    _dir_ struct dir *moved = dir_child(from, "a"), *below = dir_child(moved, "below");
    assert_int_equal(dir_make(moved), 1);
    assert_int_equal(dir_make(below), 1);
    ino_t ino = inode_of(below);
    assert_int_equal(renameat(temp->fd, "from/a", temp->fd, "to/b"), 0);
    dir_move(moved, to, strdup("b"));
    dir_forget(below);
    assert_identity(below, ino);
    _buf_ struct buf path = {0};
    dir_path(below, NULL, &path);
    assert_string_equal(path.data, "to/b/below");
    assert_ptr_equal(dir_parent(moved), to);
}

static void making_says_whether_it_was_there(void **state) {
    struct tempdir *temp = *state;
    _dirs_ struct dirs *dirs = tree(state, 8);
    _dir_ struct dir *dir = dir_child(dirs_root(dirs), "made"), *file = dir_child(dirs_root(dirs), "file");
    assert_int_equal(dir_pin(dir), -ENOENT);
    assert_int_equal(dir_make(dir), 1);
    assert_int_equal(dir_make(dir), 0);
    struct stat stat;
    assert_int_equal(fstatat(temp->fd, "made", &stat, 0), 0);
    assert_int_equal(stat.st_mode & 07777, 0700);
    _close_ int fd = openat(temp->fd, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(dir_make(file), -ENOTDIR);
    assert_int_equal(dir_pin(file), -ENOTDIR);
}

static void a_symlink_is_not_followed(void **state) {
    struct tempdir *temp = *state;
    assert_int_equal(symlinkat("/", temp->fd, "link"), 0);
    _dirs_ struct dirs *dirs = tree(state, 8);
    _dir_ struct dir *dir = dir_child(dirs_root(dirs), "link"), *below = dir_child(dir, "etc");
    assert_true(dir_pin(dir) < 0);
    assert_true(dir_pin(below) < 0);
    assert_int_equal(dir_make(dir), -ENOTDIR);
}

static void four_thousand_levels_need_sixteen_descriptors(void **state) {
    unsigned before = open_descriptors();
    {
        _dirs_ struct dirs *dirs = tree(state, 16);
        _dir_ struct dir *deepest = make_chain(dirs, 4000);
        ino_t ino = inode_of(deepest);
        assert_true(open_descriptors() <= before + 1 + 16);
        for (struct dir *i = deepest; i; i = dir_parent(i))
            dir_forget(i);
        assert_int_equal(open_descriptors(), before + 1);
        assert_identity(deepest, ino);
        assert_true(open_descriptors() <= before + 1 + 16);
        unsigned levels = 0;
        for (struct dir *i = deepest; i; i = dir_parent(i), levels++)
            assert_true(inode_of(i) > 0);
        assert_int_equal(levels, 4001);
        _buf_ struct buf path = {0};
        dir_path(deepest, "name", &path);
        assert_int_equal(path.failed, 0);
        assert_int_equal(path.size, 4000 * 2 + 4);
    }
    assert_int_equal(open_descriptors(), before);
}

static void paths_are_those_from_the_root(void **state) {
    _dirs_ struct dirs *dirs = tree(state, 8);
    _dir_ struct dir *a = dir_child(dirs_root(dirs), "a"), *b = dir_child(a, "bee");
    static const struct { const char *name, *root, *deep; } cases[] = {
        { NULL, "", "a/bee" }, { "x", "x", "a/bee/x" },
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        _buf_ struct buf root = {0}, deep = {0};
        buf_str(&root, "");
        dir_path(dirs_root(dirs), cases[i].name, &root);
        dir_path(b, cases[i].name, &deep);
        assert_string_equal(root.data ? root.data : "", cases[i].root);
        assert_string_equal(deep.data, cases[i].deep);
    }
}

static void the_budget_holds_and_what_is_pinned_stays(void **state) {
    _dirs_ struct dirs *dirs = tree(state, 8);
    struct dir *nodes[50];
    ino_t inodes[ELEMENTS(nodes)];
    for (size_t i = 0; i < ELEMENTS(nodes); i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%zu", i);
        nodes[i] = dir_child(dirs_root(dirs), name);
        assert_int_equal(dir_make(nodes[i]), 1);
    }
    unsigned before = open_descriptors();
    int fds[20];
    for (size_t i = 0; i < ELEMENTS(fds); i++)
        assert_true((fds[i] = dir_pin(nodes[i])) >= 0);
    for (size_t i = 0; i < ELEMENTS(nodes); i++)
        inodes[i] = inode_of(nodes[i]);
    assert_true(open_descriptors() <= before + ELEMENTS(fds) + 1);
    for (size_t i = 0; i < ELEMENTS(fds); i++) {
        struct stat stat;
        assert_int_equal(fstat(fds[i], &stat), 0);
        assert_int_equal(stat.st_ino, inodes[i]);
        dir_unpin(nodes[i]);
    }
    assert_int_equal(open_descriptors(), before + 8);
    for (size_t i = 0; i < ELEMENTS(nodes); i++) {
        assert_identity(nodes[i], inodes[i]);
        (void)dir_unref(nodes[i]);
    }
    assert_int_equal(open_descriptors(), before);
}

static void the_same_directory_is_opened_once(void **state) {
    _dirs_ struct dirs *dirs = tree(state, 8);
    _dir_ struct dir *dir = make_chain(dirs, 1);
    _pinned_ struct dir_pinned a = dir_pinned(dir), b = dir_pinned(dir);
    assert_true(a.fd >= 0);
    assert_int_equal(a.fd, b.fd);
}

static void push_out(struct dirs *dirs) {
    for (int i = 0; i < 10; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "other%d", i);
        _dir_ struct dir *dir = dir_child(dirs_root(dirs), name);
        assert_true(dir_make(dir) >= 0);
        assert_true(inode_of(dir) > 0);
    }
}

static void a_directory_replaced_after_eviction_is_stale(void **state) {
    struct tempdir *temp = *state;
    _dirs_ struct dirs *dirs = tree(state, 8);
    _dir_ struct dir *dir = dir_child(dirs_root(dirs), "a"), *below = dir_child(dir, "b");
    assert_int_equal(dir_make(dir), 1);
    assert_int_equal(dir_make(below), 1);
    assert_true(inode_of(below) > 0);
    struct dir *many[10];
    for (size_t i = 0; i < ELEMENTS(many); i++) {          /* these push a and b out */
        char name[16];
        (void)snprintf(name, sizeof(name), "o%zu", i);
        many[i] = dir_child(dirs_root(dirs), name);
        assert_int_equal(dir_make(many[i]), 1);
        assert_true(inode_of(many[i]) > 0);
    }
    assert_int_equal(renameat(temp->fd, "a", temp->fd, "elsewhere"), 0);
    assert_int_equal(mkdirat(temp->fd, "a", 0700), 0);
    assert_int_equal(mkdirat(temp->fd, "a/b", 0700), 0);
    assert_int_equal(dir_pin(below), -ESTALE);
    assert_int_equal(dir_pin(dir), -ESTALE);
    dir_forget(dir);                                       /* on purpose, then */
    assert_true(inode_of(dir) > 0);
    assert_int_equal(dir_pin(below), -ESTALE);
    for (size_t i = 0; i < ELEMENTS(many); i++)
        (void)dir_unref(many[i]);
    push_out(dirs);
}

static void forgetting_a_pinned_directory_waits_for_the_unpin(void **state) {
    struct tempdir *temp = *state;
    _dirs_ struct dirs *dirs = tree(state, 8);
    _dir_ struct dir *dir = dir_child(dirs_root(dirs), "a");
    assert_int_equal(dir_make(dir), 1);
    int fd = dir_pin(dir);
    assert_true(fd >= 0);
    assert_int_equal(unlinkat(temp->fd, "a", AT_REMOVEDIR), 0);
    dir_forget(dir);
    struct stat stat;
    assert_int_equal(fstat(fd, &stat), 0);
    dir_unpin(dir);
    assert_int_equal(fstat(fd, &stat), -1);
    assert_int_equal(dir_pin(dir), -ENOENT);
    assert_int_equal(dir_make(dir), 1);
    assert_true(inode_of(dir) > 0);
}

static void running_out_of_descriptors_gives_up_idle_ones(void **state) {
    _dirs_ struct dirs *dirs = tree(state, 1000);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit few = { .rlim_cur = 40, .rlim_max = before.rlim_max };
    struct dir *nodes[100];
    for (size_t i = 0; i < ELEMENTS(nodes); i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%zu", i);
        nodes[i] = dir_child(dirs_root(dirs), name);
        assert_int_equal(dir_make(nodes[i]), 1);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    size_t opened = 0;
    for (size_t i = 0; i < ELEMENTS(nodes); i++) {
        int fd = dir_pin(nodes[i]);
        opened += fd >= 0;
        if (fd >= 0)
            dir_unpin(nodes[i]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(opened, ELEMENTS(nodes));
    for (size_t i = 0; i < ELEMENTS(nodes); i++)
        (void)dir_unref(nodes[i]);
}

static void a_failure_leaves_nothing_pinned_or_open(void **state) {
    unsigned before = open_descriptors();
    {
        _dirs_ struct dirs *dirs = tree(state, 8);
        _dir_ struct dir *a = make_chain(dirs, 3), *gone = dir_child(a, "gone"), *below = dir_child(gone, "x");
        for (int i = 0; i < 100; i++)
            assert_int_equal(dir_pin(below), -ENOENT);
        assert_true(open_descriptors() <= before + 1 + 8);
    }
    assert_int_equal(open_descriptors(), before);
}

static void a_directory_without_read_permission_is_still_held(void **state) {
    struct tempdir *temp = *state;
    if (geteuid() == 0) {
        print_message("skipped: nothing is refused to root\n");
        skip();
    }
    _dirs_ struct dirs *dirs = tree(state, 8);
    _dir_ struct dir *dir = dir_child(dirs_root(dirs), "a"), *below = dir_child(dir, "b");
    assert_int_equal(dir_make(dir), 1);
    assert_int_equal(dir_make(below), 1);
    dir_forget(dir);
    assert_int_equal(fchmodat(temp->fd, "a", 0300, 0), 0);
    assert_true(inode_of(below) > 0);
    assert_int_equal(fchmodat(temp->fd, "a", 0700, 0), 0);
}

struct walker { struct dir *deepest; unsigned seed; unsigned failed; };

static void *walk(void *data) {
    struct walker *walker = data;
    for (int round = 0; round < 2000; round++) {
        unsigned up = (walker->seed = walker->seed * 1103515245 + 12345) / 65536 % 100;
        struct dir *dir = walker->deepest;
        for (unsigned i = 0; i < up; i++)
            dir = dir_parent(dir);
        _pinned_ struct dir_pinned at = dir_pinned(dir_ref(dir));
        struct stat stat;
        walker->failed += at.fd < 0 || fstat(at.fd, &stat) < 0 || !S_ISDIR(stat.st_mode);
        _dir_ struct dir *child = dir_child(dir, "d");
        walker->failed += !child;
        (void)dir_unref(dir);
    }
    return NULL;
}

static void threads_share_a_tree(void **state) {
    _dirs_ struct dirs *dirs = tree(state, 8);
    _dir_ struct dir *deepest = make_chain(dirs, 100);
    struct walker walkers[4];
    pthread_t threads[ELEMENTS(walkers)];
    for (unsigned i = 0; i < ELEMENTS(walkers); i++) {
        walkers[i] = (struct walker){ .deepest = deepest, .seed = i + 1 };
        assert_int_equal(pthread_create(&threads[i], NULL, walk, &walkers[i]), 0);
    }
    for (unsigned i = 0; i < ELEMENTS(walkers); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(walkers[i].failed, 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tempdir_setup, tempdir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_root_is_the_directory_that_was_given),
        TEST(a_moved_directory_is_found_at_its_new_place),
        TEST(making_says_whether_it_was_there),
        TEST(a_symlink_is_not_followed),
        TEST(four_thousand_levels_need_sixteen_descriptors),
        TEST(paths_are_those_from_the_root),
        TEST(the_budget_holds_and_what_is_pinned_stays),
        TEST(the_same_directory_is_opened_once),
        TEST(a_directory_replaced_after_eviction_is_stale),
        TEST(forgetting_a_pinned_directory_waits_for_the_unpin),
        TEST(running_out_of_descriptors_gives_up_idle_ones),
        TEST(a_failure_leaves_nothing_pinned_or_open),
        TEST(a_directory_without_read_permission_is_still_held),
        TEST(threads_share_a_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
