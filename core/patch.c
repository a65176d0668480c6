/* Patches in git's extended form: headers here, hunks from text.c.
 * Does not encode binary content; a patch says that it differs. SPDX-License-Identifier: GPL-2.0-or-later */
#include "patch.h"

#include "quote.h"
#include <string.h>

#define TEXT_MAX (512u << 20)             /* larger content is not compared line by line */
#define HASH_SHOWN 5                      /* bytes */

/* What git calls a file: its path and one of three modes. */
struct end {
    struct side *side;
    const char *path;
    const struct object *object;          /* NULL: nothing there */
    struct buf content;
    struct text_hash hash;
    bool too_large;
};
struct part {
    struct end old, new;
    bool renamed, hashed;
    unsigned similarity;
};

static void part_done(struct part *part) {
    buf_done(&part->old.content);
    buf_done(&part->new.content);
}

static const struct object *patchable(const struct object *object) {
    return object && (S_ISREG(object->meta.mode) || S_ISLNK(object->meta.mode)) ? object : NULL;
}

static unsigned git_mode(const struct object *object) {
    if (S_ISLNK(object->meta.mode))
        return 0120000;
    return object->meta.mode & S_IXUSR ? 0100755 : 0100644;
}

/* Headers. */

static bool ends_in_space(const char *path) {
    size_t size = strlen(path);
    return size && path[size - 1] == ' ';
}

/* git quotes no spaces, and so cannot be read by patch(1) where a header has nothing but names, or where one ends a name. */
static void add_name(struct buf *out, const char *prefix, const char *path, bool quote_spaces) {
    _buf_ struct buf name = {0}, quoted = {0};
    buf_str(&name, prefix);
    buf_str(&name, path);
    if (!name.failed)
        quote_c(&quoted, name.data, name.size);
    if (name.failed || quoted.failed) {
        out->failed = -ENOMEM;
        return;
    }
    bool wrap = *quoted.data != '"' && (ends_in_space(path) || (quote_spaces && strchr(path, ' ')));
    buf_str(out, wrap ? "\"" : "");
    buf_add(out, quoted.data, quoted.size);
    buf_str(out, wrap ? "\"" : "");
}

/* A name with a space ends in a tab, as git writes it, so that nobody takes what follows for a time stamp. */
static void add_file_line(struct buf *out, const char *sign, const struct end *end, const char *prefix) {
    size_t start = out->size + strlen(sign);
    buf_str(out, sign);
    if (end->object)
        add_name(out, prefix, end->path, false);
    else
        buf_str(out, "/dev/null");
    bool quoted = !out->failed && out->data[start] == '"';
    buf_str(out, end->object && !quoted && strchr(end->path, ' ') ? "\t\n" : "\n");
}

static void add_modes(struct buf *out, const struct part *part) {
    if (!part->old.object)
        buf_fmt(out, "new file mode %06o\n", git_mode(part->new.object));
    else if (!part->new.object)
        buf_fmt(out, "deleted file mode %06o\n", git_mode(part->old.object));
    else if (git_mode(part->old.object) != git_mode(part->new.object))
        buf_fmt(out, "old mode %06o\nnew mode %06o\n", git_mode(part->old.object), git_mode(part->new.object));
}

static void add_renaming(struct buf *out, const struct part *part) {
    buf_fmt(out, "similarity index %u%%\nrename from ", part->similarity);
    add_name(out, "", part->old.path, false);
    buf_str(out, "\nrename to ");
    add_name(out, "", part->new.path, false);
    buf_char(out, '\n');
}

static void add_hash(struct buf *out, const struct end *end) {
    if (end->object)
        hex_encode(out, end->hash.bytes, HASH_SHOWN);
    else
        buf_fmt(out, "%0*d", 2 * HASH_SHOWN, 0);
}

/* By this line patch(1) knows an empty file from none, and a symlink. */
static void add_index(struct buf *out, const struct part *part) {
    buf_str(out, "index ");
    add_hash(out, &part->old);
    buf_str(out, "..");
    add_hash(out, &part->new);
    if (part->old.object && part->new.object && git_mode(part->old.object) == git_mode(part->new.object))
        buf_fmt(out, " %06o", git_mode(part->new.object));
    buf_char(out, '\n');
}

static void add_header(struct buf *out, const struct part *part, bool names_follow) {
    buf_str(out, "diff --git ");
    add_name(out, "a/", part->old.path, !names_follow);
    buf_char(out, ' ');
    add_name(out, "b/", part->new.path, !names_follow);
    buf_char(out, '\n');
    add_modes(out, part);
    if (part->renamed)
        add_renaming(out, part);
    if (part->hashed)
        add_index(out, part);
}

static void add_end(struct buf *out, const struct end *end, const char *prefix) {
    if (end->object)
        add_name(out, prefix, end->path, false);
    else
        buf_str(out, "/dev/null");
}

