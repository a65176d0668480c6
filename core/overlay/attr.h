/* What attributes, xattrs and handles share. Not a door. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "node.h"

/* Into the current layer, whatever its type; no lock is held. */
int node_raise(struct overlay *overlay, struct node *node, enum copy_up what);
/* Before metadata of it is changed: true = copy_release afterwards. No lock is held. */
bool claim_metacopy(struct overlay *overlay, struct node *node);
int handle_fd(struct overlay_handle *handle);          /* accepts NULL; -1 = none */
