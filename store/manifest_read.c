/* Reading a layer's manifest. The text may come from anybody: what is not exactly what the writer writes is refused,
 * and nothing is handed out before the digest of the whole was found right. Touches no tree.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "manifest.h"

#include "fs.h"
#include "manifest_text.h"
#include "map.h"
#include "quote.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define SIZE_LIMIT ((size_t)1 << 31)

struct reader {
    struct text rest;
    uint64_t line;             /* of the one being read, from 1 */
    struct map *dirs;          /* int64_t identity of every directory seen so far -> anything */
};

static void reader_done(struct reader *reader) {
    map_free(reader->dirs, NULL);
}

/* The line of the snapshot. */

enum { S_NUMBER, S_LINE, S_PARENT, S_CREATED, S_FLAGS, S_ADDED, S_CHANGED, S_DELETED, S_BYTES, S_NAME, S_MESSAGE, S_BASE, S_GONE };
static const char *const snapshot_fields[] = {
    "number", "line", "parent", "created", "flags", "added", "changed", "deleted", "bytes", "name", "message", "base", "gone",
};
enum { SNAPSHOT_REQUIRED = (1 << S_NAME) - 1 };

struct snapshot_line { struct snapshot *snapshot; unsigned seen; char *name, *message; };

static void snapshot_line_done(struct snapshot_line *line) {
    snapshot_free(line->snapshot);
    free(line->name);
    free(line->message);
}

static int snapshot_field(void *data, struct text key, struct text value, bool has_value) {
    struct snapshot_line *line = data;
    struct snap_snapshot *public = &line->snapshot->public;
    int field = text_once(snapshot_fields, ELEMENTS(snapshot_fields), key, &line->seen);
    if (has_value == (field == S_GONE))
        return -EINVAL;
    switch (field) {
    case S_NUMBER: return text_id(value, 1, &public->number);
    case S_LINE: return text_id(value, 1, &line->snapshot->line);
    case S_PARENT: return text_id(value, 0, &public->parent);
    case S_CREATED: return text_time(value, &public->created);
    case S_FLAGS: return text_u32(value, &line->snapshot->flags);
    case S_ADDED: return text_unsigned(value, INT64_MAX, &public->added);
    case S_CHANGED: return text_unsigned(value, INT64_MAX, &public->changed);
    case S_DELETED: return text_unsigned(value, INT64_MAX, &public->deleted);
    case S_BYTES: return text_unsigned(value, INT64_MAX, &public->bytes);
    case S_NAME: return text_string(value, &line->name);
    case S_MESSAGE: return text_string(value, &line->message);
    case S_BASE: return text_id(value, 1, &line->snapshot->base);
    case S_GONE: return 0;
    default: return -EINVAL;
    }
}

static int own_string(char **from, const char **ret) {
    char *string = *from ? TAKE_PTR(*from) : strdup("");
    *ret = string;
    return string ? 0 : -ENOMEM;
}

static int read_snapshot(struct text text, int64_t layer, struct snapshot **ret) {
    _cleanup_(snapshot_line_done) struct snapshot_line line = { .snapshot = calloc(1, sizeof(struct snapshot)) };
    if (!line.snapshot)
        return -ENOMEM;
    struct text word = {0};
    if (!text_take_until(&text, ' ', &word) || !text_is(word, "#snapshot"))
        return -EINVAL;
    int result = text_each_field(text, snapshot_field, &line);
    if (result < 0)
        return result;
    struct snapshot *snapshot = line.snapshot;
    if ((line.seen & SNAPSHOT_REQUIRED) != SNAPSHOT_REQUIRED || snapshot->public.parent >= snapshot->public.number)
        return -EINVAL;
    if (snapshot->flags >= SNAPSHOT_GONE)
        return -EINVAL;
    if (line.seen & 1 << S_GONE)
        snapshot->flags |= SNAPSHOT_GONE;
    snapshot->layer = layer;
    snapshot->public.automatic = snapshot->flags & SNAPSHOT_AUTO;
    snapshot->public.foreign = snapshot->flags & SNAPSHOT_FOREIGN;
    snapshot->public.synced = !(snapshot->flags & SNAPSHOT_UNSYNCED);
    result = own_string(&line.name, &snapshot->public.name);
    if (result == 0)
        result = own_string(&line.message, &snapshot->public.message);
    if (result < 0)
        return result;
    *ret = TAKE_PTR(line.snapshot);
    return 0;
}

/* The line of an entry. */

