/* What commands on a project have in common: opening it, its paths, its snapshots, how to undo.
 * Holds nothing of its own. SPDX-License-Identifier: GPL-2.0-or-later */
#include "project.h"

#include "format.h"
#include "quote.h"
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void say_where(struct call *call) {
    const struct snap_project_info *info = snap_project_info(call->project);
    _buf_ struct buf line = {0};
    buf_str(&line, "project: ");
    quote_display(&line, info->root, strlen(info->root));
    buf_str(&line, "\nstore: ");
    quote_display(&line, info->store, strlen(info->store));
    buf_str(&line, "\n");
    if (!line.failed)
        report_say(call, "%s", line.data);
}

int project_open(struct call *call, unsigned flags, struct snap_err *err) {
    int r = snap_project_open(&call->env, flags, &call->project, err);
    if (r < 0)
        return r;
    if (call->globals.verbose)
        say_where(call);
    return 0;
}

char **paths_free(char **paths) {
    for (size_t i = 0; paths && paths[i]; i++)
        free(paths[i]);
    free(paths);
    return NULL;
}

int project_paths(struct call *call, char ***ret, struct snap_err *err) {
    if (!call->path_count) {
        *ret = NULL;
        return 0;
    }
    _paths_ char **paths = calloc(call->path_count + 1, sizeof(*paths));
    if (!paths)
        return err_nomem(err);
    for (size_t i = 0; i < call->path_count; i++) {
        int r = snap_project_path(call->project, call->paths[i], &paths[i], err);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(paths);
    return 0;
}

int project_check_snapshot(struct call *call, const char *word, struct snap_err *err) {
    _snapshot_ struct snap_snapshot *snapshot = NULL;
    int r = snap_find(call->project, word, &snapshot, err);
    struct stat st;
    if (r == 0 || lstat(word, &st) < 0)
        return r;
    _buf_ struct buf rest = {0}, hint = {0};
    buf_fmt(&rest, "%s -- ", call->cmd->name);
    quote_shell(&rest, word);
    if (!rest.failed)
        add_snapctl(&hint, call, rest.data);
    if (!hint.failed)
        err_hint(err, "paths stand after --; did you mean: %s", hint.data);
    return r;
}

static int find_number(struct call *call, int64_t number, struct snap_snapshot **ret, struct snap_err *err) {
    char spec[24];
    (void)snprintf(spec, sizeof(spec), "%" PRId64, number);
    return snap_find(call->project, spec, ret, err);
}

int project_newest(struct call *call, struct snap_snapshot **ret, struct snap_err *err) {
    int r = snap_find(call->project, "latest", ret, err);
    if (r != -ENOENT)
        return r;
    *err = (struct snap_err){0};
    *ret = NULL;
    return 0;
}

void add_snapctl(struct buf *out, const struct call *call, const char *rest) {
    buf_str(out, "snapctl ");
    if (call->globals.dir) {
        buf_str(out, "-C ");
        quote_shell(out, call->globals.dir);
        buf_char(out, ' ');
    }
    if (call->globals.store) {
        buf_str(out, "--store ");
        quote_shell(out, call->globals.store);
        buf_char(out, ' ');
    }
    buf_str(out, rest);
}

void add_snapshot(struct buf *out, int64_t number, const char *name) {
    buf_fmt(out, "snapshot %" PRId64, number);
    if (!name || !*name)
        return;
    buf_str(out, " \"");
    quote_display(out, name, strlen(name));
    buf_char(out, '"');
}

void add_snapshot_found(struct buf *out, struct call *call, int64_t number) {
    _snapshot_ struct snap_snapshot *snapshot = NULL;
    struct snap_err ignored = {0};
    (void)find_number(call, number, &snapshot, &ignored);
    add_snapshot(out, number, snapshot ? snapshot->name : NULL);
}

void show_restored(struct out *out, const struct snap_rollback_result *result) {
    char size[FORMAT_SIZE];
    out_text(out, ": %" PRIu64 " restored, %" PRIu64 " removed; %s in %.2f s\n", result->restored, result->removed,
             format_size(result->bytes, size), result->seconds);
}

void json_restored(json_object *object, const struct snap_rollback_result *result) {
    json_id(object, "to", result->to);
    json_id(object, "safety", result->safety);
    json_id(object, "operation", result->operation);
    json_optional(object, "operation_kind", result->operation_kind);
    json_count(object, "restored", result->restored);
    json_count(object, "removed", result->removed);
    json_count(object, "bytes", result->bytes);
    json_count(object, "failed", result->failed);
    json_add(object, "seconds", json_object_new_double(result->seconds));
}

void show_undo(struct call *call, int64_t operation) {
    if (!operation)
        return;
    char rest[40];
    (void)snprintf(rest, sizeof(rest), "undo %" PRId64, operation);
    _buf_ struct buf command = {0};
    add_snapctl(&command, call, rest);
    if (!command.failed)
        out_text(&call->out, "undo with: %s\n", command.data);
}
