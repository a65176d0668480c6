/* What commands on a project have in common. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "cmd.h"
#include "json.h"

/* Opens call->project as the command wants it; says where it is with -v. */
int project_open(struct call *call, unsigned flags, struct snap_err *err);

/* call->paths as paths of the project: NULL-terminated; NULL if none were given. Freed by paths_free. */
int project_paths(struct call *call, char ***ret, struct snap_err *err);
char **paths_free(char **paths);       /* accepts NULL, returns NULL */
DEFINE_CLEANUP(char **, paths_free)
#define _paths_ _cleanup_(paths_freep)

DEFINE_CLEANUP(struct snap_snapshot *, snap_snapshot_free)
#define _snapshot_ _cleanup_(snap_snapshot_freep)

/* The word names a snapshot; if not, and it is a path, the hint says how a path is given. */
int project_check_snapshot(struct call *call, const char *word, struct snap_err *err);
/* The newest snapshot that is neither automatic nor imported, or what the workspace stands on; *ret NULL if there is none. */
int project_newest(struct call *call, struct snap_snapshot **ret, struct snap_err *err);

/* `snapctl [-C DIR] [--store DIR] REST`, as the user would type it now. */
void add_snapctl(struct buf *out, const struct call *call, const char *rest);
/* `snapshot 12 "name"` */
void add_snapshot(struct buf *out, int64_t number, const char *name);
void add_snapshot_found(struct buf *out, struct call *call, int64_t number);     /* the name is looked up */

/* The line that says what rollback, restore, undo or redo did: ": 12 restored, 3 removed; 4.2 MiB in 0.1 s". */
void show_restored(struct out *out, const struct snap_rollback_result *result);
void json_restored(json_object *object, const struct snap_rollback_result *result);
/* `undo with: snapctl undo 7` */
void show_undo(struct call *call, int64_t operation);
