/* A tree from outside as a delta to the newest entries: what it shares with them, and what is new.
 * Reads no archive and no project: names, metadata and digests are in memory, content is where the archive's reader put it.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "graft.h"
#include "sweep.h"
#include <string.h>

struct graft {
    struct snap_project *project;
    struct import_tree *tree;
    struct scan *scan;
    struct map *claimed;                  /* object ids of hard links that an inode of the tree goes on being */
    struct map *known;                    /* inode (pointer) -> object that it is */
    struct snap_err *err;
};

static void graft_done(struct graft *graft) {
    map_free(graft->claimed, NULL);
    map_free(graft->known, NULL);
}

static int no_memory(const struct graft *graft) {
    return err_nomem(graft->err);
}

/* The directory of the scan, by its identity. */
static int enter(struct graft *graft, int64_t id, int64_t parent, const char *name) {
    struct scan *scan = graft->scan;
    struct scan_dir *dir = calloc(1, sizeof(*dir)), *above = parent ? scan_dir_of(scan, parent) : NULL;
    if (!dir)
        return no_memory(graft);
    dir->id = id;
    dir->parent = parent;
    dir->at = above ? dir_child(above->at, name) : dir_ref(dirs_root(scan->tree));
    dir->known = live_dir(scan->live, id);
    if (!dir->at || map_put(scan->dirs, &id, sizeof(id), dir, NULL) < 0) {
        scan_dir_free(dir);
        return no_memory(graft);
    }
    return 0;
}

static int differ(struct graft *graft, int64_t dir, const char *name, struct object *after, bool staged) {
    struct delta_row how = { .staged = staged, .how = COPY_COPIED };
    return scan_differ(graft->scan, dir, name, after, &how) < 0 ? no_memory(graft) : 0;
}

/* The tree's object becomes one of the scan, with its number. */
static int own(struct graft *graft, struct import_inode *inode, struct object **ret) {
    struct object *object = calloc(1, sizeof(*object));
    if (!object)
        return no_memory(graft);
    *object = *inode->object;
    inode->object->meta = (struct meta){ .mode = object->meta.mode, .size = object->meta.size };
    object->id = graft->scan->next_object++;
    *ret = object;
    return scan_own(graft->scan, object) < 0 ? no_memory(graft) : 0;
}

/* What the newest entries have in a directory, beside what the tree has there. */

struct merge { struct graft *graft; struct import_node *dir; int64_t id; struct buf gone; };

static void merge_done(struct merge *merge) {
    buf_done(&merge->gone);
}

static bool same_file(const struct object *before, const struct import_inode *inode) {
    const struct object *after = inode->object;
    return !(before->flags & OBJECT_UNREAD) && meta_equal(&before->meta, &after->meta)
        && (!S_ISREG(after->meta.mode) || digest_equal(&before->digest, &after->digest))
        && (inode->links == 1 || before->flags & OBJECT_LINKED);
}

/* A directory of both is one: equal or not, it keeps its identity. */
static int on_entry(void *data, const char *name, const struct object *object) {
    struct merge *merge = data;
    struct import_node *node = import_tree_child(merge->graft->tree, merge->dir, name);
    if (!node) {
        buf_add(&merge->gone, name, strlen(name) + 1);
        return merge->gone.failed ? no_memory(merge->graft) : 0;
    }
    node->before = object->id;
    if (!import_node_is_dir(node)) {
        node->equal = !object_is_dir(object) && same_file(object, node->inode);
        return 0;
    }
    if (!object_is_dir(object))
        return 0;
    node->inode->object->dir = object->dir;
    node->equal = !object->flags && meta_equal(&object->meta, &node->inode->object->meta);
    return 0;
}

static int list_newest(struct merge *merge) {
    struct graft *graft = merge->graft;
    int r = index_list(graft->scan->store, index_newest(INDEX_PROJECT_LINE), merge->id, on_entry, merge, graft->err);
    for (size_t at = 0; r >= 0 && at < merge->gone.size; at += strlen(merge->gone.data + at) + 1)
        r = differ(graft, merge->id, merge->gone.data + at, NULL, false);
    return MIN(r, 0);
}

