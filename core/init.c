/* Making projects: whether a directory may be one, its store, its row in the registry; adoption and moves.
 * One store a project, also when two commands use it for the first time at once: all of it stands under the registry's
 * lock, which is never waited for while a store's lock is waited for. SPDX-License-Identifier: GPL-2.0-or-later */
#include "search.h"

#include "fs.h"
#include "identity.h"
#include "live.h"
#include "op.h"
#include "place.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

enum { NAMES_TRIED = 1000 };

/* May it be one? */

static int refuse_wide(const struct search *search, const char *what, struct snap_err *err) {
    err_set(err, -EPERM, "'%s' is %s: everything in it would be captured", search->dir, what);
    err_hint(err, "make a project of a directory in it, or say snapctl init --force");
    return err_failure(err, SNAP_FAILURE_USAGE);
}

static int check_home(const struct search *search, const char *home, struct snap_err *err) {
    _free_ char *real = home && home[0] == '/' ? realpath(home, NULL) : NULL;
    const char *rest = NULL;
    if (!real || strcmp(real, "/") == 0 || !search_below(search->dir, real, &rest))
        return 0;
    return refuse_wide(search, *rest ? "above the home directory" : "the home directory", err);
}

static int check_width(const struct search *search, struct snap_err *err) {
    struct passwd entry, *found = NULL;
    char space[4096];
    if (strcmp(search->dir, "/") == 0)
        return refuse_wide(search, "the root of the file system", err);
    int result = check_home(search, getenv("HOME"), err);
    if (result == 0 && getpwuid_r(geteuid(), &entry, space, sizeof(space), &found) == 0 && found)
        result = check_home(search, found->pw_dir, err);
    return result;
}

static bool is_store(const char *path) {
    static const char *const parts[] = { "store.db", "layers", "work", "run" };
    _close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; fd >= 0 && i < ELEMENTS(parts); i++)
        if (faccessat(fd, parts[i], F_OK, AT_SYMLINK_NOFOLLOW) < 0)
            return false;
    return fd >= 0;
}

/* Views of the kernel: what is in them is no file that could be kept, or come back. */
static int check_kind(const struct search *search, struct snap_err *err) {
    static const struct { long magic; const char *name; } kinds[] = {
        { PROC_SUPER_MAGIC, "proc" }, { SYSFS_MAGIC, "sysfs" }, { CGROUP2_SUPER_MAGIC, "cgroup" }, { CGROUP_SUPER_MAGIC, "cgroup" },
        { DEBUGFS_MAGIC, "debugfs" }, { TRACEFS_MAGIC, "tracefs" }, { SECURITYFS_MAGIC, "securityfs" },
        { DEVPTS_SUPER_MAGIC, "devpts" }, { BPF_FS_MAGIC, "bpf" },
    };
    struct statfs stat;
    if (statfs(search->dir, &stat) < 0)
        return err_path(err, -errno, search->dir, "look at the file system of");
    for (size_t i = 0; i < ELEMENTS(kinds); i++)
        if (stat.f_type == kinds[i].magic) {
            err_set(err, -EINVAL, "'%s' holds no files, but what the kernel shows there (%s)", search->dir, kinds[i].name);
            return err_failure(err, SNAP_FAILURE_USAGE);
        }
    return 0;
}

/* Going back there would take the snapshots of others with it: no option allows it. */
static int check_store(const struct search *search, struct snap_err *err) {
    _free_ char *state = search->state ? realpath(search->state, NULL) : NULL;
    _free_ char *path = strdup(search->dir);
    const char *rest = NULL;
    if (!path)
        return err_nomem(err);
    bool inside = state && search_below(state, path, &rest);
    for (; !inside && *path; *strrchr(path, '/') = '\0')
        inside = is_store(path);
    if (!inside)
        return 0;
    err_set(err, -EPERM, "'%s' is where snapctl keeps snapshots, and cannot be a project", search->dir);
    return err_failure(err, SNAP_FAILURE_USAGE);
}

/* A file made by root under sudo would keep the user from ever using the project alone. */
static int check_sudo(const struct search *search, struct snap_err *err) {
    const char *text = getenv("SUDO_UID");
    char *end = NULL, name[64];
    unsigned long uid = text && *text ? strtoul(text, &end, 10) : 0;
    if (geteuid() != 0 || uid == 0 || *end || search->owner != (uid_t)uid)
        return 0;
    search_user_name(search->owner, name, sizeof(name));
    err_set(err, -EPERM, "'%s' belongs to user %s, who could not use a store made by root", search->dir, name);
    return err_hint(err, "run snapctl without sudo, or say snapctl init --force to keep its snapshots as root");
}

