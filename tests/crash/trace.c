/* The tracer.
 * Decides nothing: a handler says what becomes of each call. SPDX-License-Identifier: GPL-2.0-or-later */
#include "trace.h"

#include "cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/elf.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#if defined(__x86_64__)
enum { ARCHITECTURE = (int)AUDIT_ARCH_X86_64 };
#elif defined(__aarch64__)
enum { ARCHITECTURE = (int)AUDIT_ARCH_AARCH64 };
#else
enum { ARCHITECTURE = 0 };
#endif

#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif
#ifndef __NR_setxattrat
#define __NR_setxattrat 463
#endif
#ifndef __NR_removexattrat
#define __NR_removexattrat 466
#endif

enum { TRACEES_MAX = 512, NO = -1 };

struct known { long number; const char *name; enum trace_kind kind; int fd, dirfd, path, flags; };
#define CALL(name, ...) { __NR_##name, #name, __VA_ARGS__ }
/* descriptor, directory, path, open flags: argument indexes */
static const struct known calls[] = {
    CALL(openat, TRACE_CREATE, NO, 0, 1, 2), CALL(openat2, TRACE_CREATE, NO, 0, 1, NO),
    CALL(write, TRACE_WRITE, 0, NO, NO, NO), CALL(pwrite64, TRACE_WRITE, 0, NO, NO, NO),
    CALL(writev, TRACE_WRITE, 0, NO, NO, NO), CALL(pwritev, TRACE_WRITE, 0, NO, NO, NO), CALL(pwritev2, TRACE_WRITE, 0, NO, NO, NO),
    CALL(copy_file_range, TRACE_WRITE, 2, NO, NO, NO), CALL(sendfile, TRACE_WRITE, 0, NO, NO, NO), CALL(ioctl, TRACE_WRITE, 0, NO, NO, NO),
    CALL(ftruncate, TRACE_SIZE, 0, NO, NO, NO), CALL(fallocate, TRACE_SIZE, 0, NO, NO, NO), CALL(truncate, TRACE_SIZE, NO, NO, 0, NO),
    CALL(renameat, TRACE_RENAME, NO, 2, 3, NO), CALL(renameat2, TRACE_RENAME, NO, 2, 3, NO),
    CALL(linkat, TRACE_MAKE, NO, 2, 3, NO), CALL(symlinkat, TRACE_MAKE, NO, 1, 2, NO), CALL(mkdirat, TRACE_MAKE, NO, 0, 1, NO),
    CALL(mknodat, TRACE_MAKE, NO, 0, 1, NO), CALL(unlinkat, TRACE_REMOVE, NO, 0, 1, NO),
    CALL(setxattr, TRACE_META, NO, NO, 0, NO), CALL(lsetxattr, TRACE_META, NO, NO, 0, NO), CALL(fsetxattr, TRACE_META, 0, NO, NO, NO),
    CALL(removexattr, TRACE_META, NO, NO, 0, NO), CALL(lremovexattr, TRACE_META, NO, NO, 0, NO), CALL(fremovexattr, TRACE_META, 0, NO, NO, NO),
    CALL(setxattrat, TRACE_META, NO, 0, 1, NO), CALL(removexattrat, TRACE_META, NO, 0, 1, NO),
    CALL(fchmod, TRACE_META, 0, NO, NO, NO), CALL(fchmodat, TRACE_META, NO, 0, 1, NO), CALL(fchmodat2, TRACE_META, NO, 0, 1, NO),
    CALL(fchown, TRACE_META, 0, NO, NO, NO), CALL(fchownat, TRACE_META, NO, 0, 1, NO), CALL(utimensat, TRACE_META, NO, 0, 1, NO),
    CALL(fsync, TRACE_FLUSH, 0, NO, NO, NO), CALL(fdatasync, TRACE_FLUSH, 0, NO, NO, NO), CALL(syncfs, TRACE_FLUSH, 0, NO, NO, NO),
    CALL(sync_file_range, TRACE_FLUSH, 0, NO, NO, NO), CALL(sync, TRACE_FLUSH, NO, NO, NO, NO),
#ifdef __NR_open
    CALL(open, TRACE_CREATE, NO, NO, 0, 1), CALL(creat, TRACE_CREATE, NO, NO, 0, NO), CALL(rename, TRACE_RENAME, NO, NO, 1, NO),
    CALL(link, TRACE_MAKE, NO, NO, 1, NO), CALL(symlink, TRACE_MAKE, NO, NO, 1, NO), CALL(mkdir, TRACE_MAKE, NO, NO, 0, NO),
    CALL(mknod, TRACE_MAKE, NO, NO, 0, NO), CALL(unlink, TRACE_REMOVE, NO, NO, 0, NO), CALL(rmdir, TRACE_REMOVE, NO, NO, 0, NO),
    CALL(chmod, TRACE_META, NO, NO, 0, NO), CALL(chown, TRACE_META, NO, NO, 0, NO), CALL(lchown, TRACE_META, NO, NO, 0, NO),
    CALL(utime, TRACE_META, NO, NO, 0, NO), CALL(utimes, TRACE_META, NO, NO, 0, NO), CALL(futimesat, TRACE_META, NO, 0, 1, NO),
#endif
};

