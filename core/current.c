/* The current layer of a workspace, read into the delta of a scan.
 *
 * The layer is walked along with the snapshot below it, by directory identity: whiteouts are deletions, a directory with
 * a redirect is the one that it was, an opaque one is new, and a file is another object unless it equals the one below.
 * What the layer does not mention is as in the snapshot. Changes nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "current.h"

#include "lower.h"
#include "sweep.h"

#include <dirent.h>
#include <string.h>
#include <sys/sysmacros.h>

struct walk {
    struct scan *scan;
    struct lower *layer;
    struct map *links;         /* inode in the layer -> struct object: of several names */
    struct snap_err *err;
};

/* One name of a layer's directory, kept so that nothing is listed while it is looked at. */
struct child { char *name; unsigned char type; };
struct children { struct child *at; size_t count, room; };

static void children_done(struct children *children) {
    for (size_t i = 0; i < children->count; i++)
        free(children->at[i].name);
    free(children->at);
}

static int add_child(void *data, const char *name, unsigned char type, uint64_t ino) {
    struct children *children = data;
    (void)ino;
    if (MAKE_ROOM(children->at, children->count, children->room) < 0)
        return -ENOMEM;
    struct child child = { strdup(name), type };
    if (!child.name)
        return -ENOMEM;
    children->at[children->count++] = child;
    return 0;
}

static void walk_done(struct walk *walk) {
    if (walk->layer)
        walk->layer->ops->close(walk->layer);
    map_free(walk->links, NULL);
}

static int failed(struct walk *walk, int code, const char *name) {
    if (walk->err && walk->err->code == code)
        return code;
    return code == -ENOMEM ? err_nomem(walk->err) : err_path(walk->err, code, name, "read in the current layer");
}

/* Metadata, as a capture would have it. */

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int pack_xattr(struct walk *walk, struct lower_dir *dir, const char *name, const char *xattr, struct buf *out) {
    const struct lower_ops *ops = walk->layer->ops;
    ssize_t size = ops->get_xattr(walk->layer, dir, name, xattr, NULL, 0);
    if (size < 0)
        return size == -ENODATA || size == -EPERM || size == -EACCES || size == -EOPNOTSUPP ? 0 : (int)size;
    _free_ char *value = malloc((size_t)size + 1);
    if (!value)
        return -ENOMEM;
    size = ops->get_xattr(walk->layer, dir, name, xattr, value, (size_t)size + 1);
    if (size < 0)
        return (int)size;
    buf_u16(out, (uint16_t)strlen(xattr));
    buf_u32(out, (uint32_t)size);
    buf_add(out, xattr, strlen(xattr));
    buf_add(out, value, (size_t)size);
    return out->failed;
}

static int sort_names(char *list, size_t size, const char ***ret, size_t *ret_count) {
    size_t room = 0;
    for (size_t at = 0; at < size; at += strlen(list + at) + 1) {
        if (MAKE_ROOM(*ret, *ret_count, room) < 0)
            return -ENOMEM;
        (*ret)[(*ret_count)++] = list + at;
    }
    if (*ret_count)
        qsort(*ret, *ret_count, sizeof(**ret), by_name);
    return 0;
}

static int read_xattrs(struct walk *walk, struct lower_dir *dir, const char *name, struct meta *meta) {
    const struct lower_ops *ops = walk->layer->ops;
    ssize_t size = ops->list_xattr(walk->layer, dir, name, NULL, 0);
    if (size <= 0)
        return size == -EOPNOTSUPP || size == -EPERM ? 0 : (int)size;
    _free_ char *list = malloc((size_t)size + 1);
    _free_ const char **names = NULL;
    _buf_ struct buf packed = {0};
    size_t count = 0;
    if (!list)
        return -ENOMEM;
    size = ops->list_xattr(walk->layer, dir, name, list, (size_t)size + 1);
    int r = size < 0 ? (int)size : sort_names(list, (size_t)size, &names, &count);
    for (size_t i = 0; i < count && r >= 0; i++)
        r = pack_xattr(walk, dir, name, names[i], &packed);
    if (r < 0 || !packed.size)
        return r;
    meta->xattrs_size = packed.size;
    meta->xattrs = buf_take(&packed);
    return meta->xattrs ? 0 : -ENOMEM;
}

