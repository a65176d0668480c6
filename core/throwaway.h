/* Workspaces that exist for one command: a name and a directory of their own, and how they go. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"

int throwaway_name(struct snap_project *project, char **ret, struct snap_err *err);     /* "run-1", or the next that is free */
int throwaway_dir(const char *name, char **ret, struct snap_err *err);                  /* made, empty, the user's own */
/* Once the workspace is not mounted there any more: its directory, if one was made for it. */
void throwaway_forget_dir(const struct workspace *workspace);
