/* The crash test: every command that writes, cut short or made to fail at each of its changes in turn. The next command
 * repairs; then the project is as before or as after, no snapshot is damaged, nothing is left over, and work goes on.
 *
 *     crash SNAPCTL [SCENE [MODE [K]]]
 *
 * CRASH_FULL=1: every k, else CRASH_SAMPLE (25) of each scene and mode, chosen by CRASH_SEED. CRASH_DIR: where (a tmpfs is
 * fast). JOBS. SPDX-License-Identifier: GPL-2.0-or-later */
#include "fault.h"
#include "rng.h"
#include "world.h"

#include "cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <linux/magic.h>

enum { SAMPLE = 25, PATIENCE = 60, VOLATILE_MAX = 64 };
#define _run_ _cleanup_(run_done)

static const char *const modes[] = { "kill-before", "kill-after", "EIO", "ENOSPC", "ENOSPC-from", "EIO-from" };

struct expected {              /* of a scene that nothing disturbs */
    struct state after;
    uint64_t changes;          /* how many it makes */
    char *volatile_dirs[VOLATILE_MAX + 1];     /* whose times are the clock's */
};
struct shared { atomic_size_t next; atomic_uint passed, failed, skipped; };
struct plan { const char *program, *parent, *mode; const struct scene *scene; uint64_t k, seed; };

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static int run_faulty(struct world *world, const struct scene *scene, struct fault *fault, struct run *ret) {
    const char *roots[] = { world->box.base, NULL };
    struct capture capture;
    int status = 0;
    fault->roots = roots;
    if (capture_open(&capture) < 0)
        abort();
    char *const *words = world_words(world, scene);
    struct trace_program program = { world->box.program, words, box_environment(&world->box), world->box.project, capture.out,
                                     capture.err, PATIENCE };
    int code = fault_run(fault, &program, &status);
    fault->roots = NULL;
    *ret = (struct run){ .code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status) };
    capture_collect(&capture, ret);
    return code;
}

/* What the scene leads to. */

static struct state undisturbed(const struct plan *plan, uint64_t *ret_changes) {
    struct world world;
    struct fault fault = { .mode = FAULT_NONE };
    _run_ struct run run = {0};
    if (world_open(&world, plan->program, plan->parent, stderr) < 0)
        abort();
    plan->scene->prepare(&world);
    int code = run_faulty(&world, plan->scene, &fault, &run);
    if (code < 0 || run.code) {
        fprintf(stderr, "scene %s fails undisturbed: %s\n%s%s", plan->scene->name, code < 0 ? strerror(-code) : "", run.out, run.err);
        exit(2);
    }
    struct state after = state_now(&world);
    *ret_changes = fault.seen;
    world_close(&world);
    return after;
}

/* Twice: a directory whose time differs got it from the clock. */
static void expect(const struct plan *plan, struct expected *ret) {
    uint64_t again;
    size_t count = 0;
    ret->after = undisturbed(plan, &ret->changes);
    struct state second = undisturbed(plan, &again);
    for (size_t i = 0; i < ret->after.project->count && count < VOLATILE_MAX; i++) {
        const struct node *node = &ret->after.project->nodes[i], *other = listing_find(second.project, node->path);
        if (other && S_ISDIR(node->mode) && memcmp(&node->mtime, &other->mtime, sizeof(node->mtime)) != 0)
            ret->volatile_dirs[count++] = strdup(node->path);
    }
    for (size_t i = 0; i < ELEMENTS(plan->scene->subvolumes) && plan->scene->subvolumes[i] && count < VOLATILE_MAX; i++)
        ret->volatile_dirs[count++] = strdup(plan->scene->subvolumes[i]);
    if (state_differs(&ret->after, &second, 0, (const char *const *)ret->volatile_dirs, stderr)) {
        fprintf(stderr, "scene %s does not lead to the same state twice\n", plan->scene->name);
        exit(2);
    }
    state_done(&second);
}

/* Judging. */

enum side { NEITHER = 0, BEFORE, AFTER };

static enum side side_of(const struct state *now, const struct state *before, const struct expected *expected) {
    const char *const *volatile_dirs = (const char *const *)expected->volatile_dirs;
    if (!state_differs(before, now, 0, volatile_dirs, NULL))
        return BEFORE;
    return state_differs(&expected->after, now, 0, volatile_dirs, NULL) ? NEITHER : AFTER;
}

