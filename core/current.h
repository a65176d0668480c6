/* What the current layer of a workspace changes, told as a scan: so whoever compares the project with a snapshot, or seals what
 * changed in it, can do the same with a workspace. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "scan.h"
#include "workspace.h"

/* Both read the layer and the index only. Content of what differs is digested, never copied. `root`: where the paths of the scan
 * lead (the workspace's mount, or its layer); duplicated. */
/* Over the snapshot that it stands on. New objects get numbers from `first` on, 0 = the next free ones. */
int current_look(struct snap_project *project, const struct workspace *workspace, int root, int64_t first, struct scan **ret, struct snap_err *err);
/* Over the newest snapshot of its line, or else what it stands on. */
int current_compare(struct snap_project *project, const struct workspace *workspace, int root, struct scan **ret, struct snap_err *err);
int current_compare_from(struct snap_project *project, const struct workspace *workspace, int root, int64_t first, struct scan **ret,
                         struct snap_err *err);       /* with `first` as above */

/* Over the same, with the bytes of what differs copied into the layer that is being built. A second capture with the same memory reads
 * only what changed since the first; so the first may be made while programs go on writing, and `loose`: what vanishes meanwhile is
 * passed over. What `ignore` (NULL: nothing) leaves out stays as it is below. Tells nothing, for who would be told may be held. The scan's rows are written by seal_live. */
struct ignore;
struct current_memory;
struct current_memory *current_memory_new(struct stage *stage);                   /* NULL: no memory */
struct current_memory *current_memory_free(struct current_memory *memory);
DEFINE_CLEANUP(struct current_memory *, current_memory_free)
#define _current_memory_ _cleanup_(current_memory_freep)
int current_capture(struct snap_project *project, const struct workspace *workspace, struct current_memory *memory, struct ignore *ignore,
                    bool loose, struct scan **ret, struct snap_err *err);
/* What a scan of a current layer keeps of it, in an open transaction. */
int current_keep(struct scan *scan, struct snap_err *err);
