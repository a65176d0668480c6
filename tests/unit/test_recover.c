/* Tests of recovery: leftovers, and snapshots that a power loss tore. Layers are real; another boot is a changed fact.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs.h"
#include "live.h"
#include "manifest.h"
#include "op.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static char where[64], path[128];
static struct snap_err err;
static struct store *store;
static struct buf story;

#define OK(call) do { long long r_ = (call); if (r_ < 0) fail_msg("%s: %lld, %s", #call, r_, err.message); } while (0)

static void open_locked(void) {
    OK(store_open(path, &store, &err));
    OK(store_lock(store, STORE_LOCK_TRY, "test", NULL, &err));
}

static int setup(void **state) {
    (void)state;
    strcpy(where, "/tmp/test_recover.XXXXXX");
    if (!mkdtemp(where))
        return -1;
    snprintf(path, sizeof(path), "%s/store", where);
    OK(store_create(path, &err));
    open_locked();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    store = store_close(store);
    buf_done(&story);
    return fs_remove_tree(AT_FDCWD, where);
}

static void hear(void *data, const char *text) {
    (void)data;
    buf_fmt(&story, "%s\n", text);
}

static bool told(const char *part) {
    return story.data && strstr(story.data, part);
}

static void recover(void) {
    buf_clear(&story);
    OK(store_recover(store, hear, NULL, &err));
    assert_int_equal(store_recovery_needed(store, &err), 0);
}

static bool there(const char *name) {
    return faccessat(store_fd(store), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int64_t number_of(int64_t number) {
    _snapshot_ struct snapshot *found = NULL;
    int code = index_snapshot(store, number, &found, &err);
    OK(code);
    return code ? found->public.number : 0;
}

static unsigned flags_of(int64_t number) {
    _snapshot_ struct snapshot *found = NULL;
    assert_int_equal(index_snapshot(store, number, &found, &err), 1);
    return found->flags;
}

/* One snapshot: the root with the file "f" and what it says. */

struct taken { struct object root, file; struct content content; struct snapshot snapshot; };

