/* A mount that follows the project, asked by commands that run in it. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"

/* Everything that was changed underneath before is seen through the mount when it returns. `root`: an open descriptor of its root. */
int following_sync(int root, struct snap_following *ret);