/* Directories get their identity before anything in them is looked at; a new one takes that of its first object. */
static int settle_dir(struct graft *graft, struct import_node *node, int64_t parent) {
    struct object *object = node->inode->object;
    int64_t id = object->dir;
    int r = 0;
    if (!id) {
        struct object *after = NULL;
        if ((r = own(graft, node->inode, &after)) < 0)
            return r;
        id = object->dir = after->dir = after->id;
        r = differ(graft, parent, node->name, after, false);
    } else if (!node->equal) {
        struct object *after = NULL;
        if ((r = own(graft, node->inode, &after)) == 0)
            r = differ(graft, parent, node->name, after, false);
    }
    return r < 0 ? r : enter(graft, id, parent, node->name);
}

static int compare_dir(struct graft *graft, struct import_node *dir) {
    int64_t id = dir->inode->object->dir;
    _cleanup_(merge_done) struct merge merge = { .graft = graft, .dir = dir, .id = id };
    int r = id < graft->scan->first_object ? list_newest(&merge) : 0;
    for (struct import_node *node = dir->first; r == 0 && node; node = node->next)
        if (import_node_is_dir(node))
            r = settle_dir(graft, node, id);
    return r;
}

/* The root is the project's; where no archive says what it is like, it stays as it is. */
static int settle_root(struct graft *graft) {
    struct import_node *root = graft->tree->root;
    _object_ struct object *before = NULL;
    int r = index_lookup(graft->scan->store, index_newest(INDEX_PROJECT_LINE), 0, "", &before, graft->err);
    if (r <= 0)
        return r < 0 ? r : err_damage(graft->err, "the index is damaged: the project has no root");
    root->before = before->id;
    root->inode->object->dir = INDEX_ROOT;
    root->equal = !graft->tree->root_given || (!before->flags && meta_equal(&before->meta, &root->inode->object->meta));
    r = enter(graft, 0, 0, "");
    if (r == 0 && !root->equal) {
        struct object *after = NULL;
        if ((r = own(graft, root->inode, &after)) == 0)
            r = differ(graft, 0, "", after, false);
    }
    return r < 0 ? r : enter(graft, INDEX_ROOT, 0, "");
}

/* Files. */

/* The inode goes on being the object that one of its names was, if no other inode of the tree does. */
static int claim(struct graft *graft, const struct import_node *node) {
    struct object *object = NULL;
    const struct import_inode *inode = node->inode;
    if (!node->equal || map_get(graft->known, &inode, sizeof(inode)))
        return 0;
    int r = scan_known_object(graft->scan, node->before, &object);
    if (r < 0)
        return err_errno(graft->err, r, "cannot read object %lld", (long long)node->before);
    if (object->flags & OBJECT_LINKED && map_get(graft->claimed, &node->before, sizeof(node->before)))
        return 0;
    r = object->flags & OBJECT_LINKED ? map_put(graft->claimed, &node->before, sizeof(node->before), graft, NULL) : 0;
    return r < 0 || map_put(graft->known, &inode, sizeof(inode), object, NULL) < 0 ? no_memory(graft) : 0;
}

static int new_object(struct graft *graft, struct import_inode *inode, struct object **ret) {
    int r = own(graft, inode, ret);
    if (r < 0)
        return r;
    (*ret)->flags = inode->links > 1 ? OBJECT_LINKED : 0;
    return map_put(graft->known, &inode, sizeof(inode), *ret, NULL) < 0 ? no_memory(graft) : 0;
}

/* What an older layer holds already need not be in this one. */
static int drop_staged(struct graft *graft, struct import_node *node) {
    struct dir *stage = node->inode->staged ? import_node_stage(graft->tree, node->parent) : NULL;
    int r = node->inode->staged ? (stage ? stage_remove(graft->tree->stage, stage, node->name) : -ENOMEM) : 0;
    return r < 0 ? err_path(graft->err, r, node->name, "store") : 0;
}

