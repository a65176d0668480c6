/* Comparing layers with their manifests: names, types, sizes, metadata, marks, hard links, content.
 * Directories are compared in parallel, and content is read in parallel, in the order of inodes, which is by and large that
 * of the disk. Repairs nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "check.h"

#include "dirs.h"
#include "fs.h"
#include "layer.h"
#include "pool.h"
#include "sheet.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

enum {
    TREE_DESCRIPTORS = 64,     /* of each layer */
    SHEETS_KEPT = 64,          /* layers whose content waits to be read */
    JOBS_KEPT = 1 << 15,
    ALONE = 64,                /* fewer are not worth a thread */
};

struct job { struct sheet *sheet; struct sheet_entry *entry; struct dir *dir; uint64_t ino; };
struct inode_key { uint64_t device, ino; };
struct inode { int64_t object; bool queued; };          /* of several names */

struct open_sheet { struct sheet *sheet; struct dirs *tree; };

struct check {
    struct store *store;
    struct check_options options;
    pthread_mutex_t lock;      /* guards everything below, and calls of options.fn */
    struct snap_err err;       /* of the first that failed; code 0 = none */
    struct map *inodes;        /* struct inode_key -> struct inode */
    struct map *objects;       /* of the layer being compared: object id -> struct inode_key of its first name */
    struct job *jobs;
    size_t jobs_count, jobs_room;
    struct open_sheet sheets[SHEETS_KEPT];
    size_t sheets_count;
    atomic_size_t next;        /* of the directories or jobs being worked off */
};

static void guard(struct check *check) {
    if (pthread_mutex_lock(&check->lock) != 0)
        abort();
}

static void release(struct check *check) {
    if (pthread_mutex_unlock(&check->lock) != 0)
        abort();
}

static void close_sheets(struct check *check) {
    for (size_t i = 0; i < check->sheets_count; i++) {
        sheet_free(check->sheets[i].sheet);
        dirs_close(check->sheets[i].tree);
    }
    check->sheets_count = 0;
    check->jobs_count = 0;
}

struct check *check_close(struct check *check) {
    if (!check)
        return NULL;
    close_sheets(check);
    map_free(check->inodes, free);
    map_free(check->objects, free);
    free(check->jobs);
    pthread_mutex_destroy(&check->lock);
    free(check);
    return NULL;
}

int check_open(struct store *store, const struct check_options *options, struct check **ret, struct snap_err *err) {
    struct check *check = calloc(1, sizeof(*check));
    if (!check || pthread_mutex_init(&check->lock, NULL) != 0) {
        free(check);
        return err_nomem(err);
    }
    check->store = store;
    check->options = *options;
    check->options.threads = MAX(options->threads, 1u);
    check->inodes = map_new();
    check->objects = map_new();
    if (!check->inodes || !check->objects) {
        check_close(check);
        return err_nomem(err);
    }
    *ret = check;
    return 0;
}

/* Telling. */

static const char shared_text[] = "is one file with another, and must not be";

static int tell(struct check *check, const struct damage *damage) {
    guard(check);
    int r = check->options.fn(check->options.data, damage);
    release(check);
    return r;
}

/* An entry by the directory in which it lies; dir NULL: the root itself. */
static int tell_entry(struct check *check, const struct sheet *sheet, struct dir *dir, const struct sheet_entry *entry,
                      const char *name, enum damage_kind kind, const char *text) {
    _buf_ struct buf file = {0}, path = {0};
    if (dir)
        dir_path(dir, name, &path);
    buf_fmt(&file, "layers/%lld/tree", (long long)sheet->layer);
    if (path.size) {
        buf_char(&file, '/');
        buf_add(&file, path.data, path.size);
    }
    if (file.failed || path.failed)
        return -ENOMEM;
    struct damage damage = { .kind = kind, .layer = sheet->layer, .file = file.data, .text = text, .name = name,
                             .shared = kind == DAMAGE_LINK && text == shared_text };
    if (entry) {
        damage.in = entry->in;
        damage.object = entry->flags & MANIFEST_DELETED ? 0 : entry->object.id;
        damage.content = sheet_entry_has_content(entry) ? entry->object.content : 0;
    }
    return tell(check, &damage);
}

