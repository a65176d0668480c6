/* changes: what two trees differ in, by named cases and against a comparison by path that knows no identities.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "scratch.h"
#include "changes.h"
#include "map.h"
#include "scan.h"
#include "tree.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define PROJECT (-1)                      /* as the number of the second tree */

static int64_t take(struct scratch *scratch) {
    struct snap_take_result result = {0};
    struct snap_err err = {0};
    if (take_run(scratch->project, &(struct take_request){ .options = { .no_sync = true } }, &result, &err) < 0)
        fail_msg("%s", err.message);
    return result.number;
}

static struct point at(int64_t number) {
    return (struct point){ .line = INDEX_PROJECT_LINE, .snap = number };
}

static void compare(struct scratch *scratch, int64_t from, int64_t to, const char *const *paths, unsigned flags, struct changes *ret) {
    struct snap_err err = {0};
    _scan_ struct scan *scan = NULL;
    if (to == PROJECT && scan_look(scratch->project, &scan, &err) < 0)
        fail_msg("%s", err.message);
    if (changes_between(scratch->project, at(from), at(MAX(to, (int64_t)0)), scan, paths, flags, ret, &err) < 0)
        fail_msg("%s", err.message);
}

/* "A a,M b,R c>d 100": rows but for directories' and files' times. */
static char *rows_text(const struct changes *changes) {
    struct buf text = {0};
    for (size_t i = 0; i < changes->count; i++) {
        const struct change_row *row = &changes->rows[i];
        if (text.size)
            buf_char(&text, ',');
        buf_fmt(&text, "%c ", row->letter);
        if (row->old_path)
            buf_fmt(&text, "%s>", row->old_path);
        buf_str(&text, row->path);
        if (row->letter == 'R' && row->similarity != 100)
            buf_fmt(&text, " %u", row->similarity);
    }
    return buf_take(&text);
}

static void expect_rows(struct scratch *scratch, int64_t from, int64_t to, const char *const *paths, unsigned flags, const char *text) {
    _changes_ struct changes changes = {0};
    compare(scratch, from, to, paths, flags, &changes);
    _free_ char *got = rows_text(&changes);
    assert_string_equal(got, text);
}

/* The same whether the project is scanned or was captured since. */
static void expect(struct scratch *scratch, const char *const *paths, unsigned flags, const char *text) {
    struct snap_err err = {0};
    int64_t from = index_newest_number(scratch->project->store, INDEX_PROJECT_LINE, &err);
    expect_rows(scratch, from, PROJECT, paths, flags, text);
    int64_t to = take(scratch);
    expect_rows(scratch, from, to, paths, flags, text);
}

/* Cases. */

static void an_unchanged_project_has_no_rows(void **state) {
    struct scratch *scratch = *state;
    scratch_write(scratch, "a", "one");
    take(scratch);
    expect(scratch, NULL, CHANGES_TIMES, "");
}

static void everything_is_added_to_the_empty_tree(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir d && echo x >d/x && ln -s t l && mkfifo p");
    expect(scratch, NULL, 0, "A d,A d/x,A l,A p");
    expect_rows(scratch, 1, PROJECT, NULL, 0, "");
    _changes_ struct changes back = {0};
    compare(scratch, 1, 1, NULL, 0, &back);
    assert_int_equal(back.count, 0);
}

static void each_kind_of_change_has_its_letter(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "for i in m mode time type gone; do echo $i$i >$i; done; ln -s t target; ln -s t same");
    take(scratch);
    scratch_run(scratch, "echo other >m; chmod 755 mode; touch -d 2001-01-01 time; rm type gone; mkdir type; ln -sfn u target; echo new >new");
    _changes_ struct changes changes = {0};
    compare(scratch, 1, PROJECT, NULL, CHANGES_NO_RENAMES, &changes);
    for (size_t i = 0; i < changes.count; i++)
        if (!strcmp(changes.rows[i].path, "mode"))
            assert_int_equal(changes.rows[i].what, SNAP_WHAT_MODE);
    expect(scratch, NULL, CHANGES_NO_RENAMES, "D gone,M m,m mode,A new,M target,T type");
    expect_rows(scratch, 1, 2, NULL, CHANGES_NO_RENAMES | CHANGES_TIMES, "t ,D gone,M m,m mode,A new,M target,t time,T type");
    expect_rows(scratch, 2, 1, NULL, CHANGES_NO_RENAMES, "A gone,M m,m mode,D new,M target,T type");
}

