/* Foreign libraries by dlopen.
 * Refuses a library that lacks a single symbol: half of one is worse than none. SPDX-License-Identifier: GPL-2.0-or-later */
#include "library.h"

#include "hook.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void explain(struct library *library, const char *cause) {
    (void)snprintf(library->missing, sizeof(library->missing), "%s", cause ? cause : "unknown error");
}

/* Never closed: what libraries keep for each thread outlives any use of ours. */
static void load(struct library *library) {
    library->tried = true;
    void *loaded = dlopen(library->soname, RTLD_NOW | RTLD_LOCAL);
    if (!loaded) {
        explain(library, dlerror());
        return;
    }
    for (size_t i = 0; i < library->count; i++) {
        void *symbol = dlsym(loaded, library->symbols[i]);
        if (!symbol) {
            explain(library, dlerror());
            return;
        }
        memcpy((char *)library->table + i * sizeof(symbol), &symbol, sizeof(symbol));
    }
    if (library->start && !library->start())
        explain(library, "it does not start");
}

int library_load(struct library *library, struct snap_err *err) {
    int r = pthread_mutex_lock(&library->lock);
    if (r != 0)
        return err_errno(err, -r, "cannot load %s", library->name);
    if (!library->tried)
        load(library);
    pthread_mutex_unlock(&library->lock);
    const char *cause = hook("library.load", library->soname) < 0 ? "refused by a test" : library->missing;
    if (!*cause)
        return 0;
    err_set(err, -ENOSYS, "cannot load %s: %s", library->name, cause);
    return err_hint(err, "install the package that has %s", library->soname);
}
