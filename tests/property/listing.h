/* A directory tree as a list of what a snapshot promises to keep, read by this file's own walk.
 * The independent witness of the property and crash tests: shares no code with the program. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

struct node {
    char *path;                /* relative to the root; "" is the root itself */
    mode_t mode;
    uid_t uid;
    gid_t gid;
    uint64_t size;             /* regular files and symlinks, else 0 */
    struct timespec mtime;
    dev_t rdev;                /* devices, else 0 */
    char *target;              /* symlinks, else NULL */
    char *xattrs;              /* name NUL size-in-8-bytes value, by name; NULL = none */
    size_t xattrs_size;
    uint8_t digest[16];        /* regular files */
    uint64_t allocated;        /* bytes on disk */
    dev_t dev;
    ino_t ino;
    size_t first;              /* the first node of the same inode; itself if it is that */
};
struct listing {
    struct node *nodes;        /* by path, in byte order */
    size_t count, room;
};

/* Of an open descriptor, also one opened with O_PATH: all but path, digest and first. -1 with errno. */
int node_read_fd(int fd, struct node *ret);
void node_done(struct node *node);
/* Of `name` in dirfd, whatever it is; follows nothing. NULL with errno: something could not be read. */
struct listing *listing_read(int dirfd, const char *name);
struct listing *listing_read_path(const char *path);
struct listing *listing_copy(const struct listing *listing);
/* What lies at and under `path`, as a listing of its own; NULL: nothing there. */
struct listing *listing_below(const struct listing *listing, const char *path);
struct listing *listing_free(struct listing *listing);              /* accepts NULL, returns NULL */
const struct node *listing_find(const struct listing *listing, const char *path);   /* NULL: absent */
bool path_is_below(const char *path, const char *top);               /* also if equal */

enum differ {                  /* what is not to be compared */
    DIFFER_DIR_TIMES = 1, DIFFER_LINKS = 2, DIFFER_SPACE = 4, DIFFER_TIMES = 8,
};
/* Each difference is a line on `out` (which may be NULL); returns how many. */
unsigned node_differs(const struct node *want, const struct node *have, unsigned leave_out, FILE *out);
/* `times_of_some`: these directories' mtimes are left out; NULL-terminated, may be NULL. */
unsigned listing_differs(const struct listing *want, const struct listing *have, unsigned leave_out,
                         const char *const *times_of_some, FILE *out);
bool node_same_content(const struct node *a, const struct node *b);
bool node_same_metadata(const struct node *a, const struct node *b);    /* mode, owner, xattrs */
/* The names of an inode are the same set in both. */
bool node_same_links(const struct listing *a, const struct node *in_a, const struct listing *b, const struct node *in_b);

void print_path(FILE *out, const char *path);                        /* escaped */
int remove_tree(int dirfd, const char *name);                        /* whatever the modes are; absent is fine. -1 with errno */