static bool is_neither(struct world *world, const struct state *now, const struct state *before, const struct expected *expected) {
    fputs("the project is neither as before nor as after. From before:\n", world->report);
    state_differs(before, now, 0, (const char *const *)expected->volatile_dirs, world->report);
    fputs("from after:\n", world->report);
    state_differs(&expected->after, now, 0, (const char *const *)expected->volatile_dirs, world->report);
    return false;
}

static const char *last_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* As messages write it: the only odd name of the scenes has a newline. */
static bool is_named(const struct run *run, const char *path) {
    char text[2 * NAME_MAX + 1];
    size_t size = 0;
    for (const char *at = last_name(path); *at && size + 2 < sizeof(text); at++) {
        if (*at == '\n')
            text[size++] = '\\';
        text[size++] = *at == '\n' ? 'n' : *at;
    }
    text[size] = 0;
    return strstr(run->err, text) != NULL;
}

/* At its path, or at that of its directory before that moved. */
static bool is_as_before(const struct listing *before, const struct node *have, const char *path) {
    if (!have)
        return !listing_find(before, path);
    for (size_t i = 0; i < before->count; i++) {
        if (!strcmp(last_name(before->nodes[i].path), last_name(path)) && !node_differs(&before->nodes[i], have, DIFFER_DIR_TIMES, NULL))
            return true;
    }
    return false;
}

/* Exit code 3: what is not as after is named, and as before or at least whole in content. */
static bool parts_are_named(struct world *world, const struct run *run, const struct listing *now,
                            const struct listing *before, const struct listing *after) {
    for (size_t i = 0; i < after->count; i++) {
        const struct node *want = &after->nodes[i], *have = listing_find(now, want->path);
        if (have && !node_differs(want, have, DIFFER_DIR_TIMES, NULL))
            continue;
        bool as_before = is_as_before(before, have, want->path);
        bool is_whole = have && node_same_content(want, have);
        if (!is_named(run, want->path) || (!as_before && !is_whole))
            return world_say(world, run, "exit code 3, but %s is %s", want->path, as_before ? "not named" : "neither as before nor as after");
    }
    return true;
}

static bool message_is_good(struct world *world, const struct run *run) {
    if (run->code > 128 && run->code != 130)
        return world_say(world, run, "it died of signal %d", run->code - 128);
    if (run->code == 0)
        return true;
    return (!strncmp(run->err, "snapctl: ", 9) && strlen(run->err) > 20) || world_say(world, run, "the failure is not explained");
}

static bool repaired(struct world *world, const struct scene *scene) {
    _run_ struct run run = {0}, again = {0};
    if (scene->repairs)
        run_program(&run, &world->box, "verify", "--repair", NULL);
    else
        run_program(&run, &world->box, "status", NULL);
    if (run.code == 10 && scene->again) {
        run_words(&again, &world->box, NULL, scene->words);
        return again.code == 0 || world_say(world, &again, "it cannot be done again");
    }
    return run.code == 0 || (run.code == 10 && scene->no_project) || world_say(world, &run, "the next command fails");
}

static bool undo_leads_back(struct world *world, const struct state *before) {
    _run_ struct run run = {0};
    run_program(&run, &world->box, "undo", NULL);
    struct state now = state_now(world);
    bool good = run.code == 0 && !state_differs(before, &now, DIFFER_DIR_TIMES, NULL, world->report);
    state_done(&now);
    return good || world_say(world, &run, "undo does not lead back");
}

static void write_later(const struct world *world) {
    _close_ int fd = openat(world->box.project_fd, "later", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, "later\n", 6) != 6)
        abort();
}

static bool work_goes_on(struct world *world) {
    struct listing *now;
    write_later(world);
    _run_ struct run take = {0}, rollback = {0};
    run_program(&take, &world->box, "--json", "take", NULL);
    if (take.code)
        return world_say(world, &take, "a later take fails");
    int64_t number = json_int(take.out, "number");
    now = listing_read_path(world->box.project);
    bool good = now && world_restores(world, number, now);
    listing_free(now);
    if (!good || !world->count)
        return good;
    run_program(&rollback, &world->box, "rollback", "1", NULL);
    now = listing_read_path(world->box.project);
    good = !rollback.code && now && !listing_differs(world->kept[0].listing, now, 0, NULL, world->report);
    listing_free(now);
    return good || world_say(world, &rollback, "a later rollback does not lead to snapshot 1");
}

