/* What this machine lets us do: FUSE, namespaces, watching, libraries. Changes nothing, mounts nothing.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "doctor.h"

#include "fs.h"
#include "gitlib.h"
#include "watch_limits.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>

/* FUSE. */

/* The first program of that name in PATH: 0 or -ENOENT. */
static int find_program(const char *name, struct stat *ret) {
    const char *path = getenv("PATH");
    for (const char *at = path ? path : "/usr/bin:/bin"; *at;) {
        size_t size = strcspn(at, ":");
        _free_ char *file = NULL;
        if (asprintf(&file, "%.*s/%s", (int)size, at, name) < 0)
            return -ENOMEM;
        if (size > 0 && stat(file, ret) == 0 && S_ISREG(ret->st_mode) && access(file, X_OK) == 0)
            return 0;
        at += size + (at[size] == ':');
    }
    return -ENOENT;
}

static void tell_fusermount(struct doctor *doctor) {
    struct stat stat;
    if (find_program("fusermount3", &stat) < 0)
        doctor_tell(doctor, "fuse", SNAP_CHECK_LIMITED, "install the package fuse3", "/dev/fuse is there, but no fusermount3: only root can mount");
    else if (!(stat.st_mode & S_ISUID) || stat.st_uid != 0)
        doctor_tell(doctor, "fuse", SNAP_CHECK_LIMITED, "chown root and chmod 4755 it, as its package does",
                    "fusermount3 is not setuid root: only root can mount");
    else
        doctor_tell(doctor, "fuse", SNAP_CHECK_OK, "", "file systems can be mounted by users");
}

void probe_fuse(struct doctor *doctor) {
    _close_ int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        tell_fusermount(doctor);
    else if (errno == EACCES || errno == EPERM)
        doctor_tell(doctor, "fuse", SNAP_CHECK_MISSING, "give it mode 0666, as distributions do; in a container, allow the device",
                    "/dev/fuse may not be opened: %s", strerror(errno));
    else
        doctor_tell(doctor, "fuse", SNAP_CHECK_MISSING, "load the module (modprobe fuse); in a container, pass /dev/fuse in",
                    "there is no FUSE here: %s", strerror(errno));
}

/* Root alone may read the list of loaded profiles; the file of the profile says nearly as much. */
static bool is_confined(void) {
    _buf_ struct buf text = {0};
    if (access("/sys/kernel/security/apparmor", F_OK) < 0)
        return false;
    if (fs_read_file(AT_FDCWD, "/sys/kernel/security/apparmor/profiles", 4 << 20, &text) < 0)
        return access("/etc/apparmor.d/fusermount3", F_OK) == 0;
    const char *line = text.data ? strstr(text.data, "fusermount3 (") : NULL;
    return line && strncmp(strchr(line, '('), "(enforce)", strlen("(enforce)")) == 0;
}

void probe_apparmor(struct doctor *doctor) {
    if (is_confined())
        doctor_tell(doctor, "apparmor", SNAP_CHECK_LIMITED,
                    "mount below the home directory, /mnt, /media, /tmp or /run/user, or allow more in /etc/apparmor.d/local/fusermount3",
                    "AppArmor lets fusermount3 mount in some places only");
}

/* Namespaces and capabilities. */

