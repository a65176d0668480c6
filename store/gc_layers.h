/* Layers of freed snapshots, for gc.c. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "gc_rows.h"

/* The manifest of a layer whose snapshot is gone, with the lines that the index still needs. On disk when it returns. */
int gc_write_manifest(struct store *store, int64_t layer, int64_t line, struct snap_err *err);
