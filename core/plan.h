/* What a transition has to do: the entries in which two states of the project's line differ, and the directories they lie
 * in, each by its identity, with its place before and after. From the index alone; cost follows the difference.
 *
 * A directory that is in both states is one plan_dir, whether it moved or not. Where only one of its places is among the
 * paths, it is two: one that goes, with all that was in it, and a `clone` that is made anew.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "dirs.h"
#include "ignore.h"
#include "live.h"
#include "project.h"

struct plan_row;

struct plan_dir {
    int64_t id;                           /* identity */
    bool in_from, in_to;
    bool clone;                           /* made anew; the identity belongs to another directory of the project */
    bool context;                         /* outside of the paths: it only leads to them */
    bool optional;                        /* goes if it is empty, and stays without a word if not */
    struct plan_dir *from_parent, *to_parent;       /* NULL: the root, or not there */
    const char *from_name, *to_name;      /* borrowed from plan.names */
    unsigned from_depth, to_depth;
    struct plan_dir *instead_of;          /* one that goes from the very place where this one is made; NULL: none */
    struct plan_dir *replaced_by;         /* the same, the other way round */
    struct plan_row *own;                 /* the row that changes its metadata and nothing else; NULL: none */
    struct plan_row *from_row, *to_row;   /* the rows by which it leaves, arrives; NULL: it does not */
    /* Kept by who carries the plan out: */
    struct dir *from_at, *to_at;          /* made when first needed */
    unsigned place;                       /* where what goes from it and comes into it is staged, counted from 1; 0: not decided */
    bool from_checked, to_checked;        /* the node was opened and is the right directory */
    bool identified;                      /* `foreign`, `ino` and `birth` were looked up; ino 0: not known */
    bool foreign;                         /* the live index knows what is there by another identity, or not at all */
    uint64_t ino, birth;
    bool lost;                            /* it is not where it belongs, and stays so: nothing in it can be done */
    bool adopted;                         /* the inode of `instead_of` stays, for what is left out in it, and becomes this one */
    bool finished;                        /* it has its metadata of after */
    bool touched;                         /* something in it was changed: `mode` and `mtime` are what it had before */
    bool opened_up;                       /* its mode was widened for the work */
    bool entered;                         /* it may be searched, or that was tried */
    bool shut;                            /* and is what it shall be again */
    uint32_t mode;
    struct timespec mtime;
};
static inline bool plan_dir_moves(const struct plan_dir *dir) { return dir->in_from && dir->in_to && dir->to_row; }

enum plan_how {                           /* how `after` comes to be in its place */
    PLAN_UNDECIDED = 0,
    PLAN_KEEP,                            /* it is there; only the index calls it something else */
    PLAN_META,                            /* the same inode gets other metadata */
    PLAN_FILL,                            /* something new is built and put there */
    PLAN_CLEAR,                           /* there is none: what is there goes away */
    PLAN_DIR,                             /* a directory comes, from elsewhere or new */
};
enum plan_state { PLAN_TODO = 0, PLAN_DONE, PLAN_FAILED /* told */, PLAN_SKIP /* stays as it is, and that is right */ };

struct plan_row {
    struct plan_dir *dir;
    const char *name;                     /* borrowed from plan.names */
    struct object *before, *after;        /* NULL: nothing there */
    struct plan_dir *leaves, *arrives;    /* a directory that goes from here, comes here; NULL: a file, nothing, or metadata alone */
    struct plan_dir *self;                /* metadata alone: the directory itself */
    size_t number;                        /* its position, the same whenever the plan is made again */
    /* Kept by who carries the plan out: */
    enum plan_how how;
    enum plan_state state;
    uint32_t links;                       /* PLAN_KEEP, PLAN_META: how many names the inode has, all of them rows */
    bool cleared;                         /* `before` was moved out of the way */
    bool lacking;                         /* it is back without something that is not permitted here */
    bool staged;                          /* `after` waits in the staging directory */
    bool looked_up;                       /* `known` was: what the live index says is there; name NULL: nothing */
    struct live_entry known;
};

struct plan {
    struct plan_row *rows;                /* sorted by directory identity and name */
    size_t count;
    struct plan_dir **dirs;
    size_t dirs_count;
    char **names;                         /* what the rows' and directories' names borrow */
    size_t names_count;
    struct plan_dir *root;
    struct ignore *rules[3];              /* of now, of the state before, of the state after */
    size_t rules_count;
};

struct plan_request {
    struct point from, to;
    const char *const *paths;             /* NULL-terminated, NULL = all */
    /* Only entries in which these two differ as well; both {0} = any. */
    struct point also_from, also_to;
    bool ground_after;                    /* outside of the paths the project is as in the state after, else as before */
    bool prune;                           /* where a path goes, so do directories above it that the state after does not have */
};
int plan_make(struct snap_project *project, const struct plan_request *request, struct plan **ret, struct snap_err *err);
struct plan *plan_free(struct plan *plan);
DEFINE_CLEANUP(struct plan *, plan_free)
#define _plan_ _cleanup_(plan_freep)
/* Path of the row's place, in the state before the transition or after it; "" for the root. */
void plan_row_path(const struct plan_row *row, bool after, struct buf *out);
void plan_dir_path(const struct plan_dir *dir, bool after, struct buf *out);
/* The row of this place, NULL: none. */
struct plan_row *plan_find(const struct plan *plan, const struct plan_dir *dir, const char *name);
/* The same by identity; not in a directory that is made anew as a clone. */
struct plan_row *plan_find_id(const struct plan *plan, int64_t dir, const char *name);
/* Whether the path, or a directory above it, is left out. */
bool plan_excludes(const struct plan *plan, const char *path, bool is_dir);
