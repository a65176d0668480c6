/* import: what archives become, and that hostile ones are contained or refused by the name of the entry.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "scratch.h"
#include "tarball.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cmocka.h>

#define ADD(...) ball_add(&ball, &(struct ball){ __VA_ARGS__ })

static char told[4096];

static void tell(void *data, enum snap_notice kind, const char *path, const char *text) {
    (void)data;
    (void)kind;
    snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s%s%s\n", path ? path : "", path ? " " : "", text);
}

static struct snap_import_options limits;
static struct snap_import_result imported;

static int import_as_is(struct scratch *scratch, const struct buf *ball, struct snap_err *err) {
    char path[96];
    *told = '\0';
    scratch->project->env.notice = tell;
    snprintf(path, sizeof(path), "%s/ball.tar", scratch->path);
    _close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, ball->data ? ball->data : "", ball->size), 0);
    return snap_import(scratch->project, path, &limits, &imported, err);
}

/* The number of the snapshot that it becomes. */
static int64_t import(struct scratch *scratch, struct buf *ball) {
    struct snap_err err = {0};
    ball_end(ball);
    if (import_as_is(scratch, ball, &err) < 0)
        fail_msg("%s", err.message);
    buf_clear(ball);
    assert_int_equal(scratch_count(store_work_fd(scratch->project->store)), 0);
    return imported.number;
}

/* It leaves nothing, and says what the matter is. */
static void refuse_as_is(struct scratch *scratch, struct buf *ball, const char *words) {
    struct snap_err err = {0};
    unsigned layers = scratch_count(store_layers_fd(scratch->project->store));
    int64_t newest = index_newest_number(scratch->project->store, INDEX_PROJECT_LINE, &err);
    if (import_as_is(scratch, ball, &err) >= 0)
        fail_msg("was not refused: %s", words);
    if (!strstr(err.message, words))
        fail_msg("'%s' does not say '%s'", err.message, words);
    assert_int_equal(scratch_count(store_work_fd(scratch->project->store)), 0);
    assert_int_equal(scratch_count(store_layers_fd(scratch->project->store)), layers);
    assert_int_equal(index_newest_number(scratch->project->store, INDEX_PROJECT_LINE, &err), newest);
    buf_clear(ball);
}

static void refuse(struct scratch *scratch, struct buf *ball, const char *words) {
    ball_end(ball);
    refuse_as_is(scratch, ball, words);
}

static struct object *object_at(struct scratch *scratch, int64_t number, const char *path) {
    struct object *object = NULL;
    struct snap_err err = {0};
    _free_ char *name = NULL;
    int64_t dir;
    struct point at = { .line = INDEX_PROJECT_LINE, .snap = number };
    if (index_resolve(scratch->project->store, at, path, &dir, &name, &object, &err) <= 0)
        fail_msg("snapshot %lld has no '%s'", (long long)number, path);
    return object;
}

static int64_t take(struct scratch *scratch) {
    struct snap_take_result result = {0};
    struct snap_err err = {0};
    if (take_run(scratch->project, &(struct take_request){ .options = { .no_sync = true, .if_changed = true } }, &result, &err) < 0)
        fail_msg("%s", err.message);
    return result.number;
}

static int count_change(void *data, const struct snap_change *change) {
    (void)change;
    ++*(unsigned *)data;
    return 0;
}

/* Rows that diff lists, times included; to NULL: the project. */
static unsigned differences(struct scratch *scratch, int64_t from, int64_t to) {
    char spec[2][24];
    unsigned count = 0;
    struct snap_err err = {0};
    struct snap_diff_result result = {0};
    snprintf(spec[0], sizeof(spec[0]), "%lld", (long long)from);
    snprintf(spec[1], sizeof(spec[1]), "%lld", (long long)to);
    struct snap_diff_options options = { .from = spec[0], .to = to ? spec[1] : NULL, .times = true, .no_renames = true };
    if (snap_diff(scratch->project, &options, count_change, &count, &result, &err) < 0)
        fail_msg("%s", err.message);
    return count;
}

