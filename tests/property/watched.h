/* A watcher beside the random histories: started, stopped and killed now and then, held up so that it hears of a batch when it is over,
 * overrun; directories leave the project and come back. Without WATCH in the environment there is none, and nothing of this happens.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "model.h"

struct watched {
    struct model *model;
    const char *backend;       /* NULL: nobody watches */
    int away;                  /* where directories go, beside the project */
    pid_t pid;                 /* of the watcher that is held up; 0: none is */
};
bool watched_begin(struct watched *ret, struct model *model);
bool watched_mind(struct watched *watched);                         /* starts one, or perhaps stops or kills the one that runs */
bool watched_batch(struct watched *watched, unsigned steps);        /* so many operations */
pid_t watched_pid(struct watched *watched);                         /* of the one that runs; 0: none does */
bool watched_end(struct watched *watched);
