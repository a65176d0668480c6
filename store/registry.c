/* Which project has its store where: STATE/projects, a line "store=Q path=Q identity=Q" a project, Q in mtree quoting.
 * Opens no store and judges no project. Lines that it does not understand are left as they are.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "registry.h"

#include "fs.h"
#include "identity.h"
#include "quote.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define SIZE_LIMIT ((size_t)64 << 20)

void registration_done(struct registration *registration) {
    free(registration->path);
    free(registration->identity);
    free(registration->store);
    *registration = (struct registration){0};
}

/* Where the registry is. */

static int below_home(const char *home, char **ret, struct snap_err *err) {
    if (!home || home[0] != '/')
        return err_set(err, -ENOENT, "there is no home directory to keep snapctl's state in");
    return asprintf(ret, "%s/.local/state/snapctl", home) < 0 ? err_nomem(err) : 0;
}

static int home_of(uid_t uid, char **ret, struct snap_err *err) {
    struct passwd entry, *found = NULL;
    size_t room = 64 << 10;
    _free_ char *space = malloc(room);
    if (!space)
        return err_nomem(err);
    int result = getpwuid_r(uid, &entry, space, room, &found);
    if (result != 0)
        return err_errno(err, -result, "cannot look up user %u", (unsigned)uid);
    return below_home(found ? found->pw_dir : NULL, ret, err);
}

int registry_state_dir(uid_t uid, char **ret, struct snap_err *err) {
    char *dir = NULL;
    int result;
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (uid != geteuid())
        result = home_of(uid, &dir, err);
    else if (state && state[0] == '/')       /* the specification: a relative one is to be ignored */
        result = asprintf(&dir, "%s/snapctl", state) < 0 ? err_nomem(err) : 0;
    else
        result = home && home[0] == '/' ? below_home(home, &dir, err) : home_of(uid, &dir, err);
    if (result == 0)
        *ret = dir;
    return result;
}

/* Reading. */

static int field_of(const char **line, const char *end, const char *key, char **ret) {
    size_t size = strlen(key);
    if ((size_t)(end - *line) < size || memcmp(*line, key, size) != 0)
        return 0;
    const char *value = *line + size, *stop = memchr(value, ' ', (size_t)(end - value));
    if (!stop)
        stop = end;
    _buf_ struct buf out = {0};
    int result = unquote_mtree(&out, value, (size_t)(stop - value));
    if (result == -ENOMEM)
        return result;
    if (result < 0 || out.size == 0 || memchr(out.data, '\0', out.size))
        return 0;
    *line = stop < end ? stop + 1 : end;
    *ret = buf_take(&out);
    return *ret ? 1 : -ENOMEM;
}

/* 1 = a row, 0 = something else, negative errno. */
static int parse_line(const char *line, const char *end, struct registration *ret) {
    _cleanup_(registration_done) struct registration row = {0};
    int result = field_of(&line, end, "store=", &row.store);
    if (result > 0)
        result = field_of(&line, end, "path=", &row.path);
    if (result > 0)
        result = field_of(&line, end, "identity=", &row.identity);
    if (result <= 0 || line != end || row.path[0] != '/' || row.store[0] != '/')
        return MIN(result, 0);
    *ret = row;
    row = (struct registration){0};
    return 1;
}

struct registry { struct buf text; struct registration *rows; size_t count; };

static void registry_done(struct registry *registry) {
    for (size_t i = 0; i < registry->count; i++)
        registration_done(&registry->rows[i]);
    free(registry->rows);
    buf_done(&registry->text);
}
#define _registry_ _cleanup_(registry_done)

static int add_row(struct registry *registry, const char *line, const char *end) {
    struct registration row = {0};
    int result = parse_line(line, end, &row);
    if (result <= 0)
        return result;
    struct registration *rows = reallocarray(registry->rows, registry->count + 1, sizeof(*rows));
    if (!rows) {
        registration_done(&row);
        return -ENOMEM;
    }
    registry->rows = rows;
    registry->rows[registry->count++] = row;
    return 0;
}

static const char *line_end(const char *line, const char *end) {
    const char *found = memchr(line, '\n', (size_t)(end - line));
    return found ? found : end;
}

