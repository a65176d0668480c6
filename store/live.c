/* The live index, read: all of it by one ordered pass, or one record.
 * Changes nothing; says nothing of a file system. SPDX-License-Identifier: GPL-2.0-or-later */
#include "db.h"
#include "live_part.h"
#include "map.h"

#include <string.h>

struct live {
    struct live_dir *dirs;     /* sorted by identity */
    struct live_entry *entries;    /* of all directories, in their order */
    char *names;               /* of all entries, in their order */
    size_t dirs_count, dirs_room, entries_count, entries_room, names_size, names_room;
    struct map *loaded;        /* instead: identity -> struct live_dir, one block each; dir -1: it has no records. NULL: all were loaded */
};

struct live *live_free(struct live *live) {
    if (live) {
        free(live->dirs);
        free(live->entries);
        free(live->names);
        map_free(live->loaded, free);
    }
    free(live);
    return NULL;
}

/* Room for `count` more elements. */
static int grow(void *array, size_t *room, size_t used, size_t count, size_t size) {
    if (*room > 0 && count <= *room - used)
        return 0;
    size_t wanted = MAX(2 * *room, used + count + 1);
    void *grown = reallocarray(*(void **)array, wanted, size);
    if (!grown)
        return -ENOMEM;
    *(void **)array = grown;
    *room = wanted;
    return 0;
}

static int make_room(struct live *live, const struct part *part) {
    int r = grow(&live->dirs, &live->dirs_room, live->dirs_count, 1, sizeof(*live->dirs));
    if (r == 0)
        r = grow(&live->entries, &live->entries_room, live->entries_count, part->count, sizeof(*live->entries));
    if (r == 0)
        r = grow(&live->names, &live->names_room, live->names_size, part->names_size, 1);
    return r;
}

/* As SQLite compares the key of a row with a name. */
static int compare_key(const char *key, size_t size, const char *name) {
    size_t name_size = strlen(name);
    int order = memcmp(key, name, MIN(size, name_size));
    return order ? order : (size > name_size) - (size < name_size);
}

/* The key by which a part is found lies behind the part before it, and not behind what is in it. */
static bool key_is_right(const struct live *live, const struct part *part, bool first_of_dir, const char *key, size_t size) {
    if (first_of_dir)
        return size == 0;
    if (part->count == 0 || compare_key(key, size, part->names) > 0)
        return false;
    if (live->dirs[live->dirs_count - 1].count == 0)
        return size > 0;
    const char *end = live->names + live->names_size - 1;      /* the NUL of the last name so far */
    const char *before = memrchr(live->names, '\0', (size_t)(end - live->names));
    return compare_key(key, size, before ? before + 1 : live->names) > 0;
}

static int add_part(struct live *live, int64_t dir, const char *key, size_t key_size, const void *data, size_t size) {
    struct part part;
    if (part_open(data, size, &part) < 0)
        return -EUCLEAN;
    bool new_dir = live->dirs_count == 0 || live->dirs[live->dirs_count - 1].dir != dir;
    if (!key_is_right(live, &part, new_dir, key, key_size))
        return -EUCLEAN;
    int r = make_room(live, &part);
    if (r < 0)
        return r;
    if (new_dir)
        live->dirs[live->dirs_count++] = (struct live_dir){ .dir = dir };
    live->dirs[live->dirs_count - 1].count += part.count;
    r = part_records(&part, live->entries + live->entries_count);
    live->entries_count += part.count;
    memcpy(live->names + live->names_size, part.names, part.names_size);
    live->names_size += part.names_size;
    return r;
}

/* What was read has its place in memory now. */
static int connect(struct live *live, int64_t *ret_damaged) {
    struct live_entry *entries = live->entries;
    const char *names = live->names;
    for (size_t i = 0; i < live->dirs_count; i++) {
        struct live_dir *dir = &live->dirs[i];
        dir->entries = entries;
        *ret_damaged = dir->dir;
        if (part_names(dir->dir, entries, dir->count, names) < 0)
            return -EUCLEAN;
        entries += dir->count;
        if (dir->count > 0)
            names = entries[-1].name + strlen(entries[-1].name) + 1;
    }
    return 0;
}

static int read_rows(struct live *live, struct db_statement *row, int64_t *ret_dir, struct snap_err *err) {
    int r = 0;
    while (r >= 0 && (r = db_step(row, err)) > 0) {
        size_t key_size = 0, size = 0;
        const char *key = db_blob(row, 1, &key_size);
        const void *data = db_blob(row, 2, &size);
        *ret_dir = db_int(row, 0);
        r = key && data ? add_part(live, *ret_dir, key, key_size, data, size) : -EUCLEAN;
        if (r < 0)
            return r == -EUCLEAN ? part_damaged(*ret_dir, err) : err_nomem(err);
    }
    return r;
}

