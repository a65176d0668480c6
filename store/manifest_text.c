/* Pieces of the text that manifests are made of, read as strictly as they are written.
 * Knows no field. SPDX-License-Identifier: GPL-2.0-or-later */
#include "manifest_text.h"

#include "cleanup.h"
#include "fs.h"
#include "quote.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

bool text_is(struct text text, const char *word) {
    return text.size == strlen(word) && memcmp(text.at, word, text.size) == 0;
}

bool text_begins(struct text text, const char *word) {
    return text.size >= strlen(word) && memcmp(text.at, word, strlen(word)) == 0;
}

/* Takes what stands before the first `end` (or everything) off the front; false: nothing was left. */
bool text_take_until(struct text *rest, char end, struct text *ret) {
    if (!rest->at)
        return false;
    const char *found = rest->size ? memchr(rest->at, end, rest->size) : NULL;
    size_t size = found ? (size_t)(found - rest->at) : rest->size;
    *ret = (struct text){ .at = rest->at, .size = size };
    *rest = found ? (struct text){ .at = found + 1, .size = rest->size - size - 1 } : (struct text){0};
    return true;
}

/* Digits without sign or needless zeros. */
int text_unsigned(struct text text, uint64_t limit, uint64_t *ret) {
    if (text.size == 0 || (text.size > 1 && text.at[0] == '0'))
        return -EINVAL;
    uint64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)(unsigned char)text.at[i] - '0';
        if (digit > 9 || value > (limit - digit) / 10)
            return -EINVAL;
        value = 10 * value + digit;
    }
    *ret = value;
    return 0;
}

int text_id(struct text text, int64_t least, int64_t *ret) {
    uint64_t value = 0;
    if (text_unsigned(text, INT64_MAX - 1, &value) < 0 || (int64_t)value < least)
        return -EINVAL;
    *ret = (int64_t)value;
    return 0;
}

int text_u32(struct text text, uint32_t *ret) {
    uint64_t value = 0;
    if (text_unsigned(text, UINT32_MAX, &value) < 0)
        return -EINVAL;
    *ret = (uint32_t)value;
    return 0;
}

int text_mode(struct text text, uint32_t *ret) {
    uint32_t mode = 0;
    if (text.size != 4)
        return -EINVAL;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '7')
            return -EINVAL;
        mode = mode << 3 | (uint32_t)(text.at[i] - '0');
    }
    *ret = mode;
    return 0;
}

int text_time(struct text text, struct timespec *ret) {
    bool negative = text_begins(text, "-");
    if (negative)
        text = (struct text){ .at = text.at + 1, .size = text.size - 1 };
    struct text seconds = {0};
    uint64_t sec = 0, nsec = 0;
    if (!text_take_until(&text, '.', &seconds) || text_unsigned(seconds, INT64_MAX, &sec) < 0 || text.size != 9)
        return -EINVAL;
    for (size_t i = 0; i < 9; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return -EINVAL;
        nsec = 10 * nsec + (uint64_t)(text.at[i] - '0');
    }
    if (negative && sec == 0)
        return -EINVAL;
    *ret = (struct timespec){ .tv_sec = negative ? -(int64_t)sec : (int64_t)sec, .tv_nsec = (long)nsec };
    return 0;
}

/* A C string; the caller frees. */
int text_string(struct text text, char **ret) {
    _buf_ struct buf out = {0};
    int result = unquote_mtree(&out, text.at, text.size);
    if (result < 0)
        return result;
    if (out.size == 0 || memchr(out.data, '\0', out.size))
        return -EINVAL;
    char *string = buf_take(&out);
    if (!string)
        return -ENOMEM;
    free(*ret);
    *ret = string;
    return 0;
}

/* One line's fields, "key=value" or "key", handed to a function for each. */

int text_each_field(struct text line, text_field_fn fn, void *data) {
    struct text field = {0};
    while (text_take_until(&line, ' ', &field)) {
        struct text key = {0};
        if (!text_take_until(&field, '=', &key) || key.size == 0)
            return -EINVAL;
        int result = fn(data, key, field, field.at != NULL);
        if (result < 0)
            return result;
    }
    return 0;
}

