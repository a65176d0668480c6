/* What the live index says after a transition, so that the next comparison reads nothing.
 * Decides nothing: it looks at what was done. An entry that somebody changed since is marked to be compared by content.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "work.h"
#include "fs.h"
#include <fcntl.h>
#include <string.h>

struct settler {
    struct work *work;
    struct timespec now;                  /* the file system's clock, read before anything is looked at */
    bool fine;
    bool unrecorded;                      /* something came that has no records: a name of an inode may be among it */
    struct map *left;                     /* object ids whose remaining names were seen to: a set */
    struct snap_err *err;
};

static bool is_racy(const struct settler *settler, const struct fingerprint *print) {
    const struct timespec *now = &settler->now;
    bool recent = print->ctime_sec > now->tv_sec || (print->ctime_sec == now->tv_sec && print->ctime_nsec >= (uint32_t)now->tv_nsec)
        || print->mtime_sec > now->tv_sec || (print->mtime_sec == now->tv_sec && print->mtime_nsec >= (uint32_t)now->tv_nsec);
    return recent && !settler->fine;
}

/* What was put there is as the snapshot says; whoever changed it since has changed one of these. */
static bool is_ours(const struct statx *stat, const struct object *object) {
    return stat->stx_mode == object->meta.mode && stat->stx_uid == object->meta.uid && stat->stx_gid == object->meta.gid
        && stat->stx_mtime.tv_sec == object->meta.mtime.tv_sec
        && stat->stx_mtime.tv_nsec == (uint32_t)object->meta.mtime.tv_nsec
        && (!S_ISREG(stat->stx_mode) || stat->stx_size == object->meta.size);
}

static unsigned device_flag(const struct settler *settler, const struct statx *stat) {
    uint64_t device = settler->work->project->device;
    return stat->stx_dev_major != (uint32_t)(device >> 32) || stat->stx_dev_minor != (uint32_t)device ? LIVE_FOREIGN : 0;
}

/* The record of (dir, name), which is `object` if nobody changed it since; `doubted`: the next comparison has to read it. */
static int put_record(struct settler *settler, int64_t dir, const char *name, const struct statx *stat, const struct object *object,
                      bool doubted) {
    struct work *work = settler->work;
    int64_t newest = index_lookup_id(work->store, index_newest(INDEX_PROJECT_LINE), dir, name, settler->err);
    if (newest < 0)
        return (int)newest;
    struct live_entry entry = { .name = name, .object = object->id, .dir = object_is_dir(object) ? object->dir : 0 };
    fingerprint_from(stat, &entry.print);
    bool shares = settler->unrecorded && object->flags & OBJECT_LINKED;    /* the next scan must see all names of the inode together */
    if (shares || doubted || is_racy(settler, &entry.print) || !is_ours(stat, object))
        entry.flags |= LIVE_HOT;
    if (newest != object->id)
        entry.flags |= LIVE_AHEAD;
    if (!object_is_dir(object) && stat->stx_nlink > 1)
        entry.flags |= LIVE_LINKED;
    if (object->flags & OBJECT_UNREAD)
        entry.flags |= LIVE_UNREAD;
    entry.flags |= device_flag(settler, stat);
    return live_put(work->store, dir, &entry, settler->err);
}

/* Nothing is there any more; if the newest entries have it, the next snapshot must hear of it. */
static int put_gone(struct settler *settler, int64_t dir, const char *name) {
    struct work *work = settler->work;
    int64_t newest = index_lookup_id(work->store, index_newest(INDEX_PROJECT_LINE), dir, name, settler->err);
    if (newest < 0)
        return (int)newest;
    if (newest == 0)
        return live_remove(work->store, dir, name, settler->err);
    struct live_entry entry = { .name = name, .flags = LIVE_GONE | LIVE_AHEAD };
    return live_put(work->store, dir, &entry, settler->err);
}

