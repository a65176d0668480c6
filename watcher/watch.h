/* What changes below a directory, told as it happens: by inotify, or by one fanotify mark on the whole file system
 * where that is permitted. Keeps nothing: the journal is its caller's.
 *
 * A change is told in the system call that makes it, before that returns. So a reader who finds the queue empty has been told
 * everything that happened before it began to read: watch_read is the barrier that "synchronise" means, without a cookie file.
 * What is never told: stores through a shared mapping (watch_writable), and what happens to a file under another name of its inode,
 * if that name was outside of the directory or is gone again before its coming was read.
 *
 * libinotifytools is not used for the watching: it keeps one instance a process in global variables, shows no descriptor to
 * poll, waits in whole seconds, names watches by path (so that moving a directory costs a pass over all of them, and a swapped symlink is
 * followed), and cuts names at 4 096 bytes. Its headers and its look at the limits are. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include "err.h"
#include <stdbool.h>
#include <stdint.h>

struct watch;

enum watch_backend { WATCH_AUTO = 0, WATCH_INOTIFY, WATCH_FANOTIFY };
struct watch_options {
    int root;                             /* the directory; duplicated; not O_PATH */
    enum watch_backend backend;           /* AUTO: inotify, or fanotify where there can be no instance of it */
    unsigned watches_max;                 /* inotify: at most so many, 0 = what the kernel allows */
    /* A directory that need not be watched, by its path from the root. NULL: none. Mounts inside are left out anyway. */
    bool (*left_out)(void *data, const char *path);
    void *data;
};

enum watch_kind {
    WATCH_ENTRY = 0,                      /* the name in the directory: made, gone, moved, replaced, written, other metadata */
    WATCH_BELOW,                          /* a directory came under the name: nothing is known of what is in it */
    WATCH_DIRECTORY,                      /* metadata of the directory itself */
    WATCH_UNCOVERED,                      /* in this directory and below, changes are not told: the limit of watches, or it cannot be read */
    WATCH_LINKED,                         /* a name came to an inode that has others: those changed as well, wherever they are; name NULL */
    WATCH_LOST,                           /* events were lost: anything may have changed */
    WATCH_ROOT_GONE,                      /* the root was moved, removed or unmounted */
};
struct watch_inode { uint64_t device, ino; };     /* of a directory; device as st_dev */
struct watch_change {
    enum watch_kind kind;
    struct watch_inode dir;               /* LOST, ROOT_GONE: the root */
    const char *name;                     /* ENTRY, BELOW; else NULL */
};
typedef int (*watch_fn)(void *data, const struct watch_change *change);     /* a negative errno ends the reading with it */

/* When it returns, changes are being recorded: what happens from now on will be told. `fn` gets what cannot be covered.
 * Cost: inotify one open, one listing and one watch a directory; fanotify none. */
int watch_open(const struct watch_options *options, watch_fn fn, void *data, struct watch **ret, struct snap_err *err);
struct watch *watch_close(struct watch *watch);   /* accepts NULL, returns NULL */
DEFINE_CLEANUP(struct watch *, watch_close)
#define _watch_ _cleanup_(watch_closep)
int watch_fd(const struct watch *watch);          /* readable when something is to be read */
/* Everything that happened before the call. Several changes of one name may be told as one, or as several. */
int watch_read(struct watch *watch, watch_fn fn, void *data, struct snap_err *err);
/* Files that some process has open or mapped: stores into a mapping are told when it goes, so until then they are to be looked at.
 * Each as a WATCH_ENTRY. inotify counts what is opened and closed; fanotify asks /proc, which costs a few milliseconds. */
int watch_writable(struct watch *watch, watch_fn fn, void *data);
/* What was told so far is no longer taken into account: a file that was made before counts as old when it gets another name. */
void watch_settle(struct watch *watch);
/* Where a directory is now, from the root, "" for the root itself: 1 found, 0 it is not below the root (any more).
 * -ENAMETOOLONG: fanotify cannot tell (paths longer than PATH_MAX). */
int watch_path(struct watch *watch, struct watch_inode dir, struct buf *ret);

struct watch_info {
    enum watch_backend backend;
    uint64_t watches;                     /* inotify: directories watched */
    uint64_t uncovered;                   /* directories that are not */
    uint64_t lost;                        /* how often events were lost */
    uint64_t events;                      /* read so far */
};
void watch_info(const struct watch *watch, struct watch_info *ret);
