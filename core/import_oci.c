/* OCI image layouts, read: index, manifest, configuration, layers.
 * Refuses what is not what its digest says, and images for other machines; runs nothing of what the configuration says.
 * Source: OCI image specification 1.1, image-layout.md, image-index.md, manifest.md, config.md, layer.md.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "import_oci.h"

#include "fs.h"
#include "quote.h"
#include "sha256.h"
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { DOCUMENT_MAX = 4 << 20, DOCUMENT_DEPTH = 32, INDEX_DEPTH = 4, LAYERS_MAX = 4096, DIGEST_PREFIX = 7, CHUNK = 64 << 10 };

#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"
#define DOCKER_INDEX_TYPE "application/vnd.docker.distribution.manifest.list.v2+json"

static void json_done(json_object **object) {
    if (*object)
        json_object_put(*object);
}
#define _json_ _cleanup_(json_done)

/* What an image says of a blob; strings belong to the document. */
struct descriptor { const char *digest, *type; int64_t size; };

static int damaged(struct snap_err *err, const char *what, const char *why) {
    return err_set(err, -EINVAL, "the image's %s %s", what, why);
}

/* Files of the layout. */

static int check_file(int fd, const char *path, struct snap_err *err) {
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return err_path(err, -errno, path, "look at");
    return S_ISREG(stat.st_mode) ? 0 : untar_refuse(err, -EINVAL, path, "is no regular file");
}

static int open_file(const struct import_oci *oci, const char *path, struct snap_err *err) {
    int fd = oci->dir >= 0 ? fs_open_beneath(oci->dir, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0)
        : import_tree_open(oci->layout, path);
    if (fd < 0)
        return err_path(err, fd, path, "open");
    int r = check_file(fd, path, err);
    if (r == 0)
        return fd;
    fd_close(fd);
    return r;
}

/* "sha256:" and 64 digits, so that a path made of it leads nowhere else. */
static bool is_digest(const char *digest) {
    return !strncmp(digest, "sha256:", DIGEST_PREFIX) && strlen(digest) == DIGEST_PREFIX + SHA256_HEX
        && strspn(digest + DIGEST_PREFIX, "0123456789abcdef") == SHA256_HEX;
}

/* All of the file has this size and digest. */
static int check_blob(const struct import_oci *oci, int fd, const struct descriptor *blob, struct snap_err *err) {
    _sha256_ struct sha256 *sha256 = NULL;
    char hex[SHA256_HEX + 1];
    _free_ uint8_t *chunk = malloc(CHUNK);
    int64_t size = 0;
    int r = chunk ? sha256_new(&sha256, err) : err_nomem(err);
    if (r < 0)
        return r;
    for (ssize_t got; (got = pread(fd, chunk, CHUNK, size)) != 0;) {
        if (oci->limits.cancel && *oci->limits.cancel) {
            err_set(err, -ECANCELED, "interrupted");
            return err_failure(err, SNAP_FAILURE_INTERRUPTED);
        }
        if (got < 0 && errno != EINTR)
            return err_path(err, -errno, blob->digest, "read");
        if (got > 0)
            sha256_add(sha256, chunk, (size_t)got);
        size += MAX(got, (ssize_t)0);
        if (size > blob->size)
            break;
    }
    if (size != blob->size)
        return untar_refuse(err, -EBADMSG, blob->digest, "has another size than the image says");
    sha256_hex(sha256, hex);
    return strcmp(hex, blob->digest + DIGEST_PREFIX) != 0 ? untar_refuse(err, -EBADMSG, blob->digest, "has another digest") : 0;
}

static int open_blob(const struct import_oci *oci, const struct descriptor *blob, struct snap_err *err) {
    char path[sizeof("blobs/sha256/") + SHA256_HEX];
    (void)snprintf(path, sizeof(path), "blobs/sha256/%s", blob->digest + DIGEST_PREFIX);
    int fd = open_file(oci, path, err);
    if (fd < 0)
        return fd;
    int r = check_blob(oci, fd, blob, err);
    if (r == 0)
        return fd;
    fd_close(fd);
    return r;
}

/* Documents. */

static int parse(const char *text, size_t size, const char *what, json_object **ret, struct snap_err *err) {
    struct json_tokener *tokener = json_tokener_new_ex(DOCUMENT_DEPTH);
    if (!tokener)
        return err_nomem(err);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    json_object *object = json_tokener_parse_ex(tokener, text, (int)size);
    enum json_tokener_error why = json_tokener_get_error(tokener);
    json_tokener_free(tokener);
    if (why == json_tokener_success && json_object_is_type(object, json_type_object)) {
        *ret = object;
        return 0;
    }
    if (object)
        json_object_put(object);
    return damaged(err, what, "is no JSON object");
}

