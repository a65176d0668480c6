/* The test of power loss: what a command does to the disk is recorded in order; then states are built that a disk may have
 * kept when the power failed at some point, and the next command must find every promise kept: snapshots reported as taken
 * are whole, one taken without a flush is whole or gone, the project is as before or as after, and as after once that was
 * reported.
 *
 *     powerloss SNAPCTL [SCENE [STATE]]
 *
 * CRASH_FULL=1: every point, each with all kinds of loss; else POWERLOSS_SAMPLE (60) states a scene. CRASH_SEED, CRASH_DIR,
 * JOBS. SPDX-License-Identifier: GPL-2.0-or-later */
#include "record.h"
#include "world.h"

#include "cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <sys/wait.h>

enum { SAMPLE = 60, PATIENCE = 60, ROUNDS = 6 };
#define _run_ _cleanup_(run_done)

/* The command, and a mark once it has reported success. $0 is the sandbox. */
static const char once[] = "b=$0; \"$@\" && mkdir \"$b/mark-1\"";
static const char twice[] = "b=$0; \"$1\" take --no-sync && mkdir \"$b/mark-1\" && echo changed > a.txt && rm one"
    " && touch -d @1000020000 a.txt . && \"$1\" take && mkdir \"$b/mark-2\"";
static const char thrice[] = "b=$0; \"$1\" take --no-sync && mkdir \"$b/mark-1\" && \"$1\" rollback 1 && mkdir \"$b/mark-2\"";

struct trial {
    const struct scene *scene;
    const char *name, *script; /* script NULL: `once` */
    bool changes_project;      /* by itself, so that only its snapshots are looked at */
};
struct recorded {
    struct world world;
    struct disk *disk;
    struct state before, after;
    const struct state *must_be;       /* after the whole script, undisturbed */
};
struct shared { atomic_size_t next; atomic_uint passed, failed; };
struct plan { const char *program, *parent; uint64_t seed; size_t only_state; };

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* Recording. */

static void run_recorded(struct recorded *recorded, const struct trial *trial, size_t stop) {
    struct world *world = &recorded->world;
    char *words[WORDS_MAX + 6] = { (char *)"sh", (char *)"-c", (char *)(trial->script ? trial->script : once), world->box.base };
    char *const *command = world_words(world, trial->scene);
    struct capture capture;
    struct run run = {0};
    int status = 0;
    for (size_t i = 0; command[i]; i++)
        words[4 + i] = command[i];
    if (capture_open(&capture) < 0)
        abort();
    struct trace_program program = { "sh", words, box_environment(&world->box), world->box.project, capture.out, capture.err, PATIENCE };
    int code = record_run(recorded->disk, world->box.base, stop, &program, &status);
    capture_collect(&capture, &run);
    if (code < 0 || (status && disk_events(recorded->disk) < stop)) {
        fprintf(stderr, "scene %s fails undisturbed: %s\n%s%s", trial->name, code < 0 ? strerror(-code) : "", run.out, run.err);
        exit(2);
    }
    run_done(&run);
}

static void record(const struct plan *plan, const struct trial *trial, size_t stop, struct recorded *ret, FILE *report) {
    *ret = (struct recorded){0};
    if (world_open(&ret->world, plan->program, plan->parent, report) < 0)
        abort();
    trial->scene->prepare(&ret->world);
    ret->before = state_now(&ret->world);
    const char *roots[] = { ret->world.box.project, ret->world.box.state, ret->world.box.out, NULL };
    if (!(ret->disk = disk_open(roots)))
        abort();
    run_recorded(ret, trial, stop);
    ret->after = state_now(&ret->world);
}

static void recorded_done(struct recorded *recorded) {
    disk_close(recorded->disk);
    state_done(&recorded->before);
    state_done(&recorded->after);
    world_close(&recorded->world);
}

/* Judging. */

/* The machine started again: another boot than the one that wrote without a flush. */
static bool boot_again(struct world *world) {
    _free_ char *store = world_store(world);
    if (!store)
        return true;
    _free_ char *had = world_sql(world, "SELECT value FROM meta WHERE key = 'unsynced'");
    if (!had || !*had)
        return had != NULL;
    _free_ char *text = world_sql(world, "UPDATE meta SET value = '00000000-0000-0000-0000-000000000000' WHERE key = 'unsynced'");
    return text != NULL;
}

/* What is no command yet, or is one that was cut short before it could register the project. */
static bool next_command_works(struct world *world, const struct scene *scene, bool reported) {
    _run_ struct run run = {0}, again = {0};
    run_program(&run, &world->box, "status", NULL);
    if (run.code == 10 && scene->again && !reported) {
        run_words(&again, &world->box, NULL, scene->words);
        return again.code == 0 || world_say(world, &again, "it cannot be done again");
    }
    return run.code == 0 || (run.code == 10 && scene->no_project && !reported) || world_say(world, &run, "the next command fails");
}

