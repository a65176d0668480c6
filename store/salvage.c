/* The manifest of a layer from its tree. Believes what the tree shows, then what a line of the old manifest says that agrees
 * with it. Touches no tree. SPDX-License-Identifier: GPL-2.0-or-later */
#include "salvage.h"

#include "check.h"
#include "db.h"
#include "fs.h"
#include "layer.h"
#include "rebuild.h"
#include "sheet.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct folder { int64_t id; char *path; };       /* a directory of the tree, whose inside is yet to be listed */
struct later { int64_t content, object; };       /* what manifests after this one call bytes that lie here */
struct later_key { struct digest digest; uint64_t size; };

struct salvage {
    struct store *store, *before;         /* before: the index as the layers before say */
    struct layers *layers;                /* of before */
    int64_t layer;
    struct sheet *own;                    /* lines of the old manifest that make sense */
    struct map *dirs;                     /* entry_key -> int64_t: identities of directories, as manifests after this one have them */
    struct map *moved;                    /* path -> int64_t: of those that one of these says lay there before */
    struct map *later;                    /* struct later_key -> struct later */
    struct map *inodes;                   /* ino -> struct object: of files with several names */
    struct index_ids next;
    struct folder *folders;
    size_t count, room;
    struct buf body;
    uint64_t used, added, changed, deleted, bytes;      /* used: lines of the old manifest */
    int tree;
    const volatile sig_atomic_t *cancel;
    struct snap_err *err;
};

static void free_object(void *object) {
    object_free(object);
}

static void salvage_done(struct salvage *salvage) {
    layers_close(salvage->layers);
    store_close(salvage->before);
    sheet_free(salvage->own);
    map_free(salvage->dirs, free);
    map_free(salvage->moved, free);
    map_free(salvage->later, free);
    map_free(salvage->inodes, free_object);
    while (salvage->count)
        free(salvage->folders[--salvage->count].path);
    free(salvage->folders);
    buf_done(&salvage->body);
    fd_close(salvage->tree);
}

/* What is known from elsewhere. */

static int build_apart(struct salvage *salvage, int64_t last, struct store **ret) {
    struct rebuilt rebuilt;
    _cleanup_(store_closep) struct store *apart = NULL;
    int r = store_open_apart(salvage->store, &apart, salvage->err);
    if (r == 0)
        r = rebuild_index(salvage->store, apart, last, salvage->cancel, &rebuilt, salvage->err);
    if (r == 0)
        *ret = TAKE_PTR(apart);
    return r;
}

static int learn_numbers(struct salvage *salvage) {
    _cleanup_(store_closep) struct store *all = NULL;
    int r = build_apart(salvage, INT64_MAX, &all);
    return r < 0 ? r : index_next_ids(all, &salvage->next, salvage->err);
}

static int remember(struct map *map, const void *key, size_t size, const void *value, size_t value_size) {
    if (map_get(map, key, size))
        return 0;                         /* the manifest that comes first knows best */
    _free_ void *copy = malloc(value_size);
    if (!copy || map_put(map, key, size, memcpy(copy, value, value_size), NULL) < 0)
        return -ENOMEM;
    (void)TAKE_PTR(copy);
    return 0;
}

/* Its numbers are nobody else's. */
static void keep_free(struct salvage *salvage, const struct object *object) {
    int64_t highest = MAX(object->id, object->dir);
    salvage->next.content = MAX(salvage->next.content, object->content + 1);
    salvage->next.object = MAX(salvage->next.object, highest + 1);
}

