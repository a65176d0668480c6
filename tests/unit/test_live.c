/* The live index: against a plain array as its model, with damaged parts, and made anew from the index.
 * Looks at no file of any project. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "db.h"
#include "fs.h"
#include "index.h"
#include "live_part.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static struct snap_err err;
#define OK(call) do { long long r_ = (call); if (r_ < 0) fail_msg("%s: %lld, %s", #call, r_, err.message); } while (0)

struct fixture { char path[64]; struct store *store; };

static int setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    strcpy(fixture->path, "/tmp/test_live.XXXXXX");
    if (!mkdtemp(fixture->path))
        return -1;
    strcat(fixture->path, "/store");
    OK(store_create(fixture->path, &err));
    OK(store_open(fixture->path, &fixture->store, &err));
    OK(store_lock(fixture->store, STORE_LOCK_TRY, "test", NULL, &err));
    OK(store_begin(fixture->store, &err));
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

static int64_t ask(struct fixture *fixture, const char *sql) {
    _statement_ struct db_statement row = {0};
    OK(db_bind(&row, fixture->store, &err, sql, ""));
    assert_int_equal(db_step(&row, &err), 1);
    return db_int(&row, 0);
}

static bool same(const struct live_entry *a, const struct live_entry *b) {
    return strcmp(a->name, b->name) == 0 && fingerprint_equal(&a->print, &b->print) && a->object == b->object && a->dir == b->dir
        && a->flags == b->flags;
}

static const struct live_entry extremes[] = {
    { .name = "a" },
    { .name = "b", .print = { UINT64_MAX, UINT64_MAX, INT64_MIN, INT64_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX,
                              UINT32_MAX, UINT32_MAX }, .object = INT64_MAX, .dir = INT64_MAX, .flags = UINT32_MAX },
    { .name = "b\x01", .print = { .mtime_sec = INT64_MAX, .ctime_sec = INT64_MIN } },
    { .name = "\xff\xfe", .print = { .mtime_sec = -1, .ctime_sec = -1, .mtime_nsec = 999999999 }, .flags = LIVE_HOT | LIVE_FOREIGN },
};

static void records_come_back_as_they_were_written(void **state) {
    struct fixture *fixture = *state;
    _live_ struct live *live = NULL;
    OK(live_write_dir(fixture->store, 7, extremes, ELEMENTS(extremes), &err));
    OK(live_load(fixture->store, &live, &err));
    const struct live_dir *dir = live_dir(live, 7);
    assert_non_null(dir);
    assert_int_equal(dir->count, ELEMENTS(extremes));
    for (size_t i = 0; i < ELEMENTS(extremes); i++) {
        struct live_entry found = {0};
        assert_true(same(&dir->entries[i], &extremes[i]));
        assert_ptr_equal(live_dir_find(dir, extremes[i].name), &dir->entries[i]);
        assert_int_equal(live_find(fixture->store, 7, extremes[i].name, &found, &err), 1);
        assert_true(same(&found, &extremes[i]));
    }
}

static void an_empty_index_has_nothing(void **state) {
    struct fixture *fixture = *state;
    _live_ struct live *live = NULL;
    struct live_entry found;
    struct live_iter iter = {0};
    OK(live_load(fixture->store, &live, &err));
    assert_null(live_dir(live, 1));
    assert_null(live_dir_find(NULL, "a"));
    assert_false(live_next(live, &iter));
    assert_int_equal(live_find(fixture->store, 1, "a", &found, &err), 0);
    OK(live_remove(fixture->store, 1, "a", &err));
    OK(live_remove_dir(fixture->store, 1, &err));
    OK(live_write_dir(fixture->store, 1, NULL, 0, &err));
    assert_int_equal(ask(fixture, "SELECT count(*) FROM live"), 0);
}

static void directories_are_given_one_after_the_other(void **state) {
    struct fixture *fixture = *state;
    _live_ struct live *live = NULL;
    int64_t sum = 0;
    for (int64_t dir = 300; dir > 0; dir--)
        OK(live_write_dir(fixture->store, dir, extremes, 1 + (size_t)dir % ELEMENTS(extremes), &err));
    OK(live_write_dir(fixture->store, 0, &(struct live_entry){ .name = "", .dir = 1 }, 1, &err));
    OK(live_load(fixture->store, &live, &err));
    for (struct live_iter iter = {0}; live_next(live, &iter);) {
        assert_ptr_equal(live_dir(live, iter.dir->dir), iter.dir);
        assert_int_equal(iter.dir->count, iter.dir->dir ? 1 + (size_t)iter.dir->dir % ELEMENTS(extremes) : 1);
        sum += iter.dir->dir;
    }
    assert_int_equal(sum, 300 * 301 / 2);
    assert_int_equal(live_dir_find(live_dir(live, 0), "")->dir, 1);
    assert_null(live_dir(live, 301));
}

/* A directory of `count` records called 000000 and so on. */
static struct live_entry *numbered(size_t count, char (**ret_names)[24]) {
    struct live_entry *entries = calloc(count, sizeof(*entries));
    char (*names)[24] = calloc(count, sizeof(*names));
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof(*names), "%06zu", i);
        entries[i] = (struct live_entry){ .name = names[i], .object = (int64_t)i + 1, .print = { .ino = 1000 + i, .mode = 0100644 } };
    }
    *ret_names = names;
    return entries;
}

