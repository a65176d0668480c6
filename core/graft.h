/* A tree from outside, put behind the newest entries of the project's line as if it were what the project is now.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "import_tree.h"
#include "scan.h"

/* The newest entries are the project (take_safety). Compares the tree with them by path: a directory that is one in both stays
 * the directory it is, what is equal stays the object it is, all else is new. What differs becomes the delta of a scan that
 * seal.h takes; the files in the tree's stage are put where it looks for them, and the tree is of no use afterwards. */
int graft_compare(struct snap_project *project, struct import_tree *tree, struct scan **ret, struct snap_err *err);
/* In the transaction that commits it: the newest entries say something else than the project from now on, which did not
 * change; its records are told where. */
int graft_live(struct scan *scan, struct snap_err *err);
