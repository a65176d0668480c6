/* Asking a watch daemon: the client's side of its socket, and the answer as a tree of names.
 * A daemon that does not answer, or answers nonsense, is as good as none. SPDX-License-Identifier: GPL-2.0-or-later */
#include "watching.h"
#include "fs.h"
#include "live.h"
#include "watchd.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define PATIENCE_S 20
#define ANSWER_MAX ((size_t)512 << 20)

/* The tree of names. */

static void free_node(void *node) {
    touched_free(node);
}

struct touched *touched_new(void) {
    return calloc(1, sizeof(struct touched));
}

struct touched *touched_free(struct touched *touched) {
    if (touched)
        map_free(touched->children, free_node);
    free(touched);
    return NULL;
}

const struct touched *touched_child(const struct touched *dir, const char *name) {
    return dir && dir->children ? map_get(dir->children, name, strlen(name)) : NULL;
}

static struct touched *make_child(struct touched *dir, const char *name, size_t size) {
    if (!dir->children && !(dir->children = map_new()))
        return NULL;
    struct touched *child = map_get(dir->children, name, size);
    if (child)
        return child;
    child = calloc(1, sizeof(*child));
    if (child && map_put(dir->children, name, size, child, NULL) < 0) {
        free(child);
        child = NULL;
    }
    return child;
}

struct touched *touched_at(struct touched *root, const char *dir, const char *name) {
    struct touched *at = root;
    for (size_t size; at && *dir; dir += size + (dir[size] == '/')) {
        size = strcspn(dir, "/");
        at = make_child(at, dir, size);
    }
    return at && name && *name ? make_child(at, name, strlen(name)) : at;
}

static int add_record(struct touched *root, char kind, const char *dir, const char *name) {
    struct touched *at = touched_at(root, dir, name);
    if (!at)
        return -ENOMEM;
    switch ((enum watch_kind)(kind - '0')) {
    case WATCH_ENTRY:
    case WATCH_DIRECTORY:
        at->itself = true;
        return 0;
    case WATCH_BELOW:
        at->itself = true;
        at->inside = true;
        return 0;
    case WATCH_UNCOVERED:
        at->inside = true;
        return 0;
    case WATCH_LINKED:
        return 1;                         /* everything */
    case WATCH_LOST:
    case WATCH_ROOT_GONE:
        break;
    }
    return -EBADMSG;
}

static int read_records(const char *at, const char *end, struct touched *root) {
    while (at < end) {
        const char *dir_end = memchr(at, '\0', (size_t)(end - at));
        const char *name_end = dir_end ? memchr(dir_end + 1, '\0', (size_t)(end - dir_end - 1)) : NULL;
        int r = name_end ? add_record(root, at[0], at + 1, dir_end + 1) : -EBADMSG;
        if (r != 0)
            return r;
        at = name_end + 1;
    }
    return 0;
}

/* The socket. */

static int reach(struct store *store) {
    const struct timeval patience = { .tv_sec = PATIENCE_S };
    struct sockaddr_un address;
    watchd_address(store, &address);
    _close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0
        || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

int watchd_say(struct store *store, const char *line, struct buf *ret) {
    _close_ int fd = reach(store);
    if (fd < 0)
        return fd == -ENOENT || fd == -ECONNREFUSED ? 0 : fd;
    if (send(fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line))
        return -EIO;
    int r = fs_read_all(fd, ANSWER_MAX, ret);
    return r < 0 ? r : ret->size > 0;
}

/* The first line says up to when; the records follow. */
static int understand(const struct buf *heard, struct watching *watching) {
    char name[40], known[16];
    uint64_t clock;
    const char *end = memchr(heard->data, '\n', heard->size);
    if (!end || sscanf(heard->data, "%39s %" SCNu64 " %15s", name, &clock, known) != 3)
        return -EBADMSG;
    if (asprintf(&watching->clock, "%s %" PRIu64, name, clock) < 0) {
        watching->clock = NULL;
        return -ENOMEM;
    }
    if (strcmp(known, "known") != 0)
        return 0;
    watching->root = touched_new();
    int r = watching->root ? read_records(end + 1, heard->data + heard->size, watching->root) : -ENOMEM;
    if (r > 0)
        watching->root = touched_free(watching->root);
    return MIN(r, 0);
}

int watching_ask(struct snap_project *project, const char *since, struct watching **ret, struct snap_err *err) {
    _free_ char *kept = NULL, *line = NULL;
    _buf_ struct buf heard = {0};
    int r = since ? 0 : live_clock(project->store, &kept, err);
    if (r < 0)
        return r;
    r = since ? asprintf(&line, "since %s\n", since) : asprintf(&line, "kept %s\n", kept ? kept : "- 0");
    if (r < 0) {
        line = NULL;
        return err_nomem(err);
    }
    if ((r = watchd_say(project->store, line, &heard)) <= 0)
        return r == -ENOMEM ? err_nomem(err) : 0;
    _watching_ struct watching *watching = calloc(1, sizeof(*watching));
    r = watching ? understand(&heard, watching) : -ENOMEM;
    if (r < 0)
        return r == -ENOMEM ? err_nomem(err) : 0;
    *ret = TAKE_PTR(watching);
    return 1;
}

struct watching *watching_free(struct watching *watching) {
    if (!watching)
        return NULL;
    touched_free(watching->root);
    free(watching->clock);
    free(watching);
    return NULL;
}