static int learn_entry(struct salvage *salvage, const struct sheet_entry *entry) {
    char key[ENTRY_KEY_MAX];
    const struct object *object = &entry->object;
    if (entry->flags & MANIFEST_DELETED)
        return 0;
    keep_free(salvage, object);
    if (entry->redirect && remember(salvage->moved, entry->redirect + 1, strlen(entry->redirect) - 1, &object->dir, sizeof(object->dir)) < 0)
        return -ENOMEM;
    if (object_is_dir(object))
        return remember(salvage->dirs, key, entry_key(key, entry->in, entry->name), &object->dir, sizeof(object->dir));
    struct later_key bytes = { object->digest, object->meta.size };
    struct later later = { object->content, object->id };
    return entry->content_layer != salvage->layer ? 0 : remember(salvage->later, &bytes, sizeof(bytes), &later, sizeof(later));
}

static int learn_layer(struct salvage *salvage, int64_t layer) {
    struct snap_err why = {0};
    _sheet_ struct sheet *sheet = NULL;
    int r = sheet_read(salvage->store, layer, &sheet, &why);
    if (r < 0 && r != -ENOMEM)
        return 0;                         /* damaged as well: its turn comes */
    for (size_t i = 0; r == 0 && i < sheet->count; i++)
        r = learn_entry(salvage, sheet->entries[i]);
    return r < 0 ? err_nomem(salvage->err) : 0;
}

static int learn(struct salvage *salvage) {
    _free_ int64_t *layers = NULL;
    size_t count = 0;
    int r = build_apart(salvage, salvage->layer - 1, &salvage->before);
    if (r == 0)
        r = learn_numbers(salvage);
    if (r == 0)
        r = check_layers(salvage->store, &layers, &count, salvage->err);
    for (size_t i = 0; i < count && r == 0; i++)
        if (layers[i] > salvage->layer)
            r = learn_layer(salvage, layers[i]);
    if (r == 0)
        r = sheet_glean(salvage->store, salvage->layer, &salvage->own, salvage->err);
    for (size_t i = 0; r == 0 && i < salvage->own->count; i++)
        keep_free(salvage, &salvage->own->entries[i]->object);
    return r;
}

/* One entry. */

/* Without the marks of the format, and with the project's own attributes called what they were. */
static int strip(struct meta *meta) {
    static const char prefix[] = "user.overlay.";
    struct bufread reader = { .at = meta->xattrs, .end = (const uint8_t *)meta->xattrs + meta->xattrs_size };
    _buf_ struct buf out = {0};
    while (meta->xattrs && reader.at < reader.end) {
        uint16_t size = bufread_u16(&reader);
        uint32_t value_size = bufread_u32(&reader);
        const char *bytes = bufread_bytes(&reader, size);
        const void *value = bufread_bytes(&reader, value_size);
        _free_ char *name = reader.failed ? NULL : strndup(bytes, size);
        if (!name)
            return -ENOMEM;
        if (meta_xattr_is_overlay(name))
            continue;
        bool escaped = strncmp(name, prefix, strlen(prefix)) == 0;
        const char *rest = escaped ? name + strlen(prefix) + strlen("overlay.") : name;
        buf_u16(&out, (uint16_t)((escaped ? strlen(prefix) : 0) + strlen(rest)));
        buf_u32(&out, value_size);
        buf_str(&out, escaped ? prefix : "");
        buf_str(&out, rest);
        buf_add(&out, value, value_size);
    }
    free(TAKE_PTR(meta->xattrs));
    meta->xattrs_size = out.size;
    meta->xattrs = out.size ? buf_take(&out) : NULL;
    return out.size && !meta->xattrs ? -ENOMEM : out.failed;
}

static const struct sheet_entry *old_line(const struct salvage *salvage, int64_t in, const char *name) {
    const struct sheet_entry *entry = sheet_find(salvage->own, in, name);
    return entry && !(entry->flags & MANIFEST_DELETED) ? entry : NULL;
}

