/* Operations: every mutating command as a row, so that it can be undone, redone and finished after a crash.
 * Knows states and the order of undo, not how anything is done. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "store.h"

struct op {
    int64_t id;
    char *kind;                /* init take import tag rollback restore apply rm prune gc undo redo, workspace add, workspace remove */
    char *state;               /* begun done undone failed freed */
    struct timespec created;
    char *command;             /* what the user typed */
    int64_t before, after;     /* snapshots: the state it started from, the one it made; 0 = none */
    int64_t target;            /* undo, redo: the operation meant; tag: the snapshot; take, rollback: the workspace, 0 = the project; else the workspace */
    char *old_text, *new_text; /* tag, workspace: names; restore: where the displaced tree is kept, the destination; else NULL */
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
/* The first of state begun behind operation `after`: 0 none, 1 found. One cheap query. */
int op_unfinished(struct store *store, int64_t after, struct op **ret, struct snap_err *err);
/* The paths it is limited to, NULL-terminated, freed by op_paths_free; NULL = none. */
int op_paths(struct store *store, int64_t id, char ***ret, struct snap_err *err);
char **op_paths_free(char **paths);                     /* accepts NULL, returns NULL */
DEFINE_CLEANUP(char **, op_paths_free)
#define _op_paths_ _cleanup_(op_paths_freep)
typedef int (*op_fn)(void *data, const struct op *op);                                          /* > 0 ends */
int op_list(struct store *store, op_fn fn, void *data, struct snap_err *err);                   /* newest first */
/* The newest rollback, restore, tag, rm or prune that is done and not undone, for who is in a workspace or (0) in the project; 0 none,
 * 1 found. */
int op_undo_candidate(struct store *store, int64_t workspace, struct op **ret, struct snap_err *err);
/* The operation that the next redo brings back: undone, and nothing but takes and undos came after; 0 none, 1 found. */
int op_redo_candidate(struct store *store, int64_t workspace, struct op **ret, struct snap_err *err);

/* Names that an operation puts outside work/ (EXDEV): paths of the project, removed by recovery. Committed before they are made. */
int op_add_temporary(struct store *store, int64_t id, const char *path, struct snap_err *err);
int op_temporaries(struct store *store, int64_t id, char ***ret, struct snap_err *err);          /* as op_paths */
int op_clear_temporaries(struct store *store, int64_t id, struct snap_err *err);

/* What an operation left of an entry where not all was permitted that the snapshot says. In the transaction of the operation. */
struct meta;
int op_add_left(struct store *store, int64_t id, int64_t dir, const char *name, const struct meta *meta, struct snap_err *err);
/* The snapshot that an apply which is not undone named as all of this workspace, the newest; 0 = none. */
int64_t op_applied(struct store *store, int64_t workspace, struct snap_err *err);
/* The last that went to where `target` went or came from: `target`, or an undo or redo of it. 0 = none left anything. */
int64_t op_that_left(struct store *store, int64_t target, struct snap_err *err);
/* 1 = it left that: its mode, owner, time and xattrs are put into *meta; 0 = what the snapshot says. */
int op_left(struct store *store, int64_t id, int64_t dir, const char *name, struct meta *meta, struct snap_err *err);

/* The snapshots that an rm or prune hid, with the names that they had ("" = none). In the transaction of the operation. */
int op_add_snapshot(struct store *store, int64_t id, int64_t snapshot, const char *name, struct snap_err *err);
typedef int (*op_snapshot_fn)(void *data, int64_t snapshot, const char *name);                  /* fn may query */
int op_snapshots(struct store *store, int64_t id, op_snapshot_fn fn, void *data, struct snap_err *err);    /* ascending */
/* The operation that hid a snapshot and is not undone; 0 = none, or a negative errno. */
int64_t op_that_hid(struct store *store, int64_t snapshot, struct snap_err *err);
/* Operations that need one of these snapshots (ascending), which are no longer there, become `freed`; *ret: how many could
 * have been undone or redone. An rm or prune needs any one of its own. */
int op_expire(struct store *store, const int64_t *snapshots, size_t count, uint64_t *ret, struct snap_err *err);
/* Of the last `count` operations (a gc is none) and of those since a time: all snapshots that they speak of, handed to fn. */
typedef int (*op_held_fn)(void *data, int64_t snapshot);
int op_held(struct store *store, uint64_t count, int64_t since, op_held_fn fn, void *data, struct snap_err *err);
/* Restores, and undos of them, before that which keep something in the store: its name below the store. They become freed. */
typedef int (*op_kept_fn)(void *data, const char *path);
int op_expire_restores(struct store *store, uint64_t count, int64_t since, op_kept_fn fn, void *data, uint64_t *ret, struct snap_err *err);
