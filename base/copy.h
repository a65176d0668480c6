/* File content from one descriptor to another: reflink, copy_file_range, read/write, holes kept.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct digest { uint8_t bytes[16]; };   /* XXH3-128, canonical (big-endian) form */

enum copy_how { COPY_REFLINKED = 1, COPY_COPIED = 2 };
struct copy_options {
    bool no_reflink;           /* asked by who knows that it does not work here: saves the call */
    uint64_t expected;         /* size by a stat just now, whose change the caller notices: spares asking for more; 0 = not known */
    bool want_digest;
    bool digest_source;        /* of a reflink: digest `from`, whose pages are likely in memory; the caller notices if it changes meanwhile */
    const volatile sig_atomic_t *cancel;
    /* called now and then with the bytes copied since the last call; may be NULL */
    void (*progress)(void *data, uint64_t bytes);
    void *data;
};
/* The digest is of the logical content alone: the same bytes give the same digest, however they lie in holes.
 * The content is cut into blocks of 64 KiB from offset 0; the last one may be shorter and is then not a whole one.
 *     DATA = XXH3-128 of the content without its whole blocks of nothing but zeros
 *     no such block:  the digest is DATA, which is XXH3-128 of the content, as xxh128sum prints it
 *     else:  RUNS = 16 zero bytes; for each longest run of such blocks, in order:
 *                RUNS = XXH3-128 of (RUNS, offset, size of the run)
 *            the digest is XXH3-128 of (DATA, RUNS, size of the content) with seed 0x736e617068756e6b
 * with integers as 64 bits little-endian and hashes in canonical form. */

/* Copies all of `from` (from offset 0, whatever its position) into the empty file `to`; the size of `to` becomes what was
 * read, which is never more than the file had at the start. Moves both positions. Holes stay holes.
 * `to` must be readable too if a digest is wanted, for that of a reflink is read from it.
 * Returns enum copy_how, or a negative errno (-ECANCELED: cancelled). *ret_size may be NULL. */
int copy_content(int from, int to, const struct copy_options *options, uint64_t *ret_size, struct digest *ret_digest);
/* Digest alone; a 1 TiB hole costs no reading and at most seconds. */
int copy_digest(int from, const struct copy_options *options, uint64_t *ret_size, struct digest *ret_digest);
/* All of `from` to `to`, which may be a pipe: from the positions that both have, holes as zeros. The digest is always made. */
int copy_stream(int from, int to, const struct copy_options *options, uint64_t *ret_size, struct digest *ret_digest);
/* All of `from` from offset 0, in order, to `fn`; holes that the file system tells of are left out, or come as zeros. A negative
 * errno of `fn` ends it. The digest is always made. */
typedef int (*copy_fn)(void *data, uint64_t offset, const void *bytes, size_t size);
int copy_read(int from, const struct copy_options *options, copy_fn fn, void *data, uint64_t *ret_size, struct digest *ret_digest);
/* Where the first `size` bytes of a file have data, in order: what lies between is holes. Without holes, or where they cannot
 * be asked for, one segment. The caller frees *ret; moves the position. */
struct copy_segment { uint64_t at, size; };
int copy_map(int fd, uint64_t size, struct copy_segment **ret, size_t *ret_count);
bool digest_equal(const struct digest *a, const struct digest *b);
/* `fd` is O_RDONLY. 1 = somebody has the file open for writing or mapped writable, or we may not ask, or the file system
 * would not tell (overlayfs); 0 = nobody. Asked by a read lease: stores through a mapping change no time at once. */
int copy_is_hot(int fd);
