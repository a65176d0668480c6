/* Writing mtree(5) specifications.
 * Has no word for extended attributes and ACLs, for which the format has none. SPDX-License-Identifier: GPL-2.0-or-later */
#include "archive_mtree.h"

#include "buf.h"
#include "quote.h"
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

struct mtree {
    struct sink *sink;
    struct sha256 *sha256;
    struct buf line;
};

static const char *type_of(uint32_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG: return "file";
    case S_IFDIR: return "dir";
    case S_IFLNK: return "link";
    case S_IFCHR: return "char";
    case S_IFBLK: return "block";
    case S_IFIFO: return "fifo";
    default: return "socket";
    }
}

int mtree_add(struct mtree *mtree, const char *path, const struct meta *meta, uint64_t links, const char *sha256, struct snap_err *err) {
    struct buf *line = &mtree->line;
    buf_clear(line);
    buf_str(line, *path ? "./" : ".");
    quote_mtree(line, path, strlen(path));
    buf_fmt(line, " type=%s uid=%" PRIu32 " gid=%" PRIu32 " mode=0%03o", type_of(meta->mode), meta->uid, meta->gid, (unsigned)meta->mode & 07777);
    if (links)
        buf_fmt(line, " nlink=%" PRIu64, links);
    if (S_ISREG(meta->mode))
        buf_fmt(line, " size=%" PRIu64, meta->size);
    buf_fmt(line, " time=%lld.%09ld", (long long)meta->mtime.tv_sec, (long)meta->mtime.tv_nsec);
    if (S_ISCHR(meta->mode) || S_ISBLK(meta->mode))
        buf_fmt(line, " device=native,%" PRIu32 ",%" PRIu32, meta->rdev_major, meta->rdev_minor);
    if (S_ISLNK(meta->mode)) {
        buf_str(line, " link=");
        quote_mtree(line, meta->target ? meta->target : "", meta->target ? strlen(meta->target) : 0);
    }
    if (sha256)
        buf_fmt(line, " sha256=%s", sha256);
    buf_char(line, '\n');
    return line->failed ? err_nomem(err) : sink_add(mtree->sink, line->data, line->size, err);
}

struct digesting { struct sha256 *sha256; uint64_t at; };

static void add_zeros(struct digesting *digesting, uint64_t end) {
    static const uint8_t zeros[16 << 10];
    while (digesting->at < end) {
        uint64_t part = MIN(end - digesting->at, (uint64_t)sizeof(zeros));
        sha256_add(digesting->sha256, zeros, (size_t)part);
        digesting->at += part;
    }
}

static int on_bytes(void *data, uint64_t offset, const void *bytes, size_t size) {
    struct digesting *digesting = data;
    add_zeros(digesting, offset);
    sha256_add(digesting->sha256, bytes, size);
    digesting->at += size;
    return 0;
}

int mtree_digest(struct mtree *mtree, int fd, uint64_t size, const struct copy_options *options, char ret[static SHA256_HEX + 1],
                 struct digest *ret_digest, struct snap_err *err) {
    struct digesting digesting = { .sha256 = mtree->sha256 };
    uint64_t got = 0;
    int r = copy_read(fd, options, on_bytes, &digesting, &got, ret_digest);
    if (r == 0)
        add_zeros(&digesting, got);
    sha256_hex(mtree->sha256, ret);       /* also after a failure: it begins anew */
    if (r < 0)
        return err_errno(err, r, "cannot read its content");
    return got == size ? 0 : err_damage(err, "its content has another size than it was stored with");
}

int mtree_open(struct sink *sink, struct mtree **ret, struct snap_err *err) {
    _cleanup_(mtree_freep) struct mtree *mtree = calloc(1, sizeof(*mtree));
    if (!mtree)
        return err_nomem(err);
    mtree->sink = sink;
    int r = sha256_new(&mtree->sha256, err);
    if (r == 0)
        r = sink_add(sink, "#mtree\n", strlen("#mtree\n"), err);
    if (r == 0)
        *ret = TAKE_PTR(mtree);
    return r;
}

struct mtree *mtree_free(struct mtree *mtree) {
    if (!mtree)
        return NULL;
    buf_done(&mtree->line);
    sha256_free(mtree->sha256);
    free(mtree);
    return NULL;
}
