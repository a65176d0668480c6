/* A sandbox with a project in it, what its snapshots must show, and the scenes in which commands are cut short.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "listing.h"
#include "run.h"

enum { KEPT_MAX = 16, WORDS_MAX = 12 };

struct kept { int64_t number; struct listing *listing; };
struct state { struct listing *project, *out; };       /* what a command can change beside its store */
struct world {
    struct box box;
    struct kept kept[KEPT_MAX];
    size_t count;
    FILE *report;              /* what is wrong goes here */
};

struct scene {
    const char *name;
    void (*prepare)(struct world *world);
    const char *words[WORDS_MAX];      /* the command; OUT/ at the start of a word is the sandbox's `out` */
    bool no_project;           /* none before the command */
    bool again;                /* cut short, it has to be run again before others can work */
    bool undoable;             /* undo leads back to the state before */
    bool sweeps;               /* also of interest to the test of power loss */
    const char *subvolumes[2]; /* of btrfs: the scene needs that, and their times may be the clock's, since work is done in them */
    bool mounts;               /* is prepared in a mount: the scene needs FUSE */
    bool repairs;              /* the store is damaged; what was cut short is gone on with by the same command */
    bool touches_root;         /* works in the project's root directory, whose time it may change even if nothing else happens */
};
extern const struct scene scenes[];                    /* a NULL name ends them */

int world_open(struct world *ret, const char *program, const char *parent, FILE *report);   /* 0, or -1 with errno */
void world_close(struct world *world);
/* Runs a command that must succeed; ends the test if it does not. */
void world_must(struct world *world, ...) __attribute__((sentinel));
/* Takes a snapshot, which the world remembers with a listing of the project. */
void world_take(struct world *world, const char *option);          /* NULL: none */
/* The scene's words with OUT replaced; the strings are the world's until the next call. */
char *const *world_words(struct world *world, const struct scene *scene);

struct state state_now(const struct world *world);                 /* ends the test if it cannot be listed */
void state_done(struct state *state);
/* times_of_some: directories of the project whose times may differ, may be NULL. */
unsigned state_differs(const struct state *want, const struct state *have, unsigned leave_out, const char *const *times_of_some, FILE *out);

bool world_say(struct world *world, const struct run *run, const char *format, ...) __attribute__((format(printf, 3, 4)));  /* returns false */
/* Nothing is left over: work/ empty, no temporary names, a layer for each snapshot and no other, a sound database, no operation
 * unfinished. Without a store: true. *ret_newer: the snapshots that are newer than those the world knows, 0-terminated. */
bool world_store_is_tidy(struct world *world, int64_t ret_newer[KEPT_MAX]);
bool world_is_foreign(struct world *world, int64_t number);          /* it was imported */
char *world_store(const struct world *world);          /* its path, to be freed; NULL: none */
bool world_restores(struct world *world, int64_t number, const struct listing *want);
bool world_all_restore(struct world *world);
/* SQL on the store's database; the first column of all rows, one a line. To be freed. NULL: failed, and said. */
char *world_sql(struct world *world, const char *sql);
void set_old_times(int dirfd, const char *name, time_t base);      /* of all that was touched lately */
