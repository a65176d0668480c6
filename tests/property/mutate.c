/* The operations of the property test.
 * Every path is resolved beneath the root without following links, so that nothing else on the machine is touched.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "mutate.h"

#include "cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

enum { ENTRIES_WANTED = 160, PATH_LIMIT = 3000 };

void mutate_init(struct mutator *ret, int root, uint64_t seed, bool privileged, FILE *log) {
    *ret = (struct mutator){ .rng = { seed }, .root = root, .outside = -1, .privileged = privileged, .log = log };
}

void mutate_let_go(struct mutator *mutator) {
    for (size_t i = 0; i < ELEMENTS(mutator->held); i++) {
        if (mutator->held[i].map)
            munmap(mutator->held[i].map, mutator->held[i].size);
        mutator->held[i] = (struct held){0};
    }
}

static void forget_places(struct mutator *mutator) {
    for (size_t i = 0; i < mutator->count; i++)
        free(mutator->places[i].path);
    mutator->count = 0;
}

void mutate_done(struct mutator *mutator) {
    mutate_let_go(mutator);
    forget_places(mutator);
    free(mutator->places);
    mutator->places = NULL;
}

/* What is there. */

static void add_place(struct mutator *mutator, const char *path, mode_t mode) {
    if (mutator->count == mutator->room) {
        mutator->room = mutator->room ? mutator->room * 2 : 64;
        mutator->places = reallocarray(mutator->places, mutator->room, sizeof(*mutator->places));
        if (!mutator->places)
            abort();
    }
    char *copy = strdup(path);
    if (!copy)
        abort();
    mutator->places[mutator->count++] = (struct place){ copy, mode & S_IFMT };
}

static void look_below(struct mutator *mutator, int dirfd, const char *name, const char *path) {
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return;
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        struct stat stat;
        _free_ char *below = NULL;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || fstatat(fd, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (asprintf(&below, "%s%s%s", path, *path ? "/" : "", entry->d_name) < 0)
            abort();
        add_place(mutator, below, stat.st_mode);
        if (S_ISDIR(stat.st_mode))
            look_below(mutator, fd, entry->d_name, below);
    }
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct place *)a)->path, ((const struct place *)b)->path);
}

void mutate_look(struct mutator *mutator) {
    forget_places(mutator);
    look_below(mutator, mutator->root, ".", "");
    /* readdir's order is not the seed's */
    if (mutator->count)
        qsort(mutator->places, mutator->count, sizeof(*mutator->places), by_path);
}

/* Choosing. */

/* A path of this type (0 = any), or NULL; valid until the next operation that adds a place. */
static const char *pick(struct mutator *mutator, mode_t type) {
    size_t start = rng_below(&mutator->rng, mutator->count);
    for (size_t i = 0; i < mutator->count; i++) {
        const struct place *place = &mutator->places[(start + i) % mutator->count];
        if (!type || place->type == type)
            return place->path;
    }
    return NULL;
}

static void long_name(struct mutator *mutator, char *ret, size_t size) {
    for (size_t i = 0; i < size; i++)
        ret[i] = (char)('a' + rng_below(&mutator->rng, 26));
    ret[size] = 0;
}

static void make_name(struct mutator *mutator, char ret[NAME_MAX + 1]) {
    static const char *const odd[] = { "a b", " lead", "trail ", "-rf", "--", "new\nline", "tab\there", "back\\slash",
                                       "quote\"'", "\xff\xfe", "caf\xc3\xa9",
                                       "*", "#x", "a=b", "\x01\x7f", "...", "..x", "%s%n", "$(id)", "\xe2\x80\xae", ".wh.x", ".snapctlignored", "\\012" };
    if (rng_percent(&mutator->rng, 70))
        snprintf(ret, NAME_MAX + 1, "%c%llu", (char)('a' + rng_below(&mutator->rng, 8)), (unsigned long long)rng_below(&mutator->rng, 6));
    else if (rng_percent(&mutator->rng, 85))
        strcpy(ret, rng_pick(&mutator->rng, odd));
    else
        long_name(mutator, ret, rng_percent(&mutator->rng, 50) ? NAME_MAX : 100);
}

