/* Who is who: the number of an object for life, and the names of hard-linked lower files.
 *
 * An object of a tree has that tree's number; numbers of other file systems than the current layer's, and those that an object
 * holds for life already, are replaced by the top bit and a hash. A hard-linked lower file that is copied up has a link in the index,
 * so that each of its lower names finds the copy. Writes nothing because something was looked up.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "numbers.h"

#include "at.h"
#include "hook.h"
#include "records.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Numbers. */

uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
    x = (x ^ x >> 27) * 0x94d049bb133111ebU;
    return x ^ x >> 31;
}

uint64_t computed_number(uint64_t a, uint64_t b) {
    return mix(a ^ mix(b)) | (uint64_t)1 << 63;
}

bool found_in_upper(const struct found *found) {
    return found->upper || found->copied;
}

/* 0, the root's number and those with the top bit belong to nobody. */
static uint64_t own_number(uint64_t domain, uint64_t ino) {
    return domain || ino <= OVERLAY_ROOT || ino >> 63 ? computed_number(domain, ino) : ino;
}

static uint64_t lower_number(const struct overlay *overlay, unsigned lower, uint64_t ino) {
    return own_number(overlay->domains[lower], ino);
}

uint64_t name_number(struct overlay *overlay, bool upper, unsigned lower, uint64_t ino) {
    struct record record;
    if (upper && records_find(overlay->records, ino, &record))
        return record.number;
    uint64_t number = upper ? own_number(0, ino) : lower_number(overlay, lower, ino);
    return records_find_number(overlay->records, number, &record) ? 0 : number;
}

/* Is this lower object the one that the record is about? */
static bool is_origin(const struct overlay *overlay, const struct record *record, const struct found *found) {
    return record->domain == overlay->domains[found->lower] && record->origin == found->stat.st_ino
        && record->generation == found->generation;
}

uint64_t object_number(struct overlay *overlay, const struct found *found) {
    struct record record;
    uint64_t ino = found->stat.st_ino;
    if (found_in_upper(found) && records_find(overlay->records, ino, &record))
        return record.number;
    uint64_t number = found_in_upper(found) ? own_number(0, ino) : lower_number(overlay, found->lower, ino);
    if (!records_find_number(overlay->records, number, &record))
        return number;
    bool own = !found_in_upper(found) && record.upper == 0 && is_origin(overlay, &record, found);
    return own ? number : computed_number(number, found->generation);
}

/* With the object, before it has a name: both are there or neither. */
int numbers_write(const struct record *record, int dirfd, const char *name, mode_t mode) {
    char text[RECORD_TEXT];
    record_print(record, &text);
    int r = S_ISREG(mode) || S_ISDIR(mode) ? marks_set(dirfd, name, "identity", text) : 0;
    return r == -EOPNOTSUPP ? 0 : r;
}

int numbers_keep(struct overlay *overlay, const struct node *node, int dirfd, const char *name) {
    if (node->number == own_number(0, node->real))
        return 0;
    const struct record record = { .upper = node->real, .number = node->number, .generation = node->generation, .tag = node->generation };
    int r = numbers_write(&record, dirfd, name, node->type), kept = records_put(overlay->records, &record);
    return r < 0 ? r : kept;
}

/* Hard links. */

bool lowers_are_still(const struct overlay *overlay) {
    bool still = true;
    for (size_t i = 0; still && !(overlay->flags & OVERLAY_STILL) && i < overlay->lower_count; i++)
        still = overlay->lowers[i]->immutable;
    return still;
}

void index_name(uint64_t number, char (*ret)[24]) {
    (void)snprintf(*ret, sizeof(*ret), "%llx", (unsigned long long)number);
}

int numbers_settle(struct overlay *overlay, struct found *found) {
    struct record record;
    char name[24];
    if (!records_find_number(overlay->records, lower_number(overlay, found->lower, found->stat.st_ino), &record)
        || !is_origin(overlay, &record, found))
        return 0;
    if (record.lower_links && record.lower_links != found->stat.st_nlink)
        records_recount(overlay->records, record.number, (uint32_t)found->stat.st_nlink);
    if (!record.indexed)
        return 0;
    struct stat stat;
    struct timespec birth;
    index_name(record.number, &name);
    int r = at_stat(overlay->index, name, &stat, &birth);
    if (r < 0 || stat.st_ino != record.upper)
        return r == -ENOENT ? 0 : r;
    found->stat = stat;
    found->birth = birth;
    found->generation = record.generation;
    found->copied = true;
    lower_place_unref(overlay, found->meta);
    lower_place_unref(overlay, found->data);
    found->meta = found->data = NULL;
    return 0;
}

