/* The property test of workspaces: random operations in one, and what diff says of it, what its snapshots show, what going back to one
 * brings, what is there when it is mounted again, and what apply makes of the project, equal what an independent walk of the mount
 * sees. The project itself stays as it was until apply, and again after undo; inode numbers stay over snapshots and mounts.
 *
 *     workspace SNAPCTL       SEED=n (one case), SEEDS=n (random ones more), STEPS=n, KEEP=1, TMPDIR
 *
 * Runs as whoever starts it; without FUSE it says so. SPDX-License-Identifier: GPL-2.0-or-later */
#include "model.h"

#include "cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <string.h>

enum { STEPS_DEFAULT = 60, ROUNDS = 6, SKIPPED = 77 };

static void free_listing(struct listing **listing) { listing_free(*listing); }
#define _listing_ _cleanup_(free_listing)
#define _run_ _cleanup_(run_done)

/* A snapshot of the workspace: its name, and what it has to show. */
struct taken { char name[16]; struct listing *listing; };
enum { TAKEN_MOST = 4 };
struct trial {
    struct model *model;
    char *dir, *view;
    uint64_t steps;
    unsigned takes;                       /* names are never given twice */
    struct taken taken[TAKEN_MOST];
    unsigned taken_count;
};

static bool run_well(struct trial *trial, const char *a, const char *b, const char *c, const char *d) {
    _run_ struct run run = {0};
    model_run(trial->model, &run, a, b, c, d, NULL);
    return run.code == 0 || model_fail(trial->model, &run, "%s fails", a);
}

/* With everything that reads content of a mount, so that nothing is compared with what only lies in a cache. */
static struct listing *list_mount(struct trial *trial) {
    struct listing *listing = listing_read_path(trial->dir);
    if (!listing)
        model_fail(trial->model, NULL, "cannot list the workspace: %s", strerror(errno));
    return listing;
}

