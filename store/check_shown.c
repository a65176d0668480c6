/* Which snapshots show what is damaged, and under which paths.
 * One pass over the index, whatever the number of questions: objects have no index by content, entries none by object.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "check.h"

#include "index_rows.h"

#include <string.h>

static int find_objects(struct store *index, const struct map *contents, struct map *objects, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = map_count(contents) ? db_bind(&row, index, err, "SELECT id, content FROM object WHERE content IS NOT NULL", "") : 0;
    while (r >= 0 && row.at && (r = db_step(&row, err)) > 0) {
        int64_t object = db_int(&row, 0), content = db_int(&row, 1);
        void *known = map_get(contents, &content, sizeof(content));
        if (known && map_put(objects, &object, sizeof(object), known, NULL) < 0)
            return err_nomem(err);
    }
    return MIN(r, 0);
}

static int give(struct db_statement *row, shown_fn fn, void *data, void *value, struct snap_err *err) {
    _buf_ struct buf name = {0};
    struct shown shown = { .line = db_int(row, 0), .dir = db_int(row, 1), .born = db_int(row, 3), .died = db_int(row, 4) };
    size_t start;
    int r = name_row(row, 2, shown.dir, &name, &start, err);
    if (r < 0)
        return r == -EUCLEAN ? 0 : r;        /* the row itself is told elsewhere */
    shown.name = name.data;
    r = fn(data, value, &shown);
    return r < 0 && !(err && err->code == r) ? err_errno(err, r, "cannot tell what is damaged") : r;
}

int check_shown(struct store *index, const struct map *contents, struct map *objects, shown_fn fn, void *data, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = find_objects(index, contents, objects, err);
    if (r < 0 || !map_count(objects))
        return r;
    r = db_bind(&row, index, err, "SELECT line, dir, name, born, died, object FROM entry", "");
    while (r >= 0 && (r = db_step(&row, err)) > 0) {
        int64_t object = db_int(&row, 5);
        void *value = map_get(objects, &object, sizeof(object));
        r = value ? give(&row, fn, data, value, err) : 0;
    }
    return MIN(r, 0);
}

int check_contents_like(struct store *index, const struct digest *digest, uint64_t size, content_fn fn, void *data, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, index, err, "SELECT " CONTENT_COLUMNS " FROM content WHERE xxh128 = ? AND size = ?", "bi",
                    digest->bytes, sizeof(digest->bytes), (int64_t)size);
    while (r >= 0 && (r = db_step(&row, err)) > 0) {
        struct content content;
        if ((r = content_row(&row, &content, err)) < 0)
            return r;
        r = fn(data, &content);
        free(content.name);
        if (r > 0)
            return 0;
    }
    return MIN(r, 0);
}

int check_contents(struct store *index, int64_t layer, const struct map *only, content_fn fn, void *data, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, index, err, "SELECT " CONTENT_COLUMNS " FROM content WHERE layer = ? ORDER BY id", "i", layer);
    while (r >= 0 && (r = db_step(&row, err)) > 0) {
        struct content content;
        int64_t id = db_int(&row, 0);
        if (only && !map_get(only, &id, sizeof(id)))
            continue;
        if ((r = content_row(&row, &content, err)) < 0)
            return r;
        r = fn(data, &content);
        free(content.name);
    }
    return MIN(r, 0);
}

/* The first column of all rows. */
static int read_numbers(struct db_statement *row, int64_t **ret, size_t *ret_count, struct snap_err *err) {
    _free_ int64_t *numbers = NULL;
    size_t count = 0, room = 0;
    int r;
    while ((r = db_step(row, err)) > 0) {
        if (MAKE_ROOM(numbers, count, room) < 0)
            return err_nomem(err);
        numbers[count++] = db_int(row, 0);
    }
    if (r < 0)
        return r;
    *ret = TAKE_PTR(numbers);
    *ret_count = count;
    return 0;
}

int check_numbers(struct store *index, int64_t line, int64_t **ret, size_t *ret_count, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, index, err, "SELECT id FROM snapshot WHERE line = ? ORDER BY id", "i", line);
    return r < 0 ? r : read_numbers(&row, ret, ret_count, err);
}

int check_named_layers(struct store *index, int64_t **ret, size_t *ret_count, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, index, err, "SELECT layer FROM snapshot UNION SELECT layer FROM gone UNION SELECT layer FROM content ORDER BY 1", "");
    return r < 0 ? r : read_numbers(&row, ret, ret_count, err);
}

enum { LEVELS_MAX = 1 << 20 };

/* On a line that stands on another one. */
static int climb_lines(struct store *index, struct point at, int64_t *dir, struct buf *names, struct snap_err *err) {
    _free_ char *name = NULL;
    int r = index_dir_place(index, at, *dir, dir, &name, err);
    if (r > 0)
        buf_add(names, name, strlen(name) + 1);
    return r;
}

/* A directory's name and what it lies in; 1, 0 absent. */
static int climb(struct store *index, struct point at, int64_t *dir, struct buf *names, int64_t *until, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    size_t start;
    if (at.line != INDEX_PROJECT_LINE)
        return climb_lines(index, at, dir, names, err);
    int r = db_bind(&row, index, err, "SELECT parent, name, died FROM dir WHERE line = ? AND id = ? AND born <= ?"
                    " ORDER BY born DESC LIMIT 1", "iii", at.line, *dir, at.snap);
    if (r == 0)
        r = db_step(&row, err);
    if (r <= 0 || db_int(&row, 2) <= at.snap)
        return MIN(r, 0);
    *dir = db_int(&row, 0);
    *until = MIN(*until, db_int(&row, 2));
    r = name_row(&row, 1, *dir, names, &start, err);
    return r < 0 ? r : 1;
}

int check_path(struct store *index, struct point at, int64_t dir, const char *name, struct buf *ret, int64_t *ret_until, struct snap_err *err) {
    _buf_ struct buf names = {0};
    int64_t until = NEVER;
    buf_add(&names, name, strlen(name) + 1);
    for (int level = 0; dir > INDEX_ROOT; level++) {
        int r = climb(index, at, &dir, &names, &until, err);
        if (r <= 0 || level == LEVELS_MAX)
            return MIN(r, 0);
    }
    for (size_t end = names.size; end > 0;) {
        size_t start = end - 1;
        while (start > 0 && names.data[start - 1])
            start--;
        buf_str(ret, names.data + start);
        if (start > 0)
            buf_char(ret, '/');
        end = start;
    }
    *ret_until = until;
    return ret->failed || names.failed ? err_nomem(err) : 1;
}
