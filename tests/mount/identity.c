/* Random work in a mount, with a model that knows who is who: numbers, link counts, content and handles of objects stay theirs over
 * copy-up, renames, links, emptied caches, other mounts and a killed server. The mount is looked at in every way there is: stat, open
 * descriptors, listings with and without attributes, file handles.
 *
 * usage: identity DIR SEED STEPS     REMOUNT, KILL: commands that mount DIR again, the second after killing who served it
 * TAKE: one that takes a snapshot in it, while it is in use
 * HANDLES=1: file handles, too, which takes root. SPDX-License-Identifier: GPL-2.0-or-later */
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MANY = 160, CHECK_EVERY = 40, FORGET_EVERY = 150, TAKE_EVERY = 170, REMOUNT_EVERY = 200 };

/* What is done at random. Each says whether it ought to succeed, does it, and tells the model. */

static void make(void) {
    char path[PATH_ROOM];
    int dir = some_dir(), object, kind = (int)pick(6);
    static const mode_t modes[] = { S_IFDIR | 0755, S_IFLNK | 0777, S_IFIFO | 0644, S_IFSOCK | 0644, S_IFREG | 0644, S_IFREG | 0644 };
    const char *name = fresh_name();
    bool free = find_name(dir, name) < 0;
    path_of(dir, name, path);
    int r = kind == 0 ? mkdirat(root, path, 0755) : kind == 1 ? symlinkat(name, root, path) : kind < 4 ? mknodat(root, path, modes[kind], 0) : -1;
    if (kind > 3 && (r = openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) >= 0)
        (void)close(r);
    expect(free, r, "make %s, kind %d", path, kind);
    if (r < 0)
        return;
    object = new_object(modes[kind], dir, name);
    if (kind == 1)
        set_data(object, name, strlen(name));
    learn_number(object, path);
}

static void append(void) {
    char path[PATH_ROOM], text[40];
    int name = some_name();
    if (name < 0 || !S_ISREG(objects[names[name].object].mode))
        return;
    name_path(name, path);
    int fd = openat(root, path, O_WRONLY | O_APPEND | O_CLOEXEC);
    expect(true, fd, "open %s to append", path);
    append_to(names[name].object, fd, text);
    (void)close(fd);
}

static void change_mode(void) {
    char path[PATH_ROOM];
    int name = some_name();
    if (name < 0 || S_ISLNK(objects[names[name].object].mode))
        return;
    struct object *object = &objects[names[name].object];
    mode_t mode = (object->mode & S_IFMT) | 0700 | (mode_t)pick(64);
    name_path(name, path);
    expect(true, fchmodat(root, path, mode & 07777, 0), "chmod %o %s", mode & 07777, path);
    object->mode = mode;
}

static void add_link(void) {
    char from[PATH_ROOM], to[PATH_ROOM];
    int name = some_name(), dir = some_dir();
    const char *fresh = fresh_name();
    if (name < 0)
        return;
    bool right = !S_ISDIR(objects[names[name].object].mode) && find_name(dir, fresh) < 0;
    name_path(name, from);
    path_of(dir, fresh, to);
    int r = linkat(root, from, root, to, 0);
    expect(right, r, "link %s %s", from, to);
    if (r >= 0)
        add_name(dir, fresh, names[name].object);
}

static void take_away(void) {
    char path[PATH_ROOM];
    int name = some_name();
    if (name < 0)
        return;
    int object = names[name].object;
    bool is_dir = S_ISDIR(objects[object].mode);
    name_path(name, path);
    int r = unlinkat(root, path, is_dir ? AT_REMOVEDIR : 0);
    expect(!is_dir || is_empty(object), r, "remove %s", path);
    if (r >= 0)
        drop_name(name);
}

/* Files are often replaced at once, so that inode numbers are used again. */
static void replace(void) {
    char path[PATH_ROOM];
    int name = some_name();
    if (name < 0 || S_ISDIR(objects[names[name].object].mode))
        return;
    int dir = names[name].dir;
    char again[NAME_ROOM];
    strcpy(again, names[name].name);
    name_path(name, path);
    expect(true, unlinkat(root, path, 0), "remove %s to replace it", path);
    drop_name(name);
    int fd = openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    expect(true, fd, "make %s again", path);
    (void)close(fd);
    learn_number(new_object(S_IFREG | 0644, dir, again), path);
}

static bool may_rename(int from, int dir, int to, bool exchange) {
    int object = names[from].object;
    bool is_dir = S_ISDIR(objects[object].mode);
    if ((is_dir && is_within(dir, object)) || (exchange && to < 0))
        return false;
    if (to < 0)
        return true;
    int other = names[to].object;
    bool other_is_dir = S_ISDIR(objects[other].mode);
    if (object == other)
        return true;
    if (other_is_dir && is_within(names[from].dir, other))
        return false;
    return exchange || (is_dir == other_is_dir && (!other_is_dir || is_empty(other)));
}

