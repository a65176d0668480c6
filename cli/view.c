/* Change rows as people, scripts, patch(1) and programs read them.
 * Compares nothing: a row is shown as it comes. SPDX-License-Identifier: GPL-2.0-or-later */
#include "view.h"

#include "format.h"
#include "json.h"
#include "quote.h"

#include <inttypes.h>
#include <string.h>

static enum paint letter_paint(char letter) {
    switch (letter) {
    case 'A': return PAINT_GREEN;
    case 'D': return PAINT_RED;
    case 'M': return PAINT_YELLOW;
    case 'T': return PAINT_MAGENTA;
    case 'R': return PAINT_BLUE;
    default: return PAINT_CYAN;
    }
}

static void add_mode(struct buf *out, const struct snap_entry *before, const struct snap_entry *after) {
    buf_fmt(out, "mode %04o -> %04o", before->mode & 07777, after->mode & 07777);
}

static void add_owner(struct buf *out, const struct snap_entry *before, const struct snap_entry *after) {
    buf_fmt(out, "owner %u:%u -> %u:%u", before->uid, before->gid, after->uid, after->gid);
}

static void add_xattrs(struct buf *out, const struct snap_entry *before, const struct snap_entry *after) {
    (void)before, (void)after;
    buf_str(out, "extended attributes");
}

static void add_links(struct buf *out, const struct snap_entry *before, const struct snap_entry *after) {
    if (before->links && after->links && before->links != after->links)
        buf_fmt(out, "hard links %u -> %u", before->links, after->links);
    else
        buf_str(out, "hard links");
}

static void add_target(struct buf *out, const struct snap_entry *before, const struct snap_entry *after) {
    buf_str(out, "target");
    if (!before->target || !after->target)
        return;
    buf_char(out, ' ');
    quote_display(out, before->target, strlen(before->target));
    buf_str(out, " -> ");
    quote_display(out, after->target, strlen(after->target));
}

static void add_device(struct buf *out, const struct snap_entry *before, const struct snap_entry *after) {
    buf_fmt(out, "device %u:%u -> %u:%u", before->rdev_major, before->rdev_minor, after->rdev_major, after->rdev_minor);
}

static void add_time(struct buf *out, const struct snap_entry *before, const struct snap_entry *after) {
    char from[FORMAT_SIZE], to[FORMAT_SIZE];
    buf_fmt(out, "time %s -> %s", format_time(before->mtime, from), format_time(after->mtime, to));
}

static void add_content(struct buf *out, const struct snap_entry *before, const struct snap_entry *after) {
    char from[FORMAT_SIZE], to[FORMAT_SIZE];
    if (before->size != after->size)
        buf_fmt(out, "content, %s -> %s", format_size(before->size, from), format_size(after->size, to));
    else
        buf_str(out, "content");
}

static const struct {
    enum snap_what what;
    const char *name;          /* in JSON */
    void (*add)(struct buf *out, const struct snap_entry *before, const struct snap_entry *after);
} aspects[] = {
    { SNAP_WHAT_CONTENT, "content", add_content }, { SNAP_WHAT_MODE, "mode", add_mode },
    { SNAP_WHAT_OWNER, "owner", add_owner }, { SNAP_WHAT_XATTR, "xattr", add_xattrs },
    { SNAP_WHAT_LINKS, "links", add_links }, { SNAP_WHAT_TARGET, "target", add_target },
    { SNAP_WHAT_DEVICE, "device", add_device }, { SNAP_WHAT_TIME, "time", add_time },
};

/* "mode 0644 -> 0755, extended attributes" */
static void add_reasons(struct buf *out, const struct snap_change *change) {
    const struct snap_entry *before = change->before, *after = change->after;
    if (change->letter == 'T') {
        buf_fmt(out, "%s -> %s", format_type(before->mode), format_type(after->mode));
        return;
    }
    for (size_t i = 0; i < ELEMENTS(aspects); i++) {
        if (!(change->what & aspects[i].what))
            continue;
        if (out->size)
            buf_str(out, ", ");
        aspects[i].add(out, before, after);
    }
}

/* A letter that says everything needs no reason, unless more is asked for. */
static bool wants_reasons(const struct view *view, const struct snap_change *change) {
    if (!change->before || !change->after)
        return false;
    return view->call->globals.verbose || (change->letter != 'M' && change->letter != 'R');
}

static const char *shown_path(const char *path) {
    return *path ? path : ".";
}

static void show_text(struct view *view, const struct snap_change *change) {
    struct out *out = &view->call->out;
    out_paint(out, letter_paint(change->letter));
    out_text(out, "%c ", change->letter);
    if (change->old_path) {
        out_path(out, change->old_path);
        out_text(out, " -> ");
    }
    out_path(out, shown_path(change->path));
    out_paint(out, PAINT_PLAIN);
    _buf_ struct buf reasons = {0};
    if (wants_reasons(view, change))
        add_reasons(&reasons, change);
    if (reasons.size && !reasons.failed)
        out_text(out, "  (%s)", reasons.data);
    out_text(out, "\n");
}

