/* Pins: who looks at a snapshot keeps gc from freeing it, from any process, until it ends however it ends.
 * A pin is a shared flock on STORE/run/pins/<number>; gc frees only what nobody pins, and lets nobody pin meanwhile.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "store.h"

/* A descriptor that holds the pin until pin_drop. The snapshot must be looked up after it: gc may have been faster.
 * Without `wait`, -EAGAIN while a gc is freeing. */
int pin_take(struct store *store, int64_t snapshot, bool wait, struct snap_err *err);
/* The same while a gc is freeing others: of a snapshot that was neither removed nor automatic when that began. */
int pin_take_beside(struct store *store, int64_t snapshot, struct snap_err *err);
int pin_drop(int fd);                                    /* accepts -1; returns -1 */
int pin_held(struct store *store, int64_t snapshot, struct snap_err *err);      /* 1 = by somebody, 0 = not */

/* All pins at once, and none more until pins_free. */
struct pins;
int pins_freeze(struct store *store, struct pins **ret, struct snap_err *err);
struct pins *pins_free(struct pins *pins);               /* accepts NULL, returns NULL */
DEFINE_CLEANUP(struct pins *, pins_free)
#define _pins_ _cleanup_(pins_freep)
bool pins_have(const struct pins *pins, int64_t snapshot);
