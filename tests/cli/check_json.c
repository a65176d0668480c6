/* Checks what --json wrote: each line one object, message_type first; passes the lines on.
 * Says nothing about the members' meaning. SPDX-License-Identifier: GPL-2.0-or-later */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *what_is_wrong(const char *line, size_t size) {
    struct json_tokener *tokener = json_tokener_new();
    if (!tokener)
        return "no memory";
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *object = json_tokener_parse_ex(tokener, line, (int)size);
    const char *wrong = NULL;
    if (json_tokener_get_error(tokener) != json_tokener_success || json_tokener_get_parse_end(tokener) != size)
        wrong = "no JSON";
    else if (!json_object_is_type(object, json_type_object))
        wrong = "no object";
    else if (strncmp(line, "{\"message_type\":\"", 17) != 0)
        wrong = "message_type is not first";
    json_object_put(object);
    json_tokener_free(tokener);
    return wrong;
}

int main(void) {
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    int code = 0;
    while ((size = getline(&line, &room, stdin)) > 0) {
        const char *wrong = line[size - 1] == '\n' ? what_is_wrong(line, (size_t)size - 1) : "no newline at the end";
        if (wrong) {
            printf("INVALID, %s: ", wrong);
            code = 1;
        }
        fputs(line, stdout);
    }
    free(line);
    return fflush(stdout) == 0 ? code : 2;
}
