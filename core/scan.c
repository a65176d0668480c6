/* A scan: its rounds, its delta, and what others may ask it.
 * Opens no file of the project itself; walk.c and capture.c do. SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs.h"
#include "sweep.h"
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#define OPEN_DIRECTORIES 512

struct delta_row *scan_row(const struct scan *scan, int64_t dir, const char *name) {
    char key[ENTRY_KEY_MAX];
    return map_get(scan->delta, key, entry_key(key, dir, name));
}

static void delta_row_free(void *value) {
    struct delta_row *row = value;
    free((char *)(uintptr_t)row->entry.name);
    free(row->from_name);
    free(row);
}

static struct delta_row *delta_row_new(int64_t dir, const char *name, struct object *after, const struct delta_row *how) {
    struct delta_row *row = calloc(1, sizeof(*row));
    if (!row)
        return NULL;
    if (how)
        *row = *how;
    row->entry = (struct delta_entry){ .dir = dir, .name = strdup(name), .after = after };
    row->from_name = how && how->from_name ? strdup(how->from_name) : NULL;
    if (row->entry.name && (!how || !how->from_name || row->from_name))
        return row;
    delta_row_free(row);
    return NULL;
}

/* An earlier round's bytes that nobody wants any more. */
static int unstage(struct scan *scan, const struct delta_row *row) {
    _dir_ struct dir *stage = stage_dir(scan->stage, row->entry.dir);
    if (!stage)
        return -ENOMEM;
    int r = stage_remove(scan->stage, stage, row->entry.name);
    return r == -ENOENT ? 0 : r;
}

int scan_differ(struct scan *scan, int64_t dir, const char *name, struct object *after, const struct delta_row *how) {
    struct delta_row *row = delta_row_new(dir, name, after, how);
    if (!row)
        return -ENOMEM;
    char key[ENTRY_KEY_MAX];
    size_t size = entry_key(key, dir, name);
    void *old = NULL;
    pthread_mutex_lock(&scan->lock);
    int r = map_put(scan->delta, key, size, row, &old);
    if (r >= 0)
        scan->changed_this_round++;
    pthread_mutex_unlock(&scan->lock);
    if (r < 0) {
        delta_row_free(row);
        return r;
    }
    r = 0;
    if (old) {
        if (((struct delta_row *)old)->staged && !(how && how->staged))
            r = unstage(scan, old);
        delta_row_free(old);
    }
    return r;
}

/* The other way: this round said too early that a directory differs. */
static void agree(struct scan *scan, int64_t dir, const char *name) {
    char key[ENTRY_KEY_MAX];
    struct delta_row *row = map_remove(scan->delta, key, entry_key(key, dir, name));
    if (row)
        delta_row_free(row);
}

int scan_forget_lost(struct scan *scan) {
    struct delta_row **lost = calloc(map_count(scan->delta) + 1, sizeof(struct delta_row *));
    size_t count = 0;
    if (!lost)
        return -ENOMEM;
    for (struct map_iter i = {0}; map_next(scan->delta, &i);)
        if (!scan_has_dir(scan, ((struct delta_row *)i.value)->entry.dir))
            lost[count++] = i.value;
    for (size_t i = 0; i < count; i++)
        agree(scan, lost[i]->entry.dir, lost[i]->entry.name);
    free(lost);
    return 0;
}

int scan_own(struct scan *scan, struct object *object) {
    pthread_mutex_lock(&scan->lock);
    int r = map_put(scan->objects, &object->id, sizeof(object->id), object, NULL);
    pthread_mutex_unlock(&scan->lock);
    if (r < 0)
        object_free(object);
    return MIN(r, 0);
}

static struct object *owned(struct scan *scan, int64_t id) {
    pthread_mutex_lock(&scan->lock);
    struct object *object = map_get(scan->objects, &id, sizeof(id));
    pthread_mutex_unlock(&scan->lock);
    return object;
}

/* Two threads may ask for the same object of the store: both queries stand under one lock, so the second finds it owned. */
int scan_known_object(struct scan *scan, int64_t id, struct object **ret) {
    struct object *object = owned(scan, id);
    if (object) {
        *ret = object;
        return 0;
    }
    if (id >= scan->first_object)
        return -EUCLEAN;
    pthread_mutex_lock(&scan->query);
    object = owned(scan, id);
    int r = 0;
    if (!object && (r = index_object(scan->store, id, &object, NULL)) >= 0)
        r = scan_own(scan, object);
    pthread_mutex_unlock(&scan->query);
    if (r < 0)
        return r;
    *ret = object;
    return 0;
}

