/* Bytes as text, and back where the form allows it.
 * Asks nothing of the locale. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "quote.h"

#include <string.h>

typedef void (*quote_fn)(struct buf *out, const char *bytes, size_t size);

static void assert_quoted(quote_fn quote, const char *bytes, size_t size, const char *expected) {
    _buf_ struct buf out = {0};
    buf_str(&out, "<");
    quote(&out, bytes, size);
    buf_str(&out, ">");
    _buf_ struct buf wanted = {0};
    buf_fmt(&wanted, "<%s>", expected);
    assert_string_equal(out.data, wanted.data);
}

static void all_bytes(char *bytes) {
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
}

static void people_see_what_can_be_shown_as_it_is(void **state) {
    (void)state;
    assert_quoted(quote_display, "a b'\"ü€😀", strlen("a b'\"ü€😀"), "a b'\"ü€😀");
    assert_quoted(quote_display, "", 0, "");
}

static void people_see_control_characters_escaped(void **state) {
    (void)state;
    assert_quoted(quote_display, "a\nb\t\\\033[m\177\0", 10, "a\\nb\\t\\\\\\033[m\\177\\000");
    assert_quoted(quote_display, "\302\205", 2, "\\302\\205");           /* U+0085, a line break */
    assert_quoted(quote_display, "x\342\200\256y", 5, "x\\342\\200\\256y");  /* U+202E, right-to-left override */
}

static void people_see_invalid_utf8_escaped_and_the_rest_whole(void **state) {
    (void)state;
    assert_quoted(quote_display, "a\377\303", 3, "a\\377\\303");
    assert_quoted(quote_display, "\355\240\200ü", 5, "\\355\\240\\200ü");    /* a surrogate */
    assert_quoted(quote_display, "\300\257", 2, "\\300\\257");               /* overlong */
}

static void git_reads_plain_names_unquoted(void **state) {
    (void)state;
    assert_quoted(quote_c, "a b/c'd", 7, "a b/c'd");
    assert_quoted(quote_c, "", 0, "");
}

static void git_reads_other_names_in_c_quotes(void **state) {
    (void)state;
    assert_quoted(quote_c, "a\"b\\", 4, "\"a\\\"b\\\\\"");
    assert_quoted(quote_c, "\a\b\t\n\v\f\r", 7, "\"\\a\\b\\t\\n\\v\\f\\r\"");
    assert_quoted(quote_c, "\001\177ü", 4, "\"\\001\\177\\303\\274\"");
}

static void mtree_gets_octal_escapes(void **state) {
    (void)state;
    assert_quoted(quote_mtree, "a b#c=d\\\n\377", 10, "a\\040b\\043c\\075d\\134\\012\\377");
}

static void every_byte_comes_back_from_mtree(void **state) {
    (void)state;
    char bytes[256];
    all_bytes(bytes);
    _buf_ struct buf text = {0}, back = {0};
    quote_mtree(&text, bytes, sizeof(bytes));
    assert_int_equal(strlen(text.data), text.size);
    assert_int_equal(unquote_mtree(&back, text.data, text.size), 0);
    assert_int_equal(back.size, sizeof(bytes));
    assert_memory_equal(back.data, bytes, sizeof(bytes));
}

typedef int (*decode_fn)(struct buf *out, const char *text, size_t size);

static void assert_refused(decode_fn decode, const char *text) {
    _buf_ struct buf out = {0};
    buf_str(&out, "before");
    assert_int_equal(decode(&out, text, strlen(text)), -EINVAL);
    assert_string_equal(out.data, "before");
}

static void what_is_no_mtree_text_is_refused_and_nothing_added(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "ok a", "ok\\", "ok\\1", "ok\\12", "ok\\400", "ok\\018", "ok\\n", "ok\\\\", "ok#", "ok=", "ok\n", "ok\377", "\\0401 ",
    };
    for (size_t i = 0; i < ELEMENTS(wrong); i++)
        assert_refused(unquote_mtree, wrong[i]);
}

static void base64_follows_the_vectors_of_the_rfc(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
    };
    for (size_t i = 0; i < ELEMENTS(pairs); i++) {
        _buf_ struct buf text = {0}, back = {0};
        buf_str(&text, "");
        buf_str(&back, "");
        base64_encode(&text, pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(text.data, pairs[i][1]);
        assert_int_equal(base64_decode(&back, text.data, text.size), 0);
        assert_string_equal(back.data, pairs[i][0]);
    }
}