static int tell_layer(struct check *check, int64_t layer, enum damage_kind kind, const char *name, const char *text) {
    char file[64];
    snprintf(file, sizeof(file), "layers/%lld%s%s", (long long)layer, *name ? "/" : "", name);
    return tell(check, &(struct damage){ .kind = kind, .layer = layer, .file = file, .text = text });
}

/* What a file that is missing or cannot be read says of the layer; NULL: it is our own trouble. */
static const char *says(int code, enum damage_kind *ret_kind) {
    *ret_kind = DAMAGE_TYPE;
    switch (code) {
    case -ENOENT: *ret_kind = DAMAGE_MISSING; return "is missing";
    case -ENOTDIR: return "lies in what is no directory";
    case -ELOOP: case -ENXIO: return "is of another type";
    case -EIO: case -EUCLEAN: case -EBADMSG: case -ESTALE: *ret_kind = DAMAGE_CONTENT; return "cannot be read";
    default: return NULL;
    }
}

static int wrong_or_failed(struct check *check, const struct sheet *sheet, struct dir *dir, const struct sheet_entry *entry, int code) {
    enum damage_kind kind;
    const char *text = says(code, &kind);
    return text ? tell_entry(check, sheet, dir, entry, entry->name, kind, text) : code;
}

/* Hard links. */

/* One inode for two objects would change both where either is; 1 = it is to be read, 0 = another name of it is, or was. */
static int note_inode(struct check *check, const struct sheet_entry *entry, const struct statx *stat, bool *ret_shared) {
    struct inode_key key = { .device = makedev(stat->stx_dev_major, stat->stx_dev_minor), .ino = stat->stx_ino };
    struct inode *known = map_get(check->inodes, &key, sizeof(key));
    bool reads = entry->object.content != 0;
    if (known) {
        *ret_shared = known->object != entry->object.id;
        bool again = known->queued;
        known->queued |= reads;
        return reads && (!again || *ret_shared);
    }
    struct inode *inode = malloc(sizeof(*inode));
    if (!inode)
        return -ENOMEM;
    *inode = (struct inode){ .object = entry->object.id, .queued = reads };
    int r = map_put(check->inodes, &key, sizeof(key), inode, NULL);
    if (r < 0)
        free(inode);
    return r < 0 ? r : reads;
}

/* Names of one object in one layer are one inode. */
static int note_object(struct check *check, const struct sheet_entry *entry, const struct statx *stat, bool *ret_apart) {
    struct inode_key now = { .device = makedev(stat->stx_dev_major, stat->stx_dev_minor), .ino = stat->stx_ino };
    const struct inode_key *first = map_get(check->objects, &entry->object.id, sizeof(entry->object.id));
    if (first) {
        *ret_apart = memcmp(first, &now, sizeof(now)) != 0;
        return 0;
    }
    struct inode_key *key = malloc(sizeof(*key));
    if (!key)
        return -ENOMEM;
    *key = now;
    int r = map_put(check->objects, &entry->object.id, sizeof(entry->object.id), key, NULL);
    if (r < 0)
        free(key);
    return r;
}

/* 1 = content is to be read, 0 = not. */
static int check_links(struct check *check, const struct sheet *sheet, struct dir *dir, const struct sheet_entry *entry,
                       const struct statx *stat) {
    bool shared = false, apart = false;
    guard(check);
    int reads = stat->stx_nlink > 1 ? note_inode(check, entry, stat, &shared) : entry->object.content != 0;
    int r = reads < 0 || !(entry->object.flags & OBJECT_LINKED) ? 0 : note_object(check, entry, stat, &apart);
    release(check);
    if (reads < 0 || r < 0)
        return MIN(reads, r);
    if (shared)
        r = tell_entry(check, sheet, dir, entry, entry->name, DAMAGE_LINK, shared_text);
    else if (apart)
        r = tell_entry(check, sheet, dir, entry, entry->name, DAMAGE_LINK, "is not one file with its other names");
    return r < 0 ? r : reads;
}

/* One entry. */

static int add_job(struct check *check, struct sheet *sheet, struct dir *dir, struct sheet_entry *entry, uint64_t ino) {
    guard(check);
    int r = MAKE_ROOM(check->jobs, check->jobs_count, check->jobs_room);
    if (r == 0)
        check->jobs[check->jobs_count++] = (struct job){ .sheet = sheet, .entry = entry, .dir = dir, .ino = ino };
    release(check);
    return r;
}

