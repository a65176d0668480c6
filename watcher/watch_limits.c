/* What a watcher may do on this machine: inotify's limits, and whether fanotify takes a mark on a whole file system.
 * Keeps no watch and judges nothing: how many are needed, its caller knows. SPDX-License-Identifier: GPL-2.0-or-later */
#include "watch_limits.h"

#include "fs.h"

#include <fcntl.h>
#include <inotifytools/inotifytools.h>
#include <sys/fanotify.h>

/* libinotifytools asks for a file of another name than the kernel's. */
static uint64_t max_queued_events(void) {
    _buf_ struct buf text = {0};
    int result = fs_read_file(AT_FDCWD, "/proc/sys/fs/inotify/max_queued_events", 64, &text);
    return result < 0 || !text.data ? 0 : strtoull(text.data, NULL, 10);
}

static uint64_t positive(int value) {
    return value > 0 ? (uint64_t)value : 0;
}

static int try_inotify(void) {
    if (!inotifytools_initialize()) {
        int error = inotifytools_error();
        return error > 0 ? -error : -EIO;
    }
    inotifytools_cleanup();
    return 0;
}

static int try_fanotify(int fd) {
    _close_ int fan = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_CLOEXEC);
    if (fan < 0)
        return -errno;
    uint64_t events = FAN_CREATE | FAN_DELETE | FAN_MODIFY | FAN_MOVED_FROM | FAN_MOVED_TO | FAN_ATTRIB | FAN_ONDIR;
    return fanotify_mark(fan, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, events, fd, ".") < 0 ? -errno : 0;
}

void watch_limits(int fd, struct watch_limits *ret) {
    *ret = (struct watch_limits){
        .inotify = try_inotify(),
        .watches = positive(inotifytools_get_max_user_watches()),
        .instances = positive(inotifytools_get_max_user_instances()),
        .queued = max_queued_events(),
        .fanotify = try_fanotify(fd),
    };
}
