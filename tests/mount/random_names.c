/* Several processes make, move, link and remove things in one tree at random (fsstress' idea). An error is right if a native file
 * system could have given it; EIO, ESTALE and the like are not. SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static unsigned long long state, step;

static unsigned pick(unsigned below) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)((state >> 33) % below);
}

/* Up to four names deep, out of few names, so that processes meet. */
static const char *some_path(char *room) {
    static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "h" };
    size_t at = 0;
    for (unsigned depth = pick(4) + 1; depth > 0; depth--)
        at += (size_t)sprintf(room + at, "%s%s", at ? "/" : "", names[pick(8)]);
    return room;
}

static void judge(long result, const char *doing, const char *path) {
    static const int right[] = { ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, EINVAL, ELOOP, EPERM, EACCES, EBUSY, EMLINK, ENODATA, ENXIO,
                                 EOPNOTSUPP, EXDEV, ETXTBSY, ENAMETOOLONG };
    if (result >= 0)
        return;
    for (size_t i = 0; i < sizeof(right) / sizeof(*right); i++)
        if (errno == right[i])
            return;
    printf("step %llu: %s %s: %s\n", step, doing, path, strerror(errno));
    exit(1);
}

static void use_file(const char *path, int flags) {
    char data[5000];
    int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC, 0644);
    judge(fd, "open", path);
    if (fd < 0)
        return;
    memset(data, 'x', sizeof(data));
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        if ((flags & O_ACCMODE) != O_RDONLY)
            judge(pwrite(fd, data, pick(sizeof(data)), pick(20000)), "write", path);
        else
            judge(pread(fd, data, sizeof(data), pick(20000)), "read", path);
        if (pick(20) == 0)
            judge(fsync(fd), "fsync", path);
        if (pick(10) == 0)
            judge(fchmod(fd, 0600 | pick(64)), "fchmod", path);
    }
    judge(close(fd), "close", path);
}

static void list(const char *path) {
    DIR *dir = opendir(path);
    judge(dir ? 0 : -1, "opendir", path);
    struct stat st;
    for (struct dirent *entry; dir && (errno = 0, entry = readdir(dir));)
        if (pick(3) == 0)
            judge(fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW), "stat in", path);
    judge(errno ? -1 : 0, "readdir", path);
    if (dir)
        (void)closedir(dir);
}

static void one_step(void) {
    char a[64], b[64], text[64];
    struct stat st;
    some_path(a), some_path(b);
    switch (pick(17)) {
    case 0: use_file(a, O_RDWR | O_CREAT); break;
    case 1: use_file(a, O_WRONLY | O_CREAT | O_EXCL); break;
    case 2: use_file(a, O_RDWR | O_TRUNC); break;
    case 3: use_file(a, O_RDONLY); break;
    case 4: case 5: judge(mkdir(a, 0755), "mkdir", a); break;
    case 6: judge(rmdir(a), "rmdir", a); break;
    case 7: judge(unlink(a), "unlink", a); break;
    case 8: judge(rename(a, b), "rename", a); break;
    case 9: judge(renameat2(AT_FDCWD, a, AT_FDCWD, b, pick(2) ? RENAME_NOREPLACE : RENAME_EXCHANGE), "renameat2", a); break;
    case 10: judge(link(a, b), "link", a); break;
    case 11: judge(symlink(b, a), "symlink", a); break;
    case 12: judge(lstat(a, &st), "lstat", a); break;
    case 13: list(a); break;
    case 14: judge(chmod(a, 0700 | pick(64)), "chmod", a); break;
    case 15: judge(lsetxattr(a, "user.x", b, strlen(b), 0), "setxattr", a); break;
    case 16: judge(lgetxattr(a, "user.x", text, sizeof(text)), "getxattr", a); break;
    default: break;
    }
}

int main(int argc, char *argv[]) {
    if (argc != 5 || chdir(argv[1]) < 0) {
        (void)fprintf(stderr, "usage: random_names DIR SEED STEPS PROCESSES\n");
        return 2;
    }
    int processes = atoi(argv[4]), failed = 0;
    for (int i = 0; i < processes; i++)
        if (fork() == 0) {
            state = strtoull(argv[2], NULL, 10) * 1000 + (unsigned)i;
            for (step = 1; step <= strtoull(argv[3], NULL, 10); step++)
                one_step();
            exit(0);
        }
    for (int status; wait(&status) > 0;)
        failed |= status != 0;
    return failed;
}
