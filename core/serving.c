/* What one mount serves: a view or a workspace, opened from its store.
 * Holds the store open but never its lock; forks nothing (mounts.c does). SPDX-License-Identifier: GPL-2.0-or-later */
#include "serving.h"

#include "cutd.h"
#include "fs.h"
#include "index.h"
#include "overlay.h"
#include "pin.h"
#include "workspace.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct server {                /* while it serves */
    struct serving *serving;
    struct store *store;
    struct point at;           /* the tree of the snapshot that is shown or stood on */
    struct workspace_dirs dirs;
    int root;                  /* of the project that is followed, borrowed; -1 = none */
    struct mounted mounted;
    int record, log, pin;      /* descriptors */
    struct cutd *cutd;         /* of a workspace that stands on a snapshot */
};

void serving_done(struct serving *serving) {
    free(serving->store);
    free(serving->dir);
    free(serving->options);
    fd_close(serving->below);
    *serving = (struct serving)SERVING_INIT;
}

/* Options. */

static const struct { const char *name; unsigned flag; bool view, workspace; } known_options[] = {
    { "allow_other", MOUNT_ALLOW_OTHER, true, true }, { "allow_root", MOUNT_ALLOW_ROOT, true, true },
    { "debug", MOUNT_DEBUG, true, true }, { "default_permissions", 0, true, true },
    { "ro", MOUNT_READ_ONLY, true, true }, { "rw", 0, false, true },
};

static int add_option(struct serving *serving, const char *option, size_t size, struct buf *rest, struct snap_err *err) {
    for (size_t i = 0; i < ELEMENTS(known_options); i++) {
        if (strlen(known_options[i].name) != size || memcmp(known_options[i].name, option, size) != 0)
            continue;
        if (!(serving->workspace ? known_options[i].workspace : known_options[i].view)) {
            err_set(err, -EINVAL, "a snapshot is mounted read-only; it never changes");
            err_hint(err, "'snapctl workspace add' makes a copy of it that can be changed");
            return err_failure(err, SNAP_FAILURE_USAGE);
        }
        serving->flags |= known_options[i].flag;
        return 0;
    }
    if (rest->size)
        buf_char(rest, ',');
    buf_add(rest, option, size);
    return 0;
}

int serving_set_options(struct serving *serving, const char *options, struct snap_err *err) {
    _buf_ struct buf rest = {0};
    for (const char *at = options ? options : ""; *at; ) {
        size_t size = strcspn(at, ",");
        int r = size ? add_option(serving, at, size, &rest, err) : 0;
        if (r < 0)
            return r;
        at += size + (at[size] == ',');
    }
    if (rest.failed)
        return err_nomem(err);
    serving->options = rest.size ? buf_take(&rest) : NULL;
    return 0;
}

/* What is needed while it is served. */

/* The record last but for the store: whoever waits for it takes all else to be free. */
static void server_done(struct server *server) {
    workspace_close(&server->dirs);
    fd_close(server->log);
    pin_drop(server->pin);
    if (server->record >= 0)
        mounted_end(server->store, &server->mounted, server->record);
    mounted_done(&server->mounted);
    store_close(server->store);
}

static void note(void *data, const char *sentence) {
    const struct server *server = data;
    char line[2304], when[32];
    struct tm tm;
    time_t now = time(NULL);
    if (!gmtime_r(&now, &tm) || !strftime(when, sizeof(when), "%FT%TZ", &tm))
        *when = '\0';
    int size = snprintf(line, sizeof(line), "%s %s\n", when, sentence);
    if (size > 0)
        (void)fs_write_all(server->log, line, MIN((size_t)size, sizeof(line) - 1));    /* there is nobody else to tell */
}

/* Of a directory that was removed no links remain. */
static bool is_removed(int fd) {
    struct stat stat;
    return fstat(fd, &stat) == 0 && stat.st_nlink == 0;
}

static int still_there(void *data) {
    const struct server *server = data;
    if (server->root >= 0 && is_removed(server->root))
        return 0;
    return faccessat(store_fd(server->store), "store.db", F_OK, AT_SYMLINK_NOFOLLOW) == 0
        && (server->dirs.upper < 0 || !is_removed(server->dirs.upper));
}

static int answers(void *data, struct mount *mount, struct snap_err *err) {
    struct server *server = data;
    bool frozen = server->serving->workspace && !server->serving->follow;
    int r = frozen ? cutd_start(server->store, &server->mounted, mount, &server->cutd, err) : 0;
    if (r < 0)
        return r;
    return server->serving->answers ? server->serving->answers(server->serving->data, &server->mounted, err) : 0;
}

