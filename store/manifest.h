/* The manifest of a layer: text, one entry a line, complete enough to rebuild the database from all layers.
 * Reads hostile input: every field is checked, lines and totals are bounded by the file's size.
 *
 *     #snapctl-manifest 1
 *     #snapshot number=12 line=1 parent=11 created=SEC.NSEC flags=0 added=1 changed=2 deleted=0 bytes=5 [name=Q] [message=Q]
 *     NAME in=DIR type=file mode=0644 uid=0 gid=0 size=5 time=SEC.NSEC object=7 content=3 at=LAYER xxh128=HEX [xattr.Q=BASE64]... [linked] [unread]
 *     NAME in=DIR type=dir mode=... dir=ID object=... [redirect=Q] [opaque] [context]
 *     NAME in=DIR type=link link=Q ... | type=fifo | type=socket | type=char device=MAJ,MIN | type=block device=MAJ,MIN
 *     NAME in=DIR deleted
 *     #end lines=N xxh128=HEX-of-all-before
 *
 * NAME and Q in mtree(5) quoting; the root's name is ".", in=0. DIR and ID are identities of directories. Parents come
 * before what is in them. `context`: a directory that did not change and only leads to what did. at=LAYER: the layer that
 * holds the bytes if it is another one. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "index.h"
#include "manifest_text.h"

enum manifest_flags { MANIFEST_DELETED = 1, MANIFEST_CONTEXT = 2, MANIFEST_OPAQUE = 4 };
struct manifest_entry {
    int64_t in;
    const char *name;
    unsigned flags;
    const struct object *object;      /* not with DELETED */
    int64_t content_layer;            /* 0 = this layer */
    const char *redirect;             /* NULL = none */
};
void manifest_begin(struct buf *out, const struct snapshot *snapshot);
void manifest_add(struct buf *out, const struct manifest_entry *entry);
void manifest_end(struct buf *out);   /* out->failed tells once whether memory sufficed */
/* The same in pieces, so that its size is no matter: begin and add to stream.text, push after each line, text_stream_end. */

typedef int (*manifest_fn)(void *data, const struct manifest_entry *entry);
/* Reads and checks all of layers/<id>/manifest: -EUCLEAN with a sentence if damaged, -ENOENT. fn may be NULL. */
int manifest_read(struct store *store, int64_t layer, struct snapshot **ret, manifest_fn fn, void *data, struct snap_err *err);
/* What makes sense of a manifest that may be damaged, line by line, without a look at its digest: the snapshot (NULL if its line
 * is not whole), and entries as above. 0 also where there is no manifest. */
int manifest_glean(struct store *store, int64_t layer, struct snapshot **ret, manifest_fn fn, void *data, struct snap_err *err);
/* The text of a snapshot's manifest, from the index: 1, or 0 = there is no such snapshot. */
int manifest_from_index(struct store *store, int64_t number, struct buf *out, struct snap_err *err);
/* 1 = manifest and tree are whole (types, sizes, digests of everything stored in it), 0 = not and why in err->message. */
int manifest_check_layer(struct store *store, int64_t layer, bool content, struct snap_err *err);
