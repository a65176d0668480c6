/* The journal of a watcher: which names changed since when, each once, with a clock that ticks at every reading.
 * In memory: what a watcher did not see while it was not running cannot be known by anything that it wrote before, so a new one begins a
 * new journal under a new name, and who asks with the old name hears "unknown". Knows no paths: directories are inodes,
 * so that moving one moves nothing here. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "watch.h"

struct journal;
int journal_new(struct journal **ret);                                 /* its name is made of random bytes */
struct journal *journal_free(struct journal *journal);
DEFINE_CLEANUP(struct journal *, journal_free)
const char *journal_name(const struct journal *journal);
uint64_t journal_clock(const struct journal *journal);                 /* what was noted so far happened at this time or before */
size_t journal_count(const struct journal *journal);

void journal_tick(struct journal *journal);                            /* before a reading: what it notes is later than the clock of before */
/* Notes a change at the present clock. LOST, too many entries: all is forgotten, under a new name. -ENOMEM. */
int journal_note(struct journal *journal, const struct watch_change *change);
/* Everything noted after `since`, UNCOVERED directories always; 0, or a negative errno of fn.
 * 1 = the journal does not reach back to that: `name` is another one's. */
int journal_since(struct journal *journal, const char *name, uint64_t since, watch_fn fn, void *data);
/* Nobody will ask for what was noted up to then any more. */
void journal_forget(struct journal *journal, uint64_t until);
