/* One side of a comparison: paths, listings, hard links and content of a tree by directory identity.
 * Compares nothing. What a scan found lies over the newest entries of the index; nobody else needs to know.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "side.h"

#include "copy.h"
#include "fs.h"
#include "tree.h"
#include <fcntl.h>
#include <limits.h>
#include <string.h>

struct place { int64_t parent; char name[]; };
struct delta_list { const struct delta_entry **entries; size_t count, room; };

void side_init(struct side *side, struct snap_project *project, struct point at, const struct scan *scan) {
    *side = (struct side){ .project = project, .at = at, .scan = scan, .root = project->root };
}

static void delta_list_free(void *value) {
    free(((struct delta_list *)value)->entries);
    free(value);
}

void side_done(struct side *side) {
    side->paths = map_free(side->paths, free);
    side->places = map_free(side->places, free);
    side->delta = map_free(side->delta, delta_list_free);
    side->found = map_free(side->found, delta_list_free);
}

static int make_map(struct map **map, struct snap_err *err) {
    if (!*map)
        *map = map_new();
    return *map ? 0 : err_nomem(err);
}

/* Paths. */

static int learn_place(struct side *side, int64_t dir, struct place **ret, struct snap_err *err) {
    _free_ char *name = NULL;
    int64_t parent;
    int r = index_dir_place(side->project->store, side->at, dir, &parent, &name, err);
    if (r <= 0)
        return r;
    _free_ struct place *place = malloc(sizeof(*place) + strlen(name) + 1);
    if (!place)
        return err_nomem(err);
    place->parent = parent;
    strcpy(place->name, name);
    if (map_put(side->places, &dir, sizeof(dir), place, NULL) < 0)
        return err_nomem(err);
    *ret = TAKE_PTR(place);
    return 1;
}

static int place_of(struct side *side, int64_t dir, struct place **ret, struct snap_err *err) {
    *ret = map_get(side->places, &dir, sizeof(dir));
    return *ret ? 1 : learn_place(side, dir, ret, err);
}

/* What is known already: the root, a path that was asked for, or where the scan met the directory. The inside of a
 * directory that the scan could not list is where the index has it. */
static int known_path(struct side *side, int64_t dir, struct buf *ret, struct snap_err *err) {
    const char *path = dir == INDEX_ROOT ? "" : map_get(side->paths, &dir, sizeof(dir));
    int r = 1;
    if (path)
        buf_str(ret, path);
    else
        r = side->scan ? scan_dir_path(side->scan, dir, ret) : 0;
    return r < 0 || ret->failed ? err_nomem(err) : r;
}

struct chain { struct place **places; size_t count, room; };

static void chain_done(struct chain *chain) {
    free(chain->places);
}

static int chain_add(struct chain *chain, struct place *place, struct snap_err *err) {
    if (MAKE_ROOM(chain->places, chain->count, chain->room) < 0)
        return err_nomem(err);
    chain->places[chain->count++] = place;
    return 0;
}

/* Climbs to something known, then comes back down with the names: so many bytes, *ret_built. */
static int build_path(struct side *side, int64_t dir, struct buf *ret, size_t *ret_built, struct snap_err *err) {
    _cleanup_(chain_done) struct chain chain = {0};
    int r;
    while ((r = known_path(side, dir, ret, err)) == 0) {
        struct place *place;
        r = place_of(side, dir, &place, err);
        if (r <= 0)
            return r;
        r = chain_add(&chain, place, err);
        if (r < 0)
            return r;
        dir = place->parent;
    }
    if (r < 0)
        return r;
    size_t known = ret->size;
    while (chain.count) {
        if (ret->size)
            buf_char(ret, '/');
        buf_str(ret, chain.places[--chain.count]->name);
    }
    *ret_built = ret->size - known;
    return ret->failed ? err_nomem(err) : 1;
}

static int keep_path(struct side *side, int64_t dir, const struct buf *path, struct snap_err *err) {
    char *copy = strndup(path->data ? path->data : "", path->size);
    if (copy && map_put(side->paths, &dir, sizeof(dir), copy, NULL) == 0)
        return 1;
    free(copy);
    return err_nomem(err);
}

