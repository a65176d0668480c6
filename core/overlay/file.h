/* Handles, for those who make files. Not a door. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "node.h"

/* Takes `fd` when it succeeds. */
int handle_new(struct overlay *overlay, struct node *node, int flags, int fd, struct overlay_handle **ret);
