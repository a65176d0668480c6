/* lower_snapshot: a snapshot as a lower tree, of every type of object, whatever came after it and however many there are.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "scratch.h"
#include "db.h"
#include "lower.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <cmocka.h>

/* A tree on a connection of its own, as a daemon has it. */
struct view { struct store *store; struct lower *lower; struct lower_entry root; char said[512]; };

static void say(void *data, const char *sentence) {
    struct view *view = data;
    snprintf(view->said, sizeof(view->said), "%s", sentence);
}

static void open_view(struct scratch *scratch, int64_t number, struct view *view) {
    struct snap_err err = {0};
    struct point at = { .line = INDEX_PROJECT_LINE, .snap = number };
    *view = (struct view){0};
    if (store_open(scratch->project->info.store, &view->store, &err) < 0)
        fail_msg("%s", err.message);
    struct lower_snapshot options = { .store = view->store, .at = &at, .log = say, .data = view };
    assert_int_equal(lower_snapshot_open(&options, &view->lower), 0);
    int r = view->lower->ops->root(view->lower, &view->root);
    if (r < 0)
        fail_msg("%d: %s", r, view->said);
}

static void close_view(struct view *view) {
    view->lower->ops->unref(view->lower, view->root.dir);
    view->lower->ops->close(view->lower);
    store_close(view->store);
}
#define _view_ _cleanup_(close_view)

static int64_t take(struct scratch *scratch) {
    struct snap_take_result result = {0};
    struct snap_err err = {0};
    struct take_request request = { .options = { .no_sync = true } };
    if (take_run(scratch->project, &request, &result, &err) < 0)
        fail_msg("%s", err.message);
    return result.number;
}

/* The directory that leads to the last name of `path`: a reference. */
static struct lower_dir *parent_of(struct view *view, const char *path, const char **ret_name) {
    struct lower_dir *dir = view->lower->ops->ref(view->root.dir);
    for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
        _free_ char *name = strndup(path, (size_t)(slash - path));
        struct lower_entry entry;
        assert_int_equal(view->lower->ops->lookup(view->lower, dir, name, &entry), LOWER_ENTRY);
        view->lower->ops->unref(view->lower, dir);
        dir = entry.dir;
        assert_non_null(dir);
    }
    *ret_name = path;
    return dir;
}

static int look(struct view *view, const char *path, struct stat *ret) {
    const char *name;
    struct lower_dir *dir = parent_of(view, path, &name);
    struct lower_entry entry = {0};
    int r = view->lower->ops->lookup(view->lower, dir, name, &entry);
    if (entry.dir)
        view->lower->ops->unref(view->lower, entry.dir);
    view->lower->ops->unref(view->lower, dir);
    *ret = entry.stat;
    return r;
}

static struct stat stat_of(struct view *view, const char *path) {
    struct stat stat;
    if (look(view, path, &stat) != LOWER_ENTRY)
        fail_msg("'%s' is not there: %s", path, view->said);
    return stat;
}

static int open_at(struct view *view, const char *path) {
    const char *name;
    struct lower_dir *dir = parent_of(view, path, &name);
    int fd = view->lower->ops->open(view->lower, dir, name);
    view->lower->ops->unref(view->lower, dir);
    return fd;
}

static void expect_content(struct view *view, const char *path, const char *text) {
    char content[256] = "";
    _close_ int fd = open_at(view, path);
    if (fd < 0)
        fail_msg("'%s': %s", path, view->said);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_true(read(fd, content, sizeof(content) - 1) >= 0);
    assert_string_equal(content, text);
}

struct names { struct buf text; uint64_t ino[64]; size_t count; };

static int add_name(void *data, const char *name, unsigned char type, uint64_t ino) {
    struct names *names = data;
    buf_fmt(&names->text, "%s%s:%u", names->count ? " " : "", name, type);
    names->ino[names->count++] = ino;
    return 0;
}

static void list(struct view *view, struct lower_dir *dir, struct names *ret) {
    *ret = (struct names){0};
    assert_int_equal(view->lower->ops->list(view->lower, dir, add_name, ret), 0);
}

/* Every type. */

