/* Files of a current layer: which object each is, and its bytes. Reads what its inode does not vouch for.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "current_walk.h"

#include "fs.h"
#include "hook.h"
#include "tree.h"

#include <string.h>

/* What captures remember. */

struct kept_file {             /* captured, and its bytes lie in the layer that is being built */
    int64_t changed;           /* its st_ctime in ns; 0 = it may change without one that differs */
    int64_t dir;
    struct object *object;
    enum copy_how how;
    char name[];
};
struct kept_dir { int64_t birth, identity; };

struct current_memory {
    struct stage *stage;
    struct map *files, *dirs;  /* inode -> struct kept_file, struct kept_dir */
    struct map *places;        /* (directory, name) of all that was put into the stage: a set */
    int64_t first, next;       /* numbers that were given, from which on */
    int64_t started;           /* the file system's clock when the capture began */
};

static void kept_file_free(void *value) {
    struct kept_file *kept = value;
    if (kept)
        object_free(kept->object);
    free(kept);
}

struct current_memory *current_memory_free(struct current_memory *memory) {
    if (!memory)
        return NULL;
    map_free(memory->files, kept_file_free);
    map_free(memory->dirs, free);
    map_free(memory->places, NULL);
    free(memory);
    return NULL;
}

struct current_memory *current_memory_new(struct stage *stage) {
    _current_memory_ struct current_memory *memory = calloc(1, sizeof(*memory));
    if (!memory)
        return NULL;
    memory->stage = stage;
    memory->files = map_new();
    memory->dirs = map_new();
    memory->places = map_new();
    return memory->files && memory->dirs && memory->places ? TAKE_PTR(memory) : NULL;
}

int memory_begin(struct current_memory *memory, struct scan *scan) {
    struct timespec now;
    scan->stage = memory->stage;
    if (memory->next)
        scan->next_object = memory->next;
    memory->first = scan->first_object;
    memory->started = fs_now(store_run_fd(scan->store), &now) < 0 ? 0 : walk_nanoseconds(&now);
    return 0;
}

static int drop(struct current_memory *memory, int64_t dir, const char *name) {
    _dir_ struct dir *stage = stage_dir(memory->stage, dir);
    int r = stage ? stage_remove(memory->stage, stage, name) : -ENOMEM;
    return r == -ENOENT ? 0 : r;
}

/* What is in the stage and in no row was captured before it went away. */
int memory_end(struct current_memory *memory, struct scan *scan) {
    int r = 0;
    memory->next = scan->next_object;
    for (struct map_iter i = {0}; r == 0 && map_next(memory->places, &i);) {
        char name[ENTRY_KEY_MAX] = "";
        int64_t dir;
        memcpy(&dir, i.key, sizeof(dir));
        memcpy(name, (const char *)i.key + sizeof(dir), i.key_size - sizeof(dir));
        const struct delta_row *row = scan_row(scan, dir, name);
        if (!row || !row->staged)
            r = drop(memory, dir, name);
    }
    return r;
}

static int note_place(struct current_memory *memory, int64_t dir, const char *name) {
    char key[ENTRY_KEY_MAX];
    return map_put(memory->places, key, entry_key(key, dir, name), memory, NULL) < 0 ? -ENOMEM : 0;
}

int64_t memory_dir(const struct current_memory *memory, uint64_t inode, int64_t birth) {
    const struct kept_dir *kept = map_get(memory->dirs, &inode, sizeof(inode));
    return kept && kept->birth == birth ? kept->identity : 0;
}

int memory_note_dir(struct current_memory *memory, uint64_t inode, int64_t birth, int64_t identity) {
    struct kept_dir *kept = malloc(sizeof(*kept));
    void *old = NULL;
    if (!kept)
        return -ENOMEM;
    *kept = (struct kept_dir){ birth, identity };
    if (map_put(memory->dirs, &inode, sizeof(inode), kept, &old) < 0) {
        free(kept);
        return -ENOMEM;
    }
    free(old);
    return 0;
}

static int remember(struct current_memory *memory, const struct stat *stat, int64_t dir, const char *name, const struct object *object,
                    enum copy_how how) {
    struct kept_file *kept = calloc(1, sizeof(*kept) + strlen(name) + 1);
    void *old = NULL;
    if (!kept || !(kept->object = tree_object_copy(object))) {
        free(kept);
        return -ENOMEM;
    }
    int64_t changed = walk_nanoseconds(&stat->st_ctim);
    kept->changed = changed < memory->started ? changed : 0;
    kept->dir = dir;
    kept->how = how;
    strcpy(kept->name, name);
    if (map_put(memory->files, &stat->st_ino, sizeof(stat->st_ino), kept, &old) < 0) {
        kept_file_free(kept);
        return -ENOMEM;
    }
    kept_file_free(old);
    return 0;
}

