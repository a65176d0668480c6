/* What may change of a snapshot after its layer was sealed: a small file beside the manifest, layers/<id>/facts, which says
 * what the index says, so that the index can be built anew.
 *
 *     #snapctl-facts 1
 *     #snapshot flags=4 [name=Q]         its row; not where the snapshot is gone
 *     #lost content=3                    content of this layer that is damaged, and of which there is no other copy
 *     #end lines=N xxh128=HEX-of-all-before
 *
 * Without the file, the manifest's flags and name hold. The index comes first: the transaction that changes a row remembers
 * which layers' facts are to be written (fact "facts"), and whoever committed it, or the next command, writes them.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "index.h"

struct facts {
    bool has_snapshot;
    unsigned flags;
    char *name;                /* NULL = none */
    int64_t *lost;
    size_t lost_count;
};
void facts_done(struct facts *facts);
#define _facts_ _cleanup_(facts_done)
/* 0 = there is no such file, 1 = read, -EUCLEAN with a sentence. */
int facts_read(struct store *store, int64_t layer, struct facts *ret, struct snap_err *err);
/* In the transaction that changes what the facts of a layer say. */
int facts_remember(struct store *store, int64_t layer, struct snap_err *err);
/* A content is lost, or found again: its objects, and the facts of its layer. In a transaction. */
int facts_is_lost(struct store *store, int64_t content, struct snap_err *err);       /* 1, 0; reads all objects if any is lost */
int facts_lose(struct store *store, int64_t content, bool lost, struct snap_err *err);
/* Writes the files that were remembered; outside of a transaction, under the lock. */
int facts_write(struct store *store, struct snap_err *err);
/* The same by whoever just committed: a failure is no failure of the command, since the next one tries again. */
void facts_settle(struct store *store);
int facts_pending(struct store *store, struct snap_err *err);      /* 1 = some are remembered, 0 = none */
