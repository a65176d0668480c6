/* The threads that answer. There is always one that waits for the next request while the limit allows: a copy-up, an fsync or a
 * slow disk holds up nobody else. None is started for a client that does one thing after the other but the second.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

__thread struct worker *current;

static int start_worker(struct mount *mount);

void loop_end(struct mount *mount, int failure) {
    fuse_session_exit(mount->session);
    pthread_mutex_lock(&mount->lock);
    if (failure < 0 && mount->failure == 0)
        mount->failure = failure;
    pthread_mutex_unlock(&mount->lock);
    (void)eventfd_write(mount->end_event, 1);     /* cannot fail below 2^64 ends */
}

void *reply_room(void) {
    if (!current->reply)
        current->reply = malloc(REPLY_ROOM);
    return current->reply;
}

/* A burst of forgets is no reason for more threads. */
static bool is_forget(const struct fuse_buf *request) {
    const struct fuse_in_header *header = request->mem;
    return !(request->flags & FUSE_BUF_IS_FD) && (header->opcode == FUSE_FORGET || header->opcode == FUSE_BATCH_FORGET);
}

static void leave_idle(struct mount *mount) {
    pthread_mutex_lock(&mount->lock);
    mount->idle--;
    if (mount->idle == 0 && mount->worker_count < mount->worker_limit && !mount->stop)
        (void)start_worker(mount);                /* fails: the others go on */
    pthread_mutex_unlock(&mount->lock);
}

static void join_idle(struct mount *mount) {
    pthread_mutex_lock(&mount->lock);
    mount->idle++;
    pthread_mutex_unlock(&mount->lock);
}

void loop_step_aside(struct mount *mount, bool begin) {
    pthread_mutex_lock(&mount->lock);
    mount->worker_limit += begin ? 1 : -1U;
    if (begin && mount->idle == 0 && !mount->stop)
        (void)start_worker(mount);
    pthread_mutex_unlock(&mount->lock);
}

static void answer(struct mount *mount, const struct fuse_buf *request) {
    if (!answer_raw(mount, request))
        fuse_session_process_buf(mount->session, request);
}

static int receive(struct worker *worker) {
    int old;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
    int r = fuse_session_receive_buf(worker->mount->session, &worker->request);
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    return r;
}

static void *work(void *data) {
    struct worker *worker = data;
    struct mount *mount = worker->mount;
    int old, r = 1;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    current = worker;
    while (!fuse_session_exited(mount->session)) {
        r = receive(worker);
        if (r == -EINTR || r == -EAGAIN)
            continue;
        if (r <= 0)
            break;
        bool counts = !is_forget(&worker->request);
        if (counts)
            leave_idle(mount);
        answer(mount, &worker->request);
        if (counts)
            join_idle(mount);
    }
    loop_end(mount, r < 0 ? r : 0);
    return NULL;
}

static struct worker *free_worker(struct worker *worker) {
    struct worker *next = worker->next;
    free(worker->request.mem);
    free(worker->reply);
    free(worker);
    return next;
}

static int create_thread(struct worker *worker) {
    sigset_t all, old;
    (void)sigfillset(&all);
    int r = pthread_sigmask(SIG_SETMASK, &all, &old);
    if (r == 0) {
        r = pthread_create(&worker->thread, NULL, work, worker);
        (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    return -r;
}

/* Under the lock. */
static int start_worker(struct mount *mount) {
    struct worker *worker = calloc(1, sizeof(*worker));
    if (!worker)
        return -ENOMEM;
    worker->mount = mount;
    int r = create_thread(worker);
    if (r < 0) {
        free(worker);
        return r;
    }
    worker->next = mount->workers;
    mount->workers = worker;
    mount->worker_count++;
    mount->idle++;
    return 0;
}

int loop_start(struct mount *mount, struct snap_err *err) {
    pthread_mutex_lock(&mount->lock);
    int r = start_worker(mount);
    pthread_mutex_unlock(&mount->lock);
    return r < 0 ? err_errno(err, r, "cannot start a thread") : 0;
}

void loop_join(struct mount *mount) {
    pthread_mutex_lock(&mount->lock);
    mount->stop = true;                           /* no more are started */
    struct worker *worker = mount->workers;
    pthread_mutex_unlock(&mount->lock);
    fuse_session_exit(mount->session);
    while (worker) {
        (void)pthread_cancel(worker->thread);     /* only one that waits for a request is cancelled */
        (void)pthread_join(worker->thread, NULL);
        worker = free_worker(worker);
    }
    mount->workers = NULL;
}
