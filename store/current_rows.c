/* What a current layer looked like at its last capture: rows. Decides nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "current_rows.h"

#include "db.h"
#include "map.h"

#include <string.h>

int current_rows_read(struct store *store, int64_t line, struct map **ret, struct snap_err *err) {
    struct map *rows = map_new();
    _statement_ struct db_statement row = {0};
    int r = rows ? db_bind(&row, store, err, "SELECT inode, birth, changed, object, dir FROM current WHERE line = ?", "i", line) : err_nomem(err);
    while (r >= 0 && (r = db_step(&row, err)) > 0) {
        struct current_row *one = malloc(sizeof(*one));
        if (one)
            *one = (struct current_row){ (uint64_t)db_int(&row, 0), db_int(&row, 1), db_int(&row, 2), db_int(&row, 3), db_int(&row, 4) };
        if (!one || map_put(rows, &one->inode, sizeof(one->inode), one, NULL) < 0) {
            free(one);
            r = err_nomem(err);
        }
    }
    if (r < 0) {
        map_free(rows, free);
        return r;
    }
    *ret = rows;
    return 0;
}

static bool is_same(const struct current_row *a, const struct current_row *b) {
    return a->birth == b->birth && a->changed == b->changed && a->object == b->object && a->dir == b->dir;
}

int current_rows_write(struct store *store, int64_t line, const struct map *before, const struct map *now, struct snap_err *err) {
    int r = 0;
    for (struct map_iter i = {0}; r == 0 && map_next(now, &i);) {
        const struct current_row *row = i.value, *old = map_get(before, &row->inode, sizeof(row->inode));
        if (!old || !is_same(old, row))
            r = db_run(store, err, "INSERT OR REPLACE INTO current(line, inode, birth, changed, object, dir) VALUES (?, ?, ?, ?, ?, ?)",
                       "iiiiii", line, (int64_t)row->inode, row->birth, row->changed, row->object, row->dir);
    }
    for (struct map_iter i = {0}; r == 0 && map_next(before, &i);) {
        const struct current_row *row = i.value;
        if (!map_get(now, &row->inode, sizeof(row->inode)))
            r = db_run(store, err, "DELETE FROM current WHERE line = ? AND inode = ?", "ii", line, (int64_t)row->inode);
    }
    return r;
}

int current_rows_forget(struct store *store, int64_t line, struct snap_err *err) {
    return db_run(store, err, "DELETE FROM current WHERE line = ?", "i", line);
}
