/* Exports of random snapshots, unpacked by GNU tar, and differences laid over each other by the kernel.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "model.h"

/* As root; others may not mount, and GNU tar gives them no attributes on files that they may not write. */

/* A snapshot as an archive, unpacked, is what was taken. */
bool exports_whole(struct model *model);
/* The difference of two, as a layer of overlayfs over the older of them, shows the other. */
bool exports_difference(struct model *model);
