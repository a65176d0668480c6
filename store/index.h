/* The temporal index: what every snapshot of every line shows, in one B-tree.
 * "In snapshot N" is born <= N < died; a question is a range, whatever the number of snapshots (snapctl-store(5), "Database").
 * Knows neither the project nor layers' files; writing needs the store's lock and an open transaction.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "copy.h"
#include "meta.h"
#include "store.h"
#include <string.h>

#define INDEX_PROJECT_LINE 1
#define INDEX_NEWEST (INT64_MAX - 1)      /* as a snapshot number: the newest state of a line */
#define INDEX_ROOT 1                      /* identity of the root directory; it is the entry (dir 0, name "") */

/* An entry as the key of a map: its size. */
enum { ENTRY_KEY_MAX = 8 + 256 };
static inline size_t entry_key(char key[static ENTRY_KEY_MAX], int64_t dir, const char *name) {
    size_t size = strnlen(name, ENTRY_KEY_MAX - sizeof(dir));
    memcpy(key, &dir, sizeof(dir));
    memcpy(key + sizeof(dir), name, size);
    return sizeof(dir) + size;
}

/* A line stands on nothing, as the project's does, or on a snapshot of another line: where it has no row of its own for a
 * place, the place is what it is there. What it has not although its base has it is a row too: an entry of object 0, and of
 * a directory that is nowhere a row of `dir` without a parent. */
struct point { int64_t line, snap; };     /* the tree of a snapshot; snap 0 = the empty tree of the project's line */
static inline struct point index_newest(int64_t line) { return (struct point){ .line = line, .snap = INDEX_NEWEST }; }

/* What a line stands on: 1, 0 = nothing. */
int index_base(struct store *store, int64_t line, struct point *ret, struct snap_err *err);
/* The rows that a line has of its own at its newest state, in no order; object 0: nothing is there although its base has it. fn may
 * query. */
typedef int (*own_row_fn)(void *data, int64_t dir, const char *name, int64_t object);
int index_own_rows(struct store *store, int64_t line, own_row_fn fn, void *data, struct snap_err *err);

enum snapshot_flags {
    SNAPSHOT_AUTO = 1, SNAPSHOT_UNSYNCED = 2, SNAPSHOT_HIDDEN = 4 /* removed, waiting for gc */,
    SNAPSHOT_FOREIGN = 8 /* came from outside: the project never was like this */,
    SNAPSHOT_GONE = 256 /* in memory alone, of a manifest: gc freed it, the layer still holds what others show */,
};
struct snapshot {
    int64_t line, layer;
    unsigned flags;
    int64_t base;                         /* of a manifest: the snapshot that its line stands on; 0 = none, or not asked for */
    struct snap_snapshot public;          /* its strings belong to this struct */
};
struct snapshot *snapshot_free(struct snapshot *snapshot);
DEFINE_CLEANUP(struct snapshot *, snapshot_free)
#define _snapshot_ _cleanup_(snapshot_freep)

