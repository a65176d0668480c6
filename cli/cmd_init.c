/* snapctl init: registers a directory as a project.
 * Puts nothing into the directory. SPDX-License-Identifier: GPL-2.0-or-later */
#include "project.h"

struct init_options { bool force, adopt; };

static const struct option_row options[] = {
    ROW_FLAG(0, "force", struct init_options, force, "also $HOME and /"),
    ROW_FLAG(0, "adopt", struct init_options, adopt, "take over the store of a directory that was replaced"),
    ROW_END,
};

static void show(struct call *call, bool made) {
    const struct snap_project_info *info = snap_project_info(call->project);
    struct out *out = &call->out;
    out_text(out, made ? "project: " : "already a project: ");
    out_path(out, info->root);
    out_text(out, "\nstore: ");
    out_path(out, info->store);
    out_text(out, "\n");
    if (info->store_inside)
        out_text(out, "the store lies inside the project, no other place was possible; it is left out of snapshots\n");
    if (!info->same_file_system)
        out_text(out, "the store is on another file system: content is always copied\n");
}

static int show_json(struct call *call, bool made) {
    const struct snap_project_info *info = snap_project_info(call->project);
    json_object *object = json_message("init");
    json_flag(object, "made", made);
    json_path(object, "project", info->root);
    json_path(object, "store", info->store);
    json_flag(object, "store_inside", info->store_inside);
    json_flag(object, "same_file_system", info->same_file_system);
    return json_print(&call->out, object);
}

static int run(struct call *call, struct snap_err *err) {
    const struct init_options *given = call->options;
    unsigned flags = (given->force ? SNAP_INIT_FORCE : 0) | (given->adopt ? SNAP_INIT_ADOPT : 0);
    call->env.dir = call->words[0];
    int made = snap_project_init(&call->env, flags, &call->project, err);
    if (made < 0)
        return made;
    if (call->globals.json)
        return show_json(call, made);
    if (!call->globals.quiet)
        show(call, made);
    return 0;
}

const struct cmd cmd_init = {
    .name = "init", .summary = "Register a directory as a project", .usage = "[DIR]", .group = "Capture", .manual = "snapctl-init",
    .options = options, .options_size = sizeof(struct init_options), .words_max = 1, .operand = OPERAND_DIRECTORY, .run = run,
};