static void note_bytes(void *data, const struct snap_progress *progress) {
    uint64_t *bytes = data;
    *bytes = MAX(*bytes, progress->bytes);
}

static void a_look_reads_only_what_may_be_the_same(void **state) {
    struct scratch *scratch = *state;
    uint64_t bytes = 0;
    scratch->project->env.progress = note_bytes;
    scratch->project->env.data = &bytes;
    scratch_run(scratch, "mkdir d && seq 100 >d/new && : >empty && seq 50 >grows");
    expect_rows(scratch, 0, PROJECT, NULL, 0, "A d,A d/new,A empty,A grows");
    assert_int_equal(bytes, 0);
    int64_t first = take(scratch);
    bytes = 0;
    scratch_run(scratch, "seq 60 >>grows && seq 7 >empty && seq 9 >another");
    expect_rows(scratch, first, PROJECT, NULL, 0, "A another,M empty,M grows");
    assert_int_equal(bytes, 0);
    scratch_run(scratch, "touch d/new");
    expect_rows(scratch, first, PROJECT, NULL, 0, "A another,M empty,M grows");
    assert_true(bytes > 0);
}

static void against_an_older_tree_contents_of_equal_size_are_read(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo one >a");
    int64_t first = take(scratch);
    scratch_run(scratch, "echo longer >a");
    take(scratch);
    scratch_run(scratch, "echo one >a");
    expect_rows(scratch, first, PROJECT, NULL, 0, "");
    scratch_run(scratch, "echo eno >a");
    expect_rows(scratch, first, PROJECT, NULL, 0, "M a");
}

static void a_moved_file_is_a_rename(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir d; echo one >a; echo two >b");
    take(scratch);
    scratch_run(scratch, "mv a d/c");
    expect(scratch, NULL, 0, "R a>d/c");
    scratch_run(scratch, "mv d/c e");
    expect(scratch, NULL, CHANGES_NO_RENAMES, "D d/c,A e");
}

static void a_copied_and_deleted_file_is_a_rename_by_content(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir d; echo one >a; echo one >z");
    take(scratch);
    scratch_run(scratch, "cp a d/z; cp a d/y; rm a z");
    expect(scratch, NULL, 0, "R a>d/y,R z>d/z");
}

static void a_similar_text_is_a_rename_with_a_percentage(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "seq 1 100 >a; seq 1000 1100 >b");
    take(scratch);
    scratch_run(scratch, "(seq 1 95; echo more) >c; rm a; seq 2000 2100 >d; rm b");
    expect(scratch, NULL, 0, "D b,R a>c 94,A d");
}

static void empty_files_are_no_renames(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, ": >a");
    take(scratch);
    scratch_run(scratch, "rm a; mkdir x; touch x/y; : >b; rm -r x");
    expect(scratch, NULL, 0, "D a,A b");
}

static void a_moved_directory_is_one_row(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p d/e to; for i in 1 2 3 4; do echo file $i >d/e/$i; done");
    take(scratch);
    scratch_run(scratch, "mv d/e to/E; echo changed >to/E/2; rm to/E/3; echo quite another thing >to/E/5");
    expect(scratch, NULL, 0, "D d/e/3,R d/e>to/E,M to/E/2,A to/E/5");
}

static void a_moved_directory_is_expanded_for_patches(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p d/e/f; for i in 1 2 3 4; do seq $i 50 >d/e/$i; done; echo deep >d/e/f/g");
    take(scratch);
    scratch_run(scratch, "mv d/e E; echo more >>E/2; rm E/3; echo quite another thing >E/5");
    expect_rows(scratch, 1, PROJECT, NULL, CHANGES_EXPAND,
                "A E,R d/e/1>E/1,R d/e/2>E/2 96,R d/e/4>E/4,A E/5,A E/f,R d/e/f/g>E/f/g,D d/e,D d/e/3,D d/e/f");
    expect(scratch, NULL, CHANGES_NO_RENAMES,
           "A E,A E/1,A E/2,A E/4,A E/5,A E/f,A E/f/g,D d/e,D d/e/1,D d/e/2,D d/e/3,D d/e/4,D d/e/f,D d/e/f/g");
}

