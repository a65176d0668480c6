/* Inodes, events, and states built from a prefix of them.
 * Watches nothing itself: record.c says what happened. SPDX-License-Identifier: GPL-2.0-or-later */
#include "disk.h"

#include "cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/xattr.h>

enum { ROOTS_MAX = 8 };

/* What an inode looks like; content apart. Shared by the events that mention it, never changed. */
struct effect {
    enum { NAME, ATTRIBUTES, DATA, SIZE } kind;
    size_t inode;              /* whose; NAME: the directory's */
    size_t target;             /* NAME: what is there; 0 = nothing */
    char *name;
    struct node node;          /* ATTRIBUTES */
    char *bytes;               /* DATA */
    uint64_t offset, size;     /* DATA; SIZE: the new length */
};
struct event {
    char *what;
    struct effect *effects;
    size_t count;
    size_t flushed;            /* an inode; 0 = none */
    bool flushed_all;
    unsigned mark;
};
struct name { char *name; size_t inode; };
struct inode {                 /* the present, or a state being built */
    dev_t dev;
    ino_t ino;
    bool gone;                 /* the number belongs to another inode now */
    struct node node;
    char *content;
    uint64_t size;
    struct name *names;        /* directories */
    size_t count;
};
struct disk_state { struct inode *inodes; size_t count; };    /* inode 0 is none; 1 to roots: the roots */
struct disk {
    char *roots[ROOTS_MAX];
    size_t root_count;
    struct disk_state base, now;
    struct event *events;
    size_t count;
};

static void *must(void *pointer) {
    if (!pointer)
        abort();
    return pointer;
}

/* Inodes. */

static void copy_node(struct node *ret, const struct node *node) {
    *ret = *node;
    ret->path = NULL;
    ret->target = node->target ? must(strdup(node->target)) : NULL;
    ret->xattrs = node->xattrs ? memcpy(must(malloc(node->xattrs_size)), node->xattrs, node->xattrs_size) : NULL;
}

static void inode_done(struct inode *inode) {
    node_done(&inode->node);
    free(inode->content);
    for (size_t i = 0; i < inode->count; i++)
        free(inode->names[i].name);
    free(inode->names);
}

static void state_free(struct disk_state *state) {
    for (size_t i = 0; i < state->count; i++)
        inode_done(&state->inodes[i]);
    free(state->inodes);
    *state = (struct disk_state){0};
}

static void set_name(struct inode *dir, const char *name, size_t target) {
    for (size_t i = 0; i < dir->count; i++) {
        if (strcmp(dir->names[i].name, name) != 0)
            continue;
        dir->names[i].inode = target;
        if (!target) {
            free(dir->names[i].name);
            dir->names[i] = dir->names[--dir->count];
        }
        return;
    }
    if (!target)
        return;
    dir->names = must(reallocarray(dir->names, dir->count + 1, sizeof(*dir->names)));
    dir->names[dir->count++] = (struct name){ must(strdup(name)), target };
}

static size_t get_name(const struct inode *dir, const char *name) {
    for (size_t i = 0; i < dir->count; i++) {
        if (!strcmp(dir->names[i].name, name))
            return dir->names[i].inode;
    }
    return 0;
}

static void set_size(struct inode *inode, uint64_t size) {
    inode->content = must(realloc(inode->content, size + 1));
    if (size > inode->size)
        memset(inode->content + inode->size, 0, size - inode->size);
    inode->size = size;
}

static size_t add_inode(struct disk_state *state) {
    state->inodes = must(reallocarray(state->inodes, state->count + 1, sizeof(*state->inodes)));
    state->inodes[state->count] = (struct inode){0};
    return state->count++;
}

static void copy_state(struct disk_state *ret, const struct disk_state *from) {
    *ret = (struct disk_state){ must(calloc(from->count + 1, sizeof(*ret->inodes))), from->count };
    for (size_t i = 0; i < from->count; i++) {
        const struct inode *inode = &from->inodes[i];
        struct inode *copy = &ret->inodes[i];
        *copy = (struct inode){ .dev = inode->dev, .ino = inode->ino };
        copy_node(&copy->node, &inode->node);
        set_size(copy, inode->size);
        if (inode->size)
            memcpy(copy->content, inode->content, inode->size);
        for (size_t j = 0; j < inode->count; j++)
            set_name(copy, inode->names[j].name, inode->names[j].inode);
    }
}