/* The record about an object, whichever it is: true if it counts links. */
static bool find_record(struct overlay *overlay, const struct found *found, struct record *ret) {
    if (found_in_upper(found))
        return records_find(overlay->records, found->stat.st_ino, ret);
    return records_find_number(overlay->records, lower_number(overlay, found->lower, found->stat.st_ino), ret)
        && is_origin(overlay, ret, found);
}

/* How many names the lower object has at this place; 0: it is not there. */
static nlink_t links_below(struct overlay *overlay, const struct place *place, uint64_t origin) {
    nlink_t links = 0;
    for (unsigned i = 0; links == 0 && i < place->parent->dir.part_count; i++) {
        const struct part *part = &place->parent->dir.parts[i];
        struct lower *lower = overlay->lowers[part->lower];
        struct lower_entry entry = {0};
        if (lower->ops->lookup(lower, part->dir, place->name, &entry) == LOWER_ENTRY)
            links = entry.stat.st_ino == origin ? entry.stat.st_nlink : 0;
        lower->ops->unref(lower, entry.dir);
        free(entry.redirect);
    }
    return links;
}

/* Names may have come and gone underneath: one that is known and still there tells. */
static uint32_t uncovered_now(struct overlay *overlay, const struct node *node, const struct record *record) {
    uint32_t gone = 0;
    nlink_t links = 0;
    if (record->uncovered == 0 || !record->lower_links || lowers_are_still(overlay))
        return record->uncovered;
    for (struct place *place = atomic_load(&node->places); place && links == 0; place = atomic_load(&place->next)) {
        if (!place->upper)
            links = links_below(overlay, place, record->origin);
        gone += !place->upper && links == 0;
    }
    struct record counted = *record;
    if (links && links != record->lower_links) {
        records_recount(overlay->records, record->number, (uint32_t)links);
        (void)records_find_number(overlay->records, record->number, &counted);
    }
    return links ? counted.uncovered : record->uncovered - MIN(gone, record->uncovered);
}

nlink_t links_shown(struct overlay *overlay, const struct node *node, nlink_t links) {
    struct record record;
    if (!records_find_number(overlay->records, node->number, &record))
        return links;
    if (!node_is(node, NODE_UPPER))
        return record.upper == 0 ? record.uncovered : links;
    return record.upper == node->real ? links - record.indexed + uncovered_now(overlay, node, &record) : links;
}