static void a_directory_moved_out_of_a_moved_one_is_its_own_row(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p a/b/c; echo x >a/b/c/x; echo y >a/y");
    take(scratch);
    scratch_run(scratch, "mv a/b/c C; mv a A");
    expect(scratch, NULL, 0, "R a>A,R a/b/c>C");
}

static void directories_that_change_places_are_compared_by_path(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir a b; echo same >a/s; cp -p a/s b/s; echo only a >a/x; echo here, b >b/x; echo a alone >a/only");
    take(scratch);
    scratch_run(scratch, "mv a c; mv b a; mv c b");
    expect(scratch, NULL, 0, "M a/x,R a/only>b/only,M b/x");
}

static void a_directory_made_anew_is_compared_by_path(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p d/e; echo one >d/1; echo two >d/e/2; echo three >d/e/3");
    take(scratch);
    scratch_run(scratch, "cp -a d copy; rm -r d; mkdir d; cp -a copy/. d; rm -r copy; echo changed >d/e/2");
    expect(scratch, NULL, 0, "M d/e/2");
}

static void a_deleted_directory_takes_all_below_along(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p d/e/f; echo 1 >d/1; echo 2 >d/e/2; echo 3 >d/e/f/3");
    take(scratch);
    scratch_run(scratch, "echo late >d/e/f/late; rm d/1");
    take(scratch);
    scratch_run(scratch, "mv d/e/f kept; rm -r d");
    expect_rows(scratch, 2, PROJECT, NULL, 0, "D d,D d/e,D d/e/2,R d/e/f>kept");
    expect_rows(scratch, 1, PROJECT, NULL, 0, "D d,D d/1,D d/e,D d/e/2,R d/e/f>kept,A kept/late");
    scratch_run(scratch, "rm -r kept");
    expect_rows(scratch, 1, PROJECT, NULL, 0, "D d,D d/1,D d/e,D d/e/2,D d/e/f,D d/e/f/3");
    expect(scratch, NULL, 0, "D d,D d/e,D d/e/2,D d/e/f,D d/e/f/3,D d/e/f/late");
}

static void a_directory_that_becomes_a_file_is_a_change_of_type(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir d; echo a rather long text >d/x; echo f >f");
    take(scratch);
    scratch_run(scratch, "rm -r d; echo >d; rm f; mkdir f; echo g >f/g");
    expect(scratch, NULL, 0, "T d,D d/x,T f,A f/g");
}

static void a_hard_link_that_was_cut_is_told(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo x >a; ln a b; ln a c; echo y >n");
    take(scratch);
    scratch_run(scratch, "cp -p b tmp && mv tmp b");
    _changes_ struct changes changes = {0};
    compare(scratch, 1, PROJECT, NULL, 0, &changes);
    _free_ char *got = rows_text(&changes);
    assert_string_equal(got, "m a,m b,m c");
    assert_int_equal(changes.rows[0].what, SNAP_WHAT_LINKS);
    expect(scratch, NULL, 0, "m a,m b,m c");
    expect_rows(scratch, 1, 2, (const char *[]){ "b", NULL }, 0, "m b");
    scratch_run(scratch, "ln -f a b");
    expect(scratch, NULL, 0, "m a,m b,m c");
    scratch_run(scratch, "ln a d");
    expect(scratch, NULL, 0, "A d");
    scratch_run(scratch, "rm c; mv b e");
    expect(scratch, NULL, 0, "D c,R b>e");
}

static void a_change_of_a_file_with_many_names_shows_in_each(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "echo x >a; ln a b; ln a c");
    take(scratch);
    scratch_run(scratch, "chmod 600 a");
    expect(scratch, NULL, 0, "m a,m b,m c");
}

static void rows_can_be_limited_to_paths(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p a/b ab; echo 1 >a/b/1; echo 2 >a/2; echo 3 >ab/3; echo 4 >4");
    take(scratch);
    scratch_run(scratch, "for f in a/b/1 a/2 ab/3 4; do echo more >>$f; done");
    expect_rows(scratch, 1, PROJECT, (const char *[]){ "a", NULL }, 0, "M a/2,M a/b/1");
    expect_rows(scratch, 1, PROJECT, (const char *[]){ "a/b/1", "4", NULL }, 0, "M 4,M a/b/1");
    expect_rows(scratch, 1, PROJECT, (const char *[]){ "", NULL }, 0, "M 4,M a/2,M a/b/1,M ab/3");
    expect_rows(scratch, 1, PROJECT, (const char *[]){ "nothing", NULL }, 0, "");
}

