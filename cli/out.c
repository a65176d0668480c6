/* What goes to stdout: text with or without colour, through a pager or not, or JSON.
 * Knows nothing of what it writes. SPDX-License-Identifier: GPL-2.0-or-later */
#include "out.h"

#include "quote.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool wants_color(enum out_color color) {
    if (color != OUT_COLOR_AUTO)
        return color == OUT_COLOR_ALWAYS;
    const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return !(none && *none) && isatty(STDOUT_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
}

void out_init(struct out *out, enum out_color color, bool paged, bool progress) {
    *out = (struct out){ .color = wants_color(color), .paged = paged && isatty(STDOUT_FILENO) };
    progress_init(&out->progress, progress);
}

/* The first byte starts the pager, so that a command that fails before it does not flash one. */
static void begin(struct out *out) {
    progress_erase(&out->progress);
    if (!out->begun && out->paged && pager_start(&out->pager))
        progress_end(&out->progress);
    out->begun = true;
}

static void fail(struct out *out) {
    if (!out->error)
        out->error = errno ? -errno : -EIO;
}

void out_bytes(struct out *out, const void *bytes, size_t size) {
    begin(out);
    if (size && fwrite(bytes, 1, size, stdout) != size)
        fail(out);
}

void out_text(struct out *out, const char *format, ...) {
    begin(out);
    va_list args;
    va_start(args, format);
    if (vfprintf(stdout, format, args) < 0)
        fail(out);
    va_end(args);
}

void out_path(struct out *out, const char *path) {
    _buf_ struct buf shown = {0};
    quote_display(&shown, path, strlen(path));
    out_bytes(out, shown.failed ? "?" : shown.data, shown.failed ? 1 : shown.size);
}

void out_paint(struct out *out, enum paint paint) {
    static const char *const codes[] = {
        [PAINT_PLAIN] = "\033[m", [PAINT_BOLD] = "\033[1m", [PAINT_DIM] = "\033[2m", [PAINT_RED] = "\033[31m",
        [PAINT_GREEN] = "\033[32m", [PAINT_YELLOW] = "\033[33m", [PAINT_BLUE] = "\033[34m", [PAINT_MAGENTA] = "\033[35m",
        [PAINT_CYAN] = "\033[36m",
    };
    if (out->color)
        out_bytes(out, codes[paint], strlen(codes[paint]));
}

void out_painted(struct out *out, enum paint paint, const char *text) {
    out_paint(out, paint);
    out_bytes(out, text, strlen(text));
    out_paint(out, PAINT_PLAIN);
}

int out_check(const struct out *out) {
    return out->error;
}

int out_end(struct out *out) {
    progress_end(&out->progress);
    if (fflush(stdout) != 0)
        fail(out);
    bool paged = out->pager.pid != 0;
    pager_end(&out->pager);
    return paged && out->error == -EPIPE ? 0 : out->error;
}
