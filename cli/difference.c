/* What status and diff have in common: the form of the output, the summary, the exit code.
 * Compares nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "difference.h"

#include "format.h"

#include <inttypes.h>
#include <string.h>

int forms_choose(const struct call *call, const struct forms *given, enum view_format *ret, struct snap_err *err) {
    bool json = call->globals.json, script = given->porcelain || given->zero;
    if (json + script + given->patch + given->stat > 1 && !(json && !script)) {
        err_set(err, -EINVAL, "the forms of output exclude each other");
        err_hint(err, "give one of --porcelain or -z%s, --json", strcmp(call->cmd->name, "diff") == 0 ? ", --patch, --stat" : "");
        return err_failure(err, SNAP_FAILURE_USAGE);
    }
    *ret = json ? VIEW_JSON : given->zero ? VIEW_ZERO : given->porcelain ? VIEW_PORCELAIN : given->patch ? VIEW_PATCH
         : given->stat ? VIEW_STAT : VIEW_TEXT;
    return 0;
}

static void add_count(struct buf *out, uint64_t count, const char *what) {
    if (count)
        buf_fmt(out, "%s%" PRIu64 " %s", out->size ? ", " : "", count, what);
}

void show_counts(struct out *out, const struct snap_diff_result *result, uint64_t rows) {
    _buf_ struct buf parts = {0};
    add_count(&parts, result->added, "added");
    add_count(&parts, result->deleted, "deleted");
    add_count(&parts, result->modified, "modified");
    add_count(&parts, result->metadata, "with new metadata");
    add_count(&parts, result->type_changed, "of another type");
    add_count(&parts, result->renamed, "renamed");
    out_text(out, "%" PRIu64 " %s%s%s\n", rows, plural(rows, "change", "changes"), parts.size ? ": " : "",
             parts.size && !parts.failed ? parts.data : "");
}

void json_counts(json_object *object, const struct snap_diff_result *result) {
    json_id(object, "from", result->from);
    json_id(object, "to", result->to);
    json_count(object, "added", result->added);
    json_count(object, "deleted", result->deleted);
    json_count(object, "modified", result->modified);
    json_count(object, "metadata", result->metadata);
    json_count(object, "type_changed", result->type_changed);
    json_count(object, "renamed", result->renamed);
    json_count(object, "failed", result->failed);
}

int difference_code(const struct snap_diff_result *result, uint64_t rows, bool tell) {
    if (result->failed)
        return EXIT_PARTIAL;
    return tell && rows ? EXIT_DIFFERENT : 0;
}
