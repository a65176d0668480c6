/* Random file operations in a directory, as programs and people make them.
 * Never leaves the directory; an operation that the file system refuses is simply not done. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "rng.h"

#include <stdio.h>
#include <sys/types.h>

struct place { char *path; mode_t type; };     /* type: S_IFMT bits */
struct held { void *map; size_t size; };

struct mutator {
    struct rng rng;
    int root;                  /* borrowed */
    int outside;               /* a directory beside it, to which others go and from which they come back; -1 = none; borrowed */
    bool privileged;
    struct place *places;      /* what the last look found, and what was made since */
    size_t count, room;
    struct held held[2];       /* shared mappings that stay open over snapshots */
    void (*linked)(void *data);    /* called after an inode got another name; NULL = nobody wants to know */
    void *data;
    FILE *log;                 /* what was done, a line each; may be NULL */
    uint64_t done, refused;
};
void mutate_init(struct mutator *ret, int root, uint64_t seed, bool privileged, FILE *log);
void mutate_done(struct mutator *mutator);
void mutate_look(struct mutator *mutator);             /* reads anew what is there */
void mutate_step(struct mutator *mutator);             /* one operation */
void mutate_let_go(struct mutator *mutator);           /* unmaps what is held */
