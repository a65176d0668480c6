/* Directories and files that are watched one by one, each when its caller asks for it: watch.h for whoever keeps answers about a
 * part of a tree and need not hear of the rest. By inotify alone.
 *
 * Told in the system call that makes the change, before that returns, as there: who finds the queue empty knows everything that
 * happened before. A watch is on an object, not on a path: it goes along when the object moves, and is taken on a descriptor, so a
 * mount that covers the directory afterwards is in nobody's way. Thread-safe where the caller is: no locks inside.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "cleanup.h"
#include <stdbool.h>
#include <stdint.h>

struct watch_each;

enum watch_each_what {
    WATCH_EACH_NAME = 1,       /* the name in the directory shows something else: made, gone, moved, replaced */
    WATCH_EACH_DATA = 2,       /* bytes of what has the name; without a name: of the file itself */
    WATCH_EACH_METADATA = 4,   /* as above */
    WATCH_EACH_PLACE = 8,      /* without a name: it was moved or removed itself */
    WATCH_EACH_IS_DIR = 16,    /* what has the name is a directory */
    WATCH_EACH_ENDED = 32,     /* the watch is gone, with its object */
    WATCH_EACH_LOST = 64,      /* events were lost, of any of them: watch is 0 */
};
struct watch_each_event {
    int watch;
    unsigned what;             /* enum watch_each_what */
    const char *name;          /* NULL: what is watched itself */
};
typedef int (*watch_each_fn)(void *data, const struct watch_each_event *event);    /* a negative errno ends the reading with it */

/* -EMFILE: there can be no more instances of inotify. */
int watch_each_open(struct watch_each **ret);
struct watch_each *watch_each_close(struct watch_each *each);      /* accepts NULL, returns NULL */
int watch_each_fd(const struct watch_each *each);                  /* readable when something is to be read */
/* How many watches of its user's one program may take, so that others' editors keep theirs. */
unsigned watch_each_share(void);
/* By a descriptor, for reading. The watch, > 0; the same for the same object. -ENOSPC: the limit of watches, -EACCES */
int watch_each_add(struct watch_each *each, int fd);
void watch_each_drop(struct watch_each *each, int watch);
/* Everything that happened before the call. */
int watch_each_read(struct watch_each *each, watch_each_fn fn, void *data);
