/* A growing byte string, and reading packed records back.
 * Never aborts and never shrinks: a failed addition is remembered until buf_done.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "buf.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void fail(struct buf *buf) {
    buf->failed = -ENOMEM;
}

/* Room for `size` more bytes and the NUL. */
static int reserve(struct buf *buf, size_t size) {
    if (buf->failed)
        return buf->failed;
    if (size < buf->room && buf->size < buf->room - size)
        return 0;

    size_t need, room = MAX(buf->room, (size_t)32);
    if (__builtin_add_overflow(buf->size, size, &need) || need >= PTRDIFF_MAX) {
        fail(buf);
        return buf->failed;
    }
    while (room <= need)
        room *= 2;
    char *data = realloc(buf->data, room);
    if (!data) {
        fail(buf);
        return buf->failed;
    }
    buf->data = data;
    buf->room = room;
    return 0;
}

void buf_add(struct buf *buf, const void *data, size_t size) {
    if (reserve(buf, size) < 0)
        return;
    if (size)
        memcpy(buf->data + buf->size, data, size);
    buf->size += size;
    buf->data[buf->size] = '\0';
}

void buf_str(struct buf *buf, const char *string) {
    buf_add(buf, string, strlen(string));
}

void buf_char(struct buf *buf, char c) {
    buf_add(buf, &c, 1);
}

__attribute__((format(printf, 2, 0)))
static int format_into(struct buf *buf, const char *format, va_list args) {
    size_t room = buf->room - buf->size;
    return vsnprintf(buf->data + buf->size, room, format, args);
}

void buf_fmt(struct buf *buf, const char *format, ...) {
    if (reserve(buf, 1) < 0)
        return;

    va_list args;
    va_start(args, format);
    int size = format_into(buf, format, args);
    va_end(args);
    if (size >= 0 && (size_t)size >= buf->room - buf->size && reserve(buf, (size_t)size) == 0) {
        va_start(args, format);
        size = format_into(buf, format, args);
        va_end(args);
    }
    if (size < 0)
        fail(buf);
    if (!buf->failed)
        buf->size += (size_t)size;
    buf->data[buf->size] = '\0';
}

void buf_u16(struct buf *buf, uint16_t value) {
    value = htole16(value);
    buf_add(buf, &value, sizeof(value));
}

void buf_u32(struct buf *buf, uint32_t value) {
    value = htole32(value);
    buf_add(buf, &value, sizeof(value));
}

void buf_clear(struct buf *buf) {
    buf->size = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

char *buf_take(struct buf *buf) {
    buf_add(buf, "", 0);
    char *data = buf->failed ? NULL : TAKE_PTR(buf->data);
    buf_done(buf);
    return data;
}

void buf_done(struct buf *buf) {
    free(buf->data);
    *buf = (struct buf){0};
}

const void *bufread_bytes(struct bufread *reader, size_t size) {
    if (reader->failed || (size_t)(reader->end - reader->at) < size) {
        reader->failed = 1;
        return NULL;
    }
    const void *bytes = reader->at;
    reader->at += size;
    return bytes;
}

static void read_or_zero(struct bufread *reader, void *ret, size_t size) {
    const void *bytes = bufread_bytes(reader, size);
    if (bytes)
        memcpy(ret, bytes, size);
}

uint16_t bufread_u16(struct bufread *reader) {
    uint16_t value = 0;
    read_or_zero(reader, &value, sizeof(value));
    return le16toh(value);
}

uint32_t bufread_u32(struct bufread *reader) {
    uint32_t value = 0;
    read_or_zero(reader, &value, sizeof(value));
    return le32toh(value);
}
