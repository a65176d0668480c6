/* A little program that changes files in known ways, for the tests of the tracer.
 *
 *     victim files DIR N      N files DIR/0, DIR/1...: each is one open and one write
 *     victim threads DIR N    the same by N threads, each makes one file
 *     victim children DIR N   the same by N child processes
 *     victim read DIR         opens and reads only; writes a line to stdout
 *     victim disk DIR         the story that test_disk.c knows
 *
 * Exit code: how many of its calls failed. SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int directory;

static int make_file(unsigned number) {
    char name[16];
    snprintf(name, sizeof(name), "%u", number);
    int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return 2;
    int failed = write(fd, "x", 1) != 1;
    return failed + (close(fd) < 0);
}

static void *run_thread(void *number) {
    return (void *)(intptr_t)make_file((unsigned)(uintptr_t)number);
}

static int by_threads(unsigned count) {
    pthread_t threads[64];
    int failed = 0;
    for (unsigned i = 0; i < count && i < 64; i++)
        failed += pthread_create(&threads[i], NULL, run_thread, (void *)(uintptr_t)i) != 0;
    for (unsigned i = 0; i < count && i < 64; i++) {
        void *result;
        failed += pthread_join(threads[i], &result) != 0 || result;
    }
    return failed;
}

static int by_children(unsigned count) {
    int failed = 0, status;
    for (unsigned i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(make_file(i));
        failed += pid < 0 || waitpid(pid, &status, 0) != pid || status != 0;
    }
    return failed;
}

static int read_only(void) {
    char byte;
    int fd = openat(directory, "there", O_RDONLY | O_CLOEXEC);
    int failed = fd < 0 || read(fd, &byte, 1) != 1;
    puts("this is not a file");
    return failed;
}

/* 1 a: written, flushed; 2 b: written, not flushed; 3 c: written and renamed over a; 4 d: an unnamed file that gets a name;
 * 5 the directory is flushed; 6 a is written to again; 7 the mark; 8 b is removed */
static int disk_story(const char *path) {
    char mark[4096];
    int a = openat(directory, "a", O_RDWR | O_CREAT, 0644), failed = a < 0 || write(a, "first", 5) != 5 || fsync(a) < 0;
    int b = openat(directory, "b", O_RDWR | O_CREAT, 0644);
    failed += b < 0 || write(b, "second", 6) != 6;
    int c = openat(directory, "c", O_RDWR | O_CREAT, 0600);
    failed += c < 0 || write(c, "third", 5) != 5 || renameat(directory, "c", directory, "a") < 0;
    int d = open(path, O_RDWR | O_TMPFILE, 0640);
    snprintf(mark, sizeof(mark), "/proc/self/fd/%d", d);
    failed += d < 0 || write(d, "fourth", 6) != 6 || linkat(AT_FDCWD, mark, directory, "d", AT_SYMLINK_FOLLOW) < 0;
    failed += fsync(directory) < 0 || pwrite(c, "T", 1, 0) != 1;
    const char *slash = strrchr(path, '/');
    snprintf(mark, sizeof(mark), "%.*s/mark-7", slash ? (int)(slash - path) : 0, path);
    failed += mkdir(mark, 0755) < 0 || unlinkat(directory, "b", 0) < 0;
    return failed;
}

int main(int argc, char **argv) {
    unsigned count = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
    if (argc < 3 || (directory = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return 100;
    if (!strcmp(argv[1], "threads"))
        return by_threads(count);
    if (!strcmp(argv[1], "children"))
        return by_children(count);
    if (!strcmp(argv[1], "read"))
        return read_only();
    if (!strcmp(argv[1], "disk"))
        return disk_story(argv[2]);
    int failed = 0;
    for (unsigned i = 0; i < count; i++)
        failed += make_file(i);
    return failed;
}
