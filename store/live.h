/* The live index: what the project looked like when it was last captured or restored, so that a scan reads only what
 * changed. Not history: losing it costs one comparison by content, nothing else.
 *
 * Stored as sorted parts of a directory's records, (dir, first name) -> packed records, as leaves of a B-tree: reading all
 * costs one ordered pass over few rows, changing one record costs one part whatever the directory's size.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "meta.h"
#include "store.h"

enum live_flags {
    LIVE_HOT = 1,              /* the fingerprint cannot be trusted: compare by content (racy timestamp, or somebody may write) */
    LIVE_AHEAD = 2,            /* the newest snapshot of the project's line shows something else here: the next take records it */
    LIVE_GONE = 4,             /* the project has nothing of that name, the newest snapshot has; always with AHEAD */
    LIVE_LINKED = 8,           /* had several names */
    LIVE_UNREAD = 16,          /* could not be read */
    LIVE_FOREIGN = 32,         /* other st_dev than the root's (a subvolume): its inode number is not unique */
    LIVE_LISTED = 64,          /* directories: while the fingerprint stands, the records of its inside are all there is: no name
                                * was left out */
};
struct live_entry {
    const char *name;
    struct fingerprint print;
    int64_t object;            /* what it is; GONE: 0 */
    int64_t dir;               /* directories: identity; else 0 */
    unsigned flags;
};
struct live_dir {              /* records of one directory, sorted bytewise by name */
    int64_t dir;
    size_t count;
    struct live_entry *entries;
};

struct live;
/* All records, by one ordered pass; memory: about 100 bytes and the name an entry. The root is the record "" of directory 0. */
int live_load(struct store *store, struct live **ret, struct snap_err *err);
/* None to begin with: directories are loaded one by one. */
int live_open(struct live **ret);
int live_load_dir(struct live *live, struct store *store, int64_t dir, const struct live_dir **ret, struct snap_err *err);   /* *ret NULL: no records */
struct live *live_free(struct live *live);
DEFINE_CLEANUP(struct live *, live_free)
#define _live_ _cleanup_(live_freep)
const struct live_dir *live_dir(const struct live *live, int64_t dir);            /* NULL: no records. Thread-safe */
const struct live_entry *live_dir_find(const struct live_dir *dir, const char *name);   /* dir may be NULL; NULL: absent */
/* for (struct live_iter i = {0}; live_next(live, &i);) ... i.dir */
struct live_iter { size_t at; const struct live_dir *dir; };
int live_next(const struct live *live, struct live_iter *iter);

/* One record from the database: 0 absent, 1 found; ret->name is the caller's `name`. */
int live_find(struct store *store, int64_t dir, const char *name, struct live_entry *ret, struct snap_err *err);

/* Writing: in a transaction. */
/* Exactly these (sorted); writes only parts that differ. */
int live_write_dir(struct store *store, int64_t dir, const struct live_entry *entries, size_t count, struct snap_err *err);
int live_put(struct store *store, int64_t dir, const struct live_entry *entry, struct snap_err *err);
int live_remove(struct store *store, int64_t dir, const char *name, struct snap_err *err);      /* absent is fine */
int live_remove_dir(struct store *store, int64_t dir, struct snap_err *err);                    /* its own records, not those of directories below */
/* Builds it anew from the newest entries of the project's line, with fingerprints that equal nothing. */
int live_reset(struct store *store, struct snap_err *err);

/* A watcher tells what changed since its clock stood somewhere. The clock of the records as they are; text. NULL = they tell no
 * such thing: everything is to be looked at. Whoever writes records without having asked a watcher sets NULL, unless the watcher hears of
 * what was done, or it is put among the doubts. */
int live_clock(struct store *store, char **ret, struct snap_err *err);                          /* 0 absent, 1 found; the caller frees */
int live_set_clock(struct store *store, const char *clock_or_null, struct snap_err *err);
/* Paths of the project whose records are to be looked at whatever a watcher tells: hot, several names, ahead, unread. */
typedef int (*live_doubt_fn)(void *data, const char *path);
int live_doubts(struct store *store, live_doubt_fn fn, void *data, struct snap_err *err);
int live_set_doubt(struct store *store, const char *path, bool doubtful, struct snap_err *err);
int live_forget_doubts(struct store *store, struct snap_err *err);