/* A new name in some directory; the caller frees. It may exist. */
static char *make_path(struct mutator *mutator) {
    char name[NAME_MAX + 1], *path = NULL;
    make_name(mutator, name);
    const char *dir = rng_percent(&mutator->rng, 20) ? NULL : pick(mutator, S_IFDIR);
    if (asprintf(&path, "%s%s%s", dir ? dir : "", dir ? "/" : "", name) < 0)
        abort();
    return path;
}

struct at { int fd; const char *name; };
static void at_done(struct at *at) { fd_close(at->fd); }
#define _at_ _cleanup_(at_done)

/* The directory a path hangs in; .fd < 0: not there any more. */
static struct at open_parent(struct mutator *mutator, const char *path) {
    struct at at = { -1, path };
    struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
    const char *slash = path ? strrchr(path, '/') : NULL;
    _free_ char *parent = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
    if (!path || !parent || strlen(path) > PATH_LIMIT)
        return at;
    at.name = slash ? slash + 1 : path;
    at.fd = (int)syscall(SYS_openat2, mutator->root, parent, &how, sizeof(how));
    return at;
}

static int open_file(struct mutator *mutator, const char *path, int flags) {
    _at_ struct at at = open_parent(mutator, path);
    return at.fd < 0 ? -1 : openat(at.fd, at.name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0644);
}

static void note(struct mutator *mutator, const char *what, const char *path, const char *other, int result) {
    mutator->done += result >= 0;
    mutator->refused += result < 0;
    if (!mutator->log || result < 0)
        return;
    fprintf(mutator->log, "%s ", what);
    for (const char *at = path ? path : "."; *at; at++)
        fprintf(mutator->log, *at >= 32 && *at < 127 ? "%c" : "\\%03o", (unsigned char)*at);
    if (other)
        fputs(" -> ", mutator->log);
    for (const char *at = other ? other : ""; *at; at++)
        fprintf(mutator->log, *at >= 32 && *at < 127 ? "%c" : "\\%03o", (unsigned char)*at);
    fputc('\n', mutator->log);
}

/* Content. */

static size_t make_size(struct mutator *mutator) {
    static const size_t sizes[] = { 0, 1, 17, 200, 4095, 4096, 4097, 10000, 65536, 65537 };
    if (rng_percent(&mutator->rng, 3))
        return 300000 + rng_below(&mutator->rng, 100000);
    return rng_pick(&mutator->rng, sizes);
}

static void fill(struct mutator *mutator, char *data, size_t size) {
    if (rng_percent(&mutator->rng, 10)) {
        memset(data, 0, size);
        return;
    }
    /* text of few different lines: equal content under several names, and patches worth having, come by themselves */
    bool text = rng_percent(&mutator->rng, 70);
    for (size_t at = 0; at < size;) {
        char line[32];
        uint64_t word = text ? rng_below(&mutator->rng, 50) : rng_next(&mutator->rng);
        size_t length = text ? (size_t)snprintf(line, sizeof(line), "line %llu\n", (unsigned long long)word) : sizeof(word);
        if (!text)
            memcpy(line, &word, sizeof(word));
        length = MIN(length, size - at);
        memcpy(data + at, line, length);
        at += length;
    }
}

static int write_some(struct mutator *mutator, int fd, size_t size, off_t at) {
    _free_ char *data = malloc(size + 1);
    if (!data)
        abort();
    fill(mutator, data, size);
    ssize_t put = at < 0 ? write(fd, data, size) : pwrite(fd, data, size, at);
    return put == (ssize_t)size ? 0 : -1;
}

static void do_create(struct mutator *mutator) {
    _free_ char *path = make_path(mutator);
    _close_ int fd = open_file(mutator, path, O_WRONLY | O_CREAT | O_EXCL);
    int result = fd < 0 ? -1 : write_some(mutator, fd, make_size(mutator), -1);
    if (result == 0)
        add_place(mutator, path, S_IFREG);
    note(mutator, "create", path, NULL, result);
}

static void do_append(struct mutator *mutator) {
    const char *path = pick(mutator, S_IFREG);
    _close_ int fd = open_file(mutator, path, O_WRONLY | O_APPEND);
    note(mutator, "append", path, NULL, fd < 0 ? -1 : write_some(mutator, fd, 1 + rng_below(&mutator->rng, 300), -1));
}

static void do_overwrite(struct mutator *mutator) {
    const char *path = pick(mutator, S_IFREG);
    _close_ int fd = open_file(mutator, path, O_WRONLY | O_TRUNC);
    note(mutator, "overwrite", path, NULL, fd < 0 ? -1 : write_some(mutator, fd, make_size(mutator), -1));
}

