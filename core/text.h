/* Text work by libgit2, loaded on first use (design.md section 4: who needs no patch does not pay for it).
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include "err.h"
#include <stdbool.h>

struct text_side { const char *data; size_t size; };
struct text_counts { bool binary; uint64_t added, deleted; };
/* Unified hunks ("@@ ..." lines on, without any file header) of old against new; out may be NULL to count only. */
int text_diff(struct text_side old, struct text_side new, struct buf *out, struct text_counts *ret, struct snap_err *err);
int text_similarity(struct text_side a, struct text_side b, struct snap_err *err);    /* 0 to 100, negative errno; -ENOTSUP: binary */
bool text_is_binary(const char *data, size_t size);                                    /* a NUL in the first 8000 bytes, as git */
