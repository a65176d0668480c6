/* Writes the completions for bash, zsh or fish, or the bare rows, from the option rows of the commands.
 * Runs at build time only; is not installed. SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd.h"
#include "zsh.h"

#include <stdio.h>
#include <string.h>

/* What a shell runs to learn the numbers and names of snapshots, the names of workspaces, or the numbers of operations, one a line. */
#define LIST_SNAPSHOTS "log --all -n 200 --json 2>/dev/null | " \
    "sed -n 'h;s/.*\"number\":\\([0-9]*\\),.*/\\1/p;g;s/.*\"number\":[0-9]*,\"name\":\"\\([^\"]*\\)\".*/\\1/p'; echo latest"
#define LIST_WORKSPACES "workspace list --json 2>/dev/null | sed -n 's/.*\"workspace\":\"\\([^\"]*\\)\".*/\\1/p'"
#define LIST_OPERATIONS "op log --json 2>/dev/null | sed -n 's/.*\"id\":\\([0-9]*\\),.*\"undoable\":true.*/\\1/p'"

static bool is_family_head(size_t i, size_t *ret_size) {
    const char *space = strchr(commands[i]->name, ' ');
    if (!space)
        return false;
    *ret_size = (size_t)(space - commands[i]->name);
    for (size_t j = 0; j < i; j++)
        if (strncmp(commands[j]->name, commands[i]->name, *ret_size + 1) == 0)
            return false;
    return true;
}

/* "init take op": the first words. */
static void print_first_words(void) {
    size_t size;
    for (size_t i = 0; commands[i]; i++) {
        if (!strchr(commands[i]->name, ' '))
            printf("%s%s", i ? " " : "", commands[i]->name);
        else if (is_family_head(i, &size))
            printf(" %.*s", (int)size, commands[i]->name);
    }
}

static void print_second_words(const char *family, size_t size) {
    const char *gap = "";
    for (size_t i = 0; commands[i]; i++) {
        if (strncmp(commands[i]->name, family, size) != 0 || commands[i]->name[size] != ' ')
            continue;
        printf("%s%s", gap, commands[i]->name + size + 1);
        gap = " ";
    }
}

static void print_choices(const struct option_row *row) {
    for (size_t i = 0; row->choices[i]; i++)
        printf("%s%s", i ? " " : "", row->choices[i]);
}

/* Bash. */

static void bash_options(const struct option_row *rows) {
    for (; rows && rows->help; rows++) {
        if (rows->letter)
            printf(" -%c", rows->letter);
        if (rows->name)
            printf(" --%s", rows->name);
    }
}

static void bash_action(enum operand operand) {
    switch (operand) {
    case OPERAND_NONE:
    case OPERAND_TEXT: printf(":"); break;
    case OPERAND_FILE: printf("_snapctl_files -f"); break;
    case OPERAND_DIRECTORY: printf("_snapctl_files -d"); break;
    case OPERAND_SNAPSHOT: printf("_snapctl_offer \"$(snapctl \"${where[@]}\" %s)\"", LIST_SNAPSHOTS); break;
    case OPERAND_WORKSPACE: printf("_snapctl_offer \"$(snapctl \"${where[@]}\" %s)\"", LIST_WORKSPACES); break;
    case OPERAND_MOUNTABLE:
        printf("_snapctl_offer \"$(snapctl \"${where[@]}\" %s; snapctl \"${where[@]}\" %s)\"", LIST_SNAPSHOTS, LIST_WORKSPACES);
        break;
    case OPERAND_OPERATION: printf("_snapctl_offer \"$(snapctl \"${where[@]}\" %s)\"", LIST_OPERATIONS); break;
    case OPERAND_PROGRAM:
        printf("if [[ -z $program ]]; then _snapctl_files -c; elif declare -F _command_offset >/dev/null; then _command_offset \"$program\";"
               " else _snapctl_files -f; fi");
        break;
    case OPERAND_COMMAND: printf("_snapctl_offer \""); print_first_words(); printf("\""); break;
    }
}

static void bash_argument(const char *command, const struct option_row *row) {
    if (!row->argument)
        return;
    printf("    ");
    if (row->letter)
        printf("\"%s:-%c\"%s", command, row->letter, row->name ? "|" : "");
    if (row->name)
        printf("\"%s:--%s\"", command, row->name);
    printf(") ");
    if (row->choices) {
        printf("_snapctl_offer \"");
        print_choices(row);
        printf("\"");
    } else {
        bash_action(row->operand);
    }
    printf("; return ;;\n");
}

