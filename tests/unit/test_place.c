/* Where a store lies: on the project's file system if anything there is ours, never in a trap, rarely in the project.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cleanup.h"
#include "fs.h"
#include "place.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

static char place[64];
static int fd = -1;
static bool mounted;

static char *path_of(const char *name) {
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % ELEMENTS(paths)];
    snprintf(path, sizeof(paths[0]), "%s/%s", place, name);
    return path;
}

static int setup(void **state) {
    (void)state;
    strcpy(place, "/tmp/snapctl-place-XXXXXX");
    assert_non_null(mkdtemp(place));
    fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_return_code(mkdirat(fd, "other", 0755), errno);
    setenv("HOME", place, 1);
    setenv("XDG_STATE_HOME", path_of("state"), 1);
    return fd < 0;
}

static int teardown(void **state) {
    (void)state;
    fd = fd_close(fd);
    if (mounted)
        umount2(path_of("other"), MNT_DETACH);
    mounted = false;
    return fs_remove_tree(AT_FDCWD, place);
}

/* other/: a file system of its own. */
static void mount_other(void) {
    if (mount("tmpfs", path_of("other"), "tmpfs", 0, "mode=0755") < 0) {
        print_message("skipped: nothing can be mounted here: %s\n", strerror(errno));
        skip();
    }
    mounted = true;
}

static void make(const char *name) {
    assert_return_code(mkdirat(fd, name, 0755), errno);
}

static struct place choose(const char *project) {
    struct place chosen = {0};
    struct snap_err err = {0};
    if (place_choose(path_of(project), &chosen, &err) < 0)
        fail_msg("%s", err.message);
    return chosen;
}

static char *shared(const char *parent) {
    char name[300];
    snprintf(name, sizeof(name), "%s/.snapctl-%u", parent, (unsigned)geteuid());
    return path_of(name);
}

static void assert_in(const char *dir, const struct place *chosen) {
    if (strncmp(dir, chosen->path, strlen(dir)) != 0 || chosen->path[strlen(dir)] != '/')
        fail_msg("%s is not in %s", chosen->path, dir);
}
#define _place_ _cleanup_(place_done)

static void the_state_directory_is_taken_on_the_same_file_system(void **state) {
    (void)state;
    make("project");
    _place_ struct place chosen = choose("project");
    assert_in(path_of("state/snapctl"), &chosen);
    assert_true(chosen.same_file_system);
    assert_false(chosen.inside);
}

static void every_path_has_a_name_of_its_own(void **state) {
    (void)state;
    make("a");
    make("a/x");
    make("b");
    make("b/x");
    _place_ struct place one = choose("a/x");
    _place_ struct place two = choose("b/x");
    _place_ struct place again = choose("a/x");
    assert_string_not_equal(one.path, two.path);
    assert_string_equal(one.path, again.path);
}

static void odd_names_make_plain_ones(void **state) {
    (void)state;
    make("\xff\n ..;");
    _place_ struct place chosen = choose("\xff\n ..;");
    for (const char *c = strrchr(chosen.path, '/') + 1; *c; c++)
        assert_true(*c > ' ' && *c < 0x7f && *c != ';');
}

static void the_top_of_another_file_system_is_taken(void **state) {
    (void)state;
    mount_other();
    make("other/deep");
    make("other/deep/project");
    _place_ struct place chosen = choose("other/deep/project");
    assert_in(shared("other"), &chosen);
    assert_true(chosen.same_file_system);
    assert_false(chosen.inside);
    struct stat stat;
    assert_return_code(lstat(shared("other"), &stat), errno);
    assert_int_equal(stat.st_mode, S_IFDIR | 0700);
}

static void a_trap_at_the_top_is_passed_by(void **state) {
    (void)state;
    mount_other();
    make("other/deep");
    make("other/deep/project");
    make("other/trap");
    assert_return_code(symlink("trap", shared("other")), errno);
    _place_ struct place chosen = choose("other/deep/project");
    assert_in(shared("other/deep"), &chosen);
}

static void a_directory_that_others_may_enter_is_passed_by(void **state) {
    (void)state;
    mount_other();
    make("other/deep");
    make("other/deep/project");
    assert_return_code(mkdir(shared("other"), 0755), errno);
    assert_return_code(chmod(shared("other"), 0755), errno);
    _place_ struct place chosen = choose("other/deep/project");
    assert_in(shared("other/deep"), &chosen);
}

static void a_directory_of_somebody_else_is_passed_by(void **state) {
    (void)state;
    mount_other();
    make("other/deep");
    make("other/deep/project");
    assert_return_code(mkdir(shared("other"), 0700), errno);
    assert_return_code(chown(shared("other"), 65534, 65534), errno);
    _place_ struct place chosen = choose("other/deep/project");
    assert_in(shared("other/deep"), &chosen);
}

static void the_root_of_a_mount_holds_its_own_store(void **state) {
    (void)state;
    mount_other();
    _place_ struct place chosen = choose("other");
    assert_in(shared("other"), &chosen);
    assert_true(chosen.inside);
    assert_true(chosen.same_file_system);
}

static void where_nothing_fits_the_state_directory_is_taken_from_afar(void **state) {
    (void)state;
    mount_other();
    make("other/project");
    make("other/trap");
    assert_return_code(symlink("trap", shared("other")), errno);
    _place_ struct place chosen = choose("other/project");
    assert_in(path_of("state/snapctl"), &chosen);
    assert_false(chosen.same_file_system);
    assert_false(chosen.inside);
}

static void a_state_directory_in_the_project_is_avoided(void **state) {
    (void)state;
    mount_other();
    make("other/home");
    setenv("XDG_STATE_HOME", path_of("other/home/.local/state"), 1);
    _place_ struct place chosen = choose("other/home");
    assert_in(shared("other"), &chosen);
    assert_false(chosen.inside);
}

static void a_state_directory_in_the_project_is_taken_if_nothing_else_is(void **state) {
    (void)state;
    mount_other();
    make("other/home");
    make("other/trap");
    assert_return_code(symlink("trap", shared("other")), errno);
    setenv("XDG_STATE_HOME", path_of("other/home/.local/state"), 1);
    _place_ struct place chosen = choose("other/home");
    assert_in(path_of("other/home/.local/state/snapctl"), &chosen);
    assert_true(chosen.inside);
    assert_true(chosen.same_file_system);
}

static void a_relative_path_is_refused(void **state) {
    (void)state;
    struct place chosen = {0};
    assert_int_equal(place_choose("project", &chosen, NULL), -EINVAL);
    assert_null(chosen.path);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(the_state_directory_is_taken_on_the_same_file_system), CASE(every_path_has_a_name_of_its_own),
        CASE(odd_names_make_plain_ones), CASE(the_top_of_another_file_system_is_taken), CASE(a_trap_at_the_top_is_passed_by),
        CASE(a_directory_that_others_may_enter_is_passed_by), CASE(a_directory_of_somebody_else_is_passed_by),
        CASE(the_root_of_a_mount_holds_its_own_store), CASE(where_nothing_fits_the_state_directory_is_taken_from_afar),
        CASE(a_state_directory_in_the_project_is_avoided),
        CASE(a_state_directory_in_the_project_is_taken_if_nothing_else_is), CASE(a_relative_path_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
