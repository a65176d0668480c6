/* A command run in the foreground, as a shell would. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "err.h"

#include <signal.h>
#include <stdbool.h>

struct child {
    char *const *words;        /* the command and its arguments, NULL-terminated */
    const char *workspace;     /* its name, for SNAPCTL_WORKSPACE */
    const char *mount;         /* where it is mounted */
    const char *root;          /* where it shall be, too: the project's own path; NULL = only there */
    const char *inside;        /* the directory to start in, below either */
    bool to_stderr;            /* its standard output goes where standard error goes */
    bool keep_pipe_ignored;    /* SIGPIPE was ignored before we came */

    pid_t pid;
    int code;                  /* 126, 127: it could not be run, and why is the error */
    sigset_t before, watched;  /* of ours, while it runs */
};

enum { CHILD_NO_NAMESPACE = 1 };
/* 0: it runs. CHILD_NO_NAMESPACE: `root` cannot be had, `err` says why, and nothing runs. -errno: nothing runs. */
int child_start(struct child *child, struct snap_err *err);
/* Until it has ended, passing on the signals that others send us and stopping when it stops; its status as waitpid tells it. */
int child_wait(struct child *child, int *ret_status, struct snap_err *err);
int child_exit_code(int status);       /* as shells have it: 128 and the signal's number */
