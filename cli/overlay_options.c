/* The command line of snapctl-overlay: [-f] [-d] [-o WORD,...] [SOURCE] DIR.
 *
 * A backslash before a comma, a colon or a backslash takes its meaning away, as for overlayfs and fuse-overlayfs.
 * Opens and mounts nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "overlay_options.h"

#include "snapctl.h"
#include "typo.h"

#include <stdint.h>
#include <string.h>
#include <sys/mount.h>

static const char *const yes_or_no[] = { "on", "off", NULL };
static const char *const redirects[] = { "on", "off", "follow", NULL };
static const char *const numbering[] = { "on", "off", "auto", NULL };
static const char *const off_only[] = { "off", NULL };

#define WORD(word, k, ...) { .name = word, .kind = k, __VA_ARGS__ }
#define KERNEL(word, bit) { .name = word, .kind = WORD_KERNEL, .value = bit }
#define KERNEL_CLEAR(word, bit) { .name = word, .kind = WORD_KERNEL_CLEAR, .value = bit }
#define HELD(word) { .name = word, .kind = WORD_HELD }
#define TEXT(word, k, what, field, sentence) \
    { .name = word, .kind = k, .argument = what, .offset = offsetof(struct overlay_call, field), .help = sentence }

const struct overlay_word overlay_words[] = {
    WORD("lowerdir", WORD_LOWERS, .argument = "DIR[:DIR...]", .help = "what is read, the topmost first"),
    TEXT("upperdir", WORD_PATH, "DIR", upper, "where changes go; without it the mount is read-only"),
    TEXT("workdir", WORD_PATH, "DIR", work, "an empty directory on the same file system as upperdir"),
    WORD("ro", WORD_FLAG, .value = SNAP_OVERLAY_READ_ONLY, .help = "refuse every change"),
    WORD("rw", WORD_CLEAR, .value = SNAP_OVERLAY_READ_ONLY, .help = "allow changes (default with upperdir)"),
    WORD("allow_other", WORD_FLAG, .value = SNAP_OVERLAY_ALLOW_OTHER, .help = "for every user (default for root)"),
    WORD("allow_root", WORD_FLAG, .value = SNAP_OVERLAY_ALLOW_ROOT, .help = "for root, too"),
    WORD("default_permissions", WORD_HELD, .help = "modes and ACLs decide who may do what (default)"),
    WORD("metacopy", WORD_HELD, .argument = "on|off", .values = yes_or_no, .help = "changed metadata alone copies no data"),
    TEXT("fsname", WORD_TEXT, "NAME", fsname, "the source that is listed"),
    TEXT("subtype", WORD_TEXT, "NAME", subtype, "listed as type fuse.NAME"),
    WORD("max_threads", WORD_THREADS, .argument = "N", .help = "requests answered at a time, at most"),
    WORD("follow", WORD_FLAG, .value = SNAP_OVERLAY_FOLLOW, .help = "lower directories may change meanwhile"),
    WORD("debug", WORD_FLAG, .value = SNAP_OVERLAY_DEBUG, .help = "every request on standard error, in the foreground"),
    WORD("remount", WORD_REMOUNT, .help = "change the flags of a mount"),
    KERNEL("nodev", MS_NODEV), KERNEL_CLEAR("dev", MS_NODEV), KERNEL("nosuid", MS_NOSUID), KERNEL_CLEAR("suid", MS_NOSUID),
    KERNEL("noexec", MS_NOEXEC), KERNEL_CLEAR("exec", MS_NOEXEC), KERNEL("noatime", MS_NOATIME), KERNEL_CLEAR("atime", MS_NOATIME),
    KERNEL("sync", MS_SYNCHRONOUS), KERNEL_CLEAR("async", MS_SYNCHRONOUS), KERNEL("dirsync", MS_DIRSYNC),
    /* FUSE leaves times of access to who serves, and these speak of them. */
    HELD("relatime"), HELD("norelatime"), HELD("strictatime"), HELD("nostrictatime"), HELD("diratime"), HELD("nodiratime"),
    HELD("lazytime"), HELD("nolazytime"),
    /* Words of overlayfs and its users that say what is so here. */
    HELD("userxattr"), HELD("volatile"), WORD("redirect_dir", WORD_HELD, .values = redirects), WORD("index", WORD_HELD, .values = yes_or_no),
    WORD("xino", WORD_HELD, .values = numbering), WORD("nfs_export", WORD_HELD, .values = off_only),
    /* Words of fstab(5) and mount(8) that are not for a file system. */
    HELD("defaults"), HELD("auto"), HELD("noauto"), HELD("user"), HELD("nouser"), HELD("users"), HELD("owner"), HELD("group"),
    HELD("nofail"), HELD("_netdev"), HELD("nonempty"),
    WORD("auto_unmount", WORD_PASSED), WORD("max_read", WORD_PASSED, .argument = "N"), WORD("context", WORD_PASSED, .argument = "LABEL"),
    WORD("fscontext", WORD_PASSED, .argument = "LABEL"), WORD("defcontext", WORD_PASSED, .argument = "LABEL"),
    WORD("rootcontext", WORD_PASSED, .argument = "LABEL"),
    WORD("user_id", WORD_LISTED, .argument = "N"), WORD("group_id", WORD_LISTED, .argument = "N"),
    { .name = NULL },
};

