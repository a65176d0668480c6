/* Renaming: one step in the current layer, whatever lies below.
 *
 * A lower file is copied up first, with no lock held; a lower directory is copied up alone and says by a redirect where its
 * entries are, so that it costs the same whatever is in it. Where something below would come to light, a whiteout takes the
 * old place in the same step. SPDX-License-Identifier: GPL-2.0-or-later */
#include "node.h"

#include "at.h"
#include "find.h"
#include "hook.h"
#include "below.h"
#include "numbers.h"
#include "remove.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* One of the two names. */
struct end {
    struct node *parent;
    const char *name;
    struct found found;
    struct node *node;         /* a reference; NULL: nothing there */
    int fd;                    /* of the parent in the current layer, pinned */
    bool below;                /* the lower trees show something of this name */
    /* made before, so that nothing can fail after */
    struct place *place;       /* of what comes here */
    char *name_copy;
    char *redirect;            /* of the directory that is here now, for where it goes */
};

struct renaming {
    struct overlay *overlay;
    struct end from, to;
    unsigned flags;
    struct node *copy;         /* has to be copied up first; a reference */
    bool *lifted;              /* something lay below: whether the kernel knew what, when it asked, is not certain */
};

enum { NEEDS_COPY = 1, ROUNDS = 64 };

static void end_done(struct overlay *overlay, struct end *end) {
    found_done(overlay, &end->found);
    if (end->node)
        node_unref(overlay, end->node);
    if (end->fd >= 0)
        dir_unpin(end->parent->dir.upper);
    free(end->place);
    free(end->name_copy);
    free(end->redirect);
}

static void renaming_done(struct renaming *renaming) {
    end_done(renaming->overlay, &renaming->from);
    end_done(renaming->overlay, &renaming->to);
}
#define _renaming_ _cleanup_(renaming_done)

static bool is_exchange(const struct renaming *renaming) {
    return renaming->flags & RENAME_EXCHANGE;
}

static bool end_is_dir(const struct end *end) {
    return end->node && node_is_dir(end->node);
}

static int look_at(struct overlay *overlay, struct end *end) {
    struct found moved;
    int r = node_is(end->parent, NODE_GONE) ? -ENOENT : resolve(overlay, end->parent, end->name, &end->found);
    if (r < 0 || !end->found.is)
        return r;
    moved = end->found;                /* its parts go to the node; the rest is still asked for */
    r = node_enter(overlay, end->parent, end->name, &moved, true, &end->node);
    end->found.parts = moved.parts;
    end->found.part_count = moved.part_count;
    end->found.redirect = moved.redirect;
    end->found.meta = moved.meta;
    end->found.data = moved.data;
    return r;
}

static bool is_within(const struct node *node, const struct node *ancestor) {
    for (struct place *place;; node = place->parent) {
        if (node == ancestor)
            return true;
        place = atomic_load(&node->places);
        if (!place)
            return false;
    }
}

static int check_types(struct overlay *overlay, const struct end *from, const struct end *to) {
    if (end_is_dir(from) != end_is_dir(to))
        return end_is_dir(from) ? -ENOTDIR : -EISDIR;
    int r = end_is_dir(to) ? dir_is_empty(overlay, to->node) : 1;
    return r < 0 ? r : r ? 0 : -ENOTEMPTY;
}

/* 0 = go on, 1 = it is done: both names are the same object already. */
static int check(const struct renaming *renaming) {
    const struct end *from = &renaming->from, *to = &renaming->to;
    if (!from->node)
        return -ENOENT;
    if (to->node && renaming->flags & RENAME_NOREPLACE)
        return -EEXIST;
    if (!to->node && is_exchange(renaming))
        return -ENOENT;
    if (end_is_dir(from) && is_within(to->parent, from->node))
        return -EINVAL;
    if (!to->node)
        return 0;
    if (end_is_dir(to) && is_within(from->parent, to->node))
        return is_exchange(renaming) ? -EINVAL : -ENOTEMPTY;
    if (from->node == to->node)
        return 1;
    return is_exchange(renaming) ? 0 : check_types(renaming->overlay, from, to);
}

/* What moves is in the current layer afterwards, or has to be copied up without the lock. */
static int lift(struct renaming *renaming, struct end *end) {
    struct overlay *overlay = renaming->overlay;
    *renaming->lifted |= !node_is(end->node, NODE_UPPER);
    if (node_is_dir(end->node))
        return copy_up_dir(overlay, end->node);
    struct place *place = place_find(end->node, end->parent, end->name);
    if (node_is(end->node, NODE_UPPER) && !place->upper) {
        int r = numbers_materialise(overlay, end->node, place);
        end->found.upper = r >= 0;
        return r;
    }
    if (node_is(end->node, NODE_UPPER))
        return 0;
    node_ref(overlay, end->node);
    renaming->copy = end->node;
    return NEEDS_COPY;
}

