/* Directories of one tree, held by descriptor: no path is ever longer than one name, no component is a symlink.
 *
 * A `struct dir` is a node: parent and name. Its descriptor is opened when first pinned, relative to the nearest
 * ancestor, and stays in a bounded cache afterwards; a node that was evicted is opened again the same way, and must
 * then be the same inode (else -ESTALE: it was replaced meanwhile). Thread-safe; one mutex a tree.
 * Deep chains cost no recursion. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include "err.h"

struct dirs;
struct dir;

int dirs_open(int rootfd, unsigned budget, struct dirs **ret);   /* duplicates rootfd; budget: open descriptors kept, >= 8 */
struct dirs *dirs_close(struct dirs *dirs);                      /* every node but the root must have been released */
DEFINE_CLEANUP(struct dirs *, dirs_close)
#define _dirs_ _cleanup_(dirs_closep)
struct dir *dirs_root(struct dirs *dirs);                        /* borrowed */

struct dir *dir_child(struct dir *parent, const char *name);     /* new reference, nothing opened; NULL: no memory */
struct dir *dir_ref(struct dir *dir);
struct dir *dir_unref(struct dir *dir);                          /* accepts NULL, returns NULL */
DEFINE_CLEANUP(struct dir *, dir_unref)
#define _dir_ _cleanup_(dir_unrefp)
struct dir *dir_parent(const struct dir *dir);                   /* borrowed; NULL: the root */
const char *dir_name(const struct dir *dir);                     /* "" for the root */

/* The descriptor (O_RDONLY|O_DIRECTORY where permitted, else O_PATH), valid until dir_unpin. Negative errno on failure. */
int dir_pin(struct dir *dir);
void dir_unpin(struct dir *dir);
struct dir_pinned { struct dir *dir; int fd; };
static inline void dir_unpin_pinned(struct dir_pinned *pinned) { if (pinned->dir && pinned->fd >= 0) dir_unpin(pinned->dir); }
/* _pinned_ struct dir_pinned at = dir_pinned(dir); if (at.fd < 0) ... */
#define _pinned_ _cleanup_(dir_unpin_pinned)
static inline struct dir_pinned dir_pinned(struct dir *dir) { return (struct dir_pinned){ .dir = dir, .fd = dir_pin(dir) }; }

/* Path from the root ("" for the root), optionally with a name appended, for messages. */
void dir_path(const struct dir *dir, const char *name_or_null, struct buf *out);
/* mkdir(0700) in the tree if it is not there; pins nothing. 1 = made, 0 = was there, negative errno. */
int dir_make(struct dir *dir);
/* Forgets the descriptor: the directory was moved or removed on purpose. */
void dir_forget(struct dir *dir);
/* It was renamed to `name` in `parent`, a directory of the same tree, and keeps its descriptor; what is below it goes along.
 * `name` was allocated and is taken. Nobody else may pin it or what is below it, or ask for their paths, meanwhile. */
void dir_move(struct dir *dir, struct dir *parent, char *name);
