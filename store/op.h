/* Operations: every mutating command as a row, so that it can be undone, redone and finished after a crash.
 * Knows states and the order of undo, not how anything is done. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "store.h"

struct op {
    int64_t id;
    char *kind;                /* init take import tag rollback restore undo redo */
    char *state;               /* begun done undone failed */
    struct timespec created;
    char *command;             /* what the user typed */
    int64_t before, after;     /* snapshots: the state it started from, the one it made; 0 = none */
    int64_t target;            /* undo, redo: the operation meant; tag: the snapshot */
    char *old_text, *new_text; /* tag: names; restore: where the displaced tree is kept, the destination; else NULL */
};
struct op *op_free(struct op *op);
DEFINE_CLEANUP(struct op *, op_free)
#define _op_ _cleanup_(op_freep)

/* Each in an open transaction. op_begin fills op->id, and op->created if it is 0; `state` as given. Paths: those it is limited
 * to, none = everything. */
int op_begin(struct store *store, struct op *op, const char *const *paths, struct snap_err *err);
int op_set_state(struct store *store, int64_t id, const char *state, struct snap_err *err);
int op_set_texts(struct store *store, int64_t id, const char *old_text, const char *new_text, struct snap_err *err);

int op_get(struct store *store, int64_t id, struct op **ret, struct snap_err *err);             /* 0 absent, 1 found */
int op_unfinished(struct store *store, struct op **ret, struct snap_err *err);                  /* state begun: 0 none, 1 found. One cheap query */
/* The paths it is limited to, NULL-terminated, freed by op_paths_free; NULL = none. */
int op_paths(struct store *store, int64_t id, char ***ret, struct snap_err *err);
char **op_paths_free(char **paths);                     /* accepts NULL, returns NULL */
DEFINE_CLEANUP(char **, op_paths_free)
#define _op_paths_ _cleanup_(op_paths_freep)
typedef int (*op_fn)(void *data, const struct op *op);                                          /* > 0 ends */
int op_list(struct store *store, op_fn fn, void *data, struct snap_err *err);                   /* newest first */
/* The newest rollback, restore or tag that is done and not undone; 0 none, 1 found. */
int op_undo_candidate(struct store *store, struct op **ret, struct snap_err *err);
/* The operation that the next redo brings back: undone, and nothing but takes and undos came after; 0 none, 1 found. */
int op_redo_candidate(struct store *store, struct op **ret, struct snap_err *err);

/* Names that an operation puts outside work/ (EXDEV): paths of the project, removed by recovery. Committed before they are made. */
int op_add_temporary(struct store *store, int64_t id, const char *path, struct snap_err *err);
int op_temporaries(struct store *store, int64_t id, char ***ret, struct snap_err *err);          /* as op_paths */
int op_clear_temporaries(struct store *store, int64_t id, struct snap_err *err);
