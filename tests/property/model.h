/* What the program must show, kept in memory beside it: a listing for each snapshot and the project's present.
 * Knows the promises, not how they are kept. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "listing.h"
#include "mutate.h"
#include "run.h"

struct kept {
    int64_t number;
    bool automatic;            /* latest passes over it */
    bool foreign;              /* imported: gc leaves it alone */
    struct listing *listing;
};

struct model {
    struct box box;
    struct mutator mutator;
    struct rng rng;
    const char *who;           /* "root" or "ordinary user" */
    uint64_t seed, checks;
    struct kept *kept;         /* in the order of their numbers */
    size_t count, room;
    char *log;                 /* what was done since the last snapshot, and all commands */
    size_t log_size;
    FILE *log_file;
};
int model_open(struct model *ret, const char *program, const char *who, uint64_t seed, bool privileged);
void model_done(struct model *model, bool keep_files);

/* Each says what is wrong, with the seed and what was done, and returns false; true: as it should be. */
bool model_fail(struct model *model, const struct run *run, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The project equals `want`. */
bool model_project_is(struct model *model, const struct listing *want, unsigned leave_out, const char *const *times_of_some, const char *after);
bool model_tree_is(struct model *model, const char *path, const struct listing *want, unsigned leave_out, const char *after);
struct listing *model_now(struct model *model);        /* NULL: failed and said */
bool model_keep(struct model *model, int64_t number, bool automatic, struct listing *listing);   /* owns it */
void model_drop(struct model *model, int64_t number);                /* it was removed */
struct kept *model_newest(const struct model *model);  /* not automatic; NULL: none */
struct kept *model_any(struct model *model);           /* at random, automatic ones too; NULL: none */
struct kept *model_numbered(const struct model *model, int64_t number);

/* The letter that diff shows for a path; 0: none. *ret_may_miss: it differs in its links alone. */
char model_letter(const struct listing *a, const struct listing *b, const char *path, bool *ret_may_miss);
/* Rows as `diff -z --no-renames` writes them agree with the two listings. */
bool model_rows_agree(struct model *model, const struct run *run, const struct listing *a, const struct listing *b, const char *what);
/* Entries as `--json ls -R` writes them agree. */
bool model_list_agrees(struct model *model, const struct run *run, const struct listing *want, const char *what);
/* Runs a command and logs it. */
void model_run(struct model *model, struct run *ret, ...) __attribute__((sentinel));
