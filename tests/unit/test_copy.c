/* Content, holes and digests.
 * Refuses to measure speed, but for the one promise that a hole costs nothing.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "cleanup.h"
#include "copy.h"
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <xxhash.h>

enum { KIB = 1 << 10, MIB = 1 << 20 };

/* An unnamed file in `dir`, gone when it is closed. */
static int file_in(const char *dir) {
    char path[256];
    assert_true(snprintf(path, sizeof(path), "%s/snapctl-test-XXXXXX", dir) < (int)sizeof(path));
    int fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    return fd;
}

static const char *temporary(void) {
    const char *dir = getenv("TMPDIR");
    return dir ? dir : "/tmp";
}

static int file(void) {
    return file_in(temporary());
}

static void put(int fd, const void *data, size_t size, off_t at) {
    assert_int_equal(pwrite(fd, data, size, at), size);
}

/* Data without a zero byte. */
static uint8_t *noise(size_t size, unsigned seed) {
    uint8_t *data = malloc(size);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(1 + (seed = seed * 1103515245 + 12345) / 65536 % 255);
    return data;
}

static struct digest digest_of(int fd) {
    struct digest digest;
    assert_int_equal(copy_digest(fd, NULL, NULL, &digest), 0);
    return digest;
}

static struct digest plain_digest(const void *data, size_t size) {
    struct digest digest;
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, size));
    memcpy(digest.bytes, canonical.digest, sizeof(digest.bytes));
    return digest;
}

static void assert_same_content(int a, int b) {
    struct stat x, y;
    assert_int_equal(fstat(a, &x), 0);
    assert_int_equal(fstat(b, &y), 0);
    assert_int_equal(x.st_size, y.st_size);
    _free_ uint8_t *p = malloc(MIB), *q = malloc(MIB);
    for (off_t at = 0; at < x.st_size; at += MIB) {
        ssize_t got = pread(a, p, MIB, at);
        assert_true(got > 0);
        assert_int_equal(pread(b, q, MIB, at), got);
        assert_memory_equal(p, q, got);
    }
}

static void assert_same_holes(int a, int b) {
    for (off_t data, hole = 0; ; ) {
        data = lseek(a, hole, SEEK_DATA);
        assert_int_equal(lseek(b, hole, SEEK_DATA), data);
        if (data < 0)
            return;
        hole = lseek(a, data, SEEK_HOLE);
        assert_int_equal(lseek(b, data, SEEK_HOLE), hole);
    }
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Copies with each combination of options, and checks content, size and digest. */
static void assert_copies(int from) {
    struct stat stat;
    assert_int_equal(fstat(from, &stat), 0);
    struct digest expected = digest_of(from);
    for (int i = 0; i < 4; i++) {
        struct copy_options options = { .no_reflink = i & 1, .want_digest = i & 2 };
        struct digest digest;
        uint64_t size = 1;
        _close_ int to = file();
        int r = copy_content(from, to, &options, &size, &digest);
        assert_true(r == COPY_COPIED || (r == COPY_REFLINKED && !options.no_reflink));
        assert_int_equal(size, stat.st_size);
        assert_same_content(from, to);
        if (options.want_digest)
            assert_true(digest_equal(&digest, &expected));
    }
}

static void an_empty_file_is_copied(void **state) {
    (void)state;
    _close_ int from = file();
    assert_copies(from);
    struct digest digest = digest_of(from), plain = plain_digest("", 0);
    assert_true(digest_equal(&digest, &plain));
}

static void files_of_every_size_around_the_borders_are_copied(void **state) {
    (void)state;
    static const size_t borders[] = { 1, 4 * KIB, 64 * KIB, 128 * KIB, 256 * KIB, MIB, 5 * MIB };
    for (size_t i = 0; i < ELEMENTS(borders); i++) {
        for (int off = -1; off <= 1; off++) {
            size_t size = borders[i] + (size_t)off;
            _free_ uint8_t *data = noise(size + 1, (unsigned)size);
            _close_ int from = file();
            put(from, data, size, 0);
            assert_copies(from);
            struct digest digest = digest_of(from), plain = plain_digest(data, size);
            assert_true(digest_equal(&digest, &plain));
        }
    }
}

static void the_position_of_the_source_does_not_matter(void **state) {
    (void)state;
    _close_ int from = file(), to = file();
    put(from, "content", 7, 0);
    assert_int_equal(lseek(from, 5, SEEK_SET), 5);
    uint64_t size;
    assert_true(copy_content(from, to, NULL, &size, NULL) > 0);
    assert_int_equal(size, 7);
    assert_same_content(from, to);
}

static void holes_stay_holes(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        _free_ uint8_t *data = noise(100 * KIB, 7);
        _close_ int from = file(), to = file();
        assert_int_equal(ftruncate(from, 4 * MIB + 17), 0);    /* first, else xfs reserves room in the holes */
        put(from, data, 5000, 8192);
        put(from, data, 100 * KIB, 300 * KIB);
        put(from, data, 1, 3 * MIB + 5);
        struct copy_options options = { .no_reflink = i & 1, .want_digest = i & 2 };
        struct digest digest, expected = digest_of(from);
        assert_true(copy_content(from, to, &options, NULL, &digest) > 0);
        assert_same_content(from, to);
        assert_same_holes(from, to);
        if (options.want_digest)
            assert_true(digest_equal(&digest, &expected));
    }
}

