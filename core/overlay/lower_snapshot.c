/* A snapshot as a lower tree: read through the index, whatever the number of layers; bytes come from the layers.
 * Changes nothing, and needs nothing from the project. What a layer cannot hold (owners, devices, xattrs of symlinks) is
 * told as the index has it. What was never read, and what is damaged, is an error (EIO) and a sentence in the log, never
 * an empty file.
 *
 * Numbers: a directory's is its identity, a file's its object and, unless it is one of several hard links, a hash of its
 * place, for an object may stand under two names that are equal files, each of its own. A tag keeps both out of the
 * range that file systems use.
 *
 * A directory that was listed stays in memory, within a bound, so that what follows a listing asks nothing more.
 * One lock, that of the layers: it guards the store's connection and all that is remembered.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "lower.h"

#include "layer.h"
#include "map.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

enum {
    ROWS_KEPT = 65536,         /* of remembered directories, all together */
    PLACE_BITS = 26,           /* of a file's number: the hash of its place */
    BLOCK = 512,               /* of st_blocks */
};
#define TAG_DIR (UINT64_C(1) << 61)
#define TAG_FILE (UINT64_C(3) << 60)
#define TAGS (UINT64_C(15) << 60)
#define OBJECT_MASK ((UINT64_C(1) << (60 - PLACE_BITS)) - 1)

struct lower_dir {
    atomic_uint references;
    int64_t id;
    struct object object;      /* what the directory itself is */
};

struct known {                 /* a directory that was listed */
    int64_t dir;
    unsigned uses;             /* the table, and who reads it */
    struct index_listing listing;
    struct known *newer, *older;
};

struct snapshot_tree {
    struct lower lower;
    struct store *store;
    struct layers *layers;     /* its lock guards the connection and what follows */
    struct point at;
    struct map *known;         /* identity -> struct known */
    struct known *newest, *oldest;
    size_t rows;               /* in all of them */
    void (*log)(void *data, const char *sentence);
    void *data;
};

static struct snapshot_tree *tree_of(struct lower *lower) {
    return (struct snapshot_tree *)lower;
}

static void unlock(struct layers **layers) {
    layers_unlock(*layers);
}
#define LOCKED(tree) \
    __attribute__((unused)) _cleanup_(unlock) struct layers *locked_ = (layers_lock((tree)->layers), (tree)->layers)

/* What the kernel gets for a failure that has a sentence. */
static int failed(struct snapshot_tree *tree, int code, const struct snap_err *err) {
    if (code == -ENOMEM)
        return code;
    if (tree->log)
        tree->log(tree->data, err->message);
    return -EIO;
}

/* Directories that were listed. */

static void known_unuse(void *value) {
    struct known *known = value;
    if (--known->uses > 0)
        return;
    index_listing_done(&known->listing);
    free(known);
}

static void unchain(struct snapshot_tree *tree, struct known *known) {
    *(known->newer ? &known->newer->older : &tree->newest) = known->older;
    *(known->older ? &known->older->newer : &tree->oldest) = known->newer;
}

static void chain(struct snapshot_tree *tree, struct known *known) {
    known->newer = NULL;
    known->older = tree->newest;
    *(known->older ? &known->older->newer : &tree->oldest) = known;
    tree->newest = known;
}

static struct known *remembered(struct snapshot_tree *tree, int64_t dir) {
    struct known *known = map_get(tree->known, &dir, sizeof(dir));
    if (known && known != tree->newest) {
        unchain(tree, known);
        chain(tree, known);
    }
    return known;
}

static void forget_oldest(struct snapshot_tree *tree) {
    struct known *known = tree->oldest;
    map_remove(tree->known, &known->dir, sizeof(known->dir));
    unchain(tree, known);
    tree->rows -= known->listing.count;
    known_unuse(known);
}

