/* Three-way, path by path: what a workspace changed in the snapshot that it stands on, and what the project became meanwhile.
 * Decides only; apply.c carries out. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include "scan.h"

enum merge_side { MERGE_NEITHER = 0, MERGE_OURS, MERGE_THEIRS };      /* who wins a conflict: the project, the workspace */

struct merge_row {                        /* what the project shall get */
    int64_t dir;                          /* where, as the project knows the directory */
    const char *name;
    const struct delta_entry *theirs;     /* theirs->dir: as the workspace knows it */
    struct object *base, *ours;           /* what is there in the base, and in the project; NULL = nothing */
    char *path;                           /* in the workspace */
    struct object *merged;                /* what the project gets instead of theirs->after: a file with these bytes; NULL = that */
    struct buf bytes;
};
static inline const struct object *merge_row_after(const struct merge_row *row) { return row->merged ? row->merged : row->theirs->after; }
struct merge_conflict {
    char kind[3];                         /* UU both changed it, DU the project deleted it, UD the workspace did, AA both added it */
    char *path;
};
struct merge {
    struct merge_row *rows;               /* a directory before what is in it */
    size_t count, room;
    struct merge_conflict *conflicts;
    size_t conflicts_count, conflicts_room;
};
void merge_done(struct merge *merge);
#define _merge_ _cleanup_(merge_done)

struct merge_options {
    const char *const *paths;             /* NULL-terminated, NULL = all; a path covers what is below it */
    enum merge_side prefer;
    int root;                             /* where the paths of `theirs` lead; -1: all that it has is in the store */
    bool texts;                           /* merge files that both changed, where they are text */
};
/* `theirs`: the workspace over its base. `ours`: the project over its newest entries, NULL = it is the newest entries. */
int merge_decide(struct snap_project *project, const struct scan *theirs, const struct scan *ours, const struct merge_options *options,
                 struct merge *ret, struct snap_err *err);
