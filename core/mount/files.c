/* Requests about files that are open. A request without a handle, where OPEN is never asked for, finds the file by its object.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

#include <fcntl.h>
#include <string.h>

static struct overlay_handle *handle_of(const struct fuse_file_info *info) { return (struct overlay_handle *)(uintptr_t)info->fh; }

/* An open file for the time of one request. */
struct use {
    const struct mount *mount;
    struct overlay_handle *handle;
    struct open_file *file;               /* NULL = the request brought its handle */
};

static int use_begin(const struct mount *mount, uint64_t node, uint64_t brought, bool write, struct use *ret) {
    *ret = (struct use){ .mount = mount, .handle = (struct overlay_handle *)(uintptr_t)brought };
    if (brought)
        return 0;
    if (!mount->files)
        return -EBADF;
    int r = open_file_get(mount->files, node, write, &ret->file);
    if (r == 0)
        ret->handle = open_file_handle(ret->file);
    return r;
}

static void use_end(struct use *use) {
    if (use->file)
        open_file_put(use->mount->files, use->file);
    use->file = NULL;
}
#define _use_ _cleanup_(use_end)

/* The kernel pads and merges: with its writeback cache it reads where a program only writes, and appends by itself. Its direct
 * transfers are not aligned as the file system below may want. */
int backing_flags(const struct mount *mount, int flags) {
    flags &= ~(O_CREAT | O_EXCL | O_NOCTTY | O_DIRECT);
    if (mount->openless)                  /* it serves whoever opens it later, too */
        return O_RDWR | (flags & O_TRUNC);
    if (!(mount->options->flags & MOUNT_WRITEBACK))
        return flags;
    if ((flags & O_ACCMODE) == O_WRONLY)
        flags = (flags & ~O_ACCMODE) | O_RDWR;
    return flags & ~O_APPEND;
}

int hand_out(const struct mount *mount, uint64_t node, struct overlay_handle *handle, uint64_t *ret) {
    *ret = mount->openless ? 0 : (uintptr_t)handle;
    int r = mount->openless ? open_files_keep(mount->files, node, handle) : 0;
    if (r < 0)
        overlay_release(mount->overlay, handle);
    return r;
}

int flush_inside(struct mount *mount, uint64_t node) {
    loop_step_aside(mount, true);
    int r = mount_flush(mount, node);
    loop_step_aside(mount, false);
    return r;
}

/* The kernel did not take the answer. */
void take_back(const struct mount *mount, uint64_t node, uint64_t given) {
    if (given)
        overlay_release(mount->overlay, (struct overlay_handle *)(uintptr_t)given);
    else
        open_files_drop(mount->files, node);
}

static void keep_pages(const struct mount *mount, struct fuse_file_info *info) {
    info->keep_cache = mount->frozen || mount->immutable || mount->follow;
}

/* What is opened is as new as it can be: what happened to it is told later by another thread, which the kernel need not wait for. To
 * forget attributes takes no lock there. */
static void keep_opened(struct mount *mount, uint64_t node, const struct overlay_handle *handle, struct fuse_file_info *info) {
    keep_pages(mount, info);
    if (!mount->follow || overlay_kept(handle) & OVERLAY_KEEP_DATA)
        return;
    info->keep_cache = 0;
    (void)mount_forget_attributes(mount, node);    /* fails only where there is nobody to tell */
}

/* With O_TRUNC: programs that may not keep suid and capabilities make them go. */
static int drop_privileges(fuse_req_t request, uint64_t node) {
    struct overlay_caller caller = caller_of(request);
    struct overlay_entry entry;
    const struct fuse_open_in *in = request_body();
    if (!(in->open_flags & FUSE_OPEN_KILL_SUIDGID))
        return 0;
    return overlay_setattr(mount_of(request)->overlay, &caller, node, NULL, &(struct stat){0}, OVERLAY_KILL_SUID, &entry);
}

