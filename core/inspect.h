/* Whether an entry still is what the index says it is. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "index.h"
#include "live.h"

struct statx;

enum inspected { INSPECT_ABSENT = 0, INSPECT_SAME, INSPECT_OTHER };
/* Whether `name` is what the object says: by its fingerprint if `known` (NULL allowed, or its name NULL) speaks of the same
 * object and can be trusted, else by metadata and content. Directories: by type and inode alone. *ret_stat and *ret_sure
 * (whether the fingerprint sufficed) may be NULL. enum inspected or a negative errno. */
int inspect_entry(int dirfd, const char *name, const struct object *object, const struct live_entry *known,
                  struct statx *ret_stat, bool *ret_sure);
/* The same by metadata and content alone, but for the differences `ignored` (SNAP_WHAT_*). 1, 0 or a negative errno. */
int inspect_compare(int dirfd, const char *name, const struct object *object, unsigned ignored);
/* Type, content, target and device alone. */
int inspect_content(int dirfd, const char *name, const struct object *object);
/* The same inode in the same state, but for what a rename changes. */
bool inspect_stayed(const struct statx *before, const struct statx *after);
/* Whether somebody has this regular file open for writing; false also where that cannot be known. */
bool inspect_is_written(int dirfd, const char *name);
