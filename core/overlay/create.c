/* New names: files, directories, symlinks, devices, links, files without a name.
 *
 * What has the right owner from the start and a free place is made there; everything else is made elsewhere and gets its place when it
 * is whole. Decides no permission. SPDX-License-Identifier: GPL-2.0-or-later */
#include "node.h"

#include "at.h"
#include "below.h"
#include "file.h"
#include "find.h"
#include "fs.h"
#include "hook.h"
#include "numbers.h"
#include "records.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

struct creation {
    struct overlay *overlay;
    const struct overlay_caller *caller;
    mode_t mode;
    dev_t device;
    const char *target;
    int flags;                 /* of the open descriptor that is wanted */
    bool want_fd;
    /* found out */
    struct node *parent;
    const char *name;
    int parentfd;
    struct stat parent_stat;
    bool has_acl;              /* a default ACL, which takes the umask's place */
    bool whiteout;             /* the place is taken by a whiteout */
    int fd;                    /* wanted by want_fd */
};

static bool needs_owner(const struct creation *new) {
    const struct overlay *overlay = new->overlay;
    bool gid = !(new->parent_stat.st_mode & S_ISGID) && new->caller->gid != overlay->gid;
    return new->caller->uid != overlay->uid || gid;
}

/* The permissions that the caller gets; an ACL works them out by itself. */
static mode_t mode_of(const struct creation *new) {
    return new->has_acl ? new->mode : new->mode & (S_IFMT | ~new->caller->umask);
}

static int find_acl(struct creation *new) {
    if (S_ISLNK(new->mode) || !(new->mode & new->caller->umask & 0777))
        return 0;              /* the umask makes no difference */
    ssize_t size = at_get_xattr(new->parentfd, "", "system.posix_acl_default", NULL, 0, true);
    new->has_acl = size > 0;
    return size < 0 && size != -ENODATA && size != -EOPNOTSUPP ? (int)size : 0;
}

/* Makes it as `name` in `dirfd`, as we are and with our umask. */
static int make_plain(struct creation *new, int dirfd, const char *name) {
    mode_t mode = mode_of(new);
    if (S_ISREG(mode) && new->want_fd) {
        int flags = (new->flags & ~(O_TRUNC | O_ACCMODE)) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
        new->fd = openat(dirfd, name, flags | (new->flags & O_ACCMODE), mode & 07777);
        return new->fd < 0 ? -errno : 0;
    }
    int r = S_ISDIR(mode) ? mkdirat(dirfd, name, mode & 07777) : S_ISLNK(mode) ? symlinkat(new->target, dirfd, name)
        : mknodat(dirfd, name, mode, new->device);
    return r < 0 ? -errno : 0;
}

