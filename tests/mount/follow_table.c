/* What changes underneath, case by case: each change that can happen to a file or directory, for each state in which the mount can
 * have it, and each way in which programs replace files. After a barrier it has to be seen at once; without one, in the end.
 * What is expected of a name is what lies below, but for what the mount's own layer has; of a descriptor, what it was opened on.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_S = 10, ROOM = 65536 };

static int lower, merged;                  /* of the case's own directory, on each side */
static int root;                           /* of the mount */
static const char old_text[] = "the old one\n", new_text[] = "a new one, and longer\n", own_text[] = "the workspace's\n";

static void die(const char *doing) {
    perror(doing);
    exit(2);
}

static void must(long result, const char *doing) {
    if (result < 0)
        die(doing);
}

static void put(int dir, const char *name, const char *text, int flags) {
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    must(fd, name);
    must(write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1, "write");
    must(close(fd), "close");
}

/* Changes below. Each begins with a file `f`, a directory `d` with a file `d/x`, and no `n`. */

static void nothing(void) { }
static void append(void) { put(lower, "f", new_text, O_APPEND); }
static void write_in_place(void) { put(lower, "f", new_text, 0); }
static void truncate_and_write(void) { put(lower, "f", new_text, O_TRUNC); }
static void cut_off(void) {
    int fd = openat(lower, "f", O_WRONLY | O_CLOEXEC);
    must(fd, "f");
    must(ftruncate(fd, 3), "ftruncate");
    must(close(fd), "close");
}
static void change_mode(void) { must(fchmodat(lower, "f", 0600, 0), "chmod"); }
static void change_times(void) { must(utimensat(lower, "f", (struct timespec[2]){ { 1, 2 }, { 3, 4 } }, 0), "utimensat"); }
static void add_link(void) { must(linkat(lower, "f", lower, "n", 0), "link"); }
static void write_by_link(void) { add_link(); put(lower, "n", new_text, O_TRUNC); }
static void rename_over(void) { put(lower, "#tmp", new_text, O_EXCL); must(renameat(lower, "#tmp", lower, "f"), "rename"); }
static void unlink_and_create(void) { must(unlinkat(lower, "f", 0), "unlink"); put(lower, "f", new_text, O_EXCL); }
static void backup_by_rename(void) { must(renameat(lower, "f", lower, "f~"), "rename"); put(lower, "f", new_text, O_EXCL); }
static void backup_by_link(void) { must(linkat(lower, "f", lower, "f~", 0), "link"); rename_over(); }
static void exchange(void) { put(lower, "n", new_text, O_EXCL); must(renameat2(lower, "n", lower, "f", RENAME_EXCHANGE), "renameat2"); }
static void write_then_replace(void) { append(); rename_over(); }
static void delete(void) { must(unlinkat(lower, "f", 0), "unlink"); }
static void rename_file(void) { must(renameat(lower, "f", lower, "n"), "rename"); }
static void rename_into(void) { must(renameat(lower, "f", lower, "d/f"), "rename"); }
static void rename_and_write(void) { rename_file(); put(lower, "n", new_text, O_TRUNC); }
static void rename_there_and_back(void) { rename_file(); must(renameat(lower, "n", lower, "f"), "rename"); }
static void become_directory(void) { delete(); must(mkdirat(lower, "f", 0755), "mkdir"); put(lower, "f/y", new_text, 0); }
static void become_symlink(void) { delete(); must(symlinkat("d/x", lower, "f"), "symlink"); }
static void become_fifo(void) { delete(); must(mkfifoat(lower, "f", 0600), "mkfifo"); }
static void appear(void) { put(lower, "n", new_text, O_EXCL); }
static void appear_as_directory(void) { must(mkdirat(lower, "n", 0755), "mkdir"); put(lower, "n/y", new_text, 0); }
static void appear_by_rename(void) { put(lower, "#tmp", new_text, O_EXCL); must(renameat(lower, "#tmp", lower, "n"), "rename"); }
static void appear_as_link(void) { must(symlinkat("f", lower, "n"), "symlink"); }
static void delete_directory(void) { must(unlinkat(lower, "d/x", 0), "unlink"); must(unlinkat(lower, "d", AT_REMOVEDIR), "rmdir"); }
static void rename_directory(void) { must(renameat(lower, "d", lower, "n"), "rename"); }
static void rename_directory_and_write(void) { rename_directory(); put(lower, "n/x", new_text, O_TRUNC); put(lower, "n/y", new_text, 0); }
static void replace_directory(void) {
    must(mkdirat(lower, "#dir", 0755), "mkdir");
    put(lower, "#dir/x", new_text, 0);
    must(renameat2(lower, "#dir", lower, "d", RENAME_EXCHANGE), "renameat2");
    must(renameat(lower, "#dir", lower, "n"), "rename");
}
static void make_directory(void) { must(mkdirat(lower, "d", 0755), "mkdir"); put(lower, "d/x", new_text, 0); }
static void remake_directory(void) { delete_directory(); make_directory(); }
static void directory_becomes_file(void) { delete_directory(); put(lower, "d", new_text, 0); }
static void change_mode_of_directory(void) { must(fchmodat(lower, "d", 0700, 0), "chmod"); }
static void write_in_directory(void) { put(lower, "d/x", new_text, O_TRUNC); put(lower, "d/y", new_text, 0); }
static void set_xattr(void) {
    int fd = openat(lower, "f", O_RDONLY | O_CLOEXEC);
    must(fd, "f");
    must(fsetxattr(fd, "user.changed", "yes", 3, 0), "setxattr");
    must(close(fd), "close");
}
static void all_at_once(void) { rename_over(); rename_directory_and_write(); make_directory(); }

