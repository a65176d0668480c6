/* What a transition builds, complete and out of sight, before it changes anything.
 * Changes nothing in the project.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "work.h"
#include "build.h"
#include "fs.h"
#include "hook.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Building. */

static int build(struct work *work, struct plan_row *row, struct snap_err *err) {
    struct staged_name name = staged_new(row);
    unsigned missing = 0;
    int r = build_entry(work->project, place_of(work, row)->at, name.text, row->after, &work->bytes, &missing, err);
    if (r >= 0)
        work_missing(work, row, missing);
    return r;
}

/* Names of one inode. */

struct link_search { struct work *work; struct plan_row *row; struct snap_err *err; bool linked; };

/* 1 = linked, 0 = not from there, or a negative errno. */
static int link_from(struct work *work, int dirfd, const char *name, struct plan_row *row, const struct live_entry *known) {
    struct statx stat, linked;
    int r = inspect_entry(dirfd, name, row->after, known, &stat, NULL);
    if (r != INSPECT_SAME)
        return MIN(r, 0);
    struct staged_name new = staged_new(row);
    int at = place_of(work, row)->at;
    if (linkat(dirfd, name, at, new.text, 0) < 0)
        return errno == ENOSPC || errno == EDQUOT || errno == EIO ? -errno : 0;
    r = fs_statx(at, new.text, &linked);
    if (r < 0 || !inspect_stayed(&stat, &linked))
        return unlinkat(at, new.text, 0) < 0 ? -errno : MIN(r, 0);
    return 1;
}

