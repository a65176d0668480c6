/* The cut, as the command makes it. While a server holds still nothing is told to anybody: who would be told may be held, too.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "cut.h"

#include "current.h"
#include "cutd.h"
#include "fs.h"
#include "hook.h"
#include "ignore.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* Who serves the workspace holds still, or nobody serves it, and nobody can begin to. */
struct still {
    int server;
    struct workspace_dirs dirs;
};

static void still_done(struct still *still) {
    still->server = fd_close(still->server);       /* which lets everybody go on */
    workspace_close(&still->dirs);
}

struct search { int64_t workspace, id; };

static int is_ours(void *data, const struct mounted *mounted) {
    struct search *search = data;
    if (!mounted->served || mounted->workspace != search->workspace)
        return 0;
    search->id = mounted->id;
    return 1;
}

static int reach(struct store *store, int64_t id) {
    const struct timeval patience = { .tv_sec = CUT_PATIENCE_S };
    struct sockaddr_un address;
    _close_ int folder = mounted_address(store, id, &address);
    _close_ int fd = folder < 0 ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (folder < 0)
        return folder;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0
        || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* Says a word and waits for the one that answers it. */
static int ask(int server, const char *word, const char *answer) {
    char heard[16];
    size_t size = 0;
    if (send(server, word, strlen(word), MSG_NOSIGNAL) != (ssize_t)strlen(word))
        return -EPIPE;
    while (size < strlen(answer)) {
        ssize_t got = recv(server, heard + size, strlen(answer) - size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 && errno == EAGAIN ? -ETIMEDOUT : -EPIPE;
        size += (size_t)got;
    }
    return memcmp(heard, answer, size) == 0 ? 0 : -EPROTO;
}

/* Where nobody serves it, the lock of the workspace keeps it so. */
static int hold_unserved(struct snap_project *project, struct still *still, struct snap_err *err) {
    int r = workspace_open(project->store, project->workspace->id, &still->dirs, err);
    if (r < 0)
        return r;
    r = workspace_lock(&still->dirs);
    return r < 0 ? err_errno(err, r, "cannot hold workspace '%s' still", project->workspace->name) : 0;
}

static int hold(struct snap_project *project, struct still *still, struct snap_err *err) {
    struct search search = { .workspace = project->workspace->id };
    int r = mounted_list(project->store, is_ours, &search, err);
    if (r < 0 || !search.id)
        return r < 0 ? r : hold_unserved(project, still, err);
    r = still->server = reach(project->store, search.id);
    if (r >= 0)
        r = ask(still->server, CUT_HOLD, CUT_HELD);
    return r < 0 ? err_errno(err, r, "cannot hold workspace '%s' still", project->workspace->name) : 0;
}

/* Only if everything stood still until now is what was captured one instant. */
static int let_go(struct snap_project *project, struct still *still, struct snap_err *err) {
    int r = still->server >= 0 ? ask(still->server, CUT_RELEASE, CUT_RELEASED) : 0;
    still_done(still);
    return r < 0 ? err_errno(err, r, "workspace '%s' did not hold still until it was captured", project->workspace->name) : 0;
}

static int step(const char *point, struct snap_err *err) {
    int r = hook(point, "");
    return r < 0 ? err_errno(err, r, "stopped at %s", point) : 0;
}

/* The rules are read first: nothing may be opened in a mount that holds still. */
static int capture_twice(struct snap_project *project, struct current_memory *memory, struct scan **ret, struct snap_err *err) {
    _cleanup_(still_done) struct still still = { .server = -1, .dirs = { -1, -1, -1 } };
    _scan_ struct scan *early = NULL, *scan = NULL;
    _ignore_ struct ignore *rules = NULL;
    int r = ignore_load(project->root, &rules, err);
    if (r < 0 || (r = current_capture(project, project->workspace, memory, rules, true, &early, err)) < 0 || (r = step("cut.early", err)) < 0 || (r = hold(project, &still, err)) < 0 || (r = step("cut.held", err)) < 0
        || (r = current_capture(project, project->workspace, memory, rules, false, &scan, err)) < 0 || (r = step("cut.captured", err)) < 0
        || (r = let_go(project, &still, err)) < 0 || (r = step("cut.released", err)) < 0)
        return r;
    *ret = TAKE_PTR(scan);
    return 0;
}

int cut_capture(struct snap_project *project, struct stage *stage, struct scan **ret, struct snap_err *err) {
    const struct workspace *workspace = project->workspace;
    if (workspace->follow) {
        err_set(err, -EOPNOTSUPP, "workspace '%s' follows the project, and has no snapshots of its own", workspace->name);
        return err_hint(err, "a workspace that stands on a snapshot has: snapctl workspace add --from SNAP NAME DIR");
    }
    _current_memory_ struct current_memory *memory = current_memory_new(stage);
    return memory ? capture_twice(project, memory, ret, err) : err_nomem(err);
}