static void roll_back(struct scratch *scratch, int64_t number) {
    char spec[24];
    struct snap_err err = {0};
    struct snap_rollback_result result = {0};
    snprintf(spec, sizeof(spec), "%lld", (long long)number);
    if (snap_rollback(scratch->project, &(struct snap_rollback_options){ .to = spec }, NULL, NULL, &result, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(result.failed, 0);
}

/* What comes in. */

static void files_directories_and_links_come_in(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    ADD(.type = '5', .path = "d/", .mode = 0750);
    ADD(.path = "d/a", .data = "one", .mode = 0600);
    ADD(.type = '2', .path = "link", .link = "/somewhere/else");
    ADD(.type = '1', .path = "hard", .link = "d/a");
    ADD(.type = '6', .path = "fifo");
    int64_t number = import(scratch, &ball);
    assert_int_equal(number, 2);           /* 1 is the project as it was */
    scratch_expect(scratch, number, "d/a", "one");
    scratch_expect(scratch, number, "hard", "one");
    _object_ struct object *dir = object_at(scratch, number, "d"), *link = object_at(scratch, number, "link");
    _object_ struct object *fifo = object_at(scratch, number, "fifo"), *file = object_at(scratch, number, "d/a");
    assert_int_equal(dir->meta.mode, S_IFDIR | 0750);
    assert_int_equal(file->meta.mode, S_IFREG | 0600);
    assert_int_equal(file->meta.uid, geteuid());
    assert_int_equal(file->meta.mtime.tv_sec, 1000000000);
    assert_int_equal(fifo->meta.mode, S_IFIFO | 0644);
    assert_string_equal(link->meta.target, "/somewhere/else");
    assert_int_equal(scratch_object(scratch, number, "hard"), file->id);
    assert_true(file->flags & OBJECT_LINKED);
    assert_int_equal(imported.entries, 5);
    assert_int_equal(imported.bytes, 3);
    assert_int_equal(imported.added, 5);
}

static void the_project_and_its_snapshots_stay_as_they_are(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    scratch_write(scratch, "a", "mine");
    scratch_mkdir(scratch, "d");
    scratch_write(scratch, "d/b", "two");
    int64_t mine = take(scratch);
    ADD(.path = "a", .data = "other");
    ADD(.path = "e/f/g", .data = "deep");
    int64_t number = import(scratch, &ball);
    assert_int_equal(number, mine + 1);
    scratch_expect(scratch, mine, "a", "mine");
    scratch_expect(scratch, number, "d/b", NULL);
    assert_int_equal(differences(scratch, mine, 0), 0);
    assert_int_equal(take(scratch), 0);    /* the project equals its latest snapshot */
    scratch_write(scratch, "a", "mine 2");
    int64_t next = take(scratch);
    assert_true(next > number);
    scratch_expect(scratch, next, "a", "mine 2");
    scratch_expect(scratch, next, "d/b", "two");
    scratch_expect(scratch, next, "e/f/g", NULL);
    assert_int_equal(differences(scratch, next, 0), 0);
}

static unsigned readings;

static int count_readings(const char *point, const char *what) {
    (void)what;
    readings += strcmp(point, "capture.read") == 0;
    return 0;
}

static void what_the_project_is_need_not_be_read_again(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    if (fs_has_fine_timestamps(scratch->root) != 1)
        skip();                            /* what was just written cannot be trusted then */
    scratch_mkdir(scratch, "d");
    scratch_write(scratch, "d/a", "one");
    scratch_write(scratch, "b", "two");
    scratch_run(scratch, "ln b d/link");
    take(scratch);
    ADD(.path = "b", .data = "other");
    import(scratch, &ball);
    readings = 0;
    hook_function = count_readings;
    int64_t next = take(scratch);
    hook_function = NULL;
    assert_int_equal(next, 0);
    assert_int_equal(readings, 0);
}

static void an_import_is_never_the_latest(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    _cleanup_(snapshot_freep) struct snapshot *latest = NULL, *snapshot = NULL;
    struct snap_err err = {0};
    scratch_write(scratch, "a", "mine");
    int64_t mine = take(scratch);
    ADD(.path = "a", .data = "other");
    int64_t number = import(scratch, &ball);
    assert_int_equal(index_latest(scratch->project->store, INDEX_PROJECT_LINE, 0, &latest, &err), 1);
    assert_int_equal(latest->public.number, mine);
    assert_int_equal(index_snapshot(scratch->project->store, number, &snapshot, &err), 1);
    assert_true(snapshot->public.foreign);
    assert_int_equal(snapshot->public.parent, 0);
}

static void going_there_and_back_again_restores_everything(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    scratch_mkdir(scratch, "d");
    scratch_write(scratch, "d/b", "two");
    scratch_write(scratch, "x", "file");
    scratch_run(scratch, "ln x hard && ln -s x link && mkdir e && echo 1 > e/1");
    int64_t mine = take(scratch);
    ADD(.path = "d", .data = "a file where a directory was");
    ADD(.path = "x/y/z", .data = "a directory where a file was");
    ADD(.path = "hard", .data = "file");
    ADD(.type = '5', .path = "e", .mode = 0700);
    int64_t number = import(scratch, &ball);
    roll_back(scratch, number);
    assert_int_equal(differences(scratch, number, 0), 0);
    scratch_run(scratch, "test -f d && test -f x/y/z && test ! -e link && test ! -e e/1 && test $(stat -c %h hard) = 1");
    roll_back(scratch, mine);
    assert_int_equal(differences(scratch, mine, 0), 0);
    scratch_run(scratch, "test -f d/b && test -f x && test x -ef hard && test -f e/1");
    take(scratch);
    assert_int_equal(differences(scratch, mine, 0), 0);
}

static void what_is_equal_stays_what_it_is(void **state) {
    struct scratch *scratch = *state;
    scratch_mkdir(scratch, "d");
    scratch_write(scratch, "d/a", "one");
    scratch_run(scratch, "ln d/a hard; ln -s x link; mkfifo fifo; truncate -s 1M holes; printf y >> holes; touch empty; chmod 751 .;"
                "ln link link2; setfattr -n user.x -v y d/a; mkdir d/e; touch -d @-1.5 d/e; tar --format=pax --xattrs -S -cf ../ball.tar .");
    int64_t mine = take(scratch);
    struct snap_err err = {0};
    char path[96];
    snprintf(path, sizeof(path), "%s/ball.tar", scratch->path);
    if (snap_import(scratch->project, path, &limits, &imported, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(imported.stored, 0);
    assert_int_equal(differences(scratch, mine, imported.number), 0);
    static const char *const paths[] = { "", "d", "d/a", "hard", "link", "fifo", "holes", "empty", "d/e" };
    for (size_t i = 0; i < ELEMENTS(paths); i++)
        assert_int_equal(scratch_object(scratch, mine, paths[i]), scratch_object(scratch, imported.number, paths[i]));
}

/* Names. */

static void a_leading_slash_is_taken_off_and_said(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    ADD(.path = "/etc/passwd", .data = "x");
    ADD(.path = "//etc//./shadow", .data = "y");
    int64_t number = import(scratch, &ball);
    scratch_expect(scratch, number, "etc/passwd", "x");
    scratch_expect(scratch, number, "etc/shadow", "y");
    assert_string_equal(told, "a leading '/' was taken off names\n");
}

static void a_path_that_leads_upwards_is_refused(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    static const char *const paths[] = { "..", "../x", "a/../b", "a/..", "/..", "./../../etc/x" };
    for (size_t i = 0; i < ELEMENTS(paths); i++) {
        ADD(.path = "good", .data = "x");
        ADD(.path = paths[i], .data = "x");
        refuse(scratch, &ball, "leads upwards with '..'");
    }
    ADD(.path = "..x/...", .data = "fine");
    scratch_expect(scratch, import(scratch, &ball), "..x/...", "fine");
}

static void no_symlink_is_followed(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    char outside[96];
    snprintf(outside, sizeof(outside), "%s/outside", scratch->path);
    assert_return_code(mkdir(outside, 0755), errno);
    ADD(.type = '2', .path = "s", .link = outside);
    ADD(.path = "s/f", .data = "x");
    refuse(scratch, &ball, "'s/f' leads through 's', which is a symlink");
    ADD(.type = '2', .path = "s", .link = ".");
    ADD(.type = '5', .path = "s/d");
    refuse(scratch, &ball, "leads through 's', which is a symlink");
    ADD(.type = '2', .path = "d/s", .link = outside);
    ADD(.type = '1', .path = "h", .link = "d/s/x");
    refuse(scratch, &ball, "'h' leads through 'd/s', which is a symlink");
    /* the link itself may be replaced, or be linked to */
    ADD(.type = '2', .path = "s", .link = outside);
    ADD(.type = '1', .path = "t", .link = "s");
    ADD(.path = "s", .data = "a file now");
    int64_t number = import(scratch, &ball);
    scratch_expect(scratch, number, "s", "a file now");
    _object_ struct object *link = object_at(scratch, number, "t");
    assert_string_equal(link->meta.target, outside);
    _close_ int fd = open(outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(scratch_count(fd), 0);
}

static void a_path_through_a_file_is_refused(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    ADD(.path = "a", .data = "x");
    ADD(.path = "a/b", .data = "x");
    refuse(scratch, &ball, "'a/b' leads through 'a', which is no directory");
}

static void a_hard_link_leads_only_to_what_came_before_it(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    ADD(.type = '1', .path = "h", .link = "later");
    ADD(.path = "later", .data = "x");
    refuse(scratch, &ball, "'h' is a hard link to 'later', which does not come before it");
    ADD(.type = '1', .path = "h", .link = "/etc/passwd");
    refuse(scratch, &ball, "which does not come before it");
    ADD(.type = '1', .path = "h", .link = "../../etc/passwd");
    refuse(scratch, &ball, "leads upwards");
    ADD(.type = '5', .path = "d");
    ADD(.type = '1', .path = "h", .link = "d");
    refuse(scratch, &ball, "'h' is a hard link to 'd', which is a directory");
    ADD(.type = '1', .path = "h", .link = "h");
    refuse(scratch, &ball, "which does not come before it");
    ADD(.path = "d/f", .data = "x");
    ADD(.type = '1', .path = "d", .link = "d/f");
    refuse(scratch, &ball, "which lies in what it would replace");
    ADD(.path = "f", .data = "x");
    ADD(.type = '1', .path = "h", .link = "");
    refuse(scratch, &ball, "is a link to nothing");
    ADD(.path = "f", .data = "x");
    ADD(.type = '1', .path = "f", .link = "f");
    ADD(.type = '1', .path = "g", .link = "/f");
    scratch_expect(scratch, import(scratch, &ball), "g", "x");
}

static void the_last_of_several_entries_counts(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    ADD(.path = "a", .data = "one");
    ADD(.type = '1', .path = "h", .link = "a");
    ADD(.path = "a", .data = "two");
    ADD(.path = "d", .data = "a file");
    ADD(.type = '5', .path = "d");
    ADD(.path = "d/x", .data = "in it");
    ADD(.path = "e/f/g", .data = "deep");
    ADD(.path = "e", .data = "no more");
    ADD(.type = '5', .path = "k", .mode = 0700);
    ADD(.path = "k/x", .data = "stays");
    ADD(.type = '5', .path = "k", .mode = 0711);
    int64_t number = import(scratch, &ball);
    scratch_expect(scratch, number, "a", "two");
    scratch_expect(scratch, number, "h", "one");
    scratch_expect(scratch, number, "d/x", "in it");
    scratch_expect(scratch, number, "e", "no more");
    scratch_expect(scratch, number, "e/f", NULL);
    scratch_expect(scratch, number, "k/x", "stays");
    _object_ struct object *dir = object_at(scratch, number, "k"), *file = object_at(scratch, number, "h");
    assert_int_equal(dir->meta.mode, S_IFDIR | 0711);
    assert_false(file->flags & OBJECT_LINKED);
}

static void names_are_bytes(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    ADD(.path = "latin\xe4/\xff\n", .data = "x");
    ball_pax(&ball, (const char *const[]){ "path=pax\xe4\xff=\n", NULL });
    ADD(.path = "other", .data = "y");
    int64_t number = import(scratch, &ball);
    scratch_expect(scratch, number, "latin\xe4/\xff\n", "x");
    scratch_expect(scratch, number, "pax\xe4\xff=\n", "y");
    roll_back(scratch, number);
    assert_int_equal(differences(scratch, number, 0), 0);
}

static void empty_names_and_names_with_a_nul_are_refused(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    ADD(.path = "", .data = "x");
    refuse(scratch, &ball, "an entry without a name");
    ADD(.type = 'x', .path = "header", .data = "12 path=a\0b\n", .size = 12);
    ADD(.path = "a", .data = "x");
    refuse(scratch, &ball, "a value makes no sense");
    ADD(.type = 'L', .path = "header", .data = "a\0b", .size = 4);
    ADD(.path = "a", .data = "x");
    refuse(scratch, &ball, "has a NUL in its name");
    ADD(.path = "/", .data = "x");
    refuse(scratch, &ball, "is the root and no directory");
    ADD(.type = '2', .path = "s", .link = "");
    refuse(scratch, &ball, "is a link to nothing");
}

static void a_component_has_255_bytes_at_most(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    char path[300] = "path=";
    memset(path + 5, 'n', 256);
    ball_pax(&ball, (const char *const[]){ path, NULL });
    ADD(.path = "short", .data = "x");
    refuse(scratch, &ball, "has a name of more than 255 bytes");
    path[5 + 255] = '\0';
    ball_pax(&ball, (const char *const[]){ path, NULL });
    ADD(.path = "short", .data = "x");
    scratch_expect(scratch, import(scratch, &ball), path + 5, "x");
}

/* "path=", then `levels` directories of three letters, and a file. */
static char *deep_path(unsigned levels) {
    char *path = malloc(5 + 4 * (size_t)levels + 2);
    assert_non_null(path);
    strcpy(path, "path=");
    for (unsigned i = 0; i < levels; i++)
        memcpy(path + 5 + 4 * (size_t)i, "ddd/", 4);
    strcpy(path + 5 + 4 * (size_t)levels, "f");
    return path;
}

static void a_path_may_be_longer_than_the_kernel_takes(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    _free_ char *deep = deep_path(3000), *too_deep = deep_path(17000);
    ball_pax(&ball, (const char *const[]){ deep, NULL });
    ADD(.path = "short", .data = "bottom");
    int64_t number = import(scratch, &ball);
    scratch_expect(scratch, number, deep + 5, "bottom");
    assert_int_equal(imported.entries, 3001);
    ball_pax(&ball, (const char *const[]){ too_deep, NULL });
    ADD(.path = "short", .data = "bottom");
    struct snap_err err = {0};
    ball_end(&ball);
    assert_int_equal(import_as_is(scratch, &ball, &err), -ENAMETOOLONG);
}

static void whiteouts_of_others_are_ordinary_names(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    ADD(.path = "a", .data = "x");
    ADD(.path = ".wh.a", .data = "");
    ADD(.path = ".wh..wh..opq", .data = "y");
    int64_t number = import(scratch, &ball);
    scratch_expect(scratch, number, "a", "x");
    scratch_expect(scratch, number, ".wh.a", "");
    scratch_expect(scratch, number, ".wh..wh..opq", "y");
}

/* Metadata. */

static void devices_and_set_id_bits_are_recorded(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    ADD(.type = '3', .path = "null", .major = 1, .minor = 3);
    ADD(.type = '4', .path = "disk", .major = 8, .minor = 1);
    ADD(.type = '3', .path = "whiteout");
    ADD(.path = "su", .data = "#!", .mode = 06755);
    int64_t number = import(scratch, &ball);
    _object_ struct object *null = object_at(scratch, number, "null"), *disk = object_at(scratch, number, "disk");
    _object_ struct object *su = object_at(scratch, number, "su"), *whiteout = object_at(scratch, number, "whiteout");
    assert_int_equal(null->meta.mode, S_IFCHR | 0644);
    assert_int_equal(null->meta.rdev_major, 1);
    assert_int_equal(null->meta.rdev_minor, 3);
    assert_int_equal(disk->meta.mode, S_IFBLK | 0644);
    assert_int_equal(su->meta.mode, S_IFREG | 06755);
    assert_int_equal(whiteout->meta.mode, S_IFCHR | 0644);
    ADD(.type = '3', .path = "null", .major = 1 << 12, .minor = 3);
    refuse(scratch, &ball, "a device number that is out of range");
}

static void times_may_be_negative_or_far_away(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    ball_pax(&ball, (const char *const[]){ "mtime=-1.25", NULL });
    ADD(.path = "before", .data = "x");
    ball_pax(&ball, (const char *const[]){ "mtime=9000000000000000000.123456789123", NULL });
    ADD(.path = "after", .data = "x");
    ADD(.path = "binary", .mtime = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe");
    int64_t number = import(scratch, &ball);
    _object_ struct object *before = object_at(scratch, number, "before"), *after = object_at(scratch, number, "after");
    _object_ struct object *binary = object_at(scratch, number, "binary");
    assert_int_equal(before->meta.mtime.tv_sec, -2);
    assert_int_equal(before->meta.mtime.tv_nsec, 750000000);
    assert_int_equal(after->meta.mtime.tv_sec, 9000000000000000000);
    assert_int_equal(after->meta.mtime.tv_nsec, 123456789);
    assert_int_equal(binary->meta.mtime.tv_sec, -2);
    static const char *const wrong[] = { "mtime=1e3", "mtime=", "mtime=-", "mtime=99999999999999999999", "mtime=1.x", "mtime= 1" };
    for (size_t i = 0; i < ELEMENTS(wrong); i++) {
        ball_pax(&ball, (const char *const[]){ wrong[i], NULL });
        ADD(.path = "f", .data = "x");
        if (!strcmp(wrong[i], "mtime="))      /* that is the header's again */
            import(scratch, &ball);
        else {
            struct snap_err err = {0};
            ball_end(&ball);
            assert_int_equal(import_as_is(scratch, &ball, &err), -EINVAL);
            buf_clear(&ball);
        }
    }
    ADD(.path = "far", .mtime = "\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00");
    struct snap_err err = {0};
    ball_end(&ball);
    assert_int_equal(import_as_is(scratch, &ball, &err), -EINVAL);
    assert_non_null(strstr(err.message, "'far' has a time that is out of range"));
}

static void owners_out_of_range_are_refused(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    ball_pax(&ball, (const char *const[]){ "uid=4294967294", "gid=4294967294", NULL });
    ADD(.path = "a", .data = "x");
    int64_t number = import(scratch, &ball);
    _object_ struct object *object = object_at(scratch, number, "a");
    assert_int_equal(object->meta.uid, 4294967294);
    struct snap_err err = {0};
    ball_pax(&ball, (const char *const[]){ "uid=4294967295", NULL });
    ADD(.path = "a", .data = "x");
    ball_end(&ball);
    assert_int_equal(import_as_is(scratch, &ball, &err), -EINVAL);
    assert_non_null(strstr(err.message, "'a' has an owner that is out of range"));
}

static void attributes_come_in_and_the_overlays_own_are_no_marks(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    ball_pax(&ball, (const char *const[]){ "SCHILY.xattr.user.a=b", "SCHILY.xattr.user.a=c", "LIBARCHIVE.xattr.user.%25x=aGk",
                                           geteuid() ? "SCHILY.xattr.user.c=y" : "SCHILY.xattr.trusted.overlay.opaque=y", NULL });
    ADD(.path = "f", .data = "x");
    ball_pax(&ball, (const char *const[]){ "SCHILY.xattr.user.overlay.opaque=y", "SCHILY.xattr.user.overlay.redirect=/etc", NULL });
    ADD(.type = '5', .path = "d", .mode = 0755);
    ADD(.path = "d/x", .data = "x");
    int64_t number = import(scratch, &ball);
    _object_ struct object *file = object_at(scratch, number, "f");
    assert_int_equal(meta_xattr_count(&file->meta), 3);
    roll_back(scratch, number);
    char value[16] = "";
    assert_int_equal(getxattr(scratch_path(scratch, "f"), "user.a", value, sizeof(value)), 1);
    assert_string_equal(value, "c");
    assert_int_equal(getxattr(scratch_path(scratch, "f"), "user.%x", value, sizeof(value)), 2);
    assert_int_equal(getxattr(scratch_path(scratch, "d"), "user.overlay.redirect", value, sizeof(value)), 4);
    char layer[96];
    snprintf(layer, sizeof(layer), "%s/store/layers/%lld/tree/d", scratch->path, (long long)number);
    assert_int_equal(getxattr(layer, "user.overlay.redirect", value, sizeof(value)), -1);
    assert_int_equal(getxattr(layer, "user.overlay.overlay.redirect", value, sizeof(value)), 4);
}

static void access_control_lists_come_in(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    ball_pax(&ball, (const char *const[]){ "SCHILY.acl.access=user::rw-,user:nobody-like-this:r--:1234,group::r--,group:77:rwx,mask::rwx,other::---",
                                           NULL });
    ADD(.path = "f", .data = "x", .mode = 0670);
    ball_pax(&ball, (const char *const[]){ "SCHILY.acl.access=user::rw-,group::r--,other::r--", NULL });
    ADD(.path = "plain", .data = "x");
    ball_pax(&ball, (const char *const[]){ "SCHILY.acl.access=user::rw-,user:nobody-like-this:r--,group::r--,mask::r--,other::r--", NULL });
    ADD(.path = "unknown", .data = "x");
    int64_t number = import(scratch, &ball);
    assert_string_equal(told, "unknown has an access control list that names 'nobody-like-this', who is not known here: it was left out\n");
    _object_ struct object *file = object_at(scratch, number, "f"), *plain = object_at(scratch, number, "plain");
    static const char expected[] = "\x02\0\0\0" "\x01\0\x06\0\xff\xff\xff\xff" "\x02\0\x04\0\xd2\x04\0\0" "\x04\0\x04\0\xff\xff\xff\xff"
        "\x08\0\x07\0\x4d\0\0\0" "\x10\0\x07\0\xff\xff\xff\xff" "\x20\0\0\0\xff\xff\xff\xff";
    size_t size = sizeof(expected) - 1, name = strlen("system.posix_acl_access");
    assert_int_equal(file->meta.xattrs_size, 6 + name + size);
    assert_memory_equal((const char *)file->meta.xattrs + 6 + name, expected, size);
    assert_int_equal(plain->meta.xattrs_size, 0);
    static const char *const wrong[] = { "SCHILY.acl.access=user::rwq", "SCHILY.acl.access=nonsense", "SCHILY.acl.access=user::rw-",
        "SCHILY.acl.access=user::rw-,user::rw-,group::r--,other::r--", "SCHILY.acl.access=user::rw-,user:5:r--,group::r--,other::r--" };
    for (size_t i = 0; i < ELEMENTS(wrong); i++) {
        struct snap_err err = {0};
        ball_pax(&ball, (const char *const[]){ wrong[i], NULL });
        ADD(.path = "f", .data = "x");
        ball_end(&ball);
        assert_int_equal(import_as_is(scratch, &ball, &err), -EINVAL);
        assert_non_null(strstr(err.message, "'f' has an access control list that makes no sense"));
        buf_clear(&ball);
    }
}

/* Holes. */

static void check_holes(struct scratch *scratch, int64_t number, const char *path, uint64_t size, uint64_t at, const char *text) {
    struct snap_err err = {0};
    struct stat stat;
    char content[16] = "";
    _object_ struct object *object = object_at(scratch, number, path);
    assert_int_equal(object->meta.size, size);
    _close_ int fd = project_open_content(scratch->project, object, &err);
    assert_true(fd >= 0);
    assert_return_code(fstat(fd, &stat), errno);
    assert_int_equal(stat.st_size, size);
    assert_true(stat.st_blocks <= 64);
    assert_int_equal(pread(fd, content, strlen(text), (off_t)at), strlen(text));
    assert_string_equal(content, text);
}

#define TERA ((uint64_t)1 << 40)

static void a_huge_claim_of_holes_stays_holes(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    char data[1024] = "1\n1099511627774\n2\n";
    memcpy(data + 512, "hi", 2);
    ball_pax(&ball, (const char *const[]){ "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=new",
                                           "GNU.sparse.realsize=1099511627776", NULL });
    ADD(.path = "GNUSparseFile.1/new", .data = data, .size = 514);
    ball_pax(&ball, (const char *const[]){ "GNU.sparse.size=1099511627776", "GNU.sparse.name=middle", "GNU.sparse.numblocks=1",
                                           "GNU.sparse.map=1099511627774,2", NULL });
    ADD(.path = "other", .data = "hi");
    ball_pax(&ball, (const char *const[]){ "GNU.sparse.size=1099511627776", "GNU.sparse.numblocks=2", "GNU.sparse.offset=4096",
                                           "GNU.sparse.numbytes=0", "GNU.sparse.offset=1099511627774", "GNU.sparse.numbytes=2", NULL });
    ADD(.path = "first", .data = "hi");
    size_t at = ball.size;
    ADD(.type = 'S', .path = "old", .data = "hi", .old = true);
    memcpy(ball.data + at + 386, "\x80\0\0\0\0\0\0\xff\xff\xff\xff\xfe", 12);
    memcpy(ball.data + at + 386 + 12, "00000000002", 12);
    memcpy(ball.data + at + 483, "\x80\0\0\0\0\0\x01\0\0\0\0\0", 12);
    ball_sum(&ball, at);
    int64_t number = import(scratch, &ball);
    static const char *const names[] = { "new", "middle", "first", "old" };
    for (size_t i = 0; i < ELEMENTS(names); i++)
        check_holes(scratch, number, names[i], TERA, TERA - 2, "hi");
    roll_back(scratch, number);
    assert_int_equal(differences(scratch, number, 0), 0);
}

static void a_map_of_holes_that_makes_no_sense_is_refused(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    static const char *const maps[] = {
        "GNU.sparse.map=0,3", "GNU.sparse.map=0,1", "GNU.sparse.map=0,1,0,1", "GNU.sparse.map=9,2", "GNU.sparse.map=5,1,4,1",
        "GNU.sparse.map=18446744073709551615,2", "GNU.sparse.map=1", "GNU.sparse.map=,", "GNU.sparse.map=x,2",
        "GNU.sparse.offset=0", "GNU.sparse.numbytes=2", "GNU.sparse.major=2",
    };
    for (size_t i = 0; i < ELEMENTS(maps); i++) {
        struct snap_err err = {0};
        ball_pax(&ball, (const char *const[]){ "GNU.sparse.size=10", maps[i], NULL });
        ADD(.path = "f", .data = "hi");
        ball_end(&ball);
        if (import_as_is(scratch, &ball, &err) != -EINVAL)
            fail_msg("%s: %s", maps[i], err.message);
        buf_clear(&ball);
    }
    static const char *const texts[] = { "1\n", "99999999999999999999999999\n", "x", "1\n0\n3\n", "1000000\n0\n2\n", "\n", "1\n0\n-1\n" };
    for (size_t i = 0; i < ELEMENTS(texts); i++) {
        ball_pax(&ball, (const char *const[]){ "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=10", NULL });
        ADD(.path = "f", .data = texts[i]);
        refuse(scratch, &ball, "'f' has a map of its holes that makes no sense");
    }
}

/* Damage. */

static void make_whole(struct buf *out) {
    struct buf ball = {0};
    static char large[3000];
    memset(large, 'l', sizeof(large) - 1);
    ADD(.type = '5', .path = "d/");
    ADD(.path = "d/a", .data = "one");
    ball_pax(&ball, (const char *const[]){ "mtime=1.5", "SCHILY.xattr.user.a=b", "path=d/long", NULL });
    ADD(.path = "short", .data = large);
    ADD(.type = 'L', .path = "././@LongLink", .data = "another", .size = 8);
    ADD(.path = "anoth", .data = "two");
    ADD(.type = '1', .path = "h", .link = "d/a");
    *out = ball;
}

static void an_archive_cut_short_anywhere_is_refused(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf whole = {0};
    make_whole(&whole);
    for (size_t size = 0; size <= whole.size; size += size % 512 == 511 || size % 512 == 0 ? 1 : 102) {
        struct snap_err err = {0};
        struct buf part = { .data = whole.data, .size = size };
        if (import_as_is(scratch, &part, &err) >= 0)
            fail_msg("%zu of %zu bytes were taken for an archive", size, whole.size);
        assert_int_equal(scratch_count(store_work_fd(scratch->project->store)), 0);
    }
    assert_int_equal(scratch_count(store_layers_fd(scratch->project->store)), 0);
    for (unsigned i = 0; i < 512; i++)
        buf_char(&whole, '\0');
    struct snap_err err = {0};
    assert_int_equal(import_as_is(scratch, &whole, &err), 0);      /* one block of zeros is an end */
}

static void a_wrong_checksum_is_refused(void **state) {
    struct scratch *scratch = *state;
    for (size_t at = 0; at < 512; at += 7) {
        _buf_ struct buf whole = {0};
        struct snap_err err = {0};
        make_whole(&whole);
        ball_end(&whole);
        whole.data[1536 + at] ^= 0x15;
        if (import_as_is(scratch, &whole, &err) >= 0)
            fail_msg("byte %zu of a header may be anything", at);
        assert_non_null(strstr(err.message, "the header at byte 1536 has a wrong checksum"));
    }
}

static void what_follows_the_end_is_left_out_and_said(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    struct snap_err err = {0};
    ADD(.path = "a", .data = "x");
    ball_end(&ball);
    ball_end(&ball);
    ADD(.path = "b", .data = "y");
    assert_int_equal(import_as_is(scratch, &ball, &err), 0);
    assert_string_equal(told, "1024 bytes behind the end of the archive were left out\n");
    scratch_expect(scratch, imported.number, "a", "x");
    scratch_expect(scratch, imported.number, "b", NULL);
}

static void zeros_in_the_middle_are_damage(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    ADD(.path = "a", .data = "x");
    for (unsigned i = 0; i < 512; i++)
        buf_char(&ball, '\0');
    ADD(.path = "b", .data = "y");
    refuse(scratch, &ball, "there are zeros in its middle");
}

static void what_is_no_archive_is_refused(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf text = {0};
    refuse_as_is(scratch, &text, "the archive is empty");
    buf_str(&text, "short");
    refuse_as_is(scratch, &text, "not a tar archive");
    for (unsigned i = 0; i < 300; i++)
        buf_str(&text, "#!/bin/sh\n");
    refuse_as_is(scratch, &text, "not a tar archive");
}

static void extended_headers_of_silly_size_are_refused(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    _free_ char *large = calloc(1, 2 << 20);
    ADD(.type = 'x', .path = "h", .data = large, .size = 2 << 20);
    refuse(scratch, &ball, "an extended header of more than 1048576 bytes");
    ADD(.type = 'L', .path = "h", .data = "x", .claimed = (uint64_t)1 << 32);
    refuse(scratch, &ball, "an extended header of more than 1048576 bytes");
    static const char *const wrong[] = { "99 path=x\n", "0 path=x\n", "10 path=xx", "path=x\n", "9 pathx\n", "5 =x\n", "-9 path=x\n",
                                         "18446744073709551616 path=x\n", "8 uid=1\n9 path" };
    for (size_t i = 0; i < ELEMENTS(wrong); i++) {
        ADD(.type = 'x', .path = "h", .data = wrong[i]);
        ADD(.path = "a", .data = "x");
        refuse(scratch, &ball, "'a' has an extended header that is damaged");
    }
    ball_pax(&ball, (const char *const[]){ "size=99999999999999999999", NULL });
    ADD(.path = "a", .data = "x");
    refuse(scratch, &ball, "a value makes no sense");
    ball_pax(&ball, (const char *const[]){ "size=9223372036854775807", NULL });
    ADD(.path = "a", .data = "x");
    refuse(scratch, &ball, "a size in it is out of range");
    ball_pax(&ball, (const char *const[]){ "SCHILY.xattr.=x", NULL });
    ADD(.path = "a", .data = "x");
    refuse(scratch, &ball, "a value makes no sense");
}

static void a_symlink_to_more_than_the_kernel_takes_is_refused(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    char target[4200] = "linkpath=";
    memset(target + 9, 't', 4096);
    ball_pax(&ball, (const char *const[]){ target, NULL });
    ADD(.type = '2', .path = "s", .link = "x");
    refuse(scratch, &ball, "'s' is a symlink to more than 4095 bytes");
}

static void unknown_kinds_are_refused(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    ADD(.type = 'M', .path = "rest", .data = "x");
    refuse(scratch, &ball, "'rest' is of a kind that is not known here (0x4d)");
}

static void limits_are_kept(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    char name[16];
    limits.max_entries = 100;
    for (unsigned i = 0; i < 101; i++) {
        snprintf(name, sizeof(name), "%u", i);
        ADD(.path = name, .data = "x");
    }
    refuse(scratch, &ball, "more entries than 100");
    limits = (struct snap_import_options){ .max_bytes = 100000 };
    _free_ char *large = calloc(1, 100000);
    memset(large, 'x', 100000);
    ADD(.path = "large", .data = large, .size = 100000);
    refuse(scratch, &ball, "more bytes than 100000");
    limits = (struct snap_import_options){0};
    ADD(.path = "large", .data = large, .size = 100000);
    import(scratch, &ball);
    /* long paths of many directories, one in the other, are many bytes for whoever lists them */
    _free_ char *deep = deep_path(12000), *other = deep_path(12000);
    other[5] = 'e';
    ball_pax(&ball, (const char *const[]){ deep, NULL });
    ADD(.path = "short", .data = "bottom");
    ball_pax(&ball, (const char *const[]){ other, NULL });
    ADD(.path = "short", .data = "bottom");
    refuse(scratch, &ball, "more bytes of paths and attributes than 536870912");
}

static void a_name_that_is_taken_is_refused(void **state) {
    struct scratch *scratch = *state;
    _buf_ struct buf ball = {0};
    limits.name = "mine";
    ADD(.path = "a", .data = "x");
    import(scratch, &ball);
    struct snap_err err = {0};
    ADD(.path = "a", .data = "y");
    ball_end(&ball);
    assert_int_equal(import_as_is(scratch, &ball, &err), -EEXIST);
    limits = (struct snap_import_options){0};
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup_in_memory, scratch_teardown)
#define TEST_ON_DISK(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        TEST(files_directories_and_links_come_in),
        TEST(the_project_and_its_snapshots_stay_as_they_are),
        TEST(what_the_project_is_need_not_be_read_again),
        TEST(an_import_is_never_the_latest),
        TEST(going_there_and_back_again_restores_everything),
        TEST_ON_DISK(what_is_equal_stays_what_it_is),
        TEST(a_leading_slash_is_taken_off_and_said),
        TEST(a_path_that_leads_upwards_is_refused),
        TEST(no_symlink_is_followed),
        TEST(a_path_through_a_file_is_refused),
        TEST(a_hard_link_leads_only_to_what_came_before_it),
        TEST(the_last_of_several_entries_counts),
        TEST(names_are_bytes),
        TEST(empty_names_and_names_with_a_nul_are_refused),
        TEST(a_component_has_255_bytes_at_most),
        TEST(a_path_may_be_longer_than_the_kernel_takes),
        TEST(whiteouts_of_others_are_ordinary_names),
        TEST(devices_and_set_id_bits_are_recorded),
        TEST(times_may_be_negative_or_far_away),
        TEST(owners_out_of_range_are_refused),
        TEST_ON_DISK(attributes_come_in_and_the_overlays_own_are_no_marks),
        TEST(access_control_lists_come_in),
        TEST_ON_DISK(a_huge_claim_of_holes_stays_holes),
        TEST(a_map_of_holes_that_makes_no_sense_is_refused),
        TEST(an_archive_cut_short_anywhere_is_refused),
        TEST(a_wrong_checksum_is_refused),
        TEST(what_follows_the_end_is_left_out_and_said),
        TEST(zeros_in_the_middle_are_damage),
        TEST(what_is_no_archive_is_refused),
        TEST(extended_headers_of_silly_size_are_refused),
        TEST(a_symlink_to_more_than_the_kernel_takes_is_refused),
        TEST(unknown_kinds_are_refused),
        TEST(limits_are_kept),
        TEST(a_name_that_is_taken_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
