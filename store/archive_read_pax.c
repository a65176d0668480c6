/* pax's extended headers: records "LENGTH KEY=VALUE\n", taken apart.
 * Believes no length, no number and no order; knows nothing of blocks and members. Keys it has no use for are passed over.
 * Sources: POSIX.1-2017, pax, "pax Extended Header"; GNU tar's manual, "Storing Sparse Files"; star(5), "SCHILY.*";
 * libarchive's tar(5), "LIBARCHIVE.*". SPDX-License-Identifier: GPL-2.0-or-later */
#include "archive_read_pax.h"
#include "archive_read_acl.h"
#include "quote.h"
#include <string.h>

enum { XATTR_NAME_LIMIT = 255, XATTR_VALUE_LIMIT = 64 << 10 };

struct record { const char *key; size_t key_size; const char *value; size_t size; };

void pax_done(struct pax *pax) {
    for (size_t i = 0; i < pax->xattrs_count; i++) {
        free(pax->xattrs[i].name);
        free(pax->xattrs[i].value);
    }
    free(pax->xattrs);
    free(pax->segments);
    free(pax->path);
    free(pax->link);
    free(pax->sparse_name);
    free(pax->acls[0]);
    free(pax->acls[1]);
    *pax = (struct pax){0};
}

int pax_number(const char *text, size_t size, uint64_t *ret) {
    uint64_t value = 0;
    if (size == 0)
        return -EINVAL;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10, &value)
            || __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return -EINVAL;
    }
    *ret = value;
    return 0;
}

/* "-1.5" is a second and a half before 1970: the fraction counts upwards from the second below. */
static int parse_time(const char *text, size_t size, struct timespec *ret) {
    bool negative = size > 0 && *text == '-';
    const char *at = text + negative, *end = text + size, *point = memchr(at, '.', (size_t)(end - at));
    uint64_t seconds;
    int r = pax_number(at, (size_t)((point ? point : end) - at), &seconds);
    if (r < 0 || seconds > INT64_MAX - 1)
        return -EINVAL;
    long nanoseconds = 0, unit = 100000000;
    for (at = point ? point + 1 : end; at < end; at++, unit /= 10) {
        if (*at < '0' || *at > '9')
            return -EINVAL;
        nanoseconds += (*at - '0') * unit;
    }
    int64_t whole = negative ? -(int64_t)seconds : (int64_t)seconds;
    bool below = negative && nanoseconds > 0;
    *ret = (struct timespec){ .tv_sec = below ? whole - 1 : whole, .tv_nsec = below ? 1000000000 - nanoseconds : nanoseconds };
    return 0;
}

/* An empty value takes back what was said before. */
static int set_text(char **where, const struct record *record) {
    if (memchr(record->value, '\0', record->size))
        return -EINVAL;
    char *text = record->size ? strndup(record->value, record->size) : NULL;
    if (record->size && !text)
        return -ENOMEM;
    free(*where);
    *where = text;
    return 0;
}

static int set_number(struct pax *pax, enum pax_given bit, uint64_t *where, const struct record *record) {
    pax->given &= ~(unsigned)bit;
    if (!record->size)
        return 0;
    pax->given |= bit;
    return pax_number(record->value, record->size, where);
}

static int set_mtime(struct pax *pax, const struct record *record) {
    pax->given &= ~(unsigned)PAX_MTIME;
    if (!record->size)
        return 0;
    pax->given |= PAX_MTIME;
    return parse_time(record->value, record->size, &pax->mtime);
}

/* Sparse files. */

int pax_segment(struct pax *pax, uint64_t offset, uint64_t size) {
    const struct untar_segment *last = pax->count ? &pax->segments[pax->count - 1] : NULL;
    if (offset > INT64_MAX || size > INT64_MAX - offset || (last && offset < last->offset + last->size))
        return -EINVAL;
    if (MAKE_ROOM(pax->segments, pax->count, pax->room) < 0)
        return -ENOMEM;
    pax->segments[pax->count++] = (struct untar_segment){ offset, size };
    return 0;
}

/* Format 0.0: offset and size in turn, each a record. */
static int segment_offset(struct pax *pax, const struct record *record) {
    uint64_t offset;
    if (pax->half || pax_number(record->value, record->size, &offset) < 0)
        return -EINVAL;
    int r = pax_segment(pax, offset, 0);
    pax->half = true;
    pax->given |= PAX_SPARSE;
    return r;
}

static int segment_size(struct pax *pax, const struct record *record) {
    uint64_t size;
    if (!pax->half || pax_number(record->value, record->size, &size) < 0)
        return -EINVAL;
    pax->half = false;
    uint64_t offset = pax->segments[--pax->count].offset;
    return pax_segment(pax, offset, size);
}

