/* Nodes: the table by number, references, places; and the locks.
 * Decides nothing about what a name shows: lookup.c does. SPDX-License-Identifier: GPL-2.0-or-later */
#include "node.h"

#include "below.h"
#include "numbers.h"
#include "records.h"

#include <string.h>

enum { SLOTS_AT_FIRST = 1024 };

/* Locks. */

static void must(int r) {
    if (r != 0)
        abort();
}

void tree_read(struct overlay *overlay) {
    must(pthread_rwlock_rdlock(&overlay->tree));
}

void tree_write(struct overlay *overlay) {
    must(pthread_rwlock_wrlock(&overlay->tree));
}

void tree_unlock(struct overlay *overlay) {
    must(pthread_rwlock_unlock(&overlay->tree));
}

struct stripe *node_lock(struct overlay *overlay, struct node *node) {
    struct stripe *stripe = &overlay->stripes[node->number % STRIPES];
    must(pthread_mutex_lock(&stripe->mutex));
    return stripe;
}

void node_unlock(struct stripe *stripe) {
    must(pthread_mutex_unlock(&stripe->mutex));
}

static void table_lock(struct overlay *overlay) {
    must(pthread_mutex_lock(&overlay->table));
}

static void table_unlock(struct overlay *overlay) {
    must(pthread_mutex_unlock(&overlay->table));
}

/* The table. */

static struct node **slot_of(struct overlay *overlay, uint64_t number) {
    return &overlay->slots[mix(number) & (overlay->slot_count - 1)];
}

static struct node *table_get(struct overlay *overlay, uint64_t number) {
    if (number == OVERLAY_ROOT)
        return overlay->root;
    struct node *node = overlay->slot_count ? *slot_of(overlay, number) : NULL;
    while (node && node->number != number)
        node = node->next;
    return node;
}

/* A table that cannot grow only becomes slower. */
static int table_grow(struct overlay *overlay) {
    size_t count = overlay->slot_count ? 2 * overlay->slot_count : SLOTS_AT_FIRST, old_count = overlay->slot_count;
    struct node **slots = calloc(count, sizeof(*slots)), **old = overlay->slots;
    if (!slots)
        return overlay->slot_count ? 0 : -ENOMEM;
    overlay->slots = slots;
    overlay->slot_count = count;
    for (size_t i = 0; i < old_count; i++) {
        for (struct node *node = old[i], *next; node; node = next) {
            struct node **slot = slot_of(overlay, node->number);
            next = node->next;
            node->next = *slot;
            *slot = node;
        }
    }
    free(old);
    return 0;
}

static int table_put(struct overlay *overlay, struct node *node) {
    int r = overlay->node_count >= overlay->slot_count ? table_grow(overlay) : 0;
    if (r < 0)
        return r;
    struct node **slot = slot_of(overlay, node->number);
    node->next = *slot;
    *slot = node;
    overlay->node_count++;
    return 0;
}

static void table_take_out(struct overlay *overlay, struct node *node) {
    struct node **at = slot_of(overlay, node->number);
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    overlay->node_count--;
}

/* Places by parent and name, for those who hear of a name. Under the table's mutex. */

static size_t name_slot(const struct overlay *overlay, const struct node *parent, const char *name) {
    uint64_t hash = parent->number;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3U;
    return mix(hash) & (overlay->by_name_count - 1);
}

static void by_name_grow(struct overlay *overlay) {
    size_t old_count = overlay->by_name_count, count = old_count ? 2 * old_count : SLOTS_AT_FIRST;
    struct place **slots = calloc(count, sizeof(*slots)), **old = overlay->by_name;
    if (!slots)
        return;                            /* it becomes slower; the first one is made at the start */
    overlay->by_name = slots;
    overlay->by_name_count = count;
    for (size_t i = 0; i < old_count; i++) {
        for (struct place *place = old[i], *next; place; place = next) {
            struct place **slot = &slots[name_slot(overlay, place->parent, place->name)];
            next = place->same;
            place->same = *slot;
            *slot = place;
        }
    }
    free(old);
}

int by_name_open(struct overlay *overlay) {
    by_name_grow(overlay);
    return overlay->by_name ? 0 : -ENOMEM;
}