static bool project_is_right(struct recorded *recorded, const struct scene *scene, bool reported) {
    static const char *const root[] = { "", NULL };
    const char *const *touched = scene->touches_root ? root : NULL;
    struct world *world = &recorded->world;
    struct state now = state_now(world);
    bool before = !state_differs(&recorded->before, &now, 0, touched, NULL);
    bool after = !state_differs(recorded->must_be, &now, DIFFER_DIR_TIMES, NULL, NULL);
    bool good = after || (before && !reported);
    if (!good) {
        fprintf(world->report, "%s. From before:\n", reported ? "what was reported done is not" : "the project is neither as before nor as after");
        state_differs(&recorded->before, &now, 0, touched, world->report);
        fputs("from after:\n", world->report);
        state_differs(recorded->must_be, &now, DIFFER_DIR_TIMES, NULL, world->report);
    }
    state_done(&now);
    return good;
}

/* New snapshots in order: the first is what was there before, one that a script took later is what is there after. */
static bool snapshots_are_right(struct recorded *recorded, const struct trial *trial, const int64_t *newer, size_t must_be) {
    struct world *world = &recorded->world;
    size_t count = 0;
    for (; newer[count]; count++) {
        bool later = count && trial->script == twice;
        const struct listing *want = later ? recorded->must_be->project
            : world_is_foreign(world, newer[count]) ? world->kept[0].listing : recorded->before.project;
        if (!world_restores(world, newer[count], want))
            return false;
    }
    if (count < must_be)
        return world_say(world, NULL, "%zu new snapshots, %zu were reported and flushed", count, must_be);
    return world_all_restore(world);
}

/* How many new snapshots were reported and flushed, once the script came to `mark`. */
static size_t snapshots_due(const struct trial *trial, unsigned mark) {
    if (trial->script == twice)
        return mark >= 2 ? 2 : 0;
    if (trial->script == thrice)
        return mark >= 2 ? 1 : 0;
    if (mark && !strcmp(trial->name, "import"))
        return 2;                         /* the present, and what was imported */
    return mark && !strcmp(trial->scene->words[0], "take") && strcmp(trial->name, "take-no-sync") != 0 ? 1 : 0;
}

static bool tag_is_there(struct world *world) {
    _run_ struct run run = {0};
    run_program(&run, &world->box, "show", "name", NULL);
    return run.code == 0 || world_say(world, &run, "the tag that was reported is gone");
}

/* Nothing is left that gc would free. */
static bool is_freed(struct world *world) {
    _run_ struct run run = {0};
    run_program(&run, &world->box, "--json", "gc", "--now", NULL);
    bool freed = run.code == 0 && json_int(run.out, "snapshots") == 0 && json_int(run.out, "files") == 0;
    return freed || world_say(world, &run, "what was reported freed is there");
}

static bool is_listed(struct world *world, int64_t number, bool listed) {
    _run_ struct run run = {0};
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, number);
    run_program(&run, &world->box, "ls", text, NULL);
    return (run.code == 0) == listed || world_say(world, &run, "snapshot %s is %s", text, listed ? "still removed" : "there again");
}

static bool judge(struct recorded *recorded, const struct trial *trial, const struct disk_crash *crash) {
    struct world *world = &recorded->world;
    int64_t newer[KEPT_MAX];
    unsigned mark = disk_marks_before(recorded->disk, crash->end);
    bool reported = mark >= (trial->script ? 2 : 1);
    if (!boot_again(world) || !next_command_works(world, trial->scene, reported))
        return false;
    if (!trial->changes_project && !project_is_right(recorded, trial->scene, reported))
        return false;
    if (!world_store_is_tidy(world, newer) || !snapshots_are_right(recorded, trial, newer, snapshots_due(trial, mark)))
        return false;
    if (reported && !strcmp(trial->scene->words[0], "gc") && !is_freed(world))
        return false;
    if (reported && (!strcmp(trial->name, "rm") || !strcmp(trial->name, "undo-rm")) && !is_listed(world, 2, !strcmp(trial->name, "undo-rm")))
        return false;
    return !reported || strcmp(trial->name, "tag") != 0 || tag_is_there(world);
}

/* 0 passed, 1 failed. */
static int run_state(const struct plan *plan, const struct trial *trial, struct disk_crash crash, size_t state, const struct state *after) {
    static const char *const losses[] = { "all written bytes kept", "unflushed bytes lost", "some unflushed bytes lost" };
    char *text = NULL, *park = NULL;
    size_t size = 0;
    struct recorded recorded;
    FILE *report = open_memstream(&text, &size);
    if (!report)
        abort();
    record(plan, trial, crash.end, &recorded, report);
    recorded.must_be = after;
    crash.end = disk_events(recorded.disk);
    if (asprintf(&park, "%s/park", recorded.world.box.base) < 0)
        abort();
    bool good = disk_build(recorded.disk, &crash, park) == 0 ? judge(&recorded, trial, &crash)
        : world_say(&recorded.world, NULL, "the state cannot be built: %s", strerror(errno));
    fclose(report);
    if (!good)
        fprintf(stderr, "FAILED: %s %zu: power lost after event %zu (%s), metadata kept up to %zu (%s), %s:\n%s\n", trial->name, state, crash.end,
                crash.end ? disk_event_name(recorded.disk, crash.end - 1) : "nothing", crash.kept,
                crash.kept ? disk_event_name(recorded.disk, crash.kept - 1) : "nothing", losses[crash.loss], text);
    free(text);
    free(park);
    recorded_done(&recorded);
    return good ? 0 : 1;
}