static const char *describe(unsigned differs, char text[static 96]) {
    snprintf(text, 96, "has other metadata than it was stored with:%s%s%s%s", differs & SNAP_WHAT_MODE ? " mode" : "",
             differs & SNAP_WHAT_OWNER ? " owner" : "", differs & SNAP_WHAT_XATTR ? " attributes" : "",
             differs & SNAP_WHAT_TIME ? " time" : "");
    return text;
}

/* fd: of a directory itself, then name is ""; else -1. */
static int check_meta(struct check *check, const struct sheet *sheet, struct dir *dir, const struct sheet_entry *entry,
                      int dirfd, const char *name, const struct statx *stat) {
    _meta_ struct meta stored = {0};
    int r = meta_read(dirfd, name, *name ? -1 : dirfd, stat, &stored);
    if (r < 0)
        return wrong_or_failed(check, sheet, dir, entry, r);
    if (S_ISLNK(stored.mode) && strcmp(stored.target, entry->object.meta.target) != 0)
        return tell_entry(check, sheet, dir, entry, entry->name, DAMAGE_CONTENT, "has another target than it was stored with");
    struct meta wanted = layer_storable(&entry->object.meta, stored.mode);
    unsigned differs = meta_stored_differs(&stored, &wanted);
    char text[96];
    return differs ? tell_entry(check, sheet, dir, entry, entry->name, DAMAGE_METADATA, describe(differs, text)) : 0;
}

static int check_whiteout(struct check *check, const struct sheet *sheet, struct dir *dir, const struct sheet_entry *entry, int dirfd) {
    int is = layer_is_whiteout(dirfd, entry->name);
    if (is < 0)
        return wrong_or_failed(check, sheet, dir, entry, is);
    return is ? 0 : tell_entry(check, sheet, dir, entry, entry->name, DAMAGE_MARK, "is not the whiteout that it was");
}

/* What could not be made stands there as an empty file. */
static bool is_placeholder(const struct statx *stat, const struct meta *meta) {
    struct meta wanted = layer_storable(meta, stat->stx_mode);
    return S_ISREG(stat->stx_mode) && stat->stx_size == 0 && (stat->stx_mode & 07777) == (wanted.mode & 07777)
        && stat->stx_mtime.tv_sec == meta->mtime.tv_sec;
}

static bool is_same_device(const struct statx *stat, const struct meta *meta) {
    bool device = S_ISCHR(meta->mode) || S_ISBLK(meta->mode);
    return !device || (stat->stx_rdev_major == meta->rdev_major && stat->stx_rdev_minor == meta->rdev_minor);
}

static int check_special(struct check *check, const struct sheet *sheet, struct dir *dir, const struct sheet_entry *entry,
                         int dirfd, const struct statx *stat) {
    const struct meta *meta = &entry->object.meta;
    if (is_placeholder(stat, meta))
        return 0;
    if ((stat->stx_mode ^ meta->mode) & S_IFMT || !is_same_device(stat, meta))
        return tell_entry(check, sheet, dir, entry, entry->name, DAMAGE_TYPE, "is of another type");
    if (check->options.coarse)
        return 0;
    int r = check_links(check, sheet, dir, entry, stat);
    return r < 0 ? r : check_meta(check, sheet, dir, entry, dirfd, entry->name, stat);
}

static int check_regular(struct check *check, struct sheet *sheet, struct dir *dir, struct sheet_entry *entry,
                         int dirfd, const struct statx *stat) {
    if (!S_ISREG(stat->stx_mode))
        return tell_entry(check, sheet, dir, entry, entry->name, DAMAGE_TYPE, "is not a regular file");
    if (stat->stx_size != entry->object.meta.size)
        return tell_entry(check, sheet, dir, entry, entry->name, DAMAGE_CONTENT, "has another size than it was stored with");
    bool whole = !check->options.coarse && !check->options.only;
    int reads = whole ? check_links(check, sheet, dir, entry, stat) : entry->object.content != 0;
    if (reads < 0)
        return reads;
    int r = whole ? check_meta(check, sheet, dir, entry, dirfd, entry->name, stat) : 0;
    return r == 0 && reads && check->options.content ? add_job(check, sheet, dir, entry, stat->stx_ino) : r;
}

