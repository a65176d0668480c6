/* A layer's manifest, put together from the layer's tree, where neither the manifest nor the index can be believed any more.
 * Directories keep their identities as far as what is left of the manifest, the layers before and the manifests after say
 * them; owners, device nodes and other things that a layer cannot hold are known only where a line of the manifest still is.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "index.h"

/* The text in *out: 1 = and something of the old manifest could be used, 0 = all is from the tree. -ENOENT: there is no tree.
 * The layers before must be whole, or have been put together in their turn. Writes nothing. */
int salvage_manifest(struct store *store, int64_t layer, const volatile sig_atomic_t *cancel, struct buf *out, struct snap_err *err);
