/* Counting what is open. Memory: about 100 bytes and the name an open file. SPDX-License-Identifier: GPL-2.0-or-later */
#include "opened.h"
#include <string.h>
#include <sys/inotify.h>

struct file { struct watch_inode dir; unsigned count; char name[]; };

int opened_new(struct opened *ret) {
    *ret = (struct opened){ .files = map_new() };
    return ret->files ? 0 : -ENOMEM;
}

void opened_done(struct opened *opened) {
    opened->files = map_free(opened->files, free);
}

static void file_key(struct buf *key, struct watch_inode dir, const char *name) {
    buf_add(key, &dir, sizeof(dir));
    buf_str(key, name);
}

int opened_add(struct opened *opened, struct watch_inode dir, const char *name, unsigned count) {
    _buf_ struct buf key = {0};
    file_key(&key, dir, name);
    struct file *file = key.failed ? NULL : map_get(opened->files, key.data, key.size);
    if (file) {
        file->count += count;
        return 0;
    }
    file = key.failed ? NULL : malloc(sizeof(*file) + strlen(name) + 1);
    if (!file)
        return -ENOMEM;
    *file = (struct file){ .dir = dir, .count = count };
    strcpy(file->name, name);
    int r = map_put(opened->files, key.data, key.size, file, NULL);
    if (r < 0)
        free(file);
    return MIN(r, 0);
}

/* How often it was open, and is no more; `all`: whatever that was. */
static unsigned take_away(struct opened *opened, struct watch_inode dir, const char *name, bool all) {
    _buf_ struct buf key = {0};
    file_key(&key, dir, name);
    struct file *file = key.failed ? NULL : map_get(opened->files, key.data, key.size);
    if (!file)
        return 0;
    unsigned count = file->count;
    if (!all && --file->count > 0)
        return 0;
    free(map_remove(opened->files, key.data, key.size));
    return count;
}

int opened_note(struct opened *opened, struct watch_inode dir, const struct inotify_event *event) {
    uint32_t mask = event->mask;
    if (mask & IN_OPEN)
        return opened_add(opened, dir, event->name, 1);
    if (mask & (IN_CLOSE_WRITE | IN_CLOSE_NOWRITE))
        (void)take_away(opened, dir, event->name, false);
    if (mask & IN_MOVED_TO) {             /* what had the name before is gone */
        (void)take_away(opened, dir, event->name, true);
        if (opened->moving == event->cookie && opened->moving_count)
            return opened_add(opened, dir, event->name, opened->moving_count);
    }
    if (mask & (IN_MOVED_FROM | IN_DELETE)) {
        opened->moving_count = take_away(opened, dir, event->name, true);
        opened->moving = event->cookie;
    }
    return 0;
}

int opened_tell(const struct opened *opened, struct watch *watch) {
    int r = 0;
    for (struct map_iter i = {0}; r >= 0 && map_next(opened->files, &i);)
        r = watch_tell(watch, WATCH_ENTRY, ((const struct file *)i.value)->dir, ((const struct file *)i.value)->name);
    return r;
}

/* Two passes: nothing may be removed during one. */
int opened_drop(struct opened *opened, bool (*is_watched)(void *data, struct watch_inode dir), void *data) {
    _buf_ struct buf gone = {0};
    for (struct map_iter i = {0}; map_next(opened->files, &i);) {
        const struct file *file = i.value;
        if (!is_watched(data, file->dir))
            buf_add(&gone, &file, sizeof(file));
    }
    for (size_t at = 0; !gone.failed && at < gone.size; at += sizeof(const struct file *)) {
        const struct file *file;
        memcpy(&file, gone.data + at, sizeof(file));
        (void)take_away(opened, file->dir, file->name, true);
    }
    return gone.failed;
}