int index_snapshot(struct store *store, int64_t number, struct snapshot **ret, struct snap_err *err);           /* 0 absent, 1 found */
int index_snapshot_named(struct store *store, const char *name, struct snapshot **ret, struct snap_err *err);   /* 0 absent, 1 found */
/* The back-th (0 = first) highest number of the line that is neither automatic nor hidden nor foreign; 0 absent, 1 found. */
int index_latest(struct store *store, int64_t line, uint64_t back, struct snapshot **ret, struct snap_err *err);
/* The highest number of the line, automatic or not: what its newest entries are; 0 = none yet. Negative errno. */
int64_t index_newest_number(struct store *store, int64_t line, struct snap_err *err);
typedef int (*snapshot_fn)(void *data, const struct snapshot *snapshot);       /* > 0 ends the listing without an error */
int index_snapshots(struct store *store, int64_t line, snapshot_fn fn, void *data, struct snap_err *err);       /* newest first, hidden left out */
/* The automatic and the hidden ones of all lines, ascending. */
int index_disposable(struct store *store, snapshot_fn fn, void *data, struct snap_err *err);
/* Of each content of the line, its size and the end of the last row that shows it; in no order. Reads the whole line. */
typedef int (*last_shown_fn)(void *data, int64_t until, uint64_t size);
int index_last_shown(struct store *store, int64_t line, last_shown_fn fn, void *data, struct snap_err *err);
/* The line of a layer, also of one whose snapshot gc freed; 0 = neither, or a negative errno. */
int64_t index_line_of_layer(struct store *store, int64_t layer, struct snap_err *err);
int index_snapshots_with(struct store *store, snapshot_fn fn, void *data, struct snap_err *err);       /* all of all lines, in no order */
/* All rows that show content; reads everything. */
typedef int (*content_shown_fn)(void *data, int64_t line, int64_t born, int64_t died, int64_t content, uint64_t size);
int index_contents_shown(struct store *store, content_shown_fn fn, void *data, struct snap_err *err);
/* 1 = a line stands on it. */
int index_is_base(struct store *store, int64_t number, struct snap_err *err);
/* The lowest number from this on whose snapshot is there and not hidden; 0 = none, or a negative errno. */
int64_t index_next_shown(struct store *store, int64_t line, int64_t number, struct snap_err *err);

/* An inode's state. Entries of one snapshot that share an object are hard links of each other. */
enum object_flags {
    OBJECT_UNREAD = 1,                    /* known by its metadata only: content or listing could not be read */
    OBJECT_LINKED = 2,                    /* may have several names (st_nlink > 1): needed before its first index_born */
    OBJECT_LOST = 4,                      /* always with UNREAD: its content was read once, and what the store kept of it was damaged */
    OBJECT_UNDIGESTED = 256,              /* in memory alone: nobody had to know the digest yet */
};
struct object {
    int64_t id;
    int64_t dir;                          /* directories: identity over renames and metadata changes; else 0 */
    int64_t content;                      /* regular files: where the bytes are; 0 = empty, unread, or not a regular file */
    struct digest digest;                 /* regular files that were read */
    unsigned flags;
    struct meta meta;
};
void object_done(struct object *object);
struct object *object_free(struct object *object);
DEFINE_CLEANUP(struct object *, object_free)
#define _object_ _cleanup_(object_freep)
static inline bool object_is_dir(const struct object *object) { return S_ISDIR(object->meta.mode); }

/* Content lies in layers/<layer>/tree, in the directory that `dir` was at snapshot <layer>, under `name`. It belongs to one
 * object, and lies where the first of that object's rows was born. */
struct content {
    int64_t id, layer, dir;
    uint64_t size;
    struct digest digest;
    char *name;                           /* owned by whoever filled the struct */
};

/* 0 absent, 1 found. */
int index_lookup(struct store *store, struct point at, int64_t dir, const char *name, struct object **ret, struct snap_err *err);
/* The object id alone: 0 absent, > 0, or a negative errno. */
int64_t index_lookup_id(struct store *store, struct point at, int64_t dir, const char *name, struct snap_err *err);
int index_object(struct store *store, int64_t id, struct object **ret, struct snap_err *err);        /* -EUCLEAN if missing */
int index_has_object(struct store *store, int64_t id, struct object **ret, struct snap_err *err);    /* 0 if missing, 1 found */
int index_content(struct store *store, int64_t id, struct content *ret, struct snap_err *err);       /* caller frees ret->name; -EUCLEAN */
/* Walks a path ("" = root, components separated by single slashes); 0 absent, 1 found; *ret_dir, *ret_name say where it hangs. */
int index_resolve(struct store *store, struct point at, const char *path, int64_t *ret_dir, char **ret_name, struct object **ret,
                  struct snap_err *err);
