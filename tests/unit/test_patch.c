/* patch: what diff writes is what `git apply` and `patch -p1` make the new tree of. Skips what is not installed.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "scratch.h"
#include "patch.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void take(struct scratch *scratch) {
    struct snap_take_result result = {0};
    struct snap_err err = {0};
    if (take_run(scratch->project, &(struct take_request){ .options = { .no_sync = true } }, &result, &err) < 0)
        fail_msg("%s", err.message);
}

struct collected {
    struct buf patch;
    uint64_t rows, added, deleted, binary;
};

static int collect(void *data, const struct snap_change *change) {
    struct collected *collected = data;
    collected->rows++;
    collected->added += change->lines_added;
    collected->deleted += change->lines_deleted;
    collected->binary += change->binary;
    buf_add(&collected->patch, change->patch, change->patch_size);
    return 0;
}

static void diff(struct scratch *scratch, const char *from, const char *to, struct collected *ret) {
    struct snap_err err = {0};
    struct snap_diff_options options = { .from = from, .to = to, .patch = true };
    struct snap_diff_result result = {0};
    *ret = (struct collected){0};
    if (snap_diff(scratch->project, &options, collect, ret, &result, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(result.failed, 0);
    buf_add(&ret->patch, "", 0);
}

static void write_file(struct scratch *scratch, const char *name, const struct buf *content) {
    _buf_ struct buf path = {0};
    buf_fmt(&path, "%s/%s", scratch->path, name);
    _close_ int fd = open(path.data, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, content->data, content->size), 0);
}

static bool have(const char *program) {
    char command[64];
    snprintf(command, sizeof(command), "command -v %s >/dev/null", program);
    return system(command) == 0;
}

/* Files, links, contents and who may execute them; empty directories are nothing to a patch. */
#define SAME_TREES " && (cd ../%s && find . -type d -empty -delete; find . ! -type d ! -type p -printf '%%P %%y %%l %%m\\n' | sed 's/[0-6][0-7][0-7]$/-/;s/7[0-7][0-7]$/x/' | sort) >../list.%s" \
    " && (cd ../%s && find . -type d -empty -delete; find . ! -type d ! -type p -printf '%%P %%y %%l %%m\\n' | sed 's/[0-6][0-7][0-7]$/-/;s/7[0-7][0-7]$/x/' | sort) | diff ../list.%s - && diff -r --no-dereference -x p ../%s ../%s"

static void run_tool(struct scratch *scratch, const char *tool, const char *old, const char *new) {
    _buf_ struct buf command = {0};
    buf_fmt(&command, "rm -rf ../try && cp -a ../%s ../try && cp -a ../%s ../right && cd ../try && %s <../patch >../out 2>&1 || { cat ../out ../patch; exit 1; }", old, new, tool);
    buf_fmt(&command, SAME_TREES "; r=$?; rm -rf ../right; exit $r", "right", "right", "try", "right", "right", "try");
    scratch_run(scratch, command.data);
}

/* `before` and `after` are shell; the patch of what `after` did, and its reverse, are tried with both tools, read from the
 * snapshots and from the project. */
static void expect_patch(struct scratch *scratch, const char *before, const char *after, bool also_patch) {
    struct collected there, back, present;
    if (!have("git"))
        skip();
    scratch_run(scratch, before);
    take(scratch);
    scratch_run(scratch, "cp -a . ../one");
    scratch_run(scratch, after);
    diff(scratch, NULL, NULL, &present);
    take(scratch);
    scratch_run(scratch, "cp -a . ../two");
    diff(scratch, "1", "2", &there);
    diff(scratch, "2", "1", &back);
    assert_string_equal(present.patch.data, there.patch.data);
    write_file(scratch, "patch", &there.patch);
    run_tool(scratch, "GIT_CEILING_DIRECTORIES=/ GIT_DIR=/nonexistent git apply --whitespace=nowarn", "one", "two");
    if (also_patch && have("patch"))
        run_tool(scratch, "patch -s -p1", "one", "two");
    write_file(scratch, "patch", &back.patch);
    run_tool(scratch, "GIT_DIR=/nonexistent git apply --whitespace=nowarn", "two", "one");
    if (also_patch && have("patch"))
        run_tool(scratch, "patch -s -p1", "two", "one");
    buf_done(&there.patch);
    buf_done(&back.patch);
    buf_done(&present.patch);
}

