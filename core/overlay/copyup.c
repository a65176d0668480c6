/* Copy-up: a lower object becomes one of the current layer, once, when it is first changed.
 *
 * The whole protocol stands here. The copy is made without a name and without any lock; then, with `tree` held for writing, it gets
 * every name under which the object is known and still is; what changed meanwhile is copied again. Directories are copied alone, what
 * is in them stays where it is, so that they are made with `tree` held. A copy that gets no name stays with its node.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "node.h"

#include "at.h"
#include "copy.h"
#include "fs.h"
#include "hook.h"
#include "below.h"
#include "numbers.h"
#include "records.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
    TRIES = 8,                 /* for a lower file that changes while it is copied */
    METACOPY_LEAST = 64 << 10, /* less is copied at once */
};

static int keep_atime(int dirfd, const char *name, const struct stat *stat) {
    struct timespec times[2] = { stat->st_atim, { .tv_nsec = UTIME_OMIT } };
    int r = utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH));
    return r < 0 && errno != EPERM && errno != EACCES ? -errno : 0;
}

/* Directories. */

/* A directory that was followed may be shown nowhere any more, though its descriptor still leads to it. */
static int check_shown(struct overlay *overlay, struct place *place) {
    _found_ struct found_ref at = { .overlay = overlay };
    if (!overlay->below)
        return 0;
    int r = resolve(overlay, place->parent, place->name, &at.found);
    bool shown = r >= 0 && at.found.is && !at.found.upper && S_ISDIR(at.found.stat.st_mode);      /* another one will merge with the copy */
    return shown ? 0 : r < 0 && !is_gone_error(r) ? r : -ESTALE;
}

/* `node` is a directory of lower trees whose parent is in the current layer. */
static int copy_dir(struct overlay *overlay, struct node *node, struct place *place) {
    _made_ struct made made = { .overlay = overlay, .fd = -1 };
    _meta_ struct meta meta = {0};
    _pinned_ struct dir_pinned parent = dir_pinned(place->parent->dir.upper);
    if (parent.fd < 0)
        return parent.fd;
    struct part *part = &node->dir.parts[0];
    struct lower *lower = overlay->lowers[part->lower];
    struct lower_entry entry = {0};
    struct stat before, after;
    int r = check_shown(overlay, place);
    if (r >= 0)
        r = lower->ops->stat_dir(lower, part->dir, &entry);
    if (r >= 0)
        r = lower_meta(overlay, part->lower, part->dir, "", &entry.stat, &meta);
    if (overlay->below && is_gone_error(r))
        r = -ESTALE;
    if (r >= 0)
        r = make_dir(overlay, &made);
    struct timespec birth = {0};
    if (r >= 0)
        r = at_stat(made.fd, "", &after, &birth);
    if (r >= 0 && fstat(parent.fd, &before) < 0)
        r = -errno;
    struct record record;
    if (r >= 0) {
        const struct copied copied = { .upper = after.st_ino, .tag = at_generation(made.fd, "", &birth, overlay->handles_last), .lower = part->lower, .stat = &entry.stat };
        record = numbers_begin(overlay, node, &copied);
        r = numbers_write(&record, made.fd, "", S_IFDIR);
    }
    if (r >= 0)
        r = meta_apply(made.fd, "", &meta, META_STORE, NULL);
    if (r >= 0)
        r = keep_atime(made.fd, "", &entry.stat);
    struct dir *upper = r >= 0 ? dir_child(place->parent->dir.upper, place->name) : NULL;
    if (r >= 0 && !upper)
        r = -ENOMEM;
    if (r >= 0)
        r = made_place(&made, parent.fd, place->name, RENAME_NOREPLACE);
    if (r < 0) {
        (void)dir_unref(upper);
        return r;
    }
    name_counted(overlay, records_put(overlay->records, &record));
    node->dir.upper = upper;
    node->real = after.st_ino;
    place->upper = true;
    node_mark(node, NODE_UPPER | NODE_FRESH);
    atomic_fetch_add(&overlay->copy_ups, 1);
    return upper_keep_times(parent.fd, &before);
}

