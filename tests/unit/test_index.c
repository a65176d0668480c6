/* The temporal index, one verb after the other and, by random histories, all of it against plain copies of every tree.
 * Takes no snapshot of any directory: only rows. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "db.h"
#include "fs.h"
#include "index.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define LINE INDEX_PROJECT_LINE
#define POINT(number) point_of(number)

/* Another line's tree that has to be the same as that of the snapshot asked for; line 0 = none. */
static struct point instead;
static struct point point_of(int64_t number) {
    return instead.line ? instead : (struct point){ .line = LINE, .snap = number };
}

static struct snap_err err;
#define OK(call) do { long long r_ = (call); if (r_ < 0) fail_msg("%s: %lld, %s", #call, r_, err.message); } while (0)

struct fixture { char path[64]; struct store *store; int64_t object, content, snapshot; };

static int setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    strcpy(fixture->path, "/tmp/test_index.XXXXXX");
    if (!mkdtemp(fixture->path))
        return -1;
    strcat(fixture->path, "/store");
    OK(store_create(fixture->path, &err));
    OK(store_open(fixture->path, &fixture->store, &err));
    OK(store_lock(fixture->store, STORE_LOCK_TRY, "test", NULL, &err));
    OK(store_begin(fixture->store, &err));
    fixture->object = fixture->content = 1;
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

/* Building. */

static void snapshot(struct fixture *fixture) {
    int64_t number = ++fixture->snapshot;
    struct snapshot row = { .line = LINE, .layer = number, .public = { .number = number, .parent = number - 1 } };
    OK(index_add_snapshot(fixture->store, &row, &err));
}

static struct object add_dir(struct fixture *fixture, int64_t identity) {
    struct object object = { .id = ++fixture->object, .meta = { .mode = S_IFDIR | 0755 } };
    object.dir = identity ? identity : object.id;
    OK(index_add_object(fixture->store, &object, &err));
    return object;
}

static struct object add_file(struct fixture *fixture, uint64_t size, unsigned flags) {
    struct content content = { .id = fixture->content++, .layer = fixture->snapshot, .dir = INDEX_ROOT, .size = size, .name = "f" };
    memcpy(content.digest.bytes, &content.id, sizeof(content.id));
    struct object object = { .id = ++fixture->object, .content = content.id, .digest = content.digest, .flags = flags,
                             .meta = { .mode = S_IFREG | 0644, .size = size } };
    OK(index_add_content(fixture->store, &content, &err));
    OK(index_add_object(fixture->store, &object, &err));
    return object;
}

static void born(struct fixture *fixture, int64_t dir, const char *name, const struct object *object) {
    OK(index_born(fixture->store, LINE, fixture->snapshot, dir, name, object, &err));
}

static void died(struct fixture *fixture, int64_t dir, const char *name) {
    OK(index_died(fixture->store, LINE, fixture->snapshot, dir, name, &err));
}

static void root(struct fixture *fixture) {
    struct object object = add_dir(fixture, INDEX_ROOT);
    born(fixture, 0, "", &object);
}

static int64_t look(struct fixture *fixture, int64_t number, int64_t dir, const char *name) {
    int64_t id = index_lookup_id(fixture->store, POINT(number), dir, name, &err);
    OK(id);
    return id;
}

/* "3:d" = in directory 3, called d; "" = nowhere */
static const char *place(struct fixture *fixture, int64_t number, int64_t dir) {
    static char text[64];
    int64_t parent;
    char *name = NULL;
    int r = index_dir_place(fixture->store, POINT(number), dir, &parent, &name, &err);
    OK(r);
    if (r)
        snprintf(text, sizeof(text), "%lld:%s", (long long)parent, name);
    else
        text[0] = '\0';
    free(name);
    return text;
}

/* Snapshots. */

static void a_snapshot_comes_back_as_it_was_added(void **state) {
    struct fixture *fixture = *state;
    struct snapshot row = { .line = LINE, .layer = 7, .flags = SNAPSHOT_AUTO | SNAPSHOT_UNSYNCED, .public = {
        .number = 5, .parent = 4, .created = { -3, 999999999 }, .name = "n", .message = "m", .added = 1, .changed = 2,
        .deleted = 3, .bytes = UINT64_C(1) << 40 } };
    OK(index_add_snapshot(fixture->store, &row, &err));
    _snapshot_ struct snapshot *got = NULL;
    assert_int_equal(index_snapshot(fixture->store, 5, &got, &err), 1);
    assert_int_equal(got->layer, 7);
    assert_int_equal(got->flags, row.flags);
    assert_true(got->public.automatic);
    assert_false(got->public.synced);
    assert_int_equal(got->public.parent, 4);
    assert_int_equal(got->public.created.tv_sec, -3);
    assert_int_equal(got->public.created.tv_nsec, 999999999);
    assert_string_equal(got->public.name, "n");
    assert_string_equal(got->public.message, "m");
    assert_int_equal(got->public.added + got->public.changed * 10 + got->public.deleted * 100, 321);
    assert_int_equal(got->public.bytes, UINT64_C(1) << 40);
    _snapshot_ struct snapshot *named = NULL;
    assert_int_equal(index_snapshot_named(fixture->store, "n", &named, &err), 1);
    assert_int_equal(named->public.number, 5);
    assert_int_equal(index_snapshot(fixture->store, 6, &got, &err), 0);
    assert_int_equal(index_snapshot_named(fixture->store, "other", &named, &err), 0);
}

static int64_t latest(struct fixture *fixture, uint64_t back) {
    _snapshot_ struct snapshot *got = NULL;
    OK(index_latest(fixture->store, LINE, back, &got, &err));
    return got ? got->public.number : 0;
}

static void the_latest_is_neither_automatic_nor_hidden(void **state) {
    struct fixture *fixture = *state;
    assert_int_equal(index_newest_number(fixture->store, LINE, &err), 0);
    for (int i = 0; i < 5; i++)
        snapshot(fixture);
    OK(index_change_snapshot(fixture->store, 5, NULL, SNAPSHOT_AUTO, 0, &err));
    OK(index_change_snapshot(fixture->store, 3, NULL, SNAPSHOT_HIDDEN, 0, &err));
    assert_int_equal(latest(fixture, 0), 4);
    assert_int_equal(latest(fixture, 1), 2);
    assert_int_equal(latest(fixture, 2), 1);
    assert_int_equal(latest(fixture, 3), 0);
    assert_int_equal(latest(fixture, UINT64_MAX), 0);
    assert_int_equal(index_newest_number(fixture->store, LINE, &err), 5);
    assert_int_equal(index_newest_number(fixture->store, 2, &err), 0);
}