enum {
    E_IN, E_TYPE, E_MODE, E_UID, E_GID, E_SIZE, E_TIME, E_OBJECT, E_CONTENT, E_AT, E_XXH128, E_DIR, E_LINK, E_DEVICE,
    E_REDIRECT, E_OPAQUE, E_CONTEXT, E_LINKED, E_UNREAD, E_DELETED,
};
static const char *const entry_fields[] = {
    "in", "type", "mode", "uid", "gid", "size", "time", "object", "content", "at", "xxh128", "dir", "link", "device",
    "redirect", "opaque", "context", "linked", "unread", "deleted",
};
#define BIT(field) (1u << (field))
#define FLAG_FIELDS (BIT(E_OPAQUE) | BIT(E_CONTEXT) | BIT(E_LINKED) | BIT(E_UNREAD) | BIT(E_DELETED))
#define EVERY_ALLOWED (BIT(E_LINKED) | BIT(E_UNREAD))
#define EVERY_OBJECT (BIT(E_IN) | BIT(E_TYPE) | BIT(E_MODE) | BIT(E_UID) | BIT(E_GID) | BIT(E_TIME) | BIT(E_OBJECT))

struct entry_line {
    struct manifest_entry entry;
    struct object object;
    unsigned seen;
    char *name, *redirect;
    struct buf xattrs;
    char last_xattr[XATTR_NAME_MAX + 1];
};

static void entry_line_done(struct entry_line *line) {
    object_done(&line->object);
    free(line->name);
    free(line->redirect);
    buf_done(&line->xattrs);
}

static const struct { const char *name; uint32_t mode; unsigned required, allowed; } types[] = {
    { "file", S_IFREG, BIT(E_SIZE), BIT(E_CONTENT) | BIT(E_AT) | BIT(E_XXH128) },
    { "dir", S_IFDIR, BIT(E_DIR), BIT(E_REDIRECT) | BIT(E_OPAQUE) | BIT(E_CONTEXT) },
    { "link", S_IFLNK, 0, BIT(E_LINK) },
    { "fifo", S_IFIFO, 0, 0 },
    { "socket", S_IFSOCK, 0, 0 },
    { "char", S_IFCHR, BIT(E_DEVICE), 0 },
    { "block", S_IFBLK, BIT(E_DEVICE), 0 },
};

static int type_at(struct text name, uint32_t *ret_mode) {
    for (size_t i = 0; i < ELEMENTS(types); i++)
        if (text_is(name, types[i].name)) {
            *ret_mode |= types[i].mode;
            return 0;
        }
    return -EINVAL;
}

static int parse_device(struct text text, struct meta *ret) {
    struct text major = {0};
    if (!text_take_until(&text, ',', &major) || !text.at)
        return -EINVAL;
    return text_u32(major, &ret->rdev_major) < 0 ? -EINVAL : text_u32(text, &ret->rdev_minor);
}

static int parse_link(struct text text, struct meta *ret) {
    int result = text_string(text, &ret->target);
    if (result == 0)
        ret->size = strlen(ret->target);
    return result;
}

/* "xattr.NAME": names ascend strictly, as they are packed. */
static int add_xattr(struct entry_line *line, struct text key, struct text value) {
    _buf_ struct buf bytes = {0};
    _free_ char *name = NULL;
    size_t prefix = strlen("xattr.");
    int result = text_string((struct text){ .at = key.at + prefix, .size = key.size - prefix }, &name);
    if (result == 0)
        result = base64_decode(&bytes, value.at, value.size);
    if (result < 0)
        return result;
    if (strlen(name) > XATTR_NAME_MAX || bytes.size > XATTR_SIZE_MAX || strcmp(name, line->last_xattr) <= 0)
        return -EINVAL;
    snprintf(line->last_xattr, sizeof(line->last_xattr), "%s", name);
    buf_u16(&line->xattrs, (uint16_t)strlen(name));
    buf_u32(&line->xattrs, (uint32_t)bytes.size);
    buf_str(&line->xattrs, name);
    if (bytes.size)
        buf_add(&line->xattrs, bytes.data, bytes.size);
    return line->xattrs.failed;
}

static int set_field(struct entry_line *line, int field, struct text value) {
    struct object *object = &line->object;
    uint32_t mode = 0;
    switch (field) {
    case E_IN: return text_id(value, 0, &line->entry.in);
    case E_TYPE: return type_at(value, &object->meta.mode);
    case E_MODE:
        if (text_mode(value, &mode) < 0)
            return -EINVAL;
        object->meta.mode |= mode;
        return 0;
    case E_UID: return text_u32(value, &object->meta.uid);
    case E_GID: return text_u32(value, &object->meta.gid);
    case E_SIZE: return text_unsigned(value, INT64_MAX, &object->meta.size);
    case E_TIME: return text_time(value, &object->meta.mtime);
    case E_OBJECT: return text_id(value, 1, &object->id);
    case E_CONTENT: return text_id(value, 1, &object->content);
    case E_AT: return text_id(value, 1, &line->entry.content_layer);
    case E_XXH128: return hex_decode(object->digest.bytes, sizeof(object->digest.bytes), value.at, value.size);
    case E_DIR: return text_id(value, INDEX_ROOT, &object->dir);
    case E_LINK: return parse_link(value, &object->meta);
    case E_DEVICE: return parse_device(value, &object->meta);
    case E_REDIRECT: return text_string(value, &line->redirect);
    default: return 0;
    }
}

