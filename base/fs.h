/* Small file-system verbs over directory descriptors. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include "err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* openat2 beneath dirfd without following symlinks; falls back to a walk where openat2 is refused (ENOSYS, EPERM by seccomp).
 * `path` may have several components and be longer than PATH_MAX. Returns a descriptor or a negative errno. */
int fs_open_beneath(int dirfd, const char *path, int flags, mode_t mode);
int fs_read_all(int fd, size_t limit, struct buf *out);                               /* from its position on; -EFBIG past the limit */
int fs_read_file(int dirfd, const char *name, size_t limit, struct buf *out);        /* -EFBIG past the limit */
int fs_write_all(int fd, const void *data, size_t size);
/* The whole new content or the old one, also after a power loss: temporary name, fsync, rename, fsync of dirfd. */
int fs_replace_file(int dirfd, const char *name, const void *data, size_t size, mode_t mode);
/* Removes what is there, whatever its type, depth, modes and number; absent is success. Does not cross mounts, follows nothing. */
int fs_remove_tree(int dirfd, const char *name);
struct statx;
/* AT_SYMLINK_NOFOLLOW, AT_NO_AUTOMOUNT, META_STATX; "" = dirfd itself. No time of birth where it does not last (overlayfs). */
int fs_statx(int dirfd, const char *name, struct statx *ret);
/* 1 = another mount lies on this directory, 0 = not (or not known, before Linux 5.8). Asks no file system, so that who serves the
 * mount may ask. */
int fs_is_mount_point(int dirfd, const char *name);
int fs_raise_descriptor_limit(void);     /* soft RLIMIT_NOFILE to hard, at most 1 << 20; returns what may be used */
/* The file system's own clock, as it stamps files now: the ctime of a probe file written in dirfd. */
int fs_now(int dirfd, struct timespec *ret);
/* 1 = a change right after a statx always changes ctime here (multigrain timestamps), 0 = not. Probed with an unnamed or
 * named temporary file in dirfd. */
int fs_has_fine_timestamps(int dirfd);
/* The pids that hold this file open for writing or mapped, as far as /proc shows them to us: "1234 (postgres)", "" = none seen. */
void fs_who_writes(const struct stat *file, struct buf *out);
void fs_name_process(int process, const char *pid, struct buf *out);         /* adds "1234 (bash)"; `process`: a descriptor of /proc/1234 */
