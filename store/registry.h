/* Which project has its store where: one line a project in STATE/projects, replaced as a whole under a lock.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "err.h"
#include <stdbool.h>
#include <sys/types.h>

/* $XDG_STATE_HOME/snapctl or ~/.local/state/snapctl of the caller; for another uid its home directory's. The caller frees. */
int registry_state_dir(uid_t uid, char **ret, struct snap_err *err);

enum registry_found {
    REGISTRY_NONE = 0,
    REGISTRY_SAME,             /* path and identity are those of the row */
    REGISTRY_ALIAS,            /* the same directory by another path (bind mount) */
    REGISTRY_MOVED,            /* the directory was renamed: identity is the row's, nothing or another directory at the old path */
    REGISTRY_REPLACED,         /* at the row's path there is another directory now */
};
struct registration { char *path, *identity, *store; };
void registration_done(struct registration *registration);
/* Returns enum registry_found and the row, or a negative errno. */
int registry_find(const char *state, const char *path, const char *identity, struct registration *ret, struct snap_err *err);
/* The row of a store: 0 absent, 1 found. */
int registry_find_store(const char *state, const char *store, struct registration *ret, struct snap_err *err);
/* Replaces the row of the same store, and of the same directory. */
int registry_put(const char *state, const struct registration *registration, struct snap_err *err);
/* For finding and putting as one step: a descriptor that holds the registry's lock until it is closed; makes STATE. */
int registry_lock(const char *state, struct snap_err *err);
int registry_put_locked(const char *state, const struct registration *registration, struct snap_err *err);
/* Innermost registered directory at or above `path` (absolute, no symlinks): enum registry_found; *ret_root is the path found.
 * Opens each ancestor once; the registry is read once. */
int registry_walk_up(const char *state, const char *path, char **ret_root, struct registration *ret, struct snap_err *err);
/* The same where one row is all that counts: that of a store named explicitly. */
int registry_walk_up_to(const struct registration *row, const char *path, char **ret_root, struct snap_err *err);
