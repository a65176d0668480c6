/* Workspaces: rows of what stands on what, and the directory in which each keeps its current layer.
 * Mounts nothing; names are shared with snapshots. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "store.h"
#include <time.h>

enum workspace_flags {
    WORKSPACE_REMOVED = 1,     /* waiting for gc; it has no name */
    WORKSPACE_OWN_DIR = 2,     /* its directory was made for it, and goes when it is mounted elsewhere or removed */
};
struct workspace {
    int64_t id, line;
    char *name;                /* NULL: removed */
    bool follow;               /* stands on the project as it is */
    int64_t base;              /* else on this snapshot; 0 = follow */
    char *dir;                 /* where it was mounted last, absolute */
    struct timespec created;
    unsigned flags;
};
struct workspace *workspace_free(struct workspace *workspace);
DEFINE_CLEANUP(struct workspace *, workspace_free)
#define _workspace_ _cleanup_(workspace_freep)

int workspace_named(struct store *store, const char *name, struct workspace **ret, struct snap_err *err);     /* 0 absent, 1 found */
int workspace_get(struct store *store, int64_t id, struct workspace **ret, struct snap_err *err);             /* also a removed one */
typedef int (*workspace_fn)(void *data, const struct workspace *workspace);    /* > 0 ends */
int workspace_list(struct store *store, workspace_fn fn, void *data, struct snap_err *err);     /* by name, removed ones left out */

/* Writing: under the lock, in a transaction. */
/* Fills id and line; the rest is given. -EEXIST: a workspace or snapshot has the name. */
int workspace_add(struct store *store, struct workspace *workspace, struct snap_err *err);
int workspace_set_dir(struct store *store, int64_t id, const char *dir, struct snap_err *err);      /* no longer one that was made for it */
int workspace_hide(struct store *store, int64_t id, struct snap_err *err);                      /* removed, nameless */
int workspace_show(struct store *store, int64_t id, const char *name, struct snap_err *err);    /* there again; -EEXIST */

int workspace_forget(struct store *store, int64_t id, struct snap_err *err);                    /* for good: its row, and its line if that has no snapshots */
int workspace_forget_lines(struct store *store, struct snap_err *err);                          /* those of no workspace, without any row left */

/* Forgets the removed ones whose removal is neither among the last `count` operations nor since then; `fn` gets the path below
 * the store of each, *ret how many they were. */
typedef int (*workspace_gone_fn)(void *data, const char *path);
int workspace_expire(struct store *store, uint64_t count, int64_t since, workspace_gone_fn fn, void *data, uint64_t *ret, struct snap_err *err);

/* After that was committed: its directory, with all that is in it. */
int workspace_unlink(struct store *store, int64_t id, struct snap_err *err);

/* Its directory, STORE/workspaces/<id>, made if it is not there, with upper/ and work/ in it. */
struct workspace_dirs { int at, upper, work; };          /* -1 = not open */
int workspace_open(struct store *store, int64_t id, struct workspace_dirs *ret, struct snap_err *err);
void workspace_close(struct workspace_dirs *dirs);
/* One process at a time serves it, until the descriptor `at` is closed: -EBUSY. */
int workspace_lock(const struct workspace_dirs *dirs);
int workspace_is_locked(struct store *store, int64_t id, struct snap_err *err);                 /* 1 = somebody serves it */
