/* Writing pax archives: a ustar header, before it an extended one for what does not fit into it.
 * Does not judge what it writes, and reads no archive. SPDX-License-Identifier: GPL-2.0-or-later */
#include "archive_tar.h"

#include "buf.h"
#include "quote.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK = 512, NAME = 100, PREFIX = 155 };

struct header {                /* POSIX.1-2008, pax, "ustar Interchange Format" */
    char name[NAME], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[NAME], magic[6], version[2],
        user[32], group[32], major[8], minor[8], prefix[PREFIX], rest[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is a block");

struct tar {
    struct sink *sink;
    unsigned flags;
    struct buf records;        /* of the extended header of the entry at hand */
    struct buf name;           /* of that entry, as its header calls it */
    struct buf map;            /* of its data, if it has holes */
};

/* Headers. */

/* False: it does not fit, and 0 stands there. */
static bool put_number(char *field, size_t size, uint64_t value) {
    bool fits = value >> 3 * (size - 1) == 0;
    if (!fits)
        value = 0;
    field[size - 1] = '\0';
    for (size_t i = size - 1; i-- > 0; value >>= 3)
        field[i] = (char)('0' + (value & 7));
    return fits;
}

static void put_checksum(struct header *header) {
    memset(header->checksum, ' ', sizeof(header->checksum));
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof(*header); i++)
        sum += ((const unsigned char *)header)[i];
    put_number(header->checksum, sizeof(header->checksum) - 1, sum);
}

static void begin_header(struct header *header, char type) {
    memset(header, 0, sizeof(*header));
    header->type = type;
    memcpy(header->magic, "ustar", sizeof(header->magic));
    memcpy(header->version, "00", sizeof(header->version));
}

/* Names split at a slash take up to 255 bytes; false: this one does not fit. */
static bool put_name(struct header *header, const char *name, size_t size) {
    if (size <= NAME) {
        memcpy(header->name, name, size);
        return true;
    }
    for (size_t at = size - NAME - 1; at < size - 1 && at <= PREFIX; at++) {
        if (name[at] != '/' || at == 0)
            continue;
        memcpy(header->prefix, name, at);
        memcpy(header->name, name + at + 1, size - at - 1);
        return true;
    }
    memcpy(header->name, name, NAME);
    return false;
}

/* Records: "SIZE KEY=VALUE\n", where SIZE counts itself. */

static void add_record(struct buf *records, const char *key, const void *value, size_t size) {
    size_t rest = strlen(key) + size + 3, digits = 1;
    for (size_t limit = 10; rest + digits >= limit; limit *= 10)
        digits++;
    buf_fmt(records, "%zu %s=", rest + digits, key);
    buf_add(records, value, size);
    buf_char(records, '\n');
}

static void add_text(struct buf *records, const char *key, const char *text) {
    add_record(records, key, text, strlen(text));
}

static void add_number(struct buf *records, const char *key, uint64_t value) {
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    add_text(records, key, text);
}

/* Before 1970 the fraction counts from the second nearer to it. */
static void add_time(struct buf *records, const struct timespec *time) {
    char text[40];
    long long seconds = time->tv_sec;
    long fraction = time->tv_nsec;
    const char *sign = "";
    if (seconds < 0) {
        sign = "-";
        seconds = fraction ? -(seconds + 1) : -seconds;
        fraction = fraction ? 1000000000 - fraction : 0;
    }
    int size = snprintf(text, sizeof(text), "%s%lld.%09ld", sign, seconds, fraction);
    while (text[size - 1] == '0')
        text[--size] = '\0';
    if (text[size - 1] == '.')
        text[--size] = '\0';
    add_text(records, "mtime", text);
}

/* Extended attributes. */

static uint32_t little_endian(const uint8_t *at, size_t size) {
    uint32_t value = 0;
    for (size_t i = size; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

static const char *acl_tag(unsigned tag) {
    switch (tag) {             /* linux/posix_acl.h */
    case 0x01: case 0x02: return "user";
    case 0x04: case 0x08: return "group";
    case 0x10: return "mask";
    case 0x20: return "other";
    default: return NULL;
    }
}

/* linux/posix_acl_xattr.h as the short text form of acl(5), numeric. False: it is something else. */
static bool acl_text(const uint8_t *value, size_t size, struct buf *text) {
    if (size < 4 || (size - 4) % 8 || little_endian(value, 4) != 2)
        return false;
    for (const uint8_t *at = value + 4; at < value + size; at += 8) {
        unsigned tag = little_endian(at, 2), may = little_endian(at + 2, 2);
        if (!acl_tag(tag) || may > 7)
            return false;
        buf_fmt(text, "%s%s:", at > value + 4 ? "," : "", acl_tag(tag));
        if (tag == 0x02 || tag == 0x08)
            buf_fmt(text, "%u", (unsigned)little_endian(at + 4, 4));
        buf_fmt(text, ":%c%c%c", may & 4 ? 'r' : '-', may & 2 ? 'w' : '-', may & 1 ? 'x' : '-');
    }
    return true;
}

static bool add_acl(struct tar *tar, const char *name, const void *value, size_t size) {
    static const struct { const char *name, *key; } acls[] = {
        { "system.posix_acl_access", "SCHILY.acl.access" }, { "system.posix_acl_default", "SCHILY.acl.default" },
    };
    for (size_t i = 0; i < ELEMENTS(acls); i++) {
        _buf_ struct buf text = {0};
        if (strcmp(name, acls[i].name) != 0 || !acl_text(value, size, &text))
            continue;
        add_record(&tar->records, acls[i].key, text.data ? text.data : "", text.size);
        tar->records.failed = tar->records.failed ? tar->records.failed : text.failed;
        return true;
    }
    return false;
}

/* The key ends at the first '=': GNU tar writes one in a name as %3D, and the '%' of what looks like that as %25. */
static void add_xattr_name(struct buf *key, const char *name) {
    for (const char *at = name; *at; at++) {
        if (*at == '=')
            buf_str(key, "%3D");
        else if (*at == '%' && (!strncmp(at, "%3D", 3) || !strncmp(at, "%25", 3)))
            buf_str(key, "%25");
        else
            buf_char(key, *at);
    }
}

static void add_xattr(struct tar *tar, const char *name, const void *value, size_t size) {
    static const char overlay[] = "user.overlay.";
    if (!(tar->flags & TAR_ACL_RAW) && add_acl(tar, name, value, size))
        return;
    _buf_ struct buf key = {0};
    buf_str(&key, "SCHILY.xattr.");
    if (tar->flags & TAR_OVERLAY && strncmp(name, overlay, strlen(overlay)) == 0) {
        buf_str(&key, "user.overlay.overlay.");
        name += strlen(overlay);
    }
    add_xattr_name(&key, name);
    add_record(&tar->records, key.data ? key.data : "", value, size);
    tar->records.failed = tar->records.failed ? tar->records.failed : key.failed;
}

static int add_xattrs(struct tar *tar, const struct meta *meta) {
    if (!meta->xattrs_size)
        return 0;
    struct bufread packed = { .at = meta->xattrs, .end = (const uint8_t *)meta->xattrs + meta->xattrs_size };
    while (packed.at < packed.end) {
        size_t name_size = bufread_u16(&packed), size = bufread_u32(&packed);
        const char *bytes = bufread_bytes(&packed, name_size);
        const void *value = bufread_bytes(&packed, size);
        if (packed.failed)
            return -EUCLEAN;
        _free_ char *name = strndup(bytes, name_size);
        if (!name)
            return -ENOMEM;
        add_xattr(tar, name, value, size);
    }
    return 0;
}

/* Entries. */

static char type_of(const struct tar_entry *entry) {
    if (entry->link)
        return '1';
    switch (entry->meta->mode & S_IFMT) {
    case S_IFREG: return '0';
    case S_IFLNK: return '2';
    case S_IFCHR: return '3';
    case S_IFBLK: return '4';
    case S_IFDIR: return '5';
    case S_IFIFO: return '6';
    default: return '\0';
    }
}

static void set_name(struct tar *tar, const struct tar_entry *entry) {
    const char *path = *entry->path ? entry->path : ".";
    const char *base = strrchr(path, '/');
    buf_clear(&tar->name);
    if (tar->map.size) {       /* what readers that do not know about holes call it */
        base = base ? base + 1 : path;
        buf_add(&tar->name, path, (size_t)(base - path));
        buf_fmt(&tar->name, "GNUSparseFile.0/%s", base);
    } else {
        buf_str(&tar->name, path);
    }
    if (S_ISDIR(entry->meta->mode) && !entry->link)
        buf_char(&tar->name, '/');
}

static void put_names(struct tar *tar, const struct tar_entry *entry, struct header *header) {
    const char *target = entry->link ? entry->link : S_ISLNK(entry->meta->mode) && entry->meta->target ? entry->meta->target : "";
    size_t target_size = strlen(target);
    bool long_name = !put_name(header, tar->name.data, tar->name.size), long_target = target_size > NAME;
    memcpy(header->link, target, MIN(target_size, (size_t)NAME));
    bool bytes = (long_name && !utf8_valid(tar->name.data, tar->name.size)) || (long_target && !utf8_valid(target, target_size))
        || (tar->map.size && !utf8_valid(entry->path, strlen(entry->path)));
    if (bytes)
        add_text(&tar->records, "hdrcharset", "BINARY");
    if (long_name)
        add_record(&tar->records, "path", tar->name.data, tar->name.size);
    if (long_target)
        add_record(&tar->records, "linkpath", target, target_size);
}

static void put_meta(struct tar *tar, const struct tar_entry *entry, uint64_t size, struct header *header) {
    const struct meta *meta = entry->meta;
    (void)put_number(header->mode, sizeof(header->mode), meta->mode & 07777);
    if (!put_number(header->uid, sizeof(header->uid), meta->uid))
        add_number(&tar->records, "uid", meta->uid);
    if (!put_number(header->gid, sizeof(header->gid), meta->gid))
        add_number(&tar->records, "gid", meta->gid);
    if (!put_number(header->size, sizeof(header->size), size))
        add_number(&tar->records, "size", size);
    bool in_range = meta->mtime.tv_sec >= 0 && put_number(header->mtime, sizeof(header->mtime), (uint64_t)meta->mtime.tv_sec);
    if (!in_range)
        (void)put_number(header->mtime, sizeof(header->mtime), 0);
    if (!in_range || (meta->mtime.tv_nsec && !entry->link))
        add_time(&tar->records, &meta->mtime);
    bool device = (S_ISCHR(meta->mode) || S_ISBLK(meta->mode)) && !entry->link;
    (void)put_number(header->major, sizeof(header->major), device ? meta->rdev_major : 0);
    (void)put_number(header->minor, sizeof(header->minor), device ? meta->rdev_minor : 0);
}

static void put_sparse(struct tar *tar, const struct tar_entry *entry) {
    add_text(&tar->records, "GNU.sparse.major", "1");
    add_text(&tar->records, "GNU.sparse.minor", "0");
    add_text(&tar->records, "GNU.sparse.name", entry->path);
    add_number(&tar->records, "GNU.sparse.realsize", entry->meta->size);
}

static int pad(struct tar *tar, uint64_t size, struct snap_err *err) {
    uint64_t rest = size % BLOCK;
    return rest ? sink_zeros(tar->sink, BLOCK - rest, err) : 0;
}

static int write_records(struct tar *tar, struct snap_err *err) {
    struct header header;
    begin_header(&header, 'x');
    (void)put_name(&header, "PaxHeaders", strlen("PaxHeaders"));
    (void)put_number(header.mode, sizeof(header.mode), 0644);
    (void)put_number(header.uid, sizeof(header.uid), 0);
    (void)put_number(header.gid, sizeof(header.gid), 0);
    (void)put_number(header.size, sizeof(header.size), tar->records.size);
    (void)put_number(header.mtime, sizeof(header.mtime), 0);
    put_checksum(&header);
    int r = sink_add(tar->sink, &header, sizeof(header), err);
    if (r == 0)
        r = sink_add(tar->sink, tar->records.data, tar->records.size, err);
    return r < 0 ? r : pad(tar, tar->records.size, err);
}

/* `size`: of what follows the header. */
static int write_header(struct tar *tar, const struct tar_entry *entry, uint64_t size, struct snap_err *err) {
    struct header header;
    begin_header(&header, type_of(entry));
    buf_clear(&tar->records);
    set_name(tar, entry);
    if (tar->name.failed)
        return err_nomem(err);
    put_names(tar, entry, &header);
    put_meta(tar, entry, size, &header);
    if (tar->map.size)
        put_sparse(tar, entry);
    int r = entry->link ? 0 : add_xattrs(tar, entry->meta);
    if (entry->opaque)
        add_text(&tar->records, "SCHILY.xattr.user.overlay.opaque", "y");
    if (r < 0 || tar->records.failed)
        return r == -EUCLEAN ? err_damage(err, "the index is damaged: an entry's extended attributes are none") : err_nomem(err);
    put_checksum(&header);
    r = tar->records.size ? write_records(tar, err) : 0;
    return r < 0 ? r : sink_add(tar->sink, &header, sizeof(header), err);
}

int tar_add(struct tar *tar, const struct tar_entry *entry, struct snap_err *err) {
    if (!type_of(entry))
        return err_set(err, -EINVAL, "an archive cannot hold a socket");
    buf_clear(&tar->map);
    return write_header(tar, entry, 0, err);
}

/* Content. */

struct pouring {
    struct tar *tar;
    struct copy_segment *segments;        /* NULL: all of it, holes as zeros */
    size_t count, next;
    uint64_t at;               /* up to where it is written */
    struct snap_err *err;
};

static void pouring_done(struct pouring *pouring) {
    free(pouring->segments);
}

static int pour_all(struct pouring *pouring, uint64_t offset, const void *bytes, size_t size) {
    int r = offset > pouring->at ? sink_zeros(pouring->tar->sink, offset - pouring->at, pouring->err) : 0;
    if (r == 0)
        r = sink_add(pouring->tar->sink, bytes, size, pouring->err);
    pouring->at = offset + size;
    return r;
}

/* What is read outside of the segments is nothing but zeros. */
static int pour_segments(struct pouring *pouring, uint64_t offset, const uint8_t *bytes, size_t size) {
    uint64_t end = offset + size;
    while (pouring->next < pouring->count) {
        const struct copy_segment *segment = &pouring->segments[pouring->next];
        uint64_t from = MAX(offset, segment->at), to = MIN(end, segment->at + segment->size);
        int r = from < to ? sink_add(pouring->tar->sink, bytes + (from - offset), (size_t)(to - from), pouring->err) : 0;
        if (r < 0)
            return r;
        if (segment->at + segment->size > end)
            break;
        pouring->next++;
    }
    pouring->at = end;
    return 0;
}

static int on_bytes(void *data, uint64_t offset, const void *bytes, size_t size) {
    struct pouring *pouring = data;
    return pouring->segments ? pour_segments(pouring, offset, bytes, size) : pour_all(pouring, offset, bytes, size);
}

static void add_segment(struct buf *map, uint64_t at, uint64_t size) {
    buf_fmt(map, "%llu\n%llu\n", (unsigned long long)at, (unsigned long long)size);
}

/* GNU tar manual, "PAX Format, Versions 1.0"; a hole at the end is a segment of no bytes there. */
static int make_map(struct tar *tar, const struct pouring *pouring, uint64_t size, struct snap_err *err) {
    const struct copy_segment *last = pouring->count ? &pouring->segments[pouring->count - 1] : NULL;
    bool ends_in_hole = !last || last->at + last->size < size;
    buf_fmt(&tar->map, "%zu\n", pouring->count + ends_in_hole);
    for (size_t i = 0; i < pouring->count; i++)
        add_segment(&tar->map, pouring->segments[i].at, pouring->segments[i].size);
    if (ends_in_hole)
        add_segment(&tar->map, size, 0);
    while (tar->map.size % BLOCK && !tar->map.failed)
        buf_char(&tar->map, '\0');
    return tar->map.failed ? err_nomem(err) : 0;
}

/* Whether there may be holes costs one call; where they are, one for each. */
static int find_holes(struct tar *tar, const struct tar_entry *entry, int fd, struct pouring *pouring, struct snap_err *err) {
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return err_errno(err, -errno, "cannot look at its content");
    uint64_t size = entry->meta->size;
    if ((uint64_t)stat.st_blocks * 512 >= size)
        return 0;
    int r = copy_map(fd, size, &pouring->segments, &pouring->count);
    if (r < 0)
        return err_errno(err, r, "cannot look for holes in its content");
    bool whole = pouring->count == 1 && pouring->segments[0].at == 0 && pouring->segments[0].size == size;
    if (!whole && pouring->segments == NULL && !(pouring->segments = calloc(1, sizeof(*pouring->segments))))
        return err_nomem(err);
    if (!whole)
        return make_map(tar, pouring, size, err);
    free(TAKE_PTR(pouring->segments));
    return 0;
}

static uint64_t stored_size(const struct tar *tar, const struct pouring *pouring, uint64_t size) {
    if (!pouring->segments)
        return size;
    uint64_t stored = tar->map.size;
    for (size_t i = 0; i < pouring->count; i++)
        stored += pouring->segments[i].size;
    return stored;
}

static int pour(struct pouring *pouring, const struct tar_entry *entry, int fd, const struct copy_options *options, struct digest *ret) {
    uint64_t size = 0;
    int r = copy_read(fd, options, on_bytes, pouring, &size, ret);
    if (r == -ECANCELED && pouring->err && !pouring->err->code) {
        err_set(pouring->err, r, "interrupted");
        return err_failure(pouring->err, SNAP_FAILURE_INTERRUPTED);
    }
    if (r < 0)
        return pouring->err && pouring->err->code == r ? r : err_errno(pouring->err, r, "cannot read its content");
    if (size != entry->meta->size)
        return err_damage(pouring->err, "its content has another size than it was stored with");
    return pouring->segments || pouring->at == size ? 0 : sink_zeros(pouring->tar->sink, size - pouring->at, pouring->err);
}

int tar_add_file(struct tar *tar, const struct tar_entry *entry, int fd, const struct copy_options *options, struct digest *ret,
                 struct snap_err *err) {
    struct snap_err space = {0};
    _cleanup_(pouring_done) struct pouring pouring = { .tar = tar, .err = err ? err : &space };
    buf_clear(&tar->map);
    int r = tar->flags & TAR_SPARSE ? find_holes(tar, entry, fd, &pouring, pouring.err) : 0;
    uint64_t stored = stored_size(tar, &pouring, entry->meta->size);
    if (r == 0)
        r = write_header(tar, entry, stored, pouring.err);
    if (r == 0 && tar->map.size)
        r = sink_add(tar->sink, tar->map.data, tar->map.size, pouring.err);
    if (r == 0)
        r = pour(&pouring, entry, fd, options, ret);
    return r < 0 ? r : pad(tar, stored, pouring.err);
}

int tar_open(struct sink *sink, unsigned flags, struct tar **ret, struct snap_err *err) {
    struct tar *tar = calloc(1, sizeof(*tar));
    if (!tar)
        return err_nomem(err);
    tar->sink = sink;
    tar->flags = flags;
    *ret = tar;
    return 0;
}

struct tar *tar_free(struct tar *tar) {
    if (!tar)
        return NULL;
    buf_done(&tar->records);
    buf_done(&tar->name);
    buf_done(&tar->map);
    free(tar);
    return NULL;
}

int tar_end(struct tar *tar, struct snap_err *err) {
    return sink_zeros(tar->sink, (uint64_t)2 * BLOCK, err);
}