static int note_number(void *data, const struct snapshot *snapshot) {
    buf_fmt(data, "%lld ", (long long)snapshot->public.number);
    return snapshot->public.number == 2;
}

static void snapshots_are_listed_newest_first_until_told_to_stop(void **state) {
    struct fixture *fixture = *state;
    _buf_ struct buf seen = {0};
    for (int i = 0; i < 5; i++)
        snapshot(fixture);
    OK(index_change_snapshot(fixture->store, 4, NULL, SNAPSHOT_HIDDEN, 0, &err));
    assert_int_equal(index_snapshots(fixture->store, LINE, note_number, &seen, &err), 0);
    assert_string_equal(seen.data, "5 3 2 ");
}

static void a_name_belongs_to_one_snapshot(void **state) {
    struct fixture *fixture = *state;
    _snapshot_ struct snapshot *got = NULL;
    snapshot(fixture);
    snapshot(fixture);
    OK(index_change_snapshot(fixture->store, 1, "release", 0, 0, &err));
    assert_int_equal(index_change_snapshot(fixture->store, 2, "release", 0, 0, &err), -EEXIST);
    assert_non_null(strstr(err.message, "snapshot 1"));
    OK(index_change_snapshot(fixture->store, 1, "release", 0, 0, &err));
    OK(index_change_snapshot(fixture->store, 1, NULL, SNAPSHOT_AUTO, 0, &err));
    OK(index_change_snapshot(fixture->store, 1, NULL, 0, SNAPSHOT_AUTO, &err));
    assert_int_equal(index_snapshot_named(fixture->store, "release", &got, &err), 1);
    assert_int_equal(got->flags, 0);
    OK(index_change_snapshot(fixture->store, 1, "", 0, 0, &err));
    OK(index_change_snapshot(fixture->store, 2, "release", 0, 0, &err));
    struct snapshot taken = { .line = LINE, .layer = 3, .public = { .number = 3, .name = "release" } };
    assert_int_equal(index_add_snapshot(fixture->store, &taken, &err), -EEXIST);
    assert_int_equal(index_change_snapshot(fixture->store, 9, "x", 0, 0, &err), -ENOENT);
}

/* Objects and contents. */

static void every_kind_of_object_comes_back_as_it_was_added(void **state) {
    struct fixture *fixture = *state;
    static const char packed[] = { 6, 0, 1, 0, 0, 0, 'u', 's', 'e', 'r', '.', 'a', 'v' };
    struct object objects[] = {
        { .id = 2, .dir = 2, .meta = { .mode = S_IFDIR | 01777, .uid = UINT32_MAX, .gid = 3, .mtime = { -1, 5 },
                                       .xattrs = (void *)packed, .xattrs_size = sizeof(packed) } },
        { .id = 3, .meta = { .mode = S_IFLNK | 0777, .size = 5, .target = "a/b\xff" "c" } },
        { .id = 4, .meta = { .mode = S_IFCHR | 0600, .rdev_major = UINT32_MAX, .rdev_minor = UINT32_MAX - 1 } },
        { .id = 5, .content = 9, .digest = { { 1, 2, 3 } }, .flags = OBJECT_LINKED, .meta = { .mode = S_IFREG | 04755, .size = INT64_MAX } },
        { .id = 6, .flags = OBJECT_UNREAD, .meta = { .mode = S_IFREG, .size = 7 } },
    };
    for (size_t i = 0; i < ELEMENTS(objects); i++)
        OK(index_add_object(fixture->store, &objects[i], &err));
    for (size_t i = 0; i < ELEMENTS(objects); i++) {
        _object_ struct object *got = NULL;
        OK(index_object(fixture->store, objects[i].id, &got, &err));
        assert_true(meta_equal(&got->meta, &objects[i].meta));
        assert_int_equal(got->meta.size, objects[i].meta.size);
        assert_int_equal(got->dir, objects[i].dir);
        assert_int_equal(got->content, objects[i].content);
        assert_int_equal(got->flags, objects[i].flags);
        assert_true(digest_equal(&got->digest, &objects[i].digest));
    }
}

static void content_is_found_by_digest_and_size(void **state) {
    struct fixture *fixture = *state;
    struct content content = { .id = 4, .layer = 2, .dir = 8, .size = 100, .digest = { { 7 } }, .name = "\xf0\x01 name" }, got = {0};
    OK(index_add_content(fixture->store, &content, &err));
    OK(index_content(fixture->store, 4, &got, &err));
    assert_int_equal(got.layer * 1000 + got.dir * 100 + got.id, 2804);
    assert_string_equal(got.name, content.name);
    free(got.name);
    assert_int_equal(index_content(fixture->store, 5, &got, &err), -EUCLEAN);
}

static void damaged_rows_are_told_as_damage(void **state) {
    struct fixture *fixture = *state;
    struct object *object = NULL;
    struct content content = {0};
    static const char *const damages[] = {
        "UPDATE object SET mode = -1", "UPDATE object SET xxh128 = x'00'", "UPDATE object SET dir = 5", "UPDATE object SET dir = -1",
        "UPDATE object SET mtime_nsec = 1000000000", "UPDATE object SET target = x'6100'", "UPDATE object SET xattrs = x'0100'",
        "UPDATE object SET xattrs = x'01000000000000'", "UPDATE object SET xattrs = x'000000000000'",
        "UPDATE object SET xattrs = x'0100ffffffff41'", "UPDATE object SET uid = 4294967296", "DELETE FROM object",
    };
    snapshot(fixture);
    root(fixture);
    struct object file = add_file(fixture, 3, 0);
    born(fixture, INDEX_ROOT, "f", &file);
    for (size_t i = 0; i < ELEMENTS(damages); i++) {
        OK(db_exec(fixture->store, "SAVEPOINT before", &err));
        OK(db_exec(fixture->store, damages[i], &err));
        err = (struct snap_err){0};
        assert_int_equal(index_lookup(fixture->store, POINT(1), INDEX_ROOT, "f", &object, &err), -EUCLEAN);
        assert_int_equal(err.failure, SNAP_FAILURE_DAMAGE);
        OK(db_exec(fixture->store, "ROLLBACK TO before", &err));
    }
    static const char *const names[] = { "x'2e2e'", "x'2e'", "x''", "x'612f62'", "x'6100'" };
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        char sql[100];
        snprintf(sql, sizeof(sql), "UPDATE content SET name = %s", names[i]);
        OK(db_exec(fixture->store, sql, &err));
        assert_int_equal(index_content(fixture->store, 1, &content, &err), -EUCLEAN);
    }
    assert_null(object);
}

