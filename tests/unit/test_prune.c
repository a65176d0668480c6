/* The rules of prune, on times alone. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "prune.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DAY = 86400, HOUR = 3600 };
static const int64_t monday = 1769385600;      /* 2026-01-26 00:00 UTC */

static void decide(const struct snap_prune_options *options, const int64_t *times, size_t count, const char *want) {
    struct prune_item items[16] = {0};
    char got[256] = "";
    for (size_t i = 0; i < count; i++)
        items[i] = (struct prune_item){ .number = (int64_t)(count - i), .created = times[i], .held = 100 * (i + 1), .named = i == 3 };
    prune_decide(options, items, count);
    for (size_t i = 0; i < count; i++) {
        strcat(got, items[i].reason ? items[i].reason : "-");
        strcat(got, i + 1 < count ? " " : "");
    }
    assert_string_equal(got, want);
}

static void the_newest_of_each_period_stays(void **state) {
    (void)state;
    const int64_t times[] = { monday + 9 * HOUR + 50, monday + 9 * HOUR, monday + 8 * HOUR, monday - HOUR, monday - DAY, monday - 2 * DAY };
    decide(&(struct snap_prune_options){ .hourly = 2 }, times, 6, "hourly - hourly - - -");
    decide(&(struct snap_prune_options){ .daily = 2 }, times, 6, "daily - - daily - -");
    decide(&(struct snap_prune_options){ .weekly = 2 }, times, 6, "weekly - - weekly - -");
    decide(&(struct snap_prune_options){ .last = 2, .daily = 3 }, times, 6, "last last - daily - daily");
}

static void the_oldest_stands_for_periods_that_have_none(void **state) {
    (void)state;
    const int64_t times[] = { monday, monday - HOUR, monday - 2 * HOUR };
    decide(&(struct snap_prune_options){ .yearly = 5 }, times, 3, "yearly - oldest");
    decide(&(struct snap_prune_options){ .yearly = 1 }, times, 3, "yearly - -");
}

/* Also where the clock went backwards: it counts from the newest by number. */
static void ages_count_from_the_newest(void **state) {
    (void)state;
    const int64_t times[] = { monday - DAY, monday, monday - 2 * DAY, monday - 3 * DAY };
    decide(&(struct snap_prune_options){ .within = DAY }, times, 4, "within within within -");
}

static void sizes_are_of_all_that_is_kept_and_the_newest_always_stays(void **state) {
    (void)state;
    const int64_t times[] = { 5, 4, 3, 2, 1 };
    decide(&(struct snap_prune_options){ .size = 299 }, times, 5, "size size - - -");
    decide(&(struct snap_prune_options){ .size = 1 }, times, 5, "size - - - -");
    decide(&(struct snap_prune_options){ .tagged = true }, times, 5, "- - - tag -");
}

static void a_policy_that_keeps_nothing_is_empty(void **state) {
    (void)state;
    assert_true(prune_is_empty(&(struct snap_prune_options){ .dry_run = true }));
    assert_false(prune_is_empty(&(struct snap_prune_options){ .tagged = true }));
}

int main(void) {
    setenv("TZ", "UTC", 1);
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_of_each_period_stays),
        cmocka_unit_test(the_oldest_stands_for_periods_that_have_none),
        cmocka_unit_test(ages_count_from_the_newest),
        cmocka_unit_test(sizes_are_of_all_that_is_kept_and_the_newest_always_stays),
        cmocka_unit_test(a_policy_that_keeps_nothing_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
