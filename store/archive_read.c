/* The bytes of an archive, decompressed by libarchive's filters if they have to be.
 * Knows no format: of libarchive it uses the decompressors that run in this process, and none that start a program.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "archive_read.h"
#include "archive_read_gzip.h"
#include "archive_lib.h"
#include "archive_read_tar.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 256 << 10 };
#define GROWN_ENOUGH ((uint64_t)256 << 20)     /* what is smaller is no bomb, however small it was before */

struct inflow {
    int fd;
    struct inflow_limits limits;
    const struct archive_lib *lib;
    struct archive *archive;   /* NULL = libarchive is of no use here */
    struct gunzip *gunzip;     /* NULL = it is not gzip; else: */
    const uint8_t *packed;     /* read, not decompressed yet */
    size_t packed_size;
    uint8_t *unpacked;         /* CHUNK bytes */
    bool inside;               /* a member began and did not end */
    uint64_t in, out;
    const uint8_t *at;         /* what was not consumed yet */
    size_t left;
    size_t begun;              /* bytes at the start of `buffer` that were read before the decompressor was chosen */
    bool ended;
    void (*tap)(void *data, const void *bytes, size_t size);
    void *tap_data;
    uint8_t buffer[CHUNK];
};

static bool cancelled(const struct inflow *flow) {
    return flow->limits.cancel && *flow->limits.cancel;
}

static ssize_t read_some(struct inflow *flow, uint8_t *data, size_t size) {
    ssize_t got;
    do
        got = cancelled(flow) ? -1 : read(flow->fd, data, size);
    while (got < 0 && errno == EINTR && !cancelled(flow));
    if (got < 0)
        return cancelled(flow) ? -ECANCELED : -errno;
    flow->in += (uint64_t)got;
    return got;
}

/* A pipe gives little at a time: what the format is, a whole block tells. */
static int read_beginning(struct inflow *flow) {
    while (flow->begun < UNTAR_BLOCK) {
        ssize_t got = read_some(flow, flow->buffer + flow->begun, sizeof(flow->buffer) - flow->begun);
        if (got < 0)
            return (int)got;
        if (got == 0)
            break;
        flow->begun += (size_t)got;
    }
    return 0;
}

static ssize_t feed(struct archive *archive, void *data, const void **ret) {
    struct inflow *flow = data;
    ssize_t got = (ssize_t)flow->begun;
    flow->begun = 0;
    if (got == 0)
        got = read_some(flow, flow->buffer, sizeof(flow->buffer));
    if (got < 0) {
        flow->lib->archive_set_error(archive, (int)-got, "%s", strerror((int)-got));
        return -1;
    }
    *ret = flow->buffer;
    return got;
}

static int interrupted(struct snap_err *err) {
    err_set(err, -ECANCELED, "interrupted");
    return err_failure(err, SNAP_FAILURE_INTERRUPTED);
}

static int failed(struct inflow *flow, const char *doing, struct snap_err *err) {
    return cancelled(flow) ? interrupted(err) : archive_lib_error(flow->lib, flow->archive, err, doing);
}

static int open_filters(struct inflow *flow, struct snap_err *err) {
    int r = archive_lib_load(&flow->lib, err);
    if (r < 0)
        return r;
    const struct archive_lib *lib = flow->lib;
    flow->archive = lib->archive_read_new();
    if (!flow->archive)
        return err_nomem(err);
    int (*const filters[])(struct archive *) = {
        lib->archive_read_support_filter_bzip2, lib->archive_read_support_filter_compress, lib->archive_read_support_filter_lz4,
        lib->archive_read_support_filter_lzip, lib->archive_read_support_filter_lzma,
        lib->archive_read_support_filter_xz, lib->archive_read_support_filter_zstd, lib->archive_read_support_format_raw,
    };
    for (size_t i = 0; i < ELEMENTS(filters); i++)
        if (filters[i](flow->archive) < ARCHIVE_WARN)
            return failed(flow, "prepare for decompressing", err);
    struct archive_entry *entry;
    if (lib->archive_read_open(flow->archive, flow, NULL, feed, NULL) != ARCHIVE_OK
        || lib->archive_read_next_header(flow->archive, &entry) != ARCHIVE_OK)
        return failed(flow, "decompress the archive", err);
    return 0;
}

static int check_limits(const struct inflow *flow, struct snap_err *err) {
    const struct inflow_limits *limits = &flow->limits;
    if (limits->bytes && flow->out > limits->bytes) {
        err_set(err, -EFBIG, "the archive holds more bytes than %llu", (unsigned long long)limits->bytes);
        return err_hint(err, "if you trust it, allow more with --max-size");
    }
    if ((flow->archive || flow->gunzip) && limits->ratio && flow->out > GROWN_ENOUGH && flow->out / limits->ratio > flow->in) {
        err_set(err, -EFBIG, "the archive grows to more than %llu times its size", (unsigned long long)limits->ratio);
        return err_hint(err, "if you trust it, allow more with --max-ratio");
    }
    return 0;
}

static bool is_gzip(const uint8_t *data, size_t size) {
    return size >= 2 && data[0] == 0x1f && data[1] == 0x8b;
}

static int open_gzip(struct inflow *flow, struct snap_err *err) {
    flow->packed = flow->buffer;
    flow->packed_size = flow->begun;
    flow->unpacked = malloc(CHUNK);
    return flow->unpacked ? gunzip_new(&flow->gunzip, err) : err_nomem(err);
}

