/* Which project is meant: dir is resolved once, then looked up in the registry, or in the facts of an explicit store.
 * Writes nothing, and guesses nothing: a directory that took another's place is not that project.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "search.h"

#include "fs.h"
#include "identity.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void search_done(struct search *search) {
    free(search->dir);
    free(search->identity);
    free(search->store);
    free(search->state);
    *search = (struct search){0};
}

void located_done(struct located *found) {
    free(found->root);
    registration_done(&found->row);
    store_close(found->store);
    *found = (struct located){0};
}

bool search_below(const char *root, const char *path, const char **ret) {
    size_t size = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(root, path, size) != 0 || (path[size] != '/' && path[size] != '\0'))
        return false;
    *ret = path + size + strspn(path + size, "/");
    return true;
}

/* The last name is kept: the store refuses to be a symlink, what leads to it may be one. */
static int absolute_store(const char *given, char **ret, struct snap_err *err) {
    _free_ char *copy = strdup(given);
    if (!copy)
        return err_nomem(err);
    for (size_t size = strlen(copy); size > 1 && copy[size - 1] == '/'; size--)
        copy[size - 1] = '\0';
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy;
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        *ret = realpath(copy, NULL);
        return *ret ? 0 : err_path(err, -errno, given, "find the store");
    }
    _free_ char *parent = slash ? strndup(copy, slash == copy ? 1 : (size_t)(slash - copy)) : strdup(".");
    _free_ char *resolved = parent ? realpath(parent, NULL) : NULL;
    if (!resolved && (errno != ENOENT || copy[0] != '/'))
        return err_path(err, parent ? -errno : -ENOMEM, given, "find the store");
    if (!resolved) {
        *ret = TAKE_PTR(copy);
        return 0;
    }
    return asprintf(ret, "%s/%s", strcmp(resolved, "/") == 0 ? "" : resolved, name) < 0 ? err_nomem(err) : 0;
}

