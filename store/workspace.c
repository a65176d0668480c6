/* Workspaces: their rows and their directories.
 * Knows nothing of what is in a current layer. SPDX-License-Identifier: GPL-2.0-or-later */
#include "workspace.h"

#include "db.h"
#include "fs.h"
#include "index.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define COLUMNS "w.id, w.line, w.name, w.follow, coalesce(l.base_snapshot, 0), w.dir, w.created_sec, w.created_nsec, w.flags" \
    " FROM workspace w JOIN line l ON l.id = w.line "

static const char FOLDER[] = "workspaces";

struct workspace *workspace_free(struct workspace *workspace) {
    if (workspace) {
        free(workspace->name);
        free(workspace->dir);
    }
    free(workspace);
    return NULL;
}

/* Rows. */

static int read_one(struct db_statement *row, struct workspace **ret, struct snap_err *err) {
    int r = db_step(row, err);
    if (r <= 0)
        return r;
    _workspace_ struct workspace *workspace = calloc(1, sizeof(*workspace));
    if (!workspace)
        return err_nomem(err);
    size_t size;
    *workspace = (struct workspace){
        .id = db_int(row, 0), .line = db_int(row, 1), .follow = db_int(row, 3), .base = db_int(row, 4),
        .created = { db_int(row, 6), db_int(row, 7) }, .flags = (unsigned)db_int(row, 8),
    };
    bool named = db_blob(row, 2, &size);
    workspace->name = named ? db_text(row, 2) : NULL;
    workspace->dir = db_text(row, 5);
    if ((named && !workspace->name) || !workspace->dir)
        return err_nomem(err);
    if (workspace->created.tv_nsec < 0 || workspace->created.tv_nsec >= 1000000000 || workspace->follow != !workspace->base)
        return err_damage(err, "the store's database is damaged: workspace %" PRId64 " makes no sense", workspace->id);
    *ret = TAKE_PTR(workspace);
    return 1;
}

int workspace_named(struct store *store, const char *name, struct workspace **ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT " COLUMNS "WHERE w.name = ?", "s", name);
    return r < 0 ? r : read_one(&row, ret, err);
}

int workspace_get(struct store *store, int64_t id, struct workspace **ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT " COLUMNS "WHERE w.id = ?", "i", id);
    return r < 0 ? r : read_one(&row, ret, err);
}

int workspace_list(struct store *store, workspace_fn fn, void *data, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT " COLUMNS "WHERE w.name IS NOT NULL ORDER BY w.name", "");
    while (r >= 0) {
        _workspace_ struct workspace *workspace = NULL;
        if ((r = read_one(&row, &workspace, err)) <= 0)
            return r;
        r = fn(data, workspace);
        if (r > 0)
            return 0;
    }
    return r;
}

/* Writing. */

static int check_name(struct store *store, const char *name, struct snap_err *err) {
    _workspace_ struct workspace *workspace = NULL;
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = workspace_named(store, name, &workspace, err);
    if (r == 0)
        r = index_snapshot_named(store, name, &snapshot, err);
    if (r <= 0)
        return r;
    if (workspace)
        return err_set(err, -EEXIST, "a workspace already has this name");
    return err_set(err, -EEXIST, "snapshot %" PRId64 " already has this name", snapshot->public.number);
}

/* The line goes with the workspace, and holds what it stands on. */
static int add_line(struct store *store, const struct workspace *workspace, int64_t *ret, struct snap_err *err) {
    _snapshot_ struct snapshot *base = NULL;
    int r = workspace->base ? index_snapshot(store, workspace->base, &base, err) : 1;
    if (r == 0)
        return err_set(err, -ENOENT, "there is no snapshot %" PRId64, workspace->base);
    _statement_ struct db_statement row = {0};
    if (r > 0)
        r = db_bind(&row, store, err, "INSERT INTO line(base_line, base_snapshot) VALUES (nullif(?, 0), nullif(?, 0)) RETURNING id", "ii",
                    base ? base->line : 0, workspace->base);
    if (r >= 0)
        r = db_step(&row, err);
    if (r > 0)
        *ret = db_int(&row, 0);
    return r < 0 ? r : MIN(db_step(&row, err), 0);
}

int workspace_add(struct store *store, struct workspace *workspace, struct snap_err *err) {
    int64_t line = 0;
    int r = check_name(store, workspace->name, err);
    if (r == 0)
        r = add_line(store, workspace, &line, err);
    if (r < 0)
        return r;
    _statement_ struct db_statement row = {0};
    r = db_bind(&row, store, err, "INSERT INTO workspace(line, name, follow, dir, created_sec, created_nsec, flags)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id", "isiniii", line, workspace->name, (int64_t)workspace->follow, workspace->dir,
                (int64_t)workspace->created.tv_sec, (int64_t)workspace->created.tv_nsec, (int64_t)workspace->flags);
    if (r == 0)
        r = db_step(&row, err);
    if (r < 0)
        return r;
    workspace->id = db_int(&row, 0);
    workspace->line = line;
    return MIN(db_step(&row, err), 0);
}

int workspace_set_dir(struct store *store, int64_t id, const char *dir, struct snap_err *err) {
    return db_run(store, err, "UPDATE workspace SET dir = ?, flags = flags & ~? WHERE id = ?", "nii", dir, (int64_t)WORKSPACE_OWN_DIR, id);
}

int workspace_hide(struct store *store, int64_t id, struct snap_err *err) {
    return db_run(store, err, "UPDATE workspace SET name = NULL, flags = flags | ? WHERE id = ?", "ii", (int64_t)WORKSPACE_REMOVED, id);
}