static void a_circle_of_directories_is_damage(void **state) {
    struct fixture *fixture = *state;
    _buf_ struct buf path = {0};
    OK(db_exec(fixture->store, "INSERT INTO dir VALUES (1, 5, 1, 9223372036854775807, 6, x'61'),"
               " (1, 6, 1, 9223372036854775807, 5, x'62')", &err));
    assert_int_equal(index_dir_path(fixture->store, POINT(1), 5, &path, &err), -EUCLEAN);
    assert_null(path.data);
}

/* Places over time. */

static void a_row_is_seen_from_its_birth_until_its_death(void **state) {
    struct fixture *fixture = *state;
    snapshot(fixture);
    root(fixture);
    snapshot(fixture);
    struct object one = add_file(fixture, 1, 0);
    born(fixture, INDEX_ROOT, "f", &one);
    snapshot(fixture);
    struct object two = add_file(fixture, 2, 0);
    born(fixture, INDEX_ROOT, "f", &two);
    snapshot(fixture);
    died(fixture, INDEX_ROOT, "f");
    snapshot(fixture);
    const int64_t seen[] = { 0, 0, one.id, two.id, 0, 0 };
    for (int i = 0; i < 6; i++)
        assert_int_equal(look(fixture, i, INDEX_ROOT, "f"), seen[i]);
    assert_int_equal(look(fixture, INDEX_NEWEST, INDEX_ROOT, "f"), 0);
    assert_int_equal(look(fixture, INDEX_NEWEST, 0, ""), 2);
    assert_int_equal(index_lookup_id(fixture->store, (struct point){ 2, 3 }, INDEX_ROOT, "f", &err), 0);
}

static void an_object_born_again_or_dead_twice_changes_nothing(void **state) {
    struct fixture *fixture = *state;
    snapshot(fixture);
    root(fixture);
    struct object file = add_file(fixture, 1, 0), other = add_file(fixture, 1, 0);
    born(fixture, INDEX_ROOT, "f", &file);
    snapshot(fixture);
    int before = sqlite3_total_changes(store_db(fixture->store));
    born(fixture, INDEX_ROOT, "f", &file);
    died(fixture, INDEX_ROOT, "never");
    assert_int_equal(sqlite3_total_changes(store_db(fixture->store)), before);
    /* there and back within one snapshot: as if nothing had happened */
    born(fixture, INDEX_ROOT, "f", &other);
    born(fixture, INDEX_ROOT, "f", &file);
    died(fixture, INDEX_ROOT, "f");
    born(fixture, INDEX_ROOT, "f", &file);
    size_t count;
    _free_ int64_t *numbers = NULL;
    OK(index_history(fixture->store, LINE, "f", &numbers, &count, &err));
    assert_int_equal(count, 1);
    died(fixture, INDEX_ROOT, "f");
    died(fixture, INDEX_ROOT, "f");
    assert_int_equal(look(fixture, 1, INDEX_ROOT, "f"), file.id);
    assert_int_equal(look(fixture, 2, INDEX_ROOT, "f"), 0);
}

static void a_directory_moves_whichever_place_is_told_first(void **state) {
    struct fixture *fixture = *state;
    for (int first = 0; first < 2; first++) {
        char from[2] = { first ? 'c' : 'a', 0 }, to[2] = { first ? 'd' : 'b', 0 }, expected[16];
        snapshot(fixture);
        if (fixture->snapshot == 1)
            root(fixture);
        struct object dir = add_dir(fixture, 0);
        born(fixture, INDEX_ROOT, from, &dir);
        snapshot(fixture);
        if (first)
            died(fixture, INDEX_ROOT, from);
        born(fixture, INDEX_ROOT, to, &dir);
        if (!first)
            died(fixture, INDEX_ROOT, from);
        snprintf(expected, sizeof(expected), "1:%s", from);
        assert_string_equal(place(fixture, fixture->snapshot - 1, dir.dir), expected);
        snprintf(expected, sizeof(expected), "1:%s", to);
        assert_string_equal(place(fixture, fixture->snapshot, dir.dir), expected);
    }
    assert_string_equal(place(fixture, 1, INDEX_ROOT), "0:");
}

static void two_directories_swap_their_names(void **state) {
    struct fixture *fixture = *state;
    snapshot(fixture);
    root(fixture);
    struct object a = add_dir(fixture, 0), b = add_dir(fixture, 0);
    born(fixture, INDEX_ROOT, "a", &a);
    born(fixture, INDEX_ROOT, "b", &b);
    snapshot(fixture);
    born(fixture, INDEX_ROOT, "b", &a);
    born(fixture, INDEX_ROOT, "a", &b);
    assert_string_equal(place(fixture, 2, a.dir), "1:b");
    assert_string_equal(place(fixture, 2, b.dir), "1:a");
    assert_string_equal(place(fixture, 1, a.dir), "1:a");
}

static void a_directory_that_something_else_replaces_has_no_place(void **state) {
    struct fixture *fixture = *state;
    snapshot(fixture);
    root(fixture);
    struct object dir = add_dir(fixture, 0);
    born(fixture, INDEX_ROOT, "d", &dir);
    snapshot(fixture);
    struct object changed = add_dir(fixture, dir.dir);
    born(fixture, INDEX_ROOT, "d", &changed);
    assert_string_equal(place(fixture, 2, dir.dir), "1:d");
    snapshot(fixture);
    struct object file = add_file(fixture, 1, 0);
    born(fixture, INDEX_ROOT, "d", &file);
    assert_string_equal(place(fixture, 3, dir.dir), "");
    assert_string_equal(place(fixture, 2, dir.dir), "1:d");
}

