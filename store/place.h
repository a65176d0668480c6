/* Where a new store lies (snapctl-init(1)). SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "err.h"
#include <stdbool.h>

struct place { char *path; bool inside; bool same_file_system; };
void place_done(struct place *place);
/* For the project at `root` (absolute): $XDG_STATE_HOME/snapctl/ID on the same file system, else TOPDIR/.snapctl-$UID/ID,
 * else beside the project, else (the project is a mount's root) inside it, else the state directory on another file system. */
int place_choose(const char *root, struct place *ret, struct snap_err *err);
