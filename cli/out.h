/* What goes to stdout: text with or without colour, through a pager or not, or JSON.
 * Every write is remembered if it fails; out_check tells a listing to stop. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "pager.h"
#include "progress.h"

#include <stddef.h>

enum out_color { OUT_COLOR_AUTO = 0, OUT_COLOR_ALWAYS, OUT_COLOR_NEVER };

enum paint { PAINT_PLAIN = 0, PAINT_BOLD, PAINT_DIM, PAINT_RED, PAINT_GREEN, PAINT_YELLOW, PAINT_BLUE, PAINT_MAGENTA, PAINT_CYAN };

struct out {
    bool color, paged, begun;
    int error;                 /* negative errno of the first write that failed */
    struct pager pager;
    struct progress progress;
};

void out_init(struct out *out, enum out_color color, bool paged, bool progress);
void out_text(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void out_bytes(struct out *out, const void *bytes, size_t size);
void out_path(struct out *out, const char *path);        /* as people may see it */
void out_paint(struct out *out, enum paint paint);       /* PAINT_PLAIN ends it */
void out_painted(struct out *out, enum paint paint, const char *text);
/* 0, or the negative errno of a write that failed. */
int out_check(const struct out *out);
/* The last byte is out, the pager has ended, the line of progress is gone. 0, or the negative errno of a write that failed;
 * a reader who leaves the pager early is no failure. */
int out_end(struct out *out);
