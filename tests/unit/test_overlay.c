/* The overlay through its door: races forced at named points, descriptors, identity, threads.
 * Trees and results are compared with what is right in tests/overlay. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "cleanup.h"
#include "fs.h"
#include "hook.h"
#include "overlay.h"
#include "tempdir.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* A lower tree, a current layer and an overlay of both in the test's directory. */
static struct overlay *overlay;
static int lower, upper, work;
static unsigned flags;
static struct overlay_caller caller;

static int room(void **state, const char *name) {
    int temp = tempdir_at(state);
    if (mkdirat(temp, name, 0755) < 0)
        assert_int_equal(errno, EEXIST);
    int fd = openat(temp, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void write_lower(const char *path, const char *text) {
    _close_ int fd = openat(lower, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

static void open_overlay(void) {
    struct snap_err err = {0};
    struct lower *tree = NULL;
    assert_int_equal(lower_layer_open(lower, true, &tree), 0);
    const struct overlay_options options = { .upper = upper, .work = work, .lowers = &tree, .lower_count = 1, .flags = flags };
    assert_int_equal(overlay_open(&options, &overlay, &err), 0);
}

static int setup(void **state) {
    assert_int_equal(tempdir_setup(state), 0);
    lower = room(state, "lower");
    upper = room(state, "upper");
    work = room(state, "work");
    caller = (struct overlay_caller){ .uid = geteuid(), .gid = getegid(), .umask = 022 };
    assert_int_equal(mkdirat(lower, "d", 0755), 0);
    write_lower("f", "lower");
    write_lower("d/g", "deep");
    write_lower("linked", "both");
    assert_int_equal(linkat(lower, "linked", lower, "d/other", 0), 0);
    flags = 0;
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

static void remount(void) {
    overlay = overlay_close(overlay);
    open_overlay();
}

static uint64_t look(uint64_t parent, const char *name) {
    struct overlay_entry entry;
    assert_int_equal(overlay_lookup(overlay, parent, name, &entry), 0);
    return entry.node;
}

static uint64_t top(const char *name) {
    return look(OVERLAY_ROOT, name);
}

static struct stat stat_of(uint64_t node) {
    struct overlay_entry entry;
    assert_int_equal(overlay_getattr(overlay, node, NULL, &entry), 0);
    return entry.stat;
}

static struct overlay_handle *open_node(uint64_t node, int how) {
    struct overlay_handle *handle = NULL;
    assert_int_equal(overlay_open_file(overlay, node, how, &handle), 0);
    return handle;
}

static int put(struct overlay_handle *handle, const char *text) {
    int fd = overlay_data_begin(handle, true);
    if (fd < 0)
        return fd;
    assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
    overlay_data_end(handle);
    return 0;
}

static void assert_reads(struct overlay_handle *handle, const char *text) {
    char got[64] = "";
    int fd = overlay_data_begin(handle, false);
    assert_true(fd >= 0);
    ssize_t size = pread(fd, got, sizeof(got) - 1, 0);
    overlay_data_end(handle);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static void assert_content(uint64_t parent, const char *name, const char *text) {
    uint64_t node = look(parent, name);
    struct overlay_handle *handle = open_node(node, O_RDONLY);
    assert_reads(handle, text);
    overlay_release(overlay, handle);
    overlay_forget(overlay, node, 1);
}

static int change_mode(uint64_t node, mode_t mode) {
    struct overlay_entry entry;
    return overlay_setattr(overlay, &caller, node, NULL, &(struct stat){ .st_mode = mode }, OVERLAY_SET_MODE, &entry);
}

static uint64_t copy_ups(void) {
    struct overlay_counters counters;
    overlay_counters(overlay, &counters);
    return counters.copy_ups;
}

static unsigned count_in(int dirfd, const char *path) {
    _close_ int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    DIR *dir = fdopendir(TAKE_FD(fd));
    unsigned count = 0;
    while (readdir(dir))
        count++;
    assert_int_equal(closedir(dir), 0);
    return count - 2;
}

static bool is_whiteout(const char *path) {
    struct stat stat;
    return fstatat(upper, path, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(stat.st_mode) && stat.st_rdev == 0;
}

/* What happens at a point, once. */
static const char *at_point;
static void (*happens)(void);

static int happen_once(const char *point, const char *what) {
    (void)what;
    if (!at_point || strcmp(point, at_point) != 0)
        return 0;
    at_point = NULL;
    happens();
    return 0;
}

static void when(const char *point, void (*what)(void)) {
    at_point = point;
    happens = what;
    hook_function = happen_once;
}

/* Races of one copy-up. */

static void unlink_f(void) {
    assert_int_equal(overlay_unlink(overlay, OVERLAY_ROOT, "f"), 0);
}

static void a_file_unlinked_while_it_is_copied_leaves_a_whiteout_and_nothing_else(void **state) {
    (void)state;
    uint64_t f = top("f");
    struct overlay_handle *handle = open_node(f, O_RDWR);
    when("copyup.copied", unlink_f);
    assert_int_equal(change_mode(f, 0600), 0);
    assert_true(is_whiteout("f"));
    assert_int_equal(count_in(upper, "."), 1);
    assert_int_equal(count_in(work, "work"), 0);
    assert_int_equal(put(handle, "still"), 0);
    assert_reads(handle, "still");
    struct stat stat = stat_of(f);
    assert_int_equal(stat.st_nlink, 0);
    assert_int_equal(stat.st_mode & 07777, 0600);
    overlay_release(overlay, handle);
}

static void write_new(void) {
    struct overlay_entry entry;
    struct overlay_handle *handle = NULL;
    assert_int_equal(overlay_create(overlay, &caller, OVERLAY_ROOT, "new", 0644, O_RDWR, &entry, &handle), 0);
    assert_int_equal(put(handle, "new"), 0);
    overlay_release(overlay, handle);
}

static void rename_new_over_f(void) {
    assert_int_equal(overlay_rename(overlay, OVERLAY_ROOT, "new", OVERLAY_ROOT, "f", 0), 0);
}

static void a_file_renamed_over_while_it_is_copied_is_not_put_back(void **state) {
    (void)state;
    uint64_t f = top("f");
    write_new();
    when("copyup.copied", rename_new_over_f);
    assert_int_equal(change_mode(f, 0600), 0);
    assert_content(OVERLAY_ROOT, "f", "new");
    assert_int_equal(count_in(upper, "."), 1);
    assert_int_equal(count_in(work, "work"), 0);
    assert_int_equal(stat_of(f).st_nlink, 0);
}

static void rename_d(void) {
    assert_int_equal(overlay_rename(overlay, OVERLAY_ROOT, "d", OVERLAY_ROOT, "e", 0), 0);
}

static void a_copy_lands_where_its_directory_was_renamed_to(void **state) {
    (void)state;
    uint64_t g = look(top("d"), "g");
    when("copyup.copied", rename_d);
    assert_int_equal(change_mode(g, 0600), 0);
    struct stat stat;
    assert_int_equal(fstatat(upper, "e/g", &stat, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(stat.st_mode & 07777, 0600);
    assert_true(is_whiteout("d"));
    assert_content(top("e"), "g", "deep");
}

static int expect_no_temporary(void *data, const struct overlay_name *name) {
    (void)data;
    assert_true(strcmp(name->name, "f") == 0 || strcmp(name->name, "d") == 0 || strcmp(name->name, "linked") == 0 || *name->name == '.');
    return 0;
}

static uint64_t number_before;

static void look_around(void) {
    struct overlay_handle *dir = NULL;
    assert_content(OVERLAY_ROOT, "f", "lower");
    assert_int_equal(stat_of(top("f")).st_ino, number_before);
    assert_int_equal(overlay_open_dir(overlay, OVERLAY_ROOT, &dir), 0);
    assert_int_equal(overlay_read_dir(dir, 0, expect_no_temporary, NULL), 0);
    overlay_release(overlay, dir);
}

static void nobody_waits_for_a_copy_or_sees_a_part_of_it(void **state) {
    (void)state;
    uint64_t f = top("f");
    number_before = stat_of(f).st_ino;
    when("copyup.copied", look_around);
    assert_int_equal(change_mode(f, 0600), 0);
    assert_null(at_point);
    assert_int_equal(stat_of(f).st_ino, number_before);
}

static void change_below(void) {
    write_lower("f", "changed below");
}

static void a_file_that_changes_below_is_copied_again(void **state) {
    (void)state;
    uint64_t f = top("f");
    when("copyup.copied", change_below);
    assert_int_equal(change_mode(f, 0600), 0);
    assert_null(at_point);
    assert_content(OVERLAY_ROOT, "f", "changed below");
}

static int change_always(const char *point, const char *what) {
    static unsigned count;
    char text[32];
    (void)what;
    (void)snprintf(text, sizeof(text), "number %u", count++);
    if (strcmp(point, "copyup.copied") == 0)
        write_lower("f", text);
    return 0;
}

static void a_file_that_never_holds_still_is_not_copied(void **state) {
    (void)state;
    uint64_t f = top("f");
    hook_function = change_always;
    assert_int_equal(change_mode(f, 0600), -EBUSY);
    assert_int_equal(count_in(upper, "."), 0);
    assert_int_equal(count_in(work, "work"), 0);
}

static void replace_below(void) {
    write_lower("g", "another");
    assert_int_equal(renameat(lower, "g", lower, "f"), 0);
}

static void a_file_replaced_below_while_it_is_copied_keeps_its_own_bytes_for_who_has_it_open(void **state) {
    (void)state;
    uint64_t f = top("f");
    struct overlay_handle *reader = open_node(f, O_RDONLY), *writer = open_node(f, O_RDWR);
    when("copyup.copied", replace_below);
    assert_int_equal(put(writer, "mine "), 0);
    assert_null(at_point);
    assert_reads(reader, "mine ");
    overlay_release(overlay, reader);
    overlay_release(overlay, writer);
    assert_content(OVERLAY_ROOT, "f", "another");
    assert_int_equal(count_in(upper, "."), 0);
}

/* Two at once. */

static atomic_uint begun;
static pthread_mutex_t gate_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_cond = PTHREAD_COND_INITIALIZER;
static bool gate_open, first_fails;

static int wait_at_gate(const char *point, const char *what) {
    (void)what;
    if (strcmp(point, "copyup.begin") != 0)
        return 0;
    bool first = atomic_fetch_add(&begun, 1) == 0;
    assert_int_equal(pthread_mutex_lock(&gate_mutex), 0);
    while (!gate_open)
        assert_int_equal(pthread_cond_wait(&gate_cond, &gate_mutex), 0);
    assert_int_equal(pthread_mutex_unlock(&gate_mutex), 0);
    return first && first_fails ? -ENOSPC : 0;
}

static void *chmod_f(void *data) {
    uint64_t f = *(uint64_t *)data;
    return (void *)(intptr_t)change_mode(f, 0600);
}

static void open_gate(void) {
    assert_int_equal(pthread_mutex_lock(&gate_mutex), 0);
    gate_open = true;
    assert_int_equal(pthread_cond_broadcast(&gate_cond), 0);
    assert_int_equal(pthread_mutex_unlock(&gate_mutex), 0);
}

static void two_copy_ups(int *ret_failed) {
    uint64_t f = top("f");
    pthread_t threads[2];
    void *results[2];
    gate_open = false;
    atomic_store(&begun, 0);
    hook_function = wait_at_gate;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, chmod_f, &f), 0);
    while (atomic_load(&begun) == 0)
        assert_int_equal(sched_yield(), 0);
    open_gate();
    *ret_failed = 0;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], &results[i]), 0);
        *ret_failed += (intptr_t)results[i] == -ENOSPC;
    }
    hook_function = NULL;
}

static void the_second_of_two_copy_ups_uses_the_first(void **state) {
    (void)state;
    int failed;
    first_fails = false;
    two_copy_ups(&failed);
    assert_int_equal(failed, 0);
    assert_int_equal(copy_ups(), 1);
    assert_int_equal(atomic_load(&begun), 1);
}

static void the_second_of_two_copy_ups_tries_itself_when_the_first_failed(void **state) {
    (void)state;
    int failed;
    first_fails = true;
    two_copy_ups(&failed);
    assert_int_equal(failed, 1);
    assert_int_equal(copy_ups(), 1);
    assert_int_equal(stat_of(top("f")).st_mode & 07777, 0600);
}

static void *rename_f(void *data) {
    (void)data;
    return (void *)(intptr_t)overlay_rename(overlay, OVERLAY_ROOT, "f", OVERLAY_ROOT, "g", 0);
}

static pthread_t renamer;

static void begin_rename(void) {
    assert_int_equal(pthread_create(&renamer, NULL, rename_f, NULL), 0);
}

static void a_copy_lands_under_the_name_that_the_file_gets_meanwhile(void **state) {
    (void)state;
    void *result;
    uint64_t f = top("f");
    when("copyup.copied", begin_rename);
    assert_int_equal(change_mode(f, 0600), 0);
    assert_int_equal(pthread_join(renamer, &result), 0);
    assert_int_equal((intptr_t)result, 0);
    assert_content(OVERLAY_ROOT, "g", "lower");
    assert_true(is_whiteout("f"));
    assert_int_equal(stat_of(top("g")).st_mode & 07777, 0600);
    assert_int_equal(copy_ups(), 1);
}

/* Descriptors. */

static void a_descriptor_opened_before_copy_up_sees_what_is_written_after(void **state) {
    (void)state;
    uint64_t f = top("f");
    struct overlay_handle *reader = open_node(f, O_RDONLY), *writer = open_node(f, O_RDWR);
    assert_reads(reader, "lower");
    assert_int_equal(overlay_is_settled(overlay, f), 0);
    assert_int_equal(copy_ups(), 0);
    assert_int_equal(put(writer, "upper"), 0);
    assert_reads(reader, "upper");
    assert_int_equal(overlay_is_settled(overlay, f), 1);
    assert_int_equal(overlay_data_begin(reader, true), -EBADF);
    assert_int_equal(overlay_fsync(writer, false), 0);
    overlay_release(overlay, reader);
    overlay_release(overlay, writer);
}

static void opening_for_writing_copies_nothing_and_truncating_no_bytes(void **state) {
    (void)state;
    uint64_t f = top("f");
    struct overlay_handle *handle = open_node(f, O_RDWR);
    overlay_release(overlay, handle);
    assert_int_equal(count_in(upper, "."), 0);
    handle = open_node(f, O_WRONLY | O_TRUNC);
    overlay_release(overlay, handle);
    struct overlay_counters counters;
    overlay_counters(overlay, &counters);
    assert_int_equal(counters.bytes_copied, 0);
    assert_int_equal(stat_of(f).st_size, 0);
}

static void removing_copies_nothing(void **state) {
    (void)state;
    assert_int_equal(overlay_unlink(overlay, OVERLAY_ROOT, "f"), 0);
    assert_int_equal(overlay_unlink(overlay, OVERLAY_ROOT, "linked"), 0);
    write_new();
    assert_int_equal(overlay_rename(overlay, OVERLAY_ROOT, "new", top("d"), "g", 0), 0);
    struct overlay_counters counters;
    overlay_counters(overlay, &counters);
    assert_int_equal(counters.bytes_copied, 0);
    assert_int_equal(stat_of(look(top("d"), "other")).st_nlink, 1);
}

static void a_copy_up_leaves_the_times_of_the_parent(void **state) {
    (void)state;
    struct stat before = stat_of(top("d"));
    assert_int_equal(change_mode(look(top("d"), "g"), 0600), 0);
    struct stat after = stat_of(top("d"));
    assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

/* Identity. */

static void numbers_stay_over_copy_up_rename_and_remount(void **state) {
    (void)state;
    uint64_t d = top("d"), g = look(d, "g"), f = top("f");
    assert_int_equal(change_mode(g, 0600), 0);
    assert_int_equal(overlay_rename(overlay, OVERLAY_ROOT, "d", OVERLAY_ROOT, "moved", 0), 0);
    assert_int_equal(overlay_rename(overlay, OVERLAY_ROOT, "f", OVERLAY_ROOT, "f2", 0), 0);
    assert_int_equal(top("moved"), d);
    remount();
    assert_int_equal(top("moved"), d);
    assert_int_equal(look(top("moved"), "g"), g);
    assert_int_equal(top("f2"), f);
    assert_int_equal(stat_of(f).st_ino, f);
}

static void numbers_stay_when_the_log_is_lost(void **state) {
    (void)state;
    uint64_t f = top("f"), linked = top("linked");
    assert_int_equal(change_mode(f, 0600), 0);
    assert_int_equal(change_mode(linked, 0600), 0);
    overlay = overlay_close(overlay);
    assert_int_equal(unlinkat(work, "identity", 0), 0);
    open_overlay();
    assert_int_equal(top("f"), f);
    assert_int_equal(top("linked"), linked);
    assert_int_equal(look(top("d"), "other"), linked);
}

static void every_name_of_a_lower_file_shows_its_copy(void **state) {
    (void)state;
    uint64_t linked = top("linked");
    assert_int_equal(change_mode(linked, 0600), 0);
    remount();
    uint64_t other = look(top("d"), "other");
    assert_int_equal(other, linked);
    assert_int_equal(stat_of(other).st_mode & 07777, 0600);
    assert_int_equal(stat_of(other).st_nlink, 2);
    assert_int_equal(overlay_unlink(overlay, OVERLAY_ROOT, "linked"), 0);
    assert_int_equal(stat_of(other).st_nlink, 1);
    struct overlay_handle *handle = open_node(other, O_RDWR);
    assert_int_equal(put(handle, "kept"), 0);
    assert_int_equal(overlay_unlink(overlay, top("d"), "other"), 0);
    assert_int_equal(stat_of(other).st_nlink, 0);
    assert_reads(handle, "kept");
    overlay_release(overlay, handle);
    assert_int_equal(count_in(work, "index"), 0);
}

static void looking_at_what_has_no_record_asks_nothing(void **state) {
    (void)state;
    (void)look(top("d"), "g");
    struct overlay_counters counters;
    overlay_counters(overlay, &counters);
    assert_int_equal(counters.records, 0);
    assert_int_equal(counters.record_queries, 0);
    assert_int_equal(count_in(upper, "."), 0);
}

static void a_node_goes_when_nobody_holds_it_or_what_is_below_it(void **state) {
    (void)state;
    struct overlay_counters counters;
    uint64_t d = top("d"), g = look(d, "g");
    overlay_forget(overlay, d, 1);
    overlay_counters(overlay, &counters);
    assert_int_equal(counters.nodes, 2);
    overlay_forget(overlay, g, 1);
    overlay_counters(overlay, &counters);
    assert_int_equal(counters.nodes, 0);
}

/* Metadata alone. */

static void a_large_file_is_copied_when_it_is_written_and_not_before(void **state) {
    (void)state;
    struct overlay_counters counters;
    char text[100001];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    write_lower("big", text);
    flags = OVERLAY_METACOPY;
    remount();
    uint64_t big = top("big");
    assert_int_equal(change_mode(big, 0600), 0);
    overlay_counters(overlay, &counters);
    assert_int_equal(counters.bytes_copied, 0);
    struct overlay_handle *synced = open_node(big, O_RDONLY);
    assert_int_equal(overlay_fsync(synced, false), 0);
    overlay_release(overlay, synced);
    assert_int_equal(overlay_rename(overlay, OVERLAY_ROOT, "big", top("d"), "moved", 0), 0);
    remount();
    struct overlay_handle *handle = open_node(look(top("d"), "moved"), O_RDWR);
    char got[16];
    int fd = overlay_data_begin(handle, false);
    assert_int_equal(pread(fd, got, sizeof(got), 99990), 10);
    overlay_data_end(handle);
    assert_int_equal(put(handle, "y"), 0);
    fd = overlay_data_begin(handle, false);
    assert_int_equal(pread(fd, got, sizeof(got), 0), sizeof(got));
    assert_memory_equal(got, "yxxx", 4);
    overlay_data_end(handle);
    overlay_release(overlay, handle);
    remount();
    struct stat stat = stat_of(look(top("d"), "moved"));
    assert_int_equal(stat.st_size, 100000);
    assert_int_equal(stat.st_mode & 07777, 0600);
}

/* What new names inherit. */

/* Version 2, then entries of tag, permissions and id, as in linux/posix_acl_xattr.h: user rwx, group r-x, other ---. */
static const unsigned char default_acl[] = {
    2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 4, 0, 5, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
};

static mode_t make_all(uint64_t parent, const char *name) {
    struct overlay_entry entry;
    struct overlay_handle *handle = NULL;
    assert_int_equal(overlay_create(overlay, &caller, parent, name, 0666, O_RDWR, &entry, &handle), 0);
    overlay_release(overlay, handle);
    return entry.stat.st_mode & 07777;
}

static void the_umask_counts_where_no_default_acl_takes_its_place(void **state) {
    (void)state;
    uint64_t d = top("d");
    struct overlay_entry entry;
    caller.umask = 077;
    mode_t outside = umask(0);
    assert_int_equal(make_all(d, "masked"), 0600);
    (void)umask(0777);         /* the process's own means nothing */
    assert_int_equal(make_all(d, "masked too"), 0600);
    (void)umask(0);
    if (overlay_set_xattr(overlay, &caller, d, "system.posix_acl_default", default_acl, sizeof(default_acl), 0) == -EOPNOTSUPP)
        skip();
    assert_int_equal(make_all(d, "listed"), 0640);
    assert_int_equal(overlay_unlink(overlay, d, "g"), 0);
    assert_int_equal(make_all(d, "g"), 0640);      /* in a whiteout's place */
    assert_int_equal(overlay_mkdir(overlay, &caller, d, "below", 0777, &entry), 0);
    assert_int_equal(entry.stat.st_mode & 07777, 0750);
    assert_int_equal(overlay_get_xattr(overlay, entry.node, "system.posix_acl_default", NULL, 0), sizeof(default_acl));
    assert_int_equal(overlay_unlink(overlay, d, "other"), 0);
    assert_int_equal(overlay_mkdir(overlay, &caller, d, "other", 0777, &entry), 0);
    assert_int_equal(entry.stat.st_mode & 07777, 0750);
    assert_int_equal(overlay_get_xattr(overlay, entry.node, "system.posix_acl_default", NULL, 0), sizeof(default_acl));
    (void)umask(outside);
}

static void what_is_made_belongs_to_who_makes_it(void **state) {
    (void)state;
    struct overlay_entry entry;
    struct overlay_handle *handle = NULL;
    caller.uid = 1234;
    caller.gid = 4321;
    int wanted = geteuid() == 0 ? 0 : -EPERM;
    assert_int_equal(overlay_create(overlay, &caller, OVERLAY_ROOT, "file", 06755, O_RDWR, &entry, &handle), wanted);
    if (wanted == 0) {
        assert_int_equal(entry.stat.st_uid, 1234);
        assert_int_equal(entry.stat.st_gid, 4321);
        assert_int_equal(entry.stat.st_mode & 07777, 06755);
        overlay_release(overlay, handle);
    }
    assert_int_equal(overlay_mkdir(overlay, &caller, OVERLAY_ROOT, "dir", 0755, &entry), wanted);
    assert_int_equal(overlay_symlink(overlay, &caller, OVERLAY_ROOT, "link", "x", &entry), wanted);
    assert_true(wanted < 0 || entry.stat.st_uid == 1234);
    assert_int_equal(count_in(work, "work"), 0);
    assert_int_equal(count_in(upper, "."), wanted < 0 ? 0 : 3);
}

static void a_write_takes_set_id_bits_away_when_it_is_told_to(void **state) {
    (void)state;
    struct overlay_entry entry;
    uint64_t f = top("f");
    assert_int_equal(change_mode(f, 06755), 0);
    assert_int_equal(overlay_setattr(overlay, &caller, f, NULL, &(struct stat){0}, OVERLAY_KILL_SUID, &entry), 0);
    assert_int_equal(entry.stat.st_mode & 07777, 0755);
    assert_int_equal(change_mode(f, 06745), 0);
    assert_int_equal(overlay_setattr(overlay, &caller, f, NULL, &(struct stat){0}, OVERLAY_KILL_SUID, &entry), 0);
    assert_int_equal(entry.stat.st_mode & 07777, 02745);
}

/* What changes underneath. */

static void what_changes_below_is_seen_at_the_next_look(void **state) {
    (void)state;
    struct overlay_entry entry;
    uint64_t f = top("f"), d = top("d"), g = look(d, "g");
    write_lower("f", "longer than before");
    assert_int_equal(stat_of(f).st_size, 18);
    assert_int_equal(renameat(lower, "d", lower, "e"), 0);
    assert_int_equal(overlay_lookup(overlay, OVERLAY_ROOT, "d", &entry), -ENOENT);
    assert_int_equal(top("e"), d);
    assert_int_equal(look(d, "g"), g);
    assert_content(d, "g", "deep");
    assert_int_equal(change_mode(g, 0600), 0);
    struct stat stat;
    assert_int_equal(fstatat(upper, "e/g", &stat, 0), 0);
    assert_int_equal(renameat(lower, "f", lower, "f2"), 0);
    assert_int_equal(top("f2"), f);
    assert_int_equal(change_mode(f, 0600), 0);
    assert_int_equal(fstatat(upper, "f2", &stat, 0), 0);
    assert_int_equal(fstatat(upper, "f", &stat, 0), -1);
    assert_int_equal(unlinkat(lower, "linked", 0), 0);
    assert_int_equal(overlay_lookup(overlay, OVERLAY_ROOT, "linked", &entry), -ENOENT);
}

static void a_directory_that_appears_below_one_of_the_current_layer_merges(void **state) {
    (void)state;
    struct overlay_entry entry;
    assert_int_equal(overlay_mkdir(overlay, &caller, OVERLAY_ROOT, "new", 0755, &entry), 0);
    uint64_t new = entry.node;
    assert_int_equal(mkdirat(lower, "new", 0755), 0);
    write_lower("new/shown", "1");
    assert_int_equal(top("new"), new);
    assert_content(new, "shown", "1");
    assert_int_equal(overlay_rmdir(overlay, OVERLAY_ROOT, "new"), -ENOTEMPTY);
    assert_int_equal(unlinkat(lower, "new/shown", 0), 0);
    assert_int_equal(unlinkat(lower, "new", AT_REMOVEDIR), 0);
    assert_int_equal(top("new"), new);
    assert_int_equal(overlay_rmdir(overlay, OVERLAY_ROOT, "new"), 0);
    assert_int_equal(count_in(upper, "."), 0);
}

static void the_current_layer_wins_over_another_type_below(void **state) {
    (void)state;
    struct overlay_entry entry;
    write_new();
    assert_int_equal(overlay_mkdir(overlay, &caller, OVERLAY_ROOT, "dir", 0755, &entry), 0);
    assert_int_equal(mkdirat(lower, "new", 0755), 0);
    write_lower("dir", "file");
    assert_content(OVERLAY_ROOT, "new", "new");
    assert_true(S_ISDIR(stat_of(top("dir")).st_mode));
    assert_int_equal(overlay_unlink(overlay, OVERLAY_ROOT, "f"), 0);
    write_lower("f", "again");
    assert_int_equal(overlay_lookup(overlay, OVERLAY_ROOT, "f", &entry), -ENOENT);
}

static void a_directory_deleted_below_stays_with_what_was_copied_up(void **state) {
    (void)state;
    uint64_t d = top("d"), g = look(d, "g");
    assert_int_equal(change_mode(g, 0600), 0);
    assert_int_equal(fs_remove_tree(lower, "d"), 0);
    struct overlay_entry entry;
    assert_int_equal(overlay_lookup(overlay, d, "other", &entry), -ENOENT);
    assert_int_equal(top("d"), d);
    assert_int_equal(look(d, "g"), g);
    assert_int_equal(make_all(d, "new"), 0644);
}

static int count_and_check(void *data, const struct overlay_name *name);
static int count_root(void);

/* A number that a living object holds is nobody else's, also when the file system gives it away again. */
static void a_number_that_is_used_again_below_goes_to_nobody_else(void **state) {
    (void)state;
    uint64_t f = top("f");
    assert_int_equal(change_mode(f, 0600), 0);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(unlinkat(lower, i ? "again" : "f", 0), 0);
        write_lower("again", "x");
        uint64_t again = top("again");
        assert_int_not_equal(again, f);
        struct overlay_handle *dir = NULL;
        assert_int_equal(overlay_open_dir(overlay, OVERLAY_ROOT, &dir), 0);
        int count = 0;
        assert_int_equal(overlay_read_dir(dir, 0, count_and_check, &count), 0);
        overlay_release(overlay, dir);
        overlay_forget(overlay, again, 1);
        assert_int_equal(top("f"), f);
    }
}

static void a_number_is_enough_to_find_its_object_again(void **state) {
    (void)state;
    struct overlay_entry entry;
    uint64_t d = top("d"), g = look(d, "g");
    write_new();
    uint64_t new = top("new");
    assert_int_equal(change_mode(g, 0600), 0);
    assert_int_equal(overlay_rename(overlay, OVERLAY_ROOT, "d", OVERLAY_ROOT, "e", 0), 0);
    remount();
    assert_int_equal(overlay_getattr(overlay, g, NULL, &entry), -ESTALE);
    assert_int_equal(overlay_lookup(overlay, g, ".", &entry), 0);
    assert_int_equal(entry.node, g);
    assert_int_equal(entry.stat.st_mode & 07777, 0600);
    remount();
    assert_int_equal(overlay_lookup(overlay, d, "..", &entry), 0);
    assert_int_equal(entry.node, OVERLAY_ROOT);
    assert_int_equal(overlay_lookup(overlay, new, ".", &entry), 0);
    overlay_forget(overlay, new, 1);
    assert_int_equal(overlay_unlink(overlay, OVERLAY_ROOT, "new"), 0);
    assert_int_equal(overlay_lookup(overlay, new, ".", &entry), -ESTALE);
    assert_int_equal(overlay_lookup(overlay, 12345678901, ".", &entry), -ESTALE);
}

static void nothing_changes_where_there_is_no_current_layer(void **state) {
    (void)state;
    struct snap_err err = {0};
    struct lower *tree = NULL;
    struct overlay_entry entry;
    struct overlay_handle *handle = NULL;
    overlay = overlay_close(overlay);
    assert_int_equal(lower_layer_open(lower, true, &tree), 0);
    const struct overlay_options options = { .upper = -1, .work = -1, .lowers = &tree, .lower_count = 1 };
    assert_int_equal(overlay_open(&options, &overlay, &err), 0);
    uint64_t f = top("f"), d = top("d");
    assert_int_equal(overlay_create(overlay, &caller, d, "new", 0644, O_RDWR, &entry, &handle), -EROFS);
    assert_int_equal(overlay_mkdir(overlay, &caller, d, "new", 0755, &entry), -EROFS);
    assert_int_equal(overlay_symlink(overlay, &caller, d, "new", "x", &entry), -EROFS);
    assert_int_equal(overlay_tmpfile(overlay, &caller, d, 0644, O_RDWR, &entry, &handle), -EROFS);
    assert_int_equal(overlay_link(overlay, f, d, "new", &entry), -EROFS);
    assert_int_equal(overlay_unlink(overlay, OVERLAY_ROOT, "f"), -EROFS);
    assert_int_equal(overlay_rmdir(overlay, OVERLAY_ROOT, "d"), -EROFS);
    assert_int_equal(overlay_rename(overlay, OVERLAY_ROOT, "f", d, "f", 0), -EROFS);
    assert_int_equal(change_mode(f, 0600), -EROFS);
    assert_int_equal(change_mode(d, 0700), -EROFS);
    assert_int_equal(overlay_set_xattr(overlay, &caller, f, "user.x", "1", 1, 0), -EROFS);
    assert_int_equal(overlay_open_file(overlay, f, O_RDWR, &handle), -EROFS);
    assert_int_equal(overlay_open_file(overlay, f, O_RDONLY | O_TRUNC, &handle), -EROFS);
    assert_int_equal(overlay_is_settled(overlay, f), 1);
    assert_content(OVERLAY_ROOT, "f", "lower");
    assert_int_equal(count_root(), 3);
}

static void names_that_cannot_be_and_places_that_are_gone_are_refused(void **state) {
    (void)state;
    char longest[258];
    struct overlay_entry entry;
    memset(longest, 'n', sizeof(longest));
    longest[256] = '\0';
    assert_int_equal(overlay_mkdir(overlay, &caller, OVERLAY_ROOT, longest, 0755, &entry), -ENAMETOOLONG);
    assert_int_equal(overlay_lookup(overlay, OVERLAY_ROOT, longest, &entry), -ENAMETOOLONG);
    longest[255] = '\0';
    assert_int_equal(overlay_mkdir(overlay, &caller, OVERLAY_ROOT, longest, 0755, &entry), 0);
    uint64_t gone = entry.node;
    assert_int_equal(overlay_rmdir(overlay, OVERLAY_ROOT, longest), 0);
    assert_int_equal(stat_of(gone).st_nlink, 0);
    assert_int_equal(overlay_mkdir(overlay, &caller, gone, "x", 0755, &entry), -ENOENT);
    assert_int_equal(overlay_link(overlay, top("f"), gone, "x", &entry), -ENOENT);
    assert_int_equal(overlay_rename(overlay, OVERLAY_ROOT, "f", gone, "x", 0), -ENOENT);
    assert_int_equal(overlay_lookup(overlay, gone, "x", &entry), -ENOENT);
    assert_int_equal(change_mode(gone, 0700), 0);
    assert_int_equal(overlay_unlink(overlay, OVERLAY_ROOT, ".."), -EINVAL);
    assert_int_equal(overlay_mknod(overlay, &caller, OVERLAY_ROOT, "c", S_IFCHR | 0644, 0, &entry), -EPERM);
}

static void a_work_directory_belongs_to_one_overlay_at_a_time(void **state) {
    (void)state;
    struct snap_err err = {0};
    struct overlay *second = NULL;
    const struct overlay_options options = { .upper = upper, .work = work };
    assert_int_equal(overlay_open(&options, &second, &err), -EBUSY);
    assert_null(second);
}

/* In a process that ends without closing anything. */
static void in_a_process_that_is_killed(void (*what)(void)) {
    overlay = overlay_close(overlay);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        open_overlay();
        what();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    open_overlay();
}

static uint64_t number_f, number_s, number_d, number_linked;

static void change_all(void) {
    struct overlay_entry entry;
    const struct stat wanted = { .st_mtim.tv_sec = 1000 };
    number_f = top("f"), number_d = top("d"), number_s = top("s"), number_linked = top("linked");
    bool right = change_mode(number_f, 0600) == 0 && change_mode(number_d, 0700) == 0 && change_mode(number_linked, 0600) == 0
        && overlay_setattr(overlay, &caller, number_s, NULL, &wanted, OVERLAY_SET_MTIME, &entry) == 0
        && overlay_rename(overlay, OVERLAY_ROOT, "s", OVERLAY_ROOT, "s2", 0) == 0 && overlay_unlink(overlay, OVERLAY_ROOT, "linked") == 0;
    if (!right)
        _exit(1);
}

static void numbers_stay_when_the_process_is_killed(void **state) {
    (void)state;
    assert_int_equal(symlinkat("target", lower, "s"), 0);
    number_f = top("f"), number_d = top("d"), number_s = top("s"), number_linked = top("linked");
    in_a_process_that_is_killed(change_all);
    assert_int_equal(top("f"), number_f);
    assert_int_equal(top("d"), number_d);
    assert_int_equal(top("s2"), number_s);
    assert_int_equal(look(top("d"), "other"), number_linked);
    assert_int_equal(stat_of(number_linked).st_mode & 07777, 0600);
    assert_int_equal(stat_of(number_linked).st_nlink, 1);
}

static void numbers_of_another_file_system_are_computed_and_stay(void **state) {
    (void)state;
    struct stat here, there;
    char path[] = "/dev/shm/snapctl-test-XXXXXX";
    if (!mkdtemp(path))
        skip();
    (void)close(lower);
    lower = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fstat(lower, &there), 0);
    assert_int_equal(fstat(upper, &here), 0);
    write_lower("f", "far");
    remount();
    uint64_t f = top("f");
    assert_int_equal(f >> 63, here.st_dev != there.st_dev);
    assert_int_equal(count_root(), 1);
    assert_int_equal(change_mode(f, 0600), 0);
    assert_int_equal(count_root(), 1);
    assert_int_equal(top("f"), f);
    remount();
    assert_int_equal(top("f"), f);
    assert_int_equal(count_root(), 1);
    assert_int_equal(fs_remove_tree(AT_FDCWD, path), 0);
}

enum { DEPTH = 300, FEW = 96 };

static void walk_deep(void) {
    uint64_t at = OVERLAY_ROOT;
    struct overlay_entry entry;
    const struct rlimit few = { .rlim_cur = FEW, .rlim_max = FEW };
    overlay = overlay_close(overlay);
    if (setrlimit(RLIMIT_NOFILE, &few) < 0)
        _exit(1);
    open_overlay();
    for (unsigned i = 0; i < DEPTH; i++) {
        if (overlay_mkdir(overlay, &caller, at, "made", 0755, &entry) < 0 || overlay_lookup(overlay, at, "n", &entry) < 0)
            _exit(2);
        at = entry.node;
    }
    if (change_mode(at, 0700) < 0)
        _exit(3);
    overlay = overlay_close(overlay);
}

static void a_walk_needs_few_descriptors_however_deep_it_goes(void **state) {
    (void)state;
    int at = fcntl(lower, F_DUPFD_CLOEXEC, 3);
    for (unsigned i = 0; i < DEPTH; i++) {
        assert_int_equal(mkdirat(at, "n", 0755), 0);
        int next = openat(at, "n", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        (void)close(at);
        at = next;
    }
    (void)close(at);
    in_a_process_that_is_killed(walk_deep);
}

static void a_full_disk_leaves_everything_as_it_was(void **state) {
    struct tempdir *temp = *state;
    char path[300];
    struct stat before, after;
    if (geteuid() != 0)
        skip();
    overlay = overlay_close(overlay);
    (void)snprintf(path, sizeof(path), "%s/small", temp->path);
    assert_int_equal(mkdir(path, 0755), 0);
    if (mount("small", path, "tmpfs", 0, "size=256k") < 0)
        skip();
    (void)close(upper);
    (void)close(work);
    upper = room(state, "small/upper");
    work = room(state, "small/work");
    _free_ char *text = malloc(1 << 20);
    memset(text, 'x', 1 << 20);
    text[(1 << 20) - 1] = '\0';
    write_lower("d/big", text);
    open_overlay();
    uint64_t big = look(top("d"), "big");
    before = stat_of(big);
    struct overlay_handle *handle = open_node(big, O_RDWR);
    assert_int_equal(put(handle, "y"), -ENOSPC);
    assert_int_equal(change_mode(big, 0600), -ENOSPC);
    overlay_release(overlay, handle);
    after = stat_of(big);
    assert_memory_equal(&before, &after, sizeof(before));
    assert_int_equal(count_in(upper, "."), 0);
    assert_int_equal(count_in(work, "work"), 0);
    assert_int_equal(overlay_unlink(overlay, top("d"), "big"), 0);
    overlay = overlay_close(overlay);
    (void)close(upper);
    (void)close(work);
    upper = work = -1;
    assert_int_equal(umount2(path, MNT_DETACH), 0);
}

/* Threads. */

enum { THREADS = 4, ROUNDS = 300 };

static const char *const names[] = { "f", "linked", "a", "b", "c" };

static int count_any(void *data, const struct overlay_name *name) {
    (void)name;
    ++*(int *)data;
    return 0;
}

static void one_action(unsigned *seed) {
    struct overlay_entry entry;
    struct overlay_handle *handle = NULL;
    unsigned chance = (unsigned)rand_r(seed);
    const char *name = names[chance % ELEMENTS(names)], *other = names[chance / 8 % ELEMENTS(names)];
    uint64_t parent = OVERLAY_ROOT;
    struct overlay_entry dir = {0};
    if (chance / 64 % 2 && overlay_lookup(overlay, OVERLAY_ROOT, "d", &dir) == 0 && S_ISDIR(dir.stat.st_mode))
        parent = dir.node;
    switch (chance / 128 % 8) {
    case 0: (void)overlay_unlink(overlay, parent, name); break;
    case 1: (void)overlay_rename(overlay, parent, name, OVERLAY_ROOT, other, chance / 1024 % 2 ? RENAME_EXCHANGE : 0); break;
    case 4:
        (void)overlay_rename(overlay, OVERLAY_ROOT, chance / 1024 % 2 ? "d" : "e", OVERLAY_ROOT, chance / 1024 % 2 ? "e" : "d", RENAME_NOREPLACE);
        break;
    case 5:
        if (overlay_mkdir(overlay, &caller, parent, other, 0755, &entry) == 0)
            overlay_forget(overlay, entry.node, 1);
        else
            (void)overlay_rmdir(overlay, parent, other);
        break;
    case 2:
        if (overlay_create(overlay, &caller, parent, name, 0644, O_RDWR, &entry, &handle) == 0) {
            assert_int_equal(put(handle, "made"), 0);
            overlay_release(overlay, handle);
            overlay_forget(overlay, entry.node, 1);
        }
        break;
    case 3:
        if (overlay_open_dir(overlay, parent, &handle) >= 0) {
            int count = 0;
            (void)overlay_read_dir(handle, 0, count_any, &count);
            overlay_release(overlay, handle);
        }
        break;
    default:
        if (overlay_lookup(overlay, parent, name, &entry) == 0) {
            if (chance / 2048 % 2)
                (void)overlay_setattr(overlay, &caller, entry.node, NULL, &(struct stat){ .st_mode = 0600 }, OVERLAY_SET_MODE, &entry);
            else if (S_ISREG(entry.stat.st_mode) && overlay_open_file(overlay, entry.node, O_RDWR, &handle) == 0) {
                (void)put(handle, "write");
                overlay_release(overlay, handle);
            }
            overlay_forget(overlay, entry.node, 1);
        }
    }
    if (dir.node)
        overlay_forget(overlay, dir.node, 1);
}

static void *act_a_lot(void *data) {
    unsigned seed = *(unsigned *)data;
    for (unsigned i = 0; i < ROUNDS; i++)
        one_action(&seed);
    return NULL;
}

static int count_and_check(void *data, const struct overlay_name *name) {
    struct overlay_entry entry;
    if (*name->name == '.')
        return 0;
    assert_int_equal(overlay_lookup(overlay, OVERLAY_ROOT, name->name, &entry), 0);
    assert_int_equal(entry.stat.st_ino, name->ino);
    overlay_forget(overlay, entry.node, 1);
    ++*(int *)data;
    return 0;
}

static int count_root(void) {
    struct overlay_handle *handle = NULL;
    int count = 0;
    assert_int_equal(overlay_open_dir(overlay, OVERLAY_ROOT, &handle), 0);
    assert_int_equal(overlay_read_dir(handle, 0, count_and_check, &count), 0);
    overlay_release(overlay, handle);
    return count;
}

static void many_threads_leave_a_tree_that_is_the_same_after_a_remount(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    unsigned seeds[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        seeds[i] = i + 1;
        assert_int_equal(pthread_create(&threads[i], NULL, act_a_lot, &seeds[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    int count = count_root();
    assert_int_equal(count_in(work, "work"), 0);
    remount();
    assert_int_equal(count_root(), count);
    struct overlay_counters counters;
    overlay_counters(overlay, &counters);
    assert_int_equal(counters.nodes, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_file_unlinked_while_it_is_copied_leaves_a_whiteout_and_nothing_else),
        TEST(a_file_renamed_over_while_it_is_copied_is_not_put_back),
        TEST(a_copy_lands_where_its_directory_was_renamed_to),
        TEST(nobody_waits_for_a_copy_or_sees_a_part_of_it),
        TEST(a_file_that_changes_below_is_copied_again),
        TEST(a_file_that_never_holds_still_is_not_copied),
        TEST(a_file_replaced_below_while_it_is_copied_keeps_its_own_bytes_for_who_has_it_open),
        TEST(the_second_of_two_copy_ups_uses_the_first),
        TEST(the_second_of_two_copy_ups_tries_itself_when_the_first_failed),
        TEST(a_copy_lands_under_the_name_that_the_file_gets_meanwhile),
        TEST(a_descriptor_opened_before_copy_up_sees_what_is_written_after),
        TEST(opening_for_writing_copies_nothing_and_truncating_no_bytes),
        TEST(removing_copies_nothing),
        TEST(a_copy_up_leaves_the_times_of_the_parent),
        TEST(numbers_stay_over_copy_up_rename_and_remount),
        TEST(numbers_stay_when_the_log_is_lost),
        TEST(every_name_of_a_lower_file_shows_its_copy),
        TEST(looking_at_what_has_no_record_asks_nothing),
        TEST(a_node_goes_when_nobody_holds_it_or_what_is_below_it),
        TEST(a_large_file_is_copied_when_it_is_written_and_not_before),
        TEST(the_umask_counts_where_no_default_acl_takes_its_place),
        TEST(what_is_made_belongs_to_who_makes_it),
        TEST(a_write_takes_set_id_bits_away_when_it_is_told_to),
        TEST(what_changes_below_is_seen_at_the_next_look),
        TEST(a_directory_that_appears_below_one_of_the_current_layer_merges),
        TEST(the_current_layer_wins_over_another_type_below),
        TEST(a_directory_deleted_below_stays_with_what_was_copied_up),
        TEST(a_number_that_is_used_again_below_goes_to_nobody_else),
        TEST(a_number_is_enough_to_find_its_object_again),
        TEST(nothing_changes_where_there_is_no_current_layer),
        TEST(names_that_cannot_be_and_places_that_are_gone_are_refused),
        TEST(a_work_directory_belongs_to_one_overlay_at_a_time),
        TEST(numbers_stay_when_the_process_is_killed),
        TEST(numbers_of_another_file_system_are_computed_and_stay),
        TEST(a_walk_needs_few_descriptors_however_deep_it_goes),
        TEST(a_full_disk_leaves_everything_as_it_was),
        TEST(many_threads_leave_a_tree_that_is_the_same_after_a_remount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
