/* Capturing the project into a new layer and a snapshot. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"
#include "seal.h"

struct take_request {
    struct snap_take_options options;
    bool automatic;                       /* a safety snapshot: flagged auto, no operation row of its own */
    bool foreign;                         /* not of the project: flagged so, without a parent, and none to what comes after */
};
/* Needs the lock; runs its own transactions. With if_changed: number 0 if the project is exactly the newest entries
 * (index_newest). Sets fact "project.parent" to the new number unless automatic. */
int take_run(struct snap_project *project, const struct take_request *request, struct snap_take_result *ret, struct snap_err *err);
/* The present in an automatic snapshot, unless the newest is just that, or what the workspace stands on. *ret: the newest now, which equals
 * the project. */
int take_safety(struct snap_project *project, const char *message, int64_t *ret, struct snap_err *err);

/* In an open transaction: what the project, or the workspace, is equal to from now on. */
int take_set_parent(struct snap_project *project, int64_t snapshot, struct snap_err *err);

/* The parts of it that any new snapshot goes through, in this order. */
int take_check_name(struct snap_project *project, const char *name, struct snap_err *err);      /* NULL = none */
int take_describe(struct snap_project *project, const struct take_request *request, int64_t number, struct snapshot **ret,
                  struct snap_err *err);
/* The layer is in its place: rows, flush, and the commit that makes it a snapshot; fills what is counted in *snapshot. */
int take_commit(struct snap_project *project, const struct take_request *request, struct seal *seal, struct scan *scan,
                struct snapshot *snapshot, struct sealed *ret, struct snap_err *err);