static int open_beginning(struct inflow *flow, struct snap_err *err) {
    int r = read_beginning(flow);
    if (r == -ECANCELED)
        return interrupted(err);
    if (r < 0)
        return err_errno(err, r, "cannot read the archive");
    bool plain = flow->limits.plain || flow->begun == 0 || (flow->begun >= UNTAR_BLOCK && untar_is_header(flow->buffer));
    if (!plain)
        return is_gzip(flow->buffer, flow->begun) ? open_gzip(flow, err) : open_filters(flow, err);
    flow->at = flow->buffer;
    flow->left = flow->begun;
    flow->out = flow->begun;
    return check_limits(flow, err);
}

int inflow_open(int fd, const struct inflow_limits *limits, struct inflow **ret, struct snap_err *err) {
    _inflow_ struct inflow *flow = malloc(sizeof(*flow));
    if (!flow)
        return err_nomem(err);
    memset(flow, 0, offsetof(struct inflow, buffer));
    flow->fd = fd;
    flow->limits = *limits;
    int r = open_beginning(flow, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(flow);
    return 0;
}

struct inflow *inflow_close(struct inflow *flow) {
    if (!flow)
        return NULL;
    if (flow->archive)
        (void)flow->lib->archive_read_free(flow->archive);     /* nothing is left to fail: it only read */
    gunzip_free(flow->gunzip);
    free(flow->unpacked);
    free(flow);
    return NULL;
}

void inflow_tap(struct inflow *flow, void (*tap)(void *data, const void *bytes, size_t size), void *data) {
    flow->tap = tap;
    flow->tap_data = data;
    if (flow->left)
        tap(data, flow->at, flow->left);
}

/* 1 = there is more, 0 = the end. */
static int decompress(struct inflow *flow, struct snap_err *err) {
    const void *data = NULL;
    size_t size = 0;
    while (size == 0) {
        int64_t offset;
        int r = flow->lib->archive_read_data_block(flow->archive, &data, &size, &offset);
        if (r == ARCHIVE_EOF)
            return 0;
        if (r != ARCHIVE_OK)
            return failed(flow, "decompress the archive", err);
    }
    flow->at = data;
    flow->left = size;
    return 1;
}

/* More of what is packed: 1, or 0 at the end. */
static int read_packed(struct inflow *flow, struct snap_err *err) {
    ssize_t got = read_some(flow, flow->buffer, sizeof(flow->buffer));
    if (got < 0)
        return got == -ECANCELED ? interrupted(err) : err_errno(err, (int)got, "cannot read the archive");
    flow->packed = flow->buffer;
    flow->packed_size = (size_t)got;
    return got > 0;
}

/* Behind a member comes another one, or nothing, or what is no member: gzip(1) passes over that, too. */
static int pass_over_rest(struct inflow *flow, struct snap_err *err) {
    int r;
    while ((r = read_packed(flow, err)) > 0) {}
    flow->packed_size = 0;
    return r;
}

static int unpack_gzip(struct inflow *flow, struct snap_err *err) {
    for (size_t size = 0; ; ) {
        int r = flow->packed_size ? 1 : read_packed(flow, err);
        if (r < 0)
            return r;
        if (r == 0)
            return flow->inside ? err_set(err, -ENODATA, "the archive is cut short") : 0;
        if (!flow->inside && flow->in > flow->packed_size && *flow->packed != 0x1f)
            return pass_over_rest(flow, err);
        bool ended = false;
        r = gunzip_step(flow->gunzip, &flow->packed, &flow->packed_size, flow->unpacked, CHUNK, &size, &ended, err);
        if (r < 0)
            return r;
        flow->inside = !ended;
        if (size) {
            flow->at = flow->unpacked;
            flow->left = size;
            return 1;
        }
    }
}

static int read_plain(struct inflow *flow, struct snap_err *err) {
    ssize_t got = read_some(flow, flow->buffer, sizeof(flow->buffer));
    if (got == -ECANCELED)
        return interrupted(err);
    if (got < 0)
        return err_errno(err, (int)got, "cannot read the archive");
    flow->at = flow->buffer;
    flow->left = (size_t)got;
    return got > 0;
}

int inflow_peek(struct inflow *flow, const void **ret, size_t *ret_size, struct snap_err *err) {
    if (cancelled(flow))
        return interrupted(err);
    if (!flow->left) {
        int r = flow->ended ? 0 : flow->gunzip ? unpack_gzip(flow, err) : flow->archive ? decompress(flow, err)
            : read_plain(flow, err);
        flow->ended |= r == 0;
        if (r <= 0)
            return r;
        flow->out += flow->left;
        if (flow->tap)
            flow->tap(flow->tap_data, flow->at, flow->left);
        if ((r = check_limits(flow, err)) < 0)
            return r;
    }
    *ret = flow->at;
    *ret_size = flow->left;
    return 1;
}

void inflow_skip(struct inflow *flow, size_t size) {
    flow->at += size;
    flow->left -= size;
}

int inflow_read(struct inflow *flow, void *data, size_t size, struct snap_err *err) {
    for (size_t have = 0; have < size;) {
        const void *more;
        size_t some;
        int r = inflow_peek(flow, &more, &some, err);
        if (r == 0 && have > 0)
            return err_set(err, -ENODATA, "the archive is cut short");
        if (r <= 0)
            return r;
        some = MIN(some, size - have);
        memcpy((uint8_t *)data + have, more, some);
        inflow_skip(flow, some);
        have += some;
    }
    return 1;
}

uint64_t inflow_bytes(const struct inflow *flow) {
    return flow->out - flow->left;
}
