/* tar archives made in memory, right or wrong in any way. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"

#include <stdbool.h>
#include <stdint.h>

struct ball {                  /* a member; what is NULL or 0 is left as it would be in an ordinary file */
    char type;                 /* 0 = '0' */
    const char *path, *link;
    unsigned mode;             /* 0 = 0644 */
    const char *data;
    size_t size;               /* of data; 0 = its length as text */
    uint64_t claimed;          /* size in the header, if it is not that of data */
    const char *mtime;         /* 12 bytes of the field as they are */
    unsigned major, minor;
    bool old;                  /* no magic */
};
void ball_add(struct buf *out, const struct ball *member);
/* A pax header: records "KEY=VALUE", NULL-terminated; lengths are put before them. */
void ball_pax(struct buf *out, const char *const *records);
void ball_end(struct buf *out);
/* Makes the checksum of the header at `at` right again. */
void ball_sum(struct buf *out, size_t at);