static int read_meta(struct walk *walk, struct lower_dir *dir, const char *name, const struct stat *stat, struct meta *meta) {
    *meta = (struct meta){ .mode = stat->st_mode, .uid = stat->st_uid, .gid = stat->st_gid, .mtime = stat->st_mtim };
    if (S_ISREG(stat->st_mode))
        meta->size = (uint64_t)stat->st_size;
    if (S_ISCHR(stat->st_mode) || S_ISBLK(stat->st_mode)) {
        meta->rdev_major = major(stat->st_rdev);
        meta->rdev_minor = minor(stat->st_rdev);
    }
    if (S_ISLNK(stat->st_mode)) {
        _buf_ struct buf target = {0};
        int r = walk->layer->ops->read_link(walk->layer, dir, name, &target);
        if (r < 0)
            return r;
        meta->size = target.size;
        if (!(meta->target = buf_take(&target)))
            return -ENOMEM;
    }
    return read_xattrs(walk, dir, name, meta);
}

/* Objects. */

static int base_at(struct walk *walk, int64_t dir, const char *name, struct object **ret) {
    int r = index_lookup(walk->scan->store, walk->scan->ground, dir, name, ret, walk->err);
    return MIN(r, 0);
}

static int digest(struct walk *walk, struct lower_dir *dir, const char *name, struct object *object) {
    struct copy_options options = { .want_digest = true, .cancel = walk->scan->project->env.cancel };
    _close_ int fd = walk->layer->ops->open(walk->layer, dir, name);
    int r = fd < 0 ? fd : copy_digest(fd, &options, &object->meta.size, &object->digest);
    return r == -ECANCELED ? project_cancelled_error(walk->err) : MIN(r, 0);
}

static bool same_content(const struct object *a, const struct object *b) {
    return !S_ISREG(a->meta.mode) || (!((a->flags | b->flags) & OBJECT_UNREAD) && digest_equal(&a->digest, &b->digest));
}

/* Empty files have no digest in the index that would differ from that of nothing. */
static bool same_object(const struct object *a, const struct object *b) {
    return a && b && meta_equal(&a->meta, &b->meta) && (!a->meta.size || same_content(a, b));
}

/* Takes `object`; gives it a number unless it is the one that was there. */
static int differ(struct walk *walk, int64_t dir, const char *name, struct object *object) {
    if (!object->id)
        object->id = walk->scan->next_object++;
    int r = scan_own(walk->scan, object);
    return r < 0 ? r : scan_differ(walk->scan, dir, name, object, NULL);
}

static int look_at_file(struct walk *walk, struct lower_dir *at, int64_t dir, const char *name, const struct stat *stat) {
    _object_ struct object *base = NULL, *object = NULL;
    struct object *linked = stat->st_nlink > 1 ? map_get(walk->links, &stat->st_ino, sizeof(stat->st_ino)) : NULL;
    int r = 0;
    if (linked)
        return scan_differ(walk->scan, dir, name, linked, NULL);
    object = calloc(1, sizeof(*object));
    if (!object)
        return -ENOMEM;
    if ((r = base_at(walk, dir, name, &base)) < 0 || (r = read_meta(walk, at, name, stat, &object->meta)) < 0 || (S_ISREG(stat->st_mode) && (r = digest(walk, at, name, object)) < 0))
        return r;
    if (stat->st_nlink == 1 && same_object(base, object))
        return 0;
    if (stat->st_nlink > 1) {
        object->flags |= OBJECT_LINKED;
        if (map_put(walk->links, &stat->st_ino, sizeof(stat->st_ino), object, NULL) < 0)
            return -ENOMEM;
    }
    return differ(walk, dir, name, TAKE_PTR(object));
}

/* Directories. */

