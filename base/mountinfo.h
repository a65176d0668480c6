/* What is mounted, as this process sees it, and who uses it. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"

struct mountinfo { char *dir, *type, *source; };     /* unescaped; `dir` absolute */
void mountinfo_done(struct mountinfo *info);
#define _mountinfo_ _cleanup_(mountinfo_done)

/* The topmost mount on `dir`: 1 found, 0 nothing is mounted there, negative errno. */
int mountinfo_find(const char *dir, struct mountinfo *ret);
int mountinfo_by_id(uint64_t id, struct mountinfo *ret);         /* the same by STATX_MNT_ID */
/* Where something is mounted below `dir`: each directory and a NUL, in the kernel's order. */
int mountinfo_below(const char *dir, struct buf *ret);
/* The pids that have a file of the mount open or mapped, or work in it, this process aside, as far as /proc shows them:
 * "1234 (bash)", "" = none seen.
 * Looks at names alone, so that a file system that does not answer holds nobody up. */
void mountinfo_who_uses(const char *dir, struct buf *out);
/* The pids, as above, that have the mount with this source in two places: in mount namespaces of their own. */
void mountinfo_who_bound(const char *source, struct buf *out);
