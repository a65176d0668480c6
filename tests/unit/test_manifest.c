/* The manifest: what is written is read back, what is damaged or made up is refused, trees are compared with it.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fs.h"
#include "layer.h"
#include "manifest.h"
#include "quote.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

struct place { char path[64]; struct store *store; };

static int setup(void **state) {
    struct place *place = calloc(1, sizeof(*place));
    struct snap_err err = {0};
    char path[80];
    strcpy(place->path, "/tmp/snapctl-manifest-XXXXXX");
    assert_non_null(mkdtemp(place->path));
    snprintf(path, sizeof(path), "%s/store", place->path);
    assert_int_equal(store_create(path, &err), 0);
    assert_int_equal(store_open(path, &place->store, &err), 0);
    *state = place;
    return 0;
}

static int teardown(void **state) {
    struct place *place = *state;
    store_close(place->store);
    int result = fs_remove_tree(AT_FDCWD, place->path);
    free(place);
    return result;
}

static void put_text(struct place *place, const char *text, size_t size) {
    int layers = store_layers_fd(place->store);
    assert_true(mkdirat(layers, "1", 0700) == 0 || errno == EEXIST);
    _close_ int fd = openat(layers, "1/manifest", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, size), 0);
}

static struct object root_object(void) {
    return (struct object){ .id = 1, .dir = INDEX_ROOT, .meta = { .mode = S_IFDIR | 0755, .mtime = { .tv_sec = 5 } } };
}

static void begin(struct buf *text) {
    struct snapshot snapshot = { .line = 1, .layer = 1, .flags = SNAPSHOT_AUTO,
        .public = { .number = 1, .created = { .tv_sec = 1700000000, .tv_nsec = 7 }, .name = "a name", .message = "text\nwith \\ and =" } };
    struct object root = root_object();
    struct manifest_entry entry = { .in = 0, .name = "", .object = &root };
    manifest_begin(text, &snapshot);
    manifest_add(text, &entry);
}

/* What was read, as text to compare. */
static int note(void *data, const struct manifest_entry *entry) {
    struct buf *out = data;
    manifest_add(out, entry);
    return 0;
}

static int read_back(struct place *place, struct buf *noted, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    return manifest_read(place->store, 1, &snapshot, noted ? note : NULL, noted, err);
}

static void put_xattr(struct buf *packed, const char *name, const char *value, size_t size) {
    buf_u16(packed, (uint16_t)strlen(name));
    buf_u32(packed, (uint32_t)size);
    buf_str(packed, name);
    buf_add(packed, value, size);
}

static void add_everything(struct buf *text) {
    _buf_ struct buf xattrs = {0};
    put_xattr(&xattrs, "user.a=b c", "\0\1\2", 3);
    put_xattr(&xattrs, "user.empty", "", 0);
    struct object file = { .id = 2, .content = 9, .digest = { .bytes = { 1, 2, 3 } }, .meta = { .mode = S_IFREG | 04755, .uid = 4294967294u,
        .gid = 3, .size = 1ull << 40, .mtime = { .tv_sec = -5, .tv_nsec = 999999999 }, .xattrs = xattrs.data, .xattrs_size = xattrs.size } };
    struct object unread = { .id = 3, .flags = OBJECT_UNREAD, .meta = { .mode = S_IFREG | 0200, .size = 4 } };
    struct object dir = { .id = 4, .dir = 12, .meta = { .mode = S_IFDIR | 01777 } };
    struct object link = { .id = 5, .meta = { .mode = S_IFLNK | 0777, .size = 5, .target = (char *)"a b#\xff" } };
    struct object fifo = { .id = 6, .meta = { .mode = S_IFIFO | 0600 } };
    struct object device = { .id = 7, .meta = { .mode = S_IFBLK | 0660, .rdev_major = 8, .rdev_minor = 1048575 } };
    const struct manifest_entry entries[] = {
        { .in = 1, .name = "file", .object = &file, .content_layer = 3 },
        { .in = 1, .name = "# new\nline \xc3\xa4", .object = &file },
        { .in = 1, .name = "unread", .object = &unread },
        { .in = 1, .name = "dir", .object = &dir, .flags = MANIFEST_OPAQUE | MANIFEST_CONTEXT, .redirect = "/old name" },
        { .in = 12, .name = "link", .object = &link },
        { .in = 12, .name = "...", .object = &fifo },
        { .in = 12, .name = "sda1", .object = &device },
        { .in = 12, .name = "gone", .flags = MANIFEST_DELETED },
        { .in = 99, .name = "below a deleted directory", .flags = MANIFEST_DELETED },
    };
    for (size_t i = 0; i < ELEMENTS(entries); i++)
        manifest_add(text, &entries[i]);
}

