/* Objects by number alone, which nobody has looked up since the start: handles that a file server kept.
 *
 * A number does not say where its object is. The first time that one is asked for, all directories are listed once, without looking
 * at any entry: listings tell numbers. What is remembered (24 bytes an object, and its name) is a hint, and proved by looking there.
 * From then on names that appear through the mount are noted, so that where nothing else changes, no hint means no object.
 * A tree that can tell by itself where an object is, by the file system's handles or from an index, is asked before.
 *
 * Hints are followed with `tree` held, so that no ancestor moves meanwhile. SPDX-License-Identifier: GPL-2.0-or-later */
#include "find.h"

#include "by_handle.h"
#include "hook.h"
#include "list.h"
#include "numbers.h"
#include "records.h"

#include <stdio.h>
#include <string.h>

enum { TAIL = 1024, NOTES_MORE = 1 << 16, ASKED_MOST = 64, MOVED_MOST = 4096, DEPTH_MOST = 1 << 20 };

struct hint { uint64_t number, parent; size_t name; };         /* where the name begins: later ones are newer */
struct hints {
    struct hint *list;
    size_t count, room;
    size_t sorted;             /* by number and age, so many of them; the rest by age */
    struct buf names;
};

struct finder {
    pthread_mutex_t mutex;     /* before all other locks: one search at a time */
    pthread_mutex_t leaf;      /* what follows */
    struct hints walked, noted;        /* what a walk saw; what appeared since it began, which is truer */
    uint64_t *moved;           /* directories that appeared somewhere while it went on, each once */
    size_t moved_count, moved_room, moved_done;
    bool noting, walking;
    unsigned asked;            /* of trees that find by themselves; under `mutex` */
};

int finder_open(struct finder **ret) {
    struct finder *finder = calloc(1, sizeof(*finder));
    int r = finder ? -pthread_mutex_init(&finder->mutex, NULL) : -ENOMEM;
    if (r >= 0)
        r = -pthread_mutex_init(&finder->leaf, NULL);
    if (r < 0) {
        free(finder);
        return r;
    }
    *ret = finder;
    return 0;
}

static void hints_clear(struct hints *hints) {
    free(hints->list);
    buf_done(&hints->names);
    *hints = (struct hints){0};
}

struct finder *finder_close(struct finder *finder) {
    if (!finder)
        return NULL;
    hints_clear(&finder->walked);
    hints_clear(&finder->noted);
    free(finder->moved);
    (void)pthread_mutex_destroy(&finder->mutex);
    (void)pthread_mutex_destroy(&finder->leaf);
    free(finder);
    return NULL;
}

static void lock(pthread_mutex_t *mutex) {
    if (pthread_mutex_lock(mutex) != 0)
        abort();
}

static void unlock(pthread_mutex_t *mutex) {
    if (pthread_mutex_unlock(mutex) != 0)
        abort();
}

/* Hints. */

static int hints_add(struct hints *hints, uint64_t number, uint64_t parent, const char *name) {
    if (MAKE_ROOM(hints->list, hints->count, hints->room) < 0)
        return -ENOMEM;
    const struct hint hint = { .number = number, .parent = parent, .name = hints->names.size };
    buf_add(&hints->names, name, strlen(name) + 1);
    if (hints->names.failed)
        return hints->names.failed;
    hints->list[hints->count++] = hint;
    return 0;
}

static int by_number_and_age(const void *a, const void *b) {
    const struct hint *x = a, *y = b;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return x->name < y->name ? -1 : x->name > y->name;
}

static void hints_sort(struct hints *hints) {
    if (hints->count > hints->sorted)
        qsort(hints->list, hints->count, sizeof(*hints->list), by_number_and_age);
    hints->sorted = hints->count;
}

/* The `*n`th newest one; NULL: there are *n fewer. */
static const struct hint *hints_nth(const struct hints *hints, uint64_t number, size_t *n) {
    for (size_t i = hints->count; i > hints->sorted; i--) {
        if (hints->list[i - 1].number == number && (*n)-- == 0)
            return &hints->list[i - 1];
    }
    size_t low = 0, high = hints->sorted;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (hints->list[middle].number <= number)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low > 0 && hints->list[low - 1].number == number; low--) {
        if ((*n)-- == 0)
            return &hints->list[low - 1];
    }
    return NULL;
}

/* Where it may be, the truest first: what was noted, and then what a walk saw. */
struct spot { uint64_t parent; char name[256]; };

