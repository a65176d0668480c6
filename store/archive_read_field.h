/* Fields of a tar header. Part of the tar reader; not a door of this room. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* -EINVAL: it is no number, or out of range. */
int field_signed(const uint8_t *at, size_t size, int64_t *ret);
int field_number(const uint8_t *at, size_t size, uint64_t *ret);
bool field_is_zero(const uint8_t *at, size_t size);
