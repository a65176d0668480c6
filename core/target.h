/* Where an export goes: a new file that has its name only when it is whole and flushed, or what is written as it comes.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "spot.h"

struct target {
    struct snap_project *project;         /* to tell what cannot be removed */
    struct spot spot;
    int fd;                               /* to write to */
    bool borrowed;                        /* the caller's descriptor */
    bool in_place;                        /* a pipe, a device: it exists and stays */
    bool overwrite;
    char *temporary;                      /* the name it has beside its place; NULL: it has none */
};
#define TARGET_NONE { .spot = { .parent = -1 }, .fd = -1 }
void target_done(struct target *target);  /* what was not committed goes */
#define _target_ _cleanup_(target_done)

/* A file, as the user typed it. -EEXIST unless `overwrite`; what is neither a regular file nor a directory is written in place. */
int target_open(struct snap_project *project, const char *typed, bool overwrite, struct target *ret, struct snap_err *err);
/* A new directory, open as ret->fd. -EEXIST if the name is taken. */
int target_open_directory(struct snap_project *project, const char *typed, struct target *ret, struct snap_err *err);
/* A directory beside it, or for NULL among the temporary ones, that is never committed. */
int target_open_scratch(struct snap_project *project, const char *typed, struct target *ret, struct snap_err *err);
/* What the caller has open. */
void target_borrow(int fd, struct target *ret);
/* All that was written is on disk, and has its name. */
int target_commit(struct target *target, struct snap_err *err);
