/* The inside of a transition, shared by the files that make it: transition.c (the protocol), places.c (where things wait,
 * out of sight), staging.c (what is built there), swap*.c (each change, and how it is taken back), settle.c (the commit). One thread; the store's lock is held throughout. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "inspect.h"
#include "map.h"
#include "op.h"
#include "plan.h"
#include <sys/stat.h>

enum step_kind {
    STEP_EXCHANGED,                       /* the staged one and the one that was there changed places */
    STEP_DISPLACED,                       /* what was there went into the staging directory */
    STEP_REMOVED,                         /* an empty directory, which could not be moved there, was removed */
    STEP_RETURNED,                        /* a directory on its way went back to where it was */
    STEP_PLACED,                          /* what was staged, or a directory that moves, went to its place */
    STEP_MADE,                            /* a directory was made */
    STEP_META,                            /* an inode got other metadata */
};
struct step { enum step_kind kind; bool after; /* by the directory's place after */ struct plan_row *row; };
struct relinked { int64_t dir, object; char *name; };

/* Directories for what is being built and what was displaced: one in the store, and one in the project for each device that
 * no rename leads to from there, be it that the store is another mount or that a subvolume is a device of its own.
 *     d<identity>        a directory on its way from one place to another
 *     <attempt>/n<row>   built for a row; after an exchange what was there before
 *     <attempt>/o<row>   what was there before
 *     swapping           (in the store) made before the first change of the project */
struct place {
    uint64_t device;                      /* of what is staged in it */
    int root;                             /* -1: there can be none */
    int at;                               /* of this attempt */
    unsigned attempt;
    char *outside;                        /* path in the project, NULL: it is work/op-<id> */
};
struct staging {
    int store;                            /* work/op-<id>; -1: none */
    struct place *places;                 /* the first is that of the project's root */
    size_t count;
};

struct work {
    struct snap_project *project;
    struct store *store;
    struct plan *plan;
    struct point from, to, ground;        /* ground: what the project is like outside of the paths */
    int64_t op;                           /* 0: none yet */
    bool force;                           /* also over files that somebody writes */
    bool recovering;                      /* an earlier attempt may have done any part of this */
    bool opens;                           /* directories of ours that may not be searched are opened up, until they are finished */
    bool tolerant;                        /* what is in another state already was so before: no conflict (undo) */
    struct dirs *tree;
    struct staging staging;
    struct step *steps;
    size_t steps_count;
    struct map *groups;                   /* object id -> the row whose inode others of that object share: staged, or done */
    struct relinked *relinked;            /* names outside of the plan that got another hard link */
    size_t relinked_count;
    bool flushed;
    uint64_t restored, removed, bytes, conflicts;
};

/* Names of what is staged for a row. */
struct staged_name { char text[32]; };
struct staged_name staged_new(const struct plan_row *row);
struct staged_name staged_old(const struct plan_row *row);
struct staged_name staged_dir(const struct plan_dir *dir);

/* transition.c */
/* Only which names share the inode, or where its holes are, tells what was before from what comes: an earlier attempt's work
 * cannot be recognised, and is done again. */
bool work_looks_same(const struct plan_row *row);

/* places.c */
/* For a new attempt; makes what is missing. Rows that no place can be had for are told, and fail. */
int staging_open(struct work *work, struct snap_err *err);
bool staging_marked(struct work *work);
int staging_mark(struct work *work, struct snap_err *err);
int staging_remove(struct work *work, struct snap_err *err);          /* also where nothing was opened */
void staging_close(struct staging *staging);
bool staging_is_outside(const struct staging *staging);               /* some of it is in the project */
bool staging_has_name(const struct staging *staging, const char *name);      /* it is that of a directory of ours there */
/* Where what is built for a row, or displaced by it, waits; where a directory does, on its way. */
const struct place *place_of(const struct work *work, const struct plan_row *row);
const struct place *place_of_dir(const struct work *work, const struct plan_dir *dir);
/* The root of the place where a directory is on its way, moved there by this or an earlier attempt; -1: none. */
int staging_find_dir(const struct work *work, const struct plan_dir *dir);

/* staging.c */
int staging_fill(struct work *work, struct snap_err *err);            /* builds whatever rows need; failed rows are told */

/* swap.c: each takes a step and remembers it. 0, or a negative errno. */
struct dir_pinned work_pin(struct work *work, struct plan_dir *dir, bool after);   /* fd < 0: negative errno; unpinned by the caller */
int swap_touch(struct plan_dir *dir, int fd);                         /* remembers what it was like, makes it writable */
int swap_untouch(const struct plan_dir *dir, int fd);                 /* as it was found */
/* 1 = a directory stands already where one is to be made, and holds nothing but what is left out; 0 or a negative errno. */
int swap_stands(const struct work *work, const struct plan_row *row, int dirfd);
int swap_all(struct work *work, struct snap_err *err);                /* -EBUSY with SNAP_FAILURE_CONFLICT: somebody changed something */
int swap_finish(struct work *work, bool after, struct snap_err *err); /* metadata of directories, deepest first */
int swap_finish_dir(struct work *work, struct plan_dir *dir, bool after);
bool work_is_lost(struct plan_dir *dir);                              /* it, or a directory above it, is not where it belongs */
int swap_back(struct work *work, struct snap_err *err);               /* takes all steps back, last first */
int work_known(struct work *work, struct plan_row *row, struct snap_err *err);            /* loads row->known */
/* The live record of a place: 1, 0 = none, as in a workspace. */
int work_live(const struct work *work, int64_t dir, const char *name, struct live_entry *ret, struct snap_err *err);
void work_fail(struct work *work, struct plan_row *row, int code, const char *doing);      /* tells, and marks the row */
void work_leave(struct work *work, struct plan_row *row, const char *text);                /* the same, for a reason that is no error of the system */
/* The entry comes back all the same, and what the file system or a missing privilege did not allow (SNAP_WHAT_*) is told. */
void work_missing(struct work *work, struct plan_row *row, unsigned missing);
void work_conflict(struct work *work, struct plan_row *row, const char *text);

/* left.c */
/* Notes with the operation, in the open transaction, what is not as the snapshot says because that was not permitted. */
int left_note(struct work *work, struct snap_err *err);
/* Rows of an undo or redo of `target`: before is what was left, not what was wanted. */
int left_expect(struct work *work, int64_t target, struct snap_err *err);

/* settle.c */
/* The live records of what was done, in the open transaction. */
int settle_live(struct work *work, struct snap_err *err);
