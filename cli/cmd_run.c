/* snapctl run: a command in a workspace of its own; then what it changed, and whether the project shall have it.
 * How the command is started and waited for is child.c, what it leaves running left.c. SPDX-License-Identifier: GPL-2.0-or-later */
#include "child.h"
#include "difference.h"
#include "format.h"
#include "left.h"
#include "project.h"
#include "quote.h"
#include "report.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum apply_when { APPLY_ASK = 0, APPLY_YES, APPLY_NO };
enum outcome { OUTCOME_KEPT = 0, OUTCOME_UNCHANGED, OUTCOME_APPLIED, OUTCOME_DISCARDED };

struct run_options { const char *from; unsigned apply; bool kill; };

static const char *const apply_choices[] = { [APPLY_ASK] = "ask", [APPLY_YES] = "yes", [APPLY_NO] = "no", NULL };

static const struct option_row options[] = {
    { 0, "from", "SNAP", "run it on this snapshot, instead of the project as it is now", OPTION_TEXT,
      offsetof(struct run_options, from), NULL, OPERAND_SNAPSHOT },
    { 0, "apply", "WHEN", "do to the project what it changed: ask, yes or no", OPTION_CHOICE, offsetof(struct run_options, apply),
      apply_choices, OPERAND_NONE },
    ROW_FLAG(0, "kill", struct run_options, kill, "end what it left running; --wait waits for that, too"),
    ROW_END,
};

struct running {
    struct call *call;
    const struct run_options *given;
    char *root, *inside;       /* the project; the working directory, relative to it */
    char *workspace, *mount;   /* its name, where it is mounted */
    int64_t base;              /* the snapshot that it stands on */
    pid_t server;              /* of the mount */
    struct child child;
    int status;                /* of the command, as waitpid tells it */
    struct left left;          /* what it left running and was let run */
    bool mounted;
    uint64_t changes, left_out;           /* rows that were shown, and those that the project leaves out */
    enum outcome outcome;
    struct snap_rollback_result applied;
    int64_t removal;           /* the operation that discarded it */
};

static void running_done(struct running *running) {
    left_done(&running->left);
    free(running->root);
    free(running->inside);
    free(running->workspace);
    free(running->mount);
}

static int check_options(const struct call *call, const struct run_options *given, struct snap_err *err) {
    if (!call->globals.wait || !given->kill)
        return 0;
    err_set(err, -EINVAL, "what the command leaves running is waited for or ended, not both");
    return err_failure(err, SNAP_FAILURE_USAGE);
}

/* The workspace. */

static int remember_mount(void *data, const struct snap_mount *mount) {
    struct running *running = data;
    running->workspace = strdup(mount->workspace);
    running->mount = strdup(mount->dir);
    running->base = mount->snapshot;
    running->server = (pid_t)mount->pid;
    running->mounted = true;
    return running->workspace && running->mount ? 0 : -ENOMEM;
}

static int open_project(struct running *running, unsigned flags, struct snap_err *err) {
    running->call->project = snap_project_close(running->call->project);
    running->call->env.wait = true;           /* the command may have taken hours: nothing is given up for another's minute */
    return snap_project_open(&running->call->env, flags, &running->call->project, err);
}

/* The project is closed when the command is started: nothing of it may be inherited. */
static int make_workspace(struct running *running, struct snap_err *err) {
    struct call *call = running->call;
    struct snap_workspace_options wanted = { .from = running->given->from };
    struct snap_take_result taken;
    int r = snap_workspace_add(&call->env, &wanted, &taken, remember_mount, running, err);
    if (r == 0)
        r = snap_project_open(&call->env, SNAP_OPEN_READ, &call->project, err);
    if (r < 0)
        return r;
    running->root = strdup(snap_project_info(call->project)->root);
    running->inside = strdup(snap_project_info(call->project)->inside);
    call->project = snap_project_close(call->project);
    return running->root && running->inside ? 0 : err_nomem(err);
}

static int unmount(struct running *running, struct snap_err *err) {
    int r = running->mounted ? snap_unmount(&running->call->env, running->mount, err) : 0;
    running->mounted &= r < 0;
    return r;
}

