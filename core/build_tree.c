/* Whole trees of snapshots made anew, and compared with what was made.
 * A tree being made is seen by nobody else; a tree being compared may change meanwhile, and nothing is done to it.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "build.h"
#include "fs.h"
#include "inspect.h"
#include "map.h"
#include "tree.h"
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { OPEN_DIRECTORIES = 256 };

struct made { struct dir *at; char *name; };          /* the first name of an object that has several */
struct folder { struct dir *at; struct object *object; char *path; };

struct builder {
    struct snap_project *project;
    struct point at;
    struct dirs *tree;
    struct map *nodes;                    /* directory identity -> struct dir */
    struct map *links;                    /* object id -> struct made */
    struct folder *folders;               /* parents first */
    size_t folders_count;
    struct build_result result;
    uint64_t conflicts;
    struct snap_err *err;
};

static void unref_node(void *node) {
    dir_unref(node);
}

static void free_made(void *data) {
    struct made *made = data;
    dir_unref(made->at);
    free(made->name);
    free(made);
}

static void builder_done(struct builder *builder) {
    for (size_t i = 0; i < builder->folders_count; i++) {
        dir_unref(builder->folders[i].at);
        object_free(builder->folders[i].object);
        free(builder->folders[i].path);
    }
    free(builder->folders);
    map_free(builder->nodes, unref_node);
    map_free(builder->links, free_made);
    dirs_close(builder->tree);
}
#define _builder_ _cleanup_(builder_done)

static int builder_open(struct builder *builder, int fd, const struct object *object) {
    builder->nodes = map_new();
    builder->links = map_new();
    int r = builder->nodes && builder->links ? dirs_open(fd, OPEN_DIRECTORIES, &builder->tree) : -ENOMEM;
    if (r < 0)
        return r;
    struct dir *root = dir_ref(dirs_root(builder->tree));
    r = map_put(builder->nodes, &object->dir, sizeof(object->dir), root, NULL);
    if (r < 0)
        dir_unref(root);
    return MIN(r, 0);
}

static struct dir *node_in(const struct builder *builder, int64_t dir) {
    return map_get(builder->nodes, &dir, sizeof(dir));
}

static int add_node(struct builder *builder, struct dir *above, const struct tree_node *node) {
    struct dir *at = dir_child(above, node->name);
    if (!at)
        return -ENOMEM;
    int r = map_put(builder->nodes, &node->object->dir, sizeof(node->object->dir), at, NULL);
    if (r < 0)
        dir_unref(at);
    return MIN(r, 0);
}

/* Making. */

static void tell_failed(const struct builder *builder, const char *path, int code) {
    project_notice(builder->project, SNAP_NOTICE_FAILED_PATH, path, "cannot restore it: %s", strerror(-code));
}

static void tell_missing(const struct builder *builder, const char *path, unsigned missing) {
    _buf_ struct buf words = {0};
    build_missing_words(missing, &words);
    if (words.size && !words.failed)
        project_notice(builder->project, SNAP_NOTICE_FAILED_PATH, path, "is restored, but what is not permitted here is missing: %s", words.data);
}

/* Metadata comes at the end, when nothing is made in it any more. */
static int add_folder(struct builder *builder, struct dir *at, const struct object *object, const char *path) {
    size_t count = builder->folders_count;
    if ((count & (count - 1)) == 0) {
        struct folder *more = reallocarray(builder->folders, count ? 2 * count : 1, sizeof(*more));
        if (!more)
            return -ENOMEM;
        builder->folders = more;
    }
    struct folder folder = { .object = tree_object_copy(object), .path = strdup(path) };
    if (!folder.object || !folder.path) {
        object_free(folder.object);
        free(folder.path);
        return -ENOMEM;
    }
    folder.at = dir_ref(at);
    builder->folders[builder->folders_count++] = folder;
    return 0;
}

static int make_directory(struct builder *builder, struct dir *above, const struct tree_node *node) {
    int r = add_node(builder, above, node);
    struct dir *at = node_in(builder, node->object->dir);
    if (r >= 0)
        r = dir_make(at);
    if (r >= 0)
        r = add_folder(builder, at, node->object, node->path);
    if (r >= 0 && node->object->flags & OBJECT_UNREAD)
        project_notice(builder->project, SNAP_NOTICE_FAILED_PATH, node->path,
                       "is restored without what was in it, which could not be read when the snapshot was taken");
    return MIN(r, 0);
}

