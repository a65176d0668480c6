/* Reading trees and telling them apart.
 * Knows nothing of snapshots; believes only what the kernel says of the file now. SPDX-License-Identifier: GPL-2.0-or-later */
#include "listing.h"

#include "cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/xattr.h>
#include <xxhash.h>

enum { VALUE_MAX = 65536, REPORTED_MAX = 40 };

void node_done(struct node *node) {
    free(node->path);
    free(node->target);
    free(node->xattrs);
}

struct listing *listing_free(struct listing *listing) {
    if (!listing)
        return NULL;
    for (size_t i = 0; i < listing->count; i++)
        node_done(&listing->nodes[i]);
    free(listing->nodes);
    free(listing);
    return NULL;
}
DEFINE_CLEANUP(struct listing *, listing_free)

void print_path(FILE *out, const char *path) {
    fputc('\'', out);
    for (const unsigned char *at = (const unsigned char *)path; *at; at++) {
        if (*at < 32 || *at >= 127 || *at == '\\')
            fprintf(out, "\\%03o", *at);
        else
            fputc(*at, out);
    }
    fputc('\'', out);
}

bool path_is_below(const char *path, const char *top) {
    size_t size = strlen(top);
    return !size || (!strncmp(path, top, size) && (!path[size] || path[size] == '/'));
}

/* Reading. */

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool xattr_counts(const char *name) {
    return strncmp(name, "trusted.SGI_ACL", strlen("trusted.SGI_ACL")) != 0      /* how xfs keeps an ACL, which is there as one */
        && strcmp(name, "security.selinux") != 0;
}

/* `at` is a link in /proc/self/fd: it leads to the inode itself, also to a symlink, no further. */
static int pack_xattr(FILE *out, const char *at, const char *name) {
    _free_ char *value = malloc(VALUE_MAX);
    if (!value)
        return -1;
    ssize_t size = getxattr(at, name, value, VALUE_MAX);
    if (size < 0)
        return -1;
    uint64_t size64 = (uint64_t)size;
    fwrite(name, 1, strlen(name) + 1, out);
    fwrite(&size64, sizeof(size64), 1, out);
    fwrite(value, 1, (size_t)size, out);
    return 0;
}

static int read_xattrs(const char *at, struct node *node) {
    _free_ char *list = malloc(VALUE_MAX);
    char *names[1024];
    size_t count = 0;
    if (!list)
        return -1;
    ssize_t size = listxattr(at, list, VALUE_MAX);
    if (size < 0)
        return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -1;
    for (char *name = list; name < list + size && count < ELEMENTS(names); name += strlen(name) + 1) {
        if (xattr_counts(name))
            names[count++] = name;
    }
    if (!count)
        return 0;
    qsort(names, count, sizeof(*names), by_name);
    FILE *out = open_memstream(&node->xattrs, &node->xattrs_size);
    if (!out)
        return -1;
    int result = 0;
    for (size_t i = 0; i < count && !result; i++)
        result = pack_xattr(out, at, names[i]);
    return fclose(out) ? -1 : result;
}

static int read_digest(int dirfd, const char *name, struct node *node) {
    _close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    _free_ char *block = malloc(1 << 18);
    if (fd < 0 || !block)
        return -1;
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return -1;
    XXH3_128bits_reset(state);
    ssize_t got;
    while ((got = read(fd, block, 1 << 18)) > 0)
        XXH3_128bits_update(state, block, (size_t)got);
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(state));
    memcpy(node->digest, digest.digest, sizeof(node->digest));
    XXH3_freeState(state);
    return got < 0 ? -1 : 0;
}

static int read_target(int fd, struct node *node) {
    char target[PATH_MAX + 1];
    ssize_t size = readlinkat(fd, "", target, sizeof(target) - 1);
    if (size < 0)
        return -1;
    target[size] = 0;
    node->target = strdup(target);
    return node->target ? 0 : -1;
}

