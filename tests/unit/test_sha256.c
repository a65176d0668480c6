/* sha256: the digests of the standard's examples, and what happens where the library is missing.
 * Tests nothing of nettle's but that it is called right. SPDX-License-Identifier: GPL-2.0-or-later */
#include "sha256.h"

#include "hook.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void digests_are_those_of_the_standard(void **state) {
    (void)state;
    _sha256_ struct sha256 *sha256 = NULL;
    char text[SHA256_HEX + 1];
    assert_int_equal(sha256_new(&sha256, NULL), 0);
    sha256_add(sha256, "ab", 2);
    sha256_add(sha256, "c", 1);
    sha256_hex(sha256, text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void a_digest_given_out_begins_anew(void **state) {
    (void)state;
    _sha256_ struct sha256 *sha256 = NULL;
    char text[SHA256_HEX + 1];
    assert_int_equal(sha256_new(&sha256, NULL), 0);
    sha256_add(sha256, "abc", 3);
    sha256_hex(sha256, text);
    sha256_hex(sha256, text);
    assert_string_equal(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static int refuse(const char *point, const char *what) {
    return strcmp(point, "library.load") == 0 && strstr(what, "nettle") ? -ENOENT : 0;
}

static void a_missing_library_is_named(void **state) {
    (void)state;
    struct snap_err err = {0};
    struct sha256 *sha256 = NULL;
    hook_function = refuse;
    assert_int_equal(sha256_new(&sha256, &err), -ENOSYS);
    hook_function = NULL;
    assert_null(sha256);
    assert_non_null(strstr(err.message, "nettle"));
    assert_non_null(strstr(err.hint, "libnettle.so"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_those_of_the_standard),
        cmocka_unit_test(a_digest_given_out_begins_anew),
        cmocka_unit_test(a_missing_library_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