static void by_name_add(struct overlay *overlay, struct node *node, struct place *place) {
    if (!overlay->by_name)
        return;
    if (overlay->place_count++ >= overlay->by_name_count)
        by_name_grow(overlay);
    struct place **slot = &overlay->by_name[name_slot(overlay, place->parent, place->name)];
    place->node = node;
    place->same = *slot;
    *slot = place;
}

static void by_name_remove(struct overlay *overlay, const struct place *place) {
    if (!overlay->by_name)
        return;
    struct place **at = &overlay->by_name[name_slot(overlay, place->parent, place->name)];
    while (*at != place)
        at = &(*at)->same;
    *at = place->same;
    overlay->place_count--;
}

size_t nodes_at(struct overlay *overlay, const struct node *parent, const char *name, uint64_t *ret, size_t room) {
    size_t count = 0;
    table_lock(overlay);
    for (struct place *place = overlay->by_name[name_slot(overlay, parent, name)]; place && count < room; place = place->same) {
        if (place->parent == parent && strcmp(place->name, name) == 0)
            ret[count++] = place->node->number;
    }
    table_unlock(overlay);
    return count;
}

static bool lies_below(const struct node *node, const struct node *top) {
    for (struct place *place; node != top; node = place->parent) {
        place = atomic_load(&node->places);
        if (!place)
            return false;
    }
    return true;
}

int nodes_below(struct overlay *overlay, const struct node *top, uint64_t **ret, size_t *ret_count) {
    table_lock(overlay);
    size_t count = 0;
    uint64_t *numbers = malloc((overlay->node_count + 1) * sizeof(*numbers));
    for (size_t i = 0; numbers && i < overlay->slot_count; i++) {
        for (const struct node *node = overlay->slots[i]; node; node = node->next)
            if (lies_below(node, top))
                numbers[count++] = node->number;
    }
    if (numbers && top == overlay->root)
        numbers[count++] = OVERLAY_ROOT;
    table_unlock(overlay);
    if (!numbers)
        return -ENOMEM;
    *ret = numbers;
    *ret_count = count;
    return 0;
}

/* References. */

int node_find(struct overlay *overlay, uint64_t number, struct node **ret) {
    table_lock(overlay);
    struct node *node = table_get(overlay, number);
    if (node)
        node->refs++;
    table_unlock(overlay);
    *ret = node;
    return node ? 0 : -ESTALE;
}

int node_find_dir(struct overlay *overlay, uint64_t number, struct node **ret) {
    struct node *node = NULL;
    int r = node_find(overlay, number, &node);
    if (r < 0)
        return r;
    if (!node_is_dir(node)) {
        node_unref(overlay, node);
        return -ENOTDIR;
    }
    *ret = node;
    return 0;
}

void node_ref(struct overlay *overlay, struct node *node) {
    table_lock(overlay);
    node->refs++;
    table_unlock(overlay);
}

static void parts_free(struct overlay *overlay, const struct node *node, struct part *parts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        overlay->lowers[parts[i].lower]->ops->unref(overlay->lowers[parts[i].lower], parts[i].dir);
        if (parts[i].watch)
            below_drop(overlay, node->number, parts[i].watch);
    }
    free(parts);
}

/* Its parents are let go by the caller, who owns its places afterwards. */
static struct place *node_free(struct overlay *overlay, struct node *node) {
    struct place *places = atomic_load(&node->places);
    if (node_is_dir(node)) {
        (void)dir_unref(node->dir.upper);
        parts_free(overlay, node, node->dir.parts, node->dir.part_count);
        free(node->dir.redirect);
        if (node_is(node, NODE_UNCOVERED))
            below_uncovered(overlay, -1);
    } else {
        if (node->file.watch)
            below_drop(overlay, node->number, node->file.watch);
        lower_place_unref(overlay, node->file.meta);
        lower_place_unref(overlay, node->file.data);
    }
    (void)fd_close(atomic_load(&node->fd));
    free(node);
    return places;
}