int copy_up_dir(struct overlay *overlay, struct node *node) {
    if (!overlay->upper)
        return -EROFS;
    while (!node_is(node, NODE_UPPER)) {
        struct node *top = node;
        struct place *place = atomic_load(&top->places);
        while (place && !node_is(place->parent, NODE_UPPER)) {
            top = place->parent;
            place = atomic_load(&top->places);
        }
        if (!place || node_is(top, NODE_GONE))
            return -ENOENT;
        int r = copy_dir(overlay, top, place);
        if (r < 0)
            return r;
    }
    return node_is(node, NODE_GONE) ? -ENOENT : 0;
}

/* Where a directory lies in the lower trees together, as a redirect says it. */
int lower_path(struct node *node, struct buf *ret) {
    _free_ const char **names = NULL;
    size_t count = 0, room = 0;
    for (struct place *place; (place = atomic_load(&node->places)); node = place->parent) {
        const char *redirect = node_is_dir(node) ? node->dir.redirect : NULL;
        if (MAKE_ROOM(names, count, room) < 0)
            return -ENOMEM;
        names[count++] = redirect ? redirect : place->name;
        if (redirect && *redirect == '/')
            break;
    }
    while (count > 0) {
        const char *name = names[--count];
        if (*name != '/')
            buf_char(ret, '/');
        buf_str(ret, name);
    }
    return ret->failed;
}

/* Everything else. */

struct copy {
    struct overlay *overlay;
    struct node *node;
    enum copy_up what;
    struct lower_place *meta, *data;       /* references */
    struct stat stat;                      /* of the lower object, before the copy */
    struct timespec birth;
    bool metacopy;
    bool linked;                           /* it has other names, and gets a link in the index */
    unsigned given;                        /* names */
    struct record record;                  /* known to others once the copy has its names */
    struct made made;
};

static void copy_done(struct copy *copy) {
    made_done(&copy->made);
    lower_place_unref(copy->overlay, copy->meta);
    lower_place_unref(copy->overlay, copy->data);
}
#define _copy_ _cleanup_(copy_done)

static int lower_stat(struct overlay *overlay, struct lower_place *place, struct stat *ret, struct timespec *ret_birth) {
    struct lower *lower = overlay->lowers[place->lower];
    struct lower_entry entry = {0};
    int r = lower->ops->lookup(lower, place->dir, place->name, &entry);
    if (r < 0)
        return r;
    lower->ops->unref(lower, entry.dir);
    free(entry.redirect);
    if (r != LOWER_ENTRY)
        return -ESTALE;
    *ret = entry.stat;
    *ret_birth = entry.birth;
    return 0;
}