static int write_file(const char *name, const void *data, size_t size) {
    int fd = openat(store_layers_fd(store), name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    OK(fd);
    OK(fs_write_all(fd, data, size));
    return fd;
}

static const char *in_layer(int64_t layer, const char *name) {
    static char space[64];
    snprintf(space, sizeof(space), "%lld%s", (long long)layer, name);
    return space;
}

static void write_layer(struct taken *taken, const char *text) {
    struct copy_options options = { .want_digest = true };
    int64_t layer = taken->snapshot.layer;
    OK(mkdirat(store_layers_fd(store), in_layer(layer, ""), 0700));
    OK(mkdirat(store_layers_fd(store), in_layer(layer, "/tree"), 0700));
    _close_ int fd = write_file(in_layer(layer, "/tree/f"), text, strlen(text));
    OK(copy_digest(fd, &options, NULL, &taken->content.digest));
    taken->file.digest = taken->content.digest;
    _buf_ struct buf manifest = {0};
    manifest_begin(&manifest, &taken->snapshot);
    manifest_add(&manifest, &(struct manifest_entry){ .in = 0, .name = "", .object = &taken->root });
    manifest_add(&manifest, &(struct manifest_entry){ .in = INDEX_ROOT, .name = "f", .object = &taken->file });
    manifest_end(&manifest);
    assert_int_equal(manifest.failed, 0);
    close(write_file(in_layer(layer, "/manifest"), manifest.data, manifest.size));
}

static void write_rows(struct taken *taken, bool first) {
    int64_t number = taken->snapshot.public.number;
    OK(index_add_snapshot(store, &taken->snapshot, &err));
    OK(index_add_content(store, &taken->content, &err));
    OK(index_add_object(store, &taken->file, &err));
    if (first) {
        OK(index_add_object(store, &taken->root, &err));
        OK(index_born(store, INDEX_PROJECT_LINE, number, 0, "", &taken->root, &err));
    }
    OK(index_born(store, INDEX_PROJECT_LINE, number, INDEX_ROOT, "f", &taken->file, &err));
}

static int64_t take(const char *text, bool synced) {
    struct index_ids ids;
    OK(store_begin(store, &err));
    OK(index_next_ids(store, &ids, &err));
    int64_t number = ids.snapshot;
    struct taken taken = {
        .root = { .id = INDEX_ROOT, .dir = INDEX_ROOT,
                  .meta = { .mode = S_IFDIR | 0700, .mtime = { 1700000000, 5 }, .uid = getuid(), .gid = getgid() } },
        .file = { .id = ids.object, .content = ids.content,
                  .meta = { .mode = S_IFREG | 0600, .size = strlen(text), .mtime = { 1700000000 + number, 7 }, .uid = getuid(), .gid = getgid() } },
        .content = { .id = ids.content, .layer = number, .dir = INDEX_ROOT, .size = strlen(text), .name = "f" },
        .snapshot = { .line = INDEX_PROJECT_LINE, .layer = number, .flags = synced ? 0 : SNAPSHOT_UNSYNCED,
                      .public = { .number = number, .parent = number - 1, .created = { 1700000000, 0 }, .name = "", .message = "" } },
    };
    write_layer(&taken, text);
    write_rows(&taken, number == 1);
    OK(store_set_fact(store, "project.parent", in_layer(number, ""), &err));
    if (!synced)
        OK(store_mark_unsynced(store, &err));
    struct op op = { .kind = "take", .state = "done", .before = number - 1, .after = number };
    OK(op_begin(store, &op, NULL, &err));
    OK(live_reset(store, &err));
    OK(store_commit(store, false, &err));
    return number;
}

static void change_fact(const char *key, const char *value) {
    OK(store_begin(store, &err));
    OK(store_set_fact(store, key, value, &err));
    OK(store_commit(store, false, &err));
}

static void lose_power(void) {
    change_fact("unsynced", "another boot");
}

static bool fact_is_set(const char *key) {
    _free_ char *value = NULL;
    int code = store_fact(store, key, &value, &err);
    OK(code);
    return code > 0;
}

static const char *state_of_take(int64_t number) {
    static char state[32];
    _op_ struct op *op = NULL;
    assert_int_equal(op_get(store, number, &op, &err), 1);
    snprintf(state, sizeof(state), "%s", op->state);
    return state;
}

/* Leftovers. */

static void a_store_at_rest_needs_nothing(void **state) {
    (void)state;
    assert_int_equal(store_recovery_needed(store, &err), 0);
    take("one", true);
    take("two", false);
    assert_int_equal(store_recovery_needed(store, &err), 0);
    recover();
    assert_int_equal(story.size, 0);
    assert_int_equal(manifest_check_layer(store, 1, true, &err), 1);
    assert_int_equal(manifest_check_layer(store, 2, true, &err), 1);
}

static void recovery_needs_the_lock(void **state) {
    (void)state;
    store_close(store);
    OK(store_open(path, &store, &err));
    assert_int_equal(store_recover(store, hear, NULL, &err), -ENOLCK);
}

static void work_that_was_cut_short_is_removed(void **state) {
    (void)state;
    OK(mkdirat(store_work_fd(store), "7", 0700));
    OK(mkdirat(store_work_fd(store), "7/tree", 0000));
    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof(name), "file %d", i);
        int fd = openat(store_work_fd(store), name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        OK(fd);
        close(fd);
    }
    OK(symlinkat("/", store_work_fd(store), "link"));
    assert_int_equal(store_recovery_needed(store, &err), 1);
    recover();
    assert_true(told("removed the unfinished work of a command that was cut short"));
}

static void a_layer_that_was_published_but_not_recorded_is_removed(void **state) {
    (void)state;
    take("one", true);
    OK(mkdirat(store_layers_fd(store), "2", 0700));
    OK(mkdirat(store_layers_fd(store), "2/tree", 0700));
    assert_int_equal(store_recovery_needed(store, &err), 1);
    recover();
    assert_true(told("removed layer 2"));
    assert_false(there("layers/2"));
    assert_int_equal(manifest_check_layer(store, 1, true, &err), 1);
    assert_int_equal(take("two", true), 2);
}

static void all_layers_go_whose_snapshots_the_database_lost(void **state) {
    (void)state;
    take("one", true);
    OK(mkdirat(store_layers_fd(store), "2", 0700));
    OK(mkdirat(store_layers_fd(store), "3", 0700));
    recover();
    assert_false(there("layers/2") || there("layers/3"));
    assert_int_equal(take("two", true), 2);
}

static void what_is_no_layer_of_ours_is_left_alone(void **state) {
    (void)state;
    take("one", true);
    OK(mkdirat(store_layers_fd(store), "99", 0700));
    OK(mkdirat(store_layers_fd(store), "notes", 0700));
    recover();
    assert_true(there("layers/99") && there("layers/notes"));
}