/* What was found damaged before needs no looking at: only a repair may find otherwise. */
static bool is_known_lost(const struct sheet *sheet, const struct sheet_entry *entry) {
    return sheet_entry_has_content(entry) && sheet_is_lost(sheet, entry->object.content);
}

static bool is_left_out(const struct check *check, const struct sheet_entry *entry) {
    const struct map *only = check->options.only;
    if (only)
        return !sheet_entry_has_content(entry) || !map_get(only, &entry->object.content, sizeof(entry->object.content));
    return check->options.coarse && (entry->flags & MANIFEST_DELETED || entry->content_layer || entry->object.flags & OBJECT_UNREAD);
}

static int check_entry(struct check *check, struct sheet *sheet, struct dir *dir, int dirfd, struct sheet_entry *entry) {
    if (sheet_entry_is_dir(entry) || is_left_out(check, entry))
        return 0;
    if (is_known_lost(sheet, entry))
        return tell_entry(check, sheet, dir, entry, entry->name, DAMAGE_LOST, "is lost: there is no whole copy of its content");
    if (dirfd < 0)
        return wrong_or_failed(check, sheet, dir, entry, dirfd);
    if (entry->flags & MANIFEST_DELETED || entry->object.flags & OBJECT_UNREAD)
        return check_whiteout(check, sheet, dir, entry, dirfd);
    struct statx stat;
    int r = fs_statx(dirfd, entry->name, &stat);
    if (r < 0)
        return wrong_or_failed(check, sheet, dir, entry, r);
    return S_ISREG(entry->object.meta.mode) ? check_regular(check, sheet, dir, entry, dirfd, &stat)
                                            : check_special(check, sheet, dir, entry, dirfd, &stat);
}

/* One directory. */

static int check_marks(struct check *check, const struct sheet *sheet, struct dir *node, const struct sheet_entry *entry, int fd) {
    _free_ char *redirect = NULL;
    if (!layer_has_marks(fd))
        return 0;
    int opaque = layer_is_opaque(fd), redirected = layer_redirect(fd, &redirect);
    if (opaque < 0 || redirected < 0)
        return wrong_or_failed(check, sheet, dir_parent(node), entry, MIN(opaque, redirected));
    if (opaque != !!(entry->flags & MANIFEST_OPAQUE))
        return tell_entry(check, sheet, dir_parent(node), entry, entry->name, DAMAGE_MARK,
                          opaque ? "is marked opaque, and must not be" : "is not marked opaque as it was");
    if (redirected != (entry->redirect != NULL) || (redirect && strcmp(redirect, entry->redirect) != 0))
        return tell_entry(check, sheet, dir_parent(node), entry, entry->name, DAMAGE_MARK, "has another redirect than it was stored with");
    return 0;
}

static int check_self(struct check *check, const struct sheet *sheet, const struct sheet_dir *dir, int fd) {
    struct statx stat;
    int r = fs_statx(fd, "", &stat);
    if (r < 0)
        return wrong_or_failed(check, sheet, dir_parent(dir->node), dir->self, r);
    r = check_meta(check, sheet, dir_parent(dir->node), dir->self, fd, "", &stat);
    return r < 0 ? r : check_marks(check, sheet, dir->node, dir->self, fd);
}

static int check_names(struct check *check, const struct sheet *sheet, const struct sheet_dir *dir, int fd) {
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *listing = copy < 0 ? NULL : fdopendir(copy);
    if (!listing) {
        int code = -errno;
        fd_close(copy);
        return wrong_or_failed(check, sheet, dir_parent(dir->node), dir->self, code);
    }
    errno = 0;
    for (struct dirent *entry; (entry = readdir(listing)); errno = 0) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            sheet_find(sheet, dir->self->object.dir, entry->d_name))
            continue;
        int r = tell_entry(check, sheet, dir->node, NULL, entry->d_name, DAMAGE_FOREIGN, "is nothing that was stored");
        if (r < 0)
            return r;
    }
    return errno ? wrong_or_failed(check, sheet, dir_parent(dir->node), dir->self, -errno) : 0;
}