/* Which directory of the snapshot it is: its identity, 0 = none, it is new. */
static int find_identity(struct walk *walk, int64_t dir, const struct lower_entry *entry, const struct object *base, int64_t *ret) {
    _object_ struct object *origin = NULL;
    int r = 0;
    *ret = 0;
    if (entry->redirect && *entry->redirect == '/')
        r = index_resolve(walk->scan->store, walk->scan->ground, entry->redirect + 1, NULL, NULL, &origin, walk->err);
    else if (entry->redirect)
        r = base_at(walk, dir, entry->redirect, &origin);
    else if (!entry->opaque && base && object_is_dir(base))
        *ret = base->dir;
    if (r >= 0 && origin && object_is_dir(origin))
        *ret = origin->dir;
    return MIN(r, 0);
}

/* Where the directory was in the snapshot, as the object that it was there. */
static int old_object(struct walk *walk, int64_t identity, struct object **ret) {
    _free_ char *name = NULL;
    int64_t parent;
    int r = index_dir_place(walk->scan->store, walk->scan->ground, identity, &parent, &name, walk->err);
    return r > 0 ? base_at(walk, parent, name, ret) : r;
}

static int look_at_dir(struct walk *walk, struct lower_dir *at, int64_t dir, const char *name, const struct lower_entry *entry,
                       int64_t *ret_identity) {
    _object_ struct object *base = NULL, *old = NULL, *object = calloc(1, sizeof(*object));
    int64_t identity = 0;
    if (!object)
        return -ENOMEM;
    int r = base_at(walk, dir, name, &base);
    if (r == 0)
        r = find_identity(walk, dir, entry, base, &identity);
    if (r == 0 && identity)
        r = old_object(walk, identity, &old);
    if (r == 0)
        r = read_meta(walk, at, name, &entry->stat, &object->meta);
    if (r < 0)
        return r;
    if (!identity)
        identity = object->id = walk->scan->next_object++;
    object->dir = identity;
    *ret_identity = identity;
    bool same = same_object(old, object);
    if (same && base && base->id == old->id)
        return 0;
    return differ(walk, dir, name, same ? TAKE_PTR(old) : TAKE_PTR(object));
}

/* Walking: a stack of directories, for a tree may be deeper than the program's. */

struct waiting { struct lower_dir *at; int64_t identity; };
struct stack { struct lower *layer; struct waiting *dirs; size_t count, room; };

static void stack_done(struct stack *stack) {
    while (stack->count)
        stack->layer->ops->unref(stack->layer, stack->dirs[--stack->count].at);
    free(stack->dirs);
}

/* Takes the reference. */
static int push(struct stack *stack, struct lower_dir *at, int64_t identity) {
    if (MAKE_ROOM(stack->dirs, stack->count, stack->room) < 0) {
        stack->layer->ops->unref(stack->layer, at);
        return -ENOMEM;
    }
    stack->dirs[stack->count++] = (struct waiting){ at, identity };
    return 0;
}

static int look_at_whiteout(struct walk *walk, int64_t dir, const char *name) {
    int64_t base = index_lookup_id(walk->scan->store, walk->scan->ground, dir, name, walk->err);
    return base > 0 ? scan_differ(walk->scan, dir, name, NULL, NULL) : (int)base;
}

static int look_at_child(struct walk *walk, struct stack *stack, const struct waiting *in, const char *name) {
    struct lower_entry entry = {0};
    int64_t identity = 0;
    int r = walk->layer->ops->lookup(walk->layer, in->at, name, &entry);
    if (r == LOWER_WHITEOUT)
        return look_at_whiteout(walk, in->identity, name);
    if (r != LOWER_ENTRY)
        return r;                            /* it went away meanwhile */
    r = entry.dir ? look_at_dir(walk, in->at, in->identity, name, &entry, &identity)
        : look_at_file(walk, in->at, in->identity, name, &entry.stat);
    free(entry.redirect);
    if (entry.dir && r == 0)
        return push(stack, entry.dir, identity);
    walk->layer->ops->unref(walk->layer, entry.dir);
    return r;
}

