/* What is watched while lower trees are followed, and what may be kept because it is.
 * Watches first, so that whoever looks afterwards is told of everything that comes later. SPDX-License-Identifier: GPL-2.0-or-later */
#include "below.h"

#include "map.h"
#include "numbers.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

enum { HEARD_MOST = 65536 };           /* names that wait to be told; as a queue of the kernel's, four times */

/* One watched object, and whose it is: two nodes for an instant, while a directory changes hands. */
struct cover { size_t count, room; uint64_t *nodes; };

static int add_fd(int to, int fd) {
    return fd < 0 || epoll_ctl(to, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN }) < 0 ? -errno : 0;
}

static int open_fd(struct below *below) {
    below->fd = epoll_create1(EPOLL_CLOEXEC);
    below->noted = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = below->fd < 0 ? -errno : add_fd(below->fd, below->noted);
    return r < 0 || !below->watch ? r : add_fd(below->fd, watch_each_fd(below->watch));
}

int below_open(struct overlay *overlay, unsigned watches_max) {
    struct below *below = calloc(1, sizeof(*below));
    if (!below || pthread_mutex_init(&below->mutex, NULL) != 0) {
        free(below);
        return -ENOMEM;
    }
    overlay->below = below;
    below->noted = below->fd = -1;
    for (size_t i = 0; i < RECENT; i++)
        below->recent[i].fd = -1;
    below->watches_max = watches_max ? watches_max : watch_each_share();
    below->covers = map_new();
    below->handles = map_new();
    if (!below->covers || !below->handles || heard_open(&below->now) < 0 || heard_open(&below->telling) < 0 || by_name_open(overlay) < 0)
        return -ENOMEM;
    int r = watch_each_open(&below->watch);
    if (r < 0 && r != -ENOMEM)
        overlay_log(overlay, "changes underneath cannot be watched, and are asked for each time: %s", strerror(-r));
    return r == -ENOMEM ? r : open_fd(below);
}

static void cover_free(void *value) {
    struct cover *cover = value;
    free(cover->nodes);
    free(cover);
}

struct below *below_close(struct below *below) {
    if (!below)
        return NULL;
    watch_each_close(below->watch);
    for (size_t i = 0; i < RECENT; i++)
        fd_close(below->recent[i].fd);
    fd_close(below->noted);
    fd_close(below->fd);
    map_free(below->covers, cover_free);
    map_free(below->handles, NULL);
    heard_done(&below->now);
    heard_done(&below->telling);
    (void)pthread_mutex_destroy(&below->mutex);
    free(below);
    return NULL;
}

/* Watches. */

static int cover_add(struct below *below, int watch, uint64_t node) {
    struct cover *cover = map_get(below->covers, &watch, sizeof(watch));
    if (!cover && (!(cover = calloc(1, sizeof(*cover))) || map_put(below->covers, &watch, sizeof(watch), cover, NULL) < 0)) {
        free(cover);
        return -ENOMEM;
    }
    for (size_t i = 0; i < cover->count; i++)
        if (cover->nodes[i] == node)
            return 0;
    if (MAKE_ROOM(cover->nodes, cover->count, cover->room) < 0)
        return -ENOMEM;
    cover->nodes[cover->count++] = node;
    return 0;
}

static void cover_drop(struct below *below, int watch, uint64_t node) {
    struct cover *cover = map_get(below->covers, &watch, sizeof(watch));
    if (!cover)
        return;
    for (size_t i = 0; i < cover->count; i++)
        if (cover->nodes[i] == node)
            cover->nodes[i] = cover->nodes[--cover->count];
    if (cover->count)
        return;
    cover_free(map_remove(below->covers, &watch, sizeof(watch)));
    watch_each_drop(below->watch, watch);
}

void below_drop(struct overlay *overlay, uint64_t node, int watch) {
    below_lock(overlay->below);
    cover_drop(overlay->below, watch, node);
    below_unlock(overlay->below);
}

