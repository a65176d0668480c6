/* The inside of a comparison, shared by gather.c (which entries differ, by directory identity and name) and changes.c
 * (what that means by path). SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "side.h"

struct entry_row {                        /* one entry, by its key */
    int64_t dir;
    char *name;
    struct object *before, *after;        /* owned; NULL: absent */
    bool split;                           /* it lies in a directory that is expanded: two paths, two rows */
};
struct comparison {
    struct snap_project *project;
    struct side from, to;
    struct entry_row *rows;
    size_t count, room;
    struct map *by_key;                   /* (directory, name) -> 1 + index in rows */
};
int comparison_init(struct comparison *comparison, struct snap_project *project, struct point from, struct point to,
                    const struct scan *scan, struct snap_err *err);
void comparison_done(struct comparison *comparison);
void comparison_close(struct comparison *comparison);         /* no more rows come, and none is looked for by its key */

/* Fills rows with all entries that are another object on the other side. */
int gather_entries(struct comparison *comparison, struct snap_err *err);
/* Adds all that lies below a directory, at each side where it is, and marks it `split`. *visited_before and
 * *visited_after: the directories done already. */
struct expansion { struct map *before, *after; };
void expansion_done(struct expansion *expansion);
int gather_below(struct comparison *comparison, struct expansion *expansion, int64_t dir, struct snap_err *err);