static void bash_arguments(void) {
    printf("    case \"$command:$prev\" in\n");
    for (size_t i = 0; commands[i]; i++)
        for (const struct option_row *row = commands[i]->options; row && row->help; row++)
            bash_argument(commands[i]->name, row);
    printf("    esac\n    case \":$prev\" in\n");
    for (const struct option_row *row = global_rows; row->help; row++)
        bash_argument("", row);
    printf("    esac\n");
}

/* Finds the command, and where the project is said to be. */
static void bash_words(void) {
    printf("    for ((i = 1; i < COMP_CWORD; i++)); do\n"
           "        word=${COMP_WORDS[i]}\n"
           "        case \"$word\" in\n"
           "        -C|--store) where+=(\"$word\" \"${COMP_WORDS[++i]}\") ;;\n"
           "        --color) ((i++)) ;;\n"
           "        --) dashes=1 ;;\n"
           "        -*) ;;\n"
           "        *) case \"$command\" in\n"
           "           \"\") command=$word ;;\n");
    size_t size;
    for (size_t i = 0; commands[i]; i++) {
        if (is_family_head(i, &size))
            printf("           %.*s) command+=\" $word\" ;;\n", (int)size, commands[i]->name);
        if (commands[i]->takes_command)
            printf("           %s) program=$i; break ;;\n", commands[i]->name);
    }
    printf("           *) ((++operands)) ;;\n           esac ;;\n        esac\n    done\n");
}

static void bash_operand(const struct cmd *cmd) {
    printf("    \"%s\") ", cmd->name);
    if (cmd->takes_paths)
        printf("if [[ -n $dashes ]]; then _snapctl_files -f; else ");
    if (cmd->last != OPERAND_NONE) {
        printf("if ((operands)); then ");
        bash_action(cmd->last);
        printf("; else ");
    }
    bash_action(cmd->operand);
    printf("%s%s ;;\n", cmd->last != OPERAND_NONE ? "; fi" : "", cmd->takes_paths ? "; fi" : "");
}

static void bash_operands(void) {
    size_t size;
    printf("    case \"$command\" in\n    \"\") _snapctl_offer \"");
    print_first_words();
    printf("\" ;;\n");
    for (size_t i = 0; commands[i]; i++) {
        if (is_family_head(i, &size)) {
            printf("    %.*s) _snapctl_offer \"", (int)size, commands[i]->name);
            print_second_words(commands[i]->name, size);
            printf("\" ;;\n");
        }
        bash_operand(commands[i]);
    }
    printf("    esac\n");
}

/* Both functions see $cur of the caller. */
static void bash_helpers(void) {
    printf("_snapctl_offer() {\n    mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\")\n}\n"
           "_snapctl_files() {\n    compopt -o filenames\n    mapfile -t COMPREPLY < <(compgen \"$1\" -- \"$cur\")\n}\n");
}

static void bash(void) {
    printf("# bash completion for snapctl, made from its option rows\n");
    bash_helpers();
    printf("_snapctl() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command='' dashes='' program='' operands=0 word i options\n"
           "    local -a where=()\n    COMPREPLY=()\n");
    bash_words();
    bash_arguments();
    printf("    if [[ $cur == -* && -z $dashes && -z $program ]]; then\n        options=\"");
    bash_options(global_rows);
    printf("\"\n        case \"$command\" in\n");
    for (size_t i = 0; commands[i]; i++) {
        if (!commands[i]->options)
            continue;
        printf("        \"%s\") options+=\"", commands[i]->name);
        bash_options(commands[i]->options);
        printf("\" ;;\n");
    }
    printf("        esac\n        _snapctl_offer \"$options\"\n        return\n    fi\n");
    bash_operands();
    printf("}\ncomplete -F _snapctl snapctl\n");
}

/* Zsh. */

static const char *zsh_function(enum operand operand) {
    switch (operand) {
    case OPERAND_NONE:
    case OPERAND_TEXT: return " ";
    case OPERAND_FILE: return "_files";
    case OPERAND_DIRECTORY: return "_files -/";
    case OPERAND_SNAPSHOT: return "_snapctl_snapshots";
    case OPERAND_WORKSPACE: return "_snapctl_workspaces";
    case OPERAND_MOUNTABLE: return "_snapctl_mountables";
    case OPERAND_OPERATION: return "_snapctl_operations";
    case OPERAND_PROGRAM: return "_command_names -e";
    case OPERAND_COMMAND: return "_snapctl_commands";
    }
    return " ";
}

