/* gzip's format, decompressed by zlib: libarchive's filter looks at no checksum. Part of store/archive*; not a door of this
 * room. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "cleanup.h"
#include "err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gunzip;
int gunzip_new(struct gunzip **ret, struct snap_err *err);       /* -ENOSYS if zlib is not here */
struct gunzip *gunzip_free(struct gunzip *gunzip);               /* accepts NULL, returns NULL */
/* Takes what it can of `in`, which it moves on, and fills `out` as far as it goes. *ret_ended: a member ended, its checksum is
 * right, and the next call begins another. -EIO: it is damaged. */
int gunzip_step(struct gunzip *gunzip, const uint8_t **in, size_t *in_size, uint8_t *out, size_t room, size_t *ret_size,
                bool *ret_ended, struct snap_err *err);
