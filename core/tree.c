/* The trees of snapshots: walking them, listing them, reading a file of one.
 * Reads the index and layers; never the project. SPDX-License-Identifier: GPL-2.0-or-later */
#include "tree.h"

#include "copy.h"
#include "fs.h"
#include "quote.h"
#include "reading.h"
#include <string.h>

void tree_join(struct buf *out, const char *first, const char *name) {
    buf_str(out, first);
    if (*first && *name)
        buf_char(out, '/');
    buf_str(out, name);
}

struct object *tree_object_copy(const struct object *object) {
    _object_ struct object *copy = malloc(sizeof(*copy));
    if (!copy)
        return NULL;
    *copy = *object;
    copy->meta = (struct meta){0};
    return meta_copy(&copy->meta, &object->meta) < 0 ? NULL : TAKE_PTR(copy);
}

void tree_entry(const struct object *object, struct snap_entry *ret) {
    const struct meta *meta = &object->meta;
    *ret = (struct snap_entry){
        .mode = meta->mode, .uid = meta->uid, .gid = meta->gid,
        .size = S_ISREG(meta->mode) || S_ISLNK(meta->mode) ? meta->size : 0,
        .mtime = meta->mtime, .rdev_major = meta->rdev_major, .rdev_minor = meta->rdev_minor,
        .target = S_ISLNK(meta->mode) ? meta->target : NULL,
        .xattrs = meta_xattr_count(meta), .unread = object->flags & OBJECT_UNREAD && !(object->flags & OBJECT_LOST),
        .lost = object->flags & OBJECT_LOST,
    };
}

/* Places. */

/* Drops slashes and "." that mean nothing; ".." would leave what the snapshot knows. */
static int clean_path(const char *typed, char **ret, struct snap_err *err) {
    _buf_ struct buf path = {0};
    for (const char *at = typed; *at;) {
        size_t size = strcspn(at, "/");
        if (size == 2 && memcmp(at, "..", 2) == 0) {
            err_set(err, -EINVAL, "'..' cannot be part of a path in a snapshot");
            return err_failure(err, SNAP_FAILURE_USAGE), -EINVAL;
        }
        if (size && !(size == 1 && *at == '.')) {
            if (path.size)
                buf_char(&path, '/');
            buf_add(&path, at, size);
        }
        at += size + (at[size] == '/');
    }
    char *clean = buf_take(&path);
    if (!clean)
        return err_nomem(err);
    *ret = clean;
    return 0;
}

int tree_spec(struct snap_project *project, const char *spec, struct snapshot **ret, char **ret_path, struct snap_err *err) {
    _free_ char *name = NULL, *path = NULL;
    const char *colon = strchrnul(spec, ':');
    if (!(name = strndup(spec, (size_t)(colon - spec))))
        return err_nomem(err);
    int r = clean_path(*colon ? colon + 1 : "", &path, err);
    if (r >= 0)
        r = catalog_find(project, name, ret, err);
    if (r < 0)
        return r;
    *ret_path = TAKE_PTR(path);
    return 0;
}

int tree_find(struct snap_project *project, const struct snapshot *snapshot, const char *path, int64_t *ret_dir, char **ret_name,
              struct object **ret, struct snap_err *err) {
    _free_ char *name = NULL;
    int64_t dir;
    int r = index_resolve(project->store, snapshot_point(snapshot), path, &dir, &name, ret, err);
    if (r < 0)
        return r;
    if (r == 0) {
        _buf_ struct buf shown = {0};
        quote_display(&shown, path, strlen(path));
        return err_set(err, -ENOENT, "snapshot %lld has no '%s'", (long long)snapshot->public.number, shown.data ? shown.data : path);
    }
    if (ret_dir)
        *ret_dir = dir;
    if (ret_name)
        *ret_name = TAKE_PTR(name);
    return 0;
}

/* The walk: a stack of directories, each with the entries that are still to be given. */

