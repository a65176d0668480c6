/* The hash table, also against a plain array as its model.
 * Relies on no order. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "map.h"

#include <stdio.h>
#include <string.h>

static int setup(void **state) {
    *state = map_new();
    return *state ? 0 : -1;
}

static int teardown(void **state) {
    *state = map_free(*state, NULL);
    return 0;
}

static void an_absent_key_gives_nothing(void **state) {
    struct map *map = *state;
    assert_null(map_get(map, "a", 1));
    assert_null(map_get(map, NULL, 0));
    assert_null(map_remove(map, "a", 1));
    assert_int_equal(map_count(map), 0);
}

static void a_key_is_copied(void **state) {
    struct map *map = *state;
    int value;
    char key[] = "a key that is longer than what fits into a slot";
    assert_int_equal(map_put(map, key, sizeof(key), &value, NULL), 0);
    key[0] = 'x';
    assert_null(map_get(map, key, sizeof(key)));
    key[0] = 'a';
    assert_ptr_equal(map_get(map, key, sizeof(key)), &value);
}

static void putting_again_replaces_and_gives_the_old_value(void **state) {
    struct map *map = *state;
    int first, second;
    void *old = &second;
    assert_int_equal(map_put(map, "k", 1, &first, &old), 0);
    assert_ptr_equal(old, &second);
    assert_int_equal(map_put(map, "k", 1, &second, &old), 1);
    assert_ptr_equal(old, &first);
    assert_int_equal(map_put(map, "k", 1, &first, NULL), 1);
    assert_ptr_equal(map_get(map, "k", 1), &first);
    assert_int_equal(map_count(map), 1);
}

static void keys_are_bytes_of_any_length(void **state) {
    struct map *map = *state;
    static char bytes[100];
    static int values[101];
    for (size_t size = 0; size <= sizeof(bytes); size++)
        assert_int_equal(map_put(map, bytes, size, &values[size], NULL), 0);
    for (size_t size = 0; size <= sizeof(bytes); size++)
        assert_ptr_equal(map_get(map, bytes, size), &values[size]);
    assert_ptr_equal(map_get(map, NULL, 0), &values[0]);
    for (size_t size = 0; size <= sizeof(bytes); size += 2)
        assert_ptr_equal(map_remove(map, bytes, size), &values[size]);
    for (size_t size = 0; size <= sizeof(bytes); size++)
        assert_ptr_equal(map_get(map, bytes, size), size % 2 ? &values[size] : NULL);
}

static void a_walk_meets_every_entry_once(void **state) {
    struct map *map = *state;
    static int seen[1000];
    memset(seen, 0, sizeof(seen));
    for (uint32_t i = 0; i < ELEMENTS(seen); i++)
        assert_int_equal(map_put(map, &i, sizeof(i), &seen[i], NULL), 0);
    for (struct map_iter i = {0}; map_next(map, &i);) {
        uint32_t key;
        assert_int_equal(i.key_size, sizeof(key));
        memcpy(&key, i.key, sizeof(key));
        assert_ptr_equal(i.value, &seen[key]);
        seen[key]++;
    }
    for (size_t i = 0; i < ELEMENTS(seen); i++)
        assert_int_equal(seen[i], 1);
}

static size_t make_key(char *key, uint32_t number) {
    /* both sides of what fits into a slot */
    return (size_t)sprintf(key, number % 2 ? "%u" : "a longer name, number %u", number);
}

static void a_long_run_of_changes_agrees_with_a_plain_array(void **state) {
    struct map *map = *state;
    static int values[700];
    static void *model[700];
    size_t count = 0;
    uint32_t random = 1;
    memset(model, 0, sizeof(model));
    for (int step = 0; step < 200000; step++) {
        random = random * 1664525 + 1013904223;
        uint32_t number = (random >> 8) % ELEMENTS(model);
        char key[64];
        size_t size = make_key(key, number);
        assert_ptr_equal(map_get(map, key, size), model[number]);
        if (random >> 31) {
            assert_int_equal(map_put(map, key, size, &values[number], NULL), model[number] ? 1 : 0);
            count += !model[number];
            model[number] = &values[number];
        } else {
            assert_ptr_equal(map_remove(map, key, size), model[number]);
            count -= !!model[number];
            model[number] = NULL;
        }
        assert_int_equal(map_count(map), count);
    }
}

static void many_entries_are_all_found(void **state) {
    struct map *map = *state;
    for (uintptr_t i = 1; i <= 300000; i++)
        assert_int_equal(map_put(map, &i, sizeof(i), (void *)i, NULL), 0);
    for (uintptr_t i = 1; i <= 300000; i++)
        if (map_get(map, &i, sizeof(i)) != (void *)i)
            fail_msg("%zu was lost", (size_t)i);
    assert_int_equal(map_count(map), 300000);
}

static void values_are_freed_when_asked(void **state) {
    (void)state;
    struct map *map = map_new();
    assert_non_null(map);
    for (uint32_t i = 0; i < 100; i++) {
        char *value = malloc(1);
        assert_non_null(value);
        assert_int_equal(map_put(map, &i, sizeof(i), value, NULL), 0);
    }
    assert_null(map_free(map, free));
    assert_null(map_free(NULL, free));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_absent_key_gives_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_is_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(putting_again_replaces_and_gives_the_old_value, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_are_bytes_of_any_length, setup, teardown),
        cmocka_unit_test_setup_teardown(a_walk_meets_every_entry_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_run_of_changes_agrees_with_a_plain_array, setup, teardown),
        cmocka_unit_test_setup_teardown(many_entries_are_all_found, setup, teardown),
        cmocka_unit_test(values_are_freed_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
