/* The command line of snapctl-overlay, as fuse-overlayfs and mount(8) write it. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "buf.h"
#include "err.h"

enum overlay_word_kind {
    WORD_LOWERS = 0,           /* paths between colons */
    WORD_PATH,
    WORD_TEXT,
    WORD_THREADS,
    WORD_FLAG,                 /* sets `value` of the mount's flags */
    WORD_CLEAR,                /* clears it */
    WORD_KERNEL,               /* for the mount itself; `value` is its bit of mount(2) */
    WORD_KERNEL_CLEAR,
    WORD_PASSED,               /* for FUSE, with what stands after "=" */
    WORD_LISTED,               /* what the kernel lists of a mount: only when it is mounted again with other flags */
    WORD_REMOUNT,
    WORD_HELD,                 /* holds anyhow, where its value is among `values` (NULL: it has none) */
};
struct overlay_word {          /* a word after -o */
    const char *name;          /* without "=..."; NULL ends the table */
    enum overlay_word_kind kind;
    const char *argument;      /* what help calls the value; NULL = has none */
    unsigned long value;
    const char *const *values;
    const char *help;          /* NULL = not in help, but in the manual */
    size_t offset;             /* of the text or path in struct overlay_call */
};
extern const struct overlay_word overlay_words[];

struct overlay_call {
    char *source, *mountpoint;
    char **lowers;             /* NULL-terminated, top first */
    size_t lower_count, lower_room;
    char *upper, *work, *fsname, *subtype;
    char *passed;              /* comma-separated: for mount(2) and FUSE; NULL = none */
    unsigned threads;
    unsigned flags;            /* enum snap_overlay_flags */
    unsigned long kernel_set, kernel_clear;   /* MS_*, of words that were given */
    bool access_checks, everybody;            /* default_permissions, allow_other were given */
    bool remount, foreground, help, version;
};

/* On failure *call holds what was understood; overlay_call_done frees it either way. */
int overlay_options_parse(struct overlay_call *call, char *const argv[], struct snap_err *err);
void overlay_call_done(struct overlay_call *call);
void overlay_help(struct buf *out);
