/* What a change that failed means, and how it is told.
 * Changes nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "swap.h"
#include "build.h"
#include <string.h>

void work_fail(struct work *work, struct plan_row *row, int code, const char *doing) {
    _buf_ struct buf path = {0};
    plan_row_path(row, !row->before, &path);
    row->state = PLAN_FAILED;
    if (row->arrives)
        row->arrives->lost = true;
    project_notice(work->project, SNAP_NOTICE_FAILED_PATH, path.failed || !path.data ? "" : path.data, "cannot %s it: %s",
                   doing, strerror(-code));
}

void swap_tell(struct work *work, const struct plan_row *row, const char *text) {
    _buf_ struct buf path = {0};
    plan_row_path(row, !row->before, &path);
    project_notice(work->project, SNAP_NOTICE_FAILED_PATH, path.failed || !path.data ? "" : path.data, "%s", text);
}

/* Not done, for a reason that is no error of the system. */
void work_leave(struct work *work, struct plan_row *row, const char *text) {
    row->state = PLAN_FAILED;
    if (row->arrives)
        row->arrives->lost = true;
    swap_tell(work, row, text);
}

void work_missing(struct work *work, struct plan_row *row, unsigned missing) {
    _buf_ struct buf text = {0}, path = {0};
    build_missing_words(missing, &text);
    plan_row_path(row, true, &path);
    row->lacking |= missing != 0;
    if (text.size && !text.failed && !path.failed)
        project_notice(work->project, SNAP_NOTICE_FAILED_PATH, path.data ? path.data : "",
                       "is back, but what is not permitted here is missing: %s", text.data);
}

void work_conflict(struct work *work, struct plan_row *row, const char *text) {
    _buf_ struct buf path = {0};
    plan_row_path(row, !row->before, &path);
    work->conflicts++;
    project_notice(work->project, SNAP_NOTICE_CONFLICT, path.failed || !path.data ? "" : path.data, "%s", text);
}

static int conflict(struct work *work, struct plan_row *row, const char *text, struct snap_err *err) {
    work_conflict(work, row, text);
    err_set(err, -EBUSY, "something changed in the project meanwhile");
    return err ? err_failure(err, SNAP_FAILURE_CONFLICT) : -EBUSY;
}

/* Somebody changed the entry: an answer for all when the work is new; when it goes on after a crash, the entry stays. */
int swap_changed(struct work *work, struct plan_row *row, struct snap_err *err) {
    if (!work->recovering)
        return conflict(work, row, "was changed by somebody else while the command ran", err);
    work_leave(work, row, "was changed by somebody else since and stays as it is");
    return 0;
}

int swap_fatal(struct plan_row *row, int code, const char *doing, struct snap_err *err) {
    _buf_ struct buf path = {0};
    plan_row_path(row, !row->before, &path);
    return err_path(err, code, path.failed || !path.data ? "" : path.data, "%s", doing);
}

bool swap_is_change(int code) {
    return code == -ENOENT || code == -EEXIST || code == -ENOTDIR || code == -EISDIR || code == -ESTALE || code == -ENOTEMPTY
        || code == -ELOOP;
}

bool swap_is_about_path(int code) {
    return code == -EBUSY || code == -EPERM || code == -EACCES || code == -ETXTBSY || code == -EXDEV || code == -EOPNOTSUPP
        || code == -ENAMETOOLONG || code == -EILSEQ || code == -EINVAL || code == -EMLINK || code == -EROFS;
}

/* What a failed change means. */
int swap_judge(struct work *work, struct plan_row *row, int code, const char *doing, struct snap_err *err) {
    if (swap_is_change(code))
        return swap_changed(work, row, err);
    if (!swap_is_about_path(code))
        return swap_fatal(row, code, doing, err);
    work_fail(work, row, code, doing);
    return 0;
}

