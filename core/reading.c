/* What readers hold on to, so that gc and they do not meet.
 * Looks nothing up by name; catalog.c does. SPDX-License-Identifier: GPL-2.0-or-later */
#include "reading.h"

#include "hook.h"
#include "pin.h"

/* Where no pin can be set, as in a store that cannot be written to, that is no failure. */
static int pin(struct snap_project *project, const struct snapshot *snapshot, int *ret, struct snap_err *err) {
    struct snap_err ignored = {0};
    int64_t number = snapshot->public.number;
    int fd = hook("reading.pin", "");
    if (fd >= 0)
        fd = pin_take(project->store, number, false, &ignored);
    if (fd == -EAGAIN && snapshot->flags & (SNAPSHOT_AUTO | SNAPSHOT_HIDDEN)) {
        err_set(err, -EBUSY, "snapshot %lld may be freed by gc at this moment", (long long)number);
        return err_hint(err, "try again when gc has ended");
    }
    if (fd == -EAGAIN)
        fd = pin_take_beside(project->store, number, &ignored);
    *ret = MAX(fd, -1);
    return 0;
}

int reading_hold(struct snap_project *project, const struct snapshot *snapshot, struct snap_err *err) {
    int fd = -1;
    if (store_locked(project->store))
        return 0;
    if (MAKE_ROOM(project->held, project->held_count, project->held_room) < 0)
        return err_nomem(err);
    int r = pin(project, snapshot, &fd, err);
    if (r < 0)
        return r;
    project->held[project->held_count++] = (struct held){ snapshot->public.number, fd };
    return fd >= 0;
}

void reading_drop(struct snap_project *project) {
    while (project->held_count > 0)
        pin_drop(project->held[--project->held_count].pin);
    free(TAKE_PTR(project->held));
    project->held_room = 0;
}

/* 0, or -ENOENT and which one was freed. */
static int check_held(struct snap_project *project, struct snap_err *err) {
    for (size_t i = 0; i < project->held_count; i++) {
        _snapshot_ struct snapshot *snapshot = NULL;
        int64_t number = project->held[i].number;
        int r = index_snapshot(project->store, number, &snapshot, err);
        if (r < 0)
            return r;
        if (r == 0)
            return err_set(err, -ENOENT, "snapshot %lld was removed, and freed by gc, a moment ago", (long long)number);
    }
    return 0;
}

int reading_begin(struct snap_project *project, struct snap_err *err) {
    if (store_locked(project->store) || project->reading++)
        return 0;
    int r = store_read_begin(project->store, err);
    if (r == 0 && (r = check_held(project, err)) < 0)
        store_read_end(project->store);
    project->reading = r == 0;
    return r < 0 ? r : MIN(hook("reading.begun", ""), 0);
}

int reading_end(struct snap_project *project, int r, struct snap_err *err) {
    struct snap_err freed = {0};
    if (!project->reading || --project->reading)
        return r;
    store_read_end(project->store);
    if (r >= 0 || !err || err->failure != SNAP_FAILURE_DAMAGE || check_held(project, &freed) != -ENOENT)
        return r;
    *err = freed;
    return freed.code;
}
