/* Which watch of inotify is which directory: by inode, and by place in a tree of names.
 * Opens and watches nothing; whoever fills it looks. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "map.h"
#include "watch.h"

struct wdir {                             /* a directory below the root */
    int wd;                               /* -1: not covered, or not yet */
    struct watch_inode inode;
    int64_t birth;                        /* ns; tells it from one that gets its number later */
    struct wdir *parent;                  /* NULL: the root, or floating */
    char *name;
    struct wdir *child, *next, **link;    /* children, siblings, and what points here */
    struct wdir *queued, **queue_link;    /* in `pending`, `unsettled` or `waiting`: the next, and what points here */
    unsigned left_at;                     /* floating: the reading in which it left */
    unsigned seen_at, came_at;            /* the listing that met it last, and that which found it to be where it is */
    bool floating;                        /* moved away; where to, nobody has said yet */
    bool hides;                           /* something in it is left out */
    bool files_came;                      /* names of files came, and could not be looked at */
};
struct wdirs {
    int fd;                               /* the instance, borrowed: a forgotten directory's watch is removed from it */
    struct map *by_wd, *by_inode, *by_place;     /* by_inode owns */
    struct wdir *root, *floating;         /* `floating`: a list by `next` */
    struct wdir *pending;                 /* new, to be watched and listed */
    struct wdir *unsettled, *waiting;     /* to be listed again, where they can be found; not found in this pass */
    uint64_t watches;
    bool hides;                           /* something is left out somewhere */
};

int wdirs_new(int fd, struct wdirs *ret);
void wdirs_done(struct wdirs *dirs);      /* leaves the watches alone */

struct wdir *wdirs_by_wd(const struct wdirs *dirs, int wd);                  /* NULL: none */
struct wdir *wdirs_by_inode(const struct wdirs *dirs, struct watch_inode inode);
struct wdir *wdirs_at(const struct wdirs *dirs, const struct wdir *parent, const char *name);
/* Appends where it is, from the root: 1, 0 where a directory above left, or -ENOMEM. */
int wdirs_path(const struct wdirs *dirs, const struct wdir *dir, struct buf *ret);

/* A new one, not watched; `parent` NULL: the root. */
int wdirs_add(struct wdirs *dirs, struct wdir *parent, const char *name, struct watch_inode inode, int64_t birth, struct wdir **ret);
/* It is here now, whatever was above or below it. */
int wdirs_move(struct wdirs *dirs, struct wdir *dir, struct wdir *parent, const char *name);
/* It is no longer where it was; where it is, another event may say. */
void wdirs_float(struct wdirs *dirs, struct wdir *dir, unsigned reading);
/* It is gone; what the map has in it is elsewhere, for a directory that goes is empty. */
void wdirs_lose(struct wdirs *dirs, struct wdir *dir, unsigned reading);
/* It and all below are of no interest any more. */
void wdirs_forget(struct wdirs *dirs, struct wdir *top);
/* What is to be put below `parent`, but has it below itself: events are behind. The way between is cut. */
void wdirs_untie(struct wdirs *dirs, const struct wdir *dir, struct wdir *parent, unsigned reading);
int wdirs_watch(struct wdirs *dirs, struct wdir *dir, int wd);

void wdirs_queue(struct wdir **queue, struct wdir *dir);                     /* nothing where it is in one already */
struct wdir *wdirs_next(struct wdir **queue);                                /* the first, taken out; NULL: none */
void wdirs_unsettle_hiding(struct wdirs *dirs, struct wdir *top);            /* those below `top` in which something is left out */