/* Format 0.1: "offset,size,offset,size" in one record. */
static int segment_map(struct pax *pax, const struct record *record) {
    const char *at = record->value, *end = at + record->size;
    uint64_t pair[2];
    pax->count = 0;
    pax->half = false;
    pax->given |= PAX_SPARSE;
    for (unsigned i = 0; at < end || i % 2; i++) {
        const char *comma = at < end ? memchr(at, ',', (size_t)(end - at)) : NULL;
        const char *stop = comma ? comma : end;
        int r = pax_number(at, (size_t)(stop - at), &pair[i % 2]);
        if (r == 0 && i % 2)
            r = pax_segment(pax, pair[0], pair[1]);
        if (r < 0)
            return r;
        at = comma ? comma + 1 : end;
    }
    return 0;
}

static int set_sparse_major(struct pax *pax, const struct record *record) {
    pax->given |= PAX_SPARSE;
    return pax_number(record->value, record->size, &pax->sparse_major) < 0 || pax->sparse_major > 1 ? -EINVAL : 0;
}

/* Attributes. */

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Names are written with %XX where a record could not hold a byte. */
static char *decode_name(const char *text, size_t size) {
    char *name = malloc(size + 1), *to = name;
    if (!name)
        return NULL;
    for (size_t i = 0; i < size; i++) {
        bool escape = text[i] == '%' && i + 2 < size && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0;
        *to++ = escape ? (char)(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2])) : text[i];
        i += escape ? 2 : 0;
    }
    *to = '\0';
    if (strlen(name) == (size_t)(to - name))
        return name;
    *name = '\0';                             /* a NUL in it: no name */
    return name;
}

static struct pax_xattr *find_xattr(struct pax *pax, const char *name) {
    for (size_t i = 0; i < pax->xattrs_count; i++)
        if (!strcmp(pax->xattrs[i].name, name))
            return &pax->xattrs[i];
    return NULL;
}

/* Takes the value, also on failure. */
static int add_xattr(struct pax *pax, const char *encoded, size_t encoded_size, struct buf *value) {
    _free_ char *name = decode_name(encoded, encoded_size);
    size_t size = value->size;
    _free_ char *bytes = buf_take(value);
    if (!name || !bytes)
        return -ENOMEM;
    if (!*name || strlen(name) > XATTR_NAME_LIMIT || size > XATTR_VALUE_LIMIT)
        return -EINVAL;
    struct pax_xattr *xattr = find_xattr(pax, name);
    if (!xattr) {
        if (MAKE_ROOM(pax->xattrs, pax->xattrs_count, pax->xattrs_room) < 0)
            return -ENOMEM;
        xattr = &pax->xattrs[pax->xattrs_count++];
        *xattr = (struct pax_xattr){ .name = TAKE_PTR(name) };
    }
    free(xattr->value);
    xattr->value = TAKE_PTR(bytes);
    xattr->size = size;
    return 0;
}

static int plain_xattr(struct pax *pax, const char *name, size_t name_size, const struct record *record) {
    _buf_ struct buf value = {0};
    buf_add(&value, record->value, record->size);
    return value.failed ? value.failed : add_xattr(pax, name, name_size, &value);
}

/* libarchive leaves the padding away. */
static int base64_xattr(struct pax *pax, const char *name, size_t name_size, const struct record *record) {
    _buf_ struct buf text = {0}, value = {0};
    buf_add(&text, record->value, record->size);
    for (size_t i = record->size; i % 4; i++)
        buf_char(&text, '=');
    int r = text.failed;
    if (r == 0 && text.size)
        r = base64_decode(&value, text.data, text.size);
    return r < 0 ? r : value.failed ? value.failed : add_xattr(pax, name, name_size, &value);
}

/* Records. */

static bool is_key(const struct record *record, const char *key) {
    return strlen(key) == record->key_size && !memcmp(record->key, key, record->key_size);
}

static bool begins(const struct record *record, const char *prefix, const char **ret, size_t *ret_size) {
    size_t size = strlen(prefix);
    if (record->key_size < size || memcmp(record->key, prefix, size) != 0)
        return false;
    *ret = record->key + size;
    *ret_size = record->key_size - size;
    return true;
}

static int take_sparse(struct pax *pax, const struct record *record, const char *key, size_t size) {
    struct record inner = { .key = key, .key_size = size };
    if (is_key(&inner, "name"))
        return set_text(&pax->sparse_name, record);
    if (is_key(&inner, "size") || is_key(&inner, "realsize"))
        return set_number(pax, PAX_REALSIZE, &pax->realsize, record);
    if (is_key(&inner, "offset"))
        return segment_offset(pax, record);
    if (is_key(&inner, "numbytes"))
        return segment_size(pax, record);
    if (is_key(&inner, "map"))
        return segment_map(pax, record);
    return is_key(&inner, "major") ? set_sparse_major(pax, record) : 0;
}

