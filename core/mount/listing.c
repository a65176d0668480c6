/* Requests about directories that are open. Names are put into the answer first, and looked up when the overlay has let go of the
 * listing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

#include <limits.h>
#include <string.h>

static struct overlay_handle *handle_of(const struct fuse_file_info *info) { return (struct overlay_handle *)(uintptr_t)info->fh; }

static void do_opendir(fuse_req_t request, fuse_ino_t node, struct fuse_file_info *info) {
    const struct mount *mount = mount_of(request);
    struct overlay_handle *handle = NULL;
    if (mount->immutable) {                       /* never asked again: what is listed is always the same */
        reply_result(request, -ENOSYS);
        return;
    }
    if (mount->follow)
        (void)overlay_cover(mount->overlay, node);
    int r = overlay_open_dir(mount->overlay, node, &handle);
    if (r < 0) {
        reply_result(request, r);
        return;
    }
    info->fh = (uintptr_t)handle;
    info->cache_readdir = mount->frozen || (mount->follow && overlay_kept(handle) & OVERLAY_KEEP_DATA);
    info->keep_cache = info->cache_readdir && r == 0;
    if (fuse_reply_open(request, info) < 0)
        overlay_release(mount->overlay, handle);
}

static void do_releasedir(fuse_req_t request, fuse_ino_t node, struct fuse_file_info *info) {
    (void)node;
    overlay_release(mount_of(request)->overlay, handle_of(info));
    reply_result(request, 0);
}

struct listing {
    char *data;
    size_t size, room;
    bool plus;
};

/* Without attributes: an entry that says "not looked up" comes before it. */
static size_t entry_size(const struct listing *listing, size_t name_size) {
    size_t head = listing->plus ? sizeof(struct fuse_entry_out) : 0;
    return FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + name_size);
}

static int add_name(void *data, const struct overlay_name *name) {
    struct listing *listing = data;
    size_t length = strlen(name->name), size = entry_size(listing, length);
    if (size > listing->room - listing->size)
        return 1;
    char *at = listing->data + listing->size;
    memset(at, 0, size);
    struct fuse_dirent *entry = (struct fuse_dirent *)(at + (listing->plus ? sizeof(struct fuse_entry_out) : 0));
    *entry = (struct fuse_dirent){ .ino = name->ino, .off = (uint64_t)name->next, .namelen = (uint32_t)length, .type = name->type };
    memcpy(entry->name, name->name, length);
    listing->size += size;
    return 0;
}

static bool is_dots(const struct fuse_dirent *entry) {
    return entry->name[0] == '.' && (entry->namelen == 1 || (entry->namelen == 2 && entry->name[1] == '.'));
}

/* A name that is gone meanwhile stays "not looked up". */
static void look_up(const struct mount *mount, uint64_t node, struct fuse_direntplus *plus) {
    char name[NAME_MAX + 1];
    struct overlay_entry entry;
    if (is_dots(&plus->dirent) || plus->dirent.namelen > NAME_MAX)
        return;
    memcpy(name, plus->dirent.name, plus->dirent.namelen);
    name[plus->dirent.namelen] = '\0';
    if (overlay_lookup(mount->overlay, node, name, &entry) < 0)
        return;
    entry_to_wire(mount, &entry, &plus->entry_out);
    plus->dirent.ino = entry.stat.st_ino;
}

static void look_all_up(const struct mount *mount, uint64_t node, struct listing *listing) {
    for (size_t at = 0; at < listing->size;) {
        struct fuse_direntplus *plus = (struct fuse_direntplus *)(listing->data + at);
        look_up(mount, node, plus);
        at += entry_size(listing, plus->dirent.namelen);
    }
}

/* The kernel did not take the answer. */
static void forget_all(const struct mount *mount, struct listing *listing) {
    for (size_t at = 0; listing->plus && at < listing->size;) {
        struct fuse_direntplus *plus = (struct fuse_direntplus *)(listing->data + at);
        if (plus->entry_out.nodeid)
            overlay_forget(mount->overlay, plus->entry_out.nodeid, 1);
        at += entry_size(listing, plus->dirent.namelen);
    }
}

/* OPENDIR is never asked for where nothing changes, so any listing of a directory will do: whole ones are made once, not for each part. */
static struct overlay_handle *take_kept(struct mount *mount, uint64_t node) {
    struct overlay_handle *handle = NULL;
    pthread_mutex_lock(&mount->lock);
    for (unsigned i = 0; i < KEPT_LISTINGS && !handle; i++)
        if (mount->kept[i].node == node)
            handle = TAKE_PTR(mount->kept[i].handle);
    pthread_mutex_unlock(&mount->lock);
    return handle;
}

static void keep(struct mount *mount, uint64_t node, struct overlay_handle *handle) {
    pthread_mutex_lock(&mount->lock);
    struct kept_listing *slot = &mount->kept[mount->kept_next++ % KEPT_LISTINGS];
    struct overlay_handle *old = slot->handle;
    *slot = (struct kept_listing){ .node = node, .handle = handle };
    pthread_mutex_unlock(&mount->lock);
    if (old)
        overlay_release(mount->overlay, old);
}

void listings_done(struct mount *mount) {
    for (unsigned i = 0; i < KEPT_LISTINGS; i++)
        if (mount->kept[i].handle)
            overlay_release(mount->overlay, TAKE_PTR(mount->kept[i].handle));
}

static int read_without_handle(struct mount *mount, uint64_t node, off_t offset, struct listing *listing) {
    struct overlay_handle *handle = take_kept(mount, node);
    int r = handle ? 0 : overlay_open_dir(mount->overlay, node, &handle);
    if (r < 0)
        return r;
    r = overlay_read_dir(handle, offset, add_name, listing);
    if (r >= 0 && listing->size > 0)
        keep(mount, node, handle);
    else
        overlay_release(mount->overlay, handle);
    return r;
}

static int read_names(struct mount *mount, uint64_t node, struct overlay_handle *handle, off_t offset, struct listing *listing) {
    int r = handle ? overlay_read_dir(handle, offset, add_name, listing) : read_without_handle(mount, node, offset, listing);
    if (r >= 0 && listing->plus)
        look_all_up(mount, node, listing);
    return r;
}

static void list(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, struct overlay_handle *handle, bool plus) {
    struct mount *mount = mount_of(request);
    struct listing listing = { .data = reply_room(), .room = MIN(size, (size_t)REPLY_ROOM), .plus = plus };
    int r = listing.data ? read_names(mount, node, handle, offset, &listing) : -ENOMEM;
    if (r < 0)
        reply_result(request, r);
    else if (fuse_reply_buf(request, listing.data, listing.size) < 0)
        forget_all(mount, &listing);
}

static void do_readdir(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *info) {
    list(request, node, size, offset, handle_of(info), false);
}

static void do_readdirplus(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *info) {
    list(request, node, size, offset, handle_of(info), true);
}

static void do_fsyncdir(fuse_req_t request, fuse_ino_t node, int data_only, struct fuse_file_info *info) {
    const struct mount *mount = mount_of(request);
    struct overlay_handle *handle = handle_of(info);
    (void)node;
    reply_result(request, mount->immutable ? 0 : overlay_sync_dir(handle, data_only));
}

void listing_operations(struct fuse_lowlevel_ops *operations) {
    operations->opendir = do_opendir;
    operations->releasedir = do_releasedir;
    operations->readdir = do_readdir;
    operations->readdirplus = do_readdirplus;
    operations->fsyncdir = do_fsyncdir;
}
