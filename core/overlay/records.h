/* Identity of what was copied up: which number an object of the current layer had before, and has for life, and how many names of it
 * the lower trees still show. Everything else needs no record: its number is the one of its tree.
 *
 * Asked for every object that is looked at, so it answers from memory: about 200 bytes a record, a record for each object that was
 * copied up. Written by copy-up and by what changes links, never by a lookup. On disk it is the file `identity` in the work directory,
 * a log of fixed-size lines; each record is also in the xattr user.overlay.identity of its object, where that can have one, set
 * before the object gets its name. A log that was not closed properly is checked against them, at a cost that follows what the
 * current layer holds; one that is lost is made anew from them, but for what has no xattrs. Thread-safe.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record {
    uint64_t upper;            /* inode number in the current layer; 0 = not copied up, but some of its names are hidden */
    uint64_t number, generation;       /* what people see */
    uint64_t tag;              /* the generation of the upper inode; 0 = not known */
    uint64_t domain, origin;   /* the lower object: what its number is unique in, and its number there */
    uint32_t uncovered;        /* names in the lower trees that the current layer neither has nor hides; hard-linked files */
    uint32_t lower_links;      /* names that the lower object had when they were counted; 0 = not counted */
    bool indexed;              /* the copy has a link in the index, so that such names find it */
};
struct records;
/* `upper`: the current layer, read where the log has to be checked; `index`: the directory of the links. 1 = it was, and differed. */
int records_open(int work, int upper, int index, struct records **ret);
struct records *records_close(struct records *records);                                /* accepts NULL */
/* All accept NULL: nothing is known. */
bool records_find(struct records *records, uint64_t upper, struct record *ret);
bool records_find_number(struct records *records, uint64_t number, struct record *ret);
int records_put(struct records *records, const struct record *record);                  /* in place of one of the same number */
/* The lower object has `links` names by now: in memory, for that is not worth writing. */
void records_recount(struct records *records, uint64_t number, uint32_t links);
int records_drop(struct records *records, uint64_t upper);
int records_drop_number(struct records *records, uint64_t number);
int records_sync(struct records *records);
size_t records_count(struct records *records);
uint64_t records_read(struct records *records);                                         /* how many came from the disk */

/* The xattr: text. */
enum { RECORD_TEXT = 112 };
void record_print(const struct record *record, char (*ret)[RECORD_TEXT]);
int record_parse(const char *text, uint64_t upper, struct record *ret);                 /* -EINVAL */
