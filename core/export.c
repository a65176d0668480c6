/* `export`: a snapshot, or what differs between two, as an archive, a specification or an image.
 * Writes nothing in the store. SPDX-License-Identifier: GPL-2.0-or-later */
#include "exporter.h"
#include "reading.h"

struct exporting {
    const struct snap_export_options *options;
    struct export_kind kind;
    struct snapshot **snapshots;          /* of an image all, oldest first; else [SINCE,] SNAP */
    size_t count, room;
};

static void exporting_done(struct exporting *exporting) {
    for (size_t i = 0; i < exporting->count; i++)
        snapshot_free(exporting->snapshots[i]);
    free(exporting->snapshots);
}
#define _exporting_ _cleanup_(exporting_done)

/* Which snapshots. */

static int add_snapshot(struct exporting *exporting, struct snapshot *snapshot, struct snap_err *err) {
    if (MAKE_ROOM(exporting->snapshots, exporting->count, exporting->room) < 0) {
        snapshot_free(snapshot);
        return err_nomem(err);
    }
    exporting->snapshots[exporting->count++] = snapshot;
    return 0;
}

static int find_snapshot(struct exporting *exporting, struct snap_project *project, const char *spec, struct snap_err *err) {
    struct snapshot *snapshot = NULL;
    int r = catalog_find(project, spec, &snapshot, err);
    return r < 0 ? r : add_snapshot(exporting, snapshot, err);
}

struct between { int64_t first, last, *numbers; size_t count, room; };

static int note_between(void *data, const struct snapshot *snapshot) {
    struct between *between = data;
    int64_t number = snapshot->public.number;
    if (number <= between->first || number >= between->last || snapshot->flags & (SNAPSHOT_AUTO | SNAPSHOT_FOREIGN))
        return number <= between->first;
    if (MAKE_ROOM(between->numbers, between->count, between->room) < 0)
        return -ENOMEM;
    between->numbers[between->count++] = number;
    return 0;
}

/* Each between the two that the user took is a layer of its own. */
static int fill_between(struct exporting *exporting, struct snap_project *project, struct snap_err *err) {
    struct snapshot *last = exporting->snapshots[1];
    struct between between = { .first = exporting->snapshots[0]->public.number, .last = last->public.number };
    if (between.first >= between.last) {
        err_set(err, -EINVAL, "snapshot %lld is not older than snapshot %lld", (long long)between.first, (long long)between.last);
        return err_failure(err, SNAP_FAILURE_USAGE);
    }
    exporting->count = 1;
    int r = index_snapshots(project->store, last->line, note_between, &between, err);
    _free_ int64_t *numbers = between.numbers;
    for (size_t i = between.count; i-- > 0 && r >= 0;) {
        struct snapshot *snapshot = NULL;
        r = index_snapshot(project->store, numbers[i], &snapshot, err);
        if (r > 0 && (r = reading_hold(project, snapshot, err)) >= 0)
            r = add_snapshot(exporting, TAKE_PTR(snapshot), err);
        snapshot_free(snapshot);
    }
    int added = add_snapshot(exporting, last, err);
    return r < 0 ? r : added;
}

static int find_snapshots(struct exporting *exporting, struct snap_project *project, struct snap_err *err) {
    const struct snap_export_options *options = exporting->options;
    int r = options->since ? find_snapshot(exporting, project, options->since, err) : 0;
    if (r == 0)
        r = find_snapshot(exporting, project, options->snapshot, err);
    return r == 0 && options->since && exporting->kind.format == SNAP_EXPORT_OCI ? fill_between(exporting, project, err) : r;
}

/* Formats. */

static int write_tar(struct exporting *exporting, struct exporter *exporter, struct sink *sink) {
    unsigned flags = TAR_SPARSE;
    struct point from = snapshot_point(exporting->snapshots[0]);
    if (!exporting->options->since)
        return export_tar(exporter, NULL, sink, flags);
    bool overlay = exporting->options->whiteouts == SNAP_WHITEOUTS_OVERLAY;
    exporter->dialect = overlay ? DIALECT_OVERLAY : DIALECT_OCI;
    return export_tar(exporter, &from, sink, flags | (overlay ? (unsigned)TAR_OVERLAY : 0));
}