/* Backslashes before what has a meaning go. */
static char *unescape(const char *text, size_t size) {
    _buf_ struct buf plain = {0};
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\\' && i + 1 < size && strchr(",:\\", text[i + 1]))
            i++;
        buf_char(&plain, text[i]);
    }
    return buf_take(&plain);
}

/* Up to `end` or the end of the text, backslashes respected. */
static size_t part_size(const char *text, size_t size, char end) {
    size_t i = 0;
    while (i < size && text[i] != end)
        i += text[i] == '\\' && i + 1 < size ? 2 : 1;
    return MIN(i, size);
}

static int set_text(char **where, const char *value, size_t size, struct snap_err *err) {
    char *text = unescape(value, size);
    if (!text)
        return err_nomem(err);
    free(*where);
    *where = text;
    return 0;
}

static int add_lower(struct overlay_call *call, const char *path, size_t size, struct snap_err *err) {
    if (size == 0)
        return err_set(err, -EINVAL, "'lowerdir' names an empty directory; layers of data alone are not served");
    if (MAKE_ROOM(call->lowers, call->lower_count, call->lower_room) < 0)
        return err_nomem(err);
    call->lowers[call->lower_count] = unescape(path, size);
    return call->lowers[call->lower_count++] ? 0 : err_nomem(err);
}

static void free_lowers(struct overlay_call *call) {
    for (size_t i = 0; i < call->lower_count; i++)
        free(call->lowers[i]);
    call->lower_count = 0;
}

static int set_lowers(struct overlay_call *call, const char *value, size_t size, struct snap_err *err) {
    int r = 0;
    free_lowers(call);
    for (size_t at = 0; r == 0 && at <= size;) {
        size_t part = part_size(value + at, size - at, ':');
        r = add_lower(call, value + at, part, err);
        at += part + 1;
    }
    return r;
}

static int set_threads(struct overlay_call *call, const char *value, size_t size, struct snap_err *err) {
    unsigned long count = 0;
    for (size_t i = 0; i < size; i++) {
        if (value[i] < '0' || value[i] > '9' || count > 1000)
            return err_set(err, -EINVAL, "'max_threads=%.*s' is not a number from 1 to 1000", (int)size, value);
        count = 10 * count + (unsigned long)(value[i] - '0');
    }
    if (count < 1 || count > 1000)
        return err_set(err, -EINVAL, "'max_threads=%.*s' is not a number from 1 to 1000", (int)size, value);
    call->threads = (unsigned)count;
    return 0;
}

static int pass(struct overlay_call *call, const char *word, size_t size, struct snap_err *err) {
    _buf_ struct buf all = {0};
    if (call->passed)
        buf_fmt(&all, "%s,", call->passed);
    buf_add(&all, word, size);
    char *passed = buf_take(&all);
    if (!passed)
        return err_nomem(err);
    free(call->passed);
    call->passed = passed;
    return 0;
}

