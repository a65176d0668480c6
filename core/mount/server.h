/* The inside of a mount: what its files share. Not a door. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 14)
#include "mount.h"
#include "open_files.h"
#include "protocol.h"

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>

struct worker {
    struct mount *mount;
    struct worker *next;
    pthread_t thread;
    struct fuse_buf request;       /* the raw request that is being answered */
    void *reply;                   /* room for an answer, REPLY_ROOM, made when first wanted */
};

/* A listing that is being read without a handle, for the request that asks for what follows. */
struct kept_listing { uint64_t node; struct overlay_handle *handle; };

enum { KEPT_LISTINGS = 8 };

/* Which requests wait. The mutex is a leaf. */
enum gate_closed { GATE_OPEN = 0, GATE_ORDERS /* those that order data */, GATE_SHUT /* all that change something */ };
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum gate_closed closed;
    unsigned inside;               /* requests that change something, and are being answered */
    bool over;                     /* the mount ends: nobody waits any more */
};

struct mount {
    const struct mount_options *options;
    struct overlay *overlay;
    struct fuse_session *session;
    char *point;                   /* absolute */
    dev_t device;                  /* st_dev of what is mounted; 0 = does not answer yet */
    double keep;                   /* seconds for which names and attributes are kept */
    double keep_absent;            /* and that a name is absent */
    struct follow *follow;         /* NULL: nothing is followed */
    bool immutable, frozen;
    bool openless;                 /* OPEN is never asked for: requests name the object alone */
    bool passthrough;              /* the kernel takes backing files */
    int device_fd;

    struct gate gate;
    struct open_files *files;      /* those of requests that bring no handle */
    uint64_t init_unique, offered; /* of INIT: its number, and what the kernel can do */
    atomic_bool initialised;

    pthread_mutex_t lock;          /* what follows. A leaf */
    struct kept_listing kept[KEPT_LISTINGS];
    unsigned kept_next;
    struct worker *workers;
    unsigned worker_count, worker_limit;
    unsigned parked, promoted;     /* threads that wait to be needed; how many of them were called */
    pthread_cond_t call;           /* somebody is */
    atomic_uint reading;           /* threads that wait for a request */
    atomic_uint wanted;            /* as many of them are enough */
    atomic_uint done;              /* requests answered; it may wrap */
    pthread_t watch;
    pthread_cond_t wake;
    atomic_bool watch_sleeps;
    int end_event;                 /* eventfd: a worker saw the end, or somebody asks for it */
    int failure;                   /* why the loop ended, negative errno */
    bool stop, watched;
};

enum { REPLY_ROOM = 1 << 20, KEEP_FOR_EVER = 1000000000, KEEP_ABSENT_S = 1 };

/* The calling thread's request. */
extern __thread struct worker *current;
static inline const struct fuse_in_header *request_header(void) { return current->request.mem; }
static inline const void *request_body(void) { return request_header() + 1; }
/* REPLY_ROOM bytes for the answer of this thread's request; NULL: no memory. */
void *reply_room(void);

/* loop.c */
int loop_start(struct mount *mount, struct snap_err *err);
void loop_join(struct mount *mount);               /* ends the threads, however long they would still wait for requests */
void loop_end(struct mount *mount, int failure);   /* tells who serves that it is over */
int loop_create_thread(pthread_t *thread, void *(*run)(void *), void *data);     /* one that gets no signals */
void loop_step_aside(struct mount *mount, bool begin);   /* around what waits for other requests: one thread more may answer them */

/* follow.c: with MOUNT_FOLLOW */
int follow_new(struct mount *mount);               /* before the first request */
int follow_start(struct mount *mount, struct snap_err *err);
void follow_stop(struct mount *mount);             /* while requests are still answered */
void follow_free(struct mount *mount);
void follow_barrier(struct mount *mount, fuse_req_t request, size_t room);       /* answers it */

/* gate.c */
bool gate_enter(struct mount *mount, uint32_t opcode);   /* may wait; true: gate_leave once it is answered */
void gate_leave(struct mount *mount);
void gate_end(struct mount *mount);                /* lets everybody through from now on */

/* init.c */
int init_arguments(const struct mount *mount, struct fuse_args *args);
void init_connection(void *data, struct fuse_conn_info *connection);
int init_io(struct mount *mount, struct snap_err *err);

/* For how long, of what a verb gave. */
static inline double keep_for(const struct mount *mount, const struct overlay_entry *entry, unsigned what) {
    return !mount->follow ? mount->keep : entry->keep & what ? KEEP_FOR_EVER : 0;
}

/* What a verb gave, as the protocol has it. */
void entry_to_param(const struct mount *mount, const struct overlay_entry *entry, struct fuse_entry_param *ret);
void entry_to_wire(const struct mount *mount, const struct overlay_entry *entry, struct fuse_entry_out *ret);
void attr_to_wire(const struct overlay_entry *entry, struct fuse_attr *ret);
struct overlay_caller caller_of(fuse_req_t request);
/* Files: those flags of open(2) that are for the layers; and what a request finds a handle by, which it takes: the handle itself, or
 * 0 where it is found by the object, since a kernel that never asks for OPEN does not tell of the last close either. */
int backing_flags(const struct mount *mount, int flags);
int hand_out(const struct mount *mount, uint64_t node, struct overlay_handle *handle, uint64_t *ret);
void take_back(const struct mount *mount, uint64_t node, uint64_t given);
/* What programs wrote and the kernel still has is in the layers when it returns. Another thread answers meanwhile. */
int flush_inside(struct mount *mount, uint64_t node);

/* The same for all files whose data went through the mount since the last time; from a thread that answers nothing. */
int flush_read_files(struct mount *mount);

/* answers.c: requests that libfuse does not know; true = it was one, and it is answered. */
bool answer_raw(struct mount *mount, const struct fuse_buf *request);

/* names.c, files.c, attributes.c, listing.c */
void names_operations(struct fuse_lowlevel_ops *operations);
void files_operations(struct fuse_lowlevel_ops *operations);
void attributes_operations(struct fuse_lowlevel_ops *operations);
void listing_operations(struct fuse_lowlevel_ops *operations);
void listings_done(struct mount *mount);

static inline struct mount *mount_of(fuse_req_t request) { return fuse_req_userdata(request); }
static inline void reply_result(fuse_req_t request, int result) { (void)fuse_reply_err(request, result < 0 ? -result : 0); }

/* unmount.c */
int unmount_here(const struct mount *mount, bool lazy);
