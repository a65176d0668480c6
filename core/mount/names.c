/* Requests about names: lookup, and what makes, removes and moves them. SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

#include <fcntl.h>
#include <string.h>

struct overlay_caller caller_of(fuse_req_t request) {
    const struct fuse_ctx *context = fuse_req_ctx(request);
    return (struct overlay_caller){ .uid = context->uid, .gid = context->gid, .pid = context->pid, .umask = context->umask };
}

void entry_to_param(const struct mount *mount, const struct overlay_entry *entry, struct fuse_entry_param *ret) {
    *ret = (struct fuse_entry_param){ .ino = entry->node, .generation = entry->generation, .attr = entry->stat,
                                      .attr_timeout = keep_for(mount, entry, OVERLAY_KEEP_ATTRIBUTES),
                                      .entry_timeout = keep_for(mount, entry, OVERLAY_KEEP_NAME) };
}

static void reply_entry(fuse_req_t request, int r, const struct overlay_entry *entry) {
    struct fuse_entry_param answer;
    if (r < 0) {
        reply_result(request, r);
        return;
    }
    entry_to_param(mount_of(request), entry, &answer);
    if (fuse_reply_entry(request, &answer) < 0)        /* interrupted: the kernel did not take it */
        overlay_forget(mount_of(request)->overlay, entry->node, 1);
}

/* An absent name is remembered where nobody else can make it appear, or who does is heard. */
static void reply_absent(fuse_req_t request, bool covered) {
    const struct mount *mount = mount_of(request);
    struct fuse_entry_param absent = { .entry_timeout = mount->keep_absent };
    if (mount->immutable || mount->frozen || covered)
        (void)fuse_reply_entry(request, &absent);
    else
        reply_result(request, -ENOENT);
}

static void do_lookup(fuse_req_t request, fuse_ino_t parent, const char *name) {
    const struct mount *mount = mount_of(request);
    struct overlay_entry entry;
    bool covered = mount->follow && overlay_cover(mount->overlay, parent) > 0;
    int r = overlay_lookup(mount->overlay, parent, name, &entry);
    if (r == -ENOENT)
        reply_absent(request, covered);
    else
        reply_entry(request, r, &entry);
}

static void forget(struct mount *mount, uint64_t node, uint64_t count) {
    if (mount->openless)
        open_files_drop(mount->files, node);
    overlay_forget(mount->overlay, node, count);
}

static void do_forget(fuse_req_t request, fuse_ino_t node, uint64_t count) {
    forget(mount_of(request), node, count);
    fuse_reply_none(request);
}

static void do_forget_many(fuse_req_t request, size_t count, struct fuse_forget_data *forgets) {
    for (size_t i = 0; i < count; i++)
        forget(mount_of(request), forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(request);
}

static void do_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t device) {
    struct overlay_caller caller = caller_of(request);
    struct overlay_entry entry;
    int r = overlay_mknod(mount_of(request)->overlay, &caller, parent, name, mode, device, &entry);
    reply_entry(request, r, &entry);
}

static void do_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode) {
    struct overlay_caller caller = caller_of(request);
    struct overlay_entry entry;
    int r = overlay_mkdir(mount_of(request)->overlay, &caller, parent, name, mode, &entry);
    reply_entry(request, r, &entry);
}

static void do_symlink(fuse_req_t request, const char *target, fuse_ino_t parent, const char *name) {
    struct overlay_caller caller = caller_of(request);
    struct overlay_entry entry;
    int r = overlay_symlink(mount_of(request)->overlay, &caller, parent, name, target, &entry);
    reply_entry(request, r, &entry);
}

static void do_link(fuse_req_t request, fuse_ino_t node, fuse_ino_t parent, const char *name) {
    struct overlay_entry entry;
    int r = overlay_link(mount_of(request)->overlay, node, parent, name, &entry);
    reply_entry(request, r, &entry);
}

static void do_unlink(fuse_req_t request, fuse_ino_t parent, const char *name) {
    reply_result(request, overlay_unlink(mount_of(request)->overlay, parent, name));
}

static void do_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name) {
    reply_result(request, overlay_rmdir(mount_of(request)->overlay, parent, name));
}

static void do_rename(fuse_req_t request, fuse_ino_t from, const char *name, fuse_ino_t to, const char *new_name, unsigned flags) {
    reply_result(request, overlay_rename(mount_of(request)->overlay, from, name, to, new_name, flags));
}

static void do_read_link(fuse_req_t request, fuse_ino_t node) {
    _buf_ struct buf target = {0};
    int r = overlay_read_link(mount_of(request)->overlay, node, &target);
    if (r == 0 && target.failed)
        r = target.failed;
    if (r < 0)
        reply_result(request, r);
    else
        (void)fuse_reply_readlink(request, target.data ? target.data : "");
}

void names_operations(struct fuse_lowlevel_ops *operations) {
    operations->lookup = do_lookup;
    operations->forget = do_forget;
    operations->forget_multi = do_forget_many;
    operations->mknod = do_mknod;
    operations->mkdir = do_mkdir;
    operations->symlink = do_symlink;
    operations->link = do_link;
    operations->unlink = do_unlink;
    operations->rmdir = do_rmdir;
    operations->rename = do_rename;
    operations->readlink = do_read_link;
}
