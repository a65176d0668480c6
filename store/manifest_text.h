/* Pieces of the text that manifests and facts are made of. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include <stdbool.h>
#include <time.h>

struct text { const char *at; size_t size; };
bool text_is(struct text text, const char *word);
bool text_begins(struct text text, const char *word);
bool text_take_until(struct text *rest, char end, struct text *ret);

/* Values; -EINVAL, and -ENOMEM for strings. */
int text_unsigned(struct text text, uint64_t limit, uint64_t *ret);
int text_id(struct text text, int64_t least, int64_t *ret);
int text_u32(struct text text, uint32_t *ret);
int text_mode(struct text text, uint32_t *ret);
int text_time(struct text text, struct timespec *ret);
int text_string(struct text text, char **ret);                     /* frees what stood in *ret */

typedef int (*text_field_fn)(void *data, struct text key, struct text value, bool has_value);
int text_each_field(struct text line, text_field_fn fn, void *data);
int text_once(const char *const *names, size_t count, struct text key, unsigned *seen);    /* -EINVAL */
/* NULL, or what is wrong with the end. */
const char *text_end(struct text *whole);
void text_add_end(struct buf *out);                                /* writes it; out->failed tells whether memory sufficed */

/* The same text written to a file in pieces: what is added to `text` goes out when it is large. */
struct text_stream {
    struct buf text;
    int fd;                    /* borrowed */
    uint64_t lines;            /* that are out */
    void *digest;              /* of all that is out */
};
int text_stream_open(struct text_stream *stream, int fd);          /* -ENOMEM */
int text_stream_push(struct text_stream *stream);                  /* after each line; negative errno */
int text_stream_end(struct text_stream *stream);                   /* all of it and the end are written */
void text_stream_done(struct text_stream *stream);
#define _text_stream_ _cleanup_(text_stream_done)
