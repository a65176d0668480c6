/* What of a workspace was applied already.
 *
 * A workspace that was applied goes on, and so does the project. What is compared with both is then the workspace as it was: an automatic
 * snapshot of its own line, which apply takes, and which its operation names in a fact; while that operation is undone, the one before.
 * Reads the index only. SPDX-License-Identifier: GPL-2.0-or-later */
#include "applied.h"

#include "op.h"
#include "sweep.h"
#include "tree.h"

#include <inttypes.h>
#include <stdio.h>

int applied_point(struct snap_project *project, const struct workspace *workspace, struct point *ret, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int64_t applied = op_applied(project->store, workspace->id, err);
    int r = applied > 0 ? index_snapshot(project->store, applied, &snapshot, err) : (int)applied;
    if (r == 0)
        r = index_snapshot(project->store, workspace->base, &snapshot, err);
    if (r == 0)
        return err_damage(err, "the store's database is damaged: workspace '%s' stands on no snapshot", workspace->name);
    if (r > 0)
        *ret = snapshot_point(snapshot);
    return MIN(r, 0);
}

int applied_note(struct snap_project *project, int64_t operation, int64_t workspace, int64_t snapshot, struct snap_err *err) {
    char key[40], value[60];
    (void)snprintf(key, sizeof(key), "apply.%" PRId64, operation);
    (void)snprintf(value, sizeof(value), "%" PRId64 " %" PRId64, workspace, snapshot);
    return store_set_fact(project->store, key, value, err);
}

int applied_own(struct scan *scan, const struct object *object, struct object **ret) {
    *ret = map_get(scan->objects, &object->id, sizeof(object->id));
    if (*ret)
        return 0;
    struct object *copy = tree_object_copy(object);
    if (!copy || scan_own(scan, copy) < 0)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

struct since { struct scan *scan; const struct scan *now; struct snap_err *err; };

/* What was found since is told by that. */
static int add_recorded(void *data, const struct index_change *change) {
    struct since *since = data;
    struct object *after = NULL;
    if (since->now && scan_find(since->now, change->dir, change->name))
        return 0;
    int r = change->after ? scan_known_object(since->scan, change->after, &after) : 0;
    if (r == 0)
        r = scan_differ(since->scan, change->dir, change->name, after, NULL);
    return r == -ENOMEM ? err_nomem(since->err) : r;
}

static int add_found(struct since *since) {
    int r = 0;
    for (struct scan_iter i = {0}; r == 0 && since->now && scan_next(since->now, &i);) {
        struct object *after = NULL;
        if (i.entry->after)
            r = applied_own(since->scan, i.entry->after, &after);
        if (r == 0)
            r = scan_differ(since->scan, i.entry->dir, i.entry->name, after, NULL);
    }
    return r < 0 ? err_nomem(since->err) : 0;
}

int applied_since(struct snap_project *project, const struct workspace *workspace, struct point from, const struct scan *now, struct scan **ret,
                  struct snap_err *err) {
    _scan_ struct scan *scan = NULL;
    int r = scan_empty(project, from, project->root, &scan, err);
    if (r < 0)
        return r;
    if (now) {
        scan->first_object = now->first_object;
        scan->next_object = now->next_object;
    }
    struct since since = { scan, now, err };
    r = index_diff(project->store, from, index_newest(workspace->line), add_recorded, &since, err);
    if (r == 0)
        r = add_found(&since);
    if (r == 0)
        r = scan_place(scan, err);
    if (r == 0 && (r = scan_forget_lost(scan)) < 0)
        r = err_nomem(err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(scan);
    return 0;
}
