/* Pins as locks on files, so that the end of a process is the end of its pins.
 * Knows no database; whoever pins looks whether the snapshot is there. SPDX-License-Identifier: GPL-2.0-or-later */
#include "pin.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

static const char PINS[] = "pins";

struct pins {
    int fd;                    /* run/pins, locked */
    int64_t *held;
    size_t count, room;
};

static int cannot(struct store *store, int code, struct snap_err *err) {
    return err_path(err, code, store_path(store), "use the pins of the store");
}

/* The directory, made if asked for; -ENOENT if not. */
static int open_pins(struct store *store, bool make) {
    if (make && mkdirat(store_run_fd(store), PINS, 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = openat(store_run_fd(store), PINS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int lock(int fd, int how) {
    while (flock(fd, how) < 0)
        if (errno != EINTR)
            return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    return 0;
}

static void name_of(int64_t snapshot, char name[24]) {
    (void)snprintf(name, 24, "%lld", (long long)snapshot);
}

int pin_take(struct store *store, int64_t snapshot, bool wait, struct snap_err *err) {
    char name[24];
    name_of(snapshot, name);
    _close_ int dir = open_pins(store, true);
    int r = dir < 0 ? dir : lock(dir, LOCK_SH | (wait ? 0 : LOCK_NB));
    if (r < 0)
        return cannot(store, r, err);
    _close_ int fd = openat(dir, name, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    r = fd < 0 ? -errno : lock(fd, LOCK_SH);
    return r < 0 ? cannot(store, r, err) : TAKE_FD(fd);
}

/* gc removes files that nobody has locked, while it has them locked: a name that is gone then is no pin. */
int pin_take_beside(struct store *store, int64_t snapshot, struct snap_err *err) {
    char name[24];
    struct stat stat = {0};
    name_of(snapshot, name);
    _close_ int dir = open_pins(store, true);
    int r = MIN(dir, 0);
    while (r == 0) {
        _close_ int fd = openat(dir, name, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        r = fd < 0 ? -errno : lock(fd, LOCK_SH);
        if (r == 0 && fstat(fd, &stat) < 0)
            r = -errno;
        if (r == 0 && stat.st_nlink > 0)
            return TAKE_FD(fd);
    }
    return cannot(store, r, err);
}

int pin_drop(int fd) {
    return fd_close(fd);
}

/* 1 = locked by somebody; what nobody holds is removed if asked for. */
static int is_held(int dir, const char *name, bool clear) {
    _close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int r = lock(fd, LOCK_EX | LOCK_NB);
    if (r == 0 && clear && unlinkat(dir, name, 0) < 0 && errno != ENOENT)
        r = -errno;
    return r == -EAGAIN ? 1 : r;
}

int pin_held(struct store *store, int64_t snapshot, struct snap_err *err) {
    char name[24];
    name_of(snapshot, name);
    _close_ int dir = open_pins(store, false);
    int r = dir < 0 ? dir : is_held(dir, name, false);
    return r == -ENOENT ? 0 : r < 0 ? cannot(store, r, err) : r;
}

struct pins *pins_free(struct pins *pins) {
    if (!pins)
        return NULL;
    fd_close(pins->fd);
    free(pins->held);
    free(pins);
    return NULL;
}

/* A pin whose holder is gone is only a file. */
static int look_at(struct pins *pins, const char *name) {
    char *end;
    int64_t snapshot = strtoll(name, &end, 10);
    if (*end || snapshot <= 0)
        return 0;
    int r = is_held(pins->fd, name, true);
    if (r <= 0)
        return r;
    if (MAKE_ROOM(pins->held, pins->count, pins->room) < 0)
        return -ENOMEM;
    pins->held[pins->count++] = snapshot;
    return 0;
}

static int read_pins(struct pins *pins) {
    int copy = openat(pins->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _closedir_ DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        int code = -errno;
        fd_close(copy);
        return code;
    }
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir)); errno = 0) {
        int r = look_at(pins, entry->d_name);
        if (r < 0)
            return r;
    }
    return -errno;
}

int pins_freeze(struct store *store, struct pins **ret, struct snap_err *err) {
    _pins_ struct pins *pins = calloc(1, sizeof(*pins));
    if (!pins)
        return err_nomem(err);
    pins->fd = open_pins(store, true);
    int r = pins->fd < 0 ? pins->fd : lock(pins->fd, LOCK_EX);
    if (r == 0)
        r = read_pins(pins);
    if (r < 0)
        return cannot(store, r, err);
    *ret = TAKE_PTR(pins);
    return 0;
}

bool pins_have(const struct pins *pins, int64_t snapshot) {
    for (size_t i = 0; i < pins->count; i++)
        if (pins->held[i] == snapshot)
            return true;
    return false;
}
