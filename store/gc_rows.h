/* The rows of freed snapshots, and what a remaining layer is needed for. Inside of gc.c, gc_rows.c and gc_layers.c.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "db.h"
#include "gc.h"

struct numbers { int64_t *at; size_t count, room; };
void numbers_done(struct numbers *numbers);
int numbers_add(struct numbers *numbers, int64_t number);
void numbers_sort(struct numbers *numbers);                          /* each once */
bool numbers_have(const struct numbers *numbers, int64_t number);    /* of sorted ones */
/* Whether one of them lies in [from, to). */
bool numbers_within(const struct numbers *numbers, int64_t from, int64_t to);
int numbers_read(struct numbers *numbers, struct db_statement *row, struct snap_err *err);      /* column 0 of all rows, then sorted */

/* One line while snapshots of it are freed. */
struct pass {
    struct store *store;
    int64_t line;
    struct numbers freed, kept;
    struct numbers touched;    /* layers in which something may have lost its last reason */
    struct numbers dirs;       /* identities whose places may have */
    struct gc_freed *sums;
    struct snap_err *err;
};

/* Its manifest is written anew after the commit. */
int gc_stale(struct store *store, int64_t layer, int64_t line, struct snap_err *err);
/* Deletes the rows that no kept snapshot shows, and what only they held. */
int gc_rows(struct pass *pass);
/* The places of pass->dirs that nothing needs any more; after the layers. */
int gc_places(struct pass *pass);
/* What the layers in pass->touched are still needed for: their manifests to come, and what is to be unlinked. */
int gc_layers(struct pass *pass);
