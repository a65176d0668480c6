/* What is damaged in a store: layers against their manifests, the database, and the index against what the layers say.
 * Finds, and repairs nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "index.h"
#include "map.h"

enum damage_kind {
    DAMAGE_DATABASE,           /* pages or tables of store.db */
    DAMAGE_INDEX,              /* a row that dangles, or is not what the layers say */
    DAMAGE_LAYER,              /* a whole layer is missing */
    DAMAGE_MANIFEST,           /* missing, or not as it was written */
    DAMAGE_FACTS,
    DAMAGE_CONTENT,            /* other bytes than were stored, or none that can be read */
    DAMAGE_MISSING,            /* something of a layer is not there */
    DAMAGE_TYPE,               /* something else is there */
    DAMAGE_METADATA,
    DAMAGE_MARK,               /* whiteout, opaque, redirect */
    DAMAGE_LINK,               /* files are one inode and must not be, or must be and are not */
    DAMAGE_FOREIGN,            /* nothing of ours */
    DAMAGE_LEFTOVER,           /* of a command that is over */
    DAMAGE_LOST,               /* found before: there is no whole copy */
};
struct damage {                /* strings belong to the callee */
    enum damage_kind kind;
    int64_t layer;             /* 0 = of none */
    const char *file;          /* where it is, from the store's directory: "layers/3/tree/a"; NULL = nowhere alone */
    const char *text;          /* what is wrong with it */
    int64_t in;                /* layers: identity of the directory and the name in it; 0 and NULL = not known */
    const char *name;
    bool shared;               /* a link: one inode that must be two */
    int64_t content, object;   /* whose bytes, or which inode, is damaged; 0 = none */
    /* Rows: what shows it. line 0 = none; name NULL = the snapshots as a whole. */
    struct { int64_t line, dir; const char *name; int64_t born, died; } row;
};
typedef int (*damage_fn)(void *data, const struct damage *damage);      /* one call at a time, from any thread */

struct check_options {
    bool content;              /* read everything */
    bool coarse;               /* types, sizes and content alone: what a power loss can have torn */
    unsigned threads;
    const struct map *only;    /* int64_t content -> anything: these files and nothing else; NULL = all */
    const volatile sig_atomic_t *cancel;
    void (*progress)(void *data, uint64_t files, uint64_t bytes);       /* more of both; from any thread; may be NULL */
    damage_fn fn;
    void *data;
};

/* Layers, several with what they share: the inode that two must not have is remembered. */
struct check;
int check_open(struct store *store, const struct check_options *options, struct check **ret, struct snap_err *err);
/* Structure now; content is gathered, and read in the order of the disk when it is worth it. 1 = its manifest is whole, 0 = not. */
int check_layer(struct check *check, int64_t layer, struct snap_err *err);
int check_finish(struct check *check, struct snap_err *err);           /* reads the rest */
struct check *check_close(struct check *check);
DEFINE_CLEANUP(struct check *, check_close)
#define _check_ _cleanup_(check_closep)

/* The database by itself: pages, then references. Needs an open one. */
int check_database(struct store *store, bool quick, damage_fn fn, void *data, struct snap_err *err);
/* What the index says of itself, for when not all layers can say it. */
int check_rows(struct store *store, damage_fn fn, void *data, struct snap_err *err);
/* `apart` was built from the layers (rebuild.h): what the store's own index says otherwise. */
int check_index(struct store *store, struct store *apart, damage_fn fn, void *data, struct snap_err *err);
/* Whatever lies in the store and belongs to nothing. idle: no command is running that may have it in work/. */
int check_folders(struct store *store, bool idle, damage_fn fn, void *data, struct snap_err *err);
/* The numbers of all layers that the store's directory has, ascending; the caller frees. */
int check_layers(struct store *store, int64_t **ret, size_t *ret_count, struct snap_err *err);

/* Who shows it. `contents`: content -> value, `objects`: object -> value; those of the contents are added to it.
 * Each entry of such an object is given with its value; > 0 from fn ends nothing. */
struct shown { int64_t line, dir; const char *name; int64_t born, died; };
typedef int (*shown_fn)(void *data, void *value, const struct shown *shown);
int check_shown(struct store *index, const struct map *contents, struct map *objects, shown_fn fn, void *data, struct snap_err *err);
/* The path of (dir, name) at a snapshot, and the first snapshot at which it may be another; 0 = it has none. */
int check_path(struct store *index, struct point at, int64_t dir, const char *name, struct buf *ret, int64_t *ret_until, struct snap_err *err);
typedef int (*content_fn)(void *data, const struct content *content);
/* The contents of this digest and size; > 0 from fn ends. */
int check_contents_like(struct store *index, const struct digest *digest, uint64_t size, content_fn fn, void *data, struct snap_err *err);
/* The contents that the index has in a layer; only: NULL = all. */
int check_contents(struct store *index, int64_t layer, const struct map *only, content_fn fn, void *data, struct snap_err *err);
/* The numbers of a line's snapshots, ascending; the caller frees. */
int check_numbers(struct store *index, int64_t line, int64_t **ret, size_t *ret_count, struct snap_err *err);
/* The layers that the index needs, ascending; the caller frees. */
int check_named_layers(struct store *index, int64_t **ret, size_t *ret_count, struct snap_err *err);