/* The directory in memory, borrowed until the lock is given back. */
static int known_dir(struct snapshot_tree *tree, int64_t dir, struct known **ret) {
    struct snap_err err = {0};
    if ((*ret = remembered(tree, dir)))
        return 0;
    struct known *known = calloc(1, sizeof(*known));
    if (!known)
        return -ENOMEM;
    known->dir = dir;
    known->uses = 1;
    int r = index_read_dir(tree->store, tree->at, dir, &known->listing, &err);
    if (r < 0 || (r = map_put(tree->known, &dir, sizeof(dir), known, NULL)) < 0) {
        known_unuse(known);
        return failed(tree, r, &err);
    }
    chain(tree, known);
    tree->rows += known->listing.count;
    while (tree->rows > ROWS_KEPT && tree->oldest != known)
        forget_oldest(tree);
    *ret = known;
    return 0;
}

static const struct index_row *row_of(const struct known *known, const char *name) {
    size_t low = 0, high = known->listing.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct index_row *row = &known->listing.rows[middle];
        int order = strcmp(name, index_row_name(&known->listing, row));
        if (order == 0)
            return row;
        *(order < 0 ? &high : &low) = order < 0 ? middle : middle + 1;
    }
    return NULL;
}

/* An object at a place, from memory or asked for. `object` is borrowed until the lock is given back. */
struct found { const struct object *object; struct object *owned; uint32_t links; };

static void found_done(struct found *found) {
    object_free(found->owned);
}
#define _found_ _cleanup_(found_done)

static int ask(struct snapshot_tree *tree, int64_t dir, const char *name, struct found *ret) {
    struct snap_err err = {0};
    _object_ struct object *object = NULL;
    int64_t links = 1;
    int r = index_lookup(tree->store, tree->at, dir, name, &object, &err);
    if (r > 0 && object->flags & OBJECT_LINKED)
        links = index_links(tree->store, tree->at, object->id, &err);
    if (r < 0 || links < 0)
        return failed(tree, r < 0 ? r : (int)links, &err);
    if (r > 0)
        *ret = (struct found){ .object = object, .owned = object, .links = (uint32_t)MIN(links, (int64_t)UINT32_MAX) };
    TAKE_PTR(object);
    return r;
}

/* 1 found, 0 absent. With the lock held. */
static int find_object(struct snapshot_tree *tree, int64_t dir, const char *name, struct found *ret) {
    struct known *known = remembered(tree, dir);
    if (!known)
        return ask(tree, dir, name, ret);
    const struct index_row *row = row_of(known, name);
    if (row)
        *ret = (struct found){ .object = &row->object, .links = row->links };
    return row != NULL;
}

/* The same for what has to be there; "" is the directory itself. */
static int need_object(struct snapshot_tree *tree, struct lower_dir *dir, const char *name, struct found *ret) {
    if (!*name) {
        *ret = (struct found){ .object = &dir->object, .links = 1 };
        return 0;
    }
    int r = find_object(tree, dir->id, name, ret);
    return r == 0 ? -ENOENT : MIN(r, 0);
}

/* Numbers. */

static uint64_t place_hash(int64_t dir, const char *name) {
    char key[ENTRY_KEY_MAX];
    size_t size = entry_key(key, dir, name);
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)key[i]) * UINT64_C(0x100000001b3);
    return (hash * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - PLACE_BITS);
}

static uint64_t number_of(const struct object *object, int64_t dir, const char *name) {
    if (object_is_dir(object))
        return TAG_DIR | (uint64_t)object->dir;
    uint64_t place = object->flags & OBJECT_LINKED ? 0 : place_hash(dir, name);
    return TAG_FILE | ((uint64_t)object->id & OBJECT_MASK) << PLACE_BITS | place;
}

int64_t lower_snapshot_object(uint64_t number) {
    return (number & TAGS) == TAG_FILE ? (int64_t)(number >> PLACE_BITS & OBJECT_MASK) : 0;
}

/* Objects as stat(2) tells them. */