static void every_byte_comes_back_from_base64_and_hex(void **state) {
    (void)state;
    char bytes[256], unhexed[256];
    all_bytes(bytes);
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        _buf_ struct buf text = {0}, back = {0}, hex = {0};
        base64_encode(&text, bytes, size);
        assert_int_equal(base64_decode(&back, text.data, text.size), 0);
        hex_encode(&hex, bytes, size);
        assert_int_equal(hex.size, 2 * size);
        assert_int_equal(hex_decode(unhexed, size, hex.data, hex.size), 0);
        assert_int_equal(back.size, size);
        if (size == 0)
            continue;
        assert_memory_equal(back.data, bytes, size);
        assert_memory_equal(unhexed, bytes, size);
    }
}

static void what_is_no_base64_is_refused_and_nothing_added(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Zm9vZ=g=", "Zm9v\n", "Zm-_", "Zh==", "Zm9=", "Zm9vYg==A",
    };
    for (size_t i = 0; i < ELEMENTS(wrong); i++)
        assert_refused(base64_decode, wrong[i]);
}

static void what_is_no_hex_of_that_size_is_refused_and_nothing_written(void **state) {
    (void)state;
    unsigned char out[2] = { 7, 7 };
    assert_int_equal(hex_decode(out, 2, "00ff0", 5), -EINVAL);
    assert_int_equal(hex_decode(out, 2, "00ff00", 6), -EINVAL);
    assert_int_equal(hex_decode(out, 2, "00", 2), -EINVAL);
    assert_int_equal(hex_decode(out, 2, "00fg", 4), -EINVAL);
    assert_int_equal(hex_decode(out, SIZE_MAX / 2 + 3, "00ff", 4), -EINVAL);
    assert_int_equal(out[0], 7);
    assert_int_equal(hex_decode(out, 2, "00Ff", 4), 0);
    assert_int_equal(out[1], 255);
}

static void utf8_is_told_from_other_bytes(void **state) {
    (void)state;
    static const char *const valid[] = {
        "", "a", "\302\200", "\337\277", "\340\240\200", "\355\237\277", "\356\200\200", "\357\277\277", "\360\220\200\200", "\364\217\277\277",
    };
    static const char *const invalid[] = {
        "\200", "\277", "\300\200", "\301\277", "\302", "\302a", "\340\237\277", "\340\240", "\355\240\200", "\355\277\277",
        "\360\217\277\277", "\364\220\200\200", "\365\200\200\200", "\360\220\200", "\377", "a\302", "ü\200",
    };
    for (size_t i = 0; i < ELEMENTS(valid); i++)
        assert_true(utf8_valid(valid[i], strlen(valid[i])));
    for (size_t i = 0; i < ELEMENTS(invalid); i++)
        assert_false(utf8_valid(invalid[i], strlen(invalid[i])));
    assert_false(utf8_valid("a\0b", 3));
}

static void failure_to_add_is_told_by_the_decoders(void **state) {
    (void)state;
    _buf_ struct buf out = { .failed = -ENOMEM };
    assert_int_equal(unquote_mtree(&out, "a", 1), -ENOMEM);
    assert_int_equal(base64_decode(&out, "Zm9v", 4), -ENOMEM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(people_see_what_can_be_shown_as_it_is),
        cmocka_unit_test(people_see_control_characters_escaped),
        cmocka_unit_test(people_see_invalid_utf8_escaped_and_the_rest_whole),
        cmocka_unit_test(git_reads_plain_names_unquoted),
        cmocka_unit_test(git_reads_other_names_in_c_quotes),
        cmocka_unit_test(mtree_gets_octal_escapes),
        cmocka_unit_test(every_byte_comes_back_from_mtree),
        cmocka_unit_test(what_is_no_mtree_text_is_refused_and_nothing_added),
        cmocka_unit_test(base64_follows_the_vectors_of_the_rfc),
        cmocka_unit_test(every_byte_comes_back_from_base64_and_hex),
        cmocka_unit_test(what_is_no_base64_is_refused_and_nothing_added),
        cmocka_unit_test(what_is_no_hex_of_that_size_is_refused_and_nothing_written),
        cmocka_unit_test(utf8_is_told_from_other_bytes),
        cmocka_unit_test(failure_to_add_is_told_by_the_decoders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
