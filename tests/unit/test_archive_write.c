/* Writing archives: every byte of headers and records as the formats define it, and what goes wrong on the way.
 * Whether other programs read them is tests/export's business. SPDX-License-Identifier: GPL-2.0-or-later */
#include "archive_mtree.h"
#include "archive_tar.h"

#include "buf.h"
#include "fs.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { BLOCK = 512 };

/* An archive in memory. */
struct archive { int fd; struct sink *sink; struct tar *tar; struct buf bytes; };

static void begin(struct archive *archive, unsigned flags) {
    *archive = (struct archive){ .fd = memfd_create("archive", MFD_CLOEXEC) };
    assert_true(archive->fd >= 0);
    assert_int_equal(sink_open(archive->fd, ARCHIVE_PLAIN, 0, NULL, &archive->sink, NULL), 0);
    assert_int_equal(tar_open(archive->sink, flags, &archive->tar, NULL), 0);
}

static void end(struct archive *archive) {
    struct sink_totals totals;
    assert_int_equal(tar_end(archive->tar, NULL), 0);
    assert_int_equal(sink_end(archive->sink, &totals, NULL), 0);
    assert_int_equal(lseek(archive->fd, 0, SEEK_SET), 0);
    assert_int_equal(fs_read_all(archive->fd, 64 << 20, &archive->bytes), 0);
    assert_int_equal(archive->bytes.size, totals.written);
    assert_int_equal(totals.given, totals.written);
    assert_int_equal(archive->bytes.size % BLOCK, 0);
}

static void done(struct archive *archive) {
    tar_free(archive->tar);
    sink_free(archive->sink);
    close_fd(&archive->fd);
    buf_done(&archive->bytes);
}
#define _archive_ _cleanup_(done)

static const char *block(const struct archive *archive, size_t index) {
    assert_true((index + 1) * BLOCK <= archive->bytes.size);
    return archive->bytes.data + index * BLOCK;
}

/* Of ustar: where fields begin. */
enum { NAME = 0, MODE = 100, UID = 108, SIZE = 124, MTIME = 136, CHECKSUM = 148, TYPE = 156, LINK = 157, MAGIC = 257, MAJOR = 329, MINOR = 337,
       PREFIX = 345 };

static void check_header(const char *header) {
    unsigned sum = 0;
    for (size_t i = 0; i < BLOCK; i++)
        sum += i >= CHECKSUM && i < CHECKSUM + 8 ? ' ' : (unsigned char)header[i];
    assert_int_equal(strtoul(header + CHECKSUM, NULL, 8), sum);
    assert_memory_equal(header + MAGIC, "ustar\00000", 8);
}

static void expect_record(const char *records, const char *record) {
    if (!strstr(records, record))
        fail_msg("'%s' is not among:\n%s", record, records);
}

static int file_of(const void *data, size_t size) {
    int fd = memfd_create("content", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, data, size), 0);
    return fd;
}

static void a_plain_entry_is_one_block(void **state) {
    (void)state;
    _archive_ struct archive archive;
    struct meta meta = { .mode = S_IFDIR | 06755, .uid = 8, .gid = 1, .mtime = { 8, 0 } };
    begin(&archive, 0);
    assert_int_equal(tar_add(archive.tar, &(struct tar_entry){ .path = "dir", .meta = &meta }, NULL), 0);
    end(&archive);
    const char *header = block(&archive, 0);
    check_header(header);
    assert_string_equal(header + NAME, "dir/");
    assert_string_equal(header + MODE, "0006755");
    assert_string_equal(header + UID, "0000010");
    assert_string_equal(header + MTIME, "00000000010");
    assert_int_equal(header[TYPE], '5');
    assert_int_equal(archive.bytes.size, 3 * BLOCK);
}

static void the_root_is_a_dot(void **state) {
    (void)state;
    _archive_ struct archive archive;
    struct meta meta = { .mode = S_IFDIR | 0755 };
    begin(&archive, 0);
    assert_int_equal(tar_add(archive.tar, &(struct tar_entry){ .path = "", .meta = &meta }, NULL), 0);
    end(&archive);
    assert_string_equal(block(&archive, 0) + NAME, "./");
}