static int check_held(const struct overlay_word *word, const char *value, size_t size, struct snap_err *err) {
    _buf_ struct buf served = {0};
    for (size_t i = 0; word->values && word->values[i]; i++) {
        if (strlen(word->values[i]) == size && memcmp(value, word->values[i], size) == 0)
            return 0;
        buf_fmt(&served, "%s%s=%s", i ? ", " : "", word->name, word->values[i]);
    }
    if (!word->values)
        return 0;
    err_set(err, -EINVAL, "the mount option '%s=%.*s' is not served", word->name, (int)size, value);
    err_hint(err, "served: %s", served.failed ? word->name : served.data);
    return err_failure(err, SNAP_FAILURE_USAGE);
}

static void set_kernel(struct overlay_call *call, unsigned long bit, bool on) {
    call->kernel_set = on ? call->kernel_set | bit : call->kernel_set & ~bit;
    call->kernel_clear = on ? call->kernel_clear & ~bit : call->kernel_clear | bit;
}

static void set_flag(struct overlay_call *call, unsigned long flag, bool on) {
    call->flags = on ? call->flags | (unsigned)flag : call->flags & ~(unsigned)flag;
    if (flag == SNAP_OVERLAY_READ_ONLY)
        set_kernel(call, MS_RDONLY, on);
    call->foreground |= on && flag == SNAP_OVERLAY_DEBUG;
}

static int unknown_word(const char *word, size_t size, struct snap_err *err) {
    char name[64] = "";
    memcpy(name, word, MIN(size, sizeof(name) - 1));
    struct typo typo = typo_start(name);
    for (const struct overlay_word *known = overlay_words; known->name; known++)
        typo_try(&typo, known->name);
    err_set(err, -EINVAL, "the mount option '%.*s' is not known", (int)size, word);
    if (typo.best)
        err_hint(err, "did you mean '%s'?", typo.best);
    return err_failure(err, SNAP_FAILURE_USAGE);
}

/* `word` is all of it, `value` what stands after "=". */
static int apply(struct overlay_call *call, const struct overlay_word *known, const char *word, size_t word_size, const char *value,
                 size_t size, struct snap_err *err) {
    switch (known->kind) {
    case WORD_LOWERS: return set_lowers(call, value, size, err);
    case WORD_PATH:
    case WORD_TEXT: return set_text((char **)(void *)((char *)call + known->offset), value, size, err);
    case WORD_THREADS: return set_threads(call, value, size, err);
    case WORD_FLAG: set_flag(call, known->value, true); return 0;
    case WORD_CLEAR: set_flag(call, known->value, false); return 0;
    case WORD_KERNEL: set_kernel(call, known->value, true); return pass(call, word, word_size, err);
    case WORD_KERNEL_CLEAR: set_kernel(call, known->value, false); return pass(call, word, word_size, err);
    case WORD_PASSED: return pass(call, word, word_size, err);
    case WORD_REMOUNT: call->remount = true; return 0;
    case WORD_LISTED: return 0;
    case WORD_HELD: return check_held(known, value, size, err);
    }
    return 0;
}

static bool is_for_others(const char *word, size_t size) {        /* of systemd, of users: x-NAME, comment=TEXT */
    return (size > 2 && strncmp(word, "x-", 2) == 0) || (size > 8 && strncmp(word, "comment=", 8) == 0);
}

static int take_word(struct overlay_call *call, const char *word, size_t size, struct snap_err *err) {
    const char *equals = memchr(word, '=', size);
    size_t name_size = equals ? (size_t)(equals - word) : size;
    const struct overlay_word *known = overlay_words;
    while (known->name && (strlen(known->name) != name_size || memcmp(known->name, word, name_size) != 0))
        known++;
    bool valued = known->argument || (known->kind == WORD_HELD && known->values);
    if (is_for_others(word, size))
        return 0;
    if (!known->name)
        return unknown_word(word, name_size, err);
    if (valued != (equals != NULL)) {
        err_set(err, -EINVAL, "the mount option '%s' takes %s value", known->name, valued ? "a" : "no");
        return err_failure(err, SNAP_FAILURE_USAGE);
    }
    return apply(call, known, word, size, equals ? equals + 1 : "", equals ? size - name_size - 1 : 0, err);
}

