/* The doctor: what works for this project on this machine, and what to do about the rest.
 * Repairs nothing, locks nothing, and works with a damaged store or none. SPDX-License-Identifier: GPL-2.0-or-later */
#include "doctor.h"

#include "dirs.h"
#include "fs.h"
#include "index.h"
#include "op.h"
#include "search.h"
#include "watchd.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void doctor_tell(struct doctor *doctor, const char *topic, enum snap_check result, const char *advice, const char *format, ...) {
    char text[4096];
    va_list args;
    if (doctor->ended < 0)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    struct snap_finding finding = { .topic = topic, .result = result, .text = text, .advice = advice };
    int ended = doctor->fn(doctor->data, &finding);
    doctor->ended = MIN(ended, 0);
}

/* How many directories a watcher would watch. */

struct pile { struct dir **dirs; size_t count, room; };

static void pile_done(struct pile *pile) {
    while (pile->count > 0)
        dir_unref(pile->dirs[--pile->count]);
    free(pile->dirs);
}

static int pile_add(struct pile *pile, struct dir *dir) {
    if (!dir)
        return -ENOMEM;
    if (MAKE_ROOM(pile->dirs, pile->count, pile->room) < 0) {
        dir_unref(dir);
        return -ENOMEM;
    }
    pile->dirs[pile->count++] = dir;
    return 0;
}