static void do_pwrite(struct mutator *mutator) {
    const char *path = pick(mutator, S_IFREG);
    _close_ int fd = open_file(mutator, path, O_WRONLY);
    struct stat stat;
    int result = fd < 0 || fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode) ? -1
        : write_some(mutator, fd, 1 + rng_below(&mutator->rng, 100), (off_t)rng_below(&mutator->rng, (uint64_t)stat.st_size + 1));
    note(mutator, "pwrite", path, NULL, result);
}

static void do_truncate(struct mutator *mutator) {
    const char *path = pick(mutator, S_IFREG);
    _close_ int fd = open_file(mutator, path, O_WRONLY);
    note(mutator, "truncate", path, NULL, fd < 0 ? -1 : ftruncate(fd, (off_t)rng_below(&mutator->rng, 20000)));
}

static void do_sparse(struct mutator *mutator) {
    _free_ char *path = make_path(mutator);
    _close_ int fd = open_file(mutator, path, O_RDWR | O_CREAT);
    off_t size = (off_t)rng_below(&mutator->rng, 6 << 20);
    int result = fd < 0 ? -1 : ftruncate(fd, size);
    for (unsigned i = (unsigned)rng_below(&mutator->rng, 4); i && !result; i--)
        result = write_some(mutator, fd, 1 + rng_below(&mutator->rng, 9000), (off_t)rng_below(&mutator->rng, (uint64_t)size + 1));
    if (!result && rng_percent(&mutator->rng, 30))
        result = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)rng_below(&mutator->rng, (uint64_t)size + 1), 65536);
    if (!result)
        add_place(mutator, path, S_IFREG);
    note(mutator, "sparse", path, NULL, result);
}

static void *map_file(struct mutator *mutator, const char *path, size_t *ret_size) {
    _close_ int fd = open_file(mutator, path, O_RDWR);
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode) || stat.st_size < 1)
        return NULL;
    void *map = mmap(NULL, (size_t)stat.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    *ret_size = (size_t)stat.st_size;
    return map == MAP_FAILED ? NULL : map;
}

static void do_map(struct mutator *mutator) {
    const char *path = pick(mutator, S_IFREG);
    size_t size = 0;
    char *map = map_file(mutator, path, &size);
    if (map) {
        map[rng_below(&mutator->rng, size)] ^= 1;
        munmap(map, size);
    }
    note(mutator, "mmap store", path, NULL, map ? 0 : -1);
}

/* A later store into the page that is already dirty changes neither mtime nor ctime. The file may have been truncated
 * since: then the store would be SIGBUS, so only the first page of files that have one is held, and nothing truncates
 * below it without the risk; madvise tells. */
static void do_hold(struct mutator *mutator) {
    struct held *held = &rng_pick(&mutator->rng, mutator->held);
    if (held->map) {
        munmap(held->map, held->size);
        *held = (struct held){0};
    }
    const char *path = pick(mutator, S_IFREG);
    held->map = map_file(mutator, path, &held->size);
    if (held->map)
        *(char *)held->map ^= 1;
    note(mutator, "hold mapped", path, NULL, held->map ? 0 : -1);
}

static void do_store_held(struct mutator *mutator) {
    struct held *held = &rng_pick(&mutator->rng, mutator->held);
    /* the page is gone where the file was truncated to nothing: fault it in by a call that fails instead of a signal */
    int result = held->map ? madvise(held->map, 1, MADV_POPULATE_WRITE) : -1;
    if (result == 0)
        *(char *)held->map ^= 2;
    note(mutator, "store through held mapping", NULL, NULL, result);
}

/* The same size and mtime as before, but other bytes. */
static void do_disguise(struct mutator *mutator) {
    const char *path = pick(mutator, S_IFREG);
    _close_ int fd = open_file(mutator, path, O_RDWR);
    struct stat stat;
    char byte;
    int result = -1;
    if (fd >= 0 && fstat(fd, &stat) == 0 && stat.st_size > 0 && pread(fd, &byte, 1, 0) == 1) {
        struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, stat.st_mtim };
        byte ^= 4;
        result = pwrite(fd, &byte, 1, 0) == 1 ? futimens(fd, times) : -1;
    }
    note(mutator, "change, keeping size and mtime", path, NULL, result);
}

