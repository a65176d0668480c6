/* Identity of what was copied up: which number an object of the current layer had before, and has for life.
 * Everything else needs no record: its number is the one of its tree. Asked for every object of the current layer that is looked
 * at, so it answers from memory. Thread-safe. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record {
    uint64_t upper;            /* inode number in the current layer */
    uint64_t number, generation;
};
struct records;
int records_open(struct records **ret);
struct records *records_close(struct records *records);                                /* accepts NULL */
bool records_find(struct records *records, uint64_t upper, struct record *ret);         /* accepts NULL: nothing is known */
int records_put(struct records *records, const struct record *record);
void records_drop(struct records *records, uint64_t upper);
size_t records_count(struct records *records);
