/* Recovery of what lies in files: leftovers in work/ and layers/, snapshots that a power loss may have torn.
 * Finishes no operation, touches no project, and removes no layer that anything in the database names.
 * Killed at any point, it starts again and comes to the same end. SPDX-License-Identifier: GPL-2.0-or-later */
#include "db.h"
#include "facts.h"
#include "fs.h"
#include "gc.h"
#include "index.h"
#include "live.h"
#include "manifest.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Facts. unsynced: the boot in which snapshots were committed without a flush. dropped: layers that no snapshot names
 * any more, to be removed; written in the transaction that forgot them. */
static const char UNSYNCED[] = "unsynced", DROPPED[] = "dropped";

struct teller {
    void (*told)(void *data, const char *text);
    void *data;
};

__attribute__((format(printf, 2, 3)))
static void tell(const struct teller *teller, const char *format, ...) {
    if (!teller->told)
        return;
    char text[3072];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    teller->told(teller->data, text);
}

static int damaged(struct snap_err *err, const char *what) {
    return err_damage(err, "the store is damaged: %s", what);
}

/* Snapshots on disk and not. */

static int read_boot(struct buf *ret, struct snap_err *err) {
    int code = fs_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 256, ret);
    if (code < 0)
        return err_errno(err, code, "cannot tell this boot of the machine from the one before");
    if (ret->size > 0)
        ret->data[strcspn(ret->data, "\n")] = '\0';
    return 0;
}

/* 1 = snapshots were committed without a flush, and the machine went down since. */
static int went_down(struct store *store, struct snap_err *err) {
    _free_ char *then = NULL;
    int code = store_fact(store, UNSYNCED, &then, err);
    if (code <= 0)
        return code;
    _buf_ struct buf now = {0};
    code = read_boot(&now, err);
    return code < 0 ? code : !now.data || strcmp(then, now.data) != 0;
}

int store_mark_unsynced(struct store *store, struct snap_err *err) {
    _buf_ struct buf boot = {0};
    int code = read_boot(&boot, err);
    return code < 0 ? code : store_set_fact(store, UNSYNCED, boot.data, err);
}

int store_mark_synced(struct store *store, struct snap_err *err) {
    _free_ char *boot = NULL;
    int code = store_fact(store, UNSYNCED, &boot, err);
    if (code <= 0)
        return code;
    code = db_run(store, err, "UPDATE snapshot SET flags = flags & ~?1 WHERE flags & ?1", "i", (int64_t)SNAPSHOT_UNSYNCED);
    return code < 0 ? code : store_set_fact(store, UNSYNCED, NULL, err);
}

/* What is needed. */

static bool is_dot(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int open_work(struct store *store, DIR **ret, struct snap_err *err) {
    int fd = openat(store_work_fd(store), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int code = -errno;
        fd_close(fd);
        return err_path(err, code, store_path(store), "read the work area of the store");
    }
    *ret = dir;
    return 0;
}

/* 1 = *ret_name is the next one, which belongs to `dir`; 0 = there is none. */
static int next_in_work(struct store *store, DIR *dir, const char **ret_name, struct snap_err *err) {
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir)); errno = 0) {
        if (is_dot(entry->d_name))
            continue;
        *ret_name = entry->d_name;
        return 1;
    }
    return errno ? err_path(err, -errno, store_path(store), "read the work area of the store") : 0;
}

static int work_is_used(struct store *store, struct snap_err *err) {
    _closedir_ DIR *dir = NULL;
    const char *name;
    int code = open_work(store, &dir, err);
    return code < 0 ? code : next_in_work(store, dir, &name, err);
}

static void layer_name(int64_t layer, char name[32]) {
    (void)snprintf(name, 32, "%lld", (long long)layer);
}

