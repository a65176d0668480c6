/* What one entry is now: an object that the index has, or a new one whose bytes go into the layer being built.
 * Decides nothing about names; hard links are links.c. A file is read once; again, three times at most, if it changes
 * while it is being read. SPDX-License-Identifier: GPL-2.0-or-later */
#include "flusher.h"
#include "fs.h"
#include "hook.h"
#include "sweep.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define READINGS 3

bool capture_is_racy(const struct scan *scan, const struct fingerprint *print) {
    if (scan->fine)
        return false;
    int64_t sec = scan->started.tv_sec;
    uint32_t nsec = (uint32_t)scan->started.tv_nsec;
    return print->mtime_sec > sec || (print->mtime_sec == sec && print->mtime_nsec >= nsec)
        || print->ctime_sec > sec || (print->ctime_sec == sec && print->ctime_nsec >= nsec);
}

struct dir *capture_stage_dir(struct scan *scan, struct scan_dir *dir) {
    pthread_mutex_lock(&scan->lock);
    if (!dir->stage)
        dir->stage = stage_dir(scan->stage, dir->id);
    struct dir *stage = dir->stage;
    pthread_mutex_unlock(&scan->lock);
    return stage;
}

static int open_for_reading(int dirfd, const char *name) {
    int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int fd = openat(dirfd, name, flags | O_NOATIME);
    if (fd < 0 && errno == EPERM)
        fd = openat(dirfd, name, flags);
    return fd < 0 ? -errno : fd;
}

static void count_bytes(void *data, uint64_t bytes) {
    struct scan *scan = data;
    scan->bytes += bytes;
    flusher_wrote(stage_flusher(scan->stage), bytes);
}

static struct copy_options copy_options(struct scan *scan, uint64_t expected) {
    return (struct copy_options){ .expected = expected, .no_reflink = scan->no_reflink, .want_digest = true,
                                  .cancel = scan->project->env.cancel, .progress = count_bytes, .data = scan };
}

/* An empty file of the layer; one that an earlier round left under this name goes first. */
static int create_staged(struct scan *scan, struct dir *stage, const char *name, mode_t mode) {
    int fd = stage_create(scan->stage, stage, name, mode);
    if (fd != -EEXIST)
        return fd;
    int r = stage_remove(scan->stage, stage, name);
    return r < 0 ? r : stage_create(scan->stage, stage, name, mode);
}

/* Who only looks has to read what may be the same in spite of its fingerprint, and nothing else. */
static bool need_not_read(const struct scan *scan, const struct object *old, const struct object *object) {
    return !scan->stage && (!old || old->flags & OBJECT_UNREAD || old->meta.size != object->meta.size);
}

/* One reading: into a new file of the layer (*to) if there is one and the content may be new, else for the digest alone. */
static int read_content(struct scan *scan, struct scan_dir *dir, int fd, const char *name, bool copy, struct object *object,
                        struct captured *captured, int *to) {
    struct copy_options options = copy_options(scan, captured->print.size);
    if (!copy || !scan->stage)
        return copy_digest(fd, &options, &object->meta.size, &object->digest);
    struct dir *stage = capture_stage_dir(scan, dir);
    if (!stage)
        return -ENOMEM;
    *to = fd_close(*to);
    *to = create_staged(scan, stage, name, object->meta.mode);
    if (*to < 0)
        return *to;
    captured->staged = true;
    options.digest_source = !capture_is_racy(scan, &captured->print);
    int r = copy_content(fd, *to, &options, &object->meta.size, &object->digest);
    if (r == COPY_COPIED && object->meta.size > 0)
        scan->no_reflink = true;
    if (r > 0)
        captured->how = (enum copy_how)r;
    return r;
}

/* Would the fingerprint let us expect new content? If not, it is compared before it is copied. */
static bool expects_change(const struct object *old, const struct fingerprint *print) {
    return !old || old->flags & OBJECT_UNREAD || old->meta.size != print->size
        || old->meta.mtime.tv_sec != print->mtime_sec || old->meta.mtime.tv_nsec != (long)print->mtime_nsec;
}

static bool same_content(const struct object *old, const struct object *now) {
    return old && !((old->flags | now->flags) & (OBJECT_UNREAD | OBJECT_UNDIGESTED)) && old->meta.size == now->meta.size
        && digest_equal(&old->digest, &now->digest);
}

static bool same_object(const struct object *old, const struct object *now) {
    return same_content(old, now) && meta_equal(&old->meta, &now->meta);
}

