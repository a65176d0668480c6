/* A temporary directory for a test. Knows no store and no project: see scratch.c for one with both.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tempdir.h"

#include "cleanup.h"
#include "fs.h"
#include <fcntl.h>
#include <stdio.h>

int tempdir_setup(void **state) {
    struct tempdir *temp = calloc(1, sizeof(*temp));
    const char *dir = getenv("TMPDIR");
    assert_non_null(temp);
    (void)snprintf(temp->path, sizeof(temp->path), "%s/snapctl-test-XXXXXX", dir ? dir : "/tmp");
    assert_non_null(mkdtemp(temp->path));
    temp->fd = open(temp->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(temp->fd >= 0);
    *state = temp;
    return 0;
}

int tempdir_teardown(void **state) {
    struct tempdir *temp = *state;
    temp->fd = fd_close(temp->fd);
    int r = fs_remove_tree(AT_FDCWD, temp->path);
    free(temp);
    return r;
}