static void every_type_is_told_as_the_index_has_it(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo text >file; : >empty; ln -s file link; mkfifo pipe; mkdir -m 0750 dir; echo x >dir/below;"
                         "chmod 4711 file; touch -h -d '2001-02-03 04:05:06 UTC' file link; truncate -s 1M sparse");
    take(scratch);
    scratch_run(scratch, "rm -rf *; echo other >file");
    take(scratch);
    _view_ struct view view;
    open_view(scratch, 1, &view);
    struct stat stat = stat_of(&view, "file");
    assert_int_equal(stat.st_mode, S_IFREG | 04711);
    assert_int_equal(stat.st_size, 5);
    assert_int_equal(stat.st_blocks, 1);
    assert_int_equal(stat.st_mtim.tv_sec, 981173106);
    assert_int_equal(stat.st_nlink, 1);
    assert_int_equal(stat.st_uid, geteuid());
    assert_int_equal(stat_of(&view, "link").st_mode & S_IFMT, S_IFLNK);
    assert_int_equal(stat_of(&view, "link").st_size, 4);
    assert_int_equal(stat_of(&view, "pipe").st_mode & S_IFMT, S_IFIFO);
    assert_int_equal(stat_of(&view, "dir").st_mode, S_IFDIR | 0750);
    expect_content(&view, "file", "text\n");
    expect_content(&view, "empty", "");
    expect_content(&view, "dir/below", "x\n");
    assert_int_equal(stat_of(&view, "sparse").st_size, 1 << 20);
    assert_int_equal(open_at(&view, "dir"), -EISDIR);
    assert_int_equal(open_at(&view, "pipe"), -EINVAL);
    assert_int_equal(open_at(&view, "nothing"), -ENOENT);
    assert_int_equal(look(&view, "nothing", &stat), LOWER_ABSENT);
    assert_true(view.lower->immutable);
    assert_int_equal(view.lower->device, 0);
    struct statvfs fs;
    assert_int_equal(view.lower->ops->statfs(view.lower, &fs), 0);
    assert_true(fs.f_blocks > 0);
}

static void a_symlink_is_read_and_nothing_else_is(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "ln -s 'some where' link; : >file");
    take(scratch);
    _view_ struct view view;
    open_view(scratch, 1, &view);
    _buf_ struct buf target = {0};
    assert_int_equal(view.lower->ops->read_link(view.lower, view.root.dir, "link", &target), 0);
    assert_string_equal(target.data, "some where");
    assert_int_equal(view.lower->ops->read_link(view.lower, view.root.dir, "file", &target), -EINVAL);
}

static void what_a_layer_cannot_hold_comes_from_the_index(void **state) {
    struct scratch *scratch = *state;
    if (geteuid() != 0) {
        print_message("only root can make devices and files of others\n");
        skip();
    }
    scratch_run(scratch, "mknod null c 1 3; : >theirs; chown 1234:5678 theirs; ln -s x link; chown -h 12:34 link");
    if (lsetxattr(scratch_path(scratch, "link"), "trusted.why", "because", 7, 0) < 0) {
        print_message("no xattrs on symbolic links here\n");
        skip();
    }
    take(scratch);
    _view_ struct view view;
    open_view(scratch, 1, &view);
    assert_int_equal(stat_of(&view, "null").st_rdev, makedev(1, 3));
    assert_int_equal(stat_of(&view, "null").st_mode & S_IFMT, S_IFCHR);
    assert_int_equal(stat_of(&view, "theirs").st_uid, 1234);
    assert_int_equal(stat_of(&view, "theirs").st_gid, 5678);
    assert_int_equal(stat_of(&view, "link").st_gid, 34);
    char value[16] = "";
    assert_int_equal(view.lower->ops->get_xattr(view.lower, view.root.dir, "link", "trusted.why", value, sizeof(value)), 7);
    assert_string_equal(value, "because");
}

