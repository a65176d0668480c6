/* The directories in which a transition works: opened from the root down, each only if it is the one that is meant, and made
 * accessible for the work. SPDX-License-Identifier: GPL-2.0-or-later */
#include "swap.h"
#include "fs.h"
#include <stdio.h>
#include <sys/stat.h>

static struct dir *node_new(struct work *work, const struct plan_dir *dir, struct dir *above, bool after) {
    return above ? dir_child(above, after ? dir->to_name : dir->from_name) : dir_ref(dirs_root(work->tree));
}

/* The node of a directory, by its place before or after; made from the root down. NULL: no memory. */
static struct dir *node_of(struct work *work, struct plan_dir *dir, bool after) {
    size_t count = 0, room = 0;
    _free_ struct plan_dir **chain = NULL;
    struct plan_dir *at = dir;
    for (; at && !(after ? at->to_at : at->from_at); at = after ? at->to_parent : at->from_parent) {
        if (count == room) {
            room = room ? 2 * room : 8;
            struct plan_dir **more = reallocarray(chain, room, sizeof(*more));
            if (!more)
                return NULL;
            chain = more;
        }
        chain[count++] = at;
    }
    struct dir *above = at ? after ? at->to_at : at->from_at : NULL;
    while (count > 0) {
        at = chain[--count];
        struct dir *node = node_new(work, at, above, after);
        if (!node)
            return NULL;
        *(after ? &at->to_at : &at->from_at) = above = node;
    }
    return above;
}

int swap_identify(struct work *work, struct plan_dir *dir);

/* Those above it first, from the nearest that is known down, so that depth costs no recursion to speak of. */
static int identify_above(struct work *work, struct plan_dir *dir) {
    for (;;) {
        struct plan_dir *top = dir;
        while (top->from_parent && !top->from_parent->identified && top->from_parent->from_parent)
            top = top->from_parent;
        if (top == dir)
            return 0;
        int r = swap_identify(work, top);
        if (r < 0)
            return r;
    }
}

/* Which inode it was, as far as the live index knows; that may know another directory by this identity, and this one not. */
int swap_identify(struct work *work, struct plan_dir *dir) {
    if (dir->identified || !dir->in_from || !dir->from_parent)
        return 0;
    if (work->project->workspace) {           /* no record tells of it */
        dir->identified = true;
        return 0;
    }
    int r = identify_above(work, dir);
    struct live_entry known = {0};
    if (r < 0 || (r = work_live(work, dir->from_parent->id, dir->from_name, &known, NULL)) < 0)
        return r;
    dir->foreign = dir->from_parent->foreign || r == 0 || known.dir != dir->id || known.flags & LIVE_GONE;
    if (!dir->foreign) {
        dir->ino = known.print.ino;
        dir->birth = known.print.size;
    }
    dir->identified = true;
    return 0;
}

/* 0, or -ESTALE: another directory is there. */
static int check_identity(struct work *work, struct plan_dir *dir, int fd) {
    struct statx stat;
    struct fingerprint print;
    int r = swap_identify(work, dir);
    if (r < 0 || !dir->ino)
        return r;
    if ((r = fs_statx(fd, "", &stat)) < 0)
        return r;
    fingerprint_from(&stat, &print);
    return print.ino == dir->ino && print.size == dir->birth ? 0 : -ESTALE;
}

int swap_chmod(int fd, uint32_t mode) {
    if (fchmod(fd, mode & 07777) == 0)
        return 0;
    if (errno != EBADF)
        return -errno;
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return chmod(path, mode & 07777) < 0 ? -errno : 0;
}

/* Remembers what it was like, and gives us these permissions until it is finished. */
static int open_up(struct plan_dir *dir, int fd, mode_t need) {
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return -errno;
    if (!dir->touched) {
        dir->mode = stat.st_mode;
        dir->mtime = stat.st_mtim;
    }
    dir->touched = true;
    if (geteuid() == 0 || (stat.st_mode & need) == need)
        return 0;
    int r = swap_chmod(fd, stat.st_mode | 0700);
    dir->opened_up |= r == 0;
    return r == -EPERM ? 0 : r;           /* another's: what we may do shows itself */
}

int swap_touch(struct plan_dir *dir, int fd) {
    return dir->touched && !dir->shut ? 0 : open_up(dir, fd, 0300);
}

/* Nothing in a directory that may not be searched can be looked at, be it our own. */
static bool is_to_enter(const struct work *work, const struct plan_dir *dir) {
    return work->opens && !dir->entered && geteuid() != 0;
}

static int enter(const struct work *work, struct plan_dir *dir, int fd) {
    struct stat stat;
    if (!is_to_enter(work, dir))
        return 0;
    dir->entered = true;
    if (fstat(fd, &stat) < 0)
        return -errno;
    return stat.st_mode & 0100 ? 0 : open_up(dir, fd, 0100);
}

/* Once it was the right one it stays so: a node that is opened again must be the same inode. */
static int check_one(struct work *work, struct plan_dir *dir, bool after) {
    struct dir *node = after ? dir->to_at : dir->from_at;
    struct dir_pinned at = dir_pinned(node);
    int r = at.fd < 0 ? at.fd : check_identity(work, dir, at.fd);
    if (r >= 0)
        r = enter(work, dir, at.fd);
    if (at.fd >= 0)
        dir_unpin(node);
    if (r < 0)
        dir_forget(node);                 /* the right one may be put here yet */
    else
        *(after ? &dir->to_checked : &dir->from_checked) = true;
    return r;
}

/* From the root down, so that nothing is looked for in a directory that only has the right name. */
static int check_chain(struct work *work, struct plan_dir *dir, bool after) {
    for (;;) {
        struct plan_dir *first = NULL;
        for (struct plan_dir *at = dir; at; at = after ? at->to_parent : at->from_parent)
            first = !(after ? at->to_checked : at->from_checked) || is_to_enter(work, at) ? at : first;
        if (!first)
            return 0;
        int r = check_one(work, first, after);
        if (r < 0)
            return r;
    }
}

struct dir_pinned work_pin(struct work *work, struct plan_dir *dir, bool after) {
    struct dir *node = node_of(work, dir, after);
    int r = node ? check_chain(work, dir, after) : -ENOMEM;
    return r < 0 ? (struct dir_pinned){ .fd = r } : dir_pinned(node);
}

/* It was moved away, or back. */
void swap_forget_place(struct plan_dir *dir, bool after) {
    struct dir *node = dir ? after ? dir->to_at : dir->from_at : NULL;
    if (node)
        dir_forget(node);
    if (dir)
        *(after ? &dir->to_checked : &dir->from_checked) = false;
}

bool work_is_lost(struct plan_dir *dir) {
    for (const struct plan_dir *at = dir; at && !dir->lost; at = at->to_parent)
        dir->lost = at->lost;
    return dir->lost;
}

int work_live(const struct work *work, int64_t dir, const char *name, struct live_entry *ret, struct snap_err *err) {
    return work->project->workspace ? 0 : live_find(work->store, dir, name, ret, err);
}

int work_known(struct work *work, struct plan_row *row, struct snap_err *err) {
    if (row->looked_up)
        return 0;
    struct live_entry known = {0};
    int r = row->dir ? swap_identify(work, row->dir) : 0;
    bool unknown = row->dir && (row->dir->clone || row->dir->foreign);
    if (r >= 0)
        r = unknown ? 0 : work_live(work, row->dir ? row->dir->id : 0, row->name, &known, err);
    if (r < 0)
        return r;
    row->known = known;
    row->known.name = r > 0 ? row->name : NULL;
    row->looked_up = true;
    return 0;
}

