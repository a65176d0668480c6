/* Text work: hunks by libgit2, loaded on first use, so that who needs no patch does not pay for it, and how
 * alike two texts are, which needs no library. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include "err.h"
#include <stdbool.h>

struct text_side { const char *data; size_t size; };
struct text_counts { bool binary; uint64_t added, deleted; };
/* Unified hunks ("@@ ..." lines on, without any file header) of old against new; out may be NULL to count only.
 * Counts are right also where a side is binary: there are none. */
int text_diff(struct text_side old, struct text_side new, struct buf *out, struct text_counts *ret, struct snap_err *err);
/* What both sides made of `base`, in one text: 1 = merged, 0 = they contradict each other, or one is binary. */
int text_merge(struct text_side base, struct text_side ours, struct text_side theirs, struct buf *ret, struct snap_err *err);
struct text_hash { unsigned char bytes[20]; };
int text_hash(struct text_side text, struct text_hash *ret, struct snap_err *err);    /* git's name of this content (SHA-1 of the blob) */
bool text_is_binary(const char *data, size_t size);                                    /* a NUL in the first 8000 bytes, as git */

/* What a text is made of, small enough to be kept for many files while they are compared with each other. */
struct text_print;
int text_print_new(struct text_side text, struct text_print **ret, struct snap_err *err);    /* -ENOTSUP: binary */
struct text_print *text_print_free(struct text_print *print);
DEFINE_CLEANUP(struct text_print *, text_print_free)
unsigned text_print_similarity(const struct text_print *a, const struct text_print *b);     /* 0 to 100; 100 only if equal by all signs */
