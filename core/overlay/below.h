/* The inside of following: what is watched, what is kept, what happened, and objects whose names are gone underneath. Not a door.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "node.h"
#include "watch_each.h"

struct map;

enum { MERGES = 128 };         /* beside enum watch_each_what: a directory shows other trees than before, so everything below it may be others */

/* What happened to a name in a directory, or to a node as a whole, and was not told yet. */
struct event {
    uint64_t node;             /* the directory, or the node */
    unsigned what;             /* enum watch_each_what */
    char name[];
};
struct heard {
    struct map *names;         /* (directory, name) -> struct event */
    struct map *nodes;         /* node -> struct event */
    bool lost;                 /* anything may have happened */
    bool merges;               /* one of `nodes` has MERGES */
};

enum { RECENT = 64, CONTENDED = 256 };

/* A file that was looked up while names changed so fast that the next request about it might have come too late. */
struct recent { uint64_t node; int fd; };

struct below {
    pthread_mutex_t mutex;     /* all that follows. After `tree` and the stripes, before the table's */
    struct watch_each *watch;  /* NULL: no instance was to be had */
    int noted, fd;             /* an eventfd: who does not tell has heard something; and what is readable for either reason */
    unsigned watches_max;
    struct map *covers;        /* watch -> struct cover */
    struct heard now, telling;
    struct map *handles;       /* node -> open files of it */
    uint64_t lost, events;
    struct recent recent[RECENT];
    unsigned recent_next;
    atomic_uint contended;     /* so many lookups are remembered from now on */
    atomic_ulong uncovered;
    atomic_bool redirects;     /* some directory shows one that is called otherwise below */
};

static inline void below_lock(struct below *below) { if (pthread_mutex_lock(&below->mutex) != 0) abort(); }
static inline void below_unlock(struct below *below) { if (pthread_mutex_unlock(&below->mutex) != 0) abort(); }
int below_open(struct overlay *overlay, unsigned watches_max);      /* -ENOMEM; without an instance everything is uncovered */
struct below *below_close(struct below *below);                        /* accepts NULL */
int by_name_open(struct overlay *overlay);                         /* node.c */

/* Watching; `tree` is held. */
bool below_cover(struct overlay *overlay, struct node *dir);        /* it is covered, or is now */
/* What may be kept of a node that looks like this; of a hard-linked file after below_watch_file and another look. */
unsigned below_keep(struct overlay *overlay, struct node *node, nlink_t links);
/* Size and times as they are now: whether they are others than at the last look. Stores through mappings are told by nothing else. */
bool below_see(struct node *node, const struct stat *stat);
bool below_wants_watch(const struct overlay *overlay, const struct node *node, nlink_t links);
void below_watch_file(struct overlay *overlay, struct node *node);
/* Any locks of the overlay but the table's may be held. */
void below_drop(struct overlay *overlay, uint64_t node, int watch);
void below_uncovered(struct overlay *overlay, int difference);
void below_redirected(struct overlay *overlay);                     /* nothing where nothing is followed */

/* Changes; below->mutex is held. */
int event_note(struct map *map, uint64_t node, const char *name, unsigned what);     /* `name` "": the node as a whole */
int heard_open(struct heard *heard);
void heard_done(struct heard *heard);
int below_hear(void *data, const struct watch_each_event *event);   /* data: the struct below */
void below_drain(struct overlay *overlay);
void below_overhear(struct overlay *overlay);                      /* the same, by who does not tell: whoever does is called */
/* As if somebody underneath had changed the name: the kernel may take it for something else than it is. Locks may be held. */
/* Whoever found out that a directory shows other trees, and put it right here: those who keep what it showed have to be told. */
void below_merges(struct overlay *overlay, const struct node *dir);
void below_doubt_name(struct overlay *overlay, const struct node *dir, const char *name);

/* Objects that are gone. No lock is held, but where it says so. */
enum { TRIES_MOST = 4 };
static inline bool is_gone_error(int r) { return r == -ESTALE || r == -ENOENT || r == -ENOTDIR; }
/* Where the node is now, after all that happened: 0, or -ESTALE if no name that is known shows it. */
int below_find_again(struct overlay *overlay, struct node *node);
/* What a request on it is answered that nothing can be done for: -ESTALE, and whoever asks looks the name up again and finds what took
 * its place; the next time -ENOENT: it holds the object without a name. */
int below_lost_error(struct overlay *overlay, struct node *node);
/* What was just looked up stays reachable for the request that comes next, also if something takes its place; `tree` is held.
 * *ret_held: so it is, and so the name may not be kept. -ESTALE: it is another one already. */
int below_remember(struct overlay *overlay, struct node *node, bool *ret_held);
/* After a verb in the directory `node` gave `r`: 1 = do it again, it was -ESTALE and the directory is somewhere else; else the result. */
int below_again(struct overlay *overlay, struct node *node, int r, unsigned *tries);
/* Open files by node; locks may be held. */
void below_opened(struct overlay *overlay, struct overlay_handle *handle, uint64_t node);
void below_released(struct overlay *overlay, struct overlay_handle *handle, uint64_t node);
/* A descriptor of an open file of it, or of what was remembered (O_PATH); to be closed. -ESTALE. Locks may be held. */
int below_borrow(struct overlay *overlay, const struct node *node);
bool below_is_recent(struct overlay *overlay, const struct node *node);
int below_reopen(struct overlay *overlay, const struct node *node);  /* one of its own, for reading */
/* Into the current layer, without a name, from such a descriptor; `r`: what it fails with where there is none. */
int below_raise_lost(struct overlay *overlay, struct node *node, enum copy_up what, int r);
int below_stat_lost(struct overlay *overlay, struct node *node, struct stat *ret, struct timespec *ret_birth);
