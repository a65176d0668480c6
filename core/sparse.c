/* A scan that looks at nothing but what a watcher told, and at what no watcher can vouch for.
 *
 * The watcher names paths; the walk follows them from the root and takes everything beside them to be as recorded. What it
 * cannot know makes it look further: a directory that came from elsewhere is looked through, and where an inode has several names
 * and one of them is new, so is everything. Cost: the paths told, and the records of the directories on the way.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "sweep.h"
#include <string.h>

static char unseen, seen;                 /* values of scan.doubts */

/* Records. */

int scan_records(struct scan *scan, int64_t dir, const struct live_dir **ret) {
    pthread_mutex_lock(&scan->lock);
    const struct live_dir *records = map_get(scan->records, &dir, sizeof(dir));
    pthread_mutex_unlock(&scan->lock);
    int r = 0;
    if (!records && dir < scan->first_object) {
        pthread_mutex_lock(&scan->query);
        r = live_load_dir(scan->live, scan->store, dir, &records, NULL);
        pthread_mutex_unlock(&scan->query);
    }
    if (r == 0)
        *ret = records;
    return r;
}

/* Doubts. */

static void add_doubt(struct scan *scan, const char *path, bool is) {
    size_t size = strlen(path);
    pthread_mutex_lock(&scan->lock);
    if (!is)
        (void)map_remove(scan->doubts, path, size);
    else if (map_put(scan->doubts, path, size, &seen, NULL) < 0)
        scan->needs_all = true;           /* then no clock is kept */
    pthread_mutex_unlock(&scan->lock);
}

static bool is_doubtful(const struct found *found) {
    return found->state != FOUND_LEFT_OUT && found->flags & (LIVE_HOT | LIVE_AHEAD | LIVE_GONE | LIVE_LINKED | LIVE_UNREAD);
}

void scan_doubt(struct scan *scan, const struct scan_dir *dir) {
    if (!scan->watching)
        return;
    for (size_t i = 0; dir->found && i < dir->count; i++) {
        bool doubtful = is_doubtful(&dir->found[i]);
        if (!doubtful && !scan->touched)
            continue;                     /* nothing was noted of it before */
        _buf_ struct buf path = {0};
        if (dir->id)
            dir_path(dir->at, dir->found[i].name, &path);
        if (path.failed)
            scan->needs_all = true;
        else
            add_doubt(scan, path.data ? path.data : "", doubtful);
    }
}

static int touch(struct scan *scan, const char *path) {
    struct touched *touched = touched_at(scan->watching->root, path, NULL);
    if (!touched)
        return -ENOMEM;
    touched->itself = true;
    return 0;
}

static int take_doubt(void *data, const char *path) {
    struct scan *scan = data;
    int r = map_put(scan->doubts, path, strlen(path), &unseen, NULL);
    return r < 0 ? r : touch(scan, path);
}

/* Names of one inode have to be looked at together in every round. */
static int touch_doubts(struct scan *scan) {
    int r = 0;
    for (struct map_iter i = {0}; r == 0 && map_next(scan->doubts, &i);) {
        _free_ char *path = strndup(i.key, i.key_size);
        r = path ? touch(scan, path) : -ENOMEM;
    }
    return r;
}

/* Beginning and ending. */

int sparse_begin(struct scan *scan, struct snap_err *err) {
    scan->doubts = map_new();
    int r = scan->doubts ? watching_ask(scan->project, NULL, &scan->watching, err) : err_nomem(err);
    if (r < 0)
        return r;
    if (!scan->watching || !scan->watching->root)
        return live_load(scan->store, &scan->live, err);
    if ((r = live_open(&scan->live)) < 0 || (r = live_doubts(scan->store, take_doubt, scan, err)) < 0)
        return r == -ENOMEM ? err_nomem(err) : r;
    scan->touched = scan->watching->root;
    return 0;
}

static void forget_inodes(struct scan *scan) {
    scan->moved_dirs = map_free(scan->moved_dirs, free);
    scan->moved_files = map_free(scan->moved_files, free);
    scan->moved_links = map_free(scan->moved_links, free);
}

int sparse_end(struct scan *scan, struct snap_err *err) {
    scan->touched = NULL;
    map_free(scan->doubts, NULL);
    scan->doubts = map_new();
    forget_inodes(scan);
    if (!scan->doubts)
        return err_nomem(err);
    if (scan->live_before)                /* all of it was loaded at the first time */
        return 0;
    scan->live_before = TAKE_PTR(scan->live);
    return live_load(scan->store, &scan->live, err);
}

int sparse_again(struct scan *scan, struct snap_err *err) {
    struct watching *answer = NULL;
    if (!scan->watching)
        return 0;
    int r = watching_ask(scan->project, scan->watching->clock, &answer, err);
    if (r < 0)
        return r;
    watching_free(scan->watching);
    scan->watching = answer;
    bool known = answer && answer->root && !scan->needs_all;
    if (scan->touched && !known)
        return sparse_end(scan, err);
    scan->touched = known ? answer->root : NULL;
    if (!known)
        return 0;
    forget_inodes(scan);
    return touch_doubts(scan) < 0 ? err_nomem(err) : 0;
}


/* What is kept for the next scan. */

struct keeping { struct scan *scan; struct buf gone; };

static int note_gone(void *data, const char *path) {
    struct keeping *keeping = data;
    if (map_remove(keeping->scan->doubts, path, strlen(path)) != &seen)
        buf_add(&keeping->gone, path, strlen(path) + 1);
    return keeping->gone.failed;
}

/* Afterwards scan->doubts has those alone that are new. */
static int keep_doubts(struct scan *scan, struct snap_err *err) {
    struct keeping keeping = { .scan = scan };
    int r = live_doubts(scan->store, note_gone, &keeping, err);
    for (const char *path = keeping.gone.data; r == 0 && path && path < keeping.gone.data + keeping.gone.size; path += strlen(path) + 1)
        r = live_set_doubt(scan->store, path, false, err);
    buf_done(&keeping.gone);
    for (struct map_iter i = {0}; r == 0 && map_next(scan->doubts, &i);) {
        _free_ char *path = i.value == &seen ? strndup(i.key, i.key_size) : NULL;
        r = path ? live_set_doubt(scan->store, path, true, err) : i.value == &seen ? err_nomem(err) : 0;
    }
    return r;
}

int sparse_keep(struct scan *scan, struct snap_err *err) {
    if (!scan->watching || scan->needs_all)
        return live_set_clock(scan->store, NULL, err);
    int r = keep_doubts(scan, err);
    return r < 0 ? r : live_set_clock(scan->store, scan->watching->clock, err);
}
