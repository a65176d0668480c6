/* snapctl log: the snapshots, newest first.
 * Lists no files. SPDX-License-Identifier: GPL-2.0-or-later */
#include "format.h"
#include "graph.h"
#include "project.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct log_options { uint64_t limit; int64_t since, until; bool graph, automatic; };

static const struct option_row options[] = {
    { 'n', NULL, "N", "no more than N snapshots", OPTION_COUNT, offsetof(struct log_options, limit), NULL, OPERAND_TEXT },
    ROW_FLAG(0, "graph", struct log_options, graph, "draw which snapshot stands on which"),
    { 0, "since", "TIME", "only snapshots from TIME on", OPTION_SINCE, offsetof(struct log_options, since), NULL, OPERAND_TEXT },
    { 0, "until", "TIME", "only snapshots up to TIME", OPTION_UNTIL, offsetof(struct log_options, until), NULL, OPERAND_TEXT },
    ROW_FLAG('a', "all", struct log_options, automatic, "also the automatic ones"),
    ROW_END,
};

struct listing {
    struct call *call;
    struct graph *graph;       /* NULL = none is drawn */
    int width;                 /* of the number: newest first, so the first is the widest */
    uint64_t count;
};

/* The first line, or all of them with -v, each under the first. */
static void show_message(struct listing *listing, const char *message) {
    struct out *out = &listing->call->out;
    const char *end = strchrnul(message, '\n');
    _free_ char *first = strndup(message, (size_t)(end - message));
    if (first && *first) {
        out_text(out, "  ");
        out_path(out, first);
    }
    out_text(out, "\n");
    while (listing->call->globals.verbose && *end) {
        const char *line = end + 1;
        end = strchrnul(line, '\n');
        _free_ char *text = strndup(line, (size_t)(end - line));
        out_text(out, "%*s", listing->width + 23, "");
        out_path(out, text ? text : "?");
        out_text(out, "\n");
    }
}

static void show_name(struct out *out, const struct snap_snapshot *snapshot) {
    if (snapshot->automatic)
        out_painted(out, PAINT_DIM, "  automatic");
    if (snapshot->foreign)
        out_painted(out, PAINT_DIM, "  imported");
    if (!*snapshot->name)
        return;
    out_text(out, "  ");
    out_paint(out, PAINT_GREEN);
    out_text(out, "\"");
    out_path(out, snapshot->name);
    out_text(out, "\"");
    out_paint(out, PAINT_PLAIN);
}

static void show_text(struct listing *listing, const struct snap_snapshot *snapshot) {
    struct out *out = &listing->call->out;
    char time[FORMAT_SIZE], number[24], counts[72];
    (void)snprintf(number, sizeof(number), "%*" PRId64, listing->width, snapshot->number);
    if (!listing->width)
        listing->width = (int)strlen(number);
    (void)snprintf(counts, sizeof(counts), "+%" PRIu64 " ~%" PRIu64 " -%" PRIu64, snapshot->added, snapshot->changed, snapshot->deleted);
    if (listing->graph)
        graph_row(listing->graph, out, snapshot->number);
    out_painted(out, PAINT_YELLOW, number);
    bool more = snapshot->automatic || snapshot->foreign || *snapshot->name || *snapshot->message;
    out_text(out, "  %s  %-*s", format_time(snapshot->created, time), more ? 12 : 0, counts);
    show_name(out, snapshot);
    show_message(listing, snapshot->message);
}

static int show_json(struct call *call, const struct snap_snapshot *snapshot) {
    json_object *object = json_message("snapshot");
    json_snapshot(object, snapshot);
    return json_print(&call->out, object);
}

static int show(void *data, const struct snap_snapshot *snapshot) {
    struct listing *listing = data;
    listing->count++;
    if (listing->call->globals.json)
        return show_json(listing->call, snapshot);
    show_text(listing, snapshot);
    return out_check(&listing->call->out);
}

static int note_shown(void *data, const struct snap_snapshot *snapshot) {
    return graph_show(data, snapshot->number);
}

static int note_parent(void *data, const struct snap_snapshot *snapshot) {
    return graph_parent(data, snapshot->number, snapshot->parent);
}

/* A parent may be one that is not listed: the line then leads to the next ancestor that is. */
static int draw(struct call *call, const struct snap_log_options *wanted, struct graph *graph, struct snap_err *err) {
    int r = snap_log(call->project, wanted, note_shown, graph, err);
    if (r < 0)
        return r;
    return snap_log(call->project, &(struct snap_log_options){ .automatic = true }, note_parent, graph, err);
}

static int show_end(const struct listing *listing) {
    if (listing->call->globals.json) {
        json_object *object = json_message("log");
        json_count(object, "snapshots", listing->count);
        return json_print(&listing->call->out, object);
    }
    if (!listing->count && !listing->call->globals.quiet)
        out_text(&listing->call->out, "no snapshots\n");
    return 0;
}

static int run(struct call *call, struct snap_err *err) {
    const struct log_options *given = call->options;
    _free_ char *path = NULL;
    int r = call->words[0] ? snap_project_path(call->project, call->words[0], &path, err) : 0;
    if (r < 0)
        return r;
    struct snap_log_options wanted = {
        .path = path, .limit = given->limit, .since = given->since, .until = given->until, .automatic = given->automatic,
    };
    _graph_ struct graph graph = {0};
    struct listing listing = { .call = call, .graph = given->graph && !call->globals.json ? &graph : NULL };
    if (listing.graph)
        r = draw(call, &wanted, &graph, err);
    if (r == 0)
        r = snap_log(call->project, &wanted, show, &listing, err);
    return r < 0 ? r : show_end(&listing);
}

const struct cmd cmd_log = {
    .name = "log", .summary = "List snapshots, newest first; with PATH those in which it changed", .usage = "[PATH]",
    .group = "Look", .manual = "snapctl-log", .options = options, .options_size = sizeof(struct log_options),
    .words_max = 1, .operand = OPERAND_FILE, .needs_project = true, .open = SNAP_OPEN_READ | SNAP_OPEN_WORKSPACE, .paged = true, .run = run,
};
