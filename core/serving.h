/* What one mount serves: everything is opened in the process that serves it, from plain facts, after the fork.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "mount.h"
#include "mounted.h"
#include "snapctl.h"

struct serving {
    char *store;               /* path of the store */
    char *dir;                 /* the mount point, absolute */
    int below;                 /* the directory of the project, opened before anything lies over it; of a workspace, else -1 */
    bool follow;               /* it is what the workspace stands on */
    char *options;             /* for FUSE and mount(8), without those that are flags; NULL = none */
    int64_t snapshot;          /* the view's, or what the workspace stands on; 0 = the project as it is */
    int64_t workspace;         /* 0 = a view */
    unsigned flags;            /* enum mount_flags that were asked for */
    struct timespec since;
    int (*answers)(void *data, const struct mounted *mounted, struct snap_err *err);   /* called once it answers; may be NULL */
    void *data;
};
#define SERVING_INIT { .below = -1 }
void serving_done(struct serving *serving);
#define _serving_ _cleanup_(serving_done)

/* Takes what mount(8) writes after -o apart: what is a flag of ours, what is not ours. -EINVAL: it contradicts what is mounted. */
int serving_set_options(struct serving *serving, const char *options, struct snap_err *err);
/* Opens, mounts, serves, and returns once it is unmounted. `data` is a struct serving, as detach hands it over. */
int serving_run(void *data, struct detach_ready *ready, struct snap_err *err);
