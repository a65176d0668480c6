/* The cut, in the process that serves a workspace: whoever captures the current layer asks it to hold still.
 *
 * A socket beside the record of the mount. One connection at a time: "hold\n" is answered with "held\n" once all that was written is in
 * the layer and nothing changes any more, "release\n" with "released\n". A connection that ends, or takes too long, releases: whoever
 * captured hears of it by the missing answer. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "mount.h"
#include "mounted.h"

struct cutd;
int cutd_start(struct store *store, const struct mounted *mounted, struct mount *mount, struct cutd **ret, struct snap_err *err);
struct cutd *cutd_stop(struct cutd *cutd);                /* accepts NULL; before the mount is gone */
#define CUT_HOLD "hold\n"
#define CUT_HELD "held\n"
#define CUT_RELEASE "release\n"
#define CUT_RELEASED "released\n"
enum { CUT_PATIENCE_S = 60 };                             /* for which a mount holds still at most */
