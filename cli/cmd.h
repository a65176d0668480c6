/* A command is a value: its name, its option rows, the function that runs it.
 * The rows feed parsing, --help, the completions and the check of the manual. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include "err.h"
#include "out.h"
#include "snapctl.h"

enum option_kind {
    OPTION_FLAG = 0,           /* bool */
    OPTION_TEXT,               /* const char * */
    OPTION_COUNT,              /* uint64_t, from 1 */
    OPTION_SINCE,              /* int64_t, seconds since the epoch; a day means its beginning */
    OPTION_UNTIL,              /* int64_t; a day means its end */
    OPTION_CHOICE,             /* unsigned: which of `choices` */
};

enum operand {                 /* what completions offer in the place of an operand or an argument */
    OPERAND_NONE = 0,
    OPERAND_TEXT,              /* nothing to offer */
    OPERAND_FILE,
    OPERAND_DIRECTORY,
    OPERAND_SNAPSHOT,
    OPERAND_WORKSPACE,
    OPERAND_MOUNTABLE,         /* a snapshot or a workspace */
    OPERAND_OPERATION,
    OPERAND_COMMAND,
    OPERAND_PROGRAM,           /* and its arguments */
};

struct option_row {
    char letter;               /* 0 = none */
    const char *name;          /* without the dashes; NULL = only the letter */
    const char *argument;      /* what help calls it; NULL = takes none */
    const char *help;          /* NULL ends the rows */
    enum option_kind kind;
    size_t offset;             /* of the value in the command's options */
    const char *const *choices;   /* NULL-terminated */
    enum operand operand;      /* of the argument */
};

#define ROW_FLAG(letter, name, type, field, help) { letter, name, NULL, help, OPTION_FLAG, offsetof(type, field) }
#define ROW_END { .help = NULL }

struct globals {               /* the options of every command */
    const char *dir, *store;   /* NULL = not given */
    bool json, quiet, verbose, wait, project, help, version;
    unsigned color;            /* enum out_color */
};
extern const struct option_row global_rows[];

struct call {                  /* a command as it was typed */
    const struct cmd *cmd;
    struct globals globals;
    void *options;             /* what cmd->options point into */
    char **words;              /* operands, NULL-terminated */
    size_t word_count;
    char **paths;              /* operands after `--` of a command that tells them apart, NULL-terminated */
    size_t path_count;
    struct snap_env env;
    struct snap_project *project;   /* open while the command runs, if it needs one */
    bool pipe_ignored;         /* SIGPIPE was, before we came */
    struct out out;
};

struct cmd {
    const char *name;          /* one or two words */
    const char *summary;       /* imperative, without a full stop */
    const char *usage;         /* the operands, as help shows them */
    const char *group;         /* the heading it stands under in help */
    const char *manual;        /* its page in section 1 */
    const struct option_row *options;
    size_t options_size;
    unsigned words_min, words_max;
    bool takes_paths;          /* what follows `--` are paths */
    bool takes_command;        /* from the first word on, all words are another command's */
    enum operand operand;      /* of the words */
    enum operand last;         /* of those after the first; NONE = as the first */
    bool needs_project;
    unsigned open;             /* enum snap_open */
    bool paged;                /* its output may be long */
    /* A negative errno and `err`, or the exit code. */
    int (*run)(struct call *call, struct snap_err *err);
};

extern const struct cmd *const commands[];      /* in the order of help, NULL-terminated */

/* Exit codes. */
enum {
    EXIT_DIFFERENT = 1,
    EXIT_FAILED = 2,
    EXIT_PARTIAL = 3,
    EXIT_CONFLICT = 4,
    EXIT_DAMAGE = 5,
    EXIT_NO_PROJECT = 10,
    EXIT_LOCKED = 11,
    EXIT_INTERRUPTED = 130,
};

/* What was done, except for the paths that were named. */
static inline int exit_code(uint64_t failed) { return failed ? EXIT_PARTIAL : 0; }

extern const struct cmd cmd_init, cmd_take, cmd_import, cmd_status, cmd_log, cmd_show, cmd_diff, cmd_export, cmd_ls, cmd_cat, cmd_restore,
    cmd_rollback, cmd_undo, cmd_redo, cmd_op_log, cmd_tag, cmd_doctor, cmd_help;
extern const struct cmd cmd_verify;
extern const struct cmd cmd_rm, cmd_gc;
extern const struct cmd cmd_watch_start, cmd_watch_stop, cmd_watch_status, cmd_watch_run;
extern const struct cmd cmd_apply, cmd_mount, cmd_umount, cmd_workspace_add, cmd_workspace_list, cmd_workspace_remove, cmd_run;
extern const struct cmd cmd_rm, cmd_prune, cmd_gc;
extern const struct cmd cmd_rm, cmd_prune, cmd_gc, cmd_du;
