/* Flushing a store while it is being written to, from a thread of its own: the disk works while processors still copy, and at the end there
 * is little left to wait for. What is flushed early is only sooner where it goes anyway; nothing depends on it but the last flush.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "store.h"

#include <stdint.h>

struct flusher;
/* NULL: no memory. The thread is made when it is first wanted. */
struct flusher *flusher_new(struct store *store);
struct flusher *flusher_free(struct flusher *flusher);       /* waits for a flush that is under way; NULL is fine */
DEFINE_CLEANUP(struct flusher *, flusher_free)
void flusher_wrote(struct flusher *flusher, uint64_t bytes);  /* thread-safe; a flush begins when enough came together. NULL is fine */
void flusher_begin(struct flusher *flusher);                  /* one begins now, whatever came together. NULL is fine */
/* Waits until no flush is wanted or under way: 0, or why one failed: what it should have kept may be lost. NULL is fine */
int flusher_wait(struct flusher *flusher, struct snap_err *err);