struct waiting { char *name; struct object *object; };
struct frame {
    int64_t dir;
    size_t path_size;          /* of the walk's path when this directory was entered */
    struct waiting *entries;
    size_t count, room, next;
};
struct walk {
    struct store *store;
    struct point at;
    bool recursive, paths;
    struct buf path;
    struct frame *frames;
    size_t count, room;
};

static void frame_done(struct frame *frame) {
    for (size_t i = frame->next; i < frame->count; i++) {
        free(frame->entries[i].name);
        object_free(frame->entries[i].object);
    }
    free(frame->entries);
}

static void walk_done(struct walk *walk) {
    while (walk->count)
        frame_done(&walk->frames[--walk->count]);
    free(walk->frames);
    buf_done(&walk->path);
}

static int keep(void *data, const char *name, const struct object *object) {
    struct frame *frame = data;
    if (MAKE_ROOM(frame->entries, frame->count, frame->room) < 0)
        return -ENOMEM;
    struct waiting entry = { strdup(name), tree_object_copy(object) };
    frame->entries[frame->count++] = entry;
    return entry.name && entry.object ? 0 : -ENOMEM;
}

static int enter(struct walk *walk, int64_t dir, struct snap_err *err) {
    if (MAKE_ROOM(walk->frames, walk->count, walk->room) < 0)
        return err_nomem(err);
    struct frame *frame = &walk->frames[walk->count++];
    *frame = (struct frame){ .dir = dir, .path_size = walk->path.size };
    int r = index_list(walk->store, walk->at, dir, keep, frame, err);
    return r == -ENOMEM ? err_nomem(err) : MIN(r, 0);
}

static void back_to(struct walk *walk, const struct frame *frame) {
    if (!walk->path.data)
        return;
    walk->path.size = frame->path_size;
    walk->path.data[frame->path_size] = '\0';
}

static int give(struct walk *walk, int64_t dir, const struct waiting *entry, tree_fn fn, void *data, struct snap_err *err) {
    if (walk->paths) {
        if (walk->path.size)
            buf_char(&walk->path, '/');
        buf_str(&walk->path, entry->name);
        if (walk->path.failed)
            return err_nomem(err);
    }
    struct tree_node node = { dir, entry->name, walk->paths ? walk->path.data : NULL, entry->object };
    int r = fn(data, &node);
    if (r < 0 || r == TREE_SKIP || !walk->recursive || !object_is_dir(entry->object))
        return MIN(r, 0);
    return enter(walk, entry->object->dir, err);
}

static int step(struct walk *walk, tree_fn fn, void *data, struct snap_err *err) {
    struct frame *frame = &walk->frames[walk->count - 1];
    back_to(walk, frame);
    if (frame->next == frame->count) {
        frame_done(frame);
        walk->count--;
        return 0;
    }
    struct waiting entry = frame->entries[frame->next++];
    int r = give(walk, frame->dir, &entry, fn, data, err);
    free(entry.name);
    object_free(entry.object);
    return r;
}

int tree_walk(struct store *store, struct point at, int64_t dir, const char *path, bool recursive,
              tree_fn fn, void *data, struct snap_err *err) {
    _cleanup_(walk_done) struct walk walk = { .store = store, .at = at, .recursive = recursive, .paths = path };
    buf_str(&walk.path, path ? path : "");
    if (walk.path.failed)
        return err_nomem(err);
    int r = enter(&walk, dir, err);
    while (r >= 0 && walk.count)
        r = step(&walk, fn, data, err);
    return r;
}

/* Listing. */

struct listing {
    struct snap_project *project;
    struct point at;
    snap_entry_fn fn;
    void *data;
    struct snap_err *err;
};

static int count_links(struct listing *listing, const struct object *object, struct snap_entry *entry) {
    if (object_is_dir(object))
        return 0;
    if (!(object->flags & OBJECT_LINKED)) {
        entry->links = 1;
        return 0;
    }
    int64_t links = index_links(listing->project->store, listing->at, object->id, listing->err);
    if (links < 0)
        return (int)links;
    entry->links = (uint32_t)MIN(links, (int64_t)UINT32_MAX);
    return 0;
}

