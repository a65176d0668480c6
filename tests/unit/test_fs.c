/* Verbs over directory descriptors: opening beneath, replacing, removing, clocks, who writes.
 * Refuses to leave anything behind, also what it locked against itself.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "fs.h"
#include "tempdir.h"
#include "meta.h"
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static bool same_file(int a, int b) {
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void make_file(int dirfd, const char *name, const char *content) {
    _close_ int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, content, strlen(content)), 0);
}

static void make_dir(int dirfd, const char *name) {
    assert_int_equal(mkdirat(dirfd, name, 0755), 0);
}

static bool exists(int dirfd, const char *name) {
    return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static unsigned count_entries(int dirfd) {
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *dir = fdopendir(fd);
    assert_non_null(dir);
    unsigned count = 0;
    while (readdir(dir))
        count++;
    return count - 2;
}

/* Opening. */

static void opening_beneath_goes_through_directories(void **state) {
    make_dir(tempdir_at(state), "a");
    make_dir(tempdir_at(state), "a/b");
    make_file(tempdir_at(state), "a/b/c", "content");
    static const char *const paths[] = { "a/b/c", "a//b/./c", "./a/b/c" };
    for (size_t i = 0; i < ELEMENTS(paths); i++) {
        _close_ int fd = fs_open_beneath(tempdir_at(state), paths[i], O_RDONLY, 0);
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    }
    _close_ int root = fs_open_beneath(tempdir_at(state), "", O_RDONLY | O_DIRECTORY, 0);
    assert_true(same_file(root, tempdir_at(state)));
    _close_ int made = fs_open_beneath(tempdir_at(state), "a/new", O_WRONLY | O_CREAT | O_EXCL, 0640);
    assert_true(made >= 0);
    assert_int_equal(fs_open_beneath(tempdir_at(state), "a/none", O_RDONLY, 0), -ENOENT);
    assert_int_equal(fs_open_beneath(tempdir_at(state), "a/b/c/d", O_RDONLY, 0), -ENOTDIR);
    assert_int_equal(fs_open_beneath(tempdir_at(state), "a/b/c/", O_RDONLY, 0), -ENOTDIR);
}

static void opening_beneath_neither_leaves_nor_follows(void **state) {
    make_dir(tempdir_at(state), "a");
    make_file(tempdir_at(state), "file", "");
    assert_int_equal(symlinkat("a", tempdir_at(state), "link"), 0);
    assert_int_equal(symlinkat("file", tempdir_at(state), "a/link"), 0);
    assert_int_equal(fs_open_beneath(tempdir_at(state), "/etc", O_RDONLY, 0), -EXDEV);
    assert_int_equal(fs_open_beneath(tempdir_at(state), "..", O_RDONLY, 0), -EXDEV);
    assert_int_equal(fs_open_beneath(tempdir_at(state), "a/../../x", O_RDONLY, 0), -EXDEV);
    assert_int_equal(fs_open_beneath(tempdir_at(state), "link/x", O_RDONLY, 0), -ELOOP);
    assert_int_equal(fs_open_beneath(tempdir_at(state), "a/link", O_RDONLY, 0), -ELOOP);
}

static void a_path_longer_than_path_max_is_opened(void **state) {
    char name[201];
    memset(name, 'n', 200);
    name[200] = '\0';
    _buf_ struct buf path = {0};
    _close_ int fd = dup(tempdir_at(state));
    for (int i = 0; i < 60; i++) {
        make_dir(fd, name);
        int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close_fd(&fd);
        fd = next;
        buf_str(&path, name);
        buf_char(&path, '/');
    }
    assert_true(path.size > 2 * PATH_MAX);
    _close_ int opened = fs_open_beneath(tempdir_at(state), path.data, O_RDONLY | O_DIRECTORY, 0);
    assert_true(opened >= 0);
    assert_true(same_file(opened, fd));
    assert_int_equal(symlinkat(name, fd, "link"), 0);
    buf_str(&path, "link");
    assert_int_equal(fs_open_beneath(tempdir_at(state), path.data, O_RDONLY, 0), -ELOOP);
}

/* Files. */

static void a_file_is_read_whole_or_not_at_all(void **state) {
    make_file(tempdir_at(state), "file", "0123456789");
    _buf_ struct buf content = {0};
    buf_str(&content, "before:");
    assert_int_equal(fs_read_file(tempdir_at(state), "file", 9, &content), -EFBIG);
    assert_int_equal(fs_read_file(tempdir_at(state), "none", 9, &content), -ENOENT);
    assert_int_equal(fs_read_file(tempdir_at(state), ".", 9, &content), -EISDIR);
    assert_string_equal(content.data, "before:");
    assert_int_equal(fs_read_file(tempdir_at(state), "file", 10, &content), 0);
    assert_string_equal(content.data, "before:0123456789");
}