struct scan_dir *scan_dir_of(const struct scan *scan, int64_t id) {
    return map_get(scan->dirs, &id, sizeof(id));
}

void scan_fail(struct scan *scan, const struct scan_dir *dir, const char *name, int code, const char *doing) {
    if (scan->round > 1)
        return;
    _buf_ struct buf path = {0};
    dir_path(dir->at, name, &path);
    project_notice(scan->project, SNAP_NOTICE_FAILED_PATH, path.failed ? "" : path.data, "cannot %s it: %s", doing, strerror(-code));
}

/* Rounds. */

void scan_dir_free(void *value) {
    struct scan_dir *dir = value;
    dir_unref(dir->stage);
    dir_unref(dir->at);
    buf_done(&dir->names);
    free(dir->found);
    free(dir);
}

static void group_free(void *value) {
    free(((struct group *)value)->members);
    free(value);
}

static int fresh_map(struct map **map, void (*free_value)(void *)) {
    map_free(*map, free_value);
    *map = map_new();
    return *map ? 0 : -ENOMEM;
}

static int begin_round(struct scan *scan, struct snap_err *err) {
    int r = scan->round > 0 ? sparse_again(scan, err) : 0;
    if (r < 0)
        return r;
    scan->round++;
    scan->changed_this_round = 0;
    r = scan->touched && scan->dirs ? 0 : fresh_map(&scan->dirs, scan_dir_free);
    if (r == 0)
        r = fresh_map(&scan->groups, group_free);
    if (r == 0)
        r = fresh_map(&scan->standing, NULL);
    if (r == 0)
        r = fresh_map(&scan->claimed, NULL);
    return r;
}

/* The records of a directory of which a part was looked at: that part, and what stood beside it. */
static struct live_dir *records_with(const struct scan_dir *dir) {
    size_t known = dir->known ? dir->known->count : 0, names = 0;
    for (size_t i = 0; i < dir->count; i++)
        names += strlen(dir->found[i].name) + 1;
    for (size_t i = 0; i < known; i++)
        names += strlen(dir->known->entries[i].name) + 1;
    struct live_dir *records = malloc(sizeof(*records) + (dir->count + known) * sizeof(struct live_entry) + names);
    if (!records)
        return NULL;
    *records = (struct live_dir){ .dir = dir->id, .entries = (struct live_entry *)(void *)(records + 1) };
    char *name = (char *)(records->entries + dir->count + known);
    for (size_t i = 0, j = 0; i < dir->count || j < known;) {
        int order = i == dir->count ? 1 : j == known ? -1 : strcmp(dir->found[i].name, dir->known->entries[j].name);
        const struct found *found = order <= 0 ? &dir->found[i++] : NULL;
        const struct live_entry *old = order >= 0 ? &dir->known->entries[j++] : NULL;
        if (found && found->state == FOUND_LEFT_OUT)
            continue;
        struct live_entry *entry = &records->entries[records->count++];
        if (found)
            *entry = (struct live_entry){ .print = found->print, .object = found->object, .dir = found->dir, .flags = found->flags };
        else
            *entry = *old;
        entry->name = name;
        name = stpcpy(name, found ? found->name : old->name) + 1;
    }
    return records;
}

/* The records of a directory as this round found it, names included, in one block. */
static struct live_dir *records_of(const struct scan_dir *dir) {
    size_t names = 0;
    for (size_t i = 0; i < dir->count; i++)
        names += strlen(dir->found[i].name) + 1;
    struct live_dir *records = malloc(sizeof(*records) + dir->count * sizeof(struct live_entry) + names);
    if (!records)
        return NULL;
    *records = (struct live_dir){ .dir = dir->id, .entries = (struct live_entry *)(void *)(records + 1) };
    char *name = (char *)(records->entries + dir->count);
    for (size_t i = 0; i < dir->count; i++) {
        const struct found *found = &dir->found[i];
        if (found->state == FOUND_LEFT_OUT)
            continue;
        records->entries[records->count++] = (struct live_entry){ .name = name, .print = found->print, .object = found->object,
                                                                  .dir = found->dir, .flags = found->flags };
        name = stpcpy(name, found->name) + 1;
    }
    return records;
}

void scan_dir_forget(struct scan_dir *dir) {
    free(dir->found);
    dir->found = NULL;
    buf_done(&dir->names);
}

