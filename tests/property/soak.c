/* The soak: a project that somebody changes without a pause, a watcher that is killed now and then, and snapshots of it all the time. Held
 * still for a moment, the project is what the last snapshot shows, byte for byte; the watcher's memory stays what it is.
 *
 *     soak SNAPCTL        SOAK_SECONDS=n (20), SEED=n, WATCH=inotify, fanotify or none (the first two, in turns), TMPDIR,
 *                         KEEP=1
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "watched.h"

#include "cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { SECONDS_DEFAULT = 20, KEPT_MAX = 12, LOOK_AGAIN = 40, WARM_TICKS = 10, GROWTH_MAX_KIB = 8192 };

#define _run_ _cleanup_(run_done)

struct soak {
    struct model model;
    struct watched watched;
    pid_t changer;
    uint64_t ticks, takes, killed;
    pid_t measured;                       /* the watcher whose memory is known, since when, and what it was */
    uint64_t measured_at, memory;
};

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* Somebody else. */

static void go_on_changing(struct soak *soak) {
    struct mutator *mutator = &soak->model.mutator;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    mutator->outside = soak->watched.away;
    for (;;) {
        mutate_look(mutator);
        for (unsigned i = 0; i < LOOK_AGAIN; i++)
            mutate_step(mutator);
    }
}

static bool start_changer(struct soak *soak) {
    soak->changer = fork();
    if (soak->changer == 0)
        go_on_changing(soak);
    return soak->changer > 0;
}

/* Not before it has stopped. */
static bool hold(struct soak *soak) {
    int status = 0;
    return kill(soak->changer, SIGSTOP) == 0 && waitpid(soak->changer, &status, WUNTRACED) == soak->changer && WIFSTOPPED(status);
}

static bool let_go(struct soak *soak) {
    return kill(soak->changer, SIGCONT) == 0;
}

static void end_changer(struct soak *soak) {
    if (soak->changer <= 0)
        return;
    (void)kill(soak->changer, SIGKILL);
    (void)waitpid(soak->changer, NULL, 0);
}

/* While it is changed: whatever comes out is of one moment or another; what could not be had is named, with 3. */
static bool look_at_what_moves(struct soak *soak) {
    static const char *const words[][4] = { { "take", "--no-sync" }, { "status" }, { "diff", "--stat" }, { "take", "--no-sync", "--if-changed" } };
    const char *const *chosen = words[rng_below(&soak->model.rng, ELEMENTS(words))];
    _run_ struct run run = {0};
    model_run(&soak->model, &run, "--json", chosen[0], chosen[1], chosen[2], NULL);
    return run.code == 0 || run.code == 3 || model_fail(&soak->model, &run, "'%s' fails while the project changes", chosen[0]);
}

/* While it is still. */

static bool take(struct soak *soak) {
    struct model *model = &soak->model;
    struct listing *now = model_now(model);
    _run_ struct run run = {0}, clean = {0};
    if (!now)
        return false;
    model_run(model, &run, "--json", "take", "--no-sync", NULL);
    if (run.code) {
        listing_free(now);
        return model_fail(model, &run, "take fails");
    }
    soak->takes++;
    if (!model_keep(model, json_int(run.out, "number"), false, now))
        return false;
    model_run(model, &clean, "status", "--exit-code", NULL);
    return clean.code == 0 || model_fail(model, &clean, "status is not clean right after take");
}

static bool is_as_kept(struct soak *soak, const struct kept *kept) {
    struct model *model = &soak->model;
    _run_ struct run run = {0};
    _free_ char *spec = NULL, *dest = NULL, *what = NULL;
    if (asprintf(&spec, "%" PRId64 ":", kept->number) < 0 || asprintf(&dest, "%s/restored", model->box.out) < 0
        || asprintf(&what, "'restore %s'", spec) < 0)
        abort();
    model_run(model, &run, "restore", spec, dest, NULL);
    if (run.code)
        return model_fail(model, &run, "%s fails", what);
    return model_tree_is(model, dest, kept->listing, 0, what) && remove_tree(AT_FDCWD, dest) == 0;
}

static bool go_back(struct soak *soak) {
    struct model *model = &soak->model;
    const struct kept *kept = model_any(model);
    char number[24];
    _run_ struct run run = {0};
    snprintf(number, sizeof(number), "%" PRId64, kept->number);
    model_run(model, &run, "rollback", "--force", number, NULL);
    if (run.code)
        return model_fail(model, &run, "rollback fails");
    return model_project_is(model, kept->listing, 0, NULL, "rollback");
}

