/* What the current layer of a workspace changes, told as a scan over the snapshot that it stands on: so whoever compares
 * the project with a snapshot can compare a workspace, too. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "scan.h"
#include "workspace.h"

/* Reads the layer and the index only. Content of what differs is digested, never copied. `root`: where the paths of the
 * scan lead (the workspace's mount, or its layer); duplicated. New
 * objects get numbers from `first` on, 0 = the next free ones. */
int current_look(struct snap_project *project, const struct workspace *workspace, int root, int64_t first, struct scan **ret, struct snap_err *err);
