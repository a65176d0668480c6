/* A command run in the foreground: started in its workspace, told what we are told, waited for.
 *
 * It stays in our process group, as with env(1) or nice(1), so that a pipeline that we are part of has one group, and what the
 * terminal sends reaches the command by itself: SIGINT and SIGQUIT are then only noted here, and everything that another process
 * sends to us is handed on. When the command stops we stop the same way, so that the shell that waits for us sees the job stop, and
 * continue it when we are continued. The signals are blocked and taken one by one: nothing is lost between fork and wait.
 * Knows nothing of what the command changes. SPDX-License-Identifier: GPL-2.0-or-later */
#include "child.h"

#include "buf.h"
#include "fs.h"
#include "snapctl.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum trouble { TROUBLE_NAMESPACE = 1, TROUBLE_START };
struct report { enum trouble trouble; struct snap_err err; };       /* from the child: fits into a pipe at once */

static const int handed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT };

/* In the child. */

static void restore_signals(const struct child *child) {
    struct sigaction standard = { .sa_handler = SIG_DFL };
    if (!child->keep_pipe_ignored)
        (void)sigaction(SIGPIPE, &standard, NULL);
    (void)sigprocmask(SIG_SETMASK, &child->before, NULL);
}

static bool is_here(const char *path) {
    struct stat there, here;
    return path && *path == '/' && stat(path, &there) == 0 && stat(".", &here) == 0 && there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

/* $PWD stays as the user has it, with its symbolic links, where it is still true. */
static int go_inside(const struct child *child, struct snap_err *err) {
    _buf_ struct buf dir = {0};
    buf_fmt(&dir, "%s%s%s", child->root ? child->root : child->mount, *child->inside ? "/" : "", child->inside);
    if (dir.failed)
        return err_nomem(err);
    if (chdir(dir.data) < 0)
        return err_path(err, -errno, dir.data, "change to");
    if (!is_here(getenv("PWD")) && setenv("PWD", dir.data, 1) < 0)
        return err_nomem(err);
    return 0;
}

static int prepare(const struct child *child, struct snap_err *err) {
    int r = go_inside(child, err);
    if (r < 0)
        return r;
    if (setenv("SNAPCTL_WORKSPACE", child->workspace, 1) < 0)
        return err_nomem(err);
    if (child->to_stderr && dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return err_errno(err, -errno, "cannot redirect standard output");
    return 0;
}

__attribute__((noreturn)) static void give_up(int pipe, struct report *report, int code) {
    (void)fs_write_all(pipe, report, sizeof(*report));
    _exit(code);
}

/* execvp also says EACCES where a directory of the path may not be searched, and shells then say that there is no such command. */
static bool is_anywhere(const char *name) {
    const char *path = getenv("PATH");
    bool found = strchr(name, '/') != NULL;
    for (const char *at = path ? path : ""; *at && !found; at += strcspn(at, ":"), at += *at == ':') {
        _buf_ struct buf file = {0};
        buf_add(&file, at, strcspn(at, ":"));
        buf_fmt(&file, "%s%s", file.size ? "/" : "./", name);
        found = !file.failed && access(file.data, F_OK) == 0;
    }
    return found;
}

__attribute__((noreturn)) static void be_child(const struct child *child, int pipe) {
    struct report report = { .trouble = TROUBLE_NAMESPACE };
    if (child->root && snap_workspace_enter(child->mount, child->root, &report.err) < 0)
        give_up(pipe, &report, EXIT_FAILURE);
    report.trouble = TROUBLE_START;
    if (prepare(child, &report.err) < 0)
        give_up(pipe, &report, 126);
    restore_signals(child);
    (void)execvp(child->words[0], child->words);
    int r = errno == EACCES && !is_anywhere(child->words[0]) ? -ENOENT : -errno;
    err_path(&report.err, r, child->words[0], "run");
    give_up(pipe, &report, r == -ENOENT ? 127 : 126);
}

/* Starting. */

static int watch_signals(struct child *child, struct snap_err *err) {
    struct sigaction standard = { .sa_handler = SIG_DFL };
    (void)sigemptyset(&child->watched);
    (void)sigaddset(&child->watched, SIGCHLD);
    for (size_t i = 0; i < ELEMENTS(handed_on); i++)
        (void)sigaddset(&child->watched, handed_on[i]);
    if (sigaction(SIGCHLD, &standard, NULL) < 0 || sigprocmask(SIG_BLOCK, &child->watched, &child->before) < 0)
        return err_errno(err, -errno, "cannot hold signals back");
    return 0;
}

/* What came for the command and found it gone is not meant for us. */
static void unwatch_signals(struct child *child) {
    struct timespec at_once = {0};
    while (sigtimedwait(&child->watched, NULL, &at_once) > 0)
        continue;
    (void)sigprocmask(SIG_SETMASK, &child->before, NULL);
}

static int reap(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 0;
    return status;
}

/* Nothing comes, for the pipe closes when the command begins, or why it does not. */
static int hear(struct child *child, int pipe, struct snap_err *err) {
    struct report report;
    _buf_ struct buf heard = {0};
    int r = fs_read_all(pipe, sizeof(report), &heard);
    if (r == 0 && heard.size == 0)
        return 0;
    int status = reap(child->pid);
    if (r < 0 || heard.size != sizeof(report))
        return err_errno(err, r < 0 ? r : -EIO, "cannot hear whether the command was started");
    memcpy(&report, heard.data, sizeof(report));
    *err = report.err;
    child->code = child_exit_code(status);
    return report.trouble == TROUBLE_NAMESPACE ? CHILD_NO_NAMESPACE : report.err.code;
}

static int start(struct child *child, struct snap_err *err) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, -errno, "cannot make a pipe");
    _close_ int from = ends[0];
    child->pid = fork();
    if (child->pid == 0)
        be_child(child, ends[1]);
    int r = child->pid < 0 ? -errno : 0;
    (void)close(ends[1]);
    return r < 0 ? err_errno(err, r, "cannot start a process") : hear(child, from, err);
}

