/* snapctl status: what changed since the newest snapshot.
 * Writes nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "difference.h"
#include "format.h"
#include "mounts.h"

#include <inttypes.h>
#include <string.h>

struct status_options { bool porcelain, zero, exit_code; };

static const struct option_row options[] = {
    ROW_FLAG(0, "porcelain", struct status_options, porcelain, "a stable form for scripts"),
    ROW_FLAG('z', NULL, struct status_options, zero, "as --porcelain, each path ended by a NUL, unquoted"),
    ROW_FLAG(0, "exit-code", struct status_options, exit_code, "exit with 1 if there are changes"),
    ROW_END,
};

static void show_watcher(struct call *call) {
    struct snap_watch watch;
    int r = snap_watch_status(call->project, &watch, NULL);
    if (r < 0)
        out_text(&call->out, "watched, but the watcher does not answer\n");
    else if (watch.running)
        out_text(&call->out, "watched by %s\n", snap_watch_backend_name(watch.backend));
}

static int show_following(struct call *call, struct snap_err *err) {
    struct snap_following following;
    int r = snap_following(call->project, &following, err);
    if (r <= 0)
        return r;
    if (call->globals.json) {
        json_object *object = json_message("following");
        json_count(object, "watches", following.watches);
        json_count(object, "uncovered", following.uncovered);
        json_count(object, "lost", following.lost);
        return json_print(&call->out, object);
    }
    out_text(&call->out, "follows the project: %" PRIu64 " director%s watched", following.watches, following.watches == 1 ? "y" : "ies");
    if (following.uncovered)
        out_text(&call->out, ", %" PRIu64 " not, and asked for each time", following.uncovered);
    if (following.lost)
        out_text(&call->out, "; everything was asked for again %" PRIu64 " time%s", following.lost, following.lost == 1 ? "" : "s");
    out_text(&call->out, "\n");
    return 0;
}

/* Beside the changes. Nothing of it in a workspace, which knows only itself. */

static int show_mount(void *data, const struct snap_mount *mount) {
    struct call *call = data;
    mounts_show_text(&call->out, mount);
    return out_check(&call->out);
}

/* One that was begun is the newest: nothing else is written before it is done, or repaired. */
struct unfinished { int64_t id; char *kind, *command; };

static void unfinished_done(struct unfinished *unfinished) {
    free(unfinished->kind);
    free(unfinished->command);
}

static int look_at_newest(void *data, const struct snap_operation *operation) {
    struct unfinished *unfinished = data;
    if (strcmp(operation->state, "begun") != 0)
        return -ECANCELED;
    unfinished->kind = strdup(operation->kind);
    unfinished->command = strdup(operation->command);
    unfinished->id = unfinished->kind && unfinished->command ? operation->id : 0;
    return unfinished->id ? -ECANCELED : -ENOMEM;
}

static int find_unfinished(struct call *call, struct unfinished *ret, struct snap_err *err) {
    int r = snap_operations(call->project, look_at_newest, ret, err);
    if (r != -ECANCELED)
        return r;
    *err = (struct snap_err){0};
    return 0;
}

static int show_surroundings(struct call *call, struct snap_err *err) {
    _cleanup_(unfinished_done) struct unfinished unfinished = {0};
    show_watcher(call);
    int r = snap_project_info(call->project)->workspace ? 0 : snap_mounts(call->project, show_mount, call, err);
    if (r == 0)
        r = find_unfinished(call, &unfinished, err);
    if (r < 0 || !unfinished.id)
        return r;
    out_painted(&call->out, PAINT_RED, "not finished");
    out_text(&call->out, ": operation %" PRId64 ", ", unfinished.id);
    out_path(&call->out, unfinished.command);
    out_text(&call->out, "\n");
    return 0;
}

static int add_mount(void *data, const struct snap_mount *mount) {
    json_object *object = json_object_new_object();
    mounts_add_json(object, mount);
    return json_object_array_add(data, object) < 0 ? -ENOMEM : 0;
}

