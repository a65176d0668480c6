/* Watching what a program does to files, call by call: ptrace, with a seccomp filter so that only calls that change
 * something stop. Threads and children are followed. Linux on x86-64 and arm64. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum trace_kind {
    TRACE_CREATE,              /* open with O_CREAT, O_TRUNC or O_TMPFILE */
    TRACE_WRITE,               /* bytes into a descriptor, however */
    TRACE_SIZE,                /* truncate, fallocate */
    TRACE_MAKE,                /* a new name: mkdir, mknod, link, symlink */
    TRACE_RENAME, TRACE_REMOVE,
    TRACE_META,                /* mode, owner, times, xattrs */
    TRACE_FLUSH,               /* fsync and its relatives */
};
struct trace_call {
    pid_t tid;
    long number;
    const char *name;
    enum trace_kind kind;
    uint64_t args[6];
    int fd;                    /* index of the argument that is the descriptor written to, or -1: it goes by path */
    int dirfd, path;           /* indexes of a path's directory (-1: the working directory) and string; -1: none */
};

enum trace_verdict { TRACE_GO = 0, TRACE_WATCH = 1 /* tell `leave` */, TRACE_KILL = 2 /* everything, before the call */ };
struct trace_handler {
    /* enum trace_verdict, or a negative errno: the call returns that and does nothing */
    int (*enter)(void *data, const struct trace_call *call);
    /* No other watched call is under way meanwhile. false: kill everything. */
    bool (*leave)(void *data, const struct trace_call *call, int64_t result);
    void *data;
};
struct trace_program {
    const char *file;          /* found by PATH if it has no slash */
    char *const *words, *const *environment;      /* NULL environment: the caller's */
    const char *dir;           /* NULL: here */
    int out, err;              /* -1: the caller's */
    unsigned patience;         /* seconds until it is killed as hanging; 0 = for ever */
};
/* Runs it to its end; *ret_status as waitpid gives it. 0, or a negative errno: -ENOSYS, this machine's calls are not known;
 * -EPERM, tracing is refused here. */
int trace_run(const struct trace_program *program, const struct trace_handler *handler, int *ret_status);

/* What the call is about. Path strings are not resolved beyond the directory they start from. */
bool trace_string(const struct trace_call *call, int argument, char *ret, size_t size);
bool trace_read(const struct trace_call *call, uint64_t address, void *ret, size_t size);
/* As an absolute path, links of /proc/self/fd in it resolved through the program's descriptors; false: unreadable. */
bool trace_path(const struct trace_call *call, int dirfd_argument, int path_argument, char *ret, size_t size);
bool trace_fd_path(const struct trace_call *call, int argument, char *ret, size_t size);
/* The call changes (or flushes) a regular file or a name below one of the roots; roots may be NULL: anywhere. */
bool trace_concerns(const struct trace_call *call, const char *const *roots);
