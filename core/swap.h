/* The inside of a swap, shared by the files that make it: swap_reach.c (directories), swap_clear.c (what goes or makes way),
 * swap.c (steps and how they are taken back, what comes, metadata, the order), swap_tell.c (what a failure means).
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "work.h"

/* swap_tell.c */
void swap_tell(struct work *work, const struct plan_row *row, const char *text);         /* the row was not done; it is not marked */
/* Somebody changed the entry: an answer for all when the work is new; when it goes on after a crash, the entry stays. */
int swap_changed(struct work *work, struct plan_row *row, struct snap_err *err);
int swap_fatal(struct plan_row *row, int code, const char *doing, struct snap_err *err);
bool swap_is_change(int code);                            /* an errno that somebody else's change gives */
bool swap_is_about_path(int code);                        /* others can be done */
int swap_judge(struct work *work, struct plan_row *row, int code, const char *doing, struct snap_err *err);     /* what a failed change means */

/* swap_reach.c */
int swap_identify(struct work *work, struct plan_dir *dir);           /* which inode it was, as far as the live index knows */
int swap_chmod(int fd, uint32_t mode);                    /* also by a descriptor that only holds a place */
void swap_forget_place(struct plan_dir *dir, bool after);             /* it was moved away, or back; accepts NULL */

/* swap.c: steps */
/* Before a step in the row's directory, open as `fd`: it can be remembered, and is permitted. The point is a test's. */
int swap_ready(struct work *work, struct plan_row *row, int fd, const char *point);
void swap_remember(struct work *work, enum step_kind kind, bool after, struct plan_row *row);
int swap_rename(int from, const char *old, int to, const char *new, unsigned flags);
bool swap_is_missing(int code);                           /* the file system does not know such flags */
int swap_back_one(struct work *work);                     /* the newest step, and its row with it: it did not happen */

/* swap_clear.c */
int swap_clear_file(struct work *work, struct plan_row *row, bool after, struct snap_err *err);
int swap_clear_dir(struct work *work, struct plan_row *row, struct snap_err *err);
int swap_displace_file(struct work *work, struct plan_row *row, bool after, int fd, const struct statx *stat, bool sure, struct snap_err *err);
/* After a crash: an entry that is not as it was before. */
int swap_already(struct work *work, struct plan_row *row, int fd, enum inspected found, struct snap_err *err);
/* Looks at what was displaced: nobody reaches it by a name any more. */
bool swap_was_changed(struct work *work, const struct plan_row *row, int dirfd, const char *name, const struct statx *before, bool sure);
int swap_undo_changed(struct work *work, struct plan_row *row, struct snap_err *err);    /* so it goes back */
