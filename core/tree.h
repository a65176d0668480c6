/* Walking the tree of a snapshot, and what a person calls a place in it. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "catalog.h"

/* SNAP or SNAP:PATH. *ret_path: the path from the root without superfluous slashes, "" for the root; the caller frees it. */
int tree_spec(struct snap_project *project, const char *spec, struct snapshot **ret, char **ret_path, struct snap_err *err);
/* -ENOENT with "snapshot 3 has no 'x'". *ret_dir and *ret_name, where it hangs, may be NULL. */
int tree_find(struct snap_project *project, const struct snapshot *snapshot, const char *path, int64_t *ret_dir, char **ret_name,
              struct object **ret, struct snap_err *err);

struct tree_node {
    int64_t dir;                          /* key: directory identity and name */
    const char *name;
    const char *path;                     /* as the walk's start path says, then names; NULL if that was NULL */
    const struct object *object;
};
typedef int (*tree_fn)(void *data, const struct tree_node *node);
/* Everything in the directory `dir`, names in byte order; with `recursive` depth first, a directory before what is in it.
 * No recursion of the program, whatever the depth. `path` is what goes before the names: "" for the root, NULL = paths
 * are not wanted, which saves making them. fn: negative errno ends the walk, TREE_SKIP does not enter this directory. */
enum { TREE_SKIP = 1 };
int tree_walk(struct store *store, struct point at, int64_t dir, const char *path, bool recursive,
              tree_fn fn, void *data, struct snap_err *err);

struct object *tree_object_copy(const struct object *object);            /* NULL: no memory */
/* The public row of an object; strings are borrowed; links 0. */
void tree_entry(const struct object *object, struct snap_entry *ret);
/* "FIRST/NAME", or NAME where FIRST is "". */
void tree_join(struct buf *out, const char *first, const char *name);
