/* The index of a work directory, for who reads a current layer without serving it: copies of hard-linked lower files, which show
 * under each of their lower names that the layer neither has nor hides. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <stdint.h>

int index_open(int work);                                        /* the directory; negative errno */
/* `name` in the index; `origin`: the number of what was copied, in its lower tree. What cannot have an xattr is not told. */
typedef int (*index_copy_fn)(void *data, const char *name, uint64_t origin);
int index_each(int index, index_copy_fn fn, void *data);