/* Nothing was run in it. The failure before is the one to tell. */
static void take_back(struct running *running) {
    struct snap_err ignored = {0};
    if (running->workspace && unmount(running, &ignored) == 0 && open_project(running, SNAP_OPEN_WRITE, &ignored) == 0)
        (void)snap_workspace_forget(running->call->project, running->workspace, &ignored);
}

/* The command. */

/* Excluded paths are not in snapshots, and so perhaps not in the workspace. */
static void choose_directory(struct running *running) {
    _buf_ struct buf dir = {0};
    buf_fmt(&dir, "%s/%s", running->mount, running->inside);
    running->child.inside = running->inside;
    if (dir.failed || access(dir.data, X_OK) == 0)
        return;
    running->child.inside = "";
    report_notice(running->call, SNAP_NOTICE_INFO, running->inside, "is not in the workspace: the command starts in its uppermost directory");
}

static void say_elsewhere(struct running *running, const struct snap_err *why) {
    _buf_ struct buf text = {0};
    buf_str(&text, "the command runs in '");
    quote_display(&text, running->mount, strlen(running->mount));
    buf_fmt(&text, "' and not at the project's own path: %s", why->message);
    if (!text.failed)
        report_notice(running->call, SNAP_NOTICE_INFO, NULL, text.data);
}

static int start(struct running *running, struct snap_err *err) {
    struct child *child = &running->child;
    struct call *call = running->call;
    *child = (struct child){ .words = call->words, .workspace = running->workspace, .mount = running->mount, .root = running->root,
                             .to_stderr = call->globals.json, .keep_pipe_ignored = call->pipe_ignored };
    choose_directory(running);
    if (fflush(stdout) == EOF)
        return err_errno(err, -errno, "cannot write to standard output");
    int r = child_start(child, err);
    if (r != CHILD_NO_NAMESPACE)
        return r;
    say_elsewhere(running, err);
    child->root = NULL;
    *err = (struct snap_err){0};
    return child_start(child, err);
}

