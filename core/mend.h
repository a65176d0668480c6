/* The inside of repair: mend.c decides, mend_layer.c puts back what belongs into a layer.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "verify.h"

struct lost { int64_t *contents; size_t count, room; };
struct mend {
    struct verify *verify;                /* what was found in this round, spread */
    struct snap_project *project;
    struct store *store;
    struct lost lost, found;              /* contents without a whole copy; lost ones that there is one of again */
};
/* Puts back what the layer's manifest says, as far as there is a copy; what there is none of is added to mend->lost. */
int mend_layer(struct mend *mend, int64_t layer, struct snap_err *err);
/* Moves something of the store into its lost+found, under a name that is free there. Absent is success. */
int mend_aside(struct store *store, const char *file, struct snap_err *err);
/* Repairs what verify->findings says; on return they say what became of it. */
int mend_all(struct verify *verify, struct snap_err *err);
