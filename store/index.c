/* The index: its structs, and rows as structs.
 * Trusts no row: what no program of ours wrote is damage, never a wild read. SPDX-License-Identifier: GPL-2.0-or-later */
#include "index_rows.h"

#include <string.h>

void object_done(struct object *object) {
    meta_done(&object->meta);
    *object = (struct object){0};
}

struct object *object_free(struct object *object) {
    if (object)
        object_done(object);
    free(object);
    return NULL;
}

struct snapshot *snapshot_free(struct snapshot *snapshot) {
    if (snapshot) {
        free((char *)snapshot->public.name);
        free((char *)snapshot->public.message);
    }
    free(snapshot);
    return NULL;
}

/* A column that must lie within 32 bits; else *failed turns true. */
static uint32_t u32_row(struct db_statement *row, int column, bool *failed) {
    int64_t value = db_int(row, column);
    *failed |= value < 0 || value > UINT32_MAX;
    return (uint32_t)value;
}

static uint32_t nsec_row(struct db_statement *row, int column, bool *failed) {
    uint32_t nsec = u32_row(row, column, failed);
    *failed |= nsec >= 1000000000;
    return nsec;
}

static int64_t positive_row(struct db_statement *row, int column, bool *failed) {
    int64_t value = db_int(row, column);
    *failed |= value < 0;
    return value;
}

/* NULL: none. */
static void digest_row(struct db_statement *row, int column, struct digest *ret, bool *failed) {
    size_t size = 0;
    const void *bytes = db_blob(row, column, &size);
    if (!bytes)
        return;
    if (size == sizeof(ret->bytes))
        memcpy(ret->bytes, bytes, size);
    else
        *failed = true;
}

/* Text without a NUL in it, or NULL; -ENOMEM. */
static int string_row(struct db_statement *row, int column, char **ret, bool *failed) {
    size_t size = 0;
    const void *bytes = db_blob(row, column, &size);
    if (!bytes)
        return 0;
    *failed |= memchr(bytes, '\0', size) != NULL;
    *ret = db_text(row, column);
    return *ret ? 0 : -ENOMEM;
}

static bool xattrs_whole(const void *packed, size_t size) {
    struct bufread reader = { .at = packed, .end = (const uint8_t *)packed + size };
    while (!reader.failed && reader.at < reader.end) {
        size_t name = bufread_u16(&reader), value = bufread_u32(&reader);
        const char *bytes = bufread_bytes(&reader, name);
        reader.failed |= !bytes || name == 0 || memchr(bytes, '\0', name);
        bufread_bytes(&reader, value);
    }
    return !reader.failed;
}

static int xattrs_row(struct db_statement *row, int column, struct meta *meta, bool *failed) {
    size_t size = 0;
    const void *packed = db_blob(row, column, &size);
    if (!packed || size == 0)
        return 0;
    *failed |= !xattrs_whole(packed, size);
    meta->xattrs = malloc(size);
    if (!meta->xattrs)
        return -ENOMEM;
    memcpy(meta->xattrs, packed, size);
    meta->xattrs_size = size;
    return 0;
}

static int meta_row(struct db_statement *row, int column, struct meta *meta, bool *failed) {
    meta->mode = u32_row(row, column, failed);
    meta->uid = u32_row(row, column + 1, failed);
    meta->gid = u32_row(row, column + 2, failed);
    meta->size = (uint64_t)positive_row(row, column + 3, failed);
    meta->mtime.tv_sec = db_int(row, column + 4);
    meta->mtime.tv_nsec = nsec_row(row, column + 5, failed);
    uint64_t rdev = (uint64_t)db_int(row, column + 6);
    meta->rdev_major = (uint32_t)(rdev >> 32);
    meta->rdev_minor = (uint32_t)rdev;
    int r = string_row(row, column + 9, &meta->target, failed);
    if (r == 0)
        r = xattrs_row(row, column + 10, meta, failed);
    return r;
}

static bool is_consistent(const struct object *object) {
    uint32_t type = object->meta.mode & S_IFMT;
    bool link = object->meta.target;
    return (type == S_IFDIR) == (object->dir != 0) && (type == S_IFREG || !object->content)
        && (type == S_IFLNK ? link || object->flags & OBJECT_UNREAD : !link);
}

