/* Numbers, times, modes and words as people read them.
 * Prints nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "format.h"

#include "quote.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const char *format_size(uint64_t bytes, char text[FORMAT_SIZE]) {
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    size_t unit = 0;
    double value = (double)bytes;
    while (value >= 1023.95 && unit + 1 < ELEMENTS(units)) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(text, FORMAT_SIZE, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

const char *format_time(struct timespec time, char text[FORMAT_SIZE]) {
    struct tm tm;
    if (!localtime_r(&time.tv_sec, &tm) || !strftime(text, FORMAT_SIZE, "%Y-%m-%d %H:%M:%S", &tm))
        (void)snprintf(text, FORMAT_SIZE, "@%lld", (long long)time.tv_sec);
    return text;
}

const char *format_rfc3339(struct timespec time, char text[FORMAT_SIZE]) {
    struct tm tm;
    if (!gmtime_r(&time.tv_sec, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900)
        return NULL;
    (void)snprintf(text, FORMAT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ", (tm.tm_year + 1900) % 10000,
                   (tm.tm_mon + 1) % 100, tm.tm_mday % 100, tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100,
                   time.tv_nsec % 1000000000);
    return text;
}

static char type_letter(uint32_t mode) {
    switch (mode & S_IFMT) {
    case S_IFDIR: return 'd';
    case S_IFLNK: return 'l';
    case S_IFIFO: return 'p';
    case S_IFSOCK: return 's';
    case S_IFBLK: return 'b';
    case S_IFCHR: return 'c';
    default: return '-';
    }
}

static char execute_letter(bool execute, bool special, char letter) {
    if (special)
        return execute ? letter : (char)toupper(letter);
    return execute ? 'x' : '-';
}

const char *format_mode(uint32_t mode, char text[FORMAT_SIZE]) {
    text[0] = type_letter(mode);
    for (int i = 0; i < 3; i++) {
        uint32_t bits = mode >> (6 - 3 * i);
        bool special = mode & (S_ISUID >> i);
        text[1 + 3 * i] = bits & 4 ? 'r' : '-';
        text[2 + 3 * i] = bits & 2 ? 'w' : '-';
        text[3 + 3 * i] = execute_letter(bits & 1, special, i == 2 ? 't' : 's');
    }
    text[10] = '\0';
    return text;
}

const char *format_type(uint32_t mode) {
    switch (mode & S_IFMT) {
    case S_IFDIR: return "directory";
    case S_IFLNK: return "symlink";
    case S_IFIFO: return "fifo";
    case S_IFSOCK: return "socket";
    case S_IFBLK: return "block";
    case S_IFCHR: return "character";
    default: return "file";
    }
}

const char *plural(uint64_t count, const char *one, const char *many) {
    return count == 1 ? one : many;
}

static bool is_control(char c) {
    return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool is_plain(const char *word) {
    static const char plain[] = "%+,-./:=@_~^";
    bool first = true;
    for (; *word; word++, first = false)
        if (!isalnum((unsigned char)*word) && (!strchr(plain, *word) || (first && (*word == '~' || *word == '='))))
            return false;
    return !first;
}

static bool needs_escapes(const char *word) {
    if (!utf8_valid(word, strlen(word)))
        return true;
    for (; *word; word++)
        if (is_control(*word))
            return true;
    return false;
}

static void quote_single(struct buf *out, const char *word) {
    buf_char(out, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            buf_str(out, "'\\''");
        else
            buf_char(out, *word);
    }
    buf_char(out, '\'');
}

static void quote_escapes(struct buf *out, const char *word) {
    buf_str(out, "$'");
    for (; *word; word++) {
        if (is_control(*word) || (unsigned char)*word >= 0x80)
            buf_fmt(out, "\\%03o", (unsigned char)*word);
        else if (*word == '\'' || *word == '\\')
            buf_fmt(out, "\\%c", *word);
        else
            buf_char(out, *word);
    }
    buf_char(out, '\'');
}

void quote_shell(struct buf *out, const char *word) {
    if (is_plain(word))
        buf_str(out, word);
    else if (needs_escapes(word))
        quote_escapes(out, word);
    else
        quote_single(out, word);
}

void quote_command(struct buf *out, char *const words[]) {
    for (size_t i = 0; words[i]; i++) {
        if (i)
            buf_char(out, ' ');
        quote_shell(out, words[i]);
    }
}

int parse_count(const char *text, uint64_t *ret) {
    uint64_t value = 0;
    if (!*text)
        return -EINVAL;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text) || __builtin_mul_overflow(value, (uint64_t)10, &value)
            || __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return -EINVAL;
    }
    if (value == 0)
        return -EINVAL;
    *ret = value;
    return 0;
}
