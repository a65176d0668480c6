/* Readers of a snapshot that another process removes and frees at that moment get what it showed, or are told that it was removed:
 * never anything else, and never that the store is damaged. The other process acts at named points, not after a while.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fs.h"
#include "hook.h"
#include "snapctl.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

static char base[64];
static int other = -1;                    /* to the other process */
static pid_t other_pid;

static struct snap_env env_of(const char *dir, const char *store) {
    static char paths[2][96];
    (void)snprintf(paths[0], sizeof(paths[0]), "%s/%s", base, dir);
    (void)snprintf(paths[1], sizeof(paths[1]), "%s/%s", base, store);
    return (struct snap_env){ .dir = paths[0], .store = paths[1], .command = "test" };
}

/* The other process. 'g': removes snapshot 1 and frees it; answers with how many were freed, or '!'. 'f': frees what is removed or
 * automatic, and stops when it has chosen, until it gets another byte. */

static int chosen(const char *point, const char *what) {
    char byte;
    (void)what;
    if (strcmp(point, "gc.chosen") != 0)
        return 0;
    return write(other, "c", 1) == 1 && read(other, &byte, 1) == 1 ? 0 : -EIO;
}

static char obey(char order) {
    const struct snap_env env = env_of("project", "store");
    struct snap_err err = {0};
    struct snap_project *project = NULL;
    struct snap_remove_result removed;
    struct snap_gc_result freed = {0};
    int r = snap_project_open(&env, SNAP_OPEN_WRITE, &project, &err);
    if (r == 0 && order == 'g')
        r = snap_remove(project, (const char *const[]){ "1", NULL }, NULL, NULL, &removed, &err);
    hook_function = order == 'f' ? chosen : NULL;
    if (r == 0)
        r = snap_gc(project, true, &freed, &err);
    hook_function = NULL;
    snap_project_close(project);
    if (r < 0)
        print_error("the other process: %s\n", err.message);
    return r < 0 ? '!' : (char)('0' + freed.snapshots);
}

static void serve(void) {
    for (char order; read(other, &order, 1) == 1;) {
        char answer = obey(order);
        if (write(other, &answer, 1) != 1)
            break;
    }
    _exit(0);
}

static char ask(char order) {
    char answer;
    assert_int_equal(write(other, &order, 1), 1);
    assert_int_equal(read(other, &answer, 1), 1);
    return answer;
}

/* A project with two snapshots and one made by a rollback. */

