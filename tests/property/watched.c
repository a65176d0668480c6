/* Watchers in random histories. SPDX-License-Identifier: GPL-2.0-or-later */
#include "watched.h"

#include "cleanup.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define _run_ _cleanup_(run_done)
enum { QUEUED_MAX = 16384 };   /* what the kernel keeps, unless somebody raised it */

static bool runs(struct watched *watched, pid_t *ret_pid) {
    _run_ struct run run = {0};
    model_run(watched->model, &run, "--json", "watch", "status", NULL);
    *ret_pid = (pid_t)json_int(run.out, "pid");
    return run.code == 0 && strstr(run.out, "\"running\":true");
}

pid_t watched_pid(struct watched *watched) {
    pid_t pid = 0;
    return runs(watched, &pid) ? pid : 0;
}

/* Killed without a word: what happened since, nobody saw. */
static bool kill_watcher(pid_t pid) {
    _close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    return fd >= 0 && kill(pid, SIGKILL) == 0 && poll(&wait, 1, 10000) == 1;
}

static bool start(struct watched *watched) {
    _run_ struct run run = {0};
    model_run(watched->model, &run, "watch", "start", "--backend", watched->backend, NULL);
    return run.code == 0 || model_fail(watched->model, &run, "the watcher cannot be started");
}

static bool stop(struct watched *watched) {
    _run_ struct run run = {0};
    model_run(watched->model, &run, "watch", "stop", NULL);
    return run.code == 0 || model_fail(watched->model, &run, "the watcher does not stop");
}

bool watched_mind(struct watched *watched) {
    pid_t pid = 0;
    if (!watched->backend || !watched->model->count)
        return true;
    if (!runs(watched, &pid))
        return start(watched);
    if (!rng_percent(&watched->model->rng, 5))
        return true;
    if (rng_percent(&watched->model->rng, 50))
        return stop(watched);
    return kill_watcher(pid) || model_fail(watched->model, NULL, "the watcher cannot be killed");
}

/* It hears of all that happens meanwhile when it goes on, and then the tree is another one already. */
static bool hold_up(struct watched *watched) {
    pid_t pid = 0;
    if (!watched->backend || !rng_percent(&watched->model->rng, 40) || !runs(watched, &pid))
        return true;
    if (kill(pid, SIGSTOP) < 0)
        return model_fail(watched->model, NULL, "the watcher cannot be held up");
    watched->pid = pid;
    return true;
}

static void go_on(struct watched *watched) {
    if (watched->pid)
        (void)kill(watched->pid, SIGCONT);
    watched->pid = 0;
}

/* A watcher cannot know of a second name that is gone again before it looked. */
static void let_it_look(void *data) {
    struct watched *watched = data;
    pid_t pid = watched->pid;
    _run_ struct run run = {0};
    go_on(watched);
    model_run(watched->model, &run, "watch", "status", NULL);
    if (pid && kill(pid, SIGSTOP) == 0)
        watched->pid = pid;
}

/* More than its queue holds, though nothing changes. fanotify tells of no opening, and each name once only. */
static bool overrun(struct watched *watched) {
    int root = watched->model->box.project_fd;
    bool by_name = strcmp(watched->backend, "inotify") != 0;
    char name[32] = "flood";
    for (unsigned i = 0; i < QUEUED_MAX + 100; i++) {
        if (by_name)
            snprintf(name, sizeof(name), "flood%u", i);
        _close_ int fd = by_name || i == 0 ? openat(root, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : openat(root, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)                       /* a project that its owner may not write to */
            return errno == EACCES || model_fail(watched->model, NULL, "the watcher cannot be overrun: %s", strerror(errno));
        if (by_name && unlinkat(root, name, 0) < 0)
            return false;
    }
    return by_name || unlinkat(root, name, 0) == 0;
}

bool watched_batch(struct watched *watched, unsigned steps) {
    struct model *model = watched->model;
    if (!hold_up(watched))
        return false;
    mutate_look(&model->mutator);
    model->mutator.outside = watched->backend ? watched->away : -1;
    for (unsigned i = 0; i < steps; i++)
        mutate_step(&model->mutator);
    model->mutator.outside = -1;
    bool good = !watched->pid || !rng_percent(&model->rng, 5) || overrun(watched);
    go_on(watched);
    return good;
}

bool watched_begin(struct watched *ret, struct model *model) {
    *ret = (struct watched){ .model = model, .backend = getenv("WATCH"), .away = -1 };
    if (!ret->backend)
        return true;
    if (!model->mutator.privileged)
        ret->backend = "inotify";
    model->mutator.linked = let_it_look;
    model->mutator.data = ret;
    _free_ char *path = NULL;
    if (asprintf(&path, "%s/away", model->box.base) < 0)
        abort();
    if (mkdir(path, 0755) < 0 || (ret->away = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return model_fail(model, NULL, "cannot make %s: %s", path, strerror(errno));
    return true;
}

bool watched_end(struct watched *watched) {
    if (!watched->backend)
        return true;
    go_on(watched);
    watched->away = fd_close(watched->away);
    return stop(watched);
}
