/* Choosing the call and its fate.
 * Which calls count is trace.c's matter. SPDX-License-Identifier: GPL-2.0-or-later */
#include "fault.h"

#include "cleanup.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static void remember(struct fault *fault, const struct trace_call *call) {
    char path[2 * PATH_MAX] = "";
    bool known = call->fd >= 0 ? trace_fd_path(call, call->fd, path, sizeof(path))
        : call->path >= 0 && trace_path(call, call->dirfd, call->path, path, sizeof(path));
    snprintf(fault->where, sizeof(fault->where), "%s %.250s", call->name, known ? path : "");
    fault->fired = true;
}

/* Not an xattr: ENOSPC is also how ext4 says that it is too large, and only statvfs tells the difference. */
static bool needs_room(const struct trace_call *call) {
    return call->kind == TRACE_CREATE || call->kind == TRACE_WRITE || call->kind == TRACE_MAKE || !strcmp(call->name, "fallocate");
}

static int enter(void *data, const struct trace_call *call) {
    struct fault *fault = data;
    if (!trace_concerns(call, fault->roots))
        return TRACE_GO;
    uint64_t index = ++fault->seen;
    if (fault->mode == FAULT_FROM && index >= fault->at) {
        if (fault->error == ENOSPC && !needs_room(call))
            return TRACE_GO;
        if (!fault->fired)
            remember(fault, call);
        return -fault->error;
    }
    if (index != fault->at || fault->mode == FAULT_NONE)
        return TRACE_GO;
    remember(fault, call);
    switch (fault->mode) {
    case FAULT_KILL_BEFORE: return TRACE_KILL;
    case FAULT_KILL_AFTER: return TRACE_WATCH;
    case FAULT_ONCE: return -fault->error;
    case FAULT_NONE:
    case FAULT_FROM: break;
    }
    return TRACE_GO;
}

static bool leave(void *data, const struct trace_call *call, int64_t result) {
    (void)data, (void)call, (void)result;
    return false;
}

int fault_run(struct fault *fault, const struct trace_program *program, int *ret_status) {
    struct trace_handler handler = { enter, leave, fault };
    fault->seen = 0;
    fault->fired = false;
    return trace_run(program, &handler, ret_status);
}

bool fault_parse(const char *word, struct fault *ret) {
    static const struct { const char *name; int error; } errors[] = {
        { "ENOSPC", ENOSPC }, { "EIO", EIO }, { "EACCES", EACCES }, { "EPERM", EPERM }, { "EDQUOT", EDQUOT }, { "EROFS", EROFS },
        { "ENOMEM", ENOMEM }, { "EBUSY", EBUSY }, { "ETXTBSY", ETXTBSY }, { "EMFILE", EMFILE }, { "EINTR", EINTR }, { "EXDEV", EXDEV },
    };
    static const struct { const char *name; enum fault_mode mode; } modes[] = {
        { "count", FAULT_NONE }, { "kill-before", FAULT_KILL_BEFORE }, { "kill-after", FAULT_KILL_AFTER },
    };
    for (size_t i = 0; i < ELEMENTS(modes); i++) {
        if (!strcmp(word, modes[i].name)) {
            ret->mode = modes[i].mode;
            return true;
        }
    }
    for (size_t i = 0; i < ELEMENTS(errors); i++) {
        size_t size = strlen(errors[i].name);
        if (strncmp(word, errors[i].name, size) != 0 || (word[size] && strcmp(word + size, "-from") != 0))
            continue;
        ret->mode = word[size] ? FAULT_FROM : FAULT_ONCE;
        ret->error = errors[i].error;
        return true;
    }
    return false;
}
