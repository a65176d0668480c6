/* mountinfo: what is mounted, and who uses it. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mountinfo.h"
#include "tempdir.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void proc_is_mounted_and_a_directory_is_not(void **state) {
    _mountinfo_ struct mountinfo info = {0};
    struct tempdir *temp = *state;
    assert_int_equal(mountinfo_find(temp->path, &info), 0);
    assert_null(info.dir);
    assert_int_equal(mountinfo_find("/proc", &info), 1);
    assert_string_equal(info.dir, "/proc");
    assert_string_equal(info.type, "proc");
}

static void the_topmost_is_found_under_a_name_with_anything_in_it(void **state) {
    struct tempdir *temp = *state;
    char dir[512];
    snprintf(dir, sizeof(dir), "%s/a b\\c\nd\te", temp->path);
    assert_return_code(mkdir(dir, 0700), errno);
    if (mount("lower one", dir, "tmpfs", 0, NULL) < 0) {
        print_message("mounting is not permitted\n");
        skip();
    }
    assert_return_code(mount("upper\\one", dir, "tmpfs", 0, NULL), errno);
    _mountinfo_ struct mountinfo info = {0}, below = {0};
    int found = mountinfo_find(dir, &info);
    assert_return_code(umount(dir), errno);
    int found_below = mountinfo_find(dir, &below);
    assert_return_code(umount(dir), errno);
    assert_int_equal(found, 1);
    assert_string_equal(info.source, "upper\\one");
    assert_string_equal(info.type, "tmpfs");
    assert_int_equal(found_below, 1);
    assert_string_equal(below.source, "lower one");
}

static void who_works_in_it_or_has_a_file_open_is_named(void **state) {
    struct tempdir *temp = *state;
    _buf_ struct buf users = {0}, none = {0};
    char expected[64], beside[300];
    int end[2];
    assert_return_code(pipe(end), errno);
    pid_t child = fork();                           /* it has temp->fd, too */
    if (child == 0) {
        close(end[1]);
        _exit(read(end[0], expected, 1) != 0);
    }
    snprintf(expected, sizeof(expected), "%ld (test_mountinfo)", (long)child);
    mountinfo_who_uses(temp->path, &users);
    close(end[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(end[0]);
    assert_non_null(users.data);
    assert_string_equal(users.data, expected);
    snprintf(beside, sizeof(beside), "%.*s", (int)strlen(temp->path) - 1, temp->path);
    mountinfo_who_uses(beside, &none);
    assert_null(none.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, tempdir_setup, tempdir_teardown)
        TEST(proc_is_mounted_and_a_directory_is_not),
        TEST(the_topmost_is_found_under_a_name_with_anything_in_it),
        TEST(who_works_in_it_or_has_a_file_open_is_named),
    };
    return cmocka_run_group_tests_name("mountinfo", tests, NULL, NULL);
}
