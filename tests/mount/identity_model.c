/* The model, and the comparisons with it. SPDX-License-Identifier: GPL-2.0-or-later */
#include "identity.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LINES = 48, LINE = 256, DATA_MOST = 1 << 20 };

struct object objects[OBJECTS];
struct name names[NAMES];
struct held held[HELD];
int object_count, name_count, root = -1;
unsigned long step;
bool looking;

static const char *root_path;
static unsigned long long seed, state;
static char history[LINES][LINE];
static unsigned long said;

unsigned pick(unsigned below) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)((state >> 33) % below);
}

void begin(const char *dir, unsigned long long with_seed) {
    root_path = dir;
    seed = state = with_seed;
    (void)pick(2);
    for (int i = 0; i < HELD; i++)
        held[i].fd = -1;
    open_root();
}

/* Telling. */

__attribute__((format(printf, 2, 0))) static void note(const char *result, const char *format, va_list list) {
    char *line = history[said++ % LINES];
    int size = snprintf(line, LINE, "%lu: ", step);
    size += vsnprintf(line + size, (size_t)(LINE - size), format, list);
    if (size < LINE)
        (void)snprintf(line + size, (size_t)(LINE - size), "%s%s", *result ? ": " : "", result);
}

void say(const char *format, ...) {
    va_list list;
    va_start(list, format);
    note("", format, list);
    va_end(list);
}

void disagree(const char *format, ...) {
    va_list list;
    for (unsigned long i = said > LINES ? said - LINES : 0; i < said; i++)
        printf("  %s\n", history[i % LINES]);
    printf("seed %llu, step %lu: ", seed, step);
    va_start(list, format);
    (void)vprintf(format, list);
    va_end(list);
    printf("\n");
    exit(1);
}

void expect(bool success, int result, const char *format, ...) {
    char text[LINE];
    int error = errno;
    va_list list;
    va_start(list, format);
    if (!looking)
        note(result < 0 ? strerror(error) : "", format, list);
    va_end(list);
    va_start(list, format);
    (void)vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    if ((result >= 0) != success)
        disagree("%s: %s", text, result < 0 ? strerror(error) : "succeeded");
}

