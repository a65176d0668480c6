/* verify: everything that a store holds, against everything that it says of itself.
 * Layers are compared with their manifests; an index is built anew from the manifests and compared with the database; what is
 * damaged is told by the paths and snapshots that show it. Without repair nothing is written, and nobody is waited for.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "verify.h"

#include "facts.h"
#include "mend.h"
#include "pool.h"
#include "rebuild.h"
#include "tree.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

void verify_done(struct verify *verify) {
    findings_done(&verify->findings);
    store_close(verify->apart);
    map_free(verify->only, NULL);
    free(verify->layers);
}

static int unlisted(int r, struct snap_err *err) {
    return r < 0 && err->code != r ? err_errno(err, r, "cannot verify the store") : r;
}

static int find(struct verify *verify, const struct damage *damage, struct snap_err *err) {
    return findings_add(&verify->findings, damage) < 0 ? err_nomem(err) : 0;
}

/* How far it is. */

static void advance(void *data, uint64_t files, uint64_t bytes) {
    struct verify *verify = data;
    uint64_t now_files = atomic_fetch_add(&verify->files, files) + files, now_bytes = atomic_fetch_add(&verify->bytes, bytes) + bytes;
    project_progress(verify->project, &(struct snap_progress){ .doing = "verifying", .entries = now_files, .bytes = now_bytes });
}

/* The database. */

static int check_pages(struct verify *verify, struct snap_err *err) {
    struct store *store = verify->project->store;
    size_t before = verify->findings.count;
    verify->usable = false;
    if (store_damage(store))
        return find(verify, &(struct damage){ .kind = DAMAGE_DATABASE, .file = "store.db", .text = store_damage(store) }, err);
    int r = check_database(store, verify->quick, findings_add, &verify->findings, err);
    verify->usable = verify->findings.count == before;
    return unlisted(r, err);
}

/* Layers. */

static bool is_listed(const int64_t *numbers, size_t count, int64_t number) {
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        if (numbers[middle] == number)
            return true;
        if (numbers[middle] < number)
            low = middle + 1;
        else
            count = middle;
    }
    return false;
}

static int missing_layers(struct verify *verify, struct snap_err *err) {
    _free_ int64_t *named = NULL;
    size_t count = 0;
    int r = check_named_layers(verify->project->store, &named, &count, err);
    for (size_t i = 0; i < count && r >= 0; i++) {
        char file[48];
        if (is_listed(verify->layers, verify->layers_count, named[i]))
            continue;
        snprintf(file, sizeof(file), "layers/%" PRId64, named[i]);
        verify->manifests_whole = false;
        r = find(verify, &(struct damage){ .kind = DAMAGE_LAYER, .layer = named[i], .file = file, .text = "is missing" }, err);
    }
    return r;
}

/* Of a layer without a manifest the index says what lies where. */

struct by_index { struct verify *verify; int64_t layer; struct snap_err *err; };

static int tell_content(struct by_index *by, const struct content *content, const char *text) {
    _buf_ struct buf file = {0}, path = {0};
    int64_t until;
    int r = check_path(by->verify->project->store, (struct point){ INDEX_PROJECT_LINE, by->layer }, content->dir, content->name, &path,
                       &until, by->err);
    if (r < 0)
        return r;
    buf_fmt(&file, "layers/%" PRId64 "/tree/%s", by->layer, path.data ? path.data : content->name);
    if (file.failed)
        return err_nomem(by->err);
    return find(by->verify, &(struct damage){ .kind = DAMAGE_CONTENT, .layer = by->layer, .file = file.data, .text = text,
        .in = content->dir, .name = content->name, .content = content->id }, by->err);
}

static int read_content(struct by_index *by, const struct content *content, int fd) {
    struct digest digest;
    struct copy_options options = { .want_digest = true, .cancel = by->verify->project->env.cancel };
    int r = copy_digest(fd, &options, NULL, &digest);
    if (r == -ECANCELED)
        return project_cancelled_error(by->err);
    advance(by->verify, 1, content->size);
    if (r < 0)
        return tell_content(by, content, "cannot be read");
    return digest_equal(&digest, &content->digest) ? 0 : tell_content(by, content, "has other bytes than were stored");
}

static int check_one_content(void *data, const struct content *content) {
    struct by_index *by = data;
    struct layers *layers = NULL;
    struct snap_err why = {0};
    int r = project_layers(by->verify->project, &layers, by->err);
    if (r < 0)
        return r;
    _close_ int fd = layers_open_content(layers, content, &why);
    if (fd < 0 && why.failure != SNAP_FAILURE_DAMAGE) {
        *by->err = why;
        return fd;
    }
    if (fd < 0)
        return tell_content(by, content, "is missing or of another size");
    return by->verify->quick ? 0 : read_content(by, content, fd);
}

