/* snapctl workspace add, list, remove: directories in which changes can be tried.
 * Mounting an existing one again is cmd_mount.c. SPDX-License-Identifier: GPL-2.0-or-later */
#include "mounts.h"

#include <inttypes.h>
#include <stdio.h>

struct add_options { const char *from, *options; bool follow; };

static const struct option_row add_rows[] = {
    { 0, "from", "SNAP", "stand on this snapshot, instead of one that is taken now", OPTION_TEXT,
      offsetof(struct add_options, from), NULL, OPERAND_SNAPSHOT },
    ROW_FLAG(0, "follow", struct add_options, follow, "stand on the project, and show what changes there"),
    { 'o', NULL, "OPTIONS", "options of FUSE and mount(8), with commas between them", OPTION_TEXT,
      offsetof(struct add_options, options), NULL, OPERAND_TEXT },
    ROW_END,
};

static int add(struct call *call, struct snap_err *err) {
    const struct add_options *given = call->options;
    struct snap_take_result taken = {0};
    if (given->from && given->follow) {
        err_set(err, -EINVAL, "a workspace stands on a snapshot or follows the project, not both");
        return err_failure(err, SNAP_FAILURE_USAGE);
    }
    struct snap_workspace_options wanted = {
        .name = call->words[0], .dir = call->words[1], .from = given->from, .follow = given->follow, .options = given->options,
    };
    int r = snap_workspace_add(&call->env, &wanted, &taken, mounts_show_done, call, err);
    return r < 0 ? r : exit_code(taken.failed);
}

const struct cmd cmd_workspace_add = {
    .name = "workspace add", .summary = "Make a writable copy that costs nothing, and mount it", .usage = "NAME DIR", .group = "Mount",
    .manual = "snapctl-workspace", .options = add_rows, .options_size = sizeof(struct add_options), .words_min = 2, .words_max = 2,
    .operand = OPERAND_TEXT, .last = OPERAND_DIRECTORY, .run = add,
};

static int list(struct call *call, struct snap_err *err) {
    struct mounts mounts = { .call = call };
    int r = snap_workspaces(call->project, mounts_show, &mounts, err);
    return r < 0 ? r : mounts_end(&mounts, "workspace list", "no workspaces");
}

const struct cmd cmd_workspace_list = {
    .name = "workspace list", .summary = "List workspaces", .usage = "", .group = "Mount", .manual = "snapctl-workspace",
    .needs_project = true, .open = SNAP_OPEN_READ, .run = list,
};

static int remove_one(struct call *call, struct snap_err *err) {
    int64_t operation = 0;
    int r = snap_workspace_remove(call->project, call->words[0], &operation, err);
    if (r < 0)
        return r;
    if (call->globals.json) {
        json_object *object = json_message("workspace remove");
        json_text(object, "workspace", call->words[0]);
        json_id(object, "operation", operation);
        return json_print(&call->out, object);
    }
    if (call->globals.quiet)
        return 0;
    out_text(&call->out, "workspace \"");
    out_path(&call->out, call->words[0]);
    out_text(&call->out, "\" is removed\n");
    show_undo(call, operation);
    return 0;
}

const struct cmd cmd_workspace_remove = {
    .name = "workspace remove", .summary = "Remove a workspace", .usage = "NAME", .group = "Mount", .manual = "snapctl-workspace",
    .words_min = 1, .words_max = 1, .operand = OPERAND_WORKSPACE, .needs_project = true, .open = SNAP_OPEN_WRITE, .run = remove_one,
};
