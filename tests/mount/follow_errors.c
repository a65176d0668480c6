/* Names that are replaced underneath all the time, and never absent: a file, a symlink and a directory, each by a rename. Programs that
 * use them in the mount meanwhile must not be told of it: natively none of their calls could fail. What they read is of one version.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { USERS = 3, SIZE = 20000 };

static unsigned failures;

static double now(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void must(long result, const char *doing) {
    if (result >= 0)
        return;
    perror(doing);
    exit(2);
}

static void wrong(const char *doing, const char *why) {
    if (failures++ < 5)
        printf("%s: %s\n", doing, why);
}

static int right(long result, const char *doing) {
    if (result < 0)
        wrong(doing, strerror(errno));
    return result >= 0;
}

static void put(const char *name, char what) {
    char text[SIZE];
    memset(text, what, sizeof(text));
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    must(fd, name);
    must(write(fd, text, sizeof(text)), "write");
    must(close(fd), "close");
}

static void prepare(void) {
    put("f", 'a');
    must(symlink("f", "l"), "symlink");
    for (const char *const *name = (const char *const[]){ "d", "e", NULL }; *name; name++) {
        char path[8];
        must(mkdir(*name, 0755), "mkdir");
        (void)snprintf(path, sizeof(path), "%s/x", *name);
        put(path, **name);
    }
}

static void replace_all(double until) {
    for (unsigned i = 0; now() < until; i++) {
        put("#f", (char)('a' + i % 26));
        must(rename("#f", "f"), "rename");
        must(symlink(i % 2 ? "f" : "./f", "#l"), "symlink");
        must(rename("#l", "l"), "rename");
        must(renameat2(AT_FDCWD, "d", AT_FDCWD, "e", RENAME_EXCHANGE), "renameat2");
    }
}

static void read_whole(const char *name) {
    char text[SIZE + 1];
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (!right(fd, name))
        return;
    struct stat st;
    (void)right(fstat(fd, &st), "fstat");
    ssize_t got = read(fd, text, sizeof(text));
    if (right(got, "read") && got != SIZE)
        wrong(name, "of another size");
    for (ssize_t i = 1; i < got; i++)
        if (text[i] != text[0]) {
            wrong(name, "of two versions");
            break;
        }
    (void)close(fd);
}

static void list(void) {
    unsigned count = 0;
    DIR *dir = opendir("d");
    if (!right(dir ? 0 : -1, "opendir d"))
        return;
    while (errno = 0, readdir(dir))
        count++;
    (void)right(errno ? -1 : 0, "readdir d");
    if (count < 3)
        wrong("d", "lacks names");
    (void)closedir(dir);
}

static void use_all(unsigned who, double until) {
    char own[32], moved[32], target[16];
    struct stat st;
    (void)snprintf(own, sizeof(own), "d/own%u", who);
    (void)snprintf(moved, sizeof(moved), "moved%u", who);
    while (now() < until) {
        (void)right(stat("f", &st), "stat f");
        read_whole("f");
        (void)right(stat("l", &st), "stat l");
        (void)right(readlink("l", target, sizeof(target)), "readlink l");
        read_whole("l");
        (void)right(access("d/x", R_OK), "access d/x");
        read_whole("d/x");
        list();
        (void)right(getxattr("f", "user.none", target, sizeof(target)) < 0 && errno != ENODATA ? -1 : 0, "getxattr f");
        int fd = open(own, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (right(fd, own)) {
            (void)right(write(fd, own, sizeof(own)), "write");
            (void)close(fd);
            (void)right(rename(own, moved), "rename");
            (void)right(unlink(moved), "unlink");
        }
    }
}

int main(int argc, char *argv[]) {
    if (argc != 4) {
        (void)fprintf(stderr, "usage: follow_errors LOWER MERGED SECONDS\n");
        return 2;
    }
    double until = now() + atof(argv[3]);
    int merged = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC), status, failed = 0;
    must(merged, argv[2]);
    must(chdir(argv[1]), argv[1]);
    prepare();
    pid_t changer = fork();
    must(changer, "fork");
    if (changer == 0) {
        replace_all(until);
        exit(0);
    }
    must(fchdir(merged), "fchdir");
    for (unsigned i = 0; i < USERS; i++) {
        pid_t user = fork();
        must(user, "fork");
        if (user == 0) {
            use_all(i, until);
            if (failures)
                printf("%u calls failed\n", failures);
            exit(failures > 0);
        }
    }
    while (wait(&status) > 0)
        failed |= status != 0;
    return failed;
}
