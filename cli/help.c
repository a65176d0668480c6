/* Help from the option rows.
 * Says nothing that the rows do not say. SPDX-License-Identifier: GPL-2.0-or-later */
#include "help.h"

#include "options.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 78, INDENT = 22 };

/* "-p, --patch", "-m TEXT", "    --store DIR" */
static void add_title(struct buf *out, const struct option_row *row) {
    if (row->letter)
        buf_fmt(out, "-%c", row->letter);
    if (row->letter && row->name)
        buf_str(out, ", ");
    if (row->name)
        buf_fmt(out, "--%s", row->name);
    if (row->argument)
        buf_fmt(out, " %s", row->argument);
}

static void show_rows(struct out *out, const struct option_row *rows) {
    for (; rows && rows->help; rows++) {
        _buf_ struct buf title = {0};
        add_title(&title, rows);
        if (!title.failed)
            out_text(out, "  %-*s  %s\n", INDENT - 4, title.data, rows->help);
    }
}

static void add_usage_row(struct buf *out, const struct option_row *row) {
    buf_char(out, '[');
    if (row->name)
        buf_fmt(out, "--%s", row->name);
    else
        buf_fmt(out, "-%c", row->letter);
    if (row->argument)
        buf_fmt(out, " %s", row->argument);
    buf_char(out, ']');
}

/* Adds a word that must not be torn apart, on a new line if it does not fit. */
static void add_wrapped(struct buf *line, const char *word, size_t *column, size_t indent) {
    size_t size = strlen(word);
    if (*column + 1 + size > WIDTH) {
        buf_fmt(line, "\n%*s", (int)indent, "");
        *column = indent;
    }
    buf_fmt(line, " %s", word);
    *column += 1 + size;
}

static void show_usage(struct out *out, const char *command, const struct option_row *rows, const char *operands) {
    _buf_ struct buf line = {0};
    buf_fmt(&line, "usage: snapctl%s%s", *command ? " " : "", command);
    size_t indent = line.size, column = line.size;
    for (const struct option_row *row = rows; row && row->help; row++) {
        _buf_ struct buf word = {0};
        add_usage_row(&word, row);
        if (!word.failed)
            add_wrapped(&line, word.data, &column, indent);
    }
    if (*operands)
        add_wrapped(&line, operands, &column, indent);
    if (!line.failed)
        out_text(out, "%s\n", line.data);
}

void help_command(struct out *out, const struct cmd *cmd) {
    show_usage(out, cmd->name, cmd->options, cmd->usage);
    out_text(out, "\n%s.\n", cmd->summary);
    if (cmd->options && cmd->options->help)
        out_text(out, "\n");
    show_rows(out, cmd->options);
    out_text(out, "\nOptions of every command:\n");
    show_rows(out, global_rows);
    out_text(out, "\nThe manual: man %s\n", cmd->manual);
}

void help_family(struct out *out, const char *word) {
    for (size_t i = 0; commands[i]; i++)
        if (command_begins_with(commands[i], word))
            out_text(out, "snapctl %-16s  %s\n", commands[i]->name, commands[i]->summary);
}

void help_overview(struct out *out) {
    show_usage(out, "", global_rows, "COMMAND ...");
    const char *group = "";
    for (size_t i = 0; commands[i]; i++) {
        if (strcmp(group, commands[i]->group) != 0)
            out_text(out, "\n%s\n", commands[i]->group);
        group = commands[i]->group;
        out_text(out, "  %-16s  %s\n", commands[i]->name, commands[i]->summary);
    }
    out_text(out, "\nSNAP is a number, a name, latest, or latest~N.\n"
                  "More: snapctl help COMMAND, man snapctl\n");
}