static void what_does_not_fit_into_a_header_has_a_record(void **state) {
    (void)state;
    _archive_ struct archive archive;
    struct meta meta = { .mode = S_IFREG | 0644, .uid = 3000000, .gid = 4000000000u, .mtime = { 1000000000, 120000000 } };
    begin(&archive, 0);
    assert_int_equal(tar_add(archive.tar, &(struct tar_entry){ .path = "f", .meta = &meta }, NULL), 0);
    end(&archive);
    check_header(block(&archive, 0));
    assert_int_equal(block(&archive, 0)[TYPE], 'x');
    assert_string_equal(block(&archive, 1), "15 uid=3000000\n18 gid=4000000000\n23 mtime=1000000000.12\n");
    check_header(block(&archive, 2));
}

static void times_before_1970_count_down(void **state) {
    (void)state;
    static const struct { struct timespec time; const char *record; } cases[] = {
        { { -1, 750000000 }, "15 mtime=-0.25\n" }, { { -2, 0 }, "12 mtime=-2\n" }, { { -2, 500000000 }, "14 mtime=-1.5\n" },
        { { 0100000000000ll, 0 }, "20 mtime=8589934592\n" },
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        _archive_ struct archive archive;
        struct meta meta = { .mode = S_IFREG | 0644, .mtime = cases[i].time };
        begin(&archive, 0);
        assert_int_equal(tar_add(archive.tar, &(struct tar_entry){ .path = "f", .meta = &meta }, NULL), 0);
        end(&archive);
        assert_string_equal(block(&archive, 1), cases[i].record);
    }
}

/* "PATH" with these sizes of its components, the bytes `byte`. */
static const char *path_of(char *into, char byte, size_t first, size_t second) {
    memset(into, byte, first);
    into[first] = '/';
    memset(into + first + 1, byte, second);
    into[first + 1 + second] = '\0';
    return into;
}

static void long_names_are_split_or_have_a_record(void **state) {
    (void)state;
    char path[600];
    struct meta meta = { .mode = S_IFREG | 0644 };
    _archive_ struct archive archive;
    begin(&archive, 0);
    assert_int_equal(tar_add(archive.tar, &(struct tar_entry){ .path = path_of(path, 'a', 155, 100), .meta = &meta }, NULL), 0);
    assert_int_equal(tar_add(archive.tar, &(struct tar_entry){ .path = path_of(path, 'b', 155, 101), .meta = &meta }, NULL), 0);
    assert_int_equal(tar_add(archive.tar, &(struct tar_entry){ .path = path_of(path, '\xff', 155, 101), .meta = &meta }, NULL), 0);
    end(&archive);
    path_of(path, 'a', 155, 100);
    assert_memory_equal(block(&archive, 0) + PREFIX, path, 155);
    assert_memory_equal(block(&archive, 0) + NAME, path + 156, 100);
    assert_int_equal(block(&archive, 1)[TYPE], 'x');
    expect_record(block(&archive, 2), path_of(path, 'b', 155, 101));
    assert_memory_equal(block(&archive, 2), "267 path=", 9);
    assert_memory_equal(block(&archive, 5), "21 hdrcharset=BINARY\n", 21);
    expect_record(block(&archive, 5), path_of(path, '\xff', 155, 101));
}

static void links_name_what_came_before(void **state) {
    (void)state;
    char long_target[300];
    memset(long_target, 't', sizeof(long_target) - 1);
    long_target[sizeof(long_target) - 1] = '\0';
    struct meta file = { .mode = S_IFREG | 0644, .size = 7, .mtime = { 5, 5 } }, symlink = { .mode = S_IFLNK | 0777, .target = long_target };
    _archive_ struct archive archive;
    begin(&archive, 0);
    assert_int_equal(tar_add(archive.tar, &(struct tar_entry){ .path = "b", .meta = &file, .link = "a" }, NULL), 0);
    assert_int_equal(tar_add(archive.tar, &(struct tar_entry){ .path = "s", .meta = &symlink }, NULL), 0);
    end(&archive);
    assert_int_equal(block(&archive, 0)[TYPE], '1');
    assert_string_equal(block(&archive, 0) + LINK, "a");
    assert_string_equal(block(&archive, 0) + SIZE, "00000000000");
    expect_record(block(&archive, 2), "linkpath=ttt");
    assert_int_equal(block(&archive, 3)[TYPE], '2');
}

