/* POSIX ACLs as archives write them. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"

/* "user::rw-,user:NAME:r--:ID,group::r--,mask::r--,other::---" as the value of the xattr system.posix_acl_*, in the kernel's
 * order. Commas or newlines; ID may be missing, then NAME is a number or somebody known here. 1 = done, 0 = left out: it says
 * no more than the mode (`mode` not 0), or names somebody unknown here (*ret_unknown, the caller frees; untouched else).
 * -EINVAL, -ENOMEM. */
int acl_from_text(const char *text, uint32_t mode, struct buf *out, char **ret_unknown);
