/* The command line as typed: options, operands, commands of two words, what was perhaps meant.
 * Runs no command. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "options.h"
#include "typo.h"

#include <string.h>

struct fixture { struct call call; struct snap_err err; };

static int setup(void **state) {
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    options_done(&fixture->call);
    free(fixture);
    return 0;
}

static int parse(struct fixture *fixture, char *const argv[]) {
    options_done(&fixture->call);
    memset(fixture, 0, sizeof(*fixture));
    int r = options_parse(&fixture->call, argv, &fixture->err);
    return r == 0 && fixture->call.cmd && !fixture->call.globals.help ? options_check(&fixture->call, &fixture->err) : r;
}

#define PARSE(fixture, ...) parse(fixture, (char *[]){ (char[]){"snapctl"}, __VA_ARGS__, NULL })

/* The value of an option of the command that was parsed. */
static const void *value(const struct fixture *fixture, const char *name, char letter) {
    for (const struct option_row *row = fixture->call.cmd->options; row->help; row++)
        if (name ? row->name && strcmp(row->name, name) == 0 : row->letter == letter)
            return (const char *)fixture->call.options + row->offset;
    fail_msg("the command has no such row");
    return NULL;
}

static bool flag(const struct fixture *fixture, const char *name) {
    return *(const bool *)value(fixture, name, 0);
}

static void assert_refused(const struct fixture *fixture, int r, const char *message, const char *hint) {
    assert_int_equal(r, -EINVAL);
    assert_int_equal(fixture->err.failure, SNAP_FAILURE_USAGE);
    assert_string_equal(fixture->err.message, message);
    assert_string_equal(fixture->err.hint, hint);
}

static void no_word_is_no_command(void **state) {
    struct fixture *fixture = *state;
    assert_int_equal(parse(fixture, (char *[]){ (char[]){"snapctl"}, NULL }), 0);
    assert_null(fixture->call.cmd);
    assert_int_equal(parse(fixture, (char *[]){ NULL }), 0);
    assert_null(fixture->call.cmd);
}

static void options_of_every_command_stand_before_or_after_it(void **state) {
    struct fixture *fixture = *state;
    assert_int_equal(PARSE(fixture, "-C", "/x", "--json", "status", "--store=/s", "-v", "--color", "always"), 0);
    assert_ptr_equal(fixture->call.cmd, &cmd_status);
    assert_string_equal(fixture->call.globals.dir, "/x");
    assert_string_equal(fixture->call.globals.store, "/s");
    assert_true(fixture->call.globals.json);
    assert_true(fixture->call.globals.verbose);
    assert_int_equal(fixture->call.globals.color, OUT_COLOR_ALWAYS);
    assert_false(fixture->call.globals.quiet);
}

static void an_argument_may_stand_in_the_same_word_or_the_next(void **state) {
    struct fixture *fixture = *state;
    assert_int_equal(PARSE(fixture, "take", "-mone two", "-n", "name"), 0);
    assert_string_equal(*(const char *const *)value(fixture, NULL, 'm'), "one two");
    assert_string_equal(*(const char *const *)value(fixture, NULL, 'n'), "name");
    assert_int_equal(PARSE(fixture, "log", "-n5"), 0);
    assert_int_equal(*(const uint64_t *)value(fixture, NULL, 'n'), 5);
}

static void an_argument_may_look_like_an_option_or_be_empty(void **state) {
    struct fixture *fixture = *state;
    assert_int_equal(PARSE(fixture, "take", "-m", "--json", "-n", ""), 0);
    assert_string_equal(*(const char *const *)value(fixture, NULL, 'm'), "--json");
    assert_string_equal(*(const char *const *)value(fixture, NULL, 'n'), "");
    assert_false(fixture->call.globals.json);
}

static void letters_may_share_a_dash(void **state) {
    struct fixture *fixture = *state;
    assert_int_equal(PARSE(fixture, "ls", "-lRv", "3"), 0);
    assert_true(*(const bool *)value(fixture, NULL, 'l'));
    assert_true(*(const bool *)value(fixture, NULL, 'R'));
    assert_true(fixture->call.globals.verbose);
    assert_string_equal(fixture->call.words[0], "3");
}

static void a_letter_means_what_the_command_says_it_means(void **state) {
    struct fixture *fixture = *state;
    assert_int_equal(PARSE(fixture, "diff", "-p", "-z"), 0);
    assert_true(flag(fixture, "patch"));
    assert_int_equal(PARSE(fixture, "log", "-a"), 0);
    assert_true(flag(fixture, "all"));
}

