/* JSON objects on stdout, one a line (snapctl-json(5)). SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "out.h"

#include <json-c/json.h>

/* {"message_type": TYPE}. Additions to an object that could not be allocated do nothing; json_print tells. */
json_object *json_message(const char *type);
void json_add(json_object *object, const char *key, json_object *value);
void json_text(json_object *object, const char *key, const char *text);      /* text known to be UTF-8 */
void json_number(json_object *object, const char *key, int64_t number);
void json_count(json_object *object, const char *key, uint64_t number);
void json_id(json_object *object, const char *key, int64_t number);          /* 0 is null */
void json_flag(json_object *object, const char *key, bool value);
void json_time(json_object *object, const char *key, struct timespec time);
/* KEY, or KEY_b64 if the bytes are not UTF-8. */
void json_bytes(json_object *object, const char *key, const char *bytes, size_t size);
void json_path(json_object *object, const char *key, const char *path);
void json_optional(json_object *object, const char *key, const char *text);  /* NULL and "" are null */
void json_snapshot(json_object *object, const struct snap_snapshot *snapshot);
void json_entry(json_object *object, const struct snap_entry *entry);
/* Writes the line and frees the object. */
int json_print(struct out *out, json_object *object);