/* Under the table's mutex: whether that was the last one, and then it is out of the table. */
static bool let_go(struct overlay *overlay, struct node *node, uint64_t lookups, unsigned refs) {
    node->lookups -= MIN(node->lookups, lookups);
    node->refs -= refs;
    if (node->lookups || node->refs || node == overlay->root)
        return false;
    table_take_out(overlay, node);
    for (struct place *place = atomic_load(&node->places); place; place = atomic_load(&place->next))
        by_name_remove(overlay, place);
    return true;
}

/* What is not reachable any more goes, and then perhaps its parents. */
static void bury(struct overlay *overlay, struct node *node) {
    struct place *places = node_free(overlay, node);
    while (places) {
        struct place *place = places;
        struct node *parent = place->parent;
        places = atomic_load(&place->next);
        free(place);
        table_lock(overlay);
        bool last = let_go(overlay, parent, 0, 1);
        table_unlock(overlay);
        if (!last)
            continue;
        struct place *more = node_free(overlay, parent), *tail = more;
        while (tail && atomic_load(&tail->next))
            tail = atomic_load(&tail->next);
        if (tail)
            atomic_store(&tail->next, places);
        places = more ? more : places;
    }
}

void node_unref(struct overlay *overlay, struct node *node) {
    table_lock(overlay);
    bool last = let_go(overlay, node, 0, 1);
    table_unlock(overlay);
    if (last)
        bury(overlay, node);
}

void node_held(struct overlay *overlay, struct node *node) {
    table_lock(overlay);
    node->lookups++;
    node->refs--;
    table_unlock(overlay);
}

void overlay_forget(struct overlay *overlay, uint64_t number, uint64_t count) {
    table_lock(overlay);
    struct node *node = table_get(overlay, number);
    bool last = node && let_go(overlay, node, count, 0);
    table_unlock(overlay);
    if (last)
        bury(overlay, node);
}

/* Places. */

struct place *place_new(struct node *parent, const char *name, bool upper) {
    size_t size = strlen(name) + 1;
    struct place *place = malloc(sizeof(*place) + size);
    if (!place)
        return NULL;
    *place = (struct place){ .parent = parent, .upper = upper };
    memcpy(place->name, name, size);
    return place;
}

static void add_place(struct overlay *overlay, struct node *node, struct place *place) {
    place->parent->refs++;
    by_name_add(overlay, node, place);
    atomic_store(&place->next, atomic_load(&node->places));
    atomic_store(&node->places, place);
}

void place_add(struct overlay *overlay, struct node *node, struct place *place) {
    table_lock(overlay);
    add_place(overlay, node, place);
    table_unlock(overlay);
}

struct place *place_find(struct node *node, struct node *parent, const char *name) {
    struct place *place = atomic_load(&node->places);
    while (place && (place->parent != parent || strcmp(place->name, name) != 0))
        place = atomic_load(&place->next);
    return place;
}

struct place *place_upper(struct node *node) {
    struct place *place = atomic_load(&node->places);
    while (place && !place->upper)
        place = atomic_load(&place->next);
    return place;
}

void place_remove(struct overlay *overlay, struct node *node, struct place *place) {
    _Atomic(struct place *) *at = &node->places;
    table_lock(overlay);
    by_name_remove(overlay, place);
    while (atomic_load(at) != place)
        at = &atomic_load(at)->next;
    atomic_store(at, atomic_load(&place->next));
    table_unlock(overlay);
    node_unref(overlay, place->parent);
    free(place);
}

/* Places in lower trees. */

struct lower_place *lower_place_new(struct overlay *overlay, unsigned lower, struct lower_dir *dir, const char *name) {
    size_t size = strlen(name) + 1;
    struct lower_place *place = malloc(sizeof(*place) + size);
    if (!place)
        return NULL;
    *place = (struct lower_place){ .refs = 1, .lower = lower, .dir = overlay->lowers[lower]->ops->ref(dir) };
    memcpy(place->name, name, size);
    return place;
}

struct lower_place *lower_place_ref(struct lower_place *place) {
    if (place)
        atomic_fetch_add(&place->refs, 1);
    return place;
}

void lower_place_unref(struct overlay *overlay, struct lower_place *place) {
    if (!place || atomic_fetch_sub(&place->refs, 1) != 1)
        return;
    struct lower *lower = overlay->lowers[place->lower];
    lower->ops->unref(lower, place->dir);
    free(place);
}

