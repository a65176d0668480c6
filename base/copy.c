/* File content from one descriptor to another, and its digest.
 * Refuses to judge: whether the file changed meanwhile is the caller's question.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "copy.h"
#include "cleanup.h"
#include "fs.h"
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <xxhash.h>

enum {
    PAGE = 4 << 10,            /* the least hole worth keeping */
    BLOCK = 64 << 10,          /* the grain of the digest's zero runs; part of its definition */
    CHUNK = 256 << 10,         /* read at once; what fits is read before anything is asked about it */
    STEP = 4 << 20,            /* copied in the kernel between two looks at `cancel` */
    TELL = 1 << 20,
};
#define SEED_OF_RUNS 0x736e617068756e6bULL      /* part of the digest's definition */

static const uint8_t zeros[PAGE];

/* Ordinary data fails at its first byte. */
static bool all_zero(const uint8_t *data, size_t size) {
    return !size || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

/* The digest of a stream, whole zero blocks counted instead of hashed (copy.h). */
struct hasher {
    XXH3_state_t *state;       /* of everything but the runs */
    uint64_t at;               /* bytes seen */
    uint64_t run;              /* zero bytes, whole blocks, right before the current block */
    bool pending;              /* the current block is zeros so far, and not hashed yet */
    bool any_runs;
    XXH128_canonical_t runs;   /* chained over the runs */
};

static void hasher_done(struct hasher *hasher) {
    (void)XXH3_freeState(hasher->state);
}
#define _hasher_ _cleanup_(hasher_done)

static int hasher_init(struct hasher *hasher) {
    *hasher = (struct hasher){ .state = XXH3_createState() };
    if (!hasher->state)
        return -ENOMEM;
    return XXH3_128bits_reset(hasher->state) == XXH_OK ? 0 : -EIO;
}

static void put_u64(uint8_t *where, uint64_t value) {
    for (unsigned i = 0; i < 8; i++)
        where[i] = (uint8_t)(value >> 8 * i);
}

static void hash(struct hasher *hasher, const void *data, size_t size) {
    (void)XXH3_128bits_update(hasher->state, data, size);     /* fails for a NULL state only */
}

static void hash_zeros(struct hasher *hasher, size_t size) {
    for (size_t part; size; size -= part) {
        part = MIN(size, sizeof(zeros));
        hash(hasher, zeros, part);
    }
}

/* `end`: where the run ends. */
static void end_run(struct hasher *hasher, uint64_t end) {
    if (!hasher->run)
        return;
    uint8_t record[sizeof(hasher->runs) + 16];
    memcpy(record, &hasher->runs, sizeof(hasher->runs));
    put_u64(record + sizeof(hasher->runs), end - hasher->run);
    put_u64(record + sizeof(hasher->runs) + 8, hasher->run);
    XXH128_canonicalFromHash(&hasher->runs, XXH3_128bits(record, sizeof(record)));
    hasher->any_runs = true;
    hasher->run = 0;
}

/* The current block, of which `seen` zeros went by, is not a zero block. */
static void leave_zeros(struct hasher *hasher, size_t seen) {
    end_run(hasher, hasher->at - seen);
    hash_zeros(hasher, seen);
    hasher->pending = false;
}

static void hasher_data(struct hasher *hasher, const uint8_t *data, size_t size) {
    for (size_t part; size; data += part, size -= part) {
        size_t seen = hasher->at % BLOCK;
        part = MIN(size, BLOCK - seen);
        if (seen == 0)
            hasher->pending = true;
        if (hasher->pending && !all_zero(data, part))
            leave_zeros(hasher, seen);
        if (!hasher->pending)
            hash(hasher, data, part);
        hasher->at += part;
        if (hasher->pending && seen + part == BLOCK)
            hasher->run += BLOCK;
    }
}

static void hasher_hole(struct hasher *hasher, uint64_t size) {
    for (uint64_t part; size; size -= part) {
        size_t seen = hasher->at % BLOCK;
        if (seen == 0 && size >= BLOCK) {
            part = size - size % BLOCK;
            hasher->run += part;
            hasher->at += part;
        } else {
            part = MIN(size, (uint64_t)(BLOCK - seen));
            part = MIN(part, (uint64_t)sizeof(zeros));
            hasher_data(hasher, zeros, part);
        }
    }
}

static void to_digest(XXH128_hash_t value, struct digest *ret) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, value);
    memcpy(ret->bytes, canonical.digest, sizeof(ret->bytes));
}

