/* OCI images: a layout (OCI image specification, image-layout.md) of one image, its layers compressed by gzip, which every
 * reader knows. The same snapshots give the same bytes: the image is as old as its newest snapshot.
 * Says nothing of how the image is to be run. SPDX-License-Identifier: GPL-2.0-or-later */
#include "exporter.h"

#include "fs.h"
#include "quote.h"
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LAYER_TYPE "application/vnd.oci.image.layer.v1.tar+gzip"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define BLOBS "blobs/sha256"

struct blob { char sha256[SHA256_HEX + 1]; uint64_t size; };
struct layer { struct blob blob; char diff_id[SHA256_HEX + 1]; const struct snapshot *snapshot; };

struct image {
    struct exporter *exporter;
    int dir, blobs;            /* descriptors; dir is borrowed */
    struct layer *layers;
    size_t count;
    struct blob config, manifest;
    uint64_t written;
};

static void image_done(struct image *image) {
    close_fd(&image->blobs);
    free(image->layers);
}
#define _image_ _cleanup_(image_done)

/* JSON. */

/* As a string; bytes that are no UTF-8 become U+FFFD each. */
static void add_string(struct buf *out, const char *text) {
    buf_char(out, '"');
    for (size_t size; *text; text += size) {
        size_t left = strlen(text);
        for (size = 1; size < 4 && size < left && !utf8_valid(text, size); size++)
            ;
        bool valid = utf8_valid(text, size);
        size = valid ? size : 1;
        if (!valid)
            buf_str(out, "\xef\xbf\xbd");
        else if (*text == '"' || *text == '\\')
            buf_fmt(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            buf_fmt(out, "\\u%04x", (unsigned)*text);
        else
            buf_add(out, text, size);
    }
    buf_char(out, '"');
}

static void add_time(struct buf *out, struct timespec time) {
    struct tm utc;
    char text[40] = "1970-01-01T00:00:00";
    if (gmtime_r(&time.tv_sec, &utc))
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    buf_fmt(out, "\"%s.%09ldZ\"", text, (long)time.tv_nsec);
}

static void add_descriptor(struct buf *out, const char *type, const struct blob *blob) {
    buf_fmt(out, "{\"mediaType\":\"%s\",\"digest\":\"sha256:%s\",\"size\":%" PRIu64, type, blob->sha256, blob->size);
}

/* Files. */

static int write_failed(const struct image *image, int r) {
    return err_errno(image->exporter->err, r, "cannot write the image");
}

static int make_directories(struct image *image) {
    if (mkdirat(image->dir, "blobs", 0777) < 0 || mkdirat(image->dir, BLOBS, 0777) < 0)
        return write_failed(image, -errno);
    image->blobs = openat(image->dir, BLOBS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return image->blobs < 0 ? write_failed(image, -errno) : 0;
}

static int create(struct image *image, int dirfd, const char *name) {
    int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    return fd < 0 ? write_failed(image, -errno) : fd;
}

static int write_text(struct image *image, int dirfd, const char *name, const struct buf *text) {
    if (text->failed)
        return err_nomem(image->exporter->err);
    _close_ int fd = create(image, dirfd, name);
    if (fd < 0)
        return fd;
    int r = fs_write_all(fd, text->data, text->size);
    image->written += text->size;
    return r < 0 ? write_failed(image, r) : 0;
}

static int write_blob(struct image *image, const struct buf *text, struct blob *ret) {
    _sha256_ struct sha256 *sha256 = NULL;
    int r = sha256_new(&sha256, image->exporter->err);
    if (r < 0 || text->failed)
        return r < 0 ? r : err_nomem(image->exporter->err);
    sha256_add(sha256, text->data, text->size);
    sha256_hex(sha256, ret->sha256);
    ret->size = text->size;
    return write_text(image, image->blobs, ret->sha256, text);
}

/* Layers. */

static int pour_layer(struct image *image, int fd, size_t index, struct sink_totals *ret) {
    struct exporter *exporter = image->exporter;
    const struct layer *layer = &image->layers[index];
    struct point from = index ? snapshot_point(layer[-1].snapshot) : (struct point){0};
    _sink_ struct sink *sink = NULL;
    exporter->at = snapshot_point(layer->snapshot);
    int r = sink_open(fd, ARCHIVE_GZIP, SINK_DIGESTS, exporter->project->env.cancel, &sink, exporter->err);
    if (r == 0)                /* layer.md: no holes, because readers differ in them; ACLs as Linux has them, for the same reason */
        r = export_tar(exporter, index ? &from : NULL, sink, TAR_ACL_RAW);
    return r < 0 ? r : sink_end(sink, ret, exporter->err);
}

/* Two layers may be the same bytes. */
static int write_layer(struct image *image, size_t index) {
    struct layer *layer = &image->layers[index];
    struct sink_totals totals = {0};
    _close_ int fd = create(image, image->blobs, "layer");
    if (fd < 0)
        return fd;
    int r = pour_layer(image, fd, index, &totals);
    if (r < 0)
        return r;
    memcpy(layer->blob.sha256, totals.written_sha256, sizeof(layer->blob.sha256));
    memcpy(layer->diff_id, totals.given_sha256, sizeof(layer->diff_id));
    layer->blob.size = totals.written;
    image->written += totals.written;
    return renameat(image->blobs, "layer", image->blobs, layer->blob.sha256) < 0 ? write_failed(image, -errno) : 0;
}

/* Documents. */

static const char *architecture(void) {        /* the names of Go, which the specification takes */
#if defined(__x86_64__)
    return "amd64";
#elif defined(__aarch64__)
    return "arm64";
#elif defined(__i386__)
    return "386";
#elif defined(__arm__)
    return "arm";
#elif defined(__riscv) && __riscv_xlen == 64
    return "riscv64";
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
    return "ppc64le";
#elif defined(__s390x__)
    return "s390x";
#else
    return "unknown";
#endif
}

static void add_history(struct buf *out, const struct snapshot *snapshot) {
    const struct snap_snapshot *public = &snapshot->public;
    _buf_ struct buf comment = {0};
    buf_fmt(&comment, "snapshot %" PRId64 "%s%s%s%s", public->number, *public->name ? " " : "", public->name, *public->message ? ": " : "",
            public->message);
    buf_str(out, "{\"created\":");
    add_time(out, public->created);
    buf_str(out, ",\"created_by\":\"snapctl export\",\"comment\":");
    add_string(out, comment.data ? comment.data : "");
    buf_char(out, '}');
    out->failed = out->failed ? out->failed : comment.failed;
}

static int write_config(struct image *image) {
    _buf_ struct buf text = {0};
    buf_str(&text, "{\"created\":");
    add_time(&text, image->layers[image->count - 1].snapshot->public.created);
    buf_fmt(&text, ",\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[", architecture());
    for (size_t i = 0; i < image->count; i++)
        buf_fmt(&text, "%s\"sha256:%s\"", i ? "," : "", image->layers[i].diff_id);
    buf_str(&text, "]},\"history\":[");
    for (size_t i = 0; i < image->count; i++) {
        buf_str(&text, i ? "," : "");
        add_history(&text, image->layers[i].snapshot);
    }
    buf_str(&text, "]}");
    return write_blob(image, &text, &image->config);
}

static int write_manifest(struct image *image) {
    _buf_ struct buf text = {0};
    buf_str(&text, "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE "\",\"config\":");
    add_descriptor(&text, CONFIG_TYPE, &image->config);
    buf_str(&text, "},\"layers\":[");
    for (size_t i = 0; i < image->count; i++) {
        buf_str(&text, i ? "," : "");
        add_descriptor(&text, LAYER_TYPE, &image->layers[i].blob);
        buf_char(&text, '}');
    }
    buf_str(&text, "]}");
    return write_blob(image, &text, &image->manifest);
}

/* annotations.md: words of letters and digits, with single separators between them. */
static bool is_reference(const char *name) {
    static const char separators[] = "-._+";
    bool word = false;
    for (const char *at = name; *at; at++) {
        bool letter = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9');
        if (!letter && !(word && strchr(separators, *at)))
            return false;
        word = letter;
    }
    return word;
}

static int write_index(struct image *image) {
    const struct snap_snapshot *newest = &image->layers[image->count - 1].snapshot->public;
    _buf_ struct buf index = {0}, layout = {0};
    buf_str(&layout, "{\"imageLayoutVersion\":\"1.0.0\"}");
    buf_str(&index, "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[");
    add_descriptor(&index, MANIFEST_TYPE, &image->manifest);
    buf_str(&index, ",\"annotations\":{\"org.opencontainers.image.ref.name\":");
    if (is_reference(newest->name))
        add_string(&index, newest->name);
    else
        buf_fmt(&index, "\"%" PRId64 "\"", newest->number);
    buf_str(&index, "}}]}");
    int r = write_text(image, image->dir, "index.json", &index);
    return r < 0 ? r : write_text(image, image->dir, "oci-layout", &layout);
}

int export_oci(struct exporter *exporter, struct snapshot *const *snapshots, size_t count, int dirfd, uint64_t *written) {
    _image_ struct image image = { .exporter = exporter, .dir = dirfd, .blobs = -1, .count = count };
    if (!(image.layers = calloc(count, sizeof(*image.layers))))
        return err_nomem(exporter->err);
    exporter->dialect = DIALECT_OCI;
    int r = make_directories(&image);
    for (size_t i = 0; i < count && r == 0; i++) {
        image.layers[i].snapshot = snapshots[i];
        r = write_layer(&image, i);
    }
    if (r == 0)
        r = write_config(&image);
    if (r == 0)
        r = write_manifest(&image);
    if (r == 0)
        r = write_index(&image);
    if (r == 0)
        *written += image.written;
    return r;
}

/* In one file. */

static int pack_directory(struct tar *tar, const char *path, struct snap_err *err) {
    struct meta meta = { .mode = S_IFDIR | 0755 };
    return tar_add(tar, &(struct tar_entry){ .path = path, .meta = &meta }, err);
}

static int pack_file(struct tar *tar, int dirfd, const char *above, const char *name, const struct copy_options *options, struct snap_err *err) {
    _buf_ struct buf path = {0};
    struct stat stat;
    struct digest ignored;
    _close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &stat) < 0)
        return err_errno(err, -errno, "cannot read the image");
    tree_join(&path, above, name);
    if (path.failed)
        return err_nomem(err);
    struct meta meta = { .mode = S_IFREG | 0644, .size = (uint64_t)stat.st_size };
    return tar_add_file(tar, &(struct tar_entry){ .path = path.data, .meta = &meta }, fd, options, &ignored, err);
}

