/* What verify found: damage as the store tells it, then who shows it. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "check.h"
#include "project.h"

struct finding {
    enum damage_kind kind;
    int64_t layer, in, content, object;   /* as in struct damage */
    char *file, *name, *text;             /* NULL where there is none */
    struct shown *shown;                  /* rows of the index that show it; names owned */
    size_t shown_count, shown_room;
    bool whole;                           /* shown as a whole, by the snapshots from `born` to before `died` of `line` */
    int64_t line, born, died;
    bool shared;                          /* a link: one inode that must be two */
    enum snap_outcome outcome;
    struct finding *same;                 /* of the same content or object */
};
struct findings {
    struct finding **all;
    size_t count, room;
};
void findings_done(struct findings *findings);
#define _findings_ _cleanup_(findings_done)
void findings_cut(struct findings *findings, size_t count);           /* only the first so many stay */
int findings_add(void *findings, const struct damage *damage);       /* a damage_fn */
/* Who shows them, asked of an index that can be asked. */
int findings_spread(struct findings *findings, struct store *index, struct snap_err *err);
void findings_sort(struct findings *findings);                        /* by layer and file */
void findings_unspread(struct findings *findings);                    /* forgets what the index said */
int findings_tell(const struct findings *findings, struct store *index, snap_damage_fn fn, void *data, struct snap_err *err);
int finding_set_lost(struct finding *finding);                        /* it is known to be lost */
const char *finding_kind(enum damage_kind kind);