static int pin_end(struct overlay *overlay, struct end *end) {
    int r = copy_up_dir(overlay, end->parent);
    if (r >= 0)
        r = end->fd = dir_pin(end->parent->dir.upper);
    if (r >= 0)
        r = resolve_below(overlay, end->parent, end->name);
    if (r < 0)
        return r;
    end->below = r;
    return 0;
}

/* What `from` holds will be at `to`. */
static int allocate_move(struct end *from, struct end *to) {
    to->place = place_new(to->parent, to->name, true);
    to->name_copy = strdup(to->name);
    if (!to->place || !to->name_copy)
        return -ENOMEM;
    if (!node_is_dir(from->node) || from->node->dir.part_count == 0)
        return 0;
    _buf_ struct buf path = {0};
    int r = lower_path(from->node, &path);
    if (r < 0)
        return r;
    return (from->redirect = buf_take(&path)) ? 0 : -ENOMEM;
}

/* Marks that mean the same where the directory is now. */
static int mark_for_move(const struct end *from, const struct end *to) {
    if (!node_is_dir(from->node))
        return 0;
    if (from->redirect)
        return marks_set(from->fd, from->name, "redirect", from->redirect);
    return to->below ? marks_set(from->fd, from->name, "opaque", "y") : 0;
}

/* A directory that shows nothing but holds whiteouts is exchanged for one that is opaque and holds none. */
static int empty_dir(struct overlay *overlay, struct end *end) {
    _made_ struct made made = { .overlay = overlay, .fd = -1 };
    _meta_ struct meta meta = {0};
    struct statx stat;
    int r = statx(end->fd, end->name, AT_SYMLINK_NOFOLLOW, META_STATX, &stat) < 0 ? -errno : meta_read(end->fd, end->name, -1, &stat, &meta);
    if (r >= 0)
        r = make_dir(overlay, &made);
    if (r >= 0)
        r = meta_apply(made.fd, "", &meta, META_STORE, NULL);
    if (r >= 0)
        r = marks_set(made.fd, "", "opaque", "y");
    return r < 0 ? r : made_place(&made, end->fd, end->name, RENAME_EXCHANGE);
}

static int rename_now(const struct renaming *renaming, unsigned flags) {
    const struct end *from = &renaming->from, *to = &renaming->to;
    return renameat2(from->fd, from->name, to->fd, to->name, flags) < 0 ? -errno : 0;
}

/* Without the kernel's whiteouts: the new place is hidden first, then both are exchanged. */
static int exchange_whiteout(struct renaming *renaming) {
    struct end *from = &renaming->from, *to = &renaming->to;
    bool there = to->found.upper || to->found.whiteout;
    int r = to->found.whiteout ? 0 : upper_hide(renaming->overlay, to->fd, to->name, there, end_is_dir(to));
    if (r >= 0)
        r = upper_announce_whiteouts(renaming->overlay, from->fd);
    if (r >= 0)
        r = rename_now(renaming, RENAME_EXCHANGE);
    if (r >= 0 && !from->below)
        (void)upper_discard(renaming->overlay, from->fd, from->name, false);       /* one that stays hides nothing */
    return r;
}

static int replace(struct renaming *renaming) {
    struct end *from = &renaming->from, *to = &renaming->to;
    if (to->found.whiteout && (end_is_dir(from) || atomic_load(&renaming->overlay->plain_marks)))
        return exchange_whiteout(renaming);
    if (!from->below)
        return rename_now(renaming, 0);
    if (atomic_load(&renaming->overlay->plain_marks))
        return exchange_whiteout(renaming);
    int r = rename_now(renaming, RENAME_WHITEOUT);
    return r == -EINVAL || r == -EPERM ? exchange_whiteout(renaming) : r;
}

static int perform(struct renaming *renaming) {
    int r = hook("rename.perform", renaming->from.name);
    if (r < 0)
        return r;
    if (is_exchange(renaming))
        return rename_now(renaming, RENAME_EXCHANGE);
    r = replace(renaming);
    if ((r != -ENOTEMPTY && r != -EEXIST) || !end_is_dir(&renaming->to))
        return r;
    r = empty_dir(renaming->overlay, &renaming->to);
    return r < 0 ? r : replace(renaming);
}