static void devices_have_their_numbers(void **state) {
    (void)state;
    struct meta meta = { .mode = S_IFCHR | 0600, .rdev_major = 8, .rdev_minor = 1000 };
    _archive_ struct archive archive;
    begin(&archive, 0);
    assert_int_equal(tar_add(archive.tar, &(struct tar_entry){ .path = "c", .meta = &meta }, NULL), 0);
    end(&archive);
    assert_int_equal(block(&archive, 0)[TYPE], '3');
    assert_string_equal(block(&archive, 0) + MAJOR, "0000010");
    assert_string_equal(block(&archive, 0) + MINOR, "0001750");
}

static void a_socket_is_refused(void **state) {
    (void)state;
    struct snap_err err = {0};
    struct meta meta = { .mode = S_IFSOCK | 0600 };
    _archive_ struct archive archive;
    begin(&archive, 0);
    assert_int_equal(tar_add(archive.tar, &(struct tar_entry){ .path = "s", .meta = &meta }, &err), -EINVAL);
    end(&archive);
    assert_int_equal(archive.bytes.size, 2 * BLOCK);
}

static void pack(struct buf *packed, const char *name, const void *value, size_t size) {
    buf_u16(packed, (uint16_t)strlen(name));
    buf_u32(packed, (uint32_t)size);
    buf_str(packed, name);
    buf_add(packed, value, size);
}

/* user::rw-, user:1234:r--, mask::rw-, other::--- */
static const uint8_t acl[] = { 2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0xd2, 4, 0, 0, 0x10, 0, 6, 0, 255, 255, 255, 255,
                               0x20, 0, 0, 0, 255, 255, 255, 255 };

static void attributes_are(unsigned flags, const char *const *records) {
    _buf_ struct buf packed = {0};
    pack(&packed, "system.posix_acl_access", acl, sizeof(acl));
    pack(&packed, "user.a=b%3D", "v\0w", 3);
    pack(&packed, "user.overlay.x", "y", 1);
    struct meta meta = { .mode = S_IFREG | 0640, .xattrs = packed.data, .xattrs_size = packed.size };
    _archive_ struct archive archive;
    begin(&archive, flags);
    assert_int_equal(tar_add(archive.tar, &(struct tar_entry){ .path = "f", .meta = &meta }, NULL), 0);
    end(&archive);
    for (size_t i = 0; records[i]; i++)
        assert_non_null(memmem(block(&archive, 1), BLOCK, records[i], strlen(records[i])));
    assert_non_null(memmem(block(&archive, 1), BLOCK, "\n36 SCHILY.xattr.user.a%3Db%253D=v\0w\n", 37));
}

static void attributes_and_acls_are_those_that_gnu_tar_reads(void **state) {
    (void)state;
    attributes_are(0, (const char *const[]){ "66 SCHILY.acl.access=user::rw-,user:1234:r--,mask::rw-,other::---\n",
                                             "33 SCHILY.xattr.user.overlay.x=y\n", NULL });
}

static void a_layer_has_its_own_overlay_attributes(void **state) {
    (void)state;
    attributes_are(TAR_OVERLAY, (const char *const[]){ "41 SCHILY.xattr.user.overlay.overlay.x=y\n", NULL });
}

static void raw_acls_are_attributes(void **state) {
    (void)state;
    attributes_are(TAR_ACL_RAW, (const char *const[]){ "SCHILY.xattr.system.posix_acl_access=\2", NULL });
}

static void what_is_no_acl_stays_an_attribute(void **state) {
    (void)state;
    _buf_ struct buf packed = {0};
    pack(&packed, "system.posix_acl_access", "junk", 4);
    struct meta meta = { .mode = S_IFREG | 0640, .xattrs = packed.data, .xattrs_size = packed.size };
    _archive_ struct archive archive;
    begin(&archive, 0);
    assert_int_equal(tar_add(archive.tar, &(struct tar_entry){ .path = "f", .meta = &meta }, NULL), 0);
    end(&archive);
    assert_string_equal(block(&archive, 1), "45 SCHILY.xattr.system.posix_acl_access=junk\n");
}

