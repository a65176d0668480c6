/* The bytes of an archive, decompressed if they have to be. The input is hostile: what it may grow to is bounded.
 * libarchive is loaded only for what is compressed. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "cleanup.h"
#include "err.h"
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inflow_limits {
    uint64_t bytes;            /* that may come out; 0 = any number */
    uint64_t ratio;            /* by which it may grow, once more than 256 MiB came out; 0 = any */
    const volatile sig_atomic_t *cancel;   /* NULL = nobody cancels */
    bool plain;                /* never decompress */
};

struct inflow;
/* Reads `fd` from its position on; it is borrowed and may be a pipe. */
int inflow_open(int fd, const struct inflow_limits *limits, struct inflow **ret, struct snap_err *err);
struct inflow *inflow_close(struct inflow *flow);             /* accepts NULL, returns NULL */
DEFINE_CLEANUP(struct inflow *, inflow_close)
#define _inflow_ _cleanup_(inflow_closep)
/* Everything that comes out is also given to `tap` before anybody sees it. */
void inflow_tap(struct inflow *flow, void (*tap)(void *data, const void *bytes, size_t size), void *data);
/* What comes next, at least one byte, valid until the next call: 1, or 0 at the end. -EFBIG: a limit; -ECANCELED. */
int inflow_peek(struct inflow *flow, const void **ret, size_t *ret_size, struct snap_err *err);
void inflow_skip(struct inflow *flow, size_t size);           /* of what was peeked at */
/* Exactly `size` bytes: 1, or 0 at the end before the first of them; -ENODATA: it ended after some. */
int inflow_read(struct inflow *flow, void *data, size_t size, struct snap_err *err);
uint64_t inflow_bytes(const struct inflow *flow);             /* that came out so far */