static struct node *listing_add(struct listing *listing) {
    if (listing->count == listing->room) {
        size_t room = listing->room ? listing->room * 2 : 64;
        struct node *nodes = reallocarray(listing->nodes, room, sizeof(*nodes));
        if (!nodes)
            return NULL;
        listing->nodes = nodes;
        listing->room = room;
    }
    struct node *node = &listing->nodes[listing->count++];
    memset(node, 0, sizeof(*node));
    return node;
}

int node_read_fd(int fd, struct node *ret) {
    struct stat stat;
    char at[64];
    if (fstat(fd, &stat) < 0)
        return -1;
    ret->mode = stat.st_mode;
    ret->uid = stat.st_uid;
    ret->gid = stat.st_gid;
    ret->mtime = stat.st_mtim;
    ret->dev = stat.st_dev;
    ret->ino = stat.st_ino;
    ret->allocated = (uint64_t)stat.st_blocks * 512;
    if (S_ISREG(stat.st_mode) || S_ISLNK(stat.st_mode))
        ret->size = (uint64_t)stat.st_size;
    if (S_ISBLK(stat.st_mode) || S_ISCHR(stat.st_mode))
        ret->rdev = stat.st_rdev;
    snprintf(at, sizeof(at), "/proc/self/fd/%d", fd);
    if (read_xattrs(at, ret) < 0)
        return -1;
    return S_ISLNK(stat.st_mode) ? read_target(fd, ret) : 0;
}

static int read_node(struct listing *listing, int dirfd, const char *name, const char *path, mode_t *ret_mode) {
    struct node *node = listing_add(listing);
    _close_ int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (!node || fd < 0 || !(node->path = strdup(path)) || node_read_fd(fd, node) < 0)
        return -1;
    *ret_mode = node->mode;
    return S_ISREG(node->mode) ? read_digest(dirfd, name, node) : 0;
}

static int read_tree(struct listing *listing, int dirfd, const char *name, const char *path);

static int read_children(struct listing *listing, int dirfd, const char *name, const char *path) {
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return fd_close(fd);
    struct dirent *entry;
    while (errno = 0, (entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        _free_ char *below = NULL;
        if (asprintf(&below, "%s%s%s", path, *path ? "/" : "", entry->d_name) < 0)
            return -1;
        if (read_tree(listing, fd, entry->d_name, below) < 0)
            return -1;
    }
    return errno ? -1 : 0;
}

static int read_tree(struct listing *listing, int dirfd, const char *name, const char *path) {
    mode_t mode = 0;
    if (read_node(listing, dirfd, name, path, &mode) < 0)
        return -1;
    return S_ISDIR(mode) ? read_children(listing, dirfd, name, path) : 0;
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct node *)a)->path, ((const struct node *)b)->path);
}

static int by_inode(const void *a, const void *b) {
    const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;
    if (x->dev != y->dev)
        return x->dev < y->dev ? -1 : 1;
    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    return x < y ? -1 : x > y;
}

static int find_groups(struct listing *listing) {
    _free_ struct node **nodes = calloc(listing->count + 1, sizeof(*nodes));
    if (!nodes)
        return -1;
    for (size_t i = 0; i < listing->count; i++)
        nodes[i] = &listing->nodes[i];
    qsort(nodes, listing->count, sizeof(*nodes), by_inode);
    for (size_t i = 0; i < listing->count; i++) {
        bool same = i && nodes[i]->dev == nodes[i - 1]->dev && nodes[i]->ino == nodes[i - 1]->ino;
        nodes[i]->first = same ? nodes[i - 1]->first : (size_t)(nodes[i] - listing->nodes);
    }
    return 0;
}

struct listing *listing_read(int dirfd, const char *name) {
    _cleanup_(listing_freep) struct listing *listing = calloc(1, sizeof(*listing));
    if (!listing || read_tree(listing, dirfd, name, "") < 0)
        return NULL;
    qsort(listing->nodes, listing->count, sizeof(*listing->nodes), by_path);
    return find_groups(listing) < 0 ? NULL : TAKE_PTR(listing);
}

struct listing *listing_read_path(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        return listing_read(AT_FDCWD, path);
    _free_ char *parent = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    _close_ int fd = parent ? open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    return fd < 0 ? NULL : listing_read(fd, slash + 1);
}

