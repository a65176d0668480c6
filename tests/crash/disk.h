/* A small file system in memory: a base image and the ordered list of what happened to it, from which every state can be
 * built that a disk may have kept when the power failed.
 *
 * The model is a journal with ordered metadata: names, sizes set by truncation, and attributes are kept up to some point and
 * nothing of them after it; a flush of any file moves that point at least to itself. Written bytes are kept for certain once
 * their file was flushed; else each write may be kept or lost, and a lost one that made the file longer leaves zeros or the
 * old length. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "listing.h"
#include "rng.h"

struct disk;
/* The directories themselves stay; what is in them is the image. All of it counts as flushed. */
struct disk *disk_open(const char *const *roots);      /* NULL-terminated absolute paths; reads the base image; NULL with errno */
struct disk *disk_close(struct disk *disk);            /* accepts NULL, returns NULL */

/* Something happened. Each looks at the real thing, and appends what it finds to the list. */
void disk_event(struct disk *disk, const char *what);                            /* begins one */
void disk_saw_name(struct disk *disk, int dirfd, const char *name, bool fresh);  /* what `name` is now; fresh: perhaps a new inode */
void disk_saw_file(struct disk *disk, int fd, bool fresh);                       /* attributes and content now; fd may be O_PATH */
void disk_saw_size(struct disk *disk, int fd);                                   /* the length was set: that is metadata */
void disk_saw_flush(struct disk *disk, int fd);                                  /* of one file; of all: -1 */
void disk_saw_mark(struct disk *disk, unsigned mark);                            /* something was reported done */
size_t disk_events(const struct disk *disk);
const char *disk_event_name(const struct disk *disk, size_t event);
bool disk_event_flushes(const struct disk *disk, size_t event);
unsigned disk_marks_before(const struct disk *disk, size_t end);                 /* the highest mark among the first `end` events */

enum disk_loss { DISK_KEEPS_ALL = 0, DISK_LOSES_UNFLUSHED, DISK_LOSES_SOME };
struct disk_crash {
    size_t end;                /* so many events happened */
    size_t kept;               /* metadata of so many was kept; raised to the last flush before `end` */
    enum disk_loss loss;
    uint64_t seed;
};
/* Turns the roots, which are as the last event left them, into what the disk has; whoever wrote there is dead. Once. `park`:
 * a path beside the roots for a directory, made and removed. 0, or -1 with errno. */
int disk_build(const struct disk *disk, struct disk_crash *crash, const char *park);
