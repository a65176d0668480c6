/* The inside of the overlay: nodes, their table and places, and what the verbs share. Not a door.
 * Structures and lock order: core/overlay/README.md. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "dirs.h"
#include "meta.h"
#include "overlay.h"
#include <pthread.h>
#include <stdatomic.h>

enum { STRIPES = 64 };

/* Where something lies in a lower tree. Counted. */
struct lower_place {
    atomic_uint refs;
    unsigned lower;
    struct lower_dir *dir;
    char name[];
};

/* A name under which a node is known. Added under the table's mutex, removed with `tree` held for writing. */
struct place {
    _Atomic(struct place *) next;
    struct node *parent;       /* a reference */
    bool upper;                /* the name is in the current layer; changed with `tree` held for writing */
    struct node *node;         /* and the next of the same slot in the table of names, where something is followed */
    struct place *same;
    char name[];
};

/* One lower directory of a merged one. */
struct part {
    unsigned lower;
    int watch;                 /* of what is followed, 0 = none (below.h) */
    uint64_t ino;
    struct lower_dir *dir;
};

enum node_flags {
    NODE_UPPER = 1,            /* in the current layer */
    NODE_METACOPY = 2,         /* there, but for its bytes */
    NODE_GONE = 4,             /* no name is left */
    NODE_FRESH = 8,            /* its name may not be on disk yet */
    NODE_COPYING = 16,         /* under the stripe's mutex */
    NODE_LINKABLE = 32,        /* made without a name, and may get one */
    NODE_WATCHED = 64,         /* a directory whose lower trees all tell what changes in it */
    NODE_UNCOVERED = 128,      /* one that could not be watched; counted */
    NODE_LOST = 256,           /* was looked for, underneath, and shown nowhere */
    NODE_MOVED = 512,          /* a directory that has another parent than when it was opened last */
};

struct node {
    struct node *next;         /* in the table */
    uint64_t number, generation;
    uint64_t lookups;          /* these two under the table's mutex: who outside holds it, who inside */
    unsigned refs;
    mode_t type;               /* S_IFMT */
    atomic_uint flags;         /* enum node_flags */
    atomic_uint copies;        /* how often its bytes moved: handles compare */
    atomic_int fd;             /* O_PATH, once its last name is gone; else -1 */
    atomic_int missed_by;      /* with LOST: the process that was told last */
    uint64_t real;             /* the number in its tree */
    _Atomic(struct place *) places;
    union {
        struct {
            struct dir *upper;
            struct part *parts;        /* top first */
            unsigned part_count;
            char *redirect;            /* the mark of the directory in the current layer, NULL = none */
        } dir;
        struct {                       /* under the stripe's mutex */
            struct lower_place *meta;  /* metadata; NULL once copied up */
            struct lower_place *data;  /* bytes, where they lie elsewhere */
            int watch;                 /* as a part's, of a lower file with several names */
            atomic_uint seen;          /* where followed: size and times when it was last looked at, hashed; 0 = not yet */
        } file;
    };
};

_Static_assert(sizeof(struct node) <= 112, "a mount of a million files keeps a million nodes");

struct stripe {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
};

struct overlay {
    int work;                          /* where things are made before they get their place; ours alone, by its lock */
    int index;                         /* links of copies of hard-linked lower files, by number */
    struct dirs *upper;                /* NULL: read-only */
    struct lower **lowers;
    struct lower_dir **roots;
    uint64_t *domains;                 /* of each lower: what its numbers are unique in; 0 = as the current layer's */
    size_t lower_count;                /* of those that can be seen at all */
    struct lower **owned;
    size_t owned_count;
    unsigned flags;
    void (*log)(void *data, const char *sentence);
    void *data;
    uid_t uid;
    gid_t gid;
    atomic_bool plain_marks, no_unnamed;
    bool handles_last;                 /* those of the current layer's file system */
    atomic_ulong names;
    struct records *records;
    struct finder *finder;
    pthread_rwlock_t tree;
    struct stripe stripes[STRIPES];
    pthread_mutex_t table;             /* and all that follows */
    struct node **slots;
    size_t slot_count, node_count;
    struct node *root;
    struct place **by_name;            /* places, where something is followed */
    size_t by_name_count, place_count;
    struct below *below;                 /* NULL: nothing is followed */
    atomic_ulong handles, copy_ups, bytes_copied;
};

