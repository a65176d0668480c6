/* The threads that answer.
 *
 * Waking another processor for a request costs more than most answers do, so one thread reads and answers as long as that goes fast; the
 * others are parked. A watch looks every millisecond: no request was finished meanwhile and nobody waits for the next (a copy-up,
 * an fsync, a slow disk): it calls another thread. All that read are busy all the time: it calls one for good. Who finishes and
 * finds enough others waiting parks. SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

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

/* Under the lock: one thread more. */
static void call_one(struct mount *mount) {
    if (mount->stop)
        return;
    if (mount->parked > mount->promoted) {
        mount->promoted++;
        (void)pthread_cond_signal(&mount->call);
    } else if (mount->worker_count < mount->worker_limit) {
        (void)start_worker(mount);                /* fails: the others go on */
    }
}

static void park(struct mount *mount) {
    pthread_mutex_lock(&mount->lock);
    mount->parked++;
    while (mount->promoted == 0 && !mount->stop)
        (void)pthread_cond_wait(&mount->call, &mount->lock);
    mount->promoted -= mount->promoted > 0;
    mount->parked--;
    pthread_mutex_unlock(&mount->lock);
}

void loop_step_aside(struct mount *mount, bool begin) {
    pthread_mutex_lock(&mount->lock);
    mount->worker_limit += begin ? 1 : -1U;
    if (begin && atomic_load(&mount->reading) == 0)
        call_one(mount);
    pthread_mutex_unlock(&mount->lock);
}

static void answer(struct mount *mount, const struct fuse_buf *request) {
    if (mount->follow)
        overlay_asked_by((pid_t)((const struct fuse_in_header *)request->mem)->pid);
    bool entered = gate_enter(mount, ((const struct fuse_in_header *)request->mem)->opcode);
    if (!answer_raw(mount, request))
        fuse_session_process_buf(mount->session, request);
    if (entered)
        gate_leave(mount);
}

static int receive(struct worker *worker) {
    struct mount *mount = worker->mount;
    atomic_fetch_add(&mount->reading, 1);
    int r = fuse_session_receive_buf(mount->session, &worker->request);
    atomic_fetch_sub(&mount->reading, 1);
    return r;
}

static void wake_watch(struct mount *mount) {
    if (!atomic_load_explicit(&mount->watch_sleeps, memory_order_relaxed))
        return;
    pthread_mutex_lock(&mount->lock);
    (void)pthread_cond_signal(&mount->wake);
    pthread_mutex_unlock(&mount->lock);
}

static void *work(void *data) {
    struct worker *worker = data;
    struct mount *mount = worker->mount;
    int r = 1;
    current = worker;
    while (!fuse_session_exited(mount->session)) {
        r = receive(worker);
        if (r == -EINTR || r == -EAGAIN)
            continue;
        if (r <= 0)
            break;
        wake_watch(mount);
        answer(mount, &worker->request);
        atomic_fetch_add(&mount->done, 1);
        if (atomic_load(&mount->reading) >= atomic_load(&mount->wanted))
            park(mount);
    }
    loop_end(mount, r < 0 ? r : 0);
    return NULL;
}

/* The watch. */

enum { TICK_NS = 1000000, SATURATED_TICKS = 5, IDLE_TICKS = 50 };

struct look {                                     /* what was seen at the last tick */
    unsigned done;
    unsigned saturated, idle;                     /* ticks in a row */
};

static unsigned readers_most(void) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 4 ? 1 : processors > 16 ? 8 : (unsigned)processors / 2;
}

static void look(struct mount *mount, struct look *last) {
    unsigned done = atomic_load(&mount->done), reading = atomic_load(&mount->reading), wanted = atomic_load(&mount->wanted);
    bool moved = done != last->done;
    last->done = done;
    last->saturated = reading == 0 && moved ? last->saturated + 1 : 0;
    last->idle = moved || reading == 0 ? 0 : last->idle + 1;
    if (reading == 0 && !moved)
        call_one(mount);
    if (last->saturated >= SATURATED_TICKS && wanted < readers_most()) {
        atomic_store(&mount->wanted, wanted + 1);
        last->saturated = 0;
        call_one(mount);
    }
    if (reading > 1 && wanted > 1)
        atomic_store(&mount->wanted, wanted - 1);
}

static void *watch(void *data) {
    struct mount *mount = data;
    struct look last = {0};
    pthread_mutex_lock(&mount->lock);
    while (!mount->stop) {
        if (last.idle > IDLE_TICKS) {
            atomic_store(&mount->watch_sleeps, true);
            (void)pthread_cond_wait(&mount->wake, &mount->lock);
            atomic_store(&mount->watch_sleeps, false);
            last.idle = 0;
        }
        pthread_mutex_unlock(&mount->lock);
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = TICK_NS }, NULL);
        pthread_mutex_lock(&mount->lock);
        look(mount, &last);
    }
    pthread_mutex_unlock(&mount->lock);
    return NULL;
}

static struct worker *free_worker(struct worker *worker) {
    struct worker *next = worker->next;
    free(worker->request.mem);
    free(worker->reply);
    free(worker);
    return next;
}

int loop_create_thread(pthread_t *thread, void *(*run)(void *), void *data) {
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGURG);
    int r = pthread_sigmask(SIG_SETMASK, &all, &old);
    if (r == 0) {
        r = pthread_create(thread, NULL, run, data);
        (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    return -r;
}

static void interrupt(int number) { (void)number; }

/* SIGURG, which is ignored otherwise, ends the wait for a request. It may come just before the wait: until the thread has ended. */
static void end_worker(struct worker *worker) {
    struct timespec until;
    do {
        (void)pthread_kill(worker->thread, SIGURG);
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 10 * TICK_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
    } while (pthread_timedjoin_np(worker->thread, NULL, &until) == ETIMEDOUT);
}

/* Under the lock. */
static int start_worker(struct mount *mount) {
    struct worker *worker = calloc(1, sizeof(*worker));
    if (!worker)
        return -ENOMEM;
    worker->mount = mount;
    int r = loop_create_thread(&worker->thread, work, worker);
    if (r < 0) {
        free(worker);
        return r;
    }
    worker->next = mount->workers;
    mount->workers = worker;
    mount->worker_count++;
    return 0;
}

int loop_start(struct mount *mount, struct snap_err *err) {
    atomic_store(&mount->wanted, 1);
    pthread_mutex_lock(&mount->lock);
    int r = start_worker(mount);
    pthread_mutex_unlock(&mount->lock);
    if (r == 0)
        r = loop_create_thread(&mount->watch, watch, mount);
    mount->watched = r == 0;
    return r < 0 ? err_errno(err, r, "cannot start a thread") : 0;
}

void loop_join(struct mount *mount) {
    pthread_mutex_lock(&mount->lock);
    gate_end(mount);
    mount->stop = true;                           /* no more are started */
    struct worker *worker = mount->workers;
    (void)pthread_cond_broadcast(&mount->call);
    (void)pthread_cond_broadcast(&mount->wake);
    pthread_mutex_unlock(&mount->lock);
    fuse_session_exit(mount->session);
    struct sigaction action = { .sa_handler = interrupt }, before;
    if (sigaction(SIGURG, &action, &before) < 0)
        return;                                   /* cannot happen: the signal exists */
    while (worker) {
        end_worker(worker);
        worker = free_worker(worker);
    }
    (void)sigaction(SIGURG, &before, NULL);
    mount->workers = NULL;
    if (mount->watched)
        (void)pthread_join(mount->watch, NULL);
    mount->watched = false;
}