static void a_small_file_keeps_its_hole(void **state) {
    (void)state;
    _close_ int from = file(), to = file();
    put(from, "end", 3, 48 * KIB);
    assert_true(copy_content(from, to, &(struct copy_options){ .no_reflink = true }, NULL, NULL) > 0);
    assert_same_content(from, to);
    assert_same_holes(from, to);
}

static void a_hole_of_one_tebibyte_costs_nothing(void **state) {
    (void)state;
    const off_t tebibyte = (off_t)1 << 40;
    _close_ int from = file(), to = file();
    put(from, "begin", 5, 0);
    put(from, "middle", 6, tebibyte / 2 + 12345);
    assert_int_equal(ftruncate(from, tebibyte), 0);
    double start = seconds();
    struct digest digest;
    uint64_t size;
    assert_true(copy_content(from, to, &(struct copy_options){ .want_digest = true }, &size, &digest) > 0);
    struct digest again = digest_of(to);
    assert_true(seconds() - start < 1);
    assert_int_equal(size, tebibyte);
    assert_true(digest_equal(&digest, &again));
    struct stat stat;
    assert_int_equal(fstat(to, &stat), 0);
    assert_int_equal(stat.st_size, tebibyte);
    assert_true(stat.st_blocks < 1000);
    assert_same_holes(from, to);
}

/* The same content three ways: all explicit, as sparse as its zeros allow, and read from a copy. */
static void assert_layout_does_not_matter(const uint8_t *data, size_t size) {
    _close_ int full = file(), sparse = file();
    put(full, data, size, 0);
    for (size_t at = 0, part; at < size; at += part) {
        part = MIN(size - at, (size_t)4096);
        bool zero = true;
        for (size_t i = 0; i < part && zero; i++)
            zero = data[at + i] == 0;
        if (!zero)
            put(sparse, data + at, part, (off_t)at);
    }
    assert_int_equal(ftruncate(sparse, (off_t)size), 0);
    struct digest a = digest_of(full), b = digest_of(sparse);
    assert_true(digest_equal(&a, &b));
    assert_copies(full);
    assert_copies(sparse);
}

static void a_hole_and_zeros_have_the_same_digest(void **state) {
    (void)state;
    static const struct { size_t size, zeros_from, zeros_to; } cases[] = {
        { MIB, 0, MIB }, { 64 * KIB, 0, 64 * KIB }, { 64 * KIB - 1, 0, 64 * KIB - 1 }, { 64 * KIB + 1, 0, 64 * KIB + 1 },
        { MIB, 64 * KIB, 128 * KIB }, { MIB, 64 * KIB - 1, 128 * KIB }, { MIB, 64 * KIB + 1, 128 * KIB },
        { MIB, 64 * KIB, 128 * KIB - 1 }, { MIB, 64 * KIB, 128 * KIB + 1 }, { MIB, 100, 500 * KIB + 7 },
        { MIB + 4321, 900 * KIB, MIB + 4321 }, { MIB + 4321, 0, MIB }, { 3 * MIB, 200 * KIB + 4096, 2 * MIB + 8192 },
        { 300 * KIB, 4 * KIB, 8 * KIB }, { 200 * KIB, 0, 199 * KIB }, { 257 * KIB, 255 * KIB, 257 * KIB },
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        _free_ uint8_t *data = noise(cases[i].size, (unsigned)i);
        memset(data + cases[i].zeros_from, 0, cases[i].zeros_to - cases[i].zeros_from);
        assert_layout_does_not_matter(data, cases[i].size);
    }
}