static int entry_field(void *data, struct text key, struct text value, bool has_value) {
    struct entry_line *line = data;
    if (has_value && text_begins(key, "xattr."))
        return add_xattr(line, key, value);
    int field = text_once(entry_fields, ELEMENTS(entry_fields), key, &line->seen);
    if (field < 0 || has_value == !!(FLAG_FIELDS & BIT(field)))
        return -EINVAL;
    return set_field(line, field, value);
}

static int check_file(const struct entry_line *line) {
    const struct object *object = &line->object;
    bool unread = line->seen & BIT(E_UNREAD), digest = line->seen & BIT(E_XXH128);
    if (unread == digest || (object->content && unread))
        return -EINVAL;
    if (!unread && !object->content && object->meta.size > 0)
        return -EINVAL;
    return line->entry.content_layer && !object->content ? -EINVAL : 0;
}

static int check_fields(struct entry_line *line) {
    for (size_t i = 0; i < ELEMENTS(types); i++) {
        if ((line->object.meta.mode & S_IFMT) != types[i].mode)
            continue;
        unsigned required = EVERY_OBJECT | types[i].required;
        if ((line->seen & required) != required || line->seen & ~(required | types[i].allowed | EVERY_ALLOWED))
            return -EINVAL;
        if (types[i].mode == S_IFLNK && !(line->seen & (BIT(E_LINK) | BIT(E_UNREAD))))
            return -EINVAL;
        return types[i].mode == S_IFREG ? check_file(line) : 0;
    }
    return -EINVAL;
}

static int finish_object(struct entry_line *line) {
    int result = check_fields(line);
    if (result < 0)
        return result;
    line->object.flags = (line->seen & BIT(E_UNREAD) ? OBJECT_UNREAD : 0) | (line->seen & BIT(E_LINKED) ? OBJECT_LINKED : 0);
    line->entry.flags = (line->seen & BIT(E_CONTEXT) ? MANIFEST_CONTEXT : 0) | (line->seen & BIT(E_OPAQUE) ? MANIFEST_OPAQUE : 0);
    line->entry.redirect = line->redirect;
    line->object.meta.xattrs_size = line->xattrs.size;
    line->object.meta.xattrs = line->xattrs.size ? buf_take(&line->xattrs) : NULL;
    line->entry.object = &line->object;
    return line->object.meta.xattrs_size && !line->object.meta.xattrs ? -ENOMEM : 0;
}

static int finish_entry(struct entry_line *line) {
    if (!(line->seen & BIT(E_DELETED)))
        return finish_object(line);
    line->entry.flags = MANIFEST_DELETED;
    return line->seen == (BIT(E_IN) | BIT(E_DELETED)) && !line->xattrs.size ? 0 : -EINVAL;
}

static bool is_name(const char *name) {
    return strlen(name) <= NAME_MAX && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/');
}

static int known_dir(const struct reader *reader, int64_t dir) {
    return map_get(reader->dirs, &dir, sizeof(dir)) != NULL;
}

/* Where the entry hangs: the root by itself, everything else in a directory that came before. */
static int check_place(struct reader *reader, struct entry_line *line) {
    bool deleted = line->entry.flags & MANIFEST_DELETED;
    const struct object *object = &line->object;
    if (line->entry.in == 0) {
        if (deleted || strcmp(line->name, ".") != 0 || object->dir != INDEX_ROOT || !S_ISDIR(object->meta.mode))
            return -EINVAL;
        line->entry.name = "";
    } else {
        if (!is_name(line->name) || (!deleted && !known_dir(reader, line->entry.in)))
            return -EINVAL;
        line->entry.name = line->name;
    }
    if (deleted || !S_ISDIR(object->meta.mode))
        return 0;
    if (known_dir(reader, object->dir))
        return -EINVAL;
    return map_put(reader->dirs, &object->dir, sizeof(object->dir), reader, NULL);
}

static int read_entry(struct reader *reader, struct text text, struct entry_line *line) {
    struct text name = {0};
    if (!text_take_until(&text, ' ', &name))
        return -EINVAL;
    int result = text_string(name, &line->name);
    if (result == 0)
        result = text_each_field(text, entry_field, line);
    if (result == 0)
        result = finish_entry(line);
    return result < 0 ? result : check_place(reader, line);
}