static void paths_go_down_and_come_back_up(void **state) {
    struct fixture *fixture = *state;
    enum { DEPTH = 4000 };
    snapshot(fixture);
    root(fixture);
    _buf_ struct buf path = {0};
    int64_t dir = INDEX_ROOT;
    for (int i = 0; i < DEPTH; i++) {
        struct object object = add_dir(fixture, 0);
        born(fixture, dir, "deep", &object);
        dir = object.dir;
        buf_str(&path, i ? "/deep" : "deep");
    }
    _buf_ struct buf got = {0};
    assert_int_equal(index_dir_path(fixture->store, POINT(1), dir, &got, &err), 1);
    assert_string_equal(got.data, path.data);
    int64_t parent;
    _free_ char *name = NULL;
    _object_ struct object *object = NULL;
    assert_int_equal(index_resolve(fixture->store, POINT(1), path.data, &parent, &name, &object, &err), 1);
    assert_int_equal(object->dir, dir);
    assert_string_equal(name, "deep");
    assert_int_equal(index_resolve(fixture->store, POINT(1), "deep/absent/deep", NULL, NULL, NULL, &err), 0);
    assert_int_equal(index_resolve(fixture->store, POINT(0), "", NULL, NULL, NULL, &err), 0);
    assert_int_equal(index_resolve(fixture->store, POINT(1), "", &parent, NULL, NULL, &err), 1);
    assert_int_equal(parent, 0);
    size_t count;
    _free_ int64_t *numbers = NULL;
    OK(index_history(fixture->store, LINE, "", &numbers, &count, &err));
    assert_int_equal(count, 1);
}

static void what_is_no_directory_has_nothing_below_it(void **state) {
    struct fixture *fixture = *state;
    snapshot(fixture);
    root(fixture);
    struct object file = add_file(fixture, 1, 0);
    born(fixture, INDEX_ROOT, "f", &file);
    assert_int_equal(index_resolve(fixture->store, POINT(1), "f/x", NULL, NULL, NULL, &err), 0);
}

struct nested { struct fixture *fixture; int seen; };

static int list_again(void *data, const char *name, const struct object *object) {
    struct nested *nested = data;
    assert_int_equal(look(nested->fixture, 1, INDEX_ROOT, name), object->id);
    if (nested->seen++ < 3)
        OK(index_list(nested->fixture->store, POINT(1), INDEX_ROOT, list_again, nested, &err));
    return 0;
}

static int refuse(void *data, const char *name, const struct object *object) {
    (void)data;
    (void)name;
    (void)object;
    return -ECANCELED;
}

static void who_is_listing_may_ask_and_may_stop(void **state) {
    struct fixture *fixture = *state;
    struct nested nested = { .fixture = fixture };
    snapshot(fixture);
    root(fixture);
    for (char name[] = "a"; *name < 'k'; ++*name) {
        struct object file = add_file(fixture, 1, 0);
        born(fixture, INDEX_ROOT, name, &file);
    }
    OK(index_list(fixture->store, POINT(1), INDEX_ROOT, list_again, &nested, &err));
    assert_int_equal(nested.seen, 40);
    assert_int_equal(index_list(fixture->store, POINT(1), INDEX_ROOT, refuse, NULL, &err), -ECANCELED);
}

static int count_entry(void *data, const char *name, const struct object *object) {
    (void)name;
    (void)object;
    ++*(int *)data;
    return 0;
}

static void a_directory_may_have_very_many_entries(void **state) {
    struct fixture *fixture = *state;
    enum { MANY = 200000 };
    snapshot(fixture);
    root(fixture);
    struct object file = add_file(fixture, 1, 0);
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        born(fixture, INDEX_ROOT, name, &file);
    }
    int count = 0;
    OK(index_list(fixture->store, POINT(1), INDEX_ROOT, count_entry, &count, &err));
    assert_int_equal(count, MANY);
}

/* Numbers. */

static void an_object_never_gets_the_number_of_a_directory(void **state) {
    struct fixture *fixture = *state;
    struct index_ids ids;
    OK(index_next_ids(fixture->store, &ids, &err));
    assert_int_equal(ids.snapshot, 1);
    assert_int_equal(ids.object, 2);
    assert_int_equal(ids.content, 1);
    snapshot(fixture);
    root(fixture);
    struct object dir = add_dir(fixture, 0);
    born(fixture, INDEX_ROOT, "d", &dir);
    OK(db_run(fixture->store, &err, "DELETE FROM object WHERE id = ?", "i", dir.id));
    OK(index_next_ids(fixture->store, &ids, &err));
    assert_int_equal(ids.object, dir.id + 1);
}

static void the_number_of_a_dropped_snapshot_is_not_used_again(void **state) {
    struct fixture *fixture = *state;
    struct index_ids ids;
    snapshot(fixture);
    root(fixture);
    snapshot(fixture);
    assert_int_equal(index_drop_newest(fixture->store, 1, &err), -EINVAL);
    assert_int_equal(index_drop_newest(fixture->store, 3, &err), -ENOENT);
    OK(index_drop_newest(fixture->store, 2, &err));
    OK(index_next_ids(fixture->store, &ids, &err));
    assert_int_equal(ids.snapshot, 3);
    assert_int_equal(index_newest_number(fixture->store, LINE, &err), 1);
}

/* What one snapshot holds. */

static void counts_tell_what_only_one_snapshot_holds(void **state) {
    struct fixture *fixture = *state;
    struct snap_counts counts = {0};
    _snapshot_ struct snapshot *second = NULL;
    snapshot(fixture);
    root(fixture);
    struct object stays = add_file(fixture, 1, 0), goes = add_file(fixture, 10, 0);
    born(fixture, INDEX_ROOT, "stays", &stays);
    born(fixture, INDEX_ROOT, "goes", &goes);
    snapshot(fixture);
    struct object only = add_file(fixture, 100, OBJECT_LINKED), lasting = add_file(fixture, 1000, 0), unread = {
        .id = ++fixture->object, .flags = OBJECT_UNREAD, .meta = { .mode = S_IFREG, .size = 10000 } };
    OK(index_add_object(fixture->store, &unread, &err));
    died(fixture, INDEX_ROOT, "goes");
    born(fixture, INDEX_ROOT, "only", &only);
    born(fixture, INDEX_ROOT, "only too", &only);
    born(fixture, INDEX_ROOT, "lasting", &lasting);
    born(fixture, INDEX_ROOT, "moved", &stays);
    born(fixture, INDEX_ROOT, "unread", &unread);
    snapshot(fixture);
    died(fixture, INDEX_ROOT, "only");
    died(fixture, INDEX_ROOT, "only too");
    /* the same content under other metadata */
    struct object again = lasting;
    again.id = ++fixture->object;
    again.meta.mode = S_IFREG | 0600;
    OK(index_add_object(fixture->store, &again, &err));
    born(fixture, INDEX_ROOT, "lasting", &again);
    OK(index_snapshot(fixture->store, 2, &second, &err));
    OK(index_counts(fixture->store, second, &counts, &err));
    assert_int_equal(counts.files, 6);
    assert_int_equal(counts.directories, 1);
    assert_int_equal(counts.symlinks + counts.others, 0);
    assert_int_equal(counts.unread, 1);
    assert_int_equal(counts.bytes, 1 + 1 + 100 + 1000 + 10000);
    assert_int_equal(counts.own_bytes, 100);
}

