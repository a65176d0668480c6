/* Running the program under test as a user does: a fresh process, a clean environment, what it said kept.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One sandbox: BASE/project, BASE/state (XDG_STATE_HOME), BASE/out, all on one file system. */
struct box {
    char *program;             /* absolute path of snapctl */
    char *base, *project, *state, *out;
    int project_fd;            /* the project's root */
};
/* Makes the directories in a fresh one below `parent`; NULL: TMPDIR or /tmp. 0, or -1 with errno. */
int box_open(struct box *ret, const char *program, const char *parent);
void box_remove(struct box *box);          /* with everything in it */
void box_done(struct box *box);            /* forgets it, leaves the files */
char *const *box_environment(const struct box *box);       /* NULL-terminated, valid until the next call */

struct run {
    int code;                  /* exit code, or 128 + signal */
    char *out, *err;           /* NUL-terminated */
    size_t out_size, err_size;
};
void run_done(struct run *run);
#define RUN_WORDS 24
/* The program with these words, NULL-terminated, in `dir` (NULL: the project). Ends the test program if it cannot even be started. */
void run_words(struct run *ret, const struct box *box, const char *dir, const char *const *words);
void run_program(struct run *ret, const struct box *box, ...) __attribute__((sentinel));
/* Two files that take what a child says; run_collect reads them into *ret. */
struct capture { int out, err; };
int capture_open(struct capture *ret);
void capture_collect(struct capture *capture, struct run *ret);       /* and closes them */

/* The number behind the first "KEY": in JSON text; -1: none. */
int64_t json_int(const char *text, const char *key);
