/* Who a directory is, whatever its path: file system and file handle. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "err.h"

/* "FSID:handle:TYPE:HEX", or "FSID:birth:INO:SEC.NSEC" where handles are not to be had. FSID: FS_IOC_GETFSUUID, else
 * statfs' f_fsid, else the file system type. The caller frees *ret. design.md section 5. */
int identity_of(int dirfd, char **ret, struct snap_err *err);
