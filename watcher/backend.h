/* The two ways of watching, as watch.c sees them. Not a door of this room. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "watch.h"
#include <sys/stat.h>

struct watch_ops {
    int (*open)(struct watch *watch, struct snap_err *err);
    void (*close)(struct watch *watch);
    int (*read)(struct watch *watch, struct snap_err *err);
    int (*path)(struct watch *watch, struct watch_inode dir, struct buf *ret);
    int (*writable)(struct watch *watch);
};
extern const struct watch_ops watch_inotify, watch_fanotify;

struct watch {                            /* each backend's own struct begins with it */
    const struct watch_ops *ops;
    struct watch_options options;         /* root: ours */
    struct watch_inode root;
    uint64_t mount;                       /* STATX_MNT_ID of the root */
    int fd;                               /* keeps its number over an overflow */
    watch_fn fn;                          /* of the call that is running */
    void *data;
    struct watch_info info;
    struct map *fresh;                    /* inodes that were made since they were last settled, with one name then: a set */
};
struct watch *watch_inotify_new(void);
struct watch *watch_fanotify_new(void);

int watch_tell(struct watch *watch, enum watch_kind kind, struct watch_inode dir, const char *name);
struct watch_seen { struct watch_inode inode; int64_t birth; uint64_t mount; bool is_dir; uint32_t links; };
/* Each file below the root that some process, as far as /proc shows them to us, has mapped to be written to. `dirfd`: O_PATH. */
typedef int (*watch_mapped_fn)(struct watch *watch, int dirfd, const struct watch_seen *dir, const char *name);
int watch_mapped(struct watch *watch, watch_mapped_fn fn);
/* A name, not of a directory, was made in this directory: tells WATCH_LINKED if it is another one of an older inode. */
int watch_came(struct watch *watch, int dirfd, struct watch_inode dir, const char *name);
int watch_look(int dirfd, const char *name, struct watch_seen *ret);      /* 0 or a negative errno; follows nothing */
static inline bool watch_same(struct watch_inode a, struct watch_inode b) { return a.ino == b.ino && a.device == b.device; }