static int check_dir(struct check *check, struct sheet *sheet, const struct sheet_dir *dir) {
    bool whole = !check->options.coarse && !check->options.only;
    _pinned_ struct dir_pinned at = dir_pinned(dir->node);
    int r = 0;
    if (at.fd < 0 && !check->options.only)
        r = at.fd == -ENOTDIR || at.fd == -ELOOP
            ? tell_entry(check, sheet, dir_parent(dir->node), dir->self, dir->self->name, DAMAGE_TYPE, "is not a directory")
            : wrong_or_failed(check, sheet, dir_parent(dir->node), dir->self, at.fd);
    else if (at.fd >= 0 && whole) {
        r = check_self(check, sheet, dir, at.fd);
        if (r == 0)
            r = check_names(check, sheet, dir, at.fd);
    }
    for (struct sheet_entry *entry = dir->first; entry && r >= 0; entry = entry->next)
        r = check_entry(check, sheet, dir->node, at.fd, entry);
    return r;
}

/* Working off in parallel: each worker takes the next. */

struct work { struct check *check; struct sheet *sheet; unsigned more; int (*one)(struct work *work, size_t at); size_t count; };

static int worker(struct pool *pool, void *task) {
    struct work *work = task;
    struct check *check = work->check;
    guard(check);
    bool more = work->more > 0;
    work->more -= more;
    release(check);
    int r = more ? pool_add(pool, work) : 0;
    for (size_t at; r >= 0 && (at = atomic_fetch_add(&check->next, 1)) < work->count;)
        r = check->options.cancel && *check->options.cancel ? -ECANCELED : work->one(work, at);
    return r;
}

static void drop_nothing(void *task) {
    (void)task;
}

static int work_off(struct work *work) {
    unsigned threads = work->count < ALONE ? 1 : work->check->options.threads;
    work->more = threads - 1;
    atomic_store(&work->check->next, 0);
    return pool_run(threads, worker, drop_nothing, work);
}

static int one_dir(struct work *work, size_t at) {
    return check_dir(work->check, work->sheet, work->sheet->dirs[at]);
}

/* Content. */

static int by_inode(const void *a, const void *b) {
    const struct job *left = a, *right = b;
    return left->ino < right->ino ? -1 : left->ino > right->ino;
}

static void told_bytes(void *data, uint64_t bytes) {
    struct check *check = data;
    check->options.progress(check->options.data, 0, bytes);
}

static int one_job(struct work *work, size_t at) {
    struct check *check = work->check;
    const struct job *job = &check->jobs[at];
    _pinned_ struct dir_pinned dir = dir_pinned(job->dir);
    _close_ int fd = dir.fd < 0 ? dir.fd : openat(dir.fd, job->entry->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return wrong_or_failed(check, job->sheet, job->dir, job->entry, dir.fd < 0 ? dir.fd : -errno);
    struct digest digest = {0};
    struct copy_options options = { .want_digest = true, .cancel = check->options.cancel, .expected = job->entry->object.meta.size,
                                    .progress = check->options.progress ? told_bytes : NULL, .data = check };
    int r = copy_digest(fd, &options, NULL, &digest);
    if (check->options.progress)
        check->options.progress(check->options.data, 1, 0);
    if (r < 0)
        return wrong_or_failed(check, job->sheet, job->dir, job->entry, r);
    if (digest_equal(&digest, &job->entry->object.digest))
        return 0;
    return tell_entry(check, job->sheet, job->dir, job->entry, job->entry->name, DAMAGE_CONTENT, "has other bytes than were stored");
}

static int failed(int r, struct snap_err *err) {
    if (r == -ECANCELED) {
        err_set(err, r, "interrupted");
        return err_failure(err, SNAP_FAILURE_INTERRUPTED);
    }
    return r < 0 ? err_errno(err, r, "cannot check the store") : r;
}

int check_finish(struct check *check, struct snap_err *err) {
    if (check->jobs_count)
        qsort(check->jobs, check->jobs_count, sizeof(*check->jobs), by_inode);
    struct work work = { .check = check, .one = one_job, .count = check->jobs_count };
    int r = work_off(&work);
    close_sheets(check);
    return failed(r, err);
}

/* A layer. */

static int open_nodes(struct sheet *sheet, struct dirs *tree) {
    for (size_t i = 0; i < sheet->dirs_count; i++) {
        struct sheet_dir *dir = sheet->dirs[i], *in = dir->self->in ? sheet_dir(sheet, dir->self->in) : NULL;
        dir->node = in ? dir_child(in->node, dir->self->name) : dir_ref(dirs_root(tree));
        if (!dir->node)
            return -ENOMEM;
    }
    return 0;
}

static bool is_part_of_layer(const char *name) {
    return !strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, "tree") || !strcmp(name, "manifest") || !strcmp(name, "facts");
}

