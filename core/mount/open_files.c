/* Open files by object. A file in use is in the table only; one that is not, also in the list of the idle, newest first.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "open_files.h"

#include "map.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>

struct open_file {
    uint64_t node;
    struct overlay_handle *handle;
    unsigned users;
    bool writable;
    bool dropped;                         /* out of the table: closed with the last use */
    bool used;                            /* since the last open_files_take_used, and noted there */
    struct open_file *newer, *older;      /* among the idle */
};

struct open_files {
    struct overlay *overlay;
    unsigned budget;
    bool read_only;
    pthread_mutex_t lock;                 /* a leaf */
    struct map *by_node;
    struct map *used;                     /* objects: a set */
    struct open_file *newest, *oldest;
    unsigned idle;
};

struct open_files *open_files_new(struct overlay *overlay, unsigned budget, bool read_only) {
    struct open_files *files = calloc(1, sizeof(*files));
    struct map *by_node = files ? map_new() : NULL, *used = by_node ? map_new() : NULL;
    if (!used) {
        map_free(by_node, NULL);
        free(files);
        return NULL;
    }
    *files = (struct open_files){ .overlay = overlay, .budget = budget, .read_only = read_only, .by_node = by_node, .used = used,
                                  .lock = PTHREAD_MUTEX_INITIALIZER };
    return files;
}

static void close_file(struct open_files *files, struct open_file *file) {
    if (!file)
        return;
    overlay_release(files->overlay, file->handle);
    free(file);
}

struct open_files *open_files_free(struct open_files *files) {
    if (!files)
        return NULL;
    for (struct map_iter i = {0}; map_next(files->by_node, &i);)
        close_file(files, i.value);
    map_free(files->by_node, NULL);
    map_free(files->used, NULL);
    free(files);
    return NULL;
}

static void leave_idle(struct open_files *files, struct open_file *file) {
    *(file->newer ? &file->newer->older : &files->newest) = file->older;
    *(file->older ? &file->older->newer : &files->oldest) = file->newer;
    file->newer = file->older = NULL;
    files->idle--;
}

static void join_idle(struct open_files *files, struct open_file *file) {
    file->older = files->newest;
    *(files->newest ? &files->newest->newer : &files->oldest) = file;
    files->newest = file;
    files->idle++;
}

/* Out of the table: what is to be closed now, NULL = its last user will. */
static struct open_file *take_out(struct open_files *files, struct open_file *file) {
    (void)map_remove(files->by_node, &file->node, sizeof(file->node));
    file->dropped = true;
    if (file->users > 0)
        return NULL;
    leave_idle(files, file);
    return file;
}

/* Where nothing can be written, nobody asks. Without memory it stays unmarked, and the next request tries again. */
static void mark_used(struct open_files *files, struct open_file *file) {
    if (!file->used && !files->read_only)
        file->used = map_put(files->used, &file->node, sizeof(file->node), files, NULL) >= 0;
}

static struct open_file *find(struct open_files *files, uint64_t node, bool write) {
    struct open_file *file = map_get(files->by_node, &node, sizeof(node));
    if (!file || (write && !file->writable))
        return NULL;
    if (file->users++ == 0)
        leave_idle(files, file);
    mark_used(files, file);
    return file;
}

/* For both, where that is allowed, so that it need not be opened again for the first write. */
static int open_node(struct open_files *files, uint64_t node, bool write, struct overlay_handle **ret, bool *ret_writable) {
    *ret_writable = !files->read_only;
    int r = overlay_open_file(files->overlay, node, files->read_only ? O_RDONLY : O_RDWR, ret);
    if (r < 0 && !write && !files->read_only) {
        *ret_writable = false;
        r = overlay_open_file(files->overlay, node, O_RDONLY, ret);
    }
    return r;
}