/* Which directories were in it and are not any more. Both are sorted. */
static int note_left(struct scan *scan, const struct live_dir *old, const struct live_dir *new) {
    int r = 0;
    for (size_t i = 0, j = 0; r >= 0 && old && i < old->count; i++) {
        const struct live_entry *entry = &old->entries[i];
        while (entry->dir && j < new->count && strcmp(new->entries[j].name, entry->name) < 0)
            j++;
        bool stays = j < new->count && new->entries[j].dir == entry->dir && !strcmp(new->entries[j].name, entry->name);
        if (entry->dir && !stays)
            r = map_put(scan->left, &entry->dir, sizeof(entry->dir), scan, NULL);
    }
    return MIN(r, 0);
}

/* found[].known points into the records that are replaced: nothing looks at it after this. */
static int keep_records(struct scan *scan) {
    for (struct map_iter i = {0}; map_next(scan->dirs, &i);) {
        struct scan_dir *dir = i.value;
        if (dir->round != scan->round)
            continue;
        scan_doubt(scan, dir);
        if (!dir->differs) {
            scan_dir_forget(dir);
            continue;
        }
        struct live_dir *records = dir->touched ? records_with(dir) : records_of(dir);
        void *old = NULL;
        int r = records ? note_left(scan, dir->known, records) : -ENOMEM;
        if (r == 0)
            r = map_put(scan->records, &dir->id, sizeof(dir->id), records, &old);
        if (r < 0) {
            free(records);
            return r;
        }
        dir->known = records;
        free(old);
        scan_dir_forget(dir);
    }
    return 0;
}

static struct found *found_of(struct scan_dir *dir, const char *name) {
    for (size_t i = 0; dir && dir->found && i < dir->count; i++)
        if (!strcmp(dir->found[i].name, name))
            return &dir->found[i];
    return NULL;
}

/* What a directory was that could not be listed before either, and is the same otherwise; NULL: it was not. */
static int unread_before(struct scan *scan, const struct found *found, const struct object *now, struct object **ret) {
    struct object *object = NULL;
    *ret = NULL;
    if (!found->known || !(found->known->flags & LIVE_UNREAD))
        return 0;
    int r = scan_known_object(scan, found->known->object, &object);
    if (r == 0 && object->flags & OBJECT_UNREAD && object->dir == now->dir && meta_equal(&object->meta, &now->meta))
        *ret = object;
    return r;
}

/* The same object again, with the mark of one that could not be listed. */
static int mark_unread(struct scan *scan, const struct object *object, struct object **ret) {
    struct object *marked = calloc(1, sizeof(*marked));
    if (!marked || meta_copy(&marked->meta, &object->meta) < 0) {
        free(marked);
        return -ENOMEM;
    }
    marked->id = scan->next_object++;
    marked->dir = object->dir;
    marked->flags = OBJECT_UNREAD;
    *ret = marked;
    return scan_own(scan, marked);
}

/* Directories that could not be listed: their own object says so, and what is known of their inside stays. */
static int note_unread(struct scan *scan) {
    for (size_t i = 0; i < scan->unread_count; i++) {
        struct unread_dir *unread = &scan->unread[i];
        struct scan_dir *parent = scan_dir_of(scan, unread->parent);
        struct found *found = found_of(parent, unread->name);
        struct object *object = NULL;
        if (!found || found->state == FOUND_LEFT_OUT || scan_known_object(scan, found->object, &object) < 0)
            continue;
        found->flags |= LIVE_UNREAD;
        parent->differs = true;
        if (object->flags & OBJECT_UNREAD)
            continue;
        struct object *marked = NULL;
        int r = unread_before(scan, found, object, &marked);
        if (r < 0 || (!marked && (r = mark_unread(scan, object, &marked)) < 0))
            return r;
        found->object = marked->id;
        if (found_as_recorded(found))
            agree(scan, parent->id, unread->name);
        else if ((r = scan_differ(scan, parent->id, unread->name, marked, NULL)) < 0)
            return r;
    }
    return 0;
}

static void forget_unread(struct scan *scan) {
    for (size_t i = 0; i < scan->unread_count; i++)
        free(scan->unread[i].name);
    free(scan->unread);
    scan->unread = NULL;
    scan->unread_count = 0;
}

static int look_round(struct scan *scan, struct snap_err *err) {
    int r = begin_round(scan, err);
    if (r < 0 && err && err->code == r)
        return r;
    if (r == 0 && scan->touched && !scan->moved_dirs)
        r = links_index(scan);
    if (r == 0)
        r = walk_project(scan);
    if (r == 0)
        r = links_capture(scan);
    if (r == 0)
        r = note_unread(scan);
    forget_unread(scan);
    if (r == 0)
        r = keep_records(scan);
    if (r == -ECANCELED)
        return project_cancelled_error(err);
    return r < 0 ? err_path(err, r, scan->project->info.root, "%s", scan->stage ? "capture" : "look through") : 0;
}