static void only_parts_that_differ_are_written(void **state) {
    struct fixture *fixture = *state;
    enum { COUNT = 5000 };
    char (*names)[24];
    struct live_entry *entries = numbered(COUNT, &names);
    OK(live_write_dir(fixture->store, 1, entries, COUNT, &err));
    int before = sqlite3_total_changes(store_db(fixture->store));
    OK(live_write_dir(fixture->store, 1, entries, COUNT, &err));
    OK(live_put(fixture->store, 1, &entries[77], &err));
    assert_int_equal(sqlite3_total_changes(store_db(fixture->store)), before);
    entries[COUNT / 2].object++;
    OK(live_write_dir(fixture->store, 1, entries, COUNT, &err));
    assert_int_equal(sqlite3_total_changes(store_db(fixture->store)), before + 1);
    free(entries);
    free(names);
}

static void a_part_never_outgrows_its_page(void **state) {
    struct fixture *fixture = *state;
    char name[256], tail[220];
    memset(tail, 'x', sizeof(tail));
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "%d%.*s", i * 7919 % 2000, i % 5 ? 0 : 20 + i % 200, tail);
        OK(live_put(fixture->store, 1, &(struct live_entry){ .name = name, .object = i }, &err));
    }
    assert_in_range(ask(fixture, "SELECT max(length(data)) FROM live"), 400, PART_MAX);
    assert_in_range(ask(fixture, "SELECT avg(length(data)) FROM live"), PART_MAX / 3, PART_MAX);
}

static void a_directory_that_shrank_is_packed_anew(void **state) {
    struct fixture *fixture = *state;
    enum { COUNT = 5000 };
    char (*names)[24];
    struct live_entry *entries = numbered(COUNT, &names);
    OK(live_write_dir(fixture->store, 1, entries, COUNT, &err));
    int64_t parts = ask(fixture, "SELECT count(*) FROM live");
    for (size_t i = 0; i < COUNT / 50; i++)
        entries[i] = entries[i * 50];
    for (int i = 0; i < 2; i++)
        OK(live_write_dir(fixture->store, 1, entries, COUNT / 50, &err));
    assert_true(ask(fixture, "SELECT count(*) FROM live") < parts / 20);
    free(entries);
    free(names);
}

/* The model. */

enum { DIRS = 3, NAMES = 3000, STEPS = 6000 };

struct model { bool there[DIRS][NAMES]; struct live_entry at[DIRS][NAMES]; char names[NAMES][24]; unsigned seed; };

static unsigned pick(struct model *model, unsigned limit) {
    model->seed = model->seed * 1103515245 + 12345;
    return (model->seed >> 8) % limit;
}

static struct live_entry some_entry(struct model *model, size_t name) {
    return (struct live_entry){ .name = model->names[name], .object = pick(model, 1000), .flags = pick(model, 64),
                                .print = { .ino = pick(model, 100), .mtime_sec = pick(model, 3), .mode = pick(model, 9) } };
}