static int check_allowed(const struct search *search, unsigned flags, struct snap_err *err) {
    if (flags & SNAP_INIT_FORCE)
        return 0;
    int result = check_width(search, err);
    return result < 0 ? result : check_sudo(search, err);
}

/* A store named explicitly is not a second one by accident. */
static int check_explicit(const struct search *search, struct snap_err *err) {
    _cleanup_(registration_done) struct registration row = {0};
    int how = search->state ? registry_find(search->state, search->dir, search->identity, &row, err) : 0;
    if (how <= 0 || how == REGISTRY_REPLACED || strcmp(row.store, search->store) == 0)
        return MIN(how, 0);
    err_set(err, -EEXIST, "the snapshots of '%s' are in the store '%s' already", search->dir, row.store);
    err_hint(err, "leave the store out to use that one");
    return err_failure(err, SNAP_FAILURE_USAGE);
}

/* Its store. */

static bool is_missing(const char *store) {
    _close_ int fd = open(store, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || (faccessat(fd, "store.db", F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT);
}

static bool has_layers(const char *store) {
    _close_ int fd = open(store, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && faccessat(fd, "layers", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int init_open_store(unsigned flags, const struct registration *row, struct store **ret, struct snap_err *err) {
    int result = search_open_store(flags, row->store, ret, err);
    if (result != -ENOENT)
        return result;
    if (has_layers(row->store))
        return err_damage(err, "the store '%s' of the project '%s' has no database", row->store, row->path);
    err_set(err, -ENOENT, "the store '%s' of the project '%s' is missing", row->store, row->path);
    err_hint(err, "mount or move it back; if it is gone for good, snapctl init --force begins anew");
    return err_failure(err, SNAP_FAILURE_NO_PROJECT);
}

/* 1 = nobody's, or this project's already (its row was lost), 0 = another project's. */
static int is_free(const struct search *search, struct store *store, struct snap_err *err) {
    _free_ char *path = NULL, *identity = NULL;
    int result = store_fact(store, "project.path", &path, err);
    if (result > 0)
        result = store_fact(store, "project.identity", &identity, err);
    if (result <= 0)
        return result < 0 ? result : 1;
    return strcmp(path, search->dir) == 0 && identity_same_inode(identity, search->identity);
}

/* A new store at `path`, or one that is there and free: 1, 0 = it is taken. */
static int take_place(const struct search *search, const char *path, struct store **ret, struct snap_err *err) {
    _cleanup_(store_closep) struct store *store = NULL;
    int result = store_create(path, err);
    if (result == -ENOTEMPTY)
        return 0;
    if (result == 0 || result == -EEXIST)
        result = store_open(path, &store, err);
    if (result == 0)
        result = is_free(search, store, err);
    if (result > 0)
        *ret = TAKE_PTR(store);
    return result;
}

static int make_somewhere(const struct search *search, struct store **ret, struct snap_err *err) {
    _cleanup_(place_done) struct place place = {0};
    int result = place_choose(search->dir, &place, err);
    if (result < 0)
        return result;
    result = take_place(search, place.path, ret, err);
    for (unsigned n = 2; result == 0 && n < NAMES_TRIED; n++) {
        _free_ char *path = NULL;
        if (asprintf(&path, "%s-%u", place.path, n) < 0)
            return err_nomem(err);
        result = take_place(search, path, ret, err);
    }
    return result == 0 ? err_path(err, -EEXIST, place.path, "make the store") : MIN(result, 0);
}

static int make_store(const struct search *search, struct located *found, struct snap_err *err) {
    if (found->store && search->store)
        return 0;                            /* named explicitly, and nobody's */
    found->store = store_close(found->store);
    if (!search->store)
        return make_somewhere(search, &found->store, err);
    int result = take_place(search, search->store, &found->store, err);
    if (result != 0)
        return MIN(result, 0);
    err_path(err, -EEXIST, search->store, "make the store");
    return err_hint(err, "the directory is in use; name another one");
}

/* Putting it down. */

static int write_facts(struct store *store, const struct registration *row, struct snap_err *err) {
    int result = store_set_fact(store, "project.path", row->path, err);
    return result < 0 ? result : store_set_fact(store, "project.identity", row->identity, err);
}

static int log_init(const struct search *search, struct store *store, struct snap_err *err) {
    struct op op = { .kind = (char *)"init", .state = (char *)"done",
                     .command = (char *)(search->env->command ? search->env->command : "snapctl init") };
    return op_begin(store, &op, NULL, err);
}

/* One durable transaction: whose store it is, and the operation if it is one. */
static int record(const struct search *search, const struct located *found, bool operation, bool fresh_live, struct snap_err *err) {
    int result = store_begin(found->store, err);
    if (result < 0)
        return result;
    result = write_facts(found->store, &found->row, err);
    if (result == 0 && operation)
        result = log_init(search, found->store, err);
    if (result == 0 && fresh_live)
        result = live_reset(found->store, err);
    if (result == 0)
        return store_commit(found->store, true, err);
    store_abort(found->store);
    return result;
}

static int set_row(const struct search *search, const char *store, struct located *found, struct snap_err *err) {
    struct registration row = { .path = strdup(search->dir), .identity = strdup(search->identity), .store = strdup(store) };
    char *root = strdup(search->dir);
    registration_done(&found->row);
    free(found->root);
    found->row = row;
    found->root = root;
    found->how = REGISTRY_SAME;
    return row.path && row.identity && row.store && root ? 0 : err_nomem(err);
}

static int make_new(const struct search *search, struct located *found, struct snap_err *err) {
    int result = make_store(search, found, err);
    if (result == 0)
        result = set_row(search, store_path(found->store), found, err);
    if (result == 0)
        result = store_lock(found->store, STORE_LOCK_TRY, search->env->command ? search->env->command : "snapctl init", NULL, err);
    /* a store that knows its project was made before, and only its row was lost or never written */
    _free_ char *known = NULL;
    if (result == 0)
        result = store_fact(found->store, "project.path", &known, err);
    if (result >= 0)
        result = record(search, found, !known, false, err);
    if (result == 0 && search->state)
        result = registry_put_locked(search->state, &found->row, err);
    return result;
}

/* What is there, or what another command did meanwhile: 1 = the project is there now, 0 = make it, negative errno. */
static int look_again(const struct search *search, unsigned flags, bool implied, struct located *found, struct snap_err *err) {
    int result = implied ? search_up(search, found, err) : search_here(search, found, err);
    if (result < 0)
        return result;
    if (found->how == REGISTRY_NONE && !found->row.path)
        return 0;
    bool forced = flags & SNAP_INIT_FORCE;
    if (found->how == REGISTRY_REPLACED || found->how == REGISTRY_NONE)
        return forced && !search->store ? 0 : search_failed(search, found, err);
    return !(forced && !found->store && is_missing(found->row.store));
}

static int check_new(const struct search *search, unsigned flags, struct snap_err *err) {
    int result = check_kind(search, err);
    if (result == 0)
        result = check_store(search, err);
    if (result == 0)
        result = check_allowed(search, flags, err);
    return result == 0 && search->store ? check_explicit(search, err) : result;
}

/* Looks before it makes anything, so that a refusal leaves nothing; and again under the lock. 1 = made, 0 = found. */
static int make_or_find(const struct search *search, unsigned flags, bool implied, struct located *found, struct snap_err *err) {
    int there = look_again(search, flags, implied, found, err);
    if (there != 0)
        return MIN(there, 0);
    int result = check_new(search, flags, err);
    if (result < 0)
        return result;
    located_done(found);
    _close_ int lock = search->state ? registry_lock(search->state, err) : -1;
    if (search->state && lock < 0)
        return lock;
    there = look_again(search, flags, implied, found, err);
    if (there != 0)
        return MIN(there, 0);
    result = make_new(search, found, err);
    return result < 0 ? result : 1;
}

int init_make(const struct search *search, unsigned flags, bool implied, struct located *ret, struct snap_err *err) {
    _located_ struct located found = {0};
    int made = make_or_find(search, flags, implied, &found, err);
    if (made < 0)
        return made;
    *ret = found;
    found = (struct located){0};
    return made;
}

/* Changing whose it is. Both under the store's lock, which comes before the registry's. */

static int put_row(const struct search *search, const struct registration *row, struct snap_err *err) {
    return search->state ? registry_put(search->state, row, err) : 0;
}

int init_adopt(const struct search *search, struct located *found, struct snap_err *err) {
    const struct snap_env *env = search->env;
    _free_ char *store = strdup(found->row.store);
    if (!store)
        return err_nomem(err);
    int result = found->store ? 0 : init_open_store(search->flags, &found->row, &found->store, err);
    if (result == 0)
        result = set_row(search, store, found, err);
    if (result == 0)
        result = store_lock(found->store, env->wait ? STORE_LOCK_WAIT : STORE_LOCK_TRY,
                            env->command ? env->command : "snapctl init", env->cancel, err);
    /* nothing that is known of the old directory's inodes holds for the new one's */
    if (result == 0)
        result = record(search, found, true, true, err);
    return result < 0 ? result : put_row(search, &found->row, err);
}

int init_follow(const struct search *search, struct located *found, struct snap_err *err) {
    char *path = strdup(found->root);
    if (!path)
        return err_nomem(err);
    free(found->row.path);
    found->row.path = path;
    int result = record(search, found, false, false, err);
    return result < 0 ? result : put_row(search, &found->row, err);
}