static int check_by_index(struct verify *verify, int64_t layer, struct snap_err *err) {
    struct by_index by = { .verify = verify, .layer = layer, .err = err };
    return verify->usable ? check_contents(verify->project->store, layer, verify->only, check_one_content, &by, err) : 0;
}

static bool has_layer_finding(const struct verify *verify, int64_t layer) {
    for (size_t i = verify->findings.count; i-- > 0;)
        if (verify->findings.all[i]->layer == layer && verify->findings.all[i]->kind == DAMAGE_LAYER)
            return true;
    return false;
}

static int check_layers_with(struct verify *verify, struct check *check, const int64_t *layers, size_t count, struct snap_err *err) {
    int r = 0;
    for (size_t i = 0; i < count && r >= 0 && layers[i] <= verify->last; i++) {
        r = check_layer(check, layers[i], err);
        bool by_index = r == 0 || has_layer_finding(verify, layers[i]);
        verify->manifests_whole &= !by_index;
        verify->layers_seen++;
        if (r >= 0 && by_index)
            r = check_by_index(verify, layers[i], err);
    }
    return r;
}

static int find_in_layer(void *data, const struct damage *damage) {
    struct verify *verify = data;
    return findings_add(&verify->findings, damage);
}

static int check_all_layers(struct verify *verify, const int64_t *layers, size_t count, struct snap_err *err) {
    _check_ struct check *check = NULL;
    struct check_options options = { .content = !verify->quick, .threads = pool_threads_default(), .only = verify->only,
        .cancel = verify->project->env.cancel, .progress = advance, .fn = find_in_layer, .data = verify };
    int r = check_open(verify->project->store, &options, &check, err);
    if (r == 0)
        r = check_layers_with(verify, check, layers, count, err);
    return r < 0 ? r : check_finish(check, err);
}

/* The index. */

int verify_build_apart(struct verify *verify, struct snap_err *err) {
    struct rebuilt rebuilt = {0};
    verify->apart = store_close(verify->apart);
    int r = store_open_apart(verify->project->store, &verify->apart, err);
    if (r == 0)
        r = rebuild_index(verify->project->store, verify->apart, verify->last, verify->project->env.cancel, &rebuilt, err);
    verify->manifests_whole &= !rebuilt.skipped;
    return r;
}

/* While the layers are read, by a thread of its own: it asks only manifests, and writes only what nobody else sees yet. */
struct beside {
    struct verify *verify;
    pthread_t thread;
    bool running;
    int64_t version;           /* of the store when it began */
    struct store *apart;
    struct rebuilt rebuilt;
    int result;
    struct snap_err err;
};

static void *build_beside(void *data) {
    struct beside *beside = data;
    struct verify *verify = beside->verify;
    beside->result = store_open_apart(verify->project->store, &beside->apart, &beside->err);
    if (beside->result == 0)
        beside->result = rebuild_index(verify->project->store, beside->apart, verify->last, verify->project->env.cancel, &beside->rebuilt,
                                       &beside->err);
    return NULL;
}

static void beside_begin(struct beside *beside) {
    beside->version = beside->verify->usable ? store_version(beside->verify->project->store) : 0;
    beside->running = pthread_create(&beside->thread, NULL, build_beside, beside) == 0;
}

static void beside_done(struct beside *beside) {
    if (beside->running && pthread_join(beside->thread, NULL) != 0)
        abort();                           /* what it writes to is about to go */
    beside->running = false;
    beside->apart = store_close(beside->apart);
}

/* Its result in verify->apart; what did not run there is done here. *ret_version: the store's, before anything was read. */
static int beside_take(struct beside *beside, int64_t *ret_version, struct snap_err *err) {
    struct verify *verify = beside->verify;
    if (!beside->running) {
        *ret_version = verify->usable ? store_version(verify->project->store) : 0;
        return verify_build_apart(verify, err);
    }
    if (pthread_join(beside->thread, NULL) != 0)
        abort();
    beside->running = false;
    if (beside->result < 0) {
        *err = beside->err;
        return beside->result;
    }
    store_close(verify->apart);
    verify->apart = TAKE_PTR(beside->apart);
    verify->manifests_whole &= !beside->rebuilt.skipped;
    *ret_version = beside->version;
    return 0;
}

