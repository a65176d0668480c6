/* The journal of a watcher: once a name, since when, and what it says to those who ask with another's name.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "journal.h"
#include <string.h>

static int list(void *data, const struct watch_change *change) {
    buf_fmt(data, "%u:%llu/%s ", (unsigned)change->kind, (unsigned long long)change->dir.ino, change->name ? change->name : "");
    return 0;
}

static void note(struct journal *journal, enum watch_kind kind, uint64_t dir, const char *name) {
    assert_int_equal(journal_note(journal, &(struct watch_change){ .kind = kind, .dir = { 1, dir }, .name = name }), 0);
}

static void assert_since(struct journal *journal, uint64_t since, size_t count, const char *one) {
    _buf_ struct buf out = {0};
    buf_str(&out, "");
    assert_int_equal(journal_since(journal, journal_name(journal), since, list, &out), 0);
    size_t found = 0;
    for (const char *at = out.data; (at = strchr(at, ' ')); at++)
        found++;
    assert_int_equal(found, count);
    if (one)
        assert_non_null(strstr(out.data, one));
}

static struct journal *begin(void) {
    struct journal *journal = NULL;
    assert_int_equal(journal_new(&journal), 0);
    return journal;
}

static void a_name_is_noted_once_at_its_latest_change(void **state) {
    (void)state;
    _cleanup_(journal_freep) struct journal *journal = begin();
    journal_tick(journal);
    note(journal, WATCH_ENTRY, 7, "a");
    uint64_t first = journal_clock(journal);
    journal_tick(journal);
    note(journal, WATCH_ENTRY, 7, "a");
    note(journal, WATCH_ENTRY, 7, "b");
    assert_int_equal(journal_count(journal), 2);
    assert_since(journal, first, 2, "0:7/a ");
    assert_since(journal, journal_clock(journal), 0, NULL);
}

static void what_is_not_covered_is_said_each_time(void **state) {
    (void)state;
    _cleanup_(journal_freep) struct journal *journal = begin();
    note(journal, WATCH_UNCOVERED, 9, NULL);
    journal_tick(journal);
    assert_since(journal, journal_clock(journal), 1, "3:9/ ");
    journal_forget(journal, journal_clock(journal));
    assert_since(journal, journal_clock(journal), 1, NULL);
}

static void another_journal_knows_nothing(void **state) {
    (void)state;
    _cleanup_(journal_freep) struct journal *journal = begin(), *other = begin();
    _buf_ struct buf out = {0};
    note(journal, WATCH_ENTRY, 7, "a");
    assert_string_not_equal(journal_name(journal), journal_name(other));
    assert_int_equal(journal_since(journal, journal_name(other), 0, list, &out), 1);
    assert_int_equal(out.size, 0);
}

static void events_that_were_lost_begin_another_journal(void **state) {
    (void)state;
    _cleanup_(journal_freep) struct journal *journal = begin();
    char before[64];
    _buf_ struct buf out = {0};
    strcpy(before, journal_name(journal));
    note(journal, WATCH_ENTRY, 7, "a");
    note(journal, WATCH_LOST, 1, NULL);
    assert_string_not_equal(journal_name(journal), before);
    assert_int_equal(journal_since(journal, before, 0, list, &out), 1);
    assert_since(journal, 0, 0, NULL);
}

static void what_nobody_asks_for_any_more_is_forgotten(void **state) {
    (void)state;
    _cleanup_(journal_freep) struct journal *journal = begin();
    note(journal, WATCH_ENTRY, 7, "old");
    uint64_t then = journal_clock(journal);
    journal_tick(journal);
    note(journal, WATCH_ENTRY, 7, "new");
    journal_forget(journal, then);
    assert_int_equal(journal_count(journal), 1);
    assert_since(journal, 0, 1, "0:7/new ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_noted_once_at_its_latest_change),
        cmocka_unit_test(what_is_not_covered_is_said_each_time),
        cmocka_unit_test(another_journal_knows_nothing),
        cmocka_unit_test(events_that_were_lost_begin_another_journal),
        cmocka_unit_test(what_nobody_asks_for_any_more_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
