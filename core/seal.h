/* From a finished scan to a sealed layer and rows of the index: plan, layer, index, in this order.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "sweep.h"

struct sealed { uint64_t reflinked, copied, linked, bytes; };
struct seal;
/* What differs from the newest entries of the line of its ground; asks the index only. */
int seal_plan(struct scan *scan, int64_t number, struct seal **ret, struct snap_err *err);
struct seal *seal_free(struct seal *seal);
DEFINE_CLEANUP(struct seal *, seal_free)
#define _seal_ _cleanup_(seal_freep)
/* What diff would list from the newest entries to these, where that needs no looking for partners: nothing went, moved, or has
 * several names. 1 = counted, 0 = it is not so plain. */
int seal_counts(struct seal *seal, struct snap_snapshot *ret);
size_t seal_count(const struct seal *seal);           /* names that differ */
/* 1 = the project shows exactly what snapshot `number` of its line shows, 0 = not. 0 = what the line stands on. Cost: what differs between the three. */
int seal_equals(struct seal *seal, int64_t number, struct snap_err *err);
/* Completes the layer in the stage: files of older layers, whiteouts, directories put together. */
int seal_layer(struct seal *seal, struct snap_err *err);
/* The manifest, which holds all of the snapshot's row: once the rows are written and counted. */
int seal_manifest(struct seal *seal, const struct snapshot *snapshot, struct snap_err *err);
/* The rows, in an open transaction; the snapshot's own row is the caller's. */
int seal_index(struct seal *seal, struct sealed *ret, struct snap_err *err);
/* The records of what the scan saw, in an open transaction. */
int seal_live(struct scan *scan, struct snap_err *err);
