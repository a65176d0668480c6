/* What a name shows: the current layer over the lower trees, whiteouts, opaque directories, redirects, metacopy.
 * Writes nothing. Source: Documentation/filesystems/overlayfs.rst, and fs/overlayfs/namei.c where that is silent.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "node.h"

#include "at.h"
#include "find.h"
#include "below.h"
#include "numbers.h"

#include <limits.h>
#include <string.h>

static void entry_done(struct lower *lower, struct lower_entry *entry) {
    lower->ops->unref(lower, entry->dir);
    free(entry->redirect);
    *entry = (struct lower_entry){0};
}

void found_done(struct overlay *overlay, struct found *found) {
    for (size_t i = 0; i < found->part_count; i++)
        overlay->lowers[found->parts[i].lower]->ops->unref(overlay->lowers[found->parts[i].lower], found->parts[i].dir);
    free(found->parts);
    free(found->redirect);
    lower_place_unref(overlay, found->meta);
    lower_place_unref(overlay, found->data);
}

int check_name(const char *name) {
    size_t size = strnlen(name, NAME_MAX + 1);
    bool dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    return size > NAME_MAX ? -ENAMETOOLONG : size == 0 || dots || strchr(name, '/') ? -EINVAL : 0;
}

/* The way through the lower trees, top down: one name in the parent's parts or, after an absolute redirect, a path from the
 * roots. A redirect that is met changes the way in the trees below it. */
struct way {
    struct overlay *overlay;
    const struct node *parent;
    char *path;
    bool absolute;
    bool stop;                 /* nothing below shows through */
};

static void way_done(struct way *way) {
    free(way->path);
}
#define _way_ _cleanup_(way_done)

/* The next tree from `from` on that has to be looked at; NULL: none. */
static struct lower_dir *next_tree(const struct way *way, unsigned *from) {
    if (way->absolute)
        return *from < way->overlay->lower_count ? way->overlay->roots[*from] : NULL;
    for (unsigned i = 0; i < way->parent->dir.part_count; i++) {
        const struct part *part = &way->parent->dir.parts[i];
        if (part->lower >= *from) {
            *from = part->lower;
            return part->dir;
        }
    }
    return NULL;
}

/* The component of `size` bytes that is followed by `rest` is called otherwise below. */
static int turn(struct way *way, const char *redirect, size_t size, const char *rest) {
    _buf_ struct buf path = {0};
    if (*redirect == '/') {
        buf_str(&path, redirect + 1);
        way->absolute = true;
    } else {
        buf_add(&path, way->path, strlen(way->path) - strlen(rest) - size);
        buf_str(&path, redirect);
    }
    buf_str(&path, rest);
    char *turned = buf_take(&path);
    if (!turned)
        return -ENOMEM;
    free(way->path);
    way->path = turned;
    return 0;
}

/* A directory of a live tree may be gone meanwhile. */
static bool is_absence(int r) {
    return r == -ENOENT || r == -ESTALE || r == -ENOTDIR;
}

/* The directory that everything starts from is known: if it is not where it was, its users have to look again. */
static bool is_lost(const struct way *way, const struct lower_dir *dir) {
    if (!way->overlay->below || way->absolute)
        return false;
    for (unsigned i = 0; i < way->parent->dir.part_count; i++)
        if (way->parent->dir.parts[i].dir == dir)
            return true;
    return false;
}

/* One component in one tree; `rest` = what follows in the path. enum lower_found. */
static int step(struct way *way, struct lower *lower, struct lower_dir *dir, const char *name, const char *rest, struct lower_entry *ret) {
    struct lower_entry entry = {0};
    int r = lower->ops->lookup(lower, dir, name, &entry);
    if (r < 0)
        return !is_absence(r) ? r : is_lost(way, dir) ? -ESTALE : LOWER_ABSENT;
    way->stop |= r == LOWER_WHITEOUT;
    if (r != LOWER_ENTRY)
        return LOWER_ABSENT;
    bool is_dir = S_ISDIR(entry.stat.st_mode);
    way->stop |= is_dir ? entry.opaque : *rest != '\0';
    r = is_dir || *rest == '\0' ? LOWER_ENTRY : LOWER_ABSENT;
    if (r == LOWER_ENTRY && entry.redirect && !way->stop) {
        int turned = turn(way, entry.redirect, strlen(name), rest);
        r = turned < 0 ? turned : r;
    }
    if (r == LOWER_ENTRY)
        *ret = entry;
    else
        entry_done(lower, &entry);
    return r;
}

