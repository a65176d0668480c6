/* snapctl mount: a snapshot or a workspace as a directory; or what is mounted.
 * Unmounting is cmd_umount.c. SPDX-License-Identifier: GPL-2.0-or-later */
#include "mounts.h"

struct mount_options { bool foreground; const char *options; };

static const struct option_row options[] = {
    ROW_FLAG('f', NULL, struct mount_options, foreground, "stay in the foreground until it is unmounted"),
    { 'o', NULL, "OPTIONS", "options of FUSE and mount(8), with commas between them", OPTION_TEXT,
      offsetof(struct mount_options, options), NULL, OPERAND_TEXT },
    ROW_END,
};

static int list(struct call *call, struct snap_err *err) {
    struct mounts mounts = { .call = call };
    int r = project_open(call, SNAP_OPEN_READ, err);
    if (r == 0)
        r = snap_mounts(call->project, mounts_show, &mounts, err);
    return r < 0 ? r : mounts_end(&mounts, "mount", "nothing is mounted");
}

static int run(struct call *call, struct snap_err *err) {
    const struct mount_options *given = call->options;
    if (call->word_count == 0 && !given->foreground && !given->options)
        return list(call, err);
    if (call->word_count < 2) {
        err_set(err, -EINVAL, "mount needs a snapshot or workspace, and a directory");
        err_hint(err, "without either it lists what is mounted");
        return err_failure(err, SNAP_FAILURE_USAGE);
    }
    struct snap_mount_options wanted = {
        .what = call->words[0], .dir = call->words[1], .options = given->options, .foreground = given->foreground,
    };
    return snap_mount(&call->env, &wanted, mounts_show_done, call, err);
}

const struct cmd cmd_mount = {
    .name = "mount", .summary = "Show a snapshot or workspace as a directory, or list mounts", .usage = "[SNAP|WORKSPACE DIR]",
    .group = "Mount", .manual = "snapctl-mount", .options = options, .options_size = sizeof(struct mount_options), .words_max = 2,
    .operand = OPERAND_MOUNTABLE, .last = OPERAND_DIRECTORY, .run = run,
};
