/* Repeatable chance: the same seed gives the same run. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng { uint64_t state; };

/* splitmix64 (Steele, Lea, Flood 2014) */
static inline uint64_t rng_next(struct rng *rng) {
    uint64_t x = rng->state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t rng_below(struct rng *rng, uint64_t limit) { return limit ? rng_next(rng) % limit : 0; }
static inline bool rng_percent(struct rng *rng, unsigned percent) { return rng_below(rng, 100) < percent; }
#define rng_pick(rng, array) ((array)[rng_below((rng), sizeof(array) / sizeof(*(array)))])