static bool is_dir_entry(int fd, const struct dirent *entry) {
    struct stat stat;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
        return false;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(fd, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0 && S_ISDIR(stat.st_mode);
}

/* What is mounted in the project is not watched with it. */
static bool is_mounted_over(int fd, uint64_t mount) {
    struct statx stat;
    return fs_statx(fd, "", &stat) == 0 && (stat.stx_mask & STATX_MNT_ID) && stat.stx_mnt_id != mount;
}

static int count_in(struct dir *dir, uint64_t mount, struct pile *pile, uint64_t *count) {
    _pinned_ struct dir_pinned at = dir_pinned(dir);
    if (at.fd < 0 || is_mounted_over(at.fd, mount))
        return 0;
    ++*count;
    int copy = openat(at.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (!stream) {
        fd_close(copy);
        return 0;
    }
    int result = 0;
    for (struct dirent *entry; result == 0 && (entry = readdir(stream));)
        if (is_dir_entry(at.fd, entry))
            result = pile_add(pile, dir_child(dir, entry->d_name));
    return result;
}

/* 0: it could not be counted. */
static uint64_t count_directories(int fd) {
    _dirs_ struct dirs *dirs = NULL;
    _cleanup_(pile_done) struct pile pile = {0};
    struct statx stat;
    uint64_t count = 0;
    if (fs_statx(fd, "", &stat) < 0 || dirs_open(fd, 64, &dirs) < 0)
        return 0;
    int result = pile_add(&pile, dir_ref(dirs_root(dirs)));
    while (result == 0 && pile.count > 0) {
        _dir_ struct dir *dir = pile.dirs[--pile.count];
        result = count_in(dir, stat.stx_mnt_id, &pile, &count);
    }
    return result == 0 ? count : 0;
}

/* The project and its store. */

static void tell_error(struct doctor *doctor, const char *topic, const struct snap_err *err) {
    doctor_tell(doctor, topic, SNAP_CHECK_MISSING, err->hint, "%s", err->message);
}

static void tell_project(struct doctor *doctor, const struct search *search, const struct located *found) {
    struct snap_err err = {0};
    switch (found->how) {
    case REGISTRY_SAME:
        doctor_tell(doctor, "project", SNAP_CHECK_OK, "", "%s", found->root);
        break;
    case REGISTRY_ALIAS:
        doctor_tell(doctor, "project", SNAP_CHECK_OK, "", "%s, which is %s by another path", found->root, found->row.path);
        break;
    case REGISTRY_MOVED:
        doctor_tell(doctor, "project", SNAP_CHECK_OK, "", "%s, moved from %s; the next command notes it", found->root, found->row.path);
        break;
    case REGISTRY_NONE:
        if (!found->row.path) {
            doctor_tell(doctor, "project", SNAP_CHECK_OK, "snapctl init or the first snapctl take makes it one",
                        "%s is not in a project yet", search->dir);
            break;
        }
        /* fall through */
    case REGISTRY_REPLACED:
        (void)search_failed(search, found, &err);
        tell_error(doctor, "project", &err);
        break;
    }
}

/* Asks the database one question of each kind that every command asks. */
static int is_readable(struct store *store, struct snap_err *err) {
    struct snap_counts counts;
    int64_t number = index_newest_number(store, INDEX_PROJECT_LINE, err);
    if (number <= 0)
        return (int)MIN(number, (int64_t)0);
    _snapshot_ struct snapshot *snapshot = NULL;
    int result = index_snapshot(store, number, &snapshot, err);
    return result > 0 ? index_counts(store, snapshot, &counts, err) : result;
}

static void tell_recovery(struct doctor *doctor, struct store *store) {
    _op_ struct op *op = NULL;
    struct snap_err err = {0};
    int needed = op_unfinished(store, 0, &op, &err);
    if (needed == 0)
        needed = store_recovery_needed(store, &err);
    if (needed < 0)
        tell_error(doctor, "recovery", &err);
    else if (op)
        doctor_tell(doctor, "recovery", SNAP_CHECK_LIMITED, "if it is not running any more, the next command finishes it or puts everything back",
                    "'%s' has begun and not ended", op->command ? op->command : op->kind);
    else if (needed)
        doctor_tell(doctor, "recovery", SNAP_CHECK_LIMITED, "if no command is running, the next one cleans up",
                    "a command is running, or was cut short");
    else
        doctor_tell(doctor, "recovery", SNAP_CHECK_OK, "", "no command was cut short");
}

static void tell_place(struct doctor *doctor, const struct located *found, int root) {
    struct statx project, store;
    if (fs_statx(root, "", &project) < 0 || fs_statx(store_fd(found->store), "", &store) < 0)
        return;
    const char *rest = NULL;
    bool same = project.stx_dev_major == store.stx_dev_major && project.stx_dev_minor == store.stx_dev_minor;
    if (!same)
        doctor_tell(doctor, "store", SNAP_CHECK_LIMITED,
                    "a store on the project's file system costs less: snapctl init --store DIR, before the first snapshot",
                    "%s, on another file system: content is always copied", found->row.store);
    else if (search_below(found->root, found->row.store, &rest))
        doctor_tell(doctor, "store", SNAP_CHECK_LIMITED, "what deletes the project's files deletes its snapshots: name a better place with --store",
                    "%s, inside the project and left out of it", found->row.store);
    else
        doctor_tell(doctor, "store", SNAP_CHECK_OK, "", "%s, on the project's file system", found->row.store);
}

/* Leaves found->store open if it can be used. */
static void look_at_store(struct doctor *doctor, struct located *found, int root) {
    struct snap_err err = {0};
    int result = found->store ? 0 : init_open_store(SNAP_OPEN_READ, &found->row, &found->store, &err);
    if (result == 0)
        result = is_readable(found->store, &err);
    if (result < 0) {
        tell_error(doctor, "store", &err);
        found->store = store_close(found->store);
        return;
    }
    tell_place(doctor, found, root);
    tell_recovery(doctor, found->store);
}

static void tell_watcher(struct doctor *doctor, struct store *store) {
    struct snap_watch watch;
    int r = watchd_state(store, &watch);
    if (r < 0)
        doctor_tell(doctor, "watcher", SNAP_CHECK_LIMITED, "until it does, commands look at every entry", "it does not answer: %s", strerror(-r));
    else if (r == 0)
        doctor_tell(doctor, "watcher", SNAP_CHECK_OK, "", "none runs: commands look at every entry");
    else if (watch.uncovered)
        doctor_tell(doctor, "watcher", SNAP_CHECK_LIMITED, "raise the limit of watches, then: snapctl watch stop, snapctl watch start",
                    "%s (pid %d), but for %" PRIu64 " %s of which every entry is looked at", snap_watch_backend_name(watch.backend), (int)watch.pid,
                    watch.uncovered, watch.uncovered == 1 ? "directory" : "directories");
    else
        doctor_tell(doctor, "watcher", SNAP_CHECK_OK, "", "%s (pid %d): commands look at what changed", snap_watch_backend_name(watch.backend),
                    (int)watch.pid);
}

static void look_at_files(struct doctor *doctor, struct located *found, int root) {
    int store = found->store ? store_run_fd(found->store) : -1;
    probe_reflink(doctor, root, store);
    probe_times(doctor, root);
    probe_leases(doctor, root);
    probe_xattrs(doctor, store < 0 ? root : store);
    probe_whiteouts(doctor, store);
}

static void look_at_machine(struct doctor *doctor, int root, bool project) {
    probe_fuse(doctor);
    probe_apparmor(doctor);
    probe_passthrough(doctor);
    probe_user_namespaces(doctor);
    probe_watching(doctor, root, project ? count_directories(root) : 0);
    probe_libgit2(doctor);
}

int snap_doctor(const struct snap_env *env, snap_finding_fn fn, void *data, struct snap_err *err) {
    _search_ struct search search = {0};
    _located_ struct located found = {0};
    struct snap_err why = {0};
    struct doctor doctor = { .fn = fn, .data = data };
    int result = search_begin(env, SNAP_OPEN_READ, &search, err);
    if (result < 0)
        return result;
    if (search_up(&search, &found, &why) < 0)
        tell_error(&doctor, search.store ? "store" : "project", &why);
    else
        tell_project(&doctor, &search, &found);
    const char *dir = found.root ? found.root : search.dir;
    _close_ int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_path(err, -errno, dir, "open");
    bool known = found.how == REGISTRY_SAME || found.how == REGISTRY_ALIAS || found.how == REGISTRY_MOVED;
    if (known)
        look_at_store(&doctor, &found, root);
    else
        found.store = store_close(found.store);
    look_at_files(&doctor, &found, root);
    look_at_machine(&doctor, root, known);
    if (found.store)
        tell_watcher(&doctor, found.store);
    return doctor.ended < 0 ? err_errno(err, doctor.ended, "cannot tell what was found") : 0;
}