static int settle_file(struct graft *graft, struct import_node *node) {
    struct import_inode *inode = node->inode;
    struct object *object = map_get(graft->known, &inode, sizeof(inode));
    int r = object ? 0 : new_object(graft, inode, &object);
    if (r < 0)
        return r;
    bool old = object->id < graft->scan->first_object;
    if (old && (r = drop_staged(graft, node)) < 0)
        return r;
    if (object->id == node->before)
        return 0;
    return differ(graft, node->parent->inode->object->dir, node->name, object, inode->staged && !old);
}

static int each_file(struct graft *graft, int (*fn)(struct graft *graft, struct import_node *node)) {
    struct import_node *root = graft->tree->root;
    for (struct import_node *node = root; node; node = import_node_next(root, node)) {
        if (project_cancelled(graft->project))
            return project_cancelled_error(graft->err);
        int r = import_node_is_dir(node) ? 0 : fn(graft, node);
        if (r < 0)
            return r;
    }
    return 0;
}

static int claim_node(struct graft *graft, struct import_node *node) {
    return claim(graft, node);
}

/* The stage looks for files under the identity of their directory. */
static int move_staged(struct graft *graft) {
    struct import_tree *tree = graft->tree;
    for (struct import_node *node = tree->root; node; node = import_node_next(tree->root, node)) {
        if (!node->stage)
            continue;
        dir_forget(node->stage);
        node->stage = dir_unref(node->stage);
        int r = stage_rename_dir(tree->stage, node->number, node->inode->object->dir);
        if (r < 0)
            return err_path(graft->err, r, node->name, "store");
    }
    return 0;
}

static int open_scan(struct graft *graft) {
    int r = scan_new_whole(graft->project, graft->tree->stage, &graft->scan, graft->err);
    if (r < 0)
        return r;
    graft->scan->foreign = true;
    graft->scan->dirs = map_new();
    graft->claimed = map_new();
    graft->known = map_new();
    return graft->scan->dirs && graft->claimed && graft->known ? 0 : no_memory(graft);
}

static int compare(struct graft *graft) {
    struct import_node *root = graft->tree->root;
    int r = settle_root(graft);
    for (struct import_node *node = root; r == 0 && node; node = import_node_next(root, node))
        r = import_node_is_dir(node) ? compare_dir(graft, node) : 0;
    if (r == 0)
        r = each_file(graft, claim_node);
    if (r == 0)
        r = each_file(graft, settle_file);
    return r < 0 ? r : move_staged(graft);
}

int graft_compare(struct snap_project *project, struct import_tree *tree, struct scan **ret, struct snap_err *err) {
    _cleanup_(graft_done) struct graft graft = { .project = project, .tree = tree, .err = err };
    int r = open_scan(&graft);
    if (r == 0)
        r = compare(&graft);
    if (r < 0) {
        scan_free(graft.scan);
        return r;
    }
    *ret = graft.scan;
    return 0;
}

/* The project's records. */

struct records { struct live_entry *at; size_t count, room; };

static void records_done(struct records *records) {
    free(records->at);
}

static int add_record(struct records *records, const struct live_entry *entry) {
    if (MAKE_ROOM(records->at, records->count, records->room) < 0)
        return -ENOMEM;
    records->at[records->count++] = *entry;
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct live_entry *)a)->name, ((const struct live_entry *)b)->name);
}

/* What the project has under a name, or has not, though the newest entries have something there. */
static int told_record(struct scan *scan, const struct live_dir *known, const char *name, struct live_entry *ret) {
    const struct live_entry *entry = live_dir_find(known, name);
    const struct delta_row *row = scan_row(scan, known->dir, name);
    if (!entry)
        *ret = (struct live_entry){ .name = name, .flags = LIVE_GONE | LIVE_AHEAD };
    else
        *ret = *entry;
    if (entry && row)
        ret->flags |= LIVE_AHEAD;
    return 0;
}