int object_row(struct db_statement *row, int column, struct object *ret, struct snap_err *err) {
    _cleanup_(object_done) struct object object = { .id = db_int(row, column) };
    bool failed = object.id <= 0;
    object.dir = positive_row(row, column + 1, &failed);
    int r = meta_row(row, column + 2, &object.meta, &failed);
    if (r < 0)
        return err_nomem(err);
    object.flags = u32_row(row, column + 9, &failed);
    object.content = positive_row(row, column + 10, &failed);
    digest_row(row, column + 13, &object.digest, &failed);
    if (failed || !is_consistent(&object))
        return err_damage(err, "the index is damaged: object %lld makes no sense", (long long)object.id);
    *ret = object;
    object = (struct object){0};
    return 0;
}

/* Names come from file systems that allow neither; who believed these would leave the project. */
static bool name_is_sane(int64_t dir, const char *name, size_t size) {
    if (size == 0)
        return dir == 0;
    if (memchr(name, '/', size) || memchr(name, '\0', size))
        return false;
    return !(name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.')));
}

int name_row(struct db_statement *row, int column, int64_t dir, struct buf *names, size_t *ret, struct snap_err *err) {
    size_t size = 0, at = names->size;
    const char *name = db_blob(row, column, &size);
    if (!name || !name_is_sane(dir, name, size))
        return err_damage(err, "the index is damaged: directory %lld has an impossible name", (long long)dir);
    buf_add(names, name, size);
    buf_char(names, '\0');
    if (names->failed)
        return err_nomem(err);
    *ret = at;
    return 0;
}

int content_row(struct db_statement *row, struct content *ret, struct snap_err *err) {
    struct content content = { .id = db_int(row, 0) };
    _buf_ struct buf name = {0};
    bool failed = false;
    size_t at;
    content.layer = positive_row(row, 1, &failed);
    content.dir = positive_row(row, 2, &failed);
    content.size = (uint64_t)positive_row(row, 3, &failed);
    digest_row(row, 5, &content.digest, &failed);
    if (failed)
        return err_damage(err, "the index is damaged: content %lld makes no sense", (long long)content.id);
    int r = name_row(row, 4, content.dir, &name, &at, err);
    if (r < 0)
        return r;
    content.name = buf_take(&name);
    *ret = content;
    return 0;
}

static void make_public(struct snapshot *snapshot) {
    snapshot->public.automatic = snapshot->flags & SNAPSHOT_AUTO;
    snapshot->public.foreign = snapshot->flags & SNAPSHOT_FOREIGN;
    snapshot->public.synced = !(snapshot->flags & SNAPSHOT_UNSYNCED);
}

int snapshot_row(struct db_statement *row, struct snapshot **ret, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (!snapshot)
        return err_nomem(err);
    bool failed = false;
    struct snap_snapshot *public = &snapshot->public;
    public->number = positive_row(row, 0, &failed);
    snapshot->line = positive_row(row, 1, &failed);
    public->parent = positive_row(row, 2, &failed);
    snapshot->layer = positive_row(row, 3, &failed);
    public->created.tv_sec = db_int(row, 4);
    public->created.tv_nsec = nsec_row(row, 5, &failed);
    snapshot->flags = u32_row(row, 6, &failed);
    public->added = (uint64_t)positive_row(row, 9, &failed);
    public->changed = (uint64_t)positive_row(row, 10, &failed);
    public->deleted = (uint64_t)positive_row(row, 11, &failed);
    public->bytes = (uint64_t)positive_row(row, 12, &failed);
    make_public(snapshot);
    if (string_row(row, 7, (char **)&public->name, &failed) < 0 || string_row(row, 8, (char **)&public->message, &failed) < 0)
        return err_nomem(err);
    if (!public->name && !(public->name = strdup("")))
        return err_nomem(err);
    if (failed || !public->message)
        return err_damage(err, "the index is damaged: snapshot %lld makes no sense", (long long)public->number);
    *ret = TAKE_PTR(snapshot);
    return 0;
}
