/* verify --repair: what is done about what was found, in which order, and what became of it.
 *
 * First what the rest leans on: facts and manifests that the database can still say, then the database itself, built from the
 * layers where it is damaged or says otherwise; then the layers' trees. Each step is whole or not done, so that a repair that
 * was cut short is simply begun again. Then everything is verified anew, and what is claimed is what that finds.
 * Nothing is destroyed: what is in the way or belongs to nothing goes to lost+found in the store.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "mend.h"

#include "facts.h"
#include "fs.h"
#include "identity.h"
#include "manifest.h"
#include "renew.h"
#include "salvage.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 6 };           /* a copy that was mended may be what another is mended from */

/* Out of the way. */

static bool exists(int dirfd, const char *name) {
    return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int open_parent(struct store *store, const char *file, const char **ret_name) {
    const char *slash = strrchr(file, '/');
    _free_ char *parent = slash ? strndup(file, (size_t)(slash - file)) : strdup(".");
    *ret_name = slash ? slash + 1 : file;
    if (!parent)
        return -ENOMEM;
    return fs_open_beneath(store_fd(store), parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

int mend_aside(struct store *store, const char *file, struct snap_err *err) {
    const char *name;
    char as[NAME_MAX + 1];
    _close_ int from = open_parent(store, file, &name);
    if (from == -ENOENT || (from >= 0 && !exists(from, name)))
        return 0;
    if (from < 0 || (mkdirat(store_fd(store), "lost+found", 0700) < 0 && errno != EEXIST))
        return err_path(err, from < 0 ? from : -errno, file, "move to lost+found");
    _close_ int to = openat(store_fd(store), "lost+found", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    unsigned n = 1;
    do
        snprintf(as, sizeof(as), "%u-%.200s", n++, name);
    while (to >= 0 && exists(to, as));
    if (to < 0 || renameat2(from, name, to, as, RENAME_NOREPLACE) < 0)
        return err_path(err, -errno, file, "move to lost+found");
    return fsync(to) < 0 ? err_path(err, -errno, file, "flush lost+found after") : 0;
}

static bool is_litter(const struct finding *finding) {
    return finding->kind == DAMAGE_FOREIGN || finding->kind == DAMAGE_LEFTOVER;
}

static int move_litter(struct mend *mend, struct snap_err *err) {
    int r = 0;
    for (size_t i = 0; i < mend->verify->findings.count && r == 0; i++)
        if (is_litter(mend->verify->findings.all[i]) && mend->verify->findings.all[i]->file)
            r = mend_aside(mend->store, mend->verify->findings.all[i]->file, err);
    return r;
}

/* Facts and manifests. */

static bool is_snapshot_row(const struct finding *finding) {
    return finding->kind == DAMAGE_INDEX && finding->whole;
}

/* Facts that are there and whole are believed more than the row; where they are missing, the row is. */
static int needs_facts(struct mend *mend, const struct finding *finding, struct snap_err *err) {
    _facts_ struct facts facts = {0};
    struct snap_err why = {0};
    if (finding->kind != DAMAGE_FACTS && !is_snapshot_row(finding))
        return 0;
    int64_t layer = finding->kind == DAMAGE_FACTS ? finding->layer : finding->born;
    int r = facts_read(mend->store, layer, &facts, &why);
    if (r < 0 && r != -EUCLEAN && err)
        *err = why;
    return r == 0 || r == -EUCLEAN ? 1 : MIN(r, 0);
}

static int remember_facts(struct mend *mend, struct snap_err *err) {
    int r = store_begin(mend->store, err);
    for (size_t i = 0; i < mend->verify->findings.count && r >= 0; i++) {
        const struct finding *finding = mend->verify->findings.all[i];
        r = needs_facts(mend, finding, err);
        if (r > 0)
            r = facts_remember(mend->store, finding->kind == DAMAGE_FACTS ? finding->layer : finding->born, err);
    }
    if (r < 0) {
        store_abort(mend->store);
        return r;
    }
    return store_commit(mend->store, true, err);
}

/* Damaged ones go aside: where nothing is to be said, none are written in their place. */
static int write_facts(struct mend *mend, struct snap_err *err) {
    int r = remember_facts(mend, err);
    for (size_t i = 0; i < mend->verify->findings.count && r >= 0; i++)
        if (mend->verify->findings.all[i]->kind == DAMAGE_FACTS)
            r = mend_aside(mend->store, mend->verify->findings.all[i]->file, err);
    return r < 0 ? r : facts_write(mend->store, err);
}

/* The damaged one goes aside. */
static int put_manifest(struct mend *mend, int64_t layer, const struct buf *text, struct snap_err *err) {
    char file[48], name[24];
    int r;
    snprintf(name, sizeof(name), "%" PRId64, layer);
    snprintf(file, sizeof(file), "layers/%s/manifest", name);
    if ((r = mend_aside(mend->store, file, err)) < 0)
        return r;
    if (mkdirat(store_layers_fd(mend->store), name, 0700) < 0 && errno != EEXIST)
        return err_path(err, -errno, file, "make the directory of");
    _close_ int dirfd = openat(store_layers_fd(mend->store), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    r = dirfd < 0 ? -errno : fs_replace_file(dirfd, "manifest", text->data, text->size, 0600);
    return r < 0 ? err_path(err, r, file, "write") : 0;
}

static int write_manifest(struct mend *mend, int64_t layer, struct snap_err *err) {
    _buf_ struct buf text = {0};
    int r = manifest_from_index(mend->store, layer, &text, err);
    return r <= 0 ? r : put_manifest(mend, layer, &text, err);
}

static int write_manifests(struct mend *mend, struct snap_err *err) {
    int r = 0;
    for (size_t i = 0; i < mend->verify->findings.count && r >= 0; i++) {
        const struct finding *finding = mend->verify->findings.all[i];
        bool gone = finding->kind == DAMAGE_LAYER && !strstr(finding->file, "/tree");
        if (finding->kind == DAMAGE_MANIFEST || gone)
            r = write_manifest(mend, finding->layer, err);
    }
    return r;
}

/* The database. */

static bool has_kind(const struct findings *findings, enum damage_kind kind, bool rows_of_snapshots) {
    for (size_t i = 0; i < findings->count; i++)
        if (findings->all[i]->kind == kind && (rows_of_snapshots || !is_snapshot_row(findings->all[i])))
            return true;
    return false;
}

static void tell_renewed(struct mend *mend, const struct renewed *renewed) {
    struct snap_project *project = mend->project;
    project_notice(project, SNAP_NOTICE_INFO, NULL, "the database was built anew from the layers");
    if (renewed->kept)
        project_notice(project, SNAP_NOTICE_INFO, NULL, "the old one is kept as store.db.damaged-%u in the store", renewed->kept);
    if (renewed->operations_lost)
        project_notice(project, SNAP_NOTICE_INFO, NULL, "the log of operations is lost: nothing done before can be undone");
    if (renewed->facts_lost)
        project_notice(project, SNAP_NOTICE_INFO, NULL, "which snapshot the project was at is lost: the next one will have no parent");
}

/* That there was a layer must not be forgotten with the database that knew it: an empty one says so from now on. */
static int remember_layers(struct mend *mend, struct snap_err *err) {
    for (size_t i = 0; i < mend->verify->findings.count; i++) {
        const struct finding *finding = mend->verify->findings.all[i];
        if (finding->kind == DAMAGE_LAYER && mkdirat(store_fd(mend->store), finding->file, 0700) < 0 && errno != EEXIST && errno != ENOENT)
            return err_path(err, -errno, finding->file, "make the directory of");
    }
    return 0;
}

/* Who has no database cannot tell what was removed on purpose. */
static void tell_gaps(struct mend *mend) {
    const struct verify *verify = mend->verify;
    int64_t next = 1;
    for (size_t i = 0; i < verify->layers_count; next = verify->layers[i++] + 1)
        if (verify->layers[i] != next)
            project_notice(mend->project, SNAP_NOTICE_INFO, NULL, "there is no layer %" PRId64 "%s%.0" PRId64
                           ": what it held was removed before, or is lost", next, verify->layers[i] - 1 > next ? " and after, before " : "",
                           verify->layers[i] - 1 > next ? verify->layers[i] : 0);
}

/* Nobody is left who knows what the manifest said; but the layer is there. */
static int salvage(struct mend *mend, int64_t layer, struct snap_err *err) {
    _buf_ struct buf text = {0};
    int r = salvage_manifest(mend->store, layer, mend->project->env.cancel, &text, err);
    if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP) {
        *err = (struct snap_err){0};
        return 0;
    }
    int put = r < 0 ? r : put_manifest(mend, layer, &text, err);
    if (put == 0)
        project_notice(mend->project, SNAP_NOTICE_INFO, NULL, "snapshot %" PRId64 " was put together from its layer%s", layer,
                       r ? " and what is left of its manifest" : ": its time, its message, and what a layer cannot hold are lost");
    return put;
}

static int salvage_all(struct mend *mend, struct snap_err *err) {
    int r = 0;
    for (size_t i = 0; i < mend->verify->findings.count && r == 0; i++)
        if (mend->verify->findings.all[i]->kind == DAMAGE_MANIFEST)
            r = salvage(mend, mend->verify->findings.all[i]->layer, err);
    return r;
}

static int renew(struct mend *mend, struct snap_err *err) {
    struct renewed renewed = {0};
    if (!mend->verify->usable)
        tell_gaps(mend);
    _free_ char *identity = NULL;
    mend->verify->last = INT64_MAX;
    int r = identity_of(mend->project->root, &identity, err);
    if (r == 0)
        r = remember_layers(mend, err);
    if (r == 0)
        r = salvage_all(mend, err);
    if (r == 0)
        r = verify_build_apart(mend->verify, err);
    mend->project->layers = layers_close(mend->project->layers);
    if (r == 0)
        r = renew_database(mend->store, mend->verify->apart, mend->project->info.root, identity, &renewed, err);
    if (r < 0)
        return r;
    mend->verify->apart = store_close(mend->verify->apart);
    mend->verify->usable = true;
    tell_renewed(mend, &renewed);
    return 0;
}

/* The index is asked to mend manifests only where it does not contradict itself. */
static int mend_index(struct mend *mend, struct snap_err *err) {
    struct verify *verify = mend->verify;
    bool sound = verify->usable && (verify->manifests_whole || !has_kind(&verify->findings, DAMAGE_INDEX, true));
    int r = sound && verify->manifests_whole ? write_facts(mend, err) : 0;
    if (r == 0 && sound && !verify->manifests_whole)
        r = write_manifests(mend, err);
    /* rows of snapshots alone may have been right, and facts missing: the next round tells */
    if (r == 0 && (!sound || has_kind(&verify->findings, DAMAGE_INDEX, verify->rounds > 1)))
        r = renew(mend, err);
    bool written = sound && verify->manifests_whole;
    return r == 0 && !written && has_kind(&verify->findings, DAMAGE_FACTS, true) ? write_facts(mend, err) : r;
}

/* Layers. */

static bool is_of_tree(const struct finding *finding) {
    switch (finding->kind) {
    case DAMAGE_CONTENT: case DAMAGE_MISSING: case DAMAGE_TYPE: case DAMAGE_METADATA: case DAMAGE_MARK: case DAMAGE_LINK:
    case DAMAGE_FOREIGN: case DAMAGE_LOST: case DAMAGE_LAYER:
        return finding->layer > 0;
    case DAMAGE_DATABASE: case DAMAGE_INDEX: case DAMAGE_MANIFEST: case DAMAGE_FACTS: case DAMAGE_LEFTOVER:
        return false;
    }
    return false;
}

/* Findings are sorted by layer. */
static int mend_layers(struct mend *mend, struct snap_err *err) {
    int64_t last = 0;
    int r = 0;
    for (size_t i = 0; i < mend->verify->findings.count && r == 0; i++) {
        const struct finding *finding = mend->verify->findings.all[i];
        if (!is_of_tree(finding) || finding->layer == last)
            continue;
        if (project_cancelled(mend->project))
            return project_cancelled_error(err);
        last = finding->layer;
        r = mend_layer(mend, last, err);
    }
    return r;
}

static int write_lost(struct mend *mend, struct snap_err *err) {
    if (!mend->lost.count && !mend->found.count)
        return 0;
    int r = store_flush(mend->store, err);
    if (r == 0)
        r = store_begin(mend->store, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < mend->lost.count && r == 0; i++)
        r = facts_lose(mend->store, mend->lost.contents[i], true, err);
    for (size_t i = 0; i < mend->found.count && r == 0; i++)
        r = facts_lose(mend->store, mend->found.contents[i], false, err);
    if (r < 0) {
        store_abort(mend->store);
        return r;
    }
    r = store_commit(mend->store, true, err);
    return r < 0 ? r : facts_write(mend->store, err);
}

static int mend_once(struct verify *verify, struct snap_err *err) {
    struct mend mend = { .verify = verify, .project = verify->project, .store = verify->project->store };
    int r = move_litter(&mend, err);
    if (r == 0)
        r = mend_index(&mend, err);
    if (r == 0)
        r = findings_spread(&verify->findings, mend.store, err);
    if (r == 0)
        r = mend_layers(&mend, err);
    if (r == 0)
        r = write_lost(&mend, err);
    mend.project->layers = layers_close(mend.project->layers);      /* what it remembers was moved */
    free(mend.lost.contents);
    free(mend.found.contents);
    return r < 0 ? r : store_flush(mend.store, err);
}

/* What became of it. */

static bool same_place(const struct finding *a, const struct finding *b) {
    return a->file && b->file ? strcmp(a->file, b->file) == 0 : a->file == b->file && a->kind == b->kind && strcmp(a->text, b->text) == 0;
}

static const struct finding *find_again(const struct findings *now, const struct finding *then) {
    for (size_t i = 0; i < now->count; i++)
        if (same_place(now->all[i], then))
            return now->all[i];
    return NULL;
}

/* What a snapshot has in it, not one thing in it. */
static bool is_list(const struct finding *finding) {
    return finding->kind == DAMAGE_MANIFEST || (finding->kind == DAMAGE_LAYER && !strstr(finding->file, "/tree"));
}

static bool list_is_lost(const struct findings *now, int64_t layer) {
    for (size_t i = 0; i < now->count; i++)
        if (is_list(now->all[i]) && now->all[i]->layer == layer)
            return true;
    return false;
}

static void judge(struct finding *then, const struct findings *now, bool database_was_lost) {
    const struct finding *again = find_again(now, then);
    if (again) {
        then->outcome = again->kind == DAMAGE_LOST ? SNAP_OUTCOME_LOST : SNAP_OUTCOME_FOUND;
        then->died = MAX(then->died, again->died);
    }
    else
        then->outcome = is_litter(then) ? SNAP_OUTCOME_ASIDE : SNAP_OUTCOME_REPAIRED;
    bool told_by_none = then->kind == DAMAGE_FACTS && database_was_lost;
    if (told_by_none || (is_list(then) && list_is_lost(now, then->layer)))
        then->outcome = SNAP_OUTCOME_LOST;
}

/* What the first look found, with what became of it, and what the last one found beside. */
static int merge(struct findings *first, struct findings *last, bool database_was_lost, struct snap_err *err) {
    size_t before = first->count;
    for (size_t i = 0; i < before; i++)
        judge(first->all[i], last, database_was_lost);
    for (size_t i = 0; i < last->count; i++) {
        if (find_again(first, last->all[i]))
            continue;
        if (MAKE_ROOM(first->all, first->count, first->room) < 0)
            return err_nomem(err);
        if (is_list(last->all[i]))
            last->all[i]->outcome = SNAP_OUTCOME_LOST;
        first->all[first->count++] = last->all[i];
        last->all[i--] = last->all[--last->count];
    }
    return 0;
}

static size_t open_findings(const struct findings *findings) {
    size_t count = 0;
    for (size_t i = 0; i < findings->count; i++)
        count += findings->all[i]->kind != DAMAGE_LOST;
    return count;
}

/* In rounds, until nothing is left to do, or nothing helps. */
static int mend_in_rounds(struct verify *verify, struct findings *first, struct snap_err *err) {
    int r = 0;
    for (size_t left = SIZE_MAX; verify->rounds < ROUNDS && r == 0; left = open_findings(&verify->findings)) {
        bool lost_only = verify->rounds > 0 && open_findings(&verify->findings) == 0;
        if (!verify->findings.count || lost_only || (verify->rounds > 2 && open_findings(&verify->findings) >= left))
            break;
        verify->rounds++;
        r = mend_once(verify, err);
        if (first->count == 0 && verify->rounds == 1) {
            *first = verify->findings;
            verify->findings = (struct findings){0};
        }
        findings_done(&verify->findings);
        if (r == 0)
            r = verify_again(verify, err);
    }
    return r;
}

int mend_all(struct verify *verify, struct snap_err *err) {
    _findings_ struct findings first = {0};
    bool database_was_lost = !verify->usable;
    int r = project_need_lock(verify->project, err);
    if (r == 0)
        r = mend_in_rounds(verify, &first, err);
    if (r == 0)
        r = merge(&first, &verify->findings, database_was_lost, err);
    if (r < 0)
        return r;
    findings_done(&verify->findings);
    verify->findings = first;
    first = (struct findings){0};
    findings_unspread(&verify->findings);
    return 0;
}
