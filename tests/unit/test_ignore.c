/* ignore: rules as git has them; `git check-ignore` is the oracle where it is installed.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "fs.h"
#include "hook.h"
#include "ignore.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct ignore *rules(const char *text) {
    struct ignore *ignore = NULL;
    struct snap_err err = {0};
    if (ignore_new(text, strlen(text), &ignore, &err) < 0)
        fail_msg("%s", err.message);
    return ignore;
}

static void a_file_without_rules_needs_no_matcher(void **state) {
    (void)state;
    assert_null(rules(""));
    assert_null(rules("\n  \n# a comment\r\n\r\n"));
    assert_null(rules("\xef\xbb\xbf# begins with a byte order mark\n"));
    assert_null(rules("trailing\\\n//\n"));
    assert_false(ignore_matches(NULL, "a", false));
    assert_false(ignore_covers(NULL, "a/b", true));
}

static void nothing_is_left_out_by_itself(void **state) {
    (void)state;
    _ignore_ struct ignore *ignore = rules("*.o\n");
    assert_false(ignore_matches(ignore, ".git", true));
    assert_false(ignore_matches(ignore, "a/.git", true));
    assert_false(ignore_matches(ignore, ".git", false));
    assert_false(ignore_covers(ignore, ".git/config", false));
    assert_false(ignore_matches(ignore, ".gitignore", false));
    assert_false(ignore_matches(ignore, IGNORE_FILE, false));
    assert_false(ignore_matches(ignore, "", true));
    assert_true(ignore_matches(ignore, ".git/a.o", false));
}

static void git_directories_can_be_left_out(void **state) {
    (void)state;
    _ignore_ struct ignore *ignore = rules(".git/\n");
    assert_true(ignore_matches(ignore, ".git", true));
    assert_true(ignore_matches(ignore, "sub/.git", true));
    assert_false(ignore_matches(ignore, "sub/.git", false));
    assert_true(ignore_covers(ignore, "sub/.git/objects/x", false));
}

static void case_matters(void **state) {
    (void)state;
    _ignore_ struct ignore *ignore = rules("*.Log\n");
    assert_true(ignore_matches(ignore, "a.Log", false));
    assert_false(ignore_matches(ignore, "a.log", false));
}

static void a_match_asks_of_the_entry_alone_and_covers_of_its_parents_too(void **state) {
    (void)state;
    _ignore_ struct ignore *ignore = rules("build/\n!build/keep\n");
    assert_true(ignore_matches(ignore, "build", true));
    assert_false(ignore_matches(ignore, "build", false));
    assert_false(ignore_matches(ignore, "build/x", false));
    assert_true(ignore_covers(ignore, "build/x", false));
    assert_true(ignore_covers(ignore, "build/keep", false));
    assert_false(ignore_covers(ignore, "src/x", false));
}

static void names_may_be_any_bytes(void **state) {
    (void)state;
    _ignore_ struct ignore *ignore = rules("caf\xe9\n*.\xff\n");
    assert_true(ignore_matches(ignore, "d/caf\xe9", false));
    assert_true(ignore_matches(ignore, "x.\xff", false));
    assert_false(ignore_matches(ignore, "x.\xfe", false));
    assert_false(ignore_matches(ignore, "new\nline", false));
}

static void long_paths_are_matched(void **state) {
    (void)state;
    _ignore_ struct ignore *ignore = rules("needle\n");
    _buf_ struct buf path = {0};
    for (unsigned i = 0; i < 3000; i++)
        buf_str(&path, "directory/");
    buf_str(&path, "needle");
    assert_true(ignore_matches(ignore, path.data, false));
    assert_true(ignore_covers(ignore, path.data, false));
}

static int refuse(const char *point, const char *what) {
    (void)what;
    return strcmp(point, "library.load") == 0 ? -EACCES : 0;
}

static void without_libgit2_rules_are_refused_with_a_sentence(void **state) {
    (void)state;
    struct ignore *ignore = NULL;
    struct snap_err err = {0};
    hook_function = refuse;
    int r = ignore_new("*.o\n", 4, &ignore, &err), none = ignore_new("\n", 1, &ignore, NULL);
    hook_function = NULL;
    assert_int_equal(r, -ENOSYS);
    assert_int_equal(none, 0);
    assert_null(ignore);
    assert_non_null(strstr(err.message, "libgit2"));
    assert_true(*err.hint);
}

static void *match_often(void *ignore) {
    uintptr_t wrong = 0;
    for (unsigned i = 0; i < 20000; i++)
        wrong += !ignore_matches(ignore, "deep/down/a.o", false) || ignore_matches(ignore, "deep/down/a.c", false);
    return (void *)wrong;
}

static void threads_may_ask_at_once(void **state) {
    (void)state;
    _ignore_ struct ignore *ignore = rules("*.o\n!x\ndeep/*/q\n");
    pthread_t threads[4];
    for (unsigned i = 0; i < ELEMENTS(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, match_often, ignore), 0);
    for (unsigned i = 0; i < ELEMENTS(threads); i++) {
        void *wrong = ignore;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

/* In a directory of its own. */

static char scratch[64];
static int scratch_fd;

static int setup(void **state) {
    (void)state;
    strcpy(scratch, "/tmp/snapctl-test-XXXXXX");
    if (!mkdtemp(scratch))
        return -1;
    scratch_fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return scratch_fd < 0 ? -1 : 0;
}

static int teardown(void **state) {
    (void)state;
    close(scratch_fd);
    return fs_remove_tree(AT_FDCWD, scratch);
}

static void put(const char *name, const char *text) {
    _close_ int fd = openat(scratch_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

static void rules_are_read_from_the_directory(void **state) {
    (void)state;
    struct snap_err err = {0};
    _ignore_ struct ignore *none = NULL, *some = NULL;
    assert_int_equal(ignore_load(scratch_fd, &none, &err), 0);
    assert_null(none);
    put(IGNORE_FILE, "*.o\n");
    assert_int_equal(ignore_load(scratch_fd, &some, &err), 0);
    assert_true(ignore_matches(some, "x.o", false));
}

static void what_is_no_file_holds_no_rules(void **state) {
    (void)state;
    struct snap_err err = {0};
    struct ignore *ignore = NULL;
    assert_return_code(mkdirat(scratch_fd, IGNORE_FILE, 0755), errno);
    assert_int_equal(ignore_load(scratch_fd, &ignore, &err), 0);
    assert_null(ignore);
    assert_return_code(unlinkat(scratch_fd, IGNORE_FILE, AT_REMOVEDIR), errno);
    put("elsewhere", "*.o\n");
    assert_return_code(symlinkat("elsewhere", scratch_fd, IGNORE_FILE), errno);
    assert_int_equal(ignore_load(scratch_fd, &ignore, &err), 0);
    assert_null(ignore);
    assert_return_code(unlinkat(scratch_fd, IGNORE_FILE, 0), errno);
    assert_return_code(mkfifoat(scratch_fd, IGNORE_FILE, 0644), errno);
    assert_int_equal(ignore_load(scratch_fd, &ignore, &err), 0);
    assert_null(ignore);
}

/* Names that end in a slash are directories. */
static const char *const paths[] = {
    "a", "b/", "b/a", "b/b/", "b/b/a", "foo/", "foo/bar", "foo/bar.o", "foo/baz/", "foo/baz/bar", "foo/baz/bar.o", "foo.o", "Foo", "fo",
    "foobar", "f o", "f o ", "tab\t", "#hash", "!bang", "*", "a*b", "a?b", "[x]", "x", "back\\slash", "\\", "a]", "a-", "deep/",
    "deep/er/", "deep/er/foo/", "deep/er/foo/bar", "deep/er/a", "deep/a", "build/", "build/out", "src/", "src/build/", "src/build/out",
    "src/a.c", "src/a.o", "src/keep.o", ".hidden", "src/.hidden", "\xc3\xa4", "\xe9", "~", "a.b.c", "node_modules/", "node_modules/m/",
    "node_modules/m/index.js", "log1", "log12", "logs/", "logs/log1", "logs/debug/", "logs/debug/log1", "new\nline",
};

static const char *const files[] = {
    "a\n", "a", "a\r\n", "/a\n", "b/\n", "a/\n", "foo\n", "/foo\n", "foo/\n", "foo/bar\n", "/foo/bar\n", "bar\n", "bar/\n", "*.o\n",
    "/*.o\n", "foo/*.o\n", "foo/*\n", "foo/**\n", "**/foo\n", "**/foo/bar\n", "**/bar\n", "foo/**/bar\n", "foo/**/bar.o\n", "deep/**/a\n",
    "deep/**\n", "**\n", "*\n", "/*\n", "/**\n", "**/\n", "*/\n", "?\n", "??\n", "f?o\n", "fo[o]\n", "[a-c]\n", "[!a-c]\n", "[^a-c]\n",
    "[[:upper:]]*\n", "[]x]\n", "[\\]]\n", "a[]]\n", "a[]-]\n", "[x]\n", "\\[x]\n", "\\*\n", "a\\*b\n", "a\\?b\n", "a*b\n", "a?b\n", "\\a\n",
    "#hash\n", "\\#hash\n", "!bang\n", "\\!bang\n", "f o\n", "f o \n", "f o\\ \n", "f o\\  \n", "f\\ o\n", "tab\t\n", "tab\\\t\n",
    "back\\slash\n", "back\\\\slash\n", "\\\\\n", "\\\n", "a\\\n", "foo\\/\n", "foo\\/bar\n", "\\/foo\n", "//\n", "/\n", "!\n", " \n",
    "*.o\n!keep.o\n", "*.o\n!src/keep.o\n", "*.o\n!/keep.o\n", "*\n!*/\n!*.c\n", "/*\n!/src\n/src/*\n!/src/a.c\n", "f?o\n!f*\n", "f*\n!foo\n",
    "build\n!build/out\n", "build/*\n!build/out\n", "!a\na\n", "a\n!a\n", "a\n!a\na\n", "build/\n!src/build/\n", "**/build/\n!/build/\n",
    "foo/*\n!foo/baz\n", "foo/*\n!foo/baz/\n", "foo/*\n!foo/bar\n", "!foo/bar\nfoo/*\n", "log?\n", "log[0-9]\n!log[12]\n", "logs/*\n!logs/debug/\n",
    "logs/**\n!logs/**/\n!logs/**/log1\n", "node_modules\n!node_modules/m\n", "\xc3\xa4\n", "\xe9\n", "\357\273\277a\n", ".*\n", ".*\n!.hidden\n",
    "~\n", "*.b.*\n", "a.b.c\n#a\n\n\nb\n", "  a\n", "a  \n", "*~\n", "src/*.[co]\n!src/a.*\n", "deep/*/foo\n", "deep/er/foo/\n", "er/foo\n", "/er\n",
    "er\n", "new?line\n", "*[\n", "[\n", "a[\n", "[a\n", "[a-\n", "foo/**/\n", "**/**/bar\n", "foo/*/bar\n", "f*/b*\n", "F*\n", "?oo/\n",
};

static void make_paths(void) {
    for (size_t i = 0; i < ELEMENTS(paths); i++) {
        char name[256];
        size_t size = strlen(paths[i]);
        snprintf(name, sizeof(name), "%s", paths[i]);
        if (name[size - 1] == '/')
            assert_true(mkdirat(scratch_fd, name, 0755) == 0 || errno == EEXIST);
        else
            put(name, "");
    }
}

/* The paths that git would leave out, each with a NUL. */
static void ask_git(struct buf *answer) {
    char command[256], block[4096];
    snprintf(command, sizeof(command), "cd %s && git -c core.excludesFile=/dev/null check-ignore --no-index -z --stdin <.git/asked", scratch);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    for (size_t got; (got = fread(block, 1, sizeof(block), pipe));)
        buf_add(answer, block, got);
    int status = pclose(pipe);
    if (status != 0 && status != 1 << 8)   /* 1: none is left out */
        fail_msg("git check-ignore ended with %d", status);
}

static bool among(const struct buf *answer, const char *path, size_t size) {
    for (const char *at = answer->data, *end = at + answer->size; at && at < end; at += strlen(at) + 1)
        if (strlen(at) == size && memcmp(at, path, size) == 0)
            return true;
    return false;
}

static void rules_mean_what_git_takes_them_for(void **state) {
    (void)state;
    char command[128];
    unsigned wrong = 0;
    snprintf(command, sizeof(command), "git -C %s init -q . 2>/dev/null", scratch);
    if (system(command) != 0)
        skip();
    make_paths();
    _close_ int asked = openat(scratch_fd, ".git/asked", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    for (size_t i = 0; i < ELEMENTS(paths); i++) {
        size_t size = strlen(paths[i]) - (paths[i][strlen(paths[i]) - 1] == '/');
        assert_int_equal(fs_write_all(asked, paths[i], size), 0);
        assert_int_equal(fs_write_all(asked, "", 1), 0);
    }
    for (size_t i = 0; i < ELEMENTS(files); i++) {
        _buf_ struct buf answer = {0};
        _ignore_ struct ignore *ignore = rules(files[i]);
        put(".gitignore", files[i]);
        ask_git(&answer);
        for (size_t j = 0; j < ELEMENTS(paths); j++) {
            size_t size = strlen(paths[j]);
            bool directory = paths[j][size - 1] == '/';
            char path[256];
            snprintf(path, sizeof(path), "%.*s", (int)(size - directory), paths[j]);
            bool ours = ignore_covers(ignore, path, directory), gits = among(&answer, path, size - directory);
            if (ours != gits) {
                print_error("%s: '%s' is left out by %s alone\n", files[i], path, ours ? "us" : "git");
                wrong++;
            }
        }
    }
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_without_rules_needs_no_matcher),
        cmocka_unit_test(nothing_is_left_out_by_itself),
        cmocka_unit_test(git_directories_can_be_left_out),
        cmocka_unit_test(case_matters),
        cmocka_unit_test(a_match_asks_of_the_entry_alone_and_covers_of_its_parents_too),
        cmocka_unit_test(names_may_be_any_bytes),
        cmocka_unit_test(long_paths_are_matched),
        cmocka_unit_test(without_libgit2_rules_are_refused_with_a_sentence),
        cmocka_unit_test(threads_may_ask_at_once),
        cmocka_unit_test_setup_teardown(rules_are_read_from_the_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_file_holds_no_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(rules_mean_what_git_takes_them_for, setup, teardown),
    };
    return cmocka_run_group_tests_name("ignore", tests, NULL, NULL);
}
