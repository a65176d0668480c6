/* What was perhaps meant, by edit distance.
 * Suggests; never decides. SPDX-License-Identifier: GPL-2.0-or-later */
#include "typo.h"

#include "cleanup.h"

#include <limits.h>
#include <string.h>

enum { LONGEST = 63 };

unsigned typo_distance(const char *a, const char *b) {
    size_t a_size = strlen(a), b_size = strlen(b);
    if (a_size > LONGEST || b_size > LONGEST)
        return UINT_MAX;

    unsigned rows[3][LONGEST + 1];          /* of the table: the one before the last, the last, the current */
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_size; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= a_size; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            row[j] = MIN(last[j], row[j - 1]) + 1;
            row[j] = MIN(row[j], last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = MIN(row[j], before[j - 2] + 1);
        }
        unsigned *reused = before;
        before = last;
        last = row;
        row = reused;
    }
    return last[b_size];
}

struct typo typo_start(const char *typed) {
    return (struct typo){ .typed = typed, .distance = UINT_MAX };
}

/* A third of the letters may be wrong, or the rest of the word missing. */
static unsigned badness(const char *typed, const char *candidate) {
    size_t size = strlen(typed);
    unsigned distance = typo_distance(typed, candidate);
    if (size > 0 && distance <= MAX(size / 3, (size_t)1) && distance < size)
        return distance;
    if (size >= 2 && strncmp(typed, candidate, size) == 0)
        return (unsigned)size;
    return UINT_MAX;
}

void typo_try(struct typo *typo, const char *candidate) {
    unsigned distance = badness(typo->typed, candidate);
    if (distance >= typo->distance)
        return;
    typo->best = candidate;
    typo->distance = distance;
}