static void xattrs_are_listed_and_read_with_their_sizes(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, ": >file; : >bare");
    if (setxattr(scratch_path(scratch, "file"), "user.b", "two", 3, 0) < 0) {
        print_message("no user xattrs here\n");
        skip();
    }
    assert_return_code(setxattr(scratch_path(scratch, "file"), "user.a", "", 0, 0), errno);
    assert_return_code(setxattr(scratch_path(scratch, "."), "user.root", "r", 1, 0), errno);
    take(scratch);
    _view_ struct view view;
    open_view(scratch, 1, &view);
    const struct lower_ops *ops = view.lower->ops;
    char bytes[64] = "";
    assert_int_equal(ops->list_xattr(view.lower, view.root.dir, "file", NULL, 0), 14);
    assert_int_equal(ops->list_xattr(view.lower, view.root.dir, "file", bytes, sizeof(bytes)), 14);
    assert_memory_equal(bytes, "user.a\0user.b", 14);
    assert_int_equal(ops->list_xattr(view.lower, view.root.dir, "file", bytes, 3), -ERANGE);
    assert_int_equal(ops->list_xattr(view.lower, view.root.dir, "bare", bytes, sizeof(bytes)), 0);
    assert_int_equal(ops->get_xattr(view.lower, view.root.dir, "file", "user.b", NULL, 0), 3);
    assert_int_equal(ops->get_xattr(view.lower, view.root.dir, "file", "user.b", bytes, 2), -ERANGE);
    assert_int_equal(ops->get_xattr(view.lower, view.root.dir, "file", "user.b", bytes, 3), 3);
    assert_memory_equal(bytes, "two", 3);
    assert_int_equal(ops->get_xattr(view.lower, view.root.dir, "file", "user.a", bytes, 3), 0);
    assert_int_equal(ops->get_xattr(view.lower, view.root.dir, "file", "user.", bytes, 3), -ENODATA);
    assert_int_equal(ops->get_xattr(view.lower, view.root.dir, "", "user.root", bytes, 3), 1);
    assert_int_equal(ops->get_xattr(view.lower, view.root.dir, "none", "user.a", bytes, 3), -ENOENT);
}

/* Numbers. */

static void numbers_are_unique_and_the_same_however_they_are_asked_for(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo 1 >a; echo 2 >b; mkdir d e; echo 3 >d/a; ln -s a e/a; ln b e/hard");
    take(scratch);
    static const char *const paths[] = { "a", "b", "d", "e", "d/a", "e/a" };
    uint64_t before[ELEMENTS(paths)];
    _view_ struct view view, again;
    open_view(scratch, 1, &view);
    for (size_t i = 0; i < ELEMENTS(paths); i++) {
        before[i] = stat_of(&view, paths[i]).st_ino;
        assert_true(before[i] >> 61 == 1);
        for (size_t j = 0; j < i; j++)
            assert_true(before[i] != before[j]);
    }
    assert_true(view.root.stat.st_ino != before[2]);
    struct names names;
    list(&view, view.root.dir, &names);
    assert_string_equal(names.text.data, "a:8 b:8 d:4 e:4");
    buf_done(&names.text);
    for (size_t i = 0; i < names.count; i++)
        assert_int_equal(names.ino[i], before[i]);
    open_view(scratch, 1, &again);
    list(&again, again.root.dir, &names);
    buf_done(&names.text);
    for (size_t i = 0; i < ELEMENTS(paths); i++)
        assert_int_equal(stat_of(&again, paths[i]).st_ino, before[i]);
}

static void hard_links_share_a_number_and_equal_files_do_not(void **state) {
    struct scratch *scratch = *state;
    struct snap_err err = {0};
    scratch_run(scratch, "mkdir d; echo one >first; ln first d/second; ln first third; echo once >moved");
    take(scratch);
    scratch_run(scratch, "mv moved d/elsewhere; rm third");
    take(scratch);
    /* going back to `moved` alone shows one object under two names */
    const char *paths[] = { "moved", NULL };
    struct snap_rollback_options back = { .to = "1", .paths = paths };
    struct snap_rollback_result result;
    if (snap_rollback(scratch->project, &back, NULL, NULL, &result, &err) < 0)
        fail_msg("%s", err.message);
    int64_t last = take(scratch);
    assert_int_equal(scratch_object(scratch, last, "moved"), scratch_object(scratch, last, "d/elsewhere"));
    for (int listed = 0; listed < 2; listed++) {
        _view_ struct view view;
        open_view(scratch, last, &view);
        if (listed) {
            struct names names;
            list(&view, view.root.dir, &names);
            buf_done(&names.text);
        }
        assert_int_equal(stat_of(&view, "first").st_nlink, 2);
        assert_int_equal(stat_of(&view, "d/second").st_nlink, 2);
        assert_int_equal(stat_of(&view, "first").st_ino, stat_of(&view, "d/second").st_ino);
        assert_int_equal(stat_of(&view, "moved").st_nlink, 1);
        assert_int_equal(stat_of(&view, "d/elsewhere").st_nlink, 1);
        assert_true(stat_of(&view, "moved").st_ino != stat_of(&view, "d/elsewhere").st_ino);
    }
    _view_ struct view first;
    open_view(scratch, 1, &first);
    assert_int_equal(stat_of(&first, "third").st_nlink, 3);
}