static int add_mounts(struct call *call, json_object *object, struct snap_err *err) {
    json_object *mounts = json_object_new_array();
    if (!mounts)
        return err_nomem(err);
    int r = snap_mounts(call->project, add_mount, mounts, err);
    if (r == 0 && json_object_array_length(mounts))
        json_add(object, "mounts", mounts);
    else
        (void)json_object_put(mounts);
    return r;
}

static int add_surroundings(struct call *call, json_object *object, struct snap_err *err) {
    _cleanup_(unfinished_done) struct unfinished unfinished = {0};
    struct snap_watch watch;
    if (snap_watch_status(call->project, &watch, NULL) == 0 && watch.running)
        json_text(object, "watched", snap_watch_backend_name(watch.backend));
    int r = snap_project_info(call->project)->workspace ? 0 : add_mounts(call, object, err);
    if (r == 0)
        r = find_unfinished(call, &unfinished, err);
    if (r < 0 || !unfinished.id)
        return r;
    json_object *operation = json_object_new_object();
    json_number(operation, "id", unfinished.id);
    json_text(operation, "kind", unfinished.kind);
    json_path(operation, "command", unfinished.command);
    json_add(object, "unfinished", operation);
    return 0;
}

static int show_header(struct call *call, struct snap_err *err) {
    _snapshot_ struct snap_snapshot *newest = NULL;
    int r = project_newest(call, &newest, err);
    if (r < 0)
        return r;
    if (!newest) {
        out_text(&call->out, "no snapshot yet\n");
        return show_surroundings(call, err);
    }
    const char *workspace = snap_project_info(call->project)->workspace;
    if (workspace) {
        out_text(&call->out, "workspace \"");
        out_path(&call->out, workspace);
        out_text(&call->out, "\" ");
    }
    char time[FORMAT_SIZE];
    _buf_ struct buf title = {0};
    add_snapshot(&title, newest->number, newest->name);
    out_text(&call->out, "compared with %s of %s\n", title.failed ? "the newest snapshot" : title.data, format_time(newest->created, time));
    return show_surroundings(call, err);
}

static int show_end(const struct view *view, const struct snap_diff_result *result, struct snap_err *err) {
    struct out *out = &view->call->out;
    if (view->format == VIEW_JSON) {
        json_object *object = json_message("status");
        json_counts(object, result);
        int r = add_surroundings(view->call, object, err);
        if (r == 0)
            return json_print(out, object);
        (void)json_object_put(object);
        return r;
    }
    if (view->format != VIEW_TEXT)
        return 0;
    if (!view->rows && !result->failed)
        out_text(out, "nothing changed\n");
    else if (view->rows)
        show_counts(out, result, view->rows);
    return 0;
}

static int run(struct call *call, struct snap_err *err) {
    const struct status_options *given = call->options;
    _view_ struct view view = { .call = call };
    int r = forms_choose(call, &(struct forms){ .porcelain = given->porcelain, .zero = given->zero }, &view.format, err);
    if (r == 0 && (view.format == VIEW_TEXT || view.format == VIEW_JSON))
        r = show_following(call, err);
    if (r == 0 && view.format == VIEW_TEXT)
        r = show_header(call, err);
    if (r < 0)
        return r;

    struct snap_diff_result result = {0};
    r = snap_diff(call->project, &(struct snap_diff_options){0}, view_change, &view, &result, err);
    if (r == 0)
        r = show_end(&view, &result, err);
    return r < 0 ? r : difference_code(&result, view.rows, given->exit_code);
}

const struct cmd cmd_status = {
    .name = "status", .summary = "Show what changed since the newest snapshot", .usage = "", .group = "Capture",
    .manual = "snapctl-status", .options = options, .options_size = sizeof(struct status_options),
    .needs_project = true, .open = SNAP_OPEN_READ | SNAP_OPEN_WORKSPACE, .run = run,
};
