/* Errors: one sentence on the caller's stack, and a negative errno.
 * Never prints, never allocates. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "snapctl.h"

/* Each returns the code, so that a failure is one line: return err_set(err, -EINVAL, "...").
 * `err` may be NULL. The sentence of err_set has no cause appended; err_errno appends strerror(-code).
 * A code >= 0 is a programming error and becomes -EIO. */
int err_set(struct snap_err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
int err_errno(struct snap_err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* err_errno about a path: "cannot FORMAT 'PATH': cause"; remembers the raw path; the message shows it escaped. */
int err_path(struct snap_err *err, int code, const char *path, const char *doing, ...) __attribute__((format(printf, 4, 5)));
/* Puts "FORMAT: " before the sentence that stands there; keeps code, path and hint. Returns err->code. */
int err_wrap(struct snap_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
int err_hint(struct snap_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));   /* returns err->code */
int err_failure(struct snap_err *err, enum snap_failure failure);                                    /* returns err->code */
/* The store is damaged: -EUCLEAN, SNAP_FAILURE_DAMAGE, and the hint that holds whatever it is. */
int err_damage(struct snap_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
int err_nomem(struct snap_err *err);                                                                 /* -ENOMEM */
