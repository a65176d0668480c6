/* tar, read: blocks, headers, members and their data.
 * Refuses what does not add up, by the member's name; extended headers are archive_read_pax.c's.
 * Sources: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar's manual, "Basic Tar Format" and "Storing Sparse Files".
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "archive_read_field.h"
#include "archive_read_pax.h"
#include "fs.h"
#include "quote.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Fields of a header: where, and how long. */
enum { NAME = 0, MODE = 100, UID = 108, GID = 116, SIZE = 124, MTIME = 136, TYPE = 156, LINK = 157, MAGIC = 257,
       MAJOR = 329, MINOR = 337, PREFIX = 345, SPARSE = 386, EXTENDED = 482, REALSIZE = 483, STAR = 508,
       NAME_SIZE = 100, PREFIX_SIZE = 155, STAR_PREFIX_SIZE = 131, ID_SIZE = 8, LONG_SIZE = 12, SPARSE_IN_HEADER = 4,
       SPARSE_IN_BLOCK = 21 };

struct untar {
    struct inflow *flow;
    uint8_t block[UNTAR_BLOCK];
    uint64_t data, padding;    /* of the current member, not consumed */
    struct buf global, local;  /* extended headers as they stand there */
    struct buf long_path, long_link;
    bool has_long_path, has_long_link;
    struct pax pax;
    char *path, *link, *dropped;
    struct untar_member member;
    bool begun, ended;
    uint64_t trailing;
};

int untar_refuse(struct snap_err *err, int code, const char *path, const char *what, ...) {
    _buf_ struct buf shown = {0};
    char text[512];
    va_list args;
    va_start(args, what);
    (void)vsnprintf(text, sizeof(text), what, args);
    va_end(args);
    quote_display(&shown, path, strnlen(path, sizeof(((struct snap_err *)0)->path)));
    int r = err_set(err, code, "'%s' %s", shown.failed ? "" : shown.data ? shown.data : "", text);
    if (err)
        (void)snprintf(err->path, sizeof(err->path), "%s", path);
    return r;
}

static int signed_field(const struct untar *tar, size_t field, size_t size, int64_t *ret) {
    return field_signed(tar->block + field, size, ret);
}

static int number_field(const struct untar *tar, size_t field, size_t size, uint64_t *ret) {
    return field_number(tar->block + field, size, ret);
}

/* Opening and closing. */

int untar_open(struct inflow *flow, struct untar **ret, struct snap_err *err) {
    struct untar *tar = calloc(1, sizeof(*tar));
    if (!tar)
        return err_nomem(err);
    tar->flow = flow;
    *ret = tar;
    return 0;
}

static void forget_member(struct untar *tar) {
    free(tar->path);
    free(tar->link);
    free(tar->dropped);
    tar->path = tar->link = tar->dropped = NULL;
    meta_done(&tar->member.meta);
    tar->member = (struct untar_member){0};
    pax_done(&tar->pax);
    buf_clear(&tar->local);
    buf_clear(&tar->long_path);
    buf_clear(&tar->long_link);
    tar->has_long_path = tar->has_long_link = false;
}

struct untar *untar_close(struct untar *tar) {
    if (!tar)
        return NULL;
    forget_member(tar);
    buf_done(&tar->local);
    buf_done(&tar->global);
    buf_done(&tar->long_path);
    buf_done(&tar->long_link);
    free(tar);
    return NULL;
}

uint64_t untar_trailing(const struct untar *tar) {
    return tar->trailing;
}

/* Data. */

static int cut_short(const struct untar *tar, struct snap_err *err) {
    return tar->path ? untar_refuse(err, -ENODATA, tar->path, "is cut short: the archive ends in it")
        : err_set(err, -ENODATA, "the archive is cut short");
}

/* Of the member's data: 1 and at least a byte, 0 there is no more. */
static int peek_data(struct untar *tar, const void **ret, size_t *ret_size, struct snap_err *err) {
    if (tar->data == 0)
        return 0;
    int r = inflow_peek(tar->flow, ret, ret_size, err);
    if (r <= 0)
        return r < 0 ? r : cut_short(tar, err);
    *ret_size = MIN((uint64_t)*ret_size, tar->data);
    return 1;
}

