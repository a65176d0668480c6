/* Times as people type them.
 * Reads three forms and refuses the rest: a guess would list the wrong snapshots.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "when.h"

#include "cleanup.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Exactly `digits` digits at *at, moved past. */
static int read_digits(const char **at, unsigned digits, int *ret) {
    int value = 0;
    for (unsigned i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)(*at)[i]))
            return -EINVAL;
        value = value * 10 + ((*at)[i] - '0');
    }
    *at += digits;
    *ret = value;
    return 0;
}

static bool skip(const char **at, char c) {
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

static int read_day(const char **at, struct tm *tm) {
    if (read_digits(at, 4, &tm->tm_year) < 0 || !skip(at, '-') || read_digits(at, 2, &tm->tm_mon) < 0 || !skip(at, '-')
        || read_digits(at, 2, &tm->tm_mday) < 0)
        return -EINVAL;
    static const int days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    if (tm->tm_mon < 1 || tm->tm_mon > 12 || tm->tm_mday < 1 || tm->tm_mday > days[tm->tm_mon - 1])
        return -EINVAL;
    bool leap = (tm->tm_year % 4 == 0 && tm->tm_year % 100 != 0) || tm->tm_year % 400 == 0;
    if (tm->tm_mon == 2 && tm->tm_mday == 29 && !leap)
        return -EINVAL;
    tm->tm_year -= 1900;
    tm->tm_mon -= 1;
    return 0;
}

static int read_clock(const char **at, struct tm *tm) {
    if (read_digits(at, 2, &tm->tm_hour) < 0 || !skip(at, ':') || read_digits(at, 2, &tm->tm_min) < 0)
        return -EINVAL;
    if (skip(at, ':') && read_digits(at, 2, &tm->tm_sec) < 0)
        return -EINVAL;
    return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec <= 60 ? 0 : -EINVAL;
}

/* Z or +HH:MM or +HHMM. 1 = there is one, 0 = none. */
static int read_zone(const char **at, int *ret_seconds) {
    if (skip(at, 'Z')) {
        *ret_seconds = 0;
        return 1;
    }
    char sign = **at;
    if (sign != '+' && sign != '-')
        return 0;
    (*at)++;
    int hours, minutes;
    if (read_digits(at, 2, &hours) < 0)
        return -EINVAL;
    (void)skip(at, ':');
    if (read_digits(at, 2, &minutes) < 0 || hours > 23 || minutes > 59)
        return -EINVAL;
    *ret_seconds = (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return 1;
}

static int parse_date(const char *text, bool end, int64_t *ret) {
    struct tm tm = { .tm_isdst = -1 };
    const char *at = text;
    if (read_day(&at, &tm) < 0)
        return -EINVAL;
    if (!*at) {
        if (end) {
            tm.tm_hour = 23;
            tm.tm_min = tm.tm_sec = 59;
        }
        *ret = mktime(&tm);
        return 0;
    }
    int zone = 0;
    if ((!skip(&at, 'T') && !skip(&at, ' ')) || read_clock(&at, &tm) < 0)
        return -EINVAL;
    int zoned = read_zone(&at, &zone);
    if (zoned < 0 || *at)
        return -EINVAL;
    *ret = zoned ? timegm(&tm) - zone : mktime(&tm);
    return 0;
}

static int parse_number(const char **at, int64_t *ret) {
    int64_t value = 0;
    if (!isdigit((unsigned char)**at))
        return -EINVAL;
    for (; isdigit((unsigned char)**at); (*at)++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, **at - '0', &value))
            return -EINVAL;
    *ret = value;
    return 0;
}

static int parse_epoch(const char *text, int64_t *ret) {
    const char *at = text + 1;
    bool negative = skip(&at, '-');
    int64_t value;
    if (parse_number(&at, &value) < 0 || *at)
        return -EINVAL;
    *ret = negative ? -value : value;
    return 0;
}

static bool is_gap(char c) {
    return c == ' ' || c == '.';
}

static void skip_gap(const char **at) {
    while (is_gap(**at))
        (*at)++;
}

/* The unit at *at, with or without its plural s; moved past. */
static bool skip_unit(const char **at, const char *unit) {
    size_t size = strlen(unit);
    if (strncasecmp(*at, unit, size) != 0)
        return false;
    size_t plural = (*at)[size] == 's' || (*at)[size] == 'S';
    if (!is_gap((*at)[size + plural]))
        return false;
    *at += size + plural;
    return true;
}

/* Months and years by the calendar: a month before 31 March is what mktime makes of 31 February. */
static int go_back_months(time_t now, int64_t months, int64_t *ret) {
    struct tm tm;
    if (months > 120000 || !localtime_r(&now, &tm))
        return -EINVAL;
    tm.tm_mon -= (int)months;
    tm.tm_isdst = -1;
    *ret = mktime(&tm);
    return 0;
}

static int parse_ago(const char *text, time_t now, int64_t *ret) {
    static const struct { const char *unit; int seconds, months; } units[] = {
        { "second", 1, 0 }, { "minute", 60, 0 }, { "hour", 3600, 0 }, { "day", 86400, 0 }, { "week", 604800, 0 },
        { "month", 0, 1 }, { "year", 0, 12 },
    };
    const char *at = text;
    int64_t number, seconds, result;
    if (parse_number(&at, &number) < 0 || number > INT32_MAX)
        return -EINVAL;
    skip_gap(&at);
    for (size_t i = 0; i < ELEMENTS(units); i++) {
        const char *after = at;
        if (!skip_unit(&after, units[i].unit))
            continue;
        skip_gap(&after);
        if (strcasecmp(after, "ago") != 0)
            return -EINVAL;
        if (units[i].months)
            return go_back_months(now, number * units[i].months, ret);
        if (__builtin_mul_overflow(number, units[i].seconds, &seconds) || __builtin_sub_overflow(now, seconds, &result))
            return -EINVAL;
        *ret = result;
        return 0;
    }
    return -EINVAL;
}

int when_parse(const char *text, time_t now, bool end, int64_t *ret) {
    if (text[0] == '@')
        return parse_epoch(text, ret);
    if (parse_date(text, end, ret) == 0)
        return 0;
    return parse_ago(text, now, ret);
}
