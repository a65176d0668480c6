/* Ownership: cleanup attributes and hand-over; and the few macros that everybody needs. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))
#define _free_ _cleanup_(free_ptr)
#define _close_ _cleanup_(close_fd)
#define _closedir_ _cleanup_(closedir_ptr)

/* The value, and the variable emptied: what is taken is no longer cleaned up. */
#define TAKE_PTR(pointer) ({ __typeof__(pointer) *where_ = &(pointer); __typeof__(pointer) value_ = *where_; *where_ = NULL; value_; })
#define TAKE_FD(fd) ({ int *where_ = &(fd); int value_ = *where_; *where_ = -1; value_; })
#define ELEMENTS(array) (sizeof(array) / sizeof(*(array)))
#define MIN(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ < b_ ? a_ : b_; })
#define MAX(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ > b_ ? a_ : b_; })

/* Room for one more element of an array that holds `count` and has room for `room`: 0, or -ENOMEM and nothing changed. */
#define MAKE_ROOM(array, count, room) ({ \
    int made_ = 0; \
    if ((count) == (room)) { \
        size_t more_ = (room) ? 2 * (room) : 16; \
        __typeof__(array) grown_ = reallocarray((array), more_, sizeof(*(array))); \
        made_ = grown_ ? 0 : -ENOMEM; \
        (array) = grown_ ? grown_ : (array); \
        (room) = grown_ ? more_ : (room); \
    } \
    made_; \
})

/* Defines NAMEp(T **), for _cleanup_, from `T *free(T *)` or `void free(T *)`. */
#define DEFINE_CLEANUP(type, function) \
    static inline void function##p(type *value) { if (*value) function(*value); }

static inline void free_ptr(void *where) { free(*(void **)where); }
static inline void closedir_ptr(DIR **dir) { if (*dir) closedir(*dir); }
/* Keeps errno; returns -1, for fd = fd_close(fd). */
static inline int fd_close(int fd) { if (fd >= 0) { int saved = errno; (void)close(fd); errno = saved; } return -1; }
static inline void close_fd(int *fd) { *fd = fd_close(*fd); }
