/* The property test: random trees, random operations on them, a snapshot after each batch; whatever the program shows or
 * brings back later equals an independent copy made at the time.
 *
 *     property SNAPCTL        SEED=n (one case), SEEDS=n (random ones more), STEPS=n, LONG=1, KEEP=1, JOBS=n, TMPDIR,
 *                             WATCH=inotify or fanotify (with a watcher that is started, stopped and killed now and then)
 *
 * Runs as root and as an ordinary user; a seed gives the same operations again. SPDX-License-Identifier: GPL-2.0-or-later */
#include "exports.h"
#include "model.h"
#include "watched.h"

#include "cleanup.h"

#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <string.h>
#include <sys/wait.h>

enum { ORDINARY_UID = 54321, BATCH_MAX = 20, STEPS_DEFAULT = 1000, STEPS_LONG = 20000, CHAIN_MAX = 3, SKIPPED = 77 };

static void free_listing(struct listing **listing) { listing_free(*listing); }
#define _listing_ _cleanup_(free_listing)
#define _run_ _cleanup_(run_done)

static const char *number_text(int64_t number, char ret[24]) {
    snprintf(ret, 24, "%" PRId64, number);
    return ret;
}

/* take */

static bool is_clean(struct model *model, const char *after) {
    _run_ struct run run = {0};
    model_run(model, &run, "status", "--exit-code", NULL);
    model->checks++;
    return run.code == 0 || model_fail(model, &run, "status is not clean right after %s", after);
}

static bool take(struct model *model) {
    _listing_ struct listing *now = model_now(model);
    _run_ struct run run = {0};
    if (!now)
        return false;
    if (rng_percent(&model->rng, 10))
        model_run(model, &run, "--json", "take", "-m", "with a message", NULL);
    else
        model_run(model, &run, "--json", "take", "--no-sync", NULL);
    int64_t number = json_int(run.out, "number");
    if (run.code || number < 1)
        return model_fail(model, &run, "take fails");
    if (!model_project_is(model, now, 0, NULL, "take") || !model_keep(model, number, false, TAKE_PTR(now)))
        return false;
    return rng_percent(&model->rng, 60) || is_clean(model, "take");
}

static bool take_if_changed(struct model *model, bool must_be_none, const char *after) {
    _listing_ struct listing *now = model_now(model);
    _run_ struct run run = {0};
    const struct kept *newest = model_newest(model);
    if (!now || !newest)
        return now != NULL;
    model_run(model, &run, "--json", "take", "--no-sync", "--if-changed", NULL);
    int64_t number = json_int(run.out, "number");
    if (run.code)
        return model_fail(model, &run, "take --if-changed fails");
    model->checks++;
    if (number > 0 && must_be_none)
        return model_fail(model, &run, "take --if-changed makes snapshot %" PRId64 " right after %s", number, after);
    if (number <= 0 && listing_differs(newest->listing, now, DIFFER_TIMES | DIFFER_SPACE, NULL, NULL))
        return model_fail(model, &run, "take --if-changed sees no change after %s", after);
    return number <= 0 || model_keep(model, number, false, TAKE_PTR(now));
}

/* Looking. */

static bool restore_equals(struct model *model, const struct kept *kept, const char *path) {
    const struct node *node = listing_find(kept->listing, path);
    _listing_ struct listing *want = node ? listing_below(kept->listing, path) : NULL;
    _run_ struct run run = {0};
    _free_ char *spec = NULL, *dest = NULL, *what = NULL;
    if (!want || asprintf(&spec, "%" PRId64 ":%s", kept->number, path) < 0 || asprintf(&dest, "%s/restored", model->box.out) < 0
        || asprintf(&what, "'restore %s'", spec) < 0)
        abort();
    model_run(model, &run, "restore", spec, dest, NULL);
    if (run.code)
        return model_fail(model, &run, "%s fails", what);
    /* a name whose other names are elsewhere is a file of its own here */
    if (!model_tree_is(model, dest, want, 0, what))
        return false;
    if (remove_tree(AT_FDCWD, dest) < 0)
        return model_fail(model, NULL, "cannot remove %s: %s", dest, strerror(errno));
    return true;
}

/* Views need FUSE; fusermount3 wants to know its user's name. */
static bool has_views(const struct model *model) {
    static int known = -1;
    if (known < 0) {
        known = access("/dev/fuse", R_OK | W_OK) == 0 && (geteuid() == 0 || (getpwuid(geteuid()) && access("/usr/bin/fusermount3", X_OK) == 0));
        if (!known)
            printf("skipped: views as %s: FUSE may not be used here\n", model->who);
    }
    return known;
}