/* Random histories. The model is a copy of the whole tree at each snapshot. */

enum { IDENTITIES = 400, NAMES = 7, ENTRIES = 400, SNAPSHOTS = 40, OBJECTS = 6000 };

struct placed { int64_t dir; char name; int64_t object; };
struct tree { size_t count; struct placed at[ENTRIES]; };
struct model {
    struct fixture *fixture;
    unsigned seed;
    struct object objects[OBJECTS];        /* by number */
    struct tree trees[SNAPSHOTS + 1], now;
};

static unsigned pick(struct model *model, unsigned limit) {
    model->seed = model->seed * 1103515245 + 12345;
    return (model->seed >> 16) % limit;
}

static struct placed *find(struct tree *tree, int64_t dir, char name) {
    for (size_t i = 0; i < tree->count; i++)
        if (tree->at[i].dir == dir && tree->at[i].name == name)
            return &tree->at[i];
    return NULL;
}

static struct placed *find_dir(struct model *model, struct tree *tree, int64_t identity) {
    for (size_t i = 0; i < tree->count; i++)
        if (model->objects[tree->at[i].object].dir == identity)
            return &tree->at[i];
    return NULL;
}

static void name_of(char letter, char *ret) {
    ret[0] = letter == '.' ? '\0' : letter;
    ret[1] = '\0';
}

static void put(struct model *model, int64_t dir, char letter, int64_t object) {
    struct placed *placed = find(&model->now, dir, letter);
    char name[2];
    name_of(letter, name);
    if (!placed) {
        assert_true(model->now.count < ENTRIES);
        placed = &model->now.at[model->now.count++];
    }
    *placed = (struct placed){ dir, letter, object };
    born(model->fixture, dir, name, &model->objects[object]);
}

static void drop(struct model *model, int64_t dir, char letter) {
    struct placed *placed = find(&model->now, dir, letter);
    char name[2];
    name_of(letter, name);
    died(model->fixture, dir, name);
    if (placed)
        *placed = model->now.at[--model->now.count];
}

static bool lies_in(struct model *model, int64_t dir, int64_t in) {
    while (dir != in && dir != INDEX_ROOT)
        dir = find_dir(model, &model->now, dir)->dir;
    return dir == in;
}

/* Everything below goes first or last, as chance has it. */
static void drop_all(struct model *model, int64_t dir, char letter) {
    int64_t identity = model->objects[find(&model->now, dir, letter)->object].dir;
    bool first = pick(model, 2);
    if (first)
        drop(model, dir, letter);
    for (char below = 'a'; identity && below < 'a' + NAMES; below++)
        if (find(&model->now, identity, below))
            drop_all(model, identity, below);
    if (!first)
        drop(model, dir, letter);
}

static int64_t new_object(struct model *model, int64_t identity, bool dir) {
    struct object object = dir ? add_dir(model->fixture, identity)
        : add_file(model->fixture, 1 + pick(model, 9), pick(model, 3) ? 0 : OBJECT_LINKED);
    assert_true(object.id < OBJECTS);
    model->objects[object.id] = object;
    return object.id;
}

/* A directory that is there now. */
static int64_t some_dir(struct model *model) {
    for (;;) {
        struct placed *placed = &model->now.at[pick(model, (unsigned)model->now.count)];
        if (model->objects[placed->object].dir)
            return model->objects[placed->object].dir;
    }
}

static void move(struct model *model, int64_t dir, char name, int64_t to, char to_name) {
    struct placed from = *find(&model->now, dir, name), *over = find(&model->now, to, to_name);
    int64_t identity = model->objects[from.object].dir;
    if ((dir == to && name == to_name) || (identity && lies_in(model, to, identity)))
        return;
    if (over && model->objects[over->object].dir && lies_in(model, dir, model->objects[over->object].dir))
        return;
    if (over && model->objects[over->object].dir)
        drop_all(model, to, to_name);
    bool first = pick(model, 2);
    if (first)
        drop(model, dir, name);
    put(model, to, to_name, from.object);
    if (!first)
        drop(model, dir, name);
}

static void swap(struct model *model, int64_t dir, char name, int64_t other_dir, char other_name) {
    struct placed a = *find(&model->now, dir, name), *b = find(&model->now, other_dir, other_name);
    int64_t identity = model->objects[a.object].dir, other = b ? model->objects[b->object].dir : 0;
    if (!b || a.object == b->object || (identity && lies_in(model, other_dir, identity)) || (other && lies_in(model, dir, other)))
        return;
    int64_t object = b->object;
    put(model, dir, name, object);
    put(model, other_dir, other_name, a.object);
}

static void change(struct model *model) {
    int64_t dir = some_dir(model), other = some_dir(model);
    char name = (char)('a' + pick(model, NAMES)), other_name = (char)('a' + pick(model, NAMES));
    struct placed *placed = find(&model->now, dir, name);
    if (!placed) {
        put(model, dir, name, new_object(model, 0, model->now.count < ENTRIES / 4 && pick(model, 3) == 0));
        return;
    }
    struct object *object = &model->objects[placed->object];
    switch (pick(model, 7)) {
    case 0:
        drop_all(model, dir, name);
        break;
    case 1:
    case 2:
        put(model, dir, name, new_object(model, object->dir, object->dir != 0));
        break;
    case 3:
        move(model, dir, name, other, other_name);
        break;
    case 4:
        swap(model, dir, name, other, other_name);
        break;
    case 5:
        if (!object->dir && object->flags & OBJECT_LINKED && !find(&model->now, other, other_name))
            put(model, other, other_name, object->id);
        break;
    default:
        if (object->dir)
            drop_all(model, dir, name);
        put(model, dir, name, new_object(model, 0, !object->dir));
    }
}

static int compare_placed(const void *a, const void *b) {
    const struct placed *x = a, *y = b;
    return x->dir != y->dir ? (x->dir > y->dir) - (x->dir < y->dir) : x->name - y->name;
}

static void take(struct model *model) {
    struct fixture *fixture = model->fixture;
    snapshot(fixture);
    if (fixture->snapshot == 1)
        put(model, 0, '.', new_object(model, INDEX_ROOT, true));
    for (unsigned i = pick(model, 14); i > 0; i--)
        change(model);
    model->trees[fixture->snapshot] = model->now;
    qsort(model->trees[fixture->snapshot].at, model->now.count, sizeof(*model->now.at), compare_placed);
}