static int find_last(struct verify *verify, struct snap_err *err) {
    struct index_ids ids;
    verify->last = INT64_MAX;
    int r = verify->usable ? index_next_ids(verify->project->store, &ids, err) : 0;
    if (r == 0 && verify->usable)
        verify->last = ids.snapshot - 1;
    return r;
}

/* Another command may commit while the layers are read: then what was found is found out again. */
enum { TRIES = 4 };

static int compare_index(struct beside *beside, struct snap_err *err) {
    struct verify *verify = beside->verify;
    size_t before = verify->findings.count;
    for (int i = 0; i < TRIES; i++) {
        int64_t version = 0;
        int r = beside->running ? 0 : find_last(verify, err);
        if (r == 0)
            r = beside_take(beside, &version, err);
        if (r == 0 && verify->manifests_whole)
            r = check_index(verify->project->store, verify->apart, findings_add, &verify->findings, err);
        if (r < 0 || store_version(verify->project->store) == version)
            return r;
        findings_cut(&verify->findings, before);
    }
    project_notice(verify->project, SNAP_NOTICE_INFO, NULL, "other commands kept changing the store: the index could not be compared");
    return 0;
}

static int check_the_index(struct beside *beside, struct snap_err *err) {
    struct verify *verify = beside->verify;
    int64_t ignored;
    if (!verify->usable)
        return beside_take(beside, &ignored, err);
    int r = compare_index(beside, err);
    if (r == 0 && !verify->manifests_whole)
        r = check_rows(verify->project->store, findings_add, &verify->findings, err);
    return r;
}

/* A further copy of content that is known to be lost is lost with it. */
static int know_lost(struct verify *verify, struct snap_err *err) {
    struct snap_err space = {0};
    for (size_t i = 0; i < verify->findings.count && verify->usable; i++) {
        struct finding *finding = verify->findings.all[i];
        _snapshot_ struct snapshot *snapshot = NULL;
        /* nobody knows what it said: what came after it was built without it */
        if (finding->kind == DAMAGE_MANIFEST && index_snapshot(verify->project->store, finding->layer, &snapshot, &space) == 0)
            finding->died = INT64_MAX;
    }
    for (size_t i = 0; i < verify->findings.count && verify->usable; i++) {
        struct finding *finding = verify->findings.all[i];
        bool copy = finding->kind == DAMAGE_CONTENT || finding->kind == DAMAGE_MISSING || finding->kind == DAMAGE_TYPE;
        struct snap_err ignored = {0};
        _object_ struct object *object = NULL;
        bool lost = copy && finding->content && facts_is_lost(verify->project->store, finding->content, &ignored) > 0;
        if (copy && !lost && finding->object && index_object(verify->project->store, finding->object, &object, &ignored) == 0)
            lost = object->flags & OBJECT_LOST;
        if (!lost)
            continue;
        if (finding_set_lost(finding) < 0)
            return err_nomem(err);
    }
    return 0;
}

/* All of it. */

