/* A pager between stdout and the terminal, as git has one.
 * Does not decide whether there should be one, and never fails: without it the output goes to the terminal.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "pager.h"

#include "cleanup.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

/* NULL = the user wants none. */
static const char *wanted(void) {
    const char *command = getenv("SNAPCTL_PAGER");
    if (!command)
        command = getenv("PAGER");
    if (!command)
        return "less";
    return *command && strcmp(command, "cat") != 0 ? command : NULL;
}

/* The pager gets the signals as they are by default, ours are ignored or caught. */
static int init_attributes(posix_spawnattr_t *attributes) {
    sigset_t defaults;
    if (sigemptyset(&defaults) < 0 || sigaddset(&defaults, SIGPIPE) < 0 || sigaddset(&defaults, SIGINT) < 0
        || sigaddset(&defaults, SIGTERM) < 0)
        return errno;
    int r = posix_spawnattr_setsigdefault(attributes, &defaults);
    return r ? r : posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF);
}

/* less is run without a shell, so that its absence shows here and not as lost output. */
static int spawn(const char *command, int input, pid_t *ret) {
    const char *const plain[] = { "less", NULL };
    const char *const shell[] = { "sh", "-c", command, NULL };
    const char *const *argv = strcmp(command, "less") == 0 ? plain : shell;

    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int r = posix_spawn_file_actions_init(&actions);
    if (r)
        return r;
    r = posix_spawnattr_init(&attributes);
    if (!r) {
        r = init_attributes(&attributes);
        if (!r)
            r = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
        if (!r)
            r = posix_spawnp(ret, argv[0], &actions, &attributes, (char *const *)argv, environ);
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return r;
}

bool pager_start(struct pager *pager) {
    *pager = (struct pager){ .saved_stderr = -1 };
    const char *command = wanted();
    int ends[2];
    if (!command || pipe2(ends, O_CLOEXEC) < 0)
        return false;
    _close_ int read_end = ends[0], write_end = ends[1];

    /* Quit when it fits on the screen, keep colours, leave the screen alone. */
    if (setenv("LESS", "FRX", 0) < 0 || setenv("LV", "-c", 0) < 0 || spawn(command, read_end, &pager->pid) != 0)
        return false;
    if (isatty(STDERR_FILENO)) {
        pager->saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        if (pager->saved_stderr >= 0)
            (void)dup2(write_end, STDERR_FILENO);
    }
    (void)dup2(write_end, STDOUT_FILENO);    /* to a descriptor that is open: it cannot run out */
    return true;
}

void pager_end(struct pager *pager) {
    if (!pager->pid)
        return;
    if (pager->saved_stderr >= 0) {
        (void)dup2(pager->saved_stderr, STDERR_FILENO);
        pager->saved_stderr = fd_close(pager->saved_stderr);
    }
    (void)fd_close(STDOUT_FILENO);
    while (waitpid(pager->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    pager->pid = 0;
}
