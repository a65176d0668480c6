/* snapctl diff: what differs between two snapshots, or a snapshot and the project.
 * Writes nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "difference.h"
#include "project.h"
#include "report.h"

struct diff_options { bool name_status, patch, stat, porcelain, zero, exit_code, no_renames, times; };

static const struct option_row options[] = {
    ROW_FLAG(0, "name-status", struct diff_options, name_status, "a letter and a path for each change; the default"),
    ROW_FLAG('p', "patch", struct diff_options, patch, "a patch that git apply and patch -p1 accept"),
    ROW_FLAG(0, "stat", struct diff_options, stat, "how many lines changed in each file"),
    ROW_FLAG(0, "porcelain", struct diff_options, porcelain, "a stable form for scripts"),
    ROW_FLAG('z', NULL, struct diff_options, zero, "as --porcelain, each path ended by a NUL, unquoted"),
    ROW_FLAG(0, "exit-code", struct diff_options, exit_code, "exit with 1 if there are differences"),
    ROW_FLAG(0, "no-renames", struct diff_options, no_renames, "show a rename as a deletion and an addition"),
    ROW_FLAG(0, "times", struct diff_options, times, "also show what changed in its times only (t)"),
    ROW_END,
};

static int choose_format(const struct call *call, enum view_format *ret, struct snap_err *err) {
    const struct diff_options *given = call->options;
    struct forms forms = { given->porcelain, given->zero, given->patch, given->stat };
    int r = forms_choose(call, &forms, ret, err);
    if (r < 0 || !given->name_status || *ret == VIEW_TEXT || *ret == VIEW_JSON)
        return r;
    err_set(err, -EINVAL, "the forms of output exclude each other");
    err_hint(err, "leave out --name-status: it is the default");
    return err_failure(err, SNAP_FAILURE_USAGE);
}

static int show_end(struct view *view, const struct snap_diff_result *result) {
    struct call *call = view->call;
    view_end(view);
    if (view->format == VIEW_JSON) {
        json_object *object = json_message("diff");
        json_counts(object, result);
        return json_print(&call->out, object);
    }
    if (!view->rows && !result->failed && view->format != VIEW_PORCELAIN && view->format != VIEW_ZERO)
        report_say(call, "no differences\n");
    return 0;
}

static int run(struct call *call, struct snap_err *err) {
    const struct diff_options *given = call->options;
    _view_ struct view view = { .call = call };
    _paths_ char **paths = NULL;
    int r = choose_format(call, &view.format, err);
    for (size_t i = 0; r == 0 && i < call->word_count; i++)
        r = project_check_snapshot(call, call->words[i], err);
    if (r == 0)
        r = project_paths(call, &paths, err);
    if (r < 0)
        return r;

    struct snap_diff_options wanted = {
        .from = call->words[0], .to = call->words[0] ? call->words[1] : NULL, .paths = (const char *const *)paths,
        .no_renames = given->no_renames, .patch = given->patch, .stat = given->stat, .times = given->times,
    };
    struct snap_diff_result result = {0};
    r = snap_diff(call->project, &wanted, view_change, &view, &result, err);
    if (r == 0)
        r = show_end(&view, &result);
    return r < 0 ? r : difference_code(&result, view.rows, given->exit_code);
}

const struct cmd cmd_diff = {
    .name = "diff", .summary = "Show what differs: from A (the newest snapshot) to B (the project)", .usage = "[A [B]] [-- PATH...]",
    .group = "Look", .manual = "snapctl-diff", .options = options, .options_size = sizeof(struct diff_options),
    .words_max = 2, .takes_paths = true, .operand = OPERAND_SNAPSHOT,
    .needs_project = true, .open = SNAP_OPEN_READ | SNAP_OPEN_WORKSPACE, .paged = true, .run = run,
};
