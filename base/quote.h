/* Bytes as text: what people see, what git reads, what mtree and the manifest hold.
 * Paths are bytes; each form says whether it can be turned back. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include <stdbool.h>

/* For people: control characters, invalid UTF-8 and backslashes as \n or \ooo; the rest as it is. Not for programs. */
void quote_display(struct buf *out, const char *bytes, size_t size);
/* git's C-quoting: as it is, or "..." with \n \t \" \\ \ooo if anything needs it (bytes >= 0x80 do, as core.quotePath). */
void quote_c(struct buf *out, const char *bytes, size_t size);
/* mtree(5): space, #, \, =, control characters and bytes >= 0x80 as \ooo; lossless. */
void quote_mtree(struct buf *out, const char *bytes, size_t size);
int unquote_mtree(struct buf *out, const char *text, size_t size);              /* -EINVAL: not such text */
void base64_encode(struct buf *out, const void *bytes, size_t size);            /* RFC 4648, padded */
int base64_decode(struct buf *out, const char *text, size_t size);              /* -EINVAL */
void hex_encode(struct buf *out, const void *bytes, size_t size);
int hex_decode(void *out, size_t size, const char *text, size_t text_size);     /* -EINVAL unless text is 2*size digits */
bool utf8_valid(const char *bytes, size_t size);                                /* no NUL, surrogates, overlong forms */