static bool is_named(const struct disk_state *state, size_t inode) {
    for (size_t i = 0; i < state->count; i++) {
        for (size_t j = 0; j < state->inodes[i].count; j++) {
            if (state->inodes[i].names[j].inode == inode)
                return true;
        }
    }
    return false;
}

static size_t find_inode(const struct disk_state *state, dev_t dev, ino_t ino) {
    for (size_t i = state->count; i-- > 1;) {
        if (state->inodes[i].dev == dev && state->inodes[i].ino == ino && !state->inodes[i].gone)
            return i;
    }
    return 0;
}

/* Looking at the real thing. */

/* SQLite's index of its log lives in memory; a machine that starts again makes a new one. */
static bool lives_in_memory(const char *name) {
    size_t size = strlen(name);
    return size > 4 && !strcmp(name + size - 4, "-shm");
}

static char *read_all(int fd, uint64_t size) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    _close_ int file = open(path, O_RDONLY | O_CLOEXEC);
    char *bytes = must(calloc(size + 1, 1));
    for (uint64_t at = 0; file >= 0 && at < size;) {
        ssize_t got = pread(file, bytes + at, size - at, (off_t)at);
        if (got <= 0)
            break;
        at += (uint64_t)got;
    }
    return bytes;
}

static struct effect *add_effect(struct disk *disk, struct effect effect) {
    struct event *event = &disk->events[disk->count - 1];
    event->effects = must(reallocarray(event->effects, event->count + 1, sizeof(*event->effects)));
    event->effects[event->count] = effect;
    return &event->effects[event->count++];
}

static void apply(struct disk_state *state, const struct effect *effect) {
    struct inode *inode = &state->inodes[effect->inode];
    switch (effect->kind) {
    case NAME:
        set_name(inode, effect->name, effect->target);
        break;
    case ATTRIBUTES:
        node_done(&inode->node);
        copy_node(&inode->node, &effect->node);
        break;
    case SIZE:
        set_size(inode, effect->size);
        break;
    case DATA:
        if (inode->size < effect->offset + effect->size)
            set_size(inode, effect->offset + effect->size);
        memcpy(inode->content + effect->offset, effect->bytes, effect->size);
        break;
    }
}

static void happened(struct disk *disk, struct effect effect) {
    apply(&disk->now, add_effect(disk, effect));
}

