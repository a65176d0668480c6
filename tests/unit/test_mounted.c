/* mounted: records of running mounts, and the end of the process behind one. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fs.h"
#include "mounted.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct snap_err err;
#define OK(call) do { int r_ = (call); if (r_ < 0) fail_msg("%s: %d, %s", #call, r_, err.message); } while (0)

struct fixture { char path[64]; struct store *store; };

static int setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    strcpy(fixture->path, "/tmp/test_mounted.XXXXXX");
    assert_non_null(mkdtemp(fixture->path));
    strcat(fixture->path, "/store");
    OK(store_create(fixture->path, &err));
    OK(store_open(fixture->path, &fixture->store, &err));
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    store_close(fixture->store);
    *strrchr(fixture->path, '/') = '\0';
    OK(fs_remove_tree(AT_FDCWD, fixture->path));
    free(fixture);
    return 0;
}

struct seen { int count; struct mounted last; char dir[256]; };

static int see(void *data, const struct mounted *mounted) {
    struct seen *seen = data;
    seen->count++;
    seen->last = *mounted;
    snprintf(seen->dir, sizeof(seen->dir), "%s", mounted->dir);
    return 0;
}

static struct seen look(struct fixture *fixture) {
    struct seen seen = {0};
    OK(mounted_list(fixture->store, see, &seen, &err));
    return seen;
}

static int begin(struct fixture *fixture, const char *dir, int64_t snapshot, struct mounted *ret) {
    int fd = -1;
    *ret = (struct mounted){ .snapshot = snapshot, .dir = strdup(dir) };
    OK(mounted_begin(fixture->store, ret, &fd, &err));
    return fd;
}

/* A process that has a mount, and ends when the returned descriptor is closed, cleanly or not. */
static int start(struct fixture *fixture, bool clean, pid_t *ret) {
    int end[2], begun[2];
    char byte = 0;
    assert_return_code(pipe2(end, O_CLOEXEC), errno);
    assert_return_code(pipe2(begun, O_CLOEXEC), errno);
    *ret = fork();
    if (*ret == 0) {
        _mounted_ struct mounted mounted;
        int fd = begin(fixture, "/mnt/a b\n", 3, &mounted);
        close(end[1]);
        if (write(begun[1], &byte, 1) != 1 || read(end[0], &byte, 1) != 0)
            _exit(1);
        if (clean)
            mounted_end(fixture->store, &mounted, fd);
        _exit(0);
    }
    close(end[0]);
    assert_int_equal(read(begun[0], &byte, 1), 1);
    close(begun[0]);
    close(begun[1]);
    return end[1];
}

static void without_mounts_nothing_is_listed(void **state) {
    assert_int_equal(look(*state).count, 0);
}

static void a_record_says_what_where_and_by_whom(void **state) {
    struct fixture *fixture = *state;
    pid_t child;
    int end = start(fixture, true, &child);
    struct seen seen = look(fixture);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.last.snapshot, 3);
    assert_int_equal(seen.last.workspace, 0);
    assert_int_equal(seen.last.pid, child);
    assert_true(seen.last.served);
    assert_true(seen.last.since.tv_sec > 1000000000);
    assert_string_equal(seen.dir, "/mnt/a b\n");
    OK(mounted_forget(fixture->store, seen.last.id, &err));
    assert_int_equal(look(fixture).count, 1);
    close(end);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(look(fixture).count, 0);
}

static void waiting_ends_with_the_process(void **state) {
    for (int clean = 0; clean < 2; clean++) {
        struct fixture *fixture = *state;
        pid_t child, waiter;
        int end = start(fixture, clean, &child), status;
        struct seen seen = look(fixture);
        _buf_ struct buf path = {0};
        assert_int_equal(mounted_path(fixture->store, seen.last.id, &path), 0);
        waiter = fork();
        if (waiter == 0) {
            close(end);
            _exit(mounted_wait(path.data, NULL, &err) == 0 && look(fixture).count == 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(waiter, &status, WNOHANG), 0);
        close(end);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_int_equal(waitpid(waiter, &status, 0), waiter);
        assert_int_equal(status, 0);
    }
}

static void what_a_killed_process_left_is_told_and_forgotten(void **state) {
    struct fixture *fixture = *state;
    pid_t child;
    int end = start(fixture, true, &child);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    struct seen seen = look(fixture);
    assert_int_equal(seen.count, 1);
    assert_false(seen.last.served);
    struct mounted next;
    int fd = begin(fixture, "/mnt/b", 4, &next);
    assert_true(next.id != seen.last.id);
    mounted_end(fixture->store, &next, fd);
    mounted_done(&next);
    OK(mounted_forget(fixture->store, seen.last.id, &err));
    assert_int_equal(look(fixture).count, 0);
    close(end);
}

static void a_log_with_something_in_it_stays(void **state) {
    struct fixture *fixture = *state;
    for (int written = 0; written < 2; written++) {
        _mounted_ struct mounted mounted;
        struct stat stat;
        int fd = begin(fixture, "/mnt", 1, &mounted);
        _close_ int log = mounted_log(fixture->store, mounted.id, &err);
        OK(log);
        if (written)
            assert_int_equal(write(log, "x", 1), 1);
        mounted_end(fixture->store, &mounted, fd);
        assert_int_equal(fstatat(store_run_fd(fixture->store), "mounts/1.log", &stat, 0), written ? 0 : -1);
    }
}

static void what_is_no_record_is_not_waited_for(void **state) {
    (void)state;
    assert_int_equal(mounted_wait("", NULL, &err), 0);
    assert_int_equal(mounted_wait("snapctl", NULL, &err), 0);
    assert_int_equal(mounted_wait("/nowhere/mounts/1", NULL, &err), 0);
    assert_int_equal(mounted_wait("/etc/passwd", NULL, &err), 0);
    assert_int_equal(mounted_wait("/tmp/mounts/x", NULL, &err), 0);
}

static void a_record_that_makes_no_sense_is_passed_over(void **state) {
    struct fixture *fixture = *state;
    int run = store_run_fd(fixture->store);
    assert_return_code(mkdirat(run, "mounts", 0700), errno);
    _close_ int fd = openat(run, "mounts/7", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "snapshot x\n", 11), 11);
    assert_return_code(mkdirat(run, "mounts/8", 0700), errno);
    assert_int_equal(look(fixture).count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(without_mounts_nothing_is_listed),
        TEST(a_record_says_what_where_and_by_whom),
        TEST(waiting_ends_with_the_process),
        TEST(what_a_killed_process_left_is_told_and_forgotten),
        TEST(a_log_with_something_in_it_stays),
        TEST(what_is_no_record_is_not_waited_for),
        TEST(a_record_that_makes_no_sense_is_passed_over),
    };
    return cmocka_run_group_tests_name("mounted", tests, NULL, NULL);
}
