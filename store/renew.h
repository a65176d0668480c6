/* A new database in the place of a damaged one. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "store.h"

struct renewed {
    bool operations_lost, facts_lost;     /* the log of operations, the facts about the store, could not be taken over */
    unsigned kept;                        /* the old one is store.db.damaged-<kept>; 0 = there was none */
};
/* `apart` has the index as the layers say (rebuild.h). Adds what only the old database knew, as far as its tables are whole, and
 * whose store it is; empties the live index; writes all to a file; keeps the old one aside, and puts the new one there.
 * Under the lock; without an open transaction. Cut short, the store has the old one, none, or the new one. */
int renew_database(struct store *store, struct store *apart, const char *project, const char *identity, struct renewed *ret,
                   struct snap_err *err);
