/* Reading sealed layers: from a content's layer, directory and name to an open file.
 * Changes no layer; reads no metadata but type and size, which must be what the index says.
 *
 * A place in a layer needs queries, so all queries of one `struct layers` stand under its mutex; the file itself is
 * opened outside of it. The store's connection belongs to one thread at a time: while other threads call layers_*,
 * nothing else may query the store. SPDX-License-Identifier: GPL-2.0-or-later */
#include "layer.h"

#include "fs.h"
#include "map.h"
#include "quote.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum {
    TREES_KEPT = 32,           /* layers whose tree is held open */
    TREE_DESCRIPTORS = 8,      /* of each */
    PLACES_KEPT = 16384,       /* directories remembered, all layers together */
};

struct tree {
    int64_t layer, line;
    unsigned uses;             /* callers that are opening a file in it, and the table */
    struct dirs *dirs;
};

struct key { int64_t layer, dir; };

struct layers {
    struct store *store;
    pthread_mutex_t mutex;     /* guards everything below, and the store's connection */
    struct map *trees;         /* int64_t layer -> struct tree */
    struct map *places;        /* struct key -> struct dir */
};

static void unlock(pthread_mutex_t **mutex) {
    pthread_mutex_unlock(*mutex);
}

static void tree_unuse(struct tree *tree) {
    if (--tree->uses > 0)
        return;
    dirs_close(tree->dirs);
    free(tree);
}

static void drop_tree(void *value) {
    tree_unuse(value);
}

static void drop_place(void *value) {
    dir_unref(value);
}

/* Forgets all places: nodes first, then the trees that they belong to. */
static void forget(struct layers *layers) {
    layers->places = map_free(layers->places, drop_place);
    layers->trees = map_free(layers->trees, drop_tree);
}

static int remember_anew(struct layers *layers) {
    layers->trees = map_new();
    layers->places = map_new();
    return layers->trees && layers->places ? 0 : -ENOMEM;
}

int layers_open(struct store *store, struct layers **ret) {
    _cleanup_(layers_closep) struct layers *layers = calloc(1, sizeof(*layers));
    if (!layers)
        return -ENOMEM;
    layers->store = store;
    int result = -pthread_mutex_init(&layers->mutex, NULL);
    if (result < 0) {
        free(TAKE_PTR(layers));
        return result;
    }
    result = remember_anew(layers);
    if (result < 0)
        return result;
    *ret = TAKE_PTR(layers);
    return 0;
}

struct layers *layers_close(struct layers *layers) {
    if (!layers)
        return NULL;
    forget(layers);
    pthread_mutex_destroy(&layers->mutex);
    free(layers);
    return NULL;
}

void layers_lock(struct layers *layers) {
    pthread_mutex_lock(&layers->mutex);
}

void layers_unlock(struct layers *layers) {
    pthread_mutex_unlock(&layers->mutex);
}

static int make_room(struct layers *layers) {
    if (layers->trees && layers->places &&
        map_count(layers->trees) < TREES_KEPT && map_count(layers->places) < PLACES_KEPT)
        return 0;
    forget(layers);
    return remember_anew(layers);
}

static int damaged(struct snap_err *err, const struct content *content, const char *what) {
    return err_damage(err, "layer %lld is damaged: %s", (long long)content->layer, what);
}

/* A layer whose snapshot was freed still serves content. */
static int line_of(struct layers *layers, int64_t layer, int64_t *ret, struct snap_err *err) {
    int64_t line = index_line_of_layer(layers->store, layer, err);
    if (line < 0)
        return (int)line;
    *ret = line ? line : INDEX_PROJECT_LINE;
    return 0;
}

