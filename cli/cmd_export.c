/* snapctl export: a snapshot as an archive, in a file or a pipe.
 * Writes no archive to a terminal. SPDX-License-Identifier: GPL-2.0-or-later */
#include "format.h"
#include "json.h"
#include "project.h"

#include <inttypes.h>
#include <string.h>

struct export_options {
    const char *file, *since;
    unsigned format;           /* enum snap_export_format */
    unsigned whiteouts;        /* enum snap_whiteouts */
    bool overwrite;
};

static const char *const formats[] = { [SNAP_EXPORT_AUTO] = "auto", [SNAP_EXPORT_TAR] = "tar", [SNAP_EXPORT_MTREE] = "mtree",
                                      [SNAP_EXPORT_OCI] = "oci", NULL };
static const char *const whiteouts[] = { [SNAP_WHITEOUTS_OCI] = "oci", [SNAP_WHITEOUTS_OVERLAY] = "overlay", NULL };

static const struct option_row options[] = {
    { 'o', NULL, "FILE", "where to; - is standard output", OPTION_TEXT, offsetof(struct export_options, file), NULL, OPERAND_FILE },
    { 0, "format", "FORMAT", "tar, mtree or oci, whatever FILE is called; auto: as its name ends", OPTION_CHOICE,
      offsetof(struct export_options, format), formats, OPERAND_NONE },
    { 0, "since", "SNAP", "only what differs from this snapshot, with whiteouts for what was deleted", OPTION_TEXT,
      offsetof(struct export_options, since), NULL, OPERAND_SNAPSHOT },
    { 0, "whiteouts", "DIALECT", "what --since writes for what was deleted: oci or overlay", OPTION_CHOICE,
      offsetof(struct export_options, whiteouts), whiteouts, OPERAND_NONE },
    ROW_FLAG(0, "overwrite", struct export_options, overwrite, "replace FILE if it exists"),
    ROW_END,
};

static void show(struct call *call, const char *file, const struct snap_export_result *result) {
    struct out *out = &call->out;
    char size[FORMAT_SIZE], written[FORMAT_SIZE];
    _buf_ struct buf snapshot = {0};
    add_snapshot_found(&snapshot, call, result->snapshot);
    if (result->since) {
        buf_str(&snapshot, " since ");
        add_snapshot_found(&snapshot, call, result->since);
    }
    out_text(out, "exported %s to ", snapshot.failed ? "it" : snapshot.data);
    out_path(out, file);
    out_text(out, ": ");
    if (result->layers)
        out_text(out, "%" PRIu64 "%s, ", result->layers, plural(result->layers, " layer", " layers"));
    out_text(out, "%" PRIu64 "%s, ", result->entries, plural(result->entries, " entry", " entries"));
    if (result->since)
        out_text(out, "%" PRIu64 " deleted, ", result->deleted);
    out_text(out, "%s", format_size(result->bytes, size));
    out_text(out, "; %s written in %.2f s\n", format_size(result->written, written), result->seconds);
}

static int show_json(struct call *call, const char *file, const struct snap_export_result *result) {
    json_object *object = json_message("export");
    json_number(object, "snapshot", result->snapshot);
    json_id(object, "since", result->since);
    json_path(object, "file", file);
    json_text(object, "format", result->format);
    json_optional(object, "compression", result->compression);
    if (result->layers)
        json_count(object, "layers", result->layers);
    json_count(object, "entries", result->entries);
    if (result->since)
        json_count(object, "deleted", result->deleted);
    json_count(object, "bytes", result->bytes);
    json_count(object, "written", result->written);
    json_count(object, "failed", result->failed);
    json_add(object, "seconds", json_object_new_double(result->seconds));
    return json_print(&call->out, object);
}

/* Standard output carries the archive then, and nothing else. */
static int check_stream(const struct call *call, struct snap_err *err) {
    if (!isatty(STDOUT_FILENO) && !call->globals.json)
        return 0;
    err_set(err, -EINVAL, call->globals.json ? "standard output cannot carry both the archive and JSON"
                                             : "an archive is not written to a terminal");
    err_hint(err, "name a file with -o FILE%s", call->globals.json ? "" : ", or pipe it on");
    return err_failure(err, SNAP_FAILURE_USAGE);
}

static int run(struct call *call, struct snap_err *err) {
    const struct export_options *given = call->options;
    bool stream = !given->file || strcmp(given->file, "-") == 0;
    struct snap_export_options wanted = {
        .snapshot = call->words[0], .since = given->since, .file = stream ? NULL : given->file, .fd = STDOUT_FILENO,
        .format = (enum snap_export_format)given->format, .whiteouts = (enum snap_whiteouts)given->whiteouts,
        .overwrite = given->overwrite,
    };
    struct snap_export_result result = {0};
    int r = stream ? check_stream(call, err) : 0;
    if (r == 0)
        r = snap_export(call->project, &wanted, &result, err);
    if (r < 0)
        return r == -EPIPE ? -EIO : r;    /* who reads an archive wants all of it: worth a sentence */
    if (!stream && call->globals.json)
        r = show_json(call, given->file, &result);
    else if (!stream && !call->globals.quiet)
        show(call, given->file, &result);
    return r < 0 ? r : exit_code(result.failed);
}

const struct cmd cmd_export = {
    .name = "export", .summary = "Write a snapshot as an archive", .usage = "SNAP", .group = "Out and in", .manual = "snapctl-export",
    .options = options, .options_size = sizeof(struct export_options), .words_min = 1, .words_max = 1, .operand = OPERAND_SNAPSHOT,
    .needs_project = true, .open = SNAP_OPEN_READ, .run = run,
};
