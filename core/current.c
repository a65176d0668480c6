/* The current layer of a workspace, read into the delta of a scan.
 *
 * The layer is walked along with the snapshot below it, by directory identity: whiteouts are deletions, a directory with
 * a redirect is the one that it was, an opaque one is new, and a file is another object unless it equals the one that was there.
 * What the layer does not mention is as in the snapshot below, and so is what is left out. Changes nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "current_walk.h"

#include "fs.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

char walk_merged, walk_whole;

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
    map_free(walk->links, free);
    map_free(walk->mentioned, NULL);
    map_free(walk->visited, NULL);
}

int walk_failed(struct walk *walk, int code, const char *name) {
    if (walk->err && walk->err->code == code)
        return code;
    return code == -ENOMEM ? err_nomem(walk->err) : err_path(walk->err, code, name, "read in the current layer");
}

/* Metadata, as a capture would have it. */

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int pack_xattr(const struct source *from, const char *xattr, struct buf *out) {
    const struct lower_ops *ops = from->layer->ops;
    ssize_t size = ops->get_xattr(from->layer, from->at, from->name, xattr, NULL, 0);
    if (size < 0)
        return size == -ENODATA || size == -EPERM || size == -EACCES || size == -EOPNOTSUPP ? 0 : (int)size;
    _free_ char *value = malloc((size_t)size + 1);
    if (!value)
        return -ENOMEM;
    size = ops->get_xattr(from->layer, from->at, from->name, xattr, value, (size_t)size + 1);
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

static int read_xattrs(const struct source *from, struct meta *meta) {
    const struct lower_ops *ops = from->layer->ops;
    ssize_t size = ops->list_xattr(from->layer, from->at, from->name, NULL, 0);
    if (size <= 0)
        return size == -EOPNOTSUPP || size == -EPERM ? 0 : (int)size;
    _free_ char *list = malloc((size_t)size + 1);
    _free_ const char **names = NULL;
    _buf_ struct buf packed = {0};
    size_t count = 0;
    if (!list)
        return -ENOMEM;
    size = ops->list_xattr(from->layer, from->at, from->name, list, (size_t)size + 1);
    int r = size < 0 ? (int)size : sort_names(list, (size_t)size, &names, &count);
    for (size_t i = 0; i < count && r >= 0; i++)
        r = pack_xattr(from, names[i], &packed);
    if (r < 0 || !packed.size)
        return r;
    meta->xattrs_size = packed.size;
    meta->xattrs = buf_take(&packed);
    return meta->xattrs ? 0 : -ENOMEM;
}

int walk_read_meta(struct walk *walk, const struct source *from, const struct stat *stat, struct meta *meta) {
    (void)walk;
    *meta = (struct meta){ .mode = stat->st_mode, .uid = stat->st_uid, .gid = stat->st_gid, .mtime = stat->st_mtim };
    if (S_ISREG(stat->st_mode))
        meta->size = (uint64_t)stat->st_size;
    if (S_ISCHR(stat->st_mode) || S_ISBLK(stat->st_mode)) {
        meta->rdev_major = major(stat->st_rdev);
        meta->rdev_minor = minor(stat->st_rdev);
    }
    if (S_ISLNK(stat->st_mode)) {
        _buf_ struct buf target = {0};
        int r = from->layer->ops->read_link(from->layer, from->at, from->name, &target);
        if (r < 0)
            return r;
        meta->size = target.size;
        if (!(meta->target = buf_take(&target)))
            return -ENOMEM;
    }
    return read_xattrs(from, meta);
}

/* Places. */

int walk_mention(struct walk *walk, int64_t dir, const char *name) {
    char key[ENTRY_KEY_MAX];
    size_t size = entry_key(key, dir, name);
    return walk->newest && map_put(walk->mentioned, key, size, walk, NULL) < 0 ? -ENOMEM : 0;
}

bool walk_mentions(const struct walk *walk, int64_t dir, const char *name) {
    char key[ENTRY_KEY_MAX];
    return map_get(walk->mentioned, key, entry_key(key, dir, name));
}

static int below_at(struct walk *walk, int64_t dir, const char *name, struct object **ret) {
    int r = index_lookup(walk->scan->store, walk->below, dir, name, ret, walk->err);
    return MIN(r, 0);
}

static int ground_at(struct walk *walk, int64_t dir, const char *name, struct object **ret) {
    int r = index_lookup(walk->scan->store, walk->scan->ground, dir, name, ret, walk->err);
    return MIN(r, 0);
}

bool walk_same_object(const struct object *a, const struct object *b) {
    if (!a || !b || !meta_equal(&a->meta, &b->meta))
        return false;
    return !S_ISREG(a->meta.mode) || !a->meta.size || (!((a->flags | b->flags) & OBJECT_UNREAD) && digest_equal(&a->digest, &b->digest));
}

int walk_put(struct walk *walk, int64_t dir, const char *name, struct object *object, const struct delta_row *how) {
    int64_t ground = index_lookup_id(walk->scan->store, walk->scan->ground, dir, name, walk->err);
    return ground < 0 ? (int)ground : ground == object->id ? 0 : scan_differ(walk->scan, dir, name, object, how);
}

/* Inodes. */

int walk_note(struct walk *walk, const struct current_row *row) {
    struct current_row *copy = walk->newest ? malloc(sizeof(*copy)) : NULL;
    void *old = NULL;
    if (!copy)
        return walk->newest ? -ENOMEM : 0;
    *copy = *row;
    if (map_put(walk->scan->rows, &copy->inode, sizeof(copy->inode), copy, &old) < 0) {
        free(copy);
        return -ENOMEM;
    }
    free(old);
    return 0;
}

const struct current_row *walk_known(const struct walk *walk, uint64_t inode, int64_t birth) {
    const struct current_row *row = walk->newest ? map_get(walk->scan->rows_before, &inode, sizeof(inode)) : NULL;
    return row && row->birth == birth ? row : NULL;
}

/* Directories. */

/* Which directory of the snapshot below it is: its identity, 0 = none. */
static int find_below(struct walk *walk, int64_t dir, const char *name, const struct lower_entry *entry, int64_t *ret) {
    _object_ struct object *origin = NULL;
    int r = 0;
    *ret = 0;
    if (entry->redirect && *entry->redirect == '/')
        r = index_resolve(walk->scan->store, walk->below, entry->redirect + 1, NULL, NULL, &origin, walk->err);
    else if (entry->redirect)
        r = below_at(walk, dir, entry->redirect, &origin);
    else if (!entry->opaque)
        r = below_at(walk, dir, name, &origin);
    if (r >= 0 && origin && object_is_dir(origin))
        *ret = origin->dir;
    return MIN(r, 0);
}

static bool is_visited(const struct walk *walk, int64_t identity) {
    return map_get(walk->visited, &identity, sizeof(identity));
}

/* Of one that was made in the workspace, what it was when it was captured: by its inode, or, where no inode is known, by its place. */
static int find_made(struct walk *walk, const struct lower_entry *entry, const struct object *ground, int64_t *ret) {
    uint64_t inode = entry->stat.st_ino;
    int64_t birth = walk_nanoseconds(&entry->birth), parent;
    const struct current_row *known = walk_known(walk, inode, birth);
    int64_t identity = known && known->dir ? known->dir : walk->memory ? memory_dir(walk->memory, inode, birth) : 0;
    _free_ char *name = NULL;
    int r = 0;
    if (!identity && walk->newest && !map_count(walk->scan->rows_before) && ground && object_is_dir(ground)
        && (r = index_dir_place(walk->scan->store, walk->below, ground->dir, &parent, &name, walk->err)) == 0)
        identity = ground->dir;
    if (identity && !is_visited(walk, identity))
        *ret = identity;
    return MIN(r, 0);
}

/* Where the directory is in the ground, as the object that it is there. */
static int old_object(struct walk *walk, int64_t identity, struct object **ret) {
    _free_ char *name = NULL;
    int64_t parent;
    int r = index_dir_place(walk->scan->store, walk->scan->ground, identity, &parent, &name, walk->err);
    return r > 0 ? ground_at(walk, parent, name, ret) : r;
}

/* Takes `object`. A new directory's identity is the number of its first object. */
static int put_dir(struct walk *walk, int64_t dir, const char *name, struct object *object, const struct object *old, struct object **ret) {
    struct object *known = NULL;
    if (walk_same_object(old, object)) {
        int r = scan_known_object(walk->scan, old->id, &known);
        object_free(object);
        *ret = known;
        return r < 0 ? r : walk_put(walk, dir, name, known, NULL);
    }
    bool is_new = !old && object->dir >= walk->scan->first_object;
    object->id = is_new ? object->dir : walk->scan->next_object++;
    *ret = object;
    int r = scan_own(walk->scan, object);
    return r < 0 ? r : scan_differ(walk->scan, dir, name, object, NULL);
}

static int note_dir(struct walk *walk, const struct lower_entry *entry, const struct object *object, bool merged) {
    int64_t identity = object->dir, birth = walk_nanoseconds(&entry->birth);
    struct current_row row = { .inode = entry->stat.st_ino, .birth = birth, .object = object->id, .dir = identity };
    if (map_put(walk->visited, &identity, sizeof(identity), merged ? &walk_merged : &walk_whole, NULL) < 0)
        return -ENOMEM;
    int r = walk_note(walk, &row);
    return r < 0 || !walk->memory ? r : memory_note_dir(walk->memory, row.inode, birth, identity);
}

static int look_at_dir(struct walk *walk, const struct source *from, int64_t dir, const char *name, const struct lower_entry *entry,
                       int64_t *ret_identity) {
    _object_ struct object *ground = NULL, *old = NULL, *object = calloc(1, sizeof(*object));
    struct object *put = NULL;
    int64_t identity = 0;
    if (!object)
        return -ENOMEM;
    int r = find_below(walk, dir, name, entry, &identity);
    bool merged = identity;
    if (r == 0)
        r = ground_at(walk, dir, name, &ground);
    if (r == 0 && !identity)
        r = find_made(walk, entry, ground, &identity);
    if (r == 0 && identity)
        r = old_object(walk, identity, &old);
    if (r == 0)
        r = walk_read_meta(walk, from, &entry->stat, &object->meta);
    if (r < 0)
        return r;
    object->dir = identity ? identity : walk->scan->next_object++;
    *ret_identity = object->dir;
    r = put_dir(walk, dir, name, TAKE_PTR(object), old, &put);
    return r < 0 ? r : note_dir(walk, entry, put, merged);
}

/* Walking: a stack of directories, for a tree may be deeper than the program's. */

struct waiting { struct lower_dir *at; int64_t identity; char *path; };      /* path: from the root; NULL where nothing is left out */
struct stack { struct lower *layer; struct waiting *dirs; size_t count, room; };

static void waiting_done(const struct stack *stack, struct waiting *waiting) {
    stack->layer->ops->unref(stack->layer, waiting->at);
    free(waiting->path);
}

static void stack_done(struct stack *stack) {
    while (stack->count)
        waiting_done(stack, &stack->dirs[--stack->count]);
    free(stack->dirs);
}

/* Takes what it is. */
static int push(struct stack *stack, struct waiting *waiting) {
    if (MAKE_ROOM(stack->dirs, stack->count, stack->room) < 0) {
        waiting_done(stack, waiting);
        return -ENOMEM;
    }
    stack->dirs[stack->count++] = *waiting;
    return 0;
}

/* What is gone is what it was. *ret: the path, NULL where there are no rules. 1 = they leave it out. */
static int leaves_out(struct walk *walk, const struct waiting *in, const char *name, int found, bool is_dir, char **ret) {
    _object_ struct object *was = NULL;
    *ret = NULL;
    if (!walk->ignore)
        return 0;
    if (asprintf(ret, "%s%s%s", in->path, *in->path ? "/" : "", name) < 0) {
        *ret = NULL;
        return -ENOMEM;
    }
    int r = found == LOWER_WHITEOUT ? ground_at(walk, in->identity, name, &was) : 0;
    return r < 0 ? r : ignore_matches(walk->ignore, *ret, is_dir || (was && object_is_dir(was)));
}

static int look_at_whiteout(struct walk *walk, int64_t dir, const char *name) {
    int64_t ground = index_lookup_id(walk->scan->store, walk->scan->ground, dir, name, walk->err);
    return ground > 0 ? scan_differ(walk->scan, dir, name, NULL, NULL) : (int)ground;
}

static int look_at_child(struct walk *walk, struct stack *stack, const struct waiting *in, const char *name) {
    struct lower_entry entry = {0};
    struct waiting child = {0};
    struct source from = { walk->layer, in->at, name };
    int found = walk->layer->ops->lookup(walk->layer, in->at, name, &entry);
    if (found < 0 || found == LOWER_ABSENT)
        return found;                        /* it went away meanwhile */
    child.at = entry.dir;
    int r = leaves_out(walk, in, name, found, entry.dir != NULL, &child.path);
    bool left_out = r > 0;
    if (r == 0)
        r = walk_mention(walk, in->identity, name);
    if (r == 0 && found == LOWER_WHITEOUT)
        r = look_at_whiteout(walk, in->identity, name);
    else if (r == 0)
        r = entry.dir ? look_at_dir(walk, &from, in->identity, name, &entry, &child.identity)
            : walk_file(walk, &from, in->identity, name, &entry);
    free(entry.redirect);
    if (entry.dir && r == 0)
        return push(stack, &child);
    waiting_done(stack, &child);
    return left_out ? 0 : r;
}

static bool is_loss(int r) { return r == -ENOENT || r == -ESTALE || r == -ENOTDIR; }

static int look_in(struct walk *walk, struct stack *stack, const struct waiting *in) {
    _cleanup_(children_done) struct children children = {0};
    int r = walk->layer->ops->list(walk->layer, in->at, add_child, &children);
    for (size_t i = 0; i < children.count && r >= 0; i++) {
        if (project_cancelled(walk->scan->project))
            return project_cancelled_error(walk->err);
        r = look_at_child(walk, stack, in, children.at[i].name);
        if (r < 0 && walk->loose && is_loss(r))
            r = 0;
        if (r < 0)
            return walk_failed(walk, r, children.at[i].name);
    }
    return r < 0 && !(walk->loose && is_loss(r)) ? walk_failed(walk, r, "") : 0;
}

static int look_at_root(struct walk *walk, const struct lower_entry *entry) {
    _object_ struct object *ground = NULL, *object = calloc(1, sizeof(*object));
    struct object *put = NULL;
    struct source from = { walk->layer, entry->dir, "" };
    int r = object ? ground_at(walk, 0, "", &ground) : -ENOMEM;
    if (r == 0)
        r = walk_read_meta(walk, &from, &entry->stat, &object->meta);
    if (r == 0)
        r = walk_mention(walk, 0, "");
    if (r < 0)
        return r;
    object->dir = INDEX_ROOT;
    r = put_dir(walk, 0, "", TAKE_PTR(object), ground, &put);
    return r < 0 ? r : note_dir(walk, entry, put, true);
}

static int walk_layer(struct walk *walk) {
    _cleanup_(stack_done) struct stack stack = { .layer = walk->layer };
    struct lower_entry root = {0};
    int r = walk->layer->ops->root(walk->layer, &root);
    if (r < 0)
        return walk_failed(walk, r, "");
    if ((r = look_at_root(walk, &root)) < 0) {
        walk->layer->ops->unref(walk->layer, root.dir);
        return walk_failed(walk, r, "");
    }
    struct waiting first = { root.dir, INDEX_ROOT, walk->ignore ? strdup("") : NULL };
    if ((r = push(&stack, &first)) < 0)
        return walk_failed(walk, r, "");
    if (walk->ignore && !first.path)
        return walk_failed(walk, -ENOMEM, "");
    while (r == 0 && stack.count) {
        struct waiting in = stack.dirs[--stack.count];
        r = look_in(walk, &stack, &in);
        waiting_done(&stack, &in);
    }
    return r;
}

/* The scan. */

static int find_below_point(struct snap_project *project, const struct workspace *workspace, struct point *ret, struct snap_err *err) {
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

static int open_walk(struct walk *walk, int upper) {
    struct scan *scan = walk->scan;
    walk->links = map_new();
    walk->mentioned = map_new();
    walk->visited = map_new();
    int r = walk->links && walk->mentioned && walk->visited ? lower_layer_open(upper, true, &walk->layer) : -ENOMEM;
    if (r < 0)
        return walk_failed(walk, r, "");
    if (!walk->newest)
        return 0;
    r = current_rows_read(scan->store, walk->workspace->line, &scan->rows_before, walk->err);
    if (r < 0)
        return r;
    return (scan->rows = map_new()) ? 0 : err_nomem(walk->err);
}

/* The times of what changed in this tick tell no change that comes in the same one. */
static void distrust_recent(struct scan *scan, const struct timespec *now) {
    for (struct map_iter i = {0}; map_next(scan->rows, &i);) {
        struct current_row *row = i.value;
        row->changed = row->changed >= walk_nanoseconds(now) ? 0 : row->changed;
    }
}

static int scan_layer(struct walk *walk, const struct workspace_dirs *dirs) {
    struct timespec now = {0};
    int r = open_walk(walk, dirs->upper);
    if (r == 0)
        r = walk_layer(walk);
    if (r == 0 && walk->newest)
        r = walk_rest(walk, dirs->work);
    else if (r == 0)
        r = scan_place(walk->scan, walk->err);
    if (r < 0 || !walk->newest)
        return r;
    if (fs_now(dirs->work, &now) == 0)
        distrust_recent(walk->scan, &now);
    else
        distrust_recent(walk->scan, &(struct timespec){0});
    return 0;
}

static int open_and_scan(struct walk *walk, const struct workspace *workspace) {
    struct workspace_dirs dirs;
    int r = workspace_open(walk->scan->store, workspace->id, &dirs, walk->err);
    if (r < 0)
        return r;
    r = scan_layer(walk, &dirs);
    workspace_close(&dirs);
    return r;
}

static int run(struct walk *walk, struct snap_project *project, int root, struct scan **ret) {
    _scan_ struct scan *scan = NULL;
    const struct workspace *workspace = walk->workspace;
    int r = find_below_point(project, workspace, &walk->below, walk->err);
    if (r == 0)
        r = scan_empty(project, walk->newest ? index_newest(workspace->line) : walk->below, root, &scan, walk->err);
    if (r < 0)
        return r;
    walk->scan = scan;
    if (walk->first)
        scan->next_object = scan->first_object = walk->first;
    if (walk->memory && (r = memory_begin(walk->memory, scan)) < 0)
        return err_nomem(walk->err);
    r = open_and_scan(walk, workspace);
    if (r == 0 && walk->memory && (r = memory_end(walk->memory, scan)) < 0)
        r = walk_failed(walk, r, "");
    if (r < 0)
        return walk->err ? err_wrap(walk->err, "cannot look at workspace '%s'", workspace->name) : r;
    *ret = TAKE_PTR(scan);
    return 0;
}

int current_look(struct snap_project *project, const struct workspace *workspace, int root, int64_t first, struct scan **ret, struct snap_err *err) {
    _cleanup_(walk_done) struct walk walk = { .workspace = workspace, .first = first, .err = err };
    return run(&walk, project, root, ret);
}

int current_compare_from(struct snap_project *project, const struct workspace *workspace, int root, int64_t first, struct scan **ret,
                         struct snap_err *err) {
    _cleanup_(walk_done) struct walk walk = { .workspace = workspace, .newest = true, .first = first, .err = err };
    return run(&walk, project, root, ret);
}

int current_compare(struct snap_project *project, const struct workspace *workspace, int root, struct scan **ret, struct snap_err *err) {
    return current_compare_from(project, workspace, root, 0, ret, err);
}

int current_capture(struct snap_project *project, const struct workspace *workspace, struct current_memory *memory, struct ignore *ignore,
                    bool loose, struct scan **ret, struct snap_err *err) {
    _cleanup_(walk_done) struct walk walk = { .workspace = workspace, .newest = true, .loose = loose, .memory = memory, .ignore = ignore,
                                              .err = err };
    return run(&walk, project, project->root, ret);
}

int current_keep(struct scan *scan, struct snap_err *err) {
    return current_rows_write(scan->store, scan->ground.line, scan->rows_before, scan->rows, err);
}
