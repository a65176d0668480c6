/* Random actions in the overlay and in something that is right: a plain directory, and the kernel's overlayfs.
 * Results, errnos and trees have to be equal, but for what differences.txt lists.
 * usage: random [native|kernel|mount]...
 * native: the library and a plain directory; kernel: the library and the kernel's overlayfs; mount: what MOUNT, a command as in
 * cases.c, mounts, and a plain directory. SEED=N STEPS=N ROUNDS=N; LINKS=1: hard links below, too; PLAIN=1: whiteouts as files;
 * METACOPY=1: metadata of large files alone; NAMED=1: as where no file can be made without a name.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "world.h"

#include "cleanup.h"
#include "fs.h"
#include "hook.h"
#include "rng.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum { HISTORY = 4000, LINE = 400, EACH = 8 };

static struct rng rng;
static char history[HISTORY][LINE];
static unsigned steps_done;
static char why[8192];         /* told after the history */

static const char *name(void) {
    static const char *const names[] = { "a", "b", "c", "d" };
    return rng_pick(&rng, names);
}

static void path(char (*ret)[64]) {
    char more[64];
    (void)snprintf(*ret, sizeof(*ret), "%s", name());
    for (unsigned depth = (unsigned)rng_below(&rng, 3); depth > 0; depth--) {
        (void)snprintf(more, sizeof(more), "%.50s/%s", *ret, name());
        memcpy(*ret, more, sizeof(more));
    }
}

/* What was there when the trees were compared last: half of the actions are about that. */
static struct buf there;
static size_t there_count;

static const char *line_of(const char *dump, size_t at) {
    while (at-- > 0)
        dump = strchr(dump, '\n') + 1;
    return dump;
}

static void keep_there(const struct buf *dump) {
    buf_clear(&there);
    there_count = 0;
    buf_add(&there, dump->data, dump->size);
    for (size_t i = 0; i < dump->size; i++)
        there_count += dump->data[i] == '\n';
}

static void known_path(char (*ret)[64]) {
    if (there_count == 0 || rng_percent(&rng, 50)) {
        path(ret);
        return;
    }
    const char *line = line_of(there.data, rng_below(&rng, there_count));
    (void)snprintf(*ret, sizeof(*ret), "%.*s", (int)strcspn(line, " "), line);
    if (rng_percent(&rng, 10))
        (void)strncat(*ret, "/a", sizeof(*ret) - strlen(*ret) - 1);
}

static unsigned number(unsigned below) {
    return (unsigned)rng_below(&rng, below);
}

/* One line; those that only a real file system does fully have `full`. */
static void make_line(char (*line)[LINE], bool full) {
    static const char *const modes[] = { "644", "600", "755", "4755", "2755", "444", "1755" };
    static const char *const opens[] = { "r", "rw", "w", "r", "rwt" };
    static const char *const open_modes[] = { "755", "700", "775", "4755" };      /* the library asks nobody for permission */
    char p[64], q[64];
    known_path(&p);
    known_path(&q);
    unsigned handle = number(4);
    switch (number(full ? 33 : 21)) {
    case 0: case 1: (void)snprintf(*line, LINE, "mkdir %s 755", p); break;
    case 2: (void)snprintf(*line, LINE, "write %s text%u", p, number(100)); break;
    case 3: (void)snprintf(*line, LINE, "write %s *%u:%c", p, number(100000), 'a' + (int)number(26)); break;
    case 4: (void)snprintf(*line, LINE, "append %s more%u", p, number(10)); break;
    case 5: (void)snprintf(*line, LINE, "truncate %s %u", p, number(3) ? number(20000) : 0); break;
    case 6: case 7: (void)snprintf(*line, LINE, "unlink %s", p); break;
    case 8: case 9: (void)snprintf(*line, LINE, "rmdir %s", p); break;
    case 10: case 11: case 12: (void)snprintf(*line, LINE, "rename %s %s", p, q); break;
    case 13: (void)snprintf(*line, LINE, "exchange %s %s", p, q); break;
    case 14: (void)snprintf(*line, LINE, "renew %s %s", p, q); break;
    case 15: (void)snprintf(*line, LINE, "symlink %s nowhere/%s", p, q); break;
    case 16: (void)snprintf(*line, LINE, "chmod %s %s", p, geteuid() == 0 ? rng_pick(&rng, modes) : rng_pick(&rng, open_modes)); break;
    case 17: (void)snprintf(*line, LINE, "utimens %s %u", p, 1000000 + number(1000)); break;
    case 18: (void)snprintf(*line, LINE, "setxattr %s user.%s %u", p, name(), number(100)); break;
    case 19: (void)snprintf(*line, LINE, "list %s", p); break;
    case 20: (void)snprintf(*line, LINE, number(20) ? "fifo %s 644" : "remount", p); break;
    case 21: case 22: (void)snprintf(*line, LINE, "link %s %s", p, q); break;
    case 23: case 24: (void)snprintf(*line, LINE, "open %u %s %s", handle, p, rng_pick(&rng, opens)); break;
    case 25: case 26: (void)snprintf(*line, LINE, "pwrite %u %u new%u", handle, number(3000), number(100)); break;
    case 27: (void)snprintf(*line, LINE, "pread %u 0 text%u", handle, number(100)); break;
    case 28: case 29: (void)snprintf(*line, LINE, "fstat %u", handle); break;
    case 30:
        if (hook_function)     /* that is refused there, as natively */
            (void)snprintf(*line, LINE, "list %s", p);
        else
            (void)snprintf(*line, LINE, "tmpfile %u %s", handle, p);
        break;
    case 31: (void)snprintf(*line, LINE, "linkfd %u %s", handle, p); break;
    default: (void)snprintf(*line, LINE, "chown %s %u %u", p, geteuid() ? geteuid() : number(3), geteuid() ? getegid() : number(3)); break;
    }
}

