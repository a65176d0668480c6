/* snapctl import: what lies in an archive becomes a snapshot.
 * Changes nothing in the project. SPDX-License-Identifier: GPL-2.0-or-later */
#include "project.h"

#include "format.h"

#include <inttypes.h>
#include <stdio.h>

struct import_options { const char *message, *name; uint64_t max_size, max_entries, max_ratio; };

#define MAX_SIZE ((uint64_t)64 << 30)
#define MAX_ENTRIES 4000000
#define MAX_RATIO 200

static const struct option_row options[] = {
    { 'm', NULL, "TEXT", "a message, what the snapshot is for", OPTION_TEXT, offsetof(struct import_options, message), NULL, OPERAND_TEXT },
    { 'n', NULL, "NAME", "a name for the snapshot", OPTION_TEXT, offsetof(struct import_options, name), NULL, OPERAND_TEXT },
    { 0, "max-size", "BYTES", "refuse more than this, decompressed (64 GiB)", OPTION_COUNT, offsetof(struct import_options, max_size), NULL,
      OPERAND_TEXT },
    { 0, "max-entries", "N", "refuse more entries than this (4000000)", OPTION_COUNT, offsetof(struct import_options, max_entries), NULL,
      OPERAND_TEXT },
    { 0, "max-ratio", "N", "refuse to grow by more than this when decompressed (200)", OPTION_COUNT,
      offsetof(struct import_options, max_ratio), NULL, OPERAND_TEXT },
    ROW_END,
};

static void show_hint(struct call *call, int64_t number) {
    _buf_ struct buf line = {0};
    char rest[40];
    (void)snprintf(rest, sizeof(rest), "rollback %" PRId64, number);
    buf_str(&line, "go there with: ");
    add_snapctl(&line, call, rest);
    (void)snprintf(rest, sizeof(rest), "rm %" PRId64, number);
    buf_str(&line, "; take it away with: ");
    add_snapctl(&line, call, rest);
    if (!line.failed)
        out_text(&call->out, "%s\n", line.data);
}

static void show(struct call *call, const struct import_options *given, const struct snap_import_result *result) {
    char read[FORMAT_SIZE], stored[FORMAT_SIZE];
    _buf_ struct buf title = {0};
    add_snapshot(&title, result->number, given->name);
    out_text(&call->out, "%s: imported %" PRIu64 " %s, %s (%s new) in %.2f s; against the newest %" PRIu64 " added, %" PRIu64
             " changed, %" PRIu64 " deleted\n", title.failed ? "snapshot" : title.data, result->entries,
             result->entries == 1 ? "entry" : "entries", format_size(result->bytes, read), format_size(result->stored, stored),
             result->seconds, result->added, result->changed, result->deleted);
    show_hint(call, result->number);
}

static int show_json(struct call *call, const struct import_options *given, const struct snap_import_result *result) {
    json_object *object = json_message("import");
    json_id(object, "number", result->number);
    json_optional(object, "name", given->name);
    json_id(object, "before", result->before);
    json_count(object, "added", result->added);
    json_count(object, "changed", result->changed);
    json_count(object, "deleted", result->deleted);
    json_count(object, "entries", result->entries);
    json_count(object, "bytes", result->bytes);
    json_count(object, "stored", result->stored);
    json_count(object, "failed", result->failed);
    json_add(object, "seconds", json_object_new_double(result->seconds));
    return json_print(&call->out, object);
}

static int run(struct call *call, struct snap_err *err) {
    const struct import_options *given = call->options;
    struct snap_import_options wanted = {
        .message = given->message, .name = given->name,
        .max_bytes = given->max_size ? given->max_size : MAX_SIZE,
        .max_entries = given->max_entries ? given->max_entries : MAX_ENTRIES,
        .max_ratio = given->max_ratio ? given->max_ratio : MAX_RATIO,
    };
    struct snap_import_result result = {0};
    int r = snap_import(call->project, call->words[0], &wanted, &result, err);
    if (r < 0)
        return r;
    if (call->globals.json)
        r = show_json(call, given, &result);
    else if (!call->globals.quiet)
        show(call, given, &result);
    return r < 0 ? r : exit_code(result.failed);
}

const struct cmd cmd_import = {
    .name = "import", .summary = "Make a snapshot of what lies in an archive or an image", .usage = "FILE", .group = "Out and in",
    .manual = "snapctl-import", .options = options, .options_size = sizeof(struct import_options), .words_min = 1, .words_max = 1,
    .operand = OPERAND_FILE, .needs_project = true, .open = SNAP_OPEN_WRITE | SNAP_OPEN_CREATE, .run = run,
};
