/* Running mounts: a record each in STORE/run/mounts, locked by the process that serves it for as long as it runs. So who
 * looks sees which are served, and whoever unmounts can wait for the process's end.
 * Mounts nothing, unmounts nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include "store.h"
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

struct mounted {
    int64_t id;                /* of the record */
    int64_t snapshot;          /* shown, or stood on; 0 = the project as it is */
    int64_t workspace;         /* 0 = a view */
    pid_t pid;
    struct timespec since;
    char *dir;                 /* absolute */
    int below;                 /* a descriptor that its process has, of the directory of the project; -1 = none */
    bool served;               /* its process runs */
};
void mounted_done(struct mounted *mounted);
#define _mounted_ _cleanup_(mounted_done)

/* Adds the record of this process; fills id, pid and, if it is 0, since. The descriptor holds its lock: close it by mounted_end. */
int mounted_begin(struct store *store, struct mounted *mounted, int *ret_fd, struct snap_err *err);
void mounted_end(struct store *store, const struct mounted *mounted, int fd);   /* the record goes, and its log if that is empty */
/* Where the process writes what deserves a sentence: STORE/run/mounts/<id>.log, emptied. Descriptor for appending. */
int mounted_log(struct store *store, int64_t id, struct snap_err *err);

/* Where the process answers who captures what it serves. The address is valid while the descriptor that is returned is open. */
int mounted_address(struct store *store, int64_t id, struct sockaddr_un *ret);

typedef int (*mounted_fn)(void *data, const struct mounted *mounted);          /* > 0 ends */
int mounted_list(struct store *store, mounted_fn fn, void *data, struct snap_err *err);         /* by id; fn may change them */
int mounted_forget(struct store *store, int64_t id, struct snap_err *err);     /* of one that nobody serves; else nothing happens */

/* Absolute path of a record, by which it is found without its store. */
int mounted_path(struct store *store, int64_t id, struct buf *ret);
/* What the record says, and the path of its store (the caller frees both): 1 found, 0 it is no record. */
int mounted_find(const char *path, struct mounted *ret, char **ret_store);
int mounted_is_served(const char *path);                 /* 1 = the process of the record runs, 0 = not, or it is no record */
/* Waits until the process of the record has ended, and removes what it left; a record that is gone is one that ended.
 * -ECANCELED once *cancel is set. */
int mounted_wait(const char *path, const volatile sig_atomic_t *cancel, struct snap_err *err);