static bool same_attributes(const struct node *a, const struct node *b) {
    return node_same_metadata(a, b) && a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

static void saw_attributes(struct disk *disk, size_t inode, struct node *node) {
    if (disk->now.inodes[inode].node.mode && same_attributes(&disk->now.inodes[inode].node, node))
        node_done(node);
    else
        happened(disk, (struct effect){ .kind = ATTRIBUTES, .inode = inode, .node = *node });
}

/* From the first byte that differs to the last, in whole blocks as a page cache has them. */
static void saw_content(struct disk *disk, size_t number, int fd, uint64_t size) {
    enum { BLOCK = 4096 };
    _free_ char *bytes = read_all(fd, size);
    for (uint64_t at = 0; at < size; at += BLOCK) {
        const struct inode *inode = &disk->now.inodes[number];
        uint64_t length = MIN((uint64_t)BLOCK, size - at), had = at < inode->size ? MIN(length, inode->size - at) : 0;
        if (had == length && !memcmp(inode->content + at, bytes + at, length))
            continue;
        char *copy = memcpy(must(malloc(length)), bytes + at, length);
        happened(disk, (struct effect){ .kind = DATA, .inode = number, .bytes = copy, .offset = at, .size = length });
    }
    if (disk->now.inodes[number].size > size)
        happened(disk, (struct effect){ .kind = SIZE, .inode = number, .size = size });
}

/* The number of what the descriptor shows, known or not. fresh: it was made just now if nothing has its number. */
static size_t identify(struct disk *disk, const struct node *node, bool fresh) {
    size_t number = find_inode(&disk->now, node->dev, node->ino);
    if (number && fresh && !is_named(&disk->now, number) && number > disk->root_count) {
        disk->now.inodes[number].gone = true;
        number = 0;
    }
    if (!number) {
        number = add_inode(&disk->now);
        disk->now.inodes[number].dev = node->dev;
        disk->now.inodes[number].ino = node->ino;
    }
    return number;
}

static size_t saw(struct disk *disk, int fd, bool fresh, bool content) {
    struct node node = {0};
    if (node_read_fd(fd, &node) < 0) {
        node_done(&node);
        return 0;
    }
    bool reads = content && S_ISREG(node.mode);
    uint64_t size = node.size;
    size_t number = identify(disk, &node, fresh);
    saw_attributes(disk, number, &node);
    if (reads)
        saw_content(disk, number, fd, size);
    return number;
}

static size_t saw_named(struct disk *disk, int dirfd, const char *name, bool fresh) {
    _close_ int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? 0 : saw(disk, fd, fresh, true);
}

void disk_event(struct disk *disk, const char *what) {
    disk->events = must(reallocarray(disk->events, disk->count + 1, sizeof(*disk->events)));
    disk->events[disk->count++] = (struct event){ .what = must(strdup(what)) };
}

void disk_saw_name(struct disk *disk, int dirfd, const char *name, bool fresh) {
    if (lives_in_memory(name))
        return;
    size_t dir = saw(disk, dirfd, false, false), target = saw_named(disk, dirfd, name, fresh);
    if (dir && get_name(&disk->now.inodes[dir], name) != target)
        happened(disk, (struct effect){ .kind = NAME, .inode = dir, .target = target, .name = must(strdup(name)) });
}

void disk_saw_file(struct disk *disk, int fd, bool fresh) {
    (void)saw(disk, fd, fresh, true);
}

void disk_saw_size(struct disk *disk, int fd) {
    struct stat stat;
    size_t number = fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode) ? 0 : find_inode(&disk->now, stat.st_dev, stat.st_ino);
    if (number && disk->now.inodes[number].size != (uint64_t)stat.st_size)
        happened(disk, (struct effect){ .kind = SIZE, .inode = number, .size = (uint64_t)stat.st_size });
    (void)saw(disk, fd, false, true);
}

void disk_saw_flush(struct disk *disk, int fd) {
    struct stat stat;
    struct event *event = &disk->events[disk->count - 1];
    event->flushed_all = fd < 0;
    if (fd >= 0 && fstat(fd, &stat) == 0)
        event->flushed = find_inode(&disk->now, stat.st_dev, stat.st_ino);
}

void disk_saw_mark(struct disk *disk, unsigned mark) { disk->events[disk->count - 1].mark = mark; }
size_t disk_events(const struct disk *disk) { return disk->count; }
const char *disk_event_name(const struct disk *disk, size_t event) { return event < disk->count ? disk->events[event].what : "the end"; }

bool disk_event_flushes(const struct disk *disk, size_t event) {
    return event < disk->count && (disk->events[event].flushed || disk->events[event].flushed_all);
}

unsigned disk_marks_before(const struct disk *disk, size_t end) {
    unsigned mark = 0;
    for (size_t i = 0; i < end && i < disk->count; i++)
        mark = MAX(mark, disk->events[i].mark);
    return mark;
}

/* The base image. */

static void read_image(struct disk *disk, int dirfd) {
    int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        disk_saw_name(disk, copy, entry->d_name, false);
        _close_ int below = openat(copy, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below >= 0)
            read_image(disk, below);
    }
}

static void event_done(struct event *event) {
    for (size_t i = 0; i < event->count; i++) {
        free(event->effects[i].name);
        free(event->effects[i].bytes);
        node_done(&event->effects[i].node);
    }
    free(event->effects);
    free(event->what);
}

