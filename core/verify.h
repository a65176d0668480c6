/* The inside of verify, shared by the files that make it: verify.c finds, mend.c repairs.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "findings.h"
#include <stdatomic.h>

struct verify {
    struct snap_project *project;
    bool quick;
    bool usable;                          /* the database's pages are whole: it can be asked */
    bool manifests_whole;                 /* all of them: an index can be built from them */
    int64_t last;                         /* layers after it are another command's */
    int64_t *layers;                      /* those there are, ascending */
    size_t layers_count;
    struct map *only;                     /* contents; NULL = all */
    struct store *apart;                  /* the index as the layers say */
    struct findings findings;
    uint64_t layers_seen;
    unsigned rounds;                      /* of repair */
    atomic_uint_fast64_t files, bytes;
};
void verify_done(struct verify *verify);
int verify_all(struct verify *verify, struct snap_err *err);
int verify_again(struct verify *verify, struct snap_err *err);          /* after a repair: the findings are new ones */
int verify_build_apart(struct verify *verify, struct snap_err *err);
