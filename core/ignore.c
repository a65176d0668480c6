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

struct ignore *ignore_free(struct ignore *ignore) {
    if (!ignore)
        return NULL;
    if (ignore->repository)
        ignore->git->repository_free(ignore->repository);
    pthread_mutex_destroy(&ignore->lock);
    free(ignore);
    return NULL;
}

static const char *line_end(const char *at, const char *end) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    return newline ? newline : end;
}

/* Without the spaces at the end that no backslash keeps, as git reads a line. */
static size_t without_trailing_spaces(const char *line, size_t size) {
    size_t kept = 0;
    for (size_t i = 0; i < size; i++) {
        if (line[i] == '\\' && i + 1 < size)
            kept = ++i + 1;
        else if (line[i] != ' ')
            kept = i + 1;
    }
    return kept;
}

/* The end of a [class] that begins at `at`, or `size` if it never ends. */
static size_t class_end(const char *line, size_t at, size_t size) {
    size_t i = at + 1;
    if (i < size && (line[i] == '!' || line[i] == '^'))
        i++;
    for (bool first = true; i < size; i++, first = false) {
        if (line[i] == '\\')
            i++;
        else if (line[i] == '[' && i + 1 < size && line[i + 1] == ':') {
            const char *end = memmem(line + i + 2, size - i - 2, ":]", 2);
            i = end ? (size_t)(end - line) + 1 : i;
        } else if (line[i] == ']' && !first)
            return i + 1;
    }
    return size;
}

/* A character that stands for itself, in the one form that libgit2 takes as git does. */
static void add_literal(struct buf *rule, char c) {
    if (strchr("*?[\\", c) || c == ' ' || c == '\t' || c == '\v' || c == '\f') {
        buf_char(rule, '[');
        buf_str(rule, c == '\\' ? "\\" : "");
        buf_char(rule, c);
        buf_char(rule, ']');
    } else {
        buf_char(rule, c);
    }
}

/* Rules that git reads and that match no path: those that end in a lone backslash, begin with an escaped slash, or have
 * two slashes in a row. libgit2 finds a meaning in them, or fails. */
static bool matches_nothing(const char *rule, size_t size) {
    size_t bare = size && rule[size - 1] == '/' ? size - 1 : size;
    size_t backslashes = 0;
    while (backslashes < bare && rule[bare - 1 - backslashes] == '\\')
        backslashes++;
    return bare == 0 || backslashes % 2 || memmem(rule, size, "//", 2) || (size >= 2 && memcmp(rule, "\\/", 2) == 0);
}

/* libgit2 1.5 loses tabs at the end of a line, and some escapes. */
static void add_rule(struct buf *rules, const char *line, size_t size) {
    size_t i = 0;
    if (i + 1 < size && line[i] == '\\' && (line[i + 1] == '!' || line[i + 1] == '#')) {
        buf_add(rules, line, 2);
        i = 2;
    }
    while (i < size) {
        if (line[i] == '[') {
            size_t end = class_end(line, i, size);
            buf_add(rules, line + i, end - i);
            i = end;
        } else if (strchr("*?/", line[i])) {
            buf_char(rules, line[i++]);
        } else {
            i += line[i] == '\\';
            add_literal(rules, line[i++]);
        }
    }
    buf_char(rules, '\n');
}

static bool add_line(struct buf *rules, const char *line, size_t size) {
    if (size && line[size - 1] == '\r')
        size--;
    if (size == 0 || line[0] == '#')
        return false;
    size = without_trailing_spaces(line, size);
    bool negated = size && line[0] == '!';
    if (memchr(line, '\0', size) || matches_nothing(line + negated, size - negated))
        return false;
    buf_str(rules, negated ? "!" : "");
    add_rule(rules, line + negated, size - negated);
    return true;
}

/* The rules as libgit2 is to read them. The first two lines decide every path that no line of the file decides: nothing is
 * left out. So libgit2's own rules (".git", ".", "..") and the user's global excludes have no say, and libgit2, which
 * drops a negation when it finds nothing above that it could negate, and finds too little, keeps them all. */
static int prepare(const char *text, size_t size, struct buf *rules) {
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
static int forget_configuration(struct ignore *ignore, struct snap_err *err) {
    git_config *config = NULL;
    int r = ignore->git->config_new(&config);
    if (r >= 0)
        r = ignore->git->repository_set_config(ignore->repository, config);
    if (config)
        ignore->git->config_free(config);
    return r < 0 ? git2_error(ignore->git, r, err, "prepare ignore rules") : 0;
}

static int fill(struct ignore *ignore, const char *rules, struct snap_err *err) {
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

int ignore_new(const char *text, size_t size, struct ignore **ret, struct snap_err *err) {
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

int ignore_load(int rootfd, struct ignore **ret, struct snap_err *err) {
    _buf_ struct buf text = {0};
    int r = fs_read_file(rootfd, IGNORE_FILE, IGNORE_FILE_LIMIT, &text);
    /* What is no readable file there holds no rules: a directory or a symlink of that name is just captured. */
    if (r == -ENOENT || r == -EISDIR || r == -ELOOP || r == -ENXIO || r == -EINVAL) {
        *ret = NULL;
        return 0;
    }
    if (r < 0)
        return err_path(err, r, IGNORE_FILE, "read");
    return ignore_new(text.data, text.size, ret, err);
}

static bool matches(struct ignore *ignore, const char *path) {
    int ignored = 0;
    pthread_mutex_lock(&ignore->lock);
    int r = ignore->git->ignore_path_is_ignored(&ignored, ignore->repository, path);
    pthread_mutex_unlock(&ignore->lock);
    /* Out of memory: capture rather than leave out. */
    return r >= 0 && ignored;
}

/* libgit2 takes a trailing slash for "is a directory". */
static bool matches_part(struct ignore *ignore, const char *path, size_t size, bool is_directory) {
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

bool ignore_matches(struct ignore *ignore, const char *path, bool is_directory) {
    return ignore && *path && matches_part(ignore, path, strlen(path), is_directory);
}

bool ignore_covers(struct ignore *ignore, const char *path, bool is_directory) {
    if (!ignore)
        return false;
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
        if (matches_part(ignore, path, (size_t)(slash - path), true))
            return true;
    return ignore_matches(ignore, path, is_directory);
}
