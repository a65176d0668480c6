/* How long what changes below takes to be seen in a mount that had kept it; measured from when the changing call returns, by looking again
 * and again. Then the same with a barrier after each change: what is not seen then is an error. For bench/follow.sh, and, with few
 * changes, a test. SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_S = 10 };

static int lower, merged, reader;
static unsigned number;

static void must(long result, const char *doing) {
    if (result >= 0)
        return;
    perror(doing);
    exit(2);
}

static double now(void) {
    struct timespec time;
    must(clock_gettime(CLOCK_MONOTONIC, &time), "clock_gettime");
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void barrier(void) {
    char text[256];
    must(fgetxattr(merged, "user.snapctl.sync", text, sizeof(text)), "the barrier");
}

static void put(const char *name) {
    char text[32];
    int fd = openat(lower, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int size = snprintf(text, sizeof(text), "%010u", number);
    must(fd, name);
    must(write(fd, text, (size_t)size), "write");
    must(close(fd), "close");
}

static bool there(const char *name) {
    struct stat st;
    return fstatat(merged, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Each kind: before, kept; the change; whether it is seen. */

static void write_before(void) {
    char text[16];
    if (number == 0)
        put("written");
    if (reader < 0)
        must(reader = openat(merged, "written", O_RDONLY | O_CLOEXEC), "written");
    must(pread(reader, text, 10, 0), "read");
}
static void write_change(void) {
    char text[32];
    int fd = openat(lower, "written", O_WRONLY | O_CLOEXEC);
    must(fd, "written");
    (void)snprintf(text, sizeof(text), "%010u", number);
    must(pwrite(fd, text, 10, 0), "write");
    must(close(fd), "close");
}
static bool write_seen(void) {
    char text[16] = "", wanted[32];
    (void)snprintf(wanted, sizeof(wanted), "%010u", number);
    return pread(reader, text, 10, 0) == 10 && memcmp(text, wanted, 10) == 0;
}

static void replace_before(void) { if (number == 0) put("replaced"); (void)there("replaced"); }
static void replace_change(void) { put("#new"); must(renameat(lower, "#new", lower, "replaced"), "rename"); }
static bool replace_seen(void) {
    struct stat above, below;
    return fstatat(merged, "replaced", &above, 0) == 0 && fstatat(lower, "replaced", &below, 0) == 0 && above.st_ino == below.st_ino;
}

static void mode_before(void) { if (number == 0) put("mode"); (void)there("mode"); }
static void mode_change(void) { must(fchmodat(lower, "mode", number % 2 ? 0600 : 0640, 0), "chmod"); }
static bool mode_seen(void) {
    struct stat above;
    return fstatat(merged, "mode", &above, 0) == 0 && (above.st_mode & 07777) == (number % 2 ? 0600 : 0640);
}

static void appear_before(void) { if (number > 0) { must(unlinkat(lower, "appearing", 0), "unlink"); barrier(); } (void)there("appearing"); }
static void appear_change(void) { must(mknodat(lower, "appearing", S_IFREG | 0644, 0), "mknod"); }
static bool appear_seen(void) { return there("appearing"); }

static void delete_before(void) { put("going"); barrier(); (void)there("going"); }
static void delete_change(void) { must(unlinkat(lower, "going", 0), "unlink"); }
static bool delete_seen(void) { return !there("going"); }

static const char *dir_name(unsigned i) { return i % 2 ? "dir1" : "dir0"; }
static void move_before(void) {
    if (number == 0)
        must(mkdirat(lower, dir_name(1), 0755), "mkdir");
    (void)there(dir_name(number)), (void)there(dir_name(number + 1));
}
static void move_change(void) { must(renameat(lower, dir_name(number + 1), lower, dir_name(number)), "rename"); }
static bool move_seen(void) { return there(dir_name(number)) && !there(dir_name(number + 1)); }

static bool is_listed(const char *name) {
    int fd = openat(merged, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    bool found = false;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        found |= strcmp(entry->d_name, name) == 0;
    if (dir)
        (void)closedir(dir);
    return found;
}
static void list_before(void) { if (number > 0) { must(unlinkat(lower, "listed", 0), "unlink"); barrier(); } (void)is_listed("listed"); }
static void list_change(void) { must(mknodat(lower, "listed", S_IFREG | 0644, 0), "mknod"); }
static bool list_seen(void) { return is_listed("listed"); }

static const struct kind { const char *name; void (*before)(void); void (*change)(void); bool (*seen)(void); } kinds[] = {
    { "write", write_before, write_change, write_seen }, { "replace", replace_before, replace_change, replace_seen },
    { "chmod", mode_before, mode_change, mode_seen }, { "appear", appear_before, appear_change, appear_seen },
    { "delete", delete_before, delete_change, delete_seen }, { "rename", move_before, move_change, move_seen },
    { "listing", list_before, list_change, list_seen },
};

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Microseconds; < 0: not seen. */
static double wait_for(const struct kind *kind, bool with_barrier) {
    kind->before();
    kind->change();
    double from = now();
    if (with_barrier) {
        barrier();
        double took = now() - from;
        return kind->seen() ? took : -1;
    }
    while (!kind->seen())
        if (now() - from > PATIENCE_S * 1e6)
            return -1;
    return now() - from;
}

static unsigned measure(const struct kind *kind, unsigned changes, bool with_barrier) {
    double *times = calloc(changes, sizeof(*times));
    unsigned unseen = 0;
    must(times ? 0 : -1, "calloc");
    for (unsigned i = 0; i < changes; i++, number++) {
        times[i] = wait_for(kind, with_barrier);
        unseen += times[i] < 0;
    }
    qsort(times, changes, sizeof(*times), by_size);
    printf("%-8s %-8s %8.0f %8.0f %8.0f   %u unseen\n", kind->name, with_barrier ? "barrier" : "", times[changes / 2],
           times[changes * 99 / 100], times[changes - 1], unseen);
    free(times);
    return unseen;
}

int main(int argc, char *argv[]) {
    if (argc != 4 || atoi(argv[3]) <= 0) {
        (void)fprintf(stderr, "usage: follow_latency LOWER MERGED CHANGES\n");
        return 2;
    }
    unsigned unseen = 0;
    must(lower = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC), argv[1]);
    must(merged = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC), argv[2]);
    printf("%-17s %8s %8s %8s\n", "microseconds", "median", "99 %", "worst");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        reader = -1;
        number = 0;
        unseen += measure(&kinds[i], (unsigned)atoi(argv[3]), false);
        unseen += measure(&kinds[i], (unsigned)atoi(argv[3]), true);
    }
    return unseen > 0;
}