/* As if nothing had been looked at yet: names of one inode that are met apart would not become one object. */
static int start_over(struct scan *scan, struct snap_err *err) {
    int r = sparse_end(scan, err);
    for (struct map_iter i = {0}; r == 0 && map_next(scan->delta, &i);) {
        const struct delta_row *row = i.value;
        if (row->staged && (r = unstage(scan, row)) < 0)
            err_path(err, r, row->entry.name, "remove from the layer that is being built");
    }
    if (r == 0 && (fresh_map(&scan->delta, delta_row_free) < 0 || fresh_map(&scan->dirs, scan_dir_free) < 0
                   || fresh_map(&scan->records, free) < 0))
        r = err_nomem(err);
    scan->round = 0;
    scan->needs_all = false;
    return r;
}

int scan_round(struct scan *scan, struct snap_err *err) {
    int r = look_round(scan, err);
    if (r == 0 && scan->touched && scan->needs_all && (r = start_over(scan, err)) == 0)
        r = look_round(scan, err);
    return r;
}

/* Opening and closing. */

/* The file system's clock and what its timestamps can tell. Where the store lies on another file system both are guessed
 * low: with a second's doubt about the clock, and coarse. */
static int read_clock(struct scan *scan) {
    int work = store_run_fd(scan->store);
    int r = fs_now(work, &scan->started);
    if (r < 0)
        return clock_gettime(CLOCK_REALTIME_COARSE, &scan->started) < 0 ? -errno : 0;
    if (scan->project->info.same_file_system)
        scan->fine = fs_has_fine_timestamps(work) == 1;
    else
        scan->started.tv_sec -= 2;
    return 0;
}

/* File systems of which it is known; others may keep a directory's times in a cache of their own. */
static bool tells_lists(int fd) {
    struct statfs stat;
    if (fstatfs(fd, &stat) < 0)
        return false;
    switch ((unsigned long)stat.f_type) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
        return true;
    default:
        return false;
    }
}

static int open_tree(struct scan *scan, int root, struct snap_err *err) {
    struct index_ids ids;
    int r = index_next_ids(scan->store, &ids, err);
    if (r < 0)
        return r;
    scan->first_object = ids.object;
    scan->next_object = ids.object;
    fs_raise_descriptor_limit();
    r = dirs_open(root, OPEN_DIRECTORIES, &scan->tree);
    if (r < 0)
        return err_path(err, r, scan->project->info.root, "open");
    scan->records = map_new();
    scan->left = map_new();
    scan->delta = map_new();
    scan->objects = map_new();
    return scan->records && scan->left && scan->delta && scan->objects ? 0 : err_nomem(err);
}

static int scan_open(struct scan *scan, bool whole, struct snap_err *err) {
    int root = scan->project->root;
    int r = read_clock(scan);
    if (r < 0)
        return err_errno(err, r, "cannot read the file system's clock");
    if ((r = whole ? live_load(scan->store, &scan->live, err) : sparse_begin(scan, err)) < 0 || (r = ignore_load(root, &scan->ignore, err)) < 0)
        return r;
    scan->trusts_lists = tells_lists(root);
    return open_tree(scan, root, err);
}

static struct scan *new_scan(struct snap_project *project, struct point ground) {
    struct scan *scan = calloc(1, sizeof(*scan));
    if (!scan)
        return NULL;
    scan->project = project;
    scan->store = project->store;
    scan->ground = ground;
    pthread_mutex_init(&scan->lock, NULL);
    pthread_mutex_init(&scan->query, NULL);
    return scan;
}