static void skip_data(struct untar *tar, size_t size) {
    inflow_skip(tar->flow, size);
    tar->data -= size;
}

static int pass_over_data(struct untar *tar, struct snap_err *err) {
    const void *bytes;
    size_t size;
    int r;
    tar->data += tar->padding;
    tar->padding = 0;
    while ((r = peek_data(tar, &bytes, &size, err)) > 0)
        skip_data(tar, size);
    return r;
}

static int begin_data(struct untar *tar, uint64_t size, struct snap_err *err) {
    if (size > INT64_MAX - UNTAR_BLOCK)
        return err_set(err, -EINVAL, "the archive is damaged: a size in it is out of range");
    tar->data = size;
    tar->padding = (UNTAR_BLOCK - size % UNTAR_BLOCK) % UNTAR_BLOCK;
    return 0;
}

/* What belongs to a header and not to a file, at most UNTAR_HEADER_MAX of it; added to what is there. */
static int read_text(struct untar *tar, struct buf *out, struct snap_err *err) {
    uint64_t size;
    if (number_field(tar, SIZE, LONG_SIZE, &size) < 0)
        return err_set(err, -EINVAL, "the archive is damaged: an extended header has no size");
    if (size > UNTAR_HEADER_MAX || out->size + size > UNTAR_HEADER_MAX)
        return err_set(err, -EFBIG, "the archive has an extended header of more than %d bytes", UNTAR_HEADER_MAX);
    int r = begin_data(tar, size, err);
    const void *bytes;
    size_t some;
    while (r >= 0 && (r = peek_data(tar, &bytes, &some, err)) > 0) {
        buf_add(out, bytes, some);
        skip_data(tar, some);
    }
    if (r < 0)
        return r;
    return out->failed ? err_nomem(err) : pass_over_data(tar, err);
}

/* Sparse files. */

static int wrong_map(const struct untar *tar, int code, struct snap_err *err) {
    return code == -ENOMEM ? err_nomem(err) : untar_refuse(err, -EINVAL, tar->path, "has a map of its holes that makes no sense");
}

