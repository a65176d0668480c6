/* The live index, written: parts that grow too large are split, parts that did not change are left alone.
 * Looks at no file; the caller knows what is true. SPDX-License-Identifier: GPL-2.0-or-later */
#include "index_rows.h"
#include "live_part.h"

#include <string.h>

/* A row as it stands: key and packed records. data NULL: no such row. */
struct stored { char *key, *data; size_t size; };

static void stored_done(struct stored *stored) {
    free(stored->key);
    free(stored->data);
    *stored = (struct stored){0};
}

/* Columns first, data. */
static int stored_row(struct db_statement *row, int64_t dir, struct stored *ret, struct snap_err *err) {
    size_t key_size = 0, size = 0;
    const char *key = db_blob(row, 0, &key_size);
    if (!key || memchr(key, '\0', key_size) || !db_blob(row, 1, &size))
        return part_damaged(dir, err);
    _cleanup_(stored_done) struct stored stored = { .key = db_text(row, 0), .data = db_text(row, 1), .size = size };
    if (!stored.key || !stored.data)
        return err_nomem(err);
    *ret = stored;
    stored = (struct stored){0};
    return 0;
}

static int delete_part(struct store *store, int64_t dir, const char *key, struct snap_err *err) {
    return db_run(store, err, "DELETE FROM live WHERE dir = ? AND first = ?", "in", dir, key);
}

static int write_part(struct store *store, int64_t dir, const char *key, const struct buf *packed, const struct stored *old,
                      struct snap_err *err) {
    if (packed->failed)
        return err_nomem(err);
    if (old->data && strcmp(old->key, key) == 0 && old->size == packed->size && memcmp(old->data, packed->data, old->size) == 0)
        return 0;
    return db_run(store, err, "INSERT INTO live(dir, first, data) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET data = excluded.data",
                  "inb", dir, key, packed->data, packed->size);
}

/* Puts entries where `old` stands, or stood nothing: as one part under its key, or as several of equal size. */
static int write_run(struct store *store, int64_t dir, const struct stored *old, const struct live_entry *entries, size_t count,
                     struct snap_err *err) {
    _buf_ struct buf packed = {0};
    const char *key = old->data ? old->key : "";
    size_t size = part_measure(entries, count) + 2 * 2, parts = size / PART_MAX + 1, limit = size / parts + 1;
    if (parts == 1) {
        part_pack(entries, count, SIZE_MAX, &packed);
        return write_part(store, dir, key, &packed, old, err);
    }
    int r = 0;
    for (size_t done = 0; done < count && r == 0;) {
        buf_clear(&packed);
        size_t more = part_pack(entries + done, count - done, limit, &packed);
        r = write_part(store, dir, done == 0 ? key : entries[done].name, &packed, old, err);
        done += more;
    }
    return r;
}

int live_remove_dir(struct store *store, int64_t dir, struct snap_err *err) {
    return db_run(store, err, "DELETE FROM live WHERE dir = ?", "i", dir);
}

/* The whole directory as it stands. */

struct parts { struct stored *at; size_t count, room, bytes; };

static void parts_done(struct parts *parts) {
    for (size_t i = 0; i < parts->count; i++)
        stored_done(&parts->at[i]);
    free(parts->at);
}

static int parts_add(struct parts *parts, struct db_statement *row, int64_t dir, struct snap_err *err) {
    if (MAKE_ROOM(parts->at, parts->count, parts->room) < 0)
        return err_nomem(err);
    int r = stored_row(row, dir, &parts->at[parts->count], err);
    if (r == 0)
        parts->bytes += parts->at[parts->count++].size;
    return r;
}

static int read_parts(struct parts *parts, struct store *store, int64_t dir, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT first, data FROM live WHERE dir = ? ORDER BY first", "i", dir);
    while (r >= 0 && (r = db_step(&row, err)) > 0)
        r = parts_add(parts, &row, dir, err);
    return r;
}

/* Removals leave parts small; and what does not begin with "" is not ours. */
static bool worth_keeping(const struct parts *parts) {
    return parts->count > 0 && *parts->at[0].key == '\0' && (parts->count < 8 || parts->bytes / parts->count > PART_MAX / 4);
}

int live_write_dir(struct store *store, int64_t dir, const struct live_entry *entries, size_t count, struct snap_err *err) {
    _cleanup_(parts_done) struct parts parts = {0};
    int r = read_parts(&parts, store, dir, err);
    if (r < 0)
        return r;
    if (count == 0 || !worth_keeping(&parts)) {
        const struct stored none = {0};
        r = parts.count > 0 ? live_remove_dir(store, dir, err) : 0;
        return r < 0 || count == 0 ? r : write_run(store, dir, &none, entries, count, err);
    }
    for (size_t i = 0, from = 0; i < parts.count && r == 0; i++) {
        bool last = i + 1 == parts.count;
        size_t to = last ? count : from + part_search(entries + from, count - from, parts.at[i + 1].key);
        if (from == to && i > 0)
            r = delete_part(store, dir, parts.at[i].key, err);
        else
            r = write_run(store, dir, &parts.at[i], entries + from, to - from, err);
        from = to;
    }
    return r;
}

