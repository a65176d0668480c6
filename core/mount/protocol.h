/* The kernel's protocol where the headers of Debian 12 are older than it: linux/fuse.h from 7.39 on.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <linux/fuse.h>
#include <sys/ioctl.h>

enum {
    PROTOCOL_STATX = 52,                          /* an opcode, 7.39 */
    PROTOCOL_NOTIFY_INC_EPOCH = 8,                /* 7.44 */
    PROTOCOL_EXPIRE_ONLY = 1,                     /* FUSE_EXPIRE_ONLY, 7.38 */
    PROTOCOL_OPEN_PASSTHROUGH = 1 << 7,           /* FOPEN_PASSTHROUGH, 7.40 */
};
#define PROTOCOL_INIT_PASSTHROUGH (1ULL << 37)

struct protocol_init_out {                        /* fuse_init_out of 7.40 */
    uint32_t major, minor, max_readahead, flags;
    uint16_t max_background, congestion_threshold;
    uint32_t max_write, time_gran;
    uint16_t max_pages, map_alignment;
    uint32_t flags2, max_stack_depth, unused[6];
};

struct protocol_open_out {                        /* fuse_open_out of 7.40 */
    uint64_t fh;
    uint32_t open_flags;
    int32_t backing_id;
};

struct protocol_inval_entry { uint64_t parent; uint32_t namelen, flags; };       /* fuse_notify_inval_entry_out of 7.38 */
struct protocol_backing_map { int32_t fd; uint32_t flags; uint64_t padding; };
#define PROTOCOL_BACKING_OPEN _IOW(229, 1, struct protocol_backing_map)
#define PROTOCOL_BACKING_CLOSE _IOW(229, 2, uint32_t)

struct protocol_statx_in { uint32_t getattr_flags, reserved; uint64_t fh; uint32_t flags, mask; };
struct protocol_time { int64_t seconds; uint32_t nanoseconds; int32_t reserved; };
struct protocol_statx {
    uint32_t mask, blksize;
    uint64_t attributes;
    uint32_t nlink, uid, gid;
    uint16_t mode, spare0;
    uint64_t ino, size, blocks, attributes_mask;
    struct protocol_time atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t spare2[14];
};
struct protocol_statx_out {
    uint64_t attr_valid;
    uint32_t attr_valid_nsec, flags;
    uint64_t spare[2];
    struct protocol_statx stat;
};
_Static_assert(sizeof(struct protocol_init_out) == 64, "as the kernel has it");
_Static_assert(sizeof(struct protocol_statx) == 256, "as the kernel has it");
