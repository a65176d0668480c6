/* snapctl show: one snapshot.
 * Lists no files. SPDX-License-Identifier: GPL-2.0-or-later */
#include "format.h"
#include "mounts.h"

#include <inttypes.h>
#include <string.h>

static void show_message(struct out *out, const char *message) {
    for (const char *line = message, *end; *line; line = end + (*end == '\n')) {
        end = strchrnul(line, '\n');
        _free_ char *text = strndup(line, (size_t)(end - line));
        out_text(out, "%-9s", line == message ? "message" : "");
        out_path(out, text ? text : "?");
        out_text(out, "\n");
    }
}

static void show_times(struct out *out, const struct snap_snapshot *snapshot) {
    char time[FORMAT_SIZE];
    out_text(out, "created  %s\n", format_time(snapshot->created, time));
    if (snapshot->parent)
        out_text(out, "parent   %" PRId64 "\n", snapshot->parent);
    if (snapshot->automatic)
        out_text(out, "made     automatically, before a command overwrote something\n");
    if (snapshot->foreign)
        out_text(out, "made     by an import: the project never was like this\n");
    if (!snapshot->synced)
        out_text(out, "synced   not known to be on disk yet\n");
}

static void show_counts_of(struct out *out, const struct snap_snapshot *snapshot, const struct snap_counts *counts) {
    char size[FORMAT_SIZE], own[FORMAT_SIZE];
    out_text(out, "changes  %" PRIu64 " added, %" PRIu64 " changed, %" PRIu64 " deleted; %s stored\n", snapshot->added,
             snapshot->changed, snapshot->deleted, format_size(snapshot->bytes, size));
    out_text(out, "holds    %" PRIu64 " %s, %" PRIu64 " %s, %" PRIu64 " %s, %" PRIu64 " %s; %s\n",
             counts->files, plural(counts->files, "file", "files"),
             counts->directories, plural(counts->directories, "directory", "directories"),
             counts->symlinks, plural(counts->symlinks, "symlink", "symlinks"),
             counts->others, plural(counts->others, "other", "others"), format_size(counts->bytes, size));
    out_text(out, "alone    %s that no other snapshot shows\n", format_size(counts->own_bytes, own));
    if (counts->unread)
        out_text(out, "unread   %" PRIu64 " %s could not be read when it was taken\n", counts->unread,
                 plural(counts->unread, "entry", "entries"));
    if (counts->lost)
        out_text(out, "lost     %" PRIu64 " %s of which the store's copy was damaged\n", counts->lost, plural(counts->lost, "entry", "entries"));
}

static void show_users(struct out *out, const struct snap_counts *counts, const struct users *users) {
    if (counts->removed)
        out_text(out, "removed  and kept only for who uses it\n");
    if (users->text.size && !users->text.failed)
        out_text(out, "used by  %s\n", users->text.data);
}

static void show(struct call *call, const struct snap_snapshot *snapshot, const struct snap_counts *counts, const struct users *users) {
    _buf_ struct buf title = {0};
    add_snapshot(&title, snapshot->number, snapshot->name);
    out_painted(&call->out, PAINT_YELLOW, title.failed ? "snapshot" : title.data);
    out_text(&call->out, "\n");
    show_times(&call->out, snapshot);
    show_users(&call->out, counts, users);
    show_message(&call->out, snapshot->message);
    show_counts_of(&call->out, snapshot, counts);
}

static int show_json(struct call *call, const struct snap_snapshot *snapshot, const struct snap_counts *counts, struct users *users) {
    json_object *object = json_message("show");
    json_snapshot(object, snapshot);
    json_count(object, "files", counts->files);
    json_count(object, "directories", counts->directories);
    json_count(object, "symlinks", counts->symlinks);
    json_count(object, "others", counts->others);
    json_count(object, "total_bytes", counts->bytes);
    json_count(object, "own_bytes", counts->own_bytes);
    json_count(object, "unread", counts->unread);
    if (counts->lost)
        json_count(object, "lost", counts->lost);
    json_flag(object, "removed", counts->removed);
    json_add(object, "used_by", TAKE_PTR(users->array));
    return json_print(&call->out, object);
}

static int run(struct call *call, struct snap_err *err) {
    _snapshot_ struct snap_snapshot *snapshot = NULL;
    _users_ struct users users = {0};
    struct snap_counts counts = {0};
    int r = snap_show(call->project, call->words[0], &snapshot, &counts, err);
    if (r < 0 || (r = users_find(call, snapshot->number, &users, err)) < 0)
        return r;
    if (call->globals.json)
        return show_json(call, snapshot, &counts, &users);
    show(call, snapshot, &counts, &users);
    return 0;
}

const struct cmd cmd_show = {
    .name = "show", .summary = "Show one snapshot: when, why, what it holds", .usage = "SNAP", .group = "Look",
    .manual = "snapctl-log", .words_min = 1, .words_max = 1, .operand = OPERAND_SNAPSHOT,
    .needs_project = true, .open = SNAP_OPEN_READ, .run = run,
};
