/* One line on a terminal's stderr while the work lasts. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "snapctl.h"

#include <pthread.h>

struct progress {
    bool wanted;               /* stderr is a terminal, and nobody asked for silence */
    bool shown;                /* the line stands there */
    int64_t since, last;       /* nanoseconds: the work began, the line was written */
    pthread_mutex_t lock;      /* the library tells from any thread */
};

void progress_init(struct progress *progress, bool wanted);
void progress_tell(struct progress *progress, const struct snap_progress *now);
void progress_erase(struct progress *progress);    /* something else is about to be written */
void progress_end(struct progress *progress);      /* erased, and not shown again */