/* Our own umask, and what a change of owner cleared, are made good. */
static int correct(const struct creation *new, int dirfd, const char *name) {
    struct stat stat;
    if (S_ISLNK(new->mode) && !needs_owner(new))
        return 0;
    if (fstatat(dirfd, name, &stat, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
        return -errno;
    mode_t wanted = S_ISLNK(new->mode) ? 0777 : new->has_acl ? stat.st_mode & 07777 : (mode_of(new) & 07777) | (stat.st_mode & S_ISGID);
    if (needs_owner(new)) {
        gid_t gid = new->parent_stat.st_mode & S_ISGID ? (gid_t)-1 : new->caller->gid;
        if (fchownat(dirfd, name, new->caller->uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
            return -errno;
        if (fstatat(dirfd, name, &stat, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
            return -errno;
    }
    if (S_ISLNK(new->mode) || (stat.st_mode & 07777) == wanted)
        return 0;
    char path[40 + NAME_MAX];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d%s%s", dirfd, *name ? "/" : "", name);
    return chmod(path, wanted) < 0 ? -errno : 0;
}

/* A directory that hands down what the parent hands down: set-gid and default ACL. */
static int make_nest(struct creation *new, struct made *ret) {
    _made_ struct made nest = { .overlay = new->overlay, .fd = -1 };
    _free_ char *acl = NULL;
    int r = make_dir(new->overlay, &nest);
    ssize_t size = r < 0 ? r : at_get_xattr(new->parentfd, "", "system.posix_acl_default", NULL, 0, true);
    if (r >= 0 && size > 0) {
        acl = malloc((size_t)size);
        size = acl ? at_get_xattr(new->parentfd, "", "system.posix_acl_default", acl, (size_t)size, true) : -ENOMEM;
        r = size < 0 ? (int)size : at_set_xattr(nest.fd, "", "system.posix_acl_default", acl, (size_t)size, 0);
    }
    if (r >= 0 && new->parent_stat.st_mode & S_ISGID) {
        r = fchown(nest.fd, (uid_t)-1, new->parent_stat.st_gid) < 0 && new->parent_stat.st_gid != new->overlay->gid ? -errno : 0;
        if (r >= 0 && fchmod(nest.fd, S_ISGID | 0700) < 0)
            r = -errno;
    }
    if (r < 0)
        return r;
    *ret = nest;
    nest = (struct made){ .overlay = new->overlay, .fd = -1 };
    return 0;
}

/* In the work directory, whole. */
static int make_elsewhere(struct creation *new, struct made *ret) {
    _made_ struct made nest = { .overlay = new->overlay, .fd = -1 };
    int r = make_nest(new, &nest);
    if (r >= 0)
        r = make_plain(new, nest.fd, "new");
    if (r >= 0)
        r = correct(new, nest.fd, "new");
    if (r >= 0 && S_ISDIR(new->mode) && new->whiteout)
        r = marks_set(nest.fd, "new", "opaque", "y");
    return r < 0 ? r : made_take(&nest, "new", S_ISDIR(new->mode), ret);
}

/* A regular file without a name, in the parent, of which it inherits. -EOPNOTSUPP. */
static int make_unnamed(struct creation *new, struct made *ret) {
    struct made made = { .overlay = new->overlay, .fd = -1 };
    int flags = new->flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_NOFOLLOW | O_ACCMODE);
    made.fd = open_unnamed(new->overlay, new->parentfd, flags | O_RDWR, mode_of(new) & 07777);
    if (made.fd < 0)
        return made.fd;
    int r = correct(new, made.fd, "");
    if (r < 0)
        made_done(&made);
    else
        *ret = made;
    return r;
}

static int place_made(struct creation *new, struct made *made) {
    unsigned flags = !new->whiteout ? RENAME_NOREPLACE : S_ISDIR(new->mode) ? RENAME_EXCHANGE : 0;
    if (new->want_fd && new->fd < 0 && (new->fd = fcntl(made->fd, F_DUPFD_CLOEXEC, 3)) < 0)
        return -errno;
    return made_place(made, new->parentfd, new->name, flags);
}

static int make_and_place(struct creation *new) {
    _made_ struct made made = { .overlay = new->overlay, .fd = -1 };
    int r = S_ISREG(new->mode) ? make_unnamed(new, &made) : -EOPNOTSUPP;
    if (r == -EOPNOTSUPP)
        r = make_elsewhere(new, &made);
    return r < 0 ? r : place_made(new, &made);
}

static int make_here(struct creation *new) {
    int r = hook("upper.place", new->name);
    if (r >= 0)
        r = make_plain(new, new->parentfd, new->name);
    if (r < 0)
        return r;
    r = correct(new, new->parentfd, new->name);
    if (r < 0)
        (void)unlinkat(new->parentfd, new->name, S_ISDIR(new->mode) ? AT_REMOVEDIR : 0);       /* the failure above is the one to tell */
    return r;
}

/* The parent in the current layer and the place free: 0, or why not. `tree` is held for writing. */
static int prepare(struct creation *new) {
    _found_ struct found_ref at = { .overlay = new->overlay };
    if (node_is(new->parent, NODE_GONE))
        return -ENOENT;
    int r = resolve(new->overlay, new->parent, new->name, &at.found);
    if (r < 0 || at.found.is)
        return r < 0 ? r : -EEXIST;
    new->whiteout = at.found.whiteout;
    return copy_up_dir(new->overlay, new->parent);
}

/* The node of something that was just made. */
static int enter_new(struct overlay *overlay, struct node *parent, int parentfd, const char *name,
                     struct overlay_entry *ret, struct node **ret_node) {
    _found_ struct found_ref at = { .overlay = overlay, .found = { .is = true, .upper = true } };
    struct node *node = NULL;
    int r = at_stat(parentfd, name, &at.found.stat, &at.found.birth);
    if (r < 0)
        return r;
    at.found.generation = at_generation(parentfd, name, &at.found.birth, overlay->handles_last);
    r = records_drop(overlay->records, at.found.stat.st_ino);        /* of something that had this number before */
    if (r >= 0)
        r = node_enter(overlay, parent, name, &at.found, true, &node);
    if (r < 0)
        return r;
    name_counted(overlay, numbers_keep(overlay, node, parentfd, name));
    find_note(overlay, node, parent, name);
    node_mark(node, NODE_FRESH);
    fill_entry(overlay, node, &at.found.stat, &at.found.birth, ret);
    *ret_node = node;
    return 0;
}

static int create(struct creation *new, struct overlay_entry *ret, struct node **ret_node) {
    int r = prepare(new);
    if (r < 0)
        return r;
    _pinned_ struct dir_pinned at = dir_pinned(new->parent->dir.upper);
    if (at.fd < 0)
        return at.fd;
    new->parentfd = at.fd;
    if (fstat(at.fd, &new->parent_stat) < 0)
        return -errno;
    r = find_acl(new);
    if (r >= 0)
        r = new->whiteout || needs_owner(new) ? make_and_place(new) : make_here(new);
    return r < 0 ? r : enter_new(new->overlay, new->parent, at.fd, new->name, ret, ret_node);
}

static int create_at(struct creation *new, uint64_t parent, const char *name, struct overlay_entry *ret, struct overlay_handle **ret_handle) {
    struct overlay *overlay = new->overlay;
    _node_ struct node_ref dir = { .overlay = overlay }, made = { .overlay = overlay };
    struct overlay_entry entry;
    int r = node_find_dir(overlay, parent, &dir.node);
    if (r >= 0)
        r = check_name(name);
    if (r < 0)
        return r;
    new->parent = dir.node;
    new->name = name;
    new->fd = -1;
    unsigned tries = 0;
    do {
        tree_write(overlay);
        r = create(new, &entry, &made.node);
        if (r >= 0 && ret_handle)
            r = handle_new(overlay, made.node, new->flags & ~(O_CREAT | O_EXCL | O_TRUNC), new->fd, ret_handle);
        tree_unlock(overlay);
    } while ((r = below_again(overlay, dir.node, r, &tries)) > 0);
    if (r < 0) {
        new->fd = fd_close(new->fd);
        return r;
    }
    node_held(overlay, TAKE_PTR(made.node));
    *ret = entry;
    return 0;
}

int overlay_mknod(struct overlay *overlay, const struct overlay_caller *caller, uint64_t parent, const char *name, mode_t mode, dev_t device,
                  struct overlay_entry *ret) {
    mode_t type = mode & S_IFMT ? mode & S_IFMT : S_IFREG;
    if (type == S_IFCHR && device == 0)
        return -EPERM;         /* that is what a whiteout is */
    struct creation new = { .overlay = overlay, .caller = caller, .mode = type | (mode & 07777), .device = device };
    return type == S_IFDIR || type == S_IFLNK ? -EINVAL : create_at(&new, parent, name, ret, NULL);
}

int overlay_mkdir(struct overlay *overlay, const struct overlay_caller *caller, uint64_t parent, const char *name, mode_t mode,
                  struct overlay_entry *ret) {
    struct creation new = { .overlay = overlay, .caller = caller, .mode = S_IFDIR | (mode & 01777) };
    return create_at(&new, parent, name, ret, NULL);
}

int overlay_symlink(struct overlay *overlay, const struct overlay_caller *caller, uint64_t parent, const char *name, const char *target,
                    struct overlay_entry *ret) {
    struct creation new = { .overlay = overlay, .caller = caller, .mode = S_IFLNK | 0777, .target = target };
    return create_at(&new, parent, name, ret, NULL);
}

int overlay_create(struct overlay *overlay, const struct overlay_caller *caller, uint64_t parent, const char *name, mode_t mode, int flags,
                   struct overlay_entry *ret, struct overlay_handle **ret_handle) {
    struct creation new = { .overlay = overlay, .caller = caller, .mode = S_IFREG | (mode & 07777), .flags = flags, .want_fd = true };
    return create_at(&new, parent, name, ret, ret_handle);
}

/* Files without a name. */

static int create_unnamed(struct creation *new, struct overlay_entry *ret, struct overlay_handle **ret_handle) {
    struct overlay *overlay = new->overlay;
    int r = copy_up_dir(overlay, new->parent);
    if (r < 0)
        return r;
    _pinned_ struct dir_pinned at = dir_pinned(new->parent->dir.upper);
    _made_ struct made made = { .overlay = overlay, .fd = -1 };
    _node_ struct node_ref node = { .overlay = overlay };
    _found_ struct found_ref found = { .overlay = overlay, .found = { .is = true, .upper = true } };
    new->parentfd = at.fd;
    r = at.fd < 0 ? at.fd : fstat(at.fd, &new->parent_stat) < 0 ? -errno : find_acl(new);
    if (r >= 0)
        r = make_unnamed(new, &made);
    if (r >= 0)
        r = at_stat(made.fd, "", &found.found.stat, &found.found.birth);
    if (r < 0)
        return r;
    found.found.generation = at_generation(made.fd, "", &found.found.birth, overlay->handles_last);
    r = records_drop(overlay->records, found.found.stat.st_ino);
    if (r >= 0)
        r = node_enter(overlay, new->parent, "", &found.found, true, &node.node);
    if (r < 0)
        return r;
    place_remove(overlay, node.node, atomic_load(&node.node->places));
    int held = fcntl(made.fd, F_DUPFD_CLOEXEC, 3);
    if (held < 0)
        return -errno;
    atomic_store(&node.node->fd, held);
    name_counted(overlay, numbers_keep(overlay, node.node, held, ""));
    node_mark(node.node, NODE_GONE | (new->flags & O_EXCL ? 0 : NODE_LINKABLE));
    fill_entry(overlay, node.node, &found.found.stat, &found.found.birth, ret);
    r = handle_new(overlay, node.node, new->flags & ~(O_TMPFILE | O_EXCL), made.fd, ret_handle);
    if (r < 0)
        return r;
    made.fd = -1;
    node_held(overlay, TAKE_PTR(node.node));
    return 0;
}

int overlay_tmpfile(struct overlay *overlay, const struct overlay_caller *caller, uint64_t parent, mode_t mode, int flags,
                    struct overlay_entry *ret, struct overlay_handle **ret_handle) {
    _node_ struct node_ref dir = { .overlay = overlay };
    int r = node_find_dir(overlay, parent, &dir.node);
    if (r < 0)
        return r;
    struct creation new = { .overlay = overlay, .caller = caller, .mode = S_IFREG | (mode & 07777), .flags = flags, .parent = dir.node };
    tree_write(overlay);
    r = create_unnamed(&new, ret, ret_handle);
    tree_unlock(overlay);
    return r;
}

/* Links. */

static int link_object(struct overlay *overlay, struct node *node, int dirfd, const char *name) {
    _upper_ struct upper_at at = {0};
    int r = upper_reach(overlay, node, &at);
    if (r < 0)
        return r;
    if (*at.name)
        return linkat(at.fd, at.name, dirfd, name, 0) < 0 ? -errno : 0;
    char path[40];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", at.fd);
    return linkat(AT_FDCWD, path, dirfd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int link_over_whiteout(struct overlay *overlay, struct node *node, int dirfd, const char *name) {
    _made_ struct made made = { .overlay = overlay, .fd = -1 };
    char work[sizeof(made.name)];
    made_name(overlay, &work);
    int r = link_object(overlay, node, overlay->work, work);
    if (r < 0)
        return r;
    memcpy(made.name, work, sizeof(work));
    return made_place(&made, dirfd, name, 0);
}

static int link_at(struct overlay *overlay, struct node *node, struct node *parent, const char *name, struct overlay_entry *ret) {
    struct creation new = { .overlay = overlay, .parent = parent, .name = name };
    int r = prepare(&new);
    if (r >= 0 && node_is_dir(node))
        r = -EPERM;
    if (r >= 0 && node_is(node, NODE_GONE) && !node_is(node, NODE_LINKABLE))
        r = -ENOENT;
    if (r < 0)
        return r;
    _pinned_ struct dir_pinned at = dir_pinned(parent->dir.upper);
    struct place *place = place_new(parent, name, true);
    if (at.fd < 0 || !place) {
        free(place);
        return at.fd < 0 ? at.fd : -ENOMEM;
    }
    r = hook("upper.link", name);
    if (r >= 0)
        r = new.whiteout ? link_over_whiteout(overlay, node, at.fd, name) : link_object(overlay, node, at.fd, name);
    if (r < 0) {
        free(place);
        return r;
    }
    find_note(overlay, node, parent, name);
    place_add(overlay, node, place);
    node_unmark(node, NODE_GONE | NODE_LINKABLE);
    node_mark(node, NODE_FRESH);
    struct stat stat;
    struct timespec birth;
    r = at_stat(at.fd, name, &stat, &birth);
    if (r >= 0)
        fill_entry(overlay, node, &stat, &birth, ret);
    return r;
}

int overlay_link(struct overlay *overlay, uint64_t number, uint64_t parent, const char *name, struct overlay_entry *ret) {
    _node_ struct node_ref of = { .overlay = overlay }, dir = { .overlay = overlay };
    int r = node_find(overlay, number, &of.node);
    if (r >= 0)
        r = node_find_dir(overlay, parent, &dir.node);
    if (r >= 0)
        r = check_name(name);
    if (r >= 0 && !node_is_dir(of.node)) {
        r = copy_up(overlay, of.node, COPY_UP_META);
        if (overlay->below && is_gone_error(r) && (r = below_raise_lost(overlay, of.node, COPY_UP_ALL, r)) >= 0)
            node_mark(of.node, NODE_LINKABLE);     /* it was looked up just before, and gets its name back */
    }
    if (r < 0)
        return r;
    unsigned tries = 0;
    do {
        tree_write(overlay);
        r = link_at(overlay, of.node, dir.node, name, ret);
        tree_unlock(overlay);
    } while ((r = below_again(overlay, dir.node, r, &tries)) > 0);
    if (r >= 0)
        node_held(overlay, TAKE_PTR(of.node));
    return r;
}