/* The node of `from` is at `to` now. */
static void move_node(struct overlay *overlay, struct end *from, struct end *to, struct place *old) {
    struct node *node = from->node;
    find_note(overlay, node, to->parent, to->name);
    place_add(overlay, node, TAKE_PTR(to->place));
    if (node_is_dir(node)) {
        dir_move(node->dir.upper, to->parent->dir.upper, TAKE_PTR(to->name_copy));
        node_mark(node, NODE_MOVED);
        if (from->redirect) {
            free(node->dir.redirect);
            node->dir.redirect = TAKE_PTR(from->redirect);
            below_redirected(overlay);
        }
    }
    node_mark(node, NODE_FRESH);
    if (old)
        place_remove(overlay, node, old);
}

static void settle(struct renaming *renaming) {
    struct overlay *overlay = renaming->overlay;
    struct end *from = &renaming->from, *to = &renaming->to;
    struct place *old_from = place_find(from->node, from->parent, from->name);
    struct place *old_to = to->node ? place_find(to->node, to->parent, to->name) : NULL;
    if (to->node && !is_exchange(renaming))
        name_gone(overlay, to->node, old_to, &to->found);
    move_node(overlay, from, to, old_from);
    if (is_exchange(renaming))
        move_node(overlay, to, from, old_to);
}

static int prepare(struct renaming *renaming) {
    struct overlay *overlay = renaming->overlay;
    struct end *from = &renaming->from, *to = &renaming->to;
    int r = lift(renaming, from);
    if (r == 0 && is_exchange(renaming))
        r = lift(renaming, to);
    if (r == 0)
        r = pin_end(overlay, from);
    if (r == 0)
        r = pin_end(overlay, to);
    if (r == 0)
        r = allocate_move(from, to);
    if (r == 0 && is_exchange(renaming))
        r = allocate_move(to, from);
    if (r == 0)
        r = mark_for_move(from, to);
    if (r == 0 && is_exchange(renaming))
        r = mark_for_move(to, from);
    if (r == 0 && to->node && to->found.upper && !is_exchange(renaming))
        r = name_going(to->node, to->fd, to->name, place_find(to->node, to->parent, to->name));
    return r;
}

/* `tree` is held for writing. NEEDS_COPY: renaming->copy first. */
static int rename_locked(struct renaming *renaming) {
    int r = look_at(renaming->overlay, &renaming->from);
    if (r >= 0)
        r = look_at(renaming->overlay, &renaming->to);
    if (r >= 0)
        r = check(renaming);
    if (r != 0)
        return r < 0 ? r : 0;
    r = prepare(renaming);
    if (r == 0)
        r = perform(renaming);
    if (r == 0)
        settle(renaming);
    return r;
}

static int rename_once(struct overlay *overlay, struct node *from, const char *name, struct node *to, const char *new_name, unsigned flags,
                       bool *lifted) {
    _node_ struct node_ref copy = { .overlay = overlay };
    tree_write(overlay);
    _renaming_ struct renaming renaming = {
        .overlay = overlay, .flags = flags, .lifted = lifted,
        .from = { .parent = from, .name = name, .fd = -1 }, .to = { .parent = to, .name = new_name, .fd = -1 },
    };
    int r = rename_locked(&renaming);
    copy.node = renaming.copy;
    tree_unlock(overlay);
    if (r != NEEDS_COPY)
        return r;
    r = copy_up(overlay, copy.node, COPY_UP_META);
    return r < 0 ? r : NEEDS_COPY;
}

int overlay_rename(struct overlay *overlay, uint64_t from, const char *name, uint64_t to, const char *new_name, unsigned flags) {
    _node_ struct node_ref from_dir = { .overlay = overlay }, to_dir = { .overlay = overlay };
    int r = flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) || flags == (RENAME_NOREPLACE | RENAME_EXCHANGE) ? -EINVAL : 0;
    if (r >= 0)
        r = node_find_dir(overlay, from, &from_dir.node);
    if (r >= 0)
        r = node_find_dir(overlay, to, &to_dir.node);
    if (r >= 0)
        r = check_name(name);
    if (r >= 0)
        r = check_name(new_name);
    if (r < 0 || !overlay->upper)
        return r < 0 ? r : -EROFS;
    unsigned tries = 0;
    bool lifted = false;
    r = NEEDS_COPY;
    for (unsigned i = 0; i < ROUNDS && r == NEEDS_COPY; i++) {
        r = rename_once(overlay, from_dir.node, name, to_dir.node, new_name, flags, &lifted);
        if (r == -ESTALE && overlay->below && tries < TRIES_MOST && below_find_again(overlay, to_dir.node) == 0)
            r = below_again(overlay, from_dir.node, r, &tries) > 0 ? NEEDS_COPY : -ESTALE;
    }
    if (r == 0 && lifted) {
        below_doubt_name(overlay, to_dir.node, new_name);
        below_doubt_name(overlay, from_dir.node, name);
    }
    return r == NEEDS_COPY ? -EBUSY : r == -ESTALE && overlay->below ? below_lost_error(overlay, from_dir.node) : r;
}
