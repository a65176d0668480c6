/* A pool of threads and a stack of tasks: last in, first out, so that a walk stays depth-first and memory small.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

struct pool;
typedef int (*pool_fn)(struct pool *pool, void *task);   /* owns `task`; a negative errno stops the pool */
typedef void (*pool_drop_fn)(void *task);                 /* frees a task that will not run */

unsigned pool_threads_default(void);                      /* SNAPCTL_THREADS, else from the processors we may use: 2 to 16 */
/* Runs `first` and all that it adds; returns when nothing is left, or the first error. threads >= 1: with 1 all runs
 * in the calling thread. */
int pool_run(unsigned threads, pool_fn fn, pool_drop_fn drop, void *first);
int pool_add(struct pool *pool, void *task);              /* from inside a task; -ENOMEM (then the task is still the caller's) */
