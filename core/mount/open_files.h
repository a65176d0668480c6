/* Open files by object, for requests that bring no handle: OPEN was never asked for, so the last close is not seen either.
 * A bounded number stays open after use, the least recently used goes first. Thread-safe; no lock is held while files are opened.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "err.h"
#include "overlay.h"

struct open_files;
struct open_file;

struct open_files *open_files_new(struct overlay *overlay, unsigned budget, bool read_only);   /* NULL: no memory */
struct open_files *open_files_free(struct open_files *files);                                  /* accepts NULL */
/* Until open_file_put. `write`: it can be written, too. */
int open_file_get(struct open_files *files, uint64_t node, bool write, struct open_file **ret);
/* A handle for reading and writing that was just made: taken, and closed when nobody needs it. */
int open_files_keep(struct open_files *files, uint64_t node, struct overlay_handle *handle);
void open_file_put(struct open_files *files, struct open_file *file);
struct overlay_handle *open_file_handle(const struct open_file *file);
/* The objects whose data was asked for since the last time; the caller frees. Pages that somebody maps were read first. */
int open_files_take_used(struct open_files *files, uint64_t **ret, size_t *ret_count);
void open_files_drop(struct open_files *files, uint64_t node);                                 /* nothing of it stays open once it is not in use */
