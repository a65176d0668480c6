/* Entries of a snapshot into an archive: which they are, in which order, and that their content is what was stored.
 * Knows of formats only what they cannot hold. SPDX-License-Identifier: GPL-2.0-or-later */
#include "exporter.h"

#include "quote.h"
#include <string.h>
#include <sys/stat.h>

#define WHITEOUT ".wh."        /* OCI image specification, layer.md, "Whiteouts" */
#define OPAQUE_WHITEOUT ".wh..wh..opq"

void exporter_init(struct exporter *exporter, struct snap_project *project, struct point at, struct snap_err *err) {
    *exporter = (struct exporter){ .project = project, .at = at, .err = err };
}

void exporter_done(struct exporter *exporter) {
    exporter->links = map_free(exporter->links, free);
    exporter->tar = tar_free(exporter->tar);
    exporter->mtree = mtree_free(exporter->mtree);
}

static int wrap(struct exporter *exporter, const char *path) {
    _buf_ struct buf shown = {0};
    quote_display(&shown, path, strlen(path));
    return err_wrap(exporter->err, "cannot export '%s'", !*path ? "." : shown.data ? shown.data : "?");
}

static void tell_progress(struct exporter *exporter) {
    project_progress(exporter->project, &(struct snap_progress){ .doing = "exporting", .entries = exporter->entries, .bytes = exporter->bytes });
}

static void on_bytes(void *data, uint64_t bytes) {
    struct exporter *exporter = data;
    exporter->bytes += bytes;
    tell_progress(exporter);
}

static const char *base_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Why an archive cannot have it; NULL: it can. */
static const char *refusal(const struct exporter *exporter, const char *path, const struct object *object) {
    const struct meta *meta = &object->meta;
    if (object->flags & OBJECT_LOST)
        return "is left out: what the store had of it was damaged and is lost";
    if (object->flags & OBJECT_UNREAD && !object_is_dir(object))
        return "is left out: it could not be read when the snapshot was taken";
    if (exporter->tar && S_ISSOCK(meta->mode))
        return "is left out: an archive cannot hold a socket";
    if (exporter->dialect == DIALECT_OCI && strncmp(base_of(path), WHITEOUT, strlen(WHITEOUT)) == 0)
        return "is left out: its name means in an OCI layer that something was deleted";
    if (exporter->dialect == DIALECT_OVERLAY && S_ISCHR(meta->mode) && !meta->rdev_major && !meta->rdev_minor)
        return "is left out: a character device 0:0 means in an overlay layer that something was deleted";
    return NULL;
}

/* Hard links. */

static int remember(struct exporter *exporter, const struct object *object, const char *text) {
    char *copy = strdup(text);
    if (!copy || map_put(exporter->links, &object->id, sizeof(object->id), copy, NULL) < 0) {
        free(copy);
        return err_nomem(exporter->err);
    }
    return 0;
}

/* > 1: it has more names in this tree. */
static int64_t count_links(struct exporter *exporter, const struct object *object) {
    if (object_is_dir(object) || !(object->flags & OBJECT_LINKED))
        return 1;
    if (!exporter->links && !(exporter->links = map_new()))
        return err_nomem(exporter->err);
    return index_links(exporter->project->store, exporter->at, object->id, exporter->err);
}

static const char *remembered(const struct exporter *exporter, const struct object *object) {
    return exporter->links ? map_get(exporter->links, &object->id, sizeof(object->id)) : NULL;
}

/* The path of the first name of the same object; NULL: this is its first, or its only one. */
static int find_first(struct exporter *exporter, const char *path, const struct object *object, const char **ret) {
    *ret = object_is_dir(object) ? NULL : remembered(exporter, object);
    int64_t links = *ret ? 1 : count_links(exporter, object);
    return links <= 1 ? (int)MIN(links, (int64_t)0) : remember(exporter, object, path);
}

/* Formats. */

static int check(struct exporter *exporter, const struct object *object, int r, const struct digest *digest) {
    if (r == -ECANCELED)
        return project_cancelled_error(exporter->err);
    return r < 0 ? r : project_check_content(exporter->project, object, digest, exporter->err);
}

static struct copy_options copying(struct exporter *exporter, const struct object *object) {
    return (struct copy_options){ .expected = object->meta.size, .cancel = exporter->project->env.cancel, .progress = on_bytes, .data = exporter };
}

static int add_tar(struct exporter *exporter, const char *path, const struct object *object, bool opaque) {
    struct tar_entry entry = { .path = path, .meta = &object->meta, .opaque = opaque && exporter->dialect == DIALECT_OVERLAY };
    int r = find_first(exporter, path, object, &entry.link);
    if (r < 0)
        return r;
    if (!S_ISREG(object->meta.mode) || !object->meta.size || entry.link)
        return tar_add(exporter->tar, &entry, exporter->err);
    _close_ int fd = project_open_content(exporter->project, object, exporter->err);
    if (fd < 0)
        return fd;
    struct copy_options options = copying(exporter, object);
    struct digest digest;
    r = tar_add_file(exporter->tar, &entry, fd, &options, &digest, exporter->err);
    return check(exporter, object, r, &digest);
}

