/* Every action, failing or being cut short at every step: afterwards the tree is the one before, or the one after, and nothing is
 * left lying about. usage: faults
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "world.h"

#include "cleanup.h"
#include "fs.h"
#include "hook.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { STEPS = 64 };

/* What is below: the top lower first. */
static const char *const below[][24] = {
    { "mkdir d 755", "write d/f lower", "mkdir d/e 750", "write d/e/g deep", "write f one", "link f linked",
      "write big *100000:x", "symlink s there",
      "mkdir empty 755", "mkdir merged 755", "write merged/top 1", "setxattr f user.x 1", NULL },
    { "mkdir d 755", "write d/under base", "mkdir merged 700", "write merged/low 2", "mkdir old 755", "write old/o o", NULL },
};

/* What was done before, and then the action that is cut short. */
static const char *const cases[][6] = {
    { "chmod f 600" }, { "append d/f more" }, { "append d/e/g more" }, { "truncate big 10" }, { "truncate big 0" },
    { "utimens s 1000" }, { "unlink f" },
    { "unlink linked" }, { "unlink d/f" }, { "append f more", "unlink linked" }, { "chmod f 600", "rename linked moved" },
    { "append linked x", "unlink f", "unlink linked" }, { "rmdir empty" }, { "unlink merged/top", "unlink merged/low", "rmdir merged" },
    { "unlink merged/top", "unlink merged/low", "rmdir merged", "mkdir merged 755" }, { "unlink f", "write f again" },
    { "unlink f", "symlink f x" },
    { "unlink f", "mkdir f 755" }, { "rename d e" }, { "rename d e", "rename e/e e/x" }, { "rename d empty" },
    { "rename f linked" }, { "rename f d/f" },
    { "unlink merged/top", "unlink merged/low", "rename old merged" }, { "exchange f d" }, { "exchange d merged" }, { "exchange f s" },
    { "mkdir new 755", "write new/n n", "rename new empty" }, { "mkdir new 755", "unlink f", "rename new f" },
    { "link d/f other" }, { "link f other" },
    { "unlink f", "link d/f f" }, { "mkdir d/new 755" }, { "write d/e/new x" }, { "rename d/e/g top" }, { "setxattr d user.a 1" },
    { "rename d/f d/f2", "write d/f new" }, { "write new x", "unlink new" }, { "mkdir new 755", "rmdir new" }, { "rename s s2" },
    { "append f *70000:y" },
    { "rename old old2", "unlink old2/o", "rmdir old2" }, { "utimens d 1000" }, { "fifo d/p 644", "rename d/p f" },
};

static unsigned at_step, fail_at;
static int failure;            /* 0: the process ends */

static int step(const char *point, const char *what) {
    (void)point;
    (void)what;
    if (++at_step != fail_at)
        return 0;
    if (!failure)
        _exit(42);
    return failure;
}

struct scene {
    char base[64];
    int upper, work, lowers[2];
};