/* State number s: point s / ROUNDS, one of ROUNDS ways to lose. The same seed gives the same state. */
static struct disk_crash crash_of(const struct plan *plan, size_t state) {
    struct rng rng = { plan->seed + state * 977 };
    struct disk_crash crash = { .end = state / ROUNDS, .seed = rng_next(&rng) };
    size_t way = state % ROUNDS;
    crash.loss = way == 0 ? DISK_KEEPS_ALL : way <= 2 ? DISK_LOSES_UNFLUSHED : DISK_LOSES_SOME;
    crash.kept = way == 0 || way == 1 || way == 3 ? crash.end : way == 2 ? 0 : rng_below(&rng, crash.end + 1);
    return crash;
}

static void run_trial(const struct plan *plan, const struct trial *trial, struct shared *shared) {
    struct recorded reference;
    record(plan, trial, SIZE_MAX, &reference, stderr);
    size_t events = disk_events(reference.disk), states = (events + 1) * ROUNDS;
    size_t sample = getenv("CRASH_FULL") ? states : MIN(number_from("POWERLOSS_SAMPLE", SAMPLE), states);
    struct rng rng = { plan->seed ^ (uint64_t)trial->name[0] };
    for (size_t i = 0; i < sample; i++) {
        size_t from = i * states / sample, to = (i + 1) * states / sample, state = from + rng_below(&rng, to - from);
        if (i + 1 == sample)
            state = states - 1 - rng_below(&rng, ROUNDS);      /* the end, where success was reported, is always looked at */
        if (plan->only_state)
            state = plan->only_state, i = sample;
        int result = run_state(plan, trial, crash_of(plan, state), state, &reference.after);
        atomic_fetch_add(result ? &shared->failed : &shared->passed, 1);
    }
    printf("%s: %zu events\n", trial->name, events);
    fflush(stdout);
    recorded_done(&reference);
}

static size_t list_trials(struct trial *ret, size_t room) {
    size_t count = 0;
    const struct scene *take = NULL;
    for (const struct scene *scene = scenes; scene->name && count + 2 < room; scene++) {
        if (!strcmp(scene->name, "take-no-sync"))
            take = scene;
        if (scene->sweeps)
            ret[count++] = (struct trial){ scene, scene->name, NULL, false };
    }
    if (take) {
        ret[count++] = (struct trial){ take, "no-sync-then-take", twice, true };
        ret[count++] = (struct trial){ take, "no-sync-then-rollback", thrice, false };
    }
    return count;
}

static void work(const struct plan *plan, const char *only, struct shared *shared) {
    struct trial trials[64];
    size_t count = list_trials(trials, ELEMENTS(trials)), i;
    while (i = atomic_fetch_add(&shared->next, 1), i < count) {
        if (!only || !strcmp(only, trials[i].name))
            run_trial(plan, &trials[i], shared);
    }
}

static const char *fast_directory(void) {
    struct statfs fs;
    const char *chosen = getenv("CRASH_DIR");
    if (chosen && *chosen)
        return chosen;
    return statfs("/dev/shm", &fs) == 0 && fs.f_type == TMPFS_MAGIC && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : NULL;
}

int main(int argc, char **argv) {
    struct plan plan = { argc > 1 ? argv[1] : getenv("SNAPCTL"), fast_directory(), number_from("CRASH_SEED", 1),
                         argc > 3 ? strtoull(argv[3], NULL, 10) : 0 };
    struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct rlimit limit;
    unsigned broken = 0;
    int status;
    if (!plan.program || shared == MAP_FAILED) {
        fprintf(stderr, "usage: powerloss SNAPCTL [SCENE [STATE]]\n");
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    printf("seed %" PRIu64 "\n", plan.seed);
    fflush(stdout);
    for (uint64_t jobs = number_from("JOBS", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN)); jobs; jobs--) {
        pid_t pid = fork();
        if (pid == 0) {
            work(&plan, argc > 2 ? argv[2] : NULL, shared);
            exit(0);
        }
    }
    while (wait(&status) > 0)
        broken += status != 0;
    printf("%u passed, %u failed, 0 skipped\n", shared->passed, shared->failed + broken);
    return shared->failed || broken ? 1 : 0;
}
