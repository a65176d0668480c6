/* A part of the live index: one row, sorted records of one directory, packed.
 *
 *     part:   count, size of names, names (each with its NUL), records
 *     record: ino, size, mtime, ctime, mode, uid, gid, rdev, object, dir, flags
 *
 * All numbers are of variable size, seven bits a byte, the lowest first. The whole of a part stays below the size at which
 * SQLite moves a row of this kind to pages of its own. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "live.h"

/* With 4 KiB pages a row of a table without rowid has 1002 bytes; the key takes some. */
enum { PART_MAX = 900 };

/* Packs as many as fit into `limit` bytes, at least one (none if count is 0). Their number; check out->failed. */
size_t part_pack(const struct live_entry *entries, size_t count, size_t limit, struct buf *out);

/* The size that packing all of them in one would give, but for two numbers at its beginning. */
size_t part_measure(const struct live_entry *entries, size_t count);

struct part { size_t count, names_size; const char *names; struct bufread records; };
/* Checks all but the records and the order of names; -EUCLEAN. Points into `data`. */
int part_open(const void *data, size_t size, struct part *ret);
/* The records, count of them, without their names; -EUCLEAN. */
int part_records(struct part *part, struct live_entry *entries);
/* Gives entries their names, which stand one after the other, and checks their order and that each is one; -EUCLEAN. */
int part_names(int64_t dir, struct live_entry *entries, size_t count, const char *names);
/* The first entry whose name is not less: where it is or would be. */
size_t part_search(const struct live_entry *entries, size_t count, const char *name);

/* A part read on its own; `names` holds what the entries' names point to. */
struct part_entries { struct live_entry *at; size_t count; char *names; };
int part_read(int64_t dir, const void *data, size_t size, struct part_entries *ret, struct snap_err *err);
void part_done(struct part_entries *entries);
#define _part_ _cleanup_(part_done)
/* -EUCLEAN and the sentence. */
int part_damaged(int64_t dir, struct snap_err *err);
