/* One tree that actions are done in: through the overlay's library, or through system calls in a directory, which may be a mount
 * of anything. The same actions give the same results and the same dump, or somebody is wrong.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include "overlay.h"

/* An action is a line of words:
 *     mkdir P MODE     write P TEXT        truncate P SIZE    unlink P      chmod P MODE      setxattr P NAME VALUE
 *     symlink P TARGET append P TEXT       link P Q           rmdir P       chown P UID GID   unsetxattr P NAME
 *     fifo P MODE      rename P Q          exchange P Q       renew P Q (rename, not over anything)
 *     utimens P SECONDS   open N P r|w|rw|rwt   tmpfile N P   pwrite N OFFSET TEXT   pread N OFFSET TEXT   fstat N
 *     fallocate N OFFSET SIZE   linkfd N P   close N      read P TEXT     list P      remount
 * `read`, `pread`: -EBADMSG where the bytes are others. TEXT may be *COUNT:C, the character C repeated. */
/* Who an object is: the same as long as it lives, and nobody else's meanwhile. */
struct world_id { uint64_t number, generation; };
struct world {
    int (*act)(struct world *world, char *const *words, unsigned count);      /* 0 or more, or a negative errno */
    int (*dump)(struct world *world, struct buf *ret);
    int (*identify)(struct world *world, const char *path, struct world_id *ret);
    void (*close)(struct world *world);
};

/* Through system calls below `dirfd`, which stays the caller's. `raw`: a layer as it lies on the disk, marks shown. */
int world_open_directory(int dirfd, bool raw, struct world **ret);
/* Through the library: a current layer and a work directory (-1: read-only) over `lowers`, top first. Descriptors stay the caller's. */
struct world_stack { int upper, work; const int *lowers; size_t lower_count; unsigned flags; };
int world_open_overlay(const struct world_stack *stack, struct world **ret);
struct overlay *world_overlay(struct world *world);

/* The line is taken apart in place. */
int world_do(struct world *world, char *line);

/* For dumps: one entry. `read` gives the content of a file. */
struct shown {
    const char *path;
    const struct stat *stat;
    struct buf content;        /* regular files: the bytes; symlinks: the target */
    struct buf xattrs;         /* names and values as text, sorted */
};
void shown_done(struct shown *shown);
void show(struct buf *out, const struct shown *shown);
/* Adds " NAME=VALUE" of each xattr that matters. */
typedef ssize_t (*xattr_get_fn)(void *data, const char *name, void *value, size_t size);
int show_xattrs(struct buf *out, const char *list, size_t size, bool raw, xattr_get_fn get, void *data);
/* TEXT of an action as bytes. */
int expand_text(const char *text, struct buf *ret);
int open_flags(const char *word);
bool is_of_handle(const char *verb);