int live_load(struct store *store, struct live **ret, struct snap_err *err) {
    _live_ struct live *live = calloc(1, sizeof(*live));
    if (!live)
        return err_nomem(err);
    _statement_ struct db_statement row = {0};
    int64_t dir = 0;
    int r = db_bind(&row, store, err, "SELECT dir, first, data FROM live ORDER BY dir, first", "");
    if (r < 0 || (r = read_rows(live, &row, &dir, err)) < 0)
        return r;
    if (connect(live, &dir) < 0)
        return part_damaged(dir, err);
    *ret = TAKE_PTR(live);
    return 0;
}

/* One by one. */

int live_open(struct live **ret) {
    _live_ struct live *live = calloc(1, sizeof(*live));
    if (!live || !(live->loaded = map_new()))
        return -ENOMEM;
    *ret = TAKE_PTR(live);
    return 0;
}

/* A directory's records in one block: the struct, the entries, the names. */
static struct live_dir *copy_dir(const struct live *from, int64_t dir) {
    size_t entries = from->entries_count * sizeof(struct live_entry);
    struct live_dir *copy = malloc(sizeof(*copy) + entries + from->names_size + 1);
    if (!copy)
        return NULL;
    *copy = (struct live_dir){ .dir = dir, .count = from->entries_count, .entries = (struct live_entry *)(void *)(copy + 1) };
    char *names = (char *)(copy->entries + copy->count);
    if (entries)
        memcpy(copy->entries, from->entries, entries);
    if (from->names_size)
        memcpy(names, from->names, from->names_size);
    return copy;
}

int live_load_dir(struct live *live, struct store *store, int64_t dir, const struct live_dir **ret, struct snap_err *err) {
    const struct live_dir *known = live->loaded ? map_get(live->loaded, &dir, sizeof(dir)) : NULL;
    if (!live->loaded) {
        *ret = live_dir(live, dir);
        return 0;
    }
    if (known) {
        *ret = known->dir < 0 ? NULL : known;
        return 0;
    }
    _live_ struct live *alone = calloc(1, sizeof(*alone));
    if (!alone)
        return err_nomem(err);
    _statement_ struct db_statement row = {0};
    int64_t at = dir;
    int r = db_bind(&row, store, err, "SELECT dir, first, data FROM live WHERE dir = ? ORDER BY first", "i", dir);
    if (r < 0 || (r = read_rows(alone, &row, &at, err)) < 0)
        return r;
    struct live_dir *copy = copy_dir(alone, alone->dirs_count ? dir : -1);
    if (!copy || map_put(live->loaded, &dir, sizeof(dir), copy, NULL) < 0) {
        free(copy);
        return err_nomem(err);
    }
    if (part_names(dir, copy->entries, copy->count, (const char *)(copy->entries + copy->count)) < 0)
        return part_damaged(dir, err);
    *ret = copy->dir < 0 ? NULL : copy;
    return 0;
}

const struct live_dir *live_dir(const struct live *live, int64_t dir) {
    size_t low = 0, high = live->dirs_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (live->dirs[middle].dir < dir)
            low = middle + 1;
        else
            high = middle;
    }
    return low < live->dirs_count && live->dirs[low].dir == dir ? &live->dirs[low] : NULL;
}

const struct live_entry *live_dir_find(const struct live_dir *dir, const char *name) {
    if (!dir)
        return NULL;
    size_t at = part_search(dir->entries, dir->count, name);
    return at < dir->count && strcmp(dir->entries[at].name, name) == 0 ? &dir->entries[at] : NULL;
}

int live_next(const struct live *live, struct live_iter *iter) {
    if (iter->at >= live->dirs_count)
        return 0;
    iter->dir = &live->dirs[iter->at++];
    return 1;
}

int live_find(struct store *store, int64_t dir, const char *name, struct live_entry *ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT data FROM live WHERE dir = ? AND first <= ? ORDER BY first DESC LIMIT 1", "in", dir, name);
    if (r == 0)
        r = db_step(&row, err);
    if (r <= 0)
        return r;
    size_t size = 0;
    const void *data = db_blob(&row, 0, &size);
    _part_ struct part_entries entries = {0};
    r = part_read(dir, data, size, &entries, err);
    if (r < 0)
        return r;
    size_t at = part_search(entries.at, entries.count, name);
    if (at == entries.count || strcmp(entries.at[at].name, name) != 0)
        return 0;
    *ret = entries.at[at];
    ret->name = name;
    return 1;
}