static void a_fifo_is_refused_instead_of_waited_for(void **state) {
    assert_int_equal(mkfifoat(tempdir_at(state), "fifo", 0600), 0);
    _buf_ struct buf content = {0};
    assert_int_equal(fs_read_file(tempdir_at(state), "fifo", 9, &content), -EINVAL);
}

static void a_file_is_replaced_with_its_mode_and_nothing_else_is_left(void **state) {
    make_file(tempdir_at(state), "file", "old");
    _close_ int old = openat(tempdir_at(state), "file", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fs_replace_file(tempdir_at(state), "file", "new content", 11, 0604), 0);
    _buf_ struct buf content = {0};
    assert_int_equal(fs_read_file(tempdir_at(state), "file", 100, &content), 0);
    assert_string_equal(content.data, "new content");
    struct stat stat;
    assert_int_equal(fstatat(tempdir_at(state), "file", &stat, 0), 0);
    assert_int_equal(stat.st_mode & 07777, 0604);
    char was[4] = "";
    assert_int_equal(read(old, was, 3), 3);
    assert_string_equal(was, "old");
    assert_int_equal(count_entries(tempdir_at(state)), 1);
    _close_ int place = openat(tempdir_at(state), ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fs_replace_file(place, "other", "", 0, 0600), 0);
    make_dir(tempdir_at(state), "dir");
    assert_int_equal(fs_replace_file(tempdir_at(state), "dir", "", 0, 0600), -EISDIR);
    assert_int_equal(count_entries(tempdir_at(state)), 3);
}

static void the_same_file_is_known_by_two_descriptors(void **state) {
    make_file(tempdir_at(state), "a", "");
    make_file(tempdir_at(state), "b", "");
    assert_int_equal(linkat(tempdir_at(state), "a", tempdir_at(state), "link", 0), 0);
    _close_ int a = openat(tempdir_at(state), "a", O_RDONLY | O_CLOEXEC), b = openat(tempdir_at(state), "b", O_PATH | O_CLOEXEC);
    _close_ int link = openat(tempdir_at(state), "link", O_PATH | O_CLOEXEC);
    assert_true(same_file(a, link));
    assert_false(same_file(a, b));
    assert_false(same_file(a, -1));
}

static void statx_does_not_follow(void **state) {
    assert_int_equal(symlinkat("target", tempdir_at(state), "link"), 0);
    struct statx stat;
    assert_int_equal(fs_statx(tempdir_at(state), "link", &stat), 0);
    assert_true(S_ISLNK(stat.stx_mode));
    assert_int_equal(fs_statx(tempdir_at(state), "", &stat), 0);
    assert_true(S_ISDIR(stat.stx_mode));
    assert_int_equal(fs_statx(tempdir_at(state), "none", &stat), -ENOENT);
    assert_true(S_ISDIR(stat.stx_mode));
}

/* Removing. */

static void removing_what_is_absent_succeeds(void **state) {
    assert_int_equal(fs_remove_tree(tempdir_at(state), "none"), 0);
}

static void every_type_is_removed_and_nothing_is_followed(void **state) {
    make_dir(tempdir_at(state), "kept");
    make_file(tempdir_at(state), "kept/file", "");
    make_dir(tempdir_at(state), "tree");
    make_dir(tempdir_at(state), "tree/sub");
    make_dir(tempdir_at(state), "tree/empty");
    make_file(tempdir_at(state), "tree/sub/file", "");
    assert_int_equal(symlinkat("../kept", tempdir_at(state), "tree/link"), 0);
    assert_int_equal(symlinkat("../../kept", tempdir_at(state), "tree/sub/link"), 0);
    assert_int_equal(mkfifoat(tempdir_at(state), "tree/fifo", 0600), 0);
    assert_int_equal(symlinkat("kept", tempdir_at(state), "link"), 0);
    assert_int_equal(fs_remove_tree(tempdir_at(state), "tree"), 0);
    assert_int_equal(fs_remove_tree(tempdir_at(state), "link"), 0);
    assert_false(exists(tempdir_at(state), "tree"));
    assert_true(exists(tempdir_at(state), "kept/file"));
    assert_int_equal(fs_remove_tree(tempdir_at(state), "kept/file"), 0);
    assert_int_equal(count_entries(tempdir_at(state)), 1);
}