int workspace_show(struct store *store, int64_t id, const char *name, struct snap_err *err) {
    int r = check_name(store, name, err);
    return r < 0 ? r : db_run(store, err, "UPDATE workspace SET name = ?, flags = flags & ~? WHERE id = ?", "sii", name,
                              (int64_t)WORKSPACE_REMOVED, id);
}

int workspace_forget(struct store *store, int64_t id, struct snap_err *err) {
    _workspace_ struct workspace *workspace = NULL;
    int r = workspace_get(store, id, &workspace, err);
    if (r <= 0)
        return r;
    r = db_run(store, err, "DELETE FROM workspace WHERE id = ?", "i", id);
    if (r == 0)
        r = db_run(store, err, "DELETE FROM current WHERE line = ?", "i", workspace->line);
    return r < 0 ? r : workspace_forget_lines(store, err);
}

int workspace_forget_lines(struct store *store, struct snap_err *err) {
    return db_run(store, err, "DELETE FROM line WHERE id <> 1 AND NOT EXISTS (SELECT 1 FROM workspace w WHERE w.line = line.id)"
                  " AND NOT EXISTS (SELECT 1 FROM snapshot s WHERE s.line = line.id) AND NOT EXISTS (SELECT 1 FROM gone g WHERE g.line = line.id)"
                  " AND NOT EXISTS (SELECT 1 FROM entry e WHERE e.line = line.id) AND NOT EXISTS (SELECT 1 FROM dir d WHERE d.line = line.id)"
                  " AND NOT EXISTS (SELECT 1 FROM link k WHERE k.line = line.id) AND NOT EXISTS (SELECT 1 FROM stale t WHERE t.line = line.id)", "");
}

static int expire_one(struct store *store, int64_t id, int64_t operation, workspace_gone_fn fn, void *data, struct snap_err *err) {
    char path[48];
    (void)snprintf(path, sizeof(path), "%s/%" PRId64, FOLDER, id);
    int r = fn(data, path);
    if (r == 0)
        r = workspace_forget(store, id, err);
    return r < 0 ? r : db_run(store, err, "UPDATE operation SET state = 'freed' WHERE id = ?", "i", operation);
}

int workspace_expire(struct store *store, uint64_t count, int64_t since, workspace_gone_fn fn, void *data, uint64_t *ret, struct snap_err *err) {
    uint64_t expired = 0;
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT w.id, max(o.id) FROM workspace w JOIN operation o ON o.kind = 'workspace remove' AND o.target = w.id"
                    " AND o.state = 'done' WHERE w.name IS NULL GROUP BY w.id HAVING max(o.id) < (SELECT coalesce(min(id), 9223372036854775807)"
                    " FROM (SELECT id FROM operation WHERE kind <> 'gc' ORDER BY id DESC LIMIT ?)) AND max(o.created_sec) < ?", "ii",
                    (int64_t)count, since);
    while (r >= 0 && (r = db_step(&row, err)) > 0)
        if ((r = expire_one(store, db_int(&row, 0), db_int(&row, 1), fn, data, err)) == 0)
            expired++;
    if (r == 0)
        *ret = expired;
    return r;
}

/* Directories. */

int workspace_unlink(struct store *store, int64_t id, struct snap_err *err) {
    char path[40];
    (void)snprintf(path, sizeof(path), "%" PRId64, id);
    _close_ int folder = openat(store_fd(store), FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = folder < 0 ? -errno : fs_remove_tree(folder, path);
    return r < 0 && r != -ENOENT ? err_path(err, r, store_path(store), "remove workspace %" PRId64 " from the store", id) : 0;
}

static int open_made(int dirfd, const char *name) {
    if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

void workspace_close(struct workspace_dirs *dirs) {
    dirs->upper = fd_close(dirs->upper);
    dirs->work = fd_close(dirs->work);
    dirs->at = fd_close(dirs->at);
}

static int open_all(struct store *store, int64_t id, struct workspace_dirs *dirs) {
    char name[24];
    (void)snprintf(name, sizeof(name), "%" PRId64, id);
    _close_ int folder = open_made(store_fd(store), FOLDER);
    dirs->at = folder < 0 ? folder : open_made(folder, name);
    dirs->upper = dirs->at < 0 ? dirs->at : open_made(dirs->at, "upper");
    dirs->work = dirs->upper < 0 ? dirs->upper : open_made(dirs->at, "work");
    return MIN(dirs->work, 0);
}

int workspace_open(struct store *store, int64_t id, struct workspace_dirs *ret, struct snap_err *err) {
    struct workspace_dirs dirs = { -1, -1, -1 };
    int r = open_all(store, id, &dirs);
    if (r < 0) {
        workspace_close(&dirs);
        return err_path(err, r, store_path(store), "open the directory of workspace %" PRId64 " in the store", id);
    }
    *ret = dirs;
    return 0;
}

int workspace_lock(const struct workspace_dirs *dirs) {
    while (flock(dirs->at, LOCK_EX | LOCK_NB) < 0)
        if (errno != EINTR)
            return errno == EWOULDBLOCK ? -EBUSY : -errno;
    return 0;
}

int workspace_is_locked(struct store *store, int64_t id, struct snap_err *err) {
    struct workspace_dirs dirs;
    int r = workspace_open(store, id, &dirs, err);
    if (r < 0)
        return r;
    r = workspace_lock(&dirs);
    workspace_close(&dirs);
    return r == -EBUSY ? 1 : r < 0 ? err_errno(err, r, "cannot look whether workspace %" PRId64 " is mounted", id) : 0;
}
