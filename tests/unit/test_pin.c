/* Pins hold as long as their holders, and as long as gc decides nobody gets one. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fs.h"
#include "pin.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

static struct snap_err err;

struct fixture { char path[64]; struct store *store; };

static int setup(void **state) {
    static struct fixture fixture;
    strcpy(fixture.path, "/tmp/test_pin.XXXXXX");
    assert_non_null(mkdtemp(fixture.path));
    strcat(fixture.path, "/store");
    assert_int_equal(store_create(fixture.path, &err), 0);
    assert_int_equal(store_open(fixture.path, &fixture.store, &err), 0);
    *state = &fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    store_close(fixture->store);
    *strrchr(fixture->path, '/') = '\0';
    return fs_remove_tree(AT_FDCWD, fixture->path);
}

static void a_pin_holds_until_it_is_dropped(void **state) {
    struct store *store = ((struct fixture *)*state)->store;
    assert_int_equal(pin_held(store, 3, &err), 0);
    int first = pin_take(store, 3, true, &err), second = pin_take(store, 3, false, &err);
    assert_true(first >= 0 && second >= 0);
    assert_int_equal(pin_held(store, 3, &err), 1);
    assert_int_equal(pin_held(store, 4, &err), 0);
    pin_drop(first);
    assert_int_equal(pin_held(store, 3, &err), 1);
    pin_drop(second);
    assert_int_equal(pin_held(store, 3, &err), 0);
}

static void a_pin_ends_with_its_process(void **state) {
    struct store *store = ((struct fixture *)*state)->store;
    int ready[2], go[2];
    char byte = 0;
    assert_true(pipe(ready) == 0 && pipe(go) == 0);
    pid_t child = fork();
    if (child == 0) {
        bool pinned = pin_take(store, 7, true, NULL) >= 0;
        _exit(write(ready[1], pinned ? "y" : "n", 1) == 1 && read(go[0], &byte, 1) == 1 ? 0 : 1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_int_equal(pin_held(store, 7, &err), 1);
    assert_int_equal(write(go[1], "g", 1), 1);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(pin_held(store, 7, &err), 0);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(go[i]);
    }
}

static void nobody_pins_while_they_are_frozen(void **state) {
    struct store *store = ((struct fixture *)*state)->store;
    int fd = pin_take(store, 5, true, &err);
    {
        _pins_ struct pins *pins = NULL;
        assert_int_equal(pins_freeze(store, &pins, &err), 0);
        assert_true(pins_have(pins, 5));
        assert_false(pins_have(pins, 6));
        assert_int_equal(pin_take(store, 6, false, &err), -EAGAIN);
    }
    int later = pin_take(store, 6, false, &err);
    assert_true(later >= 0);
    pin_drop(later);
    pin_drop(fd);
    _pins_ struct pins *pins = NULL;
    assert_int_equal(pins_freeze(store, &pins, &err), 0);
    assert_false(pins_have(pins, 5));
    assert_int_equal(faccessat(store_run_fd(store), "pins/5", F_OK, 0), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_pin_holds_until_it_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pin_ends_with_its_process, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_pins_while_they_are_frozen, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
