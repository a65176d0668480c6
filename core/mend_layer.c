/* Putting back what belongs into a layer: from a copy elsewhere in the store, or from the project, where its digest is right.
 * A file is built whole beside the layer and renamed into it; nothing that is there is overwritten in place, since the inode
 * may be another's, and what is in the way goes to lost+found. SPDX-License-Identifier: GPL-2.0-or-later */
#include "mend.h"

#include "dirs.h"
#include "fs.h"
#include "sheet.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NEW_NAME "mended"
enum { DESCRIPTORS = 64 };

struct layer_mend {
    struct mend *mend;
    struct sheet *sheet;
    struct dirs *tree;
    struct snap_err *err;
};

static int failed(const struct layer_mend *at, int r, const char *name) {
    if (r >= 0 || at->err->code == r)
        return r;
    return err_path(at->err, r, name, "repair layer %" PRId64 ":", at->sheet->layer);
}

static int put_aside(const struct layer_mend *at, struct dir *dir, const char *name) {
    _buf_ struct buf path = {0}, file = {0};
    dir_path(dir, name, &path);
    buf_fmt(&file, "layers/%" PRId64 "/tree/%s", at->sheet->layer, path.data ? path.data : "");
    return file.failed || path.failed ? err_nomem(at->err) : mend_aside(at->mend->store, file.data, at->err);
}

/* Where the bytes are. */

static bool is_whole(int fd, const struct object *object) {
    uint64_t size = 0;
    struct digest digest;
    return fd >= 0 && copy_digest(fd, NULL, &size, &digest) >= 0 && size == object->meta.size && digest_equal(&digest, &object->digest)
        && lseek(fd, 0, SEEK_SET) == 0;
}

static int open_regular(int dirfd, const char *path) {
    _close_ int fd = fs_open_beneath(dirfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
    struct stat stat;
    return fd >= 0 && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) ? TAKE_FD(fd) : -1;
}

struct looking { const struct layer_mend *at; const struct object *object; int fd; };

static int try_content(void *data, const struct content *content) {
    struct looking *looking = data;
    struct layers *layers = NULL;
    struct snap_err ignored = {0};
    if (project_layers(looking->at->mend->project, &layers, &ignored) < 0)
        return 0;
    _close_ int fd = layers_open_content(layers, content, &ignored);
    if (!is_whole(fd, looking->object))
        return 0;
    looking->fd = TAKE_FD(fd);
    return 1;
}

/* The layers that show the object again may hold a copy, and the project may still have it where it was. */
static int try_places(struct looking *looking, const struct finding *finding) {
    struct mend *mend = looking->at->mend;
    for (size_t i = 0; i < finding->shown_count && looking->fd < 0; i++) {
        const struct shown *shown = &finding->shown[i];
        _buf_ struct buf path = {0}, file = {0};
        int64_t until;
        int r = check_path(mend->store, (struct point){ shown->line, shown->born }, shown->dir, shown->name, &path, &until, looking->at->err);
        if (r < 0)
            return r;
        if (r == 0 || !path.data)
            continue;
        buf_fmt(&file, "%" PRId64 "/tree/%s", shown->born, path.data);
        _close_ int fd = file.failed ? -1 : open_regular(store_layers_fd(mend->store), file.data);
        if (!is_whole(fd, looking->object)) {
            fd_close(fd);
            fd = open_regular(mend->project->root, path.data);
        }
        if (is_whole(fd, looking->object))
            looking->fd = TAKE_FD(fd);
    }
    return 0;
}

/* A descriptor of the object's bytes, of which the digest is right; -1 = there are none. */
static int find_bytes(const struct layer_mend *at, const struct finding *finding, const struct sheet_entry *entry, int dirfd, int *ret) {
    struct looking looking = { .at = at, .object = &entry->object, .fd = -1 };
    _close_ int own = open_regular(dirfd, entry->name);
    int r = 0;
    if (is_whole(own, &entry->object))
        looking.fd = TAKE_FD(own);
    else
        r = check_contents_like(at->mend->store, &entry->object.digest, entry->object.meta.size, try_content, &looking, at->err);
    if (r >= 0 && looking.fd < 0)
        r = try_places(&looking, finding);
    if (r < 0)
        fd_close(looking.fd);
    else
        *ret = looking.fd;
    return MIN(r, 0);
}

/* Files. */

