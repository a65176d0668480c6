/* Requests that libfuse 3.14 does not know, read and answered as the protocol has them: TMPFILE and STATX.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

static int reply(const struct mount *mount, const struct fuse_in_header *header, int error, const void *data, size_t size) {
    struct fuse_out_header out = { .unique = header->unique, .error = error, .len = (uint32_t)(sizeof(out) + (error ? 0 : size)) };
    struct iovec iov[2] = { { &out, sizeof(out) }, { (void *)(uintptr_t)data, size } };
    return writev(mount->device_fd, iov, error ? 1 : 2) < 0 ? -errno : 0;
}

void entry_to_wire(const struct mount *mount, const struct overlay_entry *entry, struct fuse_entry_out *ret) {
    *ret = (struct fuse_entry_out){ .nodeid = entry->node, .generation = entry->generation,
                                    .entry_valid = (uint64_t)keep_for(mount, entry, OVERLAY_KEEP_NAME),
                                    .attr_valid = (uint64_t)keep_for(mount, entry, OVERLAY_KEEP_ATTRIBUTES) };
    attr_to_wire(entry, &ret->attr);
}

struct tmpfile_answer {
    struct fuse_entry_out entry;
    struct fuse_open_out open;
};

static void answer_tmpfile(struct mount *mount, const struct fuse_in_header *header) {
    const struct fuse_create_in *in = (const struct fuse_create_in *)(header + 1);
    struct overlay_caller caller = { .uid = header->uid, .gid = header->gid, .pid = (pid_t)header->pid, .umask = in->umask };
    struct overlay_handle *handle = NULL;
    struct tmpfile_answer answer = {0};
    struct overlay_entry entry;
    int flags = backing_flags(mount, (int)in->flags & ~O_TMPFILE);
    int r = overlay_tmpfile(mount->overlay, &caller, header->nodeid, in->mode, flags, &entry, &handle);
    if (r == 0 && (r = hand_out(mount, entry.node, handle, &answer.open.fh)) < 0)
        overlay_forget(mount->overlay, entry.node, 1);
    if (r < 0) {
        (void)reply(mount, header, r, NULL, 0);
        return;
    }
    entry_to_wire(mount, &entry, &answer.entry);
    answer.open.open_flags = mount->frozen || mount->follow ? FOPEN_KEEP_CACHE : 0;
    if (reply(mount, header, 0, &answer, sizeof(answer)) == 0)
        return;
    take_back(mount, entry.node, answer.open.fh);
    overlay_forget(mount->overlay, entry.node, 1);
}

static struct protocol_time time_of(const struct timespec *time) {
    return (struct protocol_time){ .seconds = time->tv_sec, .nanoseconds = (uint32_t)time->tv_nsec };
}

static void fill_statx(const struct overlay_entry *entry, struct protocol_statx *ret) {
    const struct stat *stat = &entry->stat;
    *ret = (struct protocol_statx){
        .mask = STATX_BASIC_STATS | (entry->birth.tv_sec || entry->birth.tv_nsec ? STATX_BTIME : 0),
        .blksize = (uint32_t)stat->st_blksize, .nlink = (uint32_t)stat->st_nlink, .uid = stat->st_uid, .gid = stat->st_gid,
        .mode = (uint16_t)stat->st_mode, .ino = stat->st_ino, .size = (uint64_t)stat->st_size, .blocks = (uint64_t)stat->st_blocks,
        .atime = time_of(&stat->st_atim), .mtime = time_of(&stat->st_mtim), .ctime = time_of(&stat->st_ctim), .btime = time_of(&entry->birth),
        .rdev_major = major(stat->st_rdev), .rdev_minor = minor(stat->st_rdev),
    };
}

static void answer_statx(struct mount *mount, const struct fuse_in_header *header) {
    const struct protocol_statx_in *in = (const struct protocol_statx_in *)(header + 1);
    struct overlay_handle *handle = in->getattr_flags & FUSE_GETATTR_FH ? (struct overlay_handle *)(uintptr_t)in->fh : NULL;
    struct protocol_statx_out answer = {0};
    struct overlay_entry entry;
    int r = overlay_getattr(mount->overlay, header->nodeid, handle, &entry);
    if (r == 0) {
        answer.attr_valid = (uint64_t)keep_for(mount, &entry, OVERLAY_KEEP_ATTRIBUTES);
        fill_statx(&entry, &answer.stat);
    }
    (void)reply(mount, header, r, &answer, sizeof(answer));
}

/* allow_root is allow_other for the kernel; who is not root is refused here, as libfuse does. */
static bool is_allowed(const struct mount *mount, const struct fuse_in_header *header) {
    return !(mount->options->flags & MOUNT_ALLOW_ROOT) || header->uid == 0 || header->uid == getuid();
}

bool answer_raw(struct mount *mount, const struct fuse_buf *request) {
    const struct fuse_in_header *header = request->mem;
    size_t size = request->size - sizeof(*header);
    if (request->flags & FUSE_BUF_IS_FD || !atomic_load_explicit(&mount->initialised, memory_order_relaxed))
        return false;
    if (!is_allowed(mount, header) && (header->opcode == FUSE_TMPFILE || header->opcode == PROTOCOL_STATX))
        (void)reply(mount, header, -EACCES, NULL, 0);
    else if (header->opcode == FUSE_TMPFILE && size >= sizeof(struct fuse_create_in))
        answer_tmpfile(mount, header);
    else if (header->opcode == PROTOCOL_STATX && size >= sizeof(struct protocol_statx_in))
        answer_statx(mount, header);
    else
        return false;
    return true;
}
