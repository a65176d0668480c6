/* What differs between two trees, as rows with paths: two snapshots (from the index alone), or a snapshot and the project.
 * Renames of directories are known by identity, of files by object, digest or similar text.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "ignore.h"
#include "scan.h"

struct change_row {
    int64_t dir;                          /* key: of the new place, or of the old one where there is no new */
    char *name;
    char *path, *old_path;                /* old_path: renames, else NULL */
    struct object *before, *after;        /* NULL where there is none */
    char letter;
    unsigned what, similarity;
};
struct changes { struct change_row *rows; size_t count; };
void changes_done(struct changes *changes);
#define _changes_ _cleanup_(changes_done)

/* A row as callers of the library see it; strings are the row's. */
struct public_change { struct snap_change change; struct snap_entry before, after; };
void change_publish(const struct change_row *row, struct public_change *ret);

enum changes_flags {
    CHANGES_NO_RENAMES = 1,               /* a rename is D and A; a renamed directory is expanded */
    CHANGES_EXPAND = 2,                   /* a renamed directory becomes a rename of each file in it (patches) */
    CHANGES_TIMES = 4,                    /* rows whose only difference is mtime, letter 't' */
};
/* Whether one entry that was `before` and is `after` makes a row, without CHANGES_TIMES and names of the same inode elsewhere. */
bool changes_listed(const struct object *before, const struct object *after);
/* to: a point, or `scan` not NULL: the project as scanned. paths: NULL-terminated, NULL = all; a path covers what is below it. */
int changes_between(struct snap_project *project, struct point from, struct point to, struct scan *scan,
                    const char *const *paths, unsigned flags, struct changes *ret, struct snap_err *err);