static int layer_exists(struct store *store, int64_t layer, struct snap_err *err) {
    char name[32];
    layer_name(layer, name);
    if (faccessat(store_layers_fd(store), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 1;
    return errno == ENOENT ? 0 : err_path(err, -errno, store_path(store), "look at layer %s of the store", name);
}

/* 1 = *ret is a layer that a command cut short between publishing and committing left behind. */
static int unrecorded_layer(struct store *store, int64_t *ret, struct snap_err *err) {
    struct index_ids ids;
    int code = index_next_ids(store, &ids, err);
    if (code < 0 || (code = layer_exists(store, ids.snapshot, err)) <= 0)
        return code;
    *ret = ids.snapshot;
    return 1;
}

int store_recovery_needed(struct store *store, struct snap_err *err) {
    int64_t layer;
    _free_ char *dropped = NULL;
    int code = work_is_used(store, err);
    if (code == 0)
        code = unrecorded_layer(store, &layer, err);
    if (code == 0)
        code = went_down(store, err);
    if (code == 0)
        code = store_fact(store, DROPPED, &dropped, err);
    if (code == 0)
        code = gc_unfinished(store, err);
    return code == 0 ? facts_pending(store, err) : code;
}

/* Leftovers. */

static int empty_work(struct store *store, const struct teller *teller, struct snap_err *err) {
    _closedir_ DIR *dir = NULL;
    const char *name;
    size_t removed = 0, before;
    int code = open_work(store, &dir, err);
    if (code < 0)
        return code;
    do {                                     /* a reading may miss names while others are removed */
        before = removed;
        rewinddir(dir);
        while ((code = next_in_work(store, dir, &name, err)) > 0) {
            code = fs_remove_tree(store_work_fd(store), name);
            if (code < 0)
                return err_path(err, code, name, "remove from the work area of the store");
            removed++;
        }
    } while (code == 0 && removed > before);
    if (code == 0 && removed > 0)
        tell(teller, "removed the unfinished work of a command that was cut short");
    return code;
}

/* Content may lie in the layer of a snapshot that was removed: it is needed as long as anything shows it. */
static int is_named(struct store *store, int64_t layer, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int code = db_bind(&row, store, err, "SELECT EXISTS (SELECT 1 FROM snapshot WHERE layer = ?1)"
                       " OR EXISTS (SELECT 1 FROM content WHERE layer = ?1)", "i", layer);
    if (code < 0 || (code = db_step(&row, err)) <= 0)
        return code;
    return db_int(&row, 0) != 0;
}

static int remove_layer(struct store *store, int64_t layer, struct snap_err *err) {
    char name[32];
    layer_name(layer, name);
    int code = is_named(store, layer, err);
    if (code != 0)
        return code < 0 ? code : 0;
    code = fs_remove_tree(store_layers_fd(store), name);
    return code < 0 ? err_path(err, code, store_path(store), "remove layer %s of the store", name) : 0;
}

static int remove_one_unrecorded(struct store *store, int64_t layer, const struct teller *teller, struct snap_err *err) {
    int code = is_named(store, layer, err);
    if (code != 0)                           /* every next snapshot would take this number and its layer's place */
        return code < 0 ? code : damaged(err, "the layer of the next snapshot is in use already");
    code = remove_layer(store, layer, err);
    if (code == 0)
        tell(teller, "removed layer %lld, which a command that was cut short had not recorded yet", (long long)layer);
    return code;
}

/* Several, where the power failed after snapshots whose commits were not flushed. The last first: those before it show the
 * next command that there is more to do. */
static int remove_unrecorded(struct store *store, const struct teller *teller, struct snap_err *err) {
    int64_t first;
    int code = unrecorded_layer(store, &first, err);
    if (code <= 0)
        return code;
    int64_t last = first;
    while ((code = layer_exists(store, last + 1, err)) > 0)
        last++;
    for (; code == 0 && last >= first; last--)
        code = remove_one_unrecorded(store, last, teller, err);
    return code;
}

static int set_fact_alone(struct store *store, const char *key, const char *value, struct snap_err *err) {
    int code = store_begin(store, err);
    if (code == 0 && (code = store_set_fact(store, key, value, err)) < 0)
        store_abort(store);
    return code < 0 ? code : store_commit(store, false, err);
}

/* The directories go after the commit that forgot their snapshots, never before. */
static int remove_dropped(struct store *store, struct snap_err *err) {
    _free_ char *layers = NULL;
    int code = store_fact(store, DROPPED, &layers, err);
    if (code <= 0)
        return code;
    for (char *at = layers, *end; *at; at = end) {
        int64_t layer = strtoll(at, &end, 10);
        if (end == at || layer <= 0)
            return damaged(err, "its list of dropped layers is none");
        if ((code = remove_layer(store, layer, err)) < 0)
            return code;
    }
    return set_fact_alone(store, DROPPED, NULL, err);
}

static int finish_freeing(struct store *store, const struct teller *teller, struct snap_err *err) {
    int code = gc_unfinished(store, err);
    if (code <= 0 || (code = gc_finish(store, NULL, err)) < 0)
        return code;
    tell(teller, "finished freeing snapshots, which had been cut short");
    return 0;
}

/* Snapshots in doubt. */

struct doubtful {
    int64_t number, layer;
};

struct doubt {
    struct doubtful *all;      /* ascending */
    size_t count;
    size_t whole;              /* the first so many */
    struct buf why;            /* the first of the others is not */
};

static void doubt_done(struct doubt *doubt) {
    free(doubt->all);
    buf_done(&doubt->why);
}

static int read_doubtful(struct store *store, const char *sql, int64_t value, struct doubt *ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int code = db_bind(&row, store, err, sql, "i", value);
    while (code >= 0 && (code = db_step(&row, err)) > 0) {
        struct doubtful *all = reallocarray(ret->all, ret->count + 1, sizeof(*all));
        if (!all)
            return err_nomem(err);
        ret->all = all;
        ret->all[ret->count++] = (struct doubtful){ .number = db_int(&row, 0), .layer = db_int(&row, 1) };
    }
    return code;
}

static int check_doubtful(struct store *store, struct doubt *doubt, struct snap_err *err) {
    for (; doubt->whole < doubt->count; doubt->whole++) {
        struct snap_err why = {0};
        int code = manifest_check_layer(store, doubt->all[doubt->whole].layer, true, &why);
        /* what is missing or damaged is not whole; what cannot be looked at must not be dropped for that */
        if (code < 0 && code != -ENOENT && code != -EUCLEAN) {
            if (err)
                *err = why;
            return err_wrap(err, "cannot check snapshot %lld", (long long)doubt->all[doubt->whole].number);
        }
        if (code > 0)
            continue;
        buf_str(&doubt->why, why.message[0] ? why.message : "its layer is not whole");
        return doubt->why.failed ? err_nomem(err) : 0;
    }
    return 0;
}

/* An operation that speaks of a snapshot which is gone can be neither undone nor redone. */
static int end_operations(struct store *store, int64_t first, struct snap_err *err) {
    return db_run(store, err, "UPDATE operation SET state = 'failed' WHERE state IN ('done', 'undone')"
                  " AND (before >= ?1 OR after >= ?1 OR (kind = 'tag' AND target >= ?1))", "i", first);
}

/* What the project was last equal to: now what the first of the dropped came from. While its row is still there. */
static int correct_parent(struct store *store, int64_t first, struct snap_err *err) {
    return db_run(store, err, "UPDATE meta SET value = (SELECT CAST(parent AS TEXT) FROM snapshot WHERE id = ?1)"
                  " WHERE key = 'project.parent' AND CAST(value AS INTEGER) >= ?1", "i", first);
}

/* `doomed`: all from the first torn one on, ascending. In the transaction. */
static int drop_snapshots(struct store *store, const struct doubt *doomed, struct snap_err *err) {
    _buf_ struct buf layers = {0};
    int code = correct_parent(store, doomed->all[0].number, err);
    for (size_t i = doomed->count; i > 0 && code == 0; i--) {
        buf_fmt(&layers, "%s%lld", layers.size ? " " : "", (long long)doomed->all[i - 1].layer);
        code = index_drop_newest(store, doomed->all[i - 1].number, err);
    }
    if (code == 0 && layers.failed)
        return err_nomem(err);
    if (code == 0)
        code = end_operations(store, doomed->all[0].number, err);
    if (code == 0)
        code = live_reset(store, err);
    return code < 0 ? code : store_set_fact(store, DROPPED, layers.data, err);
}

static int settle_in_transaction(struct store *store, const struct doubt *doomed, struct snap_err *err) {
    int code = doomed->count > 0 ? drop_snapshots(store, doomed, err) : 0;
    return code < 0 ? code : store_mark_synced(store, err);
}

static void tell_settled(const struct teller *teller, const struct doubt *doubt, const struct doubt *doomed) {
    for (size_t i = 0; i < doubt->whole; i++)
        tell(teller, "snapshot %lld was not flushed when the machine went down; it was checked and is whole",
             (long long)doubt->all[i].number);
    for (size_t i = 0; i < doomed->count; i++) {
        if (i == 0)
            tell(teller, "snapshot %lld was not flushed when the machine went down, is not whole, and was dropped: %s",
                 (long long)doomed->all[i].number, doubt->why.data);
        else
            tell(teller, "snapshot %lld came after snapshot %lld and was dropped with it",
                 (long long)doomed->all[i].number, (long long)doomed->all[0].number);
    }
}

/* All or nothing: from the first torn snapshot on, all go, since later ones build on what it recorded. */
static int settle_unsynced(struct store *store, const struct teller *teller, struct snap_err *err) {
    _cleanup_(doubt_done) struct doubt doubt = {0}, doomed = {0};
    int code = went_down(store, err);
    if (code <= 0)
        return code;
    if ((code = read_doubtful(store, "SELECT id, layer FROM snapshot WHERE flags & ? ORDER BY id", SNAPSHOT_UNSYNCED, &doubt, err)) < 0 ||
        (code = check_doubtful(store, &doubt, err)) < 0)
        return code;
    if (doubt.whole < doubt.count &&
        (code = read_doubtful(store, "SELECT id, layer FROM snapshot WHERE id >= ? ORDER BY id", doubt.all[doubt.whole].number, &doomed, err)) < 0)
        return code;
    if ((code = store_flush(store, err)) < 0 || (code = store_begin(store, err)) < 0)
        return code;
    if ((code = settle_in_transaction(store, &doomed, err)) < 0) {
        store_abort(store);
        return code;
    }
    if ((code = store_commit(store, true, err)) < 0)
        return code;
    tell_settled(teller, &doubt, &doomed);
    return 0;
}

int store_recover(struct store *store, void (*told)(void *data, const char *text), void *data, struct snap_err *err) {
    const struct teller teller = { .told = told, .data = data };
    if (!store_locked(store))
        return err_set(err, -ENOLCK, "the store is repaired without its lock");
    int code = remove_dropped(store, err);
    if (code == 0)
        code = empty_work(store, &teller, err);
    if (code == 0)
        code = remove_unrecorded(store, &teller, err);
    if (code == 0)
        code = finish_freeing(store, &teller, err);
    if (code == 0)
        code = settle_unsynced(store, &teller, err);
    if (code == 0)
        code = remove_dropped(store, err);
    return code < 0 ? code : facts_write(store, err);
}