/* Names in order, some of them long. */
static void make_names(struct model *model) {
    for (size_t i = 0; i < NAMES; i++)
        snprintf(model->names[i], sizeof(model->names[i]), i % 3 ? "%05zu" : "%05zuwithalongertail", i);
}

static void check(struct model *model, struct fixture *fixture) {
    _live_ struct live *live = NULL;
    OK(live_load(fixture->store, &live, &err));
    for (size_t dir = 0; dir < DIRS; dir++) {
        const struct live_dir *got = live_dir(live, (int64_t)dir + 1);
        size_t at = 0;
        for (size_t i = 0; i < NAMES; i++) {
            if (!model->there[dir][i])
                continue;
            assert_non_null(got);
            assert_true(at < got->count);
            assert_true(same(&got->entries[at++], &model->at[dir][i]));
        }
        assert_int_equal(got ? got->count : 0, at);
        assert_true(!got || at > 0);
    }
}

static void check_one(struct model *model, struct fixture *fixture, size_t dir, size_t name) {
    struct live_entry found = {0};
    int r = live_find(fixture->store, (int64_t)dir + 1, model->names[name], &found, &err);
    OK(r);
    assert_int_equal(r, model->there[dir][name]);
    assert_true(!r || same(&found, &model->at[dir][name]));
}

static void write_whole(struct model *model, struct fixture *fixture, size_t dir) {
    _free_ struct live_entry *entries = calloc(NAMES, sizeof(*entries));
    size_t count = 0;
    unsigned density = pick(model, 5), changes = pick(model, 20);
    for (size_t i = 0; i < NAMES; i++) {
        if (pick(model, 100) < changes) {
            model->there[dir][i] = pick(model, 4) < density;
            model->at[dir][i] = some_entry(model, i);
        }
        if (model->there[dir][i])
            entries[count++] = model->at[dir][i];
    }
    OK(live_write_dir(fixture->store, (int64_t)dir + 1, entries, count, &err));
}

static void step(struct model *model, struct fixture *fixture, unsigned bias) {
    size_t dir = pick(model, DIRS), name = pick(model, NAMES);
    unsigned what = pick(model, 1000);
    if (what < 3) {
        write_whole(model, fixture, dir);
    } else if (what == 4) {
        OK(live_remove_dir(fixture->store, (int64_t)dir + 1, &err));
        memset(model->there[dir], 0, sizeof(model->there[dir]));
    } else if (what < bias) {
        model->at[dir][name] = some_entry(model, name);
        model->there[dir][name] = true;
        OK(live_put(fixture->store, (int64_t)dir + 1, &model->at[dir][name], &err));
    } else {
        /* a run of neighbours, so that parts become empty */
        for (size_t i = name; i < MIN(name + 60, (size_t)NAMES); i++) {
            OK(live_remove(fixture->store, (int64_t)dir + 1, model->names[i], &err));
            model->there[dir][i] = false;
        }
    }
    check_one(model, fixture, dir, name);
    check_one(model, fixture, dir, pick(model, NAMES));
}

static void random_changes_leave_what_the_model_has(void **state) {
    struct fixture *fixture = *state;
    _free_ struct model *model = calloc(1, sizeof(*model));
    for (unsigned seed = 1; seed <= 4; seed++) {
        memset(model, 0, sizeof(*model));
        make_names(model);
        model->seed = seed;
        OK(db_exec(fixture->store, "DELETE FROM live", &err));
        for (unsigned i = 0; i < STEPS; i++) {
            step(model, fixture, i % 1500 < 1000 ? 985 : 500);
            if (i % 100 == 0)
                check(model, fixture);
        }
        check(model, fixture);
    }
}

