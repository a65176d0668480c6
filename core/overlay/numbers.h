/* Numbers for life, and links of lower files. Not a door. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "node.h"
#include "records.h"


uint64_t mix(uint64_t x);
uint64_t computed_number(uint64_t a, uint64_t b);              /* top bit set */
bool found_in_upper(const struct found *found);
uint64_t object_number(struct overlay *overlay, const struct found *found);

bool lowers_are_still(const struct overlay *overlay);          /* nothing appears or goes but through the mount */

/* What a lower name shows is the copy, if its file was copied up under another name. */
int numbers_settle(struct overlay *overlay, struct found *found);
/* Something new in the current layer got another number than its own, because that is taken: it keeps it from now on. */
int numbers_keep(struct overlay *overlay, const struct node *node, int dirfd, const char *name);
int numbers_write(const struct record *record, int dirfd, const char *name, mode_t mode);       /* the xattr, where it can have one */
nlink_t links_shown(struct overlay *overlay, const struct node *node, nlink_t links);
void index_name(uint64_t number, char (*ret)[24]);
int index_check(struct overlay *overlay);                      /* at the start: links that no record knows go */

/* With `tree` held for writing. */
/* A name is gone; `found` is what it showed. How many the object has left. `node` may be NULL. */
int numbers_name_lost(struct overlay *overlay, struct node *node, const struct place *going, const struct found *found, unsigned *ret_left);
/* A lower name of an object that was copied up becomes one of the current layer. */
int numbers_materialise(struct overlay *overlay, struct node *node, struct place *place);
/* What became of counting, after the fact: a count that is too high for want of a record is said, and harms nobody. */
void name_counted(struct overlay *overlay, int r);
/* The current layer has `names` more of its lower names. */
int numbers_covered(struct overlay *overlay, struct record *record, unsigned names);
/* The record of a copy that is about to get its names; `indexed`: it has other names, and has to be in the index. */
struct copied { uint64_t upper, tag; unsigned lower; const struct stat *stat; };
struct record numbers_begin(struct overlay *overlay, const struct node *node, const struct copied *copied);