/* The inode was there before, so that somebody may still write to it without a trace. */
static bool may_be_written(int dirfd, const struct plan_row *row, const struct statx *stat) {
    if ((row->how != PLAN_META && row->how != PLAN_KEEP) || !S_ISREG(stat->stx_mode))
        return false;
    _close_ int fd = openat(dirfd, row->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return fd < 0 || copy_is_hot(fd);
}

/* Somebody was faster, or its directory may not be searched now: a record that equals nothing is compared. */
static bool is_hidden(int code) {
    return code == -ENOENT || code == -ENOTDIR || code == -ESTALE || (code == -EACCES && geteuid() != 0);
}

static int settle_entry(struct settler *settler, struct plan_row *row) {
    struct work *work = settler->work;
    _pinned_ struct dir_pinned at = work_pin(work, row->dir, true);
    struct statx stat;
    int r = at.fd < 0 ? at.fd : fs_statx(at.fd, row->name, &stat);
    if (is_hidden(r))
        stat = (struct statx){0};
    else if (r < 0)
        return err_path(settler->err, r, row->name, "look at");
    bool doubted = row->lacking || may_be_written(at.fd, row, &stat);
    return put_record(settler, row->dir->id, row->name, &stat, row->after, doubted);
}

/* A directory that comes anew has no records of an earlier life. */
static int settle_row(struct settler *settler, struct plan_row *row) {
    if (row->state != PLAN_DONE || !row->dir || row->dir->clone || row->dir->foreign)
        return 0;
    if (!row->dir->in_to)                 /* what was in a directory that went goes with it; one that stays is told of each */
        return row->dir->from_row && row->dir->from_row->state == PLAN_DONE ? 0 : put_gone(settler, row->dir->id, row->name);
    if (!row->after)
        return put_gone(settler, row->dir->id, row->name);
    if (row->arrives) {
        if (row->arrives->clone)              /* a stranger to the next scan, which must miss the one of the newest snapshot */
            return put_gone(settler, row->dir->id, row->name);
        return 0;                         /* with the directories */
    }
    return settle_entry(settler, row);
}

static const struct object *object_of(const struct plan_dir *dir) {
    if (dir->to_row)
        return dir->to_row->state == PLAN_DONE ? dir->to_row->after : NULL;
    return dir->own ? dir->own->state == PLAN_DONE ? dir->own->after : dir->own->before : NULL;
}

/* A directory that is the same before and after, in which something changed: its times did. */
static int settle_dir(struct settler *settler, struct plan_dir *dir) {
    struct work *work = settler->work;
    if (!dir->in_to || dir->clone || dir->foreign || work_is_lost(dir) || (dir->to_parent && (dir->to_parent->clone || dir->to_parent->foreign))
        || !(dir->touched || dir->own || dir->to_row))
        return 0;
    int64_t parent = dir->to_parent ? dir->to_parent->id : 0;
    const char *name = dir->to_parent ? dir->to_name : "";
    _object_ struct object *looked_up = NULL;
    const struct object *object = object_of(dir);
    struct live_entry known = {0};
    int r = 0;
    if (!object && ((r = live_find(work->store, parent, name, &known, settler->err)) <= 0
        || (r = index_object(work->store, known.object, &looked_up, settler->err)) < 0))
        return r;
    _pinned_ struct dir_pinned at = work_pin(work, dir, true);
    struct statx stat;
    r = at.fd < 0 ? at.fd : fs_statx(at.fd, "", &stat);
    if (r < 0)
        return is_hidden(r) ? 0 : err_path(settler->err, r, name, "look at");
    const struct plan_row *row = dir->to_row ? dir->to_row : dir->own;
    return put_record(settler, parent, name, &stat, object ? object : looked_up, row && row->lacking);
}

/* No watcher tells of it when it changes under its other name. */
static int doubt_other_name(struct settler *settler, struct buf *path, const char *name) {
    if (path->size)
        buf_char(path, '/');
    buf_str(path, name);
    return path->failed ? err_nomem(settler->err) : live_set_doubt(settler->work->store, path->data, true, settler->err);
}

/* A name outside of the plan whose inode got or lost another name: its ctime changed, and nothing else, or it is compared. */
static int settle_other_name(struct settler *settler, int64_t dir, const char *name, int64_t object) {
    struct work *work = settler->work;
    _buf_ struct buf path = {0};
    struct live_entry known = {0};
    if (settler->unrecorded)
        return 0;
    int r = index_dir_path(work->store, work->to, dir, &path, settler->err);
    if (r <= 0 || (r = live_find(work->store, dir, name, &known, settler->err)) <= 0
        || known.object != object || known.flags & (LIVE_HOT | LIVE_GONE | LIVE_UNREAD))
        return MIN(r, 0);
    _close_ int fd = fs_open_beneath(work->project->root, path.data ? path.data : "", O_PATH | O_DIRECTORY, 0);
    struct statx stat;
    struct fingerprint print;
    if (fd < 0 || fs_statx(fd, name, &stat) < 0)
        return 0;
    fingerprint_from(&stat, &print);
    int64_t sec = print.ctime_sec;
    uint32_t nsec = print.ctime_nsec;
    print.ctime_sec = known.print.ctime_sec;
    print.ctime_nsec = known.print.ctime_nsec;
    if (!fingerprint_equal(&print, &known.print))
        return 0;
    known.print.ctime_sec = sec;
    known.print.ctime_nsec = nsec;
    known.flags |= (is_racy(settler, &known.print) ? LIVE_HOT : 0) | (stat.stx_nlink > 1 ? LIVE_LINKED : 0);
    r = known.flags & LIVE_LINKED ? doubt_other_name(settler, &path, name) : 0;
    return r < 0 ? r : live_put(work->store, dir, &known, settler->err);
}

struct other_names { struct settler *settler; int64_t object; };

static int on_name(void *data, int64_t dir, const char *name) {
    struct other_names *others = data;
    return plan_find_id(others->settler->work->plan, dir, name) ? 0
        : settle_other_name(others->settler, dir, name, others->object);
}

/* A file that went, of which other names stay. */
static int settle_left_names(struct settler *settler, const struct plan_row *row) {
    struct work *work = settler->work;
    if (row->state != PLAN_DONE || !row->before || object_is_dir(row->before) || row->how == PLAN_KEEP)
        return 0;
    int64_t id = row->before->id;
    if (!(row->before->flags & OBJECT_LINKED) || map_get(settler->left, &id, sizeof(id)))
        return 0;
    if (map_put(settler->left, &id, sizeof(id), settler, NULL) < 0)
        return err_nomem(settler->err);
    int64_t links = index_links(work->store, work->ground, row->before->id, settler->err);
    if (links <= 1)
        return (int)MIN(links, (int64_t)0);
    struct other_names others = { settler, row->before->id };
    return index_names(work->store, work->ground, row->before->id, on_name, &others, settler->err);
}

static int remove_records(struct settler *settler) {
    struct plan *plan = settler->work->plan;
    for (size_t i = 0; i < plan->dirs_count; i++) {
        const struct plan_dir *dir = plan->dirs[i];
        bool went = !dir->in_to && !dir->foreign && dir->from_row && dir->from_row->state == PLAN_DONE;
        bool came = !dir->in_from && !dir->clone && dir->to_row && dir->to_row->state == PLAN_DONE;
        if (!went && !came)
            continue;
        int r = live_remove_dir(settler->work->store, dir->id, settler->err);
        if (r < 0)
            return r;
    }
    return 0;
}

struct came { struct settler *settler; int64_t dir; };

static int on_newest(void *data, const char *name, const struct object *object) {
    struct came *came = data;
    struct live_entry known;
    (void)object;
    int r = live_find(came->settler->work->store, came->dir, name, &known, came->settler->err);
    return r < 0 ? r : r > 0 ? 0 : put_gone(came->settler, came->dir, name);
}

/* A directory that comes back has nothing but what was put in it now, whatever the newest snapshot has in it. */
static int settle_came(struct settler *settler) {
    struct work *work = settler->work;
    for (size_t i = 0; i < work->plan->dirs_count; i++) {
        const struct plan_dir *dir = work->plan->dirs[i];
        if (dir->in_from || dir->clone || !dir->to_row || dir->to_row->state != PLAN_DONE)
            continue;
        struct came came = { settler, dir->id };
        int r = index_list(work->store, index_newest(INDEX_PROJECT_LINE), dir->id, on_newest, &came, settler->err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The first staging directory is on the project's file system. */
static int read_clock(struct settler *settler) {
    int dir = settler->work->staging.places->root;
    int r = fs_now(dir, &settler->now);
    if (r < 0)
        return err_errno(settler->err, r, "cannot read the file system's clock");
    settler->fine = fs_has_fine_timestamps(dir) == 1;
    return 0;
}

/* What only the index calls something else was not touched, and no watcher tells of it. */
static bool kept_something(const struct plan *plan) {
    for (size_t i = 0; i < plan->count; i++)
        if (plan->rows[i].how == PLAN_KEEP)
            return true;
    return false;
}

static void settler_done(struct settler *settler) {
    map_free(settler->left, NULL);
}

int settle_live(struct work *work, struct snap_err *err) {
    _cleanup_(settler_done) struct settler settler = { .work = work, .left = map_new(), .err = err };
    struct plan *plan = work->plan;
    for (size_t i = 0; i < plan->dirs_count; i++)
        settler.unrecorded |= plan->dirs[i]->clone || plan->dirs[i]->foreign;
    int r = settler.left ? read_clock(&settler) : err_nomem(err);
    if (r == 0 && kept_something(plan))
        r = live_set_clock(work->store, NULL, err);
    if (r == 0)
        r = remove_records(&settler);
    for (size_t i = 0; r == 0 && i < plan->count; i++)
        if ((r = settle_row(&settler, &plan->rows[i])) == 0)
            r = settle_left_names(&settler, &plan->rows[i]);
    if (r == 0)
        r = settle_came(&settler);
    for (size_t i = 0; r == 0 && i < plan->dirs_count; i++)
        r = settle_dir(&settler, plan->dirs[i]);
    for (size_t i = 0; r == 0 && i < work->relinked_count; i++)
        r = settle_other_name(&settler, work->relinked[i].dir, work->relinked[i].name, work->relinked[i].object);
    return r;
}