/* One record: the part that it belongs to. 1 found, 0 the directory has none. */
static int read_part(struct store *store, int64_t dir, const char *name, struct stored *ret, struct part_entries *ret_entries,
                     struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT first, data FROM live WHERE dir = ? AND first <= ? ORDER BY first DESC LIMIT 1",
                    "in", dir, name);
    if (r == 0)
        r = db_step(&row, err);
    if (r <= 0)
        return r;
    _cleanup_(stored_done) struct stored stored = {0};
    r = stored_row(&row, dir, &stored, err);
    if (r == 0)
        r = part_read(dir, stored.data, stored.size, ret_entries, err);
    if (r < 0)
        return r;
    *ret = stored;
    stored = (struct stored){0};
    return 1;
}

static bool is_at(const struct part_entries *entries, size_t at, const char *name) {
    return at < entries->count && strcmp(entries->at[at].name, name) == 0;
}

int live_put(struct store *store, int64_t dir, const struct live_entry *entry, struct snap_err *err) {
    _cleanup_(stored_done) struct stored stored = {0};
    _part_ struct part_entries entries = {0};
    int r = read_part(store, dir, entry->name, &stored, &entries, err);
    if (r < 0)
        return r;
    if (r == 0)
        return write_run(store, dir, &stored, entry, 1, err);
    size_t at = part_search(entries.at, entries.count, entry->name);
    if (!is_at(&entries, at, entry->name)) {
        memmove(&entries.at[at + 1], &entries.at[at], (entries.count - at) * sizeof(*entries.at));
        entries.count++;
    }
    entries.at[at] = *entry;
    return write_run(store, dir, &stored, entries.at, entries.count, err);
}

static int has_more_parts(struct store *store, int64_t dir, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT 1 FROM live WHERE dir = ? AND first > x'' LIMIT 1", "i", dir);
    return r < 0 ? r : db_step(&row, err);
}

int live_remove(struct store *store, int64_t dir, const char *name, struct snap_err *err) {
    _cleanup_(stored_done) struct stored stored = {0};
    _part_ struct part_entries entries = {0};
    int r = read_part(store, dir, name, &stored, &entries, err);
    if (r <= 0)
        return r;
    size_t at = part_search(entries.at, entries.count, name);
    if (!is_at(&entries, at, name))
        return 0;
    entries.count--;
    memmove(&entries.at[at], &entries.at[at + 1], (entries.count - at) * sizeof(*entries.at));
    bool keep = entries.count > 0;
    if (!keep && *stored.key == '\0') {
        r = has_more_parts(store, dir, err);
        if (r < 0)
            return r;
        keep = r > 0;          /* the first part stays: every name has a part that it belongs to */
    }
    return keep ? write_run(store, dir, &stored, entries.at, entries.count, err) : delete_part(store, dir, stored.key, err);
}

/* Anew from the index: entries of one directory after the other. */

struct reset { struct live_entry *at; size_t count, room; int64_t dir; struct buf names; };

static void reset_done(struct reset *reset) {
    free(reset->at);
    buf_done(&reset->names);
}

static int flush(struct reset *reset, struct store *store, struct snap_err *err) {
    const struct stored none = {0};
    if (reset->count == 0)
        return 0;
    if (part_names(reset->dir, reset->at, reset->count, reset->names.data) < 0)
        return part_damaged(reset->dir, err);
    int r = write_run(store, reset->dir, &none, reset->at, reset->count, err);
    reset->count = 0;
    buf_clear(&reset->names);
    return r;
}

static unsigned flags_of(int64_t object_flags) {
    return (object_flags & OBJECT_UNREAD ? LIVE_UNREAD : 0) | (object_flags & OBJECT_LINKED ? LIVE_LINKED : 0);
}

/* Columns dir, name, object, its identity, its flags. */
static int reset_add(struct reset *reset, struct db_statement *row, struct snap_err *err) {
    if (MAKE_ROOM(reset->at, reset->count, reset->room) < 0)
        return err_nomem(err);
    size_t start;
    reset->dir = db_int(row, 0);
    reset->at[reset->count] = (struct live_entry){ .object = db_int(row, 2), .dir = db_int(row, 3), .flags = flags_of(db_int(row, 4)) };
    int r = name_row(row, 1, reset->dir, &reset->names, &start, err);
    if (r == 0)
        reset->count++;
    return r;
}

int live_reset(struct store *store, struct snap_err *err) {
    _cleanup_(reset_done) struct reset reset = {0};
    _statement_ struct db_statement row = {0};
    int r = live_set_clock(store, NULL, err);
    if (r == 0)
        r = db_run(store, err, "DELETE FROM live", "");
    if (r == 0)
        r = db_bind(&row, store, err, "SELECT e.dir, e.name, e.object, o.dir, o.flags FROM entry e CROSS JOIN object o"
                    " ON o.id = e.object WHERE e.line = ? AND e.died = " NEVER_SQL " ORDER BY e.dir, e.name", "i",
                    (int64_t)INDEX_PROJECT_LINE);
    while (r >= 0 && (r = db_step(&row, err)) > 0) {
        r = db_int(&row, 0) == reset.dir ? 0 : flush(&reset, store, err);
        if (r == 0)
            r = reset_add(&reset, &row, err);
    }
    return r < 0 ? r : flush(&reset, store, err);
}
