/* One file that both sides changed: content by lines, each part of the metadata by itself, from whoever changed it.
 * Merges no directories and no links. Writes nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "merge_file.h"

#include "text.h"

#include <string.h>
#include <time.h>

void merge_sides_init(struct merge_sides *sides, struct snap_project *project, const struct scan *theirs, int root, const struct scan *ours) {
    side_init(&sides->base, project, scan_ground(theirs), NULL);
    side_init(&sides->ours, project, index_newest(INDEX_PROJECT_LINE), ours);
    side_init(&sides->theirs, project, scan_ground(theirs), root < 0 ? NULL : theirs);
    sides->theirs.root = root;
}

void merge_sides_done(struct merge_sides *sides) {
    side_done(&sides->base);
    side_done(&sides->ours);
    side_done(&sides->theirs);
}

static bool is_plain_file(const struct object *object) {
    return object && S_ISREG(object->meta.mode) && !(object->flags & (OBJECT_LINKED | OBJECT_UNREAD)) && object->meta.size <= MERGE_TEXT_MAX;
}

static bool same_bytes(const struct object *a, const struct object *b) {
    return !((a->flags | b->flags) & OBJECT_UNDIGESTED) && a->meta.size == b->meta.size && (!a->meta.size || digest_equal(&a->digest, &b->digest));
}

/* Metadata. */

/* False: both changed it, to different values. */
static bool merge_number(uint32_t base, uint32_t ours, uint32_t theirs, uint32_t *ret) {
    *ret = ours == base ? theirs : ours;
    return ours == base || theirs == base || ours == theirs;
}

static bool same_xattrs(const struct meta *a, const struct meta *b) {
    return a->xattrs_size == b->xattrs_size && (!a->xattrs_size || memcmp(a->xattrs, b->xattrs, a->xattrs_size) == 0);
}

/* Times are those of the merge, which is when the file got this content. 1, 0 = in conflict. */
static int merge_meta(const struct merge_file *file, struct meta *ret) {
    const struct meta *base = &file->base->meta, *ours = &file->ours->meta, *theirs = &file->theirs->meta;
    bool from_theirs = same_xattrs(base, ours);
    if (!from_theirs && !same_xattrs(base, theirs) && !same_xattrs(ours, theirs))
        return 0;
    if (meta_copy(ret, from_theirs ? theirs : ours) < 0)
        return -ENOMEM;
    (void)clock_gettime(CLOCK_REALTIME, &ret->mtime);
    return merge_number(base->mode, ours->mode, theirs->mode, &ret->mode) && merge_number(base->uid, ours->uid, theirs->uid, &ret->uid)
        && merge_number(base->gid, ours->gid, theirs->gid, &ret->gid);
}

/* Content. */

static int read_one(struct side *side, const struct object *object, const struct merge_file *file, bool workspace, struct buf *ret,
                    struct snap_err *err) {
    _free_ char *path = NULL;
    int r = workspace || !side->scan ? 0 : side_path(side, file->dir, file->name, &path, err);
    return r < 0 ? r : side_read(side, path ? path : file->path, object, MERGE_TEXT_MAX, ret, err);
}

static struct text_side as_side(const struct buf *buf) {
    return (struct text_side){ buf->data, buf->size };
}

static int merge_content(struct merge_sides *sides, const struct merge_file *file, struct buf *ret, struct snap_err *err) {
    _buf_ struct buf base = {0}, ours = {0}, theirs = {0};
    if (same_bytes(file->base, file->ours) || same_bytes(file->ours, file->theirs)) {
        int r = read_one(&sides->theirs, file->theirs, file, true, ret, err);
        return r < 0 ? r : 1;
    }
    int r = read_one(&sides->ours, file->ours, file, false, &ours, err);
    if (r < 0 || same_bytes(file->base, file->theirs)) {
        *ret = ours;
        ours = (struct buf){0};
        return r < 0 ? r : 1;
    }
    if ((r = read_one(&sides->base, file->base, file, true, &base, err)) < 0 || (r = read_one(&sides->theirs, file->theirs, file, true, &theirs, err)) < 0)
        return r;
    return text_merge(as_side(&base), as_side(&ours), as_side(&theirs), ret, err);
}

int merge_file(struct merge_sides *sides, const struct merge_file *file, struct object **ret, struct buf *ret_bytes, struct snap_err *err) {
    _object_ struct object *merged = NULL;
    if (!is_plain_file(file->base) || !is_plain_file(file->ours) || !is_plain_file(file->theirs))
        return 0;
    if (!(merged = calloc(1, sizeof(*merged))))
        return err_nomem(err);
    int r = merge_meta(file, &merged->meta);
    if (r < 0)
        return err_nomem(err);
    if (r == 0 || (r = merge_content(sides, file, ret_bytes, err)) <= 0)
        return r;
    merged->meta.size = ret_bytes->size;
    *ret = TAKE_PTR(merged);
    return 1;
}