static int try_user_namespace(void) {
    int status = 0;
    pid_t child = fork();
    if (child < 0)
        return -errno;
    if (child == 0)
        _exit(unshare(CLONE_NEWUSER) < 0 ? errno : 0);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

void probe_user_namespaces(struct doctor *doctor) {
    int result = try_user_namespace();
    if (result == 0)
        doctor_tell(doctor, "namespaces", SNAP_CHECK_OK, "", "user namespaces can be made");
    else
        doctor_tell(doctor, "namespaces", SNAP_CHECK_MISSING,
                    "look at sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns",
                    "no user namespace can be made: %s", strerror(-result));
}

/* CAP_SYS_ADMIN in the initial namespace, the only one in which it counts for passthrough. */
static bool is_admin(void) {
    enum { ADMIN = 21 };
    _buf_ struct buf map = {0};
    _buf_ struct buf status = {0};
    if (fs_read_file(AT_FDCWD, "/proc/self/uid_map", 1 << 16, &map) < 0 || fs_read_file(AT_FDCWD, "/proc/self/status", 1 << 20, &status) < 0)
        return false;
    unsigned long long first = 1, outer = 1, count = 0;
    const char *line = status.data ? strstr(status.data, "\nCapEff:") : NULL;
    if (!line || !map.data || sscanf(map.data, "%llu %llu %llu", &first, &outer, &count) != 3)
        return false;
    return first == 0 && outer == 0 && count == UINT32_MAX && strtoull(line + strlen("\nCapEff:"), NULL, 16) >> ADMIN & 1;
}

void probe_passthrough(struct doctor *doctor) {
    struct utsname name;
    unsigned major = 0, minor = 0;
    bool known = uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2;
    if (!known || major < 6 || (major == 6 && minor < 9))
        doctor_tell(doctor, "passthrough", SNAP_CHECK_LIMITED, "Linux 6.9 has it",
                    "this kernel has no FUSE passthrough: mounts copy every byte once more");
    else if (!is_admin())
        doctor_tell(doctor, "passthrough", SNAP_CHECK_LIMITED, "mounts made by root have it",
                    "FUSE passthrough needs CAP_SYS_ADMIN: mounts copy every byte once more");
    else
        doctor_tell(doctor, "passthrough", SNAP_CHECK_OK, "", "mounts read and write files at the speed of the file system below");
}

void probe_libgit2(struct doctor *doctor) {
    const struct git2 *git = NULL;
    struct snap_err err = {0};
    if (git2_load(&git, &err) == 0)
        doctor_tell(doctor, "libgit2", SNAP_CHECK_OK, "", "patches and .snapctlignore work");
    else
        doctor_tell(doctor, "libgit2", SNAP_CHECK_MISSING, err.hint, "neither patches nor .snapctlignore work: %s", err.message);
}

/* Watching. */

static void tell_inotify(struct doctor *doctor, const struct watch_limits *limits, uint64_t directories) {
    char advice[160] = "";
    uint64_t enough = 8192;
    while (enough < 2 * directories)
        enough *= 2;
    if (limits->watches && limits->watches < directories)
        snprintf(advice, sizeof(advice), "sysctl fs.inotify.max_user_watches=%llu, and the same in /etc/sysctl.d to keep it",
                 (unsigned long long)enough);
    enum snap_check result = *advice ? SNAP_CHECK_LIMITED : SNAP_CHECK_OK;
    if (directories)
        doctor_tell(doctor, "inotify", result, advice, "%llu directories to watch, %llu watches, %llu instances and %llu queued events allowed",
                    (unsigned long long)directories, (unsigned long long)limits->watches, (unsigned long long)limits->instances,
                    (unsigned long long)limits->queued);
    else
        doctor_tell(doctor, "inotify", result, advice, "%llu watches, %llu instances and %llu queued events allowed",
                    (unsigned long long)limits->watches, (unsigned long long)limits->instances, (unsigned long long)limits->queued);
}

void probe_watching(struct doctor *doctor, int fd, uint64_t directories) {
    struct watch_limits limits;
    watch_limits(fd, &limits);
    if (limits.inotify < 0)
        doctor_tell(doctor, "inotify", SNAP_CHECK_MISSING,
                    limits.inotify == -EMFILE ? "raise sysctl fs.inotify.max_user_instances, or end programs that watch" : "",
                    "inotify does not work here: %s", strerror(-limits.inotify));
    else
        tell_inotify(doctor, &limits, directories);
    if (limits.fanotify == 0)
        doctor_tell(doctor, "fanotify", SNAP_CHECK_OK, "", "the whole file system can be watched at once");
    else
        doctor_tell(doctor, "fanotify", SNAP_CHECK_LIMITED, limits.fanotify == -EPERM ? "root can; for others inotify does it" : "inotify does it",
                    "the file system cannot be watched as a whole: %s", strerror(-limits.fanotify));
}
