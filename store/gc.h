/* Freeing snapshots: their rows, then what no remaining row needs, then the files; in this order, whatever happens.
 *
 * A row of the index that no remaining snapshot shows is deleted; the row before it at the same place, which it had ended,
 * then goes on to where it ended. So a layer's manifest, and with it the layer, needs exactly those lines whose row
 * remains (entries) or by which a remaining row ends (deletions), and the directories that lead there. Where a directory
 * came to a place, its row stays as long as the directory is shown anywhere later: what is in it is found by it.
 *
 * Each object has one row that stands for it (again = 0), and its content lies where that row says. When that row goes, the
 * oldest of the others, found by the index of the rows that use an object again, takes its part, else the object goes.
 * Each content belongs to one object.
 *
 * Nothing is unlinked before the commit that forgets it: that transaction says in `doomed` what is to be unlinked, and in
 * `stale` which manifests are to be written anew. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "index.h"

struct gc_freed {
    uint64_t snapshots, entries, objects;
    uint64_t bytes;            /* of content */
    uint64_t layers;           /* that went as a whole */
    uint64_t files;            /* names removed from layers that stay */
    bool live_reset;           /* the newest entries changed, or what the project was equal to is freed: the next look reads content */
};
/* In an open transaction. `numbers` are snapshots, ascending, each once; -EBUSY if a line stands on one. */
int gc_free(struct store *store, const int64_t *numbers, size_t count, struct gc_freed *ret, struct snap_err *err);
/* In an open transaction: this path below the store is unlinked, with all below it, by the next gc_finish. */
int gc_doom(struct store *store, const char *path, struct snap_err *err);

/* After the commit: manifests, then files. Cut short at any point, it is called again and goes on. */
struct gc_watch {
    void (*progress)(void *data, uint64_t done, uint64_t total);
    void *data;
    const volatile sig_atomic_t *cancel;
};
int gc_finish(struct store *store, const struct gc_watch *watch, struct snap_err *err);       /* watch may be NULL */
int gc_unfinished(struct store *store, struct snap_err *err);                                 /* 1 = gc_finish has something to do */
