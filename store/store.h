/* A store on disk: its directory, its database connection, its lock, its work area.
 * Knows nothing of projects, scanning or overlays; does not decide where a store lies (place.h).
 *
 *     STORE/store.db  layers/<id>/{tree,manifest}  held/<operation>  work/  run/lock
 *
 * Only the holder of the store lock writes. Readers open at any time and see the last commit.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "cleanup.h"
#include "err.h"
#include <stdbool.h>

struct store;

/* Makes the directory (0700), its folders and the database; fails if a database is there. Not locked. */
int store_create(const char *path, struct snap_err *err);
/* Opens an existing store; -ENOENT if there is none. A newer schema is refused, an older one migrated under the lock.
 * The directory must be ours (owner, mode 0700, no symlink), else -EPERM with a sentence. */
int store_open(const char *path, struct store **ret, struct snap_err *err);
/* The same directories with an index of its own, empty, which nobody else sees and which ends with it. Not locked;
 * outlived by `store`. */
int store_open_apart(struct store *store, struct store **ret, struct snap_err *err);
/* The same as store_open, but a database that is missing or damaged is no failure: then there is none, store_damage says why, and
 * nothing that asks it may be called. With `make`, folders that are missing are made. */
int store_open_damaged(const char *path, bool make, struct store **ret, struct snap_err *err);
/* Closes the database, and opens the one that is there: for who puts another in its place. */
void store_forget_database(struct store *store);
int store_reopen_database(struct store *store, struct snap_err *err);
const char *store_damage(const struct store *store);     /* NULL: it has a database */
struct store *store_close(struct store *store);          /* accepts NULL; gives the lock back */
DEFINE_CLEANUP(struct store *, store_close)

enum store_lock { STORE_LOCK_TRY = 0, STORE_LOCK_WAIT = 1 };
/* 0 = held now (or already). -EBUSY, SNAP_FAILURE_LOCKED with the holder's pid and command. With WAIT: waits; -ECANCELED
 * once *cancel is set. `command` is written into the lock file for the next one who fails. */
int store_lock(struct store *store, enum store_lock how, const char *command, const volatile sig_atomic_t *cancel, struct snap_err *err);
bool store_locked(const struct store *store);            /* by us */
bool store_is_idle(struct store *store);                 /* nobody holds the lock now */
int64_t store_version(struct store *store);              /* differs once another command has committed */

const char *store_path(const struct store *store);
int store_fd(const struct store *store);                 /* descriptors of the directory and its folders; borrowed */
int store_layers_fd(const struct store *store);
int store_work_fd(const struct store *store);
int store_run_fd(const struct store *store);

/* Transactions; need the lock. They do not nest. durable: on disk when it returns (WAL fsync), else survives any kill. */
int store_begin(struct store *store, struct snap_err *err);
int store_commit(struct store *store, bool durable, struct snap_err *err);     /* failed = rolled back */
void store_abort(struct store *store);                   /* nothing if none is open */
/* What is read between the two is all of one commit, and costs less; needs no lock, and holds nobody. Not with a transaction. */
int store_read_begin(struct store *store, struct snap_err *err);
void store_read_end(struct store *store);                /* nothing if none has begun */
/* Everything written below the store's file system before now is on disk when it returns (syncfs). */
int store_flush(struct store *store, struct snap_err *err);

/* Small facts about the store, in table meta. The caller frees *ret; 0 = absent, 1 = found. */
int store_fact(struct store *store, const char *key, char **ret, struct snap_err *err);
int store_set_fact(struct store *store, const char *key, const char *value_or_null, struct snap_err *err);

/* Recovery of what lies in files: empties work/, removes a layer that no snapshot names, and drops, with every later one,
 * a snapshot that was never flushed if the machine went down since and its layer is not whole. Needs the lock.
 * Unfinished operations come first: they may still need work/ (core does that). Each thing done is told through `told`. */
int store_recovery_needed(struct store *store, struct snap_err *err);           /* 1 = yes, 0 = no; a few syscalls */
int store_recover(struct store *store, void (*told)(void *data, const char *text), void *data, struct snap_err *err);
/* A snapshot was committed without a flush / everything is flushed now. Inside the transaction. */
int store_mark_unsynced(struct store *store, struct snap_err *err);
int store_mark_synced(struct store *store, struct snap_err *err);
