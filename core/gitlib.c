/* libgit2: its table of functions, and its errors as ours.
 * Knows nothing of patches or rules. SPDX-License-Identifier: GPL-2.0-or-later */
#include "gitlib.h"

#include "library.h"
#include <errno.h>

static struct git2 table;

static bool start(void) {
    return table.libgit2_init() >= 0;
}

#define GIT2_SYMBOL(name) "git_" #name,
static const char *const symbols[] = { GIT2_FUNCTIONS(GIT2_SYMBOL) };
#undef GIT2_SYMBOL
static struct library library = LIBRARY("libgit2", GIT2_SONAME, symbols, &table, start);

int git2_load(const struct git2 **ret, struct snap_err *err) {
    int r = library_load(&library, err);
    if (r == 0)
        *ret = &table;
    return r;
}

static int translate(int result) {
    switch (result) {
    case GIT_ENOTFOUND: return -ENOENT;
    case GIT_EEXISTS: return -EEXIST;
    case GIT_EBUFS: return -ENOBUFS;
    default: return -EIO;
    }
}

int git2_error(const struct git2 *git, int result, struct snap_err *err, const char *doing) {
    const git_error *last = git->error_last();
    if (last && last->klass == GIT_ERROR_NOMEMORY)
        return err_nomem(err);
    return err_set(err, translate(result), "cannot %s: %s", doing, last && last->message ? last->message : "libgit2 failed");
}