static bool view_equals(struct model *model, const struct kept *kept) {
    char number[24];
    _run_ struct run mount = {0}, umount = {0};
    _free_ char *dir = NULL;
    if (!has_views(model))
        return true;
    if (asprintf(&dir, "%s/view", model->box.out) < 0)
        abort();
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return model_fail(model, NULL, "cannot make %s: %s", dir, strerror(errno));
    model_run(model, &mount, "mount", number_text(kept->number, number), dir, NULL);
    if (mount.code)
        return model_fail(model, &mount, "mount of snapshot %s fails", number);
    bool good = model_tree_is(model, dir, kept->listing, DIFFER_SPACE, "mount");
    model_run(model, &umount, "umount", dir, NULL);
    return umount.code ? model_fail(model, &umount, "umount of snapshot %s fails", number) : good;
}

static bool look_view(struct model *model) {
    return view_equals(model, model_any(model));
}

static const char *any_path(struct model *model, const struct listing *listing) {
    return listing->nodes[rng_below(&model->rng, listing->count)].path;
}

static bool look_restore(struct model *model) {
    const struct kept *kept = model_any(model);
    return restore_equals(model, kept, rng_percent(&model->rng, 60) ? "" : any_path(model, kept->listing));
}

static bool look_list(struct model *model) {
    char number[24];
    _run_ struct run run = {0};
    const struct kept *kept = model_any(model);
    model_run(model, &run, "--json", "ls", "-R", number_text(kept->number, number), NULL);
    return model_list_agrees(model, &run, kept->listing, "ls -R");
}

static bool look_diff(struct model *model) {
    char a[24], b[24];
    _run_ struct run run = {0};
    const struct kept *from = model_any(model), *to = model_any(model);
    model_run(model, &run, "diff", "-z", "--no-renames", number_text(from->number, a), number_text(to->number, b), NULL);
    return model_rows_agree(model, &run, from->listing, to->listing, "diff A B");
}

static bool look_status(struct model *model) {
    char a[24];
    _run_ struct run run = {0};
    const struct kept *from = rng_percent(&model->rng, 50) ? model_newest(model) : model_any(model);
    _listing_ struct listing *now = model_now(model);
    if (!now || !from)
        return now != NULL;
    model_run(model, &run, "diff", "-z", "--no-renames", number_text(from->number, a), NULL);
    return model_rows_agree(model, &run, from->listing, now, "diff A");
}

static bool look_cat(struct model *model) {
    const struct kept *kept = model_any(model);
    const char *path = any_path(model, kept->listing);
    const struct node *node = listing_find(kept->listing, path);
    if (!S_ISREG(node->mode))
        return true;
    _run_ struct run run = {0};
    _free_ char *spec = NULL;
    if (asprintf(&spec, "%" PRId64 ":%s", kept->number, path) < 0)
        abort();
    model_run(model, &run, "cat", spec, NULL);
    model->checks++;
    return (!run.code && run.out_size == node->size) || model_fail(model, &run, "cat %s gives %zu bytes of %" PRIu64, spec, run.out_size, node->size);
}

/* Going back. */

static bool note_safety(struct model *model, const struct run *run, const struct listing *before) {
    int64_t safety = json_int(run->out, "safety");
    if (safety < 1 || model_numbered(model, safety))
        return true;
    struct listing *copy = listing_copy(before);
    if (!copy)
        abort();
    return model_keep(model, safety, true, copy);
}

static bool go(struct model *model, const struct listing *before, const char *what, struct run *ret, const char *const *words) {
    const char *all[4] = { "--json" };
    for (size_t i = 0; words[i] && i < 2; i++)
        all[i + 1] = words[i];
    model_run(model, ret, all[0], all[1], all[2], NULL);
    if (ret->code)
        return model_fail(model, ret, "%s fails", what);
    return note_safety(model, ret, before);
}

static bool rollback_whole(struct model *model, const struct kept *kept) {
    char number[24];
    _run_ struct run run = {0};
    _listing_ struct listing *before = model_now(model), *want = listing_copy(kept->listing);
    if (!before || !want)
        return false;
    if (!go(model, before, "rollback", &run, (const char *const[]){ "rollback", number_text(kept->number, number), NULL }))
        return false;
    return model_project_is(model, want, 0, NULL, "rollback");
}