/* The filter. */

enum { FILTER_MAX = 8 * ELEMENTS(calls) + 8 };
struct filter { struct sock_filter code[FILTER_MAX]; unsigned short count; };

static void put(struct filter *filter, uint16_t code, uint32_t k, uint8_t jump_true, uint8_t jump_false) {
    filter->code[filter->count++] = (struct sock_filter){ code, jump_true, jump_false, k };
}

static void put_load(struct filter *filter, size_t offset) {
    put(filter, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void put_return(struct filter *filter, uint32_t what) {
    put(filter, BPF_RET | BPF_K, what, 0, 0);
}

/* The lower half of an argument; both machines are little-endian. */
static size_t argument_offset(int index) {
    return offsetof(struct seccomp_data, args) + (size_t)index * 8;
}

static void put_call(struct filter *filter, const struct known *known) {
    if (known->flags != NO) {
        put(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)known->number, 0, 4);
        put_load(filter, argument_offset(known->flags));
        put(filter, BPF_JMP | BPF_JSET | BPF_K, O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY), 1, 0);
        put_return(filter, SECCOMP_RET_ALLOW);
        put_return(filter, SECCOMP_RET_TRACE);
    } else if (known->number == __NR_ioctl) {
        put(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)known->number, 0, 5);
        put_load(filter, argument_offset(1));
        put(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)FICLONE, 2, 0);
        put(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)FICLONERANGE, 1, 0);
        put_return(filter, SECCOMP_RET_ALLOW);
        put_return(filter, SECCOMP_RET_TRACE);
    } else {
        put(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)known->number, 0, 1);
        put_return(filter, SECCOMP_RET_TRACE);
    }
}

static int install_filter(void) {
    struct filter filter = {0};
    put_load(&filter, offsetof(struct seccomp_data, arch));
    put(&filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)ARCHITECTURE, 1, 0);
    put_return(&filter, SECCOMP_RET_ALLOW);
    put_load(&filter, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < ELEMENTS(calls); i++)
        put_call(&filter, &calls[i]);
    put_return(&filter, SECCOMP_RET_ALLOW);
    struct sock_fprog program = { filter.count, filter.code };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

/* Looking into the program. */

