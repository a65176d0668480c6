/* A manifest in memory: its entries by place, its directories with what is in each.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "facts.h"
#include "manifest.h"
#include "map.h"

struct sheet_entry {
    int64_t in;
    char *name;
    unsigned flags;                       /* enum manifest_flags */
    int64_t content_layer;                /* 0 = this layer */
    char *redirect;
    struct object object;                 /* not with DELETED */
    struct sheet_entry *next;             /* in the same directory */
};
struct sheet_dir {
    struct sheet_entry *self, *first, *last;      /* first, last: of what is in it */
    struct dir *node;                     /* for whoever opens the tree; NULL until then */
};
struct sheet {
    int64_t layer;
    struct snapshot *snapshot;
    struct facts facts;                   /* of the same layer; empty where there are none */
    struct sheet_entry **entries;         /* as in the manifest */
    size_t count, room;
    struct sheet_dir **dirs;              /* parents first */
    size_t dirs_count, dirs_room;
    struct map *by_dir;                   /* identity -> struct sheet_dir */
    struct map *by_place;                 /* entry_key -> struct sheet_entry; directories, too */
};
/* -EUCLEAN damaged, -ENOENT missing. Facts are not read. */
int sheet_read(struct store *store, int64_t layer, struct sheet **ret, struct snap_err *err);
/* What makes sense of one that may be damaged, or not be there; its snapshot may be NULL. Facts are not read. */
int sheet_glean(struct store *store, int64_t layer, struct sheet **ret, struct snap_err *err);
struct sheet *sheet_free(struct sheet *sheet);         /* accepts NULL */
DEFINE_CLEANUP(struct sheet *, sheet_free)
#define _sheet_ _cleanup_(sheet_freep)
struct sheet_dir *sheet_dir(const struct sheet *sheet, int64_t id);                             /* NULL: absent */
struct sheet_entry *sheet_find(const struct sheet *sheet, int64_t in, const char *name);        /* NULL: absent */
bool sheet_is_lost(const struct sheet *sheet, int64_t content);
static inline bool sheet_entry_is_dir(const struct sheet_entry *entry) {
    return !(entry->flags & MANIFEST_DELETED) && object_is_dir(&entry->object);
}
/* Its bytes are what the index knows as this layer's content. */
static inline bool sheet_entry_has_content(const struct sheet_entry *entry) {
    return !(entry->flags & MANIFEST_DELETED) && entry->object.content && !entry->content_layer;
}