static int open_tree(struct layers *layers, const struct content *content, struct dirs **ret, struct snap_err *err) {
    char path[40];
    snprintf(path, sizeof(path), "%lld/tree", (long long)content->layer);
    _close_ int fd = fs_open_beneath(store_layers_fd(layers->store), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
        return damaged(err, content, "its tree is missing");
    if (fd < 0)
        return err_errno(err, fd, "cannot open layer %lld", (long long)content->layer);
    int result = dirs_open(fd, TREE_DESCRIPTORS, ret);
    return result < 0 ? err_errno(err, result, "cannot open layer %lld", (long long)content->layer) : 0;
}

static int find_tree(struct layers *layers, const struct content *content, struct tree **ret, struct snap_err *err) {
    struct tree *known = map_get(layers->trees, &content->layer, sizeof(content->layer));
    if (known) {
        *ret = known;
        return 0;
    }
    _free_ struct tree *tree = calloc(1, sizeof(*tree));
    if (!tree)
        return err_nomem(err);
    _dirs_ struct dirs *dirs = NULL;
    int result = line_of(layers, content->layer, &tree->line, err);
    if (result == 0)
        result = open_tree(layers, content, &dirs, err);
    if (result < 0)
        return result;
    tree->layer = content->layer;
    tree->uses = 1;
    if (map_put(layers->trees, &tree->layer, sizeof(tree->layer), tree, NULL) < 0)
        return err_nomem(err);
    tree->dirs = TAKE_PTR(dirs);
    *ret = TAKE_PTR(tree);
    return 0;
}

/* The way up from a directory to the nearest remembered one. */
struct climb { int64_t *dirs; char **names; size_t count, room; };

static void climb_done(struct climb *climb) {
    for (size_t i = 0; i < climb->count; i++)
        free(climb->names[i]);
    free(climb->names);
    free(climb->dirs);
}

static int climb_add(struct climb *climb, int64_t dir, char *name) {
    if (climb->count == climb->room) {
        size_t room = climb->room ? 2 * climb->room : 16;
        int64_t *dirs = reallocarray(climb->dirs, room, sizeof(*dirs));
        if (dirs)
            climb->dirs = dirs;
        char **names = reallocarray(climb->names, room, sizeof(*names));
        if (names)
            climb->names = names;
        if (!dirs || !names)
            return -ENOMEM;
        climb->room = room;
    }
    climb->dirs[climb->count] = dir;
    climb->names[climb->count++] = name;
    return 0;
}

static struct dir *remembered(struct layers *layers, const struct tree *tree, int64_t dir) {
    if (dir == INDEX_ROOT)
        return dirs_root(tree->dirs);
    struct key key = { .layer = tree->layer, .dir = dir };
    return map_get(layers->places, &key, sizeof(key));
}

static int climb_up(struct layers *layers, const struct tree *tree, const struct content *content,
                    struct climb *climb, struct dir **ret, struct snap_err *err) {
    struct point at = { .line = tree->line, .snap = tree->layer };
    int64_t dir = content->dir;
    struct dir *known;
    while (!(known = remembered(layers, tree, dir))) {
        int64_t parent = 0;
        _free_ char *name = NULL;
        int result = index_dir_place(layers->store, at, dir, &parent, &name, err);
        if (result < 0)
            return result;
        /* longer than any chain of directories that was ever stored: a circle */
        if (result == 0 || parent <= 0 || climb->count >= PLACES_KEPT)
            return damaged(err, content, "the index does not know where one of its directories lies");
        if (climb_add(climb, dir, name) < 0)
            return err_nomem(err);
        name = NULL;
        dir = parent;
    }
    *ret = known;
    return 0;
}

/* The node of the content's directory, borrowed from the table. */
static int find_place(struct layers *layers, const struct tree *tree, const struct content *content,
                      struct dir **ret, struct snap_err *err) {
    _cleanup_(climb_done) struct climb climb = {0};
    struct dir *node = NULL;
    int result = climb_up(layers, tree, content, &climb, &node, err);
    if (result < 0)
        return result;
    for (size_t i = climb.count; i-- > 0;) {
        _dir_ struct dir *child = dir_child(node, climb.names[i]);
        struct key key = { .layer = tree->layer, .dir = climb.dirs[i] };
        if (!child || map_put(layers->places, &key, sizeof(key), child, NULL) < 0)
            return err_nomem(err);
        node = TAKE_PTR(child);
    }
    *ret = node;
    return 0;
}

/* A content's directory, kept alive while a file is opened in it. */
struct place_in { struct layers *layers; struct tree *tree; struct dir *dir; };

static void place_in_done(struct place_in *place) {
    if (!place->tree)
        return;
    pthread_mutex_lock(&place->layers->mutex);
    dir_unref(place->dir);
    tree_unuse(place->tree);
    pthread_mutex_unlock(&place->layers->mutex);
}

static int locate(struct layers *layers, const struct content *content, struct place_in *ret, struct snap_err *err) {
    pthread_mutex_lock(&layers->mutex);
    __attribute__((unused)) _cleanup_(unlock) pthread_mutex_t *locked = &layers->mutex;
    struct tree *tree = NULL;
    struct dir *dir = NULL;
    int result = make_room(layers);
    if (result < 0)
        return err_nomem(err);
    result = find_tree(layers, content, &tree, err);
    if (result == 0)
        result = find_place(layers, tree, content, &dir, err);
    if (result < 0)
        return result;
    tree->uses++;
    *ret = (struct place_in){ .layers = layers, .tree = tree, .dir = dir_ref(dir) };
    return 0;
}

int layer_damaged(struct snap_err *err, int64_t layer, const char *path, const char *what) {
    _buf_ struct buf shown = {0};
    quote_display(&shown, path, strlen(path));
    if (shown.failed)
        return err_nomem(err);
    int code = err_damage(err, "layer %lld is damaged: '%s' %s", (long long)layer, shown.data ? shown.data : "", what);
    if (err)
        snprintf(err->path, sizeof(err->path), "%s", path);
    return code;
}

static bool is_damage(int code) {
    return code == -ENOENT || code == -ENOTDIR || code == -ELOOP || code == -ESTALE || code == -EUCLEAN || code == -ENXIO;
}

static int cannot_open(struct snap_err *err, int code, const struct content *content, struct dir *dir, const char *why) {
    _buf_ struct buf path = {0};
    dir_path(dir, content->name, &path);
    if (path.failed)
        return err_nomem(err);
    if (is_damage(code))
        return layer_damaged(err, content->layer, path.data, code == -ENOENT ? "is missing" : why);
    return err_path(err, code, path.data, "open in layer %lld", (long long)content->layer);
}

static const char *wrong_with(const struct stat *stat, const struct content *content) {
    if (!S_ISREG(stat->st_mode))
        return "is not a regular file";
    return (uint64_t)stat->st_size == content->size ? NULL : "has another size than it was stored with";
}

static int open_file(struct dir *dir, const struct content *content, struct snap_err *err) {
    _pinned_ struct dir_pinned at = dir_pinned(dir);
    if (at.fd < 0)
        return cannot_open(err, at.fd, content, dir, "lies in what is no directory");
    _close_ int fd = openat(at.fd, content->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return cannot_open(err, -errno, content, dir, "is not a regular file");
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return cannot_open(err, -errno, content, dir, "cannot be examined");
    const char *wrong = wrong_with(&stat, content);
    return wrong ? cannot_open(err, -EUCLEAN, content, dir, wrong) : TAKE_FD(fd);
}

int layers_open_content(struct layers *layers, const struct content *content, struct snap_err *err) {
    _cleanup_(place_in_done) struct place_in place = {0};
    int result = locate(layers, content, &place, err);
    return result < 0 ? result : open_file(place.dir, content, err);
}

static int ask_content(struct layers *layers, int64_t id, struct content *ret, struct snap_err *err) {
    pthread_mutex_lock(&layers->mutex);
    int result = index_content(layers->store, id, ret, err);
    pthread_mutex_unlock(&layers->mutex);
    return result;
}

/* 1 = gc has given it another place since. */
static int has_moved(struct layers *layers, const struct content *content, struct snap_err *err) {
    struct content now = {0};
    int result = ask_content(layers, content->id, &now, err);
    if (result < 0)
        return result;
    bool moved = now.layer != content->layer || now.dir != content->dir || strcmp(now.name, content->name) != 0;
    free(now.name);
    return moved;
}

int layers_open_content_id(struct layers *layers, int64_t id, struct snap_err *err) {
    for (;;) {
        struct content content = {0};
        int result = ask_content(layers, id, &content, err);
        if (result < 0)
            return result;
        result = layers_open_content(layers, &content, err);
        int moved = result < 0 ? has_moved(layers, &content, NULL) : 0;
        free(content.name);
        if (moved <= 0)
            return result;
    }
}

int layers_content_differs(struct layers *layers, int64_t id, struct snap_err *err) {
    struct content content = {0};
    int result = ask_content(layers, id, &content, err);
    if (result < 0)
        return result;
    result = layer_damaged(err, content.layer, content.name, "has other bytes than were stored");
    free(content.name);
    return result;
}

static int link_file(struct dir *dir, const struct content *content, int dirfd, const char *name, struct snap_err *err) {
    _pinned_ struct dir_pinned at = dir_pinned(dir);
    if (at.fd < 0)
        return cannot_open(err, at.fd, content, dir, "lies in what is no directory");
    struct stat stat;
    if (fstatat(at.fd, content->name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return cannot_open(err, -errno, content, dir, "cannot be examined");
    const char *wrong = wrong_with(&stat, content);
    if (wrong)
        return cannot_open(err, -EUCLEAN, content, dir, wrong);
    if (linkat(at.fd, content->name, dirfd, name, 0) < 0)
        return err_path(err, -errno, name, "link from layer %lld", (long long)content->layer);
    return 0;
}

int layers_link_content(struct layers *layers, const struct content *content, int dirfd, const char *name, struct snap_err *err) {
    _cleanup_(place_in_done) struct place_in place = {0};
    int result = locate(layers, content, &place, err);
    return result < 0 ? result : link_file(place.dir, content, dirfd, name, err);
}