static void what_follows_two_dashes_is_a_path_of_diff_and_rollback(void **state) {
    struct fixture *fixture = *state;
    assert_int_equal(PARSE(fixture, "diff", "1", "--", "-p", "b"), 0);
    assert_int_equal(fixture->call.word_count, 1);
    assert_int_equal(fixture->call.path_count, 2);
    assert_string_equal(fixture->call.paths[0], "-p");
    assert_null(fixture->call.paths[2]);
    assert_false(flag(fixture, "patch"));
    assert_int_equal(PARSE(fixture, "rollback", "--", "--"), 0);
    assert_string_equal(fixture->call.paths[0], "--");
    assert_null(fixture->call.words[0]);
}

static void what_follows_two_dashes_is_an_operand_of_the_others(void **state) {
    struct fixture *fixture = *state;
    assert_int_equal(PARSE(fixture, "log", "--", "-n"), 0);
    assert_int_equal(fixture->call.word_count, 1);
    assert_string_equal(fixture->call.words[0], "-n");
    assert_int_equal(PARSE(fixture, "log", "-"), 0);
    assert_string_equal(fixture->call.words[0], "-");
}

static void a_command_may_have_two_words(void **state) {
    struct fixture *fixture = *state;
    assert_int_equal(PARSE(fixture, "op", "--json", "log"), 0);
    assert_ptr_equal(fixture->call.cmd, &cmd_op_log);
    assert_refused(fixture, PARSE(fixture, "op"), "'op' needs a second word", "there is: snapctl op log");
    assert_refused(fixture, PARSE(fixture, "op", "lgo"), "'op lgo' is not a command", "did you mean: snapctl op log");
}

static void an_unknown_command_is_refused_with_the_nearest(void **state) {
    struct fixture *fixture = *state;
    assert_refused(fixture, PARSE(fixture, "rolback"), "rolback is not a command", "did you mean: snapctl rollback");
    assert_refused(fixture, PARSE(fixture, "xyzzy"), "xyzzy is not a command", "see: snapctl help");
    assert_refused(fixture, PARSE(fixture, "a\033[m"), "$'a\\033[m' is not a command", "see: snapctl help");
}

static void an_unknown_option_is_refused_with_the_nearest(void **state) {
    struct fixture *fixture = *state;
    assert_refused(fixture, PARSE(fixture, "status", "--porcelan"), "'status' has no option --porcelan", "did you mean: --porcelain");
    assert_refused(fixture, PARSE(fixture, "status", "--jsn"), "'status' has no option --jsn", "did you mean: --json");
    assert_refused(fixture, PARSE(fixture, "status", "-x"), "'status' has no option -x", "see: snapctl help status");
    assert_refused(fixture, PARSE(fixture, "status", "--zzzz=1"), "'status' has no option --zzzz", "see: snapctl help status");
    assert_refused(fixture, PARSE(fixture, "-h"), "there is no option -h before the command", "did you mean: --help");
}

static void an_option_of_a_command_is_not_taken_before_it(void **state) {
    struct fixture *fixture = *state;
    assert_refused(fixture, PARSE(fixture, "-m", "x", "take"), "there is no option -m before the command",
                   "an option of a command comes after it: snapctl take -m");
}

static void an_option_is_taken_only_as_it_is_spelled(void **state) {
    struct fixture *fixture = *state;
    assert_refused(fixture, PARSE(fixture, "diff", "--exit"), "'diff' has no option --exit", "did you mean: --exit-code");
    assert_refused(fixture, PARSE(fixture, "diff", "--patch-"), "'diff' has no option --patch-", "did you mean: --patch");
}

static void an_argument_that_is_missing_or_too_much_is_refused(void **state) {
    struct fixture *fixture = *state;
    assert_refused(fixture, PARSE(fixture, "take", "-m"), "-m needs an argument: TEXT", "see: snapctl help take");
    assert_refused(fixture, PARSE(fixture, "--store"), "--store needs an argument: DIR", "see: snapctl help");
    assert_refused(fixture, PARSE(fixture, "status", "--json=yes"), "--json takes no argument", "see: snapctl help status");
}

static void a_value_that_makes_no_sense_is_refused(void **state) {
    struct fixture *fixture = *state;
    static char *const numbers[] = { "0", "-1", "x", "1x", "", "18446744073709551616" };
    for (size_t i = 0; i < ELEMENTS(numbers); i++)
        assert_int_equal(PARSE(fixture, "log", "-n", numbers[i]), -EINVAL);
    assert_refused(fixture, PARSE(fixture, "log", "-n", "0"), "-n needs a number from 1, not 0", "see: snapctl help log");
    assert_refused(fixture, PARSE(fixture, "--color", "blue", "log"), "--color needs auto, always or never, not blue", "see: snapctl help");
    assert_int_equal(PARSE(fixture, "log", "--since", "soon"), -EINVAL);
    assert_int_equal(PARSE(fixture, "log", "-n", "18446744073709551615"), 0);
}

