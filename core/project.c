/* Opening a project: finding it, its store, its lock, and repairing what an interrupted command left.
 * Captures and restores nothing itself; how an open project talks is in tell.c.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "project.h"

#include "fs.h"
#include "here.h"
#include "identity.h"
#include "reading.h"
#include "search.h"
#include "transition.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

DEFINE_CLEANUP(struct snap_project *, snap_project_close)
#define _project_ _cleanup_(snap_project_closep)

static void free_string(const char *string) {
    free((void *)(uintptr_t)string);
}

struct snap_project *snap_project_close(struct snap_project *project) {
    if (!project)
        return NULL;
    layers_close(project->layers);
    reading_drop(project);
    store_close(project->store);
    fd_close(project->root);
    pthread_mutex_destroy(&project->telling);
    free_string(project->env.dir);
    free_string(project->env.store);
    free_string(project->env.command);
    free_string(project->info.root);
    free_string(project->info.store);
    free_string(project->info.inside);
    workspace_free(project->workspace);
    free(project->left_out);
    free(project);
    return NULL;
}

const struct snap_project_info *snap_project_info(const struct snap_project *project) {
    return &project->info;
}

/* Building the struct. */

static struct snap_project *new_project(const struct snap_env *env, unsigned flags) {
    struct snap_project *project = calloc(1, sizeof(*project));
    if (!project || pthread_mutex_init(&project->telling, NULL) != 0) {
        free(project);
        return NULL;
    }
    project->root = -1;
    project->flags = flags;
    project->env = *env;
    project->env.dir = project->env.store = project->env.command = NULL;
    return project;
}

static int copy_strings(struct snap_project *project, const struct search *search, const struct located *found, struct snap_err *err) {
    const char *inside = "", *command = search->env->command;
    (void)search_below(found->root, search->dir, &inside);
    project->env.dir = strdup(search->dir);
    project->env.store = search->store ? strdup(search->store) : NULL;
    project->env.command = strdup(command ? command : "snapctl");
    project->info.root = strdup(found->how == REGISTRY_ALIAS ? found->row.path : found->root);
    project->info.store = strdup(found->row.store);
    project->info.inside = strdup(inside);
    bool whole = project->env.dir && (project->env.store || !search->store) && project->env.command
        && project->info.root && project->info.store && project->info.inside;
    return whole ? 0 : err_nomem(err);
}

/* Between finding the directory and opening it, another one may have come to its place. */
static int open_root(struct snap_project *project, const struct located *found, struct snap_err *err) {
    _free_ char *identity = NULL;
    struct statx stat;
    const char *root = project->info.root;
    project->root = found->covered ? fcntl(found->below, F_DUPFD_CLOEXEC, 0) : open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int result = project->root < 0 ? -errno : fs_statx(project->root, "", &stat);
    if (result < 0)
        return err_path(err, result, root, "open the project");
    result = identity_of(project->root, &identity, err);
    if (result < 0)
        return err_wrap(err, "cannot open the project '%s'", root);
    if (!identity_same_inode(identity, found->row.identity))
        return err_set(err, -ESTALE, "the directory '%s' was replaced by another one a moment ago", root);
    project->device = (uint64_t)stat.stx_dev_major << 32 | stat.stx_dev_minor;
    project->mount = stat.stx_mnt_id;
    return 0;
}

/* Where the store lies. */

/* What is left out where `store` lies in the project: the directory of all our stores if it is one, else the store. */
static int outermost(const char *root, const char *rest, char **ret) {
    char own[40];
    _free_ char *state = NULL;
    const char *below = NULL;
    snprintf(own, sizeof(own), ".snapctl-%u", (unsigned)geteuid());
    if (registry_state_dir(geteuid(), &state, NULL) == 0) {
        _free_ char *real = realpath(state, NULL);
        const char *in_state = NULL;
        if (real && search_below(root, real, &below) && *below && search_below(below, rest, &in_state))
            return (*ret = strdup(below)) ? 0 : -ENOMEM;
    }
    const char *slash = strrchr(rest, '/');
    size_t parent = slash ? (size_t)(slash - rest) : 0, size = strlen(own);
    bool shared = parent >= size && memcmp(rest + parent - size, own, size) == 0 && (parent == size || rest[parent - size - 1] == '/');
    *ret = strndup(rest, shared ? parent : strlen(rest));
    return *ret ? 0 : -ENOMEM;
}