/* Nobody is building one: it belongs to no snapshot, and the next one's number is free. */
static int surplus_layers(struct verify *verify, struct snap_err *err) {
    for (size_t i = 0; i < verify->layers_count; i++) {
        char file[48];
        if (verify->layers[i] <= verify->last)
            continue;
        snprintf(file, sizeof(file), "layers/%" PRId64, verify->layers[i]);
        int r = find(verify, &(struct damage){ .kind = DAMAGE_FOREIGN, .file = file, .text = "belongs to no snapshot" }, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int verify_all(struct verify *verify, struct snap_err *err) {
    struct store *store = verify->project->store;
    _cleanup_(beside_done) struct beside beside = { .verify = verify };
    verify->manifests_whole = true;
    int r = check_pages(verify, err);
    if (r == 0)
        r = find_last(verify, err);
    if (r == 0)
        beside_begin(&beside);
    if (r == 0)
        r = check_layers(store, &verify->layers, &verify->layers_count, err);
    if (r == 0 && verify->usable)
        r = missing_layers(verify, err);
    for (size_t i = 0, count = verify->findings.count; i < count && r == 0; i++)
        if (verify->findings.all[i]->kind == DAMAGE_LAYER)
            r = check_by_index(verify, verify->findings.all[i]->layer, err);
    if (r == 0)
        r = check_all_layers(verify, verify->layers, verify->layers_count, err);
    if (r == 0)
        r = check_the_index(&beside, err);
    bool idle = store_locked(store) || store_is_idle(store);
    if (r == 0 && idle)
        r = surplus_layers(verify, err);
    if (r == 0)
        r = unlisted(check_folders(store, idle, findings_add, &verify->findings, err), err);
    return r < 0 ? r : know_lost(verify, err);
}

int verify_again(struct verify *verify, struct snap_err *err) {
    free(TAKE_PTR(verify->layers));
    verify->layers_count = 0;
    verify->layers_seen = 0;
    atomic_store(&verify->files, 0);
    atomic_store(&verify->bytes, 0);
    int r = verify_all(verify, err);
    findings_sort(&verify->findings);
    return r;
}

/* What one snapshot shows. */

struct gathering { struct verify *verify; struct map *layers; struct snap_err *err; };

static int gather_content(void *data, const struct tree_node *node) {
    struct gathering *gathering = data;
    struct content content;
    if (!node->object->content)
        return 0;
    int r = index_content(gathering->verify->project->store, node->object->content, &content, gathering->err);
    if (r < 0)
        return r;
    free(content.name);
    if (map_put(gathering->verify->only, &content.id, sizeof(content.id), gathering, NULL) < 0 ||
        map_put(gathering->layers, &content.layer, sizeof(content.layer), gathering, NULL) < 0)
        return err_nomem(gathering->err);
    return 0;
}

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int list_layers(struct verify *verify, const struct map *layers, struct snap_err *err) {
    verify->layers = calloc(map_count(layers) + 1, sizeof(*verify->layers));
    if (!verify->layers)
        return err_nomem(err);
    for (struct map_iter i = {0}; map_next(layers, &i);)
        memcpy(&verify->layers[verify->layers_count++], i.key, sizeof(int64_t));
    if (verify->layers_count)
        qsort(verify->layers, verify->layers_count, sizeof(*verify->layers), by_number);
    return 0;
}

static int verify_one(struct verify *verify, const char *spec, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    if (store_damage(verify->project->store))
        return err_damage(err, "the database of the store '%s' cannot be used: only all of the store can be verified", verify->project->info.store);
    struct gathering gathering = { .verify = verify, .layers = map_new(), .err = err };
    verify->only = map_new();
    verify->usable = true;
    verify->last = INT64_MAX;
    int r = verify->only && gathering.layers ? catalog_find(verify->project, spec, &snapshot, err) : err_nomem(err);
    if (r == 0)
        r = tree_walk(verify->project->store, snapshot_point(snapshot), INDEX_ROOT, NULL, true, gather_content, &gathering, err);
    if (r == 0)
        r = list_layers(verify, gathering.layers, err);
    map_free(gathering.layers, NULL);
    return r < 0 ? r : check_all_layers(verify, verify->layers, verify->layers_count, err);
}

/* The door. */

/* The index that can say who shows what. */
static struct store *asked(const struct verify *verify) {
    return verify->usable && !store_damage(verify->project->store) ? verify->project->store : verify->apart;
}

static int run(struct verify *verify, const struct snap_verify_options *options, snap_damage_fn fn, void *data, struct snap_err *err) {
    int r = options->spec ? verify_one(verify, options->spec, err) : verify_all(verify, err);
    findings_sort(&verify->findings);
    if (r >= 0 && options->repair)
        r = mend_all(verify, err);
    if (r >= 0)
        r = findings_spread(&verify->findings, asked(verify), err);
    return r < 0 ? r : findings_tell(&verify->findings, asked(verify), fn, data, err);
}

static void fill(struct snap_verify_result *ret, const struct verify *verify, double start) {
    *ret = (struct snap_verify_result){ .layers = verify->layers_seen, .files = atomic_load(&verify->files),
        .bytes = atomic_load(&verify->bytes), .damaged = verify->findings.count, .seconds = project_seconds() - start };
    for (size_t i = 0; i < verify->findings.count; i++) {
        enum snap_outcome outcome = verify->findings.all[i]->outcome;
        ret->repaired += outcome == SNAP_OUTCOME_REPAIRED || outcome == SNAP_OUTCOME_ASIDE;
        ret->lost += outcome == SNAP_OUTCOME_LOST;
    }
}

int snap_verify(struct snap_project *project, const struct snap_verify_options *options,
                snap_damage_fn fn, void *data, struct snap_verify_result *ret, struct snap_err *error) {
    struct snap_err space = {0}, *err = error ? error : &space;
    if (options->repair && options->spec) {
        err_set(err, -EINVAL, "only all of the store can be repaired");
        return err_failure(err, SNAP_FAILURE_USAGE);
    }
    double start = project_seconds();
    _cleanup_(verify_done) struct verify verify = { .project = project, .quick = options->quick };
    int r = run(&verify, options, fn, data, err);
    if (r < 0)
        return r;
    fill(ret, &verify, start);
    return 0;
}