/* The whole. */

static int damaged(struct snap_err *err, int64_t layer, const char *what) {
    return err_damage(err, "the manifest of layer %lld is damaged: %s", (long long)layer, what);
}

static int bad_line(struct snap_err *err, int64_t layer, uint64_t line, int code) {
    char what[64];
    if (code == -ENOMEM)
        return err_nomem(err);
    snprintf(what, sizeof(what), "line %llu makes no sense", (unsigned long long)line);
    return damaged(err, layer, what);
}

static int read_head(struct reader *reader, int64_t layer, struct snapshot **ret, struct snap_err *err) {
    struct text line = {0};
    if (!text_take_until(&reader->rest, '\n', &line) || !text_begins(line, "#snapctl-manifest "))
        return damaged(err, layer, "it does not begin like one");
    if (!text_is(line, "#snapctl-manifest 1"))
        return err_set(err, -EPROTONOSUPPORT, "the manifest of layer %lld was written by a newer snapctl", (long long)layer);
    reader->line = 2;
    int result = text_take_until(&reader->rest, '\n', &line) ? read_snapshot(line, layer, ret) : -EINVAL;
    return result < 0 ? bad_line(err, layer, reader->line, result) : 0;
}

static int read_entries(struct reader *reader, int64_t layer, manifest_fn fn, void *data, struct snap_err *err) {
    struct text text = {0};
    while (text_take_until(&reader->rest, '\n', &text)) {
        _cleanup_(entry_line_done) struct entry_line line = {0};
        reader->line++;
        int result = read_entry(reader, text, &line);
        if (result < 0)
            return bad_line(err, layer, reader->line, result);
        result = fn ? fn(data, &line.entry) : 0;
        if (result < 0)
            return err && err->code == result ? result : err_errno(err, result, "cannot go on with the manifest of layer %lld", (long long)layer);
    }
    return 0;
}

static int load(struct store *store, int64_t layer, struct buf *out, struct snap_err *err) {
    char name[24];
    snprintf(name, sizeof(name), "%lld", (long long)layer);
    _close_ int dirfd = openat(store_layers_fd(store), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int result = dirfd < 0 ? -errno : fs_read_file(dirfd, "manifest", SIZE_LIMIT, out);
    if (result == -EFBIG)
        return damaged(err, layer, "it is far too long");
    return result < 0 ? err_errno(err, result, "cannot read the manifest of layer %lld", (long long)layer) : 0;
}

int manifest_read(struct store *store, int64_t layer, struct snapshot **ret, manifest_fn fn, void *data, struct snap_err *err) {
    _buf_ struct buf text = {0};
    int result = load(store, layer, &text, err);
    if (result < 0)
        return result;
    _cleanup_(reader_done) struct reader reader = { .rest = { .at = text.data, .size = text.size }, .dirs = map_new() };
    if (!reader.dirs)
        return err_nomem(err);
    const char *wrong = text_end(&reader.rest);
    if (wrong)
        return damaged(err, layer, wrong);
    _snapshot_ struct snapshot *snapshot = NULL;
    result = read_head(&reader, layer, &snapshot, err);
    if (result == 0)
        result = read_entries(&reader, layer, fn, data, err);
    if (result < 0)
        return result;
    if (ret)
        *ret = TAKE_PTR(snapshot);
    return 0;
}

int manifest_glean(struct store *store, int64_t layer, struct snapshot **ret, manifest_fn fn, void *data, struct snap_err *err) {
    _buf_ struct buf text = {0};
    struct snap_err ignored = {0};
    _snapshot_ struct snapshot *snapshot = NULL;
    struct text at = {0};
    if (load(store, layer, &text, &ignored) < 0 || !text.data)
        return 0;
    _cleanup_(reader_done) struct reader reader = { .rest = { .at = text.data, .size = text.size }, .dirs = map_new() };
    if (!reader.dirs)
        return err_nomem(err);
    while (text_take_until(&reader.rest, '\n', &at)) {
        _cleanup_(entry_line_done) struct entry_line line = {0};
        if (text_begins(at, "#snapshot ") && !snapshot)
            (void)read_snapshot(at, layer, &snapshot);
        int r = text_begins(at, "#") || !reader.rest.at || read_entry(&reader, at, &line) < 0 ? 0 : fn(data, &line.entry);
        if (r < 0 && r != -EUCLEAN)
            return err_errno(err, r, "cannot go on with the manifest of layer %lld", (long long)layer);
    }
    *ret = TAKE_PTR(snapshot);
    return 0;
}