/* Whether what lies there is what the line says, as far as a layer can hold it. */
static bool agrees(const struct sheet_entry *line, const struct meta *stored, const struct digest *digest) {
    const struct meta *meta = &line->object.meta;
    bool placeholder = !S_ISREG(meta->mode) && !S_ISDIR(meta->mode) && S_ISREG(stored->mode) && stored->size == 0;
    if (placeholder)
        return stored->mtime.tv_sec == meta->mtime.tv_sec && stored->mtime.tv_nsec == meta->mtime.tv_nsec;
    if ((stored->mode ^ meta->mode) & S_IFMT)
        return false;
    if (S_ISREG(meta->mode) && (stored->size != meta->size || (meta->size && !digest_equal(digest, &line->object.digest))))
        return false;
    if (S_ISLNK(meta->mode))
        return stored->target && meta->target && strcmp(stored->target, meta->target) == 0;
    struct meta wanted = layer_storable(meta, stored->mode);
    return meta_stored_differs(stored, &wanted) == 0;
}

static void count(struct salvage *salvage, int64_t before) {
    *(before ? &salvage->changed : &salvage->added) += 1;
}

/* Files. */

struct sought { struct salvage *salvage; uint64_t ino; struct content found; };

static int is_that_inode(void *data, const struct content *content) {
    struct sought *sought = data;
    struct snap_err ignored = {0};
    struct stat stat;
    _close_ int fd = layers_open_content(sought->salvage->layers, content, &ignored);
    if (fd < 0 || fstat(fd, &stat) < 0 || stat.st_ino != sought->ino)
        return 0;
    sought->found = *content;
    sought->found.name = NULL;
    return 1;
}

static int object_with(struct salvage *salvage, int64_t content, struct object **ret) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, salvage->before, salvage->err, "SELECT id FROM object WHERE content = ?", "i", content);
    if (r >= 0)
        r = db_step(&row, salvage->err);
    return r <= 0 ? r : index_object(salvage->before, db_int(&row, 0), ret, salvage->err) < 0 ? -EUCLEAN : 1;
}

/* A file that is one inode with that of an older layer is the same object, shown again: 1, and in which layer its bytes are. */
static int older_object(struct salvage *salvage, const struct object *object, uint64_t ino, struct object **ret, int64_t *ret_layer) {
    struct sought sought = { .salvage = salvage, .ino = ino };
    int r = check_contents_like(salvage->before, &object->digest, object->meta.size, is_that_inode, &sought, salvage->err);
    if (r < 0 || !sought.found.id)
        return r;
    *ret_layer = sought.found.layer;
    return object_with(salvage, sought.found.id, ret);
}

/* Numbers for a file of which no line is left. */
static void number_file(struct salvage *salvage, struct object *object) {
    struct later_key key = { object->digest, object->meta.size };
    struct later *later = map_get(salvage->later, &key, sizeof(key));
    bool bytes = S_ISREG(object->meta.mode) && object->meta.size;
    object->id = bytes && later && later->object ? later->object : salvage->next.object++;
    object->content = !bytes ? 0 : later && later->content ? later->content : salvage->next.content++;
    if (bytes && later)
        *later = (struct later){0};       /* another file with these bytes is another one */
}

static int write_file(struct salvage *salvage, int64_t in, const char *name, const struct object *object, int64_t content_layer) {
    int64_t before = index_lookup_id(salvage->before, index_newest(INDEX_PROJECT_LINE), in, name, salvage->err);
    if (before < 0)
        return (int)before;
    count(salvage, before);
    salvage->bytes += object->content && !content_layer ? object->meta.size : 0;
    manifest_add(&salvage->body, &(struct manifest_entry){ .in = in, .name = name, .object = object, .content_layer = content_layer });
    return 0;
}

static int keep_inode(struct salvage *salvage, uint64_t ino, const struct object *object) {
    _object_ struct object *copy = calloc(1, sizeof(*copy));
    if (!copy || meta_copy(&copy->meta, &object->meta) < 0)
        return err_nomem(salvage->err);
    struct meta meta = copy->meta;
    *copy = *object;
    copy->meta = meta;
    if (map_put(salvage->inodes, &ino, sizeof(ino), copy, NULL) < 0)
        return err_nomem(salvage->err);
    (void)TAKE_PTR(copy);
    return 0;
}

