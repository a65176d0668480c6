/* Inodes of a file system by number alone, for who may open handles. Not a door. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include <stdint.h>

/* 1 = this inode is below `rootfd`, at *ret_path; 0 = it is not, or not there at all; -EAGAIN: that cannot be told here or now. */
int by_handle(int rootfd, uint64_t ino, struct buf *ret_path);