enum fate { IN_PLACE, REPLACED };          /* of what `f` was */
static const struct change { const char *name; void (*perform)(void); enum fate fate; } changes[] = {
    { "nothing", nothing, IN_PLACE }, { "append", append, IN_PLACE }, { "write in place", write_in_place, IN_PLACE },
    { "truncate and write", truncate_and_write, IN_PLACE }, { "cut off", cut_off, IN_PLACE }, { "chmod", change_mode, IN_PLACE },
    { "utimes", change_times, IN_PLACE }, { "xattr", set_xattr, IN_PLACE }, { "link", add_link, IN_PLACE },
    { "write by another name", write_by_link, IN_PLACE }, { "rename over", rename_over, REPLACED },
    { "unlink and create", unlink_and_create, REPLACED }, { "backup by rename", backup_by_rename, REPLACED },
    { "backup by link", backup_by_link, REPLACED }, { "exchange", exchange, REPLACED }, { "write, then replace", write_then_replace, REPLACED },
    { "delete", delete, REPLACED }, { "rename", rename_file, REPLACED }, { "rename into a directory", rename_into, REPLACED },
    { "rename and write", rename_and_write, REPLACED }, { "rename there and back", rename_there_and_back, IN_PLACE },
    { "become a directory", become_directory, REPLACED }, { "become a symlink", become_symlink, REPLACED },
    { "become a fifo", become_fifo, REPLACED }, { "appear", appear, IN_PLACE }, { "appear as a directory", appear_as_directory, IN_PLACE },
    { "appear by rename", appear_by_rename, IN_PLACE }, { "appear as a symlink", appear_as_link, IN_PLACE },
    { "delete a directory", delete_directory, IN_PLACE }, { "rename a directory", rename_directory, IN_PLACE },
    { "rename a directory and write", rename_directory_and_write, IN_PLACE }, { "replace a directory", replace_directory, IN_PLACE },
    { "remake a directory", remake_directory, IN_PLACE }, { "a directory becomes a file", directory_becomes_file, IN_PLACE },
    { "chmod a directory", change_mode_of_directory, IN_PLACE }, { "write in a directory", write_in_directory, IN_PLACE },
    { "all at once", all_at_once, REPLACED },
};

/* States above. */

static int held = -1;                      /* an open descriptor of f, above, and what it has to show: one of the same, below */
static int held_below = -1;
static const char *mapped;
static bool own_f, no_f, own_d, own_mode, own_in_d;      /* what the current layer decides */

static char *slurp(int fd, size_t *ret_size) {
    static char rooms[2][ROOM];
    static int turn;
    char *room = rooms[turn++ % 2];
    ssize_t got = pread(fd, room, ROOM, 0);
    *ret_size = got < 0 ? 0 : (size_t)got;
    return got < 0 ? NULL : room;
}

