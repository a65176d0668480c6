/* Who a directory is, whatever its path: file system and file handle. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "err.h"
#include <stdbool.h>

/* "FSID:handle:TYPE:HEX", or "FSID:birth:INO:SEC.NSEC" where handles are not to be had. FSID: FS_IOC_GETFSUUID, else
 * statfs' f_fsid, else the file system type. The caller frees *ret. */
int identity_of(int dirfd, char **ret, struct snap_err *err);
/* Equal, or equal but for the way in which the file system is named: a newer kernel tells a UUID where an older one did not.
 * Enough only for two directories at the same path. */
bool identity_same_inode(const char *a, const char *b);