/* A take that ended with 3 made a snapshot that lacks what it named, and nothing else. */
static bool partial_snapshot_is_honest(struct world *world, const struct run *take, int64_t number, const struct listing *before) {
    char spec[32], dest[PATH_MAX];
    _run_ struct run run = {0};
    snprintf(spec, sizeof(spec), "%" PRId64 ":", number);
    snprintf(dest, sizeof(dest), "%s/check", world->box.out);
    run_program(&run, &world->box, "restore", spec, dest, NULL);
    if (run.code != 0 && run.code != 3)
        return world_say(world, &run, "snapshot %" PRId64 ", taken in part, cannot be restored", number);
    struct listing *have = listing_read_path(dest);
    bool good = have != NULL;
    for (size_t i = 0; good && i < before->count; i++) {
        const struct node *want = &before->nodes[i], *node = listing_find(have, want->path);
        if ((!node || node_differs(want, node, DIFFER_DIR_TIMES, NULL)) && !is_named(take, want->path))
            good = world_say(world, take, "snapshot %" PRId64 " lacks or changes %s, which was not named", number, want->path);
    }
    listing_free(have);
    return good && remove_tree(AT_FDCWD, dest) == 0;
}

/* Before apply makes what the project shall be a snapshot, the workspace becomes one: neither is what the project was. */
static bool newer_are_whole(struct world *world, const struct scene *scene, const struct run *run, const int64_t *newer,
                            const struct listing *before, const struct listing *after) {
    for (size_t i = 0; *newer; newer++, i++) {
        bool good = world_is_foreign(world, *newer) ? world_restores(world, *newer, world->kept[0].listing)
            : scene->mounts && i > 0 ? i == 1 || world_restores(world, *newer, after)
            : run->code == 3 ? partial_snapshot_is_honest(world, run, *newer, before) : world_restores(world, *newer, before);
        if (!good)
            return false;
    }
    return true;
}

static bool side_is_right(struct world *world, const struct run *run, const struct fault *fault, const struct state *before,
                          const struct expected *expected, enum side *ret) {
    struct state now = state_now(world);
    bool good = true;
    *ret = side_of(&now, before, expected);
    bool failing = fault->mode == FAULT_ONCE || fault->mode == FAULT_FROM;
    if (*ret == NEITHER && failing && run->code == 3)
        good = parts_are_named(world, run, now.project, before->project, expected->after.project);
    else if (*ret == NEITHER)
        good = is_neither(world, &now, before, expected);
    else if (failing && run->code == 0 && state_differs(&expected->after, &now, 0, (const char *const *)expected->volatile_dirs, NULL))
        good = world_say(world, run, "exit code 0, but nothing was done");
    state_done(&now);
    return good;
}

/* The whole of one case: after the fault, everything must hold. */
static bool judge(struct world *world, const struct scene *scene, const struct fault *fault, const struct run *run, const struct state *before,
                  const struct expected *expected) {
    int64_t newer[KEPT_MAX];
    enum side side;
    bool failing = fault->mode == FAULT_ONCE || fault->mode == FAULT_FROM;
    if (failing && !message_is_good(world, run))
        return false;
    if (!repaired(world, scene) || !side_is_right(world, run, fault, before, expected, &side) || !world_store_is_tidy(world, newer))
        return false;
    bool differ = state_differs(before, &expected->after, 0, NULL, NULL) != 0;
    if (scene->undoable && differ && side == AFTER && !undo_leads_back(world, before))
        return false;
    return newer_are_whole(world, scene, run, newer, before->project, expected->after.project) && world_all_restore(world) && work_goes_on(world)
        && world_store_is_tidy(world, newer);
}

/* One case. 0 passed, 1 failed, 2 the fault never happened. */
static int run_case(const struct plan *plan, const struct expected *expected) {
    char *text = NULL;
    size_t size = 0;
    struct world world;
    struct fault fault = {0};
    _run_ struct run run = {0};
    FILE *report = open_memstream(&text, &size);
    if (!report || !fault_parse(plan->mode, &fault) || world_open(&world, plan->program, plan->parent, report) < 0)
        abort();
    plan->scene->prepare(&world);
    struct state before = state_now(&world);
    fault.at = plan->k;
    if (run_faulty(&world, plan->scene, &fault, &run) < 0)
        abort();
    bool good = judge(&world, plan->scene, &fault, &run, &before, expected);
    fclose(report);
    if (!good) {
        fprintf(stderr, "FAILED: %s %s %" PRIu64 " (%s), exit code %d: %s\n%s\n", plan->scene->name, plan->mode, plan->k,
                fault.fired ? fault.where : "not reached", run.code, run.err, text);
        fflush(stderr);
    }
    free(text);
    state_done(&before);
    if (!good && getenv("KEEP"))
        fprintf(stderr, "kept: %s\n", world.box.base), box_done(&world.box), world.box.base = NULL;
    world_close(&world);
    return !good ? 1 : fault.fired ? 0 : 2;
}

