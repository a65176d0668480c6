/* Entries of a snapshot into an archive: which they are, in which order, and that their content is what was stored.
 * Knows no format. SPDX-License-Identifier: GPL-2.0-or-later */
#include "exporter.h"

#include "quote.h"
#include <string.h>
#include <sys/stat.h>

int exporter_init(struct exporter *exporter, struct snap_project *project, struct point at, struct snap_err *err) {
    *exporter = (struct exporter){ .project = project, .at = at, .err = err, .links = map_new() };
    return exporter->links ? 0 : err_nomem(err);
}

void exporter_done(struct exporter *exporter) {
    exporter->links = map_free(exporter->links, free);
    exporter->tar = tar_free(exporter->tar);
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

/* Why an archive cannot have it; NULL: it can. */
static const char *refusal(const struct object *object) {
    if (object->flags & OBJECT_UNREAD && !object_is_dir(object))
        return "is left out: it could not be read when the snapshot was taken";
    if (S_ISSOCK(object->meta.mode))
        return "is left out: an archive cannot hold a socket";
    return NULL;
}

/* The path of the first name of the same object; NULL: this is its first, or its only one. */
static int find_first(struct exporter *exporter, const char *path, const struct object *object, const char **ret) {
    *ret = NULL;
    if (object_is_dir(object) || !(object->flags & OBJECT_LINKED))
        return 0;
    if ((*ret = map_get(exporter->links, &object->id, sizeof(object->id))))
        return 0;
    int64_t links = index_links(exporter->project->store, exporter->at, object->id, exporter->err);
    if (links <= 1)
        return (int)MIN(links, (int64_t)0);
    char *first = strdup(path);
    if (!first || map_put(exporter->links, &object->id, sizeof(object->id), first, NULL) < 0) {
        free(first);
        return err_nomem(exporter->err);
    }
    return 0;
}

static int add_content(struct exporter *exporter, const struct tar_entry *entry, const struct object *object) {
    _close_ int fd = project_open_content(exporter->project, object, exporter->err);
    if (fd < 0)
        return fd;
    struct copy_options options = { .expected = object->meta.size, .cancel = exporter->project->env.cancel, .progress = on_bytes, .data = exporter };
    struct digest digest;
    int r = tar_add_file(exporter->tar, entry, fd, &options, &digest, exporter->err);
    return r < 0 ? r : project_check_content(exporter->project, object, &digest, exporter->err);
}

static int add(struct exporter *exporter, const char *path, const struct object *object) {
    struct tar_entry entry = { .path = path, .meta = &object->meta };
    int r = find_first(exporter, path, object, &entry.link);
    if (r < 0)
        return r;
    if (S_ISREG(object->meta.mode) && object->meta.size && !entry.link)
        return add_content(exporter, &entry, object);
    return tar_add(exporter->tar, &entry, exporter->err);
}

int export_entry(struct exporter *exporter, const char *path, const struct object *object) {
    if (project_cancelled(exporter->project))
        return project_cancelled_error(exporter->err);
    const char *why = refusal(object);
    if (why) {
        project_notice(exporter->project, SNAP_NOTICE_FAILED_PATH, path, "%s", why);
        return 0;
    }
    if (object->flags & OBJECT_UNREAD)
        project_notice(exporter->project, SNAP_NOTICE_FAILED_PATH, path,
                       "is exported without what was in it, which could not be read when the snapshot was taken");
    int r = add(exporter, path, object);
    if (r < 0)
        return r == -EPIPE || r == -ECANCELED || r == -ENOSPC ? r : wrap(exporter, path);
    exporter->entries++;
    tell_progress(exporter);
    return 0;
}

static int on_node(void *data, const struct tree_node *node) {
    return export_entry(data, node->path, node->object);
}

int export_tree(struct exporter *exporter) {
    _object_ struct object *root = NULL;
    struct store *store = exporter->project->store;
    int r = index_lookup(store, exporter->at, 0, "", &root, exporter->err);
    if (r == 0)
        return err_damage(exporter->err, "the index is damaged: the snapshot has no root");
    if (r > 0)
        r = export_entry(exporter, "", root);
    return r < 0 ? r : tree_walk(store, exporter->at, root->dir, "", true, on_node, exporter, exporter->err);
}
