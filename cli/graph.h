/* Which snapshot stands on which, drawn beside a list, newest first. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "out.h"

#include <stdint.h>

struct graph_node { int64_t number, parent; bool shown; };
struct graph {
    struct graph_node *nodes;  /* by number, descending */
    size_t count, room;
    int64_t *columns;          /* the number that each column leads to; 0 = an empty column */
    size_t width, width_room;
    int64_t *shown;            /* descending, until graph_parent turns them into nodes */
    size_t shown_count, shown_room, shown_next;
};

/* First every number that is listed, then every snapshot there is with its parent, both in descending order. */
int graph_show(struct graph *graph, int64_t number);
int graph_parent(struct graph *graph, int64_t number, int64_t parent);
/* What stands left of this snapshot's line; preceded by the lines that join columns. */
void graph_row(struct graph *graph, struct out *out, int64_t number);
void graph_done(struct graph *graph);
#define _graph_ _cleanup_(graph_done)