static bool spot_at(struct finder *finder, uint64_t number, size_t n, struct spot *ret) {
    lock(&finder->leaf);
    const struct hints *hints = &finder->noted;
    const struct hint *hint = hints_nth(hints, number, &n);
    if (!hint) {
        hints = &finder->walked;
        hint = hints_nth(hints, number, &n);
    }
    if (hint) {
        ret->parent = hint->parent;
        (void)snprintf(ret->name, sizeof(ret->name), "%s", hints->names.data + hint->name);
    }
    unlock(&finder->leaf);
    return hint;
}

/* Noting. */

/* Under `leaf`. Without room for it everything is looked for again, if anybody asks. */
static void stop_noting(struct finder *finder) {
    finder->noting = false;
    hints_clear(&finder->noted);
    hints_clear(&finder->walked);
}

static int note_moved(struct finder *finder, uint64_t number) {
    for (size_t i = 0; finder->walking && i < finder->moved_count; i++)
        if (finder->moved[i] == number)
            return 0;
    if (!finder->walking)
        return 0;
    if (finder->moved_count == MOVED_MOST || MAKE_ROOM(finder->moved, finder->moved_count, finder->moved_room) < 0)
        return -ENOMEM;
    finder->moved[finder->moved_count++] = number;
    return 0;
}

void find_note(struct overlay *overlay, const struct node *node, const struct node *parent, const char *name) {
    struct finder *finder = overlay->finder;
    lock(&finder->leaf);
    if (finder->noting) {
        struct hints *noted = &finder->noted;
        int r = hints_add(noted, node->number, parent->number, name);
        if (r >= 0 && node_is_dir(node))
            r = note_moved(finder, node->number);
        if (r >= 0 && noted->count - noted->sorted > TAIL)
            hints_sort(noted);
        if (r < 0 || noted->count > 2 * finder->walked.count + NOTES_MORE)
            stop_noting(finder);
    }
    unlock(&finder->leaf);
}

/* Following hints. */

struct chain { uint64_t *numbers; char **names;       /* the object first; number 0 = any */
               size_t count, room, name_room; };

static void chain_done(struct chain *chain) {
    for (size_t i = 0; i < chain->count; i++)
        free(chain->names[i]);
    free(chain->names);
    free(chain->numbers);
}
#define _chain_ _cleanup_(chain_done)

static int chain_add(struct chain *chain, uint64_t number, const char *name) {
    if (MAKE_ROOM(chain->numbers, chain->count, chain->room) < 0 || MAKE_ROOM(chain->names, chain->count, chain->name_room) < 0)
        return -ENOMEM;
    if (!(chain->names[chain->count] = strdup(name)))
        return -ENOMEM;
    chain->numbers[chain->count++] = number;
    return 0;
}

/* From the `n`th place of the object up to a directory that is known, which is *ret: a reference. */
static int climb(struct overlay *overlay, uint64_t number, size_t n, struct chain *chain, struct node **ret) {
    struct spot spot;
    do {
        if (chain->count == DEPTH_MOST || !spot_at(overlay->finder, number, n, &spot))
            return -ESTALE;
        int r = chain_add(chain, number, spot.name);
        if (r < 0)
            return r;
        number = spot.parent;
        n = 0;
    } while (node_find_dir(overlay, number, ret) < 0);
    return 0;
}

/* `tree` is held. ENTER_AGAIN: for writing, please. */
static int descend(struct overlay *overlay, const struct chain *chain, struct node *from, bool writing, struct overlay_entry *ret) {
    _node_ struct node_ref at = { .overlay = overlay, .node = from };
    node_ref(overlay, from);
    for (size_t i = chain->count; i > 0; i--) {
        struct overlay_entry entry;
        struct node *next = NULL;
        int r = name_enter(overlay, at.node, chain->names[i - 1], writing, &entry, &next);
        if (r != ENTER_DONE)
            return r == -ENOENT ? -ESTALE : r;
        node_unref(overlay, at.node);
        at.node = next;
        if ((chain->numbers[i - 1] && next->number != chain->numbers[i - 1]) || (i > 1 && !node_is_dir(next)))
            return -ESTALE;
        *ret = entry;
    }
    node_held(overlay, TAKE_PTR(at.node));
    return 0;
}

static int follow(struct overlay *overlay, uint64_t number, size_t n, bool writing, struct overlay_entry *ret) {
    _chain_ struct chain chain = {0};
    _node_ struct node_ref from = { .overlay = overlay };
    int r = climb(overlay, number, n, &chain, &from.node);
    return r < 0 ? r : descend(overlay, &chain, from.node, writing, ret);
}

