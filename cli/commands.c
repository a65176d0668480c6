/* The table of commands, and the options that every one of them takes.
 * Runs nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd.h"

const struct cmd *const commands[] = {
    &cmd_init, &cmd_take, &cmd_status, &cmd_watch_start, &cmd_watch_stop, &cmd_watch_status, &cmd_watch_run,
    &cmd_log, &cmd_show, &cmd_diff, &cmd_ls, &cmd_cat,
    &cmd_rollback, &cmd_restore, &cmd_undo, &cmd_redo, &cmd_op_log,
    &cmd_mount, &cmd_umount, &cmd_workspace_add, &cmd_workspace_list, &cmd_workspace_remove, &cmd_apply, &cmd_run,
    &cmd_export, &cmd_import,
    &cmd_rm, &cmd_prune, &cmd_gc, &cmd_du,
    &cmd_verify,
    &cmd_tag, &cmd_doctor, &cmd_help,
    NULL,
};

static const char *const colors[] = { [OUT_COLOR_AUTO] = "auto", [OUT_COLOR_ALWAYS] = "always", [OUT_COLOR_NEVER] = "never", NULL };

const struct option_row global_rows[] = {
    { 'C', NULL, "DIR", "act as if started in DIR", OPTION_TEXT, offsetof(struct globals, dir), NULL, OPERAND_DIRECTORY },
    { 0, "store", "DIR", "the store's own directory, instead of the one registered", OPTION_TEXT,
      offsetof(struct globals, store), NULL, OPERAND_DIRECTORY },
    ROW_FLAG(0, "json", struct globals, json, "write JSON, one object a line (snapctl-json(5))"),
    ROW_FLAG('q', NULL, struct globals, quiet, "say nothing but errors"),
    ROW_FLAG('v', NULL, struct globals, verbose, "say more"),
    { 0, "color", "WHEN", "colour: auto, always or never", OPTION_CHOICE, offsetof(struct globals, color), colors, OPERAND_NONE },
    ROW_FLAG(0, "wait", struct globals, wait, "wait for a command that holds the store"),
    ROW_FLAG(0, "project", struct globals, project, "in a workspace: the project that it stands on"),
    ROW_FLAG(0, "help", struct globals, help, "show the help of the command"),
    ROW_FLAG(0, "version", struct globals, version, "show the version"),
    ROW_END,
};
