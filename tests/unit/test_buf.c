/* The growing byte string and packed records.
 * Asks nothing of the file system. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "buf.h"

#include <string.h>

static void additions_follow_one_another(void **state) {
    (void)state;
    _buf_ struct buf buf = {0};
    buf_str(&buf, "ab");
    buf_char(&buf, 'c');
    buf_add(&buf, "d\0e", 3);
    buf_fmt(&buf, "%d-%s", 42, "x");
    assert_int_equal(buf.size, 10);
    assert_memory_equal(buf.data, "abcd\0e42-x", 11);
    assert_int_equal(buf.failed, 0);
}

static void the_string_always_ends_with_a_nul(void **state) {
    (void)state;
    _buf_ struct buf buf = {0};
    for (size_t i = 0; i < 5000; i++) {
        buf_char(&buf, 'x');
        assert_int_equal(buf.size, i + 1);
        assert_true(buf.room > buf.size);
        assert_int_equal(buf.data[buf.size], '\0');
    }
}

static void a_formatted_text_of_any_length_fits(void **state) {
    (void)state;
    for (int size = 0; size < 300; size++) {
        _buf_ struct buf buf = {0};
        buf_str(&buf, "12345");
        buf_fmt(&buf, "%*s|", size, "");
        assert_int_equal(buf.size, 5 + size + 1);
        assert_int_equal(strlen(buf.data), buf.size);
        assert_int_equal(buf.data[buf.size - 1], '|');
    }
}

static void a_failed_addition_is_remembered_and_ends_all_others(void **state) {
    (void)state;
    _buf_ struct buf buf = {0};
    buf_str(&buf, "kept");
    buf_add(&buf, "", SIZE_MAX - 2);
    assert_int_equal(buf.failed, -ENOMEM);
    buf_str(&buf, "not added");
    buf_fmt(&buf, "%s", "nor this");
    buf_clear(&buf);
    assert_int_equal(buf.failed, -ENOMEM);
    assert_null(buf_take(&buf));
    assert_int_equal(buf.failed, 0);
}

static void what_is_taken_belongs_to_the_taker(void **state) {
    (void)state;
    _buf_ struct buf buf = {0};
    buf_str(&buf, "mine");
    _free_ char *text = buf_take(&buf);
    assert_string_equal(text, "mine");
    assert_null(buf.data);
    assert_int_equal(buf.size, 0);
    _free_ char *nothing = buf_take(&buf);
    assert_string_equal(nothing, "");
}

static void a_cleared_string_keeps_its_room(void **state) {
    (void)state;
    _buf_ struct buf buf = {0};
    buf_clear(&buf);
    buf_fmt(&buf, "%100s", "");
    size_t room = buf.room;
    buf_clear(&buf);
    assert_int_equal(buf.size, 0);
    assert_int_equal(buf.room, room);
    assert_string_equal(buf.data, "");
}

static void integers_are_little_endian_and_come_back(void **state) {
    (void)state;
    _buf_ struct buf buf = {0};
    buf_u16(&buf, 0x0102);
    buf_u32(&buf, 0x01020304);
    buf_str(&buf, "tail");
    assert_memory_equal(buf.data, "\2\1\4\3\2\1tail", 10);

    struct bufread reader = { .at = (uint8_t *)buf.data, .end = (uint8_t *)buf.data + buf.size };
    assert_int_equal(bufread_u16(&reader), 0x0102);
    assert_int_equal(bufread_u32(&reader), 0x01020304);
    assert_memory_equal(bufread_bytes(&reader, 4), "tail", 4);
    assert_true(reader.at == reader.end);
    assert_false(reader.failed);
}

static void reading_past_the_end_fails_and_stays_failed(void **state) {
    (void)state;
    const uint8_t bytes[] = { 1, 2, 3 };
    struct bufread reader = { .at = bytes, .end = bytes + 3 };
    assert_int_equal(bufread_u32(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(bufread_u16(&reader), 0);
    assert_null(bufread_bytes(&reader, 1));
    assert_null(bufread_bytes(&reader, SIZE_MAX));
    assert_true(reader.at == bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(additions_follow_one_another),
        cmocka_unit_test(the_string_always_ends_with_a_nul),
        cmocka_unit_test(a_formatted_text_of_any_length_fits),
        cmocka_unit_test(a_failed_addition_is_remembered_and_ends_all_others),
        cmocka_unit_test(what_is_taken_belongs_to_the_taker),
        cmocka_unit_test(a_cleared_string_keeps_its_room),
        cmocka_unit_test(integers_are_little_endian_and_come_back),
        cmocka_unit_test(reading_past_the_end_fails_and_stays_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
