/* A hash table from byte strings to pointers. Order is undefined. Not thread-safe.
 * Insertion and lookup O(1) amortised. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "cleanup.h"
#include <stddef.h>
#include <stdint.h>

struct map;
struct map *map_new(void);                                       /* NULL: no memory */
struct map *map_free(struct map *map, void (*free_value)(void *value));    /* accepts NULL; free_value may be NULL */
void *map_get(const struct map *map, const void *key, size_t size);        /* NULL: absent */
/* Keys are copied. 0 = inserted, 1 = replaced (the old value in *ret_old if not NULL), -ENOMEM. Values are not NULL. */
int map_put(struct map *map, const void *key, size_t size, void *value, void **ret_old);
void *map_remove(struct map *map, const void *key, size_t size);           /* the value, NULL: absent */
size_t map_count(const struct map *map);
/* for (struct map_iter i = {0}; map_next(map, &i);) ... i.value; no insertion or removal meanwhile */
struct map_iter { size_t slot; const void *key; size_t key_size; void *value; };
int map_next(const struct map *map, struct map_iter *iter);