static void everything_that_is_written_is_read_back(void **state) {
    _buf_ struct buf text = {0};
    _buf_ struct buf noted = {0};
    struct snap_err err = {0};
    begin(&text);
    size_t head = (size_t)(strstr(strchr(text.data, '\n') + 1, "\n") + 1 - text.data);
    add_everything(&text);
    manifest_end(&text);
    assert_int_equal(text.failed, 0);
    put_text(*state, text.data, text.size);
    if (read_back(*state, &noted, &err) != 0)
        fail_msg("%s", err.message);
    assert_memory_equal(noted.data, text.data + head, noted.size);
    assert_true(memcmp(text.data + head + noted.size, "#end ", 5) == 0);
}

static void the_snapshot_line_is_read_back(void **state) {
    struct place *place = *state;
    _buf_ struct buf text = {0};
    _snapshot_ struct snapshot *snapshot = NULL;
    begin(&text);
    manifest_end(&text);
    put_text(place, text.data, text.size);
    assert_int_equal(manifest_read(place->store, 1, &snapshot, NULL, NULL, NULL), 0);
    assert_int_equal(snapshot->public.number, 1);
    assert_int_equal(snapshot->layer, 1);
    assert_int_equal(snapshot->flags, SNAPSHOT_AUTO);
    assert_true(snapshot->public.automatic);
    assert_int_equal(snapshot->public.created.tv_nsec, 7);
    assert_string_equal(snapshot->public.name, "a name");
    assert_string_equal(snapshot->public.message, "text\nwith \\ and =");
}

static void a_missing_manifest_is_told_from_a_damaged_one(void **state) {
    struct snap_err err = {0};
    assert_int_equal(read_back(*state, NULL, &err), -ENOENT);
    put_text(*state, "", 0);
    assert_int_equal(read_back(*state, NULL, &err), -EUCLEAN);
    assert_int_equal(err.failure, SNAP_FAILURE_DAMAGE);
}

static void any_changed_byte_is_noticed(void **state) {
    _buf_ struct buf text = {0};
    begin(&text);
    add_everything(&text);
    manifest_end(&text);
    for (size_t i = 0; i < text.size; i++) {
        text.data[i] ^= 1;
        put_text(*state, text.data, text.size);
        assert_int_equal(read_back(*state, NULL, NULL), -EUCLEAN);
        text.data[i] ^= 1;
    }
}

static void any_cut_is_noticed(void **state) {
    _buf_ struct buf text = {0};
    begin(&text);
    manifest_end(&text);
    for (size_t size = 0; size < text.size; size++) {
        put_text(*state, text.data, size);
        assert_int_equal(read_back(*state, NULL, NULL), -EUCLEAN);
    }
}

/* Lines that somebody made up, with a right digest. */
static int read_made_up(struct place *place, const char *line) {
    _buf_ struct buf text = {0};
    begin(&text);
    buf_fmt(&text, "%s\n", line);
    manifest_end(&text);
    put_text(place, text.data, text.size);
    return read_back(place, NULL, NULL);
}

#define GOOD "type=file mode=0644 uid=0 gid=0 size=0 time=1.000000000 object=2 xxh128=00000000000000000000000000000000"
#define GOOD_DIR "type=dir mode=0755 uid=0 gid=0 time=1.000000000 object=2 dir=12"

