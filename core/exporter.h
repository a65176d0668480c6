/* The inside of an export, shared by the files that make one: export.c (the verb), export_tree.c (entries).
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "archive_tar.h"
#include "map.h"
#include "tree.h"

struct exporter {
    struct snap_project *project;
    struct point at;                      /* the tree that goes out */
    struct tar *tar;
    struct map *links;                    /* object id -> path of its first name in this archive */
    uint64_t entries, bytes;
    struct snap_err *err;
};
int exporter_init(struct exporter *exporter, struct snap_project *project, struct point at, struct snap_err *err);
void exporter_done(struct exporter *exporter);
#define _exporter_ _cleanup_(exporter_done)

/* One entry, with its content. What archives cannot hold is told and left out. */
int export_entry(struct exporter *exporter, const char *path, const struct object *object);
/* The whole tree, its root first. */
int export_tree(struct exporter *exporter);
