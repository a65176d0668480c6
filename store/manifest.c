/* Writing a layer's manifest: lines in the order in which they are given, the end with a digest of everything before.
 * Checks nothing; the reader does. SPDX-License-Identifier: GPL-2.0-or-later */
#include "manifest.h"

#include "manifest_text.h"
#include "quote.h"

#include <string.h>

static void add_number(struct buf *out, const char *key, int64_t value) {
    buf_fmt(out, " %s=%lld", key, (long long)value);
}

static void add_quoted(struct buf *out, const char *key, const char *value) {
    buf_fmt(out, " %s=", key);
    quote_mtree(out, value, strlen(value));
}

static void add_time(struct buf *out, const char *key, const struct timespec *time) {
    buf_fmt(out, " %s=%lld.%09ld", key, (long long)time->tv_sec, time->tv_nsec);
}

void manifest_begin(struct buf *out, const struct snapshot *snapshot) {
    const struct snap_snapshot *public = &snapshot->public;
    buf_str(out, "#snapctl-manifest 1\n#snapshot");
    add_number(out, "number", public->number);
    add_number(out, "line", snapshot->line);
    add_number(out, "parent", public->parent);
    add_time(out, "created", &public->created);
    add_number(out, "flags", snapshot->flags & ~(unsigned)SNAPSHOT_GONE);
    add_number(out, "added", (int64_t)public->added);
    add_number(out, "changed", (int64_t)public->changed);
    add_number(out, "deleted", (int64_t)public->deleted);
    add_number(out, "bytes", (int64_t)public->bytes);
    if (snapshot->base)
        add_number(out, "base", snapshot->base);
    if (public->name && *public->name)
        add_quoted(out, "name", public->name);
    if (public->message && *public->message)
        add_quoted(out, "message", public->message);
    buf_str(out, snapshot->flags & SNAPSHOT_GONE ? " gone\n" : "\n");
}

static void add_xattrs(struct buf *out, const struct meta *meta) {
    struct bufread reader = { .at = meta->xattrs, .end = (const uint8_t *)meta->xattrs + meta->xattrs_size };
    while (meta->xattrs && reader.at < reader.end) {
        uint16_t name_size = bufread_u16(&reader);
        uint32_t value_size = bufread_u32(&reader);
        const char *name = bufread_bytes(&reader, name_size);
        const void *value = bufread_bytes(&reader, value_size);
        if (reader.failed)
            return;
        buf_str(out, " xattr.");
        quote_mtree(out, name, name_size);
        buf_char(out, '=');
        base64_encode(out, value, value_size);
    }
}

/* What was lost later was read once: the manifest says what it was. */
static bool is_unread(const struct object *object) {
    return object->flags & OBJECT_UNREAD && !(object->flags & OBJECT_LOST);
}

static void add_content(struct buf *out, const struct manifest_entry *entry) {
    const struct object *object = entry->object;
    if (object->content)
        add_number(out, "content", object->content);
    if (object->content && entry->content_layer)
        add_number(out, "at", entry->content_layer);
    if (is_unread(object))
        return;
    buf_str(out, " xxh128=");
    hex_encode(out, object->digest.bytes, sizeof(object->digest.bytes));
}

static const char *type_name(uint32_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG: return "file";
    case S_IFDIR: return "dir";
    case S_IFLNK: return "link";
    case S_IFIFO: return "fifo";
    case S_IFSOCK: return "socket";
    case S_IFCHR: return "char";
    default: return "block";
    }
}

static void add_kind(struct buf *out, const struct manifest_entry *entry) {
    const struct meta *meta = &entry->object->meta;
    if (S_ISREG(meta->mode))
        add_content(out, entry);
    else if (S_ISLNK(meta->mode) && meta->target)
        add_quoted(out, "link", meta->target);
    else if (S_ISCHR(meta->mode) || S_ISBLK(meta->mode))
        buf_fmt(out, " device=%u,%u", meta->rdev_major, meta->rdev_minor);
    else if (S_ISDIR(meta->mode))
        add_number(out, "dir", entry->object->dir);
    if (entry->redirect)
        add_quoted(out, "redirect", entry->redirect);
    if (entry->flags & MANIFEST_OPAQUE)
        buf_str(out, " opaque");
    if (entry->flags & MANIFEST_CONTEXT)
        buf_str(out, " context");
}

static void add_object(struct buf *out, const struct manifest_entry *entry) {
    const struct object *object = entry->object;
    buf_fmt(out, " type=%s mode=%04o uid=%u gid=%u", type_name(object->meta.mode), object->meta.mode & 07777,
            object->meta.uid, object->meta.gid);
    if (S_ISREG(object->meta.mode))
        buf_fmt(out, " size=%llu", (unsigned long long)object->meta.size);
    add_time(out, "time", &object->meta.mtime);
    add_number(out, "object", object->id);
    add_kind(out, entry);
    add_xattrs(out, &object->meta);
    if (object->flags & OBJECT_LINKED)
        buf_str(out, " linked");
    if (is_unread(object))
        buf_str(out, " unread");
}

void manifest_add(struct buf *out, const struct manifest_entry *entry) {
    const char *name = entry->in ? entry->name : ".";
    quote_mtree(out, name, strlen(name));
    add_number(out, "in", entry->in);
    if (entry->flags & MANIFEST_DELETED)
        buf_str(out, " deleted");
    else
        add_object(out, entry);
    buf_char(out, '\n');
}

void manifest_end(struct buf *out) {
    text_add_end(out);
}
