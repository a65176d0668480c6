/* The index, read. Writes nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "index_names.h"

#include "at.h"
#include "records.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int index_open(int work) {
    int fd = openat(work, "index", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int tell(int index, const char *name, index_copy_fn fn, void *data) {
    char text[RECORD_TEXT] = "";
    struct record record;
    ssize_t size = at_get_xattr(index, name, "user.overlay.identity", text, sizeof(text) - 1, false);
    if (size < 0)
        return size == -ENODATA || size == -ENOENT || size == -EOPNOTSUPP || size == -EPERM ? 0 : (int)size;
    return record_parse(text, 0, &record) < 0 ? 0 : fn(data, name, record.origin);
}

int index_each(int index, index_copy_fn fn, void *data) {
    _closedir_ DIR *stream = NULL;
    int r = at_list(index, &stream);
    if (r < 0)
        return r;
    for (struct dirent *entry; errno = 0, (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        r = tell(index, entry->d_name, fn, data);
        if (r < 0)
            return r;
    }
    return -errno;
}