/* Takes the descriptor. *ret: what holds the watch, written under the mutex, since two threads may come with the same. */
static bool watch_object(struct overlay *overlay, uint64_t node, int fd, int *ret) {
    struct below *below = overlay->below;
    below_lock(below);
    if (fd >= 0 && *ret == 0 && map_count(below->covers) < below->watches_max) {
        int watch = watch_each_add(below->watch, fd);
        if (watch > 0 && cover_add(below, watch, node) == 0)
            *ret = watch;
    }
    bool watched = *ret != 0;
    below_unlock(below);
    (void)fd_close(fd);
    return watched;
}

static bool watch_part(struct overlay *overlay, struct node *dir, struct part *part) {
    struct lower *lower = overlay->lowers[part->lower];
    return lower->immutable || watch_object(overlay, dir->number, lower->ops->open(lower, part->dir, ""), &part->watch);
}

void below_uncovered(struct overlay *overlay, int difference) {
    atomic_fetch_add(&overlay->below->uncovered, (unsigned long)difference);
}

static bool watch_dir(struct overlay *overlay, struct node *dir) {
    bool all = overlay->below->watch != NULL || dir->dir.part_count == 0;
    for (unsigned i = 0; i < dir->dir.part_count && all; i++)
        all = watch_part(overlay, dir, &dir->dir.parts[i]);
    unsigned before = atomic_fetch_or(&dir->flags, all ? NODE_WATCHED : NODE_UNCOVERED);
    if (!all && !(before & NODE_UNCOVERED))
        below_uncovered(overlay, 1);
    if (all && before & NODE_UNCOVERED && atomic_fetch_and(&dir->flags, ~(unsigned)NODE_UNCOVERED) & NODE_UNCOVERED)
        below_uncovered(overlay, -1);
    return all;
}

/* A directory is covered if all above it are: a lower directory may appear behind one that the current layer has. `add`: watch them. */
static bool covers(struct overlay *overlay, struct node *dir, bool add) {
    for (struct place *place;; dir = place->parent) {
        if (!node_is(dir, NODE_WATCHED) && (!add || !watch_dir(overlay, dir)))
            return false;
        place = atomic_load(&dir->places);
        if (!place)
            return dir == overlay->root;
    }
}

bool below_cover(struct overlay *overlay, struct node *dir) {
    return covers(overlay, dir, true);
}

int overlay_cover(struct overlay *overlay, uint64_t directory) {
    _node_ struct node_ref at = { .overlay = overlay };
    if (!overlay->below)
        return 1;
    int r = node_find_dir(overlay, directory, &at.node);
    if (r < 0)
        return r;
    tree_read(overlay);
    r = below_cover(overlay, at.node);
    tree_unlock(overlay);
    return r;
}

/* Files of several names change under others than those that were looked up. */

static bool is_followed_file(const struct overlay *overlay, const struct node *node) {
    return overlay->below && S_ISREG(node->type) && (!node_is(node, NODE_UPPER) || node_is(node, NODE_METACOPY));
}

bool below_wants_watch(const struct overlay *overlay, const struct node *node, nlink_t links) {
    return is_followed_file(overlay, node) && (links > 1 || node_is(node, NODE_METACOPY)) && !node->file.watch;
}

void below_watch_file(struct overlay *overlay, struct node *node) {
    _lower_place_ struct lower_place_ref at = { .overlay = overlay, .place = node_data(overlay, node) };
    struct lower *lower = at.place ? overlay->lowers[at.place->lower] : NULL;
    if (!lower || lower->immutable || !overlay->below->watch)
        return;
    (void)watch_object(overlay, node->number, lower->ops->open(lower, at.place->dir, at.place->name), &node->file.watch);
}

/* What may be kept. */

static unsigned keep_file(const struct node *node, nlink_t links, bool named) {
    bool upper = node_is(node, NODE_UPPER), whole = !node_is(node, NODE_METACOPY);
    bool followed = named && (links <= 1 || node->file.watch);
    unsigned keep = upper || followed ? OVERLAY_KEEP_ATTRIBUTES : 0;
    if (upper ? whole || node->file.watch : followed)
        keep |= OVERLAY_KEEP_DATA;
    return keep;
}

