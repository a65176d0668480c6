/* JSON objects on stdout, one a line (snapctl-json(5)).
 * Field names are promised: only ever added to. SPDX-License-Identifier: GPL-2.0-or-later */
#include "json.h"

#include "format.h"
#include "quote.h"

#include <string.h>
#include <sys/stat.h>

json_object *json_message(const char *type) {
    json_object *object = json_object_new_object();
    json_text(object, "message_type", type);
    return object;
}

void json_add(json_object *object, const char *key, json_object *value) {
    if (!object || json_object_object_add(object, key, value) < 0)
        (void)json_object_put(value);
}

void json_text(json_object *object, const char *key, const char *text) {
    json_add(object, key, json_object_new_string(text));
}

void json_number(json_object *object, const char *key, int64_t number) {
    json_add(object, key, json_object_new_int64(number));
}

void json_count(json_object *object, const char *key, uint64_t number) {
    json_add(object, key, json_object_new_uint64(number));
}

void json_id(json_object *object, const char *key, int64_t number) {
    json_add(object, key, number ? json_object_new_int64(number) : NULL);
}

void json_flag(json_object *object, const char *key, bool value) {
    json_add(object, key, json_object_new_boolean(value));
}

void json_time(json_object *object, const char *key, struct timespec time) {
    char text[FORMAT_SIZE];
    json_add(object, key, format_rfc3339(time, text) ? json_object_new_string(text) : NULL);
}

void json_bytes(json_object *object, const char *key, const char *bytes, size_t size) {
    if (size <= INT32_MAX && utf8_valid(bytes, size)) {
        json_add(object, key, json_object_new_string_len(bytes, (int)size));
        return;
    }
    _buf_ struct buf name = {0}, text = {0};
    buf_fmt(&name, "%s_b64", key);
    base64_encode(&text, bytes, size);
    if (!name.failed && !text.failed && text.size <= INT32_MAX)
        json_add(object, name.data, json_object_new_string_len(text.data, (int)text.size));
}

void json_path(json_object *object, const char *key, const char *path) {
    json_bytes(object, key, path, strlen(path));
}

void json_optional(json_object *object, const char *key, const char *text) {
    if (text && *text)
        json_bytes(object, key, text, strlen(text));
    else
        json_add(object, key, NULL);
}

void json_snapshot(json_object *object, const struct snap_snapshot *snapshot) {
    json_number(object, "number", snapshot->number);
    json_optional(object, "name", snapshot->name);
    json_id(object, "parent", snapshot->parent);
    json_time(object, "created", snapshot->created);
    json_flag(object, "automatic", snapshot->automatic);
    json_flag(object, "imported", snapshot->foreign);
    json_flag(object, "synced", snapshot->synced);
    json_optional(object, "message", snapshot->message);
    json_count(object, "added", snapshot->added);
    json_count(object, "changed", snapshot->changed);
    json_count(object, "deleted", snapshot->deleted);
    json_count(object, "bytes", snapshot->bytes);
}

void json_entry(json_object *object, const struct snap_entry *entry) {
    json_text(object, "type", format_type(entry->mode));
    json_number(object, "mode", entry->mode & 07777);
    json_number(object, "uid", entry->uid);
    json_number(object, "gid", entry->gid);
    json_count(object, "size", entry->size);
    json_time(object, "mtime", entry->mtime);
    if (entry->links)
        json_number(object, "links", entry->links);
    if (entry->target)
        json_path(object, "target", entry->target);
    if (S_ISBLK(entry->mode) || S_ISCHR(entry->mode)) {
        json_number(object, "rdev_major", entry->rdev_major);
        json_number(object, "rdev_minor", entry->rdev_minor);
    }
    json_number(object, "xattrs", entry->xattrs);
    json_flag(object, "unread", entry->unread);
    if (entry->lost)
        json_flag(object, "lost", true);
}

/* The line goes out in one piece: notices may come from another thread. */
int json_print(struct out *out, json_object *object) {
    const char *text = object ? json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE) : NULL;
    _buf_ struct buf line = {0};
    if (text) {
        buf_str(&line, text);
        buf_char(&line, '\n');
    }
    (void)json_object_put(object);
    if (!text || line.failed)
        return -ENOMEM;
    out_bytes(out, line.data, line.size);
    return out_check(out);
}
