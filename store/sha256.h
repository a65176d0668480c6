/* SHA-256, for digests that leave the machine; inside, XXH3-128 serves (copy.h). By nettle, loaded when first needed.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "cleanup.h"
#include "err.h"

enum { SHA256_SIZE = 32, SHA256_HEX = 2 * SHA256_SIZE };
struct sha256;
int sha256_new(struct sha256 **ret, struct snap_err *err);       /* -ENOSYS if nettle is not here */
struct sha256 *sha256_free(struct sha256 *sha256);               /* accepts NULL, returns NULL */
DEFINE_CLEANUP(struct sha256 *, sha256_free)
#define _sha256_ _cleanup_(sha256_freep)
void sha256_add(struct sha256 *sha256, const void *data, size_t size);
/* The digest of all that was added, as text; begins anew. */
void sha256_hex(struct sha256 *sha256, char ret[static SHA256_HEX + 1]);
