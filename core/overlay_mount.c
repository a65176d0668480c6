/* An overlay of any directories, mounted: what snapctl-overlay does.
 * Knows neither projects nor snapshots. SPDX-License-Identifier: GPL-2.0-or-later */
#include "mount.h"
#include "overlay.h"

#include "fs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <syslog.h>

enum { LAYERS_MOST = 500 };

struct stack {                            /* what is mounted, and what has to be there for it */
    const struct snap_overlay_options *options;
    int upper, work;
    int lowers[LAYERS_MOST];
    size_t lower_count;
};

static void stack_done(struct stack *stack) {
    stack->upper = fd_close(stack->upper);
    stack->work = fd_close(stack->work);
    while (stack->lower_count > 0)
        (void)fd_close(stack->lowers[--stack->lower_count]);
}
#define _stack_ _cleanup_(stack_done)

static int open_directory(const char *path, const char *what, int *ret, struct snap_err *err) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_path(err, -errno, path, "open %s", what);
    *ret = fd;
    return 0;
}

/* Two programs that write into one layer would destroy each other's work. The overlay sees to its work directory. */
static int open_upper(struct stack *stack, struct snap_err *err) {
    const struct snap_overlay_options *options = stack->options;
    if (!options->upper)
        return 0;
    int r = open_directory(options->upper, "upperdir", &stack->upper, err);
    if (r == 0)
        r = open_directory(options->work, "workdir", &stack->work, err);
    if (r < 0)
        return r;
    if (flock(stack->upper, LOCK_EX | LOCK_NB) < 0) {
        r = errno == EWOULDBLOCK ? -EBUSY : -errno;
        err_path(err, r, options->upper, "use as upperdir");
        return r == -EBUSY ? err_hint(err, "another mount uses it") : r;
    }
    return 0;
}

static int open_lowers(struct stack *stack, struct snap_err *err) {
    for (const char *const *path = stack->options->lowers; *path; path++) {
        if (stack->lower_count == LAYERS_MOST)
            return err_set(err, -E2BIG, "more than %d lower directories", LAYERS_MOST);
        int r = open_directory(*path, "lowerdir", &stack->lowers[stack->lower_count], err);
        if (r < 0)
            return r;
        stack->lower_count++;
    }
    return stack->lower_count ? 0 : err_set(err, -EINVAL, "an overlay takes a lower directory");
}

static int still_there(void *data) {
    const struct stack *stack = data;
    struct stat stat;
    for (size_t i = 0; i < stack->lower_count; i++)
        if (fstat(stack->lowers[i], &stat) < 0 || stat.st_nlink == 0)
            return 0;
    if (stack->upper >= 0 && (fstat(stack->upper, &stat) < 0 || stat.st_nlink == 0))
        return 0;
    return 1;
}

static void say(void *data, const char *sentence) {
    const struct stack *stack = data;
    if (stack->options->flags & SNAP_OVERLAY_FOREGROUND && stack->options->log)
        stack->options->log(stack->options->data, sentence);
    else
        syslog(LOG_WARNING, "%s: %s", stack->options->mountpoint, sentence);
}

static void close_lowers(struct lower **lowers, size_t count) {
    for (size_t i = 0; i < count; i++)
        lowers[i]->ops->close(lowers[i]);
}

static int open_overlay(struct stack *stack, struct overlay **ret, struct snap_err *err) {
    struct lower *lowers[LAYERS_MOST];
    size_t count = 0;
    int r = 0;
    for (; r == 0 && count < stack->lower_count; count += r == 0)
        r = lower_layer_open(stack->lowers[count], true, &lowers[count]);
    if (r < 0)
        err_path(err, r, stack->options->lowers[count], "open lowerdir");
    const struct overlay_options options = { .upper = stack->upper, .work = stack->work, .lowers = lowers, .lower_count = count,
                                             .flags = stack->options->flags & SNAP_OVERLAY_FOLLOW ? OVERLAY_FOLLOW : OVERLAY_METACOPY | OVERLAY_STILL, .log = say, .data = stack };
    if (r == 0)
        r = overlay_open(&options, ret, err);
    if (r < 0)
        close_lowers(lowers, count);
    return r;
}

static unsigned mount_flags(const struct stack *stack) {
    unsigned given = stack->options->flags, flags = given & SNAP_OVERLAY_FOLLOW ? MOUNT_FOLLOW : MOUNT_FROZEN | MOUNT_WRITEBACK;
    flags |= given & SNAP_OVERLAY_READ_ONLY || stack->upper < 0 ? MOUNT_READ_ONLY : 0;
    flags |= given & SNAP_OVERLAY_ALLOW_OTHER ? MOUNT_ALLOW_OTHER : 0;
    flags |= given & SNAP_OVERLAY_ALLOW_ROOT ? MOUNT_ALLOW_ROOT : 0;
    flags |= given & SNAP_OVERLAY_DEBUG ? MOUNT_DEBUG : 0;
    return flags;
}

static int serve(void *data, struct detach_ready *ready, struct snap_err *err) {
    const struct snap_overlay_options *given = data;
    _stack_ struct stack stack = { .options = given, .upper = -1, .work = -1 };
    struct overlay *overlay = NULL;
    (void)fs_raise_descriptor_limit();
    int r = open_lowers(&stack, err);
    if (r == 0)
        r = open_upper(&stack, err);
    if (r == 0)
        r = open_overlay(&stack, &overlay, err);
    if (r < 0)
        return r;
    const struct mount_options options = {
        .overlay = overlay, .mountpoint = given->mountpoint, .source = given->source, .subtype = given->subtype ? given->subtype : "snapctl-overlay",
        .flags = mount_flags(&stack), .options = given->mount_options, .threads = given->threads, .ready = ready,
        .still_there = still_there, .log = say, .data = &stack,
    };
    r = mount_serve(&options, NULL, err);
    overlay_close(overlay);
    return r;
}

int snap_overlay_mount(const struct snap_overlay_options *options, struct snap_err *err) {
    if (options->flags & SNAP_OVERLAY_FOREGROUND)
        return serve((void *)(uintptr_t)options, NULL, err);
    return detach(serve, (void *)(uintptr_t)options, NULL, err);
}