static void dropped_layers_go_also_when_their_removal_was_cut_short(void **state) {
    (void)state;
    take("one", true);
    OK(mkdirat(store_layers_fd(store), "5", 0700));
    OK(mkdirat(store_layers_fd(store), "5/tree", 0700));
    change_fact("dropped", "6 5 1");
    assert_int_equal(store_recovery_needed(store, &err), 1);
    recover();
    assert_false(there("layers/5"));
    assert_true(there("layers/1"));          /* a snapshot names it, whatever the list says */
    assert_false(fact_is_set("dropped"));
}

static void a_list_of_dropped_layers_that_is_none_is_damage(void **state) {
    (void)state;
    change_fact("dropped", "5 ../..");
    assert_int_equal(store_recover(store, hear, NULL, &err), -EUCLEAN);
    assert_int_equal(err.failure, SNAP_FAILURE_DAMAGE);
}

/* Power. */

static void without_a_power_loss_nothing_is_in_doubt(void **state) {
    (void)state;
    take("one", false);
    OK(unlinkat(store_layers_fd(store), "1/manifest", 0));
    assert_int_equal(store_recovery_needed(store, &err), 0);
    recover();
    assert_int_equal(number_of(1), 1);
    assert_int_equal(flags_of(1), SNAPSHOT_UNSYNCED);
}

static void a_flush_ends_all_doubt(void **state) {
    (void)state;
    take("one", false);
    take("two", false);
    assert_true(fact_is_set("unsynced"));
    OK(store_flush(store, &err));
    OK(store_begin(store, &err));
    OK(store_mark_synced(store, &err));
    OK(store_mark_synced(store, &err));
    OK(store_commit(store, true, &err));
    assert_false(fact_is_set("unsynced"));
    assert_int_equal(flags_of(1) | flags_of(2), 0);
}

static void what_is_whole_after_a_power_loss_stays(void **state) {
    (void)state;
    take("one", false);
    take("two", false);
    lose_power();
    assert_int_equal(store_recovery_needed(store, &err), 1);
    recover();
    assert_true(told("snapshot 1 was not flushed when the machine went down; it was checked and is whole"));
    assert_true(told("snapshot 2 "));
    assert_int_equal(flags_of(1) | flags_of(2), 0);
    assert_false(fact_is_set("unsynced"));
}

static void tear(int64_t layer) {
    _close_ int fd = openat(store_layers_fd(store), in_layer(layer, "/tree/f"), O_WRONLY | O_TRUNC | O_CLOEXEC);
    OK(fd);
}

static void expect_one_and_two(void) {
    assert_int_equal(number_of(1), 1);
    assert_int_equal(number_of(2), 2);
    assert_int_equal(number_of(3), 0);
    assert_int_equal(number_of(4), 0);
    assert_true(there("layers/1") && there("layers/2"));
    assert_false(there("layers/3") || there("layers/4"));
    assert_int_equal(manifest_check_layer(store, 1, true, &err), 1);
    assert_int_equal(manifest_check_layer(store, 2, true, &err), 1);
    assert_int_equal(flags_of(2), 0);
    assert_false(fact_is_set("unsynced") || fact_is_set("dropped"));
    _object_ struct object *object = NULL;
    assert_int_equal(index_lookup(store, index_newest(INDEX_PROJECT_LINE), INDEX_ROOT, "f", &object, &err), 1);
    assert_int_equal(object->meta.size, strlen("two"));
    struct live_entry live;
    assert_int_equal(live_find(store, INDEX_ROOT, "f", &live, &err), 1);
    assert_int_equal(live.object, object->id);
    _free_ char *parent = NULL;
    assert_int_equal(store_fact(store, "project.parent", &parent, &err), 1);
    assert_string_equal(parent, "2");
}

static void prepare_a_torn_third_of_four(void) {
    take("one", true);
    take("two", false);
    take("third", false);
    take("and fourth", false);
    tear(3);
    lose_power();
}

static void a_torn_snapshot_goes_with_all_that_came_after(void **state) {
    (void)state;
    prepare_a_torn_third_of_four();
    assert_int_equal(store_recovery_needed(store, &err), 1);
    recover();
    expect_one_and_two();
    assert_true(told("snapshot 2 was not flushed when the machine went down; it was checked and is whole"));
    assert_true(told("snapshot 3 was not flushed when the machine went down, is not whole, and was dropped: "));
    assert_true(told("snapshot 4 came after snapshot 3 and was dropped with it"));
    assert_string_equal(state_of_take(2), "done");
    assert_string_equal(state_of_take(3), "failed");
    assert_string_equal(state_of_take(4), "failed");
    int64_t next = take("again", true);
    assert_int_equal(manifest_check_layer(store, next, true, &err), 1);
    recover();
    assert_int_equal(number_of(next), next);
}