/* A directory of both: records of what differs, and the others as they are. */
static int tell_dir(struct scan *scan, const struct live_dir *known, const char *const *came, size_t count, struct snap_err *err) {
    _cleanup_(records_done) struct records records = {0};
    struct live_entry entry;
    int r = 0;
    for (size_t i = 0; r == 0 && i < known->count; i++)
        if ((r = told_record(scan, known, known->entries[i].name, &entry)) == 0)
            r = add_record(&records, &entry);
    for (size_t i = 0; r == 0 && i < count; i++)
        if ((r = told_record(scan, known, came[i], &entry)) == 0)
            r = add_record(&records, &entry);
    if (r < 0)
        return err_nomem(err);
    if (records.count)
        qsort(records.at, records.count, sizeof(*records.at), by_name);
    return live_write_dir(scan->store, known->dir, records.at, records.count, err);
}

/* A directory that the tree has not, somewhere below one of both: the project has all that is in it, the newest entries
 * nothing. */
static int tell_lost_dir(struct scan *scan, const struct live_dir *known, struct snap_err *err) {
    _cleanup_(records_done) struct records records = {0};
    for (size_t i = 0; i < known->count; i++) {
        struct live_entry entry = known->entries[i];
        entry.flags |= LIVE_AHEAD;
        if (add_record(&records, &entry) < 0)
            return err_nomem(err);
    }
    return live_write_dir(scan->store, known->dir, records.at, records.count, err);
}

struct came { const char **names; size_t count, room; };

static void came_free(void *value) {
    struct came *came = value;
    free(came->names);
    free(came);
}

/* The names that the tree has and the project has not, by directory. */
static int gather_came(struct scan *scan, struct map *came) {
    for (struct map_iter i = {0}; map_next(scan->delta, &i);) {
        const struct delta_row *row = i.value;
        const struct live_dir *known = live_dir(scan->live, row->entry.dir);
        if (!row->entry.after || live_dir_find(known, row->entry.name))
            continue;
        struct came *names = map_get(came, &row->entry.dir, sizeof(row->entry.dir));
        if (!names) {
            if (!(names = calloc(1, sizeof(*names))))
                return -ENOMEM;
            if (map_put(came, &row->entry.dir, sizeof(row->entry.dir), names, NULL) < 0) {
                free(names);
                return -ENOMEM;
            }
        }
        if (MAKE_ROOM(names->names, names->count, names->room) < 0)
            return -ENOMEM;
        names->names[names->count++] = row->entry.name;
    }
    return 0;
}

static bool has_rows(const struct scan *scan, const struct live_dir *known) {
    for (size_t i = 0; i < known->count; i++)
        if (scan_row(scan, known->dir, known->entries[i].name))
            return true;
    return false;
}

/* Directories of the project that have no records yet are empty, but for those that the tree brought: they have none. */
static int tell_empty_dirs(struct scan *scan, struct map *came, struct snap_err *err) {
    for (struct map_iter i = {0}; map_next(came, &i);) {
        const struct came *names = i.value;
        int64_t dir;
        memcpy(&dir, i.key, sizeof(dir));
        if (dir >= scan->first_object || live_dir(scan->live, dir))
            continue;
        const struct live_dir nothing = { .dir = dir };
        int r = tell_dir(scan, &nothing, names->names, names->count, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int tell_dirs(struct scan *scan, struct map *came, struct snap_err *err) {
    int r = 0;
    for (struct live_iter i = {0}; r == 0 && live_next(scan->live, &i);) {
        const struct came *names = map_get(came, &i.dir->dir, sizeof(i.dir->dir));
        if (!scan_has_dir(scan, i.dir->dir))
            r = tell_lost_dir(scan, i.dir, err);
        else if (names || has_rows(scan, i.dir))
            r = tell_dir(scan, i.dir, names ? names->names : NULL, names ? names->count : 0, err);
    }
    return r < 0 ? r : tell_empty_dirs(scan, came, err);
}

int graft_live(struct scan *scan, struct snap_err *err) {
    struct map *came = map_new();
    int r = live_set_clock(scan->store, NULL, err);      /* no watcher knows of it: nothing in the project changed */
    if (r < 0) {
        map_free(came, came_free);
        return r;
    }
    r = came ? gather_came(scan, came) : -ENOMEM;
    if (r == 0)
        r = tell_dirs(scan, came, err);
    else
        err_nomem(err);
    map_free(came, came_free);
    return r;
}
