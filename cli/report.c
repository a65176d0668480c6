/* Errors and notices: sentences on stderr, objects with --json.
 * Decides nothing but the exit code. SPDX-License-Identifier: GPL-2.0-or-later */
#include "report.h"

#include "json.h"
#include "quote.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int report_code(const struct snap_err *err) {
    switch (err->failure) {
    case SNAP_FAILURE_GENERIC:
    case SNAP_FAILURE_USAGE: return EXIT_FAILED;
    case SNAP_FAILURE_CONFLICT: return EXIT_CONFLICT;
    case SNAP_FAILURE_DAMAGE: return EXIT_DAMAGE;
    case SNAP_FAILURE_NO_PROJECT: return EXIT_NO_PROJECT;
    case SNAP_FAILURE_LOCKED: return EXIT_LOCKED;
    case SNAP_FAILURE_INTERRUPTED: return EXIT_INTERRUPTED;
    }
    return EXIT_FAILED;
}

static const char *failure_name(enum snap_failure failure) {
    switch (failure) {
    case SNAP_FAILURE_GENERIC: return "generic";
    case SNAP_FAILURE_USAGE: return "usage";
    case SNAP_FAILURE_CONFLICT: return "conflict";
    case SNAP_FAILURE_DAMAGE: return "damage";
    case SNAP_FAILURE_NO_PROJECT: return "no_project";
    case SNAP_FAILURE_LOCKED: return "locked";
    case SNAP_FAILURE_INTERRUPTED: return "interrupted";
    }
    return "generic";
}

void report_json(struct call *call, const struct snap_err *err, int code) {
    json_object *object = json_message("error");
    json_number(object, "code", code);
    json_text(object, "failure", failure_name(err->failure));
    json_path(object, "message", err->message);
    if (err->path[0])
        json_path(object, "path", err->path);
    if (err->hint[0])
        json_path(object, "hint", err->hint);
    (void)json_print(&call->out, object);
}

void report_text(const struct snap_err *err) {
    (void)fprintf(stderr, "snapctl: %s\n", err->message[0] ? err->message : strerror(-err->code));
    if (err->hint[0])
        (void)fprintf(stderr, "hint: %s\n", err->hint);
}

static const char *notice_name(enum snap_notice kind) {
    switch (kind) {
    case SNAP_NOTICE_INFO: return "info";
    case SNAP_NOTICE_RECOVERED: return "recovered";
    case SNAP_NOTICE_FAILED_PATH: return "failed_path";
    case SNAP_NOTICE_CONFLICT: return "conflict";
    }
    return "info";
}

static void notice_json(struct call *call, enum snap_notice kind, const char *path, const char *text) {
    json_object *object = json_message("notice");
    json_text(object, "kind", notice_name(kind));
    if (path)
        json_path(object, "path", path);
    json_path(object, "text", text);
    (void)json_print(&call->out, object);
}

static void notice_text(struct call *call, enum snap_notice kind, const char *path, const char *text) {
    _buf_ struct buf line = {0};
    buf_str(&line, "snapctl: ");
    if (kind == SNAP_NOTICE_RECOVERED)
        buf_str(&line, "recovered: ");
    if (kind == SNAP_NOTICE_CONFLICT)
        buf_str(&line, "conflict: ");
    if (path) {
        buf_char(&line, '\'');
        quote_display(&line, path, strlen(path));
        buf_str(&line, "': ");
    }
    buf_str(&line, text);
    buf_char(&line, '\n');
    progress_erase(&call->out.progress);
    if (!line.failed)
        (void)fwrite(line.data, 1, line.size, stderr);
}

void report_notice(void *data, enum snap_notice kind, const char *path, const char *text) {
    struct call *call = data;
    bool failure = kind == SNAP_NOTICE_FAILED_PATH || kind == SNAP_NOTICE_CONFLICT;
    if (call->globals.quiet && !failure)
        return;
    if (call->globals.json)
        notice_json(call, kind, path, text);
    else
        notice_text(call, kind, path, text);
}

void report_progress(void *data, const struct snap_progress *progress) {
    struct call *call = data;
    progress_tell(&call->out.progress, progress);
}

void report_say(struct call *call, const char *format, ...) {
    if (call->globals.quiet || call->globals.json)
        return;
    progress_erase(&call->out.progress);
    va_list args;
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
}