static void random_layouts_have_the_digest_of_their_content(void **state) {
    (void)state;
    unsigned seed = 20240501;
    for (int round = 0; round < 40; round++) {
        size_t size = 1 + (seed = seed * 1103515245 + 12345) / 7 % (2 * MIB);
        _free_ uint8_t *data = noise(size, seed);
        for (int i = 0; i < 6; i++) {
            size_t from = (seed = seed * 1103515245 + 12345) / 7 % size;
            size_t count = (seed = seed * 1103515245 + 12345) / 7 % (512 * KIB);
            from -= i & 1 ? from % 4096 : 0;
            memset(data + from, 0, MIN(count, size - from));
        }
        assert_layout_does_not_matter(data, size);
    }
}

static void zeros_elsewhere_or_more_of_them_give_another_digest(void **state) {
    (void)state;
    struct digest seen[8];
    size_t count = 0;
    _free_ uint8_t *data = noise(64 * KIB, 3);
    for (int blocks = 2; blocks <= 3; blocks++) {          /* one block of data among zeros, or none */
        for (int at = -1; at < blocks; at++) {
            _close_ int fd = file();
            assert_int_equal(ftruncate(fd, blocks * 64 * KIB), 0);
            if (at >= 0)
                put(fd, data, 64 * KIB, at * 64 * KIB);
            seen[count++] = digest_of(fd);
        }
    }
    seen[count++] = plain_digest(data, 64 * KIB);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_false(digest_equal(&seen[i], &seen[j]));
}

static void the_digest_is_the_one_that_the_header_defines(void **state) {
    (void)state;
    _free_ uint8_t *data = noise(64 * KIB, 3);
    _close_ int fd = file();
    put(fd, data, 64 * KIB, 128 * KIB);
    put(fd, "x", 1, 256 * KIB);
    struct { uint8_t runs[16]; uint64_t offset, size; } run = { .offset = 0, .size = 128 * KIB };
    struct digest runs = plain_digest(&run, sizeof(run));
    memcpy(run.runs, runs.bytes, 16);
    run.offset = 192 * KIB;
    run.size = 64 * KIB;
    runs = plain_digest(&run, sizeof(run));
    struct { uint8_t data[16], runs[16]; uint64_t size; } all = { .size = 256 * KIB + 1 };
    _free_ uint8_t *rest = malloc(64 * KIB + 1);
    memcpy(rest, data, 64 * KIB);
    rest[64 * KIB] = 'x';
    memcpy(all.data, plain_digest(rest, 64 * KIB + 1).bytes, 16);
    memcpy(all.runs, runs.bytes, 16);
    XXH128_canonical_t expected;
    XXH128_canonicalFromHash(&expected, XXH3_128bits_withSeed(&all, sizeof(all), 0x736e617068756e6b));
    assert_memory_equal(digest_of(fd).bytes, expected.digest, 16);
}

static void a_cancelled_copy_says_so_and_gives_no_answer(void **state) {
    (void)state;
    const volatile sig_atomic_t cancel = 1;
    _close_ int from = file(), to = file();
    put(from, "x", 1, 64 * MIB);
    uint64_t size = 77;
    struct copy_options options = { .cancel = &cancel };
    assert_int_equal(copy_content(from, to, &options, &size, NULL), -ECANCELED);
    options.no_reflink = options.want_digest = true;
    struct digest digest = {{5}};
    assert_int_equal(copy_content(from, to, &options, &size, &digest), -ECANCELED);
    assert_int_equal(copy_digest(from, &options, &size, &digest), -ECANCELED);
    assert_int_equal(size, 77);
    assert_int_equal(digest.bytes[0], 5);
}

struct seen { uint64_t bytes; unsigned calls; volatile sig_atomic_t cancel; int grow; };

static void see(void *data, uint64_t bytes) {
    struct seen *seen = data;
    seen->bytes += bytes;
    seen->calls++;
}

static void cancel_now(void *data, uint64_t bytes) {
    see(data, bytes);
    ((struct seen *)data)->cancel = 1;
}

static void a_copy_is_cancelled_while_it_runs(void **state) {
    (void)state;
    for (int digest = 0; digest < 2; digest++) {
        _close_ int from = file(), to = file();
        assert_int_equal(posix_fallocate(from, 0, 64 * MIB), 0);
        _free_ uint8_t *data = noise(MIB, 1);
        for (int i = 0; i < 64; i++)
            put(from, data, MIB, i * MIB);
        struct seen seen = {0};
        struct copy_options options = { .no_reflink = true, .want_digest = digest, .cancel = &seen.cancel,
                                        .progress = cancel_now, .data = &seen };
        struct digest unused;
        assert_int_equal(copy_content(from, to, &options, NULL, &unused), -ECANCELED);
        assert_true(seen.bytes < 16 * MIB);
    }
}

