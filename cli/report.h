/* Errors and notices. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "cmd.h"

/* The failure as the exit code. */
int report_code(const struct snap_err *err);
/* The object of --json, on stdout. */
void report_json(struct call *call, const struct snap_err *err, int code);
/* The sentence and the hint, on stderr. */
void report_text(const struct snap_err *err);
/* snap_env.notice and snap_env.progress, with the struct call as data. */
void report_notice(void *data, enum snap_notice kind, const char *path, const char *text);
void report_progress(void *data, const struct snap_progress *progress);
/* A sentence for people about what was done; nothing with -q or --json. */
void report_say(struct call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