static void add_body(struct buf *out, const struct part *part, const struct buf *hunks, bool binary) {
    if (binary) {
        buf_str(out, "Binary files ");
        add_end(out, &part->old, "a/");
        buf_str(out, " and ");
        add_end(out, &part->new, "b/");
        buf_str(out, " differ\n");
    } else if (hunks->size) {
        add_file_line(out, "--- ", &part->old, "a/");
        add_file_line(out, "+++ ", &part->new, "b/");
        buf_add(out, hunks->data, hunks->size);
    }
}

/* Content. */

static int read_end(struct end *end, struct snap_err *err) {
    struct snap_err reason = {0};
    if (!end->object)
        return 0;
    int r = side_read(end->side, end->path, end->object, TEXT_MAX, &end->content, &reason);
    end->too_large = r == -EFBIG;
    if (r < 0 && r != -EFBIG && err)
        *err = reason;
    return r == -EFBIG ? 0 : r;
}

static int compare(struct part *part, struct buf *hunks, struct text_counts *ret, struct snap_err *err) {
    int r = read_end(&part->old, err);
    if (r >= 0)
        r = read_end(&part->new, err);
    if (r < 0)
        return r;
    if (part->old.too_large || part->new.too_large) {
        *ret = (struct text_counts){ .binary = true };
        return 0;
    }
    struct text_side old = { part->old.content.data, part->old.content.size };
    struct text_side new = { part->new.content.data, part->new.content.size };
    return text_diff(old, new, hunks, ret, err);
}

/* Not of what was too large to read. */
static int hash_ends(struct part *part, struct snap_err *err) {
    int r = 0;
    if (part->old.too_large || part->new.too_large)
        return 0;
    if (part->old.object)
        r = text_hash((struct text_side){ part->old.content.data, part->old.content.size }, &part->old.hash, err);
    if (r >= 0 && part->new.object)
        r = text_hash((struct text_side){ part->new.content.data, part->new.content.size }, &part->new.hash, err);
    part->hashed = r >= 0;
    return r;
}

static bool says_something(const struct part *part, const struct buf *hunks, bool binary) {
    bool one_sided = !part->old.object || !part->new.object;
    return one_sided || part->renamed || binary || hunks->size || git_mode(part->old.object) != git_mode(part->new.object);
}

static bool same_bytes(const struct part *part) {
    return part->old.content.size == part->new.content.size
        && (!part->old.content.size || memcmp(part->old.content.data, part->new.content.data, part->old.content.size) == 0);
}

static int add_part(struct part *part, bool content, struct buf *out, struct text_counts *sum, struct snap_err *err) {
    _buf_ struct buf hunks = {0};
    struct text_counts counts = {0};
    int r = content ? compare(part, out ? &hunks : NULL, &counts, err) : 0;
    if (r < 0)
        return r;
    bool differs = part->old.too_large || part->new.too_large || !same_bytes(part);
    bool told = counts.binary && differs;
    if (out && says_something(part, &hunks, told)) {
        bool one_sided = !part->old.object || !part->new.object;
        bool link = part->new.object && S_ISLNK(part->new.object->meta.mode);
        r = content && (differs || one_sided || link) ? hash_ends(part, err) : 0;
        if (r < 0)
            return r;
        add_header(out, part, hunks.size && !part->renamed);
        add_body(out, part, &hunks, told);
    }
    sum->binary |= counts.binary;
    sum->added += counts.added;
    sum->deleted += counts.deleted;
    return out && out->failed ? err_nomem(err) : 0;
}

static int add_halves(struct part *part, struct buf *out, struct text_counts *sum, struct snap_err *err) {
    _cleanup_(part_done) struct part old = { .old = part->old, .new = { .path = part->old.path } };
    _cleanup_(part_done) struct part new = { .new = part->new, .old = { .path = part->new.path } };
    int r = old.old.object ? add_part(&old, true, out, sum, err) : 0;
    return r < 0 || !new.new.object ? r : add_part(&new, true, out, sum, err);
}

int patch_make(struct side *from, struct side *to, const struct change_row *row, struct buf *out,
               struct text_counts *ret, struct snap_err *err) {
    struct text_counts sum = {0};
    _cleanup_(part_done) struct part part = {
        .old = { .side = from, .path = row->old_path ? row->old_path : row->path, .object = patchable(row->before) },
        .new = { .side = to, .path = row->path, .object = patchable(row->after) },
        .renamed = row->letter == 'R', .similarity = row->similarity,
    };
    bool both = part.old.object && part.new.object;
    bool content = row->what & (SNAP_WHAT_CONTENT | SNAP_WHAT_TARGET) || (part.new.object && S_ISLNK(part.new.object->meta.mode));
    bool typed = both && (part.old.object->meta.mode ^ part.new.object->meta.mode) & S_IFMT;
    int r = both && !typed ? add_part(&part, content, out, &sum, err) : add_halves(&part, out, &sum, err);
    if (r >= 0)
        *ret = sum;
    return r;
}
