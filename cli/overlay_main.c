/* snapctl-overlay: several directories as one, without a project; for people and for mount(8).
 * Knows the library by snapctl.h only. SPDX-License-Identifier: GPL-2.0-or-later */
#include "overlay_options.h"

#include "snapctl.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

static int mount_it(const struct overlay_call *call, struct snap_err *err) {
    const struct snap_overlay_options options = {
        .mountpoint = call->mountpoint, .source = call->fsname ? call->fsname : call->source, .subtype = call->subtype,
        .lowers = (const char *const *)call->lowers, .upper = call->upper, .work = call->work, .mount_options = call->passed,
        .flags = call->flags | (call->foreground ? SNAP_OVERLAY_FOREGROUND : 0), .threads = call->threads,
    };
    return snap_overlay_mount(&options, err);
}

/* The flags that it has, with what was asked for. */
static int remount(const struct overlay_call *call, struct snap_err *err) {
    static const struct { unsigned long has, bit; } flags[] = {
        { ST_RDONLY, MS_RDONLY }, { ST_NOSUID, MS_NOSUID }, { ST_NODEV, MS_NODEV }, { ST_NOEXEC, MS_NOEXEC },
        { ST_SYNCHRONOUS, MS_SYNCHRONOUS }, { ST_NOATIME, MS_NOATIME }, { ST_NODIRATIME, MS_NODIRATIME }, { ST_RELATIME, MS_RELATIME },
    };
    struct statvfs now;
    unsigned long bits = 0;
    if (statvfs(call->mountpoint, &now) < 0)
        return err_path(err, -errno, call->mountpoint, "look at the mount on");
    for (size_t i = 0; i < ELEMENTS(flags); i++)
        bits |= now.f_flag & flags[i].has ? flags[i].bit : 0;
    bits = (bits & ~call->kernel_clear) | call->kernel_set;
    if (mount("none", call->mountpoint, NULL, MS_REMOUNT | bits, NULL) < 0)
        return err_path(err, -errno, call->mountpoint, "change the flags of the mount on");
    return 0;
}

static int show(const struct overlay_call *call) {
    _buf_ struct buf text = {0};
    if (call->help)
        overlay_help(&text);
    else
        buf_fmt(&text, "snapctl-overlay %s\n", snap_version());
    if (text.failed)
        return text.failed;
    return fwrite(text.data, 1, text.size, stdout) == text.size && fflush(stdout) == 0 ? 0 : -errno;
}

static int run(struct overlay_call *call, char *const argv[], struct snap_err *err) {
    call->flags = geteuid() == 0 ? SNAP_OVERLAY_ALLOW_OTHER : 0;
    call->passed = geteuid() == 0 ? strdup("suid,dev") : NULL;      /* as overlayfs; FUSE's own default is neither */
    int r = geteuid() == 0 && !call->passed ? err_nomem(err) : overlay_options_parse(call, argv, err);
    if (r < 0)
        return r;
    if (call->help || call->version)
        return show(call) < 0 ? err_errno(err, -errno, "cannot write to standard output") : 0;
    return call->remount ? remount(call, err) : mount_it(call, err);
}

int main(int argc, char *argv[]) {
    (void)argc;
    struct snap_err err = {0};
    struct overlay_call call = {0};
    int r = run(&call, argv, &err);
    overlay_call_done(&call);
    if (r >= 0)
        return EXIT_SUCCESS;
    (void)fprintf(stderr, "snapctl-overlay: %s\n", err.message);
    if (err.hint[0])
        (void)fprintf(stderr, "hint: %s\n", err.hint);
    return EXIT_FAILURE;
}
