/* The inside of a scan, shared by the files that make it: walk.c (directories in parallel), capture.c (one entry),
 * links.c (hard-link groups), scan.c (rounds, the delta), take.c and seal.c (the snapshot).
 *
 * One path: a task visits a directory, compares each child's fingerprint with its record, and only where they differ reads
 * it and, if a layer is being built, copies it there. What differs goes into the delta, keyed (directory identity, name).
 * The delta is what `status` shows and what `take` seals.
 *
 * Locks: `lock` protects the maps and lists below; `query` serialises the database connection. `lock` may be
 * taken under `query`, never the other way round; neither is held during file system calls. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "copy.h"
#include "dirs.h"
#include "ignore.h"
#include "live.h"
#include "map.h"
#include "pool.h"
#include "scan.h"
#include "watching.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

struct delta_row {
    struct delta_entry entry;             /* entry.name owned; entry.after owned by scan.objects */
    bool staged;                          /* its bytes lie in the layer being built: directory `dir`, file `name` */
    enum copy_how how;
    int64_t from_dir;                     /* after is an object known under another name that must be gone now: where it was */
    char *from_name;
};

enum found_state { FOUND_SAME = 0, FOUND_RECORD, FOUND_LEFT_OUT };   /* as recorded; record differs; ignored, vanished or another mount */
struct found {                            /* a child as this round sees it */
    const char *name;                     /* in scan_dir.names */
    const struct live_entry *known;       /* NULL: no record */
    struct fingerprint print;
    int64_t object, dir;
    unsigned flags;                       /* enum live_flags */
    enum found_state state;
};
/* The newest entries and the record agree on what it is: no difference. */
static inline bool found_as_recorded(const struct found *found) {
    return found->known && found->known->object == found->object && !(found->known->flags & LIVE_AHEAD);
}
struct scan_dir {                         /* a directory that was met in this round, or in one before if this looks at a part only */
    int64_t id, parent;
    unsigned round;
    struct dir *at;
    const struct live_dir *known;         /* its records, NULL: none */
    struct buf names;
    struct found *found;                  /* sorted by name; freed after the round */
    size_t count;
    atomic_uint slices;                   /* still to be done */
    atomic_bool differs;                  /* its records must be written */
    atomic_bool partial;                  /* a child was left out, or could not be looked at */
    bool listed;                          /* its records name all that is in it: no need to list it */
    struct found *self;                   /* in its parent, if its own record is new; it lives as long as the round */
    atomic_bool deferred;                 /* a child waits in a link group */
    struct dir *stage;                    /* where its changed files go; made on first use */
    const struct touched *touched;        /* what in it is to be looked at; NULL: everything */
};
struct member { struct scan_dir *dir; struct found *found; };
struct group_key { uint64_t device, ino; };
struct group {                            /* names of one inode */
    struct group_key key;
    bool changed;                         /* at least one of them did */
    struct member *members;
    size_t count, room;
};
struct moved { int64_t dir; const struct live_entry *entry; };   /* where the live index has an inode */
struct unread_dir { int64_t parent; char *name; };

struct scan {
    struct snap_project *project;
    struct store *store;
    struct stage *stage;                  /* NULL: look only */
    struct live *live, *live_before;      /* before: loaded in part, until everything had to be looked at after all */
    struct watching *watching;            /* what a watcher told before this round; NULL: none does */
    const struct touched *touched;        /* what is to be looked at in this round; NULL: everything */
    atomic_bool needs_all;                /* what was told is not enough: an inode has names elsewhere */
    struct dirs *tree;                    /* the project */
    struct ignore *ignore;
    struct point ground;                  /* what the delta lies over */
    int64_t first_object;                 /* objects from here on are new */
    _Atomic int64_t next_object;
    struct timespec started;              /* the file system's clock before anything was read */
    bool fine;                            /* timestamps tell every change after a statx */
    bool trusts_lists;                    /* a directory's times tell every change of its names */
    bool foreign;                         /* what differs is no project's: nothing was scanned, its records stay and hear of it */
    unsigned round;                       /* from 1 */
    atomic_bool no_reflink;
    atomic_uint_fast64_t entries, bytes;  /* progress */