struct lower_place *node_meta(struct overlay *overlay, struct node *node) {
    struct stripe *stripe = node_lock(overlay, node);
    struct lower_place *place = lower_place_ref(node->file.meta);
    node_unlock(stripe);
    return place;
}

struct lower_place *node_data(struct overlay *overlay, struct node *node) {
    struct stripe *stripe = node_lock(overlay, node);
    struct lower_place *place = lower_place_ref(node->file.data ? node->file.data : node->file.meta);
    node_unlock(stripe);
    return place;
}

/* Entering. */

static bool same_parts(const struct node *node, const struct found *found) {
    if (node->dir.part_count != found->part_count)
        return false;
    for (size_t i = 0; i < found->part_count; i++) {
        if (node->dir.parts[i].lower != found->parts[i].lower || node->dir.parts[i].ino != found->parts[i].ino)
            return false;
    }
    return true;
}

/* A snapshot's numbers have hashes of places in them: two files that are equal may have one number. */
static bool is_elsewhere(struct overlay *overlay, struct node *node, struct node *parent, const char *name, const struct found *found) {
    return !node_is_dir(node) && found->stat.st_nlink == 1 && overlay->lowers[found->lower]->immutable && atomic_load(&node->places)
        && !place_find(node, parent, name);
}

static bool is_same(struct overlay *overlay, struct node *node, struct node *parent, const char *name, const struct found *found) {
    if (node->type != (found->stat.st_mode & S_IFMT) || node_is(node, NODE_GONE))
        return false;
    if (node->real != found->stat.st_ino || node_is(node, NODE_UPPER) != found_in_upper(found))
        return false;
    return found_in_upper(found) || (node->generation == found->generation && !is_elsewhere(overlay, node, parent, name, found));
}

/* Under the table's mutex. A number that somebody else has is replaced by a computed one. */
static struct node *find_same(struct overlay *overlay, struct node *parent, const char *name, const struct found *found, uint64_t *ret_number) {
    uint64_t number = object_number(overlay, found);
    for (unsigned i = 0;; i++) {
        struct node *node = table_get(overlay, number);
        if (!node || is_same(overlay, node, parent, name, found)) {
            *ret_number = number;
            return node;
        }
        number = computed_number(number + i, found->generation);
    }
}

static struct node *make_node(struct overlay *overlay, uint64_t number, struct node *parent, const char *name, struct found *found) {
    struct dir *upper = NULL;
    bool is_dir = S_ISDIR(found->stat.st_mode);
    struct node *node = calloc(1, sizeof(*node));
    struct place *place = place_new(parent, name, found->upper);
    if (is_dir && found->upper)
        upper = dir_child(parent->dir.upper, name);
    if (!node || !place || (is_dir && found->upper && !upper)) {
        (void)dir_unref(upper);
        free(node);
        free(place);
        return NULL;
    }
    struct record record;
    bool known = found_in_upper(found) && records_find(overlay->records, found->stat.st_ino, &record);
    *node = (struct node){
        .number = number, .generation = known ? record.generation : found->generation, .type = found->stat.st_mode & S_IFMT,
        .flags = (found_in_upper(found) ? NODE_UPPER : 0) | (found->metacopy ? NODE_METACOPY : 0), .fd = -1, .real = found->stat.st_ino,
    };
    if (is_dir) {
        node->dir.upper = upper;
        node->dir.parts = TAKE_PTR(found->parts);
        node->dir.part_count = (unsigned)found->part_count;
        node->dir.redirect = TAKE_PTR(found->redirect);
        found->part_count = 0;
        if (node->dir.redirect)
            below_redirected(overlay);
    } else {
        node->file.meta = TAKE_PTR(found->meta);
        node->file.data = TAKE_PTR(found->data);
    }
    add_place(overlay, node, place);
    return node;
}

/* Watches are on objects: those of trees that stay, stay. Whether that is all of them, the next question finds out. */
static void keep_watches(struct node *node, struct found *found) {
    node_unmark(node, NODE_WATCHED);
    for (size_t i = 0; i < found->part_count; i++) {
        for (unsigned j = 0; j < node->dir.part_count; j++) {
            struct part *old = &node->dir.parts[j];
            if (old->lower == found->parts[i].lower && old->ino == found->parts[i].ino) {
                found->parts[i].watch = old->watch;
                old->watch = 0;
            }
        }
    }
}

