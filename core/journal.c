/* The journal of a watcher. Cost: memory about 100 bytes and the name a changed name, at most ENTRIES_MAX of them; noting
 * O(1); an answer is a pass over what is noted. SPDX-License-Identifier: GPL-2.0-or-later */
#include "journal.h"
#include "map.h"
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define ENTRIES_MAX 1000000

struct noted {
    uint64_t clock;
    enum watch_kind kind;
    struct watch_inode dir;
    char name[];                          /* "" = none */
};
struct journal {
    char name[33];
    uint64_t clock;
    struct map *noted;                    /* (kind, directory, name) -> struct noted */
};

static int begin(struct journal *journal) {
    unsigned char random[16];
    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        return -EIO;
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(journal->name + 2 * i, 3, "%02x", random[i]);
    map_free(journal->noted, free);
    journal->noted = map_new();
    return journal->noted ? 0 : -ENOMEM;
}

int journal_new(struct journal **ret) {
    _cleanup_(journal_freep) struct journal *journal = calloc(1, sizeof(*journal));
    int r = journal ? begin(journal) : -ENOMEM;
    if (r < 0)
        return r;
    journal->clock = 1;
    *ret = TAKE_PTR(journal);
    return 0;
}

struct journal *journal_free(struct journal *journal) {
    if (journal)
        map_free(journal->noted, free);
    free(journal);
    return NULL;
}

const char *journal_name(const struct journal *journal) {
    return journal->name;
}

uint64_t journal_clock(const struct journal *journal) {
    return journal->clock;
}

size_t journal_count(const struct journal *journal) {
    return map_count(journal->noted);
}

void journal_tick(struct journal *journal) {
    journal->clock++;
}

int journal_note(struct journal *journal, const struct watch_change *change) {
    if (change->kind == WATCH_LOST || map_count(journal->noted) >= ENTRIES_MAX)
        return begin(journal);
    if (change->kind == WATCH_ROOT_GONE)
        return 0;
    const char *name = change->name ? change->name : "";
    _buf_ struct buf key = {0};
    buf_add(&key, &change->kind, sizeof(change->kind));
    buf_add(&key, &change->dir, sizeof(change->dir));
    buf_str(&key, name);
    struct noted *noted = key.failed ? NULL : map_get(journal->noted, key.data, key.size);
    if (noted) {
        noted->clock = journal->clock;
        return 0;
    }
    noted = key.failed ? NULL : malloc(sizeof(*noted) + strlen(name) + 1);
    if (!noted)
        return -ENOMEM;
    *noted = (struct noted){ .clock = journal->clock, .kind = change->kind, .dir = change->dir };
    strcpy(noted->name, name);
    int r = map_put(journal->noted, key.data, key.size, noted, NULL);
    if (r < 0)
        free(noted);
    return MIN(r, 0);
}

int journal_since(struct journal *journal, const char *name, uint64_t since, watch_fn fn, void *data) {
    int r = 0;
    if (strcmp(name, journal->name) != 0)
        return 1;
    for (struct map_iter i = {0}; r == 0 && map_next(journal->noted, &i);) {
        const struct noted *noted = i.value;
        if (noted->clock > since || noted->kind == WATCH_UNCOVERED)
            r = fn(data, &(struct watch_change){ .kind = noted->kind, .dir = noted->dir, .name = noted->name[0] ? noted->name : NULL });
    }
    return r;
}

/* Two passes: nothing may be removed during one. */
void journal_forget(struct journal *journal, uint64_t until) {
    _buf_ struct buf keys = {0};
    for (struct map_iter i = {0}; map_next(journal->noted, &i);) {
        const struct noted *noted = i.value;
        if (noted->clock > until || noted->kind == WATCH_UNCOVERED)
            continue;
        buf_u32(&keys, (uint32_t)i.key_size);
        buf_add(&keys, i.key, i.key_size);
    }
    if (keys.failed)
        return;                           /* it only stays longer than needed */
    struct bufread at = { .at = (uint8_t *)keys.data, .end = (uint8_t *)keys.data + keys.size };
    while (at.at && at.at < at.end) {
        uint32_t size = bufread_u32(&at);
        free(map_remove(journal->noted, bufread_bytes(&at, size), size));
    }
}
