/* The registry: rows found by identity and path, kept whole under concurrent writers and foreign lines.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cleanup.h"
#include "fs.h"
#include "identity.h"
#include "registry.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

static char place[64], state_dir[80];
static int fd = -1;

static int setup(void **state) {
    (void)state;
    strcpy(place, "/tmp/snapctl-registry-XXXXXX");
    assert_non_null(mkdtemp(place));
    snprintf(state_dir, sizeof(state_dir), "%s/deep/state", place);
    fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0;
}

static int teardown(void **state) {
    (void)state;
    fd = fd_close(fd);
    return fs_remove_tree(AT_FDCWD, place);
}

static char *path_of(const char *name) {
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", place, name) > 0);
    return path;
}

static char *identity_at(const char *path) {
    char *identity = NULL;
    _close_ int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(identity_of(dir, &identity, NULL), 0);
    return identity;
}

/* Makes the directory and registers it with this store. */
static void enrol(const char *name, const char *store) {
    struct snap_err err = {0};
    _free_ char *path = path_of(name);
    assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
    _free_ char *identity = identity_at(path);
    struct registration row = { .path = path, .identity = identity, .store = (char *)store };
    if (registry_put(state_dir, &row, &err) < 0)
        fail_msg("%s", err.message);
}

static int find(const char *name, char **ret_store) {
    _cleanup_(registration_done) struct registration row = {0};
    struct snap_err err = {0};
    _free_ char *path = path_of(name), *identity = identity_at(path);
    int found = registry_find(state_dir, path, identity, &row, &err);
    if (found < 0)
        fail_msg("%s", err.message);
    if (found && ret_store)
        *ret_store = strdup(row.store);
    return found;
}

static int walk(const char *name, char **ret_root) {
    _cleanup_(registration_done) struct registration row = {0};
    _free_ char *path = path_of(name);
    return registry_walk_up(state_dir, path, ret_root, &row, NULL);
}

static void make(const char *name) {
    assert_return_code(mkdirat(fd, name, 0755), errno);
}

static void nothing_is_found_before_anything_is_registered(void **state) {
    (void)state;
    _free_ char *root = NULL;
    assert_int_equal(find(".", NULL), REGISTRY_NONE);
    assert_int_equal(walk("", &root), REGISTRY_NONE);
}

static void a_registered_directory_is_the_same(void **state) {
    (void)state;
    _free_ char *store = NULL;
    enrol("a b\n\xff=#", "/stores/\\1 =");
    enrol("other", "/stores/2");
    assert_int_equal(find("a b\n\xff=#", &store), REGISTRY_SAME);
    assert_string_equal(store, "/stores/\\1 =");
}

static void a_renamed_directory_was_moved(void **state) {
    (void)state;
    _free_ char *store = NULL;
    enrol("old", "/stores/1");
    assert_return_code(renameat(fd, "old", fd, "new"), errno);
    assert_int_equal(find("new", &store), REGISTRY_MOVED);
    assert_string_equal(store, "/stores/1");
}

static void a_new_directory_at_an_old_path_replaced_it(void **state) {
    (void)state;
    enrol("a", "/stores/1");
    assert_return_code(renameat(fd, "a", fd, "b"), errno);
    make("a");
    assert_int_equal(find("a", NULL), REGISTRY_REPLACED);
    assert_int_equal(find("b", NULL), REGISTRY_MOVED);
}

static void a_project_moved_over_another_stays_itself(void **state) {
    (void)state;
    _free_ char *store = NULL;
    enrol("a", "/stores/1");
    enrol("b", "/stores/2");
    assert_return_code(renameat(fd, "a", fd, "b"), errno);
    assert_int_equal(find("b", &store), REGISTRY_MOVED);
    assert_string_equal(store, "/stores/1");
}

static void a_copy_is_not_the_project(void **state) {
    (void)state;
    enrol("a", "/stores/1");
    make("copy");
    assert_int_equal(find("copy", NULL), REGISTRY_NONE);
}

static void a_bind_mount_is_the_same_project(void **state) {
    (void)state;
    _free_ char *a = path_of("a"), *b = path_of("b");
    enrol("a", "/stores/1");
    make("b");
    if (mount(a, b, NULL, MS_BIND, NULL) < 0) {
        print_message("skipped: nothing can be mounted here: %s\n", strerror(errno));
        skip();
    }
    int found = find("b", NULL);
    assert_return_code(umount2(b, MNT_DETACH), errno);
    assert_int_equal(found, REGISTRY_ALIAS);
}

static void the_innermost_project_is_found_from_below(void **state) {
    (void)state;
    _free_ char *root = NULL, *inner = path_of("out/in"), *outer_root = NULL, *outer = path_of("out");
    enrol("out", "/stores/1");
    enrol("out/in", "/stores/2");
    make("out/in/deep");
    make("out/in/deep/er");
    make("out/beside");
    assert_int_equal(walk("out/in/deep/er", &root), REGISTRY_SAME);
    assert_string_equal(root, inner);
    assert_int_equal(walk("out/beside", &outer_root), REGISTRY_SAME);
    assert_string_equal(outer_root, outer);
    assert_int_equal(walk("", &outer_root), REGISTRY_NONE);
}