/* A directory was moved or merges something else now, underneath. */
static int reseat_dir(struct overlay *overlay, struct node *node, struct node *parent, const char *name, struct found *found) {
    struct place *place = place_new(parent, name, found->upper), *old = atomic_load(&node->places);
    if (!place)
        return -ENOMEM;
    if (!same_parts(node, found))
        below_merges(overlay, node);
    keep_watches(node, found);
    parts_free(overlay, node, node->dir.parts, node->dir.part_count);
    node->dir.parts = TAKE_PTR(found->parts);
    node->dir.part_count = (unsigned)found->part_count;
    found->part_count = 0;
    node_unmark(node, NODE_LOST);
    place_add(overlay, node, place);
    if (old)
        place_remove(overlay, node, old);
    return ENTER_DONE;
}

static int meet_dir(struct overlay *overlay, struct node *node, struct node *parent, const char *name, struct found *found, bool writing) {
    struct place *place = atomic_load(&node->places);
    bool same_place = place && place->parent == parent && strcmp(place->name, name) == 0;
    if (same_place && same_parts(node, found)) {
        node_unmark(node, NODE_LOST);
        return ENTER_DONE;
    }
    return writing ? reseat_dir(overlay, node, parent, name, found) : ENTER_AGAIN;
}

/* A name that was not known, and where the lower file is called now. */
static int meet_file(struct overlay *overlay, struct node *node, struct node *parent, const char *name, struct found *found) {
    struct place *place = place_new(parent, name, found->upper);
    if (!place)
        return -ENOMEM;
    table_lock(overlay);
    if (!place_find(node, parent, name))
        add_place(overlay, node, TAKE_PTR(place));
    table_unlock(overlay);
    free(place);
    node_unmark(node, NODE_LOST);
    if (!found->meta)
        return ENTER_DONE;
    struct stripe *stripe = node_lock(overlay, node);
    struct lower_place *old_meta = node->file.meta, *old_data = node->file.data;
    node->file.meta = TAKE_PTR(found->meta);
    node->file.data = TAKE_PTR(found->data);
    node_unlock(stripe);
    lower_place_unref(overlay, old_meta);
    lower_place_unref(overlay, old_data);
    return ENTER_DONE;
}

int node_enter(struct overlay *overlay, struct node *parent, const char *name, struct found *found, bool writing, struct node **ret) {
    uint64_t number;
    table_lock(overlay);
    struct node *node = find_same(overlay, parent, name, found, &number);
    bool is_new = !node;
    if (is_new) {
        node = make_node(overlay, number, parent, name, found);
        if (node && table_put(overlay, node) < 0) {
            table_unlock(overlay);
            bury(overlay, node);
            return -ENOMEM;
        }
    }
    if (node)
        node->refs++;
    table_unlock(overlay);
    if (!node)
        return -ENOMEM;
    int r = is_new ? ENTER_DONE : node_is_dir(node) ? meet_dir(overlay, node, parent, name, found, writing)
        : meet_file(overlay, node, parent, name, found);
    if (r != ENTER_DONE)
        node_unref(overlay, node);
    else
        *ret = node;
    return r;
}

struct node *node_meet(struct overlay *overlay, struct node *parent, const char *name, struct found *found) {
    uint64_t number;
    table_lock(overlay);
    struct node *node = find_same(overlay, parent, name, found, &number);
    if (node)
        node->refs++;
    table_unlock(overlay);
    int r = !node ? 0 : node_is_dir(node) ? reseat_dir(overlay, node, parent, name, found) : meet_file(overlay, node, parent, name, found);
    if (r >= 0)
        return node;
    node_unref(overlay, node);
    return NULL;
}

struct node *node_known(struct overlay *overlay, struct node *parent, const char *name, const struct found *found) {
    uint64_t number;
    table_lock(overlay);
    struct node *node = find_same(overlay, parent, name, found, &number);
    if (node && (!node_is_dir(node) || place_find(node, parent, name)))
        node->refs++;
    else
        node = NULL;
    table_unlock(overlay);
    return node;
}
