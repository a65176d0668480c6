/* Freeing snapshots: the order of it, and going on where it was cut short.
 * What is needed is decided in gc_rows.c and gc_layers.c. SPDX-License-Identifier: GPL-2.0-or-later */
#include "gc.h"

#include "facts.h"
#include "fs.h"
#include "gc_layers.h"
#include "live.h"
#include "workspace.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static void pass_done(struct pass *pass) {
    numbers_done(&pass->freed);
    numbers_done(&pass->kept);
    numbers_done(&pass->touched);
    numbers_done(&pass->dirs);
}

/* Numbers are never given twice, also when the rows that had the highest go. */
static int keep_numbers(struct store *store, struct snap_err *err) {
    struct index_ids ids;
    char object[24], content[24];
    int r = index_next_ids(store, &ids, err);
    if (r < 0)
        return r;
    (void)snprintf(object, sizeof(object), "%lld", (long long)ids.object - 1);
    (void)snprintf(content, sizeof(content), "%lld", (long long)ids.content - 1);
    r = store_set_fact(store, "given.object", object, err);
    return r < 0 ? r : store_set_fact(store, "given.content", content, err);
}

static int check_bases(struct pass *pass) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, pass->store, pass->err, "SELECT base_snapshot FROM line WHERE base_snapshot IS NOT NULL", "");
    while (r >= 0 && (r = db_step(&row, pass->err)) > 0)
        if (numbers_have(&pass->freed, db_int(&row, 0)))
            return err_set(pass->err, -EBUSY, "a workspace stands on snapshot %lld", (long long)db_int(&row, 0));
    return r;
}

static int read_kept(struct pass *pass) {
    _cleanup_(numbers_done) struct numbers all = {0};
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, pass->store, pass->err, "SELECT id FROM snapshot WHERE line = ?", "i", pass->line);
    if (r == 0)
        r = numbers_read(&all, &row, pass->err);
    for (size_t i = 0; i < all.count && r == 0; i++)
        if (!numbers_have(&pass->freed, all.at[i]) && numbers_add(&pass->kept, all.at[i]) < 0)
            r = err_nomem(pass->err);
    return r;
}

static int forget_snapshots(struct pass *pass) {
    int r = 0;
    for (size_t i = 0; i < pass->freed.count && r == 0; i++)
        r = db_run(pass->store, pass->err, "DELETE FROM snapshot WHERE id = ?", "i", pass->freed.at[i]);
    pass->sums->snapshots += pass->freed.count;
    return r;
}

static int free_line(struct pass *pass) {
    numbers_sort(&pass->freed);
    int r = check_bases(pass);
    if (r == 0)
        r = read_kept(pass);
    if (r == 0)
        r = gc_rows(pass);
    if (r == 0)
        r = gc_layers(pass);
    if (r == 0)
        r = gc_places(pass);
    return r < 0 ? r : forget_snapshots(pass);
}

static int line_of(struct store *store, int64_t number, int64_t *ret, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = index_snapshot(store, number, &snapshot, err);
    if (r == 0)
        return err_set(err, -ENOENT, "there is no snapshot %lld", (long long)number);
    if (r > 0)
        *ret = snapshot->line;
    return MIN(r, 0);
}

/* Those of `numbers` that are of the line of the first which is not done yet. */
static int choose_line(struct store *store, const int64_t *numbers, size_t count, bool *done, struct pass *pass, struct snap_err *err) {
    for (size_t i = 0; i < count; i++) {
        int64_t line = 0;
        int r = done[i] ? 0 : line_of(store, numbers[i], &line, err);
        if (r < 0)
            return r;
        if (done[i] || (pass->line && pass->line != line))
            continue;
        pass->line = line;
        done[i] = true;
        if (numbers_add(&pass->freed, numbers[i]) < 0)
            return err_nomem(err);
    }
    return pass->line != 0;
}

int gc_free(struct store *store, const int64_t *numbers, size_t count, struct gc_freed *ret, struct snap_err *err) {
    struct gc_freed sums = {0};
    _free_ bool *done = calloc(count + 1, sizeof(*done));
    int r = done ? keep_numbers(store, err) : err_nomem(err);
    while (r >= 0) {
        _cleanup_(pass_done) struct pass pass = { .store = store, .sums = &sums, .err = err };
        r = choose_line(store, numbers, count, done, &pass, err);
        if (r <= 0)
            break;
        r = free_line(&pass);
    }
    if (r == 0)
        r = workspace_forget_lines(store, err);
    if (r == 0 && sums.live_reset)
        r = live_reset(store, err);
    if (r == 0)
        *ret = sums;
    return r;
}

int gc_doom(struct store *store, const char *path, struct snap_err *err) {
    return db_run(store, err, "INSERT INTO doomed(path) VALUES (?) ON CONFLICT DO NOTHING", "n", path);
}

/* After the commit. */

int gc_unfinished(struct store *store, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT EXISTS (SELECT 1 FROM stale) OR EXISTS (SELECT 1 FROM doomed)", "");
    if (r == 0)
        r = db_step(&row, err);
    return r > 0 ? db_int(&row, 0) != 0 : r;
}

