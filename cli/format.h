/* Numbers, times, modes and words as people read them. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include "snapctl.h"

enum { FORMAT_SIZE = 40 };     /* room for any of these */

const char *format_size(uint64_t bytes, char text[FORMAT_SIZE]);        /* "512 B", "4.2 MiB" */
const char *format_time(struct timespec time, char text[FORMAT_SIZE]);  /* local: "2026-01-31 12:00:00" */
const char *format_rfc3339(struct timespec time, char text[FORMAT_SIZE]);   /* UTC, nanoseconds; NULL = the year has no four digits */
const char *format_mode(uint32_t mode, char text[FORMAT_SIZE]);         /* "drwxr-xr-x" */
const char *format_type(uint32_t mode);    /* "file", "directory", "symlink", "fifo", "socket", "block", "character" */
const char *plural(uint64_t count, const char *one, const char *many);

/* As a shell reads it back: as it is where nothing needs quoting, else in '...', or in $'...' if it holds control characters. */
void quote_shell(struct buf *out, const char *word);
/* The words of a command, quoted and joined. */
void quote_command(struct buf *out, char *const words[]);

/* A decimal number from 1: 0, or -EINVAL. */
int parse_count(const char *text, uint64_t *ret);