static int parse(struct registry *registry) {
    const char *end = registry->text.data + registry->text.size;
    for (const char *line = registry->text.data, *stop; line < end; line = stop + 1) {
        stop = line_end(line, end);
        int result = add_row(registry, line, stop);
        if (result < 0)
            return result;
    }
    return 0;
}

static int load(const char *state, struct registry *ret, struct snap_err *err) {
    _close_ int fd = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 ? -errno : fs_read_file(fd, "projects", SIZE_LIMIT, &ret->text);
    if (result == -ENOENT)
        return 0;
    if (result == 0)
        result = parse(ret);
    return result < 0 ? err_path(err, result, state, "read the registry of projects in") : 0;
}

/* Finding. */

static bool is_still_there(const struct registration *row) {
    _free_ char *identity = NULL;
    _close_ int fd = open(row->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 && identity_of(fd, &identity, NULL) == 0 && strcmp(identity, row->identity) == 0;
}

/* The row that says most about the directory; the identity is asked before the path, since paths are reused. */
static enum registry_found match(const struct registry *registry, const char *path, const char *identity,
                                 const struct registration **ret) {
    const struct registration *known = NULL, *here = NULL;
    for (size_t i = 0; i < registry->count; i++) {
        const struct registration *row = &registry->rows[i];
        bool same_path = strcmp(row->path, path) == 0;
        if (same_path && identity_same_inode(row->identity, identity)) {
            *ret = row;
            return REGISTRY_SAME;
        }
        if (strcmp(row->identity, identity) == 0)
            known = row;
        else if (same_path)
            here = row;
    }
    if (!known && !here)
        return REGISTRY_NONE;
    *ret = known ? known : here;
    if (!known)
        return REGISTRY_REPLACED;
    return is_still_there(known) ? REGISTRY_ALIAS : REGISTRY_MOVED;
}

static int copy_row(const struct registration *row, struct registration *ret, struct snap_err *err) {
    _cleanup_(registration_done) struct registration copy = {
        .path = strdup(row->path), .identity = strdup(row->identity), .store = strdup(row->store),
    };
    if (!copy.path || !copy.identity || !copy.store)
        return err_nomem(err);
    *ret = copy;
    copy = (struct registration){0};
    return 0;
}

int registry_find(const char *state, const char *path, const char *identity, struct registration *ret, struct snap_err *err) {
    _registry_ struct registry registry = {0};
    int result = load(state, &registry, err);
    if (result < 0)
        return result;
    const struct registration *row = NULL;
    enum registry_found found = match(&registry, path, identity, &row);
    result = found ? copy_row(row, ret, err) : 0;
    return result < 0 ? result : (int)found;
}

int registry_find_store(const char *state, const char *store, struct registration *ret, struct snap_err *err) {
    _registry_ struct registry registry = {0};
    int result = load(state, &registry, err);
    for (size_t i = 0; i < registry.count && result == 0; i++)
        if (strcmp(registry.rows[i].store, store) == 0)
            result = copy_row(&registry.rows[i], ret, err) < 0 ? -ENOMEM : 1;
    return result;
}

/* An ancestor that cannot be opened or told apart is passed by: nothing of it can be known. */
static enum registry_found match_dir(const struct registry *registry, const char *path, const struct registration **ret) {
    _free_ char *identity = NULL;
    _close_ int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || identity_of(fd, &identity, NULL) < 0)
        return REGISTRY_NONE;
    return match(registry, path, identity, ret);
}

/* Cuts the last component off; false: it was "/". */
static bool go_up(char *path) {
    char *slash = strrchr(path, '/');
    if (!slash || path[1] == '\0')
        return false;
    slash[slash == path] = '\0';
    return true;
}

/* The innermost match at or above `path`, which is cut to it. */
static enum registry_found walk_up(const struct registry *registry, char *path, const struct registration **ret) {
    enum registry_found found;
    while ((found = match_dir(registry, path, ret)) == REGISTRY_NONE)
        if (!go_up(path))
            break;
    return found;
}

