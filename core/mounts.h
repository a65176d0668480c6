/* Mounting and unmounting: where, and by a process of its own or here. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "serving.h"
#include "workspace.h"

/* The directory that is meant, absolute, if a workspace, or a view, may be mounted on it. */
int mounts_place(const struct snap_project *project, bool workspace, const char *typed, char **ret, struct snap_err *err);

/* What is told when it answers. */
struct mounting {
    snap_mount_fn fn;                     /* may be NULL */
    void *data;
    enum snap_mount_kind kind;
    char *name, *workspace;               /* owned; of the snapshot, of the workspace or NULL */
};
void mounting_done(struct mounting *mounting);
#define _mounting_ _cleanup_(mounting_done)

/* What has to be known of the project before it is closed: neither its connection nor its lock may cross a fork.
 * `options`: as mount(8) has them, NULL = none. */
int mounts_prepare_view(struct snap_project *project, int64_t snapshot, const char *options, struct serving *serving,
                        struct mounting *mounting, struct snap_err *err);
int mounts_prepare_workspace(struct snap_project *project, const struct workspace *workspace, const char *options,
                             struct serving *serving, struct mounting *mounting, struct snap_err *err);
/* -EBUSY, and where it is mounted. */
int mounts_check_unused(struct snap_project *project, const struct workspace *workspace, struct snap_err *err);
/* serving->dir is set. Returns when it answers, or in the foreground when it is unmounted. */
int mounts_start(struct serving *serving, struct mounting *mounting, bool foreground, struct snap_err *err);
