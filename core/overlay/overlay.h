/* The overlay: one tree shown from a stack, a current layer on top (or none: read-only) over lower trees.
 * Knows overlay semantics: merging, whiteouts, copy-up, identity. Knows nothing of FUSE, of snapshots' rows, of projects.
 *
 * Source of the semantics: Documentation/filesystems/overlayfs.rst; where POSIX asks for more (constant numbers, hard links,
 * directory renames), POSIX. What is written into the current layer is the kernel's format under user.overlay.*.
 *
 * Every verb returns 0 (or what is said) or a negative errno, ready for the kernel; what deserves a sentence goes to
 * options.log. Verbs may be called from any thread. Locks and their order: core/overlay/README.md.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "err.h"
#include "lower.h"
#include <dirent.h>
#include <stdbool.h>
#include <sys/statvfs.h>

struct overlay;

enum overlay_flags {
    OVERLAY_METACOPY = 1,                 /* a change of metadata alone copies no data of a large file until it must */
    OVERLAY_FOLLOW = 4,                   /* lower trees may be changed by others meanwhile: see below, "Following" */
    OVERLAY_PLAIN_MARKS = 2,              /* files instead of devices as whiteouts, where devices cannot be made (found out at open, too) */
    OVERLAY_STILL = 8,                    /* nobody changes the lower trees while it is open */
};
struct overlay_options {
    int upper, work;                      /* descriptors of the current layer and its work directory, on one file system; duplicated.
                                           * -1 = read-only */
    struct lower **lowers;                /* top first; owned by the overlay from a successful open on */
    size_t lower_count;
    unsigned flags;                       /* enum overlay_flags */
    unsigned watches_max;                 /* with FOLLOW: at most so many; 0 = as many as one program should */
    void (*log)(void *data, const char *sentence);
    void *data;
};
/* -EBUSY: another overlay has this work directory. */
int overlay_open(const struct overlay_options *options, struct overlay **ret, struct snap_err *err);
struct overlay *overlay_close(struct overlay *overlay);   /* accepts NULL; every handle released; empties the work directory */

/* Objects are named by number: st_ino = d_ino = the number of the node, constant for the life of the object. The root is 1
 * as a node (OVERLAY_ROOT), whatever its st_ino. `generation` tells objects apart that had the same number one after another. */
#define OVERLAY_ROOT 1
enum overlay_keep { OVERLAY_KEEP_NAME = 1, OVERLAY_KEEP_ATTRIBUTES = 2, OVERLAY_KEEP_DATA = 4 };     /* DATA of a directory: its listing */
struct overlay_entry {
    uint64_t node, generation;
    unsigned keep;                        /* enum overlay_keep: what is true until something else is told; all of it where nothing is followed */
    struct stat stat;
    struct timespec birth;
};
struct overlay_caller { uid_t uid; gid_t gid; pid_t pid; mode_t umask; };

/* "." and ".." of any number, also one that was not looked up since the start: -ESTALE if no name shows it.
 * A lookup that succeeds holds the node until as many overlay_forget; so do create, mkdir, link... and entries of readdir-plus. */
int overlay_lookup(struct overlay *overlay, uint64_t parent, const char *name, struct overlay_entry *ret);
void overlay_forget(struct overlay *overlay, uint64_t node, uint64_t count);

/* Handles: open files and directories. `handle` may be NULL where it says so. */
struct overlay_handle;
int overlay_getattr(struct overlay *overlay, uint64_t node, struct overlay_handle *handle, struct overlay_entry *ret);
enum overlay_set {
    OVERLAY_SET_MODE = 1, OVERLAY_SET_UID = 2, OVERLAY_SET_GID = 4, OVERLAY_SET_SIZE = 8, OVERLAY_SET_ATIME = 16,
    OVERLAY_SET_MTIME = 32, OVERLAY_SET_ATIME_NOW = 64, OVERLAY_SET_MTIME_NOW = 128, 
    OVERLAY_KILL_SUID = 256,              /* also sgid and security.capability */
};
int overlay_setattr(struct overlay *overlay, const struct overlay_caller *caller, uint64_t node, struct overlay_handle *handle,
                    const struct stat *wanted, unsigned set, struct overlay_entry *ret);
int overlay_read_link(struct overlay *overlay, uint64_t node, struct buf *ret);

int overlay_mknod(struct overlay *overlay, const struct overlay_caller *caller, uint64_t parent, const char *name, mode_t mode, dev_t device,
                  struct overlay_entry *ret);                    /* regular files too */
int overlay_mkdir(struct overlay *overlay, const struct overlay_caller *caller, uint64_t parent, const char *name, mode_t mode,
                  struct overlay_entry *ret);
int overlay_symlink(struct overlay *overlay, const struct overlay_caller *caller, uint64_t parent, const char *name, const char *target,
                    struct overlay_entry *ret);
int overlay_link(struct overlay *overlay, uint64_t node, uint64_t parent, const char *name, struct overlay_entry *ret);
int overlay_unlink(struct overlay *overlay, uint64_t parent, const char *name);
int overlay_rmdir(struct overlay *overlay, uint64_t parent, const char *name);
/* RENAME_NOREPLACE, RENAME_EXCHANGE */
int overlay_rename(struct overlay *overlay, uint64_t from, const char *name, uint64_t to, const char *new_name, unsigned flags);

/* flags as open(2). A lower file opened for writing is not copied up before something is written (O_TRUNC: truncated copy, no data). */
int overlay_open_file(struct overlay *overlay, uint64_t node, int flags, struct overlay_handle **ret);
int overlay_create(struct overlay *overlay, const struct overlay_caller *caller, uint64_t parent, const char *name, mode_t mode, int flags,
                   struct overlay_entry *ret, struct overlay_handle **ret_handle);