static void fill_stat(const struct object *object, uint64_t number, uint32_t links, struct stat *ret) {
    const struct meta *meta = &object->meta;
    *ret = (struct stat){
        .st_ino = number, .st_mode = meta->mode, .st_nlink = links, .st_uid = meta->uid, .st_gid = meta->gid,
        .st_rdev = makedev(meta->rdev_major, meta->rdev_minor),
        .st_size = (off_t)meta->size, .st_blksize = 4096, .st_blocks = (blkcnt_t)((meta->size + BLOCK - 1) / BLOCK),
        .st_mtim = meta->mtime, .st_atim = meta->mtime, .st_ctim = meta->mtime,
    };
    if (S_ISDIR(meta->mode))
        ret->st_size = ret->st_blocks = 0;
}

static struct lower_dir *dir_new(const struct object *object) {
    struct lower_dir *dir = calloc(1, sizeof(*dir));
    if (!dir || meta_copy(&dir->object.meta, &object->meta) < 0) {
        free(dir);
        return NULL;
    }
    dir->references = 1;
    dir->id = dir->object.dir = object->dir;
    dir->object.id = object->id;
    dir->object.flags = object->flags;
    return dir;
}

static int fill(const struct found *found, int64_t dir, const char *name, struct lower_entry *ret) {
    struct lower_entry entry = {0};
    fill_stat(found->object, number_of(found->object, dir, name), found->links, &entry.stat);
    if (object_is_dir(found->object) && !(entry.dir = dir_new(found->object)))
        return -ENOMEM;
    *ret = entry;
    return LOWER_ENTRY;
}

static struct lower_dir *ref(struct lower_dir *dir) {
    atomic_fetch_add(&dir->references, 1);
    return dir;
}

static void unref(struct lower *lower, struct lower_dir *dir) {
    (void)lower;
    if (!dir || atomic_fetch_sub(&dir->references, 1) > 1)
        return;
    object_done(&dir->object);
    free(dir);
}

/* Looking. */

static int root(struct lower *lower, struct lower_entry *ret) {
    struct snapshot_tree *tree = tree_of(lower);
    LOCKED(tree);
    _found_ struct found found = {0};
    int r = find_object(tree, 0, "", &found);
    if (r == 0 || (r > 0 && found.object->dir != INDEX_ROOT)) {
        struct snap_err err = {0};
        return failed(tree, err_damage(&err, "the index is damaged: snapshot %lld has no root", (long long)tree->at.snap), &err);
    }
    r = r < 0 ? r : fill(&found, 0, "", ret);
    return MIN(r, 0);
}

static int unread(struct snapshot_tree *tree, int64_t dir, const char *name, const char *what) {
    struct snap_err err = {0};
    _buf_ struct buf path = {0};
    int r = index_dir_path(tree->store, tree->at, dir, &path, &err);
    if (r > 0 && *name) {
        if (path.size)
            buf_char(&path, '/');
        buf_str(&path, name);
    }
    r = err_path(&err, -EIO, path.data && !path.failed ? path.data : name, "read in snapshot %lld", (long long)tree->at.snap);
    if (tree->log) {
        err_set(&err, r, "%s; %s could not be read when it was taken", strdupa(err.message), what);
        tree->log(tree->data, err.message);
    }
    return -EIO;
}

static int lookup(struct lower *lower, struct lower_dir *dir, const char *name, struct lower_entry *ret) {
    struct snapshot_tree *tree = tree_of(lower);
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    LOCKED(tree);
    _found_ struct found found = {0};
    int r = find_object(tree, dir->id, name, &found);
    if (r == 0 && dir->object.flags & OBJECT_UNREAD)
        return unread(tree, dir->id, "", "what is in it");
    return r > 0 ? fill(&found, dir->id, name, ret) : r;
}

static int stat_dir(struct lower *lower, struct lower_dir *dir, struct lower_entry *ret) {
    (void)lower;
    *ret = (struct lower_entry){0};
    fill_stat(&dir->object, number_of(&dir->object, 0, ""), 1, &ret->stat);
    return 0;
}

/* The directory in memory, kept while it is read without the lock. */
static int hold(struct snapshot_tree *tree, struct lower_dir *dir, struct known **ret) {
    LOCKED(tree);
    if (dir->object.flags & OBJECT_UNREAD)
        return unread(tree, dir->id, "", "what is in it");
    int r = known_dir(tree, dir->id, ret);
    if (r == 0)
        (*ret)->uses++;
    return r;
}

