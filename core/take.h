/* Capturing the project into a new layer and a snapshot. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"

struct take_request {
    struct snap_take_options options;
    bool automatic;                       /* a safety snapshot: flagged auto, no operation row of its own */
};
/* Needs the lock; runs its own transactions. With if_changed: number 0 if the project is exactly the newest entries
 * (index_newest). Sets fact "project.parent" to the new number unless automatic. */
int take_run(struct snap_project *project, const struct take_request *request, struct snap_take_result *ret, struct snap_err *err);
/* The present in an automatic snapshot, unless the newest is just that. *ret: the newest now, which equals the project. */
int take_safety(struct snap_project *project, const char *message, int64_t *ret, struct snap_err *err);
