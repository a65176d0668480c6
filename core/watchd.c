/* The watch daemon: one thread, which reads events as they come and answers one command at a time.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "watchd.h"
#include "fs.h"
#include "ignore.h"
#include "journal.h"
#include "mountinfo.h"
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PATIENCE_S 5      /* with a command that does not read or write on */

struct watchd {
    struct snap_project *project;
    enum watch_backend backend;
    struct watch *watch;
    struct journal *journal;
    struct ignore *ignore;
    int listener, lock;
    int mounts;                           /* /proc/self/mountinfo: says when anything is mounted or unmounted */
    struct buf mounted;                   /* what is, below the project */
    time_t since;
    bool reload, stop;
};

static void watchd_done(struct watchd *daemon) {
    watch_close(daemon->watch);
    journal_free(daemon->journal);
    ignore_free(daemon->ignore);
    if (daemon->listener >= 0)
        (void)unlinkat(store_run_fd(daemon->project->store), WATCHD_SOCKET, 0);
    fd_close(daemon->listener);
    fd_close(daemon->lock);
    fd_close(daemon->mounts);
    buf_done(&daemon->mounted);
}

/* Watching. */

static bool left_out(void *data, const char *path) {
    const struct watchd *daemon = data;
    const char *inside = project_store_inside(daemon->project);
    return (inside && !strcmp(path, inside)) || ignore_matches(daemon->ignore, path, true);
}

static int note(void *data, const struct watch_change *change) {
    struct watchd *daemon = data;
    daemon->stop |= change->kind == WATCH_ROOT_GONE;
    daemon->reload |= change->kind == WATCH_ENTRY && !strcmp(change->name, IGNORE_FILE);
    return journal_note(daemon->journal, change);
}

/* What a mount hides, and what comes to light when it goes, nobody tells. Where there is no /proc that is not known. */
static void look_at_mounts(struct watchd *daemon) {
    struct pollfd changed = { .fd = daemon->mounts, .events = POLLPRI };
    _buf_ struct buf mounted = {0};
    if (daemon->mounts < 0 || poll(&changed, 1, 0) <= 0 || mountinfo_below(daemon->project->info.root, &mounted) < 0)
        return;
    bool same = mounted.size == daemon->mounted.size && (!mounted.size || !memcmp(mounted.data, daemon->mounted.data, mounted.size));
    daemon->reload |= !same;
    buf_done(&daemon->mounted);
    daemon->mounted = mounted;
    mounted = (struct buf){0};
}

static int start_watching(struct watchd *daemon, struct snap_err *err) {
    daemon->watch = watch_close(daemon->watch);
    daemon->ignore = ignore_free(daemon->ignore);
    daemon->reload = false;
    int r = ignore_load(daemon->project->root, &daemon->ignore, err);
    struct watch_options options = { .root = daemon->project->root, .backend = daemon->backend, .left_out = left_out, .data = daemon };
    return r < 0 ? r : watch_open(&options, note, daemon, &daemon->watch, err);
}

/* Everything that happened until now is in the journal. Other rules, and other mounts, cover other directories: nothing is known of
 * those, so the journal begins anew. */
static int catch_up(struct watchd *daemon, struct snap_err *err) {
    journal_tick(daemon->journal);
    look_at_mounts(daemon);
    int r = watch_read(daemon->watch, note, daemon, err);
    if (r < 0 || !daemon->reload)
        return r;
    if ((r = journal_note(daemon->journal, &(struct watch_change){ .kind = WATCH_LOST })) < 0)
        return err_nomem(err);
    return start_watching(daemon, err);
}

/* Answers. */

struct answer { struct watchd *daemon; struct buf records; bool unknown; };

static int add_record(void *data, const struct watch_change *change) {
    struct answer *answer = data;
    _buf_ struct buf path = {0};
    int r = watch_path(answer->daemon->watch, change->dir, &path);
    if (r == -ENAMETOOLONG) {
        answer->unknown = true;
        return 0;
    }
    if (r <= 0)
        return r;                         /* the directory went: the one above tells */
    buf_char(&answer->records, (char)('0' + change->kind));
    buf_str(&answer->records, path.data ? path.data : "");
    buf_char(&answer->records, '\0');
    buf_str(&answer->records, change->name ? change->name : "");
    buf_char(&answer->records, '\0');
    return answer->records.failed;
}

static void add_state(struct watchd *daemon, bool known, struct buf *out) {
    struct watch_info info;
    watch_info(daemon->watch, &info);
    buf_fmt(out, "%s %" PRIu64 " %s %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %zu %d %lld\n", journal_name(daemon->journal),
            journal_clock(daemon->journal), known ? "known" : "unknown", info.backend == WATCH_FANOTIFY ? "fanotify" : "inotify",
            info.watches, info.uncovered, info.lost, info.events, journal_count(daemon->journal), (int)getpid(), (long long)daemon->since);
}

/* A file that is closed while it is asked what is open is told by its closing, if that is read afterwards. */
static int gather(struct answer *answer, const char *name, uint64_t clock, struct snap_err *err) {
    int r = watch_writable(answer->daemon->watch, add_record, answer);
    if (r >= 0 && (r = catch_up(answer->daemon, err)) < 0)
        return r;
    if (r >= 0)
        r = journal_since(answer->daemon->journal, name, clock, add_record, answer);
    return r < 0 ? err_errno(err, r, "cannot gather what changed") : r;
}

