/* What comes out of archives, as a tree: each member is put in its place, or refused by its name.
 * Decides nothing about projects and snapshots. SPDX-License-Identifier: GPL-2.0-or-later */
#include "import_tree.h"
#include "copy.h"
#include "quote.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WHITEOUT ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define DEFAULT_MEMORY ((uint64_t)512 << 20)
enum { BYTES_AN_ENTRY = 128 };

/* Nodes. */

static struct import_inode *inode_new(void) {
    struct import_inode *inode = calloc(1, sizeof(*inode));
    struct object *object = calloc(1, sizeof(*object));
    if (!inode || !object) {
        free(inode);
        free(object);
        return NULL;
    }
    inode->object = object;
    return inode;
}

static void inode_unref(struct import_inode *inode) {
    if (inode->links > 1) {
        inode->links--;
        return;
    }
    object_free(inode->object);
    free(inode);
}

static void node_free(struct import_node *node) {
    inode_unref(node->inode);
    dir_unref(node->stage);
    free(node);
}

struct import_node *import_tree_child(const struct import_tree *tree, const struct import_node *dir, const char *name) {
    char key[ENTRY_KEY_MAX];
    return map_get(tree->nodes, key, entry_key(key, dir->number, name));
}

/* Takes a reference of the inode's, on success. */
static struct import_node *node_new(struct import_tree *tree, struct import_node *parent, const char *name, struct import_inode *inode) {
    struct import_node *node = calloc(1, sizeof(*node) + strlen(name) + 1);
    char key[ENTRY_KEY_MAX];
    if (!node)
        return NULL;
    strcpy(node->name, name);
    if (parent && map_put(tree->nodes, key, entry_key(key, parent->number, name), node, NULL) < 0) {
        free(node);
        return NULL;
    }
    node->inode = inode;
    inode->links++;
    node->number = object_is_dir(inode->object) ? tree->next_number-- : 0;
    node->layer = tree->layer;
    node->parent = parent;
    node->path_size = (parent ? parent->path_size + 1 : 0) + (unsigned)strlen(name);
    if (parent) {
        node->next = parent->first;
        if (node->next)
            node->next->previous = node;
        parent->first = node;
    }
    tree->entries += parent != NULL;
    return node;
}

struct import_node *import_node_next(const struct import_node *root, const struct import_node *node) {
    if (node->first)
        return node->first;
    while (node != root && !node->next)
        node = node->parent;
    return node == root ? NULL : node->next;
}

void import_node_path(const struct import_node *node, struct buf *out) {
    size_t size = 0;
    for (const struct import_node *at = node; at->parent; at = at->parent)
        size += strlen(at->name) + (at->parent->parent ? 1 : 0);
    _free_ char *path = malloc(size + 1);
    char *begin = path ? path + size : NULL;
    for (const struct import_node *at = node; path && at->parent; at = at->parent) {
        begin -= strlen(at->name);
        memcpy(begin, at->name, strlen(at->name));
        if (at->parent->parent)
            *--begin = '/';
    }
    if (path)
        buf_add(out, path, size);
    else
        out->failed = -ENOMEM;
}

struct dir *import_node_stage(const struct import_tree *tree, struct import_node *dir) {
    if (!dir->stage)
        dir->stage = stage_dir(tree->stage, dir->number);
    return dir->stage;
}

/* The digest of no bytes is one, too. */
static int digest_of_nothing(struct digest *ret) {
    _close_ int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return nothing < 0 ? -errno : copy_digest(nothing, NULL, NULL, ret);
}

void import_tree_limit(struct import_tree *tree, uint64_t entries) {
    tree->limits.entries = entries;
    if (entries < UINT64_MAX / BYTES_AN_ENTRY)
        tree->limits.memory = MAX(DEFAULT_MEMORY, entries * BYTES_AN_ENTRY);
}

