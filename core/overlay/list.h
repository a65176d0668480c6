/* A directory's names, kept as they were. Not a door. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "node.h"

struct listing;
int listing_make(struct overlay *overlay, struct node *node, struct listing **ret);
struct listing *listing_free(struct listing *listing);             /* accepts NULL, returns NULL */
int listing_read(const struct listing *listing, off_t offset, overlay_name_fn fn, void *data);