static void ends(void *data) {
    struct server *server = data;
    server->cutd = cutd_stop(server->cutd);
}

/* What gc may not free while it is shown. */
static int find_snapshot(struct server *server, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int64_t number = server->serving->snapshot;
    int r = server->pin = pin_take(server->store, number, true, err);
    if (r < 0)
        return r;
    r = index_snapshot(server->store, number, &snapshot, err);
    if (r == 0)
        return err_set(err, -ENOENT, "there is no snapshot %lld any more", (long long)number);
    if (r > 0)
        server->at = (struct point){ .line = snapshot->line, .snap = number };
    return MIN(r, 0);
}

static int open_workspace(struct server *server, struct snap_err *err) {
    int64_t id = server->serving->workspace;
    int r = workspace_open(server->store, id, &server->dirs, err);
    if (r < 0)
        return r;
    r = workspace_lock(&server->dirs);
    if (r == -EBUSY)
        return err_set(err, r, "the workspace is mounted already");
    return r < 0 ? err_errno(err, r, "cannot lock the workspace") : 0;
}

static int open_record(struct server *server, struct snap_err *err) {
    server->mounted.snapshot = server->serving->snapshot;
    server->mounted.workspace = server->serving->workspace;
    server->mounted.since = server->serving->since;
    server->mounted.below = server->serving->below;
    if (!(server->mounted.dir = strdup(server->serving->dir)))
        return err_nomem(err);
    int r = mounted_begin(server->store, &server->mounted, &server->record, err);
    if (r == 0)
        r = server->log = mounted_log(server->store, server->mounted.id, err);
    return MIN(r, 0);
}

static int open_all(struct server *server, struct snap_err *err) {
    int r = store_open(server->serving->store, &server->store, err);
    if (r == 0)
        server->root = server->serving->follow ? server->serving->below : -1;
    if (r == 0 && !server->serving->follow)
        r = find_snapshot(server, err);
    if (r == 0 && server->serving->workspace)
        r = open_workspace(server, err);
    return r < 0 ? r : open_record(server, err);
}

/* The tree. */

static int open_lower(struct server *server, struct lower **ret, struct snap_err *err) {
    struct lower_snapshot options = { .store = server->store, .at = &server->at, .log = note, .data = server };
    int r = server->root >= 0 ? lower_layer_open(server->root, false, ret) : lower_snapshot_open(&options, ret);
    return r < 0 ? err_errno(err, r, server->root >= 0 ? "cannot read the project" : "cannot open snapshot %lld", (long long)server->at.snap) : 0;
}

static int open_overlay(struct server *server, struct overlay **ret, struct snap_err *err) {
    struct lower *lower = NULL;
    int r = open_lower(server, &lower, err);
    if (r < 0)
        return r;
    struct overlay_options options = { .upper = server->dirs.upper, .work = server->dirs.work, .lowers = &lower, .lower_count = 1,
                                       .flags = server->root >= 0 ? OVERLAY_FOLLOW : 0, .log = note, .data = server };
    r = overlay_open(&options, ret, err);
    if (r < 0)
        lower->ops->close(lower);
    return r;
}

/* A view never changes; a workspace on a snapshot changes through its mount alone; for what follows the overlay listens. */
static unsigned flags_of(const struct serving *serving) {
    if (!serving->workspace)
        return serving->flags | MOUNT_READ_ONLY | MOUNT_IMMUTABLE;
    return serving->flags | (serving->follow ? MOUNT_FOLLOW : MOUNT_FROZEN);
}

static int serve(struct server *server, struct detach_ready *ready, struct snap_err *err) {
    struct overlay *overlay = NULL;
    _buf_ struct buf source = {0};
    int r = mounted_path(server->store, server->mounted.id, &source);
    if (r < 0)
        return err_nomem(err);
    r = open_overlay(server, &overlay, err);
    if (r < 0)
        return r;
    struct mount_options options = {
        .overlay = overlay, .mountpoint = server->serving->dir, .source = source.data,
        .flags = flags_of(server->serving), .options = server->serving->options,
        .ready = ready, .on_ready = answers, .on_end = ends, .still_there = still_there, .log = note, .data = server,
    };
    r = mount_serve(&options, NULL, err);
    overlay_close(overlay);
    return r;
}

int serving_run(void *data, struct detach_ready *ready, struct snap_err *err) {
    _cleanup_(server_done) struct server server = { .serving = data, .root = -1, .dirs = { -1, -1, -1 }, .record = -1, .log = -1, .pin = -1 };
    int r = open_all(&server, err);
    return r < 0 ? r : serve(&server, ready, err);
}
