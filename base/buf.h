/* A growing byte string. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "cleanup.h"
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data;      /* always NUL-terminated once anything was added; the NUL is not counted */
    size_t size, room;
    int failed;      /* -ENOMEM once an addition failed; later additions do nothing: check once, at the end */
};

void buf_add(struct buf *buf, const void *data, size_t size);
void buf_str(struct buf *buf, const char *string);
void buf_char(struct buf *buf, char c);
void buf_fmt(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Little-endian integers, for packed records. */
void buf_u16(struct buf *buf, uint16_t value);
void buf_u32(struct buf *buf, uint32_t value);
void buf_clear(struct buf *buf);             /* keeps the room */
char *buf_take(struct buf *buf);             /* hands the string over ("" if nothing was added); NULL if an addition failed */
void buf_done(struct buf *buf);
#define _buf_ _cleanup_(buf_done)

/* Reads packed records; `failed` turns true at the first read past the end and stays; then reads give 0. */
struct bufread { const uint8_t *at, *end; int failed; };
uint16_t bufread_u16(struct bufread *reader);
uint32_t bufread_u32(struct bufread *reader);
const void *bufread_bytes(struct bufread *reader, size_t size);   /* NULL and failed past the end */