static void progress_adds_up_to_the_bytes_copied(void **state) {
    (void)state;
    static const size_t sizes[] = { 0, 3, 300 * KIB, 9 * MIB + 1 };
    for (size_t i = 0; i < ELEMENTS(sizes); i++) {
        for (int digest = 0; digest < 2; digest++) {
            _free_ uint8_t *data = noise(sizes[i] + 1, 9);
            _close_ int from = file(), to = file();
            put(from, data, sizes[i], 0);
            struct seen seen = {0};
            struct copy_options options = { .want_digest = digest, .progress = see, .data = &seen };
            struct digest unused;
            assert_true(copy_content(from, to, &options, NULL, &unused) > 0);
            assert_int_equal(seen.bytes, sizes[i]);
            assert_true(seen.calls <= 1 + sizes[i] / MIB);
        }
    }
}

static void grow(void *data, uint64_t bytes) {
    struct seen *seen = data;
    uint8_t block[4 * KIB] = {1};
    struct stat stat;
    assert_int_equal(fstat(seen->grow, &stat), 0);
    for (uint64_t done = 0; done < 2 * bytes; done += sizeof(block))
        put(seen->grow, block, sizeof(block), stat.st_size + (off_t)done);
}

static void a_growing_file_does_not_keep_the_copy_going(void **state) {
    (void)state;
    _close_ int from = file(), to = file();
    _free_ uint8_t *data = noise(3 * MIB, 1);
    put(from, data, 3 * MIB, 0);
    struct seen seen = { .grow = from };
    struct copy_options options = { .no_reflink = true, .progress = grow, .data = &seen };
    uint64_t size;
    assert_int_equal(copy_content(from, to, &options, &size, NULL), COPY_COPIED);
    assert_int_equal(size, 3 * MIB);
}

static void cut_short(void *data, uint64_t bytes) {
    (void)bytes;
    struct seen *seen = data;
    assert_int_equal(ftruncate(seen->grow, 5), 0);
}

static void a_file_cut_short_meanwhile_gives_what_was_read(void **state) {
    (void)state;
    for (int digest = 0; digest < 2; digest++) {
        _close_ int from = file(), to = file();
        _free_ uint8_t *data = noise(12 * MIB, 1);
        put(from, data, 12 * MIB, 0);
        struct seen seen = { .grow = from };
        struct copy_options options = { .no_reflink = true, .want_digest = digest, .progress = cut_short, .data = &seen };
        uint64_t size;
        struct digest unused;
        assert_int_equal(copy_content(from, to, &options, &size, &unused), COPY_COPIED);
        struct stat stat;
        assert_int_equal(fstat(to, &stat), 0);
        assert_int_equal(stat.st_size, size);
        assert_true(size < 12 * MIB);
    }
}

static void a_full_disk_is_an_error(void **state) {
    (void)state;
    _close_ int from = file();
    _close_ int to = open("/dev/full", O_RDWR | O_CLOEXEC);
    if (to < 0) {
        print_message("skipped: there is no /dev/full\n");
        skip();
    }
    put(from, "content", 7, 0);
    assert_int_equal(copy_content(from, to, NULL, NULL, NULL), -ENOSPC);
}

static void content_goes_from_one_file_system_to_another(void **state) {
    (void)state;
    if (access("/dev/shm", W_OK) < 0) {
        print_message("skipped: no /dev/shm\n");
        skip();
    }
    for (int digest = 0; digest < 2; digest++) {
        _free_ uint8_t *data = noise(5 * MIB, 2);
        _close_ int from = file_in("/dev/shm"), to = file();
        put(from, data, 5 * MIB, 3 * MIB);
        assert_int_equal(ftruncate(from, 10 * MIB), 0);
        struct digest of;
        struct copy_options options = { .want_digest = digest };
        assert_true(copy_content(from, to, &options, NULL, &of) > 0);
        assert_same_content(from, to);
        assert_same_holes(from, to);
    }
}

/* Hot. */

static int reopen(int fd, int flags) {
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, flags | O_CLOEXEC);
}

/* Of a file that only `fd`, read-only, has open. */
static int cold_file(const char *dir) {
    _close_ int writer = file_in(dir);
    put(writer, "content", 7, 0);
    int fd = reopen(writer, O_RDONLY);
    assert_true(fd >= 0);
    return fd;
}

