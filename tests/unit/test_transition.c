/* transition: rollback, undo and redo by the library's verbs on a scratch project; races, failures and kills forced at the
 * named points of the protocol. Opens no registry and starts no command line. SPDX-License-Identifier: GPL-2.0-or-later */
#include "scratch.h"
#include "scan.h"
#include "transition.h"
#include <stdatomic.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

/* What was told. */

static struct { unsigned failed, conflicts, recovered, info; char path[256]; char text[512]; } told;

static void hear(void *data, enum snap_notice kind, const char *path, const char *text) {
    (void)data;
    if (getenv("TOLD"))
        print_message("told %d: %s: %s\n", (int)kind, path ? path : "", text);
    switch (kind) {
    case SNAP_NOTICE_FAILED_PATH: told.failed++; break;
    case SNAP_NOTICE_CONFLICT: told.conflicts++; break;
    case SNAP_NOTICE_RECOVERED: told.recovered++; break;
    case SNAP_NOTICE_INFO: told.info++; break;
    }
    snprintf(told.path, sizeof(told.path), "%s", path ? path : "");
    snprintf(told.text, sizeof(told.text), "%s", text);
}

static int listen(void **state, int r) {
    memset(&told, 0, sizeof(told));
    if (r == 0)
        ((struct scratch *)*state)->project->env.notice = hear;
    hook_function = NULL;
    return r;
}

static int setup(void **state) {
    return listen(state, scratch_setup(state));
}

/* For tests that go back and forth many times. */
static int setup_in_memory(void **state) {
    return listen(state, scratch_setup_in_memory(state));
}

/* Verbs. */

static int64_t take(struct scratch *scratch) {
    struct snap_take_result result = {0};
    struct snap_err err = {0};
    if (take_run(scratch->project, &(struct take_request){ .options = { .no_sync = true } }, &result, &err) < 0)
        fail_msg("%s", err.message);
    return result.number;
}

static int roll_back(struct scratch *scratch, const char *to, const char *path, bool force, struct snap_rollback_result *ret, struct snap_err *err) {
    const char *const paths[] = { path, NULL };
    struct snap_rollback_options options = { .to = to, .paths = path ? paths : NULL, .force = force };
    return snap_rollback(scratch->project, &options, NULL, NULL, ret, err);
}

static struct snap_rollback_result must_roll_back(struct scratch *scratch, const char *to, const char *path) {
    struct snap_rollback_result result = {0};
    struct snap_err err = {0};
    if (roll_back(scratch, to, path, false, &result, &err) < 0)
        fail_msg("%s", err.message);
    return result;
}

static struct snap_rollback_result must_undo(struct scratch *scratch, int64_t operation, bool force) {
    struct snap_rollback_result result = {0};
    struct snap_err err = {0};
    if (snap_undo(scratch->project, operation, force, &result, &err) < 0)
        fail_msg("%s", err.message);
    return result;
}

static void must_redo(struct scratch *scratch) {
    struct snap_rollback_result result = {0};
    struct snap_err err = {0};
    if (snap_redo(scratch->project, false, &result, &err) < 0)
        fail_msg("%s", err.message);
}

/* The project as text: everything that a snapshot holds, and the content. */

