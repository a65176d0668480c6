/* Until when the live records tell everything, by a watcher's clock, and which paths must be looked at all the same.
 * Says nothing of what a clock means. SPDX-License-Identifier: GPL-2.0-or-later */
#include "db.h"
#include "live.h"

static const char FACT[] = "live.clock";

int live_clock(struct store *store, char **ret, struct snap_err *err) {
    return store_fact(store, FACT, ret, err);
}

int live_set_clock(struct store *store, const char *clock, struct snap_err *err) {
    _free_ char *old = NULL;
    int code = live_clock(store, &old, err);
    return code < 0 || (code == 0 && !clock) ? code : store_set_fact(store, FACT, clock, err);
}

int live_doubts(struct store *store, live_doubt_fn fn, void *data, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int code = db_bind(&row, store, err, "SELECT path FROM doubt", "");
    while (code >= 0 && (code = db_step(&row, err)) > 0) {
        _free_ char *path = db_text(&row, 0);
        if (!path)
            return err_nomem(err);
        if ((code = fn(data, path)) < 0)
            return code;
    }
    return code;
}

int live_set_doubt(struct store *store, const char *path, bool doubtful, struct snap_err *err) {
    return db_run(store, err, doubtful ? "INSERT OR IGNORE INTO doubt(path) VALUES (?)" : "DELETE FROM doubt WHERE path = ?", "n", path);
}

int live_forget_doubts(struct store *store, struct snap_err *err) {
    return db_run(store, err, "DELETE FROM doubt", "");
}