static int list_node(void *data, const struct tree_node *node) {
    struct listing *listing = data;
    struct snap_entry entry;
    if (project_cancelled(listing->project))
        return project_cancelled_error(listing->err);
    tree_entry(node->object, &entry);
    int r = count_links(listing, node->object, &entry);
    return r < 0 ? r : listing->fn(listing->data, node->path, &entry);
}

/* A callback ends the listing with a bare errno; it becomes a sentence here. */
static int explain(int r, struct snap_err *err, const char *doing) {
    return r < 0 && err && err->code != r ? err_errno(err, r, "%s", doing) : r;
}

int snap_list(struct snap_project *project, const char *spec, bool recursive,
              snap_entry_fn fn, void *data, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    _object_ struct object *object = NULL;
    _free_ char *path = NULL, *name = NULL;
    int64_t dir = 0;
    int r = tree_spec(project, spec, &snapshot, &path, err);
    if (r < 0 || (r = reading_begin(project, err)) < 0)
        return r;
    r = tree_find(project, snapshot, path, &dir, &name, &object, err);
    struct listing listing = { project, snapshot_point(snapshot), fn, data, err };
    if (r >= 0)
        r = object_is_dir(object)
            ? tree_walk(project->store, listing.at, object->dir, path, recursive, list_node, &listing, err)
            : list_node(&listing, &(struct tree_node){ dir, name, path, object });
    return explain(reading_end(project, r, err), err, "cannot list a snapshot");
}

/* Reading a file. */

static const char *type_name(uint32_t mode) {
    switch (mode & S_IFMT) {
    case S_IFDIR: return "a directory";
    case S_IFIFO: return "a named pipe";
    case S_IFSOCK: return "a socket";
    case S_IFCHR:
    case S_IFBLK: return "a device";
    default: return "no file";
    }
}

/* What was written cannot be taken back; whether it is what was stored is known at the end, and said. */
static int pour(struct snap_project *project, const char *path, const struct object *object, int from, int to, struct snap_err *err) {
    struct copy_options options = { .cancel = project->env.cancel };
    struct digest digest;
    int r = copy_stream(from, to, &options, NULL, &digest);
    if (r == -ECANCELED)
        return project_cancelled_error(err);
    if (r < 0)
        return err_path(err, r, path, "show");
    r = project_check_content(project, object, &digest, err);
    return r < 0 ? err_wrap(err, "what was shown of '%s' is wrong", path) : 0;
}

static int cat_object(struct snap_project *project, const char *path, const struct object *object, int fd, struct snap_err *err) {
    if (S_ISLNK(object->meta.mode)) {
        const char *target = object->meta.target ? object->meta.target : "";
        int r = fs_write_all(fd, target, strlen(target));
        return r < 0 ? err_errno(err, r, "cannot write") : 0;
    }
    if (!S_ISREG(object->meta.mode)) {
        _buf_ struct buf shown = {0};
        quote_display(&shown, path, strlen(path));
        return err_set(err, object_is_dir(object) ? -EISDIR : -EINVAL, "'%s' is %s and has no content to show",
                       !*path ? "." : shown.data ? shown.data : path, type_name(object->meta.mode));
    }
    _close_ int content = project_open_content(project, object, err);
    if (content < 0)
        return err_wrap(err, "cannot show '%s'", path);
    return pour(project, path, object, content, fd, err);
}

int snap_cat(struct snap_project *project, const char *spec, int fd, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    _object_ struct object *object = NULL;
    _free_ char *path = NULL;
    int r = tree_spec(project, spec, &snapshot, &path, err);
    if (r < 0 || (r = reading_begin(project, err)) < 0)
        return r;
    r = tree_find(project, snapshot, path, NULL, NULL, &object, err);
    if (r >= 0)
        r = cat_object(project, path, object, fd, err);
    return reading_end(project, r, err);
}