static char *listing(struct scratch *scratch) {
    char command[512];
    struct buf text = {0};
    char block[4096];
    size_t got;
    snprintf(command, sizeof(command), "cd '%s/project' && { find . -printf '%%p %%y %%m %%U:%%G %%s %%T@ %%n %%l\\n' | sed '/ d /s/\\(:[0-9]*\\) [0-9]* \\([0-9.]*\\) [0-9]* /\\1 - \\2 /';"
             " find . -type f -exec sha1sum {} +; getfattr -R -d -m user . 2>/dev/null; find . -type f -links +1 -printf '%%i %%p\\n'"
             " | sort | awk '{ if ($1 != i) { i = $1; n++ } print n, $2 }'; } | sort", scratch->path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    while ((got = fread(block, 1, sizeof(block), pipe)) > 0)
        buf_add(&text, block, got);
    assert_int_equal(pclose(pipe), 0);
    return buf_take(&text);
}

static void expect(struct scratch *scratch, const char *want) {
    _free_ char *now = listing(scratch);
    assert_string_equal(now, want);
}

static void expect_text(struct scratch *scratch, const char *path, const char *text) {
    _buf_ struct buf content = {0};
    int r = fs_read_file(scratch->root, path, 4096, &content);
    if (!text)
        assert_int_equal(r, -ENOENT);
    else {
        assert_int_equal(r, 0);
        assert_string_equal(content.data ? content.data : "", text);
    }
}

/* Nothing differs from what the live index and the newest snapshot, after one more take, say. */
static void expect_known(struct scratch *scratch, const char *number) {
    struct snap_rollback_options options = { .to = number, .dry_run = true };
    struct snap_rollback_result result = {0};
    struct snap_err err = {0};
    if (snap_rollback(scratch->project, &options, NULL, NULL, &result, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(result.restored + result.removed, 0);
}

static void expect_clean_store(struct scratch *scratch) {
    assert_int_equal(scratch_count(store_work_fd(scratch->project->store)), 0);
}

static void make_tree(struct scratch *scratch) {
    scratch_run(scratch, "mkdir -p a/b c d/e x && echo one >a/f && echo two >a/b/g && ln a/f c/hard && ln a/f c/third && ln -s f a/sym && mkfifo d/fifo &&"
                " echo e >d/e/x && chmod 0750 d && echo keep >keep && setfattr -n user.t -v 1 keep && echo p >x/p && touch -d 2001-01-01 keep x");
}

/* Every kind of change at once, directories that swap their names included. */
static void change_tree(struct scratch *scratch) {
    scratch_run(scratch, "echo changed >a/f && mv a/b moved && rm d/fifo && rm -r d/e && echo new >d/e && rm c/hard && mkdir c/new && echo q >c/new/q &&"
                " chmod 600 keep && setfattr -x user.t keep && rm a/sym && mkdir a/sym && echo in >a/sym/in && mv x y && mv c x && mv y c && chmod 700 x");
}

/* Tests. */

static void a_rollback_brings_everything_back_and_undo_takes_it_back(void **state) {
    struct scratch *scratch = *state;
    make_tree(scratch);
    _free_ char *first = listing(scratch);
    take(scratch);
    change_tree(scratch);
    _free_ char *second = listing(scratch);
    struct snap_rollback_result result = must_roll_back(scratch, "1", NULL);
    expect(scratch, first);
    expect_known(scratch, "1");
    assert_int_equal(result.to, 1);
    assert_int_equal(result.safety, 2);
    assert_int_equal(result.failed, 0);
    assert_string_equal(result.operation_kind, "rollback");
    must_undo(scratch, 0, false);
    expect(scratch, second);
    expect_known(scratch, "2");
    must_redo(scratch);
    expect(scratch, first);
    expect_clean_store(scratch);
    assert_int_equal(told.failed + told.conflicts, 0);
}

static void a_rollback_where_nothing_differs_is_no_operation(void **state) {
    struct scratch *scratch = *state;
    make_tree(scratch);
    take(scratch);
    struct snap_rollback_result result = must_roll_back(scratch, NULL, NULL);
    assert_int_equal(result.operation, 0);
    assert_int_equal(result.safety, 0);
}

static void after_a_rollback_the_parent_is_its_snapshot(void **state) {
    struct scratch *scratch = *state;
    make_tree(scratch);
    take(scratch);
    scratch_write(scratch, "keep", "2");
    take(scratch);
    must_roll_back(scratch, "1", NULL);
    scratch_write(scratch, "keep", "3");
    struct snap_take_result result = {0};
    assert_int_equal(take_run(scratch->project, &(struct take_request){ .options = { .no_sync = true } }, &result, NULL), 0);
    assert_int_equal(result.parent, 1);
    assert_int_equal(result.number, 3);
}

static void a_take_after_a_rollback_shows_what_was_rolled_back_to(void **state) {
    struct scratch *scratch = *state;
    make_tree(scratch);
    take(scratch);
    change_tree(scratch);
    take(scratch);
    must_roll_back(scratch, "1", NULL);
    int64_t number = take(scratch);
    expect_known(scratch, "1");
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)number);
    _free_ char *now = listing(scratch);
    must_roll_back(scratch, "2", NULL);
    must_roll_back(scratch, text, NULL);
    expect(scratch, now);
}

static atomic_uint contents_read;   /* by several threads */

static int count_reading(const char *point, const char *what) {
    (void)what;
    contents_read += !strcmp(point, "capture.read");
    return 0;
}

static void what_went_back_is_not_read_by_the_next_comparison(void **state) {
    struct scratch *scratch = *state;
    if (fs_has_fine_timestamps(scratch->root) != 1)
        skip();
    make_tree(scratch);
    take(scratch);
    change_tree(scratch);
    must_roll_back(scratch, "1", NULL);
    contents_read = 0;
    hook_function = count_reading;
    expect_known(scratch, "1");
    int64_t number = take(scratch);
    hook_function = NULL;
    assert_int_equal(contents_read, 0);
    scratch_expect(scratch, number, "c/hard", "one\n");
    scratch_expect(scratch, number, "a/b/g", "two\n");
    assert_int_equal(scratch_object(scratch, number, "a/f"), scratch_object(scratch, 1, "c/third"));
}

static void a_path_alone_goes_back(void **state) {
    struct scratch *scratch = *state;
    make_tree(scratch);
    take(scratch);
    change_tree(scratch);
    _free_ char *changed = listing(scratch);
    must_roll_back(scratch, "1", "a");
    expect_text(scratch, "a/f", "one\n");
    expect_text(scratch, "a/b/g", "two\n");
    expect_text(scratch, "moved/g", "two\n");        /* not among the paths */
    expect_text(scratch, "d/e", "new\n");
    must_undo(scratch, 0, false);
    expect(scratch, changed);
}

static void the_directories_above_a_path_come_back_with_it_and_go_with_its_undo(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p p/q/r && echo 1 >p/q/r/f && echo 2 >p/q/other");
    take(scratch);
    scratch_run(scratch, "rm -r p");
    _free_ char *without = listing(scratch);
    must_roll_back(scratch, "1", "p/q/r/f");
    expect_text(scratch, "p/q/r/f", "1\n");
    expect_text(scratch, "p/q/other", NULL);
    must_undo(scratch, 0, false);
    expect(scratch, without);
}

static void directories_that_swapped_swap_back_as_the_same_inodes(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p one/in two && echo 1 >one/in/f && echo 2 >two/f");
    take(scratch);
    struct stat before, after;
    assert_int_equal(fstatat(scratch->root, "one", &before, 0), 0);
    scratch_run(scratch, "mv one three && mv two one && mv three one/two");
    must_roll_back(scratch, "1", NULL);
    assert_int_equal(fstatat(scratch->root, "one", &after, 0), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    expect_text(scratch, "one/in/f", "1\n");
    expect_text(scratch, "two/f", "2\n");
}

static void a_directory_moves_out_of_one_that_goes_with_what_is_left_out_in_it(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir sub && echo 1 >sub/f && echo '*.o' >.snapctlignore && echo precious >sub/x.o");
    take(scratch);
    scratch_run(scratch, "mkdir outer && mv sub outer/");
    must_roll_back(scratch, "1", NULL);
    expect_text(scratch, "sub/x.o", "precious\n");
    expect_text(scratch, "sub/f", "1\n");
    expect_text(scratch, "outer/sub/f", NULL);
}

static void what_is_left_out_is_neither_touched_nor_deleted(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo 1 >f && echo '/build' >.snapctlignore");
    take(scratch);
    scratch_run(scratch, "mkdir -p build new && echo o >build/o && echo '*.log' >.snapctlignore && echo l >new/x.log && echo n >new/n");
    must_roll_back(scratch, "1", NULL);
    expect_text(scratch, "build/o", "o\n");          /* the snapshot's rules leave it out */
    expect_text(scratch, "new/x.log", "l\n");        /* those of now do */
    expect_text(scratch, "new/n", NULL);
    expect_text(scratch, ".snapctlignore", "/build\n");
    assert_int_equal(told.failed, 0);
    assert_int_equal(told.info, 1);
}

static void a_hard_link_comes_back_as_a_link_to_the_name_that_stayed(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo 1 >one && ln one two && ln one three");
    _free_ char *first = listing(scratch);
    take(scratch);
    scratch_run(scratch, "rm two && cp -p three 3 && mv 3 three");
    must_roll_back(scratch, "1", NULL);
    expect(scratch, first);
    expect_known(scratch, "1");
}

static void a_name_comes_back_as_a_link_to_one_whose_directory_moves(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir d && echo text >d/a && ln d/a gone");
    take(scratch);
    scratch_run(scratch, "rm gone && echo other >d/other");
    take(scratch);
    scratch_run(scratch, "mv d e && ln e/a name");
    must_roll_back(scratch, "2", NULL);
    must_undo(scratch, 0, false);
    struct stat a, name;
    assert_int_equal(fstatat(scratch->root, "e/a", &a, 0), 0);
    assert_int_equal(fstatat(scratch->root, "name", &name, 0), 0);
    assert_int_equal(a.st_ino, name.st_ino);
}

static void a_link_that_comes_back_in_a_copy_of_its_directory_is_one_in_the_next_snapshot(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir d && echo text >d/a && ln d/a other");
    take(scratch);
    scratch_run(scratch, "rm other && mv d e");
    take(scratch);
    must_roll_back(scratch, "1", "d");
    struct stat a, b;
    assert_int_equal(fstatat(scratch->root, "d/a", &a, 0), 0);
    assert_int_equal(fstatat(scratch->root, "e/a", &b, 0), 0);
    int64_t number = take(scratch);
    assert_int_equal(scratch_object(scratch, number, "d/a") == scratch_object(scratch, number, "e/a"), a.st_ino == b.st_ino);
}

static void metadata_alone_changes_on_the_same_inode(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo 1 >f && ln f g && chmod 640 f");
    _free_ char *first = listing(scratch);
    take(scratch);
    struct stat before, after;
    assert_int_equal(fstatat(scratch->root, "f", &before, 0), 0);
    scratch_run(scratch, "chmod 600 f && setfattr -n user.x -v y f && touch f");
    must_roll_back(scratch, "1", NULL);
    assert_int_equal(fstatat(scratch->root, "f", &after, 0), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    expect(scratch, first);
}

static void a_deep_tree_comes_back(void **state) {
    struct scratch *scratch = *state;
    scratch_deep(scratch, 4000);
    scratch_write(scratch, "f", "1");
    take(scratch);
    assert_int_equal(fs_remove_tree(scratch->root, "d"), 0);
    scratch_write(scratch, "f", "2");
    struct snap_rollback_result result = must_roll_back(scratch, "1", NULL);
    assert_int_equal(result.restored, 4002);          /* with the bottom and f */
    must_undo(scratch, 0, false);
    expect_text(scratch, "f", "2");
    must_redo(scratch);
    expect_known(scratch, "1");
}

/* Races. */

static const char *race_point, *race_shell;
static struct scratch *race_scratch;

static int race(const char *point, const char *what) {
    (void)what;
    if (!race_point || strcmp(point, race_point))
        return 0;
    race_point = NULL;
    scratch_run(race_scratch, race_shell);
    return 0;
}

static void set_race(struct scratch *scratch, const char *point, const char *shell) {
    race_scratch = scratch;
    race_point = point;
    race_shell = shell;
    hook_function = race;
}

static void expect_conflict(struct scratch *scratch, const char *point, const char *shell, const char *path) {
    struct snap_rollback_result result = {0};
    struct snap_err err = {0};
    memset(&told, 0, sizeof(told));
    set_race(scratch, point, shell);
    assert_int_equal(roll_back(scratch, "1", NULL, false, &result, &err), -EBUSY);
    hook_function = NULL;
    assert_int_equal(err.failure, SNAP_FAILURE_CONFLICT);
    assert_int_equal(told.conflicts, 1);
    assert_string_equal(told.path, path);
    expect_clean_store(scratch);
}

static void a_file_that_changes_right_before_its_swap_stops_everything(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo 1 >a && echo 1 >b && mkdir d && echo 1 >d/x");
    take(scratch);
    scratch_run(scratch, "echo 2 >a && echo 2 >b && rm -r d");
    expect_conflict(scratch, "transition.exchange", "echo mine >b", "b");
    expect_text(scratch, "a", "2\n");
    expect_text(scratch, "b", "mine\n");
    expect_text(scratch, "d/x", NULL);
}

static void a_file_that_appears_where_one_is_to_come_stops_everything(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo 1 >a && echo 1 >b");
    take(scratch);
    scratch_run(scratch, "rm a b && echo n >n");
    expect_conflict(scratch, "transition.place", "echo mine >a", "a");
    expect_text(scratch, "a", "mine\n");
    expect_text(scratch, "b", NULL);
    expect_text(scratch, "n", "n\n");
}

static void a_file_that_changes_right_before_it_is_removed_stays(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo 1 >a");
    take(scratch);
    scratch_run(scratch, "echo 2 >a && echo n >n");
    expect_conflict(scratch, "transition.displace", "echo mine >n", "n");
    expect_text(scratch, "a", "2\n");
    expect_text(scratch, "n", "mine\n");
}

static void a_file_written_through_an_old_descriptor_comes_back(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo 1 >a");
    take(scratch);
    scratch_run(scratch, "echo 2 >a");
    expect_conflict(scratch, "transition.look", "find ../store/work -type f -name 'n*' -exec sh -c 'echo mine >>\"$0\"' {} ';'", "a");
    expect_text(scratch, "a", "2\nmine\n");
}

static void a_new_file_in_a_directory_that_goes_keeps_it(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo 1 >a");
    take(scratch);
    scratch_run(scratch, "mkdir d && echo 1 >d/x");
    set_race(scratch, "transition.displace", "echo mine >d/mine");
    must_roll_back(scratch, "1", NULL);
    hook_function = NULL;
    expect_text(scratch, "d/mine", "mine\n");
    expect_text(scratch, "d/x", NULL);
    assert_int_equal(told.failed, 1);
    assert_string_equal(told.path, "d");
}

static void a_file_changed_between_its_swap_and_the_commit_is_seen_by_status(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo 1 >a");
    take(scratch);
    scratch_run(scratch, "echo 2 >a");
    set_race(scratch, "transition.swapped", "echo 3 >a && touch -d '2000-01-01' a && chmod 604 a");
    must_roll_back(scratch, "1", NULL);
    hook_function = NULL;
    take(scratch);
    must_roll_back(scratch, "1", NULL);
    expect_text(scratch, "a", "1\n");
    must_undo(scratch, 0, false);
    expect_text(scratch, "a", "3\n");
}

/* Writers. */

static void a_file_open_for_writing_refuses_everything(void **state) {
    struct scratch *scratch = *state;
    struct snap_rollback_result result = {0};
    struct snap_err err = {0};
    scratch_run(scratch, "echo 1 >a && echo 1 >b");
    take(scratch);
    scratch_run(scratch, "echo 2 >a && echo 2 >b");
    int fd = openat(scratch->root, "b", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(roll_back(scratch, "1", NULL, false, &result, &err), -ETXTBSY);
    char pid[24];
    snprintf(pid, sizeof(pid), "%d", getpid());
    assert_non_null(strstr(err.message, pid));
    assert_non_null(strstr(err.hint, "--force"));
    expect_text(scratch, "a", "2\n");
    assert_int_equal(roll_back(scratch, "1", NULL, true, &result, &err), 0);
    close(fd);
    expect_text(scratch, "a", "1\n");
    expect_text(scratch, "b", "1\n");
}

/* Undo. */

/* The same inode gets other metadata while a process has it mapped: its stores into a page that is dirty change no time. */
static void stores_through_a_mapping_are_noticed_after_metadata_went_back(void **state) {
    struct scratch *scratch = *state;
    scratch_write(scratch, "a", "one");
    int fd = openat(scratch->root, "a", O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    char *map = mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    close(fd);
    map[0] = 'O';
    take(scratch);
    scratch_run(scratch, "chmod 600 a");
    must_roll_back(scratch, "1", NULL);
    map[1] = 'N';
    scratch_expect(scratch, take(scratch), "a", "ONe");
    scratch_run(scratch, "chmod 640 a");
    must_roll_back(scratch, "3", NULL);
    must_undo(scratch, 0, false);
    map[2] = 'E';
    scratch_expect(scratch, take(scratch), "a", "ONE");
    munmap(map, 3);
}

static void undo_lists_every_path_that_changed_since_and_writes_nothing(void **state) {
    struct scratch *scratch = *state;
    struct snap_rollback_result result = {0};
    struct snap_err err = {0};
    scratch_run(scratch, "echo 1 >a && echo 1 >b && echo 1 >c && echo 1 >other");
    take(scratch);
    scratch_run(scratch, "echo 2 >a && echo 2 >b && rm c");
    must_roll_back(scratch, "1", NULL);
    scratch_run(scratch, "echo mine >a && rm c && echo 9 >other");
    assert_int_equal(snap_undo(scratch->project, 0, false, &result, &err), -EBUSY);
    assert_int_equal(err.failure, SNAP_FAILURE_CONFLICT);
    assert_int_equal(told.conflicts, 1);                             /* c is gone, as it shall be */
    assert_string_equal(told.path, "a");
    expect_text(scratch, "b", "1\n");
    must_undo(scratch, 0, true);
    expect_text(scratch, "a", "2\n");
    expect_text(scratch, "b", "2\n");
    expect_text(scratch, "c", NULL);
    expect_text(scratch, "other", "9\n");
}

static void undo_leaves_what_the_operation_did_not_change(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir d && echo 1 >d/a && echo 1 >d/b");
    take(scratch);
    scratch_run(scratch, "echo 2 >d/a");
    must_roll_back(scratch, "1", NULL);
    scratch_run(scratch, "echo 3 >d/b && echo n >d/n");
    must_undo(scratch, 0, false);
    expect_text(scratch, "d/a", "2\n");
    expect_text(scratch, "d/b", "3\n");
    expect_text(scratch, "d/n", "n\n");
}

static void a_forced_undo_can_be_undone_by_its_safety_snapshot(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir d && echo 1 >d/a");
    take(scratch);
    scratch_run(scratch, "rm -r d && mkdir e && echo 2 >e/a");
    must_roll_back(scratch, "1", NULL);
    scratch_run(scratch, "echo mine >d/a && echo new >d/new && mkdir f && mv d f/");
    struct snap_rollback_result result = must_undo(scratch, 0, true);
    assert_true(result.safety > 0);
    expect_text(scratch, "e/a", "2\n");
    char number[24];
    snprintf(number, sizeof(number), "%lld", (long long)result.safety);
    must_roll_back(scratch, number, NULL);
    expect_text(scratch, "f/d/a", "mine\n");
    expect_text(scratch, "f/d/new", "new\n");
}

static void undo_of_an_undo_is_refused_with_redo_as_the_hint(void **state) {
    struct scratch *scratch = *state;
    struct snap_rollback_result result = {0};
    struct snap_err err = {0};
    scratch_run(scratch, "echo 1 >a");
    take(scratch);
    scratch_run(scratch, "echo 2 >a");
    must_roll_back(scratch, "1", NULL);
    must_undo(scratch, 0, false);
    assert_true(snap_undo(scratch->project, 0, false, &result, &err) < 0);
    must_redo(scratch);
    expect_text(scratch, "a", "1\n");
}

static void a_directory_that_comes_back_has_not_what_the_newest_snapshot_has_in_it(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir h && touch h/x h/y h/z && mkdir h/d && touch h/d/f");
    take(scratch);                                   /* 1: all of it */
    scratch_run(scratch, "rm -r h");
    take(scratch);                                   /* 2: nothing */
    must_roll_back(scratch, "1", NULL);
    scratch_run(scratch, "rm -r h/y h/d");
    take(scratch);                                   /* 3: some of it */
    _free_ char *some = listing(scratch);
    must_roll_back(scratch, "2", NULL);
    must_roll_back(scratch, "1", NULL);
    must_roll_back(scratch, "3", NULL);              /* whose safety snapshot has all of it */
    for (unsigned i = 0; i < 3; i++)
        must_undo(scratch, 0, false);
    expect(scratch, some);
    int64_t last = take(scratch);
    scratch_expect(scratch, last, "h/x", "");
    scratch_expect(scratch, last, "h/y", NULL);
    scratch_expect(scratch, last, "h/d/f", NULL);
}

/* Kills and failures at every point. */

static unsigned countdown;
static int failing;            /* 0 = die there */
static bool only_transition;   /* whose points come in one thread and in the same order each time */

static bool from_there_on;     /* it fails at all later points as well */

static int strike(const char *point, const char *what) {
    (void)what;
    if (!strcmp(point, "transition.look") || (!strcmp(point, "transition.back") && !from_there_on) || (only_transition && strncmp(point, "transition.", 11)))
        return 0;
    if (countdown == 0 || --countdown > 0)
        return 0;
    countdown = from_there_on;
    if (!failing)
        _exit(99);
    return failing;
}

static void reopen(struct scratch *scratch) {
    struct snap_err err = {0};
    char path[128];
    snprintf(path, sizeof(path), "%s/store", scratch->path);
    struct store *store = NULL;
    if (store_open(path, &store, &err) < 0 || store_lock(store, STORE_LOCK_TRY, "test", NULL, &err) < 0)
        fail_msg("%s", err.message);
    scratch->project->store = store;
}

static void shut(struct scratch *scratch) {
    scratch->project->layers = layers_close(scratch->project->layers);
    scratch->project->store = store_close(scratch->project->store);
}

static int recover(struct scratch *scratch) {
    struct snap_err err = {0};
    int r = transition_recover(scratch->project, &err);
    if (r == 0)
        r = store_recover(scratch->project->store, NULL, NULL, &err);
    return r;
}

/* Runs `verb` in a child that dies at its nth point; false: it ran to its end. */
static bool killed_at(struct scratch *scratch, unsigned nth, int (*verb)(struct scratch *)) {
    shut(scratch);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        reopen(scratch);
        countdown = nth;
        failing = 0;
        hook_function = strike;
        _exit(verb(scratch) < 0 ? 1 : 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    reopen(scratch);
    assert_true(WIFEXITED(status));
    assert_int_not_equal(WEXITSTATUS(status), 1);
    return WEXITSTATUS(status) == 99;
}

static int verb_rollback(struct scratch *scratch) {
    struct snap_rollback_result result;
    return roll_back(scratch, "1", NULL, false, &result, NULL);
}

static int verb_undo(struct scratch *scratch) {
    struct snap_rollback_result result;
    return snap_undo(scratch->project, 0, false, &result, NULL);
}

static int verb_recover(struct scratch *scratch) {
    return recover(scratch);
}

static void expect_either(struct scratch *scratch, const char *before, const char *after, unsigned nth) {
    _free_ char *now = listing(scratch);
    if (strcmp(now, before) && strcmp(now, after))
        fail_msg("killed at point %u, the project is neither as before nor as after:\n%s\nbefore:\n%s\nafter:\n%s", nth, now, before, after);
    expect_clean_store(scratch);
}

static void killed_at_every_point_a_rollback_and_its_undo_happen_wholly_or_not_at_all(void **state) {
    struct scratch *scratch = *state;
    make_tree(scratch);
    _free_ char *first = listing(scratch);
    take(scratch);
    change_tree(scratch);
    _free_ char *second = listing(scratch);
    take(scratch);
    bool more = true;
    for (unsigned nth = 1; more; nth++) {
        more = killed_at(scratch, nth, verb_rollback);
        assert_int_equal(recover(scratch), 0);
        expect_either(scratch, second, first, nth);
        must_roll_back(scratch, "1", NULL);
        expect(scratch, first);
        expect_known(scratch, "1");
        must_roll_back(scratch, "2", NULL);
        expect(scratch, second);
    }
    must_roll_back(scratch, "1", NULL);
    more = true;
    for (unsigned nth = 1; more; nth++) {
        more = killed_at(scratch, nth, verb_undo);
        assert_int_equal(recover(scratch), 0);
        expect_either(scratch, first, second, nth);
        must_roll_back(scratch, "2", NULL);
        must_roll_back(scratch, "1", NULL);
    }
    assert_int_equal(told.failed + told.conflicts, 0);
}

static void killed_during_recovery_the_next_one_goes_on(void **state) {
    struct scratch *scratch = *state;
    make_tree(scratch);
    _free_ char *first = listing(scratch);
    take(scratch);
    change_tree(scratch);
    _free_ char *second = listing(scratch);
    take(scratch);
    bool more = true;
    for (unsigned nth = 20; more; nth += 7) {
        for (unsigned again = 1; more; again += 5) {
            more = killed_at(scratch, nth, verb_rollback);
            bool unfinished = killed_at(scratch, again, verb_recover);
            assert_int_equal(recover(scratch), 0);
            expect_either(scratch, second, first, nth);
            must_roll_back(scratch, "1", NULL);
            must_roll_back(scratch, "2", NULL);
            expect(scratch, second);
            if (!unfinished)
                break;
        }
    }
    assert_int_equal(told.failed + told.conflicts, 0);
}

static void without_room_at_any_point_everything_is_put_back(void **state) {
    struct scratch *scratch = *state;
    make_tree(scratch);
    _free_ char *first = listing(scratch);
    take(scratch);
    change_tree(scratch);
    _free_ char *second = listing(scratch);
    take(scratch);
    only_transition = true;
    for (unsigned nth = 1; ; nth++) {
        struct snap_rollback_result result = {0};
        struct snap_err err = {0};
        countdown = nth;
        failing = -ENOSPC;
        hook_function = strike;
        int r = roll_back(scratch, "1", NULL, false, &result, &err);
        hook_function = NULL;
        if (r == 0)
            break;
        assert_int_equal(r, -ENOSPC);
        expect(scratch, second);
        expect_clean_store(scratch);
    }
    only_transition = false;
    expect(scratch, first);
    assert_int_equal(told.failed + told.conflicts, 0);
}

static bool refused;

static int refuse_once(const char *point, const char *what) {
    (void)what;
    if (refused || strcmp(point, "transition.stage"))
        return 0;
    refused = true;
    return -ENOSPC;
}

static void a_recovery_that_cannot_go_on_puts_everything_back(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir d m && for i in 1 2 3 4 5 6 7 8; do echo 1 >d/$i; done && echo 1 >m/f");
    take(scratch);
    scratch_run(scratch, "for i in 1 2 3 4; do echo 2 >d/$i; done && rm d/5 d/6 && echo 9 >d/9 && mkdir d/new && mv m d/new/");
    _free_ char *second = listing(scratch);
    take(scratch);
    only_transition = true;
    unsigned put_back = 0;
    for (unsigned nth = 1; killed_at(scratch, nth, verb_rollback); nth++) {
        refused = false;
        hook_function = refuse_once;
        memset(&told, 0, sizeof(told));
        assert_int_equal(recover(scratch), 0);
        hook_function = NULL;
        if (refused) {
            put_back++;
            expect(scratch, second);
            assert_non_null(strstr(told.text, "put back"));
        }
        assert_int_equal(told.failed + told.conflicts, 0);
        must_roll_back(scratch, "1", NULL);
        must_roll_back(scratch, "2", NULL);
        expect(scratch, second);
        expect_known(scratch, "2");
    }
    only_transition = false;
    assert_true(put_back > 5);
}

static void somebody_elses_change_between_a_kill_and_its_recovery_stays(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "for i in 1 2 3 4 5 6 7 8; do echo 1 >f$i; done");
    take(scratch);
    scratch_run(scratch, "for i in 1 2 3 4 5 6 7 8; do echo 2 >f$i; done");
    take(scratch);
    unsigned nth = 1;
    do {
        assert_true(killed_at(scratch, nth++, verb_rollback));
        _buf_ struct buf text = {0};
        assert_int_equal(fs_read_file(scratch->root, "f1", 16, &text), 0);
        if (text.data[0] == '1')
            break;
        assert_int_equal(recover(scratch), 0);
        must_roll_back(scratch, "2", NULL);
    } while (true);
    scratch_run(scratch, "echo mine >f8 && echo mine >f1");
    memset(&told, 0, sizeof(told));
    assert_int_equal(recover(scratch), 0);
    assert_int_equal(told.recovered, 1);
    expect_text(scratch, "f8", "mine\n");
    expect_text(scratch, "f1", "mine\n");
    expect_text(scratch, "f2", "1\n");
    expect_text(scratch, "f7", "1\n");
    assert_int_equal(told.failed, 2);
}

static void an_interrupted_rollback_changes_nothing(void **state) {
    struct scratch *scratch = *state;
    static volatile sig_atomic_t cancel;
    struct snap_rollback_result result = {0};
    struct snap_err err = {0};
    make_tree(scratch);
    take(scratch);
    change_tree(scratch);
    _free_ char *second = listing(scratch);
    take(scratch);
    cancel = 1;
    scratch->project->env.cancel = &cancel;
    assert_int_equal(roll_back(scratch, "1", NULL, false, &result, &err), -ECANCELED);
    assert_int_equal(err.failure, SNAP_FAILURE_INTERRUPTED);
    scratch->project->env.cancel = NULL;
    expect(scratch, second);
    expect_clean_store(scratch);
}

/* Restores. */

static int restore(struct scratch *scratch, const char *spec, const char *dest, struct snap_err *err) {
    struct snap_rollback_result result = {0};
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", scratch->path, dest);
    return snap_restore(scratch->project, spec, path, true, &result, err);
}

static int verb_restore(struct scratch *scratch) {
    return restore(scratch, "1:d", "project/e", NULL);
}

static void a_restore_cut_short_in_a_project_that_moved_since_is_finished_or_put_back(void **state) {
    struct scratch *scratch = *state;
    char project[128], moved[128];
    snprintf(project, sizeof(project), "%s/project", scratch->path);
    snprintf(moved, sizeof(moved), "%s/moved", scratch->path);
    scratch_run(scratch, "mkdir d && echo past >d/f");
    take(scratch);
    scratch_run(scratch, "mkdir e && echo mine >e/g && touch -d @1000000000 e");
    take(scratch);
    bool more = true;
    for (unsigned nth = 1; more; nth++) {
        more = killed_at(scratch, nth, verb_restore);
        assert_int_equal(rename(project, moved), 0);
        assert_int_equal(recover(scratch), 0);
        assert_int_equal(rename(moved, project), 0);
        expect_clean_store(scratch);
        scratch_run(scratch, "! ls -A | grep -q snapctl");
        struct stat stat;
        bool done = fstatat(scratch->root, "e/f", &stat, 0) == 0;
        assert_int_equal(fstatat(scratch->root, "e/g", &stat, 0), done ? -1 : 0);
        if (done)
            must_undo(scratch, 0, false);
        expect_text(scratch, "e/g", "mine\n");
    }
}

static void what_is_written_while_a_restore_is_undone_is_kept(void **state) {
    struct scratch *scratch = *state;
    struct snap_err err = {0};
    scratch_run(scratch, "mkdir d && echo past >d/f");
    take(scratch);
    assert_int_equal(restore(scratch, "1:d", "out", &err), 0);
    set_race(scratch, "restore.swap", "echo mine >../out/f");
    must_undo(scratch, 0, false);
    hook_function = NULL;
    assert_int_equal(told.info, 1);
    scratch_run(scratch, "grep -qr mine ../store/held");
}

static int take_the_name(const char *point, const char *what) {
    (void)what;
    if (strcmp(point, "restore.swap"))
        return 0;
    scratch_run(scratch_now, "echo mine >../out");
    return 0;
}

static void a_restore_without_overwriting_displaces_nothing_that_came_meanwhile(void **state) {
    struct scratch *scratch = *state;
    struct snap_rollback_result result = {0};
    char path[256];
    scratch_run(scratch, "echo past >f");
    take(scratch);
    snprintf(path, sizeof(path), "%s/out", scratch->path);
    hook_function = take_the_name;
    assert_int_equal(snap_restore(scratch->project, "1:f", path, false, &result, NULL), -EEXIST);
    hook_function = NULL;
    scratch_run(scratch, "grep -q mine ../out && ! ls -A .. | grep -q snapctl-restore");
    expect_clean_store(scratch);
}

static void a_directory_whose_place_stays_taken_keeps_what_is_left_out_in_it(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo '*.o' >.snapctlignore && mkdir a && echo 1 >a/f && echo precious >a/x.o");
    take(scratch);
    scratch_run(scratch, "mv a b && mkdir a && echo n >a/n && echo other >a/y.o && echo 2 >b/f");
    must_roll_back(scratch, "1", NULL);
    expect_text(scratch, "b/x.o", "precious\n");
    expect_text(scratch, "b/f", "2\n");
    expect_text(scratch, "a/y.o", "other\n");
    assert_true(told.failed > 0);
    expect_clean_store(scratch);
    scratch_run(scratch, "rm a/y.o");
    must_roll_back(scratch, "1", NULL);
    expect_text(scratch, "a/x.o", "precious\n");
    expect_text(scratch, "a/f", "1\n");
}

static void a_directory_whose_place_cannot_be_made_keeps_what_is_left_out_in_it(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo '*.o' >.snapctlignore && mkdir -p fixed/new/a && echo 1 >fixed/new/a/f && echo precious >fixed/new/a/x.o && echo 1 >g");
    take(scratch);
    scratch_run(scratch, "mv fixed/new/a b && rmdir fixed/new && echo 2 >g");
    char command[256];
    snprintf(command, sizeof(command), "chattr +i '%s/project/fixed' 2>/dev/null", scratch->path);
    if (system(command) != 0) {
        print_message("skipped: no immutable directories here\n");
        skip();
    }
    must_roll_back(scratch, "1", NULL);
    expect_text(scratch, "b/x.o", "precious\n");
    expect_text(scratch, "g", "1\n");
    expect_clean_store(scratch);
    snprintf(command, sizeof(command), "chattr -i '%s/project/fixed'", scratch->path);
    assert_int_equal(system(command), 0);
    must_roll_back(scratch, "1", NULL);
    expect_text(scratch, "fixed/new/a/x.o", "precious\n");
    expect_text(scratch, "fixed/new/a/f", "1\n");
}

/* What replaces a directory that holds something left out of snapshots. */

static void make_built(struct scratch *scratch) {
    scratch_run(scratch, "echo build/ >.snapctlignore && mkdir -p d/in/build d/build d/only d/dir && echo 1 >d/dir/f && echo 1 >d/file && echo 1 >d/f && echo 1 >d/in/f && echo 1 >d/only/f &&"
                " ln d/f d/in/link && echo o >d/build/o && echo p >d/in/build/p && chmod 750 d && setfattr -n user.t -v 1 d/in && touch -d 2001-01-01 d/in d");
}

/* The same names, all of other directories, with other things in them. */
static void replace_built(struct scratch *scratch) {
    scratch_run(scratch, "mv d away && mkdir -p d/in/build d/build d/more d/file && echo 2 >d/file/f && echo 2 >d/dir && echo 2 >d/f && echo 2 >d/in/f && echo 2 >d/in/g && ln d/in/g d/more/g &&"
                " echo o2 >d/build/o && echo p2 >d/in/build/p && chmod 700 d/in && rm -r away && touch -d 2002-02-02 d/in d");
}

static void expect_built(struct scratch *scratch) {
    expect_text(scratch, "d/build/o", "o2\n");
    expect_text(scratch, "d/in/build/p", "p2\n");
}

/* What is left out aside. */
static char *listing_of_kept(struct scratch *scratch) {
    _free_ char *all = listing(scratch);
    struct buf some = {0};
    for (char *line = strtok(all, "\n"); line; line = strtok(NULL, "\n"))
        if (!strstr(line, "build/") && !strstr(line, "/build"))
            buf_fmt(&some, "%s\n", line);
    return buf_take(&some);
}

static void expect_kept(struct scratch *scratch, const char *want) {
    _free_ char *now = listing_of_kept(scratch);
    assert_string_equal(now, want);
    expect_built(scratch);
}

static void a_replaced_directory_comes_back_around_what_is_left_out_in_its_successor(void **state) {
    struct scratch *scratch = *state;
    make_built(scratch);
    _free_ char *first = listing_of_kept(scratch);
    take(scratch);
    replace_built(scratch);
    _free_ char *second = listing_of_kept(scratch);
    must_roll_back(scratch, "1", NULL);
    expect_kept(scratch, first);
    expect_known(scratch, "1");
    must_undo(scratch, 0, false);
    expect_kept(scratch, second);
    expect_known(scratch, "2");
    must_redo(scratch);
    expect_kept(scratch, first);
    take(scratch);
    must_roll_back(scratch, "2", NULL);
    expect_kept(scratch, second);
    expect_clean_store(scratch);
    assert_int_equal(told.failed + told.conflicts, 0);
}

static void a_path_in_a_replaced_directory_comes_back_alone(void **state) {
    struct scratch *scratch = *state;
    make_built(scratch);
    take(scratch);
    replace_built(scratch);
    _free_ char *second = listing_of_kept(scratch);
    must_roll_back(scratch, "1", "d/in");
    expect_text(scratch, "d/in/f", "1\n");
    expect_text(scratch, "d/in/g", NULL);
    expect_text(scratch, "d/f", "2\n");
    expect_built(scratch);
    must_undo(scratch, 0, false);
    expect_kept(scratch, second);
    assert_int_equal(told.failed + told.conflicts, 0);
}

static void expect_either_kept(struct scratch *scratch, const char *before, const char *after, unsigned nth) {
    _free_ char *now = listing_of_kept(scratch);
    if (strcmp(now, before) && strcmp(now, after))
        fail_msg("killed at point %u, the project is neither as before nor as after:\n%s\nbefore:\n%s\nafter:\n%s", nth, now, before, after);
    expect_built(scratch);
    expect_clean_store(scratch);
}

static void killed_at_every_point_a_replaced_directory_is_wholly_one_or_the_other(void **state) {
    struct scratch *scratch = *state;
    make_built(scratch);
    _free_ char *first = listing_of_kept(scratch);
    take(scratch);
    replace_built(scratch);
    _free_ char *second = listing_of_kept(scratch);
    take(scratch);
    only_transition = true;
    for (unsigned nth = 1, more = 1; more; nth++) {
        more = killed_at(scratch, nth, verb_rollback);
        assert_int_equal(recover(scratch), 0);
        expect_either_kept(scratch, second, first, nth);
        must_roll_back(scratch, "1", NULL);
        expect_kept(scratch, first);
        expect_known(scratch, "1");
        must_roll_back(scratch, "2", NULL);
        expect_kept(scratch, second);
        expect_known(scratch, "2");
    }
    for (unsigned nth = 1; ; nth++) {
        struct snap_rollback_result result = {0};
        countdown = nth;
        failing = -ENOSPC;
        hook_function = strike;
        int r = roll_back(scratch, "1", NULL, false, &result, NULL);
        hook_function = NULL;
        if (r == 0)
            break;
        expect_kept(scratch, second);
        expect_clean_store(scratch);
    }
    must_roll_back(scratch, "2", NULL);
    from_there_on = true;
    for (unsigned nth = 1, more = 1; more; nth++) {
        struct snap_rollback_result result = {0};
        countdown = nth;
        failing = -EIO;
        hook_function = strike;
        more = roll_back(scratch, "1", NULL, false, &result, NULL) < 0;
        hook_function = NULL;
        assert_int_equal(recover(scratch), 0);
        expect_either_kept(scratch, second, first, nth);
        must_roll_back(scratch, "2", NULL);
        expect_kept(scratch, second);
    }
    only_transition = from_there_on = false;
    assert_int_equal(told.failed + told.conflicts, 0);
}

/* Other mounts and devices. */

/* Runs it in the directory that holds project/ and store/; false: it fails. */
static bool run_beside(struct scratch *scratch, const char *shell) {
    _free_ char *command = NULL;
    assert_true(asprintf(&command, "cd '%s' && { %s; } 2>/dev/null", scratch->path, shell) > 0);
    return system(command) == 0;
}

static void open_project_again(struct scratch *scratch) {
    struct statx stat;
    close(scratch->root);
    scratch->root = open(scratch->project->info.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(scratch->root >= 0);
    assert_int_equal(fs_statx(scratch->root, "", &stat), 0);
    scratch->project->root = scratch->root;
    scratch->project->device = (uint64_t)stat.stx_dev_major << 32 | stat.stx_dev_minor;
    scratch->project->mount = stat.stx_mnt_id;
}

static void must_mount(struct scratch *scratch, const char *shell) {
    if (geteuid() != 0 || !run_beside(scratch, shell)) {
        print_message("skipped: cannot mount here\n");
        skip();
    }
    open_project_again(scratch);
}

static int teardown_mounted(void **state) {
    struct scratch *scratch = *state;
    (void)run_beside(scratch, "umount -l project");
    return scratch_teardown(state);
}

static void killed_at_every_point_where_the_store_is_on_another_mount(void **state) {
    struct scratch *scratch = *state;
    must_mount(scratch, "mount --bind project project");
    scratch->project->info.same_file_system = false;
    make_tree(scratch);
    _free_ char *first = listing(scratch);
    take(scratch);
    change_tree(scratch);
    _free_ char *second = listing(scratch);
    take(scratch);
    only_transition = true;
    for (unsigned nth = 1, more = 1; more; nth++) {
        more = killed_at(scratch, nth, verb_rollback);
        assert_int_equal(recover(scratch), 0);
        expect_either(scratch, second, first, nth);
        must_roll_back(scratch, "1", NULL);
        expect(scratch, first);
        expect_known(scratch, "1");
        must_roll_back(scratch, "2", NULL);
        expect(scratch, second);
    }
    only_transition = false;
    assert_int_equal(told.failed + told.conflicts, 0);
}

/* What an overlay's lower layer has cannot be renamed; as soon as it was touched, it is in the upper one. */

#define OVERLAY "touch -r lower upper && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work project"

static void make_overlay(struct scratch *scratch) {
    make_tree(scratch);
    scratch_run(scratch, "rm c/hard c/third && echo 3 >c/third");       /* copying up makes two files of two names */
    if (geteuid() != 0 || !run_beside(scratch, "mv project lower && mkdir project upper work"))
        skip();
    must_mount(scratch, OVERLAY);
}

static void set_overlay_back(struct scratch *scratch) {
    shut(scratch);
    assert_true(run_beside(scratch, "umount -l project && rm -rf upper work store && mkdir upper work && cp -a kept store"));
    must_mount(scratch, OVERLAY);
    reopen(scratch);
}

static void killed_or_failing_at_every_point_where_directories_cannot_be_renamed(void **state) {
    struct scratch *scratch = *state;
    make_overlay(scratch);
    _free_ char *first = listing(scratch);
    take(scratch);
    shut(scratch);
    assert_true(run_beside(scratch, "umount -l project && cd lower && echo 2 >a/f && cp -a a d/e/a && mkdir d/e/a/new && rm keep && mkdir keep && cp c/third keep/"));
    must_mount(scratch, OVERLAY);
    reopen(scratch);
    _free_ char *second = listing(scratch);
    take(scratch);
    shut(scratch);
    assert_true(run_beside(scratch, "cp -a store kept"));
    reopen(scratch);
    only_transition = true;
    for (unsigned nth = 1, more = 1; more; nth++) {
        set_overlay_back(scratch);
        expect(scratch, second);
        more = killed_at(scratch, nth, verb_rollback);
        assert_int_equal(recover(scratch), 0);
        expect_either(scratch, second, first, nth);
        must_roll_back(scratch, "1", NULL);
        expect(scratch, first);
        expect_known(scratch, "1");
        must_roll_back(scratch, "2", NULL);
        expect(scratch, second);
    }
    for (unsigned nth = 1, more = 1; more; nth++) {
        struct snap_rollback_result result = {0};
        set_overlay_back(scratch);
        countdown = nth;
        failing = -ENOSPC;
        hook_function = strike;
        more = roll_back(scratch, "1", NULL, false, &result, NULL) < 0;
        hook_function = NULL;
        if (!more)                                   /* it failed after the commit, if at all */
            assert_int_equal(recover(scratch), 0);
        expect(scratch, more ? second : first);
        expect_known(scratch, more ? "2" : "1");
        expect_clean_store(scratch);
    }
    only_transition = false;
    assert_int_equal(told.failed + told.conflicts, 0);
}

/* Paths that fail alone. */

static void a_copy_of_a_directory_that_moves_on_leaves_nothing_behind(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir q d && echo 1 >q/f");
    take(scratch);
    scratch_run(scratch, "mv q d/q");
    take(scratch);
    must_roll_back(scratch, "1", "d");
    must_undo(scratch, 0, false);
    scratch_run(scratch, "mv d/q e");
    char number[24], *there = listing(scratch);
    snprintf(number, sizeof(number), "%lld", (long long)take(scratch));
    must_roll_back(scratch, "2", NULL);
    must_roll_back(scratch, number, NULL);
    char *back = listing(scratch);
    assert_string_equal(back, there);
    free(there);
    free(back);
}

static void a_file_that_came_back_beside_its_renamed_self_is_no_link_of_it(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo same >a");
    take(scratch);
    scratch_run(scratch, "mv a b");
    take(scratch);
    must_roll_back(scratch, "1", "a");
    int64_t both = take(scratch);
    scratch_run(scratch, "rm a b");
    char number[24];
    snprintf(number, sizeof(number), "%lld", (long long)both);
    must_roll_back(scratch, number, NULL);
    struct stat a, b;
    assert_int_equal(fstatat(scratch->root, "a", &a, 0), 0);
    assert_int_equal(fstatat(scratch->root, "b", &b, 0), 0);
    assert_true(a.st_ino != b.st_ino);
    assert_int_equal(a.st_nlink, 1);
}

static void a_file_that_cannot_be_replaced_is_named_and_the_rest_is_done(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo 1 >a && echo 1 >fixed");
    take(scratch);
    scratch_run(scratch, "echo 2 >a && echo 2 >fixed");
    if (system("chattr +i /dev/null 2>/dev/null; true") != 0)
        skip();
    char command[256];
    snprintf(command, sizeof(command), "chattr +i '%s/project/fixed' 2>/dev/null", scratch->path);
    if (system(command) != 0) {
        print_message("skipped: no immutable files here\n");
        skip();
    }
    struct snap_rollback_result result = must_roll_back(scratch, "1", NULL);
    snprintf(command, sizeof(command), "chattr -i '%s/project/fixed'", scratch->path);
    assert_int_equal(system(command), 0);
    assert_int_equal(result.failed, 1);
    assert_string_equal(told.path, "fixed");
    expect_text(scratch, "a", "1\n");
    expect_text(scratch, "fixed", "2\n");
    must_undo(scratch, 0, false);                    /* what was not done is no conflict */
    expect_text(scratch, "a", "2\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scratch_teardown)
#define TEST_IN_MEMORY(name) cmocka_unit_test_setup_teardown(name, setup_in_memory, scratch_teardown)
#define TEST_MOUNTED(name) cmocka_unit_test_setup_teardown(name, setup_in_memory, teardown_mounted)

/* One test alone, if its name is given. */
int main(int argc, char **argv) {
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        TEST(a_rollback_brings_everything_back_and_undo_takes_it_back),
        TEST(a_rollback_where_nothing_differs_is_no_operation),
        TEST(after_a_rollback_the_parent_is_its_snapshot),
        TEST(a_take_after_a_rollback_shows_what_was_rolled_back_to),
        TEST(what_went_back_is_not_read_by_the_next_comparison),
        TEST(a_path_alone_goes_back),
        TEST(the_directories_above_a_path_come_back_with_it_and_go_with_its_undo),
        TEST(directories_that_swapped_swap_back_as_the_same_inodes),
        TEST(a_directory_moves_out_of_one_that_goes_with_what_is_left_out_in_it),
        TEST(what_is_left_out_is_neither_touched_nor_deleted),
        TEST(a_hard_link_comes_back_as_a_link_to_the_name_that_stayed),
        TEST(a_name_comes_back_as_a_link_to_one_whose_directory_moves),
        TEST(a_link_that_comes_back_in_a_copy_of_its_directory_is_one_in_the_next_snapshot),
        TEST(metadata_alone_changes_on_the_same_inode),
        TEST(a_deep_tree_comes_back),
        TEST(a_file_that_changes_right_before_its_swap_stops_everything),
        TEST(a_file_that_appears_where_one_is_to_come_stops_everything),
        TEST(a_file_that_changes_right_before_it_is_removed_stays),
        TEST(a_file_written_through_an_old_descriptor_comes_back),
        TEST(a_new_file_in_a_directory_that_goes_keeps_it),
        TEST(a_file_changed_between_its_swap_and_the_commit_is_seen_by_status),
        TEST(a_file_open_for_writing_refuses_everything),
        TEST_IN_MEMORY(stores_through_a_mapping_are_noticed_after_metadata_went_back),
        TEST(undo_lists_every_path_that_changed_since_and_writes_nothing),
        TEST(undo_leaves_what_the_operation_did_not_change),
        TEST(a_forced_undo_can_be_undone_by_its_safety_snapshot),
        TEST(undo_of_an_undo_is_refused_with_redo_as_the_hint),
        TEST(a_directory_that_comes_back_has_not_what_the_newest_snapshot_has_in_it),
        TEST_IN_MEMORY(killed_at_every_point_a_rollback_and_its_undo_happen_wholly_or_not_at_all),
        TEST_IN_MEMORY(killed_during_recovery_the_next_one_goes_on),
        TEST_IN_MEMORY(without_room_at_any_point_everything_is_put_back),
        TEST_IN_MEMORY(a_recovery_that_cannot_go_on_puts_everything_back),
        TEST_IN_MEMORY(somebody_elses_change_between_a_kill_and_its_recovery_stays),
        TEST(an_interrupted_rollback_changes_nothing),
        TEST(a_restore_cut_short_in_a_project_that_moved_since_is_finished_or_put_back),
        TEST(what_is_written_while_a_restore_is_undone_is_kept),
        TEST(a_restore_without_overwriting_displaces_nothing_that_came_meanwhile),
        TEST(a_copy_of_a_directory_that_moves_on_leaves_nothing_behind),
        TEST(a_file_that_came_back_beside_its_renamed_self_is_no_link_of_it),
        TEST_MOUNTED(killed_at_every_point_where_the_store_is_on_another_mount),
        TEST_MOUNTED(killed_or_failing_at_every_point_where_directories_cannot_be_renamed),
        TEST(a_directory_whose_place_stays_taken_keeps_what_is_left_out_in_it),
        TEST(a_directory_whose_place_cannot_be_made_keeps_what_is_left_out_in_it),
        TEST(a_replaced_directory_comes_back_around_what_is_left_out_in_its_successor),
        TEST(a_path_in_a_replaced_directory_comes_back_alone),
        TEST_IN_MEMORY(killed_at_every_point_a_replaced_directory_is_wholly_one_or_the_other),
        TEST(a_file_that_cannot_be_replaced_is_named_and_the_rest_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