static bool again(struct model *model, const char *verb, const struct listing *want) {
    _run_ struct run run = {0};
    _listing_ struct listing *before = model_now(model);
    if (!before || !go(model, before, verb, &run, (const char *const[]){ verb, NULL }))
        return false;
    return model_project_is(model, want, 0, NULL, verb);
}

/* Some rollbacks, then back and forth through them by undo and redo: each state is exactly one that was. A rollback to
 * what is there already is no operation, so the states are told apart. */
static bool chain(struct model *model) {
    struct listing *states[CHAIN_MAX + 1] = { NULL };
    size_t count = 0, at;
    bool good = (states[0] = model_now(model)) != NULL;
    for (unsigned tries = 1 + (unsigned)rng_below(&model->rng, CHAIN_MAX); good && tries; tries--) {
        const struct kept *kept = model_any(model);
        if (!listing_differs(states[count], kept->listing, DIFFER_SPACE, NULL, NULL))
            continue;
        good = rollback_whole(model, kept) && (states[++count] = model_now(model));
    }
    at = count;
    for (unsigned steps = (unsigned)rng_below(&model->rng, 5); good && count && steps; steps--) {
        bool back = at == count || (at && rng_percent(&model->rng, 60));
        at += back ? (size_t)-1 : 1;
        good = again(model, back ? "undo" : "redo", states[at]);
        if (good && rng_percent(&model->rng, 10))
            good = take(model);
    }
    for (size_t i = 0; i <= count; i++)
        listing_free(states[i]);
    return good;
}

/* After going back to the newest snapshot the project is the newest snapshot. */
static bool rollback_newest(struct model *model) {
    const struct kept *newest = model_newest(model);
    if (!newest || !rollback_whole(model, newest) || !is_clean(model, "rollback to the newest"))
        return false;
    return take_if_changed(model, true, "a rollback to the newest snapshot");
}

/* Every directory on the way is one, or nothing is there. */
static bool way_is_free(const struct listing *now, const char *path) {
    _free_ char *way = strdup(path);
    for (char *slash = strrchr(way, '/'); slash; slash = strrchr(way, '/')) {
        *slash = 0;
        const struct node *node = listing_find(now, way);
        if (node && !S_ISDIR(node->mode))
            return false;
    }
    return true;
}

static bool is_on_the_way(const char *path, const char *to) {
    return strcmp(path, to) != 0 && path_is_below(to, path);
}

/* At and below `path` as in `there`, all else as `before`; what leads to it may be new or touched. */
static bool part_is_back(struct model *model, const struct listing *before, const struct listing *there, const char *path, const char *after) {
    _listing_ struct listing *now = model_now(model);
    _listing_ struct listing *want = listing_below(there, path), *have = now ? listing_below(now, path) : NULL;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    unsigned found = 0;
    if (!now || !out)
        return false;
    if (!want != !have)
        found += (unsigned)fprintf(out, "  the path is %s\n", have ? "still there" : "missing") > 0;
    else if (want)
        found += listing_differs(want, have, DIFFER_LINKS, NULL, out);
    for (size_t i = 0; i < before->count; i++) {
        const struct node *node = &before->nodes[i], *same = listing_find(now, node->path);
        if (path_is_below(node->path, path))
            continue;
        if (!same)
            found += (unsigned)fprintf(out, "  %s has gone\n", node->path) > 0;
        else
            found += node_differs(node, same, is_on_the_way(node->path, path) ? DIFFER_DIR_TIMES : 0, out);
    }
    for (size_t i = 0; i < now->count; i++) {
        if (!path_is_below(now->nodes[i].path, path) && !is_on_the_way(now->nodes[i].path, path) && !listing_find(before, now->nodes[i].path))
            found += (unsigned)fprintf(out, "  %s has appeared\n", now->nodes[i].path) > 0;
    }
    (void)fclose(out);
    model->checks++;
    if (found)
        model_fail(model, NULL, "the project after %s of one path differs:\n%s", after, text);
    free(text);
    return !found;
}

