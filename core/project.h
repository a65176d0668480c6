/* An open project: its directory, its store, and how it talks to whoever opened it.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "layer.h"
#include "op.h"
#include "store.h"
#include "workspace.h"
#include <pthread.h>

struct snap_project {
    struct snap_env env;                  /* strings owned; `dir` is absolute, without symlinks, as the caller reached it */
    struct snap_project_info info;        /* strings owned */
    unsigned flags;                       /* enum snap_open */
    int root;                             /* O_RDONLY|O_DIRECTORY descriptor of the project's root */
    uint64_t device, mount;               /* of the root: st_dev and STATX_MNT_ID */
    struct workspace *workspace;          /* opened as this workspace: root, info.root and paths are its; NULL = the project itself */
    char *left_out;                       /* what project_store_inside returns */
    struct store *store;
    struct layers *layers;                /* opened on first use by project_layers */
    struct held *held;                    /* what was found by a reader, until it closes (reading.h) */
    size_t held_count, held_room;
    unsigned reading;                     /* how often reading has begun and not ended */
    pthread_mutex_t telling;              /* one notice or progress call at a time */
    uint64_t failed;                      /* paths told as SNAP_NOTICE_FAILED_PATH so far; under `telling` */
};

/* The line whose snapshots are meant: the workspace's, or the project's. */
static inline int64_t project_line(const struct snap_project *project) { return project->workspace ? project->workspace->line : INDEX_PROJECT_LINE; }

/* tell.c */
void project_notice(struct snap_project *project, enum snap_notice kind, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void project_progress(struct snap_project *project, const struct snap_progress *progress);
bool project_cancelled(const struct snap_project *project);
int project_cancelled_error(struct snap_err *err);        /* -ECANCELED, SNAP_FAILURE_INTERRUPTED */
int project_need_lock(const struct snap_project *project, struct snap_err *err);      /* -EPERM if it was opened for reading only */
double project_seconds(void);                             /* by the monotonic clock: two of them tell how long a verb took */
int project_layers(struct snap_project *project, struct layers **ret, struct snap_err *err);   /* borrowed */
/* The path (of the project) that scanning and going back leave out because the store, or the directory of all stores of
 * this user, lies there; NULL = none. */
const char *project_store_inside(const struct snap_project *project);
/* An open read-only descriptor of an object's bytes, also of an empty one; -EUCLEAN damaged, -ENODATA never read. */
int project_open_content(struct snap_project *project, const struct object *object, struct snap_err *err);
/* Is `digest`, made of all that was read there, the one that the object was stored with? -EUCLEAN: no, and which file is damaged. */
int project_check_content(struct snap_project *project, const struct object *object, const struct digest *digest, struct snap_err *err);
