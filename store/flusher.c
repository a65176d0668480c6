/* A thread that flushes the store's file system each time enough was written. The first failure stays: the kernel tells it once.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "flusher.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ENOUGH = 64 << 20 };

struct flusher {
    struct store *store;
    atomic_uint_fast64_t written;         /* since the last flush began */
    pthread_t thread;
    pthread_mutex_t lock;                 /* what follows. A leaf */
    pthread_cond_t changed;
    bool wanted, busy, stop;
    bool started;
    int result;
    struct snap_err err;
};

static void flush(struct flusher *flusher) {
    struct snap_err err = {0};
    flusher->wanted = false;
    flusher->busy = true;
    atomic_store(&flusher->written, 0);
    pthread_mutex_unlock(&flusher->lock);
    int r = store_flush(flusher->store, &err);
    pthread_mutex_lock(&flusher->lock);
    flusher->busy = false;
    if (r < 0 && flusher->result == 0) {
        flusher->result = r;
        flusher->err = err;
    }
    (void)pthread_cond_broadcast(&flusher->changed);
}

static void *run(void *data) {
    struct flusher *flusher = data;
    pthread_mutex_lock(&flusher->lock);
    while (!flusher->stop) {
        if (flusher->wanted)
            flush(flusher);
        else
            (void)pthread_cond_wait(&flusher->changed, &flusher->lock);
    }
    pthread_mutex_unlock(&flusher->lock);
    return NULL;
}

struct flusher *flusher_new(struct store *store) {
    struct flusher *flusher = calloc(1, sizeof(*flusher));
    if (flusher)
        *flusher = (struct flusher){ .store = store, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
    return flusher;
}

struct flusher *flusher_free(struct flusher *flusher) {
    if (!flusher)
        return NULL;
    pthread_mutex_lock(&flusher->lock);
    flusher->stop = true;
    (void)pthread_cond_broadcast(&flusher->changed);
    pthread_mutex_unlock(&flusher->lock);
    if (flusher->started)
        (void)pthread_join(flusher->thread, NULL);
    free(flusher);
    return NULL;
}

void flusher_begin(struct flusher *flusher) {
    if (!flusher)
        return;
    pthread_mutex_lock(&flusher->lock);
    if (!flusher->started)
        flusher->started = pthread_create(&flusher->thread, NULL, run, flusher) == 0;
    flusher->wanted = flusher->started;       /* without a thread nothing is early; the last flush is not this one's */
    (void)pthread_cond_broadcast(&flusher->changed);
    pthread_mutex_unlock(&flusher->lock);
}

void flusher_wrote(struct flusher *flusher, uint64_t bytes) {
    if (flusher && atomic_fetch_add(&flusher->written, bytes) + bytes >= ENOUGH)
        flusher_begin(flusher);
}

int flusher_wait(struct flusher *flusher, struct snap_err *err) {
    if (!flusher)
        return 0;
    pthread_mutex_lock(&flusher->lock);
    while (flusher->wanted || flusher->busy)
        (void)pthread_cond_wait(&flusher->changed, &flusher->lock);
    int r = flusher->result;
    if (r < 0 && err)
        *err = flusher->err;
    pthread_mutex_unlock(&flusher->lock);
    return r;
}