static int look_at_dir(struct search *search, struct snap_err *err) {
    const char *given = search->env->dir ? search->env->dir : ".";
    search->dir = realpath(given, NULL);
    if (!search->dir)
        return err_path(err, -errno, given, "look for a project in");
    struct statx stat;
    _close_ int fd = open(search->dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int result = fd < 0 ? -errno : fs_statx(fd, "", &stat);
    if (result < 0)
        return err_path(err, result, given, "look for a project in");
    search->owner = stat.stx_uid;
    result = identity_of(fd, &search->identity, err);
    return result < 0 ? err_wrap(err, "cannot look for a project in '%s'", given) : 0;
}

static int check_store(const struct search *search, struct snap_err *err) {
    const char *rest;
    if (!search_below(search->store, search->dir, &rest))
        return 0;
    err_set(err, -EINVAL, "the store '%s' cannot be the project or lie around it", search->store);
    return err_failure(err, SNAP_FAILURE_USAGE);
}

int search_begin(const struct snap_env *env, unsigned flags, struct search *ret, struct snap_err *err) {
    _search_ struct search search = { .env = env, .flags = flags };
    int result = look_at_dir(&search, err);
    if (result == 0 && env->store)
        result = absolute_store(env->store, &search.store, err);
    if (result == 0 && search.store)
        result = check_store(&search, err);
    if (result < 0)
        return result;
    /* without a registry an explicit store still works */
    result = registry_state_dir(geteuid(), &search.state, err);
    if (result < 0 && !search.store)
        return result;
    *ret = search;
    search = (struct search){0};
    return 0;
}

int search_open_store(unsigned flags, const char *path, struct store **ret, struct snap_err *err) {
    if (!(flags & SNAP_OPEN_DAMAGED))
        return store_open(path, ret, err);
    return store_open_damaged(path, flags & SNAP_OPEN_WRITE, ret, err);
}

/* An explicit store says itself whose it is. */

static int read_facts(struct located *found, struct snap_err *err) {
    int result = store_fact(found->store, "project.path", &found->row.path, err);
    if (result > 0)
        result = store_fact(found->store, "project.identity", &found->row.identity, err);
    if (result > 0)
        return 1;
    free(TAKE_PTR(found->row.path));         /* cut short before both were written: nobody's yet */
    return result;
}

/* A store that cannot say it: the registry knows, else it is this directory's. */
static int guess_facts(const struct search *search, struct located *found, struct snap_err *err) {
    int result = search->state ? registry_find_store(search->state, search->store, &found->row, err) : 0;
    if (result != 0)
        return result;
    found->row.path = strdup(search->dir);
    found->row.identity = strdup(search->identity);
    return found->row.path && found->row.identity ? 1 : err_nomem(err);
}

static int match_facts(const struct search *search, bool here, struct located *found, struct snap_err *err) {
    int how = registry_walk_up_to(&found->row, search->dir, &found->root, err);
    if (how < 0)
        return how;
    if (here && found->root && strcmp(found->root, search->dir) != 0) {
        free(TAKE_PTR(found->root));
        how = REGISTRY_NONE;
    }
    found->how = (enum registry_found)how;
    return 0;
}

static int ask_store(const struct search *search, bool here, struct located *ret, struct snap_err *err) {
    _located_ struct located found = {0};
    int result = search_open_store(search->flags, search->store, &found.store, err);
    if (result == -ENOENT) {
        *ret = (struct located){0};
        return 0;
    }
    if (result == 0)
        result = store_damage(found.store) ? guess_facts(search, &found, err) : read_facts(&found, err);
    if (result >= 0 && !found.row.store && !(found.row.store = strdup(search->store)))
        result = err_nomem(err);
    if (result > 0)
        result = match_facts(search, here, &found, err);
    if (result < 0)
        return result;
    *ret = found;
    found = (struct located){0};
    return 0;
}

/* The registry. */

static int ask_registry(const struct search *search, const char *state, bool here, struct located *ret, struct snap_err *err) {
    _located_ struct located found = {0};
    int how;
    if (here) {
        how = registry_find(state, search->dir, search->identity, &found.row, err);
        found.root = strdup(search->dir);
        if (how >= 0 && !found.root)
            how = err_nomem(err);
    } else
        how = registry_walk_up(state, search->dir, &found.root, &found.row, err);
    if (how < 0)
        return how;
    found.how = (enum registry_found)how;
    if (how == REGISTRY_NONE)
        free(TAKE_PTR(found.root));
    *ret = found;
    found = (struct located){0};
    return 0;
}

void search_user_name(uid_t uid, char *name, size_t room) {
    struct passwd entry, *found = NULL;
    char space[4096];
    if (getpwuid_r(uid, &entry, space, sizeof(space), &found) == 0 && found)
        snprintf(name, room, "%s", found->pw_name);
    else
        snprintf(name, room, "#%u", (unsigned)uid);      /* as sudo -u takes it */
}

/* Root in a user's project: that user's registry knows the store, and root's files in it would lock the user out. */
static int check_owner(const struct search *search, uid_t owner, bool here, struct snap_err *err) {
    _free_ char *state = NULL;
    _located_ struct located found = {0};
    if (owner == 0 || registry_state_dir(owner, &state, NULL) < 0)
        return 0;
    struct snap_err ignored = {0};           /* a registry that cannot be read says nothing */
    if (ask_registry(search, state, here, &found, &ignored) < 0 || found.how == REGISTRY_NONE || found.how == REGISTRY_REPLACED)
        return 0;
    char name[64];
    search_user_name(owner, name, sizeof(name));
    err_set(err, -EPERM, "the project '%s' belongs to user %s", found.root, name);
    return err_hint(err, "sudo -u %s snapctl ... works on it", name);
}

/* A directory of root's may lie in a user's project: those above it say whose it can be. */
static int check_owners(const struct search *search, bool here, struct snap_err *err) {
    _free_ char *path = strdup(search->dir);
    if (!path)
        return err_nomem(err);
    uid_t last = search->owner;
    int result = check_owner(search, last, here, err);
    for (char *slash; result == 0 && !here && (slash = strrchr(path, '/')) && slash > path;) {
        struct stat stat;
        *slash = '\0';
        if (lstat(path, &stat) < 0 || stat.st_uid == last)
            continue;
        last = stat.st_uid;
        result = check_owner(search, last, here, err);
    }
    return result;
}

static int look(const struct search *search, bool here, struct located *ret, struct snap_err *err) {
    if (search->store)
        return ask_store(search, here, ret, err);
    _located_ struct located found = {0};
    int result = ask_registry(search, search->state, here, &found, err);
    if (result == 0 && found.how == REGISTRY_NONE && geteuid() == 0)
        result = check_owners(search, here, err);
    if (result < 0)
        return result;
    *ret = found;
    found = (struct located){0};
    return 0;
}

int search_up(const struct search *search, struct located *ret, struct snap_err *err) {
    return look(search, false, ret, err);
}

int search_here(const struct search *search, struct located *ret, struct snap_err *err) {
    return look(search, true, ret, err);
}

int search_covered(const struct search *search, int below, struct located *ret, struct snap_err *err) {
    _located_ struct located found = { .how = REGISTRY_SAME, .covered = true, .below = below };
    int result = search_open_store(search->flags, search->store, &found.store, err);
    if (result == 0)
        result = read_facts(&found, err);
    if (result < 0)
        return result;
    if (result == 0)
        return err_damage(err, "the store '%s' does not know its project", search->store);
    found.root = strdup(search->dir);
    found.row.store = strdup(search->store);
    if (!found.root || !found.row.store)
        return err_nomem(err);
    *ret = found;
    found = (struct located){0};
    return 0;
}

/* Saying what was not found. */

static int replaced(const struct located *found, struct snap_err *err) {
    err_set(err, -ESTALE, "the directory '%s' was replaced by another one since its snapshots were taken", found->root);
    err_hint(err, "snapctl init --adopt takes over its snapshots; snapctl init --force begins anew");
    return err_failure(err, SNAP_FAILURE_NO_PROJECT);
}

static int not_in_store(const struct search *search, const struct located *found, struct snap_err *err) {
    err_set(err, -ENOENT, "'%s' does not lie in '%s', whose snapshots the store '%s' holds", search->dir, found->row.path, search->store);
    err_hint(err, "if the project is here now, snapctl init --adopt gives the store to it");
    return err_failure(err, SNAP_FAILURE_NO_PROJECT);
}

int search_failed(const struct search *search, const struct located *found, struct snap_err *err) {
    if (found->how == REGISTRY_REPLACED)
        return replaced(found, err);
    if (found->row.path)
        return not_in_store(search, found, err);
    if (search->store && !found->store)
        err_set(err, -ENOENT, "there is no store in '%s'", search->store);
    else
        err_set(err, -ENOENT, "'%s' does not lie in a project", search->dir);
    err_hint(err, "snapctl init makes a directory a project, as the first snapctl take does");
    return err_failure(err, SNAP_FAILURE_NO_PROJECT);
}
