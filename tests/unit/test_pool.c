/* The pool: order, the end, the first error, who frees what.
 * Waits for threads, never for time. SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pool.h"
#include "cleanup.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

struct task { unsigned depth, number; };

static atomic_uint made, ran, dropped;
static _Thread_local bool is_caller;
static atomic_bool fail_at_leaf;

static int setup(void **state) {
    (void)state;
    made = ran = dropped = 0;
    fail_at_leaf = false;
    is_caller = true;
    return 0;
}

static struct task *make(unsigned depth, unsigned number) {
    struct task *task = malloc(sizeof(*task));
    if (!task)
        abort();
    *task = (struct task){ depth, number };
    made++;
    return task;
}

static void drop(void *task) {
    dropped++;
    free(task);
}

static int grow_tree(struct pool *pool, void *data) {
    _free_ struct task *task = data;
    ran++;
    if (task->depth == 0)
        return fail_at_leaf ? -EUCLEAN : 0;
    for (unsigned i = 0; i < 4; i++) {
        struct task *child = make(task->depth - 1, i);
        int r = pool_add(pool, child);
        if (r < 0) {
            drop(child);
            return r;
        }
    }
    return 0;
}

static void everything_that_was_added_runs_once(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 8; threads++) {
        setup(NULL);
        assert_int_equal(pool_run(threads, grow_tree, drop, make(6, 0)), 0);
        assert_int_equal(ran, 5461);       /* (4^7 - 1) / 3 */
        assert_int_equal(made, ran);
        assert_int_equal(dropped, 0);
    }
}

static void the_first_error_ends_the_run_and_drops_the_rest(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 8; threads++) {
        setup(NULL);
        fail_at_leaf = true;
        assert_int_equal(pool_run(threads, grow_tree, drop, make(6, 0)), -EUCLEAN);
        assert_int_equal(ran + dropped, made);
        assert_true(dropped > 0);
    }
}

static unsigned order[5];

static int note_order(struct pool *pool, void *data) {
    _free_ struct task *task = data;
    order[ran++] = task->number;
    for (unsigned i = 1; task->depth && i <= 4; i++)
        assert_int_equal(pool_add(pool, make(0, i)), 0);
    return 0;
}

static void the_last_added_runs_first(void **state) {
    (void)state;
    assert_int_equal(pool_run(1, note_order, drop, make(1, 0)), 0);
    const unsigned expected[] = { 0, 4, 3, 2, 1 };
    assert_memory_equal(order, expected, sizeof(expected));
}

static int check_caller(struct pool *pool, void *data) {
    if (!is_caller)
        abort();
    return grow_tree(pool, data);
}

static void one_thread_is_the_calling_one(void **state) {
    (void)state;
    assert_int_equal(pool_run(1, check_caller, drop, make(3, 0)), 0);
    assert_int_equal(pool_run(0, check_caller, drop, make(3, 0)), 0);
}

static pthread_barrier_t barrier;

static int meet(struct pool *pool, void *data) {
    _free_ struct task *task = data;
    for (unsigned i = 0; task->depth && i < 4; i++)
        assert_int_equal(pool_add(pool, make(0, i)), 0);
    if (!task->depth)
        (void)pthread_barrier_wait(&barrier);
    return 0;
}

/* Hangs, and so fails by the time limit, unless the four tasks run at the same time. */
static void as_many_tasks_run_at_once_as_there_are_threads(void **state) {
    (void)state;
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 4), 0);
    for (int i = 0; i < 200; i++)
        assert_int_equal(pool_run(4, meet, drop, make(1, 0)), 0);
    assert_int_equal(pthread_barrier_destroy(&barrier), 0);
}

static int fail_in_turn(struct pool *pool, void *data) {
    _free_ struct task *task = data;
    for (unsigned i = 0; task->depth && i < 2; i++)
        assert_int_equal(pool_add(pool, make(0, i)), 0);
    if (task->depth)
        return 0;
    static atomic_int failures;
    (void)pthread_barrier_wait(&barrier);
    return failures++ % 2 ? -EINTR : -ENOSPC;
}

static void two_errors_at_once_give_one_of_them(void **state) {
    (void)state;
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
    for (int i = 0; i < 200; i++) {
        int r = pool_run(2, fail_in_turn, drop, make(1, 0));
        assert_true(r == -EINTR || r == -ENOSPC);
    }
    assert_int_equal(pthread_barrier_destroy(&barrier), 0);
}

static int add_and_fail(struct pool *pool, void *data) {
    free(data);
    ran++;
    assert_int_equal(pool_add(pool, make(0, 1)), 0);
    return -EPERM;
}

static void a_task_added_by_the_one_that_fails_is_dropped(void **state) {
    (void)state;
    assert_int_equal(pool_run(1, add_and_fail, drop, make(0, 0)), -EPERM);
    assert_int_equal(ran, 1);
    assert_int_equal(dropped, 1);
}

static int look_at_mask(struct pool *pool, void *data) {
    sigset_t mask;
    if (pthread_sigmask(SIG_SETMASK, NULL, &mask) != 0)
        abort();
    if (sigismember(&mask, SIGINT) != (is_caller ? 0 : 1) || sigismember(&mask, SIGBUS) != 0)
        abort();
    return meet(pool, data);
}

static void signals_go_to_the_caller(void **state) {
    (void)state;
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 4), 0);
    assert_int_equal(pool_run(4, look_at_mask, drop, make(1, 0)), 0);
    assert_int_equal(pthread_barrier_destroy(&barrier), 0);
}

static int run_inner(struct pool *pool, void *data) {
    (void)pool;
    return pool_run(2, grow_tree, drop, data);
}

static void a_task_may_run_a_pool_of_its_own(void **state) {
    (void)state;
    assert_int_equal(pool_run(2, run_inner, drop, make(3, 0)), 0);
    assert_int_equal(ran, 85);
}

static void the_default_is_between_two_and_sixteen(void **state) {
    (void)state;
    assert_in_range(pool_threads_default(), 2, 16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(everything_that_was_added_runs_once, setup),
        cmocka_unit_test_setup(the_first_error_ends_the_run_and_drops_the_rest, setup),
        cmocka_unit_test_setup(the_last_added_runs_first, setup),
        cmocka_unit_test_setup(one_thread_is_the_calling_one, setup),
        cmocka_unit_test_setup(as_many_tasks_run_at_once_as_there_are_threads, setup),
        cmocka_unit_test_setup(two_errors_at_once_give_one_of_them, setup),
        cmocka_unit_test_setup(a_task_added_by_the_one_that_fails_is_dropped, setup),
        cmocka_unit_test_setup(signals_go_to_the_caller, setup),
        cmocka_unit_test_setup(a_task_may_run_a_pool_of_its_own, setup),
        cmocka_unit_test_setup(the_default_is_between_two_and_sixteen, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
