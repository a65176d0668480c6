/* A hash table: open addressing, linear probing, removal by shifting back, so that no graves pile up.
 * Never shrinks, never calls back while it changes. SPDX-License-Identifier: GPL-2.0-or-later */
#include "map.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

/* Short keys, as inode numbers and digests are, stand in the slot itself. */
struct slot {
    void *value;               /* NULL: the slot is free */
    uint32_t hash, key_size;
    union { unsigned char here[16]; void *there; } key;
};

struct map {
    struct slot *slots;
    size_t room;               /* a power of two */
    size_t count;
};

enum { FIRST_ROOM = 16 };

static const void *key_of(const struct slot *slot) {
    return slot->key_size <= sizeof(slot->key.here) ? slot->key.here : slot->key.there;
}

static void free_key(struct slot *slot) {
    if (slot->key_size > sizeof(slot->key.here))
        free(slot->key.there);
}

static size_t next(const struct map *map, size_t at) {
    return (at + 1) & (map->room - 1);
}

static uint32_t hash_of(const void *key, size_t size) {
    return (uint32_t)XXH3_64bits(key, size);
}

/* Where the key stands or, if absent, the free slot where it would go. There always is a free one. */
static struct slot *find(const struct map *map, uint32_t hash, const void *key, size_t size) {
    for (size_t at = hash & (map->room - 1);; at = next(map, at)) {
        struct slot *slot = &map->slots[at];
        if (!slot->value)
            return slot;
        if (slot->hash == hash && slot->key_size == size && (size == 0 || memcmp(key_of(slot), key, size) == 0))
            return slot;
    }
}

static int grow(struct map *map) {
    struct map larger = { .room = map->room * 2, .count = map->count };
    larger.slots = calloc(larger.room, sizeof(*larger.slots));
    if (!larger.slots)
        return -ENOMEM;
    for (size_t i = 0; i < map->room; i++) {
        if (!map->slots[i].value)
            continue;
        size_t at = map->slots[i].hash & (larger.room - 1);
        while (larger.slots[at].value)
            at = next(&larger, at);
        larger.slots[at] = map->slots[i];
    }
    free(map->slots);
    *map = larger;
    return 0;
}

struct map *map_new(void) {
    _free_ struct map *map = malloc(sizeof(*map));
    if (!map)
        return NULL;
    *map = (struct map){ .room = FIRST_ROOM, .slots = calloc(FIRST_ROOM, sizeof(struct slot)) };
    return map->slots ? TAKE_PTR(map) : NULL;
}

struct map *map_free(struct map *map, void (*free_value)(void *value)) {
    if (!map)
        return NULL;
    for (size_t i = 0; i < map->room; i++) {
        if (!map->slots[i].value)
            continue;
        free_key(&map->slots[i]);
        if (free_value)
            free_value(map->slots[i].value);
    }
    free(map->slots);
    free(map);
    return NULL;
}

void *map_get(const struct map *map, const void *key, size_t size) {
    return find(map, hash_of(key, size), key, size)->value;
}

static int copy_key(struct slot *slot, const void *key, size_t size) {
    void *to = slot->key.here;
    if (size > sizeof(slot->key.here)) {
        to = malloc(size);
        if (!to)
            return -ENOMEM;
        slot->key.there = to;
    }
    if (size)
        memcpy(to, key, size);
    return 0;
}

int map_put(struct map *map, const void *key, size_t size, void *value, void **ret_old) {
    assert(value && size <= UINT32_MAX);
    uint32_t hash = hash_of(key, size);
    struct slot *slot = find(map, hash, key, size);
    if (slot->value) {
        if (ret_old)
            *ret_old = slot->value;
        slot->value = value;
        return 1;
    }
    if (map->count + 1 > map->room / 4 * 3) {
        if (map->room > UINT32_MAX / 2 || grow(map) < 0)
            return -ENOMEM;
        slot = find(map, hash, key, size);
    }
    if (copy_key(slot, key, size) < 0)
        return -ENOMEM;
    slot->hash = hash;
    slot->key_size = (uint32_t)size;
    slot->value = value;
    map->count++;
    return 0;
}

/* Closes the gap at `hole`: whoever had to pass it on the way from its own place moves up. */
static void shift_back(struct map *map, size_t hole) {
    size_t mask = map->room - 1;
    for (size_t at = next(map, hole); map->slots[at].value; at = next(map, at)) {
        size_t home = map->slots[at].hash & mask;
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        map->slots[hole] = map->slots[at];
        hole = at;
    }
    map->slots[hole] = (struct slot){0};
}

void *map_remove(struct map *map, const void *key, size_t size) {
    struct slot *slot = find(map, hash_of(key, size), key, size);
    void *value = slot->value;
    if (!value)
        return NULL;
    free_key(slot);
    shift_back(map, (size_t)(slot - map->slots));
    map->count--;
    return value;
}

size_t map_count(const struct map *map) {
    return map->count;
}

int map_next(const struct map *map, struct map_iter *iter) {
    while (iter->slot < map->room) {
        const struct slot *slot = &map->slots[iter->slot++];
        if (!slot->value)
            continue;
        iter->key = key_of(slot);
        iter->key_size = slot->key_size;
        iter->value = slot->value;
        return 1;
    }
    return 0;
}