/* The whole path in one tree. *ret_place: where its last component is. */
static int look_in(struct way *way, unsigned at, struct lower_dir *start, struct lower_entry *ret, struct lower_place **ret_place) {
    struct lower *lower = way->overlay->lowers[at];
    _free_ char *path = strdup(way->path);
    if (!path)
        return -ENOMEM;
    struct lower_dir *dir = lower->ops->ref(start);
    struct lower_entry entry = {0};
    struct lower_place *place = NULL;
    int r;
    for (char *name = path;; name += strlen(name) + 1) {
        char *rest = strchrnul(name, '/');
        const char *rest_in_way = way->path + strlen(way->path) - strlen(rest);
        _free_ char *kept = strdup(rest_in_way);
        bool last = *rest == '\0';
        *rest = '\0';
        r = kept ? step(way, lower, dir, name, kept, &entry) : -ENOMEM;
        if (r == LOWER_ENTRY && last && !(place = lower_place_new(way->overlay, at, dir, name)))
            r = -ENOMEM;
        lower->ops->unref(lower, dir);
        dir = NULL;
        if (r != LOWER_ENTRY || last)
            break;
        dir = TAKE_PTR(entry.dir);
        entry_done(lower, &entry);
    }
    if (r != LOWER_ENTRY) {
        entry_done(lower, &entry);
        return r;
    }
    *ret = entry;
    *ret_place = place;
    return r;
}

static int add_part(struct found *found, unsigned lower, struct lower_entry *entry) {
    int r = MAKE_ROOM(found->parts, found->part_count, found->part_room);
    if (r < 0)
        return r;
    found->parts[found->part_count++] = (struct part){ .lower = lower, .ino = entry->stat.st_ino, .dir = TAKE_PTR(entry->dir) };
    return 0;
}

/* What one tree shows joins what the trees above show. */
static int join(struct way *way, struct found *found, unsigned lower, struct lower_entry *entry, struct lower_place **place) {
    bool is_dir = S_ISDIR(entry->stat.st_mode);
    if (found->is && S_ISDIR(found->stat.st_mode) != is_dir) {
        way->stop = true;
        return 0;
    }
    bool top = !found->is;
    if (top) {
        found->is = true;
        found->stat = entry->stat;
        found->birth = entry->birth;
        found->generation = entry->generation;
        found->lower = lower;
    }
    if (is_dir)
        return add_part(found, lower, entry);
    struct lower_place **where = top ? &found->meta : &found->data;
    lower_place_unref(way->overlay, *where);
    *where = TAKE_PTR(*place);
    way->stop |= !entry->metacopy;
    found->metacopy = entry->metacopy;
    return 0;
}

static int walk_down(struct way *way, struct found *found) {
    struct lower_dir *start;
    for (unsigned i = 0; !way->stop && (start = next_tree(way, &i)); i++) {
        struct lower_entry entry = {0};
        struct lower_place *place = NULL;
        int r = look_in(way, i, start, &entry, &place);
        if (r == LOWER_ENTRY)
            r = join(way, found, i, &entry, &place);
        entry_done(way->overlay->lowers[i], &entry);
        lower_place_unref(way->overlay, place);
        if (r < 0)
            return r;
    }
    return 0;
}

