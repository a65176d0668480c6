/* What a watcher may do on this machine. Asks, watches nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct watch_limits {
    int inotify;               /* 0 = an instance could be made, else a negative errno */
    uint64_t watches, instances, queued;   /* inotify's limits for one user; 0 = not known */
    int fanotify;              /* 0 = a whole file system can be watched, else a negative errno */
};
/* fd: any open directory of the file system in question, not O_PATH. */
void watch_limits(int fd, struct watch_limits *ret);