static void write_text(const char *path, const char *text) {
    char whole[128];
    (void)snprintf(whole, sizeof(whole), "%s/project/%s", base, path);
    FILE *file = fopen(whole, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void take(struct snap_project *project) {
    struct snap_take_options options = { .no_sync = true };
    struct snap_take_result result;
    struct snap_err err = {0};
    if (snap_take(project, &options, &result, &err) < 0)
        fail_msg("%s", err.message);
}

static void make_snapshots(void) {
    const struct snap_env env = env_of("project", "store");
    struct snap_err err = {0};
    struct snap_project *project = NULL;
    struct snap_rollback_options back = { .to = "1" };
    struct snap_rollback_result result;
    if (snap_project_init(&env, SNAP_INIT_FORCE, &project, &err) < 0)
        fail_msg("%s", err.message);
    write_text("a", "one\n");
    write_text("dir/b", "inside\n");
    take(project);
    write_text("a", "two\n");
    write_text("dir/b", "other\n");
    take(project);
    write_text("a", "three\n");
    if (snap_rollback(project, &back, NULL, NULL, &result, &err) < 0)
        fail_msg("%s", err.message);
    write_text("a", "four\n");
    write_text("dir/b", "four\n");
    take(project);
    snap_project_close(project);
}

/* The other process is there before any database is open: none survives a fork. */
static int setup(void **state) {
    int ends[2];
    char path[96];
    (void)state;
    strcpy(base, "/tmp/test_reading.XXXXXX");
    if (!mkdtemp(base) || setenv("XDG_STATE_HOME", base, 1) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/project", base);
    if (mkdir(path, 0755) < 0)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/project/dir", base);
    if (mkdir(path, 0755) < 0)
        return -1;
    other_pid = fork();
    other = ends[other_pid == 0];
    fd_close(ends[other_pid != 0]);
    if (other_pid == 0)
        serve();
    make_snapshots();
    return other_pid < 0 ? -1 : 0;
}

static int teardown(void **state) {
    (void)state;
    hook_function = NULL;
    other = fd_close(other);
    if (waitpid(other_pid, NULL, 0) != other_pid)
        return -1;
    return fs_remove_tree(AT_FDCWD, base);
}

/* What readers do, as one text. */

static int add_entry(void *data, const char *path, const struct snap_entry *entry) {
    buf_fmt(data, "%s %o %llu\n", path, entry->mode, (unsigned long long)entry->size);
    return 0;
}

static int add_change(void *data, const struct snap_change *change) {
    buf_fmt(data, "%c %s\n%.*s", change->letter, change->path, (int)change->patch_size, change->patch ? change->patch : "");
    return 0;
}

static int add_file(int fd, struct buf *out) {
    return lseek(fd, 0, SEEK_SET) < 0 ? -errno : fs_read_all(fd, SIZE_MAX, out);
}

static int do_cat(struct snap_project *project, struct buf *out, struct snap_err *err) {
    _close_ int fd = memfd_create("cat", MFD_CLOEXEC);
    int r = snap_cat(project, "1:a", fd, err);
    return r < 0 ? r : add_file(fd, out);
}

static int do_list(struct snap_project *project, struct buf *out, struct snap_err *err) {
    return snap_list(project, "1", true, add_entry, out, err);
}

static int do_show(struct snap_project *project, struct buf *out, struct snap_err *err) {
    struct snap_snapshot *snapshot = NULL;
    struct snap_counts counts;
    int r = snap_show(project, "1", &snapshot, &counts, err);
    if (r == 0)
        buf_fmt(out, "%llu %llu %llu\n", (unsigned long long)counts.files, (unsigned long long)counts.directories, (unsigned long long)counts.bytes);
    snap_snapshot_free(snapshot);
    return r;
}

static int do_diff(struct snap_project *project, struct buf *out, struct snap_err *err) {
    struct snap_diff_options options = { .from = "1", .to = "2", .patch = true };
    struct snap_diff_result result;
    return snap_diff(project, &options, add_change, out, &result, err);
}

static int do_diff_with_project(struct snap_project *project, struct buf *out, struct snap_err *err) {
    struct snap_diff_options options = { .from = "1", .patch = true };
    struct snap_diff_result result;
    return snap_diff(project, &options, add_change, out, &result, err);
}

static int do_export(struct snap_project *project, struct buf *out, struct snap_err *err) {
    _close_ int fd = memfd_create("export", MFD_CLOEXEC);
    struct snap_export_options options = { .snapshot = "1", .fd = fd };
    struct snap_export_result result;
    int r = snap_export(project, &options, &result, err);
    return r < 0 ? r : add_file(fd, out);
}

typedef int (*reader_fn)(struct snap_project *project, struct buf *out, struct snap_err *err);

static struct { const char *at; char order, answer; bool pins; } plan;

static int act(const char *point, const char *what) {
    (void)what;
    if (!plan.pins && strcmp(point, "reading.pin") == 0)
        return -EROFS;
    if (plan.at && strcmp(point, plan.at) == 0) {
        plan.at = NULL;
        plan.answer = ask(plan.order);
    }
    return 0;
}

static int read_by(reader_fn reader, struct buf *out, struct snap_err *err) {
    const struct snap_env env = env_of("project", "store");
    struct snap_project *project = NULL;
    int r = snap_project_open(&env, SNAP_OPEN_READ, &project, err);
    hook_function = act;
    if (r == 0)
        r = reader(project, out, err);
    hook_function = NULL;
    snap_project_close(project);
    return r;
}

enum outcome { REFUSED, SHOWN, EITHER };

/* Snapshot 1 is removed and freed at the point, as far as it can be. */
static void expect(void **state, reader_fn reader, const char *point, bool pins, enum outcome outcome, char answer) {
    _buf_ struct buf right = {0}, got = {0};
    struct snap_err err = {0};
    assert_int_equal(setup(state), 0);
    plan.at = NULL;
    plan.pins = true;
    if (read_by(reader, &right, &err) < 0)
        fail_msg("%s", err.message);
    plan.at = point;
    plan.order = 'g';
    plan.pins = pins;
    int r = read_by(reader, &got, &err);
    assert_null(plan.at);
    assert_int_equal(plan.answer, answer);
    if (r < 0 && (outcome == SHOWN || !(strstr(err.message, "removed") || strstr(err.message, "there is no snapshot")) || err.failure != SNAP_FAILURE_GENERIC))
        fail_msg("at %s: %s", point, err.message);
    if (r == 0 && (outcome == REFUSED || got.size != right.size || memcmp(got.data, right.data, got.size) != 0))
        fail_msg("at %s: got %.*s", point, (int)got.size, got.data);
    assert_int_equal(teardown(state), 0);
}

static const reader_fn readers[] = { do_cat, do_list, do_show, do_diff, do_diff_with_project, do_export };

static void what_was_freed_before_it_was_pinned_is_not_found(void **state) {
    for (size_t i = 0; i < ELEMENTS(readers); i++)
        expect(state, readers[i], "catalog.found", true, REFUSED, '2');
}

static void what_is_pinned_is_not_freed(void **state) {
    for (size_t i = 0; i < ELEMENTS(readers); i++) {
        expect(state, readers[i], "catalog.held", true, SHOWN, '1');
        expect(state, readers[i], "reading.begun", true, SHOWN, '1');
    }
}

static void where_nothing_can_be_pinned_what_was_freed_is_said_to_be_removed(void **state) {
    for (size_t i = 0; i < ELEMENTS(readers); i++) {
        expect(state, readers[i], "catalog.held", false, REFUSED, '2');
        expect(state, readers[i], "reading.begun", false, EITHER, '2');
    }
}

/* While gc has chosen what it frees and has not freed it yet. */
static void what_a_running_gc_does_not_free_can_be_read_and_is_pinned(void **state) {
    const struct snap_env env = env_of("project", "store");
    struct snap_project *project = NULL;
    struct snap_err err = {0};
    _buf_ struct buf got = {0};
    char answer;
    (void)state;
    assert_int_equal(ask('f'), 'c');
    assert_int_equal(snap_project_open(&env, SNAP_OPEN_READ, &project, &err), 0);
    assert_int_equal(do_cat(project, &got, &err), 0);
    assert_memory_equal(got.data, "one\n", 4);
    assert_int_equal(snap_cat(project, "3:a", other, &err), -EBUSY);
    assert_int_equal(write(other, "c", 1), 1);
    assert_int_equal(read(other, &answer, 1), 1);
    assert_int_equal(answer, '1');
    assert_int_equal(ask('g'), '0');
    assert_int_equal(do_cat(project, &got, &err), -ENOENT);       /* removed, and there for those who have it alone */
    snap_project_close(project);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_freed_before_it_was_pinned_is_not_found),
        cmocka_unit_test(what_is_pinned_is_not_freed),
        cmocka_unit_test(where_nothing_can_be_pinned_what_was_freed_is_said_to_be_removed),
        cmocka_unit_test_setup_teardown(what_a_running_gc_does_not_free_can_be_read_and_is_pinned, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
