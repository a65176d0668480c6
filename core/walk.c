/* The walk of a scan: every directory of the project, in parallel, child against record.
 * Reads names and metadata only; what differs is handed to capture.c and links.c. Cost: one open, a few getdents and one
 * statx per child; memory for the directories in flight, whatever the depth. SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs.h"
#include "hook.h"
#include "sweep.h"
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#define SLICE 1024      /* children a task looks at; a directory with more is shared between threads */

enum doing { LOOK_AT = 0, VISIT, INHERIT };
struct task { struct scan *scan; struct scan_dir *dir; size_t from, to; enum doing what; };

static void task_drop(void *task) {
    free(task);
}

static int task_add(struct pool *pool, struct task what) {
    struct task *task = malloc(sizeof(*task));
    if (!task)
        return -ENOMEM;
    *task = what;
    int r = pool_add(pool, task);
    if (r < 0)
        free(task);
    return r;
}

struct linux_dirent64 { uint64_t ino; int64_t off; unsigned short reclen; unsigned char type; char name[]; };

/* Appends every name of the directory, NUL after NUL. */
static int read_names(int fd, struct buf *names, size_t *ret_count) {
    static _Thread_local char block[64 * 1024] __attribute__((aligned(8)));
    if (lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    size_t count = 0;
    for (;;) {
        long got = syscall(SYS_getdents64, fd, block, sizeof(block));
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        for (long at = 0; at < got;) {
            struct linux_dirent64 *entry = (struct linux_dirent64 *)(void *)(block + at);
            at += entry->reclen;
            if (!strcmp(entry->name, ".") || !strcmp(entry->name, ".."))
                continue;
            buf_add(names, entry->name, strlen(entry->name) + 1);
            count++;
        }
    }
    if (names->failed)
        return names->failed;
    *ret_count = count;
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

/* The same from the records of a directory that is as it was when all of it was recorded. */
static int recall_children(struct scan_dir *dir) {
    dir->count = dir->known->count;
    dir->found = calloc(dir->count + 1, sizeof(*dir->found));
    if (!dir->found)
        return -ENOMEM;
    for (size_t i = 0; i < dir->count; i++)
        dir->found[i] = (struct found){ .name = dir->known->entries[i].name, .known = &dir->known->entries[i] };
    return 0;
}

static bool has_gone(const struct live_dir *records) {
    for (size_t i = 0; records && i < records->count; i++)
        if (records->entries[i].flags & LIVE_GONE)
            return true;
    return false;
}

static int list_children(struct scan_dir *dir, int fd) {
    int r = read_names(fd, &dir->names, &dir->count);
    if (r < 0)
        return r;
    if (!dir->count)
        return 0;
    dir->found = calloc(dir->count, sizeof(*dir->found));
    if (!dir->found)
        return -ENOMEM;
    const char *name = dir->names.data;
    for (size_t i = 0; i < dir->count; i++, name += strlen(name) + 1)
        dir->found[i].name = name;
    qsort(dir->found, dir->count, sizeof(*dir->found), by_name);
    return 0;
}

/* What was touched of a directory, and is to be looked at. */
static int pick_children(struct scan_dir *dir) {
    size_t count = map_count(dir->touched->children);
    dir->found = calloc(count + 1, sizeof(*dir->found));
    if (!dir->found)
        return -ENOMEM;
    for (struct map_iter i = {0}; map_next(dir->touched->children, &i);) {
        buf_add(&dir->names, i.key, i.key_size);
        buf_add(&dir->names, "", 1);
    }
    if (dir->names.failed)
        return dir->names.failed;
    const char *name = dir->names.data;
    for (dir->count = 0; dir->count < count; dir->count++, name += strlen(name) + 1)
        dir->found[dir->count].name = name;
    qsort(dir->found, dir->count, sizeof(*dir->found), by_name);
    for (size_t i = 0; i < dir->count; i++) {
        const struct live_entry *entry = live_dir_find(dir->known, dir->found[i].name);
        bool gone = entry && entry->flags & LIVE_GONE;
        dir->found[i].known = gone ? NULL : entry;
        dir->differs |= gone;
    }
    return 0;
}

/* Gives each child its record; what has a record and no child is gone. */
static int match_records(struct scan *scan, struct scan_dir *dir) {
    size_t at = 0;
    size_t known = dir->known ? dir->known->count : 0;
    for (size_t i = 0; i <= dir->count; i++) {
        int order = -1;
        while (at < known && (i == dir->count || (order = strcmp(dir->known->entries[at].name, dir->found[i].name)) < 0)) {
            dir->differs = true;
            int r = scan_differ(scan, dir->id, dir->known->entries[at++].name, NULL, NULL);
            if (r < 0)
                return r;
        }
        if (i < dir->count && at < known && order == 0) {
            const struct live_entry *entry = &dir->known->entries[at++];
            dir->found[i].known = entry->flags & LIVE_GONE ? NULL : entry;
            if (entry->flags & LIVE_GONE)
                dir->differs = true;
        }
    }
    return 0;
}

static void leave_out(struct scan_dir *dir, struct found *found) {
    dir->partial = true;
    found->state = FOUND_LEFT_OUT;
    if (found->known)
        dir->differs = true;
}

/* It cannot be looked at now: what is known of it stands. */
static void keep_known(struct scan_dir *dir, struct found *found) {
    const struct live_entry *known = found->known;
    if (!known) {
        leave_out(dir, found);
        return;
    }
    dir->partial = true;
    *found = (struct found){ .name = found->name, .known = known, .print = known->print, .object = known->object,
                             .dir = known->dir, .flags = known->flags };
}

static void ask_for_another_round(struct scan *scan) {
    pthread_mutex_lock(&scan->lock);
    scan->changed_this_round++;
    pthread_mutex_unlock(&scan->lock);
}

/* It moved or went while it was walked: the next round sees where to. In the last round its records stand. */
static bool went_away(int code) {
    return code == -ENOENT || code == -ESTALE || code == -ENOTDIR || code == -ELOOP;
}

/* The same as its record, which can be trusted? What the round before has just read is not read again for being hot. */
static bool unchanged(const struct scan *scan, const struct found *found) {
    unsigned doubts = scan->round == 1 ? LIVE_HOT | LIVE_AHEAD | LIVE_UNREAD : LIVE_AHEAD;
    return found->known && !(found->known->flags & doubts) && fingerprint_equal(&found->known->print, &found->print);
}

/* The project went back to what the record says; only the newest entries say something else. */
static bool went_back(const struct found *found) {
    return found->known && (found->known->flags & (LIVE_AHEAD | LIVE_HOT | LIVE_UNREAD)) == LIVE_AHEAD
        && fingerprint_equal(&found->known->print, &found->print);
}

static bool is_store(const struct scan *scan, const struct scan_dir *dir, const char *name) {
    const char *inside = project_store_inside(scan->project);
    if (!inside)
        return false;
    _buf_ struct buf path = {0};
    dir_path(dir->at, name, &path);
    return !path.failed && !strcmp(path.data, inside);
}

static int is_left_out(struct scan *scan, struct scan_dir *dir, const char *name, const struct statx *stat) {
    if (is_store(scan, dir, name))
        return 1;
    if (S_ISDIR(stat->stx_mode) && (stat->stx_mask & STATX_MNT_ID) && stat->stx_mnt_id != scan->project->mount) {
        _buf_ struct buf path = {0};
        dir_path(dir->at, name, &path);
        if (scan->round == 1 && !path.failed)
            project_notice(scan->project, SNAP_NOTICE_INFO, path.data, "is a mount point and was left out");
        return 1;
    }
    if (!scan->ignore)
        return 0;
    _buf_ struct buf path = {0};
    dir_path(dir->at, name, &path);
    return path.failed ? path.failed : ignore_matches(scan->ignore, path.data, S_ISDIR(stat->stx_mode));
}

/* A record whose fingerprint was lost (inode number 0) is believed by its name. */
static bool same_directory(const struct live_entry *known, const struct fingerprint *print) {
    return known && known->dir && (!known->print.ino || (known->print.ino == print->ino && known->print.size == print->size));
}

/* Enters a directory under an identity unless that is in the project already: a directory that moves while it is walked
 * may be met twice, and is a new one the second time. 1 = entered, 0 = taken. */
static int enter(struct scan *scan, int64_t id, struct scan_dir *parent, const char *name, struct scan_dir **ret) {
    const struct live_dir *records = NULL;
    int r = scan->touched ? scan_records(scan, id, &records) : 0;
    struct scan_dir *dir = r < 0 ? NULL : calloc(1, sizeof(*dir));
    if (!dir)
        return r < 0 ? r : -ENOMEM;
    dir->id = id;
    dir->round = scan->round;
    dir->parent = parent ? parent->id : 0;
    dir->at = parent ? dir_child(parent->at, name) : dir_ref(dirs_root(scan->tree));
    pthread_mutex_lock(&scan->lock);
    const struct scan_dir *there = map_get(scan->dirs, &id, sizeof(id));
    void *before = NULL;
    r = !dir->at ? -ENOMEM : there && there->round == scan->round ? 0 : map_put(scan->dirs, &id, sizeof(id), dir, &before);
    bool entered = r >= 0 && map_get(scan->dirs, &id, sizeof(id)) == dir;
    if (entered) {
        dir->known = map_get(scan->records, &id, sizeof(id));
        if (!dir->known && id < scan->first_object)
            dir->known = scan->touched ? records : live_dir(scan->live, id);
    }
    pthread_mutex_unlock(&scan->lock);
    if (!entered) {
        scan_dir_free(dir);
        return MIN(r, 0);
    }
    if (before)
        scan_dir_free(before);
    *ret = dir;
    return 1;
}

/* The other way: what was found there could not be recorded, so nothing in it may count as there. */
static void leave(struct scan *scan, struct scan_dir *dir) {
    pthread_mutex_lock(&scan->lock);
    (void)map_remove(scan->dirs, &dir->id, sizeof(dir->id));
    pthread_mutex_unlock(&scan->lock);
    scan_dir_free(dir);
}

/* Whether a row says that there is nothing, whatever is recorded: a directory that could not be visited keeps its records, also of
 * one that was met elsewhere. */
static bool is_said_absent(struct scan *scan, int64_t dir, const char *name) {
    pthread_mutex_lock(&scan->lock);
    const struct delta_row *row = scan_row(scan, dir, name);
    bool said = row && !row->entry.after;
    pthread_mutex_unlock(&scan->lock);
    return said;
}

/* Said once: another round must not take it for another change. */
static int differ_by_absence(struct scan *scan, int64_t dir, const char *name) {
    return is_said_absent(scan, dir, name) ? 0 : scan_differ(scan, dir, name, NULL, NULL);
}

static int differ_by_return(struct scan *scan, int64_t dir, const char *name, const struct live_entry *known) {
    struct object *object = NULL;
    if (!is_said_absent(scan, dir, name))
        return 0;
    int r = scan_known_object(scan, known->object, &object);
    return r < 0 ? r : scan_differ(scan, dir, name, object, NULL);
}

/* What is known of a directory that cannot be visited: it and all below it count as there, but for what was met elsewhere. */
static int inherit(struct pool *pool, struct scan *scan, struct scan_dir *parent, const char *name, const struct live_entry *known) {
    struct scan_dir *dir = NULL;
    if (!known || !known->dir || known->flags & LIVE_GONE)
        return 0;
    int r = enter(scan, known->dir, parent, name, &dir);
    if (r == 0)
        return differ_by_absence(scan, parent->id, name);
    if (r > 0)
        r = differ_by_return(scan, parent->id, name, known);
    return r < 0 ? r : task_add(pool, (struct task){ .scan = scan, .dir = dir, .what = INHERIT });
}

static int inherit_inside(struct pool *pool, struct scan *scan, struct scan_dir *dir) {
    for (size_t i = 0; dir->known && i < dir->known->count; i++) {
        int r = inherit(pool, scan, dir, dir->known->entries[i].name, &dir->known->entries[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Which directory is this: the one of that name before, one that was moved here, or a new one. */
static int identify(struct scan *scan, struct scan_dir *parent, struct found *found, struct scan_dir **ret,
                    const struct live_entry **ret_base) {
    const struct live_entry *base = same_directory(found->known, &found->print) ? found->known : NULL;
    if (!base) {
        const struct moved *moved = links_moved_dir(scan, &found->print);
        base = moved ? moved->entry : NULL;
    }
    if (base) {
        int r = enter(scan, base->dir, parent, found->name, ret);
        if (r != 0) {
            *ret_base = base;
            return r;
        }
    }
    *ret_base = NULL;
    return enter(scan, scan->next_object++, parent, found->name, ret);
}

/* What the directory itself is: its old object, or a new one with the same identity. */
static int describe_directory(struct scan *scan, struct scan_dir *parent, int dirfd, struct found *found,
                              const struct statx *stat, const struct live_entry *base, int64_t id) {
    found->dir = id;
    found->flags = capture_is_racy(scan, &found->print) ? LIVE_HOT : 0;
    if (stat->stx_dev_major != (uint32_t)(scan->project->device >> 32) || stat->stx_dev_minor != (uint32_t)scan->project->device)
        found->flags |= LIVE_FOREIGN;
    struct object *object = calloc(1, sizeof(*object));
    if (!object)
        return -ENOMEM;
    int r = meta_read(dirfd, found->name, -1, stat, &object->meta);
    object->dir = id;
    object->id = id >= scan->first_object && !base ? id : 0;
    if (r < 0) {
        object_free(object);
        return r;
    }
    struct object *old = NULL;
    if (base && (r = scan_known_object(scan, base->object, &old)) < 0) {
        object_free(object);
        return r;
    }
    if (old && old->dir == id && meta_equal(&old->meta, &object->meta) && !old->flags) {
        object_free(object);
        object = old;
    } else {
        if (!object->id)
            object->id = scan->next_object++;
        if ((r = scan_own(scan, object)) < 0)
            return r;
    }
    found->object = object->id;
    found->state = FOUND_RECORD;
    parent->differs = true;
    bool told = found_as_recorded(found) && !is_said_absent(scan, parent->id, found->name);
    return told ? 0 : scan_differ(scan, parent->id, found->name, object, NULL);
}

/* It went right after it was met, and was entered. `as_before`: under the name that it has in the newest entries. */
static int missed(struct pool *pool, struct scan *scan, struct scan_dir *parent, struct found *found, struct scan_dir *dir, bool as_before) {
    ask_for_another_round(scan);
    if (as_before) {
        keep_known(parent, found);
        return inherit_inside(pool, scan, dir);
    }
    leave(scan, dir);
    leave_out(parent, found);
    return scan_differ(scan, parent->id, found->name, NULL, NULL);
}

static const struct touched nothing;

/* Everything in one that came from elsewhere, or whose records may lack something. */
static const struct touched *what_to_look_at(const struct scan_dir *parent, const struct found *found, const struct live_entry *base) {
    const struct touched *touched = touched_child(parent->touched, found->name);
    if (!parent->touched || !base || base != found->known || base->flags & (LIVE_AHEAD | LIVE_UNREAD) || (touched && touched->inside))
        return NULL;
    return touched ? touched : &nothing;
}

static int walk_directory(struct scan *scan, struct scan_dir *parent, int dirfd, struct found *found,
                          const struct statx *stat, struct pool *pool) {
    struct scan_dir *dir = NULL;
    const struct live_entry *base = NULL;
    int r = identify(scan, parent, found, &dir, &base);
    if (r < 0)
        return r;
    if (base == found->known && unchanged(scan, found)) {
        found->object = base->object;
        found->dir = base->dir;
        found->flags = base->flags;
        dir->listed = base->flags & LIVE_LISTED && scan->trusts_lists && dir->known && !has_gone(dir->known);
        if ((r = differ_by_return(scan, parent->id, found->name, base)) < 0)
            return r;
    } else {
        r = hook("scan.directory", found->name);
        if (r == 0)
            r = describe_directory(scan, parent, dirfd, found, stat, base, dir->id);
        if (went_away(r))
            return missed(pool, scan, parent, found, dir, base && base == found->known);
        if (r < 0)
            return r;
        dir->self = found;
    }
    dir->touched = what_to_look_at(parent, found, base);
    return task_add(pool, (struct task){ .scan = scan, .dir = dir, .what = VISIT });
}

static int differ_as_known(struct scan *scan, struct scan_dir *dir, struct found *found) {
    struct object *object = NULL;
    int r = scan_known_object(scan, found->known->object, &object);
    if (r < 0)
        return r;
    found->object = object->id;
    found->flags = found->known->flags & ~(unsigned)LIVE_AHEAD;
    found->state = FOUND_RECORD;
    dir->differs = true;
    return scan_differ(scan, dir->id, found->name, object, NULL);
}

/* Another name of the inode may be one that nobody touched: it changed as well, and no watcher tells. */
static void mind_other_names(struct scan *scan, const struct found *found, const struct statx *stat) {
    bool known = found->known && found->known->flags & LIVE_LINKED && found->known->print.ino == found->print.ino;
    if (scan->touched && stat->stx_nlink > 1 && !known)
        scan->needs_all = true;
}

/* One child: 0, or a negative errno that ends the scan. */
static int walk_child(struct scan *scan, struct scan_dir *dir, int dirfd, struct found *found, struct pool *pool) {
    struct statx stat;
    int r = fs_statx(dirfd, found->name, &stat);
    if (r == -ENOENT) {
        leave_out(dir, found);
        return found->known || (dir->touched && live_dir_find(dir->known, found->name))
            ? scan_differ(scan, dir->id, found->name, NULL, NULL) : 0;
    }
    if (r < 0) {
        scan_fail(scan, dir, found->name, r, "look at");
        keep_known(dir, found);
        return inherit(pool, scan, dir, found->name, found->known);
    }
    r = is_left_out(scan, dir, found->name, &stat);
    if (r != 0) {
        leave_out(dir, found);
        return r > 0 && found->known ? scan_differ(scan, dir->id, found->name, NULL, NULL) : MIN(r, 0);
    }
    fingerprint_from(&stat, &found->print);
    if (S_ISDIR(stat.stx_mode))
        return walk_directory(scan, dir, dirfd, found, &stat, pool);
    if (unchanged(scan, found)) {
        found->object = found->known->object;
        found->flags = found->known->flags;
        return links_join(scan, dir, found, &stat);
    }
    if (went_back(found))
        return differ_as_known(scan, dir, found);
    mind_other_names(scan, found, &stat);
    if (stat.stx_nlink > 1 || (found->known && found->known->flags & LIVE_LINKED))
        return links_defer(scan, dir, found, &stat);
    return S_ISREG(stat.stx_mode) ? capture_regular(scan, dir, dirfd, found) : capture_other(scan, dir, dirfd, found, &stat);
}

static int walk_entry(struct scan *scan, struct scan_dir *dir, int dirfd, struct found *found, struct pool *pool) {
    for (unsigned again = 0; again < 8; again++) {
        int r = walk_child(scan, dir, dirfd, found, pool);
        if (r <= 0)
            return r;
    }
    scan_fail(scan, dir, found->name, -EAGAIN, "capture, because it changes its type all the time,");
    found->state = FOUND_LEFT_OUT;
    return 0;
}

/* Nothing that the round still needs: an unchanged directory keeps no list of its children. Its record, if that is being
 * written, may say that the records of its inside are complete: they were listed after its times were read. Not where a part was looked
 * at: its times may be those of a change in it that no watcher has told yet. */
static void visited(struct scan *scan, struct scan_dir *dir) {
    if (dir->self && !dir->touched && !dir->partial && scan->trusts_lists && !(dir->self->flags & LIVE_HOT))
        dir->self->flags |= LIVE_LISTED;
    if (!dir->differs && !dir->deferred) {
        scan_doubt(scan, dir);
        scan_dir_forget(dir);
    }
}

static int look_at_slice(struct pool *pool, struct task *task) {
    struct scan *scan = task->scan;
    struct scan_dir *dir = task->dir;
    _pinned_ struct dir_pinned at = dir_pinned(dir->at);
    if (at.fd < 0) {
        if (!went_away(at.fd))
            return at.fd;
        ask_for_another_round(scan);
        for (size_t i = task->from; i < task->to; i++) {
            keep_known(dir, &dir->found[i]);
            int r = inherit(pool, scan, dir, dir->found[i].name, dir->found[i].known);
            if (r < 0)
                return r;
        }
    } else {
        for (size_t i = task->from; i < task->to; i++) {
            if (project_cancelled(scan->project))
                return -ECANCELED;
            int r = walk_entry(scan, dir, at.fd, &dir->found[i], pool);
            if (r < 0)
                return r;
        }
    }
    scan->entries += task->to - task->from;
    project_progress(scan->project, &(struct snap_progress){ .doing = scan->stage ? "capturing" : "comparing",
                     .entries = scan->entries, .bytes = scan->bytes });
    if (--dir->slices == 0)
        visited(scan, dir);
    return 0;
}

static int slices(struct pool *pool, struct scan *scan, struct scan_dir *dir) {
    dir->slices = dir->count ? (unsigned)((dir->count + SLICE - 1) / SLICE) : 1;
    if (dir->count <= SLICE)
        return look_at_slice(pool, &(struct task){ .scan = scan, .dir = dir, .to = dir->count });
    for (size_t from = 0; from < dir->count; from += SLICE) {
        int r = task_add(pool, (struct task){ .scan = scan, .dir = dir, .from = from, .to = MIN(from + SLICE, dir->count) });
        if (r < 0)
            return r;
    }
    return 0;
}

/* A directory that cannot be listed keeps what is known of its inside; it is noted, and told. */
static int unreadable(struct pool *pool, struct scan *scan, struct scan_dir *dir, int code) {
    scan_fail(scan, dir, NULL, code, "list");
    pthread_mutex_lock(&scan->lock);
    struct unread_dir *more = reallocarray(scan->unread, scan->unread_count + 1, sizeof(*more));
    char *name = strdup(dir_name(dir->at));
    if (more)
        scan->unread = more;
    if (more && name)
        more[scan->unread_count++] = (struct unread_dir){ .parent = dir->parent, .name = name };
    else
        free(name);
    pthread_mutex_unlock(&scan->lock);
    return more && name ? inherit_inside(pool, scan, dir) : -ENOMEM;
}

static int went_meanwhile(struct pool *pool, struct scan *scan, struct scan_dir *dir) {
    ask_for_another_round(scan);
    return inherit_inside(pool, scan, dir);
}

static int visit(struct pool *pool, struct task *task) {
    struct scan *scan = task->scan;
    struct scan_dir *dir = task->dir;
    int r = hook("scan.visit", dir_name(dir->at));
    if (r < 0)
        return r;
    if (dir->touched && !dir->touched->children) {
        visited(scan, dir);
        return 0;
    }
    _pinned_ struct dir_pinned at = dir_pinned(dir->at);
    if (at.fd >= 0)
        r = dir->touched ? pick_children(dir) : dir->listed ? recall_children(dir) : list_children(dir, at.fd);
    else
        r = at.fd;
    if (went_away(r))
        return went_meanwhile(pool, scan, dir);
    if (r == -EACCES || r == -EPERM || r == -EBADF || r == -EIO)
        return unreadable(pool, scan, dir, r == -EBADF ? -EACCES : r);
    if (r < 0)
        return r;
    r = dir->listed || dir->touched ? 0 : match_records(scan, dir);
    if (r < 0)
        return r;
    return slices(pool, scan, dir);
}

static int run_task(struct pool *pool, void *data) {
    _free_ struct task *task = data;
    if (project_cancelled(task->scan->project))
        return -ECANCELED;
    switch (task->what) {
    case VISIT: return visit(pool, task);
    case INHERIT: return inherit_inside(pool, task->scan, task->dir);
    case LOOK_AT: break;
    }
    return look_at_slice(pool, task);
}

/* The root hangs under the name "" in no directory; its identity never changes. */
static int describe_root(struct scan *scan, struct scan_dir *above, struct scan_dir *root) {
    struct statx stat;
    int r = fs_statx(scan->project->root, "", &stat);
    if (r < 0)
        return r;
    if (!above->known)
        above->known = map_get(scan->records, &above->id, sizeof(above->id));
    if (!above->known)
        above->known = live_dir(scan->live, 0);
    buf_add(&above->names, "", 1);
    above->found = calloc(1, sizeof(*above->found));
    if (above->names.failed || !above->found)
        return -ENOMEM;
    above->count = 1;
    struct found *found = above->found;
    *found = (struct found){ .name = above->names.data, .known = live_dir_find(above->known, "") };
    fingerprint_from(&stat, &found->print);
    if (unchanged(scan, found)) {
        found->object = found->known->object;
        found->dir = root->id;
        found->flags = found->known->flags;
        root->listed = found->flags & LIVE_LISTED && scan->trusts_lists && root->known && !has_gone(root->known);
        return 0;
    }
    root->self = found;
    return describe_directory(scan, above, scan->project->root, found, &stat, found->known, root->id);
}

int walk_project(struct scan *scan) {
    struct scan_dir *above = NULL, *root = NULL;
    int r = enter(scan, 0, NULL, NULL, &above);
    if (r < 0)
        return r;
    if ((r = enter(scan, INDEX_ROOT, NULL, NULL, &root)) < 0)
        return r;
    root->touched = scan->touched && !scan->touched->inside ? scan->touched : NULL;
    if ((r = describe_root(scan, above, root)) < 0)
        return r;
    struct task *first = malloc(sizeof(*first));
    if (!first)
        return -ENOMEM;
    *first = (struct task){ .scan = scan, .dir = root, .what = VISIT };
    return pool_run(pool_threads_default(), run_task, task_drop, first);
}
