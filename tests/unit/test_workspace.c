/* workspace: rows of workspaces, the names that they share with snapshots, and their directories.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "db.h"
#include "fs.h"
#include "index.h"
#include "workspace.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct snap_err err;
#define OK(call) do { int r_ = (call); if (r_ < 0) fail_msg("%s: %d, %s", #call, r_, err.message); } while (0)

struct fixture { char path[64]; struct store *store; };

static int setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    strcpy(fixture->path, "/tmp/test_workspace.XXXXXX");
    assert_non_null(mkdtemp(fixture->path));
    strcat(fixture->path, "/store");
    OK(store_create(fixture->path, &err));
    OK(store_open(fixture->path, &fixture->store, &err));
    OK(store_lock(fixture->store, STORE_LOCK_TRY, "test", NULL, &err));
    OK(store_begin(fixture->store, &err));
    struct snapshot row = { .line = INDEX_PROJECT_LINE, .layer = 1, .public = { .number = 1, .name = "good" } };
    OK(index_add_snapshot(fixture->store, &row, &err));
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    store_abort(fixture->store);
    store_close(fixture->store);
    *strrchr(fixture->path, '/') = '\0';
    OK(fs_remove_tree(AT_FDCWD, fixture->path));
    free(fixture);
    return 0;
}

static int add(struct fixture *fixture, const char *name, int64_t base, struct workspace *ret) {
    *ret = (struct workspace){ .name = (char *)(uintptr_t)name, .follow = !base, .base = base, .dir = (char *)(uintptr_t)"/mnt/\xff",
                               .created = { 1700000000, 5 } };
    return workspace_add(fixture->store, ret, &err);
}

static void a_workspace_comes_back_as_it_was_added(void **state) {
    struct fixture *fixture = *state;
    struct workspace added, other;
    OK(add(fixture, "try", 1, &added));
    OK(add(fixture, "live", 0, &other));
    assert_true(added.line > INDEX_PROJECT_LINE && other.line > added.line && other.id > added.id);
    _workspace_ struct workspace *got = NULL, *live = NULL;
    assert_int_equal(workspace_named(fixture->store, "try", &got, &err), 1);
    assert_int_equal(got->id, added.id);
    assert_int_equal(got->line, added.line);
    assert_int_equal(got->base, 1);
    assert_false(got->follow);
    assert_string_equal(got->dir, "/mnt/\xff");
    assert_int_equal(got->created.tv_nsec, 5);
    assert_int_equal(workspace_get(fixture->store, other.id, &live, &err), 1);
    assert_true(live->follow);
    assert_int_equal(live->base, 0);
    OK(workspace_set_dir(fixture->store, other.id, "/elsewhere", &err));
    live = workspace_free(live);
    assert_int_equal(workspace_named(fixture->store, "live", &live, &err), 1);
    assert_string_equal(live->dir, "/elsewhere");
    assert_int_equal(add(fixture, "none", 7, &added), -ENOENT);
}

static void its_line_shows_what_it_stands_on(void **state) {
    struct fixture *fixture = *state;
    struct workspace added;
    struct object root = { .id = 1, .dir = INDEX_ROOT, .meta = { .mode = S_IFDIR | 0755 } };
    OK(index_add_object(fixture->store, &root, &err));
    OK(index_born(fixture->store, INDEX_PROJECT_LINE, 1, 0, "", &root, &err));
    OK(add(fixture, "try", 1, &added));
    _object_ struct object *got = NULL;
    assert_int_equal(index_lookup(fixture->store, index_newest(added.line), 0, "", &got, &err), 1);
    assert_int_equal(got->id, 1);
}

static void names_are_shared_with_snapshots(void **state) {
    struct fixture *fixture = *state;
    struct workspace added;
    assert_int_equal(add(fixture, "good", 1, &added), -EEXIST);
    OK(add(fixture, "try", 1, &added));
    assert_int_equal(add(fixture, "try", 0, &added), -EEXIST);
    assert_int_equal(index_change_snapshot(fixture->store, 1, "try", 0, 0, &err), -EEXIST);
    assert_string_equal(err.message, "a workspace already has this name");
}

static int count(void *data, const struct workspace *workspace) {
    (void)workspace;
    ++*(int *)data;
    return 0;
}

static void a_removed_one_gives_its_name_away_and_can_come_back(void **state) {
    struct fixture *fixture = *state;
    struct workspace added, other;
    int listed = 0;
    OK(add(fixture, "try", 1, &added));
    OK(workspace_hide(fixture->store, added.id, &err));
    _workspace_ struct workspace *got = NULL;
    assert_int_equal(workspace_named(fixture->store, "try", &got, &err), 0);
    OK(workspace_list(fixture->store, count, &listed, &err));
    assert_int_equal(listed, 0);
    assert_int_equal(workspace_get(fixture->store, added.id, &got, &err), 1);
    assert_int_equal(got->flags, WORKSPACE_REMOVED);
    assert_null(got->name);
    OK(add(fixture, "try", 1, &other));
    assert_int_equal(workspace_show(fixture->store, added.id, "try", &err), -EEXIST);
    OK(workspace_forget(fixture->store, other.id, &err));
    OK(workspace_show(fixture->store, added.id, "try", &err));
    OK(workspace_list(fixture->store, count, &listed, &err));
    assert_int_equal(listed, 1);
}

static void one_process_at_a_time_holds_it(void **state) {
    struct fixture *fixture = *state;
    struct workspace added;
    struct workspace_dirs dirs;
    struct stat stat;
    OK(add(fixture, "try", 1, &added));
    OK(workspace_open(fixture->store, added.id, &dirs, &err));
    assert_int_equal(workspace_is_locked(fixture->store, added.id, &err), 0);
    OK(workspace_lock(&dirs));
    assert_int_equal(workspace_is_locked(fixture->store, added.id, &err), 1);
    assert_int_equal(fstat(dirs.at, &stat), 0);
    assert_int_equal(stat.st_mode & 07777, 0700);
    assert_return_code(mkdirat(dirs.upper, "x", 0700), errno);
    workspace_close(&dirs);
    assert_int_equal(workspace_is_locked(fixture->store, added.id, &err), 0);
    OK(workspace_unlink(fixture->store, added.id, &err));
    OK(workspace_unlink(fixture->store, added.id, &err));
    assert_int_equal(fstatat(store_fd(fixture->store), "workspaces/1", &stat, 0), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_workspace_comes_back_as_it_was_added),
        TEST(its_line_shows_what_it_stands_on),
        TEST(names_are_shared_with_snapshots),
        TEST(a_removed_one_gives_its_name_away_and_can_come_back),
        TEST(one_process_at_a_time_holds_it),
    };
    return cmocka_run_group_tests_name("workspace", tests, NULL, NULL);
}
