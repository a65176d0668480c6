/* `take` in a workspace: a cut through its current layer at one instant, while programs go on.
 *
 * The layer is captured twice. First as it is, while programs write: that is where the time goes. Then its server is asked to hold still
 * (cutd.h): what programs wrote before is in the layer, names stand still and no fsync is answered, and then nothing changes at all. Only
 * what changed since the first capture is read again, and the server lets everybody go on. So the snapshot shows one instant after the
 * command began: all that was written before it, nothing half-done, and nothing that came later than something it misses. Sealing and the
 * commit follow, as in any take. The workspace itself does not change: killed anywhere, command or server, there is nothing to resolve.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"
#include "layer.h"
#include "scan.h"

/* Of project->workspace, over the newest snapshot of its line. */
int cut_capture(struct snap_project *project, struct stage *stage, struct scan **ret, struct snap_err *err);