static void content_follows_padded(void **state) {
    (void)state;
    _close_ int fd = file_of("content", 7);
    struct meta meta = { .mode = S_IFREG | 0644, .size = 7 };
    struct digest digest, want;
    _archive_ struct archive archive;
    assert_int_equal(copy_digest(fd, NULL, NULL, &want), 0);
    begin(&archive, TAR_SPARSE);
    assert_int_equal(tar_add_file(archive.tar, &(struct tar_entry){ .path = "f", .meta = &meta }, fd, NULL, &digest, NULL), 0);
    end(&archive);
    assert_string_equal(block(&archive, 0) + SIZE, "00000000007");
    assert_string_equal(block(&archive, 1), "content");
    assert_true(digest_equal(&digest, &want));
    assert_int_equal(archive.bytes.size, 4 * BLOCK);
}

static void content_of_another_size_is_damage(void **state) {
    (void)state;
    _close_ int fd = file_of("content", 7);
    struct meta meta = { .mode = S_IFREG | 0644, .size = 8 };
    struct digest digest;
    struct snap_err err = {0};
    _archive_ struct archive archive;
    begin(&archive, 0);
    assert_int_equal(tar_add_file(archive.tar, &(struct tar_entry){ .path = "f", .meta = &meta }, fd, NULL, &digest, &err), -EUCLEAN);
    assert_int_equal(err.failure, SNAP_FAILURE_DAMAGE);
}

/* 1 MiB of nothing, "data", nothing up to `size`. */
static int sparse_file(off_t size) {
    int fd = memfd_create("sparse", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    assert_int_equal(pwrite(fd, "data", 4, 1 << 20), 4);
    return fd;
}

static void holes_are_a_map(void **state) {
    (void)state;
    const off_t size = (off_t)9 << 30;
    _close_ int fd = sparse_file(size);
    struct meta meta = { .mode = S_IFREG | 0644, .size = (uint64_t)size };
    struct digest digest;
    _archive_ struct archive archive;
    begin(&archive, TAR_SPARSE);
    assert_int_equal(tar_add_file(archive.tar, &(struct tar_entry){ .path = "d/f", .meta = &meta }, fd, NULL, &digest, NULL), 0);
    end(&archive);
    assert_string_equal(block(&archive, 1), "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n23 GNU.sparse.name=d/f\n"
                                            "34 GNU.sparse.realsize=9663676416\n");
    assert_string_equal(block(&archive, 2) + NAME, "d/GNUSparseFile.0/f");
    long page = sysconf(_SC_PAGESIZE);
    char map[100];
    (void)snprintf(map, sizeof(map), "2\n1048576\n%ld\n9663676416\n0\n", page);
    assert_string_equal(block(&archive, 3), map);
    assert_string_equal(block(&archive, 4), "data");
    assert_int_equal(strtoul(block(&archive, 2) + SIZE, NULL, 8), BLOCK + page);
}

static void where_holes_are_not_wanted_they_are_zeros(void **state) {
    (void)state;
    _close_ int fd = sparse_file(3 << 20);
    struct meta meta = { .mode = S_IFREG | 0644, .size = 3 << 20 };
    struct digest digest;
    _archive_ struct archive archive;
    begin(&archive, 0);
    assert_int_equal(tar_add_file(archive.tar, &(struct tar_entry){ .path = "f", .meta = &meta }, fd, NULL, &digest, NULL), 0);
    end(&archive);
    assert_int_equal(archive.bytes.size, 3 * BLOCK + (3 << 20));
    assert_string_equal(block(&archive, 1 + (1 << 20) / BLOCK), "data");
}

/* Sizes that eleven octal digits cannot hold: the reader has seen enough after the header. */
static void sizes_from_8_gib_on_have_a_record(void **state) {
    (void)state;
    const uint64_t size = (uint64_t)8 << 30;
    _close_ int fd = sparse_file((off_t)size);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sink *sink = NULL;
        struct tar *tar = NULL;
        struct digest digest;
        struct meta meta = { .mode = S_IFREG | 0644, .size = size };
        (void)signal(SIGPIPE, SIG_IGN);
        (void)close(ends[0]);
        int r = sink_open(ends[1], ARCHIVE_PLAIN, 0, NULL, &sink, NULL);
        r = r < 0 ? r : tar_open(sink, 0, &tar, NULL);
        r = r < 0 ? r : tar_add_file(tar, &(struct tar_entry){ .path = "f", .meta = &meta }, fd, NULL, &digest, NULL);
        _exit(r == -EPIPE ? 0 : 1);
    }
    (void)close(ends[1]);
    char bytes[3 * BLOCK];
    size_t got = 0;
    for (ssize_t part; got < sizeof(bytes); got += (size_t)part)
        assert_true((part = read(ends[0], bytes + got, sizeof(bytes) - got)) > 0);
    (void)close(ends[0]);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_string_equal(bytes + BLOCK, "19 size=8589934592\n");
    assert_string_equal(bytes + (size_t)2 * BLOCK + SIZE, "00000000000");
    assert_int_equal(status, 0);
}