static int open_node(fuse_req_t request, uint64_t node, int flags, struct overlay_handle **ret) {
    const struct mount *mount = mount_of(request);
    int wanted = backing_flags(mount, flags);
    int r = overlay_open_file(mount->overlay, node, wanted, ret);
    if (r == -EACCES && (flags & O_ACCMODE) == O_WRONLY && (wanted & O_ACCMODE) == O_RDWR)     /* write-only by its mode, too */
        r = overlay_open_file(mount->overlay, node, (wanted & ~O_ACCMODE) | O_WRONLY, ret);
    return r;
}

static void do_open(fuse_req_t request, fuse_ino_t node, struct fuse_file_info *info) {
    struct mount *mount = mount_of(request);
    struct overlay_handle *handle = NULL;
    if (mount->openless) {
        reply_result(request, -ENOSYS);
        return;
    }
    int r = info->flags & O_TRUNC ? drop_privileges(request, node) : 0;
    if (r == 0)
        r = open_node(request, node, info->flags, &handle);
    if (r < 0) {
        reply_result(request, r);
        return;
    }
    info->fh = (uintptr_t)handle;
    keep_opened(mount, node, handle, info);
    if (fuse_reply_open(request, info) < 0)
        overlay_release(mount->overlay, handle);
}

static void do_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *info) {
    const struct mount *mount = mount_of(request);
    struct overlay_caller caller = caller_of(request);
    struct overlay_handle *handle = NULL;
    struct fuse_entry_param answer;
    struct overlay_entry entry;
    int r = overlay_create(mount->overlay, &caller, parent, name, mode, backing_flags(mount, info->flags), &entry, &handle);
    if (r == 0 && (r = hand_out(mount, entry.node, handle, &info->fh)) < 0)
        overlay_forget(mount->overlay, entry.node, 1);
    if (r == -EEXIST && mount->follow && !(info->flags & O_EXCL))
        r = -ESTALE;                      /* it appeared meanwhile: the kernel looks again, and asks whether it may be opened */
    if (r < 0) {
        reply_result(request, r);
        return;
    }
    entry_to_param(mount, &entry, &answer);
    keep_pages(mount, info);
    if (fuse_reply_create(request, &answer, info) == 0)
        return;
    take_back(mount, entry.node, info->fh);
    overlay_forget(mount->overlay, entry.node, 1);
}

static void do_release(fuse_req_t request, fuse_ino_t node, struct fuse_file_info *info) {
    (void)node;
    if (info->fh)
        overlay_release(mount_of(request)->overlay, handle_of(info));
    reply_result(request, 0);
}

