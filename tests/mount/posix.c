/* What POSIX and Linux say about files, asked of one directory: error numbers, times, link counts, permissions.
 * Knows nothing of overlays: it passes on ext4, and has to pass on a mount. Some questions are asked as root, some as users 65501
 * and 65502, so it has to be started by root; with "-u" it asks only what one ordinary user may.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { ALICE = 65501, BOB = 65502, TEAM = 65503 };
static unsigned checks, failures;
static const char *topic = "";

static void judge(bool right, int line, const char *what, int got, int wanted) {
    checks++;
    if (right)
        return;
    failures++;
    printf("%s: line %d: %s: got %s (%d), wanted %s (%d)\n", topic, line, what, strerror(got), got, strerror(wanted), wanted);
}

/* The call fails with this error number; 0 = it succeeds. */
#define EXPECT(error, call) do { \
    errno = 0; \
    int error_ = (call) < 0 ? errno : 0; \
    judge(error_ == (error), __LINE__, #call, error_, error); \
} while (0)
#define TRUE(condition) judge(condition, __LINE__, #condition, 0, 0)

static pid_t begin_as(uid_t uid, gid_t gid, gid_t also) {
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        failures = checks = 0;
        if (setgroups(also ? 1 : 0, &also) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
            _exit(3);
        return 0;
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) > 1) {
        printf("%s: a child did not end as it should (status %x)\n", topic, status);
        failures++;
    } else {
        failures += (unsigned)WEXITSTATUS(status);
    }
    return -1;
}
static pid_t end_as(void) {
    (void)fflush(stdout);
    _exit(failures ? 1 : 0);
}
/* AS(user, group, further group or 0) { ... } in a process of that user. */
#define AS(uid, gid, also) for (pid_t child_ = begin_as(uid, gid, also); child_ == 0; child_ = end_as())