static int remember_relinked(struct work *work, int64_t dir, const char *name, int64_t object) {
    struct relinked *more = reallocarray(work->relinked, work->relinked_count + 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    work->relinked = more;
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    more[work->relinked_count++] = (struct relinked){ .dir = dir, .object = object, .name = copy };
    return 0;
}

/* 0 = another directory has its path. Where no record tells, the path is believed. */
static int is_dir(struct work *work, struct point at, int64_t dir, int fd, struct snap_err *err) {
    _free_ char *name = NULL;
    int64_t parent;
    struct live_entry known = {0};
    struct statx stat;
    struct fingerprint print;
    int r = index_dir_place(work->store, at, dir, &parent, &name, err);
    if (r <= 0 || (r = work_live(work, parent, name, &known, err)) < 0)
        return r;
    if (r == 0 || known.dir != dir || known.flags & LIVE_GONE || !known.print.ino)
        return 1;
    if ((r = fs_statx(fd, "", &stat)) < 0)
        return err_path(err, r, name, "look at");
    fingerprint_from(&stat, &print);
    return print.ino == known.print.ino && print.size == known.print.size;
}

/* A name that the plan leaves alone, where its directory is at that point. */
static int link_from_place(struct work *work, struct point at, int64_t dir, const char *name, struct plan_row *row, struct snap_err *err) {
    _buf_ struct buf path = {0};
    int r = index_dir_path(work->store, at, dir, &path, err);
    if (r <= 0)
        return r;
    _close_ int fd = fs_open_beneath(work->project->root, path.data ? path.data : "", O_PATH | O_DIRECTORY, 0);
    if (fd < 0 || (r = is_dir(work, at, dir, fd, err)) <= 0)
        return fd < 0 ? 0 : r;
    struct live_entry known = {0};
    if ((r = work_live(work, dir, name, &known, err)) < 0)
        return r;
    r = link_from(work, fd, name, row, r > 0 ? &known : NULL);
    return r > 0 && (r = remember_relinked(work, dir, name, row->after->id)) == 0 ? 1 : r;
}

static int on_name(void *data, int64_t dir, const char *name) {
    struct link_search *search = data;
    struct work *work = search->work;
    struct plan_row *row = search->row;
    if (search->linked || plan_find_id(work->plan, dir, name))
        return 0;
    int64_t there = index_lookup_id(work->store, work->ground, dir, name, search->err);
    if (there != row->after->id)
        return (int)MIN(there, (int64_t)0);
    /* Its directory may be on its way from one place to the other; outside of the paths it is where the ground has it. */
    int r = link_from_place(work, work->from, dir, name, row, search->err);
    if (r == 0)
        r = link_from_place(work, work->ground, dir, name, row, search->err);
    if (r == 0 && work->recovering)
        r = link_from_place(work, work->to, dir, name, row, search->err);
    search->linked = r > 0;
    return MIN(r, 0);
}

/* 1 = the row's name stands in the staging directory as a link to an inode that it must share. */
static int link_to_group(struct work *work, struct plan_row *row, struct snap_err *err) {
    int64_t id = row->after->id;
    if (!(row->after->flags & OBJECT_LINKED))
        return 0;                         /* of equal rows, each is a file of its own */
    struct plan_row *first = map_get(work->groups, &id, sizeof(id));
    if (first && first->staged) {
        if (linkat(place_of(work, first)->at, staged_new(first).text, place_of(work, row)->at, staged_new(row).text, 0) == 0)
            return 1;
        return errno == EMLINK || errno == EPERM || errno == EOPNOTSUPP || errno == EXDEV ? 0 : -errno;
    }
    if (first) {                          /* done by an earlier attempt */
        _pinned_ struct dir_pinned at = work_pin(work, first->dir, true);
        int r = at.fd < 0 ? 0 : link_from(work, at.fd, first->name, row, NULL);
        if (r != 0)
            return r;
    }
    int64_t links = index_links(work->store, work->to, id, err);
    if (links <= 1)
        return (int)MIN(links, (int64_t)0);
    struct link_search search = { work, row, err, false };
    int r = index_names(work->store, work->to, id, on_name, &search, err);
    return r < 0 ? r : search.linked;
}

/* What an earlier attempt built, or displaced, and is just that. 1, 0 or a negative errno. */
static int reuse(struct work *work, struct plan_row *row) {
    if (work_looks_same(row))
        return 0;
    const struct place *place = place_of(work, row);
    for (unsigned i = 0; i < place->attempt; i++) {
        char attempt[16];
        (void)snprintf(attempt, sizeof(attempt), "%u", i);
        _close_ int dir = openat(place->root, attempt, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir < 0)
            continue;
        const struct staged_name names[] = { staged_new(row), staged_old(row) };
        for (size_t j = 0; j < ELEMENTS(names); j++) {
            int r = inspect_entry(dir, names[j].text, row->after, NULL, NULL, NULL);
            if (r != INSPECT_SAME)
                continue;
            return renameat(dir, names[j].text, place->at, names[0].text) < 0 ? -errno : 1;
        }
    }
    return 0;
}

static int stage_row(struct work *work, struct plan_row *row, struct snap_err *err) {
    struct snap_err why = {0};
    int64_t id = row->after->id;
    int r = hook("transition.stage", row->name);
    if (r >= 0)
        r = link_to_group(work, row, &why);
    if (r == 0 && work->recovering)
        r = reuse(work, row);
    if (r == 0)
        r = build(work, row, &why);
    if (r >= 0) {
        row->staged = true;
        return map_put(work->groups, &id, sizeof(id), row, NULL) < 0 ? err_nomem(err) : 0;
    }
    if (r == -ECANCELED)
        return project_cancelled_error(err);
    if (build_is_about_entry(r)) {
        (void)fs_remove_tree(place_of(work, row)->at, staged_new(row).text);
        if (why.message[0])
            work_leave(work, row, why.message);
        else
            work_fail(work, row, r, "restore");
        return 0;
    }
    _buf_ struct buf path = {0};
    plan_row_path(row, true, &path);
    return err_path(err, r, path.data ? path.data : "", "prepare");
}

int staging_fill(struct work *work, struct snap_err *err) {
    for (size_t i = 0; i < work->plan->count; i++) {
        struct plan_row *row = &work->plan->rows[i];
        if (row->state != PLAN_TODO || row->how != PLAN_FILL)
            continue;
        if (project_cancelled(work->project))
            return project_cancelled_error(err);
        int r = stage_row(work, row, err);
        if (r < 0)
            return r;
    }
    return 0;
}