typedef int (*entry_fn)(void *data, const char *name, const struct object *object);
/* By name, bytewise; fn may query. */
int index_list(struct store *store, struct point at, int64_t dir, entry_fn fn, void *data, struct snap_err *err);
/* A whole directory in memory, names in byte order. */
struct index_row { size_t name; uint32_t links; struct object object; };       /* name: where it begins in `names`, with its NUL */
struct index_listing { struct index_row *rows; size_t count, room; struct buf names; };
void index_listing_done(struct index_listing *listing);
static inline const char *index_row_name(const struct index_listing *listing, const struct index_row *row) {
    return listing->names.data + row->name;
}
/* index_list, and for each object what index_links says, in one query. */
int index_read_dir(struct store *store, struct point at, int64_t dir, struct index_listing *ret, struct snap_err *err);
/* Where a directory lies: parent and name. 0 absent, 1 found. The root: parent 0, name "". The caller frees *ret_name. */
int index_dir_place(struct store *store, struct point at, int64_t dir, int64_t *ret_parent, char **ret_name, struct snap_err *err);
/* All directories of a tree, in no order; fn must not query. */
typedef int (*dir_fn)(void *data, int64_t id, int64_t parent, const char *name);
int index_dirs(struct store *store, struct point at, dir_fn fn, void *data, struct snap_err *err);
/* "" for the root; 0 absent, 1 found. */
int index_dir_path(struct store *store, struct point at, int64_t dir, struct buf *ret, struct snap_err *err);

/* What differs between two points, in no order: rows born or died between them, on one line or on the way from one to the other by
 * what they stand on; nothing else is read. -EINVAL: there is no such way.
 * before, after: object ids, 0 = absent. Names belong to the callee. The callback may query. */
struct index_change { int64_t dir; const char *name; int64_t before, after; };
typedef int (*index_change_fn)(void *data, const struct index_change *change);
int index_diff(struct store *store, struct point from, struct point to, index_change_fn fn, void *data, struct snap_err *err);
/* How many names an object has in a tree; 1 for one that is not OBJECT_LINKED, without a look at the tree. */
int64_t index_links(struct store *store, struct point at, int64_t object, struct snap_err *err);
/* The names of an OBJECT_LINKED object in a tree, by directory and name; fn may query, > 0 ends. */
typedef int (*name_fn)(void *data, int64_t dir, const char *name);
int index_names(struct store *store, struct point at, int64_t object, name_fn fn, void *data, struct snap_err *err);
/* The same of any object. Reads all entries of the line unless the object is OBJECT_LINKED: for what is asked seldom. */
int index_places(struct store *store, struct point at, const struct object *object, name_fn fn, void *data, struct snap_err *err);
/* The numbers of all snapshots of the line in which `path`, or anything below it, changed, as they were born; ascending; caller frees. */
int index_history(struct store *store, int64_t line, const char *path, int64_t **ret, size_t *ret_count, struct snap_err *err);
int index_counts(struct store *store, const struct snapshot *snapshot, struct snap_counts *ret, struct snap_err *err);

/* Writing: under the lock, in a transaction. */
struct index_ids { int64_t snapshot, object, content; };   /* the next free ones */
int index_next_ids(struct store *store, struct index_ids *ret, struct snap_err *err);
int index_add_snapshot(struct store *store, const struct snapshot *snapshot, struct snap_err *err);
int index_add_content(struct store *store, const struct content *content, struct snap_err *err);
int index_add_object(struct store *store, const struct object *object, struct snap_err *err);
/* From snapshot `born` on, (dir, name) is this object; an older row ends. Keeps the places of directories. */
int index_born(struct store *store, int64_t line, int64_t born, int64_t dir, const char *name, const struct object *object, struct snap_err *err);
/* From snapshot `died` on, nothing is there. Of a directory: its own entry alone; the caller walks what was below. */
int index_died(struct store *store, int64_t line, int64_t died, int64_t dir, const char *name, struct snap_err *err);
/* Sets name or flags of a snapshot; NULL = keep, "" = none. -EEXIST: the name is taken. After the commit: facts_settle. */
int index_change_snapshot(struct store *store, int64_t number, const char *name, unsigned set_flags, unsigned clear_flags, struct snap_err *err);
/* Takes the newest snapshot back as if it had never been: its rows go, what it ended lives again. Live must be reset after. */
int index_drop_newest(struct store *store, int64_t number, struct snap_err *err);
