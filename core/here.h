/* Whether a directory lies in a mount of ours, and what that means for a command that runs there.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"

struct here {
    char *dir;                 /* the directory, absolute */
    char *point;               /* the mount point above it */
    char *store;               /* path of the store that serves it */
    char *project;             /* path of the project */
    int64_t workspace;         /* 0 = a view */
};
void here_done(struct here *here);
#define _here_ _cleanup_(here_done)

/* 1 = `env->dir` lies in a mount of ours, 0 = not. */
int here_find(const struct snap_env *env, struct here *ret, struct snap_err *err);
/* A descriptor of the directory of the project as it is below what is mounted on it; -1: nothing of ours is. Negative errno else. */
int here_below(const struct here *here, int *ret, struct snap_err *err);
/* The project was opened; what is typed stands relative to the directory in the mount. With `workspace` its paths mean the
 * workspace's. */
int here_enter(struct snap_project *project, const struct here *here, bool workspace, struct snap_err *err);
/* Another workspace of the project, where it is mounted, for a while: 1, or 0 = it is not mounted where this process can reach it. */
struct visit { struct workspace *workspace; int root; uint64_t device, mount; const char *path, *name; int64_t base; };
int here_visit(struct snap_project *project, int64_t workspace, struct visit *ret, struct snap_err *err);
void here_leave(struct snap_project *project, struct visit *visit);
