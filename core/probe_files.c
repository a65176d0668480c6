/* What the file system of project and store can do, tried with unnamed files. Leaves nothing behind, and writes no name
 * into a project. SPDX-License-Identifier: GPL-2.0-or-later */
#include "doctor.h"

#include "copy.h"
#include "fs.h"
#include "layer.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static int unnamed(int fd) {
    int file = openat(fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return file < 0 ? -errno : file;
}

/* One block of content in a new file, cloned into another: 0 or a negative errno. */
static int try_clone(int from_dir, int to_dir) {
    static const char block[4096] = "x";
    _close_ int from = unnamed(from_dir), to = unnamed(to_dir);
    if (from < 0 || to < 0)
        return MIN(from, to);
    int result = fs_write_all(from, block, sizeof(block));
    if (result < 0)
        return result;
    return ioctl(to, FICLONE, from) < 0 ? -errno : 0;
}

void probe_reflink(struct doctor *doctor, int project, int store) {
    int result = try_clone(project, store < 0 ? project : store);
    if (result == 0)
        doctor_tell(doctor, "reflink", SNAP_CHECK_OK, "", "files are captured and restored by reflink: no second copy of their content");
    else if (result == -EXDEV)
        doctor_tell(doctor, "reflink", SNAP_CHECK_LIMITED,
                    "put the store on the project's file system: snapctl init --store DIR, before the first snapshot",
                    "project and store cannot share content across file systems or mounts: it is copied");
    else if (result == -EOPNOTSUPP || result == -ENOTTY || result == -EINVAL || result == -ENOSYS)
        doctor_tell(doctor, "reflink", SNAP_CHECK_LIMITED, "on btrfs, xfs or bcachefs capturing is faster and takes no second space",
                    "this file system has no reflink: content is copied");
    else
        doctor_tell(doctor, "reflink", SNAP_CHECK_LIMITED, "", "reflink could not be tried: %s", strerror(-result));
}

void probe_times(struct doctor *doctor, int fd) {
    _close_ int file = unnamed(fd);
    int fine = file < 0 ? file : fs_has_fine_timestamps(fd);
    if (fine > 0)
        doctor_tell(doctor, "timestamps", SNAP_CHECK_OK, "", "every change shows in a file's time stamps");
    else if (fine == 0)
        doctor_tell(doctor, "timestamps", SNAP_CHECK_OK, "", "time stamps are coarse: what was changed just before a capture is compared by content");
    else
        doctor_tell(doctor, "timestamps", SNAP_CHECK_LIMITED, "", "time stamps could not be tried: %s", strerror(-fine));
}

/* A lease is refused while anybody, we too, has the file open for writing: opened again for reading alone. */
static int try_lease(int fd) {
    char path[40];
    _close_ int file = unnamed(fd);
    if (file < 0)
        return file;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    _close_ int again = open(path, O_RDONLY | O_CLOEXEC);
    if (again < 0)
        return -errno;
    close_fd(&file);
    return copy_is_hot(again);
}

void probe_leases(struct doctor *doctor, int fd) {
    int hot = try_lease(fd);
    if (hot == 0)
        doctor_tell(doctor, "leases", SNAP_CHECK_OK, "", "files that somebody is writing to are noticed");
    else if (hot > 0)
        doctor_tell(doctor, "leases", SNAP_CHECK_LIMITED, "",
                    "whether somebody writes to a file cannot be asked here: every file is compared by content each time");
    else
        doctor_tell(doctor, "leases", SNAP_CHECK_LIMITED, "", "leases could not be tried: %s", strerror(-hot));
}

void probe_xattrs(struct doctor *doctor, int fd) {
    _close_ int file = unnamed(fd);
    int result = file < 0 ? file : fsetxattr(file, "user.snapctl.probe", "", 0, 0) < 0 ? -errno : 0;
    if (result == 0)
        doctor_tell(doctor, "xattr", SNAP_CHECK_OK, "", "extended attributes of users are held");
    else if (result == -EOPNOTSUPP)
        doctor_tell(doctor, "xattr", SNAP_CHECK_LIMITED, "use a file system with user xattrs (tmpfs has them since Linux 6.6)",
                    "no extended attributes of users: the manifest and the database hold what the layers cannot");
    else
        doctor_tell(doctor, "xattr", SNAP_CHECK_LIMITED, "", "extended attributes could not be tried: %s", strerror(-result));
}

/* Made in a directory of its own that removes itself: no other command meets it. */
static int try_whiteout(int named, struct stat *ret) {
    char name[40];
    snprintf(name, sizeof(name), "probe-%ld", (long)getpid());
    if (mkdirat(named, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    _close_ int dir = openat(named, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int result = dir < 0 ? -errno : layer_whiteout(dir, "whiteout");
    if (result == 0 && fstatat(dir, "whiteout", ret, AT_SYMLINK_NOFOLLOW) < 0)
        result = -errno;
    int removed = fs_remove_tree(named, name);
    return result < 0 ? result : removed;
}

void probe_whiteouts(struct doctor *doctor, int named) {
    struct stat stat = {0};
    int result = named < 0 ? -ENOENT : try_whiteout(named, &stat);
    if (named < 0)
        return;
    if (result < 0)
        doctor_tell(doctor, "whiteout", SNAP_CHECK_LIMITED, "", "layers cannot show deletions to the kernel's overlayfs here: %s", strerror(-result));
    else if (S_ISCHR(stat.st_mode))
        doctor_tell(doctor, "whiteout", SNAP_CHECK_OK, "", "deletions are stored as overlayfs stores them");
    else
        doctor_tell(doctor, "whiteout", SNAP_CHECK_LIMITED, "in a container, allow mknod of character device 0:0",
                    "deletions are stored as extended attributes, which the kernel's overlayfs knows since Linux 6.7");
}
