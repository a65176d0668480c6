/* Bytes as text, in each of the forms that people, git, mtree and the manifest want.
 * Knows bytes only: nothing here asks the locale. SPDX-License-Identifier: GPL-2.0-or-later */
#include "quote.h"

#include <string.h>

typedef bool (*plain_fn)(unsigned char c);

static void put_octal(struct buf *out, unsigned char c) {
    const char text[] = { '\\', (char)('0' + (c >> 6)), (char)('0' + (c >> 3 & 7)), (char)('0' + (c & 7)) };
    buf_add(out, text, sizeof(text));
}

/* \n where C has a letter for it, else \ooo. */
static void put_escape(struct buf *out, unsigned char c) {
    static const char controls[] = "abtnvfr";   /* 7 to 13 */
    char letter = c >= 7 && c <= 13 ? controls[c - 7] : c == '\\' || c == '"' ? (char)c : '\0';
    if (!letter)
        return put_octal(out, c);
    buf_add(out, (char[]){ '\\', letter }, 2);
}

/* Copies runs of plain bytes at once and gives the others to `put`. */
static void put_escaped(struct buf *out, const char *bytes, size_t size, plain_fn plain,
                        void (*put)(struct buf *out, unsigned char c)) {
    size_t run = 0;
    for (size_t i = 0; i < size; i++) {
        if (plain((unsigned char)bytes[i]))
            continue;
        buf_add(out, bytes + run, i - run);
        put(out, (unsigned char)bytes[i]);
        run = i + 1;
    }
    if (run < size)
        buf_add(out, bytes + run, size - run);
}

/* Unicode 15, table 3-7. Returns the length of the character at `bytes`, 0: none begins here. */
static size_t decode(const char *bytes, size_t size, uint32_t *ret) {
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned char first = (unsigned char)bytes[0];
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (length == 0 || length > size)
        return 0;

    uint32_t code = length == 1 ? first : first & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (((unsigned char)bytes[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | ((unsigned char)bytes[i] & 0x3f);
    }
    if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret = code;
    return length;
}

/* What a terminal would act on instead of showing it, reordering of text included: a name must not
 * be able to look like another one. */
static bool is_control(uint32_t code) {
    return code < 0x20 || (code >= 0x7f && code < 0xa0)
        || code == 0x61c || code == 0x200e || code == 0x200f
        || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

void quote_display(struct buf *out, const char *bytes, size_t size) {
    size_t run = 0;
    for (size_t i = 0; i < size;) {
        uint32_t code = 0;
        size_t length = decode(bytes + i, size - i, &code);
        if (length && !is_control(code) && code != '\\') {
            i += length;
            continue;
        }
        buf_add(out, bytes + run, i - run);
        for (size_t end = i + MAX(length, (size_t)1); i < end; i++)
            put_escape(out, (unsigned char)bytes[i]);
        run = i;
    }
    buf_add(out, bytes + run, size - run);
}

static bool plain_c(unsigned char c) {
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void quote_c(struct buf *out, const char *bytes, size_t size) {
    size_t i = 0;
    while (i < size && plain_c((unsigned char)bytes[i]))
        i++;
    if (i == size) {
        buf_add(out, bytes, size);
        return;
    }
    buf_char(out, '"');
    put_escaped(out, bytes, size, plain_c, put_escape);
    buf_char(out, '"');
}

static bool plain_mtree(unsigned char c) {
    return c > 0x20 && c < 0x7f && c != '#' && c != '\\' && c != '=';
}

void quote_mtree(struct buf *out, const char *bytes, size_t size) {
    put_escaped(out, bytes, size, plain_mtree, put_octal);
}

/* The byte of \ooo at `text`, -1: no such escape. */
static int octal_at(const char *text, size_t size) {
    if (size < 4 || text[0] != '\\' || text[1] < '0' || text[1] > '3'
        || text[2] < '0' || text[2] > '7' || text[3] < '0' || text[3] > '7')
        return -1;
    return (text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0');
}

static bool is_mtree(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (plain_mtree((unsigned char)text[i]))
            continue;
        if (octal_at(text + i, size - i) < 0)
            return false;
        i += 3;
    }
    return true;
}

int unquote_mtree(struct buf *out, const char *text, size_t size) {
    if (!is_mtree(text, size))
        return -EINVAL;
    size_t run = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '\\')
            continue;
        buf_add(out, text + run, i - run);
        buf_char(out, (char)octal_at(text + i, size - i));
        i += 3;
        run = i + 1;
    }
    buf_add(out, text + run, size - run);
    return out->failed;
}

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, const void *bytes, size_t size) {
    const uint8_t *at = bytes;
    for (; size > 0; at += MIN(size, (size_t)3), size -= MIN(size, (size_t)3)) {
        uint32_t group = (uint32_t)at[0] << 16 | (size > 1 ? (uint32_t)at[1] << 8 : 0) | (size > 2 ? at[2] : 0);
        const char text[] = {
            BASE64[group >> 18], BASE64[group >> 12 & 63],
            size > 1 ? BASE64[group >> 6 & 63] : '=', size > 2 ? BASE64[group & 63] : '=',
        };
        buf_add(out, text, sizeof(text));
    }
}

static int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* 1 to 3 bytes from four digits, 0: they are none, or bits that must be zero are not. */
static size_t base64_group(const char *text, bool last, uint8_t *ret) {
    size_t digits = last && text[3] == '=' ? text[2] == '=' ? 2 : 3 : 4;
    uint32_t group = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = i < digits ? base64_digit(text[i]) : 0;
        if (digit < 0)
            return 0;
        group = group << 6 | (uint32_t)digit;
    }
    ret[0] = (uint8_t)(group >> 16);
    ret[1] = (uint8_t)(group >> 8);
    ret[2] = (uint8_t)group;
    size_t size = digits - 1;
    return (size < 2 && ret[1]) || (size < 3 && ret[2]) ? 0 : size;
}

int base64_decode(struct buf *out, const char *text, size_t size) {
    uint8_t bytes[3];
    if (size % 4)
        return -EINVAL;
    for (size_t i = 0; i < size; i += 4)
        if (!base64_group(text + i, i + 4 == size, bytes))
            return -EINVAL;
    for (size_t i = 0; i < size; i += 4)
        buf_add(out, bytes, base64_group(text + i, i + 4 == size, bytes));
    return out->failed;
}

void hex_encode(struct buf *out, const void *bytes, size_t size) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++)
        buf_add(out, (char[]){ digits[at[i] >> 4], digits[at[i] & 15] }, 2);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int hex_decode(void *out, size_t size, const char *text, size_t text_size) {
    if (text_size % 2 || text_size / 2 != size)
        return -EINVAL;
    for (size_t i = 0; i < text_size; i++)
        if (hex_digit(text[i]) < 0)
            return -EINVAL;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    return 0;
}

bool utf8_valid(const char *bytes, size_t size) {
    for (size_t i = 0; i < size;) {
        uint32_t code = 0;
        size_t length = decode(bytes + i, size - i, &code);
        if (!length || !code)
            return false;
        i += length;
    }
    return true;
}