/* What an earlier capture made of this inode under this name, NULL: nothing that still counts. */
static struct kept_file *recall(const struct walk *walk, const struct stat *stat, int64_t dir, const char *name) {
    struct kept_file *kept = walk->memory ? map_get(walk->memory->files, &stat->st_ino, sizeof(stat->st_ino)) : NULL;
    bool counts = kept && kept->changed && kept->changed == walk_nanoseconds(&stat->st_ctim) && kept->dir == dir && !strcmp(kept->name, name);
    return counts ? kept : NULL;
}

/* Bytes. */

static struct copy_options copy_options(struct walk *walk) {
    return (struct copy_options){ .want_digest = true, .no_reflink = walk->scan->no_reflink, .cancel = walk->scan->project->env.cancel };
}

static int create_staged(struct walk *walk, int64_t dir, const char *name, mode_t mode) {
    struct stage *stage = walk->memory->stage;
    _dir_ struct dir *at = stage_dir(stage, dir);
    if (!at || note_place(walk->memory, dir, name) < 0)
        return -ENOMEM;
    int fd = stage_create(stage, at, name, mode);
    if (fd != -EEXIST)
        return fd;
    int r = stage_remove(stage, at, name);       /* an earlier capture's */
    return r < 0 ? r : stage_create(stage, at, name, mode);
}

static int copy(struct walk *walk, int from, int64_t dir, const char *name, struct object *object, enum copy_how *ret_how) {
    struct copy_options options = copy_options(walk);
    _close_ int to = create_staged(walk, dir, name, object->meta.mode);
    int r = to < 0 ? to : copy_content(from, to, &options, &object->meta.size, &object->digest);
    if (r < 0)
        return r;
    if (r == COPY_COPIED && object->meta.size > 0)
        walk->scan->no_reflink = true;
    *ret_how = (enum copy_how)r;
    return stage_apply_open(walk->memory->stage, to, &object->meta);
}

/* Sees to digest and bytes; `how->staged`: they were copied. */
static int read_bytes(struct walk *walk, const struct source *from, int64_t dir, const char *name, struct object *object, struct delta_row *how) {
    if (!S_ISREG(object->meta.mode) || !object->meta.size)
        return 0;
    struct copy_options options = copy_options(walk);
    _close_ int fd = from->layer->ops->open(from->layer, from->at, from->name);
    int r = fd < 0 ? fd : hook("current.read", name);
    if (r >= 0 && walk->memory) {
        r = copy(walk, fd, dir, name, object, &how->how);
        how->staged = r >= 0;
    } else if (r >= 0) {
        r = copy_digest(fd, &options, &object->meta.size, &object->digest);
    }
    return r == -ECANCELED ? project_cancelled_error(walk->err) : MIN(r, 0);
}

/* Which object. */

static int remove_staged(struct walk *walk, int64_t dir, const char *name) {
    _dir_ struct dir *at = stage_dir(walk->memory->stage, dir);
    return at ? stage_remove(walk->memory->stage, at, name) : -ENOMEM;
}

/* The object as it was captured, if that may still be what it is: links are equal only where their inode is. */
static int known_object(struct walk *walk, const struct current_row *known, struct object **ret) {
    int r = known ? scan_known_object(walk->scan, known->object, ret) : 0;
    return r == -EUCLEAN ? 0 : r;                /* gc may have freed it */
}

static int ground_object(struct walk *walk, int64_t dir, const char *name, struct object **ret) {
    int64_t id = index_lookup_id(walk->scan->store, walk->scan->ground, dir, name, walk->err);
    return id > 0 ? scan_known_object(walk->scan, id, ret) : (int)id;
}

static bool is_linked(const struct object *object) { return object->flags & OBJECT_LINKED; }

/* The one of both that it equals, NULL: it is new. */
static int find_equal(struct walk *walk, const struct current_row *known, int64_t dir, const char *name, const struct object *object,
                      struct object **ret) {
    struct object *was = NULL, *there = NULL;
    int r = known_object(walk, known, &was);
    if (r >= 0 && !is_linked(object))
        r = ground_object(walk, dir, name, &there);
    if (r < 0)
        return r;
    if (was && is_linked(was) == is_linked(object) && walk_same_object(was, object))
        *ret = was;
    else if (there && (!walk->newest || !is_linked(there)) && walk_same_object(there, object))
        *ret = there;
    return 0;
}

static int note(struct walk *walk, const struct stat *stat, int64_t birth, const struct object *object) {
    return walk_note(walk, &(struct current_row){ .inode = stat->st_ino, .birth = birth, .changed = walk_nanoseconds(&stat->st_ctim),
                                                  .object = object->id });
}

