/* Places that the user names outside of what descriptors of the project reach: the directory, opened, and a name in it.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"
#include <sys/stat.h>

struct spot {
    int parent;
    char *name;
    char *path;                           /* absolute */
    char *logged;                         /* as the log has it: absolute, or "./" and the path in the project, which may move */
};
void spot_done(struct spot *spot);
#define _spot_ _cleanup_(spot_done)

/* As the user typed it, relative to env.dir. The name need not exist. */
int spot_typed(struct snap_project *project, const char *typed, struct spot *ret, struct snap_err *err);
/* What an operation remembers; nothing in it is followed any more. */
int spot_recorded(const struct snap_project *project, const char *logged, struct spot *ret, struct snap_err *err);
/* Whether `fd`, a directory, is `what` or lies below it. 1, 0 or a negative errno. */
int spot_is_within(int fd, const struct stat *what);