static int take_words(struct overlay_call *call, const char *words, struct snap_err *err) {
    size_t size = strlen(words);
    int r = 0;
    for (size_t at = 0; r == 0 && at < size;) {
        size_t part = part_size(words + at, size - at, ',');
        if (part > 0)
            r = take_word(call, words + at, part, err);
        at += part + 1;
    }
    return r;
}

static int usage(struct snap_err *err, const char *format, const char *word) {
    err_set(err, -EINVAL, "%s%s", format, word);
    err_hint(err, "see: snapctl-overlay --help");
    return err_failure(err, SNAP_FAILURE_USAGE);
}

/* One word that begins with a dash; *argv is moved on if it takes the next. */
static int take_option(struct overlay_call *call, char *const **argv, struct snap_err *err) {
    const char *word = **argv;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        call->help = true;
    else if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        call->version = true;
    else if (strcmp(word, "-f") == 0)
        call->foreground = true;
    else if (strcmp(word, "-d") == 0)
        set_flag(call, SNAP_OVERLAY_DEBUG, true);
    else if (strcmp(word, "-r") == 0)
        set_flag(call, SNAP_OVERLAY_READ_ONLY, true);
    else if (strcmp(word, "-o") == 0)
        return (*argv)[1] ? take_words(call, *++*argv, err) : usage(err, "'-o' takes mount options", "");
    else if (strncmp(word, "-o", 2) == 0)
        return take_words(call, word + 2, err);
    else
        return usage(err, "unknown option ", word);
    return 0;
}

static int take_operand(struct overlay_call *call, const char *word, struct snap_err *err) {
    if (call->source)
        return usage(err, "one operand too many: ", word);
    call->source = call->mountpoint;
    call->mountpoint = strdup(word);
    return call->mountpoint ? 0 : err_nomem(err);
}

static int check(const struct overlay_call *call, struct snap_err *err) {
    if (!call->mountpoint)
        return usage(err, "no directory to mount on was given", "");
    if (call->remount)
        return 0;
    if (call->lower_count == 0)
        return usage(err, "'-o lowerdir=DIR' is missing", "");
    if (call->upper && !call->work)
        return usage(err, "'upperdir' takes a 'workdir' on the same file system", "");
    if (call->work && !call->upper)
        return usage(err, "'workdir' is of no use without 'upperdir'", "");
    return 0;
}

int overlay_options_parse(struct overlay_call *call, char *const argv[], struct snap_err *err) {
    bool options = true;
    for (char *const *at = argv[0] ? argv + 1 : argv; *at; at++) {
        int r = 0;
        if (options && strcmp(*at, "--") == 0)
            options = false;
        else if (options && **at == '-' && (*at)[1])
            r = take_option(call, &at, err);
        else
            r = take_operand(call, *at, err);
        if (r < 0)
            return r;
    }
    if (call->help || call->version)
        return 0;
    if (MAKE_ROOM(call->lowers, call->lower_count, call->lower_room) < 0)
        return err_nomem(err);
    call->lowers[call->lower_count] = NULL;
    return check(call, err);
}

void overlay_call_done(struct overlay_call *call) {
    free_lowers(call);
    char *texts[] = { call->source, call->mountpoint, call->upper, call->work, call->fsname, call->subtype, call->passed };
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        free(texts[i]);
    free(call->lowers);
}

void overlay_help(struct buf *out) {
    buf_str(out, "usage: snapctl-overlay [-f] [-d] [-o OPTION[,OPTION...]] [SOURCE] DIR\n"
                 "\nShow several directories as one, on DIR.\n\n"
                 "  -f, -d                stay in the foreground; -d: and tell every request\n"
                 "  -h, --help            show this\n"
                 "  -V, --version         show the version\n\nmount options:\n");
    for (const struct overlay_word *word = overlay_words; word->name; word++) {
        if (!word->help)
            continue;
        _buf_ struct buf title = {0};
        buf_fmt(&title, "%s%s%s", word->name, word->argument ? "=" : "", word->argument ? word->argument : "");
        if (!title.failed)
            buf_fmt(out, "  %-20s  %s\n", title.data, word->help);
    }
    buf_str(out, "and those of mount(8): dev, suid, exec, atime and their opposites, sync, dirsync\n");
}
