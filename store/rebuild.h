/* The index from nothing but layers: manifests and facts, applied in the order of their numbers by the verbs that wrote the
 * index once, so that it comes out the same. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "index.h"

struct rebuilt {
    int64_t highest;           /* number of a layer */
    uint64_t layers, skipped;  /* skipped: the manifest is damaged */
    int64_t objects;           /* the highest number of an object */
    uint64_t names_lost;       /* names that two snapshots would have had */
};
/* `into` is empty, perhaps an apart one of the same store; all in one transaction of it, without a look at the lock.
 * Layers with a higher number than `last` are left out. */
int rebuild_index(struct store *store, struct store *into, int64_t last, const volatile sig_atomic_t *cancel, struct rebuilt *ret,
                  struct snap_err *err);
