/* What differs between the project and its live index, found by fingerprints, in parallel, read only where they differ.
 * `status` and `diff` scan to look; `take` scans to capture: then changed content is copied into the layer being built as
 * it is found. Knows nothing of snapshots other than the objects that the live index names.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "index.h"
#include "project.h"

/* The project's present as differences from the newest entries of its line. Keys are (directory identity, name); a
 * directory that no snapshot has seen has an identity too, from the next free ids. */
struct delta_entry {
    int64_t dir;
    const char *name;
    struct object *after;                 /* NULL: nothing of that name (of a directory: and nothing below it, unless it lives elsewhere now) */
};
struct scan;
/* Reads only; needs no lock. Failed paths are told as notices. */
int scan_look(struct snap_project *project, struct scan **ret, struct snap_err *err);
struct scan *scan_free(struct scan *scan);
DEFINE_CLEANUP(struct scan *, scan_free)
#define _scan_ _cleanup_(scan_freep)
const struct delta_entry *scan_find(const struct scan *scan, int64_t dir, const char *name);     /* NULL: as in the newest entries */
struct point scan_ground(const struct scan *scan);                   /* the tree over which the delta lies */
/* for (struct scan_iter i = {0}; scan_next(scan, &i);) ... i.entry */
struct scan_iter { size_t at; const struct delta_entry *entry; };
int scan_next(const struct scan *scan, struct scan_iter *iter);
/* Where a directory lies in the project now: 0 not there, 1 found; path from the root. */
int scan_dir_path(const struct scan *scan, int64_t dir, struct buf *ret);
/* True: this directory is in the project now (perhaps moved), so its contents are not gone with its old name. */
bool scan_has_dir(const struct scan *scan, int64_t dir);