static void move(bool exchange) {
    char from_path[PATH_ROOM], to_path[PATH_ROOM], fresh[NAME_ROOM];
    int from = some_name(), dir = some_dir();
    strcpy(fresh, fresh_name());
    int to = find_name(dir, fresh);
    if (from < 0)
        return;
    if (pick(2) && (to = some_name()) >= 0) {
        dir = names[to].dir;
        strcpy(fresh, names[to].name);
    }
    bool right = may_rename(from, dir, to, exchange);
    name_path(from, from_path);
    path_of(dir, fresh, to_path);
    int r = renameat2(root, from_path, root, to_path, exchange ? RENAME_EXCHANGE : 0);
    expect(right, r, "%s %s %s", exchange ? "exchange" : "rename", from_path, to_path);
    if (r >= 0 && (to < 0 || names[from].object != names[to].object))
        move_name(from, dir, fresh, to, exchange);
}

/* Descriptors that stay open over everything but another mount. */
static void hold(void) {
    char path[PATH_ROOM];
    int name = some_name();
    struct held *slot = &held[pick(HELD)];
    if (slot->fd >= 0)
        (void)close(slot->fd);
    slot->fd = -1;
    if (name < 0 || !S_ISREG(objects[names[name].object].mode))
        return;
    name_path(name, path);
    *slot = (struct held){ .object = names[name].object, .writing = pick(2) };
    slot->fd = openat(root, path, (slot->writing ? O_RDWR | O_APPEND : O_RDONLY) | O_CLOEXEC);
    expect(true, slot->fd, "open %s for %s", path, slot->writing ? "writing" : "reading");
}

static void use_held(void) {
    char text[40];
    struct held *slot = &held[pick(HELD)];
    if (slot->fd >= 0 && slot->writing)
        append_to(slot->object, slot->fd, text);
}

static void one_step(void) {
    unsigned what = pick(name_count > MANY ? 30 : 24);
    switch (what) {
    case 0: case 1: case 2: case 3: make(); break;
    case 4: case 5: case 6: append(); break;
    case 7: case 8: change_mode(); break;
    case 9: case 10: add_link(); break;
    case 11: case 12: move(true); break;
    case 13: case 14: case 15: case 16: move(false); break;
    case 17: replace(); break;
    case 18: hold(); break;
    case 19: use_held(); break;
    case 20: handles_take(); break;
    case 21: handles_use(); break;
    default: take_away(); break;
    }
}

/* Everything is looked at. */

static void look_at_name(int at) {
    char path[PATH_ROOM];
    struct stat stat;
    const struct name *name = &names[at];
    name_path(at, path);
    expect(true, fstatat(root, path, &stat, AT_SYMLINK_NOFOLLOW), "stat %s", path);
    same_object(name->object, &stat, path);
    if (S_ISREG(stat.st_mode) || S_ISLNK(stat.st_mode))
        same_data(name->object, path);
}

static void look_at_all(void) {
    looking = true;
    for (int i = 0; i < object_count; i++)
        if (objects[i].alive && S_ISDIR(objects[i].mode)) {
            same_listing(i, 64 << 10);
            same_listing(i, 300);      /* what follows the first piece comes without attributes */
        }
    for (int i = 0; i < name_count; i++)
        look_at_name(i);
    for (int i = 0; i < HELD; i++)
        if (held[i].fd >= 0)
            same_held(&held[i]);
    handles_check();
    looking = false;
}

static void forget(void) {
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    say("caches are emptied");
    if (fd < 0)
        return;
    ssize_t put = write(fd, "2", 1);
    expect(true, (int)put, "empty the caches");
    (void)close(fd);
}

static void again(const char *how) {
    char path[PATH_ROOM];
    const char *command = getenv(how);
    if (!command)
        return;
    for (int i = 0; i < name_count; i++)                         /* what was not synchronised may be lost with who served it */
        if (objects[names[i].object].dirty) {
            name_path(i, path);
            int fd = openat(root, path, O_RDONLY | O_CLOEXEC);
            expect(true, fd < 0 ? fd : fsync(fd), "fsync %s", path);
            (void)close(fd);
            objects[names[i].object].dirty = false;
        }
    expect(true, syncfs(root), "syncfs");
    close_all();
    say("%s", how);
    expect(true, system(command) == 0 ? 0 : -1, "%s", command);
    open_root();
    look_at_all();
}

static void take(void) {
    const char *command = getenv("TAKE");
    if (!command)
        return;
    say("TAKE");
    expect(true, system(command) == 0 ? 0 : -1, "%s", command);
    look_at_all();
}

int main(int argc, char *argv[]) {
    if (argc != 4) {
        (void)fprintf(stderr, "usage: identity DIR SEED STEPS\n");
        return 2;
    }
    unsigned long steps = strtoul(argv[3], NULL, 10);
    begin(argv[1], strtoull(argv[2], NULL, 10));
    (void)umask(0);
    looking = true;
    read_tree();
    look_at_all();
    for (step = 1; step <= steps; step++) {
        one_step();
        if (step % FORGET_EVERY == 0)
            forget();
        if (step % CHECK_EVERY == 0)
            look_at_all();
        if (step % TAKE_EVERY == 0)
            take();
        if (step % REMOUNT_EVERY == 0)
            again(step / REMOUNT_EVERY % 3 == 2 ? "KILL" : "REMOUNT");
    }
    again("REMOUNT");
    close_all();
    return 0;
}