static int text_of_entry(void *data, const char *name, const struct object *object) {
    buf_fmt(data, "%s=%lld ", name, (long long)object->id);
    return 0;
}

static void path_of(struct model *model, struct tree *tree, const struct placed *placed, char *ret) {
    char reversed[ENTRIES * 2], *at = reversed;
    for (; placed->dir; placed = find_dir(model, tree, placed->dir)) {
        *at++ = placed->name;
        *at++ = '/';
    }
    if (at > reversed)
        at--;
    while (at > reversed)
        *ret++ = *--at;
    *ret = '\0';
}

static void check_directory(struct model *model, int64_t number, int64_t identity) {
    struct tree *tree = &model->trees[number];
    struct placed *placed = find_dir(model, tree, identity);
    _buf_ struct buf expected = {0};
    _buf_ struct buf got = {0};
    char where[64] = "", path[ENTRIES * 2];
    if (placed)
        snprintf(where, sizeof(where), "%lld:%.1s", (long long)placed->dir, placed->name == '.' ? "" : &placed->name);
    assert_string_equal(place(model->fixture, number, identity), where);
    for (size_t i = 0; i < tree->count; i++)
        if (tree->at[i].dir == identity)
            buf_fmt(&expected, "%c=%lld ", tree->at[i].name, (long long)tree->at[i].object);
    OK(index_list(model->fixture->store, POINT(number), identity, text_of_entry, &got, &err));
    assert_int_equal(got.size, expected.size);
    assert_true(got.size == 0 || strcmp(got.data, expected.data) == 0);
    if (!placed || identity == INDEX_ROOT)
        return;
    buf_clear(&got);
    path_of(model, tree, placed, path);
    assert_int_equal(index_dir_path(model->fixture->store, POINT(number), identity, &got, &err), 1);
    assert_string_equal(got.data, path);
}

static int count_name(void *data, int64_t dir, const char *name) {
    (void)dir;
    assert_int_equal(strlen(name), 1);
    ++*(int64_t *)data;
    return 0;
}

static void check_entry(struct model *model, int64_t number, const struct placed *placed) {
    struct tree *tree = &model->trees[number];
    struct store *store = model->fixture->store;
    const struct object *object = &model->objects[placed->object];
    _object_ struct object *got = NULL;
    char path[ENTRIES * 2];
    int64_t links = 0, names = 0;
    path_of(model, tree, placed, path);
    assert_int_equal(index_resolve(store, POINT(number), path, NULL, NULL, &got, &err), 1);
    assert_int_equal(got->id, placed->object);
    for (size_t i = 0; i < tree->count; i++)
        links += tree->at[i].object == placed->object;
    assert_int_equal(index_links(store, POINT(number), placed->object, &err), object->flags & OBJECT_LINKED ? links : 1);
    OK(index_names(store, POINT(number), placed->object, count_name, &names, &err));
    assert_int_equal(names, object->flags & OBJECT_LINKED ? links : 0);
}

static void check_counts(struct model *model, int64_t number) {
    struct tree *tree = &model->trees[number];
    struct snap_counts counts;
    _snapshot_ struct snapshot *row = NULL;
    uint64_t dirs = 0, bytes = 0;
    for (size_t i = 0; i < tree->count; i++) {
        const struct object *object = &model->objects[tree->at[i].object];
        bool again = false;
        for (size_t j = 0; j < i; j++)
            again |= tree->at[j].object == object->id && object->flags & OBJECT_LINKED;
        dirs += object->dir != 0;
        bytes += object->dir || again ? 0 : object->meta.size;
    }
    OK(index_snapshot(model->fixture->store, number, &row, &err));
    OK(index_counts(model->fixture->store, row, &counts, &err));
    assert_int_equal(counts.directories, dirs);
    assert_int_equal(counts.files, tree->count - dirs);
    assert_int_equal(counts.bytes, bytes);
}

static void check_tree(struct model *model, int64_t number) {
    struct tree *tree = &model->trees[number];
    for (int64_t identity = 1; identity <= model->fixture->object; identity++)
        if (identity == INDEX_ROOT || model->objects[identity].dir == identity)
            check_directory(model, number, identity);
    for (size_t i = 0; i < tree->count; i++)
        check_entry(model, number, &tree->at[i]);
    if (!instead.line)
        check_counts(model, number);
}

struct expected { struct model *model; struct tree *from, *to; size_t seen; };

static int check_change(void *data, const struct index_change *change) {
    struct expected *expected = data;
    char letter = *change->name ? *change->name : '.';
    struct placed *before = find(expected->from, change->dir, letter), *after = find(expected->to, change->dir, letter);
    assert_int_equal(change->before, before ? before->object : 0);
    assert_int_equal(change->after, after ? after->object : 0);
    assert_int_not_equal(change->before, change->after);
    expected->seen++;
    return 0;
}

static void check_diff(struct model *model, int64_t from, int64_t to) {
    struct expected expected = { model, &model->trees[from], &model->trees[to], 0 };
    size_t differing = 0;
    for (size_t i = 0; i < expected.from->count; i++) {
        struct placed *other = find(expected.to, expected.from->at[i].dir, expected.from->at[i].name);
        differing += !other || other->object != expected.from->at[i].object;
    }
    for (size_t i = 0; i < expected.to->count; i++)
        differing += !find(expected.from, expected.to->at[i].dir, expected.to->at[i].name);
    OK(index_diff(model->fixture->store, POINT(from), POINT(to), check_change, &expected, &err));
    assert_int_equal(expected.seen, differing);
}

/* What a path showed at a snapshot: it and all below it, as text. */
static void show(struct model *model, struct tree *tree, const struct placed *placed, struct buf *ret) {
    buf_fmt(ret, "%lld(", (long long)placed->object);
    int64_t identity = model->objects[placed->object].dir;
    for (char name = 'a'; identity && name < 'a' + NAMES; name++) {
        struct placed *below = find(tree, identity, name);
        buf_char(ret, name);
        if (below)
            show(model, tree, below, ret);
    }
    buf_char(ret, ')');
}

static void show_path(struct model *model, int64_t number, const char *path, struct buf *ret) {
    struct tree *tree = &model->trees[number];
    struct placed *placed = tree->count ? find(tree, 0, '.') : NULL;
    for (; placed && *path; path += 1 + (path[1] == '/'))
        placed = model->objects[placed->object].dir ? find(tree, model->objects[placed->object].dir, *path) : NULL;
    buf_clear(ret);
    buf_char(ret, '-');
    if (placed)
        show(model, tree, placed, ret);
}