static bool rollback_part(struct model *model) {
    char number[24];
    _run_ struct run run = {0}, undo = {0};
    const struct kept *kept = model_any(model);
    _listing_ struct listing *before = model_now(model), *there = listing_copy(kept->listing);
    if (!before || !there)
        return false;
    _free_ char *path = strdup(any_path(model, rng_percent(&model->rng, 70) ? there : before));
    if (!*path || !way_is_free(before, path) || !way_is_free(there, path))
        return true;
    model_run(model, &run, "--json", "rollback", number_text(kept->number, number), "--", path, NULL);
    if (run.code == 4 && strstr(run.out, "directories were moved since"))
        return note_safety(model, &run, before) && model_project_is(model, before, 0, NULL, "a rollback of a path that is not possible");
    if (run.code)
        return model_fail(model, &run, "rollback of a path fails");
    if (!note_safety(model, &run, before) || !part_is_back(model, before, there, path, "rollback"))
        return false;
    if (json_int(run.out, "operation") < 1 || rng_percent(&model->rng, 50))
        return true;
    _listing_ struct listing *between = model_now(model);
    model_run(model, &undo, "--json", "undo", NULL);
    if (undo.code || !between)
        return model_fail(model, &undo, "undo fails");
    /* times of the directories that lead there: nobody promised more than the path */
    return note_safety(model, &undo, between) && model_project_is(model, before, DIFFER_DIR_TIMES, NULL, "undo of a part");
}

static const char *last_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static ino_t directory_of(const struct listing *listing, const char *path) {
    _free_ char *above = strdup(path);
    char *slash = strrchr(above, '/');
    *(slash ? slash : above) = 0;
    const struct node *node = listing_find(listing, above);
    return node ? node->ino : 0;
}

/* The entry of one listing that is that of the other, in the same directory, wherever that is. */
static const struct node *same_entry(const struct listing *in, const struct listing *of, const struct node *node) {
    for (size_t i = 0; i < in->count; i++) {
        const struct node *other = &in->nodes[i];
        if (other->ino == node->ino && !strcmp(last_name(other->path), last_name(node->path))
            && directory_of(in, other->path) == directory_of(of, node->path) && !node_differs(node, other, DIFFER_DIR_TIMES | DIFFER_SPACE, NULL))
            return other;
    }
    return NULL;
}

/* Somebody's own change went with its directory, which the undo moved. */
static bool moved_along(const struct listing *left, const struct listing *touched, const struct listing *now,
                        const struct node *c, const struct node *d) {
    const struct node *was = d ? same_entry(touched, now, d) : c;
    if (!was || (!d && !same_entry(now, touched, c)))
        return false;
    const struct node *old = listing_find(left, was->path);
    return !old || node_differs(old, was, DIFFER_DIR_TIMES | DIFFER_SPACE, NULL);
}

/* Somebody removed it from where the operation had put its directory. */
static bool removed_there(const struct listing *before, const struct listing *left, const struct listing *touched, const struct node *a) {
    const struct node *there = a ? same_entry(left, before, a) : NULL;
    return there && !listing_find(touched, there->path);
}

/* What the operation changed and what still stands as it left it, is as before it; the rest is as it is now. Directories'
 * times, and names that hang on both, are nobody's. */
static bool merged_path_is(struct model *model, const char *path, const struct listing *before, const struct listing *left,
                           const struct listing *touched, const struct listing *now) {
    const struct node *a = listing_find(before, path), *b = listing_find(left, path), *c = listing_find(touched, path), *d = listing_find(now, path);
    bool changed = !a != !b || (a && node_differs(a, b, DIFFER_DIR_TIMES | DIFFER_SPACE, NULL));
    bool stands = !b == !c && (!b || !node_differs(b, c, DIFFER_DIR_TIMES | DIFFER_SPACE, NULL));
    const struct node *want = changed && stands ? a : c;
    if ((!want != !d || (want && node_differs(want, d, DIFFER_DIR_TIMES | DIFFER_SPACE, NULL))) && moved_along(left, touched, now, c, d))
        return true;
    if (want && !d && removed_there(before, left, touched, a))
        return true;
    if (!want != !d)
        return model_fail(model, NULL, "undo after changes: '%s' %s", path, d ? "should not be there" : "is missing");
    if (want && node_differs(want, d, DIFFER_DIR_TIMES | DIFFER_SPACE, stderr))
        return model_fail(model, NULL, "undo after changes: '%s' is wrong", path);
    return true;
}

