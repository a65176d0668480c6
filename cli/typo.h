/* What was perhaps meant. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

struct typo {
    const char *typed;
    const char *best;          /* NULL = nothing is near enough */
    unsigned distance;         /* of `best` */
};

struct typo typo_start(const char *typed);
void typo_try(struct typo *typo, const char *candidate);
/* Insertions, deletions, replacements and swaps of neighbours that turn one into the other; words longer than 63 bytes are far. */
unsigned typo_distance(const char *a, const char *b);
