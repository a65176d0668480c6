/* What pax's extended headers say of a member. Part of the tar reader; not a door of this room.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "archive_read_tar.h"

enum pax_given {
    PAX_SIZE = 1, PAX_UID = 2, PAX_GID = 4, PAX_MTIME = 8, PAX_REALSIZE = 16, PAX_MAJOR = 32, PAX_MINOR = 64,
    PAX_SPARSE = 128,          /* any GNU.sparse record that gives a map, or says that the data begins with one */
};
struct pax_xattr { char *name; void *value; size_t size; };
struct pax {
    unsigned given;            /* enum pax_given */
    char *path, *link;         /* NULL = not given */
    char *sparse_name;         /* the path of a sparse file; `path` is then a name for others */
    uint64_t size, uid, gid, realsize, major, minor;
    struct timespec mtime;
    uint64_t sparse_major;     /* 1: the map is in the data */
    struct untar_segment *segments;
    size_t count, room;
    bool half;                 /* an offset without its size yet */
    struct pax_xattr *xattrs;
    size_t xattrs_count, xattrs_room;
    char *acls[2];             /* access, default, as text */
};
void pax_done(struct pax *pax);
#define _pax_ _cleanup_(pax_done)

/* Adds the records of one header to what is known; later ones win. 0, -ENOMEM, or -EINVAL and what is wrong with it. */
int pax_parse(struct pax *pax, const char *text, size_t size, const char **ret_why);
/* The attributes, ACLs among them, packed into meta. *ret_dropped: static or NULL, as in untar_member. */
int pax_attributes(struct pax *pax, struct meta *meta, const char **ret_why, char **ret_dropped);
/* One more segment; they have to come in order and lie within 63 bits. -EINVAL, -ENOMEM. */
int pax_segment(struct pax *pax, uint64_t offset, uint64_t size);
/* Decimal digits and nothing else. -EINVAL */
int pax_number(const char *text, size_t size, uint64_t *ret);
