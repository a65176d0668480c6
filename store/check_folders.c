/* Whatever lies in a store and belongs to nothing, and what belongs there and is missing.
 * Looks at names alone. SPDX-License-Identifier: GPL-2.0-or-later */
#include "check.h"

#include "db.h"
#include "index_rows.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct teller { damage_fn fn; void *data; };

typedef int (*name_in_fn)(void *data, const char *name);

static int each_name(int parent, const char *folder, name_in_fn fn, void *data) {
    int fd = openat(parent, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int code = -errno;
        fd_close(fd);
        return code;
    }
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir)); errno = 0) {
        int r = strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") ? fn(data, entry->d_name) : 0;
        if (r < 0)
            return r;
    }
    return -errno;
}

/* The number that a name is, as it is written; 0 = none. */
static int64_t number_of(const char *name) {
    char again[24];
    char *end = NULL;
    errno = 0;
    long long number = strtoll(name, &end, 10);
    if (errno || end == name || *end || number <= 0)
        return 0;
    snprintf(again, sizeof(again), "%lld", number);
    return strcmp(again, name) == 0 ? number : 0;
}

/* Layers. */

struct numbers { int64_t *at; size_t count, room; };

static int add_number(void *data, const char *name) {
    struct numbers *numbers = data;
    int64_t number = number_of(name);
    if (!number)
        return 0;
    if (MAKE_ROOM(numbers->at, numbers->count, numbers->room) < 0)
        return -ENOMEM;
    numbers->at[numbers->count++] = number;
    return 0;
}

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int check_layers(struct store *store, int64_t **ret, size_t *ret_count, struct snap_err *err) {
    struct numbers numbers = {0};
    int r = each_name(store_layers_fd(store), ".", add_number, &numbers);
    if (r < 0) {
        free(numbers.at);
        return err_path(err, r, store_path(store), "list the layers of the store");
    }
    if (numbers.count)
        qsort(numbers.at, numbers.count, sizeof(*numbers.at), by_number);
    *ret = numbers.at;
    *ret_count = numbers.count;
    return 0;
}

/* Folders. */

static int tell(const struct teller *teller, enum damage_kind kind, const char *folder, const char *name, const char *text) {
    _buf_ struct buf file = {0};
    buf_fmt(&file, "%s%s%s", folder, *folder ? "/" : "", name);
    if (file.failed)
        return -ENOMEM;
    return teller->fn(teller->data, &(struct damage){ .kind = kind, .file = file.data, .text = text });
}

static int foreign_layer(void *data, const char *name) {
    return number_of(name) ? 0 : tell(data, DAMAGE_FOREIGN, "layers", name, "is no layer");
}

static int left_in_work(void *data, const char *name) {
    return tell(data, DAMAGE_LEFTOVER, "work", name, "is left over from a command that is over");
}

static int foreign_in_store(void *data, const char *name) {
    static const char *const ours[] = {
        "store.db", "store.db-wal", "store.db-shm", "layers", "work", "run", "held", "workspaces", "lost+found",
    };
    for (size_t i = 0; i < ELEMENTS(ours); i++)
        if (strcmp(name, ours[i]) == 0)
            return 0;
    if (strncmp(name, "store.db.damaged-", strlen("store.db.damaged-")) == 0)
        return 0;
    return tell(data, DAMAGE_FOREIGN, "", name, "is nothing of the store's");
}

/* What operations displaced and may give back. */

struct held { struct teller teller; struct store *store; struct snap_err *err; };

static int check_held(void *data, const char *name) {
    struct held *held = data;
    int64_t id = number_of(name);
    _statement_ struct db_statement row = {0};
    int r = id ? db_bind(&row, held->store, held->err, "SELECT 1 FROM operation WHERE id = ?", "i", id) : 0;
    if (r == 0 && id)
        r = db_step(&row, held->err);
    if (r != 0)
        return MIN(r, 0);
    return tell(&held->teller, id ? DAMAGE_LEFTOVER : DAMAGE_FOREIGN, "held", name, "belongs to no operation");
}

int check_folders(struct store *store, bool idle, damage_fn fn, void *data, struct snap_err *err) {
    struct held held = { .teller = { fn, data }, .store = store, .err = err };
    int r = each_name(store_fd(store), ".", foreign_in_store, &held.teller);
    if (r >= 0)
        r = each_name(store_layers_fd(store), ".", foreign_layer, &held.teller);
    if (r >= 0 && idle)
        r = each_name(store_work_fd(store), ".", left_in_work, &held.teller);
    if (r >= 0 && store_database(store))
        r = each_name(store_fd(store), "held", check_held, &held);
    if (r == -ENOENT)
        r = 0;                               /* nothing was ever held */
    return r < 0 && !(err && err->code == r) ? err_path(err, r, store_path(store), "look through the store") : MIN(r, 0);
}