/* Parts of it. */

struct listing *listing_below(const struct listing *listing, const char *path) {
    _cleanup_(listing_freep) struct listing *below = calloc(1, sizeof(*below));
    size_t skip = strlen(path);
    if (!below || !listing_find(listing, path))
        return NULL;
    for (size_t i = 0; i < listing->count; i++) {
        const struct node *from = &listing->nodes[i];
        if (!path_is_below(from->path, path))
            continue;
        struct node *node = listing_add(below);
        if (!node)
            return NULL;
        *node = *from;
        const char *rest = from->path + skip;
        node->path = strdup(skip && *rest == '/' ? rest + 1 : rest);
        node->target = from->target ? strdup(from->target) : NULL;
        node->xattrs = from->xattrs ? malloc(from->xattrs_size) : NULL;
        if (node->xattrs)
            memcpy(node->xattrs, from->xattrs, from->xattrs_size);
        if (!node->path || !node->target != !from->target || !node->xattrs != !from->xattrs)
            return NULL;
    }
    qsort(below->nodes, below->count, sizeof(*below->nodes), by_path);
    return find_groups(below) < 0 ? NULL : TAKE_PTR(below);
}

struct listing *listing_copy(const struct listing *listing) {
    return listing_below(listing, "");
}

const struct node *listing_find(const struct listing *listing, const char *path) {
    struct node key = { .path = (char *)path };
    return listing->count ? bsearch(&key, listing->nodes, listing->count, sizeof(key), by_path) : NULL;
}

/* Comparing. */

bool node_same_content(const struct node *a, const struct node *b) {
    if ((a->mode & S_IFMT) != (b->mode & S_IFMT) || a->size != b->size || a->rdev != b->rdev)
        return false;
    if (S_ISLNK(a->mode))
        return !strcmp(a->target, b->target);
    return !S_ISREG(a->mode) || !memcmp(a->digest, b->digest, sizeof(a->digest));
}

bool node_same_metadata(const struct node *a, const struct node *b) {
    return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->xattrs_size == b->xattrs_size
        && (!a->xattrs_size || !memcmp(a->xattrs, b->xattrs, a->xattrs_size));
}

static size_t next_name(const struct listing *listing, size_t first, size_t at) {
    while (at < listing->count && listing->nodes[at].first != first)
        at++;
    return at;
}

bool node_same_links(const struct listing *a, const struct node *in_a, const struct listing *b, const struct node *in_b) {
    if (S_ISDIR(in_a->mode) || S_ISDIR(in_b->mode))
        return true;
    size_t i = next_name(a, in_a->first, 0), j = next_name(b, in_b->first, 0);
    while (i < a->count && j < b->count) {
        if (strcmp(a->nodes[i].path, b->nodes[j].path) != 0)
            return false;
        i = next_name(a, in_a->first, i + 1);
        j = next_name(b, in_b->first, j + 1);
    }
    return i == a->count && j == b->count;
}

