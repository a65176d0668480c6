/* The inside of a walk through a current layer, shared by current.c (names, directories), current_file.c (files) and current_rest.c
 * (what the layer does not mention). SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "current.h"
#include "current_rows.h"
#include "ignore.h"
#include "lower.h"
#include "sweep.h"

/* An entry of the layer, by its place there. */
struct source { struct lower *layer; struct lower_dir *at; const char *name; };

struct walk {
    struct scan *scan;
    const struct workspace *workspace;
    struct point below;        /* what shows through the layer */
    bool newest;               /* compared with the newest snapshot of the line; else with what is below */
    bool loose;
    int64_t first;             /* number of the first new object; 0 = the next free one */
    struct lower *layer;
    struct map *links;         /* inode -> struct linked: of several names */
    struct map *mentioned;     /* (directory, name) of which the layer says what is there: a set */
    struct map *visited;       /* identity of a directory of the layer -> &walk_merged or &walk_whole */
    struct current_memory *memory;     /* NULL: nothing is captured */
    struct ignore *ignore;     /* borrowed; NULL: nothing is left out */
    struct snap_err *err;
};
extern char walk_merged, walk_whole;

struct linked { struct object *object; bool staged; int64_t dir; char name[]; };

static inline int64_t walk_nanoseconds(const struct timespec *time) { return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec; }
int walk_failed(struct walk *walk, int code, const char *name);
int walk_read_meta(struct walk *walk, const struct source *from, const struct stat *stat, struct meta *meta);
int walk_mention(struct walk *walk, int64_t dir, const char *name);
bool walk_mentions(const struct walk *walk, int64_t dir, const char *name);
/* What is at a place: a difference, unless it is what the ground has there. `how` may be NULL. */
int walk_put(struct walk *walk, int64_t dir, const char *name, struct object *object, const struct delta_row *how);
bool walk_same_object(const struct object *a, const struct object *b);
/* The row by which an inode is known the next time. */
int walk_note(struct walk *walk, const struct current_row *row);
const struct current_row *walk_known(const struct walk *walk, uint64_t inode, int64_t birth);

/* current_file.c */
int walk_file(struct walk *walk, const struct source *from, int64_t dir, const char *name, const struct lower_entry *entry);
int64_t memory_dir(const struct current_memory *memory, uint64_t inode, int64_t birth);      /* identity that an earlier capture gave; 0 = none */
int memory_note_dir(struct current_memory *memory, uint64_t inode, int64_t birth, int64_t identity);
int64_t memory_next(const struct current_memory *memory);                                    /* the first number that no capture gave; 0 = none was made */
int memory_begin(struct current_memory *memory, struct scan *scan);
int memory_end(struct current_memory *memory, struct scan *scan);                            /* what an earlier capture copied and nobody wants goes */

/* current_rest.c */
int walk_rest(struct walk *walk, int work);
