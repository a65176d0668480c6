/* What lies at (directory descriptor, name), as trees of the overlay look at it; name "" = what the descriptor itself holds,
 * which may be O_PATH. Knows the marks of overlayfs' format, decides nothing by them, follows nothing.
 * Source: Documentation/filesystems/overlayfs.rst, "Whiteouts and opaque directories", "Nesting overlayfs mounts".
 * All failures are a negative errno. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct statx;

int at_stat(int dirfd, const char *name, struct stat *ret, struct timespec *ret_birth);      /* birth 0 = not known */
/* What tells an inode from another that has its number afterwards, and lasts as long as it does: its file handle where those of this
 * file system do, else its time of birth. Never 0. */
bool at_handles_last(int fd);
uint64_t at_generation(int dirfd, const char *name, const struct timespec *birth, bool handles);
int at_list(int dirfd, DIR **ret);                                   /* a stream of its own, at the beginning */
int at_read_link(int dirfd, const char *name, struct buf *ret);

struct marks {
    bool opaque;               /* directories: "y" */
    bool has_whiteouts;        /* directories: "x", some whiteouts are empty files with an xattr */
    bool metacopy;             /* regular files */
    char *redirect;            /* owned; NULL = none */
};
/* Only a file with fewer blocks than bytes can be metadata alone: no other is asked. */
bool may_be_metacopy(const struct stat *stat);
int marks_read(int dirfd, const char *name, struct marks *ret);      /* user.overlay.* and, where we may, trusted.overlay.* */
int marks_set(int dirfd, const char *name, const char *mark, const char *value);             /* user.overlay.MARK */
int marks_clear(int dirfd, const char *name, const char *mark);      /* none there is fine */
/* 1, 0. `files`: an empty file may be one, too. */
int marks_is_whiteout(int dirfd, const char *name, const struct stat *stat, bool files);

/* Xattrs as people see them: with `marks`, those of the format are hidden and user.overlay.* of theirs is kept under
 * user.overlay.overlay.*. size 0 asks for the size. */
ssize_t at_get_xattr(int dirfd, const char *name, const char *xattr, void *value, size_t size, bool marks);
ssize_t at_list_xattr(int dirfd, const char *name, char *list, size_t size, bool marks);
int at_set_xattr(int dirfd, const char *name, const char *xattr, const void *value, size_t size, int flags);
int at_remove_xattr(int dirfd, const char *name, const char *xattr);