static void a_store_has_one_row(void **state) {
    (void)state;
    enrol("a", "/stores/1");
    enrol("b", "/stores/1");
    assert_int_equal(find("a", NULL), REGISTRY_NONE);
    assert_int_equal(find("b", NULL), REGISTRY_SAME);
}

static void a_directory_has_one_row(void **state) {
    (void)state;
    _free_ char *store = NULL;
    enrol("a", "/stores/1");
    enrol("a", "/stores/2");
    assert_int_equal(find("a", &store), REGISTRY_SAME);
    assert_string_equal(store, "/stores/2");
}

static void lines_of_another_kind_are_passed_by_and_kept(void **state) {
    (void)state;
    static const char text[] = "# a comment\nstore=/x path=/y identity=z more=1\nstore=relative path=/y identity=z\n"
        "store=/x path=/y\n\n\\\\\\ \xff\nstore=/x\\000 path=/y identity=z\nno newline at the end";
    _buf_ struct buf after = {0};
    make("deep");
    make("deep/state");
    assert_int_equal(fs_replace_file(fd, "projects", text, sizeof(text) - 1, 0600), 0);
    assert_return_code(renameat(fd, "projects", fd, "deep/state/projects"), errno);
    enrol("a", "/stores/1");
    assert_int_equal(find("a", NULL), REGISTRY_SAME);
    _close_ int dir = openat(fd, "deep/state", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fs_read_file(dir, "projects", 1 << 20, &after), 0);
    assert_memory_equal(after.data, text, sizeof(text) - 1);
    assert_int_equal(after.data[sizeof(text) - 1], '\n');
}

static void a_registry_that_is_a_link_is_refused(void **state) {
    (void)state;
    struct snap_err err = {0};
    struct registration row = {0};
    make("deep");
    make("deep/state");
    assert_return_code(symlinkat("/etc/passwd", fd, "deep/state/projects"), errno);
    assert_true(registry_find(state_dir, "/", "x", &row, &err) < 0);
    assert_non_null(strstr(err.message, "registry"));
}

static void writers_at_once_lose_nothing(void **state) {
    (void)state;
    enum { WRITERS = 8, ROWS = 10 };
    for (int i = 0; i < WRITERS; i++) {
        pid_t child = fork();
        if (child > 0)
            continue;
        for (int j = 0; j < ROWS; j++) {
            char path[32], store[32];
            snprintf(path, sizeof(path), "/p/%d/%d", i, j);
            snprintf(store, sizeof(store), "/s/%d/%d", i, j);
            if (registry_put(state_dir, &(struct registration){ path, store, store }, NULL) < 0)
                _exit(1);
        }
        _exit(0);
    }
    for (int i = 0, status = 0; i < WRITERS; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    for (int i = 0; i < WRITERS * ROWS; i++) {
        char path[32], store[32];
        _cleanup_(registration_done) struct registration row = {0};
        snprintf(path, sizeof(path), "/p/%d/%d", i / ROWS, i % ROWS);
        snprintf(store, sizeof(store), "/s/%d/%d", i / ROWS, i % ROWS);
        assert_int_equal(registry_find(state_dir, path, store, &row, NULL), REGISTRY_SAME);
        assert_string_equal(row.store, store);
    }
}

static void the_state_directory_follows_the_environment(void **state) {
    (void)state;
    _free_ char *dir = NULL, *fallback = NULL, *other = NULL;
    setenv("XDG_STATE_HOME", "/somewhere", 1);
    assert_int_equal(registry_state_dir(geteuid(), &dir, NULL), 0);
    assert_string_equal(dir, "/somewhere/snapctl");
    setenv("XDG_STATE_HOME", "relative", 1);
    setenv("HOME", "/home/x", 1);
    assert_int_equal(registry_state_dir(geteuid(), &fallback, NULL), 0);
    assert_string_equal(fallback, "/home/x/.local/state/snapctl");
    unsetenv("XDG_STATE_HOME");
    if (geteuid() != 0) {
        assert_int_equal(registry_state_dir(0, &other, NULL), 0);
        assert_string_equal(other, "/root/.local/state/snapctl");
    }
}

static void another_users_registry_is_not_written(void **state) {
    (void)state;
    struct snap_err err = {0};
    if (geteuid() != 0) {
        print_message("skipped: needs root to give a directory away\n");
        skip();
    }
    make("deep");
    make("deep/state");
    assert_return_code(fchownat(fd, "deep/state", 65534, 65534, 0), errno);
    assert_int_equal(registry_put(state_dir, &(struct registration){ (char *)"/p", (char *)"i", (char *)"/s" }, &err), -EPERM);
    assert_int_equal(faccessat(fd, "deep/state/projects.lock", F_OK, 0), -1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(nothing_is_found_before_anything_is_registered), CASE(a_registered_directory_is_the_same),
        CASE(a_renamed_directory_was_moved), CASE(a_new_directory_at_an_old_path_replaced_it),
        CASE(a_project_moved_over_another_stays_itself), CASE(a_copy_is_not_the_project), CASE(a_bind_mount_is_the_same_project),
        CASE(the_innermost_project_is_found_from_below), CASE(a_store_has_one_row), CASE(a_directory_has_one_row),
        CASE(lines_of_another_kind_are_passed_by_and_kept), CASE(a_registry_that_is_a_link_is_refused),
        CASE(writers_at_once_lose_nothing), CASE(the_state_directory_follows_the_environment),
        CASE(another_users_registry_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
