/* The index: what differs between two points of one line.
 * Reads the rows that were born or died between the points and nothing else; knows nothing of renames.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "index_rows.h"

#include <string.h>

/* One row that begins or ends between the points: what it says of one of them. */
struct side { int64_t dir, object; size_t name; bool after; };
struct sides { struct side *at; size_t count, room; struct buf names; };

static void sides_done(struct sides *sides) {
    free(sides->at);
    buf_done(&sides->names);
}

static int sides_add(struct sides *sides, struct db_statement *row, bool after, struct snap_err *err) {
    if (MAKE_ROOM(sides->at, sides->count, sides->room) < 0)
        return err_nomem(err);
    struct side side = { .dir = db_int(row, 0), .object = db_int(row, 2), .after = after };
    int r = name_row(row, 1, side.dir, &sides->names, &side.name, err);
    if (r == 0)
        sides->at[sides->count++] = side;
    return r;
}

static int read_sides(struct sides *sides, struct db_statement *row, bool after, struct snap_err *err) {
    int r;
    while ((r = db_step(row, err)) > 0) {
        r = sides_add(sides, row, after, err);
        if (r < 0)
            return r;
    }
    return r;
}

/* Born between and still there at the end: what is there after. */
static int read_born(struct sides *sides, struct store *store, int64_t line, int64_t a, int64_t b, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT dir, name, object FROM entry INDEXED BY entry_by_born"
                    " WHERE line = ?1 AND born > ?2 AND born <= ?3 AND died > ?3", "iii", line, a, b);
    return r < 0 ? r : read_sides(sides, &row, true, err);
}

/* Died between and there at the beginning: what was there before. */
static int read_died(struct sides *sides, struct store *store, int64_t line, int64_t a, int64_t b, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT dir, name, object FROM entry INDEXED BY entry_by_died"
                    " WHERE line = ?1 AND died > ?2 AND died <= ?3 AND died < " NEVER_SQL " AND born <= ?2", "iii", line, a, b);
    return r < 0 ? r : read_sides(sides, &row, false, err);
}

static int compare_places(const char *names, const struct side *a, const struct side *b) {
    if (a->dir != b->dir)
        return a->dir < b->dir ? -1 : 1;
    return strcmp(names + a->name, names + b->name);
}

static int by_place(const void *a, const void *b, void *names) {
    int order = compare_places(names, a, b);
    return order ? order : ((const struct side *)a)->after - ((const struct side *)b)->after;
}

static int tell(const struct sides *sides, bool swapped, index_change_fn fn, void *data) {
    int r = 0;
    for (size_t i = 0; i < sides->count && r == 0; i++) {
        const struct side *side = &sides->at[i], *next = i + 1 < sides->count ? side + 1 : NULL;
        struct index_change change = { .dir = side->dir, .name = sides->names.data + side->name };
        *(side->after ? &change.after : &change.before) = side->object;
        if (next && compare_places(sides->names.data, side, next) == 0) {
            *(next->after ? &change.after : &change.before) = next->object;
            i++;
        }
        if (change.before == change.after)
            continue;
        if (swapped) {
            int64_t before = change.before;
            change.before = change.after;
            change.after = before;
        }
        r = fn(data, &change);
    }
    return r;
}

int index_diff(struct store *store, struct point from, struct point to, index_change_fn fn, void *data, struct snap_err *err) {
    if (from.line != to.line)
        return err_set(err, -EINVAL, "snapshots of two lines cannot be compared by what happened between them");
    _cleanup_(sides_done) struct sides sides = {0};
    bool swapped = from.snap > to.snap;
    int64_t a = MIN(from.snap, to.snap), b = MAX(from.snap, to.snap);
    int r = a == b ? 0 : read_born(&sides, store, from.line, a, b, err);
    if (r == 0 && a != b)
        r = read_died(&sides, store, from.line, a, b, err);
    if (r < 0 || sides.count == 0)
        return r;
    qsort_r(sides.at, sides.count, sizeof(*sides.at), by_place, sides.names.data);
    return tell(&sides, swapped, fn, data);
}