/* Handles. */

static void expect_found(struct view *view, const char *path, const struct lower_handle *handle) {
    struct lower_dir *dir = NULL;
    _free_ char *name = NULL;
    struct stat stat = stat_of(view, path);
    int r = view->lower->ops->find(view->lower, handle ? 0 : stat.st_ino, handle, &dir, &name);
    if (r != 1)
        fail_msg("'%s' by %s: %d %s", path, handle ? "handle" : "number", r, view->said);
    struct lower_entry entry = {0};
    assert_int_equal(view->lower->ops->lookup(view->lower, dir, name, &entry), LOWER_ENTRY);
    assert_int_equal(entry.stat.st_ino, stat.st_ino);
    if (entry.dir)
        view->lower->ops->unref(view->lower, entry.dir);
    view->lower->ops->unref(view->lower, dir);
}

static void get_handle(struct view *view, const char *path, struct lower_handle *ret) {
    const char *name;
    struct lower_dir *dir = parent_of(view, path, &name);
    assert_int_equal(view->lower->ops->handle(view->lower, dir, name, ret), 0);
    view->lower->ops->unref(view->lower, dir);
}

static void an_object_is_found_by_number_and_by_handle(void **state) {
    struct scratch *scratch = *state;
    static const char *const paths[] = { "file", "empty", "d", "d/e", "d/e/f", "d/link", "hard", "d/hard", "d/e/moved" };
    scratch_run(scratch, "mkdir -p d/e; echo 1 >file; : >empty; echo 2 >d/e/f; ln -s x d/link; echo h >hard; ln hard d; echo m >moved");
    take(scratch);
    scratch_run(scratch, "mv moved d/e/moved");
    take(scratch);
    struct lower_handle handles[ELEMENTS(paths)], gone;
    {
        _view_ struct view view;
        open_view(scratch, 2, &view);
        for (size_t i = 0; i < ELEMENTS(paths); i++) {
            expect_found(&view, paths[i], NULL);
            get_handle(&view, paths[i], &handles[i]);
        }
        get_handle(&view, "file", &gone);
    }
    scratch_run(scratch, "rm file; mv d/e/f d/e/g");
    take(scratch);
    _view_ struct view view;
    open_view(scratch, 2, &view);
    for (size_t i = 0; i < ELEMENTS(paths); i++)
        expect_found(&view, paths[i], &handles[i]);
    _view_ struct view later;
    open_view(scratch, 3, &later);
    struct lower_dir *dir = NULL;
    char *name = NULL;
    assert_int_equal(later.lower->ops->find(later.lower, 0, &gone, &dir, &name), 0);
    assert_int_equal(later.lower->ops->find(later.lower, 12345, NULL, &dir, &name), 0);
    assert_int_equal(later.lower->ops->find(later.lower, UINT64_C(3) << 60, NULL, &dir, &name), 0);
    assert_int_equal(later.lower->ops->find(later.lower, UINT64_C(1) << 61 | 4711, NULL, &dir, &name), 0);
    gone.type++;
    assert_int_equal(view.lower->ops->find(view.lower, 0, &gone, &dir, &name), 0);
}

