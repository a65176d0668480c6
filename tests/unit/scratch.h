/* A scratch project and store for tests of the core, without registry or command line.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "fs.h"
#include "hook.h"
#include "manifest.h"
#include "project.h"
#include "take.h"

struct scratch {
    char path[64];                 /* holds project/ and store/ */
    int root;                      /* the project */
    struct snap_project *project;  /* locked */
};
extern struct scratch *scratch_now;

int scratch_setup(void **state);                                   /* below /tmp */
int scratch_setup_in_memory(void **state);                         /* on a file system where flushing costs nothing, if there is one */
int scratch_teardown(void **state);
void scratch_write(struct scratch *scratch, const char *path, const char *text);
void scratch_mkdir(struct scratch *scratch, const char *path);
void scratch_run(struct scratch *scratch, const char *shell);      /* with the project as working directory */
const char *scratch_path(struct scratch *scratch, const char *path);
void scratch_deep(struct scratch *scratch, unsigned levels);       /* d/d/d/... with a file at the bottom */
/* The file's content in a snapshot; text NULL: there is none of that path. */
void scratch_expect(struct scratch *scratch, int64_t number, const char *path, const char *text);
int64_t scratch_object(struct scratch *scratch, int64_t number, const char *path);
unsigned scratch_count(int dirfd);                                  /* entries of a directory */
