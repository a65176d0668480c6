/* Mounts and workspaces as rows, as text and as JSON. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"

struct mounts { struct call *call; uint64_t count; };
int mounts_show(void *data, const struct snap_mount *mount);             /* a row of a listing; data is a struct mounts */
int mounts_show_done(void *data, const struct snap_mount *mount);        /* it answers now; data is the struct call */
/* The end of a listing: its object of this type, or, if it was empty, this sentence. */
int mounts_end(const struct mounts *mounts, const char *type, const char *empty);