static void the_root_is_found_and_is_nowhere_else(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p a/b");
    take(scratch);
    _view_ struct view view;
    open_view(scratch, 1, &view);
    struct lower_handle handle;
    struct lower_dir *dir = NULL;
    _free_ char *name = NULL;
    assert_int_equal(view.lower->ops->handle(view.lower, view.root.dir, "", &handle), 0);
    assert_int_equal(view.lower->ops->find(view.lower, 0, &handle, &dir, &name), 1);
    assert_string_equal(name, "");
    struct lower_entry entry;
    assert_int_equal(view.lower->ops->stat_dir(view.lower, dir, &entry), 0);
    assert_int_equal(entry.stat.st_ino, view.root.stat.st_ino);
    view.lower->ops->unref(view.lower, dir);
    const char *last;
    _buf_ struct buf path = {0};
    dir = parent_of(&view, "a/b/x", &last);
    assert_int_equal(view.lower->ops->where(view.lower, dir, &path), 0);
    assert_string_equal(path.data, "a/b");
    view.lower->ops->unref(view.lower, dir);
}

/* What is not whole. */

static void what_was_never_read_is_an_error_and_not_an_empty_file(void **state) {
    struct scratch *scratch = *state;
    if (geteuid() == 0) {
        /* root reads everything: say in the index that it could not */
        struct snap_err err = {0};
        scratch_run(scratch, "mkdir d; echo x >d/secret; ln -s x d/link; mkdir closed; echo x >closed/known");
        take(scratch);
        assert_int_equal(db_exec(scratch->project->store, "UPDATE object SET flags = flags | 1, content = NULL, target = NULL"
                                 " WHERE mode / 4096 IN (8, 10) OR id = dir AND id IN (SELECT id FROM dir WHERE name = x'636c6f736564')",
                                 &err), 0);
    } else {
        scratch_run(scratch, "mkdir d; echo x >d/secret; chmod 0 d/secret");
        take(scratch);
    }
    _view_ struct view view;
    open_view(scratch, 1, &view);
    assert_int_equal(open_at(&view, "d/secret"), -EIO);
    assert_string_equal(view.said, "cannot read in snapshot 1 'd/secret': Input/output error; its content could not be read when it was taken");
    assert_int_equal(stat_of(&view, "d/secret").st_size, 2);
    if (geteuid() != 0)
        return;
    const char *name;
    struct lower_dir *dir = parent_of(&view, "d/link", &name);
    _buf_ struct buf target = {0};
    assert_int_equal(view.lower->ops->read_link(view.lower, dir, name, &target), -EIO);
    view.lower->ops->unref(view.lower, dir);
    dir = parent_of(&view, "closed/known", &name);
    struct names names = {0};
    struct stat stat;
    assert_int_equal(view.lower->ops->list(view.lower, dir, add_name, &names), -EIO);
    assert_int_equal(names.count, 0);
    assert_string_equal(view.said, "cannot read in snapshot 1 'closed': Input/output error; what is in it could not be read when it was taken");
    assert_int_equal(look(&view, "closed/known", &stat), LOWER_ENTRY);
    assert_int_equal(look(&view, "closed/unknown", &stat), -EIO);
    view.lower->ops->unref(view.lower, dir);
}

static int end_listing(void *data, const char *name, unsigned char type, uint64_t ino) {
    (void)data, (void)name, (void)type, (void)ino;
    return 1;
}

static void a_listing_that_is_ended_says_so(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo text >file");
    take(scratch);
    _view_ struct view view;
    open_view(scratch, 1, &view);
    assert_int_equal(view.lower->ops->list(view.lower, view.root.dir, end_listing, NULL), 1);
}

static void damage_is_an_error_and_is_named(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo text >file; echo text >other");
    take(scratch);
    scratch_run(scratch, "rm -f ../store/layers/1/tree/file; echo longer >>../store/layers/1/tree/other");
    _view_ struct view view;
    open_view(scratch, 1, &view);
    assert_int_equal(open_at(&view, "file"), -EIO);
    assert_string_equal(view.said, "layer 1 is damaged: 'file' is missing");
    assert_int_equal(open_at(&view, "other"), -EIO);
    assert_string_equal(view.said, "layer 1 is damaged: 'other' has another size than it was stored with");
}

/* Cost. */

struct cost { unsigned statements, steps; };