static void hasher_end(struct hasher *hasher, struct digest *ret) {
    size_t seen = hasher->at % BLOCK;
    if (seen && hasher->pending)
        leave_zeros(hasher, seen);
    end_run(hasher, hasher->at);
    to_digest(XXH3_128bits_digest(hasher->state), ret);
    if (!hasher->any_runs)
        return;
    uint8_t record[sizeof(ret->bytes) + sizeof(hasher->runs) + 8];
    memcpy(record, ret->bytes, sizeof(ret->bytes));
    memcpy(record + sizeof(ret->bytes), &hasher->runs, sizeof(hasher->runs));
    put_u64(record + sizeof(ret->bytes) + sizeof(hasher->runs), hasher->at);
    to_digest(XXH3_128bits_withSeed(record, sizeof(record), SEED_OF_RUNS), ret);
}

/* One copy, or one digest (`to` < 0) on its way. */
struct job {
    int from, to;
    copy_fn fn;                /* instead of `to`; may be NULL */
    void *fn_data;
    const struct copy_options *options;
    uint8_t *buffer;           /* CHUNK bytes */
    struct hasher *hasher;     /* NULL = no digest is wanted */
    uint64_t written;          /* where the last data written ends */
    uint64_t extended;         /* the size `to` was given before its data; 0 = none */
    uint64_t untold;
    bool no_range;             /* copy_file_range does not work here */
};

static bool cancelled(const struct copy_options *options) {
    return options->cancel && *options->cancel;
}

static void tell(struct job *job, uint64_t bytes, bool last) {
    job->untold += bytes;
    if (!job->options->progress || !job->untold || (!last && job->untold < TELL))
        return;
    job->options->progress(job->options->data, job->untold);
    job->untold = 0;
}

