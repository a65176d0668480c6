/* Says what differs between two directory trees: 0 nothing, 1 something, 2 they cannot be read.
 * Shares no code with the program. SPDX-License-Identifier: GPL-2.0-or-later
 *
 * usage: same WANT HAVE [dir-times|links|space|times]... (what not to compare) [PATH]... (directories whose times not to) */
#include "listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static unsigned leave_out_of(const char *word) {
    static const struct { const char *word; unsigned bit; } words[] = {
        { "dir-times", DIFFER_DIR_TIMES }, { "links", DIFFER_LINKS }, { "space", DIFFER_SPACE }, { "times", DIFFER_TIMES },
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strcmp(word, words[i].word) == 0)
            return words[i].bit;
    return 0;
}

int main(int argc, char *argv[]) {
    if (argc < 3) {
        (void)fprintf(stderr, "usage: same WANT HAVE [dir-times|links|space|times]... [PATH]...\n");
        return 2;
    }
    unsigned leave_out = 0;
    int at = 3;
    for (unsigned bit; at < argc && (bit = leave_out_of(argv[at])); at++)
        leave_out |= bit;
    struct listing *want = listing_read_path(argv[1]), *have = want ? listing_read_path(argv[2]) : NULL;
    if (!have) {
        (void)fprintf(stderr, "same: cannot read '%s': %s\n", argv[want ? 2 : 1], strerror(errno));
        listing_free(want);
        return 2;
    }
    unsigned differences = listing_differs(want, have, leave_out, (const char *const *)argv + at, stdout);
    listing_free(want);
    listing_free(have);
    return differences ? 1 : 0;
}
