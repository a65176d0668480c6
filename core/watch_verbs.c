/* What users do with the watcher: start it, stop it, ask how it is. The watching itself is watchd.c.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "detach.h"
#include "fs.h"
#include "watchd.h"
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

static const char ENDED[] = "watch.ended";   /* in STORE/run: why the last one that ran in the background failed */

static enum watch_backend backend_of(enum snap_watch_backend backend) {
    switch (backend) {
    case SNAP_WATCH_INOTIFY: return WATCH_INOTIFY;
    case SNAP_WATCH_FANOTIFY: return WATCH_FANOTIFY;
    case SNAP_WATCH_AUTO: break;
    }
    return WATCH_AUTO;
}

const char *snap_watch_backend_name(enum snap_watch_backend backend) {
    switch (backend) {
    case SNAP_WATCH_INOTIFY: return "inotify";
    case SNAP_WATCH_FANOTIFY: return "fanotify";
    case SNAP_WATCH_AUTO: break;
    }
    return "auto";
}

struct start {
    const struct snap_env *env;
    enum snap_watch_backend backend;
    struct detach_ready *ready;
    struct snap_project *project;
    int result;
};

static void tell_ready(void *data) {
    struct start *start = data;
    struct snap_err err = {0};
    (void)unlinkat(store_run_fd(start->project->store), ENDED, 0);
    start->result = start->ready ? detach_tell(start->ready, &err) : 0;
    start->ready = NULL;
}

static void remember_failure(struct snap_project *project, const struct snap_err *err) {
    (void)fs_replace_file(store_run_fd(project->store), ENDED, err->message, strlen(err->message), 0600);
}

/* In the child. Everything is opened here: a database connection does not survive a fork. */
static int watch_in_background(void *data, struct detach_ready *ready, struct snap_err *err) {
    struct start *start = data;
    int r = snap_project_open(start->env, SNAP_OPEN_READ, &start->project, err);
    if (r < 0)
        return r;
    start->ready = ready;
    r = watchd_run(start->project, backend_of(start->backend), tell_ready, start, err);
    if (r < 0 && !start->ready)
        remember_failure(start->project, err);
    start->project = snap_project_close(start->project);
    return r;
}

int snap_watch_start(const struct snap_env *env, enum snap_watch_backend backend, struct snap_err *err) {
    struct start start = { .env = env, .backend = backend };
    return detach(watch_in_background, &start, NULL, err);
}

int snap_watch_run(struct snap_project *project, enum snap_watch_backend backend, void (*ready)(void *data), void *data, struct snap_err *err) {
    return watchd_run(project, backend_of(backend), ready, data, err);
}

/* The first line of an answer. */
static int parse_state(const char *line, struct snap_watch *ret) {
    char backend[16];
    int pid = 0;
    struct snap_watch watch = { .running = true };
    if (sscanf(line, "%*s %*s %*s %15s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %d %" SCNd64, backend, &watch.watches,
               &watch.uncovered, &watch.lost, &watch.events, &watch.noted, &pid, &watch.since) != 8)
        return -EBADMSG;
    watch.pid = pid;
    watch.backend = strcmp(backend, "fanotify") == 0 ? SNAP_WATCH_FANOTIFY : SNAP_WATCH_INOTIFY;
    *ret = watch;
    return 0;
}

int watchd_state(struct store *store, struct snap_watch *ret) {
    _buf_ struct buf heard = {0};
    int r = watchd_say(store, "info\n", &heard);
    return r <= 0 ? r : parse_state(heard.data, ret) ?: 1;
}

static int ask(struct snap_project *project, const char *line, struct snap_watch *ret, struct snap_err *err) {
    _buf_ struct buf heard = {0};
    int r = watchd_say(project->store, line, &heard);
    if (r <= 0)
        return r < 0 ? err_errno(err, r, "the watcher of '%s' does not answer", project->info.root) : 0;
    if ((r = parse_state(heard.data, ret)) < 0)
        return err_errno(err, r, "the watcher of '%s' answers in another language", project->info.root);
    return 1;
}

int snap_watch_status(struct snap_project *project, struct snap_watch *ret, struct snap_err *err) {
    *ret = (struct snap_watch){0};
    int r = ask(project, "info\n", ret, err);
    if (r != 0)
        return MIN(r, 0);
    _buf_ struct buf why = {0};
    if (fs_read_file(store_run_fd(project->store), ENDED, sizeof(ret->ended) - 1, &why) == 0 && why.size)
        memcpy(ret->ended, why.data, why.size + 1);
    return 0;
}

/* Until it has ended: it gives its lock back with its last breath. */
static int wait_for_end(pid_t pid, struct snap_err *err) {
    _close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return errno == ESRCH ? 0 : err_errno(err, -errno, "cannot wait for process %d", (int)pid);
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    int r = poll(&wait, 1, 60 * 1000);
    if (r > 0)
        return 0;
    return err_errno(err, r < 0 ? -errno : -ETIMEDOUT, "the watcher (pid %d) does not end", (int)pid);
}

int snap_watch_stop(struct snap_project *project, struct snap_watch *ret, struct snap_err *err) {
    *ret = (struct snap_watch){0};
    int r = ask(project, "stop\n", ret, err);
    return r > 0 ? wait_for_end(ret->pid, err) : r;
}
