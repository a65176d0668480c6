/* Mounts and workspaces as rows, as text and as JSON. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"

void mounts_show_text(struct out *out, const struct snap_mount *mount);          /* a line */
void mounts_add_json(json_object *object, const struct snap_mount *mount);      /* its fields */

struct mounts { struct call *call; uint64_t count; };
int mounts_show(void *data, const struct snap_mount *mount);             /* a row of a listing; data is a struct mounts */
int mounts_show_done(void *data, const struct snap_mount *mount);        /* it answers now; data is the struct call */
/* Who uses a snapshot, gathered from snap_users: `workspace "try" on /x, the view on /y`, or an array of the rows; data is a
 * struct users. */
struct users { json_object *array; struct buf text; };      /* array NULL: as text */
void users_done(struct users *users);
#define _users_ _cleanup_(users_done)
int users_find(struct call *call, int64_t snapshot, struct users *ret, struct snap_err *err);
/* The end of a listing: its object of this type, or, if it was empty, this sentence. */
int mounts_end(const struct mounts *mounts, const char *type, const char *empty);
