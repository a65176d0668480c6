/* Lines added and deleted per path, as `git diff --stat` draws them.
 * Counts no lines itself. SPDX-License-Identifier: GPL-2.0-or-later */
#include "diffstat.h"

#include "format.h"
#include "quote.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

static char *name_of(const struct snap_change *change) {
    _buf_ struct buf name = {0};
    if (change->old_path) {
        quote_display(&name, change->old_path, strlen(change->old_path));
        buf_str(&name, " => ");
    }
    quote_display(&name, *change->path ? change->path : ".", MAX(strlen(change->path), (size_t)1));
    return buf_take(&name);
}

int diffstat_add(struct diffstat *stat, const struct snap_change *change) {
    if (MAKE_ROOM(stat->rows, stat->count, stat->room) < 0)
        return -ENOMEM;
    char *name = name_of(change);
    if (!name)
        return -ENOMEM;
    stat->rows[stat->count++] = (struct diffstat_row){
        .name = name, .added = change->lines_added, .deleted = change->lines_deleted, .binary = change->binary,
        .before = change->before ? change->before->size : 0, .after = change->after ? change->after->size : 0,
    };
    return 0;
}

/* As many columns as the terminal has, else 80. */
static size_t columns(void) {
    struct winsize size;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
        return size.ws_col;
    return 80;
}

/* Characters, not bytes: every byte that begins one. Names are valid UTF-8 here. */
static size_t width_of(const char *text) {
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

struct widths { size_t name, number, graph; uint64_t most; };

static struct widths measure(const struct diffstat *stat, size_t room) {
    struct widths widths = { .number = 1 };
    for (size_t i = 0; i < stat->count; i++) {
        const struct diffstat_row *row = &stat->rows[i];
        widths.name = MAX(widths.name, width_of(row->name));
        widths.most = MAX(widths.most, row->added + row->deleted);
        if (row->binary)
            widths.number = MAX(widths.number, (size_t)3);
    }
    char digits[24];
    widths.number = MAX(widths.number, (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, widths.most));
    /* " NAME | NUMBER GRAPH": the graph gets what is left, at least a quarter of the line */
    size_t rest = room - widths.number - 5;
    size_t left = rest > widths.name ? rest - widths.name : 0;
    left = MAX(left, room / 4);
    widths.graph = MIN(widths.most, left);
    widths.name = MIN(widths.name, rest - widths.graph);
    return widths;
}

/* The end of a name that is too long is what tells it apart. */
static void show_name(struct out *out, const char *name, size_t width) {
    size_t have = width_of(name);
    if (have <= width) {
        out_text(out, " %s%*s | ", name, (int)(width - have), "");
        return;
    }
    for (size_t cut = have - (width - 3); cut; name++)
        cut -= ((unsigned char)name[1] & 0xc0) != 0x80;
    out_text(out, " ...%s | ", name);
}

static void show_run(struct out *out, enum paint paint, char c, uint64_t count) {
    if (!count)
        return;
    out_paint(out, paint);
    while (count--)
        out_bytes(out, &c, 1);
    out_paint(out, PAINT_PLAIN);
}

/* At least one sign where there is at least one line. */
static uint64_t scale(uint64_t lines, const struct widths *widths) {
    if (widths->most <= widths->graph || lines == 0)
        return lines;
    return 1 + (uint64_t)((double)lines * (double)(widths->graph - 1) / (double)widths->most);
}

static void show_row(struct out *out, const struct diffstat_row *row, const struct widths *widths) {
    show_name(out, row->name, widths->name);
    if (row->binary) {
        out_text(out, "%*s %" PRIu64 " -> %" PRIu64 " bytes\n", (int)widths->number, "Bin", row->before, row->after);
        return;
    }
    uint64_t lines = row->added + row->deleted, total = scale(lines, widths);
    uint64_t deleted = MIN(scale(row->deleted, widths), total);
    out_text(out, "%*" PRIu64 "%s", (int)widths->number, lines, lines ? " " : "");
    show_run(out, PAINT_GREEN, '+', total - deleted);
    show_run(out, PAINT_RED, '-', deleted);
    out_text(out, "\n");
}

void diffstat_show(const struct diffstat *stat, struct out *out) {
    struct widths widths = measure(stat, columns());
    uint64_t added = 0, deleted = 0;
    for (size_t i = 0; i < stat->count; i++) {
        show_row(out, &stat->rows[i], &widths);
        added += stat->rows[i].added;
        deleted += stat->rows[i].deleted;
    }
    out_text(out, " %zu %s changed", stat->count, plural(stat->count, "path", "paths"));
    if (added || !deleted)
        out_text(out, ", %" PRIu64 " %s(+)", added, plural(added, "insertion", "insertions"));
    if (deleted || !added)
        out_text(out, ", %" PRIu64 " %s(-)", deleted, plural(deleted, "deletion", "deletions"));
    out_text(out, "\n");
}

void diffstat_done(struct diffstat *stat) {
    for (size_t i = 0; i < stat->count; i++)
        free(stat->rows[i].name);
    free(stat->rows);
    *stat = (struct diffstat){0};
}
