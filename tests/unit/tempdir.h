/* A temporary directory for a test, and nothing of snapctl in it. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

struct tempdir { int fd; char path[256]; };

/* For cmocka: below $TMPDIR, or /tmp; all that is in it goes with it. */
int tempdir_setup(void **state);
int tempdir_teardown(void **state);
static inline int tempdir_at(void **state) { return ((struct tempdir *)*state)->fd; }