/* 1 = linked to a name of the same object, 0 = this is its first, or its only one. */
static int link_to_first(struct builder *builder, struct dir *above, int dirfd, const struct tree_node *node) {
    int64_t id = node->object->id;
    struct made *first = map_get(builder->links, &id, sizeof(id));
    if (first) {
        _pinned_ struct dir_pinned from = dir_pinned(first->at);
        if (from.fd < 0)
            return from.fd;
        return linkat(from.fd, first->name, dirfd, node->name, 0) < 0 ? errno == EMLINK || errno == EPERM ? 0 : -errno : 1;
    }
    int64_t links = index_links(builder->project->store, builder->at, id, builder->err);
    if (links <= 1)
        return (int)MIN(links, (int64_t)0);
    struct made *made = calloc(1, sizeof(*made));
    if (!made)
        return -ENOMEM;
    made->at = dir_ref(above);
    made->name = strdup(node->name);
    if (!made->name || map_put(builder->links, &id, sizeof(id), made, NULL) < 0) {
        free_made(made);
        return -ENOMEM;
    }
    return 0;
}

/* It could not be made: it is no name to link to. */
static void forget_first(struct builder *builder, int64_t id) {
    struct made *made = map_remove(builder->links, &id, sizeof(id));
    if (made)
        free_made(made);
}

static int make_file(struct builder *builder, struct dir *above, const struct tree_node *node) {
    _pinned_ struct dir_pinned at = dir_pinned(above);
    unsigned missing = 0;
    if (node->object->flags & OBJECT_LOST) {
        project_notice(builder->project, SNAP_NOTICE_FAILED_PATH, node->path,
                       "cannot be restored, because what the store had of it was damaged and is lost");
        return 1;
    }
    int r = at.fd < 0 ? at.fd : node->object->flags & OBJECT_UNREAD ? -ENODATA : link_to_first(builder, above, at.fd, node);
    if (r == 0)
        r = build_entry(builder->project, at.fd, node->name, node->object, &builder->result.bytes, &missing, NULL);
    if (r >= 0) {
        tell_missing(builder, node->path, missing);
        return 0;
    }
    if (!build_is_about_entry(r))
        return r;
    forget_first(builder, node->object->id);
    if (unlinkat(at.fd, node->name, 0) < 0 && errno != ENOENT)
        return -errno;
    tell_failed(builder, node->path, r);
    return 1;
}

static int make_node(void *data, const struct tree_node *node) {
    struct builder *builder = data;
    struct dir *above = node_in(builder, node->dir);
    if (project_cancelled(builder->project))
        return -ECANCELED;
    int r = !above ? -EUCLEAN : object_is_dir(node->object) ? make_directory(builder, above, node) : make_file(builder, above, node);
    if (r == 0)
        builder->result.entries++;
    return MIN(r, 0);
}

static int finish_folders(struct builder *builder) {
    for (size_t i = builder->folders_count; i-- > 0;) {
        struct folder *folder = &builder->folders[i];
        _pinned_ struct dir_pinned at = dir_pinned(folder->at);
        unsigned missing = 0;
        int r = at.fd < 0 ? at.fd : meta_apply(at.fd, "", &folder->object->meta, 0, &missing);
        if (r < 0)
            return r;
        tell_missing(builder, folder->path, missing);
    }
    return 0;
}