static void changed_texts(void **state) {
    expect_patch(*state, "seq 1 100 >a; mkdir d; seq 5 >d/b", "seq 1 99 | sed 's/^5$/five/;s/^70$/&\\n70a/' >a; (echo 0; seq 4) >d/b", true);
}

static void texts_without_a_newline_at_the_end(void **state) {
    expect_patch(*state, "printf 'a\\nb' >1; printf 'a\\nb\\n' >2; printf 'a\\nb' >3; printf x >4",
                 "printf 'a\\nc' >1; printf 'a\\nb' >2; printf 'a\\nb\\n' >3; rm 4; printf y >5", true);
}

static void new_deleted_and_empty_files(void **state) {
    expect_patch(*state, "echo a >gone; : >empty-gone; mkdir d; echo b >d/gone",
                 "rm gone empty-gone d/gone; rmdir d; echo quite new >new; : >empty-new; mkdir e; : >e/too", true);
}

static void a_file_that_becomes_empty(void **state) {
    expect_patch(*state, "seq 10 >a; : >b", ": >a; seq 11 >b", true);
}

static void executable_files(void **state) {
    expect_patch(*state, "seq 9 >a; seq 8 >b; chmod 755 b; seq 7 >c; seq 5 >private",
                 "chmod 755 a; chmod 644 b; echo more >>b; echo new >n; chmod 700 n; chmod 600 private", true);
}

static void renamed_files(void **state) {
    expect_patch(*state, "mkdir d; seq 100 >a; seq 200 300 >d/b; echo small >c", "mv a d/a; sed -i 's/250/x/' d/b; mv d/b B; mv c 'c d'", true);
}

static void a_renamed_directory(void **state) {
    expect_patch(*state, "mkdir -p d/e; seq 100 >d/a; seq 200 300 >d/e/b; : >d/e/empty", "mv d E; echo more >>E/e/b", true);
}

static void directories_that_change_places(void **state) {
    expect_patch(*state, "mkdir a b; seq 100 >a/1; seq 50 >b/1; echo 2 >a/2", "mv a c; mv b a; mv c b", true);
}

static void files_that_change_places(void **state) {
    expect_patch(*state, "seq 100 >a; seq 200 300 >b", "mv a c; mv b a; mv c b", true);
}

static void symlinks(void **state) {
    expect_patch(*state, "ln -s one a; ln -s two b; ln -s gone g", "ln -sfn other a; rm g; ln -s 'a new' n; mv b c", true);
}

static void files_that_become_symlinks(void **state) {
    expect_patch(*state, "echo text >a; ln -s there b", "rm a b; ln -s here a; echo text >b", false);
}

static void a_directory_that_becomes_a_file(void **state) {
    expect_patch(*state, "mkdir d; seq 30 >d/a; seq 5 9 >f", "rm -r d f; seq 70 90 >d; mkdir f; echo x >f/g", false);
}

static void names_that_need_quoting(void **state) {
    expect_patch(*state, "mkdir 'a dir'; seq 9 >'a dir/sp ace'; seq 8 >'quo\"te'; seq 7 >\"$(printf 'new\\nline')\"; seq 6 >\"$(printf 'by\\377te')\";"
                 " seq 5 >\"$(printf 'ta\\tb')\"; seq 4 >'back\\slash'; seq 3 >ümlaut; seq 20 40 >'trailing '; seq 50 90 >'to be renamed'",
                 "for f in 'a dir'/* quo* new* by* ta* back* ü* trail*; do echo more >>\"$f\"; done; mv 'to be renamed' 'ren amed';"
                 " echo n >'new file'; : >'empty  file'", true);
}

static void names_that_end_in_a_space(void **state) {
    expect_patch(*state, "seq 9 >'gone '; seq 50 90 >'moves '; seq 100 150 >'moves and changes'; seq 8 >'x '",
                 "rm 'gone '; echo quite new >'new '; mv 'moves ' 'moved '; seq 100 151 >'changed '; rm 'moves and changes'; chmod 755 'x '", true);
}

