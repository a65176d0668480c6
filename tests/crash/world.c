/* Sandboxes, scenes and what must hold after any of them.
 * Knows the store's layout as snapctl-store(5) tells it, no code of the program. SPDX-License-Identifier: GPL-2.0-or-later */
#include "world.h"

#include "cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

enum { LONG_AGO = 1000000000, RECENT = 1500000000 };
#define _run_ _cleanup_(run_done)

static void give_up(const char *what, const struct run *run) {
    fprintf(stderr, "the scene cannot be set: %s\n%s%s", what, run ? run->out : "", run ? run->err : "");
    exit(2);
}

int world_open(struct world *ret, const char *program, const char *parent, FILE *report) {
    *ret = (struct world){ .report = report };
    return box_open(&ret->box, program, parent);
}

void world_close(struct world *world) {
    for (size_t i = 0; i < world->count; i++)
        listing_free(world->kept[i].listing);
    world->count = 0;
    box_remove(&world->box);
}

bool world_say(struct world *world, const struct run *run, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vfprintf(world->report, format, list);
    va_end(list);
    fputc('\n', world->report);
    if (run)
        fprintf(world->report, "  exit code %d\n  stdout: %.1500s\n  stderr: %.1500s\n", run->code, run->out, run->err);
    return false;
}

void world_must(struct world *world, ...) {
    const char *words[RUN_WORDS + 1] = { NULL };
    _run_ struct run run = {0};
    va_list list;
    va_start(list, world);
    for (size_t i = 0; i < RUN_WORDS && (words[i] = va_arg(list, const char *)); i++)
        ;
    va_end(list);
    run_words(&run, &world->box, NULL, words);
    if (run.code)
        give_up(words[0], &run);
}

void world_take(struct world *world, const char *option) {
    _run_ struct run run = {0};
    run_program(&run, &world->box, "--json", "take", option, NULL);
    int64_t number = json_int(run.out, "number");
    if (run.code || number < 1 || world->count == KEPT_MAX)
        give_up("take", &run);
    struct listing *listing = listing_read_path(world->box.project);
    if (!listing)
        give_up("listing", NULL);
    world->kept[world->count++] = (struct kept){ number, listing };
}

/* Planting. The working directory of these is the project. */