int child_start(struct child *child, struct snap_err *err) {
    int r = watch_signals(child, err);
    if (r < 0)
        return r;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);      /* what it leaves running becomes ours, and can be named */
    r = start(child, err);
    if (r != 0)
        unwatch_signals(child);
    return r;
}

/* Waiting. */

static int stop_signal(int number) {
    return number == SIGTSTP || number == SIGTTIN || number == SIGTTOU ? number : SIGSTOP;
}

static bool has_terminal(void) {
    _close_ int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    return fd >= 0;
}

/* The shell that started us waits for us: without one, nobody would continue us. */
static void stop_too(const struct child *child, int number) {
    struct sigaction standard = { .sa_handler = SIG_DFL }, old;
    sigset_t only;
    if (!has_terminal())
        return;
    number = stop_signal(number);
    (void)sigemptyset(&only);
    (void)sigaddset(&only, number);
    bool changed = number != SIGSTOP && sigaction(number, &standard, &old) == 0;
    (void)raise(number);
    (void)sigprocmask(SIG_UNBLOCK, &only, NULL);
    (void)sigprocmask(SIG_BLOCK, &child->watched, NULL);
    if (changed)
        (void)sigaction(number, &old, NULL);
    (void)kill(child->pid, SIGCONT);
}

/* 1 = it has ended. Orphans of it that end are ours to bury, too. */
static int look(struct child *child, int *ret_status) {
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED);
        if (pid == 0 || (pid < 0 && errno != EINTR))
            return 0;
        if (pid != child->pid)
            continue;
        if (!WIFSTOPPED(status)) {
            *ret_status = status;
            return 1;
        }
        stop_too(child, WSTOPSIG(status));
    }
}

/* The kernel sends what the terminal means for the whole group. */
static void hand_on(const struct child *child, const siginfo_t *info) {
    if (info->si_code <= 0)
        (void)kill(child->pid, info->si_signo);
}

/* A shell that was run here and was killed has not given it back. */
static void take_terminal(pid_t owner) {
    sigset_t writing, before;
    if (owner != getpgrp() || tcgetpgrp(STDIN_FILENO) == owner)
        return;
    (void)sigemptyset(&writing);
    (void)sigaddset(&writing, SIGTTOU);
    (void)sigprocmask(SIG_BLOCK, &writing, &before);
    (void)tcsetpgrp(STDIN_FILENO, owner);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
}

int child_wait(struct child *child, int *ret_status, struct snap_err *err) {
    pid_t owner = tcgetpgrp(STDIN_FILENO);
    int r = look(child, ret_status);
    while (r == 0) {
        siginfo_t info;
        if (sigwaitinfo(&child->watched, &info) < 0)
            r = errno == EINTR ? 0 : err_errno(err, -errno, "cannot wait for the command");
        else if (info.si_signo == SIGCHLD)
            r = look(child, ret_status);
        else
            hand_on(child, &info);
    }
    unwatch_signals(child);
    take_terminal(owner);
    return MIN(r, 0);
}

int child_exit_code(int status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
