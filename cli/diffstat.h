/* Lines added and deleted per path, as `git diff --stat` draws them. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "out.h"
#include "snapctl.h"

struct diffstat_row { char *name; uint64_t added, deleted, before, after; bool binary; };
struct diffstat { struct diffstat_row *rows; size_t count, room; };

int diffstat_add(struct diffstat *stat, const struct snap_change *change);
void diffstat_show(const struct diffstat *stat, struct out *out);
void diffstat_done(struct diffstat *stat);
