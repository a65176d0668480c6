/* Packing and unpacking parts of the live index.
 * Believes no byte of a part; knows no database. SPDX-License-Identifier: GPL-2.0-or-later */
#include "live_part.h"

#include <string.h>

enum { NUMBER_MAX = 10, NUMBERS = 13, RECORD_MAX = NUMBERS * NUMBER_MAX };

static uint8_t *put(uint8_t *at, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

static uint64_t get(struct bufread *reader) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        uint8_t byte = *reader->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    reader->failed = 1;
    return 0;
}

/* Small numbers of either sign are small. */
static uint64_t folded(uint64_t value) {
    return value << 1 ^ -(value >> 63);
}

static uint64_t unfolded(uint64_t value) {
    return value >> 1 ^ -(value & 1);
}

static size_t pack_record(const struct live_entry *entry, uint8_t *record) {
    const struct fingerprint *print = &entry->print;
    uint8_t *at = record;
    at = put(at, print->ino);
    at = put(at, print->size);
    at = put(at, folded((uint64_t)print->mtime_sec));
    at = put(at, print->mtime_nsec);
    at = put(at, folded((uint64_t)print->ctime_sec - (uint64_t)print->mtime_sec));
    at = put(at, print->ctime_nsec);
    at = put(at, print->mode);
    at = put(at, print->uid);
    at = put(at, print->gid);
    at = put(at, print->rdev);
    at = put(at, (uint64_t)entry->object);
    at = put(at, (uint64_t)entry->dir);
    at = put(at, entry->flags);
    return (size_t)(at - record);
}

static void read_record(struct bufread *reader, struct live_entry *ret) {
    struct fingerprint *print = &ret->print;
    print->ino = get(reader);
    print->size = get(reader);
    print->mtime_sec = (int64_t)unfolded(get(reader));
    print->mtime_nsec = (uint32_t)get(reader);
    print->ctime_sec = (int64_t)((uint64_t)print->mtime_sec + unfolded(get(reader)));
    print->ctime_nsec = (uint32_t)get(reader);
    print->mode = (uint32_t)get(reader);
    print->uid = (uint32_t)get(reader);
    print->gid = (uint32_t)get(reader);
    print->rdev = (uint32_t)get(reader);
    ret->object = (int64_t)get(reader);
    ret->dir = (int64_t)get(reader);
    ret->flags = (unsigned)get(reader);
}

size_t part_pack(const struct live_entry *entries, size_t count, size_t limit, struct buf *out) {
    _buf_ struct buf records = {0};
    _buf_ struct buf names = {0};
    uint8_t head[2 * NUMBER_MAX], record[RECORD_MAX];
    size_t packed = 0;
    for (; packed < count && !names.failed; packed++) {
        size_t size = pack_record(&entries[packed], record), name = strlen(entries[packed].name) + 1;
        if (packed > 0 && names.size + records.size + size + name + 2 * 2 > limit)     /* counts below 2^14 take two bytes */
            break;
        buf_add(&records, record, size);
        buf_add(&names, entries[packed].name, name);
    }
    uint8_t *end = put(put(head, packed), names.size);
    buf_add(out, head, (size_t)(end - head));
    buf_add(out, names.data, names.size);
    buf_add(out, records.data, records.size);
    if (names.failed || records.failed)
        out->failed = -ENOMEM;
    return packed;
}

size_t part_measure(const struct live_entry *entries, size_t count) {
    uint8_t record[RECORD_MAX];
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += pack_record(&entries[i], record) + strlen(entries[i].name) + 1;
    return size;
}

static size_t count_nuls(const char *bytes, size_t size) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += bytes[i] == '\0';
    return count;
}

int part_open(const void *data, size_t size, struct part *ret) {
    struct bufread reader = { .at = data, .end = (const uint8_t *)data + size };
    struct part part = { .count = get(&reader), .names_size = get(&reader) };
    part.names = bufread_bytes(&reader, part.names_size);
    if (reader.failed || count_nuls(part.names, part.names_size) != part.count)
        return -EUCLEAN;
    if (part.names_size > 0 && part.names[part.names_size - 1] != '\0')
        return -EUCLEAN;
    part.records = reader;
    *ret = part;
    return 0;
}

int part_records(struct part *part, struct live_entry *entries) {
    for (size_t i = 0; i < part->count; i++)
        read_record(&part->records, &entries[i]);
    return part->records.failed || part->records.at != part->records.end ? -EUCLEAN : 0;
}

int part_names(int64_t dir, struct live_entry *entries, size_t count, const char *names) {
    for (size_t i = 0; i < count; i++) {
        const char *name = names, *end = strchrnul(name, '/');
        bool dots = *name == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
        if (*end == '/' || dots || (end == name && dir != 0))
            return -EUCLEAN;
        if (i > 0 && strcmp(entries[i - 1].name, name) >= 0)
            return -EUCLEAN;
        entries[i].name = name;
        names = end + 1;
    }
    return 0;
}

size_t part_search(const struct live_entry *entries, size_t count, const char *name) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(entries[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int part_damaged(int64_t dir, struct snap_err *err) {
    return err_damage(err, "the live index is damaged at directory %lld", (long long)dir);
}

void part_done(struct part_entries *entries) {
    free(entries->at);
    free(entries->names);
    *entries = (struct part_entries){0};
}

int part_read(int64_t dir, const void *data, size_t size, struct part_entries *ret, struct snap_err *err) {
    struct part part;
    if (part_open(data, size, &part) < 0)
        return part_damaged(dir, err);
    _part_ struct part_entries entries = {
        .at = calloc(part.count + 1, sizeof(*entries.at)),     /* room for one that is to be put in */
        .count = part.count,
        .names = malloc(part.names_size + 1),
    };
    if (!entries.at || !entries.names)
        return err_nomem(err);
    memcpy(entries.names, part.names, part.names_size);
    if (part_records(&part, entries.at) < 0 || part_names(dir, entries.at, entries.count, entries.names) < 0)
        return part_damaged(dir, err);
    *ret = entries;
    entries = (struct part_entries){0};
    return 0;
}
