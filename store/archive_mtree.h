/* Writing mtree(5) specifications, one entry a line with its whole path, as NetBSD's and FreeBSD's mtree(8) and libarchive read
 * them, with the SHA-256 of each file. The same entries give the same bytes. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "archive_sink.h"
#include "copy.h"
#include "meta.h"

struct mtree;
int mtree_open(struct sink *sink, struct mtree **ret, struct snap_err *err);        /* borrows the sink */
struct mtree *mtree_free(struct mtree *mtree);                   /* accepts NULL, returns NULL */
DEFINE_CLEANUP(struct mtree *, mtree_free)
/* `path`: "" = the root; `links`: names of the object, 0 = not to be told; `sha256`: of a regular file's content, else NULL. */
int mtree_add(struct mtree *mtree, const char *path, const struct meta *meta, uint64_t links, const char *sha256, struct snap_err *err);
/* The SHA-256 of all of `fd`, holes as zeros, which has as many bytes as it should (-EUCLEAN), and the digest that the store
 * has of it. */
int mtree_digest(struct mtree *mtree, int fd, uint64_t size, const struct copy_options *options, char ret[static SHA256_HEX + 1],
                 struct digest *ret_digest, struct snap_err *err);
