/* What is agreed with the kernel before the first request; and the little that libfuse 3.14 cannot say.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

/* "fsname=" may hold commas; the others are the caller's, who has them from mount(8) and knows how they are escaped. */
static void add_option(char **options, const char *key, const char *value, int *r) {
    if (*r < 0 || !value)
        return;
    _buf_ struct buf option = {0};
    buf_fmt(&option, "%s%s", key, value);
    if (option.failed || (*key ? fuse_opt_add_opt_escaped(options, option.data) : fuse_opt_add_opt(options, option.data)) < 0)
        *r = -ENOMEM;
}

int init_arguments(const struct mount *mount, struct fuse_args *args) {
    const struct mount_options *options = mount->options;
    _free_ char *text = NULL;
    int r = 0;
    add_option(&text, "fsname=", options->source ? options->source : options->subtype ? options->subtype : "snapctl", &r);
    add_option(&text, "subtype=", options->subtype ? options->subtype : "snapctl", &r);
    add_option(&text, "", options->flags & MOUNT_READ_ONLY ? "ro" : NULL, &r);
    add_option(&text, "", options->flags & MOUNT_ALLOW_OTHER ? "allow_other" : NULL, &r);
    add_option(&text, "", options->flags & MOUNT_ALLOW_ROOT ? "allow_root" : NULL, &r);
    add_option(&text, "", options->flags & MOUNT_NO_ACCESS_CHECKS ? NULL : "default_permissions", &r);
    add_option(&text, "", options->flags & MOUNT_DEBUG ? "debug" : NULL, &r);
    add_option(&text, "", options->options && *options->options ? options->options : NULL, &r);
    if (r == 0 && (fuse_opt_add_arg(args, "snapctl") < 0 || fuse_opt_add_arg(args, "-o") < 0 || fuse_opt_add_arg(args, text) < 0))
        r = -ENOMEM;
    return r;
}

static void want(struct fuse_conn_info *connection, unsigned capability, bool yes) {
    if (yes && (connection->capable & capability))
        connection->want |= capability;
    else
        connection->want &= ~capability;
}

void init_connection(void *data, struct fuse_conn_info *connection) {
    struct mount *mount = data;
    unsigned flags = mount->options->flags;
    want(connection, FUSE_CAP_EXPORT_SUPPORT, true);
    want(connection, FUSE_CAP_PARALLEL_DIROPS, true);
    want(connection, FUSE_CAP_ASYNC_DIO, true);
    want(connection, FUSE_CAP_HANDLE_KILLPRIV, false);                  /* version 2 instead, see agree() */
    want(connection, FUSE_CAP_POSIX_ACL, !(flags & MOUNT_NO_ACCESS_CHECKS));
    want(connection, FUSE_CAP_DONT_MASK, true);                         /* a default ACL takes the place of the umask */
    want(connection, FUSE_CAP_WRITEBACK_CACHE, mount->frozen && (flags & MOUNT_WRITEBACK) && !(flags & MOUNT_READ_ONLY));
    want(connection, FUSE_CAP_CACHE_SYMLINKS, mount->immutable || mount->frozen);
    want(connection, FUSE_CAP_AUTO_INVAL_DATA, !mount->immutable && !mount->frozen);
    want(connection, FUSE_CAP_EXPLICIT_INVAL_DATA, mount->immutable || mount->frozen);
    want(connection, FUSE_CAP_ATOMIC_O_TRUNC, !mount->openless);        /* without OPEN it is a SETATTR */
    want(connection, FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE, false);
    connection->max_background = 64;
    connection->congestion_threshold = 48;
    connection->time_gran = 1;
}

/* What libfuse cannot ask for: that the kernel tells when suid and capabilities have to go, instead of asking before each write. */
static void agree(struct mount *mount, struct protocol_init_out *out) {
    if (mount->offered & FUSE_HANDLE_KILLPRIV_V2)
        out->flags |= FUSE_HANDLE_KILLPRIV_V2;
    if (!mount->passthrough || !(mount->offered & PROTOCOL_INIT_PASSTHROUGH)) {
        mount->passthrough = false;
        return;
    }
    out->flags |= FUSE_INIT_EXT;
    out->flags2 |= PROTOCOL_INIT_PASSTHROUGH >> 32;
    out->max_stack_depth = 1;
}

static ssize_t send_answer(int fd, struct iovec *iov, int count, void *data) {
    struct mount *mount = data;
    const struct fuse_out_header *header = iov[0].iov_base;
    if (!atomic_load_explicit(&mount->initialised, memory_order_acquire) && header->unique == mount->init_unique && header->error == 0
        && count > 1 && iov[1].iov_len >= sizeof(struct protocol_init_out)) {
        agree(mount, iov[1].iov_base);
        atomic_store_explicit(&mount->initialised, true, memory_order_release);
    }
    return writev(fd, iov, count);
}

static void note_init(struct mount *mount, const struct fuse_in_header *header) {
    const struct fuse_init_in *in = (const struct fuse_init_in *)(header + 1);
    mount->init_unique = header->unique;
    mount->offered = in->flags;
    if ((in->flags & FUSE_INIT_EXT) && header->len >= sizeof(*header) + sizeof(*in))
        mount->offered |= (uint64_t)in->flags2 << 32;
}

static ssize_t receive_request(int fd, void *room, size_t size, void *data) {
    ssize_t got = read(fd, room, size);
    const struct fuse_in_header *header = room;
    if (got >= (ssize_t)(sizeof(*header) + sizeof(uint32_t) * 4) && header->opcode == FUSE_INIT)
        note_init(data, header);
    return got;
}

int init_io(struct mount *mount, struct snap_err *err) {
    static const struct fuse_custom_io io = { .read = receive_request, .writev = send_answer };
    int r = fuse_session_custom_io(mount->session, &io, mount->device_fd);
    return r < 0 ? err_errno(err, r, "cannot set up the connection with the kernel") : 0;
}
