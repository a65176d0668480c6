/* Metadata: read, compared, applied, and what is refused to whom.
 * Refuses to guess: what needs root or a file system's help is skipped with a reason.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "fs.h"
#include "tempdir.h"
#include "meta.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static void skip_because(const char *why) {
    print_message("skipped: %s\n", why);
    skip();
}

static int open_file(int dirfd, const char *name) {
    int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    return fd;
}

static void make_file(int dirfd, const char *name) {
    (void)fd_close(open_file(dirfd, name));
}

static struct meta read_meta(int dirfd, const char *name, int fd) {
    struct statx stat;
    struct meta meta = {0};
    assert_int_equal(fs_statx(dirfd, name, &stat), 0);
    assert_int_equal(meta_read(dirfd, name, fd, &stat, &meta), 0);
    return meta;
}

static void need_user_xattrs(int fd) {
    if (fsetxattr(fd, "user.probe", "", 0, 0) < 0)
        skip_because("no user xattrs on this file system");
    assert_int_equal(fremovexattr(fd, "user.probe"), 0);
}

static void assert_xattr(int fd, const char *name, const char *expected) {
    char value[256];
    ssize_t size = fgetxattr(fd, name, value, sizeof(value));
    if (!expected) {
        assert_int_equal(size, -1);
        return;
    }
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(value, expected, size);
}

static void set_xattr(int fd, const char *name, const char *value) {
    assert_int_equal(fsetxattr(fd, name, value, strlen(value), 0), 0);
}

/* Applies and checks that it now reads the same, and that nothing was missing. */
static void assert_applies(int dirfd, const char *name, const struct meta *meta) {
    unsigned missing = 0xff;
    assert_int_equal(meta_apply(dirfd, name, meta, 0, &missing), 0);
    assert_int_equal(missing, 0);
    _meta_ struct meta now = read_meta(dirfd, name, -1);
    now.size = meta->size;
    assert_int_equal(meta_differs(meta, &now), 0);
    assert_true(meta_equal(meta, &now));
}

/* Reading. */

static void a_file_is_read_with_its_xattrs_sorted(void **state) {
    _close_ int fd = open_file(tempdir_at(state), "file");
    need_user_xattrs(fd);
    assert_int_equal(write(fd, "12345", 5), 5);
    set_xattr(fd, "user.b", "2");
    set_xattr(fd, "user.a", "one");
    set_xattr(fd, "user.c", "");
    _meta_ struct meta by_fd = read_meta(tempdir_at(state), "file", fd), by_name = read_meta(tempdir_at(state), "file", -1);
    _meta_ struct meta itself = read_meta(fd, "", -1);
    assert_int_equal(by_fd.size, 5);
    assert_true(S_ISREG(by_fd.mode));
    assert_null(by_fd.target);
    static const char packed[] = "\6\0\3\0\0\0user.aone" "\6\0\1\0\0\0user.b2" "\6\0\0\0\0\0user.c";
    assert_int_equal(meta_xattr_count(&by_fd), 3);
    assert_int_equal(by_fd.xattrs_size, sizeof(packed) - 1);
    assert_memory_equal(by_fd.xattrs, packed, sizeof(packed) - 1);
    assert_true(meta_equal(&by_fd, &by_name));
    assert_true(meta_equal(&by_fd, &itself));
}

static void a_place_holder_descriptor_is_read_too(void **state) {
    _close_ int fd = open_file(tempdir_at(state), "file");
    need_user_xattrs(fd);
    set_xattr(fd, "user.a", "one");
    _close_ int place = openat(tempdir_at(state), "file", O_PATH | O_CLOEXEC);
    _meta_ struct meta meta = read_meta(place, "", -1);
    assert_int_equal(meta_xattr_count(&meta), 1);
}

