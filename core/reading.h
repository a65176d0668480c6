/* Readers take no lock, and gc may run meanwhile. What they found is pinned until they close the project; where no pin can be
 * set, what they read is of one commit of the index, and what is not there any more is said to have been removed, not to be
 * damaged. Whoever holds the store's lock needs none of this. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"

struct held { int64_t number; int pin; /* -1: none could be set */ };

/* 1 = pinned just now: gc may have come before, look the snapshot up again. 0 = not pinned, or no need. -EBUSY: gc may be
 * freeing it at this moment. */
int reading_hold(struct snap_project *project, const struct snapshot *snapshot, struct snap_err *err);
void reading_drop(struct snap_project *project);          /* all pins; the end of the project does so */
/* From here on the index is that of one commit. -ENOENT: something that was found was freed since. May be nested. */
int reading_begin(struct snap_project *project, struct snap_err *err);
/* What has to be said of the result `r`: damage is none where something that was found was freed meanwhile. */
int reading_end(struct snap_project *project, int r, struct snap_err *err);