/* Sinks. */

static void compressed_is_the_same_each_time_and_smaller(void **state) {
    (void)state;
    static const enum archive_compression ways[] = { ARCHIVE_GZIP, ARCHIVE_XZ, ARCHIVE_ZSTD };
    for (size_t i = 0; i < ELEMENTS(ways); i++) {
        struct sink_totals totals[2] = {0};
        for (size_t j = 0; j < 2; j++) {
            _close_ int fd = memfd_create("archive", MFD_CLOEXEC);
            _sink_ struct sink *sink = NULL;
            assert_int_equal(sink_open(fd, ways[i], SINK_DIGESTS, NULL, &sink, NULL), 0);
            assert_int_equal(sink_zeros(sink, 3 << 20, NULL), 0);
            assert_int_equal(sink_end(sink, &totals[j], NULL), 0);
            assert_int_equal(lseek(fd, 0, SEEK_END), totals[j].written);
        }
        assert_int_equal(totals[0].given, 3 << 20);
        assert_true(totals[0].written < 100000);
        assert_string_equal(totals[0].given_sha256, "bbd05cf6097ac9b1f89ea29d2542c1b7b67ee46848393895f5a9e43fa1f621e5");
        assert_string_equal(totals[0].written_sha256, totals[1].written_sha256);
    }
}

static void a_reader_that_goes_away_is_an_error(void **state) {
    (void)state;
    static const enum archive_compression ways[] = { ARCHIVE_PLAIN, ARCHIVE_GZIP };
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ELEMENTS(ways); i++) {
        int ends[2];
        struct snap_err err = {0};
        struct sink_totals totals;
        _sink_ struct sink *sink = NULL;
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        (void)close(ends[0]);
        assert_int_equal(sink_open(ends[1], ways[i], 0, NULL, &sink, &err), 0);
        int r = sink_zeros(sink, 8 << 20, &err);
        if (r == 0)
            r = sink_end(sink, &totals, &err);
        assert_int_equal(r, -EPIPE);
        assert_non_null(strstr(err.message, "gone"));
        (void)close(ends[1]);
    }
}

static void an_interrupted_one_writes_nothing_more(void **state) {
    (void)state;
    static const enum archive_compression ways[] = { ARCHIVE_PLAIN, ARCHIVE_ZSTD };
    for (size_t i = 0; i < ELEMENTS(ways); i++) {
        _close_ int fd = memfd_create("archive", MFD_CLOEXEC);
        volatile sig_atomic_t cancel = 0;
        struct snap_err err = {0};
        {
            _sink_ struct sink *sink = NULL;
            assert_int_equal(sink_open(fd, ways[i], 0, &cancel, &sink, &err), 0);
            cancel = 1;
            assert_int_equal(sink_zeros(sink, 8 << 20, &err), -ECANCELED);
            assert_int_equal(err.failure, SNAP_FAILURE_INTERRUPTED);
        }
        assert_int_equal(lseek(fd, 0, SEEK_END), 0);
    }
}

/* mtree */

