/* snapctl: snapshots of project directories, on the command line.
 *
 * - Startup: main.c takes the command line apart (options.c, by the rows in commands.c and cmd_*.c), opens the project and
 *   runs one struct cmd (cmd.h); every command has a file, cmd_<name>.c
 *
 * - Output: out.c writes to stdout, through pager.c on a terminal; view.c and diffstat.c show changes, graph.c draws `log`,
 *   json.c builds objects; report.c writes errors and notices, progress.c the line that comes and goes
 *
 * - Words: help.c from the rows, typo.c for what was perhaps meant, when.c and format.c for times, sizes and quoting; the
 *   completions are made from the same rows by ../completions/generate.c
 *
 * Knows the library by snapctl.h only. SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd.h"
#include "format.h"
#include "help.h"
#include "json.h"
#include "options.h"
#include "project.h"
#include "report.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static volatile sig_atomic_t interrupted;

/* The first asks the library to end with nothing half-done; the second ends at once. */
static void on_signal(int signal_number) {
    if (interrupted) {
        (void)signal(signal_number, SIG_DFL);
        (void)raise(signal_number);
    }
    interrupted = 1;
}

static int catch_signal(int signal_number, struct snap_err *err) {
    struct sigaction action = { .sa_handler = on_signal }, old;
    if (sigaction(signal_number, NULL, &old) < 0)
        return err_errno(err, -errno, "cannot ask how a signal is handled");
    if (old.sa_handler == SIG_IGN)
        return 0;
    if (sigaction(signal_number, &action, NULL) < 0)
        return err_errno(err, -errno, "cannot handle a signal");
    return 0;
}

static int catch_signals(struct call *call, struct snap_err *err) {
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    if (before == SIG_ERR)
        return err_errno(err, -errno, "cannot ignore SIGPIPE");
    call->pipe_ignored = before == SIG_IGN;
    int r = catch_signal(SIGINT, err);
    if (r == 0)
        r = catch_signal(SIGTERM, err);
    if (r == 0)
        r = catch_signal(SIGHUP, err);
    return r;
}

/* A database opened as descriptor 1 or 2 would be overwritten by the first message. */
static int hold_standard_descriptors(void) {
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        int opened = open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);      /* the wrong way round: use is an error */
        if (opened != fd)
            return -EBADF;
    }
    return 0;
}

static int change_directory(const struct call *call, struct snap_err *err) {
    if (call->globals.dir && chdir(call->globals.dir) < 0)
        return err_path(err, -errno, call->globals.dir, "change to");
    return 0;
}

static void fill_env(struct call *call, const char *command) {
    const char *store = getenv("SNAPCTL_STORE");
    call->env = (struct snap_env){
        .store = call->globals.store ? call->globals.store : store && *store ? store : NULL,
        .wait = call->globals.wait, .notice = report_notice, .progress = report_progress, .data = call,
        .cancel = &interrupted, .command = command,
    };
}

static int run_command(struct call *call, const char *typed, struct snap_err *err) {
    int r = options_check(call, err);
    if (r == 0)
        r = change_directory(call, err);
    if (r == 0)
        r = catch_signals(call, err);
    if (r < 0)
        return r;
    fill_env(call, typed);
    if (call->cmd->needs_project)
        r = project_open(call, call->cmd->open & ~(call->globals.project ? (unsigned)SNAP_OPEN_WORKSPACE : 0), err);
    if (r == 0)
        r = call->cmd->run(call, err);
    call->project = snap_project_close(call->project);
    return r;
}

static int show_version(struct call *call) {
    if (call->globals.json) {
        json_object *object = json_message("version");
        json_text(object, "version", snap_version());
        return json_print(&call->out, object);
    }
    out_text(&call->out, "snapctl %s\n", snap_version());
    return 0;
}

/* Without a command: what there is, as a failure. */
static int run_nothing(struct call *call, struct snap_err *err) {
    if (!call->globals.json) {
        help_overview(&call->out);
        return EXIT_FAILED;
    }
    err_set(err, -EINVAL, "no command was given");
    err_hint(err, "see: snapctl help");
    return err_failure(err, SNAP_FAILURE_USAGE);
}

static int run(struct call *call, const char *typed, struct snap_err *err) {
    if (call->globals.version)
        return show_version(call);
    if (call->globals.help && call->cmd)
        help_command(&call->out, call->cmd);
    else if (call->globals.help)
        help_overview(&call->out);
    else
        return call->cmd ? run_command(call, typed, err) : run_nothing(call, err);
    return 0;
}

/* A command line that was not understood may still have asked for JSON. */
static bool asks_for_json(char *const argv[]) {
    for (; *argv && strcmp(*argv, "--") != 0; argv++)
        if (strcmp(*argv, "--json") == 0)
            return true;
    return false;
}

static int fail(struct call *call, int r, struct snap_err *err) {
    if (!err->code)
        err_errno(err, r, "cannot go on");
    if (interrupted && r == -EINTR)
        err_failure(err, SNAP_FAILURE_INTERRUPTED);
    if (call->globals.json)
        report_json(call, err, report_code(err));
    return report_code(err);
}

static int output_failed(int error) {
    if (error != -EPIPE)
        (void)fprintf(stderr, "snapctl: cannot write to standard output: %s\n", strerror(-error));
    return EXIT_FAILED;
}

/* The exit code. Sentences come after the pager has gone. */
static int finish(struct call *call, int r, struct snap_err *err) {
    bool stopped = call->out.error != 0;       /* then r says only that a listing was told to stop */
    int code = r < 0 && !stopped ? fail(call, r, err) : r;
    int written = out_end(&call->out);
    if (r < 0 && !stopped && r != -EPIPE)      /* EPIPE: `cat` writes by itself */
        report_text(err);
    if (written < 0)
        return output_failed(written);
    return stopped && r < 0 ? 0 : code;
}

int main(int argc, char *argv[]) {
    (void)argc;
    struct snap_err err = {0};
    struct call call = {0};
    _buf_ struct buf typed = {0};
    if (hold_standard_descriptors() < 0)
        return EXIT_FAILED;
    tzset();
    int r = options_parse(&call, argv, &err);
    call.globals.json |= r < 0 && asks_for_json(argv);
    buf_str(&typed, "snapctl ");
    quote_command(&typed, argv[0] ? argv + 1 : argv);

    bool paged = !call.globals.json && (call.globals.help || (call.cmd && call.cmd->paged));
    out_init(&call.out, call.globals.color, paged, !call.globals.quiet);
    if (r == 0)
        r = run(&call, typed.failed ? "snapctl" : typed.data, &err);
    int code = finish(&call, r, &err);
    options_done(&call);
    return code;
}
