/* The table of records. Knows nothing of nodes. SPDX-License-Identifier: GPL-2.0-or-later */
#include "records.h"

#include "map.h"

#include <pthread.h>

struct records {
    pthread_mutex_t mutex;
    struct map *by_upper;
};

static void lock(struct records *records) {
    if (pthread_mutex_lock(&records->mutex) != 0)
        abort();
}

static void unlock(struct records *records) {
    if (pthread_mutex_unlock(&records->mutex) != 0)
        abort();
}

int records_open(struct records **ret) {
    _free_ struct records *records = calloc(1, sizeof(*records));
    struct map *by_upper = records ? map_new() : NULL;
    if (!by_upper)
        return -ENOMEM;
    int r = pthread_mutex_init(&records->mutex, NULL);
    if (r != 0) {
        (void)map_free(by_upper, NULL);
        return -r;
    }
    records->by_upper = by_upper;
    *ret = TAKE_PTR(records);
    return 0;
}

struct records *records_close(struct records *records) {
    if (!records)
        return NULL;
    (void)map_free(records->by_upper, free);
    (void)pthread_mutex_destroy(&records->mutex);
    free(records);
    return NULL;
}

bool records_find(struct records *records, uint64_t upper, struct record *ret) {
    if (!records)
        return false;
    lock(records);
    struct record *record = map_get(records->by_upper, &upper, sizeof(upper));
    if (record)
        *ret = *record;
    unlock(records);
    return record;
}

int records_put(struct records *records, const struct record *record) {
    struct record *kept = malloc(sizeof(*kept)), *old = NULL;
    if (!kept)
        return -ENOMEM;
    *kept = *record;
    lock(records);
    int r = map_put(records->by_upper, &kept->upper, sizeof(kept->upper), kept, (void **)&old);
    unlock(records);
    free(r < 0 ? kept : old);
    return r < 0 ? r : 0;
}

void records_drop(struct records *records, uint64_t upper) {
    lock(records);
    struct record *record = map_remove(records->by_upper, &upper, sizeof(upper));
    unlock(records);
    free(record);
}

size_t records_count(struct records *records) {
    if (!records)
        return 0;
    lock(records);
    size_t count = map_count(records->by_upper);
    unlock(records);
    return count;
}