static void assert_hotness_in(const char *dir) {
    _close_ int fd = cold_file(dir);
    assert_int_equal(copy_is_hot(fd), 0);
    _close_ int reader = reopen(fd, O_RDONLY);
    assert_true(reader >= 0);
    assert_int_equal(copy_is_hot(fd), 0);
    int writer = reopen(fd, O_RDWR);
    assert_true(writer >= 0);
    assert_int_equal(copy_is_hot(fd), 1);
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    writer = fd_close(writer);
    assert_int_equal(copy_is_hot(fd), 1);
    assert_int_equal(munmap(map, 4096), 0);
    assert_int_equal(copy_is_hot(fd), 0);
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    assert_int_equal(copy_is_hot(fd), 0);
    assert_int_equal(munmap(map, 4096), 0);
}

static bool is_on_overlayfs(int fd) {
    struct statfs stat;
    assert_int_equal(fstatfs(fd, &stat), 0);
    return stat.f_type == OVERLAYFS_SUPER_MAGIC;
}

static void a_file_is_hot_while_it_can_be_written_also_by_a_mapping_alone(void **state) {
    (void)state;
    _close_ int fd = file();
    if (is_on_overlayfs(fd)) {
        print_message("skipped: on overlayfs every file is hot\n");
        skip();
    }
    assert_hotness_in(temporary());
}

static void that_holds_on_tmpfs_too(void **state) {
    (void)state;
    if (access("/dev/shm", W_OK) < 0) {
        print_message("skipped: no /dev/shm\n");
        skip();
    }
    assert_hotness_in("/dev/shm");
}

/* In a child, whose mounts nobody else sees. 77 = not possible here. */
static int hot_on_overlayfs(void) {
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
        || mount("none", "/mnt", "tmpfs", 0, NULL) < 0 || mkdir("/mnt/lower", 0700) < 0 || mkdir("/mnt/upper", 0700) < 0
        || mkdir("/mnt/work", 0700) < 0 || mkdir("/mnt/merged", 0700) < 0
        || mount("overlay", "/mnt/merged", "overlay", 0, "lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work") < 0)
        return 77;
    int writer = open("/mnt/merged/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (writer < 0 || write(writer, "content", 7) != 7)
        return 1;
    if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0) == MAP_FAILED)
        return 2;
    writer = fd_close(writer);
    int fd = open("/mnt/merged/file", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && copy_is_hot(fd) == 1 ? 0 : 3;
}

static void a_mapping_that_overlayfs_hides_is_hot(void **state) {
    (void)state;
    pid_t child = fork();
    if (child == 0)
        _exit(hot_on_overlayfs());
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("skipped: cannot mount here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void what_may_not_be_asked_is_hot(void **state) {
    (void)state;
    _close_ int fd = file();               /* open for writing by ourselves */
    assert_int_equal(copy_is_hot(fd), 1);
    _close_ int place = reopen(fd, O_PATH);
    assert_int_equal(copy_is_hot(place), 1);
    assert_int_equal(copy_is_hot(-1), 1);
}

struct opener { int fd; atomic_bool stop; unsigned opened; };

static void *open_and_close(void *data) {
    struct opener *opener = data;
    while (!opener->stop) {
        int fd = reopen(opener->fd, O_RDWR | O_NONBLOCK);
        opener->opened += fd >= 0;
        (void)fd_close(fd);
    }
    return NULL;
}

static void asking_survives_somebody_opening_the_file_meanwhile(void **state) {
    (void)state;
    _close_ int fd = cold_file(temporary());
    struct opener opener = { .fd = fd };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, open_and_close, &opener), 0);
    unsigned hot = 0, cold = 0;
    for (double start = seconds(); seconds() - start < 0.3; )
        *(copy_is_hot(fd) ? &hot : &cold) += 1;
    opener.stop = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(hot + cold > 0 && opener.opened > 0);
    assert_int_equal(copy_is_hot(fd), is_on_overlayfs(fd));
}

/* What copy_read gave, as a file of its own. */
static int receive(void *data, uint64_t offset, const void *bytes, size_t size) {
    put(*(int *)data, bytes, size, (off_t)offset);
    return 0;
}