static struct stat look(const char *path) {
    struct stat st = {0};
    if (lstat(path, &st) < 0)
        st.st_mode = 0;
    return st;
}
static unsigned mode_of(const char *path) { return look(path).st_mode & 07777; }
static bool is_after(struct timespec a, struct timespec b) { return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec); }
static bool is_same(struct timespec a, struct timespec b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

static void make(const char *path, const char *content) {
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    if (fd < 0 || write(fd, content, strlen(content)) != (ssize_t)strlen(content) || close(fd) < 0) {
        printf("%s: cannot make %s: %s\n", topic, path, strerror(errno));
        failures++;
    }
}

/* Until the file system's clock, which may tick every few milliseconds, shows another time. The file is everybody's. */
static void let_time_pass(void) {
    struct stat before;
    int fd = open("../clock", O_CREAT | O_WRONLY, 0666);
    if (fd < 0 || fstat(fd, &before) < 0 || (before.st_uid == geteuid() && fchmod(fd, 0666) < 0)) {
        printf("%s: cannot use the clock: %s\n", topic, strerror(errno));
        exit(1);
    }
    for (struct stat after = before; !is_after(after.st_mtim, before.st_mtim);)
        if (futimens(fd, NULL) < 0 || fstat(fd, &after) < 0)
            exit(1);
    (void)close(fd);
}

/* Did the call move these times of a file on? */
struct times { struct stat before; const char *path; };
static struct times watch(const char *path) {
    let_time_pass();
    return (struct times){ look(path), path };
}
static bool moved_ctime(const struct times *t) { return is_after(look(t->path).st_ctim, t->before.st_ctim); }
static bool moved_mtime(const struct times *t) { return is_after(look(t->path).st_mtim, t->before.st_mtim); }
static bool kept_times(const struct times *t) {
    struct stat now = look(t->path);
    return is_same(now.st_ctim, t->before.st_ctim) && is_same(now.st_mtim, t->before.st_mtim);
}

static char long_name[NAME_MAX + 2];
static char long_path[PATH_MAX + 16];

static void names(void) {
    topic = "names";
    memset(long_name, 'n', NAME_MAX + 1);
    EXPECT(ENAMETOOLONG, open(long_name, O_CREAT | O_WRONLY, 0644));
    EXPECT(ENAMETOOLONG, mkdir(long_name, 0755));
    EXPECT(ENAMETOOLONG, symlink("x", long_name));
    EXPECT(ENAMETOOLONG, access(long_name, F_OK));
    long_name[NAME_MAX] = '\0';
    EXPECT(0, mkdir(long_name, 0755));
    EXPECT(0, rmdir(long_name));
    EXPECT(0, mkdir("shut", 0));
    EXPECT(0, rmdir("shut"));
    EXPECT(0, mkdir("shut", 0700));
    make("shut/x", "x");
    EXPECT(0, chmod("shut", 0));
    EXPECT(ENOTEMPTY, rmdir("shut"));
    EXPECT(0, chmod("shut", 0700));
    EXPECT(0, unlink("shut/x"));
    EXPECT(0, rmdir("shut"));
    EXPECT(0, close(open(long_name, O_CREAT | O_WRONLY, 0644)));
    EXPECT(0, unlink(long_name));
    memset(long_path, '/', sizeof(long_path) - 1);
    EXPECT(ENAMETOOLONG, open(long_path, O_RDONLY));
    EXPECT(0, symlink("loop", "loop"));
    EXPECT(ELOOP, open("loop", O_RDONLY));
    EXPECT(ELOOP, chmod("loop", 0600));
    EXPECT(ELOOP, mkdir("loop/x", 0700));
    EXPECT(0, unlink("loop"));
    make("plain", "x");
    EXPECT(ENOTDIR, open("plain/x", O_RDONLY));
    EXPECT(ENOTDIR, mkdir("plain/x", 0700));
    EXPECT(ENOTDIR, unlink("plain/x"));
    EXPECT(ENOTDIR, rmdir("plain"));
    EXPECT(ENOTDIR, open("plain", O_RDONLY | O_DIRECTORY));
    EXPECT(ENOENT, open("", O_RDONLY));
    EXPECT(ENOENT, open("absent", O_RDONLY));
    EXPECT(ENOENT, mkdir("absent/x", 0700));
    EXPECT(0, mkdir("\xff\xfe bytes\n", 0755));
    EXPECT(0, rmdir("\xff\xfe bytes\n"));
    EXPECT(0, unlink("plain"));
}

/* A path longer than PATH_MAX is made and removed step by step. */
static void deep(void) {
    topic = "deep";
    int here = open(".", O_RDONLY | O_DIRECTORY);
    char name[201];
    memset(name, 'd', 200);
    name[200] = '\0';
    for (int i = 0; i < 30; i++) {
        EXPECT(0, mkdir(name, 0755));
        EXPECT(0, chdir(name));
    }
    make("file", "deep");
    EXPECT(0, unlink("file"));
    for (int i = 0; i < 30; i++) {
        EXPECT(0, chdir(".."));
        EXPECT(0, rmdir(name));
    }
    struct stat a = {0}, b = {0};
    EXPECT(0, fstat(here, &a));
    EXPECT(0, stat(".", &b));
    TRUE(a.st_ino == b.st_ino);
    (void)close(here);
}

static void opening(void) {
    topic = "open";
    struct stat st;
    (void)umask(022);
    EXPECT(0, close(open("new", O_CREAT | O_EXCL | O_RDWR, 0666)));
    TRUE(mode_of("new") == 0644);
    EXPECT(EEXIST, open("new", O_CREAT | O_EXCL | O_RDWR, 0666));
    EXPECT(EISDIR, open(".", O_WRONLY));
    EXPECT(EISDIR, open(".", O_RDWR));
    EXPECT(0, symlink("new", "link"));
    EXPECT(ELOOP, open("link", O_RDONLY | O_NOFOLLOW));
    EXPECT(EEXIST, open("link", O_CREAT | O_EXCL | O_RDWR, 0644));
    EXPECT(0, symlink("made-by-link", "dangling"));
    EXPECT(0, close(open("dangling", O_CREAT | O_WRONLY, 0644)));
    TRUE(S_ISREG(look("made-by-link").st_mode));
    EXPECT(0, mkfifo("fifo", 0644));
    EXPECT(ENXIO, open("fifo", O_WRONLY | O_NONBLOCK));
    make("new", "content");
    struct times dir = watch("."), file = watch("new");
    int fd = open("new", O_RDONLY);
    char text[16] = "";
    TRUE(read(fd, text, sizeof(text)) == 7 && memcmp(text, "content", 7) == 0);
    EXPECT(EBADF, (int)write(fd, "x", 1));
    TRUE(kept_times(&file) && kept_times(&dir));
    (void)close(fd);
    file = watch("new");
    EXPECT(0, close(open("new", O_WRONLY | O_TRUNC)));
    TRUE(moved_mtime(&file) && moved_ctime(&file) && look("new").st_size == 0);
    dir = watch(".");
    EXPECT(0, close(open("another", O_CREAT | O_WRONLY, 0000)));
    TRUE(moved_mtime(&dir) && moved_ctime(&dir));
    EXPECT(geteuid() == 0 ? 0 : EACCES, open("another", O_RDONLY));
    fd = open("write-only", O_CREAT | O_EXCL | O_WRONLY, 0444);       /* mode decides about later opens only */
    TRUE(fd >= 0 && write(fd, "abc", 3) == 3);
    EXPECT(0, close(fd));
    TRUE(look("write-only").st_size == 3);
    int many[300];
    for (int i = 0; i < 300; i++) {                                   /* also for as many as nobody keeps ready */
        char name[16];
        (void)snprintf(name, sizeof(name), "many%d", i);
        many[i] = open(name, O_CREAT | O_EXCL | O_RDWR, 0400);
    }
    unsigned written = 0;
    for (int i = 0; i < 300; i++)
        written += write(many[i], "abc", 3) == 3 && pread(many[i], text, 3, 0) == 3 && close(many[i]) == 0;
    TRUE(written == 300 && look("many0").st_size == 3 && look("many299").st_size == 3);
    fd = open(".", O_TMPFILE | O_RDWR, 0600);
    TRUE(fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 0);
    TRUE(write(fd, "unnamed", 7) == 7);
    char proc[64];
    (void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
    EXPECT(0, linkat(AT_FDCWD, proc, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    TRUE(look("named").st_size == 7 && look("named").st_nlink == 1);
    (void)close(fd);
    fd = open(".", O_TMPFILE | O_EXCL | O_RDWR, 0600);
    TRUE(fd >= 0);
    (void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
    EXPECT(ENOENT, linkat(AT_FDCWD, proc, AT_FDCWD, "never", AT_SYMLINK_FOLLOW));
    (void)close(fd);
}

static void times_and_sizes(void) {
    topic = "truncate, times";
    make("file", "0123456789");
    struct times file = watch("file");
    EXPECT(0, truncate("file", 4));
    TRUE(look("file").st_size == 4 && moved_mtime(&file) && moved_ctime(&file));
    EXPECT(0, truncate("file", 1 << 20));
    TRUE(look("file").st_size == 1 << 20);
    EXPECT(EINVAL, truncate("file", -1));
    EXPECT(ENOENT, truncate("absent", 0));
    EXPECT(EISDIR, truncate(".", 0));
    struct timespec past[2] = { { 1000000000, 123456789 }, { 1000000001, 987654321 } };
    file = watch("file");
    EXPECT(0, utimensat(AT_FDCWD, "file", past, 0));
    TRUE(is_same(look("file").st_mtim, past[1]) && is_same(look("file").st_atim, past[0]) && moved_ctime(&file));
    struct timespec omit[2] = { { 0, UTIME_OMIT }, { 0, UTIME_NOW } };
    EXPECT(0, utimensat(AT_FDCWD, "file", omit, 0));
    TRUE(is_same(look("file").st_atim, past[0]) && is_after(look("file").st_mtim, past[1]));
    struct timespec before_1970[2] = { { -5, 500 }, { -5, 500 } };
    EXPECT(0, utimensat(AT_FDCWD, "file", before_1970, 0));
    TRUE(look("file").st_mtim.tv_sec == -5 && look("file").st_mtim.tv_nsec == 500);
    EXPECT(0, symlink("file", "link"));
    EXPECT(0, utimensat(AT_FDCWD, "link", past, AT_SYMLINK_NOFOLLOW));
    TRUE(is_same(look("link").st_mtim, past[1]) && look("file").st_mtim.tv_sec == -5);
    file = watch("file");
    int fd = open("file", O_WRONLY);
    TRUE(pwrite(fd, "x", 1, 0) == 1);
    EXPECT(0, close(fd));
    TRUE(moved_mtime(&file) && moved_ctime(&file));
    struct statx sx;
    EXPECT(0, statx(AT_FDCWD, "file", 0, STATX_BTIME | STATX_BASIC_STATS, &sx));
    TRUE(sx.stx_mask & STATX_BTIME && sx.stx_btime.tv_sec > 1500000000);
}

static void links(void) {
    topic = "link, unlink";
    make("file", "x");
    struct stat st;
    struct times dir = watch("."), file = watch("file");
    EXPECT(0, link("file", "second"));
    TRUE(look("file").st_nlink == 2 && look("second").st_ino == look("file").st_ino);
    TRUE(moved_ctime(&file) && !moved_mtime(&file) && moved_mtime(&dir));
    EXPECT(EEXIST, link("file", "second"));
    EXPECT(EPERM, link(".", "directory-link"));
    EXPECT(ENOENT, link("absent", "x"));
    EXPECT(0, symlink("file", "symlink"));
    EXPECT(0, link("symlink", "symlink-link"));
    TRUE(S_ISLNK(look("symlink-link").st_mode) && look("symlink").st_nlink == 2);
    int fd = open("file", O_RDWR);
    file = watch("second");
    EXPECT(0, unlink("file"));
    TRUE(look("second").st_nlink == 1 && moved_ctime(&file));
    EXPECT(0, unlink("second"));
    EXPECT(0, fstat(fd, &st));
    TRUE(st.st_nlink == 0 && st.st_size == 1);
    TRUE(pwrite(fd, "still", 5, 0) == 5);
    char text[8] = "";
    TRUE(pread(fd, text, 5, 0) == 5 && strcmp(text, "still") == 0);
    EXPECT(0, ftruncate(fd, 2));
    EXPECT(0, fchmod(fd, 0600));
    EXPECT(0, fstat(fd, &st));
    TRUE(st.st_size == 2 && (st.st_mode & 07777) == 0600);
    EXPECT(0, fsync(fd));
    (void)close(fd);
    EXPECT(ENOENT, unlink("file"));
    EXPECT(EISDIR, unlink("."));
}

static void directories(void) {
    topic = "mkdir, rmdir";
    nlink_t at_first = look(".").st_nlink;
    struct times dir = watch(".");
    EXPECT(0, mkdir("d", 0777));
    TRUE(mode_of("d") == 0755 && moved_mtime(&dir) && moved_ctime(&dir));
    TRUE(at_first == 1 || (look(".").st_nlink == at_first + 1 && look("d").st_nlink == 2));
    EXPECT(EEXIST, mkdir("d", 0777));
    EXPECT(0, mkdir("d/e", 0700));
    EXPECT(ENOTEMPTY, rmdir("d"));
    EXPECT(EINVAL, rmdir("d/."));
    EXPECT(ENOTEMPTY, rmdir("d/e/.."));
    EXPECT(EBUSY, rmdir("/"));
    EXPECT(0, rmdir("d/e"));
    int fd = open("d", O_RDONLY | O_DIRECTORY);
    EXPECT(0, rmdir("d"));
    EXPECT(ENOENT, openat(fd, "new", O_CREAT | O_WRONLY, 0644));
    EXPECT(ENOENT, mkdirat(fd, "new", 0755));
    struct stat st = {0};
    EXPECT(0, fstat(fd, &st));
    TRUE(st.st_nlink == 0);
    (void)close(fd);
    EXPECT(ENOENT, rmdir("d"));
}

static void renames(void) {
    topic = "rename";
    make("a", "a");
    make("b", "bb");
    EXPECT(0, mkdir("d", 0755));
    EXPECT(0, mkdir("full", 0755));
    make("full/x", "x");
    EXPECT(EISDIR, rename("a", "d"));
    EXPECT(ENOTDIR, rename("d", "a"));
    EXPECT(ENOTEMPTY, rename("d", "full") < 0 && errno == EEXIST ? (errno = ENOTEMPTY, -1) : errno ? -1 : 0);
    EXPECT(EINVAL, rename("d", "d/inside"));
    EXPECT(ENOENT, rename("absent", "x"));
    EXPECT(ENOENT, rename("a", "absent/x"));
    struct times file = watch("a"), dir = watch(".");
    ino_t ino = look("a").st_ino;
    EXPECT(0, rename("a", "c"));
    TRUE(look("c").st_ino == ino && look("a").st_mode == 0 && moved_mtime(&dir) && !is_after(look("c").st_mtim, file.before.st_mtim));
    EXPECT(EEXIST, renameat2(AT_FDCWD, "c", AT_FDCWD, "b", RENAME_NOREPLACE));
    EXPECT(0, renameat2(AT_FDCWD, "c", AT_FDCWD, "a", RENAME_NOREPLACE));
    EXPECT(0, renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
    TRUE(look("a").st_size == 2 && look("b").st_size == 1);
    EXPECT(0, renameat2(AT_FDCWD, "a", AT_FDCWD, "full", RENAME_EXCHANGE));
    TRUE(S_ISDIR(look("a").st_mode) && S_ISREG(look("full").st_mode) && look("a/x").st_size == 1);
    EXPECT(ENOENT, renameat2(AT_FDCWD, "a", AT_FDCWD, "absent", RENAME_EXCHANGE));
    EXPECT(EINVAL, renameat2(AT_FDCWD, "a", AT_FDCWD, "x", RENAME_EXCHANGE | RENAME_NOREPLACE));
    int fd = open("full", O_RDONLY);
    EXPECT(0, rename("b", "full"));
    struct stat st = {0};
    EXPECT(0, fstat(fd, &st));
    TRUE(st.st_nlink == 0 && st.st_size == 2 && look("full").st_size == 1);
    (void)close(fd);
    EXPECT(0, rename("a", "d"));                     /* over an empty directory */
    TRUE(look("d/x").st_size == 1);
    EXPECT(0, link("full", "same"));
    EXPECT(0, rename("full", "same"));               /* two names of one file: nothing happens */
    TRUE(look("full").st_nlink == 2 && look("same").st_nlink == 2);
    EXPECT(0, mkdir("up", 0755));
    EXPECT(0, rename("d", "up/d"));
    struct stat parent = {0};
    EXPECT(0, stat("up/d/..", &parent));
    TRUE(parent.st_ino == look("up").st_ino);
}

static void special(bool root) {
    topic = "mknod, symlink";
    EXPECT(0, mkfifo("fifo", 0640));
    TRUE(S_ISFIFO(look("fifo").st_mode) && mode_of("fifo") == 0640);
    EXPECT(0, mknod("socket", S_IFSOCK | 0600, 0));
    TRUE(S_ISSOCK(look("socket").st_mode));
    EXPECT(0, mknod("regular", S_IFREG | 0600, 0));
    TRUE(S_ISREG(look("regular").st_mode));
    EXPECT(EEXIST, mknod("regular", S_IFREG | 0600, 0));
    if (root) {
        EXPECT(0, mknod("null", S_IFCHR | 0666, makedev(1, 3)));
        TRUE(S_ISCHR(look("null").st_mode) && look("null").st_rdev == makedev(1, 3));
    } else {
        EXPECT(EPERM, mknod("null", S_IFCHR | 0666, makedev(1, 3)));
    }
    char target[PATH_MAX], got[PATH_MAX];
    memset(target, 't', sizeof(target));
    target[PATH_MAX - 1] = '\0';
    EXPECT(0, symlink("relative/target", "s"));
    TRUE(look("s").st_size == 15 && readlink("s", got, sizeof(got)) == 15 && memcmp(got, "relative/target", 15) == 0);
    TRUE(readlink("s", got, 3) == 3);
    EXPECT(EEXIST, symlink("x", "s"));
    EXPECT(EINVAL, (int)readlink("fifo", got, sizeof(got)));
    EXPECT(0, symlink(target, "long"));
    TRUE(readlink("long", got, sizeof(got)) == PATH_MAX - 1);
    EXPECT(ENAMETOOLONG, stat("long", &(struct stat){0}));
}

static void xattrs(bool root) {
    topic = "xattr";
    char value[256], list[1024];
    make("file", "x");
    EXPECT(0, mkdir("dir", 0755));
    EXPECT(0, symlink("file", "link"));
    struct times file = watch("file");
    EXPECT(0, setxattr("file", "user.color", "green", 5, 0));
    TRUE(moved_ctime(&file) && !moved_mtime(&file));
    EXPECT(EEXIST, setxattr("file", "user.color", "x", 1, XATTR_CREATE));
    EXPECT(ENODATA, setxattr("file", "user.other", "x", 1, XATTR_REPLACE));
    TRUE(getxattr("file", "user.color", value, sizeof(value)) == 5 && memcmp(value, "green", 5) == 0);
    TRUE(getxattr("file", "user.color", NULL, 0) == 5);
    EXPECT(ERANGE, (int)getxattr("file", "user.color", value, 2));
    EXPECT(ENODATA, (int)getxattr("file", "user.absent", value, sizeof(value)));
    EXPECT(0, setxattr("file", "user.empty", "", 0, 0));
    TRUE(getxattr("file", "user.empty", value, sizeof(value)) == 0);
    ssize_t size = listxattr("file", list, sizeof(list));
    TRUE(size >= 22 && memmem(list, (size_t)size, "user.color", 11) && memmem(list, (size_t)size, "user.empty", 11));
    TRUE(!memmem(list, (size_t)(size > 0 ? size : 0), "overlay", 7));
    EXPECT(ERANGE, (int)listxattr("file", list, 3));
    EXPECT(0, removexattr("file", "user.color"));
    EXPECT(ENODATA, removexattr("file", "user.color"));
    EXPECT(0, setxattr("dir", "user.where", "here", 4, 0));
    EXPECT(EPERM, lsetxattr("link", "user.on-link", "x", 1, 0));
    EXPECT(ENODATA, (int)getxattr("file", "user.on-link", value, sizeof(value)));
    if (root) {
        EXPECT(0, lsetxattr("link", "trusted.on-link", "l", 1, 0));
        EXPECT(ENODATA, (int)getxattr("file", "trusted.on-link", value, sizeof(value)));
        TRUE(lgetxattr("link", "trusted.on-link", value, sizeof(value)) == 1);
    }
    EXPECT(EOPNOTSUPP, setxattr("file", "nonsense.name", "x", 1, 0));
}

static void listing(void) {
    topic = "readdir";
    char name[32];
    EXPECT(0, mkdir("many", 0755));
    for (int i = 0; i < 500; i++) {
        (void)snprintf(name, sizeof(name), "many/%03d", i);
        make(name, "");
    }
    DIR *dir = opendir("many");
    unsigned seen = 0, wrong = 0;
    long middle = 0;
    char after_middle[NAME_MAX + 1] = "";
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat st = {0};
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != entry->d_ino)
            wrong += strcmp(entry->d_name, "..") != 0;
        wrong += entry->d_type != (strchr(entry->d_name, '.') ? DT_DIR : DT_REG) && entry->d_type != DT_UNKNOWN;
        if (++seen == 250)
            middle = telldir(dir);
        if (seen == 251)
            (void)snprintf(after_middle, sizeof(after_middle), "%s", entry->d_name);
        if (seen == 300)                              /* changes do not disturb what is being read */
            for (int i = 500; i < 600; i++) {
                (void)snprintf(name, sizeof(name), "many/%03d", i);
                make(name, "");
            }
    }
    TRUE(seen >= 502 && seen <= 602 && wrong == 0);
    seekdir(dir, middle);
    struct dirent *entry = readdir(dir);
    TRUE(entry && strcmp(entry->d_name, after_middle) == 0);
    rewinddir(dir);
    for (seen = 0; readdir(dir); seen++)
        continue;
    TRUE(seen == 602);
    rewinddir(dir);
    for (seen = 0; (entry = readdir(dir));)           /* removing while reading leaves nothing behind */
        if (entry->d_name[0] != '.')
            seen += unlinkat(dirfd(dir), entry->d_name, 0) == 0;
    TRUE(seen == 600);
    (void)closedir(dir);
    EXPECT(0, rmdir("many"));
}

static void mappings(void) {
    topic = "mmap";
    make("file", "0123456789");
    int fd = open("file", O_RDWR);
    char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    TRUE(shared != MAP_FAILED && private != MAP_FAILED);
    private[0] = 'P';
    shared[1] = 'S';
    char text[10];
    TRUE(pread(fd, text, 10, 0) == 10 && memcmp(text, "0S23456789", 10) == 0);
    TRUE(pwrite(fd, "W", 1, 2) == 1 && shared[2] == 'W');
    EXPECT(0, msync(shared, 4096, MS_SYNC));
    (void)munmap(shared, 4096);
    (void)munmap(private, 4096);
    EXPECT(0, close(fd));
    int reader = open("file", O_RDONLY);
    TRUE(read(reader, text, 10) == 10 && memcmp(text, "0SW3456789", 10) == 0);
    (void)close(reader);
}

static void appending(void) {
    topic = "append, holes";
    make("log", "");
    int a = open("log", O_WRONLY | O_APPEND), b = open("log", O_WRONLY | O_APPEND);
    TRUE(write(a, "one ", 4) == 4 && write(b, "two ", 4) == 4 && write(a, "three", 5) == 5);
    (void)close(a), (void)close(b);
    char text[16] = "";
    int fd = open("log", O_RDWR);
    TRUE(read(fd, text, sizeof(text)) == 13 && memcmp(text, "one two three", 13) == 0);
    EXPECT(0, ftruncate(fd, 0));
    TRUE(pwrite(fd, "x", 1, 1 << 20) == 1);
    TRUE(lseek(fd, 0, SEEK_END) == (1 << 20) + 1);
    off_t data = lseek(fd, 0, SEEK_DATA);
    TRUE(data > 0 && data <= 1 << 20);
    TRUE(lseek(fd, 0, SEEK_HOLE) == 0);
    EXPECT(ENXIO, (int)lseek(fd, 1 << 21, SEEK_DATA));
    struct stat st = {0};
    EXPECT(0, fstat(fd, &st));
    TRUE(st.st_blocks * 512 < 1 << 20);
    int r = fallocate(fd, 0, 0, 2 << 20);
    TRUE(r == 0 || errno == EOPNOTSUPP);
    TRUE(r < 0 || look("log").st_size == 2 << 20);
    r = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 4096);
    TRUE(r == 0 || errno == EOPNOTSUPP);
    TRUE(r < 0 || (pread(fd, text, 1, 1 << 20) == 1 && text[0] == 0));
    (void)close(fd);
    struct statvfs fs = {0};
    EXPECT(0, statvfs(".", &fs));
    TRUE(fs.f_bsize > 0 && fs.f_namemax == NAME_MAX);
}

static struct flock whole(short type) { return (struct flock){ .l_type = type, .l_whence = SEEK_SET }; }

static void locking(void) {
    topic = "locks";
    make("file", "0123456789");
    int a = open("file", O_RDWR), b = open("file", O_RDWR);
    EXPECT(0, flock(a, LOCK_EX));
    EXPECT(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
    EXPECT(0, flock(a, LOCK_SH));
    EXPECT(0, flock(b, LOCK_SH | LOCK_NB));
    EXPECT(0, flock(a, LOCK_UN));
    EXPECT(0, flock(b, LOCK_UN));
    struct flock lock = whole(F_WRLCK);
    EXPECT(0, fcntl(a, F_OFD_SETLK, &lock));
    EXPECT(EAGAIN, fcntl(b, F_OFD_SETLK, &lock));
    lock = whole(F_UNLCK);
    EXPECT(0, fcntl(a, F_OFD_SETLK, &lock));
    lock = whole(F_WRLCK);
    EXPECT(0, fcntl(a, F_SETLK, &lock));
    pid_t holder = getpid(), child = fork();
    if (child == 0) {
        struct flock asked = whole(F_RDLCK);
        int other = open("file", O_RDWR);
        _exit(fcntl(other, F_GETLK, &asked) == 0 && asked.l_type == F_WRLCK && asked.l_pid == holder
              && fcntl(other, F_SETLK, &asked) < 0 && (errno == EAGAIN || errno == EACCES) ? 0 : 1);
    }
    int status = 1;
    TRUE(waitpid(child, &status, 0) == child && status == 0);
    (void)close(b);                                    /* POSIX: closing any descriptor lets go */
    child = fork();
    if (child == 0) {
        struct flock asked = whole(F_WRLCK);
        _exit(fcntl(open("file", O_RDWR), F_SETLK, &asked) == 0 ? 0 : 1);
    }
    TRUE(waitpid(child, &status, 0) == child && status == 0);
    (void)close(a);
}

static void privileges(void) {
    topic = "chmod, chown";
    EXPECT(0, chmod(".", 0777));
    make("file", "x");
    EXPECT(0, chown("file", ALICE, TEAM));
    AS(BOB, BOB, 0) {
        EXPECT(EPERM, chmod("file", 0600));
        EXPECT(EPERM, chown("file", BOB, -1));
        EXPECT(EACCES, open("file", O_WRONLY));
        EXPECT(0, close(open("file", O_RDONLY)));
        EXPECT(EACCES, truncate("file", 0));
        EXPECT(EPERM, utimensat(AT_FDCWD, "file", (struct timespec[2]){ { 1, 0 }, { 1, 0 } }, 0));
        EXPECT(EACCES, utimensat(AT_FDCWD, "file", NULL, 0));
        EXPECT(EACCES, setxattr("file", "user.x", "x", 1, 0));
        make("own", "bob");
        TRUE(look("own").st_uid == BOB && look("own").st_gid == BOB);
    }
    AS(ALICE, ALICE, TEAM) {
        struct times file = watch("file");
        EXPECT(0, chmod("file", 0640));
        TRUE(moved_ctime(&file) && mode_of("file") == 0640);
        EXPECT(0, chown("file", ALICE, ALICE));       /* to a group of one's own */
        EXPECT(0, chown("file", ALICE, TEAM));
        EXPECT(EPERM, chown("file", ALICE, BOB));
        EXPECT(EPERM, chown("file", BOB, -1));
        EXPECT(0, chown("file", ALICE, -1));          /* to oneself */
        EXPECT(0, chmod("file", 06755));
        TRUE(mode_of("file") == 06755);
        EXPECT(0, chown("file", -1, TEAM));
        TRUE(mode_of("file") == 0755);
        EXPECT(0, chmod("file", 06777));
    }
    AS(BOB, BOB, 0) {                                  /* who writes takes suid and sgid away */
        int fd = open("file", O_WRONLY);
        TRUE(fd >= 0 && write(fd, "y", 1) == 1);
        EXPECT(0, close(fd));
        TRUE(mode_of("file") == 0777);
    }
    EXPECT(0, chmod("file", 06777));
    AS(BOB, BOB, 0) {
        EXPECT(0, truncate("file", 0));
        TRUE(mode_of("file") == 0777);
    }
    EXPECT(0, chmod("file", 06777));
    AS(BOB, BOB, 0) {
        EXPECT(0, close(open("file", O_WRONLY | O_TRUNC)));
        TRUE(mode_of("file") == 0777);
    }
    EXPECT(0, chmod("file", 04755));
    int fd = open("file", O_WRONLY);
    TRUE(write(fd, "root", 4) == 4);                   /* root may keep them */
    (void)close(fd);
    TRUE(mode_of("file") == 04755);
    EXPECT(0, chown("file", 0, 0));
    TRUE(mode_of("file") == 0755);
    unsigned char capability[20] = { 1, 0, 0, 2, 0, 4, 0, 0 };
    EXPECT(0, setxattr("file", "security.capability", capability, 20, 0));
    fd = open("file", O_WRONLY);
    TRUE(write(fd, "more", 4) == 4);
    EXPECT(0, close(fd));
    EXPECT(ENODATA, (int)getxattr("file", "security.capability", capability, 20));
}

static void sticky(void) {
    topic = "sticky, setgid";
    EXPECT(0, mkdir("tmp", 0777));
    EXPECT(0, chmod("tmp", 01777));
    AS(ALICE, ALICE, 0) {
        make("tmp/alice", "x");
        EXPECT(0, mkdir("tmp/alice-d", 0777));
    }
    AS(BOB, BOB, 0) {
        EXPECT(EPERM, unlink("tmp/alice"));
        EXPECT(EPERM, rmdir("tmp/alice-d"));
        EXPECT(EPERM, rename("tmp/alice", "tmp/bob"));
        make("tmp/bob", "x");
        EXPECT(EPERM, rename("tmp/bob", "tmp/alice"));
        EXPECT(0, unlink("tmp/bob"));
    }
    AS(ALICE, ALICE, 0) {
        EXPECT(0, unlink("tmp/alice"));
        EXPECT(0, rmdir("tmp/alice-d"));
    }
    EXPECT(0, mkdir("team", 0777));
    EXPECT(0, chown("team", 0, TEAM));
    EXPECT(0, chmod("team", 02777));
    AS(ALICE, ALICE, 0) {
        make("team/file", "x");
        EXPECT(0, mkdir("team/dir", 0755));
        EXPECT(0, symlink("x", "team/link"));
        TRUE(look("team/file").st_gid == TEAM && look("team/file").st_uid == ALICE);
        TRUE(look("team/dir").st_gid == TEAM && (mode_of("team/dir") & 02000) && look("team/link").st_gid == TEAM);
        EXPECT(0, close(open("team/sgid", O_CREAT | O_WRONLY, 02755)));
        TRUE(mode_of("team/sgid") == 0755);            /* not a member */
        EXPECT(0, chmod("team/file", 02755));
        TRUE(mode_of("team/file") == 0755);
    }
}

static void walls(void) {
    topic = "search permission";
    EXPECT(0, mkdir("closed", 0700));
    EXPECT(0, mkdir("closed/in", 0777));
    make("closed/file", "x");
    EXPECT(0, chmod("closed/file", 0666));
    EXPECT(0, mkdir("read-only", 0755));
    make("read-only/file", "x");
    EXPECT(0, chmod("read-only/file", 0666));
    AS(ALICE, ALICE, 0) {
        EXPECT(EACCES, open("closed/file", O_RDONLY));
        EXPECT(EACCES, stat("closed/file", &(struct stat){0}));
        EXPECT(EACCES, open("closed", O_RDONLY));
        EXPECT(EACCES, unlink("closed/file"));
        EXPECT(EACCES, mkdir("read-only/x", 0755));
        EXPECT(EACCES, unlink("read-only/file"));
        EXPECT(EACCES, rename("read-only/file", "read-only/y"));
        EXPECT(EACCES, link("read-only/file", "read-only/y"));
        EXPECT(EACCES, symlink("x", "read-only/y"));
        EXPECT(EACCES, open("read-only/y", O_CREAT | O_WRONLY, 0644));
        EXPECT(0, close(open("read-only/file", O_RDWR)));
        EXPECT(EACCES, access("closed", R_OK));
    }
}

/* struct posix_acl_xattr: version 2; tag, permissions, id. */
static void access_lists(void) {
    topic = "acl";
    const unsigned char acl[] = { 2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, ALICE & 255, ALICE >> 8, 0, 0,
                                  4, 0, 0, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255 };
    make("secret", "x");
    EXPECT(0, chmod("secret", 0600));
    int r = setxattr("secret", "system.posix_acl_access", acl, sizeof(acl), 0);
    if (r < 0 && errno == EOPNOTSUPP)
        return;
    TRUE(r == 0);
    TRUE(mode_of("secret") == 0640);                   /* the mask shows as the group's */
    AS(ALICE, ALICE, 0) {
        EXPECT(0, close(open("secret", O_RDONLY)));
        EXPECT(EACCES, open("secret", O_WRONLY));
    }
    AS(BOB, BOB, 0)
        EXPECT(EACCES, open("secret", O_RDONLY));
    EXPECT(0, chmod("secret", 0600));                  /* and chmod changes the mask */
    AS(ALICE, ALICE, 0)
        EXPECT(EACCES, open("secret", O_RDONLY));
    EXPECT(0, mkdir("inherit", 0777));
    EXPECT(0, setxattr("inherit", "system.posix_acl_default", acl, sizeof(acl), 0));
    mode_t old = umask(077);
    make("inherit/file", "x");                         /* the default ACL, not the umask */
    EXPECT(0, mkdir("inherit/dir", 0777));
    (void)umask(old);
    TRUE(mode_of("inherit/file") == 0640);
    unsigned char got[128];
    TRUE(getxattr("inherit/dir", "system.posix_acl_default", got, sizeof(got)) == (ssize_t)sizeof(acl) && memcmp(got, acl, sizeof(acl)) == 0);
    EXPECT(ENODATA, (int)getxattr("inherit/file", "system.posix_acl_default", got, sizeof(got)));
    EXPECT(0, removexattr("inherit", "system.posix_acl_default"));
}

static void enter(const char *name) {
    if (mkdir(name, 0755) < 0 || chdir(name) < 0) {
        printf("cannot enter %s: %s\n", name, strerror(errno));
        exit(2);
    }
}

int main(int argc, char *argv[]) {
    bool root = argc > 1 && strcmp(argv[1], "-u") != 0;
    if (argc < (root ? 2 : 3) || chdir(argv[root ? 1 : 2]) < 0) {
        (void)fprintf(stderr, "usage: posix [-u] DIR\n");
        return 2;
    }
    enter("posix");
    (void)umask(022);
    static void (*const all[])(void) = { names, deep, opening, times_and_sizes, links, directories, renames, listing, mappings, appending, locking };
    static void (*const privileged[])(void) = { privileges, sticky, walls, access_lists };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        enter("t");
        all[i]();
        if (chdir("..") < 0 || system("rm -rf t") != 0)
            return 2;
    }
    static void (*const either[])(bool) = { special, xattrs };
    for (size_t i = 0; i < sizeof(either) / sizeof(*either); i++) {
        enter("t");
        either[i](root);
        if (chdir("..") < 0 || system("rm -rf t") != 0)
            return 2;
    }
    for (size_t i = 0; root && i < sizeof(privileged) / sizeof(*privileged); i++) {
        enter("t");
        privileged[i]();
        if (chdir("..") < 0 || system("rm -rf t") != 0)
            return 2;
    }
    if (chdir("..") < 0 || unlink("posix/clock") < 0 || rmdir("posix") < 0)
        judge(false, __LINE__, "rmdir posix", errno, 0);
    printf("%u checked here, %u failed\n", checks, failures);
    return failures ? 1 : 0;
}
