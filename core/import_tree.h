/* What comes out of archives, as a tree: names and metadata in memory, content in a layer being built.
 * The input is hostile. A path leads from name to name of this tree and nowhere else: no symlink is followed, and nothing of
 * the machine's is opened by a name that an archive gives. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "archive_read_tar.h"
#include "layer.h"
#include "map.h"

struct import_inode {
    struct object *object;                /* id 0 until it is known what it is here */
    uint64_t links;                       /* names */
    bool staged;                          /* its bytes lie in the stage, under each name */
};
struct import_node {
    struct import_node *parent, *first, *next, *previous;
    struct import_inode *inode;
    int64_t number;                       /* directories: under which their files lie in the stage, below 0; else 0 */
    struct dir *stage;                    /* directories: made on first use */
    unsigned layer;                       /* that gave it */
    unsigned path_size;                   /* bytes of its path */
    int64_t before;                       /* object of the newest entries at this place, 0 = none */
    bool equal;                           /* that one says the same, content included */
    char name[];
};
struct import_limits {
    uint64_t entries;                     /* 0 = any number */
    uint64_t memory;                      /* bytes of paths, targets and attributes, as somebody will want to list them */
};
struct import_tree {
    struct stage *stage;                  /* borrowed */
    struct import_limits limits;
    const volatile sig_atomic_t *cancel;
    void (*tell)(void *data, const char *path, const char *text);   /* what is worth knowing; NULL = nobody listens */
    void *data;
    struct map *nodes;                    /* (directory's number, name) -> node */
    struct import_node *root;
    bool root_given;                      /* an archive says what the root is like */
    unsigned layer;                       /* being read, from 1 */
    int64_t next_number;
    uint64_t entries, memory, bytes;      /* in it now; added so far; content read so far */
    struct digest nothing;                /* of no bytes */
    bool told_absolute;
};
int import_tree_init(struct import_tree *tree, struct stage *stage);
/* 0 = any number. With the entries, what they may be called grows. */
void import_tree_limit(struct import_tree *tree, uint64_t entries);
void import_tree_done(struct import_tree *tree);
#define _import_tree_ _cleanup_(import_tree_done)

/* Adds a tar archive as the next layer. whiteouts: names ".wh.x" are OCI's, and take away what earlier layers gave. */
int import_tree_add(struct import_tree *tree, struct inflow *flow, bool whiteouts, struct snap_err *err);
struct import_node *import_tree_child(const struct import_tree *tree, const struct import_node *dir, const char *name);   /* NULL: none */
/* An open read-only descriptor of a regular file of the tree by its path; -ENOENT. */
int import_tree_open(const struct import_tree *tree, const char *path);
/* "x/y"; "" for the root. */
void import_node_path(const struct import_node *node, struct buf *out);
/* The stage's directory of a directory; borrowed; NULL: no memory or errno. */
struct dir *import_node_stage(const struct import_tree *tree, struct import_node *dir);
static inline bool import_node_is_dir(const struct import_node *node) { return object_is_dir(node->inode->object); }
/* for (node = first of a walk; node; node = import_node_next(root, node)): every node below, a directory before what is in it. */
struct import_node *import_node_next(const struct import_node *root, const struct import_node *node);