static void a_symlink_has_its_target_and_not_the_xattrs_of_what_it_points_to(void **state) {
    _close_ int fd = open_file(tempdir_at(state), "file");
    need_user_xattrs(fd);
    set_xattr(fd, "user.a", "one");
    assert_int_equal(symlinkat("file", tempdir_at(state), "link"), 0);
    _meta_ struct meta meta = read_meta(tempdir_at(state), "link", -1);
    assert_string_equal(meta.target, "file");
    assert_int_equal(meta.size, 4);
    assert_int_equal(meta_xattr_count(&meta), 0);
    assert_null(meta.xattrs);
    _close_ int place = openat(tempdir_at(state), "link", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    _meta_ struct meta itself = read_meta(place, "", -1);
    assert_true(meta_equal(&meta, &itself));
}

static void a_long_target_is_read_whole(void **state) {
    char target[1000];              /* xfs takes 1023 */
    memset(target, 't', sizeof(target) - 1);
    target[sizeof(target) - 1] = '\0';
    assert_int_equal(symlinkat(target, tempdir_at(state), "link"), 0);
    struct statx stat;
    assert_int_equal(fs_statx(tempdir_at(state), "link", &stat), 0);
    static const uint64_t told[] = { 0, 1, 998, 999, 5000 };
    for (size_t i = 0; i < ELEMENTS(told); i++) {
        _meta_ struct meta meta = {0};
        stat.stx_size = told[i];           /* as when the link is replaced meanwhile */
        assert_int_equal(meta_read(tempdir_at(state), "link", -1, &stat, &meta), 0);
        assert_string_equal(meta.target, target);
        assert_int_equal(meta.size, sizeof(target) - 1);
    }
}

static void fifos_and_directories_have_no_size(void **state) {
    assert_int_equal(mkfifoat(tempdir_at(state), "fifo", 0600), 0);
    assert_int_equal(mkdirat(tempdir_at(state), "dir", 0700), 0);
    _meta_ struct meta fifo = read_meta(tempdir_at(state), "fifo", -1), dir = read_meta(tempdir_at(state), "dir", -1);
    assert_int_equal(fifo.size, 0);
    assert_int_equal(dir.size, 0);
    assert_true(S_ISFIFO(fifo.mode) && S_ISDIR(dir.mode));
}

static void large_values_and_long_lists_are_read(void **state) {
    _close_ int fd = open_file(tempdir_at(state), "file");
    need_user_xattrs(fd);
    unsigned made = 0;
    char name[200], value[1500];
    memset(value, 'v', sizeof(value));
    for (; made < 12; made++) {
        (void)snprintf(name, sizeof(name), "user.%0150u", made);
        if (fsetxattr(fd, name, value, 20, 0) < 0)
            break;
    }
    made += fsetxattr(fd, "user.large", value, sizeof(value), 0) == 0;
    _meta_ struct meta meta = read_meta(tempdir_at(state), "file", fd);
    assert_true(made >= 5);
    assert_int_equal(meta_xattr_count(&meta), made);
}

static void a_name_longer_than_names_are_is_an_error(void **state) {
    char name[400];
    struct statx stat;
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(fs_statx(tempdir_at(state), "", &stat), 0);
    struct meta meta = {0};
    assert_int_equal(meta_read(tempdir_at(state), name, -1, &stat, &meta), -ENAMETOOLONG);
    assert_int_equal(meta.mode, 0);
}

/* Comparing. */

static void each_difference_has_its_own_bit(void **state) {
    (void)state;
    char xattrs[] = "\1\0\1\0\0\0xy", other[] = "\1\0\1\0\0\0xz", target[] = "a", another[] = "b";
    const struct meta a = { .mode = S_IFREG | 0644, .size = 5, .xattrs = xattrs, .xattrs_size = 8 };
    struct meta b = a;
    assert_true(meta_equal(&a, &b));
    b.size = 6;
    assert_int_equal(meta_differs(&a, &b), SNAP_WHAT_CONTENT);
    b = a, b.mode = S_IFREG | 04644;
    assert_int_equal(meta_differs(&a, &b), SNAP_WHAT_MODE);
    b = a, b.mode = S_IFIFO | 0644;
    assert_int_equal(meta_differs(&a, &b), SNAP_WHAT_CONTENT);
    b = a, b.uid = 1;
    assert_int_equal(meta_differs(&a, &b), SNAP_WHAT_OWNER);
    b = a, b.gid = 1;
    assert_int_equal(meta_differs(&a, &b), SNAP_WHAT_OWNER);
    b = a, b.xattrs = other;
    assert_int_equal(meta_differs(&a, &b), SNAP_WHAT_XATTR);
    b = a, b.xattrs_size = 0;
    assert_int_equal(meta_differs(&a, &b), SNAP_WHAT_XATTR);
    b = a, b.mtime.tv_nsec = 1;
    assert_int_equal(meta_differs(&a, &b), SNAP_WHAT_TIME);
    b = a, b.rdev_minor = 1;
    assert_int_equal(meta_differs(&a, &b), SNAP_WHAT_DEVICE);
    const struct meta x = { .mode = S_IFLNK | 0777, .target = target, .size = 1 };
    const struct meta y = { .mode = S_IFLNK | 0777, .target = another, .size = 1 };
    assert_int_equal(meta_differs(&x, &y), SNAP_WHAT_TARGET);
    assert_false(meta_equal(&x, &y));
}

static void a_copy_is_equal_and_its_own(void **state) {
    (void)state;
    _meta_ struct meta meta = { .mode = S_IFLNK | 0777, .target = strdup("target"), .size = 6 };
    meta.xattrs = memcpy(malloc(8), "\1\0\1\0\0\0xy", 8);
    meta.xattrs_size = 8;
    _meta_ struct meta copy = {0};
    assert_int_equal(meta_copy(&copy, &meta), 0);
    assert_true(meta_equal(&meta, &copy));
    assert_ptr_not_equal(meta.target, copy.target);
    assert_ptr_not_equal(meta.xattrs, copy.xattrs);
}

static struct fingerprint fingerprint(int dirfd, const char *name) {
    struct statx stat;
    struct fingerprint ret;
    assert_int_equal(fs_statx(dirfd, name, &stat), 0);
    fingerprint_from(&stat, &ret);
    return ret;
}

static void a_fingerprint_tells_every_change(void **state) {
    _close_ int fd = open_file(tempdir_at(state), "file");
    struct fingerprint before = fingerprint(tempdir_at(state), "file"), again = fingerprint(tempdir_at(state), "file");
    assert_true(fingerprint_equal(&before, &again));
    assert_int_equal(write(fd, "x", 1), 1);
    struct fingerprint after = fingerprint(tempdir_at(state), "file");
    assert_int_equal(after.size, 1);
    assert_false(fingerprint_equal(&before, &after));
    assert_int_equal(fchmod(fd, 0600), 0);
    before = fingerprint(tempdir_at(state), "file");
    assert_false(fingerprint_equal(&before, &after));
}

static void the_size_of_a_directory_is_its_birth(void **state) {
    struct statx stat;
    assert_int_equal(fs_statx(tempdir_at(state), "", &stat), 0);
    struct fingerprint dir;
    fingerprint_from(&stat, &dir);
    uint64_t birth = (uint64_t)stat.stx_btime.tv_sec * 1000000000 + stat.stx_btime.tv_nsec;
    assert_int_equal(dir.size, stat.stx_mask & STATX_BTIME ? birth : 0);
    stat.stx_mask &= ~(unsigned)STATX_BTIME;
    fingerprint_from(&stat, &dir);
    assert_int_equal(dir.size, 0);
}

/* Applying. */

static void mode_times_and_xattrs_are_applied(void **state) {
    _close_ int from = open_file(tempdir_at(state), "from"), to = open_file(tempdir_at(state), "to");
    need_user_xattrs(from);
    set_xattr(from, "user.same", "same");
    set_xattr(from, "user.other", "new");
    set_xattr(from, "user.added", "");
    set_xattr(to, "user.same", "same");
    set_xattr(to, "user.other", "old");
    set_xattr(to, "user.extra", "x");
    assert_int_equal(fchmod(from, 01751), 0);
    struct timespec times[2] = { { 1, 2 }, { 1234567890, 123456789 } };
    assert_int_equal(futimens(from, times), 0);
    struct stat before, after;
    assert_int_equal(fstat(to, &before), 0);
    _meta_ struct meta meta = read_meta(tempdir_at(state), "from", from);
    assert_applies(tempdir_at(state), "to", &meta);
    assert_xattr(to, "user.extra", NULL);
    assert_int_equal(fstat(to, &after), 0);
    assert_int_equal(after.st_atim.tv_sec, before.st_atim.tv_sec);
    assert_int_equal(after.st_atim.tv_nsec, before.st_atim.tv_nsec);
    assert_int_equal(after.st_mtim.tv_nsec, 123456789);
}

static void an_open_file_and_a_place_holder_are_changed_as_well(void **state) {
    _close_ int from = open_file(tempdir_at(state), "from"), to = open_file(tempdir_at(state), "to");
    need_user_xattrs(from);
    set_xattr(from, "user.a", "a");
    assert_int_equal(fchmod(from, 0604), 0);
    _meta_ struct meta meta = read_meta(tempdir_at(state), "from", from);
    assert_applies(to, "", &meta);
    make_file(tempdir_at(state), "place");
    _close_ int place = openat(tempdir_at(state), "place", O_PATH | O_CLOEXEC);
    assert_applies(place, "", &meta);
    assert_int_equal(mkdirat(tempdir_at(state), "dir", 0700), 0);
    _close_ int dir = openat(tempdir_at(state), "dir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    meta.mode = S_IFDIR | 01775;
    meta.size = 0;
    assert_applies(dir, "", &meta);
}

static void times_are_left_alone_when_asked(void **state) {
    _close_ int fd = open_file(tempdir_at(state), "file");
    _meta_ struct meta meta = read_meta(tempdir_at(state), "file", fd);
    meta.mtime.tv_sec -= 1000;
    assert_int_equal(meta_apply(fd, "", &meta, META_NO_TIMES, NULL), 0);
    _meta_ struct meta now = read_meta(tempdir_at(state), "file", fd);
    assert_int_equal(meta_differs(&meta, &now), SNAP_WHAT_TIME);
}

static void a_symlink_is_changed_and_not_what_it_points_to(void **state) {
    _close_ int fd = open_file(tempdir_at(state), "file");
    assert_int_equal(symlinkat("file", tempdir_at(state), "link"), 0);
    _meta_ struct meta file = read_meta(tempdir_at(state), "file", fd), link = read_meta(tempdir_at(state), "link", -1);
    link.mtime = (struct timespec){ 1000000000, 1 };
    assert_applies(tempdir_at(state), "link", &link);
    _meta_ struct meta after = read_meta(tempdir_at(state), "file", fd);
    assert_true(meta_equal(&file, &after));
    assert_int_equal(meta_apply(tempdir_at(state), "link", &file, 0, NULL), -EINVAL);
}

static void a_read_only_file_gets_its_xattrs(void **state) {
    _close_ int from = open_file(tempdir_at(state), "from"), to = open_file(tempdir_at(state), "to");
    need_user_xattrs(from);
    set_xattr(from, "user.a", "a");
    set_xattr(to, "user.b", "b");
    _meta_ struct meta meta = read_meta(tempdir_at(state), "from", from);
    meta.mode = S_IFREG | 0444;
    assert_int_equal(fchmod(to, 0), 0);
    unsigned missing = 1;
    assert_int_equal(meta_apply(tempdir_at(state), "to", &meta, 0, &missing), 0);
    assert_int_equal(missing, 0);
    assert_xattr(to, "user.a", "a");
    struct stat stat;
    assert_int_equal(fstat(to, &stat), 0);
    assert_int_equal(stat.st_mode, S_IFREG | 0444);
}

/* user:: rwx, user 12345: r, group:: r, mask:: rw, other:: - */
static const uint8_t acl[] = {
    2, 0, 0, 0,  1, 0, 7, 0, 255, 255, 255, 255,  2, 0, 4, 0, 0x39, 0x30, 0, 0,  4, 0, 4, 0, 255, 255, 255, 255,
    16, 0, 6, 0, 255, 255, 255, 255,  32, 0, 0, 0, 255, 255, 255, 255,
};

static void need_acls(int fd) {
    if (fsetxattr(fd, "system.posix_acl_access", acl, sizeof(acl), 0) < 0)
        skip_because("no POSIX ACLs on this file system");
}

static void an_acl_goes_there_and_back(void **state) {
    _close_ int from = open_file(tempdir_at(state), "from"), to = open_file(tempdir_at(state), "to");
    _meta_ struct meta plain = read_meta(tempdir_at(state), "to", to);
    need_acls(from);
    _meta_ struct meta meta = read_meta(tempdir_at(state), "from", from);
    assert_int_equal(meta_xattr_count(&meta), 1);
    assert_int_equal(meta.mode & 0777, 0760);
    assert_applies(tempdir_at(state), "to", &meta);
    assert_applies(to, "", &meta);
    assert_applies(tempdir_at(state), "to", &plain);
    assert_int_equal(fgetxattr(to, "system.posix_acl_access", NULL, 0), -1);
}

static void default_acls_go_with_directories(void **state) {
    assert_int_equal(mkdirat(tempdir_at(state), "from", 0750), 0);
    assert_int_equal(mkdirat(tempdir_at(state), "to", 0700), 0);
    _close_ int from = openat(tempdir_at(state), "from", O_RDONLY | O_CLOEXEC);
    need_acls(from);
    assert_int_equal(fsetxattr(from, "system.posix_acl_default", acl, sizeof(acl), 0), 0);
    _meta_ struct meta meta = read_meta(tempdir_at(state), "from", from);
    assert_int_equal(meta_xattr_count(&meta), 2);
    assert_applies(tempdir_at(state), "to", &meta);
    /* What is made below inherits an ACL, and loses it when its own metadata has none. */
    make_file(from, "inherits");
    _meta_ struct meta none = read_meta(from, "inherits", -1);
    assert_int_equal(meta_xattr_count(&none), 1);
    meta_done(&none);
    make_file(tempdir_at(state), "plain");
    none = read_meta(tempdir_at(state), "plain", -1);
    none.mode = S_IFREG | 0640;
    assert_applies(from, "inherits", &none);
}

static void owner_and_set_id_bits_are_kept_together(void **state) {
    if (geteuid() != 0)
        skip_because("only root gives files away");
    _close_ int fd = open_file(tempdir_at(state), "file");
    _meta_ struct meta meta = read_meta(tempdir_at(state), "file", fd);
    meta.uid = 12345;
    meta.gid = 23456;
    meta.mode = S_IFREG | 06755;
    assert_applies(fd, "", &meta);
    meta.uid = 0;
    assert_applies(tempdir_at(state), "file", &meta);
}

static void a_capability_survives_the_change_of_owner(void **state) {
    if (geteuid() != 0)
        skip_because("only root sets capabilities");
    static const uint8_t capability[] = { 1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    _close_ int from = open_file(tempdir_at(state), "from");
    if (fsetxattr(from, "security.capability", capability, sizeof(capability), 0) < 0)
        skip_because("no capabilities on this file system");
    _meta_ struct meta meta = read_meta(tempdir_at(state), "from", from);
    assert_int_equal(meta_xattr_count(&meta), 1);
    meta.uid = 12345;
    make_file(tempdir_at(state), "to");
    assert_applies(tempdir_at(state), "to", &meta);
    assert_applies(tempdir_at(state), "from", &meta);              /* there already, and dropped by the chown */
}

static void device_nodes_and_trusted_xattrs_are_for_root(void **state) {
    if (geteuid() != 0)
        skip_because("only root makes device nodes");
    if (mknodat(tempdir_at(state), "device", S_IFBLK | 0600, makedev(7, 300)) < 0)
        skip_because("device nodes are refused here");
    _meta_ struct meta meta = read_meta(tempdir_at(state), "device", -1);
    assert_int_equal(meta.rdev_major, 7);
    assert_int_equal(meta.rdev_minor, 300);
    meta.mode = S_IFBLK | 0640;
    assert_applies(tempdir_at(state), "device", &meta);
    assert_int_equal(symlinkat("device", tempdir_at(state), "link"), 0);
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/link", ((struct tempdir *)*state)->path);
    if (lsetxattr(path, "trusted.a", "t", 1, 0) < 0)
        skip_because("no trusted xattrs on symlinks here");
    _meta_ struct meta link = read_meta(tempdir_at(state), "link", -1);
    assert_int_equal(meta_xattr_count(&link), 1);
    assert_int_equal(symlinkat("device", tempdir_at(state), "copy"), 0);
    assert_applies(tempdir_at(state), "copy", &link);
}

/* As another user; the place is given to it. 77 = not possible here. */
static int apply_unprivileged(int dirfd) {
    if (fchown(dirfd, 12345, 12345) < 0 || setgid(12345) < 0 || setuid(12345) < 0)
        return 77;
    int fd = openat(dirfd, "own", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct meta meta = { .mode = S_IFREG | 06711, .uid = 1, .gid = 12345 };
    char xattrs[] = "\11\0\1\0\0\0trusted.ax";
    meta.xattrs = xattrs;
    meta.xattrs_size = sizeof(xattrs) - 1;
    unsigned missing = 0;
    struct stat stat;
    if (meta_apply(fd, "", &meta, 0, &missing) != 0 || fstat(fd, &stat) < 0)
        return 1;
    if (missing != (SNAP_WHAT_OWNER | SNAP_WHAT_MODE | SNAP_WHAT_XATTR) || (stat.st_mode & 07777) != 02711)
        return 2;
    if (meta_apply(fd, "", &meta, META_STORE, &missing) != 0 || fstat(fd, &stat) < 0)
        return 3;
    if (missing != 0 || (stat.st_mode & 07777) != 06711)
        return 4;
    meta.uid = 12345;
    meta.xattrs_size = 0;
    if (meta_apply(dirfd, "foreign", &meta, 0, &missing) != 0)
        return 5;
    return missing == (SNAP_WHAT_OWNER | SNAP_WHAT_MODE | SNAP_WHAT_TIME) ? 0 : 6;
}

static void what_is_refused_is_told_or_left_out_of_the_store(void **state) {
    make_file(tempdir_at(state), "foreign");
    pid_t child = fork();
    if (child == 0)
        _exit(geteuid() == 0 ? apply_unprivileged(tempdir_at(state)) : 77);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip_because("only root becomes another user");
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void the_store_escapes_the_overlay_xattrs_of_the_project(void **state) {
    _close_ int from = open_file(tempdir_at(state), "from"), to = open_file(tempdir_at(state), "to");
    need_user_xattrs(from);
    set_xattr(from, "user.a", "a");
    set_xattr(from, "user.overlay.opaque", "theirs");
    set_xattr(from, "user.overlay.overlay.origin", "nested");
    set_xattr(to, "user.overlay.opaque", "ours");
    set_xattr(to, "user.overlay.overlay.redirect", "old");
    set_xattr(to, "user.extra", "x");
    _meta_ struct meta meta = read_meta(tempdir_at(state), "from", from);
    unsigned missing = 1;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(meta_apply(tempdir_at(state), "to", &meta, META_STORE, &missing), 0);
        assert_int_equal(missing, 0);
        assert_xattr(to, "user.a", "a");
        assert_xattr(to, "user.extra", NULL);
        assert_xattr(to, "user.overlay.opaque", "ours");
        assert_xattr(to, "user.overlay.overlay.redirect", NULL);
        assert_xattr(to, "user.overlay.overlay.opaque", "theirs");
        assert_xattr(to, "user.overlay.overlay.overlay.origin", "nested");
    }
    assert_int_equal(meta_apply(tempdir_at(state), "to", &meta, 0, &missing), 0);
    assert_xattr(to, "user.overlay.opaque", "theirs");
    assert_xattr(to, "user.overlay.overlay.origin", "nested");
    assert_xattr(to, "user.overlay.overlay.opaque", NULL);
}

static void the_layer_format_knows_its_own_xattrs(void **state) {
    (void)state;
    assert_true(meta_xattr_is_overlay("user.overlay.opaque"));
    assert_true(meta_xattr_is_overlay("user.overlay.overlayed"));
    assert_false(meta_xattr_is_overlay("user.overlay.overlay.opaque"));
    assert_false(meta_xattr_is_overlay("user.overlayfs"));
    assert_false(meta_xattr_is_overlay("user.a"));
    assert_false(meta_xattr_is_overlay("trusted.overlay.opaque"));
}

static void an_xattr_too_large_for_the_file_system_is_missing_and_no_full_disk(void **state) {
    _close_ int fd = open_file(tempdir_at(state), "file");
    need_user_xattrs(fd);
    enum { SIZE = 60000 };
    _free_ char *value = calloc(1, SIZE);
    bool fits = fsetxattr(fd, "user.large", value, SIZE, 0) == 0;
    if (fits)
        skip_because("this file system takes an xattr of 60 000 bytes");
    _buf_ struct buf packed = {0};
    buf_u16(&packed, 10);
    buf_u32(&packed, SIZE);
    buf_str(&packed, "user.large");
    buf_add(&packed, value, SIZE);
    _meta_ struct meta meta = read_meta(tempdir_at(state), "file", fd);
    meta.xattrs_size = packed.size;
    meta.xattrs = buf_take(&packed);
    unsigned missing = 0;
    assert_int_equal(meta_apply(fd, "", &meta, 0, &missing), 0);
    assert_int_equal(missing, SNAP_WHAT_XATTR);
}

static void a_damaged_record_of_xattrs_is_refused(void **state) {
    _close_ int fd = open_file(tempdir_at(state), "file");
    _meta_ struct meta meta = read_meta(tempdir_at(state), "file", fd);
    meta.xattrs_size = 12;
    meta.xattrs = memcpy(malloc(12), "\6\0\377\377\0\0user.a", 12);
    assert_int_equal(meta_apply(fd, "", &meta, 0, NULL), -EINVAL);
    assert_int_equal(meta_xattr_count(&meta), 0);
}

static void what_is_not_there_is_an_error_and_not_missing(void **state) {
    _meta_ struct meta meta = read_meta(tempdir_at(state), "", -1);
    unsigned missing = 77;
    assert_int_equal(meta_apply(tempdir_at(state), "none", &meta, 0, &missing), -ENOENT);
    assert_int_equal(meta_apply(-1, "", &meta, 0, &missing), -EBADF);
    assert_int_equal(missing, 77);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tempdir_setup, tempdir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_read_with_its_xattrs_sorted),
        TEST(a_place_holder_descriptor_is_read_too),
        TEST(a_symlink_has_its_target_and_not_the_xattrs_of_what_it_points_to),
        TEST(a_long_target_is_read_whole),
        TEST(fifos_and_directories_have_no_size),
        TEST(large_values_and_long_lists_are_read),
        TEST(a_name_longer_than_names_are_is_an_error),
        TEST(each_difference_has_its_own_bit),
        TEST(a_copy_is_equal_and_its_own),
        TEST(a_fingerprint_tells_every_change),
        TEST(the_size_of_a_directory_is_its_birth),
        TEST(mode_times_and_xattrs_are_applied),
        TEST(an_open_file_and_a_place_holder_are_changed_as_well),
        TEST(times_are_left_alone_when_asked),
        TEST(a_symlink_is_changed_and_not_what_it_points_to),
        TEST(a_read_only_file_gets_its_xattrs),
        TEST(an_acl_goes_there_and_back),
        TEST(default_acls_go_with_directories),
        TEST(owner_and_set_id_bits_are_kept_together),
        TEST(a_capability_survives_the_change_of_owner),
        TEST(device_nodes_and_trusted_xattrs_are_for_root),
        TEST(what_is_refused_is_told_or_left_out_of_the_store),
        TEST(the_store_escapes_the_overlay_xattrs_of_the_project),
        TEST(the_layer_format_knows_its_own_xattrs),
        TEST(an_xattr_too_large_for_the_file_system_is_missing_and_no_full_disk),
        TEST(a_damaged_record_of_xattrs_is_refused),
        TEST(what_is_not_there_is_an_error_and_not_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