static int count(unsigned kind, void *data, void *statement, void *more) {
    struct cost *cost = data;
    (void)kind;
    (void)more;
    cost->statements++;
    cost->steps += (unsigned)sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 1);
    return 0;
}

static void begin_count(struct view *view, struct cost *cost) {
    *cost = (struct cost){0};
    sqlite3_trace_v2(store_db(view->store), SQLITE_TRACE_PROFILE, count, cost);
}

static void after_a_listing_nothing_is_asked(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "seq 1 50 | while read i; do echo $i >f$i; done; ln f1 hard; mkdir d");
    take(scratch);
    _view_ struct view view;
    open_view(scratch, 1, &view);
    struct cost cost;
    begin_count(&view, &cost);
    struct names names;
    list(&view, view.root.dir, &names);
    assert_int_equal(names.count, 52);
    buf_done(&names.text);
    assert_int_equal(cost.statements, 1);
    assert_int_equal(stat_of(&view, "hard").st_nlink, 2);
    assert_int_equal(stat_of(&view, "f50").st_size, 3);
    assert_int_equal(stat_of(&view, "d").st_mode & S_IFMT, S_IFDIR);
    struct stat stat;
    assert_int_equal(look(&view, "none", &stat), LOWER_ABSENT);
    char value[8];
    assert_int_equal(view.lower->ops->get_xattr(view.lower, view.root.dir, "f1", "user.x", value, 8), -ENODATA);
    assert_int_equal(cost.statements, 1);
}

/* As takes would write them, without files: each changes one file of `d` and adds one. */
static void write_history(struct store *store, int64_t from, int64_t to) {
    struct snap_err err = {0};
    struct index_ids ids;
    assert_int_equal(store_begin(store, &err), 0);
    assert_int_equal(index_next_ids(store, &ids, &err), 0);
    int64_t dir = 0;
    _object_ struct object *object = NULL;
    assert_int_equal(index_resolve(store, index_newest(INDEX_PROJECT_LINE), "d/file", &dir, NULL, &object, &err), 1);
    for (int64_t number = from; number <= to; number++) {
        struct snapshot row = { .line = INDEX_PROJECT_LINE, .layer = number, .public = { .number = number, .parent = number - 1 } };
        assert_int_equal(index_add_snapshot(store, &row, &err), 0);
        char name[32];
        snprintf(name, sizeof(name), "new%lld", (long long)number);
        for (int i = 0; i < 2; i++) {
            object->id = ids.object++;
            assert_int_equal(index_add_object(store, object, &err), 0);
            if (index_born(store, INDEX_PROJECT_LINE, number, dir, i ? name : "file", object, &err) < 0)
                fail_msg("%s", err.message);
        }
    }
    assert_int_equal(store_commit(store, false, &err), 0);
}

static struct cost cost_of_looking(struct scratch *scratch, int64_t number) {
    _view_ struct view view;
    open_view(scratch, number, &view);
    struct cost cost;
    struct names names;
    begin_count(&view, &cost);
    stat_of(&view, "d/file");
    expect_content(&view, "d/e/unchanged", "x\n");
    list(&view, view.root.dir, &names);
    buf_done(&names.text);
    return cost;
}

static void a_thousand_snapshots_cost_what_one_costs(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p d/e; : >d/file; echo x >d/e/unchanged; echo y >z");
    take(scratch);
    take(scratch);
    struct cost one = cost_of_looking(scratch, 1);
    write_history(scratch->project->store, 3, 1002);
    struct cost last = cost_of_looking(scratch, 1002), first = cost_of_looking(scratch, 1);
    assert_int_equal(last.statements, one.statements);
    assert_int_equal(first.statements, one.statements);
    assert_true(last.steps <= one.steps + one.steps / 4);
    assert_true(first.steps <= one.steps + one.steps / 4);
}

/* Several at a time. */

enum { THREADS = 4, FILES = 64 };
struct reader { struct view *view; pthread_t thread; unsigned wrong; };

static int count_name(void *data, const char *name, unsigned char type, uint64_t ino) {
    (void)name;
    (void)type;
    (void)ino;
    ++*(unsigned *)data;
    return 0;
}

