/* What a current layer does not mention: names whose directory it has, or not, which the newest snapshot shows otherwise than what is
 * below; and names of hard-linked files that were copied up under another name. SPDX-License-Identifier: GPL-2.0-or-later */
#include "current_walk.h"

#include "index_names.h"

#include <string.h>

/* Where the newest snapshot has a row of its own and the layer says nothing, what is below shows through. */
struct revert { struct walk *walk; bool directories; };

/* The object that shows through at a place; 0 = none. */
static int64_t through(struct walk *walk, int64_t dir, const char *name) {
    if (map_get(walk->visited, &dir, sizeof(dir)) == &walk_whole)
        return 0;
    return index_lookup_id(walk->scan->store, walk->below, dir, name, walk->err);
}

/* Directories that come or go are first: where each is has to be known before anything in it is told. */
static int revert_row(void *data, int64_t dir, const char *name, int64_t object) {
    const struct revert *revert = data;
    struct walk *walk = revert->walk;
    struct object *below = NULL, *there = NULL;
    if (walk_mentions(walk, dir, name) || (!revert->directories && !scan_has_dir(walk->scan, dir)))
        return 0;
    int64_t id = through(walk, dir, name);
    if (id < 0 || id == object)
        return (int)MIN(id, (int64_t)0);
    int r = id ? scan_known_object(walk->scan, id, &below) : 0;
    if (r == 0 && object)
        r = scan_known_object(walk->scan, object, &there);
    if (r < 0)
        return r;
    bool of_directory = (below && object_is_dir(below)) || (there && object_is_dir(there));
    return of_directory == revert->directories ? scan_differ(walk->scan, dir, name, below, NULL) : 0;
}

static int revert(struct walk *walk, bool directories) {
    struct revert data = { walk, directories };
    return index_own_rows(walk->scan->store, walk->scan->ground.line, revert_row, &data, walk->err);
}

/* Hard links. */

struct copies { struct walk *walk; struct lower *index; struct lower_dir *root; };

static void copies_done(struct copies *copies) {
    if (!copies->index)
        return;
    copies->index->ops->unref(copies->index, copies->root);
    copies->index->ops->close(copies->index);
}

struct copied { struct copies *copies; const char *name; struct lower_entry entry; };

static int add_name(void *data, int64_t dir, const char *name) {
    struct copied *copied = data;
    struct walk *walk = copied->copies->walk;
    bool hidden = walk_mentions(walk, dir, name) || map_get(walk->visited, &dir, sizeof(dir)) == &walk_whole || !scan_has_dir(walk->scan, dir);
    if (hidden)
        return 0;
    struct source from = { copied->copies->index, copied->copies->root, copied->name };
    int r = walk_mention(walk, dir, name);
    return r < 0 ? r : walk_file(walk, &from, dir, name, &copied->entry);
}

static int add_copy(void *data, const char *name, uint64_t origin) {
    struct copies *copies = data;
    struct copied copied = { .copies = copies, .name = name };
    int64_t object = lower_snapshot_object(origin);
    int r = object ? copies->index->ops->lookup(copies->index, copies->root, name, &copied.entry) : 0;
    copied.entry.stat.st_nlink = MAX(copied.entry.stat.st_nlink, (nlink_t)2);      /* it has more names than links */
    if (r == LOWER_ENTRY)
        r = index_names(copies->walk->scan->store, copies->walk->below, object, add_name, &copied, copies->walk->err);
    free(copied.entry.redirect);
    return MIN(r, 0);
}

static int add_copies(struct walk *walk, int work) {
    _cleanup_(copies_done) struct copies copies = { .walk = walk };
    struct lower_entry root = {0};
    _close_ int index = index_open(work);
    if (index < 0)
        return index == -ENOENT ? 0 : index;
    int r = lower_layer_open(index, true, &copies.index);
    if (r == 0)
        r = copies.index->ops->root(copies.index, &root);
    copies.root = root.dir;
    return r < 0 ? r : index_each(index, add_copy, &copies);
}

int walk_rest(struct walk *walk, int work) {
    int r = revert(walk, true);
    if (r == 0 && (r = scan_place(walk->scan, walk->err)) == 0)
        r = scan_forget_lost(walk->scan);
    if (r == 0)
        r = add_copies(walk, work);
    if (r == 0)
        r = revert(walk, false);
    return r < 0 ? walk_failed(walk, r, "") : 0;
}