static int cancelled(const struct gc_watch *watch, struct snap_err *err) {
    if (!watch || !watch->cancel || !*watch->cancel)
        return 0;
    err_set(err, -ECANCELED, "interrupted; the next command goes on with it");
    err_failure(err, SNAP_FAILURE_INTERRUPTED);
    return -ECANCELED;
}

static int write_manifests(struct store *store, const struct gc_watch *watch, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT layer, line FROM stale", "");
    while (r >= 0 && (r = db_step(&row, err)) > 0)
        if ((r = cancelled(watch, err)) < 0 || (r = gc_write_manifest(store, db_int(&row, 0), db_int(&row, 1), err)) < 0)
            return r;
    return r;
}

/* The directory in which names go one after the other; its own times are the snapshot's. */
struct parent { int fd; char *path; struct stat before; };

static int parent_leave(struct parent *parent) {
    int r = 0;
    if (parent->fd >= 0) {
        struct timespec times[2] = { parent->before.st_atim, parent->before.st_mtim };
        if (futimens(parent->fd, times) < 0)
            r = -errno;
    }
    parent->fd = fd_close(parent->fd);
    free(TAKE_PTR(parent->path));
    return r;
}

static void parent_done(struct parent *parent) {
    fd_close(parent->fd);
    free(parent->path);
}

/* 1 = open, 0 = it is not there any more. */
static int parent_enter(struct parent *parent, struct store *store, const char *path, size_t size) {
    if (parent->fd >= 0 && strlen(parent->path) == size && memcmp(parent->path, path, size) == 0)
        return 1;
    int r = parent_leave(parent);
    if (r < 0)
        return r;
    parent->path = strndup(path, size);
    if (!parent->path)
        return -ENOMEM;
    int fd = fs_open_beneath(store_fd(store), parent->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
    parent->fd = fd;
    return fstat(fd, &parent->before) < 0 ? -errno : 1;
}

/* A whole layer leaves its place at once: there is never half of one. */
static int remove_layer(struct store *store, const char *layer) {
    char name[40];
    (void)snprintf(name, sizeof(name), "freed-%s", layer);
    int r = fs_remove_tree(store_work_fd(store), name);
    if (r == 0 && renameat(store_layers_fd(store), layer, store_work_fd(store), name) < 0)
        r = errno == ENOENT ? 0 : -errno;
    return r < 0 ? r : fs_remove_tree(store_work_fd(store), name);
}

static int remove_path(struct store *store, struct parent *parent, const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path || !slash[1])
        return -EUCLEAN;
    size_t size = (size_t)(slash - path);
    if (size == strlen("layers") && memcmp(path, "layers", size) == 0)
        return remove_layer(store, slash + 1);
    int r = parent_enter(parent, store, path, size);
    return r <= 0 ? r : fs_remove_tree(parent->fd, slash + 1);
}

static uint64_t count_doomed(struct store *store) {
    _statement_ struct db_statement row = {0};
    return db_bind(&row, store, NULL, "SELECT count(*) FROM doomed", "") < 0 || db_step(&row, NULL) <= 0 ? 0 : (uint64_t)db_int(&row, 0);
}

static int remove_doomed(struct store *store, const struct gc_watch *watch, struct snap_err *err) {
    _cleanup_(parent_done) struct parent parent = { .fd = -1 };
    uint64_t done = 0, total = watch && watch->progress ? count_doomed(store) : 0;
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT path FROM doomed ORDER BY path", "");
    while (r >= 0 && (r = db_step(&row, err)) > 0) {
        _free_ char *path = db_text(&row, 0);
        if (!path)
            return err_nomem(err);
        if ((r = cancelled(watch, err)) < 0)
            return r;
        if ((r = remove_path(store, &parent, path)) < 0)
            return err_path(err, r, path, "remove from the store");
        if (watch && watch->progress)
            watch->progress(watch->data, ++done, total);
    }
    int left = parent_leave(&parent);
    return r < 0 ? r : left < 0 ? err_path(err, left, store_path(store), "set times in the store") : 0;
}

/* Forgotten only when all of it is on disk: else a power loss would leave files that nothing knows of. */
static int settle(struct store *store, struct snap_err *err) {
    int r = store_flush(store, err);
    if (r < 0 || (r = store_begin(store, err)) < 0)
        return r;
    r = db_run(store, err, "DELETE FROM doomed", "");
    if (r == 0)
        r = db_run(store, err, "DELETE FROM stale", "");
    if (r == 0)
        return store_commit(store, false, err);
    store_abort(store);
    return r;
}

int gc_finish(struct store *store, const struct gc_watch *watch, struct snap_err *err) {
    int r = gc_unfinished(store, err);
    if (r <= 0)
        return r;
    if ((r = write_manifests(store, watch, err)) < 0 || (r = remove_doomed(store, watch, err)) < 0 || (r = settle(store, err)) < 0)
        return r;
    facts_settle(store);
    return 0;
}