static void *read_all(void *data) {
    struct reader *reader = data;
    struct view *view = reader->view;
    for (unsigned i = 0; i < 4 * FILES; i++) {
        char path[32], expected[32], got[32] = "";
        snprintf(path, sizeof(path), "f%u", i % FILES);
        int size = snprintf(expected, sizeof(expected), "%u\n", i % FILES);
        unsigned names = 0;
        struct lower_entry entry = {0};
        _close_ int fd = view->lower->ops->open(view->lower, view->root.dir, path);
        reader->wrong += fd < 0 || read(fd, got, sizeof(got) - 1) != size || strcmp(got, expected) != 0;
        reader->wrong += view->lower->ops->lookup(view->lower, view->root.dir, path, &entry) != LOWER_ENTRY;
        reader->wrong += view->lower->ops->list(view->lower, view->root.dir, count_name, &names) != 0 || names != FILES;
    }
    return NULL;
}

static void threads_read_while_snapshots_are_taken(void **state) {
    struct scratch *scratch = *state;
    for (unsigned i = 0; i < FILES; i++) {
        char name[16], text[16];
        snprintf(name, sizeof(name), "f%u", i);
        snprintf(text, sizeof(text), "%u\n", i);
        scratch_write(scratch, name, text);
    }
    take(scratch);
    _view_ struct view view;
    open_view(scratch, 1, &view);
    struct reader readers[THREADS] = {0};
    for (int i = 0; i < THREADS; i++) {
        readers[i].view = &view;
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_all, &readers[i]), 0);
    }
    for (unsigned i = 0; i < 5; i++) {
        scratch_write(scratch, "f1", "changed");
        scratch_write(scratch, "more", "x");
        take(scratch);
        scratch_run(scratch, "rm -f f* more; echo x >f1");
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(readers[i].wrong, 0);
    }
}

static void a_directory_that_is_forgotten_is_read_again(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir big small; cd big; seq 1 40000 | xargs touch; cd ../small; seq 1 30000 | xargs touch");
    take(scratch);
    _view_ struct view view;
    open_view(scratch, 1, &view);
    const char *name;
    struct lower_dir *big = parent_of(&view, "big/1", &name), *small = parent_of(&view, "small/1", &name);
    for (int i = 0; i < 3; i++) {
        unsigned names = 0;
        assert_int_equal(view.lower->ops->list(view.lower, big, count_name, &names), 0);
        assert_int_equal(names, 40000);
        assert_int_equal(view.lower->ops->list(view.lower, small, count_name, &names), 0);
        assert_int_equal(names, 70000);
    }
    struct cost cost;
    begin_count(&view, &cost);
    stat_of(&view, "small/30000");
    assert_int_equal(cost.statements, 2);              /* those that lead to `small` */
    view.lower->ops->unref(view.lower, big);
    view.lower->ops->unref(view.lower, small);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
#define TEST_IN_MEMORY(name) cmocka_unit_test_setup_teardown(name, scratch_setup_in_memory, scratch_teardown)
        TEST(every_type_is_told_as_the_index_has_it),
        TEST(a_symlink_is_read_and_nothing_else_is),
        TEST(what_a_layer_cannot_hold_comes_from_the_index),
        TEST(xattrs_are_listed_and_read_with_their_sizes),
        TEST(numbers_are_unique_and_the_same_however_they_are_asked_for),
        TEST(hard_links_share_a_number_and_equal_files_do_not),
        TEST(an_object_is_found_by_number_and_by_handle),
        TEST(the_root_is_found_and_is_nowhere_else),
        TEST(what_was_never_read_is_an_error_and_not_an_empty_file),
        TEST(a_listing_that_is_ended_says_so),
        TEST(damage_is_an_error_and_is_named),
        TEST(after_a_listing_nothing_is_asked),
        TEST_IN_MEMORY(a_thousand_snapshots_cost_what_one_costs),
        TEST(threads_read_while_snapshots_are_taken),
        TEST_IN_MEMORY(a_directory_that_is_forgotten_is_read_again),
    };
    return cmocka_run_group_tests_name("lower_snapshot", tests, NULL, NULL);
}