/* A file with several names, one of which may be in an older layer. */
static int add_linked(struct salvage *salvage, int64_t in, const char *name, struct object *object, uint64_t ino) {
    _object_ struct object *older = NULL;
    int64_t layer = 0;
    const struct object *first = map_get(salvage->inodes, &ino, sizeof(ino));
    if (first)
        return write_file(salvage, in, name, first, 0);
    int r = object->meta.size ? older_object(salvage, object, ino, &older, &layer) : 0;
    if (r != 0)
        return r < 0 ? r : write_file(salvage, in, name, older, layer);
    number_file(salvage, object);
    object->flags |= OBJECT_LINKED;
    r = keep_inode(salvage, ino, object);
    return r < 0 ? r : write_file(salvage, in, name, object, 0);
}

static int digest_of(struct salvage *salvage, int dirfd, const char *name, struct object *object) {
    _close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct copy_options options = { .want_digest = true, .cancel = salvage->cancel };
    return fd < 0 ? -errno : copy_digest(fd, &options, &object->meta.size, &object->digest);
}

static int add_file(struct salvage *salvage, int64_t in, int dirfd, const char *name, const struct statx *stat) {
    _cleanup_(object_done) struct object object = {0};
    int r = meta_read(dirfd, name, -1, stat, &object.meta);
    if (r == 0 && S_ISREG(stat->stx_mode))
        r = digest_of(salvage, dirfd, name, &object);
    if (r == -EIO)
        return 0;                         /* nothing is known of it but its name */
    if (r < 0)
        return err_path(salvage->err, r, name, "read");
    const struct sheet_entry *line = old_line(salvage, in, name);
    if (line && agrees(line, &object.meta, &object.digest)) {
        salvage->used++;
        return write_file(salvage, in, name, &line->object, line->content_layer);
    }
    if (strip(&object.meta) < 0)
        return err_nomem(salvage->err);
    if (S_ISREG(stat->stx_mode) && stat->stx_nlink > 1)
        return add_linked(salvage, in, name, &object, stat->stx_ino);
    number_file(salvage, &object);
    return write_file(salvage, in, name, &object, 0);
}

static int add_whiteout(struct salvage *salvage, int64_t in, const char *name) {
    int64_t before = index_lookup_id(salvage->before, index_newest(INDEX_PROJECT_LINE), in, name, salvage->err);
    if (before <= 0)
        return (int)before;
    salvage->deleted++;
    manifest_add(&salvage->body, &(struct manifest_entry){ .in = in, .name = name, .flags = MANIFEST_DELETED });
    return 0;
}

/* Directories. */

static int push(struct salvage *salvage, int64_t id, const char *path) {
    if (MAKE_ROOM(salvage->folders, salvage->count, salvage->room) < 0)
        return err_nomem(salvage->err);
    char *copy = strdup(path);
    if (!copy)
        return err_nomem(salvage->err);
    salvage->folders[salvage->count++] = (struct folder){ id, copy };
    return 0;
}

struct marks { bool opaque; char *redirect; };

static void marks_done(struct marks *marks) {
    free(marks->redirect);
}

static int read_marks(int fd, struct marks *ret) {
    int opaque = layer_is_opaque(fd), r = opaque < 0 ? opaque : layer_redirect(fd, &ret->redirect);
    ret->opaque = opaque > 0;
    return MIN(r, 0);
}

/* Which directory of the snapshots before it is, if it was there: *ret untouched else. */
static int identity_before(struct salvage *salvage, int64_t in, const char *name, const struct marks *marks, struct object **ret) {
    struct point newest = index_newest(INDEX_PROJECT_LINE);
    _object_ struct object *object = NULL;
    int r = marks->redirect ? index_resolve(salvage->before, newest, marks->redirect + 1, NULL, NULL, &object, salvage->err)
        : marks->opaque ? 0 : index_lookup(salvage->before, newest, in, name, &object, salvage->err);
    if (r > 0 && object_is_dir(object))
        *ret = TAKE_PTR(object);
    return MIN(r, 0);
}

