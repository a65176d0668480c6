/* The FUSE server: one overlay on one mount point, until it is unmounted.
 * A thin adapter: requests become verbs of core/overlay/overlay.h. Knows nothing of stores, snapshots, projects.
 *
 * In a daemon everything is opened after the fork, so the order is:
 *
 *     static int serve(void *data, struct detach_ready *ready, struct snap_err *err) {
 *         ... overlay_open(...) ...
 *         options.ready = ready;
 *         r = mount_serve(&options, &end, err);        // returns when unmounted
 *         overlay_close(overlay);
 *         return r;
 *     }
 *     r = detach(serve, data, err);              // returns when the mount answers
 *     r = serve(data, NULL, err);                      // or in the foreground
 *
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "detach.h"
#include "err.h"
#include "overlay.h"

/* What may be kept, and how data travels. */
enum mount_flags {
    MOUNT_READ_ONLY = 1,           /* EROFS for every change, also for root */
    MOUNT_IMMUTABLE = 2,           /* with READ_ONLY: nothing ever changes. Cached without limit, files opened without asking */
    MOUNT_FROZEN = 4,              /* changes come through the mount only: names, attributes and data are cached without limit */
    MOUNT_WRITEBACK = 8,           /* with FROZEN: the kernel collects writes */
    MOUNT_FOLLOW = 64,             /* lower trees are followed (OVERLAY_FOLLOW): all is cached until the overlay tells that it changed */
    MOUNT_ALLOW_OTHER = 16,        /* other users too (unprivileged: user_allow_other in /etc/fuse.conf) */
    MOUNT_ALLOW_ROOT = 32,         /* root too */
    MOUNT_NO_ACCESS_CHECKS = 128,  /* leave out default_permissions: whoever reaches the mount may do what the daemon may */
    MOUNT_DEBUG = 256,             /* every request on standard error */
};

/* With FOLLOW: reading this xattr of the root returns when everything that was changed below before is seen. The value: in words and numbers,
 * "watches=N uncovered=N lost=N events=N" (struct overlay_following). */
#define MOUNT_BARRIER "user.snapctl.sync"

struct mount;
struct mount_options {
    struct overlay *overlay;       /* the caller's; stays open */
    const char *mountpoint;        /* a directory; may be the overlay's own lower directory */
    const char *source;            /* first field of /proc/self/mounts; NULL = the subtype */
    const char *subtype;           /* type fuse.SUBTYPE; NULL = "snapctl" */
    unsigned flags;                /* enum mount_flags */
    const char *options;           /* what else mount(8) and FUSE understand after -o, comma-separated ("nodev,noatime"); NULL = none */
    unsigned threads;              /* 0 = as many as suit */
    struct detach_ready *ready;     /* who waits for the mount to answer; NULL = nobody */
    /* Called once the mount answers, before `ready` is told. `mount` lives until mount_serve returns. A failure unmounts. NULL = nothing to do. */
    int (*on_ready)(void *data, struct mount *mount, struct snap_err *err);
    /* Called after that, once, when the end has come and requests are still answered. NULL = nothing to do. */
    void (*on_end)(void *data);
    /* Called every few seconds, from a thread of its own: 0 = what is served has gone away (the layers were removed): unmount. NULL = never asked. */
    int (*still_there)(void *data);
    void (*log)(void *data, const char *sentence);
    void *data;
};

enum mount_end {
    MOUNT_UNMOUNTED = 0,           /* by umount(8), fusermount3 -u, or an aborted connection */
    MOUNT_STOPPED,                 /* by SIGTERM, SIGINT, SIGHUP or mount_stop */
    MOUNT_GONE,                    /* still_there said so */
};
/* Mounts, serves and unmounts. The process's SIGTERM, SIGINT, SIGHUP end it cleanly; a signal that was ignored stays ignored. 0, or
 * why it could not be mounted or served. *ret_end may be NULL. */
int mount_serve(const struct mount_options *options, enum mount_end *ret_end, struct snap_err *err);

/* From other threads, never from inside a verb of the overlay and with no lock held that one takes. Each returns 0 or a negative errno;
 * an object or name that the kernel does not know is a success. */
int mount_stop(struct mount *mount);                                           /* as SIGTERM does */
int mount_flush(struct mount *mount, uint64_t node);                           /* what was written is in the layers when it returns */
int mount_forget_data(struct mount *mount, uint64_t node);                     /* attributes and data are asked for again */
int mount_forget_attributes(struct mount *mount, uint64_t node);
int mount_forget_name(struct mount *mount, uint64_t parent, const char *name); /* looked up again, also where it was absent */
int mount_expire_name(struct mount *mount, uint64_t parent, const char *name); /* as before, but who uses what it shows goes on; -ENOENT */
int mount_forget_names(struct mount *mount);                                   /* all of them; -ENOSYS where the kernel cannot (before 6.16) */

/* For who captures the layers: what was written before is in them when it returns, and nothing changes until mount_release. What
 * would change something waits. Only for FROZEN mounts; one at a time. */
int mount_hold(struct mount *mount);
void mount_release(struct mount *mount);

/* Ends the mount from outside: as umount(8), else fusermount3 -u; `lazy`: also where it is busy, once it no longer is. 0 or -EBUSY,
 * -EINVAL (not a mount point), ... */
int mount_end_at(const char *mountpoint, bool lazy, struct snap_err *err);
