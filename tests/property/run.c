/* Processes and sandboxes for the tests.
 * Interprets nothing that the program says. SPDX-License-Identifier: GPL-2.0-or-later */
#include "run.h"

#include "cleanup.h"
#include "listing.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PATIENCE = 120 };       /* seconds; a command that takes longer hangs */

static char *join(const char *a, const char *b) {
    char *path = NULL;
    return asprintf(&path, "%s/%s", a, b) < 0 ? NULL : path;
}

static int make(const char *path) {
    return path ? mkdir(path, 0755) : -1;
}

int box_open(struct box *ret, const char *program, const char *parent) {
    if (!parent)
        parent = getenv("TMPDIR");
    *ret = (struct box){ .program = realpath(program, NULL), .project_fd = -1 };
    _free_ char *template = join(parent && *parent ? parent : "/tmp", "snapctl-test-XXXXXX");
    if (!ret->program || !template || !mkdtemp(template) || !(ret->base = realpath(template, NULL)))
        return -1;
    ret->project = join(ret->base, "project");
    ret->state = join(ret->base, "state");
    ret->out = join(ret->base, "out");
    if (make(ret->project) < 0 || make(ret->state) < 0 || make(ret->out) < 0)
        return -1;
    ret->project_fd = open(ret->project, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return ret->project_fd < 0 ? -1 : 0;
}

void box_done(struct box *box) {
    free(box->program);
    free(box->base);
    free(box->project);
    free(box->state);
    free(box->out);
    fd_close(box->project_fd);
    *box = (struct box){ .project_fd = -1 };
}

void box_remove(struct box *box) {
    if (box->base && remove_tree(AT_FDCWD, box->base) < 0)
        fprintf(stderr, "cannot remove %s: %s\n", box->base, strerror(errno));
    box_done(box);
}

char *const *box_environment(const struct box *box) {
    static char home[PATH_MAX], state[PATH_MAX], threads[64];
    static char *environment[] = { home, state, (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)"LC_ALL=C",
                                   (char *)"TZ=UTC", NULL, NULL, NULL };
    size_t at = 5;
    snprintf(home, sizeof(home), "HOME=%s", box->base);
    snprintf(state, sizeof(state), "XDG_STATE_HOME=%s", box->state);
    if (getenv("SNAPCTL_THREADS")) {
        snprintf(threads, sizeof(threads), "SNAPCTL_THREADS=%s", getenv("SNAPCTL_THREADS"));
        environment[at++] = threads;
    }
    environment[at] = NULL;
    return environment;
}

int capture_open(struct capture *ret) {
    ret->out = memfd_create("stdout", MFD_CLOEXEC);
    ret->err = memfd_create("stderr", MFD_CLOEXEC);
    return ret->out < 0 || ret->err < 0 ? -1 : 0;
}

static char *collect(int fd, size_t *ret_size) {
    struct stat stat;
    char *text = fstat(fd, &stat) < 0 ? NULL : malloc((size_t)stat.st_size + 1);
    if (!text || pread(fd, text, (size_t)stat.st_size, 0) != stat.st_size)
        abort();
    text[stat.st_size] = 0;
    *ret_size = (size_t)stat.st_size;
    fd_close(fd);
    return text;
}

void capture_collect(struct capture *capture, struct run *ret) {
    ret->out = collect(capture->out, &ret->out_size);
    ret->err = collect(capture->err, &ret->err_size);
}

void run_done(struct run *run) {
    free(run->out);
    free(run->err);
    *run = (struct run){0};
}

static void become(const struct box *box, const char *dir, const struct capture *capture, char *const *words) {
    if (chdir(dir) < 0 || dup2(capture->out, STDOUT_FILENO) < 0 || dup2(capture->err, STDERR_FILENO) < 0)
        _exit(126);
    alarm(PATIENCE);
    execve(box->program, words, box_environment(box));
    _exit(127);
}

void run_words(struct run *ret, const struct box *box, const char *dir, const char *const *words) {
    const char *all[RUN_WORDS + 2] = { box->program };
    for (size_t i = 0; i < RUN_WORDS && words[i]; i++)
        all[i + 1] = words[i];
    struct capture capture;
    if (capture_open(&capture) < 0)
        abort();
    pid_t pid = fork();
    if (pid == 0)
        become(box, dir ? dir : box->project, &capture, (char *const *)all);
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        abort();
    *ret = (struct run){ .code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status) };
    capture_collect(&capture, ret);
    if (ret->code == 127 || ret->code == 126) {
        fprintf(stderr, "cannot run %s\n", box->program);
        exit(2);
    }
}

void run_program(struct run *ret, const struct box *box, ...) {
    const char *words[RUN_WORDS + 1] = { NULL };
    va_list list;
    va_start(list, box);
    for (size_t i = 0; i < RUN_WORDS && (words[i] = va_arg(list, const char *)); i++)
        ;
    va_end(list);
    run_words(ret, box, NULL, words);
}

int64_t json_int(const char *text, const char *key) {
    _free_ char *quoted = NULL;
    if (asprintf(&quoted, "\"%s\":", key) < 0)
        return -1;
    const char *at = strstr(text, quoted);
    if (!at)
        return -1;
    char *end;
    long long value = strtoll(at + strlen(quoted), &end, 10);
    return end == at + strlen(quoted) ? -1 : value;
}