int import_tree_init(struct import_tree *tree, struct stage *stage) {
    *tree = (struct import_tree){ .stage = stage, .nodes = map_new(), .next_number = -1, .limits.memory = DEFAULT_MEMORY };
    struct import_inode *inode = inode_new();
    if (inode)
        inode->object->meta.mode = S_IFDIR | 0755;
    if (tree->nodes && inode)
        tree->root = node_new(tree, NULL, "", inode);
    if (!tree->root && inode) {
        object_free(inode->object);
        free(inode);
    }
    return tree->root ? digest_of_nothing(&tree->nothing) : -ENOMEM;
}

/* Children before their directory. */
void import_tree_done(struct import_tree *tree) {
    for (struct import_node *node = tree->root; node;) {
        if (node->first) {
            node = node->first;
            continue;
        }
        struct import_node *up = node->parent;
        if (up)
            up->first = node->next;
        node_free(node);
        node = up;
    }
    map_free(tree->nodes, NULL);
    *tree = (struct import_tree){0};
}

/* Taking nodes away. */

static int unlink_node(struct import_tree *tree, struct import_node *node) {
    char key[ENTRY_KEY_MAX];
    int r = 0;
    if (node->inode->staged) {
        struct dir *stage = import_node_stage(tree, node->parent);
        r = stage ? stage_remove(tree->stage, stage, node->name) : -ENOMEM;
    }
    (void)map_remove(tree->nodes, key, entry_key(key, node->parent->number, node->name));
    if (node->previous)
        node->previous->next = node->next;
    else
        node->parent->first = node->next;
    if (node->next)
        node->next->previous = node->previous;
    node_free(node);
    tree->entries--;
    return r;
}

/* All below `top`, and itself if `self`, that was given before layer `before`; a directory stays while something is in it. */
static int prune(struct import_tree *tree, struct import_node *top, unsigned before, bool self) {
    struct import_node *node = top;
    bool down = true;
    for (;;) {
        if (down && node->first) {
            node = node->first;
            continue;
        }
        if (node == top)
            break;
        struct import_node *next = node->next, *up = node->parent;
        int r = node->layer < before && !node->first ? unlink_node(tree, node) : 0;
        if (r < 0)
            return r;
        node = next ? next : up;
        down = next != NULL;
    }
    return self && top->layer < before && !top->first ? unlink_node(tree, top) : 0;
}

static int remove_node(struct import_tree *tree, struct import_node *node) {
    return prune(tree, node, UINT32_MAX, true);
}

/* Paths. */

static const char *kind_of(const struct import_node *node) {
    return S_ISLNK(node->inode->object->meta.mode) ? "a symlink" : "no directory";
}

/* What a member is for: its path, and errors that name it. */
struct placing { struct import_tree *tree; const struct untar_member *member; bool whiteouts; struct snap_err *err; };

static int refuse(const struct placing *placing, int code, const char *what) {
    return untar_refuse(placing->err, code, placing->member->path, "%s", what);
}

static int charge(const struct placing *placing, size_t bytes) {
    struct import_tree *tree = placing->tree;
    tree->memory += bytes;
    if (tree->limits.entries && tree->entries > tree->limits.entries) {
        err_set(placing->err, -EFBIG, "the archive holds more entries than %llu", (unsigned long long)tree->limits.entries);
        return err_hint(placing->err, "if you trust it, allow more with --max-entries");
    }
    if (tree->memory > tree->limits.memory) {
        err_set(placing->err, -EFBIG, "the archive holds more bytes of paths and attributes than %llu",
                (unsigned long long)tree->limits.memory);
        return err_hint(placing->err, "if you trust it, allow more with --max-entries: each allows %d", BYTES_AN_ENTRY);
    }
    return 0;
}

/* A directory that the archive does not speak of, but has something in: as old as what is in it, so that the same archive
 * gives the same tree. */
static struct import_node *make_implied(const struct placing *placing, struct import_node *parent, const char *name) {
    struct import_inode *inode = inode_new();
    if (!inode)
        return NULL;
    inode->object->meta = (struct meta){ .mode = S_IFDIR | 0755, .uid = geteuid(), .gid = getegid(), .mtime = placing->member->meta.mtime };
    struct import_node *node = node_new(placing->tree, parent, name, inode);
    if (!node) {
        object_free(inode->object);
        free(inode);
    }
    return node;
}

