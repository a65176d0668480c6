/* One side of a comparison: a tree, whether a snapshot's or the project's as scanned, by directory identity.
 * Keeps the paths it was asked for and the places of directories above them, so that depth is not paid for twice.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "map.h"
#include "scan.h"

struct side {
    struct snap_project *project;
    struct point at;                      /* the project: its newest entries, over which the scan's delta lies */
    const struct scan *scan;              /* NULL: a snapshot */
    int root;                             /* where its paths lead, borrowed: the project's unless set otherwise */
    struct map *paths;                    /* directory identity -> char *, as asked for */
    struct map *places;                   /* directory identity -> struct place */
    struct map *delta, *found;            /* directory identity, object id -> what the scan found; made on first use */
};
void side_init(struct side *side, struct snap_project *project, struct point at, const struct scan *scan);
void side_done(struct side *side);

/* The path of an entry in a directory that is there (-EUCLEAN if not); the caller frees. */
int side_path(struct side *side, int64_t dir, const char *name, char **ret, struct snap_err *err);
/* What is in a directory, in no order; fn may ask this side. */
int side_list(struct side *side, int64_t dir, entry_fn fn, void *data, struct snap_err *err);

/* The names of an object that is a hard link, in no order. */
struct side_name { int64_t dir; char *name, *path; };
struct side_names { struct side_name *at; size_t count, room; };
void side_names_done(struct side_names *names);
int side_names(struct side *side, const struct object *object, struct side_names *ret, struct snap_err *err);

/* Sees to the digest of a regular file that nobody had to know yet; one that cannot be read becomes OBJECT_UNREAD. */
int side_digest(struct side *side, const char *path, struct object *object, struct snap_err *err);

/* The bytes of a regular file, or a symlink's target, as they are now; `path` is its path on this side.
 * -EFBIG past the limit, -ENODATA never read, -ESTALE no regular file or symlink any more. */
int side_read(struct side *side, const char *path, const struct object *object, size_t limit, struct buf *ret, struct snap_err *err);