static bool undo_after_changes(struct model *model) {
    const struct kept *kept = model_any(model);
    _listing_ struct listing *before = model_now(model);
    _run_ struct run run = {0};
    if (!before || !listing_differs(before, kept->listing, DIFFER_SPACE, NULL, NULL))
        return before != NULL;
    if (!rollback_whole(model, kept))
        return false;
    _listing_ struct listing *left = model_now(model);
    mutate_look(&model->mutator);
    for (uint64_t i = 1 + rng_below(&model->rng, 3); i; i--)
        mutate_step(&model->mutator);
    mutate_let_go(&model->mutator);
    _listing_ struct listing *touched = model_now(model);
    if (!left || !touched)
        return false;
    model_run(model, &run, "--json", "undo", NULL);
    if (run.code == 4)
        return model_project_is(model, touched, 0, NULL, "an undo in conflict");
    if (run.code || !note_safety(model, &run, touched))
        return model_fail(model, &run, "undo after changes fails");
    _listing_ struct listing *now = model_now(model);
    const struct listing *all[] = { before, left, touched, now };
    for (size_t i = 0; now && i < ELEMENTS(all); i++) {
        for (size_t j = 0; j < all[i]->count; j++) {
            if (!merged_path_is(model, all[i]->nodes[j].path, before, left, touched, now))
                return false;
        }
    }
    model->checks++;
    return now != NULL;
}

/* restore is an operation too: undone, the copy is gone; redone, it is there. */
static bool undo_restore(struct model *model) {
    const struct kept *kept = model_any(model);
    struct stat stat;
    _run_ struct run run = {0}, undo = {0}, redo = {0};
    _free_ char *spec = NULL, *dest = NULL;
    if (asprintf(&spec, "%" PRId64 ":", kept->number) < 0 || asprintf(&dest, "%s/undone", model->box.out) < 0)
        abort();
    model_run(model, &run, "restore", spec, dest, NULL);
    if (run.code || !model_tree_is(model, dest, kept->listing, 0, "restore"))
        return run.code ? model_fail(model, &run, "restore fails") : false;
    model_run(model, &undo, "undo", NULL);
    if (undo.code || lstat(dest, &stat) == 0)
        return model_fail(model, &undo, "undo of restore does not take it away");
    model_run(model, &redo, "redo", NULL);
    if (redo.code || !model_tree_is(model, dest, kept->listing, 0, "redo of restore"))
        return redo.code ? model_fail(model, &redo, "redo of restore fails") : false;
    return remove_tree(AT_FDCWD, dest) == 0;
}

/* What nobody touched is whole, and the layers alone say what the index says. */
static bool look_verify(struct model *model) {
    _run_ struct run run = {0};
    model_run(model, &run, "verify", rng_percent(&model->rng, 50) ? "--quick" : NULL, NULL);
    model->checks++;
    return run.code == 0 || model_fail(model, &run, "verify finds damage where there is none");
}

/* A snapshot that left as an archive comes back as the same tree, and nothing of the project changes. What an archive cannot
 * hold, sockets, export names with exit code 3. */
static bool out_and_in(struct model *model) {
    static const char *const suffixes[] = { "tar", "tar.gz", "tar.zst" };
    const struct kept *kept = model_any(model);
    char number[24];
    _free_ char *archive = NULL;
    _run_ struct run out = {0}, in = {0};
    _listing_ struct listing *now = model_now(model), *same = listing_copy(kept->listing);
    if (!now || !same || asprintf(&archive, "%s/archive.%s", model->box.out, rng_pick(&model->rng, suffixes)) < 0)
        return false;
    model_run(model, &out, "export", number_text(kept->number, number), "-o", archive, NULL);
    if (out.code)
        return out.code == 3 ? unlink(archive) == 0 : model_fail(model, &out, "export fails");
    model_run(model, &in, "--json", "import", archive, NULL);
    int64_t imported = json_int(in.out, "number"), before = json_int(in.out, "before");
    if (in.code || imported < 1)
        return model_fail(model, &in, "import fails");
    if (unlink(archive) < 0 || !model_project_is(model, now, 0, NULL, "import"))
        return false;
    if (!model_numbered(model, before) && !model_keep(model, before, true, TAKE_PTR(now)))
        return false;
    if (!model_keep(model, imported, true, TAKE_PTR(same)))
        return false;
    model_numbered(model, imported)->foreign = true;
    return restore_equals(model, model_numbered(model, imported), "");
}

static bool look(struct model *model) {
    static bool (*const ways[])(struct model *) = {
        look_restore, look_restore, look_list, look_diff, look_status, look_cat, look_view, look_verify, exports_whole, exports_difference,
        out_and_in,
    };
    return rng_pick(&model->rng, ways)(model);
}