static int write_mtree(struct exporter *exporter, struct sink *sink) {
    int r = mtree_open(sink, &exporter->mtree, exporter->err);
    return r < 0 ? r : export_tree(exporter);
}

/* An image is complete before it is packed: names in it are digests. */
static int write_packed_image(struct exporting *exporting, struct exporter *exporter, struct sink *sink) {
    _target_ struct target scratch = TARGET_NONE;
    uint64_t unpacked = 0;
    int r = target_open_scratch(exporter->project, exporting->options->file, &scratch, exporter->err);
    if (r == 0)
        r = export_oci(exporter, exporting->snapshots, exporting->count, scratch.fd, &unpacked);
    return r < 0 ? r : export_oci_tar(exporter, scratch.fd, sink);
}

static int write_stream(struct exporting *exporting, struct exporter *exporter, int fd, uint64_t *written) {
    struct sink_totals totals = {0};
    _sink_ struct sink *sink = NULL;
    int r = sink_open(fd, exporting->kind.compression, 0, exporter->project->env.cancel, &sink, exporter->err);
    if (r < 0)
        return r;
    switch (exporting->kind.format) {
    case SNAP_EXPORT_AUTO:
    case SNAP_EXPORT_TAR: r = write_tar(exporting, exporter, sink); break;
    case SNAP_EXPORT_MTREE: r = write_mtree(exporter, sink); break;
    case SNAP_EXPORT_OCI: r = write_packed_image(exporting, exporter, sink); break;
    }
    if (r == 0)
        r = sink_end(sink, &totals, exporter->err);
    *written = totals.written;
    return r;
}

/* Where to. */

static int open_target(struct exporting *exporting, struct snap_project *project, struct target *ret, struct snap_err *err) {
    const struct snap_export_options *options = exporting->options;
    if (!options->file) {
        target_borrow(options->fd, ret);
        return 0;
    }
    return exporting->kind.directory ? target_open_directory(project, options->file, ret, err)
                                     : target_open(project, options->file, options->overwrite, ret, err);
}

static int write_all(struct exporting *exporting, struct exporter *exporter, struct snap_export_result *ret) {
    _target_ struct target target = TARGET_NONE;
    int r = open_target(exporting, exporter->project, &target, exporter->err);
    if (r == 0)
        r = exporting->kind.directory
            ? export_oci(exporter, exporting->snapshots, exporting->count, target.fd, &ret->written)
            : write_stream(exporting, exporter, target.fd, &ret->written);
    return r < 0 ? r : target_commit(&target, exporter->err);
}

static int run(struct exporting *exporting, struct exporter *exporter, struct snap_export_result *ret) {
    int r = reading_begin(exporter->project, exporter->err);
    return r < 0 ? r : reading_end(exporter->project, write_all(exporting, exporter, ret), exporter->err);
}

int snap_export(struct snap_project *project, const struct snap_export_options *options, struct snap_export_result *ret, struct snap_err *error) {
    struct snap_err space = {0}, *err = error ? error : &space;
    double start = project_seconds();
    _exporting_ struct exporting exporting = { .options = options };
    _exporter_ struct exporter exporter = {0};
    uint64_t failed = project->failed;
    int r = export_kind_find(options, &exporting.kind, err);
    if (r == 0)
        r = find_snapshots(&exporting, project, err);
    if (r < 0)
        return r;
    const struct snapshot *last = exporting.snapshots[exporting.count - 1];
    struct snap_export_result result = {
        .snapshot = last->public.number, .since = options->since ? exporting.snapshots[0]->public.number : 0,
        .format = export_kind_format(&exporting.kind), .compression = export_kind_compression(&exporting.kind),
        .layers = exporting.kind.format == SNAP_EXPORT_OCI ? exporting.count : 0,
    };
    exporter_init(&exporter, project, snapshot_point(last), err);
    r = run(&exporting, &exporter, &result);
    if (r < 0)
        return r;
    result.entries = exporter.entries;
    result.deleted = exporter.deleted;
    result.bytes = exporter.bytes;
    result.failed = project->failed - failed;
    result.seconds = project_seconds() - start;
    *ret = result;
    return 0;
}