/* The next component of a path: 1 and its name, 0 the end. */
static int next_name(const struct placing *placing, const char **at, char name[static NAME_MAX + 1]) {
    for (;;) {
        *at += strspn(*at, "/");
        size_t size = strcspn(*at, "/");
        if (size == 0)
            return 0;
        if (size > NAME_MAX)
            return refuse(placing, -ENAMETOOLONG, "has a name of more than 255 bytes in its path");
        memcpy(name, *at, size);
        name[size] = '\0';
        *at += size;
        if (!strcmp(name, ".."))
            return refuse(placing, -EINVAL, "leads upwards with '..'");
        if (strcmp(name, ".") != 0)
            return 1;
    }
}

static int leads_through(const struct placing *placing, const struct import_node *node) {
    _buf_ struct buf path = {0}, shown = {0};
    import_node_path(node, &path);
    if (!path.failed)
        quote_display(&shown, path.data, MIN(path.size, (size_t)200));
    if (shown.failed || path.failed)
        return err_nomem(placing->err);
    return untar_refuse(placing->err, -ENOTDIR, placing->member->path, "leads through '%s', which is %s", shown.data, kind_of(node));
}

/* Where a path lies: its directory, made if need be (`make`), and its last name, "" for the root. 1 found, 0 the directory is
 * not there. */
static int find_place(const struct placing *placing, const char *path, bool make, struct import_node **ret,
                      char name[static NAME_MAX + 1]) {
    struct import_node *dir = placing->tree->root;
    const char *at = path;
    int r = next_name(placing, &at, name);
    if (r <= 0) {
        *name = '\0';
        *ret = dir;
        return r < 0 ? r : 1;
    }
    for (;;) {
        char next[NAME_MAX + 1];
        if ((r = next_name(placing, &at, next)) < 0)
            return r;
        if (r == 0) {
            *ret = dir;
            return 1;
        }
        struct import_node *below = import_tree_child(placing->tree, dir, name);
        if (!below && !make)
            return 0;
        if (!below && (!(below = make_implied(placing, dir, name)) || charge(placing, below->path_size) < 0))
            return below ? placing->err->code : err_nomem(placing->err);
        if (!import_node_is_dir(below))
            return leads_through(placing, below);
        dir = below;
        memcpy(name, next, sizeof(next));
    }
}

/* Members. */

static int no_memory(const struct placing *placing) {
    return err_nomem(placing->err);
}

/* A new node in place of whatever stands there. */
static int put_node(const struct placing *placing, struct import_node *parent, const char *name, struct import_inode *inode,
                    struct import_node **ret) {
    struct import_node *old = import_tree_child(placing->tree, parent, name);
    int r = old ? remove_node(placing->tree, old) : 0;
    if (r < 0)
        return err_path(placing->err, r, placing->member->path, "replace");
    struct import_node *node = node_new(placing->tree, parent, name, inode);
    if (!node)
        return no_memory(placing);
    *ret = node;
    return charge(placing, node->path_size);
}

static int set_meta(const struct placing *placing, struct import_node *node) {
    struct meta meta;
    if (meta_copy(&meta, &placing->member->meta) < 0)
        return no_memory(placing);
    meta_done(&node->inode->object->meta);
    node->inode->object->meta = meta;
    node->layer = placing->tree->layer;
    return charge(placing, meta.xattrs_size + (meta.target ? meta.size : 0));
}