static int is_blob(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int pack_blobs(struct tar *tar, int dirfd, const struct copy_options *options, struct snap_err *err) {
    struct dirent **names = NULL;
    _close_ int blobs = openat(dirfd, BLOBS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int count = blobs < 0 ? -1 : scandirat(blobs, ".", &names, is_blob, by_name);
    int r = count < 0 ? err_errno(err, -errno, "cannot read the image") : 0;
    for (int i = 0; i < count; i++) {
        if (r == 0)
            r = pack_file(tar, blobs, BLOBS, names[i]->d_name, options, err);
        free(names[i]);
    }
    free(names);
    return r;
}

int export_oci_tar(struct exporter *exporter, int dirfd, struct sink *sink) {
    _tar_ struct tar *tar = NULL;
    struct copy_options options = { .cancel = exporter->project->env.cancel };
    struct snap_err *err = exporter->err;
    int r = tar_open(sink, 0, &tar, err);
    if (r == 0)
        r = pack_file(tar, dirfd, "", "oci-layout", &options, err);
    if (r == 0)
        r = pack_file(tar, dirfd, "", "index.json", &options, err);
    if (r == 0)
        r = pack_directory(tar, "blobs", err);
    if (r == 0)
        r = pack_directory(tar, BLOBS, err);
    if (r == 0)
        r = pack_blobs(tar, dirfd, &options, err);
    return r < 0 ? r : tar_end(tar, err);
}