/* The first of the bases that is a regular file of this size, else NULL. */
static int choose_base(struct scan *scan, const int64_t *bases, uint64_t size, struct object **ret) {
    *ret = NULL;
    for (; *bases; bases++) {
        struct object *object = NULL;
        int r = scan_known_object(scan, *bases, &object);
        if (r < 0)
            return r;
        if (S_ISREG(object->meta.mode) && (!*ret || (object->meta.size == size && (*ret)->meta.size != size)))
            *ret = object;
    }
    return 0;
}

/* Reads until what was read is one version: the same stat before and after. *ret_torn: it never was. */
static int read_settled(struct scan *scan, struct scan_dir *dir, int fd, const char *name, struct statx *stat, struct object *old,
                        struct object *object, struct captured *captured, int *to, bool *ret_torn) {
    for (unsigned reading = 1;; reading++) {
        fingerprint_from(stat, &captured->print);
        meta_done(&object->meta);
        object->meta = (struct meta){0};
        int r = meta_read(fd, "", fd, stat, &object->meta);
        if (r < 0)
            return r;
        bool copy = expects_change(old, &captured->print);
        if (need_not_read(scan, old, object))
            object->flags |= OBJECT_UNDIGESTED;
        else if ((r = read_content(scan, dir, fd, name, copy, object, captured, to)) < 0)
            return r;
        if (!copy && scan->stage && !same_object(old, object)
            && (r = read_content(scan, dir, fd, name, true, object, captured, to)) < 0)
            return r;
        if ((r = hook("capture.read", name)) < 0 || (r = fs_statx(fd, "", stat)) < 0)
            return r;
        struct fingerprint print;
        fingerprint_from(stat, &print);
        *ret_torn = !fingerprint_equal(&print, &captured->print) || object->meta.size != print.size;
        if (!*ret_torn || reading == READINGS)
            return 0;
    }
}

static int unstage(struct scan *scan, struct scan_dir *dir, const char *name, struct captured *captured) {
    if (!captured->staged)
        return 0;
    captured->staged = false;
    return stage_remove(scan->stage, capture_stage_dir(scan, dir), name);
}

/* The digest of a reflink was that of the source. Where somebody may write without a trace, only the stored bytes count. */
static int digest_stored(struct scan *scan, int to, struct object *object, const struct captured *captured) {
    struct copy_options options = copy_options(scan, 0);
    return captured->how == COPY_REFLINKED && to >= 0 ? copy_digest(to, &options, &object->meta.size, &object->digest) : 0;
}

static int settle(struct scan *scan, struct scan_dir *dir, int fd, const char *name, struct statx *stat, const int64_t *bases,
                  struct object *object, struct captured *ret) {
    struct captured captured = {0};
    struct object *old = NULL;
    _close_ int to = -1;
    bool torn = false;
    int r = choose_base(scan, bases, stat->stx_size, &old);
    if (r < 0 || (r = read_settled(scan, dir, fd, name, stat, old, object, &captured, &to, &torn)) < 0)
        return r;
    if (torn)
        scan_fail(scan, dir, name, -EAGAIN, "read a single version of, because it keeps changing,");
    captured.flags = torn || copy_is_hot(fd) || capture_is_racy(scan, &captured.print) ? LIVE_HOT : 0;
    if (captured.flags && (r = digest_stored(scan, to, object, &captured)) < 0)
        return r;
    captured.is_new = !same_object(old, object);
    if (!captured.is_new)
        captured.object = old;
    if (!captured.is_new && old->id < scan->first_object) {
        if ((r = unstage(scan, dir, name, &captured)) < 0)
            return r;
    } else {
        if (captured.staged && (r = stage_apply_open(scan->stage, to, &object->meta)) < 0)
            return r;
    }
    *ret = captured;
    return 0;
}

/* The base that was as unreadable before, with the same metadata. */
static int unread_before(struct scan *scan, const int64_t *bases, const struct meta *meta, struct object **ret) {
    for (; *bases; bases++) {
        struct object *object = NULL;
        int r = scan_known_object(scan, *bases, &object);
        if (r < 0)
            return r;
        if (object->flags & OBJECT_UNREAD && meta_equal(&object->meta, meta)) {
            *ret = object;
            return 1;
        }
    }
    return 0;
}