static void let_go(struct snapshot_tree *tree, struct known *known) {
    LOCKED(tree);
    known_unuse(known);
}

static unsigned char type_of(uint32_t mode) {
    return (unsigned char)((mode & S_IFMT) >> 12);             /* as DT_* are defined */
}

static int list(struct lower *lower, struct lower_dir *dir, lower_name_fn fn, void *data) {
    struct snapshot_tree *tree = tree_of(lower);
    struct known *known = NULL;
    int r = hold(tree, dir, &known);
    if (r < 0)
        return r;
    for (size_t i = 0; i < known->listing.count && r == 0; i++) {
        const struct index_row *row = &known->listing.rows[i];
        const char *name = index_row_name(&known->listing, row);
        r = fn(data, name, type_of(row->object.meta.mode), number_of(&row->object, dir->id, name));
    }
    let_go(tree, known);
    return r;
}

/* Content. */

static int open_empty(void) {
    int fd = memfd_create("empty", MFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Which content it is; 0 = an empty file. */
static int content_of(struct snapshot_tree *tree, struct lower_dir *dir, const char *name, int64_t *ret) {
    LOCKED(tree);
    _found_ struct found found = {0};
    int r = need_object(tree, dir, name, &found);
    if (r < 0)
        return r;
    if (!S_ISREG(found.object->meta.mode))
        return object_is_dir(found.object) ? -EISDIR : -EINVAL;
    if (found.object->flags & OBJECT_UNREAD)
        return unread(tree, dir->id, name, "its content");
    *ret = found.object->content;
    return 0;
}

static int open_file(struct lower *lower, struct lower_dir *dir, const char *name) {
    struct snapshot_tree *tree = tree_of(lower);
    struct snap_err err = {0};
    int64_t content = 0;
    int r = content_of(tree, dir, name, &content);
    if (r < 0 || !content)
        return r < 0 ? r : open_empty();
    r = layers_open_content_id(tree->layers, content, &err);
    return r == -EMFILE || r == -ENFILE || r >= 0 ? r : failed(tree, r, &err);
}

static int read_link(struct lower *lower, struct lower_dir *dir, const char *name, struct buf *ret) {
    struct snapshot_tree *tree = tree_of(lower);
    LOCKED(tree);
    _found_ struct found found = {0};
    int r = need_object(tree, dir, name, &found);
    if (r < 0)
        return r;
    if (!S_ISLNK(found.object->meta.mode))
        return -EINVAL;
    if (!found.object->meta.target)
        return unread(tree, dir->id, name, "its target");
    buf_str(ret, found.object->meta.target);
    return ret->failed;
}

/* Xattrs. */

static ssize_t answer(const void *bytes, size_t has, void *value, size_t size) {
    if (size && has > size)
        return -ERANGE;
    if (size && has)
        memcpy(value, bytes, has);
    return (ssize_t)has;
}

struct packed { struct bufread reader; const char *name; size_t name_size; const void *value; size_t value_size; };

static struct packed packed_xattrs(const struct meta *meta) {
    const uint8_t *bytes = meta->xattrs;
    return (struct packed){ .reader = { .at = bytes, .end = bytes + (bytes ? meta->xattrs_size : 0) } };
}

static bool packed_next(struct packed *packed) {
    if (packed->reader.at == packed->reader.end)
        return false;
    packed->name_size = bufread_u16(&packed->reader);
    packed->value_size = bufread_u32(&packed->reader);
    packed->name = bufread_bytes(&packed->reader, packed->name_size);
    packed->value = bufread_bytes(&packed->reader, packed->value_size);
    return !packed->reader.failed;
}

static ssize_t get_xattr(struct lower *lower, struct lower_dir *dir, const char *name, const char *xattr, void *value, size_t size) {
    struct snapshot_tree *tree = tree_of(lower);
    LOCKED(tree);
    _found_ struct found found = {0};
    int r = need_object(tree, dir, name, &found);
    if (r < 0)
        return r;
    struct packed packed = packed_xattrs(&found.object->meta);
    while (packed_next(&packed))
        if (packed.name_size == strlen(xattr) && memcmp(packed.name, xattr, packed.name_size) == 0)
            return answer(packed.value, packed.value_size, value, size);
    return -ENODATA;
}

static ssize_t list_xattr(struct lower *lower, struct lower_dir *dir, const char *name, char *names, size_t size) {
    struct snapshot_tree *tree = tree_of(lower);
    LOCKED(tree);
    _found_ struct found found = {0};
    int r = need_object(tree, dir, name, &found);
    if (r < 0)
        return r;
    _buf_ struct buf out = {0};
    struct packed packed = packed_xattrs(&found.object->meta);
    while (packed_next(&packed)) {
        buf_add(&out, packed.name, packed.name_size);
        buf_char(&out, '\0');
    }
    return out.failed ? out.failed : answer(out.data, out.size, names, size);
}

/* Handles: the line, the directory and the number. They lead to the object in every snapshot of the line that has it. */

enum { HANDLE_TYPE = 0x5e };
struct handle_bytes { int64_t line, dir; uint64_t number; };

static int handle(struct lower *lower, struct lower_dir *dir, const char *name, struct lower_handle *ret) {
    struct snapshot_tree *tree = tree_of(lower);
    LOCKED(tree);
    _found_ struct found found = {0};
    int r = need_object(tree, dir, name, &found);
    if (r < 0)
        return r;
    struct handle_bytes bytes = { .line = tree->at.line, .dir = dir->id, .number = number_of(found.object, dir->id, name) };
    *ret = (struct lower_handle){ .type = HANDLE_TYPE, .size = sizeof(bytes) };
    memcpy(ret->bytes, &bytes, sizeof(bytes));
    return 0;
}

/* Where a directory lies, as a reference to its parent: 1, or 0 absent. */
static int dir_at(struct snapshot_tree *tree, int64_t id, struct lower_dir **ret) {
    struct snap_err err = {0};
    _free_ char *name = NULL;
    _found_ struct found found = {0};
    int64_t parent = 0;
    int r = index_dir_place(tree->store, tree->at, id, &parent, &name, &err);
    if (r < 0)
        return failed(tree, r, &err);
    if (r > 0)
        r = find_object(tree, parent, name, &found);
    if (r <= 0 || found.object->dir != id)
        return MIN(r, 0);
    *ret = dir_new(found.object);
    return *ret ? 1 : -ENOMEM;
}

static int find_dir(struct snapshot_tree *tree, int64_t id, struct lower_dir **ret_dir, char **ret_name) {
    struct snap_err err = {0};
    _free_ char *name = NULL;
    int64_t parent = 0;
    int r = index_dir_place(tree->store, tree->at, id, &parent, &name, &err);
    if (r < 0)
        return failed(tree, r, &err);
    if (r > 0)
        r = dir_at(tree, id == INDEX_ROOT ? id : parent, ret_dir);
    if (r > 0)
        *ret_name = TAKE_PTR(name);
    return r;
}

/* Among the names of one object, the one that makes this number. */
struct wanted { uint64_t number; const struct object *object; int64_t dir; char *name; };

static int is_wanted(void *data, int64_t dir, const char *name) {
    struct wanted *wanted = data;
    if (number_of(wanted->object, dir, name) != wanted->number)
        return 0;
    wanted->dir = dir;
    wanted->name = strdup(name);
    return wanted->name ? 1 : -ENOMEM;
}

static int find_in(struct snapshot_tree *tree, int64_t dir, struct wanted *wanted) {
    struct known *known = NULL;
    int r = known_dir(tree, dir, &known);
    for (size_t i = 0; r == 0 && i < known->listing.count; i++) {
        wanted->object = &known->listing.rows[i].object;
        r = is_wanted(wanted, dir, index_row_name(&known->listing, &known->listing.rows[i]));
    }
    return r;
}

/* Without a hint: the first place of its bytes is mostly where the file still is; else all entries are read. */
static int find_anywhere(struct snapshot_tree *tree, struct wanted *wanted) {
    struct snap_err err = {0};
    _object_ struct object *object = NULL;
    int64_t id = (int64_t)(wanted->number >> PLACE_BITS & OBJECT_MASK);
    int r = index_has_object(tree->store, id, &object, &err);
    if (r <= 0)
        return r < 0 ? failed(tree, r, &err) : 0;
    struct content content = {0};
    wanted->object = object;
    if (object->content && (r = index_content(tree->store, object->content, &content, &err)) < 0)
        return failed(tree, r, &err);
    _free_ char *name = content.name;
    if (name && index_lookup_id(tree->store, tree->at, content.dir, name, NULL) == id && (r = is_wanted(wanted, content.dir, name)) != 0)
        return r;
    r = index_places(tree->store, tree->at, object, is_wanted, wanted, &err);
    return r < 0 ? failed(tree, r, &err) : wanted->name != NULL;
}

static int find_file(struct snapshot_tree *tree, uint64_t number, int64_t hint, struct lower_dir **ret_dir, char **ret_name) {
    struct wanted wanted = { .number = number };
    int r = hint ? find_in(tree, hint, &wanted) : 0;
    if (r == 0)
        r = find_anywhere(tree, &wanted);
    _free_ char *name = wanted.name;
    if (r > 0)
        r = dir_at(tree, wanted.dir, ret_dir);
    if (r > 0)
        *ret_name = TAKE_PTR(name);
    return r;
}

static int find(struct lower *lower, uint64_t number, const struct lower_handle *given, struct lower_dir **ret_dir, char **ret_name) {
    struct snapshot_tree *tree = tree_of(lower);
    struct handle_bytes bytes = { .line = tree->at.line, .number = number };
    if (given) {
        if (given->type != HANDLE_TYPE || given->size != sizeof(bytes))
            return 0;
        memcpy(&bytes, given->bytes, sizeof(bytes));
    }
    if (bytes.line != tree->at.line)
        return 0;
    LOCKED(tree);
    if ((bytes.number & TAGS) == TAG_DIR)
        return find_dir(tree, (int64_t)(bytes.number & ~TAGS), ret_dir, ret_name);
    return (bytes.number & TAGS) == TAG_FILE ? find_file(tree, bytes.number, bytes.dir, ret_dir, ret_name) : 0;
}

static int where(struct lower *lower, struct lower_dir *dir, struct buf *ret) {
    struct snapshot_tree *tree = tree_of(lower);
    struct snap_err err = {0};
    LOCKED(tree);
    int r = index_dir_path(tree->store, tree->at, dir->id, ret, &err);
    return r < 0 ? failed(tree, r, &err) : r == 0 ? -ENOENT : 0;
}

static int stat_fs(struct lower *lower, struct statvfs *ret) {
    return fstatvfs(store_layers_fd(tree_of(lower)->store), ret) < 0 ? -errno : 0;
}

static void close_tree(struct lower *lower) {
    struct snapshot_tree *tree = tree_of(lower);
    map_free(tree->known, known_unuse);
    layers_close(tree->layers);
    free(tree);
}

static const struct lower_ops operations = {
    .close = close_tree, .ref = ref, .unref = unref, .root = root, .lookup = lookup, .stat_dir = stat_dir, .list = list,
    .open = open_file, .read_link = read_link, .get_xattr = get_xattr, .list_xattr = list_xattr, .handle = handle, .find = find,
    .where = where, .statfs = stat_fs,
};

int lower_snapshot_open(const struct lower_snapshot *options, struct lower **ret) {
    struct snapshot_tree *tree = calloc(1, sizeof(*tree));
    if (!tree)
        return -ENOMEM;
    tree->lower = (struct lower){ .ops = &operations, .immutable = true };
    tree->store = options->store;
    tree->at = *options->at;
    tree->log = options->log;
    tree->data = options->data;
    tree->known = map_new();
    int r = tree->known ? layers_open(options->store, &tree->layers) : -ENOMEM;
    if (r < 0) {
        close_tree(&tree->lower);
        return r;
    }
    *ret = &tree->lower;
    return 0;
}