bool trace_read(const struct trace_call *call, uint64_t address, void *ret, size_t size) {
    struct iovec local = { ret, size }, remote = { (void *)(uintptr_t)address, size };
    return process_vm_readv(call->tid, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

bool trace_string(const struct trace_call *call, int argument, char *ret, size_t size) {
    uint64_t address = call->args[argument];
    for (size_t at = 0; at < size;) {
        size_t chunk = MIN(size - at, 256 - (address + at) % 256);     /* never over a page that may not be there */
        if (!address || !trace_read(call, address + at, ret + at, chunk))
            return false;
        if (memchr(ret + at, 0, chunk))
            return true;
        at += chunk;
    }
    return false;
}

static bool read_link(pid_t tid, const char *what, char *ret, size_t size) {
    char link[64];
    snprintf(link, sizeof(link), "/proc/%d/%s", tid, what);
    ssize_t got = readlink(link, ret, size - 1);
    if (got < 0)
        return false;
    ret[got] = 0;
    return true;
}

static bool descriptor_path(pid_t tid, int fd, char *ret, size_t size) {
    char what[32];
    snprintf(what, sizeof(what), "fd/%d", fd);
    return read_link(tid, fd == AT_FDCWD ? "cwd" : what, ret, size);
}

bool trace_fd_path(const struct trace_call *call, int argument, char *ret, size_t size) {
    return descriptor_path(call->tid, (int)call->args[argument], ret, size);
}

bool trace_path(const struct trace_call *call, int dirfd_argument, int path_argument, char *ret, size_t size) {
    char path[PATH_MAX + 1] = "", base[PATH_MAX + 1];
    int fd = dirfd_argument < 0 ? AT_FDCWD : (int)call->args[dirfd_argument], used = 0;
    if (call->args[path_argument] && !trace_string(call, path_argument, path, sizeof(path)))
        return false;
    const char *rest = path;
    if (sscanf(path, "/proc/self/fd/%d%n", &fd, &used) == 1 || sscanf(path, "/proc/thread-self/fd/%d%n", &fd, &used) == 1)
        rest = path + used + (path[used] == '/');
    else if (*path == '/')
        return (size_t)snprintf(ret, size, "%s", path) < size;
    if (!descriptor_path(call->tid, fd, base, sizeof(base)))
        return false;
    return (size_t)snprintf(ret, size, "%s%s%s", base, *rest ? "/" : "", rest) < size;
}

static bool is_below(const char *path, const char *const *roots) {
    for (; *roots; roots++) {
        size_t size = strlen(*roots);
        if (!strncmp(path, *roots, size) && (!path[size] || path[size] == '/'))
            return true;
    }
    return false;
}

static bool creates(const struct trace_call *call) {
    struct open_how how;
    if (call->number != __NR_openat2)
        return true;
    return trace_read(call, call->args[2], &how, sizeof(how)) && (how.flags & (O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY)));
}

bool trace_concerns(const struct trace_call *call, const char *const *roots) {
    char path[2 * PATH_MAX], link[64];
    struct stat stat_;
    if (call->fd != NO) {
        snprintf(link, sizeof(link), "/proc/%d/fd/%d", call->tid, (int)call->args[call->fd]);
        if (stat(link, &stat_) < 0 || (call->kind == TRACE_WRITE && !S_ISREG(stat_.st_mode)))
            return false;
        return trace_fd_path(call, call->fd, path, sizeof(path)) && strncmp(path, "/memfd:", 7) != 0 && (!roots || is_below(path, roots));
    }
    if (call->path == NO)
        return true;
    if (call->kind == TRACE_CREATE && !creates(call))
        return false;
    return !roots || (trace_path(call, call->dirfd, call->path, path, sizeof(path)) && is_below(path, roots));
}

/* Stopping and going on. */

struct tracer {
    const struct trace_handler *handler;
    pid_t main;
    pid_t tracees[TRACEES_MAX];
    size_t count;
    int status;
    bool killed;
};

static void add_tracee(struct tracer *tracer, pid_t tid) {
    for (size_t i = 0; i < tracer->count; i++) {
        if (tracer->tracees[i] == tid)
            return;
    }
    if (tracer->count < TRACEES_MAX)
        tracer->tracees[tracer->count++] = tid;
}

static void remove_tracee(struct tracer *tracer, pid_t tid) {
    for (size_t i = 0; i < tracer->count; i++) {
        if (tracer->tracees[i] == tid) {
            tracer->tracees[i] = tracer->tracees[--tracer->count];
            return;
        }
    }
}

static void kill_all(struct tracer *tracer) {
    tracer->killed = true;
    for (size_t i = 0; i < tracer->count; i++)
        kill(tracer->tracees[i], SIGKILL);
}

/* The call is not executed and returns `code`. */
static int refuse(pid_t tid, int code) {
#if defined(__x86_64__)
    struct user_regs_struct registers;
    struct iovec io = { &registers, sizeof(registers) };
    if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &io) < 0)
        return -errno;
    registers.orig_rax = (unsigned long long)-1;
    registers.rax = (unsigned long long)(long long)code;
    return ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &io) < 0 ? -errno : 0;
#elif defined(__aarch64__)
    struct user_regs_struct registers;
    struct iovec io = { &registers, sizeof(registers) };
    int none = -1;
    struct iovec number = { &none, sizeof(none) };
    if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &io) < 0)
        return -errno;
    registers.regs[0] = (unsigned long long)(long long)code;
    if (ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &io) < 0)
        return -errno;
    return ptrace(PTRACE_SETREGSET, tid, NT_ARM_SYSTEM_CALL, &number) < 0 ? -errno : 0;
#else
    (void)tid, (void)code;
    return -ENOSYS;
#endif
}

static bool describe(pid_t tid, struct trace_call *ret) {
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) < 0 || info.op != PTRACE_SYSCALL_INFO_SECCOMP)
        return false;
    for (size_t i = 0; i < ELEMENTS(calls); i++) {
        const struct known *known = &calls[i];
        if ((uint64_t)known->number != info.seccomp.nr)
            continue;
        *ret = (struct trace_call){ tid, known->number, known->name, known->kind, .fd = known->fd, .dirfd = known->dirfd, .path = known->path };
        for (size_t j = 0; j < 6; j++)
            ret->args[j] = info.seccomp.args[j];
        return true;
    }
    return false;
}

