/* File handles of everything below a directory, kept in a file, and opened again later.
 *
 *     handles take DIR FILE [MOST]     handles open DIR FILE: says how many opened, and in which time; 1 unless all did, with their numbers
 *
 * Takes root. SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 128 };
struct kept {
    uint64_t number;
    union { struct file_handle handle; char room[sizeof(struct file_handle) + ROOM]; };
};

static FILE *file;
static unsigned long most, count;

static int take(const char *path, const struct stat *stat, int type, struct FTW *at) {
    struct kept kept = { .number = stat->st_ino };
    int mount;
    (void)type;
    if (at->level == 0)
        return 0;
    kept.handle.handle_bytes = ROOM;
    if (name_to_handle_at(AT_FDCWD, path, &kept.handle, &mount, 0) < 0 || fwrite(&kept, sizeof(kept), 1, file) != 1) {
        perror(path);
        return -1;
    }
    return ++count == most;
}

static int open_one(int dir, struct kept *kept) {
    struct stat stat;
    int fd = open_by_handle_at(dir, &kept->handle, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &stat) < 0 || stat.st_ino != kept->number) {
        printf("number %llu: %s\n", (unsigned long long)kept->number, fd < 0 ? strerror(errno) : "something else was opened");
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    return close(fd);
}

static int open_all(const char *path) {
    struct kept kept;
    struct timespec begin, end;
    unsigned long failed = 0;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    for (; dir >= 0 && fread(&kept, sizeof(kept), 1, file) == 1; count++)
        failed += open_one(dir, &kept) < 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%lu of %lu handles in %.3f s\n", count - failed, count,
           (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
    return dir < 0 || failed;
}

int main(int argc, char *argv[]) {
    if (argc < 4) {
        (void)fprintf(stderr, "usage: handles take|open DIR FILE [MOST]\n");
        return 2;
    }
    bool taking = strcmp(argv[1], "take") == 0;
    file = fopen(argv[3], taking ? "w" : "r");
    if (!file)
        return perror(argv[3]), 2;
    most = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    int r = taking ? nftw(argv[2], take, 64, FTW_PHYS) : open_all(argv[2]);
    return fclose(file) != 0 || r < 0 || (!taking && r);
}
