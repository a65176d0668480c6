/* Where archives go: gathered in one buffer, then written, or compressed by libarchive's filters and written.
 * Knows no format of archives. SPDX-License-Identifier: GPL-2.0-or-later */
#include "archive_sink.h"

#include "archive_lib.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    GATHER = 1 << 20,          /* bytes gathered before they go on */
    DIRECT = 128 << 10,        /* pieces from this size on are not gathered */
};

struct sink {
    int fd;
    const volatile sig_atomic_t *cancel;
    const struct archive_lib *lib;
    struct archive *filter;    /* NULL: plain */
    struct sha256 *given, *written;       /* NULL: not wanted */
    struct sink_totals totals;
    int failed;                /* what the descriptor answered, for who is called back by libarchive */
    size_t size;
    uint8_t buffer[GATHER];
};

/* The descriptor. */

static int cancelled(const struct sink *sink) {
    return sink->cancel && *sink->cancel ? -ECANCELED : 0;
}

/* Waits with an eye on `cancel`: a signal ends the wait, and so a reader that sleeps holds nobody. */
static int write_some(struct sink *sink, const uint8_t *data, size_t size) {
    int r = cancelled(sink);
    if (r < 0)
        return r;
    ssize_t done = write(sink->fd, data, size);
    if (done >= 0)
        return (int)done;
    if (errno == EINTR)
        return 0;
    if (errno != EAGAIN)
        return -errno;
    struct pollfd ready = { .fd = sink->fd, .events = POLLOUT };
    return poll(&ready, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

static int write_out(struct sink *sink, const uint8_t *data, size_t size) {
    if (sink->written)
        sha256_add(sink->written, data, size);
    sink->totals.written += size;
    while (size) {
        int done = write_some(sink, data, MIN(size, (size_t)GATHER));
        if (done < 0)
            return done;
        data += done;
        size -= (size_t)done;
    }
    return 0;
}

static int explain(int code, struct snap_err *err) {
    if (code == -ECANCELED) {
        err_set(err, code, "interrupted");
        return err_failure(err, SNAP_FAILURE_INTERRUPTED);
    }
    if (code == -EPIPE)
        return err_set(err, code, "cannot write the archive: whoever was to read it has gone");
    return err_errno(err, code, "cannot write the archive");
}

/* The filter. */

static la_ssize_t on_write(struct archive *archive, void *data, const void *buffer, size_t size) {
    (void)archive;
    struct sink *sink = data;
    sink->failed = write_out(sink, buffer, size);
    return sink->failed < 0 ? -1 : (la_ssize_t)size;
}

static int filter_error(struct sink *sink, struct snap_err *err) {
    return sink->failed < 0 ? explain(sink->failed, err) : archive_lib_error(sink->lib, sink->filter, err, "compress the archive");
}

/* The number of threads changes how fast it goes, not what comes out; but one thread alone would make other blocks of it. */
static int add_threads(struct sink *sink, const char *filter) {
    char text[16];
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    count = MAX(count, 2L);
    (void)snprintf(text, sizeof(text), "%ld", MIN(count, 16L));
    return sink->lib->archive_write_set_filter_option(sink->filter, filter, "threads", text);
}

static int add_filter(struct sink *sink, enum archive_compression compression) {
    const struct archive_lib *lib = sink->lib;
    switch (compression) {
    case ARCHIVE_PLAIN: return ARCHIVE_OK;
    case ARCHIVE_GZIP: {
        int r = lib->archive_write_add_filter_gzip(sink->filter);
        return r < ARCHIVE_OK ? r : lib->archive_write_set_filter_option(sink->filter, "gzip", "timestamp", NULL);
    }
    case ARCHIVE_XZ: {
        int r = lib->archive_write_add_filter_xz(sink->filter);
        return r < ARCHIVE_OK ? r : add_threads(sink, "xz");
    }
    case ARCHIVE_ZSTD: {
        int r = lib->archive_write_add_filter_zstd(sink->filter);
        return r < ARCHIVE_OK ? r : add_threads(sink, "zstd");
    }
    }
    return ARCHIVE_FATAL;
}

/* The raw format holds one regular file and nothing else: the stream itself. */
static int begin_stream(struct sink *sink) {
    const struct archive_lib *lib = sink->lib;
    struct archive_entry *entry = lib->archive_entry_new();
    if (!entry)
        return ARCHIVE_FATAL;
    lib->archive_entry_set_filetype(entry, AE_IFREG);
    int r = lib->archive_write_header(sink->filter, entry);
    lib->archive_entry_free(entry);
    return r;
}

static int open_filter(struct sink *sink, enum archive_compression compression, struct snap_err *err) {
    int r = archive_lib_load(&sink->lib, err);
    if (r < 0)
        return r;
    const struct archive_lib *lib = sink->lib;
    if (!(sink->filter = lib->archive_write_new()))
        return err_nomem(err);
    r = lib->archive_write_set_format_raw(sink->filter);
    if (r == ARCHIVE_OK)
        r = add_filter(sink, compression);
    if (r == ARCHIVE_OK)
        r = lib->archive_write_set_bytes_per_block(sink->filter, GATHER);
    if (r == ARCHIVE_OK)
        r = lib->archive_write_set_bytes_in_last_block(sink->filter, 1);
    if (r == ARCHIVE_OK)
        r = lib->archive_write_open(sink->filter, sink, NULL, on_write, NULL);
    if (r == ARCHIVE_OK)
        r = begin_stream(sink);
    return r == ARCHIVE_OK ? 0 : filter_error(sink, err);
}

/* What is gathered. */

static int pass_on(struct sink *sink, const uint8_t *data, size_t size, struct snap_err *err) {
    if (sink->given)
        sha256_add(sink->given, data, size);
    sink->totals.given += size;
    if (!sink->filter) {
        int r = write_out(sink, data, size);
        return r < 0 ? explain(r, err) : 0;
    }
    int r = cancelled(sink);
    if (r < 0)
        return explain(r, err);
    return sink->lib->archive_write_data(sink->filter, data, size) == (la_ssize_t)size ? 0 : filter_error(sink, err);
}

static int flush(struct sink *sink, struct snap_err *err) {
    size_t size = sink->size;
    sink->size = 0;
    return size ? pass_on(sink, sink->buffer, size, err) : 0;
}

int sink_add(struct sink *sink, const void *data, size_t size, struct snap_err *err) {
    if (size > sizeof(sink->buffer) - sink->size || size >= DIRECT) {
        int r = flush(sink, err);
        if (r < 0)
            return r;
    }
    if (size >= DIRECT)
        return pass_on(sink, data, size, err);
    memcpy(sink->buffer + sink->size, data, size);
    sink->size += size;
    return 0;
}

int sink_zeros(struct sink *sink, uint64_t size, struct snap_err *err) {
    static const uint8_t zeros[64 << 10];
    for (uint64_t part; size; size -= part) {
        part = MIN(size, (uint64_t)sizeof(zeros));
        int r = sink_add(sink, zeros, (size_t)part, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int sink_open(int fd, enum archive_compression compression, unsigned flags, const volatile sig_atomic_t *cancel, struct sink **ret,
              struct snap_err *err) {
    _sink_ struct sink *sink = malloc(sizeof(*sink));
    if (!sink)
        return err_nomem(err);
    memset(sink, 0, offsetof(struct sink, buffer));
    sink->fd = fd;
    sink->cancel = cancel;
    (void)fcntl(fd, F_SETPIPE_SZ, GATHER);     /* fewer switches between writer and reader; not every descriptor is a pipe */
    int r = flags & SINK_DIGESTS ? sha256_new(&sink->given, err) : 0;
    if (r == 0 && flags & SINK_DIGESTS)
        r = sha256_new(&sink->written, err);
    if (r == 0 && compression != ARCHIVE_PLAIN)
        r = open_filter(sink, compression, err);
    if (r == 0)
        *ret = TAKE_PTR(sink);
    return r;
}

/* libarchive writes what it holds when it is freed; after a failure nothing more may be written. */
struct sink *sink_free(struct sink *sink) {
    if (!sink)
        return NULL;
    static const sig_atomic_t always = 1;
    sink->cancel = &always;
    if (sink->filter)
        (void)sink->lib->archive_write_free(sink->filter);
    sha256_free(sink->given);
    sha256_free(sink->written);
    free(sink);
    return NULL;
}

int sink_end(struct sink *sink, struct sink_totals *ret, struct snap_err *err) {
    int r = flush(sink, err);
    if (r < 0)
        return r;
    if (sink->filter && sink->lib->archive_write_close(sink->filter) != ARCHIVE_OK)
        return filter_error(sink, err);
    if (sink->given) {
        sha256_hex(sink->given, sink->totals.given_sha256);
        sha256_hex(sink->written, sink->totals.written_sha256);
    }
    *ret = sink->totals;
    return 0;
}