static int read_document(int fd, const char *what, json_object **ret, struct snap_err *err) {
    _buf_ struct buf text = {0};
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_errno(err, -errno, "cannot read the image's %s", what);
    int r = fs_read_all(fd, DOCUMENT_MAX, &text);
    if (r < 0)
        return err_errno(err, r, "cannot read the image's %s", what);
    return parse(text.data ? text.data : "", text.size, what, ret, err);
}

static int open_document(const struct import_oci *oci, const char *path, const char *what, json_object **ret, struct snap_err *err) {
    _close_ int fd = open_file(oci, path, err);
    return fd < 0 ? fd : read_document(fd, what, ret, err);
}

static int open_blob_document(const struct import_oci *oci, const struct descriptor *blob, const char *what, json_object **ret,
                              struct snap_err *err) {
    if (blob->size > DOCUMENT_MAX)
        return damaged(err, what, "is larger than 4 MiB");
    _close_ int fd = open_blob(oci, blob, err);
    return fd < 0 ? fd : read_document(fd, what, ret, err);
}

/* NULL: it is not there, or is something else. */
static const char *text_of(json_object *object, const char *key) {
    json_object *value = NULL;
    if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_string))
        return NULL;
    const char *text = json_object_get_string(value);
    return strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}

static json_object *list_of(json_object *object, const char *key) {
    json_object *value = NULL;
    return json_object_object_get_ex(object, key, &value) && json_object_is_type(value, json_type_array) ? value : NULL;
}

static int read_descriptor(json_object *object, const char *what, struct descriptor *ret, struct snap_err *err) {
    json_object *size = NULL;
    if (!json_object_is_type(object, json_type_object) || !json_object_object_get_ex(object, "size", &size)
        || !json_object_is_type(size, json_type_int) || json_object_get_int64(size) < 0)
        return damaged(err, what, "is not described as it has to be");
    *ret = (struct descriptor){ .digest = text_of(object, "digest"), .type = text_of(object, "mediaType"),
                                .size = json_object_get_int64(size) };
    if (!ret->digest || !is_digest(ret->digest))
        return damaged(err, what, "has no SHA-256 digest");
    return ret->type ? 0 : damaged(err, what, "has no media type");
}

/* Which image. */

/* As Go calls them. */
static const char *machine(void) {
    static const char *const names[][2] = {
        { "x86_64", "amd64" }, { "aarch64", "arm64" }, { "i686", "386" }, { "i386", "386" }, { "armv7l", "arm" }, { "armv6l", "arm" },
        { "riscv64", "riscv64" }, { "ppc64le", "ppc64le" }, { "s390x", "s390x" }, { "loongarch64", "loong64" },
    };
    static struct utsname name;
    if (uname(&name) < 0)
        return "";
    for (size_t i = 0; i < ELEMENTS(names); i++)
        if (!strcmp(name.machine, names[i][0]))
            return names[i][1];
    return name.machine;
}

static bool is_for_us(json_object *entry) {
    json_object *platform = NULL;
    if (!json_object_object_get_ex(entry, "platform", &platform) || !json_object_is_type(platform, json_type_object))
        return false;
    const char *os = text_of(platform, "os"), *architecture = text_of(platform, "architecture");
    return os && architecture && !strcmp(os, "linux") && !strcmp(architecture, machine());
}

/* The only one, or the only one for this machine. */
static int choose(json_object *index, json_object **ret, struct snap_err *err) {
    json_object *manifests = list_of(index, "manifests"), *found = NULL;
    size_t count = manifests ? json_object_array_length(manifests) : 0, ours = 0;
    if (count == 0)
        return damaged(err, "index", "names no image");
    for (size_t i = 0; i < count && count > 1; i++) {
        json_object *entry = json_object_array_get_idx(manifests, i);
        if (is_for_us(entry)) {
            found = entry;
            ours++;
        }
    }
    *ret = count == 1 ? json_object_array_get_idx(manifests, 0) : found;
    if (count == 1 || ours == 1)
        return 0;
    err_set(err, -EINVAL, "the layout holds %zu images, of which %zu are for this machine (linux, %s)", count, ours, machine());
    return err_hint(err, "make a layout of one image: skopeo copy oci:LAYOUT:NAME oci:NEW");
}

/* An index may lead to another one. */
static int find_manifest(const struct import_oci *oci, json_object **ret, struct snap_err *err) {
    _json_ json_object *document = NULL;
    int r = open_document(oci, "index.json", "index", &document, err);
    for (unsigned depth = 0; r == 0 && depth < INDEX_DEPTH; depth++) {
        json_object *entry = NULL, *next = NULL;
        struct descriptor blob;
        if ((r = choose(document, &entry, err)) < 0 || (r = read_descriptor(entry, "manifest", &blob, err)) < 0
            || (r = open_blob_document(oci, &blob, "manifest", &next, err)) < 0)
            return r;
        if (strcmp(blob.type, INDEX_TYPE) != 0 && strcmp(blob.type, DOCKER_INDEX_TYPE) != 0) {
            *ret = next;
            return 0;
        }
        json_object_put(document);
        document = next;
    }
    return r < 0 ? r : damaged(err, "index", "leads to another one again and again");
}

