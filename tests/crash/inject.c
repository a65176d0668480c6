/* inject MODE [K] [-r ROOT]... -- CMD...: runs CMD and makes its K-th change to files go wrong.
 *
 *     MODE    count, kill-before, kill-after, ENOSPC, EIO, EACCES... or, from K on, ENOSPC-from, EIO-from...
 *
 * Exit code of CMD, or 128 + signal; `count` writes the number of changes to stderr. SPDX-License-Identifier: GPL-2.0-or-later */
#include "fault.h"

#include "cleanup.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static int usage(void) {
    fprintf(stderr, "usage: inject MODE [K] [-r ROOT]... -- CMD...\n");
    return 2;
}

int main(int argc, char **argv) {
    const char *roots[16] = { NULL };
    struct fault fault = {0};
    size_t root_count = 0;
    int i = 2;
    if (argc < 4 || !fault_parse(argv[1], &fault))
        return usage();
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (!strcmp(argv[i], "-r") && i + 1 < argc && root_count < ELEMENTS(roots) - 1)
            roots[root_count++] = argv[++i];
        else if (!fault.at)
            fault.at = strtoull(argv[i], NULL, 10);
        else
            return usage();
    }
    if (i + 1 >= argc || (fault.mode != FAULT_NONE && !fault.at))
        return usage();
    if (root_count)
        fault.roots = roots;
    struct trace_program program = { argv[i + 1], argv + i + 1, NULL, NULL, -1, -1, 0 };
    int status, code = fault_run(&fault, &program, &status);
    if (code < 0) {
        fprintf(stderr, "inject: cannot trace: %s\n", strerror(-code));
        return 2;
    }
    if (fault.mode == FAULT_NONE)
        fprintf(stderr, "%" PRIu64 "\n", fault.seen);
    else
        fprintf(stderr, "inject: %s\n", fault.fired ? fault.where : "it made fewer changes");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
