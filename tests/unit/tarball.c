/* tar archives made in memory. SPDX-License-Identifier: GPL-2.0-or-later */
#include "tarball.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 512 };

static void put_octal(char *field, size_t size, uint64_t value) {
    char text[32];
    (void)snprintf(text, sizeof(text), "%0*llo", (int)size - 1, (unsigned long long)value);
    memcpy(field, text, strlen(text) < size ? strlen(text) : size - 1);
}

void ball_sum(struct buf *out, size_t at) {
    unsigned sum = 0;
    char text[16];
    memset(out->data + at + 148, ' ', 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)out->data[at + i];
    (void)snprintf(text, sizeof(text), "%06o", sum);
    memcpy(out->data + at + 148, text, 7);
}

static void pad(struct buf *out) {
    while (out->size % BLOCK)
        buf_char(out, '\0');
}

void ball_add(struct buf *out, const struct ball *member) {
    char header[BLOCK] = {0};
    size_t size = member->size ? member->size : member->data ? strlen(member->data) : 0;
    memcpy(header, member->path, strnlen(member->path, 100));
    put_octal(header + 100, 8, member->mode ? member->mode : 0644);
    put_octal(header + 108, 8, geteuid());      /* whoever goes there may make it so */
    put_octal(header + 116, 8, getegid());
    put_octal(header + 124, 12, member->claimed ? member->claimed : size);
    put_octal(header + 136, 12, 1000000000);
    if (member->mtime)
        memcpy(header + 136, member->mtime, 12);
    header[156] = member->type ? member->type : '0';
    if (member->link)
        memcpy(header + 157, member->link, strnlen(member->link, 100));
    if (!member->old)
        memcpy(header + 257, "ustar\00000", 8);
    put_octal(header + 329, 8, member->major);
    put_octal(header + 337, 8, member->minor);
    size_t at = out->size;
    buf_add(out, header, sizeof(header));
    ball_sum(out, at);
    buf_add(out, member->data ? member->data : "", size);
    pad(out);
}

void ball_pax(struct buf *out, const char *const *records) {
    _buf_ struct buf text = {0};
    for (; *records; records++) {
        size_t size = strlen(*records) + 2, whole = size;
        char digits[24];
        do {
            size = whole;
            whole = strlen(*records) + 2 + (size_t)snprintf(digits, sizeof(digits), "%zu", size);
        } while (whole != size);
        buf_fmt(&text, "%zu %s\n", size, *records);
    }
    ball_add(out, &(struct ball){ .type = 'x', .path = "header", .data = text.data, .size = text.size });
}

void ball_end(struct buf *out) {
    for (unsigned i = 0; i < 2 * BLOCK; i++)
        buf_char(out, '\0');
}
