/* What a transition leaves where it is not permitted to do all that the snapshot says: an undo compares with that.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "work.h"
#include "fs.h"

static int64_t dir_of(const struct plan_row *row) {
    return row->dir ? row->dir->id : 0;
}

static int note(struct work *work, struct plan_row *row, struct snap_err *err) {
    _pinned_ struct dir_pinned at = { .fd = work->project->root };
    _meta_ struct meta meta = {0};
    struct statx stat;
    if (row->dir)
        at = work_pin(work, row->dir, true);
    int r = at.fd < 0 ? at.fd : fs_statx(at.fd, row->name, &stat);
    if (r >= 0)
        r = meta_read(at.fd, row->name, -1, &stat, &meta);
    if (r < 0)                            /* somebody was faster: then it is compared with the snapshot */
        return r == -ENOMEM ? err_nomem(err) : 0;
    return op_add_left(work->store, work->op, dir_of(row), row->name, &meta, err);
}

int left_note(struct work *work, struct snap_err *err) {
    int r = 0;
    for (size_t i = 0; i < work->plan->count && r == 0; i++)
        if (work->plan->rows[i].lacking && work->plan->rows[i].state == PLAN_DONE)
            r = note(work, &work->plan->rows[i], err);
    return r;
}

int left_expect(struct work *work, int64_t target, struct snap_err *err) {
    int64_t op = op_that_left(work->store, target, err);
    int r = (int)MIN(op, 0);
    for (size_t i = 0; op > 0 && i < work->plan->count && r >= 0; i++) {
        struct plan_row *row = &work->plan->rows[i];
        if (row->before)
            r = op_left(work->store, op, dir_of(row), row->name, &row->before->meta, err);
    }
    return MIN(r, 0);
}
