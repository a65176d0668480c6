/* The watch daemon of a project: a watcher, its journal, and a socket in the store at which commands ask for it.
 * Writes nothing but its lock, its socket and its log; never takes the store's lock, and has no connection to the database.
 *
 * What a command says, one line:          what it hears:
 *     kept NAME CLOCK                     NAME CLOCK known|unknown BACKEND WATCHES UNCOVERED LOST EVENTS NOTED PID SINCE\n
 *     since NAME CLOCK                    and, where known, records KIND PATH\0NAME\0 to the end; `kept`: the live index says so,
 *                                         nobody will ask for anything before
 *     info                                the same first line
 *     stop                                the same first line, and it ends
 *
 * NAME and CLOCK of the first line stand for everything that happened before the command asked: the queue is read to its end
 * first. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "project.h"
#include "watch.h"

#include <sys/un.h>

#define WATCHD_SOCKET "watch.sock"
#define WATCHD_LOCK "watch.lock"

/* Watches until it is told to stop, *env.cancel is set, or the project or the store goes away. `ready` is called when
 * changes are being recorded. -EBUSY: another one watches this project. */
int watchd_run(struct snap_project *project, enum watch_backend backend, void (*ready)(void *data), void *data, struct snap_err *err);
/* The socket, by a path that is short enough whatever the store's is. */
void watchd_address(struct store *store, struct sockaddr_un *ret);
/* Says one line to the daemon of the store's project: 1 = *ret has its answer, 0 = there is no daemon, or a negative errno. */
int watchd_say(struct store *store, const char *line, struct buf *ret);
/* How it is: 1 = *ret says, 0 = there is none, or a negative errno. */
int watchd_state(struct store *store, struct snap_watch *ret);
