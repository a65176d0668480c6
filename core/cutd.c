/* The cut, as the server of a workspace does it. Knows nothing of layers. SPDX-License-Identifier: GPL-2.0-or-later */
#include "cutd.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

struct cutd {
    struct store *store;
    int64_t id;                /* of the record */
    struct mount *mount;
    int listener, stop;
    pthread_t thread;
    bool running;
};

static bool say(int client, const char *word) {
    return send(client, word, strlen(word), MSG_NOSIGNAL) == (ssize_t)strlen(word);
}

/* Whether the other side says this word, and nothing else, in time. */
static bool hear(const struct cutd *cutd, int client, const char *word, int timeout_ms) {
    char heard[16];
    size_t size = 0;
    while (size < strlen(word)) {
        struct pollfd polled[2] = { { .fd = client, .events = POLLIN }, { .fd = cutd->stop, .events = POLLIN } };
        int n = poll(polled, 2, timeout_ms);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || polled[1].revents)
            return false;
        ssize_t got = recv(client, heard + size, strlen(word) - size, 0);
        if (got <= 0)
            return false;
        size += (size_t)got;
    }
    return memcmp(heard, word, size) == 0;
}

static void serve(struct cutd *cutd, int client) {
    if (!hear(cutd, client, CUT_HOLD, 1000 * CUT_PATIENCE_S) || mount_hold(cutd->mount) < 0)
        return;
    bool released = say(client, CUT_HELD) && hear(cutd, client, CUT_RELEASE, 1000 * CUT_PATIENCE_S);
    mount_release(cutd->mount);
    if (released)
        (void)say(client, CUT_RELEASED);      /* who does not hear it takes it for a failure */
}

static void *run(void *data) {
    struct cutd *cutd = data;
    for (;;) {
        struct pollfd polled[2] = { { .fd = cutd->listener, .events = POLLIN }, { .fd = cutd->stop, .events = POLLIN } };
        if (poll(polled, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (polled[1].revents)
            return NULL;
        int client = polled[0].revents ? accept4(cutd->listener, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (client < 0)
            continue;
        serve(cutd, client);
        (void)fd_close(client);
    }
}

static int start_thread(struct cutd *cutd) {
    sigset_t all, old;
    (void)sigfillset(&all);
    int r = pthread_sigmask(SIG_SETMASK, &all, &old);
    if (r == 0) {
        r = pthread_create(&cutd->thread, NULL, run, cutd);
        (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    cutd->running = r == 0;
    return -r;
}

static int listen_at(struct cutd *cutd) {
    struct sockaddr_un address;
    _close_ int folder = mounted_address(cutd->store, cutd->id, &address);
    if (folder < 0)
        return folder;
    if (unlink(address.sun_path) < 0 && errno != ENOENT)
        return -errno;
    cutd->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (cutd->listener < 0 || bind(cutd->listener, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(cutd->listener, 4) < 0)
        return -errno;
    return 0;
}

int cutd_start(struct store *store, const struct mounted *mounted, struct mount *mount, struct cutd **ret, struct snap_err *err) {
    struct cutd *cutd = calloc(1, sizeof(*cutd));
    if (!cutd)
        return err_nomem(err);
    *cutd = (struct cutd){ .store = store, .id = mounted->id, .mount = mount, .listener = -1, .stop = eventfd(0, EFD_CLOEXEC) };
    int r = cutd->stop < 0 ? -errno : listen_at(cutd);
    if (r == 0)
        r = start_thread(cutd);
    if (r < 0) {
        (void)cutd_stop(cutd);
        return err_errno(err, r, "cannot listen for who captures the workspace");
    }
    *ret = cutd;
    return 0;
}

struct cutd *cutd_stop(struct cutd *cutd) {
    if (!cutd)
        return NULL;
    if (cutd->running) {
        (void)eventfd_write(cutd->stop, 1);
        (void)pthread_join(cutd->thread, NULL);
    }
    (void)fd_close(cutd->listener);
    (void)fd_close(cutd->stop);
    free(cutd);
    return NULL;
}
