/* SHA-256 by nettle.
 * Decides nothing about what a digest is good for. SPDX-License-Identifier: GPL-2.0-or-later */
#include "sha256.h"

#include "library.h"
#include <nettle/sha2.h>

/* Its header renames these by macros; the table goes by the names as they are written. */
#undef sha256_init
#undef sha256_update
#undef sha256_digest
#define NETTLE_FUNCTIONS(X) X(sha256_init) X(sha256_update) X(sha256_digest)
#define NETTLE_POINTER(name) __typeof__(nettle_##name) *name;
#define NETTLE_SYMBOL(name) "nettle_" #name,

static struct { NETTLE_FUNCTIONS(NETTLE_POINTER) } table;
static const char *const symbols[] = { NETTLE_FUNCTIONS(NETTLE_SYMBOL) };
static struct library library = LIBRARY("nettle", NETTLE_SONAME, symbols, &table, NULL);

struct sha256 { struct sha256_ctx context; };

int sha256_new(struct sha256 **ret, struct snap_err *err) {
    int r = library_load(&library, err);
    if (r < 0)
        return r;
    struct sha256 *sha256 = calloc(1, sizeof(*sha256));
    if (!sha256)
        return err_nomem(err);
    table.sha256_init(&sha256->context);
    *ret = sha256;
    return 0;
}

struct sha256 *sha256_free(struct sha256 *sha256) {
    free(sha256);
    return NULL;
}

void sha256_add(struct sha256 *sha256, const void *data, size_t size) {
    table.sha256_update(&sha256->context, size, data);
}

void sha256_hex(struct sha256 *sha256, char ret[static SHA256_HEX + 1]) {
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[SHA256_SIZE];
    table.sha256_digest(&sha256->context, sizeof(bytes), bytes);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        ret[2 * i] = digits[bytes[i] >> 4];
        ret[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret[SHA256_HEX] = '\0';
}
