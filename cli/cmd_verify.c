/* snapctl verify: what of the store is damaged, and which snapshots and paths that affects.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "project.h"

#include "format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct verify_options { bool quick, repair; };

static const struct option_row options[] = {
    ROW_FLAG(0, "quick", struct verify_options, quick, "read no content: names, sizes, metadata and the index alone"),
    ROW_FLAG(0, "repair", struct verify_options, repair, "mend what there is a copy of, and mark the rest as lost"),
    ROW_END,
};

static const char *outcome_name(enum snap_outcome outcome) {
    switch (outcome) {
    case SNAP_OUTCOME_FOUND: return "found";
    case SNAP_OUTCOME_REPAIRED: return "repaired";
    case SNAP_OUTCOME_ASIDE: return "aside";
    case SNAP_OUTCOME_LOST: return "lost";
    }
    return "found";
}

static enum paint outcome_paint(enum snap_outcome outcome) {
    return outcome == SNAP_OUTCOME_REPAIRED || outcome == SNAP_OUTCOME_ASIDE ? PAINT_GREEN : PAINT_RED;
}

/* "1-3, 7": runs of numbers that follow each other. */
static void add_runs(struct buf *out, const int64_t *numbers, size_t count) {
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && numbers[end] == numbers[end - 1] + 1;)
            end++;
        buf_fmt(out, "%s%" PRId64, i ? ", " : "", numbers[i]);
        if (end - i > 1)
            buf_fmt(out, "-%" PRId64, numbers[end - 1]);
    }
}

static void show_where(struct out *out, const struct snap_damage *damage) {
    _buf_ struct buf runs = {0};
    add_runs(&runs, damage->snapshots, damage->snapshot_count);
    if (!damage->snapshot_count || runs.failed)
        return;
    out_text(out, "          ");
    if (damage->path) {
        out_path(out, *damage->path ? damage->path : ".");
        out_text(out, " in ");
    }
    out_text(out, "%s %s\n", damage->snapshot_count == 1 ? "snapshot" : "snapshots", runs.data);
}

static void show_text(struct out *out, const struct snap_damage *damage) {
    out_paint(out, outcome_paint(damage->outcome));
    out_text(out, "%-8s", outcome_name(damage->outcome));
    out_paint(out, PAINT_PLAIN);
    out_text(out, "  ");
    if (damage->file) {
        out_path(out, damage->file);
        out_text(out, ": ");
    }
    out_path(out, damage->text);
    out_text(out, "\n");
}

static int show_json(struct call *call, const struct snap_damage *damage) {
    json_object *object = json_message("damage"), *snapshots = json_object_new_array();
    json_text(object, "kind", damage->kind);
    json_text(object, "outcome", outcome_name(damage->outcome));
    json_path(object, "text", damage->text);
    json_optional(object, "file", damage->file);
    if (damage->path)
        json_path(object, "path", damage->path);
    for (size_t i = 0; i < damage->snapshot_count; i++)
        (void)json_object_array_add(snapshots, json_object_new_int64(damage->snapshots[i]));
    json_add(object, "snapshots", snapshots);
    return json_print(&call->out, object);
}

/* A damage that shows under several paths comes once for each, one after the other. */
struct shower { struct call *call; char last[8192]; };

static bool is_same(struct shower *shower, const struct snap_damage *damage) {
    char now[sizeof(shower->last)];
    (void)snprintf(now, sizeof(now), "%s: %s", damage->file ? damage->file : "", damage->text);
    bool same = damage->snapshot_count && strcmp(now, shower->last) == 0;
    memcpy(shower->last, now, sizeof(now));
    return same;
}

static int show(void *data, const struct snap_damage *damage) {
    struct shower *shower = data;
    struct out *out = &shower->call->out;
    if (shower->call->globals.json)
        return show_json(shower->call, damage);
    if (!is_same(shower, damage))
        show_text(out, damage);
    show_where(out, damage);
    return out_check(out);
}

static void show_end(struct call *call, const struct snap_verify_result *result) {
    char size[FORMAT_SIZE];
    struct out *out = &call->out;
    out_text(out, "verified %" PRIu64 " %s; read %" PRIu64 " %s, %s in %.2f s\n", result->layers, plural(result->layers, "layer", "layers"),
             result->files, plural(result->files, "file", "files"), format_size(result->bytes, size), result->seconds);
    if (!result->damaged)
        out_text(out, "no damage found\n");
    else
        out_text(out, "damage found in %" PRIu64 " %s\n", result->damaged, plural(result->damaged, "place", "places"));
}

static int show_end_json(struct call *call, const struct snap_verify_result *result) {
    json_object *object = json_message("verify");
    json_count(object, "layers", result->layers);
    json_count(object, "files", result->files);
    json_count(object, "bytes", result->bytes);
    json_count(object, "damaged", result->damaged);
    json_count(object, "repaired", result->repaired);
    json_count(object, "lost", result->lost);
    json_add(object, "seconds", json_object_new_double(result->seconds));
    return json_print(&call->out, object);
}

static int run(struct call *call, struct snap_err *err) {
    const struct verify_options *given = call->options;
    struct snap_verify_options wanted = { .spec = call->words[0], .quick = given->quick, .repair = given->repair };
    struct snap_verify_result result = {0};
    struct shower shower = { .call = call };
    int r = project_open(call, SNAP_OPEN_DAMAGED | (given->repair ? SNAP_OPEN_WRITE : SNAP_OPEN_READ), err);
    if (r == 0)
        r = snap_verify(call->project, &wanted, show, &shower, &result, err);
    if (r < 0)
        return r;
    if (call->globals.json)
        r = show_end_json(call, &result);
    else if (!call->globals.quiet)
        show_end(call, &result);
    return r < 0 ? r : result.damaged > result.repaired ? EXIT_DAMAGE : 0;
}

const struct cmd cmd_verify = {
    .name = "verify", .summary = "Check that everything stored is whole", .usage = "[SNAP]", .group = "More",
    .manual = "snapctl-verify", .options = options, .options_size = sizeof(struct verify_options),
    .words_max = 1, .operand = OPERAND_SNAPSHOT, .run = run,
};
