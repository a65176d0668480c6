/* What happened underneath, told to whoever keeps answers.
 *
 * Answers may be on their way while something changes. Those to a question about a name are waited for by the kernel before it drops the
 * name, because it holds the directory for both; so names come first, then what they showed, then listings. Attributes on their way are
 * refused by the kernel if they are older than what it was told. And what is looked up but not entered yet is waited for here, by
 * taking `tree` for writing once. SPDX-License-Identifier: GPL-2.0-or-later */
#include "below.h"

#include "map.h"
#include "numbers.h"

#include <string.h>
#include <sys/eventfd.h>

enum { AT_ONCE = 32, SHOWN_MOST = 8 };     /* names settled while `tree` is held; nodes of one name, old and new */

int heard_open(struct heard *heard) {
    *heard = (struct heard){ .names = map_new(), .nodes = map_new() };
    return heard->names && heard->nodes ? 0 : -ENOMEM;
}

void heard_done(struct heard *heard) {
    map_free(heard->names, free);
    map_free(heard->nodes, free);
    *heard = (struct heard){0};
}

void below_drain(struct overlay *overlay) {
    struct below *below = overlay->below;
    if (below->watch && watch_each_read(below->watch, below_hear, below) < 0)
        below->now.lost = true;
}

static bool has_heard(const struct heard *heard) {
    return heard->lost || map_count(heard->names) || map_count(heard->nodes);
}

static void call_teller(const struct below *below) {
    if (has_heard(&below->now))
        (void)eventfd_write(below->noted, 1);      /* cannot fail below 2^64 calls */
}

void below_overhear(struct overlay *overlay) {
    below_drain(overlay);
    call_teller(overlay->below);
}

/* One name. */

struct settled {
    const struct event *event;
    uint64_t shown[SHOWN_MOST];            /* known under the name before */
    size_t count;
    uint64_t is;                           /* what it shows now, if that is known; 0 */
    bool gone;                             /* nobody holds the directory any more */
};

/* Whoever is known and was found here is here from now on. `tree` is held for writing. */
static void settle_name(struct overlay *overlay, struct settled *settled) {
    _node_ struct node_ref dir = { .overlay = overlay }, is = { .overlay = overlay };
    _found_ struct found_ref at = { .overlay = overlay };
    settled->gone = node_find_dir(overlay, settled->event->node, &dir.node) < 0;
    if (settled->gone)
        return;
    settled->count = nodes_at(overlay, dir.node, settled->event->name, settled->shown, SHOWN_MOST);
    if (!(settled->event->what & WATCH_EACH_NAME) || resolve(overlay, dir.node, settled->event->name, &at.found) < 0 || !at.found.is)
        return;
    is.node = node_meet(overlay, dir.node, settled->event->name, &at.found);
    settled->is = is.node ? is.node->number : 0;
}

static int say(overlay_stale_fn fn, void *data, enum overlay_stale_kind kind, uint64_t node, const char *name) {
    return fn(data, &(struct overlay_stale){ .kind = kind, .node = node, .name = name });
}

/* One name less. The last one stays known, for whoever still has the object open: what happens to it is told under that name. */
static void lose_name(struct overlay *overlay, const struct event *event, uint64_t number) {
    _node_ struct node_ref of = { .overlay = overlay }, dir = { .overlay = overlay };
    if (node_find(overlay, number, &of.node) < 0 || node_find_dir(overlay, event->node, &dir.node) < 0)
        return;
    tree_write(overlay);
    struct place *place = place_find(of.node, dir.node, event->name), *first = atomic_load(&of.node->places);
    bool only = first == place && place && !atomic_load(&place->next);
    if (place && !place->upper && !only)
        place_remove(overlay, of.node, place);
    tree_unlock(overlay);
}

/* An object whose inode nobody knows may be on its way: whoever waits for the name has it then. */
static int say_object(overlay_stale_fn fn, void *data, const struct event *event, enum overlay_stale_kind kind, uint64_t number) {
    int r = say(fn, data, kind, number, NULL);
    if (r <= 0 || event->what & WATCH_EACH_NAME)
        return MIN(r, 0);
    r = say(fn, data, OVERLAY_STALE_NAME, event->node, event->name);
    return r < 0 ? r : MIN(say(fn, data, kind, number, NULL), 0);
}