static void zsh_spec(const struct option_row *row, const char *option) {
    printf(" '%s%s[", option, row->argument && option[1] == '-' ? "=" : "");
    zsh_text(row->help);
    printf("]");
    if (row->argument && row->choices) {
        printf(":%s:(", row->argument);
        print_choices(row);
        printf(")");
    } else if (row->argument) {
        printf(":%s:%s", row->argument, zsh_function(row->operand));
    }
    printf("'");
}

static void zsh_rows(const struct option_row *rows) {
    for (; rows && rows->help; rows++) {
        char option[40];
        if (rows->letter) {
            (void)snprintf(option, sizeof(option), "-%c", rows->letter);
            zsh_spec(rows, option);
        }
        if (rows->name) {
            (void)snprintf(option, sizeof(option), "--%s", rows->name);
            zsh_spec(rows, option);
        }
    }
}

static void zsh_commands(void) {
    size_t size;
    printf("_snapctl_commands() {\n    local -a list=(");
    for (size_t i = 0; commands[i]; i++) {
        bool second = strchr(commands[i]->name, ' ') != NULL;
        if (second && !is_family_head(i, &size))
            continue;
        printf("\n        '%.*s:", second ? (int)size : (int)strlen(commands[i]->name), commands[i]->name);
        zsh_text(commands[i]->summary);
        printf("'");
    }
    printf("\n    )\n    _describe command list\n}\n");
}

static void zsh_case(const struct cmd *cmd) {
    const char *space = strchr(cmd->name, ' ');
    if (space)
        printf("    '%.*s') _arguments $globals '1:command:(%s)'", (int)(space - cmd->name), cmd->name, space + 1);
    else
        printf("    '%s') _arguments $globals", cmd->name);
    zsh_rows(cmd->options);
    if (cmd->takes_paths)
        printf(" '*:operand:_snapctl_operands %s'", zsh_function(cmd->operand));
    else if (cmd->takes_command)
        printf(" '(-)1:command:%s' '*::argument:_normal'", zsh_function(cmd->operand));
    else if (cmd->last != OPERAND_NONE)
        printf(" '%d:operand:%s' '*:operand:%s'", space ? 2 : 1, zsh_function(cmd->operand), zsh_function(cmd->last));
    else if (cmd->operand != OPERAND_NONE)
        printf(" '*:operand:%s'", zsh_function(cmd->operand));
    printf(" ;;\n");
}

static void zsh(void) {
    printf("#compdef snapctl\n# made from the option rows of snapctl\n"
           "_snapctl_snapshots() {\n    local -a list=(${(f)\"$(snapctl $where %s)\"})\n    compadd -a list\n}\n"
           "_snapctl_workspaces() {\n    local -a list=(${(f)\"$(snapctl $where %s)\"})\n    compadd -a list\n}\n"
           "_snapctl_operations() {\n    local -a list=(${(f)\"$(snapctl $where %s)\"})\n    compadd -a list\n}\n"
           "_snapctl_mountables() {\n    _snapctl_snapshots\n    _snapctl_workspaces\n}\n"
           "_snapctl_operands() {\n    if (( ${words[(I)--]} && ${words[(I)--]} < CURRENT )); then _files; else $1; fi\n}\n",
           LIST_SNAPSHOTS, LIST_WORKSPACES, LIST_OPERATIONS);
    zsh_commands();
    printf("_snapctl() {\n    local state line\n    local -a globals where\n    typeset -A opt_args\n    globals=(");
    zsh_rows(global_rows);
    printf(")\n    _arguments -C $globals '1:command:_snapctl_commands' '*::operand:->operands'\n"
           "    [[ -n $opt_args[-C] ]] && where+=(-C ${(Q)opt_args[-C]})\n"
           "    [[ -n $opt_args[--store] ]] && where+=(--store ${(Q)opt_args[--store]})\n"
           "    [[ $state == operands ]] || return\n    case $words[1] in\n");
    for (size_t i = 0; commands[i]; i++)
        zsh_case(commands[i]);
    printf("    esac\n}\n_snapctl \"$@\"\n");
}

/* Fish. */

static void fish_text(const char *text) {
    printf("'");
    for (; *text; text++)
        printf(*text == '\'' || *text == '\\' ? "\\%c" : "%c", *text);
    printf("'");
}

