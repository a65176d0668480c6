/* Comparing a layer's tree with its manifest: types, sizes, digests of what is stored in it.
 * Repairs nothing; does not look at metadata, which the manifest holds and the tree only shows.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "manifest.h"

#include "dirs.h"
#include "fs.h"
#include "layer.h"
#include "map.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { DESCRIPTORS = 64 };

struct check {
    int64_t layer;
    struct dirs *tree;
    struct map *nodes;         /* int64_t identity -> struct dir */
    bool content;              /* read everything */
    bool found;                /* damage: the sentence stands in err */
    struct snap_err *err;
};

static void drop_node(void *value) {
    dir_unref(value);
}

static void check_done(struct check *check) {
    map_free(check->nodes, drop_node);
    dirs_close(check->tree);
}

static int wrong(struct check *check, struct dir *dir, const char *name, const char *what) {
    _buf_ struct buf path = {0};
    dir_path(dir, name, &path);
    if (path.failed)
        return err_nomem(check->err);
    check->found = true;
    return layer_damaged(check->err, check->layer, path.data ? path.data : "", what);
}

/* What a missing or unreadable file says of the layer; anything else is our own trouble. */
static int wrong_or_failed(struct check *check, int code, struct dir *dir, const char *name) {
    switch (code) {
    case -ENOENT: return wrong(check, dir, name, "is missing");
    case -ENOTDIR: return wrong(check, dir, name, "lies in what is no directory");
    case -ELOOP: case -ENXIO: return wrong(check, dir, name, "is of another type");
    case -EIO: case -EUCLEAN: case -EBADMSG: return wrong(check, dir, name, "cannot be read");
    default: return err_errno(check->err, code, "cannot check layer %lld", (long long)check->layer);
    }
}

static int check_digest(struct check *check, const struct object *object, struct dir *dir, int dirfd, const char *name) {
    _close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return wrong_or_failed(check, -errno, dir, name);
    struct digest digest = {0};
    struct copy_options options = { .want_digest = true };
    int result = copy_digest(fd, &options, NULL, &digest);
    if (result < 0)
        return wrong_or_failed(check, result, dir, name);
    return digest_equal(&digest, &object->digest) ? 0 : wrong(check, dir, name, "has other bytes than were stored");
}

static int check_file(struct check *check, const struct manifest_entry *entry, struct dir *dir) {
    const struct object *object = entry->object;
    if (entry->content_layer || !object->content)
        return 0;
    _pinned_ struct dir_pinned at = dir_pinned(dir);
    if (at.fd < 0)
        return wrong_or_failed(check, at.fd, dir, entry->name);
    struct stat stat;
    if (fstatat(at.fd, entry->name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return wrong_or_failed(check, -errno, dir, entry->name);
    if (!S_ISREG(stat.st_mode))
        return wrong(check, dir, entry->name, "is not a regular file");
    if ((uint64_t)stat.st_size != object->meta.size)
        return wrong(check, dir, entry->name, "has another size than it was stored with");
    return check->content ? check_digest(check, object, dir, at.fd, entry->name) : 0;
}

/* What could not be made stands there as an empty file. */
static int check_special(struct check *check, const struct manifest_entry *entry, struct dir *dir) {
    _pinned_ struct dir_pinned at = dir_pinned(dir);
    if (at.fd < 0)
        return wrong_or_failed(check, at.fd, dir, entry->name);
    struct stat stat;
    if (fstatat(at.fd, entry->name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return wrong_or_failed(check, -errno, dir, entry->name);
    bool placeholder = S_ISREG(stat.st_mode) && stat.st_size == 0;
    bool same = (stat.st_mode & S_IFMT) == (entry->object->meta.mode & S_IFMT);
    return same || placeholder ? 0 : wrong(check, dir, entry->name, "is of another type");
}

static int check_dir(struct check *check, const struct manifest_entry *entry, struct dir *node) {
    _pinned_ struct dir_pinned at = dir_pinned(node);
    return at.fd < 0 ? wrong_or_failed(check, at.fd, dir_parent(node), entry->in ? entry->name : "") : 0;
}

static int add_node(struct check *check, const struct manifest_entry *entry, struct dir *parent) {
    _dir_ struct dir *node = parent ? dir_child(parent, entry->name) : dir_ref(dirs_root(check->tree));
    int64_t id = entry->object->dir;
    if (!node || map_put(check->nodes, &id, sizeof(id), node, NULL) < 0)
        return err_nomem(check->err);
    struct dir *kept = TAKE_PTR(node);
    return parent ? check_dir(check, entry, kept) : 0;
}

static int check_entry(void *data, const struct manifest_entry *entry) {
    struct check *check = data;
    if (entry->flags & MANIFEST_DELETED)
        return 0;
    struct dir *parent = entry->in ? map_get(check->nodes, &entry->in, sizeof(entry->in)) : NULL;
    uint32_t mode = entry->object->meta.mode;
    if (S_ISDIR(mode))
        return add_node(check, entry, parent);
    return S_ISREG(mode) ? check_file(check, entry, parent) : check_special(check, entry, parent);
}

static int open_tree(struct store *store, struct check *check) {
    char path[40];
    snprintf(path, sizeof(path), "%lld/tree", (long long)check->layer);
    _close_ int fd = fs_open_beneath(store_layers_fd(store), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP) {
        check->found = true;
        return err_damage(check->err, "layer %lld is damaged: its tree is missing", (long long)check->layer);
    }
    int result = fd < 0 ? fd : dirs_open(fd, DESCRIPTORS, &check->tree);
    return result < 0 ? err_errno(check->err, result, "cannot open layer %lld", (long long)check->layer) : 0;
}

int manifest_check_layer(struct store *store, int64_t layer, bool content, struct snap_err *err) {
    struct snap_err space = {0};
    _cleanup_(check_done) struct check check = { .layer = layer, .content = content, .err = err ? err : &space, .nodes = map_new() };
    if (!check.nodes)
        return err_nomem(err);
    int result = open_tree(store, &check);
    if (result == 0)
        result = manifest_read(store, layer, NULL, check_entry, &check, check.err);
    if (result == 0)
        return 1;
    /* a manifest that is missing or makes no sense is damage as well */
    return check.found || result == -EUCLEAN || result == -ENOENT ? 0 : result;
}
