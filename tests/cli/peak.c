/* Runs a command and says on stdout, as the last line, how much memory it had at most: `peak N`, in MiB.
 * Exit code of the command. SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int status;
    struct rusage usage;
    pid_t pid = argc > 1 ? fork() : -1;
    if (pid == 0) {
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &usage) < 0)
        return 2;
    printf("peak %ld\n", (usage.ru_maxrss + 1023) / 1024);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
