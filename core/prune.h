/* Which snapshots a policy keeps. Knows times and numbers, no store. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "snapctl.h"

struct prune_item {
    int64_t number;
    int64_t created;           /* seconds since the epoch */
    uint64_t held;             /* bytes of content that this one and all newer ones show together */
    bool named;
    const char *reason;        /* of keeping it; NULL = dropped. Static */
};
/* Newest first. */
void prune_decide(const struct snap_prune_options *options, struct prune_item *items, size_t count);
bool prune_is_empty(const struct snap_prune_options *options);