static void fish_argument(enum operand operand) {
    switch (operand) {
    case OPERAND_NONE:
    case OPERAND_TEXT: break;
    case OPERAND_FILE: printf(" -F"); break;
    case OPERAND_DIRECTORY: printf(" -a '(__fish_complete_directories)'"); break;
    case OPERAND_SNAPSHOT: printf(" -a '(__snapctl_snapshots)'"); break;
    case OPERAND_WORKSPACE: printf(" -a '(__snapctl_workspaces)'"); break;
    case OPERAND_MOUNTABLE: printf(" -a '(__snapctl_snapshots; __snapctl_workspaces)'"); break;
    case OPERAND_OPERATION: printf(" -a '(__snapctl_operations)'"); break;
    case OPERAND_PROGRAM: printf(" -F -a '(__fish_complete_command)'"); break;
    case OPERAND_COMMAND: printf(" -a '"); print_first_words(); printf("'"); break;
    }
}

static void fish_rows(const struct option_row *rows, const char *condition) {
    for (; rows && rows->help; rows++) {
        printf("complete -c snapctl%s", condition);
        if (rows->letter)
            printf(" -s %c", rows->letter);
        if (rows->name)
            printf(" -l %s", rows->name);
        if (rows->argument)
            printf(" -x");
        if (rows->choices) {
            printf(" -a '");
            print_choices(rows);
            printf("'");
        } else if (rows->argument) {
            fish_argument(rows->operand);
        }
        printf(" -d ");
        fish_text(rows->help);
        printf("\n");
    }
}

/* One condition cannot tell "op" from "op log": the second word is asked for too. */
static void fish_condition(const struct cmd *cmd, char *text, size_t size) {
    const char *space = strchr(cmd->name, ' ');
    if (space)
        (void)snprintf(text, size, " -n '__fish_seen_subcommand_from %.*s; and __fish_seen_subcommand_from %s'",
                       (int)(space - cmd->name), cmd->name, space + 1);
    else
        (void)snprintf(text, size, " -n '__fish_seen_subcommand_from %s'", cmd->name);
}

static void fish_command(size_t i) {
    const struct cmd *cmd = commands[i];
    char condition[160];
    size_t size = strlen(cmd->name);
    if (is_family_head(i, &size) || !strchr(cmd->name, ' ')) {
        printf("complete -c snapctl -n __fish_use_subcommand -a %.*s -d ", (int)size, cmd->name);
        fish_text(cmd->summary);
        printf("\n");
    }
    if (cmd->name[size])
        printf("complete -c snapctl -n '__fish_seen_subcommand_from %.*s' -a %s\n", (int)size, cmd->name, cmd->name + size + 1);
    fish_condition(cmd, condition, sizeof(condition));
    fish_rows(cmd->options, condition);
    if (cmd->operand != OPERAND_NONE) {
        printf("complete -c snapctl%s", condition);
        fish_argument(cmd->operand);
        printf("\n");
    }
    if (cmd->takes_paths || cmd->last == OPERAND_DIRECTORY)
        printf("complete -c snapctl%s -F\n", condition);
}

static void fish(void) {
    printf("# fish completion for snapctl, made from its option rows\n"
           "function __snapctl_snapshots\n    snapctl %s\nend\nfunction __snapctl_workspaces\n    snapctl %s\nend\n"
           "function __snapctl_operations\n    snapctl %s\nend\ncomplete -c snapctl -f\n", LIST_SNAPSHOTS, LIST_WORKSPACES, LIST_OPERATIONS);
    fish_rows(global_rows, "");
    for (size_t i = 0; commands[i]; i++)
        fish_command(i);
}

/* COMMAND TAB MANUAL TAB OPTION, or `-` for a command's own line. */
static void print_rows(const char *command, const char *manual, const struct option_row *rows) {
    for (; rows && rows->help; rows++) {
        if (rows->letter)
            printf("%s\t%s\t-%c\n", command, manual, rows->letter);
        if (rows->name)
            printf("%s\t%s\t--%s\n", command, manual, rows->name);
    }
}

static void bare(void) {
    print_rows("-", "snapctl", global_rows);
    for (size_t i = 0; commands[i]; i++) {
        printf("%s\t%s\t-\n", commands[i]->name, commands[i]->manual);
        print_rows(commands[i]->name, commands[i]->manual, commands[i]->options);
    }
}

int main(int argc, char *argv[]) {
    static const struct { const char *name; void (*print)(void); } kinds[] = {
        { "bash", bash }, { "zsh", zsh }, { "fish", fish }, { "rows", bare },
    };
    for (size_t i = 0; argc == 2 && i < ELEMENTS(kinds); i++) {
        if (strcmp(argv[1], kinds[i].name) != 0)
            continue;
        kinds[i].print();
        return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 2;
    }
    (void)fprintf(stderr, "usage: generate bash|zsh|fish|rows\n");
    return 2;
}
