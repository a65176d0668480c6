/* What becomes of an object when a name of it goes. Not a door. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "node.h"

/* Before: keeps hold of what the name leads to in the current layer, for who has the node; `going` is its place, or NULL. */
int name_going(struct node *node, int dirfd, const char *name, const struct place *going);
/* After: `found` is what the name showed. node and place may be NULL. */
void name_gone(struct overlay *overlay, struct node *node, struct place *place, const struct found *found);
