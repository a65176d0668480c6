/* How much room a tree takes on its file system. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "map.h"

/* Adds the allocated bytes of everything at and below `name` in dirfd; absent is nothing. Follows nothing. An inode with several
 * names counts once over all calls with the same `inodes` (a map of the caller's, which it frees with free). */
int fs_usage(int dirfd, const char *name, struct map *inodes, uint64_t *ret);