static int look_in(struct walk *walk, struct stack *stack, const struct waiting *in) {
    _cleanup_(children_done) struct children children = {0};
    int r = walk->layer->ops->list(walk->layer, in->at, add_child, &children);
    for (size_t i = 0; i < children.count && r >= 0; i++) {
        if (project_cancelled(walk->scan->project))
            return project_cancelled_error(walk->err);
        if ((r = look_at_child(walk, stack, in, children.at[i].name)) < 0)
            return failed(walk, r, children.at[i].name);
    }
    return r < 0 ? failed(walk, r, "") : 0;
}

static int look_at_root(struct walk *walk, struct lower_dir *root, const struct lower_entry *entry) {
    _object_ struct object *base = NULL, *object = calloc(1, sizeof(*object));
    int r = object ? base_at(walk, 0, "", &base) : -ENOMEM;
    if (r == 0)
        r = read_meta(walk, root, "", &entry->stat, &object->meta);
    if (r < 0)
        return r;
    object->dir = INDEX_ROOT;
    return same_object(base, object) ? 0 : differ(walk, 0, "", TAKE_PTR(object));
}

static int walk_layer(struct walk *walk) {
    _cleanup_(stack_done) struct stack stack = { .layer = walk->layer };
    struct lower_entry root = {0};
    int r = walk->layer->ops->root(walk->layer, &root);
    if (r < 0)
        return failed(walk, r, "");
    if ((r = look_at_root(walk, root.dir, &root)) < 0) {
        walk->layer->ops->unref(walk->layer, root.dir);
        return failed(walk, r, "");
    }
    if ((r = push(&stack, root.dir, INDEX_ROOT)) < 0)
        return failed(walk, r, "");
    while (r == 0 && stack.count) {
        struct waiting in = stack.dirs[--stack.count];
        r = look_in(walk, &stack, &in);
        walk->layer->ops->unref(walk->layer, in.at);
    }
    return r;
}

/* The scan. */

static int find_ground(struct snap_project *project, const struct workspace *workspace, struct point *ret, struct snap_err *err) {
    _snapshot_ struct snapshot *base = NULL;
    if (workspace->follow) {
        err_set(err, -EOPNOTSUPP, "workspace '%s' follows the project, and stands on no snapshot to compare it with", workspace->name);
        return err_hint(err, "compare its directory with the project's: diff -r");
    }
    int r = index_snapshot(project->store, workspace->base, &base, err);
    if (r == 0)
        return err_damage(err, "the store's database is damaged: workspace '%s' stands on no snapshot", workspace->name);
    if (r > 0)
        *ret = (struct point){ .line = base->line, .snap = base->public.number };
    return MIN(r, 0);
}

static int scan_layer(struct walk *walk, const struct workspace *workspace) {
    struct workspace_dirs dirs;
    int r = workspace_open(walk->scan->store, workspace->id, &dirs, walk->err);
    if (r < 0)
        return r;
    r = lower_layer_open(dirs.upper, true, &walk->layer);
    workspace_close(&dirs);
    walk->links = map_new();
    if (r < 0 || !walk->links)
        return failed(walk, r < 0 ? r : -ENOMEM, "");
    r = walk_layer(walk);
    return r < 0 ? r : scan_place(walk->scan, walk->err);
}

int current_look(struct snap_project *project, const struct workspace *workspace, int root, int64_t first, struct scan **ret, struct snap_err *err) {
    _scan_ struct scan *scan = NULL;
    struct point ground;
    int r = find_ground(project, workspace, &ground, err);
    if (r == 0)
        r = scan_empty(project, ground, root, &scan, err);
    if (r < 0)
        return r;
    if (first) {
        scan->first_object = first;
        scan->next_object = first;
    }
    _cleanup_(walk_done) struct walk walk = { .scan = scan, .err = err };
    r = scan_layer(&walk, workspace);
    if (r < 0)
        return err ? err_wrap(err, "cannot look at workspace '%s'", workspace->name) : r;
    *ret = TAKE_PTR(scan);
    return 0;
}