/* As git status: a name with a space is quoted too, else " -> " could be read into it. */
static void quote_porcelain(struct buf *line, const char *path) {
    size_t start = line->size;
    quote_c(line, path, strlen(path));
    if (line->failed || line->data[start] == '"' || !strchr(path, ' '))
        return;
    line->size = start;
    buf_fmt(line, "\"%s\"", path);
}

static void show_porcelain(struct view *view, const struct snap_change *change) {
    _buf_ struct buf line = {0};
    buf_fmt(&line, "%c ", change->letter);
    if (change->old_path) {
        quote_porcelain(&line, change->old_path);
        buf_str(&line, " -> ");
    }
    quote_porcelain(&line, shown_path(change->path));
    buf_char(&line, '\n');
    if (!line.failed)
        out_bytes(&view->call->out, line.data, line.size);
}

static void show_zero(struct view *view, const struct snap_change *change) {
    struct out *out = &view->call->out;
    const char *path = shown_path(change->path);
    out_text(out, "%c ", change->letter);
    if (change->old_path)
        out_bytes(out, change->old_path, strlen(change->old_path) + 1);
    out_bytes(out, path, strlen(path) + 1);
}

enum patch_part { PATCH_HEADER, PATCH_HUNK };

static enum paint line_paint(const char *line, enum patch_part *part) {
    if (*line == '@')
        *part = PATCH_HUNK;
    else if (*line == 'd')
        *part = PATCH_HEADER;
    if (*part == PATCH_HEADER)
        return PAINT_BOLD;
    switch (*line) {
    case '@': return PAINT_CYAN;
    case '+': return PAINT_GREEN;
    case '-': return PAINT_RED;
    default: return PAINT_PLAIN;
    }
}

static void show_colored_patch(struct out *out, const char *text, size_t size) {
    enum patch_part part = PATCH_HEADER;
    for (const char *end = text + size, *next; text < end; text = next) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t line = newline ? (size_t)(newline - text) : (size_t)(end - text);
        enum paint paint = line ? line_paint(text, &part) : PAINT_PLAIN;
        if (paint != PAINT_PLAIN)
            out_paint(out, paint);
        out_bytes(out, text, line);
        if (paint != PAINT_PLAIN)
            out_paint(out, PAINT_PLAIN);
        if (newline)
            out_bytes(out, "\n", 1);
        next = text + line + (newline != NULL);
    }
}

/* What a patch cannot hold stands in it as a line that git apply and patch(1) skip. */
static void show_patch(struct view *view, const struct snap_change *change) {
    struct out *out = &view->call->out;
    if (change->patch && out->color)
        show_colored_patch(out, change->patch, change->patch_size);
    else if (change->patch)
        out_bytes(out, change->patch, change->patch_size);
    if (change->patch)
        return;
    out_bytes(out, "# ", 2);
    bool color = out->color;
    out->color = false;
    show_text(view, change);
    out->color = color;
}

static void add_entry(json_object *object, const char *key, const struct snap_entry *entry) {
    if (!entry)
        return;
    json_object *inner = json_object_new_object();
    json_entry(inner, entry);
    json_add(object, key, inner);
}

static void add_what(json_object *object, unsigned what) {
    json_object *list = json_object_new_array();
    for (size_t i = 0; list && i < ELEMENTS(aspects); i++)
        if (what & aspects[i].what)
            (void)json_object_array_add(list, json_object_new_string(aspects[i].name));
    json_add(object, "what", list);
}

static int show_json(struct view *view, const struct snap_change *change) {
    const char letter[] = { change->letter, '\0' };
    json_object *object = json_message("change");
    json_text(object, "letter", letter);
    json_path(object, "path", shown_path(change->path));
    if (change->old_path) {
        json_path(object, "old_path", change->old_path);
        json_number(object, "similarity", change->similarity);
    }
    add_what(object, change->what);
    add_entry(object, "before", change->before);
    add_entry(object, "after", change->after);
    if (change->binary)
        json_flag(object, "binary", true);
    if (change->lines_added || change->lines_deleted) {
        json_count(object, "lines_added", change->lines_added);
        json_count(object, "lines_deleted", change->lines_deleted);
    }
    if (change->patch)
        json_bytes(object, "patch", change->patch, change->patch_size);
    return json_print(&view->call->out, object);
}

int view_change(void *data, const struct snap_change *change) {
    struct view *view = data;
    view->rows++;
    switch (view->format) {
    case VIEW_TEXT: show_text(view, change); break;
    case VIEW_PORCELAIN: show_porcelain(view, change); break;
    case VIEW_ZERO: show_zero(view, change); break;
    case VIEW_PATCH: show_patch(view, change); break;
    case VIEW_STAT: return diffstat_add(&view->stat, change);
    case VIEW_JSON: return show_json(view, change);
    }
    return out_check(&view->call->out);
}

void view_end(struct view *view) {
    if (view->format == VIEW_STAT && view->rows)
        diffstat_show(&view->stat, &view->call->out);
}

void view_done(struct view *view) {
    diffstat_done(&view->stat);
}
