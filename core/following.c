/* Asking a mount that follows the project: that everything changed before is seen in it, and how it hears of changes.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "following.h"

#include "mount.h"
#include "workspace.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/xattr.h>

int following_sync(int root, struct snap_following *ret) {
    char text[256];
    ssize_t size = fgetxattr(root, MOUNT_BARRIER, text, sizeof(text) - 1);
    if (size < 0)
        return -errno;
    text[size] = '\0';
    struct snap_following now;
    if (sscanf(text, "watches=%" SCNu64 " uncovered=%" SCNu64 " lost=%" SCNu64, &now.watches, &now.uncovered, &now.lost) != 3)
        return -EPROTO;
    *ret = now;
    return 0;
}

int snap_following(struct snap_project *project, struct snap_following *ret, struct snap_err *err) {
    if (!project->workspace || !project->workspace->follow)
        return 0;
    int r = following_sync(project->root, ret);
    return r < 0 ? err_path(err, r, project->info.root, "ask the workspace on") : 1;
}
