/* Mounts and workspaces as rows.
 * Mounts nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "mounts.h"
#include "quote.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *state_name(enum snap_mount_state state) {
    switch (state) {
    case SNAP_MOUNT_SERVED: return "mounted";
    case SNAP_MOUNT_DEAD: return "dead";
    case SNAP_MOUNT_NONE: return "unmounted";
    }
    return "unmounted";
}

static const char *kind_name(enum snap_mount_kind kind) {
    switch (kind) {
    case SNAP_MOUNT_VIEW: return "view";
    case SNAP_MOUNT_FROZEN: return "frozen";
    case SNAP_MOUNT_FOLLOW: return "follow";
    }
    return "view";
}

void mounts_add_json(json_object *object, const struct snap_mount *mount) {
    json_text(object, "kind", kind_name(mount->kind));
    json_optional(object, "workspace", mount->workspace);
    json_path(object, "dir", mount->dir);
    json_text(object, "state", state_name(mount->state));
    json_id(object, "snapshot", mount->snapshot);
    json_optional(object, "name", mount->name);
    json_id(object, "pid", mount->pid);
    json_time(object, "since", mount->since);
}

static int show_json(struct call *call, const char *type, const struct snap_mount *mount) {
    json_object *object = json_message(type);
    mounts_add_json(object, mount);
    return json_print(&call->out, object);
}

/* `workspace "try" on snapshot 3 "good"`, or what a view is of. */
static void show_what(struct out *out, const struct snap_mount *mount) {
    _buf_ struct buf title = {0};
    add_snapshot(&title, mount->snapshot, mount->name);
    if (mount->workspace) {
        out_text(out, "workspace \"");
        out_path(out, mount->workspace);
        out_text(out, "\" on ");
    }
    out_text(out, "%s", mount->kind == SNAP_MOUNT_FOLLOW ? "the project" : title.failed ? "a snapshot" : title.data);
}

void mounts_show_text(struct out *out, const struct snap_mount *mount) {
    out_path(out, mount->dir);
    out_text(out, "  ");
    show_what(out, mount);
    out_text(out, "  ");
    if (mount->state == SNAP_MOUNT_SERVED)
        out_text(out, "pid %" PRId64, mount->pid);
    else
        out_painted(out, mount->state == SNAP_MOUNT_DEAD ? PAINT_RED : PAINT_DIM, mount->state == SNAP_MOUNT_DEAD ? "dead" : "not mounted");
    out_text(out, "\n");
}

int mounts_show(void *data, const struct snap_mount *mount) {
    struct mounts *mounts = data;
    mounts->count++;
    if (mounts->call->globals.json)
        return show_json(mounts->call, "mounted", mount);
    mounts_show_text(&mounts->call->out, mount);
    return out_check(&mounts->call->out);
}

int mounts_end(const struct mounts *mounts, const char *type, const char *empty) {
    struct call *call = mounts->call;
    if (call->globals.json) {
        json_object *object = json_message(type);
        json_count(object, "mounts", mounts->count);
        return json_print(&call->out, object);
    }
    if (!mounts->count && !call->globals.quiet)
        out_text(&call->out, "%s\n", empty);
    return 0;
}

/* In the foreground it is read while the command still runs. */
static int flush(struct call *call) {
    return fflush(stdout) == EOF ? -errno : out_check(&call->out);
}

int mounts_show_done(void *data, const struct snap_mount *mount) {
    struct call *call = data;
    if (call->globals.json) {
        int r = show_json(call, call->cmd->name, mount);
        return r < 0 ? r : flush(call);
    }
    if (call->globals.quiet)
        return 0;
    show_what(&call->out, mount);
    out_text(&call->out, " is mounted on ");
    out_path(&call->out, mount->dir);
    out_text(&call->out, mount->kind == SNAP_MOUNT_VIEW ? ", read-only\n" : "\n");
    return flush(call);
}

/* Users. */

void users_done(struct users *users) {
    json_object_put(users->array);
    buf_done(&users->text);
}

static int add_user(void *data, const struct snap_mount *mount) {
    struct users *users = data;
    if (users->array) {
        json_object *object = json_object_new_object();
        mounts_add_json(object, mount);
        return object && json_object_array_add(users->array, object) == 0 ? 0 : -ENOMEM;
    }
    buf_str(&users->text, users->text.size ? ", " : "");
    if (mount->workspace) {
        buf_str(&users->text, "workspace \"");
        quote_display(&users->text, mount->workspace, strlen(mount->workspace));
        buf_str(&users->text, mount->state == SNAP_MOUNT_NONE ? "\"" : "\" on ");
    } else {
        buf_str(&users->text, "the view on ");
    }
    if (!mount->workspace || mount->state != SNAP_MOUNT_NONE)
        quote_display(&users->text, mount->dir, strlen(mount->dir));
    return users->text.failed;
}

int users_find(struct call *call, int64_t snapshot, struct users *ret, struct snap_err *err) {
    if (call->globals.json && !(ret->array = json_object_new_array()))
        return -ENOMEM;
    return snap_users(call->project, snapshot, add_user, ret, err);
}
