/* The command line as typed, taken apart by the option rows.
 * Knows no command by name; does not guess: an option is taken only as its row spells it.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "options.h"

#include "buf.h"
#include "format.h"
#include "typo.h"
#include "when.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
    struct call *call;
    char *const *at;           /* the next word of argv */
    const char *family;        /* "op", while "log" is awaited */
    bool only_words;           /* `--` went by */
    struct snap_err *err;
};

static int usage(struct snap_err *err, const struct cmd *cmd) {
    err_failure(err, SNAP_FAILURE_USAGE);
    if (!err->hint[0])
        err_hint(err, cmd ? "see: snapctl help %s" : "see: snapctl help", cmd ? cmd->name : "");
    return err->code;
}

bool command_begins_with(const struct cmd *cmd, const char *word) {
    size_t size = strlen(word);
    return strncmp(cmd->name, word, size) == 0 && cmd->name[size] == ' ';
}

const struct cmd *command_find(const char *name) {
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

bool command_is_family(const char *word) {
    for (size_t i = 0; commands[i]; i++)
        if (command_begins_with(commands[i], word))
            return true;
    return false;
}

int command_unknown(const char *name, struct snap_err *err) {
    struct typo typo = typo_start(name);
    for (size_t i = 0; commands[i]; i++)
        typo_try(&typo, commands[i]->name);

    _buf_ struct buf shown = {0};
    quote_shell(&shown, name);
    err_set(err, -EINVAL, "%s is not a command", shown.failed ? "this" : shown.data);
    err_hint(err, typo.best ? "did you mean: snapctl %s" : "see: snapctl help", typo.best);
    return err_failure(err, SNAP_FAILURE_USAGE);
}

static const struct option_row *row_named(const struct option_row *rows, const char *name, size_t size) {
    for (; rows && rows->help; rows++)
        if (rows->name && strncmp(rows->name, name, size) == 0 && !rows->name[size])
            return rows;
    return NULL;
}

static const struct option_row *row_lettered(const struct option_row *rows, char letter) {
    for (; rows && rows->help; rows++)
        if (rows->letter == letter)
            return rows;
    return NULL;
}

/* A row, and the struct that its offset is meant in. */
struct found {
    const struct option_row *row;
    void *into;
};

static struct found find_option(const struct parser *parser, char letter, const char *name, size_t size) {
    struct call *call = parser->call;
    const struct option_row *own = call->cmd ? call->cmd->options : NULL;
    const struct option_row *row = name ? row_named(own, name, size) : row_lettered(own, letter);
    if (row)
        return (struct found){ row, call->options };
    row = name ? row_named(global_rows, name, size) : row_lettered(global_rows, letter);
    return (struct found){ row, &call->globals };
}

static void try_names(struct typo *typo, const struct option_row *rows) {
    for (; rows && rows->help; rows++)
        if (rows->name)
            typo_try(typo, rows->name);
}

/* Some command other than this one has it. */
static const struct cmd *whose_option(char letter, const char *name, size_t size) {
    for (size_t i = 0; commands[i]; i++)
        if (name ? row_named(commands[i]->options, name, size) : row_lettered(commands[i]->options, letter))
            return commands[i];
    return NULL;
}

static int unknown_option(const struct parser *parser, char letter, const char *name, size_t size) {
    const struct cmd *cmd = parser->call->cmd;
    char short_name[] = { '-', letter, '\0' };
    _buf_ struct buf long_name = {0}, shown = {0};
    buf_str(&long_name, "--");
    if (name)
        buf_add(&long_name, name, size);
    quote_shell(&shown, !name || long_name.failed ? short_name : long_name.data);

    if (cmd)
        err_set(parser->err, -EINVAL, "'%s' has no option %s", cmd->name, shown.failed ? "like this" : shown.data);
    else
        err_set(parser->err, -EINVAL, "there is no option %s before the command", shown.failed ? "like this" : shown.data);

    struct typo typo = typo_start(name && !long_name.failed ? long_name.data + 2 : letter == 'h' ? "help" : "");
    try_names(&typo, cmd ? cmd->options : NULL);
    try_names(&typo, global_rows);
    const struct cmd *other = cmd ? NULL : whose_option(letter, name, size);
    if (typo.best)
        err_hint(parser->err, "did you mean: --%s", typo.best);
    else if (other)
        err_hint(parser->err, "an option of a command comes after it: snapctl %s %s", other->name, shown.failed ? "" : shown.data);
    return usage(parser->err, cmd);
}

/* How the option is written, for messages. */
static const char *row_title(const struct option_row *row, char title[32]) {
    if (row->name)
        (void)snprintf(title, 32, "--%s", row->name);
    else
        (void)snprintf(title, 32, "-%c", row->letter);
    return title;
}

static int bad_value(const struct parser *parser, const struct option_row *row, const char *value, const char *wanted) {
    char title[32];
    _buf_ struct buf shown = {0};
    quote_shell(&shown, value);
    err_set(parser->err, -EINVAL, "%s needs %s, not %s", row_title(row, title), wanted, shown.failed ? "this" : shown.data);
    return usage(parser->err, parser->call->cmd);
}

static int set_count(const struct parser *parser, const struct option_row *row, uint64_t *into, const char *value) {
    if (parse_count(value, into) < 0)
        return bad_value(parser, row, value, "a number from 1");
    return 0;
}

static int set_time(const struct parser *parser, const struct option_row *row, int64_t *into, const char *value) {
    if (when_parse(value, time(NULL), row->kind == OPTION_UNTIL, into) < 0)
        return bad_value(parser, row, value, "a time like 2026-01-31, '2026-01-31 12:00', '2 days ago' or @SECONDS");
    if (*into == 0)
        *into = -1;            /* to the library 0 is no limit; nothing happened in the second between */
    return 0;
}

static int set_choice(const struct parser *parser, const struct option_row *row, unsigned *into, const char *value) {
    _buf_ struct buf wanted = {0};
    for (unsigned i = 0; row->choices[i]; i++) {
        if (strcmp(row->choices[i], value) == 0) {
            *into = i;
            return 0;
        }
        buf_fmt(&wanted, "%s%s", i == 0 ? "" : row->choices[i + 1] ? ", " : " or ", row->choices[i]);
    }
    return bad_value(parser, row, value, wanted.failed ? "something else" : wanted.data);
}

static int set_value(const struct parser *parser, struct found found, const char *value) {
    void *into = (char *)found.into + found.row->offset;
    switch (found.row->kind) {
    case OPTION_FLAG:
        *(bool *)into = true;
        return 0;
    case OPTION_TEXT:
        *(const char **)into = value;
        return 0;
    case OPTION_COUNT:
        return set_count(parser, found.row, into, value);
    case OPTION_SINCE:
    case OPTION_UNTIL:
        return set_time(parser, found.row, into, value);
    case OPTION_CHOICE:
        return set_choice(parser, found.row, into, value);
    }
    return 0;
}

static int argument_missing(const struct parser *parser, const struct option_row *row) {
    char title[32];
    err_set(parser->err, -EINVAL, "%s needs an argument: %s", row_title(row, title), row->argument);
    return usage(parser->err, parser->call->cmd);
}

static int parse_long(struct parser *parser, const char *word) {
    const char *name = word + 2, *equals = strchr(name, '=');
    size_t size = equals ? (size_t)(equals - name) : strlen(name);
    struct found found = find_option(parser, 0, name, size);
    if (!found.row)
        return unknown_option(parser, 0, name, size);
    if (!found.row->argument && equals) {
        err_set(parser->err, -EINVAL, "--%s takes no argument", found.row->name);
        return usage(parser->err, parser->call->cmd);
    }
    if (!found.row->argument)
        return set_value(parser, found, NULL);
    if (!equals && !*parser->at)
        return argument_missing(parser, found.row);
    return set_value(parser, found, equals ? equals + 1 : *parser->at++);
}

/* -lR, -n5, -n 5 */
static int parse_letters(struct parser *parser, const char *letters) {
    for (; *letters; letters++) {
        struct found found = find_option(parser, *letters, NULL, 0);
        if (!found.row)
            return unknown_option(parser, *letters, NULL, 0);
        if (found.row->argument && !letters[1] && !*parser->at)
            return argument_missing(parser, found.row);
        if (found.row->argument)
            return set_value(parser, found, letters[1] ? letters + 1 : *parser->at++);
        int r = set_value(parser, found, NULL);
        if (r < 0)
            return r;
    }
    return 0;
}

static int choose(struct parser *parser, const struct cmd *cmd) {
    parser->call->options = calloc(1, MAX(cmd->options_size, (size_t)1));
    if (!parser->call->options)
        return err_nomem(parser->err);
    parser->call->cmd = cmd;
    parser->family = NULL;
    return 0;
}

static int parse_command(struct parser *parser, const char *word) {
    _buf_ struct buf name = {0};
    if (parser->family)
        buf_fmt(&name, "%s ", parser->family);
    buf_str(&name, word);
    if (name.failed)
        return err_nomem(parser->err);

    const struct cmd *cmd = command_find(name.data);
    if (cmd)
        return choose(parser, cmd);
    if (parser->family || !command_is_family(word))
        return command_unknown(name.data, parser->err);
    parser->family = word;
    return 0;
}

static int parse_word(struct parser *parser) {
    struct call *call = parser->call;
    char *word = *parser->at++;
    if (!parser->only_words && strcmp(word, "--") == 0) {
        parser->only_words = true;
        return 0;
    }
    if (!parser->only_words && word[0] == '-' && word[1] == '-')
        return parse_long(parser, word);
    if (!parser->only_words && word[0] == '-' && word[1])
        return parse_letters(parser, word + 1);
    if (!call->cmd)
        return parse_command(parser, word);
    parser->only_words |= call->cmd->takes_command;
    if (parser->only_words && call->cmd->takes_paths)
        call->paths[call->path_count++] = word;
    else
        call->words[call->word_count++] = word;
    return 0;
}

static int family_incomplete(const struct parser *parser) {
    _buf_ struct buf names = {0};
    for (size_t i = 0; commands[i]; i++)
        if (command_begins_with(commands[i], parser->family))
            buf_fmt(&names, "%ssnapctl %s", names.size ? ", " : "", commands[i]->name);
    err_set(parser->err, -EINVAL, "'%s' needs a second word", parser->family);
    err_hint(parser->err, "there is: %s", names.failed ? "" : names.data);
    return usage(parser->err, NULL);
}

static size_t count_words(char *const argv[]) {
    size_t count = 0;
    while (argv[count])
        count++;
    return count;
}

int options_parse(struct call *call, char *const argv[], struct snap_err *err) {
    size_t room = count_words(argv) + 1;
    call->words = calloc(room, sizeof(*call->words));
    call->paths = calloc(room, sizeof(*call->paths));
    if (!call->words || !call->paths)
        return err_nomem(err);

    struct parser parser = { .call = call, .at = argv[0] ? argv + 1 : argv, .err = err };
    while (*parser.at) {
        int r = parse_word(&parser);
        if (r < 0)
            return r;
    }
    if (parser.family && !call->globals.help)
        return family_incomplete(&parser);
    if (call->globals.quiet && call->globals.verbose) {
        err_set(err, -EINVAL, "-q and -v contradict each other");
        return usage(err, call->cmd);
    }
    return 0;
}

int options_check(const struct call *call, struct snap_err *err) {
    const struct cmd *cmd = call->cmd;
    if (call->word_count < cmd->words_min)
        err_set(err, -EINVAL, "'%s' needs %s", cmd->name, cmd->usage);
    else if (call->word_count > cmd->words_max && cmd->words_max == 0)
        err_set(err, -EINVAL, "'%s' takes no operand", cmd->name);
    else if (call->word_count > cmd->words_max)
        err_set(err, -EINVAL, "'%s' takes no more than %s", cmd->name, cmd->usage);
    else
        return 0;
    return usage(err, cmd);
}

void options_done(struct call *call) {
    free(TAKE_PTR(call->options));
    free(TAKE_PTR(call->words));
    free(TAKE_PTR(call->paths));
}
