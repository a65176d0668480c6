/* tar, read: ustar, pax (POSIX.1-2001), GNU and old ones, member by member, with xattrs, ACLs and sparse files.
 * The input is hostile: every field is checked, what is read into memory is bounded, and nothing is guessed. Names and
 * targets are bytes, as they stand there; what a path may be and where it leads is the caller's business.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "archive_read.h"
#include "meta.h"

enum {
    UNTAR_BLOCK = 512,
    UNTAR_PATH_MAX = 65535,      /* bytes of a path or a target */
    UNTAR_HEADER_MAX = 1 << 20,  /* bytes of one extended header, or of a sparse file's map */
};

/* The block is the header of a member: its checksum is right. */
bool untar_is_header(const void *block);

struct untar_segment { uint64_t offset, size; };

struct untar_member {
    const char *path;          /* "x/y", "./x/", "/x", "../x": as it stands there */
    const char *link;          /* a hard link: to which path; else NULL */
    struct meta meta;          /* type, mode, owner, size, mtime, device, target, xattrs; links: of no use */
    const struct untar_segment *segments;    /* sparse files: where their data lies; NULL = all of it is data */
    size_t segments_count;
    const char *dropped;       /* an ACL that names somebody unknown here was left out: who; else NULL */
};

struct untar;
int untar_open(struct inflow *flow, struct untar **ret, struct snap_err *err);        /* the flow is borrowed */
struct untar *untar_close(struct untar *tar);                                           /* accepts NULL, returns NULL */
DEFINE_CLEANUP(struct untar *, untar_close)
#define _untar_ _cleanup_(untar_closep)
/* The next member: 1, or 0 at the end, when all of the input was read. *ret is the reader's until the next call. Whatever is
 * wrong with the archive is a failure that names the member. Data that was not asked for is passed over. */
int untar_next(struct untar *tar, const struct untar_member **ret, struct snap_err *err);
/* The content of the member, a regular file, into the empty file `to`; holes stay holes. Once. */
int untar_data(struct untar *tar, int to, struct snap_err *err);
/* Bytes other than zeros that followed the end of the archive. */
uint64_t untar_trailing(const struct untar *tar);
/* "'PATH' WHAT", the path escaped, and err->path. */
int untar_refuse(struct snap_err *err, int code, const char *path, const char *what, ...) __attribute__((format(printf, 4, 5)));
