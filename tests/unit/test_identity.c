/* Identity: of the directory, not of its path. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cleanup.h"
#include "fs.h"
#include "identity.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

static char place[64];
static int fd = -1;

static int setup(void **state) {
    (void)state;
    strcpy(place, "/tmp/snapctl-identity-XXXXXX");
    assert_non_null(mkdtemp(place));
    fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0;
}

static int teardown(void **state) {
    (void)state;
    fd = fd_close(fd);
    return fs_remove_tree(AT_FDCWD, place);
}

static char *of(const char *name) {
    char *identity = NULL;
    struct snap_err err = {0};
    _close_ int dir = openat(fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    if (identity_of(dir, &identity, &err) < 0)
        fail_msg("%s", err.message);
    return identity;
}

static void it_stays_when_the_directory_moves(void **state) {
    (void)state;
    assert_return_code(mkdirat(fd, "a", 0755), errno);
    _free_ char *before = of("a");
    assert_return_code(renameat(fd, "a", fd, "b"), errno);
    _free_ char *after = of("b");
    assert_string_equal(before, after);
}

static void it_is_the_same_by_any_kind_of_descriptor(void **state) {
    (void)state;
    _free_ char *path = of("."), *whole = NULL;
    assert_int_equal(identity_of(fd, &whole, NULL), 0);
    assert_string_equal(path, whole);
}

static void it_changes_when_another_directory_takes_the_place(void **state) {
    (void)state;
    assert_return_code(mkdirat(fd, "a", 0755), errno);
    _free_ char *before = of("a");
    for (int i = 0; i < 200; i++) {          /* inode numbers are reused sooner or later */
        assert_return_code(unlinkat(fd, "a", AT_REMOVEDIR), errno);
        assert_return_code(mkdirat(fd, "a", 0755), errno);
        _free_ char *after = of("a");
        assert_string_not_equal(before, after);
        assert_false(identity_same_inode(before, after));
    }
}

static void two_directories_have_two(void **state) {
    (void)state;
    assert_return_code(mkdirat(fd, "a", 0755), errno);
    assert_return_code(mkdirat(fd, "b", 0755), errno);
    _free_ char *a = of("a"), *b = of("b");
    assert_string_not_equal(a, b);
}

static void two_file_systems_tell_their_roots_apart(void **state) {
    (void)state;
    char a[80], b[80];
    snprintf(a, sizeof(a), "%s/a", place);
    snprintf(b, sizeof(b), "%s/b", place);
    assert_return_code(mkdir(a, 0755), errno);
    assert_return_code(mkdir(b, 0755), errno);
    if (mount("tmpfs", a, "tmpfs", 0, NULL) < 0) {
        print_message("skipped: nothing can be mounted here: %s\n", strerror(errno));
        skip();
    }
    assert_return_code(mount("tmpfs", b, "tmpfs", 0, NULL), errno);
    _free_ char *first = of("a"), *second = of("b");
    umount2(a, MNT_DETACH);
    umount2(b, MNT_DETACH);
    assert_string_not_equal(first, second);
}

static void another_way_of_naming_the_file_system_is_no_other_inode(void **state) {
    (void)state;
    assert_true(identity_same_inode("uuid-00:handle:1:aa", "fsid-11:handle:1:aa"));
    assert_true(identity_same_inode("uuid-00:handle:1:aa", "uuid-00:handle:1:aa"));
    assert_false(identity_same_inode("uuid-00:handle:1:aa", "uuid-11:handle:1:aa"));
    assert_false(identity_same_inode("uuid-00:handle:1:aa", "fsid-11:handle:1:bb"));
    assert_false(identity_same_inode("uuid-00:handle:1:aa", "nonsense"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(it_stays_when_the_directory_moves), CASE(it_is_the_same_by_any_kind_of_descriptor),
        CASE(it_changes_when_another_directory_takes_the_place), CASE(two_directories_have_two),
        CASE(two_file_systems_tell_their_roots_apart), CASE(another_way_of_naming_the_file_system_is_no_other_inode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