static void carriage_returns(void **state) {
    expect_patch(*state, "printf 'a\\r\\nb\\r\\nc\\r\\n' >crlf; printf 'a\\rb\\n' >cr; seq 9 | sed 's/$/\\r/' >new",
                 "printf 'a\\r\\nB\\r\\nc\\r\\n' >crlf; printf 'a\\rB\\n' >cr; seq 9 >new", true);
}

static void lines_that_look_like_a_patch(void **state) {
    expect_patch(*state, "printf -- '--- a/x\\n+++ b/x\\n@@ -1 +1 @@\\n-a\\n+b\\n' >a",
                 "printf -- '--- a/y\\n+++ b/x\\n@@ -1 +1 @@\\n-a\\n+c\\ndiff --git a/q b/q\\n' >a", true);
}

static void pipes_and_directories_are_no_part_of_a_patch(void **state) {
    struct scratch *scratch = *state;
    struct collected collected;
    scratch_run(scratch, "mkdir d; mkfifo d/p; echo x >f");
    diff(scratch, NULL, NULL, &collected);
    assert_int_equal(collected.rows, 3);
    assert_string_equal(collected.patch.data,
                        "diff --git a/f b/f\nnew file mode 100644\nindex 0000000000..587be6b4c3\n--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x\n");
    buf_done(&collected.patch);
}

static void binary_content_is_only_said_to_differ(void **state) {
    struct scratch *scratch = *state;
    struct collected collected;
    scratch_run(scratch, "printf 'a\\0b' >b; printf 'g\\0' >gone");
    take(scratch);
    scratch_run(scratch, "printf 'a\\0c' >b; rm gone; printf 'n\\0n' >'n w'");
    diff(scratch, NULL, NULL, &collected);
    assert_string_equal(collected.patch.data, "diff --git a/b b/b\nindex 20b5be9188..88f37001ce 100644\nBinary files a/b and b/b differ\n"
                        "diff --git a/gone b/gone\ndeleted file mode 100644\nindex 39db4d4001..0000000000\nBinary files a/gone and /dev/null differ\n"
                        "diff --git \"a/n w\" \"b/n w\"\nnew file mode 100644\nindex 0000000000..f608302f9d\nBinary files /dev/null and b/n w differ\n");
    assert_int_equal(collected.binary, 3);
    buf_done(&collected.patch);
}

static void lines_are_counted_without_a_patch(void **state) {
    struct scratch *scratch = *state;
    struct snap_err err = {0};
    struct collected collected = {0};
    scratch_run(scratch, "seq 10 >a; seq 3 >gone");
    take(scratch);
    scratch_run(scratch, "seq 2 12 >a; rm gone; printf 'x' >new");
    struct snap_diff_options options = { .stat = true };
    struct snap_diff_result result = {0};
    assert_int_equal(snap_diff(scratch->project, &options, collect, &collected, &result, &err), 0);
    assert_int_equal(collected.added, 3);
    assert_int_equal(collected.deleted, 4);
    assert_int_equal(collected.patch.size, 0);
    buf_done(&collected.patch);
    assert_int_equal(result.from, 1);
    assert_int_equal(result.to, 0);
    assert_int_equal(result.modified, 1);
    assert_int_equal(result.added, 1);
    assert_int_equal(result.deleted, 1);
}

static int cancel_now(void *data, const struct snap_change *change) {
    (void)data;
    (void)change;
    return -ENOBUFS;
}

static void a_callback_ends_the_listing_with_its_error(void **state) {
    struct scratch *scratch = *state;
    struct snap_err err = {0};
    struct snap_diff_result result = { .from = 77 };
    scratch_write(scratch, "a", "x");
    assert_int_equal(snap_diff(scratch->project, NULL, cancel_now, NULL, &result, &err), -ENOBUFS);
    assert_int_equal(err.code, -ENOBUFS);
    assert_int_equal(result.from, 77);
}

static void replace_with_pipe(struct scratch *scratch) {
    scratch_run(scratch, "rm a && mkfifo a");
}

