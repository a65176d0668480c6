/* Whether fanotify may be used here; says why not. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "watch.h"

#include "cleanup.h"
#include <fcntl.h>
#include <stdio.h>

static inline bool can_fanotify(void) {
    struct snap_err err = {0};
    struct watch *watch = NULL;
    const char *tmp = getenv("TMPDIR");
    _close_ int root = open(tmp ? tmp : "/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct watch_options options = { .root = root, .backend = WATCH_FANOTIFY };
    if (watch_open(&options, NULL, NULL, &watch, &err) == 0) {
        watch_close(watch);
        return true;
    }
    printf("skipped: fanotify: %s\n", err.message);
    return false;
}
