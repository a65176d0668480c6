/* Names that go: unlink, rmdir. A lower object is hidden, never copied.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "remove.h"

#include "below.h"
#include "numbers.h"
#include "records.h"

#include <fcntl.h>

/* While it is still there: what reaches an object of the current layer once this name is gone, for who holds it. */
int name_going(struct node *node, int dirfd, const char *name, const struct place *going) {
    if (!node || atomic_load(&node->fd) >= 0)
        return 0;
    struct place *other = atomic_load(&node->places);
    while (other && (other == going || !other->upper))
        other = atomic_load(&other->next);
    if (other)
        return 0;
    int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE ? 0 : -errno;      /* then it is lost for who holds it, as after a forced unmount */
    atomic_store(&node->fd, fd);
    return 0;
}

void name_gone(struct overlay *overlay, struct node *node, struct place *place, const struct found *found) {
    unsigned left = 0;
    int r = 0;
    if (!S_ISDIR(found->stat.st_mode))
        r = numbers_name_lost(overlay, node, place, found, &left);
    if (r >= 0 && left == 0 && found->upper)
        r = records_drop(overlay->records, found->stat.st_ino);
    name_counted(overlay, r);
    if (!node)
        return;
    if (left == 0)
        node_mark(node, NODE_GONE);
    if (node_is_dir(node) && node->dir.upper)
        dir_forget(node->dir.upper);
    if (place)
        place_remove(overlay, node, place);
}

/* A directory whose mode does not let us look into it, which root is not asked: the file system looks, and what it has is all there is. */
static int take_unseen(int dirfd, const char *name, int below) {
    if (below)
        return -EACCES;
    return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Takes the name away, with the parent in the current layer. */
static int take_away(struct overlay *overlay, struct node *parent, const char *name, struct node *node, const struct found *found, int below,
                     bool unseen) {
    bool is_dir = S_ISDIR(found->stat.st_mode);
    int r = copy_up_dir(overlay, parent);
    if (r < 0)
        return r;
    _pinned_ struct dir_pinned at = dir_pinned(parent->dir.upper);
    struct place *place = node ? place_find(node, parent, name) : NULL;
    r = at.fd < 0 ? at.fd : found->upper ? name_going(node, at.fd, name, place) : 0;
    if (r < 0)
        return r;
    r = unseen ? take_unseen(at.fd, name, below) : below ? upper_hide(overlay, at.fd, name, found->upper, is_dir) : upper_discard(overlay, at.fd, name, is_dir);
    if (r >= 0)
        name_gone(overlay, node, place, found);
    return r;
}

static int remove_at(struct overlay *overlay, struct node *parent, const char *name, bool want_dir) {
    _found_ struct found_ref at = { .overlay = overlay };
    _node_ struct node_ref of = { .overlay = overlay };
    if (!overlay->upper)
        return -EROFS;
    int r = resolve(overlay, parent, name, &at.found);
    if (r < 0 || !at.found.is)
        return r < 0 ? r : -ENOENT;
    bool is_dir = S_ISDIR(at.found.stat.st_mode);
    if (is_dir != want_dir)
        return is_dir ? -EISDIR : -ENOTDIR;
    const struct found found = { .upper = at.found.upper, .copied = at.found.copied, .lower = at.found.lower, .stat = at.found.stat,
                                 .birth = at.found.birth, .generation = at.found.generation };
    bool unseen = false;
    if (is_dir) {
        r = node_enter(overlay, parent, name, &at.found, true, &of.node);
        if (r >= 0 && (r = dir_is_empty(overlay, of.node)) >= 0)
            r = r ? 0 : -ENOTEMPTY;
        unseen = r == -EACCES && found.upper && of.node && !of.node->dir.part_count;
        r = unseen ? 0 : r;
    } else {
        of.node = node_known(overlay, parent, name, &at.found);
    }
    int below = r < 0 ? r : found.upper ? resolve_below(overlay, parent, name) : 1;
    return below < 0 ? below : take_away(overlay, parent, name, of.node, &found, below, unseen);
}

static int remove_name(struct overlay *overlay, uint64_t parent, const char *name, bool want_dir) {
    _node_ struct node_ref dir = { .overlay = overlay };
    int r = node_find_dir(overlay, parent, &dir.node);
    if (r >= 0)
        r = check_name(name);
    if (r < 0)
        return r;
    unsigned tries = 0;
    do {
        tree_write(overlay);
        r = remove_at(overlay, dir.node, name, want_dir);
        tree_unlock(overlay);
    } while ((r = below_again(overlay, dir.node, r, &tries)) > 0);
    return r;
}

int overlay_unlink(struct overlay *overlay, uint64_t parent, const char *name) {
    return remove_name(overlay, parent, name, false);
}

int overlay_rmdir(struct overlay *overlay, uint64_t parent, const char *name) {
    return remove_name(overlay, parent, name, true);
}
