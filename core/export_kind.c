/* What an export is to be: by what was asked for, and how the file's name ends.
 * Opens nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "exporter.h"

#include <string.h>

static const struct { const char *suffix; enum archive_compression compression; const char *name; } compressions[] = {
    { ".gz", ARCHIVE_GZIP, "gzip" }, { ".xz", ARCHIVE_XZ, "xz" }, { ".zst", ARCHIVE_ZSTD, "zstd" },
};
static const struct { const char *suffix, *meaning; } short_suffixes[] = {
    { ".tgz", ".tar.gz" }, { ".txz", ".tar.xz" }, { ".tzst", ".tar.zst" },
};
/* The first that fits. */
static const struct { const char *suffix; enum snap_export_format format; } formats[] = {
    { ".oci.tar", SNAP_EXPORT_OCI }, { ".oci", SNAP_EXPORT_OCI }, { ".tar", SNAP_EXPORT_TAR }, { ".mtree", SNAP_EXPORT_MTREE },
};
static const char *const unknown_compressions[] = { ".bz2", ".lz4", ".lzma", ".lz", ".Z", ".tbz", ".tbz2", ".tlz", ".zip", ".7z" };

static bool has_suffix(const struct buf *name, const char *suffix) {
    size_t end = strlen(suffix);
    return name->size > end && strcmp(name->data + name->size - end, suffix) == 0;
}

static bool cut_suffix(struct buf *name, const char *suffix) {
    if (!has_suffix(name, suffix))
        return false;
    name->size -= strlen(suffix);
    name->data[name->size] = '\0';
    return true;
}

static int refuse(struct snap_err *err, const char *file, const char *why, const char *hint) {
    err_set(err, -EINVAL, "cannot tell what to write from the name '%s'%s", file, why);
    err_hint(err, "%s", hint);
    return err_failure(err, SNAP_FAILURE_USAGE);
}

static void read_compression(struct buf *name, struct export_kind *kind) {
    for (size_t i = 0; i < ELEMENTS(short_suffixes); i++)
        if (cut_suffix(name, short_suffixes[i].suffix)) {
            buf_str(name, short_suffixes[i].meaning);
            break;
        }
    for (size_t i = 0; i < ELEMENTS(compressions) && !name->failed; i++)
        if (cut_suffix(name, compressions[i].suffix)) {
            kind->compression = compressions[i].compression;
            break;
        }
}

static int read_name(const char *file, struct export_kind *kind, struct snap_err *err) {
    const char *slash = strrchr(file, '/');
    _buf_ struct buf name = {0};
    buf_str(&name, slash ? slash + 1 : file);
    if (!name.failed)
        read_compression(&name, kind);
    if (name.failed)
        return err_nomem(err);
    for (size_t i = 0; i < ELEMENTS(unknown_compressions); i++)
        if (has_suffix(&name, unknown_compressions[i]))
            return refuse(err, file, ": it is none of the compressions known", "compressed archives end in .gz, .xz or .zst");
    for (size_t i = 0; i < ELEMENTS(formats) && kind->format == SNAP_EXPORT_AUTO; i++)
        if (has_suffix(&name, formats[i].suffix))
            kind->format = formats[i].format;
    if (kind->format == SNAP_EXPORT_AUTO)
        return refuse(err, file, "", "end it in .tar, .tar.gz, .tar.xz, .tar.zst, .mtree, .oci or .oci.tar, or give --format");
    kind->directory = kind->format == SNAP_EXPORT_OCI && !has_suffix(&name, ".tar");
    if (kind->format == SNAP_EXPORT_OCI && kind->compression != ARCHIVE_PLAIN)
        return refuse(err, file, ": the layers of an image are compressed, not the image", "end it in .oci or .oci.tar");
    return 0;
}

static int check_difference(const struct snap_export_options *options, const struct export_kind *kind, struct snap_err *err) {
    if (options->since && kind->format == SNAP_EXPORT_MTREE) {
        err_set(err, -EINVAL, "an mtree specification cannot say what was deleted");
        err_hint(err, "leave --since out, or export as tar or oci");
        return err_failure(err, SNAP_FAILURE_USAGE);
    }
    if (options->whiteouts != SNAP_WHITEOUTS_OCI && kind->format == SNAP_EXPORT_OCI) {
        err_set(err, -EINVAL, "an OCI image has the OCI's whiteouts");
        err_hint(err, "leave --whiteouts out, or export as tar");
        return err_failure(err, SNAP_FAILURE_USAGE);
    }
    return 0;
}

int export_kind_find(const struct snap_export_options *options, struct export_kind *ret, struct snap_err *err) {
    *ret = (struct export_kind){ .format = options->format };
    int r = options->file ? read_name(options->file, ret, err) : 0;
    if (ret->format == SNAP_EXPORT_AUTO)
        ret->format = SNAP_EXPORT_TAR;
    return r < 0 ? r : check_difference(options, ret, err);
}

const char *export_kind_format(const struct export_kind *kind) {
    switch (kind->format) {
    case SNAP_EXPORT_AUTO:
    case SNAP_EXPORT_TAR: return "tar";
    case SNAP_EXPORT_MTREE: return "mtree";
    case SNAP_EXPORT_OCI: return "oci";
    }
    return "tar";
}

const char *export_kind_compression(const struct export_kind *kind) {
    for (size_t i = 0; i < ELEMENTS(compressions); i++)
        if (compressions[i].compression == kind->compression)
            return compressions[i].name;
    return NULL;
}
