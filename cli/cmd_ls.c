/* snapctl ls: what a snapshot holds.
 * Reads no file's content. SPDX-License-Identifier: GPL-2.0-or-later */
#include "format.h"
#include "json.h"
#include "project.h"

#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <pwd.h>
#include <sys/stat.h>

struct ls_options { bool details, recursive; };

static const struct option_row options[] = {
    ROW_FLAG('l', NULL, struct ls_options, details, "mode, links, owner, group, size and time too"),
    ROW_FLAG('R', NULL, struct ls_options, recursive, "also what is below"),
    ROW_END,
};

/* The name that was looked up last: neighbours usually have the same owner. */
struct owner { bool known; uint32_t id; char name[33]; };

struct listing {
    struct call *call;
    bool details;
    struct owner user, group;
    uint64_t count;
};

static const char *owner_name(struct owner *owner, uint32_t id, bool is_group) {
    if (owner->known && owner->id == id)
        return owner->name;
    const struct passwd *user = is_group ? NULL : getpwuid(id);
    const struct group *group = is_group ? getgrgid(id) : NULL;
    const char *name = user ? user->pw_name : group ? group->gr_name : NULL;
    if (name)
        (void)snprintf(owner->name, sizeof(owner->name), "%s", name);
    else
        (void)snprintf(owner->name, sizeof(owner->name), "%" PRIu32, id);
    owner->known = true;
    owner->id = id;
    return owner->name;
}

static void show_details(struct listing *listing, const struct snap_entry *entry) {
    struct out *out = &listing->call->out;
    char mode[FORMAT_SIZE], time[FORMAT_SIZE], size[FORMAT_SIZE];
    if (S_ISBLK(entry->mode) || S_ISCHR(entry->mode))
        (void)snprintf(size, sizeof(size), "%" PRIu32 ",%" PRIu32, entry->rdev_major, entry->rdev_minor);
    else
        (void)snprintf(size, sizeof(size), "%" PRIu64, entry->size);
    out_text(out, "%s%c %2" PRIu32 " %-8s %-8s %10s %s ", format_mode(entry->mode, mode), entry->xattrs ? '+' : ' ',
             MAX(entry->links, 1U), owner_name(&listing->user, entry->uid, false), owner_name(&listing->group, entry->gid, true),
             size, format_time(entry->mtime, time));
}

static enum paint paint_of(uint32_t mode) {
    if (S_ISDIR(mode))
        return PAINT_BLUE;
    if (S_ISLNK(mode))
        return PAINT_CYAN;
    if (!S_ISREG(mode))
        return PAINT_MAGENTA;
    return mode & 0111 ? PAINT_GREEN : PAINT_PLAIN;
}

static void show_name(struct listing *listing, const char *path, const struct snap_entry *entry) {
    struct out *out = &listing->call->out;
    enum paint paint = paint_of(entry->mode);
    if (paint != PAINT_PLAIN)
        out_paint(out, paint);
    out_path(out, *path ? path : ".");
    if (paint != PAINT_PLAIN)
        out_paint(out, PAINT_PLAIN);
    if (listing->details && entry->target) {
        out_text(out, " -> ");
        out_path(out, entry->target);
    }
    out_text(out, entry->lost ? "  (lost: what the store had of it was damaged)\n"
             : entry->unread ? "  (could not be read when it was taken)\n" : "\n");
}

static int show_json(struct call *call, const char *path, const struct snap_entry *entry) {
    json_object *object = json_message("entry");
    json_path(object, "path", *path ? path : ".");
    json_entry(object, entry);
    return json_print(&call->out, object);
}

static int show(void *data, const char *path, const struct snap_entry *entry) {
    struct listing *listing = data;
    listing->count++;
    if (listing->call->globals.json)
        return show_json(listing->call, path, entry);
    if (listing->details)
        show_details(listing, entry);
    show_name(listing, path, entry);
    return out_check(&listing->call->out);
}

static int run(struct call *call, struct snap_err *err) {
    const struct ls_options *given = call->options;
    struct listing listing = { .call = call, .details = given->details };
    int r = snap_list(call->project, call->words[0], given->recursive, show, &listing, err);
    if (r < 0 || !call->globals.json)
        return r;
    json_object *object = json_message("ls");
    json_count(object, "entries", listing.count);
    return json_print(&call->out, object);
}

const struct cmd cmd_ls = {
    .name = "ls", .summary = "List what a snapshot holds", .usage = "SNAP[:PATH]", .group = "Look", .manual = "snapctl-ls",
    .options = options, .options_size = sizeof(struct ls_options), .words_min = 1, .words_max = 1, .operand = OPERAND_SNAPSHOT,
    .needs_project = true, .open = SNAP_OPEN_READ, .paged = true, .run = run,
};