static void too_few_or_too_many_operands_are_refused(void **state) {
    struct fixture *fixture = *state;
    assert_refused(fixture, PARSE(fixture, "show"), "'show' needs SNAP", "see: snapctl help show");
    assert_refused(fixture, PARSE(fixture, "status", "x"), "'status' takes no operand", "see: snapctl help status");
    assert_refused(fixture, PARSE(fixture, "tag", "1", "a", "b"), "'tag' takes no more than SNAP NAME", "see: snapctl help tag");
    assert_int_equal(PARSE(fixture, "diff", "1", "2", "--", "3", "4", "5"), 0);
}

static void help_is_given_without_operands(void **state) {
    struct fixture *fixture = *state;
    assert_int_equal(PARSE(fixture, "show", "--help"), 0);
    assert_true(fixture->call.globals.help);
    assert_int_equal(PARSE(fixture, "--help"), 0);
    assert_null(fixture->call.cmd);
}

static void silence_and_more_words_contradict(void **state) {
    struct fixture *fixture = *state;
    assert_refused(fixture, PARSE(fixture, "-q", "status", "-v"), "-q and -v contradict each other", "see: snapctl help status");
}

static void rows_are_told_apart(void **state) {
    (void)state;
    for (size_t i = 0; commands[i]; i++)
        for (const struct option_row *row = commands[i]->options; row && row->help; row++)
            for (const struct option_row *other = row + 1; other->help; other++) {
                assert_true(!row->letter || row->letter != other->letter);
                assert_true(!row->name || !other->name || strcmp(row->name, other->name) != 0);
            }
}

static void no_command_redefines_an_option_of_every_command(void **state) {
    (void)state;
    for (size_t i = 0; commands[i]; i++)
        for (const struct option_row *row = commands[i]->options; row && row->help; row++)
            for (const struct option_row *global = global_rows; global->help; global++) {
                assert_true(!row->letter || row->letter != global->letter);
                assert_true(!row->name || !global->name || strcmp(row->name, global->name) != 0);
            }
}

static void values_lie_inside_the_options(void **state) {
    (void)state;
    for (size_t i = 0; commands[i]; i++)
        for (const struct option_row *row = commands[i]->options; row && row->help; row++)
            assert_true(row->offset < commands[i]->options_size);
}

static void distance_counts_edits_and_swaps(void **state) {
    (void)state;
    assert_int_equal(typo_distance("", ""), 0);
    assert_int_equal(typo_distance("", "abc"), 3);
    assert_int_equal(typo_distance("kitten", "sitting"), 3);
    assert_int_equal(typo_distance("stauts", "status"), 1);
    assert_int_equal(typo_distance("diff", "dif"), 1);
    char longer[100];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_true(typo_distance(longer, "a") > 1000);
}

static void nothing_is_suggested_for_what_resembles_nothing(void **state) {
    (void)state;
    static const char *const words[] = { "", "x", "qqqq", "--", "no-such-thing" };
    for (size_t i = 0; i < ELEMENTS(words); i++) {
        struct typo typo = typo_start(words[i]);
        for (size_t j = 0; commands[j]; j++)
            typo_try(&typo, commands[j]->name);
        assert_null(typo.best);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_word_is_no_command, setup, teardown),
        cmocka_unit_test_setup_teardown(options_of_every_command_stand_before_or_after_it, setup, teardown),
        cmocka_unit_test_setup_teardown(an_argument_may_stand_in_the_same_word_or_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(an_argument_may_look_like_an_option_or_be_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(letters_may_share_a_dash, setup, teardown),
        cmocka_unit_test_setup_teardown(a_letter_means_what_the_command_says_it_means, setup, teardown),
        cmocka_unit_test_setup_teardown(what_follows_two_dashes_is_a_path_of_diff_and_rollback, setup, teardown),
        cmocka_unit_test_setup_teardown(what_follows_two_dashes_is_an_operand_of_the_others, setup, teardown),
        cmocka_unit_test_setup_teardown(a_command_may_have_two_words, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unknown_command_is_refused_with_the_nearest, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unknown_option_is_refused_with_the_nearest, setup, teardown),
        cmocka_unit_test_setup_teardown(an_option_of_a_command_is_not_taken_before_it, setup, teardown),
        cmocka_unit_test_setup_teardown(an_option_is_taken_only_as_it_is_spelled, setup, teardown),
        cmocka_unit_test_setup_teardown(an_argument_that_is_missing_or_too_much_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_value_that_makes_no_sense_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(too_few_or_too_many_operands_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(help_is_given_without_operands, setup, teardown),
        cmocka_unit_test_setup_teardown(silence_and_more_words_contradict, setup, teardown),
        cmocka_unit_test(rows_are_told_apart),
        cmocka_unit_test(no_command_redefines_an_option_of_every_command),
        cmocka_unit_test(values_lie_inside_the_options),
        cmocka_unit_test(distance_counts_edits_and_swaps),
        cmocka_unit_test(nothing_is_suggested_for_what_resembles_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
