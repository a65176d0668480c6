/* Handles, for those who make files. Not a door. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "node.h"

/* Takes `fd` when it succeeds. */
int handle_new(struct overlay *overlay, struct node *node, int flags, int fd, struct overlay_handle **ret);
/* Handles of one node stand in a list, where something is followed; its mutex is held. */
struct overlay_handle *handle_next(const struct overlay_handle *handle);
void handle_link(struct overlay_handle *handle, struct overlay_handle *next);
void handle_unlink(struct overlay_handle *first, const struct overlay_handle *handle);