static void a_specification_has_one_line_an_entry(void **state) {
    (void)state;
    _close_ int fd = memfd_create("mtree", MFD_CLOEXEC), content = file_of("abc", 3);
    _sink_ struct sink *sink = NULL;
    _cleanup_(mtree_freep) struct mtree *mtree = NULL;
    char target[] = "a b", sha256[SHA256_HEX + 1];
    struct digest digest;
    struct sink_totals totals;
    struct meta file = { .mode = S_IFREG | 04644, .uid = 1, .gid = 2, .size = 3, .mtime = { 5, 7 } }, symlink = { .mode = S_IFLNK | 0777, .target = target },
                device = { .mode = S_IFBLK | 0600, .rdev_major = 7, .rdev_minor = 9 };
    assert_int_equal(sink_open(fd, ARCHIVE_PLAIN, 0, NULL, &sink, NULL), 0);
    assert_int_equal(mtree_open(sink, &mtree, NULL), 0);
    assert_int_equal(mtree_digest(mtree, content, 3, NULL, sha256, &digest, NULL), 0);
    assert_int_equal(mtree_add(mtree, "d/\xff #", &file, 2, sha256, NULL), 0);
    assert_int_equal(mtree_add(mtree, "l", &symlink, 0, NULL, NULL), 0);
    assert_int_equal(mtree_add(mtree, "b", &device, 0, NULL, NULL), 0);
    assert_int_equal(sink_end(sink, &totals, NULL), 0);
    _buf_ struct buf text = {0};
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(fs_read_all(fd, 4096, &text), 0);
    assert_string_equal(text.data, "#mtree\n"
        "./d/\\377\\040\\043 type=file uid=1 gid=2 mode=04644 nlink=2 size=3 time=5.000000007"
        " sha256=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n"
        "./l type=link uid=0 gid=0 mode=0777 time=0.000000000 link=a\\040b\n"
        "./b type=block uid=0 gid=0 mode=0600 time=0.000000000 device=native,7,9\n");
}

static void a_digest_of_holes_is_that_of_zeros(void **state) {
    (void)state;
    _close_ int fd = memfd_create("mtree", MFD_CLOEXEC), sparse = sparse_file(3 << 20), zeros = memfd_create("zeros", MFD_CLOEXEC);
    _sink_ struct sink *sink = NULL;
    _cleanup_(mtree_freep) struct mtree *mtree = NULL;
    char want[SHA256_HEX + 1], have[SHA256_HEX + 1];
    struct digest digest;
    struct snap_err err = {0};
    _free_ char *bytes = calloc(3, 1 << 20);
    assert_non_null(bytes);
    memcpy(bytes + (1 << 20), "data", 4);
    assert_int_equal(fs_write_all(zeros, bytes, 3 << 20), 0);
    assert_int_equal(sink_open(fd, ARCHIVE_PLAIN, 0, NULL, &sink, NULL), 0);
    assert_int_equal(mtree_open(sink, &mtree, NULL), 0);
    assert_int_equal(mtree_digest(mtree, zeros, 3 << 20, NULL, want, &digest, NULL), 0);
    assert_int_equal(mtree_digest(mtree, sparse, 3 << 20, NULL, have, &digest, NULL), 0);
    assert_string_equal(want, have);
    assert_int_equal(mtree_digest(mtree, sparse, 4 << 20, NULL, have, &digest, &err), -EUCLEAN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_entry_is_one_block),
        cmocka_unit_test(the_root_is_a_dot),
        cmocka_unit_test(what_does_not_fit_into_a_header_has_a_record),
        cmocka_unit_test(times_before_1970_count_down),
        cmocka_unit_test(long_names_are_split_or_have_a_record),
        cmocka_unit_test(links_name_what_came_before),
        cmocka_unit_test(devices_have_their_numbers),
        cmocka_unit_test(a_socket_is_refused),
        cmocka_unit_test(attributes_and_acls_are_those_that_gnu_tar_reads),
        cmocka_unit_test(a_layer_has_its_own_overlay_attributes),
        cmocka_unit_test(raw_acls_are_attributes),
        cmocka_unit_test(what_is_no_acl_stays_an_attribute),
        cmocka_unit_test(content_follows_padded),
        cmocka_unit_test(content_of_another_size_is_damage),
        cmocka_unit_test(holes_are_a_map),
        cmocka_unit_test(where_holes_are_not_wanted_they_are_zeros),
        cmocka_unit_test(sizes_from_8_gib_on_have_a_record),
        cmocka_unit_test(compressed_is_the_same_each_time_and_smaller),
        cmocka_unit_test(a_reader_that_goes_away_is_an_error),
        cmocka_unit_test(an_interrupted_one_writes_nothing_more),
        cmocka_unit_test(a_specification_has_one_line_an_entry),
        cmocka_unit_test(a_digest_of_holes_is_that_of_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