static void look_at(const char *name) {
    struct stat st;
    char text[ROOM];
    (void)fstatat(merged, name, &st, AT_SYMLINK_NOFOLLOW);
    int fd = openat(merged, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    if (read(fd, text, sizeof(text)) < 0 && errno != EISDIR)
        die(name);
    must(close(fd), "close");
}

static void list(const char *name) {
    int fd = openat(merged, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(fd, name);
    DIR *dir = fdopendir(fd);
    while (readdir(dir))
        continue;
    must(closedir(dir), "closedir");
}

static void know_all(void) { list("."); look_at("f"); look_at("d"); list("d"); look_at("d/x"); }
static void know_absent(void) { look_at("n"); look_at("d/y"); look_at("d/f"); look_at("f~"); look_at("f/y"); look_at("n/x"); look_at("n/y"); }
static void know_everything(void) { know_all(); know_absent(); }

static void hold_open(void) {
    know_everything();
    held = openat(merged, "f", O_RDONLY | O_CLOEXEC);
    held_below = openat(lower, "f", O_RDONLY | O_CLOEXEC);
    must(held, "f");
    must(held_below, "f");
}

static void hold_mapped(void) {
    hold_open();
    mapped = mmap(NULL, sizeof(old_text) - 1, PROT_READ, MAP_SHARED, held, 0);
    must(mapped == MAP_FAILED || memcmp(mapped, old_text, sizeof(old_text) - 1) != 0 ? -1 : 0, "mmap");
}

static void copy_up(void) { know_everything(); put(merged, "f", own_text, O_TRUNC); own_f = true; }
static void copy_up_mode(void) { know_everything(); must(fchmodat(merged, "f", 0640, 0), "chmod"); own_mode = true; }
static void copy_up_directory(void) { know_everything(); must(fchmodat(merged, "d", 0750, 0), "chmod"); own_d = true; }
static void merge(void) {
    know_everything();
    put(merged, "own", own_text, 0);
    put(merged, "d/own", own_text, 0);
    own_d = own_in_d = true;
    look_at("d/y");
}
static void hide(void) { know_everything(); must(unlinkat(merged, "f", 0), "unlink"); no_f = true; look_at("f"); }
static void appeared_above(void) {
    know_everything();
    must(mkdirat(merged, "n", 0755), "mkdir");
    put(merged, "n/own", own_text, 0);
    look_at("n/y"), look_at("n/x"), list("n");
}
static const struct state { const char *name; void (*prepare)(void); } states[] = {
    { "never looked up", nothing }, { "cached", know_all }, { "cached as absent", know_absent }, { "all cached", know_everything },
    { "open", hold_open }, { "mapped", hold_mapped }, { "copied up", copy_up }, { "metadata copied up", copy_up_mode },
    { "directory copied up", copy_up_directory }, { "merged directory", merge }, { "under a whiteout", hide },
    { "a directory of its own", appeared_above },
};

/* What is seen. The first difference is kept. */

static char difference[512];

__attribute__((format(printf, 1, 2))) static void differ(const char *format, ...) {
    va_list list_of;
    if (*difference)
        return;
    va_start(list_of, format);
    (void)vsnprintf(difference, sizeof(difference), format, list_of);
    va_end(list_of);
}

static void compare_text(const char *what, int above, int below) {
    size_t size, wanted_size;
    const char *text = slurp(above, &size), *wanted = slurp(below, &wanted_size);
    if (!text || !wanted || size != wanted_size || memcmp(text, wanted, size) != 0)
        differ("%s reads '%.*s' instead of '%.*s'", what, (int)size, text ? text : "", (int)wanted_size, wanted ? wanted : "");
}

static void compare_stat(const char *what, const struct stat *above, const struct stat *below, bool links) {
    if ((above->st_mode & S_IFMT) != (below->st_mode & S_IFMT))
        differ("%s is of type %o instead of %o", what, above->st_mode & S_IFMT, below->st_mode & S_IFMT);
    else if (above->st_mode != below->st_mode)
        differ("%s has mode %o instead of %o", what, above->st_mode, below->st_mode);
    else if (!S_ISDIR(below->st_mode) && above->st_size != below->st_size)
        differ("%s has size %lld instead of %lld", what, (long long)above->st_size, (long long)below->st_size);
    else if (above->st_mtim.tv_sec != below->st_mtim.tv_sec || above->st_mtim.tv_nsec != below->st_mtim.tv_nsec)
        differ("%s has another mtime", what);
    else if (links && !S_ISDIR(below->st_mode) && above->st_nlink != below->st_nlink)
        differ("%s has %lu links instead of %lu", what, (unsigned long)above->st_nlink, (unsigned long)below->st_nlink);
}

static void compare_name(const char *name) {
    struct stat above, below;
    int a = fstatat(merged, name, &above, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
    int b = fstatat(lower, name, &below, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
    if (a != b) {
        differ("%s: %s instead of %s", name, a ? strerror(a) : "there", b ? strerror(b) : "there");
        return;
    }
    if (a)
        return;
    compare_stat(name, &above, &below, true);
    char target[64] = "", wanted[64] = "", value[8];
    bool is_link = S_ISLNK(below.st_mode);
    if (is_link && (readlinkat(merged, name, target, 63) < 0 || readlinkat(lower, name, wanted, 63) < 0 || strcmp(target, wanted) != 0))
        differ("%s leads to '%s' instead of '%s'", name, target, wanted);
    int fd = S_ISREG(below.st_mode) ? openat(merged, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    int fd_below = S_ISREG(below.st_mode) ? openat(lower, name, O_RDONLY | O_CLOEXEC) : -1;
    if (!S_ISREG(below.st_mode))
        return;
    if (fd < 0) {
        differ("%s: open: %s", name, strerror(errno));
    } else {
        compare_text(name, fd, fd_below);
        if ((fgetxattr(fd, "user.changed", value, sizeof(value)) < 0) != (fgetxattr(fd_below, "user.changed", value, sizeof(value)) < 0))
            differ("%s has other xattrs", name);
        (void)close(fd);
    }
    (void)close(fd_below);
}

static void expect_text(const char *name, const char *wanted) {
    size_t size;
    int fd = openat(merged, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    const char *text = fd < 0 ? NULL : slurp(fd, &size);
    if (!text || size != strlen(wanted) || memcmp(text, wanted, size) != 0)
        differ("%s: %s", name, text ? "other bytes than those written here" : strerror(errno));
    if (fd >= 0)
        (void)close(fd);
}

static void expect_type(const char *name, mode_t type) {
    struct stat st;
    if (fstatat(merged, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        differ("%s: %s", name, strerror(errno));
    else if ((st.st_mode & S_IFMT) != type)
        differ("%s is of type %o instead of %o", name, st.st_mode & S_IFMT, type);
}

static void expect_absent(const char *name) {
    struct stat st;
    if (fstatat(merged, name, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
        differ("%s: %s instead of absent", name, errno == ENOENT ? "there" : strerror(errno));
}

static bool is_listed(int dir, const char *where, const char *name) {
    int fd = openat(dir, where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    bool found = false;
    for (struct dirent *entry; stream && (entry = readdir(stream));)
        found |= strcmp(entry->d_name, name) == 0;
    if (stream)
        (void)closedir(stream);
    return found;
}

/* Listings and names agree, whatever is expected. */
static void compare_listing(const char *where, const char *name, const char *path) {
    struct stat st;
    bool there = fstatat(merged, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (is_listed(merged, where, name) != there)
        differ("%s is %slisted", path, there ? "not " : "");
}

static bool has_dir(int dir, const char *name) {
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static void compare_f(void) {
    struct stat above, below;
    if (no_f)
        expect_absent("f");
    else if (own_f || own_mode)
        expect_text("f", own_f ? own_text : old_text);
    else
        compare_name("f");
    if (own_mode && (fstatat(merged, "f", &above, 0) < 0 || (above.st_mode & 07777) != 0640))
        differ("f has lost the mode that it was given here");
    if (!own_f && !own_mode && !no_f && fstatat(lower, "f", &below, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(below.st_mode))
        compare_name("f/y");
}

static void compare_held(enum fate fate) {
    struct stat above, below;
    if (held < 0)
        return;
    if (fstat(held, &above) < 0 || fstat(held_below, &below) < 0) {
        differ("the descriptor: fstat: %s", strerror(errno));
        return;
    }
    compare_text("the descriptor", held, held_below);
    compare_stat("the descriptor", &above, &below, fate == IN_PLACE);
    size_t size = sizeof(old_text) - 1;
    if (mapped && below.st_size >= (off_t)size) {
        char wanted[sizeof(old_text)];
        must(pread(held_below, wanted, size, 0), "pread");
        if (memcmp(mapped, wanted, size) != 0)
            differ("the mapping shows '%.*s' instead of '%.*s'", (int)size, mapped, (int)size, wanted);
    }
}

/* In a directory of ours everything of the lower one is seen, and what is ours. */
static void compare_d(void) {
    if (own_d)
        expect_type("d", S_IFDIR);
    else
        compare_name("d");
    if (own_in_d)
        expect_text("d/own", own_text);
    if (has_dir(lower, "d") || !own_d) {
        compare_name("d/x");
        compare_name("d/y");
        compare_name("d/f");
    } else {
        expect_absent("d/x");
        expect_absent("d/y");
    }
    if (has_dir(merged, "d")) {
        compare_listing("d", "x", "d/x");
        compare_listing("d", "y", "d/y");
    }
}

static void compare_n(bool own_n) {
    if (own_n) {
        expect_type("n", S_IFDIR);
        expect_text("n/own", own_text);
    } else {
        compare_name("n");
    }
    if (has_dir(lower, "n")) {
        compare_name("n/x");
        compare_name("n/y");
    } else if (own_n) {
        expect_absent("n/x");
        expect_absent("n/y");
    }
    if (own_n || has_dir(lower, "n"))
        compare_listing("n", "y", "n/y");
}

static bool as_expected(const struct change *change, const struct state *state) {
    *difference = '\0';
    compare_held(change->fate);
    compare_f();
    compare_d();
    compare_n(state->prepare == appeared_above);
    compare_name("f~");
    static const char *const names[] = { "f", "d", "n", "f~" };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        compare_listing(".", names[i], names[i]);
    return !*difference;
}

static void barrier(void) {
    char text[256];
    must(fgetxattr(root, "user.snapctl.sync", text, sizeof(text)), "the barrier");
}

static void let_go(void) {
    if (mapped)
        must(munmap((void *)(unsigned long)mapped, sizeof(old_text) - 1), "munmap");
    if (held >= 0)
        must(close(held) | close(held_below), "close");
    held = held_below = -1;
    mapped = NULL;
    own_f = no_f = own_d = own_mode = own_in_d = false;
    must(close(lower) | close(merged), "close");
}

static int enter(int dir, const char *name) {
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(fd, name);
    return fd;
}

static double now(void) {
    struct timespec time;
    must(clock_gettime(CLOCK_MONOTONIC, &time), "clock_gettime");
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* true = as it should be. */
static bool run(int below, const struct change *change, const struct state *state, bool with_barrier) {
    static unsigned number;
    char name[32];
    (void)snprintf(name, sizeof(name), "case%u", number++);
    must(mkdirat(below, name, 0755), name);
    lower = enter(below, name);
    put(lower, "f", old_text, 0);
    must(mkdirat(lower, "d", 0755), "d");
    put(lower, "d/x", old_text, 0);
    barrier();
    merged = enter(root, name);
    state->prepare();
    change->perform();
    if (with_barrier)
        barrier();
    double until = now() + PATIENCE_S;
    bool right = as_expected(change, state);
    while (!right && !with_barrier && now() < until)
        right = as_expected(change, state);
    if (!right)
        printf("failed: %s, %s%s: %s\n", change->name, state->name, with_barrier ? "" : ", without a barrier", difference);
    let_go();
    return right;
}

int main(int argc, char *argv[]) {
    unsigned passed = 0, failed = 0;
    if (argc != 3) {
        (void)fprintf(stderr, "usage: follow_table LOWER MERGED\n");
        return 2;
    }
    int below = enter(AT_FDCWD, argv[1]);
    root = enter(AT_FDCWD, argv[2]);
    for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++)
        for (size_t j = 0; j < sizeof(states) / sizeof(*states); j++)
            for (int with = 0; with < 2; with++)
                *(run(below, &changes[i], &states[j], with) ? &passed : &failed) += 1;
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0;
}