static bool same_version(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid
        && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec
        && a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void tell_bytes(void *data, uint64_t bytes) {
    struct overlay *overlay = data;
    atomic_fetch_add(&overlay->bytes_copied, bytes);
}

static int copy_bytes(struct copy *copy, int from, int to) {
    const struct copy_options options = { .progress = tell_bytes, .data = copy->overlay };
    uint64_t size;
    struct digest unused;
    int r = copy_content(from, to, &options, &size, &unused);
    return r < 0 ? r : 0;
}

static int open_data(struct copy *copy) {
    struct lower_place *place = copy->data ? copy->data : copy->meta;
    struct lower *lower = copy->overlay->lowers[place->lower];
    return lower->ops->open(lower, place->dir, place->name);
}

/* Metadata alone, where a reflink is not to be had. 1 = the bytes came along after all. */
static int leave_bytes(struct copy *copy, int from) {
    if (ioctl(copy->made.fd, FICLONE, from) == 0)
        return 1;
    _buf_ struct buf path = {0};
    int r = ftruncate(copy->made.fd, copy->stat.st_size) < 0 ? -errno : 0;
    tree_read(copy->overlay);
    struct place *place = atomic_load(&copy->node->places);
    if (r >= 0 && place)
        r = lower_path(place->parent, &path);
    if (place) {
        buf_char(&path, '/');
        buf_str(&path, place->name);
    }
    tree_unlock(copy->overlay);
    if (r < 0 || path.failed || !path.size)
        return r < 0 ? r : path.failed;
    r = marks_set(copy->made.fd, "", "redirect", path.data);
    if (r >= 0)
        r = marks_set(copy->made.fd, "", "metacopy", "");
    copy->metacopy = r >= 0;
    return r;
}

static int copy_regular(struct copy *copy) {
    int r = make_file(copy->overlay, &copy->made);
    if (r < 0 || copy->what == COPY_UP_EMPTY || copy->stat.st_size == 0)
        return r;
    _close_ int from = open_data(copy);
    if (from < 0)
        return from;
    bool wanted = copy->overlay->flags & OVERLAY_METACOPY && copy->what == COPY_UP_META && copy->stat.st_size >= METACOPY_LEAST
        && copy->stat.st_nlink == 1;
    if (wanted) {
        r = leave_bytes(copy, from);
        if (r != 0 || copy->metacopy)
            return r < 0 ? r : 0;
    }
    return copy_bytes(copy, from, copy->made.fd);
}

static int begin_identity(struct copy *copy, int fd, const char *name) {
    struct stat made;
    struct timespec birth;
    int r = at_stat(fd, name, &made, &birth);
    if (r < 0)
        return r;
    const uint64_t tag = at_generation(fd, name, &birth, copy->overlay->handles_last);
    const struct copied copied = { .upper = made.st_ino, .tag = tag, .lower = copy->meta->lower, .stat = &copy->stat };
    copy->record = numbers_begin(copy->overlay, copy->node, &copied);
    copy->linked = copy->record.indexed;
    return numbers_write(&copy->record, fd, name, copy->stat.st_mode);
}

static int make_copy(struct copy *copy) {
    struct overlay *overlay = copy->overlay;
    _meta_ struct meta meta = {0};
    int r = lower_stat(overlay, copy->meta, &copy->stat, &copy->birth);
    if (r >= 0 && (copy->stat.st_ino != copy->node->real || (copy->stat.st_mode & S_IFMT) != copy->node->type))
        r = -ESTALE;           /* it is another one by now, underneath */
    if (r >= 0)
        r = lower_meta(overlay, copy->meta->lower, copy->meta->dir, copy->meta->name, &copy->stat, &meta);
    if (r >= 0)
        r = S_ISREG(copy->stat.st_mode) ? copy_regular(copy)
            : make_special(overlay, copy->stat.st_mode & (S_IFMT | 0600), copy->stat.st_rdev, meta.target, &copy->made);
    if (r < 0)
        return r;
    bool named = copy->made.fd < 0;
    int fd = named ? overlay->work : copy->made.fd;
    const char *name = named ? copy->made.name : "";
    r = begin_identity(copy, fd, name);
    if (r >= 0)
        r = meta_apply(fd, name, &meta, META_STORE, NULL);
    return r < 0 ? r : keep_atime(fd, name, &copy->stat);
}

/* Is the object still what `place` shows? */
static int still_shown(struct overlay *overlay, struct node *node, struct place *place) {
    _found_ struct found_ref at = { .overlay = overlay };
    int r = resolve(overlay, place->parent, place->name, &at.found);
    return r < 0 ? r : at.found.is && !at.found.upper && at.found.meta && at.found.stat.st_ino == node->real;
}

static int give_name(struct copy *copy, struct place *place, bool only) {
    struct overlay *overlay = copy->overlay;
    int r = copy_up_dir(overlay, place->parent);
    if (r < 0)
        return r;
    _pinned_ struct dir_pinned parent = dir_pinned(place->parent->dir.upper);
    struct stat before;
    if (parent.fd < 0 || fstat(parent.fd, &before) < 0)
        return parent.fd < 0 ? parent.fd : -errno;
    r = only ? made_place(&copy->made, parent.fd, place->name, RENAME_NOREPLACE) : made_link(&copy->made, parent.fd, place->name);
    if (r < 0)
        return r;
    place->upper = true;
    return upper_keep_times(parent.fd, &before);
}

/* Names that show something else by now, underneath, are none of this object's any more. */
static int drop_lost_places(struct overlay *overlay, struct node *node) {
    for (struct place *place = atomic_load(&node->places), *next; place; place = next) {
        next = atomic_load(&place->next);
        int r = still_shown(overlay, node, place);
        if (r < 0)
            return r;
        if (!r)
            place_remove(overlay, node, place);
    }
    return 0;
}

static int give_names(struct copy *copy) {
    struct node *node = copy->node;
    struct place *first = atomic_load(&node->places);
    bool only = first && !atomic_load(&first->next) && !copy->linked;
    int r = 0;
    for (struct place *place = first; r >= 0 && place; place = atomic_load(&place->next)) {
        r = give_name(copy, place, only);
        copy->given += r >= 0;
    }
    return copy->given ? 0 : r;
}

/* From here on every lower name shows the copy. */
static int enter_index(struct copy *copy) {
    char name[24];
    index_name(copy->record.number, &name);
    if (unlinkat(copy->overlay->index, name, 0) < 0 && errno != ENOENT)
        return -errno;
    return made_link(&copy->made, copy->overlay->index, name);
}

/* For an object without a name: what reaches it from now on. */
static int hold(struct copy *copy) {
    _close_ int fd = copy->made.fd >= 0 ? fcntl(copy->made.fd, F_DUPFD_CLOEXEC, 3)
        : openat(copy->overlay->work, copy->made.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    atomic_store(&copy->node->fd, TAKE_FD(fd));
    return 0;
}

static void become_upper(struct copy *copy, uint64_t real) {
    struct node *node = copy->node;
    struct stripe *stripe = node_lock(copy->overlay, node);
    struct lower_place *meta = node->file.meta, *data = node->file.data;
    node->file.meta = NULL;
    node->file.data = copy->metacopy ? lower_place_ref(data ? data : meta) : NULL;
    node->real = real;
    node_mark(node, NODE_UPPER | NODE_FRESH | (copy->metacopy ? NODE_METACOPY : 0));
    atomic_fetch_add(&node->copies, 1);
    node_unlock(stripe);
    lower_place_unref(copy->overlay, meta);
    lower_place_unref(copy->overlay, data);
    atomic_fetch_add(&copy->overlay->copy_ups, 1);
}

/* `tree` is held for writing. -EAGAIN: the lower object is not what was copied any more. */
static int commit(struct copy *copy) {
    struct overlay *overlay = copy->overlay;
    struct node *node = copy->node;
    struct stat now;
    struct timespec birth;
    int r = overlay->lowers[copy->meta->lower]->immutable ? 0 : lower_stat(overlay, copy->meta, &now, &birth);
    if (r == -ESTALE || r == -ENOENT
        || (r == 0 && !overlay->lowers[copy->meta->lower]->immutable && !same_version(&copy->stat, &now)))
        return -EAGAIN;
    if (r >= 0)
        r = drop_lost_places(overlay, node);
    bool gone = node_is(node, NODE_GONE);
    if (r >= 0 && copy->linked && !gone)
        r = enter_index(copy);
    if (r >= 0 && !gone && atomic_load(&node->places))
        r = give_names(copy);
    else if (r >= 0 && (gone || !copy->linked))
        r = hold(copy);
    if (r < 0)
        return r;
    become_upper(copy, copy->record.upper);
    if (!gone)                             /* what has no name has no record */
        name_counted(overlay, numbers_covered(overlay, &copy->record, copy->linked ? copy->given : 0));
    return 0;
}

static int copy_object(struct copy *copy) {
    int r = make_copy(copy);
    if (r >= 0)
        r = hook("copyup.copied", copy->meta->name);
    if (r < 0)
        return r;
    tree_write(copy->overlay);
    r = commit(copy);
    tree_unlock(copy->overlay);
    if (r >= 0)
        (void)hook("copyup.linked", "");       /* done is done */
    return r;
}

/* What a write takes away from a file whose metadata is right already. */
struct privileges {
    struct stat stat;
    char capability[64];
    ssize_t size;
};

static int read_privileges(int fd, struct privileges *ret) {
    ret->size = at_get_xattr(fd, "", "security.capability", ret->capability, sizeof(ret->capability), true);
    return fstat(fd, &ret->stat) < 0 ? -errno : 0;
}

static int restore_privileges(int fd, const struct privileges *privileges) {
    struct stat now;
    int r = fstat(fd, &now) < 0 ? -errno : 0;
    if (r >= 0 && now.st_mode != privileges->stat.st_mode && fchmod(fd, privileges->stat.st_mode & 07777) < 0)
        r = -errno;
    if (r >= 0 && privileges->size > 0)
        r = at_set_xattr(fd, "", "security.capability", privileges->capability, (size_t)privileges->size, 0);
    return r < 0 ? r : upper_keep_times(fd, &privileges->stat);
}

/* All of one version: -EAGAIN if it changed meanwhile. What an attempt before left is no part of it. */
static int fill_in(struct copy *copy, int from, int to) {
    struct privileges privileges;
    struct stat before, after;
    int r = read_privileges(to, &privileges);
    if (r < 0 || fstat(from, &before) < 0)
        return r < 0 ? r : -errno;
    if (fallocate(to, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, MAX(privileges.stat.st_size, (off_t)1)) < 0 && errno != EOPNOTSUPP)
        return -errno;
    r = copy_bytes(copy, from, to);
    if (r >= 0)
        r = hook("copyup.copied", "");
    if (r < 0 || fstat(from, &after) < 0)
        return r < 0 ? r : -errno;
    return same_version(&before, &after) ? restore_privileges(to, &privileges) : -EAGAIN;
}

static int open_upper_data(struct overlay *overlay, struct node *node) {
    struct upper_at at = {0};
    tree_read(overlay);
    int r = upper_reach(overlay, node, &at);
    if (r >= 0)
        r = upper_open(&at, O_RDWR);
    upper_leave(&at);
    tree_unlock(overlay);
    return r;
}

static void become_whole(struct overlay *overlay, struct node *node) {
    tree_write(overlay);
    struct stripe *stripe = node_lock(overlay, node);
    struct lower_place *data = TAKE_PTR(node->file.data);
    node_unmark(node, NODE_METACOPY);
    atomic_fetch_add(&node->copies, 1);
    node_unlock(stripe);
    tree_unlock(overlay);
    lower_place_unref(overlay, data);
}

/* The bytes of something whose metadata is in the current layer already: into the same inode, the mark goes last. */
static int copy_data(struct copy *copy) {
    bool empty = copy->what == COPY_UP_EMPTY;
    _close_ int to = open_upper_data(copy->overlay, copy->node);
    _close_ int from = to < 0 || empty ? -1 : open_data(copy);
    if (to < 0 || (from < 0 && !empty))
        return to < 0 ? to : from;
    int r = !empty ? fill_in(copy, from, to) : ftruncate(to, 0) < 0 ? -errno : 0;
    if (r >= 0)
        r = marks_clear(to, "", "metacopy");
    if (r >= 0)
        r = marks_clear(to, "", "redirect");
    if (r >= 0)
        become_whole(copy->overlay, copy->node);
    return r;
}

static int copy_once(struct overlay *overlay, struct node *node, enum copy_up what) {
    _copy_ struct copy copy = { .overlay = overlay, .node = node, .what = what, .made = { .overlay = overlay, .fd = -1 } };
    copy.meta = node_meta(overlay, node);
    copy.data = node_data(overlay, node);
    int r = hook("copyup.begin", copy.meta ? copy.meta->name : "");
    if (r < 0)
        return r;
    return node_is(node, NODE_UPPER) ? copy_data(&copy) : copy.meta ? copy_object(&copy) : -ESTALE;
}

/* The file lies nowhere below any more, but somebody has it open: the copy is made from there, and gets no name. */
static int copy_lost(struct overlay *overlay, struct node *node, int from) {
    _copy_ struct copy copy = { .overlay = overlay, .node = node, .made = { .overlay = overlay, .fd = -1 } };
    _meta_ struct meta meta = {0};
    struct statx stat;
    int r = fs_statx(from, "", &stat);
    if (r >= 0)
        r = meta_read(from, "", from, &stat, &meta);
    if (r >= 0)
        r = make_file(overlay, &copy.made);
    if (r >= 0)
        r = copy_bytes(&copy, from, copy.made.fd);
    if (r >= 0)
        r = meta_apply(copy.made.fd, "", &meta, META_STORE, NULL);
    struct stat made;
    if (r >= 0)
        r = fstat(copy.made.fd, &made) < 0 ? -errno : 0;
    if (r < 0)
        return r;
    tree_write(overlay);
    r = drop_lost_places(overlay, node);
    if (r >= 0)
        r = atomic_load(&node->places) ? -ESTALE : hold(&copy);
    if (r >= 0) {
        node_mark(node, NODE_GONE);
        become_upper(&copy, made.st_ino);
    }
    tree_unlock(overlay);
    return r;
}

static int copy_stable(struct overlay *overlay, struct node *node, enum copy_up what, int spare) {
    int r = -EAGAIN;
    for (unsigned i = 0; i < TRIES && r == -EAGAIN; i++) {
        r = copy_once(overlay, node, what);
        if (overlay->below && is_gone_error(r) && !node_is(node, NODE_UPPER) && below_find_again(overlay, node) == 0)
            r = -EAGAIN;
    }
    if ((r == -ESTALE || r == -ENOENT) && spare >= 0 && !node_is(node, NODE_UPPER))
        return copy_lost(overlay, node, spare);
    if (overlay->below && is_gone_error(r))
        return below_lost_error(overlay, node);
    if (r != -EAGAIN)
        return r;
    overlay_log(overlay, "a file below does not hold still while it is copied");
    return -EBUSY;
}

static bool is_up(struct node *node, enum copy_up what) {
    return node_is(node, NODE_UPPER) && (what == COPY_UP_META || !node_is(node, NODE_METACOPY));
}

int copy_up(struct overlay *overlay, struct node *node, enum copy_up what) {
    return copy_up_open(overlay, node, what, -1);
}

/* Until copy_release nobody else copies this object. */
void copy_claim(struct overlay *overlay, struct node *node) {
    struct stripe *stripe = node_lock(overlay, node);
    while (node_is(node, NODE_COPYING)) {
        if (pthread_cond_wait(&stripe->cond, &stripe->mutex) != 0)
            abort();
    }
    node_mark(node, NODE_COPYING);
    node_unlock(stripe);
}

void copy_release(struct overlay *overlay, struct node *node) {
    struct stripe *stripe = node_lock(overlay, node);
    node_unmark(node, NODE_COPYING);
    (void)pthread_cond_broadcast(&stripe->cond);
    node_unlock(stripe);
}

int copy_up_open(struct overlay *overlay, struct node *node, enum copy_up what, int spare) {
    if (is_up(node, what))
        return 0;
    if (!overlay->upper)
        return -EROFS;
    copy_claim(overlay, node);
    int r = is_up(node, what) ? 0 : copy_stable(overlay, node, what, spare);      /* who was first did it, or failed */
    copy_release(overlay, node);
    return r;
}
