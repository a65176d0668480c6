/* Random reads, writes, mappings, truncations, holes and copies of one file, each compared with a copy in memory (fsx' idea).
 * The file exists, so that it can lie in a lower directory. Knows nothing of overlays. SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGEST = 256 << 10 };

static unsigned char model[LARGEST], scratch[LARGEST];
static size_t size;
static const char *path;
static char other[4096];
static int fd = -1, log_fd = -1;          /* for everything; for appending */
static unsigned long long state, step;

static unsigned pick(unsigned below) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)((state >> 33) % below);
}

__attribute__((noreturn)) static void fail(const char *doing, const char *why) {
    printf("step %llu: %s: %s (size %zu)\n", step, doing, why, size);
    exit(1);
}

static void must(bool right, const char *doing) {
    if (!right)
        fail(doing, strerror(errno));
}

static void compare(const unsigned char *got, size_t offset, size_t count, const char *doing) {
    for (size_t i = 0; i < count; i++)
        if (got[i] != model[offset + i]) {
            char why[96];
            (void)snprintf(why, sizeof(why), "byte %zu is %02x instead of %02x", offset + i, got[i], model[offset + i]);
            fail(doing, why);
        }
}

static void open_again(void) {
    if (fd >= 0)
        must(close(fd) == 0 && close(log_fd) == 0, "close");
    fd = open(path, O_RDWR);
    log_fd = open(path, O_WRONLY | O_APPEND);
    must(fd >= 0 && log_fd >= 0, "open");
}

static void check_size(const char *doing) {
    struct stat st;
    must(fstat(fd, &st) == 0, "fstat");
    if ((size_t)st.st_size != size)
        fail(doing, "the size is another one");
}

static void fill(size_t count) {
    for (size_t i = 0; i < count; i++)
        scratch[i] = (unsigned char)(pick(255) + 1);
}

static void extend(size_t to) {
    if (to > size) {
        memset(model + size, 0, to - size);
        size = to;
    }
}

static void do_read(void) {
    size_t offset = pick(LARGEST), count = pick(40000);
    ssize_t got = pread(fd, scratch, count, (off_t)offset);
    size_t wanted = offset >= size ? 0 : size - offset < count ? size - offset : count;
    must(got >= 0, "read");
    if ((size_t)got != wanted)
        fail("read", "another length");
    compare(scratch, offset, wanted, "read");
}

static void do_write(void) {
    size_t offset = pick(LARGEST - 40000), count = pick(40000);
    fill(count);
    must(pwrite(fd, scratch, count, (off_t)offset) == (ssize_t)count, "write");
    if (count > 0)
        extend(offset + count);
    memcpy(model + offset, scratch, count);
}

static void do_append(void) {
    size_t count = pick(3000);
    if (size + count > LARGEST)
        return;
    fill(count);
    must(write(log_fd, scratch, count) == (ssize_t)count, "append");
    memcpy(model + size, scratch, count);
    size += count;
}

static void do_truncate(void) {
    size_t to = pick(LARGEST);
    must((pick(2) ? ftruncate(fd, (off_t)to) : truncate(path, (off_t)to)) == 0, "truncate");
    extend(to);
    size = to;
}