/* Ours into the table, unless another thread's is there by now; *ret_useless is to be closed. */
static void add(struct open_files *files, struct open_file *ours, bool write, struct open_file **ret, struct open_file **ret_useless) {
    struct open_file *theirs = find(files, ours->node, write);
    if (theirs) {
        *ret_useless = ours;
        *ret = theirs;
        return;
    }
    struct open_file *old = map_get(files->by_node, &ours->node, sizeof(ours->node));
    mark_used(files, ours);
    if (old)
        *ret_useless = take_out(files, old);
    ours->dropped = map_put(files->by_node, &ours->node, sizeof(ours->node), ours, NULL) < 0;   /* no memory: for this use only */
    *ret = ours;
}

int open_file_get(struct open_files *files, uint64_t node, bool write, struct open_file **ret) {
    pthread_mutex_lock(&files->lock);
    struct open_file *file = find(files, node, write), *useless = NULL;
    pthread_mutex_unlock(&files->lock);
    if (file) {
        *ret = file;
        return 0;
    }
    struct open_file *ours = calloc(1, sizeof(*ours));
    if (!ours)
        return -ENOMEM;
    *ours = (struct open_file){ .node = node, .users = 1 };
    int r = open_node(files, node, write, &ours->handle, &ours->writable);
    if (r < 0) {
        free(ours);
        return r;
    }
    pthread_mutex_lock(&files->lock);
    add(files, ours, write, ret, &useless);
    pthread_mutex_unlock(&files->lock);
    close_file(files, useless);
    return 0;
}

void open_file_put(struct open_files *files, struct open_file *file) {
    struct open_file *closed = NULL;
    pthread_mutex_lock(&files->lock);
    if (--file->users == 0 && file->dropped)
        closed = file;
    else if (file->users == 0)
        join_idle(files, file);
    if (files->idle > files->budget)
        closed = take_out(files, files->oldest);
    pthread_mutex_unlock(&files->lock);
    close_file(files, closed);
}

int open_files_keep(struct open_files *files, uint64_t node, struct overlay_handle *handle) {
    struct open_file *ours = calloc(1, sizeof(*ours)), *file = NULL, *useless = NULL;
    if (!ours)
        return -ENOMEM;
    *ours = (struct open_file){ .node = node, .users = 1, .handle = handle, .writable = true };
    pthread_mutex_lock(&files->lock);
    add(files, ours, true, &file, &useless);
    pthread_mutex_unlock(&files->lock);
    close_file(files, useless);
    open_file_put(files, file);
    return 0;
}

struct overlay_handle *open_file_handle(const struct open_file *file) { return file->handle; }

void open_files_drop(struct open_files *files, uint64_t node) {
    pthread_mutex_lock(&files->lock);
    struct open_file *file = map_get(files->by_node, &node, sizeof(node));
    struct open_file *closed = file ? take_out(files, file) : NULL;
    (void)map_remove(files->used, &node, sizeof(node));        /* the kernel has no page of it any more */
    pthread_mutex_unlock(&files->lock);
    close_file(files, closed);
}

static int list_used(struct open_files *files, uint64_t **ret, size_t *ret_count) {
    uint64_t *nodes = calloc(map_count(files->used) + 1, sizeof(*nodes));
    struct map *fresh = nodes ? map_new() : NULL;
    if (!fresh) {
        free(nodes);
        return -ENOMEM;
    }
    for (struct map_iter i = {0}; map_next(files->used, &i);)
        memcpy(&nodes[(*ret_count)++], i.key, sizeof(*nodes));
    for (struct map_iter i = {0}; map_next(files->by_node, &i);)
        ((struct open_file *)i.value)->used = false;
    map_free(files->used, NULL);
    files->used = fresh;
    *ret = nodes;
    return 0;
}

int open_files_take_used(struct open_files *files, uint64_t **ret, size_t *ret_count) {
    pthread_mutex_lock(&files->lock);
    int r = list_used(files, ret, ret_count);
    pthread_mutex_unlock(&files->lock);
    return r;
}
