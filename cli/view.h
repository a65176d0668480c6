/* Change rows as people, scripts, patch(1) and programs read them. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "cmd.h"
#include "diffstat.h"

enum view_format { VIEW_TEXT = 0, VIEW_PORCELAIN, VIEW_ZERO, VIEW_PATCH, VIEW_STAT, VIEW_JSON };

struct view {
    struct call *call;
    enum view_format format;
    uint64_t rows;             /* shown so far */
    struct diffstat stat;      /* VIEW_STAT gathers: widths are known at the end */
};

/* snap_change_fn, with the struct view as data. */
int view_change(void *data, const struct snap_change *change);
/* What VIEW_STAT gathered. */
void view_end(struct view *view);
void view_done(struct view *view);
#define _view_ _cleanup_(view_done)