static void a_path_in_a_moved_directory_is_found(void **state) {
    struct scratch *scratch = *state;
    scratch_run(scratch, "mkdir -p a/d; echo one file >a/d/1; echo another one >a/d/2");
    take(scratch);
    scratch_run(scratch, "mv a/d e; echo here is another thing altogether >e/1");
    expect_rows(scratch, 1, PROJECT, (const char *[]){ "a/d/1", NULL }, 0, "R a/d/1>e/1 0");
    expect_rows(scratch, 1, PROJECT, (const char *[]){ "a", NULL }, 0, "D a/d,R a/d/1>e/1 0,R a/d/2>e/2");
    expect_rows(scratch, 1, PROJECT, (const char *[]){ "a", "e", NULL }, 0, "R a/d>e,M e/1");
}

static void a_deep_tree_is_compared(void **state) {
    struct scratch *scratch = *state;
    scratch_deep(scratch, 2000);
    take(scratch);
    scratch_run(scratch, "mv d e");
    _changes_ struct changes changes = {0}, expanded = {0};
    compare(scratch, 1, PROJECT, NULL, 0, &changes);
    assert_int_equal(changes.count, 1);
    assert_int_equal(changes.rows[0].letter, 'R');
    compare(scratch, 1, PROJECT, NULL, CHANGES_EXPAND, &expanded);
    assert_int_equal(expanded.count, 2 * 2000 + 1);
}

/* Against a comparison by path. */

struct trees { struct map *from, *to; };

static int add_node(void *data, const struct tree_node *node) {
    return map_put(data, node->path, strlen(node->path), tree_object_copy(node->object), NULL);
}

static void free_object(void *object) {
    object_free(object);
}

static struct map *tree_of(struct scratch *scratch, int64_t number) {
    struct snap_err err = {0};
    struct map *tree = map_new();
    if (number && tree_walk(scratch->project->store, at(number), INDEX_ROOT, "", true, add_node, tree, &err) < 0)
        fail_msg("%s", err.message);
    return tree;
}

/* Whether an entry shares its inode with the same others, as far as those are in both trees. */
static bool same_partners(const struct trees *trees, int64_t before, int64_t after) {
    for (struct map_iter i = {0}; map_next(trees->from, &i);) {
        const struct object *old = i.value, *new = map_get(trees->to, i.key, i.key_size);
        if (new && !object_is_dir(old) && !object_is_dir(new) && (old->id == before) != (new->id == after))
            return false;
    }
    return true;
}

static char expected_letter(const struct trees *trees, const struct object *before, const struct object *after) {
    if (!before || !after)
        return before ? 'D' : 'A';
    const struct meta *a = &before->meta, *b = &after->meta;
    if ((a->mode & S_IFMT) != (b->mode & S_IFMT))
        return 'T';
    if (S_ISREG(a->mode) && (a->size != b->size || !digest_equal(&before->digest, &after->digest)))
        return 'M';
    if (S_ISLNK(a->mode) && strcmp(a->target, b->target) != 0)
        return 'M';
    if (a->mode != b->mode || (!S_ISDIR(a->mode) && !same_partners(trees, before->id, after->id)))
        return 'm';
    return a->mtime.tv_sec != b->mtime.tv_sec || a->mtime.tv_nsec != b->mtime.tv_nsec ? 't' : 0;
}

static void check_letters(const struct trees *trees, const struct changes *changes) {
    struct map *letters = map_new();
    static char values[256];
    for (size_t i = 0; i < changes->count; i++) {
        const struct change_row *row = &changes->rows[i];
        if (i && strcmp(changes->rows[i - 1].path, row->path) >= 0)
            fail_msg("rows are not sorted, or one is twice: %s", row->path);
        map_put(letters, row->path, strlen(row->path), &values[(uint8_t)row->letter], NULL);
    }
    for (unsigned pass = 0; pass < 2; pass++)
        for (struct map_iter i = {0}; map_next(pass ? trees->to : trees->from, &i);) {
            const struct object *before = map_get(trees->from, i.key, i.key_size), *after = map_get(trees->to, i.key, i.key_size);
            char *got = map_get(letters, i.key, i.key_size);
            char letter = got ? (char)(got - values) : 0, right = expected_letter(trees, before, after);
            if (letter != right)
                fail_msg("%.*s: '%c' instead of '%c'", (int)i.key_size, (const char *)i.key, letter ? letter : '-', right ? right : '-');
        }
    map_free(letters, NULL);
}

