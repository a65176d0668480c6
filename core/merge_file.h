/* One file that both sides changed, made into one. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include "side.h"

enum { MERGE_TEXT_MAX = 1 << 20 };        /* bytes: a larger file is no text that is merged */

struct merge_sides { struct side base, ours, theirs; };
/* The workspace over its base, whose paths lead from `root`, -1 = what it has is in the store; the project over its newest entries, NULL = it is these. */
void merge_sides_init(struct merge_sides *sides, struct snap_project *project, const struct scan *theirs, int root, const struct scan *ours);
void merge_sides_done(struct merge_sides *sides);

struct merge_file {
    const struct object *base, *ours, *theirs;   /* NULL = nothing */
    int64_t dir;                          /* as the project knows it */
    const char *name;
    const char *path;                     /* in the workspace */
};
/* 1: *ret (without number and digest) and its bytes; 0: a conflict: no text, too large, of several names, or they contradict each other. */
int merge_file(struct merge_sides *sides, const struct merge_file *file, struct object **ret, struct buf *ret_bytes, struct snap_err *err);