void open_root(void) {
    root = open(root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    expect(true, root, "open the root");
}

void close_all(void) {
    for (int i = 0; i < HELD; i++) {
        if (held[i].fd >= 0)
            (void)close(held[i].fd);
        held[i].fd = -1;
    }
    (void)close(root);
}

/* Names. */

int some_name(void) {
    return name_count ? (int)pick((unsigned)name_count) : -1;
}

int some_dir(void) {
    for (int i = 0; i < 40; i++) {
        int name = some_name();
        if (name >= 0 && S_ISDIR(objects[names[name].object].mode))
            return names[name].object;
    }
    return 0;
}

const char *fresh_name(void) {
    static char name[NAME_ROOM];
    (void)snprintf(name, sizeof(name), "%c%u", (char)('a' + pick(6)), pick(3));
    return name;
}

int find_name(int dir, const char *name) {
    for (int i = 0; i < name_count; i++)
        if (names[i].dir == dir && strcmp(names[i].name, name) == 0)
            return i;
    return -1;
}

static int name_of_dir(int dir) {
    int i = 0;
    while (names[i].object != dir)
        i++;
    return i;
}

void path_of(int dir, const char *name, char (ret)[PATH_ROOM]) {
    char rest[PATH_ROOM];
    (void)snprintf(ret, PATH_ROOM, "%s", name);
    while (dir != 0) {
        const struct name *above = &names[name_of_dir(dir)];
        memcpy(rest, ret, PATH_ROOM);
        if (snprintf(ret, PATH_ROOM, "%s/%s", above->name, rest) >= PATH_ROOM)
            disagree("the tree has become too deep");
        dir = above->dir;
    }
}

void name_path(int name, char (ret)[PATH_ROOM]) {
    path_of(names[name].dir, names[name].name, ret);
}

bool is_empty(int dir) {
    for (int i = 0; i < name_count; i++)
        if (names[i].dir == dir)
            return false;
    return true;
}

bool is_within(int dir, int ancestor) {
    while (dir != ancestor && dir != 0)
        dir = names[name_of_dir(dir)].dir;
    return dir == ancestor;
}

/* Changing the model. */

void add_name(int dir, const char *name, int object) {
    if (name_count == NAMES)
        disagree("more names than the model has room for");
    struct name *one = &names[name_count++];
    *one = (struct name){ .dir = dir, .object = object };
    (void)snprintf(one->name, sizeof(one->name), "%s", name);
    objects[object].links++;
}

int new_object(mode_t mode, int dir, const char *name) {
    if (object_count == OBJECTS)
        disagree("more objects than the model has room for");
    objects[object_count] = (struct object){ .mode = mode, .alive = true };
    if (name)
        add_name(dir, name, object_count);
    return object_count++;
}

void drop_name(int name) {
    struct object *object = &objects[names[name].object];
    if (--object->links == 0)
        object->alive = false;
    names[name] = names[--name_count];
}

void move_name(int from, int dir, const char *name, int to, bool exchange) {
    int moved = names[from].object;
    if (exchange) {
        names[from].object = names[to].object;
        names[to].object = moved;
        return;
    }
    names[from].dir = dir;
    (void)snprintf(names[from].name, NAME_ROOM, "%s", name);
    if (to >= 0)
        drop_name(to);
}

void set_data(int object, const char *data, size_t size) {
    free(objects[object].data);
    objects[object].data = malloc(size + 1);
    if (!objects[object].data)
        disagree("no memory");
    memcpy(objects[object].data, data, size);
    objects[object].size = size;
}

void append_to(int object, int fd, char (text)[40]) {
    struct object *to = &objects[object];
    int size = snprintf(text, 40, "%d at step %lu\n", object, step);
    expect(true, (int)write(fd, text, (size_t)size), "append to number %llu", (unsigned long long)to->number);
    to->data = realloc(to->data, to->size + (size_t)size);
    if (!to->data)
        disagree("no memory");
    memcpy(to->data + to->size, text, (size_t)size);
    to->size += (size_t)size;
    to->dirty = true;
}

/* Of something new: nobody else who is alive, or held, has it. */
void learn_number(int object, const char *path) {
    struct stat stat;
    expect(true, fstatat(root, path, &stat, AT_SYMLINK_NOFOLLOW), "stat %s", path);
    for (int i = 0; i < object_count; i++)
        if (i != object && objects[i].alive && objects[i].number == stat.st_ino)
            disagree("%s has the number of somebody else, %llu", path, (unsigned long long)stat.st_ino);
    for (int i = 0; i < HELD; i++)
        if (held[i].fd >= 0 && objects[held[i].object].number == stat.st_ino)
            disagree("%s has the number of what is still open, %llu", path, (unsigned long long)stat.st_ino);
    objects[object].number = stat.st_ino;
}

/* Reading what is there. */

static size_t read_data(const char *path, mode_t mode, char *room) {
    if (S_ISLNK(mode)) {
        ssize_t size = readlinkat(root, path, room, DATA_MOST);
        expect(true, (int)size, "readlink %s", path);
        return (size_t)size;
    }
    int fd = openat(root, path, O_RDONLY | O_CLOEXEC);
    expect(true, fd, "open %s", path);
    ssize_t size = pread(fd, room, DATA_MOST, 0);
    expect(true, (int)size, "read %s", path);
    (void)close(fd);
    return (size_t)size;
}

static int object_of_number(uint64_t number) {
    int i = 0;
    while (i < object_count && objects[i].number != number)
        i++;
    return i;
}

static void read_one(int dir, const char *name) {
    static char room[DATA_MOST];
    char path[PATH_ROOM];
    struct stat stat;
    path_of(dir, name, path);
    expect(true, fstatat(root, path, &stat, AT_SYMLINK_NOFOLLOW), "stat %s", path);
    int object = object_of_number(stat.st_ino);
    if (object < object_count) {
        add_name(dir, name, object);
        return;
    }
    object = new_object(stat.st_mode, dir, name);
    objects[object].number = stat.st_ino;
    if (S_ISREG(stat.st_mode) || S_ISLNK(stat.st_mode))
        set_data(object, room, read_data(path, stat.st_mode, room));
}

void read_tree(void) {
    struct stat stat;
    expect(true, fstat(root, &stat), "stat the root");
    objects[new_object(stat.st_mode, 0, NULL)].number = stat.st_ino;
    for (int dir = 0; dir < object_count; dir++) {
        char path[PATH_ROOM];
        if (!S_ISDIR(objects[dir].mode))
            continue;
        path_of(dir, ".", path);
        int fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *stream = fd < 0 ? NULL : fdopendir(fd);
        expect(true, stream ? 0 : -1, "list %s", path);
        for (struct dirent *entry; stream && (entry = readdir(stream));)
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                read_one(dir, entry->d_name);
        (void)closedir(stream);
    }
}

/* Comparing. */

void same_object(int object, const struct stat *stat, const char *where) {
    const struct object *want = &objects[object];
    if (stat->st_ino != want->number)
        disagree("%s has number %llu, had %llu", where, (unsigned long long)stat->st_ino, (unsigned long long)want->number);
    if (stat->st_mode != want->mode)
        disagree("%s has mode %o, not %o", where, stat->st_mode, want->mode);
    if (!S_ISDIR(stat->st_mode) && stat->st_nlink != want->links)
        disagree("%s has %lu links, not %u", where, (unsigned long)stat->st_nlink, want->links);
    if (S_ISREG(stat->st_mode) && (size_t)stat->st_size != want->size)
        disagree("%s has size %lld, not %zu", where, (long long)stat->st_size, want->size);
}

static void same_bytes(int object, const char *bytes, size_t size, const char *where) {
    if (size != objects[object].size || (size && memcmp(bytes, objects[object].data, size) != 0))
        disagree("%s has other content: '%.*s', not '%.*s'", where, (int)size, bytes, (int)objects[object].size, objects[object].data);
}

void same_data(int object, const char *path) {
    static char room[DATA_MOST];
    size_t size = read_data(path, objects[object].mode, room);
    same_bytes(object, room, size, path);
}

void same_content(int object, int fd, const char *where) {
    static char room[DATA_MOST];
    ssize_t size = pread(fd, room, sizeof(room), 0);
    expect(true, (int)size, "read %s", where);
    same_bytes(object, room, (size_t)size, where);
}

void same_held(const struct held *one) {
    struct stat stat;
    expect(true, fstat(one->fd, &stat), "stat an open file");
    same_object(one->object, &stat, "an open file");
    same_content(one->object, one->fd, "an open file");
}

/* What the kernel writes; the header that has it differs between C libraries. */
struct listed { uint64_t number; int64_t next; unsigned short size; unsigned char type; char name[]; };

static int same_entry(int dir, const struct listed *entry, const char *path) {
    bool dot = strcmp(entry->name, ".") == 0, dots = strcmp(entry->name, "..") == 0;
    int at = dot || dots ? -1 : find_name(dir, entry->name);
    if (at < 0 && !dot && !dots)
        disagree("%s shows %s, which is not there", path, entry->name);
    if (dots && dir == 0)
        return 0;
    int object = dot ? dir : dots ? names[name_of_dir(dir)].dir : names[at].object;
    if (entry->number != objects[object].number)
        disagree("%s lists %s as %llu, not %llu", path, entry->name, (unsigned long long)entry->number,
                 (unsigned long long)objects[object].number);
    if (entry->type != DT_UNKNOWN && entry->type != IFTODT(objects[object].mode))
        disagree("%s lists %s as of type %d", path, entry->name, entry->type);
    return !dot && !dots;
}

static int count_names(int dir) {
    int count = 0;
    for (int i = 0; i < name_count; i++)
        count += names[i].dir == dir;
    return count;
}

void same_listing(int dir, size_t room) {
    static _Alignas(struct listed) char buffer[64 << 10];
    char path[PATH_ROOM];
    int seen = 0;
    path_of(dir, ".", path);
    int fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    expect(true, fd, "open %s", path);
    for (long got; (got = syscall(SYS_getdents64, fd, buffer, room)) != 0;) {
        if (got < 0)
            disagree("listing %s: %s", path, strerror(errno));
        for (long at = 0; at < got; at += ((struct listed *)(buffer + at))->size)
            seen += same_entry(dir, (struct listed *)(buffer + at), path);
    }
    (void)close(fd);
    if (seen != count_names(dir))
        disagree("%s lists %d names of %d", path, seen, count_names(dir));
}