/* Where a path of the old tree is in the new one, by the renamed directories alone. */
static char *moved_path(const struct changes *changes, const char *path, bool *ret_moved) {
    const struct change_row *best = NULL;
    for (size_t i = 0; i < changes->count; i++) {
        const struct change_row *row = &changes->rows[i];
        size_t size = row->old_path ? strlen(row->old_path) : 0;
        if (row->letter == 'R' && object_is_dir(row->after) && !strncmp(path, row->old_path, size) && (path[size] == '/' || !path[size])
            && (!best || size > strlen(best->old_path)))
            best = row;
    }
    struct buf moved = {0};
    *ret_moved = best;
    buf_str(&moved, best ? best->path : "");
    buf_str(&moved, best ? path + strlen(best->old_path) : path);
    return buf_take(&moved);
}

/* Rows with renames, carried out on the old tree, give the new one. */
static void check_renames(const struct trees *trees, const struct changes *changes) {
    struct map *built = map_new();
    for (struct map_iter i = {0}; map_next(trees->from, &i);) {
        char path[1024];
        bool moved;
        snprintf(path, sizeof(path), "%.*s", (int)i.key_size, (const char *)i.key);
        bool gone = false;
        for (size_t j = 0; j < changes->count; j++) {
            const struct change_row *row = &changes->rows[j];
            gone |= row->letter == 'D' && !strcmp(row->path, path);
            gone |= row->letter == 'R' && !object_is_dir(row->after) && !strcmp(row->old_path, path);
        }
        _free_ char *now = moved_path(changes, path, &moved);
        if (!gone && map_put(built, now, strlen(now), i.value, NULL) != 0)
            fail_msg("%s: two entries come here", now);
    }
    for (size_t j = 0; j < changes->count; j++) {
        const struct change_row *row = &changes->rows[j];
        bool comes = row->letter == 'A' || (row->letter == 'R' && !object_is_dir(row->after));
        struct object *after = row->after ? map_get(trees->to, row->path, strlen(row->path)) : NULL;
        if (row->after && *row->path && (!after || after->id != row->after->id))
            fail_msg("%s: row %c tells another state than there is", row->path, row->letter);
        if (comes && map_put(built, row->path, strlen(row->path), after, NULL) != 0)
            fail_msg("%s: %c, and something is there", row->path, row->letter);
        if (row->letter == 'R' && object_is_dir(row->after))
            map_put(built, row->path, strlen(row->path), after, NULL);
        if (!comes && row->after && *row->path && map_put(built, row->path, strlen(row->path), after, NULL) != 1)
            fail_msg("%s: %c, and nothing is there", row->path, row->letter);
    }
    assert_int_equal(map_count(built), map_count(trees->to));
    for (struct map_iter i = {0}; map_next(trees->to, &i);) {
        const struct object *object = map_get(built, i.key, i.key_size), *right = i.value;
        if (!object || expected_letter(trees, object, right) == 'M' || expected_letter(trees, object, right) == 'T')
            fail_msg("%.*s: the rows do not lead here", (int)i.key_size, (const char *)i.key);
    }
    map_free(built, NULL);
}

static unsigned seed;
static unsigned any(unsigned limit) { return (unsigned)rand_r(&seed) % limit; }

static const char *any_path(char path[static 64]) {
    static const char *const names[] = { "a", "b", "c", "dd", "e.e" };
    unsigned depth = 1 + any(4);
    *path = '\0';
    for (unsigned i = 0; i < depth; i++) {
        strcat(path, i ? "/" : "");
        strcat(path, names[any(ELEMENTS(names))]);
    }
    return path;
}

static void write_any(struct scratch *scratch, const char *path) {
    _close_ int fd = openat(scratch->root, path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | (any(2) ? O_TRUNC : O_APPEND), 0644);
    unsigned lines = any(20), first = any(4) * 10;
    for (unsigned i = 0; fd >= 0 && i < lines; i++)
        dprintf(fd, "this is line %u\n", first + i);
}

