/* A lower tree: something read-only below the current layer, whatever it is made of.
 *
 * Three kinds: a directory in overlayfs' format (lower_layer.c), the live project (the same without marks; below.h follows it),
 * a snapshot read through the index (lower_snapshot.c: depth costs nothing). A directory of it is a `struct lower_dir`,
 * a file is (directory, name). Nothing is held open per file; descriptors of directories are kept within a budget.
 *
 * Thread-safe. All failures are a negative errno: what FUSE answers. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

struct lower_dir;                         /* of the implementation, counted */

enum lower_found { LOWER_ABSENT = 0, LOWER_ENTRY, LOWER_WHITEOUT };
struct lower_entry {
    struct stat stat;                     /* st_ino: the number of the object, unique in this tree (see `device`); st_nlink as in this tree */
    struct timespec birth;                /* 0 = not known */
    uint64_t generation;                  /* of the object: another one that has its number later has another. Not told by stat_dir */
    struct lower_dir *dir;                /* directories: a new reference, else NULL */
    bool opaque;                          /* directories: nothing below it shows through */
    bool metacopy;                        /* regular files: metadata alone; the bytes are under this name, or `redirect`, in the trees below */
    char *redirect;                       /* "/path" or "name" in the trees below, NULL = none; owned */
};

/* One name of a listing; `ino` 0 = not known without a look. > 0 ends the listing, which returns it. Whiteouts are told with type DT_WHT. */
typedef int (*lower_name_fn)(void *data, const char *name, unsigned char type, uint64_t ino);

/* What a handle of this tree is made of: enough to find the object again in another process. */
struct lower_handle { uint32_t type; uint32_t size; unsigned char bytes[128]; };

struct lower;
struct lower_ops {
    void (*close)(struct lower *lower);
    struct lower_dir *(*ref)(struct lower_dir *dir);
    void (*unref)(struct lower *lower, struct lower_dir *dir);
    int (*root)(struct lower *lower, struct lower_entry *ret);
    int (*lookup)(struct lower *lower, struct lower_dir *dir, const char *name, struct lower_entry *ret);   /* enum lower_found */
    int (*stat_dir)(struct lower *lower, struct lower_dir *dir, struct lower_entry *ret);                   /* ret->dir NULL */
    int (*list)(struct lower *lower, struct lower_dir *dir, lower_name_fn fn, void *data);                   /* without . and .. */
    /* name "" = the directory itself. */
    int (*open)(struct lower *lower, struct lower_dir *dir, const char *name);                              /* regular file, O_RDONLY */
    int (*hold)(struct lower *lower, struct lower_dir *dir, const char *name);       /* O_PATH, whatever it is; NULL: nothing changes here */
    int (*read_link)(struct lower *lower, struct lower_dir *dir, const char *name, struct buf *ret);
    /* The project's own names: the marks of the format are hidden, escaped ones unescaped. size 0 asks for the size. */
    ssize_t (*get_xattr)(struct lower *lower, struct lower_dir *dir, const char *name, const char *xattr, void *value, size_t size);
    ssize_t (*list_xattr)(struct lower *lower, struct lower_dir *dir, const char *name, char *list, size_t size);
    int (*handle)(struct lower *lower, struct lower_dir *dir, const char *name, struct lower_handle *ret);   /* -EOPNOTSUPP */
    /* Where the object of this number or handle is now: 0 absent, 1 found; *ret_dir a new reference, *ret_name owned.
     * -EAGAIN: cannot tell this time. NULL: never can. */
    int (*find)(struct lower *lower, uint64_t ino, const struct lower_handle *handle, struct lower_dir **ret_dir, char **ret_name);
    int (*where)(struct lower *lower, struct lower_dir *dir, struct buf *ret_path);     /* "" for the root; for redirects and messages */
    int (*statfs)(struct lower *lower, struct statvfs *ret);
};
struct lower {                            /* each implementation begins with it */
    const struct lower_ops *ops;
    uint64_t device;                      /* st_dev of what its numbers are unique in; 0 = of no file system (a snapshot) */
    bool immutable;                       /* never changes while it is open: attributes may be kept */
};

/* lower_layer.c. The descriptor is duplicated. `marks`: whiteouts, opaque and redirect of overlayfs' format count. */
int lower_layer_open(int dirfd, bool marks, struct lower **ret);

/* lower_snapshot.c: the tree of a snapshot. The store stays the caller's, but until the tree is closed nobody else uses
 * its connection. What deserves a sentence, as damage does, goes to `log`, which may be NULL. */
struct store;
struct point;
struct lower_snapshot {
    struct store *store;
    const struct point *at;
    void (*log)(void *data, const char *sentence);
    void *data;
};
int lower_snapshot_open(const struct lower_snapshot *options, struct lower **ret);
int64_t lower_snapshot_object(uint64_t ino);         /* the object that has this number in it; 0 = it is no file's */
