/* snap_import: what lies in an archive becomes a snapshot.
 * The archive is read completely, with all checks, before anything else happens: what is refused leaves nothing. Then the
 * present of the project is captured, so that the newest entries are the project; then the tree is put behind them.
 * Touches nothing in the project. SPDX-License-Identifier: GPL-2.0-or-later */
#include "graft.h"
#include "hook.h"
#include "import_oci.h"
#include "take.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct import {
    struct snap_project *project;
    const struct snap_import_options *options;
    struct stage *stage;
    struct import_tree tree;
    struct import_tree layout;            /* of an image, if the archive is one of that */
    struct snap_err *err;
};

static void import_done(struct import *import) {
    import_tree_done(&import->tree);
    import_tree_done(&import->layout);
    stage_free(import->stage);
}

static void tell(void *data, const char *path, const char *text) {
    project_notice(data, SNAP_NOTICE_INFO, path, "%s", text);
}

static int begin_tree(struct import *import) {
    struct import_tree *tree = &import->tree;
    if (import_tree_init(tree, import->stage) < 0)
        return err_nomem(import->err);
    import_tree_limit(tree, import->options->max_entries);
    tree->cancel = import->project->env.cancel;
    tree->tell = tell;
    tree->data = import->project;
    return 0;
}

/* The number that the snapshot gets if the present of the project has to be captured first. */
static int open_stage(struct import *import) {
    struct index_ids ids;
    int r = index_next_ids(import->project->store, &ids, import->err);
    if (r < 0 || (r = stage_open(import->project->store, ids.snapshot + 1, &import->stage, import->err)) < 0)
        return r;
    return begin_tree(import);
}

static struct inflow_limits limits_of(const struct import *import) {
    return (struct inflow_limits){ .bytes = import->options->max_bytes, .ratio = import->options->max_ratio,
                                   .cancel = import->project->env.cancel };
}

/* The archive was one of an image's layout: the image is what counts. Its files get other numbers in the stage. */
static int read_image_in_archive(struct import *import) {
    import->layout = import->tree;
    import->tree = (struct import_tree){0};
    int r = begin_tree(import);
    if (r < 0)
        return r;
    import->tree.next_number = import->layout.next_number;
    import->tree.root->number = import->tree.next_number--;
    struct import_oci oci = { .dir = -1, .layout = &import->layout, .into = &import->tree, .limits = limits_of(import) };
    return import_oci_read(&oci, import->err);
}

static int read_archive(struct import *import, int fd) {
    _inflow_ struct inflow *flow = NULL;
    struct inflow_limits limits = limits_of(import);
    int r = inflow_open(fd, &limits, &flow, import->err);
    if (r < 0 || (r = import_tree_add(&import->tree, flow, false, import->err)) < 0)
        return r;
    return import_oci_is_layout(&import->tree) ? read_image_in_archive(import) : 0;
}

static int read_image(struct import *import, int dir) {
    struct import_oci oci = { .dir = dir, .into = &import->tree, .limits = limits_of(import) };
    if (faccessat(dir, "oci-layout", F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
        err_set(import->err, -EISDIR, "it is a directory, and not an OCI image layout");
        return err_hint(import->err, "a directory can be packed first: tar --xattrs -C DIR -cf - . | snapctl import -");
    }
    return import_oci_read(&oci, import->err);
}

static int open_file(const struct snap_project *project, const char *file, struct snap_err *err) {
    _free_ char *joined = NULL;
    if (!strcmp(file, "-"))
        return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    if (*file != '/' && asprintf(&joined, "%s/%s", project->env.dir, file) < 0)
        return err_nomem(err);
    int fd = open(joined ? joined : file, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int read_input(struct import *import, const char *file) {
    _close_ int fd = open_file(import->project, file, import->err);
    if (fd < 0)
        return err_path(import->err, fd, file, "open");
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return err_path(import->err, -errno, file, "look at");
    return S_ISDIR(stat.st_mode) ? read_image(import, fd) : read_archive(import, fd);
}

static int put_behind(struct import *import, const struct take_request *request, struct snap_import_result *ret) {
    struct snap_project *project = import->project;
    _scan_ struct scan *scan = NULL;
    _seal_ struct seal *seal = NULL;
    _snapshot_ struct snapshot *snapshot = NULL;
    struct sealed sealed = {0};
    struct index_ids ids;
    int r = index_next_ids(project->store, &ids, import->err);
    if (r < 0 || (r = stage_renumber(import->stage, ids.snapshot)) < 0)
        return r < 0 && import->err->code != r ? err_errno(import->err, r, "cannot begin layer %lld", (long long)ids.snapshot) : r;
    if ((r = graft_compare(project, &import->tree, &scan, import->err)) < 0
        || (r = seal_plan(scan, ids.snapshot, &seal, import->err)) < 0
        || (r = take_describe(project, request, ids.snapshot, &snapshot, import->err)) < 0
        || (r = seal_layer(seal, import->err)) < 0 || (r = stage_publish(import->stage, import->err)) < 0
        || (r = take_commit(project, request, seal, scan, snapshot, &sealed, import->err)) < 0)
        return r;
    stage_keep(import->stage);
    ret->number = snapshot->public.number;
    ret->added = snapshot->public.added;
    ret->changed = snapshot->public.changed;
    ret->deleted = snapshot->public.deleted;
    ret->stored = sealed.bytes;
    return 0;
}

static int import_file(struct import *import, const char *file, const struct take_request *request, struct snap_import_result *ret) {
    int r = take_check_name(import->project, request->options.name, import->err);
    if (r < 0 || (r = open_stage(import)) < 0 || (r = read_input(import, file)) < 0)
        return r;
    if ((r = hook("import.read", file)) < 0)
        return err_errno(import->err, r, "stopped after reading");
    ret->entries = import->tree.entries;
    ret->bytes = import->tree.bytes;
    r = take_safety(import->project, "before import", &ret->before, import->err);
    return r < 0 ? r : put_behind(import, request, ret);
}

static char *default_message(const char *file) {
    const char *slash = strrchr(file, '/');
    char *message = NULL;
    bool input = !strcmp(file, "-");
    return asprintf(&message, input ? "imported" : "imported from %s", slash && slash[1] ? slash + 1 : file) < 0 ? NULL : message;
}

int snap_import(struct snap_project *project, const char *file, const struct snap_import_options *options,
                struct snap_import_result *ret, struct snap_err *error) {
    static const struct snap_import_options defaults;
    struct snap_err space = {0}, *err = error ? error : &space;
    double start = project_seconds();
    uint64_t failed = project->failed;
    struct snap_import_result result = {0};
    _cleanup_(import_done) struct import import = { .project = project, .options = options ? options : &defaults, .err = err };
    _free_ char *message = default_message(file);
    struct take_request request = { .foreign = true, .options = { .name = import.options->name,
                                    .message = import.options->message ? import.options->message : message } };
    int r = project_need_lock(project, err);
    if (r == 0 && (r = import_file(&import, file, &request, &result)) < 0)
        return err_wrap(err, "cannot import '%s'", file);
    if (r < 0)
        return r;
    result.failed = project->failed - failed;
    result.seconds = project_seconds() - start;
    *ret = result;
    return 0;
}