static int look_at_upper(struct overlay *overlay, const struct node *parent, const char *name, struct found *found) {
    if (!parent->dir.upper)
        return 0;
    _pinned_ struct dir_pinned at = dir_pinned(parent->dir.upper);
    struct stat stat;
    struct timespec birth;
    int r = at.fd < 0 ? at.fd : at_stat(at.fd, name, &stat, &birth);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    r = marks_is_whiteout(at.fd, name, &stat, atomic_load(&overlay->plain_marks));
    if (r < 0)
        return r;
    found->whiteout = r;
    found->is = found->upper = !r;
    found->stat = stat;
    found->birth = birth;
    found->generation = r ? 0 : at_generation(at.fd, name, &birth, overlay->handles_last);
    if (r || (!S_ISDIR(stat.st_mode) && !may_be_metacopy(&stat)))
        return 0;
    struct marks marks;
    r = marks_read(at.fd, name, &marks);
    if (r < 0)
        return r;
    found->opaque = marks.opaque;
    found->metacopy = marks.metacopy && !S_ISDIR(stat.st_mode);
    found->redirect = marks.redirect;
    return 0;
}

/* Whether the trees below the current layer have to be asked. */
static bool ends_at_upper(const struct found *found) {
    if (found->whiteout)
        return true;
    return found->upper && (S_ISDIR(found->stat.st_mode) ? found->opaque : !found->metacopy);
}

static int look_below(struct overlay *overlay, const struct node *parent, const char *name, struct found *found) {
    _way_ struct way way = { .overlay = overlay, .parent = parent, .path = strdup(name) };
    int r = way.path ? 0 : -ENOMEM;
    if (r >= 0 && found->redirect)
        r = turn(&way, found->redirect, strlen(name), "");
    if (r >= 0)
        r = walk_down(&way, found);
    return r < 0 ? r : found->metacopy ? -EIO : 0;
}

int resolve(struct overlay *overlay, struct node *parent, const char *name, struct found *ret) {
    if (node_is(parent, NODE_GONE))
        return 0;
    _found_ struct found_ref at = { .overlay = overlay };
    bool metacopy;
    int r = look_at_upper(overlay, parent, name, &at.found);
    metacopy = at.found.metacopy;
    if (r >= 0 && !ends_at_upper(&at.found) && (parent->dir.part_count || (at.found.redirect && *at.found.redirect == '/')))
        r = look_below(overlay, parent, name, &at.found);
    if (r >= 0 && at.found.is && !at.found.upper && !S_ISDIR(at.found.stat.st_mode))
        r = numbers_settle(overlay, &at.found);
    if (r < 0)
        return r;
    at.found.metacopy = metacopy;
    *ret = at.found;
    at.found = (struct found){0};
    return 0;
}

int resolve_below(struct overlay *overlay, struct node *parent, const char *name) {
    _found_ struct found_ref at = { .overlay = overlay };
    if (parent->dir.part_count == 0)
        return 0;
    int r = look_below(overlay, parent, name, &at.found);
    return r < 0 ? r : at.found.is;
}

void fill_entry(struct overlay *overlay, struct node *node, const struct stat *stat, const struct timespec *birth, struct overlay_entry *ret) {
    struct overlay_entry entry = { .node = node->number, .generation = node->generation, .stat = *stat, .birth = *birth,
                                   .keep = below_keep(overlay, node, stat->st_nlink) };
    if (overlay->below)
        (void)below_see(node, stat);
    if (node != overlay->root)
        entry.stat.st_ino = node->number;
    if (node_is(node, NODE_GONE))
        entry.stat.st_nlink = 0;
    else if (node_is_dir(node) && node->dir.part_count > (node->dir.upper ? 0 : 1))
        entry.stat.st_nlink = 1;
    else if (!node_is_dir(node))
        entry.stat.st_nlink = links_shown(overlay, node, stat->st_nlink);
    *ret = entry;
}

