/* The index: what differs between two points.
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

/* Where lines stand on others, a row says only what its own line has: what is at a place before and after is asked for. */

enum { CHAIN_MAX = 1000 };     /* more is a circle */

/* What `point` stands on, down to a point of `line`; the rows of each line on the way go into `sides`. 1, or 0 = it does not. */
static int descend(struct store *store, struct point point, int64_t line, struct point *ret, struct sides *sides, struct snap_err *err) {
    int r = 1;
    for (unsigned i = 0; r > 0 && point.line != line && i < CHAIN_MAX; i++) {
        struct point base;
        r = read_born(sides, store, point.line, 0, point.snap, err);
        if (r == 0)
            r = read_died(sides, store, point.line, 0, point.snap, err);
        if (r == 0)
            r = index_base(store, point.line, &base, err);
        if (r > 0)
            point = base;
    }
    if (r > 0 && point.line != line)
        return err_damage(err, "the index is damaged: line %lld stands on itself", (long long)point.line);
    *ret = point;
    return r;
}

/* One of both stands on the other's line, or both on a third one, which is the first that both have. */
static int64_t find_common(struct store *store, struct point from, struct point to, struct snap_err *err) {
    for (unsigned i = 0; i < CHAIN_MAX; i++) {
        struct point other = to;
        int r = 1;
        for (unsigned j = 0; r > 0 && j < CHAIN_MAX && other.line != from.line; j++)
            r = index_base(store, other.line, &other, err);
        if (r < 0 || other.line == from.line)
            return r < 0 ? r : from.line;
        r = index_base(store, from.line, &from, err);
        if (r < 0)
            return r;
        if (r == 0)
            break;
    }
    return err_set(err, -EINVAL, "these two snapshots have nothing in common");
}

static int read_legs(struct sides *sides, struct store *store, struct point from, struct point to, struct snap_err *err) {
    int64_t line = find_common(store, from, to, err);
    int r = line < 0 ? (int)line : descend(store, from, line, &from, sides, err);
    if (r >= 0)
        r = descend(store, to, line, &to, sides, err);
    int64_t a = MIN(from.snap, to.snap), b = MAX(from.snap, to.snap);
    if (r >= 0 && a != b)
        r = read_born(sides, store, line, a, b, err);
    if (r >= 0 && a != b)
        r = read_died(sides, store, line, a, b, err);
    return MIN(r, 0);
}

static int diff_lines(struct store *store, struct point from, struct point to, index_change_fn fn, void *data, struct snap_err *err) {
    _cleanup_(sides_done) struct sides sides = {0};
    int r = read_legs(&sides, store, from, to, err);
    if (r == 0 && sides.count)
        qsort_r(sides.at, sides.count, sizeof(*sides.at), by_place, sides.names.data);
    for (size_t i = 0; r == 0 && i < sides.count; i++) {
        const struct side *side = &sides.at[i];
        if (i > 0 && compare_places(sides.names.data, side - 1, side) == 0)
            continue;
        struct index_change change = { .dir = side->dir, .name = sides.names.data + side->name };
        change.before = index_lookup_id(store, from, change.dir, change.name, err);
        change.after = change.before < 0 ? 0 : index_lookup_id(store, to, change.dir, change.name, err);
        if (change.before < 0 || change.after < 0)
            return (int)MIN(change.before, change.after);
        if (change.before != change.after)
            r = fn(data, &change);
    }
    return r;
}

int index_diff(struct store *store, struct point from, struct point to, index_change_fn fn, void *data, struct snap_err *err) {
    if (from.line != INDEX_PROJECT_LINE || to.line != INDEX_PROJECT_LINE)
        return diff_lines(store, from, to, fn, data, err);
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