/* The rooms of one round, below a temporary directory. */
struct round {
    char base[64];
    int fd;
    struct world *core, *right;
    bool kernel, mounted;
    const char *command;       /* what is compared is a mount of ours */
    unsigned lower_count;
};

static int in_room(const struct round *round, const char *room) {
    return openat(round->fd, room, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void print_history(void) {
    for (unsigned i = 0; i < steps_done && i < HISTORY; i++)
        printf("    %s\n", history[i]);
    printf("%s\n", why);
}

static int do_line(struct world *world, const char *line) {
    char copy[LINE];
    (void)snprintf(copy, sizeof(copy), "%s", line);
    return world_do(world, copy);
}

static void print_first_difference(const struct buf *a, const struct buf *b) {
    const char *at = a->size ? a->data : "", *bt = b->size ? b->data : "";
    while (*at && *bt) {
        size_t al = strcspn(at, "\n"), bl = strcspn(bt, "\n");
        if (al != bl || memcmp(at, bt, al) != 0)
            break;
        at += al + 1;
        bt += bl + 1;
    }
    (void)snprintf(why, sizeof(why), "overlay: %.*s\nright:   %.*s", (int)strcspn(at, "\n"), at, (int)strcspn(bt, "\n"), bt);
}

static int same_trees(struct world *a, struct world *b) {
    _buf_ struct buf one = {0}, two = {0};
    int r = a->dump(a, &one), k = b->dump(b, &two);
    if (r < 0 || k < 0) {
        (void)snprintf(why, sizeof(why), "cannot look: %s, %s", strerror(-r), strerror(-k));
        return -1;
    }
    if (one.size == two.size && (!one.size || memcmp(one.data, two.data, one.size) == 0)) {
        keep_there(&one);
        return 0;
    }
    print_first_difference(&one, &two);
    return -1;
}

/* Identity: what the right side says is one object is one in the overlay, with one number as long as it lives. */
struct pair { struct world_id right, core; bool alive; };
static struct pair pairs[100000];
static size_t pair_count;

static int check_pair(const char *name_shown, const struct world_id *right, const struct world_id *core) {
    for (size_t i = 0; i < pair_count; i++) {
        bool same_right = pairs[i].right.number == right->number && pairs[i].right.generation == right->generation;
        bool same_core = pairs[i].core.number == core->number && pairs[i].core.generation == core->generation;
        if (same_right && same_core) {
            pairs[i].alive = true;
            return 0;
        }
        if (same_right || (same_core && pairs[i].alive)) {
            (void)snprintf(why, sizeof(why), "%s has number %llx generation %llx, expected %llx %llx", name_shown,
                           (unsigned long long)core->number, (unsigned long long)core->generation,
                           (unsigned long long)pairs[i].core.number, (unsigned long long)pairs[i].core.generation);
            return -1;
        }
    }
    if (pair_count < ELEMENTS(pairs))
        pairs[pair_count++] = (struct pair){ *right, *core, true };
    return 0;
}

/* What is not there now may be in an open file or in a number that is used again. */
static void forget_dead(void) {
    size_t kept = 0;
    for (size_t i = 0; i < pair_count; i++) {
        if (pairs[i].alive)
            pairs[kept++] = pairs[i];
    }
    pair_count = kept;
}

static int same_identities(struct world *core, struct world *right) {
    for (size_t i = 0; i < pair_count; i++)
        pairs[i].alive = false;
    for (size_t i = 0; i < there_count; i++) {
        char shown[4096];
        struct world_id a, b;
        const char *line = line_of(there.data, i);
        (void)snprintf(shown, sizeof(shown), "%.*s", (int)strcspn(line, " "), line);
        if (core->identify(core, shown, &a) < 0 || right->identify(right, shown, &b) < 0)
            return -1;
        if (check_pair(shown, &b, &a) < 0)
            return -1;
    }
    forget_dead();
    return 0;
}

static int fill(int dirfd, unsigned lines, bool links) {
    struct world *world = NULL;
    int r = world_open_directory(dirfd, false, &world);
    for (unsigned i = 0; r >= 0 && i < lines; i++) {
        char line[LINE];
        make_line(&line, links);
        if (strncmp(line, "remount", 7) != 0)
            (void)do_line(world, line);
    }
    if (world)
        world->close(world);
    return r;
}

static int shell(const char *command) {
    return system(command) == 0 ? 0 : -1;
}

static int prepare(struct round *round, bool links) {
    static const char *const rooms[] = { "lower0", "lower1", "upper", "work", "kupper", "kwork", "right" };
    char command[512];
    (void)snprintf(round->base, sizeof(round->base), "%s/snapctl-overlay-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(round->base) || (round->fd = open(round->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return -1;
    for (size_t i = 0; i < ELEMENTS(rooms); i++) {
        if (mkdirat(round->fd, rooms[i], 0755) < 0)
            return -1;
    }
    for (unsigned i = 0; i < round->lower_count; i++) {
        _close_ int lower = in_room(round, i ? "lower1" : "lower0");
        if (lower < 0 || fill(lower, 60, links) < 0)
            return -1;
    }
    if (!round->kernel) {
        (void)snprintf(command, sizeof(command), "cp -a %s/lower0/. %s/right/", round->base, round->base);
        return shell(command);
    }
    char options[400];
    (void)snprintf(options, sizeof(options), "userxattr,lowerdir=%s/lower0:%s/lower1,upperdir=%s/kupper,workdir=%s/kwork",
                   round->base, round->base, round->base, round->base);
    (void)snprintf(command, sizeof(command), "%s/right", round->base);
    round->mounted = mount("overlay", command, "overlay", 0, options) == 0;
    return round->mounted ? 0 : -1;
}

static unsigned from_environment(const char *variable, unsigned otherwise) {
    const char *value = getenv(variable);
    return value ? (unsigned)strtoul(value, NULL, 10) : otherwise;
}

/* %l, %u, %w, %m: the rooms of the first lower tree, the current layer, the work directory, and where it is mounted. */
static int mount_command(struct round *round) {
    _buf_ struct buf line = {0};
    for (const char *at = round->command; *at; at++) {
        if (*at != '%' || !at[1])
            buf_char(&line, *at);
        else
            buf_fmt(&line, "%s/%s", round->base, *++at == 'l' ? "lower0" : *at == 'u' ? "upper" : *at == 'w' ? "work" : "mount");
    }
    if (mkdirat(round->fd, "mount", 0755) < 0 || shell(line.data) < 0)
        return -1;
    _close_ int fd = in_room(round, "mount");
    return fd < 0 ? -errno : world_open_directory(fd, false, &round->core);
}

static int open_worlds(struct round *round) {
    int lowers[2] = { in_room(round, "lower0"), in_room(round, "lower1") };
    struct world_stack stack = {
        .upper = in_room(round, "upper"), .work = in_room(round, "work"), .lowers = lowers, .lower_count = round->lower_count,
        .flags = (from_environment("PLAIN", 0) ? OVERLAY_PLAIN_MARKS : 0) | (from_environment("METACOPY", 0) ? OVERLAY_METACOPY : 0),
    };
    _close_ int right = in_room(round, "right");
    int r = round->command ? mount_command(round) : world_open_overlay(&stack, &round->core);
    return r < 0 ? r : world_open_directory(right, false, &round->right);
}

/* Descriptors of the library's world outlive a remount there. */
static void clean(struct round *round) {
    char path[128];
    if (round->core)
        round->core->close(round->core);
    if (round->right)
        round->right->close(round->right);
    (void)snprintf(path, sizeof(path), "%s/right", round->base);
    if (round->mounted && umount2(path, MNT_DETACH) < 0)
        printf("cannot unmount %s\n", path);
    (void)snprintf(path, sizeof(path), "%s/mount", round->base);
    if (round->command && umount2(path, 0) < 0)
        printf("cannot unmount %s\n", path);
    round->fd = fd_close(round->fd);
    (void)fs_remove_tree(AT_FDCWD, round->base);
}

/* A remount closes handles: so on both sides. */
static void close_handles(struct world *world) {
    for (unsigned i = 0; i < EACH; i++) {
        char line[LINE];
        (void)snprintf(line, sizeof(line), "close %u", i);
        (void)world_do(world, line);
    }
}

static int step(struct round *round) {
    char (*line)[LINE] = &history[steps_done % HISTORY];
    make_line(line, !round->kernel);
    steps_done++;
    int right = do_line(round->right, *line);
    if (round->kernel && right == -EXDEV)
        return 0;
    if (strncmp(*line, "remount", 7) == 0)
        close_handles(round->right);
    if (strncmp(*line, "remount", 7) == 0 && round->command)
        close_handles(round->core);
    int got = do_line(round->core, *line);
    size_t size = strlen(*line);
    (void)snprintf(*line + size, LINE - size, "   = %d", got);
    if (got == right)
        return 0;
    (void)snprintf(why, sizeof(why), "result %d (%s), right is %d (%s)", got, strerror(got < 0 ? -got : 0), right,
                   strerror(right < 0 ? -right : 0));
    return -1;
}

static int run_round(uint64_t seed, bool kernel, const char *command, unsigned steps, bool links) {
    struct round round = { .kernel = kernel, .command = command, .fd = -1, .lower_count = kernel ? 2 : 1 };
    rng.state = seed;
    steps_done = 0;
    int r = prepare(&round, links);
    if (r >= 0)
        r = open_worlds(&round);
    if (r < 0)
        printf("cannot begin: %s\n", strerror(errno));
    pair_count = there_count = 0;
    if (r >= 0)
        r = same_trees(round.core, round.right);
    for (unsigned i = 0; r >= 0 && i < steps; i++) {
        r = step(&round);
        if (r >= 0 && (i % 16 == 15 || i + 1 == steps))
            r = same_trees(round.core, round.right);
        if (r >= 0 && !kernel && !command && (i % 16 == 15 || i + 1 == steps))
            r = same_identities(round.core, round.right);
    }
    if (r < 0)
        print_history();
    clean(&round);
    return r;
}

static int without_unnamed(const char *point, const char *what) {
    (void)what;
    return strcmp(point, "upper.unnamed") == 0 ? -EOPNOTSUPP : 0;
}

int main(int argc, char **argv) {
    unsigned first = from_environment("SEED", 1), steps = from_environment("STEPS", 300), rounds = from_environment("ROUNDS", 5);
    unsigned passed = 0, failed = 0, skipped = 0;
    (void)umask(022);
    if (from_environment("NAMED", 0))
        hook_function = without_unnamed;
    for (int i = 1; i < argc || i == 1; i++) {
        bool kernel = i < argc && strcmp(argv[i], "kernel") == 0;
        const char *command = i < argc && strcmp(argv[i], "mount") == 0 ? getenv("MOUNT") : NULL;
        if (i < argc && strcmp(argv[i], "mount") == 0 && !command) {
            printf("mount: skipped: MOUNT says not how\n");
            skipped++;
            continue;
        }
        if (kernel && geteuid() != 0) {
            printf("kernel: skipped: mounting needs root\n");
            skipped++;
            continue;
        }
        for (unsigned seed = first; seed < first + rounds; seed++) {
            int r = run_round(seed, kernel, command, steps, !kernel && from_environment("LINKS", 0));
            printf("%s seed %u, %u steps: %s\n", kernel ? "kernel" : command ? "mount" : "native", seed, steps, r < 0 ? "FAILED" : "ok");
            passed += r >= 0;
            failed += r < 0;
        }
    }
    printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
    return failed ? 1 : 0;
}
