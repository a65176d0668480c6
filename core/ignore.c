/* Ignore rules in an in-memory repository of libgit2.
 * Reads no .gitignore, no configuration of git's and no rule that is not in the text it was given.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "ignore.h"

#include "fs.h"
#include "gitlib.h"
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#define IGNORE_FILE_LIMIT (1 << 20)

struct ignore {
    const struct git2 *git;
    git_repository *repository;
    pthread_mutex_t lock;      /* libgit2 objects are not to be used from two threads at a time */
};

struct ignore *ignore_free(struct ignore *ignore)
{
    if (!ignore)
        return NULL;
    if (ignore->repository)
        ignore->git->repository_free(ignore->repository);
    pthread_mutex_destroy(&ignore->lock);
    free(ignore);
    return NULL;
}

static const char *line_end(const char *at, const char *end)
{
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    return newline ? newline : end;
}

/* Git drops spaces at a line's end unless a backslash keeps them; libgit2 1.5 looks at the last one only. */
static size_t without_trailing_spaces(const char *line, size_t size)
{
    size_t kept = 0;
    for (size_t i = 0; i < size; i++) {
        if (line[i] == '\\' && i + 1 < size)
            kept = ++i + 1;
        else if (line[i] != ' ')
            kept = i + 1;
    }
    return kept;
}

static bool add_line(struct buf *rules, const char *line, size_t size)
{
    if (size && line[size - 1] == '\r')
        size--;
    if (size == 0 || line[0] == '#')
        return false;
    size = without_trailing_spaces(line, size);
    if (size == 0 || memchr(line, '\0', size))
        return false;
    buf_add(rules, line, size);
    buf_char(rules, '\n');
    return true;
}

/* The rules as libgit2 is to read them. The first two lines decide every path that no line of the file decides: nothing is
 * left out. So libgit2's own rules (".git", ".", "..") and the user's global excludes have no say, and libgit2, which
 * drops a negation when it finds nothing above that it could negate, and finds too little, keeps them all. */
static int prepare(const char *text, size_t size, struct buf *rules)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    const char *at = text, *end = text + size;
    bool any = false;
    if (size >= 3 && memcmp(text, byte_order_mark, 3) == 0)
        at += 3;
    buf_str(rules, "*\n!*\n");
    while (at < end) {
        const char *stop = line_end(at, end);
        any |= add_line(rules, at, (size_t)(stop - at));
        at = stop < end ? stop + 1 : end;
    }
    return rules->failed ? rules->failed : any;
}

/* An empty configuration: core.ignoreCase of some ~/.gitconfig must not reach us. */
static int forget_configuration(struct ignore *ignore, struct snap_err *err)
{
    git_config *config = NULL;
    int r = ignore->git->config_new(&config);
    if (r >= 0)
        r = ignore->git->repository_set_config(ignore->repository, config);
    if (config)
        ignore->git->config_free(config);
    return r < 0 ? git2_error(ignore->git, r, err, "prepare ignore rules") : 0;
}

static int fill(struct ignore *ignore, const char *rules, struct snap_err *err)
{
    int r = git2_load(&ignore->git, err);
    if (r < 0)
        return err_wrap(err, "cannot read the rules of " IGNORE_FILE);
    r = ignore->git->repository_new(&ignore->repository);
    if (r < 0)
        return git2_error(ignore->git, r, err, "prepare ignore rules");
    r = forget_configuration(ignore, err);
    if (r < 0)
        return r;
    r = ignore->git->ignore_add_rule(ignore->repository, rules);
    return r < 0 ? git2_error(ignore->git, r, err, "read the rules of " IGNORE_FILE) : 0;
}

int ignore_new(const char *text, size_t size, struct ignore **ret, struct snap_err *err)
{
    _buf_ struct buf rules = {0};
    int r = prepare(text, size, &rules);
    if (r < 0)
        return err_nomem(err);
    if (r == 0) {
        *ret = NULL;
        return 0;
    }
    _ignore_ struct ignore *ignore = calloc(1, sizeof(*ignore));
    if (!ignore)
        return err_nomem(err);
    pthread_mutex_init(&ignore->lock, NULL);
    r = fill(ignore, rules.data, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(ignore);
    return 0;
}

int ignore_load(int rootfd, struct ignore **ret, struct snap_err *err)
{
    _buf_ struct buf text = {0};
    int r = fs_read_file(rootfd, IGNORE_FILE, IGNORE_FILE_LIMIT, &text);
    /* What is no readable file there holds no rules: a directory or a symlink of that name is just captured. */
    if (r == -ENOENT || r == -EISDIR || r == -ELOOP || r == -ENXIO) {
        *ret = NULL;
        return 0;
    }
    if (r < 0)
        return err_path(err, r, IGNORE_FILE, "read");
    return ignore_new(text.data, text.size, ret, err);
}

static bool matches(struct ignore *ignore, const char *path)
{
    int ignored = 0;
    pthread_mutex_lock(&ignore->lock);
    int r = ignore->git->ignore_path_is_ignored(&ignored, ignore->repository, path);
    pthread_mutex_unlock(&ignore->lock);
    /* Out of memory: capture rather than leave out. */
    return r >= 0 && ignored;
}

/* libgit2 takes a trailing slash for "is a directory". */
static bool matches_part(struct ignore *ignore, const char *path, size_t size, bool is_directory)
{
    char small[512];
    char *room = size + 2 <= sizeof(small) ? small : malloc(size + 2);
    if (!room)
        return false;
    memcpy(room, path, size);
    strcpy(room + size, is_directory ? "/" : "");
    bool result = matches(ignore, room);
    if (room != small)
        free(room);
    return result;
}

bool ignore_matches(struct ignore *ignore, const char *path, bool is_directory)
{
    return ignore && *path && matches_part(ignore, path, strlen(path), is_directory);
}

bool ignore_covers(struct ignore *ignore, const char *path, bool is_directory)
{
    if (!ignore)
        return false;
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
        if (matches_part(ignore, path, (size_t)(slash - path), true))
            return true;
    return ignore_matches(ignore, path, is_directory);
}