/* The directory of all stores lies in a project like $HOME also when this project's own store does not. */
static int leave_out_state(struct snap_project *project) {
    _free_ char *state = NULL;
    const char *below = NULL;
    if (registry_state_dir(geteuid(), &state, NULL) < 0)
        return 0;
    _free_ char *real = realpath(state, NULL);
    if (!real || !search_below(project->info.root, real, &below) || !*below)
        return 0;
    project->left_out = strdup(below);
    return project->left_out ? 0 : -ENOMEM;
}

static int place_store(struct snap_project *project, struct snap_err *err) {
    struct statx stat;
    const char *rest = NULL;
    int result = fs_statx(store_fd(project->store), "", &stat);
    if (result < 0)
        return err_path(err, result, project->info.store, "look at the store");
    project->info.same_file_system = ((uint64_t)stat.stx_dev_major << 32 | stat.stx_dev_minor) == project->device;
    _free_ char *real = realpath(project->info.store, NULL);
    project->info.store_inside = real && search_below(project->info.root, real, &rest) && *rest;
    result = project->info.store_inside ? outermost(project->info.root, rest, &project->left_out) : leave_out_state(project);
    return result < 0 ? err_nomem(err) : 0;
}

/* Repair. */

static void told(void *data, const char *text) {
    project_notice(data, SNAP_NOTICE_RECOVERED, NULL, "%s", text);
}

static int needs_repair(struct store *store, struct snap_err *err) {
    _op_ struct op *op = NULL;
    int result = op_unfinished(store, 0, &op, err);
    return result != 0 ? result : store_recovery_needed(store, err);
}

static int repair(struct snap_project *project, struct snap_err *err) {
    int result = transition_recover(project, err);
    if (result == 0)
        result = store_recover(project->store, told, project, err);
    if (result == 0)
        return 0;
    store_abort(project->store);
    return err_wrap(err, "cannot repair what an interrupted command left");
}

static bool is_fatal(const struct snap_err *err) {
    return err->failure == SNAP_FAILURE_DAMAGE || err->failure == SNAP_FAILURE_INTERRUPTED || err->code == -ENOMEM;
}

/* A reader repairs if nobody else is writing, and reads on if it cannot: looking must work on a full disk. */
static int repair_or_read_on(struct snap_project *project, struct snap_err *err) {
    struct snap_err why = {0};
    if (store_lock(project->store, STORE_LOCK_TRY, project->env.command, NULL, NULL) < 0)
        return 0;
    int result = repair(project, &why);
    if (result == 0)
        return 0;
    if (!is_fatal(&why)) {
        project_notice(project, SNAP_NOTICE_INFO, NULL, "%s", why.message);
        return 0;
    }
    if (err)
        *err = why;
    return result;
}

static int recover(struct snap_project *project, struct snap_err *err) {
    int needed = needs_repair(project->store, err);
    if (needed <= 0)
        return needed;
    return project->flags & SNAP_OPEN_WRITE ? repair(project, err) : repair_or_read_on(project, err);
}

/* A project that was moved keeps its snapshots; who cannot write that down now goes on all the same. */
static void follow(struct snap_project *project, const struct search *search, struct located *found) {
    struct snap_err err = {0};
    _free_ char *from = strdup(found->row.path);
    bool locked = store_lock(project->store, STORE_LOCK_TRY, project->env.command, NULL, NULL) == 0;
    if (!locked)
        return;
    found->store = project->store;           /* borrowed for the call */
    int result = init_follow(search, found, &err);
    found->store = NULL;
    if (result < 0)
        project_notice(project, SNAP_NOTICE_INFO, NULL, "the project was moved, and that could not be recorded: %s", err.message);
    else
        project_notice(project, SNAP_NOTICE_INFO, NULL, "the project was moved from '%s'; its snapshots follow it", from ? from : "?");
}

static int lock_to_write(struct snap_project *project, struct snap_err *err) {
    if (!(project->flags & SNAP_OPEN_WRITE))
        return 0;
    return store_lock(project->store, project->env.wait ? STORE_LOCK_WAIT : STORE_LOCK_TRY, project->env.command,
                      project->env.cancel, err);
}