void set_old_times(int dirfd, const char *name, time_t base) {
    struct stat stat;
    if (fstatat(dirfd, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        give_up(name, NULL);
    int fd = S_ISDIR(stat.st_mode) ? openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    _closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            set_old_times(fd, entry->d_name, base);
    }
    if (stat.st_mtim.tv_sec < RECENT)
        return;
    unsigned mix = 0;
    const char *slash = strrchr(name, '/');
    for (const char *at = slash ? slash : name; *at; at++)
        mix = mix * 31 + (unsigned char)*at;
    struct timespec times[2] = { { base, 0 }, { base + mix % 1000, mix % 1000000 } };
    if (utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        give_up(name, NULL);
}

static void put(struct world *world, const char *path, const char *content, size_t size) {
    _close_ int fd = openat(world->box.project_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, content, size) != (ssize_t)size)
        give_up(path, NULL);
}

static void put_text(struct world *world, const char *path, const char *text) {
    put(world, path, text, strlen(text));
}

static void check(int result, const char *what) {
    if (result < 0)
        give_up(what, NULL);
}

static void set_xattr(struct world *world, const char *path, const char *name, const char *value) {
    char full[PATH_MAX];
    snprintf(full, sizeof(full), "%s/%s", world->box.project, path);
    if (setxattr(full, name, value, strlen(value), 0) < 0 && errno != EOPNOTSUPP)
        give_up(name, NULL);
}

static void settle(struct world *world, time_t base) {
    set_old_times(AT_FDCWD, world->box.project, base);
    set_old_times(AT_FDCWD, world->box.out, base);
}

static void plant(struct world *world) {
    int fd = world->box.project_fd;
    char block[20000];
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)('a' + i * i % 23);
    put_text(world, "a.txt", "alpha\n");
    put(world, "b.bin", block, sizeof(block));
    check(mkdirat(fd, "sub", 0755), "mkdir");
    check(mkdirat(fd, "sub/deep", 0750), "mkdir");
    check(mkdirat(fd, "empty", 0700), "mkdir");
    put_text(world, "sub/c.txt", "gamma\n");
    put_text(world, "sub/deep/d.txt", "delta\n");
    put_text(world, "sub/deep/odd\nname", "odd\n");
    put_text(world, "one", "linked\n");
    check(linkat(fd, "one", fd, "sub/two", 0), "link");
    check(symlinkat("a.txt", fd, "pointer"), "symlink");
    check(mknodat(fd, "pipe", S_IFIFO | 0600, 0), "mkfifo");
    put_text(world, "run.sh", "#!/bin/sh\n");
    check(fchmodat(fd, "run.sh", 0755, 0), "chmod");
    set_xattr(world, "a.txt", "user.colour", "red");
    _close_ int sparse = openat(fd, "sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    check(sparse, "sparse");
    check(ftruncate(sparse, 3 << 20), "sparse");
    check((int)pwrite(sparse, "middle", 6, 1 << 20), "sparse");
    settle(world, LONG_AGO);
}

/* One of each: content, new, gone, moved directory, types both ways, links made and broken, mode, target, xattr. */
static void change(struct world *world) {
    int fd = world->box.project_fd;
    put_text(world, "a.txt", "alpha, changed\n");
    set_xattr(world, "a.txt", "user.colour", "blue");
    check(unlinkat(fd, "b.bin", 0), "unlink");
    put_text(world, "new.txt", "new\n");
    check(mkdirat(fd, "newdir", 0755), "mkdir");
    put_text(world, "newdir/n.txt", "in a new directory\n");
    check(renameat(fd, "sub/deep", fd, "moved"), "rename");
    put_text(world, "moved/d.txt", "delta, moved and changed\n");
    check(unlinkat(fd, "empty", AT_REMOVEDIR), "rmdir");
    put_text(world, "empty", "a file now\n");
    check(unlinkat(fd, "pipe", 0), "unlink");
    check(mkdirat(fd, "pipe", 0755), "mkdir");
    put_text(world, "pipe/inside", "a directory now\n");
    check(unlinkat(fd, "sub/two", 0), "unlink");
    put_text(world, "sub/two", "linked\n");
    check(linkat(fd, "sub/c.txt", fd, "three", 0), "link");
    check(unlinkat(fd, "pointer", 0), "unlink");
    check(symlinkat("new.txt", fd, "pointer"), "symlink");
    check(fchmodat(fd, "run.sh", 0700, 0), "chmod");
    settle(world, LONG_AGO + 5000);
}

static void change_metadata(struct world *world) {
    int fd = world->box.project_fd;
    check(fchmodat(fd, "run.sh", 0644, 0), "chmod");
    check(fchmodat(fd, "sub", 0700, 0), "chmod");
    set_xattr(world, "a.txt", "user.colour", "green");
    struct timespec times[2] = { { 1, 0 }, { LONG_AGO + 77, 7 } };
    check(utimensat(fd, "sub/c.txt", times, 0), "utimes");
}

/* A btrfs subvolume with a bit of everything in it, beside the rest. */
static void plant_subvolume(struct world *world) {
    int fd = world->box.project_fd;
    struct btrfs_ioctl_vol_args named = { .name = "vol" };
    plant(world);
    check(mkdirat(fd, "was", 0755), "mkdir");
    check(mkdirat(fd, "was/dir", 0755), "mkdir");
    put_text(world, "was/f.txt", "in a directory\n");
    put_text(world, "was/dir/f.txt", "below a directory\n");
    check(ioctl(fd, BTRFS_IOC_SUBVOL_CREATE, &named), "subvolume");
    check(mkdirat(fd, "vol/dir", 0755), "mkdir");
    check(mkdirat(fd, "vol/dir/deep", 0750), "mkdir");
    put_text(world, "vol/v.txt", "vol\n");
    put_text(world, "vol/gone.txt", "gone\n");
    put_text(world, "vol/dir/in.txt", "in\n");
    put_text(world, "vol/dir/deep/far.txt", "far\n");
    check(linkat(fd, "vol/v.txt", fd, "vol/dir/link", 0), "link");
    settle(world, LONG_AGO);
}

static void change_subvolume(struct world *world) {
    int fd = world->box.project_fd;
    struct btrfs_ioctl_vol_args named = { .name = "was" };
    change(world);
    check(remove_tree(fd, "was"), "remove");
    check(ioctl(fd, BTRFS_IOC_SUBVOL_CREATE, &named), "subvolume");
    put_text(world, "was/f.txt", "in a subvolume\n");
    put_text(world, "was/dir", "a file\n");
    put_text(world, "vol/v.txt", "vol, changed\n");
    check(unlinkat(fd, "vol/gone.txt", 0), "unlink");
    check(renameat(fd, "vol/dir/deep", fd, "vol/gone.txt"), "rename");
    put_text(world, "vol/gone.txt/far.txt", "far, moved and changed\n");
    check(mkdirat(fd, "vol/newdir", 0755), "mkdir");
    put_text(world, "vol/newdir/n.txt", "new in a subvolume\n");
    check(unlinkat(fd, "vol/dir/in.txt", 0), "unlink");
    check(symlinkat("link", fd, "vol/dir/in.txt"), "symlink");
    settle(world, LONG_AGO + 5000);
}

static void subvolume_changed(struct world *world) {
    plant_subvolume(world);
    world_take(world, NULL);
    change_subvolume(world);
    world_take(world, NULL);
}

static void subvolume_rolled_back(struct world *world) { subvolume_changed(world); world_must(world, "rollback", "1", NULL); }
static void before_first(struct world *world) { plant(world); }
static void one_snapshot(struct world *world) { plant(world); world_take(world, NULL); }
static void one_and_changes(struct world *world) { one_snapshot(world); change(world); }
static void two_snapshots(struct world *world) { one_and_changes(world); world_take(world, NULL); }
static void metadata_changed(struct world *world) { one_snapshot(world); change_metadata(world); }
static void rolled_back(struct world *world) { two_snapshots(world); world_must(world, "rollback", "1", NULL); }
static void undone(struct world *world) { rolled_back(world); world_must(world, "undo", NULL); }

/* An archive of snapshot 1, beside a project that has changed since. */
static void archive_outside(struct world *world) {
    char path[PATH_MAX];
    one_snapshot(world);
    snprintf(path, sizeof(path), "%s/archive.tar.gz", world->box.out);
    world_must(world, "export", "1", "-o", path, NULL);
    change(world);
    settle(world, LONG_AGO + 7000);
}

static void changed_since(struct world *world) {
    rolled_back(world);
    put_text(world, "a.txt", "alpha, by somebody else\n");
    settle(world, LONG_AGO + 7000);
}

static void named(struct world *world) { two_snapshots(world); world_must(world, "tag", "1", "name", NULL); }

/* Everything as it was, but for times of change: it is read, and nothing else comes of it than records. */
static void touched(struct world *world) {
    one_snapshot(world);
    check(fchmodat(world->box.project_fd, "a.txt", 0600, 0), "chmod");
    check(fchmodat(world->box.project_fd, "a.txt", 0644, 0), "chmod");
}

/* Another directory of the same name, in place of the project. */
static void replaced(struct world *world) {
    _free_ char *was = NULL;
    one_snapshot(world);
    if (asprintf(&was, "%s/was", world->box.base) < 0)
        give_up("memory", NULL);
    check(rename(world->box.project, was), "rename");
    check(mkdir(world->box.project, 0755), "mkdir");
    fd_close(world->box.project_fd);
    world->box.project_fd = open(world->box.project, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(world->box.project_fd, "open");
    plant(world);
    change(world);
}

/* The world need not keep this one any more. */
static void forget(struct world *world, int64_t number) {
    for (size_t i = 0; i < world->count; i++) {
        if (world->kept[i].number != number)
            continue;
        listing_free(world->kept[i].listing);
        memmove(&world->kept[i], &world->kept[i + 1], (--world->count - i) * sizeof(*world->kept));
    }
}

static void three_snapshots(struct world *world) {
    two_snapshots(world);
    put_text(world, "a.txt", "alpha, changed again\n");
    check(unlinkat(world->box.project_fd, "new.txt", 0), "unlink");
    check(renameat(world->box.project_fd, "moved", world->box.project_fd, "newdir/moved"), "rename");
    settle(world, LONG_AGO + 7000);
    world_take(world, NULL);
}

static void middle_of_three(struct world *world) { three_snapshots(world); forget(world, 2); }
static void middle_removed(struct world *world) { middle_of_three(world); world_must(world, "rm", "2", NULL); }
static void last_removed(struct world *world) { three_snapshots(world); forget(world, 3); world_must(world, "rm", "3", NULL); }

static void tree_outside(struct world *world) {
    two_snapshots(world);
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/dest", world->box.out);
    check(mkdir(path, 0755), "mkdir");
    snprintf(path, sizeof(path), "%s/dest/mine", world->box.out);
    _close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    check((int)write(fd, "mine\n", 5), "write");
    settle(world, LONG_AGO + 9000);
}

static void file_outside(struct world *world) {
    char path[PATH_MAX];
    two_snapshots(world);
    snprintf(path, sizeof(path), "%s/file", world->box.out);
    _close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    check((int)write(fd, "mine\n", 5), "write");
    settle(world, LONG_AGO + 9000);
}

static void restored_over(struct world *world) {
    char dest[PATH_MAX];
    tree_outside(world);
    snprintf(dest, sizeof(dest), "%s/dest", world->box.out);
    world_must(world, "restore", "--overwrite", "1:sub", dest, NULL);
    settle(world, LONG_AGO + 10000);
}

static void restore_undone(struct world *world) {
    restored_over(world);
    world_must(world, "undo", NULL);
    settle(world, LONG_AGO + 11000);
}

/* A workspace that is not mounted any more, with changes of most kinds, and one in the project since. */
static void workspace_changed(struct world *world) {
    char dir[PATH_MAX];
    int project = world->box.project_fd;
    one_snapshot(world);
    snprintf(dir, sizeof(dir), "%s/try", world->box.out);
    check(mkdir(dir, 0755), "mkdir");
    world_must(world, "workspace", "add", "--from", "1", "try", dir, NULL);
    int fd = world->box.project_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(fd, "open");
    put_text(world, "a.txt", "alpha, changed\n");
    check(unlinkat(fd, "b.bin", 0), "unlink");
    check(mkdirat(fd, "newdir", 0755), "mkdir");
    put_text(world, "newdir/n.txt", "in a new directory\n");
    check(renameat(fd, "sub/deep", fd, "moved"), "rename");
    put_text(world, "moved/d.txt", "delta, moved and changed\n");
    check(unlinkat(fd, "empty", AT_REMOVEDIR), "rmdir");
    put_text(world, "empty", "a file now\n");
    check(unlinkat(fd, "pointer", 0), "unlink");
    check(symlinkat("new.txt", fd, "pointer"), "symlink");
    check(fchmodat(fd, "run.sh", 0700, 0), "chmod");
    set_old_times(fd, ".", LONG_AGO + 5000);
    check(close(fd), "close");
    world->box.project_fd = project;
    world_must(world, "umount", dir, NULL);
    put_text(world, "mine.txt", "of the project\n");
    settle(world, LONG_AGO + 7000);
}

/* A row that the layers know is gone from the index. */
static void index_damaged(struct world *world) {
    two_snapshots(world);
    _free_ char *said = world_sql(world, "DELETE FROM dir WHERE id = (SELECT max(id) FROM dir)");
    if (!said)
        give_up("damage", NULL);
}

/* What the index knows is gone from a layer, and so is what the project still has. */
static void layer_damaged(struct world *world) {
    one_snapshot(world);
    _free_ char *store = world_store(world), *manifest = NULL, *tree = NULL;
    if (!store || asprintf(&manifest, "%s/layers/1/manifest", store) < 0 || asprintf(&tree, "%s/layers/1/tree", store) < 0)
        give_up("damage", NULL);
    check(unlink(manifest), "unlink");
    check(remove_tree(AT_FDCWD, tree), "remove");
}

const struct scene scenes[] = {
    { "init", before_first, { "init" }, .no_project = true, .sweeps = true },
    { "init-adopt", replaced, { "init", "--adopt" }, .no_project = true, .again = true, .sweeps = true },
    { "first-take", before_first, { "take", "-m", "first" }, .no_project = true, .sweeps = true },
    { "take", one_and_changes, { "take", "-m", "second" }, .sweeps = true },
    { "take-no-sync", one_and_changes, { "take", "--no-sync" }, .sweeps = true },
    { "take-unchanged", one_snapshot, { "take" } },
    { "take-if-changed", touched, { "take", "--if-changed" } },
    { "rollback", two_snapshots, { "rollback", "1" }, .undoable = true, .sweeps = true },
    { "rollback-dirty", one_and_changes, { "rollback", "1" }, .undoable = true, .sweeps = true },
    { "rollback-metadata", metadata_changed, { "rollback" }, .undoable = true, .sweeps = true },
    { "rollback-part", two_snapshots, { "rollback", "1", "--", "sub", "b.bin", "moved" }, .undoable = true },
    { "undo", rolled_back, { "undo" }, .sweeps = true },
    { "undo-forced", changed_since, { "undo", "--force" }, .sweeps = true },
    { "undo-tag", named, { "undo" } },
    { "redo", undone, { "redo" }, .undoable = true, .sweeps = true },
    { "restore-out", two_snapshots, { "restore", "1:", "OUT/dest" }, .undoable = true, .sweeps = true },
    { "restore-over", tree_outside, { "restore", "--overwrite", "1:sub", "OUT/dest" }, .undoable = true, .sweeps = true },
    { "restore-inside", two_snapshots, { "restore", "1:sub/deep", "again" }, .undoable = true, .touches_root = true },
    { "restore-inside-over", two_snapshots, { "restore", "--overwrite", "1:sub/deep", "newdir" }, .undoable = true,
      .sweeps = true, .touches_root = true },
    { "restore-file", two_snapshots, { "restore", "1:sub/c.txt", "OUT/file" }, .undoable = true },
    { "restore-file-over", file_outside, { "restore", "--overwrite", "1:sub/c.txt", "OUT/file" }, .undoable = true },
    { "undo-restore", restored_over, { "undo" }, .sweeps = true },
    { "redo-restore", restore_undone, { "redo" }, .undoable = true },
    { "rollback-subvolume", subvolume_changed, { "rollback", "1" }, .undoable = true, .subvolumes = { "vol", "was" } },
    { "undo-subvolume", subvolume_rolled_back, { "undo" }, .subvolumes = { "vol", "was" } },
    { "apply", workspace_changed, { "apply", "try" }, .undoable = true, .mounts = true },
    { "import", archive_outside, { "import", "OUT/archive.tar.gz" }, .sweeps = true },
    { "tag", two_snapshots, { "tag", "1", "name" }, .undoable = true, .sweeps = true },
    { "tag-away", named, { "tag", "1", "" }, .undoable = true },
    { "repair-index", index_damaged, { "verify", "--repair" }, .repairs = true },
    { "repair-layer", layer_damaged, { "verify", "--repair" }, .repairs = true },
    { "rm", middle_of_three, { "rm", "2" }, .sweeps = true },
    { "undo-rm", middle_removed, { "undo" }, .sweeps = true },
    { "prune", middle_of_three, { "prune", "--keep-last", "1", "--keep-yearly", "2" }, .sweeps = true },
    { "gc-middle", middle_removed, { "gc", "--now" }, .sweeps = true },
    { "gc-last", last_removed, { "gc", "--now" }, .sweeps = true },
    { "gc-safety", rolled_back, { "gc", "--now" }, .sweeps = true },
    { "gc-restored", restored_over, { "gc", "--now" }, .sweeps = true },
    { .name = NULL },
};

char *const *world_words(struct world *world, const struct scene *scene) {
    static char texts[WORDS_MAX][PATH_MAX];
    static char *words[WORDS_MAX + 2];
    size_t count = 0;
    words[count++] = world->box.program;
    for (size_t i = 0; i < WORDS_MAX && scene->words[i]; i++) {
        bool out = !strncmp(scene->words[i], "OUT/", 4);
        snprintf(texts[i], PATH_MAX, "%s%s", out ? world->box.out : "", scene->words[i] + (out ? 3 : 0));
        words[count++] = texts[i];
    }
    words[count] = NULL;
    return words;
}

/* States. */

struct state state_now(const struct world *world) {
    struct state state = { listing_read_path(world->box.project), listing_read_path(world->box.out) };
    if (!state.project || !state.out)
        give_up("listing", NULL);
    return state;
}

void state_done(struct state *state) {
    state->project = listing_free(state->project);
    state->out = listing_free(state->out);
}

unsigned state_differs(const struct state *want, const struct state *have, unsigned leave_out, const char *const *times_of_some, FILE *out) {
    static const char *const out_itself[] = { "", NULL };
    return listing_differs(want->project, have->project, leave_out, times_of_some, out)
        + listing_differs(want->out, have->out, leave_out, out_itself, out);
}

/* The store. */

bool world_is_foreign(struct world *world, int64_t number) {
    char sql[80];
    snprintf(sql, sizeof(sql), "SELECT flags & 8 FROM snapshot WHERE id = %" PRId64, number);
    _free_ char *text = world_sql(world, sql);
    return text && !strcmp(text, "8\n");
}

char *world_store(const struct world *world) {
    _free_ char *above = NULL;
    if (asprintf(&above, "%s/snapctl", world->box.state) < 0)
        return NULL;
    _closedir_ DIR *dir = opendir(above);
    struct dirent *entry;
    char *found = NULL;
    while (dir && (entry = readdir(dir))) {
        _free_ char *database = NULL;
        if (entry->d_name[0] == '.' || asprintf(&database, "%s/%s/store.db", above, entry->d_name) < 0 || access(database, F_OK) < 0)
            continue;
        free(found);
        if (asprintf(&found, "%s/%s", above, entry->d_name) < 0)
            return NULL;
    }
    return found;
}

static int add_row(void *data, int columns, char **values, char **names) {
    (void)columns, (void)names;
    fprintf(data, "%s\n", values[0] ? values[0] : "");
    return 0;
}

char *world_sql(struct world *world, const char *sql) {
    _free_ char *store = world_store(world), *path = NULL;
    char *text = NULL, *message = NULL;
    size_t size;
    sqlite3 *db = NULL;
    if (!store || asprintf(&path, "%s/store.db", store) < 0)
        return NULL;
    FILE *out = open_memstream(&text, &size);
    int result = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_exec(db, sql, add_row, out, &message);
    (void)fclose(out);
    if (result != SQLITE_OK) {
        world_say(world, NULL, "the database: %s: %s", sql, message ? message : sqlite3_errmsg(db));
        free(text);
        text = NULL;
    }
    sqlite3_free(message);
    (void)sqlite3_close(db);
    return text;
}

static bool sql_gives(struct world *world, const char *sql, const char *want) {
    _free_ char *text = world_sql(world, sql);
    return text && (!strcmp(text, want) || world_say(world, NULL, "%s gives %s", sql, text));
}

static int visible(const struct dirent *entry) {
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static bool directory_is_empty(struct world *world, const char *path) {
    struct dirent **names = NULL;
    int count = scandir(path, &names, visible, alphasort);
    bool good = count == 0 || world_say(world, NULL, count < 0 ? "%s is not there: %s" : "%s is not empty: %s", path,
                                        count < 0 ? strerror(errno) : names[0]->d_name);
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return good;
}

static bool has_no_strays(struct world *world, const struct listing *listing, const char *where) {
    for (size_t i = 0; i < listing->count; i++) {
        const char *slash = strrchr(listing->nodes[i].path, '/'), *name = slash ? slash + 1 : listing->nodes[i].path;
        if (!strncmp(name, ".snapctl-", 9))
            return world_say(world, NULL, "a temporary name was left in the %s: %s", where, listing->nodes[i].path);
    }
    return true;
}

static int number_order(const struct dirent **a, const struct dirent **b) {
    long long x = atoll((*a)->d_name), y = atoll((*b)->d_name);
    return x < y ? -1 : x > y;
}

static bool layers_match(struct world *world, const char *store) {
    _free_ char *path = NULL, *want = world_sql(world, "SELECT layer FROM snapshot WHERE layer > 0 UNION SELECT layer FROM gone ORDER BY layer"), *have = NULL;
    size_t size;
    struct dirent **names = NULL;
    if (!want || asprintf(&path, "%s/layers", store) < 0)
        return false;
    FILE *out = open_memstream(&have, &size);
    int count = scandir(path, &names, visible, number_order);
    for (int i = 0; i < count; i++) {
        fprintf(out, "%s\n", names[i]->d_name);
        free(names[i]);
    }
    free(names);
    (void)fclose(out);
    return !strcmp(want, have) || world_say(world, NULL, "layers/ holds:\n%sthe snapshots name:\n%s", have, want);
}

static bool list_newer(struct world *world, int64_t ret_newer[KEPT_MAX]) {
    int64_t known = world->count ? world->kept[world->count - 1].number : 0;
    char sql[100];
    snprintf(sql, sizeof(sql), "SELECT id FROM snapshot WHERE id > %" PRId64 " AND flags & 4 = 0 ORDER BY id", known);
    _free_ char *text = world_sql(world, sql);
    size_t count = 0;
    char *rest = text;
    for (char *line; rest && (line = strsep(&rest, "\n")) && count < KEPT_MAX - 1;) {
        if (*line)
            ret_newer[count++] = atoll(line);
    }
    ret_newer[count] = 0;
    return text != NULL;
}

bool world_store_is_tidy(struct world *world, int64_t ret_newer[KEPT_MAX]) {
    _free_ char *store = world_store(world), *work = NULL;
    struct state now = state_now(world);
    bool good = has_no_strays(world, now.project, "project") && has_no_strays(world, now.out, "directory outside");
    state_done(&now);
    ret_newer[0] = 0;
    if (!good || !store)
        return good;
    if (asprintf(&work, "%s/work", store) < 0)
        return false;
    return sql_gives(world, "PRAGMA integrity_check", "ok\n") && sql_gives(world, "PRAGMA foreign_key_check", "")
        && sql_gives(world, "SELECT count(*) FROM operation WHERE state = 'begun'", "0\n")
        && sql_gives(world, "SELECT (SELECT count(*) FROM doomed) + (SELECT count(*) FROM stale)", "0\n")
        && directory_is_empty(world, work) && layers_match(world, store) && list_newer(world, ret_newer);
}

bool world_restores(struct world *world, int64_t number, const struct listing *want) {
    char spec[32], dest[PATH_MAX];
    _run_ struct run run = {0};
    snprintf(spec, sizeof(spec), "%" PRId64 ":", number);
    snprintf(dest, sizeof(dest), "%s/check", world->box.out);
    run_program(&run, &world->box, "restore", spec, dest, NULL);
    if (run.code)
        return world_say(world, &run, "snapshot %" PRId64 " cannot be restored", number);
    struct listing *have = listing_read_path(dest);
    if (!have)
        return world_say(world, &run, "snapshot %" PRId64 " was not restored", number);
    unsigned found = listing_differs(want, have, 0, NULL, world->report);
    listing_free(have);
    if (remove_tree(AT_FDCWD, dest) < 0)
        give_up("cannot remove a tree", NULL);
    return !found || world_say(world, NULL, "snapshot %" PRId64 " differs from what it was (above)", number);
}

bool world_all_restore(struct world *world) {
    for (size_t i = 0; i < world->count; i++) {
        if (!world_restores(world, world->kept[i].number, world->kept[i].listing))
            return false;
    }
    return true;
}