static int64_t identity_of(struct salvage *salvage, int64_t in, const char *name, const char *path, const struct object *before, int64_t fresh) {
    char key[ENTRY_KEY_MAX];
    const struct sheet_entry *line = old_line(salvage, in, name);
    const int64_t *later = map_get(salvage->moved, path, strlen(path));
    if (!later)
        later = map_get(salvage->dirs, key, entry_key(key, in, name));
    if (!in)
        return INDEX_ROOT;
    if (line && object_is_dir(&line->object))
        return line->object.dir;
    return before ? before->dir : later ? *later : fresh;
}

/* `fd`: the directory. Its line, with the object that it is. */
static int write_dir(struct salvage *salvage, int64_t in, const char *name, const char *path, int fd, const struct object *before,
                     const struct marks *marks, int64_t *ret_id) {
    struct statx stat;
    _cleanup_(object_done) struct object object = {0};
    int r = fs_statx(fd, "", &stat);
    if (r >= 0)
        r = meta_read(fd, "", fd, &stat, &object.meta);
    if (r < 0)
        return err_path(salvage->err, r, name, "read");
    struct manifest_entry entry = { .in = in, .name = name, .object = &object, .redirect = marks->redirect,
                                    .flags = marks->opaque ? MANIFEST_OPAQUE : 0 };
    const struct sheet_entry *line = old_line(salvage, in, name);
    object.dir = identity_of(salvage, in, name, path, before, salvage->next.object);
    struct meta same = before ? layer_storable(&before->meta, object.meta.mode) : (struct meta){0};
    unsigned differs = before ? meta_stored_differs(&object.meta, &same) : 0;
    if (line && line->object.dir == object.dir && agrees(line, &object.meta, NULL)) {
        entry.object = &line->object;
        entry.flags |= line->flags & MANIFEST_CONTEXT;
        salvage->used++;
    } else if (before && before->dir == object.dir && !marks->redirect && !differs) {
        entry.object = before;
        entry.flags |= MANIFEST_CONTEXT;
    } else if (strip(&object.meta) < 0) {
        return err_nomem(salvage->err);
    } else {
        object.id = salvage->next.object++;
        if (before ? differs & ~(unsigned)SNAP_WHAT_TIME : in)
            count(salvage, before != NULL);
    }
    *ret_id = object.dir;
    manifest_add(&salvage->body, &entry);
    return 0;
}

