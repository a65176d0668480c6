/* Finding snapshots by what people call them. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "index.h"
#include "project.h"

/* 1 = somebody reads it, shows it or stands on it; gc keeps it. */
int catalog_is_used(struct snap_project *project, int64_t number, struct snap_err *err);
/* Number, name, `latest`, `latest~N`. -ENOENT with a hint if there is none. */
int catalog_find(struct snap_project *project, const char *spec, struct snapshot **ret, struct snap_err *err);
int catalog_latest(struct snap_project *project, struct snapshot **ret, struct snap_err *err);    /* 0 = there is none, 1 found */
/* -EEXIST with a hint: another snapshot than `but` (0 = any), or a workspace, is called so. */
int catalog_check_free(struct snap_project *project, const char *name, int64_t but, struct snap_err *err);
/* Its tree. */
static inline struct point snapshot_point(const struct snapshot *snapshot) {
    return (struct point){ .line = snapshot->line, .snap = snapshot->public.number };
}