static void made_up_lines_are_refused(void **state) {
    static const char *const lines[] = {
        "", " ", "a", "a ", "a in=1", "a in=1 deleted ", "a  in=1 deleted", "a in=1 in=1 deleted", "a in=1 deleted=1",
        "a in=1 deleted mode=0644", ". in=1 deleted", ".. in=1 " GOOD, "a/b in=1 " GOOD, "a\\057b in=1 " GOOD, "a\\000b in=1 " GOOD,
        "a in=2 " GOOD, "a in=-1 " GOOD, "a in=01 " GOOD, "a in=9223372036854775808 " GOOD, "a in=0 " GOOD, ". in=0 " GOOD_DIR,
        "a in=1 " GOOD " size=1", "a in=1 " GOOD " unread", "a in=1 " GOOD " unknown=1", "a in=1 " GOOD " opaque",
        "a in=1 " GOOD " dir=5", "a in=1 " GOOD " at=3", "a in=1 " GOOD " content=0", "a in=1 " GOOD " content=-3",
        "a in=1 " GOOD " xattr.=AAAA", "a in=1 " GOOD " xattr.b=AAAA xattr.a=AAAA", "a in=1 " GOOD " xattr.b=AAAA xattr.b=AAAA",
        "a in=1 " GOOD " xattr.b=A", "a in=1 " GOOD " xattr.b", "a in=1 " GOOD " xattr.b\\000=AAAA",
        "a in=1 type=door mode=0644 uid=0 gid=0 time=1.000000000 object=2",
        "a in=1 type=fifo mode=644 uid=0 gid=0 time=1.000000000 object=2",
        "a in=1 type=fifo mode=0844 uid=0 gid=0 time=1.000000000 object=2",
        "a in=1 type=fifo mode=0644 uid=4294967296 gid=0 time=1.000000000 object=2",
        "a in=1 type=fifo mode=0644 uid=0 gid=0 time=1.0 object=2",
        "a in=1 type=fifo mode=0644 uid=0 gid=0 time=-0.000000000 object=2",
        "a in=1 type=fifo mode=0644 uid=0 gid=0 time=1.000000000 object=0",
        "a in=1 type=char mode=0644 uid=0 gid=0 time=1.000000000 object=2",
        "a in=1 type=char mode=0644 uid=0 gid=0 time=1.000000000 object=2 device=1",
        "a in=1 type=char mode=0644 uid=0 gid=0 time=1.000000000 object=2 device=1,2,3",
        "a in=1 type=link mode=0777 uid=0 gid=0 time=1.000000000 object=2",
        "a in=1 type=link mode=0777 uid=0 gid=0 time=1.000000000 object=2 link=",
        "a in=1 type=link mode=0777 uid=0 gid=0 time=1.000000000 object=2 link=a size=1",
        "a in=1 type=file mode=0644 uid=0 gid=0 size=1 time=1.000000000 object=2 xxh128=00000000000000000000000000000000",
        "a in=1 type=file mode=0644 uid=0 gid=0 size=1 time=1.000000000 object=2 content=1",
        "a in=1 type=file mode=0644 uid=0 gid=0 size=1 time=1.000000000 object=2 content=1 xxh128=00",
        "a in=1 " GOOD_DIR "\nb in=1 " GOOD_DIR, "a in=12 " GOOD "\nb in=1 " GOOD_DIR,
        "#end lines=4 xxh128=00000000000000000000000000000000",
    };
    assert_int_equal(read_made_up(*state, "a in=1 " GOOD), 0);
    assert_int_equal(read_made_up(*state, "a in=1 " GOOD_DIR "\nb in=12 " GOOD " xattr.b=AAAA"), 0);
    for (size_t i = 0; i < ELEMENTS(lines); i++) {
        int result = read_made_up(*state, lines[i]);
        if (result != -EUCLEAN)
            fail_msg("%d for: %s", result, lines[i]);
    }
}

/* Any bytes behind a right digest: refused or read, never worse. The sanitizers look on. */
static void random_changes_behind_a_right_digest_do_no_harm(void **state) {
    unsigned seed = getenv("SNAPCTL_SEED") ? (unsigned)atoi(getenv("SNAPCTL_SEED")) : 1;
    unsigned rounds = getenv("SNAPCTL_ROUNDS") ? (unsigned)atoi(getenv("SNAPCTL_ROUNDS")) : 2000;
    static const char marks[] = " =.,\n\\#0123456789abcdef-";
    print_message("seed %u\n", seed);
    for (unsigned round = 0; round < rounds; round++) {
        _buf_ struct buf text = {0};
        begin(&text);
        add_everything(&text);
        for (int changes = 1 + rand_r(&seed) % 4; changes > 0; changes--) {
            size_t at = (size_t)rand_r(&seed) % text.size;
            size_t gap = MIN((size_t)rand_r(&seed) % 9, text.size - at);
            switch (rand_r(&seed) % 4) {
            case 0: text.data[at] = (char)rand_r(&seed); break;
            case 1: text.data[at] = marks[(size_t)rand_r(&seed) % (sizeof(marks) - 1)]; break;
            case 2: memmove(text.data + at, text.data + at + gap, text.size - at - gap); text.size -= gap; break;
            default: memmove(text.data + at, text.data + (size_t)rand_r(&seed) % (text.size - gap), gap); break;
            }
        }
        manifest_end(&text);
        put_text(*state, text.data, text.size);
        _buf_ struct buf noted = {0};
        struct snap_err err = {0};
        int result = read_back(*state, &noted, &err);
        assert_true(result == 0 || result == -EUCLEAN || result == -EPROTONOSUPPORT);
    }
}

static int stop(void *data, const struct manifest_entry *entry) {
    (void)entry;
    ++*(int *)data;
    return -EINTR;
}

