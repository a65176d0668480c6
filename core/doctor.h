/* What doctor asks and how it tells. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "err.h"
#include <stdint.h>

struct doctor {
    snap_finding_fn fn;
    void *data;
    int ended;                 /* what fn returned once it ended the listing; then nothing more is told */
};
/* `format` makes the text; advice "" = nothing can or need be done. */
void doctor_tell(struct doctor *doctor, const char *topic, enum snap_check result, const char *advice, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Probes of a file system. fd: a directory in which unnamed files may be made; named: one in which named ones may, -1 = none. */
void probe_reflink(struct doctor *doctor, int project, int store);      /* between the two; store -1 = within the project's */
void probe_times(struct doctor *doctor, int fd);
void probe_leases(struct doctor *doctor, int fd);
void probe_xattrs(struct doctor *doctor, int fd);
void probe_whiteouts(struct doctor *doctor, int named);
/* Probes of the machine. */
void probe_fuse(struct doctor *doctor);
void probe_apparmor(struct doctor *doctor);
void probe_user_namespaces(struct doctor *doctor);
void probe_passthrough(struct doctor *doctor);
void probe_libgit2(struct doctor *doctor);
/* fd: the project's or any directory; directories: to be watched, 0 = not known. */
void probe_watching(struct doctor *doctor, int fd, uint64_t directories);