static void the_first_part_stays_until_the_directory_is_empty(void **state) {
    struct fixture *fixture = *state;
    enum { COUNT = 200 };
    char (*names)[24];
    struct live_entry *entries = numbered(COUNT, &names);
    _live_ struct live *live = NULL;
    OK(live_write_dir(fixture->store, 1, entries, COUNT, &err));
    for (size_t i = 0; i < COUNT - 1; i++)
        OK(live_remove(fixture->store, 1, entries[i].name, &err));
    assert_int_equal(ask(fixture, "SELECT count(*) FROM live WHERE first = x''"), 1);
    OK(live_load(fixture->store, &live, &err));
    assert_int_equal(live_dir(live, 1)->count, 1);
    OK(live_put(fixture->store, 1, &entries[0], &err));
    assert_int_equal(live_find(fixture->store, 1, entries[0].name, &entries[1], &err), 1);
    OK(live_remove(fixture->store, 1, entries[COUNT - 1].name, &err));
    OK(live_remove(fixture->store, 1, entries[0].name, &err));
    assert_int_equal(ask(fixture, "SELECT count(*) FROM live"), 0);
    free(entries);
    free(names);
}

/* Damage. */

static void every_verb_meets(struct fixture *fixture) {
    _live_ struct live *live = NULL;
    struct live_entry found = {0};
    int r = live_load(fixture->store, &live, &err);
    assert_true(r == 0 || r == -EUCLEAN);
    for (struct live_iter iter = {0}; live && live_next(live, &iter);)
        for (size_t i = 0; i < iter.dir->count; i++)
            assert_ptr_equal(live_dir_find(iter.dir, iter.dir->entries[i].name), &iter.dir->entries[i]);
    r = live_find(fixture->store, 7, "b", &found, &err);
    assert_true(r == 0 || r == 1 || r == -EUCLEAN);
    r = live_put(fixture->store, 7, &extremes[1], &err);
    assert_true(r == 0 || r == -EUCLEAN);
    r = live_remove(fixture->store, 7, "a", &err);
    assert_true(r == 0 || r == -EUCLEAN);
    OK(live_write_dir(fixture->store, 7, extremes, ELEMENTS(extremes), &err));
}

static void a_part_of_random_bytes_is_never_read_beyond(void **state) {
    struct fixture *fixture = *state;
    _buf_ struct buf whole = {0};
    struct model model = { .seed = 5 };
    part_pack(extremes, ELEMENTS(extremes), SIZE_MAX, &whole);
    for (int i = 0; i < 4000; i++) {
        /* a copy of just this size, so that a checker sees a read past its end */
        size_t size = i % 4 ? whole.size : pick(&model, (unsigned)whole.size);
        _free_ uint8_t *bytes = malloc(size + !size);
        memcpy(bytes, whole.data, size);
        for (unsigned flips = i % 4 ? 1 + pick(&model, 3) : 0; flips > 0 && size; flips--)
            bytes[pick(&model, (unsigned)size)] = (uint8_t)pick(&model, 256);
        _part_ struct part_entries entries = {0};
        int r = part_read(7, bytes, size, &entries, &err);
        assert_true(r == 0 || r == -EUCLEAN);
        if (i % 10)
            continue;
        OK(db_run(fixture->store, &err, "UPDATE live SET data = ? WHERE dir = 7", "b", bytes, size));
        every_verb_meets(fixture);
    }
}

#define ZEROS "00000000000000000000000000"     /* a record */

