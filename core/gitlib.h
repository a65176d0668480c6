/* libgit2, loaded when first needed: the functions this room uses, under their own names without `git_`.
 * A process that needs neither patches nor ignore rules never pays for it. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "err.h"
#include <git2.h>
#include <git2/sys/repository.h>

#define GIT2_FUNCTIONS(X) \
    X(libgit2_init) X(error_last) \
    X(config_new) X(config_free) \
    X(repository_new) X(repository_free) X(repository_set_config) \
    X(ignore_add_rule) X(ignore_path_is_ignored) \
    X(patch_from_buffers) X(patch_free) X(patch_get_hunk) X(patch_get_line_in_hunk) \
    X(patch_num_hunks) X(patch_num_lines_in_hunk) X(patch_line_stats) \
    X(diff_options_init) X(odb_hash) \
    X(merge_file) X(merge_file_result_free)

struct git2 {
#define GIT2_POINTER(name) __typeof__(git_##name) *name;
    GIT2_FUNCTIONS(GIT2_POINTER)
#undef GIT2_POINTER
};

/* The table, loaded once a process and never unloaded; thread-safe. -ENOSYS with a sentence if libgit2 is not here. */
int git2_load(const struct git2 **ret, struct snap_err *err);
/* The negative errno of a libgit2 result, with libgit2's own words. */
int git2_error(const struct git2 *git, int result, struct snap_err *err, const char *doing);
