/* snapctl undo: takes an operation back.
 * Leaves alone what others changed since, unless forced. SPDX-License-Identifier: GPL-2.0-or-later */
#include "again.h"
#include "format.h"

struct undo_options { bool force; };

static const struct option_row options[] = {
    ROW_FLAG(0, "force", struct undo_options, force, "also what was changed since; that is captured first"),
    ROW_END,
};

static int parse_operation(const char *word, int64_t *ret, struct snap_err *err) {
    uint64_t number;
    if (parse_count(word, &number) == 0 && number <= INT64_MAX) {
        *ret = (int64_t)number;
        return 0;
    }
    _buf_ struct buf shown = {0};
    quote_shell(&shown, word);
    err_set(err, -EINVAL, "%s is not the number of an operation", shown.failed ? "this" : shown.data);
    err_hint(err, "see: snapctl op log");
    return err_failure(err, SNAP_FAILURE_USAGE);
}

static int run(struct call *call, struct snap_err *err) {
    const struct undo_options *given = call->options;
    struct snap_rollback_result result = {0};
    int64_t operation = 0;
    int r = call->words[0] ? parse_operation(call->words[0], &operation, err) : 0;
    if (r == 0)
        r = snap_undo(call->project, operation, given->force, &result, err);
    return r < 0 ? r : again_show(call, true, &result);
}

const struct cmd cmd_undo = {
    .name = "undo", .summary = "Take back the last operation, or operation OP", .usage = "[OP]", .group = "Go back",
    .manual = "snapctl-undo", .options = options, .options_size = sizeof(struct undo_options),
    .words_max = 1, .operand = OPERAND_OPERATION, .needs_project = true, .open = SNAP_OPEN_WRITE | SNAP_OPEN_WORKSPACE, .run = run,
};