static unsigned keep_dir(struct overlay *overlay, struct node *node) {
    bool covered = covers(overlay, node, false);
    return (covered || node_is(node, NODE_UPPER) ? OVERLAY_KEEP_ATTRIBUTES : 0) | (covered ? OVERLAY_KEEP_DATA : 0);
}

unsigned below_keep(struct overlay *overlay, struct node *node, nlink_t links) {
    if (!overlay->below)
        return OVERLAY_KEEP_NAME | OVERLAY_KEEP_ATTRIBUTES | OVERLAY_KEEP_DATA;
    bool named = true;
    for (struct place *place = atomic_load(&node->places); place && named; place = atomic_load(&place->next))
        named = covers(overlay, place->parent, false);
    if (node_is(node, NODE_LOST))
        return 0;
    return (named ? OVERLAY_KEEP_NAME : 0) | (node_is_dir(node) ? keep_dir(overlay, node) : keep_file(node, links, named));
}

bool below_see(struct node *node, const struct stat *stat) {
    if (!S_ISREG(node->type) || node_is(node, NODE_UPPER))
        return false;
    uint64_t hash = mix((uint64_t)stat->st_size ^ mix((uint64_t)stat->st_mtim.tv_sec << 30 ^ (uint64_t)stat->st_mtim.tv_nsec));
    unsigned now = (unsigned)mix(hash ^ (uint64_t)stat->st_ctim.tv_sec << 30 ^ (uint64_t)stat->st_ctim.tv_nsec) | 1;
    unsigned before = atomic_exchange(&node->file.seen, now);
    return before && before != now;
}

void below_redirected(struct overlay *overlay) {
    if (overlay->below)
        atomic_store(&overlay->below->redirects, true);
}

int overlay_follow_fd(const struct overlay *overlay) {
    return overlay->below ? overlay->below->fd : -1;
}

void overlay_following(struct overlay *overlay, struct overlay_following *ret) {
    *ret = (struct overlay_following){0};
    if (!overlay->below)
        return;
    below_lock(overlay->below);
    *ret = (struct overlay_following){ .watches = map_count(overlay->below->covers), .uncovered = atomic_load(&overlay->below->uncovered),
                                       .lost = overlay->below->lost, .events = overlay->below->events };
    below_unlock(overlay->below);
}

/* What is heard. */

int event_note(struct map *map, uint64_t node, const char *name, unsigned what) {
    _buf_ struct buf key = {0};
    buf_add(&key, &node, sizeof(node));
    buf_str(&key, name);
    struct event *event = key.failed ? NULL : map_get(map, key.data, key.size);
    if (event) {
        event->what |= what;
        return 0;
    }
    size_t size = strlen(name) + 1;
    event = key.failed ? NULL : malloc(sizeof(*event) + size);
    if (!event)
        return -ENOMEM;
    *event = (struct event){ .node = node, .what = what };
    memcpy(event->name, name, size);
    if (map_put(map, key.data, key.size, event, NULL) < 0) {
        free(event);
        return -ENOMEM;
    }
    return 0;
}

static int note_for(struct heard *heard, uint64_t node, const struct watch_each_event *event) {
    int r = event_note(event->name ? heard->names : heard->nodes, node, event->name ? event->name : "", event->what);
    if (r == 0 && event->name && event->what & WATCH_EACH_NAME)     /* the listing is another one, and the times are */
        r = event_note(heard->nodes, node, "", WATCH_EACH_DATA);
    return r;
}

/* No memory to remember what happened is as if nobody had told it. */
int below_hear(void *data, const struct watch_each_event *event) {
    struct below *below = data;
    struct heard *now = &below->now;
    below->events++;
    if (now->lost)
        return 0;                          /* all of it will be told anyway */
    if (event->what & WATCH_EACH_LOST || map_count(now->names) + map_count(now->nodes) >= HEARD_MOST) {
        below->lost++;
        now->lost = true;
        return 0;
    }
    const struct cover *cover = map_get(below->covers, &event->watch, sizeof(event->watch));
    for (size_t i = 0; cover && i < cover->count; i++)
        now->lost |= note_for(now, cover->nodes[i], event) < 0;
    return 0;
}