struct disk *disk_open(const char *const *roots) {
    struct disk *disk = must(calloc(1, sizeof(*disk)));
    add_inode(&disk->now);
    disk_event(disk, "base");
    for (; roots[disk->root_count]; disk->root_count++) {
        _close_ int fd = open(roots[disk->root_count], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return disk_close(disk);
        disk->roots[disk->root_count] = must(strdup(roots[disk->root_count]));
        (void)saw(disk, fd, false, false);
    }
    for (size_t i = 0; i < disk->root_count; i++) {
        _close_ int fd = open(disk->roots[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        read_image(disk, fd);
    }
    event_done(&disk->events[0]);
    disk->count = 0;
    copy_state(&disk->base, &disk->now);
    return disk;
}

struct disk *disk_close(struct disk *disk) {
    if (!disk)
        return NULL;
    for (size_t i = 0; i < disk->count; i++)
        event_done(&disk->events[i]);
    free(disk->events);
    state_free(&disk->base);
    state_free(&disk->now);
    for (size_t i = 0; i < disk->root_count; i++)
        free(disk->roots[i]);
    free(disk);
    return NULL;
}

/* A state. */

static bool flushed_later(const struct disk *disk, size_t event, size_t end, size_t inode) {
    for (size_t i = event + 1; i < end; i++) {
        if (disk->events[i].flushed_all || disk->events[i].flushed == inode)
            return true;
    }
    return false;
}

static size_t last_flush(const struct disk *disk, size_t end) {
    for (size_t i = end; i; i--) {
        if (disk_event_flushes(disk, i - 1))
            return i;
    }
    return 0;
}

static bool is_lost(const struct disk_crash *crash, struct rng *rng) {
    return crash->loss == DISK_LOSES_UNFLUSHED || (crash->loss == DISK_LOSES_SOME && rng_percent(rng, 50));
}

static void keep_data(const struct disk *disk, const struct disk_crash *crash, struct disk_state *state, size_t event,
                      const struct effect *effect, struct rng *rng) {
    struct inode *inode = &state->inodes[effect->inode];
    bool lost = !flushed_later(disk, event, crash->end, effect->inode) && is_lost(crash, rng);
    uint64_t end = effect->offset + effect->size;
    if (!lost && event < crash->kept) {
        apply(state, effect);
    } else if (!lost && effect->offset < inode->size) {       /* the new length was not kept, what lies within the old one was */
        memcpy(inode->content + effect->offset, effect->bytes, MIN(effect->size, inode->size - effect->offset));
    } else if (lost && event < crash->kept && end > inode->size && rng_percent(rng, 50)) {
        set_size(inode, end);
    }
}

static void replay(const struct disk *disk, const struct disk_crash *crash, struct disk_state *ret) {
    struct rng rng = { crash->seed };
    copy_state(ret, &disk->base);
    while (ret->count < disk->now.count)
        add_inode(ret);
    for (size_t i = 0; i < crash->end; i++) {
        for (size_t j = 0; j < disk->events[i].count; j++) {
            const struct effect *effect = &disk->events[i].effects[j];
            if (effect->kind == DATA)
                keep_data(disk, crash, ret, i, effect, &rng);
            else if (i < crash->kept)
                apply(ret, effect);
        }
    }
}

/* Making it real. What is in its place with the right content is not touched, so that it keeps its inode and ctime, as it would
 * on the disk; what lies elsewhere is moved there; only what exists no more is made anew. */

struct builder {
    const struct disk *disk;
    struct disk_state want;
    int *fds;                  /* by inode: O_PATH, directories O_RDONLY; -1: does not exist */
    bool *placed;              /* by inode: is somewhere in the state that is wanted */
    int park;                  /* what has no place (yet); names are numbers of inodes */
};

static int open_inode(const struct builder *builder, size_t number, int dirfd, const char *name) {
    mode_t mode = builder->disk->now.inodes[number].node.mode;
    return openat(dirfd, name, O_NOFOLLOW | O_CLOEXEC | (S_ISDIR(mode) ? O_RDONLY | O_DIRECTORY : O_PATH));
}

static int open_all(struct builder *builder, size_t dir) {
    const struct inode *inode = &builder->disk->now.inodes[dir];
    for (size_t i = 0; i < inode->count; i++) {
        size_t number = inode->names[i].inode;
        if (builder->fds[number] >= 0)
            continue;
        builder->fds[number] = open_inode(builder, number, builder->fds[dir], inode->names[i].name);
        if (builder->fds[number] < 0 || (S_ISDIR(builder->disk->now.inodes[number].node.mode) && open_all(builder, number) < 0))
            return -1;
    }
    return 0;
}

static void find_placed(struct builder *builder, size_t number) {
    const struct inode *inode = &builder->want.inodes[number];
    builder->placed[number] = true;
    for (size_t i = 0; i < inode->count; i++)
        find_placed(builder, inode->names[i].inode);
}

static void park_name(size_t number, size_t which, char ret[48]) {
    snprintf(ret, 48, "%zu.%zu", number, which);
}

static int park_names(struct builder *builder, size_t dir) {
    const struct inode *inode = &builder->disk->now.inodes[dir];
    char parked[48];
    for (size_t i = 0; i < inode->count; i++) {
        size_t number = inode->names[i].inode;
        if (builder->placed[dir] && get_name(&builder->want.inodes[dir], inode->names[i].name) == number)
            continue;
        park_name(number, S_ISDIR(builder->disk->now.inodes[number].node.mode) ? 0 : dir * 1000 + i, parked);
        if (renameat(builder->fds[dir], inode->names[i].name, builder->park, parked) < 0)
            return -1;
    }
    return 0;
}

static int park_all(struct builder *builder) {
    for (size_t i = 1; i < builder->disk->now.count; i++) {
        if (builder->fds[i] >= 0 && S_ISDIR(builder->disk->now.inodes[i].node.mode) && park_names(builder, i) < 0)
            return -1;
    }
    return 0;
}

static int make_anew(struct builder *builder, size_t number, int dirfd, const char *name) {
    const struct inode *inode = &builder->want.inodes[number];
    int result;
    if (S_ISDIR(inode->node.mode))
        result = mkdirat(dirfd, name, 0700);
    else if (S_ISLNK(inode->node.mode))
        result = symlinkat(inode->node.target, dirfd, name);
    else
        result = mknodat(dirfd, name, (inode->node.mode & S_IFMT) | 0600, inode->node.rdev);
    if (result < 0)
        return -1;
    builder->fds[number] = openat(dirfd, name, O_NOFOLLOW | O_CLOEXEC | (S_ISDIR(inode->node.mode) ? O_RDONLY | O_DIRECTORY : O_PATH));
    return builder->fds[number] < 0 ? -1 : 0;
}

static int place_one(struct builder *builder, size_t number, int dirfd, const char *name) {
    char link[64];
    if (!builder->want.inodes[number].node.mode) {       /* a name without its inode: no journal in order keeps that */
        errno = EUCLEAN;
        return -1;
    }
    if (builder->fds[number] < 0)
        return make_anew(builder, number, dirfd, name);
    if (S_ISDIR(builder->want.inodes[number].node.mode)) {
        park_name(number, 0, link);
        return renameat(builder->park, link, dirfd, name);
    }
    snprintf(link, sizeof(link), "/proc/self/fd/%d", builder->fds[number]);
    return linkat(AT_FDCWD, link, dirfd, name, AT_SYMLINK_FOLLOW);
}

static int place_all(struct builder *builder, size_t dir) {
    const struct inode *want = &builder->want.inodes[dir], *now = &builder->disk->now.inodes[dir];
    for (size_t i = 0; i < want->count; i++) {
        size_t number = want->names[i].inode;
        bool there = builder->fds[number] >= 0 && get_name(now, want->names[i].name) == number;
        if (!there && place_one(builder, number, builder->fds[dir], want->names[i].name) < 0)
            return -1;
        if (S_ISDIR(builder->want.inodes[number].node.mode) && place_all(builder, number) < 0)
            return -1;
    }
    return 0;
}

static bool is_zero(const char *bytes, uint64_t size) {
    return !size || (!bytes[0] && !memcmp(bytes, bytes + 1, size - 1));
}

static int write_content(const char *link, const struct inode *inode) {
    enum { BLOCK = 4096 };
    _close_ int fd = open(link, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0)
        return -1;
    for (uint64_t at = 0; at < inode->size; at += BLOCK) {
        uint64_t size = MIN((uint64_t)BLOCK, inode->size - at);
        if (!is_zero(inode->content + at, size) && pwrite(fd, inode->content + at, size, (off_t)at) != (ssize_t)size)
            return -1;
    }
    return ftruncate(fd, (off_t)inode->size);
}

static int set_xattrs(const char *link, const struct node *have, const struct node *want) {
    for (size_t at = 0; at < have->xattrs_size;) {
        const char *name = have->xattrs + at;
        uint64_t size;
        memcpy(&size, name + strlen(name) + 1, sizeof(size));
        at += strlen(name) + 1 + sizeof(size) + size;
        if (removexattr(link, name) < 0)
            return -1;
    }
    for (size_t at = 0; at < want->xattrs_size;) {
        const char *name = want->xattrs + at, *value = name + strlen(name) + 1 + sizeof(uint64_t);
        uint64_t size;
        memcpy(&size, name + strlen(name) + 1, sizeof(size));
        at += strlen(name) + 1 + sizeof(size) + size;
        if (setxattr(link, name, value, size, 0) < 0)
            return -1;
    }
    return 0;
}

static int set_attributes(int fd, const char *link, const struct node *want) {
    struct node have = {0};
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, want->mtime };
    int result = node_read_fd(fd, &have);
    if (!result && !same_attributes(&have, want)) {
        result = fchownat(fd, "", want->uid, want->gid, AT_EMPTY_PATH);
        if (!result && !S_ISLNK(want->mode))
            result = chmod(link, want->mode & 07777);
        if (!result)
            result = set_xattrs(link, &have, want);
        if (!result)
            result = utimensat(fd, "", times, AT_EMPTY_PATH);
    }
    node_done(&have);
    return result;
}

static int fill_all(struct builder *builder) {
    for (size_t i = 1; i < builder->want.count; i++) {
        const struct inode *want = &builder->want.inodes[i], *now = &builder->disk->now.inodes[i];
        char link[64];
        if (!builder->placed[i])
            continue;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", builder->fds[i]);
        bool same = want->size == now->size && (!want->size || !memcmp(want->content, now->content, want->size)) && is_named(&builder->disk->now, i);
        if (S_ISREG(want->node.mode) && !same && write_content(link, want) < 0)
            return -1;
        if (set_attributes(builder->fds[i], link, &want->node) < 0)
            return -1;
    }
    return 0;
}

/* What the model does not know because it lives in memory. */
static int forget_memory(int dirfd) {
    int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        if (lives_in_memory(entry->d_name) && unlinkat(copy, entry->d_name, 0) < 0)
            return -1;
    }
    return dir ? 0 : -1;
}

static int build(struct builder *builder) {
    const struct disk *disk = builder->disk;
    for (size_t i = 0; i < disk->root_count; i++) {
        builder->fds[i + 1] = open(disk->roots[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (builder->fds[i + 1] < 0 || open_all(builder, i + 1) < 0)
            return -1;
        find_placed(builder, i + 1);
    }
    for (size_t i = 1; i < disk->now.count; i++) {
        if (builder->fds[i] >= 0 && S_ISDIR(disk->now.inodes[i].node.mode) && forget_memory(builder->fds[i]) < 0)
            return -1;
    }
    if (park_all(builder) < 0)
        return -1;
    for (size_t i = 0; i < disk->root_count; i++) {
        if (place_all(builder, i + 1) < 0)
            return -1;
    }
    return fill_all(builder);
}

int disk_build(const struct disk *disk, struct disk_crash *crash, const char *park) {
    struct builder builder = { .disk = disk, .fds = must(malloc((disk->now.count + 1) * sizeof(int))),
                               .placed = must(calloc(disk->now.count + 1, 1)) };
    size_t flushed = last_flush(disk, crash->end);
    crash->kept = MIN(crash->kept, crash->end);
    crash->kept = MAX(crash->kept, flushed);
    replay(disk, crash, &builder.want);
    for (size_t i = 0; i < disk->now.count; i++)
        builder.fds[i] = -1;
    builder.park = mkdir(park, 0700) < 0 ? -1 : open(park, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = builder.park < 0 ? -1 : build(&builder), saved = errno;
    for (size_t i = 0; i < disk->now.count; i++)
        fd_close(builder.fds[i]);
    fd_close(builder.park);
    if (!result)
        result = remove_tree(AT_FDCWD, park);
    else
        errno = saved;
    state_free(&builder.want);
    free(builder.fds);
    free(builder.placed);
    return result;
}
