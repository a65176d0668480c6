/* Objects by number alone. Not a door. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "node.h"

struct finder;
int finder_open(struct finder **ret);
struct finder *finder_close(struct finder *finder);            /* accepts NULL, returns NULL */
/* A lookup of an object that no node is there for: -ESTALE if no name shows it. No lock is held. */
int find_number(struct overlay *overlay, uint64_t number, struct overlay_entry *ret);
