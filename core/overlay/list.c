/* Listings: the names of a directory merged from all its trees, as they were when the listing was begun.
 * Looks at no entry that the directories themselves tell enough about. SPDX-License-Identifier: GPL-2.0-or-later */
#include "list.h"

#include "at.h"
#include "map.h"
#include "numbers.h"

#include <string.h>

struct item {
    uint64_t ino;
    size_t name;               /* where it begins in `names` */
    unsigned char type;
};

struct listing {
    struct item *items;
    size_t count, room;
    struct buf names;
};

struct listing *listing_free(struct listing *listing) {
    if (!listing)
        return NULL;
    free(listing->items);
    buf_done(&listing->names);
    free(listing);
    return NULL;
}
DEFINE_CLEANUP(struct listing *, listing_free)

/* One pass over all trees of a directory. */
struct gather {
    struct overlay *overlay;
    struct node *node;
    struct listing *listing;   /* NULL: whether there is anything is all that is asked */
    struct map *seen;          /* names that trees above have; NULL: the directory has one tree */
    unsigned lower;            /* the tree that is being listed */
};

static void gather_done(struct gather *gather) {
    gather->seen = map_free(gather->seen, NULL);
}

static int add(struct listing *listing, const char *name, unsigned char type, uint64_t ino) {
    if (MAKE_ROOM(listing->items, listing->count, listing->room) < 0)
        return -ENOMEM;
    listing->items[listing->count++] = (struct item){ .ino = ino, .name = listing->names.size, .type = type };
    buf_add(&listing->names, name, strlen(name) + 1);
    return listing->names.failed;
}

/* 1 = a tree above has this name, 0 = not, and now it is known. */
static int is_covered(struct gather *gather, const char *name) {
    static char there;
    if (!gather->seen)
        return 0;
    if (map_get(gather->seen, name, strlen(name)))
        return 1;
    return map_put(gather->seen, name, strlen(name), &there, NULL) < 0 ? -ENOMEM : 0;
}

/* The number of an entry that its directory does not tell. */
static int look_for_number(struct gather *gather, const char *name, uint64_t *ret) {
    _found_ struct found_ref at = { .overlay = gather->overlay };
    int r = resolve(gather->overlay, gather->node, name, &at.found);
    if (r < 0 || !at.found.is)
        return r < 0 ? r : -ENOENT;
    *ret = object_number(gather->overlay, &at.found);
    return 0;
}

/* `number` 0: it takes a look. */
static int see(struct gather *gather, const char *name, unsigned char type, uint64_t number) {
    int r = is_covered(gather, name);
    if (r != 0 || type == DT_WHT)
        return r < 0 ? r : 0;
    if (!gather->listing)
        return 1;
    r = number ? 0 : look_for_number(gather, name, &number);
    return r == -ENOENT || r == -ESTALE ? 0 : r < 0 ? r : add(gather->listing, name, type, number);
}

static int see_lower(void *data, const char *name, unsigned char type, uint64_t ino) {
    struct gather *gather = data;
    uint64_t number = ino && type != DT_WHT ? name_number(gather->overlay, false, gather->lower, ino) : 0;
    return see(gather, name, type, number);
}

/* The type of an entry of the current layer, whiteouts found out. */
static int upper_type(struct overlay *overlay, int fd, const struct dirent *entry) {
    bool files = atomic_load(&overlay->plain_marks);
    if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_CHR && !(files && entry->d_type == DT_REG))
        return entry->d_type;
    struct stat stat;
    struct timespec birth;
    int r = at_stat(fd, entry->d_name, &stat, &birth);
    if (r >= 0)
        r = marks_is_whiteout(fd, entry->d_name, &stat, files);
    return r < 0 ? r : r ? DT_WHT : (int)IFTODT(stat.st_mode);
}

static int gather_upper(struct gather *gather) {
    _pinned_ struct dir_pinned at = dir_pinned(gather->node->dir.upper);
    _closedir_ DIR *stream = NULL;
    int r = at.fd < 0 ? at.fd : at_list(at.fd, &stream);
    if (r < 0)
        return r;
    for (struct dirent *entry; errno = 0, (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int type = upper_type(gather->overlay, at.fd, entry);
        r = type < 0 ? type : see(gather, entry->d_name, (unsigned char)type, name_number(gather->overlay, true, 0, entry->d_ino));
        if (r != 0)
            return r;
    }
    return -errno;
}

static int gather_parts(struct gather *gather) {
    const struct node *node = gather->node;
    for (unsigned i = 0; i < node->dir.part_count; i++) {
        struct lower *lower = gather->overlay->lowers[node->dir.parts[i].lower];
        gather->lower = node->dir.parts[i].lower;
        int r = lower->ops->list(lower, node->dir.parts[i].dir, see_lower, gather);
        if (r != 0 && r != -ENOENT && r != -ESTALE)      /* a directory may be gone meanwhile, underneath */
            return r;
    }
    return 0;
}

/* `listing` NULL: 1 = there is something. */
static int gather_all(struct overlay *overlay, struct node *node, struct listing *listing) {
    if (node_is(node, NODE_GONE))
        return 0;
    _cleanup_(gather_done) struct gather gather = { .overlay = overlay, .node = node, .listing = listing };
    if (node->dir.part_count + (node->dir.upper ? 1 : 0) > 1 && !(gather.seen = map_new()))
        return -ENOMEM;
    int r = node->dir.upper ? gather_upper(&gather) : 0;
    return r != 0 ? r : gather_parts(&gather);
}

int dir_is_empty(struct overlay *overlay, struct node *node) {
    int r = gather_all(overlay, node, NULL);
    return r < 0 ? r : !r;
}

static uint64_t shown_number(struct overlay *overlay, struct node *node) {
    struct stat stat;
    struct timespec birth;
    if (node != overlay->root)
        return node->number;
    return node_stat(overlay, node, &stat, &birth) < 0 ? OVERLAY_ROOT : stat.st_ino;
}

int listing_make(struct overlay *overlay, struct node *node, struct listing **ret) {
    _cleanup_(listing_freep) struct listing *listing = calloc(1, sizeof(*listing));
    if (!listing)
        return -ENOMEM;
    tree_read(overlay);
    struct place *place = atomic_load(&node->places);
    int r = add(listing, ".", DT_DIR, shown_number(overlay, node));
    if (r >= 0)
        r = add(listing, "..", DT_DIR, shown_number(overlay, place ? place->parent : node));
    if (r >= 0)
        r = gather_all(overlay, node, listing);
    tree_unlock(overlay);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(listing);
    return 0;
}

int listing_read(const struct listing *listing, off_t offset, overlay_name_fn fn, void *data) {
    for (size_t i = (size_t)MAX(offset, (off_t)0); i < listing->count; i++) {
        const struct item *item = &listing->items[i];
        const struct overlay_name name = { .name = listing->names.data + item->name, .ino = item->ino, .type = item->type, .next = (off_t)i + 1 };
        int r = fn(data, &name);
        if (r != 0)
            return r < 0 ? r : 0;
    }
    return 0;
}