static int tell_name(struct overlay *overlay, const struct settled *settled, overlay_stale_fn fn, void *data) {
    const struct event *event = settled->event;
    bool named = event->what & WATCH_EACH_NAME;
    bool same = settled->count == 1 && settled->shown[0] == settled->is;
    enum overlay_stale_kind kind = event->what & (WATCH_EACH_NAME | WATCH_EACH_DATA) ? OVERLAY_STALE_DATA : OVERLAY_STALE_ATTRIBUTES;
    int r = named ? say(fn, data, same ? OVERLAY_STALE_NAME : OVERLAY_STALE_DROP, event->node, event->name) : 0;
    bool known = settled->is == 0;
    for (size_t i = 0; r >= 0 && i < settled->count; i++) {
        known |= settled->shown[i] == settled->is;
        r = say_object(fn, data, event, kind, settled->shown[i]);
        if (named && settled->shown[i] != settled->is)
            lose_name(overlay, event, settled->shown[i]);
    }
    if (r >= 0 && !known)                  /* by another name: it has one more, and what was written by this one is in all */
        r = say(fn, data, OVERLAY_STALE_DATA, settled->is, NULL);
    return MIN(r, 0);
}

/* Everything that is kept of a directory and below it. */

static int say_places(struct overlay *overlay, uint64_t number, overlay_stale_fn fn, void *data) {
    _node_ struct node_ref of = { .overlay = overlay };
    _buf_ struct buf names = {0};
    if (node_find(overlay, number, &of.node) < 0)
        return 0;
    tree_read(overlay);
    for (struct place *place = atomic_load(&of.node->places); place; place = atomic_load(&place->next)) {
        buf_add(&names, &place->parent->number, sizeof(place->parent->number));
        buf_add(&names, place->name, strlen(place->name) + 1);
    }
    tree_unlock(overlay);
    int r = names.failed;
    for (const char *at = names.data; r >= 0 && at && at < names.data + names.size; at += strlen(at) + 1) {
        uint64_t parent;
        memcpy(&parent, at, sizeof(parent));
        at += sizeof(parent);
        r = say(fn, data, OVERLAY_STALE_NAME, parent, at);
    }
    return MIN(r, 0);
}

static int tell_all_below(struct overlay *overlay, uint64_t top, overlay_stale_fn fn, void *data) {
    _node_ struct node_ref of = { .overlay = overlay };
    _free_ uint64_t *nodes = NULL;
    size_t count = 0;
    if (node_find(overlay, top, &of.node) < 0)
        return 0;
    int named = say(fn, data, OVERLAY_STALE_ALL_NAMES, top, NULL);
    int r = named < 0 && named != -ENOSYS ? named : nodes_below(overlay, of.node, &nodes, &count);
    for (size_t i = 0; r >= 0 && i < count; i++) {
        r = named == -ENOSYS ? say_places(overlay, nodes[i], fn, data) : 0;
        if (r >= 0)
            r = say(fn, data, OVERLAY_STALE_DATA, nodes[i], NULL);
    }
    return MIN(r, 0);
}

/* A directory that is called otherwise below does not hear what happens to the names that lead there. */
static bool reaches_redirects(const struct overlay *overlay, const struct event *event) {
    return event->what & WATCH_EACH_NAME && event->what & WATCH_EACH_IS_DIR && atomic_load(&overlay->below->redirects);
}

/* All of it. */

static int tell_settled(struct overlay *overlay, const struct settled *settled, size_t count, overlay_stale_fn fn, void *data) {
    int r = 0;
    for (size_t i = 0; r >= 0 && i < count; i++) {
        if (settled[i].gone)
            continue;
        r = tell_name(overlay, &settled[i], fn, data);
        if (r >= 0 && reaches_redirects(overlay, settled[i].event))
            r = tell_all_below(overlay, OVERLAY_ROOT, fn, data);
    }
    return r;
}

static int tell_names(struct overlay *overlay, const struct heard *heard, overlay_stale_fn fn, void *data) {
    struct map_iter at = {0};
    for (bool more = true; more;) {
        struct settled settled[AT_ONCE];
        size_t count = 0;
        tree_write(overlay);
        for (; count < AT_ONCE && (more = map_next(heard->names, &at)); count++) {
            settled[count] = (struct settled){ .event = at.value };
            settle_name(overlay, &settled[count]);
        }
        tree_unlock(overlay);
        int r = tell_settled(overlay, settled, count, fn, data);
        if (r < 0)
            return r;
    }
    return 0;
}

static int tell_nodes(struct overlay *overlay, const struct heard *heard, overlay_stale_fn fn, void *data) {
    int r = 0;
    for (struct map_iter i = {0}; r >= 0 && map_next(heard->nodes, &i);) {
        const struct event *event = i.value;
        bool whole = event->what & (WATCH_EACH_DATA | WATCH_EACH_PLACE);
        if (event->what & MERGES)
            r = tell_all_below(overlay, event->node, fn, data);
        else
            r = say(fn, data, whole ? OVERLAY_STALE_DATA : OVERLAY_STALE_ATTRIBUTES, event->node, NULL);
    }
    return MIN(r, 0);
}

