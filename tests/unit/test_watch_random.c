/* Watching, against chance: directories are made, moved, exchanged, removed and made again, in the tree, out of it and back, while nobody
 * reads, or while somebody does. Whatever differs between two readings must be found by who looks at nothing but what was
 * told, as a scan does; and the map must be that of the tree. SEED=n for one history, SEEDS=n for so many.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../property/rng.h"
#include "can_fanotify.h"
#include "fs.h"
#include "map.h"
#include "tempdir.h"
#include "watch.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { BATCHES = 60, BATCH_MAX = 24, SEEDS_DEFAULT = 4, LOG_SIZE = 64 * 1024 };

static enum watch_backend backend = WATCH_INOTIFY;

/* The tree as it is: path -> struct entry. */

struct entry { struct statx stat; };

static void look_at(struct map *tree, int dirfd, const char *name, const char *path) {
    struct entry *entry = calloc(1, sizeof(*entry));
    assert_non_null(entry);
    assert_int_equal(fs_statx(dirfd, name, &entry->stat), 0);
    assert_int_equal(map_put(tree, path, strlen(path), entry, NULL), 0);
    if (!S_ISDIR(entry->stat.stx_mode))
        return;
    int fd = openat(dirfd, *name ? name : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *dir = fdopendir(fd);
    assert_non_null(dir);
    for (struct dirent *child; (child = readdir(dir));) {
        _free_ char *below = NULL;
        if (!strcmp(child->d_name, ".") || !strcmp(child->d_name, ".."))
            continue;
        assert_true(asprintf(&below, "%s%s%s", path, *path ? "/" : "", child->d_name) > 0);
        look_at(tree, fd, child->d_name, below);
    }
}

static struct map *look(int root) {
    struct map *tree = map_new();
    assert_non_null(tree);
    look_at(tree, root, "", "");
    return tree;
}

static const struct statx *at(const struct map *tree, const char *path, size_t size) {
    const struct entry *entry = map_get(tree, path, size);
    return entry ? &entry->stat : NULL;
}

static bool is_dir(const struct statx *stat) {
    return stat && S_ISDIR(stat->stx_mode);
}

static bool same_time(struct statx_timestamp a, struct statx_timestamp b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_inode(const struct statx *a, const struct statx *b) {
    return a->stx_ino == b->stx_ino && same_time(a->stx_btime, b->stx_btime);
}

/* A file with several names is nobody's word to take: who scans looks at it anyway. */
static bool differs(const struct statx *old, const struct statx *new) {
    if (!old || !new)
        return old != new;
    if (!is_dir(old) && old->stx_nlink > 1)
        return false;
    return !same_inode(old, new) || old->stx_mode != new->stx_mode || old->stx_size != new->stx_size
        || !same_time(old->stx_mtime, new->stx_mtime) || !same_time(old->stx_ctime, new->stx_ctime);
}

/* What was told. */

struct told { enum watch_kind kind; struct watch_inode dir; char *name; };
struct world {
    struct rng rng;
    int dir, root;                        /* root: "root" in dir */
    struct watch *watch;
    struct told *told;
    size_t count, room;
    struct map *old;
    struct map *touched;                  /* path -> &here or &inside */
    bool all;
    bool beside;                          /* somebody reads meanwhile */
    atomic_bool done;
    FILE *log_file;
    char *log;
    size_t log_size;
};
static char here, inside;

static int hear(void *data, const struct watch_change *change) {
    struct world *world = data;
    assert_int_equal(MAKE_ROOM(world->told, world->count, world->room), 0);
    world->told[world->count++] = (struct told){ change->kind, change->dir, change->name ? strdup(change->name) : NULL };
    return 0;
}

static void listen_now(struct world *world) {
    struct snap_err err = {0};
    if (watch_read(world->watch, hear, world, &err) < 0)
        fail_msg("%s", err.message);
}

/* The path and all that lead to it. */
static void touch(struct world *world, const char *path, void *how) {
    for (const char *end = path; *end;) {
        end = strchrnul(end + (*end == '/'), '/');
        const void *there = map_get(world->touched, path, (size_t)(end - path));
        if (!there || (!*end && there == &here))
            assert_true(map_put(world->touched, path, (size_t)(end - path), *end ? &here : how, NULL) >= 0);
    }
}

static void place(struct world *world, const struct told *told) {
    _buf_ struct buf path = {0};
    world->all |= told->kind == WATCH_LOST || told->kind == WATCH_LINKED;
    if (watch_path(world->watch, told->dir, &path) <= 0)
        return;
    world->all |= told->kind == WATCH_UNCOVERED && !path.size;
    if (told->name && path.size)
        buf_char(&path, '/');
    buf_str(&path, told->name ? told->name : "");
    touch(world, path.data, told->kind == WATCH_BELOW || told->kind == WATCH_UNCOVERED ? &inside : &here);
}

/* Would a scan that looks at nothing but what was touched come by? */
static bool is_found(const struct world *world, const struct map *new, const char *path) {
    if (world->all || !*path)
        return true;
    for (const char *end = path; *end;) {
        end = strchrnul(end + (*end == '/'), '/');
        size_t size = (size_t)(end - path);
        const void *touched = map_get(world->touched, path, size);
        if (!touched)
            return false;
        const struct statx *was = at(world->old, path, size), *is = at(new, path, size);
        if (touched == &inside || !is_dir(was) || !is_dir(is) || !same_inode(was, is))
            return true;
    }
    return true;
}

static void fail_at(struct world *world, const char *what, const char *path) {
    fflush(world->log_file);
    size_t from = world->log_size > 4000 ? world->log_size - 4000 : 0;
    fprintf(stderr, "%s\n", world->log + from);
    fail_msg("%s '%s'; what was done last stands above", what, path);
}

static void check_differences(struct world *world, const struct map *of, const struct map *new) {
    for (struct map_iter i = {0}; map_next(of, &i);) {
        _free_ char *path = strndup(i.key, i.key_size);
        if (differs(at(world->old, path, i.key_size), at(new, path, i.key_size)) && !is_found(world, new, path))
            fail_at(world, "nobody was told of", path);
    }
}

static void check_map(struct world *world, const struct map *new) {
    uint64_t count = 0;
    struct watch_info info;
    for (struct map_iter i = {0}; map_next(new, &i);) {
        const struct statx *stat = &((const struct entry *)i.value)->stat;
        _buf_ struct buf is = {0};
        if (!S_ISDIR(stat->stx_mode))
            continue;
        count++;
        struct watch_inode inode = { makedev(stat->stx_dev_major, stat->stx_dev_minor), stat->stx_ino };
        _free_ char *path = strndup(i.key, i.key_size);
        if (watch_path(world->watch, inode, &is) <= 0 ? backend == WATCH_INOTIFY : strcmp(is.data ? is.data : "", path) != 0)
            fail_at(world, "in the map at a wrong place, or not at all:", path);
    }
    watch_info(world->watch, &info);
    if (backend == WATCH_INOTIFY && info.watches < count)
        fail_at(world, "not all are watched", "");
}

static void forget_told(struct world *world) {
    for (size_t i = 0; i < world->count; i++)
        free(world->told[i].name);
    world->count = 0;
    world->all = false;
    watch_settle(world->watch);
}

static void check(struct world *world) {
    listen_now(world);
    struct map *new = look(world->root);
    world->touched = map_new();
    for (size_t i = 0; i < world->count; i++)
        place(world, &world->told[i]);
    check_map(world, new);
    check_differences(world, world->old, new);
    check_differences(world, new, new);
    world->touched = map_free(world->touched, NULL);
    map_free(world->old, free);
    world->old = new;
    forget_told(world);
}

/* What is done. */

static char *random_dir(struct world *world, unsigned least) {
    char path[64];
    size_t size = (size_t)snprintf(path, sizeof(path), "%s", rng_percent(&world->rng, 85) ? "root" : "beside");
    for (unsigned depth = least + (unsigned)rng_below(&world->rng, 4); depth; depth--)
        size += (size_t)snprintf(path + size, sizeof(path) - size, "/%c", (char)('a' + rng_below(&world->rng, 3)));
    char *copy = strdup(path);
    assert_non_null(copy);
    return copy;
}

static char *random_file(struct world *world) {
    _free_ char *dir = random_dir(world, 0);
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%c", dir, (char)('c' + rng_below(&world->rng, 4))) > 0);
    return path;
}

static void note(struct world *world, const char *what, const char *a, const char *b, int result) {
    if (result >= 0)
        fprintf(world->log_file, "%s %s%s%s\n", what, a, b ? " -> " : "", b ? b : "");
}

static int write_to(struct world *world, const char *path) {
    _close_ int fd = openat(world->dir, path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0644);
    return fd < 0 ? -1 : (int)write(fd, "x", 1);
}

static void step(struct world *world) {
    _free_ char *a = random_dir(world, 1), *b = random_dir(world, 1), *f = random_file(world), *g = random_file(world);
    int dir = world->dir;
    switch (rng_below(&world->rng, 20)) {
    case 0: case 1: case 2: case 3:
        note(world, "mkdir", a, NULL, mkdirat(dir, a, 0755));
        break;
    case 4: case 5: case 6: case 7:
        note(world, "rename", a, b, renameat(dir, a, dir, b));
        break;
    case 8:
        note(world, "exchange", a, b, renameat2(dir, a, dir, b, RENAME_EXCHANGE));
        break;
    case 9:
        note(world, "rmdir", a, NULL, unlinkat(dir, a, AT_REMOVEDIR));
        break;
    case 10:
        note(world, "rm -r", a, NULL, fs_remove_tree(dir, a));
        break;
    case 11:                              /* the number is given away at once */
        note(world, "rmdir", a, NULL, unlinkat(dir, a, AT_REMOVEDIR));
        note(world, "mkdir", b, NULL, mkdirat(dir, b, 0755));
        break;
    case 12: case 13: case 14:
        note(world, "write", f, NULL, write_to(world, f));
        break;
    case 15:
        note(world, "unlink", f, NULL, unlinkat(dir, f, 0));
        break;
    case 16:
        note(world, "rename", f, g, renameat(dir, f, dir, g));
        break;
    case 17:
        note(world, "chmod", f, NULL, fchmodat(dir, f, 0600 | (mode_t)rng_below(&world->rng, 8), 0));
        break;
    case 18:
        note(world, "chmod", a, NULL, fchmodat(dir, a, 0700 | (mode_t)rng_below(&world->rng, 8), 0));
        break;
    default:                              /* a second name must be read of before it goes, and one outside nobody hears of */
        if (world->beside || strncmp(g, "root", 4) != 0)
            break;
        int r = linkat(dir, f, dir, g, 0);
        note(world, "link", f, g, r);
        if (r == 0 && world->watch)
            listen_now(world);
        break;
    }
}

static void *steps(void *data) {
    struct world *world = data;
    for (uint64_t i = 1 + rng_below(&world->rng, BATCH_MAX); i; i--)
        step(world);
    world->done = true;
    return NULL;
}

static void batch(struct world *world) {
    pthread_t thread;
    world->done = false;
    if (!world->beside) {
        steps(world);
        return;
    }
    assert_int_equal(pthread_create(&thread, NULL, steps, world), 0);
    while (!world->done)
        listen_now(world);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void begin(void **state, struct world *world, uint64_t seed, bool beside) {
    struct snap_err err = {0};
    *world = (struct world){ .rng = { seed }, .dir = tempdir_at(state), .beside = beside };
    world->log_file = open_memstream(&world->log, &world->log_size);
    assert_non_null(world->log_file);
    assert_int_equal(mkdirat(world->dir, "root", 0755), 0);
    assert_int_equal(mkdirat(world->dir, "beside", 0755), 0);
    world->root = openat(world->dir, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 60; i++)
        step(world);
    struct watch_options options = { .root = world->root, .backend = backend };
    if (watch_open(&options, hear, world, &world->watch, &err) < 0)
        fail_msg("%s", err.message);
    world->old = look(world->root);
}

static void end(struct world *world) {
    forget_told(world);
    world->watch = watch_close(world->watch);
    free(world->told);
    map_free(world->old, free);
    (void)fclose(world->log_file);
    free(world->log);
    world->root = fd_close(world->root);
    assert_int_equal(fs_remove_tree(world->dir, "root"), 0);
    assert_int_equal(fs_remove_tree(world->dir, "beside"), 0);
}

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static void histories(void **state, bool beside) {
    uint64_t first = number_from("SEED", 1), last = getenv("SEED") ? first : number_from("SEEDS", SEEDS_DEFAULT);
    for (uint64_t seed = first; seed <= last; seed++) {
        struct world world;
        print_message("seed %llu\n", (unsigned long long)seed);
        begin(state, &world, seed, beside);
        for (unsigned i = 0; i < BATCHES; i++) {
            batch(&world);
            if (rng_percent(&world.rng, 40))
                listen_now(&world);
            else
                check(&world);
        }
        check(&world);
        end(&world);
    }
}

static void whatever_happened_before_it_was_read_is_told(void **state) {
    histories(state, false);
}

static void whatever_happens_while_it_is_read_is_told(void **state) {
    histories(state, true);
}

int main(void) {
    if (geteuid() != 0) {
        puts("skipped: directories whose mode forbids looking stop everybody but root");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whatever_happened_before_it_was_read_is_told, tempdir_setup, tempdir_teardown),
        cmocka_unit_test_setup_teardown(whatever_happens_while_it_is_read_is_told, tempdir_setup, tempdir_teardown),
    };
    int failed = cmocka_run_group_tests_name("inotify", tests, NULL, NULL);
    if (!can_fanotify())
        return failed;
    backend = WATCH_FANOTIFY;
    return failed + cmocka_run_group_tests_name("fanotify", tests, NULL, NULL);
}
