/* Which files are open, as far as inotify told of opening and closing since it began to watch them.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "backend.h"
#include "map.h"

struct opened {
    struct map *files;                    /* (directory, name) -> how often it was opened, less how often it was closed since */
    uint32_t moving;                      /* cookie of a name that left, and how often it was open */
    unsigned moving_count;
};

int opened_new(struct opened *ret);
void opened_done(struct opened *opened);
int opened_add(struct opened *opened, struct watch_inode dir, const char *name, unsigned count);
struct inotify_event;
int opened_note(struct opened *opened, struct watch_inode dir, const struct inotify_event *event);     /* of a name that is no directory's */
int opened_tell(const struct opened *opened, struct watch *watch);    /* each as a WATCH_ENTRY */
/* Those in directories of which `is_watched` says no: their closing is not told. */
int opened_drop(struct opened *opened, bool (*is_watched)(void *data, struct watch_inode dir), void *data);