static bool go_back(struct model *model) {
    static bool (*const ways[])(struct model *) = { chain, chain, rollback_newest, rollback_part, rollback_part, undo_after_changes, undo_restore };
    mutate_let_go(&model->mutator);
    return rng_pick(&model->rng, ways)(model);
}

/* Removing. */

static bool reclaim_now(struct model *model) {
    _run_ struct run run = {0};
    model_run(model, &run, "--json", "gc", "--now", NULL);
    if (run.code)
        return model_fail(model, &run, "gc fails");
    for (size_t i = model->count; i-- > 0;)
        if (model->kept[i].automatic && !model->kept[i].foreign)
            model_drop(model, model->kept[i].number);
    for (int i = 0; i < 2 && model->count; i++)
        if (!restore_equals(model, model_any(model), ""))
            return false;
    return look_verify(model) && (!model->count || (look_list(model) && look_diff(model) && look_status(model)));
}

static bool remove_some(struct model *model) {
    char text[3][24];
    const char *words[5] = { "rm" };
    int64_t numbers[3];
    size_t count = 1 + rng_below(&model->rng, MIN((size_t)3, model->count));
    _run_ struct run run = {0};
    for (size_t i = 0; i < count; i++)
        words[i + 1] = number_text(numbers[i] = model_any(model)->number, text[i]);
    model_run(model, &run, words[0], words[1], words[2], words[3], NULL);
    if (run.code)
        return model_fail(model, &run, "rm fails");
    if (rng_percent(&model->rng, 20)) {
        _run_ struct run undo = {0};
        model_run(model, &undo, "undo", NULL);
        return !undo.code || model_fail(model, &undo, "undo of rm fails");
    }
    for (size_t i = 0; i < count; i++)
        model_drop(model, numbers[i]);
    return true;
}

static bool reclaim(struct model *model) {
    if (model->count && !remove_some(model))
        return false;
    return rng_percent(&model->rng, 40) || reclaim_now(model);
}

static bool is_empty(struct model *model, const char *shell) {
    _free_ char *command = NULL;
    if (asprintf(&command, "test -z \"$(find %s/snapctl/*/%s -mindepth 1 -print -quit 2>/dev/null)\"", model->box.state, shell) < 0)
        abort();
    model->checks++;
    return system(command) == 0 || model_fail(model, NULL, "something is left in %s after all snapshots were removed", shell);
}

/* Tables of the index, as SQLite's own tool sees them. */
static bool has_no_rows(struct model *model, const char *table) {
    _free_ char *command = NULL;
    if (asprintf(&command, "test \"$(sqlite3 %s/snapctl/*/store.db 'SELECT count(*) FROM %s')\" = 0", model->box.state, table) < 0)
        abort();
    model->checks++;
    return system("command -v sqlite3 >/dev/null") != 0 || system(command) == 0
        || model_fail(model, NULL, "something is left in table %s after all snapshots were removed", table);
}

static bool index_is_empty(struct model *model) {
    static const char *const tables[] = { "snapshot", "entry", "link", "object", "content", "gone", "gone_dir", "stale", "doomed", "dir" };
    for (size_t i = 0; i < ELEMENTS(tables); i++)
        if (!has_no_rows(model, tables[i]))
            return false;
    return true;
}

/* Without snapshots there is nothing left, and the next one begins anew. */
static bool remove_everything(struct model *model) {
    while (model->count) {
        char text[24];
        _run_ struct run run = {0};
        model_run(model, &run, "rm", number_text(model->kept[model->count - 1].number, text), NULL);
        if (run.code)
            return model_fail(model, &run, "rm fails");
        model_drop(model, model->kept[model->count - 1].number);
    }
    return reclaim_now(model) && is_empty(model, "layers") && is_empty(model, "held") && is_empty(model, "work")
        && index_is_empty(model) && take(model) && look_restore(model);
}

static bool everything_still_equals(struct model *model) {
    for (size_t i = 0; i < model->count; i++) {
        if (!restore_equals(model, &model->kept[i], "") || !view_equals(model, &model->kept[i]))
            return false;
    }
    return true;
}

/* Histories. */

static bool batch(struct watched *watched) {
    return watched_batch(watched, 1 + (unsigned)rng_below(&watched->model->rng, BATCH_MAX));
}