/* All that was asked for, or up to the end. */
static ssize_t read_at(int fd, char *room, size_t size, off_t offset) {
    size_t got = 0;
    while (got < size) {
        ssize_t n = pread(fd, room + got, size - got, offset + (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return got > 0 ? (ssize_t)got : -errno;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

static ssize_t write_at(int fd, const char *data, size_t size, off_t offset) {
    size_t put = 0;
    while (put < size) {
        ssize_t n = pwrite(fd, data + put, size - put, offset + (off_t)put);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return put > 0 ? (ssize_t)put : n < 0 ? -errno : -EIO;
        put += (size_t)n;
    }
    return (ssize_t)put;
}

static ssize_t read_data(struct overlay_handle *handle, char *room, size_t size, off_t offset) {
    int fd = overlay_data_begin(handle, false);
    if (fd < 0)
        return fd;
    ssize_t got = read_at(fd, room, size, offset);
    overlay_data_end(handle);
    return got;
}

static ssize_t write_data(struct overlay_handle *handle, const char *data, size_t size, off_t offset) {
    int fd = overlay_data_begin(handle, true);
    if (fd < 0)
        return fd;
    ssize_t put = write_at(fd, data, size, offset);
    overlay_data_end(handle);
    return put;
}

static void do_read(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *info) {
    _use_ struct use use = {0};
    char *room = reply_room();
    ssize_t r = room ? use_begin(mount_of(request), node, info->fh, false, &use) : -ENOMEM;
    if (r == 0)
        r = read_data(use.handle, room, MIN(size, (size_t)REPLY_ROOM), offset);
    if (r < 0)
        reply_result(request, (int)r);
    else
        (void)fuse_reply_buf(request, room, (size_t)r);
}

/* Before the data: nobody may run the new bytes with the old privileges. */
static int drop_before_write(fuse_req_t request, uint64_t node) {
    struct overlay_caller caller = caller_of(request);
    struct overlay_entry entry;
    const struct fuse_write_in *in = request_body();
    if (!(in->write_flags & FUSE_WRITE_KILL_SUIDGID))
        return 0;
    return overlay_setattr(mount_of(request)->overlay, &caller, node, NULL, &(struct stat){0}, OVERLAY_KILL_SUID, &entry);
}

static void do_write(fuse_req_t request, fuse_ino_t node, const char *data, size_t size, off_t offset, struct fuse_file_info *info) {
    _use_ struct use use = {0};
    ssize_t r = use_begin(mount_of(request), node, info->fh, true, &use);
    if (r == 0)
        r = drop_before_write(request, node);
    if (r == 0)
        r = write_data(use.handle, data, size, offset);
    if (r < 0)
        reply_result(request, (int)r);
    else
        (void)fuse_reply_write(request, (size_t)r);
}

static void do_fsync(fuse_req_t request, fuse_ino_t node, int data_only, struct fuse_file_info *info) {
    const struct mount *mount = mount_of(request);
    _use_ struct use use = {0};
    if (mount->immutable) {
        reply_result(request, 0);
        return;
    }
    int r = use_begin(mount, node, info->fh, false, &use);
    reply_result(request, r == 0 ? overlay_fsync(use.handle, data_only) : r);
}

static void do_fallocate(fuse_req_t request, fuse_ino_t node, int mode, off_t offset, off_t size, struct fuse_file_info *info) {
    _use_ struct use use = {0};
    int r = use_begin(mount_of(request), node, info->fh, true, &use);
    reply_result(request, r == 0 ? overlay_fallocate(use.handle, mode, offset, size) : r);
}

/* The kernel asks without writing what it has collected. */
static void do_lseek(fuse_req_t request, fuse_ino_t node, off_t offset, int whence, struct fuse_file_info *info) {
    struct mount *mount = mount_of(request);
    _use_ struct use use = {0};
    off_t r = mount->options->flags & MOUNT_WRITEBACK ? flush_inside(mount, node) : 0;
    if (r == 0)
        r = use_begin(mount, node, info->fh, false, &use);
    if (r == 0)
        r = overlay_lseek(use.handle, offset, whence);
    if (r < 0)
        reply_result(request, (int)r);
    else
        (void)fuse_reply_lseek(request, r);
}

static void do_copy_range(fuse_req_t request, fuse_ino_t node, off_t offset, struct fuse_file_info *info, fuse_ino_t to_node, off_t to_offset,
                          struct fuse_file_info *to_info, size_t size, int flags) {
    const struct mount *mount = mount_of(request);
    _use_ struct use from = {0}, to = {0};
    ssize_t r = flags ? -EINVAL : use_begin(mount, node, info->fh, false, &from);
    if (r == 0)
        r = use_begin(mount, to_node, to_info->fh, true, &to);
    if (r == 0)
        r = overlay_copy_range(from.handle, offset, to.handle, to_offset, size);
    if (r < 0)
        reply_result(request, (int)r);
    else
        (void)fuse_reply_write(request, (size_t)r);
}

/* None is known here, as on most file systems. */
static void do_ioctl(fuse_req_t request, fuse_ino_t node, unsigned command, void *argument, struct fuse_file_info *info, unsigned flags,
                     const void *data, size_t size, size_t room) {
    (void)node, (void)command, (void)argument, (void)info, (void)flags, (void)data, (void)size, (void)room;
    reply_result(request, -ENOTTY);
}

void files_operations(struct fuse_lowlevel_ops *operations) {
    operations->open = do_open;
    operations->create = do_create;
    operations->release = do_release;
    operations->read = do_read;
    operations->write = do_write;
    operations->fsync = do_fsync;
    operations->fallocate = do_fallocate;
    operations->lseek = do_lseek;
    operations->copy_file_range = do_copy_range;
    operations->ioctl = do_ioctl;
}