static void a_lost_layer_is_a_torn_one(void **state) {
    (void)state;
    take("one", false);
    OK(fs_remove_tree(store_layers_fd(store), "1"));
    lose_power();
    recover();
    assert_int_equal(number_of(1), 0);
    assert_int_equal(index_newest_number(store, INDEX_PROJECT_LINE, &err), 0);
}

static void what_was_undoable_by_a_dropped_snapshot_is_no_more(void **state) {
    (void)state;
    prepare_a_torn_third_of_four();
    OK(store_begin(store, &err));
    struct op kept = { .kind = "rollback", .state = "done", .before = 2, .after = 1 },
              gone = { .kind = "rollback", .state = "done", .before = 4, .after = 1 },
              tag = { .kind = "tag", .state = "done", .target = 3 };
    OK(op_begin(store, &kept, NULL, &err));
    OK(op_begin(store, &gone, NULL, &err));
    OK(op_begin(store, &tag, NULL, &err));
    OK(store_commit(store, true, &err));
    recover();
    _op_ struct op *candidate = NULL;
    assert_int_equal(op_undo_candidate(store, 0, &candidate, &err), 1);
    assert_int_equal(candidate->id, kept.id);
}

/* Recovery itself is killed at its nth system call, for every n; the next one comes to the same end. */

static void copy_store(const char *name) {
    char command[512];
    snprintf(command, sizeof(command), "rm -rf %s/store && cp -a %s/%s %s/store", where, where, name, where);
    assert_int_equal(system(command), 0);
}

static void recover_in_child(void) {
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) != 0)
        _exit(2);
    struct store *mine = NULL;
    if (store_open(path, &mine, &err) < 0 || store_lock(mine, STORE_LOCK_TRY, "child", NULL, &err) < 0 ||
        store_recover(mine, NULL, NULL, &err) < 0)
        _exit(3);
    _exit(0);
}

/* False: it came to its end before. */
static bool killed_at(unsigned calls) {
    int status;
    pid_t pid = fork();
    OK(pid);
    if (pid == 0)
        recover_in_child();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    for (unsigned stops = 0; WIFSTOPPED(status); stops++) {
        bool last = stops == 2 * calls;      /* a stop when entering each call, and one when leaving it */
        OK(last ? kill(pid, SIGKILL) : ptrace(PTRACE_SYSCALL, pid, NULL, NULL));
        assert_int_equal(waitpid(pid, &status, 0), pid);
    }
    assert_true(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return WIFSIGNALED(status);
}

static void killed_at_any_call_it_is_finished_by_the_next(void **state) {
    (void)state;
    prepare_a_torn_third_of_four();
    OK(mkdirat(store_work_fd(store), "5", 0700));
    OK(mkdirat(store_layers_fd(store), "5", 0700));
    OK(mkdirat(store_layers_fd(store), "5/tree", 0700));
    store = store_close(store);
    char torn[160];
    snprintf(torn, sizeof(torn), "%s/torn", where);
    OK(rename(path, torn));
    unsigned calls = 0;
    for (bool killed = true; killed; calls++) {
        copy_store("torn");
        killed = killed_at(calls);
        open_locked();
        assert_true(killed || store_recovery_needed(store, &err) == 0);
        recover();
        expect_one_and_two();
        assert_false(there("layers/5"));
        store = store_close(store);
    }
    assert_true(calls > 100);
    open_locked();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_store_at_rest_needs_nothing),
        TEST(recovery_needs_the_lock),
        TEST(work_that_was_cut_short_is_removed),
        TEST(a_layer_that_was_published_but_not_recorded_is_removed),
        TEST(all_layers_go_whose_snapshots_the_database_lost),
        TEST(what_is_no_layer_of_ours_is_left_alone),
        TEST(dropped_layers_go_also_when_their_removal_was_cut_short),
        TEST(a_list_of_dropped_layers_that_is_none_is_damage),
        TEST(without_a_power_loss_nothing_is_in_doubt),
        TEST(a_flush_ends_all_doubt),
        TEST(what_is_whole_after_a_power_loss_stays),
        TEST(a_torn_snapshot_goes_with_all_that_came_after),
        TEST(a_lost_layer_is_a_torn_one),
        TEST(what_was_undoable_by_a_dropped_snapshot_is_no_more),
        TEST(killed_at_any_call_it_is_finished_by_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
