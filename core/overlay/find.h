/* Objects by number alone. Not a door. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "node.h"

struct finder;
int finder_open(struct finder **ret);
struct finder *finder_close(struct finder *finder);            /* accepts NULL, returns NULL */
/* A name that appeared through the mount; `tree` is held for writing. */
void find_note(struct overlay *overlay, const struct node *node, const struct node *parent, const char *name);
/* A lookup of an object that no node is there for: -ESTALE if no name shows it. No lock is held. */
int find_number(struct overlay *overlay, uint64_t number, struct overlay_entry *ret);
