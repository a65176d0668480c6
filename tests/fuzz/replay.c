/* Runs inputs that were found once, without the fuzzer: every file of the directories that are named.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 16 << 20 };

static int replay(int dirfd, const char *name) {
    _buf_ struct buf input = {0};
    int r = fs_read_file(dirfd, name, LIMIT, &input);
    if (r < 0) {
        fprintf(stderr, "cannot read %s: %d\n", name, r);
        return r;
    }
    return LLVMFuzzerTestOneInput((const uint8_t *)(input.data ? input.data : ""), input.size);
}

static int replay_directory(const char *path, unsigned *passed) {
    _closedir_ DIR *dir = opendir(path);
    if (!dir) {
        perror(path);
        return -1;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (*entry->d_name == '.')
            continue;
        if (replay(dirfd(dir), entry->d_name) < 0)
            return -1;
        ++*passed;
    }
    return 0;
}

int main(int argc, char **argv) {
    unsigned passed = 0;
    for (int i = 1; i < argc; i++)
        if (replay_directory(argv[i], &passed) < 0)
            return 1;
    printf("%u passed, 0 failed, 0 skipped\n", passed);
    return passed == 0;
}