static int stage_content(const struct placing *placing, struct untar *tar, struct import_node *node) {
    struct import_tree *tree = placing->tree;
    struct object *object = node->inode->object;
    struct dir *stage = import_node_stage(tree, node->parent);
    _close_ int fd = stage ? stage_create(tree->stage, stage, node->name, object->meta.mode) : -ENOMEM;
    if (fd < 0)
        return err_path(placing->err, fd, placing->member->path, "store");
    node->inode->staged = true;
    int r = untar_data(tar, fd, placing->err);
    if (r < 0)
        return r;
    struct copy_options options = { .cancel = tree->cancel, .expected = object->meta.size };
    uint64_t size;
    if ((r = copy_digest(fd, &options, &size, &object->digest)) < 0 || (r = stage_apply_open(tree->stage, fd, &object->meta)) < 0)
        return err_path(placing->err, r, placing->member->path, "store");
    tree->bytes += object->meta.size;
    return size == object->meta.size ? 0 : err_path(placing->err, -EIO, placing->member->path, "store");
}

static int add_inode(const struct placing *placing, struct untar *tar, struct import_node *parent, const char *name) {
    struct import_inode *inode = inode_new();
    if (!inode)
        return no_memory(placing);
    inode->object->meta.mode = placing->member->meta.mode;
    struct import_node *node = NULL;
    int r = put_node(placing, parent, name, inode, &node);
    if (!node) {
        object_free(inode->object);
        free(inode);
    }
    if (r < 0 || (r = set_meta(placing, node)) < 0 || !S_ISREG(inode->object->meta.mode))
        return r;
    if (inode->object->meta.size)
        return stage_content(placing, tar, node);
    inode->object->digest = placing->tree->nothing;
    return 0;
}

static int add_directory(const struct placing *placing, struct untar *tar, struct import_node *parent, const char *name) {
    struct import_node *old = import_tree_child(placing->tree, parent, name);
    return old && import_node_is_dir(old) ? set_meta(placing, old) : add_inode(placing, tar, parent, name);
}

static bool is_above(const struct import_node *above, const struct import_node *node) {
    for (; node; node = node->parent)
        if (node == above)
            return true;
    return false;
}

static int refuse_link(const struct placing *placing, const char *why) {
    _buf_ struct buf shown = {0};
    const char *link = placing->member->link;
    quote_display(&shown, link, MIN(strlen(link), (size_t)200));
    if (shown.failed)
        return no_memory(placing);
    return untar_refuse(placing->err, -EINVAL, placing->member->path, "is a hard link to '%s', %s", shown.data, why);
}

static int add_link(const struct placing *placing, struct import_node *parent, const char *name) {
    struct import_tree *tree = placing->tree;
    struct import_node *from = NULL, *node = NULL, *there = import_tree_child(tree, parent, name);
    char from_name[NAME_MAX + 1];
    int r = find_place(placing, placing->member->link, false, &from, from_name);
    struct import_node *to = r > 0 && *from_name ? import_tree_child(tree, from, from_name) : NULL;
    if (r < 0)
        return r;
    if (!to)
        return refuse_link(placing, "which does not come before it");
    if (import_node_is_dir(to))
        return refuse_link(placing, "which is a directory");
    if (there == to)
        return 0;
    if (there && is_above(there, to))
        return refuse_link(placing, "which lies in what it would replace");
    if ((r = put_node(placing, parent, name, to->inode, &node)) < 0 || !to->inode->staged)
        return r;
    struct dir *source = import_node_stage(tree, to->parent), *stage = import_node_stage(tree, parent);
    r = source && stage ? stage_link(tree->stage, source, to->name, stage, name) : -ENOMEM;
    if (r < 0) {
        to->inode->staged = true;
        return err_path(placing->err, r, placing->member->path, "store");
    }
    return 0;
}

/* ".wh.x" takes x away, ".wh..wh..opq" all that is in the directory, as far as earlier layers gave it. */
static int apply_whiteout(const struct placing *placing, struct import_node *parent, const char *name) {
    struct import_tree *tree = placing->tree;
    struct import_node *node = parent;
    bool opaque = strcmp(name, WHITEOUT_OPAQUE) == 0;
    const char *hidden = name + strlen(WHITEOUT);
    if (!opaque && (!*hidden || !strcmp(hidden, ".") || !strcmp(hidden, "..")))
        return refuse(placing, -EINVAL, "is a whiteout of nothing");
    char whole[NAME_MAX + 1] = "";         /* as long as the key's reader may look */
    strcpy(whole, hidden);
    if (!opaque)
        node = import_tree_child(tree, parent, whole);
    int r = node ? prune(tree, node, tree->layer, !opaque) : 0;
    return r < 0 ? err_path(placing->err, r, placing->member->path, "apply") : 0;
}