static void directories_without_permissions_are_removed(void **state) {
    make_dir(tempdir_at(state), "tree");
    make_dir(tempdir_at(state), "tree/none");
    make_dir(tempdir_at(state), "tree/none/sub");
    make_file(tempdir_at(state), "tree/none/sub/file", "");
    make_dir(tempdir_at(state), "tree/readonly");
    make_file(tempdir_at(state), "tree/readonly/file", "");
    make_dir(tempdir_at(state), "tree/readonly/empty");
    assert_int_equal(fchmodat(tempdir_at(state), "tree/readonly", 0555, 0), 0);
    assert_int_equal(fchmodat(tempdir_at(state), "tree/none/sub", 0, 0), 0);
    assert_int_equal(fchmodat(tempdir_at(state), "tree/none", 0, 0), 0);
    assert_int_equal(fchmodat(tempdir_at(state), "tree", 0400, 0), 0);
    assert_int_equal(fs_remove_tree(tempdir_at(state), "tree"), 0);
    assert_false(exists(tempdir_at(state), "tree"));
}

static void a_deep_tree_needs_few_descriptors(void **state) {
    _close_ int fd = dup(tempdir_at(state));
    for (int i = 0; i < 5000; i++) {
        make_dir(fd, "d");
        make_file(fd, "after", "");
        make_dir(fd, "zz");
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close_fd(&fd);
        fd = next;
    }
    close_fd(&fd);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit few = { .rlim_cur = 40, .rlim_max = before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int r = fs_remove_tree(tempdir_at(state), "d");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, 0);
    assert_int_equal(count_entries(tempdir_at(state)), 2);
}

static void a_wide_tree_is_removed(void **state) {
    make_dir(tempdir_at(state), "wide");
    _close_ int fd = openat(tempdir_at(state), "wide", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 20000; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "%d", i);
        if (i % 10) {
            assert_int_equal(symlinkat("x", fd, name), 0);
        } else {
            make_dir(fd, name);
            (void)snprintf(name, sizeof(name), "%d/file", i);
            assert_int_equal(symlinkat("x", fd, name), 0);
        }
    }
    assert_int_equal(fs_remove_tree(tempdir_at(state), "wide"), 0);
    assert_int_equal(count_entries(tempdir_at(state)), 0);
}

