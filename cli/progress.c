/* One line on a terminal's stderr while the work lasts.
 * Shows nothing of work that takes less than half a second, and leaves nothing behind.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "progress.h"

#include "format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PATIENCE = 500000000, PAUSE = 100000000 };      /* nanoseconds */

static int64_t now_ns(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
        return 0;
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool can_erase(void) {
    const char *terminal = getenv("TERM");
    return isatty(STDERR_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
}

void progress_init(struct progress *progress, bool wanted) {
    *progress = (struct progress){ .wanted = wanted && can_erase(), .lock = PTHREAD_MUTEX_INITIALIZER, .since = now_ns() };
}

static void add_bytes(struct buf *line, uint64_t bytes, uint64_t total) {
    char done[FORMAT_SIZE], all[FORMAT_SIZE];
    if (total)
        buf_fmt(line, ", %s of %s", format_size(bytes, done), format_size(total, all));
    else if (bytes)
        buf_fmt(line, ", %s", format_size(bytes, done));
}

static void format_line(struct buf *line, const struct snap_progress *now) {
    buf_fmt(line, "\r%.20s: %" PRIu64, now->doing ? now->doing : "working", now->entries);
    if (now->entries_total)
        buf_fmt(line, " of %" PRIu64, now->entries_total);
    buf_str(line, plural(now->entries_total ? now->entries_total : now->entries, " entry", " entries"));
    add_bytes(line, now->bytes, now->bytes_total);
    buf_str(line, "\033[K");
}

/* Whether the line is due; then the clock starts again. */
static bool due(struct progress *progress) {
    int64_t now = now_ns();
    if (now - progress->since < PATIENCE || now - progress->last < PAUSE)
        return false;
    progress->last = now;
    return true;
}

void progress_tell(struct progress *progress, const struct snap_progress *now) {
    if (!progress->wanted)
        return;
    (void)pthread_mutex_lock(&progress->lock);
    if (progress->wanted && due(progress)) {
        _buf_ struct buf line = {0};
        format_line(&line, now);
        if (!line.failed) {
            (void)fwrite(line.data, 1, line.size, stderr);
            (void)fflush(stderr);
            progress->shown = true;
        }
    }
    (void)pthread_mutex_unlock(&progress->lock);
}

static void erase(struct progress *progress) {
    if (progress->shown)
        (void)fputs("\r\033[K", stderr);
    (void)fflush(stderr);
    progress->shown = false;
}

void progress_erase(struct progress *progress) {
    if (!progress->wanted)
        return;
    (void)pthread_mutex_lock(&progress->lock);
    erase(progress);
    (void)pthread_mutex_unlock(&progress->lock);
}

void progress_end(struct progress *progress) {
    if (!progress->wanted)
        return;
    (void)pthread_mutex_lock(&progress->lock);
    erase(progress);
    progress->wanted = false;
    (void)pthread_mutex_unlock(&progress->lock);
}
