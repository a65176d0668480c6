/* Entries of snapshots made anew as files, outside of what anybody sees yet. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"

/* Makes `name` in dirfd: a file with its content, a symlink, a fifo, a socket, a device; whole, with its metadata; not a
 * directory. Adds to *bytes what was written. *ret_missing: SNAP_WHAT_* of what is not permitted here. On failure what was
 * begun may be there. err is filled where the index or the store failed; the code says what to think of it. */
int build_entry(struct snap_project *project, int dirfd, const char *name, const struct object *object, uint64_t *bytes,
                unsigned *ret_missing, struct snap_err *err);
/* The failure is about this entry: a privilege that is missing, content that is damaged; others can be made. */
bool build_is_about_entry(int code);
/* "owner, mode": SNAP_WHAT_* as words. */
void build_missing_words(unsigned missing, struct buf *out);

struct build_result { uint64_t entries, bytes; };
/* The object that is at (dir, name) in a tree, with all below it, as `as` in dirfd. Paths of messages begin with `path`.
 * What cannot be made is told and left out. */
int build_tree(struct snap_project *project, struct point at, const struct object *object, const char *path, int dirfd, const char *as,
               struct build_result *ret, struct snap_err *err);
/* Tells as conflicts what, in `as` in dirfd, is not as build_tree leaves it; *ret_conflicts: how many. */
int build_check(struct snap_project *project, struct point at, const struct object *object, const char *path, int dirfd, const char *as,
                uint64_t *ret_conflicts, struct snap_err *err);