static void what_is_read_piecemeal_is_the_content(void **state) {
    (void)state;
    const size_t sizes[] = { 0, 1, 4095, 64 * KIB, 256 * KIB, 256 * KIB + 1, 3 * MIB };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        _close_ int from = file(), to = file();
        _free_ uint8_t *data = noise(sizes[i] + 1, (unsigned)i);
        put(from, data, sizes[i], 0);
        struct digest digest, want = digest_of(from);
        uint64_t size = 7;
        assert_int_equal(copy_read(from, NULL, receive, &to, &size, &digest), 0);
        assert_int_equal(size, sizes[i]);
        assert_true(digest_equal(&digest, &want));
        assert_same_content(from, to);
    }
}

static int forbid_holes(void *data, uint64_t offset, const void *bytes, size_t size) {
    (void)bytes;
    *(uint64_t *)data += size;
    return offset + size <= 512 * KIB || offset >= 100u * MIB ? 0 : -EIO;
}

static void holes_are_not_read(void **state) {
    (void)state;
    _close_ int fd = file();
    _free_ uint8_t *data = noise(512 * KIB, 1);
    put(fd, data, 512 * KIB, 0);
    put(fd, "end", 3, (off_t)100 * MIB);
    struct digest digest, want = digest_of(fd);
    uint64_t size = 0, given = 0;
    assert_int_equal(copy_read(fd, NULL, forbid_holes, &given, &size, &digest), 0);
    assert_int_equal(size, 100 * MIB + 3);
    assert_true(given < MIB);
    assert_true(digest_equal(&digest, &want));
}

static int refuse(void *data, uint64_t offset, const void *bytes, size_t size) {
    (void)data, (void)offset, (void)bytes, (void)size;
    return -EPIPE;
}

static void whoever_reads_may_stop(void **state) {
    (void)state;
    _close_ int fd = file();
    struct digest digest;
    put(fd, "some", 4, 0);
    assert_int_equal(copy_read(fd, NULL, refuse, NULL, NULL, &digest), -EPIPE);
}

static void a_map_tells_data_from_holes(void **state) {
    (void)state;
    _close_ int fd = file();
    _free_ struct copy_segment *map = NULL, *none = NULL, *empty = NULL;
    size_t count = 9;
    assert_int_equal(ftruncate(fd, 10 * MIB), 0);
    put(fd, "data", 4, MIB);
    assert_int_equal(copy_map(fd, 10 * MIB, &map, &count), 0);
    assert_int_equal(count, 1);
    assert_true(map[0].at <= MIB && map[0].at + map[0].size >= MIB + 4 && map[0].size < MIB);
    assert_int_equal(copy_map(fd, 512 * KIB, &none, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(copy_map(fd, 0, &empty, &count), 0);
    assert_int_equal(count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_is_copied),
        cmocka_unit_test(files_of_every_size_around_the_borders_are_copied),
        cmocka_unit_test(the_position_of_the_source_does_not_matter),
        cmocka_unit_test(holes_stay_holes),
        cmocka_unit_test(a_small_file_keeps_its_hole),
        cmocka_unit_test(a_hole_of_one_tebibyte_costs_nothing),
        cmocka_unit_test(a_hole_and_zeros_have_the_same_digest),
        cmocka_unit_test(random_layouts_have_the_digest_of_their_content),
        cmocka_unit_test(zeros_elsewhere_or_more_of_them_give_another_digest),
        cmocka_unit_test(the_digest_is_the_one_that_the_header_defines),
        cmocka_unit_test(a_cancelled_copy_says_so_and_gives_no_answer),
        cmocka_unit_test(a_copy_is_cancelled_while_it_runs),
        cmocka_unit_test(progress_adds_up_to_the_bytes_copied),
        cmocka_unit_test(a_growing_file_does_not_keep_the_copy_going),
        cmocka_unit_test(a_file_cut_short_meanwhile_gives_what_was_read),
        cmocka_unit_test(a_full_disk_is_an_error),
        cmocka_unit_test(content_goes_from_one_file_system_to_another),
        cmocka_unit_test(a_file_is_hot_while_it_can_be_written_also_by_a_mapping_alone),
        cmocka_unit_test(that_holds_on_tmpfs_too),
        cmocka_unit_test(a_mapping_that_overlayfs_hides_is_hot),
        cmocka_unit_test(what_may_not_be_asked_is_hot),
        cmocka_unit_test(asking_survives_somebody_opening_the_file_meanwhile),
        cmocka_unit_test(what_is_read_piecemeal_is_the_content),
        cmocka_unit_test(holes_are_not_read),
        cmocka_unit_test(whoever_reads_may_stop),
        cmocka_unit_test(a_map_tells_data_from_holes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
