/* libgit2 by dlopen.
 * Refuses a library that lacks a single function of the table: half of one is worse than none.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "gitlib.h"

#include "hook.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

static struct git2 table;
static char missing[256];      /* why it could not be loaded; "" = it was */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void explain(const char *cause) {
    snprintf(missing, sizeof(missing), "%s", cause ? cause : "unknown error");
}

/* Never closed: libgit2 keeps state a thread that outlives any use of ours. */
static void load(void) {
    void *library = dlopen(GIT2_SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        explain(dlerror());
        return;
    }
#define GIT2_RESOLVE(name) \
    table.name = (__typeof__(table.name))dlsym(library, "git_" #name); \
    if (!table.name) { \
        explain(dlerror()); \
        return; \
    }
    GIT2_FUNCTIONS(GIT2_RESOLVE)
#undef GIT2_RESOLVE
    if (table.libgit2_init() < 0)
        explain("it does not start");
}

int git2_load(const struct git2 **ret, struct snap_err *err) {
    int r = pthread_once(&once, load);
    if (r != 0)
        return err_errno(err, -r, "cannot load libgit2");
    const char *cause = hook("git2.load", GIT2_SONAME) < 0 ? "refused by a test" : missing;
    if (*cause) {
        err_set(err, -ENOSYS, "cannot load libgit2: %s", cause);
        return err_hint(err, "install the package that has %s", GIT2_SONAME);
    }
    *ret = &table;
    return 0;
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