static bool forget_the_oldest(struct soak *soak) {
    struct model *model = &soak->model;
    char number[24];
    _run_ struct run run = {0}, gc = {0};
    if (model->count <= KEPT_MAX)
        return true;
    snprintf(number, sizeof(number), "%" PRId64, model->kept[0].number);
    model_run(model, &run, "rm", number, NULL);
    if (run.code)
        return model_fail(model, &run, "rm fails");
    model_drop(model, model->kept[0].number);
    model_run(model, &gc, "--json", "gc", "--now", NULL);
    return gc.code == 0 || model_fail(model, &gc, "gc fails");
}

/* The watcher. */

static uint64_t memory_of(pid_t pid) {
    char path[64], line[256];
    uint64_t kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && !kib && fgets(line, sizeof(line), file))
        if (sscanf(line, "VmRSS: %" SCNu64, &kib) != 1)
            kib = 0;
    if (file)
        (void)fclose(file);
    return kib;
}

/* Compared with what the same watcher took when it had run for a while. */
static bool memory_is_flat(struct soak *soak) {
    pid_t pid = watched_pid(&soak->watched);
    if (pid <= 0)
        return true;
    if (pid != soak->measured) {
        soak->measured = pid;
        soak->measured_at = soak->ticks;
        soak->memory = 0;
    }
    uint64_t kib = memory_of(pid);
    if (!soak->memory && soak->ticks - soak->measured_at >= WARM_TICKS)
        soak->memory = kib;
    if (!soak->memory || kib <= soak->memory + GROWTH_MAX_KIB)
        return true;
    return model_fail(&soak->model, NULL, "the watcher grew from %" PRIu64 " to %" PRIu64 " KiB", soak->memory, kib);
}

static bool tick(struct soak *soak) {
    struct rng *rng = &soak->model.rng;
    soak->ticks++;
    for (unsigned i = (unsigned)rng_below(rng, 3); i; i--)
        if (!look_at_what_moves(soak))
            return false;
    if (!watched_mind(&soak->watched) || !hold(soak))
        return false;
    bool good = take(soak) && is_as_kept(soak, model_newest(&soak->model)) && memory_is_flat(soak);
    if (good && rng_percent(rng, 15))
        good = go_back(soak) && take(soak);
    return good && forget_the_oldest(soak) && let_go(soak);
}

static bool run(const char *program, const char *backend, uint64_t seed, uint64_t seconds) {
    struct soak soak = {0};
    struct timespec now, end;
    if ((strcmp(backend, "none") != 0 ? setenv("WATCH", backend, 1) : unsetenv("WATCH")) < 0 || model_open(&soak.model, program, backend, seed, geteuid() == 0) < 0) {
        fprintf(stderr, "cannot make a sandbox: %s\n", strerror(errno));
        return false;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)seconds;
    bool good = watched_begin(&soak.watched, &soak.model) && take(&soak) && start_changer(&soak);
    do
        good = good && tick(&soak);
    while (good && clock_gettime(CLOCK_MONOTONIC, &now) == 0 && now.tv_sec < end.tv_sec);
    end_changer(&soak);
    good &= watched_end(&soak.watched);
    printf("%s: %s, seed %" PRIu64 ": %" PRIu64 " snapshots in %" PRIu64 " s, %" PRIu64 " checks; the last watcher took %" PRIu64 " KiB\n",
           good ? "passed" : "FAILED", backend, seed, soak.takes, seconds, soak.model.checks, soak.memory);
    fflush(stdout);
    model_done(&soak.model, !good && getenv("KEEP"));
    return good;
}

int main(int argc, char **argv) {
    const char *program = argc > 1 ? argv[1] : getenv("SNAPCTL"), *only = getenv("WATCH");
    _free_ char *absolute = program ? realpath(program, NULL) : NULL, *chosen = only ? strdup(only) : NULL;
    if (!absolute) {
        fprintf(stderr, "usage: soak SNAPCTL\n");
        return 2;
    }
    uint64_t seconds = number_from("SOAK_SECONDS", SECONDS_DEFAULT), seed = number_from("SEED", (uint64_t)time(NULL));
    if (chosen)
        return run(absolute, chosen, seed, seconds) ? 0 : 1;
    if (geteuid() != 0) {
        printf("skipped: fanotify: not root\n");
        return run(absolute, "inotify", seed, seconds) ? 0 : 1;
    }
    bool good = run(absolute, "inotify", seed, seconds / 2);
    return run(absolute, "fanotify", seed, seconds / 2) && good ? 0 : 1;
}