int overlay_tmpfile(struct overlay *overlay, const struct overlay_caller *caller, uint64_t parent, mode_t mode, int flags,
                    struct overlay_entry *ret, struct overlay_handle **ret_handle);
void overlay_release(struct overlay *overlay, struct overlay_handle *handle);
unsigned overlay_kept(const struct overlay_handle *handle);      /* enum overlay_keep: what may be kept from before it was opened */
/* The descriptor that holds the bytes now, for reading or (after copy-up) for writing: it stays the right one until
 * overlay_data_end. Between the two nothing else of this interface may be called by the same thread. */
int overlay_data_begin(struct overlay_handle *handle, bool write);
void overlay_data_end(struct overlay_handle *handle);
/* 1 = this file lies in the current layer (or nothing can be copied up), so that the kernel may go to its descriptor directly. */
int overlay_is_settled(struct overlay *overlay, uint64_t node);
int overlay_fsync(struct overlay_handle *handle, bool data_only);
int overlay_fallocate(struct overlay_handle *handle, int mode, off_t offset, off_t size);
off_t overlay_lseek(struct overlay_handle *handle, off_t offset, int whence);       /* SEEK_DATA, SEEK_HOLE */
ssize_t overlay_copy_range(struct overlay_handle *from, off_t from_offset, struct overlay_handle *to, off_t to_offset, size_t size);

/* Listings: a listing is made when it is read from offset 0 and stays what it is for this handle, so that offsets hold.
 * Offsets are counted from 1 and are the position after the entry. "." and ".." are among them. `fn` > 0 ends. */
struct overlay_name { const char *name; uint64_t ino; unsigned char type; off_t next; };
typedef int (*overlay_name_fn)(void *data, const struct overlay_name *name);
/* 1 = ".." is another one than in listings that were read before. */
int overlay_open_dir(struct overlay *overlay, uint64_t node, struct overlay_handle **ret);
int overlay_read_dir(struct overlay_handle *handle, off_t offset, overlay_name_fn fn, void *data);
int overlay_sync_dir(struct overlay_handle *handle, bool data_only);

/* size 0 asks for the size. Names of the overlay are hidden and refused; user.overlay.* of who mounts overlays in here is escaped. */
ssize_t overlay_get_xattr(struct overlay *overlay, uint64_t node, const char *name, void *value, size_t size);
ssize_t overlay_list_xattr(struct overlay *overlay, uint64_t node, char *list, size_t size);
int overlay_set_xattr(struct overlay *overlay, const struct overlay_caller *caller, uint64_t node, const char *name,
                      const void *value, size_t size, int flags);
int overlay_remove_xattr(struct overlay *overlay, uint64_t node, const char *name);

/* Following: lower trees that others change while they are shown.
 *
 * Nothing is watched but what somebody keeps an answer about: a directory from the first question about what is in it, a file of several
 * names from its first lookup; before the look whose answer is kept. So it costs nothing to begin, whatever the tree; and nothing that
 * the kernel does not keep anyway, since a watch goes with its node. (A watch on the whole project, as watch.h has it, would take a
 * pass over all directories at each start, and more watches than many users have.)
 *
 * The overlay's own answers are never stale: it keeps numbers and places, looks each time, and looks places up again that turn out to be
 * wrong. Told are those who keep answers: the kernel. */
/* 1 = what happens to what this directory shows will be told from now on; 0 = not, so ask each time. 1 where nothing is followed. */
int overlay_cover(struct overlay *overlay, uint64_t directory);
int overlay_follow_fd(const struct overlay *overlay);            /* readable when there is something to be told; -1 = nothing is followed */
enum overlay_stale_kind {
    OVERLAY_STALE_NAME = 1,               /* ask for it when it is next used: it may show something else */
    OVERLAY_STALE_DROP,                   /* the same, and what it showed is not there any more */
    OVERLAY_STALE_ATTRIBUTES, OVERLAY_STALE_DATA,     /* DATA: and the attributes; of a directory its listing */
    OVERLAY_STALE_ALL_NAMES,              /* every name, also absent ones; -ENOSYS: those who keep them cannot, so NAME is told for those known */
};
struct overlay_stale { enum overlay_stale_kind kind; uint64_t node; const char *name; };      /* NAME, DROP: the directory */
typedef int (*overlay_stale_fn)(void *data, const struct overlay_stale *stale);       /* 1 = nobody knows it; a negative errno ends the telling */
/* Who asks next, in this thread: the same one that comes again with an object that is gone has no name to look up. 0 = not known. */
void overlay_asked_by(pid_t pid);
/* When it returns everything that happened before the call has been told, in an order that also reaches answers on their way. Called by
 * one thread at a time, which answers nothing itself; no lock is held during `fn`. */
int overlay_tell(struct overlay *overlay, overlay_stale_fn fn, void *data);
/* 1 = something happened to it, before the call, that has not been told to its end yet. */
int overlay_is_doubtful(struct overlay *overlay, uint64_t node);
struct overlay_following { uint64_t watches, uncovered, lost, events; };      /* `uncovered`: directories held that cannot be watched */
void overlay_following(struct overlay *overlay, struct overlay_following *ret);

int overlay_statfs(struct overlay *overlay, struct statvfs *ret);
int overlay_sync(struct overlay *overlay);                       /* everything written is on disk when it returns */

struct overlay_counters { uint64_t nodes, handles, copy_ups, bytes_copied, records, record_queries; };
void overlay_counters(struct overlay *overlay, struct overlay_counters *ret);
