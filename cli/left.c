/* Processes that a command left running: found by their parents, waited for and ended by their pidfds.
 * Touches none that does not descend from this process. SPDX-License-Identifier: GPL-2.0-or-later */
#include "left.h"

#include "fs.h"

#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>

enum { PATIENCE_MS = 5000 };

void left_done(struct left *left) {
    while (left->count)
        (void)fd_close(left->at[--left->count].fd);
    free(left->at);
    *left = (struct left){0};
}

/* Finding. */

struct process { pid_t pid, parent; bool ended, ours; char name[32]; };
struct table { struct process *at; size_t count, room; };

static void table_done(struct table *table) {
    free(table->at);
}

/* "1234 (name) S 1 ...": the name may hold anything, parentheses too. */
static bool parse(const char *text, struct process *ret) {
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    char state;
    long parent;
    if (!open || !close || close < open || sscanf(close + 1, " %c %ld", &state, &parent) != 2)
        return false;
    ret->pid = (pid_t)atol(text);
    ret->parent = (pid_t)parent;
    ret->ended = state == 'Z' || state == 'X';
    (void)snprintf(ret->name, sizeof(ret->name), "%.*s", (int)(close - open - 1), open + 1);
    return true;
}

static int add_process(struct table *table, int proc, const char *pid) {
    char path[40];
    _buf_ struct buf text = {0};
    struct process process = {0};
    (void)snprintf(path, sizeof(path), "%.16s/stat", pid);
    if (fs_read_file(proc, path, 4096, &text) < 0 || !text.data || !parse(text.data, &process))
        return 0;                         /* it ended meanwhile */
    if (MAKE_ROOM(table->at, table->count, table->room) < 0)
        return -ENOMEM;
    table->at[table->count++] = process;
    return 0;
}

static int read_table(struct table *table) {
    _closedir_ DIR *proc = opendir("/proc");
    int r = proc ? 0 : -errno;
    for (struct dirent *entry; r == 0 && (entry = readdir(proc)); )
        if (isdigit((unsigned char)*entry->d_name))
            r = add_process(table, dirfd(proc), entry->d_name);
    return r;
}

static bool is_ours(const struct table *table, pid_t pid) {
    for (size_t i = 0; i < table->count; i++)
        if (table->at[i].pid == pid)
            return table->at[i].ours;
    return false;
}

/* Pids wrap around, so a child may stand before its parent. */
static void mark_ours(struct table *table, pid_t but) {
    for (bool more = true; more; ) {
        more = false;
        for (size_t i = 0; i < table->count; i++) {
            struct process *process = &table->at[i];
            if (process->ours || process->pid == but || !(process->parent == getpid() || is_ours(table, process->parent)))
                continue;
            process->ours = more = true;
        }
    }
}

static int add_left(struct left *left, const struct process *process) {
    if (MAKE_ROOM(left->at, left->count, left->room) < 0)
        return -ENOMEM;
    int fd = pidfd_open(process->pid, 0);
    if (fd < 0)
        return errno == ESRCH ? 0 : -errno;
    struct left_process added = { .pid = process->pid, .fd = fd };
    memcpy(added.name, process->name, sizeof(added.name));
    left->at[left->count++] = added;
    return 0;
}

int left_find(pid_t but, struct left *ret, struct snap_err *err) {
    _cleanup_(table_done) struct table table = {0};
    _left_ struct left left = {0};
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    int r = read_table(&table);
    mark_ours(&table, but);
    for (size_t i = 0; r == 0 && i < table.count; i++)
        if (table.at[i].ours && !table.at[i].ended)
            r = add_left(&left, &table.at[i]);
    if (r < 0)
        return err_errno(err, r, "cannot look for what the command left running");
    *ret = left;
    left = (struct left){0};
    return 0;
}

void left_name(const struct left *left, struct buf *out) {
    for (size_t i = 0; i < left->count; i++)
        buf_fmt(out, "%spid %d (%s)", i ? ", " : "", (int)left->at[i].pid, left->at[i].name);
}

/* Waiting. */

static int64_t now_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until any of them has ended; 1 = the time is over. */
static int await_one(const struct left *left, int timeout, const volatile sig_atomic_t *cancel) {
    _free_ struct pollfd *polled = calloc(left->count, sizeof(*polled));
    if (!polled)
        return -ENOMEM;
    for (size_t i = 0; i < left->count; i++)
        polled[i] = (struct pollfd){ .fd = left->at[i].fd, .events = POLLIN };
    int n = cancel && *cancel ? -1 : poll(polled, left->count, timeout);
    if (cancel && *cancel)
        return -EINTR;
    return n < 0 ? (errno == EINTR ? 0 : -errno) : n == 0;
}

/* 1 = some are still there when `deadline` comes, 0 = never. */
static int await_all(pid_t but, int64_t deadline, const volatile sig_atomic_t *cancel, struct snap_err *err) {
    for (;;) {
        _left_ struct left left = {0};
        int r = left_find(but, &left, err);
        int64_t rest = deadline ? deadline - now_ms() : -1;
        if (r < 0 || !left.count)
            return r;
        if (deadline && rest <= 0)
            return 1;
        if ((r = await_one(&left, (int)rest, cancel)) < 0)
            return err_errno(err, r, "did not wait for what the command left running");
    }
}

int left_wait(pid_t but, const volatile sig_atomic_t *cancel, struct snap_err *err) {
    return await_all(but, 0, cancel, err);
}

static int tell_all(pid_t but, int signal_number, struct snap_err *err) {
    _left_ struct left left = {0};
    int r = left_find(but, &left, err);
    for (size_t i = 0; r == 0 && i < left.count; i++)
        if (pidfd_send_signal(left.at[i].fd, signal_number, NULL, 0) < 0 && errno != ESRCH)
            r = err_errno(err, -errno, "cannot end process %d (%s)", (int)left.at[i].pid, left.at[i].name);
    return r;
}

/* One that is stopped ends only when it goes on. */
int left_kill(pid_t but, const volatile sig_atomic_t *cancel, struct snap_err *err) {
    int r = tell_all(but, SIGTERM, err);
    if (r == 0)
        r = tell_all(but, SIGCONT, err);
    if (r == 0)
        r = await_all(but, now_ms() + PATIENCE_MS, cancel, err);
    while (r > 0)
        if ((r = tell_all(but, SIGKILL, err)) == 0)
            r = await_all(but, now_ms() + PATIENCE_MS, cancel, err);
    return r;
}