static void do_replace(struct mutator *mutator) {
    const char *path = pick(mutator, S_IFREG);
    _at_ struct at at = open_parent(mutator, path);
    int result = -1;
    if (at.fd >= 0) {
        _close_ int fd = openat(at.fd, ".editor~", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        result = fd < 0 ? -1 : write_some(mutator, fd, make_size(mutator), -1);
        if (!result && (result = renameat(at.fd, ".editor~", at.fd, at.name)) < 0)
            (void)unlinkat(at.fd, ".editor~", 0);
    }
    note(mutator, "rename over", path, NULL, result);
}

/* Names. */

static void do_rename_type(struct mutator *mutator, mode_t type) {
    const char *from = pick(mutator, type);
    _free_ char *old = from ? strdup(from) : NULL, *path = NULL;
    if (old && rng_percent(&mutator->rng, 30)) {          /* onto or into something that exists */
        const char *other = pick(mutator, type);
        path = other ? strdup(other) : NULL;
    }
    if (!path)
        path = make_path(mutator);
    _at_ struct at a = open_parent(mutator, old), b = open_parent(mutator, path);
    unsigned flags = rng_percent(&mutator->rng, 10) ? RENAME_EXCHANGE : 0;
    int result = a.fd < 0 || b.fd < 0 ? -1 : renameat2(a.fd, a.name, b.fd, b.name, flags);
    if (!result)
        add_place(mutator, path, type ? type : S_IFREG);
    note(mutator, flags ? "exchange" : "rename", old, path, result);
}

static void do_rename(struct mutator *mutator) { do_rename_type(mutator, 0); }
static void do_rename_dir(struct mutator *mutator) { do_rename_type(mutator, S_IFDIR); }

static int change_outside(struct mutator *mutator, const char *dir) {
    char path[64];
    snprintf(path, sizeof(path), "%s/%c%u", dir, (char)('a' + rng_below(&mutator->rng, 8)), (unsigned)rng_below(&mutator->rng, 6));
    if (rng_percent(&mutator->rng, 30))
        return mkdirat(mutator->outside, path, 0755);
    _close_ int fd = openat(mutator->outside, path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    return fd < 0 ? -1 : write_some(mutator, fd, 1 + rng_below(&mutator->rng, 300), -1);
}

/* A directory leaves; one that has left is changed where it is, or comes back. */
static void do_outside(struct mutator *mutator) {
    char name[16];
    struct stat stat;
    snprintf(name, sizeof(name), "away%u", (unsigned)rng_below(&mutator->rng, 3));
    bool is_there = fstatat(mutator->outside, name, &stat, AT_SYMLINK_NOFOLLOW) == 0;
    const char *from = is_there ? NULL : pick(mutator, S_IFDIR);
    _free_ char *path = is_there ? make_path(mutator) : from ? strdup(from) : NULL;
    if (is_there && rng_percent(&mutator->rng, 40)) {
        note(mutator, "change outside", name, NULL, change_outside(mutator, name));
        return;
    }
    _at_ struct at at = open_parent(mutator, path);
    int result = at.fd < 0 ? -1 : is_there ? renameat(mutator->outside, name, at.fd, at.name) : renameat(at.fd, at.name, mutator->outside, name);
    if (!result && is_there)
        add_place(mutator, path, S_IFDIR);
    note(mutator, is_there ? "come back" : "leave", path, name, result);
}

static void do_unlink(struct mutator *mutator) {
    const char *path = pick(mutator, 0);
    _at_ struct at at = open_parent(mutator, path);
    note(mutator, "unlink", path, NULL, at.fd < 0 ? -1 : unlinkat(at.fd, at.name, 0));
}

static void do_rmdir(struct mutator *mutator) {
    const char *path = pick(mutator, S_IFDIR);
    _at_ struct at at = open_parent(mutator, path);
    note(mutator, "rmdir", path, NULL, at.fd < 0 ? -1 : unlinkat(at.fd, at.name, AT_REMOVEDIR));
}

static int remove_below(int dirfd, const char *name) {
    if (unlinkat(dirfd, name, 0) == 0)
        return 0;
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return -1;
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && remove_below(fd, entry->d_name) < 0)
            return -1;
    }
    return unlinkat(dirfd, name, AT_REMOVEDIR);
}