static bool change_some(struct trial *trial) {
    _close_ int root = open(trial->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return model_fail(trial->model, NULL, "cannot open the workspace: %s", strerror(errno));
    struct mutator mutator;
    mutate_init(&mutator, root, rng_next(&trial->model->rng), trial->model->mutator.privileged, trial->model->log_file);
    mutate_look(&mutator);
    for (uint64_t i = 1 + rng_below(&trial->model->rng, trial->steps); i; i--)
        mutate_step(&mutator);
    trial->model->mutator.done += mutator.done;
    mutate_done(&mutator);
    return true;
}

static bool diff_agrees(struct trial *trial, const struct listing *before, const struct listing *after) {
    _run_ struct run run = {0};
    model_run(trial->model, &run, "-C", trial->dir, "diff", "-z", "--no-renames", NULL);
    return model_rows_agree(trial->model, &run, before, after, "diff in a workspace");
}

/* Who was there before and is there now has the number that it had. */
static bool numbers_stay(struct trial *trial, const struct listing *before, const char *what) {
    _listing_ struct listing *now = list_mount(trial);
    for (size_t i = 0; now && i < now->count; i++) {
        const struct node *old = listing_find(before, now->nodes[i].path);
        if (!old || old->ino != now->nodes[i].ino)
            return model_fail(trial->model, NULL, "'%s' has another inode number after %s", now->nodes[i].path, what);
    }
    trial->model->checks++;
    return now != NULL;
}

static void forget_taken(struct trial *trial) {
    while (trial->taken_count)
        listing_free(trial->taken[--trial->taken_count].listing);
}

static bool shows(struct trial *trial, const struct taken *taken) {
    return run_well(trial, "mount", taken->name, trial->view, NULL)
        && model_tree_is(trial->model, trial->view, taken->listing, DIFFER_SPACE, "a view of a workspace's snapshot")
        && run_well(trial, "umount", trial->view, NULL, NULL);
}

static bool all_show(struct trial *trial) {
    for (unsigned i = 0; i < trial->taken_count; i++)
        if (!shows(trial, &trial->taken[i]))
            return false;
    return true;
}

static bool take_it(struct trial *trial, const struct listing *now) {
    struct taken *taken = &trial->taken[trial->taken_count];
    _run_ struct run run = {0};
    snprintf(taken->name, sizeof(taken->name), "w%u", ++trial->takes);
    model_run(trial->model, &run, "-C", trial->dir, "take", "--no-sync", "-n", taken->name, NULL);
    if (run.code != 0)
        return model_fail(trial->model, &run, "take in a workspace fails");
    if (!(taken->listing = listing_copy(now)))
        abort();
    trial->taken_count++;
    return numbers_stay(trial, now, "take") && diff_agrees(trial, now, now);
}

static bool in_workspace(struct trial *trial, const char *verb, const char *snapshot) {
    _run_ struct run run = {0};
    model_run(trial->model, &run, "-C", trial->dir, verb, snapshot, NULL);
    return run.code == 0 || model_fail(trial->model, &run, "%s in a workspace fails", verb);
}

/* To any of its snapshots, and back again. */
static bool goes_back(struct trial *trial, const struct listing *now) {
    const struct taken *to = &trial->taken[rng_below(&trial->model->rng, trial->taken_count)];
    bool same = !listing_differs(now, to->listing, DIFFER_SPACE, NULL, NULL);
    if (!in_workspace(trial, "rollback", to->name) || !model_tree_is(trial->model, trial->dir, to->listing, DIFFER_SPACE, "rollback in a workspace"))
        return false;
    return same || (in_workspace(trial, "undo", NULL) && model_tree_is(trial->model, trial->dir, now, DIFFER_SPACE, "undo in a workspace"));
}

static bool opens_again(struct trial *trial, const struct listing *want) {
    return run_well(trial, "umount", trial->dir, NULL, NULL) && run_well(trial, "mount", "try", trial->dir, NULL)
        && model_tree_is(trial->model, trial->dir, want, DIFFER_SPACE, "mounting the workspace again");
}

static bool is_applied(struct trial *trial, const struct listing *before, const struct listing *want) {
    struct model *model = trial->model;
    bool same = !listing_differs(before, want, DIFFER_TIMES | DIFFER_SPACE, NULL, NULL);
    if (!run_well(trial, "apply", "try", NULL, NULL) || !model_project_is(model, want, DIFFER_TIMES | DIFFER_SPACE, NULL, "apply"))
        return false;
    if (same)
        return true;
    if (!run_well(trial, "undo", NULL, NULL, NULL) || !model_project_is(model, before, DIFFER_SPACE, NULL, "undo of apply"))
        return false;
    return rng_percent(&model->rng, 50)
        || (run_well(trial, "redo", NULL, NULL, NULL) && model_project_is(model, want, DIFFER_TIMES | DIFFER_SPACE, NULL, "redo of apply"));
}

static bool try_once(struct trial *trial) {
    struct model *model = trial->model;
    _listing_ struct listing *before = model_now(model);
    if (!before || !run_well(trial, "workspace", "add", "try", trial->dir)
        || !model_tree_is(model, trial->dir, before, DIFFER_SPACE, "workspace add"))
        return false;
    const struct listing *last = before;
    for (int i = 0; i < 3; i++) {
        if (!change_some(trial))
            return false;
        _listing_ struct listing *after = list_mount(trial);
        if (!after || !model_project_is(model, before, DIFFER_SPACE, NULL, "changes in a workspace")
            || !diff_agrees(trial, last, after) || (rng_percent(&model->rng, 50) && !opens_again(trial, after)))
            return false;
        if (rng_percent(&model->rng, 70)) {
            if (!take_it(trial, after))
                return false;
            last = trial->taken[trial->taken_count - 1].listing;
        }
        if (trial->taken_count && rng_percent(&model->rng, 40) && !goes_back(trial, after))
            return false;
        if (i == 2 && (!all_show(trial) || !opens_again(trial, after) || !is_applied(trial, before, after)))
            return false;
    }
    forget_taken(trial);
    return run_well(trial, "umount", trial->dir, NULL, NULL) && run_well(trial, "workspace", "remove", "try", NULL);
}

/* A device 0:0 is a whiteout to every layer, the kernel's overlayfs has no other way either: none is left in the project. */
static bool remove_whiteouts(struct trial *trial) {
    _listing_ struct listing *now = model_now(trial->model);
    for (size_t i = 0; now && i < now->count; i++) {
        const struct node *node = &now->nodes[i];
        if (S_ISCHR(node->mode) && node->rdev == 0 && unlinkat(trial->model->box.project_fd, node->path, 0) < 0)
            return model_fail(trial->model, NULL, "cannot remove %s: %s", node->path, strerror(errno));
    }
    return now != NULL;
}

static bool play(struct trial *trial) {
    for (int round = 0; round < ROUNDS; round++) {
        mutate_look(&trial->model->mutator);
        for (uint64_t i = 1 + rng_below(&trial->model->rng, trial->steps); i; i--)
            mutate_step(&trial->model->mutator);
        mutate_let_go(&trial->model->mutator);
        if (!remove_whiteouts(trial) || !run_well(trial, "take", "--no-sync", NULL, NULL) || !try_once(trial))
            return false;
    }
    return run_well(trial, "verify", NULL, NULL, NULL);
}

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static bool run_case(const char *program, uint64_t seed) {
    struct model model;
    struct trial trial = { .model = &model, .steps = number_from("STEPS", STEPS_DEFAULT) };
    if (model_open(&model, program, geteuid() == 0 ? "root" : "ordinary user", seed, geteuid() == 0) < 0) {
        fprintf(stderr, "cannot make a sandbox: %s\n", strerror(errno));
        return false;
    }
    if (asprintf(&trial.dir, "%s/try", model.box.out) < 0 || mkdir(trial.dir, 0700) < 0
        || asprintf(&trial.view, "%s/view", model.box.out) < 0 || mkdir(trial.view, 0700) < 0)
        abort();
    bool good = play(&trial);
    if (!good) {
        _run_ struct run run = {0};
        model_run(&model, &run, "umount", trial.dir, NULL);
        run_done(&run);
        model_run(&model, &run, "umount", trial.view, NULL);
    }
    forget_taken(&trial);
    printf("%s: seed %" PRIu64 " as %s: %" PRIu64 " operations, %" PRIu64 " checks\n", good ? "passed" : "FAILED", seed, model.who,
           model.mutator.done, model.checks);
    free(trial.dir);
    free(trial.view);
    model_done(&model, !good && getenv("KEEP"));
    return good;
}

int main(int argc, char **argv) {
    _free_ char *program = argc > 1 ? realpath(argv[1], NULL) : NULL;
    uint64_t seeds[64] = { 1, 2, 3 }, count = 3, failed = 0;
    if (!program) {
        fprintf(stderr, "usage: workspace SNAPCTL\n");
        return 2;
    }
    if (access("/dev/fuse", R_OK | W_OK) < 0 || (geteuid() != 0 && (!getpwuid(geteuid()) || access("/usr/bin/fusermount3", X_OK) < 0))) {
        printf("skipped: FUSE may not be used here\n");
        return SKIPPED;
    }
    struct rng rng = { (uint64_t)time(NULL) };
    for (uint64_t more = number_from("SEEDS", 0); more && count < ELEMENTS(seeds); more--)
        seeds[count++] = rng_next(&rng) >> 40;
    if (getenv("SEED")) {
        seeds[0] = number_from("SEED", 1);
        count = 1;
    }
    for (uint64_t i = 0; i < count; i++)
        failed += !run_case(program, seeds[i]);
    printf("%" PRIu64 " passed, %" PRIu64 " failed, 0 skipped\n", count - failed, failed);
    return failed ? 1 : 0;
}