static void ended(struct tracer *tracer, pid_t tid, int status) {
    remove_tracee(tracer, tid);
    if (tid == tracer->main)
        tracer->status = status;
}

/* Lets the call happen and waits for its end. */
static void watch(struct tracer *tracer, const struct trace_call *call) {
    struct __ptrace_syscall_info info;
    int status = 0;
    if (ptrace(PTRACE_SYSCALL, call->tid, NULL, NULL) < 0 || waitpid(call->tid, &status, __WALL) != call->tid)
        return;
    if (!WIFSTOPPED(status)) {
        ended(tracer, call->tid, status);
        return;
    }
    if (WSTOPSIG(status) == (SIGTRAP | 0x80) && ptrace(PTRACE_GET_SYSCALL_INFO, call->tid, sizeof(info), &info) >= 0
        && info.op == PTRACE_SYSCALL_INFO_EXIT && !tracer->handler->leave(tracer->handler->data, call, info.exit.rval))
        kill_all(tracer);
    (void)ptrace(PTRACE_CONT, call->tid, NULL, NULL);
}

static void on_call(struct tracer *tracer, pid_t tid) {
    struct trace_call call;
    if (tracer->killed || !describe(tid, &call)) {
        (void)ptrace(PTRACE_CONT, tid, NULL, NULL);
        return;
    }
    int verdict = tracer->handler->enter(tracer->handler->data, &call);
    if (verdict == TRACE_WATCH) {
        watch(tracer, &call);
        return;
    }
    if (verdict == TRACE_KILL)
        kill_all(tracer);
    else if (verdict < 0 && refuse(tid, verdict) < 0)
        kill_all(tracer);
    (void)ptrace(PTRACE_CONT, tid, NULL, NULL);
}

static void on_stop(struct tracer *tracer, pid_t tid, int status) {
    int event = status >> 16, signal = WSTOPSIG(status);
    unsigned long child;
    add_tracee(tracer, tid);
    if (event == PTRACE_EVENT_SECCOMP) {
        on_call(tracer, tid);
        return;
    }
    if ((event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK)
        && ptrace(PTRACE_GETEVENTMSG, tid, NULL, &child) == 0) {
        add_tracee(tracer, (pid_t)child);
        if (tracer->killed)
            kill((pid_t)child, SIGKILL);
    }
    (void)ptrace(PTRACE_CONT, tid, NULL, event || signal == (SIGTRAP | 0x80) ? NULL : (void *)(intptr_t)signal);
}

static void follow(struct tracer *tracer) {
    while (tracer->count) {
        int status;
        pid_t tid = waitpid(-1, &status, __WALL);
        if (tid < 0 && errno == EINTR)
            continue;
        if (tid < 0)
            return;
        if (WIFSTOPPED(status))
            on_stop(tracer, tid, status);
        else
            ended(tracer, tid, status);
    }
}

/* In the child, once the parent is there. */
static void become(const struct trace_program *program, int go) {
    char byte;
    if (read(go, &byte, 1) != 1 || (program->dir && chdir(program->dir) < 0))
        _exit(126);
    if ((program->out >= 0 && dup2(program->out, STDOUT_FILENO) < 0) || (program->err >= 0 && dup2(program->err, STDERR_FILENO) < 0))
        _exit(126);
    alarm(program->patience);
    if (install_filter() < 0)
        _exit(126);
    execvpe(program->file, program->words, program->environment ? program->environment : environ);
    _exit(127);
}

int trace_run(const struct trace_program *program, const struct trace_handler *handler, int *ret_status) {
    enum { OPTIONS = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK
                     | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESECCOMP };
    int pipes[2];
    if (!ARCHITECTURE)
        return -ENOSYS;
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -errno;
    _close_ int wait_end = pipes[0], go_end = pipes[1];
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        fd_close(go_end);
        become(program, wait_end);
    }
    struct tracer tracer = { .handler = handler, .main = pid, .tracees = { pid }, .count = 1 };
    if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)(intptr_t)OPTIONS) < 0) {
        int code = -errno;
        kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return code;
    }
    if (write(go_end, "", 1) != 1)
        kill(pid, SIGKILL);
    follow(&tracer);
    *ret_status = tracer.status;
    return 0;
}
