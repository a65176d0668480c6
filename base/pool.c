/* Threads that work off one stack of tasks.
 * Knows nothing of what a task is; cancels nothing that already runs. SPDX-License-Identifier: GPL-2.0-or-later */
#include "pool.h"

#include "cleanup.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

struct pool {
    pool_fn fn;
    pthread_mutex_t lock;      /* protects what follows */
    pthread_cond_t changed;    /* a task came, or the end */
    void **tasks;
    size_t count, room;
    unsigned running, waiting; /* threads in fn, threads in wait */
    int failed;                /* the first error */
};

enum { FIRST_ROOM = 64, THREADS_MIN = 2, THREADS_MAX = 16 };

/* A mutex that cannot be locked is a broken program, not a condition to handle. */
static void must(int error) {
    if (error)
        abort();
}

static void lock_pool(struct pool *pool) {
    must(pthread_mutex_lock(&pool->lock));
}

static void unlock_pool(struct pool *pool) {
    must(pthread_mutex_unlock(&pool->lock));
}

/* SNAPCTL_THREADS, if it is a number that makes sense; 0 = not asked for. */
static unsigned threads_asked(void) {
    const char *text = getenv("SNAPCTL_THREADS");
    char *end = NULL;
    unsigned long count = text && *text ? strtoul(text, &end, 10) : 0;
    return end && !*end && count <= 4 * THREADS_MAX ? (unsigned)count : 0;
}

unsigned pool_threads_default(void) {
    unsigned asked = threads_asked();
    if (asked)
        return asked;
    cpu_set_t set;
    long count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
    count = MIN(count, (long)THREADS_MAX);
    return (unsigned)MAX(count, (long)THREADS_MIN);
}

static int push(struct pool *pool, void *task) {
    if (pool->count == pool->room) {
        void **tasks = reallocarray(pool->tasks, pool->room * 2, sizeof(*tasks));
        if (!tasks)
            return -ENOMEM;
        pool->tasks = tasks;
        pool->room *= 2;
    }
    pool->tasks[pool->count++] = task;
    return 0;
}

int pool_add(struct pool *pool, void *task) {
    lock_pool(pool);
    int r = push(pool, task);
    if (r == 0 && pool->waiting > 0)
        must(pthread_cond_signal(&pool->changed));
    unlock_pool(pool);
    return r;
}

/* Waits for a task; false: nothing is left and nobody can add more, or somebody failed. */
static bool await_task(struct pool *pool) {
    while (!pool->failed && pool->count == 0 && pool->running > 0) {
        pool->waiting++;
        must(pthread_cond_wait(&pool->changed, &pool->lock));
        pool->waiting--;
    }
    return !pool->failed && pool->count > 0;
}

static void run_one(struct pool *pool) {
    void *task = pool->tasks[--pool->count];
    pool->running++;
    unlock_pool(pool);
    int r = pool->fn(pool, task);
    lock_pool(pool);
    pool->running--;
    if (r < 0 && !pool->failed)
        pool->failed = r;
}

static void *work(void *data) {
    struct pool *pool = data;
    lock_pool(pool);
    while (await_task(pool))
        run_one(pool);
    /* who sees the end first tells the others */
    must(pthread_cond_broadcast(&pool->changed));
    unlock_pool(pool);
    return NULL;
}

/* Signals are for the thread that called us: a helper would only see its system calls cut short. What a thread
 * does to itself stays open, a handler may want it. */
static void helper_signals(sigset_t *ret) {
    sigfillset(ret);
    sigdelset(ret, SIGBUS);
    sigdelset(ret, SIGFPE);
    sigdelset(ret, SIGILL);
    sigdelset(ret, SIGSEGV);
}

/* As many as the system gives; fewer are slower, not wrong. */
static unsigned start_helpers(struct pool *pool, pthread_t *threads, unsigned count) {
    sigset_t blocked, saved;
    helper_signals(&blocked);
    must(pthread_sigmask(SIG_SETMASK, &blocked, &saved));
    unsigned started = 0;
    while (started < count && pthread_create(&threads[started], NULL, work, pool) == 0)
        started++;
    must(pthread_sigmask(SIG_SETMASK, &saved, NULL));
    return started;
}

static void drop_rest(struct pool *pool, pool_drop_fn drop) {
    while (pool->count > 0)
        drop(pool->tasks[--pool->count]);
}

int pool_run(unsigned threads, pool_fn fn, pool_drop_fn drop, void *first) {
    unsigned helpers = MAX(threads, 1u) - 1;
    _free_ pthread_t *ids = calloc(MAX(helpers, 1u), sizeof(*ids));
    struct pool pool = {
        .fn = fn, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER,
        .tasks = calloc(FIRST_ROOM, sizeof(void *)), .room = FIRST_ROOM,
    };
    if (!ids || !pool.tasks) {
        free(pool.tasks);
        drop(first);
        return -ENOMEM;
    }
    pool.tasks[pool.count++] = first;

    unsigned started = start_helpers(&pool, ids, helpers);
    work(&pool);
    for (unsigned i = 0; i < started; i++)
        must(pthread_join(ids[i], NULL));

    drop_rest(&pool, drop);
    free(pool.tasks);
    must(pthread_cond_destroy(&pool.changed));
    must(pthread_mutex_destroy(&pool.lock));
    return pool.failed;
}
