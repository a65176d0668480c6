/* snapctl prune: removes the snapshots that a policy does not keep.
 * Frees nothing: undo brings them back until gc. SPDX-License-Identifier: GPL-2.0-or-later */
#include "format.h"
#include "project.h"

#include <inttypes.h>
#include <string.h>

struct prune_options {
    uint64_t last, hourly, daily, weekly, monthly, yearly;
    const char *within, *size;
    bool tagged, dry_run;
};

#define ROW_KEEP(name, field, help) { 0, name, "N", help, OPTION_COUNT, offsetof(struct prune_options, field) }
static const struct option_row options[] = {
    ROW_KEEP("keep-last", last, "keep the newest N"),
    ROW_KEEP("keep-hourly", hourly, "keep the newest of each of the last N hours that have any"),
    ROW_KEEP("keep-daily", daily, "of each of the last N days"),
    ROW_KEEP("keep-weekly", weekly, "of each of the last N weeks"),
    ROW_KEEP("keep-monthly", monthly, "of each of the last N months"),
    ROW_KEEP("keep-yearly", yearly, "of each of the last N years"),
    { 0, "keep-within", "TIME", "keep those not older than the newest by more than TIME (2w3d)", OPTION_TEXT,
      offsetof(struct prune_options, within), NULL, OPERAND_TEXT },
    { 0, "keep-size", "SIZE", "keep the newest that show no more content than SIZE (5G) together", OPTION_TEXT,
      offsetof(struct prune_options, size), NULL, OPERAND_TEXT },
    ROW_FLAG(0, "keep-tag", struct prune_options, tagged, "keep those that have a name"),
    ROW_FLAG(0, "dry-run", struct prune_options, dry_run, "only tell what would be removed"),
    ROW_END,
};

static int bad(const char *option, const char *text, const char *like, struct snap_err *err) {
    _buf_ struct buf shown = {0};
    quote_shell(&shown, text);
    err_set(err, -EINVAL, "%s is nothing for %s", shown.failed ? "this" : shown.data, option);
    err_hint(err, "write it like %s", like);
    return err_failure(err, SNAP_FAILURE_USAGE);
}

/* A number off the front: false if there is none, or it is too large. */
static bool take_number(const char **text, uint64_t *ret) {
    uint64_t value = 0;
    const char *start = *text;
    for (; **text >= '0' && **text <= '9'; ++*text)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (uint64_t)(**text - '0'), &value))
            return false;
    *ret = value;
    return *text > start;
}

static int parse_within(const char *text, int64_t *ret, struct snap_err *err) {
    static const struct { char unit; uint64_t seconds; } units[] = {
        { 'y', 365 * 86400 }, { 'm', 30 * 86400 }, { 'w', 7 * 86400 }, { 'd', 86400 }, { 'h', 3600 },
    };
    uint64_t total = 0, value;
    const char *rest = text;
    while (*rest) {
        size_t unit = 0;
        if (!take_number(&rest, &value))
            return bad("--keep-within", text, "2w3d or 12h", err);
        while (unit < ELEMENTS(units) && units[unit].unit != *rest)
            unit++;
        if (unit == ELEMENTS(units) || __builtin_mul_overflow(value, units[unit].seconds, &value)
            || __builtin_add_overflow(total, value, &total))
            return bad("--keep-within", text, "2w3d or 12h", err);
        rest++;
    }
    if (total == 0 || total > INT64_MAX / 2)
        return bad("--keep-within", text, "2w3d or 12h", err);
    *ret = (int64_t)total;
    return 0;
}

static int parse_size(const char *text, uint64_t *ret, struct snap_err *err) {
    static const char units[] = "KMGT";
    uint64_t value = 0;
    const char *rest = text;
    bool good = take_number(&rest, &value);
    const char *unit = good && *rest ? strchr(units, *rest) : NULL;
    if (unit) {
        uint64_t factor = UINT64_C(1) << (10 * (unit - units + 1));
        good = !__builtin_mul_overflow(value, factor, &value);
        rest++;
    }
    if (!good || *rest || value == 0)
        return bad("--keep-size", text, "5G or 800M", err);
    *ret = value;
    return 0;
}

static int translate(const struct prune_options *given, struct snap_prune_options *ret, struct snap_err *err) {
    struct snap_prune_options options_of = {0};
    options_of.last = given->last;
    options_of.hourly = given->hourly;
    options_of.daily = given->daily;
    options_of.weekly = given->weekly;
    options_of.monthly = given->monthly;
    options_of.yearly = given->yearly;
    options_of.tagged = given->tagged;
    options_of.dry_run = given->dry_run;
    int r = given->within ? parse_within(given->within, &options_of.within, err) : 0;
    if (r == 0 && given->size)
        r = parse_size(given->size, &options_of.size, err);
    if (r == 0)
        *ret = options_of;
    return r;
}

static int show_json(struct call *call, const struct snap_snapshot *snapshot, const char *reason) {
    json_object *object = json_message("decision");
    json_flag(object, "kept", reason != NULL);
    json_optional(object, "reason", reason);
    json_snapshot(object, snapshot);
    return json_print(&call->out, object);
}

static int show(void *data, const struct snap_snapshot *snapshot, const char *reason) {
    struct call *call = data;
    char time[FORMAT_SIZE];
    if (call->globals.json)
        return show_json(call, snapshot, reason);
    if (call->globals.quiet)
        return 0;
    _buf_ struct buf title = {0};
    add_snapshot(&title, snapshot->number, snapshot->name);
    out_painted(&call->out, reason ? PAINT_GREEN : PAINT_RED, reason ? "keep  " : "remove");
    out_text(&call->out, "  %s  %s  %s\n", format_time(snapshot->created, time), title.failed ? "snapshot" : title.data,
             reason ? reason : "nothing keeps it");
    return out_check(&call->out);
}

static int run(struct call *call, struct snap_err *err) {
    struct snap_prune_options wanted = {0};
    struct snap_prune_result result = {0};
    int r = translate(call->options, &wanted, err);
    if (r == 0)
        r = snap_prune(call->project, &wanted, show, call, &result, err);
    if (r < 0)
        return r;
    if (call->globals.json) {
        json_object *object = json_message("prune");
        json_count(object, "kept", result.kept);
        json_count(object, "removed", result.removed);
        json_id(object, "operation", result.operation);
        json_flag(object, "dry_run", wanted.dry_run);
        return json_print(&call->out, object);
    }
    if (call->globals.quiet)
        return 0;
    out_text(&call->out, "%s%" PRIu64 " kept, %" PRIu64 " removed\n", wanted.dry_run ? "would be: " : "", result.kept, result.removed);
    show_undo(call, result.operation);
    return 0;
}

const struct cmd cmd_prune = {
    .name = "prune", .summary = "Remove the snapshots that a policy does not keep", .usage = "", .group = "Space",
    .manual = "snapctl-prune", .options = options, .options_size = sizeof(struct prune_options), .needs_project = true,
    .open = SNAP_OPEN_WRITE, .run = run,
};