static ssize_t read_at(int fd, void *data, size_t size, uint64_t at) {
    ssize_t got;
    do
        got = pread(fd, data, size, (off_t)at);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

/* As much as there is, also where the file system gives it piecemeal. */
static ssize_t read_full(int fd, uint8_t *data, size_t size, uint64_t expected) {
    size_t have = 0;
    while (have < size && (have == 0 || have != expected)) {
        ssize_t got = read_at(fd, data + have, size - have, have);
        if (got < 0)
            return got;
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

static int write_at(int fd, const uint8_t *data, size_t size, uint64_t at) {
    while (size) {
        ssize_t put = pwrite(fd, data, size, (off_t)at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? -errno : -EIO;
        data += put;
        size -= (size_t)put;
        at += (uint64_t)put;
    }
    return 0;
}

/* What a file system, or two of them, answers when it cannot do it in the kernel. */
static bool is_not_here(int error) {
    return error == EOPNOTSUPP || error == EXDEV || error == EINVAL || error == ENOTTY || error == ETXTBSY
        || error == EPERM || error == ENOSYS;
}

/* 0: at the end of the file, or it does not work here. */
static ssize_t range_step(struct job *job, uint64_t at, uint64_t size) {
    off_t from = (off_t)at, to = (off_t)at;
    ssize_t done = copy_file_range(job->from, &from, job->to, &to, MIN(size, (uint64_t)STEP), 0);
    if (done < 0 && errno == EINTR)
        done = copy_file_range(job->from, &from, job->to, &to, MIN(size, (uint64_t)STEP), 0);
    if (done < 0 && !is_not_here(errno))
        return -errno;
    job->no_range = done <= 0;
    return MAX(done, (ssize_t)0);
}

static int put(const struct job *job, const uint8_t *data, size_t size, uint64_t at) {
    if (job->fn)
        return size ? job->fn(job->fn_data, at, data, size) : 0;
    return job->to < 0 ? 0 : write_at(job->to, data, size, at);
}

static ssize_t buffer_step(struct job *job, uint64_t at, uint64_t size) {
    ssize_t got = read_at(job->from, job->buffer, MIN(size, (uint64_t)CHUNK), at);
    if (got <= 0)
        return got;
    if (job->hasher)
        hasher_data(job->hasher, job->buffer, (size_t)got);
    int r = put(job, job->buffer, (size_t)got, at);
    return r < 0 ? r : got;
}

/* Data from *at to `end`; *at stays before `end` when the file ended there. */
static int copy_data(struct job *job, uint64_t *at, uint64_t end) {
    while (*at < end) {
        if (cancelled(job->options))
            return -ECANCELED;
        ssize_t done = 0;
        if (job->to >= 0 && !job->hasher && !job->no_range)
            done = range_step(job, *at, end - *at);
        if (done == 0)
            done = buffer_step(job, *at, end - *at);
        if (done < 0)
            return (int)done;
        if (done == 0)
            return 0;
        *at += (uint64_t)done;
        job->written = *at;
        tell(job, (uint64_t)done, false);
    }
    return 0;
}

/* Where the next data begins. Where holes cannot be asked for, everything is data. */
static int find_data(int fd, uint64_t at, uint64_t *size, uint64_t *ret) {
    off_t found = lseek(fd, (off_t)at, SEEK_DATA);
    if (found >= 0) {
        *ret = MIN((uint64_t)found, *size);
        return 0;
    }
    if (errno != ENXIO) {
        *ret = at;
        return errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -errno;
    }
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return -errno;
    uint64_t now = MAX(at, (uint64_t)stat.st_size);           /* a file cut short has no hole there */
    *size = *ret = MIN(*size, now);
    return 0;
}

static int find_hole(int fd, uint64_t at, uint64_t size, uint64_t *ret) {
    off_t found = lseek(fd, (off_t)at, SEEK_HOLE);
    if (found < 0 && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS && errno != ENXIO)
        return -errno;
    *ret = found < 0 || (uint64_t)found <= at ? size : MIN((uint64_t)found, size);
    return 0;
}

/* A file with holes gets its size first: xfs reserves room behind data written at the end, and a hole there would be filled. */
static int extend(struct job *job, uint64_t size) {
    if (job->to < 0 || job->extended)
        return 0;
    if (ftruncate(job->to, (off_t)size) < 0)
        return -errno;
    job->extended = size;
    return 0;
}

/* Data and holes in turn, up to the size the file has now. */
static int copy_segments(struct job *job, uint64_t *ret_size) {
    struct stat stat;
    if (fstat(job->from, &stat) < 0)
        return -errno;
    uint64_t size = (uint64_t)stat.st_size, at = 0;
    while (at < size) {
        uint64_t data = at, end = size;
        int r = find_data(job->from, at, &size, &data);
        if (r >= 0 && data < size)
            r = find_hole(job->from, data, size, &end);
        if (r >= 0 && (at < data || end < size))
            r = extend(job, size);
        if (r < 0)
            return r;
        if (job->hasher)
            hasher_hole(job->hasher, data - at);
        at = data;
        r = copy_data(job, &at, end);
        if (r < 0)
            return r;
        if (at < end)
            break;
    }
    if (job->to >= 0 && at != MAX(job->written, job->extended) && ftruncate(job->to, (off_t)at) < 0)
        return -errno;
    *ret_size = at;
    return 0;
}

static bool may_have_hole(const uint8_t *data, size_t size) {
    for (size_t at = 0; at < size; at += PAGE)
        if (all_zero(data + at, MIN(size - at, (size_t)PAGE)))
            return true;
    return false;
}

static int run_hashed(struct job *job, ssize_t small, uint64_t *ret_size, struct digest *ret_digest) {
    _hasher_ struct hasher hasher = {0};
    int r = hasher_init(&hasher);
    if (r < 0)
        return r;
    uint64_t size = (uint64_t)small;
    job->hasher = &hasher;
    if (small >= 0)
        hasher_data(&hasher, job->buffer, (size_t)small);
    else
        r = copy_segments(job, &size);
    job->hasher = NULL;
    if (r < 0)
        return r;
    hasher_end(&hasher, ret_digest);
    *ret_size = size;
    return 0;
}

/* Most files are small: the first read tells all there is to know about them. */
static int run(struct job *job, bool want_digest, uint64_t *ret_size, struct digest *ret_digest) {
    if (cancelled(job->options))
        return -ECANCELED;
    ssize_t small = read_full(job->from, job->buffer, CHUNK, job->options->expected);
    if (small < 0)
        return (int)small;
    if (small == CHUNK || (job->to >= 0 && may_have_hole(job->buffer, (size_t)small)))
        return want_digest ? run_hashed(job, -1, ret_size, ret_digest) : copy_segments(job, ret_size);
    int r = put(job, job->buffer, (size_t)small, 0);
    if (r < 0)
        return r;
    tell(job, (uint64_t)small, false);
    if (want_digest && small >= BLOCK)
        return run_hashed(job, small, ret_size, ret_digest);
    if (want_digest)
        to_digest(XXH3_128bits(job->buffer, (size_t)small), ret_digest);
    *ret_size = (uint64_t)small;
    return 0;
}

static int finish(struct job *job, bool want_digest, uint64_t *ret_size, struct digest *ret_digest) {
    static _Thread_local uint8_t buffer[CHUNK];    /* mapped once a thread, not once a file */
    struct digest digest;
    uint64_t size;
    job->buffer = buffer;
    int r = run(job, want_digest, &size, &digest);
    if (r < 0)
        return r;
    tell(job, 0, true);
    if (ret_size)
        *ret_size = size;
    if (want_digest && ret_digest)
        *ret_digest = digest;
    return 0;
}

static int transfer(int from, int to, const struct copy_options *options, bool want_digest,
                    uint64_t *ret_size, struct digest *ret_digest) {
    struct job job = { .from = from, .to = to, .options = options };
    return finish(&job, want_digest, ret_size, ret_digest);
}

/* 0: it cannot be done here. */
static int clone_content(int from, int to, const struct copy_options *options, uint64_t *ret_size,
                         struct digest *ret_digest) {
    if (cancelled(options))
        return -ECANCELED;
    if (ioctl(to, FICLONE, from) < 0)
        return is_not_here(errno) ? 0 : -errno;
    struct stat stat;
    if (fstat(to, &stat) < 0)
        return -errno;
    uint64_t size = (uint64_t)stat.st_size;
    if (options->want_digest) {
        uint64_t read;
        int r = transfer(options->digest_source ? from : to, -1, options, true, &read, ret_digest);
        if (r < 0)
            return r;
    } else if (options->progress && size)
        options->progress(options->data, size);
    if (ret_size)
        *ret_size = size;
    return COPY_REFLINKED;
}

int copy_content(int from, int to, const struct copy_options *options, uint64_t *ret_size, struct digest *ret_digest) {
    static const struct copy_options plain;
    if (!options)
        options = &plain;
    if (!options->no_reflink) {
        int r = clone_content(from, to, options, ret_size, ret_digest);
        if (r != 0)
            return r;
    }
    int r = transfer(from, to, options, options->want_digest, ret_size, ret_digest);
    return r < 0 ? r : COPY_COPIED;
}

int copy_digest(int from, const struct copy_options *options, uint64_t *ret_size, struct digest *ret_digest) {
    static const struct copy_options plain;
    return transfer(from, -1, options ? options : &plain, true, ret_size, ret_digest);
}

int copy_read(int from, const struct copy_options *options, copy_fn fn, void *data, uint64_t *ret_size, struct digest *ret_digest) {
    static const struct copy_options plain;
    struct job job = { .from = from, .to = -1, .fn = fn, .fn_data = data, .options = options ? options : &plain };
    return finish(&job, true, ret_size, ret_digest);
}

int copy_map(int fd, uint64_t size, struct copy_segment **ret, size_t *ret_count) {
    _free_ struct copy_segment *segments = NULL;
    size_t count = 0, room = 0;
    for (uint64_t at = 0; at < size;) {
        uint64_t data = at, end = size;
        int r = find_data(fd, at, &size, &data);
        if (r >= 0 && data < size)
            r = find_hole(fd, data, size, &end);
        if (r < 0)
            return r;
        if (data >= size)
            break;
        if (MAKE_ROOM(segments, count, room) < 0)
            return -ENOMEM;
        segments[count++] = (struct copy_segment){ data, end - data };
        at = end;
    }
    *ret = TAKE_PTR(segments);
    *ret_count = count;
    return 0;
}

static int pour(struct job *job, uint64_t *ret_size) {
    for (;;) {
        if (cancelled(job->options))
            return -ECANCELED;
        ssize_t got = read(job->from, job->buffer, CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            *ret_size = job->hasher->at;
            return got < 0 ? -errno : 0;
        }
        hasher_data(job->hasher, job->buffer, (size_t)got);
        int r = fs_write_all(job->to, job->buffer, (size_t)got);
        if (r < 0)
            return r;
        tell(job, (uint64_t)got, false);
    }
}

int copy_stream(int from, int to, const struct copy_options *options, uint64_t *ret_size, struct digest *ret_digest) {
    static const struct copy_options plain;
    static _Thread_local uint8_t buffer[CHUNK];
    _hasher_ struct hasher hasher = {0};
    struct job job = { .from = from, .to = to, .options = options ? options : &plain, .buffer = buffer, .hasher = &hasher };
    uint64_t size;
    int r = hasher_init(&hasher);
    if (r == 0)
        r = pour(&job, &size);
    if (r < 0)
        return r;
    tell(&job, 0, true);
    hasher_end(&hasher, ret_digest);
    if (ret_size)
        *ret_size = size;
    return 0;
}

bool digest_equal(const struct digest *a, const struct digest *b) {
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* A mapping of a file of overlayfs is held by the file below, whose inode no lease here knows. */
static bool hides_mappings(int fd) {
    struct statfs stat;
    return fstatfs(fd, &stat) < 0 || stat.f_type == OVERLAYFS_SUPER_MAGIC;
}

int copy_is_hot(int fd) {
    /* Who opens the file for writing meanwhile makes the kernel signal us, by default with SIGIO, which kills. */
    if (fcntl(fd, F_SETSIG, SIGURG) < 0)
        return 1;
    if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
        return 1;
    return fcntl(fd, F_SETLEASE, F_UNLCK) < 0 || hides_mappings(fd);
}
