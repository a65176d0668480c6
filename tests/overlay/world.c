/* What both kinds of worlds share: lines, texts, dumps.
 * Touches no file. SPDX-License-Identifier: GPL-2.0-or-later */
#include "world.h"

#include "quote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS = 8, SHOWN = 60 };

int world_do(struct world *world, char *line) {
    char *words[WORDS + 1], *rest = line;
    unsigned count = 0;
    for (char *word; count < WORDS && (word = strtok_r(rest, " \n", &rest));)
        words[count++] = word;
    words[count] = NULL;
    return count ? world->act(world, words, count) : -EINVAL;
}

int expand_text(const char *text, struct buf *ret) {
    char *end = NULL;
    unsigned long count = *text == '*' ? strtoul(text + 1, &end, 10) : 0;
    if (!end || *end != ':')
        buf_str(ret, text);
    for (unsigned long i = 0; end && *end == ':' && i < count; i++)
        buf_char(ret, end[1]);
    return ret->failed;
}

bool is_of_handle(const char *verb) {
    static const char *const verbs[] = { "open", "tmpfile", "pread", "pwrite", "fstat", "linkfd", "close", "fallocate" };
    for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
        if (strcmp(verb, verbs[i]) == 0)
            return true;
    }
    return false;
}

int open_flags(const char *word) {
    int flags = strchr(word, 'w') ? (strchr(word, 'r') ? O_RDWR : O_WRONLY) : O_RDONLY;
    return flags | (strchr(word, 't') ? O_TRUNC : 0) | (strchr(word, 'a') ? O_APPEND : 0);
}

void shown_done(struct shown *shown) {
    buf_done(&shown->content);
    buf_done(&shown->xattrs);
}

static uint64_t sum(const struct buf *bytes) {
    uint64_t hash = 0xcbf29ce484222325U;
    for (size_t i = 0; i < bytes->size; i++)
        hash = (hash ^ (unsigned char)bytes->data[i]) * 0x100000001b3U;
    return hash;
}

void show(struct buf *out, const struct shown *shown) {
    const struct stat *stat = shown->stat;
    quote_mtree(out, shown->path, strlen(shown->path));
    if (S_ISCHR(stat->st_mode) && stat->st_rdev == 0) {
        buf_str(out, " whiteout\n");
        return;
    }
    if (!S_ISLNK(stat->st_mode))
        buf_fmt(out, " %o", stat->st_mode & 07777);
    if (stat->st_uid != geteuid() || stat->st_gid != getegid())
        buf_fmt(out, " %u:%u", stat->st_uid, stat->st_gid);
    if (S_ISDIR(stat->st_mode)) {
        buf_str(out, " dir");
    } else if (S_ISLNK(stat->st_mode)) {
        buf_str(out, " -> ");
        quote_mtree(out, shown->content.data, shown->content.size);
    } else if (S_ISREG(stat->st_mode)) {
        buf_str(out, " file ");
        if (shown->content.size > SHOWN)
            buf_fmt(out, "%zu:%016llx", shown->content.size, (unsigned long long)sum(&shown->content));
        else if (shown->content.size)
            quote_mtree(out, shown->content.data, shown->content.size);
        else
            buf_str(out, "empty");
    } else {
        buf_str(out, S_ISFIFO(stat->st_mode) ? " fifo" : " other");
    }
    if (!S_ISDIR(stat->st_mode) && stat->st_nlink != 1)
        buf_fmt(out, " links=%u", (unsigned)stat->st_nlink);
    if (shown->xattrs.size)
        buf_str(out, shown->xattrs.data);
    buf_char(out, '\n');
}

/* What an implementation keeps for itself is nobody's expectation. */
static bool is_private(const char *name, bool raw) {
    static const char *const private[] = { "user.overlay.origin", "user.overlay.impure", "user.overlay.identity", "user.overlay.nlink",
                                           "user.overlay.uuid", "user.overlay.upper" };
    for (size_t i = 0; i < sizeof(private) / sizeof(*private); i++) {
        if (raw && strcmp(name, private[i]) == 0)
            return true;
    }
    return strncmp(name, "user.", 5) != 0 && strncmp(name, "system.posix_acl", 16) != 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int show_xattrs(struct buf *out, const char *list, size_t size, bool raw, xattr_get_fn get, void *data) {
    const char *names[64];
    size_t count = 0;
    for (const char *at = list; at < list + size && count < 64; at += strlen(at) + 1) {
        if (!is_private(at, raw))
            names[count++] = at;
    }
    qsort(names, count, sizeof(*names), by_name);
    for (size_t i = 0; i < count; i++) {
        char value[4096];
        ssize_t got = get(data, names[i], value, sizeof(value));
        if (got < 0)
            return (int)got;
        buf_fmt(out, " %s=", names[i]);
        quote_mtree(out, value, (size_t)got);
    }
    return out->failed;
}