static int check_parts(struct check *check, int64_t layer) {
    char name[24];
    snprintf(name, sizeof(name), "%lld", (long long)layer);
    int fd = openat(store_layers_fd(check->store), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _closedir_ DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    if (!listing) {
        int code = -errno;
        fd_close(fd);
        enum damage_kind kind;
        return says(code, &kind) ? tell_layer(check, layer, DAMAGE_LAYER, "", "is missing") : code;
    }
    errno = 0;
    for (struct dirent *entry; (entry = readdir(listing)); errno = 0) {
        if (is_part_of_layer(entry->d_name))
            continue;
        int r = tell_layer(check, layer, DAMAGE_FOREIGN, entry->d_name, "is nothing that was stored");
        if (r < 0)
            return r;
    }
    return errno ? -errno : 1;
}

static int open_tree(struct check *check, int64_t layer, struct dirs **ret) {
    char path[40];
    snprintf(path, sizeof(path), "%lld/tree", (long long)layer);
    _close_ int fd = fs_open_beneath(store_layers_fd(check->store), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    return fd < 0 ? fd : dirs_open(fd, TREE_DESCRIPTORS, ret);
}

static int read_facts(struct check *check, struct sheet *sheet, struct snap_err *err) {
    struct snap_err why = {0};
    int r = facts_read(check->store, sheet->layer, &sheet->facts, &why);
    if (r == -EUCLEAN)
        return tell_layer(check, sheet->layer, DAMAGE_FACTS, "facts", "is damaged: the snapshot's name or state may be lost");
    if (r < 0 && err)
        *err = why;
    return MIN(r, 0);
}

/* 1 = read, 0 = damaged and told. */
static int read_sheet(struct check *check, int64_t layer, struct sheet **ret, struct snap_err *err) {
    struct snap_err why = {0};
    _sheet_ struct sheet *sheet = NULL;
    int r = sheet_read(check->store, layer, &sheet, &why);
    if (r == -EUCLEAN || r == -ENOENT || r == -EISDIR || r == -ELOOP || r == -EIO)
        return tell_layer(check, layer, DAMAGE_MANIFEST, "manifest", r == -ENOENT ? "is missing" : strstr(why.message, ": ")
                          ? strstr(why.message, ": ") + 2 : why.message);
    if (r < 0) {
        if (err)
            *err = why;
        return r;
    }
    if ((r = read_facts(check, sheet, err)) < 0)
        return r;
    *ret = TAKE_PTR(sheet);
    return 1;
}

/* Takes the sheet. */
static int check_tree(struct check *check, struct sheet *taken) {
    _sheet_ struct sheet *sheet = taken;
    _dirs_ struct dirs *tree = NULL;
    int r = open_tree(check, sheet->layer, &tree);
    if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
        return tell_layer(check, sheet->layer, DAMAGE_LAYER, "tree", "is missing");
    if (r < 0)
        return r;
    struct open_sheet *kept = &check->sheets[check->sheets_count++];
    *kept = (struct open_sheet){ .sheet = TAKE_PTR(sheet), .tree = TAKE_PTR(tree) };
    if ((r = open_nodes(kept->sheet, kept->tree)) < 0)
        return r;
    map_free(check->objects, free);
    if (!(check->objects = map_new()))
        return -ENOMEM;
    struct work work = { .check = check, .sheet = kept->sheet, .one = one_dir, .count = kept->sheet->dirs_count };
    return work_off(&work);
}

int check_layer(struct check *check, int64_t layer, struct snap_err *err) {
    struct sheet *sheet = NULL;
    int r = check_parts(check, layer);
    if (r <= 0)
        return failed(r, err);
    struct snap_err why = {0};
    r = read_sheet(check, layer, &sheet, &why);
    if (r < 0) {
        if (err && why.code)
            *err = why;
        return why.code ? r : failed(r, err);
    }
    int whole = r;
    if (sheet && (r = check_tree(check, sheet)) < 0)
        return failed(r, err);
    if (check->sheets_count == SHEETS_KEPT || check->jobs_count >= JOBS_KEPT)
        r = check_finish(check, err);
    return r < 0 ? r : whole;
}
