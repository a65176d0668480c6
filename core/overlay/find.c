/* Objects by number alone, which nobody has looked up since the start: handles that a file server kept.
 *
 * A number does not say where its object is, so all directories are listed once, without looking at any entry: listings tell numbers.
 * What is remembered is in which directory each number was; that is a hint, and proved by looking there.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "find.h"

#include "list.h"

#include <stdio.h>
#include <string.h>

struct hint { uint64_t number, parent; };

struct finder {
    pthread_mutex_t mutex;     /* before all other locks */
    struct hint *hints;        /* sorted; 16 bytes an object */
    size_t count, room;
    unsigned long names;       /* what changed names so far, when they were made */
    bool made;
};

int finder_open(struct finder **ret) {
    struct finder *finder = calloc(1, sizeof(*finder));
    int r = finder ? -pthread_mutex_init(&finder->mutex, NULL) : -ENOMEM;
    if (r < 0) {
        free(finder);
        return r;
    }
    *ret = finder;
    return 0;
}

struct finder *finder_close(struct finder *finder) {
    if (!finder)
        return NULL;
    free(finder->hints);
    (void)pthread_mutex_destroy(&finder->mutex);
    free(finder);
    return NULL;
}

/* Making hints. */

/* Directories that wait, each held by one lookup. */
struct walk {
    struct overlay *overlay;
    struct finder *finder;
    uint64_t at;               /* the directory that is being listed */
    uint64_t *dirs;
    size_t count, room;
};

static int hint_name(void *data, const struct overlay_name *name) {
    struct walk *walk = data;
    struct finder *finder = walk->finder;
    struct overlay_entry entry;
    if (strcmp(name->name, ".") == 0 || strcmp(name->name, "..") == 0)
        return 0;
    if (MAKE_ROOM(finder->hints, finder->count, finder->room) < 0 || MAKE_ROOM(walk->dirs, walk->count, walk->room) < 0)
        return -ENOMEM;
    finder->hints[finder->count++] = (struct hint){ .number = name->ino, .parent = walk->at };
    if (name->type != DT_DIR)
        return 0;
    int r = overlay_lookup(walk->overlay, walk->at, name->name, &entry);
    if (r >= 0)
        walk->dirs[walk->count++] = entry.node;
    return r == -ENOENT || r == -ESTALE ? 0 : r;
}

static int list_dir(struct overlay *overlay, uint64_t number, overlay_name_fn fn, void *data) {
    _node_ struct node_ref of = { .overlay = overlay };
    struct listing *listing = NULL;
    int r = node_find_dir(overlay, number, &of.node);
    if (r >= 0)
        r = listing_make(overlay, of.node, &listing);
    if (r >= 0)
        r = listing_read(listing, 0, fn, data);
    (void)listing_free(listing);
    return r;
}

static int by_number(const void *a, const void *b) {
    const struct hint *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int make_hints(struct overlay *overlay, struct finder *finder) {
    struct walk walk = { .overlay = overlay, .finder = finder, .at = OVERLAY_ROOT };
    finder->count = 0;
    finder->names = atomic_load(&overlay->changes);
    int r = list_dir(overlay, OVERLAY_ROOT, hint_name, &walk);
    while (walk.count > 0) {
        walk.at = walk.dirs[--walk.count];
        if (r >= 0)
            r = list_dir(overlay, walk.at, hint_name, &walk);
        overlay_forget(overlay, walk.at, 1);
    }
    free(walk.dirs);
    if (finder->count)
        qsort(finder->hints, finder->count, sizeof(*finder->hints), by_number);
    finder->made = r >= 0;
    return r;
}

/* Nothing can be where it was not. */
static bool is_current(struct overlay *overlay, const struct finder *finder) {
    bool current = finder->made && finder->names == atomic_load(&overlay->changes);
    for (size_t i = 0; current && i < overlay->lower_count; i++)
        current = overlay->lowers[i]->immutable;
    return current;
}

/* Following them. */

struct wanted { uint64_t number; char name[256]; };

static int match(void *data, const struct overlay_name *name) {
    struct wanted *wanted = data;
    if (name->ino != wanted->number || strcmp(name->name, ".") == 0 || strcmp(name->name, "..") == 0)
        return 0;
    (void)snprintf(wanted->name, sizeof(wanted->name), "%s", name->name);
    return 1;
}

static int step_into(struct overlay *overlay, uint64_t parent, uint64_t number, struct overlay_entry *ret) {
    struct wanted wanted = { .number = number };
    struct overlay_entry entry;
    int r = list_dir(overlay, parent, match, &wanted);
    if (r < 0 || !*wanted.name)
        return r == -ENOENT || r >= 0 ? -ESTALE : r;
    r = overlay_lookup(overlay, parent, wanted.name, &entry);
    if (r < 0)
        return r == -ENOENT ? -ESTALE : r;
    if (entry.node != number) {
        overlay_forget(overlay, entry.node, 1);
        return -ESTALE;
    }
    *ret = entry;
    return 0;
}

static bool is_known(struct overlay *overlay, uint64_t number) {
    struct node *node = NULL;
    if (node_find(overlay, number, &node) < 0)
        return false;
    node_unref(overlay, node);
    return true;
}

/* The directories above it, up to one that is known; its own number first. */
static int find_chain(struct overlay *overlay, const struct finder *finder, uint64_t number, uint64_t **ret, size_t *ret_count) {
    _free_ uint64_t *chain = NULL;
    size_t count = 0, room = 0;
    do {
        const struct hint key = { .number = number };
        const struct hint *hint = finder->count ? bsearch(&key, finder->hints, finder->count, sizeof(key), by_number) : NULL;
        if (!hint || count > finder->count)
            return -ESTALE;
        if (MAKE_ROOM(chain, count, room) < 0)
            return -ENOMEM;
        chain[count++] = number;
        number = hint->parent;
    } while (!is_known(overlay, number));
    if (MAKE_ROOM(chain, count, room) < 0)
        return -ENOMEM;
    chain[count++] = number;
    *ret = TAKE_PTR(chain);
    *ret_count = count;
    return 0;
}

static int follow_hints(struct overlay *overlay, const struct finder *finder, uint64_t number, struct overlay_entry *ret) {
    _free_ uint64_t *chain = NULL;
    size_t count = 0;
    struct overlay_entry entry = {0};
    int r = find_chain(overlay, finder, number, &chain, &count);
    for (size_t i = count; r >= 0 && i > 1; i--) {
        uint64_t held = entry.node;
        r = step_into(overlay, chain[i - 1], chain[i - 2], &entry);
        if (held)
            overlay_forget(overlay, held, 1);
    }
    if (r >= 0)
        *ret = entry;
    return r;
}

int find_number(struct overlay *overlay, uint64_t number, struct overlay_entry *ret) {
    struct finder *finder = overlay->finder;
    if (pthread_mutex_lock(&finder->mutex) != 0)
        abort();
    int r = finder->made ? follow_hints(overlay, finder, number, ret) : -ESTALE;
    if (r == -ESTALE && !is_current(overlay, finder)) {
        r = make_hints(overlay, finder);
        if (r >= 0)
            r = follow_hints(overlay, finder, number, ret);
    }
    if (pthread_mutex_unlock(&finder->mutex) != 0)
        abort();
    return r;
}
