/* Where archives go: a descriptor, compressed on the way or not. Written in large pieces, from the position the descriptor has.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "sha256.h"
#include <stdint.h>

enum archive_compression { ARCHIVE_PLAIN = 0, ARCHIVE_GZIP, ARCHIVE_XZ, ARCHIVE_ZSTD };
enum sink_flags { SINK_DIGESTS = 1 /* both SHA-256 are wanted */ };
struct sink_totals {
    uint64_t given, written;   /* bytes before and after compression */
    char given_sha256[SHA256_HEX + 1], written_sha256[SHA256_HEX + 1];      /* with SINK_DIGESTS; else "" */
};

/* The same bytes give the same bytes, whatever the processors: no time, no name, blocks of one size. Borrows `fd`. Every verb
 * fails with -ECANCELED once *cancel is set, and with -EPIPE when nobody reads the pipe any more. */
struct sink;
int sink_open(int fd, enum archive_compression compression, unsigned flags, const volatile sig_atomic_t *cancel, struct sink **ret,
              struct snap_err *err);
struct sink *sink_free(struct sink *sink);                       /* writes nothing; accepts NULL, returns NULL */
DEFINE_CLEANUP(struct sink *, sink_free)
#define _sink_ _cleanup_(sink_freep)
int sink_add(struct sink *sink, const void *data, size_t size, struct snap_err *err);
int sink_zeros(struct sink *sink, uint64_t size, struct snap_err *err);
int sink_end(struct sink *sink, struct sink_totals *ret, struct snap_err *err);       /* all is written; only free follows */