static void do_remove_tree(struct mutator *mutator) {
    const char *path = pick(mutator, S_IFDIR);
    _at_ struct at at = open_parent(mutator, path);
    note(mutator, "rm -r", path, NULL, at.fd < 0 ? -1 : remove_below(at.fd, at.name));
}

static void do_mkdirs(struct mutator *mutator) {
    _free_ char *path = make_path(mutator);
    for (unsigned i = 1 + (unsigned)rng_below(&mutator->rng, 4); i; i--) {
        _at_ struct at at = open_parent(mutator, path);
        int result = at.fd < 0 ? -1 : mkdirat(at.fd, at.name, 0755);
        note(mutator, "mkdir", path, NULL, result);
        if (result < 0)
            return;
        add_place(mutator, path, S_IFDIR);
        char name[NAME_MAX + 1], *below = NULL;
        make_name(mutator, name);
        if (asprintf(&below, "%s/%s", path, name) < 0)
            abort();
        free(path);
        path = below;
    }
}

static void do_symlink(struct mutator *mutator) {
    static const char *const targets[] = { "a0", "../b1", "/nonexistent/absolute", ".", "dangling", "with\nnewline", "\xff" };
    char target[4001];
    _free_ char *path = make_path(mutator);
    if (rng_percent(&mutator->rng, 10))
        long_name(mutator, target, 1 + rng_below(&mutator->rng, 4000));
    else
        strcpy(target, rng_pick(&mutator->rng, targets));
    _at_ struct at at = open_parent(mutator, path);
    int result = at.fd < 0 ? -1 : symlinkat(target, at.fd, at.name);
    if (!result)
        add_place(mutator, path, S_IFLNK);
    note(mutator, "symlink", path, NULL, result);
}

static void do_link(struct mutator *mutator) {
    const char *from = pick(mutator, rng_percent(&mutator->rng, 80) ? S_IFREG : 0);
    _free_ char *old = from ? strdup(from) : NULL, *path = make_path(mutator);
    _at_ struct at a = open_parent(mutator, old), b = open_parent(mutator, path);
    struct stat stat;
    int result = a.fd < 0 || b.fd < 0 ? -1 : linkat(a.fd, a.name, b.fd, b.name, 0);
    if (!result && fstatat(b.fd, b.name, &stat, AT_SYMLINK_NOFOLLOW) == 0)
        add_place(mutator, path, stat.st_mode);
    if (!result && mutator->linked)
        mutator->linked(mutator->data);
    note(mutator, "link", old, path, result);
}