static int make_tree(struct builder *builder, const struct object *object, const char *path, int dirfd, const char *as) {
    if (mkdirat(dirfd, as, 0700) < 0)
        return -errno;
    _close_ int fd = openat(dirfd, as, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = fd < 0 ? -errno : builder_open(builder, fd, object);
    if (r < 0 || (r = add_folder(builder, dirs_root(builder->tree), object, path)) < 0)
        return r;
    builder->result.entries++;
    r = tree_walk(builder->project->store, builder->at, object->dir, path, true, make_node, builder, builder->err);
    return r < 0 ? r : finish_folders(builder);
}

static int make_one(struct builder *builder, const struct object *object, const char *path, int dirfd, const char *as) {
    unsigned missing = 0;
    if (object->flags & OBJECT_LOST)
        return err_damage(builder->err, "cannot restore '%s': what the store had of it was damaged and is lost", path);
    if (object->flags & OBJECT_UNREAD)
        return err_path(builder->err, -ENODATA, path, "restore, because it could not be read when the snapshot was taken,");
    int r = build_entry(builder->project, dirfd, as, object, &builder->result.bytes, &missing, builder->err);
    if (r < 0)
        return r;
    tell_missing(builder, path, missing);
    builder->result.entries++;
    return 0;
}

int build_tree(struct snap_project *project, struct point at, const struct object *object, const char *path, int dirfd, const char *as,
               struct build_result *ret, struct snap_err *err) {
    _builder_ struct builder builder = { .project = project, .at = at, .err = err };
    int r = object_is_dir(object) ? make_tree(&builder, object, path, dirfd, as) : make_one(&builder, object, path, dirfd, as);
    if (r == -ECANCELED)
        return project_cancelled_error(err);
    if (r < 0)
        return err && err->code == r ? r : err_path(err, r, path, "restore");
    *ret = builder.result;
    return 0;
}

/* Comparing. */

/* What the file system or a missing privilege did not take then is no change since. */
static unsigned ignored_here(void) {
    return geteuid() == 0 ? 0 : SNAP_WHAT_OWNER | SNAP_WHAT_XATTR;
}

static void conflict(struct builder *builder, const char *path, const char *text) {
    builder->conflicts++;
    project_notice(builder->project, SNAP_NOTICE_CONFLICT, path, "%s", text);
}

/* Names that the snapshot does not have. */
static int check_names(struct builder *builder, int64_t dir, int fd, const char *path) {
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *list = copy < 0 ? NULL : fdopendir(copy);
    if (!list)
        return copy < 0 ? -errno : -ENOMEM;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(list)); errno = 0) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        int64_t there = index_lookup_id(builder->project->store, builder->at, dir, entry->d_name, builder->err);
        if (there < 0)
            return (int)there;
        _buf_ struct buf full = {0};
        tree_join(&full, path, entry->d_name);
        if (full.failed)
            return -ENOMEM;
        if (!there)
            conflict(builder, full.data, "was made since");
    }
    return -errno;
}

static int check_directory(struct builder *builder, int dirfd, const char *name, const struct object *object, const char *path) {
    _close_ int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
        conflict(builder, path, "is not what was restored");
        return TREE_SKIP;
    }
    if (fd < 0)
        return -errno;
    int r = inspect_compare(dirfd, name, object, ignored_here() | SNAP_WHAT_TIME);
    if (r == 0)
        conflict(builder, path, "was changed since");
    return r < 0 ? r : check_names(builder, object->dir, fd, path);
}

static int check_node(void *data, const struct tree_node *node) {
    struct builder *builder = data;
    struct dir *above = node_in(builder, node->dir);
    if (!above)
        return -EUCLEAN;
    _pinned_ struct dir_pinned at = dir_pinned(above);
    if (at.fd < 0)
        return at.fd;
    if (object_is_dir(node->object)) {
        int r = add_node(builder, above, node);
        return r < 0 ? r : check_directory(builder, at.fd, node->name, node->object, node->path);
    }
    if (node->object->flags & OBJECT_UNREAD)
        return 0;
    int r = inspect_compare(at.fd, node->name, node->object, ignored_here());
    if (r == 0)
        conflict(builder, node->path, "was changed since");
    return MIN(r, 0);
}

static int check_tree(struct builder *builder, const struct object *object, const char *path, int dirfd, const char *as) {
    int r = check_directory(builder, dirfd, as, object, path);
    if (r != 0)
        return MIN(r, 0);
    _close_ int fd = openat(dirfd, as, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    r = fd < 0 ? -errno : builder_open(builder, fd, object);
    return r < 0 ? r : tree_walk(builder->project->store, builder->at, object->dir, path, true, check_node, builder, builder->err);
}

int build_check(struct snap_project *project, struct point at, const struct object *object, const char *path, int dirfd, const char *as,
                uint64_t *ret_conflicts, struct snap_err *err) {
    _builder_ struct builder builder = { .project = project, .at = at, .err = err };
    int r;
    if (object_is_dir(object)) {
        r = check_tree(&builder, object, path, dirfd, as);
    } else if ((r = inspect_compare(dirfd, as, object, ignored_here())) == 0) {
        conflict(&builder, path, "was changed since");
    }
    if (r < 0)
        return err && err->code == r ? r : err_path(err, r, path, "compare");
    *ret_conflicts = builder.conflicts;
    return 0;
}