/* -ENOENT: there is no such hint. */
static int follow_nth(struct overlay *overlay, uint64_t number, size_t n, struct overlay_entry *ret) {
    struct spot spot;
    tree_read(overlay);
    int r = spot_at(overlay->finder, number, n, &spot) ? follow(overlay, number, n, false, ret) : -ENOENT;
    tree_unlock(overlay);
    if (r != ENTER_AGAIN)
        return r;
    tree_write(overlay);
    r = follow(overlay, number, n, true, ret);
    tree_unlock(overlay);
    return r == ENTER_AGAIN ? -ESTALE : r;
}

static int follow_all(struct overlay *overlay, uint64_t number, struct overlay_entry *ret) {
    int r = -ESTALE;
    for (size_t n = 0; r == -ESTALE; n++)
        r = follow_nth(overlay, number, n, ret);
    return r == -ENOENT ? -ESTALE : r;
}

/* The walk. */

/* Directories that wait, each held by one lookup. */
struct walk {
    struct overlay *overlay;
    uint64_t at;               /* the directory that is being listed */
    uint64_t *dirs;
    size_t count, room;
};

static int see_name(void *data, const struct overlay_name *name) {
    struct walk *walk = data;
    struct finder *finder = walk->overlay->finder;
    struct overlay_entry entry;
    if (strcmp(name->name, ".") == 0 || strcmp(name->name, "..") == 0)
        return 0;
    lock(&finder->leaf);
    int r = finder->noting ? hints_add(&finder->walked, name->ino, walk->at, name->name) : -ENOMEM;
    unlock(&finder->leaf);
    if (r >= 0)
        r = MAKE_ROOM(walk->dirs, walk->count, walk->room);
    if (r < 0 || name->type != DT_DIR)
        return r;
    r = overlay_lookup(walk->overlay, walk->at, name->name, &entry);
    if (r == 0 && S_ISDIR(entry.stat.st_mode))
        walk->dirs[walk->count++] = entry.node;
    else if (r == 0)
        overlay_forget(walk->overlay, entry.node, 1);
    return r == -ENOENT || r == -ESTALE ? 0 : r;
}

static int list_dir(struct walk *walk) {
    struct overlay *overlay = walk->overlay;
    _node_ struct node_ref of = { .overlay = overlay };
    struct listing *listing = NULL;
    int r = node_find_dir(overlay, walk->at, &of.node);
    if (r >= 0)
        r = listing_make(overlay, of.node, &listing);
    if (r >= 0)
        r = listing_read(listing, 0, see_name, walk);
    (void)listing_free(listing);
    (void)hook("find.listed", "");
    return r == -ENOMEM ? r : 0;
}

static int list_below(struct walk *walk) {
    int r = list_dir(walk);
    while (walk->count > 0) {
        walk->at = walk->dirs[--walk->count];
        if (r >= 0)
            r = list_dir(walk);
        overlay_forget(walk->overlay, walk->at, 1);
    }
    return r;
}

static bool next_moved(struct finder *finder, uint64_t *ret) {
    lock(&finder->leaf);
    bool is = finder->moved_done < finder->moved_count;
    if (is)
        *ret = finder->moved[finder->moved_done++];
    finder->walking = is;
    unlock(&finder->leaf);
    return is;
}

/* A directory may have moved from where the walk had not been to where it had. Once is enough: what is in it moves along. */
static int list_moved(struct walk *walk) {
    struct overlay_entry entry;
    uint64_t number;
    int r = 0;
    while (r >= 0 && next_moved(walk->overlay->finder, &number)) {
        r = follow_all(walk->overlay, number, &entry);
        if (r == -ESTALE) {
            r = 0;
            continue;
        }
        walk->at = number;
        r = r < 0 ? r : list_below(walk);
        overlay_forget(walk->overlay, number, 1);
    }
    return r;
}

static void begin_walk(struct finder *finder) {
    lock(&finder->leaf);
    stop_noting(finder);
    finder->noting = finder->walking = true;
    finder->moved_count = finder->moved_done = 0;
    unlock(&finder->leaf);
}

/* What cannot be listed has no hints; without memory there are none at all. */
static int make_hints(struct overlay *overlay) {
    struct finder *finder = overlay->finder;
    struct walk walk = { .overlay = overlay, .at = OVERLAY_ROOT };
    begin_walk(finder);
    int r = list_below(&walk);
    if (r >= 0)
        r = list_moved(&walk);
    free(walk.dirs);
    lock(&finder->leaf);
    finder->walking = false;
    if (r < 0)
        stop_noting(finder);
    else
        hints_sort(&finder->walked);
    unlock(&finder->leaf);
    return r;
}