static void check_history(struct model *model, const char *path) {
    _buf_ struct buf before = {0};
    _buf_ struct buf after = {0};
    _free_ int64_t *numbers = NULL;
    size_t count = 0, at = 0;
    OK(index_history(model->fixture->store, LINE, path, &numbers, &count, &err));
    for (int64_t number = 1; number <= model->fixture->snapshot; number++) {
        show_path(model, number - 1, path, &before);
        show_path(model, number, path, &after);
        bool changed = strcmp(before.data, after.data) != 0, told = at < count && numbers[at] == number;
        if (changed != told)
            fail_msg("seed %u: '%s' changed in snapshot %lld: %d, history says %d", model->seed, path, (long long)number, changed, told);
        at += told;
    }
    assert_int_equal(at, count);
}

/* All that is known, as text. */
static void dump(struct store *store, struct buf *ret) {
    static const char *const tables[] = {
        "SELECT group_concat(line || ' ' || dir || ' ' || hex(name) || ' ' || born || ' ' || died || ' ' || object) FROM entry",
        "SELECT group_concat(line || ' ' || id || ' ' || born || ' ' || died || ' ' || parent || ' ' || hex(name)) FROM dir",
        "SELECT group_concat(object || ' ' || line || ' ' || dir || ' ' || hex(name) || ' ' || born || ' ' || died) FROM link",
        "SELECT group_concat(id) FROM object", "SELECT group_concat(id) FROM content", "SELECT group_concat(id) FROM snapshot",
    };
    for (size_t i = 0; i < ELEMENTS(tables); i++) {
        _statement_ struct db_statement row = {0};
        OK(db_bind(&row, store, &err, tables[i], ""));
        assert_int_equal(db_step(&row, &err), 1);
        _free_ char *text = db_text(&row, 0);
        buf_str(ret, text ? text : "");
        buf_char(ret, '\n');
    }
}

static void drop_and_compare(struct model *model) {
    _buf_ struct buf before = {0};
    _buf_ struct buf after = {0};
    struct fixture *fixture = model->fixture;
    struct tree now = model->now;
    int64_t object = fixture->object, content = fixture->content;
    dump(fixture->store, &before);
    take(model);
    OK(index_drop_newest(fixture->store, fixture->snapshot, &err));
    /* an object that never came into the tree is nobody's */
    OK(db_run(fixture->store, &err, "DELETE FROM object WHERE id > ?", "i", object));
    dump(fixture->store, &after);
    if (strcmp(before.data, after.data) != 0)
        fail_msg("dropping snapshot %lld left something\n%s\n%s", (long long)fixture->snapshot, before.data, after.data);
    model->now = now;
    fixture->snapshot--;
    fixture->object = object;
    fixture->content = content;
}

static void check_everything(struct model *model) {
    for (int64_t i = 0; i <= model->fixture->snapshot; i++) {
        if (i > 0)
            check_tree(model, i);
        for (int j = 0; j < 8; j++)
            check_diff(model, i, pick(model, (unsigned)model->fixture->snapshot + 1));
    }
    check_history(model, "");
    for (int i = 0; i < 200; i++) {
        int64_t number = 1 + pick(model, (unsigned)model->fixture->snapshot);
        struct tree *tree = &model->trees[number];
        char path[ENTRIES * 2];
        path_of(model, tree, &tree->at[pick(model, (unsigned)tree->count)], path);
        check_history(model, path);
    }
}