static int open_scan(struct snap_project *project, struct stage *stage, bool whole, struct scan **ret, struct snap_err *err) {
    _scan_ struct scan *scan = new_scan(project, index_newest(INDEX_PROJECT_LINE));
    if (!scan)
        return err_nomem(err);
    scan->stage = stage;
    int r = scan_open(scan, whole, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(scan);
    return 0;
}

int scan_new(struct snap_project *project, struct stage *stage, struct scan **ret, struct snap_err *err) {
    return open_scan(project, stage, false, ret, err);
}

int scan_new_whole(struct snap_project *project, struct stage *stage, struct scan **ret, struct snap_err *err) {
    return open_scan(project, stage, true, ret, err);
}

static void object_drop(void *object) {
    object_free(object);
}

/* What the rounds needed, and nobody after them. */
void scan_end(struct scan *scan) {
    scan->groups = map_free(scan->groups, group_free);
    scan->standing = map_free(scan->standing, NULL);
    scan->claimed = map_free(scan->claimed, NULL);
    scan->moved_dirs = map_free(scan->moved_dirs, free);
    scan->moved_files = map_free(scan->moved_files, free);
    scan->moved_links = map_free(scan->moved_links, free);
}

/* Who only looked writes no records. */
static void forget_records(struct scan *scan) {
    for (struct map_iter i = {0}; map_next(scan->dirs, &i);)
        ((struct scan_dir *)i.value)->known = NULL;
    scan->records = map_free(scan->records, free);
    scan->live = live_free(scan->live);
}

int scan_empty(struct snap_project *project, struct point ground, int root, struct scan **ret, struct snap_err *err) {
    _scan_ struct scan *scan = new_scan(project, ground);
    if (!scan)
        return err_nomem(err);
    int r = open_tree(scan, root, err);
    if (r == 0 && !(scan->dirs = map_new()))
        r = err_nomem(err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(scan);
    return 0;
}

struct point scan_ground(const struct scan *scan) {
    return scan->ground;
}

int scan_look(struct snap_project *project, struct scan **ret, struct snap_err *err) {
    _scan_ struct scan *scan = NULL;
    int r = scan_new(project, NULL, &scan, err);
    if (r < 0 || (r = scan_round(scan, err)) < 0)
        return r;
    scan_end(scan);
    forget_records(scan);
    *ret = TAKE_PTR(scan);
    return 0;
}

struct scan *scan_free(struct scan *scan) {
    if (!scan)
        return NULL;
    forget_unread(scan);
    scan_end(scan);
    map_free(scan->delta, delta_row_free);
    map_free(scan->objects, object_drop);
    map_free(scan->dirs, scan_dir_free);
    map_free(scan->records, free);
    map_free(scan->left, NULL);
    map_free(scan->doubts, NULL);
    map_free(scan->rows_before, free);
    map_free(scan->rows, free);
    watching_free(scan->watching);
    dirs_close(scan->tree);
    live_free(scan->live_before);
    live_free(scan->live);
    ignore_free(scan->ignore);
    pthread_mutex_destroy(&scan->lock);
    pthread_mutex_destroy(&scan->query);
    free(scan);
    return NULL;
}

/* Questions. */

const struct delta_entry *scan_find(const struct scan *scan, int64_t dir, const char *name) {
    struct delta_row *row = scan_row(scan, dir, name);
    return row ? &row->entry : NULL;
}

int scan_next(const struct scan *scan, struct scan_iter *iter) {
    struct map_iter at = { .slot = iter->at };
    if (!map_next(scan->delta, &at))
        return 0;
    iter->at = at.slot;
    iter->entry = &((struct delta_row *)at.value)->entry;
    return 1;
}

int scan_dir_path(const struct scan *scan, int64_t dir, struct buf *ret) {
    const struct scan_dir *found = scan_dir_of(scan, dir);
    if (!found || !dir)
        return 0;
    dir_path(found->at, NULL, ret);
    return ret->failed ? ret->failed : 1;
}

/* Where an earlier round met it, or else the newest entries have it. 0 nowhere, 1 found. */
static int last_place(const struct scan *scan, int64_t dir, int64_t *ret_parent, char **ret_name) {
    const struct scan_dir *met = scan_dir_of(scan, dir);
    if (!met)
        return MAX(index_dir_place(scan->store, index_newest(INDEX_PROJECT_LINE), dir, ret_parent, ret_name, NULL), 0);
    *ret_parent = met->parent;
    *ret_name = strdup(dir_name(met->at));
    return *ret_name != NULL;
}

static bool met_now(const struct scan *scan, int64_t dir) {
    const struct scan_dir *met = scan_dir_of(scan, dir);
    return met && met->round == scan->round;
}

/* What this round did not look at is where it was, unless something on the way up says otherwise. */
bool scan_has_dir(const struct scan *scan, int64_t dir) {
    while (scan->touched && !met_now(scan, dir)) {
        _free_ char *name = NULL;
        int64_t parent = 0;
        if (!last_place(scan, dir, &parent, &name))
            return false;
        const struct delta_row *row = scan_row(scan, parent, name);
        if (row && !(row->entry.after && row->entry.after->dir == dir))
            return false;
        dir = parent;
    }
    return met_now(scan, dir);
}