/* The object may have no other way left than the index. */
static int hold_indexed(struct overlay *overlay, struct node *node, const char *name, const struct place *going) {
    struct place *other = node ? atomic_load(&node->places) : NULL;
    while (other && (other == going || !other->upper))
        other = atomic_load(&other->next);
    if (!node || other || atomic_load(&node->fd) >= 0)
        return 0;
    int fd = openat(overlay->index, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    atomic_store(&node->fd, fd);
    return 0;
}

/* The last lower name is covered: the index is not needed any more. Where others may appear underneath, the last of all names is. */
static int leave_index(struct overlay *overlay, struct record *record, struct node *node, const struct place *going) {
    char name[24];
    index_name(record->number, &name);
    int r = hook("index.leave", name);
    if (r >= 0)
        r = hold_indexed(overlay, node, name, going);
    if (r >= 0 && unlinkat(overlay->index, name, 0) < 0 && errno != ENOENT)
        r = -errno;
    if (r >= 0)
        record->indexed = false;
    return r;
}

static int keep_record(struct overlay *overlay, const struct record *record) {
    char name[24], text[RECORD_TEXT];
    int marked = 0;
    if (record->indexed) {
        index_name(record->number, &name);
        record_print(record, &text);
        marked = marks_set(overlay->index, name, "identity", text);
    }
    int r = records_put(overlay->records, record);
    return r < 0 || marked == -EOPNOTSUPP || marked == -EPERM ? r : marked;
}

int numbers_name_lost(struct overlay *overlay, struct node *node, const struct place *going, const struct found *found, unsigned *ret_left) {
    unsigned links = (unsigned)found->stat.st_nlink;
    bool in_upper = found_in_upper(found);
    struct record record;
    bool known = find_record(overlay, found, &record);
    *ret_left = links > 0 ? links - 1 : 0;
    if (!known && (in_upper || links <= 1))
        return 0;
    if (!known)
        record = (struct record){ .number = object_number(overlay, found), .generation = found->generation,
                                  .domain = overlay->domains[found->lower], .origin = found->stat.st_ino, .uncovered = links,
                                  .lower_links = links };
    if (!found->upper && record.uncovered > 0)
        record.uncovered--;
    unsigned upper_links = !in_upper ? 0 : found->upper ? links - 1 : links;
    int r = 0;
    if (record.indexed && record.uncovered == 0 && (upper_links <= 1 || lowers_are_still(overlay))) {
        r = leave_index(overlay, &record, node, going);
        upper_links -= !record.indexed;
    }
    *ret_left = upper_links - record.indexed + record.uncovered;
    int kept = *ret_left ? keep_record(overlay, &record) : records_drop_number(overlay->records, record.number);
    return r < 0 ? r : kept;
}

int numbers_materialise(struct overlay *overlay, struct node *node, struct place *place) {
    struct record record;
    char name[24];
    int r = copy_up_dir(overlay, place->parent);
    if (r < 0)
        return r;
    if (!records_find(overlay->records, node->real, &record) || !record.indexed)
        return -ESTALE;
    _pinned_ struct dir_pinned at = dir_pinned(place->parent->dir.upper);
    struct stat before;
    if (at.fd < 0 || fstat(at.fd, &before) < 0)
        return at.fd < 0 ? at.fd : -errno;
    index_name(record.number, &name);
    r = hook("index.materialise", place->name);
    if (r < 0 || linkat(overlay->index, name, at.fd, place->name, 0) < 0)
        return r < 0 ? r : -errno;
    place->upper = true;
    name_counted(overlay, numbers_covered(overlay, &record, 1));
    return upper_keep_times(at.fd, &before);
}

void name_counted(struct overlay *overlay, int r) {
    if (r < 0)
        overlay_log(overlay, "a record of identity could not be written: %s", strerror(-r));
}

int numbers_covered(struct overlay *overlay, struct record *record, unsigned names) {
    record->uncovered -= MIN(record->uncovered, names);
    bool done = record->indexed && record->uncovered == 0 && lowers_are_still(overlay);
    int r = done ? leave_index(overlay, record, NULL, NULL) : 0;
    int kept = keep_record(overlay, record);
    return r < 0 ? r : kept;
}

struct record numbers_begin(struct overlay *overlay, const struct node *node, const struct copied *copied) {
    struct record old;
    bool counted = records_find_number(overlay->records, node->number, &old) && old.upper == 0;
    bool linked = !node_is_dir(node) && (counted || copied->stat->st_nlink > 1);
    return (struct record){
        .upper = copied->upper, .number = node->number, .generation = node->generation, .domain = overlay->domains[copied->lower],
        .tag = copied->tag, .origin = copied->stat->st_ino,
        .uncovered = !linked ? 0 : counted ? old.uncovered : (unsigned)copied->stat->st_nlink,
        .indexed = linked, .lower_links = linked ? (unsigned)copied->stat->st_nlink : 0,
    };
}

int index_check(struct overlay *overlay) {
    _closedir_ DIR *stream = NULL;
    int r = at_list(overlay->index, &stream);
    if (r < 0)
        return r;
    for (struct dirent *entry; errno = 0, (entry = readdir(stream));) {
        struct record record;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        bool known = records_find_number(overlay->records, strtoull(entry->d_name, NULL, 16), &record);
        if (known && record.indexed && record.upper == entry->d_ino)
            continue;
        if (unlinkat(overlay->index, entry->d_name, 0) < 0)
            return -errno;
    }
    return -errno;
}