void overlay_log(struct overlay *overlay, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Locks. A stripe is the mutex of all nodes whose numbers fall on it; nobody holds two. */
void tree_read(struct overlay *overlay);
void tree_write(struct overlay *overlay);
void tree_unlock(struct overlay *overlay);
struct stripe *node_lock(struct overlay *overlay, struct node *node);
void node_unlock(struct stripe *stripe);

/* Nodes. */
int node_find(struct overlay *overlay, uint64_t number, struct node **ret);         /* a reference; -ESTALE */
int node_find_dir(struct overlay *overlay, uint64_t number, struct node **ret);     /* -ENOTDIR, and -ENOENT if it was removed */
void node_ref(struct overlay *overlay, struct node *node);
void node_unref(struct overlay *overlay, struct node *node);
void node_held(struct overlay *overlay, struct node *node);                          /* the reference becomes a lookup */
static inline bool node_is(const struct node *node, unsigned flag) { return atomic_load(&node->flags) & flag; }
static inline void node_mark(struct node *node, unsigned flag) { atomic_fetch_or(&node->flags, flag); }
static inline void node_unmark(struct node *node, unsigned flag) { atomic_fetch_and(&node->flags, ~flag); }
static inline bool node_is_dir(const struct node *node) { return S_ISDIR(node->type); }

struct node_ref { struct overlay *overlay; struct node *node; };
static inline void node_ref_done(struct node_ref *ref) { if (ref->node) node_unref(ref->overlay, ref->node); }
#define _node_ _cleanup_(node_ref_done)

struct place *place_new(struct node *parent, const char *name, bool upper);          /* takes no reference until it is added */
void place_add(struct overlay *overlay, struct node *node, struct place *place);
struct place *place_find(struct node *node, struct node *parent, const char *name);
struct place *place_upper(struct node *node);                                         /* one that is in the current layer */
void place_remove(struct overlay *overlay, struct node *node, struct place *place);

struct lower_place *lower_place_new(struct overlay *overlay, unsigned lower, struct lower_dir *dir, const char *name);   /* refs dir */
struct lower_place *lower_place_ref(struct lower_place *place);                      /* accepts NULL */
void lower_place_unref(struct overlay *overlay, struct lower_place *place);          /* accepts NULL */
struct lower_place *node_meta(struct overlay *overlay, struct node *node);           /* a reference, or NULL */
struct lower_place *node_data(struct overlay *overlay, struct node *node);
struct lower_place_ref { struct overlay *overlay; struct lower_place *place; };
static inline void lower_place_ref_done(struct lower_place_ref *ref) { lower_place_unref(ref->overlay, ref->place); }
#define _lower_place_ _cleanup_(lower_place_ref_done)

/* What a name shows. */
struct found {
    bool is;                           /* something */
    bool upper;                        /* this name is in the current layer */
    bool copied;                       /* it is not, but what it shows was copied up under another name */
    bool whiteout;                     /* the current layer has a whiteout of this name */
    bool opaque, metacopy;             /* marks in the current layer */
    char *redirect;
    struct stat stat;                  /* of the topmost */
    struct timespec birth;
    uint64_t generation;
    unsigned lower;                    /* the tree of the topmost */
    struct part *parts;
    size_t part_count, part_room;
    struct lower_place *meta, *data;
};
void found_done(struct overlay *overlay, struct found *found);
struct found_ref { struct overlay *overlay; struct found found; };
static inline void found_ref_done(struct found_ref *ref) { found_done(ref->overlay, &ref->found); }
#define _found_ _cleanup_(found_ref_done)
/* `tree` is held. 0, whether something is there or not. */
int resolve(struct overlay *overlay, struct node *parent, const char *name, struct found *ret);
/* Whether the lower trees show something under this name: 1, 0. */
int resolve_below(struct overlay *overlay, struct node *parent, const char *name);
/* The node of what was found, a reference; parts and places are moved over. With `tree` held for reading, 1 when a node would have to
 * change: ask again with it held for writing. */
enum enter { ENTER_DONE = 0, ENTER_AGAIN = 1 };
int node_enter(struct overlay *overlay, struct node *parent, const char *name, struct found *found, bool writing, struct node **ret);
/* As node_enter with `tree` held for writing, but only for who is known: a reference, or NULL. A directory gets its trees as they were
 * found. */
struct node *node_meet(struct overlay *overlay, struct node *parent, const char *name, struct found *found);
/* Who is known under this name, all of them: what it showed before may still be held. Where something is followed. */
size_t nodes_at(struct overlay *overlay, const struct node *parent, const char *name, uint64_t *ret, size_t room);
/* Whoever lies at or below a node. */
int nodes_below(struct overlay *overlay, const struct node *top, uint64_t **ret, size_t *ret_count);
/* Both in one, for who has no use for what was found. */
int name_enter(struct overlay *overlay, struct node *parent, const char *name, bool writing, struct overlay_entry *ret, struct node **ret_node);
struct node *node_known(struct overlay *overlay, struct node *parent, const char *name, const struct found *found);    /* a reference, or NULL */
void fill_entry(struct overlay *overlay, struct node *node, const struct stat *stat, const struct timespec *birth, struct overlay_entry *ret);
int check_name(const char *name);
/* For listings: the number of an entry, 0 = it takes a look. */
uint64_t name_number(struct overlay *overlay, bool upper, unsigned lower, uint64_t ino);

/* Where the object is in the current layer: name "" = the descriptor itself. `tree` is held. */
struct upper_at {
    struct dir *pinned;
    int fd;
    const char *name;
    char index_name[24];
};
int upper_reach(struct overlay *overlay, struct node *node, struct upper_at *ret);
void upper_leave(struct upper_at *at);
#define _upper_ _cleanup_(upper_leave)
/* Opens what is there; mode bits that would forbid us what the kernel has allowed already are stepped around where it is ours. */
int upper_open(const struct upper_at *at, int flags);

/* Things in the making, in the work directory. */
struct made {
    struct overlay *overlay;
    int fd;                            /* regular files and directories; else -1 */
    char name[24];                     /* "" = without a name */
    bool is_dir;
};
void made_done(struct made *made);     /* what has not got its place goes */
#define _made_ _cleanup_(made_done)
int open_unnamed(struct overlay *overlay, int dirfd, int flags, mode_t mode);                    /* -EOPNOTSUPP: not here, and never asked again */
int make_file(struct overlay *overlay, struct made *ret);                                        /* 0600, unnamed where possible */
int make_dir(struct overlay *overlay, struct made *ret);                                         /* 0700 */
int make_special(struct overlay *overlay, mode_t mode, dev_t device, const char *target, struct made *ret);
int make_whiteout(struct overlay *overlay, struct made *ret);
/* Into the current layer. flags of renameat2: RENAME_NOREPLACE, RENAME_EXCHANGE (what was there is removed), or 0: replaces. */
int made_place(struct made *made, int dirfd, const char *name, unsigned flags);
void made_name(struct overlay *overlay, char (*ret)[24]);                                        /* a name that is free in the work directory */
int made_take(struct made *nest, const char *name, bool is_dir, struct made *ret);               /* what was made in a directory that was made */
int made_link(struct made *made, int dirfd, const char *name);                                   /* and stays what it is */
/* The name shows nothing from below from now on; what the current layer has there goes, in one step. */
int upper_hide(struct overlay *overlay, int dirfd, const char *name, bool is_there, bool is_dir);
int upper_announce_whiteouts(struct overlay *overlay, int dirfd);         /* before one comes in by a rename */
int upper_discard(struct overlay *overlay, int dirfd, const char *name, bool is_dir);            /* in one step, with whiteouts in it */
int upper_keep_times(int dirfd, const struct stat *before);
void work_clear(int workfd);

/* Copy-up. */
int copy_up_dir(struct overlay *overlay, struct node *node);            /* `tree` is held for writing */
enum copy_up { COPY_UP_ALL, COPY_UP_META, COPY_UP_EMPTY };
int copy_up(struct overlay *overlay, struct node *node, enum copy_up what);               /* no lock is held */
int copy_up_open(struct overlay *overlay, struct node *node, enum copy_up what, int spare);    /* `spare`: an open descriptor of it, or -1 */
/* For who changes metadata of an object whose bytes may be on their way, no lock held: a copy puts back what it found. */
void copy_claim(struct overlay *overlay, struct node *node);
void copy_release(struct overlay *overlay, struct node *node);
/* The metadata of something in a lower tree; name "" = the directory. */
int lower_meta(struct overlay *overlay, unsigned lower, struct lower_dir *dir, const char *name, const struct stat *stat, struct meta *ret);
int lower_path(struct node *node, struct buf *ret);                     /* in the lower trees: "/a/b", "" for the root */

int node_stat(struct overlay *overlay, struct node *node, struct stat *ret, struct timespec *ret_birth);    /* `tree` is held */
int dir_is_empty(struct overlay *overlay, struct node *node);           /* 1, 0; `tree` is held */
