/* The inside of an export, shared by the files that make one: export.c (the verb), export_kind.c (what is asked for),
 * export_tree.c (entries), export_delta.c (differences), export_oci.c (images). SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "archive_mtree.h"
#include "archive_tar.h"
#include "map.h"
#include "target.h"
#include "tree.h"

enum dialect { DIALECT_NONE = 0, DIALECT_OCI, DIALECT_OVERLAY };

struct exporter {
    struct snap_project *project;
    struct point at;                      /* the tree that goes out */
    enum dialect dialect;                 /* of deletions, and of names that mean them */
    struct tar *tar;                      /* where to; or */
    struct mtree *mtree;
    struct map *links;                    /* object id -> path of its first name in this archive */
    uint64_t entries, deleted, bytes;
    struct snap_err *err;
};
void exporter_init(struct exporter *exporter, struct snap_project *project, struct point at, struct snap_err *err);
void exporter_done(struct exporter *exporter);
#define _exporter_ _cleanup_(exporter_done)

/* One entry, with its content; `opaque`: a directory under which nothing older shows. What archives cannot hold is told and
 * left out: TREE_SKIP. */
int export_entry(struct exporter *exporter, const char *path, const struct object *object, bool opaque);
/* What is in a directory and below. */
int export_below(struct exporter *exporter, const char *path, int64_t dir);
int export_whiteout(struct exporter *exporter, const char *path);
/* The whole tree, its root first. */
int export_tree(struct exporter *exporter);
/* What makes the tree of `from` that of the exporter; parents of what changed come along, for their metadata. */
int export_delta(struct exporter *exporter, struct point from);
/* The same as a tar from its first to its last byte: the whole tree, or with `from` the difference. */
int export_tar(struct exporter *exporter, const struct point *from, struct sink *sink, unsigned flags);

/* What is asked for. */
struct export_kind { enum snap_export_format format; enum archive_compression compression; bool directory; };
int export_kind_find(const struct snap_export_options *options, struct export_kind *ret, struct snap_err *err);
const char *export_kind_format(const struct export_kind *kind);
const char *export_kind_compression(const struct export_kind *kind);         /* NULL: none */

/* An OCI image in an open, empty directory: the trees of `count` snapshots, the first whole, each other as what differs from
 * the one before. Adds to *written the bytes of its files. */
int export_oci(struct exporter *exporter, struct snapshot *const *snapshots, size_t count, int dirfd, uint64_t *written);
/* A finished layout as a tar, which is how images travel in one file. */
int export_oci_tar(struct exporter *exporter, int dirfd, struct sink *sink);
