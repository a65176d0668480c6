/* gzip's format, decompressed by zlib.
 * Reads nothing by itself. SPDX-License-Identifier: GPL-2.0-or-later */
#include "archive_read_gzip.h"

#include "library.h"
#include <zlib.h>

enum { ANY_WINDOW = 15, GZIP_ONLY = 16 };

#define ZLIB_FUNCTIONS(X) X(inflateInit2_) X(inflate) X(inflateReset) X(inflateEnd)
#define ZLIB_POINTER(name) __typeof__(name) *name;
#define ZLIB_SYMBOL(name) #name,

static struct { ZLIB_FUNCTIONS(ZLIB_POINTER) } table;
static const char *const symbols[] = { ZLIB_FUNCTIONS(ZLIB_SYMBOL) };
static struct library library = LIBRARY("zlib", ZLIB_SONAME, symbols, &table, NULL);

struct gunzip { z_stream stream; bool ended; };

int gunzip_new(struct gunzip **ret, struct snap_err *err) {
    int r = library_load(&library, err);
    if (r < 0)
        return r;
    struct gunzip *gunzip = calloc(1, sizeof(*gunzip));
    if (!gunzip || table.inflateInit2_(&gunzip->stream, ANY_WINDOW + GZIP_ONLY, ZLIB_VERSION, (int)sizeof(z_stream)) != Z_OK) {
        free(gunzip);
        return err_nomem(err);
    }
    *ret = gunzip;
    return 0;
}

struct gunzip *gunzip_free(struct gunzip *gunzip) {
    if (!gunzip)
        return NULL;
    (void)table.inflateEnd(&gunzip->stream);      /* tells only whether something was left */
    free(gunzip);
    return NULL;
}

int gunzip_step(struct gunzip *gunzip, const uint8_t **in, size_t *in_size, uint8_t *out, size_t room, size_t *ret_size,
                bool *ret_ended, struct snap_err *err) {
    z_stream *stream = &gunzip->stream;
    if (gunzip->ended)
        (void)table.inflateReset(stream);         /* fails for what is no stream only */
    stream->next_in = (Bytef *)(uintptr_t)*in;
    stream->avail_in = (uInt)*in_size;
    stream->next_out = out;
    stream->avail_out = (uInt)room;
    int r = table.inflate(stream, Z_NO_FLUSH);
    if (r == Z_MEM_ERROR)
        return err_nomem(err);
    if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
        return err_set(err, -EIO, "cannot decompress the archive: %s", stream->msg ? stream->msg : "it is damaged");
    *in = stream->next_in;
    *in_size = stream->avail_in;
    *ret_size = room - stream->avail_out;
    *ret_ended = gunzip->ended = r == Z_STREAM_END;
    return 0;
}