static int remember_link(struct walk *walk, const struct stat *stat, int64_t dir, const char *name, struct object *object, bool staged) {
    struct linked *linked = stat->st_nlink > 1 ? malloc(sizeof(*linked) + strlen(name) + 1) : NULL;
    if (!linked)
        return stat->st_nlink > 1 ? -ENOMEM : 0;
    *linked = (struct linked){ .object = object, .staged = staged, .dir = dir };
    strcpy(linked->name, name);
    if (map_put(walk->links, &stat->st_ino, sizeof(stat->st_ino), linked, NULL) == 0)
        return 0;
    free(linked);
    return -ENOMEM;
}

/* Another name of an object that was met: its bytes are a hard link of the first ones. */
static int put_link(struct walk *walk, const struct linked *linked, int64_t dir, const char *name) {
    struct delta_row how = { .staged = linked->staged, .how = COPY_COPIED };
    if (linked->staged) {
        struct stage *stage = walk->memory->stage;
        _dir_ struct dir *from = stage_dir(stage, linked->dir), *to = stage_dir(stage, dir);
        int r = from && to && note_place(walk->memory, dir, name) == 0 ? stage_link(stage, from, linked->name, to, name) : -ENOMEM;
        if (r == -EEXIST && (r = stage_remove(stage, to, name)) == 0)
            r = stage_link(stage, from, linked->name, to, name);
        if (r < 0)
            return r;
    }
    return walk_put(walk, dir, name, linked->object, &how);
}

/* Takes `object`, which nobody knows yet. */
static int put_new(struct walk *walk, int64_t dir, const char *name, struct object *object, const struct delta_row *how) {
    if (!object->id)
        object->id = walk->scan->next_object++;
    int r = scan_own(walk->scan, object);
    return r < 0 ? r : scan_differ(walk->scan, dir, name, object, how);
}

static int read_object(struct walk *walk, const struct source *from, const struct stat *stat, int64_t dir, const char *name,
                       struct object **ret, struct delta_row *how) {
    struct kept_file *kept = recall(walk, stat, dir, name);
    _object_ struct object *object = kept ? tree_object_copy(kept->object) : calloc(1, sizeof(*object));
    if (!object)
        return -ENOMEM;
    if (kept) {
        how->staged = true;
        how->how = kept->how;
        *ret = TAKE_PTR(object);
        return 0;
    }
    object->flags = stat->st_nlink > 1 ? OBJECT_LINKED : 0;
    int r = walk_read_meta(walk, from, stat, &object->meta);
    if (r == 0)
        r = read_bytes(walk, from, dir, name, object, how);
    if (r == 0)
        *ret = TAKE_PTR(object);
    return r;
}

static int read_file(struct walk *walk, const struct source *from, int64_t dir, const char *name, const struct stat *stat, int64_t birth,
                     const struct current_row *known) {
    _object_ struct object *object = NULL;
    struct object *equal = NULL, *now;
    struct delta_row how = {0};
    int r = read_object(walk, from, stat, dir, name, &object, &how);
    if (r == 0)
        r = find_equal(walk, known, dir, name, object, &equal);
    if (r == 0 && equal && how.staged) {
        r = remove_staged(walk, dir, name);
        how.staged = false;
    }
    if (r < 0)
        return r;
    now = equal ? equal : object;
    r = equal ? walk_put(walk, dir, name, equal, NULL) : put_new(walk, dir, name, TAKE_PTR(object), &how);
    if (r == 0 && how.staged)
        r = remember(walk->memory, stat, dir, name, now, how.how);
    if (r == 0)
        r = note(walk, stat, birth, now);
    return r < 0 ? r : remember_link(walk, stat, dir, name, now, how.staged);
}

int walk_file(struct walk *walk, const struct source *from, int64_t dir, const char *name, const struct lower_entry *entry) {
    const struct stat *stat = &entry->stat;
    int64_t birth = walk_nanoseconds(&entry->birth);
    const struct linked *linked = stat->st_nlink > 1 ? map_get(walk->links, &stat->st_ino, sizeof(stat->st_ino)) : NULL;
    const struct current_row *known = walk_known(walk, stat->st_ino, birth);
    struct object *object = NULL;
    if (linked)
        return put_link(walk, linked, dir, name);
    bool trusted = known && known->changed && known->changed == walk_nanoseconds(&stat->st_ctim);
    int r = trusted ? known_object(walk, known, &object) : 0;
    if (r < 0 || !object)
        return r < 0 ? r : read_file(walk, from, dir, name, stat, birth, known);
    r = walk_put(walk, dir, name, object, NULL);
    if (r == 0)
        r = note(walk, stat, birth, object);
    return r < 0 ? r : remember_link(walk, stat, dir, name, object, false);
}