    pthread_mutex_t lock;
    struct map *dirs;                     /* identity -> struct scan_dir, this round; an identity is in one place only */
    struct map *records;                  /* identity -> struct live_dir as the last round left it, where it differs from live */
    struct map *left;                     /* identities of directories that are not where their records were: they may be nowhere */
    struct map *delta;                    /* (identity, name) -> struct delta_row */
    struct map *groups;                   /* (device, inode) -> struct group, this round */
    struct map *standing;                 /* the same, of names that are as they were: in the first round they are in no group */
    struct map *claimed;                  /* object id -> anything: kept by a link group of this round */
    /* Where the live index has inodes: (inode, birth time), inode, inode of several names -> struct moved; made on first use. */
    struct map *moved_dirs, *moved_files, *moved_links;
    struct map *objects;                  /* id -> struct object: all that delta rows point to, and what was compared with */
    /* Of a workspace's current layer: inode -> struct current_row, as it was captured last, and as it is now. */
    struct map *rows_before, *rows;
    struct map *doubts;                   /* path -> whether this scan saw it: what a watcher cannot vouch for */
    struct unread_dir *unread;
    size_t unread_count;
    uint64_t changed_this_round;

    pthread_mutex_t query;
};

/* scan.c */
int scan_new(struct snap_project *project, struct stage *stage, struct scan **ret, struct snap_err *err);
/* One whose delta somebody else fills, over this tree; paths lead from `root`, duplicated, -1 = nowhere. */
int scan_empty(struct snap_project *project, struct point ground, int root, struct scan **ret, struct snap_err *err);
int scan_place(struct scan *scan, struct snap_err *err);              /* fills `dirs` by what is below and the delta */
/* The same for who fills the delta without looking at the project: all records are loaded, no watcher is asked. */
int scan_new_whole(struct snap_project *project, struct stage *stage, struct scan **ret, struct snap_err *err);
int scan_round(struct scan *scan, struct snap_err *err);              /* one pass over the whole project */
int scan_differ(struct scan *scan, int64_t dir, const char *name, struct object *after, const struct delta_row *how);   /* how may be NULL */
int scan_forget_lost(struct scan *scan);         /* rows in directories that are nowhere: what was in them went with them */
int scan_own(struct scan *scan, struct object *object);               /* takes it, also on failure */
int scan_known_object(struct scan *scan, int64_t id, struct object **ret);      /* borrowed; from the store or of this scan; -EUCLEAN */
struct scan_dir *scan_dir_of(const struct scan *scan, int64_t id);    /* NULL: not in the project */
void scan_fail(struct scan *scan, const struct scan_dir *dir, const char *name, int code, const char *doing);     /* a path not captured */
void scan_dir_free(void *dir);
void scan_doubt(struct scan *scan, const struct scan_dir *dir);       /* notes which of its children nobody can vouch for */
int scan_records(struct scan *scan, int64_t dir, const struct live_dir **ret);   /* as the last round left them; NULL: none */
void scan_dir_forget(struct scan_dir *dir);                           /* its children */
void scan_end(struct scan *scan);                                     /* no more rounds */
struct delta_row *scan_row(const struct scan *scan, int64_t dir, const char *name);

/* sparse.c: rounds that look at nothing but what a watcher told. */
int sparse_begin(struct scan *scan, struct snap_err *err);            /* asks; loads the records, or leaves them to be loaded one by one */
int sparse_again(struct scan *scan, struct snap_err *err);            /* asks what happened since, for the next round */
int sparse_end(struct scan *scan, struct snap_err *err);              /* from now on everything is looked at; what was found is not forgotten */
int sparse_keep(struct scan *scan, struct snap_err *err);             /* clock and doubts, in an open transaction */

/* walk.c */
int walk_project(struct scan *scan);

/* capture.c: what one entry is now. Each sets found->{print,object,flags,state} and puts what differs into the delta.
 * 1 = it is no longer what `stat` said: look again; 0; negative errno ends the scan. */
int capture_regular(struct scan *scan, struct scan_dir *dir, int dirfd, struct found *found);
int capture_other(struct scan *scan, struct scan_dir *dir, int dirfd, struct found *found, const struct statx *stat);
struct dir *capture_stage_dir(struct scan *scan, struct scan_dir *dir);         /* borrowed; NULL: no memory */
bool capture_is_racy(const struct scan *scan, const struct fingerprint *print);
struct captured { struct object *object; bool is_new, staged; enum copy_how how; struct fingerprint print; unsigned flags; };
/* Reads `name`, a regular file, and says what object it is: one of `bases` (ids, ended by 0), or a new one, copied. */
int capture_read(struct scan *scan, struct scan_dir *dir, int dirfd, const char *name, const int64_t *bases, struct captured *ret);

/* links.c */
int links_defer(struct scan *scan, struct scan_dir *dir, struct found *found, const struct statx *stat);
int links_join(struct scan *scan, struct scan_dir *dir, struct found *found, const struct statx *stat);   /* it did not change; others may have */
int links_capture(struct scan *scan);                                 /* all groups of the round, in parallel */
int links_index(struct scan *scan);                                   /* where inodes were that may have moved, of what was touched */
const struct moved *links_moved_file(struct scan *scan, const struct fingerprint *print);
const struct moved *links_moved_dir(struct scan *scan, const struct fingerprint *print);