/* A copy under the same name: the link is broken, the content is not. */
static void do_break_link(struct mutator *mutator) {
    const char *path = pick(mutator, S_IFREG);
    _at_ struct at at = open_parent(mutator, path);
    int result = -1;
    if (at.fd >= 0) {
        _close_ int from = openat(at.fd, at.name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        _close_ int to = from < 0 ? -1 : openat(at.fd, ".copy~", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        char data[8192];
        ssize_t got = 0;
        while (to >= 0 && (got = read(from, data, sizeof(data))) > 0 && write(to, data, (size_t)got) == got)
            ;
        result = to < 0 ? -1 : got ? -1 : renameat(at.fd, ".copy~", at.fd, at.name);
        if (to >= 0 && result < 0)
            (void)unlinkat(at.fd, ".copy~", 0);
    }
    note(mutator, "break link", path, NULL, result);
}

static void do_special(struct mutator *mutator) {
    static const mode_t types[] = { S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK };
    _free_ char *path = make_path(mutator);
    _at_ struct at at = open_parent(mutator, path);
    mode_t type = types[rng_below(&mutator->rng, mutator->privileged ? 4 : 2)];
    /* also 0:0, which a layer uses for something else */
    dev_t device = type == S_IFCHR && rng_percent(&mutator->rng, 30) ? makedev(0, 0)
        : makedev(rng_below(&mutator->rng, 300), rng_below(&mutator->rng, 100000));
    int result = at.fd < 0 ? -1 : mknodat(at.fd, at.name, type | 0600, type == S_IFCHR || type == S_IFBLK ? device : 0);
    if (!result)
        add_place(mutator, path, type);
    note(mutator, "mknod", path, NULL, result);
}

static void do_change_type(struct mutator *mutator) {
    const char *picked = pick(mutator, 0);
    _free_ char *path = picked ? strdup(picked) : NULL;
    _at_ struct at at = open_parent(mutator, path);
    int result = at.fd < 0 ? -1 : remove_below(at.fd, at.name);
    if (!result) {
        switch (rng_below(&mutator->rng, 4)) {
        case 0: result = mkdirat(at.fd, at.name, 0755); break;
        case 1: result = symlinkat("now-a-link", at.fd, at.name); break;
        case 2: result = mknodat(at.fd, at.name, S_IFIFO | 0600, 0); break;
        default: {
            _close_ int fd = openat(at.fd, at.name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
            result = fd < 0 ? -1 : write_some(mutator, fd, make_size(mutator), -1);
        }
        }
    }
    note(mutator, "change type", path, NULL, result);
}

/* Metadata. Symlinks are left alone where the call would follow them. */

static int open_for_metadata(struct mutator *mutator, const char *path) {
    _close_ int fd = open_file(mutator, path, O_PATH);
    struct stat stat;
    return fd < 0 || fstat(fd, &stat) < 0 || S_ISLNK(stat.st_mode) ? -1 : TAKE_FD(fd);
}

static void proc_path(char ret[32], int fd) {
    snprintf(ret, 32, "/proc/self/fd/%d", fd);
}

static void do_chmod(struct mutator *mutator) {
    static const mode_t modes[] = { 0644, 0600, 0755, 0444, 0555, 0400, 04755, 02755, 06711, 01777, 0700, 0750, 0664 };
    static const mode_t closed[] = { 0000, 0111, 0200 };
    const char *path = rng_percent(&mutator->rng, 3) ? "." : pick(mutator, 0);
    _close_ int fd = path ? open_for_metadata(mutator, path) : -1;
    struct stat stat;
    char at[32];
    mode_t mode = mutator->privileged && rng_percent(&mutator->rng, 20) ? rng_pick(&mutator->rng, closed) : rng_pick(&mutator->rng, modes);
    /* an ordinary user must be able to read what is to be captured, and mostly to go on changing it */
    if (fd >= 0 && fstat(fd, &stat) == 0 && S_ISDIR(stat.st_mode) && !mutator->privileged)
        mode |= rng_percent(&mutator->rng, 70) ? 0700 : 0500;
    proc_path(at, fd);
    note(mutator, "chmod", path, NULL, fd < 0 ? -1 : chmod(at, mode));
}

static void do_chown(struct mutator *mutator) {
    const char *path = pick(mutator, 0);
    _at_ struct at at = open_parent(mutator, path);
    uid_t owner = (uid_t)(rng_percent(&mutator->rng, 50) ? 0 : 1000 + rng_below(&mutator->rng, 3));
    if (mutator->privileged)
        note(mutator, "chown", path, NULL, at.fd < 0 ? -1 : fchownat(at.fd, at.name, owner, owner + 1, AT_SYMLINK_NOFOLLOW));
}

static void do_utimes(struct mutator *mutator) {
    static const time_t seconds[] = { 0, 1, -1, -1000000000, 1000000000, 1700000000, 4000000000, 13000000000 };
    const char *path = pick(mutator, 0);
    _at_ struct at at = open_parent(mutator, path);
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { rng_pick(&mutator->rng, seconds), (long)rng_below(&mutator->rng, 1000000000) } };
    note(mutator, "utimes", path, NULL, at.fd < 0 ? -1 : utimensat(at.fd, at.name, times, AT_SYMLINK_NOFOLLOW));
}

static void do_xattr(struct mutator *mutator) {
    static const char *const names[] = { "user.a", "user.b", "user.snapctl", "user.overlay.opaque", "user.overlay.redirect", "user.overlay.overlay.x",
                                         "user.name with space", "user.\xff" };
    static const char *const by_root[] = { "trusted.a", "trusted.overlay.opaque", "user.a", "user.b" };
    const char *path = rng_percent(&mutator->rng, 5) ? "." : pick(mutator, 0);
    _close_ int fd = path ? open_for_metadata(mutator, path) : -1;
    const char *name = mutator->privileged && rng_percent(&mutator->rng, 30) ? rng_pick(&mutator->rng, by_root) : rng_pick(&mutator->rng, names);
    char at[32], value[600];
    size_t size = rng_below(&mutator->rng, rng_percent(&mutator->rng, 10) ? sizeof(value) : 30);
    fill(mutator, value, size);
    proc_path(at, fd);
    bool gone = rng_percent(&mutator->rng, 30);
    note(mutator, gone ? "removexattr" : "setxattr", path, name, fd < 0 ? -1 : gone ? removexattr(at, name) : setxattr(at, name, value, size, 0));
}

static void do_capability(struct mutator *mutator) {
    /* struct vfs_cap_data, revision 2, cap_net_bind_service, effective */
    static const uint32_t value[5] = { 0x02000001, 1u << 10, 0, 0, 0 };
    const char *path = pick(mutator, S_IFREG);
    _close_ int fd = mutator->privileged && path ? open_for_metadata(mutator, path) : -1;
    char at[32];
    proc_path(at, fd);
    note(mutator, "set capability", path, NULL, fd < 0 ? -1 : setxattr(at, "security.capability", value, sizeof(value), 0));
}

struct acl_entry { uint16_t tag, permissions; uint32_t id; };

/* linux/posix_acl_xattr.h: version 2, entries sorted by tag: user, named user, group, mask, other */
static void do_acl(struct mutator *mutator) {
    struct { uint32_t version; struct acl_entry entries[5]; } acl = { 2, {
        { 0x01, 6 | (uint16_t)rng_below(&mutator->rng, 2), UINT32_MAX },
        { 0x02, (uint16_t)rng_below(&mutator->rng, 8), 1000 + (uint32_t)rng_below(&mutator->rng, 3) },
        { 0x04, 4, UINT32_MAX }, { 0x10, (uint16_t)rng_below(&mutator->rng, 8), UINT32_MAX },
        { 0x20, (uint16_t)rng_below(&mutator->rng, 8), UINT32_MAX } } };
    const char *path = pick(mutator, rng_percent(&mutator->rng, 50) ? S_IFDIR : 0);
    _close_ int fd = path ? open_for_metadata(mutator, path) : -1;
    struct stat stat;
    char at[32];
    int result = -1;
    if (fd >= 0 && fstat(fd, &stat) == 0) {
        bool by_default = S_ISDIR(stat.st_mode) && rng_percent(&mutator->rng, 50);
        if (S_ISDIR(stat.st_mode))
            acl.entries[0].permissions = 7;
        proc_path(at, fd);
        const char *name = by_default ? "system.posix_acl_default" : "system.posix_acl_access";
        result = rng_percent(&mutator->rng, 20) ? removexattr(at, name) : setxattr(at, name, &acl, sizeof(acl), 0);
    }
    note(mutator, "acl", path, NULL, result);
}

static const struct { void (*run)(struct mutator *mutator); unsigned weight, when_full; } operations[] = {
    { do_create, 14, 4 }, { do_append, 6, 6 }, { do_overwrite, 5, 5 }, { do_pwrite, 6, 6 }, { do_truncate, 3, 3 }, { do_sparse, 2, 1 },
    { do_map, 3, 3 }, { do_hold, 1, 1 }, { do_store_held, 4, 4 }, { do_disguise, 4, 4 }, { do_replace, 5, 5 },
    { do_rename, 8, 8 }, { do_rename_dir, 6, 6 }, { do_unlink, 6, 14 }, { do_rmdir, 1, 3 }, { do_remove_tree, 1, 5 },
    { do_mkdirs, 5, 1 }, { do_symlink, 4, 1 }, { do_link, 5, 3 }, { do_break_link, 2, 2 }, { do_special, 2, 1 }, { do_change_type, 3, 3 },
    { do_chmod, 6, 6 }, { do_chown, 3, 3 }, { do_utimes, 5, 5 }, { do_xattr, 5, 5 }, { do_capability, 1, 1 }, { do_acl, 3, 3 },
    { do_outside, 8, 8 },
};

static unsigned weight_of(const struct mutator *mutator, size_t i, bool full) {
    if (operations[i].run == do_outside && mutator->outside < 0)
        return 0;                         /* and histories without it stay what they were */
    return full ? operations[i].when_full : operations[i].weight;
}

void mutate_step(struct mutator *mutator) {
    bool full = mutator->count > ENTRIES_WANTED;
    unsigned total = 0;
    for (size_t i = 0; i < ELEMENTS(operations); i++)
        total += weight_of(mutator, i, full);
    unsigned chosen = (unsigned)rng_below(&mutator->rng, total);
    size_t i = 0;
    while (chosen >= weight_of(mutator, i, full))
        chosen -= weight_of(mutator, i++, full);
    operations[i].run(mutator);
}
