/* `export`: a snapshot as an archive.
 * Writes nothing in the store. SPDX-License-Identifier: GPL-2.0-or-later */
#include "exporter.h"
#include "target.h"
#include <string.h>

/* What the end of a name says. */
struct kind { enum snap_export_format format; enum archive_compression compression; };

static const struct { const char *suffix; enum archive_compression compression; const char *name; } compressions[] = {
    { ".gz", ARCHIVE_GZIP, "gzip" }, { ".xz", ARCHIVE_XZ, "xz" }, { ".zst", ARCHIVE_ZSTD, "zstd" },
};
static const struct { const char *suffix, *meaning; } short_suffixes[] = {
    { ".tgz", ".tar.gz" }, { ".txz", ".tar.xz" }, { ".tzst", ".tar.zst" },
};
static const struct { const char *suffix; enum snap_export_format format; } formats[] = {
    { ".tar", SNAP_EXPORT_TAR },
};
static const char *const unknown_compressions[] = { ".bz2", ".lz4", ".lzma", ".lz", ".Z", ".tbz", ".tbz2", ".tlz", ".zip", ".7z" };

static bool cut_suffix(char *name, const char *suffix) {
    size_t size = strlen(name), end = strlen(suffix);
    if (size <= end || strcmp(name + size - end, suffix) != 0)
        return false;
    name[size - end] = '\0';
    return true;
}

static int refuse_name(struct snap_err *err, const char *file, const char *hint) {
    err_set(err, -EINVAL, "the name '%s' does not tell what to write", file);
    err_hint(err, "%s", hint);
    return err_failure(err, SNAP_FAILURE_USAGE);
}

static int read_suffix(const char *file, struct kind *kind, struct snap_err *err) {
    const char *slash = strrchr(file, '/');
    _buf_ struct buf name = {0};
    buf_str(&name, slash ? slash + 1 : file);
    for (size_t i = 0; i < ELEMENTS(short_suffixes) && !name.failed; i++)
        if (cut_suffix(name.data, short_suffixes[i].suffix)) {
            name.size = strlen(name.data);
            buf_str(&name, short_suffixes[i].meaning);
            break;
        }
    if (name.failed)
        return err_nomem(err);
    for (size_t i = 0; i < ELEMENTS(unknown_compressions); i++)
        if (cut_suffix(name.data, unknown_compressions[i]))
            return refuse_name(err, file, "compressed archives end in .gz, .xz or .zst");
    for (size_t i = 0; i < ELEMENTS(compressions); i++)
        if (cut_suffix(name.data, compressions[i].suffix)) {
            kind->compression = compressions[i].compression;
            break;
        }
    for (size_t i = 0; i < ELEMENTS(formats) && kind->format == SNAP_EXPORT_AUTO; i++)
        if (cut_suffix(name.data, formats[i].suffix))
            kind->format = formats[i].format;
    return kind->format == SNAP_EXPORT_AUTO ? refuse_name(err, file, "end it in .tar, .tar.gz, .tar.xz or .tar.zst, or give --format") : 0;
}

static int find_kind(const struct snap_export_options *options, struct kind *ret, struct snap_err *err) {
    *ret = (struct kind){ .format = options->format };
    if (options->file)
        return read_suffix(options->file, ret, err);
    if (ret->format == SNAP_EXPORT_AUTO)
        ret->format = SNAP_EXPORT_TAR;
    return 0;
}

static const char *compression_name(enum archive_compression compression) {
    for (size_t i = 0; i < ELEMENTS(compressions); i++)
        if (compressions[i].compression == compression)
            return compressions[i].name;
    return NULL;
}

static int write_tar(struct exporter *exporter, struct sink *sink) {
    int r = tar_open(sink, TAR_SPARSE, &exporter->tar, exporter->err);
    if (r == 0)
        r = export_tree(exporter);
    return r < 0 ? r : tar_end(exporter->tar, exporter->err);
}

static int write_archive(struct exporter *exporter, struct target *target, const struct kind *kind, struct sink_totals *ret) {
    _sink_ struct sink *sink = NULL;
    int r = sink_open(target->fd, kind->compression, 0, exporter->project->env.cancel, &sink, exporter->err);
    if (r == 0)
        r = write_tar(exporter, sink);
    return r < 0 ? r : sink_end(sink, ret, exporter->err);
}

static int open_target(struct snap_project *project, const struct snap_export_options *options, struct target *ret, struct snap_err *err) {
    if (options->file)
        return target_open(project, options->file, options->overwrite, ret, err);
    target_borrow(options->fd, ret);
    return 0;
}

static int run(struct exporter *exporter, const struct snap_export_options *options, const struct kind *kind, struct snap_export_result *ret) {
    _target_ struct target target = TARGET_NONE;
    struct sink_totals totals = {0};
    int r = open_target(exporter->project, options, &target, exporter->err);
    if (r == 0)
        r = write_archive(exporter, &target, kind, &totals);
    if (r == 0)
        r = target_commit(&target, exporter->err);
    if (r < 0)
        return r;
    ret->entries = exporter->entries;
    ret->bytes = exporter->bytes;
    ret->written = totals.written;
    return 0;
}

int snap_export(struct snap_project *project, const struct snap_export_options *options, struct snap_export_result *ret, struct snap_err *error) {
    struct snap_err space = {0}, *err = error ? error : &space;
    double start = project_seconds();
    _snapshot_ struct snapshot *snapshot = NULL;
    _exporter_ struct exporter exporter = {0};
    uint64_t failed = project->failed;
    struct kind kind;
    int r = find_kind(options, &kind, err);
    if (r == 0)
        r = catalog_find(project, options->snapshot, &snapshot, err);
    if (r >= 0)
        r = exporter_init(&exporter, project, snapshot_point(snapshot), err);
    if (r < 0)
        return r;
    struct snap_export_result result = { .snapshot = snapshot->public.number, .format = "tar", .compression = compression_name(kind.compression) };
    r = run(&exporter, options, &kind, &result);
    if (r < 0)
        return r;
    result.failed = project->failed - failed;
    result.seconds = project_seconds() - start;
    *ret = result;
    return 0;
}