/* From what was found to an open project; takes found's store. */
static int attach(const struct search *search, struct located *found, unsigned flags, struct snap_project **ret, struct snap_err *err) {
    _project_ struct snap_project *project = new_project(search->env, flags);
    if (!project)
        return err_nomem(err);
    int result = copy_strings(project, search, found, err);
    if (result == 0)
        result = open_root(project, found, err);
    if (result == 0 && !found->store)
        result = init_open_store(search->flags, &found->row, &found->store, err);
    if (result < 0)
        return result;
    project->store = TAKE_PTR(found->store);
    if ((result = place_store(project, err)) < 0 || (result = lock_to_write(project, err)) < 0)
        return result;
    if (found->how == REGISTRY_MOVED && !store_damage(project->store))
        follow(project, search, found);
    result = store_damage(project->store) ? 0 : recover(project, err);
    if (result < 0 && !(flags & SNAP_OPEN_DAMAGED && err->failure == SNAP_FAILURE_DAMAGE))
        return result;
    *ret = TAKE_PTR(project);
    return 0;
}

static void tell_made(struct snap_project *project) {
    const struct snap_project_info *info = &project->info;
    project_notice(project, SNAP_NOTICE_INFO, NULL, "'%s' is a project now; its snapshots go to the store '%s'", info->root, info->store);
    if (info->store_inside)
        project_notice(project, SNAP_NOTICE_INFO, NULL,
                       "the store lies inside the project, no other place was possible; it is left out of snapshots");
    if (!info->same_file_system)
        project_notice(project, SNAP_NOTICE_INFO, NULL, "the store is on another file system: content is always copied");
}

/* The verbs. */

/* Codes are read from it, so there is one. */
#define ERR_OR_SPACE(err) ((err) ? (err) : &(struct snap_err){0})

static int open_by_dir(const struct snap_env *env, unsigned flags, struct snap_project **ret, struct snap_err *err) {
    _search_ struct search search = {0};
    _located_ struct located found = {0};
    bool create = (flags & SNAP_OPEN_WRITE) && (flags & SNAP_OPEN_CREATE);
    int result = search_begin(env, flags, &search, err);
    if (result == 0)
        result = search_up(&search, &found, err);
    if (result < 0)
        return result;
    bool none = found.how == REGISTRY_NONE;
    if (found.how == REGISTRY_REPLACED || (none && (!create || found.row.path)))
        return search_failed(&search, &found, err);
    int made = 0;
    if (none) {
        located_done(&found);
        made = init_make(&search, 0, true, &found, err);
        if (made < 0)
            return made;
    }
    result = attach(&search, &found, flags, ret, err);
    if (result == 0 && made)
        tell_made(*ret);
    return result;
}

/* What is mounted on the project's directory hides it from searching: store and descriptor say what it is. */
static int open_covered(const struct snap_env *env, int below, unsigned flags, struct snap_project **ret, struct snap_err *err) {
    _search_ struct search search = {0};
    _located_ struct located found = { .how = REGISTRY_SAME };
    int result = search_begin(env, flags, &search, err);
    if (result == 0)
        result = search_covered(&search, below, &found, err);
    return result < 0 ? result : attach(&search, &found, flags, ret, err);
}

/* In a mount of ours the record of the mount says which project it is. */
static int open_from_mount(const struct snap_env *env, const struct here *here, unsigned flags, struct snap_project **ret, struct snap_err *err) {
    _project_ struct snap_project *project = NULL;
    _close_ int below = -1;
    struct snap_env there = *env;
    there.dir = here->project;
    there.store = here->store;
    flags &= ~(unsigned)SNAP_OPEN_CREATE;
    int result = here_below(here, &below, err);
    if (result == 0)
        result = below >= 0 ? open_covered(&there, below, flags, &project, err) : open_by_dir(&there, flags, &project, err);
    if (result == 0)
        result = here_enter(project, here, flags & SNAP_OPEN_WORKSPACE, err);
    if (result < 0)
        return result;
    *ret = TAKE_PTR(project);
    return 0;
}

int snap_project_open(const struct snap_env *env, unsigned flags, struct snap_project **ret, struct snap_err *error) {
    struct snap_err *err = ERR_OR_SPACE(error);
    _here_ struct here here = {0};
    int result = here_find(env, &here, err);
    if (result < 0)
        return result;
    return result ? open_from_mount(env, &here, flags, ret, err) : open_by_dir(env, flags, ret, err);
}