/* Known by its metadata only: nobody may take the missing bytes for an empty file. */
static int describe_unread(struct scan *scan, struct scan_dir *dir, int dirfd, const char *name, int code,
                           const int64_t *bases, struct captured *ret) {
    struct statx stat;
    int r = fs_statx(dirfd, name, &stat);
    if (r < 0)
        return r;
    if (!S_ISREG(stat.stx_mode))
        return 1;
    scan_fail(scan, dir, name, code, "read");
    _object_ struct object *object = calloc(1, sizeof(*object));
    if (!object)
        return -ENOMEM;
    if ((r = meta_read(dirfd, name, -1, &stat, &object->meta)) < 0)
        return r;
    struct captured captured = { .flags = LIVE_UNREAD };
    fingerprint_from(&stat, &captured.print);
    if ((r = unread_before(scan, bases, &object->meta, &captured.object)) < 0)
        return r;
    if (r == 0) {
        object->flags = OBJECT_UNREAD;
        object->id = scan->next_object++;
        captured.object = object;
        captured.is_new = true;
        if ((r = scan_own(scan, TAKE_PTR(object))) < 0)
            return r;
    }
    *ret = captured;
    return 0;
}

static bool not_readable(int code) {
    return code == -EACCES || code == -EPERM || code == -EIO || code == -ETXTBSY;
}

int capture_read(struct scan *scan, struct scan_dir *dir, int dirfd, const char *name, const int64_t *bases, struct captured *ret) {
    _close_ int fd = open_for_reading(dirfd, name);
    if (fd == -ELOOP || fd == -ENXIO || fd == -ENOENT)
        return 1;
    if (not_readable(fd))
        return describe_unread(scan, dir, dirfd, name, fd, bases, ret);
    if (fd < 0)
        return fd;
    struct statx stat;
    int r = fs_statx(fd, "", &stat);
    if (r < 0)
        return r;
    if (!S_ISREG(stat.stx_mode))
        return 1;
    _object_ struct object *object = calloc(1, sizeof(*object));
    if (!object)
        return -ENOMEM;
    r = settle(scan, dir, fd, name, &stat, bases, object, ret);
    if (r == -EIO && !ret->staged)
        return describe_unread(scan, dir, dirfd, name, r, bases, ret);
    if (r < 0 || !ret->is_new)
        return r;
    ret->object = object;
    object->id = scan->next_object++;
    return scan_own(scan, TAKE_PTR(object));
}

int capture_regular(struct scan *scan, struct scan_dir *dir, int dirfd, struct found *found) {
    int64_t bases[3] = {0};
    unsigned count = 0;
    const struct moved *moved = !found->known || found->known->print.ino != found->print.ino
        ? links_moved_file(scan, &found->print) : NULL;
    if (moved && moved->entry->object < scan->first_object)     /* else its bytes went with the name that this scan captured them under */
        bases[count++] = moved->entry->object;
    if (found->known && !found->known->dir)
        bases[count++] = found->known->object;
    struct captured captured = {0};
    int r = capture_read(scan, dir, dirfd, found->name, bases, &captured);
    if (r != 0)
        return r;
    found->print = captured.print;
    found->object = captured.object->id;
    found->flags = captured.flags;
    found->state = FOUND_RECORD;
    dir->differs = true;
    if (found_as_recorded(found))
        return 0;
    struct delta_row how = { .staged = captured.staged, .how = captured.how };
    if (moved && found->object == moved->entry->object) {
        how.from_dir = moved->dir;
        how.from_name = (char *)(uintptr_t)moved->entry->name;
    }
    return scan_differ(scan, dir->id, found->name, captured.object, &how);
}

int capture_other(struct scan *scan, struct scan_dir *dir, int dirfd, struct found *found, const struct statx *stat) {
    _object_ struct object *object = calloc(1, sizeof(*object));
    if (!object)
        return -ENOMEM;
    int r = meta_read(dirfd, found->name, -1, stat, &object->meta);
    if (r == -ENOENT || r == -EINVAL || r == -ELOOP)
        return 1;
    if (r < 0) {
        scan_fail(scan, dir, found->name, r, "read the metadata of");
        found->state = FOUND_LEFT_OUT;
        return 0;
    }
    struct object *old = NULL, *is = NULL;
    if (found->known && !found->known->dir && (r = scan_known_object(scan, found->known->object, &old)) < 0)
        return r;
    if (old && meta_equal(&old->meta, &object->meta)) {
        is = old;
    } else {
        is = object;
        is->id = scan->next_object++;
        if ((r = scan_own(scan, TAKE_PTR(object))) < 0)
            return r;
    }
    found->object = is->id;
    found->flags = capture_is_racy(scan, &found->print) ? LIVE_HOT : 0;
    found->state = FOUND_RECORD;
    dir->differs = true;
    return found_as_recorded(found) ? 0 : scan_differ(scan, dir->id, found->name, is, NULL);
}