static int set_root(const struct placing *placing) {
    if (!S_ISDIR(placing->member->meta.mode))
        return refuse(placing, -EINVAL, "is the root and no directory");
    placing->tree->root_given = true;
    return set_meta(placing, placing->tree->root);
}

static void tell(const struct placing *placing, const char *path, const char *text) {
    if (placing->tree->tell)
        placing->tree->tell(placing->tree->data, path, text);
}

static void tell_about(const struct placing *placing) {
    const struct untar_member *member = placing->member;
    bool absolute = *member->path == '/' || (member->link && *member->link == '/');
    if (absolute && !placing->tree->told_absolute) {
        placing->tree->told_absolute = true;
        tell(placing, NULL, "a leading '/' was taken off names");
    }
    if (!member->dropped)
        return;
    _buf_ struct buf text = {0};
    buf_fmt(&text, "has an access control list that names '%s', who is not known here: it was left out", member->dropped);
    tell(placing, member->path, text.failed ? "has an access control list that was left out" : text.data);
}

static int check_target(const struct placing *placing) {
    const struct meta *meta = &placing->member->meta;
    return meta->target && meta->size >= PATH_MAX ? refuse(placing, -ENAMETOOLONG, "is a symlink to more than 4095 bytes") : 0;
}

static int add_member(const struct placing *placing, struct untar *tar) {
    const struct untar_member *member = placing->member;
    struct import_node *parent = NULL;
    char name[NAME_MAX + 1];
    int r = check_target(placing);
    if (r < 0 || (r = find_place(placing, member->path, true, &parent, name)) < 0)
        return r;
    tell_about(placing);
    if (!*name)
        return set_root(placing);
    if (placing->whiteouts && !strncmp(name, WHITEOUT, strlen(WHITEOUT)))
        return apply_whiteout(placing, parent, name);
    if (member->link)
        return add_link(placing, parent, name);
    return S_ISDIR(member->meta.mode) ? add_directory(placing, tar, parent, name) : add_inode(placing, tar, parent, name);
}

static void tell_trailing(const struct placing *placing, uint64_t bytes) {
    char text[96];
    (void)snprintf(text, sizeof(text), "%llu bytes behind the end of the archive were left out", (unsigned long long)bytes);
    if (bytes)
        tell(placing, NULL, text);
}

int import_tree_add(struct import_tree *tree, struct inflow *flow, bool whiteouts, struct snap_err *err) {
    _untar_ struct untar *tar = NULL;
    struct placing placing = { .tree = tree, .whiteouts = whiteouts, .err = err };
    int r = untar_open(flow, &tar, err);
    tree->layer++;
    while (r >= 0 && (r = untar_next(tar, &placing.member, err)) > 0)
        r = add_member(&placing, tar);
    if (r == 0)
        tell_trailing(&placing, untar_trailing(tar));
    return r;
}

/* Asking. */

int import_tree_open(const struct import_tree *tree, const char *path) {
    struct untar_member member = { .path = path };
    struct snap_err ignored = {0};
    struct placing placing = { .tree = (struct import_tree *)(uintptr_t)tree, .member = &member, .err = &ignored };
    struct import_node *dir = NULL;
    char name[NAME_MAX + 1];
    if (find_place(&placing, path, false, &dir, name) <= 0 || !*name)
        return -ENOENT;
    struct import_node *node = import_tree_child(tree, dir, name);
    if (!node || !node->inode->staged)
        return -ENOENT;
    struct dir *stage = import_node_stage(tree, dir);
    _pinned_ struct dir_pinned at = stage ? dir_pinned(stage) : (struct dir_pinned){ .fd = -1 };
    if (at.fd < 0)
        return stage ? at.fd : -ENOMEM;
    int fd = openat(at.fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