/* What does not work here does not matter: the tree is what it is afterwards. */
static void do_anything(struct scratch *scratch) {
    char a[64], b[64];
    any_path(a);
    any_path(b);
    int root = scratch->root, r = 0;
    switch (any(14)) {
    case 0: case 1: case 2: write_any(scratch, a); break;
    case 3: case 4: r = mkdirat(root, a, 0755); break;
    case 5: case 6: case 7: r = renameat(root, a, root, b); break;
    case 8: r = renameat2(root, a, root, b, RENAME_EXCHANGE); break;
    case 9: r = linkat(root, a, root, b, 0); break;
    case 10: r = symlinkat(any(2) ? "there" : "elsewhere", root, a); break;
    case 11: r = fchmodat(root, a, any(2) ? 0700 : 0750, 0); break;
    case 12: r = any(3) ? unlinkat(root, a, 0) : fs_remove_tree(root, a); break;
    default: r = utimensat(root, a, (struct timespec[]){ { .tv_sec = 5 }, { .tv_sec = 5 + any(3) } }, AT_SYMLINK_NOFOLLOW); break;
    }
    (void)r;
}

static void check_pair(struct scratch *scratch, int64_t from, int64_t to) {
    struct trees trees = { tree_of(scratch, from), tree_of(scratch, to) };
    _changes_ struct changes letters = {0}, found = {0}, expanded = {0};
    compare(scratch, from, to, NULL, CHANGES_NO_RENAMES | CHANGES_TIMES, &letters);
    compare(scratch, from, to, NULL, 0, &found);
    compare(scratch, from, to, NULL, CHANGES_EXPAND, &expanded);
    check_letters(&trees, &letters);
    check_renames(&trees, &found);
    check_renames(&trees, &expanded);
    map_free(trees.from, free_object);
    map_free(trees.to, free_object);
}

/* A scan's objects have numbers of their own until they are captured. */
static void expect_same_rows(const struct changes *a, const struct changes *b) {
    _free_ char *x = rows_text(a), *y = rows_text(b);
    assert_string_equal(x, y);
}

static void random_trees_differ_as_a_comparison_by_path_says(void **state) {
    struct scratch *scratch = *state;
    const char *given = getenv("SNAPCTL_TEST_SEED");
    seed = given ? (unsigned)strtoul(given, NULL, 10) : 1;
    print_message("seed %u\n", seed);
    int64_t newest = take(scratch);
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 0, count = 1 + any(25); i < count; i++)
            do_anything(scratch);
        int64_t from = (int64_t)any((unsigned)newest + 1);
        _changes_ struct changes plain = {0}, renames = {0}, later = {0}, later_renames = {0};
        compare(scratch, from, PROJECT, NULL, CHANGES_NO_RENAMES | CHANGES_TIMES, &plain);
        compare(scratch, from, PROJECT, NULL, 0, &renames);
        newest = take(scratch);
        compare(scratch, from, newest, NULL, CHANGES_NO_RENAMES | CHANGES_TIMES, &later);
        compare(scratch, from, newest, NULL, 0, &later_renames);
        expect_same_rows(&plain, &later);
        expect_same_rows(&renames, &later_renames);
        check_pair(scratch, from, newest);
        check_pair(scratch, newest, from);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
        TEST(an_unchanged_project_has_no_rows),
        TEST(everything_is_added_to_the_empty_tree),
        TEST(each_kind_of_change_has_its_letter),
        TEST(a_look_reads_only_what_may_be_the_same),
        TEST(against_an_older_tree_contents_of_equal_size_are_read),
        TEST(a_moved_file_is_a_rename),
        TEST(a_copied_and_deleted_file_is_a_rename_by_content),
        TEST(a_similar_text_is_a_rename_with_a_percentage),
        TEST(empty_files_are_no_renames),
        TEST(a_moved_directory_is_one_row),
        TEST(a_moved_directory_is_expanded_for_patches),
        TEST(a_directory_moved_out_of_a_moved_one_is_its_own_row),
        TEST(directories_that_change_places_are_compared_by_path),
        TEST(a_directory_made_anew_is_compared_by_path),
        TEST(a_deleted_directory_takes_all_below_along),
        TEST(a_directory_that_becomes_a_file_is_a_change_of_type),
        TEST(a_hard_link_that_was_cut_is_told),
        TEST(a_change_of_a_file_with_many_names_shows_in_each),
        TEST(rows_can_be_limited_to_paths),
        TEST(a_path_in_a_moved_directory_is_found),
        TEST(a_deep_tree_is_compared),
        TEST(random_trees_differ_as_a_comparison_by_path_says),
    };
    return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