/* A directory that moved is another one at the place where it was. */
static int name_moved(struct overlay *overlay, struct heard *heard) {
    for (struct map_iter i = {0}; map_next(heard->nodes, &i);) {
        const struct event *event = i.value;
        _node_ struct node_ref of = { .overlay = overlay };
        if (!(event->what & WATCH_EACH_PLACE) || node_find(overlay, event->node, &of.node) < 0 || !node_is_dir(of.node))
            continue;
        tree_read(overlay);
        below_lock(overlay->below);
        struct place *place = atomic_load(&of.node->places);
        int r = place ? event_note(heard->names, place->parent->number, place->name, WATCH_EACH_NAME | WATCH_EACH_IS_DIR) : 0;
        below_unlock(overlay->below);
        tree_unlock(overlay);
        if (r < 0)
            return r;
    }
    return 0;
}

static int tell_heard(struct overlay *overlay, struct heard *heard, overlay_stale_fn fn, void *data) {
    if (heard->lost || name_moved(overlay, heard) < 0)
        return tell_all_below(overlay, OVERLAY_ROOT, fn, data);
    int r = tell_names(overlay, heard, fn, data);
    return r < 0 ? r : tell_nodes(overlay, heard, fn, data);
}

/* Whoever asks meanwhile finds what is being told in `telling`. 1 = what was found out by this has to be told, too. */
static int tell_once(struct overlay *overlay, overlay_stale_fn fn, void *data) {
    struct below *below = overlay->below;
    struct heard empty;
    if (heard_open(&empty) < 0) {
        heard_done(&empty);
        return -ENOMEM;
    }
    eventfd_t calls;
    below_lock(below);
    (void)eventfd_read(below->noted, &calls);      /* there may be none */
    below_drain(overlay);
    struct heard old = below->telling;
    below->telling = below->now;
    below->now = empty;
    below_unlock(below);
    heard_done(&old);
    int r = 0;
    if (has_heard(&below->telling)) {
        tree_write(overlay);               /* what was looked up before is entered when this is ours */
        tree_unlock(overlay);
        r = tell_heard(overlay, &below->telling, fn, data);
    }
    if (heard_open(&empty) < 0) {
        heard_done(&empty);
        return r < 0 ? r : -ENOMEM;        /* what was told stays doubtful */
    }
    below_lock(below);
    old = below->telling;
    below->telling = empty;
    below->now.lost |= r < 0;               /* who was not told all has to doubt everything */
    call_teller(below);
    bool more = below->now.merges;
    below_unlock(below);
    heard_done(&old);
    return r < 0 ? r : more;
}

int overlay_tell(struct overlay *overlay, overlay_stale_fn fn, void *data) {
    int r = overlay->below ? 1 : 0;
    while (r > 0)
        r = tell_once(overlay, fn, data);
    return r;
}

void below_merges(struct overlay *overlay, const struct node *dir) {
    struct below *below = overlay->below;
    if (!below)
        return;
    below_lock(below);
    below->now.lost |= event_note(below->now.nodes, dir->number, "", MERGES) < 0;
    below->now.merges = true;
    call_teller(below);
    below_unlock(below);
}

static bool has(const struct heard *heard, uint64_t node, const char *name) {
    _buf_ struct buf key = {0};
    buf_add(&key, &node, sizeof(node));
    buf_str(&key, name);
    return key.failed || map_get(*name ? heard->names : heard->nodes, key.data, key.size);
}

static bool is_changed(const struct below *below, uint64_t node, const char *name) {
    return below->now.lost || below->telling.lost || has(&below->now, node, name) || has(&below->telling, node, name);
}

static bool has_any(const struct below *below) {
    return has_heard(&below->now) || has_heard(&below->telling);
}

void below_doubt_name(struct overlay *overlay, const struct node *dir, const char *name) {
    struct below *below = overlay->below;
    if (!below)
        return;
    below_lock(below);
    below->now.lost |= event_note(below->now.names, dir->number, name, WATCH_EACH_NAME) < 0;
    call_teller(below);
    below_unlock(below);
}

/* One of its names, or one of those that lead there. */
static bool is_renamed(const struct below *below, const struct node *node) {
    for (struct place *place = atomic_load(&node->places); place; place = atomic_load(&place->next)) {
        if (is_changed(below, place->parent->number, place->name))
            return true;
        for (struct place *up = place; (up = atomic_load(&up->parent->places));)
            if (is_changed(below, up->parent->number, up->name))
                return true;
    }
    return false;
}

int overlay_is_doubtful(struct overlay *overlay, uint64_t number) {
    _node_ struct node_ref of = { .overlay = overlay };
    struct below *below = overlay->below;
    int r = below ? node_find(overlay, number, &of.node) : 0;
    if (!below || r < 0)
        return r;
    tree_read(overlay);
    below_lock(below);
    below_overhear(overlay);
    bool changed = has_any(below) && (is_changed(below, number, "") || is_renamed(below, of.node));
    below_unlock(below);
    tree_unlock(overlay);
    return changed;
}