static int answer_changes(struct watchd *daemon, const char *arguments, bool forget, struct buf *out, struct snap_err *err) {
    char name[40];
    uint64_t clock;
    if (sscanf(arguments, "%39s %" SCNu64, name, &clock) != 2)
        return 0;                         /* another language: hears nothing */
    struct answer answer = { .daemon = daemon };
    int r = gather(&answer, name, clock, err);
    bool known = r == 0 && !answer.unknown;
    if (r >= 0)
        add_state(daemon, known, out);
    watch_settle(daemon->watch);
    if (known) {
        buf_add(out, answer.records.data, answer.records.size);
        if (forget)
            journal_forget(daemon->journal, clock);
    }
    buf_done(&answer.records);
    return MIN(r, 0);
}

static int answer(struct watchd *daemon, const char *line, struct buf *out, struct snap_err *err) {
    static const char kept[] = "kept ", since[] = "since ";
    if (!strncmp(line, kept, strlen(kept)))
        return answer_changes(daemon, line + strlen(kept), true, out, err);
    if (!strncmp(line, since, strlen(since)))
        return answer_changes(daemon, line + strlen(since), false, out, err);
    daemon->stop |= !strcmp(line, "stop");
    add_state(daemon, false, out);
    return 0;
}

/* The socket. */

static int read_line(int fd, char line[static 128]) {
    size_t size = 0;
    while (size < 127) {
        ssize_t got = recv(fd, line + size, 1, 0);
        if (got <= 0)
            return got < 0 ? -errno : -EPIPE;
        if (line[size] == '\n') {
            line[size] = '\0';
            return 0;
        }
        size++;
    }
    return -EMSGSIZE;
}

static void send_all(int fd, const struct buf *out) {
    for (size_t sent = 0; sent < out->size;) {
        ssize_t got = send(fd, out->data + sent, out->size - sent, MSG_NOSIGNAL);
        if (got <= 0)
            return;
        sent += (size_t)got;
    }
}

/* Whoever cannot say or hear in time is left alone. A failure is one of the watching. */
static int serve(struct watchd *daemon, int client, struct snap_err *err) {
    const struct timeval patience = { .tv_sec = PATIENCE_S };
    char line[128];
    _buf_ struct buf out = {0};
    if (setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0
        || setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 || read_line(client, line) < 0)
        return 0;
    int r = catch_up(daemon, err);
    if (r == 0 && (r = answer(daemon, line, &out, err)) == 0 && !out.failed)
        send_all(client, &out);
    return r;
}

void watchd_address(struct store *store, struct sockaddr_un *ret) {
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", store_run_fd(store), WATCHD_SOCKET);
}

static int listen_at(struct watchd *daemon, struct snap_err *err) {
    int run = store_run_fd(daemon->project->store);
    struct sockaddr_un address;
    watchd_address(daemon->project->store, &address);
    if (unlinkat(run, WATCHD_SOCKET, 0) < 0 && errno != ENOENT)
        return err_errno(err, -errno, "cannot remove an old socket from the store");
    daemon->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (daemon->listener < 0 || bind(daemon->listener, (const struct sockaddr *)&address, sizeof(address)) < 0
        || listen(daemon->listener, 16) < 0)
        return err_errno(err, -errno, "cannot listen in the store");
    return 0;
}

static int take_lock(struct watchd *daemon, struct snap_err *err) {
    daemon->lock = openat(store_run_fd(daemon->project->store), WATCHD_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (daemon->lock < 0)
        return err_errno(err, -errno, "cannot open '%s' in the store", WATCHD_LOCK);
    if (flock(daemon->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return err_errno(err, -errno, "cannot lock '%s' in the store", WATCHD_LOCK);
    err_set(err, -EBUSY, "'%s' is being watched already", daemon->project->info.root);
    return err_hint(err, "see: snapctl watch status");
}

static bool store_is_gone(const struct watchd *daemon) {
    struct stat stat;
    return fstat(store_run_fd(daemon->project->store), &stat) < 0 || stat.st_nlink == 0;
}

static int watch_on(struct watchd *daemon, struct snap_err *err) {
    while (!daemon->stop && !project_cancelled(daemon->project) && !store_is_gone(daemon)) {
        struct pollfd wait[] = { { .fd = watch_fd(daemon->watch), .events = POLLIN }, { .fd = daemon->listener, .events = POLLIN } };
        if (poll(wait, 2, 60 * 1000) < 0) {
            if (errno == EINTR)
                continue;
            return err_errno(err, -errno, "cannot wait for changes");
        }
        int r = wait[0].revents ? catch_up(daemon, err) : 0;
        _close_ int client = wait[1].revents ? accept4(daemon->listener, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (r == 0 && client >= 0)
            r = serve(daemon, client, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int watchd_run(struct snap_project *project, enum watch_backend backend, void (*ready)(void *data), void *data, struct snap_err *err) {
    _cleanup_(watchd_done) struct watchd daemon = { .project = project, .backend = backend, .listener = -1, .lock = -1,
                                                       .mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC), .since = time(NULL) };
    int r = take_lock(&daemon, err);
    if (r == 0 && (r = journal_new(&daemon.journal)) < 0)
        err_errno(err, r, "cannot begin a journal");
    (void)mountinfo_below(project->info.root, &daemon.mounted);
    if (r < 0 || (r = start_watching(&daemon, err)) < 0 || (r = listen_at(&daemon, err)) < 0)
        return r;
    if (ready)
        ready(data);
    return watch_on(&daemon, err);
}
