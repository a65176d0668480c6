/* snapctl watch: the process that knows what changed. Start it, stop it, ask how it is, be it.
 * Takes no snapshot. SPDX-License-Identifier: GPL-2.0-or-later */
#include "format.h"
#include "project.h"

#include <inttypes.h>

struct watch_options { unsigned backend; };

static const char *const backends[] = { [SNAP_WATCH_AUTO] = "auto", [SNAP_WATCH_INOTIFY] = "inotify", [SNAP_WATCH_FANOTIFY] = "fanotify", NULL };

static const struct option_row options[] = {
    { 0, "backend", "NAME", "auto, inotify or fanotify", OPTION_CHOICE, offsetof(struct watch_options, backend), backends, OPERAND_NONE },
    ROW_END,
};

static int show_json(struct call *call, const char *type, const struct snap_watch *watch) {
    json_object *object = json_message(type);
    json_flag(object, "running", watch->running);
    if (watch->running) {
        json_text(object, "backend", snap_watch_backend_name(watch->backend));
        json_count(object, "pid", (uint64_t)watch->pid);
        json_count(object, "since", (uint64_t)watch->since);
        json_count(object, "watches", watch->watches);
        json_count(object, "uncovered", watch->uncovered);
        json_count(object, "lost", watch->lost);
        json_count(object, "events", watch->events);
        json_count(object, "noted", watch->noted);
    } else if (watch->ended[0]) {
        json_path(object, "ended", watch->ended);
    }
    return json_print(&call->out, object);
}

/* As limits are: a number that somebody would choose. */
static uint64_t enough(uint64_t directories) {
    uint64_t limit = 8192;
    while (limit < 2 * directories)
        limit *= 2;
    return limit;
}

static void show_running(struct out *out, const struct snap_watch *watch) {
    char time[FORMAT_SIZE];
    out_text(out, "watched by %s (pid %d) since %s\n", snap_watch_backend_name(watch->backend), (int)watch->pid,
             format_time((struct timespec){ .tv_sec = watch->since }, time));
    if (watch->backend == SNAP_WATCH_INOTIFY)
        out_text(out, "watches  %" PRIu64 " %s\n", watch->watches, plural(watch->watches, "directory", "directories"));
    out_text(out, "noted    %" PRIu64 " %s since the last take\n", watch->noted, plural(watch->noted, "change", "changes"));
    if (watch->lost)
        out_text(out, "lost     the queue overflowed %" PRIu64 " %s; each costs one whole comparison\n", watch->lost,
                 plural(watch->lost, "time", "times"));
    if (watch->uncovered)
        out_text(out, "missing  %" PRIu64 " %s not watched and compared each time; raise the limit:"
                 " sysctl -w fs.inotify.max_user_watches=%" PRIu64 "\n", watch->uncovered,
                 plural(watch->uncovered, "directory is", "directories are"), enough(watch->watches + watch->uncovered));
}

static int show_status(struct call *call, const char *type, const struct snap_watch *watch) {
    struct out *out = &call->out;
    if (call->globals.json)
        return show_json(call, type, watch);
    if (watch->running)
        show_running(out, watch);
    else
        out_text(out, "not watched\n");
    if (!watch->running && watch->ended[0]) {
        out_text(out, "the last watcher ended: ");
        out_path(out, watch->ended);
        out_text(out, "\n");
    }
    return 0;
}

static int run_status(struct call *call, struct snap_err *err) {
    struct snap_watch watch;
    int r = snap_watch_status(call->project, &watch, err);
    return r < 0 ? r : show_status(call, "watch status", &watch);
}

static int run_start(struct call *call, struct snap_err *err) {
    const struct watch_options *given = call->options;
    struct snap_watch watch;
    int r = snap_watch_start(&call->env, given->backend, err);
    if (r < 0 || (r = project_open(call, SNAP_OPEN_READ, err)) < 0 || (r = snap_watch_status(call->project, &watch, err)) < 0)
        return r;
    return call->globals.quiet && !call->globals.json ? 0 : show_status(call, "watch start", &watch);
}

static int run_stop(struct call *call, struct snap_err *err) {
    struct snap_watch watch;
    int r = snap_watch_stop(call->project, &watch, err);
    if (r < 0)
        return r;
    if (call->globals.json)
        return show_json(call, "watch stop", &watch);
    if (!call->globals.quiet)
        out_text(&call->out, watch.running ? "stopped the watcher (pid %d)\n" : "not watched\n", (int)watch.pid);
    return 0;
}

static int run_run(struct call *call, struct snap_err *err) {
    const struct watch_options *given = call->options;
    return snap_watch_run(call->project, given->backend, NULL, NULL, err);
}

#define WATCH_COMMON .usage = "", .group = "Capture", .manual = "snapctl-watch"

const struct cmd cmd_watch_start = {
    .name = "watch start", .summary = "Start a process that knows what changed", WATCH_COMMON,
    .options = options, .options_size = sizeof(struct watch_options), .run = run_start,
};
const struct cmd cmd_watch_stop = {
    .name = "watch stop", .summary = "Stop the watcher of this project", WATCH_COMMON, .needs_project = true, .open = SNAP_OPEN_READ,
    .run = run_stop,
};
const struct cmd cmd_watch_status = {
    .name = "watch status", .summary = "Show whether and how the project is watched", WATCH_COMMON, .needs_project = true,
    .open = SNAP_OPEN_READ, .run = run_status,
};
const struct cmd cmd_watch_run = {
    .name = "watch run", .summary = "Be the watcher, in the foreground", WATCH_COMMON, .options = options,
    .options_size = sizeof(struct watch_options), .needs_project = true, .open = SNAP_OPEN_READ, .run = run_run,
};