static void an_immutable_file_is_reported(void **state) {
    make_dir(tempdir_at(state), "tree");
    make_file(tempdir_at(state), "tree/file", "");
    _close_ int fd = openat(tempdir_at(state), "tree/file", O_RDONLY | O_CLOEXEC);
    int flags = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
        flags = 0;
    int with = flags | FS_IMMUTABLE_FL;
    if (ioctl(fd, FS_IOC_SETFLAGS, &with) < 0) {
        print_message("skipped: cannot make a file immutable here\n");
        skip();
    }
    int r = fs_remove_tree(tempdir_at(state), "tree");
    assert_int_equal(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
    assert_int_equal(r, -EPERM);
    assert_true(exists(tempdir_at(state), "tree/file"));
}

/* In a child, whose mounts nobody else sees. 77 = not possible here. */
static int remove_over_a_mount(int dirfd, const char *path) {
    char mounted[PATH_MAX];
    (void)snprintf(mounted, sizeof(mounted), "%s/tree/mounted", path);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
        || mount("none", mounted, "tmpfs", 0, NULL) < 0)
        return 77;
    _close_ int fd = openat(dirfd, "tree/mounted/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return 1;
    if (fs_remove_tree(dirfd, "tree") != -EBUSY)
        return 2;
    return exists(dirfd, "tree/mounted/file") ? 0 : 3;
}

static void a_mount_is_not_crossed(void **state) {
    struct tempdir *temp = *state;
    make_dir(temp->fd, "tree");
    make_dir(temp->fd, "tree/mounted");
    pid_t child = fork();
    if (child == 0)
        _exit(remove_over_a_mount(temp->fd, temp->path));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("skipped: cannot mount here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Limits and clocks. */

static void the_descriptor_limit_is_raised(void **state) {
    (void)state;
    struct rlimit before, after;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit low = { .rlim_cur = MIN(before.rlim_max, (rlim_t)64), .rlim_max = before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int r = fs_raise_descriptor_limit();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, MIN(before.rlim_max, (rlim_t)1 << 20));
    assert_int_equal(r, after.rlim_cur);
}

static void the_clock_is_that_of_the_file_system(void **state) {
    struct timespec before, after;
    assert_int_equal(fs_now(tempdir_at(state), &before), 0);
    make_file(tempdir_at(state), "file", "x");
    assert_int_equal(fs_now(tempdir_at(state), &after), 0);
    struct stat stat;
    assert_int_equal(fstatat(tempdir_at(state), "file", &stat, 0), 0);
    assert_true(stat.st_ctim.tv_sec > before.tv_sec
                || (stat.st_ctim.tv_sec == before.tv_sec && stat.st_ctim.tv_nsec >= before.tv_nsec));
    assert_true(after.tv_sec > stat.st_ctim.tv_sec
                || (after.tv_sec == stat.st_ctim.tv_sec && after.tv_nsec >= stat.st_ctim.tv_nsec));
    assert_int_equal(count_entries(tempdir_at(state)), 1);
    _close_ int file = openat(tempdir_at(state), "file", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fs_now(file, &after), -ENOTDIR);
}

/* Where the answer is yes, each of many changes after a statx has its own ctime. */
static void fine_timestamps_are_found_only_where_they_are(void **state) {
    int fine = fs_has_fine_timestamps(tempdir_at(state));
    assert_true(fine == 0 || fine == 1);
    assert_int_equal(count_entries(tempdir_at(state)), 0);
    if (!fine) {
        print_message("skipped: this file system stamps coarsely\n");
        skip();
    }
    make_file(tempdir_at(state), "file", "x");
    _close_ int fd = openat(tempdir_at(state), "file", O_RDWR | O_CLOEXEC);
    struct statx before, after;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(fs_statx(fd, "", &before), 0);
        assert_int_equal(pwrite(fd, "y", 1, 0), 1);
        assert_int_equal(fs_statx(fd, "", &after), 0);
        assert_true(before.stx_ctime.tv_nsec != after.stx_ctime.tv_nsec);
    }
}

/* Who writes. */

static void assert_writers(const struct stat *stat, const char *expected) {
    _buf_ struct buf who = {0};
    fs_who_writes(stat, &who);
    assert_string_equal(who.data ? who.data : "", expected);
}

static void who_writes_is_told_by_descriptor_and_by_mapping(void **state) {
    _buf_ struct buf own = {0};
    assert_int_equal(fs_read_file(AT_FDCWD, "/proc/self/comm", 64, &own), 0);
    char expected[128];
    (void)snprintf(expected, sizeof(expected), "%d (%.*s)", (int)getpid(), (int)own.size - 1, own.data);
    make_file(tempdir_at(state), "file", "content");
    struct stat stat;
    assert_int_equal(fstatat(tempdir_at(state), "file", &stat, 0), 0);
    assert_writers(&stat, "");
    _close_ int reader = openat(tempdir_at(state), "file", O_RDONLY | O_CLOEXEC);
    assert_true(reader >= 0);
    assert_writers(&stat, "");
    int writer = openat(tempdir_at(state), "file", O_RDWR | O_CLOEXEC);
    assert_writers(&stat, expected);
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    writer = fd_close(writer);
    assert_writers(&stat, expected);
    assert_int_equal(munmap(map, 4096), 0);
    assert_writers(&stat, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tempdir_setup, tempdir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(opening_beneath_goes_through_directories),
        TEST(opening_beneath_neither_leaves_nor_follows),
        TEST(a_path_longer_than_path_max_is_opened),
        TEST(a_file_is_read_whole_or_not_at_all),
        TEST(a_fifo_is_refused_instead_of_waited_for),
        TEST(a_file_is_replaced_with_its_mode_and_nothing_else_is_left),
        TEST(the_same_file_is_known_by_two_descriptors),
        TEST(statx_does_not_follow),
        TEST(removing_what_is_absent_succeeds),
        TEST(every_type_is_removed_and_nothing_is_followed),
        TEST(directories_without_permissions_are_removed),
        TEST(a_deep_tree_needs_few_descriptors),
        TEST(a_wide_tree_is_removed),
        TEST(an_immutable_file_is_reported),
        TEST(a_mount_is_not_crossed),
        TEST(the_descriptor_limit_is_raised),
        TEST(the_clock_is_that_of_the_file_system),
        TEST(fine_timestamps_are_found_only_where_they_are),
        TEST(who_writes_is_told_by_descriptor_and_by_mapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
