/* Asking the watcher of a project what changed since the live index was last brought up to date.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "map.h"
#include "project.h"

/* A name in the project at which, or below which, something may have changed. */
struct touched {
    bool itself;                          /* the entry: another one, written, other metadata */
    bool inside;                          /* a directory: anything in it and below */
    struct map *children;                 /* name (without its NUL) -> struct touched; NULL: none */
};
struct watching {
    struct touched *root;                 /* NULL: what changed is not known: compare everything */
    char *clock;                          /* for watching_keep: stands for everything that happened before the question */
};
/* 1 = a live watcher answered, 0 = there is none. Everything that happened before the call, and after `since` (a clock; NULL: that of the
 * live index), is in the answer. */
int watching_ask(struct snap_project *project, const char *since, struct watching **ret, struct snap_err *err);
struct watching *watching_free(struct watching *watching);
DEFINE_CLEANUP(struct watching *, watching_free)
#define _watching_ _cleanup_(watching_freep)
/* The entry's node, made with all above it; `name` NULL: the directory's. NULL: no memory. */
struct touched *touched_at(struct touched *root, const char *dir, const char *name);
const struct touched *touched_child(const struct touched *dir, const char *name);      /* NULL: nothing there */
struct touched *touched_new(void);
struct touched *touched_free(struct touched *touched);