static bool play(struct model *model, struct watched *watched, uint64_t steps) {
    while (model->mutator.done + model->mutator.refused < steps) {
        if (!watched_mind(watched) || !batch(watched))
            return false;
        bool good = rng_percent(&model->rng, 80) || !model->count ? take(model) : take_if_changed(model, false, "a batch");
        if (good && rng_percent(&model->rng, 10))
            good = take_if_changed(model, true, "a take");
        if (good && rng_percent(&model->rng, 50))
            good = (!rng_percent(&model->rng, 30) || batch(watched)) && look(model);
        if (good && rng_percent(&model->rng, 25))
            good = (!rng_percent(&model->rng, 40) || batch(watched)) && go_back(model);
        if (good && rng_percent(&model->rng, 15))
            good = reclaim(model);
        if (!good)
            return false;
    }
    mutate_let_go(&model->mutator);
    return everything_still_equals(model) && look_verify(model) && remove_everything(model);
}

/* Cases: a seed and a user, each in a process of its own. */

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static int run_case(const char *program, uint64_t seed, bool ordinary) {
    struct model model;
    struct watched watched;
    bool privileged = geteuid() == 0 && !ordinary;
    if (ordinary && (setgroups(0, NULL) < 0 || setresgid(ORDINARY_UID, ORDINARY_UID, ORDINARY_UID) < 0
                     || setresuid(ORDINARY_UID, ORDINARY_UID, ORDINARY_UID) < 0 || access(program, X_OK) < 0)) {
        printf("skipped: seed %" PRIu64 " as an ordinary user: it may not run %s\n", seed, program);
        return SKIPPED;
    }
    if (model_open(&model, program, privileged ? "root" : "ordinary user", seed, privileged) < 0) {
        fprintf(stderr, "cannot make a sandbox: %s\n", strerror(errno));
        return 1;
    }
    bool good = watched_begin(&watched, &model) && play(&model, &watched, number_from("STEPS", getenv("LONG") ? STEPS_LONG : STEPS_DEFAULT));
    good &= watched_end(&watched);
    printf("%s: seed %" PRIu64 " as %s: %" PRIu64 " operations, %zu snapshots, %" PRIu64 " checks\n", good ? "passed" : "FAILED", seed, model.who,
           model.mutator.done, model.count, model.checks);
    model_done(&model, !good && getenv("KEEP"));
    return good ? 0 : 1;
}

struct tally { unsigned passed, failed, skipped, running; };

static void await_one(struct tally *tally) {
    int status;
    if (wait(&status) < 0)
        abort();
    tally->running--;
    bool ended = WIFEXITED(status);
    tally->passed += ended && WEXITSTATUS(status) == 0;
    tally->skipped += ended && WEXITSTATUS(status) == SKIPPED;
    tally->failed += !ended || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != SKIPPED);
}

static void start_case(struct tally *tally, uint64_t jobs, const char *program, uint64_t seed, bool ordinary) {
    if (tally->running >= jobs)
        await_one(tally);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        exit(run_case(program, seed, ordinary));
    if (pid < 0)
        abort();
    tally->running++;
}

int main(int argc, char **argv) {
    const char *program = argc > 1 ? argv[1] : getenv("SNAPCTL");
    uint64_t seeds[64] = { 1, 2, 3 }, count = 3, jobs = number_from("JOBS", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
    struct tally tally = {0};
    _free_ char *absolute = program ? realpath(program, NULL) : NULL;
    if (!absolute) {
        fprintf(stderr, "usage: property SNAPCTL\n");
        return 2;
    }
    struct rng rng = { (uint64_t)time(NULL) };
    for (uint64_t more = number_from("SEEDS", 0); more && count < ELEMENTS(seeds); more--)
        seeds[count++] = rng_next(&rng) >> 40;
    if (getenv("SEED")) {
        seeds[0] = number_from("SEED", 1);
        count = 1;
    }
    for (uint64_t i = 0; i < count; i++) {
        printf("seed %" PRIu64 "\n", seeds[i]);
        start_case(&tally, jobs, absolute, seeds[i], false);
        if (geteuid() == 0)
            start_case(&tally, jobs, absolute, seeds[i], true);
        else
            tally.skipped++, printf("skipped: seed %" PRIu64 " as root: not root\n", seeds[i]);
    }
    while (tally.running)
        await_one(&tally);
    printf("%u passed, %u failed, %u skipped\n", tally.passed, tally.failed, tally.skipped);
    return tally.failed ? 1 : 0;
}
