/* Which paths a project leaves out: .snapctlignore in gitignore syntax, matched by libgit2, which is loaded only when
 * there is such a file. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include "err.h"
#include <stdbool.h>

#define IGNORE_FILE ".snapctlignore"

struct ignore;
/* From the file's text; NULL in *ret (and 0) where it has no rule. -ENOSYS with a sentence if libgit2 cannot be loaded. */
int ignore_new(const char *text, size_t size, struct ignore **ret, struct snap_err *err);
int ignore_load(int rootfd, struct ignore **ret, struct snap_err *err);    /* from the file in a directory; none there: NULL */
struct ignore *ignore_free(struct ignore *ignore);
DEFINE_CLEANUP(struct ignore *, ignore_free)
#define _ignore_ _cleanup_(ignore_freep)
/* Whether this entry itself is left out, given that its parents are not. Thread-safe; ignore may be NULL (false). */
bool ignore_matches(struct ignore *ignore, const char *path, bool is_directory);
/* Whether the path or any of its parents is left out. */
bool ignore_covers(struct ignore *ignore, const char *path, bool is_directory);