static bool same_time(const struct node *a, const struct node *b) {
    return a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

/* A file with large holes stays one; small differences are the file system's business. */
static bool grew_on_disk(const struct node *want, const struct node *have) {
    uint64_t slack = (256 << 10) + want->size / 16;
    return S_ISREG(want->mode) && have->allocated > want->allocated + slack;
}

static void print_xattrs(FILE *out, const struct node *node) {
    size_t at = 0;
    while (at < node->xattrs_size) {
        const char *name = node->xattrs + at;
        uint64_t size;
        at += strlen(name) + 1;
        memcpy(&size, node->xattrs + at, sizeof(size));
        at += sizeof(size) + size;
        fprintf(out, " %s(%llu)", name, (unsigned long long)size);
    }
}

static unsigned say(FILE *out, const char *path, const char *what) {
    if (out) {
        fputs("  ", out);
        print_path(out, path);
        fprintf(out, ": %s\n", what);
    }
    return 1;
}

static unsigned metadata_differs(const struct node *want, const struct node *have, FILE *out) {
    char text[160];
    unsigned found = 0;
    if (want->mode != have->mode) {
        snprintf(text, sizeof(text), "mode %o, should be %o", have->mode, want->mode);
        found += say(out, want->path, text);
    }
    if (want->uid != have->uid || want->gid != have->gid) {
        snprintf(text, sizeof(text), "owner %u:%u, should be %u:%u", have->uid, have->gid, want->uid, want->gid);
        found += say(out, want->path, text);
    }
    if (want->xattrs_size != have->xattrs_size || (want->xattrs_size && memcmp(want->xattrs, have->xattrs, want->xattrs_size))) {
        found += say(out, want->path, "xattrs differ; has, should have:");
        if (out) {
            print_xattrs(out, have);
            fputs(" |", out);
            print_xattrs(out, want);
            fputc('\n', out);
        }
    }
    return found;
}

unsigned node_differs(const struct node *want, const struct node *have, unsigned leave_out, FILE *out) {
    char text[200];
    if ((want->mode & S_IFMT) != (have->mode & S_IFMT)) {
        snprintf(text, sizeof(text), "type %o, should be %o", have->mode & S_IFMT, want->mode & S_IFMT);
        return say(out, want->path, text);
    }
    unsigned found = metadata_differs(want, have, out);
    if (!node_same_content(want, have)) {
        snprintf(text, sizeof(text), "content differs (size %llu, should be %llu)", (unsigned long long)have->size,
                 (unsigned long long)want->size);
        found += say(out, want->path, text);
    }
    bool times = !(leave_out & DIFFER_TIMES) && !(S_ISDIR(want->mode) && leave_out & DIFFER_DIR_TIMES);
    if (times && !same_time(want, have)) {
        snprintf(text, sizeof(text), "mtime %lld.%09ld, should be %lld.%09ld", (long long)have->mtime.tv_sec,
                 have->mtime.tv_nsec, (long long)want->mtime.tv_sec, want->mtime.tv_nsec);
        found += say(out, want->path, text);
    }
    if (!(leave_out & DIFFER_SPACE) && grew_on_disk(want, have)) {
        snprintf(text, sizeof(text), "takes %llu bytes on disk, had %llu (size %llu)", (unsigned long long)have->allocated,
                 (unsigned long long)want->allocated, (unsigned long long)want->size);
        found += say(out, want->path, text);
    }
    return found;
}

static bool is_one_of(const char *path, const char *const *paths) {
    for (; paths && *paths; paths++) {
        if (!strcmp(path, *paths))
            return true;
    }
    return false;
}

static unsigned both_differ(const struct listing *want, const struct node *a, const struct listing *have, const struct node *b,
                            unsigned leave_out, FILE *out) {
    unsigned found = node_differs(a, b, leave_out, out);
    if (!found && !(leave_out & DIFFER_LINKS) && !node_same_links(want, a, have, b))
        found += say(out, a->path, "is linked with other names than it should be");
    return found;
}

unsigned listing_differs(const struct listing *want, const struct listing *have, unsigned leave_out,
                         const char *const *times_of_some, FILE *out) {
    unsigned found = 0;
    size_t i = 0, j = 0;
    while (i < want->count || j < have->count) {
        const struct node *a = i < want->count ? &want->nodes[i] : NULL, *b = j < have->count ? &have->nodes[j] : NULL;
        int order = !a ? 1 : !b ? -1 : strcmp(a->path, b->path);
        FILE *to = found < REPORTED_MAX ? out : NULL;
        if (order < 0)
            found += say(to, a->path, "is missing");
        else if (order > 0)
            found += say(to, b->path, "should not be there");
        else
            found += both_differ(want, a, have, b, leave_out | (is_one_of(a->path, times_of_some) ? DIFFER_DIR_TIMES : 0), to);
        i += order <= 0;
        j += order >= 0;
    }
    return found;
}

/* Removing. */

int remove_tree(int dirfd, const char *name) {
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && fchmodat(dirfd, name, 0700, 0) == 0)
        fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        (void)fchmod(fd, 0700);
    _closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return fd_close(fd);
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && remove_tree(fd, entry->d_name) < 0)
            return -1;
    }
    return unlinkat(dirfd, name, AT_REMOVEDIR);
}
