/* Entries of snapshots made anew: content by reflink or copy, special files, metadata.
 * Makes names only where it is told to, and follows nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "build.h"
#include "copy.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

struct progress { struct snap_project *project; uint64_t *bytes; };

static void on_bytes(void *data, uint64_t bytes) {
    struct progress *progress = data;
    *progress->bytes += bytes;
    project_progress(progress->project, &(struct snap_progress){ .doing = "restoring", .bytes = *progress->bytes });
}

static int build_file(struct snap_project *project, int dirfd, const char *name, const struct object *object, uint64_t *bytes,
                      struct snap_err *err) {
    _close_ int from = project_open_content(project, object, err);
    if (from < 0)
        return from;
    _close_ int to = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return -errno;
    uint64_t size = 0;
    struct progress progress = { project, bytes };
    struct digest digest;
    struct copy_options options = { .cancel = project->env.cancel, .progress = on_bytes, .data = &progress,
                                    .want_digest = true, .digest_source = true };
    int r = copy_content(from, to, &options, &size, &digest);
    if (r < 0)
        return r;
    if ((r = project_check_content(project, object, &digest, err)) < 0)
        return r;
    return size == object->meta.size ? 0 : -EUCLEAN;
}

static int build_node(int dirfd, const char *name, const struct meta *meta) {
    if (S_ISLNK(meta->mode))
        return symlinkat(meta->target ? meta->target : "", dirfd, name) < 0 ? -errno : 0;
    dev_t device = makedev(meta->rdev_major, meta->rdev_minor);
    return mknodat(dirfd, name, (meta->mode & S_IFMT) | 0600, device) < 0 ? -errno : 0;
}

int build_entry(struct snap_project *project, int dirfd, const char *name, const struct object *object, uint64_t *bytes,
                unsigned *ret_missing, struct snap_err *err) {
    int r = S_ISREG(object->meta.mode) ? build_file(project, dirfd, name, object, bytes, err) : build_node(dirfd, name, &object->meta);
    return r < 0 ? r : meta_apply(dirfd, name, &object->meta, 0, ret_missing);
}

bool build_is_about_entry(int code) {
    return code == -EUCLEAN || code == -ENODATA || code == -EPERM || code == -EACCES || code == -EOPNOTSUPP
        || code == -ENAMETOOLONG || code == -EINVAL || code == -EFBIG || code == -EILSEQ;
}

void build_missing_words(unsigned missing, struct buf *out) {
    static const struct { unsigned bit; const char *word; } words[] = {
        { SNAP_WHAT_OWNER, "owner" }, { SNAP_WHAT_MODE, "mode" }, { SNAP_WHAT_XATTR, "extended attributes" },
        { SNAP_WHAT_TIME, "time" },
    };
    size_t start = out->size;
    for (size_t i = 0; i < ELEMENTS(words); i++)
        if (missing & words[i].bit)
            buf_fmt(out, "%s%s", out->size > start ? ", " : "", words[i].word);
}