static int add_dir(struct salvage *salvage, int64_t in, int dirfd, const char *name, const char *path) {
    _cleanup_(marks_done) struct marks marks = {0};
    _object_ struct object *before = NULL;
    int64_t id = 0;
    _close_ int fd = openat(dirfd, *name ? name : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = fd < 0 ? -errno : read_marks(fd, &marks);
    if (r < 0)
        return err_path(salvage->err, r, path, "read");
    if ((r = identity_before(salvage, in, name, &marks, &before)) < 0 || (r = write_dir(salvage, in, name, path, fd, before, &marks, &id)) < 0)
        return r;
    return push(salvage, id, path);
}

static int add_entry(struct salvage *salvage, const struct folder *folder, int dirfd, const char *name) {
    _buf_ struct buf path = {0};
    struct statx stat;
    int r = fs_statx(dirfd, name, &stat), whiteout = r < 0 ? r : layer_is_whiteout(dirfd, name);
    if (whiteout < 0)
        return err_path(salvage->err, whiteout, name, "look at");
    if (whiteout)
        return add_whiteout(salvage, folder->id, name);
    if (!S_ISDIR(stat.stx_mode))
        return add_file(salvage, folder->id, dirfd, name, &stat);
    buf_fmt(&path, "%s%s%s", folder->path, *folder->path ? "/" : "", name);
    return path.failed ? err_nomem(salvage->err) : add_dir(salvage, folder->id, dirfd, name, path.data);
}

static int list_folder(struct salvage *salvage, const struct folder *folder) {
    _close_ int fd = fs_open_beneath(salvage->tree, *folder->path ? folder->path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    int copy = fd < 0 ? fd : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *list = copy < 0 ? NULL : fdopendir(copy);
    if (!list)
        return err_path(salvage->err, fd < 0 ? fd : -errno, folder->path, "list");
    errno = 0;
    for (struct dirent *entry; (entry = readdir(list)); errno = 0) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        int r = salvage->cancel && *salvage->cancel ? -ECANCELED : add_entry(salvage, folder, fd, entry->d_name);
        if (r < 0)
            return r;
    }
    return errno ? err_path(salvage->err, -errno, folder->path, "list") : 0;
}

static int walk(struct salvage *salvage) {
    int r = add_dir(salvage, 0, salvage->tree, "", "");
    while (r == 0 && salvage->count) {
        struct folder folder = salvage->folders[--salvage->count];
        r = list_folder(salvage, &folder);
        free(folder.path);
    }
    return r;
}

/* The whole. */

/* Facts that are there and have no snapshot are of one that gc freed. */
static unsigned flags_of(struct salvage *salvage) {
    _facts_ struct facts facts = {0};
    int r = facts_read(salvage->store, salvage->layer, &facts, NULL);
    return r > 0 && !facts.has_snapshot ? SNAPSHOT_GONE : 0;
}

static struct timespec made(struct salvage *salvage) {
    struct statx stat;
    if (fs_statx(salvage->tree, "", &stat) < 0)
        return (struct timespec){0};
    const struct statx_timestamp *time = stat.stx_mask & STATX_BTIME ? &stat.stx_btime : &stat.stx_ctime;
    return (struct timespec){ .tv_sec = time->tv_sec, .tv_nsec = time->tv_nsec };
}

static int write_text(struct salvage *salvage, struct buf *out) {
    int64_t parent = index_newest_number(salvage->before, INDEX_PROJECT_LINE, salvage->err);
    if (parent < 0)
        return (int)parent;
    struct snapshot made_up = { .line = INDEX_PROJECT_LINE, .layer = salvage->layer, .flags = flags_of(salvage), .public = {
        .number = salvage->layer, .parent = parent, .created = made(salvage), .name = "", .message = "put together from its layer",
        .added = salvage->added, .changed = salvage->changed, .deleted = salvage->deleted, .bytes = salvage->bytes } };
    manifest_begin(out, salvage->own->snapshot ? salvage->own->snapshot : &made_up);
    if (salvage->body.size)
        buf_add(out, salvage->body.data, salvage->body.size);
    manifest_end(out);
    return salvage->body.failed || out->failed ? err_nomem(salvage->err) : salvage->used || salvage->own->snapshot;
}

static int open_tree(struct salvage *salvage) {
    char name[48];
    snprintf(name, sizeof(name), "%" PRId64 "/tree", salvage->layer);
    salvage->tree = openat(store_layers_fd(salvage->store), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return salvage->tree < 0 ? err_path(salvage->err, -errno, name, "open") : 0;
}

int salvage_manifest(struct store *store, int64_t layer, const volatile sig_atomic_t *cancel, struct buf *out, struct snap_err *err) {
    struct snap_err space = {0};
    _cleanup_(salvage_done) struct salvage salvage = { .store = store, .layer = layer, .tree = -1, .dirs = map_new(), .moved = map_new(), .later = map_new(),
                                                       .inodes = map_new(), .cancel = cancel, .err = err ? err : &space };
    if (!salvage.dirs || !salvage.moved || !salvage.later || !salvage.inodes)
        return err_nomem(err);
    int r = open_tree(&salvage);
    if (r == 0)
        r = learn(&salvage);
    if (r == 0)
        r = layers_open(salvage.before, &salvage.layers);
    if (r == 0)
        r = walk(&salvage);
    return r < 0 ? r : write_text(&salvage, out);
}