static int digest_content(struct exporter *exporter, const struct object *object, char sha256[static SHA256_HEX + 1]) {
    _close_ int fd = project_open_content(exporter->project, object, exporter->err);
    if (fd < 0)
        return fd;
    struct copy_options options = copying(exporter, object);
    struct digest digest;
    int r = mtree_digest(exporter->mtree, fd, object->meta.size, &options, sha256, &digest, exporter->err);
    return check(exporter, object, r, &digest);
}

/* Of a hard link group the digest is remembered instead of a path. */
static int add_mtree(struct exporter *exporter, const char *path, const struct object *object) {
    char sha256[SHA256_HEX + 1] = "";
    int64_t links = count_links(exporter, object);
    const char *known = links > 1 ? remembered(exporter, object) : NULL;
    int r = (int)MIN(links, (int64_t)0);
    if (r == 0 && S_ISREG(object->meta.mode) && !known) {
        r = digest_content(exporter, object, sha256);
        if (r == 0 && links > 1)
            r = remember(exporter, object, sha256);
    }
    const char *digest = known ? known : *sha256 ? sha256 : NULL;
    return r < 0 ? r : mtree_add(exporter->mtree, path, &object->meta, object_is_dir(object) ? 0 : (uint64_t)links, digest, exporter->err);
}

static int add_empty(struct exporter *exporter, const char *path, uint32_t mode) {
    struct meta meta = { .mode = mode };
    return tar_add(exporter->tar, &(struct tar_entry){ .path = path, .meta = &meta }, exporter->err);
}

static int add_opaque_whiteout(struct exporter *exporter, const char *path) {
    _buf_ struct buf name = {0};
    tree_join(&name, path, OPAQUE_WHITEOUT);
    return name.failed ? err_nomem(exporter->err) : add_empty(exporter, name.data, S_IFREG | 0644);
}

int export_whiteout(struct exporter *exporter, const char *path) {
    _buf_ struct buf name = {0};
    const char *base = base_of(path);
    if (exporter->dialect == DIALECT_OCI && strncmp(base, WHITEOUT, strlen(WHITEOUT)) == 0)
        return 0;              /* it was in no layer */
    buf_add(&name, path, (size_t)(base - path));
    buf_fmt(&name, "%s%s", exporter->dialect == DIALECT_OCI ? WHITEOUT : "", base);
    if (name.failed)
        return err_nomem(exporter->err);
    exporter->deleted++;
    return add_empty(exporter, name.data, exporter->dialect == DIALECT_OCI ? S_IFREG | 0644 : S_IFCHR);
}

/* The tree. */

static int add(struct exporter *exporter, const char *path, const struct object *object, bool opaque) {
    int r = exporter->mtree ? add_mtree(exporter, path, object) : add_tar(exporter, path, object, opaque);
    if (r == 0 && opaque && exporter->dialect == DIALECT_OCI)
        r = add_opaque_whiteout(exporter, path);
    if (r < 0)
        return r == -EPIPE || r == -ECANCELED || r == -ENOSPC ? r : wrap(exporter, path);
    exporter->entries++;
    tell_progress(exporter);
    return 0;
}

int export_entry(struct exporter *exporter, const char *path, const struct object *object, bool opaque) {
    if (project_cancelled(exporter->project))
        return project_cancelled_error(exporter->err);
    const char *why = refusal(exporter, path, object);
    if (why) {
        project_notice(exporter->project, SNAP_NOTICE_FAILED_PATH, path, "%s", why);
        return TREE_SKIP;
    }
    if (object->flags & OBJECT_UNREAD)
        project_notice(exporter->project, SNAP_NOTICE_FAILED_PATH, path,
                       "is exported without what was in it, which could not be read when the snapshot was taken");
    return add(exporter, path, object, opaque);
}

static int on_node(void *data, const struct tree_node *node) {
    return export_entry(data, node->path, node->object, false);
}

int export_below(struct exporter *exporter, const char *path, int64_t dir) {
    return tree_walk(exporter->project->store, exporter->at, dir, path, true, on_node, exporter, exporter->err);
}

int export_tree(struct exporter *exporter) {
    _object_ struct object *root = NULL;
    int r = index_lookup(exporter->project->store, exporter->at, 0, "", &root, exporter->err);
    if (r == 0)
        return err_damage(exporter->err, "the index is damaged: the snapshot has no root");
    if (r > 0)
        r = export_entry(exporter, "", root, false);
    return r < 0 ? r : export_below(exporter, "", root->dir);
}

int export_tar(struct exporter *exporter, const struct point *from, struct sink *sink, unsigned flags) {
    exporter->links = map_free(exporter->links, free);
    exporter->tar = tar_free(exporter->tar);
    int r = tar_open(sink, flags, &exporter->tar, exporter->err);
    if (r == 0)
        r = from ? export_delta(exporter, *from) : export_tree(exporter);
    return r < 0 ? r : tar_end(exporter->tar, exporter->err);
}
