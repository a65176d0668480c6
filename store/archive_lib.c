/* libarchive: its table of functions, and its errors as ours.
 * Knows nothing of snapshots. SPDX-License-Identifier: GPL-2.0-or-later */
#include "archive_lib.h"

#include "library.h"
#include <errno.h>

static struct archive_lib table;

#define ARCHIVE_SYMBOL(name) #name,
static const char *const symbols[] = { ARCHIVE_FUNCTIONS(ARCHIVE_SYMBOL) };
#undef ARCHIVE_SYMBOL
static struct library library = LIBRARY("libarchive", ARCHIVE_SONAME, symbols, &table, NULL);

int archive_lib_load(const struct archive_lib **ret, struct snap_err *err) {
    int r = library_load(&library, err);
    if (r == 0)
        *ret = &table;
    return r;
}

/* Some of its numbers are its own, below 0 or above any errno. */
int archive_lib_error(const struct archive_lib *lib, struct archive *archive, struct snap_err *err, const char *doing) {
    int code = lib->archive_errno(archive);
    const char *words = lib->archive_error_string(archive);
    if (code == ENOMEM)
        return err_nomem(err);
    return err_set(err, code > 0 && code < 4096 ? -code : -EIO, "cannot %s: %s", doing, words ? words : "libarchive failed");
}