static void a_callback_ends_the_reading_with_its_own_error(void **state) {
    struct place *place = *state;
    _buf_ struct buf text = {0};
    int calls = 0;
    begin(&text);
    add_everything(&text);
    manifest_end(&text);
    put_text(place, text.data, text.size);
    assert_int_equal(manifest_read(place->store, 1, NULL, stop, &calls, NULL), -EINTR);
    assert_int_equal(calls, 1);
}

/* A small layer with its manifest: d/file ("hello"), d/pipe. */
static void build_layer(struct place *place) {
    struct snap_err err = {0};
    _buf_ struct buf text = {0};
    _cleanup_(stage_freep) struct stage *stage = NULL;
    assert_int_equal(stage_open(place->store, 1, &stage, &err), 0);
    _dir_ struct dir *dir = stage_dir(stage, 12);
    assert_non_null(dir);
    _close_ int fd = stage_create(stage, dir, "file", 0600);
    assert_int_equal(fs_write_all(fd, "hello", 5), 0);
    struct object pipe = { .id = 3, .meta = { .mode = S_IFIFO | 0600 } };
    assert_int_equal(stage_make_special(stage, dir, "pipe", &pipe.meta), 0);
    struct object d = { .id = 4, .dir = 12, .meta = { .mode = S_IFDIR | 0700 } };
    struct object file = { .id = 2, .content = 1, .meta = { .mode = S_IFREG | 0600, .size = 5 } };
    XXH128_canonicalFromHash((XXH128_canonical_t *)file.digest.bytes, XXH3_128bits("hello", 5));
    begin(&text);
    manifest_add(&text, &(struct manifest_entry){ .in = 1, .name = "d", .object = &d });
    manifest_add(&text, &(struct manifest_entry){ .in = 12, .name = "file", .object = &file });
    manifest_add(&text, &(struct manifest_entry){ .in = 12, .name = "pipe", .object = &pipe });
    manifest_end(&text);
    struct object root = root_object();
    assert_int_equal(stage_place_dir(stage, 12, INDEX_ROOT, "d", &d.meta, false, NULL), 0);
    assert_int_equal(stage_place_dir(stage, INDEX_ROOT, 0, "", &root.meta, false, NULL), 0);
    _close_ int manifest = stage_create_manifest(stage);
    assert_true(manifest >= 0);
    assert_int_equal(fs_write_all(manifest, text.data, text.size), 0);
    assert_int_equal(stage_publish(stage, &err), 0);
    stage_keep(stage);
}

static void a_whole_layer_passes_the_check(void **state) {
    struct place *place = *state;
    struct snap_err err = {0};
    build_layer(place);
    if (manifest_check_layer(place->store, 1, true, &err) != 1)
        fail_msg("%s", err.message);
}

static void run(struct place *place, const char *shell) {
    char command[256];
    snprintf(command, sizeof(command), "cd %s/store/layers/1 && %s", place->path, shell);
    assert_int_equal(system(command), 0);
}

static void damage_of_a_layer_is_named(void **state) {
    static const struct { const char *damage, *says; } cases[] = {
        { "rm tree/d/file", "'d/file' is missing" },
        { "rm tree/d/file && mkfifo tree/d/file", "'d/file' is not a regular file" },
        { "rm tree/d/file && ln -s ../../manifest tree/d/file", "'d/file' is not a regular file" },
        { "printf hell > tree/d/file", "another size" },
        { "printf jello > tree/d/file", "other bytes" },
        { "rm tree/d/pipe", "'d/pipe' is missing" },
        { "rm tree/d/pipe && mkdir tree/d/pipe", "another type" },
        { "rm -r tree/d", "'d' is missing" },
        { "mv tree/d tree/e && ln -s e tree/d", "'d' " },
        { "rm -r tree", "its tree is missing" },
        { "echo >> manifest", "manifest of layer 1" },
        { "rm manifest", "manifest of layer 1" },
    };
    struct place *place = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct snap_err err = {0};
        build_layer(place);
        run(place, cases[i].damage);
        assert_int_equal(manifest_check_layer(place->store, 1, true, &err), 0);
        if (!strstr(err.message, cases[i].says))
            fail_msg("'%s' after: %s", err.message, cases[i].damage);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_that_is_written_is_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(the_snapshot_line_is_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_manifest_is_told_from_a_damaged_one, setup, teardown),
        cmocka_unit_test_setup_teardown(any_changed_byte_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(any_cut_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(made_up_lines_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(random_changes_behind_a_right_digest_do_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(a_callback_ends_the_reading_with_its_own_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_whole_layer_passes_the_check, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_of_a_layer_is_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
