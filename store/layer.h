/* Layers on disk: overlayfs' format, and a layer being built. Knows whiteouts, opaque and redirect; knows nothing of
 * stacks, snapshots or FUSE. Source of the format: Documentation/filesystems/overlayfs.rst, "Whiteouts and opaque
 * directories", "redirect_dir", "Nesting overlayfs mounts"; namespace user.overlay.* as with -o userxattr.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "dirs.h"
#include "index.h"

/* The marks. dirfd: the layer directory in which `name` is, or which is itself marked. */
int layer_whiteout(int dirfd, const char *name);              /* character device 0:0; where refused, an empty file with user.overlay.whiteout */
int layer_is_whiteout(int dirfd, const char *name);           /* 1, 0 */
int layer_set_opaque(int dirfd);
int layer_is_opaque(int dirfd);                               /* 1, 0 */
int layer_set_redirect(int dirfd, const char *path);          /* absolute path in the layers below, "/a/b" */
int layer_redirect(int dirfd, char **ret);                    /* 1 found, 0 none; the caller frees */
int layer_has_marks(int dirfd);                               /* 1 = the file system can hold them, 0 = it has no xattrs */
/* What an inode of type `stored` can be given: still readable by us. Borrows from `meta`. The truth is in the manifest. */
struct meta layer_storable(const struct meta *meta, mode_t stored);

/* "layer 3 is damaged: 'PATH' WHAT": -EUCLEAN, SNAP_FAILURE_DAMAGE, and the path. */
int layer_damaged(struct snap_err *err, int64_t layer, const char *path, const char *what);

/* Symlink, fifo, socket, device as `meta` says, without its metadata; where the privilege is missing, an empty placeholder. */
int layer_make_special(int dirfd, const char *name, const struct meta *meta);
/* Metadata and marks of a directory that is there, exactly these. */
int layer_restore_dir(int fd, const struct meta *meta, bool opaque, const char *redirect);

/* A layer being built, in work/<id>. It undoes itself unless it was published.
 *
 * While it is built, every directory lies flat, under its identity: work/<id>/dirs/<dir>/<name>. So what is captured need
 * not know where it will be, what is thrown away is one name, and a directory that moves meanwhile moves nothing. At the
 * end the directories are put into each other, deepest first, and the root becomes work/<id>/tree: one rename a directory. */
struct stage;
struct flusher;
int stage_open(struct store *store, int64_t id, struct stage **ret, struct snap_err *err);
struct stage *stage_free(struct stage *stage);                /* removes what was built unless published */
DEFINE_CLEANUP(struct stage *, stage_free)
/* What is written into it may be flushed from now on, beside the work: who writes tells its flusher (flusher.h), who commits waits for it.
 * NULL before, for --no-sync, and where memory was missing. */
void stage_flush_early(struct stage *stage);
struct flusher *stage_flusher(struct stage *stage);           /* of NULL: NULL */
/* The number of the layer was not known when it was begun, or the identity of a directory; the new one is not in use. */
int stage_renumber(struct stage *stage, int64_t id);
int stage_rename_dir(struct stage *stage, int64_t id, int64_t new_id);        /* no reference to it may be left */
struct dir *stage_dir(struct stage *stage, int64_t id);       /* a new reference; made if not there; thread-safe. NULL: no memory or errno */
/* A new empty file, open for reading and writing whatever `mode` is (its permission bits, those of the umask aside): the
 * rest of the metadata comes with stage_apply_open. Descriptor or negative errno. */
int stage_create(struct stage *stage, struct dir *dir, const char *name, mode_t mode);
/* Symlink, fifo, socket, device as `meta` says; where the privilege for a device is missing, an empty placeholder file. */
int stage_make_special(struct stage *stage, struct dir *dir, const char *name, const struct meta *meta);
/* The same object under another name of this layer. */
int stage_link(struct stage *stage, struct dir *from_dir, const char *from, struct dir *dir, const char *name);
int stage_remove(struct stage *stage, struct dir *dir, const char *name);
int stage_apply(struct stage *stage, struct dir *dir, const char *name, const struct meta *meta);
int stage_apply_open(struct stage *stage, int fd, const struct meta *meta);     /* the same to a file that is open for writing */
/* Puts directory `id` under `name` of `parent` (0: it is the root) and gives it its metadata and marks; everything in it is
 * there already. redirect may be NULL. */
int stage_place_dir(struct stage *stage, int64_t id, int64_t parent, const char *name,
                    const struct meta *meta, bool opaque, const char *redirect);
/* A new, empty file for the manifest (manifest.h) beside the tree: a descriptor, or a negative errno. */
int stage_create_manifest(struct stage *stage);
/* Renames work/<id> to layers/<id>; a leftover of that number, which no snapshot names, goes first. Not flushed. */
int stage_publish(struct stage *stage, struct snap_err *err);
void stage_keep(struct stage *stage);                         /* after the commit: the layer belongs to a snapshot now */

/* Reading sealed layers. Keeps a bounded cache of open directories; thread-safe among themselves: what queries stands under
 * one lock. The store's connection belongs to one thread at a time, so nothing else may query the store meanwhile. */
struct layers;
int layers_open(struct store *store, struct layers **ret);
struct layers *layers_close(struct layers *layers);
DEFINE_CLEANUP(struct layers *, layers_close)
/* What else queries the store while other threads call the functions below does so between these two. */
void layers_lock(struct layers *layers);
void layers_unlock(struct layers *layers);
/* A read-only descriptor of the bytes, of the right type and size; -EUCLEAN if missing or of another size. */
int layers_open_content(struct layers *layers, const struct content *content, struct snap_err *err);
/* The same by the content's id, asking the index under the same lock. */
int layers_open_content_id(struct layers *layers, int64_t content, struct snap_err *err);
/* -EUCLEAN and which file of which layer it is: for who read what layers_open_content_id gave, and found another digest. */
int layers_content_differs(struct layers *layers, int64_t content, struct snap_err *err);
/* linkat of a layer's file to (dirfd, name), for content that lies in an older layer with equal metadata. Negative errno. */
int layers_link_content(struct layers *layers, const struct content *content, int dirfd, const char *name, struct snap_err *err);