/* The path of a directory: 0 not there, 1 found. Of long paths only some are kept: all those of a deep tree would fill the memory. */
static int directory_path(struct side *side, int64_t dir, struct buf *ret, struct snap_err *err) {
    size_t built = 0;
    if (dir == INDEX_ROOT)
        return 1;
    if (make_map(&side->paths, err) < 0 || make_map(&side->places, err) < 0)
        return -ENOMEM;
    int r = build_path(side, dir, ret, &built, err);
    if (r <= 0 || map_get(side->paths, &dir, sizeof(dir)))
        return r;
    return ret->size <= PATH_MAX || built > PATH_MAX ? keep_path(side, dir, ret, err) : 1;
}

int side_path(struct side *side, int64_t dir, const char *name, char **ret, struct snap_err *err) {
    _buf_ struct buf path = {0}, above = {0};
    int r = dir ? directory_path(side, dir, &above, err) : 1;
    if (r < 0)
        return r;
    if (r == 0)
        return err_damage(err, "the index is damaged: directory %lld has entries and no place", (long long)dir);
    tree_join(&path, above.data ? above.data : "", name);
    char *made = buf_take(&path);
    if (!made)
        return err_nomem(err);
    *ret = made;
    return 0;
}

/* Listing. */

static int delta_add(struct map *lists, int64_t key, const struct delta_entry *entry) {
    struct delta_list *list = map_get(lists, &key, sizeof(key));
    if (!list) {
        list = calloc(1, sizeof(*list));
        if (!list || map_put(lists, &key, sizeof(key), list, NULL) < 0) {
            free(list);
            return -ENOMEM;
        }
    }
    if (MAKE_ROOM(list->entries, list->count, list->room) < 0)
        return -ENOMEM;
    list->entries[list->count++] = entry;
    return 0;
}

static int group_delta(struct side *side, struct snap_err *err) {
    if (side->delta)
        return 0;
    if (make_map(&side->delta, err) < 0 || make_map(&side->found, err) < 0)
        return -ENOMEM;
    for (struct scan_iter i = {0}; scan_next(side->scan, &i);) {
        int r = delta_add(side->delta, i.entry->dir, i.entry);
        if (r >= 0 && i.entry->after)
            r = delta_add(side->found, i.entry->after->id, i.entry);
        if (r < 0)
            return err_nomem(err);
    }
    return 0;
}

struct overlay {
    const struct side *side;
    int64_t dir;
    entry_fn fn;
    void *data;
};

static int give_unless_changed(void *data, const char *name, const struct object *object) {
    struct overlay *overlay = data;
    if (scan_find(overlay->side->scan, overlay->dir, name))
        return 0;
    return overlay->fn(overlay->data, name, object);
}

int side_list(struct side *side, int64_t dir, entry_fn fn, void *data, struct snap_err *err) {
    struct overlay overlay = { side, dir, fn, data };
    if (!side->scan)
        return index_list(side->project->store, side->at, dir, fn, data, err);
    int r = group_delta(side, err);
    if (r >= 0)
        r = index_list(side->project->store, side->at, dir, give_unless_changed, &overlay, err);
    const struct delta_list *list = r < 0 ? NULL : map_get(side->delta, &dir, sizeof(dir));
    for (size_t i = 0; r >= 0 && list && i < list->count; i++)
        if (list->entries[i]->after)
            r = fn(data, list->entries[i]->name, list->entries[i]->after);
    return MIN(r, 0);
}

/* Hard links. */

void side_names_done(struct side_names *names) {
    for (size_t i = 0; i < names->count; i++) {
        free(names->at[i].name);
        free(names->at[i].path);
    }
    free(names->at);
    *names = (struct side_names){0};
}

struct gathering {
    struct side *side;
    struct side_names *names;
    struct snap_err *err;
};

static int add_name(struct gathering *gathering, int64_t dir, const char *name) {
    struct side_names *names = gathering->names;
    if (MAKE_ROOM(names->at, names->count, names->room) < 0)
        return err_nomem(gathering->err);
    struct side_name *added = &names->at[names->count];
    *added = (struct side_name){ .dir = dir, .name = strdup(name) };
    if (!added->name)
        return err_nomem(gathering->err);
    names->count++;
    return side_path(gathering->side, dir, name, &added->path, gathering->err);
}