/* 1 = taken over, 0 = nothing to take over, it is a project already. */
static int adopt(const struct search *search, struct located *found, struct snap_err *err) {
    int result = search_here(search, found, err);
    if (result < 0)
        return result;
    if (found->how == REGISTRY_REPLACED || (found->how == REGISTRY_NONE && found->row.path))
        result = init_adopt(search, found, err);
    else if (found->how != REGISTRY_NONE)
        return 0;
    else {
        err_set(err, -ENOENT, "no store is known for '%s' that it could take over", search->dir);
        err_hint(err, "name the store with --store");
        return err_failure(err, SNAP_FAILURE_NO_PROJECT);
    }
    return result < 0 ? err_wrap(err, "cannot take over the snapshots of '%s'", search->dir) : 1;
}

int snap_project_init(const struct snap_env *env, unsigned flags, struct snap_project **ret, struct snap_err *error) {
    struct snap_err *err = ERR_OR_SPACE(error);
    _search_ struct search search = {0};
    _located_ struct located found = {0};
    int result = search_begin(env, SNAP_OPEN_WRITE, &search, err);
    if (result < 0)
        return result;
    int made = flags & SNAP_INIT_ADOPT ? adopt(&search, &found, err) : init_make(&search, flags, false, &found, err);
    if (made < 0)
        return made;
    result = attach(&search, &found, SNAP_OPEN_WRITE, ret, err);
    return result < 0 ? result : made;
}

/* Paths as people type them. */

/* "." , "..", and repeated slashes taken out of an absolute path, as text. */
static char *normalise(const char *path) {
    char *out = malloc(strlen(path) + 2);
    if (!out)
        return NULL;
    size_t size = 0;
    for (const char *at = path; *at;) {
        at += strspn(at, "/");
        size_t name = strcspn(at, "/");
        if (name == 2 && at[0] == '.' && at[1] == '.') {
            while (size > 0 && out[--size] != '/') {}
        } else if (name > 0 && !(name == 1 && at[0] == '.')) {
            out[size++] = '/';
            memcpy(out + size, at, name);
            size += name;
        }
        at += name;
    }
    if (size == 0)
        out[size++] = '/';
    out[size] = '\0';
    return out;
}

/* The project's root by the way on which the caller came: another name of it where it is mounted twice. */
static char *reached_root(const struct snap_project *project) {
    size_t whole = strlen(project->env.dir), inside = strlen(project->info.inside);
    size_t size = inside == 0 ? whole : inside < whole ? whole - inside - 1 : 0;
    return strndup(project->env.dir, size ? size : 1);
}

/* The same path with what leads to its last name resolved; NULL: there is nothing of it. */
static char *resolve_parent(const char *path) {
    const char *slash = strrchr(path, '/');
    char *resolved = NULL;
    if (strcmp(slash, "/.") == 0 || strcmp(slash, "/..") == 0 || slash[1] == '\0')
        return realpath(path, NULL);
    _free_ char *parent = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    _free_ char *real = parent ? realpath(parent, NULL) : NULL;
    if (!real || asprintf(&resolved, "%s%s", strcmp(real, "/") == 0 ? "" : real, slash) < 0)
        return NULL;
    return resolved;
}

static bool lies_in(const struct snap_project *project, const char *reached, const char *path, const char **ret) {
    return search_below(reached, path, ret) || search_below(project->info.root, path, ret);
}

static int outside(const struct snap_project *project, const char *typed, struct snap_err *err) {
    err_set(err, -EINVAL, "'%s' lies outside the project '%s'", typed, project->info.root);
    return err_failure(err, SNAP_FAILURE_USAGE);
}

int snap_project_path(const struct snap_project *project, const char *typed, char **ret, struct snap_err *error) {
    struct snap_err *err = ERR_OR_SPACE(error);
    _free_ char *joined = NULL;
    if (!*typed) {
        err_set(err, -EINVAL, "an empty path names nothing");
        return err_failure(err, SNAP_FAILURE_USAGE);
    }
    if (typed[0] != '/' && asprintf(&joined, "%s/%s", project->env.dir, typed) < 0)
        return err_nomem(err);
    _free_ char *path = normalise(joined ? joined : typed), *reached = reached_root(project);
    if (!path || !reached)
        return err_nomem(err);
    const char *rest = NULL;
    if (!lies_in(project, reached, path, &rest)) {
        free(path);
        path = resolve_parent(joined ? joined : typed);
        if (!path || !lies_in(project, reached, path, &rest))
            return outside(project, typed, err);
    }
    char *inside = strdup(rest);
    if (!inside)
        return err_nomem(err);
    *ret = inside;
    return 0;
}