static int take_record(struct pax *pax, const struct record *record) {
    const struct { const char *key; enum pax_given bit; uint64_t *where; } numbers[] = {
        { "size", PAX_SIZE, &pax->size }, { "uid", PAX_UID, &pax->uid }, { "gid", PAX_GID, &pax->gid },
        { "SCHILY.devmajor", PAX_MAJOR, &pax->major }, { "SCHILY.devminor", PAX_MINOR, &pax->minor },
    };
    const struct { const char *key; char **where; } texts[] = {
        { "path", &pax->path }, { "linkpath", &pax->link },
        { "SCHILY.acl.access", &pax->acls[0] }, { "SCHILY.acl.default", &pax->acls[1] },
    };
    const char *rest;
    size_t size;
    for (size_t i = 0; i < ELEMENTS(numbers); i++)
        if (is_key(record, numbers[i].key))
            return set_number(pax, numbers[i].bit, numbers[i].where, record);
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        if (is_key(record, texts[i].key))
            return set_text(texts[i].where, record);
    if (is_key(record, "mtime"))
        return set_mtime(pax, record);
    if (begins(record, "GNU.sparse.", &rest, &size))
        return take_sparse(pax, record, rest, size);
    if (begins(record, "SCHILY.xattr.", &rest, &size))
        return plain_xattr(pax, rest, size, record);
    return begins(record, "LIBARCHIVE.xattr.", &rest, &size) ? base64_xattr(pax, rest, size, record) : 0;
}

/* The record at `at`; its size, or 0: it is none. */
static size_t read_record(const char *at, const char *end, struct record *ret) {
    const char *space = memchr(at, ' ', MIN((size_t)(end - at), (size_t)20));
    uint64_t size;
    if (!space || pax_number(at, (size_t)(space - at), &size) < 0 || size > (uint64_t)(end - at) || at + size <= space + 1
        || at[size - 1] != '\n')
        return 0;
    const char *last = at + size - 1, *equals = memchr(space + 1, '=', (size_t)(last - space - 1));
    if (!equals || equals == space + 1)
        return 0;
    *ret = (struct record){ .key = space + 1, .key_size = (size_t)(equals - space - 1), .value = equals + 1,
                            .size = (size_t)(last - equals - 1) };
    return size;
}

int pax_parse(struct pax *pax, const char *text, size_t size, const char **ret_why) {
    static const char *const wrong[] = { "has an extended header that is damaged",
                                         "has an extended header of which a value makes no sense" };
    const char *end = text + size;
    for (const char *at = text; at < end;) {
        struct record record;
        size_t step = read_record(at, end, &record);
        int r = step ? take_record(pax, &record) : -EINVAL;
        if (r == -EINVAL)
            *ret_why = wrong[step > 0];
        if (r < 0)
            return r;
        at += step;
    }
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct pax_xattr *)a)->name, ((const struct pax_xattr *)b)->name);
}

/* An ACL that also stands there as an attribute is that attribute. */
static int add_acl(struct pax *pax, const char *name, const char *text, uint32_t mode, const char **ret_why, char **ret_dropped) {
    _buf_ struct buf value = {0};
    if (!text || find_xattr(pax, name))
        return 0;
    int r = acl_from_text(text, mode, &value, ret_dropped);
    if (r == -EINVAL)
        *ret_why = "has an access control list that makes no sense";
    return r <= 0 ? r : add_xattr(pax, name, strlen(name), &value);
}

int pax_attributes(struct pax *pax, struct meta *meta, const char **ret_why, char **ret_dropped) {
    int r = add_acl(pax, "system.posix_acl_access", pax->acls[0], meta->mode, ret_why, ret_dropped);
    if (r == 0 && S_ISDIR(meta->mode))
        r = add_acl(pax, "system.posix_acl_default", pax->acls[1], 0, ret_why, ret_dropped);
    if (r < 0 || !pax->xattrs_count)
        return r;
    _buf_ struct buf packed = {0};
    if (pax->xattrs_count)
        qsort(pax->xattrs, pax->xattrs_count, sizeof(*pax->xattrs), by_name);
    for (size_t i = 0; i < pax->xattrs_count; i++) {
        const struct pax_xattr *xattr = &pax->xattrs[i];
        buf_u16(&packed, (uint16_t)strlen(xattr->name));
        buf_u32(&packed, (uint32_t)xattr->size);
        buf_str(&packed, xattr->name);
        buf_add(&packed, xattr->value, xattr->size);
    }
    size_t size = packed.size;
    void *data = buf_take(&packed);
    if (!data)
        return -ENOMEM;
    free(meta->xattrs);
    meta->xattrs = data;
    meta->xattrs_size = size;
    return 0;
}