static int room(struct scene *scene, const char *name) {
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/%s", scene->base, name);
    return mkdir(path, 0755) < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int set_up(struct scene *scene) {
    (void)snprintf(scene->base, sizeof(scene->base), "%s/snapctl-overlay-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(scene->base))
        return -1;
    scene->upper = room(scene, "upper");
    scene->work = room(scene, "work");
    scene->lowers[0] = room(scene, "lower0");
    scene->lowers[1] = room(scene, "lower1");
    for (size_t i = 0; i < ELEMENTS(below); i++) {
        struct world *world = NULL;
        if (world_open_directory(scene->lowers[i], false, &world) < 0)
            return -1;
        for (const char *const *line = below[i]; *line; line++) {
            char copy[128];
            (void)snprintf(copy, sizeof(copy), "%s", *line);
            if (world_do(world, copy) < 0)
                return -1;
        }
        world->close(world);
    }
    return 0;
}

static void take_down(struct scene *scene) {
    (void)close(scene->upper);
    (void)close(scene->work);
    (void)close(scene->lowers[0]);
    (void)close(scene->lowers[1]);
    if (fs_remove_tree(AT_FDCWD, scene->base) < 0)
        printf("cannot remove %s\n", scene->base);
}

static struct world *open_scene(const struct scene *scene) {
    struct world *world = NULL;
    const struct world_stack stack = { .upper = scene->upper, .work = scene->work, .lowers = scene->lowers, .lower_count = 2 };
    return world_open_overlay(&stack, &world) < 0 ? NULL : world;
}

static int do_copy(struct world *world, const char *line) {
    char copy[128];
    (void)snprintf(copy, sizeof(copy), "%s", line);
    return world_do(world, copy);
}

static unsigned count_lines(const char *const *lines) {
    unsigned count = 0;
    while (count < 6 && lines[count])
        count++;
    return count;
}

static int prepare(struct world *world, const char *const *lines) {
    for (unsigned i = 0; i + 1 < count_lines(lines); i++) {
        if (do_copy(world, lines[i]) < 0)
            return -1;
    }
    return 0;
}

static bool same(const struct buf *a, const struct buf *b) {
    return a->size == b->size && (!a->size || memcmp(a->data, b->data, a->size) == 0);
}

/* Counts of links may be too high after a cut in the middle of counting. */
static void without_links(struct buf *dump) {
    _buf_ struct buf kept = {0};
    for (size_t i = 0; i < dump->size;) {
        bool links = dump->size - i > 7 && memcmp(dump->data + i, " links=", 7) == 0;
        for (i += links ? 7 : 0; links && i < dump->size && dump->data[i] >= '0' && dump->data[i] <= '9'; i++)
            ;
        if (!links)
            buf_char(&kept, dump->data[i++]);
    }
    buf_clear(dump);
    buf_add(dump, kept.data, kept.size);
}

static bool same_but_links(const struct buf *a, const struct buf *b) {
    _buf_ struct buf one = {0}, two = {0};
    buf_add(&one, a->data, a->size);
    buf_add(&two, b->data, b->size);
    without_links(&one);
    without_links(&two);
    return same(&one, &two);
}

static bool is_empty(const struct scene *scene) {
    _close_ int fd = openat(scene->work, "work", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(TAKE_FD(fd));
    unsigned count = 0;
    while (stream && readdir(stream))
        count++;
    if (stream)
        (void)closedir(stream);
    return count == 2;
}

static int act(struct world *world, const char *line) {
    at_step = 0;
    hook_function = step;
    int r = do_copy(world, line);
    hook_function = NULL;
    return r;
}

/* In a child that ends in the middle: 1 = it did, 0 = it came to the end. */
static int act_and_end(const struct scene *scene, const char *line) {
    pid_t child = fork();
    if (child == 0) {
        struct world *world = open_scene(scene);
        at_step = 0;
        hook_function = world ? step : NULL;
        if (!world)
            _exit(43);
        int r = do_copy(world, line);
        _exit(at_step >= fail_at || r < 0 ? 43 : 0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status) == 42 ? 1 : WEXITSTATUS(status) == 0 ? 0 : -1;
}

struct outcome { struct buf before, after; };

static int check_failed(const struct scene *scene, struct world *world, const struct outcome *outcome, int r) {
    _buf_ struct buf now = {0}, again = {0};
    if (world->dump(world, &now) < 0)
        return printf("the tree cannot be read\n"), -1;
    if (!same(&now, r < 0 ? &outcome->before : &outcome->after))
        return printf("result %d, and the tree is\n%.*s", r, (int)now.size, now.data), -1;
    if (!is_empty(scene))
        return printf("something is left in work/\n"), -1;
    (void)do_copy(world, "remount");
    if (world->dump(world, &again) < 0 || !same_but_links(&now, &again))
        return printf("another tree after opening it again\n%.*s", (int)again.size, again.data), -1;
    return 0;
}

static int check_cut(const struct scene *scene, const struct outcome *outcome) {
    _buf_ struct buf now = {0};
    struct world *world = open_scene(scene);
    if (!world)
        return printf("it does not open any more\n"), -1;
    int r = world->dump(world, &now);
    if (r < 0 || (!same_but_links(&now, &outcome->before) && !same_but_links(&now, &outcome->after))) {
        printf("neither before nor after: %d\n%.*s", r, (int)now.size, now.data);
        r = -1;
    }
    if (r >= 0 && !is_empty(scene))
        r = (printf("something is left in work/\n"), -1);
    world->close(world);
    return r;
}

/* One case, failing at one step. 1 = it has fewer steps. */
static int run_step(const char *const *lines, const struct outcome *outcome) {
    struct scene scene;
    const char *action = lines[count_lines(lines) - 1];
    if (set_up(&scene) < 0)
        return -1;
    struct world *world = open_scene(&scene);
    int r = world ? prepare(world, lines) : -1;
    if (r >= 0 && failure) {
        r = act(world, action);
        bool reached = at_step >= fail_at;
        r = check_failed(&scene, world, outcome, r);
        r = r < 0 ? r : !reached;
    } else if (r >= 0) {
        world->close(world);
        world = NULL;
        int cut = act_and_end(&scene, action);
        r = cut < 0 ? (printf("the action failed by itself\n"), -1) : check_cut(&scene, outcome);
        r = r < 0 ? r : cut == 0;
    }
    if (world)
        world->close(world);
    take_down(&scene);
    return r;
}

static int find_outcome(const char *const *lines, struct outcome *ret) {
    struct scene scene;
    if (set_up(&scene) < 0)
        return -1;
    struct world *world = open_scene(&scene);
    int r = world ? prepare(world, lines) : -1;
    if (r >= 0)
        r = world->dump(world, &ret->before);
    if (r >= 0)
        r = do_copy(world, lines[count_lines(lines) - 1]);
    if (r >= 0)
        r = world->dump(world, &ret->after);
    if (world)
        world->close(world);
    take_down(&scene);
    return r;
}

static int run_case(const char *const *lines, int how) {
    struct outcome outcome = {0};
    failure = how;
    int r = find_outcome(lines, &outcome);
    if (r < 0)
        printf("does not work at all\n");
    for (fail_at = 1; r == 0 && fail_at < STEPS; fail_at++)
        r = run_step(lines, &outcome);
    if (r < 0)
        printf("%s%s%s, %s at step %u: FAILED\n", count_lines(lines) > 1 ? lines[0] : "", count_lines(lines) > 1 ? ", ..., " : "",
               lines[count_lines(lines) - 1], how ? strerror(-how) : "cut short", fail_at - 1);
    buf_done(&outcome.before);
    buf_done(&outcome.after);
    return MIN(r, 0);
}

int main(void) {
    unsigned passed = 0, failed = 0;
    (void)umask(022);
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        int failing = run_case(cases[i], -ENOSPC), cut = run_case(cases[i], 0);
        passed += (failing >= 0) + (cut >= 0);
        failed += (failing < 0) + (cut < 0);
    }
    printf("%u passed, %u failed, 0 skipped\n", passed, failed);
    return failed ? 1 : 0;
}