/* The index's names count unless the scan says otherwise: of the entry itself, or of the directory it was in. */
static int gather_indexed(void *data, int64_t dir, const char *name) {
    struct gathering *gathering = data;
    const struct scan *scan = gathering->side->scan;
    if (scan && (scan_find(scan, dir, name) || !scan_has_dir(scan, dir)))
        return 0;
    return add_name(gathering, dir, name);
}

static int gather_found(struct gathering *gathering, int64_t object) {
    int r = group_delta(gathering->side, gathering->err);
    const struct delta_list *list = r < 0 ? NULL : map_get(gathering->side->found, &object, sizeof(object));
    for (size_t i = 0; r >= 0 && list && i < list->count; i++)
        r = add_name(gathering, list->entries[i]->dir, list->entries[i]->name);
    return r;
}

int side_names(struct side *side, const struct object *object, struct side_names *ret, struct snap_err *err) {
    _cleanup_(side_names_done) struct side_names names = {0};
    struct gathering gathering = { side, &names, err };
    int r = index_names(side->project->store, side->at, object->id, gather_indexed, &gathering, err);
    if (r >= 0 && side->scan)
        r = gather_found(&gathering, object->id);
    if (r < 0)
        return r;
    *ret = names;
    names = (struct side_names){0};
    return 0;
}

/* Content. */

/* The file as it is now; no component may be a symlink, and opening a device or a pipe must not act on it. */
static int open_present(struct side *side, const char *path) {
    struct stat stat;
    _close_ int fd = fs_open_beneath(side->root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd == -ELOOP || fd == -ENXIO ? -ESTALE : fd;
    if (fstat(fd, &stat) < 0)
        return -errno;
    return S_ISREG(stat.st_mode) ? TAKE_FD(fd) : -ESTALE;
}

/* Leaves the position where it was. */
static int check_stored(struct side *side, int fd, const struct object *object, struct snap_err *err) {
    struct digest digest;
    int r = copy_digest(fd, NULL, NULL, &digest);
    return r < 0 ? r : project_check_content(side->project, object, &digest, err);
}

static int read_regular(struct side *side, const char *path, const struct object *object, size_t limit, struct buf *ret, struct snap_err *err) {
    _close_ int fd = side->scan ? open_present(side, path) : project_open_content(side->project, object, err);
    if (fd < 0)
        return side->scan ? err_path(err, fd, path, "read") : fd;
    int r = side->scan ? 0 : check_stored(side, fd, object, err);
    if (r == -EUCLEAN)
        return r;
    if (r == 0)
        r = fs_read_all(fd, limit, ret);
    return r < 0 ? err_path(err, r, path, "read") : 0;
}

int side_read(struct side *side, const char *path, const struct object *object, size_t limit, struct buf *ret, struct snap_err *err) {
    _buf_ struct buf content = {0};
    int r = 0;
    if (S_ISLNK(object->meta.mode))
        buf_str(&content, object->meta.target ? object->meta.target : "");
    else if (!S_ISREG(object->meta.mode))
        return err_path(err, -EINVAL, path, "read");
    else if (object->meta.size > limit)
        return err_path(err, -EFBIG, path, "compare");
    else
        r = read_regular(side, path, object, limit, &content, err);
    if (r < 0)
        return r;
    if (content.failed)
        return err_nomem(err);
    buf_done(ret);
    *ret = content;
    content = (struct buf){0};
    return 0;
}

int side_digest(struct side *side, const char *path, struct object *object, struct snap_err *err) {
    if (!(object->flags & OBJECT_UNDIGESTED))
        return 0;
    struct copy_options options = { .want_digest = true, .cancel = side->project->env.cancel };
    _close_ int fd = open_present(side, path);
    int r = fd < 0 ? fd : copy_digest(fd, &options, &object->meta.size, &object->digest);
    if (r == -ECANCELED)
        return project_cancelled_error(err);
    if (r == -ENOMEM)
        return err_nomem(err);
    object->flags &= ~(unsigned)OBJECT_UNDIGESTED;
    if (r < 0)
        object->flags |= OBJECT_UNREAD;
    return 0;
}