static void damage_is_told(void **state) {
    struct fixture *fixture = *state;
    static const char *const rows[] = {
        "(1, x'', x'')", "(1, x'', x'0102')", "(1, x'', x'ffffffffffffffffff7f02')", "(1, x'', x'ffffffffffffffffffffffff')",
        "(1, x'', x'000000')",
        "(1, x'61', x'0000')",                                             /* no first part */
        "(1, x'', x'0000'), (1, x'61', x'0000')",                          /* an empty part that is not the first */
        "(1, x'', x'01026100" ZEROS "'), (1, x'61', x'01026200" ZEROS "')",    /* a key that is not behind what came before */
        "(1, x'', x'01026100" ZEROS "'), (1, x'63', x'01026200" ZEROS "')",    /* a key behind what is in the part */
        "(1, x'', x'020462006100" ZEROS ZEROS "')",                        /* out of order */
        "(1, x'', x'020461006100" ZEROS ZEROS "')",                        /* twice */
        "(1, x'', x'010100" ZEROS "')", "(1, x'', x'01032e2e00" ZEROS "')", "(1, x'', x'0104612f6200" ZEROS "')",
        "(1, x'', x'010261" ZEROS "')", "(1, x'', x'0102610000" ZEROS "')", "(1, x'', x'01026161" ZEROS "')",
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        char sql[300];
        struct live *live = NULL;
        snprintf(sql, sizeof(sql), "DELETE FROM live; INSERT INTO live VALUES %s", rows[i]);
        OK(db_exec(fixture->store, sql, &err));
        err = (struct snap_err){0};
        if (live_load(fixture->store, &live, &err) != -EUCLEAN)
            fail_msg("not seen: %s", rows[i]);
        assert_int_equal(err.failure, SNAP_FAILURE_DAMAGE);
        assert_null(live);
    }
    _live_ struct live *live = NULL;
    OK(db_exec(fixture->store, "DELETE FROM live; INSERT INTO live VALUES (1, x'', x'01026100" ZEROS "')", &err));
    OK(live_load(fixture->store, &live, &err));
    assert_int_equal(live_dir(live, 1)->count, 1);
}

/* From the index. */

static void resetting_gives_every_newest_entry_without_a_fingerprint(void **state) {
    struct fixture *fixture = *state;
    _live_ struct live *live = NULL;
    struct object root = { .id = 2, .dir = INDEX_ROOT, .meta.mode = S_IFDIR }, dir = { .id = 3, .dir = 3, .meta.mode = S_IFDIR },
        file = { .id = 4, .flags = OBJECT_UNREAD | OBJECT_LINKED, .meta.mode = S_IFREG }, *objects[] = { &root, &dir, &file };
    struct snapshot snapshot = { .line = INDEX_PROJECT_LINE, .layer = 1, .public.number = 1 };
    OK(index_add_snapshot(fixture->store, &snapshot, &err));
    for (size_t i = 0; i < ELEMENTS(objects); i++)
        OK(index_add_object(fixture->store, objects[i], &err));
    OK(index_born(fixture->store, INDEX_PROJECT_LINE, 1, 0, "", &root, &err));
    OK(index_born(fixture->store, INDEX_PROJECT_LINE, 1, 1, "dir", &dir, &err));
    OK(index_born(fixture->store, INDEX_PROJECT_LINE, 1, 1, "gone", &file, &err));
    for (int i = 0; i < 500; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        OK(index_born(fixture->store, INDEX_PROJECT_LINE, 1, 3, name, &file, &err));
    }
    OK(index_died(fixture->store, INDEX_PROJECT_LINE, 2, 1, "gone", &err));
    OK(live_write_dir(fixture->store, 99, extremes, ELEMENTS(extremes), &err));
    OK(live_reset(fixture->store, &err));
    OK(live_load(fixture->store, &live, &err));
    assert_null(live_dir(live, 99));
    assert_int_equal(live_dir_find(live_dir(live, 0), "")->dir, INDEX_ROOT);
    assert_int_equal(live_dir(live, 1)->count, 1);
    assert_int_equal(live_dir_find(live_dir(live, 1), "dir")->dir, 3);
    assert_int_equal(live_dir(live, 3)->count, 500);
    const struct live_entry *entry = live_dir_find(live_dir(live, 3), "77");
    assert_int_equal(entry->object, 4);
    assert_int_equal(entry->flags, LIVE_UNREAD | LIVE_LINKED);
    assert_true(fingerprint_equal(&entry->print, &(struct fingerprint){0}));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(records_come_back_as_they_were_written),
        TEST(an_empty_index_has_nothing),
        TEST(directories_are_given_one_after_the_other),
        TEST(only_parts_that_differ_are_written),
        TEST(a_part_never_outgrows_its_page),
        TEST(a_directory_that_shrank_is_packed_anew),
        TEST(random_changes_leave_what_the_model_has),
        TEST(the_first_part_stays_until_the_directory_is_empty),
        TEST(a_part_of_random_bytes_is_never_read_beyond),
        TEST(damage_is_told),
        TEST(resetting_gives_every_newest_entry_without_a_fingerprint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