static void do_map(bool writing) {
    if (size == 0)
        return;
    size_t offset = pick((unsigned)size), count = pick(20000);
    count = size - offset < count ? size - offset : count;
    unsigned char *at = mmap(NULL, size, PROT_READ | (writing ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    must(at != MAP_FAILED, "mmap");
    compare(at + offset, offset, count, "mapped read");
    if (writing) {
        fill(count);
        memcpy(at + offset, scratch, count);
        memcpy(model + offset, scratch, count);
        must(pick(3) || msync(at, size, MS_SYNC) == 0, "msync");
    }
    must(munmap(at, size) == 0, "munmap");
}

static void do_hole(int mode, const char *doing) {
    size_t offset = pick(LARGEST - 50000), count = pick(50000) + 1;
    int r = fallocate(fd, mode, (off_t)offset, (off_t)count);
    if (r < 0 && errno == EOPNOTSUPP)
        return;
    must(r == 0, doing);
    if (!(mode & FALLOC_FL_KEEP_SIZE))
        extend(offset + count);
    if (offset < size && mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        memset(model + offset, 0, size - offset < count ? size - offset : count);
}

static void do_copy(void) {
    if (size < 2)
        return;
    loff_t from = pick((unsigned)size / 2), to = (loff_t)size / 2 + pick((unsigned)size / 2);
    size_t count = pick((unsigned)size / 2 + 1);
    if ((size_t)to + count > LARGEST || (size_t)from + count > (size_t)to)
        return;
    loff_t in = from, out = to;
    ssize_t got = copy_file_range(fd, &in, fd, &out, count, 0);
    if (got < 0 && (errno == EOPNOTSUPP || errno == EXDEV || errno == EINVAL))
        return;
    must(got >= 0, "copy_file_range");
    if (got > 0)
        extend((size_t)to + (size_t)got);
    memmove(model + to, model + from, (size_t)got);
}

static void do_move(void) {
    must(rename(path, other) == 0, "rename");
    must(link(other, path) == 0, "link");
    must(unlink(other) == 0, "unlink");
}

static void do_metadata(void) {
    struct timespec times[2] = { { 1000000 + pick(1000), 5 }, { 2000000 + pick(1000), 6 } };
    struct stat st;
    must(fchmod(fd, 0600 | pick(64)) == 0 && futimens(fd, times) == 0, "chmod, utimens");
    must(stat(path, &st) == 0, "stat");
    if (st.st_mtim.tv_sec != times[1].tv_sec || st.st_mtim.tv_nsec != 6)
        fail("utimens", "the time is another one");
}

static void do_seek(void) {
    off_t data = lseek(fd, 0, SEEK_DATA);
    must(data >= 0 || errno == ENXIO, "lseek");
    for (off_t i = 0; i < (data < 0 ? (off_t)size : data); i++)
        if (model[i])
            fail("lseek", "a hole with data in it");
}

static void one_step(void) {
    switch (pick(20)) {
    case 0: case 1: case 2: do_read(); break;
    case 3: case 4: case 5: do_write(); break;
    case 6: do_append(); break;
    case 7: do_truncate(); break;
    case 8: case 9: do_map(false); break;
    case 10: case 11: do_map(true); break;
    case 12: do_hole(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, "punch"); break;
    case 13: do_hole(FALLOC_FL_ZERO_RANGE | (pick(2) ? FALLOC_FL_KEEP_SIZE : 0), "zero"); break;
    case 14: do_hole(pick(2) ? FALLOC_FL_KEEP_SIZE : 0, "allocate"); break;
    case 15: do_copy(); break;
    case 16: open_again(); break;
    case 17: pick(2) ? do_move() : do_metadata(); break;
    case 18: do_seek(); break;
    case 19:
        must(pick(4) || fsync(fd) == 0, "fsync");
        must(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0, "fadvise");
        break;
    default: break;
    }
    check_size("a step");
}

int main(int argc, char *argv[]) {
    if (argc != 4) {
        (void)fprintf(stderr, "usage: random_io FILE SEED STEPS\n");
        return 2;
    }
    path = argv[1];
    (void)snprintf(other, sizeof(other), "%s.moved", path);
    state = strtoull(argv[2], NULL, 10);
    open_again();
    ssize_t got = pread(fd, model, LARGEST, 0);
    must(got >= 0, "read");
    size = (size_t)got;
    for (step = 1; step <= strtoull(argv[3], NULL, 10); step++)
        one_step();
    open_again();
    must(pread(fd, scratch, LARGEST, 0) == (ssize_t)size, "read");
    compare(scratch, 0, size, "the end");
    must(ftruncate(fd, (off_t)size) == 0 && close(fd) == 0 && close(log_fd) == 0, "close");
    return 0;
}
