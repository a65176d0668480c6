/* Which snapshot stands on which, drawn beside a list, newest first.
 * A forest: nobody has two parents, so lines only ever meet. SPDX-License-Identifier: GPL-2.0-or-later */
#include "graph.h"

#include "cleanup.h"

int graph_show(struct graph *graph, int64_t number) {
    if (MAKE_ROOM(graph->shown, graph->shown_count, graph->shown_room) < 0)
        return -ENOMEM;
    graph->shown[graph->shown_count++] = number;
    return 0;
}

static bool is_shown(struct graph *graph, int64_t number) {
    while (graph->shown_next < graph->shown_count && graph->shown[graph->shown_next] > number)
        graph->shown_next++;
    return graph->shown_next < graph->shown_count && graph->shown[graph->shown_next] == number;
}

int graph_parent(struct graph *graph, int64_t number, int64_t parent) {
    if (MAKE_ROOM(graph->nodes, graph->count, graph->room) < 0)
        return -ENOMEM;
    graph->nodes[graph->count++] = (struct graph_node){ number, parent, is_shown(graph, number) };
    return 0;
}

static const struct graph_node *find(const struct graph *graph, int64_t number) {
    size_t from = 0, to = graph->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (graph->nodes[middle].number == number)
            return &graph->nodes[middle];
        if (graph->nodes[middle].number > number)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

/* The next ancestor that is listed; 0 = none. Numbers fall from child to parent, so this ends. */
static int64_t ancestor(const struct graph *graph, int64_t number) {
    const struct graph_node *node = find(graph, number);
    while (node && node->parent && node->parent < node->number) {
        node = find(graph, node->parent);
        if (node && node->shown)
            return node->number;
    }
    return 0;
}

static size_t column_of(const struct graph *graph, int64_t number) {
    size_t column = 0;
    while (column < graph->width && graph->columns[column] != number)
        column++;
    return column;
}

/* The column of a number; a new one where nothing leads to it. */
static size_t enter(struct graph *graph, int64_t number) {
    size_t column = column_of(graph, number);
    if (column < graph->width)
        return column;
    column = column_of(graph, 0);
    if (column < graph->width) {
        graph->columns[column] = number;
        return column;
    }
    if (MAKE_ROOM(graph->columns, graph->width, graph->width_room) < 0)
        return SIZE_MAX;
    graph->columns[graph->width] = number;
    return graph->width++;
}

static void trim(struct graph *graph) {
    while (graph->width && !graph->columns[graph->width - 1])
        graph->width--;
}

/* |_|/ : the line of column `from` joins that of `to`, left of it. */
static const char *join_piece(const struct graph *graph, size_t i, size_t to, size_t from) {
    bool filled = graph->columns[i] != 0;
    if (i == from)
        return "  ";
    if (i + 1 == from)
        return filled ? "|/" : " /";
    if (i >= to && i < from)
        return filled ? "|_" : "__";
    return filled ? "| " : "  ";
}

static void show_join(struct out *out, const struct graph *graph, size_t to, size_t from) {
    size_t end = from + 1 == graph->width ? from : graph->width;        /* nothing hangs over at the right */
    for (size_t i = 0; i < end; i++)
        out_text(out, "%s", join_piece(graph, i, to, from));
    out_text(out, "\n");
}

/* Several children of one snapshot: their lines meet above it, the rightmost first. */
static void join(struct graph *graph, struct out *out, size_t column) {
    for (size_t i = graph->width; i-- > column + 1;) {
        if (graph->columns[i] != graph->columns[column])
            continue;
        show_join(out, graph, column, i);
        graph->columns[i] = 0;
        trim(graph);
    }
}

void graph_row(struct graph *graph, struct out *out, int64_t number) {
    size_t own = enter(graph, number);
    if (own == SIZE_MAX)
        return;
    join(graph, out, own);
    for (size_t i = 0; i < graph->width; i++) {
        const char *line = graph->columns[i] ? "| " : "  ";
        out_text(out, "%s", i == own ? "* " : line);
    }
    graph->columns[own] = ancestor(graph, number);
    trim(graph);
}

void graph_done(struct graph *graph) {
    free(graph->nodes);
    free(graph->columns);
    free(graph->shown);
    *graph = (struct graph){0};
}