/* Standard output was the command's: what is said about it goes to standard error. */
static int change_output(struct call *call, struct snap_err *err) {
    if (call->globals.json)
        return 0;
    if (fflush(stdout) == EOF || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return err_errno(err, -errno, "cannot write to standard error");
    out_init(&call->out, call->globals.color, false, !call->globals.quiet);
    return 0;
}

/* Asking. */

static bool can_ask(const struct call *call) {
    return !call->globals.json && isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

/* One of `letters`; 0 = no answer. */
static char ask(const char *question, const char *letters) {
    _free_ char *line = NULL;
    size_t room = 0;
    for (;;) {
        if (fflush(stdout) == EOF || fprintf(stderr, "%s ", question) < 0 || fflush(stderr) == EOF || getline(&line, &room, stdin) <= 0)
            return 0;
        const char *word = line + strspn(line, " \t");
        if (*word && *word != '\n' && strchr(letters, *word))
            return *word;
    }
}

/* What it left running. */

static void say_left(struct running *running, const char *what) {
    _buf_ struct buf text = {0};
    buf_fmt(&text, "%s: ", what);
    left_name(&running->left, &text);
    if (!text.failed)
        report_notice(running->call, SNAP_NOTICE_INFO, NULL, text.data);
}

static int end_left(struct running *running, bool wait, struct snap_err *err) {
    const volatile sig_atomic_t *cancel = running->call->env.cancel;
    int r = wait ? left_wait(running->server, cancel, err) : left_kill(running->server, cancel, err);
    left_done(&running->left);
    int found = left_find(running->server, &running->left, err);
    return r < 0 ? r : found;
}

static int see_to_left(struct running *running, struct snap_err *err) {
    int r = left_find(running->server, &running->left, err);
    if (r < 0 || !running->left.count)
        return r;
    bool wait = running->call->globals.wait, end = running->given->kill;
    say_left(running, wait ? "waiting for what the command left running" : end ? "ending what the command left running" : "the command left running");
    if (!wait && !end && can_ask(running->call)) {
        char answer = ask("[w]ait for them, [k]ill them, or [l]et them run?", "wkl");
        wait = answer == 'w';
        end = answer == 'k';
    }
    return wait || end ? end_left(running, wait, err) : 0;
}

/* What it changed. */

static int count_change(void *data, const struct snap_change *change) {
    struct view *view = data;
    bool quiet = view->call->globals.quiet && view->format == VIEW_TEXT;
    if (!quiet)
        return view_change(view, change);
    view->rows++;
    return 0;
}

static int show_changes(struct running *running, bool patch, struct snap_err *err) {
    struct call *call = running->call;
    _view_ struct view view = { .call = call, .format = patch ? VIEW_PATCH : call->globals.json ? VIEW_JSON : VIEW_TEXT };
    struct snap_diff_options wanted = { .workspace = running->workspace, .patch = patch };
    struct snap_diff_result result = {0};
    int r = open_project(running, SNAP_OPEN_READ, err);
    if (r == 0)
        r = snap_diff(call->project, &wanted, count_change, &view, &result, err);
    if (r < 0)
        return r;
    running->changes = view.rows;
    running->left_out = result.left_out;
    if (view.rows && view.format == VIEW_TEXT && !call->globals.quiet)
        show_counts(&call->out, &result, view.rows);
    return 0;
}

/* What becomes of it. */

static int apply(struct running *running, struct snap_err *err) {
    struct snap_apply_options wanted = { .workspace = running->workspace, .remove = true };
    int r = open_project(running, SNAP_OPEN_WRITE, err);
    if (r == 0)
        r = snap_apply(running->call->project, &wanted, NULL, NULL, &running->applied, err);
    if (r == 0)
        running->outcome = OUTCOME_APPLIED;
    return r;
}

static int discard(struct running *running, struct snap_err *err) {
    int r = open_project(running, SNAP_OPEN_WRITE, err);
    if (r == 0)
        r = snap_workspace_remove(running->call->project, running->workspace, &running->removal, err);
    if (r == 0)
        running->outcome = OUTCOME_DISCARDED;
    return r;
}

static int forget(struct running *running, struct snap_err *err) {
    int r = open_project(running, SNAP_OPEN_WRITE, err);
    if (r == 0)
        r = snap_workspace_forget(running->call->project, running->workspace, err);
    if (r == 0)
        running->outcome = OUTCOME_UNCHANGED;
    return r;
}

static int ask_what(struct running *running, struct snap_err *err) {
    for (;;) {
        char answer = ask("Do this to the project? [y]es, [n]o: discard it, [k]eep the workspace, show the [d]iff:", "ynkd");
        int r = answer == 'd' ? show_changes(running, true, err) : 0;
        if (r < 0 || answer == 'k' || !answer)
            return r;
        if (answer != 'd')
            return answer == 'y' ? apply(running, err) : discard(running, err);
    }
}

/* Whoever interrupts a command does not want what it had done so far. */
static int decide(struct running *running, struct snap_err *err) {
    if (!running->changes)
        return running->left_out ? discard(running, err) : forget(running, err);
    if (running->given->apply == APPLY_NO)
        return discard(running, err);
    if (running->given->apply == APPLY_YES)
        return WIFSIGNALED(running->status) ? 0 : apply(running, err);
    return can_ask(running->call) ? ask_what(running, err) : 0;
}

static int finish(struct running *running, struct snap_err *err) {
    int r = see_to_left(running, err);
    if (r < 0 || running->left.count)
        return r;
    if ((r = unmount(running, err)) < 0 || (r = show_changes(running, false, err)) < 0)
        return r;
    return decide(running, err);
}

/* Telling. */

static const char *outcome_name(enum outcome outcome) {
    switch (outcome) {
    case OUTCOME_KEPT: return "kept";
    case OUTCOME_UNCHANGED: return "unchanged";
    case OUTCOME_APPLIED: return "applied";
    case OUTCOME_DISCARDED: return "discarded";
    }
    return "kept";
}

/* `discard it with: snapctl workspace remove run-1` */
static void show_command(struct running *running, const char *what, const char *command, const char *operand) {
    _buf_ struct buf rest = {0}, whole = {0};
    buf_fmt(&rest, "%s ", command);
    quote_shell(&rest, operand);
    if (!rest.failed)
        add_snapctl(&whole, running->call, rest.data);
    if (!whole.failed)
        out_text(&running->call->out, "%s with: %s\n", what, whole.data);
}

static void show_kept(struct running *running) {
    struct out *out = &running->call->out;
    out_text(out, "workspace \"%s\" is kept", running->workspace);
    if (running->mounted) {
        out_text(out, ", mounted on ");
        out_path(out, running->mount);
    }
    out_text(out, "\n");
    if (running->mounted)
        show_command(running, "unmount it", "umount", running->mount);
    show_command(running, "apply it", "apply", running->workspace);
    show_command(running, "discard it", "workspace remove", running->workspace);
}

static void show_text(struct running *running) {
    struct call *call = running->call;
    switch (running->outcome) {
    case OUTCOME_KEPT: show_kept(running); break;
    case OUTCOME_UNCHANGED: out_text(&call->out, "nothing changed\n"); break;
    case OUTCOME_DISCARDED:
        out_text(&call->out, "discarded\n");
        show_undo(call, running->removal);
        break;
    case OUTCOME_APPLIED:
        out_text(&call->out, "applied");
        show_restored(&call->out, &running->applied);
        show_undo(call, running->applied.operation);
        break;
    }
}

static json_object *left_json(const struct left *left) {
    json_object *array = json_object_new_array();
    for (size_t i = 0; array && i < left->count; i++) {
        json_object *process = json_object_new_object();
        json_number(process, "pid", left->at[i].pid);
        json_path(process, "name", left->at[i].name);
        (void)json_object_array_add(array, process);
    }
    return array;
}

static int show_json(struct running *running) {
    json_object *object = json_message("run");
    json_number(object, "exit_code", child_exit_code(running->status));
    json_id(object, "signal", WIFSIGNALED(running->status) ? WTERMSIG(running->status) : 0);
    json_text(object, "workspace", running->workspace);
    json_id(object, "snapshot", running->base);
    json_path(object, "dir", running->child.root ? running->child.root : running->mount);
    json_flag(object, "own_path", running->child.root);
    json_text(object, "outcome", outcome_name(running->outcome));
    json_count(object, "changes", running->changes);
    json_id(object, "operation", running->applied.operation ? running->applied.operation : running->removal);
    json_count(object, "failed", running->applied.failed);
    json_add(object, "left_running", left_json(&running->left));
    return json_print(&running->call->out, object);
}

static int tell(struct running *running) {
    if (running->call->globals.json)
        return show_json(running);
    if (!running->call->globals.quiet || running->outcome == OUTCOME_KEPT)
        show_text(running);
    return 0;
}

static int fail_with(struct running *running, const struct snap_err *err, int code) {
    if (running->call->globals.json)
        report_json(running->call, err, code);
    else
        report_text(err);
    return code;
}

/* The command's own code comes before ours. */
static int exit_with(struct running *running, int r, struct snap_err *err) {
    int code = child_exit_code(running->status);
    if (r == 0)
        return code ? code : exit_code(running->applied.failed);
    return code ? fail_with(running, err, code) : r;
}

static int not_started(struct running *running, int r, struct snap_err *err) {
    int code = running->child.code;
    take_back(running);
    return code ? fail_with(running, err, code) : r;
}

static int run(struct call *call, struct snap_err *err) {
    _cleanup_(running_done) struct running running = { .call = call, .given = call->options };
    int r = check_options(call, running.given, err);
    if (r < 0)
        return r;
    if ((r = make_workspace(&running, err)) < 0 || (r = start(&running, err)) < 0)
        return not_started(&running, r, err);
    r = child_wait(&running.child, &running.status, err);
    if (r == 0)
        r = change_output(call, err);
    if (r == 0)
        r = finish(&running, err);
    int told = tell(&running);
    return exit_with(&running, r < 0 ? r : told, err);
}

const struct cmd cmd_run = {
    .name = "run", .summary = "Run a command in a throw-away workspace, then apply or discard what it changed", .usage = "CMD [ARG...]",
    .group = "Mount", .manual = "snapctl-run", .options = options, .options_size = sizeof(struct run_options), .words_min = 1,
    .words_max = UINT_MAX, .takes_command = true, .operand = OPERAND_PROGRAM, .run = run,
};