/* The position of `key` in `names`; each may come once. */
int text_once(const char *const *names, size_t count, struct text key, unsigned *seen) {
    for (size_t i = 0; i < count; i++) {
        if (!text_is(key, names[i]))
            continue;
        if (*seen & 1u << i)
            return -EINVAL;
        *seen |= 1u << i;
        return (int)i;
    }
    return -EINVAL;
}

/* The end. */

static uint64_t count_lines(struct text text) {
    uint64_t lines = 0;
    for (size_t i = 0; i < text.size; i++)
        lines += text.at[i] == '\n';
    return lines;
}

/* The last line says how many come before it and what their digest is: checks that, and cuts it off. */
const char *text_end(struct text *whole) {
    if (whole->size == 0 || whole->at[whole->size - 1] != '\n')
        return "its end is missing";
    const char *before = memrchr(whole->at, '\n', whole->size - 1);
    if (!before)
        return "its end is missing";
    struct text body = { .at = whole->at, .size = (size_t)(before - whole->at) + 1 };
    char end[96];
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits(body.at, body.size));
    _buf_ struct buf hex = {0};
    hex_encode(&hex, digest.digest, sizeof(digest.digest));
    if (hex.failed)
        return "there is not enough memory to check it";
    snprintf(end, sizeof(end), "#end lines=%llu xxh128=%s\n", (unsigned long long)count_lines(body), hex.data);
    if (!text_is((struct text){ .at = before + 1, .size = whole->size - body.size }, end))
        return "its digest is not that of its lines";
    /* without its last newline, so that no empty line follows */
    *whole = (struct text){ .at = body.at, .size = body.size - 1 };
    return NULL;
}

static void add_end(struct buf *out, uint64_t lines, XXH128_hash_t hash) {
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, hash);
    buf_fmt(out, "#end lines=%llu xxh128=", (unsigned long long)lines);
    hex_encode(out, digest.digest, sizeof(digest.digest));
    buf_char(out, '\n');
}

void text_add_end(struct buf *out) {
    if (!out->failed)
        add_end(out, count_lines((struct text){ .at = out->data, .size = out->size }), XXH3_128bits(out->data, out->size));
}

/* In pieces. */

enum { PIECE = 256 * 1024 };

int text_stream_open(struct text_stream *stream, int fd) {
    XXH3_state_t *state = XXH3_createState();
    if (!state || XXH3_128bits_reset(state) != XXH_OK) {
        XXH3_freeState(state);
        return -ENOMEM;
    }
    *stream = (struct text_stream){ .fd = fd, .digest = state };
    return 0;
}

void text_stream_done(struct text_stream *stream) {
    XXH3_freeState(stream->digest);
    buf_done(&stream->text);
    *stream = (struct text_stream){ .fd = -1 };
}

static int write_piece(struct text_stream *stream) {
    const struct buf *text = &stream->text;
    int r = text->failed ? text->failed : text->size ? fs_write_all(stream->fd, text->data, text->size) : 0;
    buf_clear(&stream->text);
    return r;
}

/* What stands there goes out, and counts. */
static int push(struct text_stream *stream) {
    const struct buf *text = &stream->text;
    if (!text->failed && text->size) {
        stream->lines += count_lines((struct text){ .at = text->data, .size = text->size });
        if (XXH3_128bits_update(stream->digest, text->data, text->size) != XXH_OK)
            return -EIO;
    }
    return write_piece(stream);
}

int text_stream_push(struct text_stream *stream) {
    return stream->text.size < PIECE ? stream->text.failed : push(stream);
}

int text_stream_end(struct text_stream *stream) {
    int r = push(stream);
    if (r < 0)
        return r;
    add_end(&stream->text, stream->lines, XXH3_128bits_digest(stream->digest));
    return write_piece(stream);
}