/* Trees that find by themselves. A path of one is mostly one of the overlay, too, and proved like a hint. */

static int chain_of_path(struct chain *chain, char *path, uint64_t number) {
    int r = 0;
    while (r >= 0 && *path) {
        char *slash = strrchr(path, '/');
        r = chain_add(chain, chain->count ? 0 : number, slash ? slash + 1 : path);
        *(slash ? slash : path) = '\0';
    }
    return r;
}

/* -EAGAIN: it is not there, which means little. */
static int follow_path(struct overlay *overlay, struct buf *path, uint64_t number, struct overlay_entry *ret) {
    _chain_ struct chain chain = {0};
    buf_char(path, '\0');
    int r = path->failed ? path->failed : chain_of_path(&chain, path->data + (*path->data == '/'), number);
    tree_read(overlay);
    if (r >= 0)
        r = chain.count ? descend(overlay, &chain, overlay->root, false, ret) : -EAGAIN;
    tree_unlock(overlay);
    return r == ENTER_AGAIN || r == -ESTALE ? -EAGAIN : r;
}

/* These return 0 = found; -ESTALE, it is not in this tree; -EAGAIN, it cannot tell. */
static int ask_upper(struct overlay *overlay, uint64_t ino, uint64_t number, struct overlay_entry *ret) {
    _buf_ struct buf path = {0};
    _pinned_ struct dir_pinned root = dir_pinned(dirs_root(overlay->upper));
    int r = root.fd < 0 ? -EAGAIN : by_handle(root.fd, ino, &path);
    return r < 0 ? r : r ? follow_path(overlay, &path, number, ret) : -ESTALE;
}

static int ask_lower(struct overlay *overlay, struct lower *lower, uint64_t number, struct overlay_entry *ret) {
    struct lower_dir *dir = NULL;
    _free_ char *name = NULL;
    _buf_ struct buf path = {0};
    int r = lower->ops->find(lower, number, NULL, &dir, &name);
    if (r <= 0)
        return r < 0 ? r : -ESTALE;
    r = lower->ops->where(lower, dir, &path);
    lower->ops->unref(lower, dir);
    if (path.size)
        buf_char(&path, '/');
    buf_str(&path, name);
    return r < 0 ? -EAGAIN : follow_path(overlay, &path, number, ret);
}

/* A number with the top bit is a hash, of which nothing follows. */
static int ask_trees(struct overlay *overlay, uint64_t number, struct overlay_entry *ret) {
    struct record record;
    bool copied = records_find_number(overlay->records, number, &record) && record.upper;
    if (copied)
        return ask_upper(overlay, record.upper, number, ret);
    if (number >> 63)
        return -EAGAIN;
    int r = overlay->upper ? ask_upper(overlay, number, number, ret) : -ESTALE;
    bool sure = r == -ESTALE;
    for (size_t i = 0; (r == -ESTALE || r == -EAGAIN) && i < overlay->lower_count; i++) {
        struct lower *lower = overlay->lowers[i];
        if (overlay->domains[i])
            continue;
        bool can = lower->ops->find && (!lower->immutable || overlay->finder->asked++ < ASKED_MOST);
        r = can ? ask_lower(overlay, lower, number, ret) : -EAGAIN;
        sure &= r == -ESTALE;
    }
    return r == -ESTALE && !sure ? -EAGAIN : r;
}

static bool has_hints(struct finder *finder) {
    lock(&finder->leaf);
    bool has = finder->noting;
    unlock(&finder->leaf);
    return has;
}

static int search(struct overlay *overlay, uint64_t number, struct overlay_entry *ret) {
    bool had = has_hints(overlay->finder), still = lowers_are_still(overlay);
    int r = had && still ? -EAGAIN : ask_trees(overlay, number, ret);
    if (r == -EAGAIN)
        r = had ? follow_all(overlay, number, ret) : -ESTALE;
    else
        return r;
    if (r != -ESTALE || (had && still))
        return r;
    r = make_hints(overlay);
    return r < 0 ? r : follow_all(overlay, number, ret);
}

int find_number(struct overlay *overlay, uint64_t number, struct overlay_entry *ret) {
    struct finder *finder = overlay->finder;
    lock(&finder->mutex);
    int r = search(overlay, number, ret);
    unlock(&finder->mutex);
    return r;
}
