/* Foreign libraries that most commands do without, loaded when first needed, so that the others do not pay for them.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "err.h"
#include <pthread.h>

struct library {
    const char *name, *soname;
    const char *const *symbols;
    size_t count;              /* of symbols */
    void *table;               /* pointers in the order of `symbols` */
    bool (*start)(void);       /* called once it is loaded; false: it does not start. May be NULL */
    pthread_mutex_t lock;
    bool tried;
    char missing[256];         /* why it cannot be used; "" = it can */
};
#define LIBRARY(its_name, its_soname, its_symbols, its_table, its_start) { \
    .name = its_name, .soname = its_soname, .symbols = its_symbols, .count = sizeof(its_symbols) / sizeof(*(its_symbols)), \
    .table = its_table, .start = its_start, .lock = PTHREAD_MUTEX_INITIALIZER }

/* Fills the table, once a process; never unloaded; thread-safe. -ENOSYS and a sentence if the library, or a single one of
 * its symbols, is not here. */
int library_load(struct library *library, struct snap_err *err);