int registry_walk_up(const char *state, const char *path, char **ret_root, struct registration *ret, struct snap_err *err) {
    _registry_ struct registry registry = {0};
    int result = load(state, &registry, err);
    if (result < 0 || registry.count == 0)
        return result;
    _free_ char *at = strdup(path);
    if (!at)
        return err_nomem(err);
    const struct registration *row = NULL;
    enum registry_found found = walk_up(&registry, at, &row);
    result = found ? copy_row(row, ret, err) : 0;
    if (result < 0 || !found)
        return result;
    *ret_root = TAKE_PTR(at);
    return (int)found;
}

int registry_walk_up_to(const struct registration *row, const char *path, char **ret_root, struct snap_err *err) {
    struct registration only = *row;         /* borrowed: not done */
    struct registry registry = { .rows = &only, .count = 1 };
    const struct registration *found_row = NULL;
    _free_ char *at = strdup(path);
    if (!at)
        return err_nomem(err);
    enum registry_found found = walk_up(&registry, at, &found_row);
    if (found)
        *ret_root = TAKE_PTR(at);
    return (int)found;
}

/* Writing. */

static int make_dirs(const char *path) {
    _free_ char *at = strdup(path);
    if (!at)
        return -ENOMEM;
    for (char *slash = at + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (mkdir(at, 0700) < 0 && errno != EEXIST && access(at, F_OK) < 0)
            return -errno;
        *slash = '/';
    }
    return mkdir(at, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/* Root under `sudo -E` must not leave files in a user's registry that the user cannot write. */
static int open_state(const char *state, struct snap_err *err) {
    struct stat stat;
    int result = make_dirs(state);
    if (result < 0)
        return err_path(err, result, state, "make");
    _close_ int fd = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &stat) < 0)
        return err_path(err, -errno, state, "open");
    if (stat.st_uid == geteuid())
        return TAKE_FD(fd);
    err_path(err, -EPERM, state, "write to another user's");
    err_hint(err, "run snapctl as that user, or without XDG_STATE_HOME and HOME of that user");
    return -EPERM;
}

int registry_lock(const char *state, struct snap_err *err) {
    _close_ int dirfd = open_state(state, err);
    if (dirfd < 0)
        return dirfd;
    _close_ int fd = openat(dirfd, "projects.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_path(err, -errno, state, "lock the registry of projects in");
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return err_path(err, -errno, state, "lock the registry of projects in");
    return TAKE_FD(fd);
}

static void write_field(struct buf *out, const char *key, const char *value) {
    buf_str(out, key);
    quote_mtree(out, value, strlen(value));
}

static void write_row(struct buf *out, const struct registration *row) {
    write_field(out, "store=", row->store);
    write_field(out, " path=", row->path);
    write_field(out, " identity=", row->identity);
    buf_char(out, '\n');
}

static bool replaces(const struct registration *new, const struct registration *row) {
    return strcmp(row->store, new->store) == 0
        || (strcmp(row->path, new->path) == 0 && identity_same_inode(row->identity, new->identity));
}

/* All lines but those that `new` replaces. */
static int copy_others(const struct buf *text, const struct registration *new, struct buf *out) {
    const char *end = text->data + text->size;
    for (const char *line = text->data, *stop; line < end; line = stop + 1) {
        _cleanup_(registration_done) struct registration row = {0};
        stop = line_end(line, end);
        int result = parse_line(line, stop, &row);
        if (result < 0)
            return result;
        if (result > 0 && replaces(new, &row))
            continue;
        buf_add(out, line, (size_t)(stop - line));
        buf_char(out, '\n');
    }
    return out->failed;
}

int registry_put_locked(const char *state, const struct registration *registration, struct snap_err *err) {
    _registry_ struct registry registry = {0};
    _buf_ struct buf out = {0};
    _close_ int fd = open_state(state, err);
    if (fd < 0)
        return fd;
    int result = load(state, &registry, err);
    if (result < 0)
        return result;
    result = copy_others(&registry.text, registration, &out);
    write_row(&out, registration);
    if (result == 0)
        result = out.failed ? out.failed : fs_replace_file(fd, "projects", out.data, out.size, 0600);
    return result < 0 ? err_path(err, result, state, "write the registry of projects in") : 0;
}

int registry_put(const char *state, const struct registration *registration, struct snap_err *err) {
    _close_ int lock = registry_lock(state, err);
    return lock < 0 ? lock : registry_put_locked(state, registration, err);
}