static int interfere(void *data, const struct snap_change *change) {
    (void)change;
    replace_with_pipe(data);
    return 0;
}

static void a_file_replaced_while_it_is_compared_is_named(void **state) {
    struct scratch *scratch = *state;
    struct snap_err err = {0};
    scratch_run(scratch, "echo 1 >0; echo 1 >a");
    take(scratch);
    scratch_run(scratch, "echo 2 >0; echo 2 >a");
    struct snap_diff_options options = { .patch = true };
    struct snap_diff_result result = {0};
    assert_int_equal(snap_diff(scratch->project, &options, interfere, scratch, &result, &err), 0);
    assert_int_equal(result.failed, 1);
    assert_int_equal(result.modified, 2);
}

/* Random texts. */

static unsigned seed;
static unsigned any(unsigned limit) { return (unsigned)rand_r(&seed) % limit; }

static void write_random(struct scratch *scratch, const char *name) {
    _buf_ struct buf text = {0};
    for (unsigned i = 0, lines = any(30); i < lines; i++)
        buf_fmt(&text, "%s%u%s", any(9) ? "line " : "", any(12), any(15) ? "\n" : any(2) ? "\r\n" : " ");
    buf_add(&text, "", 0);
    scratch_write(scratch, name, text.data);
}

static void change_random(struct scratch *scratch) {
    for (unsigned i = 0; i < 12; i++) {
        char a[16], b[16];
        snprintf(a, sizeof(a), "%s%u", any(2) ? "d/" : "", any(6));
        snprintf(b, sizeof(b), "%s%u", any(2) ? "d/" : "", any(6));
        int r = 0;
        switch (any(5)) {
        case 0: case 1: write_random(scratch, a); break;
        case 2: r = renameat(scratch->root, a, scratch->root, b); break;
        case 3: r = unlinkat(scratch->root, a, 0); break;
        default: r = fchmodat(scratch->root, a, any(2) ? 0755 : 0644, 0); break;
        }
        (void)r;
    }
}

static void random_trees_are_made_of_their_patches(void **state) {
    struct scratch *scratch = *state;
    const char *given = getenv("SNAPCTL_TEST_SEED");
    seed = given ? (unsigned)strtoul(given, NULL, 10) : 1;
    print_message("seed %u\n", seed);
    if (!have("git"))
        skip();
    scratch_mkdir(scratch, "d");
    for (unsigned round = 0; round < 25; round++) {
        struct collected collected;
        change_random(scratch);
        take(scratch);
        scratch_run(scratch, "rm -rf ../one && cp -a . ../one");
        change_random(scratch);
        diff(scratch, NULL, NULL, &collected);
        write_file(scratch, "patch", &collected.patch);
        scratch_run(scratch, "rm -rf ../two && cp -a . ../two");
        if (collected.patch.size)
            run_tool(scratch, "GIT_DIR=/nonexistent git apply --whitespace=nowarn", "one", "two");
        if (collected.patch.size && have("patch"))
            run_tool(scratch, "patch -s -p1", "one", "two");
        buf_done(&collected.patch);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
        TEST(changed_texts),
        TEST(texts_without_a_newline_at_the_end),
        TEST(new_deleted_and_empty_files),
        TEST(a_file_that_becomes_empty),
        TEST(executable_files),
        TEST(renamed_files),
        TEST(a_renamed_directory),
        TEST(directories_that_change_places),
        TEST(files_that_change_places),
        TEST(symlinks),
        TEST(files_that_become_symlinks),
        TEST(a_directory_that_becomes_a_file),
        TEST(names_that_need_quoting),
        TEST(names_that_end_in_a_space),
        TEST(carriage_returns),
        TEST(lines_that_look_like_a_patch),
        TEST(pipes_and_directories_are_no_part_of_a_patch),
        TEST(binary_content_is_only_said_to_differ),
        TEST(lines_are_counted_without_a_patch),
        TEST(a_callback_ends_the_listing_with_its_error),
        TEST(a_file_replaced_while_it_is_compared_is_named),
        TEST(random_trees_are_made_of_their_patches),
    };
    return cmocka_run_group_tests_name("patch", tests, NULL, NULL);
}
