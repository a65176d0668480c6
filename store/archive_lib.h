/* libarchive, loaded when first needed: the functions this room uses, under their own names. Part of store/archive*; not a
 * door of this room. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "err.h"
#include <archive.h>
#include <archive_entry.h>

#define ARCHIVE_FUNCTIONS(X) \
    X(archive_errno) X(archive_error_string) X(archive_set_error) \
    X(archive_read_new) X(archive_read_free) X(archive_read_open) X(archive_read_next_header) X(archive_read_data_block) \
    X(archive_read_support_format_raw) X(archive_read_support_filter_bzip2) X(archive_read_support_filter_compress) \
    X(archive_read_support_filter_lz4) X(archive_read_support_filter_lzip) \
    X(archive_read_support_filter_lzma) X(archive_read_support_filter_xz) X(archive_read_support_filter_zstd) \
    X(archive_write_new) X(archive_write_free) X(archive_write_open) X(archive_write_close) \
    X(archive_write_set_format_raw) X(archive_write_set_bytes_per_block) X(archive_write_set_bytes_in_last_block) \
    X(archive_write_add_filter_gzip) X(archive_write_add_filter_xz) X(archive_write_add_filter_zstd) \
    X(archive_write_set_filter_option) X(archive_write_header) X(archive_write_data) \
    X(archive_entry_new) X(archive_entry_free) X(archive_entry_set_filetype)

struct archive_lib {
#define ARCHIVE_POINTER(name) __typeof__(name) *name;
    ARCHIVE_FUNCTIONS(ARCHIVE_POINTER)
#undef ARCHIVE_POINTER
};

/* The table, loaded once a process and never unloaded; thread-safe. -ENOSYS with a sentence if libarchive is not here. */
int archive_lib_load(const struct archive_lib **ret, struct snap_err *err);
/* "cannot DOING: libarchive's own words", and the negative errno of what `archive` failed with; never >= 0. */
int archive_lib_error(const struct archive_lib *lib, struct archive *archive, struct snap_err *err, const char *doing);