/* Many. */

static void count_result(struct shared *shared, int result) {
    atomic_fetch_add(result == 0 ? &shared->passed : result == 1 ? &shared->failed : &shared->skipped, 1);
}

/* Every k, or one from each of `sample` equal parts. */
static void sweep(struct plan plan, const struct expected *expected, struct shared *shared) {
    uint64_t sample = getenv("CRASH_FULL") ? expected->changes : MIN(number_from("CRASH_SAMPLE", SAMPLE), expected->changes);
    struct rng rng = { plan.seed ^ (uint64_t)(plan.scene - scenes) << 8 ^ (uint64_t)plan.mode[0] };
    if (plan.k) {
        count_result(shared, run_case(&plan, expected));
        return;
    }
    for (uint64_t i = 0; i < sample; i++) {
        uint64_t from = i * expected->changes / sample, to = (i + 1) * expected->changes / sample;
        plan.k = 1 + from + rng_below(&rng, to - from);
        count_result(shared, run_case(&plan, expected));
    }
}

static bool is_on_btrfs(const char *parent) {
    struct statfs fs;
    const char *otherwise = getenv("TMPDIR");
    return statfs(parent ? parent : otherwise && *otherwise ? otherwise : "/tmp", &fs) == 0 && (uint32_t)fs.f_type == BTRFS_SUPER_MAGIC;
}

static void run_scene(struct plan plan, struct shared *shared) {
    struct expected expected = {0};
    if (plan.scene->subvolumes[0] && !is_on_btrfs(plan.parent)) {
        printf("skipped %s: its directory is not on btrfs (CRASH_DIR)\n", plan.scene->name);
        return;
    }
    if (plan.scene->mounts && access("/dev/fuse", R_OK | W_OK) < 0) {
        printf("skipped %s: /dev/fuse may not be used here\n", plan.scene->name);
        return;
    }
    expect(&plan, &expected);
    for (size_t i = 0; i < ELEMENTS(modes); i++) {
        if (plan.mode && strcmp(plan.mode, modes[i]) != 0)
            continue;
        struct plan one = plan;
        one.mode = modes[i];
        sweep(one, &expected, shared);
    }
    printf("%s: %" PRIu64 " changes\n", plan.scene->name, expected.changes);
    fflush(stdout);
    state_done(&expected.after);
    for (size_t i = 0; expected.volatile_dirs[i]; i++)
        free(expected.volatile_dirs[i]);
}

static void work(struct plan plan, const char *only, struct shared *shared) {
    size_t i;
    while (i = atomic_fetch_add(&shared->next, 1), i < ELEMENTS(modes) * 64) {
        size_t scene = 0;
        while (scene < i && scenes[scene].name)
            scene++;
        if (!scenes[scene].name)
            return;
        plan.scene = &scenes[scene];
        if (!only || !strcmp(only, plan.scene->name))
            run_scene(plan, shared);
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
    struct plan plan = { .program = argc > 1 ? argv[1] : getenv("SNAPCTL"), .parent = fast_directory(), .mode = argc > 3 ? argv[3] : NULL,
                         .k = argc > 4 ? strtoull(argv[4], NULL, 10) : 0, .seed = number_from("CRASH_SEED", 1) };
    struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t jobs = number_from("JOBS", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
    int status;
    unsigned broken = 0;
    if (!plan.program || shared == MAP_FAILED) {
        fprintf(stderr, "usage: crash SNAPCTL [SCENE [MODE [K]]]\n");
        return 2;
    }
    (void)setenv("SNAPCTL_THREADS", "1", 0);
    printf("seed %" PRIu64 "\n", plan.seed);
    fflush(stdout);
    for (uint64_t i = 0; i < jobs; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            work(plan, argc > 2 ? argv[2] : NULL, shared);
            exit(0);
        }
    }
    while (wait(&status) > 0)
        broken += status != 0;
    printf("%u passed, %u failed, %u skipped (the command had ended before its k-th change)\n", shared->passed,
           shared->failed + broken, shared->skipped);
    return shared->failed || broken ? 1 : 0;
}