/* Layers. */

static bool is_layer_type(const char *type) {
    static const char *const types[] = {
        "application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.docker.image.rootfs.diff.tar.zstd",
    };
    for (size_t i = 0; i < ELEMENTS(types); i++)
        if (!strcmp(type, types[i]))
            return true;
    return false;
}

static void add_to_digest(void *data, const void *bytes, size_t size) {
    sha256_add(data, bytes, size);
}

static int add_layer(struct import_oci *oci, int fd, const char *diff_id, struct snap_err *err) {
    _sha256_ struct sha256 *sha256 = NULL;
    _inflow_ struct inflow *flow = NULL;
    char hex[SHA256_HEX + 1];
    int r = lseek(fd, 0, SEEK_SET) < 0 ? err_errno(err, -errno, "cannot read a layer") : sha256_new(&sha256, err);
    if (r < 0 || (r = inflow_open(fd, &oci->limits, &flow, err)) < 0)
        return r;
    inflow_tap(flow, add_to_digest, sha256);
    if ((r = import_tree_add(oci->into, flow, true, err)) < 0)
        return r;
    sha256_hex(sha256, hex);
    if (strcmp(hex, diff_id + DIGEST_PREFIX) != 0)
        return untar_refuse(err, -EBADMSG, diff_id, "is not the digest of the layer that the image calls so");
    if (oci->limits.bytes)
        oci->limits.bytes -= MIN(oci->limits.bytes - 1, inflow_bytes(flow));
    return 0;
}

static int read_layer(struct import_oci *oci, json_object *layer, json_object *diff_id, struct snap_err *err) {
    struct descriptor blob;
    const char *digest = json_object_is_type(diff_id, json_type_string) ? json_object_get_string(diff_id) : "";
    int r = read_descriptor(layer, "layer", &blob, err);
    if (r < 0)
        return r;
    if (!is_digest(digest))
        return damaged(err, "configuration", "names a layer by no SHA-256 digest");
    if (!is_layer_type(blob.type))
        return untar_refuse(err, -EINVAL, blob.digest, "is a layer of a kind that is not known here (%.100s)", blob.type);
    _close_ int fd = open_blob(oci, &blob, err);
    if (fd < 0 || (r = add_layer(oci, fd, digest, err)) < 0)
        return err_wrap(err, "layer %.19s", blob.digest);
    return 0;
}

static int read_layers(struct import_oci *oci, json_object *manifest, json_object *config, struct snap_err *err) {
    json_object *rootfs = NULL, *layers = list_of(manifest, "layers");
    bool has_root = json_object_object_get_ex(config, "rootfs", &rootfs) && json_object_is_type(rootfs, json_type_object);
    json_object *diff_ids = has_root ? list_of(rootfs, "diff_ids") : NULL;
    if (!layers || !diff_ids || json_object_array_length(layers) != json_object_array_length(diff_ids))
        return damaged(err, "manifest", "and its configuration name different layers");
    size_t count = json_object_array_length(layers);
    if (count > LAYERS_MAX)
        return damaged(err, "manifest", "names more than 4096 layers");
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = read_layer(oci, json_object_array_get_idx(layers, i), json_object_array_get_idx(diff_ids, i), err);
    return r;
}

static int check_version(const struct import_oci *oci, struct snap_err *err) {
    _json_ json_object *document = NULL;
    int r = open_document(oci, "oci-layout", "layout", &document, err);
    if (r < 0)
        return r;
    const char *version = text_of(document, "imageLayoutVersion");
    return version && !strncmp(version, "1.", 2) ? 0 : damaged(err, "layout", "is of a version that is not known here");
}

int import_oci_read(struct import_oci *oci, struct snap_err *err) {
    _json_ json_object *manifest = NULL, *config = NULL, *described = NULL;
    struct descriptor blob;
    int r = check_version(oci, err);
    if (r < 0 || (r = find_manifest(oci, &manifest, err)) < 0)
        return r;
    if (!json_object_object_get_ex(manifest, "config", &described))
        return damaged(err, "manifest", "names no configuration");
    json_object_get(described);
    if ((r = read_descriptor(described, "configuration", &blob, err)) < 0
        || (r = open_blob_document(oci, &blob, "configuration", &config, err)) < 0)
        return r;
    return read_layers(oci, manifest, config, err);
}

static bool is_file(const struct import_tree *tree, const char *name) {
    const struct import_node *node = import_tree_child(tree, tree->root, name);
    return node && S_ISREG(node->inode->object->meta.mode);
}

bool import_oci_is_layout(const struct import_tree *tree) {
    const struct import_node *blobs = import_tree_child(tree, tree->root, "blobs");
    return is_file(tree, "oci-layout") && is_file(tree, "index.json") && blobs && import_node_is_dir(blobs);
}