static int new_file(const struct layer_mend *at, const struct sheet_entry *entry, int from) {
    int work = store_work_fd(at->mend->store);
    int r = fs_remove_tree(work, NEW_NAME);
    if (r < 0)
        return r;
    _close_ int fd = openat(work, NEW_NAME, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    struct digest digest = entry->object.digest;
    struct copy_options options = { .want_digest = true, .cancel = at->mend->project->env.cancel };
    r = from >= 0 ? copy_content(from, fd, &options, NULL, &digest) : 0;
    if (r >= 0 && !digest_equal(&digest, &entry->object.digest))
        return -EAGAIN;                      /* it changed since it was looked at */
    struct meta wanted = layer_storable(&entry->object.meta, S_IFREG);
    if (r >= 0)
        r = meta_apply(fd, "", &wanted, META_STORE, NULL);
    return r < 0 ? r : fsync(fd) < 0 ? -errno : 0;
}

static int put_in_place(const struct layer_mend *at, int dirfd, const char *name) {
    return renameat(store_work_fd(at->mend->store), NEW_NAME, dirfd, name) < 0 ? -errno : 0;
}

/* The first name of the same object in the layer under which it is whole, perhaps this one. */
static const struct sheet_entry *whole_name(const struct layer_mend *at, const struct sheet_entry *entry, struct dir **ret_dir) {
    for (size_t i = 0; entry->object.flags & OBJECT_LINKED && i < at->sheet->count; i++) {
        const struct sheet_entry *other = at->sheet->entries[i];
        if (other->flags & MANIFEST_DELETED || other->object.id != entry->object.id)
            continue;
        struct sheet_dir *dir = sheet_dir(at->sheet, other->in);
        _pinned_ struct dir_pinned pinned = dir_pinned(dir->node);
        struct stat stat;
        if (pinned.fd < 0 || fstatat(pinned.fd, other->name, &stat, AT_SYMLINK_NOFOLLOW) < 0 || (stat.st_mode ^ entry->object.meta.mode) & S_IFMT)
            continue;
        _close_ int fd = S_ISREG(stat.st_mode) ? open_regular(pinned.fd, other->name) : -1;
        if (S_ISREG(stat.st_mode) && !is_whole(fd, &entry->object))
            continue;
        *ret_dir = dir->node;
        return other;
    }
    return NULL;
}

/* 1 = it is another name of the object now, 0 = there is no whole one, or no more links are possible. */
static int link_to_other(const struct layer_mend *at, const struct sheet_entry *entry, int dirfd) {
    struct dir *dir = NULL;
    const struct sheet_entry *other = whole_name(at, entry, &dir);
    if (!other || other == entry)
        return 0;
    _pinned_ struct dir_pinned from = dir_pinned(dir);
    int work = store_work_fd(at->mend->store), r = from.fd < 0 ? from.fd : fs_remove_tree(work, NEW_NAME);
    if (r < 0)
        return r;
    struct stat now, wanted;
    if (fstatat(from.fd, other->name, &wanted, AT_SYMLINK_NOFOLLOW) == 0 && fstatat(dirfd, entry->name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
        now.st_ino == wanted.st_ino && now.st_dev == wanted.st_dev)
        return 1;
    if (linkat(from.fd, other->name, work, NEW_NAME, 0) < 0)
        return errno == EMLINK ? 0 : -errno;
    r = put_in_place(at, dirfd, entry->name);
    return r < 0 ? r : 1;
}

static int link_all(const struct layer_mend *at, const struct sheet_entry *entry) {
    int r = 0;
    for (size_t i = 0; i < at->sheet->count && r >= 0; i++) {
        const struct sheet_entry *other = at->sheet->entries[i];
        if (other->flags & MANIFEST_DELETED || other->object.id != entry->object.id)
            continue;
        _pinned_ struct dir_pinned dir = dir_pinned(sheet_dir(at->sheet, other->in)->node);
        r = dir.fd < 0 ? dir.fd : link_to_other(at, other, dir.fd);
    }
    return MIN(r, 0);
}

static int note(struct lost *lost, int64_t content) {
    if (MAKE_ROOM(lost->contents, lost->count, lost->room) < 0)
        return -ENOMEM;
    lost->contents[lost->count++] = content;
    return 0;
}

/* 1 = it is the content's file now, 0 = that is not whole, or cannot be linked. */
static int link_content(const struct layer_mend *at, const struct content *content, const struct sheet_entry *entry, int dirfd) {
    struct layers *layers = NULL;
    struct snap_err ignored = {0};
    int work = store_work_fd(at->mend->store);
    if (project_layers(at->mend->project, &layers, &ignored) < 0)
        return 0;
    _close_ int fd = layers_open_content(layers, content, &ignored);
    if (!is_whole(fd, &entry->object) || fs_remove_tree(work, NEW_NAME) < 0 || layers_link_content(layers, content, work, NEW_NAME, &ignored) < 0)
        return 0;
    int r = put_in_place(at, dirfd, entry->name);
    return r < 0 ? r : 1;
}

/* The same file as in the layer that the object came with, where metadata is equal. */
static int link_to_origin(const struct layer_mend *at, const struct sheet_entry *entry, int dirfd) {
    struct content content;
    struct snap_err ignored = {0};
    if (!entry->content_layer || index_content(at->mend->store, entry->object.content, &content, &ignored) < 0)
        return 0;
    int r = link_content(at, &content, entry, dirfd);
    free(content.name);
    return r;
}

static int mend_regular(const struct layer_mend *at, const struct finding *finding, const struct sheet_entry *entry, int dirfd) {
    bool empty = !entry->object.content, own = sheet_entry_has_content(entry);
    _close_ int from = -1;
    int r = finding->kind == DAMAGE_LINK ? 0 : link_to_other(at, entry, dirfd);
    if (r == 0 && finding->kind != DAMAGE_LINK)
        r = link_to_origin(at, entry, dirfd);
    if (r == 0 && !empty)
        r = find_bytes(at, finding, entry, dirfd, &from);
    if (r == 0 && !empty && from < 0)
        return own ? note(&at->mend->lost, entry->object.content) : 0;
    if (r == 0 && (r = new_file(at, entry, from)) == 0)
        r = put_in_place(at, dirfd, entry->name);
    if (r >= 0 && own && sheet_is_lost(at->sheet, entry->object.content))
        r = note(&at->mend->found, entry->object.content);
    return MIN(r, 0);
}

static int mend_special(const struct layer_mend *at, const struct sheet_entry *entry, struct dir *dir, int dirfd) {
    struct meta wanted;
    struct stat stat;
    int r = put_aside(at, dir, entry->name);
    if (r == 0 && (r = link_to_other(at, entry, dirfd)) != 0)
        return MIN(r, 0);
    if (r == 0)
        r = layer_make_special(dirfd, entry->name, &entry->object.meta);
    if (r < 0 || fstatat(dirfd, entry->name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return r < 0 ? r : -errno;
    wanted = layer_storable(&entry->object.meta, stat.st_mode);
    return meta_apply(dirfd, entry->name, &wanted, META_STORE, NULL);
}

static int mend_whiteout(const struct layer_mend *at, const struct sheet_entry *entry, struct dir *dir, int dirfd) {
    int r = put_aside(at, dir, entry->name);
    return r < 0 ? r : layer_whiteout(dirfd, entry->name);
}

static int mend_metadata(const struct sheet_entry *entry, int dirfd) {
    struct stat stat;
    if (fstatat(dirfd, entry->name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    struct meta wanted = layer_storable(&entry->object.meta, stat.st_mode);
    return meta_apply(dirfd, entry->name, &wanted, META_STORE, NULL);
}

static bool is_in_the_way(int dirfd, const char *name) {
    struct stat stat;
    return fstatat(dirfd, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(stat.st_mode);
}

static int mend_entry(const struct layer_mend *at, const struct finding *finding, const struct sheet_entry *entry) {
    struct dir *dir = sheet_dir(at->sheet, entry->in)->node;
    _pinned_ struct dir_pinned pinned = dir_pinned(dir);
    if (pinned.fd < 0)
        return pinned.fd;
    if (entry->flags & MANIFEST_DELETED || entry->object.flags & OBJECT_UNREAD)
        return mend_whiteout(at, entry, dir, pinned.fd);
    if (finding->kind == DAMAGE_LINK && !finding->shared)
        return link_all(at, entry);
    if (finding->kind == DAMAGE_METADATA)
        return mend_metadata(entry, pinned.fd);
    if (!S_ISREG(entry->object.meta.mode))
        return mend_special(at, entry, dir, pinned.fd);
    int r = is_in_the_way(pinned.fd, entry->name) ? put_aside(at, dir, entry->name) : 0;
    return r < 0 ? r : mend_regular(at, finding, entry, pinned.fd);
}

/* Directories. */

static int open_nodes(const struct layer_mend *at) {
    for (size_t i = 0; i < at->sheet->dirs_count; i++) {
        struct sheet_dir *dir = at->sheet->dirs[i], *in = dir->self->in ? sheet_dir(at->sheet, dir->self->in) : NULL;
        dir->node = in ? dir_child(in->node, dir->self->name) : dir_ref(dirs_root(at->tree));
        if (!dir->node)
            return -ENOMEM;
    }
    return 0;
}

/* Those that are missing or something else, parents first. */
static int make_dirs(const struct layer_mend *at) {
    for (size_t i = 0; i < at->sheet->dirs_count; i++) {
        struct dir *node = at->sheet->dirs[i]->node, *in = dir_parent(node);
        int fd = dir_pin(node);
        if (fd >= 0)
            dir_unpin(node);
        if (fd >= 0 || !in)
            continue;
        int r = fd == -ENOENT ? 0 : put_aside(at, in, dir_name(node));
        if (r == 0)
            r = dir_make(node);
        if (r < 0)
            return failed(at, r, dir_name(node));
    }
    return 0;
}

/* Deepest first: what is put into a directory changes its time. */
static int finish_dirs(const struct layer_mend *at) {
    for (size_t i = at->sheet->dirs_count; i-- > 0;) {
        const struct sheet_dir *dir = at->sheet->dirs[i];
        _pinned_ struct dir_pinned pinned = dir_pinned(dir->node);
        bool opaque = dir->self->flags & MANIFEST_OPAQUE;
        int r = pinned.fd < 0 ? pinned.fd : layer_restore_dir(pinned.fd, &dir->self->object.meta, opaque, dir->self->redirect);
        if (r < 0)
            return failed(at, r, dir_name(dir->node));
    }
    return 0;
}

/* The layer. */

static int open_tree(struct layer_mend *at, int64_t layer) {
    char path[40];
    int layers = store_layers_fd(at->mend->store);
    snprintf(path, sizeof(path), "%" PRId64 "/tree", layer);
    _close_ int fd = fs_open_beneath(layers, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd == -ENOTDIR || fd == -ELOOP) {
        char file[48];
        snprintf(file, sizeof(file), "layers/%s", path);
        int r = mend_aside(at->mend->store, file, at->err);
        if (r < 0)
            return r;
    }
    if (fd < 0 && mkdirat(layers, path, 0700) < 0)
        return -errno;
    if (fd < 0)
        fd = fs_open_beneath(layers, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    return fd < 0 ? fd : dirs_open(fd, DESCRIPTORS, &at->tree);
}

static int mend_found(const struct layer_mend *at) {
    const struct findings *findings = &at->mend->verify->findings;
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = findings->all[i];
        if (finding->layer != at->sheet->layer || !finding->name || !finding->in)
            continue;
        const struct sheet_entry *entry = sheet_find(at->sheet, finding->in, finding->name);
        if (!entry || sheet_entry_is_dir(entry))
            continue;
        int r = mend_entry(at, finding, entry);
        if (r < 0)
            return failed(at, r, finding->name);
    }
    return 0;
}

static int mend_tree(struct layer_mend *at) {
    int r = open_tree(at, at->sheet->layer);
    if (r == 0)
        r = open_nodes(at);
    if (r == 0)
        r = make_dirs(at);
    if (r == 0)
        r = mend_found(at);
    return r < 0 ? r : finish_dirs(at);
}

/* Without a manifest nobody knows what belongs there; what the index misses there is lost. */
static int give_up(struct mend *mend, int64_t layer, struct snap_err *err) {
    for (size_t i = 0; i < mend->verify->findings.count; i++) {
        const struct finding *finding = mend->verify->findings.all[i];
        if (finding->layer == layer && finding->content && note(&mend->lost, finding->content) < 0)
            return err_nomem(err);
    }
    return 0;
}

int mend_layer(struct mend *mend, int64_t layer, struct snap_err *err) {
    struct layer_mend at = { .mend = mend, .err = err };
    struct snap_err why = {0};
    int r = sheet_read(mend->store, layer, &at.sheet, &why);
    if (r < 0)
        return give_up(mend, layer, err);
    (void)facts_read(mend->store, layer, &at.sheet->facts, &why);
    r = mend_tree(&at);
    if (r < 0 && err->code != r)
        err_errno(err, r, "cannot repair layer %" PRId64, layer);
    sheet_free(at.sheet);
    dirs_close(at.tree);
    return r;
}