/* ENTER_AGAIN with `writing`, too: it shows something else by now. */
int name_enter(struct overlay *overlay, struct node *parent, const char *name, bool writing, struct overlay_entry *ret, struct node **ret_node) {
    _found_ struct found_ref at = { .overlay = overlay };
    int r = resolve(overlay, parent, name, &at.found);
    if (r < 0 || !at.found.is)
        return r < 0 ? r : -ENOENT;
    struct node *node = NULL;
    r = node_enter(overlay, parent, name, &at.found, writing, &node);
    if (r != ENTER_DONE)
        return r;
    if (below_wants_watch(overlay, node, at.found.stat.st_nlink)) {
        below_watch_file(overlay, node);
        if ((r = node_stat(overlay, node, &at.found.stat, &at.found.birth)) < 0) {
            node_unref(overlay, node);
            return is_gone_error(r) ? ENTER_AGAIN : r;
        }
    }
    bool held;
    if ((r = below_remember(overlay, node, &held)) < 0) {
        node_unref(overlay, node);
        return r == -ESTALE ? ENTER_AGAIN : r;
    }
    fill_entry(overlay, node, &at.found.stat, &at.found.birth, ret);
    if (held)
        ret->keep &= ~(unsigned)OVERLAY_KEEP_NAME;
    *ret_node = node;
    return 0;
}

enum { ROUNDS = 64 };                  /* for a name that shows something else each time */

static int look(struct overlay *overlay, struct node *parent, const char *name, bool writing, struct overlay_entry *ret) {
    struct node *node = NULL;
    int r = name_enter(overlay, parent, name, writing, ret, &node);
    if (r == ENTER_DONE)
        node_held(overlay, node);
    return r;
}

/* "." is the object itself, whatever its type; ".." the directory that it is in. What has no name is not found by a handle: who has
 * it open still asks nothing. */
static int look_around(struct overlay *overlay, struct node *node, const char *name, struct overlay_entry *ret) {
    struct place *place = atomic_load(&node->places);
    if (node_is(node, NODE_GONE))
        return -ESTALE;
    if (name[1] == '.' && (!node_is_dir(node) || (!place && node != overlay->root)))
        return -ESTALE;
    struct node *wanted = name[1] == '.' && place ? place->parent : node;
    struct stat stat;
    struct timespec birth;
    int r = node_stat(overlay, wanted, &stat, &birth);
    if (r < 0)
        return r;
    fill_entry(overlay, wanted, &stat, &birth, ret);
    if (overlay->below)
        ret->keep = 0;                     /* the kernel does not hold the directory for such a question */
    node_ref(overlay, wanted);
    node_held(overlay, wanted);
    return 0;
}

/* Of a number that nobody holds: first the object, then perhaps its directory. */
static int look_for(struct overlay *overlay, uint64_t number, const char *name, struct overlay_entry *ret) {
    struct overlay_entry entry;
    int r = find_number(overlay, number, &entry);
    if (r < 0)
        return r;
    if (name[1] == '.') {
        r = overlay_lookup(overlay, number, name, ret);
        overlay_forget(overlay, number, 1);
    } else {
        *ret = entry;
    }
    return r;
}

static int look_now(struct overlay *overlay, struct node *dir, const char *name, struct overlay_entry *ret) {
    tree_read(overlay);
    int r = look(overlay, dir, name, false, ret);
    tree_unlock(overlay);
    for (unsigned i = 0; r == ENTER_AGAIN && i < ROUNDS; i++) {
        tree_write(overlay);
        r = look(overlay, dir, name, true, ret);
        tree_unlock(overlay);
    }
    return r == ENTER_AGAIN ? -ESTALE : r;
}

static int look_around_now(struct overlay *overlay, struct node *node, const char *name, struct overlay_entry *ret) {
    tree_read(overlay);
    int r = look_around(overlay, node, name, ret);
    tree_unlock(overlay);
    return r == -ENOENT && overlay->below ? -ESTALE : r;
}

int overlay_lookup(struct overlay *overlay, uint64_t parent, const char *name, struct overlay_entry *ret) {
    _node_ struct node_ref dir = { .overlay = overlay };
    bool around = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    int r = around ? node_find(overlay, parent, &dir.node) : node_find_dir(overlay, parent, &dir.node);
    if (r == -ESTALE && around)
        return look_for(overlay, parent, name, ret);
    if (r >= 0 && !around)
        r = check_name(name);
    if (r < 0)
        return r;
    unsigned tries = 0;
    do
        r = around ? look_around_now(overlay, dir.node, name, ret) : look_now(overlay, dir.node, name, ret);
    while ((r = below_again(overlay, dir.node, r, &tries)) > 0);
    return r;
}
