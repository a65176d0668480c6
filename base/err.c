/* One sentence and a negative errno on the caller's stack.
 * Never prints, never allocates. What is too long loses its middle, never its cause.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "err.h"

#include "quote.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE = sizeof(((struct snap_err *)0)->message) };

static const char ELLIPSIS[] = "...";

static int failing(int code) {
    return code < 0 ? code : -EIO;
}

static bool continues_character(char c) {
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The largest size <= limit that cuts no character in two. */
static size_t cut_at(const char *text, size_t size, size_t limit) {
    if (size <= limit)
        return size;
    while (limit > 0 && continues_character(text[limit]))
        limit--;
    return limit;
}

/* The smallest offset >= start at which a character begins. */
static size_t tail_from(const char *text, size_t size, size_t start) {
    while (start < size && continues_character(text[start]))
        start++;
    return start;
}

/* The formatted text in `text`, cut to whole characters within `room` bytes, NUL included. Returns its length. */
__attribute__((format(printf, 3, 0)))
static size_t format_text(char *text, size_t room, const char *format, va_list args) {
    int size = vsnprintf(text, room, format, args);
    if (size < 0)
        size = 0;
    if ((size_t)size >= room) {
        /* vsnprintf put the NUL over the byte that would tell whether the last character is whole */
        size_t end = room - 1;
        while (end > 0 && continues_character(text[end - 1]))
            end--;
        size = end > 0 && ((unsigned char)text[end - 1] & 0x80) ? (int)(end - 1) : (int)end;
    }
    text[size] = '\0';
    return (size_t)size;
}

/* Adds to the message at `at`; a text that does not fit loses its beginning. Returns the new end. */
static size_t put_tail(char *message, size_t at, const char *text) {
    size_t size = strlen(text), room = MESSAGE - 1 - at, dots = sizeof(ELLIPSIS) - 1;
    if (size > room && room >= dots) {
        memcpy(message + at, ELLIPSIS, dots);
        at += dots;
        room -= dots;
    }
    size_t start = size > room ? tail_from(text, size, size - room) : 0;
    memcpy(message + at, text + start, size - start);
    message[at + size - start] = '\0';
    return at + size - start;
}

/* The path as people see it, within `room` bytes; of a longer one the end, which tells more than the beginning. */
static void show_path(const char *path, size_t room, struct buf *shown) {
    size_t size = strlen(path);
    buf_clear(shown);
    if (size < MESSAGE)
        quote_display(shown, path, size);
    if (size < MESSAGE && shown->size <= room)
        return;

    /* no escape is longer than four bytes */
    size_t tail = room > sizeof(ELLIPSIS) ? (room - sizeof(ELLIPSIS)) / 4 : 0;
    size_t start = size > tail ? tail_from(path, size, size - tail) : 0;
    buf_clear(shown);
    buf_str(shown, ELLIPSIS);
    quote_display(shown, path + start, size - start);
}

static int commit(struct snap_err *err, int code, const char *message, size_t size) {
    *err = (struct snap_err){ .code = code };
    memcpy(err->message, message, size + 1);
    return code;
}

static const char *cause_of(int code, char *space, size_t room) {
    return strerror_r(-code, space, room);
}

/* Formatted aside: the arguments may point into `err`. */
__attribute__((format(printf, 3, 0)))
static int set(struct snap_err *err, int code, const char *format, va_list args) {
    code = failing(code);
    if (!err)
        return code;
    char message[MESSAGE];
    size_t size = format_text(message, sizeof(message), format, args);
    return commit(err, code, message, size);
}

int err_set(struct snap_err *err, int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    code = set(err, code, format, args);
    va_end(args);
    return code;
}

int err_damage(struct snap_err *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int code = set(err, -EUCLEAN, format, args);
    va_end(args);
    (void)err_failure(err, SNAP_FAILURE_DAMAGE);
    (void)err_hint(err, "snapctl verify says what is affected, and with --repair mends what there is a copy of");
    return code;
}

int err_errno(struct snap_err *err, int code, const char *format, ...) {
    code = failing(code);
    if (!err)
        return code;
    char message[MESSAGE], space[128];
    const char *cause = cause_of(code, space, sizeof(space));
    va_list args;
    va_start(args, format);
    size_t size = format_text(message, sizeof(message) - strlen(cause) - 2, format, args);
    va_end(args);
    size += (size_t)snprintf(message + size, sizeof(message) - size, ": %s", cause);
    return commit(err, code, message, size);
}

int err_path(struct snap_err *err, int code, const char *path, const char *doing, ...) {
    code = failing(code);
    if (!err)
        return code;
    char what[MESSAGE / 2], message[MESSAGE], space[128], escaped[4 * MESSAGE];
    const char *cause = cause_of(code, space, sizeof(space));
    va_list args;
    va_start(args, doing);
    size_t taken = format_text(what, sizeof(what), doing, args) + strlen(cause) + strlen("cannot  '': ");
    va_end(args);

    /* large enough that buf never grows it, so nothing is allocated and nothing freed */
    struct buf shown = { .data = escaped, .room = sizeof(escaped) };
    show_path(path, MESSAGE - 1 - taken, &shown);
    int size = snprintf(message, sizeof(message), "cannot %s '%s': %s", what, shown.data, cause);

    char raw[sizeof(err->path)];
    size_t raw_size = cut_at(path, strlen(path), sizeof(raw) - 1);
    memcpy(raw, path, raw_size);
    commit(err, code, message, MIN((size_t)size, sizeof(message) - 1));
    memcpy(err->path, raw, raw_size);
    return code;
}

int err_wrap(struct snap_err *err, const char *format, ...) {
    if (!err)
        return -EIO;
    err->code = failing(err->code);
    char message[MESSAGE];
    va_list args;
    va_start(args, format);
    size_t size = format_text(message, sizeof(message) / 2, format, args);
    va_end(args);
    memcpy(message + size, ": ", 2);
    put_tail(message, size + 2, err->message);
    memcpy(err->message, message, strlen(message) + 1);
    return err->code;
}

int err_hint(struct snap_err *err, const char *format, ...) {
    if (!err)
        return -EIO;
    char hint[sizeof(err->hint)];
    va_list args;
    va_start(args, format);
    size_t size = format_text(hint, sizeof(hint), format, args);
    va_end(args);
    memcpy(err->hint, hint, size + 1);
    err->code = failing(err->code);
    return err->code;
}

int err_failure(struct snap_err *err, enum snap_failure failure) {
    if (!err)
        return -EIO;
    err->failure = failure;
    err->code = failing(err->code);
    return err->code;
}

int err_nomem(struct snap_err *err) {
    return err_set(err, -ENOMEM, "not enough memory");
}