/* Old GNU: pairs in the header, then blocks of them. */
static int read_pairs(struct untar *tar, size_t at, unsigned count) {
    for (unsigned i = 0; i < count; i++, at += 2 * LONG_SIZE) {
        uint64_t offset, size;
        if (!tar->block[at])
            return 0;
        if (number_field(tar, at, LONG_SIZE, &offset) < 0 || number_field(tar, at + LONG_SIZE, LONG_SIZE, &size) < 0)
            return -EINVAL;
        int r = pax_segment(&tar->pax, offset, size);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_old_map(struct untar *tar, struct snap_err *err) {
    if (number_field(tar, REALSIZE, LONG_SIZE, &tar->pax.realsize) < 0)
        return wrong_map(tar, -EINVAL, err);
    int r = read_pairs(tar, SPARSE, SPARSE_IN_HEADER);
    bool more = tar->block[EXTENDED];
    while (r == 0 && more) {
        if ((r = inflow_read(tar->flow, tar->block, UNTAR_BLOCK, err)) <= 0)
            return r < 0 ? r : cut_short(tar, err);
        more = tar->block[SPARSE_IN_BLOCK * 2 * LONG_SIZE];
        r = tar->pax.count > UNTAR_HEADER_MAX / LONG_SIZE ? -EINVAL : read_pairs(tar, 0, SPARSE_IN_BLOCK);
    }
    return r < 0 ? wrong_map(tar, r, err) : 0;
}

/* A number and a newline of the map that stands before the data. */
struct map_reader { struct untar *tar; size_t taken; };

static int map_number(struct map_reader *map, uint64_t *ret, struct snap_err *err) {
    char digits[24];
    for (size_t count = 0; count < sizeof(digits); count++) {
        const void *bytes;
        size_t size;
        int r = peek_data(map->tar, &bytes, &size, err);
        if (r <= 0)
            return r < 0 ? r : wrong_map(map->tar, -EINVAL, err);
        digits[count] = *(const char *)bytes;
        skip_data(map->tar, 1);
        map->taken++;
        if (digits[count] == '\n')
            return pax_number(digits, count, ret) < 0 ? wrong_map(map->tar, -EINVAL, err) : 0;
    }
    return wrong_map(map->tar, -EINVAL, err);
}

/* Format 1.0. */
static int read_map(struct untar *tar, struct snap_err *err) {
    struct map_reader map = { .tar = tar };
    uint64_t count, offset, size;
    int r = map_number(&map, &count, err);
    while (r == 0 && count-- > 0) {
        if (map.taken > UNTAR_HEADER_MAX)
            return wrong_map(tar, -EINVAL, err);
        if ((r = map_number(&map, &offset, err)) < 0 || (r = map_number(&map, &size, err)) < 0)
            return r;
        if ((r = pax_segment(&tar->pax, offset, size)) < 0)
            return wrong_map(tar, r, err);
    }
    size_t rest = (UNTAR_BLOCK - map.taken % UNTAR_BLOCK) % UNTAR_BLOCK;
    while (r >= 0 && rest > 0) {
        const void *bytes;
        size_t some;
        if ((r = peek_data(tar, &bytes, &some, err)) <= 0)
            return r < 0 ? r : wrong_map(tar, -EINVAL, err);
        some = MIN(some, rest);
        skip_data(tar, some);
        rest -= some;
    }
    return MIN(r, 0);
}

static int check_map(struct untar *tar, struct snap_err *err) {
    uint64_t sum = 0;
    const struct pax *pax = &tar->pax;
    for (size_t i = 0; i < pax->count; i++)
        sum += pax->segments[i].size;         /* in order and below 2^63: no overflow */
    const struct untar_segment *last = pax->count ? &pax->segments[pax->count - 1] : NULL;
    if (pax->half || sum != tar->data || pax->realsize > INT64_MAX || (last && last->offset + last->size > pax->realsize))
        return wrong_map(tar, -EINVAL, err);
    static const struct untar_segment none;
    tar->member.meta.size = pax->realsize;
    tar->member.segments = pax->count ? pax->segments : &none;
    tar->member.segments_count = pax->count;
    return 0;
}

/* Members. */

static char *field_text(const struct untar *tar, size_t field, size_t size) {
    return strndup((const char *)tar->block + field, size);
}

/* POSIX has a prefix; GNU has other things there, and star less room for it. */
static char *header_path(const struct untar *tar) {
    if (memcmp(tar->block + MAGIC, "ustar", 6) != 0 || !tar->block[PREFIX])
        return field_text(tar, NAME, NAME_SIZE);
    char path[PREFIX_SIZE + 1 + NAME_SIZE + 1];
    bool star = memcmp(tar->block + STAR, "tar", 4) == 0;
    (void)snprintf(path, sizeof(path), "%.*s/%.*s", star ? STAR_PREFIX_SIZE : PREFIX_SIZE, (const char *)tar->block + PREFIX,
                   NAME_SIZE, (const char *)tar->block + NAME);
    return strdup(path);
}

static int has_nul(struct snap_err *err, const char *path) {
    return untar_refuse(err, -EINVAL, path, "has a NUL in its name");
}

static char *take_long(const struct buf *text) {
    return text->data ? strdup(text->data) : strdup("");
}

static bool text_has_nul(const struct buf *text) {
    size_t size = text->size;
    while (size > 0 && text->data[size - 1] == '\0')
        size--;
    return text->data && strlen(text->data) < size;
}

static int name_member(struct untar *tar, bool needs_link, struct snap_err *err) {
    struct pax *pax = &tar->pax;
    char **path = pax->sparse_name ? &pax->sparse_name : &pax->path;
    tar->path = *path ? TAKE_PTR(*path) : tar->has_long_path ? take_long(&tar->long_path) : header_path(tar);
    if (needs_link)
        tar->link = pax->link ? TAKE_PTR(pax->link) : tar->has_long_link ? take_long(&tar->long_link)
            : field_text(tar, LINK, NAME_SIZE);
    if (!tar->path || (needs_link && !tar->link))
        return err_nomem(err);
    if (text_has_nul(&tar->long_path) || text_has_nul(&tar->long_link))
        return has_nul(err, tar->path);
    if (!*tar->path)
        return err_set(err, -EINVAL, "the archive has an entry without a name");
    if (strlen(tar->path) > UNTAR_PATH_MAX || (tar->link && strlen(tar->link) > UNTAR_PATH_MAX))
        return untar_refuse(err, -ENAMETOOLONG, tar->path, "has a name of more than %d bytes", UNTAR_PATH_MAX);
    return tar->link && !*tar->link ? untar_refuse(err, -EINVAL, tar->path, "is a link to nothing") : 0;
}

static int out_of_range(const struct untar *tar, const char *what, struct snap_err *err) {
    return untar_refuse(err, -EINVAL, tar->path, "has %s that is out of range", what);
}

static int read_owner(struct untar *tar, struct meta *meta, struct snap_err *err) {
    const struct pax *pax = &tar->pax;
    uint64_t uid = pax->uid, gid = pax->gid;
    if ((!(pax->given & PAX_UID) && number_field(tar, UID, ID_SIZE, &uid) < 0)
        || (!(pax->given & PAX_GID) && number_field(tar, GID, ID_SIZE, &gid) < 0) || uid >= UINT32_MAX || gid >= UINT32_MAX)
        return out_of_range(tar, "an owner", err);
    meta->uid = (uint32_t)uid;
    meta->gid = (uint32_t)gid;
    return 0;
}

static int read_times(struct untar *tar, struct meta *meta, struct snap_err *err) {
    int64_t seconds;
    if (tar->pax.given & PAX_MTIME) {
        meta->mtime = tar->pax.mtime;
        return 0;
    }
    if (signed_field(tar, MTIME, LONG_SIZE, &seconds) < 0)
        return out_of_range(tar, "a time", err);
    meta->mtime = (struct timespec){ .tv_sec = seconds };
    return 0;
}

static int read_device(struct untar *tar, struct meta *meta, struct snap_err *err) {
    uint64_t major = tar->pax.major, minor = tar->pax.minor;
    if ((!(tar->pax.given & PAX_MAJOR) && number_field(tar, MAJOR, ID_SIZE, &major) < 0)
        || (!(tar->pax.given & PAX_MINOR) && number_field(tar, MINOR, ID_SIZE, &minor) < 0) || major >> 12 || minor >> 20)
        return out_of_range(tar, "a device number", err);
    meta->rdev_major = (uint32_t)major;
    meta->rdev_minor = (uint32_t)minor;
    return 0;
}

/* S_IFMT bits, or 0: not a kind of member that becomes an entry. */
static uint32_t type_of(char type) {
    switch (type) {
    case '\0': case '0': case '1': case '7': case 'S': return S_IFREG;
    case '2': return S_IFLNK;
    case '3': return S_IFCHR;
    case '4': return S_IFBLK;
    case '5': case 'D': return S_IFDIR;
    case '6': return S_IFIFO;
    default: return 0;
    }
}

/* Only these have data behind the header, whatever their size field says; a link's is of the file that it is a name of, unless
 * POSIX's extended header says that it is a copy. */
static bool has_data(const struct untar *tar, char type) {
    return type == 'D' || (type == '1' ? tar->local.size > 0 : type_of(type) == S_IFREG);
}

static int read_meta(struct untar *tar, char type, struct snap_err *err) {
    struct meta *meta = &tar->member.meta;
    uint64_t mode;
    const char *why = NULL;
    if (number_field(tar, MODE, ID_SIZE, &mode) < 0)
        return out_of_range(tar, "a mode", err);
    meta->mode = type_of(type) | (S_ISLNK(type_of(type)) ? 0777 : (uint32_t)(mode & 07777));
    int r = read_owner(tar, meta, err);
    if (r < 0 || (r = read_times(tar, meta, err)) < 0)
        return r;
    if ((S_ISCHR(meta->mode) || S_ISBLK(meta->mode)) && (r = read_device(tar, meta, err)) < 0)
        return r;
    r = pax_attributes(&tar->pax, meta, &why, &tar->dropped);
    if (r == -EINVAL)
        return untar_refuse(err, r, tar->path, "%s", why ? why : "has an attribute that makes no sense");
    return r < 0 ? err_nomem(err) : 0;
}

static int read_content(struct untar *tar, char type, struct snap_err *err) {
    struct pax *pax = &tar->pax;
    uint64_t size = pax->size;
    if (!(pax->given & PAX_SIZE) && number_field(tar, SIZE, LONG_SIZE, &size) < 0)
        return out_of_range(tar, "a size", err);
    int r = begin_data(tar, has_data(tar, type) ? size : 0, err);
    if (r < 0 || type_of(type) != S_IFREG || type == '1')
        return r;
    tar->member.meta.size = size;
    if (type == 'S')
        return (r = read_old_map(tar, err)) < 0 ? r : check_map(tar, err);
    if (!(pax->given & PAX_SPARSE))
        return 0;
    if (!(pax->given & PAX_REALSIZE))
        return wrong_map(tar, -EINVAL, err);
    if (pax->sparse_major == 1 && (r = read_map(tar, err)) < 0)
        return r;
    return check_map(tar, err);
}

/* Of old, a directory was a file whose name ends in a slash. */
static char member_type(const struct untar *tar) {
    char type = (char)tar->block[TYPE];
    size_t size = strlen(tar->path);
    return (type == '\0' || type == '0') && tar->path[size - 1] == '/' && tar->member.meta.size == 0 ? '5' : type;
}

static int parse_extended(struct untar *tar, const struct buf *text, struct snap_err *err) {
    const char *why = NULL;
    int r = text->size ? pax_parse(&tar->pax, text->data, text->size, &why) : 0;
    if (r == -ENOMEM)
        return err_nomem(err);
    _free_ char *path = r < 0 ? header_path(tar) : NULL;
    return r < 0 ? untar_refuse(err, r, tar->pax.path ? tar->pax.path : path ? path : "", "%s", why ? why : "") : 0;
}

static int read_member(struct untar *tar, struct snap_err *err) {
    char type = (char)tar->block[TYPE];
    int r = parse_extended(tar, &tar->global, err);
    if (r < 0 || (r = parse_extended(tar, &tar->local, err)) < 0
        || (r = name_member(tar, type == '1' || type == '2', err)) < 0)
        return r;
    if (!type_of(type))
        return untar_refuse(err, -EINVAL, tar->path, "is of a kind that is not known here (%#x)", tar->block[TYPE]);
    uint64_t size = 0;
    (void)number_field(tar, SIZE, LONG_SIZE, &size);          /* read again, and judged, with the content */
    tar->member.meta.size = tar->pax.given & PAX_SIZE ? tar->pax.size : size;
    type = member_type(tar);
    tar->member.meta.size = 0;
    if ((r = read_meta(tar, type, err)) < 0 || (r = read_content(tar, type, err)) < 0)
        return r;
    if (type == '2') {
        tar->member.meta.target = TAKE_PTR(tar->link);
        tar->member.meta.size = strlen(tar->member.meta.target);
    }
    tar->member.path = tar->path;
    tar->member.link = tar->link;
    tar->member.dropped = tar->dropped;
    return 1;
}

/* What follows the end is read all the same: a decompressor checks what it gave when it comes to the end. */
static int read_to_end(struct untar *tar, struct snap_err *err) {
    const void *bytes;
    size_t size;
    int r;
    while ((r = inflow_peek(tar->flow, &bytes, &size, err)) > 0) {
        size_t zeros = 0;
        while (!tar->trailing && zeros < size && !((const uint8_t *)bytes)[zeros])
            zeros++;
        tar->trailing += size - zeros;
        inflow_skip(tar->flow, size);
    }
    return r;
}

/* Two blocks of zeros; some write one. */
static int end(struct untar *tar, struct snap_err *err) {
    int r = inflow_read(tar->flow, tar->block, UNTAR_BLOCK, err);
    if (r > 0 && !field_is_zero(tar->block, UNTAR_BLOCK))
        return err_set(err, -EINVAL, "the archive is damaged: there are zeros in its middle");
    if (r > 0)
        r = read_to_end(tar, err);
    tar->ended = r == 0;
    return r;
}

static int no_header(const struct untar *tar, struct snap_err *err) {
    if (tar->begun)
        return err_set(err, -EINVAL, "the archive is damaged: the header at byte %llu has a wrong checksum",
                       (unsigned long long)(inflow_bytes(tar->flow) - UNTAR_BLOCK));
    err_set(err, -EINVAL, "this is not a tar archive, whether compressed in a known way or not");
    return err_hint(err, "tar archives can be read, compressed by gzip, bzip2, xz, zstd, lz4, lzip, lzma or compress");
}

/* 1 = the block is a header, 0 = the end. */
static int read_header(struct untar *tar, struct snap_err *err) {
    int r = inflow_read(tar->flow, tar->block, UNTAR_BLOCK, err);
    if (r < 0)
        return r == -ENODATA && !tar->begun ? no_header(tar, err) : r;
    if (r == 0)
        return tar->begun ? err_set(err, -ENODATA, "the archive is cut short: its end is missing")
            : err_set(err, -ENODATA, "the archive is empty");
    if (field_is_zero(tar->block, UNTAR_BLOCK))
        return end(tar, err);
    if (!untar_is_header(tar->block))
        return no_header(tar, err);
    tar->begun = true;
    return 1;
}

/* Headers that speak of the next one: 1 = this was one. */
static int read_prelude(struct untar *tar, struct snap_err *err) {
    struct buf *where = NULL;
    switch (tar->block[TYPE]) {
    case 'x': case 'X': where = &tar->local; break;
    case 'g': where = &tar->global; break;
    case 'L': where = &tar->long_path; tar->has_long_path = true; break;
    case 'K': where = &tar->long_link; tar->has_long_link = true; break;
    case 'V': return number_field(tar, SIZE, LONG_SIZE, &tar->data) < 0 || tar->data ? 0 : 1;     /* the volume's name */
    default: return 0;
    }
    if (where == &tar->long_path || where == &tar->long_link)
        buf_clear(where);
    int r = read_text(tar, where, err);
    return r < 0 ? r : 1;
}

int untar_next(struct untar *tar, const struct untar_member **ret, struct snap_err *err) {
    if (tar->ended)
        return 0;
    int r = pass_over_data(tar, err);
    if (r < 0)
        return r;
    forget_member(tar);
    do
        r = read_header(tar, err);
    while (r > 0 && (r = read_prelude(tar, err)) > 0);
    if (r < 0 || tar->ended)
        return r;
    if ((r = read_member(tar, err)) > 0)
        *ret = &tar->member;
    return r;
}

static int write_data(struct untar *tar, int to, uint64_t size, struct snap_err *err) {
    while (size > 0) {
        const void *bytes;
        size_t some;
        int r = peek_data(tar, &bytes, &some, err);
        if (r <= 0)
            return r < 0 ? r : cut_short(tar, err);
        some = MIN((uint64_t)some, size);
        if ((r = fs_write_all(to, bytes, some)) < 0)
            return err_path(err, r, tar->path, "write");
        skip_data(tar, some);
        size -= some;
    }
    return 0;
}

int untar_data(struct untar *tar, int to, struct snap_err *err) {
    const struct untar_member *member = &tar->member;
    if (!member->segments)
        return write_data(tar, to, tar->data, err);
    if (ftruncate(to, (off_t)member->meta.size) < 0)
        return err_path(err, -errno, tar->path, "write");
    int r = 0;
    for (size_t i = 0; r == 0 && i < member->segments_count; i++) {
        if (lseek(to, (off_t)member->segments[i].offset, SEEK_SET) < 0)
            return err_path(err, -errno, tar->path, "write");
        r = write_data(tar, to, member->segments[i].size, err);
    }
    return r;
}
