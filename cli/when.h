/* Times as people type them. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* "2026-01-31", "2026-01-31 12:00[:30]" or with T, local unless Z or +HH:MM follows; "2 days ago" (also "2.days.ago");
 * "@SECONDS". A day alone is its first second, or with `end` its last. 0, or -EINVAL. */
int when_parse(const char *text, time_t now, bool end, int64_t *ret);