static void random_histories_show_every_tree_as_it_was(void **state) {
    struct model *model = calloc(1, sizeof(*model));
    for (unsigned seed = 1; seed <= 12; seed++) {
        struct fixture *fixture = *state;
        *model = (struct model){ .fixture = fixture, .seed = seed };
        print_message("seed %u\n", seed);
        for (int i = 0; i < SNAPSHOTS; i++) {
            if (pick(model, 3) == 0)
                drop_and_compare(model);
            take(model);
        }
        check_everything(model);
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
    free(model);
}

/* Lines that stand on others. */

/* As text, bound by the caller: rows of line 2 from snapshot 100 on. */
static void row_of_line(struct model *model, const char *sql, int64_t first, const char *name, int64_t last) {
    OK(db_run(model->fixture->store, &err, sql, "ini", first, name, last));
}

static const char *text_of_name(char name, char text[2]) {
    text[0] = name == '.' ? '\0' : name;
    text[1] = '\0';
    return text;
}

static void add_places(struct model *model, const struct tree *from, struct tree *to) {
    char name[2];
    for (int64_t identity = 2; identity <= model->fixture->object; identity++) {
        struct placed *before = find_dir(model, (struct tree *)(uintptr_t)from, identity), *after = find_dir(model, to, identity);
        if (model->objects[identity].dir != identity || (before && after && !compare_placed(before, after)) || (!before && !after))
            continue;
        row_of_line(model, "INSERT INTO dir(line, parent, name, born, died, id) VALUES (2, ?1, ?2, 100, 9223372036854775807, ?3)",
                    after ? after->dir : 0, after ? text_of_name(after->name, name) : "", identity);
    }
}

/* Line 2, which stands on the base and shows the target: only what differs has rows of its own. */
static void make_line(struct model *model, int64_t base, int64_t target) {
    struct tree *from = &model->trees[base], *to = &model->trees[target];
    char name[2];
    OK(db_exec(model->fixture->store, "DELETE FROM entry WHERE line = 2; DELETE FROM dir WHERE line = 2; DELETE FROM link WHERE line = 2;"
               "DELETE FROM line WHERE id = 2", &err));
    OK(db_run(model->fixture->store, &err, "INSERT INTO line(id, base_line, base_snapshot) VALUES (2, 1, ?)", "i", base));
    static const char entry[] = "INSERT INTO entry(line, dir, name, born, died, object) VALUES (2, ?1, ?2, 100, 9223372036854775807, ?3)";
    static const char link[] = "INSERT INTO link(line, dir, name, born, died, object) VALUES (2, ?1, ?2, 100, 9223372036854775807, ?3)";
    for (size_t i = 0; i < from->count; i++)
        if (!find(to, from->at[i].dir, from->at[i].name))
            row_of_line(model, entry, from->at[i].dir, text_of_name(from->at[i].name, name), 0);
    for (size_t i = 0; i < to->count; i++) {
        struct placed *before = find(from, to->at[i].dir, to->at[i].name);
        if (before && before->object == to->at[i].object)
            continue;
        row_of_line(model, entry, to->at[i].dir, text_of_name(to->at[i].name, name), to->at[i].object);
        if (model->objects[to->at[i].object].flags & OBJECT_LINKED)
            row_of_line(model, link, to->at[i].dir, text_of_name(to->at[i].name, name), to->at[i].object);
    }
    add_places(model, from, to);
}

static void a_line_shows_its_own_rows_over_those_of_its_base(void **state) {
    struct model *model = calloc(1, sizeof(*model));
    for (unsigned seed = 21; seed <= 24; seed++) {
        struct fixture *fixture = *state;
        *model = (struct model){ .fixture = fixture, .seed = seed };
        for (int i = 0; i < SNAPSHOTS; i++)
            take(model);
        for (int i = 0; i < 12; i++) {
            int64_t base = 1 + pick(model, SNAPSHOTS), target = 1 + pick(model, SNAPSHOTS);
            make_line(model, base, target);
            instead = (struct point){ .line = 2, .snap = 100 };
            check_tree(model, target);
            instead = (struct point){ .line = 2, .snap = 99 };         /* before it had rows */
            check_tree(model, base);
            instead = (struct point){0};
        }
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
    free(model);
}

/* Plans. */

struct traced { struct buf sql; };

static int note_sql(unsigned kind, void *data, void *statement, void *text) {
    (void)kind;
    (void)text;
    buf_add(data, sqlite3_sql(statement), strlen(sqlite3_sql(statement)) + 1);
    return 0;
}

static int ignore_change(void *data, const struct index_change *change) {
    (void)data;
    (void)change;
    return 0;
}

static int ignore_name(void *data, int64_t dir, const char *name) {
    (void)data;
    (void)dir;
    (void)name;
    return 0;
}

static void ask_everything(struct fixture *fixture) {
    struct store *store = fixture->store;
    _snapshot_ struct snapshot *found = NULL;
    _object_ struct object *object = NULL;
    _buf_ struct buf path = {0};
    struct content content = {0};
    struct index_ids ids;
    _free_ int64_t *numbers = NULL;
    size_t count;
    int seen = 0;
    OK(index_newest_number(store, LINE, &err));
    OK(index_snapshot_named(store, "n", &found, &err));
    OK(index_latest(store, LINE, 0, &found, &err));
    OK(index_next_ids(store, &ids, &err));
    OK(index_resolve(store, POINT(2), "d/f", NULL, NULL, &object, &err));
    OK(index_list(store, POINT(1), INDEX_ROOT, count_entry, &seen, &err));
    OK(index_dir_path(store, POINT(1), 3, &path, &err));
    OK(index_diff(store, POINT(1), POINT(2), ignore_change, NULL, &err));
    OK(index_history(store, LINE, "d", &numbers, &count, &err));
    OK(index_links(store, POINT(1), 3, &err));
    OK(index_names(store, POINT(1), 3, ignore_name, NULL, &err));
    free(content.name);
}

static void no_question_about_a_point_reads_a_whole_table(void **state) {
    struct fixture *fixture = *state;
    _buf_ struct buf traced = {0};
    sqlite3_trace_v2(store_db(fixture->store), SQLITE_TRACE_STMT, note_sql, &traced);
    snapshot(fixture);
    root(fixture);
    struct object dir = add_dir(fixture, 0);
    for (int i = 0; i < 3; i++) {
        struct object file = add_file(fixture, 1, OBJECT_LINKED);
        born(fixture, INDEX_ROOT, i == 2 ? "e" : "d", &dir);
        born(fixture, dir.dir, "f", &file);
        died(fixture, INDEX_ROOT, i == 2 ? "d" : "e");
        if (i < 2)
            snapshot(fixture);
        if (i == 1) {
            born(fixture, INDEX_ROOT, "d", &file);
            died(fixture, INDEX_ROOT, "d");
        }
    }
    ask_everything(fixture);
    sqlite3_trace_v2(store_db(fixture->store), 0, NULL, NULL);
    int statements = 0;
    for (const char *sql = traced.data; sql < traced.data + traced.size; sql += strlen(sql) + 1, statements++) {
        _buf_ struct buf explain = {0};
        sqlite3_stmt *plan = NULL;
        buf_fmt(&explain, "EXPLAIN QUERY PLAN %s", sql);
        assert_int_equal(sqlite3_prepare_v2(store_db(fixture->store), explain.data, -1, &plan, NULL), SQLITE_OK);
        while (sqlite3_step(plan) == SQLITE_ROW) {
            const char *step = (const char *)sqlite3_column_text(plan, 3);
            /* lines and sequences are a handful of rows */
            if (strncmp(step, "SCAN", 4) == 0 && !strstr(step, "CONSTANT ROW") && strcmp(step, "SCAN l") != 0
                && strcmp(step, "SCAN sqlite_sequence") != 0)
                fail_msg("'%s' in: %s", step, sql);
            if (strstr(step, "TEMP B-TREE"))
                fail_msg("'%s' in: %s", step, sql);
        }
        sqlite3_finalize(plan);
    }
    assert_true(statements > 30);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_snapshot_comes_back_as_it_was_added),
        TEST(the_latest_is_neither_automatic_nor_hidden),
        TEST(snapshots_are_listed_newest_first_until_told_to_stop),
        TEST(a_name_belongs_to_one_snapshot),
        TEST(every_kind_of_object_comes_back_as_it_was_added),
        TEST(content_is_found_by_digest_and_size),
        TEST(damaged_rows_are_told_as_damage),
        TEST(a_circle_of_directories_is_damage),
        TEST(a_row_is_seen_from_its_birth_until_its_death),
        TEST(an_object_born_again_or_dead_twice_changes_nothing),
        TEST(a_directory_moves_whichever_place_is_told_first),
        TEST(two_directories_swap_their_names),
        TEST(a_directory_that_something_else_replaces_has_no_place),
        TEST(paths_go_down_and_come_back_up),
        TEST(what_is_no_directory_has_nothing_below_it),
        TEST(who_is_listing_may_ask_and_may_stop),
        TEST(a_directory_may_have_very_many_entries),
        TEST(an_object_never_gets_the_number_of_a_directory),
        TEST(the_number_of_a_dropped_snapshot_is_not_used_again),
        TEST(counts_tell_what_only_one_snapshot_holds),
        TEST(random_histories_show_every_tree_as_it_was),
        TEST(a_line_shows_its_own_rows_over_those_of_its_base),
        TEST(no_question_about_a_point_reads_a_whole_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
