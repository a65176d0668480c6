/* Times as people type them; numbers, times, modes and words as they read them.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format.h"
#include "when.h"

#include <string.h>
#include <sys/stat.h>

enum { NOW = 1769947200 };     /* 2026-02-01T12:00:00Z */

static int in_berlin(void **state) {
    (void)state;
    if (setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1) < 0)
        return -1;
    tzset();
    return 0;
}

static void assert_when(const char *text, int64_t expected) {
    int64_t got = -1;
    assert_int_equal(when_parse(text, NOW, false, &got), 0);
    assert_int_equal(got, expected);
}

static void dates_are_local_unless_they_say_otherwise(void **state) {
    (void)state;
    assert_when("2026-01-31", 1769814000);
    assert_when("2026-01-31 12:00", 1769857200);
    assert_when("2026-01-31T12:00:30", 1769857230);
    assert_when("2026-01-31T12:00:00Z", 1769860800);
    assert_when("2026-01-31 12:00+02:00", 1769853600);
    assert_when("2026-01-31 12:00-0230", 1769869800);
    assert_when("2026-07-01 00:00", 1782856800);           /* summer time */
    assert_when("2024-02-29", 1709161200);
}

static void a_day_ends_with_its_last_second(void **state) {
    (void)state;
    int64_t got;
    assert_int_equal(when_parse("2026-01-31", NOW, true, &got), 0);
    assert_int_equal(got, 1769814000 + 86399);
    assert_int_equal(when_parse("2026-01-31 12:00", NOW, true, &got), 0);
    assert_int_equal(got, 1769857200);
}

static void ago_counts_back_from_now(void **state) {
    (void)state;
    assert_when("1 second ago", NOW - 1);
    assert_when("90 seconds ago", NOW - 90);
    assert_when("2 minutes ago", NOW - 120);
    assert_when("3 Hours Ago", NOW - 3 * 3600);
    assert_when("2.days.ago", NOW - 2 * 86400);
    assert_when("2days ago", NOW - 2 * 86400);
    assert_when("1 week ago", NOW - 7 * 86400);
    assert_when("1 month ago", NOW - 31 * 86400);
    assert_when("1 year ago", NOW - 365 * 86400);
}

static void seconds_since_the_epoch_stand_after_an_at_sign(void **state) {
    (void)state;
    assert_when("@0", 0);
    assert_when("@1769817600", 1769817600);
    assert_when("@-5", -5);
}

static void other_times_are_refused_and_nothing_is_written(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "", "now", "soon", "@", "@x", "@1x", "2026", "2026-13-01", "2026-02-30", "2026-02-29", "2026-1-1", "2026-01-31x",
        "2026-01-31 25:00", "2026-01-31 12", "2026-01-31 12:00+1", "2 days", "days ago", "2 daysago", "2 fortnights ago",
        "-2 days ago", "99999999999999999999 days ago", "2 days ago x", "@99999999999999999999", "9999999999 years ago",
    };
    for (size_t i = 0; i < ELEMENTS(wrong); i++) {
        int64_t got = 42;
        assert_int_equal(when_parse(wrong[i], NOW, false, &got), -EINVAL);
        assert_int_equal(got, 42);
    }
}

static void sizes_have_the_unit_that_fits(void **state) {
    (void)state;
    char text[FORMAT_SIZE];
    assert_string_equal(format_size(0, text), "0 B");
    assert_string_equal(format_size(1023, text), "1023 B");
    assert_string_equal(format_size(1024, text), "1.0 KiB");
    assert_string_equal(format_size(4404019, text), "4.2 MiB");
    assert_string_equal(format_size((1 << 20) - 1, text), "1.0 MiB");
    assert_string_equal(format_size(UINT64_MAX, text), "16.0 EiB");
}

static void times_for_programs_are_utc_with_nanoseconds(void **state) {
    (void)state;
    char text[FORMAT_SIZE];
    assert_string_equal(format_rfc3339((struct timespec){ 1769860800, 7 }, text), "2026-01-31T12:00:00.000000007Z");
    assert_string_equal(format_rfc3339((struct timespec){ -1, 999999999 }, text), "1969-12-31T23:59:59.999999999Z");
    assert_null(format_rfc3339((struct timespec){ INT64_C(1) << 60, 0 }, text));
    assert_null(format_rfc3339((struct timespec){ INT64_C(1) << 40, 0 }, text));
}

static void times_for_people_are_local(void **state) {
    (void)state;
    char text[FORMAT_SIZE];
    assert_string_equal(format_time((struct timespec){ 1769860800, 0 }, text), "2026-01-31 13:00:00");
    assert_string_equal(format_time((struct timespec){ INT64_C(1) << 60, 0 }, text), "@1152921504606846976");
}

static void modes_look_as_ls_shows_them(void **state) {
    (void)state;
    char text[FORMAT_SIZE];
    assert_string_equal(format_mode(S_IFREG | 0644, text), "-rw-r--r--");
    assert_string_equal(format_mode(S_IFDIR | 01777, text), "drwxrwxrwt");
    assert_string_equal(format_mode(S_IFREG | 06755, text), "-rwsr-sr-x");
    assert_string_equal(format_mode(S_IFREG | 07644, text), "-rwSr-Sr-T");
    assert_string_equal(format_mode(S_IFLNK | 0777, text), "lrwxrwxrwx");
    assert_string_equal(format_mode(S_IFIFO | 0600, text), "prw-------");
}

static void assert_shell(const char *word, const char *expected) {
    _buf_ struct buf out = {0};
    quote_shell(&out, word);
    assert_string_equal(out.data, expected);
}

static void words_are_quoted_as_a_shell_reads_them(void **state) {
    (void)state;
    assert_shell("plain/word-1.2:x", "plain/word-1.2:x");
    assert_shell("", "''");
    assert_shell("two words", "'two words'");
    assert_shell("it's", "'it'\\''s'");
    assert_shell("~", "'~'");
    assert_shell("latest~2", "latest~2");
    assert_shell("a\nb", "$'a\\012b'");
    assert_shell("\377'\\", "$'\\377\\'\\\\'");
    assert_shell("\303\274", "'\303\274'");
    assert_shell("$(x)", "'$(x)'");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_local_unless_they_say_otherwise),
        cmocka_unit_test(a_day_ends_with_its_last_second),
        cmocka_unit_test(ago_counts_back_from_now),
        cmocka_unit_test(seconds_since_the_epoch_stand_after_an_at_sign),
        cmocka_unit_test(other_times_are_refused_and_nothing_is_written),
        cmocka_unit_test(sizes_have_the_unit_that_fits),
        cmocka_unit_test(times_for_programs_are_utc_with_nanoseconds),
        cmocka_unit_test(times_for_people_are_local),
        cmocka_unit_test(modes_look_as_ls_shows_them),
        cmocka_unit_test(words_are_quoted_as_a_shell_reads_them),
    };
    return cmocka_run_group_tests(tests, in_berlin, NULL);
}
